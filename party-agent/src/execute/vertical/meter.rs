//! What holders contributed to a model over a join, as receipts tell it.

use coordinator::job::FailureClass;
use engine::shapley::denominator;
use protocols::arith::compare::Method;
use protocols::train::shapley::VALUE_BITS;

use crate::execute::{Failure, Task};
use crate::plan::VerticalPlan;

/// In what receipts tell parts of R².
const BILLIONTHS: u128 = 1_000_000_000;

impl Task<'_> {
    /// The contribution of each holder, in the order of their seats, in billionths of R². A holder without a feature has none.
    pub(super) fn metered(&self, of: &VerticalPlan, told: &[u64]) -> Result<Vec<u64>, Failure> {
        if !of.is_metered {
            return Ok(Vec::new());
        }
        if told.iter().all(|value| *value == 0) {
            return Err(Failure::here(
                FailureClass::Data,
                "no contributions could be found: there is no model, or labels vary by less than a thousandth of their size",
                "bring more rows, take a constant away from the labels, or write fixed parts",
            ));
        }
        let players = of.shape(&of.bounds(), Method::Masked).players();
        let of_seat = |seat: usize| {
            let place = of.tables.iter().position(|table| table.seat == seat)?;
            let player = players.binary_search(&place).ok()?;
            told.get(player).copied()
        };
        let holders = self.plan.holder_seats().into_iter();
        let values = holders.map(|seat| of_seat(seat.index()).unwrap_or(0));
        Ok(values
            .map(|value| billionths(value, players.len()))
            .collect())
    }
}

/// n!·φ of R² as it was opened, in billionths of R², rounded to the nearest.
fn billionths(value: u64, n_players: usize) -> u64 {
    let unit = u128::from(denominator(n_players).unsigned_abs()) << VALUE_BITS;
    let rounded = (u128::from(value) * BILLIONTHS + unit / 2) / unit;
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_billionths_of_r_squared() {
        for (value, n_players, expected) in [
            (0, 2, 0),
            (2 << VALUE_BITS, 2, 1_000_000_000),
            (40_320 << VALUE_BITS, 8, 1_000_000_000),
            ((6 << VALUE_BITS) / 3, 3, 333_333_333),
            (550, 1, 1),
            (549, 1, 0),
        ] {
            assert_eq!(
                billionths(value, n_players),
                expected,
                "{value} of {n_players}"
            );
        }
    }
}
