//! Totals over all holders, with small cells held back.
//!
//! Each holder has added up its own rows: for every cell of a table the same columns of numbers,
//! some over Z_2^64 (`narrow`), some over Z_2^128 (`wide`). [`release`] adds the holders' tables
//! without showing any of them, decides for every cell whether it may be released, and opens the
//! cells that may to the receivers.
//!
//! What decides about a cell need not be shown with it: columns that are compared alone
//! ([`ReleaseShape::compared`]) are opened to nobody.
//!
//! With [`CellRule::Margins`] the table has totals beside their parts, and large cells too are held back where they
//! would tell small ones.
//!
//! [`noisy_release`] is the same with noise of every holder in all totals, for differential privacy, and [`rounded_release`]
//! with counts that are rounded on shares.
//!
//! A holder's own totals are an additive sharing of the joint totals as they stand. Nothing is
//! sent to share them, and everything that is opened is re-randomised first.

mod margins;
mod shape;
mod noisy;
mod rounded;
mod metered;

pub(crate) use margins::protect_by;
pub use margins::{
    CellState, Form, MAX_MARGIN_KEYS, MAX_MARGIN_PAIRS, Margins, protect_in_the_clear,
};
pub use metered::{MAX_COMPARED, Metered, MeteredShape, metered_release, metered_security};
pub use noisy::{NoisyShape, noisy_release, noisy_security};
pub use rounded::{RoundedShape, rounded_release, rounded_security};
pub use shape::{CellRule, Check, LocalTotals, ReleaseShape, Released};

use crate::arith::compare;
use crate::boolean;
use crate::correlate::{self, Needs, Source, Stock};
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::Seats;
use crate::security::{Adversary, Collusion, Learns, Security};
use crate::session::Session;
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use shape::lanes_for;

