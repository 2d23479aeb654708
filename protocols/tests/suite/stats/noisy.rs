//! Releases with noise: the protocol with next to none, the sampler against its exact distribution, and what noise promises.

use std::sync::Mutex;

use super::{at_receiver, check_not_approved, receivers, released};
use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case, below};
use crate::world::{World, all_ok, prg};
use engine::noise::{Deviation, discrete_gaussian, discrete_laplace};
use protocols::aggregate::{
    CellRule, Check, LocalTotals, NoisyShape, ReleaseShape, Released, noisy_release,
};
use protocols::correlate::{self, Source, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::oracle;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;

fn deviation(numerator: u64, shift: u32) -> Deviation {
    Deviation::new(numerator, shift).expect("allowed")
}

/// A deviation of 1/256, whose noise is 0 but with probability exp(−2¹⁵).
#[derive(Debug)]
struct Quiet {
    cells: usize,
    n_checks: usize,
}

impl Quiet {
    fn shape(&self, n_computing: usize) -> NoisyShape {
        let check = |column| Check {
            column,
            at_least: 9,
            bound_bits: 10,
        };
        let (narrow, wide) = (2, 1);
        NoisyShape {
            release: ReleaseShape {
                cells: self.cells,
                narrow,
                compared: 0,
                wide,
                checks: (0..self.n_checks).map(check).collect(),
                receivers: receivers(n_computing),
                mode: match self.n_checks {
                    0 => CellRule::None,
                    _ => CellRule::Compare,
                },
            },
            holders: Seat::first(n_computing).collect(),
            narrow: vec![deviation(1, 8); narrow],
            wide: vec![deviation(1, 8); wide],
        }
    }

    fn input(&self, secrets: u64, seat: usize) -> LocalTotals {
        let seed = 16 * secrets + seat as u64;
        let column = |stream| below(seed, stream, 9, self.cells);
        LocalTotals {
            narrow: vec![column(1), column(2)],
            wide: vec![column(3).into_iter().map(u128::from).collect()],
        }
    }
}

fn clear(found: &Released) -> Clear<u128> {
    let ok = found.ok.iter().map(|ok| u128::from(*ok)).collect();
    let narrow = found
        .narrow
        .iter()
        .map(|c| c.iter().map(|v| u128::from(*v)).collect());
    let all = std::iter::once(ok)
        .chain(narrow)
        .chain(found.wide.iter().cloned());
    let n_cells = found.ok.len();
    released(all.map(|mut column: Vec<u128>| {
        column.resize(n_cells, 0);
        column
    }))
}

impl Case for Quiet {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        clear(&oracle::release(&inputs, &self.shape(n_computing).release))
    }

    fn price(&self, seats: Seats) -> Price {
        self.shape(seats.n_computing).price(seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let input = self.input(secrets, session.seat().index());
        let disclosure = Disclosure::approved(shape.terms());
        let stock = std::mem::replace(stock, Stock::empty());
        let found = noisy_release(session, input, &shape, stock, disclosure).await?;
        at_receiver(session, found.as_ref().map(clear), 4)
    }
}

#[test]
fn releases_with_next_to_no_noise_are_those_without() {
    for n_checks in [0, 1, 2] {
        demands::check_all(&Quiet { cells: 9, n_checks });
    }
    demands::check_sources(&Quiet {
        cells: 70,
        n_checks: 1,
    });
}

#[test]
fn messages_of_releases_with_noise_look_uniform() {
    let case = Quiet {
        cells: 64,
        n_checks: 1,
    };
    demands::check_uniform_lanes(&case, 40, &[]);
}

/// One column of counts at every seat, released with noise, to seat 0.
struct Counts {
    counts: Vec<Vec<u64>>,
    holders: Vec<Seat>,
    deviation: Deviation,
    at_least: Option<u64>,
}

impl Counts {
    fn shape(&self) -> NoisyShape {
        let check = |at_least| Check {
            column: 0,
            at_least,
            bound_bits: 20,
        };
        NoisyShape {
            release: ReleaseShape {
                cells: self.counts[0].len(),
                narrow: 1,
                compared: 0,
                wide: 0,
                checks: self.at_least.into_iter().map(check).collect(),
                receivers: vec![Seat(0)],
                mode: match self.at_least {
                    None => CellRule::None,
                    Some(_) => CellRule::Compare,
                },
            },
            holders: self.holders.clone(),
            narrow: vec![self.deviation],
            wide: vec![],
        }
    }

    /// What seat 0 gets, as signed numbers, and which cells those are.
    fn released(&self, seed: u64) -> (Vec<bool>, Vec<i64>) {
        let shape = self.shape();
        let n = self.counts.len();
        let needs = shape.price(Seats::computing(n)).needs;
        let inputs = Mutex::new(self.counts.clone());
        let ended = World::new(n, seed).run(async |session| {
            let seat = session.seat().index();
            let mine = std::mem::take(&mut inputs.lock().expect("no panic")[seat]);
            let totals = LocalTotals {
                narrow: vec![mine],
                wide: vec![],
            };
            let stock = correlate::preprocess(session, &Source::Ot, &needs).await?;
            let disclosure = Disclosure::approved(shape.terms());
            noisy_release(session, totals, &shape, stock, disclosure).await
        });
        let released = all_ok(ended).swap_remove(0).expect("seat 0 receives");
        let values = released.narrow[0].iter().map(|n| n.cast_signed());
        (released.ok, values.collect())
    }
}

/// The noise of a session follows from its seed, so that a run with a check can be compared with one without: exactly the
/// cells pass whose count with its noise does, negative ones included.
#[test]
fn what_is_compared_is_the_count_with_its_noise() {
    let counts = Counts {
        counts: vec![vec![4; 500], vec![3; 500], vec![0; 500]],
        holders: Seat::first(3).collect(),
        deviation: deviation(5, 0),
        at_least: None,
    };
    let (_, all) = counts.released(41);
    assert!(all.iter().any(|n| *n < 0), "some counts are negative");
    let (ok, passed) = Counts {
        at_least: Some(10),
        ..counts
    }
    .released(41);
    let expected: Vec<bool> = all.iter().map(|n| *n >= 10).collect();
    assert_eq!(ok, expected);
    let expected: Vec<i64> = all.into_iter().filter(|n| *n >= 10).collect();
    assert_eq!(passed, expected);
}

/// Every holder adds the whole of its noise: variances add up, and no two holders draw the same.
#[test]
fn each_holder_adds_noise_of_its_own() {
    const CELLS: usize = 20_000;
    for n_holders in [1, 2, 3] {
        let counts = Counts {
            counts: vec![vec![7; CELLS]; 3],
            holders: Seat::first(n_holders).collect(),
            deviation: deviation(40, 2),
            at_least: None,
        };
        let (_, found) = counts.released(42);
        let noise = found.into_iter().map(|n| (n - 21) as f64);
        let square: f64 = noise.map(|x| x * x).sum::<f64>() / CELLS as f64;
        let expected = 100.0 * n_holders as f64;
        println!("{n_holders} holders: variance {square}");
        // Five deviations of a mean of squares: 5·√(2/20000) = 5 %.
        assert!(
            (square / expected - 1.0).abs() < 0.05,
            "{n_holders}: {square}"
        );
    }
}

/// Draws, and how often each whole number from −`most` to `most` is drawn; further ones are in the outermost bins.
fn drawn(n: usize, most: i64, mut draw: impl FnMut() -> i64) -> Vec<u64> {
    let mut counts = vec![0; 2 * most as usize + 1];
    for _ in 0..n {
        let x = draw().clamp(-most, most);
        counts[(x + most) as usize] += 1;
    }
    counts
}

/// The same from weights, which need not add up to 1.
fn expected(n: usize, most: i64, weight: impl Fn(f64) -> f64) -> Vec<f64> {
    let far = 40 * most;
    let all: f64 = (-far..=far).map(|x| weight(x as f64)).sum();
    let mut bins = vec![0.0; 2 * most as usize + 1];
    for x in -far..=far {
        bins[(x.clamp(-most, most) + most) as usize] += weight(x as f64) / all * n as f64;
    }
    bins
}

const N_DRAWS: usize = 1_000_000;

#[test]
fn the_discrete_gaussian_is_drawn_from_its_exact_distribution() {
    for (numerator, shift, most) in [(1, 0, 3), (5, 2, 4), (9, 0, 30), (2561, 8, 33)] {
        let sigma = numerator as f64 / f64::from(1u32 << shift);
        let mut prg = prg(numerator);
        let observed = drawn(N_DRAWS, most, || {
            discrete_gaussian(&mut prg, deviation(numerator, shift))
        });
        let of = |sigma: f64| expected(N_DRAWS, most, |x| (-x * x / (2.0 * sigma * sigma)).exp());
        chi_square::check(&observed, &of(sigma), &format!("σ = {sigma}"));
        // A deviation that is off by one in a hundred would be noticed.
        assert!(
            !chi_square::fits(&observed, &of(1.01 * sigma)),
            "σ = {sigma}"
        );
    }
}

#[test]
fn the_discrete_laplace_is_drawn_from_its_exact_distribution() {
    for (numerator, shift, most) in [(1, 0, 6), (3, 1, 8), (7, 0, 30)] {
        let t = numerator as f64 / f64::from(1u32 << shift);
        let mut prg = prg(100 + numerator);
        let scale = deviation(numerator, shift);
        let observed = drawn(N_DRAWS, most, || {
            discrete_laplace(&mut prg, scale).expect("40 scales have probability exp(−40)")
        });
        let of = |t: f64| expected(N_DRAWS, most, |x| (-x.abs() / t).exp());
        chi_square::check(&observed, &of(t), &format!("t = {t}"));
        assert!(!chi_square::fits(&observed, &of(1.01 * t)), "t = {t}");
    }
}

/// The largest excess of P(E) over e^ε·P'(E) + δ, in deviations of its estimate, over all events that a threshold makes of what
/// is released of two neighbouring tables.
fn excess(sigma: Deviation, (epsilon, delta): (f64, f64)) -> f64 {
    const CELLS: usize = 200_000;
    let sample = |person: u64, seed: u64| {
        let counts = Counts {
            counts: vec![vec![20 + person; CELLS], vec![5; CELLS]],
            // What the others know of their own noise they take off: here they add none.
            holders: vec![Seat(0)],
            deviation: sigma,
            at_least: None,
        };
        counts.released(seed).1
    };
    let (without, with) = (sample(0, 43), sample(1, 44));
    let most = 40;
    let share = |sample: &[i64], holds: &dyn Fn(i64) -> bool| {
        sample.iter().filter(|x| holds(**x)).count() as f64 / CELLS as f64
    };
    let mut worst = f64::NEG_INFINITY;
    for t in 25 - most..25 + most {
        for (p, q) in [
            (share(&with, &|x| x >= t), share(&without, &|x| x >= t)),
            (share(&without, &|x| x < t), share(&with, &|x| x < t)),
        ] {
            let over = p - epsilon.exp() * q - delta;
            let error = ((p + (2.0 * epsilon).exp() * q) / CELLS as f64)
                .sqrt()
                .max(1e-6);
            worst = worst.max(over / error);
        }
    }
    println!("{sigma:?}: {worst} deviations over the bound");
    worst
}

/// `dp_audit`: what is promised holds of what is released, and would not with a third of the noise.
#[test]
fn dp_audit_neighbouring_tables_are_told_apart_no_better_than_promised() {
    // ρ = 1/2σ², ε = ρ + 2·√(ρ·ln(1/δ)).
    let (sigma, delta) = (4.0f64, 1e-5f64);
    let rho = 1.0 / (2.0 * sigma * sigma);
    let epsilon = rho + 2.0 * (rho * (1.0 / delta).ln()).sqrt();
    assert!(excess(deviation(4, 0), (epsilon, delta)) < 4.0);
    assert!(excess(deviation(1, 0), (epsilon, delta)) > 10.0);
}

/// Whatever is not as it was approved is refused, less noise above all.
#[test]
fn noise_that_was_not_approved_is_refused_before_anything_is_sent() {
    let case = Quiet {
        cells: 4,
        n_checks: 1,
    };
    let approved = case.shape(2);
    let edits: [(&str, fn(&mut NoisyShape)); 4] = [
        ("other noise", |s| s.narrow[1] = deviation(1, 7)),
        ("other wide noise", |s| s.wide[0] = deviation(2, 8)),
        ("fewer holders", |s| s.holders.truncate(1)),
        ("another minimum", |s| s.release.checks[0].at_least = 2),
    ];
    for (what, edit) in edits {
        let mut shape = approved.clone();
        edit(&mut shape);
        check_not_approved(what, async |session| {
            let input = case.input(1, session.seat().index());
            let disclosure = Disclosure::approved(approved.terms());
            noisy_release(session, input, &shape, Stock::empty(), disclosure).await
        });
    }
}

/// Shapes that would compare wrongly, or leave a column without noise.
#[test]
fn shapes_that_do_not_fit_are_refused() {
    let edits: [(&str, fn(&mut NoisyShape)); 7] = [
        ("a column without noise", |s| s.narrow.truncate(1)),
        ("a wide column without noise", |s| s.wide.clear()),
        ("nobody's noise", |s| s.holders.clear()),
        ("a holder that does not compute", |s| {
            s.holders.push(Seat(7))
        }),
        ("a holder twice", |s| s.holders.push(Seat(1))),
        ("counts of 63 bits", |s| s.release.checks[0].bound_bits = 63),
        ("a count checked twice", |s| {
            let check = s.release.checks[0];
            s.release.checks.push(check);
        }),
    ];
    for (what, edit) in edits {
        let mut shape = Quiet {
            cells: 4,
            n_checks: 1,
        }
        .shape(2);
        assert!(shape.check(2).is_ok());
        edit(&mut shape);
        assert!(shape.check(2).is_err(), "{what}");
    }
}
