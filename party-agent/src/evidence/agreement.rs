//! What was agreed, as one file: contract, acceptances, page and plan. Any party can export it as soon as all have accepted, and
//! anybody can verify it. Nothing in it stands outside a signature but the name of its format, so it needs no seal.

use std::collections::BTreeMap;

use coordinator::contract::{Acceptance, Contract, Digest, JobId, PartyName, Signed, canonical};
use coordinator::tls::{Fingerprint, Pins};
use serde::{Deserialize, Serialize};

use super::parts::{self, Seat};
use super::{Check, Fault, MAX_BYTES, verify};

/// First field of every contract file.
pub const AGREEMENT_FORMAT: &str = "entente-contract/1";

/// The file. Everything in it stands as it was signed; the file itself is canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreement {
    format: String,
    contract: Signed<Contract>,
    /// The acceptance of every party, in the order of seats.
    acceptances: Vec<Signed<Acceptance>>,
    /// The page that the acceptances name, by language.
    pages: BTreeMap<String, String>,
    /// The plan's canonical text.
    plan: String,
}

/// What a contract file shows that was found in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreed {
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// Its purpose.
    pub purpose: String,
    /// Who proposed it.
    pub proposer: PartyName,
    /// Who gets the result.
    pub receivers: Vec<PartyName>,
    /// The job must have started by then, Unix seconds.
    pub not_after: u64,
    /// SHA-256 of the contract.
    pub contract: Digest,
    /// SHA-256 of the plan.
    pub plan: Digest,
    /// SHA-256 of the page that was approved, by language.
    pub pages: BTreeMap<String, Digest>,
    /// The parties' keys. Whether they are theirs, the reader knows from elsewhere, unless `trusted`.
    pub parties: BTreeMap<PartyName, Fingerprint>,
    /// Whether the keys were compared with a list of trusted ones.
    pub trusted: bool,
    /// Who approved, by party.
    pub approved_by: BTreeMap<PartyName, String>,
}

/// Makes the file: its canonical bytes. What is missing is found by [`verify_agreement`].
///
/// # Errors
/// [`Fault`], if the contract is not validly signed.
pub fn export_agreement(
    contract: Signed<Contract>,
    acceptances: &[Signed<Acceptance>],
    pages: BTreeMap<String, String>,
    plan: String,
) -> Result<Vec<u8>, Fault> {
    let acceptances = parts::in_order(&parts::contract(&contract)?, acceptances);
    parts::encode(&Agreement {
        format: AGREEMENT_FORMAT.to_owned(),
        contract,
        acceptances,
        pages,
        plan,
    })
}

/// Verifies a contract file: that its proposer signed this contract, and every party its acceptance of this contract, this plan and
/// this page. Needs nothing but its bytes; with `trust`, the parties' keys are compared with it too.
///
/// # Errors
/// The first check that fails: [`Check::Form`] to [`Check::Plan`].
pub fn verify_agreement(bytes: &[u8], trust: Option<&Pins>) -> Result<Agreed, Fault> {
    let file: Agreement = canonical::decode(bytes, MAX_BYTES)
        .map_err(|error| Check::Form.fault(error.to_string()))?;
    if file.format != AGREEMENT_FORMAT {
        return Err(Check::Form.fault("the format is not the one that this version reads"));
    }
    let contract = parts::contract(&file.contract)?;
    if let Some(pins) = trust {
        verify::trusted(&contract, pins)?;
    }
    let digest = file.contract.digest();
    let seats = parts::seats(&contract, &digest, &file.acceptances)?;
    if parts::in_order(&contract, &file.acceptances) != file.acceptances {
        return Err(Check::Approvals.fault("they do not stand in the order of the parties"));
    }
    verify::pages_and_plan(&file.pages, &file.plan, &contract, &seats)?;
    let by = |seat: &Seat<'_>| (seat.party.name.clone(), seat.acceptance.approved_by.clone());
    let parties = contract.parties.iter();
    Ok(Agreed {
        job_id: contract.job_id,
        job: contract.job.clone(),
        purpose: contract.purpose.clone(),
        proposer: contract.proposer.clone(),
        receivers: contract.receivers.clone(),
        not_after: contract.not_after,
        contract: digest,
        plan: contract.plan,
        pages: crate::page::digests(&file.pages),
        approved_by: seats.iter().map(by).collect(),
        parties: parties.map(|p| (p.name.clone(), p.fingerprint)).collect(),
        trusted: trust.is_some(),
    })
}
