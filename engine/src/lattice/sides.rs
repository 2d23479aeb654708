//! The two sides of a product: who encrypts, and who multiplies.

use super::packing::{Packing, RESIDUE_BYTES};
use super::{LatticeError, N_PRIMES, Tables, errors, read, ternary, write};
use crate::params::{LATTICE_DEGREE as N, LATTICE_FLOOD_BITS, LATTICE_RETURNED};
use crate::prg::{Prg, Seed};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;

/// Length of a key's message.
pub const KEY_BYTES: usize = SEED_BYTES + N_PRIMES * N * RESIDUE_BYTES;

/// Residues of one ciphertext's component that come back from the other side.
const RETURNED: usize = LATTICE_RETURNED * N;

/// Who knows the left matrix and the secret. One key serves any number of products, with any number of others.
pub struct Holder {
    tables: Arc<Tables>,
    /// s, as values.
    secret: Zeroizing<Vec<u64>>,
    /// Public: its streams are the second components of ciphertexts.
    seed: [u8; SEED_BYTES],
    /// Streams that are used.
    n_streams: u64,
    prg: Prg,
}

impl Holder {
    /// Draws a secret. Returns the message that the others' [`Evaluator::new`] takes.
    pub fn new(tables: Arc<Tables>, prg: &mut Prg) -> (Self, Vec<u8>) {
        let mut seed = [0; SEED_BYTES];
        prg.fill_bytes(&mut seed);
        let mut own = Prg::new(&Seed::random(prg), 0);
        let mut secret = Zeroizing::new(tables.small(ternary(&mut own)));
        tables.forward(&mut secret);
        let mut holder = Self {
            tables,
            secret,
            seed,
            n_streams: 1,
            prg: own,
        };
        let fresh = Seed::random(&mut holder.prg);
        let zero = holder.encrypted(0, fresh, std::iter::empty());
        let mut message = Vec::with_capacity(KEY_BYTES);
        message.extend(seed);
        write(&zero, &mut message);
        (holder, message)
    }

    /// Encrypts the blocks of `left`, m×k and row-major, that belong to these blocks along it. Messages are received in the
    /// order in which they were made.
    ///
    /// # Panics
    ///
    /// If `left` is not m×k.
    pub fn encrypt(&mut self, packing: &Packing, left: &[u64], inner: Range<usize>) -> Vec<u8> {
        assert_eq!(left.len(), packing.m * packing.k, "the left matrix is m×k");
        let [n_down, ..] = packing.n_blocks();
        let blocks = inner.flat_map(|along| (0..n_down).map(move |down| (down, along)));
        let first = self.n_streams;
        let blocks: Vec<_> = (first..).zip(blocks).collect();
        self.n_streams += blocks.len() as u64;
        let seed = Seed::random(&mut self.prg);
        let encrypted = blocks.into_par_iter().map(|(stream, block)| {
            let fresh = seed.derive("entente/v1/engine/lattice", &[&stream.to_le_bytes()]);
            let coefficients = packing.left(left, block);
            let residues = Zeroizing::new(self.encrypted(stream, fresh, coefficients));
            let mut bytes = Vec::with_capacity(N_PRIMES * N * RESIDUE_BYTES);
            write(&residues, &mut bytes);
            bytes
        });
        encrypted.collect::<Vec<_>>().concat()
    }

    /// The first component of a ciphertext, as values: −c₁·s + e + ⌊q·x/2^64⌉.
    fn encrypted(
        &self,
        stream: u64,
        fresh: Seed,
        coefficients: impl Iterator<Item = (usize, u64)>,
    ) -> Vec<u64> {
        let tables = &self.tables;
        let mut prg = Prg::new(&fresh, 0);
        let mut negated = tables.small(errors(&mut prg));
        for (at, x) in coefficients {
            for prime in 0..N_PRIMES {
                let value = &mut negated[prime * N + at];
                *value = tables.primes[prime].add(*value, tables.scaled(prime, x));
            }
        }
        tables.forward(&mut negated);
        negate(tables, &mut negated);
        let public = tables.public(&self.seed, stream);
        tables.add_product(&mut negated, &public, &self.secret);
        negate(tables, &mut negated);
        negated
    }

