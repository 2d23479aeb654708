//! Triples of ring elements, of elements and rows, and of matrices, by Gilboa's method.
//!
//! The product of the sums Σa·Σb is the sum of all a_i·b_j. Seat i computes a_i·b_i alone; for each
//! other pair, b_j's bits are choices, and a_i, or a row of such elements, is what they multiply.
//!
//! ```text
//! extension   to every peer, in which it is the OT's sender: my choices are b
//! answer      to every peer: my a, masked, for each bit of its b
//! ```
//!
//! What the receiver's own rows contribute is added up while they are made ([`products::receive_first`]), so
//! that of a batch nothing but elements waits for the answer.
//!
//! Two seats have one OT in each direction for each bit, and b is what its random choices are. With
//! more seats b must be the same towards all of them, and choices are given.

use super::bits::choices;
use super::flow::{Flow, Incoming, Plan};
use super::pairs::{Pair, Pattern, Transfers, blame};
use super::tally::Tally;
use crate::correlate::{MatrixShape, MatrixTriple, Scalings, Stock, StockedRing, Triples, matrix};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::ot::products::{self, Shape};
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::share::Share;
use std::collections::VecDeque;
use std::ops::Range;
use zeroize::Zeroizing;

/// Most OTs of a batch. Its messages take about 1 MiB each way and a round or two, so that a slow link is
/// kept busy; what a batch needs in memory, some 20 MiB, is small enough to be used again for the next.
pub(super) const BATCH_OTS: usize = 1 << 18;

/// Bytes of a batch's second message, as far as a single row is not longer.
const BATCH_BYTES: usize = 1 << 23;

/// Items that are multiplied at a time, each with a row of so many elements.
fn batch_items<R: Ring>(n_columns: usize) -> usize {
    let row_bytes = Shape::elements::<R>(n_columns).message_bytes(R::BITS as usize);
    (BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_OTS / R::BITS as usize)
}

/// Items of each batch.
fn batches<R: Ring>(n_items: usize, n_columns: usize) -> impl Iterator<Item = usize> {
    let most = batch_items::<R>(n_columns);
    (0..n_items)
        .step_by(most)
        .map(move |start| most.min(n_items - start))
}

fn plan<R: Ring>(n_computing: usize, n_items: usize, n_columns: usize) -> Plan {
    let shape = Shape::elements::<R>(n_columns);
    let batches = batches::<R>(n_items, n_columns);
    let n_ots: Vec<usize> = batches.map(|n| n * R::BITS as usize).collect();
    let answers = n_ots.iter().map(|n_ots| shape.message_bytes(*n_ots));
    Plan {
        pattern: Pattern::All,
        mode: choices(n_computing),
        answers: answers.collect(),
        n_ots,
    }
}

/// Multiplies elements b, which it draws, with rows of all seats.
struct Products<R: StockedRing> {
    plan: Plan,
    shape: Shape,
    n_computing: usize,
    prg: Prg,
    factors: Factors<R>,
    /// Batches that are not finished, the first one's number, and those that are.
    open: VecDeque<Batch<R>>,
    first: usize,
    done: Vec<Batch<R>>,
}

/// The rows of this seat that other seats' elements multiply.
enum Factors<R: StockedRing> {
    /// A fresh row for each.
    Drawn,
    /// For element i, row i mod k of a matrix with k rows.
    Matrix(Box<Matrices<R>>),
}

/// A matrix triple that is being made: this seat's shares of both factors, of the left one those
/// elements that are done, and the sum of their products with other seats' rows.
struct Matrices<R: StockedRing> {
    k: usize,
    left: Vec<R>,
    right: Share<R>,
    product: Share<R>,
}

impl<R: StockedRing> Matrices<R> {
    fn row(&self, item: usize, n_columns: usize) -> &[R] {
        &self.right.as_slice()[item % self.k * n_columns..][..n_columns]
    }

    fn add(&mut self, batch: &Batch<R>, n_columns: usize) {
        let first = self.left.len();
        self.left.extend_from_slice(batch.elements.as_slice());
        let cross = batch.cross.as_slice().chunks_exact(n_columns);
        for (item, cross) in (first..).zip(cross) {
            let at = item / self.k * n_columns;
            ring::add_assign(&mut self.product.as_mut_slice()[at..][..n_columns], cross);
        }
    }
}

/// This seat's rows, its elements, and its shares of the sum over all pairs of different seats.
struct Batch<R: StockedRing> {
    rows: Share<R>,
    elements: Share<R>,
    cross: Share<R>,
}

