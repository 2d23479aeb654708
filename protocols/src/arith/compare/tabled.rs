//! Two seats' shares added four bits at a time, by oblivious transfer without a dealer.
//!
//! A number is x = s_0 + s_1 mod 2^k, and each seat knows its own summand. Both are cut into groups of
//! four bits. Whether a group of the sum has a carry, and whether it passes one on, are 16 pairs of bits
//! that seat 0 knows for its own four bits, and one pair that seat 1 wants for its own: a transfer of one
//! of 16 entries, and four OTs where four single bits and the three nodes above them take 14.
//!
//! ```text
//! prepared     seat 0 has random tables M, seat 1 random indices c and the entries M_c
//! seat 1 → 0   d = y ⊕ c                                      y: its four bits
//! seat 0 → 1   table T with T_y = carries(x, y) ⊕ r ⊕ M_{y⊕d}  r: its random share of both bits
//! seat 1       has r ⊕ carries(x, y) from entry y, because it knows M_c and y ⊕ d = c
//! ```
//!
//! d is masked by c, which seat 0 does not have; the entries other than y of the table by entries of M that
//! seat 1 does not have. Couteau, ACNS 2018 and Rathee et al., CCS 2020 (2020/325), §3.1, compare so; here
//! the OTs are random and made before, and the shares need not be those of one comparison.

use super::summed::own_planes;
use crate::boolean::Planes;
use crate::correlate::{Needs, Stock, Tables};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::stream::{Consumer, Producer};
use crate::session::{Chunks, Session};
use crate::wire::MaskedBits;
use engine::ot::tables::{BITS, carries, entry, shifted};
use engine::prg::Prg;
use engine::ring::Ring;
use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// Lanes in one message: the tables of 64-bit numbers take 256 KiB.
const CHUNK_LANES: usize = 1 << 12;

/// Where bits that pass carries on stand in a lane's result; there are no more than 32 groups.
const PASSES: usize = 32;

/// True if the seats are two, and their correlations those of oblivious transfer.
pub(crate) fn fits(seats: Seats) -> bool {
    seats.n_seats == 2
}

/// Number of groups over so many positions.
pub(crate) fn n_groups(n_positions: usize) -> usize {
    n_positions.div_ceil(BITS)
}

fn chunks(n_lanes: usize) -> Chunks {
    Chunks {
        n_items: n_lanes,
        chunk_items: CHUNK_LANES,
    }
}

/// Words of seat 1's and of seat 0's message for so many tables.
fn n_words(n_tables: usize) -> [usize; 2] {
    [n_tables.div_ceil(64 / BITS), n_tables.div_ceil(2)]
}

/// The price of [`groups`]: two rounds.
pub(crate) fn price(seats: Seats, n_lanes: usize, n_positions: usize) -> Price {
    let n_tables = n_lanes * n_groups(n_positions);
    let [asked, told] = n_words(n_tables);
    let one_way = |from: u8, to: u8, n_words: usize| {
        let stream = |n_words: usize, n_lanes: usize| Stream {
            n_bytes: 8 * n_words as u64,
            n_messages: chunks(n_lanes).count() as u64,
        };
        let there = (Seat(from), Seat(to), stream(n_words, n_lanes));
        let back = (Seat(to), Seat(from), stream(0, 0));
        Cost::round(seats.n_seats, [there, back])
    };
    Price {
        needs: Needs::of_tables(n_tables),
        cost: one_way(1, 0, asked).then(&one_way(0, 1, told)),
    }
}

