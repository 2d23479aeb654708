//! Counts that are rounded on shares: what is planned, whose number counts, and what is refused because it would tell exact ones.

use coordinator::contract::PartyName;
use party_agent::plan::{Plan, Release};
use party_agent::policy::Policy;

use super::fixture::{Catalogues, bad_file, denials, faults, hospitals, job_with, party, plan};

const BY_SEX: &str = "SELECT gender, COUNT(*) AS n, COUNT(bmi) AS m FROM {e} e GROUP BY gender ORDER BY n DESC LIMIT 1";
const JOINED: &str =
    "FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id";
const PLACE: &str = "privacy.round_to";

fn privacy(round_to: &str) -> String {
    format!("correlations = \"ot\"\nmin_cell = 11\n{round_to}\n")
}

fn rounded(sql: &str, catalogues: &Catalogues) -> Plan {
    plan(&job_with(sql, "", &privacy("round_to = 5")), catalogues)
}

#[test]
fn every_count_is_rounded_and_checks_are_made_on_exact_ones() {
    let plan = rounded(BY_SEX, &hospitals());
    let Release::Rounded(shape) = plan.release() else {
        panic!("a release of rounded counts");
    };
    assert_eq!(shape.rounding.multiple, 5);
    assert_eq!(shape.release.narrow, plan.shape.narrow);
    assert!(shape.check(plan.seats.len()).is_ok());
    assert!(plan.shape.top.is_none(), "receivers order rounded counts");
    let rule = "multiples of 5, halves up, as the job demands";
    assert!(plan.notes.iter().any(|note| note.contains(rule)));
    assert!(plan.explain().contains(rule));
    let told = plan.learns.iter().find(|l| l.party == "analyst");
    let told = &told.expect("a receiver").what;
    assert!(
        told.contains("each rounded to the nearest multiple of 5"),
        "{told}"
    );
    // The job has chosen the minimum, by which counts could be found.
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("one minimum after the other"))
    );
}

#[test]
fn the_greatest_number_counts() {
    let mut catalogues = hospitals();
    let mut ask = |holder: &str, n: u64| {
        let catalogue = catalogues.get_mut(&party(holder));
        catalogue.expect("a hospital").round_to = Some(n);
    };
    ask("hospital_2", 10);
    ask("hospital_3", 10);
    let plan = rounded(BY_SEX, &catalogues);
    let to = plan.rounding.expect("rounding");
    assert_eq!(
        (to.multiple, to.set_by),
        (10, vec!["hospital_2".to_owned(), "hospital_3".to_owned()])
    );
    let unasked = plan_of(BY_SEX, &catalogues);
    assert_eq!(unasked.rounding.expect("rounding").multiple, 10);
}

fn plan_of(sql: &str, catalogues: &Catalogues) -> Plan {
    plan(&job_with(sql, "", &privacy("")), catalogues)
}

#[test]
fn joins_are_rounded_too() {
    let sql = format!(
        "SELECT a.gender, COUNT(*) AS n, COUNT(DISTINCT a.patient_id) AS p {JOINED} GROUP BY a.gender"
    );
    let plan = rounded(&sql, &hospitals());
    assert!(matches!(plan.release(), Release::Rounded(_)));
}

#[test]
fn what_would_tell_exact_counts_is_refused() {
    let sums = "sums, averages and the like beside a count tell the exact one";
    let beside =
        "not there beside HAVING, ROLLUP and CUBE, groups that nobody lists, and statistics";
    for (sql, why) in [
        (
            "SELECT gender, SUM(time_in_hospital) FROM {e} e GROUP BY gender".to_owned(),
            sums,
        ),
        (
            "SELECT gender, AVG(bmi) FROM {e} e GROUP BY gender".to_owned(),
            sums,
        ),
        ("SELECT SUM(1) FROM {e} e".to_owned(), sums),
        ("SELECT MAX(time_in_hospital) FROM {e} e".to_owned(), sums),
        (
            "SELECT MEDIAN(time_in_hospital) FROM {e} e".to_owned(),
            sums,
        ),
        (
            "SELECT SPEARMAN(time_in_hospital, num_medications) FROM {e} e".to_owned(),
            sums,
        ),
        (format!("SELECT SUM(b.time_in_hospital) {JOINED}"), sums),
        (
            "SELECT gender, COUNT(*) FROM {e} e GROUP BY gender HAVING COUNT(*) >= 20".to_owned(),
            beside,
        ),
        (
            "SELECT gender, COUNT(*) FROM {e} e GROUP BY ROLLUP(gender)".to_owned(),
            "beside HAVING, ROLLUP",
        ),
        (
            "SELECT CHI_SQUARE(gender, readmitted) FROM {e} e".to_owned(),
            beside,
        ),
    ] {
        let found = faults(&job_with(&sql, "", &privacy("round_to = 5")), &hospitals());
        assert!(
            found.iter().any(|f| f.contains(why) || f.contains(sums)),
            "{sql}: {found:?}"
        );
        assert!(
            found.iter().all(|f| f.starts_with(PLACE)),
            "{sql}: {found:?}"
        );
    }
    let size = privacy("round_to = 5\njoin = \"size\"");
    let found = faults(
        &job_with(&format!("SELECT COUNT(*) {JOINED}"), "", &size),
        &hospitals(),
    );
    assert!(
        found[0].contains("how many keys match is an exact one"),
        "{found:?}"
    );
}

#[test]
fn a_number_below_two_is_no_rounding() {
    for wrong in ["round_to = 1", "round_to = 0", "round_to = \"5\""] {
        let found = bad_file(&job_with(BY_SEX, "", &privacy(wrong)));
        assert!(found[0].contains("privacy.round_to"), "{found:?}");
    }
}

/// What a holder's own agent says of a plan that was made without regard to its policy.
#[test]
fn a_policy_refuses_counts_that_are_not_rounded_as_it_says() {
    let text = |round_to: &str| {
        format!(
            "min_cell = 5\nopen_counts = false\n{round_to}\n[tables.encounters.columns]\ngender = {{ group_by = true, categories = \"from_data\" }}\nbmi = {{ aggregate = [\"count\"] }}\n"
        )
    };
    let policy = |round_to: &str| Policy::parse(&text(round_to)).expect("a policy");
    let me = PartyName::new("hospital_1").expect("a name");
    let of = |plan: &Plan, round_to: &str| {
        let all = denials(plan, &me, &policy(round_to));
        all.into_iter()
            .filter(|d| d.contains("round"))
            .collect::<Vec<_>>()
    };
    let (exact, by_five) = (plan_of(BY_SEX, &hospitals()), rounded(BY_SEX, &hospitals()));
    assert!(of(&exact, "").is_empty());
    assert!(of(&by_five, "round_to = 5").is_empty());
    assert!(of(&by_five, "round_to = 3").is_empty());
    assert!(of(&by_five, "round_to = 6")[0].contains("multiples of 6 or more"));
    assert!(of(&exact, "round_to = 2")[0].contains("not rounded"));
}
