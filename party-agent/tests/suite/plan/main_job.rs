//! The main job of the product, from its text to what each party learns.

use party_agent::plan::{Release, ReleaseRule, Released, RingWidth, ValueKind};
use party_agent::spec::Correlations;

use super::fixture::{faults, hospitals, job, job_with, local, party, plan, planned};

const MAIN: &str = "SELECT diag_group, COUNT(*) AS n, AVG(time_in_hospital) AS los, STDDEV_SAMP(time_in_hospital) AS los_sd, SUM(num_medications) AS meds
FROM {e} e
WHERE time_in_hospital >= 1 GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY n DESC";

#[test]
fn each_holder_runs_its_own_part() {
    let plan = planned(MAIN);
    for i in 1..=3 {
        let holder = format!("hospital_{i}");
        let expected = format!(
            "SELECT diag_group AS k0, time_in_hospital AS a0, num_medications AS a1\nFROM (SELECT * FROM {holder}.encounters) e\nWHERE time_in_hospital >= 1"
        );
        let part = &plan.locals[&party(&holder)];
        assert_eq!(part.sql, expected);
        assert_eq!(
            (part.tables.as_slice(), part.rows_at_most),
            (["encounters".to_owned()].as_slice(), 1 << 16)
        );
        let columns: Vec<&str> = part.args.iter().map(|a| a[0].column.as_str()).collect();
        assert_eq!(columns, ["time_in_hospital", "num_medications"]);
    }
}

#[test]
fn totals_are_sized_and_released_by_the_rule() {
    let plan = planned(MAIN);
    // COUNT(*), the sums of time and its square, and the count and sum of medications.
    assert_eq!(
        (plan.shape.cells, plan.shape.narrow, plan.shape.wide),
        (6, 5, 0)
    );
    assert_eq!(plan.shape.rule, ReleaseRule::Compare);
    assert_eq!(plan.shape.checks.len(), 1);
    assert_eq!(plan.shape.checks[0].rule, "COUNT(*) >= 11");
    assert_eq!(plan.shape.checks[0].reason, "min_cell and having");
    assert_eq!(plan.measures[0].count, 0, "no NULL, so COUNT(*) counts it");
    assert_eq!(plan.measures[1].count, 3);
    assert!(
        plan.measures
            .iter()
            .all(|m| m.sum.is_some_and(|s| s.ring == RingWidth::Narrow))
    );
    let seats: Vec<&str> = plan.seats.iter().map(|s| s.as_str()).collect();
    assert_eq!(seats, ["analyst", "hospital_1", "hospital_2", "hospital_3"]);
    let Release::Cells(shape) = plan.release() else {
        panic!("all groups that are large enough");
    };
    shape
        .check(plan.seats.len())
        .expect("a shape that the protocol takes");
    assert_eq!(shape.receivers.len(), 1);
}

#[test]
fn receivers_build_the_table() {
    let plan = planned(MAIN);
    let columns: Vec<(&str, Released)> = plan
        .released
        .iter()
        .map(|c| (c.name.as_str(), c.value))
        .collect();
    assert_eq!(
        columns,
        [
            ("k0", Released::Key(0)),
            ("o0", Released::Ordinal(0)),
            ("n", Released::Rows),
            ("avg0", Released::Avg(0)),
            (
                "stddev_samp0",
                Released::StdDev {
                    measure: 0,
                    sample: true
                }
            ),
            ("s1", Released::Sum(1)),
        ]
    );
    assert_eq!(
        plan.final_sql,
        "SELECT released.k0 AS diag_group, released.n AS n, released.avg0 AS los, released.stddev_samp0 AS los_sd, released.s1 AS meds FROM released ORDER BY released.n DESC NULLS LAST, released.o0 ASC NULLS LAST"
    );
    let outputs: Vec<(&str, ValueKind)> = plan
        .outputs
        .iter()
        .map(|o| (o.name.as_str(), o.kind))
        .collect();
    use ValueKind::{Float, Int, Text};
    assert_eq!(
        outputs,
        [
            ("diag_group", Text),
            ("n", Int),
            ("los", Float),
            ("los_sd", Float),
            ("meds", Int)
        ]
    );
}

