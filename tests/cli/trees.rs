//! Boosted trees of rows of several holders, against XGBoost's on the pooled rows and against the same trees in doubles.
//!
//! The data of the first test are not in this repository; where they are absent it prints `skipped: no shared data`.

use crate::figures::{Parts, rows};
use crate::train::{BANKS_AND_DEALER, fitted};
use crate::vertical::{check_losses, check_trees, numbers};
use engine::prg::{Prg, Seed};
use serde_json::Value;
use std::fmt::Write;
use std::fs;

#[test]
fn trees_of_three_banks_do_as_well_as_those_of_the_pooled_customers() {
    let task = "credit_taiwan:/horizontal/pooled";
    let Some((found, task)) = fitted(BANKS_AND_DEALER, "train-trees.toml", &[], task) else {
        return;
    };
    check_trees(&found, &task, 0.02);
    assert_eq!(check_losses(&found, &task), 4);
    let psi = found["fit"]["psi"]["psi"].as_f64().expect("psi");
    assert!(psi > 0.0 && psi < 0.01, "{}", found["fit"]["psi"]);
}

const TOWN: &str = r#"
job       = "town"
purpose   = "test"
receivers = ["north"]
[compute.train]
model     = "gbdt"
partition = "horizontal"
tables    = ["north.loans", "south.loans"]
label     = "bad"
features  = ["income", "age", "kind"]
sample    = { column = "part", train = "train", test = "test" }
evaluate  = ["train", "test"]
report    = ["auc", "ks", "logloss", "confusion", "psi"]
n_trees   = 3
depth     = 3
bins      = 6
learning_rate    = 0.25
lambda           = 0.5
min_child_weight = 2
[compute.train.categorical]
kind = ["car", "house", "boat"]
[privacy]
correlations = "dealer:arbiter"
min_cell     = 8
"#;

pub(crate) const KINDS: [&str; 3] = ["car", "house", "boat"];

/// A customer: income, age and the number of the kind.
pub(crate) struct Customer {
    pub(crate) values: [f64; 3],
    pub(crate) is_bad: bool,
    pub(crate) is_fitted: bool,
}

/// Customers of two banks, the first of whom are the first one's; their incomes are written with two digits.
pub(crate) fn customers() -> Vec<Customer> {
    let mut prg = Prg::new(&Seed::from_bytes([9; 32]), 0);
    let mut unit = || prg.next_u64() as f64 / 2f64.powi(64);
    let customer = |at: u32| {
        let (income, age, kind) = (
            unit() * 5000.0,
            unit() * 60.0 + 18.0,
            (unit() * 3.0).floor(),
        );
        let risk = 0.2
            + 0.4 * f64::from(u8::from(income < 2000.0))
            + 0.2 * f64::from(u8::from(kind == 1.0));
        Customer {
            values: [(income * 100.0).round() / 100.0, age.round(), kind],
            is_bad: unit() < risk,
            is_fitted: !at.is_multiple_of(4),
        }
    };
    (0..500).map(customer).collect()
}

fn town(customers: &[Customer]) -> (tempfile::TempDir, Parts) {
    let (north, south) = customers.split_at(180);
    banks(&[("north", north), ("south", south)])
}

/// Banks with customers of their own, and somebody who deals random numbers.
pub(crate) fn banks(of_banks: &[(&str, &[Customer])]) -> (tempfile::TempDir, Parts) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut parties = vec![("arbiter".to_owned(), vec![])];
    for (name, customers) in of_banks {
        let mut text = "income,age,kind,bad,part\n".to_owned();
        for customer in *customers {
            let [income, age, kind] = customer.values;
            let (bad, kind) = (u8::from(customer.is_bad), KINDS[kind as usize]);
            let part = if customer.is_fitted { "train" } else { "test" };
            writeln!(text, "{income},{age},{kind},{bad},{part}").expect("text");
        }
        let file = directory.path().join(format!("{name}.csv"));
        fs::write(&file, text).expect("a file");
        parties.push(((*name).to_owned(), vec![("loans", file)]));
    }
    (directory, Parts::new(&parties))
}

/// Jobs in which a text is replaced by another, and what is said of each before anything is sent.
#[track_caller]
pub(crate) fn refused(parts: &Parts, text: &str, changes: &[(&str, &str, &str)]) {
    for (old, new, said) in changes {
        assert!(text.contains(old), "no {old}");
        let ended = parts.ended(&text.replacen(old, new, 1)).expect(2).stderr;
        assert!(ended.contains(said), "{said}: {ended}");
    }
}

/// Where a feature may be cut: a row with no more goes to the left.
fn cuts(fit: &Value) -> [Vec<f64>; 3] {
    let of = |name: &str| numbers(&fit["cuts"][name]);
    [of("income"), of("age"), vec![0.0, 1.0]]
}

/// A split of a tree that was found: the feature, and the greatest value that goes to the left.
fn split(split: &Value) -> (usize, f64) {
    let names = ["income", "age", "kind"];
    let feature = names.iter().position(|name| split["feature"] == *name);
    let feature = feature.expect("a feature");
    let left = &split["left"];
    let at_most = match left["levels"].as_array() {
        Some(levels) => {
            let (first, _) = KINDS.split_at(levels.len());
            assert!(levels.iter().zip(first).all(|(found, kind)| found == kind));
            levels.len() as f64 - 1.0
        }
        None => left["at_most"].as_f64().expect("a number"),
    };
    (feature, at_most)
}

/// Σg and Σh of some rows.
fn sums<'a>(rows: impl Iterator<Item = &'a (f64, f64)>) -> (f64, f64) {
    rows.fold((0.0, 0.0), |sum, (g, h)| (sum.0 + g, sum.1 + h))
}

