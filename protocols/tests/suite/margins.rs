//! Tables with their totals: what is held back, and that no small cell can be told from what is released.

mod audit;

use crate::demands::Places;
use crate::shape::outline;
use crate::world::{Job, all_ok, prg, transcripts};
use engine::prg::Prg;
use protocols::aggregate::{
    self, CellRule, CellState, Check, Form, LocalTotals, Margins, ReleaseShape,
    protect_in_the_clear,
};
use protocols::correlate::{self, Source};
use protocols::error::{LinkError, ProtocolError};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::oracle;
use protocols::party::Seat;
use protocols::price::Seats;

const AT_LEAST: u64 = 11;

/// A table with totals: COUNT(*) in column 0, and one more column.
fn job(n_computing: usize, form: Form, groups: &[usize], seed: u64) -> Job {
    let margins = Margins::new(form, groups, 0).expect("a small table");
    Job {
        n_computing,
        shape: ReleaseShape {
            cells: margins.cells(),
            narrow: 2,
            compared: 0,
            wide: 1,
            checks: vec![Check {
                column: 0,
                at_least: AT_LEAST,
                bound_bits: 20,
            }],
            receivers: vec![Seat(0)],
            mode: CellRule::Margins(margins),
        },
        seed,
    }
}

fn margins_of(job: &Job) -> Margins {
    match job.shape.mode {
        CellRule::Margins(margins) => margins,
        _ => panic!("a table with margins"),
    }
}

/// Counts as they are in small areas: many zeros, many small ones, few large ones.
fn counts(prg: &mut Prg, margins: &Margins) -> Vec<u64> {
    let mut counts = vec![0; margins.cells()];
    for (cell, count) in counts.iter_mut().enumerate() {
        if margins.is_innermost(cell) {
            *count = match prg.next_bounded(8) {
                0..=2 => 0,
                3..=4 => 1 + prg.next_bounded(4),
                5..=6 => 1 + prg.next_bounded(40),
                _ => prg.next_bounded(3000),
            };
        }
    }
    margins.add_up(&mut counts);
    counts
}

/// The counts cut into holders' parts, with other columns beside them.
fn inputs(job: &Job, counts: &[u64], prg: &mut Prg) -> Vec<LocalTotals> {
    let mut rest = counts.to_vec();
    let margins = margins_of(job);
    let mut seats = Vec::new();
    for seat in 0..job.n_computing {
        let is_last = seat + 1 == job.n_computing;
        let mut mine = rest.clone();
        for (cell, count) in mine.iter_mut().enumerate() {
            if !is_last && margins.is_innermost(cell) {
                *count = prg.next_bounded(*count + 1);
            }
        }
        margins.add_up(&mut mine);
        for (rest, mine) in rest.iter_mut().zip(&mine) {
            *rest -= mine;
        }
        let values: Vec<u64> = (0..counts.len()).map(|_| prg.next_u64()).collect();
        let wide = values.iter().map(|v| u128::from(*v) << 64).collect();
        seats.push(LocalTotals {
            narrow: vec![mine, values],
            wide: vec![wide],
        });
    }
    seats
}

const SHAPES: [(Form, &[usize]); 8] = [
    (Form::Rollup, &[1]),
    (Form::Rollup, &[7]),
    (Form::Rollup, &[3, 4]),
    (Form::Rollup, &[2, 3, 3]),
    (Form::Cube, &[6]),
    (Form::Cube, &[2, 2]),
    (Form::Cube, &[5, 9]),
    (Form::Cube, &[1, 12]),
];

#[test]
fn shares_decide_as_the_clear_does() {
    for n in [2, 3, 5] {
        for (at, (form, groups)) in SHAPES.into_iter().enumerate() {
            let job = job(n, form, groups, 300 + at as u64);
            let mut prg = prg(job.seed);
            let counts = counts(&mut prg, &margins_of(&job));
            let inputs = inputs(&job, &counts, &mut prg);
            let expected = oracle::release(&inputs, &job.shape);
            let mut found = all_ok(job.run(job.world(), inputs));
            let found = found.swap_remove(0).expect("seat 0 receives");
            assert!(found == expected, "{form:?} {groups:?} among {n}");
            let states = protect_in_the_clear(&margins_of(&job), &counts, AT_LEAST);
            assert!(
                found.states == Some(states),
                "{form:?} {groups:?} among {n}"
            );
        }
    }
}

