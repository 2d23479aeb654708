//! What the protocols compute, in the clear: the reference that tests compare them with.
//!
//! Whoever calls this has all parties' inputs. No product code does.

use crate::aggregate::{self, CellRule, CellState, LocalTotals, ReleaseShape, Released};
use engine::ring::{Ring, add_assign};

/// [`aggregate::release`] over all computing seats' totals.
///
/// # Panics
///
/// If the inputs do not have the shape.
pub fn release(inputs: &[LocalTotals], shape: &ReleaseShape) -> Released {
    let narrow: Vec<Vec<u64>> = (0..shape.narrow)
        .map(|c| total(inputs.iter().map(|input| &input.narrow[c]), shape.cells))
        .collect();
    let wide: Vec<Vec<u128>> = (0..shape.wide)
        .map(|c| total(inputs.iter().map(|input| &input.wide[c]), shape.cells))
        .collect();
    let holds = |cell: usize| {
        shape
            .checks
            .iter()
            .all(|c| narrow[c.column][cell] >= c.at_least)
    };
    let mut ok: Vec<bool> = (0..shape.cells).map(holds).collect();
    let mut states = None;
    if let CellRule::Margins(margins) = shape.mode {
        let counts = &narrow[margins.count()];
        let is_empty: Vec<bool> = counts.iter().map(|n| *n == 0).collect();
        let decided = aggregate::protect_by(&margins, counts, (&ok, &is_empty));
        ok = decided.iter().map(|s| *s == CellState::Released).collect();
        states = Some(decided);
    }
    Released {
        states,
        narrow: narrow[..shape.opened()]
            .iter()
            .map(|column| chosen(column, &ok))
            .collect(),
        wide: wide.iter().map(|column| chosen(column, &ok)).collect(),
        ok,
    }
}

fn total<'a, R: Ring>(columns: impl Iterator<Item = &'a Vec<R>>, cells: usize) -> Vec<R> {
    columns.fold(vec![R::ZERO; cells], |mut sum, column| {
        add_assign(&mut sum, column);
        sum
    })
}

fn chosen<R: Ring>(column: &[R], ok: &[bool]) -> Vec<R> {
    column
        .iter()
        .zip(ok)
        .filter(|(_, ok)| **ok)
        .map(|(value, _)| *value)
        .collect()
}
