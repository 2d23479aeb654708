//! Values at ranks of all holders' rows, of any domain: quantiles of money, of floating-point numbers.

use super::quantile::Fraction;
use super::{bits_for, input, planes_of};
use crate::arith::{convert, mul};
use crate::boolean;
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::sort;
use crate::table::TableShape;
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Most rows over all holders, filled up, times the number of groups.
pub const MAX_ROWS: usize = 1 << 20;

/// Which of a group's values x_0 ≤ … ≤ x_(n−1) is wanted, for a level p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// x at ⌈p·n⌉ − 1, and x_0 for p = 0: the quantile of type 1.
    Discrete(Fraction),
    /// x at ⌊p·(n − 1)⌋: the lower neighbour of the quantile of type 7.
    Below(Fraction),
    /// x at ⌈p·(n − 1)⌉: its upper neighbour.
    Above(Fraction),
    /// The quantile of type 7 times the denominator of p: a whole number.
    Linear(Fraction),
}

/// The public shape of a [`select`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectShape {
    /// For each computing seat, how many rows it may have in each group. What it has less is filled up.
    pub rows: Vec<usize>,
    /// Number of groups; 1 without grouping.
    pub cells: usize,
    /// Values are below 2 to this power; 1 to 64.
    pub bits: usize,
    /// What is wanted of each group.
    pub places: Vec<Place>,
}

/// What one holder has: the group and value of each row, in any order. Values without sign, in the
/// order of the column's own.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SelectInput {
    /// Group and value.
    pub rows: Vec<(u32, u64)>,
}

impl Place {
    pub(super) fn level(self) -> Fraction {
        match self {
            Self::Discrete(p) | Self::Below(p) | Self::Above(p) | Self::Linear(p) => p,
        }
    }

    /// The index of the row among n ≥ 1 in order; of the lower one if there are two.
    fn index(self, n: usize) -> usize {
        let p = self.level();
        let (a, b) = (u64::from(p.numerator), u64::from(p.denominator));
        let n = n as u64;
        let index = match self {
            Self::Discrete(_) => (n * a).div_ceil(b).max(1) - 1,
            Self::Below(_) | Self::Linear(_) => (n - 1) * a / b,
            Self::Above(_) => ((n - 1) * a).div_ceil(b),
        };
        usize::try_from(index).expect("under 2^20 rows")
    }

    /// How many b-th parts of the way to the next row the quantile among n ≥ 1 rows lies.
    fn rest(self, n: usize) -> u64 {
        let p = self.level();
        (n as u64 - 1) * u64::from(p.numerator) % u64::from(p.denominator)
    }

    /// What it is among values in order, in the clear; 0 if there are none.
    pub(super) fn of<T: Copy + Into<u128>>(self, values: &[T]) -> u128 {
        let Some(last) = values.len().checked_sub(1) else {
            return 0;
        };
        let index = self.index(values.len());
        let at = |index: usize| values[index.min(last)].into();
        match self {
            Self::Linear(p) => {
                let rest = u128::from(self.rest(values.len()));
                u128::from(p.denominator) * at(index) + rest * (at(index + 1) - at(index))
            }
            _ => at(index),
        }
    }

    /// Bits of [`rest`](Self::rest), if it is wanted.
    fn rest_bits(self) -> Option<usize> {
        match self {
            Self::Linear(p) => Some(bits_for(u128::from(p.denominator - 1))),
            _ => None,
        }
    }
}

impl SelectShape {
    /// Rows of one group, over all holders.
    fn n_rows(&self) -> usize {
        self.rows.iter().fold(0, |n, rows| n.saturating_add(*rows))
    }

    fn cell_bits(&self) -> usize {
        bits_for(self.cells.saturating_sub(1) as u128)
    }

    /// Value, above it a bit that says that the row is filling, and above that the group.
    fn table(&self, n_rows: usize) -> TableShape {
        TableShape {
            n_rows,
            key_bits: self.bits + 1 + self.cell_bits(),
            extra_bits: 0,
            ring64: 0,
            ring128: 0,
        }
    }

    /// Lengths of the holders' runs.
    fn runs(&self) -> Vec<usize> {
        self.rows.iter().map(|n| n * self.cells).collect()
    }

