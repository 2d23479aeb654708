//! Correlated randomness from oblivious transfer: no third party.
//!
//! Every ordered pair of computing seats sets up an OT extension from Diffie–Hellman, once for each
//! preparation, and extends it as needed. `engine::ot` does the arithmetic and says why it is secure;
//! this file sends its messages.
//!
//! ```text
//! round 1        to every peer: base OT, for the direction away from me and the one towards me
//! then           kind by kind, batch by batch: extensions, from receivers of OTs to their senders
//!                (the first of a direction brings the trees), then what senders answer
//! ```
//!
//! * [`flow`]: batches in a row, whose kernels run while others are on the wire;
//! * [`pool`]: where the extension is Ferret, which makes OTs in rounds of millions;
//! * [`bits`]: bit triples, and pairs with a common factor;
//! * [`tables`]: tables of carries for two seats;
//! * [`elements`]: triples of ring elements and matrices;
//! * [`lattice`]: large matrices, which are no transfers;
//! * [`chain`]: random bits and elements that are shared both ways;
//! * [`rows`]: secret permutations;
//! * [`online`], [`scatter`]: what is made with a seat's own numbers, and not before: its products with shared
//!   rows, and their sums at places that it knows.
//!
//! A batch is one message to each peer, so that nobody holds more than a few batches in memory. Of bit
//! triples, which a computation may need by the thousand million, only the first part is made before it
//! begins, and the others as they are used ([`Maker`]). Every OT is used once: both sides number OTs by direction, and the number is the tweak of the hash.

mod pairs;
mod pool;
mod flow;
mod tally;
mod bits;
mod tables;
mod elements;
mod lattice;
mod chain;
mod rows;
mod online;
mod scatter;

pub(crate) use online::{Multiply, Online, Tariff};
pub(crate) use scatter::{Places, Scatter};

use super::recipe::Recipe;
use super::sections::{Section, Width, sections};
use super::{Needs, Stock, StockedRing};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::session::Session;
use engine::params::{MAX_OTS, OT_CHUNK};
use engine::prg::Prg;
use engine::ring::Ring;
use lattice::Route;
use pairs::{Pair, Transfers};
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
///   bytes, of an element and a row 520 for each of its elements and 496 once; table of carries 124 bits; daBit 12; edaBit 500; truncation by 16 bits 602; selection 32;
///   matrix product m·k·n, 520 for each multiplication and 496 for each element of the smaller factor, but
///   over Z_2^64, where it is large, 229 376 for each block of the left factor, 114 688 for each of the product with 14
///   for each of its elements ([`lattice`]), and 229 408 once.
///   1 round a batch, and 2 more for all batches of products and of bits among more seats; as many as
///   seats for values shared both ways.
///   With Ferret an OT's 31 or 32 bits become 1.5 or less in the first 726 016 and 0.73 after, and one
///   where choices are given; a direction costs 0.4 MB and 1 round once
/// # Security  semi-honest, all but one seat may be corrupt; computational: Diffie–Hellman on
///   ristretto255, AES-128, BLAKE3; with Ferret, LPN with regular noise; with large matrices, ring learning with
///   errors. Reveals the needs
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, or a string that
///   is no group element); [`ProtocolError::OverBudget`] over 2^40 OTs, and
///   [`ProtocolError::InvalidInput`] at a dealer, before anything is sent
/// # Source    base OT: Masny–Rindal, 2019/706; extension: Roy, 2022/192, k = 4, or Yang et al.,
///   2020/924; products of bits:
///   Goldreich–Micali–Wigderson, STOC '87; of elements: Gilboa, CRYPTO '99; of large matrices: Huang et al., 2022/207. Differs: see
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
    let mut later = [0; 2];
    for section in sections(needs) {
        let (now, rest) = section.split();
        transfers.section(now, &mut stock).await?;
        for (later, rest) in later.iter_mut().zip(rest) {
            *later += rest;
        }
    }
    if later != [0; 2] {
        stock.make_later(Maker::new(transfers, later));
    }
    Ok(stock)
}

/// Words of bit triples, or of pairs, that are made before anything is computed: 6 or 10 MiB.
const WORDS_BEFORE: usize = 1 << 18;

/// Words that are made at a time when these are used up.
const WORDS_LATER: usize = 1 << 17;

impl Section {
    /// What is made at once, and the words of bit triples and of pairs that are made as they are used.
    fn split(self) -> (Self, [usize; 2]) {
        let most = 64 * WORDS_BEFORE;
        match self {
            Self::Items(recipe @ (Recipe::BitTriples | Recipe::BitPairs), width, n) if n > most => {
                let rest = n / 64 - WORDS_BEFORE;
                let is_triples = recipe == Recipe::BitTriples;
                let later = if is_triples { [rest, 0] } else { [0, rest] };
                (Self::Items(recipe, width, most), later)
            }
            other => (other, [0; 2]),
        }
    }
}

