//! Matrix triples over Z_2^64 from ring learning with errors, where they are large.
//!
//! The product of the sums ΣA·ΣB is the sum of all A_i·B_j. Seat i computes A_i·B_i alone, and encrypts A_i once for all others; seat j
//! multiplies it by B_j, and returns it under a mask. `engine::lattice` does the arithmetic and says why it is secure.
//!
//! ```text
//! one round a group of blocks along A    to every peer: my A's blocks, encrypted; before the first of all, my key
//! one round a group of blocks across B   to every peer: its results
//! ```
//!
//! By oblivious transfer a multiplication sends 260 bytes each way, whatever the shape ([`elements`](super::elements)). Which of the two
//! makes a matrix goes by its public shape.
//!
//! Source: Huang et al., Cheetah, 2022/207, for the product; CRYPTO §2.6. Differs: both factors are shared, among any number of
//! seats, so every ordered pair runs it once on random matrices, before the computation.

use super::pairs::{Pattern, Transfer, Transfers};
use super::tally::Tally;
use crate::correlate::{MatrixShape, MatrixTriple, Stock, matrix};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::try_both;
use crate::wire::WireError;
use engine::lattice::{
    Ciphertexts, Evaluator, Holder, KEY_BYTES, LatticeError, Packing, Plain, Sums, Tables,
};
use engine::prg::{Prg, Seed};
use engine::share::Share;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// Nanoseconds that oblivious transfer takes for a multiplication, and for each element of the smaller factor, as measured between two
/// seats (`entente bench protocols`). Part of the protocol: they decide how a matrix is made.
const TRANSFERRED_NS: [u64; 2] = [300, 650];

/// How a matrix triple is made: its blocks, and whether the transposed product is made.
#[derive(Clone, Copy)]
pub(super) struct Route {
    packing: Packing,
    shape: MatrixShape,
    is_turned: bool,
}

impl Route {
    /// The route of a shape; `None` where oblivious transfer takes less.
    pub(super) fn of(shape: MatrixShape) -> Option<Self> {
        let MatrixShape { m, k, n } = shape;
        let turned = MatrixShape { m: n, k, n: m };
        let straight = (Packing::of(m, k, n), shape, false);
        let both = [straight, (Packing::of(n, k, m), turned, true)];
        let routes = both.into_iter().filter_map(|(packing, shape, is_turned)| {
            Some(Self {
                packing: packing?,
                shape,
                is_turned,
            })
        });
        let best = routes.min_by_key(|route| route.packing.microseconds())?;
        let [product, element] = TRANSFERRED_NS;
        let n_products = (shape.left_len() as u64).saturating_mul(n as u64);
        let smaller = shape.left_len().min(shape.right_len()) as u64;
        let transferred = n_products
            .saturating_mul(product)
            .saturating_add(smaller.saturating_mul(element));
        (best.packing.microseconds() < transferred / 1000).then_some(best)
    }
}

/// This seat's secret, and the others' keys: of one preparation.
pub(super) struct Keys {
    tables: Arc<Tables>,
    holder: Holder,
    /// In the order of seats; none before their first message.
    evaluators: Vec<Evaluator>,
}

/// A matrix triple that is being made.
struct Making {
    keys: Keys,
    /// What goes before the next message.
    key: Vec<u8>,
    packing: Packing,
    left: Share<u64>,
    right: Share<u64>,
    product: Share<u64>,
    prg: Prg,
    /// Sums towards each peer, where one group of columns is all.
    sums: Vec<Sums>,
    /// What came from each peer, where there are several.
    kept: Vec<Vec<Ciphertexts>>,
}

impl Making {
    fn encrypt(&mut self, inner: Option<&Range<usize>>) -> Vec<u8> {
        let Some(inner) = inner else {
            return Vec::new();
        };
        let left = self.left.as_slice();
        let blocks = self.keys.holder.encrypt(&self.packing, left, inner.clone());
        match mem::take(&mut self.key) {
            key if key.is_empty() => blocks,
            key => [key, blocks].concat(),
        }
    }

