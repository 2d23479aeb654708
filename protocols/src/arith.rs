//! Computing on additive shares over Z_2^64 and Z_2^128: input, zero-sharing, opening; and in the
//! modules below products, selection, comparison, conversion and truncation.

pub(crate) mod release;
pub(crate) mod compiled;
pub(crate) mod circuit;
pub mod mul;
pub mod scale;
pub mod matmul;
pub mod mux;
pub mod bits;
pub mod compare;
pub mod convert;
pub mod trunc;
pub mod order;
pub mod nearest;

use crate::compute::Compute;
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Chunks, Session};
use crate::wire::Masked;
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::share::Share;
use std::sync::Mutex;
use zeroize::Zeroize;

/// Bytes of ring elements in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Elements of a mask that are made at a time: they stay in the fastest cache.
const MASK_ITEMS: usize = 1 << 10;

/// Shares a vector that one seat knows, without sending anything.
///
/// The owner and each other seat j expand the same key to seat j's share; the owner keeps the
/// difference.
///
/// # Seats     asymmetric in `owner`, any number ≥ 2
/// # Inputs    `values`: n elements at the owner, `None` elsewhere; `n_items`: n, public
/// # Output    shares of the owner's vector
/// # Cost      0 rounds, 0 bytes
/// # Security  all but one seat may be corrupt; reveals n. Rests on the generator
/// # Errors    [`ProtocolError::InvalidInput`] if the values are missing, or not n of them
/// # Source    pseudo-random secret sharing, Cramer–Damgård–Ishai, TCC 2005, additive case
pub async fn input<R: Ring>(
    session: &mut Session,
    owner: Seat,
    values: Option<Vec<R>>,
    n_items: usize,
) -> Result<Share<R>, ProtocolError> {
    let is_owner = session.seat() == owner;
    if is_owner != values.is_some() || values.as_ref().is_some_and(|v| v.len() != n_items) {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "the owner of an input gives n values",
        }));
    }
    let others = if is_owner {
        session.peers()
    } else {
        vec![session.seat()]
    };
    let masks: Vec<Mask> = others
        .into_iter()
        .map(|other| Mask {
            seed: session.pair_seed(owner, other, "input"),
            negative: is_owner,
        })
        .collect();
    let share = values.map_or_else(|| Share::zero(n_items), Share::new);
    Ok(masked(session.compute(), share, masks).await)
}

/// A sharing of zeros, without sending anything: each pair of seats expands one key, which the
/// lower seat adds and the higher seat subtracts.
///
/// Adding it to a share makes the share uniform, whatever it was made from.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `n_items`: public
/// # Output    shares of n zeros
/// # Cost      0 rounds, 0 bytes
/// # Security  all but one seat may be corrupt: the share of an honest seat is uniform to them,
///   given the sum of the honest shares. Rests on the generator
/// # Source    Bonawitz et al., CCS 2017 (pairwise masks), without its recovery of lost parties
pub async fn zero_share<R: Ring>(session: &mut Session, n_items: usize) -> Share<R> {
    rerandomise(session, Share::zero(n_items)).await
}

/// Adds a [`zero_share`] to a share: the value is the same, and the share says nothing about where
/// it came from.
pub async fn rerandomise<R: Ring>(session: &mut Session, share: Share<R>) -> Share<R> {
    let me = session.seat();
    let masks: Vec<Mask> = session
        .peers()
        .into_iter()
        .map(|peer| Mask {
            seed: session.pair_seed(me.min(peer), me.max(peer), "zero-share"),
            negative: me > peer,
        })
        .collect();
    masked(session.compute(), share, masks).await
}

/// Shares of x − y.
///
/// # Panics
///
/// If the lengths differ.
pub(crate) fn difference<R: Ring>(x: &Share<R>, y: &Share<R>) -> Share<R> {
    let mut difference = copy(x);
    difference.sub_assign(y);
    difference
}

/// The same share once more, for protocols that use a value twice.
pub(crate) fn copy<R: Ring>(x: &Share<R>) -> Share<R> {
    Share::new(x.as_slice().to_vec())
}

/// Adds one public value to every element. For seat 0 alone.
pub(crate) fn add_to_all<R: Ring>(x: &mut Share<R>, value: R) {
    for item in x.as_mut_slice() {
        *item = item.wrapping_add(value);
    }
}

/// A pseudo-random vector to be added or subtracted.
struct Mask {
    seed: Seed,
    negative: bool,
}

async fn masked<R: Ring>(compute: Compute, mut share: Share<R>, masks: Vec<Mask>) -> Share<R> {
    let kernel = move || {
        apply(&masks, share.as_mut_slice());
        share
    };
    compute.run(kernel).await
}

/// Applies all masks part by part, so that the values are read once however many seats there are.
fn apply<R: Ring>(masks: &[Mask], values: &mut [R]) {
    let mut prgs: Vec<Prg> = masks.iter().map(|m| Prg::new(&m.seed, 0)).collect();
    let mut mask = [R::ZERO; MASK_ITEMS];
    for part in values.chunks_mut(MASK_ITEMS) {
        let mask = &mut mask[..part.len()];
        for (prg, of) in prgs.iter_mut().zip(masks) {
            prg.fill_ring(mask);
            if of.negative {
                ring::sub_assign(part, mask);
            } else {
                ring::add_assign(part, mask);
            }
        }
    }
    mask.zeroize();
}

/// Opens a masked vector to all computing seats.
///
/// The shared values themselves must be masked by something that nobody knows: every seat sees
/// them. Values for a person go through [`reveal`](crate::disclose::reveal) instead.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `share`: n shares of masked values
/// # Output    the n masked values
/// # Cost      1 round; n ring elements to each other seat; [`open_cost`]
/// # Security  semi-honest; reveals the masked values. The shares are re-randomised, so they say
///   no more than their sum
/// # Errors    [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    folklore
pub async fn open<R: Ring>(
    session: &mut Session,
    share: Share<R>,
) -> Result<Vec<R>, ProtocolError> {
    let mine = rerandomise(session, share).await;
    let chunks = open_chunks::<R>(mine.len());
    // Each chunk of our share is copied out before the others' are added in its place.
    let sum = Mutex::new(mine);
    let sum_so_far = || sum.lock().expect("adding does not panic");
    session
        .exchange_chunks(
            chunks,
            |items| Masked::new(sum_so_far().as_slice()[items].to_vec()),
            |_, items, theirs: Masked<R>| {
                theirs.add_to(&mut sum_so_far().as_mut_slice()[items]);
                Ok(())
            },
        )
        .await?;
    let sum = sum.into_inner().expect("adding does not panic").into_vec();
    session.note_opened(ring::as_bytes(&sum));
    Ok(sum)
}

/// The declared cost of [`open`] for n values of ring `R`.
pub fn open_cost<R: Ring>(n_seats: usize, n_computing: usize, n_items: usize) -> Cost {
    Cost::all_to_all(
        n_seats,
        n_computing,
        Stream::of(open_chunks::<R>(n_items), R::BYTES),
    )
}

fn open_chunks<R: Ring>(n_items: usize) -> Chunks {
    Chunks {
        n_items,
        chunk_items: CHUNK_BYTES / R::BYTES,
    }
}