/// Adds the holders' tables and releases the cells whose checks all hold.
///
/// A cell is released if every [`Check`] finds its count to be at least so great, and how that is
/// found out is the shape's [`CellRule`]. The values of other cells are not opened to anybody.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; a dealer takes no part
/// # Inputs    `input`: this holder's totals; `shape`: the same at all seats; `stock`: at least
///   [`needs`]; `disclosure`: for the shape's [`terms`](ReleaseShape::terms)
/// # Output    at receivers the released cells, elsewhere `None`
/// # Cost      [`cost`]: 2 rounds without checks; with [`CellRule::Compare`] the rounds of
///   [`compare::levels`], ⌈log2 checks⌉ to combine them, 1 to open the bits and 2 to
///   reveal; with [`CellRule::OpenCounts`] 4
/// # Security  [`security`]: semi-honest, all but one computing seat may be corrupt. Receivers
///   learn the released cells; all computing seats learn which cells those are, and with
///   `OpenCounts` the checked counts of all cells; nobody learns anything else
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] and
///   [`ProtocolError::OutOfCorrelations`] before anything is sent;
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`],
///   [`ProtocolError::CheckFailed`], and then nothing is output
/// # Source    pairwise masked sums: Bonawitz et al., CCS 2017; threshold before opening: own
///   composition of [`compare`] and [`reveal`]
pub async fn release(
    session: &mut Session,
    input: LocalTotals,
    shape: &ReleaseShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    let outcome = try_release(session, input, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_release(
    session: &mut Session,
    input: LocalTotals,
    shape: &ReleaseShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    shape.check(session.n_computing())?;
    shape.check_input(&input)?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&needs(shape, Seats::of(session)))?;
    let decided = match shape.mode {
        CellRule::None => Decided::of(vec![true; shape.cells]),
        CellRule::Compare => Decided::of(compare_counts(session, &input, shape, stock).await?),
        CellRule::Margins(margins) => {
            protect_margins(session, &input, shape, &margins, stock).await?
        }
        CellRule::OpenCounts => {
            Decided::of(open_counts(session, &input, shape, &disclosure).await?)
        }
    };
    let values = released_cells(&input, shape, &decided.ok);
    drop(input);
    let (n_narrow, n_wide) = (shape.cells * shape.opened(), shape.cells * shape.wide);
    let terms = Terms::of_values(n_narrow, n_wide, &shape.receivers);
    let disclosure = disclosure.part(terms);
    let revealed = reveal(session, values, &shape.receivers, disclosure).await?;
    Ok(revealed.map(|values| Released::from_revealed(shape, decided, &values)))
}

/// Which cells are released, and with margins why not.
struct Decided {
    ok: Vec<bool>,
    states: Option<Vec<CellState>>,
}

impl Decided {
    fn of(ok: Vec<bool>) -> Self {
        Self { ok, states: None }
    }
}

/// Compares the checked counts with their thresholds on shares, and opens one bit a cell.
async fn compare_counts(
    session: &mut Session,
    input: &LocalTotals,
    shape: &ReleaseShape,
    mut stock: Stock,
) -> Result<Vec<bool>, ProtocolError> {
    // Each check's cells fill whole words, so that the checks' bits come apart without shifting.
    let n_lanes = lanes_for(shape.cells);
    let counts = checked_counts(input, shape, n_lanes);
    let of_check = |check: &Check| vec![check.at_least; n_lanes];
    let thresholds: Vec<u64> = shape.checks.iter().flat_map(of_check).collect();
    let bound_bits = shape.bound_bits();
    let at_least = compare::at_least(session, &counts, &thresholds, bound_bits, &mut stock).await?;
    let ok = all_of(session, at_least, shape, &mut stock).await?;
    let opened = boolean::open(session, ok).await?;
    Ok(bits::unpack(&opened, shape.cells))
}

/// Compares the checked counts with their thresholds and with 1, opens two bits a cell, and finds what else is held back.
async fn protect_margins(
    session: &mut Session,
    input: &LocalTotals,
    shape: &ReleaseShape,
    margins: &Margins,
    mut stock: Stock,
) -> Result<Decided, ProtocolError> {
    let n_lanes = lanes_for(shape.cells);
    let mut counts = checked_counts(input, shape, n_lanes).into_vec();
    let protected = &input.narrow[margins.count()];
    counts.extend_from_slice(protected);
    counts.resize((shape.checks.len() + 1) * n_lanes, 0);
    let thresholds = shape.checks.iter().map(|check| check.at_least).chain([1]);
    let thresholds: Vec<u64> = thresholds
        .flat_map(|at_least| vec![at_least; n_lanes])
        .collect();
    let bound = shape.bound_bits();
    let counts = Share::new(counts);
    let at_least = compare::at_least(session, &counts, &thresholds, bound, &mut stock).await?;
    let (large, present) = at_least
        .as_words()
        .split_at(shape.checks.len() * n_lanes / 64);
    let large = BitShare::from_words(large.len() * 64, large.to_vec());
    let large = all_of(session, large, shape, &mut stock).await?;
    let words = [large.as_words(), &present[..bits::words_for(shape.cells)]].concat();
    let opened = boolean::open(session, BitShare::from_words(words.len() * 64, words)).await?;
    let (large, present) = opened.split_at(opened.len() / 2);
    let large = bits::unpack(large, shape.cells);
    let empty: Vec<bool> = bits::unpack(present, shape.cells)
        .into_iter()
        .map(|present| !present)
        .collect();
    let of = (large.as_slice(), empty.as_slice());
    let states = margins::protect(session, protected, of, (margins, bound), &mut stock).await?;
    Ok(Decided {
        ok: states.iter().map(|s| *s == CellState::Released).collect(),
        states: Some(states),
    })
}

/// The AND of all checks for each cell.
async fn all_of(
    session: &mut Session,
    checks: BitShare,
    shape: &ReleaseShape,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let n_words = bits::words_for(shape.cells);
    let of_check = |i: usize| {
        let words = &checks.as_words()[i * n_words..(i + 1) * n_words];
        BitShare::from_words(shape.cells, words.to_vec())
    };
    let checks = (0..shape.checks.len()).map(of_check).collect();
    boolean::all(session, checks, stock).await
}

/// Opens the checked counts to all computing seats and compares them in the clear.
async fn open_counts(
    session: &mut Session,
    input: &LocalTotals,
    shape: &ReleaseShape,
    disclosure: &Disclosure,
) -> Result<Vec<bool>, ProtocolError> {
    let receivers: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(shape.checks.len() * shape.cells, 0, &receivers);
    let disclosure = disclosure.part(terms);
    let values = Values {
        narrow: checked_counts(input, shape, shape.cells),
        wide: Share::zero(0),
    };
    let revealed = reveal(session, values, &receivers, disclosure).await?;
    let counts = revealed
        .expect("every computing seat receives the counts")
        .narrow;
    let holds = |cell: usize| {
        let of_check =
            |(i, check): (usize, &Check)| counts[i * shape.cells + cell] >= check.at_least;
        shape.checks.iter().enumerate().all(of_check)
    };
    Ok((0..shape.cells).map(holds).collect())
}

/// This seat's shares of the counts of every check, each filled up with zeros to `n_lanes`.
fn checked_counts(input: &LocalTotals, shape: &ReleaseShape, n_lanes: usize) -> Share<u64> {
    let mut counts = Vec::with_capacity(shape.checks.len() * n_lanes);
    for (i, check) in shape.checks.iter().enumerate() {
        counts.extend_from_slice(&input.narrow[check.column]);
        counts.resize((i + 1) * n_lanes, 0);
    }
    Share::new(counts)
}

/// This seat's shares of all columns that are opened. Cells that are held back become shares of zero: left out,
/// they would show in the length of a message to whoever watches the wire how many there are.
fn released_cells(input: &LocalTotals, shape: &ReleaseShape, ok: &[bool]) -> Values {
    fn cleared<R: Ring>(columns: &[Vec<R>], ok: &[bool]) -> Share<R> {
        // Of its final size from the start: a vector that grows leaves copies behind.
        let mut values = Vec::with_capacity(columns.len() * ok.len());
        for column in columns {
            let cells = column.iter().zip(ok);
            values.extend(cells.map(|(value, ok)| if *ok { *value } else { R::ZERO }));
        }
        Share::new(values)
    }
    Values {
        narrow: cleared(&input.narrow[..shape.opened()], ok),
        wide: cleared(&input.wide, ok),
    }
}

/// The correlated randomness that [`release`] takes.
pub fn needs(shape: &ReleaseShape, seats: Seats) -> Needs {
    let further = match &shape.mode {
        CellRule::None | CellRule::OpenCounts => return Needs::default(),
        CellRule::Compare => Needs::default(),
        CellRule::Margins(margins) => margins::price(margins, shape.bound_bits(), seats).needs,
    };
    if shape.checks.is_empty() {
        return Needs::default();
    }
    let n_counts = n_compared(shape) * lanes_for(shape.cells);
    let combined = boolean::all_price(seats, shape.cells, shape.checks.len()).needs;
    compare::needs(seats.n_computing, shape.bound_bits(), n_counts) + combined + further
}

/// The comparisons for each cell.
fn n_compared(shape: &ReleaseShape) -> usize {
    let with_one = matches!(shape.mode, CellRule::Margins(_));
    shape.checks.len() + usize::from(with_one)
}

/// What a release costs, the same whichever cells are released; with [`CellRule::Margins`] it is the most that it can cost,
/// reached where every line needs one more cell held back. Includes the preparation of what
/// it [`needs`] from `source`, if it needs anything.
pub fn cost(shape: &ReleaseShape, n_computing: usize, source: Option<&Source>) -> Cost {
    let n_seats = n_computing + source.map_or(0, Source::extra_seats);
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let needs = needs(shape, seats);
    let prepared = match source {
        Some(source) => correlate::cost(source, n_computing, &needs),
        None => Cost::none(n_seats),
    };
    prepared.then(&online_cost(shape, n_seats, n_computing))
}

/// What a release costs once its stock is there. `n_seats` counts a dealer too.
pub fn online_cost(shape: &ReleaseShape, n_seats: usize, n_computing: usize) -> Cost {
    let (narrow, wide) = (shape.cells * shape.opened(), shape.cells * shape.wide);
    let reveal = disclose::cost(n_seats, n_computing, narrow, wide, &shape.receivers);
    decision_cost(shape, n_seats, n_computing).then(&reveal)
}

/// The cost of finding out which cells are released.
fn decision_cost(shape: &ReleaseShape, n_seats: usize, n_computing: usize) -> Cost {
    let n_checks = shape.checks.len();
    match shape.mode {
        CellRule::None => Cost::none(n_seats),
        CellRule::OpenCounts => {
            let everybody: Vec<Seat> = Seat::first(n_computing).collect();
            disclose::cost(n_seats, n_computing, n_checks * shape.cells, 0, &everybody)
        }
        CellRule::Compare | CellRule::Margins(_) => {
            let n_counts = n_compared(shape) * lanes_for(shape.cells);
            let compared = compare::cost(n_seats, n_computing, shape.bound_bits(), n_counts);
            let seats = Seats {
                n_seats,
                n_computing,
            };
            let combined = boolean::all_price(seats, shape.cells, n_checks).cost;
            let decided = compared.then(&combined);
            let mut n_words = bits::words_for(shape.cells);
            let CellRule::Margins(margins) = &shape.mode else {
                return decided.then(&boolean::open_cost(n_seats, n_computing, n_words));
            };
            n_words *= 2;
            decided
                .then(&boolean::open_cost(n_seats, n_computing, n_words))
                .then(&margins::price(margins, shape.bound_bits(), seats).cost)
        }
    }
}

/// What a release claims and who learns what, for the plan.
pub fn security(shape: &ReleaseShape, n_computing: usize, source: Option<&Source>) -> Security {
    let everybody: Vec<Seat> = Seat::first(n_computing).collect();
    let mut learns = vec![Learns {
        seats: shape.receivers.clone(),
        what: "the totals over all parties of the released groups",
    }];
    match shape.mode {
        CellRule::None => {}
        CellRule::Compare => {
            learns.push(Learns {
                seats: everybody,
                what: "which groups are large enough",
            });
        }
        CellRule::Margins(_) => {
            learns.push(Learns {
                seats: everybody,
                what: "which groups are too small, which have no rows, and which are held back beside the small ones",
            });
        }
        CellRule::OpenCounts => {
            learns.push(Learns {
                seats: everybody,
                what: "the size of every group, small ones too",
            });
        }
    }
    let collusion = match source {
        Some(Source::Dealer { .. }) => Collusion::AllButOneWithoutDealer,
        Some(Source::Ot | Source::FerretOt) | None => Collusion::AllButOne,
    };
    Security {
        adversary: Adversary::SemiHonest,
        collusion,
        learns,
    }
}
