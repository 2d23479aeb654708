//! The commented files that `entente init agent` writes.

use std::fmt::Write;
use std::path::PathBuf;

use coordinator::contract::PartyName;
use coordinator::tls::{Fingerprint, Pin};

use super::Dataset;
use crate::source::{Connection, Consent, DatasetSpec};

/// What is known when a configuration is first written.
#[derive(Clone, Debug)]
pub struct Template {
    /// This party's name.
    pub name: PartyName,
    /// The coordinator's name.
    pub coordinator: PartyName,
    /// Where the coordinator listens, `host:port`.
    pub address: String,
    /// The coordinator's key, if the user has it already.
    pub fingerprint: Option<Fingerprint>,
    /// Where others reach this agent: the address to listen on and the one to advertise, if it is another.
    pub direct: Option<(String, Option<String>)>,
    /// Where the local API listens.
    pub api: String,
    /// Tables that are known already: name and CSV or Parquet file.
    pub files: Vec<(String, PathBuf)>,
}

/// Stands where the coordinator's fingerprint goes as long as it is not known.
const NO_PIN: &str = "# fingerprint = \"SHA256:…\"";

/// A new `agent.toml`, ready to run once the marked places are filled in.
#[must_use]
pub fn template(known: &Template) -> String {
    let mut text = String::new();
    let pin = match &known.fingerprint {
        Some(pin) => format!("fingerprint = \"{pin}\""),
        None => format!(
            "# Ask the coordinator's operator, by telephone or in person, then: \
             entente keys trust {} SHA256:…\n{NO_PIN}",
            known.coordinator
        ),
    };
    let direct = match &known.direct {
        Some((listen, None)) => format!("[direct]\nlisten = \"{listen}\""),
        Some((listen, Some(advertise))) => {
            format!("[direct]\nlisten = \"{listen}\"\nadvertise = \"{advertise}\"")
        }
        None => "# [direct]\n# listen = \"0.0.0.0:7401\"\n# advertise = \"agent.example.org:7401\""
            .to_owned(),
    };
    write!(
        text,
        r#"# Entente agent of {name}. Relative paths are relative to this file.

name = "{name}"
identity = "identity"          # directory of key.pem (keep it secret) and certificate.pem
trusted = "trusted.toml"       # the other parties' fingerprints: `entente keys trust NAME SHA256:…`
policy = "policy.toml"         # what jobs may do with your columns; what is not written there is refused
state = "state"                # ledger, results, API token

# How many jobs may run at the same time.
concurrent_jobs = 2

# Keys of one table that an intersection keeps in memory; more of them go through files in `state` (with protocol = "ecdh", for a count).
# keys_in_memory = 4194304

# The agent dials the coordinator; nothing needs to be let in.
[coordinator]
name = "{coordinator}"
address = "{address}"
{pin}

# Where other agents can reach this one directly (UDP). Without it, data goes through the
# coordinator's relay, encrypted from agent to agent.
{direct}

# The command line on this machine talks to the agent here.
[api]
listen = "{api}"

# What nobody may do with data, as a party that you trust has signed it (`entente negative-list sign`).
# [negative_list]
# file = "negative-list.json"
# issuer = "regulator"

# Your tables. `entente dataset add` registers more while the agent runs.
# [[dataset]]
# name = "visits"
# kind = "csv"                 # or "parquet"
# path = "/data/visits.csv"
# consent = {{ column = "consent", value = "yes" }}                  # only these rows are used; or
# consent = {{ withdrawn = "withdrawn.csv", column = "patient_id" }}  # rows of those who are listed there are left out
#
# [[dataset]]
# name = "claims"
# kind = "postgres"
# connection = "claims.connection"   # a file with: host=… user=… password=… dbname=…
# table = "public.claims"
"#,
        name = known.name,
        coordinator = known.coordinator,
        address = known.address,
        api = known.api,
    )
    .expect("writing to a String cannot fail");
    known.files.iter().for_each(|d| write_dataset(&mut text, d));
    text
}

fn write_dataset(text: &mut String, (name, file): &(String, PathBuf)) {
    let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let parquet = file
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
    write!(
        text,
        "\n[[dataset]]\nname = {}\nkind = \"{}\"\npath = {}\n",
        quoted(name),
        if parquet { "parquet" } else { "csv" },
        quoted(&file.to_string_lossy()),
    )
    .expect("writing to a String cannot fail");
}

