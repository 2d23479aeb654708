//! `entente job`: from a job file to a result.

pub(crate) mod plan;
pub(crate) mod watch;
mod result;
mod report;

use crate::cli::{
    ApproveArgs, ConfigArg, JobCommand, JobFileArgs, JobIdArgs, RejectArgs, ResumeArgs, SubmitArgs,
};
use crate::client::Client;
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Exit, Failure, FileFault, Outcome, Output, Reply};
use crate::table::grid;
use chrono::DateTime;
use coordinator::contract::PersonalApproval;
use coordinator::contract::{JobId, PartyRole, Signed};
use coordinator::tls::Identity;
use party_agent::api::types::{
    ApproveRequest, ApprovedBy, Job, JobDetail, Planned, RejectRequest, ResumeRequest, SpecRequest,
    Submitted,
};
use party_agent::spec::{self, CheckedSpec};
use serde_json::json;
use std::path::Path;

pub(crate) async fn run(what: JobCommand, output: &Output) -> Outcome<Reply> {
    match what {
        JobCommand::Check(arguments) => check(&arguments).await,
        JobCommand::Plan(arguments) => plan::run(&arguments).await,
        JobCommand::Submit(arguments) => submit(&arguments, output).await,
        JobCommand::List(argument) => list(&argument).await,
        JobCommand::Show(arguments) => show(&arguments).await,
        JobCommand::Watch(arguments) => {
            let (client, id) = one(&arguments).await?;
            watch::run(&client, &id, output).await
        }
        JobCommand::Approve(arguments) => approve(&arguments).await,
        JobCommand::Reject(arguments) => reject(&arguments).await,
        JobCommand::Cancel(arguments) => cancel(&arguments).await,
        JobCommand::Resume(arguments) => resume(&arguments, output).await,
        JobCommand::Result(arguments) => result::run(&arguments).await,
        JobCommand::Report(arguments) => report::run(&arguments),
    }
}

/// Reads and checks a job file; all its faults are one failure.
pub(crate) fn read_spec(path: &Path) -> Outcome<(String, CheckedSpec)> {
    let text = read_text(path)?;
    match spec::check(&text) {
        Ok(checked) => Ok((text, checked)),
        Err(faults) => {
            let n = faults.len();
            let what = if n == 1 {
                "the job file has a fault".to_owned()
            } else {
                format!("the job file has {n} faults")
            };
            Err(Failure::usage("job_file", what)
                .at(path.display().to_string())
                .advice("correct them; `entente job check` looks again")
                .faults(faults.iter().map(FileFault::of).collect()))
        }
    }
}

async fn check(arguments: &JobFileArgs) -> Outcome<Reply> {
    let (text, checked) = read_spec(&arguments.job)?;
    let receivers: Vec<&str> = checked
        .receivers
        .iter()
        .map(|party| party.as_str())
        .collect();
    let mut lines = format!(
        "{}: the file is well formed; receivers: {}\n",
        checked.job,
        receivers.join(", ")
    );
    let planned = match plan_if_running(arguments, text).await {
        Ok(planned) => {
            refused_by_own_policy(&planned)?;
            lines += "It can be planned over the published tables, and this party's own policy allows it.\n";
            true
        }
        Err(failure) if ["no_config", "agent_not_running"].contains(&&*failure.code) => {
            lines += &format!("Tables were not looked at: {}.\n", failure.what);
            false
        }
        Err(failure) => return Err(failure.at(arguments.job.display().to_string())),
    };
    Ok(Reply::new(
        &json!({ "job": checked.job, "receivers": receivers, "planned": planned }),
        lines,
    ))
}

async fn plan_if_running(arguments: &JobFileArgs, spec: String) -> Outcome<Planned> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    client.post("/v1/jobs/plan", &SpecRequest::of(spec)).await
}

fn refused_by_own_policy(planned: &Planned) -> Outcome<()> {
    if planned.denials.is_empty() {
        return Ok(());
    }
    let faults = planned.denials.iter().map(|denial| FileFault {
        line: None,
        field: None,
        what: denial.clone(),
        allowed: None,
    });
    Err(Failure::new(
        Exit::Policy,
        "policy",
        "this party's own policy refuses the job",
    )
    .advice("change the job, or ask the policy's owner")
    .faults(faults.collect()))
}

