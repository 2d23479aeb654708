//! `entente bench`: what this program does on this machine, measured and checked, for its operator.
//!
//! Each area is a line of [`AREAS`] and a file below. The packages do the work; here is only what calls them with a
//! stop-watch, and what compares the result with plaintext. `cargo bench` has finer figures of single kernels.

mod compare;
mod intersect;
mod job;
mod kernels;
mod lookup;
mod machine;
mod network;
mod protocols;
mod report;

use crate::cli::{BenchArea, BenchArgs};
use crate::init::cannot_write;
use crate::outcome::{Exit, Failure, Outcome, Output, Reply};
use compare::Baseline;
use machine::Machine;
use party_agent::result::write_private;
use report::{Meter, Report, Scale};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

type Measuring<'a> = Pin<Box<dyn Future<Output = Outcome<()>> + 'a>>;

/// An area of the report.
struct Area {
    name: BenchArea,
    measure: for<'a> fn(&'a mut Meter<'_>) -> Measuring<'a>,
    /// Not part of a report of everything.
    only_if_named: bool,
}

/// In the order of the report.
const AREAS: [Area; 7] = [
    Area {
        name: BenchArea::Kernels,
        measure: |meter| Box::pin(async { kernels::measure(meter) }),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Protocols,
        measure: |meter| Box::pin(protocols::measure(meter)),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Network,
        measure: |meter| Box::pin(network::measure(meter)),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Job,
        measure: |meter| Box::pin(job::measure(meter)),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Intersect,
        measure: |meter| Box::pin(intersect::measure(meter)),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Lookup,
        measure: |meter| Box::pin(lookup::measure(meter)),
        only_if_named: false,
    },
    Area {
        name: BenchArea::Large,
        measure: |meter| Box::pin(intersect::measure_large(meter)),
        only_if_named: true,
    },
];

/// Repetitions where nothing else is asked for.
const REPETITIONS: usize = 10;
/// Repetitions of a quick look.
const REPETITIONS_QUICK: usize = 3;
/// Rows of each holder in the job.
const ROWS: usize = 1_000_000;
/// The same in a quick look.
const ROWS_QUICK: usize = 20_000;

pub(crate) async fn run(arguments: &BenchArgs, output: &Output) -> Outcome<Reply> {
    // Before anything is measured, so that nobody waits for a report that cannot be compared or kept.
    let baseline = arguments
        .compare
        .as_deref()
        .map(Baseline::read)
        .transpose()?;
    if let Some(directory) = &arguments.out {
        std::fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
    }
    let scale = Scale {
        quick: arguments.quick,
        repetitions: arguments.repetitions.unwrap_or(if arguments.quick {
            REPETITIONS_QUICK
        } else {
            REPETITIONS
        }),
        rows: arguments
            .rows
            .unwrap_or(if arguments.quick { ROWS_QUICK } else { ROWS }),
    };
    let mut meter = Meter::new(scale, output);
    for area in AREAS {
        let is_wanted = match arguments.area {
            Some(wanted) => wanted == area.name,
            None => !area.only_if_named,
        };
        if is_wanted {
            (area.measure)(&mut meter).await?;
        }
    }
    let mut report = Report::new(Machine::look(), meter);
    report.comparison = baseline.map(|baseline| baseline.compare(&report));
    if let Some(directory) = &arguments.out {
        report.files = keep(&report, directory)?;
    }
    let exit = if report.is_well() {
        Exit::Ok
    } else {
        Exit::Runtime
    };
    Ok(Reply::new(&report, report.markdown()).with_exit(exit))
}

/// Writes the report as JSON, for `--compare`, and as Markdown, for people.
fn keep(report: &Report, directory: &Path) -> Outcome<Vec<PathBuf>> {
    let document = serde_json::to_string_pretty(report).expect("a report has string keys only");
    let files = [
        (directory.join("bench.json"), document),
        (directory.join("bench.md"), report.markdown()),
    ];
    for (path, text) in &files {
        write_private(path, text.as_bytes()).map_err(|error| {
            Failure::runtime("write", error.to_string()).at(path.display().to_string())
        })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
