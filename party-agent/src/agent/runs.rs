//! From "start" to the report.

use std::io;
use std::sync::Arc;

use coordinator::client::CoordinatorClient;
use coordinator::contract::{JobId, PartyName, Signed};
use coordinator::control::Start;
use coordinator::job::{FailureClass, Outcome as Report, StopReason};
use coordinator::logsafe::safe;
use protocols::net::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::evidence::sizes_shown;
use super::milestones::Milestone;
use super::proposals::VetError;
use super::resume::is_broken_off;
use super::{Core, Running, random};
use crate::api::Problem;
use crate::approve::{self, Approved, Refusal};
use crate::evidence;
use crate::execute::{self, Cause, Failure, Gate, Outcome, Progress, Run, Storage};
use crate::ledger::{Completion, JobState, LedgerError};
use crate::manifest::Manifest;
use crate::net::connect::{Connector, PEER_PATIENCE, Relay, RelayLeg};
use crate::result;

/// Name of the receipt in a job's directory.
const RECEIPT_FILE: &str = "receipt.json";

/// Legs of the coordinator's relay.
struct CoordinatorRelay<'a>(&'a CoordinatorClient);

impl Relay for CoordinatorRelay<'_> {
    fn open<'a>(&'a self, job: JobId, peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        Box::pin(async move {
            let (writer, reader) = self
                .0
                .open_relay(job, peer)
                .await
                .map_err(io::Error::other)?;
            Ok(RelayLeg {
                writer: Box::new(writer),
                reader: Box::new(reader),
            })
        })
    }
}

impl Core {
    pub(super) fn is_running(&self, job_id: JobId) -> bool {
        self.running().contains_key(&job_id)
    }

    /// Tells a running job to stop. False if it does not run here.
    pub(super) fn order_stop(&self, job_id: JobId, reason: &StopReason) -> bool {
        let running = self.running();
        let Some(job) = running.get(&job_id) else {
            return false;
        };
        // The first reason counts.
        job.stop
            .send_if_modified(|s| s.is_none().then(|| *s = Some(reason.clone())).is_some());
        true
    }

    /// How far a job has come.
    pub(crate) fn progress(&self, job_id: JobId) -> Option<execute::Moment> {
        self.running().get(&job_id).map(|r| r.progress.now())
    }

    /// A person of this party calls a job off.
    pub(crate) async fn cancel(&self, job_id: JobId) -> Result<(), Problem> {
        let record = self.ledger.job(job_id).await?;
        if record.state.is_final() {
            return Err(Problem::conflict(
                "ended",
                format!("job {job_id} is {} already", record.state.as_str()),
            ));
        }
        let reason = StopReason::Cancelled {
            by: self.name().clone(),
        };
        if self.order_stop(job_id, &reason) {
            // The peers learn it from the links at once; the coordinator as soon as it answers.
            let _ = self.client.cancel(job_id).await;
            return Ok(());
        }
        self.client.cancel(job_id).await?;
        let ending = Failure::cancelled(self.name()).entry();
        self.ledger
            .end(job_id, JobState::Cancelled, &ending, self.now())
            .await?;
        Ok(())
    }

    /// After a restart: what was running has failed, and the coordinator is told.
    pub(super) async fn report_interrupted(self: &Arc<Self>) {
        match self.ledger.recover(self.now()).await {
            Ok(jobs) => jobs
                .into_iter()
                .for_each(|job_id| self.report_restarted(job_id)),
            Err(error) => warn!(code = error.code(), "the ledger failed"),
        }
        self.sweep_checkpoints().await;
    }