async fn submit(arguments: &SubmitArgs, output: &Output) -> Outcome<Reply> {
    let (text, _) = read_spec(&arguments.job)?;
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let supersedes = match &arguments.supersedes {
        None => None,
        Some(id) => Some(find(&client, id).await?),
    };
    let request = SpecRequest {
        by: person(arguments.approver.as_deref()),
        supersedes,
        ..SpecRequest::of(text)
    };
    let submitted: Submitted = client.post("/v1/jobs", &request).await?;
    follow(&client, &submitted, arguments.watch, output).await
}

async fn resume(arguments: &ResumeArgs, output: &Output) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let request = ResumeRequest {
        by: person(arguments.approver.as_deref()),
    };
    let path = format!("/v1/jobs/{id}/resume");
    let submitted: Submitted = client.post(&path, &request).await?;
    follow(&client, &submitted, arguments.watch, output).await
}

/// Says what was submitted, or watches it.
async fn follow(
    client: &Client,
    submitted: &Submitted,
    watch: bool,
    output: &Output,
) -> Outcome<Reply> {
    let id = submitted.job_id.to_string();
    if watch {
        output.progress(&format!("job {id}"));
        return watch::run(client, &id, output).await;
    }
    let text = format!(
        "{id}\nThe other parties are asked to approve; follow it with: entente job watch {}\n",
        &id[..8]
    );
    Ok(Reply::new(submitted, text))
}

/// Who acts: as named, or the user of this terminal.
pub(crate) fn person(named: Option<&str>) -> Option<String> {
    named
        .map(str::to_owned)
        .or_else(|| std::env::var("USER").ok())
        .filter(|name| !name.is_empty())
}

async fn list(argument: &ConfigArg) -> Outcome<Reply> {
    let jobs: Vec<Job> = ConfigFile::locate_agent(argument)?
        .client()?
        .get("/v1/jobs")
        .await?;
    let rows = jobs.iter().map(|job| {
        vec![
            job.job_id.to_string()[..8].to_owned(),
            job.job.clone(),
            job.proposer.to_string(),
            job.state.as_str().to_owned(),
            time(job.created),
            job.ending
                .as_ref()
                .map(|ending| ending.what.clone())
                .unwrap_or_default(),
        ]
    });
    let header = ["id", "job", "proposed by", "state", "since (UTC)", ""]
        .map(str::to_owned)
        .to_vec();
    let text = if jobs.is_empty() {
        "no jobs yet\n".to_owned()
    } else {
        grid(header, rows.collect())
    };
    Ok(Reply::new(&json!({ "jobs": jobs }), text))
}

