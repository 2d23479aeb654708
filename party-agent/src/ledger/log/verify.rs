//! Whether a log is what its owner has signed, and the ledger what the log says.

use std::collections::BTreeMap;
use std::path::Path;

use coordinator::contract::{Digest, JobId, PublicKey, canonical};
use coordinator::log::merkle::{self, Tree};
use coordinator::log::{Checkpoint, SignedCheckpoint};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};

use super::super::{JobState, Ledger, LedgerError, charges, cohorts};
use super::{Entry, Event, MAX_ENTRY_BYTES};

/// A log that was found whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// How many entries it has.
    pub n_entries: u64,
    /// The root over all of them.
    pub root: Digest,
    /// How many signed checkpoints agree with it.
    pub n_checkpoints: u64,
    /// Of how many entries the last of them tells. Those behind it are signed with the next job.
    pub n_signed: u64,
    /// How many jobs the log tells of.
    pub n_jobs: u64,
    /// The longest checkpoint of its own, as a note.
    pub checkpoint: Option<String>,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read at all.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An entry is missing, or stands at another place.
    #[error("entry {seq} of the log is missing")]
    Missing {
        /// The first one that is.
        seq: u64,
    },
    /// An entry is not what it was.
    #[error("entry {seq} of the log was changed")]
    Changed {
        /// Its place.
        seq: u64,
    },
    /// A checkpoint is not one that this party has signed.
    #[error("the checkpoint at {size} entries is not signed with this agent's key")]
    Signature {
        /// Its size.
        size: u64,
    },
    /// The log differs from what was signed of it.
    #[error(
        "the log is not the one that was signed: between entries {after} and {size} something was changed, removed or put in"
    )]
    Differs {
        /// Up to here it agrees.
        after: u64,
        /// Size of the checkpoint that does not.
        size: u64,
    },
    /// It is shorter than what was signed of it: an older state was restored.
    #[error(
        "the log has {found} entries, but {size} were signed: an older state of this agent was restored"
    )]
    Shorter {
        /// Entries that are there.
        found: u64,
        /// Size of the checkpoint.
        size: u64,
    },
    /// The ledger's tables differ from the log.
    #[error("job {job_id} is not in the ledger as the log tells of it: its {what} differs")]
    Job {
        /// The job.
        job_id: JobId,
        /// What differs.
        what: &'static str,
    },
    /// The log and the ledger disagree on whether everything is halted.
    #[error("by the log everything at this agent is {}, and the ledger says otherwise", if *told { "halted" } else { "not halted" })]
    Halt {
        /// What the log says.
        told: bool,
    },
}

/// Verifies the log in a ledger's file, every checkpoint beside it, and those that partners have kept (`known`), under the `keys` that the agent has and had; and that
/// the ledger's jobs are what the log tells of them. Changes nothing, and the agent may run meanwhile.
///
/// # Errors
/// [`LogError`], the first thing that is wrong.
pub async fn verify(
    path: &Path,
    keys: &[PublicKey],
    known: &[SignedCheckpoint],
) -> Result<LogReport, LogError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool
        .connect_with(options)
        .await
        .map_err(LedgerError::from)?;
    let report = verify_in(&pool, keys, known).await?;
    pool.close().await;
    Ok(report)
}

impl Ledger {
    /// [`verify`]s this ledger, before its owner relies on it.
    ///
    /// # Errors
    /// [`LogError`], the first thing that is wrong.
    pub async fn verify(&self, keys: &[PublicKey]) -> Result<LogReport, LogError> {
        verify_in(&self.pool, keys, &[]).await
    }
}

async fn verify_in(
    pool: &SqlitePool,
    keys: &[PublicKey],
    known: &[SignedCheckpoint],
) -> Result<LogReport, LogError> {
    let entries = entries(pool).await?;
    let (checkpoints, last) = checkpoints(pool, keys, known).await?;
    let (mut tree, mut n_signed) = (Tree::default(), 0);
    let mut due = checkpoints.iter().peekable();
    for at in 0..=entries.len() as u64 {
        while let Some(checkpoint) = due.next_if(|c| c.size == at) {
            if checkpoint.root != tree.root() {
                let (after, size) = (n_signed, at);
                return Err(LogError::Differs { after, size });
            }
            n_signed = at;
        }
        if let Some((_, leaf)) = entries.get(at as usize) {
            tree.push(*leaf);
        }
    }
    if let Some(checkpoint) = due.next() {
        let (found, size) = (tree.size(), checkpoint.size);
        return Err(LogError::Shorter { found, size });
    }
    let jobs = jobs_of(entries.iter().map(|(entry, _)| entry));
    compare(pool, &jobs).await?;
    compare_halt(pool, entries.iter().map(|(entry, _)| entry)).await?;
    Ok(LogReport {
        n_entries: tree.size(),
        root: tree.root(),
        n_checkpoints: checkpoints.len() as u64,
        n_signed,
        n_jobs: jobs.len() as u64,
        checkpoint: last,
    })
}

