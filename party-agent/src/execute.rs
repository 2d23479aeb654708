//! An approved plan, run.
//!
//! The only place where parties become seats. A run goes through its stages once: reach the others, read this
//! holder's rows, prepare correlated randomness, compute, wait until everybody has what they need, write the
//! result. Whatever goes wrong, at whichever party, ends it with one [`Failure`] that names the culprit, and with
//! nothing released here.

mod checkpoint;
mod failure;
mod gate;
mod intersect;
mod join;
mod lookup;
mod members;
mod progress;
mod computed;
mod correlated;
mod ranked;
mod steps;
mod survival;
mod tables;
pub mod tag_store;
mod train;
mod vertical;
mod score;
mod usage;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coordinator::contract::{Contract, Digest, Nonce, PartyName};
use coordinator::job::{FailureClass, StopReason};
use engine::prg::Seed;
use protocols::compute::Compute;
use protocols::correlate::{self, Needs, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::{PartyId, Seat};
use protocols::session::{Session, SessionConfig, Traffic};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::approve::Approved;
use crate::ledger::{Cohort, LedgerError, StoredResult};
use crate::local::{self, KeyReport, LocalInputs};
use crate::model::{self, ModelPart};
use crate::net::close::Ending;
use crate::net::connect::{Connector, Route};
use crate::net::handshake::{Binding, Channel};
use crate::net::quic::{LostLink, QuicNetwork};
use crate::plan::{Plan, Procedure};
use crate::receipt::{
    self, LocalReport, RECEIPT_FORMAT, Receipt, ReceiptFile, Resumed, SignedReceipt,
};
use crate::result::{self, MatchedKeys, RESULT_FILE, ResultError, ResultTable};
use crate::source::Source;
use steps::Opened;

pub use checkpoint::Checkpoints;
use checkpoint::WentOn;
pub use failure::{Cause, Failure, class_code, exit};
pub(crate) use gate::Gate;
use gate::Gated;
pub use progress::{Moment, Progress, Stage, Steps};
pub use tables::PreparedTables;

/// How long a party that was told "failed" by a peer waits for the coordinator's word, which says at whom and how.
const VERDICT_PATIENCE: Duration = Duration::from_secs(3);

/// How long the reason for the end of a stream may be on its way.
const REASON_PATIENCE: Duration = Duration::from_secs(1);

/// How often a watcher's numbers are brought up to date.
const SAMPLING: Duration = Duration::from_millis(200);

/// Everything that a run needs.
pub struct Run<'a> {
    /// The approved job.
    pub approved: Approved,
    /// This holder's tables.
    pub source: &'a Source,
    /// Those of them that were prepared for lookups.
    pub prepared: &'a PreparedTables,
    /// How to reach the others.
    pub connector: Connector<'a>,
    /// What each party advertises, in the order of seats.
    pub addresses: Vec<Option<String>>,
    /// Root of this party's randomness: fresh for this run.
    pub seed: Seed,
    /// Fresh too: hides the result in the receipt.
    pub salt: Nonce,
    /// What it may use of this machine.
    pub storage: Storage<'a>,
    /// What a watcher sees.
    pub progress: &'a Progress,
    /// Set once when the run has to stop.
    pub stop: watch::Receiver<Option<StopReason>>,
    /// What the first message has to pass.
    pub(crate) gate: Gate,
}

/// What a run may use of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// Where results are written, each job in a directory of its own.
    pub results: &'a Path,
    /// Where tables are kept that are asked again and again.
    pub tables: &'a Path,
    /// Where fits stand that may be gone on with.
    pub checkpoints: &'a Checkpoints,
    /// Keys of one table that are kept in memory where files would do.
    pub keys_in_memory: usize,
}

/// A run that ended well.
#[derive(Debug)]
pub struct Outcome {
    /// The signed record.
    pub receipt: SignedReceipt,
    /// What this holder alone may know.
    pub local: LocalReport,
    /// The result, at a receiver.
    pub result: Option<StoredResult>,
}

impl Outcome {
    /// What is kept as `receipt.json`.
    #[must_use]
    pub fn receipt_file(&self) -> ReceiptFile {
        ReceiptFile {
            signed: self.receipt.clone(),
            local: self.local.clone(),
        }
    }
}

