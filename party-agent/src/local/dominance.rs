//! What single contributors add to this holder's totals, held against rules about dominance.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use engine::hash::KeyedHash;
use protocols::aggregate::{LocalTotals, Margins};
use protocols::party::PartyId;

use super::contribution::who;
use super::measure::MeasureTotals;
use crate::plan::{ComparedSum, Comparison, DominancePlan, LocalPlan, Plan};
use crate::source::SourceError;

/// Who contributes: a hash. All rows in which nothing tells whose they are count as one contributor's.
type Contributor = Option<[u8; 16]>;

/// What every contributor adds to every cell.
pub(super) struct Contributors<'a> {
    plan: &'a Plan,
    rules: &'a DominancePlan,
    /// Place of this holder among all of them.
    holder: usize,
    hash: KeyedHash,
    pairs: HashMap<(u32, Contributor), u32>,
    /// The same in the order of their numbers.
    listed: Vec<(u32, Contributor)>,
    sums: Vec<MeasureTotals<'a>>,
}

impl<'a> Contributors<'a> {
    /// `None` where a plan has no rules.
    pub(super) fn new(
        plan: &'a Plan,
        me: &PartyId,
        local: &'a LocalPlan,
    ) -> Result<Option<Self>, SourceError> {
        let (Some(rules), Some(holder)) = (
            &plan.dominance,
            plan.locals.keys().position(|party| party == me),
        ) else {
            return Ok(None);
        };
        let mut measures: Vec<usize> = rules.sums.iter().map(|sum| sum.measure).collect();
        measures.dedup();
        let sums = measures
            .iter()
            .map(|m| MeasureTotals::new(&plan.measures[*m], local, 0));
        Ok(Some(Self {
            plan,
            rules,
            holder,
            hash: KeyedHash::new("entente/v1/agent/contributors", &[]),
            pairs: HashMap::new(),
            listed: Vec::new(),
            sums: sums.collect::<Result<_, _>>()?,
        }))
    }

    /// Adds one batch: for each row its cell, the arguments, and who contributes.
    pub(super) fn add(
        &mut self,
        cells: &[u32],
        args: &[ArrayRef],
        contributors: &ArrayRef,
    ) -> Result<(), SourceError> {
        let mut rows = Vec::with_capacity(cells.len());
        for (cell, who) in cells.iter().zip(who(&self.hash, contributors)?) {
            let next = self.listed.len() as u32;
            let pair = *self.pairs.entry((*cell, who)).or_insert(next);
            if pair == next {
                self.listed.push((*cell, who));
            }
            rows.push(pair);
        }
        for sum in &mut self.sums {
            sum.grow(self.listed.len());
            sum.add(&rows, &args[sum.arg()])?;
        }
        Ok(())
    }

    /// Writes this holder's summands of all comparisons to their columns.
    pub(super) fn write_to(self, totals: &mut LocalTotals) {
        let margins = self.plan.margins();
        let comparisons = self.rules.comparisons(self.plan.locals.len());
        for measure in self.sums {
            let (arg, (values, squares)) = (measure.arg(), measure.into_sums());
            for sum in self.rules.sums.iter().filter(|sum| sum.measure == arg) {
                let added = if sum.squares { &squares } else { &values };
                let added = added.iter().flatten().copied();
                let added = with_totals(self.listed.iter().copied().zip(added), margins.as_ref());
                let shape = (self.plan.shape.cells, sum.shift);
                let cells = largest(&added, shape, most_taken(&comparisons));
                for (at, comparison) in comparisons.iter().enumerate() {
                    let weights = &comparison.of_largest[self.holder];
                    let summand = |cell: &Cell| cell.summand(comparison.of_total, weights, sum);
                    totals.narrow[sum.column + at] = cells.iter().map(summand).collect();
                }
            }
        }
    }
}

/// What is added to each cell by each contributor, in magnitude, totals among the cells.
type Added = HashMap<(usize, Contributor), u128>;

fn with_totals(
    pairs: impl Iterator<Item = ((u32, Contributor), i128)>,
    margins: Option<&Margins>,
) -> Added {
    let above = margins.map(Margins::totals_above);
    // Signed as yet: what a contributor adds to one group can take away what it adds to another.
    let mut signed: HashMap<(usize, Contributor), i128> = HashMap::new();
    for ((cell, who), value) in pairs {
        let cell = cell as usize;
        let totals = above.as_ref().and_then(|above| above.get(cell));
        for cell in totals.into_iter().flatten().chain([&cell]) {
            let sum = signed.entry((*cell, who)).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    let magnitudes = signed.into_iter().map(|(key, v)| (key, v.unsigned_abs()));
    magnitudes.collect()
}

/// The largest contributions to a cell, rounded up, and the sum of all, rounded down.
#[derive(Clone, Default)]
struct Cell {
    total: u128,
    /// In descending order.
    largest: Vec<u128>,
}

fn most_taken(comparisons: &[Comparison]) -> usize {
    let lengths = comparisons
        .iter()
        .flat_map(|c| c.of_largest.iter().map(Vec::len));
    lengths.max().unwrap_or(0)
}

fn largest(added: &Added, (n_cells, shift): (usize, u32), n: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); n_cells];
    for ((cell, _), value) in added {
        let cell = &mut cells[*cell];
        cell.total += value;
        let place = cell.largest.partition_point(|larger| larger >= value);
        if place < n {
            cell.largest.insert(place, *value);
            cell.largest.truncate(n);
        }
    }
    for cell in &mut cells {
        cell.total >>= shift;
        let unit = 1u128 << shift;
        cell.largest.iter_mut().for_each(|v| *v = v.div_ceil(unit));
    }
    cells
}

impl Cell {
    /// A multiple of the total less multiples of the largest contributions, moved up so that it is not negative.
    fn summand(&self, of_total: u64, weights: &[u64], sum: &ComparedSum) -> u64 {
        let taken = self.largest.iter().zip(weights);
        let taken: u128 = taken
            .map(|(value, weight)| value * u128::from(*weight))
            .sum();
        let up = u128::from(of_total) * self.total + u128::from(sum.offset);
        // The plan's bounds leave room for both; a value beyond its range was refused when it was added.
        u64::try_from(up.saturating_sub(taken)).unwrap_or(0)
    }
}
