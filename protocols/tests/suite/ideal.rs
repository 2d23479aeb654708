//! The ideal source, for tests alone: every seat's correlations are made in the clear from one
//! seed. And the checker, for any source: it adds all seats' stocks up, and holds each correlation
//! to its equation.

use crate::world::{prg, random_vec};
use engine::bits;
use engine::prg::Prg;
use engine::ring::{self, Ring};
use engine::share::boolean::BitShare;
use engine::share::{self, Share};
use protocols::correlate::{
    BitPairs, BitTriples, DaBits, EdaBits, MatrixShape, MatrixTriple, Muxes, Needs,
    PermutationNeed, PermutationShare, RowShares, Scalings, SecretPermutation, Stock, StockedRing,
    Tables, Triples, Truncs,
};
use protocols::error::ProtocolError;
use std::collections::HashSet;

/// The stocks of all computing seats: exactly these needs, in whole words.
pub(crate) fn stocks(n_computing: usize, needs: &Needs, seed: u64) -> Vec<Stock> {
    let mut ideal = Ideal {
        n_computing,
        prg: prg(seed ^ 0x1dea_1dea),
        stocks: (0..n_computing).map(|_| Stock::empty()).collect(),
    };
    ideal.bits(needs);
    if needs.tables > 0 {
        ideal.tables(needs.tables as usize);
    }
    ideal.ring::<u64>(needs);
    ideal.ring::<u128>(needs);
    for need in &needs.permutations {
        ideal.permutation(*need);
    }
    ideal.stocks
}

struct Ideal {
    n_computing: usize,
    prg: Prg,
    stocks: Vec<Stock>,
}

impl Ideal {
    fn random<R: Ring>(&mut self, n_items: usize) -> Vec<R> {
        random_vec(&mut self.prg, n_items)
    }

    fn split<R: Ring>(&mut self, values: &[R]) -> Vec<Share<R>> {
        share::split(values.to_vec(), self.n_computing, &mut self.prg)
    }

    fn split_words(&mut self, words: &[u64]) -> Vec<Vec<u64>> {
        let mut last = words.to_vec();
        let mut parts = Vec::new();
        for _ in 1..self.n_computing {
            let part: Vec<u64> = self.random(words.len());
            bits::xor_assign(&mut last, &part);
            parts.push(part);
        }
        parts.push(last);
        parts
    }

    fn split_bits(&mut self, n_bits: usize, words: &[u64]) -> Vec<BitShare> {
        let parts = self.split_words(words).into_iter();
        parts.map(|p| BitShare::from_words(n_bits, p)).collect()
    }

    /// Gives every seat what `add` makes of its number.
    fn give(&mut self, mut add: impl FnMut(&mut Stock)) {
        for stock in &mut self.stocks {
            add(stock);
        }
    }

    fn bits(&mut self, needs: &Needs) {
        let n_words = needs.bit_triple_words();
        let (a, b): (Vec<u64>, Vec<u64>) = (self.random(n_words), self.random(n_words));
        let mut parts =
            [a.clone(), b.clone(), and(&a, &b)].map(|v| self.split_words(&v).into_iter());
        self.give(|stock| {
            let [a, b, c] = each(&mut parts);
            stock.add_bit_triples(BitTriples::new(a, b, c));
        });

        let n_words = needs.bit_pair_words();
        let (a, b, c): (Vec<u64>, Vec<u64>, Vec<u64>) = (
            self.random(n_words),
            self.random(n_words),
            self.random(n_words),
        );
        let (ab, ac) = (and(&a, &b), and(&a, &c));
        let mut parts = [a, b, c, ab, ac].map(|v| self.split_words(&v).into_iter());
        self.give(|stock| stock.add_bit_pairs(BitPairs::new(each(&mut parts))));
    }