impl<R: StockedRing> Products<R> {
    fn new(
        transfers: &mut Transfers<'_>,
        factors: Factors<R>,
        n_columns: usize,
        n_items: usize,
    ) -> Self {
        let n_computing = transfers.n_computing();
        Self {
            plan: plan::<R>(n_computing, n_items, n_columns),
            shape: Shape::elements::<R>(n_columns),
            n_computing,
            prg: Prg::new(&Seed::random(&mut transfers.prg), 0),
            factors,
            open: VecDeque::new(),
            first: 0,
            done: Vec::new(),
        }
    }

    fn draw(&mut self, n_items: usize) -> Share<R> {
        let mut values = vec![R::ZERO; n_items];
        self.prg.fill_ring(&mut values);
        Share::new(values)
    }

    /// Items before a batch, and in it.
    fn items(&self, batch: usize) -> Range<usize> {
        let bits = R::BITS as usize;
        let before: usize = self.plan.n_ots[..batch].iter().sum();
        before / bits..(before + self.plan.n_ots[batch]) / bits
    }

    fn rows(&mut self, batch: usize) -> Share<R> {
        let items = self.items(batch);
        let n = self.shape.n_columns;
        match &self.factors {
            Factors::Drawn => self.draw(items.len() * n),
            Factors::Matrix(matrices) => {
                let mut all = Share::zero(items.len() * n);
                let out = all.as_mut_slice().chunks_exact_mut(n);
                for (item, out) in items.zip(out) {
                    out.copy_from_slice(matrices.row(item, n));
                }
                all
            }
        }
    }
}

impl<R: StockedRing> Flow for Products<R> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)> {
        let n_ots = self.plan.n_ots[batch];
        let n_items = self.items(batch).len();
        let mut elements = (self.n_computing > 2).then(|| self.draw(n_items));
        let given: Option<Vec<u64>> = elements.as_ref().map(|b| {
            let words = ring::as_bytes(b.as_slice());
            ring::from_bytes(words).expect("elements are whole words")
        });
        let given = given.map(Zeroizing::new);
        let mut cross = Share::zero(self.shape.n_elements(n_ots));
        let mut messages = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let given = given.as_ref().map(|words| &words[..]);
            let (products, choices, message) = pair.receive(n_ots, given, |numbered, rows| {
                products::receive_first(numbered, &self.shape, rows)
            });
            cross.add_assign(&Share::new(products));
            messages.push((pair.peer, message));
            elements.get_or_insert_with(|| {
                let choices = Zeroizing::new(choices);
                Share::new(ring::from_bytes(ring::as_bytes(&choices)).expect("whole elements"))
            });
        }
        let rows = self.rows(batch);
        self.open.push_back(Batch {
            rows,
            elements: elements.expect("there is another seat"),
            cross,
        });
        messages
    }

    fn answer(
        &mut self,
        batch: usize,
        pairs: &mut [Pair],
        extensions: &Incoming,
    ) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError> {
        let (n_ots, mode) = (self.plan.n_ots[batch], self.plan.mode);
        let (open, shape) = (&mut self.open[batch - self.first], &self.shape);
        let mut answers = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let message = extensions.from(pair.peer);
            let (message, shares) = pair.send(n_ots, mode, message, |numbered, delta, rows| {
                products::send(numbered, shape, (delta, rows), open.rows.as_slice())
            })?;
            open.cross.add_assign(&Share::new(shares));
            answers.push((pair.peer, message));
        }
        Ok(answers)
    }

    fn finish(&mut self, _: usize, answers: &Incoming) -> Result<(), ProtocolError> {
        let mut open = self.open.pop_front().expect("this batch is not finished");
        self.first += 1;
        let words = ring::as_bytes(open.elements.as_slice());
        let choices: Vec<u64> = ring::from_bytes(words).expect("elements are whole words");
        let choices = Zeroizing::new(choices);
        for (peer, message) in answers.all() {
            let cross = open.cross.as_mut_slice();
            let taken = products::receive_rest(&self.shape, &choices, message, cross);
            taken.map_err(|e| blame(peer, e))?;
        }
        match &mut self.factors {
            Factors::Drawn => self.done.push(open),
            Factors::Matrix(matrices) => matrices.add(&open, self.shape.n_columns),
        }
        Ok(())
    }
}