/// What a seat holds when its computation is done.
struct Computed {
    /// At a receiver.
    output: Option<Output>,
    rows_used: u64,
    keys: Option<KeyReport>,
    traffic: Traffic,
    /// This holder's part of a model.
    model: Option<ModelPart>,
    /// What each holder contributed, where that is metered; behind that, if the plan says so, what would be missing without each.
    contributions: Vec<u64>,
    /// Which of this holder's keys match, where it learns that.
    matched_keys: Option<MatchedKeys>,
}

/// What a receiver has got.
enum Output {
    /// Totals, of which a table is to be made.
    Totals(Opened),
    /// A table.
    Table(ResultTable),
}

/// Why a computation broke off.
enum Broken {
    /// In this party's own part.
    Here(Failure),
    /// In the protocol: who is to blame may become clear in a moment.
    Protocol(ProtocolError),
}

impl From<ProtocolError> for Broken {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

/// A directory that is removed unless the run ends well.
struct Staging {
    dir: PathBuf,
    kept: bool,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed when the agent starts again.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Runs an approved job. The ledger says that it has started.
///
/// # Errors
/// [`Failure`]; nothing was released here then, and no file of a result is left.
pub async fn execute(run: Run<'_>) -> Result<Outcome, Failure> {
    let Run {
        approved,
        source,
        prepared,
        connector,
        addresses,
        seed,
        salt,
        storage,
        progress,
        mut stop,
        gate,
    } = run;
    let (clock, gate) = (Arc::clone(&gate.clock), Arc::new(gate));
    let (started, cpu_s) = (clock.now_unix_s(), usage::cpu_seconds());
    let (contract, plan, binding, disclosure) = approved.into_parts();
    let max_wall = plan.max_wall_s.map(Duration::from_secs);
    let deadline = max_wall.map(|limit| Instant::now() + limit);
    progress.enter(Stage::Connect);
    let connecting = connect(&connector, &contract, &binding, &addresses);
    let (routes, channels) = guarded(&mut stop, deadline, connecting).await?;
    let (session_id, n_seats) = (binding.session_id(), contract.parties.len());
    let (network, pair_seeds) = QuicNetwork::new(session_id, n_seats, channels);
    let network = Arc::new(network);
    let task = Task {
        plan: &plan,
        contract: &contract,
        binding: &binding,
        network: &network,
        gate: &gate,
        source,
        prepared,
        progress,
        storage,
        went_on: WentOn::new(),
    };
    let gated = Gated {
        inner: Arc::clone(&network),
        gate: Arc::clone(&gate),
    };
    let session = task.session(gated, seed, pair_seeds);
    // Kept until the peers have been told why, so that they do not take the end of a stream for the reason.
    let mut work = pin!(task.watched(session, disclosure));
    let (computed, result) = match guarded(&mut stop, deadline, work.as_mut()).await {
        Ok(done) => done,
        Err(failure) => return Err(task.give_up(failure, &mut stop).await),
    };
    network.close(Ending::Done);
    let receipt = Receipt {
        started,
        ended: clock.now_unix_s(),
        routes,
        output: result.as_ref().map(|s| receipt::commit(&salt, &s.digest)),
        ..task.receipt(&computed)
    };
    let signed = SignedReceipt::sign(receipt, connector.identity);
    let receipt = signed.map_err(|e| internal(&e.to_string()))?;
    let local = LocalReport {
        cpu_s: usage::cpu_seconds() - cpu_s,
        result: result.as_ref().map(|s| s.digest),
        salt: Some(salt),
        ..task.report(&computed)
    };
    Ok(Outcome {
        receipt,
        local,
        result,
    })
}

type Channels = Vec<(Seat, Channel)>;

/// Reaches all other parties, and says how.
async fn connect(
    connector: &Connector<'_>,
    contract: &Contract,
    binding: &Binding,
    addresses: &[Option<String>],
) -> Result<(BTreeMap<PartyName, String>, Channels), Failure> {
    let made = connector.connect(binding, addresses).await;
    let made = made.map_err(|e| Failure::connect(&e))?;
    let routes = made
        .iter()
        .map(|(seat, route, _)| (Names(contract).of(*seat), route_word(*route)))
        .collect();
    let channels = made.into_iter().map(|(seat, _, channel)| (seat, channel));
    Ok((routes, channels.collect()))
}

/// Runs `work` until it is done, a stop is ordered, or the time is up.
async fn guarded<T>(
    stop: &mut watch::Receiver<Option<StopReason>>,
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let time_up = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        failure = ordered(stop) => Err(failure),
        done = work => done,
        () = time_up => Err(Failure::here(
            FailureClass::OverBudget,
            "the job took longer than its limit `max_wall_s`",
            "allow more time in the job file",
        )),
    }
}

/// Waits for an order to stop.
async fn ordered(stop: &mut watch::Receiver<Option<StopReason>>) -> Failure {
    match stop
        .wait_for(Option::is_some)
        .await
        .map(|reason| reason.as_ref().map(Failure::ordered))
    {
        Ok(Some(failure)) => failure,
        // Nobody is left who could order anything.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

struct Task<'a> {
    plan: &'a Plan,
    contract: &'a Contract,
    binding: &'a Binding,
    network: &'a QuicNetwork,
    gate: &'a Gate,
    source: &'a Source,
    prepared: &'a PreparedTables,
    progress: &'a Progress,
    storage: Storage<'a>,
    /// Where it went on, of a job that goes on with an earlier one.
    went_on: WentOn,
}

impl Task<'_> {
    /// The session of this run, every message of which passes the gate.
    fn session(
        &self,
        network: Gated<Arc<QuicNetwork>>,
        own_seed: Seed,
        pair_seeds: Vec<Option<Seed>>,
    ) -> Session {
        let session = Session::new(SessionConfig {
            seat: self.binding.me,
            n_seats: self.contract.parties.len(),
            has_dealer: self.plan.dealer.is_some(),
            session_id: self.binding.session_id(),
            own_seed,
            pair_seeds,
            network: Arc::new(network),
            compute: Compute::Pool,
        });
        let progress = self.progress.clone();
        session.watch(move |at| progress.steps(at.what, (at.done, at.of), None));
        session
    }

    fn name(&self, seat: Seat) -> PartyName {
        Names(self.contract).of(seat)
    }

    /// Works, and keeps a watcher's numbers up to date meanwhile.
    async fn watched(
        &self,
        session: Session,
        disclosure: Disclosure,
    ) -> Result<(Computed, Option<StoredResult>), Failure> {
        tokio::select! {
            done = self.work(session, disclosure) => done,
            never = self.sample() => match never {},
        }
    }

    /// What this run measured, for anybody; times and routes are filled in by the caller.
    fn receipt(&self, computed: &Computed) -> Receipt {
        let (names, traffic) = (Names(self.contract), &computed.traffic);
        Receipt {
            format: RECEIPT_FORMAT,
            job_id: self.contract.job_id,
            party: names.of(self.binding.me),
            contract: self.binding.contract,
            plan: self.binding.plan,
            session: Digest(self.binding.session_id()),
            engine: self.plan.engine.clone(),
            started: 0,
            ended: 0,
            rounds: rounds(traffic.rounds, self.plan.cost.rounds),
            bytes_sent: names.with(self.binding.me, &traffic.bytes_sent),
            bytes_received: names.with(self.binding.me, &traffic.bytes_received),
            routes: BTreeMap::new(),
            output: None,
            contributions: self.contributions(&computed.contributions),
            left_out: self.left_out(&computed.contributions),
            resumed: self.resumed(),
        }
    }

    /// With which job this one went on.
    fn resumed(&self) -> Option<Resumed> {
        let (job_id, step) = self.contract.resumes.zip(self.went_on.get().copied())?;
        Some(Resumed { job_id, step })
    }

    /// What each holder contributed, by name.
    fn contributions(&self, values: &[u64]) -> BTreeMap<PartyName, u64> {
        let holders = self.plan.holder_seats().into_iter();
        let values = holders.zip(values).map(|(seat, v)| (self.name(seat), *v));
        values.collect()
    }

    /// What would be missing without each holder, by name.
    fn left_out(&self, values: &[u64]) -> BTreeMap<PartyName, u64> {
        let n_holders = self.plan.holder_seats().len();
        self.contributions(values.get(n_holders..).unwrap_or_default())
    }

    /// What this run measured, for this holder.
    fn report(&self, computed: &Computed) -> LocalReport {
        let wire = self.network.wire_bytes();
        LocalReport {
            rows_used: computed.rows_used,
            keys: computed.keys.clone(),
            model: computed.model.as_ref().map(ModelPart::to_text),
            matched_keys: computed.matched_keys.as_ref().map(MatchedKeys::n_keys),
            wall_s: self.progress.elapsed().as_secs_f64(),
            peak_rss_bytes: usage::peak_rss_bytes(),
            wire_bytes_sent: wire.sent,
            wire_bytes_received: wire.received,
            stages: stage_seconds(self.progress),
            ..LocalReport::default()
        }
    }

    /// From the session to the result on disk. A link that dies while this party is at work of its own ends it.
    async fn work(
        &self,
        mut session: Session,
        disclosure: Disclosure,
    ) -> Result<(Computed, Option<StoredResult>), Failure> {
        let computed = tokio::select! {
            biased;
            computed = self.compute(&mut session, disclosure) => computed,
            lost = self.network.lost() => Err(Broken::Here(self.lost(&lost))),
        };
        let computed = match computed {
            Ok(computed) => computed,
            Err(Broken::Here(failure)) => return Err(failure),
            Err(Broken::Protocol(error)) => return Err(self.protocol(error).await),
        };
        self.progress.enter(Stage::Write);
        // Written before this party says that it is done, so that a full disk fails the job for everybody, and
        // shown only after all have said so, so that nobody has a result of a job that failed for another.
        let staged = match &computed.output {
            None => None,
            Some(output) => Some(self.stage(output).await?),
        };
        if let (Some((staging, _)), Some(matched)) = (&staged, &computed.matched_keys) {
            let saved = matched.save(&staging.dir);
            saved.map_err(|e| result_failure(&e))?;
        }
        let pending = self.pending(computed.model.as_ref())?;
        let finished = self.network.finish().await;
        finished.map_err(|lost| self.lost(&lost))?;
        let stored = staged
            .map(|(staging, digest)| self.publish(staging, digest))
            .transpose()?;
        if let Some(pending) = pending {
            let kept = pending.keep();
            kept.map_err(|e| internal(&format!("the model's part cannot be moved: {e}")))?;
        }
        Ok((computed, stored))
    }

    async fn compute(
        &self,
        session: &mut Session,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        if session.dealer() == Some(session.seat()) {
            self.progress.enter(Stage::Prepare);
            correlate::dealer::serve(session, &self.plan.needs()).await?;
            for needs in self.plan.needs_apart() {
                correlate::dealer::serve(session, &needs).await?;
            }
            if let Procedure::Train(of) = &self.plan.procedure
                && of.shares_steps()
            {
                let portions = of.portions(self.plan.n_seats(), self.plan.setting().method);
                correlate::portions::serve(session, &portions).await?;
            }
            return Ok(Computed {
                output: None,
                rows_used: 0,
                keys: None,
                traffic: session.traffic(),
                model: None,
                contributions: Vec::new(),
                matched_keys: None,
            });
        }
        match &self.plan.procedure {
            Procedure::Totals => self.totals(session, disclosure).await,
            Procedure::Join(of) => self.join(session, of, disclosure).await,
            Procedure::Intersect(of) => self.intersect(session, of, disclosure).await,
            Procedure::Lookup(of) => self.lookup(session, of, disclosure).await,
            Procedure::Train(of) => self.train(session, of, disclosure).await,
            Procedure::Vertical(of) => self.vertical(session, of, disclosure).await,
            Procedure::Score(of) => self.score(session, of, disclosure).await,
        }
    }

    async fn totals(
        &self,
        session: &mut Session,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        self.progress.enter(Stage::Read);
        let (mut inputs, rows_used) = self.read().await?;
        let mut stock = self.stock(session, &self.plan.needs()).await?;
        self.progress.enter(Stage::Compute);
        steps::run(session, self.plan, &mut inputs, &mut stock).await?;
        let told = steps::release(session, self.plan, inputs, stock, disclosure).await?;
        Ok(Computed {
            output: told.result.map(Output::Totals),
            rows_used,
            keys: None,
            traffic: session.traffic(),
            model: None,
            contributions: told.contributions,
            matched_keys: None,
        })
    }

    /// The correlated randomness that a seat's part takes.
    async fn stock(&self, session: &mut Session, needs: &Needs) -> Result<Stock, ProtocolError> {
        self.progress.enter(Stage::Prepare);
        match &self.plan.source() {
            Some(source) => correlate::preprocess(session, source, needs).await,
            None => Ok(Stock::empty()),
        }
    }

    async fn read(&self) -> Result<(LocalInputs, u64), Failure> {
        let me: &PartyId = &self.plan.seats[self.binding.me.index()];
        let rows_at_most = self
            .plan
            .locals
            .get(me)
            .map_or(1, |local| local.rows_at_most.max(1));
        // The bound is the next power of two, so this moves between a half and the whole.
        let progress = |rows: u64| self.progress.within(rows as f64 / rows_at_most as f64);
        let read = local::totals(self.plan, me, self.source, &progress).await;
        let (inputs, report) = read.map_err(|e| Failure::source(&e))?;
        if self.plan.cohorts.is_some() {
            self.remember(me, &inputs.cohorts).await?;
        }
        Ok((inputs, report.rows_used))
    }

    /// Remembers who is counted, or refuses: nothing has been sent yet.
    async fn remember(&self, me: &PartyId, cohorts: &[Cohort]) -> Result<(), Failure> {
        let Some(table) = self
            .plan
            .locals
            .get(me)
            .and_then(|local| local.tables.first())
        else {
            return Ok(());
        };
        let least = self.plan.min_cell.at_least;
        let now = self.gate.clock.now_unix_s();
        let kept =
            self.gate
                .ledger
                .remember_cohorts(self.contract.job_id, table, cohorts, least, now);
        kept.await.map_err(|error| match error {
            LedgerError::Cohorts { .. } => Failure::here(
                FailureClass::Policy,
                error.to_string(),
                "ask for coarser groups, for the same ones as before, or for a release with noise",
            ),
            error => internal(&error.to_string()),
        })
    }

    /// Builds the result and writes it where nobody looks for it yet.
    async fn stage(&self, output: &Output) -> Result<(Staging, Digest), Failure> {
        let made;
        let table = match output {
            Output::Table(table) => table,
            Output::Totals(released) => {
                let table = match released {
                    Opened::Cells(released) => result::table(self.plan, released).await,
                    Opened::Groups(groups) => result::table_of_groups(self.plan, groups).await,
                };
                made = table.map_err(|e| result_failure(&e))?;
                &made
            }
        };
        let staging = Staging {
            dir: staging_dir(self.storage.results, self.contract),
            kept: false,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&staging.dir)
            .map_err(|e| internal(&e.to_string()))?;
        // A table of millions of rows takes seconds, in which this agent has to go on answering its peers.
        let (dir, table) = (staging.dir.clone(), table.clone());
        let save = move || {
            table.save(&dir).map_err(|e| result_failure(&e))?;
            let written = std::fs::read(dir.join(RESULT_FILE));
            let written = written.map_err(|e| internal(&e.to_string()))?;
            Ok(Digest::of(&written))
        };
        let digest = off_the_runtime(save).await?;
        Ok((staging, digest))
    }

    /// Writes this holder's part of a model where nobody looks for it yet.
    fn pending(&self, part: Option<&ModelPart>) -> Result<Option<model::Pending>, Failure> {
        let Some(part) = part else { return Ok(None) };
        let directory = model::directory(self.storage.results);
        let pending = model::Pending::write(&directory, &part.model, &part.to_text());
        pending.map(Some).map_err(|e| result_failure(&e))
    }

    /// Moves a written result to its place, in one step.
    fn publish(&self, mut staging: Staging, digest: Digest) -> Result<StoredResult, Failure> {
        let dir = self.storage.results.join(self.contract.job_id.to_string());
        std::fs::rename(&staging.dir, &dir)
            .map_err(|e| internal(&format!("the result cannot be moved: {e}")))?;
        staging.kept = true;
        Ok(StoredResult { dir, digest })
    }

    fn lost(&self, lost: &LostLink) -> Failure {
        Failure::lost(lost, |seat| self.name(seat))
    }

    async fn protocol(&self, error: ProtocolError) -> Failure {
        if let Some(error) = self.gate.failure() {
            return internal(error);
        }
        // The end of a stream may be here before the reason for it.
        let fate = match &error {
            ProtocolError::Link { seat, .. } => self.network.fate(*seat, REASON_PATIENCE).await,
            _ => None,
        };
        Failure::protocol(&error, fate.as_ref(), |seat| self.name(seat))
    }

    /// Keeps the watcher's numbers up to date.
    async fn sample(&self) -> Infallible {
        let mut ticks = interval(SAMPLING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let bytes = self.network.wire_bytes();
            self.progress.bytes(bytes.sent + bytes.received);
        }
    }

    /// Stops for good: the peers are told why. Where a peer ended the link on purpose, the coordinator knows better.
    async fn give_up(
        &self,
        failure: Failure,
        stop: &mut watch::Receiver<Option<StopReason>>,
    ) -> Failure {
        // What all have found together needs no word of anybody else.
        let is_joint = failure.class() == FailureClass::Data;
        let failure = if self.network.ended_by_a_peer() && !is_joint {
            timeout(VERDICT_PATIENCE, ordered(stop))
                .await
                .unwrap_or(failure)
        } else {
            failure
        };
        self.network
            .close(failure.ending(|party| Names(self.contract).seat(party)));
        failure
    }
}

/// Runs what takes long and waits for nobody but the disk.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(internal("a task of this agent has ended early")))
}