    /// Two seats' alone: tables at the first, entries of them at the second, among bits of no meaning.
    fn tables(&mut self, n_tables: usize) {
        let tables: Vec<u32> = self
            .random(n_tables)
            .into_iter()
            .map(|w: u64| w as u32)
            .collect();
        let others: Vec<u64> = self.random(n_tables);
        let entry = |(table, other): (&u32, &u64)| {
            let index = (other >> 32 & 15) as u8;
            let noise = *other as u32 & !(3 << (2 * index));
            (table & 3 << (2 * index) | noise, index)
        };
        let (words, indices) = tables.iter().zip(&others).map(entry).unzip();
        self.stocks[0].add_tables(Tables::new(tables, vec![0; n_tables]));
        self.stocks[1].add_tables(Tables::new(words, indices));
    }

    fn ring<R: StockedRing>(&mut self, needs: &Needs) {
        let needs = needs.ring::<R>().clone();
        self.triples::<R>(needs.triples as usize);
        self.dabits::<R>(needs.dabits as usize);
        self.edabits::<R>(needs.edabits as usize);
        self.muxes::<R>(needs.muxes as usize);
        for (frac_bits, n_items) in needs.truncs {
            self.truncs::<R>(frac_bits, n_items as usize);
        }
        for (n_columns, n_items) in needs.scalings {
            self.scalings::<R>(n_columns, n_items as usize);
        }
        for shape in needs.matrices {
            self.matrix::<R>(shape);
        }
    }

    fn triples<R: StockedRing>(&mut self, n_items: usize) {
        let (a, b): (Vec<R>, Vec<R>) = (self.random(n_items), self.random(n_items));
        let c = mul(&a, &b);
        let mut parts = [a, b, c].map(|v| self.split(&v).into_iter());
        self.give(|stock| {
            let [a, b, c] = each(&mut parts);
            stock.add_triples(Triples { a, b, c });
        });
    }

    fn random_bits<R: Ring>(&mut self, n_items: usize) -> (Vec<u64>, Vec<R>) {
        let mut words: Vec<u64> = self.random(bits::words_for(n_items));
        bits::clear_tail(&mut words, n_items);
        let arith = as_ring(&words, n_items);
        (words, arith)
    }

    fn dabits<R: StockedRing>(&mut self, n_items: usize) {
        let (words, arith) = self.random_bits::<R>(n_items);
        let mut bits = self.split_bits(n_items, &words).into_iter();
        let mut arith = self.split(&arith).into_iter();
        self.give(|stock| {
            stock.add_dabits(DaBits {
                bits: bits.next().expect("a part"),
                arith: arith.next().expect("a part"),
            });
        });
    }

    fn edabits<R: StockedRing>(&mut self, n_items: usize) {
        let r: Vec<R> = self.random(n_items);
        let planes = (0..R::BITS).map(|i| self.split_bits(n_items, &plane(&r, i)).into_iter());
        let mut planes: Vec<_> = planes.collect();
        let mut r = self.split(&r).into_iter();
        self.give(|stock| {
            stock.add_edabits(EdaBits {
                r: r.next().expect("a part"),
                planes: planes
                    .iter_mut()
                    .map(|p| p.next().expect("a part"))
                    .collect(),
            });
        });
    }

    fn muxes<R: StockedRing>(&mut self, n_items: usize) {
        let (words, arith) = self.random_bits::<R>(n_items);
        let a: Vec<R> = self.random(n_items);
        let product = mul(&arith, &a);
        let mut bits = self.split_bits(n_items, &words).into_iter();
        let mut parts = [arith, a, product].map(|v| self.split(&v).into_iter());
        self.give(|stock| {
            let [bits_arith, a, bits_times_a] = each(&mut parts);
            stock.add_muxes(Muxes {
                bits: bits.next().expect("a part"),
                bits_arith,
                a,
                bits_times_a,
            });
        });
    }

    fn truncs<R: StockedRing>(&mut self, frac_bits: u32, n_items: usize) {
        let r: Vec<R> = self.random(n_items);
        let u = r.iter().map(|r| upper(*r, frac_bits)).collect();
        let top = r.iter().map(|r| bit(*r, R::BITS - 1)).collect();
        let mut parts = [r.clone(), u, top].map(|v| self.split(&v).into_iter());
        self.give(|stock| {
            let [r, u, top] = each(&mut parts);
            stock.add_truncs(frac_bits, Truncs { r, u, top });
        });
    }

