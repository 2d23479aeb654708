//! How things end when something goes wrong: a party killed mid-run, a rehearsal killed, interrupted or out of time.

use crate::run::{Ended, Serving, command, finish, party, processes_about, signal, until, wait};
use crate::town::Town;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Parties `a`, `b` and `c`; `a` needs minutes for its own part, so that things can happen meanwhile.
struct Slow {
    directory: tempfile::TempDir,
}

const PARTIES: [&str; 3] = ["a", "b", "c"];

impl Slow {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let rows: String = (0..40_000)
            .map(|i| format!("{},{}\n", ["x", "y"][i % 2], i % 7))
            .collect();
        let policy = "min_cell = 2\nopen_counts = false\n[tables.t.columns]\ng = { group_by = true, filter = true, categories = [\"x\", \"y\"] }\n\
                      v = { aggregate = [\"count\", \"sum\"], filter = true, range = [0, 10] }\n";
        for name in PARTIES {
            let home = directory.path().join(name);
            fs::create_dir(&home).expect("a directory");
            fs::write(home.join("t.csv"), format!("g,v\n{rows}")).expect("a file");
            fs::write(home.join("policy.toml"), policy).expect("a file");
        }
        fs::create_dir(directory.path().join("tmp")).expect("a directory");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A cross join of party a's table with itself: 1.6 billion rows, all at its own place.
    fn job(&self) -> PathBuf {
        let text = "job = \"slow\"\npurpose = \"test\"\nreceivers = [\"a\", \"b\", \"c\"]\n[compute]\nsql = \"\"\"\n\
            SELECT g, COUNT(*) AS n, SUM(v) AS v FROM (SELECT l.g, l.v FROM a.t l CROSS JOIN a.t r WHERE l.v + r.v >= 0 \
            UNION ALL SELECT g, v FROM b.t UNION ALL SELECT g, v FROM c.t) u GROUP BY g\n\"\"\"\n\
            [privacy]\ncorrelations = \"ot\"\nmin_cell = 2\n";
        let path = self.path("job.toml");
        fs::write(&path, text).expect("a file");
        path
    }

