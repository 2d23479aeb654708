//! Rounding of shared counts to multiples of a public number.

use super::compare::Method;
use super::{convert, trunc};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// To what counts are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// The public number, 1 or more.
    pub multiple: u64,
    /// Counts are below 2 to this power. Callers see to it: a count beyond gives a wrong answer.
    pub bound_bits: u32,
    /// How shares are compared.
    pub method: Method,
}

impl Rounding {
    /// Bits of ⌊m/2⌋ more than a count.
    fn value_bits(&self) -> u32 {
        self.bound_bits
            .max(u64::BITS - self.multiple.leading_zeros())
            + 1
    }

    /// s: ⌊y·⌈2^s/m⌉/2^s⌋ is ⌊y/m⌋ for all y of so many bits, as m·⌈2^s/m⌉ exceeds 2^s by less than m ≤ 2^(s − bits).
    fn shift(&self) -> u32 {
        let bits_of_multiple = u64::BITS - (self.multiple - 1).leading_zeros();
        self.value_bits() + bits_of_multiple
    }

    fn reciprocal(&self) -> u128 {
        (1u128 << self.shift()).div_ceil(u128::from(self.multiple))
    }

    /// Checks that products with the reciprocal fit the wide ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] where they do not, or there is no number.
    pub fn check(&self) -> Result<(), ProtocolError> {
        match self.multiple >= 1 && self.bound_bits <= 60 && self.multiple < 1 << 60 {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "counts below 2^60 are rounded to multiples of 1 to 2^60",
            }),
        }
    }
}

/// Rounds counts to the nearest multiples of a public number, halves up.
///
/// Division by a constant is a product with its reciprocal and an exact truncation, in the wide ring.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of numbers from 0 to 2^`bound_bits` − 1; takes [`price`]
/// # Output    n shares of m·⌊(x + ⌊m/2⌋)/m⌋
/// # Cost      [`price`]: those of [`convert::widen`] and of [`trunc::exact`]. Nothing if m = 1
/// # Security  semi-honest, all but one seat may be corrupt; reveals n. The result depends on x alone
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent;
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Granlund–Montgomery, PLDI 1994, theorem 4.2; [`trunc::exact`]
pub async fn nearest(
    session: &mut Session,
    x: &Share<u64>,
    to: &Rounding,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    session.ended_by(to.check())?;
    if to.multiple == 1 {
        return Ok(super::copy(x));
    }
    session.ended_by(stock.check(&price(Seats::of(session), x.len(), to).needs))?;
    let mut wide = convert::widen(session, x, to.method, stock).await?;
    let (reciprocal, shift) = (to.reciprocal(), to.shift());
    // Truncation rounds to the nearest; half of a unit less, it rounds down.
    let less = u128::ONE.shl(shift - 1);
    let more = u128::from(to.multiple / 2).wrapping_mul(reciprocal);
    let is_first = session.seat() == Seat(0);
    let own = if is_first { more.wrapping_sub(less) } else { 0 };
    for value in wide.as_mut_slice() {
        *value = value.wrapping_mul(reciprocal).wrapping_add(own);
    }
    let quotients = trunc::exact(session, &wide, shift, to.method, stock).await?;
    let multiple = |q: &u128| (*q as u64).wrapping_mul(to.multiple);
    Ok(Share::new(
        quotients.as_slice().iter().map(multiple).collect(),
    ))
}

/// The declared price of [`nearest`] of n counts.
pub fn price(seats: Seats, n_items: usize, to: &Rounding) -> Price {
    if to.multiple <= 1 {
        return Price::nothing(seats);
    }
    convert::widen_price(seats, n_items, to.method).then(&trunc::exact_price::<u128>(
        seats,
        n_items,
        to.shift(),
        to.method,
    ))
}
