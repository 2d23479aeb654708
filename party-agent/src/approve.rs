//! From a proposal to an approved plan: this agent's own compilation, this holder's policy and people.
//!
//! The coordinator only carries documents, and any of them may be forged, swapped, old or missing. Therefore
//! each step here can only be taken from the one before it:
//!
//! 1. [`vet`] verifies the proposal's signature against the pins, compiles the plan from the job file and the
//!    verified catalogues, builds the contract that this agent would have written, and compares every field.
//!    The policy has its say too. The result is a [`Vetted`] job.
//! 2. A person or a standing rule agrees: [`Vetted::accept`] signs, with a fresh nonce.
//! 3. When all have signed, [`Vetted::approve`] verifies every acceptance, and only then there is an
//!    [`Approved`] job, which holds the [`Disclosure`]: the one thing that lets a share become a value.

mod person;
mod refusal;
mod work;
mod write;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use coordinator::contract::{
    Acceptance, Contract, Digest, JobId, Nonce, PartyName, PersonalApproval, SignError, Signed,
};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::{Fingerprint, Identity, Pins};
use protocols::disclose::Disclosure;
use protocols::party::{PartyId, Seat};

use crate::catalogue::Catalogue;
use crate::ledger::Person;
use crate::manifest::Manifest;
use crate::net::handshake::{Binding, Epoch};
use crate::page;
use crate::plan::{self, Plan, Procedure, ReleaseRule};
use crate::policy::{Denial, Facts, Loss, Permit, Policy, Questions, Request, StandingRule};
use crate::spec;

pub use person::PersonFault;
pub use refusal::{AcceptanceFault, CatalogueFault, POLICY, Refusal};
pub(crate) use write::party_name;
pub use write::{CONTRACT_SECONDS, Earlier, compile, contract};

/// Clocks of two parties may differ by this much.
const CLOCK_SKEW_S: u64 = 300;

/// Catalogues whose signatures were verified against the pins, with the digests of the signed documents.
pub type Verified = BTreeMap<PartyName, (Digest, Catalogue)>;

/// What this agent knows by itself, without the coordinator's word.
pub struct Desk<'a> {
    /// This agent's identity.
    pub identity: &'a Identity,
    /// The keys that this party's people have pinned.
    pub pins: &'a Pins,
    /// This holder's policy.
    pub policy: &'a Policy,
    /// The catalogues that the job may need, this agent's own among them.
    pub catalogues: &'a Verified,
    /// The clock, and the runs so far by this agent's ledger.
    pub facts: Facts<'a>,
}

/// A proposal that this agent could agree to.
#[derive(Clone, Debug)]
pub struct Vetted {
    contract: Contract,
    digest: Digest,
    plan: Plan,
    me: Seat,
    permit: Permit,
    epoch: Option<Epoch>,
}

/// Who agreed on behalf of this party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approver {
    /// A person, or several where one is not enough.
    Persons(Vec<Person>),
    /// A standing rule of the policy.
    Rule(StandingRule),
    /// The person who rehearses all parties on local data.
    Rehearsal,
}

impl Approver {
    /// What the acceptance says.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Persons(persons) => {
                let names: Vec<&str> = persons.iter().map(|p| p.name.as_str()).collect();
                let plural = if names.len() > 1 { "s" } else { "" };
                format!("person{plural} {}", names.join(" and "))
            }
            Self::Rule(rule) => format!("standing rule {}", rule.id()),
            Self::Rehearsal => "rehearsal".to_owned(),
        }
    }

    fn signed_by(&self) -> Vec<Signed<PersonalApproval>> {
        match self {
            Self::Persons(persons) => persons.iter().filter_map(|p| p.signed.clone()).collect(),
            Self::Rule(_) | Self::Rehearsal => Vec::new(),
        }
    }
}

/// A job that every party has accepted, and this agent may run.
pub struct Approved {
    contract: Contract,
    plan: Plan,
    permit: Permit,
    binding: Binding,
    disclosure: Disclosure,
}

/// The proposer's name and key, by the key that the proposal came with.
///
/// # Errors
/// [`Refusal::UnknownProposer`], [`Refusal::Signature`].
pub fn open(signed: &Signed<Contract>, desk: &Desk<'_>) -> Result<Contract, Refusal> {
    let key = Fingerprint::of(&signed.public_key());
    let name = known_as(&key, desk).ok_or(Refusal::UnknownProposer { key })?;
    let contract = signed.verify(&key).map_err(Refusal::Signature)?;
    if contract.proposer != name {
        return Err(Refusal::Signature(SignError::WrongKey {
            expected: pinned(&contract.proposer, desk).unwrap_or(key),
            got: key,
        }));
    }
    Ok(contract)
}