    /// A rehearsal whose processes and files can be told from those of other tests.
    fn rehearsal(&self, more: &[&str]) -> Child {
        let mut command = command(["simulate"]);
        command
            .arg(self.job())
            .env("TMPDIR", self.path("tmp"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in PARTIES {
            command.args(["--party", &party(name, &self.path(name))]);
        }
        command.args(more).spawn().expect("the binary starts")
    }

    fn children(&self) -> Vec<u32> {
        processes_about(&self.path("tmp"))
    }

    fn until_all_run(&self) {
        until("a coordinator and three agents", || {
            (self.children().len() == 4).then_some(())
        });
    }

    fn until_none_runs(&self) {
        until("no process to be left", || {
            self.children().is_empty().then_some(())
        });
    }

    fn left_behind(&self) -> usize {
        fs::read_dir(self.path("tmp")).expect("a directory").count()
    }
}

/// The parties as agents of their own, in the middle of the slow job.
fn running(slow: &Slow) -> (Town, Vec<Serving>, String) {
    let paths: Vec<PathBuf> = PARTIES.iter().map(|name| slow.path(name)).collect();
    let parties: Vec<(&str, &Path)> = PARTIES
        .iter()
        .copied()
        .zip(paths.iter().map(PathBuf::as_path))
        .collect();
    let town = Town::new(&parties);
    let agents = town.start();
    let id = town.submit(&slow.job());
    for side in &town.sides[1..] {
        side.run(&["job", "approve", &id]).expect(0);
    }
    for side in &town.sides {
        side.until_state(&id, "running");
    }
    (town, agents, id)
}

#[test]
fn a_halt_at_one_party_ends_a_running_job_everywhere_until_it_is_lifted() {
    let slow = Slow::new();
    let (town, agents, id) = running(&slow);
    let b = &town.sides[1];
    let halted = b.json(&["halt", "--reason", "an incident", "--as", "maria"], 0);
    assert_eq!(halted["stopped"], serde_json::json!([id]), "{halted}");
    for side in &town.sides {
        side.until_state(&id, "cancelled");
        side.run(&["job", "result", &id]).expect(4);
    }
    let refused = b.json(&["job", "submit", &slow.job().display().to_string()], 3);
    assert_eq!(refused["error"]["code"], "halted", "{refused}");
    let shown = b.json(&["halt", "--show"], 0);
    assert_eq!(shown["halted"]["by"], "maria", "{shown}");
    b.run(&["halt", "--lift"]).expect(0);
    // What was lifted is in the log, as everything else.
    b.run(&["log", "verify"]).expect(0);
    let second = town.submit(&slow.job());
    let revoked = b.run(&["revoke", &second, "--reason", "a consent is in doubt"]);
    assert!(revoked.expect(0).stdout.contains("approval revoked"));
    for side in &town.sides {
        side.until_state(&second, "cancelled");
    }
    drop(agents);
}

#[test]
fn killing_one_agent_mid_run_ends_the_others_with_5_and_no_result() {
    let slow = Slow::new();
    let (town, mut agents, id) = running(&slow);
    signal(agents.remove(1).id(), "KILL");
    for side in [&town.sides[0], &town.sides[2]] {
        let document = side.json(&["job", "watch", &id], 5);
        assert!(
            document["error"]["what"].as_str().is_some_and(|what| what
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "b")),
            "{document}"
        );
        side.run(&["job", "result", &id]).expect(5);
    }
}

#[test]
fn a_rehearsal_whose_agent_dies_says_so_and_ends_with_5() {
    let slow = Slow::new();
    let rehearsal = slow.rehearsal(&["--json"]);
    slow.until_all_run();
    let agent = until("party b's agent", || {
        processes_about(&slow.path("tmp"))
            .into_iter()
            .find(|id| is_agent_of(*id, "b"))
    });
    signal(agent, "KILL");
    let document = wait(rehearsal).expect(5).json();
    assert!(
        document["error"]["what"]
            .as_str()
            .is_some_and(|what| what.contains("of b ended")),
        "{document}"
    );
    slow.until_none_runs();
    assert_eq!(slow.left_behind(), 0);
}

fn is_agent_of(process: u32, party: &str) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&format!("/{party}/agent.toml"))
}

#[test]
fn an_interrupted_rehearsal_leaves_nothing_behind() {
    for name in ["INT", "TERM"] {
        let slow = Slow::new();
        let rehearsal = slow.rehearsal(&[]);
        slow.until_all_run();
        signal(rehearsal.id(), name);
        let ended: Ended = wait(rehearsal).expect(1);
        assert!(
            ended.stderr.contains("all its processes were stopped"),
            "{}",
            ended.stderr
        );
        slow.until_none_runs();
        assert_eq!(slow.left_behind(), 0, "{name}");
    }
}

#[test]
fn the_processes_of_a_killed_rehearsal_end_by_themselves() {
    let slow = Slow::new();
    let mut rehearsal = slow.rehearsal(&[]);
    slow.until_all_run();
    rehearsal.kill().expect("killed");
    rehearsal.wait().expect("waited");
    slow.until_none_runs();
}

#[test]
fn a_rehearsal_out_of_time_ends_with_5() {
    let slow = Slow::new();
    let ended = wait(slow.rehearsal(&["--timeout", "1"])).expect(5);
    assert!(ended.stderr.contains("--timeout"), "{}", ended.stderr);
    slow.until_none_runs();
}

#[test]
fn a_finished_rehearsal_leaves_no_process_and_no_file() {
    let slow = Slow::new();
    let mut command = command(["demo", "--json"]);
    command.env("TMPDIR", slow.path("tmp"));
    finish(command).expect(0);
    assert!(slow.children().is_empty());
    assert_eq!(slow.left_behind(), 0);
}
