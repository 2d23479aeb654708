//! Sums of shared rows at places that one seat knows: `engine::ot::scatter` between it and every other.
//!
//! ```text
//! extension   owner to every other seat: its choices are its items' places
//! answer      every other seat to the owner: hints and its share of the rows, masked
//! ```

use super::flow::{Flow, Incoming, Plan};
use super::online::{Online, batches};
use super::pairs::{Pair, Pattern, Rows, blame, in_memory};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::block::Block;
use engine::ot::extend::{Choices, ReceiverRows};
use engine::ot::products::Hasher;
use engine::ot::scatter::{self, Factors, Shape, Sums};
use engine::ring::{self, Ring};
use engine::share::Share;
use std::collections::VecDeque;
use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// The public shape of some sums.
#[derive(Clone, Copy)]
pub(crate) struct Scatter {
    /// Items, a multiple of 64.
    pub(crate) n_items: usize,
    pub(crate) n_places: usize,
    /// Elements of a row over Z_2^64, and over Z_2^128.
    pub(crate) n_narrow: usize,
    pub(crate) n_wide: usize,
}

impl Scatter {
    fn shape(&self) -> Shape {
        Shape::new(self.n_places, self.n_narrow, self.n_wide)
    }

    /// OTs of an item.
    pub(crate) fn depth(&self) -> usize {
        self.shape().depth()
    }

    pub(super) fn plan(&self, owner: Seat) -> Plan {
        let shape = self.shape();
        let items: Vec<usize> =
            batches(self.n_items, shape.depth(), shape.message_bytes(64)).collect();
        Plan {
            pattern: Pattern::Towards(owner),
            mode: Choices::Given,
            n_ots: items.iter().map(|n| shape.n_ots(*n)).collect(),
            answers: items.iter().map(|n| shape.message_bytes(*n)).collect(),
        }
    }
}

/// A place for each item; the number of places stands for none.
pub(crate) struct Places(pub(crate) Vec<u32>);

impl Drop for Places {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Online<'_> {
    /// Shares of the sums of rows at each place. `places`: at the owner.
    pub(crate) async fn scatter(
        &mut self,
        scatter: Scatter,
        places: Option<Places>,
        (narrow, wide): (Share<u64>, Share<u128>),
    ) -> Result<(Share<u64>, Share<u128>), ProtocolError> {
        assert_eq!(self.is_owner(), places.is_some(), "the owner has places");
        assert_eq!(
            narrow.len(),
            scatter.n_items * scatter.n_narrow,
            "elements of rows"
        );
        assert_eq!(
            wide.len(),
            scatter.n_items * scatter.n_wide,
            "elements of rows"
        );
        let shape = scatter.shape();
        let mut sums = Sums::zero(&shape);
        if let Some(places) = &places {
            add_own(
                &mut sums.narrow,
                &places.0,
                narrow.as_slice(),
                scatter.n_narrow,
            );
            add_own(&mut sums.wide, &places.0, wide.as_slice(), scatter.n_wide);
        }
        let flow = Scattering {
            plan: scatter.plan(self.owner),
            shape,
            scatter,
            places,
            rows: (narrow, wide),
            open: VecDeque::new(),
            sums,
        };
        let mut done = self.transfers.run(flow).await?;
        let narrow = Share::new(std::mem::take(&mut done.sums.narrow));
        let wide = Share::new(std::mem::take(&mut done.sums.wide));
        Ok((narrow, wide))
    }
}

/// Adds the owner's own share of the rows.
fn add_own<R: Ring>(sums: &mut [R], places: &[u32], rows: &[R], n_columns: usize) {
    for (place, row) in places.iter().zip(rows.chunks(n_columns.max(1))) {
        if let Some(sum) = sums.get_mut(*place as usize * n_columns..) {
            let n_columns = n_columns.min(sum.len());
            ring::add_assign(&mut sum[..n_columns], &row[..n_columns]);
        }
    }
}

/// OTs with one seat that wait for its answer.
struct Waiting {
    peer: Seat,
    hasher: Hasher,
    first: u64,
    rows: Zeroizing<Vec<Block>>,
}

struct Scattering {
    plan: Plan,
    shape: Shape,
    scatter: Scatter,
    places: Option<Places>,
    rows: (Share<u64>, Share<u128>),
    open: VecDeque<Vec<Waiting>>,
    sums: Sums,
}

impl Scattering {
    fn items(&self, batch: usize) -> Range<usize> {
        let depth = self.shape.depth();
        let before: usize = self.plan.n_ots[..batch].iter().sum();
        before / depth..(before + self.plan.n_ots[batch]) / depth
    }
}

impl Flow for Scattering {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)> {
        let Some(places) = &self.places else {
            return Vec::new();
        };
        let given = scatter::choices(&self.shape, &places.0[self.items(batch)]);
        let given = Zeroizing::new(given);
        let mut messages = Vec::with_capacity(pairs.len());
        let waiting = pairs.iter_mut().map(|pair| {
            let keep = |(hasher, first): (&Hasher, u64), rows: Rows<ReceiverRows<'_>>| {
                let (rows, extension) = in_memory(rows);
                ((hasher.twin(), first, rows), extension)
            };
            let n_ots = self.plan.n_ots[batch];
            let ((hasher, first, rows), _, message) = pair.receive(n_ots, Some(&given), keep);
            messages.push((pair.peer, message));
            Waiting {
                peer: pair.peer,
                hasher,
                first,
                rows: Zeroizing::new(rows),
            }
        });
        let waiting = waiting.collect();
        self.open.push_back(waiting);
        messages
    }

    fn answer(
        &mut self,
        batch: usize,
        pairs: &mut [Pair],
        extensions: &Incoming,
    ) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError> {
        let Some(pair) = self.plan.with_owner(pairs) else {
            return Ok(Vec::new());
        };
        let owner = pair.peer;
        let items = self.items(batch);
        let part = |n_columns: usize| items.start * n_columns..items.end * n_columns;
        let factors = Factors {
            narrow: &self.rows.0.as_slice()[part(self.scatter.n_narrow)],
            wide: &self.rows.1.as_slice()[part(self.scatter.n_wide)],
        };
        let (n_ots, mode) = (self.plan.n_ots[batch], self.plan.mode);
        let message = extensions.from(owner);
        let (message, sums) = pair.send(n_ots, mode, message, |numbered, delta, rows| {
            let rows = Zeroizing::new(in_memory(rows).0);
            scatter::send(numbered, &self.shape, (delta, &rows), factors)
        })?;
        self.sums.add(&sums);
        Ok(vec![(owner, message)])
    }

    fn finish(&mut self, batch: usize, answers: &Incoming) -> Result<(), ProtocolError> {
        let (Some(open), Some(places)) = (self.open.pop_front(), &self.places) else {
            return Ok(());
        };
        let places = &places.0[self.items(batch)];
        for waiting in open {
            let message = answers.from(waiting.peer);
            let numbered = (&waiting.hasher, waiting.first);
            let received =
                scatter::receive(numbered, &self.shape, (places, &waiting.rows), message);
            let sums = received.map_err(|e| blame(waiting.peer, e))?;
            self.sums.add(&sums);
        }
        Ok(())
    }
}
