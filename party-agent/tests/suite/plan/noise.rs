//! Plans with differential privacy: how much noise, and what is refused.

use party_agent::plan::{RangeOrigin, RingWidth, Usage};
use party_agent::privacy::Guarantee;

use super::fixture::{bad_file, faults, hospitals, job, job_with, local, party, plan};

const CLAUSE: &str = "correlations = \"ot\"\nmin_cell = 11\n[privacy.dp]\neps_micro = 1000000\ndelta_log2 = -40\nperson = \"patient_id\"\nrows_per_person = 2\n";

fn noisy(sql: &str, more: &str) -> String {
    job_with(sql, "", &format!("{CLAUSE}{more}"))
}

const TOTALS: &str = "SELECT gender, COUNT(*) AS n, SUM(charges) AS c FROM {e} e GROUP BY gender";

#[test]
fn every_column_of_totals_has_noise_for_what_one_person_can_change() {
    let catalogues = hospitals();
    for (more, clamp, bound) in [
        ("", ["-10000.00", "1500000.00"], 150_000_000u64),
        (
            "[privacy.dp.clamp]\ncharges = [-20, 5.5]\n",
            ["-20.00", "5.50"],
            2000,
        ),
    ] {
        let plan = plan(&noisy(TOTALS, more), &catalogues);
        let noise = plan.noise.as_ref().expect("noise");
        let whats: Vec<&str> = noise.columns.iter().map(|c| c.what.as_str()).collect();
        assert_eq!(whats, ["COUNT(*)", "COUNT(charges)", "SUM(charges)"]);
        assert_eq!(
            (plan.shape.narrow, plan.shape.wide),
            (2, 1),
            "sums are wide"
        );
        let [low, high] = clamp.map(str::to_owned);
        assert_eq!(noise.columns[2].clamp, Some((low, high)));
        assert_eq!(plan.measures[0].range.origin, RangeOrigin::Clamped);
        assert_eq!(plan.measures[0].sum.map(|s| s.ring), Some(RingWidth::Wide));
        let promise = Guarantee {
            eps_micro: 1_000_000,
            delta_log2: -40,
        };
        let rho = promise.rho_pico() as f64 / 1e12;
        for (column, sensitivity) in noise.columns.iter().zip([2, 2, 2 * bound]) {
            assert_eq!(column.sensitivity, sensitivity.to_string());
            let sigma: f64 = column.deviation.parse().expect("a number");
            let sigma = sigma / f64::from(1u32 << column.shift);
            // Three holders, three columns.
            let exact = sensitivity as f64 * (9.0 / (2.0 * rho)).sqrt();
            assert!(sigma >= exact && sigma < exact * 1.001 + 0.02, "{column:?}");
        }
        let sql = local(&plan, "hospital_1");
        assert!(sql.contains("AS j0 FROM"), "{sql}");
        let uses = &plan.locals[&party("hospital_1")].uses;
        let persons = uses.iter().filter(|u| u.usage == Usage::Person);
        let persons: Vec<&str> = persons.map(|u| u.column.as_str()).collect();
        assert_eq!(persons, ["patient_id"]);
        let words = plan.explain();
        assert!(words.contains("ε = 1, δ = 2^-40"), "{words}");
    }
}

#[test]
fn a_job_without_a_clause_is_what_it_was() {
    let exact = plan(&job(TOTALS), &hospitals());
    let text = String::from_utf8(exact.canonical()).expect("JSON");
    assert!(
        !text.contains("\"noise\"") && !text.contains("\"meter\""),
        "{text}"
    );
    assert!(
        !text.contains("\"settlement\"") && !text.contains("j0"),
        "{text}"
    );
}

/// A query, what is added to the clause, and how its first fault begins.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "SELECT AVG(bmi) FROM {e} e",
        "",
        "privacy.dp: bmi is a floating-point number",
    ),
    (
        "SELECT VAR_SAMP(time_in_hospital) FROM {e} e",
        "",
        "privacy.dp: time_in_hospital is more than counted, summed or averaged",
    ),
    (
        "SELECT MAX(time_in_hospital) FROM {e} e",
        "",
        "privacy.dp: time_in_hospital is more than counted",
    ),
    (
        "SELECT COUNT(DISTINCT ward) FROM (SELECT patient_id, ward FROM hospital_1.wards UNION ALL SELECT patient_id, ward FROM hospital_2.wards) w",
        "",
        "privacy.dp: ward is more than counted",
    ),
    (
        "SELECT SUM(num_lab_procedures) FROM {e} e",
        "",
        "privacy.dp: nothing bounds the values of num_lab_procedures; write \"num_lab_procedures\" = [LOW, HIGH]",
    ),
    (
        "SELECT SUM(charges) FROM {e} e",
        "[privacy.dp.clamp]\nbmi = [0, 1]\n",
        "privacy.dp.clamp: bounds \"bmi\", which no SUM or AVG takes; bound charges",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY ROLLUP(gender)",
        "",
        "privacy.dp: ROLLUP and CUBE have no noise",
    ),
    (
        "SELECT T_TEST(bmi, gender) FROM {e} e",
        "",
        "privacy.dp: differential privacy is there for COUNT, SUM and AVG",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "",
        "privacy.dp: differential privacy is there for COUNT, SUM and AVG",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id, ROW_NUMBER() OVER (ORDER BY charges) AS r FROM hospital_1.encounters UNION ALL SELECT patient_id, 1 AS r FROM hospital_2.encounters) e WHERE r < 9",
        "",
        "privacy.dp: the query of hospital_1 does more than choose and transform rows (Window",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT DISTINCT patient_id FROM hospital_1.encounters UNION ALL SELECT patient_id FROM hospital_2.encounters) e",
        "",
        "privacy.dp: the query of hospital_1 does more than choose and transform rows (",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT e.patient_id FROM hospital_1.encounters e JOIN hospital_1.wards w ON e.patient_id = w.patient_id UNION ALL SELECT patient_id FROM hospital_2.encounters) e",
        "",
        "privacy.dp: the query of hospital_1 does more than choose and transform rows (",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id FROM hospital_1.encounters WHERE patient_id IN (SELECT patient_id FROM hospital_1.wards) UNION ALL SELECT patient_id FROM hospital_2.encounters) e",
        "",
        "privacy.dp: the query of hospital_1 does more than choose and transform rows (",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT gender FROM hospital_1.encounters UNION ALL SELECT gender FROM hospital_2.encounters) e",
        "",
        "the part of hospital_1: ",
    ),
];

