//! Tables with their margins: no small cell can be told from the totals beside it.
//!
//! Where totals are released beside their parts, a line that lacks one number tells it, and one that lacks two small
//! numbers with the sum 2 tells both. So besides the small cells others are held back, large ones: in every line with a
//! small cell the smallest of them, a part before the total. Which is the smallest is found on shares. In the end every
//! small cell lies on a ring of unknown cells along which its count could be greater by as much as a large cell
//! counts, whatever the lines say.

mod pattern;

pub use pattern::CellState;

use crate::arith::compare::{self, Method};
use crate::boolean;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;
use pattern::Pattern;

/// The most keys of a table with margins.
pub const MAX_MARGIN_KEYS: usize = 8;

/// The most pairs of parts of one line, over all lines: so many comparisons can become necessary.
pub const MAX_MARGIN_PAIRS: usize = 1 << 20;

/// Which totals stand beside the cells of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Totals over the last key, over the last two, and so on: ROLLUP.
    Rollup,
    /// Totals over each of two keys and over both: CUBE.
    Cube,
}

/// A table with margins. A key with g groups has g + 1 slots, the last for the total over it; cells are numbered in
/// mixed radix, the first key the most significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margins {
    form: Form,
    /// Groups of each key, totals not counted.
    groups: [u32; MAX_MARGIN_KEYS],
    n_keys: usize,
    /// The narrow column whose counts are protected: the checks' and COUNT(*)'s.
    count: usize,
}

/// A total and the cells that it is the sum of.
pub(super) struct Line {
    pub(super) parts: Vec<usize>,
    pub(super) total: usize,
    /// Whether its equation is taken as it is, parts − total = 0, or with the other sign. The signs are such that every
    /// cell has different ones in its two lines, so that the cells are the arrows of a graph between lines.
    pub(super) is_positive: bool,
}

impl Margins {
    /// The margins of a table whose keys have so many groups; `count` is the narrow column with the counts of persons or rows.
    /// `None` for no key, for a CUBE of more than two keys, and beyond [`MAX_MARGIN_KEYS`] and [`MAX_MARGIN_PAIRS`].
    #[must_use]
    pub fn new(form: Form, groups: &[usize], count: usize) -> Option<Self> {
        let most = match form {
            Form::Rollup => MAX_MARGIN_KEYS,
            Form::Cube => 2,
        };
        if groups.is_empty() || groups.len() > most {
            return None;
        }
        let mut kept = [0; MAX_MARGIN_KEYS];
        for (kept, n) in kept.iter_mut().zip(groups) {
            *kept = u32::try_from(*n).ok()?;
        }
        let margins = Self {
            form,
            groups: kept,
            n_keys: groups.len(),
            count,
        };
        (margins.n_pairs()? <= MAX_MARGIN_PAIRS).then_some(margins)
    }

