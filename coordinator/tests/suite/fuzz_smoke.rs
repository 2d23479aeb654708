//! Bytes from strangers at every decoder of this package: changed documents, pieces of others, and noise. None panics or takes more than
//! it was given, and what is accepted is written back as it was read ([`crate::feed`] says how often).

use std::fmt::Display;
use std::str::FromStr;

use coordinator::config::parse_toml;
use coordinator::contract::{
    Acceptance, CatalogueDoc, Contract, Digest, JobId, Nonce, PartyName, PersonalApproval,
    PublicKey, Published, SignatureBytes, Signed, Statement, canonical,
};
use coordinator::control::codec::{CodecError, MAX_FRAME_BYTES, decode};
use coordinator::control::{FromCoordinator, Opening, OpeningReply, Request};
use coordinator::enrol::{Application, Handover, Invite, Membership, Rotation};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::{Fingerprint, Identity, Pin};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::frames;
use crate::feed::feed;
use crate::support::{accept, acceptance, contract, directed, identity, name, reject};

/// Canonical documents: what is accepted has one form, which is what was read.
fn feed_documents<T: Statement + Serialize + DeserializeOwned>(what: &str, samples: &[T]) {
    let samples = samples.iter().map(|s| canonical::encode(s).unwrap());
    let samples: Vec<Vec<u8>> = samples.collect();
    let too_long = vec![b' '; T::MAX_BYTES + 1];
    assert!(canonical::decode::<T>(&too_long, T::MAX_BYTES).is_err());
    feed(what, samples, |bytes| {
        if let Ok(read) = canonical::decode::<T>(bytes, T::MAX_BYTES) {
            assert_eq!(canonical::encode(&read).unwrap(), bytes, "{what}");
            let _ = read.check();
        }
    });
}

/// Signed documents as files hold them, in JSON.
fn feed_signed<T: Statement>(what: &str, samples: &[Signed<T>], key: &Fingerprint) {
    let samples = samples.iter().map(|s| serde_json::to_vec(s).unwrap());
    let samples: Vec<Vec<u8>> = samples.collect();
    let whole = samples.clone();
    feed(what, samples, |bytes| {
        let Ok(signed) = serde_json::from_slice::<Signed<T>>(bytes) else {
            return;
        };
        let same =
            |other: &Vec<u8>| serde_json::from_slice(other).is_ok_and(|s: Signed<T>| s == signed);
        assert!(
            signed.verify(key).is_err() || whole.iter().any(same),
            "{what}: signed by nobody, and accepted"
        );
    });
}

/// Words: what is accepted is written as it was read.
fn feed_words<T: FromStr + Display>(what: &str, sample: &T) {
    feed(what, vec![sample.to_string().into_bytes()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(read) = text.parse::<T>() {
            assert_eq!(read.to_string(), text, "{what}");
        }
    });
}

#[test]
fn fuzz_smoke_of_control_messages() {
    let mut n_read = 0;
    feed("a frame", frames(), |frame| {
        let read = [
            decode::<Opening>(frame).is_ok(),
            decode::<OpeningReply>(frame).is_ok(),
            decode::<Request>(frame).is_ok(),
            decode::<FromCoordinator>(frame).is_ok(),
        ];
        n_read += read.into_iter().filter(|read| *read).count();
    });
    assert!(n_read > 100, "of frames that none reads nothing is learnt");
    let long = vec![2; MAX_FRAME_BYTES + 1];
    let refused = decode::<Request>(&long).unwrap_err();
    assert!(matches!(refused, CodecError::TooLong { .. }));
}

#[test]
fn fuzz_smoke_of_contracts() {
    let (a, b) = (identity("a"), identity("b"));
    let mut agreed = contract(&[&a, &b], 3);
    let of_contract = Signed::sign(&agreed, &a).unwrap();
    feed_signed("a signed contract", &[of_contract], &a.fingerprint());
    let of_acceptance = accept(&agreed, &b);
    feed_signed("a signed acceptance", &[of_acceptance], &b.fingerprint());
    let rejection = reject(&agreed, &b).verify(&b.fingerprint()).unwrap();
    feed_documents("a rejection", &[rejection]);
    let mut accepted = acceptance(&agreed, &b);
    accepted.seen = vec![SignedCheckpoint::sign(3, Digest([1; 32]), &b).to_string()];
    feed_documents::<Acceptance>("an acceptance", &[accepted]);
    agreed.supersedes = Some(JobId([9; 16]));
    feed_documents::<Contract>("a contract", &[agreed.clone()]);
    let approval = PersonalApproval {
        job_id: agreed.job_id,
        party: b.name().clone(),
        person: name("dpo"),
        contract: agreed.digest(),
        pages: [("en".to_owned(), Digest([2; 32]))].into(),
    };
    feed_documents::<PersonalApproval>("a person's approval", &[approval]);
}

