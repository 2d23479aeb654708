//! What a plan says about the use of each column, which a holder's policy decides on.

use party_agent::catalogue::Aggregate::{Avg, Count, Max, Median, Min, Sum, Var};
use party_agent::plan::Procedure;
use party_agent::plan::Usage::{self, Aggregate, Compute, Filter, GroupBy, JoinKey};

use super::fixture::{hospitals, job_with, party, plan, planned};

fn uses(sql: &str) -> Vec<(String, Usage)> {
    let plan = planned(sql);
    let local = &plan.locals[&party("hospital_1")];
    let uses = local.uses.iter();
    uses.map(|u| (format!("{}.{}", u.table, u.column), u.usage))
        .collect()
}

fn check(sql: &str, expected: &[(&str, Usage)]) {
    let expected: Vec<(String, Usage)> = expected
        .iter()
        .map(|(column, usage)| (format!("encounters.{column}"), *usage))
        .collect();
    assert_eq!(uses(sql), expected, "{sql}");
}

#[test]
fn counting_rows_uses_no_column() {
    check("SELECT COUNT(*) FROM {e} e", &[]);
}

#[test]
fn keys_arguments_and_filters() {
    check(
        "SELECT diag_group, COUNT(note), SUM(charges), AVG(charges), VAR_POP(bmi) FROM {e} e WHERE emergency AND weight > 3 GROUP BY diag_group",
        &[
            ("bmi", Aggregate(Var)),
            ("charges", Aggregate(Sum)),
            ("charges", Aggregate(Avg)),
            ("diag_group", GroupBy),
            ("emergency", Filter),
            ("note", Aggregate(Count)),
            ("weight", Filter),
        ],
    );
}

#[test]
fn conditions_inside_arguments_are_filters() {
    check(
        "SELECT SUM(CASE WHEN readmitted = '<30' THEN time_in_hospital ELSE 0 END), COUNT(*) FILTER (WHERE gender = 'F'), AVG(num_medications * time_in_hospital) FROM {e} e",
        &[
            ("gender", Filter),
            ("num_medications", Aggregate(Avg)),
            ("readmitted", Filter),
            ("time_in_hospital", Aggregate(Sum)),
            ("time_in_hospital", Aggregate(Avg)),
        ],
    );
}

#[test]
fn names_are_followed_through_aliases_and_subqueries() {
    let sql = "SELECT d, SUM(x) FROM (SELECT UPPER(g) AS d, t + 1 AS x FROM (SELECT diag_group AS g, time_in_hospital AS t, note AS unused FROM hospital_1.encounters WHERE \"Größe\" > 3) y UNION ALL SELECT diag_group, beds FROM (SELECT 'A' AS diag_group, beds FROM hospital_2.wards) w) z GROUP BY d";
    check(
        sql,
        &[
            ("Größe", Filter),
            ("diag_group", GroupBy),
            ("time_in_hospital", Aggregate(Sum)),
        ],
    );
}

#[test]
fn joins_windows_and_groups_inside_one_holder() {
    let sql = "SELECT ward, SUM(n), AVG(los) FROM (SELECT w.ward, t.n, t.los FROM hospital_1.wards w JOIN (SELECT patient_id, COUNT(*) AS n, AVG(time_in_hospital) AS los FROM hospital_1.encounters GROUP BY patient_id) t ON w.patient_id = t.patient_id UNION ALL SELECT ward, beds, beds FROM hospital_2.wards) x GROUP BY ward";
    let found = uses(sql);
    let expected = [
        ("encounters.patient_id", Filter),
        ("encounters.patient_id", Compute),
        ("encounters.time_in_hospital", Aggregate(Avg)),
        ("encounters.time_in_hospital", Compute),
        ("wards.patient_id", Filter),
        ("wards.ward", GroupBy),
    ];
    assert_eq!(found, expected.map(|(c, u)| (c.to_owned(), u)));
    check(
        "SELECT AVG(los) FROM (SELECT time_in_hospital AS los, ROW_NUMBER() OVER (PARTITION BY patient_id ORDER BY admitted) AS k FROM hospital_1.encounters UNION ALL SELECT beds, 1 FROM hospital_2.wards) t WHERE k = 1",
        &[
            ("admitted", Filter),
            ("admitted", Compute),
            ("patient_id", Filter),
            ("patient_id", Compute),
            ("time_in_hospital", Aggregate(Avg)),
        ],
    );
    check(
        "SELECT COUNT(*) FROM (SELECT note FROM hospital_1.encounters WHERE patient_id IN (SELECT patient_id FROM hospital_1.encounters WHERE bmi > 30) UNION ALL SELECT ward FROM hospital_2.wards) t",
        &[("bmi", Filter), ("patient_id", Filter)],
    );
}

