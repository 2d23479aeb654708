//! `entente coordinator` and `entente agent`: processes that run until they are asked to stop.

use crate::cli::ServeArgs;
use crate::init::{CERTIFICATE_DAYS, cannot_write};
use crate::keys::identity_dir;
use crate::locate::{ConfigFile, Owner, address_file};
use crate::outcome::{Failure, Outcome, Output, Reply};
use crate::process::asked_to_stop;
use coordinator::clock::{Clock as _, SystemClock};
use coordinator::config::CoordinatorConfig;
use coordinator::server::Server;
use coordinator::tls::{Identity, IdentityError};
use party_agent::agent::{Agent, AgentError, Mode};
use party_agent::api::types::Status;
use party_agent::config::AgentConfig;
use serde_json::json;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;

/// A certificate that ends sooner than this is renewed at the start.
const RENEW_BEFORE_S: u64 = 60 * 86_400;

/// Logs go to stderr. What may be logged is decided where it is logged ([`coordinator::logsafe`]).
fn start_logging() {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A log that goes to a full disk loses lines. To complain of it on the same stream would end the task that had something to say.
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO);
    // A second subscriber in one process would be a mistake of ours, and no reason not to serve.
    let _ = subscriber.try_init();
}

pub(crate) async fn coordinator(arguments: &ServeArgs, output: &Output) -> Outcome<()> {
    let file = ConfigFile::locate(&arguments.config)?;
    let place = file.path.display().to_string();
    if file.owner != Owner::Coordinator {
        return Err(
            Failure::usage("config", "this is not a coordinator's configuration")
                .at(place)
                .advice("name the coordinator's: --config coordinator.toml"),
        );
    }
    start_logging();
    renew_if_due(&identity_dir(&file)?)?;
    let config = CoordinatorConfig::load(&file.path).map_err(|error| {
        Failure::usage("config", error.to_string())
            .at(place)
            .advice("see `entente doctor`")
    })?;
    let name = config.identity.name().clone();
    let server = Server::bind(config).await.map_err(|error| {
        Failure::runtime("serve", error.to_string())
            .advice("is another coordinator running on this port or in this directory?")
    })?;
    let (address, fingerprint) = (server.local_addr(), server.fingerprint());
    let text =
        format!("coordinator {name} listens on {address} (UDP)\nfingerprint {fingerprint}\n");
    let document =
        json!({ "name": name, "listen": address.to_string(), "fingerprint": fingerprint });
    output.announce(&Reply::new(&document, text));
    server
        .run(asked_to_stop(arguments.until_stdin_closes))
        .await;
    Ok(())
}

pub(crate) async fn agent(arguments: &ServeArgs, output: &Output) -> Outcome<()> {
    let file = ConfigFile::locate_agent(&arguments.config)?;
    let config = file.agent_config()?;
    refuse_twice(&file).await?;
    start_logging();
    renew_if_due(&config.identity)?;
    if arguments.rehearsal {
        refuse_strangers(&config, &file.path)?;
    }
    let mode = if arguments.rehearsal {
        Mode::Rehearsal
    } else {
        Mode::Production
    };
    let (name, token_file, address_file) = (
        config.name.clone(),
        config.token_file(),
        address_file(&config),
    );
    let agent = Agent::start(config, mode)
        .await
        .map_err(|error| cannot_serve(&error, &file.path))?;
    let api = agent.api_address();
    std::fs::write(&address_file, format!("{api}\n"))
        .map_err(|error| cannot_write(&address_file, &error))?;
    let direct = agent.advertised().map_or_else(
        || "through the relay".to_owned(),
        |address| format!("directly at {address}"),
    );
    let text = format!(
        "agent {name} runs; others reach it {direct}\nfingerprint {}\n",
        agent.fingerprint()
    );
    let document = json!({
        "name": name, "api": api, "token_file": token_file, "direct": agent.advertised(), "fingerprint": agent.fingerprint(),
    });
    output.announce(&Reply::new(&document, text));
    agent.run(asked_to_stop(arguments.until_stdin_closes)).await;
    // Whoever looks for the agent now shall find nobody rather than whatever listens there next.
    let _ = std::fs::remove_file(&address_file);
    Ok(())
}

/// Two agents of one configuration would share a ledger and push each other off the line.
async fn refuse_twice(file: &ConfigFile) -> Outcome<()> {
    let Ok(client) = file.client() else {
        return Ok(());
    };
    match client.get::<Status>("/v1/status").await {
        Ok(status) => Err(Failure::usage(
            "running",
            format!("the agent of {} runs already", status.name),
        )
        .at(file.path.display().to_string())
        .advice("stop that one first")),
        Err(_) => Ok(()),
    }
}

/// An agent that approves by itself must not meet other organisations.
fn refuse_strangers(config: &AgentConfig, path: &Path) -> Outcome<()> {
    let address: Option<SocketAddr> = config.coordinator.address.parse().ok();
    if address.is_some_and(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(Failure::usage(
        "rehearsal",
        "a rehearsing agent may only dial a coordinator on this machine",
    )
    .at(path.display().to_string())
    .advice("start it without --rehearsal"))
}

/// Mistakes in files are usage; what the system refuses is a run-time failure.
fn cannot_serve(error: &AgentError, config: &Path) -> Failure {
    let what = error.to_string();
    match error {
        AgentError::Api { .. }
        | AgentError::Endpoint(_)
        | AgentError::File { .. }
        | AgentError::Ledger(_)
        | AgentError::Log(_)
        | AgentError::Randomness(_) => Failure::runtime("serve", what),
        _ => Failure::usage("serve", what),
    }
    .at(config.display().to_string())
    .advice(format!("entente doctor --config {}", config.display()))
}

/// Gives the key a new certificate before the old one ends. Partners have pinned the key, so they need do nothing.
fn renew_if_due(directory: &Path) -> Outcome<()> {
    let failed = |error: IdentityError| {
        Failure::usage("identity", error.to_string()).at(directory.display().to_string())
    };
    let identity = Identity::load(directory).map_err(failed)?;
    let now = SystemClock.now_unix_s();
    if identity.not_after().saturating_sub(now) < RENEW_BEFORE_S {
        identity
            .renew(CERTIFICATE_DAYS)
            .and_then(|renewed| renewed.save_certificate(directory))
            .map_err(failed)?;
    }
    Ok(())
}
