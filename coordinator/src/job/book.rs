//! The book of all jobs: applies facts one at a time, writes each change to the journal, then tells the parties.
//!
//! One task owns the journal and the open jobs. A request that is dropped half-way (its connection died) therefore cannot
//! leave the book in another state than the journal.

mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::state::{Effect, Event as Fact, Job, step};
use super::{JobState, Outcome, StopReason};
use crate::clock::Clock;
use crate::contract::{JobId, PartyName};
use crate::control::{Answer, Call, CallError, CatalogueId, Event, Start};
use crate::journal::{Evidence, JobRecord, Journal, JournalError};
use crate::logsafe::safe;
use crate::registry::Registry;

/// How often time and lost parties are looked at.
const TICK: Duration = Duration::from_millis(250);

/// A contract may be dated this far ahead of our clock, because clocks differ.
const CLOCK_SKEW_S: u64 = 300;

/// The most jobs in one list, and the most ended jobs that a reconnecting agent is told of.
const LIST_MAX: u32 = 128;

/// How long jobs that have ended stay in the book, unless the configuration says otherwise: a year, and time to look back on it.
pub const KEEP_JOBS: Duration = Duration::from_secs(400 * DAY_S);

const DAY_S: u64 = 86_400;

/// What a party may ask of the book, and how long the book waits for a party.
#[derive(Clone, Debug)]
pub struct BookLimits {
    /// Jobs of one proposer that have not ended.
    pub open_jobs_per_member: u32,
    /// Jobs that one proposer may propose in 24 hours.
    pub jobs_per_member_per_day: u32,
    /// How long a party whose connection broke may take to come back before its running jobs fail.
    pub rejoin: Duration,
    /// The same after a start of the coordinator, when everybody has to come back.
    pub rejoin_after_start: Duration,
    /// How long jobs that have ended stay in the book, at least until their contracts expire.
    pub keep_jobs: Duration,
}

impl Default for BookLimits {
    fn default() -> Self {
        Self {
            open_jobs_per_member: 32,
            jobs_per_member_per_day: 2000,
            rejoin: Duration::from_secs(2),
            rejoin_after_start: Duration::from_secs(15),
            keep_jobs: KEEP_JOBS,
        }
    }
}

/// Called at named points between a decision, its record and its effects, so that tests can kill the process there.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<ProbeFn>>);

type ProbeFn = dyn Fn(Point, &JobState) + Send + Sync;

/// Where a [`Probe`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Decided, not yet written.
    BeforeSave,
    /// Written, nobody told.
    AfterSave,
    /// Written, and everybody told (as far as the queues).
    AfterEffects,
}

