//! `entente bench`: reports that other programs can read, and comparisons that can fail a build.

use crate::run::{entente, mode};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A quick report of one area, kept in a directory.
fn report(area: &str, directory: &Path) -> Value {
    let out = directory.display().to_string();
    let words = [
        "bench",
        area,
        "--quick",
        "--repetitions",
        "2",
        "--json",
        "--out",
        &out,
    ];
    entente(words).expect(0).json()
}

fn measurements(report: &Value) -> &[Value] {
    report["measurements"].as_array().expect("measurements")
}

#[track_caller]
fn is_complete(report: &Value) {
    assert_eq!(report["format"], 1);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["correct"], true, "{report:#}");
    assert!(
        report["machine"]["cores"]
            .as_u64()
            .is_some_and(|cores| cores > 0)
    );
    assert!(
        report["machine"]["cpu"]
            .as_str()
            .is_some_and(|cpu| !cpu.is_empty())
    );
    assert!(!measurements(report).is_empty());
    for measurement in measurements(report) {
        let seconds = ["min", "median", "p95", "max"]
            .map(|name| measurement["seconds"][name].as_f64().expect("a number"));
        assert!(seconds[0] > 0.0 && seconds.is_sorted(), "{measurement}");
        assert_eq!(measurement["repetitions"], 2, "{measurement}");
        assert!(
            measurement["per_second"]
                .as_f64()
                .is_some_and(|rate| rate > 0.0)
        );
        assert!(measurement["peak_rss_bytes"].as_u64().is_some());
    }
}

#[test]
fn the_kernels_are_measured_checked_and_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = report("kernels", directory.path());
    is_complete(&report);
    for part in [
        "ring-add-u64",
        "ot-softspoken-sender",
        "matrix-u64",
        "matrix-u128",
    ] {
        let found = measurements(&report)
            .iter()
            .any(|m| m["id"].as_str().is_some_and(|id| id.contains(part)));
        assert!(found, "{part}");
    }
    for name in ["bench.json", "bench.md"] {
        assert_eq!(mode(&directory.path().join(name)), 0o600);
    }
    let text = fs::read_to_string(directory.path().join("bench.md")).expect("the report");
    assert!(text.contains("| kernels/matrix-u64/"), "{text}");
}

#[test]
fn protocols_are_measured_with_their_traffic() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = report("protocols", directory.path());
    is_complete(&report);
    for measurement in measurements(&report) {
        assert!(measurement["rounds"].as_u64().is_some(), "{measurement}");
        let is_online = measurement["id"]
            .as_str()
            .is_some_and(|id| id.contains("/online/"));
        let has_sent = measurement["bytes_sent"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0);
        assert!(has_sent || !is_online, "{measurement}");
    }
}

#[test]
fn the_network_and_a_job_are_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    is_complete(&report("network", directory.path()));
    let report = report("job", directory.path());
    is_complete(&report);
    let job = &measurements(&report)[0];
    assert_eq!(job["rounds"], 2, "{job}");
    assert_eq!(job["n_items"], 3 * 20_000);
}

/// The same report with every figure multiplied.
fn doctored(mut report: Value, factor: f64) -> Value {
    for measurement in report["measurements"].as_array_mut().expect("measurements") {
        for name in ["min", "median", "p95", "max"] {
            let seconds = measurement["seconds"][name].as_f64().expect("a number");
            measurement["seconds"][name] = json!(seconds * factor);
        }
        for name in ["bytes_sent", "rounds", "peak_rss_bytes"] {
            if let Some(count) = measurement[name].as_u64() {
                measurement[name] = json!((count as f64 * factor) as u64);
            }
        }
    }
    report
}

#[test]
fn a_baseline_that_was_better_fails_and_one_that_was_worse_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = report("protocols", directory.path());
    let baseline = directory.path().join("baseline.json");
    let path = baseline.display().to_string();
    let against = |report: &Value, code: i32| {
        fs::write(&baseline, report.to_string()).expect("a file");
        let words = [
            "bench",
            "protocols",
            "--quick",
            "--json",
            "--compare",
            &path,
        ];
        entente(words).expect(code).json()
    };
    let compared = measurements(&first).len();
    let well = against(&doctored(first.clone(), 1e6), 0);
    assert_eq!(well["comparison"]["compared"], compared);
    assert_eq!(well["comparison"]["regressions"], json!([]));
    assert_eq!(well["comparison"]["other_machine"], false);

    let worse = against(&doctored(first, 1e-6), 1);
    let regressions = worse["comparison"]["regressions"]
        .as_array()
        .expect("a list");
    assert!(regressions.len() >= compared, "{regressions:#?}");
    assert!(
        regressions
            .iter()
            .all(|r| r["factor"].as_f64().is_some_and(|f| f > 1.1))
    );
}

#[test]
fn a_baseline_that_is_none_is_refused_before_anything_is_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.json");
    fs::write(&path, "{}").expect("a file");
    let path = path.display().to_string();
    for path in [path.as_str(), "/nowhere/bench.json"] {
        let ended = entente(["bench", "--compare", path]).expect(2);
        assert!(ended.stderr.contains("bench.json"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("measuring"), "{}", ended.stderr);
    }
    entente(["bench", "nothing"]).expect(2);
}

#[test]
fn intersections_are_measured_and_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = report("intersect", directory.path());
    is_complete(&report);
    for id in [
        "intersect/vole/rows/4096x4096",
        "intersect/ecdh/count/1024x1024",
    ] {
        assert!(measurements(&report).iter().any(|m| m["id"] == id), "{id}");
    }
}

/// The first job prepares and sends tables; those after it send answers alone.
#[test]
fn lookups_are_measured_apart_from_the_first_one() {
    let words = ["bench", "lookup", "--quick", "--repetitions", "2", "--json"];
    let report = entente(words).expect(0).json();
    assert_eq!(report["correct"], true, "{report:#}");
    let sent = |which: &str| {
        let id = format!("lookup/list/50in1000+500/{which}");
        let found = measurements(&report).iter().find(|m| m["id"] == id);
        found.expect("a line")["bytes_sent"]
            .as_u64()
            .expect("bytes")
    };
    // The longer list has 1000 records of 50 bytes; the asker sends each of two holders 50 questions.
    assert_eq!(sent("first"), 50 * 1000 + 53 + 50 * 32 + 64);
    assert_eq!(sent("later"), 2 * (32 + 8 + 50 * 32));
}
