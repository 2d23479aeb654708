//! What the coordinator tells, in the order in which it tells it.

use std::sync::Arc;

use coordinator::client::Events;
use coordinator::contract::{JobId, Signed};
use coordinator::control::Event;
use coordinator::job::{self, FailureClass, StopReason};
use coordinator::logsafe::safe;
use tracing::{info, warn};

use super::Core;
use crate::approve;
use crate::execute::{Cause, Failure, exit};
use crate::ledger::{self, JobState, LedgerError};

impl Core {
    /// Follows the coordinator's events until the client is closed. Nothing here waits for a job.
    pub(super) async fn follow(self: &Arc<Self>, events: &mut Events) {
        while let Some(event) = events.next().await {
            let core = Arc::clone(self);
            match event {
                Event::JobProposed(signed) => {
                    tokio::spawn(async move { core.proposed(&signed).await });
                }
                Event::Start(start) => {
                    tokio::spawn(async move { core.start(*start).await });
                }
                Event::Stop { job_id, reason } => self.stop(job_id, &reason).await,
                Event::JobState { job_id, state } => {
                    tokio::spawn(async move { core.job_stands(job_id, &state).await });
                }
                Event::Synchronised => {
                    tokio::spawn(async move {
                        let published = core
                            .catalogues
                            .publish(&core.client, &core.ledger, &core.identity)
                            .await;
                        if published.is_err() {
                            warn!("the catalogue was not published");
                        }
                        if let Err(error) = core.gather_all().await {
                            warn!(code = error.code(), "the ledger failed");
                        }
                    });
                }
                Event::PartyUp { party } => info!(party = %safe(&party), "party connected"),
                Event::PartyDown { party } => info!(party = %safe(&party), "party disconnected"),
            }
        }
    }

    /// An order to stop: at once for a job that runs, in the ledger for one that waits.
    async fn stop(&self, job_id: JobId, reason: &StopReason) {
        if self.order_stop(job_id, reason) {
            return;
        }
        let failure = Failure::ordered(reason);
        let state = match failure.cause {
            Cause::Cancelled => JobState::Cancelled,
            Cause::Failed(FailureClass::Rejected) => JobState::Rejected,
            Cause::Failed(_) => JobState::Failed,
        };
        // What a rejecting party says is fetched when the state is told, which follows or came before.
        if state != JobState::Rejected {
            self.end_waiting(job_id, state, &failure.entry()).await;
        }
    }

    /// A job's state, as the coordinator sees it. It can end a job that waits here, and nothing else.
    async fn job_stands(&self, job_id: JobId, state: &job::JobState) {
        if self.is_running(job_id) {
            return;
        }
        match state {
            job::JobState::Proposed | job::JobState::Accepted | job::JobState::Running => {}
            job::JobState::Completed => {
                if let Err(error) = self.gather(job_id).await {
                    warn!(job = %safe(&job_id), code = error.code(), "evidence not gathered");
                }
            }
            job::JobState::Failed {
                class: FailureClass::Rejected,
                ..
            } => {
                let ending = self.rejection(job_id).await;
                self.end_waiting(job_id, JobState::Rejected, &ending).await;
            }
            job::JobState::Failed { .. } | job::JobState::Cancelled { .. } => {
                let Some(reason) = StopReason::of(state) else {
                    return;
                };
                let failure = Failure::ordered(&reason);
                let after = if failure.cause == Cause::Cancelled {
                    JobState::Cancelled
                } else {
                    JobState::Failed
                };
                self.end_waiting(job_id, after, &failure.entry()).await;
            }
        }
    }

    /// What the party that rejected a job has signed, if the coordinator shows it.
    async fn rejection(&self, job_id: JobId) -> ledger::Ending {
        let mut ending = Failure::here(
            FailureClass::Rejected,
            "a party rejected the job",
            "ask the parties why",
        )
        .entry();
        let Ok(view) = self.client.job_status(job_id).await else {
            return ending;
        };
        let signed: Option<Signed<_>> = view.rejection;
        let Some((signed, pins)) = signed.zip(self.pins().ok()) else {
            return ending;
        };
        let key = coordinator::tls::Fingerprint::of(&signed.public_key());
        let Some(party) = pins.name_of(&key) else {
            return ending;
        };
        let Ok(rejection) = signed.verify(&key) else {
            return ending;
        };
        if rejection.job_id == job_id && rejection.party == *party {
            let by_policy = rejection.code == approve::POLICY;
            ending.exit = if by_policy {
                exit::POLICY
            } else {
                exit::REJECTED
            };
            ending.class = rejection.code;
            ending.what = format!("{party} rejected the job: {}", rejection.reason);
            ending.culprit = Some(rejection.party);
        }
        ending
    }

    async fn end_waiting(&self, job_id: JobId, state: JobState, ending: &ledger::Ending) {
        if self.is_running(job_id) || self.unwritten.contains(job_id) {
            return;
        }
        match self.ledger.end(job_id, state, ending, self.now()).await {
            Ok(true) => {
                info!(job = %safe(&job_id), state = state.as_str(), class = %ending.class, "job ended")
            }
            // Ended before, or never seen here.
            Ok(false) | Err(LedgerError::UnknownJob { .. }) => {}
            Err(error) => warn!(job = %safe(&job_id), code = error.code(), "the ledger failed"),
        }
    }
}
