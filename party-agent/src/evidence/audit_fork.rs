//! A partner's log that does not continue what was seen of it.

use coordinator::contract::{Digest, JobId, PartyName};
use coordinator::log::SignedCheckpoint;
use coordinator::log::merkle::{Tree, leaf};
use coordinator::tls::Identity;

use super::grown;
use crate::ledger::log::{AlarmKind, Growth, verify};
use crate::ledger::{Alarm, Grown, Ledger};

fn identity() -> Identity {
    let name = PartyName::new("insurer").expect("a name");
    Identity::generate(name, 30).expect("an identity")
}

/// A log with these entries, and its checkpoint.
fn log(owner: &Identity, entries: &str) -> (Tree, SignedCheckpoint) {
    let mut tree = Tree::default();
    entries.bytes().for_each(|entry| tree.push(leaf(&[entry])));
    let note = SignedCheckpoint::sign(tree.size(), tree.root(), owner);
    (tree, note)
}

fn proof(tree: &Tree, size: u64) -> Vec<Growth> {
    vec![Growth {
        size,
        path: tree.consistency(size),
    }]
}

#[test]
fn a_log_that_only_grew_is_continued_and_any_other_raises_the_alarm() {
    let owner = identity();
    let (_, old) = log(&owner, "abcde");
    let (tree, new) = log(&owner, "abcdefgh");
    let (other_tree, other) = log(&owner, "abcdXfgh");
    let (_, shorter) = log(&owner, "abc");
    let (_, same_size) = log(&owner, "abcdX");
    let seen = [old.clone()];
    let cases: [(&str, &SignedCheckpoint, Vec<Growth>, Option<AlarmKind>); 6] = [
        ("grown", &new, proof(&tree, 5), None),
        (
            "forked",
            &other,
            proof(&other_tree, 5),
            Some(AlarmKind::Forked),
        ),
        (
            "a proof of another log",
            &other,
            proof(&tree, 5),
            Some(AlarmKind::Forked),
        ),
        (
            "rolled back",
            &shorter,
            Vec::new(),
            Some(AlarmKind::RolledBack),
        ),
        (
            "another of the same size",
            &same_size,
            Vec::new(),
            Some(AlarmKind::Forked),
        ),
        ("no proof", &new, Vec::new(), Some(AlarmKind::Forked)),
    ];
    for (what, new, growth, expected) in cases {
        let found = grown(&seen, &seen, new.claimed(), &growth);
        match expected {
            None => assert_eq!(found.expect(what), seen, "{what}"),
            Some(kind) => {
                let (alarm, checkpoint) = found.expect_err(what);
                assert_eq!((alarm, &checkpoint), (kind, old.claimed()), "{what}");
            }
        }
    }
    // What was seen in a job that ran at the same time was not promised: it stays until it is proved.
    let kept = grown(&seen, &[], new.claimed(), &[]).expect("nothing is wrong");
    assert!(kept.is_empty());
    assert_eq!(
        grown(&seen, &[], old.claimed(), &[]).expect("the same"),
        seen
    );
}

#[tokio::test]
async fn what_was_seen_and_every_alarm_stay_on_disk_and_in_the_log() {
    let (owner, job_id) = (identity(), JobId([1; 16]));
    let key = owner.fingerprint();
    let (_, old) = log(&owner, "abc");
    let (_, new) = log(&owner, "abcde");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).await.expect("opened");
    let of = |new: &SignedCheckpoint, continues: &[SignedCheckpoint]| Grown {
        key,
        new: new.clone(),
        continues: continues.to_vec(),
    };
    let first = ledger.witness(job_id, &[of(&old, &[])], &[], 1).await;
    first.expect("written");
    let second = [of(&new, std::slice::from_ref(&old))];
    ledger
        .witness(job_id, &second, &[], 2)
        .await
        .expect("written");
    let name = owner.name();
    assert_eq!(
        ledger.seen(name, &key).await.expect("read"),
        std::slice::from_ref(&new)
    );
    assert_eq!(ledger.alarmed(&key).await.expect("read"), None);
    let alarm = Alarm {
        party: name.clone(),
        key,
        kind: AlarmKind::Forked,
        checkpoint: new.claimed().clone(),
    };
    ledger.alarm(job_id, &alarm, 3).await.expect("written");
    ledger.close().await;
    let ledger = Ledger::open(&path).await.expect("opened");
    let alarmed = ledger.alarmed(&key).await.expect("read");
    assert_eq!(alarmed, Some(("forked".to_owned(), 3)));
    assert_eq!(ledger.root_at(4).await, None);
    assert!(!ledger.was(1, &Digest([0; 32])).await);
    ledger.close().await;
    // Only the entries count: there is no job of this id in the ledger.
    let report = verify(&path, &owner.public_keys(), &[]).await;
    assert_eq!(report.expect("whole").n_entries, 3);
}
