//! How far a run has come, for a person who watches.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The stages of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Waiting for a free place among the running jobs.
    Queue,
    /// Reaching the other parties.
    Connect,
    /// Reading this holder's rows and adding them up.
    Read,
    /// Making correlated randomness.
    Prepare,
    /// The joint computation.
    Compute,
    /// Building and writing the result.
    Write,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 6] = [
        Self::Queue,
        Self::Connect,
        Self::Read,
        Self::Prepare,
        Self::Compute,
        Self::Write,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Prepare => "prepare",
            Self::Compute => "compute",
            Self::Write => "write",
        }
    }

    /// Its place, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// The share of the whole that is done when it begins, in percent. Reading is most of an aggregate job.
    fn begins_at(self) -> f64 {
        match self {
            Self::Queue => 0.0,
            Self::Connect => 1.0,
            Self::Read => 5.0,
            Self::Prepare => 60.0,
            Self::Compute => 80.0,
            Self::Write => 97.0,
        }
    }

    fn ends_at(self) -> f64 {
        let next = Self::ALL.get(self.number());
        next.map_or(100.0, |next| next.begins_at())
    }
}

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// The stage.
    pub stage: String,
    /// Its number, from 1.
    pub number: usize,
    /// How many stages there are.
    pub of: usize,
    /// Percent of the whole, estimated.
    pub percent: f64,
    /// Bytes on the wire so far, both ways.
    pub bytes: u64,
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Seconds to go, estimated; unknown at first.
    pub eta_s: Option<f64>,
    /// How far what goes on step by step has come; of a model that is being fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
}

/// How far a fit has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// What is counted: `step`, `epoch`, `tree` or `round`.
    pub what: String,
    /// How many are done.
    pub done: u32,
    /// How many there are at most.
    pub at_most: u32,
    /// The mean loss of a row, where the job tells it.
    pub loss: Option<f64>,
    /// Seconds since the first began.
    pub elapsed_s: f64,
    /// Seconds to go if all are taken, by the mean time of those that are done.
    pub at_most_eta_s: Option<f64>,
}

/// The progress of one run. Clones look at the same run.
#[derive(Clone, Debug)]
pub struct Progress {
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
struct State {
    began: Instant,
    stage: Stage,
    stage_began: Instant,
    fraction: f64,
    bytes: u64,
    durations: Vec<(Stage, Duration)>,
    steps: Option<Counted>,
}

/// Steps that are being taken.
#[derive(Clone, Debug)]
struct Counted {
    what: &'static str,
    done: u32,
    at_most: u32,
    loss: Option<f64>,
    began: Instant,
    /// When the last one was done.
    last: Instant,
}

impl Counted {
    fn now(&self) -> Steps {
        let taken = (self.last - self.began).as_secs_f64();
        let mean = (self.done > 0).then(|| taken / f64::from(self.done));
        let left = f64::from(self.at_most.saturating_sub(self.done));
        let since = self.last.elapsed().as_secs_f64();
        Steps {
            what: self.what.to_owned(),
            done: self.done,
            at_most: self.at_most,
            loss: self.loss,
            elapsed_s: self.began.elapsed().as_secs_f64(),
            at_most_eta_s: mean.map(|mean| (mean * left - since).max(0.0)),
        }
    }
}

impl Progress {
    /// A run that begins now.
    #[must_use]
    pub fn begin() -> Self {
        let now = Instant::now();
        let (state, _) = watch::channel(State {
            began: now,
            stage: Stage::Queue,
            stage_began: now,
            fraction: 0.0,
            bytes: 0,
            durations: Vec::new(),
            steps: None,
        });
        Self { state }
    }

    /// Enters a stage.
    pub fn enter(&self, stage: Stage) {
        let now = Instant::now();
        self.state.send_modify(|s| {
            s.durations.push((s.stage, now - s.stage_began));
            s.stage = stage;
            s.stage_began = now;
            s.fraction = 0.0;
            s.steps = None;
        });
    }

    /// Says that so many steps of a fit are done, of at most so many; and the mean loss of a row, where the job tells it.
    pub fn steps(&self, what: &'static str, (done, at_most): (u32, u32), loss: Option<f64>) {
        let now = Instant::now();
        let part = 0.9 * f64::from(done) / f64::from(at_most.max(1));
        self.state.send_modify(|s| {
            // What begins anew, such as the model of another table, is timed anew.
            let before = s
                .steps
                .as_ref()
                .filter(|steps| done >= steps.done && done > 0);
            let began = before.map_or(now, |steps| steps.began);
            s.steps = Some(Counted {
                what,
                done,
                at_most,
                loss,
                began,
                last: now,
            });
            s.fraction = part.clamp(s.fraction, 1.0);
        });
    }

    /// Says which part of the stage is done, from 0 to 1.
    pub fn within(&self, fraction: f64) {
        self.state
            .send_modify(|s| s.fraction = fraction.clamp(s.fraction, 1.0));
    }

    /// Says how many bytes were on the wire so far.
    pub fn bytes(&self, bytes: u64) {
        self.state.send_modify(|s| s.bytes = bytes);
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        let s = self.state.borrow();
        let (from, to) = (s.stage.begins_at(), s.stage.ends_at());
        let percent = from + s.fraction * (to - from);
        let elapsed_s = s.began.elapsed().as_secs_f64();
        // Below a tenth, what is left is a guess on a guess.
        let eta_s = (percent >= 10.0).then(|| elapsed_s * (100.0 - percent) / percent);
        Moment {
            stage: s.stage.as_str().to_owned(),
            number: s.stage.number(),
            of: Stage::ALL.len(),
            percent,
            bytes: s.bytes,
            elapsed_s,
            eta_s,
            steps: s.steps.as_ref().map(Counted::now),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.state.borrow().began.elapsed()
    }

    /// How long each stage took, the present one up to now.
    #[must_use]
    pub fn durations(&self) -> Vec<(Stage, Duration)> {
        let s = self.state.borrow();
        let mut durations = s.durations.clone();
        durations.push((s.stage, s.stage_began.elapsed()));
        durations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_falls() {
        let progress = Progress::begin();
        let mut last = progress.now().percent;
        for stage in &Stage::ALL[1..] {
            progress.enter(*stage);
            for fraction in [0.0, 0.5, 0.2, 1.0, 7.0] {
                progress.within(fraction);
                let percent = progress.now().percent;
                assert!(percent >= last, "{stage:?}: {percent} after {last}");
                last = percent;
            }
        }
        assert!((last - 100.0).abs() < 1e-9);
    }
    #[test]
    fn steps_are_told_with_their_bound_and_only_within_their_stage() {
        let progress = Progress::begin();
        progress.enter(Stage::Compute);
        assert_eq!(progress.now().steps, None);
        progress.steps("step", (0, 10), None);
        let steps = progress.now().steps.expect("steps");
        assert_eq!(
            (steps.done, steps.at_most_eta_s),
            (0, None),
            "no step was timed yet"
        );
        progress.steps("step", (4, 10), Some(0.5));
        let steps = progress.now().steps.expect("steps");
        assert_eq!(
            (steps.what.as_str(), steps.done, steps.at_most),
            ("step", 4, 10)
        );
        assert_eq!(steps.loss, Some(0.5));
        assert!(steps.at_most_eta_s.expect("a guess") >= 0.0);
        progress.enter(Stage::Write);
        assert_eq!(progress.now().steps, None);
    }
}
