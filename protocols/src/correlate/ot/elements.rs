//! Triples of ring elements and of matrices, by Gilboa's method.
//!
//! The product of the sums Σa·Σb is the sum of all a_i·b_j. Seat i computes a_i·b_i alone; for each
//! other pair, b_j's bits are choices, and a_i, or a row of such elements, is what they multiply.
//!
//! ```text
//! batch, round 1 to every peer: the extension in which it is the OT's sender: my choices are b
//!        round 2 to every peer: my a, masked, for each bit of its b
//! ```
//!
//! Two seats have one OT in each direction for each bit, and b is what its random choices are. With
//! more seats b must be the same towards all of them, and choices are given.

use super::bits::choices;
use super::pairs::{Pair, PairCots, Pattern, Transfer, Transfers, blame};
use super::tally::Tally;
use crate::correlate::{MatrixShape, MatrixTriple, Stock, StockedRing, Triples, matrix};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::ot::products::{self, Shape};
use engine::ring::{self, Ring};
use engine::share::Share;
use rayon::prelude::*;

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

/// Makes triples.
pub(super) async fn triples<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    n_items: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    for n_items in batches::<R>(n_items, 1) {
        let a = Share::new(transfers.draw::<R>(n_items));
        let (a, b, cross) = multiply(transfers, 1, a, n_items).await?;
        let mut c = Share::new(a.as_slice().to_vec());
        ring::mul_assign(c.as_mut_slice(), b.as_slice());
        c.add_assign(&cross);
        stock.add_triples(Triples { a, b, c });
    }
    Ok(())
}

/// Multiplies elements b, which it draws, with the rows of all other seats. Returns the rows of this
/// seat, its b, and the shares of the sum over all pairs of different seats.
async fn multiply<R: StockedRing>(
    transfers: &mut Transfers<'_>,
    n_columns: usize,
    rows: Share<R>,
    n_items: usize,
) -> Result<(Share<R>, Share<R>, Share<R>), ProtocolError> {
    let shape = Shape::elements::<R>(n_columns);
    let n_ots = n_items * R::BITS as usize;
    let (n_computing, mode) = (transfers.n_computing(), choices(transfers.n_computing()));
    let b = (n_computing > 2).then(|| Share::new(transfers.draw::<R>(n_items)));
    let given = b.as_ref().map(|b| {
        let words = ring::as_bytes(b.as_slice());
        ring::from_bytes(words).expect("elements are whole words")
    });
    let cots = transfers.cots(Pattern::All, n_ots, given, mode).await?;
    let b = b.unwrap_or_else(|| {
        let received = cots[0].received.as_ref();
        let words = &received
            .expect("two seats extend both directions")
            .cots
            .choices;
        Share::new(ring::from_bytes(ring::as_bytes(words)).expect("whole elements"))
    });
    let (cots, rows, mut sum, messages) = send_all(transfers, &shape, cots, rows).await?;
    let expected: Vec<_> = messages
        .iter()
        .map(|(peer, _)| (*peer, shape.message_bytes(n_ots)))
        .collect();

    let incoming = transfers.session.swap(messages, &expected).await?;

    let receive = move |pairs: &mut Vec<Pair>| {
        for ((pair, cots), (peer, message)) in pairs.iter().zip(cots).zip(incoming) {
            let received = cots.received.expect("two seats extend both directions");
            let numbered = (&pair.receiver_hash, received.first);
            let choices = (&received.cots.choices[..], &received.cots.rows[..]);
            let products = products::receive(numbered, &shape, choices, &message.body);
            sum.add_assign(&Share::new(products.map_err(|e| blame(peer, e))?));
        }
        Ok(sum)
    };
    let sum = transfers.with_pairs(receive).await?;
    Ok((rows, b, sum))
}

/// What OT senders have after [`products::send`] to every peer.
type SentAll<R> = (Vec<PairCots>, Share<R>, Share<R>, Vec<(Seat, Transfer)>);

