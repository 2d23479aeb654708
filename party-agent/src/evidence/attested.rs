//! What a notary is asked about, under the five names of the papers on trusted data spaces, and what the documents of a file show of each; and the body of
//! a certificate of performance. Both follow from the other documents, so that a reader makes them anew and compares.

use std::collections::BTreeMap;

use coordinator::contract::{
    Contract, Digest, JobId, PartyName, Signed, Statement, StatementError,
};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::{Fingerprint, Identity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::Seat;
use super::{Check, Evidence, Fault};
use crate::receipt::Receipt;

/// The five names, in Chinese and in English, and what the facts of a section do not show.
pub const SECTIONS: [[&str; 3]; 5] = [
    [
        "法人准入",
        "admission of legal persons",
        "who the legal person behind a key is: each party pinned the others' keys by a second channel",
    ],
    [
        "数据准入",
        "admission of data",
        "whether a holder may use its data so: it says so by its policy and its approval",
    ],
    [
        "数据真实性",
        "authenticity of data",
        "whether data are true: a commitment shows that they are the data of that day",
    ],
    [
        "数据泄露",
        "leakage of data",
        "what a party does outside the protocol",
    ],
    [
        "模型安全性",
        "safety of the model",
        "which program a party really ran: each says so, and no hardware attests it",
    ],
];

/// One section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its name in Chinese.
    pub name: String,
    /// What the documents show.
    pub shows: Vec<Fact>,
}

/// One thing that the documents show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What kind of thing.
    pub fact: String,
    /// Of which party, table or document.
    pub of: String,
    /// As the documents have it.
    pub value: String,
}

/// The body of a certificate of performance (履约证明): the message `fulfillmentProof` of TC609-6-2025-15, with ids of this system and
/// without the signature, which stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Certificate {
    /// The job, and who certifies.
    pub proof_id: String,
    /// The job.
    pub contract_id: JobId,
    /// The plan's digest, as far as 36 characters go.
    pub strategy_id: String,
    /// What each party signed of its run, and the log in which it stands.
    pub log: Vec<Logged>,
    /// When the last party had ended its run, Unix seconds.
    pub timestamp: u64,
}

/// One party's part of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// The party.
    pub party: PartyName,
    /// SHA-256 of its receipt.
    pub receipt: Digest,
    /// Entries of its log.
    pub size: u64,
    /// The root of its log.
    pub root: Digest,
}

impl Statement for Certificate {
    const CONTEXT: &'static str = "entente/v1/agent/certificate";
    const MAX_BYTES: usize = 64 << 10;

    fn check(&self) -> Result<(), StatementError> {
        Ok(())
    }
}

/// Both, as they stand in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attested {
    /// The five sections.
    pub sections: Vec<Section>,
    /// The certificate, signed by the exporter.
    pub certificate: Signed<Certificate>,
}

/// Adds sections and certificate to a file whose other documents are there.
pub(super) fn of(
    evidence: &Evidence,
    contract: &Contract,
    seats: &[Seat<'_>],
    identity: &Identity,
) -> Result<Attested, Fault> {
    let certificate = certificate(evidence, contract)?;
    let certificate = Signed::sign(&certificate, identity)
        .map_err(|error| Check::Attested.fault(error.to_string()))?;
    Ok(Attested {
        sections: sections(evidence, contract, seats)?,
        certificate,
    })
}

/// Whether sections and certificate say what the documents say. Files of before them have neither.
pub(super) fn verify(
    evidence: &Evidence,
    contract: &Contract,
    seats: &[Seat<'_>],
) -> Result<(), Fault> {
    let Some(attested) = &evidence.attested else {
        return Ok(());
    };
    if sections(evidence, contract, seats)? != attested.sections {
        return Err(Check::Attested.fault("a section is not what the documents show"));
    }
    let exporter = contract.party(&evidence.exporter);
    let exporter = exporter.ok_or_else(|| Check::Attested.fault("the exporter is no party"))?;
    let signed = attested.certificate.verify(&exporter.fingerprint);
    let signed = signed.map_err(|error| Check::Attested.fault(error.to_string()))?;
    match signed == certificate(evidence, contract)? {
        true => Ok(()),
        false => Err(Check::Attested.fault("the certificate is not what the documents show")),
    }
}

/// The facts of one section.
#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, fact: &str, of: impl ToString, value: impl ToString) {
        self.0.push(Fact {
            fact: fact.to_owned(),
            of: of.to_string(),
            value: value.to_string(),
        });
    }
}

