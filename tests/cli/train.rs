//! Models over the rows of several holders by the jobs in `examples/jobs`: what plain Python (statsmodels, scikit-learn) fits to
//! the pooled rows, found by `simulate` on the parts.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, rows, shared};
use crate::run::{entente, hospitals, job};
use crate::scores::{check_figures, check_stability, check_train};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Parties by name, each with its tables and their files in the shared data.
pub(crate) type Tables<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

const FUNDS: Tables<'_> = &[
    ("fund_1", &[("members", "claims_euhealth/fund_1.parquet")]),
    ("fund_2", &[("members", "claims_euhealth/fund_2.parquet")]),
    ("fund_3", &[("members", "claims_euhealth/fund_3.parquet")]),
];

/// Both have the whole list, of which the job takes different halves.
const INSURERS: Tables<'_> = &[
    (
        "insurer_a",
        &[("members", "claims_euhealth/insurer_c.parquet")],
    ),
    (
        "insurer_b",
        &[("members", "claims_euhealth/insurer_c.parquet")],
    ),
];

const BANKS: Tables<'_> = &[
    ("hbank_1", &[("loans", "credit_taiwan/hbank_1.csv")]),
    ("hbank_2", &[("loans", "credit_taiwan/hbank_2.csv")]),
    ("hbank_3", &[("loans", "credit_taiwan/hbank_3.csv")]),
];

/// The banks, and somebody without data who deals random numbers.
pub(crate) const BANKS_AND_DEALER: Tables<'_> = &[BANKS[0], BANKS[1], BANKS[2], ("arbiter", &[])];

macro_rules! hospital {
    ($name:literal, $file:literal) => {
        (
            $name,
            &[
                ("encounters", $file),
                (
                    "public_members",
                    "claims_diabetes130/insurer_public.parquet",
                ),
                (
                    "private_members",
                    "claims_diabetes130/insurer_private.parquet",
                ),
            ],
        )
    };
}

const HOSPITALS: Tables<'_> = &[
    hospital!("hospital_1", "claims_diabetes130/hospital_1.parquet"),
    hospital!("hospital_2", "claims_diabetes130/hospital_2.parquet"),
    hospital!("hospital_3", "claims_diabetes130/hospital_3.parquet"),
];

/// The result of an example, and the task of this name with what Python found.
pub(crate) fn fitted(
    tables: Tables<'_>,
    example: &str,
    changes: &[(&str, &str)],
    task: &str,
) -> Option<(Value, Value)> {
    let shared = shared()?;
    let parties = tables.iter().map(|(party, tables)| {
        let tables = tables
            .iter()
            .map(|(table, file)| (*table, shared.join(file)));
        (
            (*party).to_owned(),
            tables.collect::<Vec<(&str, PathBuf)>>(),
        )
    });
    let parts = Parts::new(&parties.collect::<Vec<_>>());
    let mut text = fs::read_to_string(job(example)).expect("an example job");
    for (old, new) in changes {
        assert!(text.contains(old), "{example} has no {old}");
        text = text.replace(old, new);
    }
    let (set, task) = task.split_once(':').expect("data:task");
    let tasks = expected(&shared, &format!("{set}.json"));
    let task = tasks
        .pointer(task)
        .unwrap_or_else(|| panic!("no task {task}"));
    Some((parts.simulate(&text)["result"].clone(), task.clone()))
}

/// Different halves of one list.
const HALVES: &[(&str, &str)] = &[
    (
        "FROM insurer_a.members",
        "FROM insurer_a.members WHERE gender = 'M'",
    ),
    (
        "FROM insurer_b.members",
        "FROM insurer_b.members WHERE gender <> 'M'",
    ),
];

/// A column of the result, by its name.
#[track_caller]
fn column(result: &Value, name: &str) -> Vec<f64> {
    let columns = result["columns"].as_array().expect("columns");
    let place = columns.iter().position(|c| c["name"] == name);
    let place = place.unwrap_or_else(|| panic!("no column {name} in {columns:?}"));
    let values = rows(result)
        .iter()
        .map(|row| row[place].as_f64().expect("a number"));
    values.collect()
}

