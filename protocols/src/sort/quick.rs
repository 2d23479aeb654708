//! Sorting by wide keys: shuffle, then compare and open.

use crate::arith::bits;
use crate::boolean;
use crate::correlate::{Needs, Stock};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::shuffle::{self, Shuffler};
use crate::table::{Table, TableShape};
use engine::bits as packed;
use engine::share::boolean::{BitShare, to_planes};

/// Segments of up to so many rows are sorted by comparing all pairs at once.
const SMALL: usize = 16;

/// Sorts rows by their keys; rows with equal keys stay in their order.
///
/// The position of each row goes below its key, so that no two keys are equal. The rows are shuffled,
/// and then sorted in the open as by quicksort: which of two rows in a random order is smaller is a
/// coin that does not depend on the keys, as long as no two are equal. Each step splits a segment at
/// several pivots, found by comparing all pairs of a few rows: so the comparisons of one step take a
/// number of rounds that does not depend on the rows, and there are few steps.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `table`: shares of n rows with keys of any width; takes [`price`]
/// # Output    shares of the rows in ascending order of their unsigned keys, stable
/// # Cost      at most [`price`], which is one fifth above the mean. How many comparisons there are
///   depends on the random order of the rows, not on their keys
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is the
///   order of uniformly shuffled different keys
/// # Errors    [`ProtocolError::Unlucky`] if the random order takes more comparisons than were
///   prepared, over ten standard deviations above the mean; [`ProtocolError::OutOfCorrelations`],
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Hamada, Kikuchi, Ikarashi, Chida, Takahashi, ICISC 2012; CRYPTO §1.8. Several pivots
///   at once: own, after sample sort (Frazer–McKellar, 1970)
pub async fn quick(
    session: &mut Session,
    table: Table,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let shape = table.shape();
    let needs = price(shape, Seats::of(session)).needs;
    session.ended_by(stock.check(&needs))?;
    let numbered = numbered(session.seat().index(), table);
    let mut shuffler = Shuffler::new(session).await?;
    let shuffled = shuffler.shuffle(session, numbered, stock).await?;
    let outcome = order(session, &shuffled, stock).await;
    let order = session.ended_by(outcome)?;
    Ok(unnumbered(&shuffled.reordered(&order), shape))
}

/// Bits of a row's position.
fn number_bits(n_rows: usize) -> usize {
    n_rows.next_power_of_two().ilog2() as usize
}

/// The table with each row's position below its key.
fn numbered(seat_index: usize, table: Table) -> Table {
    let shape = table.shape();
    let own = |i: usize| if seat_index == 0 { i as u64 } else { 0 };
    let numbers: Vec<u64> = (0..shape.n_rows).map(own).collect();
    let mut key = to_planes(&numbers, number_bits(shape.n_rows));
    key.extend(table.planes(0..shape.key_bits));
    let extra = table.planes(shape.key_bits..shape.n_bits());
    let (ring64, ring128) = table.into_ring_columns();
    Table::new(shape.n_rows, &key, &extra, ring64, ring128)
}

fn unnumbered(table: &Table, shape: TableShape) -> Table {
    let first = number_bits(shape.n_rows);
    let planes = table.planes(first..first + shape.n_bits());
    let (key, extra) = planes.split_at(shape.key_bits);
    let rows = table.rows();
    let copy64 = rows
        .ring64
        .iter()
        .map(|c| engine::share::Share::new(c.as_slice().to_vec()));
    let copy128 = rows
        .ring128
        .iter()
        .map(|c| engine::share::Share::new(c.as_slice().to_vec()));
    Table::new(
        shape.n_rows,
        key,
        extra,
        copy64.collect(),
        copy128.collect(),
    )
}

/// Rows that lie between the same two pivots.
type Segment = Vec<u32>;

/// The positions of the rows in ascending order of their keys, no two of which are equal.
async fn order(
    session: &mut Session,
    table: &Table,
    stock: &mut Stock,
) -> Result<Vec<u32>, ProtocolError> {
    let n_rows = u32::try_from(table.n_rows()).expect("under 2^32 rows");
    let mut segments: Vec<Segment> = vec![(0..n_rows).collect()];
    let mut left = max_words(table.n_rows());
    while segments.iter().any(|s| s.len() > 1) {
        let mut compare = Comparing {
            session: &mut *session,
            table,
            stock: &mut *stock,
            left: &mut left,
        };
        let mut splits: Vec<Split> = segments.into_iter().map(Split::new).collect();
        let pairs = splits.iter().flat_map(Split::pivot_pairs).collect();
        let mut is_less = compare.run(pairs).await?.into_iter();
        splits
            .iter_mut()
            .for_each(|split| split.sort_pivots(&mut is_less));
        let n_steps = splits.iter().map(|s| s.depth).max().unwrap_or(0);
        for step in 0..n_steps {
            let pairs = splits.iter().flat_map(|split| split.pairs(step)).collect();
            let mut is_less = compare.run(pairs).await?.into_iter();
            splits
                .iter_mut()
                .for_each(|split| split.descend(step, &mut is_less));
        }
        segments = splits.into_iter().flat_map(Split::into_segments).collect();
    }
    Ok(segments.into_iter().flatten().collect())
}

/// Comparing pairs of rows and opening which is smaller.
struct Comparing<'a> {
    session: &'a mut Session,
    table: &'a Table,
    stock: &'a mut Stock,
    /// Words of comparisons that were prepared and not yet used.
    left: &'a mut usize,
}

