//! What was agreed as a file: exported by a party, verified by anybody, and by two programs alike when somebody changed it.

use crate::evidence_roundtrip::{clinics, in_python, run};
use crate::run::{Ended, Serving, entente, job, root};
use crate::town::Town;
use coordinator::contract::canonical;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn export(town: &Town, side: usize, id: &str) -> (PathBuf, Ended) {
    let file = town.directory.path().join(format!("contract_{side}.json"));
    let out = file.to_str().expect("UTF-8");
    let ended = town.sides[side].run(&["contract", "export", id, "--out", out, "--json"]);
    (file, ended)
}

fn verify(file: &Path, more: &[&str]) -> Ended {
    let head = ["contract", "verify", file.to_str().expect("UTF-8")];
    entente(head.iter().chain(more))
}

/// The words that `--tamper-all` ends with, if all changes were found.
fn all_rejected(text: &str) -> usize {
    let line = text.lines().find(|line| line.ends_with(" rejected"));
    let line = line.unwrap_or_else(|| panic!("no count in {text}"));
    let (found, n) = line
        .trim_end_matches(" rejected")
        .split_once('/')
        .expect("n/n");
    assert_eq!(found, n, "{text}");
    n.parse().expect("a number")
}

/// A file that a demo of an earlier build has left: `entente demo --out` writes one as `contract.json`.
#[test]
fn the_bundled_contract_holds_and_no_change_of_it_does() {
    let file = root().join("examples/contracts/claims/contract.json");
    let said = verify(&file, &["--tamper-all"]).expect(0).stdout;
    assert!(said.contains("the contract holds"), "{said}");
    assert!(all_rejected(&said) > 400, "{said}");
    let said = in_python(&file, &[]).expect(0).stdout;
    assert!(said.contains("holds"), "{said}");
}

#[test]
fn any_party_exports_the_same_contract_once_all_have_approved() {
    let town = clinics();
    let agents = town.start();
    let id = town.submit(&job("clinics.toml"));
    for (side, says) in [(0, "approval is missing"), (1, "has not accepted")] {
        let early = export(&town, side, &id).1.expect(2).json();
        assert_eq!(early["error"]["code"], "not_agreed", "{early}");
        let what = early["error"]["what"].as_str().expect("words");
        assert!(what.contains(says), "{early}");
    }
    let id = run(&town);
    let files = [0, 1].map(|side| {
        let (file, ended) = export(&town, side, &id);
        ended.expect(0);
        file
    });
    agents.into_iter().for_each(Serving::stop);
    let [a, b] = files.map(|file| (fs::read(&file).expect("a contract"), file));
    assert_eq!(a.0, b.0);
    let said = verify(&a.1, &[]).expect(0).stdout;
    assert!(said.contains("person jonas"), "{said}");
    let keys = [0, 1].map(|i: usize| town.sides[i].fingerprint());
    let list = town.directory.path().join("trust.toml");
    let list = list.to_str().expect("UTF-8");
    for (code, keys) in [(0, [&keys[0], &keys[1]]), (22, [&keys[1], &keys[0]])] {
        let pin = |(name, key)| format!("[[party]]\nname = \"{name}\"\nfingerprint = \"{key}\"\n");
        let pins = ["clinic_a", "clinic_b"].into_iter().zip(keys).map(pin);
        fs::write(list, pins.collect::<String>()).expect("written");
        verify(&a.1, &["--trust", list]).expect(code);
        in_python(&a.1, &[list]).expect(code);
    }
    let all = verify(&a.1, &["--tamper-all", "--json"]).expect(0).json();
    assert_eq!(all["tamperings"], all["rejected"], "{all}");
    both_find(&a.1, &a.0);
}

/// What somebody does to the file who has none of the keys, and the check that finds it.
type Tampering = (&'static str, i32, fn(&mut Value));

const TAMPERINGS: [Tampering; 8] = [
    ("another purpose", 21, |c| {
        replace(
            &mut c["contract"]["body"],
            "Quality circle",
            "Marketing circle",
        );
    }),
    ("an approval less", 23, |c| {
        c["acceptances"].as_array_mut().expect("a list").remove(1);
    }),
    ("an approval twice", 23, |c| {
        let list = c["acceptances"].as_array_mut().expect("a list");
        list.push(list[0].clone());
    }),
    ("approvals in another order", 23, |c| {
        c["acceptances"].as_array_mut().expect("a list").swap(0, 1);
    }),
    ("another approver", 24, |c| {
        replace(
            &mut c["acceptances"][1]["body"],
            "person jonas",
            "person maria",
        );
    }),
    ("another page", 25, |c| {
        replace(&mut c["pages"]["zh"], "clinic_a", "clinic_c")
    }),
    ("another plan", 26, |c| {
        replace(&mut c["plan"], "\"at_least\":", "\"at_least\":1")
    }),
    ("a field more", 20, |c| c["seal"] = Value::Null),
];

fn replace(text: &mut Value, old: &str, new: &str) {
    let before = text.as_str().expect("a text");
    assert!(before.contains(old), "{old} is not in {before}");
    *text = before.replacen(old, new, 1).into();
}

fn both_find(file: &Path, whole: &[u8]) {
    let value: Value = serde_json::from_slice(whole).expect("JSON");
    let changed = TAMPERINGS.map(|(what, code, tamper)| {
        let mut changed = value.clone();
        tamper(&mut changed);
        (what, code, canonical::encode(&changed).expect("canonical"))
    });
    let text = String::from_utf8(whole.to_vec()).expect("text");
    let by_hand = [
        ("a blank", 20, format!("{text} ").into_bytes()),
        (
            "a key twice",
            20,
            text.replacen('{', "{\"acceptances\":[],", 1).into_bytes(),
        ),
        (
            "a float",
            20,
            text.replacen("\"format\":\"entente-contract/1\"", "\"format\":1.0", 1)
                .into_bytes(),
        ),
    ];
    for (what, code, bytes) in changed.into_iter().chain(by_hand) {
        assert_ne!(bytes, whole, "{what} changes nothing");
        fs::write(file, bytes).expect("written");
        for ended in [verify(file, &[]), in_python(file, &[])] {
            assert_eq!(ended.code, code, "{what}: {}{}", ended.stdout, ended.stderr);
        }
    }
}
