//! The list of keys that a party trusts: `trusted.toml`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{TomlError, read_toml};
use crate::contract::{PartyName, SignError, Signed, Statement};
use crate::logsafe::LogSafe;

const HEADER: &str = "# Keys that this party trusts. Compare a fingerprint with its owner by a second channel before it goes in here.\n";

/// One trusted key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The party.
    pub name: PartyName,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// How the fingerprint was checked, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Keys that it had before, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
}

/// A key that has a successor. Both count for a while, so that nothing has to stop when a party changes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Former {
    /// The key.
    pub fingerprint: Fingerprint,
    /// The last moment at which it counts, Unix seconds. What it signed until then stays signed.
    pub until: u64,
}

impl Pin {
    /// A party that has had one key.
    pub fn new(name: PartyName, fingerprint: Fingerprint) -> Self {
        Self {
            name,
            fingerprint,
            note: None,
            former: Vec::new(),
        }
    }

    /// Whether a key is the party's at a time in Unix seconds.
    pub fn holds_at(&self, key: &Fingerprint, at: u64) -> bool {
        let mut former = self.former.iter();
        self.fingerprint == *key || former.any(|f| f.fingerprint == *key && at <= f.until)
    }

    /// Whether a key is the party's now.
    pub fn holds(&self, key: &Fingerprint) -> bool {
        self.holds_at(key, SystemClock.now_unix_s())
    }

    /// All keys that the party ever had here, the newest first.
    pub fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        let former = self.former.iter().rev().map(|f| &f.fingerprint);
        std::iter::once(&self.fingerprint).chain(former)
    }

    /// What the party has signed with a key that is its own now.
    ///
    /// # Errors
    /// Those of [`Signed::verify`].
    pub fn verify<T: Statement>(&self, signed: &Signed<T>) -> Result<T, SignError> {
        let key = Fingerprint::of(&signed.public_key());
        let expected = if self.holds(&key) {
            key
        } else {
            self.fingerprint
        };
        signed.verify(&expected)
    }
}

/// Trusted keys. No name and no key appears twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    pins: Vec<Pin>,
}

/// Why the list cannot be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// The file cannot be read, or says something else than pins.
    #[error("{0}")]
    Toml(#[from] TomlError),
    /// The file cannot be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The name stands for another key already.
    #[error(
        "{name} is trusted already, with the key {pinned}; if its key has changed, remove that entry first"
    )]
    NameTaken {
        /// The name.
        name: PartyName,
        /// The key that it stands for.
        pinned: Fingerprint,
    },
    /// Nobody of this name is trusted.
    #[error("{name} is not trusted here")]
    Unknown {
        /// The name.
        name: PartyName,
    },
    /// The key belongs to another name already.
    #[error("the key {fingerprint} is trusted already, as {name}")]
    KeyTaken {
        /// The key.
        fingerprint: Fingerprint,
        /// The name that it has.
        name: PartyName,
    },
}

// Its text holds names, keys and positions in the operator's own file.
impl LogSafe for PinsError {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    party: Vec<Pin>,
}

impl Pins {
    /// An empty list: trusts nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a list. A missing file is an error: whether an empty list is meant is not for this function to guess.
    pub fn load(path: &Path) -> Result<Self, PinsError> {
        let file: File = read_toml(path)?;
        let mut pins = Self::new();
        for pin in file.party {
            pins.add(pin)?;
        }
        Ok(pins)
    }

