//! Differential privacy in whole numbers: what (ε, δ) a policy or a job writes, and the ρ that is added up.
//!
//! Losses are kept as zero-concentrated differential privacy (zCDP), which adds up exactly however many releases there are
//! (Bun and Steinke, TCC 2016, lemma 1.7), and are told as (ε, δ) by their proposition 1.3:
//! ρ-zCDP implies (ρ + 2·√(ρ·ln(1/δ)), δ). Every rounding is to the side that promises less.

use serde::Serialize;

use crate::config::fields::{Faults, Fields};

/// ln 2 in billionths, rounded up.
const LN2_NANO: u128 = 693_147_181;
/// Largest ε that can be written, in millionths: beyond, little is promised.
const MAX_EPS_MICRO: u64 = 20_000_000;
/// Bounds on the power of two that δ is.
const DELTA_LOG2: std::ops::RangeInclusive<i128> = -64..=-20;

/// A promise of differential privacy: ε in millionths, and δ as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// ε in millionths.
    pub eps_micro: u64,
    /// δ is 2 to this power, which is negative.
    pub delta_log2: i8,
}

impl Guarantee {
    /// Reads `eps_micro` and `delta_log2`, both of which have to be written.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Self> {
        let eps = fields.whole(faults, "eps_micro", 1..=MAX_EPS_MICRO);
        let allowed = "ε in millionths, such as 500000 for ε = 0.5";
        let eps = fields.required(faults, "eps_micro", eps, allowed);
        let delta = fields.signed(faults, "delta_log2", DELTA_LOG2);
        let allowed = "the power of two that δ is, such as -40";
        let delta = fields.required(faults, "delta_log2", delta, allowed);
        Some(Self {
            eps_micro: eps?,
            delta_log2: i8::try_from(delta?).ok()?,
        })
    }

    /// The largest ρ, in units of 10⁻¹², that keeps this promise; 0 where ε is too small for any.
    #[must_use]
    pub fn rho_pico(self) -> u64 {
        greatest(self.eps_micro * 1_000_000, |rho| self.covers(rho))
    }

    /// The least ε, in millionths, that a loss of ρ amounts to at this δ.
    #[must_use]
    pub fn eps_micro_of(self, rho_pico: u64) -> u64 {
        let too_small = |eps_micro| {
            let promise = Self { eps_micro, ..self };
            !promise.covers(rho_pico)
        };
        if rho_pico == 0 {
            return 0;
        }
        // ρ + 2·√(ρ·L) stays below 2^53 for every ρ that a ledger holds.
        greatest(1 << 53, too_small) + 1
    }

    /// The largest ε, in millionths, of a release that loses no more than ρ; 0 if there is none.
    #[must_use]
    pub fn eps_micro_within(self, rho_pico: u64) -> u64 {
        greatest(MAX_EPS_MICRO, |eps_micro| {
            Self { eps_micro, ..self }.rho_pico() <= rho_pico
        })
    }

    /// Whether ρ + 2·√(ρ·ln(1/δ)) ≤ ε, as 4·ρ·ln(1/δ) ≤ (ε − ρ)².
    fn covers(self, rho_pico: u64) -> bool {
        let (eps, rho) = (u128::from(self.eps_micro) * 1_000_000, u128::from(rho_pico));
        let log = u128::from(self.delta_log2.unsigned_abs()) * LN2_NANO * 1000;
        let room = eps.checked_sub(rho).map(|room| room.saturating_mul(room));
        room.is_some_and(|room| rho.saturating_mul(4).saturating_mul(log) <= room)
    }

    /// ε as a decimal number.
    #[must_use]
    pub fn eps(self) -> String {
        eps_in_words(self.eps_micro)
    }
}

/// Reads `person`, which has to be written: the column that tells persons apart.
pub(crate) fn read_person(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<String> {
    let person = fields.string(faults, "person");
    let allowed = "the column that tells persons apart, such as \"patient_id\"";
    let person = fields.required(faults, "person", person, allowed);
    person.map(str::to_owned)
}

/// Millionths as a decimal number.
#[must_use]
pub fn eps_in_words(eps_micro: u64) -> String {
    let (whole, fraction) = (eps_micro / 1_000_000, eps_micro % 1_000_000);
    let text = format!("{whole}.{fraction:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The greatest number up to `most` for which a condition holds that, once false, stays false; 0 if there is none.
fn greatest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(eps_micro: u64, delta_log2: i8) -> Guarantee {
        Guarantee {
            eps_micro,
            delta_log2,
        }
    }

    /// Against the formula in floating point, which is as good as a person would compute it.
    #[test]
    fn rho_is_that_of_the_formula_and_never_more() {
        for eps_micro in [1, 100, 10_000, 500_000, 1_000_000, 8_000_000, 20_000_000] {
            for delta_log2 in [-20, -40, -64] {
                let of = promise(eps_micro, delta_log2);
                let (eps, log) = (
                    eps_micro as f64 / 1e6,
                    f64::from(-delta_log2) * std::f64::consts::LN_2,
                );
                let exact = ((log + eps).sqrt() - log.sqrt()).powi(2) * 1e12;
                let found = of.rho_pico() as f64;
                assert!(found <= exact * (1.0 + 1e-6), "{of:?}: {found} > {exact}");
                assert!(
                    found >= exact * (1.0 - 1e-6) - 1.0,
                    "{of:?}: {found} < {exact}"
                );
                assert!(of.eps_micro_of(of.rho_pico()) <= eps_micro);
                assert!(of.eps_micro_of(of.rho_pico() + 1) > eps_micro);
            }
        }
    }

    #[test]
    fn losses_add_up_to_less_than_their_epsilons() {
        let each = promise(100_000, -40);
        let ten = each.eps_micro_of(10 * each.rho_pico());
        assert!((300_000..400_000).contains(&ten), "{ten}");
    }

    #[test]
    fn millionths_are_written_as_decimals() {
        let texts = [500_000, 1_000_000, 20_000_000, 1].map(eps_in_words);
        assert_eq!(texts, ["0.5", "1", "20", "0.000001"]);
    }
}
