//! Values at ranks of rows that count as often as shared numbers say: quantiles over a join, of any domain.
//!
//! ```text
//! rows       in the order of their groups and values, which their owners know; of several owners they are merged
//! running    C_e, how many rows the first e count for, is a local sum of shares. So is what groups before count for
//! threshold  the wanted row is the first with b·C_e ≥ T, where T follows from the level a/b and the group's count
//! search     the ends of blocks are compared with T, the block is taken by products with bits, then its rows likewise
//! ```

mod sorted;

use super::quantile::Fraction;
pub use super::select::Place;
use super::{bits_for, planes_of};
use crate::arith::compare::{self, MAX_BOUND_BITS, Method};
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, mul, mux};
use crate::boolean;
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::share::Share;
use engine::share::boolean::BitShare;
pub use sorted::{SharedRows, quantiles_of_shares, shared_price};
use zeroize::Zeroizing;

/// Most rows over all owners.
pub const MAX_ROWS: usize = 1 << 22;

/// The public shape of [`quantiles`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedShape {
    /// How many rows each owner may have; what it has less is filled up.
    pub rows: Vec<usize>,
    /// Groups of the rows' own.
    pub groups: usize,
    /// Groups of others: a row counts in each of these as often as that one's number says.
    pub others: usize,
    /// Values are below 2 to this power; 1 to 64.
    pub bits: usize,
    /// What is wanted of each group.
    pub places: Vec<Place>,
    /// All rows of a group of others together count for less than 2 to this power.
    pub rows_bits: u32,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

/// One owner's rows.
pub struct Run {
    /// Whose they are.
    pub owner: Seat,
    /// At the owner, group and value of each row, in ascending order.
    pub rows: Option<Zeroizing<Vec<(u32, u64)>>>,
    /// For each group of others, how often each row counts; those that are filled up must not.
    pub weights: Vec<Share<u64>>,
}

/// A threshold of one search: `level.denominator`·C_e − T is compared, with T = numerator·(n − less) + more.
#[derive(Clone, Copy)]
struct Search {
    level: Fraction,
    less: u64,
    more: u64,
}

impl Place {
    /// The searches that find what is wanted; two for a row and the next one.
    fn searches(self) -> Vec<Search> {
        let of = |level: Fraction, less: u64, more: u64| Search { level, less, more };
        match self {
            Self::Discrete(p) if p.numerator == 0 => vec![of(p, 0, 1)],
            Self::Discrete(p) => vec![of(p, 0, 0)],
            Self::Below(p) => vec![of(p, 1, 1)],
            Self::Above(p) => vec![of(p, 1, p.denominator.into())],
            Self::Linear(p) => vec![of(p, 1, 1), of(p, 1, u64::from(p.denominator) + 1)],
        }
    }
}

/// What a search is about.
struct Target {
    other: usize,
    group: usize,
    search: Search,
}

