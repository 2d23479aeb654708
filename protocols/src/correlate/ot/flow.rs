//! Batches one after the other, whose kernels run while other batches are on the wire.
//!
//! ```text
//! step r   on the wire   the extension of batch r, and the answer to that of batch r − 2
//!          meanwhile     the answer to what step r − 1 brought, and the extension of batch r + 1
//! ```
//!
//! An extension goes from the receivers of OTs to their senders, an answer back. Nobody holds more
//! than a few batches.

use super::pairs::{Pair, Pattern, Transfer, Transfers};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::try_both;
use engine::ot::extend::Choices;
use std::mem;

/// One kind's batches: their public shape, and their kernels over all pairs.
///
/// A flow runs its own kernels in the order of batches, each after the one before for the same batch.
pub(super) trait Flow: Send + Sized + 'static {
    fn plan(&self) -> &Plan;

    /// Uses the OTs in which this seat is the receiver. Returns what goes to each peer.
    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)>;

    /// Uses the OTs in which this seat is the sender. Returns what goes to each peer.
    fn answer(
        &mut self,
        batch: usize,
        pairs: &mut [Pair],
        extensions: &Incoming,
    ) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError>;

    /// Takes the answers.
    fn finish(&mut self, batch: usize, answers: &Incoming) -> Result<(), ProtocolError>;
}

/// What is public about a flow.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) pattern: Pattern,
    pub(super) mode: Choices,
    /// OTs of each batch.
    pub(super) n_ots: Vec<usize>,
    /// Bytes of each batch's answers; empty if there are none.
    pub(super) answers: Vec<usize>,
}

impl Plan {
    pub(super) fn n_batches(&self) -> usize {
        self.n_ots.len()
    }

    pub(super) fn n_steps(&self) -> usize {
        match self.answers.is_empty() || self.n_ots.is_empty() {
            true => self.n_batches(),
            false => self.n_batches() + 2,
        }
    }

    /// The batch whose answers are on the wire in a step.
    pub(super) fn answered(&self, step: usize) -> Option<usize> {
        step.checked_sub(2)
            .filter(|batch| *batch < self.answers.len())
    }

    /// The pair with the one seat that all OTs go towards; `None` at that seat itself.
    pub(super) fn with_owner<'p>(&self, pairs: &'p mut [Pair]) -> Option<&'p mut Pair> {
        let Pattern::Towards(owner) = self.pattern else {
            unreachable!("one seat owns what is chosen by");
        };
        pairs.iter_mut().find(|pair| pair.peer == owner)
    }
}

/// What came from each peer.
#[derive(Default)]
pub(super) struct Incoming(Vec<(Seat, Transfer)>);

impl Incoming {
    /// One peer's message; nothing if none was due.
    pub(super) fn from(&self, peer: Seat) -> &[u8] {
        super::pool::from(peer, &self.0)
    }

    /// All messages.
    pub(super) fn all(&self) -> impl Iterator<Item = (Seat, &[u8])> {
        let all = self.0.iter();
        all.map(|(peer, message)| (*peer, &message.body[..]))
    }
}

/// What a step brought, by the batch that it belongs to.
#[derive(Default)]
struct Arrived {
    extensions: Option<(usize, Incoming)>,
    answers: Option<(usize, Incoming)>,
}

/// A flow with the pairs that its kernels use.
struct Running<F> {
    flow: F,
    pairs: Vec<Pair>,
}

impl<F: Flow> Running<F> {
    fn extend(&mut self, batch: usize) -> Vec<(Seat, Vec<u8>)> {
        match batch < self.flow.plan().n_batches() {
            true => self.flow.extend(batch, &mut self.pairs),
            false => Vec::new(),
        }
    }

    /// Returns answers.
    fn take(&mut self, arrived: Arrived) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError> {
        if let Some((batch, answers)) = arrived.answers {
            self.flow.finish(batch, &answers)?;
        }
        match arrived.extensions {
            Some((batch, extensions)) => self.flow.answer(batch, &mut self.pairs, &extensions),
            None => Ok(Vec::new()),
        }
    }
}

