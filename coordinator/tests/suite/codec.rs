//! Control messages as bytes: round trips, mutations, truncations, and lengths that lie.

use std::collections::BTreeMap;

use coordinator::contract::{CatalogueDoc, Digest, JobId, PartyName, Published, Signed};
use coordinator::control::codec::{CodecError, MAX_FRAME_BYTES, decode, encode};
use coordinator::control::{
    Answer, CONTROL_VERSION, Call, CallError, CatalogueId, DirectoryEntry, Event, FromCoordinator,
    Hello, JobCount, Opening, OpeningReply, RelayRefusal, Request, Start,
};
use coordinator::job::{FailureClass, JobState, JobSummary, JobView, Outcome, StopReason};
use coordinator::tls::Fingerprint;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{accept, contract, directed, identity, name, reject};

const SEED: u64 = 20_261_121;

fn openings() -> Vec<Opening> {
    let hello = |reachable_at| Hello {
        name: name("a"),
        software: "0.1.0".into(),
        reachable_at,
    };
    vec![
        Opening::Control(hello(None)),
        Opening::Control(hello(Some("203.0.113.7:7401".into()))),
        Opening::Relay {
            job_id: JobId([3; 16]),
            peer: name("b"),
        },
    ]
}

fn requests() -> Vec<Request> {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 3);
    let job_id = contract.job_id;
    let directed = directed("{}", &["b"]);
    let catalogue = CatalogueDoc {
        party: name("a"),
        version: 1,
        body: "{}".into(),
        directed: vec![directed.digest()],
    };
    let published = Published {
        catalogue: Signed::sign(&catalogue, &a).unwrap(),
        directed: vec![directed],
    };
    let calls = [
        Call::PublishCatalogue(published),
        Call::Directory,
        Call::Catalogue { party: name("b") },
        Call::Propose(Signed::sign(&contract, &a).unwrap()),
        Call::Accept(accept(&contract, &b)),
        Call::Reject(reject(&contract, &b)),
        Call::Report {
            job_id,
            outcome: Outcome::Completed {
                receipt: "{}".into(),
            },
        },
        Call::Report {
            job_id,
            outcome: Outcome::Failed {
                class: FailureClass::LinkLost,
                culprit: Some(name("b")),
            },
        },
        Call::Witness {
            job_id,
            seen: "seen".into(),
        },
        Call::Cancel { job_id },
        Call::Jobs,
        Call::JobStatus { job_id },
        Call::Addresses { job_id },
    ];
    calls
        .into_iter()
        .enumerate()
        .map(|(id, call)| Request {
            id: id as u64,
            call,
        })
        .collect()
}

fn results() -> Vec<Result<Answer, CallError>> {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 3);
    let state = JobState::Failed {
        party: Some(name("b")),
        class: FailureClass::PartyLost,
    };
    let entry = DirectoryEntry {
        name: name("a"),
        fingerprint: Fingerprint([4; 32]),
        online: true,
        reachable_at: None,
        catalogue: Some(CatalogueId {
            version: 2,
            digest: Digest::of(b"x"),
        }),
        last_seen: Some(1),
    };
    let summary = JobSummary {
        job_id: contract.job_id,
        job: "j".into(),
        proposer: name("a"),
        parties: vec![name("a")],
        state: state.clone(),
        created: 1,
        not_after: 2,
    };
    let view = JobView {
        contract: Signed::sign(&contract, &a).unwrap(),
        state,
        acceptances: vec![accept(&contract, &a)],
        rejection: Some(reject(&contract, &b)),
        outcomes: BTreeMap::from([(
            name("a"),
            Outcome::Completed {
                receipt: "r".into(),
            },
        )]),
        witnesses: BTreeMap::from([(name("b"), "seen".to_owned())]),
    };
    vec![
        Ok(Answer::Done),
        Ok(Answer::Directory(vec![entry])),
        Ok(Answer::Catalogue(None)),
        Ok(Answer::State(JobState::Cancelled { by: name("b") })),
        Ok(Answer::Jobs(vec![summary])),
        Ok(Answer::Job(Box::new(view))),
        Ok(Answer::Addresses(addresses())),
        Err(CallError::TooManyJobs {
            limit: 3,
            what: JobCount::Open,
        }),
        Err(CallError::Invalid {
            reason: "because".into(),
        }),
    ]
}

fn addresses() -> BTreeMap<PartyName, Option<String>> {
    BTreeMap::from([(name("a"), None), (name("b"), Some("host:1".to_owned()))])
}

fn events() -> Vec<Event> {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 3);
    let job_id = contract.job_id;
    let signed = Signed::sign(&contract, &a).unwrap();
    let acceptances = vec![accept(&contract, &a)];
    vec![
        Event::JobProposed(signed.clone()),
        Event::JobState {
            job_id,
            state: JobState::Running,
        },
        Event::Start(Box::new(Start {
            contract: signed,
            acceptances,
            addresses: addresses(),
        })),
        Event::Stop {
            job_id,
            reason: StopReason::PartyLost { party: name("a") },
        },
        Event::PartyUp { party: name("a") },
        Event::Synchronised,
    ]
}

