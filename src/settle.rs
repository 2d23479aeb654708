//! `entente settle`: who owes whom how much, from evidence files alone.

use crate::cli::SettleArgs;
use crate::evidence;
use crate::init::write_new;
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::contract::Digest;
use party_agent::evidence::Evidence;
use party_agent::settlement::{JobAccount, Period, Statement};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) fn run(arguments: &SettleArgs) -> Outcome<Reply> {
    let trust = evidence::trusted(arguments.trust.as_deref())?;
    let mut files = Vec::new();
    for path in &arguments.files {
        let bytes = evidence::read(path)?;
        evidence::check(&bytes, trust.as_ref(), path)?;
        let read: Evidence = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::usage("file", error.to_string()).at(path.display().to_string())
        })?;
        files.push(read);
    }
    let period = Period {
        from: arguments.from,
        until: arguments.until,
    };
    let statement = Statement::of(&files, period).map_err(|error| {
        Failure::usage("settlement", error.to_string())
            .advice("give the evidence of each job once, of jobs whose files have [settlement]")
    })?;
    let bytes = statement.canonical();
    let digest = Digest::of(&bytes);
    if let Some(path) = &arguments.out {
        write_new(path, &bytes, 0o600)?;
    }
    let document = json!({ "statement": statement, "sha256": digest });
    Ok(Reply::new(
        &document,
        text(&statement, files.len(), &digest),
    ))
}

fn text(statement: &Statement, n_files: usize, digest: &Digest) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for job in &statement.jobs {
        let _ = write_job(&mut out, job);
    }
    let n_outside = n_files - statement.jobs.len();
    if n_outside > 0 {
        let _ = writeln!(
            out,
            "left out, because they ended on other days: {n_outside} of {n_files} jobs"
        );
    }
    for (currency, balances) in &statement.balances {
        let _ = writeln!(out, "in all, {currency}");
        for (party, minor) in balances {
            let _ = writeln!(out, "  {party}: {minor}");
        }
    }
    let _ = writeln!(
        out,
        "amounts are in the smallest unit of each currency; every party that settles the same jobs has the statement with SHA-256 {digest}"
    );
    out
}

fn write_job(out: &mut String, job: &JobAccount) -> std::fmt::Result {
    writeln!(out, "{} ({}), {}", job.job, job.job_id, job.currency)?;
    for (party, minor) in &job.owed {
        writeln!(out, "  {party} owes {minor}")?;
    }
    for due in &job.due {
        let ppm = job.contributed_ppm.get(&due.party);
        let by = match (due.basis, ppm) {
            ("shapley", Some(ppm)) => format!(", who contributed {ppm} millionths"),
            _ => String::new(),
        };
        writeln!(out, "  {} is due to {}{by}", due.minor, due.party)?;
    }
    for (party, n) in &job.missing_without {
        writeln!(out, "  without {party} groups would be missing: {n}")?;
    }
    Ok(())
}
