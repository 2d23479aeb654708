//! Real functions of shared fixed-point numbers.
//!
//! A number x is given as the integer x·2^f, f = [`Format::frac_bits`]. Inside a function numbers have
//! w fractional bits, as many as the ring leaves room for next to the argument's bound b
//! ([`Format::bound_bits`]): over Z_2^64 at most 29, over Z_2^128 at most 61. Nothing depends on values:
//! loops are bounded by public parameters, and arguments outside a function's domain give numbers that
//! mean nothing, never an error.
//!
//! Error bounds, which the tests hold on grids, at random points and at the borders; u = 2^−f is the unit
//! of the result, and ε = 2^(4−w) + δ with the error δ of the approximation itself:
//!
//! | function | domain | error at most | δ over Z_2^64 | δ over Z_2^128 |
//! |---|---|---|---|---|
//! | [`reciprocal`] | 0 < x·2^f < 2^b | 2u + ε/x | 3·10⁻⁹ (3 steps) | 10⁻¹⁷ (4 steps) |
//! | [`divide`] | divisor as above, dividend below 2^b | 2u + 2u/y + ε·x/y | 3·10⁻⁹ | 10⁻¹⁷ |
//! | [`sqrt`] | 0 ≤ x·2^f < 2^b | 2u + ε·√x | 2·10⁻¹² (3 steps) | 10⁻²³ (4 steps) |
//! | [`rsqrt`] | 0 < x·2^f < 2^b | 2u + ε/√x | 2·10⁻¹² | 10⁻²³ |
//! | [`exp`] | any; limited to ±16·ln 2, or ±32·ln 2 | 2u + (2ε + 2^(f−50))·eˣ | 3·10⁻⁹ (degree 6) | 3·10⁻¹⁵ (degree 10) |
//! | [`log`] | 0 < x·2^f < 2^b | 2u + ε | 4·10⁻⁸ (degree 8) | 2·10⁻¹⁴ (degree 16) |
//! | [`sigmoid`] | any | 2u + 2ε; and e^−M where x is beyond ±M, the M of [`exp`] | 5·10⁻⁹ (degree 4), or at most u/4 (degree 3, f ≤ 20) | 3·10⁻¹⁵ (degree 9) |

pub(crate) mod fixed;
pub(crate) mod normal;
mod inverse;
mod root;
mod exponential;
mod logarithm;
mod sigmoid;

pub use exponential::{exp, exp_price};
pub use inverse::{divide, divide_price, reciprocal, reciprocal_price};
pub use logarithm::{log, log_price};
pub use root::{rsqrt, rsqrt_price, sqrt, sqrt_price};
pub use sigmoid::{sigmoid, sigmoid_price};

use crate::arith::compare::Method;
use crate::error::ProtocolError;
use engine::ring::Ring;

/// How the numbers that go into a function are represented, and how their bits are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// f: x is given as x·2^f.
    pub frac_bits: u32,
    /// b: the integer x·2^f lies in (−2^b, 2^b).
    pub bound_bits: u32,
    /// The method of comparisons and conversions.
    pub method: Method,
}

/// The least working precision: below it an argument's bound leaves no room for a result.
const MIN_WORKING_BITS: u32 = 8;

impl Format {
    /// w: fractional bits inside a function, so that products of two numbers below 4 and of one with
    /// a number of b bits stay in the range of a truncation.
    fn working_bits<R: Ring>(self) -> u32 {
        let room = R::BITS.saturating_sub(4 + self.bound_bits);
        (R::BITS / 2 - 3).min(room)
    }

    fn check<R: Ring>(self) -> Result<(), ProtocolError> {
        let fits = self.bound_bits >= 1
            && self.frac_bits <= R::BITS / 2 - 3
            && self.working_bits::<R>() >= MIN_WORKING_BITS;
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "a function's argument leaves 12 bits of the ring, its scale half of it",
            }),
        }
    }
}
