//! The declared cost of a preparation: the same rounds as the protocols run, with lengths only.

use super::Extension;
use super::pairs::{Pattern, SETUP_BYTES};
use super::pool::{self, Level};
use crate::cost::{Cost, Stream};
use crate::party::Seat;
use engine::ot::extend::{Choices, TREES_BYTES, message_bytes};
use std::collections::BTreeMap;

pub(super) struct Tally {
    n_computing: usize,
    cost: Cost,
    /// How many messages each seat's next one waits for.
    depths: Vec<u32>,
    /// Sender and receiver of the directions whose trees were sent.
    started: Vec<(Seat, Seat)>,
    /// What is left in the pools of such directions, where the extension is Ferret.
    pools: Option<BTreeMap<(Seat, Seat), Level>>,
}

impl Tally {
    /// After the base OTs.
    pub(super) fn set_up(extension: Extension, n_computing: usize) -> Self {
        let mut tally = Self {
            n_computing,
            cost: Cost::none(n_computing),
            depths: vec![0; n_computing],
            started: Vec::new(),
            pools: (extension == Extension::Ferret).then(BTreeMap::new),
        };
        tally.round(Pattern::All, |_, _| SETUP_BYTES);
        tally
    }

    pub(super) fn n_computing(&self) -> usize {
        self.n_computing
    }

    /// One round of messages from OT senders to their receivers.
    pub(super) fn round(&mut self, pattern: Pattern, n_bytes: impl Fn(Seat, Seat) -> usize) {
        self.messages(|from, to| pattern.has(from, to).then(|| n_bytes(from, to)));
    }

    /// One round in which some send something.
    pub(super) fn some(
        &mut self,
        sends: impl Fn(Seat, Seat) -> bool,
        n_bytes: impl Fn(Seat, Seat) -> usize,
    ) {
        self.messages(|from, to| sends(from, to).then(|| n_bytes(from, to)));
    }

    /// One round of extensions, from OT receivers to their senders.
    pub(super) fn extensions(&mut self, pattern: Pattern, n_ots: usize, mode: Choices) {
        match self.pools.take() {
            None => self.one_extension(pattern, n_ots, mode),
            Some(mut pools) => {
                self.pooled(&mut pools, pattern, n_ots, mode);
                self.pools = Some(pools);
            }
        }
    }

    /// The rounds of [`pool`]: begin, refill, choose.
    fn pooled(
        &mut self,
        pools: &mut BTreeMap<(Seat, Seat), Level>,
        pattern: Pattern,
        n_ots: usize,
        mode: Choices,
    ) {
        self.messages(|from, to| {
            let begins = pattern.has(to, from) && !pools.contains_key(&(to, from));
            begins.then_some(pool::BEGIN_BYTES)
        });
        let seats: Vec<Seat> = Seat::first(self.n_computing).collect();
        let directions = seats.iter().flat_map(|s| seats.iter().map(|r| (*s, *r)));
        let directions: Vec<_> = directions.filter(|(s, r)| pattern.has(*s, *r)).collect();
        for direction in &directions {
            pools.entry(*direction).or_default();
        }
        while directions.iter().any(|d| pools[d].lacks(n_ots)) {
            self.messages(|from, to| {
                let level = pools.get(&(from, to)).filter(|_| pattern.has(from, to))?;
                level
                    .lacks(n_ots)
                    .then(|| level.next_round().message_bytes())
            });
            for direction in &directions {
                let level = pools.get_mut(direction).expect("every direction has begun");
                if level.lacks(n_ots) {
                    level.refill();
                }
            }
        }
        for direction in &directions {
            let level = pools.get_mut(direction).expect("every direction has begun");
            level.take(n_ots);
        }
        if mode == Choices::Given {
            let n_bytes = 8 * n_ots.div_ceil(64);
            self.messages(|from, to| pattern.has(to, from).then_some(n_bytes));
        }
    }

    fn one_extension(&mut self, pattern: Pattern, n_ots: usize, mode: Choices) {
        let started = std::mem::take(&mut self.started);
        self.messages(|from, to| {
            let is_first = !started.contains(&(to, from));
            let trees = if is_first { TREES_BYTES } else { 0 };
            pattern
                .has(to, from)
                .then(|| trees + message_bytes(n_ots, mode))
        });
        self.started = started;
        for sender in Seat::first(self.n_computing) {
            for receiver in Seat::first(self.n_computing) {
                let direction = (sender, receiver);
                if pattern.has(sender, receiver) && !self.started.contains(&direction) {
                    self.started.push(direction);
                }
            }
        }
    }

    fn messages(&mut self, n_bytes: impl Fn(Seat, Seat) -> Option<usize>) {
        let mut sends = Vec::new();
        let before = self.depths.clone();
        for from in Seat::first(self.n_computing) {
            for to in Seat::first(self.n_computing) {
                let Some(n_bytes) = n_bytes(from, to) else {
                    continue;
                };
                let stream = Stream {
                    n_bytes: n_bytes as u64,
                    n_messages: 1,
                };
                sends.push((from, to, stream));
                let depth = before[from.index()] + 1;
                let at = &mut self.depths[to.index()];
                *at = depth.max(*at);
            }
        }
        let round = Cost::round(self.n_computing, sends);
        self.cost = self.cost.clone().then(&round);
    }

    /// The sum. Rounds are those of the longest chain of messages.
    pub(super) fn into_cost(mut self) -> Cost {
        self.cost.rounds = self.depths.iter().copied().max().unwrap_or(0);
        self.cost
    }
}
