//! The declared cost of a preparation: the same rounds as the protocols run, with lengths only.

use super::Extension;
use super::flow::Plan;
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
    /// Whether matrices were made before.
    has_keys: bool,
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
            has_keys: false,
            pools: (extension == Extension::Ferret).then(BTreeMap::new),
        };
        tally.round(Pattern::All, |_, _| SETUP_BYTES);
        tally
    }

    pub(super) fn n_computing(&self) -> usize {
        self.n_computing
    }

    /// Whether the keys with which matrices are made go out now: once.
    pub(super) fn draws_keys(&mut self) -> bool {
        !std::mem::replace(&mut self.has_keys, true)
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
        self.fill(pattern, n_ots);
        let n_bytes = self.extension_bytes(pattern, n_ots, mode);
        self.messages(|from, to| n_bytes.get(&(from, to)).copied());
    }

    /// The steps of a flow. Where there are answers they are of one length towards all receivers.
    pub(super) fn flow(&mut self, plan: &Plan) {
        let Some(first) = plan.n_ots.first() else {
            return;
        };
        self.fill(plan.pattern, *first);
        for step in 0..plan.n_steps() {
            if let Some(n_ots) = plan.n_ots.get(step + 1) {
                self.fill(plan.pattern, *n_ots);
            }
            let extension = match plan.n_ots.get(step) {
                Some(n_ots) => self.extension_bytes(plan.pattern, *n_ots, plan.mode),
                None => BTreeMap::new(),
            };
            let answer = plan.answered(step).map_or(0, |batch| plan.answers[batch]);
            self.messages(|from, to| {
                let extension = extension.get(&(from, to)).copied().unwrap_or(0);
                let answer = match plan.pattern.has(from, to) {
                    true => answer,
                    false => 0,
                };
                Some(extension + answer)
            });
        }
    }

    /// Sees to the pools as [`pool`] does: begin, refill, take.
    fn fill(&mut self, pattern: Pattern, n_ots: usize) {
        let Some(mut pools) = self.pools.take() else {
            return;
        };
        self.messages(|from, to| {
            let begins = pattern.has(to, from) && !pools.contains_key(&(to, from));
            begins.then_some(pool::BEGIN_BYTES)
        });
        let directions = self.directions(pattern);
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
        self.pools = Some(pools);
    }

    /// Sender and receiver of each direction.
    fn directions(&self, pattern: Pattern) -> Vec<(Seat, Seat)> {
        let seats: Vec<Seat> = Seat::first(self.n_computing).collect();
        let all = seats.iter().flat_map(|s| seats.iter().map(|r| (*s, *r)));
        all.filter(|(s, r)| pattern.has(*s, *r)).collect()
    }

    /// Lengths of an extension's messages, by their author and recipient; the first of a direction
    /// brings the trees.
    fn extension_bytes(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
        mode: Choices,
    ) -> BTreeMap<(Seat, Seat), usize> {
        let mut lengths = BTreeMap::new();
        for (sender, receiver) in self.directions(pattern) {
            let n_bytes = match self.pools {
                Some(_) => pool::choice_bytes(n_ots, mode),
                None if self.started.contains(&(sender, receiver)) => message_bytes(n_ots, mode),
                None => {
                    self.started.push((sender, receiver));
                    TREES_BYTES + message_bytes(n_ots, mode)
                }
            };
            lengths.insert((receiver, sender), n_bytes);
        }
        lengths
    }

    /// One round. Nobody sends an empty message.
    fn messages(&mut self, n_bytes: impl Fn(Seat, Seat) -> Option<usize>) {
        let mut sends = Vec::new();
        let before = self.depths.clone();
        for from in Seat::first(self.n_computing) {
            for to in Seat::first(self.n_computing) {
                let Some(n_bytes) = n_bytes(from, to).filter(|n_bytes| *n_bytes > 0) else {
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
