//! Keys that have a row which counts, where no holder can tell alone: a comparison or an OR between holders decides.
//!
//! A person counts once, however many rows of the join it has. How many of a key's rows count stands in its bin, group
//! by group, and on shares that number is compared with 0.

use protocols::join::{self, met};
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::relation::Compiled;
use super::{Job, JoinPlan, JoinSizes};
use crate::plan::words::counted;
use crate::plan::{KeyColumn, PlanFault};
use protocols::aggregate::LocalTotals;
use protocols::join::bins;

/// Most numbers that are compared with 0.
const MAX_COMPARED: u64 = 1 << 25;

/// Keys that are counted by whether any row of theirs counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetPlan {
    /// The join whose totals, of rows that count, are not added up over its bins.
    pub join: Box<JoinPlan>,
    /// For each of these, the total of the query over Z_2^64 to which the number of keys goes.
    pub columns: Vec<usize>,
    /// No key has more rows in a group than fit in so many bits.
    pub rows_bits: u32,
}

impl MetPlan {
    /// The join, as the protocol takes it.
    #[must_use]
    pub fn shape(&self, sizes: &JoinSizes, keys: &[KeyColumn], is_dealt: bool) -> met::MetShape {
        let groups = self.join.groups(keys);
        met::MetShape {
            join: join::Shape {
                bounds: None,
                ..self.join.star(0, sizes, &groups, is_dealt)
            },
            rows_bits: self.rows_bits,
            method: super::star::method(is_dealt),
        }
    }

    /// What it takes and sends.
    pub(super) fn price(
        &self,
        sizes: &JoinSizes,
        (keys, is_dealt): (&[KeyColumn], bool),
        seats: Seats,
    ) -> Price {
        met::price(seats, &self.shape(sizes, keys, is_dealt))
    }

    /// Puts what is counted for all groups of the relations together into the totals.
    pub fn put(&self, totals: &mut LocalTotals, counted: &[&[u64]]) {
        for (column, counted) in self.columns.iter().zip(counted) {
            for (total, combined) in totals.narrow[*column].iter_mut().zip(&self.join.cells) {
                *total = combined.map_or(0, |at| counted[at]);
            }
        }
    }
}

impl Job<'_> {
    /// In how many bits the rows of the join fit that a key has.
    pub(super) fn rows_bits(&self, compiled: &Compiled) -> u32 {
        let most = match self.has_one_row_a_key() {
            true => self.n_choices() as u64,
            false => compiled.rows,
        };
        (u64::BITS - most.leading_zeros()).max(1)
    }

    /// Refuses to count keys by more numbers than can be compared.
    pub(super) fn can_be_met(
        &self,
        compiled: &Compiled,
        (hub, n_totals): (usize, usize),
        keys: &[KeyColumn],
    ) -> Result<(), PlanFault> {
        let one = &compiled.all[hub];
        let part = one.raw.first();
        let n_keys = part.map_or(0, |part| one.keys_at_most(self, part));
        let n_keys = usize::try_from(n_keys.max(1)).unwrap_or(usize::MAX);
        let cells = keys.iter().map(|key| key.n_slots() as u64);
        let cells = cells.fold(1, u64::saturating_mul);
        let of_all = cells.saturating_mul(n_totals as u64);
        let n = (bins::n_bins_of(n_keys) as u64).saturating_mul(of_all);
        if n <= MAX_COMPARED {
            return Ok(());
        }
        let what = format!(
            "whether each of up to {} has a row in each of {} is compared on shares, {n} numbers in all, and {MAX_COMPARED} can be",
            counted(n_keys as u64, "key"),
            counted(cells, "group"),
        );
        let fix = "group by fewer keys, write max_rows, or leave the minimum cell and COUNT(DISTINCT key) out";
        Err(self.site.fault(self.select, what, fix))
    }
}
