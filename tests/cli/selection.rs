//! Columns that are chosen by an information criterion, against models that are fitted in the clear here.

use crate::missing::{Customer, SPECIAL, banks, fitted, job};
use crate::parts::run;
use crate::train::{BANKS, check_steps_by, fitted as fitted_by};
use serde_json::Value;

/// The deviance of the logistic model of these columns, by Newton's method.
fn deviance(columns: &[Vec<f64>], labels: &[f64]) -> f64 {
    let n = columns.len();
    let mut at = vec![0.0; n];
    let mut found = 0.0;
    for _ in 0..30 {
        let mut system = vec![vec![0.0; n + 1]; n];
        found = 0.0;
        for (row, label) in labels.iter().enumerate() {
            let linear: f64 = columns.iter().zip(&at).map(|(c, b)| c[row] * b).sum();
            let risk = 1.0 / (1.0 + (-linear).exp());
            found -= 2.0
                * if *label == 1.0 {
                    risk.ln()
                } else {
                    (1.0 - risk).ln()
                };
            for (i, line) in system.iter_mut().enumerate() {
                for (j, cell) in line[..n].iter_mut().enumerate() {
                    *cell += risk * (1.0 - risk) * columns[i][row] * columns[j][row];
                }
                line[n] += columns[i][row] * (label - risk);
            }
        }
        for i in 0..n {
            let pivot = system[i].clone();
            for (other, line) in system
                .iter_mut()
                .enumerate()
                .filter(|(other, _)| *other != i)
            {
                let factor = line[i] / pivot[i];
                assert!(factor.is_finite(), "column {other}");
                line.iter_mut()
                    .zip(&pivot)
                    .for_each(|(cell, of)| *cell -= factor * of);
            }
        }
        for (i, b) in at.iter_mut().enumerate() {
            *b += system[i][n] / system[i][i];
        }
    }
    found
}

