//! Parts of models, and scores by them, over the bundled customers: every score is that of the parts.

use crate::run::{Ended, entente, party, root};
use crate::vertical::numbers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[track_caller]
fn near(what: &str, found: &Value, expected: f64, bound: f64) {
    let found = found.as_f64().expect("a number");
    assert!(
        (found - expected).abs() <= bound,
        "{what}: {found} instead of {expected}"
    );
}

/// The bundled customers, whose directories may hold parts of a model; without policies, so that all is allowed.
pub(crate) fn bundled(directory: &Path) -> Vec<String> {
    let parties = [
        ("bank_a", "loans.csv"),
        ("bank_b", "bills.csv"),
        ("bureau_c", "persons.csv"),
    ];
    let mut words = Vec::new();
    for (name, file) in parties {
        let home = directory.join(name);
        fs::create_dir_all(&home).expect("a directory");
        let from = root().join("examples/data/credit_taiwan").join(name);
        fs::copy(from.join(file), home.join(file)).expect("a table");
        words.extend(["--party".to_owned(), party(name, &home)]);
    }
    let arbiter = directory.join("arbiter");
    fs::create_dir_all(&arbiter).expect("a directory");
    words.extend(["--party".to_owned(), party("arbiter", &arbiter)]);
    words
}

/// Simulates a job with these parties.
pub(crate) fn run((home, parties): (&Path, &[String]), text: &str, more: &[&str]) -> Ended {
    let file = home.join("job.toml");
    fs::write(&file, text).expect("a file");
    let words = ["simulate".to_owned(), file.display().to_string()];
    let more = more.iter().map(|word| (*word).to_owned());
    entente(words.into_iter().chain(parties.iter().cloned()).chain(more))
}

/// A party's part in one of its directories, and its file.
pub(crate) fn part(directory: &Path, name: &str, within: &str) -> (PathBuf, Value) {
    let mut files = fs::read_dir(directory.join(name).join(within)).expect("parts");
    let file = files.next().expect("a part").expect("an entry").path();
    let text = fs::read_to_string(&file).expect("a part");
    let part: Value = serde_json::from_str(&text).expect("JSON");
    (file, part["part"].clone())
}

/// Trains, and puts every party's part where it is looked for; returns the result.
fn trained(home: &Path, parties: &[String], text: &str, names: &[&str]) -> Value {
    let out = home.join("out");
    let more = ["--json", "--out", out.to_str().expect("UTF-8")];
    let found = run((home, parties), text, &more).expect(0).json()["result"].clone();
    for name in names {
        let from = out.join("models").join(name);
        fs::rename(from, home.join(name).join("models")).expect("parts");
    }
    found
}

/// The names of a table's columns, and its rows by key.
fn table(home: &Path, name: &str, file: &str) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let text = fs::read_to_string(home.join(name).join(file)).expect("a table");
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<String>>();
    let mut lines = text.lines();
    let header = cells(lines.next().expect("a header"));
    let rows = lines.map(|line| (cells(line)[0].clone(), cells(line)));
    (header, rows.collect())
}

/// What a row gets by a part: of each feature its name, its points, and those of its best bin that had rows.
fn points_of(part: &Value, header: &[String], row: &[String]) -> Vec<(String, f64, f64)> {
    let features = part["features"].as_array().expect("features").iter();
    let points = features.map(|feature| {
        let name = feature["feature"].as_str().expect("a name");
        let column = header.iter().position(|column| column == name);
        let value: f64 = row[column.expect("a column")].parse().expect("a number");
        let cuts = numbers(&feature["cuts"]);
        let bin = cuts.iter().filter(|cut| **cut < value).count();
        let bins = feature["bins"].as_array().expect("bins");
        let points = |bin: &Value| bin["points"].as_f64().expect("points");
        let has_rows = |bin: &&Value| bin["bad"] != 0 || bin["good"] != 0;
        let best = bins
            .iter()
            .filter(has_rows)
            .map(points)
            .fold(f64::MIN, f64::max);
        let table = feature["table"].as_str().expect("a table");
        (format!("{table}.{name}"), points(&bins[bin]), best)
    });
    points.collect()
}

