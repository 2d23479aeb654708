//! Which cells are held back: a state machine that asks which of some counts is the smallest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Line, Margins};

/// What becomes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellState {
    /// Its totals are opened to the receivers.
    Released,
    /// It counts nobody, which everybody learns.
    Empty,
    /// It is too small.
    Small,
    /// It is large enough; released it would tell a small one.
    Protects,
}

/// The decision so far.
///
/// # Source    lines and cells as a graph, in which the unknown cells that can be told are those on no ring:
///   Gusfield, SIAM J. Computing 17(3), 1988. That the cells against the ring's direction are large ones: own
///   addition, because it is known of every unknown cell that it counts somebody
pub(super) struct Pattern {
    lines: Vec<Line>,
    states: Vec<CellState>,
    /// The line to look at next, and whether this pass over all lines has changed anything.
    at: usize,
    changed: bool,
}

impl Pattern {
    /// A cell that counts nobody is empty, whatever the checks say of it.
    pub(super) fn new(margins: &Margins, is_large: &[bool], is_empty: &[bool]) -> Self {
        let state = |(large, empty): (&bool, &bool)| match (large, empty) {
            (_, true) => CellState::Empty,
            (true, _) => CellState::Released,
            (false, _) => CellState::Small,
        };
        Self {
            lines: margins.lines(),
            states: is_large.iter().zip(is_empty).map(state).collect(),
            at: 0,
            changed: false,
        }
    }

    /// The next cells of which the smallest must be held back, two at least; `None` when all is decided.
    pub(super) fn question(&mut self) -> Option<Vec<usize>> {
        loop {
            if self.at == self.lines.len() {
                if !self.changed {
                    self.close_rings();
                    return None;
                }
                (self.at, self.changed) = (0, false);
            }
            let line = &self.lines[self.at];
            self.at += 1;
            if !self.needs_another(line) {
                continue;
            }
            let is_free = |cell: &usize| self.states[*cell] == CellState::Released;
            let parts: Vec<usize> = line.parts.iter().copied().filter(is_free).collect();
            match parts.as_slice() {
                [] if is_free(&line.total) => self.hold_back(line.total),
                [] => {}
                &[only] => self.hold_back(only),
                _ => return Some(parts),
            }
        }
    }

    /// A line with a small cell needs a large unknown one, and no line has only one unknown cell.
    fn needs_another(&self, line: &Line) -> bool {
        let cells = line.parts.iter().chain([&line.total]);
        let states = cells.map(|cell| self.states[*cell]);
        let (mut n_small, mut n_large) = (0, 0);
        for state in states {
            n_small += usize::from(state == CellState::Small);
            n_large += usize::from(state == CellState::Protects);
        }
        match n_large {
            0 => n_small > 0,
            _ => n_small + n_large == 1,
        }
    }

    /// Holds back one more cell.
    pub(super) fn hold_back(&mut self, cell: usize) {
        self.states[cell] = CellState::Protects;
        self.changed = true;
    }

    pub(super) fn into_states(self) -> Vec<CellState> {
        self.states
    }

    /// Enough unknown numbers in every line are not enough: a small cell between two rings is the difference of known
    /// numbers. It gets a ring of its own, over as few further cells as possible, totals last.
    fn close_rings(&mut self) {
        let graph = Graph::new(&self.lines, self.states.len());
        for cell in 0..self.states.len() {
            if self.states[cell] == CellState::Small {
                for further in graph.ring(cell, &self.states) {
                    if self.states[further] == CellState::Released {
                        self.states[further] = CellState::Protects;
                    }
                }
            }
        }
    }
}

/// Lines are vertices and cells are arrows: a table's numbers are a flow in it. What stands in one line only begins or ends at
/// one more vertex.
struct Graph {
    /// From which line each cell leads to which; `None` for a cell that stands in no line.
    ends: Vec<Option<(usize, usize)>>,
    /// The cells at each vertex.
    at: Vec<Vec<usize>>,
    is_total: Vec<bool>,
}

/// A further part weighs 1, a further total more than all parts of a small table.
const TOTAL_WEIGHT: usize = 1 << 10;

impl Graph {
    fn new(lines: &[Line], cells: usize) -> Self {
        let rest = lines.len();
        let mut ends: Vec<Option<(usize, usize)>> = vec![None; cells];
        let mut is_total = vec![false; cells];
        for (vertex, line) in lines.iter().enumerate() {
            let parts = line.parts.iter().map(|part| (*part, line.is_positive));
            for (cell, leaves) in parts.chain([(line.total, !line.is_positive)]) {
                let (from, to) = ends[cell].unwrap_or((rest, rest));
                ends[cell] = Some(if leaves { (vertex, to) } else { (from, vertex) });
            }
            is_total[line.total] = true;
        }
        let mut at = vec![Vec::new(); lines.len() + 1];
        for (cell, ends) in ends.iter().enumerate() {
            if let Some((from, to)) = *ends {
                at[from].push(cell);
                at[to].push(cell);
            }
        }
        Self { ends, at, is_total }
    }

    /// The other cells of the lightest ring along which the cell `through` could count more: cells against the ring's
    /// direction would count less, so they have to be large.
    fn ring(&self, through: usize, states: &[CellState]) -> Vec<usize> {
        let Some((to, from)) = self.ends[through] else {
            return Vec::new();
        };
        let mut best = vec![usize::MAX; self.at.len()];
        let mut came_by: Vec<Option<(usize, usize)>> = vec![None; self.at.len()];
        let mut queue = BinaryHeap::from([Reverse((0usize, from))]);
        best[from] = 0;
        while let Some(Reverse((weight, vertex))) = queue.pop() {
            if vertex == to {
                break;
            }
            if weight > best[vertex] {
                continue;
            }
            for &cell in self.at[vertex].iter().filter(|cell| **cell != through) {
                let Some((next, step)) = self.step(cell, vertex, states) else {
                    continue;
                };
                if weight + step < best[next] {
                    best[next] = weight + step;
                    came_by[next] = Some((cell, vertex));
                    queue.push(Reverse((weight + step, next)));
                }
            }
        }
        let mut ring = Vec::new();
        let mut vertex = to;
        while let Some((cell, before)) = came_by[vertex] {
            ring.push(cell);
            vertex = before;
        }
        ring
    }

    /// Where a cell leads from one of its lines, and how many further cells that takes.
    fn step(&self, cell: usize, vertex: usize, states: &[CellState]) -> Option<(usize, usize)> {
        let (from, to) = self.ends[cell]?;
        let forward = from == vertex;
        let weight = match states[cell] {
            CellState::Empty => return None,
            CellState::Small if !forward => return None,
            CellState::Small | CellState::Protects => 0,
            CellState::Released if self.is_total[cell] => TOTAL_WEIGHT,
            CellState::Released => 1,
        };
        Some((if forward { to } else { from }, weight))
    }
}
