//! Whatever is changed behind the agent's back is found, and named.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqlitePoolOptions;

use super::super::audit::Cohort;
use super::super::tests::{Job, complete, ending, identity, job};
use super::super::{Charge, Grown};
use super::*;

/// A ledger in which one job was completed, a second one failed and a third one waits; with the signer of its checkpoints.
struct Written {
    _dir: tempfile::TempDir,
    path: PathBuf,
    identity: Identity,
    jobs: Vec<Job>,
}

async fn written() -> Written {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.sqlite");
    let (identity, jobs) = (identity("b"), vec![job(1), job(2), job(3)]);
    let ledger = Ledger::open(&path).await.expect("opened");
    for (i, job) in jobs.iter().enumerate() {
        let (id, now) = (job.contract.job_id, 100 + 10 * i as u64);
        let seen = ledger.propose(&job.contract, &job.signed, now).await;
        seen.expect("proposed");
        if i == 2 {
            break;
        }
        let accepted = ledger.accept(&job.acceptance, &job.accepted, None, now + 1);
        accepted.await.expect("accepted");
        ledger
            .start(id, (&[], &[]), now + 2)
            .await
            .expect("started");
        match i {
            0 => complete(&ledger, id, None, now + 3).await.map(drop),
            _ => {
                let end = ledger.end(id, JobState::Failed, &ending(), now + 3).await;
                end.map(drop)
            }
        }
        .expect("ended");
        ledger.checkpoint(&identity).await.expect("signed");
    }
    ledger.close().await;
    Written {
        _dir: dir,
        path,
        identity,
        jobs,
    }
}

impl Written {
    async fn verify(&self, known: &[SignedCheckpoint]) -> Result<LogReport, LogError> {
        verify(&self.path, &self.identity.public_keys(), known).await
    }

    /// Somebody with the file and without the key.
    async fn change(&self, statements: &str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path);
        let pool = SqlitePoolOptions::new().connect_with(options).await;
        let pool = pool.expect("opened");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
            .execute(&pool)
            .await
            .expect("changed");
        pool.close().await;
    }
}

#[tokio::test]
async fn a_log_tells_of_every_step_and_is_found_whole() {
    let written = written().await;
    let report = written.verify(&[]).await.expect("whole");
    assert_eq!((report.n_entries, report.n_jobs), (9, 3));
    assert_eq!((report.n_checkpoints, report.n_signed), (2, 8));
    let note = report.checkpoint.expect("signed");
    let known = SignedCheckpoint::parse(&note).expect("a note");
    assert_eq!(
        written.verify(&[known]).await.expect("whole").n_checkpoints,
        3
    );
    // A ledger that is opened again goes on where it was.
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let third = written.jobs[2].contract.job_id;
    let rejected = ledger.end(third, JobState::Rejected, &ending(), 200).await;
    assert!(rejected.expect("ended"));
    ledger.checkpoint(&written.identity).await.expect("signed");
    ledger.close().await;
    let report = written.verify(&[]).await.expect("whole");
    assert_eq!((report.n_entries, report.n_signed), (10, 10));
}

