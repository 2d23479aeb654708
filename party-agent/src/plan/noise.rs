//! Differential privacy of totals: what one person can change, how much noise that takes, and what is refused.
//!
//! A person's rows are cut to `rows_per_person` at each holder and each value is clamped, so that a total changes by
//! Δ = rows × the larger bound at most when all rows of one person at one holder go. With k columns of totals and N holders, each of
//! which adds noise of σ² = N·k·Δ²/2ρ to each column, the loss is ρ at most for a person with rows at every holder, whoever
//! colludes: rows at h holders that do not collude lose h·k·Δ²/2σ² = ρ·h/N by composition.

use arrow::datatypes::{DataType, i256};
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use engine::noise::Deviation;
use engine::params::NOISE_MAX_SHIFT;
use protocols::aggregate::NoisyShape;
use protocols::party::PartyId;
use serde::Serialize;

use super::bounds::{Interval, Known};
use super::part::{Convert, JoinKey, Part};
use super::ring::{self, Fit};
use super::sql::outer::{Arg, Outer};
use super::words::{counted, listed, range_of};
use super::{
    Measure, MeasureKind, Plan, PlanFault, RangeOrigin, ReleaseRule, RingWidth, Shape, Step,
};
use crate::privacy::Guarantee;
use crate::spec::{CheckedSpec, DpClause};

/// Bound on noisy counts: with the bit by which they are moved, they can be compared.
const MAX_COUNT_BITS: u32 = 62;
/// Sums stay below 2 to this power, so that noise never carries them out of the wide ring.
const MAX_SUM_BITS: u32 = 126;

/// The noise of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoisePlan {
    /// What is promised of everything that is released.
    pub promise: Guarantee,
    /// The same as zCDP, in units of 10⁻¹²: what ledgers add up.
    pub rho_pico: u64,
    /// The column that tells persons apart: `j0` of the holders' queries.
    pub person: String,
    /// Of one person each holder counts so many rows at most.
    pub rows_per_person: u64,
    /// The columns of totals, those over Z_2^64 first.
    pub columns: Vec<NoisyColumn>,
}

/// One column of totals with its noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoisyColumn {
    /// The total as a person would write it.
    pub what: String,
    /// Bounds between which each value is clamped, as written; of sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clamp: Option<(String, String)>,
    /// By how much one person's rows at one holder can change it, in units of its last digit.
    pub sensitivity: String,
    /// Numerator of the standard deviation of each holder's noise, in the same unit.
    pub deviation: String,
    /// The denominator is 2 to this power.
    pub shift: u32,
}

fn fault(place: &str, what: impl Into<String>, fix: &str) -> PlanFault {
    PlanFault {
        place: place.to_owned(),
        what: what.into(),
        fix: fix.to_owned(),
    }
}

const PLACE: &str = "privacy.dp";

/// The column that tells persons apart, as a further column of the holders' queries.
pub(super) fn person(spec: &CheckedSpec) -> Vec<JoinKey> {
    let key = |clause: &DpClause| JoinKey {
        expr: Expr::Identifier(Ident::with_quote('"', &clause.person)),
        convert: Convert::Text,
    };
    spec.dp.iter().map(key).collect()
}

/// Of statistics and of joins between holders nobody has said yet what one person can change.
pub(super) fn not_there_yet() -> PlanFault {
    let what = "differential privacy is there for COUNT, SUM and AVG over a UNION ALL of the holders' rows";
    fault(PLACE, what, "leave [privacy.dp] out, or ask for those")
}

