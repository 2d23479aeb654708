//! A party changes over to another key: what partners take in, what they refuse, and for how long both keys count.

use std::fs;
use std::sync::Arc;

use coordinator::client::ClientError;
use coordinator::client::{ClientConfig, CoordinatorClient, Link};
use coordinator::clock::SystemClock;
use coordinator::config::{Limits, Members};
use coordinator::contract::{CatalogueDoc, Signed};
use coordinator::control::CallError;
use coordinator::enrol::{EnrolError, Handover, MAX_OVERLAP_SECONDS, Rotation};
use coordinator::server::Server;
use coordinator::tls::{Identity, IdentityError, Pins};

use crate::support::{HANG, World, accept, contract, expect, identity, name, now, pins, within};

const WEEK: u64 = 7 * 86_400;

fn handed_on(old: &Identity, new: &Identity) -> Handover {
    Handover::sign(old, new, now(), WEEK).unwrap()
}

/// The document with other words or signatures in it.
fn with(handover: &Handover, change: impl FnOnce(&mut serde_json::Value)) -> Handover {
    let mut document = serde_json::to_value(handover).unwrap();
    change(&mut document);
    serde_json::from_value(document).unwrap()
}

#[test]
fn a_new_key_is_known_after_both_have_signed() {
    let [old, new, other] = ["a", "a", "b"].map(identity);
    let mut known = pins([&old, &other]);
    let handover = handed_on(&old, &new);
    let said = handover.accept(&mut known, now()).unwrap();
    assert_eq!((said.from, said.to), (old.fingerprint(), new.fingerprint()));
    for key in [&old, &new] {
        assert_eq!(known.name_of(&key.fingerprint()), Some(&name("a")));
    }
    let pin = known.find(&name("a")).unwrap();
    assert!(pin.holds_at(&old.fingerprint(), said.until));
    assert!(!pin.holds_at(&old.fingerprint(), said.until + 1));
    // A second time changes nothing, not even after the end of the old key.
    let before = known.clone();
    handover.accept(&mut known, said.until + 1).unwrap();
    assert_eq!(known, before);
    // The next change follows the new key.
    let third = identity("a");
    handed_on(&new, &third).accept(&mut known, now()).unwrap();
    assert_eq!(known.find(&name("a")).unwrap().keys().count(), 3);
}

#[test]
fn a_change_that_is_forged_late_or_out_of_order_is_refused() {
    let [old, new, thief, other] = ["a", "a", "a", "b"].map(identity);
    let good = handed_on(&old, &new);
    let known = pins([&old, &other]);
    let refused = |what: &str, handover: &Handover, pins: &Pins, at: u64, why: &str| {
        let mut pins = pins.clone();
        let before = pins.clone();
        let Err(error) = handover.accept(&mut pins, at) else {
            panic!("{what} is taken in");
        };
        assert!(error.to_string().contains(why), "{what}: {error}");
        assert_eq!(pins, before, "{what}");
    };
    let part =
        |handover: &Handover, which: &str| serde_json::to_value(handover).unwrap()[which].clone();
    let stolen = handed_on(&thief, &new);
    let signatures = "two signatures are not those";
    let by_new_alone = with(&good, |d| d["old"] = part(&good, "new"));
    refused(
        "signed by the new key alone",
        &by_new_alone,
        &known,
        now(),
        signatures,
    );
    let by_old_alone = with(&good, |d| d["new"] = part(&good, "old"));
    refused(
        "signed by the old key alone",
        &by_old_alone,
        &known,
        now(),
        signatures,
    );
    let of_two = with(&good, |d| d["old"] = part(&stolen, "old"));
    refused("of two changes", &of_two, &known, now(), signatures);
    let longer = with(&good, |d| {
        let body = d["old"]["body"]
            .as_str()
            .unwrap()
            .replace("\"until\":1", "\"until\":2");
        d["old"]["body"] = body.into();
    });
    refused("altered", &longer, &known, now(), "not validly signed");
    refused(
        "of a key that nobody knows",
        &stolen,
        &known,
        now(),
        "follows another key",
    );
    refused(
        "of a stranger",
        &good,
        &pins([&other]),
        now(),
        "a is not trusted here",
    );
    refused(
        "too late",
        &good,
        &known,
        now() + WEEK + 60,
        "counts no longer",
    );
    let of_b = Handover::sign(&old, &other, now(), WEEK).unwrap();
    refused(
        "to another party's key",
        &of_b,
        &known,
        now(),
        "trusted already, as b",
    );
    let mut gone_on = known.clone();
    let third = identity("a");
    handed_on(&old, &third).accept(&mut gone_on, now()).unwrap();
    refused(
        "a second one from the same key",
        &good,
        &gone_on,
        now(),
        "follows another key",
    );
    assert!(
        Handover::sign(&old, &new, now(), MAX_OVERLAP_SECONDS + 1).is_err(),
        "for too long"
    );
    assert!(
        Handover::sign(&old, &old, now(), WEEK).is_err(),
        "to itself"
    );
    // Nothing else that both sign has these words.
    let rotation: Rotation = good.verify().unwrap();
    assert_eq!(rotation.party, name("a"));
    assert!(matches!(
        by_new_alone.verify(),
        Err(EnrolError::Rotation { .. })
    ));
}

