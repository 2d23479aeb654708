//! Counting the ones of long vectors of bits.
//!
//! Carry-save adders turn three bits of one weight into one of that weight and one of twice the
//! weight, for one AND: about as many ANDs as there are bits, and only a few bits of each weight are
//! left to be turned into ring elements.

use crate::arith::convert;
use crate::boolean::{self, xor};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Lanes of a word, each of which is counted by itself until the end.
const LANES: usize = 64;

/// The number of ones in each of several shared vectors of n bits. Opens nothing.
pub(super) async fn ones<R: StockedRing>(
    session: &mut Session,
    vectors: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let n_words = vectors.first().map_or(0, |v| v.as_words().len());
    // Slot k has word k of every vector.
    let slot = |k: usize| {
        let words: Vec<u64> = vectors.iter().map(|v| v.as_words()[k]).collect();
        BitShare::from_words(LANES * words.len(), words)
    };
    let mut weights: Vec<Vec<BitShare>> = vec![(0..n_words).map(slot).collect()];
    while weights.iter().any(|slots| slots.len() > 2) {
        weights = compress(session, weights, stock).await?;
    }
    let mut counts = Share::<R>::zero(vectors.len());
    let planes: Vec<&BitShare> = weights.iter().flatten().collect();
    if planes.is_empty() {
        return Ok(counts);
    }
    let lanes = convert::planes_to_arith::<R>(session, &planes, stock).await?;
    let weight_of = weights.iter().enumerate();
    let weight_of = weight_of.flat_map(|(exponent, slots)| slots.iter().map(move |_| exponent));
    for (exponent, lanes) in weight_of.zip(lanes) {
        let weight = R::from_u64(1 << exponent);
        for (count, lanes) in counts
            .as_mut_slice()
            .iter_mut()
            .zip(lanes.as_slice().chunks(LANES))
        {
            let sum = engine::ring::sum(lanes);
            *count = count.wrapping_add(sum.wrapping_mul(weight));
        }
    }
    Ok(counts)
}

/// One level of adders: x + y + z = s + 2k with s = x⊕y⊕z and k = ((x⊕z)∧(y⊕z)) ⊕ z.
async fn compress(
    session: &mut Session,
    weights: Vec<Vec<BitShare>>,
    stock: &mut Stock,
) -> Result<Vec<Vec<BitShare>>, ProtocolError> {
    let mut factors = Vec::new();
    for slots in &weights {
        let (triples, _) = slots.as_chunks::<3>();
        factors.extend(triples.iter().map(|[x, y, z]| (xor(x, z), xor(y, z))));
    }
    let pairs: Vec<_> = factors.iter().map(|(x, y)| (x, y)).collect();
    let mut products = boolean::and(session, &pairs, stock).await?.into_iter();
    let mut next: Vec<Vec<BitShare>> = (0..=weights.len()).map(|_| Vec::new()).collect();
    for (exponent, mut slots) in weights.into_iter().enumerate() {
        next[exponent].extend(slots.split_off(slots.len() / 3 * 3));
        let (triples, _) = slots.as_chunks::<3>();
        for ([x, y, z], product) in triples.iter().zip(&mut products) {
            next[exponent].push(xor(&xor(x, y), z));
            next[exponent + 1].push(xor(&product, z));
        }
    }
    if next.last().is_some_and(Vec::is_empty) {
        next.pop();
    }
    Ok(next)
}

/// The declared price of [`ones`] in so many vectors of n bits.
pub(super) fn price<R: StockedRing>(n_bits: usize, n_vectors: usize, seats: Seats) -> Price {
    let mut price = Price::nothing(seats);
    let mut weights = vec![bits::words_for(n_bits)];
    while weights.iter().any(|n| *n > 2) {
        let n_triples: usize = weights.iter().map(|n| n / 3).sum();
        price = price.then(&boolean::and_price(seats, LANES * n_vectors, n_triples));
        let mut next = vec![0; weights.len() + 1];
        for (exponent, n) in weights.into_iter().enumerate() {
            next[exponent] += n % 3 + n / 3;
            next[exponent + 1] += n / 3;
        }
        if next.last() == Some(&0) {
            next.pop();
        }
        weights = next;
    }
    match weights.iter().sum() {
        0 => price,
        n_planes => price.then(&convert::planes_price::<R>(
            seats,
            LANES * n_vectors,
            n_planes,
        )),
    }
}
