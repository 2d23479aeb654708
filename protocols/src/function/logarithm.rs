//! The natural logarithm.

use super::Format;
use super::fixed::{add_public, constant, polynomial, polynomial_price, shift, shift_price};
use super::normal::{self, Step, Windows, normalise};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;
use std::f64::consts::LN_2;

/// ln(3/4 + t) on [−1/4, 1/4], interpolated at Chebyshev's nodes: error 4·10⁻⁸.
const DEGREE_8: [f64; 9] = [
    -0.287_682_072_451_781_2,
    1.333_332_351_086_750_5,
    -0.888_887_705_551_485,
    0.790_331_563_591_441,
    -0.790_374_138_088_898_6,
    0.831_033_347_323_681_6,
    -0.922_275_384_757_578_3,
    1.310_487_008_048_295,
    -1.537_690_895_958_197,
];

/// The same, with an error of 2·10⁻¹⁴.
const DEGREE_16: [f64; 17] = [
    -0.287_682_072_451_781_73,
    1.333_333_333_332_643_1,
    -0.888_888_888_886_807_4,
    0.790_123_457_329_218_5,
    -0.790_123_457_838_359_2,
    0.842_798_232_373_311_3,
    -0.936_442_415_397_777_6,
    1.070_232_345_999_92,
    -1.248_608_581_344_663_2,
    1.479_164_285_079_072_3,
    -1.774_850_339_067_223_4,
    2.171_661_057_389_987_3,
    -2.657_110_187_279_827_5,
    2.918_322_109_540_318,
    -3.584_268_429_700_066,
    7.692_372_432_107_25,
    -9.733_733_457_677_504,
];

fn coefficients<R: Ring>() -> &'static [f64] {
    match R::BITS {
        64 => &DEGREE_8,
        _ => &DEGREE_16,
    }
}

/// ln x of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of x·2^f in (0, 2^b); takes [`log_price`]
/// # Output    n shares of ln(x)·2^f, within the bound of the [module's table](super)
/// # Cost      [`log_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the format
/// # Errors    as [`reciprocal`](super::reciprocal)
/// # Source    normalisation: Catrina–Saxena, FC 2010; ln x = ln c + (places)·ln 2: folklore
pub async fn log<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&log_price::<R>(seats, x.len(), format).needs))?;
    let windows = Windows::new(format, Step::One);
    let mut normal = normalise(session, x, format, windows, stock).await?;
    let w = format.working_bits::<R>();
    let middle: R = constant(0.75, w);
    add_public(session, &mut normal.c, middle.wrapping_neg());
    let fraction = polynomial(session, &normal.c, coefficients::<R>(), w, stock).await?;
    let mut log = shift(session, fraction, log_shift::<R>(format), stock).await?;
    let places = |window: u32| {
        let power = (format.bound_bits - window).cast_signed() - format.frac_bits.cast_signed();
        constant(f64::from(power) * LN_2, format.frac_bits)
    };
    log.add_assign(&normal.weighted(places));
    Ok(log)
}

fn log_shift<R: Ring>(format: Format) -> i32 {
    format.working_bits::<R>().cast_signed() - format.frac_bits.cast_signed()
}

/// The declared price of [`log`] of n numbers.
pub fn log_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let w = format.working_bits::<R>();
    let degree = coefficients::<R>().len() - 1;
    normal::price::<R>(seats, n_items, format, Windows::new(format, Step::One))
        .then(&polynomial_price::<R>(seats, n_items, degree, w))
        .then(&shift_price::<R>(seats, n_items, log_shift::<R>(format)))
}
