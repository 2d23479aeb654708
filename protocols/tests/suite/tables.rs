//! Merging, sorting, shuffling and scanning of shared rows.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use crate::world::prg;
use protocols::correlate::{SecretPermutation, Stock};
use protocols::error::ProtocolError;
use protocols::net::record::{Direction, Transcript};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::scan::{self, Fold};
use protocols::session::Session;
use protocols::shuffle::{self, First, Shuffler};
use protocols::sort;
use protocols::table::{Table, TableShape};
use protocols::wire::Kind;
use std::collections::BTreeMap;

/// Rows in the clear: a key, further bits, and an element over Z_2^64.
type Row = (u64, u64, u64);

const KEY_BITS: usize = 7;
const EXTRA_BITS: usize = 60;

fn shape(n_rows: usize) -> TableShape {
    TableShape {
        n_rows,
        key_bits: KEY_BITS,
        extra_bits: EXTRA_BITS,
        ring64: 1,
        ring128: 0,
    }
}

fn rows(secrets: u64, n_rows: usize, key_bound: u64) -> Vec<Row> {
    let keys = below(secrets, 1, key_bound, n_rows);
    let extra = below(secrets, 2, 1 << EXTRA_BITS, n_rows);
    let element = below(secrets, 3, u64::MAX, n_rows);
    let rows = keys.into_iter().zip(extra).zip(element);
    rows.map(|((key, extra), element)| (key, extra, element))
        .collect()
}

fn clear(rows: &[Row]) -> Clear<u64> {
    let plane = |values: &dyn Fn(&Row) -> u64, bit: usize| -> Vec<bool> {
        rows.iter().map(|row| values(row) >> bit & 1 == 1).collect()
    };
    let keys = (0..KEY_BITS).map(|bit| plane(&|row| row.0, bit));
    let extra = (0..EXTRA_BITS).map(|bit| plane(&|row| row.1, bit));
    let mut clear = Clear::of_bits(keys.chain(extra).collect());
    clear.ring = vec![rows.iter().map(|row| row.2).collect()];
    clear
}

fn table(inputs: Shared<u64>) -> Table {
    let n_rows = inputs.ring[0].len();
    let (key, extra) = inputs.bits.split_at(KEY_BITS);
    Table::new(n_rows, key, extra, inputs.ring, vec![])
}

fn shared(table: Table) -> Shared<u64> {
    let bits = table.planes(0..KEY_BITS + EXTRA_BITS);
    let (ring, _) = table.into_ring_columns();
    Shared { ring, bits }
}

/// Merging runs of these lengths.
#[derive(Debug)]
struct Merge(Vec<usize>);

impl Merge {
    fn n_rows(&self) -> usize {
        self.0.iter().sum()
    }

    /// Keys without repetition, so that there is one right order, and each run in order.
    fn rows(&self, secrets: u64) -> Vec<Row> {
        let mut all = rows(secrets, self.n_rows(), 2);
        let offset = below(secrets, 4, 1 << KEY_BITS, 1)[0];
        for (i, row) in all.iter_mut().enumerate() {
            row.0 = (37 * i as u64 + offset) % (1 << KEY_BITS);
        }
        let mut rest = all.as_mut_slice();
        for len in &self.0 {
            let (run, after) = rest.split_at_mut(*len);
            run.sort_unstable();
            rest = after;
        }
        all
    }
}

impl Case for Merge {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        clear(&self.rows(secrets))
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let mut rows = self.rows(secrets);
        rows.sort_unstable();
        clear(&rows)
    }

    fn price(&self, seats: Seats) -> Price {
        sort::merge_price(&self.0, shape(self.n_rows()), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let all = table(inputs);
        let mut first = 0;
        let mut run = |len: &usize| {
            let positions: Vec<u32> = (first..first + *len as u32).collect();
            first += *len as u32;
            all.reordered(&positions)
        };
        let runs = self.0.iter().map(&mut run).collect();
        sort::merge(session, runs, stock).await.map(shared)
    }
}

#[test]
fn sorted_runs_are_merged() {
    for runs in [
        vec![0],
        vec![1],
        vec![0, 3],
        vec![64, 63],
        vec![5, 40, 1],
        vec![13; 5],
    ] {
        demands::check_all(&Merge(runs));
    }
    demands::check_result(&Merge(vec![1; 29]), 2, 3);
    demands::check_uniform(&Merge(vec![64, 64]), 30);
}

