//! Every cryptographic parameter, its source and what it buys. No module has its own.
//!
//! κ = 128 bits of computational security throughout. Symmetric primitives: AES-128 and BLAKE3
//! with 256 bits of output. Groups: ristretto255 (RFC 9496) and Curve25519 (RFC 7748), both of
//! prime order ≈ 2^252 (times a cofactor), where the best known attack on Diffie–Hellman takes
//! ≈ 2^126 group operations.

/// κ: computational security in bits.
pub const COMPUTATIONAL_BITS: usize = 128;

/// σ: the probability of a wrong result stays below 2^−σ for a whole protocol run.
pub const STATISTICAL_BITS: usize = 40;

/// Base oblivious transfers per direction and pair, one for each bit of Δ. A guess of Δ succeeds
/// with probability 2^−128.
pub const BASE_OTS: usize = COMPUTATIONAL_BITS;

/// Length of an encoded group element (RFC 9496, §4.3.2).
pub const POINT_BYTES: usize = 32;

/// Length of an item in a private set intersection, as it enters a group or an encoding: a hash of
/// 128 bits. Among 2^32 items, two have the same hash with probability under 2^−65.
pub const ITEM_BYTES: usize = 16;

/// Domain separation tag with which items are hashed to ristretto255 (RFC 9380, §3.1).
pub const RISTRETTO_ITEM_TAG: &[u8] = b"ENTENTE-V01-PSI-with-ristretto255_XMD:SHA-512_R255MAP_RO_";

/// Domain separation tag with which items are hashed to Curve25519 (RFC 9380, §3.1).
pub const MONTGOMERY_ITEM_TAG: &[u8] = b"ENTENTE-V01-PSI-with-curve25519_XMD:SHA-512_ELL2_NU_";

/// k of SoftSpoken OT (Roy, 2022/192): the depth of its trees. Any k gives the same security; k
/// trades 2^k / k generator bits against 128 / k bits of traffic for each OT. At 4 the generator
/// costs as much as it would at 2, and the traffic is half (2022/192, table 1; CRYPTO §2.2).
pub const SOFTSPOKEN_K: usize = 4;

/// Trees of SoftSpoken OT: one for every k bits of Δ.
pub const SOFTSPOKEN_TREES: usize = COMPUTATIONAL_BITS / SOFTSPOKEN_K;

/// Leaves of one tree.
pub const SOFTSPOKEN_LEAVES: usize = 1 << SOFTSPOKEN_K;

const _: () = assert!(
    SOFTSPOKEN_TREES * SOFTSPOKEN_K == COMPUTATIONAL_BITS,
    "the trees' indices make up Δ exactly"
);

/// OTs that are extended together. Part of the protocol: it fixes which part of every leaf's
/// stream belongs to which OT. 8192 bits of one leaf are 64 AES blocks; all planes of a chunk,
/// 128 KiB, stay in the second-level cache.
pub const OT_CHUNK: usize = 8192;

/// OTs in one session and direction. Each leaf then makes 2^33 blocks under its key, and telling
/// all 512 leaves' streams from random succeeds with probability under 2^−53 (PRP/PRF switching:
/// q²/2^129 each).
pub const MAX_OTS: u64 = 1 << 40;

const _: () = assert!(
    MAX_OTS.is_multiple_of(OT_CHUNK as u64),
    "a session ends with a whole chunk"
);

/// A set of parameters of Ferret (2020/924): primal LPN with regular noise.
///
/// A round turns [`FerretSet::base_cots`] correlated OTs into [`FerretSet::n_cots`] ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FerretSet {
    /// t: trees, and so the noise's weight: one error in every block of 2^depth outputs.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// log2 of k, the length of the LPN secret.
    pub log_secret: usize,
}

impl FerretSet {
    /// COTs that one tree becomes.
    pub const fn leaves(&self) -> usize {
        1 << self.depth
    }

    /// k: COTs that are the LPN secret of a round.
    pub const fn secret_len(&self) -> usize {
        1 << self.log_secret
    }

    /// COTs that a round consumes: the secret, and one for each level of each tree.
    pub const fn base_cots(&self) -> usize {
        self.secret_len() + self.trees * self.depth
    }

    /// COTs that a round makes, those for the next round included.
    pub const fn n_cots(&self) -> usize {
        self.trees * self.leaves()
    }
}

/// Positions of the secret that are added up for each output of Ferret's code.
pub const FERRET_WEIGHT: usize = 10;

/// Ferret's first set, which starts a session: b10 of emp-ot (`tuning.h`, 2026-07), chosen for 128
/// bits over the published attacks on regular LPN, of which the hybrid one binds. Pooled Gauss costs
/// 2^139.6 (CRYPTO §2.3).
pub const FERRET_FIRST: FerretSet = FerretSet {
    trees: 850,
    depth: 10,
    log_secret: 16,
};

