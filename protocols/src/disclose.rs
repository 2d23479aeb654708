//! How a value reaches a person.
//!
//! [`reveal`] is the only function that turns a share into a value for somebody. It takes a
//! [`Disclosure`], which the agent issues in its `approve` step and nowhere else: a holder that has
//! not approved a receiver has no `Disclosure` that names it, and its share stays where it is.

use crate::arith::release;
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::share::Share;

/// What a holder lets out of one computation. Used up by one [`reveal`].
pub struct Disclosure {
    receivers: Vec<Seat>,
    opens_counts: bool,
}

impl Disclosure {
    /// Issues a disclosure. Only the agent's `approve` step calls this, with what the holder's
    /// policy or people agreed to.
    ///
    /// `receivers` may learn the result. With `opens_counts` every computing seat may learn the
    /// size of every group, small ones included.
    pub fn approved(receivers: Vec<Seat>, opens_counts: bool) -> Self {
        Self {
            receivers,
            opens_counts,
        }
    }

    /// The seats that may learn the result.
    pub fn receivers(&self) -> &[Seat] {
        &self.receivers
    }

    /// The part of this disclosure that opens group counts to all computing seats.
    pub(crate) fn for_counts(&self, session: &Session) -> Result<Self, ProtocolError> {
        if !self.opens_counts {
            return Err(ProtocolError::NotApproved {
                what: "opening group counts",
            });
        }
        Ok(Self::approved(session.computing_seats().collect(), false))
    }

    /// Checks that these receivers are covered, and can be receivers of this session.
    pub(crate) fn check(&self, receivers: &[Seat], session: &Session) -> Result<(), ProtocolError> {
        if receivers.iter().any(|r| !self.receivers.contains(r)) {
            return Err(ProtocolError::NotApproved {
                what: "a receiver of the result",
            });
        }
        if receivers.iter().any(|r| r.index() >= session.n_computing()) {
            return Err(ProtocolError::InvalidInput {
                what: "a receiver is a computing seat",
            });
        }
        Ok(())
    }
}

/// Vectors over both rings that are revealed together.
pub struct Values {
    /// Shares over Z_2^64.
    pub narrow: Share<u64>,
    /// Shares over Z_2^128.
    pub wide: Share<u128>,
}

/// What a receiver gets.
#[derive(PartialEq, Eq)]
pub struct Revealed {
    /// The values over Z_2^64.
    pub narrow: Vec<u64>,
    /// The values over Z_2^128.
    pub wide: Vec<u128>,
}

/// Reveals shared values to some computing seats, by commit-then-open.
///
/// Each seat re-randomises its share by a zero-sharing, commits to it towards all computing seats,
/// waits for all commitments, and then opens to the receivers. Who has seen others' shares can no
/// longer change its own. The commitments carry a digest of everything opened before, and the
/// openings one of all commitments, so that seats which were told different things find out before
/// anything is revealed, and receivers never end with different results.
///
/// # Seats     symmetric, any number ≥ 2; the result is `Some` at receivers and `None` elsewhere
/// # Inputs    `values`: shares; `receivers`: the same list at all seats; `disclosure` covers them
/// # Output    the values, at receivers
/// # Cost      2 rounds; [`cost`]
/// # Security  semi-honest, all but one seat may be corrupt; an opening that does not match its
///   commitment is found and its seat named; non-receivers learn nothing
/// # Errors    [`ProtocolError::NotApproved`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
/// # Source    additive secure aggregation; commit-then-open as in Blum, CRYPTO '81
pub async fn reveal(
    session: &mut Session,
    values: Values,
    receivers: &[Seat],
    disclosure: Disclosure,
) -> Result<Option<Revealed>, ProtocolError> {
    let outcome = match disclosure.check(receivers, session) {
        Ok(()) => release::commit_then_open(session, values, receivers).await,
        Err(refused) => Err(refused),
    };
    session.ended_by(outcome)
}

/// The declared cost of [`reveal`] for so many values of each ring.
pub fn cost(
    n_seats: usize,
    n_computing: usize,
    n_narrow: usize,
    n_wide: usize,
    receivers: &[Seat],
) -> Cost {
    release::cost(n_seats, n_computing, n_narrow, n_wide, receivers)
}
