//! The same rules for sums over a join: a contributor is a key, and what it adds to a cell, over all holders, stands in its bin.
//! The total and the largest are found there on shares (`protocols::join::largest`), so there is nothing to assign to holders.

use super::{Comparison, DominancePlan, Rules, fault, largest_total};
use crate::plan::{CellCheck, ComparedSum, Measure, PlanFault, ReleaseRule, RingWidth, Shape};

/// Numbers that are compared stay below 2 to this power.
const MAX_BITS: u32 = 62;

/// What is known of contributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Contributed {
    /// None is 2 to this power or more, in magnitude.
    pub(in crate::plan) bits: u32,
    /// Whether one can be negative.
    pub(in crate::plan) signed: bool,
}

impl DominancePlan {
    /// The comparisons of every sum over a join, in smallest numbers.
    #[must_use]
    pub fn comparisons_of_keys(&self) -> Vec<Comparison> {
        let all = self.comparisons(1).into_iter();
        all.map(Comparison::reduced).collect()
    }

    /// How many of the largest contributions to a sum the comparisons take.
    #[must_use]
    pub fn n_largest(&self) -> usize {
        let all = self.comparisons(1);
        let lengths = all.iter().map(|c| c.largest().len());
        lengths.max().unwrap_or(0)
    }
}

impl Comparison {
    /// How often each of the largest is taken off, of those of all holders together.
    fn largest(&self) -> &[u64] {
        self.of_largest.first().map_or(&[], Vec::as_slice)
    }

    /// Divided by what all its weights have in common.
    fn reduced(mut self) -> Self {
        let all = self.of_largest.iter().flatten();
        let common = all.fold(self.of_total, |a, b| greatest_common(a, *b));
        if common > 1 {
            self.of_total /= common;
            let all = self.of_largest.iter_mut().flatten();
            all.for_each(|weight| *weight /= common);
        }
        self
    }

    /// How far the number can be below 0 and above, for a sum of magnitudes of so much at most: no contribution is
    /// more than all together.
    fn reaches(&self, most: u128) -> Option<(u128, u128)> {
        let heaviest = self.largest().iter().max().copied().unwrap_or(0);
        let below = u128::from(heaviest.saturating_sub(self.of_total));
        Some((
            below.checked_mul(most)?,
            u128::from(self.of_total).checked_mul(most)?,
        ))
    }

    /// This seat's share of the number: of the total less those of the largest, in descending order.
    #[must_use]
    pub fn of_shares(&self, total: u64, largest: impl Iterator<Item = u64>) -> u64 {
        let taken = self.largest().iter().zip(largest);
        let taken = taken.map(|(weight, share)| weight.wrapping_mul(share));
        let all = total.wrapping_mul(self.of_total);
        all.wrapping_sub(taken.fold(0, u64::wrapping_add))
    }
}

fn greatest_common(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        _ => greatest_common(b, a % b),
    }
}

impl Rules {
    /// Gives every sum its columns, which are compared and opened to nobody, and the shape the checks on them. The sums come in
    /// the order of these columns.
    ///
    /// # Errors
    /// Sums that are too large to be compared.
    pub(in crate::plan) fn over_join(
        self,
        shape: &mut Shape,
        measures: &[Measure],
        rows: u64,
    ) -> Result<(DominancePlan, Contributed), PlanFault> {
        if shape.hidden.is_some() || shape.rule != ReleaseRule::Compare {
            let what = "rules about dominance are there for public groups, with a minimum cell";
            return Err(fault(what, "declare the groups under [compute.domain]"));
        }
        let args = self.args.clone();
        let mut plan = DominancePlan {
            joined: true,
            ..self.without_sums()
        };
        let comparisons = plan.comparisons_of_keys();
        let mut contributed = Contributed {
            bits: 1,
            signed: false,
        };
        for measure in args.iter().map(|arg| &measures[*arg]) {
            for (slot, squares) in [(measure.sum, false), (measure.sum_sq, true)] {
                let Some(slot) = slot else {
                    continue;
                };
                let most = largest_total(measure, squares, rows);
                let most = most.filter(|_| slot.ring == RingWidth::Narrow && slot.scale == 0);
                let bounds = most.and_then(|most| bounds(&comparisons, most));
                let Some((most, offset, above)) = bounds else {
                    return Err(too_large(measure));
                };
                let is_negative = measure.range.low.starts_with('-');
                contributed.signed |= is_negative && !squares;
                contributed.bits = contributed.bits.max(u128::BITS - most.leading_zeros());
                let sum = ComparedSum {
                    measure: measure.arg,
                    squares,
                    column: shape.narrow,
                    shift: 0,
                    offset,
                };
                shape.narrow += comparisons.len();
                shape.compared += comparisons.len();
                let check = |(at, comparison): (usize, &Comparison)| CellCheck {
                    column: sum.column + at,
                    at_least: offset,
                    bound_bits: u64::BITS - above.leading_zeros(),
                    rule: comparison.in_words(measure, squares),
                    reason: "dominance".to_owned(),
                };
                let checks = comparisons.iter().enumerate().map(check);
                shape.checks.extend(checks);
                plan.sums.push(sum);
            }
        }
        Ok((plan, contributed))
    }
}

