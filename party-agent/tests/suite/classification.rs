//! Classes of data: what each lets be done, who has to approve, and what a result inherits.

use party_agent::agent::Mode;
use party_agent::catalogue::{Aggregate, Class};
use party_agent::ledger::RunCounts;
use party_agent::plan::{ColumnUse, Usage};
use party_agent::policy::{Permit, Policy, Request};
use serde_json::json;

use crate::policy_matrix::request;
use crate::world::{POLICY, Running, World, job};

/// Every use of a column, with what a policy has to say to allow it.
const USES: [Usage; 20] = [
    Usage::Filter,
    Usage::GroupBy,
    Usage::GroupByHidden,
    Usage::Compute,
    Usage::JoinKey,
    Usage::JoinSize,
    Usage::JoinKeys,
    Usage::RowLevel,
    Usage::Label,
    Usage::Feature,
    Usage::Aggregate(Aggregate::Count),
    Usage::Aggregate(Aggregate::CountDistinct),
    Usage::Aggregate(Aggregate::Sum),
    Usage::Aggregate(Aggregate::Avg),
    Usage::Aggregate(Aggregate::Var),
    Usage::Aggregate(Aggregate::Corr),
    Usage::Aggregate(Aggregate::Min),
    Usage::Aggregate(Aggregate::Max),
    Usage::Aggregate(Aggregate::Median),
    Usage::Aggregate(Aggregate::Quantile),
];

/// By class, for each use of [`USES`]: `y` allowed, `11` not in groups of less than 11, `n` not allowed.
const TABLE: [(&str, &str); 5] = [
    ("L1", "y y y y y y y y y y y y y y y y y y y y"),
    ("L2", "y y y y y y y y y y y y y y y y y y y y"),
    ("L3", "y n n y y y y y n y y y n n n n n n n n"),
    ("L4", "y 11 n y y y y y 11 y y y 11 11 11 11 n n n n"),
    ("important", "y 11 n y y y n n 11 y y y 11 11 11 11 n n n n"),
];

fn policy(class: &str, hidden: bool) -> String {
    let aggregates = "[\"count\", \"sum\", \"avg\", \"var\", \"corr\", \"min\", \"max\", \"median\", \"quantile\", \"count_distinct\"]";
    let categories = if hidden {
        ", categories = \"hidden\""
    } else {
        ""
    };
    format!(
        "min_cell = 1\nopen_counts = false\n[tables.t.columns]\nc = {{ class = \"{class}\", aggregate = {aggregates}, filter = true, \
         group_by = true, compute = true, join_key = true, join_size = true, join_keys = true, row_level = true, label = true, feature = true{categories} }}\n"
    )
}

fn check(text: &str, usage: Usage, min_cell: u64) -> Result<Permit, Vec<String>> {
    let policy = Policy::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let uses = [ColumnUse {
        table: "t".to_owned(),
        column: "c".to_owned(),
        usage,
    }];
    let runs = RunCounts::default();
    let request = Request {
        min_cell,
        ..request(&uses, &runs)
    };
    let denials = policy.check(&request);
    denials.map_err(|found| found.into_iter().map(|d| d.rule).collect())
}