impl Probe {
    /// Calls `f` at every point, with the state that the job takes on.
    pub fn new(f: impl Fn(Point, &JobState) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(f)))
    }

    fn at(&self, point: Point, state: &JobState) {
        if let Some(f) = &self.0 {
            f(point, state);
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

/// A message to the book's task.
enum Message {
    Call {
        party: PartyName,
        call: Box<Call>,
        reply: oneshot::Sender<Result<Answer, CallError>>,
    },
    Up {
        party: PartyName,
    },
    Down {
        party: PartyName,
        goodbye: bool,
    },
}

/// A handle on the book. Clones share one book.
#[derive(Clone, Debug)]
pub(crate) struct BookHandle {
    messages: mpsc::Sender<Message>,
    running: watch::Receiver<Arc<BTreeMap<JobId, BTreeSet<PartyName>>>>,
}

impl BookHandle {
    /// Puts a party's request to the book, and waits for the durable answer.
    pub(crate) async fn call(&self, party: &PartyName, call: Call) -> Result<Answer, CallError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Call {
            party: party.clone(),
            call: Box::new(call),
            reply,
        };
        // Either end is missing only while the coordinator shuts down.
        self.messages
            .send(message)
            .await
            .map_err(|_| CallError::Storage)?;
        answer.await.map_err(|_| CallError::Storage)?
    }

    /// A party is connected: the book sends it what it may have missed.
    pub(crate) async fn up(&self, party: &PartyName) {
        let _ = self
            .messages
            .send(Message::Up {
                party: party.clone(),
            })
            .await;
    }

    /// A party's connection ended; with `goodbye`, it said that it would not come back.
    pub(crate) async fn down(&self, party: &PartyName, goodbye: bool) {
        let _ = self
            .messages
            .send(Message::Down {
                party: party.clone(),
                goodbye,
            })
            .await;
    }

    /// Do both parties take part in this job, and does it run?
    pub(crate) fn runs_between(&self, job_id: &JobId, a: &PartyName, b: &PartyName) -> bool {
        let running = self.running.borrow();
        a != b
            && running
                .get(job_id)
                .is_some_and(|parties| parties.contains(a) && parties.contains(b))
    }

    /// Changes whenever a job starts or ends.
    pub(crate) fn running(&self) -> watch::Receiver<Arc<BTreeMap<JobId, BTreeSet<PartyName>>>> {
        self.running.clone()
    }
}

/// A job that has not ended.
struct Open {
    job: Job,
    record: JobRecord,
}

/// The task's state.
pub(crate) struct Book {
    journal: Journal,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    limits: BookLimits,
    probe: Probe,
    open: BTreeMap<JobId, Open>,
    catalogues: BTreeMap<PartyName, CatalogueId>,
    last_seen: BTreeMap<PartyName, u64>,
    /// Parties without a connection that some open job needs: gone for good at this instant.
    gone_at: BTreeMap<PartyName, Instant>,
    /// When to look for old jobs next, Unix seconds.
    prune_at: u64,
    messages: mpsc::Receiver<Message>,
    running: watch::Sender<Arc<BTreeMap<JobId, BTreeSet<PartyName>>>>,
}

impl Book {
    /// Reads the journal. The book does nothing until [`Book::run`].
    pub(crate) async fn open(
        mut journal: Journal,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        limits: BookLimits,
        probe: Probe,
    ) -> Result<(Self, BookHandle), JournalError> {
        let mut open = BTreeMap::new();
        let mut gone_at = BTreeMap::new();
        for record in journal.open_jobs().await? {
            let completed = |(party, outcome): (&PartyName, &Outcome)| {
                matches!(outcome, Outcome::Completed { .. }).then(|| party.clone())
            };
            let accepted = record.acceptances.keys().cloned().collect();
            let completed = record.outcomes.iter().filter_map(completed).collect();
            let job = Job::restore(&record.contract, record.state.clone(), accepted, completed);
            for party in job.members() {
                gone_at.insert(party.clone(), Instant::now() + limits.rejoin_after_start);
            }
            open.insert(record.contract.job_id, Open { job, record });
        }
        let catalogues = journal.catalogue_ids().await?;
        let last_seen = journal.last_seen().await?;
        let (sender, messages) = mpsc::channel(256);
        let (running, watch) = watch::channel(Arc::default());
        let book = Self {
            journal,
            registry,
            clock,
            limits,
            probe,
            open,
            catalogues,
            last_seen,
            gone_at,
            prune_at: 0,
            messages,
            running,
        };
        book.publish_running();
        Ok((
            book,
            BookHandle {
                messages: sender,
                running: watch,
            },
        ))
    }

    /// Serves requests until all handles are dropped.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => self.handle(message).await,
                    None => return,
                },
                _ = tick.tick() => {}
            }
            self.settle().await;
            self.prune().await;
        }
    }

    /// Forgets old jobs, once a day.
    async fn prune(&mut self) {
        let now = self.clock.now_unix_s();
        if now < self.prune_at {
            return;
        }
        self.prune_at = now + DAY_S;
        let ended_before = now.saturating_sub(self.limits.keep_jobs.as_secs());
        match self.journal.prune(ended_before, now).await {
            Ok(0) => {}
            Ok(n_jobs) => tracing::info!(n_jobs, "jobs that ended long ago are forgotten"),
            Err(error) => log_journal(&error),
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Call { party, call, reply } => {
                let answer = self.answer(&party, *call).await;
                // The caller may have gone. What was done stays done, and it will ask again.
                let _ = reply.send(answer);
            }
            Message::Up { party } => {
                self.gone_at.remove(&party);
                self.note_seen(&party).await;
                if let Err(error) = self.resynchronise(&party).await {
                    log_journal(&error);
                }
            }
            Message::Down { party, goodbye } => {
                // A connection that was replaced has ended too; its party is here.
                if !self.registry.is_online(&party) {
                    let wait = if goodbye {
                        Duration::ZERO
                    } else {
                        self.limits.rejoin
                    };
                    self.gone_at.insert(party.clone(), Instant::now() + wait);
                }
                self.note_seen(&party).await;
            }
        }
    }

    async fn note_seen(&mut self, party: &PartyName) {
        let now = self.clock.now_unix_s();
        let Some(key) = self.registry.fingerprint(party) else {
            return;
        };
        self.last_seen.insert(party.clone(), now);
        if let Err(error) = self.journal.seen(party, &key, now).await {
            log_journal(&error);
        }
    }

    /// Facts that nobody reports: the time, who is connected, who has been gone too long. Looked at again until recorded.
    async fn settle(&mut self) {
        let now = self.clock.now_unix_s();
        // A party that has just come back is connected before its message gets here.
        let is_gone = |(party, at): &(&PartyName, &Instant)| {
            **at <= Instant::now() && !self.registry.is_online(party)
        };
        let gone: BTreeSet<_> = self
            .gone_at
            .iter()
            .filter(is_gone)
            .map(|(party, _)| party.clone())
            .collect();
        let ids: Vec<_> = self.open.keys().copied().collect();
        for id in ids {
            let Some(open) = self.open.get(&id) else {
                continue;
            };
            let members = open.job.members();
            let mut facts = vec![Fact::Time { now }];
            if members.iter().all(|party| self.registry.is_online(party)) {
                facts.push(Fact::AllConnected);
            }
            facts.extend(
                members
                    .intersection(&gone)
                    .cloned()
                    .map(|party| Fact::Lost { party }),
            );
            for fact in facts {
                // A failure to write has been logged, and the next tick tries again.
                let _ = self.apply(&id, fact, Evidence::Observed).await;
            }
        }
    }

    /// Applies a fact: decide, write, then tell. If it cannot be written, nothing has happened.
    async fn apply(&mut self, id: &JobId, fact: Fact, evidence: Evidence) -> Result<(), CallError> {
        let Some(open) = self.open.get(id) else {
            return Ok(());
        };
        let mut job = open.job.clone();
        let effects = step(&mut job, fact);
        if effects.is_empty() {
            return Ok(());
        }
        let state = job.state().clone();
        for effect in effects {
            match effect {
                Effect::Save => self.save(id, &job, &evidence).await?,
                Effect::Announce => {
                    tracing::info!(job = %safe(id), state = %safe(&state), "the job moved on");
                    self.tell_all(
                        id,
                        &Event::JobState {
                            job_id: *id,
                            state: state.clone(),
                        },
                    );
                }
                Effect::Start => {
                    if let Some(start) = self.start_event(id) {
                        self.tell_all(id, &start);
                    }
                }
                Effect::Stop(reason) => self.tell_all(
                    id,
                    &Event::Stop {
                        job_id: *id,
                        reason,
                    },
                ),
            }
        }
        self.probe.at(Point::AfterEffects, &state);
        if state.is_final() {
            self.open.remove(id);
        }
        Ok(())
    }

    async fn save(&mut self, id: &JobId, job: &Job, evidence: &Evidence) -> Result<(), CallError> {
        let now = self.clock.now_unix_s();
        self.probe.at(Point::BeforeSave, job.state());
        self.journal
            .record(id, job.state(), evidence, now)
            .await
            .map_err(storage)?;
        self.probe.at(Point::AfterSave, job.state());
        let Some(open) = self.open.get_mut(id) else {
            return Ok(());
        };
        open.job = job.clone();
        open.record.state = job.state().clone();
        match evidence.clone() {
            Evidence::Observed => {}
            Evidence::Acceptance(party, signed) => {
                open.record.acceptances.insert(party, signed);
            }
            Evidence::Rejection(signed) => open.record.rejection = Some(signed),
            Evidence::Outcome(party, outcome) => {
                open.record.outcomes.insert(party, outcome);
            }
        }
        self.publish_running();
        Ok(())
    }

    /// The relay serves the jobs that run, and drops its connections when one ends.
    fn publish_running(&self) {
        let runs = |(id, open): (&JobId, &Open)| {
            (open.job.state() == &JobState::Running).then(|| (*id, open.job.members().clone()))
        };
        let running: BTreeMap<_, _> = self.open.iter().filter_map(runs).collect();
        self.running.send_if_modified(|present| {
            let changed = **present != running;
            if changed {
                *present = Arc::new(running);
            }
            changed
        });
    }

    fn tell_all(&self, id: &JobId, event: &Event) {
        let Some(open) = self.open.get(id) else {
            return;
        };
        for party in open.job.members() {
            self.registry.send(party, event);
        }
    }

    fn start_event(&self, id: &JobId) -> Option<Event> {
        let record = &self.open.get(id)?.record;
        let seats = &record.contract.parties;
        let acceptances = seats
            .iter()
            .map(|p| record.acceptances.get(&p.name).cloned())
            .collect::<Option<_>>()?;
        let contract = record.signed.clone();
        Some(Event::Start(Box::new(Start {
            contract,
            acceptances,
            addresses: self.addresses(record),
        })))
    }

    fn addresses(&self, record: &JobRecord) -> BTreeMap<PartyName, Option<String>> {
        let address = |name: &PartyName| (name.clone(), self.registry.reachable_at(name));
        record
            .contract
            .parties
            .iter()
            .map(|p| address(&p.name))
            .collect()
    }

    /// Tells a party that has just connected all that it may have missed.
    async fn resynchronise(&mut self, party: &PartyName) -> Result<(), JournalError> {
        for record in self.journal.jobs_of(party, LIST_MAX, true).await? {
            let job_id = record.contract.job_id;
            let stop =
                StopReason::of(&record.state).filter(|_| !record.outcomes.contains_key(party));
            self.registry.send(
                party,
                &Event::JobState {
                    job_id,
                    state: record.state,
                },
            );
            if let Some(reason) = stop {
                self.registry.send(party, &Event::Stop { job_id, reason });
            }
        }
        for (job_id, open) in self
            .open
            .iter()
            .filter(|(_, open)| open.job.members().contains(party))
        {
            let state = open.job.state().clone();
            if state == JobState::Proposed && !open.job.accepted().contains(party) {
                self.registry
                    .send(party, &Event::JobProposed(open.record.signed.clone()));
            }
            let runs_here = state == JobState::Running && !open.job.completed().contains(party);
            self.registry.send(
                party,
                &Event::JobState {
                    job_id: *job_id,
                    state,
                },
            );
            if let Some(start) = self.start_event(job_id).filter(|_| runs_here) {
                self.registry.send(party, &start);
            }
        }
        self.registry.send(party, &Event::Synchronised);
        Ok(())
    }
}

fn storage(error: JournalError) -> CallError {
    log_journal(&error);
    CallError::Storage
}

/// The database's words name tables and files, never what is in them, but they are not ours: the kind of error is enough.
fn log_journal(error: &JournalError) {
    match error {
        JournalError::Damaged { what } => tracing::error!(what, "the journal is damaged"),
        JournalError::Database(sqlx::Error::Database(e)) => {
            let code = crate::logsafe::PeerText::new(&e.code().unwrap_or_default());
            tracing::error!(code = %safe(&code), "the journal cannot be read or written (disk full?)");
        }
        _ => tracing::error!("the journal cannot be read or written"),
    }
}