/// Vets a proposal: everything that can be checked before a person is asked.
///
/// # Errors
/// [`Refusal`], with all reasons of its kind.
pub fn vet(signed: &Signed<Contract>, desk: &Desk<'_>) -> Result<Vetted, Refusal> {
    let contract = open(signed, desk)?;
    let now = desk.facts.now;
    if now > contract.not_after {
        return Err(Refusal::Expired {
            not_after: contract.not_after,
        });
    }
    if contract.created > now.saturating_add(CLOCK_SKEW_S) {
        return Err(Refusal::FromTheFuture {
            created: contract.created,
        });
    }
    check_keys(&contract, desk)?;
    let epoch = epoch(&contract, desk)?;
    let catalogues = contracted_catalogues(&contract, desk)?;
    let checked = spec::check(&contract.spec).map_err(Refusal::Spec)?;
    let plan = plan::compile(&checked, &catalogues).map_err(Refusal::Plan)?;
    let manifest = Manifest::of(&plan.procedure);
    if let Some(parameter) = manifest.out_of_bounds(&plan) {
        return Err(Refusal::OutOfBounds {
            manifest: manifest.id.clone(),
            parameter: parameter.name.clone(),
        });
    }
    let expected = write::rebuild(&contract, &plan, desk)?;
    if let Some(field) = write::first_difference(&expected, &contract) {
        return Err(Refusal::Differs { field });
    }
    let me = contract
        .parties
        .iter()
        .position(|p| p.name == *desk.identity.name())
        .map(Seat::from_index)
        .ok_or(Refusal::NotAParty)?;
    let permit = check_policy(&plan, desk)?;
    Ok(Vetted {
        digest: signed.digest(),
        contract,
        plan,
        me,
        permit,
        epoch,
    })
}

/// The version of the list of revoked keys that this holder keeps to, if none of them is a party's.
fn epoch(contract: &Contract, desk: &Desk<'_>) -> Result<Option<Epoch>, Refusal> {
    let Some(list) = desk.facts.forbidden else {
        return Ok(None);
    };
    let mut parties = contract.parties.iter();
    if let Some(party) = parties.find(|p| list.revoked.contains(&p.fingerprint)) {
        return Err(Refusal::Revoked {
            party: party.name.clone(),
            key: party.fingerprint,
            issuer: list.issuer.clone(),
        });
    }
    let version = list.version;
    Ok(pinned(&list.issuer, desk).map(|issuer| Epoch { issuer, version }))
}

/// Every party of the contract is known here, by the key that the contract gives it.
fn check_keys(contract: &Contract, desk: &Desk<'_>) -> Result<(), Refusal> {
    for party in &contract.parties {
        let known = pinned(&party.name, desk).ok_or_else(|| Refusal::UnknownParty {
            party: party.name.clone(),
        })?;
        if known_as(&party.fingerprint, desk).as_ref() != Some(&party.name) {
            return Err(Refusal::OtherKey {
                party: party.name.clone(),
                known,
                claimed: party.fingerprint,
            });
        }
    }
    Ok(())
}

fn pinned(name: &PartyName, desk: &Desk<'_>) -> Option<Fingerprint> {
    if name == desk.identity.name() {
        return Some(desk.identity.fingerprint());
    }
    desk.pins.find(name).map(|pin| pin.fingerprint)
}

fn known_as(key: &Fingerprint, desk: &Desk<'_>) -> Option<PartyName> {
    if *key == desk.identity.fingerprint() {
        return Some(desk.identity.name().clone());
    }
    desk.pins.name_of(key).cloned()
}

/// The catalogues that the contract names, each the version that this agent holds and has verified. Of their tables those that all parties of
/// the contract see: to a job with anybody else, this holder's own tables too are as if they were not there.
fn contracted_catalogues(
    contract: &Contract,
    desk: &Desk<'_>,
) -> Result<BTreeMap<PartyId, Catalogue>, Refusal> {
    let mut found = BTreeMap::new();
    for (party, digest) in &contract.catalogues {
        let fault = |fault| Refusal::Catalogue {
            party: party.clone(),
            fault,
        };
        let (held, catalogue) = desk
            .catalogues
            .get(party)
            .ok_or_else(|| fault(CatalogueFault::Missing))?;
        if held != digest {
            return Err(fault(CatalogueFault::OtherVersion));
        }
        if catalogue.party.as_str() != party.as_str() {
            return Err(fault(CatalogueFault::OtherParty));
        }
        let parties = contract.parties.iter().map(|p| p.name.as_str());
        found.insert(catalogue.party.clone(), catalogue.among(parties));
    }
    Ok(found)
}

