//! Where the groups of a key come from.

use party_agent::catalogue::ColumnKind;
use party_agent::plan::ValueKind;

use super::fixture::{
    With, column, decimal, domain, faults, hospitals, int, job, job_with, party, plan, planned,
};

/// The groups of the only key, its kind, and the slot for the rest.
fn groups(sql: &str) -> (Vec<String>, ValueKind, bool) {
    let plan = planned(sql);
    let groups = domain(&plan, 0).into_iter().map(str::to_owned);
    (groups.collect(), plan.keys[0].kind, plan.keys[0].has_other)
}

fn assert_groups(key: &str, expected: &[&str], kind: ValueKind, has_other: bool) {
    let sql = format!("SELECT {key} AS k, COUNT(*) FROM {{e}} e GROUP BY {key}");
    let (found, found_kind, found_other) = groups(&sql);
    assert_eq!(found, expected, "{key}");
    assert_eq!((found_kind, found_other), (kind, has_other), "{key}");
}

#[test]
fn published_categories_are_joined_over_holders() {
    let plan =
        planned("SELECT diag_group, gender, COUNT(*) FROM {e} e GROUP BY diag_group, gender");
    assert_eq!(
        domain(&plan, 0),
        ["circulatory", "diabetes", "digestive", "other", "NULL"]
    );
    assert_eq!(
        plan.keys[0].other_label, "(other)",
        "`other` is a group of its own"
    );
    assert_eq!(domain(&plan, 1), ["F", "M"], "the column has no NULL");
    assert_eq!(plan.keys[1].other_label, "other");
    assert_eq!(plan.shape.cells, 6 * 3);
}

#[test]
fn functions_of_categories_are_evaluated() {
    use ValueKind::{Bool, Int, Text};
    assert_groups(
        "UPPER(SUBSTR(diag_group, 1, 2))",
        &["CI", "DI", "OT", "NULL"],
        Text,
        true,
    );
    assert_groups(
        "COALESCE(diag_group, 'none')",
        &["circulatory", "diabetes", "digestive", "none", "other"],
        Text,
        true,
    );
    assert_groups("科室", &["内科", "外科", "NULL"], Text, true);
    assert_groups(
        "diag_group || '/' || gender",
        &[
            "circulatory/F",
            "circulatory/M",
            "diabetes/F",
            "diabetes/M",
            "digestive/F",
            "digestive/M",
            "other/F",
            "other/M",
            "NULL",
        ],
        Text,
        true,
    );
    assert_groups("time_in_hospital / 5", &["0", "1", "2"], Int, false);
    assert_groups(
        "EXTRACT(YEAR FROM admitted)",
        &["2019", "2020", "2021"],
        Int,
        false,
    );
    assert_groups("emergency", &["false", "true", "NULL"], Bool, false);
    assert_groups(
        "CASE WHEN gender = 'F' THEN diag_group ELSE 'man' END",
        &[
            "circulatory",
            "diabetes",
            "digestive",
            "man",
            "other",
            "NULL",
        ],
        Text,
        true,
    );
    assert_groups(
        "DATE_TRUNC('year', admitted) = DATE '2020-01-01'",
        &["false", "true"],
        Bool,
        false,
    );
}

#[test]
fn short_ranges_are_enumerated_in_numeric_order() {
    let days: Vec<String> = (1..=14).map(|d| d.to_string()).collect();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    assert_groups("time_in_hospital", &days, ValueKind::Int, false);
    let (found, kind, _) = groups("SELECT admitted, COUNT(*) FROM {e} e GROUP BY admitted");
    assert_eq!((found.len(), kind), (1096, ValueKind::Date));
    assert_eq!(
        (found[0].as_str(), found[1095].as_str()),
        ("2019-01-01", "2021-12-31")
    );
}

#[test]
fn outcomes_that_stand_in_the_query_are_all_there_are() {
    use ValueKind::{Bool, Int, Text};
    let band = "CASE WHEN bmi < 25 THEN 'slim' WHEN bmi < 30 THEN 'middle' ELSE 'big' END";
    assert_groups(band, &["slim", "middle", "big"], Text, false);
    assert_groups(
        "CASE WHEN bmi < 25 THEN 10 WHEN bmi < 30 THEN 9 END",
        &["9", "10", "NULL"],
        Int,
        false,
    );
    assert_groups("weight > 80", &["false", "true", "NULL"], Bool, false);
    assert_groups("note IS NULL", &["false", "true"], Bool, false);
    assert_groups(
        "HISTOGRAM(bmi, 10, 20.5, 30)",
        &["below", "[10, 20.5)", "[20.5, 30]", "above", "NULL"],
        Text,
        false,
    );
}

#[test]
fn a_literal_in_each_branch_names_the_holders() {
    let sql = "SELECT h, COUNT(*) FROM (SELECT 'one' AS h FROM hospital_1.encounters UNION ALL SELECT 'two' FROM hospital_2.encounters UNION ALL SELECT NULL FROM hospital_3.encounters) x GROUP BY h";
    assert_eq!(groups(sql).0, ["one", "two", "NULL"]);
}

