//! Why this agent does not agree to a job.

use coordinator::contract::{JobId, PartyName, SignError, StatementError};
use coordinator::tls::Fingerprint;

use crate::plan::PlanFault;
use crate::policy::Denial;
use crate::spec::Fault;

/// Why this agent does not agree to a job. The text holds names of parties, tables and columns, and no data; it goes to
/// the other parties, but for that of [`Refusal::Policy`]: they are told the code.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The proposal's signature is not what it should be.
    #[error("the proposal is not validly signed by its proposer: {0}")]
    Signature(SignError),
    /// Nobody here has pinned the key that signed.
    #[error("the proposal is signed with the key {key}, which nobody here has pinned")]
    UnknownProposer {
        /// The key.
        key: Fingerprint,
    },
    /// A party of the contract is not pinned.
    #[error(
        "{party} is not pinned here; if you trust it, run: entente keys trust {party} SHA256:…"
    )]
    UnknownParty {
        /// Which.
        party: PartyName,
    },
    /// A party of the contract is pinned under another key.
    #[error(
        "the contract gives {party} the key {claimed}, but it is pinned here as {known}; ask {party} which is right, \
         by another way than this one"
    )]
    OtherKey {
        /// Which.
        party: PartyName,
        /// The key pinned here.
        known: Fingerprint,
        /// The key in the contract.
        claimed: Fingerprint,
    },
    /// The key of a party of the contract is revoked.
    #[error("{issuer} has revoked the key {key} of {party}; that party needs a new one")]
    Revoked {
        /// Whose.
        party: PartyName,
        /// The key.
        key: Fingerprint,
        /// Who has revoked it, in the negative list.
        issuer: PartyName,
    },
    /// This party has no part in the contract.
    #[error("this party has no part in the contract")]
    NotAParty,
    /// The time to start has passed.
    #[error("the contract expired at Unix time {not_after}; submit the job again")]
    Expired {
        /// Unix seconds.
        not_after: u64,
    },
    /// Written later than now.
    #[error(
        "the contract was written at Unix time {created}, which is later than now; check the clocks of both parties"
    )]
    FromTheFuture {
        /// Unix seconds.
        created: u64,
    },
    /// The job file has faults.
    #[error("the job file has {} fault(s): {}", .0.len(), listed(.0))]
    Spec(Vec<Fault>),
    /// The job cannot be planned.
    #[error("the job cannot be planned: {}", listed(.0))]
    Plan(Vec<PlanFault>),
    /// A number of the plan is not one for which its procedure was vetted.
    #[error("{parameter} is out of the bounds in the manifest {manifest}")]
    OutOfBounds {
        /// The manifest's id.
        manifest: String,
        /// Which number.
        parameter: String,
    },
    /// A catalogue is not the one that was agreed on.
    #[error("the catalogue of {party} {fault}")]
    Catalogue {
        /// Whose.
        party: PartyName,
        /// What is wrong with it.
        fault: CatalogueFault,
    },
    /// The contract is not what this agent makes of the same job file.
    #[error(
        "the contract differs in `{field}` from what this agent makes of the same job file and catalogues"
    )]
    Differs {
        /// The field.
        field: &'static str,
    },
    /// The policy refuses.
    #[error("refused by policy: {}", listed(.0))]
    Policy(Vec<Denial>),
    /// It takes the place of a job that is not its proposer's.
    #[error(
        "the contract takes the place of job {earlier}, which {proposer} has proposed: nobody else can replace it"
    )]
    Supersedes {
        /// That job.
        earlier: JobId,
        /// Whose it is.
        proposer: PartyName,
    },
    /// It goes on with a job that cannot be gone on with.
    #[error("the contract goes on with job {earlier}, which cannot be: {why}")]
    Resumes {
        /// That job.
        earlier: JobId,
        /// Why not.
        why: String,
    },
    /// A log is not what it was.
    #[error("{}", log_alarm(party, kind, *is_own))]
    Log {
        /// Whose.
        party: PartyName,
        /// What is wrong with it.
        kind: String,
        /// Whether it is this agent's own.
        is_own: bool,
    },
    /// An acceptance is not in order.
    #[error("the acceptance of {party} {fault}")]
    Acceptance {
        /// Whose.
        party: PartyName,
        /// What is wrong with it.
        fault: AcceptanceFault,
    },
    /// An acceptance of somebody who is not a party.
    #[error("there is an acceptance by somebody who is not a party of the contract")]
    StrangeAcceptance,
}

/// What is wrong with a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueFault {
    /// It is not here.
    #[error("is not known here; is that party's agent running?")]
    Missing,
    /// It is another version.
    #[error("has changed since the job was written; submit the job again")]
    OtherVersion,
    /// It speaks of another party.
    #[error("speaks of another party")]
    OtherParty,
    /// It is older than one that was seen before.
    #[error("is older than one that was seen here before; somebody is showing an old one")]
    Old,
    /// It is not signed with the pinned key.
    #[error("is not validly signed: {0}")]
    Signature(SignError),
    /// What came with it for some parties is not what its party has signed for.
    #[error("came with a description that is not its party's: {0}")]
    Description(StatementError),
    /// It came with a description that this party may not see.
    #[error("came with a description for others; somebody shows what is not theirs to show")]
    ForOthers,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// What is wrong with an acceptance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptanceFault {
    /// There is none.
    #[error("is missing")]
    Missing,
    /// There are two.
    #[error("is there twice")]
    Twice,
    /// It is not validly signed.
    #[error("is not validly signed: {0}")]
    Signature(SignError),
    /// It was made for another contract, plan, job or party.
    #[error("was made for another contract")]
    OtherContract,
    /// The page that its party was shown says something else.
    #[error("names another page than the one that this agent makes of the contract")]
    OtherPage,
    /// It shows something that is no signed checkpoint of a party's log.
    #[error("shows a checkpoint that no party of the contract has signed")]
    Seen,
    /// It is in this party's name and not the one that this agent made.
    #[error("is not the one that this agent made")]
    NotInLedger,
}

impl Refusal {
    /// A short code for programs: `a-z`, `0-9` and `_`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(_) | Self::UnknownProposer { .. } => "signature",
            Self::UnknownParty { .. } | Self::OtherKey { .. } => "party_key",
            Self::Revoked { .. } => "revoked",
            Self::NotAParty => "not_a_party",
            Self::Expired { .. } | Self::FromTheFuture { .. } => "out_of_time",
            Self::Spec(_) => "spec",
            Self::Plan(_) => "plan",
            Self::OutOfBounds { .. } => "manifest",
            Self::Catalogue { .. } => "catalogue",
            Self::Differs { .. } => "contract_differs",
            Self::Policy(_) => POLICY,
            Self::Supersedes { .. } => "supersedes",
            Self::Resumes { .. } => "resumes",
            Self::Log { .. } => "log_alarm",
            Self::Acceptance { .. } | Self::StrangeAcceptance => "acceptance",
        }
    }
}

/// The code of a refusal by policy, which the proposer's command line turns into its own exit code.
pub const POLICY: &str = "policy";

fn log_alarm(party: &PartyName, kind: &str, is_own: bool) -> String {
    let what = match kind {
        "rolled_back" => "is shorter than what was signed of it: an older state was restored",
        _ => "is not the one that was signed before: there are two",
    };
    match is_own {
        true => {
            format!("the log of this agent {what}; restore the newest state, no job runs before")
        }
        false => format!("the log of {party} {what}; no job runs with it under this key"),
    }
}

fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
