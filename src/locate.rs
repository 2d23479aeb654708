//! Which configuration file a command is about, and what stands where beside it.

use crate::cli::ConfigArg;
use crate::client::Client;
use crate::outcome::{Failure, FileFault, Outcome};
use party_agent::config::{AgentConfig, ConfigError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The variable that names the configuration file where `--config` does not.
const VARIABLE: &str = "ENTENTE_CONFIG";
/// Files that are looked for in the current directory, in this order.
const USUAL: [&str; 2] = ["agent.toml", "coordinator.toml"];

/// A configuration file that exists, and whose it is.
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) owner: Owner,
}

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Agent,
    Coordinator,
}

impl ConfigFile {
    /// The file that the user means: `--config`, the variable, or the usual name in this directory.
    pub(crate) fn locate(argument: &ConfigArg) -> Outcome<Self> {
        let named = argument
            .config
            .clone()
            .or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
        let found = named.or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.is_file()));
        let path = found.ok_or_else(|| {
            Failure::usage(
                "no_config",
                "no configuration file was named, and there is none in this directory",
            )
            .at(current_directory())
            .advice(format!(
                "give --config FILE, set {VARIABLE}, or make one with `entente init`"
            ))
        })?;
        Self::read(path)
    }

    fn read(path: PathBuf) -> Outcome<Self> {
        let text = read_text(&path)?;
        let document: toml::Table = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() as u64 + 1);
            let fault = FileFault {
                line,
                field: None,
                what: error.message().to_owned(),
                allowed: None,
            };
            Failure::usage("config", "the configuration file is not TOML")
                .at(path.display().to_string())
                .faults(vec![fault])
        })?;
        let owner = if document.contains_key("coordinator") {
            Owner::Agent
        } else {
            Owner::Coordinator
        };
        Ok(Self { path, owner })
    }

    /// The file of an agent: commands about jobs and data need one.
    pub(crate) fn locate_agent(argument: &ConfigArg) -> Outcome<Self> {
        let config = Self::locate(argument)?;
        match config.owner {
            Owner::Agent => Ok(config),
            Owner::Coordinator => Err(Failure::usage(
                "config",
                "this is not an agent's configuration",
            )
            .at(config.path.display().to_string())
            .advice("name the agent's: --config agent.toml")),
        }
    }

    /// The running agent of this configuration.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let config = self.agent_config()?;
        let start = format!("entente agent --config {}", self.path.display());
        // The agent writes down where it listens, which the configuration may leave to the system.
        let written = std::fs::read_to_string(address_file(&config)).ok();
        let address = written
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(config.api);
        let token = std::fs::read_to_string(config.token_file()).map_err(|error| {
            let failure = match error.kind() {
                ErrorKind::NotFound => {
                    Failure::runtime("agent_not_running", "the agent has not been started yet")
                }
                _ => Failure::runtime(
                    "token",
                    format!("the agent's token cannot be read: {error}"),
                ),
            };
            failure
                .at(config.token_file().display().to_string())
                .advice(format!("start it: {start}"))
        })?;
        Ok(Client::new(address, &token, start))
    }

    /// The checked configuration of an agent.
    pub(crate) fn agent_config(&self) -> Outcome<AgentConfig> {
        AgentConfig::load(&self.path).map_err(|error| {
            let failure = Failure::usage("config", "the configuration cannot be used")
                .at(self.path.display().to_string());
            match error {
                ConfigError::Unreadable { source, .. } => failure.advice(source.to_string()),
                ConfigError::Faulty { faults, .. } => {
                    let pin = faults
                        .iter()
                        .any(|fault| fault.field == "coordinator.fingerprint");
                    let advice = if pin {
                        "entente keys trust COORDINATOR SHA256:…"
                    } else {
                        "correct the file"
                    };
                    failure
                        .faults(faults.iter().map(FileFault::of).collect())
                        .advice(advice)
                }
            }
        })
    }
}

/// Where a running agent writes the address of its local API.
pub(crate) fn address_file(config: &AgentConfig) -> PathBuf {
    config.state.join("api-address")
}

/// Reads a file that the user named.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage("file", format!("the file cannot be read: {error}"))
            .at(path.display().to_string())
            .advice("check the name and the permissions")
    })?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage("file", "the file is not UTF-8 text")
            .at(path.display().to_string())
            .advice("save it as UTF-8")
    })
}

fn current_directory() -> String {
    std::env::current_dir()
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}
