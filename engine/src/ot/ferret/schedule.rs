//! Which rounds make a given number of OTs: a function of that number, so both sides know it.

use crate::block::Block;
use crate::params::{FERRET_BULK, FERRET_FIRST, FerretSet};

/// One round of Ferret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Round {
    set: FerretSet,
    n_ots: usize,
    next: Option<FerretSet>,
}

impl Round {
    /// OTs that the round puts out.
    pub const fn n_ots(&self) -> usize {
        self.n_ots
    }

    /// Length of the sender's message.
    pub const fn message_bytes(&self) -> usize {
        self.n_trees() * self.set.depth * Block::BYTES
    }

    pub(super) const fn set(&self) -> &FerretSet {
        &self.set
    }

    /// Trees whose leaves are used. A last round may need fewer than its set has.
    pub(super) const fn n_trees(&self) -> usize {
        self.n_ots.div_ceil(self.set.leaves()) + self.refill_trees()
    }

    const fn refill_trees(&self) -> usize {
        self.next_cots().div_ceil(self.set.leaves())
    }

    /// COTs that are kept for the next round.
    pub(super) const fn next_cots(&self) -> usize {
        match self.next {
            Some(set) => set.base_cots(),
            None => 0,
        }
    }

    pub(super) fn place_for_next(&self) -> Vec<Block> {
        vec![Block::ZERO; self.refill_trees() * self.set.leaves()]
    }
}

/// The rounds that make `n_ots` OTs together. The first one begins with [`super::FIRST_COTS`].
pub fn schedule(n_ots: u64) -> Vec<Round> {
    let (mut rounds, mut left, mut set) = (Vec::new(), n_ots, FERRET_FIRST);
    while left > 0 {
        let whole = set.n_cots() as u64;
        let (next, most) = if left <= whole {
            (None, whole)
        } else {
            let refill = FERRET_BULK.base_cots().next_multiple_of(set.leaves());
            (Some(FERRET_BULK), whole - refill as u64)
        };
        let n_ots = left.min(most) as usize;
        rounds.push(Round { set, n_ots, next });
        left -= n_ots as u64;
        set = FERRET_BULK;
    }
    rounds
}

/// Round number `number`, from 0, where nobody knows how many OTs there will be: each makes as many
/// as it can and feeds the next.
pub fn endless(number: u64) -> Round {
    let set = if number == 0 {
        FERRET_FIRST
    } else {
        FERRET_BULK
    };
    let refill = FERRET_BULK.base_cots().next_multiple_of(set.leaves());
    Round {
        set,
        n_ots: set.n_cots() - refill,
        next: Some(FERRET_BULK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_no_round_has_more_trees_than_its_set() {
        let edges = [FERRET_FIRST, FERRET_BULK].map(|set| set.n_cots() as u64);
        let near = edges.into_iter().flat_map(|n| [n - 1, n, n + 1]);
        for n_ots in near.chain([0, 1, 63, 64, 65, 1 << 20, 5_000_000, 1 << 28]) {
            let rounds = schedule(n_ots);
            assert_eq!(rounds.iter().map(|r| r.n_ots as u64).sum::<u64>(), n_ots);
            let mut set = FERRET_FIRST;
            for (at, round) in rounds.iter().enumerate() {
                assert_eq!(round.set, set, "round {at} of {n_ots}");
                assert!(round.n_trees() <= set.trees, "round {at} of {n_ots}");
                assert_eq!(round.next.is_some(), at + 1 < rounds.len());
                set = round.next.unwrap_or(set);
            }
        }
    }

    #[test]
    fn endless_rounds_use_whole_sets() {
        for number in 0..3 {
            let round = endless(number);
            assert_eq!(round.n_trees(), round.set.trees);
            assert_eq!(round.set == FERRET_FIRST, number == 0);
            assert!(round.n_ots.is_multiple_of(64));
        }
    }

    #[test]
    fn traffic_is_a_fraction_of_a_bit() {
        let bits = |n: u64| {
            let bytes: usize = schedule(n).iter().map(Round::message_bytes).sum();
            8.0 * bytes as f64 / n as f64
        };
        assert!(bits(10_000_000) < 0.8, "{}", bits(10_000_000));
        assert!(bits(1 << 28) < 0.74, "{}", bits(1 << 28));
    }
}