    /// Decrypts the results of these blocks across the right matrix, and adds them to `product`, m×n and row-major.
    ///
    /// # Errors
    ///
    /// [`LatticeError`] for a message that is none.
    ///
    /// # Panics
    ///
    /// If `product` is not m×n.
    pub fn decrypt(
        &self,
        packing: &Packing,
        columns: Range<usize>,
        message: &[u8],
        product: &mut [u64],
    ) -> Result<(), LatticeError> {
        assert_eq!(product.len(), packing.m * packing.n, "the product is m×n");
        if message.len() != packing.result_bytes(&columns) {
            return Err(LatticeError);
        }
        let mut rest = message;
        let mut blocks = Vec::new();
        for block in results(packing, columns) {
            let n_elements = packing.product(block).count();
            let n_bytes = RESIDUE_BYTES * (RETURNED + LATTICE_RETURNED * n_elements);
            let (bytes, after) = rest.split_at(n_bytes);
            rest = after;
            blocks.push((block, bytes));
        }
        let decrypted: Result<Vec<_>, LatticeError> = blocks
            .into_par_iter()
            .map(|(block, bytes)| self.decrypted(packing, block, bytes))
            .collect();
        for (at, value) in decrypted?.into_iter().flatten() {
            product[at] = product[at].wrapping_add(value);
        }
        Ok(())
    }

    fn decrypted(
        &self,
        packing: &Packing,
        block: (usize, usize),
        bytes: &[u8],
    ) -> Result<Vec<(usize, u64)>, LatticeError> {
        let tables = &self.tables;
        let (second, first) = bytes.split_at(RESIDUE_BYTES * RETURNED);
        let mut second = read(second, N)?;
        let elements: Vec<_> = packing.product(block).collect();
        let first = read(first, elements.len())?;
        tables.forward(&mut second);
        let mut phase = Zeroizing::new(vec![0; RETURNED]);
        tables.add_product(&mut phase, &second, &self.secret[..RETURNED]);
        tables.inverse(&mut phase);
        let n = elements.len();
        let values = elements.into_iter().enumerate().map(|(i, (element, at))| {
            let residues = std::array::from_fn(|prime| {
                tables.primes[prime].add(first[prime * n + i], phase[prime * N + at])
            });
            (element, tables.unscaled(residues))
        });
        Ok(values.collect())
    }
}

fn negate(tables: &Tables, residues: &mut [u64]) {
    for (prime, residues) in tables.primes.iter().zip(residues.chunks_exact_mut(N)) {
        for value in residues {
            *value = prime.sub(0, *value);
        }
    }
}

/// The blocks of the product that belong to these blocks across it.
fn results(
    packing: &Packing,
    columns: Range<usize>,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let [n_down, ..] = packing.n_blocks();
    columns.flat_map(move |across| (0..n_down).map(move |down| (down, across)))
}

/// Blocks of a right matrix as values, which multiply any number of others' ciphertexts.
pub struct Plain {
    inner: Range<usize>,
    columns: Range<usize>,
    /// By block along the matrix and then across it.
    blocks: Vec<Zeroizing<Vec<u64>>>,
}

impl Plain {
    /// The blocks of `right`, k×n and row-major, in these blocks along and across it.
    ///
    /// # Panics
    ///
    /// If `right` is not k×n.
    pub fn new(
        tables: &Tables,
        packing: &Packing,
        right: &[u64],
        (inner, columns): (Range<usize>, Range<usize>),
    ) -> Self {
        assert_eq!(
            right.len(),
            packing.k * packing.n,
            "the right matrix is k×n"
        );
        let across = columns.clone();
        let blocks = inner
            .clone()
            .flat_map(|along| across.clone().map(move |across| (along, across)));
        let blocks: Vec<_> = blocks.collect();
        let transformed = blocks.into_par_iter().map(|block| {
            let mut residues = Zeroizing::new(vec![0; N_PRIMES * N]);
            for (at, value) in packing.right(right, block) {
                for (i, prime) in tables.primes.iter().enumerate() {
                    residues[i * N + at] = prime.reduce_signed(value.cast_signed());
                }
            }
            tables.forward(&mut residues);
            residues
        });
        Self {
            inner,
            columns,
            blocks: transformed.collect(),
        }
    }

    fn block(&self, along: usize, across: usize) -> &[u64] {
        let row = (along - self.inner.start) * self.columns.len();
        &self.blocks[row + across - self.columns.start]
    }
}

/// Another's ciphertexts of some blocks along its matrix.
pub struct Ciphertexts {
    inner: Range<usize>,
    n_down: usize,
    /// Both components as values, by block along the matrix and then down it.
    blocks: Vec<[Vec<u64>; 2]>,
}

impl Ciphertexts {
    fn block(&self, along: usize, down: usize) -> &[Vec<u64>; 2] {
        &self.blocks[(along - self.inner.start) * self.n_down + down]
    }
}

/// Who knows the right matrix, towards one [`Holder`].
pub struct Evaluator {
    tables: Arc<Tables>,
    /// The key: an encryption of 0.
    key: [Vec<u64>; 2],
    seed: [u8; SEED_BYTES],
    n_streams: u64,
}

