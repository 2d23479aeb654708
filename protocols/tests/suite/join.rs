//! Aggregates over joins: against sums over all keys in the clear, and held to every demand.

mod bins;
mod largest;
mod members;
mod met;
mod weights;

use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case, below};
use crate::world::{World, prg};
use engine::prg::Prg;
use protocols::arith::compare::Method;
use protocols::correlate::{self, Source, Stock, StockedRing, dealer};
use protocols::error::ProtocolError;
use protocols::join::{
    self, Bounds, Compared, Factor, Holder, Inputs, Relation, Rows, Shape, Term, Totals,
};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::Item;
use protocols::session::Session;
use protocols::wire::Kind;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// A shape with the tables that some number stands for, and its outputs over one ring.
#[derive(Debug)]
struct Join<R> {
    shape: Shape,
    ring: PhantomData<R>,
}

fn relation(holders: &[(u8, usize)], cells: usize, columns: [usize; 3]) -> Relation {
    let holder = |(seat, n_rows): &(u8, usize)| Holder {
        seat: Seat(*seat),
        n_rows: *n_rows,
    };
    let [flags, narrow, wide] = columns;
    Relation {
        holders: holders.iter().map(holder).collect(),
        cells,
        of_hub: false,
        flags,
        narrow,
        wide,
    }
}

fn term(coefficient: i64, factors: &[Factor]) -> Term {
    Term {
        coefficient,
        factors: factors.to_vec(),
        below: Vec::new(),
    }
}

fn item(number: u64) -> Item {
    engine::hash::digest("entente/v1/test/item", &[&number.to_le_bytes()])[..16]
        .try_into()
        .expect("16 bytes")
}

/// Different numbers below a bound, in a random order. Secrets over 1000: the first ones.
fn keys(secrets: u64, seat: Seat, n_rows: usize, bound: usize) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..bound as u64).collect();
    if secrets <= 1000 {
        let mut prg = prg(secrets.wrapping_mul(31).wrapping_add(u64::from(seat.0)));
        for last in (1..numbers.len()).rev() {
            numbers.swap(last, prg.next_bounded(last as u64 + 1) as usize);
        }
    }
    numbers.truncate(n_rows);
    numbers
}

/// One holder's rows in the clear.
struct Table {
    keys: Vec<u64>,
    narrow: Vec<Vec<u64>>,
    wide: Vec<Vec<u128>>,
}

fn table(shape: &Shape, relation: &Relation, holder: &Holder, secrets: u64) -> Table {
    let holders = shape.relations.iter().flat_map(|r| &r.holders);
    let bound = 3 * holders.map(|h| h.n_rows).max().unwrap_or(0) / 2;
    let n = holder.n_rows;
    let seed = secrets
        .wrapping_mul(41)
        .wrapping_add(u64::from(holder.seat.0));
    let n_flags = relation.flags * relation.cells;
    let narrow = (0..n_flags + relation.narrow * relation.cells).map(|at| {
        let bound = if at < n_flags { 2 } else { u64::MAX };
        below(seed, at as u64, bound, n)
    });
    let wide = (0..relation.wide * relation.cells).map(|at| {
        let [low, high] = [0, 1].map(|half| below(seed, 1000 + 2 * at as u64 + half, u64::MAX, n));
        let both = low.into_iter().zip(high);
        both.map(|(low, high)| u128::from(low) | u128::from(high) << 64)
            .collect()
    });
    let mut table = Table {
        keys: keys(secrets, holder.seat, n, bound),
        narrow: narrow.collect(),
        wide: wide.collect(),
    };
    if let Some(bounds) = &shape.bounds
        && relation.holders[0] == shape.relations[0].holders[0]
    {
        table.keep_to(relation, bounds, secrets);
    }
    table
}

