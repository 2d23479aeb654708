//! Oblivious pseudo-random function: the client learns F(k, x), the server learns neither x nor F.
//!
//! RFC 9497, suite ristretto255-SHA512, modes OPRF and VOPRF, over many inputs at once.
//!
//! ```text
//! client    r ← Z_q;  B = r·H(x)                          →  server
//! server    E = k·B, and in mode VOPRF a proof that log E/B is that of its public key
//! client    F(k, x) = Hash(x, (1/r)·E, "Finalize")
//! ```
//!
//! B is uniform whatever x is. With a proof the server cannot use another key for one client, by
//! which it would know that client's tags again. What a deviating client can do is to ask for other
//! x than it should; the server counts, and limits how many.

use crate::curve::expand::Expander;
use crate::curve::ristretto::{decode, encode_doubled, hash_to_group, random_scalar};
use crate::curve::{ElementError, Encoded};
use crate::params::POINT_BYTES;
use crate::prg::{Prg, Seed};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use rayon::prelude::*;
use sha2::{Digest, Sha512};
use std::sync::LazyLock;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of an encoded proof: two scalars.
pub const PROOF_BYTES: usize = 64;

/// Inputs that one proof can cover: they are numbered with 16 bits (RFC 9497, §2.2.1).
pub const MAX_BATCH: usize = 1 << 16;

/// Elements that one thread takes at a time.
const BATCH: usize = 64;

/// The modes of RFC 9497 that there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server's key is not checked.
    Base,
    /// The server proves that it has used the key that belongs to its public one.
    Verifiable,
}

/// What went wrong, through the peer's fault unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OprfError {
    /// An element is none.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// There are more or fewer elements than inputs.
    #[error("{found} elements came where {expected} were due")]
    Length {
        /// How many were due.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// The proof does not hold.
    #[error("the proof does not hold")]
    Proof,
    /// One's own fault: an input of more than 65535 bytes, or too many inputs for one proof.
    #[error("an input is longer, or a batch larger, than the function takes")]
    TooLong,
    /// An input is hashed to 0, or a seed gives no key. Nobody can find such a one.
    #[error("an input or a seed has no image")]
    NoImage,
}

/// The functions of one mode, each with its domain separation tag.
struct Suite {
    group: Expander,
    scalar: Expander,
    key: Expander,
    seed_tag: Vec<u8>,
}

static BASE: LazyLock<Suite> = LazyLock::new(|| Suite::new(0));
static VERIFIABLE: LazyLock<Suite> = LazyLock::new(|| Suite::new(1));

impl Suite {
    fn new(mode: u8) -> Self {
        let context = [b"OPRFV1-", &[mode][..], b"-ristretto255-SHA512"].concat();
        Self {
            group: Expander::new(&[b"HashToGroup-", &context]),
            scalar: Expander::new(&[b"HashToScalar-", &context]),
            key: Expander::new(&[b"DeriveKeyPair", &context]),
            seed_tag: [b"Seed-", &context[..]].concat(),
        }
    }

    /// HashToGroup.
    fn element(&self, input: &[u8]) -> Result<RistrettoPoint, OprfError> {
        let element = hash_to_group(&self.group, &[input]);
        match element.is_identity() {
            true => Err(OprfError::NoImage),
            false => Ok(element),
        }
    }
}

impl Mode {
    fn suite(self) -> &'static Suite {
        match self {
            Self::Base => &BASE,
            Self::Verifiable => &VERIFIABLE,
        }
    }
}

fn to_scalar(expander: &Expander, parts: &[&[u8]]) -> Scalar {
    let mut uniform = [0; 64];
    expander.expand(parts, &mut uniform);
    let scalar = Scalar::from_bytes_mod_order_wide(&uniform);
    uniform.zeroize();
    scalar
}

/// F(k, x): 64 bytes, as good as random to everybody who has not asked the server for them.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Output([u8; 64]);

impl Output {
    /// The bytes, to be a field of a key derivation.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    fn new(input: &[u8], element: &Encoded) -> Result<Self, OprfError> {
        let len = u16::try_from(input.len()).map_err(|_| OprfError::TooLong)?;
        let mut hash = Sha512::new();
        hash.update(len.to_be_bytes());
        hash.update(input);
        hash.update((POINT_BYTES as u16).to_be_bytes());
        hash.update(element);
        hash.update(b"Finalize");
        Ok(Self(hash.finalize().into()))
    }
}

