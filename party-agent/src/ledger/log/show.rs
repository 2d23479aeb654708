//! What a party shows of its log when a job is done: a signed checkpoint, its entries about the job, and that all of it only grew.

use coordinator::contract::{Digest, JobId};
use coordinator::tls::Identity;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::super::{Ledger, LedgerError};
use super::Writing;

/// What a party shows of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogShown {
    /// A signed checkpoint, as a note.
    pub checkpoint: String,
    /// The entries about the job, in order.
    pub entries: Vec<Shown>,
    /// That the log of the checkpoint is what earlier ones were, continued.
    pub growth: Vec<Growth>,
}

/// An entry, and that it is in the log of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Its canonical bytes.
    pub entry: String,
    /// The hashes beside its way to the root.
    pub path: Vec<Digest>,
}

/// That the first entries of the log are an earlier log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// How many entries the earlier one had.
    pub size: u64,
    /// The proof.
    pub path: Vec<Digest>,
}

impl Writing {
    /// Signs the log with what this transaction adds to it, and shows its entries about a job. `from`: sizes of earlier checkpoints.
    pub(in super::super) async fn show(
        &mut self,
        job_id: JobId,
        from: &[u64],
        identity: &Identity,
    ) -> Result<LogShown, LedgerError> {
        let signed = self.checkpoint(identity).await?;
        self.write_entries().await?;
        let rows = sqlx::query(
            "SELECT l.seq, l.entry FROM log l JOIN log_of_jobs j ON j.seq = l.seq WHERE j.job_id = ? ORDER BY l.seq",
        )
        .bind(&job_id.0[..])
        .fetch_all(&mut *self.tx)
        .await?;
        let tree = &self.growing.tree;
        let corrupt = || LedgerError::Corrupt { what: "log entry" };
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let seq: i64 = row.try_get("seq")?;
            let seq = u64::try_from(seq).ok().filter(|seq| *seq < tree.size());
            let entry = String::from_utf8(row.try_get("entry")?);
            entries.push(Shown {
                entry: entry.map_err(|_| corrupt())?,
                path: tree.inclusion(seq.ok_or_else(corrupt)?),
            });
        }
        let from = from
            .iter()
            .filter(|size| **size > 0 && **size <= tree.size());
        let growth = from.map(|size| Growth {
            size: *size,
            path: tree.consistency(*size),
        });
        Ok(LogShown {
            checkpoint: signed.to_string(),
            entries,
            growth: growth.collect(),
        })
    }
}

impl Ledger {
    /// The root of this log when it had `size` entries; none if it never had so many.
    pub async fn root_at(&self, size: u64) -> Option<Digest> {
        self.tree.lock().await.root_at(size)
    }
}
