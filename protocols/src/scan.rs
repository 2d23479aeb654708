//! Running totals over groups of neighbouring rows.
//!
//! Rows in the order of their keys have those of one group next to each other. A bit of each row
//! says whether it belongs to the group of the row before it ([`same_group`]). A segmented scan
//! combines each row with all rows of its group before it, so that the last row of a group has the
//! whole group's result.
//!
//! Combining two neighbouring stretches of rows, where f says that the second one's first row goes on
//! with the group of the row before it and v is what the second one's last row has so far:
//! f = f1∧f2, v = v2 ∘ (f2·v1). A sweep up a binary tree and one down combine about 2n pairs in
//! 2·⌈log2 n⌉ − 1 levels.

use crate::arith::{self, mux};
use crate::boolean::{self, xor};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::table::Table;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::ops::Range;

/// Rows of which the second is combined with the first: of two neighbouring stretches, the last.
type Pair = (u32, u32);

/// Combinations that do not depend on each other. No row is both read and written, or written twice.
struct Level {
    pairs: Vec<Pair>,
    /// Whether the combined stretches will be second ones again, so that their f is needed.
    combines_flags: bool,
}

/// The levels of a scan over n rows.
fn levels(n_rows: usize) -> Vec<Level> {
    let level = |half: usize, first: usize, combines_flags: bool| {
        let right = (first - 1..n_rows).step_by(2 * half);
        let pair = |right: usize| {
            let row = |i: usize| u32::try_from(i).expect("under 2^32 rows");
            (row(right - half), row(right))
        };
        Level {
            pairs: right.map(pair).collect(),
            combines_flags,
        }
    };
    let halves: Vec<usize> = (0..usize::BITS)
        .map(|depth| 1 << depth)
        .take_while(|half| *half < n_rows)
        .collect();
    let up = halves
        .iter()
        .map(|half| level(*half, 2 * half, 4 * half <= n_rows));
    let down = halves
        .iter()
        .rev()
        .map(|half| level(*half, 3 * half, false));
    up.chain(down)
        .filter(|level| !level.pairs.is_empty())
        .collect()
}

impl Level {
    fn first(&self) -> Vec<u32> {
        self.pairs.iter().map(|(first, _)| *first).collect()
    }

    fn second(&self) -> Vec<u32> {
        self.pairs.iter().map(|(_, second)| *second).collect()
    }
}

/// The bits of some rows.
fn picked(bits: &BitShare, rows: &[u32]) -> BitShare {
    bits.picked(rows.iter().map(|row| *row as usize))
}

/// For each row whether some of its bits are those of the row before it. 0 for the first row.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `table`: shares of rows; `bits`: which bits are compared, at least one
/// # Output    one shared bit a row
/// # Cost      [`same_group_price`]: ⌈log2 w⌉ rounds for w bits
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    CRYPTO §1.8
pub async fn same_group(
    session: &mut Session,
    table: &Table,
    bits: Range<usize>,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let n_rows = u32::try_from(table.n_rows()).expect("under 2^32 rows");
    let before: Vec<u32> = (0..n_rows.saturating_sub(1)).collect();
    let after: Vec<u32> = (1..n_rows).collect();
    let before = table.planes_at(bits.clone(), &before);
    let after = table.planes_at(bits, &after);
    let equal = arith::bits::equal(session, &before, &after, stock).await?;
    let mut same = BitShare::zero(n_rows.min(1) as usize);
    same.append(equal);
    Ok(same)
}

/// The declared price of [`same_group`] over so many bits of so many rows.
pub fn same_group_price(n_rows: usize, n_bits: usize, seats: Seats) -> Price {
    arith::bits::equal_price(seats, n_rows.saturating_sub(1), n_bits)
}

/// How rows of a group are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The group's first row.
    First,
    /// The smallest number.
    Min,
    /// The greatest number.
    Max,
}

/// For each row the sum over its group's rows up to it, in several columns. A count is the sum of a
/// column of ones.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `same`: one shared bit a row, as from [`same_group`]; `columns`: n elements each;
///   takes [`sums_price`]
/// # Output    columns of running sums; a group's last row has its total
/// # Cost      [`sums_price`]: about 2n selections a column, in 2·⌈log2 n⌉ − 1 levels
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ
/// # Source    Blelloch, CMU-CS-90-190 (segmented scans); CRYPTO §1.8
pub async fn sums<R: StockedRing>(
    session: &mut Session,
    same: &BitShare,
    mut columns: Vec<Share<R>>,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let n_rows = same.n_bits();
    assert!(
        columns.iter().all(|c| c.len() == n_rows),
        "a bit for each row"
    );
    let mut flags = BitShare::from_words(n_rows, same.as_words().to_vec());
    for level in levels(n_rows) {
        let goes_on = picked(&flags, &level.second());
        let mut bits = BitShare::zero(0);
        let mut before = Share::new(Vec::with_capacity(columns.len() * level.pairs.len()));
        for column in &columns {
            bits.append(BitShare::from_words(
                goes_on.n_bits(),
                goes_on.as_words().to_vec(),
            ));
            let values = level
                .pairs
                .iter()
                .map(|(first, _)| column.as_slice()[*first as usize]);
            before.append(Share::new(values.collect()));
        }
        let kept = mux::times(session, &bits, &before, stock).await?;
        for (column, kept) in columns
            .iter_mut()
            .zip(kept.as_slice().chunks(level.pairs.len()))
        {
            let values = column.as_mut_slice();
            for (kept, (_, second)) in kept.iter().zip(&level.pairs) {
                let value = &mut values[*second as usize];
                *value = value.wrapping_add(*kept);
            }
        }
        combine_flags(session, &mut flags, goes_on, &level, stock).await?;
    }
    Ok(columns)
}

