//! The largest numbers that single keys add to each total of a join, and the total of all: what rules about dominance are
//! about.

use super::Inputs;
use super::bins;
use super::shape::Shape;
use crate::arith::compare::{MAX_BOUND_BITS, Method};
use crate::arith::{copy, order};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;

/// Most numbers that are found of each total.
pub const MAX_LARGEST: usize = 4;

/// The public shape of [`largest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargestShape {
    /// The join. Each output over Z_2^64 is a number for each key and each combination of cells.
    pub join: Shape,
    /// How many of the largest are found; 1 to [`MAX_LARGEST`].
    pub n_largest: usize,
    /// Each number is below 2 to this power in magnitude; 1 to 63.
    pub bound_bits: u32,
    /// Whether a number can be negative, so that its magnitude has to be found.
    pub signed: bool,
    /// How they are compared: by what the source makes cheaply.
    pub method: Method,
}

/// Of one output of the join, shares of one number for each combination of the relations' cells.
pub struct Largest {
    /// The sum of all magnitudes.
    pub total: Share<u64>,
    /// The largest magnitudes, in descending order; 0 where there are fewer keys.
    pub largest: Vec<Share<u64>>,
}

/// Finds what the keys of the hub add most to outputs of a join, in magnitude. Nothing is opened but masked values.
///
/// Bins are put in lists of one, and neighbouring lists are merged until there is one: of two lists in order, the greater of
/// the first of one and the last of the other, of the second and the last but one, and so on, are the largest of both, and a
/// bitonic merger puts them in order.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `inputs` as for [`bins`](bins::bins); takes [`price`]
/// # Output    a [`Largest`] for each output of the join
/// # Cost      [`price`]: that of [`bins`](bins::bins), and ⌈log2 n⌉ · (1 + ⌈log2 k⌉) comparisons one after the other for n bins and
///   the k largest; for the two largest 2·n comparisons in all, with one selection each
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else. Computational: as
///   [`bins`](bins::bins)
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent; otherwise as
///   [`bins`](bins::bins)
/// # Source    [`bins`](bins::bins), then Batcher, AFIPS 1968 (bitonic merging), kept to the first k
pub async fn largest(
    session: &mut Session,
    shape: &LargestShape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Largest>, ProtocolError> {
    let outcome = try_largest(session, shape, inputs, stock).await;
    session.ended_by(outcome)
}

async fn try_largest(
    session: &mut Session,
    shape: &LargestShape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Largest>, ProtocolError> {
    shape.check()?;
    stock.check(&price(Seats::of(session), shape).needs)?;
    let numbers = bins::bins(session, &shape.join, inputs, stock).await?;
    let n_columns = numbers.len();
    let n_bins = numbers.first().map_or(0, Share::len);
    // All columns of the first bin, then those of the second: lists that are neighbours are halves of one share.
    let of_bin = |bin: usize| numbers.iter().map(move |column| column.as_slice()[bin]);
    let mut values = Share::new((0..n_bins).flat_map(of_bin).collect());
    drop(numbers);
    if shape.signed {
        let (bits, method) = (shape.bound_bits, shape.method);
        (values, _) = order::abs(session, &values, bits, method, stock).await?;
    }
    let totals = sums(&values, n_columns);
    let mut lists = Lists {
        ranks: vec![values],
        n_lists: n_bins,
        n_columns,
    };
    while lists.n_lists > 1 {
        lists = lists.merged(session, shape, stock).await?;
    }
    lists
        .ranks
        .resize_with(shape.n_largest, || Share::zero(n_columns));
    let n_cells = shape.join.n_cells();
    let of_output = |output: usize| {
        let cells = output * n_cells..(output + 1) * n_cells;
        let of_cells = |all: &Share<u64>| Share::new(all.as_slice()[cells.clone()].to_vec());
        Largest {
            total: of_cells(&totals),
            largest: lists.ranks.iter().map(of_cells).collect(),
        }
    };
    Ok((0..shape.join.narrow.len()).map(of_output).collect())
}

/// For each column the sum over all bins.
fn sums(values: &Share<u64>, n_columns: usize) -> Share<u64> {
    let mut sums = Share::zero(n_columns);
    for of_bin in values.as_slice().chunks(n_columns.max(1)) {
        engine::ring::add_assign(sums.as_mut_slice(), of_bin);
    }
    sums
}

/// For each column so many lists of numbers in descending order, as long as there are ranks: one share a rank, the columns of the
/// first list before those of the second.
struct Lists {
    ranks: Vec<Share<u64>>,
    n_lists: usize,
    n_columns: usize,
}

impl Lists {
    /// Half as many lists: those of the first half, each merged with one of the second.
    async fn merged(
        self,
        session: &mut Session,
        shape: &LargestShape,
        stock: &mut Stock,
    ) -> Result<Self, ProtocolError> {
        let n_pairs = self.n_lists / 2;
        let n_items = n_pairs * self.n_columns;
        let (mut first, mut second, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        for mut rank in self.ranks {
            let mut rest = rank.split_off(n_items);
            odd.push(rest.split_off(n_items));
            first.push(rank);
            second.push(rest);
        }
        let n_ranks = first.len();
        second.reverse();
        let pairs = first.iter().zip(&second).collect();
        let (greater, lesser) = exchanged(session, pairs, shape, stock).await?;
        let mut parts = vec![greater];
        if n_ranks < shape.n_kept() {
            parts.push(lesser);
        }
        let mut step = n_ranks / 2;
        while step > 0 {
            parts = in_order(session, parts, step, shape, stock).await?;
            step /= 2;
        }
        let mut ranks: Vec<Share<u64>> = parts.into_iter().flatten().collect();
        let n_odd = (self.n_lists % 2) * self.n_columns;
        odd.resize_with(ranks.len(), || Share::zero(n_odd));
        for (rank, odd) in ranks.iter_mut().zip(odd) {
            rank.append(odd);
        }
        Ok(Self {
            ranks,
            n_lists: self.n_lists.div_ceil(2),
            n_columns: self.n_columns,
        })
    }
}

/// Of each pair of vectors the greater numbers, and the lesser ones.
async fn exchanged(
    session: &mut Session,
    pairs: Vec<(&Share<u64>, &Share<u64>)>,
    shape: &LargestShape,
    stock: &mut Stock,
) -> Result<(Vec<Share<u64>>, Vec<Share<u64>>), ProtocolError> {
    let n_items = pairs.first().map_or(0, |(x, _)| x.len());
    let n_pairs = pairs.len();
    let (mut left, mut right) = (Share::zero(0), Share::zero(0));
    for (x, y) in pairs {
        left.append(copy(x));
        right.append(copy(y));
    }
    let (bits, method) = (shape.bound_bits, shape.method);
    let (lesser, greater) = order::min_max(session, &left, &right, bits, method, stock).await?;
    let each = |all: &Share<u64>| -> Vec<Share<u64>> {
        let part = |i: usize| all.as_slice()[i * n_items..(i + 1) * n_items].to_vec();
        (0..n_pairs).map(|i| Share::new(part(i))).collect()
    };
    Ok((each(&greater), each(&lesser)))
}

/// One step of a bitonic merger of each part: the greater of two numbers that stand so far from each other goes first.
async fn in_order(
    session: &mut Session,
    parts: Vec<Vec<Share<u64>>>,
    step: usize,
    shape: &LargestShape,
    stock: &mut Stock,
) -> Result<Vec<Vec<Share<u64>>>, ProtocolError> {
    let is_first = |at: &usize| at & step == 0;
    let pairs = parts.iter().flat_map(|part| {
        let firsts = (0..part.len()).filter(is_first);
        firsts.map(|at| (&part[at], &part[at + step]))
    });
    let (greater, lesser) = exchanged(session, pairs.collect(), shape, stock).await?;
    let (mut greater, mut lesser) = (greater.into_iter(), lesser.into_iter());
    let mut merged = Vec::with_capacity(parts.len());
    for part in &parts {
        let mut all: Vec<Share<u64>> = part.iter().map(|_| Share::zero(0)).collect();
        for at in (0..part.len()).filter(is_first) {
            let both = greater.next().zip(lesser.next());
            (all[at], all[at + step]) = both.expect("a pair for each first");
        }
        merged.push(all);
    }
    Ok(merged)
}

impl LargestShape {
    /// How long lists become: mergers take powers of two.
    fn n_kept(&self) -> usize {
        self.n_largest.next_power_of_two()
    }

    fn check(&self) -> Result<(), ProtocolError> {
        let is_few = (1..=MAX_LARGEST).contains(&self.n_largest);
        match is_few && (1..=MAX_BOUND_BITS).contains(&self.bound_bits) {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "the 1 to 4 largest of numbers below 2 to the power of 1 to 63",
            }),
        }
    }
}

/// What [`largest`] takes and sends.
///
/// # Panics    as [`bins::price`]
pub fn price(seats: Seats, shape: &LargestShape) -> Price {
    let n_columns = shape.join.narrow.len() * shape.join.n_cells();
    let mut n_lists = bins::n_bins(&shape.join);
    let (bits, method) = (shape.bound_bits, shape.method);
    let exchange = |n: usize| order::min_max_price::<u64>(seats, n * n_columns, bits, method);
    let mut price = bins::price(seats, &shape.join);
    if shape.signed {
        price = price.then(&exchange(n_lists));
    }
    let mut n_ranks = 1;
    while n_lists > 1 {
        let n_pairs = n_lists / 2;
        price = price.then(&exchange(n_ranks * n_pairs));
        let n_parts = if n_ranks < shape.n_kept() { 2 } else { 1 };
        let mut step = n_ranks / 2;
        while step > 0 {
            price = price.then(&exchange(n_parts * n_ranks / 2 * n_pairs));
            step /= 2;
        }
        n_ranks *= n_parts;
        n_lists = n_lists.div_ceil(2);
    }
    price
}
