//! Kaplan–Meier curves and the log-rank test, from shared counts of persons and of events by arm and time.
//!
//! How many persons an event befell at which time is never opened, nor who was still observed then: what comes out are
//! shares of survival at a few declared times, of its variance, of the median, and of the sums of a log-rank test.
//!
//! With n_i persons at risk just before time i and d_i events, both sums of shares, everything takes the inverses of
//! n_i and of n_i − d_i (curves) or n_i − 1 (log-rank) alone. They have 62 fractional bits in Z_2^128, so that
//! d_i/n_i is one product without truncation, exactly 0 at a time without events, whoever is at risk. The inverse of
//! zero is zero: a time with nobody at risk contributes nothing.
//!
//! Error bounds, for T times and fewer than 2^b persons, which the tests hold; all are far below what is
//! opened, which is rounded to 2^−32 (Greenwood's sum to 2^−(2b+22)):
//!
//! | what | error at most |
//! |---|---|
//! | survival | 2^−33 + T·2^(b−60) |
//! | Greenwood's sum G | 2^−(2b+23) + 2^(b−59)·G |
//! | expected events E | 2^−33 + 2^(b−60)·E |
//! | covariances V | 2^−33 + T·2^(b−60) + 2^(b−58)·E |
//!
//! A median is the first time at which survival is at most ½ + 2^−40.

use crate::arith::compare::{self, Method};
use crate::arith::{convert, mul, trunc};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::{self, Format};
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;

/// Fractional bits of inverses and of survival on the way: a product of two is below 2^126.
const UNIT_BITS: u32 = 62;
/// Fractional bits of survival, expected events and covariances as they come out.
pub const FRAC_BITS: u32 = 32;
/// A median's survival exceeds ½ by 2 to minus this at most.
const MEDIAN_SLACK_BITS: u32 = 40;
/// Most bits of the number of persons: quotients keep 22 bits and more.
pub const MAX_ROWS_BITS: u32 = 38;

/// The public shape of counts by arm and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurvivalShape {
    /// Number of arms.
    pub arms: usize,
    /// Number of times.
    pub times: usize,
    /// All persons are fewer than 2 to this power; 1 to [`MAX_ROWS_BITS`].
    pub rows_bits: u32,
    /// How shares are compared and cut into bits.
    pub method: Method,
}

/// Shares of counts, arm by arm, each in the order of times.
pub struct Counts {
    /// Persons whose observation ends at that time, by an event or without.
    pub persons: Share<u128>,
    /// Persons whose observation ends with an event.
    pub events: Share<u128>,
}

/// What [`kaplan_meier`] finds of each arm.
pub struct Curves {
    /// Survival at each declared time, arm by arm, with [`FRAC_BITS`] fractional bits.
    pub survival: Share<u128>,
    /// Greenwood's sum Σ d/(n·(n − d)) up to there, with [`greenwood_bits`] fractional bits. The variance is this
    /// times the square of survival.
    pub greenwood: Share<u128>,
    /// How many times come before the median; all of them where it is not reached.
    pub before_median: Share<u64>,
}

/// What [`log_rank`] finds, with [`FRAC_BITS`] fractional bits.
pub struct LogRank {
    /// Expected events of each arm but the last.
    pub expected: Share<u128>,
    /// Covariances of observed − expected, of arms j ≤ k without the last: (0,0), (0,1), …, (1,1), ….
    pub covariances: Share<u128>,
}

/// Fractional bits of [`Curves::greenwood`]: with fewer than 2^b persons it is 0 or over 2^−2b.
#[must_use]
pub fn greenwood_bits(rows_bits: u32) -> u32 {
    2 * rows_bits + 22
}

