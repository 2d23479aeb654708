//! The agent's log: one entry for everything that the ledger changes, in the same transaction.
//!
//! A step that cannot be logged is therefore not taken. Entries hold ids, digests of signed documents, states and times, and
//! nothing of data, conditions or people. They are the leaves of a Merkle tree ([`coordinator::log`]), whose root this
//! party signs at the end of every job; with such a checkpoint anybody can tell later whether an entry
//! before it was changed, removed or put in.

mod show;
mod verify;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use coordinator::contract::{Digest, JobId, PartyName, canonical};
use coordinator::log::SignedCheckpoint;
use coordinator::log::merkle::{self, Tree};
use coordinator::tls::{Fingerprint, Identity};
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::{JobState, Ledger, LedgerError};

pub use show::{Growth, LogShown, Shown};
pub use verify::{LogError, LogReport, verify};

/// The longest entry that is read.
const MAX_ENTRY_BYTES: usize = 4096;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place, counted from 0.
    pub seq: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A contract was seen for the first time, and its proposer's signature was valid.
    Proposed {
        /// The job.
        job_id: JobId,
        /// Digest of the contract's bytes.
        contract: Digest,
        /// Digest of the plan that it names.
        plan: Digest,
    },
    /// This party has signed, by a person or a standing rule.
    Accepted {
        /// The job.
        job_id: JobId,
        /// Digest of the acceptance's bytes.
        acceptance: Digest,
    },
    /// The job runs, and its places among counted runs are reserved.
    Started {
        /// The job.
        job_id: JobId,
    },
    /// The run is spent; no message was sent before this entry was on disk.
    Spent {
        /// The job.
        job_id: JobId,
        /// Under how many counters, that of all jobs included.
        counted: u64,
        /// Digest of what it takes of budgets of noise; nothing where it takes none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        charges: Option<Digest>,
    },
    /// A person has stopped everything here.
    Halted,
    /// A person lets jobs run again.
    Lifted,
    /// It ended well.
    Completed {
        /// The job.
        job_id: JobId,
        /// Digest of the signed receipt.
        receipt: Digest,
        /// Digest of what this party keeps to itself of the run: the receipt's file, and the digest of `result.json` at a
        /// receiver. The file is salted, so this tells nothing about either.
        kept: Digest,
    },
    /// It ended in another way.
    Ended {
        /// The job.
        job_id: JobId,
        /// How.
        state: JobState,
        /// The class of the failure, a short word.
        class: String,
    },
    /// This party has verified another one's receipt and signed its checkpoint as seen.
    Witnessed {
        /// The job.
        job_id: JobId,
        /// Whose log.
        party: PartyName,
        /// How long it was.
        size: u64,
        /// The root over it.
        root: Digest,
    },
    /// This party signs its log with another key from here on.
    Key {
        /// The new one.
        key: Fingerprint,
    },
    /// A log is not what it was before: jobs with this party are refused from here on.
    Alarm {
        /// The job that showed it.
        job_id: JobId,
        /// Whose log; this party's own, if an older state was restored here.
        party: PartyName,
        /// What is wrong with it.
        kind: AlarmKind,
        /// The size of the checkpoint that does not fit.
        size: u64,
        /// Its root.
        root: Digest,
    },
    /// One of several persons of this party who have to approve has done so.
    Approval {
        /// The job.
        job_id: JobId,
    },
    /// The run goes on with an earlier job that broke off.
    Resumed {
        /// The job.
        job_id: JobId,
        /// The earlier one.
        earlier: JobId,
        /// After how many steps of it; 0 if all begin anew.
        step: u32,
    },
    /// It is remembered who is counted in the job's figures; no message was sent before this entry was on disk.
    Counted {
        /// The job.
        job_id: JobId,
        /// Digest of the account of the job, which holds hashes under this ledger's key: it tells nobody anything, and the account cannot
        /// change behind it.
        account: Digest,
    },
    /// A reviewer's signature on a procedure's manifest is relied upon here.
    Reviewed {
        /// Digest of the manifest.
        manifest: Digest,
        /// Digest of the signed review.
        review: Digest,
    },
    /// A negative list is new here.
    NegativeList {
        /// Whose.
        issuer: PartyName,
        /// Its number.
        version: u64,
        /// Digest of its bytes.
        digest: Digest,
    },
    /// A party published a catalogue that is new here.
    Catalogue {
        /// Whose.
        party: PartyName,
        /// Its number.
        version: u64,
        /// Digest of its bytes.
        digest: Digest,
    },
}

