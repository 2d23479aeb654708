//! The documents of the local API, as they are sent and read.

use std::collections::BTreeMap;

use coordinator::contract::{Digest, JobId, PartyName, PartyRole, Signed};
use coordinator::tls::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::catalogue::TableEntry;
use crate::evidence::OpenedValue;
use crate::execute::Moment;
use crate::ledger::{Ending, Halt, JobState};
use coordinator::contract::PersonalApproval;

/// `GET /v1/status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This party.
    pub name: PartyName,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// The program's version.
    pub version: String,
    /// The line to the coordinator.
    pub coordinator: CoordinatorStatus,
    /// Where others reach this agent directly.
    pub direct: Option<String>,
    /// True if this agent rehearses on local data and approves by itself.
    pub rehearsal: bool,
    /// What this party has published.
    pub catalogue: Option<CatalogueStatus>,
    /// Jobs that are running here.
    pub running: Vec<JobId>,
    /// How often jobs have begun to read this party's tables since the agent started.
    #[serde(default)]
    pub reads: u64,
}

/// The line to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// Its name.
    pub name: PartyName,
    /// Where it is dialled.
    pub address: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Why there is none.
    pub why: Option<String>,
    /// Round-trip time in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// What this party has published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueStatus {
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: Digest,
    /// The published tables.
    pub tables: Vec<String>,
}

/// One line of `GET /v1/parties`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Its name.
    pub name: PartyName,
    /// The key that is pinned here; none if nobody here trusts it.
    pub pinned: Option<Fingerprint>,
    /// The key that the coordinator gives; none if the coordinator does not know the party.
    pub known: Option<Fingerprint>,
    /// Whether its agent is connected to the coordinator.
    pub online: bool,
    /// Where it can be reached directly.
    pub reachable_at: Option<String>,
    /// The version of its catalogue.
    pub catalogue: Option<u64>,
    /// When it was last connected, Unix seconds.
    pub last_seen: Option<u64>,
    /// True for this party itself.
    pub is_self: bool,
}

/// `POST /v1/parties/ping`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingRequest {
    /// Whom.
    pub party: PartyName,
}

/// The answer to a ping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// Whom.
    pub party: PartyName,
    /// Whether its agent is connected to the coordinator.
    pub online: bool,
    /// Round-trip time to the coordinator, in milliseconds.
    pub coordinator_ms: Option<f64>,
    /// The direct way, if the party advertises an address.
    pub direct: Option<DirectPing>,
}

/// Whether a party answers at its address, with its pinned key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectPing {
    /// The address.
    pub address: String,
    /// Round-trip time in milliseconds, if it answers.
    pub round_trip_ms: Option<f64>,
    /// Why not, if it does not. Jobs then go through the relay.
    pub why: Option<String>,
}

/// One line of `GET /v1/datasets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Whose.
    pub party: PartyName,
    /// The table.
    pub table: String,
    /// Rows, rounded up to a power of two; unknown for a table of this party that is not published.
    pub rows_at_most: Option<u64>,
    /// Number of columns that can be seen.
    pub columns: usize,
    /// The holder's note.
    pub note: Option<String>,
    /// Whether it is published: a table that the policy does not list is not.
    pub published: bool,
}

/// One table of `GET /v1/catalogue?words=…`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Whose.
    pub party: PartyName,
    /// The table.
    pub table: String,
    /// Number of its holder's catalogue, which grows with every change.
    pub version: u64,
    /// Digest of that catalogue, as it was signed.
    pub catalogue: Digest,
    /// What is published of it.
    pub entry: TableEntry,
}

/// `GET /v1/datasets/{name}/commitment`: what opens a commitment to an auditor. The commitment is SHA-256 of the 32 bytes of
/// `salt` and the 32 of `content`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The table.
    pub table: String,
    /// What stands in the catalogue and in plans.
    pub commitment: Digest,
    /// Hides the content from those who do not know it.
    pub salt: Digest,
    /// SHA-256 of the table's file; where there is a list of withdrawals, of the digests of both files one after the other.
    pub content: Digest,
}

/// `POST /v1/datasets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRequest {
    /// The table's name in jobs.
    pub name: String,
    /// `csv`, `parquet` or `postgres`.
    pub kind: String,
    /// The file, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The file that holds the connection string, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The table on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// `POST /v1/jobs/check`, `/v1/jobs/plan` and `/v1/jobs`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecRequest {
    /// The job file, verbatim.
    pub spec: String,
    /// Who submits, which is this party's approval; recorded in the acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The job of this party whose place this one takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<JobId>,
}

