//! Two tables of cases: what a policy file may say, and what it then allows.

use super::*;
use crate::catalogue::Aggregate::{Avg, Count, Sum, Var};
use crate::catalogue::CategoryRule;
use crate::plan::Usage::{self, Aggregate, Compute, Filter, GroupBy};

const POLICY: &str = r#"
min_cell = 11
open_counts = false

[[approve]]
purpose = "IRB 2026-117*"
receivers = ["clinic", "hospital_1"]
max_runs = 2

[[approve]]
purpose = "weekly report"
receivers = ["clinic"]
max_runs = 1

[tables.visits.columns]
group = { group_by = true, filter = true, categories = "from_data" }
stay = { aggregate = ["count", "sum", "avg", "var"], filter = true, range = [1, 14], unit = "days" }
age = { aggregate = ["avg"] }
score = { compute = true }
patient_id = {}

[tables.claims]
purposes = ["IRB *", "audit ?"]
receivers = ["clinic"]
note = "adjudicated claims"
[tables.claims.columns]
paid = { aggregate = ["sum"] }
"#;

static NOTHING: RunCounts = RunCounts::new();

fn policy() -> Policy {
    Policy::parse(POLICY).expect("the example is a policy")
}

fn used(table: &str, column: &str, usage: Usage) -> ColumnUse {
    ColumnUse {
        table: table.to_owned(),
        column: column.to_owned(),
        usage,
    }
}

fn ask<'a>(purpose: &'a str, receivers: &[&'a str], uses: &'a [ColumnUse]) -> Request<'a> {
    Request {
        purpose,
        receivers: receivers.to_vec(),
        others: Vec::new(),
        tables: &[],
        uses,
        min_cell: 11,
        rounds_to: Some(1),
        opens_counts: false,
        cohorts: None,
        dominance: None,
        lookup: None,
        loss: None,
        work: Work {
            actions: BTreeSet::from([Action::Compute]),
            execution_env: "03",
            output_class: "aggregate",
            rows_at_most: 1024,
            algorithm: "sha256:00".to_owned(),
        },
        facts: Facts {
            now: 1_800_000_000,
            runs: &NOTHING,
            forbidden: None,
        },
    }
}

/// The rules by which a single use is denied; empty if it is allowed.
fn denied_by(table: &str, column: &str, usage: Usage) -> Vec<String> {
    let uses = [used(table, column, usage)];
    let denials = policy()
        .check(&ask("IRB 1", &["clinic"], &uses))
        .err()
        .unwrap_or_default();
    denials.into_iter().map(|d| d.rule).collect()
}

