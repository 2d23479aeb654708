//! The stop of everything at this agent, which outlives a restart until a person lifts it.

use coordinator::contract::JobId;
use sqlx::{Row, Sqlite, Transaction};

use super::jobs::{fixed, step};
use super::log::Event;
use super::{Ending, JobState, Ledger, LedgerError, runs};

/// Who stopped everything, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Halt {
    /// The person, by the name that was given.
    pub by: String,
    /// Why, in that person's words.
    pub reason: String,
    /// When, Unix seconds.
    pub since: u64,
}

impl Ledger {
    /// Stops everything: from here on no job is accepted, started or completed. Jobs that were running are cancelled in the
    /// same transaction; returns them. A second halt changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn halt(&self, halt: &Halt, ending: &Ending) -> Result<Vec<JobId>, LedgerError> {
        let mut writing = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO halts (id, by, reason, since) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&halt.by)
        .bind(&halt.reason)
        .bind(i64::try_from(halt.since).unwrap_or(i64::MAX))
        .execute(&mut *writing.tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT job_id FROM jobs WHERE state = 'running'")
            .fetch_all(&mut *writing.tx)
            .await?;
        writing.note(halt.since, Event::Halted)?;
        let mut stopped = Vec::new();
        for row in rows {
            let job_id = JobId(fixed(&row, "job_id")?);
            let (from, to) = (JobState::Running, JobState::Cancelled);
            step(&mut writing.tx, job_id, from, to, Some(ending), halt.since).await?;
            runs::release(&mut writing.tx, job_id).await?;
            let event = Event::Ended {
                job_id,
                state: to,
                class: ending.class.clone(),
            };
            writing.note(halt.since, event)?;
            stopped.push(job_id);
        }
        writing.commit().await?;
        self.changed();
        Ok(stopped)
    }

    /// Lets jobs run again. False if nothing was halted.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn lift(&self, now: u64) -> Result<bool, LedgerError> {
        let mut writing = self.write().await?;
        let deleted = sqlx::query("DELETE FROM halts")
            .execute(&mut *writing.tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        writing.note(now, Event::Lifted)?;
        writing.commit().await?;
        self.changed();
        Ok(true)
    }

    /// Whether everything is stopped.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn halted(&self) -> Result<Option<Halt>, LedgerError> {
        let row = sqlx::query("SELECT by, reason, since FROM halts")
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let since: i64 = row.try_get("since")?;
        Ok(Some(Halt {
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
            since: since.unsigned_abs(),
        }))
    }
}

/// Fails while everything is stopped.
pub(super) async fn forbid(tx: &mut Transaction<'static, Sqlite>) -> Result<(), LedgerError> {
    let halted = sqlx::query("SELECT 1 FROM halts")
        .fetch_optional(&mut **tx)
        .await?;
    match halted {
        None => Ok(()),
        Some(_) => Err(LedgerError::Halted),
    }
}