#[track_caller]
fn close(what: &str, got: f64, expected: f64, tolerance: f64) {
    let error = (got - expected).abs() / expected.abs().max(1e-300);
    assert!(
        got == expected || error <= tolerance,
        "{what}: {got} instead of {expected}, relative error {error:e}"
    );
}

/// Coefficients, standard errors and p-values, and these numbers of the fit.
#[track_caller]
fn check(result: &Value, task: &Value, fit: &[(&str, &str)]) {
    let numbers = |name: &str| -> Vec<f64> {
        let values = task[name].as_array().unwrap_or_else(|| panic!("no {name}"));
        values
            .iter()
            .map(|v| v.as_f64().expect("a number"))
            .collect()
    };
    let terms = task["terms"].as_array().expect("terms");
    for (row, term) in rows(result).iter().zip(terms) {
        let expected = if term == "const" {
            "intercept"
        } else {
            term.as_str().expect("text")
        };
        assert_eq!(row[0], expected);
    }
    for (name, tolerance) in [("coef", 1e-8), ("se", 1e-8), ("p", 1e-5)] {
        let (got, expected) = (column(result, name), numbers(name));
        assert_eq!(got.len(), expected.len(), "{name}");
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            // What underflows to nothing in the one is as good as nothing in the other.
            if name != "p" || expected > 1e-200 {
                close(
                    &format!("{name} of {}", terms[i]),
                    *got,
                    expected,
                    tolerance,
                );
            }
        }
    }
    for (ours, theirs) in fit {
        let got = result["fit"][ours].as_f64();
        let got = got.unwrap_or_else(|| panic!("no {ours} in {}", result["fit"]));
        close(ours, got, task[theirs].as_f64().expect("a number"), 1e-8);
    }
}

const LINEAR: &[(&str, &str)] = &[
    ("n", "n"),
    ("r2", "r2"),
    ("adj_r2", "adj_r2"),
    ("sigma2", "sigma2"),
    ("df_resid", "df_resid"),
    ("f", "F"),
    ("loglik", "loglik"),
];

const LIKELIHOOD: &[(&str, &str)] = &[
    ("n", "n"),
    ("deviance", "deviance"),
    ("null_deviance", "null_deviance"),
    ("pearson_chi2", "pearson_chi2"),
    ("dispersion", "dispersion"),
    ("loglik", "loglik"),
    ("aic", "aic"),
];

fn robust_errors(result: &Value, task: &Value) {
    let (got, expected) = (&result["fit"]["se_hc1"], &task["se_hc1"]);
    let pairs = got
        .as_array()
        .expect("errors")
        .iter()
        .zip(expected.as_array().expect("errors"));
    for (got, expected) in pairs {
        let number = |v: &Value| v.as_f64().expect("a number");
        close("se_hc1", number(got), number(expected), 1e-8);
    }
}

#[test]
fn least_squares_are_those_of_the_pooled_rows() {
    let task = "claims_diabetes130:/ols_los";
    if let Some((result, task)) = fitted(HOSPITALS, "train-los.toml", &[], task) {
        check(&result, &task, LINEAR);
        robust_errors(&result, &task);
    }
    let task = "claims_euhealth:/ols_log_amount";
    if let Some((result, task)) = fitted(INSURERS, "train-log-amount.toml", HALVES, task) {
        check(&result, &task, LINEAR);
        robust_errors(&result, &task);
    }
}

#[test]
fn logistic_models_are_those_of_the_pooled_rows() {
    for (tables, example, changes, task) in [
        (
            HOSPITALS,
            "train-readmission.toml",
            &[][..],
            "claims_diabetes130:/logit_readmit30",
        ),
        (
            INSURERS,
            "train-any-claim.toml",
            HALVES,
            "claims_euhealth:/logit_any_claim",
        ),
        (
            FUNDS,
            "train-any-claim-of-funds.toml",
            &[],
            "claims_euhealth:/horizontal_3_funds/logit_any",
        ),
    ] {
        if let Some((result, task)) = fitted(tables, example, changes, task) {
            check(&result, &task, LIKELIHOOD);
        }
    }
}