    /// Takes what came for these blocks along the matrices.
    fn take(
        &mut self,
        inner: &Range<usize>,
        came: &[(Seat, Transfer)],
    ) -> Result<(), ProtocolError> {
        let columns = self.packing.column_groups();
        let is_one_group = columns.len() == 1;
        let plain = is_one_group.then(|| self.plain(inner.clone(), columns[0].clone()));
        for (at, (peer, message)) in came.iter().enumerate() {
            let refused = |_: LatticeError| blame(*peer);
            let mut body = &message.body[..];
            if self.keys.evaluators.len() == at {
                let (key, rest) = body.split_at(KEY_BYTES);
                let evaluator = Evaluator::new(self.keys.tables.clone(), key);
                self.keys.evaluators.push(evaluator.map_err(refused)?);
                body = rest;
            }
            let evaluator = &mut self.keys.evaluators[at];
            let ciphertexts = evaluator.receive(&self.packing, inner.clone(), body);
            let ciphertexts = ciphertexts.map_err(refused)?;
            match &plain {
                Some(plain) => self.sums[at].add(&self.keys.tables, &ciphertexts, plain),
                None => self.kept[at].push(ciphertexts),
            }
        }
        Ok(())
    }

    fn plain(&self, inner: Range<usize>, columns: Range<usize>) -> Plain {
        let blocks = (inner, columns);
        Plain::new(
            &self.keys.tables,
            &self.packing,
            self.right.as_slice(),
            blocks,
        )
    }

    /// The results of a group of columns, for each peer.
    fn results(&mut self, columns: &Range<usize>) -> Vec<Vec<u8>> {
        let mut sums = mem::take(&mut self.sums);
        if sums.is_empty() {
            let none = || Sums::new(&self.packing, columns.clone());
            sums = self.kept.iter().map(|_| none()).collect();
            for (at, inner) in self.packing.inner_groups().into_iter().enumerate() {
                let plain = self.plain(inner, columns.clone());
                for (sums, kept) in sums.iter_mut().zip(&self.kept) {
                    sums.add(&self.keys.tables, &kept[at], &plain);
                }
            }
        }
        let product = self.product.as_mut_slice();
        let both = sums.into_iter().zip(&self.keys.evaluators);
        both.map(|(sums, evaluator)| evaluator.finish(sums, &mut self.prg, product))
            .collect()
    }

    fn decrypt(
        &mut self,
        columns: &Range<usize>,
        came: &[(Seat, Transfer)],
    ) -> Result<(), ProtocolError> {
        for (peer, message) in came {
            let product = self.product.as_mut_slice();
            let holder = &self.keys.holder;
            let decrypted = holder.decrypt(&self.packing, columns.clone(), &message.body, product);
            decrypted.map_err(|_| blame(*peer))?;
        }
        Ok(())
    }
}

/// Makes one matrix triple.
pub(super) async fn matrix_triple(
    transfers: &mut Transfers<'_>,
    route: Route,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let peers = transfers.session.peers();
    let compute = transfers.session.compute();
    let mut making = making(transfers, &route, peers.len()).await;
    let groups = route.packing.inner_groups();
    let mut key_bytes = making.key.len();
    let first = groups.first().cloned();
    let begin = move || {
        let message = making.encrypt(first.as_ref());
        (making, message)
    };
    let (mut making, mut message) = compute.run(begin).await;
    let mut came = None;
    for (at, inner) in groups.iter().enumerate() {
        let n_bytes = mem::take(&mut key_bytes) + route.packing.left_bytes(inner);
        let expected: Vec<_> = peers.iter().map(|peer| (*peer, n_bytes)).collect();
        let next = groups.get(at + 1).cloned();
        let outgoing = to_all(&peers, Transfer::new(message));
        // What came last is multiplied, and what goes next encrypted, while this is on the wire.
        let kernel = move || {
            let taken = taken(&mut making, came);
            let message = making.encrypt(next.as_ref());
            (making, taken, message)
        };
        let work = async { Ok(compute.run(kernel).await) };
        let swap = transfers.session.swap(outgoing, &expected);
        let (arrived, after) = try_both(swap, work).await?;
        after.1?;
        (making, message) = (after.0, after.2);
        came = Some((inner.clone(), arrived));
    }
    for columns in route.packing.column_groups() {
        let n_bytes = route.packing.result_bytes(&columns);
        let expected: Vec<_> = peers.iter().map(|peer| (*peer, n_bytes)).collect();
        let last = mem::take(&mut came);
        let across = columns.clone();
        let kernel = move || {
            let taken = taken(&mut making, last);
            let messages = taken.map(|()| making.results(&across));
            (making, messages)
        };
        let (after, messages) = compute.run(kernel).await;
        making = after;
        let messages = messages?.into_iter().map(Transfer::new);
        let outgoing = peers.iter().copied().zip(messages).collect();
        let results = transfers.session.swap(outgoing, &expected).await?;
        let kernel = move || {
            let decrypted = making.decrypt(&columns, &results);
            (making, decrypted)
        };
        let (after, decrypted) = compute.run(kernel).await;
        decrypted?;
        making = after;
    }
    let finish = move || ended(making, &route);
    let (keys, shape, triple) = compute.run(finish).await;
    transfers.lattice = Some(keys);
    stock.add_matrix(shape, triple);
    Ok(())
}

