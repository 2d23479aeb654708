//! Which features stay out of a scorecard over the rows of several holders, against the same rules in the clear.

use crate::parts::run;
use crate::run::party;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const NAMES: [&str; 5] = ["strong", "like", "weak", "gaps", "other"];
const CUTS: [f64; 3] = [0.25, 0.5, 0.75];

/// A row: five numbers, of which some are missing, and whether it is bad.
type Row = ([Option<f64>; 5], bool);

fn noise(i: u32) -> f64 {
    ((f64::from(i) * 12.9898).sin() * 43_758.545).fract().abs()
}

/// The second feature goes with the first one, the third tells nothing, and the fourth is often missing.
fn rows() -> Vec<Row> {
    let of = |i: u32| {
        let [risk, other] = [noise(i), noise(i + 10_000)];
        let like = (risk + 0.1 * noise(i + 20_000)).min(1.0);
        let gaps = (noise(i + 40_000) > 0.4).then(|| (risk + noise(i + 50_000)) / 2.0);
        let values = [
            Some(risk),
            Some(like),
            Some(noise(i + 30_000)),
            gaps,
            Some(other),
        ];
        let is_bad = noise(i + 60_000) < 0.1 + 0.4 * risk + 0.25 * other;
        (values.map(|v| v.map(|v| (v * 1e4).round() / 1e4)), is_bad)
    };
    (0..1200).map(of).collect()
}

fn bin(value: Option<f64>) -> usize {
    match value {
        None => CUTS.len() + 1,
        Some(value) => CUTS.iter().filter(|cut| **cut < value).count(),
    }
}

/// A feature's weights of evidence by row, its information value, and the share of its values that is missing.
fn weighed(rows: &[Row], feature: usize) -> (Vec<f64>, f64, f64) {
    let mut counts = [[0.0f64; 2]; CUTS.len() + 2];
    let mut all = [0.0; 2];
    for (values, is_bad) in rows {
        counts[bin(values[feature])][usize::from(!is_bad)] += 1.0;
        all[usize::from(!is_bad)] += 1.0;
    }
    let (mut woe, mut iv) = ([0.0; CUTS.len() + 2], 0.0);
    for (woe, [bad, good]) in woe.iter_mut().zip(&counts) {
        if bad + good > 0.0 {
            *woe = (bad / all[0] / (good / all[1])).ln();
            iv += (bad / all[0] - good / all[1]) * *woe;
        }
    }
    let missing = counts[CUTS.len() + 1].iter().sum::<f64>() / rows.len() as f64;
    let weights = rows.iter().map(|(values, _)| woe[bin(values[feature])]);
    (weights.collect(), iv, missing)
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let means = [a, b].map(|of| of.iter().sum::<f64>() / n);
    let product = |a: &[f64], b: &[f64], [x, y]: [f64; 2]| {
        a.iter().zip(b).map(|(p, q)| (p - x) * (q - y)).sum::<f64>()
    };
    let squares = [(a, means[0]), (b, means[1])].map(|(of, mean)| product(of, of, [mean; 2]));
    product(a, b, means) / (squares[0] * squares[1]).sqrt()
}