impl SurvivalShape {
    /// Checks that the numbers fit the ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if !(1..=MAX_ROWS_BITS).contains(&self.rows_bits) {
            return invalid("counts by arm and time are of fewer than 2^38 persons");
        }
        if self.arms == 0 || self.times == 0 {
            return invalid("counts by arm and time have an arm and a time");
        }
        Ok(())
    }

    /// Numbers of one kind.
    fn n_items(&self) -> usize {
        self.arms * self.times
    }

    fn check_counts(&self, counts: &Counts) -> Result<(), ProtocolError> {
        self.check()?;
        match [&counts.persons, &counts.events].map(Share::len) == [self.n_items(); 2] {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "there is a count for each arm and time",
            }),
        }
    }

    /// Whole numbers below 2^b as fractions, so that their inverses have [`UNIT_BITS`] fractional bits.
    fn format(&self) -> Format {
        Format {
            frac_bits: UNIT_BITS / 2,
            bound_bits: self.rows_bits,
            method: self.method,
        }
    }
}

/// Survival of each arm at declared times, its variance, and the median.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: shares of counts, fewer than 2^b persons in all, at most as many events as persons at each
///   time; `through`: for each declared time how many of the times are not after it; takes [`curves_price`]
/// # Output    [`Curves`], within the bounds of the [module's table](self). An arm without persons survives
/// # Cost      [`curves_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shapes; opens nothing. Results are rounded
///   exactly, so that nothing of the numbers on the way is left in them but what the rounding bound says
/// # Errors    [`ProtocolError::InvalidInput`] or [`ProtocolError::OutOfCorrelations`] before anything is sent,
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Kaplan–Meier, JASA 1958; Greenwood, 1926; CRYPTO §4.4. All prefixes: Brent–Kung, 1982
pub async fn kaplan_meier(
    session: &mut Session,
    counts: &Counts,
    shape: SurvivalShape,
    through: &[usize],
    stock: &mut Stock,
) -> Result<Curves, ProtocolError> {
    let outcome = try_kaplan_meier(session, counts, shape, through, stock).await;
    session.ended_by(outcome)
}

async fn try_kaplan_meier(
    session: &mut Session,
    counts: &Counts,
    shape: SurvivalShape,
    through: &[usize],
    stock: &mut Stock,
) -> Result<Curves, ProtocolError> {
    shape.check_counts(counts)?;
    if through.iter().any(|n| *n > shape.times) {
        return Err(ProtocolError::InvalidInput {
            what: "declared times are among the times",
        });
    }
    let seats = Seats::of(session);
    stock.check(&curves_price(seats, shape, through.len()).needs)?;
    let n_items = shape.n_items();
    let risk = at_risk(&counts.persons, shape.times);
    let mut left = Share::new(risk.as_slice().to_vec());
    left.sub_assign(&counts.events);
    let mut inverses = risk;
    inverses.append(left);
    let mut inverses = function::reciprocal(session, &inverses, shape.format(), stock).await?;
    let of_left = inverses.split_off(n_items);
    let died = mul::mul(session, &counts.events, &inverses, stock).await?;
    let mut sums = mul::mul(session, &died, &of_left, stock).await?;
    for arm in sums.as_mut_slice().chunks_mut(shape.times) {
        for i in 1..arm.len() {
            arm[i] = arm[i].wrapping_add(arm[i - 1]);
        }
    }
    let mut survival = died;
    survival.negate();
    let one = vec![1 << UNIT_BITS; n_items];
    survival.add_public(session.seat().index(), &one);
    let survival = all_products(session, survival, shape.times, stock).await?;
    let before_median = before_median(session, &survival, shape, stock).await?;
    let one = if session.seat().index() == 0 {
        1 << UNIT_BITS
    } else {
        0
    };
    let survival = picked(&survival, (shape, through), one);
    let sums = picked(&sums, (shape, through), 0);
    let method = shape.method;
    Ok(Curves {
        survival: trunc::exact(session, &survival, UNIT_BITS - FRAC_BITS, method, stock).await?,
        greenwood: trunc::exact(session, &sums, sums_shift(shape), method, stock).await?,
        before_median,
    })
}

