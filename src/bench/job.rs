//! A whole job over three agents: separate processes, QUIC on loopback, Parquet files that are made here.
//!
//! Each holder has a table of so many rows, ten columns of integers and a column of twenty groups; the job is every
//! column's sum in every group. The same is measured at four times the rows, because a stream takes no more memory.

mod table;

use super::report::{Extra, Meter, Work};
use crate::init::{cannot_write, party_name};
use crate::job::watch;
use crate::outcome::{Failure, Outcome};
use crate::rehearse::{Agents, Finished, PartyDir, with_agents};
use coordinator::contract::PartyName;
use party_agent::receipt::{LocalReport, ReceiptFile};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use table::{N_COLUMNS, N_GROUPS, Totals};

const HOLDERS: [&str; 3] = ["holder_1", "holder_2", "holder_3"];
/// The party that asks and gets the result.
const RECEIVER: &str = HOLDERS[0];
/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(1800);
/// How much more rows the second size has.
const LARGER: usize = 4;

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    let n_rows = meter.scale.rows;
    let small = jobs(meter, n_rows).await?;
    if meter.scale.quick {
        return Ok(());
    }
    let large = jobs(meter, LARGER * n_rows).await?;
    meter.ratio(
        format!(
            "job: peak memory of an agent at {} rows to {n_rows} rows",
            LARGER * n_rows
        ),
        large as f64 / small as f64,
        Some("constant"),
    );
    Ok(())
}

/// Makes tables, runs the job several times with the same agents, and returns their peak memory.
async fn jobs(meter: &mut Meter<'_>, n_rows: usize) -> Outcome<u64> {
    let id = format!("job/sums/{}x{n_rows}x{N_COLUMNS}", HOLDERS.len());
    meter.announce(&id);
    let directory = tempfile::Builder::new()
        .prefix("entente-bench-")
        .tempdir()
        .map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
    let (parties, expected) = tables(directory.path(), n_rows)?;
    let repetitions = meter.scale.repetitions;
    let work = async |agents: &Agents| {
        let mut all = Vec::new();
        // The first run warms up.
        for _ in 0..=repetitions {
            all.push(once(agents).await?);
        }
        Ok(all)
    };
    let all = with_agents(&parties, false, LIMIT, work).await?;
    let correct = all.iter().all(|finished| expected.is_in(&finished.result));
    let last = all.last().expect("at least one run");
    let sent = |file: &ReceiptFile| file.signed.receipt.bytes_sent.values().max().copied();
    let peak_rss_bytes = largest(last, |local| local.peak_rss_bytes);
    let mut take_down = |part: &str, seconds: fn(&Finished) -> f64| {
        let work = Work::new(format!("{id}/{part}"), HOLDERS.len() * n_rows, "row");
        let seconds = all.iter().skip(1).map(seconds).collect();
        let extra = Extra {
            bytes_sent: last.receipts.values().filter_map(sent).max(),
            rounds: Some(last.rounds()),
            peak_rss_bytes,
            correct,
        };
        meter.record(work, seconds, extra);
    };
    take_down("from-submission-to-result", |finished| finished.wall_s);
    take_down("reading", |finished| {
        stage(slowest_reader(finished), "read")
    });
    take_down("all-but-reading", |finished| {
        let slowest = slowest_reader(finished);
        slowest.wall_s - stage(slowest, "read")
    });
    let input_bytes = (n_rows * (N_COLUMNS + 1) * size_of::<u64>()) as f64;
    let what = format!("job: peak memory of an agent to its input columns at {n_rows} rows");
    meter.ratio(
        what,
        peak_rss_bytes as f64 / input_bytes,
        Some("at most 2 at 1000000 rows"),
    );
    Ok(peak_rss_bytes)
}

/// The agent that read longest: the others waited for it, so what it did besides is what the job took besides.
fn slowest_reader(finished: &Finished) -> &LocalReport {
    let reports = finished.receipts.values().map(|file| &file.local);
    reports
        .max_by(|a, b| stage(a, "read").total_cmp(&stage(b, "read")))
        .expect("a job has parties")
}

fn stage(local: &LocalReport, name: &str) -> f64 {
    local.stages.get(name).copied().unwrap_or(0.0)
}

fn largest(finished: &Finished, figure: impl Fn(&LocalReport) -> u64) -> u64 {
    finished
        .receipts
        .values()
        .map(|file| figure(&file.local))
        .max()
        .unwrap_or(0)
}

fn tables(root: &Path, n_rows: usize) -> Outcome<(Vec<PartyDir>, Totals)> {
    let mut expected = Totals::default();
    let mut parties = Vec::new();
    for (i, name) in HOLDERS.into_iter().enumerate() {
        let directory = root.join(name);
        std::fs::create_dir_all(&directory).map_err(|error| cannot_write(&directory, &error))?;
        table::write(
            &directory.join("t.parquet"),
            n_rows,
            i as u64,
            &mut expected,
        )
        .map_err(|error| Failure::runtime("table", error.to_string()).at(name))?;
        parties.push(PartyDir::new(party_name(name, "bench")?, &directory)?);
    }
    Ok((parties, expected))
}

fn spec() -> String {
    let sums: Vec<String> = (0..N_COLUMNS)
        .map(|i| format!("SUM(c{i}) AS s{i}"))
        .collect();
    let parts = HOLDERS.map(|holder| format!("SELECT * FROM {holder}.t"));
    format!(
        "job = \"bench\"\npurpose = \"measuring this machine\"\nreceivers = [\"{RECEIVER}\"]\n[compute]\nsql = \"\"\"\n\
         SELECT g, COUNT(*) AS n, {} FROM ({}) u GROUP BY g ORDER BY g\n\"\"\"\n",
        sums.join(", "),
        parts.join(" UNION ALL ")
    )
}

async fn once(agents: &Agents) -> Outcome<Finished> {
    let receiver: PartyName = party_name(RECEIVER, "bench")?;
    let agent = &agents[&receiver];
    let began = Instant::now();
    let id = agent.submit(&spec()).await?;
    watch::until_final(&agent.client, &id, |_| {}).await?;
    Finished::collect(agents, &receiver, &id, began).await
}

impl Totals {
    /// The result has exactly these rows.
    fn is_in(&self, result: &str) -> bool {
        let document: Value = serde_json::from_str(result).unwrap_or_default();
        let rows = document["rows"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        rows.len() == N_GROUPS
            && rows.iter().zip(self.rows()).all(|(row, (group, figures))| {
                let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
                let [first, rest @ ..] = cells else {
                    return false;
                };
                first.as_str() == Some(&*group)
                    && rest.iter().map(Value::as_i64).eq(figures.map(Some))
            })
    }
}
