//! How many binary digits floating-point numbers keep that are multiplied with other holders' numbers.
//!
//! A total over Z_2^128 has 126 bits for the number of rows, for the largest values of all factors, and for what is left
//! behind the point. A quotient `x / y` of two holders is `x` times `1 / y`, which the holder of `y` computes in the clear:
//! so a product of sums by key is exact, whatever the multiplicities, but for the digits that `1 / y` keeps. What counts
//! is how much of it is lost in relation to itself, so the larger `y` can be, the more digits are kept; where nobody says
//! how large it can be, its holder refuses what is too large for the digits that there are.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::i256;

use super::Job;
use super::column::{Factored, factored};
use super::draft::Take;
use super::relation::{Compiled, One};
use super::taken::{Argument, Product, Taken};
use crate::plan::bounds;
use crate::plan::ring::bits_of;
use crate::plan::{Measure, MeasureKind, PlanFault, RangeOrigin};

/// Every reciprocal is within 2^-(RELATIVE_BITS + 1) of itself: two of them are within 10^-6 together.
const RELATIVE_BITS: i32 = 21;
/// Where there is room a reciprocal is so much closer.
const BETTER_BITS: i32 = 10;
/// Bits of a divisor that there is room for at least.
const LEAST_DIVISOR: i32 = 10;
/// Bits of a divisor that there should be room for, where nothing is known of it.
const ASSUMED_DIVISOR: i32 = 30;
/// A reciprocal of which nothing is known is within 2^20: no divisor is nearer to 0 than 10^-6.
const ASSUMED_RECIPROCAL: i32 = 20;
/// Another number of which nothing is known, within which it is taken where others multiply it.
const ASSUMED_NUMBER: i32 = 32;
/// Fractional bits of other numbers: at least, and where there is room for more.
const NUMBER_BITS: (i32, i32) = (24, 34);
/// The same of the only number of a product.
const ALONE_BITS: i32 = 16;
/// Most fractional bits.
const MOST_BITS: i32 = 100;
/// Bits of a total's magnitude, and of what a product is multiplied by.
const TOTAL_BITS: i32 = 126;
const COEFFICIENT_BITS: i32 = 62;

/// What a quotient's factor divides by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    /// No divisor is above 2 to this power, if that is known.
    known: Option<i32>,
    /// The largest power of two that the factor's digits allow.
    pub(super) limit: i32,
}

impl Divisor {
    /// 2^-bits is what a factor with so many fractional bits is off by at most, in relation to itself.
    pub(super) fn relative_bits(self, frac_bits: u32) -> i32 {
        frac_bits.cast_signed() + 1 - self.limit.min(self.known.unwrap_or(self.limit))
    }
}

/// The divisors of a relation's arguments that are factors of quotients.
pub(super) fn divisors(
    job: &Job<'_>,
    one: &One,
    quotients: &BTreeSet<usize>,
) -> BTreeMap<usize, Divisor> {
    let of = |arg: usize| {
        let column = one.outer.keys.len() + arg;
        let mut all = Some(0f64);
        for part in &one.raw {
            let catalogue = job.catalogues.get(&part.holder);
            let here = catalogue.and_then(|c| bounds::divisor(&part.trace, column, c));
            all = all.zip(here).map(|(a, b)| a.max(b));
        }
        let known = all.map(bits_of);
        Divisor { known, limit: 0 }
    };
    quotients.iter().map(|arg| (*arg, of(*arg))).collect()
}

/// A number of a relation: whether it is a sum of squares.
type Place = (usize, usize, bool);

