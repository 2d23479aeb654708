//! Why an agent does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use coordinator::contract::{PartyName, SignError};
use coordinator::tls::{EndpointError, IdentityError, PinsError};

use super::random::NoRandomness;
use crate::config::ConfigError;
use crate::ledger::LedgerError;
use crate::ledger::log::LogError;
use crate::policy::PolicyError;
use crate::source::SourceError;
use crate::spec::Fault;

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key or the certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The key belongs to another name.
    #[error(
        "the certificate is for {certificate}, but the configuration says name = \"{configured}\"; correct one of them"
    )]
    Name {
        /// The name in the certificate.
        certificate: PartyName,
        /// The name in the configuration.
        configured: PartyName,
    },
    /// The list of trusted parties.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log is not what this agent signed.
    #[error(
        "the agent does not start, because its log cannot be relied upon: {0}; compare with the newest backup and with the checkpoints that partners keep"
    )]
    Log(#[from] LogError),
    /// A dataset.
    #[error("dataset {name}: {source}")]
    Dataset {
        /// The dataset.
        name: String,
        /// What is wrong with it.
        source: SourceError,
    },
    /// The list of datasets that were registered while the agent ran.
    #[error("{path} has faults: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Datasets {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
    /// The catalogue cannot be signed.
    #[error("the catalogue cannot be published: {0}; publish fewer categories or columns")]
    Catalogue(#[from] SignError),
    /// A UDP socket.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The local API's socket.
    #[error("the local API cannot listen on {address}: {source}; is this agent running already?")]
    Api {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file or directory of the agent's own.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The operating system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}
