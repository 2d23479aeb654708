//! Ferret's OTs: made in rounds of fixed size, kept in a pool for each direction, taken as needed.
//!
//! ```text
//! begin     OT receiver → sender   trees, and the extension for the first round's OTs
//! refill    OT sender → receiver   a round, as often as there are too few
//! choose    OT receiver → sender   where choices are given, d = choice ⊕ given choice
//! ```
//!
//! The sender adds d·Δ to its rows: with q = t ⊕ c·Δ that is q ⊕ d·Δ = t ⊕ given·Δ, and d is masked
//! by the random c. Both sides take whole words, so they count alike.

use super::Extension;
use super::pairs::{Pair, Pattern, Transfer, Transfers, blame};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::bits;
use engine::block::Block;
use engine::ot::extend::{Choices, TREES_BYTES, message_bytes};
use engine::ot::ferret::{self, FIRST_COTS, Round, endless};
use engine::ot::{Direction, OtError};
use engine::prg::{Prg, Seed};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

/// Length of the message that begins a direction.
pub(super) const BEGIN_BYTES: usize = TREES_BYTES + message_bytes(FIRST_COTS, Choices::Random);

/// How much a pool holds: a function of what was taken, so that both sides know it.
#[derive(Clone, Copy, Default)]
pub(super) struct Level {
    n_left: usize,
    n_rounds: u64,
}

impl Level {
    pub(super) fn lacks(self, n_ots: usize) -> bool {
        self.n_left < n_ots.next_multiple_of(64)
    }

    pub(super) fn next_round(self) -> Round {
        endless(self.n_rounds)
    }

    pub(super) fn refill(&mut self) {
        self.n_left += self.next_round().n_ots();
        self.n_rounds += 1;
    }

    pub(super) fn take(&mut self, n_ots: usize) {
        self.n_left -= n_ots.next_multiple_of(64);
    }
}

/// Length of the message in which a receiver turns random choices into given ones.
pub(super) fn choice_bytes(n_ots: usize, mode: Choices) -> usize {
    match mode {
        Choices::Random => 0,
        Choices::Given => 8 * n_ots.div_ceil(64),
    }
}

/// Rows that are not used yet, and the receiver's choices: a queue.
#[derive(Default)]
pub(super) struct Pool {
    /// What is left when all who asked have taken theirs.
    level: Level,
    rows: Vec<Block>,
    choices: Vec<u64>,
    /// Words of choices, and 64 times as many rows, that were taken already.
    taken: usize,
}

impl Pool {
    fn add(&mut self, rows: &[Block], choices: &[u64]) {
        self.rows[..64 * self.taken].zeroize();
        self.rows.drain(..64 * self.taken);
        let taken = self.taken.min(self.choices.len());
        self.choices[..taken].zeroize();
        self.choices.drain(..taken);
        self.taken = 0;
        self.rows.extend_from_slice(rows);
        self.choices.extend_from_slice(choices);
        self.level.refill();
    }

    /// The next rows, and the words of their choices, if this is the receiver's pool.
    pub(super) fn take(&mut self, n_ots: usize) -> (Zeroizing<Vec<Block>>, Vec<u64>) {
        let words = self.taken..self.taken + n_ots.div_ceil(64);
        self.taken = words.end;
        let first = 64 * words.start;
        let rows = Zeroizing::new(self.rows[first..first + n_ots].to_vec());
        let mut choices = Vec::new();
        if !self.choices.is_empty() {
            choices = self.choices[words].to_vec();
            bits::clear_tail(&mut choices, n_ots);
        }
        (rows, choices)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.rows.zeroize();
        self.choices.zeroize();
    }
}

/// Both directions with one peer.
pub(super) struct Pools {
    outgoing: Direction,
    incoming: Direction,
    sender: Option<Box<ferret::Sender>>,
    receiver: Option<Box<ferret::Receiver>>,
    sent: Pool,
    pub(super) received: Pool,
}

impl Pools {
    pub(super) fn new(outgoing: Direction, incoming: Direction) -> Self {
        Self {
            outgoing,
            incoming,
            sender: None,
            receiver: None,
            sent: Pool::default(),
            received: Pool::default(),
        }
    }

    /// A round in which this seat is the sender, and its message.
    fn make_round(&mut self, prg: &mut Prg) -> Transfer {
        let sender = self.sender.as_mut().expect("the direction has begun");
        let made = sender.cots(&self.sent.level.next_round(), prg);
        let (cots, message) = made.expect("no more OTs than a session allows");
        self.sent.add(&cots.rows, &[]);
        Transfer::new(message)
    }

    /// Δ, and the next rows of the direction in which this seat is the sender.
    pub(super) fn take_sent(&mut self, n_ots: usize) -> (Block, Zeroizing<Vec<Block>>) {
        let sender = self.sender.as_ref().expect("the direction has begun");
        (sender.delta(), self.sent.take(n_ots).0)
    }