/// Gives every floating-point number of a product its fractional bits.
pub(super) fn share_out(
    job: &Job<'_>,
    taken: &Taken,
    compiled: &mut Compiled,
) -> Result<(), Vec<PlanFault>> {
    let mut bits: BTreeMap<Place, i32> = BTreeMap::new();
    let mut faults = Vec::new();
    let columns = |argument: &'_ Argument| match argument {
        Argument::Plain { sum, squares, .. } => [sum.clone(), squares.clone()],
        Argument::Keys(_) | Argument::Met(_) | Argument::Different(_) => [None, None],
    };
    let columns: Vec<[Option<Vec<Product>>; 2]> = taken.args.iter().map(columns).collect();
    for products in columns.iter().flatten().flatten() {
        narrow(&mut compiled.all, products);
    }
    for (arg, columns) in job.outer.args.iter().zip(&columns) {
        for products in columns.iter().flatten() {
            match of_column(compiled, products) {
                Some(found) => {
                    for (place, more) in found {
                        let least = bits.entry(place).or_insert(more);
                        *least = more.min(*least);
                    }
                }
                None => {
                    let what = format!(
                        "{}: its total does not fit 128 bits with enough digits after the point, by the declared ranges and the published sizes of the tables",
                        arg.label
                    );
                    let fix = "declare narrower ranges of its columns in the policies, CAST them to DECIMALs of fewer digits, or write max_rows in the job";
                    faults.push(job.site.fault(&arg.expr, what, fix));
                }
            }
        }
    }
    for ((at, arg, is_square), bits) in bits {
        let one = &mut compiled.all[at];
        let measure = &mut one.columns.measures[arg];
        let slot = if is_square {
            &mut measure.sum_sq
        } else {
            &mut measure.sum
        };
        if let Some(slot) = slot {
            slot.frac_bits = slot.frac_bits.min(bits.unsigned_abs());
            if let Some(divisor) = one.quotients.get_mut(&arg).filter(|_| !is_square) {
                divisor.limit = slot.frac_bits.cast_signed() - RELATIVE_BITS;
            }
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

/// Ranges that nobody declared, of floating-point numbers that are multiplied by others than counts.
fn narrow(all: &mut [One], products: &[Product]) {
    for product in products {
        let is_number = |take: &&Take| matches!(take, Take::Sum(_) | Take::Squares(_));
        if product.takes.iter().filter(is_number).count() < 2 {
            continue;
        }
        for (one, take) in all.iter_mut().zip(&product.takes) {
            let (Take::Sum(arg) | Take::Squares(arg)) = *take else {
                continue;
            };
            let most = match one.quotients.contains_key(&arg) {
                true => ASSUMED_RECIPROCAL,
                false => ASSUMED_NUMBER,
            };
            let measure = &mut one.columns.measures[arg];
            let is_assumed = measure.range.origin == RangeOrigin::Assumed;
            if measure.kind == MeasureKind::Float && is_assumed && magnitude(measure) > most {
                let most = 2f64.powi(most);
                measure.range.low = (-most).to_string();
                measure.range.high = most.to_string();
                if let Some(fit) = &mut one.fits[arg] {
                    fit.range = measure.range.clone();
                }
            }
        }
    }
}

/// The least b with |v| <= 2^b for every value.
pub(super) fn magnitude(measure: &Measure) -> i32 {
    let end = |text: &String| text.parse::<f64>().map_or(f64::INFINITY, f64::abs);
    bits_of(end(&measure.range.low).max(end(&measure.range.high)))
}

/// The least b with v <= 2^b.
fn bits(v: i256) -> i32 {
    let below = |b: &i32| v <= i256::ONE << u8::try_from(*b).unwrap_or(u8::MAX);
    (0..255).find(below).unwrap_or(255)
}

/// How many fractional bits each floating-point number of a column can have; `None` where that is not enough.
fn of_column(compiled: &Compiled, products: &[Product]) -> Option<Vec<(Place, i32)>> {
    let factored: Vec<Factored<'_>> = factored(compiled, products);
    if factored.iter().all(|f| f.n_floats() == 0) {
        return Some(Vec::new());
    }
    let scale = factored.iter().map(Factored::scale).max().unwrap_or(0);
    let row_bits = (u64::BITS - compiled.rows.max(1).leading_zeros()).cast_signed();
    // Two sums below 2^126 have one below 2^127.
    let spare = (factored
        .len()
        .next_power_of_two()
        .trailing_zeros()
        .cast_signed()
        - 1)
    .max(0);
    let mut left = TOTAL_BITS - row_bits - spare;
    let mut least = left;
    for of in &factored {
        let coefficient = of.coefficient_at(scale)?;
        let partners = bits(of.exact_largest(coefficient)?);
        least = least.min(left - partners - of.float_bits());
        if of.n_floats() == 0 {
            let coefficient = bits(i256::from_i128(coefficient.unsigned_abs().into()));
            left = left.min(COEFFICIENT_BITS - coefficient);
        }
    }
    let left = least.min(left);
    let mut all = Vec::new();
    for of in &factored {
        let takes = of.product.takes.iter().enumerate();
        let floats: Vec<Place> = takes
            .filter_map(|(at, take)| match *take {
                Take::Sum(arg) => Some((at, arg, false)),
                Take::Squares(arg) => Some((at, arg, true)),
                _ => None,
            })
            .filter(|(at, arg, _)| {
                compiled.all[*at].columns.measures[*arg].kind == MeasureKind::Float
            })
            .collect();
        let needs = floats
            .iter()
            .map(|(at, arg, _)| match compiled.all[*at].quotients.get(arg) {
                Some(divisor) => {
                    let known = divisor.known.unwrap_or(ASSUMED_DIVISOR).max(LEAST_DIVISOR);
                    let wanted = RELATIVE_BITS + BETTER_BITS + known;
                    (RELATIVE_BITS + LEAST_DIVISOR, wanted)
                }
                None if floats.len() == 1 => (ALONE_BITS, MOST_BITS),
                None => NUMBER_BITS,
            });
        let shares = shares(left, &needs.collect::<Vec<_>>())?;
        all.extend(floats.into_iter().zip(shares));
    }
    Some(all)
}

/// Divides bits among numbers, each of which takes at least so many, and wants so many; the rest goes to all of them.
fn shares(total: i32, needs: &[(i32, i32)]) -> Option<Vec<i32>> {
    let mut shares: Vec<i32> = needs.iter().map(|(least, _)| *least).collect();
    let mut left = total - shares.iter().sum::<i32>();
    if left < 0 {
        return None;
    }
    for (share, (least, wanted)) in shares.iter_mut().zip(needs) {
        let more = left.min(wanted - least).max(0);
        *share += more;
        left -= more;
    }
    let each = left / i32::try_from(needs.len().max(1)).ok()?;
    shares
        .iter_mut()
        .for_each(|share| *share = (*share + each).min(MOST_BITS));
    Some(shares)
}