impl Evaluator {
    /// Takes the message of [`Holder::new`].
    ///
    /// # Errors
    ///
    /// [`LatticeError`] for a message that is none.
    pub fn new(tables: Arc<Tables>, message: &[u8]) -> Result<Self, LatticeError> {
        let (seed, zero) = message.split_first_chunk().ok_or(LatticeError)?;
        if message.len() != KEY_BYTES {
            return Err(LatticeError);
        }
        Ok(Self {
            key: [read(zero, N)?, tables.public(seed, 0)],
            tables,
            seed: *seed,
            n_streams: 1,
        })
    }

    /// Takes the message of [`Holder::encrypt`] for the same blocks.
    ///
    /// # Errors
    ///
    /// [`LatticeError`] for a message that is none.
    pub fn receive(
        &mut self,
        packing: &Packing,
        inner: Range<usize>,
        message: &[u8],
    ) -> Result<Ciphertexts, LatticeError> {
        if message.len() != packing.left_bytes(&inner) {
            return Err(LatticeError);
        }
        let [n_down, ..] = packing.n_blocks();
        let first = self.n_streams;
        let bytes = message.par_chunks_exact(N_PRIMES * N * RESIDUE_BYTES);
        let blocks = bytes.enumerate().map(|(at, bytes)| {
            let public = self.tables.public(&self.seed, first + at as u64);
            Ok([read(bytes, N)?, public])
        });
        let blocks: Vec<_> = blocks.collect::<Result<_, LatticeError>>()?;
        self.n_streams += blocks.len() as u64;
        Ok(Ciphertexts {
            inner,
            n_down,
            blocks,
        })
    }

    /// Ends the sums. Returns the message for [`Holder::decrypt`]; this side's shares, −M, are added to `product`,
    /// m×n and row-major.
    ///
    /// # Panics
    ///
    /// If `product` is not m×n.
    pub fn finish(&self, sums: Sums, prg: &mut Prg, product: &mut [u64]) -> Vec<u8> {
        let packing = sums.packing;
        assert_eq!(product.len(), packing.m * packing.n, "the product is m×n");
        let seed = Seed::random(prg);
        let blocks = results(&packing, sums.columns).zip(sums.blocks).enumerate();
        let blocks: Vec<_> = blocks.collect();
        let finished = blocks.into_par_iter().map(|(at, (block, sum))| {
            let fresh = seed.derive("entente/v1/engine/lattice", &[&at.to_le_bytes()]);
            self.finished(&packing, block, sum, fresh)
        });
        let mut message = Vec::new();
        for (bytes, masks) in finished.collect::<Vec<_>>() {
            message.extend(bytes);
            for (element, mask) in masks {
                product[element] = product[element].wrapping_sub(mask);
            }
        }
        message
    }

    /// One ciphertext of the result, and the masks of its elements.
    fn finished(
        &self,
        packing: &Packing,
        block: (usize, usize),
        [mut first, mut second]: [Vec<u64>; 2],
        fresh: Seed,
    ) -> (Vec<u8>, Vec<(usize, u64)>) {
        let tables = &self.tables;
        let mut prg = Prg::new(&fresh, 0);
        let mut once = Zeroizing::new(tables.small(ternary(&mut prg)));
        tables.forward(&mut once);
        for (component, key) in [&mut first, &mut second].into_iter().zip(&self.key) {
            tables.add_product(component, key, &once);
            tables.inverse(component);
            let error = Zeroizing::new(tables.small(errors(&mut prg)));
            add(tables, component, &error);
        }
        let elements: Vec<_> = packing.product(block).collect();
        let n = elements.len();
        let mut picked = vec![0; N_PRIMES * n];
        let mut masks = Vec::with_capacity(n);
        for (i, (element, at)) in elements.into_iter().enumerate() {
            let mask = prg.next_u64();
            let flood = [prg.next_u64(), prg.next_u64(), prg.next_u64()];
            masks.push((element, mask));
            for (p, prime) in tables.primes.iter().enumerate() {
                let hidden = prime.add(tables.scaled(p, mask), tables.flood(p, flood));
                picked[p * n + i] = prime.add(first[p * N + at], hidden);
            }
        }
        tables.switched(&mut second);
        tables.switched(&mut picked);
        let mut bytes = Vec::with_capacity(RESIDUE_BYTES * (second.len() + picked.len()));
        write(&second, &mut bytes);
        write(&picked, &mut bytes);
        (bytes, masks)
    }
}