/// The parties of a contract by seat.
#[derive(Clone, Copy)]
struct Names<'a>(&'a Contract);

impl Names<'_> {
    /// The party at a seat; the proposer for a seat that does not exist, which only a lying peer can name.
    fn of(self, seat: Seat) -> PartyName {
        self.0
            .parties
            .get(seat.index())
            .map_or_else(|| self.0.proposer.clone(), |p| p.name.clone())
    }

    fn seat(self, party: &PartyName) -> Option<Seat> {
        self.0
            .parties
            .iter()
            .position(|p| p.name == *party)
            .map(Seat::from_index)
    }

    /// One number for each other party.
    fn with(self, me: Seat, numbers: &[u64]) -> BTreeMap<PartyName, u64> {
        let seats = numbers.iter().enumerate().filter(|(i, _)| *i != me.index());
        seats
            .map(|(i, n)| (self.of(Seat::from_index(i)), *n))
            .collect()
    }
}

/// The rounds of a run. Peers' stamps go into the measurement: a false one must not get more signed than was declared.
fn rounds(measured: u32, declared: u64) -> u64 {
    u64::from(measured).min(declared)
}

fn route_word(route: Route) -> String {
    match route {
        Route::Direct => "direct",
        Route::Relayed => "relayed",
    }
    .to_owned()
}

