//! `entente contract`: what people sign, in words.

use crate::cli::{ContractCommand, ExplainArgs, PageLanguage};
use crate::job::one;
use crate::outcome::{Outcome, Reply};
use coordinator::contract::Digest;
use party_agent::api::types::{PageDocument, PreviousPage};
use serde_json::json;

pub(crate) async fn run(what: ContractCommand) -> Outcome<Reply> {
    let ContractCommand::Explain(arguments) = what;
    explain(&arguments).await
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
