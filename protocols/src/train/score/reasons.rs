//! Which features cost a row the most: of each row the k greatest of F shared numbers, by the numbers of their features.
//!
//! ```text
//! slots (v_1, i_1) … (v_k, i_k)        begin as (255, 0): a feature that costs nothing is no reason
//! for each feature f < 256, with what it costs
//!     (x, i) ← (256·cost + 255 − f, f + 1)
//!     for each slot j: if v_j < x, the two change places
//! ```
//!
//! Features are independent of each other but for the slots, so that f meets slot j at the step f + j, and a step
//! compares up to k pairs a row at once. Of features that cost the same the first one comes first, since no two have
//! the same x.

use crate::arith::compare::{self, Method};
use crate::arith::{copy, difference, mux};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// What a feature costs is less than 2^this, and not less than 0.
pub const COST_BITS: u32 = 48;

/// Most reasons of a row.
pub const MAX_REASONS: usize = 8;

/// Most features.
pub const MAX_FEATURES: usize = 256;

/// Bits below a cost that keep features apart.
const TIE_BITS: u32 = 8;

/// What is told of features that cost a row the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    /// Of each table how many features it has.
    pub features: Vec<usize>,
    /// k: how many are told.
    pub n_reasons: usize,
    /// The method of comparisons.
    pub method: Method,
}

impl Reasons {
    /// F.
    fn n_features(&self) -> usize {
        self.features.iter().sum()
    }

    /// The shape as numbers.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let features = self.features.iter().map(|n| *n as u64);
        features.chain([self.n_reasons as u64]).collect()
    }

    pub(super) fn check(&self, n_tables: usize) -> Result<(), ProtocolError> {
        let fits = self.features.len() == n_tables
            && (1..=MAX_FEATURES).contains(&self.n_features())
            && (1..=MAX_REASONS).contains(&self.n_reasons);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "there are 1 to 8 reasons, of 1 to 256 features",
            }),
        }
    }

    /// Which slots meet a feature at each step, by the number of the feature.
    fn steps(&self) -> impl Iterator<Item = Vec<(usize, usize)>> {
        let (n_features, n_slots) = (self.n_features(), self.n_reasons);
        let meets = move |step: usize| {
            let slots = 0..n_slots.min(step + 1);
            let pairs = slots.map(move |slot| (slot, step - slot));
            pairs.filter(|(_, feature)| *feature < n_features).collect()
        };
        (0..n_features + n_slots - 1).map(meets)
    }
}

/// What a slot holds, or what is on its way: a cost, and the number of its feature.
struct Held {
    cost: Share<u64>,
    feature: Share<u64>,
}

/// Finds the reasons of n rows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `costs`: for each of F features n numbers of [0, 2^[`COST_BITS`]); takes [`price`]
/// # Output    k·n numbers, reason by reason: 0 for none, or one more than the number of the feature
/// # Cost      [`price`]: F·k·n comparisons and 2·F·k·n selections, in F + k − 1 steps
/// # Security  semi-honest, all but one seat may be corrupt; reveals n, F and k
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if there are not as many columns as features
/// # Source    own: insertion into a sorted list, as a network
pub async fn find(
    session: &mut Session,
    costs: Vec<Share<u64>>,
    reasons: &Reasons,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    assert_eq!(
        costs.len(),
        reasons.n_features(),
        "a column for each feature"
    );
    let n = costs.first().map_or(0, Share::len);
    let is_first = session.seat() == Seat(0);
    let public = |value: u64| match is_first {
        true => Share::new(vec![value; n]),
        false => Share::zero(n),
    };
    let nothing = || Held {
        cost: public(MAX_FEATURES as u64 - 1),
        feature: Share::zero(n),
    };
    let mut slots: Vec<Held> = (0..reasons.n_reasons).map(|_| nothing()).collect();
    let mut moving: Vec<Held> = costs
        .into_iter()
        .enumerate()
        .map(|(feature, mut cost)| {
            cost.scale_public(1 << TIE_BITS);
            cost.add_assign(&public((MAX_FEATURES - 1 - feature) as u64));
            Held {
                cost,
                feature: public(feature as u64 + 1),
            }
        })
        .collect();
    for pairs in reasons.steps() {
        let mut gaps = Share::zero(0);
        let mut steps = Share::zero(0);
        for (slot, feature) in &pairs {
            gaps.append(difference(&slots[*slot].cost, &moving[*feature].cost));
            steps.append(difference(&moving[*feature].cost, &slots[*slot].cost));
        }
        for (slot, feature) in &pairs {
            steps.append(difference(&moving[*feature].feature, &slots[*slot].feature));
        }
        let is_more =
            compare::less_than_zero(session, &gaps, COST_BITS + TIE_BITS, reasons.method, stock)
                .await?;
        let mut twice = BitShare::from_words(is_more.n_bits(), is_more.as_words().to_vec());
        twice.append(is_more);
        let changes = mux::times(session, &twice, &steps, stock).await?;
        let (costs, features) = changes.as_slice().split_at(pairs.len() * n);
        let changes = costs.chunks_exact(n).zip(features.chunks_exact(n));
        for ((slot, feature), (cost, number)) in pairs.iter().zip(changes) {
            let (cost, number) = (Share::new(cost.to_vec()), Share::new(number.to_vec()));
            let (slot, moving) = (&mut slots[*slot], &mut moving[*feature]);
            slot.cost.add_assign(&cost);
            moving.cost.sub_assign(&cost);
            slot.feature.add_assign(&number);
            moving.feature.sub_assign(&number);
        }
    }
    let mut found = Share::zero(0);
    slots
        .iter()
        .for_each(|slot| found.append(copy(&slot.feature)));
    Ok(found)
}

/// The declared price of [`find`] for n rows.
pub fn price(seats: Seats, n_rows: usize, reasons: &Reasons) -> Price {
    let step = |pairs: Vec<(usize, usize)>| {
        let n = pairs.len() * n_rows;
        compare::less_than_zero_price::<u64>(seats, n, COST_BITS + TIE_BITS, reasons.method)
            .then(&mux::price::<u64>(seats, 2 * n))
    };
    Price::sequence(seats, reasons.steps().map(step))
}
