//! Correlated randomness from oblivious transfer: no third party.
//!
//! Every ordered pair of computing seats sets up an OT extension from Diffie–Hellman, once for each
//! preparation, and extends it as needed. `engine::ot` does the arithmetic and says why it is secure;
//! this file sends its messages.
//!
//! ```text
//! round 1        to every peer: base OT, for the direction away from me and the one towards me
//! then           kind by kind, batch by batch: extensions, from receivers of OTs to their senders
//!                (the first of a direction brings the trees), then what senders correct
//! ```
//!
//! * [`pool`]: where the extension is Ferret, which makes OTs in rounds of millions;
//! * [`bits`]: bit triples, and pairs with a common factor;
//! * [`elements`]: triples of ring elements and matrices;
//! * [`chain`]: random bits and elements that are shared both ways;
//! * [`rows`]: secret permutations.
//!
//! A batch is one message to each peer, so that nobody holds more than a batch's in memory. Every OT
//! is used once: both sides number OTs by direction, and the number is the tweak of the hash.

mod pairs;
mod pool;
mod tally;
mod bits;
mod elements;
mod chain;
mod rows;

use super::recipe::Recipe;
use super::sections::{Section, Width, sections};
use super::{Needs, Stock, StockedRing};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::session::Session;
use engine::params::{MAX_OTS, OT_CHUNK};
use engine::ring::Ring;
use pairs::Transfers;
use tally::Tally;

/// How a few OTs become many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// 31 or 32 bits for each OT, from its receiver to its sender.
    SoftSpoken,
    /// Rounds of 0.7 and 2.3 million OTs, under a bit each, from the sender to the receiver.
    Ferret,
}

/// Makes what `needs` says.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2
/// # Inputs    `needs`: the same at all seats
/// # Output    a stock of exactly these needs, in whole words
/// # Cost      [`cost`]; per seat pair, 11 296 bytes and 1 round once. Between two seats, over k = 64
///   bits, counting both directions, for each item: bit triple 62 bits; pair 62 bits; triple 1016
///   bytes; daBit 12; edaBit 500; truncation by 16 bits 602; selection 32; matrix product m·k·n, 520
///   for each multiplication and 496 for each element of the smaller factor. 1 round a batch for bits,
///   2 for products, as many as seats for values shared both ways
///   With Ferret an OT's 31 or 32 bits become 1.5 or less in the first 726 016 and 0.73 after, and one
///   where choices are given; a direction costs 0.4 MB and 1 round once
/// # Security  semi-honest, all but one seat may be corrupt; computational: Diffie–Hellman on
///   ristretto255, AES-128, BLAKE3; with Ferret, LPN with regular noise. Reveals the needs
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, or a string that
///   is no group element); [`ProtocolError::OverBudget`] over 2^40 OTs, and
///   [`ProtocolError::InvalidInput`] at a dealer, before anything is sent
/// # Source    base OT: Masny–Rindal, 2019/706; extension: Roy, 2022/192, k = 4, or Yang et al.,
///   2020/924; products of bits:
///   Goldreich–Micali–Wigderson, STOC '87; of elements: Gilboa, CRYPTO '99. Differs: see
///   [`engine::ot`]
pub(super) async fn generate(
    session: &mut Session,
    extension: Extension,
    needs: &Needs,
) -> Result<Stock, ProtocolError> {
    if session.dealer() == Some(session.seat()) {
        return Err(ProtocolError::InvalidInput {
            what: "a dealer takes no part in oblivious transfer",
        });
    }
    let needed = n_ots(needs);
    if needed > MAX_OTS {
        return Err(ProtocolError::OverBudget {
            what: "a preparation by oblivious transfer",
            needed,
            declared: MAX_OTS,
        });
    }
    let mut stock = Stock::empty();
    let mut transfers = Transfers::set_up(session, extension).await?;
    for section in sections(needs) {
        transfers.section(section, &mut stock).await?;
    }
    Ok(stock)
}

