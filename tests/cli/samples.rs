//! Rows out of time: a third sample, of which the same figures are told as of that which is kept for a test, against
//! these figures computed in the clear here.

use crate::parts::run;
use crate::run::{entente, party};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A customer of a day: two numbers, and whether it turned out bad.
pub(crate) struct Loan {
    pub(crate) x: f64,
    pub(crate) z: f64,
    pub(crate) is_bad: bool,
    pub(crate) sample: &'static str,
}

fn noise(i: u32) -> f64 {
    ((f64::from(i) * 12.9898).sin() * 43_758.545).fract().abs()
}

/// Customers of the last quarters, among whom x is greater than before; of the second of them nobody is asked.
pub(crate) fn loans() -> Vec<Loan> {
    let of = |i: u32| {
        let sample = match i % 8 {
            0 | 1 => "test",
            2 => "2005-Q3",
            3 => "2005-Q4",
            4 => "2006-Q1",
            _ => "train",
        };
        let risk = noise(i);
        let shift = if sample.starts_with("2005") { 0.4 } else { 0.0 };
        Loan {
            x: ((risk + noise(i + 10_000) + shift) * 1e4).round() / 1e4,
            z: (7.0 * noise(i + 20_000) + 3.0 * risk).floor(),
            is_bad: noise(i + 60_000) < 0.15 + 0.6 * risk,
            sample,
        }
    };
    (0..1600).map(of).collect()
}

/// Two banks with customers of their own, as words of a command.
fn banks(home: &Path) -> Vec<String> {
    let loans = loans();
    let (first, second) = loans.split_at(900);
    let line = |row: &Loan| {
        let (x, z, bad) = (row.x, row.z, u8::from(row.is_bad));
        format!("{x},{z},{bad},{}", row.sample)
    };
    let table = |rows: &[Loan]| {
        let rows: Vec<String> = rows.iter().map(line).collect();
        format!("x,z,bad,sample\n{}\n", rows.join("\n"))
    };
    let tables = [("bank_1", table(first)), ("bank_2", table(second))];
    written(home, &tables)
}

/// A bank with labels and one number, and a bureau with the other, of the same customers but for some.
fn partners(home: &Path) -> Vec<String> {
    let (mut bank, mut bureau) = ("id,x,bad,sample\n".to_owned(), "id,z\n".to_owned());
    for (id, row) in loans().iter().enumerate() {
        let (x, z, bad) = (row.x, row.z, u8::from(row.is_bad));
        writeln!(bank, "P{id},{x},{bad},{}", row.sample).expect("a String takes all");
        writeln!(bureau, "P{id},{z}").expect("a String takes all");
    }
    for id in 5000..5040 {
        writeln!(bureau, "P{id},3").expect("a String takes all");
    }
    written(home, &[("bank_1", bank), ("bureau", bureau)])
}

fn written(home: &Path, tables: &[(&str, String)]) -> Vec<String> {
    let mut words = Vec::new();
    let dealer = ("arbiter", String::new());
    for (name, text) in tables.iter().chain([&dealer]) {
        let directory = home.join(name);
        fs::create_dir_all(&directory).expect("a directory");
        if !text.is_empty() {
            fs::write(directory.join("loans.csv"), text).expect("a table");
        }
        words.extend(["--party".to_owned(), party(name, &directory)]);
    }
    words
}

const OOT: &str = "oot = [\"2005-Q3\", \"2005-Q4\"]";
const REPORT: &str = "report = [\"auc\", \"gini\", \"ks\", \"logloss\", \"brier\", \"lift\", \"calibration\", \"confusion\", \"psi\"]";

/// A job over the rows of both banks.
pub(crate) fn horizontal(model: &str, more: &str) -> String {
    let sample =
        format!("sample = {{ column = \"sample\", train = \"train\", test = \"test\", {OOT} }}");
    let tables =
        "tables = [\"bank_1.loans\", \"bank_2.loans\"]\nlabel = \"bad\"\nfeatures = [\"x\", \"z\"]";
    with(model, "horizontal", &format!("{tables}\n{sample}\n{more}"))
}

