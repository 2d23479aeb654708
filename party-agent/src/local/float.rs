//! Sums of doubles in fixed point, the same whatever the order of the rows.
//!
//! A double is an integer times a power of two, and so is its square. Each is added exactly, down to 2^-64 of
//! the unit of the result; the cell's total is rounded once, at the end. With n values the total is off by at
//! most 1/2 + n/2^64 units of the last place.

use arrow::array::{Array, Float64Array};

use super::exact::Refused;

/// Sums and sums of squares by cell.
pub(super) struct FloatTotals {
    low: f64,
    high: f64,
    /// No value but 0 is nearer to 0.
    least: f64,
    sums: Option<FixedColumn>,
    squares: Option<FixedColumn>,
}

/// Totals at a number of fractional bits, each with 64 more behind them.
struct FixedColumn {
    frac_bits: u32,
    cells: Vec<Fixed>,
}

/// `whole` + `rest` / 2^64.
#[derive(Clone, Copy, Default)]
struct Fixed {
    whole: i128,
    rest: u64,
}

impl FloatTotals {
    /// `sum` and `squares` are the fractional bits of the totals that are wanted.
    pub(super) fn new(
        low: f64,
        high: f64,
        sum: Option<u32>,
        squares: Option<u32>,
        n_cells: usize,
    ) -> Self {
        let column = |frac_bits: Option<u32>| {
            frac_bits.map(|frac_bits| FixedColumn {
                frac_bits,
                cells: vec![Fixed::default(); n_cells],
            })
        };
        Self {
            low,
            high,
            least: 0.0,
            sums: column(sum),
            squares: column(squares),
        }
    }

    /// The same for values that are 0 or no nearer to it than `least`.
    pub(super) fn at_least(self, least: f64) -> Self {
        Self { least, ..self }
    }

    /// Makes room for more cells.
    pub(super) fn grow(&mut self, n_cells: usize) {
        for column in [&mut self.sums, &mut self.squares].into_iter().flatten() {
            column.cells.resize(n_cells, Fixed::default());
        }
    }

    /// Adds the values that are not NULL to their cells.
    pub(super) fn add(&mut self, cells: &[u32], values: &Float64Array) -> Result<(), Refused> {
        let rows = values.values();
        match values.nulls().filter(|n| n.null_count() > 0) {
            None => self.add_rows(|| cells.iter().copied().zip(rows.iter().copied())),
            Some(nulls) => {
                self.add_rows(|| nulls.valid_indices().map(|row| (cells[row], rows[row])))
            }
        }
    }

    /// `rows` gives the cells and values anew for each pass over the batch.
    fn add_rows<I>(&mut self, rows: impl Fn() -> I) -> Result<(), Refused>
    where
        I: Iterator<Item = (u32, f64)>,
    {
        let (low, high) = (self.low, self.high);
        // False for NaN as well.
        let in_range = |v: f64| (low <= v) & (v <= high);
        if !rows().fold(true, |all, (_, v)| all & in_range(v)) {
            let is_finite = rows().all(|(_, v)| v.is_finite());
            return Err(if is_finite {
                Refused::OutOfRange
            } else {
                Refused::NotFinite
            });
        }
        if self.least > 0.0 && !rows().all(|(_, v)| v == 0.0 || v.abs() >= self.least) {
            return Err(Refused::NearZero);
        }
        let mut is_exact = true;
        if let Some(FixedColumn { frac_bits, cells }) = &mut self.sums {
            for (cell, value) in rows() {
                let (mantissa, exponent) = parts(value);
                is_exact &=
                    cells[cell as usize].add(shifted(mantissa, exponent + *frac_bits as i32));
            }
        }
        if let Some(FixedColumn { frac_bits, cells }) = &mut self.squares {
            for (cell, value) in rows() {
                let (mantissa, exponent) = parts(value);
                let square = u128::from(mantissa.unsigned_abs()).pow(2);
                let shift = 2 * exponent + *frac_bits as i32;
                is_exact &= cells[cell as usize].add(shifted_square(square, shift));
            }
        }
        if is_exact {
            Ok(())
        } else {
            Err(Refused::Overflow)
        }
    }

    pub(super) fn into_totals(self) -> (Option<Vec<i128>>, Option<Vec<i128>>) {
        let round = |column: FixedColumn| column.cells.into_iter().map(Fixed::rounded).collect();
        (self.sums.map(round), self.squares.map(round))
    }
}

impl Fixed {
    /// Whether the total still fits.
    fn add(&mut self, term: Option<Self>) -> bool {
        let Some(term) = term else { return false };
        let (rest, carry) = self.rest.overflowing_add(term.rest);
        let (whole, wrapped) = self.whole.overflowing_add(term.whole);
        let (whole, wrapped_again) = whole.overflowing_add(i128::from(carry));
        *self = Self { whole, rest };
        !(wrapped | wrapped_again)
    }

