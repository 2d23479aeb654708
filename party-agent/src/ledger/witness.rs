//! What this agent has seen of other parties' logs, and what it keeps of a job beside its steps.

use coordinator::contract::{Digest, JobId, PartyName};
use coordinator::log::{Checkpoint, SignedCheckpoint};
use coordinator::tls::Fingerprint;
use sqlx::{Row, Sqlite, Transaction};

use super::jobs::fixed;
use super::log::{AlarmKind, Event};
use super::{JobState, Ledger, LedgerError};

/// A log that was found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Whose; this party's own, if an older state was restored here.
    pub party: PartyName,
    /// The key that signed it. A party with a new key has a new log.
    pub key: Fingerprint,
    /// What is wrong with it.
    pub kind: AlarmKind,
    /// The checkpoint that does not fit.
    pub checkpoint: Checkpoint,
}

/// Another party's log, found to continue what was seen of it.
#[derive(Clone, Debug)]
pub struct Grown {
    /// The key that signs it.
    pub key: Fingerprint,
    /// The new checkpoint.
    pub new: SignedCheckpoint,
    /// Earlier ones that it is known to continue, and which need not be kept.
    pub continues: Vec<SignedCheckpoint>,
}

/// Keeps texts about a job, each in place of an earlier one of its kind.
pub(super) async fn keep(
    tx: &mut Transaction<'static, Sqlite>,
    job_id: JobId,
    texts: &[(&str, &str)],
) -> Result<(), LedgerError> {
    for (kind, text) in texts {
        sqlx::query("INSERT OR REPLACE INTO documents (job_id, kind, text) VALUES (?, ?, ?)")
            .bind(&job_id.0[..])
            .bind(kind)
            .bind(text)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

impl Ledger {
    /// Keeps texts about a job, each in place of an earlier one of its kind.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn keep(&self, job_id: JobId, texts: &[(&str, &str)]) -> Result<(), LedgerError> {
        let mut tx = self.pool.begin().await?;
        keep(&mut tx, job_id, texts).await?;
        tx.commit().await?;
        self.changed();
        Ok(())
    }

    /// The completed jobs of which no such text is kept, the oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn without_evidence(&self, kind: &str) -> Result<Vec<JobId>, LedgerError> {
        let rows = sqlx::query(
            "SELECT job_id FROM jobs j WHERE state = ? AND NOT EXISTS \
             (SELECT 1 FROM documents d WHERE d.job_id = j.job_id AND d.kind = ?) ORDER BY j.rowid",
        )
        .bind(JobState::Completed.as_str())
        .bind(kind)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok(JobId(fixed(row, "job_id")?)))
            .collect()
    }

    /// A text that was kept.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn kept(&self, job_id: JobId, kind: &str) -> Result<Option<String>, LedgerError> {
        let row = sqlx::query("SELECT text FROM documents WHERE job_id = ? AND kind = ?")
            .bind(&job_id.0[..])
            .bind(kind)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("text")).transpose()?)
    }

    /// Notes that other parties' logs were verified for a job, and keeps texts that say so in the same transaction.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn witness(
        &self,
        job_id: JobId,
        logs: &[Grown],
        texts: &[(&str, &str)],
        now: u64,
    ) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        for log in logs {
            let Checkpoint { party, size, root } = log.new.claimed().clone();
            for old in &log.continues {
                sqlx::query("DELETE FROM seen WHERE party = ? AND key = ? AND note = ?")
                    .bind(party.as_str())
                    .bind(&log.key.0[..])
                    .bind(old.to_string())
                    .execute(&mut *writing.tx)
                    .await?;
            }
            sqlx::query("INSERT OR REPLACE INTO seen (party, key, size, note) VALUES (?, ?, ?, ?)")
                .bind(party.as_str())
                .bind(&log.key.0[..])
                .bind(i64::try_from(size).unwrap_or(i64::MAX))
                .bind(log.new.without_witnesses().to_string())
                .execute(&mut *writing.tx)
                .await?;
            let event = Event::Witnessed {
                job_id,
                party,
                size,
                root,
            };
            writing.note(now, event)?;
        }
        keep(&mut writing.tx, job_id, texts).await?;
        writing.commit().await?;
        self.changed();
        Ok(())
    }

    /// The checkpoints of a party's log that were seen, and of which none is known to continue another; the shortest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn seen(
        &self,
        party: &PartyName,
        key: &Fingerprint,
    ) -> Result<Vec<SignedCheckpoint>, LedgerError> {
        let rows = sqlx::query("SELECT note FROM seen WHERE party = ? AND key = ? ORDER BY size")
            .bind(party.as_str())
            .bind(&key.0[..])
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let note: String = row.try_get("note")?;
            SignedCheckpoint::parse(&note).map_err(|_| LedgerError::Corrupt { what: "checkpoint" })
        };
        rows.iter().map(read).collect()
    }

    /// Raises the alarm about a log, for good.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn alarm(&self, job_id: JobId, alarm: &Alarm, now: u64) -> Result<(), LedgerError> {
        let Alarm {
            party,
            key,
            kind,
            checkpoint,
        } = alarm;
        let mut writing = self.write().await?;
        let event = Event::Alarm {
            job_id,
            party: party.clone(),
            kind: *kind,
            size: checkpoint.size,
            root: checkpoint.root,
        };
        let seq = writing.note(now, event)?;
        sqlx::query("INSERT INTO alarms (seq, party, key, kind, at) VALUES (?, ?, ?, ?, ?)")
            .bind(seq)
            .bind(party.as_str())
            .bind(&key.0[..])
            .bind(kind.as_str())
            .bind(i64::try_from(now).unwrap_or(i64::MAX))
            .execute(&mut *writing.tx)
            .await?;
        writing.commit().await?;
        self.changed();
        Ok(())
    }

    /// Whether the alarm was raised about the log of this key, and since when.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn alarmed(&self, key: &Fingerprint) -> Result<Option<(String, u64)>, LedgerError> {
        let row = sqlx::query("SELECT kind, at FROM alarms WHERE key = ? ORDER BY seq LIMIT 1")
            .bind(&key.0[..])
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let at: i64 = row.try_get("at")?;
        Ok(Some((row.try_get("kind")?, at.unsigned_abs())))
    }

    /// Whether this log had this root at this size: whoever shows a checkpoint signed with this agent's key must be right.
    pub async fn was(&self, size: u64, root: &Digest) -> bool {
        self.root_at(size).await.as_ref() == Some(root)
    }
}
