//! The root of a log at one size, signed by its owner, and witnessed by others.
//!
//! The formats are C2SP's: `tlog-checkpoint` (three lines: origin, size, root), `signed-note` (a text, a blank line, a line for
//! each signature) and `tlog-cosignature` (a witness signs the checkpoint together with the time at which it saw it). Tools
//! for transparency logs read them as they are.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::contract::{Digest, PartyName, PublicKey, SignatureBytes};
use crate::tls::Identity;

/// First line of every log's checkpoints, before the party's name.
const ORIGIN: &str = "entente.log/";
/// Kinds of signatures, as they go into a key's number.
const PLAIN: u8 = 1;
const COSIGNATURE: u8 = 4;
/// Before the name in a line of signature.
const DASH: &str = "\u{2014} ";
/// The longest note that is read.
const MAX_BYTES: usize = 16 << 10;

/// What a party says about its log: how long it is, and the root over all entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub party: PartyName,
    /// How many entries it has.
    pub size: u64,
    /// The root over all of them.
    pub root: Digest,
}

impl Checkpoint {
    /// The signed text.
    fn text(&self) -> String {
        let root = BASE64.encode(self.root.0);
        format!("{ORIGIN}{}\n{}\n{root}\n", self.party, self.size)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let party = PartyName::new(lines.next()?.strip_prefix(ORIGIN)?).ok()?;
        let size = lines.next()?.parse().ok()?;
        let root = BASE64.decode(lines.next()?).ok()?;
        let root = Digest(root.try_into().ok()?);
        let checkpoint = Self { party, size, root };
        // One text for one checkpoint: no further lines, no leading zeros, no other spelling of the root.
        (lines.next().is_none() && checkpoint.text() == text).then_some(checkpoint)
    }
}

/// Why a checkpoint is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note with a checkpoint.
    #[error("this is no checkpoint of a log")]
    Form,
    /// There is no valid signature of its owner.
    #[error("the checkpoint is not signed by the party whose log it is about")]
    Signature,
}

/// One line of signature.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    name: PartyName,
    key: [u8; 4],
    signature: Vec<u8>,
}

/// A checkpoint with the signature of its owner and those of witnesses.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    lines: Vec<Line>,
}

/// The number by which a line of signature names a key.
fn key_number(name: &PartyName, kind: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(ORIGIN)
        .chain_update(name.as_str())
        .chain_update([b'\n', kind])
        .chain_update(key.0);
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    [a, b, c, d]
}

