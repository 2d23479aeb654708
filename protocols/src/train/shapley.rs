//! How much each holder's columns contribute to a linear model: Shapley values of R², on shares.
//!
//! The game: a coalition of holders is worth the R² of the model of a constant and its columns. Labels are there in
//! every coalition, so they are worth nothing in it, and their holder plays with its columns like everybody else.
//!
//! ```text
//! scale       the cross-products of columns and labels, (X y)'·(X y), by powers of two as a system's
//! eliminate   column by column in the model's order. Where a holder's first column comes, each case becomes two: a
//!             coalition without the holder, which drops its columns, and one with it, which eliminates them
//! add up      what is left of y'y in a case is the sum of squared residuals of its coalition; n!·φ is a sum of
//!             these with whole coefficients, over y'y less its mean
//! ```
//!
//! All cases of a column are eliminated together, so rounds do not depend on the number of coalitions. A pivot of a case is
//! at least that of the whole model in the same place, since fewer columns are before it: so if the model is sound, all cases are,
//! and only pivots that [`super::solve`] takes are divided by. Labels are sound if they vary by at least 2^−20 of their mean
//! square; else values are 0.

use super::glm::{COLUMN_BITS, Family};
use super::solve::{self, System};
use crate::arith::compare::{self, Method};
use crate::arith::{add_to_all, convert, mul};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function;
use crate::function::fixed::{mul_shift, mul_shift_price};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::shapley::{MAX_PLAYERS, coefficients};
use engine::share::Share;

/// Fractional bits of n!·φ as it comes out.
pub const VALUE_BITS: u32 = 40;

/// Most products of the eliminations of a game.
pub const MAX_PRODUCTS: usize = 1 << 22;

/// The public shape of a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Game {
    /// Of each feature, in the order of the model, whose it is: players from 0.
    pub players: Vec<usize>,
    /// As in the model.
    pub log_rows: u32,
    /// As in the model.
    pub method: Method,
}

/// The moments of a model's rows that count: sums over these.
pub struct Moments {
    /// X'·y, with [`COLUMN_BITS`] and the labels' bits.
    pub sides: Share<u128>,
    /// X'·X, with twice [`COLUMN_BITS`].
    pub matrix: Share<u128>,
    /// y'·y, and its fractional bits.
    pub labels: (Share<u128>, u32),
}

/// A coalition and what is left of the scaled matrix: the lower half, row by row, the labels last.
struct Case {
    members: usize,
    rest: Share<u128>,
}

/// What happens to the cases where a column comes.
struct Level {
    /// How many cases eliminate the column.
    n_taking: usize,
    /// How many columns come after it, the labels included.
    n_after: usize,
}

impl Level {
    fn n_products(&self) -> usize {
        self.n_taking * (self.n_after + half_len(self.n_after))
    }
}

fn half_len(n: usize) -> usize {
    n * (n + 1) / 2
}

impl Game {
    /// How many holders play.
    pub fn n_players(&self) -> usize {
        self.players.iter().max().map_or(0, |most| most + 1)
    }

    /// Checks that the shape is one.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let n_players = self.n_players();
        let all_play = (0..n_players).all(|player| self.players.contains(&player));
        let fits = (1..=MAX_PLAYERS).contains(&n_players)
            && all_play
            && self.n_columns() < solve::MAX_UNKNOWNS
            && self.n_products() <= MAX_PRODUCTS;
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "contributions to a model are found for 1 to 8 holders, 126 features and 2^22 products",
            }),
        }
    }

    /// How many products the eliminations take.
    pub fn n_products(&self) -> usize {
        self.levels().iter().map(Level::n_products).sum()
    }

    /// Columns of the model, that of ones included.
    fn n_columns(&self) -> usize {
        1 + self.players.len()
    }

    /// The player whose a column is; nobody's is the constant.
    fn player(&self, column: usize) -> Option<usize> {
        self.players.get(column.checked_sub(1)?).copied()
    }

    fn levels(&self) -> Vec<Level> {
        let mut seen = 0usize;
        let level = |column: usize| {
            let player = self.player(column);
            seen |= player.map_or(0, |player| 1 << player);
            let others = seen & !player.map_or(0, |player| 1 << player);
            Level {
                n_taking: 1 << others.count_ones(),
                n_after: self.n_columns() - column,
            }
        };
        (0..self.n_columns()).map(level).collect()
    }

    /// Columns and labels with the labels' bits: twice these in the matrix.
    fn system(&self) -> System {
        let frac_bits = 2 * Family::Linear.label_bits();
        System {
            n_unknowns: self.n_columns() + 1,
            frac_bits,
            // Columns have a mean square of 1 over a table, and labels too, but for rounding.
            bound_bits: frac_bits + self.log_rows + 1,
            side_bits: 0,
            result_bits: 0,
            method: self.method,
        }
    }
}