/// Groups of four of the lowest `n_positions` ≥ 1 positions of the sum of both seats' numbers, lowest first:
/// whether they generate a carry, and whether they pass one on. The lowest one may be of fewer positions.
///
/// # Panics
///
/// If the session has other seats than two.
pub(crate) async fn groups<R: Ring>(
    session: &mut Session,
    mine: &[R],
    n_positions: usize,
    stock: &mut Stock,
) -> Result<(Planes, Planes), ProtocolError> {
    assert!(fits(Seats::of(session)), "two seats, and no dealer");
    let (n_lanes, n_groups) = (mine.len(), n_groups(n_positions));
    let tables = session.ended_by(stock.take_tables(n_lanes * n_groups))?;
    // Positions that are not there lie below the lowest one, where zeros have no carry.
    let up = R::BITS - n_positions as u32;
    let side = Side {
        values: mine.iter().map(|value| value.shl(up)).collect(),
        n_groups,
        tables,
        other: Vec::with_capacity(n_lanes * n_groups),
        results: Zeroizing::new(Vec::with_capacity(n_lanes)),
        prg: Prg::new(&session.own_seed("tables of carries"), 0),
    };
    let (chunks, none) = (chunks(n_lanes), chunks(0));
    let side = match session.seat() {
        Seat(0) => {
            let asked = session.stream(Seat(1), (none, Nothing), (chunks, Ask(side)));
            let (_, Ask(side)) = asked.await?;
            let told = session.stream(Seat(1), (chunks, Tell(side)), (none, Nothing));
            told.await?.0.0
        }
        _ => {
            let asked = session.stream(Seat(0), (chunks, Ask(side)), (none, Nothing));
            let (Ask(side), _) = asked.await?;
            let told = session.stream(Seat(0), (none, Nothing), (chunks, Tell(side)));
            told.await?.1.0
        }
    };
    let both = own_planes(&side.results, PASSES + n_groups);
    let (mut generate, mut propagate) = (
        Planes::zero(n_lanes, n_groups),
        Planes::zero(n_lanes, n_groups),
    );
    for group in 0..n_groups {
        generate.plane_mut(group).copy_from_slice(both.plane(group));
        let passes = both.plane(PASSES + group);
        propagate.plane_mut(group).copy_from_slice(passes);
    }
    Ok((generate, propagate))
}

/// The direction in which nothing goes but an empty message, so that both rounds are those of both seats, and
/// what was declared is what is measured.
struct Nothing;

impl Producer for Nothing {
    type Message = MaskedBits;

    fn make(&mut self, _: Range<usize>) -> Result<MaskedBits, ProtocolError> {
        Ok(MaskedBits::new(Vec::new()))
    }
}

impl Consumer for Nothing {
    type Message = MaskedBits;

    fn shape(&self, _: usize) -> usize {
        0
    }

    fn take(&mut self, _: Range<usize>, _: MaskedBits) -> Result<(), ProtocolError> {
        Ok(())
    }
}

/// What a seat has.
struct Side<R: Ring> {
    /// Its numbers, moved up to the highest bits.
    values: Vec<R>,
    n_groups: usize,
    tables: Tables,
    /// At seat 0 every d.
    other: Vec<u8>,
    /// For each lane its shares of the groups' bits.
    results: Zeroizing<Vec<u64>>,
    prg: Prg,
}

impl<R: Ring> Drop for Side<R> {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl<R: Ring> Side<R> {
    /// The bits of all groups of some lanes, lane by lane.
    fn digits(&self, lanes: Range<usize>) -> impl Iterator<Item = u8> {
        let n_groups = self.n_groups as u32;
        let values = self.values[lanes].iter();
        values.flat_map(move |value| {
            (0..n_groups).map(move |group| {
                let shift = R::BITS - BITS as u32 * (n_groups - group);
                (value.shr(shift).to_signed() & 15) as u8
            })
        })
    }

    /// The tables of some lanes.
    fn items(&self, lanes: &Range<usize>) -> Range<usize> {
        lanes.start * self.n_groups..lanes.end * self.n_groups
    }

