//! The protocols as a list: inputs, plain counterpart, price, and how each is called.

use super::real::Real;
use super::{Clear, Shared};
use engine::bits;
use engine::prg::Prg;
use engine::ring::Ring;
use engine::share::Share;
use protocols::arith::compare::{self, Method};
use protocols::arith::{bits as planes, convert, matmul, mul, mux, order, scale, trunc};
use protocols::correlate::{MatrixShape, Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::function::Format;
use protocols::price::{Price, Seats};
use protocols::session::Session;

/// One protocol with its public parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Mul,
    /// With so many columns.
    Scale(usize),
    Square,
    Dot,
    Mux,
    Times,
    BitToArith,
    PlanesToArith(usize),
    B2a(usize),
    /// With [`weights`].
    PlanesToSums(usize),
    A2b(usize, Method),
    LessThanZero(u32, Method),
    LessThan(u32, Method),
    EqualZero(u32, Method),
    BitsLessThan(usize),
    BitsEqual(usize),
    Trunc(u32),
    TruncExact(u32, Method),
    MinMax(u32, Method),
    Argmax(usize, u32, Method),
    Sign(u32, Method),
    Abs(u32, Method),
    Clamp(u32, Method),
    Real(Real, Format),
}

pub(crate) const METHODS: [Method; 2] = [Method::Masked, Method::Summed];

/// Limits of [`Op::Clamp`].
const LIMITS: (i128, i128) = (-3, 7);

/// Every protocol once, with parameters for a ring of k bits.
pub(crate) fn all<R: Ring>() -> Vec<Op> {
    let k = R::BITS;
    let mut ops = vec![
        Op::Mul,
        Op::Scale(1),
        Op::Scale(4),
        Op::Square,
        Op::Dot,
        Op::Mux,
        Op::Times,
        Op::BitToArith,
        Op::PlanesToArith(3),
        Op::PlanesToSums(1),
        Op::PlanesToSums(5),
        Op::B2a(1),
        Op::B2a(k as usize),
        Op::BitsLessThan(1),
        Op::BitsLessThan(3),
        Op::BitsLessThan(80),
        Op::BitsEqual(1),
        Op::BitsEqual(7),
        Op::BitsEqual(80),
        Op::Trunc(1),
        Op::Trunc(20),
        Op::Trunc(k - 3),
    ];
    for method in METHODS {
        ops.extend([
            Op::A2b(k as usize, method),
            Op::A2b(13, method),
            Op::A2b(1, method),
            Op::LessThanZero(k - 1, method),
            Op::LessThanZero(12, method),
            Op::LessThanZero(0, method),
            Op::LessThan(33, method),
            Op::EqualZero(k - 1, method),
            Op::EqualZero(9, method),
            Op::EqualZero(0, method),
            Op::TruncExact(20, method),
            Op::TruncExact(1, method),
            Op::MinMax(30, method),
            Op::Argmax(1, 20, method),
            Op::Argmax(5, 20, method),
            Op::Argmax(8, 20, method),
            Op::Sign(10, method),
            Op::Abs(40, method),
            Op::Clamp(25, method),
        ]);
        let format = Format {
            frac_bits: k / 4,
            bound_bits: k / 2 - 6,
            method,
        };
        ops.extend(Real::ALL.map(|real| Op::Real(real, format)));
    }
    ops
}

fn element<R: Ring>(value: i128) -> R {
    R::from_signed(value).expect("the test's numbers fit")
}

/// A number of the lowest bits of a random one, with its sign; every few an edge of the range.
fn signed_below(prg: &mut Prg, bound_bits: u32) -> i128 {
    let edge = 1i128 << bound_bits.min(126);
    let mut bytes = [0; 16];
    prg.fill_bytes(&mut bytes);
    match prg.next_bounded(12) {
        0 => 0,
        1 => -1,
        2 => -edge,
        3 => edge - 1,
        4 if edge > 1 => 1,
        5 if edge > 2 => i128::from(bytes[0] % 3) - 1,
        _ => i128::from_le_bytes(bytes) >> (127 - bound_bits.min(126)),
    }
}

/// The weights of two sums of so many bits.
fn weights<R: Ring>(n_planes: usize) -> Vec<Vec<R>> {
    let weight = |i: usize, of: i128| element((i as i128 + 1) * of);
    let sum = |of: i128| (0..n_planes).map(|i| weight(i, of)).collect();
    vec![sum(-3), sum(1 << 40)]
}

