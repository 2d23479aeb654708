//! `agent.toml` → [`AgentConfig`].

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use coordinator::contract::{PartyName, canonical};
use coordinator::tls::{Fingerprint, Former};

use super::fields::{Faults, Fields, document};
use crate::policy::negative::NegativeListFile;
use crate::source::{Connection, Consent, DatasetSpec};
use crate::spec::Fault;

use super::{
    AgentConfig, CoordinatorAddress, DEFAULT_CONCURRENT_JOBS, DEFAULT_KEYS_IN_MEMORY, Dataset,
    Direct,
};

const NAME: &str = "1 to 32 of a-z, 0-9 and _";
const HOST: &str = "host:port, such as \"entente.example.org:7400\"";
const SOCKET: &str = "address:port, such as \"0.0.0.0:7401\"";
const API: &str = "a loopback address and a port, such as \"127.0.0.1:7402\"";
const PIN: &str = "SHA256:… as `entente keys show` prints it at the coordinator";

pub(super) fn agent(text: &str, base: &Path) -> Result<AgentConfig, Vec<Fault>> {
    let mut faults = Faults::new(text);
    let config = document(text, &mut faults).and_then(|document| {
        let mut top = Fields::new(document.get_ref(), "", document.span());
        let config = read(&mut top, base, &mut faults);
        top.finish(&mut faults);
        config
    });
    faults.into_result(config)
}

pub(super) fn datasets(text: &str, base: &Path) -> Result<Vec<Dataset>, Vec<Fault>> {
    let mut faults = Faults::new(text);
    let found = document(text, &mut faults).map(|document| {
        let mut top = Fields::new(document.get_ref(), "", document.span());
        let found = dataset_tables(&mut top, base, &mut faults);
        top.finish(&mut faults);
        found
    });
    faults.into_result(found)
}

fn read(top: &mut Fields<'_, '_>, base: &Path, faults: &mut Faults<'_>) -> Option<AgentConfig> {
    let name = top.parsed::<PartyName>(faults, "name", NAME);
    let name = top.required(faults, "name", name, NAME);
    let mut path = |field, what| {
        let path = top.string(faults, field);
        top.required(faults, field, path, what)
            .map(|p| base.join(p))
    };
    let identity = path(
        "identity",
        "the directory of this party's key and certificate",
    );
    let trusted = path(
        "trusted",
        "the file of trusted parties, such as \"trusted.toml\"",
    );
    let state = path("state", "the directory for the ledger and the results");
    let policy = path("policy", "the policy file, such as \"policy.toml\"");
    let concurrent = top
        .whole(faults, "concurrent_jobs", 1..=64)
        .unwrap_or(DEFAULT_CONCURRENT_JOBS);
    let in_memory = top
        .whole(faults, "keys_in_memory", 1 << 10..=1 << 30)
        .unwrap_or(DEFAULT_KEYS_IN_MEMORY);
    let coordinator = top.table(faults, "coordinator");
    let coordinator = top.required(faults, "coordinator", coordinator, "a table [coordinator]");
    let coordinator = coordinator.and_then(|c| coordinator_address(c, faults));
    let direct = top.table(faults, "direct").and_then(|d| direct(d, faults));
    let api = top.table(faults, "api");
    let api = top
        .required(faults, "api", api, "a table [api]")
        .and_then(|a| api_address(a, faults));
    let negative = top.table(faults, "negative_list");
    let keeps_a_list = negative.is_some();
    let negative_list = negative.and_then(|list| negative_list(list, base, faults));
    let datasets = dataset_tables(top, base, faults);
    if keeps_a_list && negative_list.is_none() {
        return None;
    }
    Some(AgentConfig {
        negative_list,
        name: name?,
        identity: identity?,
        trusted: trusted?,
        state: state?,
        policy: policy?,
        coordinator: coordinator?,
        direct,
        api: api?,
        concurrent_jobs: usize::try_from(concurrent).ok()?,
        keys_in_memory: usize::try_from(in_memory).ok()?,
        datasets,
    })
}

fn negative_list(
    mut fields: Fields<'_, '_>,
    base: &Path,
    faults: &mut Faults<'_>,
) -> Option<NegativeListFile> {
    let file = fields.required_string(faults, "file", "the signed list");
    let issuer = fields.parsed::<PartyName>(faults, "issuer", NAME);
    let issuer = fields.required(faults, "issuer", issuer, "the trusted party that signs it");
    fields.finish(faults);
    Some(NegativeListFile {
        file: base.join(file?),
        issuer: issuer?,
    })
}

/// `{ column, value }`, or `{ withdrawn, column }`.
fn consent(mut fields: Fields<'_, '_>, base: &Path, faults: &mut Faults<'_>) -> Option<Consent> {
    let column = fields.required_string(
        faults,
        "column",
        "the column of consents, or by which persons are known",
    );
    let value = fields.string(faults, "value");
    let list = fields.string(faults, "withdrawn");
    if value.is_some() == list.is_some() {
        let what = "either a value that stands for consent, or a list of those who withdrew";
        let allowed = "{ column = \"consent\", value = \"yes\" } or { withdrawn = \"withdrawn.csv\", column = \"id\" }";
        fields.wrong(faults, "value", what, allowed);
    }
    fields.finish(faults);
    let column = column?.to_owned();
    match (value, list) {
        (Some(value), None) => Some(Consent::Given {
            column,
            value: value.to_owned(),
        }),
        (None, Some(list)) => Some(Consent::Withdrawn {
            list: base.join(list),
            column,
        }),
        _ => None,
    }
}

