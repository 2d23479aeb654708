//! A report against one that was saved before.

use super::report::{FORMAT, Report};
use crate::outcome::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// By how much a figure may grow before it is listed.
const TOLERANCE: f64 = 1.10;

/// A saved report, as far as it is compared.
pub(super) struct Baseline {
    path: PathBuf,
    saved: Saved,
}

#[derive(Deserialize)]
struct Saved {
    format: u64,
    version: String,
    measured_at: String,
    machine: SavedMachine,
    measurements: Vec<SavedMeasurement>,
}

#[derive(Deserialize)]
struct SavedMachine {
    cpu: String,
    cores: usize,
}

#[derive(Deserialize)]
struct SavedMeasurement {
    id: String,
    seconds: SavedSpread,
    bytes_sent: Option<u64>,
    rounds: Option<u64>,
    peak_rss_bytes: u64,
}

#[derive(Deserialize)]
struct SavedSpread {
    median: f64,
}

/// What a comparison found.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    baseline: PathBuf,
    version: String,
    measured_at: String,
    /// The baseline is of another machine: times say little.
    other_machine: bool,
    /// Measurements in both reports.
    compared: usize,
    pub(super) regressions: Vec<Regression>,
    /// Measurements of the baseline that this report does not have.
    missing: Vec<String>,
}

/// A figure that has grown by more than the tolerance.
#[derive(Debug, Serialize)]
pub(super) struct Regression {
    id: String,
    figure: &'static str,
    before: f64,
    now: f64,
    /// Now, as a multiple of before.
    factor: f64,
}

impl Baseline {
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        let unusable = |what: String| {
            Failure::usage("baseline", what)
                .at(path.display().to_string())
                .advice("name the bench.json of an earlier `entente bench --out DIR`")
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| unusable(format!("the saved report cannot be read: {error}")))?;
        let saved: Saved = serde_json::from_str(&text)
            .map_err(|error| unusable(format!("this is not a saved report: {error}")))?;
        if saved.format != FORMAT {
            return Err(unusable(
                "the saved report is of another version of the format".to_owned(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            saved,
        })
    }

    pub(super) fn compare(self, report: &Report) -> Comparison {
        let Self { path, saved } = self;
        let machine = &report.machine;
        let mut regressions = Vec::new();
        let mut missing = Vec::new();
        let mut compared = 0;
        for before in saved.measurements {
            let Some(now) = report.measurements.iter().find(|m| m.id == before.id) else {
                missing.push(before.id);
                continue;
            };
            compared += 1;
            let count = |n: Option<u64>| n.unwrap_or(0) as f64;
            let figures = [
                ("seconds", before.seconds.median, now.seconds.median),
                (
                    "bytes_sent",
                    count(before.bytes_sent),
                    count(now.bytes_sent),
                ),
                ("rounds", count(before.rounds), count(now.rounds)),
                (
                    "peak_rss_bytes",
                    before.peak_rss_bytes as f64,
                    now.peak_rss_bytes as f64,
                ),
            ];
            let grown = figures
                .into_iter()
                .filter(|(_, b, n)| *b > 0.0 && *n > TOLERANCE * b);
            regressions.extend(grown.map(|(figure, b, n)| Regression {
                id: now.id.clone(),
                figure,
                before: b,
                now: n,
                factor: n / b,
            }));
        }
        Comparison {
            baseline: path,
            version: saved.version,
            measured_at: saved.measured_at,
            other_machine: saved.machine.cpu != machine.cpu || saved.machine.cores != machine.cores,
            compared,
            regressions,
            missing,
        }
    }
}

impl Comparison {
    pub(super) fn markdown(&self) -> String {
        let mut out = format!(
            "\n## Against {} (entente {}, {})\n\n{} measurements compared, {} of the baseline not measured now.\n",
            self.baseline.display(),
            self.version,
            self.measured_at,
            self.compared,
            self.missing.len()
        );
        if self.other_machine {
            out += "The baseline is of another machine: compare its times with care.\n";
        }
        if self.regressions.is_empty() {
            return out + "Nothing is more than 10 % worse.\n";
        }
        out += "\n| worse by more than 10 % | figure | before | now | factor |\n|---|---|--:|--:|--:|\n";
        for regression in &self.regressions {
            let Regression {
                id,
                figure,
                before,
                now,
                factor,
            } = regression;
            let _ = writeln!(
                out,
                "| {id} | {figure} | {before:.4e} | {now:.4e} | {factor:.2} |"
            );
        }
        out
    }
}