/// The same rows to every peer; the shares are added up.
async fn send_all<R: Ring>(
    transfers: &mut Transfers<'_>,
    shape: &Shape,
    cots: Vec<PairCots>,
    rows: Share<R>,
) -> Result<SentAll<R>, ProtocolError> {
    let shape = shape.clone();
    let send = move |pairs: &mut Vec<Pair>| {
        let mut sum = Share::zero(rows.len());
        let mut messages = Vec::with_capacity(pairs.len());
        for (pair, cots) in pairs.iter().zip(&cots) {
            let sent = cots.sent.as_ref().expect("all directions are extended");
            let numbered = (&pair.sender_hash, sent.first);
            let ots = (sent.delta, &sent.cots.rows[..]);
            let (message, shares) = products::send(numbered, &shape, ots, rows.as_slice());
            sum.add_assign(&Share::new(shares));
            messages.push((pair.peer, Transfer::new(message)));
        }
        Ok((cots, rows, sum, messages))
    };
    transfers.with_pairs(send).await
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
    let right = Share::new(transfers.draw::<R>(flat.right_len()));
    let mut left = Vec::with_capacity(flat.left_len());
    let mut product = Share::<R>::zero(flat.product_len());
    for n_items in batches::<R>(flat.left_len(), flat.n) {
        let first = left.len();
        let mut rows = Vec::with_capacity(n_items * flat.n);
        for item in first..first + n_items {
            let row = item % flat.k;
            rows.extend_from_slice(&right.as_slice()[row * flat.n..][..flat.n]);
        }
        let multiplied = multiply(transfers, flat.n, Share::new(rows), n_items).await?;
        let (_, elements, cross) = multiplied;
        left.extend_from_slice(elements.as_slice());
        for (item, cross) in (first..).zip(cross.as_slice().chunks_exact(flat.n)) {
            let row = item / flat.k;
            ring::add_assign(&mut product.as_mut_slice()[row * flat.n..][..flat.n], cross);
        }
    }
    let finish = move || {
        let left = Share::new(left);
        product.add_assign(&matrix::product(flat, &left, &right));
        if flat == shape {
            let (a, b, c) = (left, right, product);
            return MatrixTriple { a, b, c };
        }
        MatrixTriple {
            a: transposed(&right, flat.k, flat.n),
            b: transposed(&left, flat.m, flat.k),
            c: transposed(&product, flat.m, flat.n),
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

fn transposed<R: Ring>(matrix: &Share<R>, n_rows: usize, n_columns: usize) -> Share<R> {
    let mut out = Share::zero(matrix.len());
    let values = matrix.as_slice();
    let rows = out.as_mut_slice().par_chunks_mut(n_rows.max(1));
    rows.enumerate().for_each(|(column, out)| {
        for (row, out) in out.iter_mut().enumerate() {
            *out = values[row * n_columns + column];
        }
    });
    out
}

/// The cost of [`triples`].
pub(super) fn triples_cost<R: Ring>(tally: &mut Tally, n_items: usize) {
    multiply_cost::<R>(tally, n_items, 1);
}

/// The cost of [`matrix_triple`].
pub(super) fn matrix_cost<R: Ring>(tally: &mut Tally, shape: MatrixShape) {
    let flat = flat(shape);
    multiply_cost::<R>(tally, flat.left_len(), flat.n);
}

/// OTs of [`matrix_triple`], and at most so many batches.
pub(super) fn matrix_ots<R: Ring>(shape: MatrixShape) -> (u64, u64) {
    let flat = flat(shape);
    let n_items = flat.left_len();
    let n_batches = n_items.div_ceil(batch_items::<R>(flat.n));
    let n_ots = (n_items as u64).saturating_mul(u64::from(R::BITS));
    (n_ots, n_batches as u64)
}

fn multiply_cost<R: Ring>(tally: &mut Tally, n_items: usize, n_columns: usize) {
    let shape = Shape::elements::<R>(n_columns);
    let mode = choices(tally.n_computing());
    for n_items in batches::<R>(n_items, n_columns) {
        let n_ots = n_items * R::BITS as usize;
        tally.extensions(Pattern::All, n_ots, mode);
        tally.round(Pattern::All, |_, _| shape.message_bytes(n_ots));
    }
}
