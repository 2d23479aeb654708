//! `entente demo overlap`: how many patients a hospital and an insurer have in common, and not which.

use super::{Bundled, HOSPITALS, INSURER, RECEIVER, Told, crossed, shown, submitted, words};
use crate::cli::DemoArgs;
use crate::init::party_name;
use crate::outcome::{Failure, Outcome, Output, Reply};
use crate::rehearse::{Agents, Finished};
use crate::table::{grid, grouped, wrapped};
use party_agent::local::KeyReport;
use serde_json::Value;

/// The job, as `examples/jobs` has it.
const JOB: &str = include_str!("../../examples/jobs/overlap.toml");
const PARTIES: [&Bundled; 2] = [&HOSPITALS[0], &INSURER];

pub(crate) async fn overlap(arguments: &DemoArgs, output: &Output) -> Outcome<Reply> {
    output.say("A hospital asks how many of its patients an insurer covers. Neither may show the other a single id, and neither");
    output.say("will know which patients they are. (Real data: UCI \"Diabetes 130-US hospitals\", CC BY 4.0; ids made up.)\n");
    output.say("1. On this machine start a coordinator and two agents: three processes, three keys, QUIC between them");
    shown((&PARTIES, None), (arguments, output), tell, |told| {
        let finished = &told.finished;
        Ok(format!(
            "\n{}\n6. What only the owner of ids is told about them\n\n{}\n7. What crossed the boundaries: curve points and tags, under secrets \
             that are drawn for this run and forgotten\n\n{}",
            answer(finished)?,
            keys(finished),
            crossed(finished, "sent"),
        ))
    })
    .await
}

async fn tell(agents: &Agents, output: &Output) -> Outcome<Told> {
    output.say("2. Each trusts the other's key, and publishes what it has: columns and allowed uses, never ids");
    output.say(&format!(
        "3. {RECEIVER} proposes a job, {} checks it against its own policy:\n",
        INSURER.name
    ));
    for line in JOB.lines().skip_while(|line| !line.starts_with("[compute")) {
        output.say(&format!("       {line}"));
    }
    let receiver = party_name(RECEIVER, "the demo")?;
    let planned = agents[&receiver].plan(JOB).await?;
    output.say("\n4. The plan that both compile, compare and sign");
    for line in words(&planned.plan, "intersect") {
        output.say(wrapped("     ", &line).trim_end());
    }
    submitted(agents, (RECEIVER, JOB), planned).await
}

/// The number, and what part of the hospital's patients that is.
fn answer(finished: &Finished) -> Outcome<String> {
    let unreadable = || Failure::runtime("result", "the demo's result cannot be read");
    let document: Value = serde_json::from_str(&finished.result).map_err(|_| unreadable())?;
    let count = document["rows"][0][0].as_u64().ok_or_else(unreadable)?;
    let own = reports(finished).find(|(name, _)| name == RECEIVER);
    let n_patients = own.map_or(0, |(_, keys)| keys.distinct);
    let share = count as f64 / n_patients.max(1) as f64;
    let (count, n_patients) = (
        grouped(&count.to_string()),
        grouped(&n_patients.to_string()),
    );
    Ok(format!(
        "5. The result, which only {RECEIVER} gets: {count} of its {n_patients} patients are members of {} ({:.1} %)\n",
        INSURER.name,
        100.0 * share
    ))
}

fn reports(finished: &Finished) -> impl Iterator<Item = (String, KeyReport)> {
    let files = finished.receipts.iter();
    files.filter_map(|(name, file)| Some((name.to_string(), file.local.keys.clone()?)))
}

fn keys(finished: &Finished) -> String {
    let rows = reports(finished).map(|(name, keys)| {
        let numbers = [keys.rows, keys.distinct, keys.duplicates, keys.missing];
        let numbers = numbers.map(|n| grouped(&n.to_string()));
        [vec![name], numbers.to_vec()].concat()
    });
    let header = [
        "party",
        "rows",
        "different ids",
        "repeated",
        "without an id",
    ];
    grid(header.map(str::to_owned).to_vec(), rows.collect())
}
