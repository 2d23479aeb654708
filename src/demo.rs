//! `entente demo`: bundled data, told step by step. Here: `claims`, three hospitals and one table.

mod evidence;
mod overlap;
mod credit;

pub(crate) use credit::credit;
pub(crate) use overlap::overlap;

use crate::cli::DemoArgs;
use crate::init::{cannot_write, party_name};
use crate::job::plan;
use crate::outcome::{Outcome, Output, Reply};
use crate::rehearse::{Agents, Finished, PartyDir, PartyReport, with_agents};
use crate::table::{bytes, grid, grouped, wrapped};
use party_agent::api::types::Planned;
use party_agent::evidence::Verified;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A guard against hanging; the demo takes seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// The party that asks and gets the result.
const RECEIVER: &str = "hospital_1";
/// The job, as `examples/jobs` has it.
const JOB: &str = include_str!("../examples/jobs/los-by-diagnosis.toml");

/// One bundled party: its name, its table, its policy.
struct Bundled {
    name: &'static str,
    file: &'static str,
    table: &'static [u8],
    policy: &'static str,
}

macro_rules! bundled {
    ($set:literal, $name:literal, $file:literal) => {
        Bundled {
            name: $name,
            file: $file,
            table: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/examples/data/",
                $set,
                "/",
                $name,
                "/",
                $file
            )),
            policy: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/examples/data/",
                $set,
                "/",
                $name,
                "/policy.toml"
            )),
        }
    };
}
use bundled;

const HOSPITALS: [Bundled; 3] = [
    bundled!("claims_diabetes130", "hospital_1", "encounters.parquet"),
    bundled!("claims_diabetes130", "hospital_2", "encounters.parquet"),
    bundled!("claims_diabetes130", "hospital_3", "encounters.parquet"),
];
const INSURER: Bundled = bundled!("claims_diabetes130", "insurer_public", "members.parquet");

#[derive(Serialize)]
struct Report {
    status: &'static str,
    job_id: String,
    wall_s: f64,
    total_s: f64,
    rounds: u64,
    parties: BTreeMap<String, PartyReport>,
    learns: Vec<String>,
    files: Option<BTreeMap<&'static str, PathBuf>>,
    evidence: Verified,
    result: Box<RawValue>,
}

/// What is left of a collaboration that was told.
struct Told {
    planned: Planned,
    id: String,
    finished: Finished,
}

/// Submits a job, and waits for its result.
async fn submitted(
    agents: &Agents,
    (receiver, job): (&str, &str),
    planned: Planned,
) -> Outcome<Told> {
    let receiver = party_name(receiver, "the demo")?;
    let began = Instant::now();
    let id = agents[&receiver].submit(job).await?;
    let finished = Finished::collect(agents, &receiver, &id, began).await?;
    Ok(Told {
        planned,
        id,
        finished,
    })
}

/// One collaboration on bundled data: starts its processes, tells what they do, and reports what came of it. A `dealer` has no data.
async fn shown(
    (bundled, dealer): (&[&Bundled], Option<&str>),
    (arguments, output): (&DemoArgs, &Output),
    tell: impl AsyncFnOnce(&Agents, &Output) -> Outcome<Told>,
    text: impl FnOnce(&Told) -> Outcome<String>,
) -> Outcome<Reply> {
    let began = Instant::now();
    let data = tempfile::Builder::new()
        .prefix("entente-demo-")
        .tempdir()
        .map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
    let mut parties = unpack(data.path(), bundled)?;
    if let Some(dealer) = dealer {
        let home = data.path().join(dealer);
        std::fs::create_dir(&home).map_err(|error| cannot_write(&home, &error))?;
        parties.push(PartyDir::new(party_name(dealer, "the demo")?, &home)?);
    }
    let told = with_agents(&parties, false, LIMIT, async |agents: &Agents| {
        tell(agents, output).await
    })
    .await?;
    let finished = &told.finished;
    let files = arguments.out.as_deref();
    let files = files
        .map(|directory| finished.save(directory))
        .transpose()?;
    let evidence = evidence::verified(finished, arguments.tamper, output)?;
    let text = format!(
        "{}\n{}\n9. {}\nStart to result: {:.1} s. Now your own: entente simulate JOB.toml --party NAME=DIR …\n",
        text(&told)?,
        learnt(&told.planned),
        evidence.text,
        began.elapsed().as_secs_f64(),
    );
    let report = Report {
        status: "completed",
        job_id: told.id.clone(),
        wall_s: finished.wall_s,
        total_s: began.elapsed().as_secs_f64(),
        rounds: finished.rounds(),
        parties: finished.parties(),
        learns: plan::learns(&told.planned.plan),
        files,
        evidence: evidence.verified,
        result: finished.raw_result()?,
    };
    Ok(Reply::new(&report, text))
}

