//! What leaves a holder in a job of each kind: every message as it is before it is encrypted, and what the coordinator keeps. No
//! value of a row stands in it in any form, and what is opened is what the plan declares, to whom it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use coordinator::contract::JobId;
use party_agent::agent::milestones::{Milestone, Milestones, Watcher};
use protocols::net::{BoxFuture, Frame};
use protocols::party::Seat;
use protocols::wire::Kind;
use serde_json::{Value, json};

use crate::canary::nothing_of;
use crate::intersect::{Agents, Side};

/// Everything that parties send in their runs, in order: to whom, which kind, the bytes.
type Sent = BTreeMap<String, Vec<(Seat, u16, Vec<u8>)>>;

/// One party's end of it.
struct Tap(String, Arc<Mutex<Sent>>);

impl Watcher for Tap {
    fn reached<'a>(&'a self, _job: JobId, _milestone: Milestone) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn sends(&self, _job: JobId, to: Seat, frame: &Frame) {
        let mut wire = self.1.lock().expect("no panic");
        let sent = wire.entry(self.0.clone()).or_default();
        sent.push((to, frame.kind, frame.body.to_vec()));
    }
}

/// The person with this number: 0 to 89 are known to the clinic, 30 to 119 to the fund, 60 to 149 to the bureau.
fn person(n: u32) -> String {
    format!("patient-{}", 700_000 + 13 * n)
}

/// What this person paid here. No two are alike.
fn paid(n: u32, holder: u32) -> String {
    format!("{}.25", 40_000 + 97 * n + 11 * holder)
}

fn table(holder: u32) -> String {
    let mut csv = "id,kind,ward,paid,age,late,days,event\n".to_owned();
    for n in 30 * holder..90 + 30 * holder {
        let scrambled = (n * 7919 + holder * 104_729) % 1009;
        writeln!(
            csv,
            "{},{},{},{},{},{},{},{}",
            person(n),
            ["x", "y"][(n % 2) as usize],
            ["north", "south", "west"][(scrambled % 3) as usize],
            paid(n, holder),
            20 + scrambled % 60,
            u32::from(scrambled % 5 < 2),
            1 + scrambled % 300,
            scrambled % 2
        )
        .expect("a String takes all");
    }
    csv
}

const POLICY: &str = r#"
min_cell = 2
open_counts = false
[tables.people.columns]
id = { join_key = true, row_level = true, aggregate = ["count", "count_distinct"] }
kind = { group_by = true, filter = true, categories = ["x", "y"] }
ward = { group_by = true, categories = "hidden", longest = 16 }
paid = { aggregate = ["count", "sum", "avg", "var", "corr", "min", "max", "median", "quantile"], range = [0, 65536], feature = true, row_level = true, filter = true }
age = { aggregate = ["count", "sum", "avg", "var", "corr", "min", "max", "median", "quantile"], range = [0, 120], feature = true }
late = { label = true, range = [0, 1] }
days = { label = true, group_by = true, aggregate = ["count", "sum", "avg", "var", "corr", "min", "max", "median", "quantile"], filter = true, range = [0, 365] }
event = { label = true, group_by = true, aggregate = ["count", "sum", "avg", "var", "corr", "min", "max", "median", "quantile"], filter = true, range = [0, 1] }
[tables.people.lookup]
askers = ["clinic"]
per_job = 2000
per_day = 9000
"#;

/// A job of one kind.
struct Case {
    name: &'static str,
    /// What stands under `[compute…]`. `{union}`, `{joined}`, `{horizontal}` and `{vertical}` are those below.
    compute: &'static str,
    correlations: &'static str,
    /// To whom parts of revealed shares go. Where it is nobody, what the receiver learns comes of its own rows and of messages that
    /// fit them alone; where it is both, the plan says what each of them learns.
    shown: &'static [&'static str],
}

/// Texts that several cases have in common.
const COMMON: [(&str, &str); 6] = [
    (
        "{union}",
        "(SELECT * FROM clinic.people UNION ALL SELECT * FROM fund.people) v",
    ),
    (
        "{joined}",
        "clinic.people c JOIN fund.people f ON c.id = f.id",
    ),
    (
        "{keys}",
        "[compute.intersect]\nkeys = [\"clinic.people.id\", \"fund.people.id\"]\n",
    ),
    (
        "{horizontal}",
        "[compute.train]\npartition = \"horizontal\"\ntables = [\"clinic.people\", \"fund.people\"]\nlabel = \"late\"\nfeatures = [\"age\", \"paid\"]\n",
    ),
    (
        "{vertical}",
        "[compute.train]\npartition = \"vertical\"\nlabel = \"clinic.people.late\"\n\
         features = [\"clinic.people.age\", \"fund.people.paid\"]\nkey = \"id\"\n",
    ),
    (
        "{score}",
        r#"[compute.score]
model = "{model}"
rows = "clinic.people"
features = ["clinic.people.age", "fund.people.paid"]
key = "id"
"#,
    ),
];