#[test]
fn models_of_counts_and_amounts_are_those_of_the_pooled_rows() {
    for (tables, example, changes, task) in [
        (
            HOSPITALS,
            "train-inpatient-visits.toml",
            &[][..],
            "claims_diabetes130:/poisson_inpatient",
        ),
        (
            FUNDS,
            "train-visits-of-funds.toml",
            &[],
            "claims_euhealth:/horizontal_3_funds/poisson_visits",
        ),
        (
            INSURERS,
            "train-amount.toml",
            HALVES,
            "claims_euhealth:/gamma_amount",
        ),
    ] {
        if let Some((result, task)) = fitted(tables, example, changes, task) {
            check(&result, &task, LIKELIHOOD);
        }
    }
}

#[test]
fn standardised_and_penalised_models_of_three_banks() {
    let task = "credit_taiwan:/horizontal/pooled/lr_mle";
    if let Some((result, task)) = fitted(BANKS, "train-default.toml", &[], task) {
        check(&result, &task, &[("n", "n"), ("loglik", "loglik")]);
    }
    let task = "credit_taiwan:/horizontal/pooled/lr_l2";
    if let Some((result, task)) = fitted(BANKS, "train-default-penalised.toml", &[], task) {
        let got = column(&result, "coef");
        close(
            "intercept",
            got[0],
            task["intercept"].as_f64().expect("a number"),
            1e-6,
        );
        let expected = task["coef"].as_array().expect("numbers");
        assert_eq!(got.len(), expected.len() + 1);
        for (got, expected) in got[1..].iter().zip(expected) {
            // scikit-learn stops where its gradient is small enough.
            let expected = expected.as_f64().expect("a number");
            assert!((got - expected).abs() < 1e-6, "{got} instead of {expected}");
        }
    }
}

/// All banks' test rows are sorted by score on shares.
#[test]
fn scores_tell_as_much_of_the_test_rows_as_over_pooled_ones() {
    let changes = [
        (
            "train = \"train\" }",
            "train = \"train\", test = \"test\" }\nevaluate = [\"test\", \"train\"]\nreport = [\"coef\", \"auc\", \"gini\", \"ks\", \"logloss\", \"brier\", \"lift\", \"calibration\", \"confusion\", \"psi\"]",
        ),
        ("correlations = \"ot\"", "correlations = \"dealer:arbiter\""),
    ];
    for (example, task) in [
        ("train-default.toml", "lr_mle"),
        ("train-scorecard.toml", "lr_woe"),
    ] {
        let task = format!("credit_taiwan:/horizontal/pooled/{task}");
        let Some((result, task)) = fitted(BANKS_AND_DEALER, example, &changes, &task) else {
            return;
        };
        let (fit, psi) = (&result["fit"], &task["score_psi_train_test"]);
        if psi.is_object() {
            check_stability(&result, psi);
        }
        check_train(&result, &task["train"]);
        let task = &task["test"];
        assert_eq!(check_figures(&result, task), 3, "{fit}");
        let n = fit["n_bad"].as_u64().zip(fit["n_good"].as_u64());
        assert_eq!(n.map(|(bad, good)| bad + good), task["n"].as_u64());
        for figure in ["auc", "ks"] {
            let number = |v: &Value| v[figure].as_f64().expect("a number");
            let (got, expected) = (number(fit), number(task));
            assert!(
                (got - expected).abs() < 1e-3,
                "{figure} of {example}: {got} instead of {expected}"
            );
        }
    }
}

#[test]
fn a_scorecard_has_the_bins_weights_and_points_of_the_pooled_rows() {
    let task = "credit_taiwan:/horizontal/pooled";
    let Some((result, task)) = fitted(BANKS, "train-scorecard.toml", &[], task) else {
        return;
    };
    check(&result, &task["lr_woe"], &[]);
    let features = result["fit"]["features"].as_array().expect("features");
    let ranking = task["iv_ranking"].as_array().expect("a ranking");
    assert_eq!(features.len(), ranking.len());
    for (feature, ranked) in features.iter().zip(ranking) {
        let name = feature["feature"].as_str().expect("a name");
        assert_eq!(ranked[0], name);
        let number = |v: &Value| v.as_f64().expect("a number");
        close(name, number(&feature["iv"]), number(&ranked[1]), 1e-9);
        let bins = feature["bins"].as_array().expect("bins");
        let expected = task["woe"][name]["bins"].as_array().expect("bins");
        assert_eq!(bins.len(), expected.len(), "{name}");
        for (bin, expected) in bins.iter().zip(expected) {
            for field in ["n", "bad", "good"] {
                assert_eq!(
                    number(&bin[field]),
                    number(&expected[field]),
                    "{name} {field}"
                );
            }
            close(name, number(&bin["woe"]), number(&expected["woe"]), 1e-9);
        }
        let points = task["lr_woe"]["scorecard"]["points"][name].as_array();
        for (bin, expected) in bins.iter().zip(points.into_iter().flatten()) {
            close(
                name,
                number(&bin["points"]),
                number(&expected["points"]),
                1e-7,
            );
        }
        assert_eq!(feature["in_model"] == true, points.is_some(), "{name}");
    }
    let (got, expected) = (&result["fit"]["scorecard"], &task["lr_woe"]["scorecard"]);
    for field in ["factor", "offset", "base_points"] {
        let number = |v: &Value| v[field].as_f64().expect("a number");
        close(field, number(got), number(expected), 1e-9);
    }
}

