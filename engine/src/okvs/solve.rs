//! Solving one cluster: peeling, the gap, and back-substitution.
//!
//! A column that occurs in one row alone can take any value, so it is determined last: the row is
//! peeled off, and others may follow. Where every column that is left occurs twice or more, all rows
//! but one of a column with the fewest go to the gap. The gap's rows, with peeled ones added until
//! none of their columns is determined by a row, are equations of the dense columns alone.

use super::rows::{Hasher, Row};
use super::{OkvsError, Size};
use crate::block::{Block, gf128};
use zeroize::Zeroize;

/// Rows in the gap that are counted; far more than any store has dense columns.
const MAX_GAP: usize = 64;

/// Working memory for one cluster, used for one after the other.
pub(super) struct Solver {
    size: Size,
    hashes: Vec<Block>,
    values: Vec<Block>,
    rows: Vec<Row>,
    columns: Vec<Column>,
    /// Peeled rows and the columns that they determine, in the order of peeling.
    peeled: Vec<Peeled>,
    gap: Vec<u32>,
}

/// The rows in which a column occurs and that are not peeled.
#[derive(Clone, Copy, Default)]
struct Column {
    n_rows: u32,
    /// The XOR of their numbers: of a single one, its number.
    rows: u32,
}

#[derive(Clone, Copy)]
struct Peeled {
    row: u32,
    column: u32,
}

impl Solver {
    pub(super) fn new(size: &Size) -> Self {
        Self {
            size: *size,
            hashes: Vec::with_capacity(size.load()),
            values: Vec::with_capacity(size.load()),
            rows: Vec::with_capacity(size.load()),
            columns: vec![Column::default(); size.sparse_columns()],
            peeled: Vec::with_capacity(size.load()),
            gap: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.values.clear();
        self.rows.clear();
        self.columns.fill(Column::default());
        self.peeled.clear();
        self.gap.clear();
    }

    /// Adds hashed keys with their values, which are at the keys' places.
    pub(super) fn load(
        &mut self,
        hasher: &Hasher,
        (hashes, places): (&[Block], &[u32]),
        values: &[Block],
    ) {
        self.hashes.extend_from_slice(hashes);
        self.values
            .extend(places.iter().map(|at| values[*at as usize]));
        hasher.for_each_row(hashes, |_, row| {
            let number = self.rows.len() as u32;
            self.rows.push(row);
            for column in row {
                self.columns[column as usize].add(number);
            }
        });
    }

    /// Determines all columns. Those that no row determines keep what they have.
    pub(super) fn solve(
        &mut self,
        columns: &mut [Block],
        is_filled: bool,
    ) -> Result<(), OkvsError> {
        if self.hashes.len() > self.size.load() {
            self.refuse_duplicates()?;
            return Err(OkvsError::Unlucky);
        }
        self.peel();
        let (sparse, dense) = columns.split_at_mut(self.size.sparse_columns());
        if !self.gap.is_empty() {
            self.close_gap(sparse, dense)?;
        }
        if is_filled || !self.gap.is_empty() {
            gf128::add_polynomial(&mut self.values, &self.hashes, dense);
        }
        for Peeled { row, column } in self.peeled.iter().rev() {
            let [a, b, c] = self.rows[*row as usize].map(|column| sparse[column as usize]);
            // The column's own old value is among the three, and cancels.
            let sum = self.values[*row as usize] ^ a ^ b ^ c;
            sparse[*column as usize] ^= sum;
        }
        Ok(())
    }

    fn peel(&mut self) {
        let is_single = |c: &(usize, &Column)| c.1.n_rows == 1;
        let singles = self.columns.iter().enumerate().filter(is_single);
        let mut singles: Vec<u32> = singles.map(|(at, _)| at as u32).collect();
        loop {
            while let Some(column) = singles.pop() {
                let Column { n_rows, rows: row } = self.columns[column as usize];
                if n_rows == 1 {
                    self.peeled.push(Peeled { row, column });
                    self.remove(row, &mut singles);
                }
            }
            // A gap that cannot be closed need not be complete.
            let is_done = self.peeled.len() + self.gap.len() == self.rows.len();
            if is_done || self.gap.len() > MAX_GAP {
                break;
            }
            self.widen_gap(&mut singles);
        }
    }

    /// Takes a row out of its columns.
    fn remove(&mut self, row: u32, singles: &mut Vec<u32>) {
        for at in self.rows[row as usize] {
            let column = &mut self.columns[at as usize];
            column.remove(row);
            if column.n_rows == 1 {
                singles.push(at);
            }
        }
    }

    /// Leaves one row in a column that has the fewest, and moves its others to the gap. This is
    /// rare and concerns few rows, so it looks at all of them.
    fn widen_gap(&mut self, singles: &mut Vec<u32>) {
        let in_use = self.columns.iter().zip(0..).filter(|(c, _)| c.n_rows > 0);
        let (_, column) = in_use
            .min_by_key(|(c, _)| c.n_rows)
            .expect("rows are left, and every row has columns");
        let mut is_left = vec![true; self.rows.len()];
        let gone = self
            .peeled
            .iter()
            .map(|p| p.row)
            .chain(self.gap.iter().copied());
        gone.for_each(|row| is_left[row as usize] = false);
        let has_column =
            |row: &u32| is_left[*row as usize] && self.rows[*row as usize].contains(&column);
        let rows: Vec<u32> = (0..self.rows.len() as u32).filter(has_column).collect();
        for row in &rows[1..] {
            self.gap.push(*row);
            self.remove(*row, singles);
        }
    }

    /// Determines the dense columns so that the gap's rows hold whatever the sparse ones become.
    fn close_gap(&mut self, sparse: &[Block], dense: &mut [Block]) -> Result<(), OkvsError> {
        self.refuse_duplicates()?;
        if self.gap.len() > self.size.dense_columns().min(MAX_GAP) {
            return Err(OkvsError::Unlucky);
        }
        let equations = self.equations(sparse);
        solve_dense(equations, dense)
    }

    /// Equal keys have equal rows, and all but one of those end in the gap, or in an overfull cluster.
    fn refuse_duplicates(&self) -> Result<(), OkvsError> {
        let mut hashes: Vec<u128> = self.hashes.iter().map(|hash| hash.0).collect();
        hashes.sort_unstable();
        let is_repeated = hashes.windows(2).any(|pair| pair[0] == pair[1]);
        hashes.zeroize();
        match is_repeated {
            true => Err(OkvsError::Duplicate),
            false => Ok(()),
        }
    }

    /// The gap's rows with peeled rows added, in the order of peeling, until no column is left that
    /// a row determines. What is left of undetermined columns goes to the value.
    fn equations(&self, sparse: &[Block]) -> Vec<Equation> {
        let equation = |row: &u32| self.equation(*row as usize);
        let mut equations: Vec<Equation> = self.gap.iter().map(equation).collect();
        // Bit g of a column's mask: the column occurs in equation g.
        let mut masks = vec![0u64; sparse.len()];
        for (g, row) in self.gap.iter().enumerate() {
            for column in self.rows[*row as usize] {
                masks[column as usize] ^= 1 << g;
            }
        }
        for Peeled { row, column } in &self.peeled {
            let mask = masks[*column as usize];
            if mask == 0 {
                continue;
            }
            for column in self.rows[*row as usize] {
                masks[column as usize] ^= mask;
            }
            let added = self.equation(*row as usize);
            for (g, equation) in equations.iter_mut().enumerate() {
                if mask >> g & 1 == 1 {
                    equation.add(&added, gf128::ONE);
                }
            }
        }
        for (mask, column) in masks.iter().zip(sparse) {
            for (g, equation) in equations.iter_mut().enumerate() {
                equation.value ^= column.masked(mask >> g);
            }
        }
        equations
    }

    /// The dense part of a row.
    fn equation(&self, row: usize) -> Equation {
        let mut power = gf128::ONE;
        let coefficient = |_| {
            power = gf128::mul(power, self.hashes[row]);
            power
        };
        Equation {
            coefficients: (0..self.size.dense_columns()).map(coefficient).collect(),
            value: self.values[row],
        }
    }
}

impl Column {
    fn add(&mut self, row: u32) {
        self.n_rows += 1;
        self.rows ^= row;
    }