pub(crate) fn time(unix_s: u64) -> String {
    let time = i64::try_from(unix_s)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map(|time| time.format("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

async fn show(arguments: &JobIdArgs) -> Outcome<Reply> {
    let (client, id) = one(arguments).await?;
    let detail: JobDetail = client.get(&format!("/v1/jobs/{id}")).await?;
    let names = |parties: &[coordinator::contract::PartyName]| {
        parties
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let job = &detail.job;
    let mut text = format!(
        "job        {} ({id})\nstate      {}\npurpose    {}\nproposed   by {} on {} UTC\nreceivers  {}\n",
        job.job,
        job.state.as_str(),
        job.purpose,
        job.proposer,
        time(job.created),
        names(&detail.receivers),
    );
    for party in &detail.parties {
        text += &format!(
            "party      {} ({})  {}\n",
            party.name,
            role(party.role),
            party.fingerprint
        );
    }
    if let Some(earlier) = &detail.resumes {
        text += &format!("goes on    with job {earlier}\n");
    }
    if let Some(approver) = &job.approved_by {
        text += &format!("approved   here by {approver}\n");
    }
    if !detail.waiting_for.is_empty() {
        text += &format!("waiting    for {}\n", names(&detail.waiting_for));
    }
    if let Some(ending) = &job.ending {
        text += &format!(
            "ended      {}\n           {}\n",
            ending.what, ending.what_to_do
        );
        if detail.can_resume {
            text += "checkpoint there is one here; its proposer goes on with: entente job resume\n";
        }
    }
    if !job.state.is_final() {
        text += &format!("start by   {} UTC\n", time(detail.not_after));
    }
    if let Ok(planned) = client.get::<Planned>(&format!("/v1/jobs/{id}/plan")).await {
        text += "\n";
        text += &plan::body(&planned.plan);
        let receipt = client.get(&format!("/v1/jobs/{id}/receipt")).await;
        if let Ok(receipt) = receipt {
            text += "\n";
            text += &plan::measured(&planned.plan, &receipt);
        }
    }
    Ok(Reply::new(&detail, text))
}

fn role(role: PartyRole) -> &'static str {
    match role {
        PartyRole::Holder => "holds data",
        PartyRole::Receiver => "receives",
        PartyRole::Dealer => "deals randomness",
    }
}

async fn approve(arguments: &ApproveArgs) -> Outcome<Reply> {
    let (client, id) = one(&arguments.job).await?;
    let by = person(arguments.approver.as_deref());
    let signed = match &arguments.key {
        None => None,
        Some(key) => Some(signed_with(key, &client, &id).await?),
    };
    let request = ApproveRequest { by, signed };
    let done: ApprovedBy = client
        .post(&format!("/v1/jobs/{id}/approve"), &request)
        .await?;
    let what = match done.missing {
        0 => "approved for this party".to_owned(),
        n => format!("approved by you; {n} more of this party has to approve"),
    };
    let short = &done.job_id.to_string()[..8];
    Ok(Reply::new(&done, format!("job {short}: {what}\n")))
}

/// A person's signature over the job's contract and page.
async fn signed_with(key: &Path, client: &Client, id: &str) -> Outcome<Signed<PersonalApproval>> {
    let identity = Identity::load(key).map_err(|error| {
        Failure::usage("identity", error.to_string()).at(key.display().to_string())
    })?;
    let path = format!("/v1/jobs/{id}/approval?by={}", identity.name());
    let approval: PersonalApproval = client.get(&path).await?;
    Signed::sign(&approval, &identity).map_err(|error| Failure::runtime("sign", error.to_string()))
}

/// `entente revoke`.
pub(crate) async fn revoke(arguments: &RejectArgs) -> Outcome<Reply> {
    let done = decline(arguments, "revoke").await?;
    Ok(decided(&done, "approval revoked"))
}

/// This party's no, before or after its yes.
async fn decline(arguments: &RejectArgs, step: &str) -> Outcome<Submitted> {
    let (client, id) = one(&arguments.job).await?;
    let request = RejectRequest {
        reason: arguments.reason.clone(),
    };
    client
        .post(&format!("/v1/jobs/{id}/{step}"), &request)
        .await
}

async fn reject(arguments: &RejectArgs) -> Outcome<Reply> {
    let done = decline(arguments, "reject").await?;
    Ok(decided(
        &done,
        "rejected for this party; the others are told",
    ))
}

async fn cancel(arguments: &JobIdArgs) -> Outcome<Reply> {
    let (client, id) = one(arguments).await?;
    let done: Submitted = client
        .post(&format!("/v1/jobs/{id}/cancel"), &json!({}))
        .await?;
    Ok(decided(&done, "cancelled; the others are told"))
}

fn decided(done: &Submitted, what: &str) -> Reply {
    Reply::new(
        done,
        format!("job {}: {what}\n", &done.job_id.to_string()[..8]),
    )
}

/// The agent and the full id of the one job that the user means.
pub(crate) async fn one(arguments: &JobIdArgs) -> Outcome<(Client, String)> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let id = find(&client, &arguments.id).await?;
    Ok((client, id.to_string()))
}

/// The one job whose id begins so.
async fn find(client: &Client, beginning: &str) -> Outcome<JobId> {
    let wanted = beginning.to_ascii_lowercase();
    let jobs: Vec<Job> = client.get("/v1/jobs").await?;
    let mut matching = jobs
        .iter()
        .map(|job| job.job_id)
        .filter(|id| id.to_string().starts_with(&wanted));
    let hint = "`entente job list` shows the jobs";
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Failure::usage(
            "unknown_job",
            format!("no job's id begins with \"{beginning}\""),
        )
        .advice(hint)),
        (Some(_), Some(_)) => Err(Failure::usage(
            "ambiguous_job",
            format!("several jobs' ids begin with \"{beginning}\""),
        )
        .advice(hint)),
    }
}
