//! The logistic function.
//!
//! ```text
//! |x|, and the sign σ          from the bits of x
//! which piece of [0, M)        4 pieces to a unit, 2 of short numbers, from the bits of |x|: one of many bits
//! its middle m and c_0 … c_d   sums of these bits with public weights, in one round; 1/(1 + e^−|x|) is Σ c_i·s^i for
//!                              s = |x| − m, −1 at the lower end of the piece and 1 at the upper
//! σ·m and σ·c_i for even i     all in one round
//! 1/2 + Σ c_i·t^i              Horner's scheme in t = x − σ·m = σ·s, with c_0 less 1/2: what is left is an odd function
//! ```
//!
//! Without a dealer a shared bit costs far less than a product (`benches/RECORD.md`), so that many pieces and a low degree
//! cost less than an exponential and Newton's steps, and take fewer rounds. Sums keep growing scales as long as they fit
//! the ring, which saves truncations.

use super::Format;
use super::exponential::{range_log, working_bits};
use super::fixed::{add_public, constant, shift, shift_price};
use crate::arith::{circuit, convert, copy, mul, mux};
use crate::boolean::{Gates, Level, Planes};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;

/// How [0, M) is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// log2 of the pieces of [0, 1).
    log_pieces: u32,
    /// Degree of a piece's polynomial.
    degree: usize,
}

impl Cut {
    /// Over Z_2^64 the fewest bits and products that leave out at most a quarter of the result's unit, but 5·10⁻⁹.
    fn of<R: Ring>(frac_bits: u32) -> Self {
        let (log_pieces, degree) = match (R::BITS, frac_bits) {
            (64, ..=16) => (1, 3),
            (64, ..=20) => (2, 3),
            (64, _) => (2, 4),
            _ => (2, 9),
        };
        Self { log_pieces, degree }
    }

    /// How many fractional bits an argument lacks for half a piece to be a whole number.
    fn raised(self, format: Format) -> u32 {
        (self.log_pieces + 1).saturating_sub(format.frac_bits)
    }
}

/// Terms of the series that is cut to a piece's degree: what is left out is below 10⁻¹⁸.
const N_TERMS: usize = 16;

/// 1/(1 + e^−x) of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of x·2^f in (−2^b, 2^b); takes [`sigmoid_price`]
/// # Output    n shares of 2^f/(1 + e^−x), within the bound of the [module's table](super)
/// # Cost      [`sigmoid_price`]: the rounds of [`convert::a2b`], and over Z_2^64 18 or fewer
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the format
/// # Errors    as [`exp`](super::exp)
/// # Source    own: pieces as of Mohassel–Zhang, S&P 2017, §5.3, with polynomials that are near the best ones
///   (Lanczos' economisation of Taylor's series)
pub async fn sigmoid<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&sigmoid_price::<R>(seats, x.len(), format).needs))?;
    let scheme = Scheme::of::<R>(format);
    let mut x = copy(x);
    x.scale_public(R::ONE.shl(scheme.format.frac_bits - format.frac_bits));
    let (sign, hot) = scheme.pieces(session, &x, stock).await?;
    let mut numbers = scheme.numbers(session, x.len(), hot, stock).await?;
    scheme.turn(session, &sign, &mut numbers, stock).await?;
    let middle = numbers.pop().expect("the last weights are middles");
    x.sub_assign(&middle);
    let mut sum = scheme.horner(session, numbers, &x, stock).await?;
    add_public(session, &mut sum, R::ONE.shl(scheme.last_scale() - 1));
    shift(session, sum, scheme.result_shift(format), stock).await
}

/// The declared price of [`sigmoid`] of n numbers.
pub fn sigmoid_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let scheme = Scheme::of::<R>(format);
    let n_planes = scheme.format.bound_bits as usize + 1;
    let mut price = convert::a2b_price::<R>(seats, n_items, n_planes, format.method)
        .then(&circuit::price(seats, &scheme.levels(), n_items));
    if scheme.n_index > 0 {
        let n_pieces = scheme.series.len();
        price = price.then(&convert::planes_price::<R>(seats, n_items, n_pieces));
    }
    price = price.then(&mux::price::<R>(seats, n_items * scheme.turned().count()));
    for n_bits in &scheme.shifts {
        price = price
            .then(&shift_price::<R>(seats, n_items, n_bits.cast_signed()))
            .then(&mul::price::<R>(seats, n_items));
    }
    let last = scheme.result_shift(format);
    price.then(&shift_price::<R>(seats, n_items, last))
}

/// How the function is computed in one format.
struct Scheme {
    /// Of the argument, with bits enough for half a piece.
    format: Format,
    cut: Cut,
    /// Bits of |x| that say which piece it lies in.
    n_index: u32,
    /// For each piece the polynomial in s, from c_0.
    series: Vec<Vec<f64>>,
    /// What the sum is shifted by before each product with s.
    shifts: Vec<u32>,
    /// w of [`working_bits`].
    working_bits: u32,
}

