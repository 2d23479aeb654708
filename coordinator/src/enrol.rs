//! How a party becomes known by way of one that is known: a one-time invite, a proof that the newcomer holds its key, and the
//! sponsor's word, which others check against the key by which they know the sponsor.
//!
//! Nobody is trusted by it who did not decide so: each of these documents is a file that a person hands on and another takes in.
//! The sponsor's book of invites stands beside its list of trusted keys, and an invite in it is used once.

mod rotation;

pub use rotation::{Handover, MAX_OVERLAP_SECONDS, Rotation};

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use crate::config::{TomlError, read_toml};
use crate::contract::{
    Digest, Nonce, PartyName, SignError, Signed, Statement, StatementError, canonical,
};
use crate::tls::{Fingerprint, Identity, Pin, Pins, PinsError};

/// Longest time for which an invite can be used, in seconds.
pub const MAX_INVITE_SECONDS: u64 = 30 * 86_400;

/// A sponsor asks one party, once, to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// Who asks.
    pub sponsor: PartyName,
    /// Whom.
    pub party: PartyName,
    /// Drawn for this invite: what the newcomer's signature is fresh by.
    pub nonce: Nonce,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// It counts for nothing afterwards, Unix seconds.
    pub not_after: u64,
}

/// A newcomer's answer, signed with the key that it proves to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Digest of the invite.
    pub invite: Digest,
    /// Its nonce.
    pub nonce: Nonce,
    /// Who answers.
    pub party: PartyName,
}

/// A sponsor's word that a key is a party's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Whose word.
    pub sponsor: PartyName,
    /// The party.
    pub party: PartyName,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Digest of the invite by which it came.
    pub invite: Digest,
    /// When, Unix seconds.
    pub at: u64,
}

impl Statement for Invite {
    const CONTEXT: &'static str = "entente/v1/enrol/invite";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), StatementError> {
        if self.sponsor == self.party {
            return Err(StatementError("nobody invites itself"));
        }
        let is_in_time = self.created < self.not_after
            && self.not_after - self.created <= MAX_INVITE_SECONDS
            && self.not_after <= canonical::MAX_INTEGER;
        match is_in_time {
            true => Ok(()),
            false => Err(StatementError("an invite holds for at most thirty days")),
        }
    }
}

impl Statement for Application {
    const CONTEXT: &'static str = "entente/v1/enrol/application";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), StatementError> {
        Ok(())
    }
}

impl Statement for Membership {
    const CONTEXT: &'static str = "entente/v1/enrol/membership";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), StatementError> {
        if self.sponsor == self.party {
            return Err(StatementError("nobody is its own sponsor"));
        }
        match self.at <= canonical::MAX_INTEGER {
            true => Ok(()),
            false => Err(StatementError("the time is out of range")),
        }
    }
}