    /// Puts the groups' bits of each lane into one word.
    fn collect(&mut self, bits: &[u8]) {
        for bits in bits.chunks_exact(self.n_groups) {
            let pack = |word: u64, (group, both): (usize, &u8)| {
                let both = u64::from(*both);
                word | (both & 1) << group | (both >> 1) << (PASSES + group)
            };
            self.results.push(bits.iter().enumerate().fold(0, pack));
        }
    }
}

/// From seat 1 to seat 0: d of every table.
struct Ask<R: Ring>(Side<R>);

impl<R: Ring> Producer for Ask<R> {
    type Message = MaskedBits;

    fn make(&mut self, lanes: Range<usize>) -> Result<MaskedBits, ProtocolError> {
        let Self(side) = self;
        let items = side.items(&lanes);
        let (_, indices) = side.tables.as_parts();
        let mut words = vec![0; n_words(items.len())[0]];
        let masked = side.digits(lanes).zip(&indices[items]);
        for (at, (digit, index)) in masked.enumerate() {
            words[at / 16] |= u64::from(digit ^ index) << (4 * (at % 16));
        }
        Ok(MaskedBits::new(words))
    }
}

impl<R: Ring> Consumer for Ask<R> {
    type Message = MaskedBits;

    fn shape(&self, n_lanes: usize) -> usize {
        n_words(n_lanes * self.0.n_groups)[0]
    }

    fn take(&mut self, lanes: Range<usize>, chunk: MaskedBits) -> Result<(), ProtocolError> {
        let Self(side) = self;
        let n_items = side.items(&lanes).len();
        let mut words = vec![0; n_words(n_items)[0]];
        chunk.xor_to(&mut words);
        let digit = |at: usize| (words[at / 16] >> (4 * (at % 16)) & 15) as u8;
        side.other.extend((0..n_items).map(digit));
        Ok(())
    }
}

/// From seat 0 to seat 1: every table.
struct Tell<R: Ring>(Side<R>);

impl<R: Ring> Producer for Tell<R> {
    type Message = MaskedBits;

    fn make(&mut self, lanes: Range<usize>) -> Result<MaskedBits, ProtocolError> {
        let Self(side) = self;
        let items = side.items(&lanes);
        let mut own = Zeroizing::new(vec![0; items.len()]);
        side.prg.fill_bytes(&mut own);
        own.iter_mut().for_each(|share| *share &= 3);
        let (tables, _) = side.tables.as_parts();
        let mut words = vec![0; n_words(items.len())[1]];
        let masks = tables[items.clone()].iter().zip(&side.other[items]);
        let all = side.digits(lanes).zip(masks).zip(&*own).enumerate();
        for (at, ((digit, (table, d)), share)) in all {
            // The same share at every entry.
            let share = u32::from(*share) * 0x5555_5555;
            let told = shifted(*table, *d) ^ carries(digit) ^ share;
            words[at / 2] |= u64::from(told) << (32 * (at % 2));
        }
        side.collect(&own);
        Ok(MaskedBits::new(words))
    }
}

impl<R: Ring> Consumer for Tell<R> {
    type Message = MaskedBits;

    fn shape(&self, n_lanes: usize) -> usize {
        n_words(n_lanes * self.0.n_groups)[1]
    }

    fn take(&mut self, lanes: Range<usize>, chunk: MaskedBits) -> Result<(), ProtocolError> {
        let Self(side) = self;
        let items = side.items(&lanes);
        let mut words = vec![0; n_words(items.len())[1]];
        chunk.xor_to(&mut words);
        let (own, indices) = side.tables.as_parts();
        let own = own[items.clone()].iter().zip(&indices[items.clone()]);
        let all = side.digits(lanes).zip(own).enumerate();
        let bits = all.map(|(at, (digit, (word, index)))| {
            let told = (words[at / 2] >> (32 * (at % 2))) as u32;
            entry(told, digit) ^ entry(*word, *index)
        });
        let bits: Zeroizing<Vec<u8>> = Zeroizing::new(bits.collect());
        side.collect(&bits);
        Ok(())
    }
}