/// What a query cannot be with noise. Nothing where the job has no clause.
pub(super) fn refused(spec: &CheckedSpec, outer: &Outer, parts: &[Part]) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    let Some(clause) = &spec.dp else {
        return faults;
    };
    if outer.margins.is_some() {
        let what = "ROLLUP and CUBE have no noise of their own yet";
        faults.push(fault(
            PLACE,
            what,
            "ask for the totals in a job of their own",
        ));
    }
    let unfit = |arg: &Arg| arg.sum_sq || arg.ordered || arg.distinct;
    for arg in outer.args.iter().filter(|arg| unfit(arg)) {
        let what = format!("{} is more than counted, summed or averaged", arg.label);
        faults.push(fault(PLACE, what, "ask for COUNT, SUM and AVG alone"));
    }
    let labels = outer
        .args
        .iter()
        .filter(|a| a.sum)
        .map(|a| a.label.as_str());
    let labels: Vec<&str> = labels.collect();
    for argument in clause.clamp.keys() {
        if !labels.contains(&argument.as_str()) {
            let what = format!("bounds \"{argument}\", which no SUM or AVG takes");
            let fix = format!("bound {}", listed(&labels));
            faults.push(fault("privacy.dp.clamp", what, &fix));
        }
    }
    for part in parts {
        if let Some(node) = &part.beyond_rows {
            let what = format!(
                "the query of {} does more than choose and transform rows ({node}), so that one person's rows can change others'",
                part.holder
            );
            faults.push(fault(
                PLACE,
                what,
                "select rows of single tables with UNION ALL and WHERE",
            ));
        }
    }
    faults
}

