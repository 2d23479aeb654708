//! What parties agree on, as signed statements.
//!
//! A [`Contract`] is written by its proposer. Every party, the proposer included, compiles the plan itself, and answers with
//! an [`Acceptance`] or a [`Rejection`]. A job runs only with the acceptances of all its parties, and every agent verifies
//! all of them itself: the coordinator only carries them.

pub mod canonical;
mod directed;
mod names;
mod person;
mod sign;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use directed::{Directed, MAX_DIRECTED, MAX_DIRECTED_BYTES, Published};
pub use names::{Digest, JobId, NameError, Nonce, PartyName, PublicKey, SignatureBytes};
pub use person::{MAX_PERSONS, PersonalApproval, named};
pub(crate) use sign::signed_bytes;
pub use sign::{SignError, Signed, Statement, StatementError, verify};

use crate::tls::Fingerprint;

/// The version of the contract format that this build writes and reads.
pub const CONTRACT_FORMAT: u16 = 1;

/// The most parties a contract may name.
pub const MAX_PARTIES: usize = 32;

/// The most checkpoints in an acceptance: two of each party.
pub const MAX_SEEN: usize = 2 * MAX_PARTIES;

/// What a party does in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyRole {
    /// Brings data.
    Holder,
    /// Brings none; gets the result.
    Receiver,
    /// Deals correlated randomness. Must not collude with any holder.
    Dealer,
}

/// One party of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractParty {
    /// Its name.
    pub name: PartyName,
    /// Its key. An agent refuses a contract in which this differs from the key that it pinned under the name.
    pub fingerprint: Fingerprint,
    /// What it does.
    pub role: PartyRole,
    /// Does it hold shares during the computation?
    pub computing: bool,
}

/// A job as proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// [`CONTRACT_FORMAT`].
    pub format: u16,
    /// Drawn at random by the proposer.
    pub job_id: JobId,
    /// The job's name.
    pub job: String,
    /// What it is for, in words that an approver reads.
    pub purpose: String,
    /// The job file, verbatim.
    pub spec: String,
    /// Who proposes; a party of the contract.
    pub proposer: PartyName,
    /// In the order of seats: computing parties by name, then the others by name, a dealer last.
    pub parties: Vec<ContractParty>,
    /// Who gets the result, sorted by name; each a party.
    pub receivers: Vec<PartyName>,
    /// The catalogue of each holder that the plan was compiled against.
    pub catalogues: BTreeMap<PartyName, Digest>,
    /// Digest of the plan that every agent must arrive at by itself.
    pub plan: Digest,
    /// When it was written, Unix seconds.
    pub created: u64,
    /// The job must have started by then, Unix seconds.
    pub not_after: u64,
    /// The job of the same proposer whose place this one takes: whoever accepts this withdraws from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<JobId>,
    /// The job of the same proposer, broken off since, that this one goes on with: same plan, fresh session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<JobId>,
}

impl Contract {
    /// SHA-256 of the canonical bytes.
    ///
    /// # Panics
    /// If a number is beyond 2^53 − 1: [`Statement::check`] refuses such a contract, and every contract read from a peer was checked.
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical::encode(self).expect("checked contracts have a canonical form"))
    }

    /// The party of this name.
    pub fn party(&self, name: &PartyName) -> Option<&ContractParty> {
        self.parties.iter().find(|p| p.name == *name)
    }

    fn check_parties(&self) -> Result<(), StatementError> {
        let order = |p: &ContractParty| (!p.computing, p.role == PartyRole::Dealer, p.name.clone());
        let names: BTreeSet<_> = self.parties.iter().map(|p| &p.name).collect();
        let keys: BTreeSet<_> = self.parties.iter().map(|p| &p.fingerprint).collect();
        let dealers = self.parties.iter().filter(|p| p.role == PartyRole::Dealer);
        ensure(
            (2..=MAX_PARTIES).contains(&self.parties.len()),
            "a contract names 2 to 32 parties",
        )?;
        ensure(
            names.len() == self.parties.len(),
            "a contract names a party twice",
        )?;
        ensure(
            keys.len() == self.parties.len(),
            "two parties of a contract have the same key",
        )?;
        ensure(
            self.parties.is_sorted_by_key(order),
            "parties stand in the order of seats: computing ones by name, then the others, a dealer last",
        )?;
        ensure(
            dealers.clone().count() <= 1,
            "a contract has at most one dealer",
        )?;
        ensure(
            dealers.clone().all(|d| !d.computing),
            "a dealer holds no shares",
        )?;
        ensure(
            names.contains(&self.proposer),
            "the proposer is not a party",
        )
    }
}

impl Statement for Contract {
    const CONTEXT: &'static str = "entente/v1/contract/proposal";
    const MAX_BYTES: usize = 1 << 20;