    fn scalings<R: StockedRing>(&mut self, n_columns: usize, n_items: usize) {
        let factor: Vec<R> = self.random(n_items);
        let columns: Vec<Vec<R>> = (0..n_columns).map(|_| self.random(n_items)).collect();
        let products = columns.iter().map(|column| mul(&factor, column));
        let all: Vec<Vec<R>> = [factor.clone()]
            .into_iter()
            .chain(columns.iter().cloned())
            .chain(products)
            .collect();
        let mut parts: Vec<_> = all.iter().map(|v| self.split(v).into_iter()).collect();
        self.give(|stock| {
            let mut parts = parts.iter_mut().map(|p| p.next().expect("a part"));
            stock.add_scalings(Scalings {
                factor: parts.next().expect("the factor"),
                columns: parts.by_ref().take(n_columns).collect(),
                products: parts.collect(),
            });
        });
    }

    fn matrix<R: StockedRing>(&mut self, shape: MatrixShape) {
        let a: Vec<R> = self.random(shape.left_len());
        let b: Vec<R> = self.random(shape.right_len());
        let c = matmul(shape, &a, &b);
        let mut parts = [a, b, c].map(|v| self.split(&v).into_iter());
        self.give(|stock| {
            let [a, b, c] = each(&mut parts);
            stock.add_matrix(shape, MatrixTriple { a, b, c });
        });
    }

    /// The owner has no part of A: it is split among the others, and π(A) among all.
    fn permutation(&mut self, need: PermutationNeed) {
        let order = SecretPermutation::random(need.n_rows, &mut self.prg);
        let sources = order.sources().to_vec();
        let move_rows = |rows: &[u64]| SecretPermutation::new(sources.clone()).apply(rows);
        let n_computing = self.n_computing;
        let tables = |n: usize| (0..n).map(|_| RowShares::default()).collect::<Vec<_>>();
        let (mut before, mut after) = (tables(n_computing - 1), tables(n_computing));
        for _ in 0..need.n_words {
            let a: Vec<u64> = self.random(need.n_rows);
            let permuted = move_rows(&a);
            self.n_computing = n_computing - 1;
            let parts = self.split_bits(64 * need.n_rows, &a);
            before
                .iter_mut()
                .zip(parts)
                .for_each(|(t, p)| t.words.push(p));
            self.n_computing = n_computing;
            let parts = self.split_bits(64 * need.n_rows, &permuted);
            after
                .iter_mut()
                .zip(parts)
                .for_each(|(t, p)| t.words.push(p));
        }
        for _ in 0..need.n_ring64 {
            let (a, b) = self.ring_column::<u64>(need, &sources);
            before.iter_mut().zip(a).for_each(|(t, p)| t.ring64.push(p));
            after.iter_mut().zip(b).for_each(|(t, p)| t.ring64.push(p));
        }
        for _ in 0..need.n_ring128 {
            let (a, b) = self.ring_column::<u128>(need, &sources);
            before
                .iter_mut()
                .zip(a)
                .for_each(|(t, p)| t.ring128.push(p));
            after.iter_mut().zip(b).for_each(|(t, p)| t.ring128.push(p));
        }
        let mut before = before.into_iter();
        for (seat, after) in after.into_iter().enumerate() {
            let is_owner = seat == need.owner.index();
            let share = PermutationShare {
                permutation: is_owner.then(|| SecretPermutation::new(sources.clone())),
                before: (!is_owner).then(|| before.next().expect("a part")),
                after,
            };
            self.stocks[seat].add_permutation(need, share);
        }
    }

    fn ring_column<R: Ring>(
        &mut self,
        need: PermutationNeed,
        sources: &[u32],
    ) -> (Vec<Share<R>>, Vec<Share<R>>) {
        let a: Vec<R> = self.random(need.n_rows);
        let permuted: Vec<R> = sources.iter().map(|s| a[*s as usize]).collect();
        let before = share::split(a, self.n_computing - 1, &mut self.prg);
        (before, self.split(&permuted))
    }
}

