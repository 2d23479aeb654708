//! Fingerprints of keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::contract::{NameError, PublicKey};
use crate::logsafe::LogSafe;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key itself (RFC 8410 §4).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// SHA-256 of a key's SubjectPublicKeyInfo, written `SHA256:` and 43 characters of base64url (RFC 4648 §5, no padding).
///
/// It names the key, not the certificate: a renewed certificate of the same key has the same fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of an Ed25519 public key.
    pub fn of(key: &PublicKey) -> Self {
        let spki = Sha256::new()
            .chain_update(ED25519_SPKI_PREFIX)
            .chain_update(key.0);
        Self(spki.finalize().into())
    }

    /// The fingerprint of a DER-encoded SubjectPublicKeyInfo, if it holds an Ed25519 key.
    pub(crate) fn of_spki(spki: &[u8]) -> Option<Self> {
        let key: [u8; 32] = spki.strip_prefix(&ED25519_SPKI_PREFIX)?.try_into().ok()?;
        Some(Self::of(&PublicKey(key)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("SHA256:");
        for chunk in self.0.chunks(3) {
            let bits = chunk.iter().fold(0, |bits, b| bits << 8 | u32::from(*b))
                << (8 * (3 - chunk.len()));
            for i in 0..=chunk.len() {
                text.push(char::from(BASE64URL[(bits >> (18 - 6 * i)) as usize & 63]));
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.strip_prefix("SHA256:").ok_or(NameError::Fingerprint)?;
        if digits.len() != 43 {
            return Err(NameError::Fingerprint);
        }
        let (mut out, mut n_out, mut bits, mut n_bits) = ([0; 32], 0, 0u32, 0);
        for digit in digits.bytes() {
            let value = BASE64URL
                .iter()
                .position(|b| *b == digit)
                .ok_or(NameError::Fingerprint)?;
            bits = bits << 6 | value as u32;
            n_bits += 6;
            if n_bits >= 8 {
                n_bits -= 8;
                out[n_out] = (bits >> n_bits) as u8;
                n_out += 1;
                bits &= (1 << n_bits) - 1;
            }
        }
        // 43 digits hold 258 bits. The two left over must be zero, or one fingerprint could be written in four ways.
        if bits == 0 {
            Ok(Self(out))
        } else {
            Err(NameError::Fingerprint)
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl LogSafe for Fingerprint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_base64url_and_exact() {
        // SHA-256 of "abc" (FIPS 180-4), in base64url.
        let digest = crate::contract::Digest::of(b"abc").0;
        let text = "SHA256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(Fingerprint(digest).to_string(), text);
        assert_eq!(text.parse(), Ok(Fingerprint(digest)));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = Fingerprint([7; 32]).to_string();
        let last_bits_set = format!("{}d", &good[..good.len() - 1]);
        for bad in [
            "",
            "SHA256:",
            &good[7..],
            &format!("{good}="),
            &good.replace("SHA256", "sha256"),
            &last_bits_set,
        ] {
            assert_eq!(
                bad.parse::<Fingerprint>(),
                Err(NameError::Fingerprint),
                "{bad}"
            );
        }
    }
}
