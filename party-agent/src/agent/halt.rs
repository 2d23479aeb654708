//! Stopping everything at this agent, and withdrawing this party from one job.

use coordinator::contract::JobId;
use coordinator::job::StopReason;
use coordinator::logsafe::safe;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Core, STOP_PATIENCE};
use crate::api::Problem;
use crate::api::types::Halted;
use crate::execute::Failure;
use crate::ledger::{Halt, JobState, LedgerError};

/// The class of a job from which this party has withdrawn.
const REVOKED: &str = "revoked";

impl Core {
    /// Stops everything. When this returns, no run of this agent goes on, and none can begin until [`Core::lift`].
    pub(crate) async fn halt(&self, by: &str, reason: &str) -> Result<Halted, Problem> {
        let halt = Halt {
            by: by.to_owned(),
            reason: reason.to_owned(),
            since: self.now(),
        };
        let mut ending = Failure::cancelled(self.name()).entry();
        ending.class = "halted".to_owned();
        ending.what = format!("{} has stopped everything at its agent", self.name());
        // First on disk: from then on nothing is completed here, whatever a run has reached.
        let stopped = self.ledger.halt(&halt, &ending).await?;
        let running = self.running_jobs();
        self.end_runs(&running).await;
        self.forget_everything();
        warn!(jobs = stopped.len(), "everything is halted at this agent");
        Ok(Halted {
            halted: self.ledger.halted().await?,
            stopped,
        })
    }

    /// Lets jobs run again.
    pub(crate) async fn lift(&self) -> Result<Halted, Problem> {
        if self.ledger.lift(self.now()).await? {
            info!("the halt of this agent is lifted");
        }
        Ok(Halted {
            halted: None,
            stopped: Vec::new(),
        })
    }

    /// Whether everything is stopped.
    pub(crate) async fn halted(&self) -> Result<Halted, Problem> {
        Ok(Halted {
            halted: self.ledger.halted().await?,
            stopped: Vec::new(),
        })
    }

    /// Withdraws this party's approval for good. It needs nobody else: the coordinator may be gone.
    pub(crate) async fn revoke(&self, job_id: JobId, reason: &str) -> Result<(), Problem> {
        let what = format!("{} has revoked its approval: {reason}", self.name());
        if self.withdraw(job_id, REVOKED, what).await? {
            return Ok(());
        }
        // A run that broke off is not gone on with.
        if !self.forget(job_id) {
            let record = self.ledger.job(job_id).await?;
            let what = format!("job {job_id} is {} already", record.state.as_str());
            let advice = "what was released cannot be taken back; ask the receivers to delete it";
            return Err(Problem::conflict("ended", what).advice(advice));
        }
        Ok(())
    }

    /// Ends a job here and stops its run, for good. False if it had ended before.
    pub(super) async fn withdraw(
        &self,
        job_id: JobId,
        class: &str,
        what: String,
    ) -> Result<bool, LedgerError> {
        let mut ending = Failure::cancelled(self.name()).entry();
        ending.class = class.to_owned();
        ending.what = what;
        let ended = self
            .ledger
            .end(job_id, JobState::Cancelled, &ending, self.now())
            .await?;
        if ended {
            self.end_runs(&[job_id]).await;
            self.forget_all_of(job_id).await;
            info!(job = %safe(&job_id), class, "approval withdrawn");
        }
        Ok(ended)
    }

    /// Stops runs, waits until they have ended here, and tells the others as far as they can be reached.
    async fn end_runs(&self, jobs: &[JobId]) {
        let by = self.name().clone();
        let reason = StopReason::Cancelled { by };
        for job_id in jobs {
            let ended = self.running().get(job_id).map(|r| r.ended.clone());
            self.order_stop(*job_id, &reason);
            if let Some(mut ended) = ended {
                // An error means that the task is gone, which is as good.
                let _ = timeout(STOP_PATIENCE, ended.wait_for(|ended| *ended)).await;
            }
            let client = self.client.clone();
            let job_id = *job_id;
            tokio::spawn(async move {
                // Peers that have a link to this agent know it already.
                let _ = client.cancel(job_id).await;
            });
        }
    }
}
