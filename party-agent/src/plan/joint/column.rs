//! A sum of products as one column of totals: its kind, its ring, and that it cannot wrap around.

use arrow::datatypes::i256;

use super::Job;
use super::draft::Take;
use super::relation::{Compiled, One};
use super::taken::Product;
use super::terms::Term;
use crate::plan::bounds::power_of_ten;
use crate::plan::ring::ring_for;
use crate::plan::sql::outer::Arg;
use crate::plan::{MeasureKind, PlanFault, RingWidth};

/// A column of totals.
pub(super) struct Column {
    pub(super) kind: MeasureKind,
    pub(super) ring: RingWidth,
    pub(super) frac_bits: u32,
    /// No total of an exact column is larger in magnitude.
    pub(super) largest: Option<i256>,
    pub(super) terms: Vec<Term>,
}

/// What is known of one number of a relation.
struct Known {
    kind: MeasureKind,
    is_wide: bool,
    frac_bits: u32,
    /// Digits after the point; squares have twice those of their values.
    scale: i32,
    /// The largest magnitude of one row's value; `None` for floats.
    largest: Option<i256>,
}

fn known(one: &One, take: Take) -> Known {
    let (arg, is_square) = match take {
        Take::Rows | Take::Count(_) | Take::Value(..) | Take::Member { .. } => {
            return Known {
                kind: MeasureKind::Counted,
                is_wide: false,
                frac_bits: 0,
                scale: 0,
                largest: Some(i256::ONE),
            };
        }
        Take::Sum(arg) => (arg, false),
        Take::Squares(arg) => (arg, true),
    };
    let measure = &one.columns.measures[arg];
    let bound = |text: &str| {
        let value = text.parse::<i128>().ok()?;
        Some(i256::from_i128(value.saturating_abs()))
    };
    let ends = bound(&measure.range.low).zip(bound(&measure.range.high));
    let largest = ends.map(|(low, high)| low.max(high));
    let (slot, largest) = match is_square {
        true => (measure.sum_sq, largest.and_then(|l| l.checked_mul(l))),
        false => (measure.sum, largest),
    };
    let scale = match measure.kind {
        MeasureKind::Exact { scale } => i32::from(scale) * if is_square { 2 } else { 1 },
        _ => 0,
    };
    Known {
        kind: measure.kind,
        is_wide: slot.is_some_and(|s| s.ring == RingWidth::Wide),
        frac_bits: slot.map_or(0, |s| s.frac_bits),
        scale,
        largest: largest.filter(|_| measure.kind != MeasureKind::Float),
    }
}

/// A product with what is known of its factors.
struct Factored<'a> {
    product: &'a Product,
    factors: Vec<Known>,
}

impl Factored<'_> {
    fn n_floats(&self) -> usize {
        let floats = self.factors.iter();
        floats.filter(|k| k.kind == MeasureKind::Float).count()
    }

    fn scale(&self) -> i32 {
        self.factors.iter().map(|k| k.scale).sum()
    }

    fn frac_bits(&self) -> u32 {
        self.factors.iter().map(|k| k.frac_bits).sum()
    }

    /// The coefficient at which it is added to others with these digits.
    fn coefficient(&self, scale: i32, frac_bits: u32) -> Option<i64> {
        let more = u32::try_from(scale - self.scale()).ok()?;
        let ten = 10i64.checked_pow(more)?;
        let bits = frac_bits - self.frac_bits();
        let two = 1i64.checked_shl(bits).filter(|b| *b > 0)?;
        self.product.coefficient.checked_mul(ten)?.checked_mul(two)
    }

    fn largest(&self, coefficient: i64) -> Option<i256> {
        let mut all = i256::from_i128(coefficient.unsigned_abs().into());
        for known in &self.factors {
            all = all.checked_mul(known.largest?)?;
        }
        Some(all)
    }
}

/// A sum of products as one column.
pub(super) fn column(
    job: &Job<'_>,
    compiled: &Compiled,
    arg: &Arg,
    products: &[Product],
) -> Result<Column, PlanFault> {
    let fault = |what: &str, fix: &str| {
        let what = format!("{}: {what}", arg.label);
        job.site.fault(&arg.expr, what, fix)
    };
    let factored = products.iter().map(|product| {
        let takes = compiled.all.iter().zip(&product.takes);
        let factors = takes.map(|(one, take)| known(one, *take)).collect();
        Factored { product, factors }
    });
    let factored: Vec<Factored<'_>> = factored.collect();
    let is_float = factored.iter().any(|f| f.n_floats() > 0);
    if is_float && factored.iter().any(|f| f.n_floats() != 1 || f.scale() != 0) {
        return Err(fault(
            "floating-point numbers of one holder are multiplied by fractions of another, or added to numbers of another type",
            "CAST both AS DECIMAL(18, 6) or a type with the digits that you need",
        ));
    }
    let frac_bits = factored.iter().map(Factored::frac_bits).max().unwrap_or(0);
    let scale = factored.iter().map(Factored::scale).max().unwrap_or(0);
    let mut terms = Vec::new();
    let mut largest = Some(i256::ZERO);
    for of in &factored {
        let Some(coefficient) = of.coefficient(scale, frac_bits) else {
            let what = "its parts have too different scales";
            return Err(fault(what, "CAST them to one type"));
        };
        largest = largest
            .zip(of.largest(coefficient))
            .and_then(|(a, b)| a.checked_add(b));
        terms.push(Term {
            coefficient,
            takes: of.product.takes.clone(),
            flags: false,
            below: of.product.below.clone(),
        });
    }
    let is_square = products.iter().any(Product::is_square);
    let kind = match is_float {
        true => MeasureKind::Float,
        false => exact_kind(if is_square { scale / 2 } else { scale }),
    };
    let largest = largest.and_then(|l| l.checked_mul(i256::from_i128(compiled.rows.into())));
    let is_wide = factored.iter().flat_map(|f| &f.factors).any(|k| k.is_wide);
    let ring = match (is_float, largest.and_then(ring_for)) {
        (true, _) => Some(RingWidth::Wide),
        (false, Some(RingWidth::Narrow)) if !is_wide => Some(RingWidth::Narrow),
        (false, Some(_)) => Some(RingWidth::Wide),
        (false, None) => None,
    };
    let digits = u32::try_from(scale).unwrap_or(u32::MAX);
    let Some(ring) = ring.filter(|_| power_of_ten(digits).is_some()) else {
        return Err(fault(
            "its total does not fit 128 bits, by the declared ranges and the published sizes of the tables",
            "declare narrower ranges of its columns in the policies, or write max_rows in the job",
        ));
    };
    Ok(Column {
        kind,
        ring,
        frac_bits,
        largest: largest.filter(|_| !is_float),
        terms,
    })
}

fn exact_kind(scale: i32) -> MeasureKind {
    MeasureKind::Exact {
        scale: i8::try_from(scale).unwrap_or(i8::MAX),
    }
}