/// One small model over the bundled customers, scored with: every score is that of the parts, its reasons are the features
/// that lie furthest below their best bins, and a part that was changed is refused.
#[test]
fn scores_are_those_of_the_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = bundled(home);
    let features = [
        "\"bank_a.loans.pay_1\"",
        "\"bank_b.bills.pay_amt1\", \"bank_b.bills.pay_amt2\"",
    ];
    let train = format!(
        "job = \"small\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.train]\nmodel = \"scorecard\"\npartition = \"vertical\"\n\
         label = \"bank_a.loans.default_next_month\"\nfeatures = [{}, {}]\nkey = \"id_no\"\nsteps = 5\nreport = [\"coef\"]\n\
         [privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 11\n",
        features[0], features[1]
    );
    trained(home, &parties, &train, &["bank_a", "bank_b"]);
    let (_, mine) = part(home, "bank_a", "models");
    let (file, theirs) = part(home, "bank_b", "models");
    assert_eq!(mine["model"], theirs["model"]);
    let score = format!(
        "job = \"scores\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.score]\nmodel = {}\nrows = \"bank_a.loans\"\nfeatures = [{}, {}]\n\
         key = \"id_no\"\nreasons = 2\n[privacy]\ncorrelations = \"dealer:arbiter\"\n",
        mine["model"], features[0], features[1]
    );
    let run = |text: &str, more: &[&str]| run((home, &parties), text, more);
    let found = run(&score, &["--json"]).expect(0).json()["result"].clone();
    check_scores_of_parts(home, &found, (&mine, &theirs));
    let asked = score
        .replace("key = ", "trees = { n_trees = 2, depth = 2 }\nkey = ")
        .replace("reasons = 2\n", "");
    let said = run(&asked, &[]).expect(1).stderr;
    assert!(said.contains("has no trees that score"), "{said}");
    let text = fs::read_to_string(&file).expect("a part");
    fs::write(&file, text.replacen("\"bad\": ", "\"bad\": 1", 1)).expect("written");
    let said = run(&score, &[]).expect(1).stderr;
    assert!(
        said.contains("bank_b: its part of the model was changed"),
        "{said}"
    );
    let other = score.replace(mine["model"].as_str().expect("an id"), &"ab".repeat(32));
    let said = run(&other, &[]).expect(1).stderr;
    assert!(
        said.contains("this party has no part of the model"),
        "{said}"
    );
}

/// Receivers have the other holder's bins as that holder's part has them; or know their numbers alone.
#[test]
fn a_scorecard_that_is_published_has_all_bins() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = bundled(home);
    let job = |publish: &str| {
        format!(
            "job = \"small\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.train]\nmodel = \"scorecard\"\npartition = \"vertical\"\n\
             label = \"bank_a.loans.default_next_month\"\nfeatures = [\"bank_a.loans.pay_1\", \"bank_b.bills.pay_amt1\", \"bank_b.bills.pay_amt2\"]\n\
             key = \"id_no\"\nsteps = 5\nreport = [\"coef\"]\npublish = \"{publish}\"\n[compute.train.scorecard]\nmethod = \"chimerge\"\nfine_bins = 6\n\
             [privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 11\n"
        )
    };
    let of_b = |found: &Value| -> Vec<Value> {
        let features = found["fit"]["features"]
            .as_array()
            .expect("features")
            .iter();
        let is_of_b = |f: &&Value| f["feature"] != "pay_1";
        features.filter(is_of_b).cloned().collect()
    };
    let parts = run((home, &parties), &job("parts"), &["--json"]);
    let parts = parts.expect(0).json()["result"].clone();
    assert_eq!(parts["fit"]["published"], Value::Null);
    for feature in of_b(&parts) {
        assert_eq!(feature["cuts"], serde_json::json!([]), "{feature}");
        let label = feature["bins"][0]["bin"].as_str().expect("a bin");
        assert!(label.starts_with("bin"), "{feature}");
    }
    let found = trained(home, &parties, &job("merged"), &["bank_b"]);
    let (_, part) = part(home, "bank_b", "models");
    let published = &found["fit"]["published"];
    assert_eq!(published["model"], part["model"]);
    assert_eq!(published["contract"], part["contract"]);
    let told = of_b(&found);
    assert_eq!(told.len(), 2);
    for own in part["features"].as_array().expect("features") {
        let same = |f: &&Value| f["feature"] == own["feature"];
        let told = told.iter().find(same).expect("its feature");
        assert_eq!(told["table"], "bank_b.bills");
        assert!(!numbers(&told["cuts"]).is_empty(), "{told}");
        assert_eq!(numbers(&told["cuts"]), numbers(&own["cuts"]));
        for bin in told["bins"].as_array().expect("bins") {
            let mut all = own["bins"].as_array().expect("bins").iter();
            let own = all.find(|b| b["bin"] == bin["bin"]).expect("the same bin");
            assert_eq!(bin["bad"].as_f64(), own["bad"].as_f64());
            let points = own["points"].as_f64().expect("points");
            near("points", &bin["points"], points, 1e-6);
        }
    }
    let said = run((home, &parties), &job("all"), &[]).expect(2).stderr;
    assert!(said.contains("\"merged\""), "{said}");
    let logistic = job("merged").replace("\"scorecard\"", "\"logistic\"");
    let (logistic, _) = logistic
        .split_once("[compute.train.scorecard]")
        .expect("a table");
    let text = format!("{logistic}[privacy]\ncorrelations = \"dealer:arbiter\"\n");
    let said = run((home, &parties), &text, &[]).expect(2).stderr;
    assert!(said.contains("all coefficients"), "{said}");
}

