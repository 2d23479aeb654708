//! Real functions against floats: the bounds of the table in [`protocols::function`], on grids, at random
//! points and at the borders of the domains. The measured errors are printed.

use super::{Clear, Shared, joined, run, seats};
use crate::world::{World, all_ok, prg};
use engine::prg::Prg;
use engine::ring::Ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::function::{self, Format};
use protocols::price::{Price, Seats};
use protocols::session::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Real {
    Reciprocal,
    Divide,
    Sqrt,
    Rsqrt,
    Exp,
    Log,
    Sigmoid,
}

/// M of [`function::exp`]: results lie between 2^−M and 2^M.
fn exp_range<R: Ring>() -> f64 {
    if R::BITS == 64 { 16.0 } else { 32.0 }
}

/// Where its argument is cut off: a number of the format.
fn exp_limit<R: Ring>(format: Format) -> f64 {
    let unit = power_of_two(-format.frac_bits.cast_signed());
    let limit = (exp_range::<R>() - 1.0 / 64.0) * std::f64::consts::LN_2;
    (limit / unit).round() * unit
}

fn power_of_two(n: i32) -> f64 {
    2f64.powi(n)
}

fn element<R: Ring>(value: i128) -> R {
    R::from_signed(value).expect("the test's numbers fit")
}

impl Real {
    pub(crate) const ALL: [Self; 7] = [
        Self::Reciprocal,
        Self::Divide,
        Self::Sqrt,
        Self::Rsqrt,
        Self::Exp,
        Self::Log,
        Self::Sigmoid,
    ];

    /// A random argument of a random magnitude in the domain.
    pub(crate) fn inputs<R: Ring>(
        self,
        format: Format,
        n_items: usize,
        prg: &mut Prg,
    ) -> Vec<Vec<R>> {
        let mut positive = |n_bits: u32| {
            let n_bits = 1 + prg.next_bounded(u64::from(n_bits)) as u32;
            let low = 1i128 << (n_bits - 1);
            low + i128::from(prg.next_u64()) % low.max(1)
        };
        let b = format.bound_bits;
        let small = b.min(format.frac_bits + 3);
        let mut column = |kind: u32| {
            let value = |i: usize| {
                let sign = if i.is_multiple_of(2) { 1 } else { -1 };
                element(match kind {
                    0 => positive(b),
                    1 => sign * positive(b),
                    _ => sign * positive(small),
                })
            };
            (0..n_items).map(value).collect::<Vec<R>>()
        };
        match self {
            Self::Divide => vec![column(1), column(0)],
            Self::Exp | Self::Sigmoid => vec![column(2)],
            _ => vec![column(0)],
        }
    }