#[test]
fn two_holders_without_a_dealer_decide_the_same() {
    let job = job(2, Form::Cube, &[3, 5], 77);
    let mut prg = prg(78);
    let counts = counts(&mut prg, &margins_of(&job));
    let inputs = inputs(&job, &counts, &mut prg);
    let expected = oracle::release(&inputs, &job.shape);
    let inputs = std::sync::Mutex::new(inputs.into_iter().map(Some).collect::<Vec<_>>());
    let needs = aggregate::needs(&job.shape, Seats::computing(2));
    let world = crate::world::World::new(2, 79);
    let ended = world.run(async |session| {
        let seat = session.seat().index();
        let input = inputs.lock().expect("no panic")[seat].take();
        let stock = correlate::preprocess(session, &Source::Ot, &needs).await?;
        let input = input.expect("each seat runs once");
        aggregate::release(session, input, &job.shape, stock, job.disclosure()).await
    });
    let found = all_ok(ended).swap_remove(0).expect("seat 0 receives");
    assert!(found == expected);
}

/// Cells with their lines and signs, written down anew: each line's parts and total.
fn lines(form: Form, groups: &[usize]) -> Vec<(Vec<usize>, usize)> {
    let radix: Vec<usize> = groups.iter().map(|n| n + 1).collect();
    let index = |slots: &[usize]| {
        slots
            .iter()
            .zip(&radix)
            .fold(0, |cell, (s, r)| cell * r + s)
    };
    let n_cells: usize = radix.iter().product();
    let mut lines = Vec::new();
    for cell in 0..n_cells {
        let mut slots = vec![0; radix.len()];
        let mut rest = cell;
        for key in (0..radix.len()).rev() {
            slots[key] = rest % radix[key];
            rest /= radix[key];
        }
        for key in 0..radix.len() {
            // ROLLUP has a total over a key only where all later keys are totals too.
            let later_are_totals = (key + 1..radix.len()).all(|k| slots[k] == groups[k]);
            let earlier_are_groups = (0..key).all(|k| slots[k] < groups[k]);
            let exists = match form {
                Form::Cube => true,
                Form::Rollup => later_are_totals && earlier_are_groups,
            };
            if slots[key] == groups[key] && exists {
                let part = |slot: usize| {
                    let mut slots = slots.clone();
                    slots[key] = slot;
                    index(&slots)
                };
                lines.push(((0..groups[key]).map(part).collect(), cell));
            }
        }
    }
    lines
}

/// Another table that looks the same from outside and in which `cell` counts one more, by search over tables: from the line
/// that the change upsets to others that restore it, each unknown cell by ±1 and none below 1.
fn could_be_more(
    lines: &[(Vec<usize>, usize)],
    counts: &[u64],
    states: &[CellState],
    cell: usize,
) -> Option<Vec<u64>> {
    let is_unknown = |cell: usize| matches!(states[cell], CellState::Small | CellState::Protects);
    let imbalance = |counts: &[u64]| -> Vec<(usize, i64)> {
        let of = |(parts, total): &(Vec<usize>, usize)| {
            parts.iter().map(|p| counts[*p] as i64).sum::<i64>() - counts[*total] as i64
        };
        let all = lines.iter().map(of).enumerate();
        all.filter(|(_, excess)| *excess != 0).collect()
    };
    let mut first = counts.to_vec();
    first[cell] += 1;
    let mut queue = std::collections::VecDeque::from([(first, vec![cell])]);
    let mut seen = std::collections::BTreeSet::new();
    while let Some((table, used)) = queue.pop_front() {
        let upset = imbalance(&table);
        let Some(&(line, excess)) = upset.first() else {
            return Some(table);
        };
        if !seen.insert(upset.clone()) {
            continue;
        }
        let (parts, total) = &lines[line];
        for &other in parts.iter().chain([total]) {
            if used.contains(&other) || !is_unknown(other) {
                continue;
            }
            let up = (other == *total) == (excess > 0);
            let mut next = table.clone();
            if !up && next[other] == 1 {
                continue;
            }
            next[other] = if up { next[other] + 1 } else { next[other] - 1 };
            let mut used = used.clone();
            used.push(other);
            queue.push_back((next, used));
        }
    }
    None
}

