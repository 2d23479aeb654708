//! A person's approval, signed with a key of that person: the agent's account alone cannot give it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Acceptance, Digest, JobId, PartyName, Statement, StatementError, ensure};
use crate::tls::Fingerprint;

/// The most persons whose signatures stand in an acceptance.
pub const MAX_PERSONS: usize = 8;

/// What a person signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalApproval {
    /// The job.
    pub job_id: JobId,
    /// Digest of the contract.
    pub contract: Digest,
    /// SHA-256 of the page that the person was shown, by language.
    pub pages: BTreeMap<String, Digest>,
    /// For which party.
    pub party: PartyName,
    /// Who.
    pub person: PartyName,
}

impl Statement for PersonalApproval {
    const CONTEXT: &'static str = "entente/v1/approve/person";
    const MAX_BYTES: usize = 2048;

    fn check(&self) -> Result<(), StatementError> {
        ensure(
            self.pages.len() <= 8,
            "a page is in at most eight languages",
        )
    }
}

/// How an acceptance names a person who has signed.
pub fn named(person: &PartyName, key: &Fingerprint) -> String {
    format!("{person} ({key})")
}

/// Whether the persons who have signed an acceptance approve just that, each once and by the name that stands in it.
pub(super) fn check(acceptance: &Acceptance) -> Result<(), StatementError> {
    let signed_by = &acceptance.signed_by;
    ensure(
        signed_by.len() <= MAX_PERSONS,
        "an acceptance holds the signatures of at most eight persons",
    )?;
    let mut rest = acceptance.approved_by.as_str();
    for signed in signed_by {
        let key = Fingerprint::of(&signed.public_key());
        let approval = signed.verify(&key);
        let approval = approval.map_err(|_| {
            StatementError("a person's approval in an acceptance is not validly signed")
        })?;
        let same = approval.job_id == acceptance.job_id
            && approval.contract == acceptance.contract
            && approval.party == acceptance.party
            && approval.pages == acceptance.pages;
        ensure(
            same,
            "a person's approval in an acceptance is for something else",
        )?;
        // In the order of names, so that nobody counts twice.
        let after = rest.split_once(&named(&approval.person, &key));
        let (_, after) = after.ok_or(StatementError(
            "a person whose approval is in an acceptance is not named there",
        ))?;
        rest = after;
    }
    Ok(())
}