    fn remove(&mut self, row: u32) {
        self.n_rows -= 1;
        self.rows ^= row;
    }
}

/// Σ_j coefficient_j·D[j] = value.
struct Equation {
    coefficients: Vec<Block>,
    value: Block,
}

impl Equation {
    fn add(&mut self, other: &Self, factor: Block) {
        gf128::add_scaled(&mut self.coefficients, &other.coefficients, factor);
        self.value ^= gf128::mul(factor, other.value);
    }

    fn scale(&mut self, factor: Block) {
        for coefficient in &mut self.coefficients {
            *coefficient = gf128::mul(*coefficient, factor);
        }
        self.value = gf128::mul(self.value, factor);
    }
}

/// Gauss and Jordan. Dense columns that no equation determines keep what they have.
fn solve_dense(mut equations: Vec<Equation>, dense: &mut [Block]) -> Result<(), OkvsError> {
    let mut pivots = Vec::new();
    for at in 0..equations.len() {
        let (done, rest) = equations.split_at_mut(at);
        let (this, after) = rest.split_first_mut().expect("`at` is a position");
        let pivot = this.coefficients.iter().position(|c| *c != Block::ZERO);
        let pivot = pivot.ok_or(OkvsError::Unlucky)?;
        this.scale(gf128::invert(this.coefficients[pivot]));
        for other in done.iter_mut().chain(after) {
            let factor = other.coefficients[pivot];
            other.add(this, factor);
        }
        pivots.push(pivot);
    }
    for (equation, pivot) in equations.iter().zip(&pivots) {
        let mut sum = equation.value;
        for (at, coefficient) in equation.coefficients.iter().enumerate() {
            if !pivots.contains(&at) {
                sum ^= gf128::mul(*coefficient, dense[at]);
            }
        }
        dense[*pivot] = sum;
    }
    Ok(())
}

impl Drop for Solver {
    fn drop(&mut self) {
        self.hashes.zeroize();
        self.values.zeroize();
    }
}
