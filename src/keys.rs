//! `entente keys`: what people read to each other over the phone, and what they write down of it.

use crate::cli::{ConfigArg, KeysCommand, PersonArgs, TrustArgs};
use crate::enrol;
use crate::init::{CERTIFICATE_DAYS, cannot_write, fingerprint, party_name};
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::contract::PartyName;
use coordinator::tls::{Fingerprint, Former, Identity, Pin, Pins};
use party_agent::config::{with_coordinator_pin, with_coordinator_successor};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

pub(crate) fn run(what: KeysCommand) -> Outcome<Reply> {
    match what {
        KeysCommand::Show(argument) => show(&argument),
        KeysCommand::Trust(arguments) => trust(&arguments),
        KeysCommand::Person(arguments) => of_person(&arguments),
        KeysCommand::Invite(arguments) => enrol::invite(&arguments),
        KeysCommand::Apply(arguments) => enrol::apply(&arguments),
        KeysCommand::Admit(arguments) => enrol::admit(&arguments),
        KeysCommand::Accept(arguments) => enrol::accept(&arguments),
        KeysCommand::Rotate(arguments) => enrol::rotate(&arguments),
    }
}

/// What agents' and coordinators' configurations say alike about keys. A configuration that still lacks
/// the coordinator's key cannot be loaded as a whole, and these commands are how it gets it.
#[derive(Deserialize)]
pub(crate) struct Keys {
    pub(crate) identity: PathBuf,
    trusted: Option<PathBuf>,
    coordinator: Option<CoordinatorKey>,
}

#[derive(Deserialize)]
struct CoordinatorKey {
    name: PartyName,
    fingerprint: Option<Fingerprint>,
    #[serde(default)]
    former: Vec<Former>,
}

impl Keys {
    pub(crate) fn read(config: &ConfigFile) -> Outcome<Self> {
        let base = config.path.parent().unwrap_or(std::path::Path::new(""));
        let keys: Self = toml::from_str(&read_text(&config.path)?).map_err(|error| {
            Failure::usage("config", error.message().to_owned())
                .at(config.path.display().to_string())
                .advice("compare with a file that `entente init` makes")
        })?;
        Ok(Self {
            identity: base.join(keys.identity),
            trusted: keys.trusted.map(|path| base.join(path)),
            ..keys
        })
    }

    /// The list of trusted keys, which need not be there yet.
    pub(crate) fn trusted_file(&self) -> Outcome<PathBuf> {
        self.trusted.clone().ok_or_else(|| {
            Failure::usage(
                "config",
                "the configuration names no file of trusted parties",
            )
            .advice("add: trusted = \"trusted.toml\"")
        })
    }

    /// The coordinator's key, if it is known.
    pub(crate) fn coordinator_pin(&self) -> Option<Pin> {
        let known = self.coordinator.as_ref()?;
        let fingerprint = known.fingerprint?;
        Some(Pin {
            former: known.former.clone(),
            ..Pin::new(known.name.clone(), fingerprint)
        })
    }
}

/// The directory of a configuration's key and certificate.
pub(crate) fn identity_dir(config: &ConfigFile) -> Outcome<PathBuf> {
    Ok(Keys::read(config)?.identity)
}

fn show(argument: &ConfigArg) -> Outcome<Reply> {
    let config = ConfigFile::locate(argument)?;
    let keys = Keys::read(&config)?;
    let identity = Identity::load(&keys.identity).map_err(|error| {
        Failure::usage("identity", error.to_string()).at(keys.identity.display().to_string())
    })?;
    let fingerprint = identity.fingerprint().to_string();
    let trusted: Vec<Pin> = match &keys.trusted {
        Some(path) => load_pins(path)?.iter().cloned().collect(),
        None => Vec::new(),
    };
    let mut text = format!("{}  {fingerprint}\n", identity.name());
    if let Some(coordinator) = &keys.coordinator {
        let key = coordinator
            .fingerprint
            .map_or_else(|| "(not known yet)".to_owned(), |key| key.to_string());
        text += &format!("coordinator {}  {key}\n", coordinator.name);
    }
    for pin in &trusted {
        text += &format!("trusted {}  {}\n", pin.name, pin.fingerprint);
    }
    let document = json!({
        "name": identity.name(), "fingerprint": fingerprint, "valid_until_unix_s": identity.not_after(), "trusted": trusted,
        "coordinator": keys.coordinator.map(|c| json!({ "name": c.name, "fingerprint": c.fingerprint })),
    });
    Ok(Reply::new(&document, text))
}