/// The next part of each.
fn each<T, const N: usize>(parts: &mut [impl Iterator<Item = T>; N]) -> [T; N] {
    parts
        .each_mut()
        .map(|p| p.next().expect("a part for each seat"))
}

fn and(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a & b).collect()
}

fn mul<R: Ring>(a: &[R], b: &[R]) -> Vec<R> {
    a.iter().zip(b).map(|(a, b)| a.wrapping_mul(*b)).collect()
}

fn matmul<R: Ring>(shape: MatrixShape, a: &[R], b: &[R]) -> Vec<R> {
    let mut c = vec![R::ZERO; shape.product_len()];
    for i in 0..shape.m {
        for l in 0..shape.k {
            for j in 0..shape.n {
                let product = a[i * shape.k + l].wrapping_mul(b[l * shape.n + j]);
                let c = &mut c[i * shape.n + j];
                *c = c.wrapping_add(product);
            }
        }
    }
    c
}

fn as_ring<R: Ring>(words: &[u64], n_items: usize) -> Vec<R> {
    let bits = bits::unpack(words, n_items).into_iter();
    bits.map(|b| R::from_u64(u64::from(b))).collect()
}

/// The value as a number of 128 bits.
fn number<R: Ring>(value: R) -> u128 {
    let mut bytes = [0; 16];
    value.write_le(&mut bytes[..R::BYTES]);
    u128::from_le_bytes(bytes)
}

fn ring_element<R: Ring>(number: u128) -> R {
    R::read_le(&number.to_le_bytes()[..R::BYTES])
}

fn bit<R: Ring>(value: R, index: u32) -> R {
    ring_element(number(value) >> index & 1)
}

/// (r mod 2^(k−1)) >> f.
fn upper<R: Ring>(r: R, frac_bits: u32) -> R {
    let low = number(r) & ((1 << (R::BITS - 1)) - 1);
    ring_element(low >> frac_bits)
}

fn plane<R: Ring>(values: &[R], index: u32) -> Vec<u64> {
    let bits: Vec<bool> = values
        .iter()
        .map(|v| number(*v) >> index & 1 == 1)
        .collect();
    bits::pack(&bits)
}

/// Takes everything out of all seats' stocks and checks it. The stocks must hold exactly `needs`,
/// in whole words.
pub(crate) fn check(needs: &Needs, mut stocks: Vec<Stock>) {
    let stocks = &mut stocks[..];
    for stock in stocks.iter() {
        assert_whole_words(needs, &stock.left());
        stock.check(needs).expect("enough of everything");
    }
    check_bits(needs, stocks);
    if needs.tables > 0 {
        check_tables(needs.tables as usize, stocks);
    }
    check_ring::<u64>(needs, stocks);
    check_ring::<u128>(needs, stocks);
    for need in &needs.permutations {
        check_permutation(*need, stocks);
    }
    for stock in stocks {
        assert!(stock.left().is_nothing(), "what was taken is gone");
    }
}

fn assert_whole_words(needs: &Needs, left: &Needs) {
    let rounded = Needs {
        bit_triples: needs.bit_triple_words() as u64 * 64,
        bit_pairs: needs.bit_pair_words() as u64 * 64,
        ..needs.clone()
    };
    assert_eq!(rounded, *left, "a stock holds what is needed");
}

/// The same part of every seat.
fn take_all<T>(
    stocks: &mut [Stock],
    take: impl Fn(&mut Stock) -> Result<T, ProtocolError>,
) -> Vec<T> {
    stocks
        .iter_mut()
        .map(|s| take(s).expect("enough"))
        .collect()
}

fn xor_all<'a>(parts: impl Iterator<Item = &'a [u64]>) -> Vec<u64> {
    let parts: Vec<&[u64]> = parts.collect();
    assert_fresh(parts.iter().flat_map(|p| p.iter().map(|w| u128::from(*w))));
    let mut sum = vec![0; parts[0].len()];
    parts.iter().for_each(|p| bits::xor_assign(&mut sum, p));
    sum
}

