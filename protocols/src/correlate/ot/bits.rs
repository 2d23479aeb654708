//! Products of bits: triples, and pairs of them with a common factor.
//!
//! Seat i has bits a_i and b_i, for pairs c_i as well. The product of the sums is the sum of all a_i∧b_j.
//! Seat i computes a_i∧b_i alone. For the others there is one OT from j to i for every bit, in which a_i
//! is the choice, with messages m_0, m_1 of one bit for each other factor:
//!
//! ```text
//! x = m_0 ⊕ m_1,   y = m_{a_i} = m_0 ⊕ x∧a_i         so  m_0 ⊕ y = x∧a_i
//! seat j sends f = x ⊕ b_j                            so  m_0 ⊕ (y ⊕ f∧a_i) = b_j∧a_i
//! ```
//!
//! Two seats have one OT in each direction, so b_j can be what x is, a_i can be the random choice, and f
//! is not sent. With more seats a_i and b_j have to be the same in several OTs: each seat draws its own,
//! uses a_i as given choices, which costs one bit more in the extension, and answers every extension
//! with f, which says nothing about b_j, because x contains the message that seat i did not choose.
//!
//! Beaver, CRYPTO '91, for triples; Goldreich, Micali, Wigderson, STOC '87, for products from OT.

use super::flow::{Flow, Incoming, Plan};
use super::pairs::{Pair, Pattern, Transfers};
use super::tally::Tally;
use crate::correlate::{BitPairs, BitTriples, Stock};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::wire::xor_bytes;
use engine::bits;
use engine::ot::extend::Choices;
use engine::prg::{Prg, Seed};
use engine::ring;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// Words in one batch: 2^18 OTs, and a message of about 1 MiB.
const BATCH_WORDS: usize = 1 << 12;

/// With more than two seats, each uses the same bits with all others.
pub(super) fn choices(n_computing: usize) -> Choices {
    match n_computing {
        2 => Choices::Random,
        _ => Choices::Given,
    }
}

fn plan(n_computing: usize, n_words: usize, n_factors: usize) -> Plan {
    let starts = (0..n_words).step_by(BATCH_WORDS);
    let words: Vec<usize> = starts.map(|at| BATCH_WORDS.min(n_words - at)).collect();
    let answers = match n_computing {
        2 => Vec::new(),
        _ => words.iter().map(|n| 8 * n * n_factors).collect(),
    };
    Plan {
        pattern: Pattern::All,
        mode: choices(n_computing),
        n_ots: words.iter().map(|n| 64 * n).collect(),
        answers,
    }
}

/// Packed bits that are wiped.
type Words = Zeroizing<Vec<u64>>;

/// Makes products of a with `K` other factors.
struct Products<const K: usize> {
    plan: Plan,
    prg: Prg,
    /// Batches that are not finished, the first one's number, and those that are.
    open: VecDeque<Batch<K>>,
    first: usize,
    done: Vec<Batch<K>>,
}

/// One seat's shares.
struct Batch<const K: usize> {
    a: Words,
    factors: [Words; K],
    products: [Words; K],
}

impl<const K: usize> Products<K> {
    fn new(transfers: &mut Transfers<'_>, n_words: usize) -> Self {
        Self {
            plan: plan(transfers.n_computing(), n_words, K),
            prg: Prg::new(&Seed::random(&mut transfers.prg), 0),
            open: VecDeque::new(),
            first: 0,
            done: Vec::new(),
        }
    }

    fn draw(&mut self, n_words: usize) -> Words {
        let mut words = Zeroizing::new(vec![0; n_words]);
        self.prg.fill_ring(&mut words);
        words
    }

    fn between_two(&self) -> bool {
        self.plan.answers.is_empty()
    }

    fn end(&mut self) {
        self.done.extend(self.open.pop_front());
        self.first += 1;
    }
}

