//! Where features are cut: quantiles of type 7 of the rows in common that are fitted and have a value.
//!
//! ```text
//! join    of each feature a column of codes, the places of its values in its holder's order, and one of 1 where
//!         there is a value; of the label 1 for rows that are fitted, see [`circuit`](crate::psi::circuit)
//! sort    by code, rows that do not count last
//! find    the two rows beside each quantile, by comparing places with the rank, which is shared
//! tell    how many rows count, and both codes of each quantile, to the feature's holder: only it knows for what
//!         values they stand
//! ```
//!
//! A code beside a quantile tells its holder that somebody in common has that value.

use super::{Shape, revealed};
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{compare, convert, copy, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::cost::Cost;
use crate::disclose::{self, Disclosure};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::ring;
use engine::share::Share;

/// Columns of each feature: codes, and where there are any.
const N_COLUMNS: usize = 2;

/// Bits of a place times the number of parts, less a limit of that size.
const RANK_BITS: u32 = 28;

/// Most parts between quantiles.
pub const MAX_PARTS: usize = 64;

/// What a holder learns of one of its features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles {
    /// Rows that count; 0 if there are too few, and then nothing else is told.
    pub n_rows: u64,
    /// Of each quantile the codes at its rank rounded down, and at the next one.
    pub codes: Vec<[u64; 2]>,
}

impl Shape {
    /// The shape of the join before cuts are known.
    #[must_use]
    pub fn coded(&self) -> circuit::Shape {
        let mut widths = vec![0; self.bins.len()];
        self.quantiled
            .iter()
            .for_each(|feature| widths[*feature] = N_COLUMNS);
        let mut join = self.of.join_of(&widths);
        // Of the label's table no more than which rows are fitted; of the hub's no column of ones.
        for (place, (seat, _)) in self.of.tables.iter().enumerate() {
            let own = self.quantiled_of(place).count() * N_COLUMNS;
            let side = match place {
                0 => &mut join.hub,
                _ => &mut join.spokes[place - 1],
            };
            debug_assert_eq!(side.seat, *seat, "sides are in the order of tables");
            side.narrow = own + usize::from(place == self.of.label);
        }
        join
    }

    /// Features of a table that are cut at quantiles.
    fn quantiled_of(&self, place: usize) -> impl Iterator<Item = usize> {
        let features = self.quantiled.iter().copied();
        features.filter(move |feature| self.of.features[*feature] == place)
    }

    fn n_cuts(&self) -> usize {
        self.n_parts.saturating_sub(1)
    }

    /// How many numbers are told of one feature.
    fn n_told_of_cuts(&self) -> usize {
        1 + 2 * self.n_cuts()
    }

    /// Bits of codes; one that is larger is that of a row that does not count.
    fn code_bits(&self) -> u32 {
        self.of.log_rows
    }

    fn key_planes(&self) -> usize {
        self.code_bits() as usize + 1
    }

    fn sorted_by_code(&self) -> TableShape {
        TableShape {
            n_rows: self.coded().n_bins(),
            key_bits: self.key_planes(),
            extra_bits: 0,
            ring64: 1,
            ring128: 0,
        }
    }

    /// Which rows are beside quantiles, times their codes.
    fn found_shape(&self) -> MatrixShape {
        MatrixShape {
            m: 2 * self.n_cuts(),
            k: self.coded().n_bins(),
            n: 1,
        }
    }
}

/// Joins codes of values, and tells each holder where its features' quantiles are.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the holders, columns as the module says, codes below 2^log_rows; elsewhere
///   `None`; takes [`quantiles_price`]; `disclosure`: that of [`super::count`]
/// # Output    at a holder, [`Quantiles`] of each of its features that are cut so, in order
/// # Cost      [`quantiles_price`], and of what is revealed [`quantiles_cost`]: for each feature a sort of all
///   rows by so many bits as tables have rows, and a comparison for each row and quantile
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. A feature's holder learns how many
///   rows in common are fitted and have a value, and the codes of the rows beside each quantile, if there are as
///   many rows as the shape says; nobody else learns anything
/// # Errors    those of [`circuit::join`] and [`sort::radix`]; [`ProtocolError::NotApproved`] before anything is
///   sent; [`ProtocolError::CheckFailed`]
/// # Source    Hyndman–Fan, 1996, definition 7; ranks on shares as in [`evaluate`](crate::train::evaluate)
pub async fn quantiles(
    session: &mut Session,
    rows: Option<circuit::Rows>,
    shape: &Shape,
    stock: &mut Stock,
    disclosure: &Disclosure,
) -> Result<Vec<Quantiles>, ProtocolError> {
    session.ended_by(shape.check(session.n_computing()))?;
    let terms = shape.terms(disclosure.receivers());
    let seats = Seats::of(session);
    let needs = quantiles_price(seats, shape).needs;
    disclose::admit(session, (disclosure, &terms), (stock, &needs))?;
    let joined = circuit::join(session, &shape.coded(), rows, stock).await?;
    let mut tables: Vec<Vec<Share<u64>>> = [joined.hub]
        .into_iter()
        .chain(joined.spokes)
        .map(|columns| columns.narrow)
        .collect();
    let used = tables[shape.of.label].pop().expect("which rows are fitted");
    let mut mine = Vec::new();
    for (place, columns) in tables.into_iter().enumerate() {
        let mut columns = columns.into_iter();
        let mut values = Vec::new();
        for _ in shape.quantiled_of(place) {
            let codes = columns.next().expect("codes of each feature");
            let known = columns.next().expect("where there are any");
            let found = of_feature(session, (&codes, &known, &used), shape, stock).await?;
            values.extend_from_slice(found.as_slice());
        }
        if values.is_empty() {
            continue;
        }
        let holder = [shape.of.tables[place].0];
        if let Some(told) = revealed(session, values, &holder, disclosure).await? {
            mine = told
                .chunks_exact(shape.n_told_of_cuts())
                .map(read)
                .collect();
        }
    }
    Ok(mine)
}