fn sections(
    evidence: &Evidence,
    contract: &Contract,
    seats: &[Seat<'_>],
) -> Result<Vec<Section>, Fault> {
    let plan = serde_json::from_str(&evidence.plan);
    let plan: Value = plan.map_err(|_| Check::Plan.fault("it cannot be read"))?;
    let receipts = receipts(evidence)?;
    let facts = [
        persons(seats),
        admitted(contract, &plan),
        authentic(&plan, &receipts),
        leaked(evidence, &plan, &receipts),
        safe(contract, &plan, &receipts),
    ];
    let section = |([name, ..], facts): ([&str; 3], Facts)| Section {
        name: name.to_owned(),
        shows: facts.0,
    };
    Ok(SECTIONS.into_iter().zip(facts).map(section).collect())
}

fn receipts(evidence: &Evidence) -> Result<BTreeMap<&PartyName, Receipt>, Fault> {
    let read = |(party, signed): (_, &Signed<Receipt>)| {
        let receipt = signed.verify(&Fingerprint::of(&signed.public_key()));
        let receipt = receipt.map_err(|e| Check::Receipt.fault(e.to_string()))?;
        Ok((party, receipt))
    };
    evidence.receipts.iter().map(read).collect()
}

/// Whose keys signed, and who approved.
fn persons(seats: &[Seat<'_>]) -> Facts {
    let mut facts = Facts::default();
    for seat in seats {
        let name = &seat.party.name;
        facts.add("key", name, seat.party.fingerprint);
        facts.add("approved_by", name, &seat.acceptance.approved_by);
    }
    facts
}

/// Whose catalogues, and every use of every column that the holders' rules were asked about.
fn admitted(contract: &Contract, plan: &Value) -> Facts {
    let mut facts = Facts::default();
    for (holder, catalogue) in &contract.catalogues {
        facts.add("catalogue", holder, catalogue);
    }
    for (holder, local) in plan["locals"].as_object().into_iter().flatten() {
        for asked in local["uses"].as_array().into_iter().flatten() {
            let [table, column] = ["table", "column"].map(|at| asked[at].as_str().unwrap_or(""));
            let usage = match &asked["usage"] {
                Value::String(usage) => usage.clone(),
                // A use with more to it, such as which aggregate.
                other => other.to_string(),
            };
            facts.add("use", format!("{holder}.{table}.{column}"), usage);
        }
    }
    facts
}

/// What holders committed to before, and what the receivers committed to afterwards.
fn authentic(plan: &Value, receipts: &BTreeMap<&PartyName, Receipt>) -> Facts {
    let mut facts = Facts::default();
    for (table, digest) in plan["commitments"].as_object().into_iter().flatten() {
        facts.add("commitment", table, digest.as_str().unwrap_or(""));
    }
    for (party, receipt) in receipts {
        if let Some(output) = receipt.output {
            facts.add("result", party, output);
        }
    }
    facts
}

/// What was opened, to how many, and how much left each party.
fn leaked(evidence: &Evidence, plan: &Value, receipts: &BTreeMap<&PartyName, Receipt>) -> Facts {
    let mut facts = Facts::default();
    if let Some(least) = plan["min_cell"]["at_least"].as_u64() {
        facts.add("min_cell", "plan", least);
    }
    for (party, receipt) in receipts {
        let learns = evidence.opened.iter().filter(|o| o.to.contains(party));
        facts.add("opened_to", party, learns.count());
        facts.add(
            "bytes_sent",
            party,
            receipt.bytes_sent.values().sum::<u64>(),
        );
    }
    facts
}

/// Which procedure, agreed on by whom, on which randomness, with which program.
fn safe(contract: &Contract, plan: &Value, receipts: &BTreeMap<&PartyName, Receipt>) -> Facts {
    let mut facts = Facts::default();
    facts.add("plan", "contract", contract.plan);
    for fact in ["manifest", "correlations", "dealer"] {
        if let Some(value) = plan[fact].as_str() {
            facts.add(fact, "plan", value);
        }
    }
    for (party, receipt) in receipts {
        facts.add("program", party, &receipt.engine);
    }
    facts
}

fn certificate(evidence: &Evidence, contract: &Contract) -> Result<Certificate, Fault> {
    let mut log = Vec::with_capacity(evidence.logs.len());
    for (party, shown) in &evidence.logs {
        let note = SignedCheckpoint::parse(&shown.checkpoint);
        let note = note.map_err(|e| Check::Checkpoint.fault(e.to_string()))?;
        let receipt = evidence.receipts.get(party);
        let receipt = receipt.ok_or_else(|| Check::Receipts.fault(format!("none of {party}")))?;
        log.push(Logged {
            party: party.clone(),
            receipt: receipt.digest(),
            size: note.claimed().size,
            root: note.claimed().root,
        });
    }
    let receipts = receipts(evidence)?;
    let ended = receipts.values().map(|receipt| receipt.ended);
    let plan = contract.plan.to_string();
    let cuts = [0, 8, 12, 16, 20, 32];
    let parts: Vec<&str> = cuts.windows(2).map(|cut| &plan[cut[0]..cut[1]]).collect();
    Ok(Certificate {
        proof_id: format!("{}-{}", contract.job_id, evidence.exporter),
        contract_id: contract.job_id,
        strategy_id: parts.join("-"),
        log,
        timestamp: ended.max().unwrap_or(0),
    })
}
