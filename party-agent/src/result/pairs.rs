//! Covariance, correlation and regression of two columns, from exact totals.
//!
//! With n pairs and C = n·Σxy − Σx·Σy, X = n·Σx² − (Σx)², Y likewise: covariance C / n·(n − d), correlation
//! C / √(X·Y), slope C / X. All three are exact rational numbers, so no digits cancel, and each statistic is
//! rounded once, at the end.

use std::cmp::Ordering;

use super::nat::Nat;
use crate::plan::PairStat;

/// ± `magnitude` / (10^`ten` · 2^`two`), within `off_by` in the same unit.
#[derive(Clone, Debug)]
pub(super) struct Total {
    is_negative: bool,
    magnitude: Nat,
    off_by: Nat,
    ten: u32,
    two: u32,
}

impl Total {
    /// An integer in units of 10^-`ten` · 2^-`two`.
    pub(super) fn new(value: i128, ten: u32, two: u32) -> Self {
        Self {
            is_negative: value < 0,
            magnitude: Nat::from(value.unsigned_abs()),
            off_by: Nat::from(0),
            ten,
            two,
        }
    }

    /// The same with a total that may be off by so many units.
    pub(super) fn within(mut self, units: u64) -> Self {
        self.off_by = Nat::from(u128::from(units));
        self
    }

    fn whole(n: u64) -> Self {
        Self::new(n.into(), 0, 0)
    }

    fn times(&self, other: &Self) -> Self {
        Self {
            is_negative: self.is_negative != other.is_negative,
            magnitude: self.magnitude.times(&other.magnitude),
            off_by: (self.magnitude.times(&other.off_by))
                .plus(&other.magnitude.times(&self.off_by))
                .plus(&self.off_by.times(&other.off_by)),
            ten: self.ten + other.ten,
            two: self.two + other.two,
        }
    }

    fn minus(&self, other: &Self) -> Self {
        let (ten, two) = (self.ten.max(other.ten), self.two.max(other.two));
        let at = |total: &Self, number: &Nat| {
            let scaled = number.times(&Nat::power_of_ten(ten - total.ten));
            scaled.shifted_left(two - total.two)
        };
        let (a, b) = (at(self, &self.magnitude), at(other, &other.magnitude));
        let (is_negative, magnitude) = if self.is_negative != other.is_negative {
            (self.is_negative, a.plus(&b))
        } else {
            match a.minus(&b) {
                Some(difference) => (self.is_negative, difference),
                None => (!self.is_negative, b.minus(&a).expect("b is greater")),
            }
        };
        Self {
            is_negative,
            magnitude,
            off_by: at(self, &self.off_by).plus(&at(other, &other.off_by)),
            ten,
            two,
        }
    }

    /// Equal where it cannot be told from zero.
    fn sign(&self) -> Ordering {
        match (
            self.off_by.minus(&self.magnitude).is_some(),
            self.is_negative,
        ) {
            (true, _) => Ordering::Equal,
            (false, true) => Ordering::Less,
            (false, false) => Ordering::Greater,
        }
    }

    /// Numerator and denominator of the magnitude of `self` / `divisor`.
    fn fraction(&self, divisor: &Self) -> (Nat, Nat) {
        let over = |a: &Self, b: &Self| {
            let scaled = a.magnitude.times(&Nat::power_of_ten(b.ten));
            scaled.shifted_left(b.two)
        };
        (over(self, divisor), over(divisor, self))
    }

    /// `self` / `divisor`, rounded once; `None` for a divisor of 0.
    pub(super) fn ratio(&self, divisor: &Self) -> Option<f64> {
        if divisor.sign() == Ordering::Equal {
            return None;
        }
        let (numerator, denominator) = self.fraction(divisor);
        let magnitude = numerator.ratio(&denominator);
        let is_negative = self.is_negative != divisor.is_negative && magnitude != 0.0;
        Some(if is_negative { -magnitude } else { magnitude })
    }
}

/// The sums over the pairs of one cell.
pub(super) struct Pairs {
    pub(super) n: u64,
    pub(super) y: Total,
    pub(super) x: Total,
    pub(super) yy: Total,
    pub(super) xx: Total,
    pub(super) xy: Total,
}

impl Pairs {
    /// n·Σab − Σa·Σb.
    fn centred(&self, products: &Total, a: &Total, b: &Total) -> Total {
        Total::whole(self.n).times(products).minus(&a.times(b))
    }

    /// Of squares. Doubles that are all alike have none, and rounding at the holders may leave a hair above zero or below it.
    fn spread(&self, squares: &Total, sum: &Total) -> Total {
        let spread = self.centred(squares, sum, sum);
        match spread.sign() {
            Ordering::Less | Ordering::Equal => Total::whole(0),
            Ordering::Greater => spread,
        }
    }

