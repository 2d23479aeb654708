//! Conversions between additive shares of numbers and XOR shares of their bits.

use super::circuit;
use super::compare::{Method, summed};
use crate::boolean::{Gates, Planes};
use crate::correlate::{DaBits, EdaBits, RingNeeds, Stock, StockedRing};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits::{self, BLOCK_ITEMS, BLOCK_WORDS};
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::ops::Range;

/// Turns XOR-shared bits into additive shares of 0 and 1.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `bits`: n shared bits; takes n daBits
/// # Output    n shares
/// # Cost      1 round; n bits to each other seat; [`planes_price`] of one plane
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Rotaru–Wood, INDOCRYPT 2019 (2019/207), §3: with δ = b⊕β opened, b = δ + β − 2·δ·β
pub async fn bit_to_arith<R: StockedRing>(
    session: &mut Session,
    bits: &BitShare,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut each = planes_to_arith(session, &[bits], stock).await?;
    Ok(each.pop().expect("a share for each plane"))
}

/// Turns each of several vectors of XOR-shared bits into additive shares of 0 and 1, in one round.
///
/// # Cost      1 round; [`planes_price`]
/// # Panics    if the planes have different lengths
///
/// Everything else is that of [`bit_to_arith`].
pub async fn planes_to_arith<R: StockedRing>(
    session: &mut Session,
    planes: &[&BitShare],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    R::planes_to_arith(session, planes, stock).await
}

pub(super) async fn planes_to_arith_over<R: StockedRing>(
    session: &mut Session,
    planes: &[&BitShare],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let n_items = planes.first().map_or(0, |plane| plane.n_bits());
    let mut each: Vec<Share<R>> = planes.iter().map(|_| Share::zero(n_items)).collect();
    let put = |plane: usize, start: usize, bits: &[R]| {
        each[plane].as_mut_slice()[start..start + bits.len()].copy_from_slice(bits);
    };
    convert(session, planes, stock, put).await?;
    Ok(each)
}

/// Turns sums of XOR-shared bits with public weights into additive shares, in one round: of no bit is a share
/// of its own kept.
///
/// # Inputs    `planes`: m planes of n bits each; `weights`: m for each sum; takes m·n daBits
/// # Output    n shares of Σ w_j·(bit j) for each sum
/// # Panics    if the planes have different lengths
///
/// Everything else is that of [`planes_to_arith`].
pub async fn planes_to_sums<R: StockedRing>(
    session: &mut Session,
    planes: &[&BitShare],
    weights: &[Vec<R>],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    R::planes_to_sums(session, planes, weights, stock).await
}

pub(super) async fn planes_to_sums_over<R: StockedRing>(
    session: &mut Session,
    planes: &[&BitShare],
    weights: &[Vec<R>],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let n_items = planes.first().map_or(0, |plane| plane.n_bits());
    let mut sums: Vec<Share<R>> = weights.iter().map(|_| Share::zero(n_items)).collect();
    let put = |plane: usize, start: usize, bits: &[R]| {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            let sum = &mut sum.as_mut_slice()[start..start + bits.len()];
            ring::add_scaled(sum, bits, weights[plane]);
        }
    };
    convert(session, planes, stock, put).await?;
    Ok(sums)
}

/// Turns numbers without sign whose bits are XOR-shared into additive shares.
///
/// # Inputs    `planes`: w ≤ k planes of n bits each, lowest first; takes w·n daBits
/// # Output    n shares of Σ 2^i·(bit i)
/// # Cost      1 round; w·n bits to each other seat; [`planes_price`]
/// # Panics    if the planes have different lengths
///
/// Everything else is that of [`bit_to_arith`].
pub async fn b2a<R: StockedRing>(
    session: &mut Session,
    planes: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    R::b2a(session, planes, stock).await
}

pub(super) async fn b2a_over<R: StockedRing>(
    session: &mut Session,
    planes: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let weights = (0..).take(planes.len()).map(|i| R::ONE.shl(i)).collect();
    let planes: Vec<&BitShare> = planes.iter().collect();
    let mut sums = planes_to_sums_over(session, &planes, &[weights], stock).await?;
    Ok(sums.pop().expect("one sum for one vector of weights"))
}