impl Scheme {
    fn of<R: Ring>(format: Format) -> Self {
        let cut = Cut::of::<R>(format.frac_bits);
        let more = cut.raised(format);
        let format = Format {
            frac_bits: format.frac_bits + more,
            bound_bits: format.bound_bits + more,
            ..format
        };
        let inner_bits = format.frac_bits - cut.log_pieces;
        let n_index = format.bound_bits.saturating_sub(inner_bits);
        let n_index = n_index.min(range_log::<R>() + cut.log_pieces);
        let mut scheme = Self {
            format,
            cut,
            n_index,
            series: series(1 << n_index, cut),
            shifts: Vec::new(),
            working_bits: working_bits::<R>(),
        };
        scheme.plan_shifts::<R>();
        scheme
    }

    /// Fractional bits of s.
    fn s_bits(&self) -> u32 {
        self.format.frac_bits - self.cut.log_pieces - 1
    }

    /// A sum is shifted back to the working precision only if its product with s would leave the range of a truncation.
    fn plan_shifts<R: Ring>(&mut self) {
        let degree = self.series[0].len() - 1;
        let mut scale = self.working_bits;
        for i in (0..degree).rev() {
            let sizes = self.series.iter().map(|c| sum_of_sizes(&c[i..]));
            // The first coefficient stands beside 1/2, once for each half of the function.
            let greatest = if i == 0 {
                2.0
            } else {
                sizes.fold(0.0, f64::max)
            };
            let limit = power_of_two(R::BITS - 3);
            let fits = greatest * power_of_two(scale + self.s_bits()) < limit;
            let shift = if fits { 0 } else { scale - self.working_bits };
            self.shifts.push(shift);
            scale = scale - shift + self.s_bits();
        }
    }

    /// Fractional bits of the sum after its last product.
    fn last_scale(&self) -> u32 {
        let scale = |scale, shift: &u32| scale - shift + self.s_bits();
        self.shifts.iter().fold(self.working_bits, scale)
    }

    fn result_shift(&self, format: Format) -> i32 {
        self.last_scale().cast_signed() - format.frac_bits.cast_signed()
    }

    /// Bits of |x| above those that say which piece.
    fn n_beyond(&self) -> u32 {
        self.format.bound_bits - self.first_index_bit() - self.n_index
    }

    fn first_index_bit(&self) -> u32 {
        (self.format.frac_bits - self.cut.log_pieces).min(self.format.bound_bits)
    }

    /// The sign of each x, and for each piece whether |x| lies in it; without the bits of a piece if there is one alone.
    ///
    /// A negative number's bits are those of |x| − 1 turned round, so that the upper end of a piece may count as
    /// of it: its polynomial holds there too.
    async fn pieces<R: StockedRing>(
        &self,
        session: &mut Session,
        x: &Share<R>,
        stock: &mut Stock,
    ) -> Result<(BitShare, Option<Planes>), ProtocolError> {
        let n_planes = self.format.bound_bits as usize + 1;
        let mut planes = convert::a2b(session, x, n_planes, self.format.method, stock).await?;
        let sign = planes.pop().expect("at least the sign");
        let mut upper = planes.split_off(self.first_index_bit() as usize);
        upper.iter_mut().for_each(|plane| plane.xor_assign(&sign));
        let mut beyond = upper.split_off(self.n_index as usize);
        beyond
            .iter_mut()
            .for_each(|plane| plane.not(session.seat().index()));
        let mut hot: Option<Planes> = None;
        if !beyond.is_empty() {
            let mut all = Planes::zero(x.len(), beyond.len());
            for (i, plane) in beyond.iter().enumerate() {
                all.plane_mut(i).copy_from_slice(plane.as_words());
            }
            hot = Some(circuit::all_of(session, all, beyond.len(), stock).await?);
        }
        let mut n_hot = 1;
        for bit in upper.iter().rev() {
            hot = Some(halved(session, hot, n_hot, bit, stock).await?);
            n_hot *= 2;
        }
        Ok((sign, hot.filter(|_| n_hot > 1)))
    }

    /// The levels of [`pieces`](Self::pieces) after the bits of x.
    fn levels(&self) -> Vec<Gates> {
        let mut levels = circuit::all_of_levels(self.n_beyond() as usize);
        let is_all = self.n_beyond() == 0;
        levels.extend(
            (0..self.n_index)
                .skip(usize::from(is_all))
                .map(halved_gates),
        );
        levels
    }

