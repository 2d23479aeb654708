//! Random bits that are shared both by XOR and over a ring, and what is made of them: elements with
//! all their bits, truncations, selections.
//!
//! A bit β is the XOR of one bit β_j of each seat. Its shares over the ring are made by taking the
//! seats' bits in one after the other. The seats have shares of s, the XOR of what was taken in, and
//!
//! ```text
//! s ⊕ β_j = s + β_j − 2·s·β_j       β_j is seat j's choice, the others' shares of s are what it
//!                                   multiplies: one OT with each of them
//! ```
//!
//! Before seat j only the seats before it have a share of s that is not zero, so there is one OT for
//! each pair of seats. For a selection, the product p = s·a with an element a that all seats share is
//! taken along:
//!
//! ```text
//! (s ⊕ β_j)·a = p + β_j·(a − 2·p)   seat j has OTs with all others
//! ```
//!
//! An element of k bits is Σ 2^i·β_i, so of bit i only s mod 2^(k−i) counts, and the OTs' messages get
//! ever shorter. 64 bits of 64 OTs take 252 bytes, where a sum of the seats' own elements by a circuit
//! would take over a hundred AND gates. A truncation is the same, with more of the upper bits.
//!
//! ```text
//! batch, round 1      extensions: from seat j to the seats before it (selections: to all)
//!        round 1 + j  to seat j, from the same seats: what they multiply, masked, for each of its bits
//! ```

use super::bits::choices;
use super::elements::BATCH_OTS;
use super::pairs::{Pair, PairCots, Pattern, Received, Sent, Transfer, Transfers, blame};
use super::tally::Tally;
use crate::correlate::recipe::{Columns, Recipe, as_ring, to_planes};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::bits;
use engine::ot::products::{self, Shape};
use engine::ring::{self, Ring};
use engine::share::Share;
use zeroize::Zeroizing;

/// What is public about one batch.
#[derive(Clone, Copy)]
struct Batch {
    recipe: Recipe,
    n_items: usize,
    n_computing: usize,
}

impl Batch {
    fn all<R: Ring>(
        recipe: Recipe,
        n_items: usize,
        n_computing: usize,
    ) -> impl Iterator<Item = Self> {
        let most = BATCH_OTS / ots_per_item::<R>(recipe);
        (0..n_items).step_by(most).map(move |start| Self {
            recipe,
            n_items: most.min(n_items - start),
            n_computing,
        })
    }

    /// Each takes one bit of every seat; bits are packed in words.
    fn n_ots<R: Ring>(self) -> usize {
        (self.n_items * ots_per_item::<R>(self.recipe)).next_multiple_of(64)
    }

    fn is_selection(self) -> bool {
        self.recipe == Recipe::Muxes
    }

    fn pattern(self) -> Pattern {
        match self.is_selection() {
            true => Pattern::All,
            false => Pattern::Upward,
        }
    }

    /// The seats whose bits are taken in by OTs, in order.
    fn steps(self) -> impl Iterator<Item = Seat> {
        let first = usize::from(!self.is_selection());
        Seat::first(self.n_computing).skip(first)
    }

    /// What a sender multiplies with `receiver`'s bits: s, if it has a share of it; first of all
    /// a − 2·p for a selection.
    fn n_columns(self, sender: Seat, receiver: Seat) -> usize {
        usize::from(self.is_selection()) + usize::from(sender < receiver)
    }

    fn shape<R: Ring>(self, sender: Seat, receiver: Seat) -> Shape {
        Shape::bits::<R>(widths::<R>(self.recipe), self.n_columns(sender, receiver))
    }
}

fn ots_per_item<R: Ring>(recipe: Recipe) -> usize {
    match recipe {
        Recipe::EdaBits | Recipe::Truncs { .. } => R::BITS as usize,
        _ => 1,
    }
}

/// Bits of each product that count. A product counts twice, so one bit fewer than s itself, but for a
/// selection's a − 2·p.
fn widths<R: Ring>(recipe: Recipe) -> Vec<u32> {
    let k = R::BITS;
    match recipe {
        Recipe::EdaBits => (0..k).map(|i| k - 1 - i).collect(),
        Recipe::Truncs { frac_bits } => (0..k)
            .map(|i| match i {
                i if i < frac_bits => k - 1 - i,
                i if i < k - 1 => k - 1 - (i - frac_bits),
                _ => k - 1,
            })
            .collect(),
        Recipe::Muxes => vec![k; 64],
        _ => vec![k - 1; 64],
    }
}

/// Makes items of a kind whose bits are shared both ways.
pub(super) async fn shared_bits<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    recipe: Recipe,
    n_items: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let n_computing = transfers.n_computing();
    for batch in Batch::all::<R>(recipe, n_items, n_computing) {
        let (mut state, mut cots) = begin::<R>(transfers, batch).await?;
        for seat in batch.steps() {
            (state, cots) = take_in(transfers, batch, seat, state, cots).await?;
        }
        let finish = move || state.finish(batch);
        let columns = transfers.session.compute().run(finish).await;
        recipe.store(columns, stock);
    }
    Ok(())
}

