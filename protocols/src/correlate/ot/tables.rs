//! Tables of carries for two seats: seat 0 has the tables, seat 1 an entry of each.

use super::flow::{Flow, Incoming, Plan};
use super::pairs::{Pair, Pattern, Transfers};
use super::tally::Tally;
use crate::correlate::{Stock, Tables};
use crate::error::ProtocolError;
use crate::party::Seat;
use engine::ot::extend::Choices;
use engine::ot::tables;
use zeroize::Zeroizing;

/// Tables of a batch: 2^18 OTs, and a message of about 1 MiB.
const BATCH_TABLES: usize = 1 << 16;

/// Tables that 64 OTs make: the least that is made.
const UNIT: usize = 64 / tables::BITS;

fn plan(n_tables: usize) -> Plan {
    let starts = (0..n_tables).step_by(BATCH_TABLES);
    let n_ots = starts.map(|at| {
        let n_tables = BATCH_TABLES.min(n_tables - at);
        n_tables.next_multiple_of(UNIT) * tables::BITS
    });
    Plan {
        pattern: Pattern::Upward,
        mode: Choices::Random,
        n_ots: n_ots.collect(),
        answers: Vec::new(),
    }
}

struct Making {
    plan: Plan,
    words: Vec<Zeroizing<Vec<u32>>>,
    /// Of seat 1: packed, four bits each.
    choices: Vec<Zeroizing<Vec<u64>>>,
}

impl Flow for Making {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn extend(&mut self, batch: usize, pairs: &mut [Pair]) -> Vec<(Seat, Vec<u8>)> {
        let [pair] = pairs else {
            unreachable!("there are two seats");
        };
        if pair.peer != Seat(0) {
            return Vec::new();
        }
        let n_ots = self.plan.n_ots[batch];
        let (words, choices, message) = pair.receive(n_ots, None, |numbered, rows| {
            tables::receive(numbered, rows)
        });
        self.words.push(Zeroizing::new(words));
        self.choices.push(Zeroizing::new(choices));
        vec![(pair.peer, message)]
    }

    fn answer(
        &mut self,
        batch: usize,
        pairs: &mut [Pair],
        extensions: &Incoming,
    ) -> Result<Vec<(Seat, Vec<u8>)>, ProtocolError> {
        let [pair] = pairs else {
            unreachable!("there are two seats");
        };
        if pair.peer == Seat(1) {
            let (n_ots, mode) = (self.plan.n_ots[batch], self.plan.mode);
            let message = extensions.from(pair.peer);
            let words = pair.send(n_ots, mode, message, |numbered, delta, rows| {
                tables::send(numbered, (delta, rows))
            })?;
            self.words.push(Zeroizing::new(words));
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, _: usize, _: &Incoming) -> Result<(), ProtocolError> {
        Ok(())
    }
}

/// Makes tables.
pub(super) async fn tables(
    transfers: &mut Transfers<'_>,
    n_tables: usize,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let flow = Making {
        plan: plan(n_tables),
        words: Vec::new(),
        choices: Vec::new(),
    };
    let mut made = transfers.run(flow).await?;
    let mut n_left = n_tables;
    for (batch, words) in made.words.iter_mut().enumerate() {
        let n_tables = n_left.min(BATCH_TABLES);
        n_left -= n_tables;
        let mut words = std::mem::take(&mut **words);
        words.truncate(n_tables);
        let index = |i: usize, choices: &[u64]| (choices[i / UNIT] >> (4 * (i % UNIT)) & 15) as u8;
        let indices = match made.choices.get(batch) {
            Some(choices) => (0..n_tables).map(|i| index(i, choices)).collect(),
            None => vec![0; n_tables],
        };
        stock.add_tables(Tables::new(words, indices));
    }
    Ok(())
}

/// OTs of [`tables`], and at most so many batches.
pub(super) fn n_ots(n_tables: usize) -> (u64, u64) {
    let plan = plan(n_tables);
    let n_ots: usize = plan.n_ots.iter().sum();
    (n_ots as u64, plan.n_batches() as u64)
}

/// The cost of [`tables`].
pub(super) fn cost(tally: &mut Tally, n_tables: usize) {
    tally.flow(&plan(n_tables));
}
