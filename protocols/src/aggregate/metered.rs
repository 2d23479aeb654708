//! A release that also tells how much each holder contributed to it.
//!
//! The game: a coalition of holders is worth as many groups as its rows alone would release. Each holder's Shapley value of it
//! is found on shares and opened to all computing seats; what any coalition is worth is opened to nobody. A holder's totals are its
//! own summand, so the count of a coalition's rows is shared without a message: those outside bring 0. Where the shape says so, what all
//! are worth less what all but one are is opened as well, for each holder: 0 of one whose rows enable nothing that the others' do not.

use super::{LocalTotals, ReleaseShape, Released, needs, online_cost, security, try_release};
use crate::arith::compare;
use crate::arith::convert;
use crate::correlate::{Source, Stock};
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::security::{Learns, Security};
use crate::session::Session;
use engine::shapley::{MAX_PLAYERS, coefficients};
use engine::share::Share;

/// Most counts that are compared for a game: groups times coalitions.
pub const MAX_COMPARED: usize = 1 << 20;

/// The public shape of a release that is metered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteredShape {
    /// What is released.
    pub release: ReleaseShape,
    /// The seats that hold data, in order: the players.
    pub holders: Vec<Seat>,
    /// The narrow column of the counts that decide, and what a count has to reach; at least 1.
    pub column: usize,
    /// See `column`.
    pub at_least: u64,
    /// Counts over all holders are below 2 to this power.
    pub bound_bits: u32,
    /// Whether it is told as well how many groups would be missing without each holder.
    pub leave_one_out: bool,
}

impl MeteredShape {
    /// What a holder approves: the release, and the game whose values are told.
    pub fn terms(&self) -> Terms {
        let holders: Vec<u8> = self.holders.iter().map(|seat| seat.0).collect();
        let game = [
            self.column as u64,
            self.at_least,
            self.bound_bits.into(),
            self.leave_one_out.into(),
        ];
        let game = game.map(u64::to_le_bytes);
        let inner = self.release.terms();
        let fields = [&inner.digest()[..], &holders, game.as_flattened()];
        Terms::new("entente/v1/terms/metered", &fields, &self.release.receivers)
    }

    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        self.release.check(n_computing)?;
        let in_order = self.holders.is_sorted_by(|a, b| a < b);
        let computes = |seat: &Seat| seat.index() < n_computing;
        if !in_order || !self.holders.iter().all(computes) {
            return invalid("the holders of a metered release are computing seats in order");
        }
        if !(1..=MAX_PLAYERS).contains(&self.holders.len()) || self.n_compared() > MAX_COMPARED {
            return invalid("a game has up to 8 players, and 2^20 counts in all");
        }
        let bounded = (1..=compare::MAX_BOUND_BITS).contains(&self.bound_bits);
        if self.column >= self.release.narrow || self.at_least == 0 || !bounded {
            return invalid(
                "a game counts rows of a narrow column, of which it takes one at least",
            );
        }
        Ok(())
    }

    /// How many values are told.
    fn n_values(&self) -> usize {
        self.holders.len() * if self.leave_one_out { 2 } else { 1 }
    }

    /// Coalitions, the empty one left out: it is worth nothing.
    fn n_coalitions(&self) -> usize {
        (1 << self.holders.len()) - 1
    }

    fn n_compared(&self) -> usize {
        self.n_coalitions().saturating_mul(self.release.cells)
    }

    /// What a release takes and costs, without its preparation.
    pub fn price(&self, seats: Seats) -> Price {
        let (n_seats, n_computing) = (seats.n_seats, seats.n_computing);
        let n_counts = self.n_compared();
        let compared = Price {
            needs: compare::needs(n_computing, self.bound_bits, n_counts),
            cost: compare::cost(n_seats, n_computing, self.bound_bits, n_counts),
        };
        let everybody: Vec<Seat> = Seat::first(n_computing).collect();
        let values = disclose::cost(n_seats, n_computing, self.n_values(), 0, &everybody);
        let released = Price {
            needs: needs(&self.release, seats),
            cost: values.then(&online_cost(&self.release, n_seats, n_computing)),
        };
        compared
            .then(&convert::planes_price::<u64>(seats, n_counts, 1))
            .then(&released)
    }
}

/// What a metered release tells.
pub struct Metered {
    /// The released cells, at receivers.
    pub released: Option<Released>,
    /// n!·φ of each holder, in the order of the shape's holders, at all computing seats.
    pub contributions: Vec<u64>,
    /// How many groups would be missing without each holder, in the same order, if the shape says so.
    pub left_out: Vec<u64>,
}

