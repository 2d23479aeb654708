//! Where kernels run: the one file in which the asynchronous world meets the thread pool.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tokio::sync::oneshot;

/// Where a session's kernels run.
///
/// A kernel is a closure that owns its buffers. It never waits, sends or takes a lock, so the pool
/// cannot fill up with waiters. Both variants give the same messages; a test compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// On the calling task, at once: for simulation and tests.
    Inline,
    /// On rayon's pool, while the calling task waits and others run.
    Pool,
}

impl Compute {
    /// Runs `kernel` and returns its result.
    ///
    /// # Panics
    ///
    /// If the kernel panics, with the kernel's panic.
    pub async fn run<T, F>(self, kernel: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Self::Inline => kernel(),
            Self::Pool => on_the_pool(kernel).await,
        }
    }
}

async fn on_the_pool<T, F>(kernel: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (result, done) = oneshot::channel();
    rayon::spawn(move || {
        // A panic must not take the pool's thread down: it continues in the task that waits.
        let outcome = catch_unwind(AssertUnwindSafe(kernel));
        // The receiver is gone if the waiting protocol was dropped; then nobody wants the result.
        let _ = result.send(outcome);
    });
    match done
        .await
        .expect("the kernel sends its outcome even if it panics")
    {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}
