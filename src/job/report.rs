//! `entente job report`: a page of a model's result.

use crate::cli::ReportArgs;
use crate::init::write_new;
use crate::locate::read_text;
use crate::outcome::{Failure, Outcome, Reply};
use serde_json::{Value, json};

pub(crate) fn run(arguments: &ReportArgs) -> Outcome<Reply> {
    let at = arguments.result.display().to_string();
    let text = read_text(&arguments.result)?;
    let result: Value = serde_json::from_str(&text).map_err(|e| {
        Failure::usage("result", format!("the file is no JSON: {e}"))
            .at(&at)
            .advice(
                "name the result.json of a model, or what `entente job result --format json` wrote",
            )
    })?;
    // `entente simulate --json` has the result beside other things.
    let result = result.get("result").unwrap_or(&result);
    let page = party_agent::report::page(result).map_err(|e| {
        Failure::usage("result", e.to_string())
            .at(&at)
            .advice("reports are of models: of jobs with [compute.train]")
    })?;
    write_new(&arguments.out, page.as_bytes(), 0o600)?;
    let said = format!("report in {}\n", arguments.out.display());
    Ok(Reply::new(&json!({ "file": arguments.out }), said))
}
