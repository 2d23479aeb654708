//! A sum of products as one column of totals: its kind, its ring, and that it cannot wrap around.

use arrow::datatypes::i256;

use super::Job;
use super::draft::Take;
use super::precision;
use super::relation::{Compiled, One};
use super::taken::Product;
use super::terms::Term;
use crate::catalogue::Aggregate;
use crate::plan::bounds::power_of_ten;
use crate::plan::ring::ring_for;
use crate::plan::sql::outer::Arg;
use crate::plan::{MeasureKind, PlanFault, RingWidth};

/// A column of totals.
pub(super) struct Column {
    pub(super) kind: MeasureKind,
    pub(super) ring: RingWidth,
    pub(super) frac_bits: u32,
    /// Decimals of a floating-point column beside its fractional bits.
    pub(super) scale: u32,
    /// No total of an exact column is larger in magnitude.
    pub(super) largest: Option<i256>,
    pub(super) terms: Vec<Term>,
    /// How a column of products with floating-point numbers is rounded.
    pub(super) rounding: Option<String>,
}

/// What is known of one number of a relation.
struct Known {
    kind: MeasureKind,
    is_wide: bool,
    frac_bits: u32,
    /// Digits after the point; squares have twice those of their values.
    scale: i32,
    /// The largest magnitude of one row's value, of floats that of a number with the fractional bits.
    largest: Option<i256>,
    /// Of a float, the least power of two that no value is above.
    bits: i32,
    /// Of a factor of a quotient, what it is off by at most in relation to itself, as a power of 1/2.
    relative: Option<i32>,
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
                bits: 0,
                relative: None,
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
    let frac_bits = slot.map_or(0, |s| s.frac_bits);
    let (bits, largest) = match measure.kind {
        MeasureKind::Float => {
            let bits = precision::magnitude(measure) * if is_square { 2 } else { 1 };
            let shift = (bits + frac_bits.cast_signed()).max(0);
            let shift = u8::try_from(shift).ok().filter(|s| *s < 255);
            (bits, shift.map(|s| i256::ONE << s))
        }
        _ => (0, largest),
    };
    let divisor = one.quotients.get(&arg);
    Known {
        kind: measure.kind,
        is_wide: slot.is_some_and(|s| s.ring == RingWidth::Wide),
        frac_bits,
        scale,
        largest,
        bits,
        relative: divisor.map(|d| d.relative_bits(frac_bits)),
    }
}

/// A product with what is known of its factors.
pub(super) struct Factored<'a> {
    pub(super) product: &'a Product,
    factors: Vec<Known>,
}

/// Products that are more than 0 somewhere.
pub(super) fn factored<'a>(compiled: &Compiled, products: &'a [Product]) -> Vec<Factored<'a>> {
    let all = products.iter().map(|product| {
        let takes = compiled.all.iter().zip(&product.takes);
        let factors = takes.map(|(one, take)| known(one, *take)).collect();
        Factored { product, factors }
    });
    all.filter(|f| f.factors.iter().all(|k| k.largest != Some(i256::ZERO)))
        .collect()
}

impl Factored<'_> {
    pub(super) fn n_floats(&self) -> usize {
        self.floats().count()
    }

    fn floats(&self) -> impl Iterator<Item = &Known> {
        let factors = self.factors.iter();
        factors.filter(|k| k.kind == MeasureKind::Float)
    }

    /// Floats that are no factors of quotients.
    fn n_numbers(&self) -> usize {
        self.floats().filter(|k| k.relative.is_none()).count()
    }

    /// No product of its floats is above 2 to this power.
    pub(super) fn float_bits(&self) -> i32 {
        self.floats().map(|k| k.bits).sum()
    }

    /// The coefficient at which it is added to others with this scale, binary digits apart.
    pub(super) fn coefficient_at(&self, scale: i32) -> Option<i64> {
        let more = u32::try_from(scale - self.scale()).ok()?;
        let ten = 10i64.checked_pow(more)?;
        self.product.coefficient.checked_mul(ten)
    }

    /// The largest magnitude of the product of its other factors.
    pub(super) fn exact_largest(&self, coefficient: i64) -> Option<i256> {
        let exact = self.factors.iter().filter(|k| k.kind != MeasureKind::Float);
        magnitudes(coefficient, exact)
    }

    pub(super) fn scale(&self) -> i32 {
        self.factors.iter().map(|k| k.scale).sum()
    }

    fn frac_bits(&self) -> u32 {
        self.factors.iter().map(|k| k.frac_bits).sum()
    }

    /// The coefficient at which it is added to others with these digits.
    fn coefficient(&self, scale: i32, frac_bits: u32) -> Option<i64> {
        let bits = frac_bits - self.frac_bits();
        let two = 1i64.checked_shl(bits).filter(|b| *b > 0)?;
        self.coefficient_at(scale)?.checked_mul(two)
    }

    fn largest(&self, coefficient: i64) -> Option<i256> {
        magnitudes(coefficient, self.factors.iter())
    }

    /// What its value is off by at most in relation to itself, as a power of 1/2, if it is a quotient.
    fn relative_bits(&self) -> Option<i32> {
        let all: Vec<i32> = self.floats().filter_map(|k| k.relative).collect();
        let together = all.len().next_power_of_two().trailing_zeros();
        Some(all.into_iter().min()? - together.cast_signed())
    }
}

