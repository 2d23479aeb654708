//! `entente job plan`: what would run, for the people who decide about it.

use crate::cli::JobFileArgs;
use crate::locate::ConfigFile;
use crate::outcome::{Outcome, Reply};
use crate::table::{bytes, grid, wrapped};
use party_agent::api::types::{Planned, SpecRequest};
use party_agent::receipt::ReceiptFile;
use serde_json::Value;
use std::fmt::Write as _;

pub(crate) async fn run(arguments: &JobFileArgs) -> Outcome<Reply> {
    let (spec, _) = super::read_spec(&arguments.job)?;
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let planned: Planned = client.post("/v1/jobs/plan", &SpecRequest::of(spec)).await?;
    let mut out = text(&planned.plan);
    for denial in &planned.denials {
        let _ = writeln!(out, "this party's own policy refuses: {denial}");
    }
    Ok(Reply::new(&planned, out))
}

/// The plan in words, from its document.
pub(crate) fn text(plan: &Value) -> String {
    let field = |name: &str| plan[name].as_str().unwrap_or_default();
    let head = format!("{}: {}\n", field("job"), field("purpose"));
    let parties = format!(
        "parties    {}\nreceivers  {}\n",
        list(&plan["seats"]),
        list(&plan["receivers"])
    );
    head + &parties + &body(plan)
}

/// What follows after who and why: what would run, what is learnt, what it costs.
pub(crate) fn body(plan: &Value) -> String {
    let words = other_than_totals(plan);
    let mut out = match &words {
        None => format!(
            "randomness {}\nmin. cell  {}\n{}",
            randomness(plan),
            min_cell(plan),
            rounding(plan)
        ),
        Some(words) => words.iter().map(|line| wrapped("", line)).collect(),
    };
    out += "\neach party runs over its own tables:\n";
    for (party, local) in plan["locals"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {party}:");
        out += &indented(local["sql"].as_str().unwrap_or_default());
    }
    if words.is_none() {
        out += &receivers(plan);
    }
    out += "\nwhat each party learns:\n";
    for line in learns(plan) {
        out += &wrapped("  ", &line);
    }
    for warning in plan["warnings"].as_array().into_iter().flatten() {
        out.push('\n');
        out += &wrapped("please consider: ", warning.as_str().unwrap_or_default());
    }
    out + "\n" + &cost(plan)
}

/// What is done with the totals.
fn receivers(plan: &Value) -> String {
    let sql = plan["final_sql"].as_str().unwrap_or_default();
    let statistic = plan["statistic"]["label"].as_str();
    let mut out = String::new();
    if !sql.is_empty() {
        out += "\nthe totals are added on shares; over the released ones each receiver runs:\n";
        out += &indented(sql);
    }
    match statistic {
        Some(label) if sql.is_empty() => {
            out += "\nthe totals are added on shares and not released; on shares is found:\n";
            out += &indented(label);
        }
        Some(label) => {
            out += "and computes of its rows:\n";
            out += &indented(label);
        }
        None => {}
    }
    out
}

