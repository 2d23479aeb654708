//! Models of bins by `entente simulate`: agents as processes, QUIC on loopback, from CSV to the result.
//!
//! `cargo bench --bench models` grows 20 trees of depth 4 over 23 columns, 32 bins each, of 30,000 people: once columns
//! of two holders that have all of them in common, and once rows of three holders. Then it bins the same columns of two
//! holders for a scorecard, weights and information values of all 23 from shares; the fit keeps those with an information value
//! above 0.02. `cargo bench --bench models -- 3000` takes so many people. It prints time, bytes and memory, and fails if a job does.

use engine::prg::{Prg, Seed};
use serde_json::Value;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const SEED: [u8; 32] = *b"entente benches: trees, the seed";
const N_FEATURES: usize = 23;

/// People with a label that depends on some of their features; one in five is kept for a test.
fn people(n_people: usize) -> Vec<([u32; N_FEATURES], bool)> {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), 0);
    let person = |_| {
        let features = [(); N_FEATURES].map(|()| prg.next_bounded(1000) as u32);
        let risk = u64::from(features[0] / 4 + features[11] / 4 + features[22] / 4);
        (features, prg.next_bounded(1000) < risk)
    };
    (0..n_people).map(person).collect()
}

/// A holder's columns of some people.
fn write(
    directory: &Path,
    name: &str,
    people: &[([u32; N_FEATURES], bool)],
    (first, end, has_label): (usize, usize, bool),
) -> Result<(), Box<dyn Error>> {
    let mut text = "id".to_owned();
    (first..end).try_for_each(|feature| write!(text, ",x{feature}"))?;
    text += if has_label { ",bad,part\n" } else { "\n" };
    for (id, (features, is_bad)) in people.iter().enumerate() {
        write!(text, "{id}")?;
        features[first..end]
            .iter()
            .try_for_each(|value| write!(text, ",{value}"))?;
        if has_label {
            let part = if id % 5 == 0 { "test" } else { "train" };
            write!(text, ",{},{part}", u8::from(*is_bad))?;
        }
        text.push('\n');
    }
    let home = directory.join(name);
    fs::create_dir_all(&home)?;
    fs::write(home.join("t.csv"), text)?;
    Ok(())
}

const TREES: &str =
    "report = [\"auc\", \"ks\"]\nn_trees = 20\ndepth = 4\nbins = 32\nmin_child_weight = 2.75\n";
const SCORECARD: &str =
    "report = [\"coef\"]\n[compute.train.scorecard]\nbins = 8\niv_least = 0.02\n";

fn job((model, of, how): (&str, &str, &str)) -> String {
    format!(
        "job = \"{model}\"\npurpose = \"bench\"\nreceivers = [\"a\"]\n[compute.train]\nmodel = \"{model}\"\n{of}{how}\
         [privacy]\ncorrelations = \"dealer:arbiter\"\nmin_cell = 11\n"
    )
}

fn run(what: &str, directory: &Path, parties: &[&str], text: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory.join("arbiter"))?;
    let file = directory.join("job.toml");
    fs::write(&file, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_entente"));
    command.arg("simulate").arg(&file).arg("--json");
    for party in parties.iter().chain(&["arbiter"]) {
        let home = directory.join(party);
        command
            .arg("--party")
            .arg(format!("{party}={}", home.display()));
    }
    let ended = command.output()?;
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into());
    }
    let found: Value = serde_json::from_slice(&ended.stdout)?;
    println!(
        "{what}: {:.1} s, {} rounds",
        found["wall_s"].as_f64().unwrap_or(0.0),
        found["rounds"]
    );
    for row in found["result"]["rows"].as_array().into_iter().flatten() {
        println!("  {row}");
    }
    println!("  {}", found["parties"]);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let people = people(numbers.next().unwrap_or(30_000));
    let home = tempfile::tempdir()?;
    let directory = home.path().join("columns");
    write(&directory, "a", &people, (0, 12, true))?;
    write(&directory, "b", &people, (12, N_FEATURES, false))?;
    let of_columns = "partition = \"vertical\"\nlabel = \"a.t.bad\"\nkey = \"id\"\n\
        sample = { column = \"a.t.part\", train = \"train\", test = \"test\" }\n";
    let named = (0..N_FEATURES).map(|f| format!("\"{}.t.x{f}\"", if f < 12 { "a" } else { "b" }));
    let features = named.collect::<Vec<_>>().join(", ");
    let of_columns = format!("{of_columns}features = [{features}]\n");
    let what = format!("columns of two holders, {} people", people.len());
    for (model, how) in [("gbdt", TREES), ("scorecard", SCORECARD)] {
        let text = job((model, &of_columns, how));
        run(&format!("{model}, {what}"), &directory, &["a", "b"], &text)?;
    }
    let directory = home.path().join("rows");
    let names = ["a", "b", "c"];
    for (name, part) in names.iter().zip(people.chunks(people.len().div_ceil(3))) {
        write(&directory, name, part, (0, N_FEATURES, true))?;
    }
    let of_rows = "partition = \"horizontal\"\ntables = [\"a.t\", \"b.t\", \"c.t\"]\nlabel = \"bad\"\n\
        sample = { column = \"part\", train = \"train\", test = \"test\" }\n";
    let named = (0..N_FEATURES).map(|f| format!("\"x{f}\""));
    let features = named.collect::<Vec<_>>().join(", ");
    let text = job((
        "gbdt",
        &format!("{of_rows}features = [{features}]\n"),
        TREES,
    ));
    run(
        &format!("gbdt, rows of three holders, {} people", people.len()),
        &directory,
        &names,
        &text,
    )
}
