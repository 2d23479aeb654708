//! What the cases run once their correlations are there.

use super::{Answer, BOUND_BITS, FRAC_BITS, Inputs, KEY_BITS, group, square};
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};
use protocols::arith::compare::{self, Method};
use protocols::arith::{self, matmul, trunc};
use protocols::boolean;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::session::Session;
use protocols::table::Table;
use protocols::{scan, sort};

pub(super) async fn open(session: &mut Session, inputs: Inputs) -> Result<Answer, ProtocolError> {
    let mut sum = inputs.x;
    sum.add_assign(&inputs.y);
    Ok(Answer::Open(arith::open(session, sum).await?))
}

/// Each seat's own words, and zeros for those of the other, are shares.
pub(super) async fn and(
    session: &mut Session,
    stock: &mut Stock,
    n_bits: usize,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let own = BitShare::from_words(n_bits, inputs.own);
    let other = BitShare::zero(n_bits);
    let pair = match session.seat() {
        Seat(0) => (&own, &other),
        _ => (&other, &own),
    };
    let products = boolean::and(session, &[pair], stock).await?;
    let words = products.into_iter().flat_map(BitShare::into_words);
    Ok(Answer::Xor(words.collect()))
}

pub(super) async fn multiply(
    session: &mut Session,
    stock: &mut Stock,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let product = arith::mul::mul(session, &inputs.x, &inputs.y, stock).await?;
    Ok(Answer::Sum(product))
}

pub(super) async fn multiply_fixed(
    session: &mut Session,
    stock: &mut Stock,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let product = arith::mul::mul(session, &inputs.x, &inputs.y, stock).await?;
    let product = trunc::probabilistic(session, &product, FRAC_BITS, stock).await?;
    Ok(Answer::Sum(product))
}

pub(super) async fn less_than_zero(
    session: &mut Session,
    stock: &mut Stock,
    inputs: Inputs,
    method: Method,
) -> Result<Answer, ProtocolError> {
    let bits = compare::less_than_zero(session, &inputs.x, BOUND_BITS, method, stock).await?;
    Ok(Answer::Xor(bits.into_words()))
}

/// The rows of seat 0 in the order of their keys.
pub(super) async fn sorted(
    session: &mut Session,
    stock: &mut Stock,
    n_rows: usize,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let keys = match session.seat() {
        Seat(0) => inputs.own,
        _ => vec![0; n_rows],
    };
    let key = to_planes(&keys, KEY_BITS);
    let table = Table::new(n_rows, &key, &[], Vec::new(), Vec::new());
    let sorted = sort::quick(session, table, stock).await?;
    let planes = sorted.planes(0..KEY_BITS).into_iter();
    Ok(Answer::Xor(planes.flat_map(BitShare::into_words).collect()))
}

/// Rows of both seats, each in order at home: merged, and counted up in each group.
pub(super) async fn group_by_sum(
    session: &mut Session,
    stock: &mut Stock,
    n_rows: usize,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let mut own = inputs.own;
    own.iter_mut().for_each(|word| *word = group(*word));
    own.sort_unstable();
    let n_own = own.len();
    let (keys, value) = match session.seat() {
        Seat(0) => ([own, vec![0; n_own]].concat(), 1),
        _ => ([vec![0; n_own], own].concat(), 0),
    };
    let values = vec![Share::new(vec![value; n_rows])];
    let table = Table::new(n_rows, &to_planes(&keys, KEY_BITS), &[], values, Vec::new());
    let merged = sort::merge_runs(session, table, &[n_own; 2], stock).await?;
    let same = scan::same_group(session, &merged, 0..KEY_BITS, stock).await?;
    let (values, _) = merged.into_ring_columns();
    let mut sums = scan::sums(session, &same, values, stock).await?;
    Ok(Answer::Sum(sums.swap_remove(0)))
}

pub(super) async fn matrix_product(
    session: &mut Session,
    stock: &mut Stock,
    side: usize,
    inputs: Inputs,
) -> Result<Answer, ProtocolError> {
    let product = matmul::matmul(session, &inputs.x, &inputs.y, square(side), stock).await?;
    Ok(Answer::Sum(product))
}
