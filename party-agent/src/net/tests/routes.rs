//! How two agents find a way to each other when somebody is in it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coordinator::contract::{JobId, PartyName};
use coordinator::tls::{self, Admit, Expect, Fingerprint, Identity, Pin, Pins, Refusal, Trouble};
use futures::future::{join, select_all};
use protocols::net::BoxFuture;
use protocols::party::Seat;
use quinn::{Connection, Endpoint};
use tokio::sync::Notify;

use super::fixture::{Party, World, guarded, name};
use super::links::everybody_exchanges;
use crate::net::close::{Ending, Objection};
use crate::net::connect::{ConnectCause, Connector, Relay, RelayLeg, Route};
use crate::net::handshake::{HandshakeError, Hello, exporter, greet};
use crate::net::listener::{Listener, Places};

/// Lets anybody in.
#[derive(Debug)]
struct Anybody;

impl Admit for Anybody {
    fn admit(&self, _: &Fingerprint, _: Option<&PartyName>) -> Result<PartyName, Refusal> {
        Ok(name(9))
    }
}

/// Somebody who sits at a party's address, and is not that party.
fn stranger() -> Endpoint {
    let identity = Identity::generate(name(9), 1).expect("an identity");
    let any = "127.0.0.1:0".parse().expect("an address");
    let config = tls::server_config(&identity, Arc::new(Anybody));
    let endpoint = tls::endpoint(any, Some(config)).expect("listens");
    let listening = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = listening.accept().await {
            // Refused by the dialler: nothing comes of it.
            let _ = incoming.await;
        }
    });
    endpoint
}

/// What is said at an address by whoever sits there does not stop a job: the relay leads to the party itself.
#[tokio::test]
async fn a_stranger_at_a_partys_address_is_passed_by() {
    guarded(async {
        let stranger = stranger();
        let mut world = World::new(&[false, false]);
        world.addresses[1] = Some(stranger.local_addr().expect("bound").to_string());
        everybody_exchanges(&world, Route::Relayed).await;
    })
    .await;
}

/// The relay of a party, which refuses so many times first.
struct Reluctant<'a> {
    relay: Option<&'a dyn Relay>,
    n_refusals: AtomicUsize,
}

impl Relay for Reluctant<'_> {
    fn open<'a>(&'a self, job: JobId, peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        let one_less = |n: usize| n.checked_sub(1);
        let refuses = self
            .n_refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        match self.relay {
            Some(relay) if refuses.is_err() => relay.open(job, peer),
            _ => Box::pin(std::future::ready(Err(io::Error::other("nobody is there")))),
        }
    }
}

/// A peer may be busy for nearly as long as it is waited for at all. At four tries a second this takes 18 s.
#[tokio::test]
async fn legs_of_the_relay_are_asked_for_until_the_peer_is_given_up() {
    guarded(async {
        let world = World::new(&[false, false]);
        let reluctant = Reluctant {
            relay: Some(&world.relay),
            n_refusals: AtomicUsize::new(72),
        };
        let late = Connector {
            relay: &reluctant,
            ..world.connector(0)
        };
        let other = world.connector(1);
        let (late, other) = join(
            late.connect(&world.bindings[0], &world.addresses),
            other.connect(&world.bindings[1], &world.addresses),
        )
        .await;
        assert_eq!(late.expect("connected")[0].1, Route::Relayed);
        assert_eq!(other.expect("connected")[0].1, Route::Relayed);
    })
    .await;
}

/// A leg that breaks before the two have shaken hands is opened anew, at both ends.
#[tokio::test]
async fn a_leg_that_breaks_is_opened_again() {
    guarded(async {
        let world = World::new(&[false, false]);
        world.relay.n_cuts.store(2, Ordering::SeqCst);
        everybody_exchanges(&world, Route::Relayed).await;
    })
    .await;
}

/// When no way leads to a peer, the reason that a person can do something about is told, and not the last one.
#[tokio::test]
async fn the_reason_that_is_told_is_the_one_that_can_be_mended() {
    guarded(async {
        let stranger = stranger();
        let mut world = World::new(&[false, false]);
        world.addresses[1] = Some(stranger.local_addr().expect("bound").to_string());
        let nowhere = Reluctant {
            relay: None,
            n_refusals: AtomicUsize::new(0),
        };
        let connector = Connector {
            relay: &nowhere,
            ..world.connector(0)
        };
        let binding = &world.bindings[0];
        let (stranger, nobody) = join(
            connector.connect(binding, &world.addresses),
            connector.connect(binding, &[None, None]),
        )
        .await;
        let error = stranger.err().expect("nobody is there");
        let ConnectCause::Handshake(HandshakeError::Unproven(Trouble::WeRefused { code, .. })) =
            error.cause
        else {
            panic!("{error}");
        };
        assert_eq!(code, "wrong-key");
        // With nothing more telling, it is the relay's word.
        let error = nobody.err().expect("nobody is there");
        assert!(matches!(error.cause, ConnectCause::Relay(_)), "{error}");
    })
    .await;
}

async fn dial(world: &World, from: usize, to: &Listener, key: Fingerprint) -> Connection {
    let Party {
        identity, endpoint, ..
    } = &world.parties[from];
    let expected = Expect {
        name: name(0),
        fingerprint: key,
    };
    let mut config = tls::client_config(identity, Arc::new(expected));
    config.transport_config(Arc::new(crate::net::transport()));
    let address = to.local_addr().expect("bound");
    let connecting = endpoint.connect_with(config, address, tls::SERVER_NAME);
    connecting.expect("dials").await.expect("connected")
}

