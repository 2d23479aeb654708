//! Each step once, in its order, and still there after the process was killed.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use coordinator::contract::{
    Acceptance, CONTRACT_FORMAT, Contract, ContractParty, Nonce, PartyRole, Signed,
};
use coordinator::tls::Identity;

use super::*;

/// Names the ledger that a child process of [`what_was_promised_survives_a_kill`] writes to, and the step it dies after.
const CHILD_DIR: &str = "ENTENTE_TEST_LEDGER";
const CHILD_STEP: &str = "ENTENTE_TEST_LEDGER_STEP";

pub(super) fn identity(name: &str) -> Identity {
    Identity::generate(PartyName::new(name).expect("a name"), 30).expect("an identity")
}

pub(super) struct Job {
    pub(super) contract: Contract,
    pub(super) signed: Signed<Contract>,
    pub(super) acceptance: Acceptance,
    pub(super) accepted: Signed<Acceptance>,
}

pub(super) fn job(id: u8) -> Job {
    let (a, b) = (identity("a"), identity("b"));
    let party = |identity: &Identity| ContractParty {
        name: identity.name().clone(),
        fingerprint: identity.fingerprint(),
        role: PartyRole::Holder,
        computing: true,
    };
    let contract = Contract {
        format: CONTRACT_FORMAT,
        job_id: JobId([id; 16]),
        job: "stays".to_owned(),
        purpose: "research".to_owned(),
        spec: String::new(),
        proposer: a.name().clone(),
        parties: vec![party(&a), party(&b)],
        receivers: vec![a.name().clone()],
        catalogues: BTreeMap::new(),
        plan: Digest([1; 32]),
        created: 100,
        not_after: 200,
        supersedes: None,
        resumes: None,
    };
    let acceptance = Acceptance {
        job_id: contract.job_id,
        party: b.name().clone(),
        contract: contract.digest(),
        plan: contract.plan,
        nonce: Nonce([id; 32]),
        approved_by: "person jonas".to_owned(),
        pages: BTreeMap::new(),
        signed_by: Vec::new(),
        seen: Vec::new(),
        at: 101,
    };
    Job {
        signed: Signed::sign(&contract, &a).expect("signed"),
        accepted: Signed::sign(&acceptance, &b).expect("signed"),
        contract,
        acceptance,
    }
}

pub(super) fn ending() -> Ending {
    Ending {
        exit: 5,
        class: "party_lost".to_owned(),
        culprit: Some(PartyName::new("a").expect("a name")),
        what: "a is gone".to_owned(),
        what_to_do: "ask a".to_owned(),
    }
}

/// Completes a job. What is told of it is what the log shows.
pub(super) async fn complete(
    ledger: &Ledger,
    id: JobId,
    result: Option<&StoredResult>,
    now: u64,
) -> Result<String, LedgerError> {
    let done = Completion {
        receipt: &Digest([9; 32]),
        file: "{}",
        result,
        from: &[],
        identity: &identity("b"),
        report: &|shown| serde_json::to_string(&shown).expect("JSON"),
    };
    ledger.complete(id, &done, now).await
}

async fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::open(&dir.path().join("state/ledger.sqlite"))
        .await
        .expect("opened");
    (dir, ledger)
}

