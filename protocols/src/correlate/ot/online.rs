//! Products of numbers that one seat knows with shared rows, by Gilboa's method with the numbers' own bits
//! as choices: nothing is prepared, and only one direction is used.
//!
//! ```text
//! extension   owner to every other seat: its choices are the bits of x
//! answer      every other seat to the owner: its share y of the rows, masked, for each bit
//! ```
//!
//! A number of which all know that it has b bits takes b OTs.

use super::Extension;
use super::flow::{Flow, Incoming, Plan};
use super::pairs::{Pair, Pattern, Transfers, blame};
use super::tally::Tally;
use crate::correlate::StockedRing;
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::ot::extend::Choices;
use engine::ot::products::{self, Shape};
use engine::ring::{self, Ring};
use engine::share::Share;
use std::collections::VecDeque;
use std::ops::Range;
use zeroize::Zeroizing;

/// OTs with one seat as the receiver, set up for one protocol.
pub(crate) struct Online<'a> {
    pub(super) transfers: Transfers<'a>,
    pub(super) owner: Seat,
}

impl<'a> Online<'a> {
    /// Sets up directions with every seat. `owner` is the one whose numbers are used.
    pub(crate) async fn set_up(
        session: &'a mut Session,
        owner: Seat,
    ) -> Result<Self, ProtocolError> {
        let transfers = Transfers::set_up(session, Extension::SoftSpoken).await?;
        Ok(Self { transfers, owner })
    }

    pub(super) fn is_owner(&self) -> bool {
        self.transfers.me() == self.owner
    }

    /// Shares of the owner's numbers times rows: item i with row i mod n of n. `numbers`: at the owner.
    pub(crate) async fn multiply<R: StockedRing>(
        &mut self,
        shape: Multiply,
        numbers: Option<Vec<R>>,
        rows: Share<R>,
    ) -> Result<Share<R>, ProtocolError> {
        assert_eq!(self.is_owner(), numbers.is_some(), "the owner has numbers");
        assert_eq!(
            rows.len(),
            shape.n_rows * shape.n_columns,
            "elements of rows"
        );
        let flow = Products {
            plan: shape.plan::<R>(self.owner),
            products: shape.products::<R>(),
            shape,
            numbers: numbers.map(Share::new),
            rows,
            out: Share::zero(shape.n_out()),
            open: VecDeque::new(),
        };
        Ok(self.transfers.run(flow).await?.out)
    }
}

/// The declared cost of what is done with an [`Online`].
pub(crate) struct Tariff {
    tally: Tally,
    owner: Seat,
}

impl Tariff {
    pub(crate) fn new(n_computing: usize, owner: Seat) -> Self {
        Self {
            tally: Tally::set_up(Extension::SoftSpoken, n_computing),
            owner,
        }
    }

    pub(crate) fn multiply<R: Ring>(&mut self, shape: Multiply) {
        self.tally.flow(&shape.plan::<R>(self.owner));
    }

    pub(crate) fn scatter(&mut self, shape: &super::Scatter) {
        self.tally.flow(&shape.plan(self.owner));
    }

    pub(crate) fn into_cost(self, n_seats: usize) -> Cost {
        self.tally.into_cost().among(n_seats)
    }
}

/// The public shape of some products.
#[derive(Clone, Copy)]
pub(crate) struct Multiply {
    /// Shared rows, a multiple of 64.
    pub(crate) n_rows: usize,
    /// How many numbers each row is multiplied with.
    pub(crate) n_times: usize,
    /// Bits of a number.
    pub(crate) n_bits: u32,
    /// Elements of a row.
    pub(crate) n_columns: usize,
    /// Whether only the sum over all rows is kept, for each of the numbers of a row.
    pub(crate) sums: bool,
}

impl Multiply {
    fn n_items(self) -> usize {
        self.n_rows * self.n_times
    }

    fn n_out(self) -> usize {
        let rows = if self.sums {
            self.n_times
        } else {
            self.n_items()
        };
        rows * self.n_columns
    }

    /// Numbers with all bits of an element are multiplied as such.
    fn is_whole<R: Ring>(self) -> bool {
        self.n_bits == R::BITS
    }

    fn products<R: Ring>(self) -> Shape {
        match self.is_whole::<R>() {
            true => Shape::elements::<R>(self.n_columns),
            false => Shape::bits::<R>(vec![R::BITS; 64], self.n_columns),
        }
    }

    fn plan<R: Ring>(self, owner: Seat) -> Plan {
        let n_bits = self.n_bits as usize;
        let products = self.products::<R>();
        let n_ots = batches(self.n_items(), n_bits, products.message_bytes(64 * n_bits));
        let n_ots: Vec<usize> = n_ots.map(|n_items| n_items * n_bits).collect();
        Plan {
            pattern: Pattern::Towards(owner),
            mode: Choices::Given,
            answers: n_ots.iter().map(|n| products.message_bytes(*n)).collect(),
            n_ots,
        }
    }
}

/// Bytes of a batch's answer at most, as far as 64 items do not take more.
const BATCH_BYTES: usize = 1 << 23;

/// Items of each batch, whole groups of 64.
pub(super) fn batches(
    n_items: usize,
    ots_each: usize,
    group_bytes: usize,
) -> impl Iterator<Item = usize> {
    let most_ots = super::elements::BATCH_OTS / (64 * ots_each);
    let most = 64 * most_ots.min(BATCH_BYTES / group_bytes.max(1)).max(1);
    let starts = (0..n_items).step_by(most);
    starts.map(move |start| most.min(n_items - start))
}