/// Variance inflation factors of these weights, by least squares on all others with a constant or without.
fn inflations(weights: &[&[f64]], has_constant: bool) -> Vec<f64> {
    let centred: Vec<Vec<f64>> = weights
        .iter()
        .map(|of| {
            let mean = of.iter().sum::<f64>() / of.len() as f64;
            let centre = if has_constant { mean } else { 0.0 };
            of.iter().map(|v| v - centre).collect()
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
    let factor = |j: usize| {
        // Gram and Schmidt: what is left of a column when all others are taken away.
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let others = (0..centred.len()).filter(|i| *i != j);
        for place in others.chain([j]) {
            let mut rest = centred[place].clone();
            for _ in 0..2 {
                for unit in &basis {
                    let part = dot(&rest, unit);
                    rest.iter_mut().zip(unit).for_each(|(v, u)| *v -= part * u);
                }
            }
            let left = dot(&rest, &rest);
            if place == j {
                return dot(&centred[j], &centred[j]) / left;
            }
            rest.iter_mut().for_each(|v| *v /= left.sqrt());
            basis.push(rest);
        }
        unreachable!("the column itself comes last")
    };
    (0..weights.len()).map(factor).collect()
}

/// The features that stay, and the rule by which each of the others does not, by falling information value.
fn expected(rows: &[Row]) -> (Vec<usize>, Vec<Value>) {
    let of = [0, 1, 2, 3, 4].map(|feature| weighed(rows, feature));
    let mut order = [0, 1, 2, 3, 4];
    order.sort_by(|a, b| of[*b].1.total_cmp(&of[*a].1));
    let (mut kept, mut left): (Vec<usize>, Vec<Value>) = (Vec::new(), Vec::new());
    for feature in order {
        let (weights, iv, missing) = &of[feature];
        let with = kept
            .iter()
            .find(|k| correlation(&of[**k].0, weights).abs() > 0.7);
        let name = NAMES[feature];
        if *iv < 0.05 {
            left.push(json!({ "feature": name, "rule": "iv_min", "limit": 0.05 }));
        } else if *missing > 0.3 {
            left.push(json!({ "feature": name, "rule": "missing_max", "limit": 0.3 }));
        } else if let Some(with) = with {
            let with = NAMES[*with];
            left.push(
                json!({ "feature": name, "rule": "correlation_max", "limit": 0.7, "with": with }),
            );
        } else {
            kept.push(feature);
        }
    }
    (kept, left)
}

fn banks(home: &Path) -> Vec<String> {
    let rows = rows();
    let (first, second) = rows.split_at(500);
    let mut words = Vec::new();
    for (name, rows) in [("bank_1", first), ("bank_2", second), ("arbiter", &[])] {
        let directory = home.join(name);
        fs::create_dir_all(&directory).expect("a directory");
        if !rows.is_empty() {
            let line = |(values, is_bad): &Row| {
                let cells = values.map(|v| v.map_or_else(String::new, |v| v.to_string()));
                format!("{},{}\n", cells.join(","), u8::from(*is_bad))
            };
            let text: String = rows.iter().map(line).collect();
            let text = format!("{},bad\n{text}", NAMES.join(","));
            fs::write(directory.join("loans.csv"), text).expect("a table");
        }
        words.extend(["--party".to_owned(), party(name, &directory)]);
    }
    words
}

fn job(screen: &str) -> String {
    job_of(&NAMES, screen)
}

fn job_of(names: &[&str], screen: &str) -> String {
    let cuts = names.iter().map(|name| format!("{name} = {CUTS:?}"));
    let cuts: Vec<String> = cuts.collect();
    format!(
        "job = \"screen\"\npurpose = \"test\"\nreceivers = [\"bank_1\"]\n[compute.train]\nmodel = \"scorecard\"\npartition = \"horizontal\"\n\
         label = \"bad\"\ntables = [\"bank_1.loans\", \"bank_2.loans\"]\nfeatures = {names:?}\nmissing = \"bin\"\nreport = [\"coef\"]\n\
         [compute.train.screen]\n{screen}\n[compute.train.scorecard]\nbins = 4\n[compute.train.scorecard.cuts]\n{}\n\
         [privacy]\ncorrelations = \"ot\"\nmin_cell = 3\n",
        cuts.join("\n")
    )
}

const RULES: &str = "iv_min = 0.05\nmissing_max = 0.3\ncorrelation_max = 0.7";

#[test]
fn features_are_left_out_by_the_rules_of_the_job() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    let ended = run((home.path(), &parties), &job(RULES), &["--json"]);
    let found = ended.expect(0).json()["result"].clone();
    let rows = rows();
    let (kept, left) = expected(&rows);
    let rules: Vec<&str> = left.iter().filter_map(|l| l["rule"].as_str()).collect();
    for rule in ["iv_min", "missing_max", "correlation_max"] {
        assert!(rules.contains(&rule), "the data have one of each: {left:?}");
    }
    let terms = found["rows"].as_array().expect("rows").iter();
    let terms: Vec<&str> = terms.filter_map(|row| row[0].as_str()).collect();
    let kept: Vec<&str> = kept.iter().map(|feature| NAMES[*feature]).collect();
    assert_eq!(terms, [&["intercept"][..], &kept].concat());
    let screened = found["fit"]["screened"].as_array().expect("a list");
    assert_eq!(screened.len(), left.len(), "{screened:?}");
    for (found, expected) in screened.iter().zip(&left) {
        for (name, value) in expected.as_object().expect("names") {
            assert_eq!(&found[name], value, "{found}");
        }
        let feature = NAMES.iter().position(|name| found["feature"] == *name);
        let (_, iv, missing) = weighed(&rows, feature.expect("a feature"));
        for (name, figure) in [("iv", iv), ("missing", missing)] {
            if let Some(told) = found[name].as_f64() {
                assert!((told - figure).abs() < 1e-9, "{found} {figure}");
            }
        }
    }
}

/// One after the other, that with the greatest factor first; toad and statsmodels have no constant.
#[test]
fn features_that_follow_from_others_are_left_out() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    let rows = rows();
    for (has_constant, most) in [(true, 1.05), (false, 1.05), (true, 1000.0)] {
        let rules = format!("iv_min = 0\nvif_max = {most}\nvif_intercept = {has_constant}");
        let ended = run((home.path(), &parties), &job(&rules), &["--json"]);
        let found = ended.expect(0).json()["result"]["fit"].clone();
        let of = [0, 1, 2, 3, 4].map(|feature| weighed(&rows, feature));
        let mut left: Vec<usize> = (0..5).collect();
        left.sort_by(|a, b| of[*b].1.total_cmp(&of[*a].1));
        let mut expected = Vec::new();
        let last = loop {
            let weights: Vec<&[f64]> = left.iter().map(|f| &of[*f].0[..]).collect();
            let factors = inflations(&weights, has_constant);
            let greatest = factors.iter().enumerate();
            let greatest = greatest.max_by(|(_, a), (_, b)| a.total_cmp(b));
            let (place, factor) = greatest.expect("features");
            if *factor <= most {
                break factors;
            }
            expected.push((left.remove(place), *factor));
        };
        assert_eq!(expected.is_empty(), most > 100.0, "{expected:?}");
        let screened = found["screened"].as_array().expect("a list");
        assert_eq!(screened.len(), expected.len(), "{screened:?} {expected:?}");
        let near = |found: &Value, expected: f64| {
            let found = found.as_f64().expect("a number");
            assert!((found / expected - 1.0).abs() < 1e-7, "{found} {expected}");
        };
        for (found, (feature, factor)) in screened.iter().zip(expected) {
            assert_eq!(
                (&found["feature"], &found["rule"]),
                (&json!(NAMES[feature]), &json!("vif_max"))
            );
            near(&found["vif"], factor);
        }
        let told = found["vif"].as_array().expect("factors");
        assert_eq!(told.len(), left.len());
        for ((found, feature), factor) in told.iter().zip(left).zip(last) {
            assert_eq!(found["feature"], NAMES[feature]);
            near(&found["vif"], factor);
        }
    }
}