/// What the policy is asked about a plan.
fn request<'a>(plan: &'a Plan, me: &PartyName, facts: Facts<'a>) -> Option<Request<'a>> {
    let (_, local) = plan
        .locals
        .iter()
        .find(|(party, _)| party.as_str() == me.as_str())?;
    Some(Request {
        purpose: &plan.purpose,
        receivers: plan.receivers.iter().map(PartyId::as_str).collect(),
        others: plan
            .parties()
            .map(PartyId::as_str)
            .filter(|party| *party != me.as_str())
            .collect(),
        tables: &local.tables,
        uses: &local.uses,
        min_cell: plan.min_cell.at_least,
        rounds_to: rounds_to(plan),
        opens_counts: plan.shape.rule == ReleaseRule::OpenCounts,
        cohorts: plan.cohorts.as_ref(),
        dominance: plan.dominance.as_ref(),
        lookup: questions(plan, me),
        loss: loss(plan, me),
        work: work::of(plan, local),
        facts,
    })
}

/// To what a plan rounds counts; keys that are looked up are not counted.
fn rounds_to(plan: &Plan) -> Option<u64> {
    match plan.procedure {
        Procedure::Lookup(_) => None,
        _ => Some(plan.rounding.as_ref().map_or(1, |to| to.multiple)),
    }
}

/// What a plan with noise tells others of this party's rows.
fn loss<'a>(plan: &'a Plan, me: &PartyName) -> Option<Loss<'a>> {
    let noise = plan.noise.as_ref()?;
    let told = plan.told().into_iter().map(PartyId::as_str);
    Some(Loss {
        rho_pico: noise.rho_pico,
        told: told.filter(|party| *party != me.as_str()).collect(),
    })
}

/// The questions that a plan asks of this party.
pub(crate) fn questions<'a>(plan: &'a Plan, me: &PartyName) -> Option<Questions<'a>> {
    let Procedure::Lookup(of) = &plan.procedure else {
        return None;
    };
    let seat = plan.seats.iter().position(|s| s.as_str() == me.as_str())?;
    let asked = of.tables.iter().find(|table| table.seat == seat)?;
    Some(Questions {
        table: &asked.table,
        asker: plan.seats.get(of.asker)?.as_str(),
        at_most: of.at_most,
    })
}

/// Everything that a policy has against a plan.
#[must_use]
pub fn denials(plan: &Plan, me: &PartyName, policy: &Policy, facts: Facts<'_>) -> Vec<Denial> {
    permit(plan, me, policy, facts).err().unwrap_or_default()
}

fn permit(
    plan: &Plan,
    me: &PartyName,
    policy: &Policy,
    facts: Facts<'_>,
) -> Result<Permit, Vec<Denial>> {
    match request(plan, me, facts) {
        Some(request) => policy.check(&request),
        None => Ok(Permit::default()),
    }
}

/// A party without data in the job has nothing that its policy could protect; a person or a rule is asked all the same.
fn check_policy(plan: &Plan, desk: &Desk<'_>) -> Result<Permit, Refusal> {
    permit(plan, desk.identity.name(), desk.policy, desk.facts).map_err(Refusal::Policy)
}

impl Vetted {
    /// The contract.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The plan that this agent compiled.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many persons of this party have to approve.
    #[must_use]
    pub fn persons(&self) -> usize {
        self.permit.persons
    }