#[test]
fn fuzz_smoke_of_catalogues_and_enrolment() {
    let (a, b) = (identity("a"), identity("b"));
    let directed = directed("{\"tables\":{}}", &["b"]);
    let catalogue = CatalogueDoc {
        party: name("a"),
        version: 7,
        body: "{\"tables\":{}}".into(),
        directed: vec![directed.digest()],
    };
    feed_documents::<CatalogueDoc>("a catalogue", std::slice::from_ref(&catalogue));
    let published = Published {
        catalogue: Signed::sign(&catalogue, &a).unwrap(),
        directed: vec![directed],
    };
    let sample = serde_json::to_vec(&published).unwrap();
    feed("a published catalogue", vec![sample], |bytes| {
        if let Ok(published) = serde_json::from_slice::<Published>(bytes) {
            let _ = published.check(&catalogue);
        }
    });
    let invite = Invite {
        sponsor: name("a"),
        party: name("b"),
        nonce: Nonce([5; 32]),
        created: 10,
        not_after: 20,
    };
    feed_documents::<Invite>("an invite", &[invite]);
    let (invite, nonce) = (Digest([6; 32]), Nonce([5; 32]));
    let (party, fingerprint) = (name("b"), b.fingerprint());
    let application = Application {
        invite,
        nonce,
        party: party.clone(),
    };
    feed_documents::<Application>("an application", &[application]);
    let membership = Membership {
        sponsor: name("a"),
        party,
        fingerprint,
        invite,
        at: 15,
    };
    feed_documents::<Membership>("a membership", &[membership]);
}

#[test]
fn fuzz_smoke_of_rotations_and_pins() {
    let (old, new) = (identity("a"), identity("a"));
    let handover = handover(&old, &new);
    feed_documents::<Rotation>("a rotation", &[handover.verify().unwrap()]);
    let sample = serde_json::to_vec(&handover).unwrap();
    feed("a handover of keys", vec![sample.clone()], |bytes| {
        let Ok(read) = serde_json::from_slice::<Handover>(bytes) else {
            return;
        };
        let same = serde_json::to_vec(&read).unwrap() == sample;
        assert!(
            read.verify().is_err() || same,
            "signed by nobody, and accepted"
        );
    });
    let pin = Pin::new(name("a"), old.fingerprint());
    let text = toml::to_string(&pin).unwrap().into_bytes();
    let path = std::path::Path::new("trusted.toml");
    feed("a pin", vec![text], |bytes| {
        let _ = parse_toml::<Pin>(path, &String::from_utf8_lossy(bytes));
    });
}

fn handover(old: &Identity, new: &Identity) -> Handover {
    Handover::sign(old, new, 1_800_000_000, 14).unwrap()
}

#[test]
fn fuzz_smoke_of_checkpoints() {
    let (owner, witness) = (identity("hospital"), identity("insurer"));
    let mut signed = SignedCheckpoint::sign(70, Digest([3; 32]), &owner);
    let bare = signed.to_string();
    signed.cosign(1_800_000_000, &witness);
    let whole = signed.claimed().clone();
    let samples = vec![signed.to_string().into_bytes(), bare.into_bytes()];
    feed("a checkpoint", samples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(read) = SignedCheckpoint::parse(&text) else {
            return;
        };
        assert_eq!(read.to_string(), text);
        assert!(read.verify(&owner.public_key()).is_err() || *read.claimed() == whole);
        let _ = read.seen_by(witness.name(), &witness.public_key());
    });
    assert!(SignedCheckpoint::parse(&"x".repeat(1 << 20)).is_err());
}

#[test]
fn fuzz_smoke_of_names() {
    let owner = identity("a");
    feed_words::<PartyName>("a name", &name("hospital_1"));
    feed_words::<Fingerprint>("a fingerprint", &owner.fingerprint());
    feed_words::<JobId>("a job's id", &JobId([7; 16]));
    feed_words::<Digest>("a digest", &Digest([7; 32]));
    feed_words::<PublicKey>("a key", &owner.public_key());
    feed_words::<SignatureBytes>("a signature", &SignatureBytes([7; 64]));
}
