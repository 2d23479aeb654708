//! A party changes over to another key: what partners take in, what they refuse, and for how long both keys count.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use coordinator::client::ClientError;
use coordinator::client::{ClientConfig, CoordinatorClient, Events, Link};
use coordinator::clock::SystemClock;
use coordinator::config::{Limits, Members};
use coordinator::contract::{CatalogueDoc, Signed};
use coordinator::control::CallError;
use coordinator::enrol::{EnrolError, Handover, MAX_OVERLAP_SECONDS, Rotation};
use coordinator::server::Server;
use coordinator::tls::{Identity, IdentityError, Pin, Pins};

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

/// Says no for this reason, and leaves the list as it was.
fn refused(what: &str, handover: &Handover, pins: &Pins, at: u64, why: &str) {
    let mut changed = pins.clone();
    let Err(error) = handover.accept(&mut changed, at) else {
        panic!("{what} is taken in");
    };
    assert!(error.to_string().contains(why), "{what}: {error}");
    assert_eq!(changed, *pins, "{what}");
}

#[test]
fn a_change_that_not_both_keys_have_signed_is_refused() {
    let [old, new, thief] = ["a", "a", "a"].map(identity);
    let (good, stolen) = (handed_on(&old, &new), handed_on(&thief, &new));
    let (known, now) = (pins([&old]), now());
    let part = |of: &Handover, which: &str| serde_json::to_value(of).unwrap()[which].clone();
    let by_new = with(&good, |d| d["old"] = part(&good, "new"));
    let by_old = with(&good, |d| d["new"] = part(&good, "old"));
    let of_two = with(&good, |d| d["old"] = part(&stolen, "old"));
    let longer = with(&good, |d| {
        let body = d["old"]["body"].as_str().unwrap();
        d["old"]["body"] = body.replace("\"until\":1", "\"until\":2").into();
    });
    let signatures = "two signatures are not those";
    refused("by the new key alone", &by_new, &known, now, signatures);
    refused("by the old key alone", &by_old, &known, now, signatures);
    refused("of two changes", &of_two, &known, now, signatures);
    refused("altered", &longer, &known, now, "not validly signed");
    assert!(matches!(by_new.verify(), Err(EnrolError::Rotation { .. })));
    let said: Rotation = good.verify().unwrap();
    assert_eq!(said.party, name("a"));
}