/// Releases the cells whose checks hold, and tells each holder's Shapley value of the groups that coalitions would release.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; those in `shape.holders` are the players; a dealer takes no part
/// # Inputs    `input`: this holder's totals, whose counts are its own and not shares of others'; `shape`: the same at all
///   seats; `stock`: what [`MeteredShape::price`] needs; `disclosure`: for the shape's [`terms`](MeteredShape::terms)
/// # Output    [`Metered`]. Values are exact; contributions add up to n! times the groups that all together release by their counts
/// # Cost      [`MeteredShape::price`]: the rounds of [`compare::levels`] for 2^n − 1 counts a group, 1 to convert their
///   bits, 2 to reveal the values, and then the release
/// # Security  [`metered_security`]: as [`release`](super::release); besides, all computing seats learn the holders' values
/// # Errors    as [`release`](super::release)
/// # Source    Shapley, 1953; on shares: own composition of [`compare::at_least`] and [`reveal`]
pub async fn metered_release(
    session: &mut Session,
    input: LocalTotals,
    shape: &MeteredShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Metered, ProtocolError> {
    let outcome = try_metered(session, input, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_metered(
    session: &mut Session,
    input: LocalTotals,
    shape: &MeteredShape,
    mut stock: Stock,
    disclosure: Disclosure,
) -> Result<Metered, ProtocolError> {
    shape.check(session.n_computing())?;
    shape.release.check_input(&input)?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&shape.price(Seats::of(session)).needs)?;
    let counts = counts_of_coalitions(session.seat(), &input.narrow[shape.column], shape);
    let thresholds = vec![shape.at_least; counts.len()];
    let bits =
        compare::at_least(session, &counts, &thresholds, shape.bound_bits, &mut stock).await?;
    let worth = convert::bit_to_arith::<u64>(session, &bits, &mut stock).await?;
    let values = Values {
        narrow: values(&worth, shape),
        wide: Share::zero(0),
    };
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(shape.n_values(), 0, &everybody);
    let told = reveal(session, values, &everybody, disclosure.part(terms)).await?;
    let mut contributions = told
        .expect("every computing seat is told the contributions")
        .narrow;
    let left_out = contributions.split_off(shape.holders.len());
    let disclosure = disclosure.part(shape.release.terms());
    let released = try_release(session, input, &shape.release, stock, disclosure).await?;
    Ok(Metered {
        released,
        contributions,
        left_out,
    })
}

/// This seat's summand of the counts of every coalition, all cells of the first coalition first.
fn counts_of_coalitions(me: Seat, counts: &[u64], shape: &MeteredShape) -> Share<u64> {
    let player = shape.holders.iter().position(|seat| *seat == me);
    let mut all = Vec::with_capacity(shape.n_compared());
    for coalition in 1..=shape.n_coalitions() {
        let belongs = player.is_some_and(|player| coalition >> player & 1 == 1);
        all.extend(counts.iter().map(|n| if belongs { *n } else { 0 }));
    }
    Share::new(all)
}

/// n!·φ of each holder, and then what would be missing without each, from shared bits that say which cells a coalition would release.
fn values(worth: &Share<u64>, shape: &MeteredShape) -> Share<u64> {
    let n_players = shape.holders.len();
    let cells = shape.release.cells;
    let coalition = |i: usize| worth.as_slice()[i * cells..(i + 1) * cells].iter();
    let sum = |i: usize| coalition(i).fold(0u64, |sum, bit| sum.wrapping_add(*bit));
    let worths: Vec<u64> = (0..shape.n_coalitions()).map(sum).collect();
    let of_player = |player: usize| {
        let coefficients = coefficients(n_players, player);
        let terms = coefficients[1..].iter().zip(&worths);
        terms.fold(0u64, |sum, (c, w)| {
            sum.wrapping_add(c.cast_unsigned().wrapping_mul(*w))
        })
    };
    let everybody = shape.n_coalitions();
    let worth = |coalition: usize| coalition.checked_sub(1).map_or(0, |i| worths[i]);
    let missing = |player: usize| worth(everybody).wrapping_sub(worth(everybody & !(1 << player)));
    let n_missing = shape.n_values() - n_players;
    let values = (0..n_players).map(of_player);
    Share::new(values.chain((0..n_missing).map(missing)).collect())
}

/// What [`metered_release`] claims and who learns what.
pub fn metered_security(
    shape: &MeteredShape,
    n_computing: usize,
    source: Option<&Source>,
) -> Security {
    let mut security = security(&shape.release, n_computing, source);
    security.learns.push(Learns {
        seats: Seat::first(n_computing).collect(),
        what: "how much each holder contributed: its Shapley value of the groups that the holders' rows release",
    });
    if shape.leave_one_out {
        security.learns.push(Learns {
            seats: Seat::first(n_computing).collect(),
            what: "how many groups would be missing without each holder; where there are two, it follows how many each alone would release",
        });
    }
    security
}