/// The words of each part in which so many are made.
fn parts(n_words: usize) -> impl Iterator<Item = usize> {
    let before = n_words.min(WORDS_BEFORE);
    let later = (before..n_words).step_by(WORDS_LATER);
    std::iter::once(before).chain(later.map(move |at| WORDS_LATER.min(n_words - at)))
}

/// Makes bit triples and pairs as they are used, so that a stock of them takes little memory however
/// many a computation needs.
///
/// The parts are those that [`cost`] declares, whenever they are made.
pub(super) struct Maker {
    extension: Extension,
    /// `None` once making has failed.
    state: Option<(Vec<Pair>, Prg)>,
    /// Words of triples and of pairs that are still to be made.
    left: [usize; 2],
}

impl Maker {
    fn new(transfers: Transfers<'_>, left: [usize; 2]) -> Self {
        Self {
            extension: transfers.extension,
            state: Some((transfers.pairs, transfers.prg)),
            left,
        }
    }

    /// Words of triples and of pairs that are still to be made.
    pub(super) fn left(&self) -> [usize; 2] {
        self.left
    }

    /// Makes parts until the stock has at least so many words more, or all are made.
    pub(super) async fn make(
        &mut self,
        session: &mut Session,
        wanted: [usize; 2],
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        for (kind, mut wanted) in wanted.into_iter().enumerate() {
            while wanted > 0 && self.left[kind] > 0 {
                let n_words = WORDS_LATER.min(self.left[kind]);
                self.left[kind] -= n_words;
                wanted = wanted.saturating_sub(n_words);
                let (pairs, prg) = self.state.take().expect("a failure ends the session");
                let mut transfers = Transfers {
                    session: &mut *session,
                    extension: self.extension,
                    pairs,
                    prg,
                    lattice: None,
                };
                match kind {
                    0 => bits::triples(&mut transfers, n_words, stock).await?,
                    _ => bits::bit_pairs(&mut transfers, n_words, stock).await?,
                }
                self.state = Some((transfers.pairs, transfers.prg));
            }
        }
        Ok(())
    }
}

/// OTs of one direction at most, what is left of their last chunks counted in.
fn n_ots(needs: &Needs) -> u64 {
    let of = |section: &Section| {
        let (n_ots, n_batches) = match section {
            Section::Items(recipe, Width::Z64, n) => items_ots::<u64>(*recipe, *n),
            Section::Items(recipe, Width::Z128, n) => items_ots::<u128>(*recipe, *n),
            Section::Tables(n) => tables::n_ots(*n),
            Section::Matrix(Width::Z64, shape) => match Route::of(*shape) {
                Some(_) => (0, 0),
                None => elements::matrix_ots::<u64>(*shape),
            },
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
        Recipe::Triples | Recipe::EdaBits | Recipe::Truncs { .. } | Recipe::Scalings { .. } => {
            u64::from(R::BITS)
        }
    };
    let n_ots = (n_items as u64).saturating_mul(per_item);
    let n_batches = match recipe {
        Recipe::Scalings { n_columns } => elements::scalings_batches::<R>(n_items, n_columns),
        _ => n_ots / elements::BATCH_OTS as u64 + 1,
    };
    (n_ots, n_batches)
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
            Section::Tables(n) => tables::cost(&mut tally, n),
            Section::Matrix(Width::Z64, shape) => match Route::of(shape) {
                Some(route) => lattice::cost(&mut tally, &route),
                None => elements::matrix_cost::<u64>(&mut tally, shape),
            },
            Section::Matrix(Width::Z128, shape) => elements::matrix_cost::<u128>(&mut tally, shape),
            Section::Permutation(need) => rows::cost(&mut tally, need),
        }
    }
    tally.into_cost()
}

fn items_cost<R: StockedRing>(tally: &mut Tally, recipe: Recipe, n_items: usize) {
    match recipe {
        Recipe::BitTriples => parts(n_items / 64).for_each(|n| bits::cost(tally, n, 1)),
        Recipe::BitPairs => parts(n_items / 64).for_each(|n| bits::cost(tally, n, 2)),
        Recipe::Triples => elements::scalings_cost::<R>(tally, n_items, 1),
        Recipe::Scalings { n_columns } => {
            elements::scalings_cost::<R>(tally, n_items, n_columns);
        }
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
            Section::Tables(n) => tables::tables(self, n, stock).await,
            Section::Matrix(Width::Z64, shape) => match Route::of(shape) {
                Some(route) => lattice::matrix_triple(self, route, stock).await,
                None => elements::matrix_triple::<u64>(self, shape, stock).await,
            },
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
            Recipe::Scalings { n_columns } => {
                elements::scalings::<R>(self, n_items, n_columns, stock).await
            }
            Recipe::DaBits | Recipe::EdaBits | Recipe::Truncs { .. } | Recipe::Muxes => {
                chain::shared_bits::<R>(self, recipe, n_items, stock).await
            }
        }
    }
}
