//! Correlations that are made in portions, when a computation comes to them: of one that may take many steps and mostly
//! takes few.
//!
//! Which portion is next, and when it was the last one, follows from what all computing seats know. A dealer knows nothing of
//! it, so the first seat tells it.

use super::{Needs, Source, Stock, cost, dealer, preprocess};
use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::psi::Count;
use crate::session::Session;

/// One kind of portion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// What it holds.
    pub needs: Needs,
    /// How often it is made at most.
    pub at_most: u32,
}

/// Makes the next portion.
///
/// # Seats     symmetric among the computing seats
/// # Inputs    `portions`: the same at all seats, the dealer's included; `which` of them is next
/// # Output    a stock of exactly that portion's needs
/// # Cost      that of [`preprocess`]; with a dealer 1 round and 8 bytes of the first seat more
/// # Security  that of the source; a dealer learns which portions are made
/// # Errors    the source's own
/// # Panics    if there is no such portion
pub async fn next(
    session: &mut Session,
    source: &Source,
    portions: &[Portion],
    which: usize,
) -> Result<Stock, ProtocolError> {
    tell(session, source, 1 + which as u64).await?;
    preprocess(session, source, &portions[which].needs).await
}

/// Says that no portion comes any more.
///
/// # Seats     symmetric among the computing seats
/// # Inputs    none
/// # Output    none
/// # Cost      with a dealer 1 round and 8 bytes of the first seat; otherwise none
/// # Security  a dealer learns that it was the last portion
/// # Errors    [`ProtocolError::Link`]
pub async fn end(session: &mut Session, source: &Source) -> Result<(), ProtocolError> {
    tell(session, source, 0).await
}

async fn tell(session: &mut Session, source: &Source, word: u64) -> Result<(), ProtocolError> {
    match source {
        Source::Dealer { seat } if session.seat() == Seat(0) => {
            session.send(*seat, Count(word)).await
        }
        _ => Ok(()),
    }
}

/// Deals portions as they are asked for.
///
/// # Seats     the dealer, while the others call [`next`] and at last [`end`]
/// # Inputs    `portions`: the same at all seats
/// # Output    none
/// # Cost      [`portions_cost`]
/// # Security  as [`dealer::serve`]; the dealer learns which portions are made
/// # Errors    those of [`dealer::serve`]; [`ProtocolError::PeerMisbehaved`] if a portion is asked for that is none, or more
///   often than agreed on
pub async fn serve(session: &mut Session, portions: &[Portion]) -> Result<(), ProtocolError> {
    let mut left: Vec<u32> = portions.iter().map(|portion| portion.at_most).collect();
    loop {
        let Count(word) = session.recv(Seat(0), ()).await?;
        let Some(which) = word.checked_sub(1) else {
            return Ok(());
        };
        let which = usize::try_from(which).unwrap_or(usize::MAX);
        let is_left = left
            .get_mut(which)
            .and_then(|n| n.checked_sub(1).map(|rest| *n = rest));
        if is_left.is_none() {
            return session.ended_by(Err(ProtocolError::PeerMisbehaved {
                seat: Seat(0),
                what: Misdeed::Rule("it asked for a portion that was not agreed on"),
            }));
        }
        dealer::serve(session, &portions[which].needs).await?;
    }
}

/// The declared cost of all portions, each made as often as it may be.
pub fn portions_cost(source: &Source, n_computing: usize, portions: &[Portion]) -> Cost {
    let n_seats = n_computing + source.extra_seats();
    let told = match source {
        Source::Dealer { seat } => {
            let word = Stream {
                n_bytes: 8,
                n_messages: 1,
            };
            Cost::round(n_seats, [(Seat(0), *seat, word)])
        }
        Source::Ot | Source::FerretOt => Cost::none(n_seats),
    };
    let mut all = told.clone();
    for portion in portions {
        let once = cost(source, n_computing, &portion.needs).then(&told);
        for _ in 0..portion.at_most {
            all = all.then(&once);
        }
    }
    all
}