    /// Checks that the parts of the shape fit together and into the ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check<R: Ring>(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let n_rows = self.n_rows().saturating_mul(self.cells);
        if self.rows.len() != n_computing || self.cells == 0 || n_rows > MAX_ROWS {
            return invalid("a selection has a number of rows for each seat, 2^20 in all at most");
        }
        if !(1..=64).contains(&self.bits) {
            return invalid("values of a selection have 1 to 64 bits");
        }
        let fits = |place: &Place| {
            let p = place.level();
            let is_level = p.denominator >= 1 && p.numerator <= p.denominator;
            let scale = place.rest_bits().unwrap_or(0);
            is_level && self.bits + scale <= R::BITS as usize
        };
        if !self.places.iter().all(fits) {
            return invalid("a level lies between 0 and 1, and its multiples fit the ring");
        }
        Ok(())
    }

    /// This holder's rows in order, filled up group by group, as vectors of bits.
    fn planes(
        &self,
        mut input: SelectInput,
        capacity: usize,
    ) -> Result<Vec<BitShare>, ProtocolError> {
        let refused = ProtocolError::InvalidInput {
            what: "a selection takes as many rows of each group as declared, with values of the declared bits",
        };
        input.rows.sort_unstable();
        let mut values = Zeroizing::new(Vec::with_capacity(capacity * self.cells));
        let filling = 1u128 << self.bits;
        let mut rows = input.rows.iter().peekable();
        for cell in 0..self.cells {
            let group = (cell as u128) << (self.bits + 1);
            let end = values.len() + capacity;
            while let Some((_, value)) = rows.next_if(|row| row.0 as usize == cell) {
                if values.len() == end || u128::from(*value) >= filling {
                    return Err(refused);
                }
                values.push(group | u128::from(*value));
            }
            values.resize(end, group | filling);
        }
        match rows.next() {
            Some(_) => Err(refused),
            None => Ok(planes_of(&values, self.table(0).key_bits)),
        }
    }
}

