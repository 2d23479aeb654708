//! Contracts that take the place of earlier ones.
//!
//! An amendment is a contract of its own, with everything signed anew. It names the job whose place it takes; a party that
//! approves it has withdrawn from that job first, so that at no time two versions can run. Counted runs and budgets belong to
//! tables and not to contracts, and so go on where they were.

use coordinator::contract::{Contract, JobId, PartyName};

use super::Core;
use super::proposals::VetError;
use crate::approve::Refusal;
use crate::ledger::{JobRecord, LedgerError};

/// The class of the end of a job whose place another one takes.
const SUPERSEDED: &str = "superseded";

impl Core {
    /// The job whose place a contract takes, as far as this party knows it.
    ///
    /// # Errors
    /// [`Refusal::Supersedes`] for a job that somebody else has proposed.
    pub(super) async fn superseded(
        &self,
        earlier: JobId,
        proposer: &PartyName,
    ) -> Result<Option<JobRecord>, VetError> {
        match self.ledger.job(earlier).await {
            Ok(record) if record.proposer == *proposer => Ok(Some(record)),
            Ok(record) => Err(VetError::Refused(Refusal::Supersedes {
                earlier,
                proposer: record.proposer,
            })),
            Err(LedgerError::UnknownJob { .. }) => Ok(None),
            Err(error) => Err(VetError::Later(error.to_string())),
        }
    }

    /// Withdraws from the job whose place a contract takes, if it has not ended here.
    pub(super) async fn supersede(&self, contract: &Contract) -> Result<(), LedgerError> {
        let Some(earlier) = contract.supersedes else {
            return Ok(());
        };
        match self.ledger.job(earlier).await {
            Ok(record) if !record.state.is_final() => {
                let what = format!("job {} takes its place", contract.job_id);
                self.withdraw(earlier, SUPERSEDED, what).await.map(drop)
            }
            Ok(_) | Err(LedgerError::UnknownJob { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
