//! The configuration file.

use std::fs;
use std::path::Path;

use coordinator::config::CoordinatorConfig;

use crate::support::{identity, name, pins};

fn write(dir: &Path, text: &str) -> std::path::PathBuf {
    let path = dir.join("coordinator.toml");
    fs::write(&path, text).unwrap();
    path
}

fn error_of(path: &Path) -> String {
    match CoordinatorConfig::load(path) {
        Ok(_) => panic!("the configuration was accepted"),
        Err(error) => error.to_string(),
    }
}

const GOOD: &str = "listen = \"127.0.0.1:0\"\nidentity = \"identity\"\nstate_dir = \"state\"\ntrusted = \"trusted.toml\"\n";

#[test]
fn a_good_file_is_read_relative_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (coordinator, a, b) = (identity("coordinator"), identity("a"), identity("b"));
    coordinator.save(&dir.path().join("identity")).unwrap();
    pins([&a]).save(&dir.path().join("trusted.toml")).unwrap();
    let member = format!(
        "[[member]]\nname = \"b\"\nfingerprint = \"{}\"\n",
        b.fingerprint()
    );
    let config = CoordinatorConfig::load(&write(dir.path(), &format!("{GOOD}{member}"))).unwrap();
    assert_eq!(config.identity.fingerprint(), coordinator.fingerprint());
    assert_eq!(config.state_dir, dir.path().join("state"));
    let members = config.members.load().unwrap();
    assert_eq!(members.name_of(&a.fingerprint()), Some(&name("a")));
    assert_eq!(members.name_of(&b.fingerprint()), Some(&name("b")));
}

#[test]
fn the_template_is_a_good_file() {
    let dir = tempfile::tempdir().unwrap();
    identity("coordinator")
        .save(&dir.path().join("identity"))
        .unwrap();
    pins([]).save(&dir.path().join("trusted.toml")).unwrap();
    let listen = "0.0.0.0:7400".parse().unwrap();
    let config =
        CoordinatorConfig::load(&write(dir.path(), &CoordinatorConfig::template(listen))).unwrap();
    assert_eq!(config.listen, listen);
}

#[test]
fn old_jobs_are_kept_for_400_days_or_as_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    identity("coordinator")
        .save(&dir.path().join("identity"))
        .unwrap();
    pins([]).save(&dir.path().join("trusted.toml")).unwrap();
    let days = |text: &str| {
        let config = CoordinatorConfig::load(&write(dir.path(), text)).unwrap();
        config.limits.book.keep_jobs.as_secs() / 86_400
    };
    assert_eq!(days(GOOD), 400);
    assert_eq!(days(&format!("{GOOD}keep_jobs_days = 30\n")), 30);
    let none = error_of(&write(dir.path(), &format!("{GOOD}keep_jobs_days = 0\n")));
    assert!(none.contains(":5:"), "{none}");
}

#[test]
fn faults_are_named_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    identity("coordinator")
        .save(&dir.path().join("identity"))
        .unwrap();
    let cases = [
        ("listen = \"somewhere\"\n", ":1:", "socket address"),
        (
            &format!("{GOOD}lisen = 3\n"),
            ":5:1:",
            "unknown field `lisen`",
        ),
        (
            "listen = \"127.0.0.1:0\"\nidentity = \"identity\"\n",
            "",
            "missing field `state_dir`",
        ),
        (
            &format!(
                "{GOOD}[[member]]\nname = \"B\"\nfingerprint = \"SHA256:{}\"\n",
                "A".repeat(43)
            ),
            ":6:",
            "a party name has",
        ),
        (
            &format!("{GOOD}[[member]]\nname = \"b\"\nfingerprint = \"SHA256:x\"\n"),
            ":7:",
            "a fingerprint reads",
        ),
        (
            &format!("{GOOD}\nlisten = \"127.0.0.1:1\"\n"),
            ":6:",
            "duplicate",
        ),
    ];
    for (text, place, what) in cases {
        let message = error_of(&write(dir.path(), text));
        assert!(
            message.contains("coordinator.toml")
                && message.contains(place)
                && message.contains(what),
            "{message}"
        );
    }
    let message = error_of(&write(dir.path(), GOOD));
    assert!(
        message.contains("trusted.toml"),
        "a list of members that is not there: {message}"
    );
    assert!(error_of(&dir.path().join("nowhere.toml")).contains("nowhere.toml"));
}
