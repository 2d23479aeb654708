//! `entente halt`: everything at this agent, stopped and let go again.

use crate::cli::HaltArgs;
use crate::job::{person, time};
use crate::locate::ConfigFile;
use crate::outcome::{Outcome, Reply};
use party_agent::api::types::{HaltRequest, Halted};
use serde_json::json;

pub(crate) async fn run(arguments: &HaltArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let halted: Halted = match &arguments.reason {
        Some(reason) => {
            let by = person(arguments.by.as_deref()).unwrap_or_else(|| "(not named)".to_owned());
            let reason = reason.clone();
            client.post("/v1/halt", &HaltRequest { by, reason }).await?
        }
        None if arguments.lift => client.post("/v1/halt/lift", &json!({})).await?,
        None => client.get("/v1/halt").await?,
    };
    let mut text = match &halted.halted {
        Some(halt) => format!(
            "halted by {} since {} UTC: {}\nNo job is accepted, started or completed here; `entente halt --lift` lets jobs run again.\n",
            halt.by,
            time(halt.since),
            halt.reason
        ),
        None => "not halted: jobs may run\n".to_owned(),
    };
    for job_id in &halted.stopped {
        text += &format!("stopped {job_id}\n");
    }
    Ok(Reply::new(&halted, text))
}