impl Comparing<'_> {
    /// For each pair whether the first row's key is smaller. One batch for all.
    async fn run(&mut self, pairs: Vec<(u32, u32)>) -> Result<Vec<bool>, ProtocolError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let n_words = packed::words_for(pairs.len());
        let unlucky = ProtocolError::Unlucky { what: "sorting" };
        *self.left = self.left.checked_sub(n_words).ok_or(unlucky)?;
        let n_pairs = pairs.len();
        let (first, second): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let key = 0..self.table.shape().key_bits;
        let first = self.table.planes_at(key.clone(), &first);
        let second = self.table.planes_at(key, &second);
        let is_less: BitShare = bits::less_than(self.session, &first, &second, self.stock).await?;
        let opened = boolean::open(self.session, is_less).await?;
        Ok(packed::unpack(&opened, n_pairs))
    }
}

/// A segment while it is split.
struct Split {
    /// Ascending once they are sorted. All rows of a small segment are pivots.
    pivots: Vec<u32>,
    /// The other rows, with the number of the stretch between pivots that each is in so far.
    rest: Vec<(u32, usize)>,
    /// Comparisons that find a row's stretch: there are 2^depth − 1 pivots.
    depth: usize,
}

impl Split {
    /// The first rows become pivots: after a shuffle these are as random as any.
    fn new(mut segment: Segment) -> Self {
        if segment.len() <= SMALL {
            return Self {
                pivots: segment,
                rest: Vec::new(),
                depth: 0,
            };
        }
        // About √n / 2 pivots: all pairs of them are an eighth of n comparisons.
        let depth = ((segment.len() / 4).ilog2() as usize / 2).max(1);
        let rest = segment.split_off((1 << depth) - 1);
        Self {
            pivots: segment,
            rest: rest.into_iter().map(|row| (row, 0)).collect(),
            depth,
        }
    }

    fn pivot_pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let pairs = self.pivots.iter().enumerate();
        pairs.flat_map(|(i, x)| self.pivots[i + 1..].iter().map(move |y| (*x, *y)))
    }

    /// Sorts the pivots by how many others each is greater than.
    fn sort_pivots(&mut self, is_less: &mut impl Iterator<Item = bool>) {
        let n = self.pivots.len();
        let mut n_smaller = vec![0; n];
        for i in 0..n {
            for j in i + 1..n {
                let greater = if is_less.next().unwrap_or(false) {
                    j
                } else {
                    i
                };
                n_smaller[greater] += 1;
            }
        }
        let mut sorted = self.pivots.clone();
        for (pivot, place) in self.pivots.iter().zip(n_smaller) {
            sorted[place] = *pivot;
        }
        self.pivots = sorted;
    }

    /// The pivot in the middle of a stretch of this step.
    fn middle(&self, step: usize, stretch: usize) -> u32 {
        self.pivots[((2 * stretch + 1) << (self.depth - step - 1)) - 1]
    }

    fn pairs(&self, step: usize) -> impl Iterator<Item = (u32, u32)> {
        let rest = if step < self.depth {
            &self.rest[..]
        } else {
            &[]
        };
        rest.iter()
            .map(move |(row, stretch)| (*row, self.middle(step, *stretch)))
    }

    fn descend(&mut self, step: usize, is_less: &mut impl Iterator<Item = bool>) {
        if step >= self.depth {
            return;
        }
        for ((_, stretch), is_less) in self.rest.iter_mut().zip(is_less) {
            *stretch = 2 * *stretch + usize::from(!is_less);
        }
    }

    /// The stretches with the pivots between them, in order. A segment without rest is sorted: each
    /// row is one by itself.
    fn into_segments(self) -> Vec<Segment> {
        let mut stretches: Vec<Segment> = vec![Vec::new(); self.pivots.len() + 1];
        for (row, stretch) in self.rest {
            stretches[stretch].push(row);
        }
        let mut segments = Vec::with_capacity(2 * stretches.len());
        let mut pivots = self.pivots.into_iter();
        for stretch in stretches {
            segments.push(stretch);
            segments.extend(pivots.next().map(|pivot| vec![pivot]));
        }
        segments.retain(|s| !s.is_empty());
        segments
    }
}

/// Most batches that are expected.
fn max_batches(n_rows: usize) -> usize {
    10 + 5 * number_bits(n_rows)
}

/// Most words of comparisons that are prepared. The mean over random orders is near
/// n·(1.13·log2 n + 1), with a standard deviation of n for the smallest n and under n/2 from 100 on,
/// so that this is over ten of them above it; and no pair is ever compared twice.
fn max_words(n_rows: usize) -> usize {
    let all_pairs = n_rows * n_rows.saturating_sub(1) / 2;
    let expected = n_rows * 9 * number_bits(n_rows) / 8 + 6 * n_rows;
    packed::words_for(all_pairs.min(expected)) + max_batches(n_rows)
}

/// The declared price of [`quick`]: no run takes or sends more.
pub fn price(shape: TableShape, seats: Seats) -> Price {
    let numbered = TableShape {
        key_bits: shape.key_bits + number_bits(shape.n_rows),
        ..shape
    };
    let n_words = max_words(shape.n_rows);
    let n_batches = max_batches(shape.n_rows);
    // Batches of one size; how the comparisons really fall into batches hardly matters.
    let batch = 64 * n_words.div_ceil(n_batches);
    let compared = bits::less_than_price(seats, batch, numbered.key_bits);
    let opened = Price {
        needs: Needs::default(),
        cost: boolean::open_cost(seats.n_seats, seats.n_computing, packed::words_for(batch)),
    };
    let batches = std::iter::repeat_n(compared.then(&opened), n_batches);
    let sorted = match shape.n_rows {
        0 | 1 => Price {
            needs: Needs::default(),
            cost: Cost::none(seats.n_seats),
        },
        _ => Price::sequence(seats, batches),
    };
    Shuffler::price(seats)
        .then(&shuffle::price(numbered, seats))
        .then(&sorted)
}
