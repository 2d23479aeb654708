//! Bits that are kept where another bit is set.

use super::{Gates, Level, and};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::boolean::BitShare;

/// Keeps each vector's bits where `bit` is 1, and clears them elsewhere.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `bit`: n bits; `planes`: w vectors of n bits; takes [`keep_price`]
/// # Output    w vectors of n shared bits: bit∧plane
/// # Cost      1 round; 3 bits for every two ANDs to each other seat; [`keep_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals w and n
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ
/// # Source    Beaver, CRYPTO '91, over Z_2, with the one factor that all have opened once for two
pub async fn keep(
    session: &mut Session,
    bit: &BitShare,
    planes: &[BitShare],
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    let n_bits = bit.n_bits();
    let (pairs, odd) = planes.as_chunks::<2>();
    let mut level = Level::new(n_bits);
    for plane in odd {
        level.and(bit.as_words(), plane.as_words());
    }
    for [first, second] in pairs {
        level.and_both(bit.as_words(), first.as_words(), second.as_words());
    }
    let products = level.run(session, stock).await?;
    let share = |words: &[u64]| BitShare::from_words(n_bits, words.to_vec());
    let mut kept = Vec::with_capacity(planes.len());
    for pair in 0..pairs.len() {
        let (first, second) = products.pair(pair);
        kept.extend([share(first), share(second)]);
    }
    kept.extend((0..odd.len()).map(|single| share(products.single(single))));
    Ok(kept)
}

/// The declared price of [`keep`] of so many vectors of n bits.
pub fn keep_price(seats: Seats, n_items: usize, n_planes: usize) -> Price {
    let gates = Gates {
        singles: n_planes % 2,
        pairs: n_planes / 2,
    };
    gates.price(seats, n_items)
}

/// The AND of several vectors of one length, as a tree.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `factors`: w ≥ 1 vectors of n bits; takes [`all_price`]
/// # Output    n shared bits
/// # Cost      ⌈log2 w⌉ rounds; w − 1 ANDs an item; [`all_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals w and n
/// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if there is no vector, or their lengths differ
/// # Source    folklore
pub async fn all(
    session: &mut Session,
    mut factors: Vec<BitShare>,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    while factors.len() > 1 {
        let odd = factors.split_off(factors.len() / 2 * 2);
        let (pairs, _) = factors.as_chunks::<2>();
        let pairs: Vec<_> = pairs.iter().map(|[x, y]| (x, y)).collect();
        let mut products = and(session, &pairs, stock).await?;
        products.extend(odd);
        factors = products;
    }
    Ok(factors.pop().expect("an AND of at least one vector"))
}

/// The declared price of [`all`] of so many vectors of n bits.
pub fn all_price(seats: Seats, n_items: usize, n_factors: usize) -> Price {
    let mut price = Price::nothing(seats);
    let mut n_factors = n_factors;
    while n_factors > 1 {
        price = price.then(&and_price(seats, n_items, n_factors / 2));
        n_factors = n_factors.div_ceil(2);
    }
    price
}

/// The declared price of one [`and`](super::and) of so many pairs of vectors of n bits.
pub fn and_price(seats: Seats, n_items: usize, n_pairs: usize) -> Price {
    let n_words = n_pairs * engine::bits::words_for(n_items);
    Gates::singles(1).price(seats, 64 * n_words)
}