impl Table {
    /// Cuts values to their bits, and clears all cells of a row but some.
    fn keep_to(&mut self, relation: &Relation, bounds: &Bounds, secrets: u64) {
        let cells = relation.cells;
        let first = below(secrets, 5, cells as u64, self.keys.len());
        let kept =
            |row: usize, cell: usize| (cell + cells - first[row] as usize) % cells < bounds.cells;
        for (at, column) in self.narrow.iter_mut().enumerate() {
            let bits = match (at / cells).checked_sub(relation.flags) {
                Some(column) => bounds.narrow[column],
                None => 1,
            };
            for (row, value) in column.iter_mut().enumerate() {
                *value = if kept(row, at % cells) {
                    *value & u64::MAX >> (64 - bits)
                } else {
                    0
                };
            }
        }
        for (at, column) in self.wide.iter_mut().enumerate() {
            let most = u128::MAX >> (128 - bounds.wide[at / cells]);
            for (row, value) in column.iter_mut().enumerate() {
                *value = if kept(row, at % cells) {
                    *value & most
                } else {
                    0
                };
            }
        }
    }
}

fn inputs(shape: &Shape, seat: Seat, secrets: u64) -> Option<Inputs> {
    shape.relations.iter().find_map(|relation| {
        let holder = relation.holders.iter().find(|h| h.seat == seat)?;
        let table = table(shape, relation, holder, secrets);
        let rows = Rows {
            keys: table.keys.into_iter().map(item).collect(),
            narrow: table.narrow,
            wide: table.wide,
        };
        let is_hub = *holder == shape.relations[0].holders[0];
        // Both forms of what the hub brings.
        match &shape.bounds {
            Some(bounds) if is_hub && secrets % 2 == 1 => {
                Some(in_slots(&rows, relation, bounds.cells))
            }
            _ => Some(rows.into()),
        }
    })
}

/// The same rows with a value for each of a few slots instead of each cell.
fn in_slots(rows: &Rows, relation: &Relation, n_slots: usize) -> Inputs {
    let (cells, n_rows) = (relation.cells, rows.keys.len());
    let mut slots = vec![vec![cells as u32; n_rows]; n_slots];
    for row in 0..n_rows {
        let narrow = |cell: usize| (cell..rows.narrow.len()).step_by(cells);
        let wide = |cell: usize| (cell..rows.wide.len()).step_by(cells);
        let is_filled = |cell: &usize| {
            narrow(*cell).any(|at| rows.narrow[at][row] != 0)
                || wide(*cell).any(|at| rows.wide[at][row] != 0)
        };
        // The first slots stay empty where there are fewer cells.
        let filled = (0..cells).filter(is_filled).map(|cell| cell as u32);
        for (slot, cell) in slots.iter_mut().rev().zip(filled) {
            slot[row] = cell;
        }
    }
    fn picked<R: engine::ring::Ring>(
        columns: &[Vec<R>],
        slots: &[Vec<u32>],
        cells: usize,
    ) -> Vec<Vec<R>> {
        let of_column = |column: &[Vec<R>]| {
            let of_slot = |slot: &Vec<u32>| {
                let value = |(row, cell): (usize, &u32)| {
                    column.get(*cell as usize).map_or(R::ZERO, |v| v[row])
                };
                slot.iter().enumerate().map(value).collect()
            };
            slots.iter().map(of_slot).collect::<Vec<Vec<R>>>()
        };
        columns.chunks(cells).flat_map(of_column).collect()
    }
    Inputs {
        rows: Rows {
            keys: rows.keys.clone(),
            narrow: picked(&rows.narrow, &slots, cells),
            wide: picked(&rows.wide, &slots, cells),
        },
        slots: Some(slots.into()),
    }
}

/// What all holders of a relation have of a key.
#[derive(Clone)]
struct Row {
    narrow: Vec<u64>,
    wide: Vec<u128>,
}