/// Of sums with twice [`UNIT_BITS`] fractional bits.
fn sums_shift(shape: SurvivalShape) -> u32 {
    2 * UNIT_BITS - greenwood_bits(shape.rows_bits)
}

/// The declared price of [`kaplan_meier`] at so many declared times.
pub fn curves_price(seats: Seats, shape: SurvivalShape, n_declared: usize) -> Price {
    let (n_items, n_found) = (shape.n_items(), shape.arms * n_declared);
    let (method, format) = (shape.method, shape.format());
    let rounded = |shift| trunc::exact_price::<u128>(seats, n_found, shift, method);
    let products = levels(shape.times).map(|level| {
        let n = shape.arms * level.places(shape.times).count();
        mul::price::<u128>(seats, n).then(&trunc::price::<u128>(seats, n, UNIT_BITS))
    });
    let bound_bits = UNIT_BITS + 1;
    function::reciprocal_price::<u128>(seats, 2 * n_items, format)
        .then(&mul::price::<u128>(seats, n_items))
        .then(&mul::price::<u128>(seats, n_items))
        .then(&Price::sequence(seats, products))
        .then(&compare::less_than_zero_price::<u128>(
            seats, n_items, bound_bits, method,
        ))
        .then(&convert::planes_price::<u64>(seats, n_items, 1))
        .then(&rounded(UNIT_BITS - FRAC_BITS))
        .then(&rounded(sums_shift(shape)))
}