fn add_all<'a, R: Ring>(parts: impl Iterator<Item = &'a Share<R>>) -> Vec<R> {
    let parts: Vec<&Share<R>> = parts.collect();
    assert_fresh(
        parts
            .iter()
            .flat_map(|p| p.as_slice().iter().map(|v| number(*v))),
    );
    let mut sum = vec![R::ZERO; parts[0].len()];
    let add = |p: &&Share<R>| ring::add_assign(&mut sum, p.as_slice());
    parts.iter().for_each(add);
    sum
}

/// No share occurs twice, at one seat or at two. Vectors whose last word is cut off are too short
/// to say it of them, and 64-bit words do not collide by chance.
fn assert_fresh(values: impl Iterator<Item = u128>) {
    let values: Vec<u128> = values.filter(|v| *v >> 32 != 0).collect();
    let distinct: HashSet<u128> = values.iter().copied().collect();
    assert_eq!(distinct.len(), values.len(), "a share occurs twice");
}

/// Random words: none occurs twice, and half the bits are ones.
fn assert_random(what: &str, words: &[u64]) {
    let whole = &words[..words.len().saturating_sub(1)];
    let distinct: HashSet<u64> = whole.iter().copied().collect();
    assert_eq!(distinct.len(), whole.len(), "{what} repeats itself");
    let ones: u32 = whole.iter().map(|w| w.count_ones()).sum();
    let expected = 32.0 * whole.len() as f64;
    let deviation = (f64::from(ones) - expected).abs();
    assert!(
        deviation <= 3.0 * expected.sqrt().max(8.0),
        "{what}: {ones} ones of {expected}"
    );
}

fn assert_random_ring<R: Ring>(what: &str, values: &[R]) {
    let low = values.iter().map(|v| number(*v) as u64);
    let high = values.iter().map(|v| (number(*v) >> (R::BITS - 64)) as u64);
    let mut words: Vec<u64> = low.collect();
    if R::BITS == 128 {
        words.extend(high);
    }
    words.push(0);
    assert_random(what, &words);
}

fn check_bits(needs: &Needs, stocks: &mut [Stock]) {
    let n_words = needs.bit_triple_words();
    let parts = take_all(stocks, |s| s.take_bit_triples(n_words));
    let [a, b, c] = [0, 1, 2].map(|i| {
        xor_all(parts.iter().map(|p| {
            let (a, b, c) = p.as_words();
            [a, b, c][i]
        }))
    });
    assert_eq!(and(&a, &b), c, "bit triples");
    assert_random("a and b of bit triples", &[a, b, vec![0]].concat());

    let n_words = needs.bit_pair_words();
    let parts = take_all(stocks, |s| s.take_bit_pairs(n_words));
    let [a, b, c, ab, ac] = [0, 1, 2, 3, 4].map(|i| xor_all(parts.iter().map(|p| p.as_words()[i])));
    assert_eq!(and(&a, &b), ab, "bit pairs, first");
    assert_eq!(and(&a, &c), ac, "bit pairs, second");
    assert_random("a, b and c of bit pairs", &[a, b, c, vec![0]].concat());
}

fn check_tables(n_tables: usize, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_tables(n_tables));
    let [(tables, _), (words, indices)] = [0, 1].map(|seat: usize| parts[seat].as_parts());
    for (at, ((table, word), index)) in tables.iter().zip(words).zip(indices).enumerate() {
        assert!(*index < 16, "an index of four bits");
        let entry = |word: u32| word >> (2 * index) & 3;
        assert_eq!(entry(*table), entry(*word), "entry of table {at}");
    }
    let packed = |words: &[u32]| -> Vec<u64> {
        let pairs = words.chunks_exact(2);
        let pairs = pairs.map(|p| u64::from(p[1]) << 32 | u64::from(p[0]));
        pairs.chain([0]).collect()
    };
    assert_random("tables", &packed(tables));
    assert_random("words of entries", &packed(words));
    let eight = indices.chunks_exact(8);
    let eight: Vec<u32> = eight
        .map(|i| i.iter().fold(0, |word, i| word << 4 | u32::from(*i)))
        .collect();
    assert_random("indices of tables", &packed(&eight));
}