fn combined(shape: &Shape, relation: &Relation, secrets: u64) -> BTreeMap<u64, Row> {
    let n_flags = relation.flags * relation.cells;
    let mut all: BTreeMap<u64, Row> = BTreeMap::new();
    for holder in &relation.holders {
        let table = table(shape, relation, holder, secrets);
        for (row, key) in table.keys.iter().enumerate() {
            let own = all.entry(*key).or_insert_with(|| Row {
                narrow: vec![0; table.narrow.len()],
                wide: vec![0; table.wide.len()],
            });
            for (at, (sum, column)) in own.narrow.iter_mut().zip(&table.narrow).enumerate() {
                *sum = match at < n_flags {
                    true => *sum | column[row],
                    false => sum.wrapping_add(column[row]),
                };
            }
            for (sum, column) in own.wide.iter_mut().zip(&table.wide) {
                *sum = sum.wrapping_add(column[row]);
            }
        }
    }
    all
}

/// A ring whose outputs a [`Join`] is about.
trait Outputs: StockedRing {
    fn terms(shape: &Shape) -> &[Vec<Term>];
    fn totals(totals: Totals) -> Vec<engine::share::Share<Self>>;
    /// The value of a factor that is a column.
    fn column(relation: &Relation, factor: Factor, cell: usize, row: &Row) -> Self;
}

impl Outputs for u64 {
    fn terms(shape: &Shape) -> &[Vec<Term>] {
        &shape.narrow
    }
    fn totals(totals: Totals) -> Vec<engine::share::Share<Self>> {
        totals.narrow
    }
    fn column(relation: &Relation, factor: Factor, cell: usize, row: &Row) -> Self {
        match factor {
            Factor::Flag(at) => row.narrow[at * relation.cells + cell],
            Factor::Narrow(at) => row.narrow[(relation.flags + at) * relation.cells + cell],
            _ => panic!("not a column of this ring"),
        }
    }
}

impl Outputs for u128 {
    fn terms(shape: &Shape) -> &[Vec<Term>] {
        &shape.wide
    }
    fn totals(totals: Totals) -> Vec<engine::share::Share<Self>> {
        totals.wide
    }
    fn column(relation: &Relation, factor: Factor, cell: usize, row: &Row) -> Self {
        match factor {
            Factor::Wide(at) => row.wide[at * relation.cells + cell],
            // Of the hub alone.
            other => u64::column(relation, other, cell, row).into(),
        }
    }
}

impl<R: Outputs> Join<R> {
    fn new(shape: &Shape) -> Self {
        Self {
            shape: shape.clone(),
            ring: PhantomData,
        }
    }

    /// Each output at each cell, by going over the hub's keys.
    fn plain(&self, secrets: u64) -> Vec<Vec<R>> {
        let shape = &self.shape;
        let relations = shape.relations.iter();
        let tables: Vec<_> = relations.map(|r| combined(shape, r, secrets)).collect();
        let n_cells = shape.n_cells();
        let cells = |terms: &Vec<Term>| {
            let cells = 0..n_cells;
            let values = cells.map(|cell| self.cell(&tables, terms, cell));
            values.collect::<Vec<R>>()
        };
        R::terms(shape).iter().map(cells).collect()
    }

    fn is_below(&self, tables: &[BTreeMap<u64, Row>], at: usize, key: u64) -> bool {
        let compared = &self.shape.compared[at];
        let parts = compared.parts.iter().map(|(at, column, coefficient)| {
            let relation = &self.shape.relations[*at];
            let first = (relation.flags + column) * relation.cells;
            let sum = tables[*at].get(&key).map_or(0, |row| {
                let cells = row.narrow[first..first + relation.cells].iter();
                cells.fold(0u64, |sum, v| sum.wrapping_add(*v))
            });
            sum.wrapping_mul(coefficient.cast_unsigned())
        });
        let sum = parts.fold(compared.constant.cast_unsigned(), u64::wrapping_add);
        sum.cast_signed() < 0
    }

