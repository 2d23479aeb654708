//! What was measured: figures, and the two forms in which they are kept.

use super::compare::Comparison;
use super::machine::{self, Machine};
use crate::outcome::Output;
use crate::table::bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Version of the report's format.
pub(super) const FORMAT: u64 = 1;
/// What is shorter than this is run several times in one repetition.
const REPETITION_AT_LEAST: Duration = Duration::from_millis(5);

/// How much is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Scale {
    /// Small inputs: does everything run, and is it right?
    pub(super) quick: bool,
    pub(super) repetitions: usize,
    /// Rows of each holder in the job.
    pub(super) rows: usize,
}

impl Scale {
    /// One of two sizes.
    pub(super) fn size(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// The work of one measurement: its name with all parameters, and what its throughput counts.
pub(super) struct Work {
    pub(super) id: String,
    pub(super) n_items: u64,
    pub(super) unit: &'static str,
}

impl Work {
    pub(super) fn new(id: impl Into<String>, n_items: usize, unit: &'static str) -> Self {
        Self {
            id: id.into(),
            n_items: n_items as u64,
            unit,
        }
    }
}

/// Figures of one piece of work.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) id: String,
    pub(super) n_items: u64,
    pub(super) unit: &'static str,
    pub(super) repetitions: usize,
    pub(super) seconds: Spread,
    /// Items a second at the median.
    pub(super) per_second: f64,
    /// The most that one party sent to one other, in bytes of message bodies.
    pub(super) bytes_sent: Option<u64>,
    pub(super) rounds: Option<u64>,
    /// The most memory that the process held meanwhile; of a job, the agent that held most.
    pub(super) peak_rss_bytes: u64,
    /// The result was that of the same work in the clear.
    pub(super) correct: bool,
}

/// Of the repetitions.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
}

impl Spread {
    /// By nearest rank. At least one value.
    pub(super) fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let rank = |part: f64| seconds[((part * seconds.len() as f64).ceil() as usize).max(1) - 1];
        Self {
            min: rank(0.0),
            median: rank(0.5),
            p95: rank(0.95),
            max: rank(1.0),
        }
    }
}

/// Two figures of one run beside each other, with the project's aim for their ratio.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ratio {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) aim: Option<String>,
}

/// What the areas write into.
pub(super) struct Meter<'a> {
    pub(super) scale: Scale,
    output: &'a Output,
    measurements: Vec<Measurement>,
    ratios: Vec<Ratio>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(scale: Scale, output: &'a Output) -> Self {
        Self {
            scale,
            output,
            measurements: Vec::new(),
            ratios: Vec::new(),
        }
    }

    /// Times `op`, which the processor is given warm. `correct` says whether what it does is right.
    pub(super) fn time(&mut self, work: Work, correct: bool, mut op: impl FnMut()) {
        self.announce(&work.id);
        machine::forget_peak_rss();
        let began = Instant::now();
        op();
        let once = began.elapsed();
        let n_times = REPETITION_AT_LEAST
            .as_nanos()
            .div_ceil(once.as_nanos().max(1));
        let n_times = u32::try_from(n_times).unwrap_or(u32::MAX);
        let mut repeat = || {
            let began = Instant::now();
            (0..n_times).for_each(|_| op());
            began.elapsed().as_secs_f64() / f64::from(n_times)
        };
        let seconds = (0..self.scale.repetitions).map(|_| repeat()).collect();
        self.record(work, seconds, Extra::of_this_process(correct));
    }

    /// Says what is being measured now.
    pub(super) fn announce(&self, id: &str) {
        self.output.progress(&format!("measuring {id}"));
    }

    /// Takes down what was timed elsewhere.
    pub(super) fn record(&mut self, work: Work, seconds: Vec<f64>, extra: Extra) {
        let repetitions = seconds.len();
        let seconds = Spread::of(seconds);
        self.measurements.push(Measurement {
            id: work.id,
            n_items: work.n_items,
            unit: work.unit,
            repetitions,
            seconds,
            per_second: work.n_items as f64 / seconds.median.max(f64::MIN_POSITIVE),
            bytes_sent: extra.bytes_sent,
            rounds: extra.rounds,
            peak_rss_bytes: extra.peak_rss_bytes,
            correct: extra.correct,
        });
    }

    /// The last measurement's throughput against that of another one of this run.
    pub(super) fn ratio_to(&mut self, id: &str, aim: Option<&str>) {
        let other = self.measurements.iter().find(|m| m.id == id);
        if let (Some(last), Some(other)) = (self.measurements.last(), other) {
            let ratio = Ratio {
                what: format!("speed of {} to {id}", last.id),
                value: last.per_second / other.per_second,
                aim: aim.map(str::to_owned),
            };
            self.ratios.push(ratio);
        }
    }

    pub(super) fn ratio(&mut self, what: String, value: f64, aim: Option<&str>) {
        let aim = aim.map(str::to_owned);
        self.ratios.push(Ratio { what, value, aim });
    }
}

