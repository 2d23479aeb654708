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

use super::pairs::{Pair, PairCots, Pattern, Received, Sent, Transfer, Transfers, blame};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::bits;
use engine::block::Block;
use engine::ot::extend::{Choices, ReceiverCots, SenderCots, TREES_BYTES, message_bytes};
use engine::ot::ferret::{self, FIRST_COTS, Round, endless};
use engine::ot::{Direction, OtError};
use engine::prg::{Prg, Seed};
use rayon::prelude::*;
use zeroize::Zeroize;

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

/// Rows that are not used yet, and the receiver's choices.
#[derive(Default)]
struct Pool {
    level: Level,
    rows: Vec<Block>,
    choices: Vec<u64>,
}

impl Pool {
    fn add(&mut self, rows: &[Block], choices: &[u64]) {
        self.rows.extend_from_slice(rows);
        self.choices.extend_from_slice(choices);
        self.level.refill();
    }

    /// The next rows, and the words of their choices, if this is the receiver's pool.
    fn take(&mut self, n_ots: usize) -> (Vec<Block>, Vec<u64>) {
        let n_words = n_ots.div_ceil(64);
        let mut rows: Vec<Block> = self.rows.drain(..64 * n_words).collect();
        rows.truncate(n_ots);
        let n_words = n_words.min(self.choices.len());
        let mut choices: Vec<u64> = self.choices.drain(..n_words).collect();
        if !choices.is_empty() {
            bits::clear_tail(&mut choices, n_ots);
        }
        self.level.take(n_ots);
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
    received: Pool,
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

    fn take_round(&mut self, message: &[u8]) -> Result<(), OtError> {
        let receiver = self.receiver.as_mut().expect("the direction has begun");
        let cots = receiver.cots(&self.received.level.next_round(), message)?;
        self.received.add(&cots.rows, &cots.choices);
        Ok(())
    }
}

/// A peer's message among those that came.
fn from(peer: Seat, incoming: &[(Seat, Transfer)]) -> Option<&Transfer> {
    let message = incoming.iter().find(|(seat, _)| *seat == peer);
    message.map(|(_, message)| message)
}

impl Transfers<'_> {
    /// Correlated OTs with every peer, in the directions of a pattern, from the pools.
    pub(super) async fn pooled_cots(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
        given: Option<Vec<u64>>,
        mode: Choices,
    ) -> Result<Vec<PairCots>, ProtocolError> {
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
        self.take_from_pools(pattern, n_ots, given, mode).await
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
                let Some(message) = from(pair.peer, &incoming) else {
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
                let Some(message) = from(pair.peer, &incoming) else {
                    return Ok(());
                };
                let taken = pair.pools.take_round(&message.body);
                taken.map_err(|e| blame(pair.peer, e))
            })
        };
        self.with_pairs(take).await
    }

    async fn take_from_pools(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
        given: Option<Vec<u64>>,
        mode: Choices,
    ) -> Result<Vec<PairCots>, ProtocolError> {
        let me = self.me();
        let mut messages = Vec::new();
        let mut taken = Vec::with_capacity(self.pairs.len());
        for pair in &mut self.pairs {
            let received = match pattern.has(pair.peer, me) {
                false => None,
                true => {
                    let (rows, mut choices) = pair.pools.received.take(n_ots);
                    if let Some(given) = &given {
                        bits::xor_assign(&mut choices, given);
                        let difference = choices.iter().flat_map(|word| word.to_le_bytes());
                        messages.push((pair.peer, Transfer::new(difference.collect())));
                        choices.copy_from_slice(given);
                    }
                    let first = pair.receiver_hash.reserve(n_ots);
                    let first = first.expect("no more OTs than a session allows");
                    let cots = ReceiverCots { choices, rows };
                    Some(Received { first, cots })
                }
            };
            let sent = match pattern.has(me, pair.peer) {
                false => None,
                true => Some(pair.take_sent(n_ots)?),
            };
            taken.push(PairCots { sent, received });
        }
        if mode == Choices::Given {
            let senders = self.pairs.iter().filter(|p| pattern.has(me, p.peer));
            let expected = senders.map(|p| (p.peer, 8 * n_ots.div_ceil(64)));
            let expected: Vec<(Seat, usize)> = expected.collect();
            let incoming = self.session.swap(messages, &expected).await?;
            for (pair, cots) in self.pairs.iter().zip(&mut taken) {
                if let (Some(sent), Some(d)) = (&mut cots.sent, from(pair.peer, &incoming)) {
                    add_chosen(sent, &d.body);
                }
            }
        }
        Ok(taken)
    }
}

impl Pair {
    fn take_sent(&mut self, n_ots: usize) -> Result<Sent, ProtocolError> {
        let first = self.sender_hash.reserve(n_ots);
        let first = first.map_err(|e| blame(self.peer, e))?;
        let sender = self.pools.sender.as_ref().expect("the direction has begun");
        let delta = sender.delta();
        let (rows, _) = self.pools.sent.take(n_ots);
        Ok(Sent {
            first,
            delta,
            cots: SenderCots { rows },
        })
    }
}

/// Adds d·Δ to the sender's rows.
fn add_chosen(sent: &mut Sent, d: &[u8]) {
    for (at, row) in sent.cots.rows.iter_mut().enumerate() {
        *row ^= sent.delta.masked(u64::from(d[at / 8] >> (at % 8) & 1));
    }
}
