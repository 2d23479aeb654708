//! Selection by a shared bit.

use crate::correlate::{Muxes, RingNeeds, Stock, StockedRing};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::ops::Range;

/// Selects between two additively shared vectors, item by item: x where the bit is 1, y where it is 0.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `bit`: n XOR-shared bits; `x`, `y`: n shares each; takes n of the stock's selections
/// # Output    n shares of the selected values
/// # Cost      1 round; n ring elements and n bits to each other seat; [`price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ
/// # Source    own, in one round: y + b·(x − y) with the product of [`times`]
pub async fn mux<R: StockedRing>(
    session: &mut Session,
    bit: &BitShare,
    x: &Share<R>,
    y: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut selected = times(session, bit, &super::difference(x, y), stock).await?;
    selected.add_assign(y);
    Ok(selected)
}

/// Multiplies an additively shared vector by XOR-shared bits: x where the bit is 1, 0 where it is 0.
///
/// With a random bit β and a random a, and shares of β and β·a over the ring, δ = b⊕β and ε = x − a
/// are opened, and b·x = δ·ε + δ·a + (1 − 2δ)·(ε·β + β·a).
///
/// Seats, cost, security, errors and panics are those of [`mux`].
///
/// # Source    own: b = δ + (1 − 2δ)·β and x = ε + a, multiplied out
pub async fn times<R: StockedRing>(
    session: &mut Session,
    bit: &BitShare,
    x: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    R::times(session, bit, x, stock).await
}

pub(super) async fn times_over<R: StockedRing>(
    session: &mut Session,
    bit: &BitShare,
    x: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    assert_eq!(bit.n_bits(), x.len(), "a bit for each item");
    let mut muxes = session.ended_by(stock.batch_muxes::<R>(x.len()))?;
    let mut product = Share::zero(x.len());
    let is_first = session.seat() == Seat(0);
    let mask = |lanes: Range<usize>, out: &mut [R], words: &mut [u64]| {
        let muxes = muxes.next(lanes.len());
        words.copy_from_slice(&bit.as_words()[lanes::columns(&lanes)]);
        bits::xor_assign(words, muxes.bits.as_words());
        super::mul::subtract(out, &x.as_slice()[lanes], muxes.a.as_slice());
        muxes
    };
    let take = |lanes: Range<usize>, muxes: Muxes<R>, epsilon: &[R], delta: &[u64]| {
        let (beta, a) = (muxes.bits_arith.as_slice(), muxes.a.as_slice());
        let beta_times_a = muxes.bits_times_a.as_slice();
        let out = product.as_mut_slice()[lanes].iter_mut();
        for (i, (out, epsilon)) in out.zip(epsilon).enumerate() {
            let delta = R::from_u64(delta[i / 64] >> (i % 64) & 1);
            let sign = R::ONE.wrapping_sub(delta.shl(1));
            let inner = epsilon.wrapping_mul(beta[i]).wrapping_add(beta_times_a[i]);
            let constant = if is_first { *epsilon } else { R::ZERO };
            let flipped = delta.wrapping_mul(constant.wrapping_add(a[i]));
            *out = sign.wrapping_mul(inner).wrapping_add(flipped);
        }
    };
    lanes::open(session, layout(x.len()), mask, take).await?;
    Ok(product)
}

fn layout(n_items: usize) -> Layout {
    Layout {
        n_lanes: n_items,
        elements: 1,
        words: 1,
    }
}

/// The declared price of one [`mux`] or [`times`] of n items.
pub fn price<R: StockedRing>(seats: Seats, n_items: usize) -> Price {
    let needs = RingNeeds {
        muxes: n_items as u64,
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, layout(n_items).cost::<R>(seats))
}