fn add(tables: &Tables, a: &mut [u64], b: &[u64]) {
    let parts = a.chunks_exact_mut(N).zip(b.chunks_exact(N));
    for (prime, (a, b)) in tables.primes.iter().zip(parts) {
        for (a, b) in a.iter_mut().zip(b) {
            *a = prime.add(*a, *b);
        }
    }
}

impl Tables {
    /// A number that is uniform in ±2^[`LATTICE_FLOOD_BITS`], of 152 uniform bits, modulo a prime.
    fn flood(&self, prime: usize, [low, middle, high]: [u64; 3]) -> u64 {
        let (of, [word, bound]) = (&self.primes[prime], self.powers[prime]);
        let low = of.reduce_wide(u128::from(middle) << 64 | u128::from(low));
        let high = of.mul(high >> (64 - (LATTICE_FLOOD_BITS + 1 - 128)), word);
        of.sub(of.add(low, high), bound)
    }
}

/// Sums of products that are not ended yet, towards one [`Holder`].
pub struct Sums {
    packing: Packing,
    columns: Range<usize>,
    /// Both components as values, by block across the product and then down it.
    blocks: Vec<[Vec<u64>; 2]>,
}

/// Values that are added up at a time, in the first-level cache.
const STRIP: usize = 256;

impl Sums {
    /// Zeros for these blocks across the product.
    pub fn new(packing: &Packing, columns: Range<usize>) -> Self {
        let zero = || [vec![0; N_PRIMES * N], vec![0; N_PRIMES * N]];
        Self {
            packing: *packing,
            blocks: results(packing, columns.clone()).map(|_| zero()).collect(),
            columns,
        }
    }

    /// Adds the products of ciphertexts with the blocks that they meet.
    ///
    /// # Panics
    ///
    /// If the two are not of the same blocks along the matrices, or `plain` not of these across the product.
    pub fn add(&mut self, tables: &Tables, ciphertexts: &Ciphertexts, plain: &Plain) {
        assert_eq!(ciphertexts.inner, plain.inner, "blocks that meet");
        let places: Vec<_> = results(&self.packing, self.columns.clone()).collect();
        let sums = self.blocks.par_iter_mut().zip(places);
        sums.for_each(|([first, second], (down, across))| {
            for at in (0..N_PRIMES * N).step_by(STRIP) {
                let prime = &tables.primes[at / N];
                let (mut a, mut b) = ([0_u128; STRIP], [0_u128; STRIP]);
                for along in ciphertexts.inner.clone() {
                    let factor = &plain.block(along, across)[at..][..STRIP];
                    let [left, right] = ciphertexts.block(along, down);
                    add_products(&mut a, &left[at..][..STRIP], factor);
                    add_products(&mut b, &right[at..][..STRIP], factor);
                }
                for (sums, strip) in [(&mut *first, &a), (&mut *second, &b)] {
                    for (sum, value) in sums[at..][..STRIP].iter_mut().zip(strip) {
                        *sum = prime.add(*sum, prime.reduce_wide(*value));
                    }
                }
            }
        });
    }
}