#[test]
fn every_use_needs_its_own_word() {
    let cases: &[(&str, &str, Usage, Option<&str>)] = &[
        ("visits", "group", GroupBy, None),
        ("visits", "group", Filter, None),
        (
            "visits",
            "group",
            Compute,
            Some("tables.visits.columns.group.compute"),
        ),
        (
            "visits",
            "group",
            Aggregate(Count),
            Some("tables.visits.columns.group.aggregate"),
        ),
        (
            "visits",
            "group",
            Aggregate(Sum),
            Some("tables.visits.columns.group.aggregate"),
        ),
        ("visits", "stay", Filter, None),
        ("visits", "stay", Aggregate(Count), None),
        ("visits", "stay", Aggregate(Sum), None),
        ("visits", "stay", Aggregate(Avg), None),
        ("visits", "stay", Aggregate(Var), None),
        (
            "visits",
            "stay",
            GroupBy,
            Some("tables.visits.columns.stay.group_by"),
        ),
        (
            "visits",
            "stay",
            Compute,
            Some("tables.visits.columns.stay.compute"),
        ),
        ("visits", "age", Aggregate(Avg), None),
        (
            "visits",
            "age",
            Aggregate(Sum),
            Some("tables.visits.columns.age.aggregate"),
        ),
        (
            "visits",
            "age",
            Aggregate(Count),
            Some("tables.visits.columns.age.aggregate"),
        ),
        (
            "visits",
            "age",
            Aggregate(Var),
            Some("tables.visits.columns.age.aggregate"),
        ),
        (
            "visits",
            "age",
            Filter,
            Some("tables.visits.columns.age.filter"),
        ),
        ("visits", "score", Compute, None),
        (
            "visits",
            "score",
            Filter,
            Some("tables.visits.columns.score.filter"),
        ),
        (
            "visits",
            "patient_id",
            Filter,
            Some("tables.visits.columns.patient_id.filter"),
        ),
        (
            "visits",
            "patient_id",
            GroupBy,
            Some("tables.visits.columns.patient_id.group_by"),
        ),
        (
            "visits",
            "patient_id",
            Compute,
            Some("tables.visits.columns.patient_id.compute"),
        ),
        (
            "visits",
            "patient_id",
            Aggregate(Count),
            Some("tables.visits.columns.patient_id.aggregate"),
        ),
        ("visits", "Stay", Filter, Some("tables.visits.columns.Stay")),
        (
            "visits",
            "stay ",
            Filter,
            Some("tables.visits.columns.stay "),
        ),
        (
            "visits",
            "name",
            Aggregate(Count),
            Some("tables.visits.columns.name"),
        ),
        ("Visits", "stay", Filter, Some("tables.Visits")),
        ("notes", "text", Filter, Some("tables.notes")),
        ("claims", "paid", Aggregate(Sum), None),
        (
            "claims",
            "paid",
            Aggregate(Avg),
            Some("tables.claims.columns.paid.aggregate"),
        ),
    ];
    for (table, column, usage, rule) in cases {
        let expected: Vec<String> = rule.iter().map(ToString::to_string).collect();
        assert_eq!(
            denied_by(table, column, *usage),
            expected,
            "{table}.{column} {usage:?}"
        );
    }
}