impl<const K: usize> Flow for Products<K> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)> {
        let n_ots = self.plan.n_ots[batch];
        let zeros = || [(); K].map(|()| Zeroizing::new(vec![0; n_ots / 64]));
        let mut open = Batch {
            a: Words::default(),
            factors: zeros(),
            products: zeros(),
        };
        if !self.between_two() {
            open.a = self.draw(n_ots / 64);
            open.factors = [(); K].map(|()| self.draw(n_ots / 64));
        }
        let mut messages = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let given = (!self.between_two()).then_some(&open.a[..]);
            let (chosen, choices, message) = pair.receive(n_ots, given, |(hasher, first), rows| {
                hasher.receiver_bits::<K>(first, rows)
            });
            for (product, chosen) in open.products.iter_mut().zip(chosen.map(Zeroizing::new)) {
                bits::xor_assign(product, &chosen);
            }
            if self.between_two() {
                open.a = Zeroizing::new(choices);
            }
            messages.push((pair.peer, message));
        }
        self.open.push_back(open);
        messages
    }

    fn answer(
        &mut self,
        batch: usize,
        pairs: &mut [Pair],
        extensions: &Incoming,
    ) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError> {
        let (n_ots, mode) = (self.plan.n_ots[batch], self.plan.mode);
        let between_two = self.between_two();
        let open = &mut self.open[batch - self.first];
        let mut answers = Vec::new();
        for pair in pairs {
            let message = extensions.from(pair.peer);
            let [zeros, ones] =
                pair.send(n_ots, mode, message, |(hasher, first), delta, rows| {
                    hasher.sender_bits::<K>(first, delta, rows)
                })?;
            let mut corrections = Vec::new();
            let all = zeros.into_iter().zip(ones);
            for ((at, (zeros, ones)), product) in all.enumerate().zip(&mut open.products) {
                let (zeros, mut offsets) = (Zeroizing::new(zeros), Zeroizing::new(ones));
                bits::xor_assign(&mut offsets, &zeros);
                bits::xor_assign(product, &zeros);
                if between_two {
                    open.factors[at] = offsets;
                } else {
                    bits::xor_assign(&mut offsets, &open.factors[at]);
                    corrections.extend_from_slice(&offsets);
                }
            }
            answers.push((pair.peer, ring::as_bytes(&corrections).to_vec()));
        }
        // What this seat has of both factors.
        for (product, factor) in open.products.iter_mut().zip(&open.factors) {
            let mut own = factor.clone();
            bits::and_assign(&mut own, &open.a);
            bits::xor_assign(product, &own);
        }
        if between_two {
            self.end();
            return Ok(Vec::new());
        }
        Ok(answers)
    }

    fn finish(&mut self, batch: usize, answers: &Incoming) -> Result<(), ProtocolError> {
        let n_words = self.plan.n_ots[batch] / 64;
        let open = self.open.front_mut().expect("this batch is not finished");
        for (_, message) in answers.all() {
            let mut f = vec![0; K * n_words];
            xor_bytes(&mut f, message);
            for (product, f) in open.products.iter_mut().zip(f.chunks_exact(n_words)) {
                for ((product, f), a) in product.iter_mut().zip(f).zip(&*open.a) {
                    *product ^= f & a;
                }
            }
        }
        self.end();
        Ok(())
    }
}

/// Makes bit triples.
pub(super) async fn triples(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flow = Products::<1>::new(transfers, n_words);
    for mut batch in transfers.run(flow).await?.done {
        let [mut b] = batch.factors;
        let [mut c] = batch.products;
        let [a, b, c] = [&mut batch.a, &mut b, &mut c].map(|words| std::mem::take(&mut **words));
        stock.add_bit_triples(BitTriples::new(a, b, c));
    }
    Ok(())
}

/// Makes pairs of bit triples with a common factor.
pub(super) async fn bit_pairs(
    transfers: &mut Transfers<'_>,
    n_words: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flow = Products::<2>::new(transfers, n_words);
    for mut batch in transfers.run(flow).await?.done {
        let [mut b, mut c] = batch.factors;
        let [mut ab, mut ac] = batch.products;
        let columns = [&mut batch.a, &mut b, &mut c, &mut ab, &mut ac];
        stock.add_bit_pairs(BitPairs::new(columns.map(|w| std::mem::take(&mut **w))));
    }
    Ok(())
}

/// The cost of [`triples`], with one factor besides a, and of [`bit_pairs`], with two.
pub(super) fn cost(tally: &mut Tally, n_words: usize, n_factors: usize) {
    tally.flow(&plan(tally.n_computing(), n_words, n_factors));
}
