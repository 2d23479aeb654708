//! The evidence of a job: one file that anybody can verify without a network and without our state.
//!
//! Agents gather it while jobs run ([`Report`], [`Witness`]); [`Evidence`] is the file; [`verify()`] says whether it holds, and if
//! not, which [`Check`] failed. Each check has an exit code of its own. `examples/verify_evidence.py` is a second verifier that shares no
//! code with this one.

mod agreement;
mod attested;
mod check;
mod parts;
mod provenance;
mod tamper;
mod verify;
#[cfg(test)]
mod audit_fork;

use std::collections::BTreeMap;

use coordinator::contract::{
    Acceptance, Contract, Digest, Nonce, PartyName, Signed, Statement, StatementError,
};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::Identity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::log::{LogShown, Shown};
use crate::receipt::Receipt;

pub use agreement::{AGREEMENT_FORMAT, Agreed, export_agreement, verify_agreement};
pub use attested::{Attested, Certificate, Fact, Logged, SECTIONS, Section};
pub use check::{Check, Fault};
pub use parts::{Seat, grown, opened, seats, verify_report};
pub use tamper::{Tampering, tamperings};
pub use verify::{Verified, verify};

/// First field of every evidence file.
pub const EVIDENCE_FORMAT: &str = "entente-evidence/1";

/// The longest file that is read.
pub const MAX_BYTES: usize = 64 << 20;

/// What every party reports when it has completed a job: to the coordinator, which carries it, and so to all parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The receipt.
    pub receipt: Signed<Receipt>,
    /// What it shows of its log.
    pub log: LogShown,
}

/// What a party says about the others' logs: their checkpoints, each with this party's signature that it has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Notes by the owner of the log.
    pub seen: BTreeMap<PartyName, String>,
}

/// What an agent has gathered about a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dossier {
    /// The acceptances of all parties.
    pub acceptances: Vec<Signed<Acceptance>>,
    /// The reports of those that have reported, this party's own among them.
    pub reports: BTreeMap<PartyName, Report>,
    /// What they say about each other's logs.
    pub witnesses: BTreeMap<PartyName, Witness>,
}

impl Dossier {
    /// The checkpoint that a party reported, with all signatures of witnesses that are there.
    #[must_use]
    pub fn checkpoint(&self, party: &PartyName) -> Option<SignedCheckpoint> {
        let report = self.reports.get(party)?;
        let mut note = SignedCheckpoint::parse(&report.log.checkpoint).ok()?;
        for witness in self.witnesses.values() {
            let seen = witness.seen.get(party).map(|n| SignedCheckpoint::parse(n));
            if let Some(Ok(seen)) = seen {
                note.merge(&seen);
            }
        }
        Some(note)
    }
}

/// A value that was opened, and to whom, as the plan declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedValue {
    /// `result` for a column of the result, `answer` for yes or no of a comparison, `count` for a number compared in the clear,
    /// `contribution` for a holder's Shapley value, `left_out` for what would be missing without it, and `learns` for the plan's words on what a party learns, sizes and intermediate sums included.
    pub kind: String,
    /// The column, the rule, or the holder.
    pub what: String,
    /// The parties that learn it.
    pub to: Vec<PartyName>,
}

/// Opens a receiver's commitment to the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The randomness in the commitment.
    pub salt: Nonce,
    /// SHA-256 of `result.json`.
    pub result: Digest,
}

/// The file. Everything in it stands as it was signed; the file itself is canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`EVIDENCE_FORMAT`].
    pub format: String,
    /// Who exported it.
    pub exporter: PartyName,
    /// When, Unix seconds.
    pub exported: u64,
    /// The contract.
    pub contract: Signed<Contract>,
    /// The acceptance of every party, in the order of seats.
    pub acceptances: Vec<Signed<Acceptance>>,
    /// The page that the acceptances name, by language.
    pub pages: BTreeMap<String, String>,
    /// The plan's canonical text.
    pub plan: String,
    /// What the plan opens, and to whom.
    pub opened: Vec<OpenedValue>,
    /// The receipt of every party.
    pub receipts: BTreeMap<PartyName, Signed<Receipt>>,
    /// Opens the exporter's commitment to the result, at a receiver.
    pub output: Option<Output>,
    /// What every party shows of its log, with the others' signatures below its checkpoint.
    pub logs: BTreeMap<PartyName, LogShown>,
    /// Where the result comes from: W3C PROV-JSON.
    pub provenance: Value,
    /// What a notary is asked about, and the certificate of performance. Files of before they were made have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
    /// The exporter's signature over all of the above.
    pub seal: Signed<Seal>,
}

/// The exporter's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// SHA-256 of the file without its seal.
    pub digest: Digest,
}

impl Statement for Seal {
    const CONTEXT: &'static str = "entente/v1/agent/evidence";
    const MAX_BYTES: usize = 256;

    fn check(&self) -> Result<(), StatementError> {
        Ok(())
    }
}

/// What an exporter brings beside the dossier.
pub struct Exported {
    /// The contract.
    pub contract: Signed<Contract>,
    /// The pages, by language.
    pub pages: BTreeMap<String, String>,
    /// The plan's canonical text.
    pub plan: String,
    /// Opens this party's commitment, if it got the result.
    pub output: Option<Output>,
    /// When, Unix seconds.
    pub now: u64,
}

/// Makes the file: its canonical bytes. What is missing is found by [`verify()`], which the exporter calls before it hands the file out.
///
/// # Errors
/// [`Fault`], if a part cannot be read.
pub fn export(
    dossier: &Dossier,
    exported: Exported,
    identity: &Identity,
) -> Result<Vec<u8>, Fault> {
    let Exported {
        contract: signed,
        pages,
        plan,
        output,
        now,
    } = exported;
    let contract = parts::contract(&signed)?;
    let mut logs = BTreeMap::new();
    for (party, report) in &dossier.reports {
        let note = dossier.checkpoint(party);
        let note = note.ok_or_else(|| Check::Checkpoint.fault(format!("of {party}")))?;
        let shown = LogShown {
            checkpoint: note.to_string(),
            ..report.log.clone()
        };
        logs.insert(party.clone(), shown);
    }
    let receipts = dossier.reports.iter();
    let receipts = receipts.map(|(party, report)| (party.clone(), report.receipt.clone()));
    let mut evidence = Evidence {
        format: EVIDENCE_FORMAT.to_owned(),
        exporter: identity.name().clone(),
        exported: now,
        acceptances: parts::in_order(&contract, &dossier.acceptances),
        pages,
        opened: parts::opened(&plan)?,
        plan,
        receipts: receipts.collect(),
        output,
        logs,
        provenance: Value::Null,
        attested: None,
        seal: parts::sealed(&Digest([0; 32]), identity)?,
        contract: signed,
    };
    evidence.provenance = provenance::of(&evidence, &contract)?;
    let agreed = evidence.contract.digest();
    let seats = parts::seats(&contract, &agreed, &evidence.acceptances)?;
    evidence.attested = Some(attested::of(&evidence, &contract, &seats, identity)?);
    let digest = parts::digest_without_seal(&evidence)?;
    evidence.seal = parts::sealed(&digest, identity)?;
    parts::encode(&evidence)
}

/// The leaves of a shown log's entries, with what is needed to place them.
fn places(shown: &[Shown]) -> impl Iterator<Item = (&Shown, Digest)> {
    let leaf = |shown: &Shown| coordinator::log::merkle::leaf(shown.entry.as_bytes());
    shown.iter().map(move |shown| (shown, leaf(shown)))
}