/// A job over the columns of bank and bureau.
pub(crate) fn vertical(model: &str, more: &str) -> String {
    let sample = format!(
        "sample = {{ column = \"bank_1.loans.sample\", train = \"train\", test = \"test\", {OOT} }}"
    );
    let columns = "label = \"bank_1.loans.bad\"\nfeatures = [\"bank_1.loans.x\", \"bureau.loans.z\"]\nkey = \"id\"";
    with(model, "vertical", &format!("{columns}\n{sample}\n{more}"))
}

fn with(model: &str, partition: &str, of: &str) -> String {
    format!(
        "job = \"times\"\npurpose = \"test\"\nreceivers = [\"bank_1\"]\n[compute.train]\nmodel = \"{model}\"\n\
         partition = \"{partition}\"\n{of}\n[privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 5\n"
    )
}

/// The same job with counts of any number of rows: of three cuts some may lie close together.
fn with_any_cell(job: &str) -> String {
    job.replace("min_cell = 5", "min_cell = 1")
}

/// What comes of a job: over rows, or over a join.
pub(crate) fn found(job: &str) -> Value {
    let home = tempfile::tempdir().expect("a directory");
    let parties = match job.contains("\"vertical\"") {
        true => partners(home.path()),
        false => banks(home.path()),
    };
    let ended = run((home.path(), &parties), job, &["--json"]);
    ended.expect(0).json()["result"].clone()
}

#[track_caller]
fn near(what: &str, found: &Value, expected: f64, bound: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what}: {found}"));
    assert!(
        (found - expected).abs() <= bound,
        "{what}: {found} instead of {expected}"
    );
}

pub(crate) fn of_sample(loans: &[Loan], sample: &str) -> Vec<usize> {
    let is = |row: &Loan| match sample {
        "oot" => row.sample.starts_with("2005"),
        sample => row.sample == sample,
    };
    (0..loans.len()).filter(|row| is(&loans[*row])).collect()
}

/// Shares of rows between tenths of the fitted rows' scores, none below 10⁻⁴, compared.
fn stability(base: &[f64], scores: &[f64]) -> f64 {
    let shares = |scores: &[f64]| {
        let mut cells = [0.0; 10];
        for score in scores {
            let greater = base.iter().filter(|b| *b > score).count();
            let cell = (1..10).find(|k| 10 * greater <= k * (base.len() - 1));
            cells[cell.unwrap_or(10) - 1] += 1.0 / scores.len() as f64;
        }
        cells
    };
    let pairs = shares(base).into_iter().zip(shares(scores));
    let pairs = pairs.map(|(e, a)| (e.max(1e-4), a.max(1e-4)));
    pairs.map(|(e, a)| (a - e) * (a / e).ln()).sum()
}

