//! What agents and the coordinator say to each other.
//!
//! An agent opens one QUIC connection. Its first stream is the control stream; each further stream is one leg of a relay.
//! Every stream begins with an [`Opening`] from the agent and an [`OpeningReply`] from the coordinator. On the control
//! stream, the agent then sends [`Request`]s, and the coordinator sends [`FromCoordinator`]: replies and events, mixed.
//!
//! Every request may be repeated with the same effect as once: the client sends again, after a reconnect, what was not answered.
//! Events may be repeated too, and an agent that missed some is told the present state when it reconnects.

pub mod codec;
pub mod stream;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::{
    Acceptance, Contract, JobId, PartyName, Published, Rejection, SignError, Signed,
};
use crate::job::{JobState, JobSummary, JobView, Outcome, StopReason};
use crate::logsafe::LogSafe;
use crate::tls::Fingerprint;

/// The version of the control protocol. It leads every frame, so that a mismatch is told apart from garbage. Whoever changes what a message
/// looks like raises it: a test compares the sizes of messages of all kinds with those of this version.
pub const CONTROL_VERSION: u8 = 2;

/// The first message on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// Makes this the control stream of the connection.
    Control(Hello),
    /// Makes this a leg of the relay between the sender and `peer`, for one running job.
    Relay {
        /// The job.
        job_id: JobId,
        /// The party at the other end.
        peer: PartyName,
    },
}

/// An agent introduces itself. Its key has been verified by TLS; this says which of its names it means, and more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's party.
    pub name: PartyName,
    /// Its software version, for people.
    pub software: String,
    /// Where other agents may reach it directly, `host:port`; none if nobody can.
    pub reachable_at: Option<String>,
}

/// The answer to an [`Opening`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpeningReply {
    /// The agent is connected.
    Welcome {
        /// The coordinator's name.
        coordinator: PartyName,
        /// Its software version, for people.
        software: String,
    },
    /// The relay is joined: from here on the stream carries the peer's bytes.
    Joined,
    /// No relay.
    RelayRefused(RelayRefusal),
}

/// Why there is no relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RelayRefusal {
    /// The job does not run, or the asking party or the peer has no part in it.
    #[error("no such job runs between these two parties")]
    NotRunning,
    /// The peer did not open its leg in time.
    #[error("the peer did not open its end of the relay in time")]
    PeerAbsent,
    /// There is a relay between the two for this job already.
    #[error("this job has a relay between the two parties already")]
    Busy,
    /// The same party asked again, and the later leg counts.
    #[error("replaced by a later leg of the same party")]
    Replaced,
    /// The coordinator carries as many relays as it may.
    #[error("the coordinator carries as many relays as it may")]
    TooMany,
}

/// A request with the number that its reply will bear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the agent.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What an agent can ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Replace this party's catalogue, and what goes with it for some. Answered by [`Answer::Done`].
    PublishCatalogue(Published),
    /// Who is there? Answered by [`Answer::Directory`].
    Directory,
    /// A party's catalogue. Answered by [`Answer::Catalogue`].
    Catalogue {
        /// Whose.
        party: PartyName,
    },
    /// Propose a job. Answered by [`Answer::State`].
    Propose(Signed<Contract>),
    /// Accept a job. Answered by [`Answer::State`].
    Accept(Signed<Acceptance>),
    /// Reject a job. Answered by [`Answer::State`].
    Reject(Signed<Rejection>),
    /// Say how a job ended here. Answered by [`Answer::State`].
    Report {
        /// The job.
        job_id: JobId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Leave with a completed job what this party says about the others' logs: JSON that the agents define. Answered by
    /// [`Answer::Done`].
    Witness {
        /// The job.
        job_id: JobId,
        /// The statement.
        seen: String,
    },
    /// Call a job off. Answered by [`Answer::State`].
    Cancel {
        /// The job.
        job_id: JobId,
    },
    /// This party's jobs, the latest first. Answered by [`Answer::Jobs`].
    Jobs,
    /// One job. Answered by [`Answer::Job`].
    JobStatus {
        /// The job.
        job_id: JobId,
    },
    /// Where the parties of a job can be reached. Answered by [`Answer::Addresses`].
    Addresses {
        /// The job.
        job_id: JobId,
    },
}

/// What the coordinator sends on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCoordinator {
    /// The reply to the request of this number.
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        result: Result<Answer, CallError>,
    },
    /// Something happened.
    Event(Event),
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, durably.
    Done,
    /// All members.
    Directory(Vec<DirectoryEntry>),
    /// A catalogue, if the party has published one, with what of it this party may see. To be verified by the reader.
    Catalogue(Option<Published>),
    /// The job's state after the request, durably.
    State(JobState),
    /// A list of jobs.
    Jobs(Vec<JobSummary>),
    /// One job.
    Job(Box<JobView>),
    /// Addresses by party; none where a party can be reached through the relay only.
    Addresses(BTreeMap<PartyName, Option<String>>),
}

/// One member, as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: PartyName,
    /// Its key, by the coordinator's list. An agent trusts its own list only.
    pub fingerprint: Fingerprint,
    /// Is it connected?
    pub online: bool,
    /// Where it can be reached directly.
    pub reachable_at: Option<String>,
    /// Version and digest of its catalogue.
    pub catalogue: Option<CatalogueId>,
    /// When it was last connected, Unix seconds.
    pub last_seen: Option<u64>,
}

/// Names one version of a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueId {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its canonical bytes.
    pub digest: crate::contract::Digest,
}

