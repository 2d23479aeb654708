//! A newcomer becomes known by an invite, and is let in by those who take its sponsor's word.

use crate::evidence_roundtrip::{clinics, export, run, verify};
use crate::run::root;
use std::fs;
use std::path::Path;

#[test]
fn a_newcomer_is_let_in_on_its_sponsors_word_and_by_nobody_elses() {
    let mut town = clinics();
    let newcomer = town.init("clinic_c", &root().join("examples/data/clinics/clinic_b"));
    let directory = town.directory.path().to_path_buf();
    let file = |name: &str| directory.join(name).display().to_string();
    let (invite, application, word) = (file("invite"), file("application"), file("word"));
    let (a, b) = (&town.sides[0], &town.sides[1]);
    a.run(&["keys", "invite", "clinic_c", "--out", &invite])
        .expect(0);
    // Who it is that invites, the newcomer has to know by another way.
    let apply = ["keys", "apply", &invite, "--out", &application];
    let said = newcomer.run(&apply).expect(2).stderr;
    assert!(said.contains("clinic_a is not trusted here"), "{said}");
    newcomer.trust("clinic_a", &a.fingerprint());
    newcomer.run(&apply).expect(0);
    let said = b
        .run(&["keys", "apply", &invite, "--out", &file("other")])
        .expect(2)
        .stderr;
    assert!(said.contains("the invite is for clinic_c"), "{said}");
    a.run(&["keys", "admit", &application, "--out", &word])
        .expect(0);
    let again = ["keys", "admit", &application, "--out", &file("again")];
    let said = a.run(&again).expect(2).stderr;
    assert!(said.contains("was used already"), "{said}");
    // The newcomer cannot vouch for itself: the coordinator knows clinic_a, and not clinic_c.
    let said = newcomer
        .run(&["keys", "accept", &application])
        .expect(2)
        .stderr;
    assert!(said.contains("not validly signed"), "{said}");
    for side in [b, &town.hub] {
        side.run(&["keys", "accept", &word]).expect(0);
        let trusted = side.json(&["keys", "show"], 0)["trusted"].to_string();
        assert!(trusted.contains(&newcomer.fingerprint()), "{trusted}");
        assert!(trusted.contains("sponsored by clinic_a"), "{trusted}");
    }
    assert!(Path::new(&word).exists());
    town.sides.push(newcomer);
    // Waits until the newcomer, too, is online with its catalogue.
    let agents = town.start();
    agents.into_iter().for_each(crate::run::Serving::stop);
}

/// Two clinics compute before, between and after; what was exported before and what is exported afterwards both hold.
#[test]
fn a_party_changes_its_key_while_jobs_go_on() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let file = |name: &str| town.directory.path().join(name);
    let word = file("rotation.json").display().to_string();
    let before = a.fingerprint();
    let stop =
        |agents: Vec<crate::run::Serving>| agents.into_iter().for_each(crate::run::Serving::stop);
    a.run(&["keys", "rotate", "--out", &word]).expect(0);
    let said = a.run(&[
        "keys",
        "rotate",
        "--out",
        &file("again").display().to_string(),
    ]);
    assert!(
        said.expect(2)
            .stderr
            .contains("a next key is there already")
    );
    for side in [b, &town.hub] {
        side.run(&["keys", "accept", &word]).expect(0);
    }
    // Everybody has taken the new key in, and clinic_a still uses the old one.
    let agents = town.start();
    let first = run(&town);
    stop(agents);
    let said = a.run(&["keys", "rotate", "--finish"]).expect(0).stdout;
    let after = a.fingerprint();
    assert!(before != after && said.contains(&after), "{said}");
    let agents = town.start();
    let second = run(&town);
    let key_of = |id: &str| {
        let job = a.json(&["job", "show", id], 0);
        let parties = job["parties"].as_array().expect("parties").clone();
        let own = parties.iter().find(|p| p["name"] == "clinic_a");
        own.expect("a party")["fingerprint"]
            .as_str()
            .expect("a key")
            .to_owned()
    };
    assert_eq!(
        (key_of(&first), key_of(&second)),
        (before.clone(), after.clone())
    );
    // Evidence names the key of its time, and a list that has both says so.
    let trust = file("trust.toml");
    let list = fs::read_to_string(b.config.with_file_name("trusted.toml")).expect("a list");
    let own = b.fingerprint();
    let list = list + &format!("\n[[party]]\nname = \"clinic_b\"\nfingerprint = \"{own}\"\n");
    fs::write(&trust, list).expect("written");
    for (side, id) in [(a, &first), (a, &second), (b, &first), (b, &second)] {
        let exported = file(&format!("{}-{id}.json", side.name));
        export(side, id, &exported).expect(0);
        let trust = ["--trust", trust.to_str().expect("UTF-8")];
        verify(&exported, &trust).expect(0);
    }
    stop(agents);
    let log = a.run(&["log", "verify"]).expect(0).stdout;
    assert!(log.contains("the log is whole"), "{log}");
}

/// Agents that have taken the coordinator's next key in go on before and after it is used.
#[test]
fn a_coordinator_changes_its_key_and_agents_go_on() {
    let mut town = clinics();
    let word = town.directory.path().join("rotation.json");
    let word = word.display().to_string();
    let before = town.hub.fingerprint();
    town.hub.run(&["keys", "rotate", "--out", &word]).expect(0);
    for side in &town.sides {
        let said = side.run(&["keys", "accept", &word]).expect(0).stdout;
        assert!(said.contains("start the agent again"), "{said}");
        let written = fs::read_to_string(&side.config).expect("a configuration");
        side.run(&["keys", "accept", &word]).expect(0);
        let again = fs::read_to_string(&side.config).expect("a configuration");
        assert_eq!(written, again, "once is enough");
        assert!(written.contains(&format!("former = [{{ fingerprint = \"{before}\"")));
    }
    let go_on = |town: &crate::town::Town| {
        let agents = town.start();
        run(town);
        agents.into_iter().for_each(crate::run::Serving::stop);
    };
    go_on(&town);
    town.hub.run(&["keys", "rotate", "--finish"]).expect(0);
    assert_ne!(town.hub.fingerprint(), before);
    town.restart_hub();
    go_on(&town);
}
