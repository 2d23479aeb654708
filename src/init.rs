//! `entente init`: a key and commented files, in a directory of its own. Nothing is ever overwritten.

use crate::cli::{InitAgentArgs, InitCommand, InitCoordinatorArgs};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::contract::PartyName;
use coordinator::tls::{Fingerprint, Identity};
use party_agent::catalogue::ColumnKind;
use party_agent::config::{POLICY_TEMPLATE, Template, template};
use party_agent::source::Source;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How long a new certificate is valid. The key outlives it: a process renews it in time, without new pins.
pub(crate) const CERTIFICATE_DAYS: u32 = 730;
/// Any free loopback port: two agents on one machine do not get into each other's way.
const API: &str = "127.0.0.1:0";

pub(crate) async fn run(what: InitCommand) -> Outcome<Reply> {
    match what {
        InitCommand::Coordinator(arguments) => coordinator(&arguments),
        InitCommand::Agent(arguments) => agent(&arguments).await,
    }
}

fn coordinator(arguments: &InitCoordinatorArgs) -> Outcome<Reply> {
    let name = party_name(&arguments.name, "--name")?;
    let listen = socket_address(&arguments.listen, "--listen")?;
    let directory = Directory::new(
        &arguments.dir,
        &["coordinator.toml", "trusted.toml", "identity"],
    )?;
    let fingerprint = directory.identity(name.clone())?;
    directory.file("trusted.toml", TRUSTED)?;
    let config = directory.file("coordinator.toml", &coordinator_toml(&name, listen))?;
    let text = format!(
        "Coordinator {name} is prepared in {dir}.\n\n  Fingerprint, to be read to each member over the phone:\n    \
         {fingerprint}\n\n  Next, for each member, with the fingerprint that it reads to you:\n    \
         entente keys trust NAME SHA256:… --config {config}\n  Then:\n    entente coordinator --config {config}\n",
        dir = arguments.dir.display(),
        config = config.display(),
    );
    let document = json!({ "name": name, "fingerprint": fingerprint.to_string(), "config": config, "listen": listen });
    Ok(Reply::new(&document, text))
}

async fn agent(arguments: &InitAgentArgs) -> Outcome<Reply> {
    let name = party_name(&arguments.name, "--name")?;
    let (coordinator, address) = arguments.coordinator.split_once('=').ok_or_else(|| {
        Failure::usage(
            "argument",
            format!("\"{}\" is not NAME=HOST:PORT", arguments.coordinator),
        )
        .at("--coordinator")
        .advice("write for example hub=hub.example.org:7400")
    })?;
    let coordinator = party_name(coordinator, "--coordinator")?;
    let known = Template {
        name: name.clone(),
        coordinator: coordinator.clone(),
        address: host_port(address, "--coordinator")?.to_owned(),
        fingerprint: arguments
            .coordinator_key
            .as_deref()
            .map(|text| fingerprint(text, "--coordinator-key"))
            .transpose()?,
        direct: direct(arguments)?,
        api: API.to_owned(),
        files: arguments
            .data
            .as_deref()
            .map(tables_in)
            .transpose()?
            .unwrap_or_default(),
    };
    let policy_text = match &arguments.data {
        Some(data) => POLICY_TEMPLATE.to_owned() + &suggestions(data).await?,
        None => POLICY_TEMPLATE.to_owned(),
    };
    let directory = Directory::new(
        &arguments.dir,
        &["agent.toml", "policy.toml", "trusted.toml", "identity"],
    )?;
    let own = directory.identity(name.clone())?;
    directory.file("trusted.toml", TRUSTED)?;
    let policy = directory.file("policy.toml", &policy_text)?;
    let config = directory.file("agent.toml", &template(&known))?;
    let text = agent_text(&known, &own, &config, &policy);
    let tables: Vec<&String> = known.files.iter().map(|(table, _)| table).collect();
    let document = json!({
        "name": name, "fingerprint": own.to_string(), "config": config, "policy": policy,
        "coordinator": coordinator, "tables": tables,
    });
    Ok(Reply::new(&document, text))
}

