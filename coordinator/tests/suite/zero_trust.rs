//! Enrolment: a newcomer is known after four documents, and by none of those that are forged, swapped, late or shown again.

use std::path::PathBuf;
use std::sync::Arc;

use coordinator::contract::{Digest, Nonce, Signed, Statement};
use coordinator::enrol::{
    Application, EnrolError, Invite, Invites, MAX_INVITE_SECONDS, Membership, apply, trust,
};
use coordinator::tls::{Identity, Pin, Pins};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{identity, name};

const NOW: u64 = 1_800_000_000;
const WEEK: u64 = 7 * 86_400;

fn pin(identity: &Identity) -> Pin {
    Pin::new(identity.name().clone(), identity.fingerprint())
}

fn pins(of: &[&Identity]) -> Pins {
    let mut pins = Pins::new();
    for identity in of {
        pins.add(pin(identity)).unwrap();
    }
    pins
}

/// A sponsor with an invite for c, a stranger, and a holder b who knows the sponsor.
struct Scene {
    dir: tempfile::TempDir,
    sponsor: Arc<Identity>,
    newcomer: Arc<Identity>,
    stranger: Arc<Identity>,
    invite: Signed<Invite>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [sponsor, newcomer, stranger] = ["a", "c", "x"].map(identity);
        let invite = Invites::open(&dir.path().join("invites.toml"))
            .unwrap()
            .make(name("c"), WEEK, &sponsor, NOW)
            .unwrap();
        Self {
            dir,
            sponsor,
            newcomer,
            stranger,
            invite,
        }
    }

    fn book(&self) -> PathBuf {
        self.dir.path().join("invites.toml")
    }

    fn application(&self) -> Signed<Application> {
        apply(&self.invite, &pin(&self.sponsor), &self.newcomer, NOW + 1).unwrap()
    }

    /// What the sponsor says to an application, with what its file then holds.
    fn admits(
        &self,
        application: &Signed<Application>,
        now: u64,
    ) -> Result<Signed<Membership>, EnrolError> {
        let mut trusted = pins(&[&self.stranger]);
        let mut book = Invites::open(&self.book()).unwrap();
        let admitted = book.admit(application, (&self.sponsor, &mut trusted), now);
        let is_pinned = trusted.name_of(&self.newcomer.fingerprint()).is_some();
        assert_eq!(is_pinned, admitted.is_ok());
        admitted
    }

    fn signed_by<T: Statement>(&self, key: &Identity, statement: &T) -> Signed<T> {
        Signed::sign(statement, key).unwrap()
    }

    fn answer(&self) -> Application {
        self.application()
            .verify(&self.newcomer.fingerprint())
            .unwrap()
    }

    fn word(&self) -> Membership {
        Membership {
            sponsor: name("a"),
            party: name("c"),
            fingerprint: self.newcomer.fingerprint(),
            invite: self.invite.digest(),
            at: NOW,
        }
    }
}

/// The same document with one text in it changed.
fn changed<T>(signed: &Signed<T>, old: &str, new: &str) -> Signed<T>
where
    Signed<T>: Serialize + DeserializeOwned,
{
    let text = serde_json::to_string(signed).unwrap();
    assert!(text.contains(old), "{text}");
    serde_json::from_str(&text.replacen(old, new, 1)).unwrap()
}

#[test]
fn a_newcomer_is_known_to_all_who_know_its_sponsor() {
    let scene = Scene::new();
    let membership = scene.admits(&scene.application(), NOW + 2).unwrap();
    let mut others = pins(&[&scene.sponsor]);
    let known = trust(&membership, &mut others).unwrap();
    assert_eq!(known.fingerprint, scene.newcomer.fingerprint());
    assert_eq!(others.name_of(&known.fingerprint), Some(&name("c")));
    // The word of the same sponsor a second time changes nothing.
    trust(&membership, &mut others).unwrap();
    assert_eq!(others.len(), 2);
}

/// What is tried, what comes of it, and what is said to it.
type Case<'a, T> = (&'a str, Result<T, EnrolError>, &'a str);

fn refused<T>(cases: Vec<Case<'_, T>>) {
    for (case, outcome, expected) in cases {
        let Err(error) = outcome else {
            panic!("{case} is taken");
        };
        let said = error.to_string();
        assert!(said.contains(expected), "{case}: {said}");
    }
}

const OLD: &str = r#"\"party\":\"c\""#;
const OTHER: &str = r#"\"party\":\"x\""#;