/// A list of `[[dataset]]` tables, as [`super::parse_datasets`] reads it.
#[must_use]
pub fn write_datasets(datasets: &[Dataset]) -> String {
    let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut text =
        String::from("# Registered while the agent ran. `entente dataset add` writes this file.\n");
    for dataset in datasets {
        let rest = match &dataset.spec {
            DatasetSpec::Csv(path) => {
                format!("kind = \"csv\"\npath = {}", quoted(&path.to_string_lossy()))
            }
            DatasetSpec::Parquet(path) => format!(
                "kind = \"parquet\"\npath = {}",
                quoted(&path.to_string_lossy())
            ),
            DatasetSpec::Postgres {
                connection,
                schema,
                table,
                commits,
            } => {
                let connection = match connection {
                    Connection::File(path) => path.to_string_lossy().into_owned(),
                    Connection::Env(name) => name.clone(),
                };
                let table = format!("{schema}.{table}");
                let committed = match commits {
                    true => "\ncommitted = true",
                    false => "",
                };
                format!(
                    "kind = \"postgres\"\nconnection = {}\ntable = {}{committed}",
                    quoted(&connection),
                    quoted(&table)
                )
            }
        };
        write!(
            text,
            "\n[[dataset]]\nname = {}\n{rest}\n",
            quoted(&dataset.name)
        )
        .expect("writing to a String cannot fail");
        let consent = match &dataset.consent {
            None => continue,
            Some(Consent::Given { column, value }) => {
                format!("column = {}, value = {}", quoted(column), quoted(value))
            }
            Some(Consent::Withdrawn { list, column }) => format!(
                "withdrawn = {}, column = {}",
                quoted(&list.to_string_lossy()),
                quoted(column)
            ),
        };
        writeln!(text, "consent = {{ {consent} }}").expect("writing to a String cannot fail");
    }
    text
}

/// An `agent.toml` from [`template`] with the coordinator's fingerprint in the place that was left open for it;
/// `None` if there is no such place (any more).
#[must_use]
pub fn with_coordinator_pin(text: &str, pin: &Fingerprint) -> Option<String> {
    let (before, after) = text.split_once(NO_PIN)?;
    Some(format!("{before}fingerprint = \"{pin}\"{after}"))
}

/// An `agent.toml` in which the coordinator has these keys instead of the one that it had; `None` if the fingerprint does not stand on a line
/// of its own under `[coordinator]`, or former ones on several.
#[must_use]
pub fn with_coordinator_successor(text: &str, pin: &Pin) -> Option<String> {
    let had = pin.former.last()?.fingerprint;
    let (mut out, mut is_inside, mut n_replaced) = (String::new(), false, 0);
    for line in text.split_inclusive('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with('[') {
            is_inside = key == "[coordinator]" || key.starts_with("[coordinator] ");
        }
        if !is_inside || !matches!(key, "fingerprint" | "former") {
            out.push_str(line);
        } else if key == "fingerprint" && value.starts_with(&format!("\"{had}\"")) {
            n_replaced += 1;
            writeln!(out, "fingerprint = \"{}\"", pin.fingerprint).ok()?;
            let former = pin.former.iter();
            let former = former.map(|f| {
                format!(
                    "{{ fingerprint = \"{}\", until = {} }}",
                    f.fingerprint, f.until
                )
            });
            let former: Vec<String> = former.collect();
            writeln!(out, "former = [{}]", former.join(", ")).ok()?;
        } else if key == "fingerprint" || !value.ends_with(']') {
            return None;
        }
    }
    (n_replaced == 1).then_some(out)
}

/// A new `policy.toml`: it allows nothing until its owner writes what.
pub const POLICY_TEMPLATE: &str = r#"# What others may do with your tables. What is not written here is refused.

min_cell = 11              # the smallest group whose values may leave
open_counts = false        # true: the other computing parties may see group counts in the clear
# round_to = 5             # counts leave rounded to multiples of 5 alone, and sums and models not at all

# Jobs that run without asking a person. Without one, you approve each with `entente job approve`.
# [[approve]]
# purpose = "IRB 2026-117*"
# receivers = ["clinic"]
# max_runs = 20

# [tables.visits]
# purposes = ["IRB *"]         # optional: the only purposes it may serve
# receivers = ["clinic"]       # optional: the only parties that may receive results over it
# [tables.visits.columns]
# diag_group = { group_by = true, filter = true, categories = "from_data" }
# age = { aggregate = ["count", "sum", "avg", "var"], filter = true, range = [0, 120], unit = "years" }
# icd10 = { group_by = true, categories = "hidden", longest = 8 }   # groups of values that are not published: those of
#                              # large enough groups are shown to the receivers
# patient_id = {}              # nothing
# national_id = { join_key = true }   # may be compared with other holders' keys: how many are common is told;
#                                     # row_level = true as well: receivers learn which of theirs are;
#                                     # join_size = true as well: queries may tell how many keys their tables have in common;
#                                     # join_keys = true as well (and on columns that choose rows): who receives a query and
#                                     # holds a table of it may learn which of its own keys are in common
# stay = { label = true }      # a model may explain it
# weight = { feature = true }  # a model may explain labels by it; publish = true as well: its bins may be told to receivers
#                              # who get a scorecard as a whole
# [tables.visits.rules.weekly]  # optional: how often, until when, for whom; docs/policy.md has the vocabulary
# actions = ["compute"]
# constraints = [{ constraint = "count", operator = "lteq", value = 3 }]
# [tables.visits.dominance]    # no sum that one patient is most of; needs patient_id = {} above, docs/policy.md
# contributor = "patient_id"
# elsewhere = true             # a patient can have rows at other holders too
# p_percent = 10               # and, or instead: top = 2, top_percent = 85
# [tables.visits.cohorts]      # no two releases that differ in few patients; needs both columns above, docs/policy.md
# person = "patient_id"
# row = "encounter_id"
# [tables.visits.lookup]       # who may look keys up in it, and how often
# askers = ["bank_a"]
# per_job = 1000
# per_day = 5000
# aggregate: count, sum, avg, var, corr; median, quantile, count_distinct (of the groups that are large enough);
#            min, max (these are single persons' values)
"#;
