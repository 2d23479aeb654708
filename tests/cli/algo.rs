//! What a person who vets procedures is shown: every manifest, all of it.

use crate::run::{entente, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// The files as they are checked in.
fn manifests() -> Vec<Value> {
    let files = fs::read_dir(root().join("party-agent/manifests")).expect("manifests");
    let read = |file: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(file.expect("a file").path()).expect("text");
        toml::from_str(&text).expect("a manifest")
    };
    files.map(read).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("a text")).collect()
}

#[test]
fn a_description_shows_all_that_a_manifest_says() {
    let listed = entente(["algo", "list", "--json"]).expect(0).json();
    let listed = listed["procedures"].as_array().expect("procedures");
    let manifests = manifests();
    let ids =
        |all: &[Value]| -> BTreeSet<String> { all.iter().map(|m| m["id"].to_string()).collect() };
    assert_eq!(ids(listed), ids(&manifests), "every file is a procedure");
    for manifest in &manifests {
        let id = manifest["id"].as_str().expect("an id");
        let entry = listed.iter().find(|entry| entry["id"] == id);
        let digest = entry.expect("listed above")["digest"]
            .as_str()
            .expect("a digest");
        let text = entente(["algo", "describe", id]).expect(0).stdout;
        // By its digest, as policies name it, the same.
        assert_eq!(entente(["algo", "describe", digest]).expect(0).stdout, text);
        let head = format!(
            "{id} {}\n{}\n{digest}\n\n",
            manifest["version"].as_str().expect("a version"),
            manifest["title"].as_str().expect("a title")
        );
        assert!(text.starts_with(&head), "{text}");
        let mut rest = &text[head.len()..];
        let adversary = Value::Array(vec![manifest["adversary"].clone()]);
        let bounds = manifest["parameter"].as_array().expect("bounds").iter();
        let bound = |p: &Value| {
            let name = p["name"].as_str().expect("a name");
            Value::String(format!("{name}: {} to {}", p["least"], p["most"]))
        };
        let bounds = Value::Array(bounds.map(bound).collect());
        for (title, of) in [
            ("takes part", &manifest["roles"]),
            ("goes in", &manifest["inputs"]),
            ("bounds", &bounds),
            ("is opened", &manifest["opens"]),
            ("is learnt besides", &manifest["leaks"]),
            ("is secure against", &adversary),
            ("is sent", &manifest["messages"]),
        ] {
            let lines = texts(of).into_iter().map(|line| format!("  {line}\n"));
            let part = format!("{title}\n{}", lines.collect::<String>());
            assert!(rest.starts_with(&part), "{id}: {title} in\n{rest}");
            rest = &rest[part.len()..];
        }
        assert_eq!(rest, "", "{id}: and nothing else");
        let document = entente(["algo", "describe", id, "--json"]).expect(0).json();
        assert_eq!(&document, manifest, "{id}");
    }
}

#[test]
fn every_manifest_is_whole_and_one_that_is_not_there_is_named() {
    let n = manifests().len();
    for words in [&["algo", "lint", "--all"][..], &["algo", "lint"]] {
        let text = entente(words).expect(0).stdout;
        assert_eq!(text, format!("{n} manifests are whole\n"));
    }
    let one = entente(["algo", "lint", "entente:totals"]).expect(0).stdout;
    assert_eq!(one, "1 manifest is whole\n");
    for verb in ["describe", "lint"] {
        let told = entente(["algo", verb, "entente:nothing", "--json"])
            .expect(2)
            .json();
        assert_eq!(told["error"]["code"], "unknown_procedure", "{told}");
        let what = told["error"]["what"].as_str().expect("words");
        assert!(what.contains("entente:nothing"), "{told}");
    }
    entente(["algo", "lint", "entente:totals", "--all"]).expect(2);
}
