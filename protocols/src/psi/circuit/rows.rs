//! What all seats know of a join, and what goes in and comes out.

use crate::error::ProtocolError;
use crate::party::Seat;
use crate::psi::{self, Item, oprf};
use crate::session::Session;
use engine::block::Block;
use engine::cuckoo;
use engine::params::STATISTICAL_BITS;
use engine::prg::Prg;
use engine::ring::Ring;
use engine::share::Share;
use zeroize::Zeroize;

/// Most bins of all spokes together: targets have 64 bits, 40 more than the number of bins.
const MAX_LANES: usize = 1 << 24;

/// Most rows of one holder.
const MAX_ROWS: usize = 1 << 28;

/// One holder's table, as all know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The holder.
    pub seat: Seat,
    /// Number of rows: of distinct keys.
    pub n_rows: usize,
    /// Number of columns over Z_2^64.
    pub narrow: usize,
    /// Number of columns over Z_2^128.
    pub wide: usize,
}

impl Side {
    /// Words of one row's payload.
    pub(super) fn n_words(&self) -> usize {
        self.narrow + 2 * self.wide
    }
}

/// Which rows' values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A spoke's values are kept where that spoke matches, the hub's everywhere: a left join.
    Each,
    /// Values are kept where all spokes match: an inner join.
    All,
}

/// What all seats know of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The holder whose table of bins is used. What a join costs is mostly for each of its rows, so
    /// this is the holder with the fewest.
    pub hub: Side,
    /// The others.
    pub spokes: Vec<Side>,
    /// Which values are kept.
    pub keep: Keep,
}

impl Shape {
    /// A star of these seats with so many rows each, the hub first, and so many narrow columns of the table at each place.
    ///
    /// # Panics
    /// If there is no table.
    #[must_use]
    pub fn star(tables: &[(Seat, usize)], narrow: impl Fn(usize) -> usize, keep: Keep) -> Self {
        let sides = tables.iter().enumerate();
        let mut sides = sides.map(|(place, (seat, n_rows))| Side {
            seat: *seat,
            n_rows: *n_rows,
            narrow: narrow(place),
            wide: 0,
        });
        let hub = sides.next().expect("a join has tables");
        Self {
            hub,
            spokes: sides.collect(),
            keep,
        }
    }

    /// Rows of what comes out: a multiple of 64.
    pub fn n_bins(&self) -> usize {
        cuckoo::n_bins(self.hub.n_rows)
    }

    /// True if a seat brings rows.
    pub(crate) fn has(&self, seat: Seat) -> bool {
        let mut spokes = self.spokes.iter();
        self.hub.seat == seat || spokes.any(|side| side.seat == seat)
    }

    /// Bins of all spokes.
    pub(super) fn n_lanes(&self) -> usize {
        self.n_bins() * self.spokes.len()
    }

    /// Bits of a target that are compared.
    pub(super) fn target_bits(&self) -> usize {
        STATISTICAL_BITS + self.n_lanes().next_power_of_two().trailing_zeros() as usize
    }

    /// Columns of each ring that are multiplied by a bit.
    pub(super) fn n_selected(&self) -> (usize, usize) {
        let hub = (self.keep == Keep::All).then_some(&self.hub);
        let sides = || self.spokes.iter().chain(hub);
        let narrow = sides().map(|side| side.narrow).sum();
        (narrow, sides().map(|side| side.wide).sum())
    }

    pub(super) fn position(&self, spoke: Seat) -> usize {
        let mut seats = self.spokes.iter().map(|side| side.seat);
        let position = seats.position(|seat| seat == spoke);
        position.expect("rows were checked to be those of a spoke")
    }

    pub(super) fn side(&self, spoke: Seat) -> &Side {
        &self.spokes[self.position(spoke)]
    }

    /// The shape as a field of a hash.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let sides = [self.hub].into_iter().chain(self.spokes.iter().copied());
        let numbers = sides.flat_map(|side| {
            let numbers = [side.n_rows, side.narrow, side.wide];
            [u64::from(side.seat.0)]
                .into_iter()
                .chain(numbers.map(|n| n as u64))
        });
        let keep = [u64::from(self.keep == Keep::All)];
        keep.into_iter()
            .chain(numbers)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    /// Checks that the shape is one, and that this seat's rows are what it says.
    pub(super) fn check(
        &self,
        session: &Session,
        rows: Option<&Rows>,
    ) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let sides = || [self.hub].into_iter().chain(self.spokes.iter().copied());
        let mut seats: Vec<Seat> = sides().map(|side| side.seat).collect();
        seats.sort_unstable();
        let is_computing = |seat: &Seat| seat.index() < session.n_computing();
        let distinct = seats.windows(2).all(|pair| pair[0] != pair[1]);
        if self.spokes.is_empty() || !distinct || !seats.iter().all(is_computing) {
            return invalid("a join is between two or more computing seats, each once");
        }
        if sides().any(|side| side.n_rows > MAX_ROWS) || self.n_lanes() > MAX_LANES {
            return invalid("a join is limited to 2^24 bins, 1.3 for each row and other holder");
        }
        let own = sides().find(|side| side.seat == session.seat());
        match (own, rows) {
            (None, None) => Ok(()),
            (Some(side), Some(rows)) if rows.fit(&side) => match psi::are_distinct(&rows.keys) {
                true => Ok(()),
                false => invalid("a key occurs twice in a table"),
            },
            _ => invalid("each seat brings the rows that the shape says it has"),
        }
    }
}

