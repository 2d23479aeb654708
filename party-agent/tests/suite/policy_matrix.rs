//! Every constraint with its operators at their boundaries, and whatever is not in the vocabulary: refused.

use std::collections::BTreeSet;

use party_agent::ledger::{Counted, RunCounts};
use party_agent::plan::{ColumnUse, Usage};
use party_agent::policy::constraint::{Action, Operator, Subject};
use party_agent::policy::{Denial, Facts, Policy, Request, Work};

/// 2027-01-15T08:00:00Z
const NOW: u64 = 1_800_000_000;
const LAST_RUN: u64 = NOW - 3600;
const ALGORITHM: &str = "sha256:0123";

fn rule(actions: &str, constraints: &str) -> String {
    format!(
        "min_cell = 3\nopen_counts = false\n[regions]\na = \"CN-1101\"\nb = \"CN-31\"\n[tables.visits.rules.r]\nactions = {actions}\nconstraints = [{constraints}]\n\
         [tables.visits.columns]\nkind = {{ filter = true }}\nstay = {{ filter = true }}\n"
    )
}

fn constraint(name: &str, operator: &str, value: &str) -> String {
    let text = format!("{{ constraint = \"{name}\", operator = \"{operator}\", value = {value} }}");
    rule("[\"compute\"]", &text)
}

/// A job that computes with these columns for a and b, of 1000 rows, in groups of 11.
pub(crate) fn request<'a>(uses: &'a [ColumnUse], runs: &'a RunCounts) -> Request<'a> {
    Request {
        purpose: "IRB 7: costs",
        receivers: vec!["a", "b"],
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
            rows_at_most: 1000,
            algorithm: ALGORITHM.to_owned(),
        },
        facts: Facts {
            now: NOW,
            runs,
            forbidden: None,
        },
    }
}

/// What a policy has against the [`request`] for two columns, after two runs.
fn denials(text: &str, actions: &[Action]) -> Vec<Denial> {
    let policy = Policy::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let used = |column: &str| ColumnUse {
        table: "visits".to_owned(),
        column: column.to_owned(),
        usage: Usage::Filter,
    };
    let so_far = Counted {
        n: 2,
        last: Some(LAST_RUN),
    };
    let key = ("visits".to_owned(), "r".to_owned());
    let (uses, runs) = (
        [used("kind"), used("stay")],
        RunCounts {
            by_rule: [(key, so_far)].into(),
            ..RunCounts::default()
        },
    );
    let mut request = request(&uses, &runs);
    request.work.actions = actions.iter().copied().collect();
    request.others = vec!["a", "b"];
    policy.check(&request).err().unwrap_or_default()
}

