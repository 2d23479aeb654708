//! Points of a run at which a test looks, holds the run, or kills the process; and what a run sends, as it is before it is encrypted.
//!
//! A program has to be built around [`Milestones`] for that: no file, no variable of the environment and no message reaches them,
//! and the `entente` command has none.

use std::sync::Arc;

use coordinator::contract::JobId;
use protocols::net::{BoxFuture, Frame};
use protocols::party::Seat;

/// A point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// The job is approved, and no place among counted runs is taken yet.
    Reserve,
    /// The place is taken, and nothing was sent.
    Reserved,
    /// The first message is on its way.
    Sent,
    /// A checkpoint is on disk, and the computation goes on.
    Checkpoint,
    /// The computation is over, and its end is not in the ledger yet.
    Commit,
    /// Its end is in the ledger, and nothing is gathered yet of what the others report.
    Gather,
    /// What they report is verified and kept, and nobody was told so yet.
    Witnessed,
}

/// Looks at runs. The run waits until the future is done.
pub trait Watcher: Send + Sync + 'static {
    /// A run has come so far.
    fn reached<'a>(&'a self, job: JobId, milestone: Milestone) -> BoxFuture<'a, ()>;

    /// A run is about to send this to a seat.
    fn sends(&self, _job: JobId, _to: Seat, _frame: &Frame) {}
}

/// Somebody who looks, or nobody.
#[derive(Clone, Default)]
pub struct Milestones(Option<Arc<dyn Watcher>>);

impl Milestones {
    /// Tells `watcher`.
    #[must_use]
    pub fn watched_by(watcher: Arc<dyn Watcher>) -> Self {
        Self(Some(watcher))
    }

    pub(crate) async fn reach(&self, job: JobId, milestone: Milestone) {
        if let Some(watcher) = &self.0 {
            watcher.reached(job, milestone).await;
        }
    }

    pub(crate) fn sends(&self, job: JobId, to: Seat, frame: &Frame) {
        if let Some(watcher) = &self.0 {
            watcher.sends(job, to, frame);
        }
    }
}
