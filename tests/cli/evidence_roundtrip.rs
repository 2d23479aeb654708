//! The evidence of a job, from the run to a reader who has nothing but the file; and what becomes of it when somebody changes it.

use crate::run::{Ended, entente, finish, job, root};
use crate::town::{Side, Town};
use coordinator::contract::{Signed, canonical};
use coordinator::tls::Identity;
use party_agent::receipt::Receipt;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A finished job of two clinics, and the evidence that the receiver has exported.
struct Exported {
    town: Town,
    id: String,
    file: PathBuf,
}

pub(crate) fn clinics() -> Town {
    let data = root().join("examples/data/clinics");
    Town::new(&[
        ("clinic_a", &data.join("clinic_a")),
        ("clinic_b", &data.join("clinic_b")),
    ])
}

/// Runs the bundled job of the two clinics to its end.
pub(crate) fn run(town: &Town) -> String {
    let (a, b) = (&town.sides[0], &town.sides[1]);
    let id = town.submit(&job("clinics.toml"));
    b.run(&["job", "approve", &id, "--as", "jonas"]).expect(0);
    for side in [a, b] {
        side.run(&["job", "watch", &id]).expect(0);
    }
    id
}

pub(crate) fn export(side: &Side, id: &str, file: &Path) -> Ended {
    let file = file.to_str().expect("UTF-8");
    side.run(&["evidence", "export", id, "--out", file])
}

fn exported() -> Exported {
    let town = clinics();
    let agents = town.start();
    let id = run(&town);
    let file = town.directory.path().join("evidence.json");
    export(&town.sides[0], &id, &file).expect(0);
    agents.into_iter().for_each(crate::run::Serving::stop);
    Exported { town, id, file }
}

pub(crate) fn verify(file: &Path, more: &[&str]) -> Ended {
    let head = ["evidence", "verify", file.to_str().expect("UTF-8")];
    entente(head.iter().chain(more))
}

#[test]
fn a_reader_with_nothing_but_the_file_finds_it_in_order() {
    let exported = exported();
    let file = &exported.file;
    let text = verify(file, &[]).expect(0).stdout;
    assert!(text.contains("the evidence holds"), "{text}");
    assert!(text.contains("person jonas"), "{text}");
    // The keys are what a reader has to know from elsewhere.
    let a = &exported.town.sides[0];
    let trusted = a.config.with_file_name("trusted.toml");
    let own = a.fingerprint();
    let list = file.with_file_name("trust.toml");
    fs::copy(&trusted, &list).expect("a list");
    let trust = ["--trust", list.to_str().expect("UTF-8"), "--json"];
    let missing = verify(file, &trust).expect(22).json();
    assert_eq!(missing["error"]["code"], "trust", "{missing}");
    let whole = fs::read_to_string(&list).expect("text")
        + &format!("\n[[party]]\nname = \"clinic_a\"\nfingerprint = \"{own}\"\n");
    fs::write(&list, whole).expect("written");
    let found = verify(file, &trust).expect(0).json();
    assert_eq!(found["job_id"], exported.id.as_str(), "{found}");
    assert_eq!(found["trusted"], true, "{found}");
}