#[test]
fn every_small_count_could_be_greater_in_a_table_that_looks_the_same() {
    let mut n_small = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let mut prg = prg(seed);
        for (form, groups) in SHAPES {
            let margins = Margins::new(form, groups, 0).expect("a small table");
            let counts = counts(&mut prg, &margins);
            let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
            let lines = lines(form, groups);
            for cell in (0..counts.len()).filter(|c| states[*c] == CellState::Small) {
                n_small += 1;
                // A table whose grand total is small shows nothing at all.
                if states.iter().all(|s| *s != CellState::Released) {
                    continue;
                }
                let other = could_be_more(&lines, &counts, &states, cell);
                assert!(
                    other.is_some(),
                    "{form:?} {groups:?} cell {cell}: {counts:?} {states:?}"
                );
            }
        }
    }
    assert!(n_small > 1000, "{n_small}");
}

#[test]
fn only_large_cells_are_released_and_only_empty_ones_called_so() {
    let mut prg = prg(4);
    for _ in 0..200 {
        let margins = Margins::new(Form::Cube, &[4, 6], 0).expect("a small table");
        let counts = counts(&mut prg, &margins);
        let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
        for (count, state) in counts.iter().zip(states) {
            match state {
                CellState::Empty => assert_eq!(*count, 0),
                CellState::Small => assert!((1..AT_LEAST).contains(count)),
                CellState::Released | CellState::Protects => assert!(*count >= AT_LEAST),
            }
        }
    }
}

#[test]
fn one_small_cell_takes_its_smallest_neighbours_with_it() {
    // Rows 3, 40, 20 and 50, 60, 70: the small cell, the smallest of its row, of its column, and the corner.
    let margins = Margins::new(Form::Cube, &[2, 3], 0).expect("a small table");
    let mut counts = vec![3, 40, 20, 0, 50, 60, 70, 0, 0, 0, 0, 0];
    margins.add_up(&mut counts);
    assert_eq!(counts, [3, 40, 20, 63, 50, 60, 70, 180, 53, 100, 90, 243]);
    let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
    let held: Vec<usize> = (0..12)
        .filter(|c| states[*c] != CellState::Released)
        .collect();
    assert_eq!(held, [0, 2, 4, 6]);
    assert_eq!(states[0], CellState::Small);
}

#[test]
fn two_small_cells_of_a_line_do_not_protect_each_other() {
    // 1 + 1 = 2: their sum alone would tell both.
    let margins = Margins::new(Form::Rollup, &[4], 0).expect("a small table");
    let mut counts = vec![1, 1, 30, 20, 0];
    margins.add_up(&mut counts);
    let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
    use CellState::{Protects, Released, Small};
    assert_eq!(states, [Small, Small, Released, Protects, Released]);
}

#[test]
fn a_table_without_small_cells_is_released_whole() {
    let margins = Margins::new(Form::Cube, &[3, 3], 0).expect("a small table");
    let mut counts = vec![12; 16];
    margins.add_up(&mut counts);
    let states = protect_in_the_clear(&margins, &counts, AT_LEAST);
    assert!(states.iter().all(|s| *s == CellState::Released));
}

#[test]
fn tables_that_are_too_large_or_have_no_graph_are_refused() {
    assert!(Margins::new(Form::Cube, &[2, 2, 2], 0).is_none());
    assert!(Margins::new(Form::Cube, &[], 0).is_none());
    assert!(Margins::new(Form::Rollup, &[2; 9], 0).is_none());
    assert!(Margins::new(Form::Rollup, &[2000], 0).is_none());
    assert!(Margins::new(Form::Rollup, &[usize::MAX, 2], 0).is_none());
    assert!(Margins::new(Form::Rollup, &[1000], 0).is_some());
}

#[test]
fn a_release_with_margins_costs_no_more_than_declared() {
    let job = job(2, Form::Cube, &[4, 4], 17);
    let mut prg = prg(18);
    let declared = aggregate::cost(&job.shape, 2, job.source().as_ref());
    for _ in 0..5 {
        let counts = counts(&mut prg, &margins_of(&job));
        let ended = job.run(job.world(), inputs(&job, &counts, &mut prg));
        for (seat, ended) in Seat::first(2).zip(&ended) {
            let sent = ended.traffic.bytes_sent.iter().sum::<u64>();
            assert!(sent <= declared.bytes[seat.index()].iter().sum::<u64>());
            assert!(ended.traffic.rounds <= declared.rounds);
        }
    }
}