#[test]
fn the_next_key_takes_the_place_of_the_first_which_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("identity");
    let first = identity("a");
    first.save(&place).unwrap();
    assert!(matches!(
        Identity::change_over(&place),
        Err(IdentityError::NoNext { .. })
    ));
    let next = first.prepare_next(&place, 30).unwrap();
    assert!(matches!(
        first.prepare_next(&place, 30),
        Err(IdentityError::Exists { .. })
    ));
    let present = Identity::load(&place).unwrap();
    assert_eq!(
        present.fingerprint(),
        first.fingerprint(),
        "not before it is asked for"
    );
    let changed = Identity::change_over(&place).unwrap();
    assert_eq!(changed.fingerprint(), next.fingerprint());
    assert_eq!(
        changed.public_keys(),
        [next.public_key(), first.public_key()]
    );
    let former = changed.known_by(&first.fingerprint()).expect("kept");
    assert_eq!(former.sign("x", b"y").0, first.sign("x", b"y").0);
    assert!(matches!(
        Identity::change_over(&place),
        Err(IdentityError::NoNext { .. })
    ));
}

#[test]
fn a_change_that_was_killed_half_way_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("identity");
    let first = identity("a");
    first.save(&place).unwrap();
    let next = first.prepare_next(&place, 30).unwrap();
    // The key is in its place and its certificate is not.
    let whole = dir.path().join("whole");
    fs::create_dir(&whole).unwrap();
    for file in ["key.pem", "certificate.pem"] {
        fs::copy(place.join("next").join(file), whole.join(file)).unwrap();
    }
    Identity::change_over(&place).unwrap();
    fs::rename(&whole, place.join("next")).unwrap();
    fs::copy(
        dir.path()
            .join("identity/former")
            .read_dir()
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
            .join("certificate.pem"),
        place.join("certificate.pem"),
    )
    .unwrap();
    assert!(Identity::load(&place).is_err());
    let changed = Identity::change_over(&place).unwrap();
    assert_eq!(
        changed.public_keys(),
        [next.public_key(), first.public_key()]
    );
}

/// A member connects, publishes and takes part with either key while both count, and is put out with the old one at its end.
#[tokio::test(flavor = "multi_thread")]
async fn both_keys_are_let_in_while_they_count() {
    let [coordinator, old, new, b] = ["coordinator", "a", "a", "b"].map(identity);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trusted.toml");
    let mut known = pins([&old, &b]);
    handed_on(&old, &new).accept(&mut known, now()).unwrap();
    known.save(&file).unwrap();
    let world = World::start(&[], Limits::default()).await;
    let mut config = world.config(Limits::default(), Arc::new(SystemClock));
    config.identity = Arc::clone(&coordinator);
    config.listen.set_port(0);
    config.state_dir = dir.path().join("state");
    config.members = Members {
        file: Some(file.clone()),
        ..Members::default()
    };
    let server = Server::bind(config).await.unwrap();
    let address = server.local_addr().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async { drop(stopped.await) }));
    let connect = |identity: &Arc<Identity>| {
        let config = ClientConfig::new(Arc::clone(identity), address.clone(), expect(&coordinator));
        CoordinatorClient::connect(config)
    };
    let (client_b, _events_b) = connect(&b);
    let mut published = Vec::new();
    for key in [&old, &new, &old] {
        let (client, _events) = connect(key);
        client.wait_up(HANG).await.unwrap();
        let in_use = client_b.directory().await.unwrap();
        let in_use = in_use
            .iter()
            .find(|p| p.name == name("a"))
            .unwrap()
            .fingerprint;
        assert_eq!(in_use, key.fingerprint());
        // The same words are published anew when the key is another one.
        let catalogue = CatalogueDoc {
            party: name("a"),
            version: 1,
            body: "{}".to_owned(),
            directed: Vec::new(),
        };
        let signed = Signed::sign(&catalogue, key).unwrap();
        client.publish_catalogue(signed).await.unwrap();
        let kept = client_b
            .catalogue(&name("a"))
            .await
            .unwrap()
            .expect("published");
        assert_eq!(kept.catalogue.public_key(), key.public_key());
        let number = u8::try_from(published.len()).unwrap() + 1;
        let job = contract(&[key, &b], number);
        client
            .propose(Signed::sign(&job, key).unwrap())
            .await
            .unwrap();
        client.accept(accept(&job, key)).await.unwrap();
        published.push(job.job_id);
        client.close();
    }
    // What the key that is not in use has signed is not taken from the one that is.
    let (client, _events) = connect(&new);
    client.wait_up(HANG).await.unwrap();
    let job = contract(&[&old, &b], 9);
    let swapped = client.propose(Signed::sign(&job, &old).unwrap()).await;
    let invalid =
        |error: &ClientError| matches!(error, ClientError::Refused(CallError::Invalid { .. }));
    assert!(swapped.as_ref().is_err_and(invalid), "{swapped:?}");
    client.close();
    // The old key's time is over.
    let (client, _events) = connect(&old);
    client.wait_up(HANG).await.unwrap();
    let mut ended = pins([&old, &b]);
    ended
        .succeed(&name("a"), new.fingerprint(), now() - 1)
        .unwrap();
    ended.save(&file).unwrap();
    let is_down =
        |link: &Link| matches!(link, Link::Down { why: Some(why), .. } if why.needs_a_person());
    within("a is put out", client.link().wait_for(is_down))
        .await
        .unwrap();
    let mut job = contract(&[&old, &b], 10);
    job.proposer = name("b");
    let proposed = client_b.propose(Signed::sign(&job, &b).unwrap()).await;
    let not_a_member = ClientError::Refused(CallError::NotAMember { party: name("a") });
    assert_eq!(proposed, Err(not_a_member));
    stop.send(()).unwrap();
    within("the coordinator ends", task).await.unwrap();
}
