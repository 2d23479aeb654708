//! The ring and range of every aggregate argument.

use std::collections::BTreeSet;

use super::{none, one};
use crate::plan::bounds::{self, Known};
use crate::plan::part::{Part, Whole};
use crate::plan::ring::{self, Fit, TooWide};
use crate::plan::sql::outer::{Arg, Outer};
use crate::plan::types::{self, Types};
use crate::plan::{Measure, MeasureKind, PlanFault, RangeOrigin, RingWidth, Slot, ValueRange};

/// The ring and range of every argument.
pub(in crate::plan) fn fits(
    whole: &Whole<'_>,
    types: &Types,
    parts: &[Part],
    rows: u64,
) -> Result<Vec<Option<Fit>>, Vec<PlanFault>> {
    let mut fits = Vec::new();
    let mut faults = Vec::new();
    for (i, (arg, kind)) in whole.outer.args.iter().zip(&types.measures).enumerate() {
        let column = whole.outer.keys.len() + i;
        match fit(whole, arg, *kind, parts, column, rows) {
            Ok(fit) => fits.push(fit),
            Err(more) => faults.extend(more),
        }
    }
    none(faults)?;
    Ok(fits)
}

fn fit(
    whole: &Whole<'_>,
    arg: &Arg,
    kind: MeasureKind,
    parts: &[Part],
    column: usize,
    rows: u64,
) -> Result<Option<Fit>, Vec<PlanFault>> {
    if matches!(kind, MeasureKind::Counted | MeasureKind::Distinct) {
        return Ok(None);
    }
    let mut all: Option<Known> = None;
    let mut faults = Vec::new();
    for part in parts {
        let Some(catalogue) = whole.catalogues.get(&part.holder) else {
            continue;
        };
        let known = bounds::known(&part.trace, column, &part.types[column], catalogue);
        if let Some(operation) = &known.wraps {
            faults.push(PlanFault {
                place: types::origin(part, column),
                what: format!("{operation} can leave its integer type and would wrap around"),
                fix: "declare the ranges of its columns in the policy, or CAST them AS DECIMAL(38, 0)".to_owned(),
            });
        }
        let known = match kind {
            MeasureKind::Float => known.in_floats(),
            _ => known,
        };
        all = Some(match all {
            None => known,
            Some(before) => before.or(known),
        });
    }
    none(faults)?;
    let known = all.unwrap_or(Known {
        interval: None,
        declared: false,
        wraps: None,
    });
    let fit = match kind {
        _ if !arg.sum => Ok(ring::ordered(&known, kind)),
        MeasureKind::Exact { scale } => ring::exact(&known, scale, rows, arg.sum_sq),
        MeasureKind::Day => ring::exact(&known, 0, rows, arg.sum_sq),
        _ => ring::float(&known, rows, arg.sum_sq),
    };
    let fit = fit.map_err(|wide| one(too_wide_fault(arg, parts, column, rows, &wide)))?;
    let scale = match kind {
        MeasureKind::Exact { scale } => scale,
        MeasureKind::Day => 0,
        _ => return Ok(Some(fit)),
    };
    if !arg.ordered {
        return Ok(Some(fit));
    }
    match ring::within_64_bits(fit.range, scale) {
        Ok(range) => Ok(Some(Fit { range, ..fit })),
        Err(wide) => Err(one(PlanFault {
            place: origins(parts, column),
            what: format!(
                "the values of {} cannot be told apart by 64 bits, by the declared range",
                arg.label
            ),
            fix: format!("declare a range within ±{}", wide.at_most),
        })),
    }
}

fn origins(parts: &[Part], column: usize) -> String {
    let origins: BTreeSet<String> = parts.iter().map(|p| types::origin(p, column)).collect();
    origins.into_iter().collect::<Vec<_>>().join(", ")
}

fn too_wide_fault(
    arg: &Arg,
    parts: &[Part],
    column: usize,
    rows: u64,
    too_wide: &TooWide,
) -> PlanFault {
    let total = if too_wide.squares {
        "sum of squares"
    } else {
        "sum"
    };
    PlanFault {
        place: origins(parts, column),
        what: format!(
            "the {total} of {} over {rows} rows does not fit 128 bits, by the declared range",
            arg.label
        ),
        fix: format!("declare a range within ±{}", too_wide.at_most),
    }
}

/// The measures, and how many columns there are with them.
pub(in crate::plan) struct Columns {
    pub(in crate::plan) measures: Vec<Measure>,
    pub(in crate::plan) narrow: usize,
    pub(in crate::plan) wide: usize,
}

/// Gives every measure its columns. Narrow column 0 is COUNT(*).
pub(in crate::plan) fn columns(
    outer: &Outer,
    types: &Types,
    parts: &[Part],
    fits: &[Option<Fit>],
) -> Columns {
    let mut narrow = 1;
    let mut wide = 0;
    let mut slot = |(ring, frac_bits): (RingWidth, u32)| {
        let next = match ring {
            RingWidth::Narrow => &mut narrow,
            RingWidth::Wide => &mut wide,
        };
        *next += 1;
        Slot {
            ring,
            index: *next - 1,
            frac_bits,
            scale: 0,
        }
    };
    let mut measures = Vec::new();
    for (i, arg) in outer.args.iter().enumerate() {
        let column = outer.keys.len() + i;
        let nullable = !arg.distinct && parts.iter().any(|p| p.nullable[column]);
        let count = match nullable {
            true => slot((RingWidth::Narrow, 0)).index,
            false => 0,
        };
        let fit = fits[i].as_ref();
        measures.push(Measure {
            arg: i,
            label: arg.label.clone(),
            kind: types.measures[i],
            range: fit.map_or_else(no_range, |f| f.range.clone()),
            count,
            sum: fit.and_then(|f| f.sum).map(&mut slot),
            sum_sq: fit.and_then(|f| f.sum_sq).map(&mut slot),
        });
    }
    Columns {
        measures,
        narrow,
        wide,
    }
}

/// The range of what is only counted.
pub(in crate::plan) fn no_range() -> ValueRange {
    ValueRange {
        low: String::new(),
        high: String::new(),
        origin: RangeOrigin::None,
    }
}