/// Every row's score is that of both parts, of which the second counts where that holder has the key.
fn check_scores_of_parts(home: &Path, found: &Value, (mine, theirs): (&Value, &Value)) {
    let ((of_loans, loans), (of_bills, bills)) = (
        table(home, "bank_a", "loans.csv"),
        table(home, "bank_b", "bills.csv"),
    );
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), loans.len());
    let base = mine["base_points"].as_f64().expect("points");
    let (mut n_common, mut n_reasons) = (0, 0);
    for row in rows {
        let key = row[0].as_str().expect("a key");
        let mut given = points_of(mine, &of_loans, &loans[key]);
        if let Some(bill) = bills.get(key) {
            given.extend(points_of(theirs, &of_bills, bill));
            n_common += 1;
        }
        let expected = base + given.iter().map(|(_, points, _)| points).sum::<f64>();
        near("a score", &row[1], expected, 1e-4);
        let cost = |(_, points, best): &(String, f64, f64)| best - points;
        // Stable: of equal ones the first comes first.
        given.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
        let costly = given.iter().filter(|feature| cost(feature) > 1e-6);
        let reasons: Vec<&str> = costly.take(2).map(|(name, ..)| name.as_str()).collect();
        let told: Vec<&str> = [&row[2], &row[3]]
            .iter()
            .filter_map(|v| v.as_str())
            .collect();
        assert_eq!(told, reasons, "{row}");
        n_reasons += told.len();
    }
    assert!(n_common > 1000 && n_reasons > 1000);
}

/// Where a row goes in a tree, as the parts say that know the row.
fn walk(splits: &[(&Value, &[String], Option<&Vec<String>>)], (tree, depth): (u64, u32)) -> usize {
    let mut node = 0;
    for _ in 0..depth {
        let is_right = splits.iter().any(|(part, header, row)| {
            let of_part = part["splits"].as_array().expect("splits").iter();
            let mut here = of_part.filter(|s| s["tree"] == tree && s["node"] == node as u64);
            let (Some(split), Some(row)) = (here.next(), row) else {
                return false;
            };
            let column = header
                .iter()
                .position(|column| split["feature"] == column.as_str());
            let value: f64 = row[column.expect("a column")].parse().expect("a number");
            split["at_most"]
                .as_f64()
                .is_none_or(|at_most| value > at_most)
        });
        node = 2 * node + 1 + usize::from(is_right);
    }
    node + 1 - (1 << depth)
}

const FOREST: &str = "\"bank_a.loans.limit_bal\", \"bank_a.loans.pay_1\", \"bank_b.bills.pay_amt1\", \"bank_b.bills.bill_amt6\"";

/// The leaves that both parts' shares add up to.
fn leaves(parts: &[Value; 2]) -> Vec<f64> {
    let shares = |part: &Value| -> Vec<u64> {
        let leaves = part["forest"]["leaves"].as_array().expect("leaves");
        leaves
            .iter()
            .map(|leaf| leaf.as_u64().expect("a share"))
            .collect()
    };
    let pairs = shares(&parts[0]).into_iter().zip(shares(&parts[1]));
    let sums = pairs.map(|(a, b)| a.wrapping_add(b).cast_signed());
    sums.map(|leaf| leaf as f64 / f64::from(1 << 24)).collect()
}

