//! Figures of scores against counting all pairs.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::evaluate::{self, Asks, Figures, Rows, Shape};
use protocols::wire::Kind;

#[derive(Clone, Copy, Debug)]
struct Scores {
    n_rows: usize,
    /// Fewer different scores make more ties.
    n_values: u64,
    at_least: u64,
    asks: Asks,
    min_cell: u64,
    method: Method,
}

const PLAIN: Scores = Scores {
    n_rows: 60,
    n_values: 20,
    at_least: 3,
    asks: NOTHING,
    min_cell: 0,
    method: Method::Masked,
};

const NOTHING: Asks = Asks {
    losses: false,
    calibration: false,
    lift: false,
    confusion: false,
    stability: false,
};

/// Scores that are hardly ever the same, within ±10, and everything asked for.
const ALL: Scores = Scores {
    n_rows: 120,
    n_values: 80_000,
    asks: Asks {
        losses: true,
        calibration: true,
        lift: true,
        confusion: true,
        stability: true,
    },
    ..PLAIN
};

impl Scores {
    fn shape(&self) -> Shape {
        Shape {
            n_rows: self.n_rows,
            score_bits: 24,
            at_least: self.at_least,
            asks: self.asks,
            min_cell: self.min_cell,
            method: self.method,
        }
    }

    /// Score and label of each row; no label where it does not count.
    fn rows(&self, secrets: u64) -> Vec<(i64, Option<bool>)> {
        let values = below(secrets, 1, self.n_values, self.n_rows);
        let labels = below(secrets, 2, 5, self.n_rows);
        let middle = self.n_values as i64 / 2;
        let row = |(value, label): (&u64, &u64)| {
            let label = match label {
                0 => None,
                1 => Some(true),
                2 => Some(*value as i64 > middle),
                _ => Some(false),
            };
            (*value as i64 - middle, label)
        };
        values.iter().zip(&labels).map(row).collect()
    }
}

