//! Statistics that stand alone in a SELECT, by real processes: the figures that plain Python computed on the pooled data,
//! from the parties' own files by the jobs in `examples/jobs`.

use crate::figures::{
    Parts, equal, expected, hospitals, members_encounters, row, rows, same, shared,
};
use crate::run::job;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Files of the shared data as parties' tables: party, table, file; and a dealer.
pub(crate) fn parts(shared: &Path, tables: &[(&str, &'static str, &str)]) -> Parts {
    let mut parties: Vec<(String, Vec<(&str, _)>)> = tables
        .iter()
        .map(|(party, table, file)| ((*party).to_owned(), vec![(*table, shared.join(file))]))
        .collect();
    parties.push(("notary".to_owned(), Vec::new()));
    Parts::new(&parties)
}

/// The result of a job in `examples/jobs`.
pub(crate) fn run(parts: &Parts, name: &str) -> Value {
    let text = fs::read_to_string(job(&format!("{name}.toml"))).expect("a job file");
    parts.simulate(&text)["result"].clone()
}

/// The same of Student's test instead of Welch's.
fn run_student(parts: &Parts, name: &str) -> Value {
    let text = fs::read_to_string(job(&format!("{name}.toml"))).expect("a job file");
    assert!(text.contains("T_TEST("), "{name} is a test");
    parts.simulate(&text.replace("T_TEST(", "T_TEST_STUDENT("))["result"].clone()
}

/// Equal but for the error of divisions on shares.
#[track_caller]
fn close(what: &str, got: &Value, expected: &Value) {
    let number = |v: &Value| {
        v.as_f64()
            .unwrap_or_else(|| panic!("{what}: {v} is no number"))
    };
    let (got, expected) = (number(got), number(expected));
    let error = (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(error <= 1e-6, "{what}: {got} instead of {expected}");
}

/// The value of a column in a row.
pub(crate) fn field<'a>(result: &Value, row: &'a Value, name: &str) -> &'a Value {
    let columns = result["columns"].as_array().expect("columns");
    let place = columns.iter().position(|c| c["name"] == name);
    &row[place.unwrap_or_else(|| panic!("no column {name}"))]
}

/// Checks n, mean and variance of a group, and the columns that are the same in all rows.
fn groups(result: &Value, expected: &[(&str, &Value, &Value, &Value)], whole: &[(&str, &Value)]) {
    assert_eq!(rows(result).len(), expected.len());
    for (name, n, mean, var) in expected {
        let got = row(result, &[name]);
        equal(name, field(result, got, "n"), n);
        same(name, field(result, got, "mean"), mean);
        let sd = field(result, got, "sd").as_f64().expect("a number");
        same(name, &(sd * sd).into(), var);
        for (column, value) in whole {
            same(column, field(result, got, column), value);
        }
    }
}

#[test]
fn tests_over_three_hospitals_rows() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let both = members_encounters(&["public", "private"]);
    let task = &tasks["ttest_los"];
    for (function, form) in [("T_TEST", "welch"), ("T_TEST_STUDENT", "student")] {
        let result = parts.run(
            "hospital_1",
            11,
            &format!("SELECT {function}(los, ins) FROM {both}"),
        );
        let of = |i: usize| (&task["n"][i], &task["mean"][i], &task["var"][i]);
        let expected = [("public", 0), ("private", 1)].map(|(name, i)| {
            let (n, mean, var) = of(i);
            (name, n, mean, var)
        });
        let whole = ["t", "df", "p"].map(|c| (c, &task[form][c]));
        groups(&result, &expected, &whole);
    }
}

pub(crate) const HOSPITALS_AND_INSURERS: [(&str, &str, &str); 5] = [
    (
        "hospital_1",
        "encounters",
        "claims_diabetes130/hospital_1.parquet",
    ),
    (
        "hospital_2",
        "encounters",
        "claims_diabetes130/hospital_2.parquet",
    ),
    (
        "hospital_3",
        "encounters",
        "claims_diabetes130/hospital_3.parquet",
    ),
    (
        "insurer_public",
        "members",
        "claims_diabetes130/insurer_public.parquet",
    ),
    (
        "insurer_private",
        "members",
        "claims_diabetes130/insurer_private.parquet",
    ),
];

