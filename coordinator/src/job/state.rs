//! What can happen to a job: a pure state machine.
//!
//! ```text
//!   Proposed ──all accepted──> Accepted ──all connected──> Running ──all reported success──> Completed
//!      │                          │                           │
//!      ├── rejected, expired ─────┤                           ├── reported failure, party lost ──> Failed
//!      └── cancelled ─────────────┴── cancelled ──────────────┴── cancelled ─────────────────────> Cancelled
//! ```
//!
//! Events may be lost, repeated and reordered. Therefore every event is a fact ("party p has accepted"), not an
//! instruction; a fact that is known already, that comes from a stranger or that comes too late changes nothing and has no effect;
//! and no arrow leads back, so that [`Effect::Start`] is issued at most once in the life of a job, in whatever order facts arrive.

use std::collections::BTreeSet;

use super::{FailureClass, JobState, StopReason};
use crate::contract::{Contract, PartyName};

/// A job, as far as its course depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    members: BTreeSet<PartyName>,
    not_after: u64,
    state: JobState,
    accepted: BTreeSet<PartyName>,
    completed: BTreeSet<PartyName>,
}

/// A fact about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A party signed an acceptance of this contract.
    Accepted {
        /// Which.
        by: PartyName,
    },
    /// A party signed a rejection.
    Rejected {
        /// Which.
        by: PartyName,
    },
    /// All parties are connected at this moment.
    AllConnected,
    /// A party reported success.
    Completed {
        /// Which.
        by: PartyName,
    },
    /// A party reported failure.
    Failed {
        /// Which reported.
        by: PartyName,
        /// In what way.
        class: FailureClass,
        /// Whom it blames. A stranger to the job cannot be blamed.
        culprit: Option<PartyName>,
    },
    /// A party called the job off.
    Cancelled {
        /// Which.
        by: PartyName,
    },
    /// A party is gone and did not come back in time.
    Lost {
        /// Which.
        party: PartyName,
    },
    /// It is this late.
    Time {
        /// Unix seconds.
        now: u64,
    },
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the new state to the journal. Always first: nothing is told that a crash could take back.
    Save,
    /// Tell all parties the new state.
    Announce,
    /// Send all parties the contract and the acceptances, and let them run.
    Start,
    /// Tell all parties to stop.
    Stop(StopReason),
}

impl Job {
    /// A job as just proposed.
    pub fn new(contract: &Contract) -> Self {
        Self::restore(
            contract,
            JobState::Proposed,
            BTreeSet::new(),
            BTreeSet::new(),
        )
    }

    /// A job as the journal remembers it.
    pub fn restore(
        contract: &Contract,
        state: JobState,
        accepted: BTreeSet<PartyName>,
        completed: BTreeSet<PartyName>,
    ) -> Self {
        let members = contract.parties.iter().map(|p| p.name.clone()).collect();
        Self {
            members,
            not_after: contract.not_after,
            state,
            accepted,
            completed,
        }
    }

    /// Where the job stands.
    pub fn state(&self) -> &JobState {
        &self.state
    }

    /// Who takes part.
    pub fn members(&self) -> &BTreeSet<PartyName> {
        &self.members
    }

    /// Who has accepted.
    pub fn accepted(&self) -> &BTreeSet<PartyName> {
        &self.accepted
    }

    /// Who has reported success.
    pub fn completed(&self) -> &BTreeSet<PartyName> {
        &self.completed
    }

    fn waits(&self) -> bool {
        matches!(self.state, JobState::Proposed | JobState::Accepted)
    }

    fn runs(&self) -> bool {
        self.state == JobState::Running
    }
}

/// Applies one fact. No effects means that nothing changed.
pub fn step(job: &mut Job, event: Event) -> Vec<Effect> {
    match event {
        Event::Accepted { by } => accept(job, by),
        Event::Rejected { by } if job.waits() && job.members.contains(&by) => {
            fail(job, Some(by), FailureClass::Rejected)
        }
        Event::AllConnected if job.state == JobState::Accepted => {
            job.state = JobState::Running;
            vec![Effect::Save, Effect::Announce, Effect::Start]
        }
        Event::Completed { by } => complete(job, by),
        Event::Failed { by, class, culprit } if job.runs() && at_risk(job, &by) => {
            let blamed = culprit.filter(|name| job.members.contains(name));
            fail(job, Some(blamed.unwrap_or(by)), class)
        }
        // A party that has done its part can go.
        Event::Lost { party } if job.runs() && at_risk(job, &party) => {
            fail(job, Some(party), FailureClass::PartyLost)
        }
        Event::Cancelled { by } if !job.state.is_final() && job.members.contains(&by) => {
            job.state = JobState::Cancelled { by };
            finish(job)
        }
        Event::Time { now } if job.waits() && now > job.not_after => {
            fail(job, None, FailureClass::Expired)
        }
        _ => Vec::new(),
    }
}

fn at_risk(job: &Job, name: &PartyName) -> bool {
    job.members.contains(name) && !job.completed.contains(name)
}

fn accept(job: &mut Job, by: PartyName) -> Vec<Effect> {
    if job.state != JobState::Proposed || !job.members.contains(&by) || !job.accepted.insert(by) {
        return Vec::new();
    }
    if job.accepted == job.members {
        job.state = JobState::Accepted;
        return vec![Effect::Save, Effect::Announce];
    }
    vec![Effect::Save]
}

fn complete(job: &mut Job, by: PartyName) -> Vec<Effect> {
    if !job.runs() || !job.members.contains(&by) || !job.completed.insert(by) {
        return Vec::new();
    }
    if job.completed == job.members {
        job.state = JobState::Completed;
        return vec![Effect::Save, Effect::Announce];
    }
    vec![Effect::Save]
}

fn fail(job: &mut Job, party: Option<PartyName>, class: FailureClass) -> Vec<Effect> {
    job.state = JobState::Failed { party, class };
    finish(job)
}

fn finish(job: &Job) -> Vec<Effect> {
    let stop = StopReason::of(&job.state).map(Effect::Stop);
    [Effect::Save, Effect::Announce]
        .into_iter()
        .chain(stop)
        .collect()
}
