//! Noise for differential privacy: discrete Laplace and discrete Gaussian numbers, drawn exactly.
//!
//! Every step compares a uniform whole number with a whole number, so that no rounding of a floating-point number stands
//! between the proof and what is drawn (Mironov, CCS 2012). How long a draw takes depends on what is drawn.

use crate::params::{NOISE_CUT, NOISE_MAX_BITS, NOISE_MAX_SHIFT};
use crate::prg::Prg;

/// The standard deviation of a discrete Gaussian: `numerator / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    numerator: u64,
    shift: u32,
}

impl Deviation {
    /// `None` where there is no sampler for it: for 0, and beyond [`NOISE_MAX_BITS`] and [`NOISE_MAX_SHIFT`].
    pub fn new(numerator: u64, shift: u32) -> Option<Self> {
        let fits = (1..1 << NOISE_MAX_BITS).contains(&numerator) && shift <= NOISE_MAX_SHIFT;
        fits.then_some(Self { numerator, shift })
    }

    /// The numerator.
    pub fn numerator(self) -> u64 {
        self.numerator
    }

    /// The denominator is 2 to this power.
    pub fn shift(self) -> u32 {
        self.shift
    }

    /// No number that is drawn is larger in magnitude: [`NOISE_CUT`] deviations.
    pub fn largest(self) -> u64 {
        (NOISE_CUT * self.numerator) >> self.shift
    }
}

/// A number from the discrete Gaussian around 0: x with probability proportional to exp(−x²/2σ²), cut off at
/// [`Deviation::largest`].
///
/// # Source    Canonne, Kamath and Steinke, NeurIPS 2020 (2004.00010), algorithm 3, with the proposals' scale t = σ in place
///   of ⌊σ⌋ + 1: then the exponent (|y| − σ²/t)²/2σ² is (|y| − σ)²/2σ², which 128 bits hold
pub fn discrete_gaussian(prg: &mut Prg, deviation: Deviation) -> i64 {
    let sigma = u128::from(deviation.numerator);
    loop {
        let Some(drawn) = discrete_laplace(prg, deviation) else {
            continue;
        };
        let scaled = u128::from(drawn.unsigned_abs()) << deviation.shift;
        let distance = scaled.abs_diff(sigma);
        // Both squares stay below 2^(2·NOISE_MAX_BITS + 13) = 2^121.
        if bernoulli_exp(prg, distance * distance, 2 * sigma * sigma) {
            return drawn;
        }
    }
}

/// A number from the discrete Laplace distribution around 0: x with probability proportional to exp(−|x|/t) for t the
/// deviation given; `None` for one beyond [`Deviation::largest`].
///
/// # Source    Canonne, Kamath and Steinke, algorithm 2
pub fn discrete_laplace(prg: &mut Prg, scale: Deviation) -> Option<i64> {
    let t = scale.numerator;
    loop {
        let u = prg.next_bounded(t);
        if !bernoulli_exp(prg, u.into(), t.into()) {
            continue;
        }
        let mut v = 0;
        while bernoulli_exp(prg, 1, 1) {
            v += 1;
            if v > NOISE_CUT {
                return None;
            }
        }
        let magnitude = (u + t * v) >> scale.shift;
        let is_negative = prg.next_bounded(2) == 1;
        if is_negative && magnitude == 0 {
            // Zero is drawn once, not with either sign.
            continue;
        }
        if magnitude > scale.largest() {
            return None;
        }
        let magnitude = i64::try_from(magnitude).expect("a cut number has 60 bits");
        return Some(if is_negative { -magnitude } else { magnitude });
    }
}

/// True with probability exp(−numerator/denominator), which may be more than 1.
///
/// # Source    Canonne, Kamath and Steinke, algorithm 1 (von Neumann)
fn bernoulli_exp(prg: &mut Prg, mut numerator: u128, denominator: u128) -> bool {
    while numerator > denominator {
        if !bernoulli_exp(prg, 1, 1) {
            return false;
        }
        numerator -= denominator;
    }
    let mut k = 1;
    // True with probability numerator/(denominator·k). That k reaches 2^6 has probability 1/64! at most, so the product
    // stays within 128 bits.
    while below(prg, denominator * k) < numerator {
        k += 1;
    }
    k % 2 == 1
}

/// A uniform number below `bound`, by rejection.
fn below(prg: &mut Prg, bound: u128) -> u128 {
    if let Ok(bound) = u64::try_from(bound) {
        return prg.next_bounded(bound).into();
    }
    let mask = u128::MAX >> (bound - 1).leading_zeros();
    loop {
        let drawn = (u128::from(prg.next_u64()) << 64 | u128::from(prg.next_u64())) & mask;
        if drawn < bound {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Seed;

    #[test]
    fn deviations_outside_what_the_sampler_holds_are_refused() {
        assert!(Deviation::new(0, 0).is_none());
        assert!(Deviation::new(1 << NOISE_MAX_BITS, 0).is_none());
        assert!(Deviation::new(1, NOISE_MAX_SHIFT + 1).is_none());
        let widest = Deviation::new((1 << NOISE_MAX_BITS) - 1, 0).expect("allowed");
        assert_eq!(widest.largest(), NOISE_CUT * ((1 << NOISE_MAX_BITS) - 1));
    }

    /// The widest deviation is drawn without leaving 128 bits, and is not a small one.
    #[test]
    fn the_widest_deviation_is_drawn() {
        let widest = Deviation::new((1 << NOISE_MAX_BITS) - 1, 0).expect("allowed");
        let mut prg = Prg::new(&Seed::from_bytes([9; 32]), 0);
        let drawn: Vec<i64> = (0..64)
            .map(|_| discrete_gaussian(&mut prg, widest))
            .collect();
        assert!(
            drawn
                .iter()
                .any(|x| x.unsigned_abs() > widest.numerator() / 2)
        );
        assert!(drawn.iter().all(|x| x.unsigned_abs() < widest.largest()));
    }

    #[test]
    fn equal_seeds_draw_equal_numbers() {
        let sigma = Deviation::new(777, 3).expect("allowed");
        let draw = || {
            let mut prg = Prg::new(&Seed::from_bytes([3; 32]), 0);
            (0..50)
                .map(|_| discrete_gaussian(&mut prg, sigma))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