#[tokio::test]
async fn a_job_goes_its_way_once() {
    let (_dir, ledger) = ledger().await;
    let job = job(1);
    let id = job.contract.job_id;
    assert_eq!(
        ledger
            .propose(&job.contract, &job.signed, 100)
            .await
            .expect("proposed"),
        Seen::New
    );
    let again = ledger
        .propose(&job.contract, &job.signed, 101)
        .await
        .expect("proposed");
    assert_eq!(again, Seen::Before(JobState::Waiting));
    let early = ledger
        .start(id, (&[], &[]), 102)
        .await
        .expect_err("not accepted yet");
    assert!(
        matches!(
            early,
            LedgerError::WrongState {
                found: JobState::Waiting,
                ..
            }
        ),
        "{early}"
    );

    ledger
        .accept(&job.acceptance, &job.accepted, None, 103)
        .await
        .expect("accepted");
    let twice = ledger
        .accept(&job.acceptance, &job.accepted, None, 104)
        .await
        .expect_err("twice");
    assert!(
        matches!(
            twice,
            LedgerError::WrongState {
                found: JobState::Accepted,
                ..
            }
        ),
        "{twice}"
    );
    assert_eq!(
        ledger.acceptance(id).await.expect("read"),
        Some(job.accepted.clone())
    );

    ledger.start(id, (&[], &[]), 105).await.expect("started");
    let twice = ledger.start(id, (&[], &[]), 106).await.expect_err("twice");
    assert!(
        matches!(
            twice,
            LedgerError::WrongState {
                found: JobState::Running,
                ..
            }
        ),
        "{twice}"
    );

    let result = StoredResult {
        dir: PathBuf::from("/results/1"),
        digest: Digest([5; 32]),
    };
    let told = complete(&ledger, id, Some(&result), 107).await;
    let told = told.expect("completed");
    // What is told was signed and kept with the end itself.
    assert_eq!(
        ledger.kept(id, REPORT).await.expect("read"),
        Some(told.clone())
    );
    let shown: log::LogShown = serde_json::from_str(&told).expect("JSON");
    let last = shown.entries.last().expect("entries");
    assert!(last.entry.contains("completed"), "{told}");
    let note = coordinator::log::SignedCheckpoint::parse(&shown.checkpoint).expect("a note");
    assert!(ledger.was(note.claimed().size, &note.claimed().root).await);
    assert_eq!(
        ledger.outcome(id).await.expect("read"),
        Some(("{}".to_owned(), Some(result)))
    );
    assert!(
        !ledger
            .end(id, JobState::Failed, &ending(), 108)
            .await
            .expect("ended"),
        "it has ended well"
    );
    let record = ledger.job(id).await.expect("read");
    assert_eq!(
        (record.state, record.ending, record.updated),
        (JobState::Completed, None, 107)
    );
    assert_eq!(record.approved_by.as_deref(), Some("person jonas"));
    assert!(
        ledger.start(id, (&[], &[]), 109).await.is_err(),
        "a completed job is not run again"
    );
}

#[tokio::test]
async fn a_job_id_belongs_to_one_contract() {
    let (_dir, ledger) = ledger().await;
    let (first, mut second) = (job(1), job(1));
    ledger
        .propose(&first.contract, &first.signed, 100)
        .await
        .expect("proposed");
    second.contract.purpose = "something else".to_owned();
    let signed = Signed::sign(&second.contract, &identity("a")).expect("signed");
    let error = ledger
        .propose(&second.contract, &signed, 101)
        .await
        .expect_err("replayed");
    assert!(matches!(error, LedgerError::Conflict { .. }), "{error}");
    assert_eq!(
        ledger.contract(first.contract.job_id).await.expect("read"),
        first.signed
    );
}

