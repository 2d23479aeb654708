//! Keeps those who are refused from filling the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines about refused callers in a [`REFUSALS_WINDOW`]. Whoever can reach the port can cause them, and a log that anybody
/// can fill hides what matters and takes the disk.
pub const REFUSALS_LOGGED: u32 = 20;

/// See [`REFUSALS_LOGGED`].
pub const REFUSALS_WINDOW: Duration = Duration::from_secs(60);

/// Lets so many lines through in each window of time, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    per_window: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    n_written: u32,
    n_left_out: u64,
}

impl Throttle {
    /// At most `per_window` lines in each `window`.
    pub fn new(per_window: u32, window: Duration) -> Self {
        Self {
            per_window,
            window,
            state: Mutex::default(),
        }
    }

    /// For what is logged about callers that were refused.
    pub fn of_refusals() -> Self {
        Self::new(REFUSALS_LOGGED, REFUSALS_WINDOW)
    }

    /// Whether a line may be written at `now`, and then how many were left out since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // A panic while the lock was held cannot have left a half-made change that matters to a log.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |began| now.saturating_duration_since(began) >= self.window;
        if state.began.is_none_or(is_over) {
            state.began = Some(now);
            state.n_written = 0;
        }
        if state.n_written == self.per_window {
            state.n_left_out += 1;
            return None;
        }
        state.n_written += 1;
        Some(std::mem::take(&mut state.n_left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_so_many_lines_and_the_next_tells_of_the_rest() {
        let throttle = Throttle::new(3, Duration::from_secs(60));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let admitted: Vec<_> = (0..10).map(|s| throttle.admit(at(s))).collect();
        assert_eq!(admitted[..3], [Some(0); 3]);
        assert_eq!(admitted[3..], [None; 7]);
        assert_eq!(throttle.admit(at(59)), None);
        assert_eq!(throttle.admit(at(60)), Some(8));
        assert_eq!(throttle.admit(at(61)), Some(0));
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let throttle = Throttle::new(1, Duration::from_secs(60));
        let start = Instant::now() + Duration::from_secs(100);
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start - Duration::from_secs(90)), None);
    }
}