fn read(told: &[u64]) -> Quantiles {
    let codes = told[1..].chunks_exact(2);
    Quantiles {
        n_rows: told[0],
        codes: codes.map(|pair| [pair[0], pair[1]]).collect(),
    }
}

/// Shares of what is told of one feature.
async fn of_feature(
    session: &mut Session,
    (codes, known, used): (&Share<u64>, &Share<u64>, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let own = |public: u64| if is_first { public } else { 0 };
    let last = own(1 << shape.code_bits());
    let counts = mul::mul(session, used, known, stock).await?;
    // The code of rows that count, 2^bits of others.
    let mut away = copy(codes);
    let away_from_last = away.as_mut_slice().iter_mut();
    away_from_last.for_each(|code| *code = code.wrapping_sub(last));
    let mut keys = mul::mul(session, &counts, &away, stock).await?;
    let from_last = keys.as_mut_slice().iter_mut();
    from_last.for_each(|key| *key = key.wrapping_add(last));
    let planes = convert::a2b(session, &keys, shape.key_planes(), shape.of.method, stock).await?;
    let n = keys.len();
    let table = Table::new(n, &planes, &[], vec![keys], vec![]);
    let sorted = sort::sort(session, table, stock).await?;
    let (columns, _) = sorted.into_ring_columns();
    let sorted = columns.into_iter().next().expect("codes");
    let n_rows = ring::sum(counts.as_slice());
    let beside = beside(session, (n, n_rows), shape, stock).await?;
    let found = matmul(session, &beside, &sorted, shape.found_shape(), stock).await?;
    let mut told = Share::new(vec![n_rows]);
    told.append(found);
    // Nothing of a feature that too few rows have.
    let least = own(shape.of.at_least.min(1 << (RANK_BITS - 1)));
    let margin = Share::new(vec![n_rows.wrapping_sub(least)]);
    let mut passes =
        compare::less_than_zero(session, &margin, RANK_BITS, shape.of.method, stock).await?;
    passes.not(session.seat().index());
    let passes = convert::bit_to_arith::<u64>(session, &passes, stock).await?;
    let passes = Share::new(vec![passes.as_slice()[0]; told.len()]);
    mul::mul(session, &told, &passes, stock).await
}

/// Of each quantile a row of 0 and a 1 at the rank rounded down, and one with the 1 at the next rank.
async fn beside(
    session: &mut Session,
    (n, n_rows): (usize, u64),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let own = |public: u64| if is_first { public } else { 0 };
    let parts = shape.n_parts as u64;
    // A place i is up to the rank (n_rows − 1)·q/parts if parts·i − (n_rows − 1)·q − 1 < 0.
    let differences = (1..parts).flat_map(|q| {
        let limit = n_rows
            .wrapping_sub(own(1))
            .wrapping_mul(q)
            .wrapping_add(own(1));
        (0..n as u64).map(move |i| own(parts * i).wrapping_sub(limit))
    });
    let differences = Share::new(differences.collect());
    let is_up_to =
        compare::less_than_zero(session, &differences, RANK_BITS, shape.of.method, stock).await?;
    let is_up_to = convert::bit_to_arith::<u64>(session, &is_up_to, stock).await?;
    let mut beside = Vec::with_capacity(2 * is_up_to.len());
    for row in is_up_to.as_slice().chunks_exact(n) {
        let at = |i: usize| row.get(i).copied().unwrap_or(0);
        beside.extend((0..n).map(|i| at(i).wrapping_sub(at(i + 1))));
        beside.extend((0..n).map(|i| match i {
            0 => 0,
            i => at(i - 1).wrapping_sub(at(i)),
        }));
    }
    Ok(Share::new(beside))
}

/// The declared price of [`quantiles`] but for revealing.
pub fn quantiles_price(seats: Seats, shape: &Shape) -> Price {
    if shape.quantiled.is_empty() {
        return Price::nothing(seats);
    }
    let (n, method) = (shape.coded().n_bins(), shape.of.method);
    let n_compared = n * shape.n_cuts();
    let of_feature = mul::price::<u64>(seats, n)
        .then(&mul::price::<u64>(seats, n))
        .then(&convert::a2b_price::<u64>(
            seats,
            n,
            shape.key_planes(),
            method,
        ))
        .then(&sort::price(shape.sorted_by_code(), seats))
        .then(&compare::less_than_zero_price::<u64>(
            seats, n_compared, RANK_BITS, method,
        ))
        .then(&convert::planes_price::<u64>(seats, n_compared, 1))
        .then(&products::price::<u64>(seats, shape.found_shape()))
        .then(&compare::less_than_zero_price::<u64>(
            seats, 1, RANK_BITS, method,
        ))
        .then(&convert::planes_price::<u64>(seats, 1, 1))
        .then(&mul::price::<u64>(seats, shape.n_told_of_cuts()));
    circuit::price(seats, &shape.coded()).then(&Price::sequence(
        seats,
        vec![of_feature; shape.quantiled.len()],
    ))
}

/// The declared cost of what [`quantiles`] reveals.
pub fn quantiles_cost(seats: Seats, shape: &Shape) -> Cost {
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    let mut cost = Cost::none(n_seats);
    for (place, (seat, _)) in shape.of.tables.iter().enumerate() {
        let n_told = shape.quantiled_of(place).count() * shape.n_told_of_cuts();
        if n_told > 0 {
            cost = cost.then(&disclose::cost(n_seats, n_computing, n_told, 0, &[*seat]));
        }
    }
    cost
}
