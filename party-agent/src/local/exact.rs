//! Sums of integers and decimals, exact in 128 bits.

use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};

/// Sums and sums of squares by cell.
pub(super) struct ExactTotals {
    low: i128,
    high: i128,
    /// Whether a value beyond counts as the bound.
    clamps: bool,
    sums: Option<Vec<i128>>,
    squares: Option<Vec<i128>>,
}

/// Why a value cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Outside the range that the plan was made for.
    OutOfRange,
    /// NaN or infinite.
    NotFinite,
    /// A quotient's factor is nearer to 0 than its digits allow.
    NearZero,
    /// The total would not fit: the plan's row bound or range is wrong.
    Overflow,
}

impl ExactTotals {
    pub(super) fn new(low: i128, high: i128, sum: bool, squares: bool, n_cells: usize) -> Self {
        let column = |wanted: bool| wanted.then(|| vec![0; n_cells]);
        Self {
            low,
            high,
            clamps: false,
            sums: column(sum),
            squares: column(squares),
        }
    }

    /// The same where a value outside the range counts as the bound, and is no fault.
    pub(super) fn clamping(self) -> Self {
        Self {
            clamps: true,
            ..self
        }
    }

    /// Makes room for more cells.
    pub(super) fn grow(&mut self, n_cells: usize) {
        for column in [&mut self.sums, &mut self.squares].into_iter().flatten() {
            column.resize(n_cells, 0);
        }
    }

    /// Adds the values that are not NULL, each times `factor`, to their cells.
    pub(super) fn add<T: ArrowPrimitiveType>(
        &mut self,
        cells: &[u32],
        values: &PrimitiveArray<T>,
        factor: i128,
    ) -> Result<(), Refused>
    where
        T::Native: Into<i128>,
    {
        let rows = values.values();
        match values.nulls().filter(|n| n.null_count() > 0) {
            None => self.add_rows(factor, || {
                let all = cells.iter().zip(rows);
                all.map(|(&cell, &value)| (cell, value.into()))
            }),
            Some(nulls) => self.add_rows(factor, || {
                let valid = nulls.valid_indices();
                valid.map(|row| (cells[row], rows[row].into()))
            }),
        }
    }

    /// `rows` gives the cells and values anew for each pass over the batch.
    fn add_rows<I>(&mut self, factor: i128, rows: impl Fn() -> I) -> Result<(), Refused>
    where
        I: Iterator<Item = (u32, i128)>,
    {
        // A value whose product leaves 128 bits is far outside any range.
        let (low, high, clamps) = (self.low, self.high, self.clamps);
        let bounded = |value: i128| {
            if clamps {
                value.clamp(low, high)
            } else {
                value
            }
        };
        let scaled = |value: i128| bounded(value.saturating_mul(factor));
        let rows = || rows().map(|(cell, value)| (cell as usize, scaled(value)));
        if !rows().fold(true, |all, (_, v)| all & (low <= v) & (v <= high)) {
            return Err(Refused::OutOfRange);
        }
        let mut is_exact = true;
        if let Some(sums) = &mut self.sums {
            for (cell, value) in rows() {
                let (sum, wrapped) = sums[cell].overflowing_add(value);
                sums[cell] = sum;
                is_exact &= !wrapped;
            }
        }
        if let Some(squares) = &mut self.squares {
            for (cell, value) in rows() {
                let (square, too_wide) = value.overflowing_mul(value);
                let (sum, wrapped) = squares[cell].overflowing_add(square);
                squares[cell] = sum;
                is_exact &= !(too_wide | wrapped);
            }
        }
        if is_exact {
            Ok(())
        } else {
            Err(Refused::Overflow)
        }
    }

    pub(super) fn into_totals(self) -> (Option<Vec<i128>>, Option<Vec<i128>>) {
        (self.sums, self.squares)
    }
}
