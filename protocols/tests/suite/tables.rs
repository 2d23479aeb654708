//! Merging, sorting, shuffling and scanning of shared rows.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::scan::{self, Fold};
use protocols::session::Session;
use protocols::sort;
use protocols::table::{Table, TableShape};

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
    }
}