    /// The narrow column whose counts are protected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of cells, totals among them.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.slots().product()
    }

    /// Adds the totals to a column that has its innermost cells filled, wrapping around.
    pub fn add_up<R: engine::ring::Ring>(&self, column: &mut [R]) {
        // From the inside out. Of a CUBE's lines the last column's comes too early, and the last row's mends the grand total.
        for Line { parts, total, .. } in self.lines().iter().rev() {
            let sum = parts.iter().map(|part| column[*part]);
            column[*total] = sum.fold(R::ZERO, R::wrapping_add);
        }
    }

    /// For every cell the totals that it counts in, at whatever distance; what stands in a total itself is not looked at.
    #[must_use]
    pub fn totals_above(&self) -> Vec<Vec<usize>> {
        let mut direct: Vec<Vec<usize>> = vec![Vec::new(); self.cells()];
        for Line { parts, total, .. } in self.lines() {
            parts.iter().for_each(|part| direct[*part].push(total));
        }
        let all_above = |cell: &Vec<usize>| {
            let (mut found, mut next) = (Vec::new(), cell.clone());
            while let Some(total) = next.pop() {
                if !found.contains(&total) {
                    found.push(total);
                    next.extend(&direct[total]);
                }
            }
            found
        };
        direct.iter().map(all_above).collect()
    }

    /// Whether the cell is no total.
    #[must_use]
    pub fn is_innermost(&self, cell: usize) -> bool {
        let mut rest = cell;
        self.groups().iter().rev().all(|&n| {
            let slot = rest % (n + 1);
            rest /= n + 1;
            slot < n
        })
    }

    fn groups(&self) -> Vec<usize> {
        let groups = self.groups[..self.n_keys].iter();
        groups.map(|n| *n as usize).collect()
    }

    fn slots(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.groups[..self.n_keys].iter().map(|n| *n as usize + 1)
    }

    /// Comparisons if every line needed one more cell; `None` if they are beyond counting.
    fn n_pairs(&self) -> Option<usize> {
        let groups = self.groups();
        let of_line = |n: usize| n.checked_mul(n.saturating_sub(1)).map(|twice| twice / 2);
        let lines = |of: usize, n: usize| of_line(n)?.checked_mul(of);
        match (self.form, groups.as_slice()) {
            (Form::Cube, &[rows, columns]) => {
                lines(rows + 1, columns)?.checked_add(lines(columns + 1, rows)?)
            }
            _ => {
                let (mut above, mut pairs) = (1usize, 0usize);
                for n in groups {
                    pairs = pairs.checked_add(lines(above, n)?)?;
                    above = above.checked_mul(n)?;
                }
                Some(pairs)
            }
        }
    }

    /// All lines, those of a table's rows before those of its columns. A cell stands in two lines at most, which is what makes
    /// rings of cells tell what can be derived.
    pub(super) fn lines(&self) -> Vec<Line> {
        match (self.form, self.groups().as_slice()) {
            (Form::Cube, &[rows, columns]) => {
                let cell = |row: usize, column: usize| row * (columns + 1) + column;
                let of_row = |row: usize| Line {
                    parts: (0..columns).map(|column| cell(row, column)).collect(),
                    total: cell(row, columns),
                    is_positive: row < rows,
                };
                let of_column = |column: usize| Line {
                    parts: (0..rows).map(|row| cell(row, column)).collect(),
                    total: cell(rows, column),
                    is_positive: column == columns,
                };
                let of_rows = (0..=rows).map(of_row);
                of_rows.chain((0..=columns).map(of_column)).collect()
            }
            (_, groups) => rollup(groups),
        }
    }

    pub(super) fn encode(&self) -> Vec<u64> {
        let mut fields = vec![
            match self.form {
                Form::Rollup => 0,
                Form::Cube => 1,
            },
            self.count as u64,
        ];
        fields.extend(self.groups().iter().map(|n| *n as u64));
        fields
    }
}

/// A line for every total, the grand total's first.
fn rollup(groups: &[usize]) -> Vec<Line> {
    let mut strides = vec![1usize; groups.len()];
    for key in (1..groups.len()).rev() {
        strides[key - 1] = strides[key] * (groups[key] + 1);
    }
    let all_from = |key: usize| -> usize {
        let rest = groups.iter().zip(&strides).skip(key);
        rest.map(|(n, stride)| n * stride).sum()
    };
    // The cells so far with a group for each key before this one.
    let mut firsts = vec![0usize];
    let mut lines = Vec::new();
    for (key, (n, stride)) in groups.iter().zip(&strides).enumerate() {
        for first in &firsts {
            lines.push(Line {
                parts: (0..*n)
                    .map(|slot| first + slot * stride + all_from(key + 1))
                    .collect(),
                total: first + all_from(key),
                is_positive: true,
            });
        }
        let slots = |first: &usize| {
            let first = *first;
            (0..*n).map(move |slot| first + slot * stride)
        };
        firsts = firsts.iter().flat_map(slots).collect();
    }
    lines
}

/// Decides which cells are released: not the small ones, and not those that would tell them.
///
/// `counts` are this seat's shares of the protected counts, below 2^`bound_bits`; `is_large` and `is_empty` are public.
/// Takes at most [`price`]; which questions are asked follows from which cells are released.
pub(super) async fn protect(
    session: &mut Session,
    counts: &[u64],
    (is_large, is_empty): (&[bool], &[bool]),
    (margins, bound_bits): (&Margins, u32),
    stock: &mut Stock,
) -> Result<Vec<CellState>, ProtocolError> {
    let mut pattern = Pattern::new(margins, is_large, is_empty);
    while let Some(candidates) = pattern.question() {
        let smallest = smallest(session, counts, &candidates, bound_bits, stock).await?;
        pattern.hold_back(smallest);
    }
    Ok(pattern.into_states())
}