    fn check(&self) -> Result<(), StatementError> {
        ensure(
            self.format == CONTRACT_FORMAT,
            "the contract format is not the one that this version reads",
        )?;
        ensure(
            !self.job.is_empty() && self.job.len() <= 128,
            "a job name has 1 to 128 bytes",
        )?;
        ensure(
            self.purpose.len() <= 4096,
            "a purpose has at most 4096 bytes",
        )?;
        ensure(
            self.spec.len() <= 256 << 10,
            "a job file has at most 256 KiB",
        )?;
        self.check_parties()?;
        let is_party = |name: &PartyName| self.party(name).is_some();
        let is_holder = |name: &PartyName| {
            self.party(name)
                .is_some_and(|p| p.role == PartyRole::Holder)
        };
        ensure(!self.receivers.is_empty(), "a contract has a receiver")?;
        ensure(
            self.receivers.is_sorted_by(|a, b| a < b),
            "receivers are sorted by name, each named once",
        )?;
        ensure(
            self.receivers.iter().all(is_party),
            "a receiver is not a party",
        )?;
        ensure(
            self.catalogues.keys().all(is_holder),
            "a catalogue belongs to no holder of the contract",
        )?;
        ensure(
            self.created < self.not_after,
            "the contract expires before it is written",
        )?;
        ensure(
            self.not_after <= canonical::MAX_INTEGER,
            "the time of expiry is out of range",
        )?;
        ensure(
            self.supersedes != Some(self.job_id),
            "a job cannot take its own place",
        )?;
        ensure(
            self.resumes != Some(self.job_id),
            "a job cannot go on with itself",
        )?;
        ensure(
            self.resumes.is_none() || self.supersedes.is_none(),
            "a job that goes on with an earlier one does not take the place of another",
        )
    }
}

/// A party's signature under a contract and the plan that it compiled itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The job.
    pub job_id: JobId,
    /// Who accepts.
    pub party: PartyName,
    /// Digest of the contract's canonical bytes.
    pub contract: Digest,
    /// Digest of the plan that this party compiled. Equal to the contract's, or the party would have rejected.
    pub plan: Digest,
    /// Fresh randomness for the session id. The first acceptance of a party counts; a later one with another nonce does not replace it.
    pub nonce: Nonce,
    /// The person or standing rule that approved.
    pub approved_by: String,
    /// SHA-256 of the page that says in words what is agreed to, by language.
    pub pages: BTreeMap<String, Digest>,
    /// The approvals of persons by keys of their own, where the party's policy lists such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<Signed<PersonalApproval>>,
    /// What this party has last seen of the other parties' logs: signed checkpoints, as notes. Their owners prove with the
    /// receipt that their logs have only grown since.
    pub seen: Vec<String>,
    /// When, Unix seconds.
    pub at: u64,
}

impl Statement for Acceptance {
    const CONTEXT: &'static str = "entente/v1/contract/acceptance";
    const MAX_BYTES: usize = 64 << 10;

    fn check(&self) -> Result<(), StatementError> {
        ensure(
            self.approved_by.len() <= 512,
            "`approved_by` has at most 512 bytes",
        )?;
        ensure(
            self.pages.len() <= 8,
            "a page is in at most eight languages",
        )?;
        ensure(
            self.seen.len() <= MAX_SEEN,
            "an acceptance holds at most two checkpoints of each party",
        )?;
        person::check(self)
    }
}

/// A party's refusal to take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The job.
    pub job_id: JobId,
    /// Who rejects.
    pub party: PartyName,
    /// A short code for programs: `a-z`, `0-9` and `_`.
    pub code: String,
    /// The reason, for people. Says nothing about data.
    pub reason: String,
}

impl Statement for Rejection {
    const CONTEXT: &'static str = "entente/v1/contract/rejection";
    const MAX_BYTES: usize = 8192;

    fn check(&self) -> Result<(), StatementError> {
        ensure(
            PartyName::new(self.code.as_str()).is_ok(),
            "a code has 1 to 32 characters of a-z, 0-9 and _",
        )?;
        ensure(self.reason.len() <= 4096, "a reason has at most 4096 bytes")
    }
}

/// What a holder publishes about its tables. The body belongs to the agents; the coordinator only carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueDoc {
    /// Whose catalogue.
    pub party: PartyName,
    /// Grows with every change, so that an old catalogue cannot be shown for a new one.
    pub version: u64,
    /// JSON, as the agents define it.
    pub body: String,
    /// Salted digests of what only some parties are shown ([`Directed`]), sorted, among others that stand for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directed: Vec<Digest>,
}

impl CatalogueDoc {
    /// SHA-256 of the canonical bytes.
    ///
    /// # Panics
    /// If `version` is beyond 2^53 − 1, which [`Statement::check`] refuses.
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical::encode(self).expect("checked catalogues have a canonical form"))
    }
}

impl Statement for CatalogueDoc {
    const CONTEXT: &'static str = "entente/v1/contract/catalogue";
    const MAX_BYTES: usize = 2 << 20;

    fn check(&self) -> Result<(), StatementError> {
        ensure(
            self.version <= canonical::MAX_INTEGER,
            "the version is out of range",
        )?;
        ensure(
            self.directed.len() <= MAX_DIRECTED && self.directed.is_sorted_by(|a, b| a < b),
            "a catalogue names at most 256 descriptions, sorted by digest, each once",
        )
    }
}

fn ensure(holds: bool, rule: &'static str) -> Result<(), StatementError> {
    if holds {
        Ok(())
    } else {
        Err(StatementError(rule))
    }
}