/// A server's key.
#[derive(ZeroizeOnDrop)]
pub struct ServerKey {
    #[zeroize(skip)]
    mode: Mode,
    secret: Scalar,
    /// Elements are doubled when they are encoded.
    half: Scalar,
    #[zeroize(skip)]
    public: Encoded,
}

impl ServerKey {
    /// The key that belongs to a seed (RFC 9497, §3.2.1). One key for each version of a data set.
    ///
    /// # Errors
    ///
    /// [`OprfError::TooLong`] if `info` has more than 65535 bytes; [`OprfError::NoImage`].
    pub fn derive(mode: Mode, seed: &Seed, info: &[u8]) -> Result<Self, OprfError> {
        let len = u16::try_from(info.len()).map_err(|_| OprfError::TooLong)?;
        let derived = (0..=u8::MAX).map(|counter| {
            let parts = [&seed.as_bytes()[..], &len.to_be_bytes(), info, &[counter]];
            to_scalar(&mode.suite().key, &parts)
        });
        let secret = derived.into_iter().find(|secret| *secret != Scalar::ZERO);
        Ok(Self::new(mode, secret.ok_or(OprfError::NoImage)?))
    }

    fn new(mode: Mode, secret: Scalar) -> Self {
        Self {
            mode,
            secret,
            half: secret * Scalar::from(2u8).invert(),
            public: RistrettoPoint::mul_base(&secret).compress().to_bytes(),
        }
    }

    /// The public key, which clients of mode VOPRF must know from a trusted place.
    pub const fn public(&self) -> &Encoded {
        &self.public
    }

    /// F(k, x) of the server's own inputs (`Evaluate`).
    ///
    /// # Errors
    ///
    /// [`OprfError::TooLong`], [`OprfError::NoImage`].
    pub fn evaluate<T: AsRef<[u8]> + Sync>(&self, inputs: &[T]) -> Result<Vec<Output>, OprfError> {
        let batch = |inputs: &[T]| {
            let suite = self.mode.suite();
            let element = |input: &T| suite.element(input.as_ref()).map(|h| self.half * h);
            let elements: Vec<_> = inputs.iter().map(element).collect::<Result<_, _>>()?;
            finalized(inputs, &elements)
        };
        in_batches(inputs.par_chunks(BATCH).map(batch))
    }

    /// E = k·B for every element of a client (`BlindEvaluate`), and in mode VOPRF the proof.
    ///
    /// # Errors
    ///
    /// [`OprfError::Element`]; [`OprfError::TooLong`] if there are more than [`MAX_BATCH`].
    pub fn evaluate_blinded(
        &self,
        blinded: &[Encoded],
        prg: &mut Prg,
    ) -> Result<Evaluation, OprfError> {
        let mut nonce = random_scalar(prg);
        let answer = self.evaluate_with(blinded, &nonce);
        nonce.zeroize();
        answer
    }

    fn evaluate_with(&self, blinded: &[Encoded], nonce: &Scalar) -> Result<Evaluation, OprfError> {
        if blinded.len() > MAX_BATCH {
            return Err(OprfError::TooLong);
        }
        let decoded = decode_all(blinded)?;
        let mut elements = vec![[0; POINT_BYTES]; blinded.len()];
        let batches = decoded
            .par_chunks(BATCH)
            .zip(elements.par_chunks_mut(BATCH));
        batches.for_each(|(decoded, out)| {
            let products: Vec<_> = decoded.iter().map(|b| self.half * b).collect();
            encode_doubled(&products, out);
        });
        let proof = match self.mode {
            Mode::Base => None,
            Mode::Verifiable => Some(self.prove(blinded, &decoded, &elements, nonce)),
        };
        Ok(Evaluation { elements, proof })
    }

