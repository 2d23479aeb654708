//! `docs/for-data-protection-officers.md`, typed as it stands.

use crate::run::{Ended, command, finish, job, root};
use crate::town::Town;
use std::fs;
use std::process::Command;

/// The commands of a page: the lines of its shell blocks.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_shell = false;
    for line in page.lines() {
        match line {
            "```sh" => is_shell = true,
            "```" => is_shell = false,
            line if is_shell => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// The words of a command line, of which a quoted text is one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words
}

/// Runs a line as clinic B's officer, in the directory in which both clinics have theirs.
fn typed(town: &Town, line: &str) -> Ended {
    let words = words(line);
    let mut typed = match words[0].as_str() {
        "entente" => command(&words[1..]),
        "python3" => {
            let python = std::env::var("ENTENTE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
            let mut typed = Command::new(python);
            typed.arg(root().join(&words[1])).args(&words[2..]);
            typed
        }
        other => panic!("{other} is not a command of ours"),
    };
    typed
        .current_dir(town.directory.path())
        .env("ENTENTE_CONFIG", "clinic_b/agent.toml");
    finish(typed)
}

#[test]
fn every_command_of_the_officers_page_works() {
    let page = fs::read_to_string(root().join("docs/for-data-protection-officers.md"));
    let page = page.expect("the page");
    let data = root().join("examples/data/clinics");
    let town = Town::new(&[
        ("clinic_a", &data.join("clinic_a")),
        ("clinic_b", &data.join("clinic_b")),
    ]);
    let _agents = town.start();
    let first = town.submit(&job("clinics.toml"));
    let commands = commands(&page);
    assert!(commands.len() >= 14, "{commands:?}");
    let mut outputs = Vec::new();
    for line in commands {
        if line == "export ENTENTE_CONFIG=clinic_b/agent.toml" {
            continue;
        }
        let mut line = line.replace("ID", &first);
        if line.contains("NEXT") {
            line = line.replace("NEXT", &town.submit(&job("clinics.toml")));
        }
        let ended = typed(&town, &line);
        assert_eq!(ended.code, 0, "{line}: {}{}", ended.stdout, ended.stderr);
        outputs.push((line, ended.stdout));
    }
    let of = |part: &str| {
        let found = outputs.iter().find(|(line, _)| line.contains(part));
        &found.expect("typed").1
    };
    for (part, says) in [
        ("--lang en", "What each party learns"),
        ("--lang zh", "各方得知的内容"),
        ("egress-report", "opened on shares, and to whom"),
        ("log verify", "the log is whole"),
        ("contract verify", " rejected"),
        ("evidence verify", "the evidence holds"),
        ("verify_evidence.py", "holds"),
    ] {
        assert!(of(part).contains(says), "{part}: {}", of(part));
    }
}
