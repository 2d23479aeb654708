//! Secret permutations, by a switching network.
//!
//! Every seat but the owner of π draws a table, and these add up to A. The owner's share of A is zero.
//! A switch with the owner's secret bit σ replaces two rows x and y by x − σ·(x − y) and y + σ·(x − y).
//! The owner multiplies its own shares of x − y by itself, and the others' with one OT: σ is its
//! choice, and their difference is what it multiplies. After all switches of π's network the shares are
//! shares of π(A) (Mohassel and Sadeghian, EUROCRYPT 2013, §3, with correlated OTs).
//!
//! ```text
//! batch of layers, round 1 from the owner to every other seat: the extension, its choices are bits σ
//!                  round 2 from every other seat to the owner: differences of rows, masked
//! ```
//!
//! The others need nothing from the owner but its extensions: their own shares tell them what each
//! switch multiplies. Rows of words are XORed, and the same OT serves all columns.

use super::elements::BATCH_OTS;
use super::pairs::{Pair, PairCots, Pattern, Transfer, Transfers, blame};
use super::tally::Tally;
use crate::correlate::{PermutationNeed, PermutationShare, RowShares, SecretPermutation, Stock};
use crate::error::ProtocolError;
use engine::bits;
use engine::block::Block;
use engine::ot::extend::Choices;
use engine::ot::products::{self, Group, Hasher, Shape};
use engine::prg::Prg;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use engine::switching::Network;
use std::ops::Range;
use zeroize::Zeroizing;

/// Switches of one layer, from a multiple of 64 on.
#[derive(Clone)]
struct Piece {
    layer: usize,
    switches: Range<usize>,
}

impl Piece {
    /// OTs are used in groups of 64; those without a switch are used for nothing.
    fn n_ots(&self) -> usize {
        self.switches.len().next_multiple_of(64)
    }
}

/// All switches in order, cut into batches.
fn batches(network: Network) -> Vec<Vec<Piece>> {
    let mut batches = vec![Vec::new()];
    let mut n_ots = 0;
    for layer in 0..network.n_layers() {
        let n_switches = network.n_switches(layer);
        for start in (0..n_switches).step_by(BATCH_OTS) {
            let switches = start..(start + BATCH_OTS).min(n_switches);
            let piece = Piece { layer, switches };
            if n_ots + piece.n_ots() > BATCH_OTS {
                batches.push(Vec::new());
                n_ots = 0;
            }
            n_ots += piece.n_ots();
            batches.last_mut().expect("there is a batch").push(piece);
        }
    }
    batches.retain(|pieces| !pieces.is_empty());
    batches
}

fn batch_ots(pieces: &[Piece]) -> usize {
    pieces.iter().map(Piece::n_ots).sum()
}

/// OTs of a permutation, and of how many batches.
pub(super) fn n_ots(need: PermutationNeed) -> (u64, u64) {
    let batches = batches(Network::new(need.n_rows));
    let n_ots: usize = batches.iter().map(|pieces| batch_ots(pieces)).sum();
    (n_ots as u64, batches.len() as u64)
}

/// The three kinds of columns, one after the other in the row that an OT multiplies.
struct Shapes {
    words: Shape,
    ring64: Shape,
    ring128: Shape,
}

impl Shapes {
    fn new(need: PermutationNeed) -> Self {
        let PermutationNeed {
            n_words,
            n_ring64,
            n_ring128,
            ..
        } = need;
        let first = Shape::row_blocks::<u64>(n_words);
        let second = first + Shape::row_blocks::<u64>(n_ring64);
        Self {
            words: Shape::rows::<u64>(Group::Xor, n_words, 0),
            ring64: Shape::rows::<u64>(Group::Ring, n_ring64, first),
            ring128: Shape::rows::<u128>(Group::Ring, n_ring128, second),
        }
    }

    fn message_bytes(&self, n_ots: usize) -> usize {
        let all = [&self.words, &self.ring64, &self.ring128];
        all.iter().map(|shape| shape.message_bytes(n_ots)).sum()
    }
}

/// One seat's shares of the rows.
struct Table {
    words: Vec<Share<u64>>,
    ring64: Vec<Share<u64>>,
    ring128: Vec<Share<u128>>,
}

