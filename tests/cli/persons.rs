//! A person who approves with a key, at the terminal.

use crate::evidence_roundtrip::{clinics, export, in_python, verify};
use crate::run::{entente, job};
use coordinator::contract::{Acceptance, Statement, canonical};
use coordinator::tls::Identity;
use serde_json::Value;
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
    assert_predicted_and_measured(&shown);
    let file = town.directory.path().join("evidence.json");
    export(a, &id, &file).expect(0);
    assert!(verify(&file, &[]).expect(0).stdout.contains(&person));
    in_python(&file, &[]).expect(0);
    let text = fs::read_to_string(&file).expect("evidence");
    let own = Identity::load(&b.config.with_file_name("identity")).expect("its key");
    for (what, change) in FORGERIES {
        let forged = with_another_acceptance(&text, &own, *change);
        fs::write(&file, forged).expect("written");
        for ended in [verify(&file, &[]), in_python(&file, &[])] {
            assert_eq!(ended.code, 24, "{what}: {}{}", ended.stdout, ended.stderr);
        }
    }
}

/// As many rounds as the plan has predicted, and no more bytes.
fn assert_predicted_and_measured(shown: &str) {
    let row = |name: &str| -> Vec<&str> {
        let mut lines = shown.lines().map(str::trim).rev();
        let line = lines.find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {shown}"));
        line.split_whitespace().skip(1).collect()
    };
    let rounds = row("rounds");
    assert_eq!(rounds[0], rounds[1], "{shown}");
    let sent = row("sent");
    let bytes = |at: usize| {
        let unit = if sent[at + 1] == "kB" { 1e3 } else { 1.0 };
        unit * sent[at].parse::<f64>().expect("a number")
    };
    assert!(bytes(2) <= bytes(0) && bytes(2) > 0.0, "{shown}");
}

/// What a party could put under its own signature in a person's name.
const FORGERIES: &[(&str, fn(&mut Value))] = &[
    ("a person who approved something else", |acceptance| {
        let body = &mut acceptance["signed_by"][0]["body"];
        let changed = body.as_str().expect("text").replace("clinic_b", "clinic_a");
        *body = changed.into();
    }),
    ("somebody else's name", |acceptance| {
        let said = acceptance["approved_by"].as_str().expect("text");
        acceptance["approved_by"] = said.replace("jonas", "maria").into();
    }),
    ("one person twice", |acceptance| {
        let list = acceptance["signed_by"].as_array_mut().expect("a list");
        list.push(list[0].clone());
    }),
];

/// The evidence in which a party has signed another acceptance, with its own key.
fn with_another_acceptance(text: &str, own: &Identity, change: fn(&mut Value)) -> Vec<u8> {
    let mut evidence: Value = serde_json::from_str(text).expect("JSON");
    let key = own.public_key().to_string();
    let acceptances = evidence["acceptances"].as_array_mut().expect("a list");
    let mut signed = acceptances.iter_mut();
    let signed = signed.find(|signed| signed["public_key"] == key.as_str());
    let signed = signed.expect("the party's own");
    let body = signed["body"].as_str().expect("text");
    let mut acceptance: Value = serde_json::from_str(body).expect("JSON");
    change(&mut acceptance);
    let body = canonical::encode(&acceptance).expect("canonical");
    let signature = own.sign(Acceptance::CONTEXT, &body);
    signed["signature"] = serde_json::to_value(signature).expect("JSON");
    signed["body"] = String::from_utf8(body).expect("text").into();
    canonical::encode(&evidence).expect("canonical")
}
