//! What of a fitted model reaches its receivers.

use super::{Fitted, RESULT_BITS, Shape};
use crate::arith::compare;
use crate::arith::{convert, mul};
use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// A fitted model, in the clear. All numbers are zero if too few rows count, or a column depends on others.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    /// Whether as many rows count as there have to be. Nothing else is told if not.
    pub is_enough: bool,
    /// How many columns were sound in the first and in the last step's system.
    pub n_sound: [u64; 2],
    /// How many rows counted.
    pub n_used: u64,
    /// β.
    pub coefficients: Vec<f64>,
    /// Standard errors, of a family with a dispersion still without its root.
    pub errors: Vec<f64>,
    /// g'·H⁻¹·g of the last step.
    pub decrement: f64,
    /// Σ r² of the last residuals, of a family with a dispersion.
    pub squares: f64,
    /// The further figures.
    pub figures: Vec<u64>,
}

/// Bits of numbers of rows and columns.
const COUNT_BITS: u32 = 32;

/// Reveals a fitted model to the receivers of a disclosure, if enough rows count and no column depends on
/// others; else that.
///
/// # Seats     symmetric, any number ≥ 2; the result is `Some` at receivers and `None` elsewhere
/// # Inputs    `fitted`: of this shape; `figures`: further sums that are revealed on the same terms;
///   `at_least`: how many rows have to count, below 2^32; takes [`release_price`]; `disclosure`: of
///   [`release_terms`]
/// # Output    [`Released`]
/// # Cost      [`release_price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; receivers learn what [`Released`] says: whether
///   rows suffice; if so how many there are, and how many columns are sound; if all are, the model
/// # Errors    [`ProtocolError::NotApproved`] and [`ProtocolError::OutOfCorrelations`] before anything is
///   sent, [`ProtocolError::CheckFailed`], [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`]
/// # Source    own: every number is multiplied by the bit that says whether it may be seen
pub async fn release(
    session: &mut Session,
    (fitted, figures): (Fitted, Share<u64>),
    shape: &Shape,
    at_least: u64,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    let receivers = disclosure.receivers().to_vec();
    let n_figures = figures.len();
    let terms = release_terms(shape, n_figures, at_least, &receivers);
    session.ended_by(disclosure.check(&terms, session))?;
    let masked = masked(session, (fitted, figures), shape, at_least, stock).await?;
    masked.told(session, shape, disclosure).await
}

/// A fitted model of which everything that may not be seen is zero.
pub(in crate::train) struct Masked {
    narrow: Share<u64>,
    wide: Share<u128>,
}

/// What [`release`] reveals.
pub(in crate::train) async fn masked(
    session: &mut Session,
    (fitted, figures): (Fitted, Share<u64>),
    shape: &Shape,
    at_least: u64,
    stock: &mut Stock,
) -> Result<Masked, ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&release_price(seats, shape, figures.len()).needs))?;
    let [enough, passes] = verdicts(session, &fitted, shape, at_least, stock).await?;
    let Fitted {
        coefficients,
        errors,
        decrement,
        squares,
        sound,
        n_used,
        ..
    } = fitted;
    let mut wide = coefficients;
    wide.append(errors);
    wide.append(decrement);
    wide.append(squares.unwrap_or_else(|| Share::zero(1)));
    let wide = times(session, &wide, passes, stock).await?;
    let mut counts = n_used;
    sound.iter().for_each(|sound| counts.append(low(sound)));
    let counts = times(session, &counts, enough as u64, stock).await?;
    let figures = times(session, &figures, passes as u64, stock).await?;
    let mut narrow = Share::new(vec![enough as u64]);
    narrow.append(counts);
    narrow.append(figures);
    Ok(Masked { narrow, wide })
}

impl Masked {
    /// Takes away the last figures, which are told to others than the rest.
    pub(in crate::train) fn last_figures(&mut self, n: usize) -> Share<u64> {
        self.narrow.split_off(self.narrow.len() - n)
    }

    /// Reveals some coefficients to a seat: those of a model that is none are zero.
    pub(in crate::train) async fn coefficients(
        &self,
        session: &mut Session,
        columns: &[usize],
        (learner, disclosure): (Seat, &Disclosure),
    ) -> Result<Option<Vec<f64>>, ProtocolError> {
        let values = columns.iter().map(|c| self.wide.as_slice()[*c]);
        let values = Values {
            narrow: Share::zero(0),
            wide: Share::new(values.collect()),
        };
        let part = disclosure.part(Terms::of_values(0, columns.len(), &[learner]));
        let found = reveal(session, values, &[learner], part).await?;
        Ok(found.map(|found| real(&found.wide, RESULT_BITS)))
    }

