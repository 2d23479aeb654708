//! The correlated randomness that a plan takes, and from where it comes.

use protocols::arith::compare::Method;
use protocols::correlate::{self, Needs, Source};
use protocols::party::Seat;
use protocols::price::{Price, Seats};

use super::{
    IntersectPlan, JoinPlan, JoinSizes, Plan, Procedure, Protocol, Setting, VerticalPlan, steps,
};
use crate::spec::Correlations;

impl Plan {
    /// Where the correlated randomness comes from, as the protocol takes it.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.correlations.as_ref().map(|source| match source {
            Correlations::Ot => Source::Ot,
            Correlations::FerretOt => Source::FerretOt,
            Correlations::Dealer(_) => Source::Dealer {
                seat: Seat::from_index(self.seats.len()),
            },
        })
    }

    /// The correlated randomness that the run takes.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let seats = self.n_seats();
        match &self.procedure {
            Procedure::Totals => {}
            Procedure::Join(of) => return self.needs_of_stars(of, &of.bounds(&self.keys)),
            Procedure::Intersect(of) => return self.needs_of_join(of, &of.bounds()),
            Procedure::Lookup(of) => {
                let price = of.price(seats);
                return price.map_or_else(Needs::default, |price| price.needs);
            }
            Procedure::Train(of) => {
                return of.price(Vec::new(), seats, self.setting().method).needs;
            }
            Procedure::Score(of) => {
                return of.price(seats, &of.bounds(), self.setting().method).needs;
            }
            Procedure::Vertical(of) => return self.needs_of_model(of, &of.bounds()),
        }
        let steps = steps::price(&self.steps, &self.setting(), seats);
        steps.needs + self.price_of_release(seats).needs
    }

    /// What is made later on, stock by stock, besides [`Self::needs`].
    #[must_use]
    pub fn needs_apart(&self) -> Vec<Needs> {
        let (setting, seats) = (self.setting(), self.n_seats());
        let steps = self.steps.iter();
        steps
            .flat_map(|step| step.needs_apart(&setting, seats))
            .collect()
    }

    /// The release, and what is found for it of totals that are not released.
    pub(crate) fn price_of_release(&self, seats: Seats) -> Price {
        let released = self.release().price(seats);
        match self.survival() {
            Some(survival) => survival.price(seats).then(&released),
            None => released,
        }
    }

    /// What all steps depend on.
    #[must_use]
    pub fn setting(&self) -> Setting {
        Setting {
            cells: self.shape.cells,
            rows_at_most: self.cost.rows_at_most,
            method: method(self.correlations.as_ref()),
        }
    }

    /// The hub that makes a join of these sizes cheapest, correlations included: by bytes, so that all agents agree.
    #[must_use]
    pub fn cheapest_hub(&self, of: &JoinPlan, sizes: &JoinSizes) -> usize {
        let (seats, source) = (self.n_seats(), self.source());
        let bytes = |hub: usize| {
            let (of, sizes) = (of.with_hub(hub, &self.keys), sizes.with_hub(hub));
            let price = of.price(seats, &sizes, &self.keys);
            let prepared = source.as_ref();
            let prepared = prepared.map(|s| correlate::cost(s, seats.n_computing, &price.needs));
            let all = prepared.iter().chain([&price.cost]);
            let sent = all.flat_map(|cost| Seat::first(seats.n_seats).map(|s| cost.bytes_sent(s)));
            sent.fold(0, u64::saturating_add)
        };
        (0..of.n_hubs()).min_by_key(|hub| bytes(*hub)).unwrap_or(0)
    }

    /// The correlated randomness of a join of these sizes.
    #[must_use]
    pub fn needs_of_stars(&self, of: &JoinPlan, sizes: &JoinSizes) -> Needs {
        let seats = self.n_seats();
        let released = self.price_of_release(seats).needs;
        let setting = self.setting();
        let steps = self.steps.iter();
        let steps = steps.map(|step| step.needs_at_once(&setting, seats));
        let joined = of.price(seats, sizes, &self.keys).needs + released;
        steps.fold(joined, |sum, step| sum + step)
    }

    /// The correlated randomness of a model over a join of this shape.
    #[must_use]
    pub fn needs_of_model(&self, of: &VerticalPlan, n_keys: &[usize]) -> Needs {
        let price = of.price(self.n_seats(), n_keys, self.setting().method);
        price.needs
    }

    /// The correlated randomness of an intersection of so many keys, in the order of seats.
    #[must_use]
    pub fn needs_of_join(&self, of: &IntersectPlan, n_keys: &[usize]) -> Needs {
        if of.protocol != Protocol::Circuit {
            return Needs::default();
        }
        let seats = self.n_seats();
        let released = self.release().price(seats).needs;
        // Nothing is joined with nothing.
        if n_keys.contains(&0) {
            return released;
        }
        let joined = protocols::psi::circuit::totals_price(seats, &of.circuit(n_keys));
        joined.needs + released
    }
}

/// How shares are compared: a dealer makes masks cheaply, oblivious transfer triples of bits.
pub(super) fn method(source: Option<&Correlations>) -> Method {
    match source {
        Some(Correlations::Dealer(_)) => Method::Masked,
        Some(Correlations::Ot | Correlations::FerretOt) | None => Method::Summed,
    }
}
