//! Intersections between two agents in processes of their own: from two Parquet files of text ids to the result, over QUIC
//! on loopback. Half of each holder's ids are the other's.

use super::report::{Extra, Meter, Work};
use crate::init::{cannot_write, party_name};
use crate::outcome::{Failure, Outcome};
use crate::rehearse::{Agents, Finished, PartyDir, with_agents};
use arrow::array::{RecordBatch, StringArray};
use engine::prg::{Prg, Seed};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOLDERS: [&str; 2] = ["holder_1", "holder_2"];
const SEED: [u8; 32] = *b"entente bench: ids of people   1";
/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(1800);

/// One line of the area.
struct Case {
    protocol: &'static str,
    reveal: &'static str,
    /// Ids of each holder: full, and at a quick look.
    sizes: &'static [usize],
    size_quick: usize,
}

const CASES: [Case; 2] = [
    Case {
        protocol: "vole",
        reveal: "rows",
        sizes: &[1 << 16, 1 << 18, 1 << 20],
        size_quick: 1 << 12,
    },
    Case {
        protocol: "ecdh",
        reveal: "count",
        sizes: &[1 << 14, 1 << 16, 1 << 18],
        size_quick: 1 << 10,
    },
];

/// Minutes each, and run once: the second one in bounded memory, by files.
const LARGE: [Case; 2] = [
    Case {
        protocol: "vole",
        reveal: "rows",
        sizes: &[1 << 23],
        size_quick: 1 << 13,
    },
    Case {
        protocol: "ecdh",
        reveal: "count",
        sizes: &[10_000_000],
        size_quick: 10_000,
    },
];

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    let repetitions = meter.scale.repetitions;
    // The first run warms up.
    of_cases(meter, &CASES, (1, repetitions)).await
}

pub(super) async fn measure_large(meter: &mut Meter<'_>) -> Outcome<()> {
    of_cases(meter, &LARGE, (0, 1)).await
}

async fn of_cases(meter: &mut Meter<'_>, cases: &[Case], runs: (usize, usize)) -> Outcome<()> {
    for case in cases {
        let sizes = match meter.scale.quick {
            true => std::slice::from_ref(&case.size_quick),
            false => case.sizes,
        };
        for size in sizes {
            jobs(meter, case, *size, runs).await?;
        }
    }
    Ok(())
}

/// Runs one job several times with the same agents, after some runs that do not count.
async fn jobs(
    meter: &mut Meter<'_>,
    case: &Case,
    n_ids: usize,
    (warm_up, repetitions): (usize, usize),
) -> Outcome<()> {
    let id = format!(
        "intersect/{}/{}/{n_ids}x{n_ids}",
        case.protocol, case.reveal
    );
    meter.announce(&id);
    let directory = tempfile::Builder::new()
        .prefix("entente-bench-")
        .tempdir()
        .map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
    let parties = tables(directory.path(), n_ids)?;
    let spec = spec(case);
    let work = async |agents: &Agents| {
        let mut all = Vec::new();
        for _ in 0..warm_up + repetitions {
            all.push(once(agents, (HOLDERS[0], &spec)).await?);
        }
        Ok(all)
    };
    let all = with_agents(&parties, false, LIMIT, work).await?;
    let correct = all.iter().all(|run| is_half(&run.result, case, n_ids));
    record(meter, Work::new(id, n_ids, "id"), &all[warm_up..], correct);
    Ok(())
}

/// One line of the report: wall times of these runs, and what the last one sent and took.
pub(super) fn record(meter: &mut Meter<'_>, work: Work, runs: &[Finished], correct: bool) {
    let last = runs.last().expect("at least one run");
    let figures = last.parties();
    let peaks = figures.values().map(|party| party.peak_rss_bytes);
    let extra = Extra {
        bytes_sent: figures.values().map(|party| party.bytes_sent).max(),
        rounds: Some(last.rounds()),
        peak_rss_bytes: peaks.max().unwrap_or(0),
        correct,
    };
    let seconds = runs.iter().map(|run| run.wall_s).collect();
    meter.record(work, seconds, extra);
}

fn spec(case: &Case) -> String {
    let [a, b] = HOLDERS;
    format!(
        "job = \"bench\"\npurpose = \"measuring this machine\"\nreceivers = [\"{a}\"]\n[compute.intersect]\n\
         keys = [\"{a}.people.id\", \"{b}.people.id\"]\nnormalise = \"upper_alnum\"\nreveal = \"{}\"\nprotocol = \"{}\"\n",
        case.reveal, case.protocol
    )
}

/// Submits a job at its receiver and waits for all parties.
pub(super) async fn once(agents: &Agents, (receiver, spec): (&str, &str)) -> Outcome<Finished> {
    let receiver = party_name(receiver, "bench")?;
    let began = Instant::now();
    let id = agents[&receiver].submit(spec).await?;
    Finished::collect(agents, &receiver, &id, began).await
}

/// The result is half of the ids.
fn is_half(result: &str, case: &Case, n_ids: usize) -> bool {
    let document: Value = serde_json::from_str(result).unwrap_or_default();
    let found = match case.reveal {
        "count" => document["rows"][0][0].as_u64(),
        _ => document["rows"].as_array().map(|rows| rows.len() as u64),
    };
    found == Some(n_ids as u64 / 2)
}

fn tables(root: &Path, n_ids: usize) -> Outcome<Vec<PartyDir>> {
    let holders = HOLDERS.into_iter().enumerate();
    holders
        .map(|(i, name)| people(root, name, (i * n_ids / 2, n_ids)))
        .collect()
}

/// A party with a table `people` of so many ids, from this person on.
pub(super) fn people(root: &Path, name: &str, (first, n): (usize, usize)) -> Outcome<PartyDir> {
    let home = root.join(name);
    std::fs::create_dir_all(&home).map_err(|error| cannot_write(&home, &error))?;
    write(&home.join("people.parquet"), first, n)
        .map_err(|error| Failure::runtime("table", error.to_string()).at(name))?;
    PartyDir::new(party_name(name, "bench")?, &home)
}

/// Ids of these people, one letter and nine digits each, in an order that says nothing.
fn write(path: &Path, first: usize, n_ids: usize) -> Result<(), ParquetError> {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), first as u64);
    let mut people: Vec<usize> = (first..first + n_ids).collect();
    for last in (1..people.len()).rev() {
        people.swap(last, prg.next_bounded(last as u64 + 1) as usize);
    }
    // A step that has no factor in common with 26·10^9 gives every person another id.
    let id = |person: &usize| {
        let code = (*person as u64).wrapping_mul(15_485_867) % 26_000_000_000;
        let letter = char::from(b'A' + (code / 1_000_000_000) as u8);
        format!("{letter}{:09}", code % 1_000_000_000)
    };
    let ids = StringArray::from_iter_values(people.iter().map(id));
    let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as _)])?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false);
    let mut writer = ArrowWriter::try_new(
        File::create_new(path)?,
        batch.schema(),
        Some(properties.build()),
    )?;
    writer.write(&batch)?;
    writer.close().map(drop)
}