fn magnitudes<'k>(coefficient: i64, factors: impl Iterator<Item = &'k Known>) -> Option<i256> {
    let mut all = i256::from_i128(coefficient.unsigned_abs().into());
    for known in factors {
        all = all.checked_mul(known.largest?)?;
    }
    Some(all)
}

/// How products with floating-point numbers are rounded, if they are more than such numbers times counts.
fn rounding(arg: &Arg, factored: &[Factored<'_>]) -> Option<String> {
    let label = &arg.label;
    let relative = factored.iter().filter_map(Factored::relative_bits).min();
    let numbers = factored.iter().flat_map(|f| f.floats());
    let numbers = numbers.filter(|k| k.relative.is_none());
    let bits = numbers.map(|k| k.frac_bits + 1).min();
    let of_numbers = bits.map(|bits| {
        format!("floating-point factors are rounded to within 2^-{bits} for each key and group")
    });
    match (relative, of_numbers) {
        (Some(relative), of_numbers) => Some(format!(
            "floating-point {label}: a quotient of columns of different holders is a product with a reciprocal in fixed point, within {:.0e} of itself (2^-{relative}){}",
            2f64.powi(-relative),
            of_numbers.map_or(String::new(), |text| format!("; {text}"))
        )),
        (None, Some(text)) => Some(format!(
            "floating-point {label}: {text}, before they are multiplied"
        )),
        (None, None) => None,
    }
}

/// How a column is rounded that is more than floating-point numbers times counts.
///
/// # Errors
/// What cannot be rounded so that the result is close, and what to write instead.
fn rounded(
    arg: &Arg,
    factored: &[Factored<'_>],
) -> Result<Option<String>, (&'static str, &'static str)> {
    let is_float = factored.iter().any(|f| f.n_floats() > 0);
    let is_mixed = is_float && factored.iter().any(|f| f.n_floats() != 1 || f.scale() != 0);
    let is_quotient = factored.iter().any(|f| f.relative_bits().is_some());
    // What is left of rounded products in a difference of totals has no bound in relation to it.
    let adds_up = [Aggregate::Count, Aggregate::Sum, Aggregate::Avg];
    let is_added_up = arg.asked.iter().all(|asked| adds_up.contains(asked));
    if is_quotient && !is_added_up {
        return Err((
            "variances, correlations and what follows from them of a quotient of columns of different holders",
            "take SUM, AVG or COUNT of it, or compute the quotient in a subquery of a holder that has both columns",
        ));
    }
    let is_product = factored.iter().any(|f| f.n_numbers() > 1);
    if is_product || is_mixed && !is_added_up {
        return Err((
            "floating-point numbers of one holder are multiplied by fractions of another, or added to numbers of another type",
            "CAST both AS DECIMAL(18, 6) or a type with the digits that you need",
        ));
    }
    Ok(match is_mixed || is_quotient {
        true => rounding(arg, factored),
        false => None,
    })
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
    let factored = factored(compiled, products);
    let is_float = factored.iter().any(|f| f.n_floats() > 0);
    let rounding = rounded(arg, &factored).map_err(|(what, fix)| fault(what, fix))?;
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
        (true, ring) => ring.map(|_| RingWidth::Wide),
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
        scale: if is_float { digits } else { 0 },
        largest: largest.filter(|_| !is_float),
        terms,
        rounding,
    })
}

fn exact_kind(scale: i32) -> MeasureKind {
    MeasureKind::Exact {
        scale: i8::try_from(scale).unwrap_or(i8::MAX),
    }
}
