//! Who is let in, and what is said to who is not.

use std::sync::Arc;

use coordinator::contract::{Digest, JobId, Nonce};
use coordinator::tls::{self, Fingerprint, Identity, Pins, Trouble};
use protocols::party::Seat;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fixture::{World, bindings, guarded, name, raw_pair};
use crate::net::close::{Ending, Objection};
use crate::net::connect::{ConnectCause, Connector};
use crate::net::handshake::{
    Binding, Caller, Channel, Epoch, HELLO_BYTES, HandshakeError, Hello, SIGN_CONTEXT, dial,
    exporter,
};
use crate::net::listener::Listener;

fn two() -> (Identity, Identity) {
    let identity = |i| Identity::generate(name(i), 1).expect("an identity");
    (identity(0), identity(1))
}

type Outcome = Result<Channel, HandshakeError>;

/// Runs a handshake between seat 0, who dials, and seat 1, each with a binding of its own.
async fn handshake(ids: &(Identity, Identity), a: &Binding, b: &Binding) -> (Outcome, Outcome) {
    let (dialled, accepted, _endpoints) = raw_pair(&ids.0, &ids.1).await;
    let answering = async {
        let caller = Caller::listen(accepted).await?;
        caller.answer(b, &ids.1, Seat(0)).await
    };
    tokio::join!(dial(dialled, a, &ids.0, Seat(1)), answering)
}

#[tokio::test]
async fn both_ends_share_a_secret_that_differs_from_run_to_run() {
    guarded(async {
        let ids = two();
        let mut secrets = Vec::new();
        for run in [1, 1, 2] {
            let b = bindings(&[&ids.0, &ids.1], run);
            let (left, right) = handshake(&ids, &b[0], &b[1]).await;
            let (left, right) = (left.expect("dialled"), right.expect("answered"));
            assert_eq!(left.pair_seed.as_bytes(), right.pair_seed.as_bytes());
            secrets.push(*left.pair_seed.as_bytes());
        }
        assert_ne!(secrets[0], secrets[1], "two connections of one run");
        assert_ne!(secrets[0], secrets[2]);
        assert_ne!(secrets[1], secrets[2]);
    })
    .await;
}

const EPOCH: Epoch = Epoch {
    issuer: Fingerprint([7; 32]),
    version: 3,
};
const LATER: Epoch = Epoch {
    version: 4,
    ..EPOCH
};

/// Lists of different issuers, or of one end alone, are no reason to refuse.
#[tokio::test]
async fn only_versions_of_one_list_are_compared() {
    let other = Epoch {
        issuer: Fingerprint([8; 32]),
        ..LATER
    };
    guarded(async {
        let ids = two();
        for (a, b) in [
            (Some(EPOCH), Some(EPOCH)),
            (Some(EPOCH), Some(other)),
            (Some(EPOCH), None),
            (None, Some(LATER)),
        ] {
            let mut ends = bindings(&[&ids.0, &ids.1], 1);
            (ends[0].epoch, ends[1].epoch) = (a, b);
            let (dialler, answerer) = handshake(&ids, &ends[0], &ends[1]).await;
            assert!(dialler.is_ok() && answerer.is_ok(), "{a:?} {b:?}");
        }
    })
    .await;
}