    fn take_round(&mut self, message: &[u8]) -> Result<(), OtError> {
        let receiver = self.receiver.as_mut().expect("the direction has begun");
        let cots = receiver.cots(&self.received.level.next_round(), message)?;
        self.received.add(&cots.rows, &cots.choices);
        Ok(())
    }
}

/// A peer's message among those that came; nothing if none did.
pub(super) fn from(peer: Seat, incoming: &[(Seat, Transfer)]) -> &[u8] {
    let message = incoming.iter().find(|(seat, _)| *seat == peer);
    message.map_or(&[], |(_, message)| &message.body)
}

impl Transfers<'_> {
    /// Sees to it that Ferret's pools have so many more OTs than those who asked before will take.
    pub(super) async fn fill_pools(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
    ) -> Result<(), ProtocolError> {
        if self.extension != Extension::Ferret {
            return Ok(());
        }
        self.begin_pools(pattern).await?;
        let me = self.me();
        let lacks = |pair: &Pair| {
            let (sent, received) = (&pair.pools.sent, &pair.pools.received);
            pattern.has(me, pair.peer) && sent.level.lacks(n_ots)
                || pattern.has(pair.peer, me) && received.level.lacks(n_ots)
        };
        while self.pairs.iter().any(lacks) {
            self.refill_pools(pattern, n_ots).await?;
        }
        for pair in &mut self.pairs {
            if pattern.has(me, pair.peer) {
                pair.pools.sent.level.take(n_ots);
            }
            if pattern.has(pair.peer, me) {
                pair.pools.received.level.take(n_ots);
            }
        }
        Ok(())
    }

    async fn begin_pools(&mut self, pattern: Pattern) -> Result<(), ProtocolError> {
        let me = self.me();
        let begin = move |pairs: &mut Vec<Pair>| {
            let begin = |pair: &mut Pair| {
                let is_due = pattern.has(pair.peer, me) && pair.pools.receiver.is_none();
                is_due.then(|| {
                    let direction = pair.pools.incoming;
                    let (ferret, message) = pair.extend(|r| ferret::Receiver::new(direction, r));
                    pair.pools.receiver = Some(Box::new(ferret));
                    (pair.peer, message)
                })
            };
            Ok(pairs.par_iter_mut().filter_map(begin).collect::<Vec<_>>())
        };
        let messages = self.with_pairs(begin).await?;
        let is_due = |pair: &&Pair| pattern.has(me, pair.peer) && pair.pools.sender.is_none();
        let expected: Vec<(Seat, usize)> = self
            .pairs
            .iter()
            .filter(is_due)
            .map(|pair| (pair.peer, BEGIN_BYTES))
            .collect();
        if messages.is_empty() && expected.is_empty() {
            return Ok(());
        }
        let incoming = self.session.swap(messages, &expected).await?;
        let accept = move |pairs: &mut Vec<Pair>| {
            pairs.par_iter_mut().try_for_each(|pair| {
                let Some((_, message)) = incoming.iter().find(|(seat, _)| *seat == pair.peer)
                else {
                    return Ok(());
                };
                let direction = pair.pools.outgoing;
                let begun =
                    pair.accept(message, |s, bytes| ferret::Sender::new(direction, s, bytes));
                pair.pools.sender = Some(Box::new(begun?));
                Ok(())
            })
        };
        self.with_pairs(accept).await
    }

    /// One round in every direction of the pattern that has too few.
    async fn refill_pools(&mut self, pattern: Pattern, n_ots: usize) -> Result<(), ProtocolError> {
        let me = self.me();
        let seeds: Vec<Seed> = self
            .pairs
            .iter()
            .map(|_| Seed::random(&mut self.prg))
            .collect();
        let due = self
            .pairs
            .iter()
            .filter(|pair| pattern.has(pair.peer, me) && pair.pools.received.level.lacks(n_ots));
        let length = |pair: &Pair| pair.pools.received.level.next_round().message_bytes();
        let expected: Vec<(Seat, usize)> = due.map(|pair| (pair.peer, length(pair))).collect();
        let make = move |pairs: &mut Vec<Pair>| {
            let make = |(pair, seed): (&mut Pair, &Seed)| {
                let is_due = pattern.has(me, pair.peer) && pair.pools.sent.level.lacks(n_ots);
                is_due.then(|| (pair.peer, pair.pools.make_round(&mut Prg::new(seed, 0))))
            };
            let both = pairs.par_iter_mut().zip(&seeds);
            Ok(both.filter_map(make).collect::<Vec<_>>())
        };
        let messages = self.with_pairs(make).await?;
        let incoming = self.session.swap(messages, &expected).await?;
        let take = move |pairs: &mut Vec<Pair>| {
            pairs.par_iter_mut().try_for_each(|pair| {
                let Some((_, message)) = incoming.iter().find(|(seat, _)| *seat == pair.peer)
                else {
                    return Ok(());
                };
                let taken = pair.pools.take_round(&message.body);
                taken.map_err(|e| blame(pair.peer, e))
            })
        };
        self.with_pairs(take).await
    }
}
