//! How a value reaches a person.
//!
//! [`reveal`] is the only function that turns a share into a value for somebody. It takes a
//! [`Disclosure`], which the agent issues in its `approve` step and nowhere else: a holder that has
//! not approved a release, down to the last number and receiver, has no `Disclosure` for it, and
//! its share stays where it is.

use crate::arith::release;
use crate::correlate::{Needs, Stock};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::hash;
use engine::share::Share;

/// The public description of one release: all that is fixed before it runs. It is what a holder
/// approves, and what a protocol is about to do, so that the two can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    digest: [u8; 32],
    receivers: Vec<Seat>,
}

impl Terms {
    /// The terms of a protocol. `context` names the protocol, `fields` are its public shape in an
    /// order that the protocol fixes: whatever changes what is learnt has to be among them.
    pub fn new(context: &'static str, fields: &[&[u8]], receivers: &[Seat]) -> Self {
        let seats: Vec<u8> = receivers.iter().map(|r| r.0).collect();
        let mut all = vec![&seats[..]];
        all.extend(fields);
        Self {
            digest: hash::digest(context, &all),
            receivers: receivers.to_vec(),
        }
    }

    /// The terms of one [`reveal`] of so many values of each ring.
    pub fn of_values(n_narrow: usize, n_wide: usize, receivers: &[Seat]) -> Self {
        let sizes = [n_narrow, n_wide].map(|n| (n as u64).to_le_bytes());
        Self::new(
            "entente/v1/terms/values",
            &[&sizes[0], &sizes[1]],
            receivers,
        )
    }

    /// The terms of several releases of one computation, which [`Disclosure::split`] takes apart again. Receivers are
    /// those of the first.
    pub fn all(parts: &[Self]) -> Self {
        let of = |part: &Self| {
            let seats = part.receivers.iter().map(|seat| seat.0);
            seats.chain(part.digest).collect::<Vec<u8>>()
        };
        let fields: Vec<Vec<u8>> = parts.iter().map(of).collect();
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let first = parts.first().map_or(&[][..], |first| &first.receivers);
        Self::new("entente/v1/terms/all", &fields, first)
    }

    /// The seats that learn the result.
    pub fn receivers(&self) -> &[Seat] {
        &self.receivers
    }

    /// For the terms of a protocol that has this one as a part.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// What a holder lets out of one computation. Used up by one release.
pub struct Disclosure {
    terms: Terms,
}

impl Disclosure {
    /// Issues a disclosure. Only the agent's `approve` step calls this, with what the holder's
    /// policy or people agreed to.
    pub fn approved(terms: Terms) -> Self {
        Self { terms }
    }

    /// The seats that may learn the result.
    pub fn receivers(&self) -> &[Seat] {
        self.terms.receivers()
    }

    /// A disclosure for each of several releases, if exactly these were approved together.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NotApproved`].
    pub fn split(self, parts: Vec<Terms>) -> Result<Vec<Self>, ProtocolError> {
        match self.terms == Terms::all(&parts) {
            true => Ok(parts.into_iter().map(|terms| Self { terms }).collect()),
            false => Err(ProtocolError::NotApproved {
                what: "releases of these shapes together",
            }),
        }
    }

    /// One reveal within a release whose terms were checked, and which says that there is this one.
    pub(crate) fn part(&self, terms: Terms) -> Self {
        Self { terms }
    }

    /// Checks that exactly this was approved, and that its receivers can be receivers of this
    /// session.
    pub(crate) fn check(&self, terms: &Terms, session: &Session) -> Result<(), ProtocolError> {
        let not_approved = |what| Err(ProtocolError::NotApproved { what });
        if self.terms.receivers != terms.receivers {
            return not_approved("the receivers of the result");
        }
        if self.terms != *terms {
            return not_approved("a release of this shape");
        }
        if terms
            .receivers
            .iter()
            .any(|r| r.index() >= session.n_computing())
        {
            return Err(ProtocolError::InvalidInput {
                what: "a receiver is a computing seat",
            });
        }
        Ok(())
    }
}

/// What stands before the first message of a protocol that reveals: ends the session unless exactly `terms` were
/// approved and the stock has what the protocol needs.
pub(crate) fn admit(
    session: &mut Session,
    (disclosure, terms): (&Disclosure, &Terms),
    (stock, needs): (&Stock, &Needs),
) -> Result<(), ProtocolError> {
    session.ended_by(disclosure.check(terms, session))?;
    session.ended_by(stock.check(needs))
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
/// # Inputs    `values`: shares; `receivers`: the same list at all seats; `disclosure`: for these
///   receivers and so many values
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
    let terms = Terms::of_values(values.narrow.len(), values.wide.len(), receivers);
    let outcome = match disclosure.check(&terms, session) {
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
