//! A release with noise of every holder, for differential privacy.
//!
//! Each holder adds a discrete Gaussian number of its own to every total before the totals meet, so what is compared and opened
//! has the noise in it, and nobody knows all of it. The noise of one holder is enough for the promise to that holder's people:
//! all others together can take their own noise off and not that.

use super::{
    CellRule, Check, LocalTotals, ReleaseShape, Released, needs, online_cost, security, try_release,
};
use crate::arith::compare::MAX_BOUND_BITS;
use crate::correlate::{Source, Stock};
use crate::disclose::{Disclosure, Terms};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::security::Security;
use crate::session::Session;
use engine::noise::{Deviation, discrete_gaussian};
use engine::prg::Prg;
use engine::ring::Ring;

/// The public shape of a release with noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoisyShape {
    /// What is released. A check compares the count *with its noise*; its `bound_bits` bound that number's magnitude.
    pub release: ReleaseShape,
    /// The seats that hold data: each of them adds noise.
    pub holders: Vec<Seat>,
    /// The standard deviation of each holder's noise, for every column over Z_2^64.
    pub narrow: Vec<Deviation>,
    /// The same for the columns over Z_2^128.
    pub wide: Vec<Deviation>,
}

impl NoisyShape {
    /// What a holder approves: the release, and how much noise who adds to what.
    pub fn terms(&self) -> Terms {
        let holders: Vec<u8> = self.holders.iter().map(|seat| seat.0).collect();
        let deviation = |d: &Deviation| [d.numerator(), u64::from(d.shift())];
        let noise = self.narrow.iter().chain(&self.wide).flat_map(deviation);
        let noise: Vec<u8> = noise.flat_map(u64::to_le_bytes).collect();
        let inner = self.release.terms();
        let fields = [&inner.digest()[..], &holders, &noise];
        Terms::new("entente/v1/terms/noisy", &fields, &self.release.receivers)
    }

    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let of = &self.release;
        if !matches!(of.mode, CellRule::None | CellRule::Compare) {
            return invalid("a release with noise has no checks, or compares on shares");
        }
        if (self.narrow.len(), self.wide.len()) != (of.narrow, of.wide) || of.compared > 0 {
            return invalid("every column of a release with noise has its deviation");
        }
        let mut checked: Vec<usize> = of.checks.iter().map(|c| c.column).collect();
        checked.sort_unstable();
        if !checked.is_sorted_by(|a, b| a < b) || checked.iter().any(|c| *c >= of.narrow) {
            return invalid("a release with noise checks each of its counts once");
        }
        if of
            .checks
            .iter()
            .any(|c| c.bound_bits >= MAX_BOUND_BITS || c.at_least > offset(c))
        {
            return invalid(
                "a count with noise is bounded by 2^62, and so is what it has to reach",
            );
        }
        let in_order = self.holders.is_sorted_by(|a, b| a < b);
        let computes = |seat: &Seat| seat.index() < n_computing;
        if self.holders.is_empty() || !in_order || !self.holders.iter().all(computes) {
            return invalid("the holders of a release with noise are computing seats in order");
        }
        self.shifted().check(n_computing)
    }

    /// The release of counts that are moved up by their bound, so that what noise makes negative can be compared.
    fn shifted(&self) -> ReleaseShape {
        let moved = |check: &Check| Check {
            column: check.column,
            at_least: check.at_least + offset(check),
            bound_bits: check.bound_bits + 1,
        };
        ReleaseShape {
            checks: self.release.checks.iter().map(moved).collect(),
            ..self.release.clone()
        }
    }

    /// What a release takes and costs, without its preparation: noise is drawn at each seat and costs no message.
    pub fn price(&self, seats: Seats) -> Price {
        let shifted = self.shifted();
        Price {
            needs: needs(&shifted, seats),
            cost: online_cost(&shifted, seats.n_seats, seats.n_computing),
        }
    }
}

fn offset(check: &Check) -> u64 {
    1 << check.bound_bits
}

/// Adds the holders' tables and everybody's noise, and releases the cells whose checks hold of the noisy counts.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; those in `shape.holders` add noise; a dealer takes no part
/// # Inputs    `input`: this holder's totals; `shape`: the same at all seats; `stock`: what [`NoisyShape::price`] needs;
///   `disclosure`: for the shape's [`terms`](NoisyShape::terms)
/// # Output    at receivers the released cells with noise, elsewhere `None`. Counts can be negative, in two's complement
/// # Cost      [`NoisyShape::price`]: that of [`release`](super::release) with counts of one bit more
/// # Security  [`noisy_security`]: as [`release`](super::release). If a person changes the totals of holder i in column j by at
///   most Δⱼ, then what all seats but i learn together satisfies ρ-zCDP for that person's rows at i, with
///   ρ = Σⱼ Δⱼ²/2σⱼ²; of a person with rows at h holders of which none colludes, h·ρ (composition)
/// # Errors    as [`release`](super::release)
/// # Source    discrete Gaussian: Canonne, Kamath and Steinke, NeurIPS 2020, theorem 4 and lemma 18; a full sample at every party:
///   own composition (CRYPTO §6), in which no party's noise is another's trust
pub async fn noisy_release(
    session: &mut Session,
    input: LocalTotals,
    shape: &NoisyShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    let outcome = try_noisy(session, input, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_noisy(
    session: &mut Session,
    mut input: LocalTotals,
    shape: &NoisyShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    shape.check(session.n_computing())?;
    shape.release.check_input(&input)?;
    disclosure.check(&shape.terms(), session)?;
    if shape.holders.contains(&session.seat()) {
        let mut prg = Prg::new(&session.own_seed("noise of a release"), 0);
        add_noise(&mut input.narrow, &shape.narrow, &mut prg);
        add_noise(&mut input.wide, &shape.wide, &mut prg);
    }
    let checks = &shape.release.checks;
    if session.seat() == Seat(0) {
        for (column, by) in offsets(checks) {
            input.narrow[column]
                .iter_mut()
                .for_each(|n| *n = n.wrapping_add(by));
        }
    }
    let shifted = shape.shifted();
    let disclosure = disclosure.part(shifted.terms());
    let released = try_release(session, input, &shifted, stock, disclosure).await?;
    Ok(released.map(|mut released| {
        for (column, by) in offsets(checks) {
            released.narrow[column]
                .iter_mut()
                .for_each(|n| *n = n.wrapping_sub(by));
        }
        released
    }))
}

/// By how much each checked column is moved.
fn offsets(checks: &[Check]) -> impl Iterator<Item = (usize, u64)> {
    checks.iter().map(|check| (check.column, offset(check)))
}

fn add_noise<R: Ring>(columns: &mut [Vec<R>], deviations: &[Deviation], prg: &mut Prg) {
    for (column, deviation) in columns.iter_mut().zip(deviations) {
        for total in column {
            let noise = R::from_signed(discrete_gaussian(prg, *deviation).into());
            *total = total.wrapping_add(noise.expect("either ring holds 64 bits"));
        }
    }
}

/// What [`noisy_release`] claims and who learns what: all of it of totals with noise.
pub fn noisy_security(shape: &NoisyShape, n_computing: usize, source: Option<&Source>) -> Security {
    security(&shape.shifted(), n_computing, source)
}