/// All entries with their leaves.
async fn entries(pool: &SqlitePool) -> Result<Vec<(Entry, Digest)>, LogError> {
    let rows = sqlx::query("SELECT seq, entry, leaf FROM log ORDER BY seq")
        .fetch_all(pool)
        .await
        .map_err(LedgerError::from)?;
    let mut entries = Vec::with_capacity(rows.len());
    for (seq, row) in (0u64..).zip(rows) {
        let place: i64 = row.try_get("seq").map_err(LedgerError::from)?;
        if place != i64::try_from(seq).unwrap_or(i64::MAX) {
            return Err(LogError::Missing { seq });
        }
        let bytes: Vec<u8> = row.try_get("entry").map_err(LedgerError::from)?;
        let kept: Vec<u8> = row.try_get("leaf").map_err(LedgerError::from)?;
        let leaf = merkle::leaf(&bytes);
        let entry: Result<Entry, _> = canonical::decode(&bytes, MAX_ENTRY_BYTES);
        match entry {
            Ok(entry) if entry.seq == seq && kept == leaf.0 => entries.push((entry, leaf)),
            _ => return Err(LogError::Changed { seq }),
        }
    }
    Ok(entries)
}

/// A checkpoint, if the agent has signed it with the key that it has or had.
fn signed_by<'a>(signed: &'a SignedCheckpoint, keys: &[PublicKey]) -> Option<&'a Checkpoint> {
    keys.iter().find_map(|key| signed.verify(key).ok())
}

/// What was signed, by size, and the last note of the agent's own.
async fn checkpoints(
    pool: &SqlitePool,
    keys: &[PublicKey],
    known: &[SignedCheckpoint],
) -> Result<(Vec<Checkpoint>, Option<String>), LogError> {
    let rows = sqlx::query("SELECT size, note FROM checkpoints ORDER BY size")
        .fetch_all(pool)
        .await
        .map_err(LedgerError::from)?;
    let (mut checkpoints, mut last) = (Vec::new(), None);
    for row in rows {
        let size: i64 = row.try_get("size").map_err(LedgerError::from)?;
        let note: String = row.try_get("note").map_err(LedgerError::from)?;
        let size = size.unsigned_abs();
        let signed = SignedCheckpoint::parse(&note).map_err(|_| LogError::Signature { size })?;
        let checkpoint = signed_by(&signed, keys).ok_or(LogError::Signature { size })?;
        if checkpoint.size != size {
            return Err(LogError::Signature { size });
        }
        checkpoints.push(checkpoint.clone());
        last = Some(note);
    }
    for signed in known {
        let checkpoint = signed_by(signed, keys).ok_or(LogError::Signature { size: 0 })?;
        checkpoints.push(checkpoint.clone());
    }
    checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    Ok((checkpoints, last))
}

/// What the log says of a job.
#[derive(Default)]
struct Told {
    contract: Option<Digest>,
    acceptance: Option<Digest>,
    kept: Option<Digest>,
    state: Option<JobState>,
    spent: u64,
    charges: Option<Digest>,
    account: Option<Digest>,
}

fn jobs_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<JobId, Told> {
    let mut jobs: BTreeMap<JobId, Told> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Proposed {
                job_id, contract, ..
            } => {
                let told = jobs.entry(*job_id).or_default();
                told.contract = Some(*contract);
                told.state = Some(JobState::Waiting);
            }
            Event::Accepted { job_id, acceptance } => {
                let told = jobs.entry(*job_id).or_default();
                told.acceptance = Some(*acceptance);
                told.state = Some(JobState::Accepted);
            }
            Event::Started { job_id } => {
                jobs.entry(*job_id).or_default().state = Some(JobState::Running);
            }
            Event::Completed { job_id, kept, .. } => {
                let told = jobs.entry(*job_id).or_default();
                told.kept = Some(*kept);
                told.state = Some(JobState::Completed);
            }
            Event::Ended { job_id, state, .. } => {
                jobs.entry(*job_id).or_default().state = Some(*state);
            }
            Event::Spent {
                job_id,
                counted,
                charges,
            } => {
                let told = jobs.entry(*job_id).or_default();
                told.spent = *counted;
                told.charges = *charges;
            }
            Event::Counted { job_id, account } => {
                jobs.entry(*job_id).or_default().account = Some(*account);
            }
            Event::Witnessed { .. }
            | Event::Reviewed { .. }
            | Event::Alarm { .. }
            | Event::Catalogue { .. }
            | Event::Key { .. }
            | Event::NegativeList { .. }
            | Event::Approval { .. }
            | Event::Resumed { .. }
            | Event::Halted
            | Event::Lifted => {}
        }
    }
    jobs
}