/// Opens all planes under daBits in one round, and gives shares of each plane's bits, a part at a time: plane, first
/// lane, shares.
async fn convert<R: StockedRing>(
    session: &mut Session,
    planes: &[&BitShare],
    stock: &mut Stock,
    mut put: impl FnMut(usize, usize, &[R]) + Send,
) -> Result<(), ProtocolError> {
    let n_items = planes.first().map_or(0, |plane| plane.n_bits());
    for plane in planes {
        assert_eq!(plane.n_bits(), n_items, "bit vectors of unequal length");
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&planes_price::<R>(seats, n_items, planes.len()).needs))?;
    let mut dabits: Vec<DaBits<R>> = Vec::with_capacity(planes.len());
    for _ in planes {
        dabits.push(session.ended_by(stock.take_dabits(n_items))?);
    }
    let one = if session.seat() == Seat(0) {
        R::ONE
    } else {
        R::ZERO
    };
    let mask = |lanes: Range<usize>, _: &mut [R], words: &mut [u64]| {
        let columns = lanes::columns(&lanes);
        let parts = words.chunks_exact_mut(columns.len().max(1));
        for (out, (plane, dabits)) in parts.zip(planes.iter().zip(&dabits)) {
            out.copy_from_slice(&plane.as_words()[columns.clone()]);
            bits::xor_assign(out, &dabits.bits.as_words()[columns.clone()]);
        }
    };
    let mut part = Share::zero(0);
    let take = |lanes: Range<usize>, (), _: &[R], opened: &[u64]| {
        let n_columns = lanes::columns(&lanes).len();
        let parts = opened.chunks_exact(n_columns.max(1));
        for (plane, (delta, dabits)) in parts.zip(&dabits).enumerate() {
            let beta = &dabits.arith.as_slice()[lanes.clone()];
            if part.len() != beta.len() {
                part = Share::zero(beta.len());
            }
            ring::xor_bits(part.as_mut_slice(), beta, delta, one);
            put(plane, lanes.start, part.as_slice());
        }
    };
    lanes::open(session, bits_layout(n_items, planes.len()), mask, take).await
}

fn bits_layout(n_lanes: usize, n_planes: usize) -> Layout {
    Layout {
        n_lanes,
        elements: 0,
        words: n_planes,
    }
}

/// The declared price of [`planes_to_arith`], [`planes_to_sums`] and [`b2a`] of n items; of [`bit_to_arith`] with one
/// plane.
pub fn planes_price<R: StockedRing>(seats: Seats, n_items: usize, n_planes: usize) -> Price {
    let needs = RingNeeds {
        dabits: (n_items * n_planes) as u64,
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, bits_layout(n_items, n_planes).cost::<R>(seats))
}

/// Turns shares over Z_2^64 of signed numbers into shares over Z_2^128 of the same numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares; takes [`widen_price`]
/// # Output    n shares
/// # Cost      [`widen_price`]: the bits by [`a2b`], and back over the other ring by [`b2a`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    folklore: x + 2^63 has no sign, and its bits are those of a number of either ring
pub async fn widen(
    session: &mut Session,
    x: &Share<u64>,
    method: Method,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&widen_price(seats, x.len(), method).needs))?;
    let is_first = session.seat() == Seat(0);
    let offset = 1u64 << 63;
    let mut unsigned = super::copy(x);
    if is_first {
        super::add_to_all(&mut unsigned, offset);
    }
    let planes = a2b(session, &unsigned, 64, method, stock).await?;
    let mut wide = b2a::<u128>(session, &planes, stock).await?;
    if is_first {
        super::add_to_all(&mut wide, u128::from(offset).wrapping_neg());
    }
    Ok(wide)
}

/// The declared price of [`widen`] of n numbers.
pub fn widen_price(seats: Seats, n_items: usize, method: Method) -> Price {
    a2b_price::<u64>(seats, n_items, 64, method).then(&planes_price::<u128>(seats, n_items, 64))
}

/// Turns additive shares into XOR shares of the lowest bits.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares over Z_2^k; `n_planes`: w ≤ k; takes [`a2b_price`]
/// # Output    w planes of n bits, lowest first: x mod 2^w, a negative number in two's complement
/// # Cost      [`a2b_price`]. Masked: 1 + ⌈log2 (w−1)⌉ rounds. Summed: the same at two seats, 1 to 3
///   more for up to five
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and w
/// # Errors    [`ProtocolError::InvalidInput`] if w is 0 or over k,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Masked: the bits of c − r for c = x + r opened (2020/338, §4). Summed: the bits of the
///   sum of the seats' shares (GMW). All carries by a prefix network: Sklansky, 1960
pub async fn a2b<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    n_planes: usize,
    method: Method,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    R::a2b(session, x, n_planes, method, stock).await
}