#[test]
fn every_class_allows_what_its_row_says() {
    for (class, row) in TABLE {
        let cells: Vec<&str> = row.split(' ').collect();
        assert_eq!(cells.len(), USES.len(), "{class}");
        for (usage, cell) in USES.into_iter().zip(cells) {
            let text = policy(class, usage == Usage::GroupByHidden);
            for min_cell in [10, 11] {
                let found = check(&text, usage, min_cell);
                let allowed = cell == "y" || (cell == "11" && min_cell >= 11);
                match found {
                    Ok(permit) => {
                        assert!(allowed, "{class} {usage:?} {min_cell}");
                        let persons = if class == "important" { 2 } else { 1 };
                        assert_eq!(permit.persons, persons, "{class}");
                    }
                    Err(rules) => {
                        assert!(!allowed, "{class} {usage:?} {min_cell}: {rules:?}");
                        assert_eq!(rules, ["tables.t.columns.c.class"], "{class} {usage:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn core_data_and_unknown_classes_make_no_policy() {
    for class in ["core", "L5", "Important", ""] {
        let faults = Policy::parse(&policy(class, false)).expect_err(class);
        assert_eq!(faults[0].field, "tables.t.columns.c.class", "{faults:?}");
    }
    // Listed without any use, a core column is known and of no use to anybody.
    let listed = "min_cell = 1\nopen_counts = false\n[tables.t]\nclass = \"core\"\n[tables.t.columns]\nc = {}\n";
    let rules = check(listed, Usage::Filter, 11).expect_err("refused");
    assert!(
        rules.contains(&"tables.t.columns.c.class".to_owned()),
        "{rules:?}"
    );
    // What a table says holds for its columns that say nothing else.
    let all = policy("L4", false).replace(
        "[tables.t.columns]",
        "[tables.t]\nclass = \"L3\"\n[tables.t.columns]",
    );
    let found = check(&all, Usage::Aggregate(Aggregate::Sum), 11);
    assert!(found.is_ok(), "{found:?}");
    let one = all.replace("class = \"L4\", ", "");
    check(&one, Usage::Aggregate(Aggregate::Sum), 11).expect_err("L3");
}

/// The policy of the small world with this class for `stay`, and a higher minimum.
pub(crate) fn classified(class: &str) -> String {
    POLICY.replace("stay = { ", &format!("stay = {{ class = \"{class}\", "))
}

pub(crate) fn spec() -> String {
    job(&["a", "b"], &["a"], "ot").replace("min_cell = 3", "min_cell = 11")
}

pub(crate) async fn start(world: &World) -> (Running, Running) {
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Production, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn important_data_need_two_persons_and_no_rule_stands_for_them() {
    let world = World::new(&["a", "b"]).await;
    let rule =
        "[[approve]]\npurpose = \"*\"\nreceivers = [\"a\"]\nmax_runs = 9\n[tables.visits.columns]";
    let policy = classified("important").replace("[tables.visits.columns]", rule);
    world.write_policy("b", &policy);
    let (a, b) = start(&world).await;
    let job_id = a.submit(&spec()).await;
    b.reaches(&job_id, &["waiting"]).await;
    let path = format!("/v1/jobs/{job_id}/approve");
    let unnamed = b.post(&path, &json!({})).await;
    assert_eq!(unnamed.json()["error"]["code"], "not_named");
    let first = b.post(&path, &json!({ "by": "maria" })).await;
    assert_eq!(first.json()["missing"], 1, "{}", first.json());
    let again = b.post(&path, &json!({ "by": "maria" })).await;
    assert_eq!(again.json()["error"]["code"], "same_person");
    let job = b.get(&format!("/v1/jobs/{job_id}")).await.json();
    assert_eq!(job["state"], "waiting", "{job}");
    let second = b.post(&path, &json!({ "by": "jonas" })).await;
    assert_eq!(second.json()["missing"], 0, "{}", second.json());
    let done = b.reaches(&job_id, &["completed"]).await;
    assert_eq!(done["approved_by"], "persons maria and jonas", "{done}");
    a.reaches(&job_id, &["completed"]).await;
    // What was derived is of the highest class that went into it.
    let result = a.result(&job_id).await.json();
    assert_eq!(result["class"], "important", "{result}");
    a.stop().await;
    b.stop().await;
}

/// What a policy says about regions, with important data in use, in a job with these parties besides.
fn objections(more: &str, class: &str, others: &[&'static str]) -> Vec<String> {
    let text = policy(class, false).replace("[tables.t.columns]", more);
    let policy = Policy::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
    let uses = [ColumnUse {
        table: "t".to_owned(),
        column: "c".to_owned(),
        usage: Usage::Filter,
    }];
    let runs = RunCounts::default();
    let request = Request {
        others: others.to_vec(),
        ..request(&uses, &runs)
    };
    let denials = policy.check(&request).err().unwrap_or_default();
    denials
        .into_iter()
        .map(|d| format!("{}: {}", d.rule, d.what))
        .collect()
}

#[test]
fn important_data_stay_in_the_listed_regions() {
    let regions = "[regions]\nb = \"CN-1101\"\nc = \"SG\"\n[tables.t.columns]";
    let listed = |places: &str| format!("important_regions = {places}\n{regions}");
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("[\"CN\"]", &["b"], &[]),
        ("[\"CN\", \"SG\"]", &["b", "c"], &[]),
        (
            "[\"CN\"]",
            &["b", "c"],
            &["important_regions: important data, and c is in SG"],
        ),
        (
            "[\"CN-12\"]",
            &["b"],
            &["important_regions: important data, and b is in CN-1101"],
        ),
        (
            "[\"CN\"]",
            &["b", "d"],
            &["important_regions: important data, and d has no region under [regions]"],
        ),
        (
            "[]",
            &["b"],
            &["important_regions: important data, and b is in CN-1101"],
        ),
    ];
    for (places, others, expected) in cases {
        assert_eq!(
            objections(&listed(places), "important", others),
            expected,
            "{places} {others:?}"
        );
        assert_eq!(
            objections(&listed(places), "L4", others),
            [""; 0],
            "of other classes it says nothing"
        );
    }
    // Without a list there is no limit but the others of this class.
    assert_eq!(objections(regions, "important", &["b", "d"]), [""; 0]);
}

/// The rule is named at the holder, and the others are told that its policy refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_elsewhere_is_refused_by_name_here_and_by_a_code_there() {
    let world = World::new(&["a", "b"]).await;
    let policy = classified("important").replace(
        "min_cell = 3",
        "min_cell = 3\nimportant_regions = [\"CN\"]\nregions = { a = \"SG\" }",
    );
    world.write_policy("b", &policy);
    let (a, b) = start(&world).await;
    let job_id = a.submit(&spec()).await;
    let there = a.reaches(&job_id, &["rejected"]).await.to_string();
    let here = b.reaches(&job_id, &["rejected"]).await.to_string();
    assert!(
        here.contains("important_regions") && here.contains("a is in SG"),
        "{here}"
    );
    assert!(there.contains("policy"), "{there}");
    for secret in ["region", "SG", "CN"] {
        assert!(!there.contains(secret), "{secret} in {there}");
    }
    world.write_policy("b", &policy.replace("a = \"SG\"", "a = \"CN-1101\""));
    let job_id = a.submit(&spec()).await;
    b.reaches(&job_id, &["waiting"]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_becomes_a_table_keeps_its_class() {
    let world = World::new(&["a", "b"]).await;
    for party in ["a", "b"] {
        world.write_policy(party, &classified("L4"));
    }
    let (a, b) = start(&world).await;
    let job_id = a.submit(&spec()).await;
    b.reaches(&job_id, &["waiting"]).await;
    let path = format!("/v1/jobs/{job_id}/approve");
    assert_eq!(b.post(&path, &json!({})).await.status, 200);
    a.reaches(&job_id, &["completed"]).await;
    let files = a.result_files();
    let document = files.iter().find(|f| f.ends_with("result.json"));
    let document = document.expect("a result").clone();
    a.stop().await;
    b.stop().await;
    // At another holder the result stands beside a table of the same name, whose policy says nothing of classes.
    let text = std::fs::read_to_string(&document).expect("read");
    assert!(text.contains("\"class\":\"L4\""), "{text}");
    let home = world.home("b");
    world.write_policy("b", POLICY);
    std::fs::write(home.join("result.json"), &text).expect("written");
    let b = world.agent("b", Mode::Production, true).await;
    let entry = b.get("/v1/datasets/visits").await.json();
    for column in entry["columns"].as_array().expect("columns") {
        assert_eq!(column["class"], Class::L4.as_str(), "{column}");
    }
    b.stop().await;
    // A document that cannot be read is no reason to forget a class.
    std::fs::write(home.join("result.json"), "{").expect("written");
    let config = world.config("b", true);
    let failed = party_agent::agent::Agent::start(config, Mode::Production).await;
    assert!(failed.is_err_and(|e| e.to_string().contains("class of the result")));
}