pub(crate) async fn claims(arguments: &DemoArgs, output: &Output) -> Outcome<Reply> {
    output.say("Three hospitals want joint statistics of their admissions. None may show its figures to anybody:");
    output.say("not to the others, not to a third party. (Real data: UCI \"Diabetes 130-US hospitals\", CC BY 4.0.)\n");
    output.say("1. On this machine start a coordinator and three agents: four processes, four keys, QUIC between them");
    let parties = HOSPITALS.each_ref();
    shown((&parties, None), (arguments, output), tell, |told| {
        Ok(format!(
            "\n6. The result, which only {RECEIVER} gets:\n\n{}\n7. What crossed the boundaries: shares, which are random numbers to \
             whoever has not all of them\n\n{}",
            told.finished.table()?,
            crossed(&told.finished, "shares sent"),
        ))
    })
    .await
}

/// Writes the bundled tables and policies where agents can open them.
fn unpack(root: &Path, bundled: &[&Bundled]) -> Outcome<Vec<PartyDir>> {
    let mut parties = Vec::new();
    for party in bundled {
        let home = root.join(party.name);
        std::fs::create_dir(&home)
            .and_then(|()| std::fs::write(home.join(party.file), party.table))
            .and_then(|()| std::fs::write(home.join("policy.toml"), party.policy))
            .map_err(|error| cannot_write(&home, &error))?;
        parties.push(PartyDir::new(party_name(party.name, "the demo")?, &home)?);
    }
    Ok(parties)
}

/// The steps of the collaboration, with the agents that take them.
async fn tell(agents: &Agents, output: &Output) -> Outcome<Told> {
    output.say("2. Each trusts the others' keys (in earnest: fingerprints read over the phone)");
    for (name, agent) in agents {
        output.say(&format!("     {name}  {}", agent.fingerprint));
    }
    output.say("3. Each publishes what it has, never rows: columns, types, groups, and the uses that its policy allows");
    output.say(&format!("4. {RECEIVER} proposes a job. Each agent compiles the plan itself and checks its own policy:\n"));
    for line in sql_lines() {
        output.say(&format!("       {line}"));
    }
    let receiver = party_name(RECEIVER, "the demo")?;
    let planned = agents[&receiver].plan(JOB).await?;
    output.say(&format!(
        "\n     minimum cell: groups under {} are never opened, to nobody",
        planned.plan["min_cell"]["at_least"]
    ));
    output.say("5. All three approve and sign. They add their totals on secret shares");
    submitted(agents, (RECEIVER, JOB), planned).await
}

fn sql_lines() -> impl Iterator<Item = &'static str> {
    JOB.lines()
        .skip_while(|line| !line.starts_with("SELECT"))
        .take_while(|line| !line.starts_with("\"\"\""))
}

/// What runs, as approvers read it.
fn words(plan: &Value, procedure: &str) -> Vec<String> {
    let lines = plan["procedure"][procedure]["words"].as_array();
    let lines = lines.into_iter().flatten().filter_map(Value::as_str);
    lines.map(str::to_owned).collect()
}

/// `sent`: what the messages were.
fn crossed(finished: &Finished, sent: &str) -> String {
    let parties = finished.parties();
    let rows = parties.iter().map(|(name, party)| {
        let read = grouped(&party.rows_used.to_string());
        vec![
            name.clone(),
            read,
            bytes(party.bytes_sent),
            bytes(party.bytes_received),
        ]
    });
    let header = ["party", "rows read at home", sent, "received"].map(str::to_owned);
    let table = grid(header.to_vec(), rows.collect());
    format!(
        "{table}{} rounds of messages, {:.2} s\n",
        finished.rounds(),
        finished.wall_s
    )
}

fn learnt(planned: &Planned) -> String {
    let lines = plan::learns(&planned.plan);
    let lines: String = lines.iter().map(|line| wrapped("     ", line)).collect();
    format!("8. What each party learnt\n{lines}")
}