    /// `None` (NULL) where it is not defined.
    pub(super) fn statistic(&self, stat: PairStat) -> Option<f64> {
        let n = Total::whole(self.n);
        let xy = self.centred(&self.xy, &self.x, &self.y);
        let xx = self.spread(&self.xx, &self.x);
        let yy = self.spread(&self.yy, &self.y);
        let over_n = |total: &Total| total.ratio(&n);
        match stat {
            PairStat::Count => Some(self.n as f64),
            PairStat::AvgX => over_n(&self.x),
            PairStat::AvgY => over_n(&self.y),
            PairStat::Sxx => over_n(&xx),
            PairStat::Syy => over_n(&yy),
            PairStat::Sxy => over_n(&xy),
            PairStat::CovarPop => xy.ratio(&n.times(&n)),
            PairStat::CovarSamp => xy.ratio(&n.times(&Total::whole(self.n.saturating_sub(1)))),
            PairStat::Slope => xy.ratio(&xx),
            PairStat::Intercept => {
                let rest = self.y.times(&xx).minus(&xy.times(&self.x));
                rest.ratio(&n.times(&xx))
            }
            PairStat::R2 if yy.sign() == Ordering::Equal && xx.sign() == Ordering::Greater => {
                Some(1.0)
            }
            PairStat::R2 => Some(xy.times(&xy).ratio(&xx.times(&yy))?.min(1.0)),
            PairStat::Corr => correlation(&xy, &xx, &yy),
        }
    }
}

/// xy / √(xx·yy); `None` where a column does not vary.
pub(super) fn correlation(xy: &Total, xx: &Total, yy: &Total) -> Option<f64> {
    let product = xx.times(yy);
    if product.sign() == Ordering::Equal {
        return None;
    }
    let (numerator, denominator) = xy.times(xy).fraction(&product);
    let magnitude = numerator.root_of_ratio(&denominator).min(1.0);
    Some(match xy.sign() {
        Ordering::Less => -magnitude,
        _ => magnitude,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(i128, i128)]) -> Pairs {
        let sum = |f: &dyn Fn(&(i128, i128)) -> i128| Total::new(values.iter().map(f).sum(), 0, 0);
        Pairs {
            n: values.len() as u64,
            y: sum(&|v| v.0),
            x: sum(&|v| v.1),
            yy: sum(&|v| v.0 * v.0),
            xx: sum(&|v| v.1 * v.1),
            xy: sum(&|v| v.0 * v.1),
        }
    }

    #[test]
    fn a_line_is_found_exactly_where_doubles_lose_it() {
        let base = 1i128 << 60;
        let line = pairs(&[(base + 5, base), (base + 3, base + 1), (base + 1, base + 2)]);
        assert_eq!(line.statistic(PairStat::Slope), Some(-2.0));
        assert_eq!(line.statistic(PairStat::Corr), Some(-1.0));
        assert_eq!(line.statistic(PairStat::R2), Some(1.0));
        assert_eq!(line.statistic(PairStat::CovarPop), Some(-4.0 / 3.0));
        assert_eq!(line.statistic(PairStat::CovarSamp), Some(-2.0));
        assert_eq!(line.statistic(PairStat::Sxx), Some(2.0));
        assert_eq!(
            line.statistic(PairStat::Intercept),
            Some((3 * base + 5) as f64)
        );
    }

    #[test]
    fn what_is_not_defined_is_null() {
        let (none, one, flat) = (pairs(&[]), pairs(&[(3, 4)]), pairs(&[(3, 4), (5, 4)]));
        for stat in [PairStat::Corr, PairStat::Slope, PairStat::CovarSamp] {
            assert_eq!(none.statistic(stat), None, "{stat:?}");
            assert_eq!(one.statistic(stat), None, "{stat:?}");
        }
        assert_eq!(one.statistic(PairStat::CovarPop), Some(0.0));
        assert_eq!(flat.statistic(PairStat::Corr), None);
        assert_eq!(none.statistic(PairStat::AvgX), None);
        assert_eq!(none.statistic(PairStat::Count), Some(0.0));
    }

    #[test]
    fn what_rounding_leaves_of_equal_doubles_correlates_with_nothing() {
        // 0.1 three times, in units of 2^-40 and 2^-60, beside 1, 2, 3.
        let x = 0.1f64;
        let total = |value: f64, two: u32| {
            Total::new((value * 2f64.powi(two as i32)).round() as i128, 0, two).within(2)
        };
        let pairs = Pairs {
            n: 3,
            y: Total::new(6, 0, 0),
            x: total(3.0 * x, 40),
            yy: Total::new(14, 0, 0),
            xx: total(3.0 * x * x, 60),
            xy: total(6.0 * x, 50),
        };
        for stat in [PairStat::Corr, PairStat::Slope, PairStat::R2] {
            assert_eq!(pairs.statistic(stat), None, "{stat:?}");
        }
        assert_eq!(pairs.statistic(PairStat::Sxx), Some(0.0));
    }

    #[test]
    fn units_do_not_matter_to_a_correlation() {
        let plain = pairs(&[(1, 7), (4, 2), (6, 9), (9, 3)]);
        let scaled = Pairs {
            n: 4,
            y: Total::new(20 << 3, 0, 3),
            x: Total::new(2100, 2, 0),
            yy: Total::new(134 << 5, 0, 5),
            xx: Total::new(1_430_000, 4, 0),
            xy: Total::new((7 + 8 + 54 + 27) << 7, 0, 7),
        };
        for stat in [PairStat::Corr, PairStat::Slope, PairStat::Intercept] {
            assert_eq!(plain.statistic(stat), scaled.statistic(stat), "{stat:?}");
        }
    }
}