/// A change to what one end knows, and the objection that it leads to.
type Difference = (&'static str, fn(&mut Binding), Objection);

#[tokio::test]
async fn two_ends_that_disagree_both_say_in_what() {
    const DIFFERENCES: [Difference; 7] = [
        (
            "the version of a list of revoked keys",
            |b| b.epoch = Some(LATER),
            Objection::Epoch,
        ),
        ("job", |b| b.job_id = JobId([9; 16]), Objection::Job),
        (
            "contract",
            |b| b.contract = Digest([9; 32]),
            Objection::Contract,
        ),
        ("plan", |b| b.plan = Digest([9; 32]), Objection::Plan),
        (
            "a nonce",
            |b| b.nonces[1] = Nonce([9; 32]),
            Objection::Session,
        ),
        (
            "the order of nonces",
            |b| b.nonces.swap(0, 1),
            Objection::Session,
        ),
        ("a name", |b| b.parties[1].0 = name(7), Objection::Signature),
    ];
    guarded(async {
        let ids = two();
        let mut right = bindings(&[&ids.0, &ids.1], 1);
        right.iter_mut().for_each(|b| b.epoch = Some(EPOCH));
        for (what, change, objection) in DIFFERENCES {
            for differs in [0, 1] {
                let mut changed = right.clone();
                change(&mut changed[differs]);
                let (dialler, answerer) = handshake(&ids, &changed[0], &changed[1]).await;
                assert_eq!(
                    dialler.err(),
                    Some(HandshakeError::Refused(objection)),
                    "{what} at seat {differs}: the dialler"
                );
                assert_eq!(
                    answerer.err(),
                    Some(HandshakeError::Objected(objection)),
                    "{what} at seat {differs}: the other"
                );
            }
        }
    })
    .await;
}

/// What seat 1 says to a caller with `tls`'s key, after a first message that `make` writes, given the exporter.
async fn answer_to(
    tls: &Identity,
    me: &Identity,
    b: &[Binding],
    make: impl FnOnce(&[u8; 32]) -> Vec<u8>,
) -> Option<Objection> {
    let (dialled, accepted, _endpoints) = raw_pair(tls, me).await;
    let talk = async {
        let exporter = exporter(&dialled, &b[0].job_id).expect("exported");
        let (mut send, _recv) = dialled.open_bi().await.expect("a stream");
        send.write_all(&make(&exporter)).await.expect("sent");
        dialled.closed().await
    };
    let answering = async {
        Caller::listen(accepted)
            .await?
            .answer(&b[1], me, Seat(0))
            .await
    };
    let (closed, answered) = tokio::join!(talk, answering);
    let Some(HandshakeError::Objected(objection)) = answered.err() else {
        return None;
    };
    assert_eq!(Ending::of(&closed), Some(Ending::Refused(objection)));
    Some(objection)
}

/// A change to one field of a message, and the objection that it leads to.
type Forgery = (&'static str, fn(&mut Hello), Objection);

/// Every field is compared, and with what this agent knows: the signature is right in all of these.
#[tokio::test]
async fn each_field_of_a_hello_is_checked() {
    const FORGERIES: [Forgery; 12] = [
        ("epoch", |h| h.epoch = Some(EPOCH), Objection::Signature),
        ("job", |h| h.job_id = JobId([9; 16]), Objection::Job),
        (
            "contract",
            |h| h.contract = Digest([9; 32]),
            Objection::Contract,
        ),
        ("plan", |h| h.plan = Digest([9; 32]), Objection::Plan),
        ("nonces", |h| h.session = [9; 32], Objection::Session),
        ("our own seat", |h| h.from = Seat(1), Objection::Reflected),
        ("a third seat", |h| h.from = Seat(2), Objection::Seats),
        ("to its own seat", |h| h.to = Seat(0), Objection::Seats),
        ("to a third seat", |h| h.to = Seat(2), Objection::Seats),
        ("more seats", |h| h.n_seats = 4, Objection::Seats),
        ("key", |h| h.key.0[0] ^= 1, Objection::Key),
        ("signature", |h| h.signature.0[0] ^= 1, Objection::Signature),
    ];
    guarded(async {
        let (a, me) = two();
        let third = Identity::generate(name(2), 1).expect("an identity");
        let b = bindings(&[&a, &me, &third], 1);
        for (what, change, objection) in FORGERIES {
            let said = answer_to(&a, &me, &b, |exporter| {
                let mut hello = Hello::signed(&b[0], &a, Seat(1), exporter);
                change(&mut hello);
                hello.encode().to_vec()
            });
            assert_eq!(said.await, Some(objection), "{what}");
        }
        let version = answer_to(&a, &me, &b, |exporter| {
            let mut bytes = Hello::signed(&b[0], &a, Seat(1), exporter).encode();
            bytes[7] = b'2';
            bytes.to_vec()
        });
        assert_eq!(version.await, Some(Objection::Malformed), "version");
        // Another party's words over a connection of one's own, with that party's help.
        let lent = answer_to(&third, &me, &b, |exporter| {
            let hello = Hello::signed(&b[0], &a, Seat(1), exporter);
            hello.encode().to_vec()
        });
        assert_eq!(lent.await, Some(Objection::Key), "a lent signature");
    })
    .await;
}

/// What a signature was made for: the binding, the two seats, and the exporter.
struct Signed {
    binding: Binding,
    epoch: Option<Epoch>,
    from: Seat,
    to: Seat,
    exporter: [u8; 32],
}

/// Every part of what is agreed on is signed: all fields are right in these, and the signature is for something else.
#[tokio::test]
async fn a_signature_for_anything_else_is_refused() {
    const PARTS: [(&str, fn(&mut Signed)); 11] = [
        ("an epoch", |s| s.epoch = Some(EPOCH)),
        ("job", |s| s.binding.job_id = JobId([9; 16])),
        ("contract", |s| s.binding.contract = Digest([9; 32])),
        ("plan", |s| s.binding.plan = Digest([9; 32])),
        ("a nonce", |s| s.binding.nonces[2] = Nonce([9; 32])),
        ("the order of nonces", |s| s.binding.nonces.swap(0, 2)),
        ("a party's name", |s| s.binding.parties[2].0 = name(7)),
        ("a party's key", |s| s.binding.parties[2].1.0[0] ^= 1),
        ("the sender's seat", |s| s.from = Seat(2)),
        ("the receiver's seat", |s| s.to = Seat(2)),
        ("the connection", |s| s.exporter[0] ^= 1),
    ];
    guarded(async {
        let (a, me) = two();
        let third = Identity::generate(name(2), 1).expect("an identity");
        let b = bindings(&[&a, &me, &third], 1);
        let said = async |signer: &Identity, context: &str, change: fn(&mut Signed)| {
            let sign = |exporter: &[u8; 32]| {
                let mut signed = Signed {
                    binding: b[0].clone(),
                    epoch: None,
                    from: Seat(0),
                    to: Seat(1),
                    exporter: *exporter,
                };
                change(&mut signed);
                let Signed { binding, to, .. } = &signed;
                let sender = (signed.from, signed.epoch);
                let transcript = binding.transcript(sender, *to, &signed.exporter);
                let mut hello = Hello::signed(&b[0], &a, Seat(1), exporter);
                hello.signature = signer.sign(context, &transcript);
                hello.encode().to_vec()
            };
            answer_to(&a, &me, &b, sign).await
        };
        for (what, change) in PARTS {
            let objection = said(&a, SIGN_CONTEXT, change).await;
            assert_eq!(objection, Some(Objection::Signature), "{what}");
        }
        let purpose = said(&a, "entente/v1/test", |_| {}).await;
        assert_eq!(purpose, Some(Objection::Signature), "another purpose");
        let signer = said(&third, SIGN_CONTEXT, |_| {}).await;
        assert_eq!(signer, Some(Objection::Signature), "another signer");
    })
    .await;
}

#[tokio::test]
async fn a_party_in_anothers_seat_is_refused() {
    guarded(async {
        let ids = two();
        let third = Identity::generate(name(2), 1).expect("an identity");
        // Seat 2's key, which TLS has proved, claims seat 0.
        let claims = bindings(&[&ids.0, &ids.1, &third], 1);
        let (dialled, accepted, _endpoints) = raw_pair(&third, &ids.1).await;
        let answering = async {
            Caller::listen(accepted)
                .await?
                .answer(&claims[1], &ids.1, Seat(0))
                .await
        };
        let (dialler, answerer) =
            tokio::join!(dial(dialled, &claims[0], &third, Seat(1)), answering);
        assert_eq!(
            answerer.err(),
            Some(HandshakeError::Objected(Objection::Key))
        );
        assert_eq!(dialler.err(), Some(HandshakeError::Refused(Objection::Key)));
    })
    .await;
}

#[tokio::test]
async fn a_message_sent_back_or_shown_again_is_refused() {
    guarded(async {
        let ids = two();
        let b = bindings(&[&ids.0, &ids.1], 1);
        // A peer that has nothing to say but our own words.
        let (dialled, accepted, _endpoints) = raw_pair(&ids.0, &ids.1).await;
        let mirror = async {
            let (mut send, mut recv) = accepted.accept_bi().await.expect("a stream");
            let mut hello = [0; HELLO_BYTES];
            recv.read_exact(&mut hello).await.expect("a hello");
            send.write_all(&hello).await.expect("sent back");
            accepted.closed().await;
            hello
        };
        let (dialler, recorded) = tokio::join!(dial(dialled, &b[0], &ids.0, Seat(1)), mirror);
        assert_eq!(
            dialler.err(),
            Some(HandshakeError::Objected(Objection::Reflected))
        );

        // The same words on another connection of the same two parties.
        let (dialled, accepted, _endpoints) = raw_pair(&ids.0, &ids.1).await;
        let replay = async {
            let (mut send, _recv) = dialled.open_bi().await.expect("a stream");
            send.write_all(&recorded).await.expect("sent again");
            dialled.closed().await
        };
        let answering = async {
            Caller::listen(accepted)
                .await?
                .answer(&b[1], &ids.1, Seat(0))
                .await
        };
        let (closed, answerer) = tokio::join!(replay, answering);
        assert_eq!(
            answerer.err(),
            Some(HandshakeError::Objected(Objection::Signature))
        );
        assert_eq!(
            Ending::of(&closed),
            Some(Ending::Refused(Objection::Signature))
        );
    })
    .await;
}

#[tokio::test]
async fn silence_and_garbage_are_refused() {
    guarded(async {
        let ids = two();
        let b = bindings(&[&ids.0, &ids.1], 1);
        for (bytes, objection) in [
            (vec![], Objection::Slow),
            (vec![0; HELLO_BYTES - 1], Objection::Slow),
            (vec![0; HELLO_BYTES], Objection::Malformed),
        ] {
            let (dialled, accepted, _endpoints) = raw_pair(&ids.0, &ids.1).await;
            let talk = async {
                let (mut send, _recv) = dialled.open_bi().await.expect("a stream");
                send.write_all(&bytes).await.expect("sent");
                dialled.closed().await
            };
            let answering = async {
                Caller::listen(accepted)
                    .await?
                    .answer(&b[1], &ids.1, Seat(0))
                    .await
            };
            let (closed, answerer) = tokio::join!(talk, answering);
            assert_eq!(
                answerer.err(),
                Some(HandshakeError::Objected(objection)),
                "{} bytes",
                bytes.len()
            );
            assert_eq!(
                Ending::of(&closed),
                Some(Ending::Refused(objection)),
                "{} bytes",
                bytes.len()
            );
        }
    })
    .await;
}

#[test]
fn a_mutated_hello_is_read_as_itself_or_not_at_all() {
    const SEED: u64 = 0x68656c6c6f;
    println!("seed {SEED:#x}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let hello = Hello {
        job_id: JobId([1; 16]),
        contract: Digest([2; 32]),
        plan: Digest([3; 32]),
        session: [4; 32],
        epoch: Some(EPOCH),
        from: Seat(5),
        to: Seat(6),
        n_seats: 7,
        key: coordinator::contract::PublicKey([8; 32]),
        signature: coordinator::contract::SignatureBytes([9; 64]),
    };
    let bytes = hello.encode();
    assert_eq!(Hello::decode(&bytes), Ok(hello));
    for len in 0..HELLO_BYTES {
        assert_eq!(Hello::decode(&bytes[..len]), Err(Objection::Malformed));
    }
    assert_eq!(
        Hello::decode(&[&bytes[..], &[0]].concat()),
        Err(Objection::Malformed)
    );
    for _ in 0..20_000 {
        let mut mutated = bytes;
        for _ in 0..rng.random_range(1..4) {
            mutated[rng.random_range(0..HELLO_BYTES)] ^= 1 << rng.random_range(0..8);
        }
        match Hello::decode(&mutated) {
            Ok(read) => assert_eq!(read.encode(), mutated),
            Err(objection) => assert_eq!(objection, Objection::Malformed),
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_pinned_or_that_is_out_of_date_is_refused_at_both_ends() {
    guarded(async {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let day = 86_400;
        let good = Identity::generate(name(1), 1).expect("an identity");
        for (made, pinned, code) in [
            (Identity::generate(name(0), 1), false, "unpinned"),
            (
                Identity::generate_between(name(0), now - 3 * day, now - day),
                true,
                "expired",
            ),
            (
                Identity::generate_between(name(0), now + day, now + 3 * day),
                true,
                "not-yet-valid",
            ),
        ] {
            let caller = made.expect("an identity");
            let mut pins = Pins::new();
            if pinned {
                let pin = coordinator::tls::Pin::new(name(0), caller.fingerprint());
                pins.add(pin).expect("one pin");
            }
            let any = "127.0.0.1:0".parse().expect("an address");
            let listener = Listener::start(any, &good, Arc::new(pins)).expect("listens");
            let address = listener.local_addr().expect("bound").to_string();
            let b = bindings(&[&caller, &good], 1);
            let endpoint = tls::endpoint(any, None).expect("a socket");
            let world = World::new(&[]);
            let connector = Connector {
                identity: &caller,
                endpoint: &endpoint,
                listener: None,
                relay: &world.relay,
            };
            let error = connector
                .connect(&b[0], &[None, Some(address)])
                .await
                .err()
                .expect("refused");
            let ConnectCause::Handshake(HandshakeError::Connection(trouble)) = error.cause else {
                panic!("{code}: {error}");
            };
            assert!(matches!(trouble, Trouble::PeerRefused), "{code}: {trouble}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_with_another_key_than_the_contracts_is_refused() {
    guarded(async {
        let world = World::new(&[false, true]);
        let stranger = Identity::generate(name(5), 1).expect("an identity");
        // The coordinator's address leads to somebody whom everybody trusts, who is not the party of the contract.
        let mut b = world.bindings[0].clone();
        b.parties[1] = (name(5), stranger.fingerprint());
        let address = world.addresses[1].as_deref().expect("party 1 listens");
        let connector = world.connector(0);
        let dialled = connector.with(&b, Seat(1)).dial_direct(address).await;
        let error = dialled.err().expect("refused");
        let HandshakeError::Unproven(Trouble::WeRefused { code, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!(code, "wrong-key");
    })
    .await;
}
