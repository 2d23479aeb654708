//! Correlated randomness from a dealer: seeds, and one stream of corrections.
//!
//! For each kind of correlation the dealer shares a seed with each computing seat. All of them expand
//! the seeds to their shares of the values that are drawn, and all but one to their shares of the
//! values that are derived from these. The dealer, who has all seeds, adds everything up, computes the
//! derived values, and sends the one seat that is left what the others' shares lack. Chunk by chunk it
//! is another seat's turn. Everything else costs no communication.
//!
//! ```text
//! chunk of triples    seat i expands a_i, b_i; each seat but one, r, expands c_i
//!                     the dealer sends r: c_r = (Σa)·(Σb) − Σ_{i≠r} c_i
//! ```
//!
//! What seat r receives is uniform to it as long as one other seat does not collude with it: that
//! seat's share is a mask.
//!
//! The seeds are not sent. Each is derived from the pair seed that the dealer and the seat already
//! share, which an agent takes from the TLS connection between the two: it is as fresh as the
//! session and known to nobody else, so sending another one under the same TLS would cost a
//! message and add nothing.
//!
//! The dealer receives no message. It must not collude with any computing seat: together with one
//! of them it learns every input. It is trusted to deal triples that are triples; a dealer that
//! does not, changes results, and learns nothing by it.

mod items;
mod matrix;
mod permutation;

use super::sections::{self, Section, Width, sections};
use super::{Needs, Stock};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Session, try_both};
use crate::wire::bytes_message;
use bytes::Bytes;
use engine::prg::Seed;
use items::Items;
use matrix::Matrix;
use permutation::Permutation;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of corrections in one message, as far as a single row of a matrix is not longer.
const CHUNK_BYTES: usize = 1 << 19;

/// Messages whose kernels run together: enough for all cores, and little to hold in memory.
const BATCH_CHUNKS: usize = 8;

const PURPOSE: &str = "dealer";

bytes_message! {
    /// What the derived values of one chunk lack at one seat, masked by the shares of all others. The shape is the number of bytes.
    Corrections, Corrections, |n_bytes| n_bytes
}

/// Correlations of one kind and size: how they are cut into chunks, and both sides' kernels.
trait Deal: Send + Sync + 'static {
    /// One seat's shares of some chunks.
    type Part: Send + 'static;

    /// Number of chunks.
    fn n_chunks(&self) -> usize;

    /// Length of a chunk's correction.
    fn correction_bytes(&self, chunk: usize) -> usize;

    /// Chunks that are made together, from `first` on.
    fn batch(&self, first: usize) -> Range<usize> {
        first..(first + BATCH_CHUNKS).min(self.n_chunks())
    }

    /// The dealer's kernel: the corrections of these chunks, from the seeds of all computing seats.
    fn corrections(&self, seeds: &[Seed], turns: Turns, chunks: Range<usize>) -> Vec<Vec<u8>>;

    /// A seat's kernel: its shares of these chunks, without those that it will be sent.
    fn expand(&self, seed: &Arc<Seed>, me: Seat, turns: Turns, chunks: Range<usize>) -> Self::Part;

    /// Completes a seat's shares with the corrections that it was sent, and puts them into its stock.
    fn store(&self, part: Self::Part, corrections: Vec<(usize, Bytes)>, stock: &mut Stock);
}

/// Whose turn it is to be sent a chunk's correction: all seats in turn, over all kinds.
#[derive(Clone, Copy)]
struct Turns {
    n_computing: usize,
    first: usize,
}

impl Turns {
    fn seat(self, chunk: usize) -> Seat {
        Seat::from_index((self.first + chunk) % self.n_computing)
    }

    fn after(self, n_chunks: usize) -> Self {
        let first = (self.first + n_chunks) % self.n_computing;
        Self { first, ..self }
    }
}

/// Does the same with each section, whatever its type.
macro_rules! for_each_section {
    ($needs:expr, $n_computing:expr, |$turns:ident, $deal:ident| $body:expr) => {
        let mut turns = Turns {
            n_computing: $n_computing,
            first: 0,
        };
        for section in sections($needs) {
            macro_rules! with {
                ($made:expr) => {{
                    let $deal = Arc::new($made);
                    let $turns = turns;
                    turns = turns.after($deal.n_chunks());
                    $body
                }};
            }
            match section {
                Section::Items(recipe, Width::Z64, n) => {
                    with!(Items::<u64>::new(recipe, n, $n_computing))
                }
                Section::Items(recipe, Width::Z128, n) => {
                    with!(Items::<u128>::new(recipe, n, $n_computing))
                }
                // Nobody gets this far with them: see [`sections::check`].
                Section::Tables(_) => {}
                Section::Matrix(Width::Z64, shape) => with!(Matrix::<u64>::new(shape)),
                Section::Matrix(Width::Z128, shape) => with!(Matrix::<u128>::new(shape)),
                Section::Permutation(need) => with!(Permutation::new(need)),
            }
        }
    };
}