/// What ends a job over the bundled hospitals, with something in the example changed.
fn refused(changes: &[(&str, &str)], code: i32) -> String {
    let mut text = fs::read_to_string(job("train-stays.toml")).expect("an example job");
    for (old, new) in changes {
        assert!(text.contains(old), "no {old}");
        text = text.replace(old, new);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("job.toml");
    fs::write(&path, text).expect("written");
    let words = ["simulate".to_owned(), path.display().to_string()];
    entente(words.into_iter().chain(hospitals()))
        .expect(code)
        .stderr
}

#[test]
fn what_cannot_be_fitted_is_named() {
    // A column that is the sum of others, and one that never changes.
    let twice = [
        (
            "num_lab_procedures, diag_group",
            "num_lab_procedures, num_lab_procedures + age_mid AS both, diag_group",
        ),
        (
            "\"num_lab_procedures\", \"diag_group\"",
            "\"num_lab_procedures\", \"both\", \"diag_group\"",
        ),
    ];
    let said = refused(&twice, 1);
    assert!(
        said.contains("the design is singular: both is a linear combination of"),
        "{said}"
    );
    let constant = [
        (
            "num_lab_procedures, diag_group",
            "num_lab_procedures, 2.5 AS same, diag_group",
        ),
        (
            "\"num_lab_procedures\", \"diag_group\"",
            "\"num_lab_procedures\", \"same\", \"diag_group\"",
        ),
    ];
    let said = refused(&constant, 1);
    assert!(
        said.contains("same has the same value in all rows"),
        "{said}"
    );
    // Too few rows of a level: nothing is opened.
    let rare = [(
        "num_lab_procedures, diag_group",
        "num_lab_procedures, CASE WHEN age_mid < 10 AND time_in_hospital > 10 THEN 'digestive' WHEN diag_group = 'digestive' THEN 'circulatory' ELSE diag_group END AS diag_group",
    )];
    let said = refused(&rare, 1);
    assert!(
        said.contains("too few rows in which diag_group is digestive"),
        "{said}"
    );
    // Labels that a column tells apart.
    let separated = [
        ("\"linear\"", "\"logistic\""),
        (
            "label     = \"time_in_hospital\"",
            "label     = \"long_stay\"",
        ),
        (
            "SELECT time_in_hospital,",
            "SELECT CASE WHEN time_in_hospital > 5 THEN 1 ELSE 0 END AS long_stay, time_in_hospital,",
        ),
        ("[\"age_mid\",", "[\"time_in_hospital\", \"age_mid\","),
    ];
    let said = refused(&separated, 1);
    assert!(
        said.contains("separation: ") && said.contains("coefficient of time_in_hospital"),
        "{said}"
    );
}

#[test]
fn a_policy_names_the_column_that_is_no_feature() {
    let policy = [
        (
            "\"num_lab_procedures\", \"diag_group\"",
            "\"num_lab_procedures\", \"diag_group\", \"readmitted\"",
        ),
        (
            "num_lab_procedures, diag_group",
            "num_lab_procedures, CASE WHEN readmitted = 'NO' THEN 1 ELSE 0 END AS readmitted, diag_group",
        ),
    ];
    let said = refused(&policy, 3);
    assert!(
        said.contains("readmitted") && said.contains("feature"),
        "{said}"
    );
}