/// Narrows the ranges of summed arguments to what the job clamps them to. Sums go to the wide ring, where noise has room.
pub(super) fn clamp(
    clause: &DpClause,
    outer: &Outer,
    (kinds, rows): (&[MeasureKind], u64),
    fits: &mut [Option<Fit>],
) -> Result<(), Vec<PlanFault>> {
    let mut faults = Vec::new();
    for ((arg, kind), fit) in outer.args.iter().zip(kinds).zip(fits) {
        if !arg.sum {
            continue;
        }
        match clamped(clause, arg, *kind, rows, fit.as_ref()) {
            Ok(narrowed) => *fit = Some(narrowed),
            Err(found) => faults.push(found),
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn clamped(
    clause: &DpClause,
    arg: &Arg,
    kind: MeasureKind,
    rows: u64,
    fit: Option<&Fit>,
) -> Result<Fit, PlanFault> {
    let MeasureKind::Exact { scale } = kind else {
        let what = format!(
            "{} is a floating-point number, whose sums have no exact noise",
            arg.label
        );
        let fix = format!("CAST({} AS DECIMAL(18, 2)), say", arg.label);
        return Err(fault(PLACE, what, &fix));
    };
    let (low, high) = match (clause.clamp.get(&arg.label), fit) {
        (Some((low, high)), _) => {
            let kind = DataType::Decimal128(38, scale);
            match Interval::declared(low, high, &kind).and_then(|i| i.at_scale(scale)) {
                Some(Interval::Exact { low, high, .. }) => (low, high),
                _ => {
                    let what = format!("{low} and {high} are no bounds of {}", arg.label);
                    return Err(fault(
                        "privacy.dp.clamp",
                        what,
                        "write two numbers of its type",
                    ));
                }
            }
        }
        (None, Some(fit)) if fit.range.origin == RangeOrigin::Declared => {
            let bound = |text: &String| i256::from_string(text).unwrap_or(i256::ZERO);
            (bound(&fit.range.low), bound(&fit.range.high))
        }
        (None, _) => {
            let what = format!("nothing bounds the values of {}", arg.label);
            let fix = format!(
                "write \"{}\" = [LOW, HIGH] under [privacy.dp.clamp]",
                arg.label
            );
            return Err(fault(PLACE, what, &fix));
        }
    };
    let known = Known {
        interval: Some(Interval::Exact { low, high, scale }),
        declared: true,
        wraps: None,
    };
    let too_wide = || {
        let what = format!("the sum of {} does not fit 126 bits", arg.label);
        fault("privacy.dp.clamp", what, "narrow its bounds")
    };
    let mut fit = ring::exact(&known, scale, rows, false).map_err(|_| too_wide())?;
    let most = i256::from_i128(1 << MAX_SUM_BITS);
    if fit.largest_sum.is_none_or(|largest| largest >= most) {
        return Err(too_wide());
    }
    fit.range.origin = RangeOrigin::Clamped;
    fit.sum = Some((RingWidth::Wide, 0));
    Ok(fit)
}

/// The noise of every column, and the bounds of noisy counts, which are the shape's from then on.
pub(super) fn plan(
    clause: &DpClause,
    (shape, steps): (&mut Shape, &[Step]),
    measures: &[Measure],
    (holders, rows): (&[PartyId], u64),
) -> Result<NoisePlan, Vec<PlanFault>> {
    let one = |found: PlanFault| vec![found];
    if shape.hidden.is_some() || !steps.is_empty() || shape.rule == ReleaseRule::OpenCounts {
        let what = "noise is added to totals of groups that are public, whose counts are compared on shares";
        let fix = "declare the groups under [compute.domain], and name a source of correlations";
        return Err(one(fault(PLACE, what, fix)));
    }
    let rho_pico = clause.promise.rho_pico();
    if rho_pico == 0 {
        let what = format!("ε = {} is too small for any release", clause.promise.eps());
        return Err(one(fault(
            "privacy.dp.eps_micro",
            what,
            "promise less, with a larger ε",
        )));
    }
    let n_columns = shape.narrow + shape.wide;
    let squares = i256::from_i128((holders.len() * n_columns) as i128);
    let mut columns = totals(measures, (shape.narrow, shape.wide));
    let mut largest = 0;
    for (place, column) in columns.iter_mut().enumerate() {
        let found = deviation(
            &column.sensitivity,
            clause.rows_per_person,
            squares,
            rho_pico,
        );
        let Some((sensitivity, deviation)) = found else {
            let what = format!("the noise of {} does not fit 54 bits", column.what);
            return Err(one(fault(
                PLACE,
                what,
                "narrow its bounds, or promise less",
            )));
        };
        column.sensitivity = sensitivity;
        column.deviation = deviation.numerator().to_string();
        column.shift = deviation.shift();
        if place < shape.narrow {
            largest = largest.max(deviation.largest());
        }
    }
    let most = u128::from(largest) * holders.len() as u128 + u128::from(rows);
    let bits = (u128::BITS - most.leading_zeros()).max(1);
    let reached = shape
        .checks
        .iter()
        .all(|c| c.at_least < 1 << bits.min(MAX_COUNT_BITS));
    if bits > MAX_COUNT_BITS || !reached {
        let what =
            "counts with that much noise do not fit 62 bits, or a minimum lies beyond all of them";
        return Err(one(fault(
            PLACE,
            what,
            "promise less, or ask for smaller groups",
        )));
    }
    shape
        .checks
        .iter_mut()
        .for_each(|check| check.bound_bits = bits);
    Ok(NoisePlan {
        promise: clause.promise,
        rho_pico,
        person: clause.person.clone(),
        rows_per_person: clause.rows_per_person,
        columns,
    })
}

/// The columns in order, each with the largest value that one row adds in place of its sensitivity.
fn totals(measures: &[Measure], (narrow, wide): (usize, usize)) -> Vec<NoisyColumn> {
    let column = |what: String| NoisyColumn {
        what,
        clamp: None,
        sensitivity: "1".to_owned(),
        deviation: String::new(),
        shift: 0,
    };
    let mut columns = vec![column("COUNT(*)".to_owned()); narrow + wide];
    for measure in measures {
        if measure.count != 0 {
            columns[measure.count] = column(format!("COUNT({})", measure.label));
        }
        if let Some(slot) = measure.sum {
            let magnitude = |text: &String| i256::from_string(text).map(i256::wrapping_abs);
            let (low, high) = (
                magnitude(&measure.range.low),
                magnitude(&measure.range.high),
            );
            let largest = low.max(high).unwrap_or(i256::ZERO).max(i256::ONE);
            columns[narrow + slot.index] = NoisyColumn {
                clamp: Some(range_of(measure)),
                sensitivity: largest.to_string(),
                ..column(format!("SUM({})", measure.label))
            };
        }
    }
    columns
}

/// Δ, and σ ≥ √(N·k·Δ²/2ρ) with as many fractional bits as fit.
fn deviation(
    largest: &str,
    rows_per_person: u64,
    squares: i256,
    rho_pico: u64,
) -> Option<(String, Deviation)> {
    let number = |n: u64| i256::from_i128(n.into());
    let sensitivity = i256::from_string(largest)?.checked_mul(number(rows_per_person))?;
    let square = sensitivity.checked_mul(sensitivity)?.checked_mul(squares)?;
    let square = square.checked_mul(number(1_000_000_000_000))?;
    let twice = number(2 * rho_pico);
    [NOISE_MAX_SHIFT, 0].into_iter().find_map(|shift| {
        let scaled = square.checked_mul(number(1 << (2 * shift)))?;
        let quotient = scaled.checked_div(twice)?.checked_add(i256::ONE)?;
        let sigma = ring::square_root(quotient).checked_add(i256::ONE)?;
        let sigma = u64::try_from(sigma.to_i128()?).ok()?;
        Some((sensitivity.to_string(), Deviation::new(sigma, shift)?))
    })
}

impl Plan {
    /// What is released with noise, as the protocol takes it.
    pub(super) fn noisy(
        &self,
        noise: &NoisePlan,
        release: protocols::aggregate::ReleaseShape,
    ) -> NoisyShape {
        let deviation = |column: &NoisyColumn| {
            let numerator = column.deviation.parse().ok();
            let found = numerator.and_then(|n| Deviation::new(n, column.shift));
            found.expect("a plan names deviations that the sampler holds")
        };
        let (narrow, wide) = noise.columns.split_at(self.shape.narrow);
        NoisyShape {
            release,
            holders: self.holder_seats(),
            narrow: narrow.iter().map(deviation).collect(),
            wide: wide.iter().map(deviation).collect(),
        }
    }

    /// Who learns something of the totals with noise: the receivers, and where counts are compared all who compute.
    #[must_use]
    pub fn told(&self) -> Vec<&PartyId> {
        match self.shape.rule {
            ReleaseRule::None => self.receivers.iter().collect(),
            ReleaseRule::Compare | ReleaseRule::OpenCounts => self.seats.iter().collect(),
        }
    }
}

impl NoisePlan {
    /// What stands beside the result, and what approvers read.
    #[must_use]
    pub fn in_words(&self, n_holders: usize) -> Vec<String> {
        let Guarantee { delta_log2, .. } = self.promise;
        let mut lines = vec![
            format!(
                "differential privacy: ε = {}, δ = 2^{delta_log2} for all rows of one person ({}) at all holders, against the receivers and all holders but one together; discrete Gaussian noise of {}, each of whom adds enough alone",
                self.promise.eps(),
                self.person,
                counted(n_holders as u64, "holder"),
            ),
            format!(
                "at each holder at most {} of one person are counted, the first that it reads",
                counted(self.rows_per_person, "row")
            ),
        ];
        for column in &self.columns {
            let clamp = column
                .clamp
                .as_ref()
                .map_or_else(String::new, |(low, high)| {
                    format!("each value is clamped to {low} to {high}; ")
                });
            let fraction = match column.shift {
                0 => String::new(),
                shift => format!("/2^{shift}"),
            };
            lines.push(format!(
                "{}: {clamp}one person changes it by {} at most at one holder, and the noise of each holder has standard deviation {}{fraction}, in units of its last digit",
                column.what, column.sensitivity, column.deviation
            ));
        }
        lines.push("counts below zero are shown as 0, and a group whose count is then 0 is not shown; published sizes and categories of tables, and the time that a run takes, are not covered".to_owned());
        lines
    }
}