#[tokio::test]
async fn a_job_that_ended_badly_stays_so() {
    let (_dir, ledger) = ledger().await;
    let job = job(1);
    let id = job.contract.job_id;
    ledger
        .propose(&job.contract, &job.signed, 100)
        .await
        .expect("proposed");
    ledger
        .accept(&job.acceptance, &job.accepted, None, 101)
        .await
        .expect("accepted");
    ledger.start(id, (&[], &[]), 102).await.expect("started");
    assert!(
        ledger
            .end(id, JobState::Failed, &ending(), 103)
            .await
            .expect("ended")
    );
    let before = ledger.tree.lock().await.clone();
    let error = complete(&ledger, id, None, 104)
        .await
        .expect_err("too late");
    assert_eq!(*ledger.tree.lock().await, before, "nothing is left of it");
    assert!(
        matches!(
            error,
            LedgerError::WrongState {
                found: JobState::Failed,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(ledger.outcome(id).await.expect("read"), None);
    assert_eq!(ledger.job(id).await.expect("read").ending, Some(ending()));
}

#[tokio::test]
async fn a_standing_rule_runs_out() {
    let (_dir, ledger) = ledger().await;
    for id in 1..=3 {
        let job = job(id);
        ledger
            .propose(&job.contract, &job.signed, 100)
            .await
            .expect("proposed");
        let accepted = ledger
            .accept(&job.acceptance, &job.accepted, Some(("rule", 2)), 101)
            .await;
        if id <= 2 {
            accepted.expect("there are runs left");
        } else {
            let error = accepted.expect_err("used up");
            assert!(
                matches!(error, LedgerError::RuleExhausted { used: 2 }),
                "{error}"
            );
            assert_eq!(
                ledger.job(job.contract.job_id).await.expect("read").state,
                JobState::Waiting
            );
        }
    }
    assert_eq!(ledger.runs("rule").await.expect("read"), 2);
    assert_eq!(ledger.runs("another").await.expect("read"), 0);
}

#[tokio::test]
async fn a_nonce_is_used_once() {
    let (_dir, ledger) = ledger().await;
    let (first, mut second) = (job(1), job(2));
    for job in [&first, &second] {
        ledger
            .propose(&job.contract, &job.signed, 100)
            .await
            .expect("proposed");
    }
    ledger
        .accept(&first.acceptance, &first.accepted, None, 101)
        .await
        .expect("accepted");
    second.acceptance.nonce = first.acceptance.nonce;
    let error = ledger
        .accept(&second.acceptance, &second.accepted, None, 102)
        .await
        .expect_err("used before");
    assert!(matches!(error, LedgerError::Database(_)), "{error}");
    let state = ledger
        .job(second.contract.job_id)
        .await
        .expect("read")
        .state;
    assert_eq!(state, JobState::Waiting, "the whole step was undone");
}

#[tokio::test]
async fn an_old_catalogue_is_told_from_a_new_one() {
    let (_dir, ledger) = ledger().await;
    let party = PartyName::new("a").expect("a name");
    let (x, y) = (Digest([1; 32]), Digest([2; 32]));
    for (version, digest, good) in [
        (3, x, true),
        (3, x, true),
        (3, y, false),
        (2, x, false),
        (4, y, true),
        (3, x, false),
        (4, y, true),
    ] {
        let noted = ledger
            .note_catalogue(&party, version, &digest, 100)
            .await
            .expect("noted");
        assert_eq!(noted, good, "version {version}");
    }
    assert_eq!(ledger.catalogue(&party).await.expect("read"), Some((4, y)));
}

#[tokio::test]
async fn unknown_jobs_are_said_to_be_unknown() {
    let (_dir, ledger) = ledger().await;
    let id = JobId([9; 16]);
    assert!(matches!(
        ledger.job(id).await,
        Err(LedgerError::UnknownJob { .. })
    ));
    assert!(matches!(
        ledger.contract(id).await,
        Err(LedgerError::UnknownJob { .. })
    ));
    assert!(matches!(
        ledger.start(id, (&[], &[]), 1).await,
        Err(LedgerError::UnknownJob { .. })
    ));
    assert!(ledger.jobs().await.expect("read").is_empty());
}

/// A run that is told to stop drops whatever it was waiting for, and it may be waiting for the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_leaves_the_log_whole() {
    let (_dir, ledger) = ledger().await;
    let mut given_up = 0;
    for n_polls in 0..100 {
        let job = job(n_polls);
        let mut proposing = Box::pin(ledger.propose(&job.contract, &job.signed, 100));
        let mut is_written = false;
        for _ in 0..n_polls {
            is_written = futures::poll!(&mut proposing).is_ready();
            if is_written {
                break;
            }
            // So that the disk comes further between two looks.
            let other = tokio::task::spawn_blocking(std::thread::yield_now);
            other.await.expect("ended");
        }
        drop(proposing);
        given_up += u32::from(!is_written);
        let next = self::job(100 + n_polls);
        let seen = ledger.propose(&next.contract, &next.signed, 101).await;
        assert_eq!(
            seen.unwrap_or_else(|e| panic!("after {n_polls} looks: {e}")),
            Seen::New
        );
    }
    assert!(given_up > 10, "most writes ended in time: {given_up}");
    // What is signed comes from memory, what it is compared with from disk.
    let identity = identity("a");
    ledger.checkpoint(&identity).await.expect("signed");
    let report = ledger.verify(&identity.public_keys()).await;
    report.expect("the log is whole");
}

#[test]
fn nobody_else_can_read_the_ledger() {
    use std::os::unix::fs::PermissionsExt;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (dir, ledger) = ledger().await;
        let job = job(1);
        ledger
            .propose(&job.contract, &job.signed, 100)
            .await
            .expect("proposed");
        let state = dir.path().join("state");
        let mode = |path: &Path| {
            std::fs::metadata(path)
                .expect("metadata")
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(&state), 0o700);
        for entry in std::fs::read_dir(&state).expect("listed") {
            let path = entry.expect("an entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    });
}

/// The steps of one job, in order; a child process takes the first so many, and is killed.
async fn steps(ledger: &Ledger, n_steps: usize) {
    let job = job(1);
    let id = job.contract.job_id;
    for step in 0..n_steps {
        match step {
            0 => drop(
                ledger
                    .propose(&job.contract, &job.signed, 100)
                    .await
                    .expect("proposed"),
            ),
            1 => ledger
                .accept(&job.acceptance, &job.accepted, Some(("rule", 9)), 101)
                .await
                .expect("accepted"),
            2 => ledger.start(id, (&[], &[]), 102).await.expect("started"),
            3 => ledger.spend(id, 103).await.expect("spent"),
            4 => drop(complete(ledger, id, None, 104).await.expect("completed")),
            _ => unreachable!("there are five steps"),
        }
    }
}

/// Not a test by itself: what [`what_was_promised_survives_a_kill`] runs in a process of its own.
#[test]
fn child_process() {
    let (Ok(dir), Ok(n_steps)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_STEP)) else {
        return;
    };
    let n_steps = n_steps.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let ledger = Ledger::open(&Path::new(&dir).join("ledger.sqlite"))
            .await
            .expect("opened");
        steps(&ledger, n_steps).await;
        std::fs::write(Path::new(&dir).join("done"), "").expect("written");
        std::future::pending::<()>().await;
    });
}

#[test]
fn what_was_promised_survives_a_kill() {
    let expected = [
        None,
        Some(JobState::Waiting),
        Some(JobState::Accepted),
        Some(JobState::Running),
        Some(JobState::Running),
        Some(JobState::Completed),
    ];
    for (n_steps, before) in expected.into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "ledger::tests::child_process", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .env(CHILD_STEP, n_steps.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        while !dir.path().join("done").exists() {
            assert!(
                child.try_wait().expect("a state").is_none(),
                "the child has ended by itself"
            );
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let ledger = Ledger::open(&dir.path().join("ledger.sqlite"))
                .await
                .expect("opened again");
            let id = JobId([1; 16]);
            assert_eq!(
                ledger.job(id).await.ok().map(|r| r.state),
                before,
                "after {n_steps} steps"
            );
            let interrupted = ledger.recover(200).await.expect("recovered");
            assert_eq!(
                interrupted.len(),
                usize::from(before == Some(JobState::Running)),
                "after {n_steps} steps"
            );
            assert_eq!(
                ledger.runs("rule").await.expect("read"),
                // What had started and sent nothing is given back.
                u64::from(n_steps >= 2 && n_steps != 3)
            );
            match before {
                // Neither lost nor run twice: an accepted job can start, once.
                Some(JobState::Accepted) => {
                    assert!(ledger.acceptance(id).await.expect("read").is_some());
                    ledger.start(id, (&[], &[]), 201).await.expect("started");
                    assert!(ledger.start(id, (&[], &[]), 202).await.is_err());
                }
                Some(JobState::Running) => {
                    let record = ledger.job(id).await.expect("read");
                    assert_eq!(record.state, JobState::Failed);
                    assert_eq!(record.ending.map(|e| e.class).as_deref(), Some("restarted"));
                    assert!(ledger.start(id, (&[], &[]), 201).await.is_err());
                }
                _ => {}
            }
        });
    }
}

/// A full disk: SQLite gives a transaction up, and whoever looks at the next ones finds them on disk.
#[tokio::test]
async fn what_is_written_after_a_failed_commit_is_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).await.expect("opened");
    for n in 1..4 {
        let mut transaction = ledger.pool.begin().await.expect("begun");
        let _ = sqlx::query("ROLLBACK").execute(&mut *transaction).await;
        assert!(transaction.commit().await.is_err());
        let unknown = ledger.start(JobId([9; 16]), (&[], &[]), 100).await;
        assert!(matches!(unknown, Err(LedgerError::UnknownJob { .. })));
        let job = job(n);
        ledger
            .propose(&job.contract, &job.signed, 100)
            .await
            .expect("written");
        let other = Ledger::open(&path).await.expect("opened beside it");
        let found = other.job(job.contract.job_id).await;
        assert_eq!(found.expect("on disk").state, JobState::Waiting);
    }
}