/// What can be wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// It is shorter than it was: an older state was restored.
    RolledBack,
    /// There are two logs that say different things.
    Forked,
}

impl AlarmKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled_back",
            Self::Forked => "forked",
        }
    }
}

impl Event {
    /// The job that it is about.
    #[must_use]
    pub fn job_id(&self) -> Option<JobId> {
        match self {
            Self::Proposed { job_id, .. }
            | Self::Accepted { job_id, .. }
            | Self::Started { job_id }
            | Self::Spent { job_id, .. }
            | Self::Completed { job_id, .. }
            | Self::Ended { job_id, .. }
            | Self::Witnessed { job_id, .. }
            | Self::Approval { job_id }
            | Self::Counted { job_id, .. }
            | Self::Resumed { job_id, .. }
            | Self::Alarm { job_id, .. } => Some(*job_id),
            Self::Halted
            | Self::Lifted
            | Self::Key { .. }
            | Self::NegativeList { .. }
            | Self::Reviewed { .. }
            | Self::Catalogue { .. } => None,
        }
    }
}

/// What a completed run leaves private: see [`Event::Completed`].
pub(super) fn kept(file: &str, result: Option<&[u8]>) -> Digest {
    Digest::of(&[file.as_bytes(), result.unwrap_or_default()].concat())
}

/// The tree with leaves that are not on disk yet. What is not is taken back.
struct Growing {
    tree: OwnedMutexGuard<Tree>,
    on_disk: u64,
}

impl Growing {
    fn is_on_disk(&mut self) {
        self.on_disk = self.tree.size();
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.tree.truncate(self.on_disk);
    }
}

/// An entry that is in the tree and not in the database yet.
struct Unwritten {
    place: i64,
    bytes: Vec<u8>,
    leaf: Digest,
    job_id: Option<JobId>,
}

/// Entries in one statement: each binds three values, and SQLite takes 32,766 of them.
const ROWS_OF_A_STATEMENT: usize = 4096;

/// A transaction with what it adds to the log. The tree is locked until it ends, so that leaves come in the order of entries.
pub(super) struct Writing {
    pub(super) tx: Transaction<'static, Sqlite>,
    growing: Growing,
    /// Entries go to the database together: a statement each costs more than everything else about them.
    unwritten: Vec<Unwritten>,
}

impl Writing {
    /// Adds an entry. Returns its place.
    pub(super) fn note(&mut self, at: u64, event: Event) -> Result<i64, LedgerError> {
        let seq = self.growing.tree.size();
        let place = i64::try_from(seq).unwrap_or(i64::MAX);
        let job_id = event.job_id();
        let entry = Entry { seq, at, event };
        let bytes = canonical::encode(&entry);
        let bytes = bytes.map_err(|_| LedgerError::Corrupt { what: "log entry" })?;
        let leaf = merkle::leaf(&bytes);
        self.growing.tree.push(leaf);
        self.unwritten.push(Unwritten {
            place,
            bytes,
            leaf,
            job_id,
        });
        Ok(place)
    }

    /// Puts what was noted into the transaction.
    async fn write_entries(&mut self) -> Result<(), LedgerError> {
        let unwritten = std::mem::take(&mut self.unwritten);
        for entries in unwritten.chunks(ROWS_OF_A_STATEMENT) {
            for mut insert in inserts(entries) {
                insert.build().execute(&mut *self.tx).await?;
            }
        }
        Ok(())
    }

