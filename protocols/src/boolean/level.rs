//! One level of a circuit: ANDs over whole columns, all in one round.

use crate::correlate::{BitPairs, BitTriples, Needs, Stock};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::boolean::BitShare;
use std::ops::Range;
use zeroize::Zeroize;

/// How many gates a level has, each over all lanes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gates {
    /// ANDs of two vectors: 2 bits of a lane are opened for each.
    pub(crate) singles: usize,
    /// ANDs of one vector with two others: 3 bits, where two singles would open 4.
    pub(crate) pairs: usize,
}

impl Gates {
    pub(crate) fn singles(singles: usize) -> Self {
        Self { singles, pairs: 0 }
    }

    fn layout(self, n_lanes: usize) -> Layout {
        Layout {
            n_lanes,
            elements: 0,
            words: 2 * self.singles + 3 * self.pairs,
        }
    }

    fn needs(self, n_lanes: usize) -> Needs {
        let n_words = bits::words_for(n_lanes);
        Needs::of_bit_triple_words(self.singles * n_words)
            + Needs::of_bit_pair_words(self.pairs * n_words)
    }

    /// The declared price of the level: one round.
    pub(crate) fn price(self, seats: Seats, n_lanes: usize) -> Price {
        Price {
            needs: self.needs(n_lanes),
            cost: self.layout(n_lanes).cost::<u64>(seats),
        }
    }
}