/// Deals what `needs` says. The dealer's seat calls this while the others call
/// [`preprocess`](super::preprocess).
///
/// # Seats     the dealer, which is the last seat
/// # Inputs    `needs`: the same at all seats
/// # Output    none
/// # Cost      [`cost`]: 1 round; to one seat per chunk in turn, for each item over k bits: 1/8 byte
///   for a bit triple, 1/4 for a pair, k/8 for a triple, a daBit, an edaBit, an element of a matrix
///   product or a word of a permuted row, k/4 for a selection or a truncation
/// # Security  semi-honest; the dealer must not collude with a computing seat. It learns the needs
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::InvalidInput`] at another seat
/// # Source    Beaver, STOC '97 (commodity servers); one correction per item as in SecretFlow SPU,
///   semi2k. Differs: bulk streams instead of a call per operation, packed bits, and turns
pub async fn serve(session: &mut Session, needs: &Needs) -> Result<(), ProtocolError> {
    let me = session.seat();
    if session.dealer() != Some(me) {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "only the dealer's seat deals",
        }));
    }
    let n_computing = session.n_computing();
    sections::check(needs, n_computing, true)?;
    for_each_section!(needs, n_computing, |turns, deal| {
        let seats = session.computing_seats();
        let seeds = seats.map(|seat| session.pair_seed(seat, me, PURPOSE));
        let seeds = seeds.collect();
        serve_section(session, seeds, turns, deal).await?;
    });
    Ok(())
}

/// Sends the corrections of one kind, while those of the next chunks are being computed.
async fn serve_section<D: Deal>(
    session: &mut Session,
    seeds: Vec<Seed>,
    turns: Turns,
    deal: Arc<D>,
) -> Result<(), ProtocolError> {
    let compute = session.compute();
    let seeds = Arc::new(seeds);
    let kernel = |first: usize| {
        let (deal, seeds) = (deal.clone(), seeds.clone());
        let chunks = deal.batch(first);
        async move {
            let run = compute.run(move || deal.corrections(&seeds, turns, chunks));
            Ok::<_, ProtocolError>(run.await)
        }
    };
    let mut first = 0;
    let mut ready = kernel(0).await?;
    while first < deal.n_chunks() {
        let next = deal.batch(first).end;
        let send = async {
            for (chunk, body) in (first..).zip(std::mem::take(&mut ready)) {
                let body = body.into();
                session
                    .send(turns.seat(chunk), Corrections { body })
                    .await?;
            }
            Ok(())
        };
        (ready, ()) = try_both(kernel(next), send).await?;
        first = next;
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
    let (me, n_computing) = (session.seat(), session.n_computing());
    let mut stock = Stock::empty();
    for_each_section!(needs, n_computing, |turns, deal| {
        let seed = session.pair_seed(me, dealer, PURPOSE);
        receive_section(session, dealer, (seed, turns), deal, &mut stock).await?;
    });
    Ok(stock)
}

/// Receives the corrections of one kind, while the seed is expanded for the next chunks.
async fn receive_section<D: Deal>(
    session: &mut Session,
    dealer: Seat,
    (seed, turns): (Seed, Turns),
    deal: Arc<D>,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let (compute, me) = (session.compute(), session.seat());
    let seed = Arc::new(seed);
    let kernel = |first: usize| {
        let (deal, seed) = (deal.clone(), seed.clone());
        let chunks = deal.batch(first);
        async move {
            let run = compute.run(move || deal.expand(&seed, me, turns, chunks));
            Ok::<_, ProtocolError>(run.await)
        }
    };
    let mut first = 0;
    let mut ready = kernel(0).await?;
    while first < deal.n_chunks() {
        let chunks = deal.batch(first);
        let next = chunks.end;
        let receive = async {
            let mut received = Vec::new();
            for chunk in chunks.filter(|chunk| turns.seat(*chunk) == me) {
                let n_bytes = deal.correction_bytes(chunk);
                let message: Corrections = session.recv(dealer, n_bytes).await?;
                received.push((chunk, message.body));
            }
            Ok(received)
        };
        let (part, received) = try_both(kernel(next), receive).await?;
        deal.store(std::mem::replace(&mut ready, part), received, stock);
        first = next;
    }
    Ok(())
}

/// The declared cost of [`serve`] and its counterparts.
pub fn cost(n_computing: usize, needs: &Needs) -> Cost {
    let n_seats = n_computing + 1;
    if needs.is_nothing() {
        return Cost::none(n_seats);
    }
    let mut sends = BTreeMap::new();
    for_each_section!(needs, n_computing, |turns, deal| {
        for chunk in 0..deal.n_chunks() {
            let stream = sends.entry(turns.seat(chunk)).or_insert(Stream {
                n_bytes: 0,
                n_messages: 0,
            });
            stream.n_bytes += deal.correction_bytes(chunk) as u64;
            stream.n_messages += 1;
        }
    });
    let dealer = Seat::from_index(n_computing);
    let sends = sends.into_iter().map(|(to, stream)| (dealer, to, stream));
    Cost::round(n_seats, sends)
}
