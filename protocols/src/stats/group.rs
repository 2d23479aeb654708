//! Totals of groups that nobody lists: GROUP BY on a column whose values are not public.

pub mod coded;

use super::{bits_for, input, passes, planes_of};
use crate::aggregate::Check;
use crate::arith::compare::Method;
use crate::boolean;
use crate::correlate::{Needs, Stock};
use crate::disclose::{self, Disclosure, Revealed, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::shuffle::{self, Shuffler};
use crate::sort;
use crate::table::{Table, TableShape};
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The public shape of a [`groups`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupShape {
    /// For each computing seat, how many groups it may have. What it has less is filled up.
    pub rows: Vec<usize>,
    /// Bits of a key's hash. Two of n keys collide with probability under n² / 2^(bits + 1), and
    /// would be one group.
    pub hash_bits: usize,
    /// Number of columns over Z_2^128 that hold the key itself, 16 bytes each.
    pub key_words: usize,
    /// Number of columns over Z_2^64.
    pub narrow: usize,
    /// Number of columns over Z_2^128, the key not counted.
    pub wide: usize,
    /// A group is released if all of these hold.
    pub checks: Vec<Check>,
    /// The computing seats that get the result.
    pub receivers: Vec<Seat>,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

/// What one holder has: a row for each of its own groups, column by column, in any order. Signed
/// values in two's complement.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct GroupRows {
    /// The keyed hash of each group's key. All holders hash with the same secret key.
    pub hashes: Vec<u128>,
    /// The key itself, padded: the same words at all holders that have the group.
    pub keys: Vec<Vec<u128>>,
    /// Columns over Z_2^64: counts and small sums.
    pub narrow: Vec<Vec<u64>>,
    /// Columns over Z_2^128.
    pub wide: Vec<Vec<u128>>,
}

/// What a receiver gets: the released groups in an order that says nothing, column by column.
#[derive(PartialEq, Eq)]
pub struct Groups {
    /// The words of the keys.
    pub keys: Vec<Vec<u128>>,
    /// Totals over all holders over Z_2^64.
    pub narrow: Vec<Vec<u64>>,
    /// Totals over all holders over Z_2^128.
    pub wide: Vec<Vec<u128>>,
}

impl GroupShape {
    /// What a holder approves with this shape: every size, check and receiver.
    pub fn terms(&self) -> Terms {
        let sizes = [self.hash_bits, self.key_words, self.narrow, self.wide];
        let all = sizes.iter().chain(&self.rows);
        let sizes: Vec<u8> = all.flat_map(|n| (*n as u64).to_le_bytes()).collect();
        let checks = passes::terms(&self.checks);
        Terms::new(
            "entente/v1/terms/groups",
            &[&sizes, &checks],
            &self.receivers,
        )
    }

    /// Checks that the shape is one for so many seats.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.rows.len() != n_computing {
            return invalid("a grouping has a number of rows for each seat");
        }
        if !(1..=128).contains(&self.hash_bits) || u32::try_from(self.n_rows()).is_err() {
            return invalid("a grouping has hashes of 1 to 128 bits and under 2^32 rows");
        }
        if self.receivers.is_empty() {
            return invalid("a release has a receiver");
        }
        passes::check(&self.checks, self.narrow)
    }

    fn n_rows(&self) -> usize {
        self.rows.iter().sum()
    }

    /// Hash, above it a bit that says that the row is filling; and the columns.
    fn table(&self, n_rows: usize) -> TableShape {
        TableShape {
            n_rows,
            key_bits: self.hash_bits + 1,
            extra_bits: 0,
            ring64: self.narrow,
            ring128: self.key_words + self.wide,
        }
    }

    fn opened(&self) -> Opened<'_> {
        Opened {
            n_rows: self.n_rows(),
            key_words: self.key_words,
            narrow: self.narrow,
            wide: self.wide,
            receivers: &self.receivers,
        }
    }

    /// This holder's rows in order, filled up.
    fn columns(&self, rows: GroupRows, capacity: usize) -> Result<input::Columns, ProtocolError> {
        let n = rows.hashes.len();
        let counts = [rows.keys.len(), rows.narrow.len(), rows.wide.len()];
        let columns_fit = counts == [self.key_words, self.narrow, self.wide]
            && rows.narrow.iter().all(|c| c.len() == n)
            && rows.keys.iter().chain(&rows.wide).all(|c| c.len() == n);
        let exceeds = |c: &Check| rows.narrow[c.column].iter().any(|n| n >> c.bound_bits != 0);
        let hashes_fit = rows.hashes.iter().all(|h| bits_for(*h) <= self.hash_bits);
        if n > capacity || !columns_fit || !hashes_fit || self.checks.iter().any(exceeds) {
            return Err(ProtocolError::InvalidInput {
                what: "a grouping takes rows, columns and counts as declared",
            });
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_unstable_by_key(|i| rows.hashes[*i]);
        let hashes = Zeroizing::new(filled(&rows.hashes, &order, capacity));
        let filling: Vec<u128> = (0..capacity).map(|i| u128::from(i >= n)).collect();
        let mut planes = planes_of(&hashes, self.hash_bits);
        planes.extend(planes_of(&filling, 1));
        let wide = rows.keys.iter().chain(&rows.wide);
        Ok(input::Columns {
            planes,
            ring64: rows
                .narrow
                .iter()
                .map(|c| filled(c, &order, capacity))
                .collect(),
            ring128: wide.map(|c| filled(c, &order, capacity)).collect(),
        })
    }
}