/// What a witness signs.
fn witnessed(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

impl SignedCheckpoint {
    /// Signs the state of one's own log.
    pub fn sign(size: u64, root: Digest, identity: &Identity) -> Self {
        let party = identity.name().clone();
        let checkpoint = Checkpoint { party, size, root };
        let line = Line {
            name: identity.name().clone(),
            key: key_number(identity.name(), PLAIN, &identity.public_key()),
            signature: identity.sign_note(&checkpoint.text()).0.to_vec(),
        };
        Self {
            checkpoint,
            lines: vec![line],
        }
    }

    /// What it says, whether or not it is signed by anybody.
    pub fn claimed(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The same with its owner's signature alone.
    pub fn without_witnesses(&self) -> Self {
        let owner = &self.checkpoint.party;
        let lines = self.lines.iter().filter(|line| line.name == *owner);
        Self {
            checkpoint: self.checkpoint.clone(),
            lines: lines.cloned().collect(),
        }
    }

    /// Takes over the lines of witnesses that another copy of the same checkpoint has.
    pub fn merge(&mut self, other: &Self) {
        if self.checkpoint != other.checkpoint {
            return;
        }
        for line in &other.lines {
            if !self.lines.contains(line) {
                self.lines.push(line.clone());
            }
        }
    }

    /// Says that one has seen it.
    pub fn cosign(&mut self, at: u64, identity: &Identity) {
        let message = witnessed(&self.checkpoint.text(), at);
        let signature = identity.sign_note(&message);
        self.lines.push(Line {
            name: identity.name().clone(),
            key: key_number(identity.name(), COSIGNATURE, &identity.public_key()),
            signature: [&at.to_be_bytes()[..], &signature.0].concat(),
        });
    }

    /// The checkpoint, if the owner of this key has signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<&Checkpoint, CheckpointError> {
        let owner = &self.checkpoint.party;
        let number = key_number(owner, PLAIN, key);
        let text = self.checkpoint.text();
        let is_signed = self
            .lines
            .iter()
            .filter(|line| line.name == *owner && line.key == number)
            .any(|line| is_valid(key, &text, &line.signature));
        match is_signed {
            true => Ok(&self.checkpoint),
            false => Err(CheckpointError::Signature),
        }
    }

    /// When the owner of this key has seen it, if that is on it.
    pub fn seen_by(&self, name: &PartyName, key: &PublicKey) -> Option<u64> {
        let number = key_number(name, COSIGNATURE, key);
        let text = self.checkpoint.text();
        let lines = self.lines.iter();
        let mut lines = lines.filter(|line| line.name == *name && line.key == number);
        lines.find_map(|line| {
            let (at, signature) = line.signature.split_first_chunk()?;
            let at = u64::from_be_bytes(*at);
            is_valid(key, &witnessed(&text, at), signature).then_some(at)
        })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        let read = || {
            if note.len() > MAX_BYTES {
                return None;
            }
            let (text, lines) = note.split_once("\n\n")?;
            let checkpoint = Checkpoint::parse(&format!("{text}\n"))?;
            let lines = lines.strip_suffix('\n')?.split('\n');
            let lines: Option<Vec<Line>> = lines.map(Line::parse).collect();
            Some(Self {
                checkpoint,
                lines: lines?,
            })
        };
        read().ok_or(CheckpointError::Form)
    }
}

fn is_valid(key: &PublicKey, message: &str, signature: &[u8]) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0);
    let signature = signature
        .try_into()
        .map(|s| ed25519_dalek::Signature::from_bytes(&SignatureBytes(s).0));
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verify_strict(message.as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = BASE64.decode(bytes).ok()?;
        let (key, signature) = bytes.split_first_chunk()?;
        Some(Self {
            // The owner's key goes by the name of its log.
            name: PartyName::new(name.strip_prefix(ORIGIN)?).ok()?,
            key: *key,
            signature: signature.to_vec(),
        })
    }
}

/// The note.
impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.checkpoint.text())?;
        f.write_char('\n')?;
        for line in &self.lines {
            let bytes = BASE64.encode([&line.key[..], &line.signature].concat());
            writeln!(f, "{DASH}{ORIGIN}{} {bytes}", line.name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} with {} signatures",
            self.checkpoint,
            self.lines.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        let name = PartyName::new(name).expect("a valid name");
        Identity::generate(name, 1).expect("an identity")
    }

    #[test]
    fn a_note_is_read_back_and_verified() {
        let (owner, witness) = (identity("hospital"), identity("insurer"));
        let mut signed = SignedCheckpoint::sign(7, Digest([3; 32]), &owner);
        signed.cosign(1_700_000_000, &witness);
        let note = signed.to_string();
        assert!(note.starts_with("entente.log/hospital\n7\nAwMD"), "{note}");
        let back = SignedCheckpoint::parse(&note).expect("a note");
        assert_eq!(back, signed);
        let checkpoint = back.verify(&owner.public_key()).expect("signed");
        assert_eq!((checkpoint.size, checkpoint.root), (7, Digest([3; 32])));
        let seen = |key| back.seen_by(witness.name(), &key);
        assert_eq!(seen(witness.public_key()), Some(1_700_000_000));
        assert_eq!(seen(owner.public_key()), None);
        assert_eq!(back.seen_by(owner.name(), &owner.public_key()), None);
        assert!(back.verify(&witness.public_key()).is_err());
    }

    #[test]
    fn no_changed_note_is_accepted() {
        let (owner, witness) = (identity("hospital"), identity("insurer"));
        let mut signed = SignedCheckpoint::sign(70, Digest([3; 32]), &owner);
        signed.cosign(5, &witness);
        let note = signed.to_string().into_bytes();
        let (key, other) = (owner.public_key(), witness.public_key());
        for place in 0..note.len() {
            let mut changed = note.clone();
            changed[place] ^= 1;
            let Ok(text) = String::from_utf8(changed) else {
                continue;
            };
            let Ok(read) = SignedCheckpoint::parse(&text) else {
                continue;
            };
            let is_whole =
                read.verify(&key).is_ok() && read.seen_by(witness.name(), &other).is_some();
            assert!(!is_whole, "byte {place} of {text}");
        }
    }
}
