//! How a party changes over to another key: in a statement that both keys sign, which every partner takes in before the party
//! uses the new one. For some days both count, so that no job has to wait for all to have done so.

use serde::{Deserialize, Serialize};

use super::{EnrolError, signature};
use crate::contract::{PartyName, Signed, Statement, StatementError, canonical};
use crate::tls::{Fingerprint, Identity, Pins};

/// Longest time for which two keys of a party count, in seconds.
pub const MAX_OVERLAP_SECONDS: u64 = 90 * 86_400;

/// A party's key has a successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Whose key.
    pub party: PartyName,
    /// The key that it has.
    pub from: Fingerprint,
    /// The one that comes next.
    pub to: Fingerprint,
    /// When this was signed, Unix seconds.
    pub at: u64,
    /// The last moment at which the old key counts, Unix seconds.
    pub until: u64,
}

impl Statement for Rotation {
    const CONTEXT: &'static str = "entente/v1/enrol/rotation";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), StatementError> {
        if self.from == self.to {
            return Err(StatementError("a key is not its own successor"));
        }
        let is_in_time = self.at < self.until
            && self.until - self.at <= MAX_OVERLAP_SECONDS
            && self.until <= canonical::MAX_INTEGER;
        match is_in_time {
            true => Ok(()),
            false => Err(StatementError("two keys count for at most ninety days")),
        }
    }
}

/// A [`Rotation`] as it is handed on, signed twice: with the old key, which says that the party wants it, and with the new one,
/// which says that nobody else holds that.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    old: Signed<Rotation>,
    new: Signed<Rotation>,
}

impl Handover {
    /// Signs that `new` comes after `old`, which counts for so many seconds more.
    ///
    /// # Errors
    /// [`EnrolError::Signature`] if the time is too long.
    pub fn sign(
        old: &Identity,
        new: &Identity,
        now: u64,
        seconds: u64,
    ) -> Result<Self, EnrolError> {
        let rotation = Rotation {
            party: old.name().clone(),
            from: old.fingerprint(),
            to: new.fingerprint(),
            at: now,
            until: now.saturating_add(seconds),
        };
        let signed = |by: &Identity| Signed::sign(&rotation, by).map_err(signature("rotation"));
        Ok(Self {
            old: signed(old)?,
            new: signed(new)?,
        })
    }

    /// What it says, if both keys have signed it. Whose they are is another question.
    ///
    /// # Errors
    /// [`EnrolError::Signature`], [`EnrolError::Rotation`].
    pub fn verify(&self) -> Result<Rotation, EnrolError> {
        let read = |signed: &Signed<Rotation>| {
            let key = Fingerprint::of(&signed.public_key());
            let read = signed.verify(&key).map_err(signature("rotation"))?;
            Ok::<_, EnrolError>((key, read))
        };
        let ((old, said), (new, same)) = (read(&self.old)?, read(&self.new)?);
        match said == same && said.from == old && said.to == new {
            true => Ok(said),
            false => Err(EnrolError::Rotation {
                what: "its two signatures are not those of the old and the new key under the same words",
            }),
        }
    }

    /// Takes the new key in. To take it in again changes nothing.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing has changed then.
    pub fn accept(&self, pins: &mut Pins, now: u64) -> Result<Rotation, EnrolError> {
        let said = self.verify()?;
        let pin = pins.find(&said.party);
        let pin = pin.ok_or_else(|| EnrolError::UnknownSponsor {
            sponsor: said.party.clone(),
        })?;
        if pin.fingerprint == said.to {
            return Ok(said);
        }
        if pin.fingerprint != said.from {
            return Err(EnrolError::Rotation {
                what: "it follows another key than the one that is trusted here; take what came before it in first, or ask the party",
            });
        }
        if now > said.until {
            return Err(EnrolError::Rotation {
                what: "the old key counts no longer; ask the party for its new fingerprint by a second channel",
            });
        }
        pins.succeed(&said.party, said.to, said.until)?;
        Ok(said)
    }
}