/// n!·φ of every player, with [`VALUE_BITS`], below 2^56; nothing is opened. Zeros if the labels hardly vary.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `moments`: of a sound model, else the values mean nothing; takes [`values_price`]
/// # Output    a share for each player. Good to 10⁻⁷ of an R² where labels vary by 2^−10 of their mean square
/// # Cost      [`values_price`]: about 25 rounds a column
/// # Security  semi-honest, all but one seat may be corrupt; reveals the game's shape. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::OutOfCorrelations`] before anything is sent,
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Shapley, 1953; Lipovetsky–Conklin, 2001, for R²; on shares: own, by elimination as in [`solve::factor`]
pub async fn values(
    session: &mut Session,
    moments: Moments,
    game: &Game,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    session.ended_by(game.check())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&values_price(seats, game).needs))?;
    let system = game.system();
    let all = joined(&moments, game);
    let (scaled, _) = solve::scaled(session, &all, &system, stock).await?;
    let own_square = *scaled.as_slice().last().expect("the labels' square");
    let n = system.n_unknowns;
    let half = (0..n).flat_map(|i| (0..=i).map(move |j| i * n + j));
    let mut cases = vec![Case {
        members: 0,
        rest: Share::new(half.map(|at| scaled.as_slice()[at]).collect()),
    }];
    for column in 0..game.n_columns() {
        cases = eliminated(session, cases, (column, game), stock).await?;
    }
    let left: Vec<(usize, u128)> = cases
        .iter()
        .map(|case| (case.members, case.rest.as_slice()[0]))
        .collect();
    let of_nobody = left.iter().find(|(members, _)| *members == 0);
    let (_, total) = *of_nobody.expect("a coalition of nobody");
    let ratios = ratios(session, (&left, total), game, stock).await?;
    let mut margin = Share::new(vec![
        (total << solve::TOLERANCE_BITS).wrapping_sub(own_square),
    ]);
    if session.seat() == Seat(0) {
        // Labels that are all zero do not vary either.
        add_to_all(&mut margin, 1u128.wrapping_neg());
    }
    let bits = solve::MARGIN_BITS;
    let mut varies = compare::less_than_zero(session, &margin, bits, game.method, stock).await?;
    varies.not(session.seat().index());
    let varies = convert::bit_to_arith::<u64>(session, &varies, stock).await?;
    let varies = Share::new(vec![varies.as_slice()[0]; ratios.len()]);
    mul::mul(session, &ratios, &varies, stock).await
}

/// The declared price of [`values`].
pub fn values_price(seats: Seats, game: &Game) -> Price {
    let (system, n) = (game.system(), game.n_players());
    let levels = game.levels();
    let levels = levels
        .iter()
        .map(|level| level_price(seats, &system, level));
    solve::scaled_price(seats, &system)
        .then(&Price::sequence(seats, levels))
        .then(&function::reciprocal_price::<u128>(
            seats,
            1,
            solve::pivot_format(&system),
        ))
        .then(&mul_shift_price::<u128>(seats, n, RATIO_SHIFT))
        .then(&compare::less_than_zero_price::<u128>(
            seats,
            1,
            solve::MARGIN_BITS,
            game.method,
        ))
        .then(&convert::planes_price::<u64>(seats, 1, 1))
        .then(&mul::price::<u64>(seats, n))
}

/// (X y)'·(X y), all numbers with twice the labels' bits.
fn joined(moments: &Moments, game: &Game) -> Share<u128> {
    let d = game.n_columns();
    let (label_bits, n) = (Family::Linear.label_bits(), d + 1);
    let more = label_bits - COLUMN_BITS;
    let mut all = vec![0u128; n * n];
    for i in 0..d {
        for j in 0..d {
            all[i * n + j] = moments.matrix.as_slice()[i * d + j] << (2 * more);
        }
        let side = moments.sides.as_slice()[i] << more;
        all[i * n + d] = side;
        all[d * n + i] = side;
    }
    let (square, bits) = &moments.labels;
    all[d * n + d] = square.as_slice()[0] << (2 * label_bits - bits);
    Share::new(all)
}