/// The group of blocks along the matrices that came last, if any.
type Arrived = Option<(Range<usize>, Vec<(Seat, Transfer)>)>;

fn taken(making: &mut Making, came: Arrived) -> Result<(), ProtocolError> {
    match came {
        Some((inner, messages)) => making.take(&inner, &messages),
        None => Ok(()),
    }
}

fn to_all(peers: &[Seat], message: Transfer) -> Vec<(Seat, Transfer)> {
    let body = message.body;
    let copies = peers
        .iter()
        .map(|peer| (*peer, Transfer { body: body.clone() }));
    copies.collect()
}

/// Draws the factors, and at the first matrix of a preparation the key.
async fn making(transfers: &mut Transfers<'_>, route: &Route, n_peers: usize) -> Making {
    let MatrixShape { m, k, n } = route.shape;
    let left = Share::new(transfers.draw(m * k));
    let right = Share::new(transfers.draw(k * n));
    let prg = Prg::new(&Seed::random(&mut transfers.prg), 0);
    let (keys, key) = match transfers.lattice.take() {
        Some(keys) => (keys, Vec::new()),
        None => {
            let mut fresh = Prg::new(&Seed::random(&mut transfers.prg), 0);
            let draw = move || {
                let tables = Arc::new(Tables::new());
                let (holder, key) = Holder::new(tables.clone(), &mut fresh);
                let evaluators = Vec::new();
                let keys = Keys {
                    tables,
                    holder,
                    evaluators,
                };
                (keys, key)
            };
            transfers.session.compute().run(draw).await
        }
    };
    let columns = route.packing.column_groups();
    let is_one_group = columns.len() == 1;
    let sums = || Sums::new(&route.packing, columns[0].clone());
    Making {
        keys,
        key,
        packing: route.packing,
        left,
        right,
        product: Share::zero(m * n),
        prg,
        sums: (0..n_peers)
            .filter(|_| is_one_group)
            .map(|_| sums())
            .collect(),
        kept: (0..n_peers).map(|_| Vec::new()).collect(),
    }
}

/// Adds this seat's own product, and turns the triple as it is wanted.
fn ended(making: Making, route: &Route) -> (Keys, MatrixShape, MatrixTriple<u64>) {
    let Making {
        keys,
        left,
        right,
        mut product,
        ..
    } = making;
    let shape = route.shape;
    product.add_assign(&matrix::product(shape, &left, &right));
    let MatrixShape { m, k, n } = shape;
    if !route.is_turned {
        let (a, b, c) = (left, right, product);
        return (keys, shape, MatrixTriple { a, b, c });
    }
    let triple = MatrixTriple {
        a: matrix::transposed(&right, k, n),
        b: matrix::transposed(&left, m, k),
        c: matrix::transposed(&product, m, n),
    };
    (keys, MatrixShape { m: n, k, n: m }, triple)
}

/// The cost of [`matrix_triple`].
pub(super) fn cost(tally: &mut Tally, route: &Route) {
    let mut key_bytes = if tally.draws_keys() { KEY_BYTES } else { 0 };
    for inner in route.packing.inner_groups() {
        let n_bytes = mem::take(&mut key_bytes) + route.packing.left_bytes(&inner);
        tally.round(Pattern::All, |_, _| n_bytes);
    }
    for columns in route.packing.column_groups() {
        tally.round(Pattern::All, |_, _| route.packing.result_bytes(&columns));
    }
}

fn blame(peer: Seat) -> ProtocolError {
    let what = "a ciphertext with a residue that is not below its prime";
    ProtocolError::from_wire(peer, WireError::Content { what })
}