/// What somebody does to the file who has none of the keys, and the check that finds it.
type Tampering = (&'static str, i32, fn(&mut Value));

/// Changes a text inside a document.
fn replace(text: &mut Value, old: &str, new: &str) {
    let before = text.as_str().expect("a text");
    assert!(before.contains(old), "{old} is not in {before}");
    *text = before.replacen(old, new, 1).into();
}

fn remove(list: &mut Value, at: usize) {
    list.as_array_mut().expect("a list").remove(at);
}

const TAMPERINGS: [Tampering; 16] = [
    ("another purpose", 21, |e| {
        replace(
            &mut e["contract"]["body"],
            "Quality circle",
            "Marketing circle",
        );
    }),
    ("an approval less", 23, |e| remove(&mut e["acceptances"], 1)),
    ("another approver", 24, |e| {
        replace(
            &mut e["acceptances"][1]["body"],
            "person jonas",
            "person maria",
        );
    }),
    ("another page", 25, |e| {
        replace(&mut e["pages"]["zh"], "clinic_a", "clinic_c")
    }),
    ("another plan", 26, |e| {
        replace(&mut e["plan"], "\"at_least\":", "\"at_least\":1")
    }),
    ("an opened value less", 27, |e| remove(&mut e["opened"], 0)),
    ("a receipt less", 28, |e| {
        e["receipts"]
            .as_object_mut()
            .expect("receipts")
            .remove("clinic_b");
    }),
    ("another number in a receipt", 29, |e| {
        replace(
            &mut e["receipts"]["clinic_b"]["body"],
            "\"rounds\":",
            "\"rounds\":1",
        );
    }),
    ("another result", 31, |e| {
        e["output"]["result"] = "0".repeat(64).into();
    }),
    ("a longer log", 32, |e| {
        replace(
            &mut e["logs"]["clinic_b"]["checkpoint"],
            "clinic_b\n",
            "clinic_b\n1",
        );
    }),
    ("no witness", 33, |e| {
        let note = e["logs"]["clinic_b"]["checkpoint"]
            .as_str()
            .expect("a note");
        let by_owner: Vec<&str> = note
            .split_inclusive('\n')
            .filter(|line| !line.contains("clinic_a"))
            .collect();
        e["logs"]["clinic_b"]["checkpoint"] = by_owner.concat().into();
    }),
    ("another time in an entry", 34, |e| {
        replace(
            &mut e["logs"]["clinic_a"]["entries"][2]["entry"],
            "{\"at\":1",
            "{\"at\":2",
        );
    }),
    ("an entry less", 35, |e| {
        remove(&mut e["logs"]["clinic_b"]["entries"], 2)
    }),
    ("no proof that a log has only grown", 36, |e| {
        remove(&mut e["logs"]["clinic_b"]["growth"], 0)
    }),
    ("a result of nowhere", 37, |e| {
        let used = e["provenance"]["used"].as_object_mut().expect("relations");
        let link = used.values_mut().next().expect("a relation");
        link["prov:entity"] = "entente:catalogue/nobody".into();
    }),
    ("another time of export", 38, |e| e["exported"] = 1.into()),
];

/// The second verifier, which shares no code with the first.
pub(crate) fn in_python(file: &Path, more: &[&str]) -> Ended {
    let python = std::env::var("ENTENTE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command
        .arg(root().join("examples/verify_evidence.py"))
        .arg(file)
        .args(more);
    finish(command)
}

#[test]
fn every_tampering_has_its_own_exit_code_and_a_second_verifier_agrees() {
    let town = clinics();
    let agents = town.start();
    run(&town);
    // The second job's evidence shows that the logs have only grown since the first.
    let id = run(&town);
    let file = town.directory.path().join("evidence.json");
    export(&town.sides[1], &id, &file).expect(0);
    fs::remove_file(&file).expect("removed");
    export(&town.sides[0], &id, &file).expect(0);
    agents.into_iter().for_each(crate::run::Serving::stop);

    let both = |what: &str, code: i32, more: &[&str]| {
        let ours = verify(&file, more);
        assert_eq!(ours.code, code, "{what}: {}{}", ours.stdout, ours.stderr);
        let theirs = in_python(&file, &more[more.len().min(1)..]);
        assert_eq!(
            theirs.code, code,
            "{what}: {}{}",
            theirs.stdout, theirs.stderr
        );
    };
    both("nothing", 0, &[]);
    let text = fs::read_to_string(&file).expect("evidence");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    for (what, code, tamper) in TAMPERINGS {
        let mut changed = whole.clone();
        tamper(&mut changed);
        let bytes = canonical::encode(&changed).expect("canonical");
        assert_ne!(bytes, text.as_bytes(), "{what} changes nothing");
        fs::write(&file, bytes).expect("written");
        both(what, code, &[]);
    }
    let changed = with_other_bytes(&town.sides[1], &whole);
    fs::write(&file, canonical::encode(&changed).expect("canonical")).expect("written");
    both(
        "a number that a party signs and its partner contradicts",
        30,
        &[],
    );
    for (what, changed) in [
        ("a blank", format!("{text} ")),
        ("a key twice", text.replacen('{', "{\"acceptances\":[],", 1)),
        ("no JSON", "evidence".to_owned()),
    ] {
        fs::write(&file, changed).expect("written");
        both(what, 20, &[]);
    }
    fs::write(&file, &text).expect("written");
    let list = file.with_file_name("trust.toml");
    let trust = ["--trust", list.to_str().expect("UTF-8")];
    let keys = [0, 1].map(|i: usize| town.sides[i].fingerprint());
    for (what, code, keys) in [
        ("each other's keys", 22, [&keys[1], &keys[0]]),
        ("their keys", 0, [&keys[0], &keys[1]]),
    ] {
        let pins = [pin("clinic_a", keys[0]), pin("clinic_b", keys[1])];
        fs::write(&list, pins.concat()).expect("written");
        both(what, code, &trust);
    }
}

/// The evidence in which a party has signed another receipt, with its own key, of more bytes than its partner has received.
fn with_other_bytes(side: &Side, evidence: &Value) -> Value {
    let mut changed = evidence.clone();
    let identity = Identity::load(&side.config.with_file_name("identity")).expect("its key");
    let own = &mut changed["receipts"][&side.name];
    let signed: Signed<Receipt> = serde_json::from_value(own.clone()).expect("a receipt");
    let mut receipt = signed.verify(&identity.fingerprint()).expect("its own");
    receipt.bytes_sent.values_mut().for_each(|n| *n += 1);
    let signed = Signed::sign(&receipt, &identity).expect("signed");
    *own = serde_json::to_value(&signed).expect("JSON");
    changed
}

fn pin(name: &str, fingerprint: &str) -> String {
    format!("[[party]]\nname = \"{name}\"\nfingerprint = \"{fingerprint}\"\n")
}

/// Whatever single bit is flipped, the file does not hold any more.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let exported = exported();
    let bytes = fs::read(&exported.file).expect("evidence");
    assert!(party_agent::evidence::verify(&bytes, None).is_ok());
    let step = (bytes.len() / 400).max(1);
    println!("every {step}th byte of {}", bytes.len());
    for place in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 7);
        let found = party_agent::evidence::verify(&changed, None);
        assert!(found.is_err(), "byte {place}");
    }
}