/// Why somebody is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A document is not validly signed by whom it should be.
    #[error("the {what} is not validly signed: {error}")]
    Signature {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        error: SignError,
    },
    /// The sponsor is not trusted here.
    #[error(
        "{sponsor} is not trusted here; if you know its key: entente keys trust {sponsor} SHA256:…"
    )]
    UnknownSponsor {
        /// Who vouches.
        sponsor: PartyName,
    },
    /// The invite is for another party.
    #[error("the invite is for {invited}, and this is {party}")]
    OtherParty {
        /// Who was invited.
        invited: PartyName,
        /// Who answers.
        party: PartyName,
    },
    /// This sponsor has made no such invite.
    #[error("the application answers no invite of this sponsor")]
    UnknownInvite,
    /// The invite was used.
    #[error("the invite was used already, by the key {by}; make a new one")]
    Used {
        /// The key that used it.
        by: Fingerprint,
    },
    /// The invite's time is over.
    #[error("the invite expired at Unix time {not_after}; make a new one")]
    Expired {
        /// Unix seconds.
        not_after: u64,
    },
    /// A change of keys that does not follow from what is known.
    #[error("this change of keys is not taken in: {what}")]
    Rotation {
        /// Why not, and what to do.
        what: &'static str,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
    /// The name or the key is trusted already as something else.
    #[error("{0}")]
    Pins(#[from] PinsError),
    /// The book of invites cannot be read.
    #[error("{0}")]
    Toml(#[from] TomlError),
    /// The book of invites cannot be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// One invite that this sponsor has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    invite: Digest,
    party: PartyName,
    nonce: Nonce,
    not_after: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by: Option<Fingerprint>,
}

/// The invites that a sponsor has made, in a file.
#[derive(Debug)]
pub struct Invites {
    path: PathBuf,
    made: Vec<Made>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    #[serde(default)]
    invite: Vec<Made>,
}

impl Invites {
    /// Opens the book, which is empty as long as there is no file.
    ///
    /// # Errors
    /// [`EnrolError::Toml`].
    pub fn open(path: &Path) -> Result<Self, EnrolError> {
        let book: Book = match path.exists() {
            true => read_toml(path)?,
            false => Book::default(),
        };
        let (path, made) = (path.to_path_buf(), book.invite);
        Ok(Self { path, made })
    }

    /// Makes an invite that holds for so many seconds, and writes it down.
    ///
    /// # Errors
    /// [`EnrolError::Signature`] if its time is too long or it is for the sponsor itself; [`EnrolError::Randomness`], [`EnrolError::File`].
    pub fn make(
        &mut self,
        party: PartyName,
        seconds: u64,
        sponsor: &Identity,
        now: u64,
    ) -> Result<Signed<Invite>, EnrolError> {
        let mut nonce = Nonce([0; 32]);
        let drawn = rand::rngs::SysRng.try_fill_bytes(&mut nonce.0);
        drawn.map_err(|_| EnrolError::Randomness)?;
        let invite = Invite {
            sponsor: sponsor.name().clone(),
            party: party.clone(),
            nonce,
            created: now,
            not_after: now.saturating_add(seconds),
        };
        let signed = Signed::sign(&invite, sponsor).map_err(signature("invite"))?;
        self.made.push(Made {
            invite: signed.digest(),
            party,
            nonce,
            not_after: invite.not_after,
            used_by: None,
        });
        self.save()?;
        Ok(signed)
    }

    /// Takes an application: whoever signed it holds the key, for the nonce was drawn for it. The invite is used up on disk before
    /// the sponsor gives its word, and the key is among `pins` afterwards.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing has changed then.
    pub fn admit(
        &mut self,
        application: &Signed<Application>,
        (sponsor, pins): (&Identity, &mut Pins),
        now: u64,
    ) -> Result<Signed<Membership>, EnrolError> {
        let fingerprint = Fingerprint::of(&application.public_key());
        let read = application.verify(&fingerprint);
        let read = read.map_err(signature("application"))?;
        let made = self.made.iter_mut().find(|made| made.invite == read.invite);
        let made = made.filter(|made| made.nonce == read.nonce);
        let made = made.ok_or(EnrolError::UnknownInvite)?;
        if made.party != read.party {
            return Err(EnrolError::OtherParty {
                invited: made.party.clone(),
                party: read.party,
            });
        }
        if let Some(by) = made.used_by {
            return Err(EnrolError::Used { by });
        }
        if now > made.not_after {
            let not_after = made.not_after;
            return Err(EnrolError::Expired { not_after });
        }
        pins.add(Pin {
            note: Some(format!("by invite {}", read.invite)),
            ..Pin::new(read.party.clone(), fingerprint)
        })?;
        made.used_by = Some(fingerprint);
        self.save()?;
        let membership = Membership {
            sponsor: sponsor.name().clone(),
            party: read.party,
            fingerprint,
            invite: read.invite,
            at: now,
        };
        Signed::sign(&membership, sponsor).map_err(signature("membership"))
    }

    fn save(&self) -> Result<(), EnrolError> {
        let book = Book {
            invite: self.made.clone(),
        };
        let text = toml::to_string(&book).expect("names and hexadecimal digits are TOML strings");
        let temporary = self.path.with_extension("toml.new");
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        };
        write().map_err(|error| EnrolError::File {
            path: self.path.clone(),
            error,
        })
    }
}

/// A newcomer answers an invite of a sponsor that it knows by this key.
///
/// # Errors
/// [`EnrolError`].
pub fn apply(
    invite: &Signed<Invite>,
    sponsor: &Pin,
    identity: &Identity,
    now: u64,
) -> Result<Signed<Application>, EnrolError> {
    let read = sponsor.verify(invite);
    let read = read.map_err(signature("invite"))?;
    if read.sponsor != sponsor.name {
        return Err(EnrolError::UnknownSponsor {
            sponsor: read.sponsor,
        });
    }
    if read.party != *identity.name() {
        return Err(EnrolError::OtherParty {
            invited: read.party,
            party: identity.name().clone(),
        });
    }
    if now > read.not_after {
        let not_after = read.not_after;
        return Err(EnrolError::Expired { not_after });
    }
    let application = Application {
        invite: invite.digest(),
        nonce: read.nonce,
        party: read.party,
    };
    Signed::sign(&application, identity).map_err(signature("application"))
}

/// Takes a sponsor's word: the key goes among `pins`, if the sponsor stands there.
///
/// # Errors
/// [`EnrolError`]; nothing has changed then.
pub fn trust(membership: &Signed<Membership>, pins: &mut Pins) -> Result<Membership, EnrolError> {
    let key = Fingerprint::of(&membership.public_key());
    let read = membership.verify(&key).map_err(signature("membership"))?;
    let sponsor = pins.find(&read.sponsor);
    let sponsor = sponsor.ok_or_else(|| EnrolError::UnknownSponsor {
        sponsor: read.sponsor.clone(),
    })?;
    let read = sponsor.verify(membership);
    let read = read.map_err(signature("membership"))?;
    pins.add(Pin {
        note: Some(format!("sponsored by {}", read.sponsor)),
        ..Pin::new(read.party.clone(), read.fingerprint)
    })?;
    Ok(read)
}

fn signature(what: &'static str) -> impl FnOnce(SignError) -> EnrolError {
    move |error| EnrolError::Signature { what, error }
}