    fn cell(&self, tables: &[BTreeMap<u64, Row>], terms: &[Term], cell: usize) -> R {
        let cells = self.shape.cells_of(cell);
        let mut sum = R::ZERO;
        for term in terms {
            let mut of_term = R::ZERO;
            for key in tables[0].keys() {
                let mut product = R::ONE;
                for (at, factor) in term.factors.iter().enumerate() {
                    let row = tables[at].get(key);
                    let relation = &self.shape.relations[at];
                    let value = match factor {
                        Factor::One { cell } => R::from_u64((*cell == cells[at]).into()),
                        Factor::Any => R::ONE,
                        Factor::Matched { cell } => {
                            R::from_u64((*cell == cells[at] && row.is_some()).into())
                        }
                        Factor::Unflagged(flag) => {
                            let flag = Factor::Flag(*flag);
                            let column = |row| R::column(relation, flag, cells[at], row);
                            R::ONE.wrapping_sub(row.map_or(R::ZERO, column))
                        }
                        column => {
                            row.map_or(R::ZERO, |row| R::column(relation, *column, cells[at], row))
                        }
                    };
                    product = product.wrapping_mul(value);
                }
                for at in &term.below {
                    let is = R::from_u64(self.is_below(tables, *at, *key).into());
                    product = product.wrapping_mul(is);
                }
                of_term = of_term.wrapping_add(product);
            }
            let coefficient = R::from_signed(term.coefficient.into()).expect("fits");
            sum = sum.wrapping_add(of_term.wrapping_mul(coefficient));
        }
        sum
    }
}

impl<R: Outputs> Case for Join<R> {
    type R = R;

    fn expected(&self, _: usize, secrets: u64) -> Clear<R> {
        Clear::of_ring(self.plain(secrets))
    }

    fn price(&self, seats: Seats) -> Price {
        join::price(seats, &self.shape)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let inputs = inputs(&self.shape, session.seat(), secrets);
        let totals = join::totals(session, &self.shape, inputs, stock).await?;
        Ok(Shared {
            ring: R::totals(totals),
            bits: Vec::new(),
        })
    }
}

/// Outputs of both rings are what they are in the clear.
fn check_both(shape: &Shape, n_computing: usize, secrets: u64) {
    demands::check_result(&Join::<u64>::new(shape), n_computing, secrets);
    demands::check_result(&Join::<u128>::new(shape), n_computing, secrets);
}

/// Counts, sums, sums of squares and distinct keys by a group of the hub.
fn grouped(n_hub: usize, n_spoke: usize) -> Shape {
    let [count, paid, paid_square] = [Factor::Narrow(0), Factor::Narrow(1), Factor::Wide(0)];
    Shape {
        relations: vec![
            relation(&[(1, n_hub)], 3, [1, 1, 1]),
            relation(&[(0, n_spoke)], 1, [0, 2, 1]),
        ],
        narrow: vec![
            vec![term(1, &[Factor::Narrow(0), count])],
            vec![term(1, &[Factor::Narrow(0), paid])],
            vec![term(1, &[Factor::Flag(0), Factor::Matched { cell: 0 }])],
        ],
        wide: vec![
            vec![term(1, &[Factor::Wide(0), paid_square])],
            vec![term(1, &[Factor::Narrow(0), paid_square])],
        ],
        bounds: None,
        compared: Vec::new(),
    }
}

/// The same where a key has so many of the hub's groups at most, and counts have few bits.
fn bounded(n_hub: usize, n_spoke: usize, cells: usize) -> Shape {
    Shape {
        bounds: Some(Bounds {
            cells,
            narrow: vec![3],
            wide: vec![3],
        }),
        ..grouped(n_hub, n_spoke)
    }
}

#[test]
fn grouped_sums_equal_plain_ones() {
    for (n_hub, n_spoke) in [(0, 0), (0, 3), (3, 0), (1, 1), (7, 2), (60, 131), (131, 60)] {
        for secrets in [1, 1001] {
            check_both(&grouped(n_hub, n_spoke), 2, secrets);
            check_both(&bounded(n_hub, n_spoke, 1), 2, secrets);
        }
    }
}

