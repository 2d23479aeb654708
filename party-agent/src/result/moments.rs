//! Sums, means, variances and deviations from exact totals.
//!
//! With n values, S = Σx and Q = Σx² as integers in units of u and v: mean = S·u / n,
//! variance = (n·Q·v − S²·u²) / (n·(n − d)), d = 1 for a sample and 0 for a population. The numerator is an exact
//! integer, so no digits cancel, and there is one rounding, of the quotient (or of its root).

use super::nat::Nat;

/// One measure's totals in one cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) n: u64,
    pub(super) sum: i128,
    pub(super) squares: i128,
    pub(super) unit: Unit,
}

/// What one unit of a total is worth.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// Sum in 10^-scale, squares in 10^-2·scale: exact.
    Decimal { scale: u32 },
    /// Sum in 10^-scale · 2^-sum, squares in 10^-2·scale · 2^-squares, each rounded once by every holder.
    Binary {
        sum: u32,
        squares: u32,
        scale: u32,
        holders: u32,
    },
}

impl Moments {
    /// AVG; `None` (NULL) without values.
    pub(super) fn mean(&self) -> Option<f64> {
        let unit = match self.unit {
            Unit::Decimal { scale } => Nat::power_of_ten(scale),
            Unit::Binary { sum, scale, .. } => Nat::power_of_ten(scale).shifted_left(sum),
        };
        let divisor = Nat::from(u128::from(self.n)).times(&unit);
        let magnitude = (self.n > 0).then(|| Nat::from(self.sum.unsigned_abs()).ratio(&divisor))?;
        // Not -0, which a mean of 0 is not.
        Some(if self.sum < 0 { -magnitude } else { magnitude })
    }

    /// SUM of doubles; `None` (NULL) without values.
    pub(super) fn float_sum(&self) -> Option<f64> {
        let Unit::Binary { sum, scale, .. } = self.unit else {
            return None;
        };
        let unit = 2f64.powi(-(sum as i32));
        (self.n > 0).then(|| self.sum as f64 * unit / 10f64.powi(scale as i32))
    }

    /// VAR_*; `None` (NULL) where it is not defined.
    pub(super) fn variance(&self, is_sample: bool) -> Option<f64> {
        let (numerator, divisor) = self.quotient(is_sample)?;
        Some(numerator.ratio(&divisor))
    }

    /// STDDEV_*; `None` (NULL) where it is not defined.
    pub(super) fn deviation(&self, is_sample: bool) -> Option<f64> {
        let (numerator, divisor) = self.quotient(is_sample)?;
        Some(numerator.root_of_ratio(&divisor))
    }

    /// Whether totals like these can come from numbers at all.
    pub(super) fn is_possible(&self) -> bool {
        match self.unit {
            Unit::Decimal { .. } => self.squares >= 0 && self.centred().is_some(),
            Unit::Binary { .. } => self.squares >= 0,
        }
    }

    fn quotient(&self, is_sample: bool) -> Option<(Nat, Nat)> {
        let n = u128::from(self.n);
        let divisor = n.checked_sub(u128::from(is_sample)).filter(|&d| d > 0)?;
        let divisor = Nat::from(n).times(&Nat::from(divisor));
        // Doubles that are all alike have no variance, and rounding at the holders may leave a hair above zero or below it.
        let rounding = self.rounding();
        let spread = self.centred().filter(|c| rounding.minus(c).is_none());
        let numerator = spread.unwrap_or_else(|| Nat::from(0));
        let divisor = match self.unit {
            Unit::Decimal { scale } => divisor.times(&Nat::power_of_ten(2 * scale)),
            Unit::Binary {
                sum,
                squares,
                scale,
                ..
            } => divisor
                .times(&Nat::power_of_ten(2 * scale))
                .shifted_left((2 * sum).max(squares)),
        };
        Some((numerator, divisor))
    }

    /// n·Q − S² in the finer of the units, or `None` if it is negative.
    fn centred(&self) -> Option<Nat> {
        let sum = Nat::from(self.sum.unsigned_abs());
        let square_of_sum = sum.times(&sum);
        let squares = Nat::from(u128::from(self.n)).times(&Nat::from(self.squares.unsigned_abs()));
        match self.unit {
            Unit::Decimal { .. } => squares.minus(&square_of_sum),
            Unit::Binary {
                sum, squares: bits, ..
            } => {
                let common = (2 * sum).max(bits);
                squares
                    .shifted_left(common - bits)
                    .minus(&square_of_sum.shifted_left(common - 2 * sum))
            }
        }
    }

    /// What the holders' roundings can make of n·Q − S², in its unit: each of the totals is off by a unit of each holder at most.
    fn rounding(&self) -> Nat {
        let Unit::Binary {
            sum,
            squares: bits,
            holders,
            ..
        } = self.unit
        else {
            return Nat::from(0);
        };
        let common = (2 * sum).max(bits);
        let off_by = Nat::from(u128::from(holders));
        let of_squares = Nat::from(u128::from(self.n)).times(&off_by);
        let of_sum = Nat::from(self.sum.unsigned_abs()).shifted_left(1);
        let of_sum = of_sum.plus(&off_by).times(&off_by);
        of_squares
            .shifted_left(common - bits)
            .plus(&of_sum.shifted_left(common - 2 * sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(values: &[i128], scale: u32) -> Moments {
        let squares = values.iter().map(|v| v * v).sum();
        Moments {
            n: values.len() as u64,
            sum: values.iter().sum(),
            squares,
            unit: Unit::Decimal { scale },
        }
    }

    #[test]
    fn small_groups_follow_sql() {
        let none = exact(&[], 0);
        assert_eq!(
            (none.mean(), none.variance(true), none.variance(false)),
            (None, None, None)
        );
        let one = exact(&[7], 0);
        assert_eq!(
            (one.mean(), one.variance(true), one.variance(false)),
            (Some(7.0), None, Some(0.0))
        );
        let two = exact(&[-150, 150], 2);
        assert_eq!(two.mean().map(f64::to_bits), Some(0f64.to_bits()));
        assert_eq!(
            (two.variance(true), two.deviation(false)),
            (Some(4.5), Some(1.5))
        );
    }

    #[test]
    fn nothing_cancels() {
        // A large mean and a variance of exactly 2/3: doubles lose it all.
        let base = 1i128 << 62;
        let values = exact(&[base, base + 1, base + 2], 0);
        assert_eq!(values.variance(false), Some(2.0 / 3.0));
        assert_eq!(values.variance(true), Some(1.0));
    }

    #[test]
    fn fixed_point_totals_of_equal_doubles_have_no_variance() {
        let (sum, squares) = (40u32, 30u32);
        let x = 0.1f64;
        let total = (3.0 * x * 2f64.powi(sum as i32)).round() as i128;
        let below = (3.0 * x * x * 2f64.powi(squares as i32)).floor() as i128;
        let moments = Moments {
            n: 3,
            sum: total,
            squares: below,
            unit: Unit::Binary {
                sum,
                squares,
                scale: 0,
                holders: 2,
            },
        };
        assert!(moments.is_possible());
        assert_eq!(moments.variance(true), Some(0.0));
        let above = Moments {
            squares: below + 1,
            ..moments
        };
        assert_eq!(above.variance(true), Some(0.0));
        assert_eq!(above.deviation(false), Some(0.0));
        let apart = Moments {
            squares: below + 100,
            ..moments
        };
        assert!(apart.variance(true) > Some(0.0));
        assert_eq!(moments.float_sum(), Some(total as f64 / 2f64.powi(40)));
    }
}