#[test]
fn an_outer_join_inside_a_holder_brings_null() {
    let sql = "SELECT ward, COUNT(*) FROM (SELECT w.ward FROM hospital_1.encounters e LEFT JOIN hospital_1.wards w ON e.patient_id = w.patient_id UNION ALL SELECT ward FROM hospital_2.wards) x GROUP BY ward";
    assert_eq!(groups(sql).0, ["A", "B", "NULL"]);
}

#[test]
fn constants_that_are_joined_publish_themselves() {
    let sql = "SELECT m.name, COUNT(*) FROM {e} e LEFT JOIN (VALUES ('circulatory', 'heart'), ('digestive', 'gut')) AS m(code, name) ON e.diag_group = m.code GROUP BY m.name";
    assert_eq!(groups(sql).0, ["gut", "heart", "NULL"]);
}

const PRIVACY: &str = "correlations = \"ot\"\n";

#[test]
fn the_job_can_declare_groups() {
    let declared = |sql: &str, domain: &str| plan(&job_with(sql, domain, PRIVACY), &hospitals());
    let by_output = declared(
        "SELECT UPPER(note) AS \"Note Class\", COUNT(*) FROM {e} e GROUP BY 1",
        "\"note class\" = [\"B\", \"A\"]",
    );
    assert_eq!(domain(&by_output, 0), ["A", "B", "NULL"]);
    assert!(by_output.keys[0].has_other);
    assert_eq!(by_output.keys[0].source, "declared in the job");
    let by_column = declared(
        "SELECT note AS x, COUNT(*) FROM {e} e GROUP BY note",
        "note = [\"p\"]",
    );
    assert_eq!(domain(&by_column, 0), ["p", "NULL"]);
    // Declared groups win over published ones; other numbers have a place only as text.
    let days = declared(
        "SELECT time_in_hospital, COUNT(*) FROM {e} e GROUP BY 1",
        "time_in_hospital = [10, 9]",
    );
    assert_eq!(domain(&days, 0), ["9", "10"]);
    assert_eq!(
        (days.keys[0].kind, days.keys[0].has_other),
        (ValueKind::Text, true)
    );
    let day = declared(
        "SELECT admitted, COUNT(*) FROM {e} e GROUP BY 1",
        "admitted = [2020-02-29]",
    );
    assert_eq!(domain(&day, 0), ["2020-02-29"]);
}

#[test]
fn declarations_must_fit() {
    let refused = |sql: &str, domain: &str| faults(&job_with(sql, domain, PRIVACY), &hospitals());
    assert_eq!(
        refused(
            "SELECT gender, COUNT(*) FROM {e} e GROUP BY gender",
            "sex = [\"F\"]"
        ),
        ["compute.domain.sex: no group key has this name; the keys are gender"]
    );
    assert_eq!(
        refused("SELECT COUNT(*) FROM {e} e", "sex = [\"F\"]"),
        ["compute.domain.sex: no group key has this name; leave it out: the query has no GROUP BY"]
    );
    assert_eq!(
        refused(
            "SELECT time_in_hospital, COUNT(*) FROM {e} e GROUP BY 1",
            "time_in_hospital = [\"many\"]"
        ),
        [
            "compute.domain.time_in_hospital: \"many\" is no value of the key, which is a whole number; declare groups of the key's own type"
        ]
    );
}

#[test]
fn numbers_of_different_types_become_one_key() {
    let mut catalogues = hospitals();
    let mut narrow = |holder: &str, kind: ColumnKind, categories: &[&str]| {
        let hospital = catalogues.get_mut(&party(holder)).expect("it is there");
        let columns = &mut hospital.tables.get_mut("wards").expect("wards").columns;
        columns.push(column("level", kind).categories(categories).required());
    };
    narrow("hospital_1", int(8), &["2", "10"]);
    narrow("hospital_2", int(64), &["3"]);
    narrow("hospital_3", decimal(5, 1), &["2.5"]);
    let two = "SELECT level, COUNT(*) FROM (SELECT * FROM hospital_1.wards UNION ALL SELECT * FROM hospital_2.wards) w GROUP BY level";
    let two = plan(&job(two), &catalogues);
    assert_eq!(
        (domain(&two, 0), two.keys[0].kind),
        (vec!["2", "3", "10"], ValueKind::Int)
    );
    let three = "SELECT level, COUNT(*) FROM (SELECT * FROM hospital_1.wards UNION ALL SELECT * FROM hospital_2.wards UNION ALL SELECT * FROM hospital_3.wards) w GROUP BY level";
    let three = plan(&job(three), &catalogues);
    let kind = ValueKind::Decimal {
        precision: 38,
        scale: 1,
    };
    assert_eq!(
        (domain(&three, 0), three.keys[0].kind),
        (vec!["2.0", "2.5", "3.0", "10.0"], kind)
    );
}

#[test]
fn a_category_that_a_function_cannot_take_is_a_fault() {
    let found = faults(
        &job("SELECT CAST(diag_group AS INT) AS d, COUNT(*) FROM {e} e GROUP BY 1"),
        &hospitals(),
    );
    assert!(
        found[0].starts_with(
            "the part of hospital_1: the key d cannot be computed for a published category: "
        ),
        "{found:?}"
    );
}
