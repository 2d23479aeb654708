//! Who takes part in a rehearsal: too many, too few, without data, without a directory; and faulty files.

use crate::run::{entente, hospitals, job, party, root};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Two tiny parties with a table each, and a job over both.
struct Pair {
    directory: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, rows) in [("a", "x,1\nx,2\ny,3\n"), ("b", "x,4\ny,5\ny,6\n")] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
            fs::write(
                directory.path().join(name).join("t.csv"),
                format!("g,v\n{rows}"),
            )
            .expect("a file");
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A job with these receivers and this source of randomness.
    fn job(&self, receivers: &str, privacy: &str) -> PathBuf {
        let text = format!(
            "job = \"pair\"\npurpose = \"test\"\nreceivers = {receivers}\n[compute]\nsql = \"\"\"\nSELECT g, COUNT(*) AS n, SUM(v) AS v \
             FROM (SELECT * FROM a.t UNION ALL SELECT * FROM b.t) u GROUP BY g ORDER BY g\n\"\"\"\n[privacy]\n{privacy}\n"
        );
        let path = self.path("job.toml");
        fs::write(&path, text).expect("a file");
        path
    }

    fn run(&self, job: &Path, more: &[String]) -> crate::run::Ended {
        let mut words = vec![
            "simulate".to_owned(),
            job.display().to_string(),
            "--json".to_owned(),
        ];
        for name in ["a", "b"] {
            words.extend(["--party".to_owned(), party(name, &self.path(name))]);
        }
        words.extend(more.iter().cloned());
        entente(words)
    }
}

const OT: &str = "correlations = \"ot\"\nmin_cell = 1";

fn table() -> Value {
    json!([["x", 3, 7], ["y", 3, 14]])
}

#[test]
fn a_party_that_the_job_does_not_need_is_said_and_left_alone() {
    let pair = Pair::new();
    let other = pair.path("other");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("t.csv"), "g,v\nx,9\n").expect("a file");
    let document = pair
        .run(
            &pair.job("[\"a\"]", OT),
            &["--party".to_owned(), party("c", &other)],
        )
        .expect(0)
        .json();
    assert_eq!(document["result"]["rows"], table());
    assert_eq!(document["not_needed"], json!(["c"]));
    assert!(document["parties"]["c"].is_null());
    assert_eq!(document["rehearsal_policy"], json!(["a", "b", "c"]));
}

#[test]
fn a_party_without_a_directory_is_named() {
    let pair = Pair::new();
    let job = pair.job("[\"a\"]", OT);
    let alone = entente([
        "simulate".to_owned(),
        job.display().to_string(),
        "--party".to_owned(),
        party("a", &pair.path("a")),
    ]);
    let alone = alone.expect(2);
    assert!(
        alone.stderr.contains('b') && alone.stderr.contains("to do:"),
        "{}",
        alone.stderr
    );
    // The receiver itself.
    let job = pair.job("[\"c\"]", OT);
    let document = pair.run(&job, &[]).expect(2).json();
    assert!(
        document["error"]["what"]
            .as_str()
            .is_some_and(|what| what.contains("receiver c")),
        "{document}"
    );
}

#[test]
fn faulty_arguments_are_all_reported() {
    let pair = Pair::new();
    let job = pair.job("[\"a\"]", OT);
    let missing = pair.path("nowhere");
    let words = [
        "nonsense".to_owned(),
        party("Bad Name", &pair.path("a")),
        party("c", &missing),
        party("a", &pair.path("b")),
    ];
    let more: Vec<String> = words
        .iter()
        .flat_map(|word| ["--party".to_owned(), word.clone()])
        .collect();
    let document = pair.run(&job, &more).expect(2).json();
    assert_eq!(
        document["error"]["faults"].as_array().map(Vec::len),
        Some(4),
        "{document}"
    );
}

#[test]
fn a_receiver_without_data_gets_the_result() {
    let pair = Pair::new();
    let empty = pair.path("empty");
    fs::create_dir(&empty).expect("a directory");
    let document = pair
        .run(
            &pair.job("[\"analyst\"]", OT),
            &["--party".to_owned(), party("analyst", &empty)],
        )
        .expect(0)
        .json();
    assert_eq!(document["result"]["rows"], table());
    assert_eq!(document["parties"]["analyst"]["rows_used"], 0);
}

