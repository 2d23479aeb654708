//! The steps of a job, each one transaction.

use std::path::{Path, PathBuf};

use coordinator::contract::{
    Acceptance, Contract, Digest, JobId, PartyName, PublicKey, SignatureBytes, Signed,
};
use coordinator::tls::Identity;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::log::{self, Event, LogShown};
use super::{
    Charge, Ending, JobRecord, JobState, Ledger, LedgerError, Reservation, Seen, StoredResult,
    charges, halt, runs, witness,
};

const RECORD: &str = "SELECT j.job_id, j.job, j.purpose, j.proposer, j.contract, j.plan, j.state, j.ending, \
     j.created, j.updated, a.approved_by FROM jobs j LEFT JOIN acceptances a ON a.job_id = j.job_id";

/// The class of a job that was running when the agent stopped.
const INTERRUPTED: &str = "restarted";

/// What is kept of a completed job as it was told to all parties.
pub const REPORT: &str = "report";

/// A run that has ended well.
pub struct Completion<'a> {
    /// Digest of the signed receipt.
    pub receipt: &'a Digest,
    /// The receipt's file.
    pub file: &'a str,
    /// Where the result is, at a receiver.
    pub result: Option<&'a StoredResult>,
    /// Sizes of earlier checkpoints, which the log is shown to continue.
    pub from: &'a [u64],
    /// Signs the log.
    pub identity: &'a Identity,
    /// What all parties are told, with what the log shows.
    pub report: &'a (dyn Fn(LogShown) -> String + Sync),
}

impl Ledger {
    /// Notes a proposal, whose signature was verified, as waiting. The same contract a second time changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the job id stands for another contract.
    pub async fn propose(
        &self,
        contract: &Contract,
        signed: &Signed<Contract>,
        now: u64,
    ) -> Result<Seen, LedgerError> {
        let mut writing = self.write().await?;
        let tx = &mut writing.tx;
        let digest = signed.digest();
        let known = sqlx::query("SELECT contract, state FROM jobs WHERE job_id = ?")
            .bind(&contract.job_id.0[..])
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(row) = known {
            let before = Digest(fixed(&row, "contract")?);
            if before != digest {
                return Err(LedgerError::Conflict {
                    job_id: contract.job_id,
                });
            }
            return Ok(Seen::Before(state(&row)?));
        }
        sqlx::query(
            "INSERT INTO jobs (job_id, job, purpose, proposer, contract, plan, body, public_key, signature, state, \
             created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&contract.job_id.0[..])
        .bind(&contract.job)
        .bind(&contract.purpose)
        .bind(contract.proposer.as_str())
        .bind(&digest.0[..])
        .bind(&contract.plan.0[..])
        .bind(signed.body())
        .bind(&signed.public_key().0[..])
        .bind(&signed.signature().0[..])
        .bind(JobState::Waiting.as_str())
        .bind(seconds(now))
        .bind(seconds(now))
        .execute(&mut **tx)
        .await?;
        let event = Event::Proposed {
            job_id: contract.job_id,
            contract: digest,
            plan: contract.plan,
        };
        writing.note(now, event)?;
        writing.commit().await?;
        self.changed();
        Ok(Seen::New)
    }

    /// Puts an acceptance on disk and takes the job from waiting to accepted. With a standing rule, takes one of
    /// its runs too. To be called before the acceptance leaves this machine.
    ///
    /// # Errors
    /// [`LedgerError::WrongState`], [`LedgerError::RuleExhausted`], [`LedgerError::Halted`]; nothing is written then.
    pub async fn accept(
        &self,
        acceptance: &Acceptance,
        signed: &Signed<Acceptance>,
        rule: Option<(&str, u64)>,
        now: u64,
    ) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let tx = &mut writing.tx;
        halt::forbid(tx).await?;
        if let Some((rule, max_runs)) = rule {
            let used = count_runs(tx, rule).await?;
            if used >= max_runs {
                return Err(LedgerError::RuleExhausted { used });
            }
        }
        step(
            tx,
            acceptance.job_id,
            JobState::Waiting,
            JobState::Accepted,
            None,
            now,
        )
        .await?;
        sqlx::query(
            "INSERT INTO acceptances (job_id, nonce, approved_by, rule, body, public_key, signature) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&acceptance.job_id.0[..])
        .bind(&acceptance.nonce.0[..])
        .bind(&acceptance.approved_by)
        .bind(rule.map(|(id, _)| id))
        .bind(signed.body())
        .bind(&signed.public_key().0[..])
        .bind(&signed.signature().0[..])
        .execute(&mut **tx)
        .await?;
        let event = Event::Accepted {
            job_id: acceptance.job_id,
            acceptance: signed.digest(),
        };
        writing.note(now, event)?;
        writing.commit().await?;
        self.changed();
        Ok(())
    }

    /// Takes an accepted job to running, with its places among the runs that the policy counts and what it takes of budgets. To be called before its first
    /// message; succeeds once in the life of a job.
    ///
    /// # Errors
    /// [`LedgerError::WrongState`] if it is not accepted, or was started before; [`LedgerError::NoPlace`], [`LedgerError::NoBudget`],
    /// [`LedgerError::Halted`]. Nothing is written then.
    pub async fn start(
        &self,
        job_id: JobId,
        (places, charges): (&[Reservation], &[Charge]),
        now: u64,
    ) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let tx = &mut writing.tx;
        halt::forbid(tx).await?;
        step(tx, job_id, JobState::Accepted, JobState::Running, None, now).await?;
        runs::reserve(tx, job_id, places, now).await?;
        charges::reserve(tx, job_id, charges).await?;
        writing.note(now, Event::Started { job_id })?;
        writing.commit().await?;
        self.changed();
        Ok(())
    }