/// A relay that rings when it is asked for the way to party 2, and never leads anywhere.
struct Bell(Notify);

impl Relay for Bell {
    fn open<'a>(&'a self, _: JobId, peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        if *peer == name(2) {
            self.0.notify_one();
        }
        Box::pin(std::future::pending())
    }
}

/// The time that a party waits for direct calls is over in the middle of a handshake: the dialler holds the connection for
/// made, so it has to be made at the other end too.
#[tokio::test]
async fn a_handshake_that_has_begun_is_brought_to_its_end() {
    guarded(async {
        let world = World::new(&[false, true, false]);
        let b = &world.bindings;
        let bell = Bell(Notify::new());
        let connector = Connector {
            relay: &bell,
            ..world.connector(1)
        };
        let listener = world.parties[1].listener.as_ref().expect("party 1 listens");
        let dialled = async {
            let identity = &world.parties[0].identity;
            let key = world.parties[1].identity.fingerprint();
            let connection = dial(&world, 0, listener, key).await;
            let greeted = greet(connection, &b[0], identity, Seat(1)).await;
            let greeted = greeted.expect("answered");
            bell.0.notified().await;
            greeted.ready().await.expect("made")
        };
        let (one, two) = (
            connector.with(&b[1], Seat(0)),
            connector.with(&b[1], Seat(2)),
        );
        let nobody = two.answer(true);
        let both = join(one.answer(true), dialled);
        let (answered, _dialled) = tokio::select! {
            both = both => both,
            _ = nobody => panic!("party 2 does not come"),
        };
        assert_eq!(answered.expect("made").0, Route::Direct);
    })
    .await;
}

/// Four parties that trust each other, and a listener of the first with these places.
fn crowd(places: Places) -> (World, Listener, Fingerprint) {
    let world = World::new(&[false; 4]);
    let mut pins = Pins::new();
    for party in &world.parties {
        let pin = Pin::new(party.identity.name().clone(), party.identity.fingerprint());
        pins.add(pin).expect("distinct names and keys");
    }
    let any = "127.0.0.1:0".parse().expect("an address");
    let identity = &world.parties[0].identity;
    let listener = Listener::start_with(any, identity, Arc::new(pins), places).expect("listens");
    let key = identity.fingerprint();
    (world, listener, key)
}

/// Says a proper hello for a job that does not run.
async fn wait_in_line(world: &World, from: usize, connection: &Connection) -> quinn::SendStream {
    let mut binding = world.bindings[from].clone();
    binding.job_id = JobId([77; 16]);
    let exporter = exporter(connection, &binding.job_id).expect("exported");
    let identity = &world.parties[from].identity;
    let hello = Hello::signed(&binding, identity, Seat(0), &exporter);
    let (mut send, _recv) = connection.open_bi().await.expect("a stream");
    // A connection that is refused meanwhile is what the test waits for.
    let _ = send.write_all(&hello.encode()).await;
    send
}

/// A party that calls again and again gets so many places, and leaves the others theirs.
#[tokio::test]
async fn one_party_cannot_take_all_places() {
    guarded(async {
        let (world, listener, key) = crowd(Places {
            in_total: 6,
            of_one: 3,
        });
        let mut connections = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..4 {
            let connection = dial(&world, 1, &listener, key).await;
            streams.push(wait_in_line(&world, 1, &connection).await);
            connections.push(connection);
        }
        let closed = connections.iter().map(|c| Box::pin(c.closed()));
        let (first, _, rest) = select_all(closed).await;
        assert_eq!(
            Ending::of(&first),
            Some(Ending::Refused(Objection::TooMany))
        );
        drop(rest);
        // Another party is heard all the same.
        let mut inbox = listener.expect(JobId([77; 16]), world.parties[2].identity.fingerprint());
        let connection = dial(&world, 2, &listener, key).await;
        let _stream = wait_in_line(&world, 2, &connection).await;
        let caller = inbox.next().await;
        assert_eq!(
            caller.fingerprint(),
            Some(world.parties[2].identity.fingerprint())
        );
    })
    .await;
}

/// With all places taken, nobody more is let in, whoever it is.
#[tokio::test]
async fn there_are_so_many_places_in_total() {
    guarded(async {
        let (world, listener, key) = crowd(Places {
            in_total: 4,
            of_one: 3,
        });
        let mut kept = Vec::new();
        for from in [1, 2, 1, 2] {
            let connection = dial(&world, from, &listener, key).await;
            let stream = wait_in_line(&world, from, &connection).await;
            kept.push((connection, stream));
        }
        let identity = &world.parties[3].identity;
        let expected = Expect {
            name: name(0),
            fingerprint: key,
        };
        let config = tls::client_config(identity, Arc::new(expected));
        let address = listener.local_addr().expect("bound");
        let connecting = world.parties[3]
            .endpoint
            .connect_with(config, address, tls::SERVER_NAME);
        let error = connecting.expect("dials").await.expect_err("refused");
        assert!(
            matches!(error, quinn::ConnectionError::ConnectionClosed(_)),
            "{error}"
        );
    })
    .await;
}
