//! Training that breaks off and is gone on with, by real processes of which one is killed: the same coefficients as of a run that nobody
//! disturbed, said in the logs and in the receipts.

use crate::evidence_roundtrip::{export, verify};
use crate::run::{Serving, mode, signal, until};
use crate::town::{Side, Town};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const N_FEATURES: u32 = 16;

const NAMES: [&str; 2] = ["bank_1", "bank_2"];

fn noise(i: u32) -> f64 {
    ((f64::from(i) * 12.9898).sin() * 43_758.545).fract().abs()
}

fn features() -> Vec<String> {
    (0..N_FEATURES).map(|k| format!("x{k}")).collect()
}

/// A bank's customers: some numbers, and whether each is bad.
fn loans(from: u32) -> String {
    let mut text = format!("{},bad\n", features().join(","));
    for i in from..from + 300 {
        let x = |k: u32| (100.0 * noise(i + 10_000 * k)).round() / 10.0;
        let risk = 0.4 * x(0) - 0.5 * x(1) + 0.2 * x(2) - 0.1;
        let bad = u8::from(noise(i + 600_000) < 1.0 / (1.0 + (-risk).exp()));
        let cells: Vec<String> = (0..N_FEATURES).map(|k| x(k).to_string()).collect();
        writeln!(text, "{},{bad}", cells.join(",")).expect("a String takes all");
    }
    text
}

fn policy() -> String {
    let mut text = "min_cell = 3\nopen_counts = false\n[tables.loans.columns]\n\
        bad = { label = true, range = [0, 1] }\n"
        .to_owned();
    for name in features() {
        writeln!(text, "{name} = {{ feature = true, range = [0, 10] }}").expect("text");
    }
    text
}

struct Banks {
    home: tempfile::TempDir,
    town: Town,
    agents: Vec<Serving>,
}

impl Banks {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let data = |name: &str| home.path().join(name);
        for (name, from) in NAMES.into_iter().zip([0, 300]) {
            fs::create_dir(data(name)).expect("a directory");
            fs::write(data(name).join("loans.csv"), loans(from)).expect("a table");
            fs::write(data(name).join("policy.toml"), policy()).expect("a policy");
        }
        let (first, second) = (data(NAMES[0]), data(NAMES[1]));
        let town = Town::new(&[(NAMES[0], &first), (NAMES[1], &second)]);
        let agents = town.start();
        Self { home, town, agents }
    }

    fn job(&self) -> PathBuf {
        let text = format!(
            "job = \"risk\"\npurpose = \"test\"\nreceivers = [\"bank_1\"]\n[compute.train]\nmodel = \"logistic\"\npartition = \"horizontal\"\n\
             label = \"bad\"\nfeatures = {:?}\nreport = [\"se\", \"p\", \"loss\"]\ncheckpoint_every = 1\n\
             tables = [\"bank_1.loans\", \"bank_2.loans\"]\n\
             [privacy]\ncorrelations = \"ot\"\nmin_cell = 3\n",
            features()
        );
        let path = self.home.path().join("job.toml");
        fs::write(&path, text).expect("a job");
        path
    }

    fn side(&self, place: usize) -> &Side {
        &self.town.sides[place]
    }

    fn state(&self, place: usize) -> PathBuf {
        self.side(place).config.with_file_name("state")
    }

    fn checkpoints(&self, place: usize, id: &str) -> PathBuf {
        self.state(place).join("checkpoints").join(id)
    }

    /// The steps of which a party keeps where the fit stood.
    fn kept(&self, place: usize, id: &str) -> Vec<u32> {
        let files = fs::read_dir(self.checkpoints(place, id));
        let files = files.into_iter().flatten().flatten();
        let steps = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            name.strip_suffix(".json")?.parse().ok()
        });
        steps.collect()
    }

    fn approved(&self, id: &str) {
        self.side(1).until_state(id, "waiting");
        self.side(1).run(&["job", "approve", id]).expect(0);
    }

    /// What is told of the coefficients of a fit, and its deviance.
    fn fit(&self, id: &str) -> Vec<f64> {
        let side = self.side(0);
        side.run(&["job", "watch", id]).expect(0);
        let result = side.run(&["job", "result", id, "--format", "json"]);
        let result: Value = serde_json::from_str(&result.expect(0).stdout).expect("JSON");
        let rows = result["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), N_FEATURES as usize + 1);
        let cells = rows
            .iter()
            .flat_map(|row| &row.as_array().expect("a row")[1..]);
        let numbers = cells.chain([&result["fit"]["deviance"]]);
        numbers.map(|v| v.as_f64().expect("a number")).collect()
    }

    /// Runs a job until both parties have two checkpoints, and kills the second party's agent.
    fn killed(&mut self, job: &Path) -> String {
        let id = self.town.submit(job);
        self.approved(&id);
        until("two checkpoints at both parties", || {
            let has_two = |place| self.kept(place, &id).len() >= 2;
            (0..2).all(has_two).then_some(())
        });
        let killed = self.agents.remove(1);
        signal(killed.id(), "KILL");
        drop(killed);
        self.side(0).until_state(&id, "failed");
        id
    }

    fn start_again(&mut self) {
        let (agent, _) = Serving::start("agent", &self.side(1).config);
        self.agents.push(agent);
        until("the agent to be online", || {
            let parties = self.side(0).json(&["party", "list"], 0);
            let mut parties = parties["parties"].as_array().expect("a list").iter();
            let is_there = |p: &Value| {
                p["name"] == NAMES[1] && p["online"] == true && !p["catalogue"].is_null()
            };
            parties.any(is_there).then_some(())
        });
    }

    fn receipt(&self, place: usize, id: &str) -> Value {
        let file = self.state(place).join("results").join(id);
        let text = fs::read_to_string(file.join("receipt.json")).expect("a receipt");
        let receipt: Value = serde_json::from_str(&text).expect("JSON");
        receipt["signed"]["receipt"].clone()
    }
}