fn agent_text(known: &Template, own: &Fingerprint, config: &Path, policy: &Path) -> String {
    let config = config.display();
    let mut text = format!(
        "Agent {} is prepared.\n\n  Fingerprint, to be read to the coordinator and to each partner over the phone:\n    {own}\n\n  Next:\n",
        known.name
    );
    if known.fingerprint.is_none() {
        text += &format!(
            "    entente keys trust {} SHA256:… --config {config}     (the coordinator)\n",
            known.coordinator
        );
    }
    text += &format!("    entente keys trust PARTNER SHA256:… --config {config}\n");
    match known.files.as_slice() {
        [] => {
            text += &format!(
                "    entente dataset add TABLE FILE --config {config}     (once the agent runs)\n"
            )
        }
        files => {
            let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            text += &format!("    (tables: {})\n", names.join(", "));
        }
    }
    text + &format!(
        "    edit {}: what others may do with your columns; now: nothing\n    entente agent --config {config}\n",
        policy.display()
    )
}

fn direct(arguments: &InitAgentArgs) -> Outcome<Option<(String, Option<String>)>> {
    let Some(listen) = &arguments.listen else {
        return Ok(None);
    };
    let address = socket_address(listen, "--listen")?;
    let advertise = arguments
        .advertise
        .as_deref()
        .map(|text| host_port(text, "--advertise"))
        .transpose()?;
    if address.ip().is_unspecified() && advertise.is_none() {
        return Err(Failure::usage(
            "argument",
            format!("{address} is not an address that others can dial"),
        )
        .at("--listen")
        .advice("say with --advertise HOST:PORT what they should dial"));
    }
    Ok(Some((address.to_string(), advertise.map(str::to_owned))))
}

/// A commented suggestion for each column, so that the owner strikes out and fills in instead of typing.
/// Nothing is allowed, and nothing published, until a person takes the `#` away.
async fn suggestions(data: &Path) -> Outcome<String> {
    let source = Source::open_dir(data)
        .await
        .map_err(|error| Failure::usage("data", error.to_string()).at("--data"))?;
    let mut text = String::new();
    for (table, columns) in source.tables() {
        let table = toml_key(table);
        text += &format!("\n# [tables.{table}]\n# [tables.{table}.columns]\n");
        for column in columns.columns() {
            text += &format!(
                "# {} = {}\n",
                toml_key(&column.name),
                suggestion(&column.kind)
            );
        }
    }
    Ok(text)
}

fn suggestion(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Int { .. } | ColumnKind::Decimal { .. } | ColumnKind::Float => {
            r#"{ aggregate = ["count", "sum", "avg", "var"], filter = true, range = [LOWEST, HIGHEST] }"#
        }
        ColumnKind::Text | ColumnKind::Bool => {
            r#"{ group_by = true, filter = true, categories = "from_data" }   # {}: nothing"#
        }
        ColumnKind::Date | ColumnKind::Timestamp => "{ filter = true }",
        ColumnKind::Empty => "{}   # no value yet",
        ColumnKind::Other(_) => "{}   # of a type that cannot be queried",
    }
}

/// A name as a TOML key: bare where that is allowed, else quoted.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare {
        name.to_owned()
    } else {
        toml::Value::String(name.to_owned()).to_string()
    }
}

/// The files of a directory that are tables: name and absolute path, in the order of names.
pub(crate) fn tables_in(directory: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(
            "directory",
            format!("the directory cannot be read: {error}"),
        )
        .at(directory.display().to_string())
        .advice("name a directory with one .csv or .parquet file for each table")
    };
    let directory_absolute = directory.canonicalize().map_err(unreadable)?;
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(&directory_absolute).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase);
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .map(str::to_owned);
        if let (Some("csv" | "parquet"), Some(name)) = (extension.as_deref(), name) {
            tables.push((name, path));
        }
    }
    tables.sort();
    Ok(tables)
}

