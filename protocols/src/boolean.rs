//! Computing on XOR-shared bits: input, AND, opening (GMW).
//!
//! Vectors are packed, 64 bits a word, and bit-sliced: a batch of numbers is one vector per bit
//! position. XOR and NOT are local. All ANDs of one circuit level go out in one message.

mod level;
mod input;
mod keep;

pub use input::input;
pub use keep::{all, all_price, and_price, keep, keep_price};
pub(crate) use level::{Gates, Level, Planes};

use crate::correlate::Stock;
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::price::Seats;
use crate::session::{Chunks, Session};
use crate::wire::MaskedBits;
use engine::bits;
use engine::prg::{Prg, Seed};
use engine::ring;
use engine::share::boolean::BitShare;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// Words in one message: 1 MiB.
const CHUNK_WORDS: usize = 1 << 17;

/// The XOR of two shared vectors.
///
/// # Panics
///
/// If the lengths differ.
pub fn xor(x: &BitShare, y: &BitShare) -> BitShare {
    let mut sum = BitShare::from_words(x.n_bits(), x.as_words().to_vec());
    sum.xor_assign(y);
    sum
}

/// XOR-shares bits that every computing seat has for itself, without sending anything: from each
/// seat the same number of vectors of the same lengths.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `mine`: this seat's own bits, in the clear
/// # Output    for each seat, in order, shares of its bits
/// # Cost      0 rounds, 0 bytes
/// # Security  all but one seat may be corrupt; reveals the lengths. Rests on the generator
/// # Source    Goldreich–Micali–Wigderson, STOC '87, with the owner's random shares made from keys
pub async fn input_all(session: &mut Session, mine: Vec<BitShare>) -> Vec<Vec<BitShare>> {
    let me = session.seat();
    let peers = session.peers();
    let outgoing: Vec<Seed> = peers
        .iter()
        .map(|p| session.pair_seed(me, *p, "bits"))
        .collect();
    let incoming: Vec<Seed> = peers
        .iter()
        .map(|p| session.pair_seed(*p, me, "bits"))
        .collect();
    let kernel = move || {
        let lens: Vec<usize> = mine.iter().map(BitShare::n_bits).collect();
        let mut own = mine;
        for seed in &outgoing {
            for (bits, mask) in own.iter_mut().zip(random_bits(seed, &lens)) {
                bits.xor_assign(&mask);
            }
        }
        let mut all: Vec<_> = incoming
            .iter()
            .map(|seed| random_bits(seed, &lens))
            .collect();
        all.insert(me.index(), own);
        all
    };
    session.compute().run(kernel).await
}

/// Vectors of these lengths from one key.
fn random_bits(seed: &Seed, lens: &[usize]) -> Vec<BitShare> {
    let mut prg = Prg::new(seed, 0);
    let mut draw = |n_bits: usize| {
        let mut words = vec![0; bits::words_for(n_bits)];
        prg.fill_ring(&mut words);
        BitShare::from_words(n_bits, words)
    };
    lens.iter().map(|n_bits| draw(*n_bits)).collect()
}

/// Computes ANDs: for each pair of shared vectors x and y, the vector x∧y.
///
/// With a triple (a, b, c = a∧b), d = x⊕a and e = y⊕b are opened, and
/// x∧y = c ⊕ d∧b ⊕ e∧a ⊕ d∧e.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `pairs`: shared vectors, the two of a pair of one length; takes a word of bit triples
///   for each word
/// # Output    one shared vector for each pair
/// # Cost      1 round; 16 bytes a word of 64 ANDs to each other seat; [`and_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the lengths
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the two vectors of a pair have different lengths
/// # Source    Beaver, CRYPTO '91, over Z_2. Differs: both differences of all pairs in one message
pub async fn and(
    session: &mut Session,
    pairs: &[(&BitShare, &BitShare)],
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    for (x, y) in pairs {
        assert_eq!(x.n_bits(), y.n_bits(), "bit vectors of unequal length");
    }
    // One gate over all vectors, end to end.
    let n_words: usize = pairs.iter().map(|(x, _)| x.as_words().len()).sum();
    let end_to_end = |vectors: &mut dyn Iterator<Item = &BitShare>| {
        let mut words = Zeroizing::new(Vec::with_capacity(n_words));
        vectors.for_each(|v| words.extend_from_slice(v.as_words()));
        words
    };
    let x = end_to_end(&mut pairs.iter().map(|(x, _)| *x));
    let y = end_to_end(&mut pairs.iter().map(|(_, y)| *y));
    let mut level = Level::new(n_words * 64);
    level.and(&x, &y);
    let products = level.run(session, stock).await?;
    let mut rest = products.single(0);
    let mut take = |n_bits: usize| {
        let (words, after) = rest.split_at(bits::words_for(n_bits));
        rest = after;
        BitShare::from_words(n_bits, words.to_vec())
    };
    Ok(pairs.iter().map(|(x, _)| take(x.n_bits())).collect())
}

/// Opens shared bits to all computing seats.
///
/// Every seat sees them, so they must be a public result or masked by something nobody knows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `share`: shared bits
/// # Output    the bits, packed
/// # Cost      1 round; 8 bytes a word of 64 bits to each other seat; [`open_cost`]
/// # Security  semi-honest; reveals the bits. The shares are re-randomised, so they say no more
/// # Errors    [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    folklore
pub async fn open(session: &mut Session, share: BitShare) -> Result<Vec<u64>, ProtocolError> {
    let n_bits = share.n_bits();
    let mut masked = share;
    for peer in session.peers() {
        let (low, high) = (session.seat().min(peer), session.seat().max(peer));
        let seed = session.pair_seed(low, high, "bit zero-share");
        for mask in random_bits(&seed, &[n_bits]) {
            masked.xor_assign(&mask);
        }
    }
    exchange(session, masked.into_words()).await
}

/// The declared cost of one [`and`] over so many words.
pub fn and_cost(n_seats: usize, n_computing: usize, n_words: usize) -> Cost {
    let seats = Seats {
        n_seats,
        n_computing,
    };
    Gates::singles(1).price(seats, n_words * 64).cost
}

/// The declared cost of [`open`] of so many words.
pub fn open_cost(n_seats: usize, n_computing: usize, n_words: usize) -> Cost {
    Cost::all_to_all(n_seats, n_computing, Stream::of(chunks(n_words), 8))
}

/// Sends masked words to all computing seats, receives theirs, and returns the XOR of all.
async fn exchange(session: &mut Session, mine: Vec<u64>) -> Result<Vec<u64>, ProtocolError> {
    let chunks = chunks(mine.len());
    // Each chunk of our words is copied out before the others' are added in its place.
    let sum = Mutex::new(mine);
    let sum_so_far = || sum.lock().expect("adding does not panic");
    session
        .exchange_chunks(
            chunks,
            |words| MaskedBits::new(sum_so_far()[words].to_vec()),
            |_, words, theirs: MaskedBits| {
                theirs.xor_to(&mut sum_so_far()[words]);
                Ok(())
            },
        )
        .await?;
    let sum = sum.into_inner().expect("adding does not panic");
    session.note_opened(ring::as_bytes(&sum));
    Ok(sum)
}

fn chunks(n_words: usize) -> Chunks {
    Chunks {
        n_items: n_words,
        chunk_items: CHUNK_WORDS,
    }
}
