//! Scorecards and penalised models over joins, against the figures of plain Python on the pooled data.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, shared};
use crate::run::job;
use crate::vertical::numbers;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn text(name: &str) -> String {
    fs::read_to_string(job(name)).expect("an example job")
}

type Tables = [(&'static str, &'static str, &'static str)];

const TAIWAN: &Tables = &[
    ("bank_a", "loans", "bank_a.csv"),
    ("bank_b", "bills", "bank_b.csv"),
    ("bureau_c", "persons", "bureau_c.csv"),
];
const GERMAN: &Tables = &[
    ("bank_a", "loans", "bank_a.csv"),
    ("partner_b", "persons", "partner_b.csv"),
];

fn parts(shared: &Path, set: &str, tables: &Tables) -> Parts {
    let files = tables.iter().map(|(party, table, file)| {
        let file = shared.join(set).join(file);
        ((*party).to_owned(), vec![(*table, file)])
    });
    let arbiter = ("arbiter".to_owned(), Vec::<(&str, PathBuf)>::new());
    let parties: Vec<_> = files.chain([arbiter]).collect();
    Parts::new(&parties)
}

#[track_caller]
fn near(what: &str, found: &Value, expected: &Value, (absolute, relative): (f64, f64)) {
    let found = found.as_f64().expect("a number");
    let expected = expected.as_f64().expect("a number");
    let off = (found - expected).abs();
    assert!(
        off <= absolute || off <= relative * expected.abs(),
        "{what}: {found} instead of {expected}"
    );
}

const CLOSE: (f64, f64) = (1e-4, 1e-3);

/// Bins, information values, coefficients and points of a scorecard, and what it is worth on the test sample.
fn check_card(found: &Value, task: &Value) {
    let (fit, model) = (&found["fit"], &task["lr_woe"]);
    assert_eq!(found["n_used"], task["n_train"]);
    assert_eq!(fit["n_bad"], task["bad_test"]);
    let features = fit["features"].as_array().expect("features");
    let ranking = task["iv_ranking"].as_array().expect("a ranking");
    assert_eq!(features.len(), ranking.len());
    for (feature, rank) in features.iter().zip(ranking) {
        let name = rank[0].as_str().expect("a name");
        assert_eq!(feature["feature"], name);
        near(name, &feature["iv"], &rank[1], (1e-6, 0.0));
        let bins = feature["bins"].as_array().expect("bins");
        let expected = task["woe"][name]["bins"].as_array().expect("bins");
        assert_eq!(bins.len(), expected.len(), "bins of {name}");
        for bin in bins {
            let same = |e: &&Value| e["n"].as_f64() == bin["n"].as_f64() && e["bad"].as_f64() == bin["bad"].as_f64();
            let expected = expected.iter().find(same);
            let expected = expected.unwrap_or_else(|| panic!("{name}: {bin}"));
            near(name, &bin["woe"], &expected["woe"], (1e-9, 0.0));
        }
    }
    let rows = found["rows"].as_array().expect("rows");
    let terms = model["terms"].as_array().expect("terms");
    assert_eq!(rows.len(), terms.len());
    for (row, (i, term)) in rows.iter().zip(terms.iter().enumerate()) {
        let name = term.as_str().expect("a name");
        assert_eq!(row[0], if i == 0 { "intercept" } else { name });
        near(name, &row[1], &model["coef"][i], CLOSE);
        near(name, &row[2], &model["se"][i], CLOSE);
    }
    let card = &model["scorecard"];
    near("base points", &fit["scorecard"]["base_points"], &card["base_points"], (0.01, 0.0));
    check_scores(found, &model["test"]);
}

fn check_scores(found: &Value, expected: &Value) {
    for figure in ["auc", "ks"] {
        near(figure, &found["fit"][figure], &expected[figure], (0.005, 0.0));
    }
}

/// The cuts of the expected figures, as a job lists them: quantiles of the rows in common are not known to any holder.
fn with_cuts(job: &str, task: &Value, holder: &dyn Fn(&str) -> &'static str) -> String {
    let features = task["woe"].as_object().expect("features").iter();
    let listed = features.filter(|(_, of)| of["edges"].is_array());
    let cuts: Vec<String> = listed
        .map(|(name, of)| format!("\"{}.{name}\" = {}\n", holder(name), of["edges"]))
        .collect();
    let cuts = format!("[compute.train.scorecard.cuts]\n{}", cuts.concat());
    job.replace("alone = true", "alone = false")
        .replace("[privacy]", &format!("{cuts}[privacy]"))
}

#[test]
fn a_joint_scorecard_is_that_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_taiwan.json")["vertical"];
    let holder = |name: &str| match name {
        "age" => "bureau_c.persons",
        name if name.starts_with("bill") || name.starts_with("pay_amt") => "bank_b.bills",
        _ => "bank_a.loans",
    };
    let text = with_cuts(&text("train-joint-scorecard.toml"), task, &holder);
    let found = parts(&shared, "credit_taiwan", TAIWAN).simulate(&text);
    check_card(&found["result"], task);
}

#[test]
fn a_scorecard_of_texts_and_numbers_is_that_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_german.json")["vertical"];
    let text = text("train-risk-scorecard.toml");
    let found = parts(&shared, "credit_german", GERMAN).simulate(&text);
    check_card(&found["result"], task);
}

#[test]
fn penalised_coefficients_are_those_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_german.json")["vertical"];
    let text = text("train-risk-penalised.toml");
    let found = parts(&shared, "credit_german", GERMAN).simulate(&text)["result"].clone();
    let model = &task["lr_l2"];
    let mut coefficients = vec![model["intercept"].as_f64().expect("a number")];
    coefficients.extend(numbers(&model["coef"]));
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), coefficients.len());
    for (row, expected) in rows.iter().zip(coefficients) {
        near("a coefficient", &row[1], &expected.into(), CLOSE);
    }
    check_scores(&found, &model["test"]);
}
