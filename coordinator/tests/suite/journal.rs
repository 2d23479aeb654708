//! The journal by itself: what was recorded is there after a crash, and damage is noticed.

use std::collections::BTreeMap;

use coordinator::contract::{CatalogueDoc, Published, Signed};
use coordinator::job::{FailureClass, JobState, Outcome};
use coordinator::journal::{Evidence, Journal, JournalError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{accept, contract, directed, identity, name, reject, within};

#[tokio::test]
async fn what_was_recorded_survives_a_drop_without_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let signed = Signed::sign(&contract, &a).unwrap();
    let outcome = Outcome::Completed {
        receipt: "{\"n\":1}".into(),
    };
    let steps = [
        (
            JobState::Proposed,
            Evidence::Acceptance(name("a"), accept(&contract, &a)),
        ),
        (
            JobState::Accepted,
            Evidence::Acceptance(name("b"), accept(&contract, &b)),
        ),
        (JobState::Running, Evidence::Observed),
        (
            JobState::Running,
            Evidence::Outcome(name("a"), outcome.clone()),
        ),
        (JobState::Cancelled { by: name("b") }, Evidence::Observed),
    ];
    let mut journal = Journal::open(&path).await.unwrap();
    journal.propose(&contract, &signed, 10).await.unwrap();
    for (i, (state, evidence)) in steps.iter().enumerate() {
        journal
            .record(&contract.job_id, state, evidence, 11 + i as u64)
            .await
            .unwrap();
        // Opened anew after every step, never closed.
        drop(journal);
        journal = reopen(&path).await;
        let job = journal.job(&contract.job_id).await.unwrap().unwrap();
        assert_eq!(&job.state, state);
        assert_eq!(job.acceptances.len(), (i + 1).min(2));
        assert_eq!(
            journal.open_jobs().await.unwrap().len(),
            usize::from(!state.is_final())
        );
    }
    let job = journal.job(&contract.job_id).await.unwrap().unwrap();
    assert_eq!((job.signed, job.contract), (signed, contract));
    assert_eq!(job.outcomes, BTreeMap::from([(name("a"), outcome)]));
    assert_eq!(
        journal.jobs_of(&name("b"), 10, true).await.unwrap().len(),
        1
    );
    assert_eq!(
        journal.jobs_of(&name("c"), 10, false).await.unwrap().len(),
        0
    );
    assert_eq!(journal.n_proposed_since(&name("a"), 10).await.unwrap(), 1);
    assert_eq!(journal.n_proposed_since(&name("a"), 11).await.unwrap(), 0);
}

