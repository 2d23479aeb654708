//! `entente contract`: what people sign, in words.

use crate::cli::{ContractCommand, ExplainArgs, PageLanguage};
use crate::job::one;
use crate::outcome::{Outcome, Reply};
use coordinator::contract::Digest;
use serde_json::json;

pub(crate) async fn run(what: ContractCommand) -> Outcome<Reply> {
    let ContractCommand::Explain(arguments) = what;
    explain(&arguments).await
}

async fn explain(arguments: &ExplainArgs) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let lang = match arguments.lang {
        PageLanguage::En => "en",
        PageLanguage::Zh => "zh",
    };
    let page = client
        .get_text(&format!("/v1/jobs/{id}/page?lang={lang}"))
        .await?;
    let digest = Digest::of(page.as_bytes());
    let document = json!({ "job_id": id, "lang": lang, "page": page, "sha256": digest });
    Ok(Reply::new(&document, page))
}