/// The figures of a sample, of scores in the clear.
fn check_sample(fit: &Value, loans: &[Loan], scores: &[f64], sample: &str) {
    let rows = of_sample(loans, sample);
    let of = |is_bad: bool| -> Vec<f64> {
        let rows = rows.iter().filter(|row| loans[**row].is_bad == is_bad);
        rows.map(|row| scores[*row]).collect()
    };
    let (bad, good) = (of(true), of(false));
    near(sample, &fit["n_bad"], bad.len() as f64, 0.0);
    near(sample, &fit["n_good"], good.len() as f64, 0.0);
    let half = |b: &f64, g: &f64| match b.partial_cmp(g) {
        Some(std::cmp::Ordering::Greater) => 1.0,
        Some(std::cmp::Ordering::Equal) => 0.5,
        _ => 0.0,
    };
    let pairs = bad
        .iter()
        .flat_map(|b| good.iter().map(move |g| half(b, g)));
    let auc = pairs.sum::<f64>() / (bad.len() * good.len()) as f64;
    near("auc", &fit["auc"], auc, 5e-4);
    near("gini", &fit["gini"], 2.0 * auc - 1.0, 1e-3);
    let part =
        |of: &[f64], at: f64| of.iter().filter(|s| **s <= at).count() as f64 / of.len() as f64;
    let distances = bad.iter().chain(&good);
    let distances = distances.map(|at| (part(&bad, *at) - part(&good, *at)).abs());
    near("ks", &fit["ks"], distances.fold(0.0, f64::max), 5e-3);
    let risk = |score: &f64| 1.0 / (1.0 + (-score).exp());
    let squares = bad.iter().map(|s| (1.0 - risk(s)).powi(2));
    let squares = squares.chain(good.iter().map(|s| risk(s).powi(2)));
    near(
        "brier",
        &fit["brier"],
        squares.sum::<f64>() / rows.len() as f64,
        1e-4,
    );
    if sample != "train" {
        let base: Vec<f64> = of_sample(loans, "train")
            .into_iter()
            .map(|row| scores[row])
            .collect();
        let of_this: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
        let psi = stability(&base, &of_this);
        near("psi", &fit["psi"]["psi"], psi, 5e-3);
        // Who came later differs from those of the fit, and who is kept for a test does not.
        assert_eq!(psi > 0.1, sample == "oot", "{sample}: {psi}");
    }
    let deciles = fit["calibration"]["deciles"].as_array().expect("deciles");
    let n: f64 = deciles.iter().map(|d| d["n"].as_f64().expect("rows")).sum();
    assert_eq!(n, rows.len() as f64);
    check_buckets(fit, loans, (&rows, scores));
    assert_eq!(fit["confusion"].as_array().expect("matrices").len(), 3);
    assert!(fit["lift"]["lift"].as_f64().expect("lift") > 1.0);
}

/// The distance at the ends of ten buckets of rows by score, which may part scores that agree but for rounding.
fn check_buckets(fit: &Value, loans: &[Loan], (rows, scores): (&[usize], &[f64])) {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let count = |rows: &[usize]| rows.iter().filter(|row| loans[**row].is_bad).count() as f64;
    let bad = count(&rows);
    let good = rows.len() as f64 - bad;
    let distance = |tenth: usize| {
        // As quantiles of type 7 part ranks.
        let up_to = &rows[..=(rows.len() - 1) * tenth / 10];
        let of_bad = count(up_to);
        (of_bad / bad - (up_to.len() as f64 - of_bad) / good).abs()
    };
    let expected = (1..10).map(distance).fold(0.0, f64::max);
    let found = &fit["calibration"]["ks_of_deciles"];
    near("ks of deciles", found, expected, 6e-3);
    let [found, exact] = [found, &fit["ks"]].map(|of| of.as_f64().expect("a number"));
    assert!(found <= exact + 1e-12, "{fit}");
}

/// The coefficients of a result: intercept, x and z.
fn coefficients(found: &Value) -> Vec<f64> {
    let rows = found["rows"].as_array().expect("rows");
    let values = rows.iter().map(|row| row[1].as_f64().expect("a number"));
    values.collect()
}

#[test]
fn rows_out_of_time_are_evaluated_over_the_rows_of_several_holders() {
    let loans = loans();
    let more = format!("evaluate = [\"train\", \"test\"]\n{REPORT}");
    let found = found(&with_any_cell(&horizontal("logistic", &more)));
    let beta = coefficients(&found);
    let scores = loans
        .iter()
        .map(|l| beta[0] + beta[1] * l.x + beta[2] * l.z);
    let scores: Vec<f64> = scores.collect();
    let fit = &found["fit"];
    check_sample(fit, &loans, &scores, "test");
    check_sample(&fit["train"], &loans, &scores, "train");
    check_sample(&fit["oot"], &loans, &scores, "oot");
    check_page(&found);
}