/// Finds values at ranks of each group over all holders' rows.
///
/// Each holder sorts its own rows and fills every group up to a declared number, so that once the
/// holders' runs are merged, group c has the N places from c·N on. There the bits that say which rows
/// are filling are 0 for the group's n rows and 1 after them: each XORed with the one before is 1 in the
/// n-th alone. Which row is wanted is a public function of n, so the unit vector of that row is a XOR of
/// these bits, and the value a sum of products with it. So are the bits of how far a quantile of type 7
/// lies between two rows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `input`: this holder's own rows; `shape`: the same at all seats; takes [`price`]
/// # Output    for each place, shares of one number a group: the value, and for [`Place::Linear`] the
///   quantile times the denominator, both without sign. 0 for a group without rows
/// # Cost      [`price`]: a merge, and for each place and row w ANDs for values of w bits (linear: 2w)
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    CRYPTO §1.8 (merging runs that arrive sorted), §4.4. Selection by the filling: own
pub async fn select<R: StockedRing>(
    session: &mut Session,
    input: SelectInput,
    shape: &SelectShape,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let outcome = try_select(session, input, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_select<R: StockedRing>(
    session: &mut Session,
    input: SelectInput,
    shape: &SelectShape,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    shape.check::<R>(session.n_computing())?;
    stock.check(&price::<R>(shape, Seats::of(session)).needs)?;
    let me = session.seat();
    let mine = shape.planes(input, shape.rows[me.index()])?;
    let mut mine = Some(input::Columns::of_bits(mine));
    let mut runs = Vec::with_capacity(shape.rows.len());
    for (owner, n_rows) in Seat::first(shape.rows.len()).zip(shape.runs()) {
        let own = if owner == me { mine.take() } else { None };
        runs.push(input::table(session, owner, own, shape.table(n_rows)).await?);
    }
    let merged = sort::merge(session, runs, stock).await?;
    let mut planes = merged.planes(0..shape.bits + 1);
    let filling = planes.pop().expect("a bit that says what is filling");
    let sizes = Sizes::of(&filling, shape, me.index());
    let mut found = Vec::with_capacity(shape.places.len());
    for place in &shape.places {
        found.push(at::<R>(session, *place, &sizes, &planes, stock).await?);
    }
    Ok(found)
}

/// The groups' numbers of rows, as shared unit vectors.
struct Sizes {
    n_rows: usize,
    /// For each group, whether it has n rows, for n from 0 to `n_rows`: this seat's shares.
    is: Vec<Zeroizing<Vec<bool>>>,
}

impl Sizes {
    fn of(filling: &BitShare, shape: &SelectShape, seat_index: usize) -> Self {
        let n_rows = shape.n_rows();
        let of_cell = |cell: usize| {
            let first = cell * n_rows;
            let mut is = Zeroizing::new(Vec::with_capacity(n_rows + 1));
            let mut before = false;
            for row in first..first + n_rows {
                let fills = bits::get(filling.as_words(), row);
                is.push(fills ^ before);
                before = fills;
            }
            // After the last row there is nothing but filling.
            is.push((seat_index == 0) ^ before);
            is
        };
        Self {
            n_rows,
            is: (0..shape.cells).map(of_cell).collect(),
        }
    }

    /// The unit vectors of the wanted rows, one group after the other; of those after them if `next`.
    fn rows(&self, place: Place, next: bool) -> BitShare {
        let mut words = vec![0u64; bits::words_for(self.n_rows * self.is.len())];
        for (cell, is) in self.is.iter().enumerate() {
            for (n, is) in is.iter().enumerate().skip(1) {
                let index = place.index(n) + usize::from(next);
                if index < self.n_rows {
                    let at = cell * self.n_rows + index;
                    words[at / 64] ^= u64::from(*is) << (at % 64);
                }
            }
        }
        BitShare::from_words(self.n_rows * self.is.len(), words)
    }

    /// The bits of how far the quantile lies from the wanted row.
    fn rest(&self, place: Place, n_bits: usize) -> Vec<BitShare> {
        let mut rests = Zeroizing::new(vec![0u64; self.is.len()]);
        for (rest, is) in rests.iter_mut().zip(&self.is) {
            for (n, _) in is.iter().enumerate().skip(1).filter(|(_, is)| **is) {
                *rest ^= place.rest(n);
            }
        }
        engine::share::boolean::to_planes(&rests, n_bits)
    }

    /// For each group the XOR of the bits of its rows.
    fn folded(&self, plane: &BitShare) -> BitShare {
        let parity = |cell: usize| {
            let words = bits::range(plane.as_words(), cell * self.n_rows, self.n_rows);
            words.iter().map(|w| w.count_ones()).sum::<u32>() % 2 == 1
        };
        let parities: Vec<bool> = (0..self.is.len()).map(parity).collect();
        BitShare::from_words(parities.len(), bits::pack(&parities))
    }
}

/// What is wanted of each group.
async fn at<R: StockedRing>(
    session: &mut Session,
    place: Place,
    sizes: &Sizes,
    planes: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut low = value::<R>(session, &sizes.rows(place, false), sizes, planes, stock).await?;
    let Some(rest_bits) = place.rest_bits() else {
        return Ok(low);
    };
    if rest_bits == 0 {
        // The denominator is 1: the quantile is a row.
        return Ok(low);
    }
    let mut gap = value::<R>(session, &sizes.rows(place, true), sizes, planes, stock).await?;
    gap.sub_assign(&low);
    let rest = convert::b2a::<R>(session, &sizes.rest(place, rest_bits), stock).await?;
    // b·x_i + rest·(x_(i+1) − x_i). With no next row the rest is 0.
    let part = mul::mul(session, &rest, &gap, stock).await?;
    low.scale_public(R::from_u64(place.level().denominator.into()));
    low.add_assign(&part);
    Ok(low)
}

/// The values of the rows that the unit vectors name.
async fn value<R: StockedRing>(
    session: &mut Session,
    rows: &BitShare,
    sizes: &Sizes,
    planes: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let kept = boolean::keep(session, rows, planes, stock).await?;
    let bits: Vec<BitShare> = kept.iter().map(|plane| sizes.folded(plane)).collect();
    convert::b2a::<R>(session, &bits, stock).await
}

/// The declared price of [`select`] over ring `R`.
pub fn price<R: StockedRing>(shape: &SelectShape, seats: Seats) -> Price {
    let n_rows = shape.n_rows() * shape.cells;
    let value = boolean::keep_price(seats, n_rows, shape.bits).then(&convert::planes_price::<R>(
        seats,
        shape.cells,
        shape.bits,
    ));
    let of_place = |place: &Place| match place.rest_bits() {
        None | Some(0) => value.clone(),
        Some(rest_bits) => value
            .clone()
            .then(&value)
            .then(&convert::planes_price::<R>(seats, shape.cells, rest_bits))
            .then(&mul::price::<R>(seats, shape.cells)),
    };
    sort::merge_price(&shape.runs(), shape.table(n_rows), seats)
        .then(&Price::sequence(seats, shape.places.iter().map(of_place)))
}

/// [`select`] in the clear, for tests: for each place and group the same number.
pub fn oracle(inputs: &[SelectInput], shape: &SelectShape) -> Vec<Vec<u128>> {
    let rows_of = |cell: usize| {
        let rows = inputs.iter().flat_map(|input| &input.rows);
        let mut values: Vec<u128> = rows
            .filter(|row| row.0 as usize == cell)
            .map(|row| row.1.into())
            .collect();
        values.sort_unstable();
        values
    };
    let cells: Vec<Vec<u128>> = (0..shape.cells).map(rows_of).collect();
    let of_cells = |place: &Place| cells.iter().map(|c| place.of(c)).collect();
    shape.places.iter().map(of_cells).collect()
}
