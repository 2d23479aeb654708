//! What this holder has agreed to and released, kept on disk.
//!
//! One SQLite database in WAL mode with `synchronous = FULL`: when a method returns, what it wrote survives a
//! crash of the process and of the machine. The rules that need this:
//!
//! * an acceptance, with its nonce and the use of a standing rule, is on disk before it leaves this machine;
//! * a job leaves the state `accepted` once, on disk, before its first message; so it cannot be run twice;
//! * a run that a policy counts is reserved when its job starts, and spent before the job's first message (`ledger/runs.rs`);
//! * a job id belongs to one contract for ever, so an old job cannot be played again under a new contract;
//! * every change is an entry of the log, written in the same transaction ([`log`]).

mod halt;
mod jobs;
pub mod log;
mod questions;
mod runs;
mod resumed;
mod charges;
mod audit;
mod cohorts;
mod witness;
mod versions;
mod approvals;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coordinator::contract::{Digest, JobId, PartyName};
use coordinator::log::merkle::Tree;
use coordinator::transaction::end_open;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::{Mutex, watch};

pub use approvals::Person;
pub use audit::Cohort;
pub use charges::Charge;
pub use halt::Halt;
pub use jobs::{Completion, REPORT};
pub use runs::{Counted, Reservation, RunCounts};
pub use witness::{Alarm, Grown};

/// The ledger of one agent.
#[derive(Clone, Debug)]
pub struct Ledger {
    pool: SqlitePool,
    /// Counts the changes, for those who wait for one.
    changes: Arc<watch::Sender<u64>>,
    /// Over the entries of the log that are on disk.
    tree: Arc<Mutex<Tree>>,
}

/// Where a job stands at this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a person of this party.
    Waiting,
    /// This party has accepted; others may not have.
    Accepted,
    /// It is running.
    Running,
    /// It has ended well.
    Completed,
    /// It has failed.
    Failed,
    /// A person of some party has cancelled it.
    Cancelled,
    /// This party or another one has refused it.
    Rejected,
}

impl JobState {
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Accepted,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// The word for it in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether nothing more can happen to the job.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Accepted | Self::Running)
    }
}

/// How a job ended, in fields that hold no data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Exit code of a command that waited for it.
    pub exit: u8,
    /// Class of the failure: a short word.
    pub class: String,
    /// The party whose fault it is.
    pub culprit: Option<PartyName>,
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub what_to_do: String,
}

/// One job as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobRecord {
    /// Its id.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// What it is for.
    pub purpose: String,
    /// Who proposed it.
    pub proposer: PartyName,
    /// Digest of the contract.
    pub contract: Digest,
    /// Digest of the plan.
    pub plan: Digest,
    /// Where it stands.
    pub state: JobState,
    /// How it ended, unless well.
    pub ending: Option<Ending>,
    /// Who approved it here.
    pub approved_by: Option<String>,
    /// When it was first seen, Unix seconds.
    pub created: u64,
    /// When it last changed, Unix seconds.
    pub updated: u64,
}

/// Whether a proposal was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is new.
    New,
    /// The same contract was seen before; the job stands here.
    Before(JobState),
}

/// A result that was written at this receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResult {
    /// Directory of its files.
    pub dir: PathBuf,
    /// SHA-256 of `result.json`.
    pub digest: Digest,
}

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The directory or the file cannot be used.
    #[error("the ledger {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database failed. Nothing was done.
    #[error("the ledger could not be read or written, so nothing was done: {0}")]
    Database(#[from] sqlx::Error),
    /// The database holds something that this program does not write.
    #[error("the ledger holds an unreadable {what}; restore it from a backup")]
    Corrupt {
        /// What cannot be read.
        what: &'static str,
    },
    /// The job id is taken by another contract.
    #[error(
        "job {job_id} was seen here before with another contract; somebody is replaying or changing it"
    )]
    Conflict {
        /// The job.
        job_id: JobId,
    },
    /// There is no such job.
    #[error("there is no job {job_id} in this agent's ledger")]
    UnknownJob {
        /// The job.
        job_id: JobId,
    },
    /// The job is not in the state that the step needs.
    #[error("job {job_id} is {}, not {}", found.as_str(), needed.as_str())]
    WrongState {
        /// The job.
        job_id: JobId,
        /// Its state.
        found: JobState,
        /// The state that the step needs.
        needed: JobState,
    },
    /// The standing rule has no runs left.
    #[error("the standing rule has been used {used} times, which is all that it allows")]
    RuleExhausted {
        /// Runs so far.
        used: u64,
    },
    /// The policy allows no further run, or not yet.
    #[error("rule tables.{table}.rules.{rule}.{what} of the policy allows no further run now")]
    NoPlace {
        /// The table.
        table: String,
        /// The rule.
        rule: String,
        /// Which of its limits.
        what: &'static str,
    },
    /// The budget for releases with noise does not hold another one.
    #[error(
        "tables.{table}.dp.eps_micro of the policy: what is left of the budget for {recipient} is less than the job takes"
    )]
    NoBudget {
        /// The table.
        table: String,
        /// Who would be told.
        recipient: String,
    },
    /// With what was released before, the job would tell of few persons.
    #[error("tables.{table}.cohorts of the policy: {what}")]
    Cohorts {
        /// The table.
        table: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The job has no place that it could spend: it was ended here.
    #[error("job {job_id} was ended here, so it sends nothing")]
    NothingReserved {
        /// The job.
        job_id: JobId,
    },
    /// A person has stopped everything.
    #[error("everything is halted at this agent")]
    Halted,
}

impl LedgerError {
    /// A short word for logs, which says nothing about the job.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "ledger_file",
            Self::Database(_) => "ledger_database",
            Self::Corrupt { .. } => "ledger_corrupt",
            Self::Conflict { .. } => "replayed",
            Self::UnknownJob { .. } => "unknown_job",
            Self::WrongState { .. } => "wrong_state",
            Self::RuleExhausted { .. } => "rule_exhausted",
            Self::NoPlace { .. } => "no_run_left",
            Self::NoBudget { .. } => "no_budget_left",
            Self::Cohorts { .. } => "cohorts",
            Self::NothingReserved { .. } => "ended_here",
            Self::Halted => "halted",
        }
    }
}

impl Ledger {
    /// Opens the ledger, and makes it if there is none.
    ///
    /// # Errors
    /// [`LedgerError::File`], [`LedgerError::Database`].
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        schema::prepare_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        // One connection: every transaction sees what the one before it wrote, and none has to be tried again.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            // After a commit for which there was no space, the next ones have to be on disk again.
            .after_release(|connection, _| {
                Box::pin(async move { end_open(connection).await.map(|()| true) })
            })
            .connect_with(options)
            .await?;
        schema::apply(&pool).await?;
        let tree = log::tree(&pool).await?;
        Ok(Self {
            pool,
            changes: Arc::default(),
            tree: Arc::new(Mutex::new(tree)),
        })
    }

    /// Tells of every change of a job from now on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes those who wait for a change.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Closes the database. Dropping the ledger does too, but does not wait.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