/// The declared price of [`sums`] of so many columns of n elements.
pub fn sums_price<R: StockedRing>(n_rows: usize, n_columns: usize, seats: Seats) -> Price {
    let of_level = |level: Level| {
        let n_pairs = level.pairs.len();
        let kept = mux::price::<R>(seats, n_columns * n_pairs);
        kept.then(&flags_price(&level, seats))
    };
    Price::sequence(seats, levels(n_rows).into_iter().map(of_level))
}

/// f = f1∧f2 for the combined stretches, where it will be needed.
async fn combine_flags(
    session: &mut Session,
    flags: &mut BitShare,
    second: BitShare,
    level: &Level,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    if !level.combines_flags {
        return Ok(());
    }
    let first = picked(flags, &level.first());
    let both = boolean::and(session, &[(&first, &second)], stock).await?;
    let words = flags.as_mut_words();
    for (i, row) in level.second().into_iter().enumerate() {
        let (word, bit) = (row as usize / 64, row % 64);
        words[word] &= !(1 << bit);
        words[word] |= u64::from(bits::get(both[0].as_words(), i)) << bit;
    }
    Ok(())
}

fn flags_price(level: &Level, seats: Seats) -> Price {
    match level.combines_flags {
        true => boolean::and_price(seats, level.pairs.len(), 1),
        false => Price::nothing(seats),
    }
}

/// For each row the result over its group's rows up to it, of numbers that are XOR-shared: the keys
/// of `numbers`.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `same`: one shared bit a row, as from [`same_group`]; `numbers`: n rows with a key of
///   at least one bit and nothing else; takes [`fold_price`]
/// # Output    n rows; a group's last row has the group's result
/// # Cost      [`fold_price`]: about 2n selections, with a comparison each but for
///   [`Fold::First`], in 2·⌈log2 n⌉ − 1 levels
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ, or rows have more than a key
/// # Source    as [`sums`]
pub async fn fold(
    session: &mut Session,
    same: &BitShare,
    mut numbers: Table,
    fold: Fold,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let shape = numbers.shape();
    assert_eq!(shape.n_rows, same.n_bits(), "a bit for each row");
    assert_eq!(shape.n_bits(), shape.key_bits, "numbers and nothing else");
    let mut flags = BitShare::from_words(shape.n_rows, same.as_words().to_vec());
    for level in levels(shape.n_rows) {
        let goes_on = picked(&flags, &level.second());
        let first = numbers.planes_at(0..shape.key_bits, &level.first());
        let second = numbers.planes_at(0..shape.key_bits, &level.second());
        let smaller = match fold {
            Fold::First => None,
            Fold::Min => Some(arith::bits::less_than(session, &first, &second, stock).await?),
            Fold::Max => Some(arith::bits::less_than(session, &second, &first, stock).await?),
        };
        let takes_first = match smaller {
            None => BitShare::from_words(goes_on.n_bits(), goes_on.as_words().to_vec()),
            Some(bit) => boolean::and(session, &[(&bit, &goes_on)], stock)
                .await?
                .swap_remove(0),
        };
        let differences: Vec<BitShare> =
            first.iter().zip(&second).map(|(x, y)| xor(x, y)).collect();
        let moved = boolean::keep(session, &takes_first, &differences, stock).await?;
        numbers.toggle(&level.second(), &moved);
        combine_flags(session, &mut flags, goes_on, &level, stock).await?;
    }
    Ok(numbers)
}

/// The declared price of [`fold`] over n numbers of so many bits.
pub fn fold_price(n_rows: usize, n_bits: usize, fold: Fold, seats: Seats) -> Price {
    let of_level = |level: Level| {
        let n_pairs = level.pairs.len();
        let chosen = match fold {
            Fold::First => Price::nothing(seats),
            Fold::Min | Fold::Max => arith::bits::less_than_price(seats, n_pairs, n_bits)
                .then(&boolean::and_price(seats, n_pairs, 1)),
        };
        chosen
            .then(&boolean::keep_price(seats, n_pairs, n_bits))
            .then(&flags_price(&level, seats))
    };
    Price::sequence(seats, levels(n_rows).into_iter().map(of_level))
}