fn check_ring<R: StockedRing>(needs: &Needs, stocks: &mut [Stock]) {
    let needs = needs.ring::<R>();
    let n_items = needs.triples as usize;
    let parts = take_all(stocks, |s| s.take_triples::<R>(n_items));
    let a = add_all(parts.iter().map(|p| &p.a));
    let b = add_all(parts.iter().map(|p| &p.b));
    assert_eq!(mul(&a, &b), add_all(parts.iter().map(|p| &p.c)), "triples");
    assert_random_ring("a and b of triples", &[a, b].concat());

    let n_items = needs.dabits as usize;
    let parts = take_all(stocks, |s| s.take_dabits::<R>(n_items));
    let bits = xor_all(parts.iter().map(|p| p.bits.as_words()));
    let arith = add_all(parts.iter().map(|p| &p.arith));
    assert_eq!(as_ring::<R>(&bits, n_items), arith, "doubly shared bits");
    assert_random("doubly shared bits", &bits);

    check_edabits::<R>(needs.edabits as usize, stocks);
    check_muxes::<R>(needs.muxes as usize, stocks);
    for (frac_bits, n_items) in &needs.truncs {
        check_truncs::<R>(*frac_bits, *n_items as usize, stocks);
    }
    for (n_columns, n_items) in &needs.scalings {
        check_scalings::<R>(*n_columns, *n_items as usize, stocks);
    }
    for shape in &needs.matrices {
        let parts = take_all(stocks, |s| s.take_matrix::<R>(*shape));
        assert!(parts.iter().all(|p| p.fits(*shape)));
        let a = add_all(parts.iter().map(|p| &p.a));
        let b = add_all(parts.iter().map(|p| &p.b));
        let c = add_all(parts.iter().map(|p| &p.c));
        assert_eq!(matmul(*shape, &a, &b), c, "matrix triple {shape:?}");
        assert_random_ring("a and b of a matrix triple", &[a, b].concat());
    }
}

fn check_edabits<R: StockedRing>(n_items: usize, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_edabits::<R>(n_items));
    let r = add_all(parts.iter().map(|p| &p.r));
    for index in 0..R::BITS {
        let shares = parts.iter().map(|p| p.planes[index as usize].as_words());
        assert_eq!(plane(&r, index), xor_all(shares), "bit {index} of r");
    }
    assert!(parts.iter().all(|p| p.planes.len() == R::BITS as usize));
    assert_random_ring("elements with shared bits", &r);
}

fn check_muxes<R: StockedRing>(n_items: usize, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_muxes::<R>(n_items));
    let bits = xor_all(parts.iter().map(|p| p.bits.as_words()));
    let arith = add_all(parts.iter().map(|p| &p.bits_arith));
    let a = add_all(parts.iter().map(|p| &p.a));
    let product = add_all(parts.iter().map(|p| &p.bits_times_a));
    assert_eq!(as_ring::<R>(&bits, n_items), arith, "a mux's bits");
    assert_eq!(mul(&arith, &a), product, "a mux's products");
    assert_random("a mux's bits", &bits);
    assert_random_ring("a mux's elements", &a);
}

fn check_truncs<R: StockedRing>(frac_bits: u32, n_items: usize, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_truncs::<R>(frac_bits, n_items));
    let r = add_all(parts.iter().map(|p| &p.r));
    let u: Vec<R> = r.iter().map(|r| upper(*r, frac_bits)).collect();
    let top: Vec<R> = r.iter().map(|r| bit(*r, R::BITS - 1)).collect();
    assert_eq!(u, add_all(parts.iter().map(|p| &p.u)), "upper parts");
    assert_eq!(top, add_all(parts.iter().map(|p| &p.top)), "top bits");
    assert_random_ring("masks of truncations", &r);
}

