//! Signatures: Ed25519 over a context and the bytes as they were received.
//!
//! The context keeps a signature made for one purpose from being shown for another. The body is never re-encoded between
//! receipt and verification, so what was verified is what is stored, forwarded and digested.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::canonical::{self, CanonicalError};
use super::names::{Digest, PublicKey, SignatureBytes};
use crate::tls::{Fingerprint, Identity};

/// The bytes that are signed: the pre-authentication encoding of DSSE 1.0 with the context as payload type, so that any
/// verifier of DSSE envelopes can check a statement. Neither what TLS signs nor a log's checkpoint begins so.
pub(crate) fn signed_bytes(context: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {context} {} ", context.len(), body.len());
    [head.as_bytes(), body].concat()
}

/// Verifies a signature made by [`Identity::sign`] with the same `context`.
///
/// Strict: a weak key or a non-canonical signature is refused, so that one body has one signature a key.
pub fn verify(
    key: &PublicKey,
    context: &str,
    body: &[u8],
    signature: &SignatureBytes,
) -> Result<(), SignError> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0).map_err(|_| SignError::Key)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(&signed_bytes(context, body), &signature)
        .map_err(|_| SignError::Signature)
}

/// Something that parties sign: a canonical document with its own context and size limit.
pub trait Statement: Serialize + DeserializeOwned {
    /// Domain of its signatures, `entente/v1/…`, unique among all statements.
    const CONTEXT: &'static str;
    /// The most bytes its canonical form may have.
    const MAX_BYTES: usize;

    /// Checks what its form alone does not say. Called before signing and after verifying.
    fn check(&self) -> Result<(), StatementError>;
}

/// A statement is well-formed JSON but breaks a rule of its own. Holds a fixed text: never what the statement said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StatementError(pub &'static str);

/// Why a statement is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Signed, if at all, with another key than the one that the reader knows this party by.
    #[error("signed with key {got}, but {expected} was expected")]
    WrongKey {
        /// The pinned key.
        expected: Fingerprint,
        /// The key that came with the statement.
        got: Fingerprint,
    },
    /// The public key is not a point of the curve, or a weak one.
    #[error("the public key is not a valid Ed25519 key")]
    Key,
    /// The signature does not belong to these bytes, this context and this key.
    #[error("the signature is not valid for these bytes")]
    Signature,
    /// Not canonical.
    #[error("{0}")]
    Canonical(#[from] CanonicalError),
    /// Breaks a rule of its own.
    #[error("{0}")]
    Statement(#[from] StatementError),
}

/// A statement with its signature, held as the bytes that were signed.
///
/// Nothing can be read from it but by [`Signed::verify`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub struct Signed<T> {
    #[serde(with = "body_bytes")]
    body: Vec<u8>,
    public_key: PublicKey,
    signature: SignatureBytes,
    #[serde(skip)]
    statement: PhantomData<fn() -> T>,
}

impl<T: Statement> Signed<T> {
    /// Signs `statement`.
    pub fn sign(statement: &T, identity: &Identity) -> Result<Self, SignError> {
        statement.check()?;
        let body = canonical::encode(statement)?;
        if body.len() > T::MAX_BYTES {
            return Err(CanonicalError::TooLong {
                n_bytes: body.len(),
                limit: T::MAX_BYTES,
            }
            .into());
        }
        let signature = identity.sign(T::CONTEXT, &body);
        Ok(Self {
            body,
            public_key: identity.public_key(),
            signature,
            statement: PhantomData,
        })
    }

    /// Checks key, signature, form and rules, in this order, and only then gives the statement out.
    pub fn verify(&self, expected: &Fingerprint) -> Result<T, SignError> {
        let got = Fingerprint::of(&self.public_key);
        if got != *expected {
            return Err(SignError::WrongKey {
                expected: *expected,
                got,
            });
        }
        verify(&self.public_key, T::CONTEXT, &self.body, &self.signature)?;
        let statement: T = canonical::decode(&self.body, T::MAX_BYTES)?;
        statement.check()?;
        Ok(statement)
    }
}

impl<T> Signed<T> {
    /// Puts a statement together from stored parts. Says nothing about their validity.
    pub fn from_parts(body: Vec<u8>, public_key: PublicKey, signature: SignatureBytes) -> Self {
        Self {
            body,
            public_key,
            signature,
            statement: PhantomData,
        }
    }

    /// The signed bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// SHA-256 of the signed bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// The key that signed, by its own account.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The signature.
    pub fn signature(&self) -> SignatureBytes {
        self.signature
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self::from_parts(self.body.clone(), self.public_key, self.signature)
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        (&self.body, self.public_key, self.signature)
            == (&other.body, other.public_key, other.signature)
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Signed({} by {})",
            self.digest(),
            Fingerprint::of(&self.public_key)
        )
    }
}

/// The body as text in JSON (it is canonical JSON, so UTF-8), as bytes in control messages.
mod body_bytes {
    use std::fmt;

    pub(super) fn serialize<S: serde::Serializer>(
        body: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let text = std::str::from_utf8(body).map_err(serde::ser::Error::custom)?;
            serializer.serialize_str(text)
        } else {
            serializer.serialize_bytes(body)
        }
    }

    struct Body;

    impl serde::de::Visitor<'_> for Body {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a canonical document")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            Ok(text.as_bytes().to_vec())
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Body)
        } else {
            deserializer.deserialize_bytes(Body)
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    /// The encoding of a contract's bytes, and a signature under it, as computed with another program.
    #[test]
    fn signed_bytes_are_those_of_dsse() {
        let body = concat!(
            r#"{"alg":{"id":"tds:secure-group-sum","manifest":"sha-256:0000000000000000000000000000000000000000000000000000000000000000","ver":"1.0.0"},"#,
            r#""cols":{"hospA":["dx","cost"],"insB":["paid"]},"dp":{"delta_log2":-40,"eps_micro":500000},"exp":1775001600,"id":"ctr-0001","#,
            r#""max_runs":3,"min_cell":11,"nbf":1767225600,"purpose":["duo:DUO_0000042","dpv:ServiceOptimisation"],"recipients":["insB"],"v":1}"#,
        );
        assert_eq!(body.len(), 388);
        let value: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(canonical::encode(&value), Ok(body.as_bytes().to_vec()));
        assert_eq!(
            Digest::of(body.as_bytes()).to_string(),
            "90f7750657f7b4c8b7f91b9df295dd89d5b71c946ef07c2879005146f21ee074"
        );
        let context = "application/vnd.tds.contract.v1+json";
        let signed = signed_bytes(context, body.as_bytes());
        assert_eq!(
            Digest::of(&signed).to_string(),
            "79dd536ebf0c36fdc48869902f3ccf15d3d48f62acaf8ad8d272597fed6006f3"
        );
        let seed: [u8; 32] = std::array::from_fn(|i| i as u8);
        let key = SigningKey::from_bytes(&seed);
        let signature = SignatureBytes(key.sign(&signed).to_bytes());
        assert_eq!(
            signature.to_string(),
            "fa75e609de948c5567b6080f75a330bb1133bc5a3a158257f956309cf7282a8eabade22769144a8b511c3ca0a7df359c938e9ed96b55a8ef175976d1c544f908"
        );
        let public = PublicKey(key.verifying_key().to_bytes());
        assert!(verify(&public, context, body.as_bytes(), &signature).is_ok());
    }
}
