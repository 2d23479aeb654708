//! What is computed for a shape: which products of the spokes' columns, and of those with the hub's.

use super::shape::{Compared, Factor, Relation, Shape, Term};
use crate::psi::circuit::{self, Keep, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A bit of a spoke's relation for each bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bit {
    /// Whether it has the key.
    Matched(usize),
    /// One of its flags, at one cell.
    Flag(usize, usize),
    /// 1 less that.
    Unflagged(usize, usize),
    /// Whether a comparison of the shape is below 0.
    Below(usize),
}

impl Bit {
    /// The relation whose bit it is, if it is one's.
    pub(super) fn relation(self) -> Option<usize> {
        match self {
            Self::Matched(relation) | Self::Flag(relation, _) | Self::Unflagged(relation, _) => {
                Some(relation)
            }
            Self::Below(_) => None,
        }
    }
}

/// A product of the spokes' columns: bits, and numbers as (relation, column).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) bits: Vec<Bit>,
    pub(super) numbers: Vec<(usize, usize)>,
}

impl Right {
    fn is_one(&self) -> bool {
        self.bits.is_empty() && self.numbers.is_empty()
    }
}

/// Where a piece of an output comes from.
pub(super) enum Value {
    /// The sum over all bins of a right-hand column.
    Sum(usize),
    /// An element of a product with the hub's columns.
    Product(usize, usize),
    /// The sum of a column of the hub over all its rows, at a cell: number `column·cells + cell`.
    Own(usize),
    /// The number of the hub's rows.
    Rows,
}

/// Something that is added to an output.
pub(super) struct Piece {
    pub(super) output: usize,
    pub(super) cell: usize,
    pub(super) coefficient: i64,
    pub(super) value: Value,
}

/// A column of the hub's: its flags come first, then those over Z_2^64, then those over Z_2^128.
pub(super) type Column = usize;

/// One of the hub's columns at each of its cells, times some of the right-hand columns.
pub(super) struct Product {
    pub(super) left: Column,
    pub(super) rights: Vec<usize>,
}

/// The outputs over one ring.
pub(super) struct Part {
    pub(super) rights: Vec<Right>,
    pub(super) products: Vec<Product>,
    pub(super) pieces: Vec<Piece>,
    pub(super) n_outputs: usize,
}

/// What is computed.
pub(super) struct Plan {
    pub(super) narrow: Part,
    pub(super) wide: Part,
    pub(super) n_cells: usize,
    /// The join, if any is needed.
    pub(super) join: Option<circuit::Shape>,
    /// The spokes of each relation in the join.
    pub(super) spokes: Vec<Range<usize>>,
    /// The comparisons, and of each column in them its place among those of its relation's inputs.
    pub(super) compared: Vec<(Compared, Vec<Range<usize>>)>,
}

impl Plan {
    pub(super) fn new(shape: &Shape) -> Self {
        let narrow = Part::new(shape, &shape.narrow);
        let wide = Part::new(shape, &shape.wide);
        let (join, spokes) = join(shape, &narrow, &wide);
        Self {
            narrow,
            wide,
            n_cells: shape.n_cells(),
            join,
            spokes,
            compared: shape.compared.iter().map(|c| placed(shape, c)).collect(),
        }
    }

    /// The comparisons that some product of bits takes, in the order in which they are made.
    pub(super) fn below(&self) -> Vec<usize> {
        let all: BTreeSet<usize> = self
            .bits()
            .into_iter()
            .flatten()
            .filter_map(|bit| match bit {
                Bit::Below(at) => Some(at),
                _ => None,
            })
            .collect();
        all.into_iter().collect()
    }

    /// How many of a relation's holders are in the join.
    pub(super) fn n_holders(&self, relation: usize) -> usize {
        self.spokes[relation].len()
    }

