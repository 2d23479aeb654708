//! `--party NAME=DIR`: who takes part, and where its tables are.

use crate::init::tables_in;
use crate::outcome::{Failure, FileFault, Outcome};
use coordinator::contract::PartyName;
use party_agent::policy::{Policy, PolicyError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A party of a rehearsal.
pub(crate) struct PartyDir {
    pub(crate) name: PartyName,
    /// Tables by name. None: a dealer, or a receiver without data.
    pub(crate) tables: Vec<(String, PathBuf)>,
    /// The party's own policy, if it has one.
    pub(crate) policy: Option<PathBuf>,
    /// Where its parts of models are.
    pub(crate) models: PathBuf,
}

impl PartyDir {
    pub(crate) fn new(name: PartyName, directory: &Path) -> Outcome<Self> {
        let policy = directory.join("policy.toml");
        let policy = policy.exists().then_some(policy);
        if let Some(policy) = &policy {
            check_policy(policy)?;
        }
        Ok(Self {
            name,
            tables: tables_in(directory)?,
            policy,
            models: directory.join("models"),
        })
    }
}

/// Refuses a faulty policy before anything is started, with its lines.
fn check_policy(path: &Path) -> Outcome<()> {
    Policy::load(path).map(drop).map_err(|error| {
        let failure = Failure::usage("policy_file", "the policy file cannot be used")
            .at(path.display().to_string())
            .advice("correct it; what it does not allow is refused");
        match error {
            PolicyError::Unreadable { source, .. } => failure.advice(source.to_string()),
            PolicyError::Faulty { faults, .. } => {
                failure.faults(faults.iter().map(FileFault::of).collect())
            }
            error @ (PolicyError::NegativeList { .. }
            | PolicyError::Review { .. }
            | PolicyError::Inherited { .. }) => failure.advice(error.to_string()),
        }
    })
}

/// Reads all `NAME=DIR` and reports everything that is wrong with them at once.
pub(crate) fn parse_parties(arguments: &[String]) -> Outcome<Vec<PartyDir>> {
    let mut parties: Vec<PartyDir> = Vec::new();
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for argument in arguments {
        match parse(argument) {
            Ok(party) if !names.insert(party.name.clone()) => {
                faults.push(fault(argument, "this party is named twice", None))
            }
            Ok(party) => parties.push(party),
            Err(failure) if failure.faults.is_empty() => {
                faults.push(fault(argument, &failure.what, failure.advice));
            }
            Err(failure) => faults.extend(failure.faults.into_iter().map(|inner| FileFault {
                field: Some(format!(
                    "--party {argument}: {}",
                    inner.field.unwrap_or_default()
                )),
                ..inner
            })),
        }
    }
    if faults.is_empty() {
        return Ok(parties);
    }
    Err(Failure::usage("party", "not all parties can be used")
        .at("--party")
        .advice("write --party NAME=DIR once for each party; DIR holds its tables, one .csv or .parquet file each")
        .faults(faults))
}

fn parse(argument: &str) -> Outcome<PartyDir> {
    let (name, directory) = argument
        .split_once('=')
        .ok_or_else(|| Failure::usage("party", "there is no = in it"))?;
    let name = crate::init::party_name(name, "--party")?;
    PartyDir::new(name, Path::new(directory))
}

fn fault(argument: &str, what: &str, allowed: Option<String>) -> FileFault {
    FileFault {
        line: None,
        field: Some(format!("--party {argument}")),
        what: what.to_owned(),
        allowed,
    }
}