/// The demos end with it; with one flipped bit, by the code of the check that finds it.
#[test]
fn the_demos_end_with_evidence_that_holds_and_one_flipped_bit_is_found() {
    for name in ["claims", "overlap"] {
        let out = tempfile::tempdir().expect("a directory");
        let dir = out.path().display().to_string();
        let report = entente(["demo", name, "--json", "--out", &dir])
            .expect(0)
            .json();
        assert_eq!(report["evidence"]["job_id"], report["job_id"], "{report}");
        let file = out.path().join("evidence.json");
        let result = out.path().join("result.json");
        let result = result.to_str().expect("UTF-8");
        verify(&file, &["--result", result]).expect(0);
        verify(&file, &["--result", file.to_str().expect("UTF-8")]).expect(31);
        // What was opened is what the plan declared: the columns of the result.
        let evidence: Value =
            serde_json::from_slice(&fs::read(&file).expect("evidence")).expect("JSON");
        let opened = evidence["opened"].as_array().expect("a list").iter();
        let opened: Vec<&Value> = opened
            .filter(|value| value["kind"] == "result")
            .map(|value| &value["what"])
            .collect();
        let columns = report["result"]["columns"].as_array().expect("columns");
        let columns: Vec<&Value> = columns.iter().map(|column| &column["name"]).collect();
        assert_eq!(opened, columns, "{name}");
    }
    let found = entente(["demo", "--json", "--tamper"]).expect(29).json();
    assert_eq!(found["error"]["code"], "receipt", "{found}");
}