    /// The function of floats.
    fn of(self, x: f64, y: f64, limit: f64) -> f64 {
        match self {
            Self::Reciprocal => 1.0 / x,
            Self::Divide => x / y,
            Self::Sqrt => x.sqrt(),
            Self::Rsqrt => 1.0 / x.sqrt(),
            Self::Exp => x.clamp(-limit, limit).exp(),
            Self::Log => x.ln(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// The declared bound of the error at this point.
    fn bound<R: Ring>(self, format: Format, x: f64, y: f64) -> f64 {
        let f = format.frac_bits.cast_signed();
        let unit = power_of_two(-f);
        let narrow = R::BITS == 64;
        let delta = match (self, narrow) {
            (Self::Reciprocal | Self::Divide | Self::Exp, true) => 3e-9,
            (Self::Reciprocal | Self::Divide, false) => 1e-17,
            (Self::Sqrt | Self::Rsqrt, true) => 2e-12,
            (Self::Sqrt | Self::Rsqrt, false) => 1e-23,
            (Self::Exp | Self::Sigmoid, false) => 3e-15,
            (Self::Log, true) => 4e-8,
            (Self::Log, false) => 2e-14,
            (Self::Sigmoid, true) => 6e-9,
        };
        let room = R::BITS as i32 - 4 - format.bound_bits.cast_signed();
        let widest = R::BITS as i32 / 2 - 3;
        let w = match self {
            Self::Exp | Self::Sigmoid => widest,
            _ => widest.min(room),
        };
        let epsilon = power_of_two(4 - w) + delta;
        let value = self.of(x, y, exp_limit::<R>(format)).abs();
        let float = 4.0 * f64::EPSILON * value.max(1.0);
        float
            + 2.0 * unit
            + match self {
                Self::Reciprocal | Self::Sqrt | Self::Rsqrt => epsilon * value,
                Self::Divide => 2.0 * unit / y + epsilon * value,
                Self::Exp => (2.0 * epsilon + power_of_two(f - 50)) * value,
                Self::Log => epsilon,
                Self::Sigmoid => {
                    2.0 * epsilon + power_of_two(f - 50) + (1.0 / 64.0 - exp_range::<R>()).exp2()
                }
            }
    }

    fn points<R: Ring>(self, format: Format, ring: &[Vec<R>]) -> Vec<(f64, f64)> {
        let scale = power_of_two(-format.frac_bits.cast_signed());
        let real = |v: &R| v.to_signed() as f64 * scale;
        let y = |i: usize| ring.get(1).map_or(0.0, |y| real(&y[i]));
        let x = ring[0].iter().enumerate();
        x.map(|(i, x)| (real(x), y(i))).collect()
    }

    pub(crate) fn expected<R: Ring>(self, format: Format, ring: &[Vec<R>]) -> Vec<R> {
        let scale = power_of_two(format.frac_bits.cast_signed());
        let points = self.points(format, ring);
        let value = |(x, y): &(f64, f64)| self.of(*x, *y, exp_limit::<R>(format));
        let nearest = |p| element((value(p) * scale).round() as i128);
        points.iter().map(nearest).collect()
    }

    /// Greatest error, and the greatest as a part of its bound.
    fn errors<R: Ring>(self, format: Format, ring: &[Vec<R>], found: &[R]) -> (f64, f64) {
        let scale = power_of_two(-format.frac_bits.cast_signed());
        let mut worst = (0.0f64, 0.0f64);
        for ((x, y), found) in self.points(format, ring).into_iter().zip(found) {
            let expected = self.of(x, y, exp_limit::<R>(format));
            let error = (found.to_signed() as f64 * scale - expected).abs();
            let part = error / self.bound::<R>(format, x, y);
            assert!(
                part <= 1.0,
                "{self:?} of {x} and {y}: {error:e}, {part} of its bound, {format:?}"
            );
            worst = (worst.0.max(error), worst.1.max(part));
        }
        worst
    }

    pub(crate) fn assert_close<R: Ring>(self, format: Format, ring: &[Vec<R>], found: &[R]) {
        self.errors(format, ring, found);
    }

    pub(crate) fn price<R: StockedRing>(self, seats: Seats, n: usize, format: Format) -> Price {
        match self {
            Self::Reciprocal => function::reciprocal_price::<R>(seats, n, format),
            Self::Divide => function::divide_price::<R>(seats, n, format),
            Self::Sqrt => function::sqrt_price::<R>(seats, n, format),
            Self::Rsqrt => function::rsqrt_price::<R>(seats, n, format),
            Self::Exp => function::exp_price::<R>(seats, n, format),
            Self::Log => function::log_price::<R>(seats, n, format),
            Self::Sigmoid => function::sigmoid_price::<R>(seats, n, format),
        }
    }

    pub(crate) async fn call<R: StockedRing>(
        self,
        session: &mut Session,
        ring: &[Share<R>],
        format: Format,
        stock: &mut Stock,
    ) -> Result<Share<R>, ProtocolError> {
        let x = &ring[0];
        match self {
            Self::Reciprocal => function::reciprocal(session, x, format, stock).await,
            Self::Divide => function::divide(session, x, &ring[1], format, stock).await,
            Self::Sqrt => function::sqrt(session, x, format, stock).await,
            Self::Rsqrt => function::rsqrt(session, x, format, stock).await,
            Self::Exp => function::exp(session, x, format, stock).await,
            Self::Log => function::log(session, x, format, stock).await,
            Self::Sigmoid => function::sigmoid(session, x, format, stock).await,
        }
    }
}

/// A grid over the domain, its borders and their neighbours, all powers of two and theirs.
fn grid<R: Ring>(real: Real, format: Format) -> Vec<Vec<R>> {
    let top = (1i128 << format.bound_bits) - 1;
    let mut positive = vec![1, 2, 3, top - 1, top];
    for i in 1..format.bound_bits {
        positive.extend([(1i128 << i) - 1, 1 << i, (1 << i) + 1]);
    }
    positive.extend((1..400).map(|i| top / 400 * i));
    // Where the exponential is limited, and around.
    let limit = (exp_range::<R>() - 1.0 / 64.0) * std::f64::consts::LN_2;
    let limit = (limit * power_of_two(format.frac_bits.cast_signed())) as i128;
    positive.extend((-2..=2).map(|i| (limit + i).min(top)));
    positive.extend((1..400).map(|i| (limit / 400 * i).clamp(1, top)));
    let both = positive.iter().flat_map(|v| [*v, -v]);
    let column = |values: Vec<i128>| values.into_iter().map(element).collect::<Vec<R>>();
    match real {
        Real::Exp | Real::Sigmoid => vec![column(both.chain([0]).collect())],
        Real::Divide => {
            let n = positive.len() * 2;
            let divisors = (0..n).map(|i| positive[(i * 7) % positive.len()]);
            vec![column(both.collect()), column(divisors.collect())]
        }
        _ => vec![column(positive)],
    }
}

fn evaluated<R: StockedRing>(real: Real, format: Format, ring: &[Vec<R>]) -> Vec<R> {
    let needs = real.price::<R>(seats(2), ring[0].len(), format).needs;
    let inputs = Clear::of_ring(ring.to_vec());
    let ended = run(
        World::new(2, 40),
        &inputs,
        &needs,
        async |session, inputs, stock| {
            let result = real.call(session, &inputs.ring, format, stock).await?;
            Ok(Shared {
                ring: vec![result],
                bits: Vec::new(),
            })
        },
    );
    joined(all_ok(ended)).ring.swap_remove(0)
}

fn check_table<R: StockedRing>(formats: &[(u32, u32)]) {
    for real in Real::ALL {
        for (frac_bits, bound_bits) in formats {
            let format = Format {
                frac_bits: *frac_bits,
                bound_bits: *bound_bits,
                method: Method::Masked,
            };
            let mut ring = grid::<R>(real, format);
            let random = real.inputs::<R>(format, 2000, &mut prg(41));
            ring.iter_mut()
                .zip(random)
                .for_each(|(r, more)| r.extend(more));
            let found = evaluated(real, format, &ring);
            let (error, part) = real.errors(format, &ring, &found);
            let n_points = found.len();
            let (k, f, b) = (R::BITS, frac_bits, bound_bits);
            println!(
                "{real:?}, k = {k}, f = {f}, b = {b}: {n_points} points, {error:.2e}, {part:.2} of the bound"
            );
        }
    }
}

#[test]
fn errors_over_64_bits_are_within_the_table() {
    check_table::<u64>(&[(16, 28), (20, 30), (8, 20), (13, 25)]);
}

#[test]
fn errors_over_128_bits_are_within_the_table() {
    check_table::<u128>(&[(40, 60), (32, 50)]);
}

#[test]
fn zero_has_no_inverse_and_gives_zero() {
    let format = Format {
        frac_bits: 16,
        bound_bits: 28,
        method: Method::Summed,
    };
    for real in [Real::Reciprocal, Real::Sqrt, Real::Rsqrt] {
        assert_eq!(
            evaluated(real, format, &[vec![0u64; 3]]),
            [0; 3],
            "{real:?}"
        );
    }
}