/// Ferret's set for everything after: emp-ot's b11, Gauss 2^141.7. Its secret takes 2 MiB, and a COT
/// 0.73 bits. emp-ot's b12 (1520, 12, 18) and b13 (1900, 13, 19) halve and quarter that, which no
/// link notices, and are slower because their secrets are in no second-level cache. The older set
/// (10 485 760, 452 000, 1280) has no margin and must not return.
pub const FERRET_BULK: FerretSet = FerretSet {
    trees: 1170,
    depth: 11,
    log_secret: 17,
};

const _: () = {
    let (first, bulk) = (FERRET_FIRST, FERRET_BULK);
    assert!(
        bulk.base_cots() < first.n_cots() && bulk.base_cots() < bulk.n_cots(),
        "a round of either set feeds a round of the second"
    );
    assert!(
        first.leaves().is_multiple_of(64) && bulk.leaves().is_multiple_of(64),
        "trees are read 64 COTs at a time"
    );
};

/// t of silent VOLE: blocks of regular noise. libOTe takes 128 for an assumed relative distance of
/// 0.25; with 256 the bias against linear tests stays under 2^−128 down to a distance of 0.147
/// (CRYPTO §2.4).
pub const VOLE_NOISE: usize = 256;

/// Shortest block of noise: vectors under 2^12 elements are cut from one of that length.
pub const VOLE_MIN_BLOCK: usize = 32;

/// Expand-convolute code of silent VOLE (2023/882, "7×24", as libOTe has it): positions that an
/// output adds up, and how many of them are regular.
pub const VOLE_WEIGHT: usize = 7;
/// Positions that are drawn from one equal part of the vector each.
pub const VOLE_REGULAR_WEIGHT: usize = 4;
/// Random taps of the accumulator.
pub const VOLE_TAPS: usize = 24;

/// Sparse columns of a row of an OKVS (RR22, 2022/320).
pub const OKVS_WEIGHT: usize = 3;

/// Dense columns beyond those that figure 1 of RR22 asks for.
pub const OKVS_SPARE_DENSE: usize = 2;

/// Keys of one cluster of an OKVS, on average. Its columns take 670 KiB and stay in a second-level
/// cache; the store has 1.31 columns a key at 2^20 keys.
pub const OKVS_CLUSTER_KEYS: usize = 1 << 15;

/// Bins of a cuckoo table for every ten items, and how many more there are. Three choices, no stash:
/// the items do not fit with probability under 2^−41 (union bound over the smallest sets of items
/// with too few bins; see [`cuckoo`](crate::cuckoo)). libOTe's measured formula asks for 1.30 bins
/// an item at 2^16 and 1.32 at 2^20 (CRYPTO §3.6).
pub const CUCKOO_BINS_PER_TEN_ITEMS: usize = 13;
/// See [`CUCKOO_BINS_PER_TEN_ITEMS`].
pub const CUCKOO_SPARE_BINS: usize = 128;

/// Discrete Gaussian noise is cut off at so many standard deviations: what lies beyond has probability below
/// 2·exp(−40²/2) < 2^−1150, which no δ notices.
pub const NOISE_CUT: u64 = 40;
/// Bits of the numerator of a standard deviation, so that the sampler's squares stay within 128 bits.
pub const NOISE_MAX_BITS: u32 = 54;
/// The most fractional bits of a standard deviation.
pub const NOISE_MAX_SHIFT: u32 = 8;

/// N of ring learning with errors: polynomials modulo X^N + 1.
pub const LATTICE_DEGREE: usize = 8192;

/// The primes whose product q is the modulus of ciphertexts: the largest four below 2^54.49 that are 1 modulo 2N.
///
/// q has 218 bits, which with N = 8192, ternary secrets and errors of deviation 3.2 is the most that the
/// homomorphic encryption standard (Albrecht et al., 2018, table 1) allows for 128 bits of security against classical
/// attacks; SEAL and SPU's Cheetah stay within the same table (CRYPTO §2.6).
pub const LATTICE_PRIMES: [u64; 4] = [
    25_300_229_675_941_889,
    25_300_229_675_057_153,
    25_300_229_674_500_097,
    25_300_229_674_467_329,
];

/// Primes that are left of a ciphertext when it goes back to the holder of the secret: a value needs 64 bits and its error
/// 44 of their 109.
pub const LATTICE_RETURNED: usize = 2;

/// Errors are differences of the weights of two words with so many bits (centred binomial): deviation 3.24, as SEAL has them.
pub const LATTICE_ERROR_BITS: u32 = 21;

/// log2 of the most ciphertexts that are added up for an element of a product.
pub const LATTICE_LOG_BLOCKS: u32 = 11;

/// log2 of the noise that floods the error of a returned ciphertext, which is a function of the other side's matrix and
/// at most 2^(81 + [`LATTICE_LOG_BLOCKS`]). An element is within 2^−60 of independent of it, and 2^20 elements within
/// 2^−[`STATISTICAL_BITS`]; with b blocks in place of 2^11, 2^31/b elements are.
pub const LATTICE_FLOOD_BITS: u32 = 151;

const _: () = assert!(
    81 + LATTICE_LOG_BLOCKS + STATISTICAL_BITS as u32 + 20 <= LATTICE_FLOOD_BITS + 1,
    "the flood hides every error"
);
