//! Merging sorted runs: a network of comparisons on shares that opens nothing.

use super::network::{Comparator, Network, merging_levels};
use crate::arith::{bits, mux};
use crate::boolean::{self, xor};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::table::{Table, TableShape};
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Merges tables whose rows are each in ascending order of their keys. Of equal keys, any may come
/// first.
///
/// Holders sort their own rows before they share them, so a joint table in order takes ⌈log2 n⌉
/// comparisons on a path and not a whole sort. With runs of one row it is a sort, for few rows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `runs`: shares of tables of the same columns, with a key of at least one bit
/// # Output    one table with all rows, in ascending order of the unsigned keys
/// # Cost      [`price`]: for two runs of n rows together ⌈log2 n⌉ levels of up to n/2 comparisons,
///   each followed by 1 round that moves bits and 1 for each ring
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shapes; opens nothing
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if there is no table, the tables' columns differ, or there is no key
/// # Source    Batcher, AFIPS 1968 (bitonic merging)
pub async fn merge(
    session: &mut Session,
    runs: Vec<Table>,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let lens: Vec<usize> = runs.iter().map(Table::n_rows).collect();
    merge_runs(session, Table::concatenate(runs), &lens, stock).await
}

/// [`merge`] of runs that lie one after the other in one table.
///
/// # Panics
///
/// If the runs' lengths do not add up to the table's, or there is no key.
pub async fn merge_runs(
    session: &mut Session,
    mut table: Table,
    runs: &[usize],
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    assert_eq!(
        runs.iter().sum::<usize>(),
        table.n_rows(),
        "every row is in a run"
    );
    let network = Network::merging(runs);
    for level in &network.levels {
        exchange(session, &mut table, level, stock).await?;
    }
    Ok(table.reordered(&network.order))
}

/// The declared price of [`merge`] of runs of these lengths, which add up to the table's shape.
pub fn price(runs: &[usize], shape: TableShape, seats: Seats) -> Price {
    let level = |n: usize| exchange_price(shape, n, seats);
    Price::sequence(seats, merging_levels(runs).into_iter().map(level))
}

/// One level of comparators: of each two rows, the one with the smaller key goes first.
async fn exchange(
    session: &mut Session,
    table: &mut Table,
    level: &[Comparator],
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let (first, second): (Vec<u32>, Vec<u32>) = level.iter().copied().unzip();
    let shape = table.shape();
    let low = table.planes_at(0..shape.n_bits(), &first);
    let high = table.planes_at(0..shape.n_bits(), &second);
    let keys = 0..shape.key_bits;
    let swaps = bits::less_than(session, &high[keys.clone()], &low[keys], stock).await?;
    let differences: Vec<BitShare> = low.iter().zip(&high).map(|(x, y)| xor(x, y)).collect();
    let moved = boolean::keep(session, &swaps, &differences, stock).await?;
    table.toggle(&first, &moved);
    table.toggle(&second, &moved);
    swap_ring(session, &swaps, level, &mut table.rows_mut().ring64, stock).await?;
    swap_ring(session, &swaps, level, &mut table.rows_mut().ring128, stock).await
}

/// Swaps elements of ring columns where the comparator's bit says so.
async fn swap_ring<R: StockedRing>(
    session: &mut Session,
    swaps: &BitShare,
    level: &[Comparator],
    columns: &mut [Share<R>],
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    if columns.is_empty() {
        return Ok(());
    }
    let mut differences = Share::new(Vec::with_capacity(columns.len() * level.len()));
    let mut swapped = BitShare::zero(0);
    for column in columns.iter() {
        let values = column.as_slice();
        let of_pair =
            |(low, high): &Comparator| values[*high as usize].wrapping_sub(values[*low as usize]);
        differences.append(Share::new(level.iter().map(of_pair).collect()));
        swapped.append(BitShare::from_words(
            swaps.n_bits(),
            swaps.as_words().to_vec(),
        ));
    }
    let moved = mux::times(session, &swapped, &differences, stock).await?;
    for (column, moved) in columns.iter_mut().zip(moved.as_slice().chunks(level.len())) {
        let values = column.as_mut_slice();
        for (moved, (low, high)) in moved.iter().zip(level) {
            let (low, high) = (*low as usize, *high as usize);
            values[low] = values[low].wrapping_add(*moved);
            values[high] = values[high].wrapping_sub(*moved);
        }
    }
    Ok(())
}

fn exchange_price(shape: TableShape, n_pairs: usize, seats: Seats) -> Price {
    let mut price = bits::less_than_price(seats, n_pairs, shape.key_bits)
        .then(&boolean::keep_price(seats, n_pairs, shape.n_bits()));
    if shape.ring64 > 0 {
        price = price.then(&mux::price::<u64>(seats, shape.ring64 * n_pairs));
    }
    if shape.ring128 > 0 {
        price = price.then(&mux::price::<u128>(seats, shape.ring128 * n_pairs));
    }
    price
}
