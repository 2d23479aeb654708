//! Jobs that go on with one that broke off.
//!
//! Such a job is a contract of its own: everybody is asked, everything is signed anew, the run is reserved and counted anew, and
//! its session has nonces and masks of its own. What it takes from the earlier job are checkpoints of the fit, and those only
//! if every computing party still has them: whoever has cancelled, revoked or halted in between has none.

use std::time::Duration;

use coordinator::contract::{Contract, Digest, JobId, PartyName};
use coordinator::job::FailureClass;
use coordinator::logsafe::safe;
use coordinator::tls::Fingerprint;
use tracing::warn;

use super::Core;
use super::proposals::VetError;
use crate::api::Problem;
use crate::approve::{Earlier, Refusal};
use crate::ledger::{JobState, LedgerError};
use crate::plan::Plan;

/// How long the end of a job may take to be heard of here.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// A contract that goes on with a job, as far as that matters.
pub(super) struct Resuming<'a> {
    pub(super) earlier: JobId,
    pub(super) proposer: &'a PartyName,
    pub(super) plan: Digest,
    /// Whether this party computes, and so needs a checkpoint.
    pub(super) computes: bool,
}

/// Whether a run that failed so may be gone on with.
pub(super) fn is_broken_off(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Restarted | FailureClass::PartyLost | FailureClass::LinkLost
    )
}

impl Core {
    /// Proposes a job that goes on with one of this party's that broke off.
    pub(crate) async fn resume(&self, earlier: JobId, by: Option<&str>) -> Result<JobId, Problem> {
        let signed = self.ledger.contract(earlier).await?;
        let contract = signed.verify(&Fingerprint::of(&signed.public_key()));
        let contract = contract.map_err(|e| Problem::runtime("ledger", e.to_string()))?;
        if contract.proposer != *self.name() {
            let why = format!("{} has proposed it", contract.proposer);
            return Err(Refusal::Resumes { earlier, why }.into());
        }
        let earlier = Earlier::Resumed(earlier);
        self.submit(&contract.spec, by, earlier).await
    }

    /// Whether a proposal of this party can go on with an earlier job.
    pub(super) async fn can_resume(&self, earlier: JobId, plan: &Plan) -> Result<(), VetError> {
        let mut computing = plan.seats.iter().map(crate::approve::party_name);
        self.resumable(&Resuming {
            earlier,
            proposer: self.name(),
            plan: plan.digest(),
            computes: computing.any(|name| name == *self.name()),
        })
        .await
    }

    /// The same of a contract that somebody has proposed.
    pub(super) async fn check_resumed(&self, contract: &Contract) -> Result<(), VetError> {
        let Some(earlier) = contract.resumes else {
            return Ok(());
        };
        self.resumable(&Resuming {
            earlier,
            proposer: &contract.proposer,
            plan: contract.plan,
            computes: contract.party(self.name()).is_some_and(|p| p.computing),
        })
        .await
    }

    async fn resumable(&self, of: &Resuming<'_>) -> Result<(), VetError> {
        let earlier = of.earlier;
        let refused = |why: String| VetError::Refused(Refusal::Resumes { earlier, why });
        let later = |e: LedgerError| VetError::Later(e.to_string());
        // A party that was not killed may hear of the end last.
        let ended = self.wait_unless(earlier, JobState::Running, END_PATIENCE);
        if ended.await.is_err() {
            return Err(refused("nobody here knows it".to_owned()));
        }
        let record = self.ledger.job(earlier).await.map_err(later)?;
        if record.proposer != *of.proposer {
            return Err(refused(format!("{} has proposed it", record.proposer)));
        }
        if record.state != JobState::Failed {
            return Err(refused(format!("it is {} here", record.state.as_str())));
        }
        if record.plan != of.plan {
            let why = "tables, policies or programs have changed since, so that the plan is another; submit the job file instead";
            return Err(refused(why.to_owned()));
        }
        if self.not_after(earlier).await.map_err(later)? < self.now() {
            return Err(refused(
                "its contract has expired; submit the job file instead".to_owned(),
            ));
        }
        if of.computes && !self.checkpoints.has(earlier) {
            return Err(refused(
                "there is no checkpoint of it here: it had not come so far, or was revoked, or everything was halted; submit the job file instead".to_owned(),
            ));
        }
        Ok(())
    }

    async fn not_after(&self, job: JobId) -> Result<u64, LedgerError> {
        let signed = self.ledger.contract(job).await?;
        let contract = signed.verify(&Fingerprint::of(&signed.public_key()));
        Ok(contract.map_or(0, |contract| contract.not_after))
    }

    /// Removes the checkpoints of a job; true if there were any.
    pub(super) fn forget(&self, job: JobId) -> bool {
        self.checkpoints.forget(job).unwrap_or_else(|_| {
            warn!(job = %safe(&job), "the checkpoints of a job could not be removed");
            false
        })
    }

    /// Removes the checkpoints of a job that has come to its end, and of those that it went on with.
    pub(super) async fn forget_all_of(&self, job: JobId) {
        let mut next = Some(job);
        while let Some(job) = next {
            self.forget(job);
            let signed = self.ledger.contract(job).await.ok();
            let contract = signed.and_then(|s| s.verify(&Fingerprint::of(&s.public_key())).ok());
            next = contract.and_then(|contract| contract.resumes);
        }
    }

    /// Removes all checkpoints: nothing that has broken off goes on.
    pub(super) fn forget_everything(&self) {
        match self.checkpoints.jobs() {
            Ok(jobs) => {
                for job in jobs {
                    self.forget(job);
                }
            }
            Err(_) => warn!("checkpoints could not be removed"),
        }
    }

    /// After a restart: keeps the checkpoints of jobs that can still be gone on with.
    pub(super) async fn sweep_checkpoints(&self) {
        for job in self.checkpoints.jobs().unwrap_or_default() {
            let record = self.ledger.job(job).await;
            let has_failed = record.is_ok_and(|record| record.state == JobState::Failed);
            let not_after = self.not_after(job).await.unwrap_or(0);
            if !has_failed || not_after < self.now() {
                self.forget(job);
            }
        }
    }
}
