//! The evidence of a job, from the run to a reader who has nothing but the file; and what becomes of it when somebody changes it.

use crate::run::{Ended, entente, finish, job, root};
use crate::town::{Side, Town};
use coordinator::contract::{Digest, Signed, canonical};
use coordinator::tls::Identity;
use party_agent::evidence::Seal;
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

const TAMPERINGS: [Tampering; 18] = [
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
    ("another fact for a notary", 39, |e| {
        e["attested"]["sections"][4]["shows"][0]["value"] = "0".repeat(64).into();
    }),
    ("another certificate", 39, |e| {
        replace(
            &mut e["attested"]["certificate"]["body"],
            "\"size\":",
            "\"size\":1",
        );
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
    let former = of_before(&town.sides[0], &whole);
    fs::write(&file, canonical::encode(&former).expect("canonical")).expect("written");
    both("a file of before there were sections", 0, &[]);
    let told = certificate(&file).expect(2).stderr;
    assert!(
        told.contains("export the evidence of the job again"),
        "{told}"
    );
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

fn certificate(file: &Path) -> Ended {
    entente(["evidence", "certificate", file.to_str().expect("UTF-8")])
}

/// The file as this exporter's agent wrote it before there were sections for a notary.
fn of_before(exporter: &Side, evidence: &Value) -> Value {
    let identity = Identity::load(&exporter.config.with_file_name("identity")).expect("its key");
    let mut former = evidence.clone();
    let fields = former.as_object_mut().expect("a document");
    fields.remove("attested").expect("sections");
    fields.remove("seal").expect("a seal");
    let digest = Digest::of(&canonical::encode(&former).expect("canonical"));
    let seal = Signed::sign(&Seal { digest }, &identity).expect("signed");
    former["seal"] = serde_json::to_value(&seal).expect("JSON");
    former
}

/// What a notary is asked about, by the names of the papers; each says something of this job.
#[test]
fn five_sections_and_a_certificate_say_what_the_documents_show() {
    let exported = exported();
    let (file, id) = (&exported.file, &exported.id);
    let found = verify(file, &["--json"]).expect(0).json();
    let sections = found["sections"].as_array().expect("sections");
    let names: Vec<&Value> = sections.iter().map(|section| &section["name"]).collect();
    let wanted = [
        "法人准入",
        "数据准入",
        "数据真实性",
        "数据泄露",
        "模型安全性",
    ];
    assert_eq!(names, wanted);
    let says = |at: usize, fact: &str, of: &str| {
        let mut shows = sections[at]["shows"].as_array().expect("facts").iter();
        let found = shows.find(|shown| shown["fact"] == fact && shown["of"] == of);
        let found = found.unwrap_or_else(|| panic!("{fact} of {of}: {}", sections[at]));
        found["value"].as_str().expect("a text").to_owned()
    };
    let b = &exported.town.sides[1];
    assert_eq!(says(0, "key", "clinic_b"), b.fingerprint());
    assert!(says(0, "approved_by", "clinic_b").contains("person jonas"));
    let evidence: Value = serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON");
    let plan: Value = serde_json::from_str(evidence["plan"].as_str().expect("text")).expect("JSON");
    let contract = evidence["contract"]["body"].as_str().expect("text");
    let contract: Value = serde_json::from_str(contract).expect("JSON");
    let catalogue = &contract["catalogues"]["clinic_a"];
    assert_eq!(says(1, "catalogue", "clinic_a"), *catalogue);
    for (table, commitment) in plan["commitments"].as_object().expect("commitments") {
        assert_eq!(says(2, "commitment", table), *commitment);
    }
    assert_eq!(
        says(3, "min_cell", "plan"),
        plan["min_cell"]["at_least"].to_string()
    );
    assert!(
        says(3, "bytes_sent", "clinic_b")
            .parse::<u64>()
            .is_ok_and(|n| n > 1000)
    );
    assert_eq!(says(4, "manifest", "plan"), plan["manifest"]);
    let text = verify(file, &[]).expect(0).stdout;
    assert!(
        text.contains("法人准入 (admission of legal persons)"),
        "{text}"
    );
    certified(file, id, &evidence);
}

/// Anybody can verify the signature of a certificate over its other fields.
fn certified(file: &Path, id: &str, evidence: &Value) {
    let body = certificate(file).expect(0).stdout;
    let mut body: Value = serde_json::from_str(&body).expect("JSON");
    let fields: Vec<&String> = body.as_object().expect("a document").keys().collect();
    let wanted = [
        "contractId",
        "log",
        "proofId",
        "signature",
        "strategyId",
        "timestamp",
    ];
    assert_eq!(fields, wanted);
    assert_eq!(body["contractId"], id);
    assert_eq!(body["strategyId"].as_str().map(str::len), Some(36));
    assert_eq!(body["log"].as_array().map(Vec::len), Some(2));
    let signature = body
        .as_object_mut()
        .expect("a document")
        .remove("signature");
    let signed = &evidence["attested"]["certificate"];
    assert_eq!(signature.as_ref(), Some(&signed["signature"]));
    assert_eq!(
        canonical::encode(&body).expect("canonical"),
        signed["body"].as_str().expect("text").as_bytes()
    );
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
