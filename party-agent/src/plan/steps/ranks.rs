//! Ranks and different values over a join: of what, and what the protocol takes.

use protocols::correlate::Needs;
use protocols::price::Seats;
use protocols::stats::different::DifferentShape;
use protocols::stats::rank::{self, RankedItem, SharedRankShape};
use serde::Serialize;

use super::{HASH_BITS, Setting, Step, build};

/// A number that is ranked among the rows of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JointItem {
    /// Its measure.
    pub measure: usize,
    /// The measure that says which rows count.
    pub count: usize,
    /// Bits of its distance from the low end of its range.
    pub bits: u32,
}

/// Two arguments whose ranks are correlated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JointPair {
    /// The measure of the first argument.
    pub y: usize,
    /// The measure of the second argument.
    pub x: usize,
    /// Which items they are.
    pub items: [usize; 2],
    /// The first of four narrow columns: rows, squares of the first and of the second ranks, products.
    pub column: usize,
}

impl Step {
    /// The shape of a count of different values over a join, as the protocol takes it.
    #[must_use]
    pub fn different_shape(&self, setting: &Setting) -> Option<DifferentShape> {
        let Self::Different { of, .. } = self else {
            return None;
        };
        Some(DifferentShape {
            rows: build::sizes(&of.rows),
            groups: of.groups,
            others: of.others,
            bits: HASH_BITS,
            rows_bits: setting.rows_bits(),
            method: setting.method,
        })
    }

    /// The shape of a ranking over a join, as the protocol takes it: a column for each item.
    #[must_use]
    pub fn joint_rank_shape(&self, setting: &Setting) -> Option<SharedRankShape> {
        let Self::JointRanks {
            items,
            pairs,
            rows,
            others,
            ..
        } = self
        else {
            return None;
        };
        let counts = self.counts();
        let item = |(column, item): (usize, &JointItem)| RankedItem {
            column,
            bits: item.bits as usize,
            weight: counts.iter().position(|c| *c == item.count).unwrap_or(0),
        };
        Some(SharedRankShape {
            n_rows: build::sizes(&[*rows]).swap_remove(0),
            groups: *others,
            items: items.iter().enumerate().map(item).collect(),
            pairs: pairs.iter().map(|pair| pair.items.into()).collect(),
            method: setting.method,
        })
    }

    /// The correlated randomness of each item that a ranking over a join ranks: made when its turn comes, since that of all
    /// would not fit in memory.
    pub(in crate::plan) fn needs_apart(&self, setting: &Setting, seats: Seats) -> Vec<Needs> {
        let shape = self.joint_rank_shape(setting);
        let of = |shape: &SharedRankShape| -> Vec<Needs> {
            let items = shape.items.iter();
            let items = items.map(|item| rank::item_price(shape, item, seats).needs);
            items.collect()
        };
        shape.as_ref().map(of).unwrap_or_default()
    }

    /// That of all else.
    pub(in crate::plan) fn needs_at_once(&self, setting: &Setting, seats: Seats) -> Needs {
        match self.joint_rank_shape(setting) {
            Some(shape) => rank::sums_price(&shape, seats).needs,
            None => self.price(setting, seats).needs,
        }
    }

    /// The measures that say which rows of a ranking over a join count, each once.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        if let Self::JointRanks { items, .. } = self {
            for item in items {
                if !counts.contains(&item.count) {
                    counts.push(item.count);
                }
            }
        }
        counts
    }
}
