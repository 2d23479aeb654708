//! What a connection error means, in words for a log or a person.

use quinn::ConnectionError;

use crate::logsafe::{LogSafe, PeerText};

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
    /// The other side refused our certificate.
    #[error("the peer refused us: {text}")]
    PeerRefused {
        /// The code of a [`super::Refusal`].
        code: &'static str,
        /// Its text.
        text: PeerText,
    },
    /// The other side speaks something else.
    #[error(
        "the two ends have no protocol in common (this one speaks entente/1); is this the right address, and are both ends up to date?"
    )]
    NoCommonProtocol,
    /// The TLS handshake failed in another way.
    #[error("the TLS handshake failed: {text}")]
    Handshake {
        /// What the TLS library says.
        text: PeerText,
    },
    /// The other side closed the connection and said why.
    #[error("closed by the peer (code {code}): {text}")]
    Closed {
        /// Application error code.
        code: u64,
        /// Its reason.
        text: PeerText,
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
        /// What the QUIC library says.
        text: PeerText,
    },
}

impl LogSafe for Trouble {}

impl Trouble {
    /// Reads a connection error.
    pub fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(e) => Self::of_tls(u64::from(e.code), &e.reason, true),
            ConnectionError::ConnectionClosed(c) => Self::of_tls(
                u64::from(c.error_code),
                &String::from_utf8_lossy(&c.reason),
                false,
            ),
            ConnectionError::ApplicationClosed(c) => Self::Closed {
                code: c.error_code.into_inner(),
                text: PeerText::new(&String::from_utf8_lossy(&c.reason)),
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

    fn of_tls(code: u64, reason: &str, ours: bool) -> Self {
        for code in REFUSAL_CODES {
            if let Some((_, said)) = reason.split_once(&format!("[{code}] ")) {
                let text = PeerText::new(said);
                return if ours {
                    Self::WeRefused { code, text }
                } else {
                    Self::PeerRefused { code, text }
                };
            }
        }
        match code.checked_sub(CRYPTO_ERROR) {
            Some(ALERT_NO_PROTOCOL) => Self::NoCommonProtocol,
            Some(0..=255) => Self::Handshake {
                text: PeerText::new(reason),
            },
            _ => Self::Transport {
                text: PeerText::new(reason),
            },
        }
    }

    /// Was a certificate refused, at either end? Then trying again is no use until a person has acted.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WeRefused { .. } | Self::PeerRefused { .. } | Self::NoCommonProtocol
        )
    }
}