impl Case for Scores {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let rows = self.rows(secrets);
        let mark = |wanted: bool| {
            let marks = rows.iter().map(|(_, label)| *label == Some(wanted));
            marks.map(u64::from).collect::<Vec<u64>>()
        };
        // With bits below the 12 that count: half of a unit, which no rounding may take up.
        let scores = rows
            .iter()
            .map(|(score, _)| ((score << 12) + (1 << 11)) as u64);
        let mut columns = vec![scores.collect(), mark(true), mark(false)];
        if self.asks.stability {
            let base = rows.iter().map(|(_, label)| u64::from(label.is_none()));
            columns.push(base.collect());
        }
        Clear::of_ring(columns)
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let rows = self.rows(secrets);
        let of = |wanted: bool| {
            let found = rows.iter().filter(move |(_, label)| *label == Some(wanted));
            found.map(|(score, _)| *score).collect::<Vec<i64>>()
        };
        let (bad, good) = (of(true), of(false));
        if (bad.len().min(good.len()) as u64) < self.at_least {
            return Clear::of_ring(vec![vec![0; evaluate::N_FIGURES]]);
        }
        let pairs = bad.iter().flat_map(|b| good.iter().map(move |g| (b, g)));
        let twice = pairs.map(|(b, g)| u64::from(b > g) + u64::from(b >= g));
        let distance = |(at, _): &(i64, Option<bool>)| {
            let up_to = |scores: &[i64]| scores.iter().filter(|s| *s <= at).count();
            let first = up_to(&bad) * good.len();
            first.abs_diff(up_to(&good) * bad.len()) as u64
        };
        let greatest = rows.iter().map(distance).max().expect("there are rows");
        let counts = [bad.len() as u64, good.len() as u64];
        let figures = counts.into_iter().chain([twice.sum(), greatest]);
        Clear::of_ring(vec![figures.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        evaluate::price(seats, &self.shape())
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut columns = inputs.ring.into_iter();
        let mut next = || columns.next().expect("a column");
        let rows = Rows {
            scores: next(),
            bad: next(),
            good: next(),
            base: columns.next(),
        };
        let figures = evaluate::evaluate(session, rows, &self.shape(), stock).await?;
        Ok(Shared {
            ring: vec![figures],
            bits: vec![],
        })
    }
}

#[test]
fn figures_are_those_of_all_pairs() {
    for (n_rows, n_values) in [(1, 1), (2, 2), (60, 20), (61, 3), (150, 4000)] {
        for n_computing in [2, 3, 5] {
            let case = Scores {
                n_rows,
                n_values,
                ..PLAIN
            };
            demands::check_result(&case, n_computing, 3);
        }
        let method = Method::Summed;
        let case = Scores {
            n_rows,
            n_values,
            method,
            at_least: 0,
            ..PLAIN
        };
        demands::check_result(&case, 2, 4);
    }
    let few = Scores {
        at_least: 40,
        ..PLAIN
    };
    demands::check_result(&few, 2, 5);
}

#[test]
fn revealed_figures_are_parts_of_all_pairs() {
    let found = Figures::of(&[2, 5, 13, 4], NOTHING).expect("figures");
    assert_eq!((found.auc, found.ks), (0.65, 0.4));
    assert_eq!(Figures::of(&[0; 4], NOTHING), None);
}

/// The rows that count as score and label, the lowest score first, and the scores of the base.
type Ranked = (Vec<(f64, bool)>, Vec<f64>);

fn ranked(case: &Scores, secrets: u64) -> Ranked {
    let mut rows = case.rows(secrets);
    rows.sort_by_key(|(score, _)| *score);
    let score = |score: i64| (score as f64 + 0.5) / 4096.0;
    let counted = rows
        .iter()
        .filter_map(|(s, label)| Some((score(*s), (*label)?)));
    let base = rows.iter().filter(|(_, label)| label.is_none());
    (counted.collect(), base.map(|(s, _)| score(*s)).collect())
}

/// Rows at a score and above: bad ones and good ones.
fn above(rows: &[(f64, bool)], is_above: impl Fn(usize) -> bool) -> [u64; 2] {
    let mut counts = [0; 2];
    for (i, (_, is_bad)) in rows.iter().enumerate() {
        counts[usize::from(!is_bad)] += u64::from(is_above(i));
    }
    counts
}

fn counts(found: evaluate::Above) -> [u64; 2] {
    [found.bad, found.good]
}

fn check_losses(found: &Figures, rows: &[(f64, bool)]) {
    let n = rows.len() as f64;
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for (score, is_bad) in rows {
        let p = 1.0 / (1.0 + (-score).exp());
        log_loss -= if *is_bad { p.ln() } else { (1.0 - p).ln() } / n;
        brier += (f64::from(u8::from(*is_bad)) - p).powi(2) / n;
    }
    let losses = found.losses.expect("losses");
    // The logarithm is of risks up to 2^−20 too large.
    assert!(
        (losses.log_loss - log_loss).abs() < 1e-3,
        "{losses:?} {log_loss}"
    );
    assert!((losses.brier - brier).abs() < 1e-5, "{losses:?} {brier}");
}

/// Tenths as pandas' qcut parts ranks.
fn check_calibration(found: &Figures, rows: &[(f64, bool)]) {
    let tenths = &found.calibration.as_ref().expect("tenths").tenths;
    assert_eq!(tenths.len(), 10);
    let tenth_of = |i: usize| (1..=10).find(|k| 10 * i <= (rows.len() - 1) * k);
    for (k, (counted, risk)) in (1..).zip(tenths) {
        let expected = above(rows, |i| tenth_of(i) == Some(k));
        assert_eq!(counts(*counted), expected, "tenth {k}");
        let own = rows
            .iter()
            .enumerate()
            .filter(|(i, _)| tenth_of(*i) == Some(k));
        let own: Vec<f64> = own.map(|(_, (s, _))| 1.0 / (1.0 + (-s).exp())).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        assert!((risk - mean).abs() < 1e-5, "tenth {k}: {risk} {mean}");
    }
}

fn check_confusion(found: &Figures, rows: &[(f64, bool)]) {
    let n = rows.len();
    let confusion = found.confusion.expect("a confusion matrix");
    assert_eq!(counts(confusion.at_half), above(rows, |i| rows[i].0 >= 0.0));
    let refused = above(rows, |i| 10 * i > 7 * (n - 1));
    assert_eq!(counts(confusion.at_approval), refused);
    let distance = |cut: usize| {
        let [bad, good] = above(rows, |i| i >= cut);
        (bad as f64 / found.n_bad as f64 - good as f64 / found.n_good as f64).abs()
    };
    let [bad, good] = counts(confusion.at_ks);
    let is_cut = |cut: &usize| above(rows, |i| i >= *cut) == [bad, good];
    let cut = (0..n).find(is_cut).expect("a score");
    assert!((distance(cut) - found.ks).abs() < 1e-12, "{found:?}");
}

/// Both samples between tenths of the base, with scores turned round: more is better. A quantile of type 7 lies between two
/// rows of the base; what is above the lower one is above it.
fn check_stability(found: &Figures, (rows, base): &Ranked) {
    let stability = found.stability.as_ref().expect("two samples");
    let turned: Vec<f64> = base.iter().rev().map(|s| -s).collect();
    let edges: Vec<f64> = (1..10)
        .map(|k| turned[(turned.len() - 1) * k / 10])
        .collect();
    let cell = |score: f64| edges.iter().filter(|edge| **edge < -score).count();
    let mut expected = [[0u64; 10]; 2];
    base.iter().for_each(|s| expected[0][cell(*s)] += 1);
    rows.iter().for_each(|(s, _)| expected[1][cell(*s)] += 1);
    assert_eq!(stability.base, expected[0]);
    assert_eq!(stability.rows, expected[1]);
}

#[test]
fn further_figures_are_those_of_sorted_rows() {
    for (secrets, n_computing, method) in [
        (31, 2, Method::Masked),
        (32, 3, Method::Masked),
        (33, 2, Method::Summed),
    ] {
        println!("secrets {secrets}");
        let case = Scores { method, ..ALL };
        let found = demands::found(&case, n_computing, secrets);
        let found = Figures::of(&found.ring[0], ALL.asks).expect("figures");
        let ranked = ranked(&case, secrets);
        let rows = &ranked.0;
        check_losses(&found, rows);
        check_calibration(&found, rows);
        let n = rows.len();
        let top = above(rows, |i| i >= n - n.div_ceil(10));
        assert_eq!(counts(found.lift.expect("a tenth")), top);
        check_confusion(&found, rows);
        check_stability(&found, &ranked);
    }
}

/// What is asked for of the same rows one by one is what is found of it beside everything else.
#[test]
fn each_further_figure_comes_alone() {
    let all = demands::found(&ALL, 2, 34);
    let all = Figures::of(&all.ring[0], ALL.asks).expect("figures");
    let alone = |ask: fn(&mut Asks)| {
        let mut asks = NOTHING;
        ask(&mut asks);
        let found = demands::found(&Scores { asks, ..ALL }, 2, 34);
        Figures::of(&found.ring[0], asks).expect("figures")
    };
    let brier = |found: &Figures| found.losses.expect("losses").brier;
    let losses = alone(|asks| asks.losses = true);
    assert!((brier(&losses) - brier(&all)).abs() < 1e-6);
    assert_eq!(alone(|asks| asks.lift = true).lift, all.lift);
    assert_eq!(alone(|asks| asks.confusion = true).confusion, all.confusion);
    assert_eq!(alone(|asks| asks.stability = true).stability, all.stability);
    let tenths = |found: &Figures| {
        let tenths = found.calibration.as_ref().expect("tenths").tenths.iter();
        tenths.map(|(rows, _)| *rows).collect::<Vec<_>>()
    };
    assert_eq!(tenths(&alone(|asks| asks.calibration = true)), tenths(&all));
}

/// Cells that are too small take their group with them, and nothing else.
#[test]
fn groups_with_small_cells_are_not_told() {
    let figures = |min_cell: u64, asks: Asks| {
        let case = Scores {
            asks,
            min_cell,
            ..ALL
        };
        let found = demands::found(&case, 2, 35);
        Figures::of(&found.ring[0], asks).expect("figures")
    };
    let (rows, _) = ranked(&ALL, 35);
    // Some tenth has no bad rows or no good ones, but each side of the score 0 has enough.
    let found = figures(2, ALL.asks);
    assert!(found.calibration.is_none() && found.losses.is_some() && found.auc > 0.0);
    let alone = Asks {
        confusion: true,
        ..NOTHING
    };
    let all = figures(0, alone).confusion.expect("told");
    let mut cuts = [all.at_half, all.at_approval, all.at_ks].map(counts);
    cuts.sort_unstable();
    let ends = [[0; 2], [found.n_bad, found.n_good]];
    let cuts: Vec<[u64; 2]> = [ends[0]].into_iter().chain(cuts).chain([ends[1]]).collect();
    let least = cuts.windows(2).filter(|pair| pair[0] != pair[1]);
    let least = least.flat_map(|pair| [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]]);
    let least = least.min().expect("cells");
    println!("{} rows, the smallest cell has {least}", rows.len());
    assert_eq!(figures(least.max(2), alone).confusion.is_some(), least >= 2);
    assert_eq!(figures(least.max(2) + 1, alone).confusion, None);
    // Of samples, cells without rows are told.
    let alone = Asks {
        stability: true,
        ..NOTHING
    };
    let all = figures(0, alone).stability.expect("told");
    let cells = all.base.iter().chain(&all.rows).filter(|n| **n > 0);
    let least = *cells.min().expect("cells");
    assert_eq!(figures(least, alone).stability, Some(all));
    assert_eq!(figures(least.max(1) + 1, alone).stability, None);
}