/// n numbers in [−2^b, 2^b).
fn column<R: Ring>(prg: &mut Prg, n_items: usize, bound_bits: u32) -> Vec<R> {
    // An i128 cannot hold an edge of its own type twice over.
    let bound_bits = bound_bits.min(126);
    (0..n_items)
        .map(|_| element(signed_below(prg, bound_bits)))
        .collect()
}

fn random_bits(prg: &mut Prg, n_items: usize) -> (usize, Vec<u64>) {
    let mut words = vec![0; bits::words_for(n_items)];
    prg.fill_ring(&mut words);
    bits::clear_tail(&mut words, n_items);
    (n_items, words)
}

/// Two numbers of w bits a lane, as planes: every other lane has equal high bits, or all equal.
fn two_numbers(prg: &mut Prg, n_items: usize, n_planes: usize) -> Vec<(usize, Vec<u64>)> {
    let x: Vec<_> = (0..n_planes).map(|_| random_bits(prg, n_items)).collect();
    let mut y: Vec<_> = (0..n_planes).map(|_| random_bits(prg, n_items)).collect();
    let first_equal = prg.next_bounded(n_planes as u64) as usize;
    for (i, (plane, other)) in y.iter_mut().zip(&x).enumerate() {
        for (word, other) in plane.1.iter_mut().zip(&other.1) {
            let same: u64 = match i >= first_equal {
                true => 0xaaaa_aaaa_aaaa_aaaa | 0x1111_1111_1111_1111,
                false => 0x1111_1111_1111_1111,
            };
            *word = *word & !same | other & same;
        }
    }
    x.into_iter().chain(y).collect()
}

impl Op {
    /// Random secrets for n items, edges of the ranges among them.
    pub(crate) fn inputs<R: Ring>(self, n_items: usize, prg: &mut Prg) -> Clear<R> {
        let k = R::BITS;
        let mut clear = Clear::default();
        match self {
            Self::Mul | Self::Dot => {
                let x = column(prg, n_items, k - 1);
                clear.ring = vec![x, column(prg, n_items, k - 1)];
            }
            Self::Scale(m) => clear.ring = (0..=m).map(|_| column(prg, n_items, k - 1)).collect(),
            Self::Square => clear.ring = vec![column(prg, n_items, k - 1)],
            Self::Mux => {
                let x = column(prg, n_items, k - 1);
                clear.ring = vec![x, column(prg, n_items, k - 1)];
                clear.bits = vec![random_bits(prg, n_items)];
            }
            Self::Times => {
                clear.ring = vec![column(prg, n_items, k - 1)];
                clear.bits = vec![random_bits(prg, n_items)];
            }
            Self::BitToArith => clear.bits = vec![random_bits(prg, n_items)],
            Self::PlanesToArith(w) | Self::B2a(w) | Self::PlanesToSums(w) => {
                clear.bits = (0..w).map(|_| random_bits(prg, n_items)).collect();
            }
            Self::A2b(..) => clear.ring = vec![column(prg, n_items, k - 1)],
            Self::LessThanZero(b, _) | Self::EqualZero(b, _) => {
                clear.ring = vec![column(prg, n_items, b)];
            }
            Self::LessThan(b, _) | Self::MinMax(b, _) => {
                let x = column(prg, n_items, b - 1);
                clear.ring = vec![x, column(prg, n_items, b - 1)];
            }
            Self::BitsLessThan(w) | Self::BitsEqual(w) => {
                clear.bits = two_numbers(prg, n_items, w);
            }
            Self::Trunc(_) => clear.ring = vec![column(prg, n_items, k - 2)],
            Self::TruncExact(f, _) => {
                let half = 1 << (f - 1);
                let top = (1i128 << (k - 2)) - half - 1;
                let mut x: Vec<R> = column(prg, n_items, k - 2);
                for x in &mut x {
                    *x = element(x.to_signed().min(top));
                }
                clear.ring = vec![x];
            }
            Self::Argmax(m, b, _) => {
                clear.ring = (0..m).map(|_| column(prg, n_items, b - 1)).collect();
            }
            Self::Sign(b, _) | Self::Abs(b, _) => {
                let mut x: Vec<R> = column(prg, n_items, b);
                for x in &mut x {
                    *x = element(x.to_signed().max(1 - (1 << b)));
                }
                clear.ring = vec![x];
            }
            Self::Clamp(b, _) => clear.ring = vec![column(prg, n_items, b - 1)],
            Self::Real(real, format) => clear.ring = real.inputs(format, n_items, prg),
        }
        clear
    }