pub(super) async fn a2b_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    n_planes: usize,
    method: Method,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    if n_planes == 0 || n_planes > R::BITS as usize {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a number has between 1 and as many bits as the ring",
        }));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&a2b_price::<R>(seats, x.len(), n_planes, method).needs))?;
    let planes = match method {
        Method::Masked => bits_of_difference(session, x, n_planes, stock).await?,
        Method::Summed => bits_of_sum(session, x, n_planes, stock).await?,
    };
    Ok((0..n_planes).map(|i| planes.share(i)).collect())
}

/// The declared price of [`a2b`] for n numbers.
pub fn a2b_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    n_planes: usize,
    method: Method,
) -> Price {
    let carries = circuit::all_carries_levels(n_planes - 1);
    match method {
        Method::Masked => {
            let needs = RingNeeds {
                edabits: n_items as u64,
                ..RingNeeds::default()
            };
            let opening = Price::of_ring::<R>(needs, elements_layout(n_items).cost::<R>(seats));
            opening.then(&circuit::price(seats, &carries, n_items))
        }
        Method::Summed => {
            let mut levels = summed::carry_save_levels(seats.n_computing, n_planes);
            if n_planes > 1 {
                levels.push(Gates::singles(n_planes - 1));
            }
            levels.extend(carries);
            circuit::price(seats, &levels, n_items)
        }
    }
}

fn elements_layout(n_lanes: usize) -> Layout {
    Layout {
        n_lanes,
        elements: 1,
        words: 0,
    }
}

/// The lowest bits of c − r, where c = x + r is opened: c_i ⊕ r_i ⊕ the borrow into position i.
async fn bits_of_difference<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    n_planes: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let EdaBits { r, planes } = session.ended_by(stock.take_edabits::<R>(x.len()))?;
    let mut masked = super::copy(x);
    masked.add_assign(&r);
    let mut c = Planes::zero(x.len(), n_planes);
    let mask = |lanes: Range<usize>, out: &mut [R], _: &mut [u64]| {
        out.copy_from_slice(&masked.as_slice()[lanes]);
    };
    let mut block = vec![[0; BLOCK_WORDS]; n_planes];
    let take = |lanes: Range<usize>, (), opened: &[R], _: &[u64]| {
        let columns = lanes::columns(&lanes);
        for (number, opened) in opened.chunks(BLOCK_ITEMS).enumerate() {
            bits::block_planes(opened, &mut block);
            let start = columns.start + number * BLOCK_WORDS;
            let words = start..columns.end.min(start + BLOCK_WORDS);
            for (i, own) in block.iter().enumerate() {
                c.plane_mut(i)[words.clone()].copy_from_slice(&own[..words.len()]);
            }
        }
    };
    lanes::open(session, elements_layout(x.len()), mask, take).await?;
    let is_first = session.seat() == Seat(0);
    let own = if is_first { u64::MAX } else { 0 };
    let n_carries = n_planes - 1;
    let mut generate = Planes::zero(x.len(), n_carries);
    let mut propagate = Planes::zero(x.len(), n_carries);
    for (i, r) in planes.iter().enumerate().take(n_planes) {
        // What is left in `c` is this seat's share of c⊕r.
        for (j, (c, r)) in c.plane_mut(i).iter_mut().zip(r.as_words()).enumerate() {
            if i < n_carries {
                generate.plane_mut(i)[j] = !*c & r;
                propagate.plane_mut(i)[j] = r ^ (!*c & own);
            }
            *c = r ^ (*c & own);
        }
    }
    let borrows = circuit::all_carries(session, generate, propagate, n_carries, stock).await?;
    for i in 0..n_carries {
        bits::xor_assign(c.plane_mut(i + 1), borrows.plane(i));
    }
    Ok(c)
}

/// The lowest bits of the sum of all seats' shares.
async fn bits_of_sum<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    n_planes: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let operands = summed::two_operands(session, x.as_slice(), n_planes, stock).await?;
    let summed::Operands { mut x, y, .. } = operands;
    let n_carries = n_planes - 1;
    let mut sum = Planes::zero(x.n_lanes(), n_planes);
    for i in 0..n_planes {
        sum.plane_mut(i).copy_from_slice(x.plane(i));
        bits::xor_assign(sum.plane_mut(i), y.plane(i));
    }
    if n_carries == 0 {
        return Ok(sum);
    }
    let generate;
    (generate, x) = summed::leaves(session, x, &y, n_carries, stock).await?;
    let carries = circuit::all_carries(session, generate, x, n_carries, stock).await?;
    for i in 0..n_carries {
        bits::xor_assign(sum.plane_mut(i + 1), carries.plane(i));
    }
    Ok(sum)
}
