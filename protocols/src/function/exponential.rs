//! eˣ.

use super::Format;
use super::fixed::{
    add_public, constant, mul_shift, mul_shift_price, polynomial, polynomial_price, shift,
    shift_price,
};
use crate::arith::compare::Method;
use crate::arith::{convert, mul, order};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// 2^(1/2 + t) on [−1/2, 1/2], interpolated at Chebyshev's nodes: error 3·10⁻⁹.
const DEGREE_6: [f64; 7] = [
    SQRT_2,
    0.980_258_180_440_173_7,
    0.339_731_587_384_547_9,
    0.078_493_480_395_647_6,
    0.013_601_986_198_452_21,
    0.001_895_106_727_072_612,
    0.000_218_657_847_865_090_7,
];

/// The same, with an error of 3·10⁻¹⁵.
const DEGREE_10: [f64; 11] = [
    SQRT_2,
    0.980_258_143_468_566_2,
    0.339_731_584_183_073_1,
    0.078_494_663_240_021_33,
    0.013_602_088_629_030_035,
    0.001_885_649_897_452_879,
    0.000_217_838_810_859_423_9,
    2.157_046_954_683_513e-5,
    1.868_975_838_685_097_7e-6,
    1.444_483_738_547_811_8e-7,
    9.948_659_377_793_47e-9,
];

fn coefficients<R: Ring>() -> &'static [f64] {
    match R::BITS {
        64 => &DEGREE_6,
        _ => &DEGREE_10,
    }
}

/// m: powers of two lie between 2^−M and 2^M, M = 2^m. Their range and the working precision fill the
/// ring.
pub(super) fn range_log<R: Ring>() -> u32 {
    match R::BITS {
        64 => 4,
        _ => 5,
    }
}

/// w: fractional bits of 2^(fraction); w + 2M stays below the ring's bits.
pub(super) fn working_bits<R: Ring>() -> u32 {
    R::BITS / 2 - 3
}

/// Fractional bits of log2 e, so that its product with a limited argument stays in range.
fn factor_bits<R: Ring>(frac_bits: u32) -> u32 {
    (R::BITS - 4 - 2 - range_log::<R>() - frac_bits).min(50)
}

/// eˣ of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of x·2^f in (−2^b, 2^b); takes [`exp_price`]
/// # Output    n shares of eˣ·2^f, within the bound of the [module's table](super), where x is first
///   limited to ±(M − 1/64)·ln 2, M = 16 over Z_2^64 and 32 over Z_2^128
/// # Cost      [`exp_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the format
/// # Errors    as [`reciprocal`](super::reciprocal)
/// # Source    Aly–Smart, ACNS 2019 (2019/354), §4: integer part from bits, fraction by a polynomial
pub async fn exp<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&exp_price::<R>(seats, x.len(), format).needs))?;
    let f = format.frac_bits;
    let limit: R = constant(limit::<R>(), f);
    let limits = (limit.wrapping_neg(), limit);
    let compared = (clamp_bits::<R>(format), format.method);
    let limited = order::clamp(session, x, limits, compared, stock).await?;
    let w = working_bits::<R>();
    let z = power_of_two(session, &limited, f, stock).await?;
    let (whole, mut fraction) = split(session, z, format.method, stock).await?;
    let middle: R = constant(0.5, w);
    add_public(session, &mut fraction, middle.wrapping_neg());
    let fraction = polynomial(session, &fraction, coefficients::<R>(), w, stock).await?;
    let whole = powers_product(session, whole, stock).await?;
    let n_bits = result_shift::<R>(f);
    mul_shift(session, &fraction, &whole, n_bits, stock).await
}

/// Where x is cut off.
fn limit<R: Ring>() -> f64 {
    (f64::from(1 << range_log::<R>()) - 1.0 / 64.0) * LN_2
}

/// The bound of x minus a limit.
fn clamp_bits<R: Ring>(format: Format) -> u32 {
    format.bound_bits.max(format.frac_bits + range_log::<R>()) + 1
}

/// The fraction's w bits go, and the M by which the exponent is too great.
fn result_shift<R: Ring>(frac_bits: u32) -> i32 {
    let all = working_bits::<R>() + (1 << range_log::<R>());
    all.cast_signed() - frac_bits.cast_signed()
}