    /// What comes out, in the clear. A truncation that rounds either way is rounded down, and of a real
    /// function this is the nearest number.
    pub(crate) fn expected<R: Ring>(self, inputs: &Clear<R>) -> Clear<R> {
        let ring = |i: usize| inputs.ring[i].iter().map(|v| v.to_signed());
        let bools = |i: usize| bits::unpack(&inputs.bits[i].1, inputs.bits[i].0);
        let number = |v: i128| element::<R>(v);
        let one_column = |values: Vec<R>| Clear::of_ring(vec![values]);
        let zip = |f: fn(R, R) -> R| {
            let both = inputs.ring[0].iter().zip(&inputs.ring[1]);
            both.map(|(x, y)| f(*x, *y)).collect::<Vec<R>>()
        };
        let select = |x: &R, bit: bool| if bit { *x } else { R::ZERO };
        match self {
            Self::Mul => one_column(zip(R::wrapping_mul)),
            Self::Dot => one_column(vec![engine::ring::sum(&zip(R::wrapping_mul))]),
            Self::Square => one_column(inputs.ring[0].iter().map(|x| x.wrapping_mul(*x)).collect()),
            Self::Mux => {
                let both = inputs.ring[0].iter().zip(&inputs.ring[1]).zip(bools(0));
                one_column(both.map(|((x, y), b)| if b { *x } else { *y }).collect())
            }
            Self::Times => {
                let both = inputs.ring[0].iter().zip(bools(0));
                one_column(both.map(|(x, b)| select(x, b)).collect())
            }
            Self::BitToArith | Self::PlanesToArith(_) => {
                let one = |i| bools(i).into_iter().map(|b| select(&R::ONE, b)).collect();
                Clear::of_ring((0..inputs.bits.len()).map(one).collect())
            }
            Self::B2a(_) => {
                let mut sum = vec![R::ZERO; inputs.bits[0].0];
                for i in 0..inputs.bits.len() {
                    for (sum, bit) in sum.iter_mut().zip(bools(i)) {
                        *sum = sum.wrapping_add(select(&R::ONE.shl(i as u32), bit));
                    }
                }
                one_column(sum)
            }
            Self::Trunc(f) => one_column(ring(0).map(|v| number(v >> f)).collect()),
            Self::TruncExact(f, _) => {
                one_column(ring(0).map(|v| number((v + (1 << (f - 1))) >> f)).collect())
            }
            Self::MinMax(..) => {
                let both = || ring(0).zip(ring(1));
                Clear::of_ring(vec![
                    both().map(|(x, y)| number(x.min(y))).collect(),
                    both().map(|(x, y)| number(x.max(y))).collect(),
                ])
            }
            Self::Argmax(m, ..) => {
                let greatest = |row: usize| {
                    let value = |i: usize| inputs.ring[i][row].to_signed();
                    let best = (1..m).fold(0, |a, i| if value(i) > value(a) { i } else { a });
                    (number(value(best)), number(best as i128))
                };
                let (values, places) = (0..inputs.ring[0].len()).map(greatest).unzip();
                Clear::of_ring(vec![values, places])
            }
            Self::Sign(..) => one_column(ring(0).map(|v| number(v.signum())).collect()),
            Self::Abs(..) => {
                let mut clear = Clear::of_bits(vec![ring(0).map(|v| v < 0).collect()]);
                clear.ring = vec![ring(0).map(|v| number(v.abs())).collect()];
                clear
            }
            Self::Clamp(..) => {
                let limited = |v: i128| number(v.clamp(LIMITS.0, LIMITS.1));
                one_column(ring(0).map(limited).collect())
            }
            Self::Real(real, format) => one_column(real.expected(format, &inputs.ring)),
            Self::Scale(_) | Self::PlanesToSums(_) => self.expected_columns(inputs),
            other => other.expected_bits(inputs),
        }
    }

