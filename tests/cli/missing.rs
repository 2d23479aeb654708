//! Values that are missing or special, and conventions of scorecards, against the same figures computed in the clear here.

use crate::parts::run;
use crate::run::party;
use crate::train::{BANKS, fitted as fitted_by};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A customer: two numbers and a text of which some are missing, and whether the customer is bad.
pub(crate) struct Customer {
    pub(crate) x: Option<f64>,
    pub(crate) z: Option<f64>,
    pub(crate) group: Option<&'static str>,
    pub(crate) is_bad: bool,
    pub(crate) is_test: bool,
}

/// What x says where it does not know.
pub(crate) const SPECIAL: f64 = -999.0;

fn noise(i: u32) -> f64 {
    ((f64::from(i) * 12.9898).sin() * 43_758.545).fract().abs()
}

fn customers() -> Vec<Customer> {
    let of = |i: u32| {
        let risk = noise(i);
        let x = ((2.0 * risk + noise(i + 10_000)) * 100.0).round() / 100.0;
        let kind = noise(i + 20_000);
        Customer {
            x: match kind {
                k if k < 0.15 => None,
                k if k < 0.3 => Some(SPECIAL),
                _ => Some(x),
            },
            z: (noise(i + 30_000) > 0.2).then(|| (9.0 * noise(i + 40_000) + risk).floor()),
            group: match noise(i + 50_000) {
                g if g < 0.2 => None,
                g if g < 0.6 => Some("a"),
                _ => Some("b"),
            },
            is_bad: noise(i + 60_000) < 0.2 + 0.4 * risk,
            is_test: i % 4 == 3,
        }
    };
    (0..800).map(of).collect()
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Both banks have customers of their own.
pub(crate) fn banks(home: &Path) -> Vec<String> {
    let mut words = Vec::new();
    let customers = customers();
    let (first, second) = customers.split_at(450);
    for (name, rows) in [("bank_1", first), ("bank_2", second), ("arbiter", &[])] {
        let directory = home.join(name);
        fs::create_dir_all(&directory).expect("a directory");
        if !rows.is_empty() {
            let mut text = "x,z,kind,bad,sample\n".to_owned();
            for row in rows {
                let sample = if row.is_test { "test" } else { "train" };
                let (x, z, group) = (cell(row.x), cell(row.z), cell(row.group));
                let bad = u8::from(row.is_bad);
                writeln!(text, "{x},{z},{group},{bad},{sample}").expect("a String takes all");
            }
            fs::write(directory.join("loans.csv"), text).expect("a table");
        }
        words.extend(["--party".to_owned(), party(name, &directory)]);
    }
    words
}

pub(crate) fn job(model: &str, train: &str, min_cell: u32) -> String {
    format!(
        "job = \"missing\"\npurpose = \"test\"\nreceivers = [\"bank_1\"]\n[compute.train]\nmodel = \"{model}\"\npartition = \"horizontal\"\n\
         label = \"bad\"\n{train}\n[privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = {min_cell}\n"
    )
}

const SAMPLE: &str = "sample = { column = \"sample\", train = \"train\", test = \"test\" }";

#[track_caller]
fn near(what: &str, found: &Value, expected: f64, bound: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what}: {found}"));
    assert!(
        (found - expected).abs() <= bound,
        "{what}: {found} instead of {expected}"
    );
}

/// Type-7 quantiles at i/4 of these values, equal ones once.
fn quartiles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let cut = |i: usize| {
        let place = (values.len() - 1) as f64 * i as f64 / 4.0;
        let (low, high) = (
            values[place.floor() as usize],
            values[place.ceil() as usize],
        );
        low + (high - low) * place.fract()
    };
    let mut cuts: Vec<f64> = (1..4).map(cut).collect();
    cuts.dedup();
    cuts
}

/// Bads and goods by bin, of the bins that have any.
fn counted<'c>(
    rows: impl Iterator<Item = (&'c Customer, usize)>,
    n_bins: usize,
) -> Vec<(f64, f64)> {
    let mut counts = vec![(0.0, 0.0); n_bins];
    for (row, bin) in rows {
        *(if row.is_bad {
            &mut counts[bin].0
        } else {
            &mut counts[bin].1
        }) += 1.0;
    }
    counts.retain(|(bad, good)| bad + good > 0.0);
    counts
}

