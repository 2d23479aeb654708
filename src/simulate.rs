//! `entente simulate`: a job on local data, by the same code path as in earnest.

use crate::cli::{NetProfile, SimulateArgs};
use crate::init::{cannot_write, party_name};
use crate::job::{plan, read_spec, watch};
use crate::outcome::{Failure, Outcome, Output, Reply};
use crate::rehearse::{
    Agents, Finished, NetworkReport, PartyDir, Report, parse_parties, with_agents,
};
use crate::table::{bytes, counted, grid};
use clap::ValueEnum as _;
use coordinator::contract::PartyName;
use party_agent::api::types::Planned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) async fn run(arguments: &SimulateArgs, output: &Output) -> Outcome<Reply> {
    let (spec, checked) = read_spec(&arguments.job)?;
    let parties = parse_parties(&arguments.parties)?;
    let submitter = submitter(&checked, &parties)?;
    arguments.out.as_deref().map(make_directory).transpose()?;
    output.progress(&format!(
        "starting a coordinator and {} on this machine",
        counted(parties.len(), "agent")
    ));
    let limit = Duration::from_secs(arguments.timeout);
    let work = async |agents: &Agents| {
        let agent = &agents[&submitter];
        let planned = agent.plan(&spec).await.map_err(name_the_remedy)?;
        let began = Instant::now();
        let id = agent.submit(&spec).await?;
        watch::follow(&agent.client, &id, output).await?;
        let finished = Finished::collect(agents, &submitter, &id, began).await?;
        Ok((planned, id, finished))
    };
    let (planned, id, finished) = with_agents(&parties, arguments.relay, limit, work).await?;
    let files = arguments
        .out
        .as_deref()
        .map(|directory| finished.save(directory))
        .transpose()?;
    let report = report(arguments, &parties, &planned, id, &finished, files)?;
    let text = text(&report, &finished)?;
    Ok(Reply::new(&report, text))
}

/// Before anything runs, so that nobody waits for a result that cannot be written.
fn make_directory(path: &Path) -> Outcome<()> {
    std::fs::create_dir_all(path).map_err(|error| cannot_write(path, &error))
}

/// A party that the job names and nobody brought is seen by the planner, which does not know our arguments.
fn name_the_remedy(failure: Failure) -> Failure {
    if ["plan", "party_key"].contains(&&*failure.code) {
        failure.advice("correct the job, or bring every party of it with --party NAME=DIR")
    } else {
        failure
    }
}

/// The party that submits: the first receiver, who must be here.
fn submitter(checked: &party_agent::spec::CheckedSpec, parties: &[PartyDir]) -> Outcome<PartyName> {
    let missing: Vec<&str> = checked
        .receivers
        .iter()
        .map(|receiver| receiver.as_str())
        .filter(|receiver| !parties.iter().any(|party| party.name.as_str() == *receiver))
        .collect();
    match (missing.as_slice(), checked.receivers.first()) {
        ([], Some(first)) => party_name(first.as_str(), "receivers"),
        _ => Err(Failure::usage(
            "party",
            format!("the job's receiver {} has no --party", missing.join(", ")),
        )
        .at("--party")
        .advice(format!(
            "add --party {}=DIR; an empty directory is a party without data",
            missing.first().unwrap_or(&"NAME")
        ))),
    }
}

fn report(
    arguments: &SimulateArgs,
    parties: &[PartyDir],
    planned: &Planned,
    job_id: String,
    finished: &Finished,
    files: Option<BTreeMap<&'static str, PathBuf>>,
) -> Outcome<Report> {
    let profile = arguments
        .net
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default();
    let needed = |party: &&PartyDir| finished.receipts.contains_key(&party.name);
    Ok(Report {
        status: "completed",
        job_id,
        wall_s: finished.wall_s,
        rounds: finished.rounds(),
        parties: finished.parties(),
        network: NetworkReport {
            // On loopback it was measured.
            predicted_s: match arguments.net {
                NetProfile::Loopback => None,
                _ => plan::network_seconds(&planned.plan, &profile),
            },
            profile,
        },
        rehearsal_policy: parties
            .iter()
            .filter(|party| party.policy.is_none() && !party.tables.is_empty())
            .map(|party| party.name.to_string())
            .collect(),
        not_needed: parties
            .iter()
            .filter(|party| !needed(party))
            .map(|party| party.name.to_string())
            .collect(),
        files,
        result: finished.raw_result()?,
    })
}

fn text(report: &Report, finished: &Finished) -> Outcome<String> {
    let mut out = finished.table()?;
    out += &format!("\n{:.2} s, {} rounds\n", report.wall_s, report.rounds);
    let rows = report.parties.iter().map(|(name, party)| {
        vec![
            name.clone(),
            bytes(party.bytes_sent),
            bytes(party.bytes_received),
            format!("{:.2} s", party.cpu_s),
            bytes(party.peak_rss_bytes),
        ]
    });
    let header = ["party", "sent", "received", "processor", "memory"]
        .map(str::to_owned)
        .to_vec();
    out += &grid(header, rows.collect());
    if let Some(seconds) = report.network.predicted_s {
        out += &format!(
            "on a {} network: about {seconds:.2} s for the messages, and each holder's reading\n",
            report.network.profile
        );
    }
    if !report.rehearsal_policy.is_empty() {
        out += &format!(
            "without a policy.toml, so everything was allowed: {}\n",
            report.rehearsal_policy.join(", ")
        );
    }
    if !report.not_needed.is_empty() {
        out += &format!("not part of this job: {}\n", report.not_needed.join(", "));
    }
    for (name, path) in report.files.iter().flatten() {
        out += &format!("{name}: {}\n", path.display());
    }
    Ok(out)
}
