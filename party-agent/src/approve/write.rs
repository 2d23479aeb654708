//! The contract that belongs to a plan: written by the proposer, and again by every other agent to compare.

use std::collections::BTreeMap;

use coordinator::contract::{
    CONTRACT_FORMAT, Contract, ContractParty, Digest, JobId, PartyName, PartyRole,
};
use protocols::party::PartyId;

use super::{CatalogueFault, Desk, Refusal, Verified, pinned};
use crate::plan::{self, Plan, PlanFault};
use crate::spec::CheckedSpec;

/// How long the parties have to accept: three days, so that a weekend is no reason to submit again.
pub const CONTRACT_SECONDS: u64 = 3 * 24 * 3600;

/// The earlier job of the same proposer that a contract is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Earlier {
    /// None.
    #[default]
    No,
    /// Its place is taken.
    Superseded(JobId),
    /// It broke off, and is gone on with.
    Resumed(JobId),
}

/// Writes the contract of a job that this agent proposes, and which may take the place of an earlier one or go on with it.
///
/// # Errors
/// [`Refusal::UnknownParty`] for a party that is not pinned here, [`Refusal::Catalogue`] for a holder whose
/// catalogue is missing.
pub fn contract(
    (job_id, earlier): (JobId, Earlier),
    spec: &str,
    plan: &Plan,
    desk: &Desk<'_>,
) -> Result<Contract, Refusal> {
    let frame = Contract {
        format: CONTRACT_FORMAT,
        job_id,
        job: String::new(),
        purpose: String::new(),
        spec: spec.to_owned(),
        proposer: desk.identity.name().clone(),
        parties: Vec::new(),
        receivers: Vec::new(),
        catalogues: BTreeMap::new(),
        plan: Digest([0; 32]),
        created: desk.facts.now,
        not_after: desk.facts.now + CONTRACT_SECONDS,
        supersedes: match earlier {
            Earlier::Superseded(earlier) => Some(earlier),
            Earlier::No | Earlier::Resumed(_) => None,
        },
        resumes: match earlier {
            Earlier::Resumed(earlier) => Some(earlier),
            Earlier::No | Earlier::Superseded(_) => None,
        },
    };
    rebuild(&frame, plan, desk)
}

/// The contract as this agent would write it: from `frame` what the proposer alone decides (job id, proposer,
/// times, the job file, the earlier job that it is about), and everything else from the plan and this agent's own knowledge.
pub(super) fn rebuild(frame: &Contract, plan: &Plan, desk: &Desk<'_>) -> Result<Contract, Refusal> {
    let mut catalogues = BTreeMap::new();
    for holder in plan.locals.keys() {
        let name = party_name(holder);
        let (digest, _) = desk
            .catalogues
            .get(&name)
            .ok_or_else(|| Refusal::Catalogue {
                party: name.clone(),
                fault: CatalogueFault::Missing,
            })?;
        catalogues.insert(name, *digest);
    }
    Ok(Contract {
        format: CONTRACT_FORMAT,
        job_id: frame.job_id,
        job: plan.job.clone(),
        purpose: plan.purpose.clone(),
        spec: frame.spec.clone(),
        proposer: frame.proposer.clone(),
        parties: parties(plan, desk)?,
        receivers: plan.receivers.iter().map(party_name).collect(),
        catalogues,
        plan: plan.digest(),
        created: frame.created,
        not_after: frame.not_after,
        supersedes: frame.supersedes,
        resumes: frame.resumes,
    })
}

/// The parties in the order of seats.
fn parties(plan: &Plan, desk: &Desk<'_>) -> Result<Vec<ContractParty>, Refusal> {
    let seats = plan.seats.iter().map(|party| {
        let role = if plan.locals.contains_key(party) {
            PartyRole::Holder
        } else {
            PartyRole::Receiver
        };
        (party, role, true)
    });
    let dealer = plan
        .dealer
        .iter()
        .map(|party| (party, PartyRole::Dealer, false));
    seats
        .chain(dealer)
        .map(|(party, role, computing)| {
            let name = party_name(party);
            let fingerprint = pinned(&name, desk).ok_or_else(|| Refusal::UnknownParty {
                party: name.clone(),
            })?;
            Ok(ContractParty {
                name,
                fingerprint,
                role,
                computing,
            })
        })
        .collect()
}

/// Compiles a job file as its proposer: with all that is known first, which tells who the holders are, and then
/// with their catalogues alone and what all parties of the job see of them, as every other agent will. The plan, and those catalogues.
///
/// # Errors
/// All reasons why the job cannot be planned.
pub fn compile(spec: &CheckedSpec, known: &Verified) -> Result<(Plan, Verified), Vec<PlanFault>> {
    let bodies = |verified: &Verified| {
        let catalogues = verified.values().map(|(_, c)| (c.party.clone(), c.clone()));
        catalogues.collect()
    };
    let first = plan::compile(spec, &bodies(known))?;
    let holders = known.iter().filter_map(|(name, (digest, catalogue))| {
        first.locals.contains_key(&catalogue.party).then_some(())?;
        let seen = catalogue.among(first.parties().map(PartyId::as_str));
        Some((name.clone(), (*digest, seen)))
    });
    let holders: Verified = holders.collect();
    let hidden = hidden(&first, known);
    if !hidden.is_empty() {
        return Err(hidden);
    }
    let plan = plan::compile(spec, &bodies(&holders))?;
    Ok((plan, holders))
}

/// The tables of a plan that a party of it does not see. Only this agent's own people are told so: others would hear of tables
/// that are not for them.
fn hidden(plan: &Plan, known: &Verified) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    for (_, catalogue) in known.values() {
        let Some(local) = plan.locals.get(&catalogue.party) else {
            continue;
        };
        for table in &local.tables {
            let Some(entry) = catalogue.tables.get(table) else {
                continue;
            };
            let others = plan.parties().filter(|party| **party != catalogue.party);
            for party in others.filter(|party| !entry.is_for(party.as_str())) {
                faults.push(PlanFault {
                    place: "compute".to_owned(),
                    what: format!(
                        "{party} takes part and may not see {}.{table}",
                        catalogue.party
                    ),
                    fix: format!(
                        "leave {party} out, or ask {} to list it under visible_to",
                        catalogue.party
                    ),
                });
            }
        }
    }
    faults
}

pub(crate) fn party_name(party: &PartyId) -> PartyName {
    PartyName::new(party.as_str()).expect("both kinds of name follow the same rule")
}

/// The first field in which two contracts differ.
pub(super) fn first_difference(expected: &Contract, found: &Contract) -> Option<&'static str> {
    let Contract {
        format,
        job_id,
        job,
        purpose,
        spec,
        proposer,
        parties,
        receivers,
        catalogues,
        plan,
        created,
        not_after,
        supersedes,
        resumes,
    } = expected;
    let fields = [
        ("format", *format == found.format),
        ("job_id", *job_id == found.job_id),
        ("job", *job == found.job),
        ("purpose", *purpose == found.purpose),
        ("spec", *spec == found.spec),
        ("proposer", *proposer == found.proposer),
        ("parties", *parties == found.parties),
        ("receivers", *receivers == found.receivers),
        ("catalogues", *catalogues == found.catalogues),
        ("plan", *plan == found.plan),
        ("created", *created == found.created),
        ("not_after", *not_after == found.not_after),
        ("supersedes", *supersedes == found.supersedes),
        ("resumes", *resumes == found.resumes),
    ];
    fields
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| field)
}