/// A shape among so many seats that a number stands for.
fn random_shape(n_computing: usize, seed: u64) -> Shape {
    let mut prg = prg(seed ^ 0x70_1f);
    let mut seats: Vec<u8> = (0..n_computing as u8).collect();
    for last in (1..seats.len()).rev() {
        seats.swap(last, prg.next_bounded(last as u64 + 1) as usize);
    }
    let n_relations = 2 + prg.next_bounded(n_computing.min(3) as u64 - 1) as usize;
    let mut holders: Vec<Vec<(u8, usize)>> = vec![Vec::new(); n_relations];
    for (at, seat) in seats.into_iter().enumerate() {
        let relation = match at {
            at if at < n_relations => at,
            _ => 1 + prg.next_bounded(n_relations as u64) as usize,
        };
        let n_rows = [0, 1, 30, 45][prg.next_bounded(8).min(3) as usize];
        // The last number stands for a seat that has no rows.
        if let Some(holders) = holders.get_mut(relation) {
            holders.push((seat, n_rows));
        }
    }
    let mut of_three = || prg.next_bounded(3) as usize;
    let relations: Vec<Relation> = holders
        .iter()
        .map(|holders| {
            relation(
                holders,
                1 + of_three(),
                [of_three(), of_three(), of_three() / 2],
            )
        })
        .collect();
    let compared = random_comparisons(&relations, &mut prg);
    let terms = |prg: &mut Prg, is_wide| {
        let n_terms = prg.next_bounded(3);
        let terms = (0..n_terms).map(|_| random_term(&relations, &compared, prg, is_wide));
        terms.collect::<Vec<_>>()
    };
    let narrow = (0..3).map(|_| terms(&mut prg, false)).collect();
    let wide = (0..2).map(|_| terms(&mut prg, true)).collect();
    let mut bits = |n: usize, choices: [u32; 5]| {
        let mut bits = || choices[prg.next_bounded(5) as usize];
        (0..n).map(|_| bits()).collect::<Vec<u32>>()
    };
    let bounds = Bounds {
        narrow: bits(relations[0].narrow, [1, 3, 8, 33, 64]),
        wide: bits(relations[0].wide, [1, 5, 64, 100, 128]),
        cells: 1 + prg.next_bounded(relations[0].cells as u64) as usize,
    };
    Shape {
        relations,
        narrow,
        wide,
        bounds: (prg.next_bounded(3) > 0).then_some(bounds),
        compared,
    }
}

/// Sums of any columns, of all 64 bits: a sum that wraps around has a sign as well.
fn random_comparisons(relations: &[Relation], prg: &mut Prg) -> Vec<Compared> {
    let any = |r: &Relation| r.holders.iter().any(|h| h.n_rows > 0);
    if !relations[1..].iter().any(any) {
        return Vec::new();
    }
    let columns = relations.iter().enumerate();
    let columns: Vec<(usize, usize)> = columns
        .flat_map(|(at, relation)| (0..relation.narrow).map(move |column| (at, column)))
        .collect();
    let one = |prg: &mut Prg| Compared {
        parts: columns
            .iter()
            .map(|(at, column)| (*at, *column, prg.next_bounded(5) as i64 - 2))
            .collect(),
        constant: prg.next_bounded(7) as i64 - 3,
        bound_bits: 63,
        method: [Method::Masked, Method::Summed][prg.next_bounded(2) as usize],
    };
    (0..prg.next_bounded(3)).map(|_| one(prg)).collect()
}

fn random_term(
    relations: &[Relation],
    compared: &[Compared],
    prg: &mut Prg,
    is_wide: bool,
) -> Term {
    let coefficient = prg.next_bounded(9) as i64 - 4;
    let mut factors = Vec::new();
    for relation in relations {
        let mut choices = Vec::new();
        let cell = prg.next_bounded(relation.cells as u64) as usize;
        match is_wide {
            true => choices.extend((0..relation.wide).map(Factor::Wide)),
            false => choices.extend((0..relation.narrow).map(Factor::Narrow)),
        }
        if !is_wide || factors.is_empty() {
            choices.extend((0..relation.flags).map(Factor::Flag));
        }
        if is_wide && factors.is_empty() {
            choices.extend((0..relation.narrow).map(Factor::Narrow));
        }
        choices.extend([Factor::Matched { cell }, Factor::One { cell }]);
        factors.push(choices[prg.next_bounded(choices.len() as u64) as usize]);
    }
    if factors.iter().all(|f| matches!(f, Factor::One { .. })) {
        factors[0] = Factor::Matched { cell: 0 };
    }
    let is_there = |f: &Factor| !matches!(f, Factor::One { .. });
    let below = (0..compared.len()).filter(|_| prg.next_bounded(2) > 0);
    Term {
        below: match factors[1..].iter().any(is_there) {
            true => below.collect(),
            false => Vec::new(),
        },
        ..term(coefficient, &factors)
    }
}

