//! Products of matrices over Z_2^64 of which each of two parties knows one factor, by ring learning with errors.
//!
//! ```text
//! holder of the left matrix A                 holder of the right matrix B
//! key: an encryption of 0               ──▶
//! A's blocks, encrypted                 ──▶   sums of products with B's blocks, in the clear
//!                                       ◀──   + another 0 of the key + a uniform M + a flood, over fewer primes
//! decrypts A·B + M                            keeps −M
//! ```
//!
//! The elements are not encrypted one by one: [`Packing`] lays blocks into polynomials modulo X^8192 + 1 and q, a product of
//! four primes. The plaintext modulus is 2^64: x stands for ⌊q·x/2^64⌉, so that wrapping around in Z_2^64 is wrapping around in
//! Z_q, and only roundings and errors are multiplied.
//!
//! # Security
//!
//! Semi-honest, both ways. A is hidden by ring learning with errors under parameters of the homomorphic encryption
//! standard ([`params`](crate::params)). B is hidden from the secret's holder, who knows the randomness of its own
//! ciphertexts and would divide by it: the fresh 0, made with the key as in public-key encryption, makes the second
//! component look uniform, again by learning with errors; of the first only elements of the product are
//! returned, each under a uniform mask, with their errors flooded.
//!
//! Source: Brakerski–Fan–Vercauteren in the form of Cheetah (2022/207, §3.1 and appendix A), with 2^64 as modulus by scaling; CRYPTO §2.6.
//! Differs: coefficients that are no element of the product are not sent.

mod ntt;
mod packing;
mod sides;

pub use packing::Packing;
pub use sides::{Ciphertexts, Evaluator, Holder, KEY_BYTES, Plain, Sums};

use crate::params::{
    LATTICE_DEGREE as N, LATTICE_ERROR_BITS, LATTICE_FLOOD_BITS, LATTICE_PRIMES, LATTICE_RETURNED,
};
use crate::prg::{Prg, Seed};
use ntt::Prime;
use packing::RESIDUE_BYTES;
use thiserror::Error;

const N_PRIMES: usize = LATTICE_PRIMES.len();

/// A message of the other party is none: a residue is not below its prime, or the length is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a ciphertext has a residue that is not below its prime, or another length")]
pub struct LatticeError;

/// Tables of the primes, which are the same for everybody.
pub struct Tables {
    primes: [Prime; N_PRIMES],
    /// q mod 2^64.
    q_word: u64,
    /// −2^−64 modulo each prime.
    negated_inverse: [u64; N_PRIMES],
    /// 2^128 modulo each prime, and 2^[`LATTICE_FLOOD_BITS`].
    powers: [[u64; 2]; N_PRIMES],
    /// The inverse of each prime modulo those before it.
    inverses: [[u64; N_PRIMES]; N_PRIMES],
    /// The inverse of the other returned prime modulo each.
    cofactors: [u64; LATTICE_RETURNED],
}

impl Tables {
    /// Computes them: some milliseconds, and 1 MiB.
    pub fn new() -> Self {
        let primes = LATTICE_PRIMES.map(Prime::new);
        let of = |prime: &Prime, log: u32| (0..log).fold(1, |power, _| prime.add(power, power));
        let negated_inverse =
            std::array::from_fn(|i| primes[i].sub(0, primes[i].inverse_of(of(&primes[i], 64))));
        let powers =
            std::array::from_fn(|i| [128, LATTICE_FLOOD_BITS].map(|log| of(&primes[i], log)));
        let inverses = std::array::from_fn(|dropped| {
            std::array::from_fn(|i| match i < dropped {
                true => primes[i].inverse_of(LATTICE_PRIMES[dropped]),
                false => 0,
            })
        });
        let cofactors = std::array::from_fn(|i| primes[i].inverse_of(LATTICE_PRIMES[1 - i]));
        Self {
            q_word: LATTICE_PRIMES.iter().fold(1, |q, p| p.wrapping_mul(q)),
            primes,
            negated_inverse,
            powers,
            inverses,
            cofactors,
        }
    }

    /// ⌊q·x/2^64⌉ modulo a prime: q·x less its centred remainder modulo 2^64, divided by 2^64, where q is 0.
    fn scaled(&self, prime: usize, x: u64) -> u64 {
        let remainder = self.q_word.wrapping_mul(x).cast_signed();
        let prime_of = &self.primes[prime];
        prime_of.mul(
            prime_of.reduce_signed(remainder),
            self.negated_inverse[prime],
        )
    }

    /// The x of which this is ⌊q'·x/2^64⌉ and an error, for the product q' of the returned primes.
    fn unscaled(&self, residues: [u64; LATTICE_RETURNED]) -> u64 {
        // Σ vᵢ·2^64/pᵢ for the vᵢ of the Chinese remainder theorem, with 64 fractional bits; whole multiples of 2^64 go.
        let mut sum: u128 = 0;
        for (i, residue) in residues.into_iter().enumerate() {
            let p = u128::from(LATTICE_PRIMES[i]);
            let v = u128::from(self.primes[i].mul(residue, self.cofactors[i])) << 64;
            let fraction = ((v % p) << 64) / p;
            sum = sum.wrapping_add(((v / p) << 64) + fraction);
        }
        (sum.wrapping_add(1 << 63) >> 64) as u64
    }