/// The page of a result has the samples beside each other.
fn check_page(found: &Value) {
    let home = tempfile::tempdir().expect("a directory");
    let [result, page] = ["result.json", "report.html"].map(|name| home.path().join(name));
    fs::write(&result, json!({ "result": found }).to_string()).expect("a file");
    let [from, to] = [&result, &page].map(|file| file.display().to_string());
    entente(["job", "report", &from, "--out", &to]).expect(0);
    let text = fs::read_to_string(&page).expect("a page");
    for words in [
        "Figures by sample",
        "Calibration: fitted",
        "Calibration: out of time",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for axis in [
        "share of bad rows",
        "bad rows, share",
        "deciles, the worst first",
        "share of rows",
    ] {
        assert!(text.contains(axis), "{axis}: {text}");
    }
}

#[test]
fn rows_out_of_time_are_evaluated_over_a_join() {
    let loans = loans();
    let found = found(&with_any_cell(&vertical("logistic", REPORT)));
    let beta = coefficients(&found);
    let train = of_sample(&loans, "train");
    let measured = |value: &dyn Fn(&Loan) -> f64| {
        let n = train.len() as f64;
        let mean = train.iter().map(|row| value(&loans[*row])).sum::<f64>() / n;
        let squares = train.iter().map(|row| (value(&loans[*row]) - mean).powi(2));
        (mean, (squares.sum::<f64>() / n).sqrt())
    };
    let (x, z) = (measured(&|l| l.x), measured(&|l| l.z));
    let score = |l: &Loan| beta[0] + beta[1] * (l.x - x.0) / x.1 + beta[2] * (l.z - z.0) / z.1;
    let scores: Vec<f64> = loans.iter().map(score).collect();
    check_sample(&found["fit"], &loans, &scores, "test");
    check_sample(&found["fit"]["oot"], &loans, &scores, "oot");
    assert!(found["fit"]["train"].is_null(), "nobody asked for it");
}

/// Trees have a row for each sample in their result.
#[test]
fn trees_are_evaluated_out_of_time() {
    let loans = loans();
    let trees = "n_trees = 2\ndepth = 2\nbins = 8\nmin_child_weight = 2\nreport = [\"auc\", \"ks\", \"psi\"]";
    for job in [horizontal("gbdt", trees), vertical("gbdt", trees)] {
        let found = found(&job);
        let rows = found["rows"].as_array().expect("rows");
        let names = ["train", "test", "oot"];
        assert_eq!(rows.len(), names.len());
        for (row, name) in rows.iter().zip(names) {
            assert_eq!(row[0], name);
            let sample = of_sample(&loans, name);
            let n_bad = sample.iter().filter(|row| loans[**row].is_bad).count();
            assert_eq!(row[1], n_bad);
            assert_eq!(row[2], sample.len() - n_bad);
        }
        let of_test = found["fit"]["psi"]["psi"].as_f64().expect("a figure");
        let of_oot = found["fit"]["oot"]["psi"]["psi"]
            .as_f64()
            .expect("a figure");
        assert!(of_oot > of_test, "{found}");
    }
}

/// A job that names rows out of time where it cannot is refused, with words that say so.
#[test]
fn rows_out_of_time_need_a_test_figures_and_a_value_of_their_own() {
    let good = horizontal("logistic", "report = [\"auc\"]");
    for (old, new, words) in [
        ("test = \"test\", ", "", "no rows are kept for a test"),
        (
            "\"2005-Q3\", ",
            "\"train\", ",
            "is the value of another sample",
        ),
        ("\"2005-Q3\", ", "\"2005-Q4\", ", "lists \"2005-Q4\" twice"),
        ("[\"auc\"]", "[\"coef\"]", "asks for no figures of scores"),
    ] {
        for job in [good.clone(), vertical("logistic", "report = [\"auc\"]")] {
            assert!(job.contains(old), "{job}");
            let home = tempfile::tempdir().expect("a directory");
            let parties = banks(home.path());
            let ended = run((home.path(), &parties), &job.replace(old, new), &[]);
            let said = ended.expect(2).stderr;
            assert!(said.contains(words), "{said}");
        }
    }
}

/// How far a sample is spread over the bins (a, b] between cuts otherwise than the fitted rows.
fn spread(loans: &[Loan], sample: &str, (value, cuts): (fn(&Loan) -> f64, &[f64])) -> f64 {
    let parts = |sample: &str| {
        let rows = of_sample(loans, sample);
        let mut parts = vec![0.0; cuts.len() + 1];
        for row in &rows {
            let bin = cuts.iter().filter(|cut| **cut < value(&loans[*row]));
            parts[bin.count()] += 1.0 / rows.len() as f64;
        }
        parts
    };
    let pairs = parts("train").into_iter().zip(parts(sample));
    let pairs = pairs.map(|(e, a)| (e.max(1e-4), a.max(1e-4)));
    pairs.map(|(e, a)| (a - e) * (a / e).ln()).sum()
}

const CUTS_OF_X: &[f64] = &[0.65, 0.9, 1.1, 1.4];
const CUTS_OF_Z: &[f64] = &[2.0, 4.0, 6.0];

/// A scorecard with these cuts.
fn card(is_joined: bool, more: &str) -> String {
    let [x, z] = match is_joined {
        true => ["\"bank_1.loans.x\"", "\"bureau.loans.z\""],
        false => ["x", "z"],
    };
    let card = format!(
        "{more}\nreport = [\"auc\", \"psi\", \"csi\"]\n[compute.train.scorecard]\nbins = 4\niv_least = 0\n\
         [compute.train.scorecard.cuts]\n{x} = {CUTS_OF_X:?}\n{z} = {CUTS_OF_Z:?}\n"
    );
    match is_joined {
        true => vertical("scorecard", &card),
        false => horizontal("scorecard", &card),
    }
}

#[test]
fn features_are_as_stable_as_their_bins_say() {
    let loans = loans();
    for is_joined in [false, true] {
        let found = found(&card(is_joined, "evaluate = [\"train\", \"test\"]"));
        let fit = &found["fit"];
        for (told, sample) in [(&fit["csi"], "test"), (&fit["oot"]["csi"], "oot")] {
            let told = told.as_array().expect("an index of each feature");
            assert_eq!(told.len(), 2, "{fit}");
            for (told, name, value, cuts) in [
                (&told[0], "x", (|l| l.x) as fn(&Loan) -> f64, CUTS_OF_X),
                (&told[1], "z", |l| l.z, CUTS_OF_Z),
            ] {
                assert_eq!(told["feature"], name);
                let expected = spread(&loans, sample, (value, cuts));
                near(name, &told["csi"], expected, 1e-4);
                // x alone has changed, and for those out of time alone.
                assert_eq!(expected > 0.1, name == "x" && sample == "oot", "{expected}");
            }
        }
        assert!(
            fit["train"]["csi"].is_null(),
            "rows are not compared with themselves"
        );
    }
}

/// A bin with a few rows of a sample keeps its feature's index back, and a note says so.
#[test]
fn a_small_bin_keeps_a_features_index_back() {
    let loans = loans();
    let least = |sample: &str| {
        let rows = of_sample(&loans, sample);
        let mut counts = vec![0; CUTS_OF_X.len() + 1];
        for row in rows {
            counts[CUTS_OF_X.iter().filter(|cut| **cut < loans[row].x).count()] += 1;
        }
        counts.into_iter().filter(|n| *n > 0).min().expect("rows")
    };
    // Fitted rows suffice, bad and good ones too; rows out of time do not.
    let min_cell = least("oot") + 1;
    let job = card(false, "").replace("min_cell = 5", &format!("min_cell = {min_cell}"));
    let found = found(&job);
    let csi = &found["fit"]["oot"]["csi"];
    assert!(csi[0]["csi"].is_null() && csi[1]["csi"].is_f64(), "{csi}");
    let notes = found["notes"].to_string();
    assert!(
        notes.contains("csi of x is not told of rows out of time"),
        "{notes}"
    );
}

#[test]
fn models_without_bins_have_no_index_of_features() {
    let job = horizontal("logistic", "report = [\"auc\", \"csi\"]");
    let merged = card(true, "").replace("bins = 4", "bins = 4\nmethod = \"chimerge\"");
    for (job, words) in [
        (job, "of a model that has none"),
        (merged, "and the scorecard merges them"),
    ] {
        let home = tempfile::tempdir().expect("a directory");
        let parties = banks(home.path());
        let said = run((home.path(), &parties), &job, &[]).expect(2).stderr;
        assert!(said.contains(words), "{said}");
    }
}
