//! Base OT: 128 random OTs from Diffie–Hellman on ristretto255.
//!
//! Masny and Rindal, "Endemic Oblivious Transfer", 2019/706, instantiated with Diffie–Hellman key
//! agreement. G has the generator B and prime order q; H_g hashes to G.
//!
//! ```text
//! receiver, OT i, choice c:  a ← Z_q;  r_{1−c} ← G;  r_c = a·B − H_g(i, 1−c, r_{1−c});  send r_0, r_1
//! sender:                    s ← Z_q, one for all OTs;                                  send Y = s·B
//!                            k_b = KDF(i, b, r_0, r_1, Y, s·(r_b + H_g(i, 1−b, r_{1−b})))
//! receiver:                  k_c = KDF(i, c, r_0, r_1, Y, a·Y)
//! ```
//!
//! Whatever the choice, r_0 and r_1 are uniform: r_c is masked by a·B, r_{1−c} is drawn. To know
//! k_{1−c} the receiver would need the discrete logarithm of r_{1−c} + H_g(…, r_c), and each of
//! the two depends on a hash of the other. The two messages do not depend on each other, so both
//! sides send at once: one round.
//!
//! Differs from the paper: hashes are bound to the session, operation, seats and direction, and
//! the KDF to both group elements and Y.

use super::{Direction, OtError, check_length};
use crate::block::Block;
use crate::hash;
use crate::params::{BASE_OTS, POINT_BYTES};
use crate::prg::Prg;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

/// Length of the receiver's message: two group elements for each OT.
pub const RECEIVER_BYTES: usize = BASE_OTS * 2 * POINT_BYTES;
/// Length of the sender's message: one group element.
pub const SENDER_BYTES: usize = POINT_BYTES;

const RECEIVER_MESSAGE: &str = "base OT choices";
const SENDER_MESSAGE: &str = "base OT key";

/// The side with choice bits, between its message and the sender's.
pub struct Receiver {
    direction: Direction,
    choices: Block,
    scalars: Vec<Scalar>,
    sent: Vec<u8>,
}

impl Receiver {
    /// Bit i of `choices` is the choice in OT i. Returns the message to the sender.
    pub fn new(direction: Direction, mut choices: Block, prg: &mut Prg) -> (Self, Vec<u8>) {
        let mut scalars = Vec::with_capacity(BASE_OTS);
        let mut sent = Vec::with_capacity(RECEIVER_BYTES);
        for i in 0..BASE_OTS {
            let choice = choice_bit(choices, i);
            let scalar = random_scalar(prg);
            // The element that the receiver cannot open, and its partner that it can.
            let drawn = random_point(prg).compress();
            let mask = hash_to_group(&direction, i, !choice, &drawn);
            let opened = (RistrettoPoint::mul_base(&scalar) - mask).compress();
            for position in [Choice::from(0), Choice::from(1)] {
                let is_opened = !(position ^ choice);
                for (d, o) in drawn.as_bytes().iter().zip(opened.as_bytes()) {
                    sent.push(u8::conditional_select(d, o, is_opened));
                }
            }
            scalars.push(scalar);
        }
        let message = sent.clone();
        let receiver = Self {
            direction,
            choices,
            scalars,
            sent,
        };
        choices.zeroize();
        (receiver, message)
    }

    /// The choice bits.
    pub(super) fn choices(&self) -> Block {
        self.choices
    }

    /// Takes the sender's message and returns the key k_c of every OT.
    ///
    /// # Errors
    ///
    /// [`OtError`] if the message has another length or is no group element other than 0.
    pub fn finish(self, message: &[u8]) -> Result<Vec<Block>, OtError> {
        check_length(SENDER_MESSAGE, message, SENDER_BYTES)?;
        let (encoded, public) = decode(SENDER_MESSAGE, 0, message)?;
        let key = |(i, scalar): (usize, &Scalar)| {
            let choice = choice_bit(self.choices, i);
            let pair = &self.sent[i * 2 * POINT_BYTES..][..2 * POINT_BYTES];
            derive(&self.direction, i, choice, pair, &encoded, scalar * public)
        };
        Ok(self.scalars.iter().enumerate().map(key).collect())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.choices.zeroize();
        self.scalars.zeroize();
    }
}