struct Products<R: StockedRing> {
    plan: Plan,
    products: Shape,
    shape: Multiply,
    numbers: Option<Share<R>>,
    rows: Share<R>,
    out: Share<R>,
    /// At the owner: choices and shares of batches that are not finished.
    open: VecDeque<(Zeroizing<Vec<u64>>, Share<R>)>,
}

impl<R: StockedRing> Products<R> {
    fn items(&self, batch: usize) -> Range<usize> {
        let n_bits = self.shape.n_bits as usize;
        let before: usize = self.plan.n_ots[..batch].iter().sum();
        before / n_bits..(before + self.plan.n_ots[batch]) / n_bits
    }

    /// The bits of some numbers: number by number if they are whole, else bit by bit.
    fn choices(&self, items: Range<usize>) -> Vec<u64> {
        let numbers = self.numbers.as_ref().expect("the owner extends");
        let numbers = &numbers.as_slice()[items];
        if self.shape.is_whole::<R>() {
            return ring::from_bytes(ring::as_bytes(numbers)).expect("elements are whole words");
        }
        let mut words = Vec::with_capacity(self.shape.n_bits as usize * numbers.len() / 64);
        for bit in 0..self.shape.n_bits {
            words.extend(numbers.chunks(64).map(|numbers| {
                let bits = numbers.iter().enumerate();
                bits.fold(0, |word, (at, number)| {
                    word | low_bit(number.shr(bit)) << at
                })
            }));
        }
        words
    }

    fn row(&self, item: usize) -> &[R] {
        let n_columns = self.shape.n_columns;
        &self.rows.as_slice()[item % self.shape.n_rows * n_columns..][..n_columns]
    }

    /// The factors of a batch's OTs.
    fn factors(&self, items: Range<usize>) -> Share<R> {
        let times = if self.shape.is_whole::<R>() {
            1
        } else {
            self.shape.n_bits
        };
        let mut factors = Vec::with_capacity(items.len() * self.shape.n_columns * times as usize);
        for _ in 0..times {
            items
                .clone()
                .for_each(|item| factors.extend_from_slice(self.row(item)));
        }
        Share::new(factors)
    }

    /// Adds the products of a batch's OTs to what comes out.
    fn take(&mut self, items: &Range<usize>, values: &Share<R>) {
        let Multiply {
            n_rows,
            n_columns,
            sums,
            ..
        } = self.shape;
        for (bit, values) in (0..).zip(values.as_slice().chunks(items.len() * n_columns)) {
            for (item, values) in items.clone().zip(values.chunks_exact(n_columns)) {
                let row = if sums { item / n_rows } else { item };
                let out = &mut self.out.as_mut_slice()[row * n_columns..][..n_columns];
                for (out, value) in out.iter_mut().zip(values) {
                    *out = out.wrapping_add(value.shl(bit));
                }
            }
        }
    }

    /// The products of the owner's numbers with its own share of the rows.
    fn own(&self, items: Range<usize>) -> Share<R> {
        let numbers = self.numbers.as_ref().expect("the owner finishes");
        let mut own = Vec::with_capacity(items.len() * self.shape.n_columns);
        for item in items {
            let number = numbers.as_slice()[item];
            own.extend(
                self.row(item)
                    .iter()
                    .map(|value| value.wrapping_mul(number)),
            );
        }
        Share::new(own)
    }
}

fn low_bit<R: Ring>(value: R) -> u64 {
    u64::from(ring::as_bytes(&[value])[0] & 1)
}

impl<R: StockedRing> Flow for Products<R> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)> {
        if self.numbers.is_none() {
            return Vec::new();
        }
        let n_ots = self.plan.n_ots[batch];
        let given = Zeroizing::new(self.choices(self.items(batch)));
        let mut cross = Share::zero(self.products.n_elements(n_ots));
        let mut messages = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (shares, _, message) = pair.receive(n_ots, Some(&given), |numbered, rows| {
                products::receive_first(numbered, &self.products, rows)
            });
            cross.add_assign(&Share::new(shares));
            messages.push((pair.peer, message));
        }
        self.open.push_back((given, cross));
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
        let (n_ots, mode) = (self.plan.n_ots[batch], self.plan.mode);
        let items = self.items(batch);
        let factors = self.factors(items.clone());
        let message = extensions.from(owner);
        let (message, shares) = pair.send(n_ots, mode, message, |numbered, delta, rows| {
            products::send(numbered, &self.products, (delta, rows), factors.as_slice())
        })?;
        self.take(&items, &Share::new(shares));
        Ok(vec![(owner, message)])
    }

    fn finish(&mut self, batch: usize, answers: &Incoming) -> Result<(), ProtocolError> {
        let Some((choices, mut cross)) = self.open.pop_front() else {
            return Ok(());
        };
        for (peer, message) in answers.all() {
            let shares = cross.as_mut_slice();
            let taken = products::receive_rest(&self.products, &choices, message, shares);
            taken.map_err(|e| blame(peer, e))?;
        }
        let items = self.items(batch);
        self.take(&items, &cross);
        let own = self.own(items.clone());
        self.take(&items, &own);
        Ok(())
    }
}