    /// To the nearest integer, ties to even.
    fn rounded(self) -> i128 {
        const HALF: u64 = 1 << 63;
        let up = self.rest > HALF || (self.rest == HALF && self.whole & 1 == 1);
        self.whole + i128::from(up)
    }
}

/// A finite double as an integer of at most 53 bits times 2^exponent.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let (biased, fraction) = ((bits >> 52) & 0x7FF, bits & ((1 << 52) - 1));
    let (magnitude, exponent) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, biased as i32 - 1075),
    };
    let magnitude = magnitude as i64;
    (
        if value.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        },
        exponent,
    )
}

/// `mantissa` · 2^`shift`, rounded down to a multiple of 2^-64; `None` if it does not fit.
fn shifted(mantissa: i64, shift: i32) -> Option<Fixed> {
    if shift >= 0 {
        // 53 bits and a sign, moved up by at most 73.
        let fits = shift <= 73 || mantissa == 0;
        return fits.then(|| Fixed {
            whole: i128::from(mantissa) << shift.min(73),
            rest: 0,
        });
    }
    let moved = (i128::from(mantissa) << 64) >> (-shift).min(127);
    Some(Fixed {
        whole: moved >> 64,
        rest: moved as u64,
    })
}

/// The same for a square: at most 106 bits, not negative.
fn shifted_square(square: u128, shift: i32) -> Option<Fixed> {
    if square == 0 {
        return Some(Fixed::default());
    }
    if shift >= 0 {
        let fits = shift < 127 && square.leading_zeros() as i32 > shift;
        return fits.then(|| Fixed {
            whole: (square << shift) as i128,
            rest: 0,
        });
    }
    let down = -shift as u32;
    let whole = if down < 128 { square >> down } else { 0 };
    let rest = match down {
        0..=64 => square.wrapping_shl(64 - down) as u64,
        65..=191 => (square >> (down - 64)) as u64,
        _ => 0,
    };
    // Only shifts of at least 65 can leave a part above the 64 bits of the rest in the second arm, and that
    // part is in `whole` already: the cast keeps the low 64 bits.
    Some(Fixed {
        whole: whole as i128,
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(values: &[f64], frac_bits: u32) -> (i128, i128) {
        let mut totals = FloatTotals::new(f64::MIN, f64::MAX, Some(frac_bits), Some(frac_bits), 1);
        totals
            .add(&vec![0; values.len()], &Float64Array::from(values.to_vec()))
            .expect("fits");
        let (sums, squares) = totals.into_totals();
        (sums.expect("wanted")[0], squares.expect("wanted")[0])
    }

    #[test]
    fn totals_of_dyadic_numbers_are_exact() {
        assert_eq!(total(&[1.5, -0.25], 8), (320, 592));
        assert_eq!(
            total(&[1e15, 1.0, -1e15], 0),
            (1, 2_000_000_000_000_000_000_000_000_000_001)
        );
        assert_eq!(total(&[-0.0, f64::MIN_POSITIVE, 5e-324], 40), (0, 0));
        assert_eq!(total(&[0.5], 0), (0, 0));
        assert_eq!(total(&[1.5], 0), (2, 2));
        assert_eq!(total(&[-0.5, -1.0], 0), (-2, 1));
    }

    #[test]
    fn squares_keep_their_low_bits() {
        // (2^52 + 1)^2 = 2^104 + 2^53 + 1 needs 105 bits.
        let value = (1u64 << 52) as f64 + 1.0;
        assert_eq!(total(&[value], 0).1, (1 << 104) + (1 << 53) + 1);
        assert_eq!(
            total(&[value / 2f64.powi(52)], 104).1,
            (1 << 104) + (1 << 53) + 1
        );
        for down in 0..240 {
            let square = shifted_square((1 << 105) | 1, -down).expect("fits");
            let expected = if down == 0 {
                (1i128 << 105) | 1
            } else {
                (1i128 << 105).unbounded_shr(down as u32)
            };
            assert_eq!(square.whole, expected, "shift by {down}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut totals = FloatTotals::new(f64::MIN, f64::MAX, Some(100), None, 1);
        assert_eq!(
            totals.add(&[0], &Float64Array::from(vec![1e12])),
            Err(Refused::Overflow)
        );
        let mut bounded = FloatTotals::new(-1.0, 1.0, Some(10), None, 1);
        assert_eq!(
            bounded.add(&[0], &Float64Array::from(vec![1.5])),
            Err(Refused::OutOfRange)
        );
        assert_eq!(
            bounded.add(&[0], &Float64Array::from(vec![f64::NAN])),
            Err(Refused::NotFinite)
        );
        assert_eq!(
            bounded.add(&[0], &Float64Array::from(vec![f64::INFINITY])),
            Err(Refused::NotFinite)
        );
    }
}
