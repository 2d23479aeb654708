//! The smallest or greatest value of each group, over all holders.

use super::{bits_for, end_to_end, planes_of};
use crate::arith::{bits, convert};
use crate::boolean::{self, xor};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Which of a group's values is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The smallest.
    Min,
    /// The greatest.
    Max,
}

/// The public shape of an [`extremes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtremeShape {
    /// Which value.
    pub extreme: Extreme,
    /// Number of groups.
    pub cells: usize,
    /// No value is below this: the declared range of the column.
    pub low: i128,
    /// No value is above this.
    pub high: i128,
}

/// What one holder has: of each group its own smallest, or greatest, value; `None` if it has no
/// row of the group, or only NULLs.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ExtremeInput {
    /// One for each cell.
    pub values: Vec<Option<i128>>,
}

/// What comes out: shares to be released.
pub struct Extremes<R: Ring> {
    /// Of each cell the value, 0 if no holder has one.
    pub values: Share<R>,
    /// Of each cell 1 if some holder has a value, else 0: SQL's NULL.
    pub present: Share<R>,
}

impl ExtremeShape {
    /// Bits of a value's distance from the end of the range, and one that says that there is none.
    fn n_planes(&self) -> usize {
        bits_for(self.high.wrapping_sub(self.low).cast_unsigned()) + 1
    }

    /// Where distances are counted from, and in which direction: the wanted value is always the one
    /// of the smallest distance.
    fn origin(&self) -> i128 {
        match self.extreme {
            Extreme::Min => self.low,
            Extreme::Max => self.high,
        }
    }

    /// Checks that the range is one, and fits the ring: as numbers with a sign, or both ends as
    /// numbers of 64 bits without one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`].
    pub fn check<R: Ring>(&self) -> Result<(), ProtocolError> {
        let signed = |bound| R::from_signed(bound).is_some();
        let unsigned = |bound: i128| u64::try_from(bound).is_ok();
        let fits =
            signed(self.low) && signed(self.high) || unsigned(self.low) && unsigned(self.high);
        let width = self.high.checked_sub(self.low);
        if !fits || width.is_none_or(|w| w < 0) {
            return Err(ProtocolError::InvalidInput {
                what: "an extreme has a range that fits its ring",
            });
        }
        Ok(())
    }

    /// This holder's distances, as vectors of bits, lowest first. The highest bit says that there is
    /// no value; all others are then 0.
    fn planes(&self, input: &ExtremeInput) -> Result<Vec<BitShare>, ProtocolError> {
        let absent = 1u128 << (self.n_planes() - 1);
        let distance = |value: &Option<i128>| match value {
            None => Some(absent),
            Some(v) if (self.low..=self.high).contains(v) => Some(v.abs_diff(self.origin())),
            Some(_) => None,
        };
        let distances: Option<Vec<u128>> = input.values.iter().map(distance).collect();
        match distances {
            Some(distances) if distances.len() == self.cells => {
                Ok(planes_of(&Zeroizing::new(distances), self.n_planes()))
            }
            _ => Err(ProtocolError::InvalidInput {
                what: "an extreme has a value in its range, or none, for each cell",
            }),
        }
    }

    /// Values from the winners' distances: low·present + distance, or high·present − distance. A
    /// cell without a value has present = 0 and distance = 0.
    fn values_of<R: Ring>(
        &self,
        seat_index: usize,
        mut distances: Share<R>,
        absent: Share<R>,
    ) -> Extremes<R> {
        let mut present = absent;
        present.negate();
        present.add_public(seat_index, &vec![R::ONE; self.cells]);
        if self.extreme == Extreme::Max {
            distances.negate();
        }
        let mut values = Share::new(present.as_slice().to_vec());
        let origin = self.origin();
        let unsigned = || u64::try_from(origin).ok().map(R::from_u64);
        let element = R::from_signed(origin).or_else(unsigned);
        values.scale_public(element.expect("the shape was checked"));
        values.add_assign(&distances);
        Extremes { values, present }
    }
}