    /// Notes that a running job has ended well, signs the log with this entry, and keeps what all parties are told of it: one
    /// transaction. Returns what they are told.
    ///
    /// # Errors
    /// [`LedgerError::WrongState`] if it is not running.
    pub async fn complete(
        &self,
        job_id: JobId,
        done: &Completion<'_>,
        now: u64,
    ) -> Result<String, LedgerError> {
        let mut writing = self.write().await?;
        let tx = &mut writing.tx;
        step(
            tx,
            job_id,
            JobState::Running,
            JobState::Completed,
            None,
            now,
        )
        .await?;
        sqlx::query(
            "INSERT INTO outcomes (job_id, receipt, result_dir, result) VALUES (?, ?, ?, ?)",
        )
        .bind(&job_id.0[..])
        .bind(done.file)
        .bind(done.result.map(|r| path_text(&r.dir)))
        .bind(done.result.map(|r| r.digest.0.to_vec()))
        .execute(&mut **tx)
        .await?;
        let event = Event::Completed {
            job_id,
            receipt: *done.receipt,
            kept: log::kept(done.file, done.result.map(|r| &r.digest.0[..])),
        };
        writing.note(now, event)?;
        let shown = writing.show(job_id, done.from, done.identity).await?;
        let report = (done.report)(shown);
        witness::keep(&mut writing.tx, job_id, &[(REPORT, &report)]).await?;
        writing.commit().await?;
        self.changed();
        Ok(report)
    }

    /// Ends a job in another way than well. A job that has ended already keeps its end; true if this was the end.
    ///
    /// # Errors
    /// [`LedgerError::UnknownJob`].
    pub async fn end(
        &self,
        job_id: JobId,
        state_after: JobState,
        ending: &Ending,
        now: u64,
    ) -> Result<bool, LedgerError> {
        let mut writing = self.write().await?;
        let tx = &mut writing.tx;
        let found = current_state(tx, job_id).await?;
        if found.is_final() {
            return Ok(false);
        }
        step(tx, job_id, found, state_after, Some(ending), now).await?;
        runs::release(tx, job_id).await?;
        let event = Event::Ended {
            job_id,
            state: state_after,
            class: ending.class.clone(),
        };
        writing.note(now, event)?;
        writing.commit().await?;
        self.changed();
        Ok(true)
    }

    /// After a restart: every job that was running has failed, because its secrets are gone. Returns them.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn recover(&self, now: u64) -> Result<Vec<JobId>, LedgerError> {
        let mut writing = self.write().await?;
        let rows = sqlx::query("SELECT job_id FROM jobs WHERE state = 'running'")
            .fetch_all(&mut *writing.tx)
            .await?;
        let ending = Ending {
            exit: 1,
            class: INTERRUPTED.to_owned(),
            culprit: None,
            what: "the agent stopped while the job was running".to_owned(),
            what_to_do: "submit the job again; a fit of which there is a checkpoint goes on with: entente job resume".to_owned(),
        };
        let mut jobs = Vec::new();
        for row in rows {
            let job_id = JobId(fixed(&row, "job_id")?);
            step(
                &mut writing.tx,
                job_id,
                JobState::Running,
                JobState::Failed,
                Some(&ending),
                now,
            )
            .await?;
            runs::release(&mut writing.tx, job_id).await?;
            let event = Event::Ended {
                job_id,
                state: JobState::Failed,
                class: ending.class.clone(),
            };
            writing.note(now, event)?;
            jobs.push(job_id);
        }
        writing.commit().await?;
        Ok(jobs)
    }

    /// One job.
    ///
    /// # Errors
    /// [`LedgerError::UnknownJob`].
    pub async fn job(&self, job_id: JobId) -> Result<JobRecord, LedgerError> {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new(RECORD);
        query
            .push(" WHERE j.job_id = ")
            .push_bind(job_id.0.to_vec());
        let row = query.build().fetch_optional(&self.pool).await?;
        record(&row.ok_or(LedgerError::UnknownJob { job_id })?)
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn jobs(&self) -> Result<Vec<JobRecord>, LedgerError> {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new(RECORD);
        query.push(" ORDER BY j.created DESC, j.rowid DESC");
        let rows = query.build().fetch_all(&self.pool).await?;
        rows.iter().map(record).collect()
    }

    /// The contract of a job, as it was signed.
    ///
    /// # Errors
    /// [`LedgerError::UnknownJob`].
    pub async fn contract(&self, job_id: JobId) -> Result<Signed<Contract>, LedgerError> {
        let row = sqlx::query("SELECT body, public_key, signature FROM jobs WHERE job_id = ?")
            .bind(&job_id.0[..])
            .fetch_optional(&self.pool)
            .await?;
        signed(&row.ok_or(LedgerError::UnknownJob { job_id })?)
    }

    /// This party's own acceptance of a job, if it has accepted.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn acceptance(
        &self,
        job_id: JobId,
    ) -> Result<Option<Signed<Acceptance>>, LedgerError> {
        let row =
            sqlx::query("SELECT body, public_key, signature FROM acceptances WHERE job_id = ?")
                .bind(&job_id.0[..])
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(signed).transpose()
    }

    /// How often a standing rule was used. A job that ended before it sent anything does not count.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn runs(&self, rule: &str) -> Result<u64, LedgerError> {
        let mut tx = self.pool.begin().await?;
        count_runs(&mut tx, rule).await
    }

    /// The receipt of a completed job, and where its result is at a receiver.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn outcome(
        &self,
        job_id: JobId,
    ) -> Result<Option<(String, Option<StoredResult>)>, LedgerError> {
        let row = sqlx::query("SELECT receipt, result_dir, result FROM outcomes WHERE job_id = ?")
            .bind(&job_id.0[..])
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let dir: Option<String> = row.try_get("result_dir")?;
        let result = match dir {
            None => None,
            Some(dir) => Some(StoredResult {
                dir: PathBuf::from(dir),
                digest: Digest(fixed(&row, "result")?),
            }),
        };
        Ok(Some((row.try_get("receipt")?, result)))
    }
}