#[test]
fn random_shapes_equal_plain_sums() {
    for (n_computing, n_shapes) in [(2, 24), (3, 24), (5, 12)] {
        for seed in 0..n_shapes {
            let shape = random_shape(n_computing, seed);
            check_both(&shape, n_computing, seed);
            demands::check_one_sided_price(&Join::<u64>::new(&shape), n_computing);
        }
    }
}

/// Two relations beside the hub, one of them held by two seats with keys in common, and every kind of
/// factor: flags and matches of several holders, products of numbers, and of numbers with bits.
fn of_three() -> Shape {
    use Factor::{Flag, Matched, Narrow, One, Wide};
    let (matched, one) = (Matched { cell: 0 }, One { cell: 0 });
    Shape {
        relations: vec![
            relation(&[(2, 6)], 2, [1, 1, 1]),
            relation(&[(0, 7), (4, 5)], 1, [1, 1, 1]),
            relation(&[(1, 8)], 2, [1, 1, 1]),
        ],
        narrow: vec![
            vec![
                term(1, &[Narrow(0), Narrow(0), Narrow(0)]),
                term(-2, &[Narrow(0), one, Narrow(0)]),
            ],
            vec![term(1, &[Flag(0), Flag(0), Flag(0)])],
            vec![
                term(1, &[matched, matched, Narrow(0)]),
                term(3, &[one, Narrow(0), Matched { cell: 1 }]),
                term(-1, &[matched, one, one]),
            ],
        ],
        wide: vec![vec![
            term(1, &[Wide(0), Wide(0), Wide(0)]),
            term(-5, &[one, matched, Wide(0)]),
            term(2, &[Wide(0), one, one]),
        ]],
        bounds: None,
        compared: Vec::new(),
    }
}

/// The hub is one of several holders of its table: its keys count where no earlier one has their flag, at the same
/// group, in the join with a table of two holders and, without it, of those that have no match there.
fn with_earlier(n_earlier: usize) -> Shape {
    use Factor::{Any, Flag, Matched, Narrow, One, Unflagged};
    let (matched, one) = (Matched { cell: 1 }, One { cell: 1 });
    let earlier = Relation {
        of_hub: true,
        ..relation(&[(1, n_earlier), (3, 6)], 3, [2, 0, 0])
    };
    Shape {
        relations: vec![
            relation(&[(2, 8)], 3, [2, 1, 0]),
            earlier,
            relation(&[(0, 7), (4, 5)], 2, [1, 1, 0]),
        ],
        narrow: vec![
            vec![term(1, &[Flag(0), Unflagged(0), Flag(0)])],
            vec![
                term(1, &[Flag(1), Unflagged(1), one]),
                term(-1, &[Flag(1), Unflagged(1), matched]),
            ],
            vec![term(2, &[Narrow(0), Flag(1), Narrow(0)])],
            vec![term(1, &[Narrow(0), Any, Narrow(0)])],
        ],
        wide: Vec::new(),
        bounds: None,
        compared: Vec::new(),
    }
}

#[test]
fn keys_of_several_hubs_count_once() {
    for secrets in [32, 1032] {
        for n_earlier in [0, 9] {
            check_both(&with_earlier(n_earlier), 5, secrets);
        }
    }
    let case = Join::<u64>::new(&with_earlier(9));
    demands::check_one_sided_price(&case, 5);
    demands::check_outline(&case, 5);
}

#[test]
fn several_relations_meet_all_demands() {
    for secrets in [31, 1031] {
        check_both(&of_three(), 5, secrets);
    }
    let case = Join::<u64>::new(&of_three());
    demands::check_one_sided_price(&case, 5);
    demands::check_outline(&case, 5);
    demands::check_empty_stock(&Join::<u64>::new(&grouped(5, 6)));
}