/// What runs in words, where it is something else than adding up totals.
fn other_than_totals(plan: &Value) -> Option<Vec<String>> {
    let (_, of) = plan["procedure"].as_object()?.iter().next()?;
    let words = of["words"].as_array()?.iter().filter_map(Value::as_str);
    Some(words.map(str::to_owned).collect())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// `party: what` for each party, in the plan's order.
pub(crate) fn learns(plan: &Value) -> Vec<String> {
    let lines = plan["learns"].as_array().into_iter().flatten();
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    lines
        .map(|line| format!("{}: {}", text(line, "party"), text(line, "what")))
        .collect()
}

/// Predicted seconds on the network named `profile`; none for a profile that the plan does not know.
pub(crate) fn network_seconds(plan: &Value, profile: &str) -> Option<f64> {
    plan["cost"]["network_us"][profile]
        .as_u64()
        .map(|us| us as f64 / 1e6)
}

fn cost(plan: &Value) -> String {
    let cost = &plan["cost"];
    let sent: Vec<u64> = cost["bytes_sent"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    let most = sent.iter().max().copied().unwrap_or(0);
    let mut out = format!(
        "cost: {} rounds, at most {} sent by one party\n",
        cost["rounds"],
        bytes(most)
    );
    let work_us = cost["work_us"].as_f64().unwrap_or(0.0);
    for (name, us) in cost["network_us"].as_object().into_iter().flatten() {
        let us = us.as_f64().unwrap_or(0.0);
        let _ = writeln!(
            out,
            "  {name}: about {:.2} s, {:.2} s of it for the messages",
            (us + work_us) / 1e6,
            us / 1e6
        );
    }
    out
}

/// What a plan has predicted for a party, beside what its receipt tells. Links are this run's own, so each of the predicted
/// ones is named.
pub(crate) fn measured(plan: &Value, file: &ReceiptFile) -> String {
    let (receipt, local) = (&file.signed.receipt, &file.local);
    let cost = &plan["cost"];
    let seats = plan["seats"].as_array().into_iter().flatten();
    let mut parties = seats.chain(std::iter::once(&plan["dealer"]));
    let seat = parties.position(|party| *party == receipt.party.as_str());
    let predicted = seat.and_then(|seat| cost["bytes_sent"][seat].as_u64());
    let memory = cost["memory_bytes"].as_u64();
    let work_us = cost["work_us"].as_f64().unwrap_or(0.0);
    let seconds = |us: &Value| format!("{:.2} s", (us.as_f64().unwrap_or(0.0) + work_us) / 1e6);
    let links = cost["network_us"].as_object().into_iter().flatten();
    let links: Vec<String> = links
        .map(|(name, us)| format!("{} ({name})", seconds(us)))
        .collect();
    let amount = |of: Option<u64>| of.map_or_else(|| "-".to_owned(), bytes);
    let row = |what: &str, predicted: String, measured: String| {
        vec![what.to_owned(), predicted, measured]
    };
    let header = ["", "predicted", "measured here"]
        .map(str::to_owned)
        .to_vec();
    let rows = vec![
        row(
            "rounds",
            cost["rounds"].to_string(),
            receipt.rounds.to_string(),
        ),
        row(
            "sent",
            amount(predicted),
            bytes(receipt.bytes_sent.values().sum()),
        ),
        row(
            "memory",
            amount(memory),
            format!("{} (whole agent, at most)", bytes(local.peak_rss_bytes)),
        ),
        row(
            "seconds",
            links.join(", "),
            format!("{:.2} s", local.wall_s),
        ),
    ];
    grid(header, rows)
}

fn randomness(plan: &Value) -> String {
    match (plan["correlations"].as_str(), plan["dealer"].as_str()) {
        (None, _) => "none is needed".to_owned(),
        (Some(_), Some(dealer)) => {
            format!("dealt by {dealer}, which must not collude with any of the others")
        }
        (Some(_), None) => {
            "made by the parties themselves (oblivious transfer), no third party".to_owned()
        }
    }
}

fn min_cell(plan: &Value) -> String {
    let rule = match plan["shape"]["rule"].as_str() {
        Some("compare") => "compared on shares, only yes or no is opened",
        Some("open_counts") => {
            "COUNTS ARE OPENED to the computing parties, which every policy allows"
        }
        _ => "no group is held back",
    };
    format!(
        "{} (set by {}); {rule}",
        plan["min_cell"]["at_least"],
        list(&plan["min_cell"]["set_by"])
    )
}

/// To what counts are rounded, if they are.
fn rounding(plan: &Value) -> String {
    let rounding = &plan["rounding"];
    match rounding["multiple"].as_u64() {
        None => String::new(),
        Some(multiple) => format!(
            "counts     rounded on shares to the nearest multiples of {multiple} (set by {})\n",
            list(&rounding["set_by"])
        ),
    }
}

fn list(value: &Value) -> String {
    let names = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}
