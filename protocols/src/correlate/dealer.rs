//! Correlated randomness from a dealer: seeds, and one stream of corrections.
//!
//! The dealer shares a seed with each computing seat. All of them expand the seeds to the free
//! values, and the dealer alone, who has all seeds, can compute what the derived values lack: one
//! correction per triple, sent to one seat. Everything else costs no communication.
//!
//! The seeds are not sent. Each is derived from the pair seed that the dealer and the seat already
//! share, which an agent takes from the TLS connection between the two: it is as fresh as the
//! session and known to nobody else, so sending another one under the same TLS would cost a
//! message and add nothing.
//!
//! The dealer receives no message. It must not collude with any computing seat: together with one
//! of them it learns every input. It is trusted to deal triples that are triples; a dealer that
//! does not, changes results, and learns nothing by it.

use super::{BitTriples, Needs, Stock};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Chunks, Session};
use crate::wire::{Kind, Wire, WireError, ring_bytes, xor_bytes};
use bytes::Bytes;
use engine::prg::{Prg, Seed};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroize;

/// Most words of triples in one chunk: 512 KiB of corrections.
const CHUNK_WORDS: usize = 1 << 16;

const PURPOSE: &str = "dealer bit triples";

/// What the derived values of one chunk lack, masked by the seeds of all computing seats.
struct Corrections {
    body: Bytes,
}

impl Wire for Corrections {
    const KIND: Kind = Kind::Corrections;
    /// Number of words.
    type Shape = usize;

    fn wire_len(n_words: usize) -> usize {
        n_words * 8
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self { body })
    }
}

/// Deals what `needs` says. The dealer's seat calls this while the others call
/// [`preprocess`](super::preprocess).
///
/// # Seats     the dealer, which is the last seat
/// # Inputs    `needs`: the same at all seats
/// # Output    none
/// # Cost      [`cost`]: 1 round; 8 bytes a word of 64 triples, to one seat per chunk in turn
/// # Security  semi-honest; the dealer must not collude with a computing seat. It learns the needs
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::InvalidInput`] at another seat
/// # Source    Beaver, STOC '97 (commodity servers); one correction per item as in SecretFlow SPU,
///   semi2k. Differs: bulk streams instead of a call per operation, and packed bits
pub async fn serve(session: &mut Session, needs: &Needs) -> Result<(), ProtocolError> {
    let me = session.seat();
    if session.dealer() != Some(me) {
        return Err(ProtocolError::InvalidInput {
            what: "only the dealer's seat deals",
        });
    }
    let chunks = chunks(needs, session.n_computing());
    if needs.is_nothing() {
        return Ok(());
    }
    super::check_offered(needs)?;
    let seats: Vec<Seat> = session.computing_seats().collect();
    let seeds = seats
        .iter()
        .map(|seat| session.pair_seed(*seat, me, PURPOSE));
    let seeds: Arc<Vec<Seed>> = Arc::new(seeds.collect());
    for chunk in 0..chunks.count() {
        let seeds = seeds.clone();
        let n_words = chunks.range(chunk).len();
        let kernel = move || correction(&seeds, chunk, n_words);
        let body = ring_bytes(session.compute().run(kernel).await);
        session
            .send(seats[chunk % seats.len()], Corrections { body })
            .await?;
    }
    Ok(())
}

/// A computing seat's side of [`serve`].
pub(super) async fn receive(
    session: &mut Session,
    dealer: Seat,
    needs: &Needs,
) -> Result<Stock, ProtocolError> {
    if session.dealer() != Some(dealer) || session.seat() == dealer {
        return Err(ProtocolError::InvalidInput {
            what: "the dealer is the session's last seat",
        });
    }
    let me = session.seat();
    let chunks = chunks(needs, session.n_computing());
    let seed = session.pair_seed(me, dealer, PURPOSE);
    let kernel = move || {
        let parts = (0..chunks.count()).map(|k| expand(&seed, k, chunks.range(k).len()));
        BitTriples::concatenate(parts, chunks.n_items)
    };
    let mut triples = session.compute().run(kernel).await;
    for chunk in (me.index()..chunks.count()).step_by(session.n_computing()) {
        let words = chunks.range(chunk);
        let correction: Corrections = session.recv(dealer, words.len()).await?;
        xor_bytes(&mut triples.c[words], &correction.body);
    }
    Ok(Stock::from_bit_triples(triples))
}

/// The declared cost of [`serve`] and its counterparts.
pub fn cost(n_computing: usize, needs: &Needs) -> Cost {
    let n_seats = n_computing + 1;
    if needs.is_nothing() {
        return Cost::none(n_seats);
    }
    let chunks = chunks(needs, n_computing);
    let mut sends = BTreeMap::new();
    for chunk in 0..chunks.count() {
        let stream = sends.entry(chunk % n_computing).or_insert(Stream {
            n_bytes: 0,
            n_messages: 0,
        });
        stream.n_bytes += chunks.range(chunk).len() as u64 * 8;
        stream.n_messages += 1;
    }
    let dealer = Seat::from_index(n_computing);
    let sends = sends
        .into_iter()
        .map(|(to, stream)| (dealer, Seat::from_index(to), stream));
    Cost::round(n_seats, sends)
}

/// Chunks are small enough that even a small stock is corrected by every seat in turn.
fn chunks(needs: &Needs, n_computing: usize) -> Chunks {
    let n_items = needs.bit_triple_words();
    Chunks {
        n_items,
        chunk_items: n_items.div_ceil(n_computing).clamp(1, CHUNK_WORDS),
    }
}

/// One seat's values of one chunk, before the correction: a, b and c in this order from stream
/// number `chunk` of its seed.
fn expand(seed: &Seed, chunk: usize, n_words: usize) -> BitTriples {
    let mut prg = Prg::new(seed, chunk as u64);
    let mut draw = || {
        let mut words = vec![0u64; n_words];
        prg.fill_ring(&mut words);
        words
    };
    BitTriples::new(draw(), draw(), draw())
}

/// (⊕ a) ∧ (⊕ b) ⊕ (⊕ c) over all computing seats, the one that gets the correction included.
fn correction(seeds: &[Seed], chunk: usize, n_words: usize) -> Vec<u64> {
    let mut sum = BitTriples::new(vec![0; n_words], vec![0; n_words], vec![0; n_words]);
    for seed in seeds {
        let part = expand(seed, chunk, n_words);
        engine::bits::xor_assign(&mut sum.a, &part.a);
        engine::bits::xor_assign(&mut sum.b, &part.b);
        engine::bits::xor_assign(&mut sum.c, &part.c);
    }
    let mut correction = sum.a.clone();
    engine::bits::and_assign(&mut correction, &sum.b);
    engine::bits::xor_assign(&mut correction, &sum.c);
    sum.zeroize();
    correction
}
