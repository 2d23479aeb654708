//! What all seats know of an aggregate over a join.

use super::Inputs;
use crate::arith::compare::{MAX_BOUND_BITS, Method};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::ring::Ring;

/// Most cells of an output column.
const MAX_CELLS: usize = 1 << 20;

/// One holder's part of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The holder.
    pub seat: Seat,
    /// Number of its distinct keys.
    pub n_rows: usize,
}

/// A table that one or more seats hold, each some of its rows. Every holder has added its rows up: one
/// row for each of its keys, with a value of every column for each of the relation's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Who holds rows. Relation 0 has one holder, the hub.
    pub holders: Vec<Holder>,
    /// Number of groups, at least 1.
    pub cells: usize,
    /// Whether it is of the hub's table and the groups are the hub's: a term is at the same one of both, and the
    /// groups are no further ones. Not relation 0 itself.
    pub of_hub: bool,
    /// Columns that are 0 or 1; of several holders the value is 1 if anybody's is.
    pub flags: usize,
    /// Columns over Z_2^64; several holders' values are added.
    pub narrow: usize,
    /// Columns over Z_2^128, likewise.
    pub wide: usize,
}

impl Relation {
    /// Columns over Z_2^64 of one holder's input, flags first, each with all its cells.
    pub(super) fn n_narrow(&self) -> usize {
        (self.flags + self.narrow).saturating_mul(self.cells)
    }

    /// Columns over Z_2^128 of one holder's input.
    pub(super) fn n_wide(&self) -> usize {
        self.wide.saturating_mul(self.cells)
    }

    /// Holders that have rows.
    pub(super) fn filled(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().filter(|holder| holder.n_rows > 0)
    }
}

/// What a relation contributes to a product, for each bin of the hub's table and each of its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// One of its flags; 0 where it has no row with the key. In outputs over Z_2^64, and of relation 0 in
    /// those over Z_2^128 too.
    Flag(usize),
    /// 1 less one of its flags; 1 where it has no row with the key. In outputs over Z_2^64, of another relation than
    /// 0, where relation 0 contributes a column.
    Unflagged(usize),
    /// One of its columns over Z_2^64, likewise; in outputs over Z_2^128 as a number without a sign.
    Narrow(usize),
    /// One of its columns over Z_2^128, likewise. In outputs over Z_2^128.
    Wide(usize),
    /// At one cell 1 where the relation has the key (the hub: where it has a row), and 0 at all others.
    Matched {
        /// The cell.
        cell: usize,
    },
    /// 1 at one cell, whether there is a row or not, and 0 at all others.
    One {
        /// The cell.
        cell: usize,
    },
    /// 1 at every cell. Of a relation of the hub's table, which has no cells of its own.
    Any,
}

/// A product of one factor of each relation, added up over the hub's table, times a public number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it counts for.
    pub coefficient: i64,
    /// One factor of each relation, in their order.
    pub factors: Vec<Factor>,
    /// Numbers of [`Shape::compared`]: only where all of these are below 0.
    pub below: Vec<usize>,
}

/// A sum of the relations' columns that is compared with 0, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Columns over Z_2^64 that are no flags, as relation and number, and what each is multiplied by; of a relation
    /// with several cells the sum over them.
    pub parts: Vec<(usize, usize, i64)>,
    /// What is added.
    pub constant: i64,
    /// No sum is beyond 2^`bound_bits` on either side, that of any columns with zeros in place of others included.
    pub bound_bits: u32,
    /// How it is compared.
    pub method: Method,
}

/// What all seats know of the hub's values beside how many there are. The hub checks that they are so. What
/// is known makes the aggregate cheaper: the fewer cells and bits, the more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most cells of one key in which any column is not 0.
    pub cells: usize,
    /// Of each of its columns over Z_2^64, a number of bits that every value fits in, without a sign.
    /// Flags are no columns here: they have one bit.
    pub narrow: Vec<u32>,
    /// Of each of its columns over Z_2^128, likewise.
    pub wide: Vec<u32>,
}

impl Bounds {
    /// What holds of any relation.
    pub fn of(relation: &Relation) -> Self {
        Self {
            cells: relation.cells,
            narrow: vec![u64::BITS; relation.narrow],
            wide: vec![u128::BITS; relation.wide],
        }
    }
}

/// What all seats know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub's relation, and one or more others.
    pub relations: Vec<Relation>,
    /// For each output column over Z_2^64 the terms that are added up.
    pub narrow: Vec<Vec<Term>>,
    /// For each output column over Z_2^128, likewise.
    pub wide: Vec<Vec<Term>>,
    /// What is known of the hub's values, if anything.
    pub bounds: Option<Bounds>,
    /// What terms compare.
    pub compared: Vec<Compared>,
}

