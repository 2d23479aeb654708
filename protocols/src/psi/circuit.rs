//! Joins whose matches nobody sees: which rows match, and what stands in them, exists in shares.
//!
//! ```text
//! hub      one bin for each of its keys (cuckoo hashing); other bins ask for a random point
//! spoke    for every bin b a random target T_b and random pads S_b, known to it alone
//! 5 rounds each spoke programmes, for every key and each of its three bins b: T_b ‖ payload − S_b;
//!          the hub learns T'_b ‖ V_b for every bin: of a key that both have, else noise
//! circuit  member_b = (T'_b = T_b), on XOR shares of both
//!          member_b·(V_b + S_b) = the payload where they match, 0 elsewhere, on additive shares
//! ```
//!
//! T'_b = T_b without a match with probability under 2^−40 over all bins and spokes. The hub knows
//! which of its rows is in which bin, and nobody knows which rows match; the number of matches does
//! not show either. With several spokes around one hub this joins any number of holders on one key.
//!
//! Pinkas, Schneider, Tkachenko and Yanai, 2019/241; with the function and the store of Rindal and
//! Schoppmann, 2021/266, §5, and Raghuraman and Rindal, 2022/320. A point is a hash of the key and of
//! the number of its choice, so that a key has nothing in common with itself in another bin.

mod compact;
mod rows;
mod totals;

pub use compact::{compact, compact_price};
pub use rows::{Columns, Keep, Rows, Shape, Side};
pub use totals::{
    Sums, Totals, count, count_price, count_terms, sums, sums_price, sums_terms, totals,
    totals_price,
};

use super::opprf::{self, Programme, Programmed};
use super::oprf;
use crate::arith::{bits, mux};
use crate::boolean;
use crate::correlate::{Needs, Stock, StockedRing};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::block::Block;
use engine::cuckoo::{self, BinHash};
use engine::hash;
use engine::prg::{Prg, Seed};
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};
use zeroize::Zeroize;

/// A join's rows as shares: one for each bin of the hub's table.
pub struct Joined {
    /// 1 where the bin has a row of the hub. The hub's share is the value; it is no secret to it.
    pub valid: BitShare,
    /// 1 where the hub's row matches: with [`Keep::Each`] one vector for each spoke, with
    /// [`Keep::All`] one that is 1 where all spokes have the key.
    pub members: Vec<BitShare>,
    /// The hub's columns, 0 where a bin is empty; with [`Keep::All`] also where `members` is 0.
    pub hub: Columns,
    /// Each spoke's columns, 0 where its row, or with [`Keep::All`] anybody's, is missing.
    pub spokes: Vec<Columns>,
    /// At the hub, the bin of each of its rows.
    pub places: Option<Vec<u32>>,
}

/// Joins the rows of the spokes to those of the hub that have the same key.
///
/// # Seats     `shape.hub` and one or more `shape.spokes`; all other computing seats call it too and
///   hold shares of everything
/// # Inputs    `rows`: at the hub and the spokes, with distinct keys, as the shape says; elsewhere
///   `None`. Takes [`price`] from the stock
/// # Output    [`Joined`]: shares, one row for each of [`Shape::n_bins`] bins
/// # Cost      5 rounds with all spokes at once, 6 to compare, 1 to put spokes together, 1 for
///   the columns of each ring; [`price`]: 28 bytes for each row of the hub and 63 for each row of the
///   spoke and every 8 bytes of payload but the first, and 60 bit triples for each row of the hub
/// # Security  semi-honest; all seats but one may be corrupt, and the stock's source has its own
///   word. Reveals the shape, and nothing else. Computational: as [`super::vole`]
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before
///   anything is sent; [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group
///   element); [`ProtocolError::Unlucky`] with probability 2^−39
/// # Source    2019/241, figure 5; 2022/320, §4. Differs: several spokes share one table; payloads
///   are additive shares
pub async fn join(
    session: &mut Session,
    shape: &Shape,
    rows: Option<Rows>,
    stock: &mut Stock,
) -> Result<Joined, ProtocolError> {
    let outcome = try_join(session, shape, rows, stock).await;
    session.ended_by(outcome)
}

async fn try_join(
    session: &mut Session,
    shape: &Shape,
    rows: Option<Rows>,
    stock: &mut Stock,
) -> Result<Joined, ProtocolError> {
    shape.check(session, rows.as_ref())?;
    stock.check(&price(Seats::of(session), shape).needs)?;
    let hash = bin_hash(session, shape.n_bins());
    let lanes = match rows {
        Some(rows) if session.seat() == shape.hub.seat => ask(session, shape, hash, rows).await?,
        rows => answer(session, shape, hash, rows).await?,
    };
    let Lanes {
        valid,
        targets,
        hub,
        spokes,
        places,
    } = lanes;
    let members = compare(session, shape, targets, stock).await?;
    let mut joined = Joined {
        valid,
        members,
        hub,
        spokes,
        places,
    };
    select(session, shape, &mut joined, stock).await?;
    Ok(joined)
}