    /// c_d to c_0 of each x's piece with [`working_bits`], the last less 1/2, and the piece's middle.
    async fn numbers<R: StockedRing>(
        &self,
        session: &mut Session,
        n_items: usize,
        hot: Option<Planes>,
        stock: &mut Stock,
    ) -> Result<Vec<Share<R>>, ProtocolError> {
        let degree = self.series[0].len() - 1;
        let middle = |piece: usize| R::from_u64(2 * piece as u64 + 1).shl(self.s_bits());
        let coefficient = |piece: usize, i: usize| {
            // What lies beyond all pieces has 1/2, which is added to all.
            let beyond = if i == 0 { 1.0 } else { 0.0 };
            constant::<R>(self.series[piece][i] - beyond, self.working_bits)
        };
        let pieces = 0..self.series.len();
        let mut weights: Vec<Vec<R>> = Vec::with_capacity(degree + 2);
        for i in (0..=degree).rev() {
            weights.push(pieces.clone().map(|piece| coefficient(piece, i)).collect());
        }
        weights.push(pieces.map(middle).collect());
        let mut sums = match hot {
            Some(hot) => {
                let planes: Vec<BitShare> = (0..self.series.len()).map(|i| hot.share(i)).collect();
                let planes: Vec<&BitShare> = planes.iter().collect();
                convert::planes_to_sums(session, &planes, &weights, stock).await?
            }
            None => {
                let own = |weights: &Vec<R>| {
                    let mut own = Share::zero(n_items);
                    add_public(session, &mut own, weights[0]);
                    own
                };
                weights.iter().map(own).collect()
            }
        };
        let half = R::ONE.shl(self.working_bits - 1);
        add_public(session, &mut sums[degree], half);
        Ok(sums)
    }

    /// Places of what changes its sign with x among the numbers: coefficients of even powers, and the middle.
    fn turned(&self) -> impl Iterator<Item = usize> {
        let n_coefficients = self.series[0].len();
        let is_even = move |place: &usize| (n_coefficients - 1 - place).is_multiple_of(2);
        (0..n_coefficients).filter(is_even).chain([n_coefficients])
    }

    /// Changes the signs of what changes its sign with x.
    async fn turn<R: StockedRing>(
        &self,
        session: &mut Session,
        sign: &BitShare,
        numbers: &mut [Share<R>],
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let n_items = sign.n_bits();
        let (mut signs, mut all) = (BitShare::zero(0), Share::zero(0));
        for place in self.turned() {
            signs.append(BitShare::from_words(n_items, sign.as_words().to_vec()));
            all.append(copy(&numbers[place]));
        }
        let chosen = mux::times(session, &signs, &all, stock).await?;
        let parts = chosen.as_slice().chunks_exact(n_items.max(1));
        for (place, part) in self.turned().zip(parts) {
            let minus_two = R::from_u64(2).wrapping_neg();
            ring::add_scaled(numbers[place].as_mut_slice(), part, minus_two);
        }
        Ok(())
    }

    /// Σ c_i·s^i with [`last_scale`](Self::last_scale), of coefficients from the last to the first.
    async fn horner<R: StockedRing>(
        &self,
        session: &mut Session,
        coefficients: Vec<Share<R>>,
        s: &Share<R>,
        stock: &mut Stock,
    ) -> Result<Share<R>, ProtocolError> {
        let mut coefficients = coefficients.into_iter();
        let mut sum = coefficients.next().expect("a polynomial has a coefficient");
        let mut scale = self.working_bits;
        for (n_bits, mut next) in self.shifts.iter().zip(coefficients) {
            sum = shift(session, sum, n_bits.cast_signed(), stock).await?;
            sum = mul::mul(session, &sum, s, stock).await?;
            scale = scale - n_bits + self.s_bits();
            next.scale_public(R::ONE.shl(scale - self.working_bits));
            sum.add_assign(&next);
        }
        Ok(sum)
    }
}

/// Of each of `n_hot` bits, at most one of which is set, two: without a further bit, and with it. No bits at all
/// stand for one that is set.
async fn halved(
    session: &mut Session,
    hot: Option<Planes>,
    n_hot: usize,
    bit: &BitShare,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let mut out = Planes::zero(bit.n_bits(), 2 * n_hot);
    let Some(hot) = hot else {
        out.plane_mut(1).copy_from_slice(bit.as_words());
        out.plane_mut(0).copy_from_slice(bit.as_words());
        if session.seat() == Seat(0) {
            out.plane_mut(0).iter_mut().for_each(|word| *word = !*word);
        }
        return Ok(out);
    };
    let mut level = Level::new(bit.n_bits());
    match n_hot {
        1 => level.and(bit.as_words(), hot.plane(0)),
        _ => (0..n_hot / 2)
            .for_each(|i| level.and_both(bit.as_words(), hot.plane(2 * i), hot.plane(2 * i + 1))),
    }
    let products = level.run(session, stock).await?;
    for i in 0..n_hot {
        let with = match (n_hot, i % 2) {
            (1, _) => products.single(0),
            (_, 0) => products.pair(i / 2).0,
            _ => products.pair(i / 2).1,
        };
        out.plane_mut(2 * i).copy_from_slice(hot.plane(i));
        bits::xor_assign(out.plane_mut(2 * i), with);
        out.plane_mut(2 * i + 1).copy_from_slice(with);
    }
    Ok(out)
}

