//! What a protocol declares before it runs: the randomness it takes and the messages it sends.

use crate::correlate::{Needs, RingNeeds, StockedRing};
use crate::cost::Cost;
use crate::session::Session;

/// How many seats there are: prices depend on nothing else but public shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// All of them, a dealer included.
    pub n_seats: usize,
    /// Those that hold shares.
    pub n_computing: usize,
}

impl Seats {
    /// Seats that all compute.
    pub fn computing(n_computing: usize) -> Self {
        Self {
            n_seats: n_computing,
            n_computing,
        }
    }

    /// The seats of a session.
    pub fn of(session: &Session) -> Self {
        Self {
            n_seats: session.n_seats(),
            n_computing: session.n_computing(),
        }
    }
}

/// What a protocol takes from its stock, and what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Correlated randomness.
    pub needs: Needs,
    /// Rounds, bytes and messages.
    pub cost: Cost,
}

impl Price {
    /// Nothing is taken and nothing is sent.
    pub fn nothing(seats: Seats) -> Self {
        Self::of_cost(Cost::none(seats.n_seats))
    }

    /// The price of a step that takes no correlations.
    pub fn of_cost(cost: Cost) -> Self {
        Self {
            needs: Needs::default(),
            cost,
        }
    }

    /// The price of a step that takes ring correlations.
    pub(crate) fn of_ring<R: StockedRing>(needs: RingNeeds, cost: Cost) -> Self {
        Self {
            needs: Needs::of_ring::<R>(needs),
            cost,
        }
    }

    /// This, and then `next`.
    ///
    /// # Panics
    ///
    /// If the two are for different numbers of seats.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        Self {
            needs: self.needs + next.needs.clone(),
            cost: self.cost.then(&next.cost),
        }
    }

    /// These, one after another.
    pub(crate) fn sequence(seats: Seats, steps: impl IntoIterator<Item = Self>) -> Self {
        let steps = steps.into_iter();
        steps.fold(Self::nothing(seats), |sum, step| sum.then(&step))
    }
}