/// The side that obtains both keys, between its message and the receiver's.
pub struct Sender {
    direction: Direction,
    secret: Scalar,
    sent: CompressedRistretto,
}

impl Sender {
    /// Draws the sender's secret. Returns the message to the receiver.
    pub fn new(direction: Direction, prg: &mut Prg) -> (Self, Vec<u8>) {
        let secret = random_scalar(prg);
        let sent = RistrettoPoint::mul_base(&secret).compress();
        let message = sent.as_bytes().to_vec();
        (
            Self {
                direction,
                secret,
                sent,
            },
            message,
        )
    }

    /// Takes the receiver's message and returns the keys (k_0, k_1) of every OT.
    ///
    /// # Errors
    ///
    /// [`OtError`] if the message has another length or contains anything but group elements
    /// other than 0.
    pub fn finish(self, message: &[u8]) -> Result<Vec<[Block; 2]>, OtError> {
        check_length(RECEIVER_MESSAGE, message, RECEIVER_BYTES)?;
        let mut keys = Vec::with_capacity(BASE_OTS);
        for (i, pair) in message.chunks_exact(2 * POINT_BYTES).enumerate() {
            let (first, second) = pair.split_at(POINT_BYTES);
            let (e0, r0) = decode(RECEIVER_MESSAGE, 2 * i, first)?;
            let (e1, r1) = decode(RECEIVER_MESSAGE, 2 * i + 1, second)?;
            let key = |b: u8, own: RistrettoPoint, other: &CompressedRistretto| {
                let b = Choice::from(b);
                let base = own + hash_to_group(&self.direction, i, !b, other);
                derive(&self.direction, i, b, pair, &self.sent, self.secret * base)
            };
            keys.push([key(0, r0, &e1), key(1, r1, &e0)]);
        }
        Ok(keys)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

fn choice_bit(choices: Block, i: usize) -> Choice {
    Choice::from((choices.0 >> i) as u8 & 1)
}

fn random_scalar(prg: &mut Prg) -> Scalar {
    let mut wide = [0; 64];
    prg.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

fn random_point(prg: &mut Prg) -> RistrettoPoint {
    let mut uniform = [0; 64];
    prg.fill_bytes(&mut uniform);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// H_g: the element that the partner of position `b`, encoded in `point`, is shifted by.
fn hash_to_group(
    direction: &Direction,
    i: usize,
    b: Choice,
    point: &CompressedRistretto,
) -> RistrettoPoint {
    let place = place(direction, i, b);
    let uniform = hash::wide("entente/v1/base-ot/group", &[&place, point.as_bytes()]);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// KDF: the key of position `b` from the shared group element.
fn derive(
    direction: &Direction,
    i: usize,
    b: Choice,
    pair: &[u8],
    public: &CompressedRistretto,
    mut shared: RistrettoPoint,
) -> Block {
    let place = place(direction, i, b);
    let mut encoded = shared.compress();
    let fields: [&[u8]; 4] = [&place, pair, public.as_bytes(), encoded.as_bytes()];
    let key = hash::derive_key("entente/v1/base-ot/key", &fields).to_block();
    shared.zeroize();
    encoded.zeroize();
    key
}

/// The fixed-width encoding of (direction, i, b).
fn place(direction: &Direction, i: usize, b: Choice) -> [u8; 47] {
    let mut out = [0; 47];
    out[..42].copy_from_slice(&direction.to_bytes());
    out[42..46].copy_from_slice(&(i as u32).to_le_bytes());
    out[46] = b.unwrap_u8();
    out
}

fn decode(
    what: &'static str,
    index: usize,
    bytes: &[u8],
) -> Result<(CompressedRistretto, RistrettoPoint), OtError> {
    let encoded = CompressedRistretto::from_slice(bytes).expect("32 bytes were cut out");
    let point = encoded
        .decompress()
        .ok_or(OtError::NotAPoint { what, index })?;
    if point.is_identity() {
        return Err(OtError::Identity { what, index });
    }
    Ok((encoded, point))
}
