//! The rules of DESIGN that a compiler does not check: who may depend on whom, where `unsafe` may
//! stand, which names are refused. A rule that is broken names the file and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const MEMBERS: [&str; 4] = ["engine", "protocols", "coordinator", "party-agent"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The packages below each package, without those that only tests and benches use.
fn dependency_graph() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Not offline: the lock file has packages of other platforms too, which a build here does not fetch.
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| {
            (
                p["id"].as_str().expect("id"),
                p["name"].as_str().expect("name"),
            )
        })
        .collect();
    let is_normal = |dep: &Value| {
        dep["dep_kinds"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|k| k["kind"].is_null()))
    };
    let mut graph = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let from = name_of[node["id"].as_str().expect("id")].to_owned();
        let to = node["deps"]
            .as_array()
            .expect("deps")
            .iter()
            .filter(|d| is_normal(d));
        let to = to.map(|d| name_of[d["pkg"].as_str().expect("pkg")].to_owned());
        graph.entry(from).or_insert_with(BTreeSet::new).extend(to);
    }
    graph
}

fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for next in graph.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn the_coordinator_cannot_decode_data_because_it_does_not_link_the_code() {
    let below = reachable(&dependency_graph(), "coordinator");
    for ours in ["engine", "protocols", "party-agent", "entente"] {
        assert!(!below.contains(ours), "coordinator depends on {ours}");
    }
}

#[test]
fn engine_and_protocols_hold_no_network_clock_or_serialisation() {
    let graph = dependency_graph();
    for (package, banned) in [
        (
            "engine",
            vec![
                "tokio",
                "quinn",
                "serde",
                "chrono",
                "rand",
                "getrandom",
                "protocols",
            ],
        ),
        (
            "protocols",
            vec![
                "quinn",
                "rustls",
                "serde",
                "chrono",
                "rand",
                "getrandom",
                "coordinator",
            ],
        ),
    ] {
        for name in banned {
            let direct = graph[package].contains(name);
            assert!(!direct, "{package} depends on {name}");
        }
    }
}

#[test]
fn every_dependency_is_named_in_the_workspace_table() {
    for member in MEMBERS
        .iter()
        .map(|m| root().join(m))
        .chain([root().to_owned()])
    {
        let manifest = std::fs::read_to_string(member.join("Cargo.toml")).expect("manifest");
        let manifest: toml::Table = manifest.parse().expect("manifest is TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest
                .get(section)
                .and_then(|s| s.as_table())
                .into_iter()
                .flatten()
            {
                let shared = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(
                    shared,
                    "{}: {name} is not `workspace = true`",
                    member.display()
                );
            }
        }
    }
}

/// All Rust files of the project, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = ["src", "tests", "benches", "examples"]
        .map(|d| root().join(d))
        .into();
    open.extend(MEMBERS.iter().map(|m| root().join(m)));
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.expect("directory entry").path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                files.push((
                    path.strip_prefix(root())
                        .expect("below the root")
                        .to_owned(),
                    text,
                ));
            }
        }
    }
    assert!(files.len() > 20, "found only {} source files", files.len());
    files
}

fn is_test_code(path: &Path) -> bool {
    path.components().any(|c| {
        matches!(
            c.as_os_str().to_str(),
            Some("tests" | "benches" | "examples")
        )
    })
}

/// Lines of production code: what stands before the file's `#[cfg(test)]` module, comments left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn unsafe_stands_only_in_the_engine() {
    for (path, text) in sources() {
        let allowed =
            path.starts_with("engine/src") || path.ends_with("tests/architecture/main.rs");
        for (number, line) in code_lines(&text) {
            let found = line.contains("unsafe {")
                || line.contains("unsafe fn")
                || line.contains("unsafe impl");
            assert!(
                !found || allowed,
                "{}:{number}: unsafe outside the engine",
                path.display()
            );
        }
    }
    for member in ["protocols", "coordinator", "party-agent"] {
        let lib = std::fs::read_to_string(root().join(member).join("src/lib.rs")).expect("lib.rs");
        assert!(
            lib.contains("#![forbid(unsafe_code)]"),
            "{member} does not forbid unsafe code"
        );
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    for (path, text) in sources() {
        if !path.starts_with("engine/src") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            if line.contains("unsafe {") && !line.trim_start().starts_with("//") {
                let above = &lines[i.saturating_sub(4)..=i];
                let explained = above.iter().any(|l| l.contains("SAFETY:"));
                assert!(
                    explained,
                    "{}:{}: unsafe block without SAFETY comment",
                    path.display(),
                    i + 1
                );
            }
        }
    }
}

#[test]
fn randomness_below_the_agent_comes_from_a_seed() {
    let banned = [
        "thread_rng",
        "seed_from_u64",
        "SmallRng",
        "rand::rng(",
        "OsRng",
        "SysRng",
        "Instant::now",
        "SystemTime",
    ];
    for (path, text) in sources() {
        let below = path.starts_with("engine/src") || path.starts_with("protocols/src");
        for (number, line) in code_lines(&text).filter(|_| below) {
            for word in banned {
                assert!(
                    !line.contains(word),
                    "{}:{number}: {word} below the agent",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn refused_names_and_habits() {
    for (path, text) in sources() {
        let stem = path
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        let bad = [
            "mod", "utils", "util", "helpers", "common", "manager", "misc",
        ]
        .contains(&stem);
        assert!(
            !bad,
            "{}: a file is named for the one thing that it holds",
            path.display()
        );
        if path.ends_with("tests/architecture/main.rs") {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            assert!(
                !line.contains("#[ignore"),
                "{}:{}: ignored test",
                path.display(),
                i + 1
            );
            let marks = ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"];
            let marked = marks.iter().find(|m| line.contains(*m));
            assert!(
                marked.is_none(),
                "{}:{}: {}",
                path.display(),
                i + 1,
                marked.unwrap_or(&"")
            );
        }
        for (number, line) in code_lines(&text).filter(|_| !is_test_code(&path)) {
            // The watchdog behind a vanished parent is the one thread that may wait.
            let sleeps = line.contains("thread::sleep") && !path.ends_with("src/process.rs");
            assert!(
                !sleeps,
                "{}:{number}: blocks a thread to wait",
                path.display()
            );
        }
    }
}

#[test]
fn shares_and_seeds_have_no_way_onto_the_wire() {
    for file in [
        "engine/src/share.rs",
        "engine/src/share/boolean.rs",
        "engine/src/prg.rs",
    ] {
        let text = std::fs::read_to_string(root().join(file)).expect(file);
        for (number, line) in code_lines(&text) {
            let derive = line.trim_start().starts_with("#[derive(");
            for refused in ["Serialize", "Debug", "Copy"] {
                assert!(
                    !(derive && line.contains(refused)),
                    "{file}:{number}: a secret type derives {refused}"
                );
            }
        }
    }
}
