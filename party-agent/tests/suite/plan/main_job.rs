//! The main job of the product.

use party_agent::plan::{ReleaseRule, Released, RingWidth};

use super::fixture::{hospitals, job, local, plan, planned};

const MAIN: &str = "SELECT diag_group, COUNT(*) AS n, AVG(time_in_hospital) AS los, STDDEV_SAMP(time_in_hospital) AS los_sd, SUM(num_medications) AS meds
FROM {e} e
WHERE time_in_hospital >= 1 GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY n DESC";

#[test]
fn splits_into_holders_and_receivers() {
    let plan = planned(MAIN);
    println!("{}", plan.explain());
    assert_eq!(local(&plan, "hospital_2"), "");
}