/// A column, and what it is of a customer.
type Named = (&'static str, fn(&Customer) -> f64);

const FEATURES: [Named; 4] = [
    ("x", |row| row.x.filter(|x| *x != SPECIAL).unwrap_or(0.0)),
    ("z", |row| row.z.unwrap_or(0.0)),
    ("k", |row| f64::from(u8::from(row.group == Some("a")))),
    ("gone", |row| f64::from(u8::from(row.x.is_none()))),
];

/// No model that is a step away from the one that was chosen has a smaller criterion, and each step lowers it by what is told.
/// Returns how many columns it has.
fn check(
    found: &Value,
    rows: &[Customer],
    (criterion, direction, a_column): (&str, &str, f64),
) -> usize {
    let labels: Vec<f64> = rows
        .iter()
        .map(|row| f64::from(u8::from(row.is_bad)))
        .collect();
    let is_in = |name: &str| {
        found["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .any(|row| row[0] == name)
    };
    let of = |chosen: &[bool]| {
        let mut columns = vec![vec![1.0; rows.len()]];
        let kept = FEATURES
            .iter()
            .zip(chosen)
            .filter(|(_, is_chosen)| **is_chosen);
        columns.extend(kept.map(|((_, of), _)| rows.iter().map(of).collect::<Vec<f64>>()));
        deviance(&columns, &labels) + a_column * columns.len() as f64
    };
    let chosen: Vec<bool> = FEATURES.iter().map(|(name, _)| is_in(name)).collect();
    let end = of(&chosen);
    for i in 0..FEATURES.len() {
        let mut other = chosen.clone();
        other[i] = !other[i];
        let is_reached = match direction {
            "both" => true,
            "forward" => other[i],
            _ => !other[i],
        };
        assert!(
            !is_reached || of(&other) >= end - 1e-6,
            "{criterion} {direction}: {}",
            FEATURES[i].0
        );
    }
    let steps = found["fit"]["stepwise"].as_array().expect("steps");
    let fell: f64 = steps
        .iter()
        .map(|step| step["falls_by"].as_f64().expect("a number"))
        .sum();
    let start = of(&[direction == "backward"; 4]);
    assert!((start - end - fell).abs() < 1e-6, "{start} {end} {fell}");
    assert!(!steps.is_empty());
    chosen.iter().filter(|is| **is).count()
}

/// Akaike's criterion keeps what lies below Schwarz's.
#[test]
fn columns_are_chosen_by_an_information_criterion() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = banks(home);
    let names: Vec<String> = FEATURES
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let rows = fitted();
    // Of all columns x lowers the deviance most, by 4.09: more than 2, and less than ln(600).
    for (criterion, direction, a_column) in [
        ("aic", "both", 2.0),
        ("aic", "backward", 2.0),
        ("bic", "forward", (rows.len() as f64).ln()),
    ] {
        let train = format!(
            "rows = \"SELECT COALESCE(NULLIF(x, -999), 0) AS x, COALESCE(z, 0) AS z, CASE WHEN kind = 'a' THEN 1 ELSE 0 END AS k, CASE WHEN x IS NULL THEN 1 ELSE 0 END AS gone, bad, sample FROM (SELECT * FROM bank_1.loans UNION ALL SELECT * FROM bank_2.loans) t\"\n\
             features = [{}]\nsample = {{ column = \"sample\", train = \"train\" }}\n[compute.train.stepwise]\ncriterion = \"{criterion}\"\ndirection = \"{direction}\"",
            names.join(", ")
        );
        let ended = run((home, &parties), &job("logistic", &train, 0), &["--json"]);
        if criterion == "bic" {
            let said = ended.expect(1).stdout;
            assert!(said.contains("no column is left in the model"), "{said}");
            continue;
        }
        let found = ended.expect(0).json()["result"].clone();
        assert!(check(&found, &rows, (criterion, direction, a_column)) > 0);
    }
    let text = job(
        "logistic",
        "tables = [\"bank_1.loans\", \"bank_2.loans\"]\nfeatures = [\"z\"]\n[compute.train.stepwise]\ncriterion = \"aic\"\nenter = 0.1",
        0,
    );
    let said = run((home, &parties), &text, &[]).expect(2).stderr;
    assert!(
        said.contains("an information criterion decides here"),
        "{said}"
    );
}

/// The figures are those of plain Python on the pooled rows that are fitted: of all models a column away that with the least AIC.
#[test]
fn columns_are_chosen_by_aic_as_on_the_pooled_rows() {
    let task = "credit_taiwan:/horizontal/pooled";
    let changes = [
        (
            "direction = \"both\"",
            "direction = \"both\"\ncriterion = \"aic\"",
        ),
        ("enter     = 0.05", ""),
        ("stay      = 0.05", ""),
    ];
    let Some((found, _)) = fitted_by(BANKS, "train-stepwise.toml", &changes, task) else {
        return;
    };
    check_steps_by(
        (&found, "falls_by"),
        &[
            ("enters", "pay_1", 2132.9276119245696),
            ("enters", "limit_bal", 143.6174156786692),
            ("enters", "pay_3", 63.84461310925326),
            ("enters", "pay_amt1", 66.79591957345838),
            ("enters", "bill_amt1", 41.41048227255669),
            ("enters", "age", 33.989278608514724),
            ("enters", "pay_2", 9.365149045079306),
            ("enters", "pay_amt6", 4.55017918417434),
            ("enters", "bill_amt6", 1.5614133056842547),
        ],
        &[
            ("intercept", -1.4487457194950146, 0.01936813966563135),
            ("limit_bal", -0.11123802595515343, 0.022867499748811762),
            ("age", 0.10448736425406639, 0.017418504305037417),
            ("pay_1", 0.6516834719993576, 0.023283742977450974),
            ("pay_2", 0.09615518020728968, 0.028111242640247433),
            ("pay_3", 0.150019926098702, 0.026016843144070063),
            ("bill_amt1", -0.20763696961572442, 0.03602462747398405),
            ("bill_amt6", 0.06573958487522981, 0.0348445693797156),
            ("pay_amt1", -0.2199147165501628, 0.04149321137492901),
            ("pay_amt6", -0.06660637863281148, 0.028779139397460712),
        ],
    );
}
