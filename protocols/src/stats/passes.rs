//! Which rows' counts are large enough, as shared bits.

use crate::aggregate::Check;
use crate::arith::compare::{self, MAX_BOUND_BITS, Method};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Checks that these can be checks of so many narrow columns.
pub(super) fn check(checks: &[Check], n_narrow: usize) -> Result<(), ProtocolError> {
    let fits = |c: &Check| c.column < n_narrow && (1..=MAX_BOUND_BITS).contains(&c.bound_bits);
    match checks.iter().all(fits) {
        true => Ok(()),
        false => Err(ProtocolError::InvalidInput {
            what: "a check names a narrow column with a count below 2^1 to 2^63",
        }),
    }
}

fn bound_bits(checks: &[Check]) -> u32 {
    checks.iter().map(|c| c.bound_bits).max().unwrap_or(1)
}

/// For each check one shared bit a row: 1 where its count is at least as great as it has to be.
pub(super) async fn passes(
    session: &mut Session,
    narrow: &[Share<u64>],
    checks: &[Check],
    method: Method,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let me = session.seat().index();
    let bound_bits = bound_bits(checks);
    let mut differences = Share::<u64>::zero(0);
    for check in checks {
        let mut difference = Share::new(narrow[check.column].as_slice().to_vec());
        // No count reaches 2^b, so a greater threshold is as good as 2^b.
        let threshold = check.at_least.min(1 << bound_bits);
        let negative = vec![threshold.wrapping_neg(); difference.len()];
        difference.add_public(me, &negative);
        differences.append(difference);
    }
    let n_rows = differences.len() / checks.len();
    let too_small =
        compare::less_than_zero(session, &differences, bound_bits, method, stock).await?;
    let of_check = |i: usize| {
        let mut passes = too_small.picked(i * n_rows..(i + 1) * n_rows);
        passes.not(me);
        passes
    };
    Ok((0..checks.len()).map(of_check).collect())
}

/// The declared price of [`passes`] over n rows.
pub(super) fn price(checks: &[Check], n_rows: usize, method: Method, seats: Seats) -> Price {
    match checks.is_empty() {
        true => Price::nothing(seats),
        false => {
            let n_items = checks.len() * n_rows;
            compare::less_than_zero_price::<u64>(seats, n_items, bound_bits(checks), method)
        }
    }
}

/// The checks as a field of what a holder approves.
pub(super) fn terms(checks: &[Check]) -> Vec<u8> {
    let check = |c: &Check| [c.column as u64, c.at_least, u64::from(c.bound_bits)];
    let numbers = checks.iter().flat_map(check);
    numbers.flat_map(u64::to_le_bytes).collect()
}
