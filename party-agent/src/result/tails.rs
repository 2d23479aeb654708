//! Tail probabilities of the distributions that tests use. Arguments that make no distribution give NULL's stand-in, NaN.

use statrs::function::beta::checked_beta_reg;
use statrs::function::erf::erfc;
use statrs::function::gamma::checked_gamma_ur;

/// P(|Z| ≥ |z|) of a standard normal Z.
#[must_use]
pub fn normal_two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// P(|T| ≥ |t|) of Student's T.
#[must_use]
pub fn student_two_sided(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    checked_beta_reg(df / 2.0, 0.5, df / (df + t * t)).unwrap_or(f64::NAN)
}

/// P(F ≥ f) of Fisher's F.
#[must_use]
pub fn f_upper(f: f64, df_1: f64, df_2: f64) -> f64 {
    if f.is_infinite() {
        return 0.0;
    }
    checked_beta_reg(df_2 / 2.0, df_1 / 2.0, df_2 / (df_2 + df_1 * f)).unwrap_or(f64::NAN)
}

/// P(X² ≥ x) of a χ².
#[must_use]
pub fn chi_squared_upper(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        return if x.is_nan() { x } else { 1.0 };
    }
    checked_gamma_ur(df / 2.0, x / 2.0).unwrap_or(f64::NAN)
}

/// The t with P(|T| ≥ t) = p, by bisection: a confidence interval wants one of these, and no more than 16 digits.
#[must_use]
pub fn student_quantile(p: f64, df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_two_sided(high, df) > p {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        match student_two_sided(middle, df) > p {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of R: 2*pnorm(-x), 2*pt(-t, df), pf(…, lower.tail = FALSE), pchisq(…, lower.tail = FALSE), qt.
    #[test]
    fn tails_are_those_of_r() {
        let close = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() <= 1e-10 * expected,
                "{found} instead of {expected}"
            );
        };
        close(normal_two_sided(1.959_963_984_540_054), 0.05);
        close(
            normal_two_sided(-36.505_106_971_261_82),
            9.202_149_930_560_057e-292,
        );
        close(
            student_two_sided(-5.047_234_389_529_135, 58411.0),
            4.495_942_517_845_6e-7,
        );
        close(student_two_sided(2.228_138_851_964_939, 10.0), 0.05);
        close(f_upper(4.102_821_015_111_4, 2.0, 10.0), 0.05);
        close(chi_squared_upper(5.991_464_547_107_98, 2.0), 0.05);
        close(student_quantile(0.05, 10.0), 2.228_138_851_964_939);
        assert_eq!(student_two_sided(f64::INFINITY, 5.0), 0.0);
        assert!(student_two_sided(1.0, -1.0).is_nan());
    }
}