/// The hash to bins: everybody's, of this run alone. The session's identifier is agreed on after
/// all keys are fixed.
fn bin_hash(session: &mut Session, n_bins: usize) -> BinHash {
    let run = session.next_public("join").to_le_bytes();
    let fields = [&session.session_id()[..], session.path().as_bytes(), &run];
    let seed = hash::digest("entente/v1/psi/circuit/bins", &fields);
    BinHash::new(&Seed::from_bytes(seed), n_bins)
}

/// A seat's shares before the circuit.
struct Lanes {
    valid: BitShare,
    /// For each spoke and bin T at the spoke, T' at the hub, and 0 elsewhere.
    targets: Targets,
    hub: Columns,
    spokes: Vec<Columns>,
    places: Option<Vec<u32>>,
}

struct Targets(Vec<u64>);

impl Drop for Targets {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Lanes {
    fn zero(shape: &Shape) -> Self {
        let n_bins = shape.n_bins();
        let zero = |side: &Side| Columns::zero(side, n_bins);
        Self {
            valid: BitShare::zero(n_bins),
            targets: Targets(vec![0; shape.n_lanes()]),
            hub: zero(&shape.hub),
            spokes: shape.spokes.iter().map(zero).collect(),
            places: None,
        }
    }
}

/// The hub's part before the circuit.
async fn ask(
    session: &mut Session,
    shape: &Shape,
    hash: BinHash,
    rows: Rows,
) -> Result<Lanes, ProtocolError> {
    let filler = session.own_seed("points of empty bins");
    let kernel = move || -> Result<_, ProtocolError> {
        let (places, queries) = place(&hash, &rows.blocks(), &filler)?;
        Ok((places, queries, rows))
    };
    let (places, queries, rows) = session.compute().run(kernel).await?;
    let queries = Arc::new(queries);
    let spokes: Vec<Seat> = shape.spokes.iter().map(|side| side.seat).collect();
    let found = session
        .star("join", (shape.hub.seat, &spokes), |child, spoke| {
            let (queries, programme) = (queries.clone(), shape.side(spoke).programme());
            Box::pin(opprf::receive(child, spoke, queries, programme))
        })
        .await?;
    let mut lanes = Lanes::zero(shape);
    let n_bins = shape.n_bins();
    for (at, (side, blocks)) in shape.spokes.iter().zip(found).enumerate() {
        let words = Words(blocks);
        lanes.targets.0[at * n_bins..][..n_bins].copy_from_slice(&words.column(0));
        lanes.spokes[at] = Columns::from_words(side, |column| words.column(1 + column));
    }
    let mut valid = lanes.valid.into_words();
    for bin in &places {
        valid[*bin as usize / 64] |= 1 << (bin % 64);
    }
    lanes.valid = BitShare::from_words(n_bins, valid);
    lanes.hub = Columns::placed(&rows, &places, n_bins);
    lanes.places = Some(places);
    Ok(lanes)
}

/// The bin of every key of the hub, and the point that each bin asks for.
fn place(
    hash: &BinHash,
    keys: &[Block],
    filler: &Seed,
) -> Result<(Vec<u32>, Vec<Block>), ProtocolError> {
    let choices = hash.bins(keys);
    let held = cuckoo::place(&choices, hash.n_bins()).ok_or(ProtocolError::Unlucky {
        what: "placing keys in bins",
    })?;
    let mut places = vec![0; keys.len()];
    for (bin, item) in (0..).zip(&held) {
        if let Some(item) = item {
            places[*item] = bin;
        }
    }
    let mut random = vec![0u128; hash.n_bins()];
    Prg::new(filler, 0).fill_ring(&mut random);
    let mut queries: Vec<Block> = random.into_iter().map(Block).collect();
    for choice in 0..cuckoo::CHOICES {
        let points = hash.points(keys, choice);
        for ((bin, choices), point) in places.iter().zip(&choices).zip(points) {
            if choices[choice] == *bin as usize {
                queries[*bin as usize] = point;
            }
        }
    }
    Ok((places, queries))
}

/// What the hub found: blocks of two words for each bin.
struct Words(Vec<Vec<Block>>);

impl Words {
    fn column(&self, word: usize) -> Vec<u64> {
        let half = |block: &Block| (block.0 >> (64 * (word % 2))) as u64;
        self.0[word / 2].iter().map(half).collect()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The part of every other seat before the circuit.
async fn answer(
    session: &mut Session,
    shape: &Shape,
    hash: BinHash,
    rows: Option<Rows>,
) -> Result<Lanes, ProtocolError> {
    let (me, n_bins) = (session.seat(), shape.n_bins());
    let mut lanes = Lanes::zero(shape);
    let mut programmed = None;
    if let Some(rows) = rows {
        let own = session.own_seed("targets and pads of bins");
        let side = *shape.side(me);
        let kernel = move || programme(&hash, &rows, &side, &own);
        let (targets, pads, entries) = session.compute().run(kernel).await;
        let at = shape.position(me);
        lanes.targets.0[at * n_bins..][..n_bins].copy_from_slice(&targets.0);
        lanes.spokes[at] = pads;
        programmed = Some(entries);
    }
    let programmed = Mutex::new(programmed);
    let spokes: Vec<Seat> = shape.spokes.iter().map(|side| side.seat).collect();
    session
        .star("join", (shape.hub.seat, &spokes), |child, hub| {
            let entries = programmed.lock().expect("taking does not panic").take();
            let entries = entries.expect("a spoke has rows, and one hub");
            Box::pin(opprf::send(child, hub, n_bins, entries))
        })
        .await?;
    Ok(lanes)
}

/// T and S of every bin, and what is programmed at the keys' points: T ‖ payload − S, a word each.
/// A last half block that would be left over is filled with a pad alone, since a constant would tell
/// a match from noise.
fn programme(
    hash: &BinHash,
    rows: &Rows,
    side: &Side,
    own: &Seed,
) -> (Targets, Columns, Programmed) {
    let keys = rows.blocks();
    let n_bins = hash.n_bins();
    let mut prg = Prg::new(own, 0);
    let mut targets = Targets(vec![0u64; n_bins]);
    prg.fill_ring(&mut targets.0);
    let pads = Columns::random(side, n_bins, &mut prg);
    let mut spare = Targets(vec![0u64; n_bins]);
    prg.fill_ring(&mut spare.0);
    let bins = hash.bins(&keys);
    let word = |word: usize, row: usize, bin: usize| match word {
        0 => targets.0[bin],
        word => rows
            .masked_word(&pads, word - 1, (row, bin))
            .unwrap_or(spare.0[bin]),
    };
    let points: Vec<Block> = (0..cuckoo::CHOICES)
        .flat_map(|choice| hash.points(&keys, choice))
        .collect();
    let block = |block: usize, entry: usize| {
        let (choice, row) = (entry / keys.len(), entry % keys.len());
        let bin = bins[row][choice];
        let [low, high] = [2 * block, 2 * block + 1].map(|at| u128::from(word(at, row, bin)));
        Block(low | high << 64)
    };
    let n_blocks = side.programme().n_blocks;
    let values = (0..n_blocks).map(|number| {
        let entries = (0..points.len()).into_par_iter();
        entries.map(|entry| block(number, entry)).collect()
    });
    let values = values.collect();
    (targets, pads, Programmed { points, values })
}

/// Finds where targets agree, and with [`Keep::All`] where they do for all spokes.
async fn compare(
    session: &mut Session,
    shape: &Shape,
    targets: Targets,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    let n_bits = shape.target_bits();
    let kernel = move || to_planes(&targets.0, n_bits);
    let planes = session.compute().run(kernel).await;
    // The hub's T' and the spokes' T are one number, XOR-shared: it is 0 where they agree.
    let zeros: Vec<BitShare> = planes.iter().map(|p| BitShare::zero(p.n_bits())).collect();
    let mut rest = bits::equal(session, &planes, &zeros, stock).await?;
    let mut members = Vec::with_capacity(shape.spokes.len());
    while rest.n_bits() > shape.n_bins() {
        let tail = rest.split_off(shape.n_bins());
        members.push(std::mem::replace(&mut rest, tail));
    }
    members.push(rest);
    match shape.keep {
        Keep::Each => Ok(members),
        Keep::All => Ok(vec![boolean::all(session, members, stock).await?]),
    }
}

/// Multiplies columns by the bits that say whether they are kept.
async fn select(
    session: &mut Session,
    shape: &Shape,
    joined: &mut Joined,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let Joined {
        members,
        hub,
        spokes,
        ..
    } = joined;
    let mut kept: Vec<(&BitShare, &mut Columns)> = match shape.keep {
        Keep::Each => members.iter().zip(spokes).collect(),
        Keep::All => {
            let all = spokes.iter_mut().chain([hub]);
            all.map(|columns| (&members[0], columns)).collect()
        }
    };
    let narrow = kept.iter_mut().flat_map(|(bit, columns)| {
        let bit: &BitShare = bit;
        columns.narrow.iter_mut().map(move |column| (bit, column))
    });
    select_ring(session, narrow.collect(), stock).await?;
    let wide = kept.iter_mut().flat_map(|(bit, columns)| {
        let bit: &BitShare = bit;
        columns.wide.iter_mut().map(move |column| (bit, column))
    });
    select_ring(session, wide.collect(), stock).await
}

/// Multiplies each of several vectors by bits, all in one round. Bits fill whole words.
async fn select_ring<R: StockedRing>(
    session: &mut Session,
    columns: Vec<(&BitShare, &mut Share<R>)>,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let n_items = columns.iter().map(|(_, column)| column.len()).sum();
    if n_items == 0 {
        return Ok(());
    }
    let mut words = Vec::with_capacity(n_items / 64);
    let mut values = Vec::with_capacity(n_items);
    for (bit, column) in &columns {
        words.extend_from_slice(bit.as_words());
        values.extend_from_slice(column.as_slice());
    }
    let (words, values) = (BitShare::from_words(n_items, words), Share::new(values));
    let selected = mux::times(session, &words, &values, stock).await?;
    let mut rest = selected.as_slice();
    for (_, column) in columns {
        let (own, after) = rest.split_at(column.len());
        column.as_mut_slice().copy_from_slice(own);
        rest = after;
    }
    Ok(())
}

/// What [`join`] takes and sends.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let n_bins = shape.n_bins();
    let mut sent: [Vec<oprf::Sent>; 5] = Default::default();
    for side in &shape.spokes {
        let rounds = opprf::rounds(side.seat, shape.hub.seat, n_bins, side.programme());
        for (sum, round) in sent.iter_mut().zip(rounds) {
            sum.extend(round);
        }
    }
    let rounds = sent
        .into_iter()
        .map(|sent| Cost::round(seats.n_seats, sent));
    let mut price = Price {
        needs: Needs::default(),
        cost: rounds.fold(Cost::none(seats.n_seats), |sum, round| sum.then(&round)),
    };
    price = price.then(&bits::equal_price(
        seats,
        shape.n_lanes(),
        shape.target_bits(),
    ));
    if shape.keep == Keep::All {
        price = price.then(&boolean::all_price(seats, n_bins, shape.spokes.len()));
    }
    let (narrow, wide) = shape.n_selected();
    if narrow > 0 {
        price = price.then(&mux::price::<u64>(seats, narrow * n_bins));
    }
    if wide > 0 {
        price = price.then(&mux::price::<u128>(seats, wide * n_bins));
    }
    price
}

/// How much a spoke programmes: its keys, three times, with a target and the payload.
impl Side {
    fn programme(&self) -> Programme {
        Programme {
            n_points: cuckoo::CHOICES * self.n_rows,
            n_blocks: (1 + self.n_words()).div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constant payloads of every width: what the hub finds where it matches is as uniform as the
    /// noise elsewhere, the half block that is left over too.
    #[test]
    fn what_is_programmed_looks_uniform() {
        println!("seed [5; 32]");
        let seed = Seed::from_bytes([5; 32]);
        let keys: Vec<_> = (0..4000u128).map(u128::to_le_bytes).collect();
        for (narrow, wide) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2)] {
            let rows = Rows {
                keys: keys.clone(),
                narrow: vec![vec![0; 4000]; narrow],
                wide: vec![vec![7; 4000]; wide],
            };
            let side = Side {
                seat: Seat(1),
                n_rows: 4000,
                narrow,
                wide,
            };
            // More bins than entries: where two keys share a bin, they share its target.
            let hash = BinHash::new(&seed, 1 << 20);
            let (_, _, programmed) = programme(&hash, &rows, &side, &seed);
            assert_eq!(programmed.values.len(), (2 + narrow + 2 * wide) / 2);
            for (block, values) in programmed.values.iter().enumerate() {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_bytes()).collect();
                for half in 0..2 {
                    let words = bytes.chunks_exact(8).skip(half).step_by(2);
                    let mut histogram = [0u64; 256];
                    words
                        .flatten()
                        .for_each(|b| histogram[usize::from(*b)] += 1);
                    let expected = bytes.len() as f64 / 512.0;
                    let terms = histogram.map(|n| (n as f64 - expected).powi(2) / expected);
                    let chi: f64 = terms.iter().sum();
                    // 255 degrees of freedom and five standard deviations.
                    assert!(chi < 368.0, "{narrow}, {wide}, block {block}: χ² = {chi}");
                }
            }
        }
    }
}
