//! The coordinator cannot read data because it cannot decode it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn neither_engine_nor_protocols_is_below_the_coordinator() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Not offline: the lock file has packages of other platforms too, which a build here does not fetch.
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--manifest-path",
            manifest,
        ])
        // Cargo asks rustc about the target, and rustc reads its standard input.
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let below: BTreeMap<&str, Vec<&str>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let deps = node["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_str().unwrap())
                .collect();
            (node["id"].as_str().unwrap(), deps)
        })
        .collect();
    let mut queue: Vec<&str> = names
        .iter()
        .filter(|(_, name)| **name == "coordinator")
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(queue.len(), 1);
    let mut seen = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if seen.insert(id) {
            queue.extend(&below[id]);
        }
    }
    let seen: BTreeSet<&str> = seen.iter().map(|id| names[id]).collect();
    assert!(seen.contains("quinn"), "the walk reaches the dependencies");
    for forbidden in [
        "engine",
        "protocols",
        "party-agent",
        "entente",
        "datafusion",
    ] {
        assert!(
            !seen.contains(forbidden),
            "{forbidden} is below the coordinator"
        );
    }
}
