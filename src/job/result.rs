//! `entente job result`: what a receiver got, in the form that it wants.

use crate::cli::{ResultArgs, ResultFormat};
use crate::init::write_new;
use crate::outcome::{Failure, Outcome, Reply};
use crate::table::ResultDocument;
use serde_json::json;
use serde_json::value::RawValue;

pub(crate) async fn run(arguments: &ResultArgs) -> Outcome<Reply> {
    let (client, id) = super::one(&arguments.job).await?;
    let document = client.get_text(&format!("/v1/jobs/{id}/result")).await?;
    let unreadable = |_| {
        Failure::runtime("result", "the result that the agent keeps cannot be read")
            .at(format!("job {id}"))
    };
    let parsed: ResultDocument = serde_json::from_str(&document).map_err(unreadable)?;
    let text = match arguments.format {
        ResultFormat::Table => parsed.text(),
        ResultFormat::Csv => {
            client
                .get_text(&format!("/v1/jobs/{id}/result?format=csv"))
                .await?
        }
        ResultFormat::MatchedKeys => {
            client
                .get_text(&format!("/v1/jobs/{id}/result?format=matched_keys"))
                .await?
        }
        ResultFormat::Json => document.clone(),
    };
    match &arguments.out {
        Some(path) => {
            write_new(path, text.as_bytes(), 0o600)?;
            let rows = match parsed.n_rows() {
                1 => "1 row".to_owned(),
                n => format!("{n} rows"),
            };
            let said = format!("{rows} in {}\n", path.display());
            Ok(Reply::new(
                &json!({ "job_id": id, "file": path, "rows": parsed.n_rows() }),
                said,
            ))
        }
        None => {
            let raw = RawValue::from_string(document).map_err(unreadable)?;
            Ok(Reply::new(&raw, text))
        }
    }
}