/// Constraint, operator, value, and whether the job of these tests keeps it.
const CASES: &[(&str, &str, &str, bool)] = &[
    ("time", "lt", "\"2027-01-15T08:00:01Z\"", true),
    ("time", "lt", "\"2027-01-15T08:00:00Z\"", false),
    ("time", "lteq", "\"2027-01-15T08:00:00Z\"", true),
    ("time", "lteq", "\"2027-01-15T07:59:59Z\"", false),
    ("time", "gt", "\"2027-01-15T07:59:59Z\"", true),
    ("time", "gt", "\"2027-01-15T08:00:00Z\"", false),
    ("time", "gteq", "\"2027-01-15T08:00:00Z\"", true),
    ("time", "gteq", "\"2027-01-15T08:00:01Z\"", false),
    // The same moment by another clock on the wall.
    ("time", "lteq", "\"2027-01-15T16:00:00+08:00\"", true),
    ("time", "lteq", "\"2027-01-15T15:59:59+08:00\"", false),
    (
        "timeWindow",
        "isPartOf",
        "[\"2027-01-15T08:00:00Z\", \"2027-01-15T08:00:01Z\"]",
        true,
    ),
    (
        "timeWindow",
        "isPartOf",
        "[\"2027-01-15T07:00:00Z\", \"2027-01-15T08:00:00Z\"]",
        false,
    ),
    (
        "timeWindow",
        "isPartOf",
        "[\"2027-01-15T08:00:01Z\", \"2027-02-01T00:00:00Z\"]",
        false,
    ),
    // Two runs so far: this one is the third.
    ("count", "lteq", "3", true),
    ("count", "lteq", "2", false),
    ("count", "lteq", "0", false),
    ("count", "lt", "4", true),
    ("count", "lt", "3", false),
    ("frequency", "gteq", "3600", true),
    ("frequency", "gteq", "3601", false),
    ("frequency", "gt", "3599", true),
    ("frequency", "gt", "3600", false),
    ("dataSize", "eq", "1000", true),
    ("dataSize", "eq", "999", false),
    ("dataSize", "neq", "999", true),
    ("dataSize", "neq", "1000", false),
    ("dataSize", "lt", "1001", true),
    ("dataSize", "lt", "1000", false),
    ("dataSize", "lteq", "1000", true),
    ("dataSize", "lteq", "999", false),
    ("dataSize", "gt", "999", true),
    ("dataSize", "gt", "1000", false),
    ("dataSize", "gteq", "1000", true),
    ("dataSize", "gteq", "1001", false),
    ("dataField", "eq", "[\"stay\", \"kind\"]", true),
    ("dataField", "eq", "[\"stay\"]", false),
    ("dataField", "neq", "[\"stay\"]", true),
    ("dataField", "neq", "[\"stay\", \"kind\"]", false),
    ("dataField", "hasPart", "\"stay\"", true),
    ("dataField", "hasPart", "\"Stay\"", false),
    ("dataField", "isAllOf", "[\"stay\"]", true),
    ("dataField", "isAllOf", "[\"stay\", \"age\"]", false),
    (
        "dataField",
        "isAnyOf",
        "[\"stay\", \"kind\", \"age\"]",
        true,
    ),
    // Every column is one of these, and not only some column.
    ("dataField", "isAnyOf", "[\"stay\"]", false),
    ("dataField", "isNoneOf", "[\"age\"]", true),
    ("dataField", "isNoneOf", "[\"age\", \"kind\"]", false),
    ("dataField", "isPartOf", "[\"stay\", \"kind\"]", true),
    ("dataField", "isPartOf", "[\"kind\"]", false),
    ("dataField", "isPartOf", "[]", false),
    ("algorithm", "eq", "\"sha256:0123\"", true),
    ("algorithm", "eq", "\"sha256:0124\"", false),
    (
        "algorithm",
        "isAnyOf",
        "[\"sha256:0123\", \"sha256:9\"]",
        true,
    ),
    ("algorithm", "isAnyOf", "[\"sha256:012\"]", false),
    ("executionEnv", "eq", "\"03\"", true),
    ("executionEnv", "eq", "\"04\"", false),
    ("executionEnv", "neq", "\"04\"", true),
    ("executionEnv", "isAnyOf", "[\"03\", \"04\"]", true),
    ("executionEnv", "isAnyOf", "[\"05\"]", false),
    ("executionEnv", "isNoneOf", "[\"04\"]", true),
    ("executionEnv", "isNoneOf", "[\"03\"]", false),
    ("x-tds:purpose", "eq", "\"IRB 7: costs\"", true),
    ("x-tds:purpose", "eq", "\"IRB 7\"", false),
    ("x-tds:purpose", "neq", "\"audit\"", true),
    ("x-tds:purpose", "neq", "\"IRB 7: costs\"", false),
    ("x-tds:purpose", "isA", "\"IRB 7*\"", true),
    ("x-tds:purpose", "isA", "\"IRB 8*\"", false),
    ("x-tds:purpose", "isAnyOf", "[\"audit\"]", false),
    ("x-tds:minCell", "gteq", "11", true),
    ("x-tds:minCell", "gteq", "12", false),
    ("x-tds:minCell", "gt", "11", false),
    ("x-tds:minCell", "eq", "11", true),
    ("x-tds:outputClass", "eq", "\"aggregate\"", true),
    ("x-tds:outputClass", "isNoneOf", "[\"aggregate\"]", false),
    (
        "x-tds:outputClass",
        "isAnyOf",
        "[\"aggregate\", \"model\"]",
        true,
    ),
    (
        "x-tds:recipients",
        "isPartOf",
        "[\"a\", \"b\", \"c\"]",
        true,
    ),
    ("x-tds:recipients", "isPartOf", "[\"a\"]", false),
    ("x-tds:recipients", "isNoneOf", "[\"c\"]", true),
    ("x-tds:recipients", "isNoneOf", "[\"b\"]", false),
    ("x-tds:recipients", "eq", "[\"b\", \"a\"]", true),
    (
        "x-tds:recipients",
        "isAllOf",
        "[\"a\", \"b\", \"c\"]",
        false,
    ),
    ("x-tds:recipients", "hasPart", "\"c\"", false),
    // The parties are in CN-1101 and CN-31.
    ("region", "isPartOf", "[\"CN\"]", true),
    ("region", "isPartOf", "[\"CN-1101\", \"CN-31\"]", true),
    ("region", "isPartOf", "[\"CN-1101\"]", false),
    ("region", "isPartOf", "[\"CN-11\", \"CN-31\"]", false),
    ("region", "isPartOf", "[]", false),
    (
        "region",
        "isAnyOf",
        "[\"CN-1101\", \"CN-31\", \"US\"]",
        true,
    ),
    ("region", "isAnyOf", "[\"US\", \"EU\"]", false),
    ("region", "isNoneOf", "[\"US\"]", true),
    ("region", "isNoneOf", "[\"US\", \"CN\"]", false),
    // Somebody of whom it is known that he is in CN-31 may be in this part of it.
    ("region", "isNoneOf", "[\"CN-31-15\"]", false),
    ("region", "isNoneOf", "[\"CN-12\"]", true),
];