fn check_scalings<R: StockedRing>(n_columns: usize, n_items: usize, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_scalings::<R>(n_columns, n_items));
    let factor = add_all(parts.iter().map(|p| &p.factor));
    for i in 0..n_columns {
        let column = add_all(parts.iter().map(|p| &p.columns[i]));
        let product = add_all(parts.iter().map(|p| &p.products[i]));
        assert_eq!(mul(&factor, &column), product, "column {i} of a scaling");
        assert_random_ring(
            "factors and columns of scalings",
            &[factor.clone(), column].concat(),
        );
    }
    let widths = parts.iter().map(|p| [p.columns.len(), p.products.len()]);
    assert!(widths.into_iter().all(|widths| widths == [n_columns; 2]));
}

fn check_permutation(need: PermutationNeed, stocks: &mut [Stock]) {
    let parts = take_all(stocks, |s| s.take_permutation(need));
    let owners: Vec<usize> = (0..parts.len())
        .filter(|seat| parts[*seat].permutation.is_some())
        .collect();
    assert_eq!(
        owners,
        [need.owner.index()],
        "one seat knows the permutation"
    );
    let permutation = parts[owners[0]].permutation.as_ref().expect("the owner's");
    let mut sorted = permutation.sources().to_vec();
    sorted.sort_unstable();
    let all: Vec<u32> = (0..need.n_rows as u32).collect();
    assert_eq!(sorted, all, "each row goes to one place");
    for (seat, part) in parts.iter().enumerate() {
        assert_eq!(part.before.is_none(), seat == owners[0]);
        assert!(part.before.as_ref().is_none_or(|rows| rows.fits(need)));
        assert!(part.after.fits(need));
    }
    let before: Vec<&RowShares> = parts.iter().filter_map(|p| p.before.as_ref()).collect();
    for i in 0..need.n_words {
        let a = xor_all(before.iter().map(|rows| rows.words[i].as_words()));
        let b = xor_all(parts.iter().map(|p| p.after.words[i].as_words()));
        assert_eq!(permutation.apply(&a), b, "word {i} of rows");
    }
    for i in 0..need.n_ring64 {
        let a = add_all(before.iter().map(|rows| &rows.ring64[i]));
        let b = add_all(parts.iter().map(|p| &p.after.ring64[i]));
        assert_eq!(permutation.apply(&a), b, "column {i} over Z_2^64");
    }
    for i in 0..need.n_ring128 {
        let a = add_all(before.iter().map(|rows| &rows.ring128[i]));
        let b = add_all(parts.iter().map(|p| &p.after.ring128[i]));
        assert_eq!(permutation.apply(&a), b, "column {i} over Z_2^128");
    }
}

/// Needs of every kind, `n` of each that is counted.
pub(crate) fn every_kind(n: u64, owner: protocols::party::Seat) -> Needs {
    let mut needs = Needs {
        bit_triples: 3 * n,
        bit_pairs: 2 * n,
        ..Needs::default()
    };
    let shapes = [(1, 1, 1), (3, 5, 2), (2, 1, 7)];
    for ring in [&mut needs.ring64, &mut needs.ring128] {
        ring.triples = n;
        ring.dabits = n;
        ring.edabits = n / 2;
        ring.muxes = n;
        let truncs = [(1, n), (16, n / 3)].into_iter();
        ring.truncs = truncs.filter(|(_, n)| *n > 0).collect();
        ring.scalings = [(1, n / 2), (5, n)]
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        ring.matrices = shapes.map(|(m, k, n)| MatrixShape { m, k, n }).to_vec();
    }
    let permutation = |n_rows, n_words, n_ring64, n_ring128| PermutationNeed {
        n_rows,
        n_words,
        n_ring64,
        n_ring128,
        owner,
    };
    needs.permutations = vec![
        permutation(n as usize, 1, 0, 0),
        permutation(1, 1, 1, 1),
        permutation(7, 2, 1, 1),
        permutation(7, 0, 0, 2),
    ];
    needs
}
