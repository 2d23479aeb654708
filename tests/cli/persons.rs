//! A person who approves with a key, at the terminal.

use crate::evidence_roundtrip::clinics;
use crate::run::{entente, job};
use std::fs;

#[test]
fn a_person_approves_with_a_key_where_the_policy_lists_one() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let key = town.directory.path().join("jonas.key");
    let key = key.to_str().expect("UTF-8");
    let make = ["keys", "person", "jonas", "--dir", key, "--json"];
    let made = entente(make).expect(0).json();
    entente(make).expect(2);
    let policy = b.config.with_file_name("policy.toml");
    let text = fs::read_to_string(&policy).expect("a policy");
    fs::write(
        &policy,
        format!("{text}\n[persons]\njonas = {}\n", made["fingerprint"]),
    )
    .expect("written");
    let _agents = town.start();
    let id = town.submit(&job("clinics.toml"));
    let said = b
        .run(&["job", "approve", &id, "--as", "jonas"])
        .expect(2)
        .stderr;
    assert!(said.contains("has to be signed"), "{said}");
    b.run(&["job", "approve", &id, "--key", key]).expect(0);
    a.run(&["job", "watch", &id]).expect(0);
    let shown = b.run(&["job", "show", &id]).expect(0).stdout;
    let person = format!("jonas ({})", made["fingerprint"].as_str().expect("a key"));
    assert!(shown.contains(&person), "{shown}");
}
