//! Bit triples, and pairs of them with a common factor.
//!
//! ```text
//! batch, round 1 to every peer: the extension in which it is the OT's sender
//!        round 2 three and more seats only: to every peer: corrections of my a, or of my b and c
//! ```
//!
//! A pair needs one OT in each direction, as a triple does: the common factor a is the receiver's
//! choice, and the sender's two messages have two bits, whose differences are its b and c.

use super::Extension;
use super::pairs::{Pair, PairCots, Pattern, Received, Sent, Transfers};
use super::tally::Tally;
use crate::correlate::{BitPairs, BitTriples, Stock};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Chunks;
use crate::wire::MaskedBits;
use engine::bits;
use engine::ot::extend::{Choices, ReceiverBits, SenderBits};
use engine::ot::triples::{self, PairBits};
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Words in one batch: 2^20 OTs, and a message of about 4 MiB.
const BATCH_WORDS: usize = 1 << 14;

/// The words of each batch.
fn batches(n_words: usize) -> impl Iterator<Item = usize> {
    let chunks = Chunks {
        n_items: n_words,
        chunk_items: BATCH_WORDS,
    };
    (0..chunks.count()).map(move |batch| chunks.range(batch).len())
}

/// With more than two seats, each uses the same bits with all others.
pub(super) fn choices(n_computing: usize) -> Choices {
    match n_computing {
        2 => Choices::Random,
        _ => Choices::Given,
    }
}

/// This seat's bits of a batch, where it uses the same ones with several others.
struct OwnBits {
    a: Vec<u64>,
    b: Vec<u64>,
}

/// Makes bit triples.
pub(super) async fn triples(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    for n_words in batches(n_words) {
        let own = (transfers.n_computing() > 2).then(|| OwnBits {
            a: transfers.draw(n_words),
            b: transfers.draw(n_words),
        });
        let (pairs, own) = transfer(transfers, n_words, own).await?;
        stock.add_bit_triples(multiply(transfers, n_words, pairs, own).await?);
    }
    Ok(())
}

/// One random OT of one bit for each triple of a batch, in both directions with every peer.
async fn transfer(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    own: Option<OwnBits>,
) -> Result<(Vec<PairBits>, Option<OwnBits>), ProtocolError> {
    let n_ots = 64 * n_words;
    let mode = choices(transfers.n_computing());
    if transfers.extension == Extension::Ferret {
        let given = own.as_ref().map(|own| own.b.clone());
        let cots = transfers.cots(Pattern::All, n_ots, given, mode).await?;
        let hash = move |pairs: &mut Vec<Pair>| {
            let both = pairs.par_iter().zip(&cots);
            Ok(both.map(|(pair, cots)| hashed(pair, cots)).collect())
        };
        return Ok((transfers.with_pairs(hash).await?, own));
    }
    let extend = move |pairs: &mut Vec<Pair>| {
        let given = own.as_ref().map(|own| own.b.as_slice());
        let extended = pairs
            .par_iter_mut()
            .map(|pair| pair.extend(|receiver| receiver.bits(n_ots, given)));
        let (received, messages): (Vec<_>, Vec<_>) = extended.unzip();
        Ok((received, messages, own))
    };
    let (received, messages, own) = transfers.with_pairs(extend).await?;
    let peers = transfers.pairs.iter();
    let expected: Vec<(Seat, usize)> = peers
        .map(|p| (p.peer, p.extension_bytes(n_ots, mode)))
        .collect();
    let messages = expected.iter().map(|(peer, _)| *peer).zip(messages);

    let incoming = transfers
        .session
        .swap(messages.collect(), &expected)
        .await?;

    let accept = move |pairs: &mut Vec<Pair>| {
        let both = pairs.par_iter_mut().zip(received).zip(incoming);
        both.map(|((pair, received), (_, message))| {
            let sent = pair.accept(&message, |s, bytes| s.bits(n_ots, mode, bytes))?;
            Ok(PairBits { sent, received })
        })
        .collect()
    };
    Ok((transfers.with_pairs(accept).await?, own))
}

/// Random OTs of one bit from correlated ones.
fn hashed(pair: &Pair, cots: &PairCots) -> PairBits {
    let both = "both directions are extended";
    let (sent, received) = (
        cots.sent.as_ref().expect(both),
        cots.received.as_ref().expect(both),
    );
    let (first, rows) = (sent.first, &sent.cots.rows);
    let [[zeros], [ones]] = pair.sender_hash.sender_bits::<1>(first, sent.delta, rows);
    let (first, rows) = (received.first, &received.cots.rows);
    let [chosen] = pair.receiver_hash.receiver_bits::<1>(first, rows);
    PairBits {
        sent: SenderBits { zeros, ones },
        received: ReceiverBits {
            choices: received.cots.choices.clone(),
            chosen,
        },
    }
}

