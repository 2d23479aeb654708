//! What becomes of a query: each holder's part, the groups, the digest; and what is refused.

use super::fixture::{domain, faults, hospitals, job, local, plan, planned};

const MAIN: &str = "SELECT diag_group, COUNT(*) AS n, AVG(time_in_hospital) AS los, STDDEV_SAMP(time_in_hospital) AS los_sd, SUM(num_medications) AS meds
FROM {e} e
WHERE time_in_hospital >= 1 GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY n DESC";

#[test]
fn each_holder_gets_a_query_over_its_own_rows() {
    let plan = planned(MAIN);
    for holder in ["hospital_1", "hospital_2", "hospital_3"] {
        let expected = format!(
            "SELECT diag_group AS k0, time_in_hospital AS a0, num_medications AS a1 FROM (SELECT * FROM {holder}.encounters) e WHERE time_in_hospital >= 1"
        );
        assert_eq!(local(&plan, holder), expected);
    }
    let groups = domain(&plan, 0);
    assert!(
        groups.windows(2).all(|pair| pair[0] != pair[1]),
        "{groups:?}"
    );
    assert!(plan.explain().contains("hospital_2"));
}

#[test]
fn a_plan_is_the_same_every_time_and_another_for_another_job() {
    let first = planned(MAIN);
    for _ in 0..20 {
        assert_eq!(plan(&job(MAIN), &hospitals()).digest(), first.digest());
    }
    for (from, to) in [
        (">= 1 ", ">= 2 "),
        ("n DESC", "n"),
        (">= 11", ">= 12"),
        ("AVG", "SUM"),
    ] {
        let changed = MAIN.replacen(from, to, 1);
        assert_ne!(planned(&changed).digest(), first.digest(), "{from} to {to}");
    }
}

#[test]
fn what_is_not_available_is_refused_by_name() {
    for (sql, named) in [
        ("SELECT MIN(time_in_hospital) FROM {e} e", "MIN"),
        ("SELECT MEDIAN(time_in_hospital) FROM {e} e", "MEDIAN"),
        ("SELECT COUNT(DISTINCT patient_id) FROM {e} e", "DISTINCT"),
        ("SELECT DISTINCT diag_group FROM {e} e", "DISTINCT"),
        ("SELECT patient_id, time_in_hospital FROM {e} e", "row"),
        ("SELECT SUM(time_in_hospitl) FROM {e} e", "time_in_hospital"),
        ("SELECT COUNT(*) FROM hospital_9.encounters", "hospital_9"),
        (
            "SELECT diag_group, COUNT(*) FROM {e} e GROUP BY diag_group HAVING SUM(num_medications) > 5",
            "HAVING",
        ),
    ] {
        let found = faults(&job(sql), &hospitals());
        assert!(found.iter().any(|f| f.contains(named)), "{sql}: {found:#?}");
    }
}
