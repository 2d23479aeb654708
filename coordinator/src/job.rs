//! Jobs as the coordinator keeps them: what can happen to one ([`state`]), and the book of all of them ([`book`]).

pub mod state;
pub mod book;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::{Acceptance, Contract, JobId, PartyName, Rejection, Signed};
use crate::logsafe::LogSafe;

/// Where a job stands. The last three are final.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JobState {
    /// Waits for the acceptances of all its parties.
    Proposed,
    /// Accepted by all; starts as soon as all of them are connected.
    Accepted,
    /// Started.
    Running,
    /// Every party reported success.
    Completed,
    /// It failed.
    Failed {
        /// The party by whom or at whom, where one can be named.
        party: Option<PartyName>,
        /// In what way.
        class: FailureClass,
    },
    /// A party called it off.
    Cancelled {
        /// Which.
        by: PartyName,
    },
}

impl JobState {
    /// Can nothing happen to the job any more?
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed { .. } | Self::Cancelled { .. }
        )
    }

    /// The state's name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                party: Some(party),
                class,
            } => write!(f, "failed at {party}: {class}"),
            Self::Failed { party: None, class } => write!(f, "failed: {class}"),
            Self::Cancelled { by } => write!(f, "cancelled by {by}"),
            state => f.write_str(state.name()),
        }
    }
}

impl LogSafe for JobState {}

/// In what way a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A party rejected the contract.
    Rejected,
    /// It had not started when its contract expired.
    Expired,
    /// A party's connection to the coordinator was lost while the job ran.
    PartyLost,
    /// An agent lost the link to another.
    LinkLost,
    /// An agent restarted while it ran the job. What it had computed is gone, and is not computed twice.
    Restarted,
    /// An agent compiled another plan than the one that was signed.
    PlanMismatch,
    /// A party's policy refused.
    Policy,
    /// A party's data could not be read, or broke a declared bound.
    Source,
    /// A party sent something that the protocol does not allow.
    PeerMisbehaved,
    /// A joint check failed, and nobody can be named.
    CheckFailed,
    /// A step that fails with small probability did; a new job may succeed.
    Unlucky,
    /// Time, memory or correlated randomness ran out.
    OverBudget,
    /// A fault in the software.
    Internal,
    /// What was asked cannot be computed from the joint data, whoever holds which part.
    Data,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired before all parties had accepted and were connected",
            Self::PartyLost => "party lost",
            Self::LinkLost => "link lost",
            Self::Restarted => "the agent was restarted while the job ran",
            Self::PlanMismatch => "the plans differ",
            Self::Policy => "refused by policy",
            Self::Source => "its data could not be used",
            Self::PeerMisbehaved => "broke the protocol",
            Self::CheckFailed => "a joint check failed",
            Self::Unlucky => "an unlucky random choice; submit the job again",
            Self::OverBudget => "out of budget",
            Self::Internal => "internal error",
            Self::Data => "the joint data do not allow it",
        })
    }
}

impl LogSafe for FailureClass {}

/// What an agent reports when it is done with a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Success.
    Completed {
        /// The agent's signed receipt, JSON that the agents define. Ids, codes and counts only.
        receipt: String,
    },
    /// Failure.
    Failed {
        /// In what way.
        class: FailureClass,
        /// The party at fault, as this agent sees it.
        culprit: Option<PartyName>,
    },
}

impl Outcome {
    /// The longest receipt, and the longest statement of a witness, in bytes.
    pub const MAX_RECEIPT_BYTES: usize = 96 << 10;
}

/// Why an agent has to stop a job at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StopReason {
    /// A party called it off.
    Cancelled {
        /// Which.
        by: PartyName,
    },
    /// A party is gone.
    PartyLost {
        /// Which.
        party: PartyName,
    },
    /// It failed in another way.
    Failed {
        /// At whom.
        party: Option<PartyName>,
        /// In what way.
        class: FailureClass,
    },
}

impl StopReason {
    /// Why agents stop when a job ends in `state`. Success and what is not final give none.
    pub fn of(state: &JobState) -> Option<Self> {
        match state {
            JobState::Failed {
                party: Some(party),
                class: FailureClass::PartyLost,
            } => Some(Self::PartyLost {
                party: party.clone(),
            }),
            JobState::Failed { party, class } => Some(Self::Failed {
                party: party.clone(),
                class: *class,
            }),
            JobState::Cancelled { by } => Some(Self::Cancelled { by: by.clone() }),
            _ => None,
        }
    }
}

/// One line of a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSummary {
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// Who proposed it.
    pub proposer: PartyName,
    /// Who takes part.
    pub parties: Vec<PartyName>,
    /// Where it stands.
    pub state: JobState,
    /// When it was written, Unix seconds.
    pub created: u64,
    /// When it expires, Unix seconds.
    pub not_after: u64,
}

/// All that the coordinator knows of a job. The signed parts are to be verified by the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobView {
    /// The contract, as proposed.
    pub contract: Signed<Contract>,
    /// Where the job stands.
    pub state: JobState,
    /// The acceptances so far.
    pub acceptances: Vec<Signed<Acceptance>>,
    /// The rejection that ended it.
    pub rejection: Option<Signed<Rejection>>,
    /// What each party reported.
    pub outcomes: BTreeMap<PartyName, Outcome>,
    /// What each party says about the others' logs.
    pub witnesses: BTreeMap<PartyName, String>,
}