#[test]
fn purposes_receivers_groups_and_counts_are_checked() {
    let stay = [used("visits", "stay", Filter)];
    let paid = [used("claims", "paid", Aggregate(Sum))];
    let both = [stay[0].clone(), paid[0].clone()];
    let notes = [used("notes", "a", Filter), used("notes", "b", Filter)];
    let cases: &[(&str, Request<'_>, &[&str])] = &[
        (
            "a table without purposes serves any",
            ask("whatever", &["bank"], &stay),
            &[],
        ),
        ("a listed purpose", ask("IRB 7", &["clinic"], &paid), &[]),
        ("the other pattern", ask("audit 1", &["clinic"], &paid), &[]),
        (
            "one character too many",
            ask("audit 12", &["clinic"], &paid),
            &["tables.claims.purposes"],
        ),
        (
            "another purpose",
            ask("marketing", &["clinic"], &paid),
            &["tables.claims.purposes"],
        ),
        (
            "the empty purpose",
            ask("", &["clinic"], &paid),
            &["tables.claims.purposes"],
        ),
        (
            "another receiver",
            ask("IRB 7", &["bank"], &paid),
            &["tables.claims.receivers"],
        ),
        (
            "one receiver too many",
            ask("IRB 7", &["clinic", "bank"], &paid),
            &["tables.claims.receivers"],
        ),
        (
            "purpose and receiver",
            ask("marketing", &["bank"], &paid),
            &["tables.claims.purposes", "tables.claims.receivers"],
        ),
        (
            "only the restricted table objects",
            ask("marketing", &["clinic"], &both),
            &["tables.claims.purposes"],
        ),
        (
            "groups of ten",
            Request {
                min_cell: 10,
                ..ask("x", &["clinic"], &stay)
            },
            &["min_cell"],
        ),
        (
            "no minimum",
            Request {
                min_cell: 0,
                ..ask("x", &["clinic"], &stay)
            },
            &["min_cell"],
        ),
        (
            "a stricter minimum",
            Request {
                min_cell: 12,
                ..ask("x", &["clinic"], &stay)
            },
            &[],
        ),
        (
            "counts opened",
            Request {
                rounds_to: Some(1),
                opens_counts: true,
                ..ask("x", &["clinic"], &stay)
            },
            &["open_counts"],
        ),
        ("no use at all", ask("x", &["clinic"], &[]), &[]),
        (
            "an unlisted table is one denial",
            ask("x", &["clinic"], &notes),
            &["tables.notes"],
        ),
    ];
    for (name, request, rules) in cases {
        let denials = policy().check(request).err().unwrap_or_default();
        let found: Vec<&str> = denials.iter().map(|d| d.rule.as_str()).collect();
        assert_eq!(found, *rules, "{name}");
    }
}

#[test]
fn a_denial_says_what_where_and_what_would_be_allowed() {
    let uses = [used("visits", "age", Aggregate(Sum))];
    let denials = policy()
        .check(&ask("x", &["clinic"], &uses))
        .expect_err("denied");
    let text = denials[0].to_string();
    for part in [
        "visits.age",
        "sum",
        "tables.visits.columns.age.aggregate",
        "avg",
    ] {
        assert!(text.contains(part), "{text} does not mention {part}");
    }
}

#[test]
fn all_denials_come_at_once() {
    let uses = [
        used("visits", "patient_id", GroupBy),
        used("visits", "age", Filter),
        used("notes", "text", Filter),
    ];
    let request = Request {
        min_cell: 1,
        rounds_to: Some(1),
        opens_counts: true,
        ..ask("x", &["clinic"], &uses)
    };
    assert_eq!(policy().check(&request).expect_err("denied").len(), 5);
}

/// COUNT(*) uses no column, and what a policy says of the table holds all the same.
#[test]
fn rows_that_are_only_counted_are_a_use_of_their_table() {
    let claims = ["claims".to_owned()];
    let count = |purpose, receiver| Request {
        tables: &claims,
        ..ask(purpose, &[receiver], &[])
    };
    let rules = |policy: &Policy, request: &Request<'_>| match policy.check(request) {
        Ok(permit) => vec![format!("{} persons, {:?}", permit.persons, permit.places)],
        Err(denials) => denials.into_iter().map(|d| d.rule).collect(),
    };
    let is = |policy: &Policy, request: &Request<'_>, expected: &str| {
        assert_eq!(rules(policy, request), [expected], "{request:?}");
    };
    is(&policy(), &count("IRB 1", "clinic"), "1 persons, []");
    is(
        &policy(),
        &count("marketing", "clinic"),
        "tables.claims.purposes",
    );
    is(
        &policy(),
        &count("IRB 1", "broker"),
        "tables.claims.receivers",
    );
    let of_class = |class| {
        let text = POLICY.replace("paid = { aggregate = [\"sum\"] }", "paid = {}");
        let text = text.replace(
            "[tables.claims]",
            &format!("[tables.claims]\nclass = \"{class}\""),
        );
        Policy::parse(&text).expect("a policy")
    };
    is(
        &of_class("core"),
        &count("IRB 1", "clinic"),
        "tables.claims.columns.*.class",
    );
    is(
        &of_class("important"),
        &count("IRB 1", "clinic"),
        "2 persons, []",
    );
    let list = NegativeList {
        issuer: "regulator".parse().expect("a name"),
        version: 1,
        rules: vec![negative::NegativeRule {
            id: "N-1".to_owned(),
            columns: "*".to_owned(),
            tables: Some("claims".to_owned()),
            class: None,
            purposes: None,
            receivers: None,
            reason: "court order".to_owned(),
        }],
        revoked: Vec::new(),
    };
    let mut listed = count("IRB 1", "clinic");
    listed.facts.forbidden = Some(&list);
    is(&policy(), &listed, "negative list 1 of regulator: N-1");
    let nothing_trains = "[tables.claims.rules.r]\nactions = [\"jointDevelop\"]\nconstraints = []\n[tables.claims.columns]";
    let ruled = Policy::parse(&POLICY.replace("[tables.claims.columns]", nothing_trains));
    is(
        &ruled.expect("a policy"),
        &count("IRB 1", "clinic"),
        "tables.claims.rules",
    );
    let other = ["notes".to_owned()];
    let other = Request {
        tables: &other,
        ..ask("IRB 1", &["clinic"], &[])
    };
    is(&policy(), &other, "tables.notes");
}

