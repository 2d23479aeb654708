//! Sorting by short keys, bit by bit.

use crate::arith::{self, convert, mux};
use crate::correlate::{RowShares, Stock};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::shuffle::{self, Shuffler};
use crate::table::{Table, TableShape};
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Sorts rows by their keys; rows with equal keys stay in their order.
///
/// One pass for each bit of the key, the lowest first, moves the rows with a 0 before those with a 1.
/// Where each row goes is a sum over the rows before it, so it is shared; the rows are shuffled
/// together with it, and then it can be opened: the destinations of rows in an order that nobody
/// knows are a random permutation.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `table`: shares of n rows; takes [`price`]
/// # Output    shares of the rows in ascending order of their unsigned keys, stable
/// # Cost      [`price`]: for each bit of the key a conversion, a selection, a shuffle and an opening:
///   N + 3 rounds
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened are
///   uniformly random permutations
/// # Errors    [`ProtocolError::CheckFailed`] if what is opened is no permutation,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Hamada et al., 2014; Chida et al., 2019/695, algorithms 13 to 15; CRYPTO §1.8
pub async fn radix(
    session: &mut Session,
    mut table: Table,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let needs = price(table.shape(), Seats::of(session)).needs;
    session.ended_by(stock.check(&needs))?;
    let mut shuffler = Shuffler::new(session).await?;
    for bit in 0..table.shape().key_bits {
        let digit = table.planes(bit..bit + 1).swap_remove(0);
        let destinations = destinations(session, &digit, stock).await?;
        table = to_places(session, table, destinations, &mut shuffler, stock).await?;
    }
    Ok(table)
}

/// Brings each row to a place that nobody knows: rows are shuffled with their places, which are opened then.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `table`: shares of n rows; `places`: shares of 0 … n − 1, each once; takes [`to_places_price`]
/// # Output    shares of the rows in the order of their places
/// # Cost      [`to_places_price`]: a shuffle and an opening, N + 1 rounds
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is a uniformly random
///   permutation
/// # Errors    [`ProtocolError::CheckFailed`] if what is opened is no permutation,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    as [`radix`], one pass
pub(crate) async fn to_places(
    session: &mut Session,
    table: Table,
    places: Share<u64>,
    shuffler: &mut Shuffler,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let numbered = with_column(table, places);
    let mut shuffled = shuffler.shuffle(session, numbered, stock).await?;
    let column = shuffled.pop_ring64();
    let opened = arith::open(session, column).await?;
    let sources = session.ended_by(inverse(&opened))?;
    Ok(shuffled.reordered(&sources))
}

/// The declared price of [`to_places`].
pub(crate) fn to_places_price(shape: TableShape, seats: Seats) -> Price {
    let numbered = TableShape {
        ring64: shape.ring64 + 1,
        ..shape
    };
    let opened = Price {
        needs: crate::correlate::Needs::default(),
        cost: arith::open_cost::<u64>(seats.n_seats, seats.n_computing, shape.n_rows),
    };
    shuffle::price(numbered, seats).then(&opened)
}

/// Where each row goes: those with a 0 to the places from 0 on, in order, those with a 1 after them.
async fn destinations(
    session: &mut Session,
    digit: &BitShare,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let is_first = session.seat().index() == 0;
    let ones = convert::bit_to_arith::<u64>(session, digit, stock).await?;
    let n_ones = engine::ring::sum(ones.as_slice());
    let own = |public: u64| if is_first { public } else { 0 };
    // With k ones up to row i and itself: a 0 goes to i − k, a 1 to n − n_ones + k − 1.
    let n_rows = ones.len() as u64;
    let mut k = 0u64;
    let mut low = Vec::with_capacity(ones.len());
    let mut climb = Vec::with_capacity(ones.len());
    for (i, one) in ones.as_slice().iter().enumerate() {
        k = k.wrapping_add(*one);
        let as_zero = own(i as u64).wrapping_sub(k);
        let as_one = own(n_rows.wrapping_sub(1))
            .wrapping_sub(n_ones)
            .wrapping_add(k);
        low.push(as_zero);
        climb.push(as_one.wrapping_sub(as_zero));
    }
    let mut destinations = mux::times(session, digit, &Share::new(climb), stock).await?;
    destinations.add_assign(&Share::new(low));
    Ok(destinations)
}

/// The table with one more column over Z_2^64, the last.
fn with_column(table: Table, column: Share<u64>) -> Table {
    let shape = TableShape {
        ring64: table.shape().ring64 + 1,
        ..table.shape()
    };
    let RowShares {
        words,
        mut ring64,
        ring128,
    } = table.into_rows();
    ring64.push(column);
    let rows = RowShares {
        words,
        ring64,
        ring128,
    };
    Table::from_rows(shape, rows)
}

/// From where each row goes to where each row comes from.
fn inverse(destinations: &[u64]) -> Result<Vec<u32>, ProtocolError> {
    let mut sources = vec![u32::MAX; destinations.len()];
    for (source, destination) in (0u32..).zip(destinations) {
        let place = usize::try_from(*destination).ok();
        match place.and_then(|place| sources.get_mut(place)) {
            Some(place) if *place == u32::MAX => *place = source,
            _ => {
                return Err(ProtocolError::CheckFailed {
                    what: "the places of sorted rows are no permutation",
                });
            }
        }
    }
    Ok(sources)
}

/// The declared price of [`radix`].
pub fn price(shape: TableShape, seats: Seats) -> Price {
    let n_rows = shape.n_rows;
    let pass = convert::planes_price::<u64>(seats, n_rows, 1)
        .then(&mux::price::<u64>(seats, n_rows))
        .then(&to_places_price(shape, seats));
    let passes = std::iter::repeat_n(pass, shape.key_bits);
    let mut price = Shuffler::price(seats).then(&Price::sequence(seats, passes));
    if seats.n_computing == 2 {
        // Of two seats the second ends its pass with a message that the first does not wait for, so
        // that one round of each pass but the first overlaps with the one before.
        let n_overlaps = shape.key_bits.saturating_sub(1);
        price.cost.rounds -= u32::try_from(n_overlaps).expect("keys have few bits");
    }
    price
}
