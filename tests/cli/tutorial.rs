//! Two clinics and a coordinator, each in a directory of its own, by the commands that a new user types.

use crate::run::{Serving, entente, job, mode, root};
use crate::town::{Side, Town};
use std::fs;
use std::path::Path;

fn clinics() -> Town {
    let data = root().join("examples/data/clinics");
    Town::new(&[
        ("clinic_a", &data.join("clinic_a")),
        ("clinic_b", &data.join("clinic_b")),
    ])
}

#[test]
fn two_clinics_from_keys_to_result() {
    let clinics = clinics();
    let (a, b) = (&clinics.sides[0], &clinics.sides[1]);
    let agents = clinics.start();
    looks_before_asking(a);

    let id = clinics.submit(&job("clinics.toml"));
    let show = b.run(&["job", "show", &id[..6]]).expect(0).stdout;
    for part in ["Quality circle 2026", "clinic_a", "waiting", "learns"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    b.run(&["job", "approve", &id[..6], "--as", "jonas"])
        .expect(0);
    let watched = a.run(&["job", "watch", &id]).expect(0);
    assert!(watched.stdout.contains("complete"), "{}", watched.stdout);
    b.run(&["job", "watch", &id]).expect(0);

    fetches_the_result(a, &id, &clinics.directory.path().join("fees.csv"));
    // Clinic B is no receiver.
    let refused = b.run(&["job", "result", &id]).expect(2);
    assert!(
        refused.stderr.contains("only receivers"),
        "{}",
        refused.stderr
    );

    agents.into_iter().for_each(crate::run::Serving::stop);
    let gone = a.run(&["job", "list"]).expect(1);
    assert!(
        gone.stderr.contains("entente agent --config"),
        "{}",
        gone.stderr
    );
}

fn looks_before_asking(a: &Side) {
    let list = a.run(&["dataset", "list"]).expect(0).stdout;
    assert!(
        list.contains("clinic_a.visits") && list.contains("clinic_b.visits"),
        "{list}"
    );
    let show = a
        .run(&["dataset", "show", "clinic_b.visits"])
        .expect(0)
        .stdout;
    assert!(show.contains("科室") && show.contains("decimal"), "{show}");
    assert!(!show.contains("096389"), "a value is shown: {show}");
    let ping = a.run(&["party", "ping", "clinic_b"]).expect(0).stdout;
    assert!(ping.contains("clinic_b: online"), "{ping}");
    let file = job("clinics.toml").display().to_string();
    let check = a.run(&["job", "check", &file]).expect(0).stdout;
    assert!(check.contains("can be planned"), "{check}");
    let plan = a.run(&["job", "plan", &file]).expect(0).stdout;
    for part in [
        "what each party learns",
        "clinic_b:",
        "rounds",
        "compared on shares",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}

fn fetches_the_result(a: &Side, id: &str, csv: &Path) {
    let table = a.run(&["job", "result", id]).expect(0).stdout;
    assert!(
        table.contains("内科") && table.contains("18,751.48"),
        "{table}"
    );
    let file = csv.to_str().expect("UTF-8");
    let to_file = ["job", "result", id, "--format", "csv", "--out", file];
    a.run(&to_file).expect(0);
    assert_eq!(mode(csv), 0o600);
    let text = fs::read_to_string(csv).expect("a file");
    assert!(
        text.starts_with("department,visits,billed,fees,mean_fee,mean_age"),
        "{text}"
    );
    assert!(text.contains("18751.48"), "{text}");
    // A file that is there is not overwritten.
    a.run(&to_file).expect(2);
    assert_eq!(a.json(&["job", "result", id], 0)["rows"][0][0], "内科");
}

/// What an agent agreed to and ran is on its log, which it can show to be the one that it signed.
#[test]
fn the_log_of_a_finished_job_is_whole_and_a_partner_can_keep_its_checkpoint() {
    let (clinics, _agents, _) = cancelled();
    let (a, b) = (&clinics.sides[0], &clinics.sides[1]);
    let kept = a.config.with_file_name("kept.txt");
    let report = a.json(&["log", "verify"], 0);
    assert_eq!(report["n_jobs"], 1, "{report}");
    let note = report["checkpoint"].as_str().expect("signed");
    fs::write(&kept, note).expect("a file");
    let known = ["log", "verify", "--known", kept.to_str().expect("UTF-8")];
    let text = a.run(&known).expect(0).stdout;
    assert!(text.starts_with("the log is whole"), "{text}");
    assert!(text.contains("entente.log/clinic_a"), "{text}");
    // It is not a checkpoint of the other one's log, and a job file is none at all.
    let other = b.json(&known, 1);
    assert_eq!(other["error"]["code"], "log_changed", "{other}");
    fs::write(&kept, "job = 1").expect("a file");
    a.run(&known).expect(2);
}

#[test]
fn a_rejected_job_ends_with_4_everywhere() {
    let clinics = clinics();
    let (a, b) = (&clinics.sides[0], &clinics.sides[1]);
    let _agents = clinics.start();
    let id = clinics.submit(&job("clinics.toml"));
    b.run(&[
        "job",
        "reject",
        &id,
        "--reason",
        "not covered by our agreement",
    ])
    .expect(0);
    for side in [a, b] {
        let document = side.json(&["job", "watch", &id], 4);
        assert!(
            document["error"]["what"]
                .as_str()
                .is_some_and(|what| !what.is_empty()),
            "{document}"
        );
    }
    a.run(&["job", "result", &id]).expect(4);
}

#[test]
fn a_cancelled_job_ends_with_4_and_no_result() {
    let (clinics, _agents, id) = cancelled();
    clinics.sides[0].run(&["job", "result", &id]).expect(4);
}

/// A job that one of both clinics has cancelled, and which has ended at the other one.
fn cancelled() -> (Town, Vec<Serving>, String) {
    let clinics = clinics();
    let agents = clinics.start();
    let id = clinics.submit(&job("clinics.toml"));
    clinics.sides[1].run(&["job", "cancel", &id]).expect(0);
    clinics.sides[0].run(&["job", "watch", &id]).expect(4);
    (clinics, agents, id)
}

#[test]
fn an_agent_that_nobody_trusts_is_told_what_to_do() {
    let clinics = clinics();
    let empty = tempfile::tempdir().expect("a directory");
    let stranger = clinics.init("stranger", empty.path());
    let doctor = stranger.run(&["doctor"]).expect(1);
    let line = doctor
        .stdout
        .lines()
        .find(|line| line.contains("coordinator "))
        .expect("a line on the coordinator");
    assert!(line.starts_with("PROBLEM"), "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("entente keys trust"),
        "{}",
        doctor.stdout
    );
    clinics.hub.trust("stranger", &stranger.fingerprint());
    // The coordinator sees a new member by itself; everything else of this agent is in order already.
    crate::run::until("the coordinator to let it in", || {
        let report = stranger.run(&["doctor", "--json"]).json();
        let checks = report["checks"].as_array().expect("checks").clone();
        checks
            .iter()
            .any(|check| check["name"] == "coordinator" && check["ok"] == true)
            .then_some(())
    });
}

#[test]
fn the_coordinators_key_can_be_filled_in_later_and_not_changed_by_accident() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path().join("a");
    entente([
        "init",
        "agent",
        "--name",
        "a",
        "--dir",
        &home.display().to_string(),
        "--coordinator",
        "hub=127.0.0.1:7400",
    ])
    .expect(0);
    let side = Side {
        name: "a".to_owned(),
        config: home.join("agent.toml"),
    };
    let refused = side.run(&["job", "list"]).expect(2);
    assert!(
        refused.stderr.contains("entente keys trust"),
        "{}",
        refused.stderr
    );
    let key = "SHA256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
    side.trust("hub", key);
    side.trust("hub", key);
    assert_eq!(
        side.json(&["keys", "show"], 0)["coordinator"]["fingerprint"],
        key
    );
    let other = side.fingerprint();
    side.run(&["keys", "trust", "hub", &other]).expect(2);
    side.run(&["keys", "trust", "b", "SHA256:short"]).expect(2);
    assert_eq!(mode(&home.join("identity/key.pem")), 0o600);
    // Nothing is overwritten.
    let again = entente([
        "init",
        "agent",
        "--name",
        "a",
        "--dir",
        &home.display().to_string(),
        "--coordinator",
        "hub=127.0.0.1:7400",
    ]);
    again.expect(2);
    assert_eq!(side.fingerprint(), other);
}

#[test]
fn a_table_can_be_added_while_the_agent_runs() {
    let clinics = clinics();
    let a = &clinics.sides[0];
    let _agents = clinics.start();
    let file = clinics.directory.path().join("beds.csv");
    fs::write(&file, "ward,beds\nA,3\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let added = a.run(&["dataset", "add", "beds", file]).expect(0).stdout;
    assert!(
        added.contains("clinic_a.beds") && added.contains("[tables.beds]"),
        "{added}"
    );
    a.run(&["dataset", "add", "beds", file]).expect(2);
    a.run(&["dataset", "add", "more", "nowhere.csv"]).expect(2);
}

#[test]
fn a_new_policy_suggests_the_columns_and_allows_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path().join("a").display().to_string();
    let data = root()
        .join("examples/data/clinics/clinic_a")
        .display()
        .to_string();
    entente([
        "init",
        "agent",
        "--name",
        "a",
        "--dir",
        &home,
        "--coordinator",
        "hub=127.0.0.1:7400",
        "--data",
        &data,
    ])
    .expect(0);
    let policy = fs::read_to_string(directory.path().join("a/policy.toml")).expect("a policy");
    for line in [
        "# [tables.visits.columns]",
        "# \"科室\" = { group_by",
        "# age = { aggregate",
    ] {
        assert!(policy.contains(line), "{line} is missing in\n{policy}");
    }
    let allowing = policy
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains('['));
    assert_eq!(allowing.count(), 0, "{policy}");
}

#[test]
fn an_agent_is_not_started_twice() {
    let clinics = clinics();
    let _agents = clinics.start();
    let refused = clinics.sides[0].run(&["agent"]).expect(2);
    assert!(
        refused.stderr.contains("runs already"),
        "{}",
        refused.stderr
    );
}