impl Table {
    fn make(need: PermutationNeed, mut column: impl FnMut(usize) -> Share<u64>) -> Self {
        let wide = |mut low: Share<u64>, high: &Share<u64>| {
            let both = low.as_mut_slice().iter().zip(high.as_slice());
            let joined = both.map(|(low, high)| u128::from(*high) << 64 | u128::from(*low));
            Share::new(joined.collect())
        };
        Self {
            words: (0..need.n_words).map(|_| column(need.n_rows)).collect(),
            ring64: (0..need.n_ring64).map(|_| column(need.n_rows)).collect(),
            ring128: (0..need.n_ring128)
                .map(|_| wide(column(need.n_rows), &column(need.n_rows)))
                .collect(),
        }
    }

    fn copy(&self) -> Self {
        fn copy<R: Ring>(columns: &[Share<R>]) -> Vec<Share<R>> {
            let copy = |column: &Share<R>| Share::new(column.as_slice().to_vec());
            columns.iter().map(copy).collect()
        }
        Self {
            words: copy(&self.words),
            ring64: copy(&self.ring64),
            ring128: copy(&self.ring128),
        }
    }

    /// Adds random columns, or subtracts them.
    fn mask(&mut self, prg: &mut Prg, adds: bool) {
        for column in &mut self.words {
            let mut mask = Share::<u64>::zero(column.len());
            prg.fill_ring(mask.as_mut_slice());
            bits::xor_assign(column.as_mut_slice(), mask.as_slice());
        }
        for column in &mut self.ring64 {
            mask_column(column, prg, adds);
        }
        for column in &mut self.ring128 {
            mask_column(column, prg, adds);
        }
    }

    fn into_rows(self) -> RowShares {
        let bits = |column: Share<u64>| {
            let words = column.into_vec();
            BitShare::from_words(64 * words.len(), words)
        };
        RowShares {
            words: self.words.into_iter().map(bits).collect(),
            ring64: self.ring64,
            ring128: self.ring128,
        }
    }
}

fn mask_column<R: Ring>(column: &mut Share<R>, prg: &mut Prg, adds: bool) {
    let mut mask = Share::zero(column.len());
    prg.fill_ring(mask.as_mut_slice());
    match adds {
        true => column.add_assign(&mask),
        false => column.sub_assign(&mask),
    }
}

/// Columns of one kind, and how they add up.
struct Columns<'a, R: Ring> {
    columns: &'a mut [Share<R>],
    shape: &'a Shape,
    group: Group,
}

impl<R: Ring> Columns<'_, R> {
    /// x − y for each switch and column, in rows; zeros where there is no switch.
    fn differences(&self, switches: &[(u32, u32)], n_ots: usize) -> Share<R> {
        let n_columns = self.columns.len();
        let mut out = Share::zero(n_ots * n_columns);
        for (at, column) in self.columns.iter().enumerate() {
            let values = column.as_slice();
            let places = out.as_mut_slice().iter_mut().skip(at).step_by(n_columns);
            for (out, (x, y)) in places.zip(switches) {
                let (x, y) = (values[*x as usize], values[*y as usize]);
                *out = match self.group {
                    Group::Ring => x.wrapping_sub(y),
                    Group::Xor => x.xor(y),
                };
            }
        }
        out
    }

    /// x − product and y + product.
    fn switch(&mut self, switches: &[(u32, u32)], products: &Share<R>) {
        let n_columns = self.columns.len();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let values = column.as_mut_slice();
            let products = products.as_slice().iter().skip(at).step_by(n_columns);
            for (product, (x, y)) in products.zip(switches) {
                let (x, y) = (*x as usize, *y as usize);
                (values[x], values[y]) = match self.group {
                    Group::Ring => (
                        values[x].wrapping_sub(*product),
                        values[y].wrapping_add(*product),
                    ),
                    Group::Xor => (values[x].xor(*product), values[y].xor(*product)),
                };
            }
        }
    }

    fn send(
        &mut self,
        switches: &[(u32, u32)],
        numbered: (&Hasher, u64),
        ots: (Block, &[Block]),
        message: &mut Vec<u8>,
    ) {
        if self.columns.is_empty() {
            return;
        }
        let factors = self.differences(switches, ots.1.len());
        let (bytes, products) = products::send(numbered, self.shape, ots, factors.as_slice());
        self.switch(switches, &Share::new(products));
        message.extend(bytes);
    }

    /// The owner's side: `senders` are the other seats' OTs and messages, which are used up.
    fn receive(
        &mut self,
        switches: &[(u32, u32)],
        choices: &[u64],
        senders: &mut [Incoming<'_>],
        ots: &Range<usize>,
    ) -> Result<(), ProtocolError> {
        let n_columns = self.columns.len();
        if n_columns == 0 {
            return Ok(());
        }
        let mut own = self.differences(switches, ots.len());
        for (i, row) in own.as_mut_slice().chunks_exact_mut(n_columns).enumerate() {
            let choice = R::from_u64(choices[i / 64] >> (i % 64) & 1);
            row.iter_mut().for_each(|d| *d = d.wrapping_mul(choice));
        }
        self.switch(switches, &own);
        for sender in senders {
            let n_bytes = self.shape.message_bytes(ots.len());
            let (message, rest) = sender.message.split_at(n_bytes);
            sender.message = rest;
            let numbered = (sender.hasher, sender.first + ots.start as u64);
            let rows = (choices, &sender.rows[ots.clone()]);
            let products = products::receive(numbered, self.shape, rows, message);
            let products = products.map_err(|e| blame(sender.peer, e))?;
            self.switch(switches, &Share::new(products));
        }
        Ok(())
    }
}

