//! The demo, and every example job by `simulate`.

use crate::run::{Ended, entente, hospitals, job, mode, party, root};
use serde_json::Value;
use std::path::Path;

fn simulate(job: &Path, parties: &[String], more: &[&str]) -> Ended {
    let head = ["simulate".to_owned(), job.display().to_string()];
    entente(
        head.into_iter()
            .chain(parties.iter().cloned())
            .chain(more.iter().map(|&word| word.to_owned())),
    )
}

fn rows(document: &Value) -> &Vec<Value> {
    document["result"]["rows"].as_array().expect("rows")
}

/// COUNT(*), mean and sum over the three hospitals, by diagnosis group (computed once with pandas over the
/// same files).
const BY_DIAGNOSIS: [(&str, u64, f64, f64, u64); 10] = [
    (
        "circulatory",
        30437,
        4.227322009396458,
        2.938924442143061,
        520158,
    ),
    (
        "other",
        18172,
        4.764142637023993,
        3.2023558700246046,
        255751,
    ),
    (
        "respiratory",
        14423,
        4.228870553976288,
        2.9622678954723405,
        235784,
    ),
    (
        "digestive",
        9475,
        4.360105540897098,
        2.807363126443251,
        139660,
    ),
    (
        "diabetes",
        8757,
        4.342126298960832,
        3.0181609128084173,
        123219,
    ),
    (
        "injury",
        6974,
        4.616432463435618,
        2.9536540757525835,
        120768,
    ),
    (
        "genitourinary",
        5117,
        4.239984365839359,
        2.8204442948024884,
        76414,
    ),
    (
        "musculoskeletal",
        4957,
        3.9199112366350617,
        2.3745865262165387,
        98316,
    ),
    (
        "neoplasms",
        3433,
        5.356248179434896,
        3.3510300262392936,
        60116,
    ),
    ("missing", 21, 3.9047619047619047, 1.7579750255553093, 293),
];

fn assert_by_diagnosis(document: &Value) {
    let rows = rows(document);
    assert_eq!(rows.len(), BY_DIAGNOSIS.len());
    for (row, (group, n, los, los_sd, meds)) in rows.iter().zip(BY_DIAGNOSIS) {
        assert_eq!(row[0], group);
        assert_eq!(row[1], n);
        assert_eq!(row[4], meds);
        for (got, expected) in [(&row[2], los), (&row[3], los_sd)] {
            let got = got.as_f64().expect("a number");
            assert!(
                (got / expected - 1.0).abs() < 1e-12,
                "{group}: {got} {expected}"
            );
        }
    }
}

#[test]
fn the_demo_tells_its_story_and_gives_the_exact_table() {
    let text = entente(["demo"]).expect(0).stdout;
    for part in [
        "hospital_3",
        "circulatory",
        "SELECT diag_group",
        "What crossed",
        "What each party learnt",
        "CC BY 4.0",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let document = entente(["demo", "claims", "--json"]).expect(0).json();
    assert_eq!(document["status"], "completed");
    assert_by_diagnosis(&document);
}

#[test]
fn direct_and_relayed_give_the_same_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut results = Vec::new();
    for (route, more) in [("direct", None), ("relayed", Some("--relay"))] {
        let out = directory.path().join(route);
        let more: Vec<&str> = ["--json", "--out", out.to_str().expect("UTF-8")]
            .into_iter()
            .chain(more)
            .collect();
        let document = simulate(&job("los-by-diagnosis.toml"), &hospitals(), &more)
            .expect(0)
            .json();
        assert_by_diagnosis(&document);
        for party in ["hospital_1", "hospital_2", "hospital_3"] {
            let figures = &document["parties"][party];
            for (peer, found) in figures["routes"].as_object().expect("routes") {
                assert_eq!(found, route, "{party} to {peer}");
            }
            for field in ["bytes_sent", "bytes_received", "peak_rss_bytes"] {
                assert!(
                    figures[field].as_u64().is_some_and(|n| n > 0),
                    "{party} {field}"
                );
            }
            assert!(
                figures["cpu_s"].as_f64().is_some_and(|s| s > 0.0),
                "{party}"
            );
        }
        assert!(
            document["wall_s"].as_f64().is_some_and(|s| s > 0.0)
                && document["rounds"].as_u64().is_some_and(|n| n > 0)
        );
        for file in ["result.json", "result.csv", "receipt.json"] {
            assert_eq!(mode(&out.join(file)), 0o600, "{file}");
        }
        results.push(std::fs::read(out.join("result.json")).expect("a result"));
    }
    assert!(results[0] == results[1], "the results differ");
}

