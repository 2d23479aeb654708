//! What a connection error means, in words for a log or a person.
//!
//! A close that arrives before the handshake is complete is protected by keys that anybody on the way can compute, and its
//! text is whatever its sender likes. So of what the other side says only the code counts, and the words for it are ours.

use quinn::ConnectionError;

use crate::logsafe::{LogSafe, PeerText};

/// TLS alert `handshake_failure` (RFC 8446 §6.2): what a refused certificate becomes on the wire.
const ALERT_HANDSHAKE_FAILURE: u64 = 40;
/// TLS alert `no_application_protocol` (RFC 7301).
const ALERT_NO_PROTOCOL: u64 = 120;
/// QUIC error codes of TLS alerts start here (RFC 9001 §4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// Codes of [`super::Refusal`], as they stand in its text.
const REFUSAL_CODES: [&str; 5] = [
    "unpinned",
    "wrong-key",
    "expired",
    "not-yet-valid",
    "malformed",
];

/// Why a connection failed or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// We refused the other side's certificate.
    #[error("refused the peer: {text}")]
    WeRefused {
        /// The code of a [`super::Refusal`].
        code: &'static str,
        /// Its text.
        text: PeerText,
    },
    /// The other side refused our certificate. Which [`super::Refusal`] it was stands in its own log.
    #[error(
        "the peer refused this certificate: it does not trust the key (there: entente keys trust NAME FINGERPRINT, as entente keys show prints them here), or it finds the certificate out of date (start this agent or coordinator again to renew it, and check both clocks)"
    )]
    PeerRefused,
    /// The other side speaks something else.
    #[error(
        "the two ends have no protocol in common (this one speaks entente/1); is this the right address, and are both ends up to date?"
    )]
    NoCommonProtocol,
    /// The TLS handshake failed in another way.
    #[error("the TLS handshake failed: {text}")]
    Handshake {
        /// What the TLS library says, or which alert came.
        text: PeerText,
    },
    /// The other side closed the connection.
    #[error("closed by the peer (code {code})")]
    Closed {
        /// Application error code.
        code: u64,
    },
    /// Nothing was heard for the idle timeout.
    #[error("no answer for 5 s; is the peer running, and is UDP let through?")]
    TimedOut,
    /// The other side does not know the connection: it was restarted.
    #[error("reset by the peer, which has probably been restarted")]
    Reset,
    /// We closed it.
    #[error("closed here")]
    ClosedHere,
    /// QUIC itself failed.
    #[error("QUIC failed: {text}")]
    Transport {
        /// What the QUIC library says, or which code came.
        text: PeerText,
    },
}

impl LogSafe for Trouble {}

impl Trouble {
    /// Reads a connection error.
    pub fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(e) => Self::ours(u64::from(e.code), &e.reason),
            ConnectionError::ConnectionClosed(c) => Self::theirs(u64::from(c.error_code)),
            ConnectionError::ApplicationClosed(c) => Self::Closed {
                code: c.error_code.into_inner(),
            },
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Reset,
            ConnectionError::LocallyClosed => Self::ClosedHere,
            e @ (ConnectionError::VersionMismatch | ConnectionError::CidsExhausted) => {
                Self::Transport {
                    text: PeerText::new(&e.to_string()),
                }
            }
        }
    }

    /// What ended the connection here. The text is that of our own libraries, and of [`super::Refusal`].
    fn ours(code: u64, reason: &str) -> Self {
        for code in REFUSAL_CODES {
            if let Some((_, said)) = reason.split_once(&format!("[{code}] ")) {
                let text = PeerText::new(said);
                return Self::WeRefused { code, text };
            }
        }
        let text = PeerText::new(reason);
        match code.checked_sub(CRYPTO_ERROR) {
            Some(ALERT_NO_PROTOCOL) => Self::NoCommonProtocol,
            Some(0..=255) => Self::Handshake { text },
            _ => Self::Transport { text },
        }
    }

    /// What the other side ended the connection with.
    fn theirs(code: u64) -> Self {
        match code.checked_sub(CRYPTO_ERROR) {
            Some(ALERT_NO_PROTOCOL) => Self::NoCommonProtocol,
            Some(ALERT_HANDSHAKE_FAILURE) => Self::PeerRefused,
            Some(alert @ 0..=255) => Self::Handshake {
                text: PeerText::new(&format!("the peer ended it with TLS alert {alert}")),
            },
            _ => Self::Transport {
                text: PeerText::new(&format!("the peer ended the connection with error {code}")),
            },
        }
    }

    /// Was a certificate refused, at either end? Then trying again is of little use until a person has acted. Unless the
    /// handshake was complete, somebody on the way may have said so in the other side's place: another way may work.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WeRefused { .. } | Self::PeerRefused | Self::NoCommonProtocol
        )
    }
}
