//! The seats' shares added up as a Boolean circuit.
//!
//! A number is x = Σ s_i mod 2^k, and seat i knows s_i. Seen as XOR shares, the bits of s_i are seat
//! i's share of themselves, and everybody else's share is zero. Carry-save adders bring the N
//! operands down to two, one AND a bit each. No share here needs masks of its own: whatever is
//! opened is under a triple whose shares are uniform at every seat.

use crate::arith::circuit;
use crate::boolean::{Gates, Level, Planes};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::bits::{self, BLOCK_ITEMS, BLOCK_WORDS};
use engine::ring::Ring;
use zeroize::Zeroizing;

/// Two operands whose sum mod 2^w is the number: planes 0 to w − 1.
pub(crate) struct Operands {
    pub(crate) x: Planes,
    pub(crate) y: Planes,
    pub(crate) width: usize,
}

/// The levels that bring `n_operands` of `width` bits down to two. Single bits need none: their sum
/// has no carries.
pub(crate) fn carry_save_levels(mut n_operands: usize, width: usize) -> Vec<Gates> {
    let mut levels = Vec::new();
    while n_operands > 2 && width > 1 {
        levels.push(Gates::singles(n_operands / 3 * (width - 1)));
        n_operands -= n_operands / 3;
    }
    levels
}

/// The lowest `width` planes of this seat's own numbers.
pub(crate) fn own_planes<R: Ring>(values: &[R], width: usize) -> Planes {
    let mut planes = Planes::zero(values.len(), width);
    let n_words = planes.n_words();
    let mut block = Zeroizing::new(vec![[0; BLOCK_WORDS]; width]);
    for (number, values) in values.chunks(BLOCK_ITEMS).enumerate() {
        bits::block_planes(values, &mut block);
        let words = number * BLOCK_WORDS..n_words.min((number + 1) * BLOCK_WORDS);
        for (i, own) in block.iter().enumerate() {
            planes.plane_mut(i)[words.clone()].copy_from_slice(&own[..words.len()]);
        }
    }
    planes
}

/// Two operands for the numbers that are shared as `mine` at this seat, mod 2^`width`.
pub(crate) async fn two_operands<R: Ring>(
    session: &mut Session,
    mine: &[R],
    width: usize,
    stock: &mut Stock,
) -> Result<Operands, ProtocolError> {
    let me = session.seat();
    let mut operands: Vec<Planes> = session
        .computing_seats()
        .map(|seat| match seat == me {
            true => own_planes(mine, width),
            false => Planes::zero(mine.len(), width),
        })
        .collect();
    while operands.len() > 2 {
        operands = carry_save(session, operands, width, stock).await?;
    }
    let y = operands.pop().expect("at least two seats compute");
    let x = operands.pop().expect("at least two seats compute");
    Ok(Operands { x, y, width })
}

/// One level of carry-save adders: every three operands become two with the same sum mod 2^w.
///
/// x + y + z = s + 2k with s = x⊕y⊕z and k = majority(x, y, z) = ((x⊕z)∧(y⊕z)) ⊕ z, bit by bit
/// (Wallace, 1964). The top bit of k falls out of the sum mod 2^w and is not computed.
async fn carry_save(
    session: &mut Session,
    mut operands: Vec<Planes>,
    width: usize,
    stock: &mut Stock,
) -> Result<Vec<Planes>, ProtocolError> {
    let rest = operands.split_off(operands.len() / 3 * 3);
    let (triples, _) = operands.as_chunks_mut::<3>();
    for [x, y, z] in &mut *triples {
        for i in 0..width {
            bits::xor_assign(x.plane_mut(i), z.plane(i));
            bits::xor_assign(y.plane_mut(i), z.plane(i));
        }
    }
    let mut next = Vec::with_capacity(2 * triples.len() + rest.len());
    if width > 1 {
        let mut level = Level::new(triples[0][0].n_lanes());
        for [x, y, _] in &*triples {
            (0..width - 1).for_each(|i| level.and(x.plane(i), y.plane(i)));
        }
        let products = level.run(session, stock).await?;
        for (number, [x, y, z]) in triples.iter_mut().enumerate() {
            add_up(x, y, z, width);
            for i in (1..width).rev() {
                let twice_k = y.plane_mut(i);
                twice_k.copy_from_slice(z.plane(i - 1));
                bits::xor_assign(twice_k, products.single(number * (width - 1) + i - 1));
            }
        }
    } else {
        triples.iter_mut().for_each(|[x, y, z]| add_up(x, y, z, 1));
    }
    let mut operands = operands.into_iter();
    while let (Some(s), Some(twice_k), Some(_)) =
        (operands.next(), operands.next(), operands.next())
    {
        next.extend([s, twice_k]);
    }
    next.extend(rest);
    Ok(next)
}