/// Whether everything is stopped, as the log tells.
async fn compare_halt<'a>(
    pool: &SqlitePool,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<(), LogError> {
    let told = entries.fold(false, |halted, entry| match entry.event {
        Event::Halted => true,
        Event::Lifted => false,
        _ => halted,
    });
    let found = sqlx::query("SELECT 1 FROM halts")
        .fetch_optional(pool)
        .await
        .map_err(LedgerError::from)?;
    if found.is_some() == told {
        return Ok(());
    }
    Err(LogError::Halt { told })
}

const LEDGER: &str = "SELECT j.job_id, j.body, j.state, a.body AS acceptance, o.receipt, o.result, \
     (SELECT COUNT(*) FROM runs r WHERE r.job_id = j.job_id AND r.state = 'spent') AS spent FROM jobs j \
     LEFT JOIN acceptances a ON a.job_id = j.job_id LEFT JOIN outcomes o ON o.job_id = j.job_id";

/// Holds the ledger's tables against the log.
async fn compare(pool: &SqlitePool, jobs: &BTreeMap<JobId, Told>) -> Result<(), LogError> {
    let rows = sqlx::query(LEDGER)
        .fetch_all(pool)
        .await
        .map_err(LedgerError::from)?;
    let mut n_found = 0;
    for row in &rows {
        let id: Vec<u8> = row.try_get("job_id").map_err(LedgerError::from)?;
        let id = id.try_into();
        let job_id = JobId(id.map_err(|_| LedgerError::Corrupt { what: "job_id" })?);
        let differs = |what| LogError::Job { job_id, what };
        let told = jobs.get(&job_id).ok_or_else(|| differs("existence"))?;
        n_found += 1;
        let digest = |column| -> Result<Option<Digest>, LogError> {
            let bytes: Option<Vec<u8>> = row.try_get(column).map_err(LedgerError::from)?;
            Ok(bytes.as_deref().map(Digest::of))
        };
        let state: String = row.try_get("state").map_err(LedgerError::from)?;
        let receipt: Option<String> = row.try_get("receipt").map_err(LedgerError::from)?;
        let result: Option<Vec<u8>> = row.try_get("result").map_err(LedgerError::from)?;
        let spent: i64 = row.try_get("spent").map_err(LedgerError::from)?;
        let charges = match spent {
            0 => None,
            _ => charges::digest_of(pool, job_id).await?,
        };
        let kept = receipt.map(|file| super::kept(&file, result.as_deref()));
        // Ledgers of before such entries were made have accounts that the log does not tell of.
        let account = match told.account {
            None => None,
            Some(_) => cohorts::digest_of(pool, job_id).await?,
        };
        let is_told = [
            ("contract", digest("body")? == told.contract),
            ("acceptance", digest("acceptance")? == told.acceptance),
            ("receipt or result", kept == told.kept),
            ("state", JobState::from_word(&state) == told.state),
            ("number of runs", spent.unsigned_abs() == told.spent),
            ("loss by noise", charges == told.charges),
            ("account of who was counted", account == told.account),
        ];
        if let Some((what, _)) = is_told.into_iter().find(|(_, same)| !same) {
            return Err(differs(what));
        }
    }
    if n_found == jobs.len() {
        return Ok(());
    }
    let missing = jobs.keys().find(|id| {
        let is_it = |row: &sqlx::sqlite::SqliteRow| {
            row.try_get::<Vec<u8>, _>("job_id")
                .is_ok_and(|found| found == id.0)
        };
        !rows.iter().any(is_it)
    });
    match missing {
        Some(job_id) => Err(LogError::Job {
            job_id: *job_id,
            what: "existence",
        }),
        None => Ok(()),
    }
}