pub(crate) fn party_name(text: &str, place: &str) -> Outcome<PartyName> {
    PartyName::new(text).map_err(|error| {
        Failure::usage("argument", format!("\"{text}\" cannot be a party's name"))
            .at(place)
            .advice(error.to_string())
    })
}

pub(crate) fn fingerprint(text: &str, place: &str) -> Outcome<Fingerprint> {
    text.parse()
        .map_err(|error: coordinator::contract::NameError| {
            Failure::usage("argument", format!("\"{text}\" is not a fingerprint"))
                .at(place)
                .advice(error.to_string())
        })
}

fn socket_address(text: &str, place: &str) -> Outcome<SocketAddr> {
    text.parse().map_err(|_| {
        Failure::usage(
            "argument",
            format!("\"{text}\" is not an address and a port"),
        )
        .at(place)
        .advice("write for example 0.0.0.0:7400")
    })
}

fn host_port<'a>(text: &'a str, place: &str) -> Outcome<&'a str> {
    let valid = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0));
    valid.then_some(text).ok_or_else(|| {
        Failure::usage("argument", format!("\"{text}\" is not HOST:PORT"))
            .at(place)
            .advice("write for example hub.example.org:7400")
    })
}

/// A directory that is being filled for the first time.
struct Directory(PathBuf);

impl Directory {
    /// Refuses before anything is written if one of `names` is there already.
    fn new(path: &Path, names: &[&str]) -> Outcome<Self> {
        let taken = names
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.exists());
        if let Some(taken) = taken {
            return Err(Failure::usage(
                "exists",
                "there is a party in this directory already; nothing was changed",
            )
            .at(taken.display().to_string())
            .advice("choose another --dir; a key is never overwritten"));
        }
        std::fs::create_dir_all(path).map_err(|error| cannot_write(path, &error))?;
        // Absolute, so that what we print can be used from anywhere.
        path.canonicalize()
            .map(Self)
            .map_err(|error| cannot_write(path, &error))
    }

    fn identity(&self, name: PartyName) -> Outcome<Fingerprint> {
        let failed = |error: coordinator::tls::IdentityError| {
            Failure::runtime("identity", error.to_string()).at(self.0.display().to_string())
        };
        let identity = Identity::generate(name, CERTIFICATE_DAYS).map_err(failed)?;
        identity.save(&self.0.join("identity")).map_err(failed)?;
        Ok(identity.fingerprint())
    }

    fn file(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.0.join(name);
        write_new(&path, text.as_bytes(), 0o644)?;
        Ok(path)
    }
}

/// Writes a file that must not be there yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Outcome<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage("exists", "the file is there already; it was not changed")
                .at(path.display().to_string())
                .advice("choose another name, or move it away")
        }
        _ => cannot_write(path, &error),
    })
}

pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::runtime("write", format!("cannot be written: {error}"))
        .at(path.display().to_string())
        .advice("check permissions and free space")
}

const TRUSTED: &str =
    "# Parties that this one trusts. Add them with: entente keys trust NAME SHA256:…\n";

fn coordinator_toml(name: &PartyName, listen: SocketAddr) -> String {
    format!(
        "# Entente coordinator {name}. Relative paths are relative to this file.\n\n\
         listen    = \"{listen}\"         # UDP; the one port that has to be open, and only here\n\
         identity  = \"identity\"             # directory of key.pem (keep it secret) and certificate.pem\n\
         state_dir = \"state\"                # the job book; back it up\n\
         trusted   = \"trusted.toml\"         # the members: entente keys trust NAME SHA256:…; read again when it changes\n\
         # keep_jobs_days = 400             # jobs that ended longer ago, and whose contracts have expired, are forgotten\n"
    )
}