fn trust(arguments: &TrustArgs) -> Outcome<Reply> {
    let name = party_name(&arguments.name, "NAME")?;
    let key = fingerprint(&arguments.fingerprint, "SHA256:…")?;
    let config = ConfigFile::locate(&arguments.config)?;
    let keys = Keys::read(&config)?;
    let file = match &keys.coordinator {
        Some(coordinator) if coordinator.name == name => {
            trust_coordinator(&config, coordinator, &key)?
        }
        _ => trust_party(
            &keys,
            Pin {
                note: arguments.note.clone(),
                ..Pin::new(name.clone(), key)
            },
        )?,
    };
    let text = format!(
        "{name} is trusted with {key}\n({}; a process that runs sees it within seconds)\n",
        file.display()
    );
    Ok(Reply::new(
        &json!({ "name": name, "fingerprint": key, "file": file }),
        text,
    ))
}

fn of_person(arguments: &PersonArgs) -> Outcome<Reply> {
    let name = party_name(&arguments.name, "NAME")?;
    let failed = |error: coordinator::tls::IdentityError| {
        Failure::usage("identity", error.to_string()).at(arguments.dir.display().to_string())
    };
    let identity = Identity::generate(name.clone(), CERTIFICATE_DAYS).map_err(failed)?;
    identity.save(&arguments.dir).map_err(failed)?;
    let key = identity.fingerprint();
    let text = format!("in the policy, under [persons]:\n{name} = \"{key}\"\n");
    let document = json!({ "name": name, "fingerprint": key, "dir": arguments.dir });
    Ok(Reply::new(&document, text))
}

fn trust_party(keys: &Keys, pin: Pin) -> Outcome<PathBuf> {
    let path = keys.trusted_file()?;
    let mut pins = if path.exists() {
        load_pins(&path)?
    } else {
        Pins::new()
    };
    pins.add(pin).map_err(|error| {
        Failure::usage("trust", error.to_string()).at(path.display().to_string())
    })?;
    pins.save(&path).map_err(|error| {
        Failure::runtime("write", error.to_string()).at(path.display().to_string())
    })?;
    Ok(path)
}

/// The coordinator is no party to jobs: its key stands in the configuration, not among the parties'.
fn trust_coordinator(
    config: &ConfigFile,
    known: &CoordinatorKey,
    key: &Fingerprint,
) -> Outcome<PathBuf> {
    if known.fingerprint.as_ref() == Some(key) {
        return Ok(config.path.clone());
    }
    let place = config.path.display().to_string();
    let text = with_coordinator_pin(&read_text(&config.path)?, key).ok_or_else(|| {
        Failure::usage(
            "trust",
            format!(
                "{} has another key in the configuration already",
                known.name
            ),
        )
        .at(format!("{place}, [coordinator] fingerprint"))
        .advice(format!(
            "if its key has really changed, write there: fingerprint = \"{key}\""
        ))
    })?;
    replace(config, &text)?;
    Ok(config.path.clone())
}

/// Writes the keys of a coordinator that changes over to another one into the configuration.
pub(crate) fn succeed_coordinator(config: &ConfigFile, pin: &Pin) -> Outcome<()> {
    let text = read_text(&config.path)?;
    let written = with_coordinator_successor(&text, pin).ok_or_else(|| {
        let former = pin.former.last().map(|f| f.until).unwrap_or_default();
        Failure::usage(
            "trust",
            "the coordinator's key does not stand on a line of its own under [coordinator]",
        )
        .at(config.path.display().to_string())
        .advice(format!(
            "write there: fingerprint = \"{}\", and add the key that was there to: former = [{{ fingerprint = \"…\", until = {former} }}]",
            pin.fingerprint
        ))
    })?;
    replace(config, &written)
}

/// Replaces a configuration in one step.
fn replace(config: &ConfigFile, text: &str) -> Outcome<()> {
    let temporary = config.path.with_extension("toml.new");
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, &config.path))
        .map_err(|error| cannot_write(&config.path, &error))
}

pub(crate) fn load_pins(path: &std::path::Path) -> Outcome<Pins> {
    Pins::load(path)
        .map_err(|error| Failure::usage("trust", error.to_string()).at(path.display().to_string()))
}