#[tokio::test]
async fn every_change_is_found() {
    let first = "(SELECT MIN(job_id) FROM jobs)";
    for (change, expected) in [
        (
            "UPDATE log SET entry = CAST(replace(CAST(entry AS TEXT), '\"at\":101', '\"at\":102') AS BLOB)",
            "entry 1 of the log was changed",
        ),
        (
            "UPDATE log SET leaf = zeroblob(32) WHERE seq = 4",
            "entry 4 of the log was changed",
        ),
        (
            "DELETE FROM log WHERE seq = 2",
            "entry 2 of the log is missing",
        ),
        (
            "DELETE FROM log WHERE seq = 0",
            "entry 0 of the log is missing",
        ),
        ("DELETE FROM log WHERE seq = 8", "existence differs"),
        (
            "DELETE FROM log WHERE seq >= 6",
            "the log has 6 entries, but 8 were signed",
        ),
        (
            "INSERT INTO log SELECT 9, entry, leaf FROM log WHERE seq = 3",
            "entry 9 of the log was changed",
        ),
        (
            "UPDATE checkpoints SET note = replace(note, 'log/b', 'log/c')",
            "at 4 entries is not signed",
        ),
        (
            "UPDATE checkpoints SET size = 5 WHERE size = 4",
            "at 5 entries is not signed",
        ),
        (
            &format!("UPDATE jobs SET state = 'accepted' WHERE job_id = {first}"),
            "state differs",
        ),
        (
            &format!("UPDATE jobs SET body = X'7b7d' WHERE job_id = {first}"),
            "contract differs",
        ),
        (
            &format!("DELETE FROM acceptances WHERE job_id = {first}"),
            "acceptance differs",
        ),
        (
            "UPDATE outcomes SET receipt = 'another'",
            "receipt or result differs",
        ),
        (
            "UPDATE outcomes SET result = zeroblob(32)",
            "receipt or result differs",
        ),
        (
            "DELETE FROM jobs WHERE state = 'waiting'",
            "existence differs",
        ),
    ] {
        let written = written().await;
        written.change(change).await;
        let error = written.verify(&[]).await.expect_err(change).to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
}

/// The log tells what a run took of a budget: another figure there, or none, is found.
#[tokio::test]
async fn what_was_charged_is_in_the_log() {
    for (change, is_whole) in [
        ("UPDATE charges SET rho_pico = rho_pico", true),
        ("UPDATE charges SET rho_pico = 1", false),
        ("UPDATE charges SET recipient = 'c'", false),
        ("DELETE FROM charges", false),
    ] {
        let written = written().await;
        let job = &written.jobs[2];
        let ledger = Ledger::open(&written.path).await.expect("opened");
        let accepted = ledger.accept(&job.acceptance, &job.accepted, None, 200);
        accepted.await.expect("accepted");
        let charge = Charge {
            table: "visits".to_owned(),
            recipient: "a".to_owned(),
            rho_pico: 7,
            at_most: 10,
        };
        let id = job.contract.job_id;
        let started = ledger.start(id, (&[], &[charge]), 201).await;
        started.expect("started");
        ledger.spend(id, 202).await.expect("spent");
        ledger.close().await;
        written.change(change).await;
        match written.verify(&[]).await {
            Ok(_) => assert!(is_whole, "{change}"),
            Err(error) => {
                assert!(!is_whole, "{change}: {error}");
                assert!(
                    error.to_string().contains("loss by noise differs"),
                    "{error}"
                );
            }
        }
    }
}

/// Somebody who can write the file makes leaves that fit; what was signed does not.
#[tokio::test]
async fn a_log_that_was_written_anew_is_not_the_signed_one() {
    let written = written().await;
    let entry = Entry {
        seq: 1,
        at: 102,
        event: Event::Accepted {
            job_id: written.jobs[0].contract.job_id,
            acceptance: written.jobs[0].accepted.digest(),
        },
    };
    let bytes = canonical::encode(&entry).expect("canonical");
    let leaf = merkle::leaf(&bytes);
    let text = String::from_utf8(bytes).expect("text");
    let change =
        format!("UPDATE log SET entry = CAST('{text}' AS BLOB), leaf = X'{leaf}' WHERE seq = 1");
    written.change(&change).await;
    let error = written.verify(&[]).await.expect_err("not what was signed");
    assert!(
        matches!(error, LogError::Differs { after: 0, size: 4 }),
        "{error}"
    );
}

/// A backup is whole in itself. What a partner keeps tells that it is old.
#[tokio::test]
async fn an_older_state_is_found_by_a_checkpoint_that_a_partner_keeps() {
    let written = written().await;
    let backup = copy(&written.path);
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let third = written.jobs[2].contract.job_id;
    ledger
        .end(third, JobState::Rejected, &ending(), 200)
        .await
        .expect("ended");
    let kept = ledger.checkpoint(&written.identity).await.expect("signed");
    ledger.close().await;
    std::fs::rename(&backup, &written.path).expect("restored");
    written.verify(&[]).await.expect("whole in itself");
    let error = written.verify(&[kept]).await.expect_err("older");
    assert!(
        matches!(error, LogError::Shorter { found: 9, size: 10 }),
        "{error}"
    );
    let stranger = SignedCheckpoint::sign(3, Digest([0; 32]), &identity("b"));
    let error = written.verify(&[stranger]).await.expect_err("not its own");
    assert!(matches!(error, LogError::Signature { .. }), "{error}");
}

/// The log goes on under another key with one entry that says so, and is whole to whoever has both keys.
#[tokio::test]
async fn a_new_key_is_an_entry_and_the_log_goes_on() {
    let written = written().await;
    let place = written.path.with_extension("identity");
    written.identity.save(&place).expect("saved");
    written.identity.prepare_next(&place, 30).expect("made");
    let changed = Identity::change_over(&place).expect("changed");
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let size_before = written.verify(&[]).await.expect("whole").n_entries;
    let same = ledger.note_key(&written.identity, 300).await;
    same.expect("nothing to note");
    for _ in 0..2 {
        let noted = ledger.note_key(&changed, 300).await;
        noted.expect("noted");
        ledger.checkpoint(&changed).await.expect("signed");
    }
    ledger.close().await;
    let both = verify(&written.path, &changed.public_keys(), &[]).await;
    assert_eq!(both.expect("whole").n_entries, size_before + 1);
    for alone in [
        &written.identity.public_keys(),
        &changed.public_keys()[..1].to_vec(),
    ] {
        let error = verify(&written.path, alone, &[]).await;
        let error = error.expect_err("one key does not tell of both");
        assert!(matches!(error, LogError::Signature { .. }), "{error}");
    }
}

fn copy(path: &Path) -> PathBuf {
    let backup = path.with_extension("backup");
    std::fs::copy(path, &backup).expect("copied");
    backup
}

#[tokio::test]
async fn what_cannot_be_logged_is_not_done() {
    let written = written().await;
    written.change("DROP TABLE log; CREATE TABLE log (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL, CHECK (seq > 99)) STRICT;").await;
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let third = &written.jobs[2];
    let accepted = ledger.accept(&third.acceptance, &third.accepted, None, 300);
    accepted.await.expect_err("cannot be logged");
    let state = ledger.job(third.contract.job_id).await.expect("read").state;
    assert_eq!(state, JobState::Waiting);
    let id = third.contract.job_id;
    assert_eq!(ledger.acceptance(id).await.expect("read"), None);
}

/// The log tells who was counted, by a digest: what others could work out cannot be made to look less by taking somebody out.
#[tokio::test]
async fn an_account_of_who_was_counted_is_in_the_log() {
    for (change, is_whole) in [
        ("UPDATE cohorts SET cell = cell", true),
        ("UPDATE cohorts SET members = substr(members, 17)", false),
        ("UPDATE cohorts SET source = 'other'", false),
        ("DELETE FROM cohorts WHERE cell = 1", false),
        ("DELETE FROM cohorts", false),
        // A ledger of before there were such entries.
        ("DELETE FROM log WHERE seq = 9", true),
    ] {
        let written = written().await;
        let id = written.jobs[2].contract.job_id;
        let ledger = Ledger::open(&written.path).await.expect("opened");
        let cohort = |rows: std::ops::Range<u64>| Cohort(rows.map(|row| (row, row)).collect());
        let cohorts = [cohort(0..20), cohort(20..40)];
        let remembered = ledger.remember_cohorts(id, "visits", &cohorts, 11, 200);
        remembered.await.expect("remembered");
        ledger.close().await;
        let report = written.verify(&[]).await.expect("whole");
        assert_eq!((report.n_entries, report.n_jobs), (10, 3));
        written.change(change).await;
        match written.verify(&[]).await {
            Ok(_) => assert!(is_whole, "{change}"),
            Err(error) => {
                assert!(!is_whole, "{change}: {error}");
                let what = "account of who was counted differs";
                assert!(error.to_string().contains(what), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_review_is_in_the_log_once() {
    let written = written().await;
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let (manifest, other) = (Digest::of(b"manifest"), Digest::of(b"other"));
    for (manifest, review) in [
        (manifest, Digest::of(b"lin")),
        (manifest, Digest::of(b"wei")),
        (manifest, Digest::of(b"lin")),
        (other, Digest::of(b"lin of another")),
    ] {
        let noted = ledger.note_review(&manifest, &review, 200).await;
        noted.expect("noted");
    }
    ledger.close().await;
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let again = ledger
        .note_review(&manifest, &Digest::of(b"wei"), 300)
        .await;
    again.expect("noted");
    ledger.close().await;
    let report = written.verify(&[]).await.expect("whole");
    assert_eq!(report.n_entries, 9 + 3);
}

/// What is kept of the others' logs comes with the entries that tell of it, or neither is there; until then the job is among those
/// of which evidence is missing.
#[tokio::test]
async fn witnessing_and_what_is_kept_of_it_are_one_step() {
    let written = written().await;
    let ledger = Ledger::open(&written.path).await.expect("opened");
    let id = written.jobs[0].contract.job_id;
    let missing = async |ledger: &Ledger| ledger.without_evidence("dossier").await.expect("read");
    assert_eq!(missing(&ledger).await, [id], "the completed one");
    let owner = identity("a");
    let new = SignedCheckpoint::sign(3, Digest::of(b"root"), &owner);
    let key = owner.fingerprint();
    let continues = Vec::new();
    let grown = [Grown {
        key,
        new,
        continues,
    }];
    let unknown = JobId([9; 16]);
    let failed = ledger.witness(unknown, &grown, &[("dossier", "{}")], 200);
    failed.await.expect_err("no such job to keep anything of");
    assert!(
        ledger
            .seen(owner.name(), &key)
            .await
            .expect("read")
            .is_empty()
    );
    let kept = ledger.witness(id, &grown, &[("dossier", "{}")], 201).await;
    kept.expect("kept");
    assert!(missing(&ledger).await.is_empty());
    assert_eq!(
        ledger.kept(id, "dossier").await.expect("read").as_deref(),
        Some("{}")
    );
    ledger.close().await;
    assert_eq!(written.verify(&[]).await.expect("whole").n_entries, 10);
}