/// Finds the smallest or greatest value of each group over all holders.
///
/// Each holder has found its own. Its distance from the end of the declared range is XOR-shared as
/// it stands, and the smallest wins a tournament, round by round for all cells at once. A holder
/// without a value enters a distance greater than any.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `input`: this holder's own extremes; `shape`: the same at all seats; takes
///   [`price`]
/// # Output    shares of the value of each cell, and of whether there is one
/// # Cost      [`price`]: ⌈log2 N⌉ times 3 + ⌈log2 w⌉ rounds for values of w bits, and 2
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    CRYPTO §1.5 (selection); tournament: folklore
pub async fn extremes<R: StockedRing>(
    session: &mut Session,
    input: ExtremeInput,
    shape: &ExtremeShape,
    stock: &mut Stock,
) -> Result<Extremes<R>, ProtocolError> {
    let outcome = try_extremes(session, input, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_extremes<R: StockedRing>(
    session: &mut Session,
    input: ExtremeInput,
    shape: &ExtremeShape,
    stock: &mut Stock,
) -> Result<Extremes<R>, ProtocolError> {
    shape.check::<R>()?;
    stock.check(&price::<R>(shape, Seats::of(session)).needs)?;
    let mine = shape.planes(&input)?;
    drop(input);
    let mut rivals = boolean::input_all(session, mine).await;
    while rivals.len() > 1 {
        rivals = play(session, rivals, stock).await?;
    }
    let mut winner = rivals.pop().expect("at least two seats compute");
    let absent = winner.pop().expect("a bit for those without a value");
    let absent = convert::bit_to_arith::<R>(session, &absent, stock).await?;
    let distances = match winner.is_empty() {
        true => Share::zero(shape.cells),
        false => convert::b2a::<R>(session, &winner, stock).await?,
    };
    Ok(shape.values_of(session.seat().index(), distances, absent))
}

/// One round of the tournament: of each two rivals' values the smaller goes on, cell by cell.
async fn play(
    session: &mut Session,
    mut rivals: Vec<Vec<BitShare>>,
    stock: &mut Stock,
) -> Result<Vec<Vec<BitShare>>, ProtocolError> {
    let odd = rivals.split_off(rivals.len() / 2 * 2);
    let n_cells = rivals[0][0].n_bits();
    let n_planes = rivals[0].len();
    let side = |first: usize, plane: usize| {
        end_to_end(rivals.iter().skip(first).step_by(2).map(|r| &r[plane]))
    };
    let left: Vec<BitShare> = (0..n_planes).map(|p| side(0, p)).collect();
    let right: Vec<BitShare> = (0..n_planes).map(|p| side(1, p)).collect();
    let is_less = bits::less_than(session, &right, &left, stock).await?;
    let differences: Vec<BitShare> = left.iter().zip(&right).map(|(x, y)| xor(x, y)).collect();
    let moved = boolean::keep(session, &is_less, &differences, stock).await?;
    let smaller: Vec<BitShare> = left.iter().zip(&moved).map(|(x, d)| xor(x, d)).collect();
    let winner = |pair: usize| {
        let cells = pair * n_cells..(pair + 1) * n_cells;
        let of_plane = |plane: &BitShare| plane.picked(cells.clone());
        smaller.iter().map(of_plane).collect()
    };
    let mut winners: Vec<Vec<BitShare>> = (0..rivals.len() / 2).map(winner).collect();
    winners.extend(odd);
    Ok(winners)
}

/// The declared price of [`extremes`] over ring `R`.
pub fn price<R: StockedRing>(shape: &ExtremeShape, seats: Seats) -> Price {
    let n_planes = shape.n_planes();
    let mut n_rivals = seats.n_computing;
    let mut price = Price::nothing(seats);
    while n_rivals > 1 {
        let n_items = n_rivals / 2 * shape.cells;
        price = price
            .then(&bits::less_than_price(seats, n_items, n_planes))
            .then(&boolean::keep_price(seats, n_items, n_planes));
        n_rivals = n_rivals.div_ceil(2);
    }
    let price = price.then(&convert::planes_price::<R>(seats, shape.cells, 1));
    match n_planes {
        1 => price,
        _ => price.then(&convert::planes_price::<R>(
            seats,
            shape.cells,
            n_planes - 1,
        )),
    }
}

/// [`extremes`] in the clear, for tests: of each cell the value, if any holder has one.
pub fn oracle(inputs: &[ExtremeInput], shape: &ExtremeShape) -> Vec<Option<i128>> {
    let of_cell = |cell: usize| {
        let values = inputs.iter().filter_map(|input| input.values[cell]);
        match shape.extreme {
            Extreme::Min => values.min(),
            Extreme::Max => values.max(),
        }
    };
    (0..shape.cells).map(of_cell).collect()
}
