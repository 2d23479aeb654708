//! Names, help, usage errors: what a user sees before anything runs.

use crate::run::entente;

/// Every command of DESIGN §6, by its words.
const COMMANDS: &[&str] = &[
    "demo",
    "simulate",
    "init coordinator",
    "init agent",
    "coordinator",
    "agent",
    "keys show",
    "keys trust",
    "keys person",
    "keys invite",
    "keys apply",
    "keys admit",
    "keys accept",
    "keys rotate",
    "party list",
    "party ping",
    "dataset add",
    "dataset list",
    "dataset show",
    "catalogue search",
    "catalogue export",
    "catalogue commitment",
    "job check",
    "job plan",
    "job submit",
    "job list",
    "job show",
    "job watch",
    "job approve",
    "job reject",
    "job cancel",
    "job resume",
    "job result",
    "contract explain",
    "contract export",
    "contract verify",
    "egress-report",
    "evidence export",
    "evidence verify",
    "evidence certificate",
    "settle",
    "log verify",
    "halt",
    "revoke",
    "negative-list sign",
    "algo list",
    "algo describe",
    "algo lint",
    "algo review",
    "bench",
    "doctor",
];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let help = entente(words).expect(0).stdout;
        assert!(
            help.contains("Example:"),
            "{command}: no example in\n{help}"
        );
        assert!(
            help.contains(&format!("entente {command}")),
            "{command}: the example is of another command\n{help}"
        );
    }
}

#[test]
fn usage_errors_exit_with_2_and_are_json_if_asked_for() {
    for words in [
        vec![],
        vec!["frobnicate"],
        vec!["simulate"],
        vec!["job", "watch"],
        vec!["demo", "nothing"],
        vec!["simulate", "x.toml", "--party", "a=b", "--net", "mars"],
    ] {
        let plain = entente(words.clone()).expect(2);
        assert!(
            plain.stdout.is_empty() && !plain.stderr.is_empty(),
            "{words:?}"
        );
        let document = entente(words.iter().copied().chain(["--json"]))
            .expect(2)
            .json();
        assert_eq!(document["exit"], 2, "{words:?}");
        assert!(
            document["error"]["what"]
                .as_str()
                .is_some_and(|what| !what.is_empty()),
            "{words:?}"
        );
    }
}

#[test]
fn a_command_without_a_configuration_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    for words in [
        vec!["job", "list"],
        vec!["keys", "show"],
        vec!["party", "list"],
        vec!["agent"],
    ] {
        let mut command = crate::run::command(&words);
        command.current_dir(directory.path());
        let ended = crate::run::finish(command).expect(2);
        let lines = ended.stderr.lines().count();
        assert!(
            (2..=3).contains(&lines) && ended.stderr.contains("entente init"),
            "{words:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn the_doctor_looks_at_the_machine_even_without_a_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = crate::run::command(["doctor", "--json"]);
    command.current_dir(directory.path());
    let report = crate::run::finish(command).expect(1).json();
    let checks = report["checks"].as_array().expect("checks");
    for name in ["clock", "processor", "sockets"] {
        assert!(
            checks
                .iter()
                .any(|check| check["name"] == name && check["ok"] == true),
            "{name}: {report}"
        );
    }
    let config = checks
        .iter()
        .find(|check| check["name"] == "config")
        .expect("a check of the configuration");
    assert!(
        config["what_to_do"]
            .as_str()
            .is_some_and(|what| what.contains("entente init")),
        "{report}"
    );
    assert_eq!(report["healthy"], false);
}