/// The bins of a feature are these, with weights by their definition, times `sign`; and so is its information value.
fn check_bins(found: &Value, name: &str, counts: &[(f64, f64)], sign: f64) -> Vec<String> {
    let features = found["fit"]["features"].as_array().expect("features");
    let feature = features
        .iter()
        .find(|f| f["feature"] == name)
        .expect("a feature");
    let bins = feature["bins"].as_array().expect("bins");
    assert_eq!(bins.len(), counts.len(), "{feature}");
    let bads: f64 = counts.iter().map(|(bad, _)| bad).sum();
    let goods: f64 = counts.iter().map(|(_, good)| good).sum();
    let mut iv = 0.0;
    for (bin, (bad, good)) in bins.iter().zip(counts) {
        near(name, &bin["bad"], *bad, 0.0);
        near(name, &bin["good"], *good, 0.0);
        let woe = (bad / bads / (good / goods)).ln();
        near(name, &bin["woe"], sign * woe, 1e-9);
        iv += (bad / bads - good / goods) * woe;
    }
    near(name, &feature["iv"], iv, 1e-9);
    let labels = bins
        .iter()
        .map(|bin| bin["bin"].as_str().expect("a label").to_owned());
    labels.collect()
}

pub(crate) fn fitted() -> Vec<Customer> {
    customers().into_iter().filter(|row| !row.is_test).collect()
}

/// Bins of both numbers and of the text are those of the rows that are fitted, and rows with missing values are evaluated too.
fn check_card(found: &Value, rows: &[Customer], is_left: bool) {
    let ordinary = rows
        .iter()
        .filter_map(|row| row.x)
        .filter(|x| *x != SPECIAL);
    let cuts = quartiles(ordinary.collect());
    let cuts_of_z = quartiles(rows.iter().filter_map(|row| row.z).collect());
    assert_eq!(found["n_used"], rows.len());
    let bin = |cuts: &[f64], value: Option<f64>| match value {
        None => cuts.len() + 2,
        Some(SPECIAL) => cuts.len() + 1,
        Some(value) => cuts
            .iter()
            .filter(|cut| **cut < value || (is_left && **cut == value))
            .count(),
    };
    let sign = if is_left { -1.0 } else { 1.0 };
    let counts = counted(
        rows.iter().map(|row| (row, bin(&cuts, row.x))),
        cuts.len() + 3,
    );
    let labels = check_bins(found, "x", &counts, sign);
    assert_eq!(labels[labels.len() - 2..], ["-999", "missing"]);
    assert_eq!(labels[0].starts_with('['), is_left, "{labels:?}");
    let counts = counted(
        rows.iter().map(|row| (row, bin(&cuts_of_z, row.z))),
        cuts_of_z.len() + 3,
    );
    check_bins(found, "z", &counts, sign);
    let of_kind = |row: &Customer| match row.group {
        Some("a") => 0,
        Some(_) => 1,
        None => 2,
    };
    let counts = counted(rows.iter().map(|row| (row, of_kind(row))), 3);
    assert_eq!(
        check_bins(found, "kind", &counts, sign),
        ["a", "b", "missing"]
    );
    // Rows with missing values are evaluated as well.
    let tested = customers();
    let n_bad = tested
        .iter()
        .filter(|row| row.is_test && row.is_bad)
        .count();
    assert_eq!(found["fit"]["n_bad"], n_bad);
    let coefficients: Vec<f64> = found["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .skip(1)
        .filter_map(|row| row[1].as_f64())
        .collect();
    assert!(
        !coefficients.is_empty() && coefficients.iter().all(|c| c * sign > 0.0),
        "{coefficients:?}"
    );
}

/// Of a scorecard over the rows of two banks missing values have a bin, and so has each special value; cuts lie between the other
/// values of both banks, closed at the end that the job says, and weights have its sign.
#[test]
fn missing_and_special_values_have_bins_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = banks(home);
    let train = format!(
        "tables = [\"bank_1.loans\", \"bank_2.loans\"]\nfeatures = [\"x\", \"z\", \"kind\"]\nmissing = \"bin\"\n{SAMPLE}\nreport = [\"coef\", \"auc\"]\n\
         [compute.train.categorical]\nkind = [\"a\", \"b\"]\n[compute.train.scorecard]\nbins = 4\niv_least = 0\n[compute.train.scorecard.special]\nx = [-999]"
    );
    let rows = fitted();
    for (text, is_left) in [
        (train.clone(), false),
        (
            train.replace(
                "bins = 4\n",
                "bins = 4\nclosed = \"left\"\nwoe = \"good_over_bad\"\n",
            ),
            true,
        ),
    ] {
        let text = job("scorecard", &text, 5);
        let found = run((home, &parties), &text, &["--json"]).expect(0).json()["result"].clone();
        check_card(&found, &rows, is_left);
    }
    // The bins of special values are so small that no count of them is told.
    let text = job("scorecard", &train, 40);
    let said = run((home, &parties), &text, &[]).expect(1).stderr;
    assert!(said.contains("bad rows in which x is -999"), "{said}");
}