    /// Of the protocols that give several columns of one kind.
    fn expected_columns<R: Ring>(self, inputs: &Clear<R>) -> Clear<R> {
        let bools = |i: usize| bits::unpack(&inputs.bits[i].1, inputs.bits[i].0);
        let select = |x: &R, bit: bool| if bit { *x } else { R::ZERO };
        match self {
            Self::Scale(_) => {
                let (x, columns) = inputs.ring.split_first().expect("a factor");
                let scaled = |column: &Vec<R>| -> Vec<R> {
                    let both = x.iter().zip(column);
                    both.map(|(x, y)| x.wrapping_mul(*y)).collect()
                };
                Clear::of_ring(columns.iter().map(scaled).collect())
            }
            Self::PlanesToSums(w) => {
                let of = |weights: Vec<R>| {
                    let mut sum = vec![R::ZERO; inputs.bits[0].0];
                    for (i, weight) in weights.iter().enumerate() {
                        for (sum, bit) in sum.iter_mut().zip(bools(i)) {
                            *sum = sum.wrapping_add(select(weight, bit));
                        }
                    }
                    sum
                };
                Clear::of_ring(weights(w).into_iter().map(of).collect())
            }
            other => panic!("{other:?} gives other columns"),
        }
    }

    /// Of the protocols that give bits alone.
    fn expected_bits<R: Ring>(self, inputs: &Clear<R>) -> Clear<R> {
        let ring = |i: usize| inputs.ring[i].iter().map(|v| v.to_signed());
        let bools = |i: usize| bits::unpack(&inputs.bits[i].1, inputs.bits[i].0);
        match self {
            Self::A2b(w, _) => {
                let plane = |i: usize| ring(0).map(|v| v >> i & 1 == 1).collect();
                Clear::of_bits((0..w).map(plane).collect())
            }
            Self::LessThanZero(..) => Clear::of_bits(vec![ring(0).map(|v| v < 0).collect()]),
            Self::EqualZero(..) => Clear::of_bits(vec![ring(0).map(|v| v == 0).collect()]),
            Self::LessThan(..) => {
                Clear::of_bits(vec![ring(0).zip(ring(1)).map(|(x, y)| x < y).collect()])
            }
            Self::BitsLessThan(w) | Self::BitsEqual(w) => {
                let x: Vec<Vec<bool>> = (0..2 * w).map(bools).collect();
                let order = |lane: usize| {
                    let of = |i: usize| (x[i][lane], x[w + i][lane]);
                    let highest = (0..w).rev().map(of).find(|(x, y)| x != y);
                    match self {
                        Self::BitsEqual(_) => highest.is_none(),
                        _ => highest.is_some_and(|(x, _)| !x),
                    }
                };
                Clear::of_bits(vec![(0..x[0].len()).map(order).collect()])
            }
            other => panic!("{other:?} gives numbers"),
        }
    }

    pub(crate) fn price<R: StockedRing>(self, seats: Seats, n: usize) -> Price {
        match self {
            Self::Mul | Self::Square => mul::price::<R>(seats, n),
            Self::Scale(m) => scale::price::<R>(seats, n, m),
            Self::Dot => matmul::price::<R>(seats, matmul::dot_shape(n)),
            Self::Mux | Self::Times => mux::price::<R>(seats, n),
            Self::BitToArith => convert::planes_price::<R>(seats, n, 1),
            Self::PlanesToArith(w) | Self::B2a(w) | Self::PlanesToSums(w) => {
                convert::planes_price::<R>(seats, n, w)
            }
            Self::A2b(w, method) => convert::a2b_price::<R>(seats, n, w, method),
            Self::LessThanZero(b, m) | Self::LessThan(b, m) => {
                compare::less_than_zero_price::<R>(seats, n, b, m)
            }
            Self::EqualZero(b, m) => compare::equal_zero_price::<R>(seats, n, b, m),
            Self::BitsLessThan(w) => planes::less_than_price(seats, n, w),
            Self::BitsEqual(w) => planes::equal_price(seats, n, w),
            Self::Trunc(f) => trunc::price::<R>(seats, n, f),
            Self::TruncExact(f, m) => trunc::exact_price::<R>(seats, n, f, m),
            Self::MinMax(b, m) | Self::Abs(b, m) => order::min_max_price::<R>(seats, n, b, m),
            Self::Argmax(c, b, m) => order::argmax_price::<R>(seats, n, c, b, m),
            Self::Sign(b, m) => order::sign_price::<R>(seats, n, b, m),
            Self::Clamp(b, m) => order::clamp_price::<R>(seats, n, b, m),
            Self::Real(real, format) => real.price::<R>(seats, n, format),
        }
    }