/// A holder's table: keys that are all different, and columns with a value for each.
pub struct Rows {
    /// The keys, as items.
    pub keys: Vec<Item>,
    /// Columns over Z_2^64.
    pub narrow: Vec<Vec<u64>>,
    /// Columns over Z_2^128.
    pub wide: Vec<Vec<u128>>,
}

impl Rows {
    /// Keys without columns.
    pub fn of_keys(keys: Vec<Item>) -> Self {
        Self {
            keys,
            narrow: Vec::new(),
            wide: Vec::new(),
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        oprf::blocks(&self.keys)
    }

    fn fit(&self, side: &Side) -> bool {
        let n = side.n_rows;
        self.keys.len() == n
            && self.narrow.len() == side.narrow
            && self.wide.len() == side.wide
            && self.narrow.iter().all(|column| column.len() == n)
            && self.wide.iter().all(|column| column.len() == n)
    }

    /// A word of a row's payload, less the pad of the bin; `None` past the last one.
    pub(super) fn masked_word(
        &self,
        pads: &Columns,
        word: usize,
        (row, bin): (usize, usize),
    ) -> Option<u64> {
        if let Some(column) = self.narrow.get(word) {
            let pad = pads.narrow[word].as_slice()[bin];
            return Some(column[row].wrapping_sub(pad));
        }
        let word = word - self.narrow.len();
        let column = self.wide.get(word / 2)?;
        let pad = pads.wide[word / 2].as_slice()[bin];
        Some((column[row].wrapping_sub(pad) >> (64 * (word % 2))) as u64)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.narrow.zeroize();
        self.wide.zeroize();
    }
}

/// One holder's columns as shares, with a value for each bin.
pub struct Columns {
    /// Over Z_2^64.
    pub narrow: Vec<Share<u64>>,
    /// Over Z_2^128.
    pub wide: Vec<Share<u128>>,
}

impl Columns {
    pub(super) fn zero(side: &Side, n_bins: usize) -> Self {
        Self {
            narrow: (0..side.narrow).map(|_| Share::zero(n_bins)).collect(),
            wide: (0..side.wide).map(|_| Share::zero(n_bins)).collect(),
        }
    }

    pub(super) fn random(side: &Side, n_bins: usize, prg: &mut Prg) -> Self {
        let mut columns = Self::zero(side, n_bins);
        for column in &mut columns.narrow {
            prg.fill_ring(column.as_mut_slice());
        }
        for column in &mut columns.wide {
            prg.fill_ring(column.as_mut_slice());
        }
        columns
    }

    /// Columns from words: those of the first ring one each, those of the second two.
    pub(super) fn from_words(side: &Side, word: impl Fn(usize) -> Vec<u64>) -> Self {
        let wide = |column: usize| {
            let low = side.narrow + 2 * column;
            let halves = word(low).into_iter().zip(word(low + 1));
            let whole = halves.map(|(low, high)| u128::from(low) | u128::from(high) << 64);
            Share::new(whole.collect())
        };
        Self {
            narrow: (0..side.narrow).map(|at| Share::new(word(at))).collect(),
            wide: (0..side.wide).map(wide).collect(),
        }
    }

    /// The hub's own columns in the order of bins.
    pub(super) fn placed(rows: &Rows, places: &[u32], n_bins: usize) -> Self {
        fn column<R: Ring>(values: &[R], places: &[u32], n_bins: usize) -> Share<R> {
            let mut column = Share::zero(n_bins);
            for (value, bin) in values.iter().zip(places) {
                column.as_mut_slice()[*bin as usize] = *value;
            }
            column
        }
        let narrow = rows.narrow.iter().map(|v| column(v, places, n_bins));
        let wide = rows.wide.iter().map(|v| column(v, places, n_bins));
        Self {
            narrow: narrow.collect(),
            wide: wide.collect(),
        }
    }
}