/// One seat's part of a batch, bit by bit.
struct State<R: Ring> {
    /// This seat's own bits.
    words: Zeroizing<Vec<u64>>,
    /// Shares of the XOR of the bits that were taken in.
    s: Share<R>,
    /// Shares of random elements a, and of s·a.
    a: Share<R>,
    p: Share<R>,
}

/// Extends the OTs of a batch; with two seats, a receiver's bits are its random choices.
async fn begin<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    batch: Batch,
) -> Result<(State<R>, Vec<PairCots>), ProtocolError> {
    let n_ots = batch.n_ots::<R>();
    let mode = choices(batch.n_computing);
    let is_first = transfers.me() == Seat(0);
    let draws = batch.n_computing > 2 || (is_first && !batch.is_selection());
    let own = draws.then(|| transfers.draw::<u64>(n_ots / 64));
    let given = own.clone().filter(|_| batch.n_computing > 2);
    let cots = transfers.cots(batch.pattern(), n_ots, given, mode).await?;
    let words = own.unwrap_or_else(|| {
        let received = cots[0].received.as_ref();
        received
            .expect("who draws nothing receives")
            .cots
            .choices
            .clone()
    });
    let mut s = Share::zero(n_ots);
    if is_first && !batch.is_selection() {
        as_ring(&words, s.as_mut_slice());
    }
    let n_elements = if batch.is_selection() { n_ots } else { 0 };
    let a = Share::new(transfers.draw::<R>(n_elements));
    let state = State {
        words: Zeroizing::new(words),
        s,
        a,
        p: Share::zero(n_elements),
    };
    Ok((state, cots))
}

/// Takes the bits of one seat in.
async fn take_in<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    batch: Batch,
    seat: Seat,
    mut state: State<R>,
    cots: Vec<PairCots>,
) -> Result<(State<R>, Vec<PairCots>), ProtocolError> {
    let me = transfers.me();
    let n_ots = batch.n_ots::<R>();
    if me != seat && batch.n_columns(me, seat) > 0 {
        let shape = batch.shape::<R>(me, seat);
        let send = move |pairs: &mut Vec<Pair>| {
            let both = pairs.iter().zip(&cots).find(|(pair, _)| pair.peer == seat);
            let (pair, cots_with) = both.expect("there is a pair with every other seat");
            let sent = cots_with.sent.as_ref().expect("this direction is extended");
            let message = state.send(pair, sent, &shape);
            Ok((state, cots, message))
        };
        let (state, cots, message) = transfers.with_pairs(send).await?;
        let messages = vec![(seat, Transfer::new(message))];
        transfers.session.swap(messages, &[]).await?;
        return Ok((state, cots));
    }
    if me == seat {
        let senders = transfers.pairs.iter().map(|pair| pair.peer);
        let senders = senders.filter(|peer| batch.n_columns(*peer, me) > 0);
        let bytes = |peer: Seat| batch.shape::<R>(peer, me).message_bytes(n_ots);
        let expected: Vec<_> = senders.map(|peer| (peer, bytes(peer))).collect();
        let incoming = transfers
            .session
            .swap::<Transfer>(Vec::new(), &expected)
            .await?;
        let receive = move |pairs: &mut Vec<Pair>| {
            let mut products = Vec::with_capacity(incoming.len());
            for (peer, message) in incoming {
                let both = pairs.iter().zip(&cots).find(|(pair, _)| pair.peer == peer);
                let (pair, cots) = both.expect("there is a pair with every other seat");
                let received = cots.received.as_ref().expect("this direction is extended");
                let shape = batch.shape::<R>(peer, me);
                products.push(state.receive(pair, received, &shape, &message)?);
            }
            state.take_own(products);
            Ok((state, cots))
        };
        return transfers.with_pairs(receive).await;
    }
    Ok((state, cots))
}

impl<R: Ring> State<R> {
    /// This seat's shares multiply another's bits.
    fn send(&mut self, pair: &Pair, sent: &Sent, shape: &Shape) -> Vec<u8> {
        let n_columns = shape.n_columns;
        let is_selection = !self.a.is_empty();
        let mut factors = Share::zero(self.s.len() * n_columns);
        let rows = factors.as_mut_slice().chunks_exact_mut(n_columns);
        for (i, row) in rows.enumerate() {
            let (last, first) = row.split_last_mut().expect("at least one column");
            let s = self.s.as_slice()[i];
            if !is_selection {
                *last = s;
                continue;
            }
            let p = self.p.as_slice()[i];
            let a = self.a.as_slice()[i].wrapping_sub(p.wrapping_add(p));
            match first {
                [] => *last = a,
                [first, ..] => (*first, *last) = (a, s),
            }
        }
        let numbered = (&pair.sender_hash, sent.first);
        let ots = (sent.delta, &sent.cots.rows[..]);
        let (message, shares) = products::send(numbered, shape, ots, factors.as_slice());
        let shares = Share::new(shares);
        self.add_products(&shares, n_columns);
        message
    }

