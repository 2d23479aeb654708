//! `entente negative-list`: for whoever keeps the list for all.

use crate::cli::{NegativeListCommand, NegativeListSignArgs};
use crate::init::cannot_write;
use crate::keys::identity_dir;
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::contract::Signed;
use coordinator::tls::{Fingerprint, Identity};
use party_agent::policy::negative::{NegativeList, NegativeRule};
use serde::Deserialize;
use serde_json::json;

pub(crate) fn run(what: NegativeListCommand) -> Outcome<Reply> {
    let NegativeListCommand::Sign(arguments) = what;
    sign(&arguments)
}

/// The list as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    #[serde(default, rename = "rule")]
    rules: Vec<NegativeRule>,
    #[serde(default)]
    revoked: Vec<Fingerprint>,
}

fn sign(arguments: &NegativeListSignArgs) -> Outcome<Reply> {
    let faulty = |what: String| {
        Failure::usage("negative_list", what)
            .at(arguments.list.display().to_string())
            .advice("version = 1, and for each rule [[rule]] with id, columns and reason; tables, class, purposes and receivers if wanted; revoked = [\"SHA256:…\"] for keys that count no longer")
    };
    let written: Written = toml::from_str(&read_text(&arguments.list)?)
        .map_err(|error| faulty(error.message().to_owned()))?;
    let directory = identity_dir(&ConfigFile::locate(&arguments.config)?)?;
    let identity = Identity::load(&directory).map_err(|error| {
        Failure::usage("identity", error.to_string()).at(directory.display().to_string())
    })?;
    let list = NegativeList {
        issuer: identity.name().clone(),
        version: written.version,
        rules: written.rules,
        revoked: written.revoked,
    };
    let signed = Signed::sign(&list, &identity).map_err(|error| faulty(error.to_string()))?;
    let text = serde_json::to_string(&signed).expect("a signed statement has a JSON form");
    std::fs::write(&arguments.out, text).map_err(|error| cannot_write(&arguments.out, &error))?;
    let (n_rules, n_revoked, version) = (list.rules.len(), list.revoked.len(), list.version);
    Ok(Reply::new(
        &json!({ "issuer": list.issuer, "version": version, "rules": n_rules, "revoked": n_revoked, "file": arguments.out }),
        format!(
            "version {version} of the negative list of {}, {n_rules} rules, {n_revoked} revoked keys: {}\nHolders name the file and the issuer under [negative_list] in agent.toml.\n",
            list.issuer,
            arguments.out.display()
        ),
    ))
}