    /// `GenerateProof` with this nonce.
    fn prove(
        &self,
        blinded: &[Encoded],
        decoded: &[RistrettoPoint],
        evaluated: &[Encoded],
        nonce: &Scalar,
    ) -> [u8; PROOF_BYTES] {
        let suite = self.mode.suite();
        let weights = weights(suite, &self.public, blinded, evaluated);
        // Weights and elements are known to both sides: this sum may take the time it takes.
        let m = RistrettoPoint::vartime_multiscalar_mul(&weights, decoded);
        let z = self.secret * m;
        let commitments = [RistrettoPoint::mul_base(nonce), nonce * m];
        let challenge = challenge(suite, &self.public, &m, &z, &commitments);
        let response = nonce - challenge * self.secret;
        let mut proof = [0; PROOF_BYTES];
        proof[..32].copy_from_slice(challenge.as_bytes());
        proof[32..].copy_from_slice(response.as_bytes());
        proof
    }
}

/// A server's answer.
pub struct Evaluation {
    /// E for every B.
    pub elements: Vec<Encoded>,
    /// In mode VOPRF: that all of them were made with the server's key.
    pub proof: Option<[u8; PROOF_BYTES]>,
}

/// A client between its question and the server's answer.
pub struct Client<T> {
    mode: Mode,
    inputs: Vec<T>,
    blinds: Blinds,
    blinded: Vec<Encoded>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Blinds(Vec<Scalar>);

impl<T: AsRef<[u8]> + Sync> Client<T> {
    /// Blinds the inputs.
    ///
    /// # Errors
    ///
    /// [`OprfError::TooLong`] for an input of more than 65535 bytes; [`OprfError::NoImage`].
    pub fn new(mode: Mode, inputs: Vec<T>, prg: &mut Prg) -> Result<Self, OprfError> {
        let blinds = inputs.iter().map(|_| random_scalar(prg)).collect();
        Self::with_blinds(mode, inputs, Blinds(blinds))
    }

    fn with_blinds(mode: Mode, inputs: Vec<T>, blinds: Blinds) -> Result<Self, OprfError> {
        if inputs
            .iter()
            .any(|x| x.as_ref().len() > usize::from(u16::MAX))
        {
            return Err(OprfError::TooLong);
        }
        let half = Scalar::from(2u8).invert();
        let batch = |(inputs, blinds): (&[T], &[Scalar])| {
            let element = |(input, blind): (&T, &Scalar)| {
                Ok((blind * half) * mode.suite().element(input.as_ref())?)
            };
            let products = inputs.iter().zip(blinds).map(element);
            let products = products.collect::<Result<Vec<_>, OprfError>>()?;
            let mut out = vec![[0; POINT_BYTES]; inputs.len()];
            encode_doubled(&products, &mut out);
            Ok(out)
        };
        let batches = inputs.par_chunks(BATCH).zip(blinds.0.par_chunks(BATCH));
        let blinded = in_batches(batches.map(batch))?;
        Ok(Self {
            mode,
            inputs,
            blinds,
            blinded,
        })
    }

    /// B for every input: the message to the server.
    pub fn blinded(&self) -> &[Encoded] {
        &self.blinded
    }

    /// F(k, x) of every input, from the server's answer (`Finalize`). In mode VOPRF the proof must
    /// hold for `public`.
    ///
    /// # Errors
    ///
    /// [`OprfError::Length`], [`OprfError::Element`], [`OprfError::Proof`].
    pub fn finish(
        mut self,
        answer: &Evaluation,
        public: &Encoded,
    ) -> Result<Vec<Output>, OprfError> {
        if answer.elements.len() != self.inputs.len() {
            return Err(OprfError::Length {
                expected: self.inputs.len(),
                found: answer.elements.len(),
            });
        }
        let evaluated = decode_all(&answer.elements)?;
        if self.mode == Mode::Verifiable {
            self.verify(answer, &evaluated, public)?;
        }
        Scalar::invert_batch_alloc(&mut self.blinds.0);
        let half = Scalar::from(2u8).invert();
        let batch = |((inputs, evaluated), inverses): ((&[T], &[RistrettoPoint]), &[Scalar])| {
            let products = evaluated.iter().zip(inverses);
            let products: Vec<_> = products.map(|(e, r)| (r * half) * e).collect();
            finalized(inputs, &products)
        };
        let batches = self
            .inputs
            .par_chunks(BATCH)
            .zip(evaluated.par_chunks(BATCH));
        in_batches(batches.zip(self.blinds.0.par_chunks(BATCH)).map(batch))
    }