    /// The products of others' shares with this seat's bits.
    fn receive(
        &self,
        pair: &Pair,
        received: &Received,
        shape: &Shape,
        message: &Transfer,
    ) -> Result<(Share<R>, usize), ProtocolError> {
        let numbered = (&pair.receiver_hash, received.first);
        let ots = (&self.words[..], &received.cots.rows[..]);
        let products = products::receive(numbered, shape, ots, &message.body);
        let products = products.map_err(|e| blame(pair.peer, e))?;
        Ok((Share::new(products), shape.n_columns))
    }

    /// β·(shares of this seat) is computed here, the rest is what the OTs gave.
    fn take_own(&mut self, products: Vec<(Share<R>, usize)>) {
        let mut own = Share::<R>::zero(self.s.len());
        as_ring(&self.words, own.as_mut_slice());
        for ((p, a), own) in self
            .p
            .as_mut_slice()
            .iter_mut()
            .zip(self.a.as_slice())
            .zip(own.as_slice())
        {
            let difference = a.wrapping_sub(p.wrapping_add(*p));
            *p = p.wrapping_add(own.wrapping_mul(difference));
        }
        // Until its own bit is taken in, a seat's share of s is zero.
        self.s.add_assign(&own);
        for (products, n_columns) in products {
            self.add_products(&products, n_columns);
        }
    }

    /// s − 2·products, and p + products.
    fn add_products(&mut self, products: &Share<R>, n_columns: usize) {
        let is_selection = !self.a.is_empty();
        for (i, row) in products.as_slice().chunks_exact(n_columns).enumerate() {
            if is_selection {
                let p = &mut self.p.as_mut_slice()[i];
                *p = p.wrapping_add(row[0]);
            }
            if let [.., last] = &row[usize::from(is_selection)..] {
                let s = &mut self.s.as_mut_slice()[i];
                *s = s.wrapping_sub(last.wrapping_add(*last));
            }
        }
    }

    fn finish(self, batch: Batch) -> Columns<R> {
        let n_items = batch.n_items;
        let s = self.s.as_slice();
        let items = || s.chunks_exact(R::BITS as usize).take(n_items);
        let sum = |bits: &[R], from: u32| {
            let shifted = bits.iter().zip(0..).skip(from as usize);
            shifted.fold(R::ZERO, |sum, (s, i)| sum.wrapping_add(s.shl(i - from)))
        };
        let top = R::BITS as usize - 1;
        let (ring, bits) = match batch.recipe {
            Recipe::EdaBits => {
                let r = items().map(|bits| sum(bits, 0)).collect();
                let values = ring::from_bytes::<R>(ring::as_bytes(&self.words));
                let values = Share::new(values.expect("a bit for each place of an element"));
                let n_words = bits::words_for(n_items);
                let plane = |_| Zeroizing::new(vec![0; n_words]);
                let mut planes: Vec<_> = (0..R::BITS).map(plane).collect();
                to_planes(values.as_slice(), &mut planes);
                (vec![Share::new(r)], planes)
            }
            Recipe::Truncs { frac_bits } => {
                let r = items().map(|bits| sum(bits, 0)).collect();
                let u = items().map(|bits| sum(&bits[..top], frac_bits)).collect();
                let high = items().map(|bits| bits[top]).collect();
                ([r, u, high].map(Share::new).into(), Vec::new())
            }
            _ => {
                let cut = |share: Share<R>| Share::new(share.as_slice()[..n_items].to_vec());
                let mut ring = vec![cut(self.s)];
                if batch.is_selection() {
                    ring.insert(0, cut(self.a));
                    ring.push(cut(self.p));
                }
                (ring, vec![self.words])
            }
        };
        Columns {
            n_items,
            ring,
            bits,
        }
    }
}

/// The cost of [`shared_bits`].
pub(super) fn cost<R: StockedRing>(tally: &mut Tally, recipe: Recipe, n_items: usize) {
    let n_computing = tally.n_computing();
    for batch in Batch::all::<R>(recipe, n_items, n_computing) {
        let n_ots = batch.n_ots::<R>();
        tally.extensions(batch.pattern(), n_ots, choices(n_computing));
        for seat in batch.steps() {
            tally.some(
                |from, to| to == seat && from != seat && batch.n_columns(from, to) > 0,
                |from, to| batch.shape::<R>(from, to).message_bytes(n_ots),
            );
        }
    }
}
