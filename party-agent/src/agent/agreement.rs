//! What was agreed on a job, as one file for anybody to verify.

use coordinator::contract::JobId;

use super::Core;
use super::evidence::{GatherError, PAGES, PLAN};
use crate::api::Problem;
use crate::evidence::{self, Check, Fault};

impl Core {
    /// The contract file of a job that all parties have accepted: contract, acceptances, page and plan.
    pub(crate) async fn agreement(&self, job_id: JobId) -> Result<Vec<u8>, Problem> {
        let contract = self.ledger.contract(job_id).await?;
        let Some(plan) = self.ledger.kept(job_id, PLAN).await? else {
            let what = format!("this party has not accepted job {job_id}");
            return Err(Problem::conflict("not_agreed", what)
                .advice("`entente contract explain` shows the page that it would sign"));
        };
        let pages = self.kept_pages(job_id).await?;
        let pages = pages.ok_or(GatherError::Kept { what: PAGES })?;
        let mut acceptances = self.dossier(job_id).await?.acceptances;
        if acceptances.is_empty() {
            let view = self.client.job_status(job_id).await;
            acceptances = view.map_err(GatherError::from)?.acceptances;
        }
        let bytes = evidence::export_agreement(contract, &acceptances, pages, plan);
        let bytes = bytes.map_err(|fault| broken(&fault))?;
        // Nobody is handed a file that does not hold.
        evidence::verify_agreement(&bytes, None).map_err(|fault| broken(&fault))?;
        Ok(bytes)
    }
}

fn broken(fault: &Fault) -> Problem {
    match fault.check {
        Check::Approvals => Problem::conflict("not_agreed", fault.to_string())
            .advice("`entente job show` says whose answer is missing"),
        check => Problem::runtime(check.name(), fault.to_string()),
    }
}