/// Running sums and folds over groups.
#[derive(Debug)]
struct Scan {
    n_rows: usize,
    fold: Option<Fold>,
}

impl Scan {
    fn rows(&self, secrets: u64) -> Vec<Row> {
        let mut rows = rows(secrets, self.n_rows, 1 << KEY_BITS);
        // The extra bits are group numbers here, in order.
        let n_groups = 1 + secrets % 9;
        let mut groups = below(secrets, 5, n_groups, self.n_rows);
        groups.sort_unstable();
        rows.iter_mut()
            .zip(groups)
            .for_each(|(row, group)| row.1 = group);
        rows
    }
}

impl Case for Scan {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        clear(&self.rows(secrets))
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let mut rows = self.rows(secrets);
        for i in 1..rows.len() {
            let before = rows[i - 1];
            let row = &mut rows[i];
            if row.1 != before.1 {
                continue;
            }
            match self.fold {
                None => row.2 = row.2.wrapping_add(before.2),
                Some(Fold::First) => row.0 = before.0,
                Some(Fold::Min) => row.0 = row.0.min(before.0),
                Some(Fold::Max) => row.0 = row.0.max(before.0),
            }
        }
        clear(&rows)
    }

    fn price(&self, seats: Seats) -> Price {
        let same = scan::same_group_price(self.n_rows, EXTRA_BITS, seats);
        same.then(&match self.fold {
            None => scan::sums_price::<u64>(self.n_rows, 1, seats),
            Some(fold) => scan::fold_price(self.n_rows, KEY_BITS, fold, seats),
        })
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let table = table(inputs);
        let groups = KEY_BITS..KEY_BITS + EXTRA_BITS;
        let same = scan::same_group(session, &table, groups.clone(), stock).await?;
        let keys = table.planes(0..KEY_BITS);
        let extra = table.planes(groups);
        let (mut ring, _) = table.into_ring_columns();
        let mut bits = keys;
        match self.fold {
            None => ring = scan::sums(session, &same, ring, stock).await?,
            Some(fold) => {
                let numbers = Table::new(self.n_rows, &bits, &[], vec![], vec![]);
                let folded = scan::fold(session, &same, numbers, fold, stock).await?;
                bits = folded.planes(0..KEY_BITS);
            }
        }
        bits.extend(extra);
        Ok(Shared { ring, bits })
    }
}

#[test]
fn groups_are_scanned() {
    for fold in [None, Some(Fold::First), Some(Fold::Min), Some(Fold::Max)] {
        for n_rows in [2, 3, 11] {
            demands::check_all(&Scan { n_rows, fold });
        }
        for n_rows in [0, 1, 4, 5, 63, 64, 65, 100] {
            let scan = Scan { n_rows, fold };
            (0..4).for_each(|secrets| demands::check_result(&scan, 2, secrets));
            demands::check_price(&scan, 2);
        }
        demands::check_uniform_lanes(&Scan { n_rows: 64, fold }, 40, &[]);
        demands::check_sources(&Scan { n_rows: 11, fold });
    }
}

/// Any rows, in an order that nobody knows.
#[derive(Debug)]
struct Shuffle(usize);

impl Case for Shuffle {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        clear(&rows(secrets, self.0, 1 << KEY_BITS))
    }

    /// Sorted, and so is what comes out; see `call`.
    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let mut rows = rows(secrets, self.0, 1 << KEY_BITS);
        rows.sort_unstable_by_key(|row| row.2);
        clear(&rows)
    }

    fn price(&self, seats: Seats) -> Price {
        Shuffler::price(seats).then(&shuffle::price(shape(self.0), seats))
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut shuffler = Shuffler::new(session).await?;
        let table = shuffler.shuffle(session, table(inputs), stock).await?;
        Ok(shared(table))
    }
}

/// The rows that all seats' tables stand for, by their elements.
fn by_element(clear: &Clear<u64>) -> Vec<Row> {
    let bit = |plane: usize, row: usize| clear.bits[plane].1[row / 64] >> (row % 64) & 1;
    let number = |first: usize, n: usize, row: usize| {
        (0..n).fold(0, |sum, b| sum | bit(first + b, row) << b)
    };
    let of_row = |row: usize| {
        let extra = number(KEY_BITS, EXTRA_BITS, row);
        (number(0, KEY_BITS, row), extra, clear.ring[0][row])
    };
    let mut rows: Vec<Row> = (0..clear.ring[0].len()).map(of_row).collect();
    rows.sort_unstable_by_key(|row| row.2);
    rows
}

