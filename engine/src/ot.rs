//! Oblivious transfer, and the products made from it, without a third party.
//!
//! The sender of an OT has two messages m_0, m_1; the receiver has a choice bit c and obtains m_c.
//! The sender does not learn c, the receiver does not learn m_{1−c}. Here all messages are random
//! (ROT) or differ by one secret offset Δ (COT): q = t ⊕ c·Δ.
//!
//! * [`base`]: 128 OTs from Diffie–Hellman, once per pair of seats and direction;
//! * [`pprf`]: the trees that turn them into punctured generators;
//! * [`extend`]: any number of OTs from these, with symmetric operations only;
//! * [`ferret`]: the same with two hundredths of the traffic, for slow links;
//! * [`tables`]: random tables of 16 entries, of which the receiver has one;
//! * [`products`]: shares of products of bits and ring elements, of which two seats have one each;
//! * [`scatter`]: sums of rows at places that one seat alone knows.
//!
//! Every type here is a state machine without a network. A step takes the bytes that came in and
//! returns the bytes to send; each message has one length that both sides compute from public
//! numbers, and any other length is refused. Security is against semi-honest parties.

pub mod base;
pub mod pprf;
pub mod extend;
pub(crate) mod tree;
pub mod ferret;
pub mod products;
pub mod tables;
pub mod scatter;

use thiserror::Error;

/// What a peer did wrong, or how far a session was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OtError {
    /// A message of the wrong length: the peer runs another protocol or another version.
    #[error("the peer's {what} has {actual} bytes where {expected} are due")]
    WrongLength {
        /// Which message.
        what: &'static str,
        /// Length that public numbers give.
        expected: usize,
        /// Length that came.
        actual: usize,
    },
    /// Bytes that are not the canonical encoding of a group element.
    #[error("group element {index} of the peer's {what} is not a canonical encoding")]
    NotAPoint {
        /// Which message.
        what: &'static str,
        /// Which element of it.
        index: usize,
    },
    /// The neutral element, with which the peer could fix the outcome.
    #[error("group element {index} of the peer's {what} is the identity")]
    Identity {
        /// Which message.
        what: &'static str,
        /// Which element of it.
        index: usize,
    },
    /// One session was asked for more OTs than its keys are good for; start a new session.
    #[error("this session is limited to {limit} oblivious transfers; start a new one")]
    Exhausted {
        /// [`crate::params::MAX_OTS`].
        limit: u64,
    },
}

/// Where OTs belong: one session, one operation in it, one ordered pair of seats.
///
/// Both sides construct the same value; every hash and key of [`base`] and [`extend`] is bound to
/// it. The pair is ordered, so that a message sent back to its author fits nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Direction {
    /// The session, agreed upon with fresh nonces of all seats.
    pub session_id: [u8; 32],
    /// The operation within the session; every set-up in a session has another one.
    pub operation: u64,
    /// The seat that has two messages, and Δ.
    pub sender: u8,
    /// The seat that has a choice.
    pub receiver: u8,
}

impl Direction {
    /// The fixed-width encoding that goes into hashes.
    pub(crate) fn to_bytes(self) -> [u8; 42] {
        let mut out = [0; 42];
        out[..32].copy_from_slice(&self.session_id);
        out[32..40].copy_from_slice(&self.operation.to_le_bytes());
        out[40] = self.sender;
        out[41] = self.receiver;
        out
    }
}

pub(crate) fn check_length(
    what: &'static str,
    message: &[u8],
    expected: usize,
) -> Result<(), OtError> {
    let actual = message.len();
    if actual == expected {
        Ok(())
    } else {
        Err(OtError::WrongLength {
            what,
            expected,
            actual,
        })
    }
}
