//! Configuration files, read strictly: an unknown field is an error, and every error has a line.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::{Clock, SystemClock};
use crate::job::book::{BookLimits, Probe};
use crate::relay::RelayLimits;
use crate::server::ServerLimits;
use crate::tls::{Identity, IdentityError, Pin, Pins, PinsError};

/// Why a TOML file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TomlError {
    /// It cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It says something that it may not.
    #[error("{path}:{line}:{column}: {what}")]
    Form {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// 1-based column.
        column: usize,
        /// What is wrong.
        what: String,
    },
}

/// Reads a TOML file into `T`.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, TomlError> {
    let text = fs::read_to_string(path).map_err(|error| TomlError::File {
        path: path.to_path_buf(),
        error,
    })?;
    parse_toml(path, &text)
}

/// Reads TOML text into `T`; `path` is for messages.
pub fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..offset];
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        TomlError::Form {
            path: path.to_path_buf(),
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: offset - line_start + 1,
            what: error.message().to_owned(),
        }
    })
}

/// The coordinator's configuration file, `coordinator.toml`:
///
/// ```toml
/// listen    = "0.0.0.0:7400"       # UDP
/// identity  = "identity"           # directory of key.pem and certificate.pem; paths are relative to this file
/// state_dir = "state"              # the journal; back it up
/// trusted   = "trusted.toml"       # the members; re-read when it changes
/// keep_jobs_days = 400             # jobs that ended longer ago are forgotten
///
/// [[member]]                       # members may also stand here
/// name        = "hospital_1"
/// fingerprint = "SHA256:…"
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoordinatorFile {
    listen: SocketAddr,
    identity: PathBuf,
    state_dir: PathBuf,
    trusted: Option<PathBuf>,
    keep_jobs_days: Option<NonZeroU32>,
    #[serde(default)]
    member: Vec<Pin>,
}

/// Who may connect: entries that stand in the configuration, and a file that is re-read when it changes.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Entries that do not change while the coordinator runs.
    pub fixed: Pins,
    /// A `trusted.toml`.
    pub file: Option<PathBuf>,
}

impl Members {
    /// All members at this moment.
    pub fn load(&self) -> Result<Pins, PinsError> {
        let mut pins = self.fixed.clone();
        if let Some(path) = &self.file {
            for pin in Pins::load(path)?.iter() {
                pins.add(pin.clone())?;
            }
        }
        Ok(pins)
    }
}

/// All that a coordinator needs to run.
pub struct CoordinatorConfig {
    /// Its key and name.
    pub identity: Arc<Identity>,
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Where the journal lives. Made if need be.
    pub state_dir: PathBuf,
    /// Who may connect.
    pub members: Members,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub limits: Limits,
    /// For tests.
    pub probe: Probe,
}

/// Bounds of all kinds. The defaults suit a consortium of up to a hundred members.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Jobs, and waiting for parties.
    pub book: BookLimits,
    /// Relayed streams.
    pub relay: RelayLimits,
    /// Connections.
    pub server: ServerLimits,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("{0}")]
    Toml(#[from] TomlError),
    /// The identity that it names.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// The list of members that it names.
    #[error("{0}")]
    Pins(#[from] PinsError),
}

impl CoordinatorConfig {
    /// A commented configuration file for a coordinator that listens on `listen`, with all else beside the file.
    pub fn template(listen: SocketAddr) -> String {
        format!(
            "\
# The coordinator introduces agents to each other, keeps the job book and relays ciphertext. Paths are relative to this file.

listen    = \"{listen}\"   # UDP; agents dial in here
identity  = \"identity\"         # directory of key.pem and certificate.pem
state_dir = \"state\"            # the job book; back it up
trusted   = \"trusted.toml\"     # the members; re-read when it changes (entente keys trust NAME SHA256:…)
# keep_jobs_days = 400           # jobs that ended longer ago, and whose contracts have expired, are forgotten
"
        )
    }

    /// Reads a configuration file, and the identity and the members that it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file: CoordinatorFile = read_toml(path)?;
        let beside = |name: PathBuf| path.parent().unwrap_or(Path::new("")).join(name);
        let mut fixed = Pins::new();
        for pin in file.member {
            fixed.add(pin)?;
        }
        let members = Members {
            fixed,
            file: file.trusted.map(beside),
        };
        members.load()?;
        let mut limits = Limits::default();
        if let Some(days) = file.keep_jobs_days {
            limits.book.keep_jobs = Duration::from_secs(u64::from(days.get()) * 86_400);
        }
        Ok(Self {
            identity: Arc::new(Identity::load(&beside(file.identity))?),
            listen: file.listen,
            state_dir: beside(file.state_dir),
            members,
            clock: Arc::new(SystemClock),
            limits,
            probe: Probe::default(),
        })
    }
}