impl SpecRequest {
    /// A job file alone.
    #[must_use]
    pub fn of(spec: String) -> Self {
        Self {
            spec,
            by: None,
            supersedes: None,
        }
    }
}

/// `POST /v1/jobs/{id}/resume`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Who submits, which is this party's approval; recorded in the acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The job's name.
    pub job: String,
    /// Its purpose.
    pub purpose: String,
    /// Who gets the result.
    pub receivers: Vec<String>,
}

/// The plan that this agent makes of a job file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Digest of the plan.
    pub digest: Digest,
    /// The plan.
    pub plan: serde_json::Value,
    /// What this party's own policy has against it: empty if nothing.
    pub denials: Vec<String>,
}

/// The answer to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The job.
    pub job_id: JobId,
}

/// The answer to an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedBy {
    /// The job.
    pub job_id: JobId,
    /// How many more persons of this party have to approve.
    pub missing: usize,
}

/// One job, as `GET /v1/jobs` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// Its purpose.
    pub purpose: String,
    /// Who proposed it.
    pub proposer: PartyName,
    /// Where it stands here.
    pub state: JobState,
    /// Who approved it here.
    pub approved_by: Option<String>,
    /// When it was first seen here, Unix seconds.
    pub created: u64,
    /// When it last changed here, Unix seconds.
    pub updated: u64,
    /// Digest of the plan.
    pub plan: Digest,
    /// How it ended, unless well.
    pub ending: Option<Ending>,
    /// How far it has come, while it runs.
    pub progress: Option<Moment>,
}

/// `GET /v1/jobs/{id}`: the line of the list, and more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The line of the list.
    #[serde(flatten)]
    pub job: Job,
    /// The parties in the order of seats.
    pub parties: Vec<JobParty>,
    /// Who gets the result.
    pub receivers: Vec<PartyName>,
    /// The job that broke off and that this one goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<JobId>,
    /// Whether it broke off and there is a checkpoint here to go on from.
    #[serde(default)]
    pub can_resume: bool,
    /// It must have started by then, Unix seconds.
    pub not_after: u64,
    /// Parties whose acceptance is missing, as the coordinator tells; empty if it does not answer.
    pub waiting_for: Vec<PartyName>,
    /// Whether the result can be fetched here.
    pub has_result: bool,
}

/// One party of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobParty {
    /// Its name.
    pub name: PartyName,
    /// What it does.
    pub role: PartyRole,
    /// Its key, which is pinned here.
    pub fingerprint: Fingerprint,
}

/// `POST /v1/jobs/{id}/approve`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Who approves; recorded in the acceptance that all parties get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The same, signed by that person (`GET /v1/jobs/{id}/approval?by=…` says what).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed<PersonalApproval>>,
}

/// `POST /v1/halt`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltRequest {
    /// Who stops everything.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// `GET` and `POST /v1/halt`, `POST /v1/halt/lift`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// Who stopped everything, if it is stopped.
    pub halted: Option<Halt>,
    /// The jobs that this request has stopped.
    pub stopped: Vec<JobId>,
}

/// `POST /v1/jobs/{id}/reject` and `/v1/jobs/{id}/revoke`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    /// Why; the other parties see it.
    pub reason: String,
}

/// `GET /v1/jobs/{id}/page`: what is signed, and what was signed the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageDocument {
    /// The page, exactly as its digest in the acceptances is made.
    pub page: String,
    /// The page of the last job of the same name and proposer, if there was one.
    pub previous: Option<PreviousPage>,
}

/// A page that was signed before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousPage {
    /// Of which job.
    pub job_id: JobId,
    /// The page.
    pub page: String,
}

/// `GET /v1/jobs/{id}/egress`: what left this agent in a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// The job.
    pub job_id: JobId,
    /// Whose agent.
    pub party: PartyName,
    /// Messages of the protocols, by peer.
    pub peers: BTreeMap<PartyName, EgressPeer>,
    /// Bytes of encryption and packets around all messages.
    pub overhead: u64,
    /// Signed documents.
    pub documents: EgressDocuments,
    /// What was opened, and to whom; and in words what each party learns by it.
    pub opened: Vec<OpenedValue>,
}

/// What went to one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPeer {
    /// Bytes of messages.
    pub messages: u64,
    /// `direct` or `relayed`.
    pub route: String,
}

/// Bytes of signed documents, which the coordinator carries to all parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressDocuments {
    /// The acceptance.
    pub acceptance: u64,
    /// The receipt, and what the log says of the job.
    pub report: u64,
    /// The other parties' checkpoints, signed as seen.
    pub cosignatures: u64,
}
