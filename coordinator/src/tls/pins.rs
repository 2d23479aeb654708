//! The list of keys that a party trusts: `trusted.toml`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::config::{TomlError, read_toml};
use crate::contract::PartyName;
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
        if let Some(name) = self.name_of(&pin.fingerprint) {
            return Err(PinsError::KeyTaken {
                fingerprint: pin.fingerprint,
                name: name.clone(),
            });
        }
        self.pins.push(pin);
        Ok(())
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

    /// The name of a key.
    pub fn name_of(&self, fingerprint: &Fingerprint) -> Option<&PartyName> {
        self.pins
            .iter()
            .find(|p| p.fingerprint == *fingerprint)
            .map(|p| &p.name)
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
        Pin {
            name: PartyName::new(name).unwrap(),
            fingerprint: Fingerprint([key; 32]),
            note: None,
        }
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
