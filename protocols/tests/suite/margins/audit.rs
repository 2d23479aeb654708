//! An audit of what a table with totals shows: the least and the greatest value of every cell that is held back, over all tables that
//! look the same from outside.
//!
//! Every cell stands in two lines at most, so that the lines' equations are those of flows in a graph: lines are vertices and cells
//! arrows. The bounds of such linear programs are whole numbers, and greatest flows (Edmonds and Karp, Journal of the ACM 19(2), 1972) find them exactly.

use std::collections::VecDeque;

use super::{AT_LEAST, CellState, Form, Margins, SHAPES, counts, lines, prg, protect_in_the_clear};

/// No bound: more than any total.
const ANY: i64 = 1 << 40;

/// What a reader knows of a cell: between which numbers it is.
type Known = (i64, i64);

/// For every cell the line that it leaves and the one that it enters; the last vertex stands for none.
struct Graph {
    arrows: Vec<[usize; 2]>,
    n_vertices: usize,
}

impl Graph {
    fn of(lines: &[(Vec<usize>, usize)], n_cells: usize) -> Self {
        let mut places: Vec<Vec<(usize, i64)>> = vec![Vec::new(); n_cells];
        for (line, (parts, total)) in lines.iter().enumerate() {
            parts.iter().for_each(|cell| places[*cell].push((line, 1)));
            places[*total].push((line, -1));
        }
        // An equation may be taken with the other sign: such that a cell has both signs in its two lines.
        let mut signs = vec![0; lines.len()];
        for first in 0..lines.len() {
            // Those that hang together have their signs from the first of them.
            let mut next: VecDeque<(usize, i64)> = VecDeque::new();
            next.extend((signs[first] == 0).then_some((first, 1)));
            while let Some((line, sign)) = next.pop_front() {
                if signs[line] != 0 {
                    assert_eq!(signs[line], sign, "the cells are no arrows");
                    continue;
                }
                signs[line] = sign;
                for of_cell in &places {
                    let here = of_cell.iter().find(|(l, _)| *l == line);
                    let there = of_cell.iter().find(|(l, _)| *l != line);
                    if let (Some((_, a)), Some((other, b))) = (here, there) {
                        next.push_back((*other, -sign * a * b));
                    }
                }
            }
        }
        let root = lines.len();
        let arrow = |of_cell: &Vec<(usize, i64)>| {
            let at = |sign| {
                let mut lines = of_cell.iter();
                let found = lines.find(|(line, a)| signs[*line] * a == sign);
                found.map_or(root, |(line, _)| *line)
            };
            assert!(of_cell.len() <= 2, "a cell in more than two lines");
            [at(-1), at(1)]
        };
        Self {
            arrows: places.iter().map(arrow).collect(),
            n_vertices: root + 1,
        }
    }

    /// Moves as much as one shortest way allows from one vertex to another, by cells but `without`; 0 if there is no way.
    fn push(
        &self,
        table: &mut [i64],
        known: &[Known],
        [from, to]: [usize; 2],
        without: usize,
    ) -> i64 {
        // How a vertex was reached: by which cell, from where, and whether it grows.
        let mut reached: Vec<Option<(usize, usize, bool)>> = vec![None; self.n_vertices];
        let mut queue = VecDeque::from([from]);
        let room = |table: &[i64], cell: usize, grows: bool| match grows {
            true => known[cell].1 - table[cell],
            false => table[cell] - known[cell].0,
        };
        while let Some(vertex) = queue.pop_front() {
            for (cell, [tail, head]) in self.arrows.iter().enumerate() {
                for (grows, here, there) in [(true, *tail, *head), (false, *head, *tail)] {
                    let is_new = there != from && reached[there].is_none();
                    let fits = here == vertex && cell != without && room(table, cell, grows) > 0;
                    if is_new && fits {
                        reached[there] = Some((cell, vertex, grows));
                        queue.push_back(there);
                    }
                }
            }
        }
        let mut way = Vec::new();
        let mut vertex = to;
        while vertex != from {
            let Some((cell, before, grows)) = reached[vertex] else {
                return 0;
            };
            way.push((cell, grows));
            vertex = before;
        }
        let rooms = way.iter().map(|(cell, grows)| room(table, *cell, *grows));
        let amount = rooms.min().unwrap_or(ANY);
        for (cell, grows) in way {
            table[cell] += if grows { amount } else { -amount };
        }
        amount
    }