fn answers() -> Vec<FromCoordinator> {
    let replies = results()
        .into_iter()
        .map(|result| FromCoordinator::Reply { id: 9, result });
    replies
        .chain(events().into_iter().map(FromCoordinator::Event))
        .collect()
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    let replies = [
        OpeningReply::Joined,
        OpeningReply::RelayRefused(RelayRefusal::Busy),
    ];
    let openings = openings().into_iter().map(|m| encode(&m).unwrap());
    let requests = requests().into_iter().map(|m| encode(&m).unwrap());
    let answers = answers().into_iter().map(|m| encode(&m).unwrap());
    openings
        .chain(requests)
        .chain(answers)
        .chain(replies.iter().map(|m| encode(m).unwrap()))
        .collect()
}

/// Reads a frame as each type. Whether one accepts it is of no interest here; that none panics, aborts or takes long is.
fn decode_all(frame: &[u8]) {
    let _ = decode::<Opening>(frame);
    let _ = decode::<OpeningReply>(frame);
    let _ = decode::<Request>(frame);
    let _ = decode::<FromCoordinator>(frame);
}

#[test]
fn every_message_reads_back() {
    for message in openings() {
        assert_eq!(decode::<Opening>(&encode(&message).unwrap()), Ok(message));
    }
    for message in requests() {
        assert_eq!(decode::<Request>(&encode(&message).unwrap()), Ok(message));
    }
    for message in answers() {
        assert_eq!(
            decode::<FromCoordinator>(&encode(&message).unwrap()),
            Ok(message)
        );
    }
}

fn refuses_prefixes<T: Serialize + DeserializeOwned>(messages: &[T]) {
    for message in messages {
        let frame = encode(message).unwrap();
        for n in 0..frame.len() {
            assert!(
                decode::<T>(&frame[..n]).is_err(),
                "a prefix of {n} bytes was accepted"
            );
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    refuses_prefixes(&openings());
    refuses_prefixes(&requests());
    refuses_prefixes(&answers());
}

#[test]
fn trailing_bytes_are_refused() {
    for message in requests() {
        let mut frame = encode(&message).unwrap();
        frame.push(0);
        assert_eq!(
            decode::<Request>(&frame),
            Err(CodecError::Trailing { n_bytes: 1 })
        );
    }
}

#[test]
fn mutations_neither_panic_nor_exhaust_memory() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    for frame in frames() {
        for _ in 0..2_000 {
            let mut frame = frame.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..frame.len());
                match rng.random_range(0..4) {
                    0 => frame[at] ^= 1 << rng.random_range(0..8),
                    1 => frame[at] = rng.random(),
                    2 => frame.truncate(at + 1),
                    _ => frame.insert(at, rng.random()),
                }
            }
            decode_all(&frame);
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    // A length taken at its word would ask for terabytes and end the process.
    for frame in frames() {
        for at in 1..frame.len().saturating_sub(8).min(600) {
            for claim in [1_u64 << 22, 1 << 32, 1 << 40, 1 << 62, u64::MAX] {
                let mut frame = frame.clone();
                frame[at..at + 8].copy_from_slice(&claim.to_le_bytes());
                decode_all(&frame);
            }
        }
    }
}

#[test]
fn noise_is_refused() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    for n_bytes in [1, 2, 5, 9, 33, 1000, 70_000] {
        for _ in 0..50 {
            let mut frame: Vec<u8> = (0..n_bytes).map(|_| rng.random()).collect();
            frame[0] = CONTROL_VERSION;
            assert!(
                decode::<Request>(&frame).is_err() && decode::<FromCoordinator>(&frame).is_err()
            );
        }
    }
}

#[test]
fn another_version_is_told_apart_from_garbage() {
    let mut frame = encode(&openings()[0]).unwrap();
    for theirs in [CONTROL_VERSION - 1, CONTROL_VERSION + 1] {
        frame[0] = theirs;
        let refused = decode::<Opening>(&frame).unwrap_err();
        assert_eq!(refused, CodecError::Version { theirs });
        let said = refused.to_string();
        assert!(said.contains("install the same version at both"), "{said}");
    }
    assert_eq!(decode::<Opening>(&[]), Err(CodecError::Malformed));
}

/// Messages that look different are another version: raise [`CONTROL_VERSION`] and write the new sizes.
#[test]
fn a_message_of_another_shape_is_another_version() {
    let sizes: Vec<usize> = frames().iter().map(Vec::len).collect();
    assert_eq!((CONTROL_VERSION, &sizes[..]), (2, &SIZES[..]));
}

/// Of [`frames`] in version 2.
const SIZES: [usize; 33] = [
    28, 52, 38, 325, 13, 22, 768, 479, 246, 51, 55, 49, 37, 13, 37, 37, 21, 156, 22, 34, 122, 1561,
    63, 29, 36, 764, 37, 1280, 46, 18, 9, 5, 9,
];

#[test]
fn frames_are_bounded_both_ways() {
    let receipt = "x".repeat(MAX_FRAME_BYTES);
    let call = Call::Report {
        job_id: JobId([0; 16]),
        outcome: Outcome::Completed { receipt },
    };
    assert!(matches!(
        encode(&Request { id: 0, call }),
        Err(CodecError::TooLong { .. })
    ));
    let frame = vec![CONTROL_VERSION; MAX_FRAME_BYTES + 1];
    assert!(matches!(
        decode::<Request>(&frame),
        Err(CodecError::TooLong { .. })
    ));
}