/// Makes triples from a batch of OTs.
async fn multiply(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    pairs: Vec<PairBits>,
    own: Option<OwnBits>,
) -> Result<BitTriples, ProtocolError> {
    let n_ots = 64 * n_words;
    let Some(OwnBits { a, b }) = own else {
        return Ok(triples::between_two(n_ots, &pairs[0]).into());
    };
    let correction = |pair: &PairBits| MaskedBits::new(triples::correction(&a, &pair.sent));
    let corrections = pairs.iter().map(correction).collect();

    let received = transfers
        .session
        .exchange_each(corrections, n_words)
        .await?;

    let words = |(_, message): (Seat, MaskedBits)| {
        let mut f = vec![0; n_words];
        message.xor_to(&mut f);
        f
    };
    let others: Vec<_> = pairs
        .into_iter()
        .zip(received.into_iter().map(words))
        .collect();
    Ok(triples::among_many(n_ots, a, b, &others).into())
}

impl From<triples::BitTriples> for BitTriples {
    fn from(triples: triples::BitTriples) -> Self {
        let triples::BitTriples { a, b, c } = triples;
        Self::new(a.into_words(), b.into_words(), c.into_words())
    }
}

/// Makes pairs of bit triples with a common factor.
pub(super) async fn bit_pairs(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    for n_words in batches(n_words) {
        stock.add_bit_pairs(bit_pairs_batch(transfers, n_words).await?);
    }
    Ok(())
}

/// One OT with one peer: what this seat has as sender, with the differences of its messages, and as
/// receiver.
struct PairOfBits {
    zeros: [Vec<u64>; 2],
    offsets: [Zeroizing<Vec<u64>>; 2],
    chosen: [Vec<u64>; 2],
    choices: Vec<u64>,
}

impl PairOfBits {
    fn of(pair: &Pair, sent: &Sent, received: &Received) -> Self {
        let (first, rows) = (sent.first, &sent.cots.rows);
        let [zeros, ones] = pair.sender_hash.sender_bits::<2>(first, sent.delta, rows);
        let mut offsets = ones.map(Zeroizing::new);
        for (offset, zeros) in offsets.iter_mut().zip(&zeros) {
            bits::xor_assign(offset, zeros);
        }
        let (first, rows) = (received.first, &received.cots.rows);
        let chosen = pair.receiver_hash.receiver_bits::<2>(first, rows);
        Self {
            zeros,
            offsets,
            chosen,
            choices: received.cots.choices.clone(),
        }
    }
}

async fn bit_pairs_batch(
    transfers: &mut Transfers<'_>,
    n_words: usize,
) -> Result<BitPairs, ProtocolError> {
    let n_computing = transfers.n_computing();
    let own = (n_computing > 2).then(|| [(); 3].map(|()| transfers.draw(n_words)));
    let given = own.as_ref().map(|[a, _, _]| a.clone());
    let (pattern, mode) = (Pattern::All, choices(n_computing));
    let cots = transfers.cots(pattern, 64 * n_words, given, mode).await?;
    let hash = move |pairs: &mut Vec<Pair>| {
        let both = pairs.par_iter().zip(&cots);
        let hashed = both.map(|(pair, cots)| {
            let (sent, received) = (cots.sent.as_ref(), cots.received.as_ref());
            let both = "both directions are extended";
            PairOfBits::of(pair, sent.expect(both), received.expect(both))
        });
        Ok(hashed.collect::<Vec<_>>())
    };
    let mut pairs = transfers.with_pairs(hash).await?;
    let (own, corrections) = match own {
        // Two seats need no correction: a are the choices, b and c the differences.
        None => {
            let [b, c] = pairs[0]
                .offsets
                .each_mut()
                .map(|o| std::mem::take(&mut **o));
            ([pairs[0].choices.clone(), b, c], Vec::new())
        }
        Some(own) => {
            let correct = |pair: &PairOfBits| {
                let mut words = [&pair.offsets[0][..], &pair.offsets[1][..]].concat();
                bits::xor_assign(&mut words[..n_words], &own[1]);
                bits::xor_assign(&mut words[n_words..], &own[2]);
                MaskedBits::new(words)
            };
            let messages = pairs.iter().map(correct).collect();
            let session = &mut transfers.session;
            (own, session.exchange_each(messages, 2 * n_words).await?)
        }
    };
    let corrections = corrections.into_iter().map(|(_, message)| {
        let mut words = vec![0; 2 * n_words];
        message.xor_to(&mut words);
        words
    });
    let corrections: Vec<Vec<u64>> = corrections.collect();
    let [a, b, c] = own;
    let product = |of: usize, factor: &[u64]| {
        let mut product = factor.to_vec();
        bits::and_assign(&mut product, &a);
        for pair in &pairs {
            bits::xor_assign(&mut product, &pair.zeros[of]);
            bits::xor_assign(&mut product, &pair.chosen[of]);
        }
        for words in &corrections {
            let words = words[of * n_words..][..n_words].iter().zip(&a);
            for (product, (f, a)) in product.iter_mut().zip(words) {
                *product ^= f & a;
            }
        }
        product
    };
    let (ab, ac) = (product(0, &b), product(1, &c));
    Ok(BitPairs::new([a, b, c, ab, ac]))
}

/// The cost of [`triples`], of `n_bits` = 1, and of [`bit_pairs`], of 2.
pub(super) fn cost(tally: &mut Tally, n_words: usize, n_bits: usize) {
    let mode = choices(tally.n_computing());
    for n_words in batches(n_words) {
        tally.extensions(Pattern::All, 64 * n_words, mode);
        if mode == Choices::Given {
            tally.round(Pattern::All, |_, _| 8 * n_words * n_bits);
        }
    }
}