/// Expected events and covariances of the log-rank test.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: as of [`kaplan_meier`], of two arms or more; takes [`log_rank_price`]
/// # Output    [`LogRank`], within the bounds of the [module's table](self)
/// # Cost      [`log_rank_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing. Results are rounded
///   exactly
/// # Errors    as [`kaplan_meier`]
/// # Source    Mantel, 1966; Peto–Peto, 1972; CRYPTO §4.4
pub async fn log_rank(
    session: &mut Session,
    counts: &Counts,
    shape: SurvivalShape,
    stock: &mut Stock,
) -> Result<LogRank, ProtocolError> {
    let outcome = try_log_rank(session, counts, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_log_rank(
    session: &mut Session,
    counts: &Counts,
    shape: SurvivalShape,
    stock: &mut Stock,
) -> Result<LogRank, ProtocolError> {
    shape.check_counts(counts)?;
    let seats = Seats::of(session);
    stock.check(&log_rank_price(seats, shape).needs)?;
    let (times, tested) = (shape.times, shape.arms - 1);
    let of_arms = at_risk(&counts.persons, times);
    let risk = over_arms(&of_arms, times);
    let events = over_arms(&counts.events, times);
    // At a time with nobody at risk n − 1 is −1. Its inverse means nothing, and is multiplied by d·(n − d) = 0.
    let mut inverses = Share::new(risk.as_slice().to_vec());
    inverses.append(Share::new(risk.as_slice().to_vec()));
    let minus_one = [vec![0; times], vec![u128::MAX; times]].concat();
    inverses.add_public(session.seat().index(), &minus_one);
    let mut inverses = function::reciprocal(session, &inverses, shape.format(), stock).await?;
    let of_others = inverses.split_off(times);

    // d/n at 62 bits, and d·(n − d).
    let mut alive = risk;
    alive.sub_assign(&events);
    let left = Share::new([events.as_slice(), events.as_slice()].concat());
    let right = Share::new([inverses.as_slice(), alive.as_slice()].concat());
    let mut products = mul::mul(session, &left, &right, stock).await?;
    let spread = products.split_off(times);
    let died = products;

    // d·(n − d)/(n − 1), and for each tested arm its share p of those at risk, and its expected events.
    let arms = &of_arms.as_slice()[..tested * times];
    let (mut left, mut right) = (spread, of_others);
    left.append(Share::new([arms, arms].concat()));
    right.append(repeated(&inverses, tested));
    right.append(repeated(&died, tested));
    let mut products = mul::mul(session, &left, &right, stock).await?;
    let mut shares = products.split_off(times);
    let expected = shares.split_off(tested * times);
    let weights = products;
    let weights = trunc::probabilistic(session, &weights, weights_shift(shape), stock).await?;

    // p·f once more, and of pairs of arms Σ f·p_j·(δ_jk − p_k).
    let weighted = mul::mul(session, &repeated(&weights, tested), &shares, stock).await?;
    let weighted = trunc::probabilistic(session, &weighted, UNIT_BITS, stock).await?;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (j, k) in pairs(tested) {
        left.extend_from_slice(&weighted.as_slice()[j * times..][..times]);
        right.extend_from_slice(&shares.as_slice()[k * times..][..times]);
    }
    let crossed = mul::mul(session, &Share::new(left), &Share::new(right), stock).await?;
    let mut covariances = sums_of(&crossed, times);
    covariances.negate();
    let diagonal = sums_of(&weighted, times);
    for (place, (j, _)) in pairs(tested).enumerate().filter(|(_, (j, k))| j == k) {
        let own = diagonal.as_slice()[j] << UNIT_BITS;
        let slot = &mut covariances.as_mut_slice()[place];
        *slot = slot.wrapping_add(own);
    }
    let (method, expected) = (shape.method, sums_of(&expected, times));
    Ok(LogRank {
        expected: trunc::exact(session, &expected, UNIT_BITS - FRAC_BITS, method, stock).await?,
        covariances: trunc::exact(
            session,
            &covariances,
            covariances_shift(shape),
            method,
            stock,
        )
        .await?,
    })
}

/// Fractional bits of d·(n − d)/(n − 1), which is at most the number of events: as many as a product with a fraction
/// of [`UNIT_BITS`] leaves room for.
fn weight_bits(shape: SurvivalShape) -> u32 {
    (UNIT_BITS - 1 - shape.rows_bits).min(UNIT_BITS - 2)
}

fn weights_shift(shape: SurvivalShape) -> u32 {
    UNIT_BITS - weight_bits(shape)
}

fn covariances_shift(shape: SurvivalShape) -> u32 {
    UNIT_BITS + weight_bits(shape) - FRAC_BITS
}

/// The declared price of [`log_rank`].
pub fn log_rank_price(seats: Seats, shape: SurvivalShape) -> Price {
    let (times, tested, method) = (shape.times, shape.arms.saturating_sub(1), shape.method);
    let n_pairs = pairs(tested).count();
    let product = |n: usize| mul::price::<u128>(seats, n);
    let cut = |n: usize, shift| trunc::price::<u128>(seats, n, shift);
    let rounded = |n: usize, shift| trunc::exact_price::<u128>(seats, n, shift, method);
    function::reciprocal_price::<u128>(seats, 2 * times, shape.format())
        .then(&product(2 * times))
        .then(&product((1 + 2 * tested) * times))
        .then(&cut(times, weights_shift(shape)))
        .then(&product(tested * times))
        .then(&cut(tested * times, UNIT_BITS))
        .then(&product(n_pairs * times))
        .then(&rounded(tested, UNIT_BITS - FRAC_BITS))
        .then(&rounded(n_pairs, covariances_shift(shape)))
}

/// Shares of counts below 2^b over Z_2^64 as shares over Z_2^128.
///
/// # Inputs    `counts`: n shares; takes [`lifted_price`]
/// # Output    n shares of the same numbers
///
/// Everything else is that of [`convert::a2b`].
pub async fn lifted(
    session: &mut Session,
    counts: &Share<u64>,
    (bits, method): (u32, Method),
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let planes = convert::a2b(session, counts, bits as usize, method, stock).await?;
    let planes: Vec<&_> = planes.iter().collect();
    let bits = convert::planes_to_arith::<u128>(session, &planes, stock).await?;
    let mut sum: Share<u128> = Share::zero(counts.len());
    for (place, mut bit) in bits.into_iter().enumerate() {
        bit.scale_public(1 << place);
        sum.add_assign(&bit);
    }
    Ok(sum)
}

/// The declared price of [`lifted`].
pub fn lifted_price(seats: Seats, n_items: usize, (bits, method): (u32, Method)) -> Price {
    let n_planes = bits as usize;
    convert::a2b_price::<u64>(seats, n_items, n_planes, method)
        .then(&convert::planes_price::<u128>(seats, n_items, n_planes))
}

/// For each arm and time, the persons whose observation ends then or later.
fn at_risk(persons: &Share<u128>, times: usize) -> Share<u128> {
    let mut risk = Share::new(persons.as_slice().to_vec());
    for arm in risk.as_mut_slice().chunks_mut(times) {
        for i in (1..arm.len()).rev() {
            arm[i - 1] = arm[i - 1].wrapping_add(arm[i]);
        }
    }
    risk
}

/// For each time the sum over arms.
fn over_arms(counts: &Share<u128>, times: usize) -> Share<u128> {
    let mut sum: Share<u128> = Share::zero(times);
    for arm in counts.as_slice().chunks(times) {
        for (sum, n) in sum.as_mut_slice().iter_mut().zip(arm) {
            *sum = sum.wrapping_add(*n);
        }
    }
    sum
}

/// The sum over times, for each run of them.
fn sums_of(values: &Share<u128>, times: usize) -> Share<u128> {
    let runs = values.as_slice().chunks(times);
    let sum = |run: &[u128]| run.iter().fold(0u128, |sum, v| sum.wrapping_add(*v));
    Share::new(runs.map(sum).collect())
}

fn repeated(values: &Share<u128>, n: usize) -> Share<u128> {
    Share::new(values.as_slice().repeat(n))
}

/// Arms j ≤ k.
fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |j| (j..n).map(move |k| (j, k)))
}