#[test]
fn a_rehearsal_allows_everything_and_says_that_it_is_one() {
    let uses = [used("notes", "text", GroupBy)];
    let request = Request {
        min_cell: 0,
        rounds_to: Some(1),
        opens_counts: true,
        ..ask("x", &["anybody"], &uses)
    };
    let rehearsal = Policy::rehearsal();
    rehearsal.check(&request).expect("allowed");
    assert!(rehearsal.is_rehearsal());
    assert!(!policy().is_rehearsal());
    assert!(
        rehearsal.standing_rules().is_empty(),
        "a rehearsal approves nothing by itself"
    );
}

#[test]
fn standing_rules_cover_purpose_receivers_and_a_number_of_runs() {
    let cases: &[(&str, &[&str], u64, Option<usize>)] = &[
        ("IRB 2026-117: costs", &["clinic"], 0, Some(0)),
        ("IRB 2026-117", &["clinic", "hospital_1"], 1, Some(0)),
        ("IRB 2026-117", &["clinic"], 2, None),
        ("IRB 2026-117", &["clinic", "bank"], 0, None),
        ("IRB 2026-118", &["clinic"], 0, None),
        ("weekly report", &["clinic"], 0, Some(1)),
        ("weekly report", &["clinic"], 1, None),
        ("weekly report", &["hospital_1"], 0, None),
        ("my weekly report", &["clinic"], 0, None),
    ];
    let policy = policy();
    for (purpose, receivers, used, rule) in cases {
        let found = policy.standing_rule(purpose, receivers, |_| *used);
        let expected = rule.map(|i| &policy.standing_rules()[i]);
        assert_eq!(found, expected, "{purpose} to {receivers:?} after {used}");
    }
}

#[test]
fn the_count_of_runs_belongs_to_purpose_and_receivers() {
    let policy = policy();
    let rule = policy.standing_rules()[0].clone();
    let raised = StandingRule {
        max_runs: 99,
        ..rule.clone()
    };
    let other = StandingRule {
        purpose: "IRB 2026-11".to_owned(),
        ..rule.clone()
    };
    let fewer = StandingRule {
        receivers: BTreeSet::from(["clinic".to_owned()]),
        ..rule.clone()
    };
    assert_eq!(rule.id(), raised.id());
    assert_ne!(rule.id(), other.id());
    assert_ne!(rule.id(), fewer.id());
}

#[test]
fn what_is_published_follows_the_file() {
    let policy = policy();
    let visits = &policy.tables()["visits"].columns;
    assert_eq!(visits["group"].rule.categories, CategoryRule::FromData);
    assert_eq!(
        visits["stay"].rule.range,
        Some(("1".to_owned(), "14".to_owned()))
    );
    assert_eq!(visits["stay"].rule.unit.as_deref(), Some("days"));
    assert_eq!(
        policy.tables()["claims"].note.as_deref(),
        Some("adjudicated claims")
    );
    assert!(
        policy.publish("notes").is_none(),
        "a table that is not listed is not published"
    );
    assert!(policy.publish("visits").is_some());
}

