//! What went wrong, and whose fault it is.
//!
//! Every fault that another seat caused names that seat ([`ProtocolError::culprit`]). No text is
//! made from data: messages hold seats, lengths and fixed words, so they may be logged.

use crate::party::Seat;
use crate::wire::WireError;

/// Why a protocol ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The link to a peer failed. Its machine, its network or its operator ended the session.
    #[error("the link to {seat} failed: {cause}")]
    Link {
        /// The peer at the other end.
        seat: Seat,
        /// How the link failed.
        cause: LinkError,
    },
    /// A peer sent what no honest peer sends.
    #[error("{seat} did not follow the protocol: {what}")]
    PeerMisbehaved {
        /// The peer.
        seat: Seat,
        /// What it sent, in public terms.
        what: Misdeed,
    },
    /// A check over all seats failed, and does not show which of them is to blame.
    #[error("a consistency check failed: {what}; nothing was released")]
    CheckFailed {
        /// The check.
        what: &'static str,
    },
    /// A construction that fails with small probability has failed. Retry in a new session.
    #[error("{what} failed by chance; run the job again")]
    Unlucky {
        /// The construction.
        what: &'static str,
    },
    /// The computation would need more than was declared.
    #[error("{what} would need {needed}, but {declared} was declared")]
    OverBudget {
        /// The quantity.
        what: &'static str,
        /// How much would be needed.
        needed: u64,
        /// How much was declared.
        declared: u64,
    },
    /// A protocol asked for more correlated randomness than was prepared.
    #[error("out of {kind}: {needed} needed, {left} left")]
    OutOfCorrelations {
        /// The kind of correlation.
        kind: &'static str,
        /// How many were asked for.
        needed: u64,
        /// How many were left.
        left: u64,
    },
    /// This seat was called with arguments that do not fit together. No message was sent.
    #[error("{what}")]
    InvalidInput {
        /// What does not fit.
        what: &'static str,
    },
    /// This holder could not read or write what it keeps on its own disk.
    #[error("this holder could not keep {what}")]
    Storage {
        /// What was to be kept or read.
        what: &'static str,
    },
    /// What was to be revealed goes beyond what this holder approved. No message was sent.
    #[error("not approved by this holder: {what}")]
    NotApproved {
        /// The disclosure that was not approved.
        what: &'static str,
    },
}

impl ProtocolError {
    /// The seat whose fault it is, if it is one seat's fault.
    pub fn culprit(&self) -> Option<Seat> {
        match self {
            Self::Link { seat, .. } | Self::PeerMisbehaved { seat, .. } => Some(*seat),
            Self::CheckFailed { .. }
            | Self::Unlucky { .. }
            | Self::OverBudget { .. }
            | Self::OutOfCorrelations { .. }
            | Self::InvalidInput { .. }
            | Self::Storage { .. }
            | Self::NotApproved { .. } => None,
        }
    }

    /// What a link reported, with the seat at its other end.
    pub(crate) fn from_link(seat: Seat, cause: LinkError) -> Self {
        match cause {
            LinkError::Malformed(what) => Self::from_wire(seat, what),
            cause => Self::Link { seat, cause },
        }
    }

    pub(crate) fn from_wire(seat: Seat, what: WireError) -> Self {
        Self::PeerMisbehaved {
            seat,
            what: Misdeed::Wire(what),
        }
    }
}

/// What a misbehaving peer did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misdeed {
    /// It sent a message of the wrong kind, length or form.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It opened something else than it had committed to.
    #[error("its opening does not match its commitment")]
    Commitment,
    /// It broke a rule of a protocol.
    #[error("{0}")]
    Rule(&'static str),
}

/// Why a link failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer, or the network, closed it.
    #[error("it was closed")]
    Closed,
    /// The peer was silent for too long.
    #[error("the peer was silent for too long")]
    TimedOut,
    /// This party ended the session, because a person cancelled it or another fault came first.
    #[error("the session was ended here")]
    Ended,
    /// The same path to the same peer was opened twice: a mistake of the calling code.
    #[error("the path was opened twice")]
    AlreadyOpen,
    /// There is no such peer in this network.
    #[error("there is no such peer")]
    NoSuchPeer,
    /// The peer's bytes are not the frame that was due. The session turns this into
    /// [`ProtocolError::PeerMisbehaved`].
    #[error(transparent)]
    Malformed(#[from] WireError),
}
