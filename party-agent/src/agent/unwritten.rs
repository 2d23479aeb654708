//! Ends of jobs that could not be written down, because the disk is full, say. People are told all the same, and the ledger as soon
//! as it can be written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator::contract::JobId;
use coordinator::logsafe::safe;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Core;
use crate::ledger::{Ending, JobRecord, JobState, LedgerError};

/// The pace at which it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How jobs have ended that the ledger has in another state.
#[derive(Default)]
pub(super) struct Unwritten(Mutex<BTreeMap<JobId, (JobState, Ending)>>);

impl Unwritten {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, (JobState, Ending)>> {
        // Each change is one insertion or removal, so a panic elsewhere cannot have left half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contains(&self, job_id: JobId) -> bool {
        self.lock().contains_key(&job_id)
    }
}

impl Core {
    /// Writes the end of a job down. If that is not possible now, it is remembered and tried again until it is.
    pub(super) async fn write_end(
        self: &Arc<Self>,
        job_id: JobId,
        state: JobState,
        ending: Ending,
    ) {
        match self.ledger.end(job_id, state, &ending, self.now()).await {
            Ok(_) => {}
            Err(error @ LedgerError::Database(_)) => {
                warn!(job = %safe(&job_id), code = error.code(), "the end of a job could not be written; it is tried again");
                self.unwritten
                    .lock()
                    .insert(job_id, (state, ending.clone()));
                self.ledger.changed();
                self.write_end_later(job_id, state, ending);
            }
            Err(error) => warn!(job = %safe(&job_id), code = error.code(), "the ledger failed"),
        }
    }

    fn write_end_later(self: &Arc<Self>, job_id: JobId, state: JobState, ending: Ending) {
        // Whoever still waits here keeps no agent alive.
        let core = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(RETRY).await;
                let Some(core) = core.upgrade() else {
                    return;
                };
                let written = core.ledger.end(job_id, state, &ending, core.now()).await;
                if let Err(LedgerError::Database(_)) = written {
                    continue;
                }
                core.unwritten.lock().remove(&job_id);
                info!(job = %safe(&job_id), "the end of a job is written");
                if core.ledger.checkpoint(&core.identity).await.is_err() {
                    warn!(job = %safe(&job_id), "the log could not be signed");
                }
                return;
            }
        });
    }

    /// A job as it stands, whether or not its end is written.
    pub(super) async fn record(&self, job_id: JobId) -> Result<JobRecord, LedgerError> {
        Ok(self.as_it_stands(self.ledger.job(job_id).await?))
    }

    pub(super) fn as_it_stands(&self, mut record: JobRecord) -> JobRecord {
        if let Some((state, ending)) = self.unwritten.lock().get(&record.job_id) {
            record.state = *state;
            record.ending = Some(ending.clone());
        }
        record
    }
}
