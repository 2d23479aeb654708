//! An agent whose state is not what it was: an older one that was put back, or a log that somebody changed.

use crate::evidence_roundtrip::{clinics, export, run};
use crate::run::job;
use std::fs;
use std::path::Path;
use std::process::Command;

/// An older state that is put back has forgotten runs. The partner's checkpoint shows it before anything is sent.
#[test]
fn an_agent_whose_older_state_was_restored_runs_nothing_any_more() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let home = b.config.parent().expect("a directory");
    let (state, older) = (home.join("state"), home.join("older"));
    let mut agents = town.start();
    run(&town);
    agents.pop().expect("two agents").stop();
    copy(&state, &older);
    agents.push(crate::run::Serving::start("agent", &b.config).0);
    run(&town);
    // The evidence makes sure that both have each other's checkpoints.
    let id = a.json(&["job", "list"], 0)["jobs"][0]["job_id"].clone();
    let id = id.as_str().expect("an id");
    for (side, file) in [(a, "a.json"), (b, "b.json")] {
        export(side, id, &town.directory.path().join(file)).expect(0);
    }
    agents.pop().expect("two agents").stop();
    fs::remove_dir_all(&state).expect("removed");
    copy(&older, &state);
    agents.push(crate::run::Serving::start("agent", &b.config).0);
    let id = town.submit(&job("clinics.toml"));
    b.run(&["job", "approve", &id]).expect(0);
    let failed = b.json(&["job", "watch", &id], 1);
    let what = failed["error"]["what"].as_str().unwrap_or_default();
    assert!(what.contains("an older state was restored"), "{failed}");
    a.run(&["job", "watch", &id]).expect(1);
    // From now on it refuses by itself, and its log says why.
    let next = town.submit_only(&job("clinics.toml"));
    let rejected = a.json(&["job", "watch", &next], 4);
    assert_eq!(rejected["error"]["code"], "log_alarm", "{rejected}");
    let entries = fs::read(state.join("ledger.sqlite-wal")).unwrap_or_default();
    let main = fs::read(state.join("ledger.sqlite")).expect("a ledger");
    let told = [entries, main].concat();
    assert!(
        told.windows(11).any(|w| w == b"rolled_back"),
        "no alarm is on disk"
    );
    // Nor does a new key help.
    agents.pop().expect("two agents").stop();
    let word = town.directory.path().join("rotation.json");
    let word = word.display().to_string();
    b.run(&["keys", "rotate", "--out", &word]).expect(0);
    for side in [a, &town.hub] {
        side.run(&["keys", "accept", &word]).expect(0);
    }
    b.run(&["keys", "rotate", "--finish"]).expect(0);
    agents.push(crate::run::Serving::start("agent", &b.config).0);
    let next = town.submit_only(&job("clinics.toml"));
    let rejected = a.json(&["job", "watch", &next], 4);
    assert_eq!(rejected["error"]["code"], "log_alarm", "{rejected}");
}

fn copy(from: &Path, to: &Path) {
    let ended = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(ended.expect("cp runs").success());
}

/// A log that was changed while the agent did not run is not continued.
#[test]
fn an_agent_whose_log_was_changed_does_not_start() {
    let town = clinics();
    let agents = town.start();
    run(&town);
    agents.into_iter().for_each(crate::run::Serving::stop);
    let b = &town.sides[1];
    let ledger = b.config.with_file_name("state").join("ledger.sqlite");
    let mut bytes = fs::read(&ledger).expect("a ledger");
    let place = bytes
        .windows(12)
        .position(|w| w == b"{\"accepted\":")
        .expect("an entry");
    bytes[place + 2] ^= 1;
    fs::write(&ledger, bytes).expect("written");
    let refused = b.run(&["agent"]).expect(1);
    assert!(
        refused.stderr.contains("its log cannot be relied upon"),
        "{}",
        refused.stderr
    );
}