    /// A flag that one holder alone has is in ring shares as it comes out of the join.
    pub(super) fn as_it_is(&self, right: &Right) -> Option<(usize, usize)> {
        match (&right.bits[..], &right.numbers[..]) {
            ([], [number]) => Some(*number),
            ([Bit::Flag(relation, column)], []) if self.n_holders(*relation) == 1 => {
                Some((*relation, *column))
            }
            _ => None,
        }
    }

    /// The products of bits of all outputs, each once.
    pub(super) fn bits(&self) -> Vec<Vec<Bit>> {
        let rights = self.narrow.rights.iter().chain(&self.wide.rights);
        let products = rights.filter(|right| self.as_it_is(right).is_none());
        let products = products.map(|right| right.bits.clone());
        let distinct: BTreeSet<Vec<Bit>> = products.filter(|bits| !bits.is_empty()).collect();
        distinct.into_iter().collect()
    }
}

fn placed(shape: &Shape, compared: &Compared) -> (Compared, Vec<Range<usize>>) {
    let cells = |(at, column, _): &(usize, usize, i64)| {
        let relation = &shape.relations[*at];
        let first = (relation.flags + column) * relation.cells;
        first..first + relation.cells
    };
    let places = compared.parts.iter().map(cells).collect();
    (compared.clone(), places)
}

/// The join of the relations that some right-hand column is made of, as far as they have rows.
fn join(shape: &Shape, narrow: &Part, wide: &Part) -> (Option<circuit::Shape>, Vec<Range<usize>>) {
    let rights = || narrow.rights.iter().chain(&wide.rights);
    let bits = rights().flat_map(|right| right.bits.iter().filter_map(|bit| bit.relation()));
    let numbers = rights().flat_map(|right| right.numbers.iter().map(|number| number.0));
    let parts = shape.compared.iter().flat_map(|c| &c.parts);
    let compared = parts.map(|part| part.0).filter(|at| *at > 0);
    let used: BTreeSet<usize> = bits.chain(numbers).chain(compared).collect();
    let side = |relation: &Relation, seat, n_rows| Side {
        seat,
        n_rows,
        narrow: relation.n_narrow(),
        wide: relation.n_wide(),
    };
    let mut spokes = Vec::new();
    let mut ranges = Vec::new();
    for (number, relation) in shape.relations.iter().enumerate() {
        let first = spokes.len();
        if used.contains(&number) {
            let sides = relation.filled().map(|h| side(relation, h.seat, h.n_rows));
            spokes.extend(sides);
        }
        ranges.push(first..spokes.len());
    }
    let hub = shape.hub();
    let join = (!spokes.is_empty()).then_some(circuit::Shape {
        // The hub's columns are no part of the join: it knows which row is in which bin.
        hub: Side {
            seat: hub.seat,
            n_rows: hub.n_rows,
            narrow: 0,
            wide: 0,
        },
        spokes,
        keep: Keep::Each,
    });
    (join, ranges)
}

/// The hub's part of a term at a cell.
#[derive(Clone, Copy)]
enum Left {
    Column(usize),
    Matched,
    One,
}

impl Part {
    fn new(shape: &Shape, outputs: &[Vec<Term>]) -> Self {
        let mut found = Found::default();
        for (output, terms) in outputs.iter().enumerate() {
            for term in terms {
                found.term(shape, output, term);
            }
        }
        found.into_part(shape.relations[0].cells, outputs.len())
    }
}

/// The pieces of outputs, of which each product of the hub's is still a pair of columns.
#[derive(Default)]
struct Found {
    rights: BTreeMap<Right, usize>,
    pieces: Vec<(usize, usize, i64, (Left, Option<usize>))>,
}

impl Found {
    fn term(&mut self, shape: &Shape, output: usize, term: &Term) {
        if shape.hub().n_rows == 0 {
            return;
        }
        for cell in 0..shape.n_cells() {
            if let Some((left, right)) = at_cell(shape, term, cell) {
                let next = self.rights.len();
                let right = match right.is_one() {
                    true => None,
                    false => Some(*self.rights.entry(right).or_insert(next)),
                };
                let piece = (output, cell, term.coefficient, (left, right));
                self.pieces.push(piece);
            }
        }
    }

