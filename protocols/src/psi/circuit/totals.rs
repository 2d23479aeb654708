//! How many rows match and what they add up to, without anybody seeing which.

use super::{Joined, Keep, Rows, Shape, join, price};
use crate::arith::convert;
use crate::correlate::Stock;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// Totals over the rows that all holders have, as shares. The columns come in the order of the hub's
/// and then each spoke's.
pub struct Totals {
    /// Number of rows: one element.
    pub count: Share<u64>,
    /// The sum of each column over Z_2^64.
    pub narrow: Share<u64>,
    /// The sum of each column over Z_2^128.
    pub wide: Share<u128>,
}

/// Joins, and adds up what matches. Nothing is opened: a seat's part of the totals may go into a
/// [`release`](crate::aggregate::release) that checks the count against a minimum first, as the
/// totals of a holder.
///
/// # Seats     as [`join`]
/// # Inputs    as [`join`], with [`Keep::All`]; takes [`totals_price`]
/// # Output    [`Totals`]
/// # Cost      that of [`join`], and 1 round; [`totals_price`]
/// # Security  as [`join`]
/// # Errors    as [`join`]
/// # Source    2019/241, §6
pub async fn totals(
    session: &mut Session,
    shape: &Shape,
    rows: Option<Rows>,
    stock: &mut Stock,
) -> Result<Totals, ProtocolError> {
    let needs = totals_price(Seats::of(session), shape).needs;
    session.ended_by(check(shape).and(stock.check(&needs)))?;
    let joined = join(session, shape, rows, stock).await?;
    let members = convert::bit_to_arith::<u64>(session, &joined.members[0], stock).await?;
    let (narrow, wide) = added_up(&joined);
    Ok(Totals {
        count: Share::new(vec![sum(&members)]),
        narrow,
        wide,
    })
}

/// What [`totals`] takes and sends.
pub fn totals_price(seats: Seats, shape: &Shape) -> Price {
    let converted = convert::planes_price::<u64>(seats, shape.n_bins(), 1);
    price(seats, shape).then(&converted)
}

fn check(shape: &Shape) -> Result<(), ProtocolError> {
    match shape.keep {
        Keep::All => Ok(()),
        Keep::Each => Err(ProtocolError::InvalidInput {
            what: "totals are of rows that all holders have",
        }),
    }
}

fn added_up(joined: &Joined) -> (Share<u64>, Share<u128>) {
    let sides = || [&joined.hub].into_iter().chain(&joined.spokes);
    let narrow = sides().flat_map(|side| &side.narrow).map(sum);
    let wide = sides().flat_map(|side| &side.wide).map(sum);
    (Share::new(narrow.collect()), Share::new(wide.collect()))
}

fn sum<R: Ring>(column: &Share<R>) -> R {
    let values = column.as_slice().iter();
    values.fold(R::ZERO, |sum, value| sum.wrapping_add(*value))
}

/// Counts the keys that all holders have. The receivers learn the number and nobody learns a key.
///
/// # Seats     as [`join`]
/// # Inputs    as [`join`], with [`Keep::All`], best without columns; takes [`count_price`]; `disclosure`: of [`count_terms`]
/// # Output    at receivers the number
/// # Cost      that of [`totals`], and 2 rounds to reveal; [`count_price`]
/// # Security  as [`join`]; receivers learn the number
/// # Errors    as [`join`]; [`ProtocolError::NotApproved`] before anything is sent;
///   [`ProtocolError::CheckFailed`]
/// # Source    2019/241, §6
pub async fn count(
    session: &mut Session,
    shape: &Shape,
    rows: Option<Rows>,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<u64>, ProtocolError> {
    let receivers = disclosure.receivers().to_vec();
    session.ended_by(disclosure.check(&count_terms(shape, &receivers), session))?;
    let totals = totals(session, shape, rows, stock).await?;
    let values = Values {
        narrow: totals.count,
        wide: Share::zero(0),
    };
    let disclosure = disclosure.part(Terms::of_values(1, 0, &receivers));
    let revealed = reveal(session, values, &receivers, disclosure).await?;
    Ok(revealed.map(|revealed| revealed.narrow[0]))
}

/// The terms of the disclosure that [`count`] needs at every seat.
pub fn count_terms(shape: &Shape, receivers: &[Seat]) -> Terms {
    let shape = shape.to_bytes();
    Terms::new("entente/v1/terms/join-count", &[&shape], receivers)
}

/// What [`count`] takes and sends.
pub fn count_price(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Price {
    totals_price(seats, shape).then(&revealed(seats, (1, 0), receivers))
}

/// The sums that [`sums`] reveals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of each column over Z_2^64, modulo 2^64.
    pub narrow: Vec<u64>,
    /// Of each column over Z_2^128, modulo 2^128.
    pub wide: Vec<u128>,
}

/// Adds up every column over the rows that all holders have. The receivers learn the sums; nobody
/// learns a key, or how many rows there are.
///
/// # Seats     as [`join`]
/// # Inputs    as [`join`], with [`Keep::All`]; takes [`sums_price`]; `disclosure`: of [`sums_terms`]
/// # Output    at receivers the sums, of the hub's columns and then each spoke's
/// # Cost      that of [`join`], and 2 rounds to reveal; [`sums_price`]
/// # Security  as [`join`]; receivers learn the sums
/// # Errors    as [`count`]
/// # Source    2019/241, §6
pub async fn sums(
    session: &mut Session,
    shape: &Shape,
    rows: Option<Rows>,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Sums>, ProtocolError> {
    let receivers = disclosure.receivers().to_vec();
    let approved = disclosure.check(&sums_terms(shape, &receivers), session);
    session.ended_by(check(shape).and(approved))?;
    let joined = join(session, shape, rows, stock).await?;
    let (narrow, wide) = added_up(&joined);
    let values = Values { narrow, wide };
    let (narrow, wide) = n_columns(shape);
    let disclosure = disclosure.part(Terms::of_values(narrow, wide, &receivers));
    let revealed = reveal(session, values, &receivers, disclosure).await?;
    Ok(revealed.map(|revealed| Sums {
        narrow: revealed.narrow,
        wide: revealed.wide,
    }))
}

/// The terms of the disclosure that [`sums`] needs at every seat.
pub fn sums_terms(shape: &Shape, receivers: &[Seat]) -> Terms {
    let shape = shape.to_bytes();
    Terms::new("entente/v1/terms/join-sums", &[&shape], receivers)
}

/// What [`sums`] takes and sends.
pub fn sums_price(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Price {
    price(seats, shape).then(&revealed(seats, n_columns(shape), receivers))
}

/// All holders' columns of each ring.
fn n_columns(shape: &Shape) -> (usize, usize) {
    let sides = || shape.spokes.iter().chain([&shape.hub]);
    let narrow = sides().map(|side| side.narrow).sum();
    (narrow, sides().map(|side| side.wide).sum())
}

fn revealed(seats: Seats, (narrow, wide): (usize, usize), receivers: &[Seat]) -> Price {
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    Price::of_cost(disclose::cost(
        n_seats,
        n_computing,
        narrow,
        wide,
        receivers,
    ))
}
