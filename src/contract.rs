//! `entente contract`: what people sign, in words, and as a file that anybody can verify.

use crate::cli::{
    ContractCommand, ContractExportArgs, ContractVerifyArgs, ExplainArgs, PageLanguage,
};
use crate::evidence::{failure, read, trusted};
use crate::init::write_new;
use crate::job::one;
use crate::outcome::{Exit, Outcome, Reply};
use chrono::DateTime;
use coordinator::contract::Digest;
use coordinator::tls::Pins;
use party_agent::api::types::{PageDocument, PreviousPage};
use party_agent::evidence::{Agreed, Check, tamperings, verify_agreement};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) async fn run(what: ContractCommand) -> Outcome<Reply> {
    match what {
        ContractCommand::Explain(arguments) => explain(&arguments).await,
        ContractCommand::Export(arguments) => export(&arguments).await,
        ContractCommand::Verify(arguments) => verify(&arguments),
    }
}

async fn export(arguments: &ContractExportArgs) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let text = client.get_text(&format!("/v1/jobs/{id}/contract")).await?;
    write_new(&arguments.out, text.as_bytes(), 0o600)?;
    let file = arguments.out.display();
    let said = format!(
        "what was agreed on job {} is in {file}; anybody can check it: entente contract verify {file}\n",
        &id[..8]
    );
    let digest = Digest::of(text.as_bytes());
    let document = json!({ "job_id": id, "file": arguments.out, "sha256": digest });
    Ok(Reply::new(&document, said))
}

fn verify(arguments: &ContractVerifyArgs) -> Outcome<Reply> {
    let bytes = read(&arguments.file)?;
    let pins = trusted(arguments.trust.as_deref())?;
    let agreed = verify_agreement(&bytes, pins.as_ref());
    let agreed = agreed.map_err(|fault| failure(&fault, &arguments.file))?;
    let mut said = text(&agreed);
    if !arguments.tamper_all {
        return Ok(Reply::new(&agreed, said));
    }
    let (n, accepted) = tampered(&bytes, pins.as_ref(), arguments)?;
    let _ = writeln!(said, "\n{}/{n} rejected", n - accepted.len());
    for what in &accepted {
        let _ = writeln!(said, "not found: {what}");
    }
    let document = json!({
        "agreed": agreed, "tamperings": n, "rejected": n - accepted.len(), "accepted": accepted,
    });
    let exit = match accepted.is_empty() {
        true => Exit::Ok,
        false => Exit::Runtime,
    };
    Ok(Reply::new(&document, said).with_exit(exit))
}

/// How many changes of the file there are, and those that were not found.
fn tampered(
    bytes: &[u8],
    trust: Option<&Pins>,
    arguments: &ContractVerifyArgs,
) -> Outcome<(usize, Vec<String>)> {
    let form = |error: coordinator::contract::canonical::CanonicalError| {
        failure(&Check::Form.fault(error.to_string()), &arguments.file)
    };
    let all = tamperings(bytes).map_err(form)?;
    let n = all.len();
    let mut accepted = Vec::new();
    for tampering in all {
        let changed = tampering.of(bytes).map_err(form)?;
        if verify_agreement(&changed, trust).is_ok() {
            accepted.push(tampering.what);
        }
    }
    Ok((n, accepted))
}

/// What was found, for a person.
fn text(agreed: &Agreed) -> String {
    let mut out = format!(
        "the contract holds: signed by its proposer and approved by every party\n\njob      {} ({})\npurpose  {}\nproposer {}\n",
        agreed.job, agreed.job_id, agreed.purpose, agreed.proposer
    );
    for (party, key) in &agreed.parties {
        let by = agreed.approved_by.get(party).map_or("", String::as_str);
        let _ = writeln!(out, "party    {party}: {key}, approved by {by}");
    }
    let receivers: Vec<&str> = agreed.receivers.iter().map(|r| r.as_str()).collect();
    let _ = writeln!(out, "result   to {}", receivers.join(", "));
    let until = i64::try_from(agreed.not_after).ok();
    if let Some(until) = until.and_then(|s| DateTime::from_timestamp(s, 0)) {
        let _ = writeln!(out, "until    {}", until.format("%Y-%m-%d %H:%M UTC"));
    }
    for (language, digest) in &agreed.pages {
        let _ = writeln!(out, "page     {language} with SHA-256 {digest}");
    }
    if !agreed.trusted {
        out += "\nThe keys above were not compared with any list: compare them yourself, or give --trust FILE.\n";
    }
    out
}

async fn explain(arguments: &ExplainArgs) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let (lang, since, same) = match arguments.lang {
        PageLanguage::En => (
            "en",
            "CHANGED SINCE THE LAST ONE",
            "nothing but ids and times",
        ),
        PageLanguage::Zh => ("zh", "与上一版的差异", "除编号与时间外无变化"),
    };
    let document: PageDocument = client
        .get(&format!("/v1/jobs/{id}/page?lang={lang}"))
        .await?;
    let digest = Digest::of(document.page.as_bytes());
    let changes = document
        .previous
        .as_ref()
        .map(|p| changes(p, &document.page));
    let mut text = document.page.clone();
    if let (Some(previous), Some(changes)) = (&document.previous, &changes) {
        let before = previous.job_id.to_string();
        text += &format!("\n{since} ({})\n", &before[..8]);
        match changes.as_slice() {
            [] => text += &format!("  {same}\n"),
            changes => text.extend(changes.iter().map(|line| format!("  {line}\n"))),
        }
    }
    let document = json!({
        "job_id": id, "lang": lang, "page": document.page, "sha256": digest,
        "previous": document.previous.map(|p| p.job_id), "changes": changes,
    });
    Ok(Reply::new(&document, text))
}

/// Lines of one page that the other has not, the old ones first. Ids, digests and dates differ always.
fn changes(previous: &PreviousPage, page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (sign, from, other) in [('-', &*previous.page, page), ('+', page, &*previous.page)] {
        let is_new = |line: &&str| !other.lines().any(|l| l == *line) && says_something(line);
        lines.extend(
            from.lines()
                .filter(is_new)
                .map(|line| format!("{sign}{line}")),
        );
    }
    lines
}

fn says_something(line: &str) -> bool {
    let is_id = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    !line.trim().is_empty() && !line.split_whitespace().any(is_id) && !line.contains(" UTC")
}
