//! What a holder brings to an aggregate over a join.

use super::shape::{Holder, Relation};
use crate::psi::circuit::Rows;
use engine::ring::Ring;
use zeroize::Zeroizing;

/// One row for each of a holder's keys, which are distinct.
///
/// Of the hub's keys each can stand in few of many cells, the times of a follow-up for example: then a column has a
/// value for each of a few slots instead of one for each cell, so that memory goes by keys and not by keys times cells.
pub struct Inputs {
    /// Flags come first; each column has all its cells (`column·cells + cell`), or all its slots.
    pub rows: Rows,
    /// Of each slot, the cell of every key; the number of cells where the slot is empty. No cell of a key is in two
    /// slots. At the hub alone; `None`: all cells in their order.
    pub slots: Option<Zeroizing<Vec<Vec<u32>>>>,
}

impl From<Rows> for Inputs {
    fn from(rows: Rows) -> Self {
        Self { rows, slots: None }
    }
}

impl Inputs {
    /// A key's number over Z_2^64 in a column at a cell, of so many.
    #[must_use]
    pub fn narrow(&self, (column, cell, cells): (usize, usize, usize), row: usize) -> u64 {
        let at = self.place(cell, row);
        at.map_or(0, |at| {
            self.rows.narrow[column * self.per_column(cells) + at][row]
        })
    }

    /// A key's number over Z_2^128, likewise.
    #[must_use]
    pub fn wide(&self, (column, cell, cells): (usize, usize, usize), row: usize) -> u128 {
        let at = self.place(cell, row);
        at.map_or(0, |at| {
            self.rows.wide[column * self.per_column(cells) + at][row]
        })
    }

    /// Where in a column a cell of a key is.
    fn place(&self, cell: usize, row: usize) -> Option<usize> {
        match &self.slots {
            Some(slots) => slots.iter().position(|slot| slot[row] as usize == cell),
            None => Some(cell),
        }
    }

    /// Values that a key has of one column.
    pub(super) fn per_column(&self, cells: usize) -> usize {
        self.slots.as_ref().map_or(cells, |slots| slots.len())
    }

    /// The cells of a key in which any column is not 0, each with its place in a column.
    pub(super) fn filled(
        &self,
        relation: &Relation,
        row: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let per_column = self.per_column(relation.cells);
        let of_place = move |at: usize| match &self.slots {
            Some(slots) => (at, slots[at][row] as usize),
            None => (at, at),
        };
        let places = (0..per_column).map(of_place);
        let in_cells = places.filter(|(_, cell)| *cell < relation.cells);
        in_cells.filter(move |(at, _)| {
            set(&self.rows.narrow, (*at, per_column), row)
                || set(&self.rows.wide, (*at, per_column), row)
        })
    }

    /// Whether these are a holder's rows of a relation; only the hub has slots.
    pub(super) fn fit(&self, relation: &Relation, holder: &Holder, is_hub: bool) -> bool {
        let (rows, n_rows) = (&self.rows, holder.n_rows);
        let per_column = self.per_column(relation.cells);
        let n_narrow = (relation.flags + relation.narrow).saturating_mul(per_column);
        rows.keys.len() == n_rows
            && rows.narrow.len() == n_narrow
            && rows.wide.len() == relation.wide.saturating_mul(per_column)
            && rows.narrow.iter().all(|v| v.len() == n_rows)
            && rows.wide.iter().all(|v| v.len() == n_rows)
            && self.are_slots_of(relation, holder, is_hub)
    }

    fn are_slots_of(&self, relation: &Relation, holder: &Holder, is_hub: bool) -> bool {
        let Some(slots) = &self.slots else {
            return true;
        };
        let distinct = |row: usize| {
            let cells = || slots.iter().map(|slot| slot[row] as usize);
            let mut earlier = cells().enumerate();
            earlier.all(|(at, cell)| {
                cell == relation.cells
                    || cell < relation.cells && cells().take(at).all(|c| c != cell)
            })
        };
        is_hub
            && !slots.is_empty()
            && slots.iter().all(|slot| slot.len() == holder.n_rows)
            && (0..holder.n_rows).all(distinct)
    }
}

/// Whether any of the columns has something at a place of its own.
fn set<R: Ring>(columns: &[Vec<R>], (at, per_column): (usize, usize), row: usize) -> bool {
    let mut columns = columns.iter().skip(at).step_by(per_column);
    columns.any(|column| column[row] != R::ZERO)
}