/// Each case: the file, and for each fault its line and field.
#[test]
fn a_faulty_file_is_refused_with_all_its_faults() {
    let cases: &[(&str, &[(usize, &str)])] = &[
        ("", &[(1, "min_cell"), (1, "open_counts")]),
        ("min_cell = 11", &[(1, "open_counts")]),
        ("min_cell = 0\nopen_counts = false", &[(1, "min_cell")]),
        ("min_cell = -1\nopen_counts = false", &[(1, "min_cell")]),
        ("min_cell = \"11\"\nopen_counts = false", &[(1, "min_cell")]),
        ("min_cell = 11\nopen_counts = \"no\"", &[(2, "open_counts")]),
        (
            "min_cell = 11\nopen_counts = false\nmin_cells = 12",
            &[(3, "min_cells")],
        ),
        (
            "min_cell = 11\nopen_counts = false\nallow = true\n[extra]",
            &[(3, "allow"), (4, "extra")],
        ),
        ("min_cell = 11\nopen_counts =", &[(2, "")]),
        (
            "min_cell = 11\nmin_cell = 12\nopen_counts = false",
            &[(2, "")],
        ),
        (
            "min_cell = 11\nopen_counts = false\ntables = 3",
            &[(3, "tables")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables]\nvisits = 1",
            &[(4, "tables.visits")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.visits]\ncolumn = {}",
            &[(4, "tables.visits.column")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = true",
            &[(4, "tables.v.columns.a")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { groupby = true }",
            &[(4, "tables.v.columns.a.groupby")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { group_by = 1 }",
            &[(4, "tables.v.columns.a.group_by")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { aggregate = [\"mode\"] }",
            &[(4, "tables.v.columns.a.aggregate")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { aggregate = \"sum\" }",
            &[(4, "tables.v.columns.a.aggregate")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { categories = \"all\" }",
            &[(4, "tables.v.columns.a.categories")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { categories = [1.5] }",
            &[(4, "tables.v.columns.a.categories")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { range = [2, 1] }\nb = { range = [1] }",
            &[
                (4, "tables.v.columns.a.range"),
                (5, "tables.v.columns.b.range"),
            ],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = { range = [0, inf] }\nb = { range = [0, 1e3] }",
            &[
                (4, "tables.v.columns.a.range"),
                (5, "tables.v.columns.b.range"),
            ],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[[approve]]\npurpose = \"x\"\nreceivers = [\"a\"]",
            &[(3, "approve[1].max_runs")],
        ),
        (
            "min_cell = 11\nopen_counts = false\n[[approve]]\npurpose = 1\nreceivers = \"a\"\nmax_runs = 0\nuntil = 3",
            &[
                (4, "approve[1].purpose"),
                (5, "approve[1].receivers"),
                (6, "approve[1].max_runs"),
                (7, "approve[1].until"),
            ],
        ),
        (
            "min_cell = 11\nopen_counts = false\napprove = true",
            &[(3, "approve")],
        ),
    ];
    for (text, expected) in cases {
        let faults = Policy::parse(text).expect_err(text);
        let found: Vec<_> = faults.iter().map(|f| (f.line, f.field.as_str())).collect();
        assert_eq!(found, *expected, "{text}\n{faults:#?}");
        assert!(
            faults
                .iter()
                .all(|f| !f.what.is_empty() && !f.allowed.is_empty()),
            "{faults:#?}"
        );
    }
}

#[test]
fn ranges_are_compared_as_numbers() {
    for (range, fine) in [
        ("[-5, 3]", true),
        ("[3, -5]", false),
        ("[-3, -5]", false),
        ("[-5, -3]", true),
        ("[0.10, 0.1]", true),
        ("[9, 10]", true),
        ("[-0.0, 0]", true),
        ("[0.00, 9999999999999999.99]", true),
        ("[99.5, 99.25]", false),
        ("[\"0\", \"99999999999999999999999999999999999999\"]", true),
        (
            "[\"0\", \"999999999999999999999999999999999999999\"]",
            false,
        ),
        ("[\"a\", \"b\"]", false),
    ] {
        let text = format!(
            "min_cell = 11\nopen_counts = false\n[tables.v.columns]\na = {{ range = {range} }}"
        );
        assert_eq!(Policy::parse(&text).is_ok(), fine, "{range}");
    }
}

#[test]
fn the_template_is_a_policy_that_allows_nothing() {
    let policy = Policy::parse(crate::config::POLICY_TEMPLATE).expect("a policy");
    assert!(policy.tables().is_empty());
    assert!(policy.standing_rules().is_empty());
}

#[test]
fn a_missing_file_is_no_policy() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("policy.toml");
    assert!(matches!(
        Policy::load(&missing),
        Err(PolicyError::Unreadable { .. })
    ));
    std::fs::write(&missing, "min_cell = 3").expect("written");
    let error = Policy::load(&missing).expect_err("faulty");
    assert!(error.to_string().contains("open_counts"), "{error}");
}

const WITH_BUDGET: &str = r#"
min_cell = 11
open_counts = false
[tables.visits.dp]
eps_micro = 1000000
delta_log2 = -40
person = "patient_id"
required = true
[tables.visits.columns]
patient_id = {}
stay = { aggregate = ["sum"] }
[tables.claims.columns]
patient_id = {}
paid = { aggregate = ["sum"] }
"#;

/// What the policy says of a job with noise that tells these parties, after so much was lost to "clinic".
fn with_noise(
    uses: &[ColumnUse],
    told: &[&str],
    rho_pico: u64,
    before: u64,
) -> Result<Permit, Vec<String>> {
    let runs = RunCounts {
        charged: [(("visits".to_owned(), "clinic".to_owned()), before)].into(),
        ..RunCounts::default()
    };
    let mut request = ask("IRB 1", &["clinic"], uses);
    request.facts.runs = &runs;
    request.loss = Some(Loss {
        rho_pico,
        told: told.to_vec(),
    });
    let policy = Policy::parse(WITH_BUDGET).expect("a policy");
    policy
        .check(&request)
        .map_err(|denials| denials.iter().map(ToString::to_string).collect())
}

#[test]
fn budgets_are_kept_by_table_and_recipient() {
    let whole = crate::privacy::Guarantee {
        eps_micro: 1_000_000,
        delta_log2: -40,
    };
    let whole = whole.rho_pico();
    let uses = [
        used("visits", "stay", Aggregate(Sum)),
        used("visits", "patient_id", Usage::Person),
    ];
    let permit = with_noise(&uses, &["clinic", "lab"], 7, 5).expect("there is room");
    let charged: Vec<_> = permit
        .charges
        .iter()
        .map(|c| (c.recipient.as_str(), c.rho_pico, c.at_most))
        .collect();
    assert_eq!(charged, [("clinic", 7, whole), ("lab", 7, whole)]);
    // To the last unit, and of this recipient alone.
    assert!(with_noise(&uses, &["clinic"], whole - 5, 5).is_ok());
    let over = with_noise(&uses, &["clinic"], whole - 4, 5).expect_err("one unit too many");
    assert!(
        over[0].contains("tables.visits.dp.eps_micro") && over[0].contains("is left"),
        "{over:?}"
    );
    assert!(with_noise(&uses, &["lab"], whole, whole).is_ok());
}

#[test]
fn releases_with_noise_need_the_person_that_the_holder_names_and_a_budget() {
    let stay = used("visits", "stay", Aggregate(Sum));
    let by = |column| used("visits", column, Usage::Person);
    for (uses, rule) in [
        (vec![stay.clone()], "tables.visits.dp.person"),
        (
            vec![stay.clone(), by("stay")],
            "tables.visits.columns.stay.person",
        ),
        (
            vec![stay.clone(), by("patient_id"), by("stay")],
            "tables.visits.dp.person",
        ),
        (
            vec![
                used("claims", "paid", Aggregate(Sum)),
                used("claims", "patient_id", Usage::Person),
            ],
            "tables.claims.dp",
        ),
    ] {
        let found = with_noise(&uses, &["clinic"], 1, 0).expect_err(rule);
        assert!(found.iter().any(|f| f.contains(rule)), "{rule}: {found:?}");
    }
    // Exact totals of a table that asks for noise.
    let policy = Policy::parse(WITH_BUDGET).expect("a policy");
    let uses = [stay];
    let found = policy
        .check(&ask("IRB 1", &["clinic"], &uses))
        .expect_err("no noise");
    assert_eq!(found[0].rule, "tables.visits.dp.required");
}