/// The same over counts in the clear, for tests and for oracles.
pub fn protect_in_the_clear(margins: &Margins, counts: &[u64], at_least: u64) -> Vec<CellState> {
    let is_large: Vec<bool> = counts.iter().map(|n| *n >= at_least).collect();
    let is_empty: Vec<bool> = counts.iter().map(|n| *n == 0).collect();
    protect_by(margins, counts, (&is_large, &is_empty))
}

/// [`protect_in_the_clear`] where what is large follows from more than these counts.
pub(crate) fn protect_by(
    margins: &Margins,
    counts: &[u64],
    (is_large, is_empty): (&[bool], &[bool]),
) -> Vec<CellState> {
    let mut pattern = Pattern::new(margins, is_large, is_empty);
    while let Some(candidates) = pattern.question() {
        let smallest = candidates.into_iter().min_by_key(|cell| counts[*cell]);
        pattern.hold_back(smallest.expect("a question has candidates"));
    }
    pattern.into_states()
}

/// The cell with the smallest count, the first among equals; its place alone is opened.
async fn smallest(
    session: &mut Session,
    counts: &[u64],
    candidates: &[usize],
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<usize, ProtocolError> {
    let n = candidates.len();
    let pairs: Vec<(usize, usize)> = pairs(n).collect();
    let excess =
        |&(a, b): &(usize, usize)| counts[candidates[b]].wrapping_sub(counts[candidates[a]]);
    let excess = Share::new(pairs.iter().map(excess).collect());
    let later_is_less =
        compare::less_than_zero(session, &excess, bound_bits, Method::Summed, stock).await?;
    let me = session.seat().index();
    let wins = wins(n, &pairs, &later_is_less, me);
    let is_smallest = boolean::all(session, wins, stock).await?;
    let opened = boolean::open(session, is_smallest).await?;
    let opened = bits::unpack(&opened, n);
    let mut found = opened.iter().enumerate().filter(|(_, bit)| **bit);
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(candidates[place]),
        _ => session.ended_by(Err(ProtocolError::CheckFailed {
            what: "one of several counts is the smallest",
        })),
    }
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (a + 1..n).map(move |b| (a, b)))
}

/// For each rival of each candidate whether the candidate comes before it: n − 1 vectors of n lanes.
fn wins(n: usize, pairs: &[(usize, usize)], later_is_less: &BitShare, me: usize) -> Vec<BitShare> {
    let mut planes = vec![vec![0u64; bits::words_for(n)]; n - 1];
    for (at, &(a, b)) in pairs.iter().enumerate() {
        let later = u64::from(bits::get(later_is_less.as_words(), at));
        let earlier = if me == 0 { later ^ 1 } else { later };
        planes[b - 1][a / 64] |= earlier << (a % 64);
        planes[a][b / 64] |= later << (b % 64);
    }
    let share = |words| BitShare::from_words(n, words);
    planes.into_iter().map(share).collect()
}

/// The most that [`protect`] takes: one question for every line.
pub(super) fn price(margins: &Margins, bound_bits: u32, seats: Seats) -> Price {
    let lines = margins.lines();
    let questions = lines.iter().filter(|line| line.parts.len() > 1);
    questions.fold(Price::nothing(seats), |price, line| {
        price.then(&smallest_price(line.parts.len(), bound_bits, seats))
    })
}

fn smallest_price(n: usize, bound_bits: u32, seats: Seats) -> Price {
    let n_pairs = n * (n - 1) / 2;
    let compared = compare::less_than_zero_price::<u64>(seats, n_pairs, bound_bits, Method::Summed);
    let mut price = compared.then(&boolean::all_price(seats, n, n - 1));
    let opened = boolean::open_cost(seats.n_seats, seats.n_computing, bits::words_for(n));
    price.cost = price.cost.then(&opened);
    price
}
