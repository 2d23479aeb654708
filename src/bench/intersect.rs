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
    /// Binary logarithms of the number of ids: full, and at a quick look.
    log_sizes: &'static [usize],
    log_size_quick: usize,
}

const CASES: [Case; 2] = [
    Case {
        protocol: "vole",
        reveal: "rows",
        log_sizes: &[16, 18, 20],
        log_size_quick: 12,
    },
    Case {
        protocol: "ecdh",
        reveal: "count",
        log_sizes: &[14, 16, 18],
        log_size_quick: 10,
    },
];

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    for case in &CASES {
        let sizes = match meter.scale.quick {
            true => &[case.log_size_quick][..],
            false => case.log_sizes,
        };
        for log_size in sizes {
            jobs(meter, case, 1 << log_size).await?;
        }
    }
    Ok(())
}

/// Runs one job several times with the same agents.
async fn jobs(meter: &mut Meter<'_>, case: &Case, n_ids: usize) -> Outcome<()> {
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
    let (repetitions, spec) = (meter.scale.repetitions, spec(case));
    let work = async |agents: &Agents| {
        let mut all = Vec::new();
        // The first run warms up.
        for _ in 0..=repetitions {
            all.push(once(agents, &spec).await?);
        }
        Ok(all)
    };
    let all = with_agents(&parties, false, LIMIT, work).await?;
    let last = all.last().expect("at least one run");
    let figures = last.parties();
    let extra = Extra {
        bytes_sent: figures.values().map(|party| party.bytes_sent).max(),
        rounds: Some(last.rounds()),
        peak_rss_bytes: figures
            .values()
            .map(|party| party.peak_rss_bytes)
            .max()
            .unwrap_or(0),
        correct: all.iter().all(|run| is_half(&run.result, case, n_ids)),
    };
    let seconds = all.iter().skip(1).map(|run| run.wall_s).collect();
    meter.record(Work::new(id, n_ids, "id"), seconds, extra);
    Ok(())
}

fn spec(case: &Case) -> String {
    let [a, b] = HOLDERS;
    format!(
        "job = \"bench\"\npurpose = \"measuring this machine\"\nreceivers = [\"{a}\"]\n[compute.intersect]\n\
         keys = [\"{a}.people.id\", \"{b}.people.id\"]\nnormalise = \"upper_alnum\"\nreveal = \"{}\"\nprotocol = \"{}\"\n",
        case.reveal, case.protocol
    )
}

async fn once(agents: &Agents, spec: &str) -> Outcome<Finished> {
    let receiver = party_name(HOLDERS[0], "bench")?;
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
    let mut parties = Vec::new();
    for (i, name) in HOLDERS.into_iter().enumerate() {
        let home = root.join(name);
        std::fs::create_dir_all(&home).map_err(|error| cannot_write(&home, &error))?;
        write(&home.join("people.parquet"), i * n_ids / 2, n_ids)
            .map_err(|error| Failure::runtime("table", error.to_string()).at(name))?;
        parties.push(PartyDir::new(party_name(name, "bench")?, &home)?);
    }
    Ok(parties)
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