    /// Writes the list, replacing the file in one step.
    pub fn save(&self, path: &Path) -> Result<(), PinsError> {
        let text = toml::to_string(&File {
            party: self.pins.clone(),
        })
        .expect("names and fingerprints are TOML strings");
        let temporary = path.with_extension("toml.new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(HEADER.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|error| PinsError::File {
            path: path.to_path_buf(),
            error,
        })
    }

    /// Adds a key. Adding the same pin again changes its note at most.
    pub fn add(&mut self, pin: Pin) -> Result<(), PinsError> {
        if let Some(same) = self
            .pins
            .iter_mut()
            .find(|p| p.name == pin.name && p.fingerprint == pin.fingerprint)
        {
            same.note = pin.note.or(same.note.take());
            return Ok(());
        }
        if let Some(pinned) = self.find(&pin.name) {
            return Err(PinsError::NameTaken {
                pinned: pinned.fingerprint,
                name: pin.name,
            });
        }
        self.check_free(&pin.fingerprint)?;
        self.pins.push(pin);
        Ok(())
    }

    /// No key has two names, be it a former one.
    fn check_free(&self, key: &Fingerprint) -> Result<(), PinsError> {
        let mut pins = self.pins.iter();
        match pins.find(|pin| pin.keys().any(|held| held == key)) {
            None => Ok(()),
            Some(pin) => Err(PinsError::KeyTaken {
                fingerprint: *key,
                name: pin.name.clone(),
            }),
        }
    }

    /// Gives a party a new key. The one that it has counts beside it until a time in Unix seconds.
    ///
    /// # Errors
    /// [`PinsError::Unknown`], [`PinsError::KeyTaken`].
    pub fn succeed(
        &mut self,
        name: &PartyName,
        key: Fingerprint,
        until: u64,
    ) -> Result<(), PinsError> {
        self.check_free(&key)?;
        let pin = self.pins.iter_mut().find(|pin| pin.name == *name);
        let pin = pin.ok_or_else(|| PinsError::Unknown { name: name.clone() })?;
        let fingerprint = std::mem::replace(&mut pin.fingerprint, key);
        pin.former.push(Former { fingerprint, until });
        Ok(())
    }

    /// The same list, in which a party that changes over stands with the key that it is known to use, if that is its own now.
    #[must_use]
    pub fn as_used(mut self, used: impl Fn(&PartyName) -> Option<Fingerprint>) -> Self {
        for pin in self.pins.iter_mut().filter(|pin| !pin.former.is_empty()) {
            if let Some(key) = used(&pin.name).filter(|key| pin.holds(key)) {
                pin.fingerprint = key;
            }
        }
        self
    }

    /// Takes a name off the list. Says whether it was there.
    pub fn remove(&mut self, name: &PartyName) -> bool {
        let n_before = self.pins.len();
        self.pins.retain(|p| p.name != *name);
        self.pins.len() < n_before
    }

    /// The entry of a name.
    pub fn find(&self, name: &PartyName) -> Option<&Pin> {
        self.pins.iter().find(|p| p.name == *name)
    }

    /// The name of a key that counts now.
    pub fn name_of(&self, fingerprint: &Fingerprint) -> Option<&PartyName> {
        let now = SystemClock.now_unix_s();
        let mut pins = self.pins.iter();
        let pin = pins.find(|pin| pin.holds_at(fingerprint, now));
        pin.map(|pin| &pin.name)
    }

    /// All entries, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// How many keys are trusted.
    pub fn len(&self) -> usize {
        self.pins.len()
    }

    /// Is nobody trusted?
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, key: u8) -> Pin {
        Pin::new(PartyName::new(name).unwrap(), Fingerprint([key; 32]))
    }

    #[test]
    fn a_name_or_key_is_trusted_once() {
        let mut pins = Pins::new();
        pins.add(pin("a", 1)).unwrap();
        pins.add(Pin {
            note: Some("by telephone".into()),
            ..pin("a", 1)
        })
        .unwrap();
        pins.add(pin("a", 1)).unwrap();
        assert_eq!(
            pins.find(&PartyName::new("a").unwrap())
                .unwrap()
                .note
                .as_deref(),
            Some("by telephone")
        );
        assert!(matches!(
            pins.add(pin("a", 2)),
            Err(PinsError::NameTaken { .. })
        ));
        assert!(matches!(
            pins.add(pin("b", 1)),
            Err(PinsError::KeyTaken { .. })
        ));
        assert!(pins.remove(&PartyName::new("a").unwrap()));
        assert!(pins.is_empty());
    }

    #[test]
    fn the_file_keeps_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.toml");
        let mut pins = Pins::new();
        pins.add(pin("a", 1)).unwrap();
        pins.add(Pin {
            note: Some("checked by \"J\"\n".into()),
            ..pin("b", 2)
        })
        .unwrap();
        pins.save(&path).unwrap();
        assert_eq!(Pins::load(&path).unwrap(), pins);
    }

    #[test]
    fn a_former_key_counts_for_its_time_and_is_never_anothers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.toml");
        let (a, now) = (PartyName::new("a").unwrap(), SystemClock.now_unix_s());
        let [first, second, third] = [1, 2, 3].map(|key| Fingerprint([key; 32]));
        let mut pins = Pins::new();
        pins.add(pin("a", 1)).unwrap();
        pins.add(pin("b", 9)).unwrap();
        pins.succeed(&a, second, now - 1).unwrap();
        pins.succeed(&a, third, now + 3600).unwrap();
        pins.save(&path).unwrap();
        assert_eq!(Pins::load(&path).unwrap(), pins);
        let known = [first, second, third].map(|key| pins.name_of(&key).is_some());
        assert_eq!(known, [false, true, true]);
        let pin_of_a = pins.find(&a).unwrap();
        assert!(pin_of_a.holds_at(&first, now - 1) && !pin_of_a.holds_at(&first, now));
        for taken in [first, second, third, Fingerprint([9; 32])] {
            let again = pins.clone().succeed(&a, taken, now + 3600);
            assert!(matches!(again, Err(PinsError::KeyTaken { .. })));
        }
        assert!(matches!(
            pins.add(pin("c", 1)),
            Err(PinsError::KeyTaken { .. })
        ));
        let nobody = PartyName::new("x").unwrap();
        let unknown = pins.succeed(&nobody, Fingerprint([4; 32]), now);
        assert!(matches!(unknown, Err(PinsError::Unknown { .. })));
        // Who uses which is looked up; a key that no longer counts is not taken.
        for (used, expected) in [(second, second), (third, third), (first, third)] {
            let seen = pins.clone().as_used(|_| Some(used));
            assert_eq!(seen.find(&a).unwrap().fingerprint, expected);
        }
    }

    #[test]
    fn a_faulty_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.toml");
        fs::write(
            &path,
            "[[party]]\nname = \"a\"\nfingerprint = \"SHA256:short\"\n",
        )
        .unwrap();
        let message = Pins::load(&path).unwrap_err().to_string();
        assert!(message.contains("trusted.toml:3:"), "{message}");
        assert!(message.contains("entente keys show"), "{message}");
    }
}
