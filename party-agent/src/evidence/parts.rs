//! The checks of single documents. An agent makes them when it gathers evidence, a reader when it verifies a file.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::contract::{
    Acceptance, Contract, ContractParty, Digest, PartyName, PublicKey, Signed, canonical,
};
use coordinator::log::merkle;
use coordinator::log::{Checkpoint, SignedCheckpoint};
use coordinator::tls::{Fingerprint, Identity};
use serde_json::Value;

use super::{Check, Evidence, Fault, OpenedValue, Report, Seal, places};
use crate::ledger::log::{AlarmKind, Entry, Event, Growth, LogShown};
use crate::net::handshake::session_id;
use crate::receipt::Receipt;

/// The longest entry of a log that is read.
const MAX_ENTRY_BYTES: usize = 4096;

/// One party with its acceptance.
#[derive(Clone, Debug)]
pub struct Seat<'a> {
    /// As the contract has it.
    pub party: &'a ContractParty,
    /// Its key, whose fingerprint the contract names.
    pub key: PublicKey,
    /// Its acceptance.
    pub acceptance: Acceptance,
    /// Digest of the acceptance.
    pub digest: Digest,
}

pub(super) fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    canonical::encode(value).map_err(|error| Check::Form.fault(error.to_string()))
}

pub(super) fn digest_without_seal(evidence: &Evidence) -> Result<Digest, Fault> {
    let value = serde_json::to_value(evidence);
    let mut value = value.map_err(|error| Check::Form.fault(error.to_string()))?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("seal");
    }
    Ok(Digest::of(&encode(&value)?))
}

pub(super) fn sealed(digest: &Digest, identity: &Identity) -> Result<Signed<Seal>, Fault> {
    Signed::sign(&Seal { digest: *digest }, identity)
        .map_err(|error| Check::Seal.fault(error.to_string()))
}

/// The contract, if its proposer has signed it.
pub(super) fn contract(signed: &Signed<Contract>) -> Result<Contract, Fault> {
    let key = Fingerprint::of(&signed.public_key());
    let contract = signed.verify(&key);
    let contract = contract.map_err(|error| Check::Contract.fault(error.to_string()))?;
    let proposer = contract.party(&contract.proposer);
    match proposer.is_some_and(|party| party.fingerprint == key) {
        true => Ok(contract),
        false => Err(Check::Contract.fault("it is signed with another key than the proposer's")),
    }
}

/// The acceptances in the order of seats; those of strangers last.
pub(super) fn in_order(
    contract: &Contract,
    acceptances: &[Signed<Acceptance>],
) -> Vec<Signed<Acceptance>> {
    let seat = |signed: &Signed<Acceptance>| {
        let key = Fingerprint::of(&signed.public_key());
        let mut parties = contract.parties.iter();
        parties
            .position(|p| p.fingerprint == key)
            .unwrap_or(usize::MAX)
    };
    let mut sorted = acceptances.to_vec();
    sorted.sort_by_key(seat);
    sorted
}

/// Every party with its acceptance of this contract.
///
/// # Errors
/// [`Check::Approvals`], [`Check::Approval`].
pub fn seats<'a>(
    contract: &'a Contract,
    digest: &Digest,
    acceptances: &[Signed<Acceptance>],
) -> Result<Vec<Seat<'a>>, Fault> {
    let mut seats = Vec::with_capacity(contract.parties.len());
    for party in &contract.parties {
        let of = |fault: &str| format!("{}: {fault}", party.name);
        let by_party =
            |a: &&Signed<Acceptance>| Fingerprint::of(&a.public_key()) == party.fingerprint;
        let signed = match acceptances.iter().filter(by_party).collect::<Vec<_>>()[..] {
            [] => return Err(Check::Approvals.fault(of("its approval is missing"))),
            [one] => one,
            _ => return Err(Check::Approvals.fault(of("its approval is there twice"))),
        };
        let acceptance = signed
            .verify(&party.fingerprint)
            .map_err(|error| Check::Approval.fault(of(&error.to_string())))?;
        let is_for_it = acceptance.job_id == contract.job_id
            && acceptance.party == party.name
            && acceptance.contract == *digest
            && acceptance.plan == contract.plan;
        if !is_for_it {
            return Err(Check::Approval.fault(of("it is for another contract or plan")));
        }
        seats.push(Seat {
            party,
            key: signed.public_key(),
            acceptance,
            digest: signed.digest(),
        });
    }
    match acceptances.len() == seats.len() {
        true => Ok(seats),
        false => Err(Check::Approvals.fault("there is an approval of a stranger")),
    }
}

