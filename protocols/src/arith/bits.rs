//! Comparing numbers whose bits are XOR-shared, of any width: hashes, composite keys.
//!
//! A batch of n numbers of w bits is w planes, lowest first, each with a bit of every number.

use super::circuit;
use crate::boolean::{Gates, Level, Planes};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::boolean::BitShare;

/// Finds for which of n pairs of numbers without sign x < y.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`, `y`: w ≥ 1 planes of n bits each, lowest first; takes [`less_than_price`]
/// # Output    n shared bits, 1 where x < y
/// # Cost      1 + ⌈log2 w⌉ rounds; [`less_than_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and w
/// # Errors    [`ProtocolError::InvalidInput`] if the planes do not fit together,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    the borrow of x − y: Goldreich–Micali–Wigderson, STOC '87; Sklansky, 1960
pub async fn less_than(
    session: &mut Session,
    x: &[BitShare],
    y: &[BitShare],
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let (n_planes, n_lanes) = session.ended_by(check_planes(x, y))?;
    session.ended_by(stock.check(&less_than_price(Seats::of(session), n_lanes, n_planes).needs))?;
    let not_x = complements(session, x);
    let mut level = Level::new(n_lanes);
    for (i, y) in y.iter().enumerate() {
        level.and(not_x.plane(i), y.as_words());
    }
    let products = level.run(session, stock).await?;
    let mut generate = Planes::zero(n_lanes, n_planes);
    let mut propagate = not_x;
    for (i, y) in y.iter().enumerate() {
        generate.plane_mut(i).copy_from_slice(products.single(i));
        bits::xor_assign(propagate.plane_mut(i), y.as_words());
    }
    let borrow = circuit::last_carry(session, generate, propagate, n_planes, stock).await?;
    Ok(borrow.share(0))
}

/// The declared price of [`less_than`] for n numbers of `n_planes` bits.
pub fn less_than_price(seats: Seats, n_items: usize, n_planes: usize) -> Price {
    let mut levels = vec![Gates::singles(n_planes)];
    levels.extend(circuit::last_carry_levels(n_planes));
    circuit::price(seats, &levels, n_items)
}

/// Finds for which of n pairs of numbers x = y.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`, `y`: w ≥ 1 planes of n bits each; takes [`equal_price`]
/// # Output    n shared bits, 1 where x = y
/// # Cost      ⌈log2 w⌉ rounds; [`equal_price`]
/// # Security  as [`less_than`]
/// # Errors    as [`less_than`]
/// # Source    Goldreich–Micali–Wigderson, STOC '87
pub async fn equal(
    session: &mut Session,
    x: &[BitShare],
    y: &[BitShare],
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let (n_planes, n_lanes) = session.ended_by(check_planes(x, y))?;
    session.ended_by(stock.check(&equal_price(Seats::of(session), n_lanes, n_planes).needs))?;
    let mut same = complements(session, x);
    for (i, y) in y.iter().enumerate() {
        bits::xor_assign(same.plane_mut(i), y.as_words());
    }
    let all = circuit::all_of(session, same, n_planes, stock).await?;
    Ok(all.share(0))
}

/// The declared price of [`equal`] for n numbers of `n_planes` bits.
pub fn equal_price(seats: Seats, n_items: usize, n_planes: usize) -> Price {
    circuit::price(seats, &circuit::all_of_levels(n_planes), n_items)
}

/// Number of planes, and of bits in each.
fn check_planes(x: &[BitShare], y: &[BitShare]) -> Result<(usize, usize), ProtocolError> {
    let n_lanes = x.first().map_or(0, BitShare::n_bits);
    let fits = x.iter().chain(y).all(|plane| plane.n_bits() == n_lanes);
    match fits && !x.is_empty() && x.len() == y.len() {
        true => Ok((x.len(), n_lanes)),
        false => Err(ProtocolError::InvalidInput {
            what: "numbers that are compared have equally many bits, at least one",
        }),
    }
}

/// Shares of ¬x.
fn complements(session: &Session, x: &[BitShare]) -> Planes {
    let n_lanes = x.first().map_or(0, BitShare::n_bits);
    let flip = if session.seat() == Seat(0) {
        u64::MAX
    } else {
        0
    };
    let mut planes = Planes::zero(n_lanes, x.len());
    for (i, plane) in x.iter().enumerate() {
        for (out, word) in planes.plane_mut(i).iter_mut().zip(plane.as_words()) {
            *out = word ^ flip;
        }
    }
    planes
}
