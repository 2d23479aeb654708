//! Runs that go on with an earlier job that broke off.

use coordinator::contract::JobId;

use super::log::Event;
use super::{Ledger, LedgerError};

impl Ledger {
    /// Notes from where a run goes on with an earlier job: after so many of its steps, or 0 if all begin anew.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn note_resumed(
        &self,
        (job_id, earlier): (JobId, JobId),
        step: u32,
        now: u64,
    ) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let event = Event::Resumed {
            job_id,
            earlier,
            step,
        };
        writing.note(now, event)?;
        writing.commit().await
    }
}