type Tx = Transaction<'static, Sqlite>;

async fn count_runs(tx: &mut Tx, rule: &str) -> Result<u64, LedgerError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM acceptances a JOIN jobs j ON j.job_id = a.job_id WHERE a.rule = ? AND \
         (j.state IN ('accepted', 'running', 'completed') \
          OR EXISTS (SELECT 1 FROM runs r WHERE r.job_id = a.job_id AND r.state = 'spent'))",
    )
        .bind(rule)
        .fetch_one(&mut **tx)
        .await?;
    number(&row, "n")
}

async fn current_state(tx: &mut Tx, job_id: JobId) -> Result<JobState, LedgerError> {
    let row = sqlx::query("SELECT state FROM jobs WHERE job_id = ?")
        .bind(&job_id.0[..])
        .fetch_optional(&mut **tx)
        .await?;
    state(&row.ok_or(LedgerError::UnknownJob { job_id })?)
}

/// Moves a job from one state to the next, or says in which other state it is.
pub(super) async fn step(
    tx: &mut Tx,
    job_id: JobId,
    needed: JobState,
    after: JobState,
    ending: Option<&Ending>,
    now: u64,
) -> Result<(), LedgerError> {
    let found = current_state(tx, job_id).await?;
    if found != needed {
        return Err(LedgerError::WrongState {
            job_id,
            found,
            needed,
        });
    }
    let ending =
        ending.map(|e| serde_json::to_string(e).expect("an ending has string keys and no floats"));
    sqlx::query("UPDATE jobs SET state = ?, ending = ?, updated = ? WHERE job_id = ?")
        .bind(after.as_str())
        .bind(ending)
        .bind(seconds(now))
        .bind(&job_id.0[..])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn record(row: &SqliteRow) -> Result<JobRecord, LedgerError> {
    let ending: Option<String> = row.try_get("ending")?;
    let ending = ending.map(|text| serde_json::from_str(&text)).transpose();
    let proposer: String = row.try_get("proposer")?;
    Ok(JobRecord {
        job_id: JobId(fixed(row, "job_id")?),
        job: row.try_get("job")?,
        purpose: row.try_get("purpose")?,
        proposer: PartyName::new(proposer)
            .map_err(|_| LedgerError::Corrupt { what: "party name" })?,
        contract: Digest(fixed(row, "contract")?),
        plan: Digest(fixed(row, "plan")?),
        state: state(row)?,
        ending: ending.map_err(|_| LedgerError::Corrupt { what: "ending" })?,
        approved_by: row.try_get("approved_by")?,
        created: number(row, "created")?,
        updated: number(row, "updated")?,
    })
}

fn state(row: &SqliteRow) -> Result<JobState, LedgerError> {
    let word: String = row.try_get("state")?;
    JobState::from_word(&word).ok_or(LedgerError::Corrupt { what: "job state" })
}

fn signed<T>(row: &SqliteRow) -> Result<Signed<T>, LedgerError> {
    Ok(Signed::from_parts(
        row.try_get("body")?,
        PublicKey(fixed(row, "public_key")?),
        SignatureBytes(fixed(row, "signature")?),
    ))
}

pub(super) fn fixed<const N: usize>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<[u8; N], LedgerError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| LedgerError::Corrupt { what: column })
}

pub(super) fn number(row: &SqliteRow, column: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| LedgerError::Corrupt { what: column })
}

/// A time or a version as SQLite's signed integer. Both are below 2^53 in every document that was checked.
pub(super) fn seconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