/// What the owner has of one other seat.
struct Incoming<'a> {
    peer: crate::party::Seat,
    hasher: &'a Hasher,
    first: u64,
    rows: &'a [Block],
    message: &'a [u8],
}

/// Makes one permutation.
pub(super) async fn permutation(
    transfers: &mut Transfers<'_>,
    need: PermutationNeed,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let network = Network::new(need.n_rows);
    let is_owner = transfers.me() == need.owner;
    let mut table = match is_owner {
        true => Table::make(need, Share::zero),
        false => Table::make(need, |n| Share::new(transfers.draw(n))),
    };
    let before = (!is_owner).then(|| table.copy().into_rows());
    let order = is_owner.then(|| SecretPermutation::random(need.n_rows, &mut transfers.prg));
    let route = move || {
        let settings = order.as_ref().map(|order| network.route(order.sources()));
        (order, settings)
    };
    let (order, settings) = transfers.session.compute().run(route).await;
    for pieces in batches(network) {
        let given = settings.as_ref().map(|settings| choices(&pieces, settings));
        let n_ots = batch_ots(&pieces);
        let pattern = Pattern::Towards(need.owner);
        let cots = transfers.cots(pattern, n_ots, given.clone(), Choices::Given);
        let cots = cots.await?;
        let work = Batch {
            network,
            need,
            pieces,
            cots,
        };
        table = match given {
            Some(given) => work.receive(transfers, table, given).await?,
            None => work.send(transfers, table).await?,
        };
    }
    // The two rows of a switch leave it with one mask. Masks of their own make the shares uniform.
    for peer in transfers.session.peers() {
        if is_owner || peer == need.owner {
            let other = if is_owner { peer } else { transfers.me() };
            let session = &mut transfers.session;
            let seed = session.pair_seed(need.owner, other, "permutation");
            table.mask(&mut Prg::new(&seed, 0), is_owner);
        }
    }
    let share = PermutationShare {
        permutation: order,
        before,
        after: table.into_rows(),
    };
    stock.add_permutation(need, share);
    Ok(())
}

/// The owner's choices of a batch. Each piece begins at a whole word.
fn choices(pieces: &[Piece], settings: &[Zeroizing<Vec<u64>>]) -> Vec<u64> {
    let words = |piece: &Piece| {
        let first = piece.switches.start / 64;
        settings[piece.layer][first..first + piece.n_ots() / 64].to_vec()
    };
    pieces.iter().flat_map(words).collect()
}

/// A batch whose OTs were extended.
struct Batch {
    network: Network,
    need: PermutationNeed,
    pieces: Vec<Piece>,
    cots: Vec<PairCots>,
}

impl Batch {
    /// Calls `with` for each piece, its switches and its OTs.
    fn each_piece(
        &self,
        mut with: impl FnMut(&[(u32, u32)], Range<usize>) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let mut at = 0;
        for piece in &self.pieces {
            let switches = self.network.switches(piece.layer);
            let ots = at..at + piece.n_ots();
            at = ots.end;
            with(&switches[piece.switches.clone()], ots)?;
        }
        Ok(())
    }

