//! Curves of survival and the log-rank test, held to floats within the bounds of [`protocols::stats::survival`].

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below, found};
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::survival::{self, Counts, FRAC_BITS, SurvivalShape};

/// The counts of one arm over all seats: many times without events or without anybody, the last with all that are left.
type Arm = (Vec<u64>, Vec<u64>);

fn shape(arms: usize, times: usize, rows_bits: u32) -> SurvivalShape {
    SurvivalShape {
        arms,
        times,
        rows_bits,
        method: Method::Summed,
    }
}

fn arms(shape: SurvivalShape, secrets: u64) -> Vec<Arm> {
    let most = (1u64 << shape.rows_bits) - 1;
    let at_once = (most / (shape.arms * shape.times) as u64).max(1);
    let arm = |arm: usize| {
        let draw =
            |stream: u64, bound: u64| below(secrets, 8 * arm as u64 + stream, bound, shape.times);
        let (kinds, sizes, parts) = (draw(0, 4), draw(1, at_once + 1), draw(2, u64::MAX));
        let persons: Vec<u64> = kinds
            .iter()
            .zip(&sizes)
            .map(|(kind, n)| if *kind == 0 { 0 } else { *n })
            .collect();
        let events = kinds.iter().zip(&persons).zip(&parts);
        let events = events.map(|((kind, n), part)| match kind {
            1 => 0,
            2 => *n,
            _ => part % (n + 1),
        });
        let events = events.collect();
        (persons, events)
    };
    (0..shape.arms).map(arm).collect()
}

/// One seat's part: what the others' parts leave.
fn counts(shape: SurvivalShape, secrets: u64, session: &Session) -> Counts {
    let (seat, n) = (session.seat().index() as u64, session.n_computing() as u64);
    let part = |total: &u64| {
        let even = total / n;
        u128::from(if seat == 0 {
            total - even * (n - 1)
        } else {
            even
        })
    };
    let all = arms(shape, secrets);
    let flat = |of: fn(&Arm) -> &Vec<u64>| all.iter().flat_map(of).map(part).collect();
    Counts {
        persons: Share::new(flat(|arm| &arm.0)),
        events: Share::new(flat(|arm| &arm.1)),
    }
}

#[derive(Debug)]
struct Curve {
    shape: SurvivalShape,
    through: Vec<usize>,
}

impl Case for Curve {
    type R = u128;

    fn price(&self, seats: Seats) -> Price {
        survival::curves_price(seats, self.shape, self.through.len())
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let counts = counts(self.shape, secrets, session);
        let found =
            survival::kaplan_meier(session, &counts, self.shape, &self.through, stock).await?;
        Ok(Shared {
            ring: vec![found.survival, found.greenwood],
            bits: vec![],
        })
    }
}

/// How many times come before the median.
#[derive(Debug)]
struct Median(Curve);

