//! What a plan opens at its end, as the protocols take it.

use protocols::aggregate::{
    self, CellRule, Check, MeteredShape, NoisyShape, ReleaseShape, RoundedShape,
};
use protocols::disclose::Terms;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::stats::group::coded::{self, CodedShape};
use protocols::stats::group::{self, GroupShape};
use protocols::stats::top::{self, Column, TopShape};

use super::steps::HASH_BITS;
use super::{HiddenGroups, Plan, Procedure, ReleaseRule, RingWidth, TopCells};

/// What is opened to the receivers, and who those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// The groups whose checks hold.
    Cells(ReleaseShape),
    /// The same with noise of every holder.
    Noisy(NoisyShape),
    /// The same of counts that are rounded.
    Rounded(RoundedShape),
    /// The same with what each holder contributes.
    Metered(MeteredShape),
    /// Of these the ones that come first by a total.
    Top(TopShape),
    /// The groups whose checks hold, with their keys.
    Groups(GroupShape),
    /// The same of groups whose holders have numbered them.
    Coded(CodedShape),
}

impl Release {
    /// What a holder approves.
    #[must_use]
    pub fn terms(&self) -> Terms {
        match self {
            Self::Cells(shape) => shape.terms(),
            Self::Noisy(shape) => shape.terms(),
            Self::Rounded(shape) => shape.terms(),
            Self::Metered(shape) => shape.terms(),
            Self::Top(shape) => shape.terms(),
            Self::Groups(shape) => shape.terms(),
            Self::Coded(shape) => shape.terms(),
        }
    }

    /// The same for other receivers.
    #[must_use]
    pub fn to(mut self, seats: Vec<Seat>) -> Self {
        match &mut self {
            Self::Cells(shape) => shape.receivers = seats,
            Self::Noisy(shape) => shape.release.receivers = seats,
            Self::Rounded(shape) => shape.release.receivers = seats,
            Self::Metered(shape) => shape.release.receivers = seats,
            Self::Top(shape) => shape.receivers = seats,
            Self::Groups(shape) => shape.receivers = seats,
            Self::Coded(shape) => shape.receivers = seats,
        }
        self
    }

    pub(super) fn price(&self, seats: Seats) -> Price {
        match self {
            Self::Cells(shape) => Price {
                needs: aggregate::needs(shape, seats),
                cost: aggregate::online_cost(shape, seats.n_seats, seats.n_computing),
            },
            Self::Noisy(shape) => shape.price(seats),
            Self::Rounded(shape) => shape.price(seats),
            Self::Metered(shape) => shape.price(seats),
            Self::Top(shape) => top::price(shape, seats),
            Self::Groups(shape) => group::price(shape, seats),
            Self::Coded(shape) => coded::price(shape, seats),
        }
    }
}

impl Plan {
    /// The seats of the receivers.
    #[must_use]
    pub fn receiver_seats(&self) -> Vec<Seat> {
        let seat = |party| self.seats.iter().position(|s| s == party);
        let seats = self.receivers.iter().filter_map(seat);
        seats.map(Seat::from_index).collect()
    }

    /// What is opened, as the protocol takes it.
    #[must_use]
    pub fn release(&self) -> Release {
        let checks = self.shape.checks.iter().map(|c| Check {
            column: c.column,
            at_least: c.at_least,
            bound_bits: c.bound_bits,
        });
        let checks: Vec<Check> = checks.collect();
        let receivers = self.receiver_seats();
        if let Some(survival) = self.survival() {
            return Release::Cells(survival.release(receivers));
        }
        if let Some(hidden) = &self.shape.hidden {
            return self.of_hidden(hidden, checks, receivers);
        }
        match (&self.shape.top, self.shape.rule) {
            (Some(first), ReleaseRule::Compare) => {
                Release::Top(self.top_shape(first, checks, receivers))
            }
            (_, rule) => self.of_cells(ReleaseShape {
                cells: self.shape.cells,
                narrow: self.shape.narrow,
                compared: self.shape.compared,
                wide: self.shape.wide,
                checks,
                receivers,
                mode: match rule {
                    ReleaseRule::None => CellRule::None,
                    ReleaseRule::Compare => match self.margins() {
                        Some(margins) if self.protects_margins() => CellRule::Margins(margins),
                        _ => CellRule::Compare,
                    },
                    ReleaseRule::OpenCounts => CellRule::OpenCounts,
                },
            }),
        }
    }

    fn of_hidden(
        &self,
        hidden: &HiddenGroups,
        checks: Vec<Check>,
        receivers: Vec<Seat>,
    ) -> Release {
        let (key_words, method) = (hidden.key_words(), self.setting().method);
        let (narrow, wide) = (self.shape.narrow, self.shape.wide);
        match self.procedure {
            Procedure::Join(_) => Release::Coded(CodedShape {
                cells: self.shape.cells,
                key_words,
                narrow,
                wide,
                checks,
                receivers,
                method,
            }),
            _ => Release::Groups(GroupShape {
                rows: (0..self.seats.len()).map(|seat| hidden.at(seat)).collect(),
                hash_bits: HASH_BITS,
                key_words,
                narrow,
                wide,
                checks,
                receivers,
                method,
            }),
        }
    }

    fn of_cells(&self, shape: ReleaseShape) -> Release {
        match (&self.noise, &self.meter, &self.rounding) {
            (Some(noise), ..) => Release::Noisy(self.noisy(noise, shape)),
            (None, Some(meter), _) => Release::Metered(self.metered(meter, shape)),
            (None, None, Some(rounding)) => Release::Rounded(self.rounded(rounding, shape)),
            (None, None, None) => Release::Cells(shape),
        }
    }

    fn top_shape(&self, first: &TopCells, checks: Vec<Check>, receivers: Vec<Seat>) -> TopShape {
        TopShape {
            cells: self.shape.cells,
            narrow: self.shape.narrow,
            wide: self.shape.wide,
            order_by: match first.ring {
                RingWidth::Narrow => Column::Narrow(first.column),
                RingWidth::Wide => Column::Wide(first.column),
            },
            bound_bits: first.bound_bits,
            descending: first.greatest_first,
            k: usize::try_from(first.n).unwrap_or(usize::MAX),
            checks,
            receivers,
            method: self.setting().method,
        }
    }
}
