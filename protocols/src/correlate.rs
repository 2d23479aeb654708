//! Correlated randomness: needs, then stock, then take.
//!
//! A plan adds up what its protocols need ([`Needs`]). [`preprocess`] fills a [`Stock`] from the
//! source that the contract names. Protocols only take. A stock cannot be copied and what was
//! taken is gone, so no correlation is used twice; a retry is a new session with new seeds.

mod needs;
mod kinds;
mod stock;
mod shelf;
mod recipe;
mod sections;
mod matrix;
pub mod dealer;
pub mod portions;
mod ot;

pub use kinds::{
    BitPairs, BitTriples, DaBits, EdaBits, MatrixTriple, Muxes, PermutationShare, RowShares,
    Scalings, SecretPermutation, Tables, Triples, Truncs,
};
pub use needs::{MatrixShape, Needs, PermutationNeed, RingNeeds, StockedRing};
pub(crate) use ot::{Multiply, Online, Places, Scatter, Tariff};
pub use stock::{RingShelf, Stock};

use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use ot::Extension;

/// Where correlated randomness comes from. The contract names it and every holder approves it;
/// there is no default and no fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The party at this seat deals. It sees no data, and must not collude with any other party.
    Dealer {
        /// The last seat of the session.
        seat: Seat,
    },
    /// Oblivious transfer between the computing parties: no third party.
    Ot,
    /// The same with an extension that sends less and computes more, under one more assumption (LPN
    /// with regular noise): for links that are slow, below about half a gigabit a second.
    FerretOt,
}

impl Source {
    /// The source as the contract names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dealer { .. } => "dealer",
            Self::Ot => "ot",
            Self::FerretOt => "ot by ferret",
        }
    }

    /// Number of seats that do not compute: 1 for a dealer.
    pub fn extra_seats(&self) -> usize {
        match self {
            Self::Dealer { .. } => 1,
            Self::Ot | Self::FerretOt => 0,
        }
    }
}

/// Fills a stock from the contracted source. The computing seats call this; a dealer calls
/// [`dealer::serve`] with the same needs.
///
/// # Seats     symmetric among the computing seats
/// # Inputs    `needs`: the same at all seats
/// # Output    a stock of exactly these needs, in whole words
/// # Cost      [`cost`]; nothing if nothing is needed
/// # Security  that of the source: a dealer is trusted not to collude, see [`dealer`]; oblivious
///   transfer trusts nobody, and is computational and semi-honest
/// # Errors    the source's own
pub async fn preprocess(
    session: &mut Session,
    source: &Source,
    needs: &Needs,
) -> Result<Stock, ProtocolError> {
    if needs.is_nothing() {
        return Ok(Stock::empty());
    }
    sections::check(needs, session.n_computing(), session.dealer().is_some())?;
    let outcome = match source {
        Source::Dealer { seat } => dealer::receive(session, *seat, needs).await,
        Source::Ot => ot::generate(session, Extension::SoftSpoken, needs).await,
        Source::FerretOt => ot::generate(session, Extension::Ferret, needs).await,
    };
    session.ended_by(outcome)
}

/// The declared cost of [`preprocess`] over all seats, the dealer's included.
pub fn cost(source: &Source, n_computing: usize, needs: &Needs) -> Cost {
    match source {
        Source::Dealer { .. } => dealer::cost(n_computing, needs),
        Source::Ot => ot::cost(Extension::SoftSpoken, n_computing, needs),
        Source::FerretOt => ot::cost(Extension::Ferret, n_computing, needs),
    }
}