impl Case for Median {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let arms = arms(self.0.shape, secrets);
        let before = arms
            .iter()
            .map(|(persons, events)| survival::curve_oracle(persons, events, &[]).1);
        Clear::of_ring(vec![before.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        self.0.price(seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let Curve { shape, through } = &self.0;
        let counts = counts(*shape, secrets, session);
        let found = survival::kaplan_meier(session, &counts, *shape, through, stock).await?;
        Ok(Shared {
            ring: vec![found.before_median],
            bits: vec![],
        })
    }
}

#[derive(Debug)]
struct Ranks(SurvivalShape);

impl Case for Ranks {
    type R = u128;

    fn price(&self, seats: Seats) -> Price {
        survival::log_rank_price(seats, self.0)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let counts = counts(self.0, secrets, session);
        let found = survival::log_rank(session, &counts, self.0, stock).await?;
        Ok(Shared {
            ring: vec![found.expected, found.covariances],
            bits: vec![],
        })
    }
}

/// [`Counts`] of one seat, lifted from Z_2^64.
#[derive(Debug)]
struct Lifted(u32, usize);

impl Case for Lifted {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let parts = (0..n_computing).map(|seat| lifted_input(self, secrets, seat));
        let sum = parts.fold(vec![0u64; self.1], |sum, part| {
            let both = sum.iter().zip(&part);
            both.map(|(a, b)| a.wrapping_add(*b)).collect()
        });
        let below = |n: &u64| u128::from(n & ((1 << self.0) - 1));
        Clear::of_ring(vec![sum.iter().map(below).collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        survival::lifted_price(seats, self.1, (self.0, Method::Summed))
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let counts = Share::new(lifted_input(self, secrets, session.seat().index()));
        let form = (self.0, Method::Summed);
        let found = survival::lifted(session, &counts, form, stock).await?;
        Ok(Shared {
            ring: vec![found],
            bits: vec![],
        })
    }
}

/// A seat's share: any number of the ring, of which the lowest bits count.
fn lifted_input(case: &Lifted, secrets: u64, seat: usize) -> Vec<u64> {
    let stream = 100 + u64::from(case.0) + seat as u64;
    below(secrets, stream, u64::MAX, case.1)
}

fn real(value: u128, frac_bits: u32) -> f64 {
    value.cast_signed() as f64 / 2f64.powi(frac_bits.cast_signed())
}

fn two_to(power: i32) -> f64 {
    2f64.powi(power)
}

#[track_caller]
fn check_curve(case: &Curve, n_computing: usize, secrets: u64) {
    let clear = found(case, n_computing, secrets);
    let SurvivalShape {
        times, rows_bits, ..
    } = case.shape;
    let b = rows_bits.cast_signed();
    let arms = arms(case.shape, secrets);
    let expected = arms
        .iter()
        .flat_map(|(persons, events)| survival::curve_oracle(persons, events, &case.through).0);
    let bits = survival::greenwood_bits(rows_bits);
    for (place, [s, g]) in expected.enumerate() {
        let got = real(clear.ring[0][place], FRAC_BITS);
        let bound = two_to(-33) + times as f64 * two_to(b - 60);
        assert!((got - s).abs() <= bound, "{case:?}: {got} instead of {s}");
        let got = real(clear.ring[1][place], bits);
        let bound = two_to(-(2 * b + 23)) + two_to(b - 59) * g + g * 1e-14;
        assert!((got - g).abs() <= bound, "{case:?}: {got} instead of {g}");
    }
}

#[track_caller]
fn check_ranks(shape: SurvivalShape, n_computing: usize, secrets: u64) {
    let clear = found(&Ranks(shape), n_computing, secrets);
    let (persons, events): (Vec<_>, Vec<_>) = arms(shape, secrets).into_iter().unzip();
    let (expected, covariances) = survival::log_rank_oracle(&persons, &events);
    let b = shape.rows_bits.cast_signed();
    let all: f64 = events.iter().flatten().map(|d| *d as f64).sum();
    for (got, e) in clear.ring[0].iter().zip(&expected) {
        let (got, bound) = (real(*got, FRAC_BITS), two_to(-33) + two_to(b - 60) * all);
        let float = all * 1e-13;
        assert!(
            (got - e).abs() <= bound + float,
            "{shape:?}: {got} instead of {e}"
        );
    }
    for (got, v) in clear.ring[1].iter().zip(&covariances) {
        let got = real(*got, FRAC_BITS);
        let bound = two_to(-33) + shape.times as f64 * two_to(b - 60) + two_to(b - 58) * all;
        let float = all * 1e-13;
        assert!(
            (got - v).abs() <= bound + float,
            "{shape:?}: {got} instead of {v}"
        );
    }
}

#[test]
fn curves_are_those_of_floats() {
    for (n_arms, times, rows_bits) in [
        (1, 1, 1),
        (2, 2, 4),
        (3, 7, 9),
        (1, 64, 12),
        (2, 65, 20),
        (1, 31, 38),
    ] {
        let shape = shape(n_arms, times, rows_bits);
        let through = vec![0, times / 2, times];
        let case = Curve { shape, through };
        for secrets in 0..3 {
            check_curve(&case, 2, secrets);
        }
        check_curve(&case, 3, 3);
        demands::check_result(&Median(case), 2, 4);
    }
}

#[test]
fn log_ranks_are_those_of_floats() {
    for (n_arms, times, rows_bits) in [(2, 1, 2), (2, 40, 11), (3, 33, 20), (4, 9, 31), (2, 5, 38)]
    {
        for secrets in 0..3 {
            check_ranks(shape(n_arms, times, rows_bits), 2, secrets);
        }
        check_ranks(shape(n_arms, times, rows_bits), 3, 3);
    }
}

#[test]
fn counts_are_lifted_to_the_wider_ring() {
    demands::check_all(&Lifted(5, 9));
    demands::check_uniform(&Lifted(5, 64), 60);
    demands::check_result(&Lifted(33, 9), 2, 1);
}

#[test]
fn survival_meets_all_demands() {
    let curve = Curve {
        shape: shape(1, 3, 3),
        through: vec![1, 3],
    };
    demands::check_price(&curve, 2);
    demands::check_price(&curve, 3);
    demands::check_outline(&curve, 3);
    demands::check_empty_stock(&curve);
    demands::check_cuts(&curve);
    // Vectors of bits without padding.
    let curve = Curve {
        shape: shape(1, 64, 4),
        through: (0..64).collect(),
    };
    demands::check_uniform(&curve, 60);
}

#[test]
fn log_ranks_meet_all_demands() {
    let ranks = Ranks(shape(3, 2, 3));
    demands::check_price(&ranks, 2);
    demands::check_price(&ranks, 3);
    demands::check_outline(&ranks, 3);
    demands::check_empty_stock(&ranks);
    demands::check_cuts(&ranks);
    demands::check_uniform_lanes(&Ranks(shape(3, 64, 3)), 40, &[2, 3]);
}