/// Of n = 10·k + 1 rows the tenth rounded up has a row more than the last decile: whoever saw both would know its label.
#[test]
fn a_tenth_is_not_told_beside_deciles_that_part_a_row_of_it() {
    let parts_one = |secrets: &u64| ranked(&ALL, *secrets).0.len() % 10 == 1;
    let secrets = (100..200).find(parts_one).expect("such rows");
    println!("secrets {secrets}");
    let told = |calibration: bool| {
        let asks = Asks {
            lift: true,
            calibration,
            ..NOTHING
        };
        let case = Scores {
            asks,
            min_cell: 2,
            ..ALL
        };
        let found = demands::found(&case, 2, secrets);
        let found = Figures::of(&found.ring[0], asks).expect("figures");
        found.lift.is_some()
    };
    let rows = ranked(&ALL, secrets).0;
    let top = above(&rows, |i| i >= rows.len() - rows.len().div_ceil(10));
    assert_eq!(told(false), top.iter().all(|n| *n >= 2), "{top:?}");
    assert!(!told(true));
}

#[test]
fn evaluations_are_held_to_all_demands() {
    for n_computing in [2, 3, 5] {
        demands::check_price(&PLAIN, n_computing);
        let all = Scores {
            n_rows: 40,
            min_cell: 2,
            ..ALL
        };
        demands::check_price(&all, n_computing);
    }
    let small = Scores {
        n_rows: 20,
        min_cell: 2,
        ..ALL
    };
    demands::check_outline(&small, 2);
    demands::check_empty_stock(&small);
    demands::check_outline(&PLAIN, 3);
    demands::check_empty_stock(&PLAIN);
    demands::check_cuts(&Scores { n_rows: 3, ..PLAIN });
    demands::check_cuts(&Scores { n_rows: 3, ..small });
}

#[test]
fn evaluations_run_from_every_source() {
    demands::check_sources(&PLAIN);
}

/// Scores that are far from random still make messages that look uniform, and nothing is opened without a mask
/// but how two rows of a shuffled table compare.
#[test]
fn evaluations_send_what_looks_uniform() {
    let case = Scores {
        n_rows: 64,
        ..PLAIN
    };
    // Sums of all rows are one lane or two, and the greatest distance is found by halves.
    let lanes = [1, 2, 4, 8, 16, 32];
    demands::check_uniform_lanes_but(&case, 40, &lanes, &[Kind::MaskedBits]);
}

/// The same with everything asked for, and small cells to be found.
#[test]
fn further_figures_send_what_looks_uniform() {
    let case = Scores {
        n_rows: 64,
        min_cell: 2,
        ..ALL
    };
    // As above; and three groups of figures, twice ten cells of two samples, and the pairs of cuts between which cells lie.
    let lanes = [1, 2, 3, 4, 8, 16, 20, 32, 103];
    demands::check_uniform_lanes_but(&case, 40, &lanes, &[Kind::MaskedBits]);
}