impl Shape {
    /// Elements of each output column: a cell of every relation with groups of its own, that of relation 0 most
    /// significant.
    pub fn n_cells(&self) -> usize {
        let own = self.relations.iter().filter(|relation| !relation.of_hub);
        own.fold(1, |n, relation| n.saturating_mul(relation.cells))
    }

    /// Of a cell of the outputs, that of each relation.
    pub fn cells_of(&self, cell: usize) -> Vec<usize> {
        let mut rest = cell;
        let mut cells = vec![0; self.relations.len()];
        for (own, relation) in cells.iter_mut().zip(&self.relations).rev() {
            if !relation.of_hub {
                *own = rest % relation.cells;
                rest /= relation.cells;
            }
        }
        let hub = cells[0];
        for (own, relation) in cells.iter_mut().zip(&self.relations) {
            if relation.of_hub {
                *own = hub;
            }
        }
        cells
    }

    pub(super) fn hub(&self) -> Holder {
        self.relations[0].holders[0]
    }

    /// Checks that the shape is one, and that this seat's input is what it says.
    pub(super) fn check(
        &self,
        session: &Session,
        inputs: Option<&Inputs>,
    ) -> Result<(), ProtocolError> {
        self.check_relations(session)?;
        self.check_terms()?;
        self.check_compared()?;
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let own = self.relations.iter().find_map(|relation| {
            let mut holders = relation.holders.iter();
            let holder = holders.find(|holder| holder.seat == session.seat());
            holder.map(|holder| (relation, holder))
        });
        match (own, inputs) {
            (None, None) => Ok(()),
            (Some((relation, holder)), Some(inputs))
                if inputs.fit(relation, holder, *holder == self.hub()) =>
            {
                let n_flags = relation.flags * inputs.per_column(relation.cells);
                let flags = &inputs.rows.narrow[..n_flags];
                if flags.iter().flatten().any(|flag| *flag > 1) {
                    return invalid("a flag is 0 or 1");
                }
                match &self.bounds {
                    Some(bounds) if *holder == self.hub() => bounds.check(relation, inputs),
                    _ => Ok(()),
                }
            }
            _ => invalid("each holder of a relation brings the rows that the shape says it has"),
        }
    }

    fn check_relations(&self, session: &Session) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let [hub, others @ ..] = &self.relations[..] else {
            return invalid("a join has a hub's relation");
        };
        if others.is_empty() || hub.holders.len() != 1 {
            return invalid("a join has one holder of relation 0, and one or more other relations");
        }
        let holders = || self.relations.iter().flat_map(|r| &r.holders);
        let mut seats: Vec<Seat> = holders().map(|holder| holder.seat).collect();
        seats.sort_unstable();
        let is_computing = |seat: &Seat| seat.index() < session.n_computing();
        let distinct = seats.windows(2).all(|pair| pair[0] != pair[1]);
        if !distinct || !seats.iter().all(is_computing) {
            return invalid("the holders of a join's relations are computing seats, each once");
        }
        if self.relations.iter().any(|r| r.holders.is_empty()) {
            return invalid("every relation of a join has a holder");
        }
        if self.relations.iter().any(|r| r.cells == 0) || self.n_cells() > MAX_CELLS {
            return invalid("relations of a join have 1 cell or more, and 2^20 together at most");
        }
        if hub.of_hub || others.iter().any(|r| r.of_hub && r.cells != hub.cells) {
            return invalid(
                "a relation of the hub's table is another than the hub's, with as many cells",
            );
        }
        match &self.bounds {
            Some(bounds) if !bounds.are_of(hub) => invalid(
                "bounds are of each of the hub's columns: 1 cell or more, and 1 bit up to all of an element",
            ),
            _ => Ok(()),
        }
    }

    fn check_compared(&self) -> Result<(), ProtocolError> {
        let fits = |compared: &Compared| {
            let is_column = |(relation, column, _): &(usize, usize, i64)| {
                (self.relations.get(*relation)).is_some_and(|r| *column < r.narrow)
            };
            (1..=MAX_BOUND_BITS).contains(&compared.bound_bits)
                && compared.parts.iter().all(is_column)
        };
        let mut others = self.relations.iter().skip(1);
        let is_made = self.compared.is_empty() || others.any(|r| r.filled().next().is_some());
        match self.compared.iter().all(fits) && is_made {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "a comparison is of columns over Z_2^64 that the relations have, in 1 to 63 bits, and another than the hub has rows",
            }),
        }
    }

    fn check_terms(&self) -> Result<(), ProtocolError> {
        let narrow = self.narrow.iter().flatten().map(|term| (term, false));
        let wide = self.wide.iter().flatten().map(|term| (term, true));
        for (term, is_wide) in narrow.chain(wide) {
            if term.factors.len() != self.relations.len() {
                return Err(ProtocolError::InvalidInput {
                    what: "a term of a join has one factor of each relation",
                });
            }
            let mut both = term.factors.iter().zip(&self.relations).enumerate();
            // The hub knows its columns, and can make them as wide as need be.
            let is_wide = |at: usize| (is_wide, is_wide && at > 0);
            if !both.all(|(at, (factor, relation))| factor.is_of(relation, is_wide(at))) {
                return Err(ProtocolError::InvalidInput {
                    what: "a factor is a column of its relation and of the output's ring, or a cell",
                });
            }
            let unflagged = |f: &Factor| matches!(f, Factor::Unflagged(_));
            let is_column = !matches!(
                term.factors[0],
                Factor::Matched { .. } | Factor::One { .. } | Factor::Unflagged(_)
            );
            // Where nobody has a row, every other factor of a term is 0.
            let there = |f: &Factor| {
                matches!(
                    f,
                    Factor::Flag(_) | Factor::Narrow(_) | Factor::Wide(_) | Factor::Matched { .. }
                )
            };
            let is_there = is_column || term.factors[1..].iter().any(there);
            let known = term.below.iter().all(|at| *at < self.compared.len());
            if !known || !term.below.is_empty() && !is_there {
                return Err(ProtocolError::InvalidInput {
                    what: "a term with a comparison depends on a row, and the shape has the comparison",
                });
            }
            if term.factors.iter().any(unflagged) && !is_column {
                return Err(ProtocolError::InvalidInput {
                    what: "where others have no flag, the hub contributes a column",
                });
            }
            if (term.factors.iter()).all(|f| matches!(f, Factor::One { .. } | Factor::Any)) {
                return Err(ProtocolError::InvalidInput {
                    what: "a term of a join depends on one of its relations",
                });
            }
        }
        Ok(())
    }
}