#[test]
fn a_change_that_is_late_or_out_of_order_is_refused() {
    let [old, new, thief, third, other] = ["a", "a", "a", "a", "b"].map(identity);
    let (good, stolen) = (handed_on(&old, &new), handed_on(&thief, &new));
    let (known, now) = (pins([&old, &other]), now());
    let mut gone_on = known.clone();
    handed_on(&old, &third).accept(&mut gone_on, now).unwrap();
    let of_b = Handover::sign(&old, &other, now, WEEK).unwrap();
    let follows = "follows another key";
    refused("of an unknown key", &stolen, &known, now, follows);
    refused("a second one", &good, &gone_on, now, follows);
    let stranger = "a is not trusted here";
    refused("of a stranger", &good, &pins([&other]), now, stranger);
    let late = now + WEEK + 60;
    refused("too late", &good, &known, late, "counts no longer");
    refused("to b's key", &of_b, &known, now, "trusted already, as b");
    let forever = Handover::sign(&old, &new, now, MAX_OVERLAP_SECONDS + 1);
    assert!(forever.is_err(), "for too long");
    assert!(Handover::sign(&old, &old, now, WEEK).is_err(), "to itself");
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

/// A coordinator that reads its members from a file.
struct Hub {
    key: Arc<Identity>,
    file: PathBuf,
    address: String,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    _world: World,
}

impl Hub {
    async fn start(members: &Pins) -> Self {
        let world = World::start(&[], Limits::default()).await;
        let (key, file) = (identity("hub"), world.dir.path().join("trusted.toml"));
        members.save(&file).unwrap();
        let mut config = world.config(Limits::default(), Arc::new(SystemClock));
        config.identity = Arc::clone(&key);
        config.listen.set_port(0);
        config.state_dir = world.dir.path().join("of_hub");
        config.members = Members {
            file: Some(file.clone()),
            ..Members::default()
        };
        let server = Server::bind(config).await.unwrap();
        let address = server.local_addr().to_string();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self {
            key,
            file,
            address,
            stop,
            task,
            _world: world,
        }
    }

    async fn connect(&self, identity: &Arc<Identity>) -> (CoordinatorClient, Events) {
        let hub = expect(&self.key);
        let config = ClientConfig::new(Arc::clone(identity), self.address.clone(), hub);
        let (client, events) = CoordinatorClient::connect(config);
        client.wait_up(HANG).await.unwrap();
        (client, events)
    }
}

/// A member publishes and proposes under one of its keys, as another one sees.
async fn takes_part(key: &Arc<Identity>, client: &CoordinatorClient, seen_by: &CoordinatorClient) {
    let present = seen_by.directory().await.unwrap();
    let present = present.iter().find(|p| p.name == *key.name());
    assert_eq!(present.unwrap().fingerprint, key.fingerprint());
    // The same words are published anew when the key is another one.
    let catalogue = CatalogueDoc {
        party: key.name().clone(),
        version: 1,
        body: "{}".to_owned(),
        directed: Vec::new(),
    };
    let signed = Signed::sign(&catalogue, key).unwrap();
    client.publish_catalogue(signed).await.unwrap();
    let kept = seen_by.catalogue(key.name()).await.unwrap();
    assert_eq!(kept.unwrap().catalogue.public_key(), key.public_key());
}

/// A member connects, publishes and takes part with either key while both count, and is put out with the old one at its end.
#[tokio::test(flavor = "multi_thread")]
async fn both_keys_are_let_in_while_they_count() {
    let [old, new, b] = ["a", "a", "b"].map(identity);
    let mut known = pins([&old, &b]);
    handed_on(&old, &new).accept(&mut known, now()).unwrap();
    let hub = Hub::start(&known).await;
    let (client_b, _events_b) = hub.connect(&b).await;
    for (number, key) in (1..).zip([&old, &new, &old]) {
        let (client, _events) = hub.connect(key).await;
        takes_part(key, &client, &client_b).await;
        let job = contract(&[key, &b], number);
        let signed = Signed::sign(&job, key).unwrap();
        client.propose(signed).await.unwrap();
        client.accept(accept(&job, key)).await.unwrap();
        client.close();
    }
    // What the key that is not in use has signed is not taken from the one that is.
    let (client, _events) = hub.connect(&new).await;
    let job = contract(&[&old, &b], 9);
    let swapped = client.propose(Signed::sign(&job, &old).unwrap()).await;
    let invalid =
        |error: &ClientError| matches!(error, ClientError::Refused(CallError::Invalid { .. }));
    assert!(swapped.as_ref().is_err_and(invalid), "{swapped:?}");
    client.close();
    // The old key's time is over.
    let (client, _events) = hub.connect(&old).await;
    let mut ended = pins([&old, &b]);
    let (a, last) = (name("a"), now() - 1);
    ended.succeed(&a, new.fingerprint(), last).unwrap();
    ended.save(&hub.file).unwrap();
    let is_down =
        |link: &Link| matches!(link, Link::Down { why: Some(why), .. } if why.needs_a_person());
    let mut link = client.link();
    let put_out = within("a is put out", link.wait_for(is_down)).await;
    assert!(put_out.is_ok());
    let mut job = contract(&[&old, &b], 10);
    job.proposer = name("b");
    let proposed = client_b.propose(Signed::sign(&job, &b).unwrap()).await;
    let not_a_member = ClientError::Refused(CallError::NotAMember { party: a });
    assert_eq!(proposed, Err(not_a_member));
    hub.stop.send(()).unwrap();
    within("the coordinator ends", hub.task).await.unwrap();
}

/// A coordinator changes over: whoever has taken its new key in reaches it before and after, and nobody else afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_changes_over_is_reached_under_both_keys() {
    let a = identity("a");
    let mut hub = Hub::start(&pins([&a])).await;
    let next = identity("hub");
    let mut known = pins([&hub.key]);
    handed_on(&hub.key, &next)
        .accept(&mut known, now())
        .unwrap();
    let both = known.find(&name("hub")).unwrap().clone();
    let mut late = both.clone();
    late.former[0].until = now() - 1;
    let old = expect(&hub.key);
    // Before: the old key, which counts for its time.
    assert!(hub.lets_in(&a, both.clone()).await);
    assert!(hub.lets_in(&a, old.clone()).await);
    assert!(!hub.lets_in(&a, late.clone()).await);
    hub.change_over(next).await;
    for (pin, is_let_in) in [(both, true), (late, true), (old.into(), false)] {
        assert_eq!(hub.lets_in(&a, pin).await, is_let_in);
    }
    hub.stop.send(()).unwrap();
    within("the coordinator ends", hub.task).await.unwrap();
}

impl Hub {
    /// Whether an agent that expects these keys comes to speak with the coordinator.
    async fn lets_in(&self, agent: &Arc<Identity>, hub: impl Into<Pin>) -> bool {
        let config = ClientConfig::new(Arc::clone(agent), self.address.clone(), hub);
        let (client, events) = CoordinatorClient::connect(config);
        let mut link = client.link();
        let is_told =
            |link: &Link| matches!(link, Link::Up { .. } | Link::Down { why: Some(_), .. });
        let told = within("an answer", link.wait_for(is_told)).await;
        let told = told.unwrap().clone();
        client.close();
        events.closed().await;
        match told {
            Link::Up { .. } => true,
            Link::Down { why: Some(why), .. } => {
                assert!(why.needs_a_person(), "{why}");
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// Ends, and starts again with another key over the same state.
    async fn change_over(&mut self, next: Arc<Identity>) {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::mem::replace(&mut self.stop, stop).send(()).unwrap();
        (&mut self.task).await.unwrap();
        let mut config = self._world.config(Limits::default(), Arc::new(SystemClock));
        config.identity = Arc::clone(&next);
        config.listen.set_port(0);
        config.state_dir = self._world.dir.path().join("of_hub");
        config.members = Members {
            file: Some(self.file.clone()),
            ..Members::default()
        };
        let server = Server::bind(config).await.unwrap();
        self.address = server.local_addr().to_string();
        self.task = tokio::spawn(server.run(async { drop(stopped.await) }));
        self.key = next;
    }
}
