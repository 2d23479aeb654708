//! A bounded queue of frames between two tasks that either side, or a third, can close.

use crate::error::LinkError;
use crate::wire::Frame;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// One sender, one receiver.
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    closed: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    /// Appends a frame, waiting while the queue is full.
    pub(super) async fn push(&self, frame: Frame) -> Result<(), LinkError> {
        let mut frame = Some(frame);
        poll_fn(|cx| self.poll_push(&mut frame, cx)).await
    }

    fn poll_push(
        &self,
        frame: &mut Option<Frame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(LinkError::Closed));
        }
        if state.frames.len() >= self.capacity {
            state.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.frames.extend(frame.take());
        wake(&mut state.receiver);
        Poll::Ready(Ok(()))
    }

    /// Takes the oldest frame, waiting for one. Frames that came before the close are delivered.
    pub(super) async fn pop(&self) -> Result<Frame, LinkError> {
        poll_fn(|cx| self.poll_pop(cx)).await
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, LinkError>> {
        let mut state = self.lock();
        if let Some(frame) = state.frames.pop_front() {
            wake(&mut state.sender);
            return Poll::Ready(Ok(frame));
        }
        if state.closed {
            return Poll::Ready(Err(LinkError::Closed));
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Refuses further frames and wakes whoever waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(&mut state.sender);
        wake(&mut state.receiver);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned queue is still a queue: no code between lock and unlock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