/// OTs of one direction at most, what is left of their last chunks counted in.
fn n_ots(needs: &Needs) -> u64 {
    let of = |section: &Section| {
        let (n_ots, n_batches) = match section {
            Section::Items(recipe, Width::Z64, n) => items_ots::<u64>(*recipe, *n),
            Section::Items(recipe, Width::Z128, n) => items_ots::<u128>(*recipe, *n),
            Section::Matrix(Width::Z64, shape) => elements::matrix_ots::<u64>(*shape),
            Section::Matrix(Width::Z128, shape) => elements::matrix_ots::<u128>(*shape),
            Section::Permutation(need) => rows::n_ots(*need),
        };
        n_ots.saturating_add(n_batches.saturating_mul(OT_CHUNK as u64))
    };
    let all = sections(needs);
    all.iter()
        .fold(0, |sum: u64, section| sum.saturating_add(of(section)))
}

/// OTs of these items, and at most so many batches.
fn items_ots<R: Ring>(recipe: Recipe, n_items: usize) -> (u64, u64) {
    let per_item = match recipe {
        Recipe::BitTriples | Recipe::BitPairs | Recipe::DaBits | Recipe::Muxes => 1,
        Recipe::Triples | Recipe::EdaBits | Recipe::Truncs { .. } => u64::from(R::BITS),
    };
    let n_ots = (n_items as u64).saturating_mul(per_item);
    (n_ots, n_ots / elements::BATCH_OTS as u64 + 1)
}

/// The declared cost of [`generate`].
pub(super) fn cost(extension: Extension, n_computing: usize, needs: &Needs) -> Cost {
    if needs.is_nothing() {
        return Cost::none(n_computing);
    }
    let mut tally = Tally::set_up(extension, n_computing);
    for section in sections(needs) {
        match section {
            Section::Items(recipe, Width::Z64, n) => items_cost::<u64>(&mut tally, recipe, n),
            Section::Items(recipe, Width::Z128, n) => items_cost::<u128>(&mut tally, recipe, n),
            Section::Matrix(Width::Z64, shape) => elements::matrix_cost::<u64>(&mut tally, shape),
            Section::Matrix(Width::Z128, shape) => elements::matrix_cost::<u128>(&mut tally, shape),
            Section::Permutation(need) => rows::cost(&mut tally, need),
        }
    }
    tally.into_cost()
}

fn items_cost<R: StockedRing>(tally: &mut Tally, recipe: Recipe, n_items: usize) {
    match recipe {
        Recipe::BitTriples => bits::cost(tally, n_items / 64, 1),
        Recipe::BitPairs => bits::cost(tally, n_items / 64, 2),
        Recipe::Triples => elements::triples_cost::<R>(tally, n_items),
        Recipe::DaBits | Recipe::EdaBits | Recipe::Truncs { .. } | Recipe::Muxes => {
            chain::cost::<R>(tally, recipe, n_items);
        }
    }
}

impl Transfers<'_> {
    /// Fresh ring elements, or packed bits, of this seat.
    fn draw<R: Ring>(&mut self, n_items: usize) -> Vec<R> {
        let mut values = vec![R::ZERO; n_items];
        self.prg.fill_ring(&mut values);
        values
    }

    async fn section(&mut self, section: Section, stock: &mut Stock) -> Result<(), ProtocolError> {
        match section {
            Section::Items(recipe, Width::Z64, n) => self.items::<u64>(recipe, n, stock).await,
            Section::Items(recipe, Width::Z128, n) => self.items::<u128>(recipe, n, stock).await,
            Section::Matrix(Width::Z64, shape) => {
                elements::matrix_triple::<u64>(self, shape, stock).await
            }
            Section::Matrix(Width::Z128, shape) => {
                elements::matrix_triple::<u128>(self, shape, stock).await
            }
            Section::Permutation(need) => rows::permutation(self, need, stock).await,
        }
    }

    async fn items<R: StockedRing>(
        &mut self,
        recipe: Recipe,
        n_items: usize,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        match recipe {
            Recipe::BitTriples => bits::triples(self, n_items / 64, stock).await,
            Recipe::BitPairs => bits::bit_pairs(self, n_items / 64, stock).await,
            Recipe::Triples => elements::triples::<R>(self, n_items, stock).await,
            Recipe::DaBits | Recipe::EdaBits | Recipe::Truncs { .. } | Recipe::Muxes => {
                chain::shared_bits::<R>(self, recipe, n_items, stock).await
            }
        }
    }
}