#[test]
fn groups_meet_all_demands() {
    for shape in [grouped(9, 12), bounded(9, 12, 1)] {
        demands::check_all(&Join::<u64>::new(&shape));
    }
    for shape in [grouped(9, 12), bounded(9, 12, 1), bounded(9, 12, 2)] {
        demands::check_sources(&Join::<u64>::new(&shape));
        demands::check_sources(&Join::<u128>::new(&shape));
    }
}

/// With a dealer in the session, the declared cost is the measured one too, for products by a matrix and by
/// transfers; and with many batches of these.
#[test]
fn costs_are_those_declared_with_a_dealer_and_over_many_batches() {
    for shape in [grouped(30, 40), bounded(30, 40, 1), bounded(30, 40, 3)] {
        let seats = Seats {
            n_seats: 3,
            n_computing: 2,
        };
        let price = join::price(seats, &shape);
        let online = price.cost;
        let needs = price.needs;
        let dealt = correlate::cost(&Source::Dealer { seat: Seat(2) }, 2, &needs);
        let ended = World::with_dealer(2, true, 51).run(async |session| {
            if session.dealer() == Some(session.seat()) {
                return dealer::serve(session, &needs).await;
            }
            let source = Source::Dealer { seat: Seat(2) };
            let mut stock = correlate::preprocess(session, &source, &needs).await?;
            let inputs = inputs(&shape, session.seat(), 51);
            join::totals(session, &shape, inputs, &mut stock)
                .await
                .map(|_| ())
        });
        for (seat, ended) in ended.iter().enumerate() {
            assert!(ended.outcome.is_ok(), "{seat}");
            for to in 0..3 {
                let declared = dealt.messages[seat][to] + online.messages[seat][to];
                assert_eq!(ended.traffic.messages_sent[to], declared, "{seat} to {to}");
                let declared = dealt.bytes[seat][to] + online.bytes[seat][to];
                assert_eq!(ended.traffic.bytes_sent[to], declared, "{seat} to {to}");
            }
        }
    }
    let long = bounded(20_000, 9000, 2);
    demands::check_result(&Join::<u64>::new(&long), 2, 52);
    demands::check_one_sided_price(&Join::<u128>::new(&long), 2);
}

/// Keys and values that are far from random still make messages that look uniform: those of the join, the
/// transfers of products, and what goes to cells.
#[test]
fn every_message_looks_uniform() {
    for (shape, kinds) in [
        (
            bounded(1500, 1500, 1),
            vec![Kind::Transfer, Kind::MaskedLanes, Kind::Store],
        ),
        (bounded(600, 600, 3), vec![Kind::Transfer]),
    ] {
        for secrets in [53, 1053] {
            let case = Join::<u64>::new(&shape);
            let transcripts = demands::recorded(&case, 2, (secrets, secrets));
            // The first ones have group elements, which are not as uniform as all that.
            let long = |_, body: &[u8]| match body.len() > 12_000 {
                true => body.to_vec(),
                false => Vec::new(),
            };
            chi_square::check_received(&transcripts, &kinds, long);
        }
    }
}

/// Values that the bounds exclude are found by the hub itself.
#[test]
fn the_hub_is_held_to_its_bounds() {
    let free = grouped(8, 6);
    let within = [
        bounded(8, 6, 3),
        Shape {
            bounds: Some(Bounds {
                cells: 1,
                ..Bounds::of(&free.relations[0])
            }),
            ..free.clone()
        },
    ];
    for shape in within {
        let ended = World::new(2, 54).run(async |session| {
            let inputs = inputs(&free, session.seat(), 54);
            join::totals(session, &shape, inputs, &mut Stock::empty()).await
        });
        let error = ended[1].outcome.as_ref().err();
        assert!(
            matches!(error, Some(ProtocolError::InvalidInput { .. })),
            "{error:?}"
        );
        assert!(ended[1].traffic.messages_sent.iter().all(|n| *n == 0));
    }
}