/// A level that is being put together. Vectors are words of a whole batch; bits past the last lane
/// may be anything.
pub(crate) struct Level<'a> {
    n_lanes: usize,
    n_words: usize,
    singles: Vec<[&'a [u64]; 2]>,
    pairs: Vec<[&'a [u64]; 3]>,
}

impl<'a> Level<'a> {
    pub(crate) fn new(n_lanes: usize) -> Self {
        Self {
            n_lanes,
            n_words: bits::words_for(n_lanes),
            singles: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Adds x∧y.
    pub(crate) fn and(&mut self, x: &'a [u64], y: &'a [u64]) {
        assert!(
            x.len() == self.n_words && y.len() == self.n_words,
            "a gate takes whole vectors"
        );
        self.singles.push([x, y]);
    }

    /// Adds x∧y and x∧z.
    pub(crate) fn and_both(&mut self, x: &'a [u64], y: &'a [u64], z: &'a [u64]) {
        assert!(
            [x, y, z].iter().all(|v| v.len() == self.n_words),
            "a gate takes whole vectors"
        );
        self.pairs.push([x, y, z]);
    }

    fn gates(&self) -> Gates {
        Gates {
            singles: self.singles.len(),
            pairs: self.pairs.len(),
        }
    }

    /// Runs the level.
    ///
    /// A single has a triple (a, b, c = a∧b). Opened are d = x⊕a and e = y⊕b, and
    /// x∧y = c ⊕ d∧b ⊕ e∧a ⊕ d∧e. The two ANDs of a pair have the same x and the same a, so that d
    /// is opened once.
    pub(crate) async fn run(
        self,
        session: &mut Session,
        stock: &mut Stock,
    ) -> Result<Products, ProtocolError> {
        let gates = self.gates();
        session.ended_by(stock.check(&gates.needs(self.n_lanes)))?;
        let n = self.n_words;
        let words = [gates.singles * n, gates.pairs * n];
        stock.supply(session, words[0], words[1]).await?;
        let mut triples = session.ended_by(stock.batch_bit_triples(words[0]))?;
        let mut pairs = session.ended_by(stock.batch_bit_pairs(words[1]))?;
        let mut products = Products::zero(n, gates);
        let is_first = session.seat() == Seat(0);
        let mask = |lanes: Range<usize>, _: &mut [u64], mut out: &mut [u64]| {
            let words = lanes::columns(&lanes);
            let len = words.len();
            let triples = triples.next(gates.singles * len);
            let (a, b, _) = triples.as_words();
            for (gate, [x, y]) in self.singles.iter().enumerate() {
                let own = gate * len..(gate + 1) * len;
                mask_next(&mut out, &x[words.clone()], &a[own.clone()]);
                mask_next(&mut out, &y[words.clone()], &b[own]);
            }
            let pairs = pairs.next(gates.pairs * len);
            let [a, b, c, ..] = pairs.as_words();
            for (gate, [x, y, z]) in self.pairs.iter().enumerate() {
                let own = gate * len..(gate + 1) * len;
                mask_next(&mut out, &x[words.clone()], &a[own.clone()]);
                mask_next(&mut out, &y[words.clone()], &b[own.clone()]);
                mask_next(&mut out, &z[words.clone()], &c[own]);
            }
            (triples, pairs)
        };
        type Kept = (BitTriples, BitPairs);
        let take = |lanes: Range<usize>, (triples, pairs): Kept, _: &[u64], opened: &[u64]| {
            let words = lanes::columns(&lanes);
            let len = words.len();
            let (single_parts, pair_parts) = opened.split_at(gates.singles * 2 * len);
            let (a, b, c) = triples.as_words();
            for (gate, opened) in single_parts.chunks_exact(2 * len.max(1)).enumerate() {
                let (d, e) = opened.split_at(len);
                let own = gate * len..(gate + 1) * len;
                let triple = [&a[own.clone()], &b[own.clone()], &c[own]];
                let out = &mut products.words[at(gate, n, &words)];
                multiply(out, [d, e], triple, is_first);
            }
            let [a, b, c, ab, ac] = pairs.as_words();
            for (gate, opened) in pair_parts.chunks_exact(3 * len.max(1)).enumerate() {
                let (d, rest) = opened.split_at(len);
                let (e, f) = rest.split_at(len);
                let own = gate * len..(gate + 1) * len;
                let first = [&a[own.clone()], &b[own.clone()], &ab[own.clone()]];
                let second = [&a[own.clone()], &c[own.clone()], &ac[own]];
                let at_pair = gates.singles + 2 * gate;
                multiply(
                    &mut products.words[at(at_pair, n, &words)],
                    [d, e],
                    first,
                    is_first,
                );
                multiply(
                    &mut products.words[at(at_pair + 1, n, &words)],
                    [d, f],
                    second,
                    is_first,
                );
            }
        };
        lanes::open(session, gates.layout(self.n_lanes), mask, take).await?;
        Ok(products)
    }
}

/// The place of some words of a vector in a row of vectors.
fn at(vector: usize, n_words: usize, words: &Range<usize>) -> Range<usize> {
    vector * n_words + words.start..vector * n_words + words.end
}

/// Writes `values` ⊕ `mask` to the beginning of `out`, and moves on.
fn mask_next(out: &mut &mut [u64], values: &[u64], mask: &[u64]) {
    let (next, rest) = std::mem::take(out).split_at_mut(values.len());
    for ((out, value), mask) in next.iter_mut().zip(values).zip(mask) {
        *out = value ^ mask;
    }
    *out = rest;
}

/// x∧y of Beaver's method.
fn multiply(out: &mut [u64], [d, e]: [&[u64]; 2], [a, b, c]: [&[u64]; 3], is_first: bool) {
    let both = if is_first { u64::MAX } else { 0 };
    let opened = d.iter().zip(e);
    let triple = a.iter().zip(b).zip(c);
    for ((out, (d, e)), ((a, b), c)) in out.iter_mut().zip(opened).zip(triple) {
        *out = c ^ (d & (b ^ (e & both))) ^ (e & a);
    }
}

/// The shared products of a level, one vector after another: those of singles, then two a pair.
pub(crate) struct Products {
    n_words: usize,
    n_singles: usize,
    words: Vec<u64>,
}

impl Products {
    fn zero(n_words: usize, gates: Gates) -> Self {
        Self {
            n_words,
            n_singles: gates.singles,
            words: vec![0; (gates.singles + 2 * gates.pairs) * n_words],
        }
    }

    /// The product of the single that was added as number `gate`.
    pub(crate) fn single(&self, gate: usize) -> &[u64] {
        &self.words[gate * self.n_words..][..self.n_words]
    }

    /// The two products of a pair.
    pub(crate) fn pair(&self, gate: usize) -> (&[u64], &[u64]) {
        let both = &self.words[(self.n_singles + 2 * gate) * self.n_words..][..2 * self.n_words];
        both.split_at(self.n_words)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// A batch of shared numbers, bit by bit: vectors one after another in one piece of memory.
pub(crate) struct Planes {
    n_lanes: usize,
    n_words: usize,
    words: Vec<u64>,
}

impl Planes {
    pub(crate) fn zero(n_lanes: usize, n_planes: usize) -> Self {
        let n_words = bits::words_for(n_lanes);
        Self {
            n_lanes,
            n_words,
            words: vec![0; n_planes * n_words],
        }
    }

    pub(crate) fn n_lanes(&self) -> usize {
        self.n_lanes
    }

    pub(crate) fn n_words(&self) -> usize {
        self.n_words
    }

    pub(crate) fn plane(&self, i: usize) -> &[u64] {
        &self.words[i * self.n_words..][..self.n_words]
    }

    pub(crate) fn plane_mut(&mut self, i: usize) -> &mut [u64] {
        &mut self.words[i * self.n_words..][..self.n_words]
    }

    /// Plane `from` takes the place of plane `to`.
    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let from = from * self.n_words..(from + 1) * self.n_words;
        self.words.copy_within(from, to * self.n_words);
    }

    /// One plane as a share.
    pub(crate) fn share(&self, i: usize) -> BitShare {
        BitShare::from_words(self.n_lanes, self.plane(i).to_vec())
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}