#[test]
fn what_one_person_could_change_without_bound_is_refused() {
    let catalogues = hospitals();
    for (sql, more, expected) in REFUSED {
        let found = faults(&noisy(sql, more), &catalogues);
        assert!(found[0].starts_with(expected), "{sql}\n{found:#?}");
    }
}

#[test]
fn clauses_are_read_to_the_last_field() {
    let found = bad_file(&noisy(
        TOTALS,
        "noise = 1\n[privacy.dp.clamp]\ncharges = [2, 1]\n",
    ));
    assert!(
        found.iter().any(|f| f.contains("privacy.dp.noise")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|f| f.contains("privacy.dp.clamp.charges")),
        "{found:#?}"
    );
    for (old, new) in [
        ("eps_micro = 1000000", "eps_micro = 0"),
        ("eps_micro = 1000000", "eps_micro = 20000001"),
        ("delta_log2 = -40", "delta_log2 = -10"),
        ("delta_log2 = -40", "delta_log2 = 40"),
        ("rows_per_person = 2", "rows_per_person = 0"),
        ("person = \"patient_id\"\n", ""),
        ("rows_per_person = 2\n", ""),
    ] {
        let found = bad_file(&noisy(TOTALS, "").replace(old, new));
        assert!(
            found.iter().all(|f| f.contains("privacy.dp.")),
            "{new}: {found:#?}"
        );
    }
    let intersect = "job = \"x\"\npurpose = \"y\"\nreceivers = [\"a\"]\n[compute.intersect]\nkeys = [\"a.t.id\", \"b.t.id\"]\nreveal = \"count\"\n[privacy]\n";
    let found = bad_file(&format!("{intersect}{CLAUSE}"));
    assert!(
        found[0].contains("there for counts and sums in SQL"),
        "{found:#?}"
    );
}

const RULE: &str = "[settlement]\ncurrency = \"CNY\"\nper_run_minor = 100\n[[settlement.split]]\nstage = \"collect\"\nparty = \"*\"\nbasis = \"shapley\"\nppm = 1000000\n";

#[test]
fn contributions_are_metered_where_a_rule_depends_on_them() {
    let catalogues = hospitals();
    let metered = plan(&(job(TOTALS) + RULE), &catalogues);
    assert_eq!(metered.meter.as_ref().map(|m| m.at_least), Some(11));
    let told = "its Shapley value of the number of groups";
    let parties = metered.learns.iter().filter(|l| l.what.contains(told));
    assert_eq!(
        parties.count(),
        metered.seats.len(),
        "everybody who computes learns them"
    );
    let fixed = RULE
        .replace("\"*\"", "\"space\"")
        .replace("shapley", "fixed");
    assert!(plan(&(job(TOTALS) + &fixed), &catalogues).meter.is_none());
    for sql in [
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY ROLLUP(gender)",
        "SELECT T_TEST(bmi, gender) FROM {e} e",
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
    ] {
        let found = faults(&(job(sql) + RULE), &catalogues);
        assert!(
            found[0].starts_with("settlement.split: contributions"),
            "{sql}\n{found:#?}"
        );
    }
    // An exact value would break the promise.
    let found = faults(&(noisy(TOTALS, "") + RULE), &catalogues);
    assert!(
        found[0].starts_with("settlement.split: contributions"),
        "{found:#?}"
    );
}

#[test]
fn rules_of_settlement_are_read_to_the_last_unit() {
    for (old, new, expected) in [
        ("ppm = 1000000", "ppm = 999999", "add up to 999999"),
        ("\"CNY\"", "\"yuan\"", "is not a currency"),
        ("\"collect\"", "\"steal\"", "is not a stage"),
        ("\"*\"", "\"hospital_1\"", "is no basis for this party"),
        ("shapley", "equal", "is no basis for this party"),
        ("per_run_minor = 100\n", "", "per_run_minor"),
    ] {
        let found = bad_file(&(job(TOTALS) + &RULE.replace(old, new)));
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{new}: {found:#?}"
        );
    }
}