/// What a measurement knows besides its time.
pub(super) struct Extra {
    pub(super) bytes_sent: Option<u64>,
    pub(super) rounds: Option<u64>,
    pub(super) peak_rss_bytes: u64,
    pub(super) correct: bool,
}

impl Extra {
    /// Work without messages, whose memory is that of this process.
    pub(super) fn of_this_process(correct: bool) -> Self {
        Self {
            bytes_sent: None,
            rounds: None,
            peak_rss_bytes: machine::peak_rss_bytes(),
            correct,
        }
    }
}

/// The document of `entente bench`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: u64,
    pub(super) version: &'static str,
    /// Set by whoever builds from a checkout: `ENTENTE_COMMIT=$(git rev-parse HEAD) cargo build --release`.
    pub(super) commit: Option<&'static str>,
    /// RFC 3339, UTC.
    pub(super) measured_at: String,
    pub(super) machine: Machine,
    pub(super) parameters: Scale,
    pub(super) measurements: Vec<Measurement>,
    pub(super) ratios: Vec<Ratio>,
    /// Everything agreed with the same work in the clear.
    pub(super) correct: bool,
    pub(super) comparison: Option<Comparison>,
    pub(super) files: Vec<PathBuf>,
}

impl Report {
    pub(super) fn new(machine: Machine, meter: Meter<'_>) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("ENTENTE_COMMIT"),
            measured_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            machine,
            parameters: meter.scale,
            correct: meter.measurements.iter().all(|m| m.correct),
            measurements: meter.measurements,
            ratios: meter.ratios,
            comparison: None,
            files: Vec::new(),
        }
    }

    /// Nothing came out wrong, and nothing is worse than the baseline.
    pub(super) fn is_well(&self) -> bool {
        let no_worse = self
            .comparison
            .as_ref()
            .is_none_or(|c| c.regressions.is_empty());
        self.correct && no_worse
    }

    /// For people.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::from("# Measurements\n\n");
        let commit = self
            .commit
            .map(|c| format!(", commit {c}"))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "entente {}{commit}, {}  ",
            self.version, self.measured_at
        );
        let _ = writeln!(out, "{}  ", self.machine.line());
        let _ = writeln!(
            out,
            "{} repetitions{}; a seat or agent shares the processor with all the others of its measurement\n",
            self.parameters.repetitions,
            if self.parameters.quick {
                ", quick look: small inputs"
            } else {
                ""
            },
        );
        out += "| what | min | median | p95 | max | throughput | sent | rounds | memory | |\n";
        out += "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
        for measurement in &self.measurements {
            out += &measurement.row();
        }
        if !self.ratios.is_empty() {
            out += "\n| ratio | value | aim |\n|---|--:|---|\n";
            for Ratio { what, value, aim } in &self.ratios {
                let _ = writeln!(
                    out,
                    "| {what} | {value:.2} | {} |",
                    aim.as_deref().unwrap_or("")
                );
            }
        }
        if let Some(comparison) = &self.comparison {
            out += &comparison.markdown();
        }
        for path in &self.files {
            let _ = writeln!(out, "\nwritten: {}", path.display());
        }
        out
    }
}

impl Measurement {
    fn row(&self) -> String {
        let Spread {
            min,
            median,
            p95,
            max,
        } = self.seconds;
        let cells = [
            self.id.clone(),
            duration(min),
            duration(median),
            duration(p95),
            duration(max),
            format!("{} {}/s", short(self.per_second), self.unit),
            self.bytes_sent.map(bytes).unwrap_or_default(),
            self.rounds.map(|n| n.to_string()).unwrap_or_default(),
            bytes(self.peak_rss_bytes),
            if self.correct { "" } else { "WRONG RESULT" }.to_owned(),
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} µs", s * 1e6),
    }
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.2} k", n / 1e3),
        n => format!("{n:.2} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_by_nearest_rank() {
        let spread = Spread::of((1..=20).rev().map(f64::from).collect());
        let figures = [spread.min, spread.median, spread.p95, spread.max];
        assert_eq!(figures, [1.0, 10.0, 19.0, 20.0]);
        let one = Spread::of(vec![2.5]);
        assert_eq!([one.min, one.median, one.p95, one.max], [2.5; 4]);
    }
}
