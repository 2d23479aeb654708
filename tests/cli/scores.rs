//! What is told of the scores of a test sample, against the figures of plain Python on the pooled rows.

use serde_json::{Value, json};

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

#[track_caller]
fn near(what: &str, found: &Value, expected: &Value, bound: f64) {
    let (found, expected) = (number(found), number(expected));
    assert!(
        (found - expected).abs() <= bound,
        "{what}: {found} instead of {expected}"
    );
}

/// A figure that is told. Where one that was asked for is not, there is a note.
#[track_caller]
fn told<'a>(result: &'a Value, word: &str) -> Option<&'a Value> {
    let found = result["fit"].get(word)?;
    let note = format!("{word} is not told");
    let is_withheld = result["notes"].to_string().contains(&note);
    assert_eq!(found.is_null(), is_withheld, "{word} of {}", result["fit"]);
    (!is_withheld).then_some(found)
}

/// Figures of scores of the test sample, as far as they are told; returns how many groups of counts are.
pub(crate) fn check_figures(result: &Value, expected: &Value) -> usize {
    check_sample(result, expected, 2.0)
}

/// The same of any sample, of which so many rows at the edge of a decile have scores that agree but for rounding
/// and may change places.
fn check_sample(result: &Value, expected: &Value, n_tied: f64) -> usize {
    let fit = &result["fit"];
    for (word, bound) in [
        ("auc", 0.005),
        ("gini", 0.01),
        ("ks", 0.005),
        ("logloss", 1e-3),
        ("brier", 1e-3),
    ] {
        // The task of a penalised model has no gini.
        if !fit[word].is_null() && !expected[word].is_null() {
            near(word, &fit[word], &expected[word], bound);
        }
    }
    let mut n_told = 0;
    if let Some(lift) = told(result, "lift") {
        // Two rows whose scores agree but for rounding may change places.
        let bound = 2.0 / number(&lift["n"]) / number(&expected["bad_rate"]);
        near("lift", &lift["lift"], &expected["lift_top10pct"], bound);
        n_told += 1;
    }
    if let Some(calibration) = told(result, "calibration") {
        let deciles = calibration["deciles"].as_array().expect("deciles");
        let tenths = expected["calibration_deciles"].as_array();
        let tenths = tenths.expect("deciles");
        assert_eq!(deciles.len(), tenths.len());
        for (found, expected) in deciles.iter().zip(tenths) {
            let bound = n_tied / number(&expected["n"]);
            near("rows", &found["n"], &expected["n"], 0.0);
            near("risk", &found["mean_pred"], &expected["mean_pred"], 1e-3);
            near("bad", &found["obs_rate"], &expected["obs_rate"], bound);
        }
        let test = &calibration["hosmer_lemeshow"];
        let chi2 = &expected["hosmer_lemeshow_chi2"];
        near("chi2", &test["chi2"], chi2, 0.03 * number(chi2));
        n_told += 1;
    }
    if let Some(confusion) = told(result, "confusion") {
        let matrices = confusion.as_array().expect("matrices");
        assert_eq!(matrices.len(), 3);
        for cell in ["tp", "fp", "fn", "tn"] {
            let expected = &expected["confusion_at_0.5"][cell];
            near(cell, &matrices[0][cell], expected, 3.0);
        }
        let of = |cell: &str| number(&matrices[1][cell]);
        let n = number(&expected["n"]);
        let approved = of("fn") + of("tn");
        assert!((approved - 0.7 * n).abs() <= 1.0, "{confusion}");
        let rate = |bad: &str, other: &str| {
            let cell = |name: &str| number(&matrices[2][name]);
            cell(bad) / (cell(bad) + cell(other))
        };
        let distance = rate("tp", "fn") - rate("fp", "tn");
        near("ks", &distance.into(), &fit["ks"], 1e-9);
        n_told += 1;
    }
    n_told
}

/// A job that asks for figures of the rows that are fitted as well.
pub(crate) fn with_train(text: &str) -> String {
    let report = "report    = [";
    assert!(text.contains(report), "{text}");
    text.replacen(
        report,
        &format!("evaluate  = [\"train\", \"test\"]\n{report}"),
        1,
    )
}

/// The figures of the rows that are fitted.
pub(crate) fn check_train(result: &Value, expected: &Value) {
    let train = json!({ "fit": result["fit"]["train"], "notes": [] });
    // Scores are ties from 2^-12 of a logit on, and deciles of fitted rows are the larger ones: 3 of 2,097 are.
    assert_eq!(check_sample(&train, expected, 4.0), 3, "{}", train["fit"]);
    let of = |name: &str| number(&train["fit"][name]);
    near(
        "rows",
        &(of("n_bad") + of("n_good")).into(),
        &result["n_used"],
        0.0,
    );
    assert!(
        train["fit"]["psi"].is_null(),
        "rows are not compared with themselves"
    );
}

/// The stability of scores between the two samples.
pub(crate) fn check_stability(result: &Value, expected: &Value) {
    let psi = told(result, "psi").expect("psi");
    near("psi", &psi["psi"], &expected["psi"], 0.005);
    let shares = psi["expected_share"].as_array().expect("shares");
    let sum: f64 = shares.iter().map(number).sum();
    assert!((sum - 1.0).abs() < 1e-9);
}