/// The dropped connection's thread lets go of the file a moment after the drop.
async fn reopen(path: &std::path::Path) -> Journal {
    within("the journal can be opened again", async {
        loop {
            match Journal::open(path).await {
                Ok(journal) => return journal,
                Err(JournalError::Open { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn rejections_catalogues_and_members_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let rejection = reject(&contract, &b);
    let failed = JobState::Failed {
        party: Some(name("b")),
        class: FailureClass::Rejected,
    };
    let directed = directed("{\"隐\":1}", &["b"]);
    let catalogue = CatalogueDoc {
        party: name("a"),
        version: 4,
        body: "{\"表\":1}".into(),
        directed: vec![directed.digest()],
    };
    let signed = Signed::sign(&catalogue, &a).unwrap();
    let published = Published {
        catalogue: signed.clone(),
        directed: vec![directed],
    };
    let mut journal = Journal::open(&path).await.unwrap();
    journal
        .propose(&contract, &Signed::sign(&contract, &a).unwrap(), 1)
        .await
        .unwrap();
    journal
        .record(
            &contract.job_id,
            &failed,
            &Evidence::Rejection(rejection.clone()),
            2,
        )
        .await
        .unwrap();
    journal.publish(&catalogue, &published).await.unwrap();
    journal.seen(&name("a"), &a.fingerprint(), 3).await.unwrap();
    drop(journal);
    let mut journal = reopen(&path).await;
    assert_eq!(
        journal
            .job(&contract.job_id)
            .await
            .unwrap()
            .unwrap()
            .rejection,
        Some(rejection)
    );
    assert_eq!(
        journal.catalogue(&name("a")).await.unwrap(),
        Some(published)
    );
    assert_eq!(
        journal.catalogue_ids().await.unwrap()[&name("a")].digest,
        signed.digest()
    );
    assert_eq!(
        journal.last_seen().await.unwrap(),
        BTreeMap::from([(name("a"), 3)])
    );
}

/// A journal of layout 2, which had no descriptions, is opened and has none.
#[tokio::test]
async fn a_journal_of_an_earlier_layout_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let a = identity("a");
    let catalogue = CatalogueDoc {
        party: name("a"),
        version: 4,
        body: "{}".into(),
        directed: Vec::new(),
    };
    let signed = Signed::sign(&catalogue, &a).unwrap();
    let mut journal = Journal::open(&path).await.unwrap();
    journal
        .publish(&catalogue, &signed.clone().into())
        .await
        .unwrap();
    drop(journal);
    drop(reopen(&path).await);
    let options = SqliteConnectOptions::new().filename(&path);
    let mut database = within("the file is let go of", async {
        loop {
            if let Ok(mut database) = SqliteConnection::connect_with(&options).await {
                let earlier = "DROP TABLE directed; PRAGMA user_version = 2";
                if sqlx::raw_sql(earlier).execute(&mut database).await.is_ok() {
                    return database;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let layout: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(layout, 2);
    database.close().await.unwrap();
    let mut journal = reopen(&path).await;
    assert_eq!(
        journal.catalogue(&name("a")).await.unwrap(),
        Some(signed.into())
    );
    let kept = directed("{}", &["b"]);
    let next = CatalogueDoc {
        version: 5,
        directed: vec![kept.digest()],
        ..catalogue
    };
    let published = Published {
        catalogue: Signed::sign(&next, &a).unwrap(),
        directed: vec![kept],
    };
    journal.publish(&next, &published).await.unwrap();
    drop(journal);
    let mut journal = reopen(&path).await;
    assert_eq!(
        journal.catalogue(&name("a")).await.unwrap(),
        Some(published)
    );
}

/// What ended long ago is forgotten with all that belongs to it; what has not ended, or could be replayed, is not.
#[tokio::test]
async fn old_jobs_are_forgotten_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let (a, b) = (identity("a"), identity("b"));
    let mut journal = Journal::open(&path).await.unwrap();
    let ended = JobState::Cancelled { by: name("b") };
    let mut ids = Vec::new();
    for (job, state, at) in [
        (1, &ended, 100),
        (2, &ended, 200),
        (3, &JobState::Running, 100),
    ] {
        let contract = contract(&[&a, &b], job);
        let signed = Signed::sign(&contract, &a).unwrap();
        journal.propose(&contract, &signed, 50).await.unwrap();
        let outcome = Outcome::Completed {
            receipt: "{}".into(),
        };
        for evidence in [
            Evidence::Acceptance(name("a"), accept(&contract, &a)),
            Evidence::Outcome(name("a"), outcome),
            Evidence::Rejection(reject(&contract, &b)),
        ] {
            journal
                .record(&contract.job_id, state, &evidence, at)
                .await
                .unwrap();
        }
        ids.push((contract.job_id, contract.not_after));
    }
    let not_after = ids[0].1;
    assert_eq!(
        journal.prune(150, not_after).await.unwrap(),
        0,
        "not expired"
    );
    assert_eq!(journal.prune(100, u64::MAX).await.unwrap(), 0, "not so old");
    assert_eq!(journal.prune(150, not_after + 1).await.unwrap(), 1);
    assert!(journal.job(&ids[0].0).await.unwrap().is_none());
    for (id, _) in &ids[1..] {
        let kept = journal.job(id).await.unwrap().unwrap();
        assert_eq!((kept.acceptances.len(), kept.outcomes.len()), (1, 1));
    }
    // Nothing hangs on: the same job can be entered anew.
    let contract = contract(&[&a, &b], 1);
    let signed = Signed::sign(&contract, &a).unwrap();
    journal.propose(&contract, &signed, 300).await.unwrap();
    let again = journal.job(&contract.job_id).await.unwrap().unwrap();
    assert!(again.acceptances.is_empty() && again.outcomes.is_empty());
    assert!(again.rejection.is_none());
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let _first = Journal::open(&path).await.unwrap();
    let error = Journal::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("another coordinator"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    std::fs::write(&path, "not a database ".repeat(100)).unwrap();
    assert!(matches!(
        Journal::open(&path).await,
        Err(JournalError::Open { .. })
    ));
}

#[tokio::test]
async fn a_damaged_statement_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let mut journal = Journal::open(&path).await.unwrap();
    let signed = Signed::sign(&contract, &a).unwrap();
    let mut body = signed.body().to_vec();
    body[20] ^= 1;
    let damaged = Signed::from_parts(body, signed.public_key(), signed.signature());
    journal.propose(&contract, &damaged, 1).await.unwrap();
    assert!(matches!(
        journal.open_jobs().await,
        Err(JournalError::Damaged { .. })
    ));
}
