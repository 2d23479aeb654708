//! The coordinator as a program of its own: `entente-coordinator --config coordinator.toml`.

#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use coordinator::config::CoordinatorConfig;
use coordinator::server;
use tokio::signal::unix::{SignalKind, signal};

/// Introduces agents to each other, keeps the job book, and relays ciphertext.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that goes to a full disk loses lines, and nothing else stops.
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            eprintln!("error: {message}");
            ExitCode::from(exit)
        }
    }
}

/// Exit codes are those of `entente`: 2 for what the configuration says, 1 for what happens at run time.
fn run(arguments: &Arguments) -> Result<(), (u8, String)> {
    let config = CoordinatorConfig::load(&arguments.config).map_err(|e| (2, e.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| (1, format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())
            .map_err(|e| (1, format!("cannot listen for signals: {e}")))?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        server::run(config, shutdown)
            .await
            .map_err(|e| (1, e.to_string()))
    })
}
