//! An agent whose ledger, and with it its log, cannot be written: the disk is full. Nothing is agreed to and nothing is run until it can be.

use crate::evidence_roundtrip::clinics;
use crate::run::{Serving, job};
use crate::town::{Side, Town};

/// Both clinics, of which the one at this place may find its disk full.
fn start(town: &Town, may_be_full: usize) -> Vec<Serving> {
    let mut agents = town.start();
    let side = &town.sides[may_be_full];
    agents.remove(may_be_full).stop();
    let (agent, _) = Serving::start_where_the_disk_may_be_full("agent", &side.config);
    agents.insert(may_be_full, agent);
    agents
}

#[test]
fn an_agent_that_cannot_write_its_log_accepts_nothing() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let agents = start(&town, 1);
    let waiting = town.submit(&job("clinics.toml"));
    agents[1].fill_disk(true);
    // A person cannot approve what could not be noted.
    let refused = b.json(&["job", "approve", &waiting, "--as", "jonas"], 1);
    assert_eq!(refused["error"]["code"], "ledger", "{refused}");
    let advice = refused["error"]["what_to_do"].as_str().expect("advice");
    assert!(advice.contains("disk full"), "{refused}");
    // A proposal is turned down, and the proposer hears why.
    let next = town.submit_only(&job("clinics.toml"));
    let rejected = a.json(&["job", "watch", &next], 4);
    assert_eq!(rejected["error"]["code"], "ledger", "{rejected}");
    let what = rejected["error"]["what"].as_str().expect("words");
    assert!(what.contains("cannot write its log"), "{rejected}");
    assert_eq!(b.job(&next), None);
    // Nothing has happened to the one that waits.
    agents[1].fill_disk(false);
    b.run(&["job", "approve", &waiting, "--as", "jonas"])
        .expect(0);
    a.run(&["job", "watch", &waiting]).expect(0);
    b.run(&["log", "verify"]).expect(0);
}

#[test]
fn an_accepted_job_does_not_start_where_the_log_cannot_be_written() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let agents = start(&town, 0);
    let id = town.submit(&job("clinics.toml"));
    // The proposer has accepted by submitting; the job starts when the other one does.
    agents[0].fill_disk(true);
    b.run(&["job", "approve", &id, "--as", "jonas"]).expect(0);
    let failed = a.json(&["job", "watch", &id], 1);
    let what = failed["error"]["what"].as_str().expect("words");
    assert!(what.contains("ledger could not be"), "{failed}");
    let advice = failed["error"]["what_to_do"].as_str().expect("advice");
    assert!(advice.contains("disk full"), "{failed}");
    b.run(&["job", "watch", &id]).expect(1);
    let told = b.job(&id).expect("its line");
    assert_eq!(told["ending"]["culprit"], "clinic_a", "{told}");
    // What happened is written as soon as that is possible. The log has no start of it: no row was read and nothing sent.
    assert!(!is_logged(a, "ended", &id));
    agents[0].fill_disk(false);
    crate::run::until("the end to be written", || {
        is_logged(a, "ended", &id).then_some(())
    });
    assert!(!is_logged(a, "started", &id));
    a.run(&["job", "watch", &id]).expect(1);
    a.run(&["job", "result", &id]).expect(1);
    let again = town.submit(&job("clinics.toml"));
    b.run(&["job", "approve", &again, "--as", "jonas"])
        .expect(0);
    for side in [a, b] {
        side.run(&["job", "watch", &again]).expect(0);
    }
    assert!(is_logged(a, "started", &again));
    a.run(&["log", "verify"]).expect(0);
}

/// Whether a party's log tells this of a job, on disk.
fn is_logged(side: &Side, event: &str, id: &str) -> bool {
    let state = side.config.with_file_name("state");
    let entry = format!("\"{event}\":{{");
    let files = ["ledger.sqlite", "ledger.sqlite-wal"].map(|file| state.join(file));
    files.iter().any(|file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        let places = bytes.windows(entry.len()).enumerate();
        let mut places = places.filter(|(_, w)| *w == entry.as_bytes());
        // An entry is shorter than that, and its job stands in it.
        places.any(|(at, _)| {
            let entry = &bytes[at..bytes.len().min(at + 200)];
            let end = entry.windows(2).position(|w| w == b"}}");
            let entry = &entry[..end.unwrap_or(entry.len())];
            entry.windows(id.len()).any(|w| w == id.as_bytes())
        })
    })
}
