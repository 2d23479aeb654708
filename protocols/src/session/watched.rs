//! Who watches how far a computation has come.

use super::Session;
use std::sync::OnceLock;

/// Which of a public number of steps is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What is counted: `step`, `epoch` or `tree`.
    pub what: &'static str,
    /// How many are done.
    pub done: u32,
    /// How many there are.
    pub of: u32,
}

/// Who is told, if somebody is.
#[derive(Default)]
pub(super) struct Watched(OnceLock<Box<dyn Fn(Reached) + Send + Sync>>);

impl Session {
    /// Has `watcher` told, of this session and of all sub-protocols, which step is next wherever there are steps. It is told
    /// here, by this seat's own run, and nothing is sent. The first watcher stays.
    pub fn watch(&self, watcher: impl Fn(Reached) + Send + Sync + 'static) {
        // Nobody takes the place of the first one.
        let _ = self.shared.watched.0.set(Box::new(watcher));
    }

    /// So many steps of a public number are done.
    pub(crate) fn reaches(&self, what: &'static str, done: u32, of: u32) {
        if let Some(watcher) = self.shared.watched.0.get() {
            watcher(Reached { what, done, of });
        }
    }
}