    fn report_restarted(self: &Arc<Self>, job_id: JobId) {
        warn!(job = %safe(&job_id), "a job was running when the agent stopped; it has failed and is not run again");
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let failed = Report::Failed {
                class: FailureClass::Restarted,
                culprit: None,
            };
            // It waits for a connection, and the answer changes nothing here.
            let _ = core.client.report(job_id, failed).await;
        });
    }

    /// All parties have accepted: run the job, if this agent finds the same and has not run it before.
    pub(super) async fn start(self: Arc<Self>, start: Start) {
        let job_id = match self.known_job(&start).await {
            Ok(Some(job_id)) => job_id,
            Ok(None) => return,
            Err(error) => return warn!(code = error.code(), "a start was ignored"),
        };
        let (stop, stopped) = watch::channel(None);
        let (ended_sender, ended) = watch::channel(false);
        let progress = Progress::begin();
        {
            let mut running = self.running();
            if running.contains_key(&job_id) {
                return;
            }
            running.insert(
                job_id,
                Running {
                    stop,
                    progress: progress.clone(),
                    ended,
                },
            );
        }
        let mut order = stopped.clone();
        let outcome = self.run_job(job_id, &start, &progress, stopped).await;
        if outcome.is_ok() {
            // Ordered to stop or not: what the ledger says now decides whether the run counts as completed.
            let _ = self.reach(job_id, Milestone::Commit, &mut order).await;
        }
        let report = self.settle(job_id, outcome, &start).await;
        self.running().remove(&job_id);
        if let Some(report) = report {
            // Waits through reconnects, until the coordinator has it on disk.
            let _ = self.client.report(job_id, report).await;
        }
        ended_sender.send_replace(true);
    }

    /// The job of a start, if it is one that was accepted here and not yet run.
    async fn known_job(self: &Arc<Self>, start: &Start) -> Result<Option<JobId>, LedgerError> {
        let key = coordinator::tls::Fingerprint::of(&start.contract.public_key());
        let Ok(claimed) = start.contract.verify(&key) else {
            warn!("the coordinator sent a start whose contract is not validly signed by anybody");
            return Ok(None);
        };
        let job_id = claimed.job_id;
        let record = self.ledger.job(job_id).await?;
        if record.contract != start.contract.digest() {
            return Err(LedgerError::Conflict { job_id });
        }
        match record.state {
            // It has ended here, and the ledger does not know yet.
            _ if self.unwritten.contains(job_id) => Ok(None),
            JobState::Accepted => Ok(Some(job_id)),
            JobState::Failed => {
                self.report_restarted(job_id);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    async fn run_job(
        &self,
        job_id: JobId,
        start: &Start,
        progress: &Progress,
        mut stop: watch::Receiver<Option<StopReason>>,
    ) -> Result<Outcome, Failure> {
        let place = tokio::select! {
            place = timeout(PEER_PATIENCE, self.places.acquire()) => place,
            reason = stop.wait_for(Option::is_some) => {
                return Err(ordered(reason.ok().and_then(|r| r.clone())));
            }
        };
        let Ok(Ok(_place)) = place else {
            let advice = "submit it again later, or allow more with `concurrent_jobs`";
            return Err(Failure::here(
                FailureClass::OverBudget,
                "this agent is busy with other jobs",
                advice,
            ));
        };
        // Looked at again when it is about to run: policy, clock and counters may have changed since it was approved.
        let approved = self.approved(job_id, start).await?;
        self.check_own_log(job_id, start).await?;
        self.count_questions(&approved).await?;
        self.reach(job_id, Milestone::Reserve, &mut stop).await?;
        // From here on the job has been run, whatever happens.
        let permit = approved.permit();
        self.ledger
            .start(job_id, (&permit.places, &permit.charges), self.now())
            .await
            .map_err(not_started)?;
        self.reach(job_id, Milestone::Reserved, &mut stop).await?;
        info!(job = %safe(&job_id), "job started");
        let own = self.catalogues.current();
        let contract = approved.contract();
        let manifest = Manifest::of(&approved.plan().procedure);
        let addresses = contract
            .parties
            .iter()
            .map(|p| start.addresses.get(&p.name).cloned().flatten());
        let addresses = addresses.collect();
        let relay = CoordinatorRelay(&self.client);
        execute::execute(Run {
            approved,
            source: &own.source,
            prepared: &own.prepared,
            connector: Connector {
                identity: &self.identity,
                endpoint: &self.endpoint,
                listener: self.listener.as_ref(),
                relay: &relay,
            },
            addresses,
            seed: random::seed().map_err(|e| internal(&e.to_string()))?,
            salt: random::nonce().map_err(|e| internal(&e.to_string()))?,
            storage: Storage {
                results: &self.config.results_dir(),
                tables: &self.config.tables_dir(),
                checkpoints: &self.checkpoints,
                keys_in_memory: self.config.keys_in_memory,
            },
            progress,
            stop,
            gate: Gate::new(
                (job_id, manifest),
                &self.ledger,
                &self.clock,
                &self.milestones,
            ),
        })
        .await
    }

    /// Tells whoever looks how far a run has come, unless it is told to stop.
    async fn reach(
        &self,
        job_id: JobId,
        milestone: Milestone,
        stop: &mut watch::Receiver<Option<StopReason>>,
    ) -> Result<(), Failure> {
        tokio::select! {
            () = self.milestones.reach(job_id, milestone) => Ok(()),
            reason = stop.wait_for(Option::is_some) => Err(ordered(reason.ok().and_then(|r| r.clone()))),
        }
    }

    /// Counts the questions that a job asks of this holder, against what its policy allows in a day.
    async fn count_questions(&self, approved: &Approved) -> Result<(), Failure> {
        let Some(questions) = approve::questions(approved.plan(), self.name()) else {
            return Ok(());
        };
        let policy = self.policy().map_err(|e| {
            let advice = "correct the policy file, and submit the job again";
            Failure::here(FailureClass::Policy, e.to_string(), advice)
        })?;
        let Some(most) = policy.questions_a_day(questions.table) else {
            return Ok(());
        };
        let of = (questions.asker, questions.table);
        let counted = self
            .ledger
            .count_questions(of, questions.at_most, most, self.now());
        if counted.await.map_err(|e| internal(&e.to_string()))? {
            return Ok(());
        }
        let what = format!(
            "{} may ask table {} {most} questions a day, and this job could ask {} more",
            questions.asker, questions.table, questions.at_most
        );
        let advice = "ask again tomorrow, write a smaller at_most, or raise per_day in the policy";
        Err(Failure::here(FailureClass::Policy, what, advice))
    }

    /// Vets the contract once more, with what is known now, and verifies everybody's acceptance.
    async fn approved(&self, job_id: JobId, start: &Start) -> Result<Approved, Failure> {
        let vetted = self
            .vet(&start.contract)
            .await
            .map_err(|e| not_approved(&e))?;
        let own = self
            .ledger
            .acceptance(job_id)
            .await
            .map_err(|e| internal(&e.to_string()))?;
        let own: Signed<_> = own.ok_or_else(|| internal("there is no acceptance in the ledger"))?;
        vetted
            .approve(&own, &start.acceptances)
            .map_err(|e| not_approved(&VetError::Refused(e)))
    }

    /// Writes the end of a job down. Returns what the coordinator is to be told.
    async fn settle(
        self: &Arc<Self>,
        job_id: JobId,
        outcome: Result<Outcome, Failure>,
        start: &Start,
    ) -> Option<Report> {
        let failure = match outcome {
            Ok(outcome) => match self.complete(job_id, &outcome, start).await {
                Ok(receipt) => {
                    self.forget_all_of(job_id).await;
                    return Some(Report::Completed { receipt });
                }
                Err(error) => self.not_completed(job_id, &error).await,
            },
            Err(failure) => failure,
        };
        let state = match failure.cause {
            Cause::Cancelled => JobState::Cancelled,
            Cause::Failed(_) => JobState::Failed,
        };
        // The text may name this holder's files and tables: it goes to the ledger and not to the log.
        warn!(job = %safe(&job_id), class = failure.code(), "job ended without a result");
        self.write_end(job_id, state, failure.entry()).await;
        if let Err(error) = self.ledger.checkpoint(&self.identity).await {
            warn!(job = %safe(&job_id), code = error.code(), "the log could not be signed");
        }
        match failure.cause {
            Cause::Cancelled => self.forget_all_of(job_id).await,
            Cause::Failed(class) if !is_broken_off(class) => {
                self.forget(job_id);
            }
            Cause::Failed(_) => {}
        }
        match failure.cause {
            // Who cancelled has told the coordinator.
            Cause::Cancelled => None,
            Cause::Failed(class) => Some(Report::Failed {
                class,
                culprit: failure.culprit,
            }),
        }
    }

    /// A run that came to its end and is not let count: of its result nothing stays here.
    async fn not_completed(&self, job_id: JobId, error: &str) -> Failure {
        let dir = self.config.results_dir().join(job_id.to_string());
        if std::fs::remove_dir_all(&dir).is_err() {
            warn!(job = %safe(&job_id), "the result of a job that does not count could not be removed");
        }
        match self.ledger.job(job_id).await {
            // Halted or revoked in the last moment.
            Ok(record) if record.state == JobState::Cancelled => Failure::cancelled(self.name()),
            _ => internal(error),
        }
    }

    async fn complete(
        &self,
        job_id: JobId,
        outcome: &Outcome,
        start: &Start,
    ) -> Result<String, String> {
        let receipt = outcome.receipt.signed().map_err(|e| e.to_string())?;
        let file =
            serde_json::to_string_pretty(&outcome.receipt_file()).map_err(|e| e.to_string())?;
        let dir = self.config.results_dir().join(job_id.to_string());
        std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        result::write_private(&dir.join(RECEIPT_FILE), file.as_bytes())
            .map_err(|e| e.to_string())?;
        // What the coordinator, and so all parties, are told of it: the receipt, and what this agent shows of its log.
        let report = |log| {
            let receipt = receipt.clone();
            let report = evidence::Report { receipt, log };
            serde_json::to_string(&report).expect("string keys and no floats")
        };
        let done = Completion {
            receipt: &receipt.digest(),
            file: &file,
            result: outcome.result.as_ref(),
            from: &sizes_shown(start, self.name()),
            identity: &self.identity,
            report: &report,
        };
        let told = self.ledger.complete(job_id, &done, self.now()).await;
        let told = told.map_err(|e| e.to_string())?;
        info!(job = %safe(&job_id), "job completed");
        Ok(told)
    }
}

/// A job that everybody has accepted, and that this agent does not run all the same. Nothing was opened.
fn not_approved(error: &VetError) -> Failure {
    let class = match error {
        VetError::Refused(Refusal::Policy(_)) | VetError::Policy(_) => FailureClass::Policy,
        VetError::Refused(Refusal::Differs { field: "plan" }) => FailureClass::PlanMismatch,
        VetError::Refused(Refusal::Expired { .. }) => FailureClass::Expired,
        VetError::Refused(_) => FailureClass::CheckFailed,
        VetError::Later(_) => FailureClass::Internal,
    };
    Failure::here(
        class,
        error.to_string(),
        "submit the job again; if it happens twice, ask the coordinator's operator",
    )
}

/// What a run is told that is to stop.
fn ordered(reason: Option<StopReason>) -> Failure {
    match reason {
        Some(reason) => Failure::ordered(&reason),
        None => internal("the run was dropped"),
    }
}

/// A run that the ledger does not let begin.
fn not_started(error: LedgerError) -> Failure {
    let advice = match error {
        LedgerError::Halted => "lift the halt (`entente halt --lift`), and submit the job again",
        LedgerError::NoPlace { .. } | LedgerError::NoBudget { .. } => {
            "raise the limit in the policy, or wait"
        }
        LedgerError::Database(_) => {
            let advice = "is the disk full? See `entente doctor`; then submit the job again";
            return Failure::here(FailureClass::Internal, error.to_string(), advice);
        }
        other => return internal(&other.to_string()),
    };
    Failure::here(FailureClass::Policy, error.to_string(), advice)
}

fn internal(what: &str) -> Failure {
    Failure::here(
        FailureClass::Internal,
        what,
        "report it with the version and the job id",
    )
}
