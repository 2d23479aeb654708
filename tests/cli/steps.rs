//! A model whose steps are solved on shares beside the same one whose steps are opened, over the bundled data.

use crate::run::{entente, hospitals, job};
use serde_json::Value;
use std::fs;

const LONG: (&str, &str) = (
    "SELECT time_in_hospital,",
    "SELECT CASE WHEN time_in_hospital > 5 THEN 1 ELSE 0 END AS long_stay, time_in_hospital,",
);
const LABEL: &str = "label     = \"time_in_hospital\"";

/// The result of the bundled job, with something changed.
fn fitted(changes: &[(&str, &str)]) -> Value {
    let mut text = fs::read_to_string(job("train-stays.toml")).expect("an example job");
    for (old, new) in changes {
        assert!(text.contains(old), "no {old}");
        text = text.replace(old, new);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("job.toml");
    fs::write(&path, text).expect("written");
    let words = ["simulate".to_owned(), path.display().to_string()];
    let words = words.into_iter().chain(["--json".to_owned()]);
    let ended = entente(words.chain(hospitals()));
    ended.expect(0).json()["result"].clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Number(number) => number.as_f64().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Both ways give the same numbers, of what is reported and of what describes the fit.
fn check(model: &str, changes: &[(&str, &str)]) {
    let word = format!("\"{model}\"");
    let mut changes = [&[("\"linear\"", word.as_str())], changes].concat();
    let shared = fitted(&changes);
    changes.push((
        "[compute.train.cat",
        "open_steps = true\n[compute.train.cat",
    ));
    let opened = fitted(&changes);
    let (got, expected) = (numbers(&shared["rows"]), numbers(&opened["rows"]));
    assert!(got.len() > 20 && got.len() == expected.len(), "{shared}");
    for (got, expected) in got.iter().zip(&expected) {
        let scale = expected.abs().max(1e-9);
        assert!(
            (got - expected).abs() <= 1e-7 * scale,
            "{model}: {got} instead of {expected}"
        );
    }
    let fields = opened["fit"].as_object().expect("a fit");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "last_step") {
        let (got, expected) = (numbers(&shared["fit"][name]), numbers(value));
        if name == "gradient" {
            assert!(got.is_empty(), "it is not opened: {}", shared["fit"]);
            continue;
        }
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            let error = (got - expected).abs() / expected.abs().max(1e-9);
            assert!(
                error <= 1e-8,
                "{model}, {name}: {got} instead of {expected}"
            );
        }
    }
}

#[test]
fn least_squares_and_robust_errors_are_the_same() {
    check("linear", &[]);
    check(
        "linear",
        &[(
            "[compute.train.cat",
            "standardise = true\n[compute.train.cat",
        )],
    );
}

#[test]
fn counts_and_amounts_are_the_same() {
    check("poisson", &[]);
    check("gamma", &[]);
}

#[test]
fn a_logistic_model_is_the_same_and_tells_its_losses() {
    let loss = (
        "[compute.train.cat",
        "report = [\"coef\", \"se\", \"p\", \"ci95\", \"loss\"]\n[compute.train.cat",
    );
    let label = (LABEL, "label     = \"long_stay\"");
    check("logistic", &[LONG, label, loss]);
}