/// The values of each arm after so many times; `at_start` after none.
fn picked(
    values: &Share<u128>,
    (shape, through): (SurvivalShape, &[usize]),
    at_start: u128,
) -> Share<u128> {
    let arms = values.as_slice().chunks(shape.times);
    let of_arm = |arm: &[u128]| {
        let value = |n: &usize| n.checked_sub(1).map_or(at_start, |last| arm[last]);
        through.iter().map(value).collect::<Vec<_>>()
    };
    Share::new(arms.flat_map(of_arm).collect())
}

/// Σ [survival > ½ + slack] over the times of each arm.
async fn before_median(
    session: &mut Session,
    survival: &Share<u128>,
    shape: SurvivalShape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let least: u128 = (1 << (UNIT_BITS - 1)) + (1 << (UNIT_BITS - MEDIAN_SLACK_BITS)) + 1;
    let mut off = Share::new(survival.as_slice().to_vec());
    off.add_public(
        session.seat().index(),
        &vec![least.wrapping_neg(); survival.len()],
    );
    let bound_bits = UNIT_BITS + 1;
    let below = compare::less_than_zero(session, &off, bound_bits, shape.method, stock).await?;
    let below = convert::bit_to_arith::<u64>(session, &below, stock).await?;
    let arms = below.as_slice().chunks(shape.times);
    let n_below = arms.map(|arm: &[u64]| arm.iter().fold(0u64, |sum, bit| sum.wrapping_add(*bit)));
    let mut before = Share::new(n_below.collect());
    before.negate();
    before.add_public(
        session.seat().index(),
        &vec![shape.times as u64; shape.arms],
    );
    Ok(before)
}