#[test]
fn every_example_over_the_hospitals_runs() {
    let examples = std::fs::read_dir(root().join("examples/jobs")).expect("examples");
    let mut n_run = 0;
    for entry in examples {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a job file");
        // Other parties and other tables of hospitals are not bundled.
        let others = ["insurer_public", "hospital_1.public_members"];
        if !text.contains("hospital_1.encounters") || others.iter().any(|of| text.contains(of)) {
            continue;
        }
        let nothing = tempfile::tempdir().expect("a directory");
        let mut parties = hospitals();
        if text.contains("dealer:notary") {
            parties.extend(["--party".to_owned(), party("notary", nothing.path())]);
        }
        let document = simulate(&path, &parties, &["--json", "--net", "wan"])
            .expect(0)
            .json();
        assert!(!rows(&document).is_empty(), "{}", path.display());
        assert!(
            document["network"]["predicted_s"]
                .as_f64()
                .is_some_and(|s| s > 0.0),
            "{}",
            path.display()
        );
        assert_eq!(
            document["rehearsal_policy"],
            serde_json::json!([]),
            "{}",
            path.display()
        );
        n_run += 1;
    }
    assert!(n_run >= 8, "only {n_run} examples ran");
}

#[test]
fn the_histogram_counts_every_stay_once() {
    let document = simulate(&job("los-histogram.toml"), &hospitals(), &["--json"])
        .expect(0)
        .json();
    let n: u64 = rows(&document)
        .iter()
        .map(|row| {
            row.as_array()
                .and_then(|row| row.last()?.as_u64())
                .expect("a count")
        })
        .sum();
    assert_eq!(n, 101_766);
}

#[test]
fn small_groups_come_back_as_suppressed_and_never_as_0() {
    let document = simulate(
        &job("readmission-by-three-keys.toml"),
        &hospitals(),
        &["--json"],
    )
    .expect(0)
    .json();
    for row in rows(&document) {
        assert!(row[3].as_u64().is_some_and(|n| n >= 11), "{row}");
    }
    let suppressed = document["result"]["suppressed"].as_array().expect("a list");
    assert!(!suppressed.is_empty());
    for group in suppressed {
        assert_eq!(group["reason"], "min_cell", "{group}");
    }
}

#[test]
fn clinics_with_chinese_names_and_decimals() {
    let data = root().join("examples/data/clinics");
    let parties: Vec<String> = ["clinic_a", "clinic_b"]
        .iter()
        .flat_map(|name| ["--party".to_owned(), party(name, &data.join(name))])
        .collect();
    let ended = simulate(&job("clinics.toml"), &parties, &["--json"]).expect(0);
    let document = ended.json();
    // (department, visits, billed, fees), computed once from the two files.
    let expected: [(&str, u64, u64, &str); 3] = [
        ("内科", 44, 42, "18751.48"),
        ("外科", 32, 31, "16619.73"),
        ("儿科", 16, 15, "7715.64"),
    ];
    assert_eq!(rows(&document).len(), expected.len());
    for (row, (department, visits, billed, fees)) in rows(&document).iter().zip(expected) {
        assert_eq!(
            (&row[0], &row[1], &row[2]),
            (&department.into(), &visits.into(), &billed.into())
        );
        // The sum's digits, not a float near them.
        assert!(
            ended.stdout.contains(fees),
            "{department}: {fees} is not in\n{}",
            ended.stdout
        );
    }
}

#[test]
fn the_overlap_demo_tells_the_number_and_what_crossed() {
    let text = entente(["demo", "overlap"]).expect(0).stdout;
    for part in [
        "11,855 of its 35,577 patients are members of insurer_public (33.3 %)",
        "normalise = \"upper_alnum\"",
        "without an id",
        "What crossed",
        "insurer_public: how many different keys hospital_1 has",
        "CC BY 4.0",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let document = entente(["demo", "overlap", "--json"]).expect(0).json();
    assert_eq!(document["status"], "completed");
    assert_eq!(document["result"]["rows"], serde_json::json!([[11855]]));
}

#[test]
fn the_credit_demo_compares_the_joint_scorecard_with_each_party_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().display().to_string();
    let text = entente(["demo", "credit", "--out", &out]).expect(0).stdout;
    // However lines are broken.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "together",
        "bank_b alone",
        "bureau_c alone",
        "points for everybody",
        "What crossed",
        "how many bad and good common rows are in each bin of its own features",
        "CC BY 4.0",
    ] {
        assert!(words.contains(part), "{part} is missing in\n{text}");
    }
    let result = std::fs::read_to_string(directory.path().join("result.json")).expect("a result");
    let fit = &serde_json::from_str::<Value>(&result).expect("JSON")["fit"];
    let of = |figures: &Value| ["auc", "ks"].map(|f| figures[f].as_f64().expect("a figure"));
    let joint = of(fit);
    // On 886 customers, of whom the bank's own features tell most.
    for (party, gain) in [("bank_a", -0.02), ("bank_b", 0.05), ("bureau_c", 0.1)] {
        let alone = of(&fit["alone"][party]);
        let gains = joint[0] - alone[0] > gain && joint[1] - alone[1] > gain;
        assert!(gains, "{party}: {fit}");
    }
}