/// The columns that are the same in all rows, or are of the only one.
#[track_caller]
fn whole(result: &Value, task: &Value, columns: &[(&str, &str)]) {
    for row in rows(result) {
        for (column, name) in columns {
            same(column, field(result, row, column), &task[name]);
        }
    }
}

#[test]
fn stays_and_readmissions_by_insurance() {
    let Some(shared) = shared() else { return };
    let parts = parts(&shared, &HOSPITALS_AND_INSURERS);
    let tasks = expected(&shared, "claims_diabetes130.json");
    let task = &tasks["ttest_los"];
    for (name, form) in [("ttest", "welch"), ("student", "student")] {
        let result = run(&parts, &format!("{name}-stay-by-insurance"));
        let expected = [("public", 0), ("private", 1)]
            .map(|(name, i)| (name, &task["n"][i], &task["mean"][i], &task["var"][i]));
        // The groups stand in the order of their names.
        let t = field(&result, row(&result, &["public"]), "t").as_f64();
        let t = t.expect("a number").abs();
        same("t", &t.into(), &task[form]["t"]);
        groups(
            &result,
            &expected,
            &["df", "p"].map(|c| (c, &task[form][c])),
        );
    }
    let columns = [
        ("chi_square", "chi2"),
        ("df", "df"),
        ("p", "p"),
        ("cramers_v", "cramers_v"),
        ("n", "n"),
        ("min_expected", "min_expected"),
    ];
    let result = run(&parts, "chi-square-readmission-by-insurance");
    whole(&result, &tasks["crosstab_readmit_insurer"], &columns);
    let result = run(&parts, "chi-square-sex-by-readmission");
    whole(&result, &tasks["crosstab_sex_r30"], &columns);
    let result = run(&parts, "chi-square-yates-sex-by-readmission");
    whole(
        &result,
        &tasks["crosstab_sex_r30"],
        &[("chi_square", "chi2_yates")],
    );
}

/// Groups of an analysis of variance, and its figures.
fn anova(result: &Value, task: &Value, of_group: impl Fn(&str) -> Vec<String>) {
    let named = task["groups"].as_object().expect("groups");
    assert_eq!(rows(result).len(), named.len());
    for (name, group) in named {
        let keys = of_group(name);
        let found = rows(result).iter().find(|row| {
            let texts = keys.iter().enumerate();
            texts
                .clone()
                .all(|(i, key)| row[i].to_string().trim_matches('"') == key)
        });
        let got = found.unwrap_or_else(|| panic!("no group {name}"));
        equal(name, field(result, got, "n"), &group["n"]);
        same(name, field(result, got, "mean"), &group["mean"]);
        let sd = field(result, got, "sd").as_f64().expect("a number");
        same(name, &(sd * sd).into(), &group["var"]);
        equal(name, field(result, got, "df_between"), &task["df"][0]);
        equal(name, field(result, got, "df_within"), &task["df"][1]);
    }
    let columns = [
        ("f", "F"),
        ("p", "p"),
        ("ssb", "ss_between"),
        ("ssw", "ss_within"),
        ("eta2", "eta2"),
    ];
    whole(result, task, &columns);
}

fn histogram(result: &Value, task: &Value) {
    let counts = task["counts"].as_array().expect("counts");
    let bins = rows(result);
    assert_eq!(bins.len(), counts.len() + 2);
    for (bin, count) in bins[1..].iter().zip(counts) {
        equal("a bin", field(result, bin, "n"), count);
    }
    let n = |row: &Value| field(result, row, "n").as_u64().expect("a count");
    let outside = n(&bins[0]) + n(&bins[bins.len() - 1]);
    equal("outside", &outside.into(), &task["outside"]);
}