    /// Reveals everything to the receivers.
    pub(in crate::train) async fn told(
        self,
        session: &mut Session,
        shape: &Shape,
        disclosure: Disclosure,
    ) -> Result<Option<Released>, ProtocolError> {
        let Self { narrow, wide } = self;
        let receivers = disclosure.receivers().to_vec();
        let part = disclosure.part(Terms::of_values(narrow.len(), wide.len(), &receivers));
        let revealed = reveal(session, Values { narrow, wide }, &receivers, part).await?;
        Ok(revealed.map(|found| decoded(&found.narrow, &found.wide, shape)))
    }
}

/// Numbers over Z_2^128 that fit Z_2^64: shares of the same there.
pub(in crate::train) fn low(x: &Share<u128>) -> Share<u64> {
    Share::new(x.as_slice().iter().map(|v| *v as u64).collect())
}

/// This seat's shares of whether enough rows count, and whether besides all columns are sound.
async fn verdicts(
    session: &mut Session,
    fitted: &Fitted,
    shape: &Shape,
    at_least: u64,
    stock: &mut Stock,
) -> Result<[u128; 2], ProtocolError> {
    let me = session.seat().index();
    let mut margins = Share::new(fitted.n_used.as_slice().to_vec());
    fitted
        .sound
        .iter()
        .for_each(|sound| margins.append(low(sound)));
    let d = shape.n_columns as u64;
    let least = [at_least, d, d].map(u64::wrapping_neg);
    margins.add_public(me, &least);
    let mut holds =
        compare::less_than_zero(session, &margins, COUNT_BITS, shape.method, stock).await?;
    holds.not(me);
    let holds = convert::bit_to_arith::<u128>(session, &holds, stock).await?;
    let [enough, first, last] = [0, 1, 2].map(|i| Share::new(vec![holds.as_slice()[i]]));
    let sound = mul::mul(session, &first, &last, stock).await?;
    let passes = mul::mul(session, &enough, &sound, stock).await?;
    Ok([enough.as_slice()[0], passes.as_slice()[0]])
}

async fn times<R: crate::correlate::StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bit: R,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let bits = Share::new(vec![bit; x.len()]);
    mul::mul(session, x, &bits, stock).await
}

/// Counts before the figures: whether rows suffice, how many, and two numbers of columns.
const N_COUNTS: usize = 4;

fn n_wide(shape: &Shape) -> usize {
    2 * shape.n_columns + 2
}

fn real(values: &[u128], frac_bits: u32) -> Vec<f64> {
    let scale = 2f64.powi(-frac_bits.cast_signed());
    let values = values.iter().map(|v| v.to_signed() as f64 * scale);
    values.collect()
}

fn decoded(narrow: &[u64], wide: &[u128], shape: &Shape) -> Released {
    let d = shape.n_columns;
    Released {
        is_enough: narrow[0] == 1,
        n_used: narrow[1],
        n_sound: [narrow[2], narrow[3]],
        coefficients: real(&wide[..d], RESULT_BITS),
        errors: real(&wide[d..2 * d], shape.error_bits()),
        decrement: real(&wide[2 * d..=2 * d], RESULT_BITS)[0],
        squares: real(&wide[2 * d + 1..], shape.square_bits())[0],
        figures: narrow[N_COUNTS..].to_vec(),
    }
}

/// The terms of the disclosure that [`release`] needs at every seat.
pub fn release_terms(shape: &Shape, n_figures: usize, at_least: u64, receivers: &[Seat]) -> Terms {
    let numbers = [
        shape.family as u64,
        shape.n_columns as u64,
        u64::from(shape.log_rows),
        u64::from(shape.has_offset),
        u64::from(shape.is_penalised),
        u64::from(shape.n_steps),
        n_figures as u64,
        at_least,
    ];
    let fields = numbers.map(u64::to_le_bytes);
    let fields = fields.each_ref().map(|field| &field[..]);
    Terms::new("entente/v1/terms/glm", &fields, receivers)
}

/// The declared price of [`release`] but for revealing.
pub fn release_price(seats: Seats, shape: &Shape, n_figures: usize) -> Price {
    let one = mul::price::<u128>(seats, 1);
    compare::less_than_zero_price::<u64>(seats, 3, COUNT_BITS, shape.method)
        .then(&convert::planes_price::<u128>(seats, 3, 1))
        .then(&one)
        .then(&one)
        .then(&mul::price::<u128>(seats, n_wide(shape)))
        .then(&mul::price::<u64>(seats, N_COUNTS - 1))
        .then(&mul::price::<u64>(seats, n_figures))
}

/// The declared cost of what [`release`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape, n_figures: usize, receivers: &[Seat]) -> Cost {
    let (narrow, wide) = (N_COUNTS + n_figures, n_wide(shape));
    disclose::cost(seats.n_seats, seats.n_computing, narrow, wide, receivers)
}
