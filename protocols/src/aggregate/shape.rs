//! What all seats know of a release beforehand, and what goes in and comes out.

use super::margins::{CellState, Margins};
use crate::arith::compare::MAX_BOUND_BITS;
use crate::disclose::{Revealed, Terms};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::bits;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The public shape of a release: the same at all seats, part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseShape {
    /// Number of cells: one for each group.
    pub cells: usize,
    /// Number of columns over Z_2^64.
    pub narrow: usize,
    /// How many of these, the last ones, are there to be compared alone: they are opened to nobody.
    pub compared: usize,
    /// Number of columns over Z_2^128.
    pub wide: usize,
    /// A cell is released if all of these hold.
    pub checks: Vec<Check>,
    /// The computing seats that get the result.
    pub receivers: Vec<Seat>,
    /// How the checks are evaluated.
    pub mode: CellRule,
}

/// A count that must not be small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Index of the narrow column that holds the count.
    pub column: usize,
    /// The cell is released if its count, over all holders, is at least this.
    pub at_least: u64,
    /// The count over all holders is below 2 to this power. Callers see to it: a count beyond gives a wrong answer.
    pub bound_bits: u32,
}

/// How it is decided which cells are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellRule {
    /// There are no checks: all cells are released.
    None,
    /// The counts are compared on shares. All computing seats learn which cells are released.
    Compare,
    /// The counts are opened to all computing seats. Only where every holder's policy says so.
    OpenCounts,
    /// The counts are compared on shares, and of a table with its totals as many more cells are held back as it takes so that
    /// no small one can be derived. All computing seats learn which cells are small, which are empty and which are
    /// released.
    Margins(Margins),
}

/// One holder's totals, column by column, each `cells` long. Signed values in two's complement.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LocalTotals {
    /// Columns over Z_2^64.
    pub narrow: Vec<Vec<u64>>,
    /// Columns over Z_2^128.
    pub wide: Vec<Vec<u128>>,
}

/// What a receiver gets: totals over all holders.
#[derive(PartialEq, Eq)]
pub struct Released {
    /// For each cell whether it was released.
    pub ok: Vec<bool>,
    /// Columns over Z_2^64 but for those that were compared alone, released cells only, in the order of cells.
    pub narrow: Vec<Vec<u64>>,
    /// Columns over Z_2^128, released cells only, in the order of cells.
    pub wide: Vec<Vec<u128>>,
    /// With [`CellRule::Margins`], what became of each cell.
    pub states: Option<Vec<CellState>>,
}

impl ReleaseShape {
    /// What a holder approves with this shape: every size, check and receiver, and the rule.
    pub fn terms(&self) -> Terms {
        let sizes = [self.cells, self.narrow, self.compared, self.wide];
        let sizes = sizes.map(|n| (n as u64).to_le_bytes());
        let check = |c: &Check| [c.column as u64, c.at_least, u64::from(c.bound_bits)];
        let checks = self.checks.iter().flat_map(check);
        let checks: Vec<u8> = checks.flat_map(u64::to_le_bytes).collect();
        let rule: u8 = match self.mode {
            CellRule::None => 0,
            CellRule::Compare => 1,
            CellRule::OpenCounts => 2,
            CellRule::Margins(_) => 3,
        };
        let details = match self.mode {
            CellRule::Margins(margins) => margins.encode(),
            _ => Vec::new(),
        };
        let details: Vec<u8> = details.into_iter().flat_map(u64::to_le_bytes).collect();
        let fields = [sizes.as_flattened(), &checks, &[rule], &details];
        Terms::new("entente/v1/terms/release", &fields, &self.receivers)
    }

    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if (self.mode == CellRule::None) != self.checks.is_empty() {
            return invalid("a release has checks exactly if it has a rule for them");
        }
        if self.checks.iter().any(|c| c.column >= self.narrow) {
            return invalid("a check names a narrow column");
        }
        let on_shares = matches!(self.mode, CellRule::Compare | CellRule::Margins(_));
        if self.compared > self.narrow || self.compared > 0 && !on_shares {
            return invalid(
                "what is compared alone are narrow columns that are compared on shares",
            );
        }
        if self
            .checks
            .iter()
            .any(|c| !(1..=MAX_BOUND_BITS).contains(&c.bound_bits))
        {
            return invalid("a count is bounded by 2^1 to 2^63");
        }
        if let CellRule::Margins(margins) = self.mode {
            if margins.cells() != self.cells || margins.count() >= self.narrow {
                return invalid(
                    "a table with margins has the cells of its keys and a column of counts",
                );
            }
            if self.checks.iter().all(|c| c.column != margins.count()) {
                return invalid(
                    "the counts that margins could tell are among those that are checked",
                );
            }
        }
        if self.receivers.is_empty() {
            return invalid("a release has a receiver");
        }
        if self.receivers.iter().any(|r| r.index() >= n_computing) {
            return invalid("a receiver is a computing seat");
        }
        if self
            .receivers
            .iter()
            .enumerate()
            .any(|(i, r)| self.receivers[..i].contains(r))
        {
            return invalid("a receiver is listed once");
        }
        Ok(())
    }

    /// Checks that a holder's totals have this shape. Whether counts keep their bounds cannot be seen of those that
    /// are shares.
    pub(super) fn check_input(&self, input: &LocalTotals) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if input.narrow.len() != self.narrow || input.wide.len() != self.wide {
            return invalid("the totals have the columns of the shape");
        }
        let narrow_lens = input.narrow.iter().map(Vec::len);
        let mut lens = narrow_lens.chain(input.wide.iter().map(Vec::len));
        if lens.any(|len| len != self.cells) {
            return invalid("every column has one number for each cell");
        }
        Ok(())
    }

    /// Narrow columns that receivers get.
    pub(crate) fn opened(&self) -> usize {
        self.narrow - self.compared
    }

    /// The bound that holds for all checked counts.
    pub(super) fn bound_bits(&self) -> u32 {
        self.checks.iter().map(|c| c.bound_bits).max().unwrap_or(0)
    }
}

impl Released {
    /// Cuts the revealed vectors into columns, and leaves out the cells that were held back.
    pub(super) fn from_revealed(
        shape: &ReleaseShape,
        decided: super::Decided,
        revealed: &Revealed,
    ) -> Self {
        fn columns<R: Copy>(values: &[R], n_columns: usize, ok: &[bool]) -> Vec<Vec<R>> {
            let column = |c: usize| {
                let cells = values[c * ok.len()..].iter().zip(ok);
                cells.filter(|(_, ok)| **ok).map(|(v, _)| *v).collect()
            };
            (0..n_columns).map(column).collect()
        }
        let super::Decided { ok, states } = decided;
        Self {
            narrow: columns(&revealed.narrow, shape.opened(), &ok),
            wide: columns(&revealed.wide, shape.wide, &ok),
            ok,
            states,
        }
    }
}

/// Cells of one check, filled up to whole words.
pub(super) fn lanes_for(cells: usize) -> usize {
    bits::words_for(cells) * 64
}