pub(crate) fn correlations(result: &Value, task: &Value) {
    let columns = task["cols"].as_array().expect("columns").len();
    let pairs = (0..columns).flat_map(|i| (i..columns).map(move |j| (i, j)));
    for (row, (i, j)) in rows(result).iter().zip(pairs) {
        equal("n", field(result, row, "n"), &task["n"]);
        same("cov", field(result, row, "covariance"), &task["cov"][i][j]);
        same("corr", field(result, row, "corr"), &task["pearson"][i][j]);
    }
    assert_eq!(rows(result).len(), columns * (columns + 1) / 2);
}

/// The variance inflation of each column, in the rows of columns with themselves.
#[test]
fn columns_inflate_each_others_variance_as_in_pooled_rows() {
    let Some(shared) = shared() else { return };
    let common = [
        ("bank_a", "loans", "credit_taiwan/bank_a.csv"),
        ("bank_b", "bills", "credit_taiwan/bank_b.csv"),
        ("bureau_c", "persons", "credit_taiwan/bureau_c.csv"),
    ];
    let tasks = expected(&shared, "credit_taiwan.json");
    let found = run(&parts(&shared, &common), "inflation-of-loans");
    inflation(&found, &tasks["vertical"]);
    let banks = [
        ("hbank_1", "loans", "credit_taiwan/hbank_1.csv"),
        ("hbank_2", "loans", "credit_taiwan/hbank_2.csv"),
        ("hbank_3", "loans", "credit_taiwan/hbank_3.csv"),
    ];
    let (parts, task) = (parts(&shared, &banks), &tasks["horizontal"]["pooled"]);
    inflation(&run(&parts, "inflation-of-pooled-loans"), task);
    let moments = &task["standardise"];
    let means = moments["mean"].as_object().expect("means");
    let asked = means
        .keys()
        .map(|name| format!("AVG({name}), STDDEV_POP({name})"));
    let union = ["hbank_1", "hbank_2", "hbank_3"].map(|bank| format!("SELECT * FROM {bank}.loans"));
    let sql = format!(
        "SELECT {} FROM ({}) l WHERE sample = 'train'",
        asked.collect::<Vec<_>>().join(", "),
        union.join(" UNION ALL ")
    );
    let found = parts.run("hbank_1", 11, &sql);
    for (i, (name, mean)) in means.iter().enumerate() {
        same(name, &rows(&found)[0][2 * i], mean);
        same(
            name,
            &rows(&found)[0][2 * i + 1],
            &moments["sd_ddof0"][name],
        );
    }
}

fn inflation(result: &Value, task: &Value) {
    let n_train = &task["n_train"];
    let task = task["vif_numeric_with_intercept"].as_object();
    let mut n_found = 0;
    for row in rows(result) {
        let [a, b] = ["a", "b"].map(|name| field(result, row, name));
        let (vif, n) = (field(result, row, "vif"), field(result, row, "n"));
        assert_eq!(n, n_train);
        assert_eq!(vif.is_null(), a != b, "{a} and {b}");
        if a == b {
            let name = a.as_str().expect("a column").rsplit('.').next();
            let expected = &task.expect("columns")[name.expect("a name")];
            same("vif", vif, expected);
            n_found += 1;
        }
    }
    assert_eq!(n_found, task.expect("columns").len());
}

#[test]
fn stays_of_members_of_one_insurer() {
    let Some(shared) = shared() else { return };
    let parts = parts(&shared, &HOSPITALS_AND_INSURERS[..4]);
    let tasks = expected(&shared, "claims_diabetes130.json");
    let result = run(&parts, "anova-stay-by-diagnosis");
    anova(&result, &tasks["anova_los_diag"], |name| {
        vec![name.to_owned()]
    });
    histogram(
        &run(&parts, "histogram-stay-of-members"),
        &tasks["hist_los_public"],
    );
    correlations(
        &run(&parts, "correlations-of-members"),
        &tasks["corr_public"],
    );
}