#[test]
fn a_dealer_is_a_party_with_an_empty_directory() {
    let pair = Pair::new();
    let empty = pair.path("empty");
    fs::create_dir(&empty).expect("a directory");
    let job = pair.job(
        "[\"a\", \"b\"]",
        "correlations = \"dealer:notary\"\nmin_cell = 3",
    );
    let document = pair
        .run(&job, &["--party".to_owned(), party("notary", &empty)])
        .expect(0)
        .json();
    assert_eq!(document["result"]["rows"], table());
    assert_eq!(
        document["parties"]["notary"]["bytes_received"], 0,
        "the dealer receives nothing of the protocol"
    );
    // Without it.
    let document = pair.run(&job, &[]).expect(2).json();
    assert!(document.to_string().contains("notary"), "{document}");
}

#[test]
fn five_faults_of_a_job_file_are_reported_at_once_with_their_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("faulty.toml");
    let text = "job = \"\"\npurpsoe = \"x\"\nreceivers = [\"Hospital 1\"]\n[compute]\nsql = 3\n[privacy]\nmin_cell = 10.5\ncorrelations = \"OT\"\n";
    fs::write(&path, text).expect("a file");
    let parties = hospitals();
    for words in [vec!["job", "check", path.to_str().expect("UTF-8")], {
        let mut words = vec!["simulate", path.to_str().expect("UTF-8")];
        words.extend(parties.iter().map(String::as_str));
        words
    }] {
        let document = entente(words.iter().copied().chain(["--json"]))
            .expect(2)
            .json();
        let faults = document["error"]["faults"].as_array().expect("faults");
        assert!(faults.len() >= 5, "{document}");
        for (line, field) in [
            (1, "job"),
            (2, "purpsoe"),
            (3, "receivers"),
            (5, "compute.sql"),
            (7, "privacy.min_cell"),
            (8, "privacy.correlations"),
        ] {
            assert!(
                faults
                    .iter()
                    .any(|fault| fault["line"] == line && fault["field"] == field),
                "line {line} {field}: {document}"
            );
        }
        let text = entente(words.iter().copied()).expect(2).stderr;
        assert!(text.contains("line 7: privacy.min_cell"), "{text}");
    }
}

#[test]
fn a_well_formed_file_passes_without_an_agent() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = crate::run::command([
        std::ffi::OsStr::new("job"),
        "check".as_ref(),
        job("clinics.toml").as_os_str(),
    ]);
    command.current_dir(directory.path());
    let ended = crate::run::finish(command).expect(0);
    assert!(
        ended.stdout.contains("well formed") && ended.stdout.contains("not looked at"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_missing_column_is_a_usage_error_that_names_it() {
    let pair = Pair::new();
    let job = pair.job("[\"a\"]", OT);
    let text = fs::read_to_string(&job)
        .expect("a file")
        .replace("SUM(v)", "SUM(w)");
    fs::write(&job, text).expect("a file");
    let document = pair.run(&job, &[]).expect(2).json();
    assert!(document["error"].to_string().contains('w'), "{document}");
}

#[test]
fn a_policy_that_does_not_allow_the_job_ends_it_with_3() {
    let pair = Pair::new();
    let policy = "min_cell = 2\nopen_counts = false\n[tables.t.columns]\ng = { group_by = true, categories = \"from_data\" }\nv = { aggregate = [\"count\"], range = [0, 10] }\n";
    fs::write(pair.path("b").join("policy.toml"), policy).expect("a file");
    let document = pair.run(&pair.job("[\"a\"]", OT), &[]).expect(3).json();
    assert!(document["error"].to_string().contains('v'), "{document}");
    assert!(document["result"].is_null());
    // The receiver's own policy.
    fs::rename(
        pair.path("b").join("policy.toml"),
        pair.path("a").join("policy.toml"),
    )
    .expect("moved");
    pair.run(&pair.job("[\"a\"]", OT), &[]).expect(3);
}

#[test]
fn an_id_column_may_not_be_touched_in_the_bundled_data() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ids.toml");
    let text = fs::read_to_string(job("describe-stays.toml"))
        .expect("a job")
        .replace("COUNT(medical_specialty)", "COUNT(patient_id)");
    fs::write(&path, text).expect("a file");
    let words = [
        "simulate".to_owned(),
        path.display().to_string(),
        "--json".to_owned(),
    ];
    let document = entente(words.into_iter().chain(hospitals()))
        .expect(3)
        .json();
    assert!(
        document["error"].to_string().contains("patient_id"),
        "{document}"
    );
}

#[test]
fn the_output_directory_must_be_writable() {
    let pair = Pair::new();
    let file = pair.path("file");
    fs::write(&file, "x").expect("a file");
    pair.run(
        &pair.job("[\"a\"]", OT),
        &["--out".to_owned(), file.join("out").display().to_string()],
    )
    .expect(1);
    assert!(root().is_dir());
}