/// x·log2 e + M with w fractional bits: a number in [0, 2M).
async fn power_of_two<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    frac_bits: u32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut z = crate::arith::copy(x);
    z.scale_public(constant(LOG2_E, factor_bits::<R>(frac_bits)));
    let mut z = shift(session, z, power_shift::<R>(frac_bits), stock).await?;
    add_public(
        session,
        &mut z,
        R::ONE.shl(working_bits::<R>() + range_log::<R>()),
    );
    Ok(z)
}

fn power_shift<R: Ring>(frac_bits: u32) -> i32 {
    let scale = frac_bits + factor_bits::<R>(frac_bits);
    scale.cast_signed() - working_bits::<R>().cast_signed()
}

/// The bits of the whole part of a number in [0, 2M), and its fraction.
async fn split<R: StockedRing>(
    session: &mut Session,
    z: Share<R>,
    method: Method,
    stock: &mut Stock,
) -> Result<(Vec<Share<R>>, Share<R>), ProtocolError> {
    let (w, n_bits) = (working_bits::<R>() as usize, n_whole_bits::<R>());
    let planes = convert::a2b(session, &z, w + n_bits, method, stock).await?;
    let whole: Vec<&BitShare> = planes[w..].iter().collect();
    let whole = convert::planes_to_arith(session, &whole, stock).await?;
    let mut fraction = z;
    for (i, bit) in (0..).zip(&whole) {
        let weight = R::ONE.shl(working_bits::<R>() + i);
        ring::add_scaled(
            fraction.as_mut_slice(),
            bit.as_slice(),
            weight.wrapping_neg(),
        );
    }
    Ok((whole, fraction))
}

fn n_whole_bits<R: Ring>() -> usize {
    range_log::<R>() as usize + 1
}

/// 2^n for n given by its bits: the product of 1 + b_i·(2^(2^i) − 1), in a tree.
async fn powers_product<R: StockedRing>(
    session: &mut Session,
    bits: Vec<Share<R>>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut factors: Vec<Share<R>> = Vec::with_capacity(bits.len());
    for (i, mut bit) in (0..).zip(bits) {
        bit.scale_public(R::ONE.shl(1 << i).wrapping_sub(R::ONE));
        add_public(session, &mut bit, R::ONE);
        factors.push(bit);
    }
    while factors.len() > 1 {
        let odd = factors.split_off(factors.len() / 2 * 2);
        let n_items = factors[0].len();
        let every_other = |start: usize| {
            let chosen = factors[start..].iter().step_by(2);
            Share::new(chosen.flat_map(Share::as_slice).copied().collect())
        };
        let product = mul::mul(session, &every_other(0), &every_other(1), stock).await?;
        let parts = (0..factors.len() / 2).map(|i| &product.as_slice()[i * n_items..][..n_items]);
        factors = parts.map(|part| Share::new(part.to_vec())).collect();
        factors.extend(odd);
    }
    Ok(factors.pop().expect("one factor is left"))
}

/// The declared price of [`exp`] of n numbers.
pub fn exp_price<R: StockedRing>(seats: Seats, n: usize, format: Format) -> Price {
    let w = working_bits::<R>();
    let n_bits = n_whole_bits::<R>();
    let mut price = order::clamp_price::<R>(seats, n, clamp_bits::<R>(format), format.method)
        .then(&shift_price::<R>(
            seats,
            n,
            power_shift::<R>(format.frac_bits),
        ))
        .then(&convert::a2b_price::<R>(
            seats,
            n,
            w as usize + n_bits,
            format.method,
        ))
        .then(&convert::planes_price::<R>(seats, n, n_bits))
        .then(&polynomial_price::<R>(
            seats,
            n,
            coefficients::<R>().len() - 1,
            w,
        ));
    let mut n_factors = n_bits;
    while n_factors > 1 {
        price = price.then(&mul::price::<R>(seats, n_factors / 2 * n));
        n_factors = n_factors.div_ceil(2);
    }
    price.then(&mul_shift_price::<R>(
        seats,
        n,
        result_shift::<R>(format.frac_bits),
    ))
}