#[test]
fn amounts_of_all_members() {
    let Some(shared) = shared() else { return };
    let parts = parts(
        &shared,
        &[
            ("insurer_c", "members", "claims_euhealth/insurer_c.parquet"),
            ("clinic_b", "services", "claims_euhealth/clinic_b.parquet"),
        ],
    );
    let tasks = expected(&shared, "claims_euhealth.json");
    let task = &tasks["ttest_amount_sex"];
    let of = |i: usize| (&task["n"][i], &task["mean"][i], &task["var"][i]);
    let expected = [("M", 0), ("F", 1)].map(|(name, i)| {
        let (n, mean, var) = of(i);
        (name, n, mean, var)
    });
    let welch = run(&parts, "ttest-amount-by-sex");
    let student = run_student(&parts, "ttest-amount-by-sex");
    for (result, form) in [(welch, "welch"), (student, "student")] {
        let whole = ["t", "df", "p"].map(|c| (c, &task[form][c]));
        groups(&result, &expected, &whole);
    }
    let result = run(&parts, "anova-amount-by-relation");
    anova(&result, &tasks["anova_amount_relation"], |name| {
        vec![name.to_owned()]
    });
    histogram(&run(&parts, "histogram-age-of-members"), &tasks["hist_age"]);
}

/// Curves against those of Python; times beyond its own only end the follow-up.
fn curve(result: &Value, arm: Option<&str>, task: &Value) {
    let is_arm = |row: &&Value| arm.is_none_or(|arm| row[0].to_string().trim_matches('"') == arm);
    let curve: Vec<&Value> = rows(result).iter().filter(is_arm).collect();
    for at in task["at"].as_array().expect("times") {
        let row = curve
            .iter()
            .find(|row| *field(result, row, "time") == at["time"]);
        let row = row.expect("a row for the time");
        equal("at risk", field(result, row, "at_risk"), &at["at_risk"]);
        close("survival", field(result, row, "survival"), &at["survival"]);
        close("se", field(result, row, "se"), &at["se_greenwood"]);
        equal("n", field(result, row, "n"), &task["n"]);
        equal("events", field(result, row, "events"), &task["events"]);
        match task["median"].is_null() {
            true => assert!(field(result, row, "median").is_null()),
            false => equal("median", field(result, row, "median"), &task["median"]),
        }
    }
}