    /// Drops primes from residues, prime by prime and n of each, until [`LATTICE_RETURNED`] are left: a division that rounds.
    fn switched(&self, residues: &mut Vec<u64>) {
        let n = residues.len() / N_PRIMES;
        for dropped in (LATTICE_RETURNED..N_PRIMES).rev() {
            let (kept, last) = residues.split_at_mut(dropped * n);
            let half = LATTICE_PRIMES[dropped] / 2;
            for (i, kept) in kept.chunks_exact_mut(n).enumerate() {
                let (prime, inverse) = (&self.primes[i], self.inverses[dropped][i]);
                for (value, last) in kept.iter_mut().zip(&*last) {
                    // Its centred remainder. Primes go down, so both numbers are below the one that is kept.
                    let centred = match *last <= half {
                        true => *last,
                        false => prime.sub(*last, LATTICE_PRIMES[dropped]),
                    };
                    *value = prime.mul(prime.sub(*value, centred), inverse);
                }
            }
            residues.truncate(dropped * n);
        }
    }

    /// Coefficients to values, of as many primes as there are residues of.
    fn forward(&self, residues: &mut [u64]) {
        for (prime, residues) in self.primes.iter().zip(residues.chunks_exact_mut(N)) {
            prime.forward(residues);
        }
    }

    fn inverse(&self, residues: &mut [u64]) {
        for (prime, residues) in self.primes.iter().zip(residues.chunks_exact_mut(N)) {
            prime.inverse(residues);
        }
    }

    /// a ← a + b·c, value by value.
    fn add_product(&self, a: &mut [u64], b: &[u64], c: &[u64]) {
        let parts = a
            .chunks_exact_mut(N)
            .zip(b.chunks_exact(N))
            .zip(c.chunks_exact(N));
        for (prime, ((a, b), c)) in self.primes.iter().zip(parts) {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = prime.reduce_wide(u128::from(*b) * u128::from(*c) + u128::from(*a));
            }
        }
    }

    /// A uniform polynomial that everybody can expand: one stream of a public seed.
    fn public(&self, seed: &[u8; 32], stream: u64) -> Vec<u64> {
        let mut prg = Prg::new(&Seed::from_bytes(*seed), stream);
        let mut residues = Vec::with_capacity(N_PRIMES * N);
        let mut drawn = [0; 1024];
        for (i, p) in LATTICE_PRIMES.into_iter().enumerate() {
            while residues.len() < (i + 1) * N {
                prg.fill_ring(&mut drawn);
                let below = drawn.iter().map(|word| word >> 9).filter(|word| *word < p);
                let n_missing = (i + 1) * N - residues.len();
                residues.extend(below.take(n_missing));
            }
        }
        residues
    }

    /// A polynomial with small coefficients, the same modulo all primes.
    fn small(&self, coefficients: impl Iterator<Item = i64>) -> Vec<u64> {
        let coefficients: zeroize::Zeroizing<Vec<i64>> =
            zeroize::Zeroizing::new(coefficients.take(N).collect());
        let of = |prime: &Prime| {
            coefficients
                .iter()
                .map(|c| prime.reduce_signed(*c))
                .collect()
        };
        self.primes
            .iter()
            .flat_map(|prime| -> Vec<u64> { of(prime) })
            .collect()
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

/// Coefficients −1, 0 and 1, uniform.
fn ternary(prg: &mut Prg) -> impl Iterator<Item = i64> {
    std::iter::repeat_with(|| prg.next_u64()).flat_map(|word| {
        let pairs = (0..32).map(move |at| word >> (2 * at) & 3);
        pairs.filter(|pair| *pair < 3).map(|pair| pair as i64 - 1)
    })
}

/// Errors: centred binomial.
fn errors(prg: &mut Prg) -> impl Iterator<Item = i64> {
    let weight = |word: u64| i64::from((word & ((1 << LATTICE_ERROR_BITS) - 1)).count_ones());
    std::iter::repeat_with(move || {
        let word = prg.next_u64();
        weight(word) - weight(word >> 32)
    })
}

fn write(residues: &[u64], out: &mut Vec<u8>) {
    out.extend(residues.iter().flat_map(|r| {
        let [a, b, c, d, e, f, g, _] = r.to_le_bytes();
        [a, b, c, d, e, f, g]
    }));
}

/// Reads residues of primes, n of each; `bytes` has as many.
fn read(bytes: &[u8], n: usize) -> Result<Vec<u64>, LatticeError> {
    let (values, rest) = bytes.as_chunks::<RESIDUE_BYTES>();
    let values = values
        .iter()
        .map(|[a, b, c, d, e, f, g]| u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, 0]));
    let residues: Vec<u64> = values.collect();
    let of_primes = residues.chunks(n.max(1)).zip(LATTICE_PRIMES);
    let are_below = of_primes
        .clone()
        .all(|(residues, p)| residues.iter().all(|r| *r < p));
    match are_below && rest.is_empty() {
        true => Ok(residues),
        false => Err(LatticeError),
    }
}