#[test]
fn every_constraint_is_kept_at_its_boundary() {
    let mut seen = BTreeSet::new();
    for (name, operator, value, allowed) in CASES {
        let found = denials(&constraint(name, operator, value), &[Action::Compute]);
        let rule = format!("tables.visits.rules.r.{name}");
        let rules: Vec<&str> = found.iter().map(|d| d.rule.as_str()).collect();
        let expected = if *allowed { vec![] } else { vec![&*rule] };
        assert_eq!(rules, expected, "{name} {operator} {value}: {found:?}");
        seen.insert((*name, *operator));
    }
    // Every constraint, and all twelve operators.
    for subject in Subject::ALL {
        let word = subject.as_str();
        assert!(seen.iter().any(|(name, _)| *name == word), "{word}");
    }
    for operator in Operator::ALL {
        let word = operator.as_str();
        assert!(seen.iter().any(|(_, o)| *o == word), "{word}");
    }
}

/// The fields at which a policy is faulty.
fn faults(text: &str) -> Vec<String> {
    let faults = Policy::parse(text).expect_err(text);
    faults.into_iter().map(|f| f.field).collect()
}

#[test]
fn what_is_not_in_the_vocabulary_makes_a_policy_that_allows_nothing() {
    let at = |field: &str| format!("tables.visits.rules.r.constraints[1].{field}");
    for (name, operator, value, field) in [
        // Nobody's word, a word in another spelling, and extensions that are not ours.
        ("weather", "eq", "1", "constraint"),
        ("Count", "lteq", "3", "constraint"),
        ("x-tds:planHash", "eq", "\"00\"", "constraint"),
        ("x-other:thing", "eq", "\"00\"", "constraint"),
        // Of the dictionary, but nothing that an agent can observe.
        ("physicalAddress", "isPartOf", "[\"CN\"]", "constraint"),
        ("networkAddress", "isAnyOf", "[\"10.0.0.1\"]", "constraint"),
        ("valueExpression", "eq", "\"age > 3\"", "constraint"),
        ("payAmount", "gteq", "1", "constraint"),
        ("count", "le", "3", "operator"),
        ("count", "LTEQ", "3", "operator"),
        ("count", "", "3", "operator"),
        // Values of another kind.
        ("count", "lteq", "\"3\"", "value"),
        ("count", "lteq", "[\"3\"]", "value"),
        ("count", "lteq", "-1", "value"),
        ("count", "lteq", "3.5", "value"),
        ("time", "lt", "\"tomorrow\"", "value"),
        ("time", "lt", "\"2027-01-15\"", "value"),
        ("time", "lt", "1800000000", "value"),
        (
            "timeWindow",
            "isPartOf",
            "[\"2027-01-15T08:00:00Z\"]",
            "value",
        ),
        (
            "timeWindow",
            "isPartOf",
            "[\"2027-01-15T08:00:00Z\", \"2027-01-15T08:00:00Z\"]",
            "value",
        ),
        ("region", "isPartOf", "\"CN\"", "value"),
        ("region", "isPartOf", "[\"cn\"]", "value"),
        ("region", "isNoneOf", "[\"\"]", "value"),
        ("dataField", "isPartOf", "\"stay\"", "value"),
        ("dataField", "isPartOf", "[1]", "value"),
        ("dataField", "hasPart", "[\"stay\"]", "value"),
        ("x-tds:purpose", "isA", "[\"IRB*\"]", "value"),
        ("x-tds:purpose", "isAnyOf", "\"IRB 7\"", "value"),
    ] {
        let text = constraint(name, operator, value);
        assert_eq!(faults(&text), [at(field)], "{name} {operator} {value}");
    }
    let more = "{ constraint = \"count\", operator = \"lteq\", value = 3, unless = \"asked\" }";
    assert_eq!(faults(&rule("[\"compute\"]", more)), [at("unless")]);
    for missing in [
        "operator = \"lteq\", value = 3",
        "constraint = \"count\", value = 3",
        "constraint = \"count\", operator = \"lteq\"",
    ] {
        faults(&rule("[\"compute\"]", &format!("{{ {missing} }}")));
    }
    for actions in [
        "[\"read\"]",
        "[\"compute\", \"sell\"]",
        "[\"Compute\"]",
        "\"compute\"",
        "[\"grantUse\"]",
    ] {
        let found = faults(&rule(actions, ""));
        assert_eq!(found, ["tables.visits.rules.r.actions"], "{actions}");
    }
}

