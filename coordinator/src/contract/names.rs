//! Identifiers that appear in contracts and control messages. Each is a type of its own, checked where it is made.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::logsafe::LogSafe;

/// The durable name of an organisation: 1 to 32 characters of `a-z`, `0-9` and `_`.
///
/// A name means nothing by itself; it stands for the key that the reader pinned under it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartyName(String);

impl PartyName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Checks and takes a name.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.bytes().all(allowed) {
            return Err(NameError::PartyName);
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PartyName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<PartyName> for String {
    fn from(name: PartyName) -> Self {
        name.0
    }
}

impl FromStr for PartyName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl fmt::Display for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl LogSafe for PartyName {}

/// Why a text is not the identifier it should be. Never repeats the text, which may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a party name.
    #[error("a party name has 1 to 32 characters of a-z, 0-9 and _")]
    PartyName,
    /// Not lower-case hexadecimal of the right length.
    #[error("expected {n_digits} lower-case hexadecimal digits")]
    Hex {
        /// How many digits are expected.
        n_digits: usize,
    },
    /// Not a fingerprint.
    #[error(
        "a fingerprint reads SHA256: and 43 characters of base64url, as `entente keys show` prints it"
    )]
    Fingerprint,
}

/// Writes `bytes` in lower-case hexadecimal.
fn fmt_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

/// Reads exactly `N` bytes of lower-case hexadecimal.
fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], NameError> {
    let error = NameError::Hex { n_digits: 2 * N };
    let digit = |b: u8| match b {
        b'0'..=b'9' => Ok(b - b'0'),
        b'a'..=b'f' => Ok(b - b'a' + 10),
        _ => Err(error),
    };
    if text.len() != 2 * N {
        return Err(error);
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

/// Reads a fixed number of bytes, from hexadecimal text (JSON) or a byte string (control messages).
struct FixedBytes<const N: usize>;

impl<const N: usize> serde::de::Visitor<'_> for FixedBytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hexadecimal digits", 2 * N)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
        parse_hex(text).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        bytes
            .try_into()
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $n]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(FixedBytes).map(Self)
                } else {
                    deserializer.deserialize_bytes(FixedBytes).map(Self)
                }
            }
        }

        impl LogSafe for $name {}
    };
}

fixed_bytes!(
    /// Names one job, for ever: 16 bytes that its proposer drew at random. An id is never used for a second contract.
    JobId,
    16
);

fixed_bytes!(
    /// A SHA-256 digest of canonical bytes.
    Digest,
    32
);

fixed_bytes!(
    /// A party's contribution to the session id of a job, drawn after the contract is fixed.
    Nonce,
    32
);

fixed_bytes!(
    /// An Ed25519 public key.
    PublicKey,
    32
);

fixed_bytes!(
    /// An Ed25519 signature.
    SignatureBytes,
    64
);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of all that can be read.
    ///
    /// # Errors
    /// What the reader says.
    pub fn of_reader(reader: &mut impl io::Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut part = vec![0; 1 << 16];
        loop {
            match reader.read(&mut part)? {
                0 => return Ok(Self(hash.finalize().into())),
                n => hash.update(&part[..n]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_names_follow_the_rule() {
        for good in ["a", "hospital_1", "0", &"x".repeat(32)] {
            assert!(PartyName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a-b", "a b", "医院", "a\n", &"x".repeat(33)] {
            assert_eq!(PartyName::new(bad), Err(NameError::PartyName), "{bad:?}");
        }
    }

    #[test]
    fn hexadecimal_is_strict() {
        let id = JobId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        let error = Err(NameError::Hex { n_digits: 32 });
        for bad in [
            "",
            "ab",
            &"AB".repeat(16),
            &"ab".repeat(17),
            &"g0".repeat(16),
            &"é".repeat(16),
        ] {
            assert_eq!(bad.parse::<JobId>(), error, "{bad:?}");
        }
    }

    #[test]
    fn digest_is_sha256() {
        // FIPS 180-4 example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), expected);
    }
}