    /// The least and the greatest value of a cell.
    fn interval(&self, counts: &[u64], known: &[Known], cell: usize) -> Known {
        let [tail, head] = self.arrows[cell];
        let reach = |ends: [usize; 2], most: i64| {
            let mut table: Vec<i64> = counts.iter().map(|c| *c as i64).collect();
            let mut moved = 0;
            while moved < most && ends[0] != ends[1] {
                match self.push(&mut table, known, ends, cell) {
                    0 => break,
                    amount => moved += amount,
                }
            }
            moved.min(most)
        };
        let here = counts[cell] as i64;
        let (least, most) = known[cell];
        let down = reach([tail, head], here - least);
        (here - down, here + reach([head, tail], most - here))
    }
}

/// What everybody knows who reads the result: what was released, what is empty, and that something is in every other cell.
fn read(counts: &[u64], states: &[CellState]) -> Vec<Known> {
    let known = |(count, state): (&u64, &CellState)| match state {
        CellState::Released => (*count as i64, *count as i64),
        CellState::Empty => (0, 0),
        CellState::Small | CellState::Protects => (1, ANY),
    };
    counts.iter().zip(states).map(known).collect()
}

fn held(states: &[CellState]) -> impl Iterator<Item = usize> {
    let is_held = |cell: &usize| matches!(states[*cell], CellState::Small | CellState::Protects);
    (0..states.len()).filter(is_held)
}

#[test]
fn no_count_that_is_held_back_follows_from_those_that_are_released() {
    let (mut n_small, mut n_held) = (0, 0);
    for seed in 0..60 {
        println!("seed {seed}");
        let mut prg = prg(seed);
        for (form, groups) in SHAPES {
            let margins = Margins::new(form, groups, 0).expect("a small table");
            let counts = counts(&mut prg, &margins);
            let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
            let graph = Graph::of(&lines(form, groups), counts.len());
            let known = read(&counts, &states);
            for cell in held(&states) {
                let (least, greatest) = graph.interval(&counts, &known, cell);
                let place = || format!("{form:?} {groups:?} cell {cell}: {counts:?} {states:?}");
                assert!(least < greatest, "{least} in {}", place());
                n_held += 1;
                if states[cell] == CellState::Small {
                    n_small += 1;
                    // Not even that it is a small one.
                    assert!(
                        greatest >= AT_LEAST as i64,
                        "at most {greatest} in {}",
                        place()
                    );
                }
            }
        }
    }
    assert!(n_small > 1000 && n_held > n_small, "{n_small} of {n_held}");
}

/// The auditor finds what a table without protection tells.
#[test]
fn a_count_that_follows_is_found() {
    use CellState::{Released, Small};
    let (form, groups) = (Form::Cube, [2, 2]);
    let margins = Margins::new(form, &groups, 0).expect("a small table");
    let mut counts = vec![3, 40, 0, 50, 60, 0, 0, 0, 0];
    margins.add_up(&mut counts);
    let graph = Graph::of(&lines(form, &groups), counts.len());
    let mut states = [Released; 9];
    states[0] = Small;
    let found = |states: &[CellState], cell| graph.interval(&counts, &read(&counts, states), cell);
    assert_eq!(found(&states, 0), (3, 3));
    // A second one of the same row helps nothing: the columns tell both.
    states[1] = Small;
    assert_eq!(found(&states, 0), (3, 3));
    // A ring of four does: 3 and 60 up to where 40 or 50 is left with one, and down to one.
    states[3] = Small;
    states[4] = Small;
    assert_eq!(found(&states, 0), (1, 42));
    assert_eq!(found(&states, 1), (1, 42));
    // 1 + 1 = 2.
    let margins = Margins::new(Form::Rollup, &[3], 0).expect("a small table");
    let mut counts = vec![1, 1, 30, 0];
    margins.add_up(&mut counts);
    let graph = Graph::of(&lines(Form::Rollup, &[3]), 4);
    let known = read(&counts, &[Small, Small, Released, Released]);
    assert_eq!(graph.interval(&counts, &known, 0), (1, 1));
}
