//! `entente evidence`: what a third party can check without trusting anybody's word.

use crate::cli::{
    EvidenceCertificateArgs, EvidenceCommand, EvidenceExportArgs, EvidenceVerifyArgs,
};
use crate::init::write_new;
use crate::job::one;
use crate::outcome::{Exit, Failure, Outcome, Reply};
use coordinator::contract::Digest;
use coordinator::tls::Pins;
use party_agent::evidence::{self, Check, Fault, Verified};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

pub(crate) async fn run(what: EvidenceCommand) -> Outcome<Reply> {
    match what {
        EvidenceCommand::Export(arguments) => export(&arguments).await,
        EvidenceCommand::Verify(arguments) => verify(&arguments),
        EvidenceCommand::Certificate(arguments) => certificate(&arguments),
    }
}

async fn export(arguments: &EvidenceExportArgs) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let text = client.get_text(&format!("/v1/jobs/{id}/evidence")).await?;
    write_new(&arguments.out, text.as_bytes(), 0o600)?;
    let file = arguments.out.display();
    let said = format!(
        "the evidence of job {} is in {file}; anybody can check it: entente evidence verify {file}\n",
        &id[..8]
    );
    let digest = Digest::of(text.as_bytes());
    Ok(Reply::new(
        &json!({ "job_id": id, "file": arguments.out, "sha256": digest }),
        said,
    ))
}

fn verify(arguments: &EvidenceVerifyArgs) -> Outcome<Reply> {
    let bytes = read(&arguments.file)?;
    let pins = trusted(arguments.trust.as_deref())?;
    let verified = check(&bytes, pins.as_ref(), &arguments.file)?;
    if let Some(path) = &arguments.result {
        let found = Digest::of(&read(path)?);
        if verified.result != Some(found) {
            let what = format!("{} is not the result in the evidence", path.display());
            return Err(failure(&Check::Output.fault(what), &arguments.file));
        }
    }
    Ok(Reply::new(&verified, text(&verified)))
}

/// The body of `fulfillmentProof` with its signature, of a file that holds.
fn certificate(arguments: &EvidenceCertificateArgs) -> Outcome<Reply> {
    let bytes = read(&arguments.file)?;
    let pins = trusted(arguments.trust.as_deref())?;
    let verified = check(&bytes, pins.as_ref(), &arguments.file)?;
    let Some(signed) = verified.certificate else {
        let what = "the file was exported by an earlier version and has no certificate";
        return Err(Failure::usage("certificate", what)
            .advice("export the evidence of the job again, at any of its parties"));
    };
    let mut body: Value = serde_json::from_slice(signed.body()).expect("verified above");
    body["signature"] = signed.signature().to_string().into();
    let text = serde_json::to_string_pretty(&body).expect("JSON") + "\n";
    Ok(Reply::new(&body, text))
}

/// The keys that the reader trusts, if it has a list.
pub(crate) fn trusted(path: Option<&Path>) -> Outcome<Option<Pins>> {
    let pins = path.map(|path| {
        Pins::load(path).map_err(|error| {
            Failure::usage("trust", error.to_string()).at(path.display().to_string())
        })
    });
    pins.transpose()
}

/// Verifies a file's bytes, with the exit code of the check that fails.
pub(crate) fn check(bytes: &[u8], trust: Option<&Pins>, path: &Path) -> Outcome<Verified> {
    evidence::verify(bytes, trust).map_err(|fault| failure(&fault, path))
}

/// A check that failed, with its exit code.
pub(crate) fn failure(fault: &Fault, path: &Path) -> Failure {
    let exit = Exit::Evidence(fault.check.code());
    Failure::new(exit, fault.check.name(), fault.to_string())
        .at(path.display().to_string())
        .advice("do not rely on this file; ask its exporter for another one, and compare")
}

pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Failure::usage("file", format!("cannot be read: {error}")).at(path.display().to_string())
    })
}

/// What was found, for a person.
pub(crate) fn text(verified: &Verified) -> String {
    let mut out = format!(
        "the evidence holds: every one of {} checks\n\njob      {} ({})\npurpose  {}\nexporter {}\n",
        Check::ALL.len(),
        verified.job,
        verified.job_id,
        verified.purpose,
        verified.exporter
    );
    for (party, key) in &verified.parties {
        let by = verified.approved_by.get(party).map_or("", String::as_str);
        let _ = writeln!(out, "party    {party}: {key}, approved by {by}");
    }
    let _ = writeln!(
        out,
        "logs     entries found in the parties' logs: {}; signatures of witnesses under their checkpoints: {}",
        verified.n_entries, verified.n_cosignatures
    );
    if let Some(result) = &verified.result {
        let _ = writeln!(out, "result   result.json with SHA-256 {result}");
    }
    for (section, [_, english, open]) in verified.sections.iter().zip(evidence::SECTIONS) {
        let (name, n) = (&section.name, section.shows.len());
        let _ = writeln!(
            out,
            "section  {name} ({english}): {n} facts; not shown: {open}"
        );
    }
    if !verified.trusted {
        out += "\nThe keys above were not compared with any list: compare them yourself, or give --trust FILE.\n";
    }
    out
}