#[test]
fn a_fit_goes_on_after_a_party_was_killed_and_finds_the_same() {
    let mut banks = Banks::new();
    let job = banks.job();
    let whole = banks.town.submit(&job);
    banks.approved(&whole);
    let whole = banks.fit(&whole);
    let id = banks.killed(&job);
    banks.start_again();
    banks.side(1).until_state(&id, "failed");
    let newest = *banks.kept(1, &id).iter().max().expect("a checkpoint");
    let file = banks.checkpoints(1, &id).join(format!("{newest}.json"));
    assert_eq!(mode(&file), 0o600);
    let shown = banks.side(0).run(&["job", "show", &id]).expect(0).stdout;
    assert!(shown.contains("entente job resume"), "{shown}");
    let next = banks
        .side(0)
        .json(&["job", "resume", &id, "--as", "maria"], 0);
    let next = next["job_id"].as_str().expect("an id").to_owned();
    banks.approved(&next);
    // Steps are found on shares, and rounded by chance there, in an uninterrupted run too.
    for (found, expected) in banks.fit(&next).iter().zip(&whole) {
        assert!((found - expected).abs() < 1e-10, "{found} {expected}");
    }
    banks.side(1).until_state(&next, "completed");
    for place in 0..2 {
        let went_on = &banks.receipt(place, &next)["resumed"];
        assert_eq!(went_on["job_id"], id.as_str());
        let step = went_on["step"].as_u64().expect("a number");
        assert!((1..=u64::from(newest)).contains(&step), "{went_on}");
        let side = banks.side(place);
        side.run(&["log", "verify"]).expect(0);
        let shown = side.run(&["job", "show", &next]).expect(0).stdout;
        assert!(shown.contains(&format!("with job {id}")), "{shown}");
        for job in [&id, &next] {
            let left = banks.checkpoints(place, job);
            assert!(!left.exists(), "nothing is left of {job}");
        }
    }
    let file = banks.home.path().join("evidence.json");
    export(banks.side(0), &next, &file).expect(0);
    verify(&file, &[]).expect(0);
    let evidence = fs::read_to_string(&file).expect("evidence");
    let entries = evidence.replace('\\', "");
    let entries = entries.matches("\"resumed\":{\"earlier\":").count();
    assert_eq!(entries, 2, "one in each log");
    // What has been gone on with has come to its end.
    let again = banks.side(0).run(&["job", "resume", &id, "--json"]);
    assert_eq!(again.json()["error"]["code"], "resumes");
    // Holders commit to their files: with other rows there is no going on.
    let id = banks.killed(&job);
    let table = banks.home.path().join(NAMES[1]).join("loans.csv");
    fs::write(&table, loans(1000)).expect("changed");
    banks.start_again();
    let refused = banks.side(0).run(&["job", "resume", &id, "--json"]);
    let refused = refused.json();
    let what = refused["error"]["what"].as_str().expect("a text");
    assert!(what.contains("the plan is another"), "{refused}");
}
