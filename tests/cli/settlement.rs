//! Statements: the same bytes at every party, nothing gained or lost, and nothing from receipts that nobody signed.

use crate::run::{entente, job, root};
use crate::town::{Side, Town};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const RULE: &str = "\n[settlement]\ncurrency = \"CNY\"\nper_run_minor = 10001\n\
    [[settlement.split]]\nstage = \"circulate\"\nparty = \"space\"\nbasis = \"fixed\"\nppm = 50000\n\
    [[settlement.split]]\nstage = \"collect\"\nparty = \"*\"\nbasis = \"shapley\"\nppm = 950000\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs a job of two clinics to its end.
fn run(town: &Town, spec: &Path) -> String {
    let id = town.submit(spec);
    town.sides[1]
        .run(&["job", "approve", &id, "--as", "jonas"])
        .expect(0);
    for side in &town.sides {
        side.run(&["job", "watch", &id]).expect(0);
    }
    id
}

fn exported(town: &Town, side: &Side, id: &str) -> PathBuf {
    let file = town
        .directory
        .path()
        .join(format!("{}.{id}.json", side.name));
    side.run(&["evidence", "export", id, "--out", text(&file)])
        .expect(0);
    file
}

#[test]
fn every_party_makes_the_same_statement_and_totals_are_conserved() {
    let data = root().join("examples/data/clinics");
    let town = Town::new(&[
        ("clinic_a", &data.join("clinic_a")),
        ("clinic_b", &data.join("clinic_b")),
    ]);
    let spec = town.directory.path().join("settled.toml");
    let plain = fs::read_to_string(job("clinics.toml")).expect("a job");
    fs::write(&spec, plain.clone() + RULE).expect("written");
    let _agents = town.start();
    let ids = [run(&town, &spec), run(&town, &spec)];
    let mut statements = Vec::new();
    // In another order at the other party.
    for (side, order) in town.sides.iter().zip([[0, 1], [1, 0]]) {
        let files = order.map(|i| exported(&town, side, &ids[i]));
        let out = town
            .directory
            .path()
            .join(format!("{}.statement.json", side.name));
        entente([
            "settle",
            text(&files[0]),
            text(&files[1]),
            "--out",
            text(&out),
        ])
        .expect(0);
        statements.push(fs::read(&out).expect("a statement"));
    }
    assert_eq!(statements[0], statements[1], "byte for byte");
    let statement: Value = serde_json::from_slice(&statements[0]).expect("JSON");
    let jobs = statement["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 2);
    let sum = |of: &Value| -> i64 {
        let of = of.as_object().expect("amounts").values();
        of.map(|v| v.as_i64().expect("a number")).sum()
    };
    for job in jobs {
        assert_eq!(sum(&job["owed"]), 10_001, "{job}");
        assert_eq!(sum(&job["contributed_ppm"]), 1_000_000, "{job}");
        let due = job["due"].as_array().expect("parts");
        let all: i64 = due
            .iter()
            .map(|d| d["minor"].as_i64().expect("minor"))
            .sum();
        assert_eq!(all, 10_001, "{job}");
        assert_eq!(
            (&due[0]["party"], &due[0]["minor"]),
            (&"space".into(), &500.into())
        );
        let holders = [&due[1]["party"], &due[2]["party"]];
        assert_eq!(
            holders,
            [&Value::from("clinic_a"), &Value::from("clinic_b")]
        );
        assert!(
            due[1..].iter().all(|d| d["minor"].as_i64() > Some(0)),
            "{job}"
        );
    }
    assert_eq!(sum(&statement["balances"]["CNY"]), 0, "{statement}");
    let evidence = town
        .directory
        .path()
        .join(format!("clinic_a.{}.json", ids[0]));
    periods(&evidence, jobs[0]["ended"].as_i64());
    refusals(&town, &ids[0], &plain);
}

/// Days on which the job did not end leave it out; that day alone does not.
fn periods(file: &Path, ended: Option<i64>) {
    let at = chrono::DateTime::from_timestamp(ended.expect("a time"), 0).expect("a time");
    let day = at.date_naive();
    let (before, after) = (
        day.pred_opt().expect("a day"),
        day.succ_opt().expect("a day"),
    );
    for (from, until, n) in [
        (day, day, 1),
        (before, before, 0),
        (after, after, 0),
        (before, after, 1),
    ] {
        let (from, until) = (from.to_string(), until.to_string());
        let settled = entente([
            "settle",
            text(file),
            "--from",
            &from,
            "--until",
            &until,
            "--json",
        ])
        .expect(0);
        let settled: Value = serde_json::from_str(&settled.stdout).expect("JSON");
        let statement = &settled["statement"];
        assert_eq!(
            statement["jobs"].as_array().map(Vec::len),
            Some(n),
            "{statement}"
        );
        assert_eq!(statement["period"]["from"], Value::from(from));
    }
}

/// What is no account: one job twice, receipts that were changed, a job without a rule.
fn refusals(town: &Town, id: &str, plain: &str) {
    let file = |side: &Side| {
        town.directory
            .path()
            .join(format!("{}.{id}.json", side.name))
    };
    let files = [file(&town.sides[0]), file(&town.sides[1])];
    let twice = entente(["settle", text(&files[0]), text(&files[1]), "--json"]).expect(2);
    assert!(twice.stdout.contains("twice"), "{}", twice.stdout);
    let original = fs::read_to_string(&files[0]).expect("text");
    let mut changed: Value = serde_json::from_str(&original).expect("JSON");
    let body = &mut changed["receipts"]["clinic_b"]["body"];
    let receipt = body.as_str().expect("a receipt");
    assert!(
        receipt.contains("\"contributions\":{\"clinic_a\":"),
        "{receipt}"
    );
    *body = receipt
        .replace(
            "\"contributions\":{\"clinic_a\":",
            "\"contributions\":{\"clinic_a\":1",
        )
        .into();
    let forged = town.directory.path().join("forged.json");
    fs::write(&forged, changed.to_string()).expect("written");
    entente(["settle", text(&forged)]).expect(29);
    let spec = town.directory.path().join("plain.toml");
    fs::write(&spec, plain).expect("written");
    let other = run(town, &spec);
    let file = exported(town, &town.sides[0], &other);
    let free = entente(["settle", text(&file), "--json"]).expect(2);
    assert!(free.stdout.contains("no [settlement]"), "{}", free.stdout);
}
