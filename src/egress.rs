//! `entente egress-report`: what left this machine in a job.

use crate::cli::JobIdArgs;
use crate::job::one;
use crate::outcome::{Outcome, Reply};
use crate::table::{bytes, wrapped};
use coordinator::contract::PartyName;
use party_agent::api::types::Egress;
use std::fmt::Write as _;

pub(crate) async fn run(arguments: &JobIdArgs) -> Outcome<Reply> {
    let (client, id) = one(arguments).await?;
    let egress: Egress = client.get(&format!("/v1/jobs/{id}/egress")).await?;
    let text = text(&egress);
    Ok(Reply::new(&egress, text))
}

fn text(egress: &Egress) -> String {
    let id = egress.job_id.to_string();
    let mut out = format!(
        "what left {} in job {}\n\nmessages of the protocols, which are shares, masked or encrypted values, and openings:\n",
        egress.party,
        &id[..8]
    );
    for (peer, sent) in &egress.peers {
        let _ = writeln!(out, "  to {peer}, {}: {}", sent.route, bytes(sent.messages));
    }
    let _ = writeln!(
        out,
        "  encryption and packets around them: {}",
        bytes(egress.overhead)
    );
    let documents = &egress.documents;
    out += "\nsigned documents, to the coordinator and by way of it to the other parties:\n";
    for (what, n) in [
        ("the approval", documents.acceptance),
        (
            "the receipt, with what the log says of the job",
            documents.report,
        ),
        (
            "the others' checkpoints, signed as seen",
            documents.cosignatures,
        ),
    ] {
        let _ = writeln!(out, "  {what}: {}", bytes(n));
    }
    out += "\nopened on shares, and to whom:\n";
    for value in egress.opened.iter().filter(|value| value.kind != "learns") {
        let what = match value.kind.as_str() {
            "result" => format!("{} of the result", value.what),
            "contribution" => format!("what {} contributed, as a number", value.what),
            "left_out" => format!("how many groups would be missing without {}", value.what),
            "answer" => format!("yes or no, group by group: {}", value.what),
            _ => format!("the number, group by group: {}", value.what),
        };
        let _ = writeln!(out, "  {what}, to {}", names(&value.to));
    }
    out += "\nwhat each party learns by all of it, as the plan declares it:\n";
    for value in egress.opened.iter().filter(|value| value.kind == "learns") {
        out += &wrapped("  ", &format!("{}: {}", names(&value.to), value.what));
    }
    out
}

fn names(parties: &[PartyName]) -> String {
    let names: Vec<&str> = parties.iter().map(PartyName::as_str).collect();
    names.join(", ")
}