/// The uses at each of two hospitals whose tables are joined.
fn check_join(sql: &str, expected: [&[(&str, Usage)]; 2]) {
    let plan = planned(sql);
    for (holder, expected) in ["hospital_1", "hospital_2"].into_iter().zip(expected) {
        let uses = plan.locals[&party(holder)].uses.iter();
        let uses: Vec<(&str, Usage)> = uses.map(|u| (u.column.as_str(), u.usage)).collect();
        assert_eq!(uses, expected, "{holder}: {sql}");
    }
}

const JOINED: &str =
    "FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id";

/// Each holder is asked for what its own columns are used for: keys of the join by their own word, and of values that
/// are counted one by one not the count, but the quantile that they are counted for.
#[test]
fn a_join_between_holders_uses_columns_of_each() {
    check_join(
        &format!(
            "SELECT a.diag_group, COUNT(*), SUM(a.time_in_hospital), MEDIAN(a.num_medications), MAX(b.time_in_hospital) {JOINED} WHERE b.emergency AND a.weight > 3 GROUP BY a.diag_group"
        ),
        [
            &[
                ("diag_group", GroupBy),
                ("num_medications", Aggregate(Median)),
                ("patient_id", JoinKey),
                ("time_in_hospital", Aggregate(Sum)),
                ("weight", Filter),
            ],
            &[
                ("emergency", Filter),
                ("patient_id", JoinKey),
                ("time_in_hospital", Aggregate(Max)),
            ],
        ],
    );
}

/// A column that another holder's values are chosen by is a filter at its owner.
#[test]
fn a_condition_on_another_holders_values_is_a_filter_of_its_own() {
    check_join(
        &format!(
            "SELECT SUM(CASE WHEN b.gender = 'F' THEN a.time_in_hospital END), MIN(a.num_medications) FILTER (WHERE b.emergency) {JOINED}"
        ),
        [
            &[
                ("num_medications", Aggregate(Min)),
                ("patient_id", JoinKey),
                ("time_in_hospital", Aggregate(Sum)),
            ],
            &[
                ("emergency", Filter),
                ("gender", Filter),
                ("patient_id", JoinKey),
            ],
        ],
    );
}

/// Without a dealer all learn how many keys each has and in how many groups one stands; with one neither, but for groups
/// of the first table that are so many that a dealer could not deal for all of them.
#[test]
fn sizes_of_a_join_are_told_without_a_dealer_alone() {
    let sql = format!("SELECT a.gender, COUNT(*) {JOINED} GROUP BY a.gender");
    let many: Vec<String> = (0..100).map(|i| format!("\"{i}\"")).collect();
    let many = format!("gender = [{}]", many.join(", "));
    let keys = "how many different keys each other holder has";
    let groups =
        "in how many groups a key of each table stands at most, rounded up to a power of two";
    let of_hub = "in how many groups a key of a stands at most, rounded up to a power of two";
    for (source, domain, told) in [
        ("ot", "", &[keys, groups][..]),
        ("dealer:notary", "", &[]),
        ("dealer:notary", many.as_str(), &[of_hub]),
    ] {
        let is_dealt = source != "ot";
        let privacy = format!("correlations = \"{source}\"\nmin_cell = 11\n");
        let plan = plan(&job_with(&sql, domain, &privacy), &hospitals());
        for what in [keys, groups, of_hub] {
            for name in ["analyst", "hospital_1", "hospital_2"] {
                let learns = plan.learns.iter().find(|l| l.party == name);
                let says = learns.expect("a party").what.contains(what);
                assert_eq!(says, told.contains(&what), "{source}, {name}: {what}");
            }
        }
        let Procedure::Join(of) = &plan.procedure else {
            panic!("a join");
        };
        let (sizes, groups) = (of.bounds(&plan.keys), of.groups(&plan.keys));
        let star = of.star(0, &sizes, &groups, is_dealt);
        assert_eq!(star.bounds.is_none(), told.is_empty(), "{source}");
        // A hundred groups are not foretold as if every key stood in each of them.
        let most = plan.cost.bytes_sent.iter().max();
        assert!(most.is_some_and(|n| *n < 1 << 29), "{source}: {most:?}");
        let is_said = plan.notes.iter().any(|n| n.contains("foretold"));
        assert_eq!(is_said, told.iter().any(|t| *t != keys), "{source}");
        // Filled up to what is published.
        let n_rows = star.relations.iter().flat_map(|r| &r.holders);
        assert!(n_rows.map(|h| h.n_rows).all(|n| n == 1 << 16), "{source}");
    }
}