const BOTH: &[&str] = &["clinic", "fund"];
const ALL: &[&str] = &["bureau", "clinic", "fund"];

/// A job of each kind. Scores take the model of the last one before them that made one.
const CASES: [Case; 24] = [
    Case {
        name: "totals",
        compute: r#"[compute]
sql = "SELECT kind, COUNT(*) AS n, SUM(paid) AS paid, AVG(age) AS age FROM {union} WHERE paid > 100 GROUP BY kind""#,
        correlations: "ot",
        shown: &["clinic"],
    },
    Case {
        name: "extremes",
        compute: r#"[compute]
sql = "SELECT COUNT(*) AS n, MIN(paid) AS least, MAX(paid) AS most, MEDIAN(paid) AS middle FROM {union}""#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "hidden groups",
        compute: r#"[compute]
sql = "SELECT ward, COUNT(*) AS n, SUM(paid) AS paid FROM {union} GROUP BY ward""#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "survival",
        compute: r#"[compute]
sql = "SELECT KAPLAN_MEIER(days, event, 100, 300) FROM {union}""#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "join",
        compute: r#"[compute]
sql = "SELECT c.kind, COUNT(*) AS n, SUM(f.paid) AS paid FROM {joined} GROUP BY c.kind""#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "hidden groups over a join",
        compute: r#"[compute]
sql = "SELECT c.ward, f.kind, COUNT(*) AS n, SUM(f.paid) AS paid FROM {joined} GROUP BY c.ward, f.kind"
max_groups = 8"#,
        correlations: "ot",
        shown: &["clinic"],
    },
    Case {
        name: "count of keys",
        compute: r#"{keys}reveal = "count""#,
        correlations: "ot",
        shown: &["clinic"],
    },
    Case {
        name: "sum of matches",
        compute: r#"{keys}reveal = "sum:fund.people.paid""#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "rows by VOLE",
        compute: r#"{keys}reveal = "rows"
protocol = "vole""#,
        correlations: "ot",
        shown: &[],
    },
    Case {
        name: "rows by Diffie-Hellman",
        compute: r#"{keys}reveal = "rows"
protocol = "ecdh""#,
        correlations: "ot",
        shown: &[],
    },
    Case {
        name: "list",
        compute: r#"[compute.lookup]
table = "fund.people"
key = "id"
queries = "clinic.people.id"
values = ["paid"]"#,
        correlations: "ot",
        shown: &[],
    },
    Case {
        name: "sum of lists",
        compute: r#"[compute.lookup]
table = ["fund.people", "bureau.people"]
key = "id"
queries = "clinic.people.id"
combine = "sum"
at_most = 100"#,
        correlations: "ot",
        shown: &["clinic"],
    },
    Case {
        name: "regression",
        compute: r#"{horizontal}model = "logistic""#,
        correlations: "ot",
        shown: BOTH,
    },
    Case {
        name: "scorecard",
        compute: r#"{horizontal}model = "scorecard"
[compute.train.scorecard]
bins = 2
iv_least = 0"#,
        correlations: "dealer:notary",
        shown: BOTH,
    },
    Case {
        name: "trees",
        compute: r#"{horizontal}model = "gbdt"
n_trees = 2
depth = 2
bins = 2
sample = { column = "kind", train = "x", test = "y" }
report = ["auc"]"#,
        correlations: "dealer:notary",
        shown: BOTH,
    },
    Case {
        name: "network",
        compute: r#"[compute.train]
partition = "horizontal"
tables = ["clinic.people", "fund.people", "bureau.people"]
label = "late"
features = ["age", "paid"]
model = "mlp"
layers = [3]
rounds = 2
sample = { column = "kind", train = "x", test = "y" }
report = ["auc"]"#,
        correlations: "dealer:notary",
        shown: ALL,
    },
    Case {
        name: "joint regression",
        compute: r#"{vertical}model = "logistic"
steps = 3
report = ["coef", "se"]"#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "metered regression",
        compute: r#"{vertical}model = "linear"
report = ["coef"]
[settlement]
currency = "CNY"
per_run_minor = 100
[[settlement.split]]
stage = "collect"
party = "*"
basis = "shapley"
ppm = 1000000"#,
        correlations: "dealer:notary",
        shown: BOTH,
    },
    Case {
        name: "joint hazards",
        compute: r#"[compute.train]
partition = "vertical"
model = "cox"
time = "clinic.people.days"
event = "clinic.people.event"
features = ["clinic.people.age", "fund.people.paid"]
key = "id"
steps = 3
report = ["coef", "se"]"#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "joint trees",
        compute: r#"{vertical}model = "gbdt"
n_trees = 2
depth = 2
bins = 4
sample = { column = "clinic.people.kind", train = "x", test = "y" }
report = ["auc"]"#,
        correlations: "dealer:notary",
        shown: BOTH,
    },
    Case {
        name: "scores by trees",
        compute: r#"{score}trees = { n_trees = 2, depth = 2 }"#,
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "joint scorecard",
        compute: r#"{vertical}model = "scorecard"
steps = 3
report = ["coef"]
[compute.train.scorecard]
bins = 2
iv_least = 0"#,
        correlations: "dealer:notary",
        shown: BOTH,
    },
    Case {
        name: "scores",
        compute: "{score}",
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
    Case {
        name: "scores with reasons",
        compute: "{score}reasons = 1",
        correlations: "dealer:notary",
        shown: &["clinic"],
    },
];

impl Case {
    fn spec(&self, model: &str) -> String {
        let fill = |text: String, (name, common): &(&str, &str)| text.replace(name, common);
        let compute = COMMON.iter().fold(self.compute.to_owned(), fill);
        format!(
            "job = \"{}\"\npurpose = \"IRB 7\"\nreceivers = [\"clinic\"]\n{}\n[privacy]\ncorrelations = \"{}\"\nmin_cell = 2\n",
            self.name.replace(' ', "-").to_lowercase(),
            compute.replace("{model}", model),
            self.correlations
        )
    }

    /// What was opened is what was declared: the columns of the result, to its receiver. And parts of revealed shares go to nobody
    /// else than to whom they should.
    fn check(&self, egress: &Value, sides: &[Side], wire: &Sent) {
        let name = self.name;
        let opened = egress["opened"].as_array().expect("a list");
        let results: Vec<&Value> = opened.iter().filter(|v| v["kind"] == "result").collect();
        let receives = |v: &&Value| v["to"] == json!(["clinic"]);
        assert!(results.iter().all(receives), "{name}: {egress}");
        let declared: Vec<&Value> = results.iter().map(|v| &v["what"]).collect();
        let result = sides[0].result.as_ref().expect("a result");
        let columns = result["columns"].as_array().expect("columns").iter();
        let columns: Vec<&Value> = columns.map(|column| &column["name"]).collect();
        assert_eq!(declared, columns, "{name}");
        let others = sides[1..].iter().all(|side| side.result.is_none());
        assert!(others, "{name}");
        // Seats are in the order of names, and a dealer is the last.
        let mut seats: Vec<&str> = wire.keys().map(String::as_str).collect();
        seats.sort_by_key(|name| (*name == "notary", *name));
        let parts = wire.values().flatten();
        let parts = parts.filter(|(_, kind, _)| *kind == Kind::Opening as u16);
        let shown: BTreeSet<&str> = parts.map(|(to, ..)| seats[to.index()]).collect();
        assert_eq!(
            shown,
            BTreeSet::from_iter(self.shown.iter().copied()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_row_leaves_in_a_job_of_any_kind_and_what_is_opened_was_declared() {
    let files = tempfile::tempdir().expect("a directory");
    let holders = [("clinic", 0), ("fund", 1), ("bureau", 2)].map(|(name, holder)| {
        let path: PathBuf = files.path().join(format!("{name}.csv"));
        std::fs::write(&path, table(holder)).expect("written");
        (name, vec![("people", path)])
    });
    let parties = [&holders[..], &[("notary", Vec::new())]].concat();
    let wire = Arc::<Mutex<Sent>>::default();
    let watched =
        |name: &str| Milestones::watched_by(Arc::new(Tap(name.to_owned(), Arc::clone(&wire))));
    let mut town = Agents::start_with(&parties, Some(POLICY), &|_| (), &watched).await;
    // A person of both, and one of each holder alone, with what they paid.
    let mut canaries: Vec<String> = [3, 40, 110].map(person).to_vec();
    canaries.extend([paid(3, 0), paid(40, 0), paid(40, 1), paid(110, 1)]);
    let canaries: Vec<&str> = canaries.iter().map(String::as_str).collect();
    let mut model = String::new();
    for case in &CASES {
        println!("{}", case.name);
        wire.lock().expect("no panic").clear();
        let sides = town.run(&case.spec(&model)).await;
        let job_id = sides[0].receipt.signed.receipt.job_id;
        let path = format!("/v1/jobs/{job_id}/egress");
        let egress = town.agents[0].get(&path).await.json();
        let sent = std::mem::take(&mut *wire.lock().expect("no panic"));
        case.check(&egress, &sides, &sent);
        for side in &sides {
            let receipt = &side.receipt.signed.receipt;
            let bytes: Vec<u8> = sent[receipt.party.as_str()]
                .iter()
                .flat_map(|(_, _, body)| body.clone())
                .collect();
            // Nothing went past the tap.
            let told: u64 = receipt.bytes_sent.values().sum();
            assert_eq!(
                bytes.len() as u64,
                told,
                "{} at {}",
                case.name,
                receipt.party
            );
            nothing_of(&canaries, &bytes, case.name);
        }
        if let Some(part) = &sides[0].receipt.local.model {
            let part: Value = serde_json::from_str(part).expect("JSON");
            model = part["part"]["model"].as_str().expect("an id").to_owned();
        }
    }
    town.world.stop_coordinator().await;
    for entry in std::fs::read_dir(town.world.coordinator_state()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        nothing_of(&canaries, &bytes, &path.display().to_string());
    }
    town.stop().await;
}