    /// Of the protocols that give several columns of one kind.
    async fn columns<R: StockedRing>(
        self,
        session: &mut Session,
        Shared { ring, bits }: &Shared<R>,
        stock: &mut Stock,
    ) -> Result<Vec<Share<R>>, ProtocolError> {
        let planes: Vec<_> = bits.iter().collect();
        match self {
            Self::Scale(_) => scale::scale(session, &ring[0], &ring[1..], stock).await,
            Self::PlanesToArith(_) => convert::planes_to_arith(session, &planes, stock).await,
            Self::PlanesToSums(w) => {
                convert::planes_to_sums(session, &planes, &weights(w), stock).await
            }
            other => panic!("{other:?} gives other columns"),
        }
    }

    pub(crate) async fn call<R: StockedRing>(
        self,
        session: &mut Session,
        inputs: &Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let Shared { ring, bits } = inputs;
        let mut out = Shared::default();
        match self {
            Self::Mul => out.ring = vec![mul::mul(session, &ring[0], &ring[1], stock).await?],
            Self::Square => out.ring = vec![mul::square(session, &ring[0], stock).await?],
            Self::Dot => out.ring = vec![matmul::dot(session, &ring[0], &ring[1], stock).await?],
            Self::Mux => {
                out.ring = vec![mux::mux(session, &bits[0], &ring[0], &ring[1], stock).await?];
            }
            Self::Times => out.ring = vec![mux::times(session, &bits[0], &ring[0], stock).await?],
            Self::BitToArith => {
                out.ring = vec![convert::bit_to_arith(session, &bits[0], stock).await?];
            }
            Self::Scale(_) | Self::PlanesToArith(_) | Self::PlanesToSums(_) => {
                out.ring = self.columns(session, inputs, stock).await?;
            }
            Self::B2a(_) => out.ring = vec![convert::b2a(session, bits, stock).await?],
            Self::A2b(w, m) => out.bits = convert::a2b(session, &ring[0], w, m, stock).await?,
            Self::LessThanZero(b, m) => {
                out.bits = vec![compare::less_than_zero(session, &ring[0], b, m, stock).await?];
            }
            Self::LessThan(b, m) => {
                let bit = compare::less_than(session, &ring[0], &ring[1], b, m, stock).await?;
                out.bits = vec![bit];
            }
            Self::EqualZero(b, m) => {
                out.bits = vec![compare::equal_zero(session, &ring[0], b, m, stock).await?];
            }
            Self::BitsLessThan(w) => {
                let (x, y) = bits.split_at(w);
                out.bits = vec![planes::less_than(session, x, y, stock).await?];
            }
            Self::BitsEqual(w) => {
                let (x, y) = bits.split_at(w);
                out.bits = vec![planes::equal(session, x, y, stock).await?];
            }
            Self::Trunc(f) => {
                out.ring = vec![trunc::probabilistic(session, &ring[0], f, stock).await?];
            }
            Self::TruncExact(f, m) => {
                out.ring = vec![trunc::exact(session, &ring[0], f, m, stock).await?];
            }
            Self::MinMax(b, m) => {
                let (x, y) = (&ring[0], &ring[1]);
                let (min, max) = order::min_max(session, x, y, b, m, stock).await?;
                out.ring = vec![min, max];
            }
            Self::Argmax(_, b, m) => {
                let (value, place) = order::argmax(session, ring, b, m, stock).await?;
                out.ring = vec![value, place];
            }
            Self::Sign(b, m) => {
                out.ring = vec![order::sign(session, &ring[0], b, m, stock).await?];
            }
            Self::Abs(b, m) => {
                let (magnitude, sign) = order::abs(session, &ring[0], b, m, stock).await?;
                (out.ring, out.bits) = (vec![magnitude], vec![sign]);
            }
            Self::Clamp(b, m) => {
                let limits = (element(LIMITS.0), element(LIMITS.1));
                out.ring = vec![order::clamp(session, &ring[0], limits, (b, m), stock).await?];
            }
            Self::Real(real, format) => {
                out.ring = vec![real.call(session, ring, format, stock).await?];
            }
        }
        Ok(out)
    }
}

/// The shapes of [`matmul`](protocols::arith::matmul) that the tests run.
pub(crate) fn shapes() -> impl Iterator<Item = MatrixShape> {
    let shapes = [
        (0, 0, 0),
        (0, 3, 2),
        (3, 0, 2),
        (1, 1, 1),
        (1, 64, 1),
        (2, 3, 5),
        (7, 13, 1),
        (17, 5, 31),
        (65, 33, 64),
    ];
    shapes.into_iter().map(|(m, k, n)| MatrixShape { m, k, n })
}
