//! The agent's configuration file: who this agent is, whom it dials, where it listens, which tables it holds.
//!
//! Relative paths are relative to the file. Nothing here decides what a job may do: that is
//! [`crate::policy`].

pub(crate) mod fields;
pub(crate) mod range;
mod read;
mod template;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use coordinator::contract::PartyName;
use coordinator::tls::{Fingerprint, Former, Pin};

use crate::policy::negative::NegativeListFile;
use crate::source::{Consent, DatasetSpec};
use crate::spec::Fault;

pub use template::{
    POLICY_TEMPLATE, Template, template, with_coordinator_pin, with_coordinator_successor,
    write_datasets,
};

/// Jobs that may run at the same time if the file does not say.
pub const DEFAULT_CONCURRENT_JOBS: u64 = 2;

/// Keys that are kept in memory if the file does not say: about 200 MB with what a protocol needs of them.
pub const DEFAULT_KEYS_IN_MEMORY: u64 = 1 << 22;

/// A configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// This party's name.
    pub name: PartyName,
    /// Directory with `key.pem` and `certificate.pem`, as [`coordinator::tls::Identity::save`] writes them.
    pub identity: PathBuf,
    /// The parties that this agent trusts, with their fingerprints.
    pub trusted: PathBuf,
    /// Where the ledger, the results and the API token are kept.
    pub state: PathBuf,
    /// The policy file.
    pub policy: PathBuf,
    /// Whom to dial.
    pub coordinator: CoordinatorAddress,
    /// Where other agents can dial this one, if they can.
    pub direct: Option<Direct>,
    /// Where the local HTTP API listens: a loopback address.
    pub api: SocketAddr,
    /// Jobs that may run at the same time.
    pub concurrent_jobs: usize,
    /// Keys of one table that an intersection keeps in memory; larger tables go through files where the protocol lets them.
    pub keys_in_memory: usize,
    /// The negative list that this holder keeps to, if it keeps to one.
    pub negative_list: Option<NegativeListFile>,
    /// The tables.
    pub datasets: Vec<Dataset>,
}

/// The coordinator, as this agent expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorAddress {
    /// Its name in its certificate.
    pub name: PartyName,
    /// `host:port`.
    pub address: String,
    /// Its pinned key.
    pub fingerprint: Fingerprint,
    /// Keys that it had before, the oldest first, and until when they count beside it.
    pub former: Vec<Former>,
}

impl CoordinatorAddress {
    /// Its name with the keys that it may have.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin {
            former: self.former.clone(),
            ..Pin::new(self.name.clone(), self.fingerprint)
        }
    }
}

/// How other agents reach this one without the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// `host:port` that the others are told; the bound address if the file does not say.
    pub advertise: Option<String>,
}

/// One table of this holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The table's name in jobs, without the party's.
    pub name: String,
    /// Where its rows are.
    pub spec: DatasetSpec,
    /// Whose rows may be used; everybody's where nothing is written.
    pub consent: Option<Consent>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file says something wrong.
    #[error("the configuration {path} has {} fault(s): {}", faults.len(), fields::Listed(faults))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
}

impl AgentConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base).map_err(|faults| ConfigError::Faulty {
            path: path.to_owned(),
            faults,
        })
    }

    /// Reads a configuration; relative paths in it are relative to `base`.
    ///
    /// # Errors
    /// All faults of the text.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<Fault>> {
        read::agent(text, base)
    }

    /// The file with the token for the local API.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state.join("api-token")
    }

    /// The ledger's database.
    #[must_use]
    pub fn ledger_file(&self) -> PathBuf {
        self.state.join("ledger.sqlite")
    }

    /// Where the results of a job are written.
    #[must_use]
    pub fn results_dir(&self) -> PathBuf {
        self.state.join("results")
    }

    /// Where tables are kept that are looked keys up in: this party's own, with their keys, and others' that it was sent.
    #[must_use]
    pub fn tables_dir(&self) -> PathBuf {
        self.state.join("tables")
    }

    /// Where fits stand that broke off and may be gone on with.
    #[must_use]
    pub fn checkpoints_dir(&self) -> PathBuf {
        self.state.join("checkpoints")
    }

    /// The secret behind this party's commitments to its tables.
    #[must_use]
    pub fn commitments_file(&self) -> PathBuf {
        self.state.join("commitments.secret")
    }

    /// Tables that were registered while the agent ran.
    #[must_use]
    pub fn datasets_file(&self) -> PathBuf {
        self.state.join("datasets.toml")
    }
}

/// Reads a list of `[[dataset]]` tables; relative paths are relative to `base`.
///
/// # Errors
/// All faults of the text.
pub fn parse_datasets(text: &str, base: &Path) -> Result<Vec<Dataset>, Vec<Fault>> {
    read::datasets(text, base)
}