    async fn send(
        self,
        transfers: &mut Transfers<'_>,
        mut table: Table,
    ) -> Result<Table, ProtocolError> {
        let owner = self.need.owner;
        let kernel = move |pairs: &mut Vec<Pair>| {
            let shapes = Shapes::new(self.need);
            let mut both = pairs.iter().zip(&self.cots);
            let (pair, cots) = both
                .find(|(pair, _)| pair.peer == owner)
                .expect("there is a pair with every other seat");
            let sent = cots.sent.as_ref().expect("this direction is extended");
            let mut message = Vec::with_capacity(shapes.message_bytes(batch_ots(&self.pieces)));
            self.each_piece(|switches, ots| {
                let numbered = (&pair.sender_hash, sent.first + ots.start as u64);
                let ots = (sent.delta, &sent.cots.rows[ots]);
                let message = &mut message;
                words(&mut table, &shapes).send(switches, numbered, ots, message);
                narrow(&mut table, &shapes).send(switches, numbered, ots, message);
                wide(&mut table, &shapes).send(switches, numbered, ots, message);
                Ok(())
            })?;
            Ok((table, message))
        };
        let (table, message) = transfers.with_pairs(kernel).await?;
        let messages = vec![(owner, Transfer::new(message))];
        transfers.session.swap(messages, &[]).await?;
        Ok(table)
    }

    async fn receive(
        self,
        transfers: &mut Transfers<'_>,
        mut table: Table,
        given: Vec<u64>,
    ) -> Result<Table, ProtocolError> {
        let given = Zeroizing::new(given);
        let shapes = Shapes::new(self.need);
        let n_bytes = shapes.message_bytes(batch_ots(&self.pieces));
        let peers = transfers.pairs.iter();
        let expected: Vec<_> = peers.map(|pair| (pair.peer, n_bytes)).collect();
        let incoming = transfers
            .session
            .swap::<Transfer>(Vec::new(), &expected)
            .await?;
        let kernel = move |pairs: &mut Vec<Pair>| {
            let all = pairs.iter().zip(&self.cots).zip(&incoming);
            let mut senders: Vec<Incoming<'_>> = all
                .map(|((pair, cots), (peer, message))| {
                    let received = cots.received.as_ref().expect("all directions are extended");
                    Incoming {
                        peer: *peer,
                        hasher: &pair.receiver_hash,
                        first: received.first,
                        rows: &received.cots.rows,
                        message: &message.body,
                    }
                })
                .collect();
            self.each_piece(|switches, ots| {
                let chosen = &given[ots.start / 64..ots.end / 64];
                let senders = &mut senders[..];
                words(&mut table, &shapes).receive(switches, chosen, senders, &ots)?;
                narrow(&mut table, &shapes).receive(switches, chosen, senders, &ots)?;
                wide(&mut table, &shapes).receive(switches, chosen, senders, &ots)
            })?;
            Ok(table)
        };
        transfers.with_pairs(kernel).await
    }
}

fn words<'a>(table: &'a mut Table, shapes: &'a Shapes) -> Columns<'a, u64> {
    Columns {
        columns: &mut table.words,
        shape: &shapes.words,
        group: Group::Xor,
    }
}

fn narrow<'a>(table: &'a mut Table, shapes: &'a Shapes) -> Columns<'a, u64> {
    Columns {
        columns: &mut table.ring64,
        shape: &shapes.ring64,
        group: Group::Ring,
    }
}

fn wide<'a>(table: &'a mut Table, shapes: &'a Shapes) -> Columns<'a, u128> {
    Columns {
        columns: &mut table.ring128,
        shape: &shapes.ring128,
        group: Group::Ring,
    }
}

/// The cost of [`permutation`].
pub(super) fn cost(tally: &mut Tally, need: PermutationNeed) {
    let shapes = Shapes::new(need);
    let pattern = Pattern::Towards(need.owner);
    for pieces in batches(Network::new(need.n_rows)) {
        let n_ots = batch_ots(&pieces);
        tally.extensions(pattern, n_ots, Choices::Given);
        tally.round(pattern, |_, _| shapes.message_bytes(n_ots));
    }
}