#[test]
fn shuffled_rows_are_the_same_rows_in_another_order() {
    for n_computing in [2, 3, 5] {
        for n_rows in [0, 1, 2, 3, 64, 65, 200] {
            let case = Shuffle(n_rows);
            let found = demands::found(&case, n_computing, 31);
            let inputs = case.inputs(31);
            assert_eq!(by_element(&found), by_element(&inputs));
            assert!(n_rows < 64 || found != inputs, "another order");
        }
        demands::check_price(&Shuffle(17), n_computing);
    }
    // Messages of more than a chunk.
    demands::check_price(&Shuffle(70_000), 2);
    demands::check_outline(&Shuffle(9), 3);
    demands::check_cuts(&Shuffle(5));
    demands::check_uniform(&Shuffle(64), 30);
}

/// The places that are opened when rows are sorted bit by bit are in every order equally often, whatever
/// the rows: χ² over ten thousand of them, and over each pass's, has 5 degrees of freedom; 50 leaves a
/// chance under 10⁻⁸.
#[test]
fn opened_places_are_in_every_order_equally_often() {
    const N_SESSIONS: u64 = 1430;
    for secrets in [1, 2] {
        let case = Sort {
            n_rows: 3,
            key_bound: 1 << KEY_BITS,
            quick: false,
        };
        let mut counts = vec![BTreeMap::<[u64; 3], u32>::new(); KEY_BITS];
        for session in 0..N_SESSIONS {
            let passes = opened_places(&demands::recorded(&case, 2, (session, secrets))[0]);
            assert_eq!(
                passes.len(),
                KEY_BITS,
                "one opening for each bit of the keys"
            );
            for (counts, places) in counts.iter_mut().zip(passes) {
                *counts.entry(places).or_default() += 1;
            }
        }
        let mut all = BTreeMap::new();
        for counts in &counts {
            assert_even(counts, N_SESSIONS);
            counts
                .iter()
                .for_each(|(order, n)| *all.entry(*order).or_default() += n);
        }
        assert_even(&all, N_SESSIONS * KEY_BITS as u64);
    }
}

fn assert_even(counts: &BTreeMap<[u64; 3], u32>, n: u64) {
    let expected = n as f64 / 6.0;
    let terms = counts.values().map(|n| (f64::from(*n) - expected).powi(2));
    let chi = terms.sum::<f64>() / expected + (6 - counts.len()) as f64 * expected;
    assert!(chi < 50.0, "χ² = {chi} of {counts:?}");
}

/// What two seats open: the sums of what one of them sent and received, where these are 0, 1 and 2.
fn opened_places(transcript: &Transcript) -> Vec<[u64; 3]> {
    let masked = |direction: Direction| {
        let of = transcript
            .iter()
            .filter(move |e| e.direction == direction && e.frame.kind == Kind::Masked as u16);
        let of = of.filter(|e| e.frame.body.len() == 24);
        of.map(|e| {
            let word = |i: usize| e.frame.body[8 * i..][..8].try_into().expect("8 bytes");
            [0, 1, 2].map(|i| u64::from_le_bytes(word(i)))
        })
    };
    let both = masked(Direction::Sent).zip(masked(Direction::Received));
    let sums = both.map(|(sent, received)| [0, 1, 2].map(|i| sent[i].wrapping_add(received[i])));
    sums.filter(|sum| {
        let mut sorted = *sum;
        sorted.sort_unstable();
        sorted == [0, 1, 2]
    })
    .collect()
}

/// Rows in an order that the last seat chooses.
#[derive(Debug)]
struct Arrange(usize, First);

impl Arrange {
    fn order(&self, secrets: u64) -> SecretPermutation {
        SecretPermutation::random(self.0, &mut prg(secrets))
    }
}

impl Case for Arrange {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        Shuffle(self.0).inputs(secrets)
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let rows = rows(secrets, self.0, 1 << KEY_BITS);
        clear(&self.order(secrets).apply(&rows))
    }

    fn price(&self, seats: Seats) -> Price {
        shuffle::arrange_price(
            shape(self.0),
            seats,
            Seat::from_index(seats.n_computing - 1),
        )
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let owner = Seat::from_index(session.n_computing() - 1);
        let order = (session.seat() == owner).then(|| self.order(secrets));
        let table = shuffle::arrange(session, owner, table(inputs), (order, self.1), stock).await?;
        Ok(shared(table))
    }
}

