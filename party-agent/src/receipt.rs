//! The signed record of a run.
//!
//! A [`Receipt`] goes to the coordinator and may go to anybody: it holds ids, digests of public documents, and
//! counts that follow from public sizes. What describes this holder alone is a [`LocalReport`] and stays here.

use std::collections::BTreeMap;

use coordinator::contract::{
    Digest, JobId, Nonce, PartyName, PublicKey, SignError, SignatureBytes, Signed, Statement,
    StatementError,
};
use serde::{Deserialize, Serialize};

use crate::local::KeyReport;

/// Version of the receipt's format.
pub const RECEIPT_FORMAT: u16 = 1;

/// What one agent says about a run that it completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: u16,
    /// The job.
    pub job_id: JobId,
    /// Who speaks.
    pub party: PartyName,
    /// Digest of the contract.
    pub contract: Digest,
    /// Digest of the plan that this agent compiled and ran.
    pub plan: Digest,
    /// Identifies the run: everybody's nonce went into it.
    pub session: Digest,
    /// Name and version of the program.
    pub engine: String,
    /// When it started, Unix seconds.
    pub started: u64,
    /// When it ended, Unix seconds.
    pub ended: u64,
    /// Rounds, as measured, and at most as many as the plan declares.
    pub rounds: u64,
    /// Bytes of messages sent to each party.
    pub bytes_sent: BTreeMap<PartyName, u64>,
    /// Bytes of messages received from each party.
    pub bytes_received: BTreeMap<PartyName, u64>,
    /// How each party was reached: `direct` or `relayed`.
    pub routes: BTreeMap<PartyName, String>,
    /// Commits a receiver to the result that it got: see [`commit`].
    pub output: Option<Digest>,
    /// What each holder contributed, where the job's settlement depends on it: of groups as n! times its Shapley value for n
    /// holders, of a model as billionths of R².
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contributions: BTreeMap<PartyName, u64>,
    /// How many groups would be missing without each holder, where the job asks for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<PartyName, u64>,
    /// Of a job that goes on with one that broke off, from where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// From where a run went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// The job that broke off.
    pub job_id: JobId,
    /// After how many of its steps; 0 if parties lacked a checkpoint, or their rows had changed, and the run began anew.
    pub step: u32,
}

/// A commitment to a result. The salt hides it from whoever could guess the result, the coordinator for one.
#[must_use]
pub fn commit(salt: &Nonce, result: &Digest) -> Digest {
    Digest::of(&[&b"entente/v1/output\0"[..], &salt.0, &result.0].concat())
}

impl Statement for Receipt {
    const CONTEXT: &'static str = "entente/v1/agent/receipt";
    const MAX_BYTES: usize = 48 << 10;

    fn check(&self) -> Result<(), StatementError> {
        if self.format == RECEIPT_FORMAT {
            Ok(())
        } else {
            Err(StatementError(
                "the receipt format is not the one that this version reads",
            ))
        }
    }
}

/// A receipt with its signature, as JSON carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The key that signed.
    pub public_key: PublicKey,
    /// Over the receipt's canonical bytes.
    pub signature: SignatureBytes,
}

impl SignedReceipt {
    /// Signs a receipt.
    ///
    /// # Errors
    /// [`SignError`] if the receipt is too long.
    pub fn sign(
        receipt: Receipt,
        identity: &coordinator::tls::Identity,
    ) -> Result<Self, SignError> {
        let signed = Signed::sign(&receipt, identity)?;
        Ok(Self {
            receipt,
            public_key: signed.public_key(),
            signature: signed.signature(),
        })
    }

    /// Verifies the signature against the key that the reader has pinned.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn verify(&self, expected: &coordinator::tls::Fingerprint) -> Result<(), SignError> {
        self.signed()?.verify(expected).map(drop)
    }

    /// The same as the bytes that were signed.
    ///
    /// # Errors
    /// [`SignError`] if a number is out of range.
    pub fn signed(&self) -> Result<Signed<Receipt>, SignError> {
        let body = coordinator::contract::canonical::encode(&self.receipt)?;
        Ok(Signed::from_parts(body, self.public_key, self.signature))
    }
}

/// What this holder alone may know about its run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalReport {
    /// Rows of this holder that went into the totals.
    pub rows_used: u64,
    /// What this holder learns about its own keys, where keys were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyReport>,
    /// Of how many of its keys this holder has learnt that they match, where the job tells it: 0 where they are fewer than the
    /// minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_keys: Option<u64>,
    /// Wall-clock time, in seconds.
    pub wall_s: f64,
    /// Time of this process on all cores, in seconds.
    pub cpu_s: f64,
    /// The most memory that this process has held, in bytes.
    pub peak_rss_bytes: u64,
    /// Bytes sent on the wire, packet overhead included.
    pub wire_bytes_sent: u64,
    /// Bytes received on the wire, packet overhead included.
    pub wire_bytes_received: u64,
    /// SHA-256 of `result.json`, at a receiver.
    pub result: Option<Digest>,
    /// The text of this holder's part of the model that was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Fresh randomness: opens the receipt's commitment to the result, and keeps this file's digest from telling what is in it.
    #[serde(default)]
    pub salt: Option<Nonce>,
    /// Time of each stage, in seconds.
    pub stages: BTreeMap<String, f64>,
}

/// What is kept in `receipt.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// For anybody.
    pub signed: SignedReceipt,
    /// For this holder.
    pub local: LocalReport,
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::tls::Identity;

    fn receipt() -> Receipt {
        let name = |n: &str| PartyName::new(n).expect("a valid name");
        Receipt {
            format: RECEIPT_FORMAT,
            job_id: JobId([1; 16]),
            party: name("a"),
            contract: Digest([2; 32]),
            plan: Digest([3; 32]),
            session: Digest([4; 32]),
            engine: "entente 0.1.0".to_owned(),
            started: 1,
            ended: 2,
            rounds: 3,
            bytes_sent: BTreeMap::from([(name("b"), 5)]),
            bytes_received: BTreeMap::from([(name("b"), 6)]),
            routes: BTreeMap::from([(name("b"), "direct".to_owned())]),
            contributions: BTreeMap::new(),
            left_out: BTreeMap::new(),
            resumed: None,
            output: None,
        }
    }

    #[test]
    fn a_signed_receipt_is_verified_after_a_round_trip() {
        let identity =
            Identity::generate(PartyName::new("a").expect("a valid name"), 1).expect("an identity");
        let signed = SignedReceipt::sign(receipt(), &identity).expect("signed");
        let back: SignedReceipt =
            serde_json::from_str(&serde_json::to_string(&signed).expect("text"))
                .expect("read back");
        assert_eq!(back, signed);
        back.verify(&identity.fingerprint()).expect("verified");
    }

    #[test]
    fn a_changed_receipt_is_not() {
        let identity =
            Identity::generate(PartyName::new("a").expect("a valid name"), 1).expect("an identity");
        let mut signed = SignedReceipt::sign(receipt(), &identity).expect("signed");
        signed.receipt.rounds += 1;
        assert_eq!(
            signed.verify(&identity.fingerprint()),
            Err(SignError::Signature)
        );
    }
}
