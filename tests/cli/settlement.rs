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

/// A party that brings what another one brings already is paid as much as that one, and leaving it out shows that nothing would be missing.
#[test]
fn a_doubled_party_is_found_by_leaving_it_out() {
    let data = root().join("examples/data/clinics/clinic_a");
    let town = Town::new(&[("clinic_a", &data), ("clinic_b", &data)]);
    let spec = town.directory.path().join("doubled.toml");
    let plain = fs::read_to_string(job("clinics.toml")).expect("a job");
    let rule = RULE.replace("per_run_minor", "leave_one_out = true\nper_run_minor");
    fs::write(&spec, plain + &rule).expect("written");
    let _agents = town.start();
    let id = run(&town, &spec);
    let file = exported(&town, &town.sides[1], &id);
    let settled = entente(["settle", text(&file), "--json"]).expect(0).json();
    let job = &settled["statement"]["jobs"][0];
    for party in ["clinic_a", "clinic_b"] {
        assert_eq!(job["contributed_ppm"][party], 500_000, "{job}");
        assert_eq!(job["missing_without"][party], 0, "{job}");
    }
    let said = entente(["settle", text(&file)]).expect(0).stdout;
    assert!(
        said.contains("without clinic_a groups would be missing: 0"),
        "{said}"
    );
    // Both verifiers read what was told, and the list of what was opened names it.
    crate::evidence_roundtrip::verify(&file, &[]).expect(0);
    crate::evidence_roundtrip::in_python(&file, &[]).expect(0);
    let evidence: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    let opened = evidence["opened"].as_array().expect("a list").iter();
    let left_out = opened.filter(|value| value["kind"] == "left_out");
    let of: Vec<&Value> = left_out.map(|value| &value["what"]).collect();
    assert_eq!(of, ["clinic_a", "clinic_b"]);
    let receipt = evidence["receipts"]["clinic_b"]["body"]
        .as_str()
        .expect("a receipt");
    assert!(
        receipt.contains("\"left_out\":{\"clinic_a\":0,\"clinic_b\":0}"),
        "{receipt}"
    );
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

/// Two tables of people: at the first holder one feature and the label, at the second one feature, and what all of it is.
fn people(town: &Path) -> (Vec<PathBuf>, Vec<[f64; 3]>) {
    let mut state = 7u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    let rows: Vec<[f64; 3]> = (0..90)
        .map(|_| {
            let (common, first, second) = (unit(), unit(), unit());
            let (a, b) = (common + first, common - second);
            let round = |v: f64| (v * 1e4).round() / 1e4;
            [round(a), round(b), round(0.3 * a - 0.1 * b + 0.4 * unit())]
        })
        .collect();
    let lines = |from: usize, to: usize, columns: &[usize]| {
        let line = |i: usize| {
            let values = columns.iter().map(|c| format!(",{:.4}", rows[i][*c]));
            format!("p{i}{}\n", values.collect::<String>())
        };
        (from..to).map(line).collect::<String>()
    };
    let columns = |names: &[(&str, &str)]| {
        let lines = names
            .iter()
            .map(|(name, use_of)| format!("{name} = {{ {use_of} = true, range = [-2.0, 2.0] }}\n"));
        let lines: String = lines.collect();
        format!(
            "min_cell = 5\nopen_counts = false\n[tables.people.columns]\nid = {{ join_key = true }}\n{lines}"
        )
    };
    let made = [
        (
            "bank",
            "id,income,debt\n".to_owned() + &lines(0, 75, &[0, 2]),
            columns(&[("income", "feature"), ("debt", "label")]),
        ),
        (
            "shop",
            "id,spent\n".to_owned() + &lines(10, 90, &[1]),
            columns(&[("spent", "feature")]),
        ),
    ];
    let write = |(name, table, policy): (&str, String, String)| {
        let place = town.join(format!("data_of_{name}"));
        fs::create_dir(&place).expect("a directory");
        fs::write(place.join("people.csv"), table).expect("written");
        fs::write(place.join("policy.toml"), policy).expect("written");
        place
    };
    (made.map(write).to_vec(), rows[10..75].to_vec())
}

/// What each of two features adds to R², by the correlations of all three columns.
fn shares_of_r2(rows: &[[f64; 3]]) -> [f64; 2] {
    let n = rows.len() as f64;
    let mean = |c: usize| rows.iter().map(|r| r[c]).sum::<f64>() / n;
    let dot = |i: usize, j: usize| {
        let (x, y) = (mean(i), mean(j));
        rows.iter().map(|r| (r[i] - x) * (r[j] - y)).sum::<f64>()
    };
    let r = |i: usize, j: usize| dot(i, j) / (dot(i, i) * dot(j, j)).sqrt();
    let (first, second, common) = (r(0, 2), r(1, 2), r(0, 1));
    let both =
        (first * first + second * second - 2.0 * first * second * common) / (1.0 - common * common);
    let (first, second) = (first * first, second * second);
    [(first + both - second) / 2.0, (second + both - first) / 2.0]
}

#[test]
fn contributions_to_a_linear_model_are_parts_of_its_r_squared() {
    let made = tempfile::tempdir().expect("a directory");
    let (places, rows) = people(made.path());
    let town = Town::new(&[("bank", &places[0]), ("shop", &places[1])]);
    let spec = town.directory.path().join("model.toml");
    let job = "job = \"debt\"\npurpose = \"a test\"\nreceivers = [\"bank\"]\n[compute.train]\nmodel = \"linear\"\n\
        partition = \"vertical\"\nlabel = \"bank.people.debt\"\nfeatures = [\"bank.people.income\", \"shop.people.spent\"]\n\
        key = \"id\"\nreport = [\"coef\"]\n[privacy]\ncorrelations = \"ot\"\nmin_cell = 5\n";
    fs::write(&spec, job.to_owned() + RULE).expect("written");
    let _agents = town.start();
    let id = run(&town, &spec);
    let told = town.sides[1].json(&["egress-report", &id], 0)["opened"].clone();
    let told = told.as_array().expect("a list").iter();
    let told: Vec<&Value> = told.filter(|v| v["kind"] == "contribution").collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .all(|v| v["to"] == serde_json::json!(["bank", "shop"]))
    );
    let expected = shares_of_r2(&rows);
    let files: Vec<PathBuf> = town.sides.iter().map(|s| exported(&town, s, &id)).collect();
    let document: Value =
        serde_json::from_str(&fs::read_to_string(&files[1]).expect("text")).expect("JSON");
    for party in ["bank", "shop"] {
        let body = document["receipts"][party]["body"]
            .as_str()
            .expect("a receipt");
        let receipt: Value = serde_json::from_str(body).expect("JSON");
        for (holder, expected) in ["bank", "shop"].into_iter().zip(expected) {
            let told = receipt["contributions"][holder].as_f64().expect("a number") / 1e9;
            assert!(
                (told - expected).abs() < 1e-6,
                "{holder}: {told} {expected}"
            );
        }
    }
    let settled = files.iter().map(|file| {
        let settled = entente(["settle", text(file), "--json"]).expect(0);
        let settled: Value = serde_json::from_str(&settled.stdout).expect("JSON");
        settled["statement"].clone()
    });
    let settled: Vec<Value> = settled.collect();
    assert_eq!(settled[0], settled[1]);
    for file in &files {
        crate::evidence_roundtrip::in_python(file, &[]).expect(0);
    }
    let ppm = settled[0]["jobs"][0]["contributed_ppm"]["bank"].as_f64();
    let part = 1e6 * expected[0] / (expected[0] + expected[1]);
    assert!(
        (ppm.expect("a number") - part).abs() < 10.0,
        "{ppm:?} {part}"
    );
}