#[test]
fn one_seat_arranges_rows() {
    for first in [First::Order, First::Rows] {
        for n_rows in [0, 1, 2, 65] {
            demands::check_result(&Arrange(n_rows, first), 2, 3);
        }
        demands::check_all(&Arrange(9, first));
        demands::check_sources(&Arrange(12, first));
        demands::check_uniform_but(&Arrange(64, first), 30, &[Kind::Order]);
    }
}

/// What the owner tells is every order equally often, whatever order it wants: χ² over 6 orders has 5 degrees of freedom;
/// 50 leaves a chance under 10⁻⁸.
#[test]
fn what_an_owner_tells_says_nothing_of_its_order() {
    for secrets in [1, 2] {
        let mut counts = BTreeMap::<[u64; 3], u32>::new();
        for session in 0..900 {
            let log = &demands::recorded(&Arrange(3, First::Order), 2, (session, secrets))[0];
            let told = log.iter().find(|e| e.frame.kind == Kind::Order as u16);
            let told = &told.expect("the order is told").frame.body;
            let place = |i: usize| u64::from(told[4 * i]);
            *counts.entry([0, 1, 2].map(place)).or_default() += 1;
        }
        assert_even(&counts, 900);
    }
}

/// Where a row goes is uniform: χ² of the places of the first row of four, over many sessions, has 3
/// degrees of freedom; 40 leaves a chance under 10⁻⁸.
#[test]
fn every_order_is_equally_likely() {
    let case = Shuffle(4);
    let first = case.inputs(5).ring[0][0];
    let mut places = [0u32; 4];
    for seed in 0..400 {
        let found = demands::found_in(&case, 2, (seed, 5));
        let place = found.ring[0].iter().position(|e| *e == first);
        places[place.expect("the row is there")] += 1;
    }
    let terms = places
        .iter()
        .map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0);
    assert!(terms.sum::<f64>() < 40.0, "{places:?}");
}

/// Sorting by either method.
#[derive(Debug)]
struct Sort {
    n_rows: usize,
    key_bound: u64,
    quick: bool,
}

impl Case for Sort {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        clear(&rows(secrets, self.n_rows, self.key_bound))
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let mut rows = rows(secrets, self.n_rows, self.key_bound);
        rows.sort_by_key(|row| row.0);
        clear(&rows)
    }

    fn price(&self, seats: Seats) -> Price {
        match self.quick {
            true => sort::quick_price(shape(self.n_rows), seats),
            false => sort::radix_price(shape(self.n_rows), seats),
        }
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let sorted = match self.quick {
            true => sort::quick(session, table(inputs), stock).await?,
            false => sort::radix(session, table(inputs), stock).await?,
        };
        // Quicksort prepares for more comparisons than it takes.
        *stock = Stock::empty();
        Ok(shared(sorted))
    }
}

#[test]
fn rows_are_sorted_and_equal_keys_keep_their_order() {
    for quick in [false, true] {
        for key_bound in [1, 2, 5, 1 << KEY_BITS] {
            for n_rows in [0, 1, 2, 3, 7, 8, 16, 17, 18, 33, 64, 65, 129] {
                let case = Sort {
                    n_rows,
                    key_bound,
                    quick,
                };
                demands::check_result(&case, 2, n_rows as u64);
            }
        }
        let case = Sort {
            n_rows: 40,
            key_bound: 9,
            quick,
        };
        demands::check_result(&case, 3, 1);
        demands::check_result(&case, 5, 2);
        demands::check_empty_stock(&case);
        let case = Sort { n_rows: 5, ..case };
        demands::check_cuts(&case);
        if !quick {
            demands::check_outline(&case, 3);
            [2, 3, 5]
                .iter()
                .for_each(|n| demands::check_price(&case, *n));
        }
    }
    let case = Sort {
        n_rows: 2000,
        key_bound: 100,
        quick: true,
    };
    demands::check_result(&case, 2, 3);
    demands::check_at_most(&case, 2);
    // Comparisons are opened, after a shuffle, and their number is not that of whole words.
    let small = Sort { n_rows: 64, ..case };
    demands::check_uniform_but(&small, 20, &[Kind::MaskedBits]);
    demands::check_sources(&Sort { n_rows: 20, ..case });
    let case = Sort {
        n_rows: 64,
        quick: false,
        ..case
    };
    demands::check_uniform(&case, 20);
}