    /// `VerifyProof`.
    fn verify(
        &self,
        answer: &Evaluation,
        evaluated: &[RistrettoPoint],
        public: &Encoded,
    ) -> Result<(), OprfError> {
        let suite = self.mode.suite();
        let (proof, _) = answer
            .proof
            .as_ref()
            .ok_or(OprfError::Proof)?
            .as_chunks::<32>();
        let scalar = |bytes| Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes));
        let (c, s) = scalar(proof[0])
            .zip(scalar(proof[1]))
            .ok_or(OprfError::Proof)?;
        let key = decode(public).map_err(|_| OprfError::Proof)?;
        let blinded = decode_all(&self.blinded)?;
        let weights = weights(suite, public, &self.blinded, &answer.elements);
        // Everything here is known to both sides.
        let m = RistrettoPoint::vartime_multiscalar_mul(&weights, &blinded);
        let z = RistrettoPoint::vartime_multiscalar_mul(&weights, evaluated);
        let commitments = [
            RistrettoPoint::mul_base(&s) + c * key,
            RistrettoPoint::vartime_multiscalar_mul([s, c], [m, z]),
        ];
        let expected = challenge(suite, public, &m, &z, &commitments);
        match expected.ct_eq(&c).into() {
            true => Ok(()),
            false => Err(OprfError::Proof),
        }
    }
}

fn decode_all(elements: &[Encoded]) -> Result<Vec<RistrettoPoint>, OprfError> {
    let decoded = elements.par_iter().enumerate().map(|(index, element)| {
        decode(element).map_err(|error| OprfError::Element(error.moved(index)))
    });
    decoded.collect()
}

/// The outputs of a batch, from half of each element.
fn finalized<T: AsRef<[u8]>>(
    inputs: &[T],
    halves: &[RistrettoPoint],
) -> Result<Vec<Output>, OprfError> {
    let mut elements = vec![[0; POINT_BYTES]; inputs.len()];
    encode_doubled(halves, &mut elements);
    let outputs = inputs.iter().zip(&elements);
    let outputs = outputs.map(|(input, element)| Output::new(input.as_ref(), element));
    let outputs = outputs.collect();
    elements.zeroize();
    outputs
}

fn in_batches<T: Send>(
    batches: impl IndexedParallelIterator<Item = Result<Vec<T>, OprfError>>,
) -> Result<Vec<T>, OprfError> {
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok(batches.into_iter().flatten().collect())
}

/// The weights d_i with which all elements are proved at once (`ComputeComposites`).
fn weights(
    suite: &Suite,
    public: &Encoded,
    blinded: &[Encoded],
    evaluated: &[Encoded],
) -> Vec<Scalar> {
    const POINT_LEN: [u8; 2] = (POINT_BYTES as u16).to_be_bytes();
    let mut hash = Sha512::new();
    hash.update(POINT_LEN);
    hash.update(public);
    hash.update((suite.seed_tag.len() as u16).to_be_bytes());
    hash.update(&suite.seed_tag);
    let seed: [u8; 64] = hash.finalize().into();
    let pairs = blinded.par_iter().zip(evaluated).enumerate();
    let weight = pairs.map(|(i, (c, d))| {
        let parts: [&[u8]; 8] = [
            &64u16.to_be_bytes(),
            &seed,
            &(i as u16).to_be_bytes(),
            &POINT_LEN,
            c,
            &POINT_LEN,
            d,
            b"Composite",
        ];
        to_scalar(&suite.scalar, &parts)
    });
    weight.collect()
}

/// The challenge of a proof, from what it is about and its commitments.
fn challenge(
    suite: &Suite,
    public: &Encoded,
    m: &RistrettoPoint,
    z: &RistrettoPoint,
    commitments: &[RistrettoPoint; 2],
) -> Scalar {
    let mut transcript = Vec::with_capacity(5 * (2 + POINT_BYTES) + 9);
    let [a, b] = commitments;
    let encoded = [m, z, a, b].map(|point| point.compress().to_bytes());
    for element in [*public].into_iter().chain(encoded) {
        transcript.extend_from_slice(&(POINT_BYTES as u16).to_be_bytes());
        transcript.extend_from_slice(&element);
    }
    transcript.extend_from_slice(b"Challenge");
    to_scalar(&suite.scalar, &[&transcript])
}

#[cfg(test)]
mod tests;
