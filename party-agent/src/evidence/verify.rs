//! Verification of a file: all checks, in their order, from its bytes alone.

use std::collections::BTreeMap;

use coordinator::contract::{Contract, Digest, JobId, PartyName, Signed, canonical};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::{Fingerprint, Pins};
use serde::Serialize;

use super::parts::{self, Seat};
use super::{
    Certificate, Check, EVIDENCE_FORMAT, Evidence, Fault, MAX_BYTES, Section, attested, provenance,
};
use crate::page;
use crate::receipt::{Receipt, commit};

/// What a file shows that was found in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// Its purpose.
    pub purpose: String,
    /// Who exported the file.
    pub exporter: PartyName,
    /// The parties' keys. Whether they are theirs, the reader knows from elsewhere, unless `trusted`.
    pub parties: BTreeMap<PartyName, Fingerprint>,
    /// Whether the keys were compared with a list of trusted ones.
    pub trusted: bool,
    /// Who approved, by party.
    pub approved_by: BTreeMap<PartyName, String>,
    /// Entries of logs that were found in them.
    pub n_entries: usize,
    /// Signatures of witnesses under checkpoints.
    pub n_cosignatures: usize,
    /// SHA-256 of `result.json`, if the exporter received it.
    pub result: Option<Digest>,
    /// The five sections for a notary; none in a file of before they were made.
    pub sections: Vec<Section>,
    /// The certificate of performance, as its exporter has signed it.
    #[serde(skip)]
    pub certificate: Option<Signed<Certificate>>,
}

/// Verifies an evidence file. Needs nothing but its bytes; with `trust`, the parties' keys are compared with it too.
///
/// # Errors
/// The first check that fails.
pub fn verify(bytes: &[u8], trust: Option<&Pins>) -> Result<Verified, Fault> {
    let evidence: Evidence = canonical::decode(bytes, MAX_BYTES)
        .map_err(|error| Check::Form.fault(error.to_string()))?;
    if evidence.format != EVIDENCE_FORMAT {
        return Err(Check::Form.fault("the format is not the one that this version reads"));
    }
    let contract = parts::contract(&evidence.contract)?;
    if let Some(pins) = trust {
        trusted(&contract, pins)?;
    }
    let digest = evidence.contract.digest();
    let seats = parts::seats(&contract, &digest, &evidence.acceptances)?;
    documents(&evidence, &contract, &seats)?;
    let receipts = receipts(&evidence, &contract, &seats)?;
    output(&evidence, &receipts)?;
    let (n_entries, n_cosignatures) = logs(&evidence, &contract, &seats)?;
    provenance::verify(&evidence, &contract)?;
    attested::verify(&evidence, &contract, &seats)?;
    seal(&evidence, &contract)?;
    let parties = contract.parties.iter();
    let approvals = seats.iter();
    let (sections, certificate) = match evidence.attested {
        Some(attested) => (attested.sections, Some(attested.certificate)),
        None => (Vec::new(), None),
    };
    Ok(Verified {
        job_id: contract.job_id,
        job: contract.job.clone(),
        purpose: contract.purpose.clone(),
        exporter: evidence.exporter.clone(),
        parties: parties.map(|p| (p.name.clone(), p.fingerprint)).collect(),
        trusted: trust.is_some(),
        approved_by: approvals
            .map(|s| (s.party.name.clone(), s.acceptance.approved_by.clone()))
            .collect(),
        n_entries,
        n_cosignatures,
        result: evidence.output.map(|output| output.result),
        sections,
        certificate,
    })
}

pub(super) fn trusted(contract: &Contract, pins: &Pins) -> Result<(), Fault> {
    for party in &contract.parties {
        let what = match pins.find(&party.name) {
            Some(pin) if pin.holds_at(&party.fingerprint, contract.created) => continue,
            Some(pin) => format!("{} is trusted by key {}", party.name, pin.fingerprint),
            None => format!("{} is not in the list", party.name),
        };
        return Err(Check::Trust.fault(what));
    }
    Ok(())
}