/// Every row's margin is that of a walk; returns those of the customers kept for a test whom both know, and who is bad.
fn check_margins(home: &Path, found: &Value, parts: &[Value; 2]) -> Vec<(f64, bool)> {
    let leaves = leaves(parts);
    let start = (0.25f64 / 0.75).ln();
    let (of_loans, loans) = table(home, "bank_a", "loans.csv");
    let (of_bills, bills) = table(home, "bank_b", "bills.csv");
    let column = |name: &str| of_loans.iter().position(|c| c == name).expect("a column");
    let (label, sample) = (column("default_next_month"), column("sample"));
    let mut test = Vec::new();
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), loans.len());
    for row in rows {
        let key = row[0].as_str().expect("a key");
        let (loan, bill) = (&loans[key], bills.get(key));
        let splits = [
            (&parts[0], &of_loans[..], Some(loan)),
            (&parts[1], &of_bills[..], bill),
        ];
        let of_tree = |tree: u64| leaves[4 * tree as usize + walk(&splits, (tree, 2))];
        let margin = start + (0..3).map(of_tree).sum::<f64>();
        near("a margin", &row[1], margin, 1e-6);
        near("a risk", &row[2], 1.0 / (1.0 + (-margin).exp()), 1e-6);
        if bill.is_some() && loan[sample] == "test" {
            test.push((margin, loan[label] == "1"));
        }
    }
    test
}

/// The area under the curve, ties counted one half.
fn area(scores: &[(f64, bool)]) -> f64 {
    let of = |is_bad: bool| {
        let rows = scores.iter().filter(move |row| row.1 == is_bad);
        rows.map(|row| row.0)
    };
    let wins = of(true).flat_map(|bad| {
        of(false).map(move |good| match bad - good {
            d if d > 1e-3 => 1.0,
            d if d < -1e-3 => 0.0,
            _ => 0.5,
        })
    });
    wins.sum::<f64>() / (of(true).count() * of(false).count()) as f64
}

/// Trees over the bundled customers score: the leaves that all parts' shares add up to give every row its margin, and margins of
/// the customers kept for a test have the area under the curve that training told.
#[test]
fn trees_score_by_their_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = bundled(home);
    let train = format!(
        "job = \"small\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.train]\nmodel = \"gbdt\"\npartition = \"vertical\"\n\
         label = \"bank_a.loans.default_next_month\"\nfeatures = [{FOREST}]\nkey = \"id_no\"\nreport = [\"auc\"]\n\
         sample = {{ column = \"bank_a.loans.sample\", train = \"train\", test = \"test\" }}\n\
         n_trees = 3\ndepth = 2\nbins = 8\nbase_score = 0.25\n[compute.train.cuts]\n\"bank_a.loans.limit_bal\" = [50000, 100000, 200000]\n\
         [privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 11\n",
    );
    let names = ["bank_a", "bank_b"];
    let trained = trained(home, &parties, &train, &names);
    let parts = names.map(|name| part(home, name, "models").1);
    let score = format!(
        "job = \"scores\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.score]\nmodel = {}\nrows = \"bank_a.loans\"\nfeatures = [{FOREST}]\n\
         key = \"id_no\"\ntrees = {{ n_trees = 3, depth = 2 }}\n[privacy]\ncorrelations = \"dealer:arbiter\"\n",
        parts[0]["model"]
    );
    let run = |text: &str, more: &[&str]| run((home, &parties), text, more);
    let found = run(&score, &["--json"]).expect(0).json()["result"].clone();
    let test = check_margins(home, &found, &parts);
    let n_bad = test.iter().filter(|row| row.1).count();
    assert_eq!(trained["rows"][1][1], n_bad as u64);
    near("the area", &trained["rows"][1][3], area(&test), 1e-3);
    for (changed, word) in [
        (
            score.replace("depth = 2", "depth = 3"),
            "has 3 trees of depth 2",
        ),
        (
            score.replace(", \"bank_b.bills.bill_amt6\"", ""),
            "needs bill_amt6",
        ),
        (
            score.replace("trees = { n_trees = 3, depth = 2 }\n", ""),
            "is one of boosted trees",
        ),
    ] {
        let ended = run(&changed, &[]).expect(1);
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}