#[test]
fn a_constraint_takes_its_own_operators_and_no_other() {
    for subject in Subject::ALL {
        for operator in Operator::ALL {
            if subject.operators().contains(&operator) {
                continue;
            }
            for value in ["3", "\"a\"", "[\"a\"]"] {
                let text = constraint(subject.as_str(), operator.as_str(), value);
                let found = faults(&text);
                let at = ["tables.visits.rules.r.constraints[1].operator"];
                assert_eq!(found, at, "{subject:?} {operator:?} {value}");
            }
        }
    }
}

#[test]
fn every_action_needs_a_rule_of_its_own() {
    for granted in Action::ALL {
        let text = rule(&format!("[\"{}\"]", granted.as_str()), "");
        for wanted in Action::ALL {
            let found = denials(&text, &[wanted]);
            assert_eq!(
                found.is_empty(),
                granted == wanted,
                "{granted:?} {wanted:?}"
            );
        }
    }
    let one = rule("[\"compute\"]", "");
    let found = denials(&one, &[Action::Compute, Action::Distribute]);
    let rules: Vec<&str> = found.iter().map(|d| d.rule.as_str()).collect();
    assert_eq!(rules, ["tables.visits.rules"]);
}

#[test]
fn one_rule_that_allows_is_enough_and_all_its_constraints_have_to_hold() {
    let count = |n: u64| format!("{{ constraint = \"count\", operator = \"lteq\", value = {n} }}");
    let small = "{ constraint = \"dataSize\", operator = \"lteq\", value = 10 }";
    let both = format!("{}, {small}", count(2));
    let text = rule("[\"compute\"]", &both);
    let found = denials(&text, &[Action::Compute]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].what, "to compute table visits, count is 3");
    assert_eq!(found[0].allowed, "count lteq 2");
    let other = format!(
        "[tables.visits.rules.other]\nactions = [\"compute\"]\nconstraints = [{}]\n[tables.visits.columns]",
        count(1)
    );
    // Its runs are counted apart: this would be its first.
    let text = text.replace("[tables.visits.columns]", &other);
    assert_eq!(denials(&text, &[Action::Compute]), []);
}

/// A party whose region nobody has written down is in none, whatever the operator.
#[test]
fn a_party_without_a_region_is_refused_where_regions_matter() {
    for text in [
        constraint("region", "isPartOf", "[\"CN\"]"),
        constraint("region", "isAnyOf", "[\"CN\"]"),
        constraint("region", "isNoneOf", "[\"US\"]"),
    ] {
        assert_eq!(denials(&text, &[Action::Compute]), []);
        let without = text.replace("b = \"CN-31\"\n", "");
        let found = denials(&without, &[Action::Compute]);
        let rules: Vec<&str> = found.iter().map(|d| d.rule.as_str()).collect();
        assert_eq!(rules, ["tables.visits.rules.r.region"], "{without}");
        assert!(found[0].what.contains("unknown"), "{found:?}");
    }
    let text = rule("[\"compute\"]", "");
    for (from, to, field) in [
        ("\"CN-31\"", "\"Shanghai\"", "regions.b"),
        ("b = \"CN-31\"", "B = \"CN-31\"", "regions.B"),
        ("\"CN-31\"", "31", "regions.b"),
        (
            "min_cell",
            "important_regions = [\"cn\"]\nmin_cell",
            "important_regions",
        ),
    ] {
        assert_eq!(faults(&text.replace(from, to)), [field], "{to}");
    }
}
