//! What leaves a holder, and what does not: by the report, by the logs of the processes, and by the log that partners are shown.

use crate::canary::nothing_of;
use crate::run::Serving;
use crate::town::Town;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Stands in a column of ids, in a column of amounts, and in the job's condition.
const PERSON: &str = "canary-7f3a-0017";
const AMOUNT: &str = "7340033.25";
const LITERAL: &str = "canary-condition";

const POLICY: &str = r#"
min_cell = 2
open_counts = false
[tables.visits.columns]
kind = { group_by = true, categories = ["x", "y"] }
note = { filter = true }
paid = { aggregate = ["count", "sum"], range = [0, 99999999] }
"#;

fn job_text() -> String {
    format!(
        "job = \"paid\"\npurpose = \"IRB 2026-117\"\nreceivers = [\"a\"]\n[compute]\nsql = \"\"\"\nSELECT kind, COUNT(*) AS n, SUM(paid) AS paid \
         FROM (SELECT * FROM a.visits UNION ALL SELECT * FROM b.visits) v WHERE note <> '{LITERAL}' GROUP BY kind\n\"\"\"\n\
         [privacy]\ncorrelations = \"ot\"\nmin_cell = 2\n"
    )
}

fn table(dir: &Path, others: u32) {
    let mut csv = String::from("id,kind,note,paid\n");
    for row in 0..5 {
        csv += &format!(
            "p{row},{},seen,{}.50\n",
            ["x", "y"][row % 2],
            others + row as u32
        );
    }
    csv += &format!("{PERSON},x,{LITERAL}s,{AMOUNT}\n");
    fs::create_dir_all(dir).expect("a directory");
    fs::write(dir.join("visits.csv"), csv).expect("a table");
    fs::write(dir.join("policy.toml"), POLICY).expect("a policy");
}

#[test]
fn no_identifier_and_no_condition_stands_in_any_log_or_in_what_partners_are_shown() {
    let data = tempfile::tempdir().expect("a directory");
    let dirs = ["a", "b"].map(|name| data.path().join(name));
    table(&dirs[0], 100);
    table(&dirs[1], 200);
    let town = Town::new(&[("a", &dirs[0]), ("b", &dirs[1])]);
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let agents = town.start();
    let file = town.directory.path().join("job.toml");
    fs::write(&file, job_text()).expect("a job");
    let id = town.submit(&file);
    b.run(&["job", "approve", &id, "--as", "jonas"]).expect(0);
    for side in [a, b] {
        side.run(&["job", "watch", &id]).expect(0);
    }
    let out = town.directory.path().join("evidence.json");
    a.run(&[
        "evidence",
        "export",
        &id,
        "--out",
        out.to_str().expect("UTF-8"),
    ])
    .expect(0);
    report(&a.json(&["egress-report", &id], 0), "b");
    report(&b.json(&["egress-report", &id], 0), "a");
    agents.into_iter().for_each(Serving::stop);
    let evidence = fs::read(&out).expect("evidence");
    // The condition stands in the contract, which people sign. Values of rows stand nowhere.
    nothing_of(&[PERSON, AMOUNT], &evidence, "the evidence");
    let evidence: Value = serde_json::from_slice(&evidence).expect("JSON");
    for part in ["logs", "receipts", "provenance"] {
        let text = evidence[part].to_string();
        nothing_of(&[PERSON, AMOUNT, LITERAL], text.as_bytes(), part);
    }
    for side in [&town.hub, a, b] {
        let log = fs::read(side.config.with_extension("log")).expect("a log");
        assert!(
            log.windows(4).any(|w| w == b"INFO"),
            "{} logs nothing",
            side.name
        );
        nothing_of(&[PERSON, AMOUNT, LITERAL], &log, "a process's log");
    }
}

fn report(egress: &Value, peer: &str) {
    assert!(
        egress["peers"][peer]["messages"]
            .as_u64()
            .is_some_and(|n| n > 0),
        "{egress}"
    );
    assert!(
        egress["documents"]["report"]
            .as_u64()
            .is_some_and(|n| n > 0),
        "{egress}"
    );
    let opened = egress["opened"].as_array().expect("a list");
    let results = opened.iter().filter(|value| value["kind"] == "result");
    let names: Vec<&str> = results.clone().filter_map(|v| v["what"].as_str()).collect();
    assert_eq!(names, ["kind", "n", "paid"], "{egress}");
    for value in results {
        assert_eq!(value["to"], serde_json::json!(["a"]), "{egress}");
    }
    assert!(
        opened.iter().any(|value| value["kind"] == "answer"),
        "{egress}"
    );
}