/// A column in another order, filled up with zeros.
fn filled<R: Ring>(column: &[R], order: &[usize], capacity: usize) -> Vec<R> {
    let mut filled = Vec::with_capacity(capacity);
    filled.extend(order.iter().map(|i| column[*i]));
    filled.resize(capacity, R::ZERO);
    filled
}

/// Adds up the holders' groups with equal keys, and releases those whose checks all hold.
///
/// Each holder has added up its own rows of each group. The holders' rows, sorted by the hash of the
/// key, are merged, so that a group's rows stand next to each other, and its last row gets its
/// totals. Whether a row is the last of a group that passes all checks is a shared bit. The rows are
/// shuffled before the bits are opened, so that they say how many groups pass and nothing else; then
/// the rows that pass are revealed, and shares of zeros instead of the others.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; a dealer takes no part
/// # Inputs    `rows`: this holder's own, at most as many as declared for its seat; `shape`: the same
///   at all seats; takes [`price`]; `disclosure`: for the shape's terms
/// # Output    at receivers the released groups, elsewhere `None`
/// # Cost      [`price`]
/// # Security  semi-honest, all but one seat may be corrupt. Receivers learn the released groups; all
///   computing seats learn the shape and the number of released groups
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] and
///   [`ProtocolError::OutOfCorrelations`] before anything is sent; [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §1.8 (merge, segmented scan), §6 (threshold before opening)
pub async fn groups(
    session: &mut Session,
    rows: GroupRows,
    shape: &GroupShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Groups>, ProtocolError> {
    let outcome = try_groups(session, rows, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_groups(
    session: &mut Session,
    rows: GroupRows,
    shape: &GroupShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Groups>, ProtocolError> {
    shape.check(session.n_computing())?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let me = session.seat();
    let mut mine = Some(shape.columns(rows, shape.rows[me.index()])?);
    let mut runs = Vec::with_capacity(shape.rows.len());
    for (owner, n_rows) in Seat::first(shape.rows.len()).zip(&shape.rows) {
        let own = if owner == me { mine.take() } else { None };
        runs.push(input::table(session, owner, own, shape.table(*n_rows)).await?);
    }
    let merged = sort::merge(session, runs, stock).await?;
    let marked = totals(session, merged, shape, stock).await?;
    let opened = shape.opened();
    opened.rows(session, marked, stock, disclosure).await
}

/// What is opened of rows with a shared bit each that says whether they pass: of these all columns.
struct Opened<'a> {
    n_rows: usize,
    key_words: usize,
    narrow: usize,
    wide: usize,
    receivers: &'a [Seat],
}

impl Opened<'_> {
    /// What is shuffled: a bit that says whether the row is released, and the columns.
    fn table(&self) -> TableShape {
        TableShape {
            n_rows: self.n_rows,
            key_bits: 1,
            extra_bits: 0,
            ring64: self.narrow,
            ring128: self.key_words + self.wide,
        }
    }

    /// Shuffles the rows, opens their bits, and reveals those that pass.
    async fn rows(
        &self,
        session: &mut Session,
        marked: Table,
        stock: &mut Stock,
        disclosure: Disclosure,
    ) -> Result<Option<Groups>, ProtocolError> {
        let mut shuffler = Shuffler::new(session).await?;
        let shuffled = shuffler.shuffle(session, marked, stock).await?;
        let ok = shuffled.planes(0..1).swap_remove(0);
        let ok = bits::unpack(&boolean::open(session, ok).await?, self.n_rows);
        let (narrow, wide) = shuffled.into_ring_columns();
        let values = Values {
            narrow: cleared(&narrow, &ok),
            wide: cleared(&wide, &ok),
        };
        let terms = Terms::of_values(values.narrow.len(), values.wide.len(), self.receivers);
        let disclosure = disclosure.part(terms);
        let revealed = reveal(session, values, self.receivers, disclosure).await?;
        Ok(revealed.map(|revealed| self.groups(&ok, revealed)))
    }

    fn groups(&self, ok: &[bool], revealed: Revealed) -> Groups {
        fn columns<R: Copy>(values: &[R], ok: &[bool]) -> Vec<Vec<R>> {
            let released = |column: &[R]| {
                let rows = column.iter().zip(ok).filter(|(_, ok)| **ok);
                rows.map(|(value, _)| *value).collect()
            };
            values.chunks(ok.len().max(1)).map(released).collect()
        }
        let mut wide = columns(&revealed.wide, ok);
        wide.resize(self.key_words + self.wide, Vec::new());
        let mut narrow = columns(&revealed.narrow, ok);
        narrow.resize(self.narrow, Vec::new());
        let sums = wide.split_off(self.key_words);
        Groups {
            keys: wide,
            narrow,
            wide: sums,
        }
    }

    /// The declared price of [`Self::rows`], the same however many rows pass.
    fn price(&self, seats: Seats) -> Price {
        let (n_seats, n_computing) = (seats.n_seats, seats.n_computing);
        let n_wide = self.key_words + self.wide;
        let opened = boolean::open_cost(n_seats, n_computing, bits::words_for(self.n_rows));
        let revealed = disclose::cost(
            n_seats,
            n_computing,
            self.narrow * self.n_rows,
            n_wide * self.n_rows,
            self.receivers,
        );
        Shuffler::price(seats)
            .then(&shuffle::price(self.table(), seats))
            .then(&Price {
                needs: Needs::default(),
                cost: opened.then(&revealed),
            })
    }
}

/// The groups' totals, each in the group's last row, and a bit that says which rows those are whose
/// checks all hold.
async fn totals(
    session: &mut Session,
    merged: Table,
    shape: &GroupShape,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let me = session.seat().index();
    let n_rows = merged.n_rows();
    // Filling counts as a group of its own, even next to a hash of 0.
    let same = scan::same_group(session, &merged, 0..shape.hash_bits + 1, stock).await?;
    let mut real = merged
        .planes(shape.hash_bits..shape.hash_bits + 1)
        .swap_remove(0);
    real.not(me);
    let (narrow, mut wide) = merged.into_ring_columns();
    let sums = wide.split_off(shape.key_words);
    let narrow = match narrow.is_empty() {
        true => narrow,
        false => scan::sums(session, &same, narrow, stock).await?,
    };
    let sums = match sums.is_empty() {
        true => sums,
        false => scan::sums(session, &same, sums, stock).await?,
    };
    wide.extend(sums);
    let mut marks = passes::passes(session, &narrow, &shape.checks, shape.method, stock).await?;
    marks.push(real);
    marks.push(last_of_group(&same, me));
    let ok = boolean::all(session, marks, stock).await?;
    Ok(Table::new(n_rows, &[ok], &[], narrow, wide))
}

/// A row is its group's last if the next one does not go on with it, or there is none.
fn last_of_group(same: &BitShare, seat_index: usize) -> BitShare {
    let n_rows = same.n_bits();
    let mut last = same.picked(n_rows.min(1)..n_rows);
    last.append(BitShare::zero(n_rows.min(1)));
    last.not(seat_index);
    last
}

/// The columns end to end, with zeros in the rows that are held back.
fn cleared<R: Ring>(columns: &[Share<R>], ok: &[bool]) -> Share<R> {
    let mut values = Vec::with_capacity(columns.len() * ok.len());
    for column in columns {
        let rows = column.as_slice().iter().zip(ok);
        values.extend(rows.map(|(value, ok)| if *ok { *value } else { R::ZERO }));
    }
    Share::new(values)
}

/// The declared price of [`groups`], the same however many groups are released.
pub fn price(shape: &GroupShape, seats: Seats) -> Price {
    let n_rows = shape.n_rows();
    let sums64 = match shape.narrow {
        0 => Price::nothing(seats),
        n => scan::sums_price::<u64>(n_rows, n, seats),
    };
    let sums128 = match shape.wide {
        0 => Price::nothing(seats),
        n => scan::sums_price::<u128>(n_rows, n, seats),
    };
    sort::merge_price(&shape.rows, shape.table(n_rows), seats)
        .then(&scan::same_group_price(n_rows, shape.hash_bits + 1, seats))
        .then(&sums64)
        .then(&sums128)
        .then(&passes::price(&shape.checks, n_rows, shape.method, seats))
        .then(&boolean::all_price(seats, n_rows, shape.checks.len() + 2))
        .then(&shape.opened().price(seats))
}

/// [`groups`] in the clear, for tests, in the order of hashes.
pub fn oracle(inputs: &[GroupRows], shape: &GroupShape) -> Groups {
    let mut rows: Vec<(u128, &GroupRows, usize)> = Vec::new();
    for input in inputs {
        let of_row = |(row, hash): (usize, &u128)| (*hash, input, row);
        rows.extend(input.hashes.iter().enumerate().map(of_row));
    }
    rows.sort_by_key(|(hash, ..)| *hash);
    let groups: Vec<_> = rows.chunk_by(|a, b| a.0 == b.0).collect();
    let narrow = |group: &[(u128, &GroupRows, usize)], c: usize| -> u64 {
        let values = group.iter().map(|(_, input, row)| input.narrow[c][*row]);
        values.fold(0, u64::wrapping_add)
    };
    let passing: Vec<_> = groups
        .into_iter()
        .filter(|g| {
            shape
                .checks
                .iter()
                .all(|c| narrow(g, c.column) >= c.at_least)
        })
        .collect();
    let wide = |c: usize| {
        let total = |group: &&[(u128, &GroupRows, usize)]| {
            let values = group.iter().map(|(_, input, row)| input.wide[c][*row]);
            values.fold(0, u128::wrapping_add)
        };
        passing.iter().map(total).collect()
    };
    let key = |c: usize| {
        let word = |group: &&[(u128, &GroupRows, usize)]| group[0].1.keys[c][group[0].2];
        passing.iter().map(word).collect()
    };
    Groups {
        keys: (0..shape.key_words).map(key).collect(),
        narrow: (0..shape.narrow)
            .map(|c| passing.iter().map(|g| narrow(g, c)).collect())
            .collect(),
        wide: (0..shape.wide).map(wide).collect(),
    }
}