/// The score equations of a logistic model: every column is orthogonal to what the model leaves of the labels.
fn check_score(found: &Value, columns: &[Vec<f64>], labels: &[f64]) {
    let rows = found["rows"].as_array().expect("rows");
    let coefficients: Vec<f64> = rows
        .iter()
        .map(|row| row[1].as_f64().expect("a number"))
        .collect();
    assert_eq!(coefficients.len(), columns.len());
    let risks = (0..labels.len()).map(|i| {
        let linear: f64 = columns
            .iter()
            .zip(&coefficients)
            .map(|(c, b)| c[i] * b)
            .sum();
        1.0 / (1.0 + (-linear).exp())
    });
    let left: Vec<f64> = risks.zip(labels).map(|(p, y)| y - p).collect();
    for (i, column) in columns.iter().enumerate() {
        let sum: f64 = column.iter().zip(&left).map(|(x, e)| x * e).sum();
        assert!(sum.abs() < 1e-6, "column {i}: {sum}");
    }
}

/// Missing values of a regression are filled by the mean or median of both banks' rows or by a number, and a column says where: the
/// coefficients are those of the design filled so in the clear.
#[test]
fn missing_values_of_regressions_are_filled_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = banks(home);
    let rows_of = "rows = \"SELECT NULLIF(x, -999) AS x, z, CASE WHEN kind = 'a' THEN 1 WHEN kind = 'b' THEN 0 END AS k, bad, sample FROM (SELECT * FROM bank_1.loans UNION ALL SELECT * FROM bank_2.loans) t\"";
    let train = format!(
        "{rows_of}\nfeatures = [\"x\", \"z\", \"k\"]\nmissing = {{ x = \"mean\", z = \"median\", k = 0.5 }}\nmissing_indicator = [\"x\", \"k\"]\n\
         sample = {{ column = \"sample\", train = \"train\" }}\nreport = [\"coef\"]"
    );
    let found = run((home, &parties), &job("logistic", &train, 5), &["--json"]).expect(0);
    let found = found.json()["result"].clone();
    let rows = fitted();
    assert_eq!(found["n_used"], rows.len());
    let x = |row: &Customer| row.x.filter(|x| *x != SPECIAL);
    let there: Vec<f64> = rows.iter().filter_map(x).collect();
    let mean = there.iter().sum::<f64>() / there.len() as f64;
    let mut of_z: Vec<f64> = rows.iter().filter_map(|row| row.z).collect();
    of_z.sort_by(f64::total_cmp);
    let median = (of_z[(of_z.len() - 1) / 2] + of_z[of_z.len() / 2]) / 2.0;
    let filled = &found["fit"]["filled"];
    near("the mean", &filled[0]["value"], mean, 1e-9);
    near("the median", &filled[1]["value"], median, 0.0);
    assert_eq!(filled[0]["missing"], rows.len() - there.len());
    let column = |of: &dyn Fn(&Customer) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
    let k = |row: &Customer| row.group.map(|group| f64::from(u8::from(group == "a")));
    let flag = |is: bool| f64::from(u8::from(is));
    let columns = [
        column(&|_| 1.0),
        column(&|row| x(row).unwrap_or(mean)),
        column(&|row| flag(x(row).is_none())),
        column(&|row| row.z.unwrap_or(median)),
        column(&|row| k(row).unwrap_or(0.5)),
        column(&|row| flag(k(row).is_none())),
    ];
    assert_eq!(found["rows"][2][0], "x is missing");
    check_score(&found, &columns, &column(&|row| flag(row.is_bad)));
    // Without a rule such rows are left out.
    let dropped = train.replace(
        "missing = { x = \"mean\", z = \"median\", k = 0.5 }\nmissing_indicator = [\"x\", \"k\"]\n",
        "",
    );
    let found = run((home, &parties), &job("logistic", &dropped, 5), &["--json"]).expect(0);
    let is_whole = |row: &&Customer| x(row).is_some() && row.z.is_some() && row.group.is_some();
    assert_eq!(
        found.json()["result"]["n_used"],
        rows.iter().filter(is_whole).count()
    );
    for (from, to, word) in [
        ("k = 0.5", "k = \"bin\"", "is not a rule of this model"),
        ("x = \"mean\"", "w = \"mean\"", "is none of the features"),
        (
            "[\"x\", \"k\"]",
            "[\"y\"]",
            "no feature whose missing values are filled in",
        ),
    ] {
        let text = job("logistic", &train.replace(from, to), 5);
        let said = run((home, &parties), &text, &[]).expect(2).stderr;
        assert!(said.contains(word), "{said}");
    }
}