impl WeightedShape {
    /// Checks that the parts of the shape fit together and into the ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.rows.is_empty() || self.n_rows() > MAX_ROWS {
            return invalid("weighted rows have an owner, and are 2^22 at most");
        }
        if self.groups == 0 || self.others == 0 || !(1..=64).contains(&self.bits) {
            return invalid("weighted rows have groups, and values of 1 to 64 bits");
        }
        let fits = |place: &Place| {
            let p = place.level();
            let scale = match place {
                Place::Linear(_) => bits_for(u128::from(p.denominator)),
                _ => 0,
            };
            p.denominator >= 1
                && p.numerator <= p.denominator
                && self.bits + scale <= 64
                && self.bound_bits(p) <= MAX_BOUND_BITS
        };
        match self.places.iter().all(fits) {
            true => Ok(()),
            false => invalid("a level lies between 0 and 1, and its multiples fit the ring"),
        }
    }

    fn n_rows(&self) -> usize {
        self.rows.iter().fold(0, |n, rows| n.saturating_add(*rows))
    }

    /// |b·C − T| is below 2 to this power, and that of neighbours in T.
    fn bound_bits(&self, p: Fraction) -> u32 {
        self.rows_bits
            .saturating_add(p.denominator.next_power_of_two().ilog2() + 2)
    }

    fn most_bits(&self) -> u32 {
        let bits = self.places.iter().map(|p| self.bound_bits(p.level()));
        bits.max().unwrap_or(1)
    }

    /// Rows of a block, and blocks.
    fn blocks(&self) -> (usize, usize) {
        let n_rows = self.n_rows().max(1);
        let size = n_rows.isqrt().max(1);
        (size, n_rows.div_ceil(size))
    }

    fn group_bits(&self) -> usize {
        bits_for(self.groups.saturating_sub(1) as u128)
    }

    fn table(&self, n_rows: usize) -> TableShape {
        TableShape {
            n_rows,
            key_bits: self.bits + self.group_bits(),
            extra_bits: 0,
            ring64: self.others + 1,
            ring128: 0,
        }
    }

    /// By group of others, then by group, then by place: searches one after the other.
    fn targets(&self) -> Vec<Target> {
        let cells = (0..self.others).flat_map(|h| (0..self.groups).map(move |g| (h, g)));
        let of_cell = |(other, group)| {
            let searches = self.places.iter().flat_map(|place| place.searches());
            searches.map(move |search| Target {
                other,
                group,
                search,
            })
        };
        cells.flat_map(of_cell).collect()
    }

    /// Of each place in each cell of the result, in the order of targets: the cell, the place and its first target.
    fn placed(&self) -> Vec<(usize, usize, usize)> {
        let mut placed = Vec::new();
        let mut at = 0;
        for cell in 0..self.others * self.groups {
            let (other, group) = (cell / self.groups, cell % self.groups);
            for (number, place) in self.places.iter().enumerate() {
                placed.push((group * self.others + other, number, at));
                at += place.searches().len();
            }
        }
        placed
    }

    fn n_targets(&self) -> usize {
        self.groups * self.others * self.n_searches()
    }

    fn n_searches(&self) -> usize {
        self.places.iter().map(|p| p.searches().len()).sum()
    }

    fn n_linear(&self) -> usize {
        let linear = self.places.iter().filter(|p| matches!(p, Place::Linear(_)));
        linear.count() * self.groups * self.others
    }

    /// Blocks of one group of others times which is taken by each of its searches: running counts, and values.
    fn taken_blocks(&self) -> MatrixShape {
        let (size, n_blocks) = self.blocks();
        MatrixShape {
            m: self.groups * self.n_searches(),
            k: n_blocks,
            n: 2 * size,
        }
    }

    /// This owner's values, filled up behind.
    fn filled(
        &self,
        rows: &[(u32, u64)],
        n_rows: usize,
    ) -> Result<(Zeroizing<Vec<u128>>, Zeroizing<Vec<u64>>), ProtocolError> {
        let greatest = u64::MAX >> (64 - self.bits);
        let fits = |row: &(u32, u64)| (row.0 as usize) < self.groups && row.1 <= greatest;
        if rows.len() > n_rows || !rows.is_sorted() || !rows.iter().all(fits) {
            return Err(ProtocolError::InvalidInput {
                what: "weighted rows are in order, as many as declared, with values of the declared bits",
            });
        }
        let key =
            |(group, value): &(u32, u64)| u128::from(*group) << self.bits | u128::from(*value);
        let mut keys = Zeroizing::new(Vec::with_capacity(n_rows));
        keys.extend(rows.iter().map(key));
        keys.resize(n_rows, (1u128 << (self.bits + self.group_bits())) - 1);
        let mut values = Zeroizing::new(Vec::with_capacity(n_rows));
        values.extend(rows.iter().map(|row| row.1));
        values.resize(n_rows, 0);
        Ok((keys, values))
    }
}

