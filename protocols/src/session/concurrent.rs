//! Waits for several futures at once on one task: no spawning, no runtime.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs both to the end, or until one fails; then the other is dropped where it stands.
pub(crate) async fn try_both<A, B, E>(
    left: impl Future<Output = Result<A, E>>,
    right: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let mut left = Running::new(left);
    let mut right = Running::new(right);
    poll_fn(|cx| {
        left.advance(cx)?;
        right.advance(cx)?;
        match (left.outcome.take(), right.outcome.take()) {
            (Some(a), Some(b)) => Poll::Ready(Ok((a, b))),
            (a, b) => {
                (left.outcome, right.outcome) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs all to the end, or until one fails. Results come in the order of the futures.
pub(super) async fn try_all<T, E>(
    futures: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    let mut running: Vec<_> = futures.map(Running::new).collect();
    poll_fn(|cx| {
        for future in &mut running {
            future.advance(cx)?;
        }
        if running.iter().any(|r| r.outcome.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(running
            .iter_mut()
            .filter_map(|r| r.outcome.take())
            .collect()))
    })
    .await
}

/// A future and, once it has ended well, what it returned.
struct Running<F, T> {
    future: Pin<Box<F>>,
    outcome: Option<T>,
}

impl<T, E, F: Future<Output = Result<T, E>>> Running<F, T> {
    fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            outcome: None,
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), E> {
        if self.outcome.is_none()
            && let Poll::Ready(ended) = self.future.as_mut().poll(cx)
        {
            self.outcome = Some(ended?);
        }
        Ok(())
    }
}