/// The cases after a column.
async fn eliminated(
    session: &mut Session,
    cases: Vec<Case>,
    (column, game): (usize, &Game),
    stock: &mut Stock,
) -> Result<Vec<Case>, ProtocolError> {
    let is_new = game
        .player(column)
        .is_some_and(|player| !game.players[..column - 1].contains(&player));
    let bit = game.player(column).map_or(0, |player| 1usize << player);
    let (mut dropped, mut taking) = (Vec::new(), Vec::new());
    for case in cases {
        if is_new {
            dropped.push(without_first(&case));
            taking.push(Case {
                members: case.members | bit,
                rest: case.rest,
            });
        } else if case.members & bit == bit {
            taking.push(case);
        } else {
            dropped.push(without_first(&case));
        }
    }
    let system = game.system();
    let m = game.n_columns() - column;
    let pivots = taking.iter().map(|case| case.rest.as_slice()[0]);
    let pivots = Share::new(pivots.collect());
    let format = solve::pivot_format(&system);
    let inverses = function::reciprocal(session, &pivots, format, stock).await?;
    // Below the pivot, in its column: the first of each row.
    let below: Vec<Vec<u128>> = taking
        .iter()
        .map(|case| (1..=m).map(|i| case.rest.as_slice()[half_len(i)]).collect())
        .collect();
    let each = inverses.as_slice().iter();
    let inverses = Share::new(each.flat_map(|inv| std::iter::repeat_n(*inv, m)).collect());
    let firsts = Share::new(below.concat());
    let factors = mul_shift(session, &firsts, &inverses, WORKING, stock).await?;
    let factors = factors.as_slice().chunks_exact(m);
    let pairs = || (0..m).flat_map(|i| (0..=i).map(move |j| (i, j)));
    let left = factors.flat_map(|f| pairs().map(|(i, _)| f[i]));
    let left = Share::new(left.collect());
    let right = below.iter().flat_map(|b| pairs().map(|(_, j)| b[j]));
    let right = Share::new(right.collect());
    let multiples = mul_shift(session, &left, &right, WORKING, stock).await?;
    let multiples = multiples.as_slice().chunks_exact(half_len(m));
    let done = taking.iter().zip(multiples).map(|(case, multiple)| {
        let mut case = without_first(case);
        engine::ring::sub_assign(case.rest.as_mut_slice(), multiple);
        case
    });
    dropped.extend(done);
    Ok(dropped)
}

/// w as the functions of fixed point have it.
const WORKING: i32 = solve::WORKING_BITS.cast_signed();

fn level_price(seats: Seats, system: &System, level: &Level) -> Price {
    let (k, m) = (level.n_taking, level.n_after);
    function::reciprocal_price::<u128>(seats, k, solve::pivot_format(system))
        .then(&mul_shift_price::<u128>(seats, k * m, WORKING))
        .then(&mul_shift_price::<u128>(seats, k * half_len(m), WORKING))
}

/// A case without its first column.
fn without_first(case: &Case) -> Case {
    let mut rest = Vec::with_capacity(case.rest.len());
    let mut row = &case.rest.as_slice()[1..];
    let mut len = 2;
    while !row.is_empty() {
        rest.extend_from_slice(&row[1..len]);
        row = &row[len..];
        len += 1;
    }
    Case {
        members: case.members,
        rest: Share::new(rest),
    }
}

/// n!·φ of every player.
async fn ratios(
    session: &mut Session,
    (left, total): (&[(usize, u128)], u128),
    game: &Game,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let n_players = game.n_players();
    let of_player = |player: usize| {
        let coefficients = coefficients(n_players, player);
        let terms = left.iter().map(|(members, residuals)| {
            // A coalition is worth what it takes away from the residuals, and the total's coefficients add up to 0.
            let factor = i128::from(coefficients[*members]).wrapping_neg();
            factor.cast_unsigned().wrapping_mul(*residuals)
        });
        terms.fold(0u128, u128::wrapping_add)
    };
    let sums = Share::new((0..n_players).map(of_player).collect());
    let format = solve::pivot_format(&game.system());
    let total = Share::new(vec![total]);
    let inverse = function::reciprocal(session, &total, format, stock).await?;
    let inverse = Share::new(vec![inverse.as_slice()[0]; n_players]);
    let ratios = mul_shift(session, &sums, &inverse, RATIO_SHIFT, stock).await?;
    // Small numbers are the same modulo 2^64 as modulo 2^128.
    let ratios = ratios.as_slice().iter().map(|r| *r as u64);
    Ok(Share::new(ratios.collect()))
}

/// By how much the product of two numbers of w fractional bits is shifted for a value.
const RATIO_SHIFT: i32 = 2 * WORKING - VALUE_BITS.cast_signed();
