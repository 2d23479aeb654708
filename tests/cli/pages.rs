//! The page that is signed, word for word, in both languages.

use crate::evidence_roundtrip::clinics;
use crate::run::{job, root};
use crate::town::Side;
use serde_json::Value;
use std::fs;

/// The page without what differs from run to run: ids, digests, keys and times.
fn settled(page: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c| "()".contains(c));
        let is_hex = bare.len() >= 32 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        match bare {
            _ if bare.starts_with("SHA256:") => word.replace(bare, "KEY"),
            _ if is_hex => word.replace(bare, "ID"),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split(' ').map(word).collect();
        match line.find(" UTC") {
            Some(at) => line[..at - "2026-01-01 00:00".len()].to_owned() + "TIME",
            None => words.join(" "),
        }
    };
    page.lines().map(|l| line(l) + "\n").collect()
}

fn explained(side: &Side, id: &str, lang: &str) -> Value {
    side.json(&["contract", "explain", id, "--lang", lang], 0)
}

#[test]
fn the_page_reads_as_it_was_agreed_and_every_approval_names_it() {
    let town = clinics();
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let _agents = town.start();
    let id = town.submit(&job("clinics.toml"));
    for lang in ["en", "zh"] {
        let (here, there) = (explained(a, &id, lang), explained(b, &id, lang));
        assert_eq!(
            here["page"], there["page"],
            "both agents write the same page"
        );
        let golden = root().join(format!("tests/cli/page.{lang}.txt"));
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let found = settled(there["page"].as_str().expect("a page"));
        assert_eq!(found, expected, "{} is now:\n{found}", golden.display());
    }
    b.run(&["job", "approve", &id]).expect(0);
    a.run(&["job", "watch", &id]).expect(0);
    let file = town.directory.path().join("evidence.json");
    let out = file.to_str().expect("UTF-8");
    a.run(&["evidence", "export", &id, "--out", out]).expect(0);
    let evidence: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    for lang in ["en", "zh"] {
        let digest = explained(b, &id, lang)["sha256"].clone();
        for signed in evidence["acceptances"].as_array().expect("acceptances") {
            let body = signed["body"].as_str().expect("a document");
            let acceptance: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(acceptance["pages"][lang], digest);
        }
    }
    // The next one of the same name says what has changed: a purpose, here.
    let text = fs::read_to_string(job("clinics.toml")).expect("a job");
    let other = town.directory.path().join("other.toml");
    fs::write(&other, text.replace("Quality circle", "Budget circle")).expect("written");
    let next = a.json(&["job", "submit", other.to_str().expect("UTF-8")], 0);
    let next = next["job_id"].as_str().expect("an id").to_owned();
    let changes = explained(a, &next, "en")["changes"].clone();
    let lines: Vec<&str> = changes
        .as_array()
        .expect("there was one before")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.contains("circle")),
        "{lines:?}"
    );
    let text = a.run(&["contract", "explain", &next]).expect(0).stdout;
    assert!(text.contains("CHANGED SINCE THE LAST ONE"), "{text}");
}
