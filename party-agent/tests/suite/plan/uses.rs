//! What a plan says about the use of each column, which a holder's policy decides on.

use party_agent::catalogue::Aggregate::{Avg, Count, Sum, Var};
use party_agent::plan::Usage::{self, Aggregate, Compute, Filter, GroupBy};

use super::fixture::{party, planned};

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