const LAMBDA: f64 = 0.5;

fn score((g, h): (f64, f64)) -> f64 {
    g * g / (h + LAMBDA)
}

/// Both sides' score of a cut of a node, 0 if one of them weighs too little; without a cut, that of the node.
fn gain(node: &[(&Customer, (f64, f64))], cut: Option<(usize, f64)>) -> f64 {
    let Some((feature, at_most)) = cut else {
        return score(sums(node.iter().map(|(_, gradient)| gradient)));
    };
    let side = |is_left: bool| {
        let rows = node
            .iter()
            .filter(|(row, _)| (row.values[feature] <= at_most) == is_left);
        sums(rows.map(|(_, gradient)| gradient))
    };
    let sides = [side(true), side(false)];
    match sides.iter().any(|(_, h)| *h < 2.0) {
        true => 0.0,
        false => sides.into_iter().map(score).sum(),
    }
}

/// Every split gains as much as the best, and every leaf has the number that the rows of both banks give it.
fn check_forest(fit: &Value, customers: &[Customer]) -> usize {
    let cuts = cuts(fit);
    let fitted: Vec<&Customer> = customers.iter().filter(|c| c.is_fitted).collect();
    let mut margins = vec![0.0; fitted.len()];
    let mut n_splits = 0;
    for tree in fit["forest"].as_array().expect("trees") {
        let splits = tree["splits"].as_array().expect("splits");
        let leaves = numbers(&tree["leaves"]);
        let gradients = margins.iter().zip(&fitted).map(|(margin, row)| {
            let p: f64 = 1.0 / (1.0 + f64::exp(-margin));
            (p - f64::from(u8::from(row.is_bad)), p * (1.0 - p))
        });
        let gradients: Vec<(f64, f64)> = gradients.collect();
        let mut nodes = vec![0; fitted.len()];
        for node in 0..7 {
            let here = (0..fitted.len()).filter(|row| nodes[*row] == node);
            let here: Vec<_> = here.map(|row| (fitted[row], gradients[row])).collect();
            let chosen = splits.iter().find(|split| split["node"] == node).map(split);
            let all = cuts.iter().enumerate();
            let all = all.flat_map(|(feature, cuts)| cuts.iter().map(move |cut| (feature, *cut)));
            let best = all
                .map(|cut| gain(&here, Some(cut)))
                .fold(gain(&here, None), f64::max);
            let found = gain(&here, chosen);
            assert!(
                found >= best - 1e-3 * (1.0 + best),
                "{node}: {found}, not {best}"
            );
            for (row, at) in nodes.iter_mut().enumerate().filter(|(_, at)| **at == node) {
                let is_right = chosen.is_some_and(|(f, at_most)| fitted[row].values[f] > at_most);
                *at = 2 * *at + 1 + usize::from(is_right);
            }
            n_splits += usize::from(chosen.is_some());
        }
        for (leaf, found) in leaves.iter().enumerate() {
            let here = (0..fitted.len()).filter(|row| nodes[*row] == 7 + leaf);
            let here: Vec<usize> = here.collect();
            assert!(
                here.is_empty() || here.len() >= 8,
                "a leaf of {} rows",
                here.len()
            );
            let (g, h) = sums(here.iter().map(|row| &gradients[*row]));
            let expected = -0.25 * g / (h + LAMBDA);
            assert!(
                (found - expected).abs() < 1e-3,
                "leaf {leaf}: {found}, {expected}"
            );
            here.iter().for_each(|row| margins[*row] += found);
        }
    }
    let losses = margins.iter().zip(&fitted).map(|(margin, row)| {
        let sign = if row.is_bad { -1.0 } else { 1.0 };
        f64::ln_1p(f64::exp(sign * margin))
    });
    let expected = losses.sum::<f64>() / fitted.len() as f64;
    let found = fit["train"]["logloss"].as_f64().expect("a figure");
    assert!((found - expected).abs() < 1e-3, "{found}, {expected}");
    n_splits
}

#[test]
fn trees_of_two_banks_are_those_of_all_their_rows() {
    let customers = customers();
    let (_kept, parts) = town(&customers);
    let found = parts.simulate(TOWN)["result"].clone();
    let n_splits = check_forest(&found["fit"], &customers);
    assert!(n_splits > 8, "{n_splits}: trees of nothing show nothing");
    // Tenths of so few rows are smaller than the minimum.
    assert!(found["fit"]["psi"].is_null(), "{found}");
    assert!(
        found["notes"].to_string().contains("psi is not told"),
        "{found}"
    );
    let n_fitted = customers.iter().filter(|c| c.is_fitted).count();
    assert_eq!(found["n_used"], n_fitted);
    let n_bad = customers
        .iter()
        .filter(|c| !c.is_fitted && c.is_bad)
        .count();
    assert_eq!(
        (&rows(&found)[1][0], &rows(&found)[1][1]),
        (&"test".into(), &n_bad.into())
    );
    assert!(
        rows(&found)[0][3].as_f64().expect("a figure") > 0.7,
        "{found}"
    );
}

#[test]
fn trees_that_would_tell_of_few_rows_are_refused() {
    let (_kept, parts) = town(&customers());
    refused(
        &parts,
        TOWN,
        &[
            ("= 2\n", "= 1.9\n", "fewer than 8 rows"),
            ("dealer:arbiter", "ot", "trees without a dealer"),
            ("bins      = 6", "bins      = 2", "kind has 3 levels"),
            ("\"confusion\"", "\"coef\"", "cannot be reported of trees"),
            (
                "[\"train\", \"test\"]",
                "[\"train\"]",
                "names other samples",
            ),
            ("lambda  ", "l2 = 1\nlambda  ", "l2"),
        ],
    );
}