    /// A column of the hub is in one product with all right-hand columns that it goes with.
    fn into_part(self, cells: usize, n_outputs: usize) -> Part {
        let mut needed: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (.., value) in &self.pieces {
            if let (Left::Column(left), Some(right)) = value {
                needed.entry(left / cells).or_default().insert(*right);
            }
        }
        let product = |(left, rights): (usize, BTreeSet<usize>)| Product {
            left,
            rights: rights.into_iter().collect(),
        };
        let products: Vec<Product> = needed.into_iter().map(product).collect();
        let mut places = BTreeMap::new();
        for (number, product) in products.iter().enumerate() {
            for (at, right) in product.rights.iter().enumerate() {
                places.insert((product.left, *right), (number, at, product.rights.len()));
            }
        }
        let pieces = self.pieces.into_iter();
        let pieces = pieces.map(|(output, cell, coefficient, value)| Piece {
            output,
            cell,
            coefficient,
            value: match value {
                (Left::Column(left), Some(right)) => {
                    let (number, at, n_rights) = places[&(left / cells, right)];
                    Value::Product(number, left % cells * n_rights + at)
                }
                // A right-hand column is 0 where the hub has no row.
                (Left::Matched | Left::One, Some(right)) => Value::Sum(right),
                (Left::Column(left), None) => Value::Own(left),
                (Left::Matched | Left::One, None) => Value::Rows,
            },
        });
        let pieces = pieces.collect();
        let mut rights: Vec<(usize, Right)> =
            self.rights.into_iter().map(|(r, at)| (at, r)).collect();
        rights.sort_unstable_by_key(|(at, _)| *at);
        Part {
            rights: rights.into_iter().map(|(_, right)| right).collect(),
            products,
            pieces,
            n_outputs,
        }
    }
}

/// A term at one cell of the output; `None` where it is 0 whatever the relations hold.
fn at_cell(shape: &Shape, term: &Term, cell: usize) -> Option<(Left, Right)> {
    let mut left = Left::One;
    let mut right = Right {
        bits: term.below.iter().map(|at| Bit::Below(*at)).collect(),
        numbers: Vec::new(),
    };
    let cells = shape.cells_of(cell);
    for (number, relation) in shape.relations.iter().enumerate() {
        let own = cells[number];
        let column = |column: usize| column * relation.cells + own;
        let factor = term.factors[number];
        if let Factor::Matched { cell } | Factor::One { cell } = factor
            && cell != own
        {
            return None;
        }
        if number == 0 {
            left = match factor {
                Factor::Flag(flag) => Left::Column(column(flag)),
                Factor::Narrow(narrow) => Left::Column(column(relation.flags + narrow)),
                Factor::Wide(wide) => Left::Column(column(relation.flags + relation.narrow + wide)),
                Factor::Matched { .. } => Left::Matched,
                Factor::One { .. } | Factor::Any | Factor::Unflagged(_) => Left::One,
            };
            continue;
        }
        let is_empty = relation.filled().next().is_none();
        match factor {
            Factor::One { .. } | Factor::Any => {}
            Factor::Unflagged(_) if is_empty => {}
            Factor::Unflagged(flag) => right.bits.push(Bit::Unflagged(number, column(flag))),
            _ if is_empty => return None,
            Factor::Flag(flag) => right.bits.push(Bit::Flag(number, column(flag))),
            Factor::Matched { .. } => right.bits.push(Bit::Matched(number)),
            Factor::Narrow(narrow) => {
                let narrow = column(relation.flags + narrow);
                right.numbers.push((number, narrow));
            }
            Factor::Wide(wide) => right.numbers.push((number, column(wide))),
        }
    }
    Some((left, right))
}
