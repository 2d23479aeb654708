//! The catalogue: what is found in it and by which words, what others' systems read of it, and what a commitment binds to.

use crate::evidence_roundtrip::clinics;
use crate::run::{Serving, job, root};
use crate::town::{Side, Town};
use coordinator::contract::Digest;
use serde_json::{Value, json};
use std::fs;

/// A value that stands in a column which the policies publish by its name alone.
const RECORD: &str = "010772";

fn names(found: &Value) -> Vec<String> {
    let tables = found["tables"].as_array().expect("a list").iter();
    tables
        .map(|t| {
            format!(
                "{}.{}",
                t["party"].as_str().expect("a name"),
                t["table"].as_str().expect("a name")
            )
        })
        .collect()
}

#[test]
fn tables_are_found_by_words_and_handed_on_as_linked_data() {
    let town = clinics();
    let _agents = town.start();
    let a = &town.sides[0];
    let search = |words: &[&str]| a.json(&[&["catalogue", "search"], words].concat(), 0);
    let both = ["clinic_a.visits", "clinic_b.visits"];
    for (words, expected) in [
        (&[][..], &both[..]),
        (&["DIAGNOSIS"], &both),
        (&["科室", "group_by"], &both),
        (&["clinic_b", "visits"], &both[1..]),
        (&["clinic_b", "clinic_a"], &[]),
        (&[RECORD], &[]),
    ] {
        assert_eq!(names(&search(words)), expected, "{words:?}");
    }
    let found = search(&[]);
    assert!(!found.to_string().contains(RECORD), "{found}");
    let file = town.directory.path().join("catalogue.jsonld");
    let out = file.to_str().expect("UTF-8");
    a.run(&["catalogue", "export", "--out", out]).expect(0);
    let text = fs::read_to_string(&file).expect("a file");
    assert!(!text.contains(RECORD), "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["@type"], "dcat:Catalog");
    assert_eq!(document["@context"]["dcat"], "http://www.w3.org/ns/dcat#");
    let datasets = document["dcat:dataset"].as_array().expect("a list");
    assert_eq!(datasets.len(), 2);
    for (dataset, listed) in datasets
        .iter()
        .zip(found["tables"].as_array().expect("a list"))
    {
        assert_eq!(dataset["dct:publisher"]["foaf:name"], listed["party"]);
        assert_eq!(dataset["dcat:version"], listed["version"].to_string());
        let commitment = listed["entry"]["commitment"].as_str().expect("a digest");
        assert_eq!(
            dataset["entente:commitment"],
            format!("sha256:{commitment}")
        );
        assert_eq!(
            dataset["entente:rowsAtMost"],
            listed["entry"]["rows_at_most"]
        );
        let columns = dataset["csvw:tableSchema"]["csvw:column"]["@list"].as_array();
        let age = columns
            .expect("columns")
            .iter()
            .find(|c| c["csvw:name"] == "age");
        let age = age.expect("a column");
        assert_eq!(age["csvw:datatype"], "xsd:integer");
        assert_eq!(
            (&age["entente:unit"], &age["entente:most"]),
            (&json!("years"), &json!("120"))
        );
    }
    // Every name is in a vocabulary that the context has.
    let context = document["@context"].as_object().expect("a context");
    let mut open = vec![&document["dcat:dataset"]];
    while let Some(node) = open.pop() {
        open.extend(node.as_array().into_iter().flatten());
        for (name, value) in node.as_object().into_iter().flatten() {
            let prefix = name.split_once(':').map(|(prefix, _)| prefix);
            let is_known = prefix.is_some_and(|p| context.contains_key(p)) || name.starts_with('@');
            assert!(is_known, "{name}");
            open.push(value);
        }
    }
}

#[test]
fn a_commitment_binds_to_the_file_and_stands_in_plans() {
    let kept = tempfile::tempdir().expect("a directory");
    let data = kept.path();
    for name in ["visits.csv", "policy.toml"] {
        let from = root().join("examples/data/clinics/clinic_b").join(name);
        fs::copy(from, data.join(name)).expect("copied");
    }
    let clinic_a = root().join("examples/data/clinics/clinic_a");
    let town = Town::new(&[("clinic_a", &clinic_a), ("clinic_b", data)]);
    let mut agents = town.start();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let opened = |side: &Side| side.json(&["catalogue", "commitment", "visits"], 0);
    let first = opened(b);
    let content = fs::read(data.join("visits.csv")).expect("a file");
    assert_eq!(first["content"], Digest::of(&content).to_string());
    let bytes = |field: &str| -> Digest {
        first[field]
            .as_str()
            .expect("hex")
            .parse()
            .expect("a digest")
    };
    let commitment = Digest::of(&[bytes("salt").0, bytes("content").0].concat());
    assert_eq!(first["commitment"], commitment.to_string());
    a.run(&["catalogue", "commitment", "clinic_b.visits"])
        .expect(2);
    let file = job("clinics.toml").display().to_string();
    let planned = || a.json(&["job", "plan", &file], 0).to_string();
    assert!(planned().contains(&commitment.to_string()));
    // The same after another start; another one for other rows, be there as many of them as before.
    let restart = |agents: &mut Vec<Serving>| {
        std::mem::take(agents).into_iter().for_each(Serving::stop);
        *agents = town.start();
    };
    restart(&mut agents);
    assert_eq!(opened(b), first);
    let text = String::from_utf8(content).expect("UTF-8");
    let changed = text.replacen("influenza", "influenzA", 1);
    assert_ne!(text, changed);
    fs::write(data.join("visits.csv"), changed).expect("written");
    restart(&mut agents);
    assert_ne!(opened(b)["commitment"], first["commitment"]);
    assert!(!planned().contains(&commitment.to_string()));
}