    /// The standing rule that covers the job, if one has runs left. `runs` tells how often a rule was used.
    #[must_use]
    pub fn standing_rule<'p>(
        &self,
        policy: &'p Policy,
        runs: impl Fn(&StandingRule) -> u64,
    ) -> Option<&'p StandingRule> {
        let receivers: Vec<&str> = self.plan.receivers.iter().map(PartyId::as_str).collect();
        policy.standing_rule(&self.plan.purpose, &receivers, runs)
    }

    /// The page that says in words what is agreed to, by language.
    #[must_use]
    pub fn pages(&self) -> BTreeMap<String, String> {
        page::pages(&self.contract, &self.plan)
    }

    /// Signs this party's acceptance. To be put in the ledger before it is sent anywhere. `seen`: checkpoints of the other parties'
    /// logs; `desk`: who signs, and when.
    ///
    /// # Errors
    /// [`Refusal::Signature`] if the label of the approver is too long to be signed.
    pub fn accept(
        &self,
        approver: &Approver,
        nonce: Nonce,
        seen: Vec<String>,
        desk: (&Identity, u64),
    ) -> Result<(Acceptance, Signed<Acceptance>), Refusal> {
        let (identity, now) = desk;
        let acceptance = Acceptance {
            job_id: self.contract.job_id,
            party: identity.name().clone(),
            contract: self.digest,
            plan: self.contract.plan,
            nonce,
            approved_by: approver.label(),
            signed_by: approver.signed_by(),
            pages: page::digests(&self.pages()),
            seen,
            at: now,
        };
        let signed = Signed::sign(&acceptance, identity).map_err(Refusal::Signature)?;
        Ok((acceptance, signed))
    }

    /// Verifies the acceptances of all parties, this party's own against its ledger, and takes the seat.
    ///
    /// # Errors
    /// [`Refusal::Acceptance`] for one that is missing, doubled, forged or made for something else.
    pub fn approve(
        self,
        own: &Signed<Acceptance>,
        all: &[Signed<Acceptance>],
    ) -> Result<Approved, Refusal> {
        let parties = &self.contract.parties;
        let pages = page::digests(&self.pages());
        let mut nonces = Vec::with_capacity(parties.len());
        for (i, party) in parties.iter().enumerate() {
            let fault = |fault| Refusal::Acceptance {
                party: party.name.clone(),
                fault,
            };
            let by_party =
                |a: &&Signed<Acceptance>| Fingerprint::of(&a.public_key()) == party.fingerprint;
            let signed = match all.iter().filter(by_party).collect::<Vec<_>>()[..] {
                [] => return Err(fault(AcceptanceFault::Missing)),
                [one] => one,
                _ => return Err(fault(AcceptanceFault::Twice)),
            };
            let acceptance = signed
                .verify(&party.fingerprint)
                .map_err(|e| fault(AcceptanceFault::Signature(e)))?;
            let same = acceptance.job_id == self.contract.job_id
                && acceptance.party == party.name
                && acceptance.contract == self.digest
                && acceptance.plan == self.contract.plan;
            if !same {
                return Err(fault(AcceptanceFault::OtherContract));
            }
            if acceptance.pages != pages {
                return Err(fault(AcceptanceFault::OtherPage));
            }
            if !acceptance.seen.iter().all(|note| self.is_signed(note, all)) {
                return Err(fault(AcceptanceFault::Seen));
            }
            if Seat::from_index(i) == self.me && signed != own {
                return Err(fault(AcceptanceFault::NotInLedger));
            }
            nonces.push(acceptance.nonce);
        }
        if all.len() != parties.len() {
            return Err(Refusal::StrangeAcceptance);
        }
        Ok(self.seated(nonces))
    }

    /// Whether a note is the checkpoint of a party's log, signed with the key with which this party has accepted.
    fn is_signed(&self, note: &str, all: &[Signed<Acceptance>]) -> bool {
        let Ok(note) = SignedCheckpoint::parse(note) else {
            return false;
        };
        let owner = self.contract.party(&note.claimed().party);
        all.iter().map(Signed::public_key).any(|key| {
            owner.is_some_and(|owner| owner.fingerprint == Fingerprint::of(&key))
                && note.verify(&key).is_ok()
        })
    }

    fn seated(self, nonces: Vec<Nonce>) -> Approved {
        let parties = &self.contract.parties;
        let receivers = self.plan.receivers.iter().filter_map(|r| {
            let seat = parties.iter().position(|p| p.name.as_str() == r.as_str())?;
            Some(Seat::from_index(seat))
        });
        // The receivers are those of the contract's seats, so that a plan which counts seats differently opens nothing.
        // The one place where a disclosure is issued: after policy, people and everybody's signature.
        let disclosure = Disclosure::approved(self.plan.terms(receivers.collect()));
        let binding = Binding {
            job_id: self.contract.job_id,
            contract: self.digest,
            plan: self.contract.plan,
            nonces,
            parties: parties
                .iter()
                .map(|p| (p.name.clone(), p.fingerprint))
                .collect(),
            me: self.me,
            epoch: self.epoch,
        };
        Approved {
            contract: self.contract,
            plan: self.plan,
            permit: self.permit,
            binding,
            disclosure,
        }
    }
}

impl Approved {
    /// The job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.contract.job_id
    }

    /// The contract.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What this holder's policy attaches to the run.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the connections of this run are bound to.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Takes the approval apart: it is used for one run.
    pub(crate) fn into_parts(self) -> (Contract, Plan, Binding, Disclosure) {
        (self.contract, self.plan, self.binding, self.disclosure)
    }
}