/// All prefix products of each arm's factors, at [`UNIT_BITS`].
async fn all_products(
    session: &mut Session,
    mut factors: Share<u128>,
    times: usize,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let n_arms = factors.len() / times;
    for level in levels(times) {
        let of_arm = |arm: usize| level.places(times).map(move |i| arm * times + i);
        let here: Vec<usize> = (0..n_arms).flat_map(of_arm).collect();
        let values = factors.as_slice();
        let own = Share::new(here.iter().map(|i| values[*i]).collect());
        let before = here.iter().map(|i| values[*i - level.distance]);
        let before = Share::new(before.collect());
        let product = mul::mul(session, &own, &before, stock).await?;
        let product = trunc::probabilistic(session, &product, UNIT_BITS, stock).await?;
        let values = factors.as_mut_slice();
        for (i, product) in here.into_iter().zip(product.as_slice()) {
            values[i] = *product;
        }
    }
    Ok(factors)
}

/// One level of the network of all prefixes: at places `first`, `first` + 2·`distance`, … the value is multiplied with
/// that `distance` before it.
#[derive(Clone, Copy)]
struct Level {
    first: usize,
    distance: usize,
}

impl Level {
    fn places(self, times: usize) -> impl Iterator<Item = usize> {
        (self.first..times).step_by(2 * self.distance)
    }
}

/// Products of runs that double, then of what lies between them.
fn levels(times: usize) -> impl Iterator<Item = Level> {
    let distances = std::iter::successors(Some(1), |d| Some(2 * d));
    let distances: Vec<usize> = distances.take_while(|d| *d < times).collect();
    let up = distances.clone().into_iter().map(|distance| Level {
        first: 2 * distance - 1,
        distance,
    });
    let down = distances.into_iter().rev().map(|distance| Level {
        first: 3 * distance - 1,
        distance,
    });
    up.chain(down).filter(move |level| level.first < times)
}

/// [`kaplan_meier`] in the clear, for tests: survival and Greenwood's sum at declared times and how many times come
/// before the median, of one arm.
#[must_use]
pub fn curve_oracle(persons: &[u64], events: &[u64], through: &[usize]) -> (Vec<[f64; 2]>, u64) {
    let mut at_risk: u64 = persons.iter().sum();
    let (mut survival, mut sum) = (1.0, 0.0);
    let mut found = vec![[1.0, 0.0]];
    let mut before = 0;
    for (n, d) in persons.iter().zip(events) {
        if *d > 0 {
            let (risk, died, left) = (at_risk as f64, *d as f64, (at_risk - d) as f64);
            survival *= left / risk;
            sum += if left > 0.0 {
                died / (risk * left)
            } else {
                0.0
            };
        }
        before += u64::from(survival > 0.5);
        found.push([survival, sum]);
        at_risk -= n;
    }
    (through.iter().map(|n| found[*n]).collect(), before)
}

/// [`log_rank`] in the clear, for tests: expected events of all arms but the last, and the covariances.
#[must_use]
pub fn log_rank_oracle(persons: &[Vec<u64>], events: &[Vec<u64>]) -> (Vec<f64>, Vec<f64>) {
    let (tested, times) = (persons.len() - 1, persons[0].len());
    let mut expected = vec![0.0; tested];
    let mut covariances = vec![0.0; pairs(tested).count()];
    for i in 0..times {
        let risk = |arm: &Vec<u64>| arm[i..].iter().sum::<u64>() as f64;
        let risks: Vec<f64> = persons.iter().map(risk).collect();
        let (n, d) = (
            risks.iter().sum::<f64>(),
            events.iter().map(|arm| arm[i]).sum::<u64>() as f64,
        );
        if d == 0.0 {
            continue;
        }
        let weight = if n > 1.0 {
            d * (n - d) / (n - 1.0)
        } else {
            0.0
        };
        for (place, (j, k)) in pairs(tested).enumerate() {
            let own = if j == k { 1.0 } else { 0.0 };
            covariances[place] += weight * risks[j] / n * (own - risks[k] / n);
        }
        for (sum, risk) in expected.iter_mut().zip(&risks) {
            *sum += d * risk / n;
        }
    }
    (expected, covariances)
}