#[test]
fn messages_follow_from_what_is_released_alone() {
    // The same small, empty and held-back cells with other counts behind them.
    let job = job(3, Form::Cube, &[2, 3], 21);
    let margins = margins_of(&job);
    let of = |counts: [u64; 6]| {
        let [a, b, c, d, e, f] = counts;
        let mut table = vec![a, b, c, 0, d, e, f, 0, 0, 0, 0, 0];
        margins.add_up(&mut table);
        let inputs = inputs(&job, &table, &mut prg(22));
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world, inputs));
        transcripts(&logs).iter().map(outline).collect::<Vec<_>>()
    };
    assert!(of([3, 40, 20, 50, 60, 70]) == of([9, 99, 11, 500, 2000, 777]));
}

/// A table with a small cell, which holds others back, so that questions are asked.
fn with_a_small_cell(form: Form, groups: &[usize], seed: u64) -> (Job, Vec<u64>) {
    let job = job(3, form, groups, seed);
    let margins = margins_of(&job);
    let mut counts = vec![0; margins.cells()];
    for (cell, count) in counts.iter_mut().enumerate() {
        if margins.is_innermost(cell) {
            *count = 20 + 7 * cell as u64;
        }
    }
    counts[0] = 3;
    margins.add_up(&mut counts);
    (job, counts)
}

/// Which questions are asked follows from what is released; what is opened on the way to their answers is masked.
#[test]
fn messages_of_a_table_with_totals_look_uniform() {
    let shapes: [(Form, &[usize]); 2] = [(Form::Cube, &[3, 4]), (Form::Rollup, &[2, 5])];
    for (form, groups) in shapes {
        let mut places = Places::default();
        let mut n_held = 0;
        for seed in 7000..7060 {
            let (job, counts) = with_a_small_cell(form, groups, seed);
            let world = job.world().recorded();
            let logs = world.logs();
            let released = all_ok(job.run(world, inputs(&job, &counts, &mut prg(31))));
            let released = released
                .into_iter()
                .next()
                .flatten()
                .expect("seat 0 receives");
            let states = released.states.expect("a table with totals");
            n_held = states.iter().filter(|s| **s == CellState::Protects).count();
            places.add(&transcripts(&logs), &[]);
        }
        assert!(n_held > 0, "something was asked");
        // Of each question one bit a candidate is opened: two to four of them, or five.
        places.check(Some(&[2, 3, 4, 5]), &format!("{form:?} {groups:?}"));
    }
}

#[test]
fn a_cut_of_a_table_with_totals_ends_every_seat() {
    let (job, counts) = with_a_small_cell(Form::Cube, &[2, 3], 41);
    let run = |world| job.run(world, inputs(&job, &counts, &mut prg(42)));
    let expected = oracle::release(&inputs(&job, &counts, &mut prg(42)), &job.shape);
    let whole = run(job.world());
    let n_sent: Vec<u64> = whole
        .iter()
        .map(|ended| ended.traffic.messages_sent.iter().sum())
        .collect();
    all_ok(whole);
    let mut n_cuts = 0;
    // A holder that receives nothing, and the dealer.
    for seat in [Seat(1), Seat(3)] {
        for at_message in 0..n_sent[seat.index()] {
            let cut = Some(Cut { seat, at_message });
            let world = job.world().on(sim::network(4, LinkModel::LAN, cut));
            let mut n_failed = 0;
            for (seat, ended) in Seat::first(4).zip(run(world)) {
                match ended.outcome {
                    Ok(None) => assert!(seat != Seat(0), "the receiver has a result or an error"),
                    Ok(Some(released)) => assert!(released == expected, "{seat} after {cut:?}"),
                    Err(ProtocolError::Link {
                        seat: culprit,
                        cause: LinkError::Closed,
                    }) if culprit != seat => n_failed += 1,
                    Err(other) => panic!("{seat} after {cut:?}: {other}"),
                }
            }
            assert!(n_failed >= 1, "{cut:?}");
            n_cuts += 1;
        }
    }
    assert!(n_cuts > 20, "{n_cuts}");
}