fn log_rank(result: &Value, task: &Value) {
    for (i, arm) in task["groups"].as_array().expect("arms").iter().enumerate() {
        let name = arm.as_str().expect("a name");
        let found = rows(result)
            .iter()
            .find(|row| row[0].to_string().trim_matches('"') == name);
        let got = found.unwrap_or_else(|| panic!("no arm {name}"));
        equal(
            "observed",
            field(result, got, "observed"),
            &task["observed"][i],
        );
        close(
            "expected",
            field(result, got, "expected"),
            &task["expected"][i],
        );
        close(
            "chi-square",
            field(result, got, "chi_square"),
            &task["chi2"],
        );
        equal("df", field(result, got, "df"), &task["df"]);
        let p = |v: &Value| v.as_f64().expect("a number").ln();
        let (got, expected) = (p(field(result, got, "p")), p(&task["p"]));
        assert!(
            (got - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "p"
        );
    }
}

#[test]
fn survival_after_surgery() {
    let Some(shared) = shared() else { return };
    let tasks = expected(&shared, "surv_rotterdam.json");
    let two = parts(
        &shared,
        &[
            ("hospital", "patients", "surv_rotterdam/hospital.csv"),
            ("registry", "follow_up", "surv_rotterdam/registry.csv"),
        ],
    );
    curve(
        &run(&two, "survival-of-patients"),
        None,
        &tasks["km_overall"],
    );
    for (name, task) in [
        ("survival-by-treatment", "km_by_hormon"),
        ("survival-by-grade", "km_by_grade"),
    ] {
        let result = run(&two, name);
        for (arm, task) in tasks[task].as_object().expect("arms") {
            curve(&result, Some(arm), task);
        }
    }
    log_rank(
        &run(&two, "log-rank-by-treatment"),
        &tasks["logrank_hormon"],
    );
    log_rank(&run(&two, "log-rank-by-size"), &tasks["logrank_size"]);
    let sites = [1, 2, 3].map(|k| (format!("site_{k}"), format!("surv_rotterdam/site_{k}.csv")));
    let sites = sites
        .each_ref()
        .map(|(name, file)| (name.as_str(), "patients", file.as_str()));
    let sites = parts(&shared, &sites);
    curve(
        &run(&sites, "survival-over-sites"),
        None,
        &tasks["horizontal_km"],
    );
    log_rank(
        &run(&sites, "log-rank-over-sites"),
        &tasks["horizontal_logrank_chemo"],
    );
}

#[test]
fn outcomes_of_fatty_liver_disease() {
    let Some(shared) = shared() else { return };
    let tasks = expected(&shared, "surv_nafld.json");
    let parts = parts(
        &shared,
        &[
            ("clinic", "persons", "surv_nafld/clinic_person.parquet"),
            ("registry", "events", "surv_nafld/registry_event.parquet"),
            (
                "laboratory",
                "measurements",
                "surv_nafld/lab_measurement.parquet",
            ),
        ],
    );
    let result = run(&parts, "survival-by-fatty-liver");
    for (arm, task) in tasks["km_nafld"].as_object().expect("arms") {
        curve(&result, Some(arm), task);
    }
    let result = run(&parts, "log-rank-by-fatty-liver");
    log_rank(&result, &tasks["logrank_nafld"]);
    let result = run(&parts, "anova-bmi-by-fatty-liver-and-sex");
    anova(&result, &tasks["anova_bmi_by_nafld_male"], |name| {
        name.chars().map(|c| c.to_string()).collect()
    });
    let task = &tasks["last_hdl_before_index_by_diabetes"]["ttest"];
    let welch = run(&parts, "ttest-hdl-by-diabetes");
    let student = run_student(&parts, "ttest-hdl-by-diabetes");
    for (result, form) in [(welch, "welch"), (student, "student")] {
        for (i, arm) in [1, 0].into_iter().enumerate() {
            let found = rows(&result).iter().find(|row| row[0] == arm);
            let got = found.expect("a group");
            equal("n", field(&result, got, "n"), &task["n"][i]);
            same("mean", field(&result, got, "mean"), &task["mean"][i]);
            let sd = field(&result, got, "sd").as_f64().expect("a number");
            same("var", &(sd * sd).into(), &task["var"][i]);
            let t = field(&result, got, "t").as_f64().expect("a number");
            // The group without comes first.
            same("t", &(-t).into(), &task[form]["t"]);
            for figure in ["df", "p"] {
                same(figure, field(&result, got, figure), &task[form][figure]);
            }
        }
    }
}

/// A group that is held back is no group without rows: there is no statistic then, and no result.
#[test]
fn a_test_over_a_group_that_is_held_back_is_refused() {
    let Some(shared) = shared() else { return };
    let parts = hospitals(&shared);
    let union = members_encounters(&["public"]);
    let job = |sql: &str| {
        format!(
            "job = \"refused\"\npurpose = \"test\"\nreceivers = [\"hospital_1\"]\n[compute]\nsql = \"\"\"\n{sql}\n\"\"\"\n\
             [privacy]\ncorrelations = \"ot\"\nmin_cell = 11\n"
        )
    };
    let said = |sql: &str| {
        let ended = parts.ended(&job(sql)).expect(1);
        ended.stdout + &ended.stderr
    };
    let text = said(&format!(
        "SELECT ANOVA(los, medical_specialty) FROM {union}"
    ));
    assert!(text.contains("ANOVA takes every group"), "{text}");
    let both = members_encounters(&["public", "private"]);
    let text = said(&format!("SELECT T_TEST(los * 0, ins) FROM {both}"));
    assert!(text.contains("all values are alike"), "{text}");
}