/// Whether the pages are those that every acceptance names, and the plan is the contract's.
pub(super) fn pages_and_plan(
    pages: &BTreeMap<String, String>,
    plan: &str,
    contract: &Contract,
    seats: &[Seat<'_>],
) -> Result<(), Fault> {
    let pages = page::digests(pages);
    let other = seats.iter().find(|seat| seat.acceptance.pages != pages);
    if let Some(seat) = other {
        return Err(Check::Page.fault(format!("{} approved another one", seat.party.name)));
    }
    match Digest::of(plan.as_bytes()) == contract.plan {
        true => Ok(()),
        false => Err(Check::Plan.fault("its digest is not the one in the contract")),
    }
}

/// Pages, plan and the list of opened values.
fn documents(evidence: &Evidence, contract: &Contract, seats: &[Seat<'_>]) -> Result<(), Fault> {
    pages_and_plan(&evidence.pages, &evidence.plan, contract, seats)?;
    if parts::opened(&evidence.plan)? != evidence.opened {
        return Err(Check::Opened.fault("an entry was added, removed or changed"));
    }
    Ok(())
}

fn receipts(
    evidence: &Evidence,
    contract: &Contract,
    seats: &[Seat<'_>],
) -> Result<BTreeMap<PartyName, Receipt>, Fault> {
    let mut receipts = BTreeMap::new();
    for seat in seats {
        let name = &seat.party.name;
        let signed = evidence.receipts.get(name);
        let signed = signed.ok_or_else(|| Check::Receipts.fault(format!("none of {name}")))?;
        let receipt = parts::receipt(contract, seats, seat, signed)?;
        if receipt
            .resumed
            .is_some_and(|r| contract.resumes != Some(r.job_id))
        {
            let what = format!("{name} went on with a job that the contract does not name");
            return Err(Check::Receipts.fault(what));
        }
        receipts.insert(name.clone(), receipt);
    }
    if evidence.receipts.len() != seats.len() {
        return Err(Check::Receipts.fault("there is one of a stranger"));
    }
    parts::traffic(&receipts)?;
    Ok(receipts)
}

fn output(evidence: &Evidence, receipts: &BTreeMap<PartyName, Receipt>) -> Result<(), Fault> {
    let receipt = receipts.get(&evidence.exporter);
    let receipt = receipt.ok_or_else(|| Check::Output.fault("the exporter is no party"))?;
    let shown = evidence.output.as_ref().map(|o| commit(&o.salt, &o.result));
    match shown == receipt.output {
        true => Ok(()),
        false => Err(Check::Output.fault(format!("of {}", evidence.exporter))),
    }
}

/// Returns the number of entries and of witnesses' signatures.
fn logs(
    evidence: &Evidence,
    contract: &Contract,
    seats: &[Seat<'_>],
) -> Result<(usize, usize), Fault> {
    let (mut n_entries, mut n_cosignatures) = (0, 0);
    let mut shown = Vec::with_capacity(seats.len());
    for seat in seats {
        let log = evidence.logs.get(&seat.party.name);
        let log =
            log.ok_or_else(|| Check::Checkpoint.fault(format!("none of {}", seat.party.name)))?;
        shown.push((seat, log, parts::checkpoint(seat, log)?));
    }
    if evidence.logs.len() != seats.len() {
        return Err(Check::Checkpoint.fault("there is one of a stranger"));
    }
    for (seat, _, (note, _)) in &shown {
        for witness in seats.iter().filter(|w| w.party.name != seat.party.name) {
            if note.seen_by(&witness.party.name, &witness.key).is_none() {
                let what = format!("{} by {}", seat.party.name, witness.party.name);
                return Err(Check::Witness.fault(what));
            }
            n_cosignatures += 1;
        }
    }
    for (seat, log, (_, checkpoint)) in &shown {
        let events = parts::entries(seat, log, checkpoint)?;
        n_entries += events.len();
        let receipt = evidence.receipts.get(&seat.party.name).map(|r| r.digest());
        parts::course(contract, seat, &receipt.unwrap_or(Digest([0; 32])), &events)?;
    }
    for (seat, log, (_, checkpoint)) in &shown {
        for other in seats.iter().filter(|w| w.party.name != seat.party.name) {
            let seen = promised(other, seat)?;
            if let Err((_, old)) = parts::grown(&seen, &seen, checkpoint, &log.growth) {
                let name = &seat.party.name;
                let what = format!(
                    "{name}: {} saw another log of {} entries",
                    other.party.name, old.size
                );
                return Err(Check::Growth.fault(what));
            }
        }
    }
    Ok((n_entries, n_cosignatures))
}

/// What a party said in its acceptance that it had seen of another one's log.
fn promised(by: &Seat<'_>, of: &Seat<'_>) -> Result<Vec<SignedCheckpoint>, Fault> {
    let mut seen = Vec::new();
    for note in &by.acceptance.seen {
        let unsigned = || Check::Growth.fault(format!("{} shows no checkpoint", by.party.name));
        let note = SignedCheckpoint::parse(note).map_err(|_| unsigned())?;
        if note.claimed().party == of.party.name {
            note.verify(&of.key).map_err(|_| unsigned())?;
            seen.push(note);
        }
    }
    Ok(seen)
}

fn seal(evidence: &Evidence, contract: &Contract) -> Result<(), Fault> {
    let exporter = contract.party(&evidence.exporter);
    let exporter = exporter.ok_or_else(|| Check::Seal.fault("the exporter is no party"))?;
    let seal = evidence.seal.verify(&exporter.fingerprint);
    let seal = seal.map_err(|error| Check::Seal.fault(error.to_string()))?;
    match seal.digest == parts::digest_without_seal(evidence)? {
        true => Ok(()),
        false => Err(Check::Seal.fault("a field outside the signed documents was changed")),
    }
}