/// Finds values at ranks of each group.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `runs`: the owners' rows, in the order of the shape; `counts`: for each group of others, shares of how
///   many rows there are in each group; takes [`price`]
/// # Output    for each place, shares of one number for each group and then each group of others, the latter running
///   fastest: the value, and for [`Place::Linear`] the quantile times the denominator. 0 where nothing counts
/// # Cost      [`price`]: for each search about 2·√n comparisons, and with a dealer matrices of √n × 2√n, else 2n selections;
///   rows of several owners are merged
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent, [`ProtocolError::OutOfCorrelations`],
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Hyndman–Fan, 1996, types 1 and 7; CRYPTO §1.8 (runs that arrive sorted). The search in blocks: own
pub async fn quantiles(
    session: &mut Session,
    runs: Vec<Run>,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let outcome = try_quantiles(session, runs, counts, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_quantiles(
    session: &mut Session,
    runs: Vec<Run>,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    shape.check()?;
    let is_whole = |(run, n_rows): (&Run, &usize)| {
        run.weights.len() == shape.others && run.weights.iter().all(|w| w.len() == *n_rows)
    };
    let fit = runs.len() == shape.rows.len()
        && runs.iter().zip(&shape.rows).all(is_whole)
        && counts.len() == shape.others
        && counts.iter().all(|c| c.len() == shape.groups);
    if !fit {
        return Err(ProtocolError::InvalidInput {
            what: "weighted rows have a number for each group of others, and these a count for each group",
        });
    }
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let table = in_order(session, runs, shape, stock).await?;
    found_in(session, table, counts, shape, stock).await
}

/// What is wanted, in rows that are in order.
async fn found_in(
    session: &mut Session,
    table: Table,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let (running, values) = running(table, shape);
    let targets = shape.targets();
    let thresholds = thresholds(session, counts, &targets);
    let found = search(
        session,
        (&running, &values),
        (&targets, &thresholds),
        shape,
        stock,
    )
    .await?;
    let found = interpolated(session, found, (counts, &targets), shape, stock).await?;
    of_counted(session, found, counts, shape, stock).await
}

/// All rows in the order of groups and values: columns of weights, and one of values.
async fn in_order(
    session: &mut Session,
    mut runs: Vec<Run>,
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let is_alone = runs.len() == 1;
    let mut tables = Vec::with_capacity(runs.len());
    for (run, n_rows) in runs.iter_mut().zip(&shape.rows) {
        let own = run.rows.as_ref().map(|rows| shape.filled(rows, *n_rows));
        let (keys, values) = own.transpose()?.unzip();
        let mut columns = std::mem::take(&mut run.weights);
        columns.push(match values {
            Some(values) => Share::new(values.to_vec()),
            None => Share::zero(*n_rows),
        });
        let n_planes = if is_alone { 0 } else { shape.table(0).key_bits };
        let planes = keys.map(|keys| planes_of(&keys, n_planes));
        let planes = boolean::input(session, run.owner, planes, vec![*n_rows; n_planes]).await?;
        tables.push(Table::new(*n_rows, &planes, &[], columns, vec![]));
    }
    match is_alone {
        true => Ok(tables.swap_remove(0)),
        false => sort::merge(session, tables, stock).await,
    }
}

/// Running counts for each group of others, and values, filled up to whole blocks.
fn running(table: Table, shape: &WeightedShape) -> (Vec<Share<u64>>, Share<u64>) {
    let (mut columns, _) = table.into_ring_columns();
    let (size, n_blocks) = shape.blocks();
    let more = size * n_blocks - shape.n_rows();
    for column in &mut columns {
        column.append(Share::zero(more));
    }
    let values = columns.pop().expect("a column of values");
    for column in &mut columns {
        let mut sum = 0u64;
        for weight in column.as_mut_slice() {
            sum = sum.wrapping_add(*weight);
            *weight = sum;
        }
    }
    (columns, values)
}

/// T for each search, counted from the first row of all groups on.
fn thresholds(session: &Session, counts: &[Share<u64>], targets: &[Target]) -> Vec<u64> {
    let own = |public: u64| if session.seat() == Seat(0) { public } else { 0 };
    let of = |target: &Target| {
        let Search { level, less, more } = target.search;
        let counts = counts[target.other].as_slice();
        let before = engine::ring::sum(&counts[..target.group]);
        let rank = counts[target.group].wrapping_sub(own(less));
        let rank = rank.wrapping_mul(level.numerator.into());
        rank.wrapping_add(before.wrapping_mul(level.denominator.into()))
            .wrapping_add(own(more))
    };
    targets.iter().map(of).collect()
}

/// What each search finds: the running count up to the row, and its value.
struct Found {
    running: Share<u64>,
    values: Share<u64>,
}

async fn search(
    session: &mut Session,
    (running, values): (&[Share<u64>], &Share<u64>),
    (targets, thresholds): (&[Target], &[u64]),
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Found, ProtocolError> {
    let (size, n_blocks) = shape.blocks();
    let ends =
        |t: usize, block: usize| running[targets[t].other].as_slice()[(block + 1) * size - 1];
    let blocks = first_at(session, (targets, thresholds, n_blocks), ends, shape, stock).await?;
    let per_other = targets.len() / shape.others;
    let mut taken = Vec::with_capacity(targets.len() * 2 * size);
    for (other, running) in running.iter().enumerate() {
        let bits = (0..per_other * n_blocks).map(|i| other * per_other * n_blocks + i);
        let bits = blocks.picked(bits);
        let mut rows = Vec::with_capacity(2 * size * n_blocks);
        let both = running
            .as_slice()
            .chunks(size)
            .zip(values.as_slice().chunks(size));
        both.for_each(|(running, values)| rows.extend_from_slice(&[running, values].concat()));
        let rows = Share::new(rows);
        let block = taken_blocks(session, &bits, &rows, shape, stock).await?;
        taken.extend_from_slice(block.as_slice());
    }
    let taken = Share::new(taken);
    let within = |t: usize, row: usize| taken.as_slice()[2 * t * size + row];
    let rows = first_at(session, (targets, thresholds, size), within, shape, stock).await?;
    let mut bits = rows.picked(0..rows.n_bits());
    bits.append(rows);
    let halves = [0, 1].map(|half| {
        let of = |t: usize| &taken.as_slice()[(2 * t + half) * size..][..size];
        (0..targets.len())
            .flat_map(move |t| of(t).iter().copied())
            .collect::<Vec<u64>>()
    });
    let kept = mux::times(session, &bits, &Share::new(halves.concat()), stock).await?;
    let sums = kept.as_slice().chunks(size).map(engine::ring::sum);
    let mut running = Share::new(sums.collect());
    let values = running.split_off(targets.len());
    Ok(Found { running, values })
}

/// For each target a row of bits with a 1 at the first of so many running counts that reaches its threshold; the last
/// one does if no other.
async fn first_at(
    session: &mut Session,
    (targets, thresholds, n): (&[Target], &[u64], usize),
    running: impl Fn(usize, usize) -> u64,
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let mut differences = Vec::with_capacity(targets.len() * (n - 1));
    for (t, (target, threshold)) in targets.iter().zip(thresholds).enumerate() {
        let b = u64::from(target.search.level.denominator);
        let difference = |i| running(t, i).wrapping_mul(b).wrapping_sub(*threshold);
        differences.extend((0..n - 1).map(difference));
    }
    let differences = Share::new(differences);
    let bound_bits = shape.most_bits();
    let below =
        compare::less_than_zero(session, &differences, bound_bits, shape.method, stock).await?;
    let is_first = session.seat() == Seat(0);
    let below = |target: usize, i: usize| engine::bits::get(below.as_words(), target * (n - 1) + i);
    // Below the threshold before it, and no more here: 1 before the first, 0 at the last.
    let bit = |at: usize| {
        let (target, i) = (at / n, at % n);
        let before = if i == 0 {
            is_first
        } else {
            below(target, i - 1)
        };
        before ^ (i + 1 < n && below(target, i))
    };
    let bits: Vec<bool> = (0..targets.len() * n).map(bit).collect();
    let bits = Zeroizing::new(bits);
    Ok(BitShare::from_words(bits.len(), engine::bits::pack(&bits)))
}

/// Rows of bits times blocks: by a matrix where a dealer makes it, else bit by bit.
async fn taken_blocks(
    session: &mut Session,
    bits: &BitShare,
    blocks: &Share<u64>,
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let product = shape.taken_blocks();
    if shape.method == Method::Masked {
        let bits = convert::bit_to_arith::<u64>(session, bits, stock).await?;
        return matmul(session, &bits, blocks, product, stock).await;
    }
    let MatrixShape { m, k, n } = product;
    let mut sums = Share::zero(product.product_len());
    // One search after the other, so that memory goes by rows.
    for search in 0..m {
        let repeated = bits.picked((0..k * n).map(|at| search * k + at / n));
        let kept = mux::times(session, &repeated, blocks, stock).await?;
        let sum = &mut sums.as_mut_slice()[search * n..][..n];
        let rows = kept.as_slice().chunks(n);
        rows.for_each(|row| engine::ring::add_assign(sum, row));
    }
    Ok(sums)
}

/// What is wanted at each place from what its searches have found.
///
/// With y = b·C − a·(n − 1) at the row, of the group alone, a quantile of type 7 is b·x + (b − y)·(x' − x): where the
/// next row x' is another, C is the row's rank.
async fn interpolated(
    session: &mut Session,
    found: Found,
    (counts, targets): (&[Share<u64>], &[Target]),
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let own = |public: u64| if is_first { public } else { 0 };
    let (running, values) = (found.running.as_slice(), found.values.as_slice());
    let mut rests = Vec::with_capacity(shape.n_linear());
    let mut gaps = Vec::with_capacity(shape.n_linear());
    let mut scaled = Vec::with_capacity(shape.n_linear());
    let placed = shape.placed();
    for (_, place, at) in &placed {
        let Place::Linear(p) = shape.places[*place] else {
            continue;
        };
        let (a, b) = (u64::from(p.numerator), u64::from(p.denominator));
        let (group, counts) = (targets[*at].group, counts[targets[*at].other].as_slice());
        let rank = running[*at].wrapping_sub(engine::ring::sum(&counts[..group]));
        let others = counts[group].wrapping_sub(own(1));
        let y = rank.wrapping_mul(b).wrapping_sub(others.wrapping_mul(a));
        rests.push(own(b).wrapping_sub(y));
        gaps.push(values[at + 1].wrapping_sub(values[*at]));
        scaled.push(values[*at].wrapping_mul(b));
    }
    let mut linear = mul::mul(session, &Share::new(rests), &Share::new(gaps), stock).await?;
    linear.add_assign(&Share::new(scaled));
    let mut linear = linear.as_slice().iter();
    let n_cells = shape.others * shape.groups;
    let mut places: Vec<Share<u64>> = shape.places.iter().map(|_| Share::zero(n_cells)).collect();
    for (cell, place, at) in placed {
        places[place].as_mut_slice()[cell] = match shape.places[place] {
            Place::Linear(_) => *linear.next().expect("one for each of them"),
            _ => values[at],
        };
    }
    Ok(places)
}

/// Nothing of a group in which nothing counts.
async fn of_counted(
    session: &mut Session,
    places: Vec<Share<u64>>,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let me = session.seat().index();
    let n_cells = shape.groups * shape.others;
    let of_cell = |cell: usize| counts[cell % shape.others].as_slice()[cell / shape.others];
    let mut less = Share::new((0..n_cells).map(of_cell).collect());
    less.add_public(me, &vec![1u64.wrapping_neg(); n_cells]);
    let rows_bits = shape.rows_bits;
    let mut counted =
        compare::less_than_zero(session, &less, rows_bits, shape.method, stock).await?;
    counted.not(me);
    let bits = counted.picked((0..n_cells * places.len()).map(|at| at % n_cells));
    let mut all = Share::zero(0);
    places.into_iter().for_each(|place| all.append(place));
    let kept = mux::times(session, &bits, &all, stock).await?;
    let each = kept.as_slice().chunks(n_cells);
    Ok(each.map(|values| Share::new(values.to_vec())).collect())
}

/// The declared price of [`quantiles`].
pub fn price(shape: &WeightedShape, seats: Seats) -> Price {
    let merged = match shape.rows.len() {
        1 => Price::nothing(seats),
        _ => sort::merge_price(&shape.rows, shape.table(shape.n_rows()), seats),
    };
    merged.then(&found_price(shape, seats))
}

/// The price of [`found_in`].
fn found_price(shape: &WeightedShape, seats: Seats) -> Price {
    let (size, n_blocks) = shape.blocks();
    let (n_targets, n_cells) = (shape.n_targets(), shape.groups * shape.others);
    let compared = |n_items: usize, bound_bits: u32| {
        compare::less_than_zero_price::<u64>(seats, n_items, bound_bits, shape.method)
    };
    let product = shape.taken_blocks();
    let taken = match shape.method {
        Method::Masked => convert::planes_price::<u64>(seats, product.left_len(), 1)
            .then(&products::price::<u64>(seats, product)),
        _ => {
            let one = mux::price::<u64>(seats, product.right_len());
            Price::sequence(seats, vec![one; product.m])
        }
    };
    compared(n_targets * (n_blocks - 1), shape.most_bits())
        .then(&Price::sequence(seats, vec![taken; shape.others]))
        .then(&compared(n_targets * (size - 1), shape.most_bits()))
        .then(&mux::price::<u64>(seats, 2 * n_targets * size))
        .then(&mul::price::<u64>(seats, shape.n_linear()))
        .then(&compared(n_cells, shape.rows_bits))
        .then(&mux::price::<u64>(seats, n_cells * shape.places.len()))
}

/// [`quantiles`] in the clear, for tests: rows of all owners with how often each counts in each group of others.
pub fn oracle(rows: &[(u32, u64, Vec<u64>)], shape: &WeightedShape) -> Vec<Vec<u64>> {
    let cells = (0..shape.groups).flat_map(|g| (0..shape.others).map(move |h| (g, h)));
    let of_cell = |(group, other): (usize, usize)| {
        let own = rows.iter().filter(|row| row.0 as usize == group);
        let counted = own.flat_map(|row| std::iter::repeat_n(row.1, row.2[other] as usize));
        let mut values: Vec<u64> = counted.collect();
        values.sort_unstable();
        values
    };
    let cells: Vec<Vec<u64>> = cells.map(of_cell).collect();
    let at = |place: &Place, values: &Vec<u64>| place.of(values) as u64;
    let of_place = |place: &Place| cells.iter().map(|values| at(place, values)).collect();
    shape.places.iter().map(of_place).collect()
}
