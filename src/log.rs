//! `entente log`: whether this agent's log is what it signed.

use crate::cli::{LogCommand, LogVerifyArgs};
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::Identity;
use party_agent::ledger::log::{self, LogError};

pub(crate) async fn run(what: LogCommand) -> Outcome<Reply> {
    let LogCommand::Verify(arguments) = what;
    verify(&arguments).await
}

async fn verify(arguments: &LogVerifyArgs) -> Outcome<Reply> {
    let file = ConfigFile::locate_agent(&arguments.config)?;
    let config = file.agent_config()?;
    let identity = Identity::load(&config.identity).map_err(|error| {
        Failure::usage("identity", error.to_string()).at(config.identity.display().to_string())
    })?;
    let mut known = Vec::new();
    for path in &arguments.known {
        let signed = SignedCheckpoint::parse(&read_text(path)?);
        known.push(signed.map_err(|error| {
            Failure::usage("checkpoint", error.to_string())
                .at(path.display().to_string())
                .advice("give a file that holds one checkpoint as `entente log verify` prints it")
        })?);
    }
    let ledger = config.ledger_file();
    if !ledger.exists() {
        return Err(Failure::usage("ledger", "this agent has no ledger yet")
            .at(ledger.display().to_string())
            .advice("start the agent once: entente agent"));
    }
    let report = log::verify(&ledger, &identity.public_keys(), &known)
        .await
        .map_err(|error| {
            let (code, advice) = match &error {
                LogError::Ledger(_) => ("ledger", "is the file readable, and is it a ledger?"),
                LogError::Shorter { .. } => (
                    "rolled_back",
                    "do not run jobs with it: runs and questions that were counted are forgotten; restore the newest backup",
                ),
                _ => (
                    "log_changed",
                    "do not run jobs with it; compare with the newest backup, and with the checkpoints that your partners keep",
                ),
            };
            Failure::runtime(code, error.to_string())
                .at(ledger.display().to_string())
                .advice(advice)
        })?;
    let mut text = format!(
        "the log is whole: {} entries about {} jobs, {} checkpoints agree, the last one at {} entries\nroot {}\n",
        report.n_entries, report.n_jobs, report.n_checkpoints, report.n_signed, report.root
    );
    if let Some(note) = &report.checkpoint {
        text += &format!("\nThe last checkpoint, for partners to keep:\n\n{note}");
    }
    Ok(Reply::new(&report, text))
}