fn coordinator_address(
    mut fields: Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Option<CoordinatorAddress> {
    let name = fields.parsed::<PartyName>(faults, "name", NAME);
    let name = fields.required(faults, "name", name, NAME);
    let address = host_port(&mut fields, "address", faults);
    let address = fields.required(faults, "address", address, HOST);
    let fingerprint = fields.parsed::<Fingerprint>(faults, "fingerprint", PIN);
    let fingerprint = fields.required(faults, "fingerprint", fingerprint, PIN);
    let former = fields.tables(faults, "former");
    let former: Vec<Option<Former>> = former
        .into_iter()
        .map(|former| former_key(former, faults))
        .collect();
    fields.finish(faults);
    Some(CoordinatorAddress {
        name: name?,
        address: address?,
        fingerprint: fingerprint?,
        former: former.into_iter().collect::<Option<_>>()?,
    })
}

fn former_key(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Former> {
    let fingerprint = fields.parsed::<Fingerprint>(faults, "fingerprint", PIN);
    let fingerprint = fields.required(faults, "fingerprint", fingerprint, PIN);
    let until = fields.whole(faults, "until", 0..=canonical::MAX_INTEGER);
    let until = fields.required(faults, "until", until, "Unix seconds");
    fields.finish(faults);
    Some(Former {
        fingerprint: fingerprint?,
        until: until?,
    })
}

fn direct(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Direct> {
    let listen = fields.parsed::<SocketAddr>(faults, "listen", SOCKET);
    let listen = fields.required(faults, "listen", listen, SOCKET);
    let advertise = host_port(&mut fields, "advertise", faults);
    // 0.0.0.0 cannot be dialled, so the others have to be told something else.
    if listen.is_some_and(|l| l.ip().is_unspecified()) {
        fields.required(faults, "advertise", advertise.as_ref(), HOST);
    }
    fields.finish(faults);
    Some(Direct {
        listen: listen?,
        advertise,
    })
}

fn api_address(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<SocketAddr> {
    let listen = fields.parsed::<SocketAddr>(faults, "listen", API);
    let listen = fields.required(faults, "listen", listen, API);
    let loopback = listen.filter(|a| a.ip().is_loopback());
    if listen.is_some() && loopback.is_none() {
        fields.wrong(
            faults,
            "listen",
            "the API must not be reachable from other machines",
            API,
        );
    }
    fields.finish(faults);
    loopback
}

/// `host:port`, which is resolved when it is dialled.
fn host_port(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let text = fields.string(faults, field)?;
    let port = |port: &str| u16::from_str(port).is_ok_and(|p| p != 0);
    let valid = text
        .rsplit_once(':')
        .is_some_and(|(host, p)| !host.is_empty() && !host.contains('/') && port(p));
    if !valid {
        fields.wrong(faults, field, format!("\"{text}\" is not an address"), HOST);
    }
    valid.then(|| text.to_owned())
}

fn dataset_tables(top: &mut Fields<'_, '_>, base: &Path, faults: &mut Faults<'_>) -> Vec<Dataset> {
    let mut found: Vec<Dataset> = Vec::new();
    for table in top.tables(faults, "dataset") {
        let span = table.span().clone();
        let Some(dataset) = dataset(table, base, faults) else {
            continue;
        };
        if found.iter().any(|d| d.name == dataset.name) {
            let what = format!("there are two datasets with the name {}", dataset.name);
            faults.add(&span, "dataset", what, "a different name for each");
        } else {
            found.push(dataset);
        }
    }
    found
}

fn dataset(mut fields: Fields<'_, '_>, base: &Path, faults: &mut Faults<'_>) -> Option<Dataset> {
    const KIND: &str = "\"csv\", \"parquet\" or \"postgres\"";
    let name = fields.required_string(faults, "name", "the table's name in jobs");
    let kind = fields.required_string(faults, "kind", KIND);
    let commits = fields.boolean(faults, "committed");
    if commits.is_some() && kind.is_some_and(|kind| kind != "postgres") {
        let what = "belongs to tables in PostgreSQL; the catalogue commits to files in any case";
        fields.wrong(faults, "committed", what, "leave it out");
    }
    let mut text = |field, what| {
        let text = fields.string(faults, field);
        fields.required(faults, field, text, what)
    };
    let spec = match kind {
        Some("csv") => text("path", "the file").map(|p| DatasetSpec::Csv(base.join(p))),
        Some("parquet") => text("path", "the file").map(|p| DatasetSpec::Parquet(base.join(p))),
        Some("postgres") => {
            let connection = text("connection", "a file that holds the connection string");
            let table = text(
                "table",
                "the table on the server, such as \"claims\" or \"public.claims\"",
            );
            connection.zip(table).map(|(connection, table)| {
                let (schema, table) = table.split_once('.').unwrap_or(("public", table));
                DatasetSpec::Postgres {
                    connection: Connection::File(base.join(connection)),
                    schema: schema.to_owned(),
                    table: table.to_owned(),
                    commits: commits.unwrap_or(false),
                }
            })
        }
        Some(other) => {
            fields.wrong(
                faults,
                "kind",
                format!("\"{other}\" is not a kind of dataset"),
                KIND,
            );
            return None;
        }
        None => return None,
    };
    let asked = fields.table(faults, "consent");
    let asks = asked.is_some();
    let consent = asked.and_then(|c| consent(c, base, faults));
    fields.finish(faults);
    if asks && consent.is_none() {
        return None;
    }
    Some(Dataset {
        name: name?.to_owned(),
        spec: spec?,
        consent,
    })
}