/// The most that contributions add up to, by how much numbers are moved up so that none is negative, and the most that they
/// are then.
fn bounds(comparisons: &[Comparison], most: u128) -> Option<(u128, u64, u64)> {
    let (mut below, mut above) = (0, 0);
    for comparison in comparisons {
        let reaches = comparison.reaches(most)?;
        below = below.max(reaches.0);
        above = above.max(reaches.1);
    }
    let above = above.checked_add(below)?;
    let fits = above >> MAX_BITS == 0;
    let (offset, above) = (u64::try_from(below).ok()?, u64::try_from(above).ok()?);
    fits.then_some((most, offset, above))
}

fn too_large(measure: &Measure) -> PlanFault {
    let what = format!(
        "by published sizes and ranges, {} is too large a sum over a join to compare with what single contributors add to it: sums up to about 2^58 can be",
        measure.label
    );
    fault(
        what,
        "write max_rows in the job, ask the holders to declare a shorter range, or CAST floating-point numbers AS DECIMAL with few digits",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{DominancePlan, TopShare};

    fn plan(p_percent: Option<u64>, top: Option<(u64, u64)>) -> DominancePlan {
        DominancePlan {
            contributor: "id".to_owned(),
            elsewhere: true,
            joined: true,
            p_percent,
            top: (top.into_iter())
                .map(|(n, percent)| TopShare { n, percent })
                .collect(),
            sums: Vec::new(),
        }
    }

    /// The definition, in whole numbers of arbitrary size.
    fn holds(plan: &DominancePlan, contributions: &[u64]) -> bool {
        let mut sorted: Vec<i128> = contributions.iter().map(|c| i128::from(*c)).collect();
        sorted.sort_unstable_by_key(|c| -c);
        let total: i128 = sorted.iter().sum();
        let first = |n: usize| sorted.iter().take(n).sum::<i128>();
        let p = plan
            .p_percent
            .is_none_or(|p| 100 * (total - first(2)) >= i128::from(p) * first(1));
        let mut top = plan.top.iter();
        p && top.all(|t| 100 * first(t.n as usize) <= i128::from(t.percent) * total)
    }

    #[test]
    fn numbers_that_are_not_negative_are_rules_that_hold() {
        let plans = [
            plan(Some(10), None),
            plan(Some(7), Some((3, 80))),
            plan(None, Some((1, 45))),
            plan(Some(100), Some((4, 99))),
        ];
        for plan in plans {
            for seed in 0u64..4000 {
                let n = seed % 7;
                let value = |i: u64| seed.wrapping_mul(i * i + 77).wrapping_mul(0x9E37_79B9) >> 40;
                let contributions: Vec<u64> = (0..n).map(|i| value(i) % (1 + seed % 90)).collect();
                let mut sorted = contributions.clone();
                sorted.sort_unstable_by_key(|c| std::cmp::Reverse(*c));
                let total = contributions.iter().sum();
                let numbers = plan.comparisons_of_keys().into_iter().map(|comparison| {
                    let number = comparison.of_shares(total, sorted.iter().copied());
                    let (below, above) = comparison.reaches(total.into()).expect("small numbers");
                    let number = i128::from(number.cast_signed());
                    assert!(-(below as i128) <= number && number <= above as i128);
                    number >= 0
                });
                let passes = numbers.fold(true, |all, one| all & one);
                assert_eq!(
                    passes,
                    holds(&plan, &contributions),
                    "{plan:?} {contributions:?}"
                );
            }
        }
        assert_eq!(plan(Some(10), None).n_largest(), 2);
        assert_eq!(plan(Some(10), Some((4, 50))).n_largest(), 4);
        let small = &plan(Some(10), None).comparisons_of_keys()[0];
        assert_eq!((small.of_total, small.largest()), (10, &[11, 10][..]));
    }
}