/// What a seat brings or asks for that is no join is refused, and nothing is sent.
#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let good = grouped(5, 6);
    let refused = |shape: &Shape, change: &dyn Fn(&mut Inputs)| {
        let ended = World::new(2, 18).run(async |session| {
            let inputs = inputs(&good, session.seat(), 18).map(|mut inputs| {
                change(&mut inputs);
                inputs
            });
            join::totals(session, shape, inputs, &mut Stock::empty()).await
        });
        for ended in ended {
            let error = ended.outcome.map(|_| ()).expect_err("refused");
            let is_invalid = matches!(error, ProtocolError::InvalidInput { .. });
            assert!(is_invalid, "{shape:?}: {error}");
            assert!(ended.traffic.messages_sent.iter().all(|n| *n == 0));
        }
    };
    refused(&good, &|inputs| inputs.rows.keys.truncate(3));
    refused(&good, &|inputs| inputs.rows.narrow.truncate(1));
    refused(&good, &|inputs| inputs.rows.wide[0].truncate(1));
    // Slots of other lengths, a cell that there is not or that stands twice, and slots at a spoke.
    let slots = |slots: &[u32]| {
        let slots: Vec<Vec<u32>> = slots.iter().map(|cell| vec![*cell; 5]).collect();
        refused(&good, &|inputs| inputs.slots = Some(slots.clone().into()));
    };
    slots(&[]);
    slots(&[0, 1]);
    slots(&[0, 1, 4]);
    slots(&[0, 1, 1]);
    refused(&good, &|inputs| {
        inputs.slots = Some(vec![vec![0; 6]].into())
    });
    let changed = |change: &dyn Fn(&mut Shape)| {
        let mut shape = good.clone();
        change(&mut shape);
        refused(&shape, &|_| ());
    };
    let one = Factor::One { cell: 0 };
    changed(&|shape| shape.relations.truncate(1));
    changed(&|shape| shape.relations.clear());
    changed(&|shape| shape.relations[1].holders[0].seat = Seat(1));
    changed(&|shape| shape.relations[1].holders[0].seat = Seat(7));
    changed(&|shape| shape.relations[1].holders.clear());
    changed(&|shape| shape.relations[0].holders.clear());
    changed(&|shape| shape.relations[1].cells = 0);
    changed(&|shape| shape.relations[0].cells = usize::MAX);
    changed(&|shape| shape.narrow[0][0].factors.truncate(1));
    changed(&|shape| shape.narrow[0][0].factors[1] = Factor::Narrow(2));
    changed(&|shape| shape.narrow[0][0].factors[1] = Factor::Wide(0));
    changed(&|shape| shape.wide[0][0].factors[1] = Factor::Narrow(0));
    changed(&|shape| shape.wide[0][0].factors[0] = Factor::Narrow(1));
    changed(&|shape| shape.narrow[0][0].factors[0] = Factor::Matched { cell: 3 });
    changed(&|shape| shape.narrow[0][0].factors = vec![one, one]);
    changed(&|shape| shape.narrow[0][0].factors = vec![Factor::Unflagged(0), one]);
    changed(&|shape| shape.narrow[0][0].factors[1] = Factor::Unflagged(0));
    changed(&|shape| shape.narrow[0][0].factors[1] = Factor::Any);
    changed(&|shape| shape.relations[0].of_hub = true);
    changed(&|shape| shape.relations[1].of_hub = true);
    let bounds = |change: &dyn Fn(&mut Bounds)| {
        let mut bounds = Bounds::of(&good.relations[0]);
        change(&mut bounds);
        changed(&|shape| shape.bounds = Some(bounds.clone()));
    };
    bounds(&|bounds| bounds.cells = 0);
    bounds(&|bounds| bounds.cells = 4);
    bounds(&|bounds| bounds.narrow[0] = 0);
    bounds(&|bounds| bounds.narrow[0] = 65);
    bounds(&|bounds| bounds.wide[0] = 129);
    bounds(&|bounds| bounds.wide.clear());
}