/// From x⊕z and y⊕z: x becomes x⊕y⊕z, and the lowest bit of y becomes that of 2k, which is zero.
fn add_up(x: &mut Planes, y: &mut Planes, z: &Planes, width: usize) {
    for i in 0..width {
        bits::xor_assign(x.plane_mut(i), y.plane(i));
        bits::xor_assign(x.plane_mut(i), z.plane(i));
    }
    y.plane_mut(0).fill(0);
}

/// The levels of [`is_negative`], those of [`two_operands`] included.
pub(crate) fn is_negative_levels(n_computing: usize, width: usize) -> Vec<Gates> {
    let mut levels = carry_save_levels(n_computing, width);
    if width > 1 {
        levels.push(Gates::singles(width - 1));
        let tree = circuit::last_carry_levels(width - 1);
        levels.extend(tree);
    }
    levels
}

/// The top bit of the sum mod 2^w, as plane 0 of the result.
pub(crate) async fn is_negative(
    session: &mut Session,
    operands: Operands,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let Operands { x, y, width } = operands;
    let top = width - 1;
    let mut sign = Planes::zero(x.n_lanes(), 1);
    sign.plane_mut(0).copy_from_slice(x.plane(top));
    bits::xor_assign(sign.plane_mut(0), y.plane(top));
    if top == 0 {
        return Ok(sign);
    }
    let (generate, propagate) = leaves(session, x, &y, top, stock).await?;
    let carry = circuit::last_carry(session, generate, propagate, top, stock).await?;
    bits::xor_assign(sign.plane_mut(0), carry.plane(0));
    Ok(sign)
}

/// For each of the lowest `n_positions` positions: x∧y generates a carry, x⊕y passes one on.
pub(crate) async fn leaves(
    session: &mut Session,
    mut x: Planes,
    y: &Planes,
    n_positions: usize,
    stock: &mut Stock,
) -> Result<(Planes, Planes), ProtocolError> {
    let mut level = Level::new(x.n_lanes());
    (0..n_positions).for_each(|i| level.and(x.plane(i), y.plane(i)));
    let products = level.run(session, stock).await?;
    let mut generate = Planes::zero(x.n_lanes(), n_positions);
    for i in 0..n_positions {
        generate.plane_mut(i).copy_from_slice(products.single(i));
        bits::xor_assign(x.plane_mut(i), y.plane(i));
    }
    Ok((generate, x))
}

/// The levels of [`is_zero`].
pub(crate) fn is_zero_levels(n_computing: usize, width: usize) -> Vec<Gates> {
    let mut levels = Vec::new();
    if n_computing > 2 && width > 1 {
        levels = carry_save_levels(n_computing, width);
        levels.push(Gates::singles(width - 1));
    }
    levels.extend(circuit::all_of_levels(width));
    levels
}

/// Whether numbers shared as `mine` at this seat are zero mod 2^`width`, as plane 0 of the result.
///
/// Of two seats each compares its bits with the other's, one number negated: no carries are
/// needed. Of more, the two operands x and y that are left add up to zero exactly if
/// x⊕y = 2·(x∨y), which needs no carries either.
pub(crate) async fn is_zero<R: Ring>(
    session: &mut Session,
    mine: &[R],
    width: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let mut equal = if session.n_computing() == 2 {
        let negative = |v: &R| if is_first { v.wrapping_neg() } else { *v };
        let mine: Zeroizing<Vec<R>> = Zeroizing::new(mine.iter().map(negative).collect());
        own_planes(&mine, width)
    } else {
        let Operands { x, y, .. } = two_operands(session, mine, width, stock).await?;
        if width == 1 {
            let mut sum = x;
            bits::xor_assign(sum.plane_mut(0), y.plane(0));
            sum
        } else {
            zero_if_equal(session, x, &y, width, stock).await?
        }
    };
    if is_first {
        for i in 0..width {
            equal
                .plane_mut(i)
                .iter_mut()
                .for_each(|word| *word = !*word);
        }
    }
    circuit::all_of(session, equal, width, stock).await
}

/// Planes that are all zero exactly if x + y = 0 mod 2^w: those of (x⊕y) ⊕ 2·(x∨y).
async fn zero_if_equal(
    session: &mut Session,
    x: Planes,
    y: &Planes,
    width: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let mut sum = x;
    let top = width - 1;
    let mut level = Level::new(sum.n_lanes());
    (0..top).for_each(|i| level.and(sum.plane(i), y.plane(i)));
    let both = level.run(session, stock).await?;
    (0..width).for_each(|i| bits::xor_assign(sum.plane_mut(i), y.plane(i)));
    // Down from the top, so that plane i − 1 is still x⊕y when x∨y = x⊕y⊕x∧y is made from it.
    for i in (1..width).rev() {
        let below = Zeroizing::new(sum.plane(i - 1).to_vec());
        let plane = sum.plane_mut(i);
        bits::xor_assign(plane, &below);
        bits::xor_assign(plane, both.single(i - 1));
    }
    Ok(sum)
}
