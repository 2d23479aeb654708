//! Models over the rows of several holders by the jobs in `examples/jobs`: what plain Python (statsmodels, scikit-learn) fits to
//! the pooled rows, found by `simulate` on the parts.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, rows, shared};
use crate::run::{entente, hospitals, job};
use crate::scorecards::{Binned, check_bins};
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

pub(crate) const BANKS: Tables<'_> = &[
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

/// Steps, coefficients and errors of a selection.
fn check_steps(result: &Value, steps: &[(&str, &str, f64)], model: &[(&str, f64, f64)]) {
    check_steps_by((result, "chi2"), steps, model);
}

/// The same where another figure says why.
pub(crate) fn check_steps_by(
    (result, figure): (&Value, &str),
    steps: &[(&str, &str, f64)],
    model: &[(&str, f64, f64)],
) {
    let found = result["fit"]["stepwise"].as_array().expect("steps");
    assert_eq!(found.len(), steps.len(), "{found:?}");
    for (found, (step, term, by)) in found.iter().zip(steps) {
        assert_eq!(
            (&found["step"], &found["term"]),
            (&(*step).into(), &(*term).into())
        );
        close(term, found[figure].as_f64().expect("a number"), *by, 1e-6);
    }
    let (coefficients, errors) = (column(result, "coef"), column(result, "se"));
    let rows = result["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), model.len());
    for (i, (term, coefficient, error)) in model.iter().enumerate() {
        assert_eq!(rows[i][0], *term);
        close(term, coefficients[i], *coefficient, 1e-8);
        close(term, errors[i], *error, 1e-8);
    }
}

/// The figures are those of plain Python on the pooled rows that are fitted, by the definition of SAS's PROC LOGISTIC,
/// SELECTION=STEPWISE and BACKWARD: a column enters by the score test, U²/(I_jj − I_jS·I_SS⁻¹·I_Sj) at the fit of the others,
/// and leaves by Wald's, (β/se)².
#[test]
fn columns_are_chosen_as_on_the_pooled_rows() {
    let task = "credit_taiwan:/horizontal/pooled";
    let Some((both, _)) = fitted(BANKS, "train-stepwise.toml", &[], task) else {
        return;
    };
    check_steps(
        &both,
        &[
            ("enters", "pay_1", 2132.450595896457),
            ("enters", "limit_bal", 139.29096587661815),
            ("enters", "pay_3", 65.97011537090162),
            ("enters", "bill_amt1", 57.451766483960924),
            ("enters", "age", 37.641673324277214),
            ("enters", "pay_amt1", 32.40348665095564),
            ("enters", "pay_2", 11.430932672180173),
            ("enters", "pay_amt6", 5.7642627699939695),
        ],
        &[
            ("intercept", -1.4479189384533475, 0.019349740036412138),
            ("limit_bal", -0.10492390314950534, 0.02258222009912315),
            ("age", 0.10430399546699107, 0.01741722433063325),
            ("pay_1", 0.6533018167249887, 0.023274189154795483),
            ("pay_2", 0.09698660818994517, 0.028103690502147265),
            ("pay_3", 0.1541468289546325, 0.025919906968123893),
            ("bill_amt1", -0.15606638487677446, 0.023045415172338313),
            ("pay_amt1", -0.21241059002151222, 0.04121457504030489),
            ("pay_amt6", -0.06812530469976522, 0.02845160570204451),
        ],
    );
    // The loss goes down, and ends at that of the model: half the deviance a row.
    let fit = &both["fit"];
    let number = |value: &Value| value.as_f64().expect("a number");
    let losses: Vec<f64> = fit["loss"]
        .as_array()
        .expect("losses")
        .iter()
        .map(number)
        .collect();
    assert!(losses.len() > 3 && losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
    let end = -number(&fit["loglik"]) / number(&fit["n"]);
    close("loss", losses[losses.len() - 1], end, 1e-9);
    let changes = [
        ("direction = \"both\"", "direction = \"backward\""),
        ("stay      = 0.05", "stay      = 0.01"),
    ];
    let found = fitted(BANKS, "train-stepwise.toml", &changes, task);
    let (backward, _) = found.expect("shared data");
    check_steps(
        &backward,
        &[
            ("leaves", "pay_6", 1.1218952278155088),
            ("leaves", "bill_amt6", 3.559456675030948),
            ("leaves", "pay_amt6", 5.733282646896744),
        ],
        &[
            ("intercept", -1.4462032335415549, 0.0193106160439351),
            ("limit_bal", -0.11270394733827047, 0.022374184585811092),
            ("age", 0.10504973440936764, 0.017412708184420575),
            ("pay_1", 0.6553238551462202, 0.02327053128691863),
            ("pay_2", 0.09496028591243444, 0.028098064041979932),
            ("pay_3", 0.15577116541572114, 0.02592171314769966),
            ("bill_amt1", -0.1628991692596804, 0.022879721990228443),
            ("pay_amt1", -0.22288958620542837, 0.041420352167869004),
        ],
    );
}

/// A scorecard keeps the features that stay, and all of them in bins.
#[test]
fn a_scorecard_chooses_features_stepwise() {
    let task = "credit_taiwan:/horizontal/pooled";
    let stepwise = "[compute.train.stepwise]\nenter = 0.0001\nstay = 0.0001\n[privacy]";
    let changes = [("[privacy]", stepwise)];
    let Some((result, _)) = fitted(BANKS, "train-chimerge.toml", &changes, task) else {
        return;
    };
    let names = |value: &Value, field: &str| -> Vec<String> {
        let features = value.as_array().expect("features").iter();
        let names = features.map(|f| f[field].as_str().expect("a name").to_owned());
        names.collect()
    };
    let rows = result["rows"].as_array().expect("rows");
    let terms: Vec<&str> = rows
        .iter()
        .skip(1)
        .filter_map(|row| row[0].as_str())
        .collect();
    // In the model of all five age has a Wald statistic of 11.2, less than the χ² of 15.1, and the others 45 or more.
    assert_eq!(terms, ["pay_1", "pay_amt1", "limit_bal", "pay_amt6"]);
    let mut entered = names(&result["fit"]["stepwise"], "term");
    assert_eq!(entered[0], "pay_1", "it tells most");
    let features = &result["fit"]["features"];
    assert_eq!(features.as_array().map(Vec::len), Some(6));
    assert_eq!(names(features, "feature")[..terms.len()], terms);
    entered.sort();
    let mut sorted = terms.clone();
    sorted.sort_unstable();
    assert_eq!(entered, sorted);
    for (i, feature) in features.as_array().expect("features").iter().enumerate() {
        assert_eq!(feature["in_model"], i < terms.len());
    }
}

/// Features of merged bins: cuts, bads and goods, and information values.
const MERGED: &[Binned<'_>] = &[
    (
        "pay_1",
        &[-2.0, -1.0, 0.0, 1.0],
        &[
            (270.0, 1655.0),
            (658.0, 3347.0),
            (1335.0, 8999.0),
            (868.0, 1713.0),
            (1491.0, 636.0),
        ],
        0.863397450907188,
    ),
    (
        "pay_amt1",
        &[0.0, 3600.0, 5015.25, 18403.15],
        &[
            (1325.0, 2364.0),
            (2208.0, 7750.0),
            (374.0, 1708.0),
            (610.0, 3584.0),
            (105.0, 944.0),
        ],
        0.18021690721161215,
    ),
    (
        "limit_bal",
        &[30000.0, 70000.0, 140000.0, 240000.0, 360000.0],
        &[
            (1035.0, 1832.0),
            (978.0, 2606.0),
            (974.0, 3257.0),
            (942.0, 4391.0),
            (495.0, 2726.0),
            (198.0, 1538.0),
        ],
        0.17746206764244493,
    ),
    (
        "pay_amt6",
        &[0.0, 1500.0, 4000.0, 9524.9],
        &[
            (1453.0, 3527.0),
            (1365.0, 4364.0),
            (1037.0, 4019.0),
            (513.0, 2596.0),
            (254.0, 1844.0),
        ],
        0.10066776953608073,
    ),
    (
        "age",
        &[25.0, 30.0, 35.0, 45.0],
        &[
            (712.0, 1998.0),
            (983.0, 4000.0),
            (783.0, 3274.0),
            (1305.0, 4615.0),
            (839.0, 2463.0),
        ],
        0.022767046701998403,
    ),
    (
        "bill_amt1",
        &[784.0, 13342.8, 17584.95, 36297.6, 83439.8],
        &[
            (781.0, 2367.0),
            (1090.0, 4151.0),
            (294.0, 754.0),
            (752.0, 2394.0),
            (903.0, 3291.0),
            (802.0, 3393.0),
        ],
        0.018677118277763777,
    ),
];

const MERGED_MODEL: &[(f64, f64)] = &[
    (-1.2640887466557802, 0.0186843865999638),
    (0.9181716015524711, 0.019434493583139426),
    (0.3167743151747112, 0.04720797771408933),
    (0.5378282583833092, 0.04722163073426446),
    (0.36033082586551063, 0.06594010749704737),
    (0.41930445648496606, 0.12510508536617151),
];

/// The figures are those of plain Python on the pooled rows that are fitted: 20 bins between type-7 quantiles, of the
/// neighbours that with the least χ² of its 2×2 table merged until there are at most 6 and every χ² is above χ²(0.95; 1) =
/// 3.8415 (Kerber, AAAI-92); age is cut where the job says.
#[test]
fn bins_are_merged_by_chi2_over_the_pooled_rows() {
    let task = "credit_taiwan:/horizontal/pooled";
    let Some((result, _)) = fitted(BANKS, "train-chimerge.toml", &[], task) else {
        return;
    };
    check_bins(&result, MERGED, MERGED_MODEL);
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