/// Over a join special values have bins too, of which the holder of the feature says where they are.
#[test]
fn special_values_over_a_join_have_bins_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let customers = customers();
    let mut words = Vec::new();
    let table = |of: &dyn Fn(usize, &Customer) -> String| -> String {
        customers
            .iter()
            .enumerate()
            .map(|(i, row)| of(i, row))
            .collect()
    };
    let loans = table(&|i, row| format!("c{i},{}\n", u8::from(row.is_bad)));
    let bills = table(&|i, row| format!("c{i},{}\n", cell(row.x)));
    for (name, text) in [
        ("bank_a", format!("id,bad\n{loans}")),
        ("bank_b", format!("id,x\n{bills}")),
        ("arbiter", String::new()),
    ] {
        let directory = home.join(name);
        fs::create_dir_all(&directory).expect("a directory");
        if !text.is_empty() {
            fs::write(directory.join("rows.csv"), text).expect("a table");
        }
        words.extend(["--party".to_owned(), party(name, &directory)]);
    }
    let text = "job = \"special\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.train]\nmodel = \"scorecard\"\npartition = \"vertical\"\n\
         label = \"bank_a.rows.bad\"\nfeatures = [\"bank_b.rows.x\"]\nkey = \"id\"\nreport = [\"coef\"]\n\
         [compute.train.scorecard]\nbins = 4\niv_least = 0\nwoe = \"good_over_bad\"\n[compute.train.scorecard.special]\n\"bank_b.rows.x\" = [-999]\n\
         [privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 5\n";
    let found = run((home, &words), text, &["--json"]).expect(0).json()["result"].clone();
    let ordinary = customers
        .iter()
        .filter_map(|row| row.x)
        .filter(|x| *x != SPECIAL);
    let cuts = quartiles(ordinary.collect());
    let bin = |row: &Customer| match row.x {
        None => cuts.len() + 2,
        Some(SPECIAL) => cuts.len() + 1,
        Some(value) => cuts.iter().filter(|cut| **cut < value).count(),
    };
    let counts = counted(customers.iter().map(|row| (row, bin(row))), cuts.len() + 3);
    let labels = check_bins(&found, "x", &counts, -1.0);
    assert_eq!(labels[labels.len() - 2..], ["-999", "missing"]);
}

/// The figures are those of plain Python on the pooled rows that are fitted: Newton's method over columns of which -2 is taken for missing.
#[test]
fn a_model_with_filled_columns_is_that_of_the_pooled_rows() {
    let task = "credit_taiwan:/horizontal/pooled";
    let Some((found, _)) = fitted_by(BANKS, "train-missing.toml", &[], task) else {
        return;
    };
    let filled = &found["fit"]["filled"];
    near("the mean", &filled[0]["value"], 0.17504068882238671, 1e-9);
    near("the median", &filled[1]["value"], 0.0, 0.0);
    assert_eq!(
        (&filled[0]["missing"], &filled[1]["missing"]),
        (&1925.into(), &2644.into())
    );
    let model = [
        (-1.4068735643102888, 0.01996713056725319),
        (-0.2441373977001924, 0.020841086903364385),
        (0.09586675569735448, 0.017581047607884762),
        (0.6242129797452306, 0.022881947747726204),
        (-0.24509956351230244, 0.07021348026834924),
        (0.22524911790838886, 0.021766549338299548),
    ];
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), model.len());
    for (row, (coefficient, error)) in rows.iter().zip(model) {
        near("a coefficient", &row[1], coefficient, 1e-8);
        near("an error", &row[2], error, 1e-8);
    }
}