#[test]
fn the_plan_says_what_each_party_learns() {
    let plan = planned(MAIN);
    let learns: Vec<String> = plan
        .learns
        .iter()
        .map(|l| format!("{}: {}", l.party, l.what))
        .collect();
    let groups =
        "which groups are large enough to be released, and nothing about the size of the others";
    assert_eq!(
        learns,
        [
            format!("analyst: for every released group, over all holders together: the number of rows, the sum of time_in_hospital, the sum of squares of time_in_hospital, how many values of num_medications are not NULL and the sum of num_medications; {groups}"),
            format!("hospital_1: {groups}"),
            format!("hospital_2: {groups}"),
            format!("hospital_3: {groups}"),
            "coordinator: that the job ran, between whom, when, and how many bytes it relayed; it cannot read them".to_owned(),
        ]
    );
    let text = plan.explain();
    for part in [
        "plan ",
        "hospital_2, in its own engine (at most 65536 rows)",
        "compared on shares: COUNT(*) >= 11; only the answers are opened, to the computing parties",
        "COUNT(*) >= 11: minimum cell of the job, counted in rows",
        "opened to analyst: the totals of the groups that pass",
        "correlated randomness: oblivious transfer between the computing parties, no third party",
        "rows: at most 196608",
        "time, predicted: loopback ",
        "  ! the minimum cell counts rows: a released group can have fewer than 11 values that are not NULL of num_medications",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_slice(&plan.canonical()).expect("JSON");
    assert_eq!(json["locals"]["hospital_1"]["tables"][0], "encounters");
    assert_eq!(json["correlations"], "ot");
}

/// Declared, not measured: every agent has the same plan. It sends less, and says what it rests on.
#[test]
fn a_slow_link_takes_another_extension() {
    let fast = plan(&job(MAIN), &hospitals());
    let text = job(MAIN).replace("\"ot\"", "\"ot\"\nlink = \"slow\"");
    let slow = plan(&text, &hospitals());
    assert_eq!(slow.source(), Some(protocols::correlate::Source::FerretOt));
    assert_eq!(fast.needs(), slow.needs());
    assert_ne!(fast.cost, slow.cost);
    for (plan, part) in [
        (&fast, "extended by SoftSpoken"),
        (
            &slow,
            "extended by Ferret, because the job declares a slow link",
        ),
    ] {
        let text = plan.explain();
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(slow.explain().contains("(LPN)"));
}

#[test]
fn a_dealer_takes_the_last_seat() {
    let text = job(MAIN).replace("\"ot\"", "\"dealer:notary\"");
    let plan = plan(&text, &hospitals());
    assert_eq!(plan.dealer, Some(party("notary")));
    assert_eq!(
        plan.correlations,
        Some(Correlations::Dealer(party("notary")))
    );
    assert_eq!(plan.cost.bytes_sent.len(), 5);
    assert!(plan.explain().contains("dealt by notary, which must not collude with any of analyst, hospital_1, hospital_2 and hospital_3"));
    assert!(
        plan.learns
            .iter()
            .any(|l| l.party == "notary" && l.what.starts_with("nothing but this plan"))
    );
}

#[test]
fn counts_are_opened_only_where_every_policy_says_so() {
    let text = job_with(MAIN, "", "min_cell = 11\n");
    let mut catalogues = hospitals();
    assert!(faults(&text, &catalogues)[0].starts_with("privacy.correlations: is missing"));
    for name in ["hospital_1", "hospital_2", "hospital_3"] {
        catalogues
            .get_mut(&party(name))
            .expect("it is there")
            .open_counts = true;
    }
    let open = plan(&text, &catalogues);
    assert_eq!(
        (open.shape.rule, &open.correlations),
        (ReleaseRule::OpenCounts, &None)
    );
    assert!(
        open.learns[1]
            .what
            .contains("the size of every group over all holders, small ones too")
    );
    assert!(
        open.warnings
            .iter()
            .any(|w| w.contains("counts are opened"))
    );
    // A job that names correlations compares on shares even so.
    assert_eq!(
        plan(&job(MAIN), &catalogues).shape.rule,
        ReleaseRule::Compare
    );
}

#[test]
fn without_a_minimum_nothing_is_compared_and_that_is_said() {
    let mut catalogues = hospitals();
    for name in ["hospital_1", "hospital_2", "hospital_3"] {
        catalogues
            .get_mut(&party(name))
            .expect("it is there")
            .min_cell = 0;
    }
    let text = job_with(
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY gender",
        "",
        "correlations = \"ot\"\n",
    );
    let plan = plan(&text, &catalogues);
    assert_eq!(
        (plan.shape.rule, plan.cost.rounds, plan.correlations),
        (ReleaseRule::None, 2, None)
    );
    let warnings = plan.warnings.join("\n");
    assert!(
        warnings.contains("there is no minimum cell: a group of a single row is released"),
        "{warnings}"
    );
    assert!(
        warnings.contains("privacy.correlations has no effect"),
        "{warnings}"
    );
}

#[test]
fn a_receiver_with_data_can_subtract() {
    let text = job(MAIN).replace("\"analyst\"", "\"hospital_1\"");
    let three = plan(&text, &hospitals());
    assert!(
        three.warnings[0].contains("it learns the joint figures of hospital_2 and hospital_3"),
        "{:?}",
        three.warnings
    );
    let two = MAIN.replace(
        "{e}",
        "(SELECT * FROM hospital_1.encounters UNION ALL SELECT * FROM hospital_2.encounters)",
    );
    let two = plan(
        &job(&two).replace("\"analyst\"", "\"hospital_1\""),
        &hospitals(),
    );
    assert!(
        two.warnings[0].contains("it learns those of hospital_2"),
        "{:?}",
        two.warnings
    );
    assert_eq!(local(&two, "hospital_2").matches("hospital_1").count(), 0);
}