/// Makes triples.
pub(super) async fn triples<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    n_items: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flow = Products::<R>::new(transfers, Factors::Drawn, 1, n_items);
    for batch in transfers.run(flow).await?.done {
        let (a, b) = (batch.rows, batch.elements);
        let mut c = Share::new(a.as_slice().to_vec());
        ring::mul_assign(c.as_mut_slice(), b.as_slice());
        c.add_assign(&batch.cross);
        stock.add_triples(Triples { a, b, c });
    }
    Ok(())
}

/// Makes elements with their products with rows of `n_columns`.
pub(super) async fn scalings<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    n_items: usize,
    n_columns: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flow = Products::<R>::new(transfers, Factors::Drawn, n_columns, n_items);
    for batch in transfers.run(flow).await?.done {
        let n_items = batch.elements.len();
        let by_column = |rows: &Share<R>| -> Vec<Share<R>> {
            let all = matrix::transposed(rows, n_items, n_columns);
            let columns = all.as_slice().chunks_exact(n_items);
            columns.map(|column| Share::new(column.to_vec())).collect()
        };
        let (factor, columns) = (batch.elements, by_column(&batch.rows));
        let mut products = by_column(&batch.cross);
        for (product, column) in products.iter_mut().zip(&columns) {
            let mut own = Share::new(column.as_slice().to_vec());
            ring::mul_assign(own.as_mut_slice(), factor.as_slice());
            product.add_assign(&own);
        }
        stock.add_scalings(Scalings {
            factor,
            columns,
            products,
        });
    }
    Ok(())
}

/// Makes one matrix triple.
///
/// The bits of one factor's elements are choices, and rows of the other are what they multiply. Either
/// way as many bytes are sent; the factor with fewer elements needs fewer OTs.
pub(super) async fn matrix_triple<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    shape: MatrixShape,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flat = flat(shape);
    let matrices = Matrices {
        k: flat.k,
        left: Vec::with_capacity(flat.left_len()),
        right: Share::new(transfers.draw::<R>(flat.right_len())),
        product: Share::zero(flat.product_len()),
    };
    let factors = Factors::Matrix(Box::new(matrices));
    let flow = Products::new(transfers, factors, flat.n, flat.left_len());
    let flow = transfers.run(flow).await?;
    let Factors::Matrix(matrices) = flow.factors else {
        unreachable!("these factors are matrices");
    };
    let finish = move || {
        let Matrices {
            left,
            right,
            mut product,
            ..
        } = *matrices;
        let left = Share::new(left);
        product.add_assign(&matrix::product(flat, &left, &right));
        if flat == shape {
            let (a, b, c) = (left, right, product);
            return MatrixTriple { a, b, c };
        }
        MatrixTriple {
            a: matrix::transposed(&right, flat.k, flat.n),
            b: matrix::transposed(&left, flat.m, flat.k),
            c: matrix::transposed(&product, flat.m, flat.n),
        }
    };
    let triple = transfers.session.compute().run(finish).await;
    stock.add_matrix(shape, triple);
    Ok(())
}

/// The product, or the transposed one, whichever has the smaller left factor. It is empty only if
/// that factor is.
fn flat(shape: MatrixShape) -> MatrixShape {
    let MatrixShape { m, k, n } = shape;
    match m > n {
        true => MatrixShape { m: n, k, n: m },
        false => shape,
    }
}

/// The cost of [`scalings`]; of [`triples`] with one column.
pub(super) fn scalings_cost<R: Ring>(tally: &mut Tally, n_items: usize, n_columns: usize) {
    tally.flow(&plan::<R>(tally.n_computing(), n_items, n_columns));
}

/// At most so many batches of [`scalings`].
pub(super) fn scalings_batches<R: Ring>(n_items: usize, n_columns: usize) -> u64 {
    n_items.div_ceil(batch_items::<R>(n_columns)) as u64
}

/// The cost of [`matrix_triple`].
pub(super) fn matrix_cost<R: Ring>(tally: &mut Tally, shape: MatrixShape) {
    let flat = flat(shape);
    tally.flow(&plan::<R>(tally.n_computing(), flat.left_len(), flat.n));
}

/// OTs of [`matrix_triple`], and at most so many batches.
pub(super) fn matrix_ots<R: Ring>(shape: MatrixShape) -> (u64, u64) {
    let flat = flat(shape);
    let n_items = flat.left_len();
    let n_batches = n_items.div_ceil(batch_items::<R>(flat.n));
    let n_ots = (n_items as u64).saturating_mul(u64::from(R::BITS));
    (n_ots, n_batches as u64)
}