/// Products are below 2^110, and no message has 2^18 blocks.
fn add_products(sums: &mut [u128; STRIP], left: &[u64], right: &[u64]) {
    for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
        *sum += u128::from(*left) * u128::from(*right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::LATTICE_PRIMES;

    fn prg(stream: u64) -> Prg {
        Prg::new(&Seed::from_bytes([7; 32]), stream)
    }

    /// Runs both sides, and returns their shares of the product and all messages of the multiplying side.
    fn multiplied(packing: &Packing, left: &[u64], right: &[u64]) -> ([Vec<u64>; 2], Vec<Vec<u8>>) {
        let tables = Arc::new(Tables::new());
        let (mut holder, key) = Holder::new(tables.clone(), &mut prg(1));
        let mut evaluator = Evaluator::new(tables.clone(), &key).expect("a key");
        let received: Vec<Ciphertexts> = packing
            .inner_groups()
            .into_iter()
            .map(|inner| {
                let message = holder.encrypt(packing, left, inner.clone());
                assert_eq!(message.len(), packing.left_bytes(&inner));
                evaluator
                    .receive(packing, inner, &message)
                    .expect("ciphertexts")
            })
            .collect();
        let mut shares = [
            vec![0; packing.m * packing.n],
            vec![0; packing.m * packing.n],
        ];
        let mut messages = Vec::new();
        for columns in packing.column_groups() {
            let mut sums = Sums::new(packing, columns.clone());
            for ciphertexts in &received {
                let blocks = (ciphertexts.inner.clone(), columns.clone());
                let plain = Plain::new(&tables, packing, right, blocks);
                sums.add(&tables, ciphertexts, &plain);
            }
            let message = evaluator.finish(sums, &mut prg(2), &mut shares[1]);
            let decrypted = holder.decrypt(packing, columns, &message, &mut shares[0]);
            decrypted.expect("results");
            messages.push(message);
        }
        (shares, messages)
    }

    fn product(packing: &Packing, left: &[u64], right: &[u64]) -> Vec<u64> {
        let (k, n) = (packing.k, packing.n);
        let element = |at: usize| {
            let terms = (0..k).map(|l| left[at / n * k + l].wrapping_mul(right[l * n + at % n]));
            terms.fold(0, u64::wrapping_add)
        };
        (0..packing.m * n).map(element).collect()
    }

    fn check(m: usize, k: usize, n: usize, draw: impl Fn(&mut Prg) -> u64) {
        check_packing(&Packing::of(m, k, n).expect("a packing"), draw);
    }

    fn check_packing(packing: &Packing, draw: impl Fn(&mut Prg) -> u64) {
        let Packing { m, k, n, .. } = *packing;
        let mut prg = prg(0);
        let left: Vec<u64> = (0..m * k).map(|_| draw(&mut prg)).collect();
        let right: Vec<u64> = (0..k * n).map(|_| draw(&mut prg)).collect();
        let ([own, other], _) = multiplied(packing, &left, &right);
        let sums: Vec<u64> = own
            .iter()
            .zip(&other)
            .map(|(a, b)| a.wrapping_add(*b))
            .collect();
        assert_eq!(
            sums,
            product(packing, &left, &right),
            "{m}×{k} times {k}×{n}"
        );
    }

    #[test]
    fn shares_of_products_add_up() {
        for (m, k, n) in [
            (1, 1, 1),
            (3, 5, 2),
            (17, 1200, 17),
            (1, 17, 9000),
            (65, 3, 2),
            (2, 8193, 1),
        ] {
            check(m, k, n, Prg::next_u64);
        }
    }

    #[test]
    fn the_largest_errors_leave_every_bit_right() {
        // Elements of the greatest magnitude, of one sign and of both.
        check(2, 9000, 2, |_| 1 << 63);
        check(2, 9000, 2, |prg| {
            (1_u64 << 63).wrapping_sub(prg.next_u64() & 1)
        });
    }

    #[test]
    fn several_groups_of_columns_meet_the_kept_ciphertexts() {
        let packing = Packing {
            m: 1,
            k: 300,
            n: 3000,
            rows: 1,
            inner: 300,
            columns: 27,
        };
        assert!(packing.column_groups().len() > 1);
        check_packing(&packing, Prg::next_u64);
    }

    #[test]
    fn what_comes_back_looks_the_same_for_a_matrix_of_zeros() {
        // The second component would be 0 without the fresh encryption of 0, and known without its randomness; shares
        // would be 0 without masks.
        let packing = Packing::of(4, 50, 3).expect("a packing");
        let left: Vec<u64> = (0..200).collect();
        let ([own, other], messages) = multiplied(&packing, &left, &[0; 150]);
        assert!(own.iter().all(|share| *share != 0) && other.iter().all(|share| *share != 0));
        let n = (messages[0].len() / RESIDUE_BYTES).min(RETURNED);
        let second = read(&messages[0][..n * RESIDUE_BYTES], N).expect("residues");
        let upper = second[..N]
            .iter()
            .filter(|r| **r > LATTICE_PRIMES[0] / 2)
            .count();
        // Half of 8192 values, give or take 6 standard deviations.
        assert!(upper.abs_diff(N / 2) < 272, "{upper} of {N}");
    }

    #[test]
    fn floods_fill_their_range() {
        let tables = Tables::new();
        let largest = tables.flood(0, [u64::MAX; 3]);
        let least = tables.flood(0, [0; 3]);
        let p = &tables.primes[0];
        // 2^152 − 1 numbers lie between them.
        let power = (0..=LATTICE_FLOOD_BITS).fold(1, |power, _| p.add(power, power));
        assert_eq!(p.sub(largest, least), p.sub(power, 1));
        assert_eq!(p.add(least, tables.powers[0][1]), 0);
    }

    #[test]
    fn messages_that_are_none_are_refused() {
        let tables = Arc::new(Tables::new());
        let (_, mut key) = Holder::new(tables.clone(), &mut prg(1));
        assert!(Evaluator::new(tables.clone(), &key[1..]).is_err());
        key[SEED_BYTES..][..RESIDUE_BYTES].fill(255);
        assert!(Evaluator::new(tables, &key).is_err());
    }
}