/// A party's receipt of this run.
pub(super) fn receipt(
    contract: &Contract,
    seats: &[Seat<'_>],
    seat: &Seat<'_>,
    signed: &Signed<Receipt>,
) -> Result<Receipt, Fault> {
    let of = |fault: &str| Check::Receipt.fault(format!("{}: {fault}", seat.party.name));
    let receipt = signed
        .verify(&seat.party.fingerprint)
        .map_err(|error| of(&error.to_string()))?;
    let nonces: Vec<_> = seats.iter().map(|s| s.acceptance.nonce).collect();
    let session = session_id(&seat.acceptance.contract, &nonces);
    let is_of_it = receipt.job_id == contract.job_id
        && receipt.party == seat.party.name
        && receipt.contract == seat.acceptance.contract
        && receipt.plan == contract.plan
        && receipt.session.0 == session;
    let is_receiver = contract.receivers.contains(&receipt.party);
    match (is_of_it, receipt.output.is_some() == is_receiver) {
        (true, true) => Ok(receipt),
        (false, _) => Err(of("it is of another contract, plan or run")),
        (true, false) => Err(of("a receiver commits to its result, and nobody else")),
    }
}

/// A party's signed checkpoint.
pub(super) fn checkpoint(
    seat: &Seat<'_>,
    shown: &LogShown,
) -> Result<(SignedCheckpoint, Checkpoint), Fault> {
    let of = |fault: &str| Check::Checkpoint.fault(format!("{}: {fault}", seat.party.name));
    let note = SignedCheckpoint::parse(&shown.checkpoint).map_err(|e| of(&e.to_string()))?;
    let checkpoint = note.verify(&seat.key).map_err(|e| of(&e.to_string()))?;
    if checkpoint.party != seat.party.name {
        return Err(of("it is of another party's log"));
    }
    let checkpoint = checkpoint.clone();
    Ok((note, checkpoint))
}

/// The entries that a party shows: each in the log, in order, and all about this job.
pub(super) fn entries(
    seat: &Seat<'_>,
    shown: &LogShown,
    checkpoint: &Checkpoint,
) -> Result<Vec<Event>, Fault> {
    let of = |check: Check, fault: String| check.fault(format!("{}: {fault}", seat.party.name));
    let mut events = Vec::with_capacity(shown.entries.len());
    let mut next = 0;
    for (i, (shown, leaf)) in places(&shown.entries).enumerate() {
        let entry: Result<Entry, _> = canonical::decode(shown.entry.as_bytes(), MAX_ENTRY_BYTES);
        let entry = entry.map_err(|e| of(Check::Entries, format!("entry {i}: {e}")))?;
        let Checkpoint { size, root, .. } = checkpoint;
        if !merkle::is_included(&leaf, entry.seq, *size, &shown.path, root) {
            return Err(of(Check::Inclusion, format!("entry {}", entry.seq)));
        }
        if entry.seq < next || entry.event.job_id() != Some(seat.acceptance.job_id) {
            let fault = format!("entry {} is out of order or of another job", entry.seq);
            return Err(of(Check::Entries, fault));
        }
        next = entry.seq + 1;
        events.push(entry.event);
    }
    Ok(events)
}

/// Whether the entries tell of these documents: proposed, accepted, started and completed, once each and in this order.
pub(super) fn course(
    contract: &Contract,
    seat: &Seat<'_>,
    receipt: &Digest,
    events: &[Event],
) -> Result<(), Fault> {
    let of = |fault: &str| Check::Entries.fault(format!("{}: {fault}", seat.party.name));
    let mut steps = 0;
    for event in events {
        let expected = match event {
            Event::Proposed {
                contract: told,
                plan,
                ..
            } => (*told == seat.acceptance.contract && *plan == contract.plan).then_some(0),
            Event::Accepted { acceptance, .. } => (*acceptance == seat.digest).then_some(1),
            Event::Started { .. } => Some(2),
            Event::Completed { receipt: told, .. } => (told == receipt).then_some(3),
            Event::Ended { .. } => return Err(of("its log says that the job ended otherwise")),
            _ => continue,
        };
        match expected {
            Some(step) if step == steps => steps += 1,
            Some(_) => return Err(of("its log tells the steps in another order")),
            None => return Err(of("its log tells of another document")),
        }
    }
    match steps {
        4 => Ok(()),
        _ => Err(of("its log does not tell of every step")),
    }
}

/// Checks a report as an agent gets it from another one.
///
/// # Errors
/// [`Fault`].
pub fn verify_report(
    contract: &Contract,
    seats: &[Seat<'_>],
    seat: &Seat<'_>,
    report: &Report,
) -> Result<SignedCheckpoint, Fault> {
    receipt(contract, seats, seat, &report.receipt)?;
    let (note, checkpoint) = checkpoint(seat, &report.log)?;
    let events = entries(seat, &report.log, &checkpoint)?;
    course(contract, seat, &report.receipt.digest(), &events)?;
    Ok(note)
}

/// Whether a log continues what was seen of it. `promised`: what this party said in its acceptance that it had seen. Gives the
/// earlier checkpoints that need not be kept any more, or what is wrong.
///
/// # Errors
/// The kind of alarm, and the earlier checkpoint that does not fit.
pub fn grown(
    seen: &[SignedCheckpoint],
    promised: &[SignedCheckpoint],
    new: &Checkpoint,
    growth: &[Growth],
) -> Result<Vec<SignedCheckpoint>, (AlarmKind, Checkpoint)> {
    let mut continued = Vec::new();
    for note in seen {
        let old = note.claimed();
        let wrong = |kind| Err((kind, old.clone()));
        let is_promised = promised.iter().any(|p| p.claimed() == old);
        if old.size == new.size {
            if old.root != new.root {
                return wrong(AlarmKind::Forked);
            }
            continued.push(note.clone());
        } else if let Some(proof) = growth.iter().find(|g| g.size == old.size) {
            let (old_side, new_side) = ((old.size, &old.root), (new.size, &new.root));
            if !merkle::is_consistent(old_side, new_side, &proof.path) {
                return wrong(AlarmKind::Forked);
            }
            continued.push(note.clone());
        } else if is_promised {
            return wrong(match new.size < old.size {
                true => AlarmKind::RolledBack,
                false => AlarmKind::Forked,
            });
        }
    }
    Ok(continued)
}

/// What a plan opens, and to whom: the columns of the result to the receivers, what the comparisons and holders' contributions tell to the
/// computing parties, and in words what each party learns by all of it.
///
/// # Errors
/// [`Check::Plan`], if this is not a plan's text.
pub fn opened(plan: &str) -> Result<Vec<OpenedValue>, Fault> {
    let unreadable = || Check::Plan.fault("it cannot be read");
    let plan: Value = serde_json::from_str(plan).map_err(|_| unreadable())?;
    let names = |list: &Value| -> Result<Vec<PartyName>, Fault> {
        let names = list.as_array().ok_or_else(unreadable)?.iter();
        names
            .map(|name| {
                let name = name.as_str().ok_or_else(unreadable)?;
                PartyName::new(name).map_err(|_| unreadable())
            })
            .collect()
    };
    let each = |list: &Value, field: &str, kind: &str, to: &[PartyName]| {
        let items = list.as_array().ok_or_else(unreadable)?.iter();
        items
            .map(|item| {
                let what = item[field].as_str().ok_or_else(unreadable)?.to_owned();
                let (kind, to) = (kind.to_owned(), to.to_vec());
                Ok(OpenedValue { kind, what, to })
            })
            .collect::<Result<Vec<_>, Fault>>()
    };
    let mut opened = each(
        &plan["outputs"],
        "name",
        "result",
        &names(&plan["receivers"])?,
    )?;
    let kind = match plan["shape"]["rule"].as_str() {
        Some("compare") => Some("answer"),
        Some("open_counts") => Some("count"),
        _ => None,
    };
    if let Some(kind) = kind {
        let seats = names(&plan["seats"])?;
        opened.extend(each(&plan["shape"]["checks"], "rule", kind, &seats)?);
    }
    let of_model = &plan["procedure"]["vertical"]["is_metered"];
    if plan["meter"].is_object() || of_model.as_bool() == Some(true) {
        let seats = names(&plan["seats"])?;
        let holders = plan["locals"].as_object().ok_or_else(unreadable)?.keys();
        let is_left_out = plan["meter"]["leave_one_out"].as_bool() == Some(true);
        let kinds = ["contribution", "left_out"].into_iter();
        for kind in kinds.take(1 + usize::from(is_left_out)) {
            opened.extend(holders.clone().map(|holder| OpenedValue {
                kind: kind.to_owned(),
                what: holder.clone(),
                to: seats.clone(),
            }));
        }
    }
    for learns in plan["learns"].as_array().ok_or_else(unreadable)? {
        let to = names(&Value::Array(vec![learns["party"].clone()]))?;
        let what = learns["what"].as_str().ok_or_else(unreadable)?.to_owned();
        let kind = "learns".to_owned();
        opened.push(OpenedValue { kind, what, to });
    }
    Ok(opened)
}

/// What goes from one party to another, as both say.
pub(super) fn traffic(receipts: &BTreeMap<PartyName, Receipt>) -> Result<(), Fault> {
    for (from, receipt) in receipts {
        let pairs: BTreeSet<_> = receipts.keys().filter(|to| *to != from).collect();
        for to in pairs {
            let sent = receipt.bytes_sent.get(to).copied().unwrap_or(0);
            let received = receipts[to].bytes_received.get(from).copied().unwrap_or(0);
            if sent != received {
                let what = format!("{from} sent {sent} bytes and {to} received {received}");
                return Err(Check::Traffic.fault(what));
            }
        }
    }
    Ok(())
}