/// Something happened, or is the case: after a reconnect the coordinator repeats what still matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A job waits for this party's answer.
    JobProposed(Signed<Contract>),
    /// A job stands so.
    JobState {
        /// The job.
        job_id: JobId,
        /// Where it stands.
        state: JobState,
    },
    /// A job runs. An agent that has started it before must not start it again (its own ledger knows).
    Start(Box<Start>),
    /// A job must be stopped.
    Stop {
        /// The job.
        job_id: JobId,
        /// Why.
        reason: StopReason,
    },
    /// A member connected.
    PartyUp {
        /// Which.
        party: PartyName,
    },
    /// A member's connection ended.
    PartyDown {
        /// Which.
        party: PartyName,
    },
    /// All that an agent may have missed has been sent.
    Synchronised,
}

/// What an agent needs to run a job. It verifies the contract and each acceptance against its own pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The contract.
    pub contract: Signed<Contract>,
    /// One of each party, in the order of seats.
    pub acceptances: Vec<Signed<Acceptance>>,
    /// Where each party can be reached; none where only through the relay.
    pub addresses: BTreeMap<PartyName, Option<String>>,
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CallError {
    /// The coordinator knows no such job, or this party has no part in it.
    #[error("there is no such job, or this party has no part in it")]
    UnknownJob,
    /// The job id stands for another contract.
    #[error("the job id is taken by another contract; draw a new one")]
    JobIdTaken,
    /// A party of the contract is not a member, or is known by another key.
    #[error("{party} is not a member of this coordinator, or is known to it by another key")]
    NotAMember {
        /// Which.
        party: PartyName,
    },
    /// A statement is made in another party's name.
    #[error("a party speaks for itself only")]
    NotYours,
    /// A signature, form or rule is wrong.
    #[error("the statement is not valid: {reason}")]
    Invalid {
        /// Why, in the words of [`SignError`].
        reason: String,
    },
    /// An acceptance names another contract or plan than the job's.
    #[error("the acceptance is for another contract or plan than this job's")]
    OtherContract,
    /// The contract has expired, or was written in the future.
    #[error(
        "the contract has expired, or its time of writing lies in the future; check the clocks of both ends"
    )]
    OutOfTime,
    /// A catalogue with this version or a later one is published.
    #[error("version {published} of the catalogue is published already; publish a higher version")]
    StaleCatalogue {
        /// The version that is published.
        published: u64,
    },
    /// The party has as many jobs as it may.
    #[error("this party has {limit} jobs {what}, which is the limit; cancel some, or wait")]
    TooManyJobs {
        /// The limit.
        limit: u32,
        /// What is counted.
        what: JobCount,
    },
    /// A party witnesses a job only once all have completed it.
    #[error("the job is not completed")]
    NotCompleted,
    /// A receipt is longer than allowed, or an answer does not fit a message.
    #[error("the receipt or the answer is longer than a message may be")]
    TooLong,
    /// The journal cannot be written. Nothing has changed.
    #[error(
        "the coordinator cannot write its journal (disk full?); nothing has changed. Ask its operator"
    )]
    Storage,
}

impl LogSafe for CallError {}

/// What [`CallError::TooManyJobs`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobCount {
    /// Jobs that have not ended.
    Open,
    /// Jobs proposed within a day.
    PerDay,
}

impl std::fmt::Display for JobCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::PerDay => "proposed within a day",
        })
    }
}

impl From<SignError> for CallError {
    fn from(error: SignError) -> Self {
        Self::Invalid {
            reason: error.to_string(),
        }
    }
}

/// Application error codes with which a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The agent ends, and says so: the others need not wait for it.
    Goodbye = 1,
    /// No `Hello` within the deadline.
    NoHello = 2,
    /// Bytes that are no message of this protocol, or a message where none belongs.
    BadFrame = 3,
    /// The name in `Hello` is not the name under which the key is a member.
    NameMismatch = 4,
    /// The party connected again; the later connection counts.
    Replaced = 5,
    /// The party has too many connections.
    TooManyConnections = 6,
    /// The agent does not read what it is sent.
    SlowReader = 7,
    /// The party is no longer a member.
    Removed = 8,
    /// The coordinator ends.
    ShuttingDown = 9,
    /// The two ends speak different versions of the control protocol.
    Version = 10,
    /// A message that was begun was not completed in time.
    TooSlow = 11,
}

impl CloseCode {
    const ALL: [Self; 11] = [
        Self::Goodbye,
        Self::NoHello,
        Self::BadFrame,
        Self::NameMismatch,
        Self::Replaced,
        Self::TooManyConnections,
        Self::SlowReader,
        Self::Removed,
        Self::ShuttingDown,
        Self::Version,
        Self::TooSlow,
    ];

    /// The meaning of a code that came in, if it has one.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|c| *c as u64 == code)
    }

    /// The code on the wire.
    pub fn code(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self as u32)
    }

    /// The text that goes with it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Goodbye => "the agent ends",
            Self::NoHello => "no hello within the deadline",
            Self::BadFrame => "a message that is not of this protocol",
            Self::NameMismatch => {
                "the name is not the one under which this key is a member; correct the agent's name"
            }
            Self::Replaced => {
                "the same party connected again; is a second agent running with the same key?"
            }
            Self::TooManyConnections => "too many connections of the same party",
            Self::SlowReader => "the agent does not read what it is sent",
            Self::Removed => "the party is no longer a member",
            Self::ShuttingDown => "the coordinator ends",
            Self::TooSlow => "a message that was begun was not completed in time",
            Self::Version => {
                "the two ends speak different versions of the control protocol; install the same version at both"
            }
        }
    }

    /// Closes `connection` with this code and its text.
    pub fn close(self, connection: &quinn::Connection) {
        connection.close(self.code(), self.reason().as_bytes());
    }
}