#[test]
fn invites_that_nobody_answers() {
    let scene = Scene::new();
    let (invite, newcomer, stranger) = (&scene.invite, &scene.newcomer, &scene.stranger);
    let by = pin(&scene.sponsor);
    let other_name = Pin {
        name: name("b"),
        ..by.clone()
    };
    let late = NOW + WEEK + 1;
    let altered = changed(invite, OLD, OTHER);
    refused(vec![
        (
            "another key",
            apply(invite, &pin(stranger), newcomer, NOW),
            "not validly signed",
        ),
        (
            "another sponsor",
            apply(invite, &other_name, newcomer, NOW),
            "not trusted here",
        ),
        (
            "another party",
            apply(invite, &by, stranger, NOW),
            "is for c",
        ),
        ("too late", apply(invite, &by, newcomer, late), "expired"),
        (
            "altered",
            apply(&altered, &by, stranger, NOW),
            "not validly signed",
        ),
    ]);
    let mut book = Invites::open(&scene.book()).unwrap();
    let mut made = |party, seconds| book.make(name(party), seconds, &scene.sponsor, NOW);
    refused(vec![
        ("for itself", made("a", WEEK), "nobody invites itself"),
        (
            "for too long",
            made("d", MAX_INVITE_SECONDS + 1),
            "thirty days",
        ),
    ]);
}

#[test]
fn applications_that_the_sponsor_does_not_take() {
    let scene = Scene::new();
    let (newcomer, stranger) = (&scene.newcomer, &scene.stranger);
    let with = |key: &Identity, now, change: fn(&mut Application)| {
        let mut application = scene.answer();
        change(&mut application);
        scene.admits(&scene.signed_by(key, &application), now)
    };
    let whole = scene.application();
    let body = whole.body().to_vec();
    let unproven = Signed::from_parts(body, stranger.public_key(), whole.signature());
    let other_book = tempfile::tempdir().unwrap();
    let elsewhere = Invites::open(&other_book.path().join("invites.toml"))
        .unwrap()
        .make(name("c"), WEEK, &scene.sponsor, NOW)
        .unwrap();
    let elsewhere = apply(&elsewhere, &pin(&scene.sponsor), newcomer, NOW).unwrap();
    let altered = changed(&whole, OLD, OTHER);
    refused(vec![
        ("altered", scene.admits(&altered, NOW), "not validly signed"),
        (
            "a key that did not sign",
            scene.admits(&unproven, NOW),
            "not validly signed",
        ),
        (
            "another name",
            with(stranger, NOW, |a| a.party = name("x")),
            "is for c",
        ),
        (
            "no such invite",
            with(newcomer, NOW, |a| a.invite = Digest([9; 32])),
            "answers no invite",
        ),
        (
            "another nonce",
            with(newcomer, NOW, |a| a.nonce = Nonce([9; 32])),
            "answers no invite",
        ),
        (
            "an invite of another book",
            scene.admits(&elsewhere, NOW),
            "answers no invite",
        ),
        (
            "too late",
            with(newcomer, NOW + WEEK + 1, |_| ()),
            "expired",
        ),
        (
            "a key with another name",
            with(stranger, NOW, |_| ()),
            "trusted already, as x",
        ),
    ]);
    // Once: not again, by whomever, and also not by a sponsor who has started again since.
    scene.admits(&whole, NOW).unwrap();
    let twin = identity("c");
    let used = newcomer.fingerprint().to_string();
    refused(vec![
        ("again", with(newcomer, NOW, |_| ()), &used),
        ("by another key", with(&twin, NOW, |_| ()), &used),
    ]);
}

#[test]
fn words_that_others_do_not_take() {
    let scene = Scene::new();
    let (sponsor, newcomer) = (&scene.sponsor, &scene.newcomer);
    let word = scene.signed_by(sponsor, &scene.word());
    let second = identity("c");
    let mut knows_a_c = pins(&[sponsor, &second]);
    let mut knows_the_key = pins(&[sponsor]);
    let as_d = Pin {
        name: name("d"),
        ..pin(newcomer)
    };
    knows_the_key.add(as_d).unwrap();
    let forged = scene.signed_by(&scene.stranger, &scene.word());
    refused(vec![
        (
            "of nobody whom one knows",
            trust(&word, &mut pins(&[&scene.stranger])),
            "a is not trusted here",
        ),
        (
            "in the sponsor's name",
            trust(&forged, &mut pins(&[sponsor])),
            "not validly signed",
        ),
        (
            "altered",
            trust(&changed(&word, OLD, OTHER), &mut pins(&[sponsor])),
            "not validly signed",
        ),
        (
            "of a name that has another key",
            trust(&word, &mut knows_a_c),
            "c is trusted already",
        ),
        (
            "of a key that has another name",
            trust(&word, &mut knows_the_key),
            "trusted already, as d",
        ),
    ]);
    let kept = knows_a_c.find(&name("c")).unwrap();
    assert_eq!(kept.fingerprint, second.fingerprint());
    let vouched = Membership {
        sponsor: name("c"),
        ..scene.word()
    };
    assert!(Signed::sign(&vouched, newcomer).is_err(), "for itself");
}