impl Transfers<'_> {
    /// Runs a flow to its end.
    pub(super) async fn run<F: Flow>(&mut self, flow: F) -> Result<F, ProtocolError> {
        let plan = flow.plan().clone();
        let compute = self.session.compute();
        let Some(first) = plan.n_ots.first() else {
            return Ok(flow);
        };
        self.fill_pools(plan.pattern, *first).await?;
        let mut running = Running {
            flow,
            pairs: mem::take(&mut self.pairs),
        };
        let begin = move || {
            let extensions = running.extend(0);
            (running, extensions)
        };
        let (mut running, mut extensions) = compute.run(begin).await;
        let mut answers = Vec::new();
        let mut arrived = Arrived::default();
        for step in 0..plan.n_steps() {
            self.pairs = running.pairs;
            if let Some(n_ots) = plan.n_ots.get(step + 1) {
                self.fill_pools(plan.pattern, *n_ots).await?;
            }
            let due = self.due(&plan, step);
            running.pairs = mem::take(&mut self.pairs);
            // What was answered to the extension of the step before last goes out now.
            let outgoing = joined(mem::take(&mut extensions), mem::take(&mut answers));
            let expected: Vec<(Seat, usize)> = due.iter().map(|d| (d.peer, d.len())).collect();
            let kernel = move || {
                let answers = running.take(arrived);
                let extensions = running.extend(step + 1);
                (running, answers, extensions)
            };
            let work = async { Ok(compute.run(kernel).await) };
            let swap = self.session.swap(outgoing, &expected);
            let (came, after) = try_both(swap, work).await?;
            let (after, made, next) = after;
            running = after;
            (answers, extensions) = (made?, next);
            arrived = Arrived::of(&plan, step, came, &due);
        }
        let end = move || {
            let outcome = running.take(arrived);
            (running, outcome)
        };
        let (running, outcome) = compute.run(end).await;
        self.pairs = running.pairs;
        outcome.map(|_| running.flow)
    }

    /// What comes in a step.
    fn due(&mut self, plan: &Plan, step: usize) -> Vec<Due> {
        let me = self.me();
        let extensions = match plan.n_ots.get(step) {
            Some(n_ots) => self.expected(plan.pattern, *n_ots, plan.mode),
            None => Vec::new(),
        };
        let answer_bytes = plan.answered(step).map_or(0, |batch| plan.answers[batch]);
        let peers = self.session.peers().into_iter();
        let due = peers.map(|peer| {
            let extension = extensions.iter().find(|(seat, _)| *seat == peer);
            let answers = plan.pattern.has(peer, me);
            Due {
                peer,
                extension: extension.map_or(0, |(_, n_bytes)| *n_bytes),
                answer: if answers { answer_bytes } else { 0 },
            }
        });
        due.filter(|due| due.len() > 0).collect()
    }
}

/// What comes from a peer in a step: an extension and then an answer.
struct Due {
    peer: Seat,
    extension: usize,
    answer: usize,
}

impl Due {
    fn len(&self) -> usize {
        self.extension + self.answer
    }
}

impl Arrived {
    fn of(plan: &Plan, step: usize, came: Vec<(Seat, Transfer)>, due: &[Due]) -> Self {
        let parts = |is_answer: bool| {
            let both = came.iter().zip(due);
            let part = |((peer, message), due): (&(Seat, Transfer), &Due)| {
                let body = match is_answer {
                    true => message.body.slice(due.extension..),
                    false => message.body.slice(..due.extension),
                };
                (*peer, Transfer { body })
            };
            Incoming(both.map(part).collect())
        };
        Self {
            extensions: (step < plan.n_batches()).then(|| (step, parts(false))),
            answers: plan.answered(step).map(|batch| (batch, parts(true))),
        }
    }
}

/// One message to each peer that gets anything.
fn joined(
    extensions: Vec<(Seat, Vec<u8>)>,
    answers: Vec<(Seat, Vec<u8>)>,
) -> Vec<(Seat, Transfer)> {
    let mut all = extensions;
    for (peer, answer) in answers {
        match all.iter_mut().find(|(seat, _)| *seat == peer) {
            Some((_, message)) => message.extend_from_slice(&answer),
            None => all.push((peer, answer)),
        }
    }
    all.sort_by_key(|(peer, _)| *peer);
    let all = all.into_iter().filter(|(_, message)| !message.is_empty());
    all.map(|(peer, message)| (peer, Transfer::new(message)))
        .collect()
}