impl Bounds {
    fn are_of(&self, hub: &Relation) -> bool {
        let within = |bits: &[u32], most: u32| bits.iter().all(|b| (1..=most).contains(b));
        (1..=hub.cells).contains(&self.cells)
            && (self.narrow.len(), self.wide.len()) == (hub.narrow, hub.wide)
            && within(&self.narrow, u64::BITS)
            && within(&self.wide, u128::BITS)
    }

    /// Checks the hub's values.
    fn check(&self, relation: &Relation, inputs: &Inputs) -> Result<(), ProtocolError> {
        let per_column = inputs.per_column(relation.cells);
        let narrow = inputs.rows.narrow[relation.flags * per_column..].chunks(per_column);
        let narrow = narrow.zip(&self.narrow);
        let wide = inputs.rows.wide.chunks(per_column).zip(&self.wide);
        let fits = narrow.into_iter().all(|(cells, b)| fit_bits(cells, *b))
            && wide.into_iter().all(|(cells, b)| fit_bits(cells, *b));
        if !fits {
            return Err(ProtocolError::InvalidInput {
                what: "a value of the hub has more bits than the shape says",
            });
        }
        let n_cells = |row: usize| inputs.filled(relation, row).count();
        let n_cells = (0..inputs.rows.keys.len()).map(n_cells);
        match n_cells.max() > Some(self.cells) {
            true => Err(ProtocolError::InvalidInput {
                what: "a key of the hub has more cells than the shape says",
            }),
            false => Ok(()),
        }
    }
}

fn fit_bits<R: Ring>(cells: &[Vec<R>], n_bits: u32) -> bool {
    let mut values = cells.iter().flatten();
    n_bits == R::BITS || values.all(|value| value.shr(n_bits) == R::ZERO)
}

impl Factor {
    /// `is_wide`, `wide_alone`: whether the output may have columns over Z_2^128, and no others.
    fn is_of(self, relation: &Relation, (is_wide, wide_alone): (bool, bool)) -> bool {
        match self {
            Self::Flag(column) => !wide_alone && column < relation.flags,
            Self::Unflagged(column) => !is_wide && column < relation.flags,
            Self::Narrow(column) => !wide_alone && column < relation.narrow,
            Self::Wide(column) => is_wide && column < relation.wide,
            Self::Matched { cell } | Self::One { cell } => cell < relation.cells,
            Self::Any => relation.of_hub,
        }
    }
}