/// The gates of [`halved`] of 2^`log_hot` bits.
fn halved_gates(log_hot: u32) -> Gates {
    match log_hot {
        0 => Gates::singles(1),
        _ => Gates {
            singles: 0,
            pairs: 1 << (log_hot - 1),
        },
    }
}

fn power_of_two(n_bits: u32) -> f64 {
    2f64.powi(n_bits.cast_signed())
}

fn sum_of_sizes(coefficients: &[f64]) -> f64 {
    coefficients.iter().map(|c| c.abs()).sum()
}

/// For each piece, of four [0, 1/4), [1/4, 1/2), …, the function as a polynomial in s ∈ [−1, 1].
///
/// Sums, products and quotients of floats alone, so that every seat finds the same numbers.
fn series(n_pieces: usize, cut: Cut) -> Vec<Vec<f64>> {
    let half = 1.0 / power_of_two(cut.log_pieces + 1);
    let value = |series: &[f64], s: f64| series.iter().rev().fold(0.0, |sum, c| sum * s + c);
    let mut middle = value(&taylor(0.5, half), 1.0);
    let mut pieces = Vec::with_capacity(n_pieces);
    for _ in 0..n_pieces {
        let taylor = taylor(middle, half);
        middle = value(&taylor, 2.0);
        pieces.push(economised(taylor, cut.degree));
    }
    pieces
}

/// Taylor's series around a point where the function is `y`, in units of `half`: y' = half·y·(1 − y).
fn taylor(y: f64, half: f64) -> Vec<f64> {
    let mut a = vec![y];
    for k in 0..N_TERMS {
        let square: f64 = (0..=k).map(|i| a[i] * a[k - i]).sum();
        a.push(half * (a[k] - square) / (k + 1) as f64);
    }
    a
}

/// The same with `degree`: each higher power is written as Chebyshev's polynomial, which is left out, and lower powers.
fn economised(mut series: Vec<f64>, degree: usize) -> Vec<f64> {
    while series.len() > degree + 1 {
        let n = series.len() - 1;
        let last = series.pop().expect("longer than the degree");
        let chebyshev = chebyshev(n);
        for (c, t) in series.iter_mut().zip(&chebyshev) {
            *c -= last / chebyshev[n] * t;
        }
    }
    series
}

/// T_n: T_0 = 1, T_1 = s, T_(n+1) = 2s·T_n − T_(n−1).
fn chebyshev(n: usize) -> Vec<f64> {
    let (mut before, mut t) = (vec![1.0], vec![0.0, 1.0]);
    if n == 0 {
        return before;
    }
    for _ in 1..n {
        let mut next = vec![0.0; t.len() + 1];
        for (i, c) in t.iter().enumerate() {
            next[i + 1] += 2.0 * c;
        }
        for (i, c) in before.iter().enumerate() {
            next[i] -= c;
        }
        (before, t) = (t, next);
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(n_pieces: usize, cut: Cut) -> f64 {
        let width = 1.0 / power_of_two(cut.log_pieces);
        let mut worst = 0.0f64;
        for (i, piece) in series(n_pieces, cut).iter().enumerate() {
            for step in -100..=100 {
                let s = f64::from(step) / 100.0;
                let x = (i as f64 + 0.5 + s / 2.0) * width;
                let found = piece.iter().rev().fold(0.0, |sum, c| sum * s + c);
                worst = worst.max((found - 1.0 / (1.0 + (-x).exp())).abs());
            }
        }
        worst
    }

    #[test]
    fn pieces_are_the_function() {
        for frac_bits in 1..=40 {
            let cut = Cut::of::<u64>(frac_bits);
            let bound = 5e-9f64.max(0.25 / power_of_two(frac_bits));
            let worst = left_out(16 << cut.log_pieces, cut);
            assert!(worst < bound, "{frac_bits} fractional bits: {worst:e}");
        }
        assert!(left_out(128, Cut::of::<u128>(40)) < 3e-15);
    }

    #[test]
    fn scales_of_models_take_three_truncations() {
        let format = Format {
            frac_bits: 24,
            bound_bits: 36,
            method: crate::arith::compare::Method::Summed,
        };
        let scheme = Scheme::of::<u64>(format);
        assert_eq!(scheme.shifts, [0, 0, 42, 21], "and one of the result");
        assert_eq!(scheme.last_scale(), 50);
    }
}