fn stage_seconds(progress: &Progress) -> BTreeMap<String, f64> {
    let durations = progress.durations().into_iter();
    durations
        .map(|(stage, time)| (stage.as_str().to_owned(), time.as_secs_f64()))
        .collect()
}

/// A result that cannot be built or written. Its text holds no released value.
fn result_failure(error: &ResultError) -> Failure {
    let class = match error {
        ResultError::Totals { .. } => FailureClass::Internal,
        _ => FailureClass::Source,
    };
    Failure::here(
        class,
        error.to_string(),
        "submit the job again once it is corrected",
    )
}

fn internal(what: &str) -> Failure {
    Failure::here(
        FailureClass::Internal,
        what,
        "report it with the version and the job id",
    )
}

/// Where a result is written before it is known that the job ends well.
fn staging_dir(results: &Path, contract: &Contract) -> PathBuf {
    results.join(format!("{STAGING_PREFIX}{}", contract.job_id))
}

const STAGING_PREFIX: &str = ".unfinished-";

/// Removes what an agent left behind that was killed while it wrote a result.
///
/// # Errors
/// What the system says.
pub fn clean(results: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(results)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(STAGING_PREFIX)
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer can claim any depth: see `protocols::stamp`.
    #[test]
    fn no_more_rounds_are_signed_than_were_declared() {
        assert_eq!(rounds(u32::MAX, 9), 9);
        assert_eq!(rounds(9, 9), 9);
        assert_eq!(rounds(1, 9), 1, "a dealer takes part in one");
    }
}