/// A feature under another name follows from the other.
#[test]
fn a_feature_that_is_there_twice_leaves_once() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    let text = job_of(&["strong", "other"], "vif_max = 10");
    let text = text
        .replace("tables = [\"bank_1.loans\", \"bank_2.loans\"]", "rows = \"\"\"SELECT bad, strong, other, strong AS again FROM bank_1.loans UNION ALL SELECT bad, strong, other, strong AS again FROM bank_2.loans\"\"\"")
        .replace("features = [\"strong\", \"other\"]", "features = [\"strong\", \"other\", \"again\"]")
        .replace("[compute.train.scorecard.cuts]\n", "[compute.train.scorecard.cuts]\nagain = [0.25, 0.5, 0.75]\n");
    let ended = run((home.path(), &parties), &text, &["--json"]);
    let found = ended.expect(0).json()["result"]["fit"].clone();
    let screened = json!([{ "feature": "again", "rule": "vif_max", "limit": 10.0, "vif": null }]);
    assert_eq!(found["screened"], screened, "{found}");
    assert_eq!(found["vif"].as_array().map(Vec::len), Some(2));
}

#[test]
fn rules_that_a_model_has_no_figures_for_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    let good = job(RULES);
    for (old, new, words) in [
        (
            "missing = \"bin\"\n",
            "",
            "rows in which a value is missing are left out",
        ),
        (
            "bins = 4\n",
            "bins = 4\niv_least = 0.02\n",
            "which is the same",
        ),
        (
            "correlation_max = 0.7",
            "correlation_max = 1.5",
            "correlation_max",
        ),
        ("correlation_max = 0.7", "vif_max = 0.5", "vif_max"),
        (
            "correlation_max = 0.7",
            "vif_intercept = false",
            "which nothing asks for",
        ),
        (
            "report = [\"coef\"]\n[compute.train.screen]",
            "report = [\"coef\"]\nopen_steps = true\n[compute.train.screen]\nvif_max = 10",
            "which are found on shares",
        ),
        (
            "model = \"scorecard\"",
            "model = \"logistic\"",
            "chooses features of model = \"scorecard\"",
        ),
        (
            "partition = \"horizontal\"",
            "partition = \"vertical\"",
            "over a join nobody sees",
        ),
    ] {
        assert!(good.contains(old), "{good}");
        let ended = run((home.path(), &parties), &good.replace(old, new), &[]);
        let said = ended.expect(2).stderr;
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn rules_that_leave_no_feature_end_the_run_and_say_which() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    for (rules, words) in [
        ("iv_min = 50", "lower iv_min"),
        (
            "iv_min = 0.05\nmissing_max = 0.3",
            "the value of gaps is missing too often",
        ),
    ] {
        let text = job_of(&["weak", "gaps"], rules);
        let ended = run((home.path(), &parties), &text, &[]);
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn nothing_is_compared_where_no_correlation_can_be_too_great() {
    let home = tempfile::tempdir().expect("a directory");
    let parties = banks(home.path());
    for (names, rules) in [
        (&["strong", "like"][..], "correlation_max = 1"),
        (&["strong"], "correlation_max = 0.5"),
    ] {
        let text = job_of(names, rules);
        let ended = run((home.path(), &parties), &text, &["--json"]);
        let found = ended.expect(0).json()["result"].clone();
        assert_eq!(found["fit"]["screened"], json!([]), "{found}");
        let rows = found["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 1 + names.len(), "{found}");
    }
}