    /// Signs the log with what this transaction adds to it, and keeps what was signed.
    pub(super) async fn checkpoint(
        &mut self,
        identity: &Identity,
    ) -> Result<SignedCheckpoint, LedgerError> {
        let tree = &self.growing.tree;
        let signed = SignedCheckpoint::sign(tree.size(), tree.root(), identity);
        sqlx::query("INSERT OR REPLACE INTO checkpoints (size, note) VALUES (?, ?)")
            .bind(i64::try_from(tree.size()).unwrap_or(i64::MAX))
            .bind(signed.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(signed)
    }

    /// Puts all of it on disk, or nothing. A caller who stops waiting does not part the tree from the disk: a run that is told
    /// to stop while it is being spent would otherwise leave a tree that lacks an entry, and no later one could be written.
    pub(super) async fn commit(mut self) -> Result<(), LedgerError> {
        self.write_entries().await?;
        let Self {
            tx, mut growing, ..
        } = self;
        let committing = tokio::spawn(async move {
            tx.commit().await?;
            growing.is_on_disk();
            Ok(())
        });
        let committed = committing.await;
        committed.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

/// The statements that write entries.
fn inserts(entries: &[Unwritten]) -> Vec<QueryBuilder<Sqlite>> {
    let mut log = QueryBuilder::new("INSERT INTO log (seq, entry, leaf) ");
    log.push_values(entries, |mut row, entry| {
        row.push_bind(entry.place)
            .push_bind(&entry.bytes)
            .push_bind(&entry.leaf.0[..]);
    });
    let of_jobs = entries
        .iter()
        .filter_map(|e| Some((e.job_id.as_ref()?, e.place)));
    let of_jobs: Vec<_> = of_jobs.collect();
    if of_jobs.is_empty() {
        return vec![log];
    }
    let mut index = QueryBuilder::new("INSERT INTO log_of_jobs (job_id, seq) ");
    index.push_values(of_jobs, |mut row, (job_id, place)| {
        row.push_bind(&job_id.0[..]).push_bind(place);
    });
    vec![log, index]
}

impl Ledger {
    pub(super) async fn write(&self) -> Result<Writing, LedgerError> {
        let tree = Arc::clone(&self.tree).lock_owned().await;
        Ok(Writing {
            tx: self.pool.begin().await?,
            growing: Growing {
                on_disk: tree.size(),
                tree,
            },
            unwritten: Vec::new(),
        })
    }

    /// Writes down that the log is signed with another key from here on, if it is.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn note_key(&self, identity: &Identity, now: u64) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let last = sqlx::query("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
            .fetch_optional(&mut *writing.tx)
            .await?;
        if let Some(last) = last {
            let note: String = last.try_get("note")?;
            let corrupt = |_| LedgerError::Corrupt { what: "checkpoint" };
            let last = SignedCheckpoint::parse(&note).map_err(corrupt)?;
            if last.verify(&identity.public_key()).is_err() {
                let key = identity.fingerprint();
                writing.note(now, Event::Key { key })?;
            }
        }
        writing.commit().await
    }

    /// Signs the log as it is now, and keeps what was signed.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn checkpoint(&self, identity: &Identity) -> Result<SignedCheckpoint, LedgerError> {
        let mut writing = self.write().await?;
        let signed = writing.checkpoint(identity).await?;
        writing.commit().await?;
        Ok(signed)
    }
}

/// The tree over a log's leaves.
pub(super) async fn tree(pool: &SqlitePool) -> Result<Tree, LedgerError> {
    let rows = sqlx::query("SELECT leaf FROM log ORDER BY seq")
        .fetch_all(pool)
        .await?;
    let mut tree = Tree::default();
    for row in rows {
        let leaf: Vec<u8> = row.try_get("leaf")?;
        let leaf = leaf.try_into();
        tree.push(Digest(
            leaf.map_err(|_| LedgerError::Corrupt { what: "log entry" })?,
        ));
    }
    Ok(tree)
}
