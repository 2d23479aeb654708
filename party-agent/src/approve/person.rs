//! Who of a party approves, and whether that person may.

use std::collections::BTreeMap;

use coordinator::contract::{PartyName, PersonalApproval, SignError, Signed, named};
use coordinator::tls::Fingerprint;

use super::{Vetted, page};
use crate::ledger::Person;

/// Why an approval is not that of a person who may give it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonFault {
    /// The policy lists persons, and nobody has signed.
    #[error(
        "the policy lists the persons who approve by their keys, so this approval has to be signed"
    )]
    Unsigned,
    /// The policy does not list this person.
    #[error("the policy does not list {person} among the persons who approve")]
    Unknown {
        /// Who.
        person: PartyName,
    },
    /// It is not signed with the person's key.
    #[error("the approval is not validly signed with the key that the policy lists: {0}")]
    Signature(SignError),
    /// It is for another job, contract, page or party.
    #[error("the approval was signed for something else than this job's contract and page")]
    Other,
}

impl Vetted {
    /// What a person of a party has to sign to approve this.
    #[must_use]
    pub fn personal(&self, party: &PartyName, person: PartyName) -> PersonalApproval {
        PersonalApproval {
            job_id: self.contract.job_id,
            contract: self.digest,
            pages: page::digests(&self.pages()),
            party: party.clone(),
            person,
        }
    }

    /// Who has approved this by a signature, of those that the policy lists.
    ///
    /// # Errors
    /// [`PersonFault`].
    pub fn approved_by(
        &self,
        party: &PartyName,
        persons: &BTreeMap<PartyName, Fingerprint>,
        signed: Option<&Signed<PersonalApproval>>,
    ) -> Result<Person, PersonFault> {
        let signed = signed.ok_or(PersonFault::Unsigned)?;
        let claimed = signed.verify(&Fingerprint::of(&signed.public_key()));
        let person = claimed.map_err(PersonFault::Signature)?.person;
        let key = persons.get(&person);
        let key = key.ok_or_else(|| PersonFault::Unknown {
            person: person.clone(),
        })?;
        let read = signed.verify(key).map_err(PersonFault::Signature)?;
        match read == self.personal(party, person.clone()) {
            true => Ok(Person {
                name: named(&person, key),
                signed: Some(signed.clone()),
            }),
            false => Err(PersonFault::Other),
        }
    }
}
