//! One type for each key and argument over all holders.

use arrow::datatypes::DataType;

use super::part::{Convert, Part};
use super::sql::outer::{Arg, Outer};
use super::{MeasureKind, PlanFault, TableColumn, ValueKind};

/// The agreed types and what each holder does to reach them.
pub(super) struct Types {
    pub(super) keys: Vec<ValueKind>,
    pub(super) measures: Vec<MeasureKind>,
    /// By part: one entry for each key and argument.
    pub(super) convert: Vec<Vec<Convert>>,
}

/// Agrees on types.
///
/// # Errors
/// Keys of different kinds, arguments that are no numbers: naming holder, table and column.
pub(super) fn agree(outer: &Outer, parts: &[Part]) -> Result<Types, Vec<PlanFault>> {
    let mut types = Types {
        keys: Vec::new(),
        measures: Vec::new(),
        convert: vec![Vec::new(); parts.len()],
    };
    let mut faults = Vec::new();
    for (i, key) in outer.keys.iter().enumerate() {
        let what = format!("the group key {}", key.name);
        match key_kind(&what, i, parts) {
            Ok(kind) => {
                types.keys.push(kind);
                types.convert.iter_mut().for_each(|c| c.push(as_text(kind)));
            }
            Err(fault) => faults.push(fault),
        }
    }
    for (i, arg) in outer.args.iter().enumerate() {
        let column = outer.keys.len() + i;
        if arg.distinct {
            match key_kind(&format!("COUNT(DISTINCT {})", arg.label), column, parts) {
                Ok(kind) => {
                    types.measures.push(MeasureKind::Distinct);
                    types.convert.iter_mut().for_each(|c| c.push(as_text(kind)));
                }
                Err(fault) => faults.push(fault),
            }
            continue;
        }
        match measure_kind(arg, column, parts) {
            Ok(kind) => {
                types.measures.push(kind);
                for (part, convert) in parts.iter().zip(&mut types.convert) {
                    convert.push(conversion(kind, &part.types[column]));
                }
            }
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() {
        Ok(types)
    } else {
        Err(faults)
    }
}

/// What every holder does so that equal values are equal texts.
pub(super) fn as_text(kind: ValueKind) -> Convert {
    match kind {
        ValueKind::Text => Convert::Keep,
        ValueKind::Decimal { scale, .. } => Convert::DecimalText(scale),
        _ => Convert::Text,
    }
}

/// `what` is the key or the argument, for people.
fn key_kind(what: &str, column: usize, parts: &[Part]) -> Result<ValueKind, PlanFault> {
    let mut agreed: Option<(ValueKind, &Part)> = None;
    for part in parts {
        let kind = &part.types[column];
        if *kind == DataType::Null {
            continue;
        }
        let Some(here) = groupable(kind) else {
            return Err(PlanFault {
                place: origin(part, column),
                what: format!("{what} is {}", in_words(kind)),
                fix: "use text, whole numbers, decimals, days or conditions: CAST(… AS DATE), ROUND or HISTOGRAM"
                    .to_owned(),
            });
        };
        agreed = Some(match agreed {
            None => (here, part),
            Some((before, first)) => match common(before, here) {
                Some(kind) => (kind, first),
                None => {
                    return Err(PlanFault {
                        place: origin(part, column),
                        what: format!(
                            "{what} is {} here and {} at {}",
                            in_words(kind),
                            in_words(&first.types[column]),
                            origin(first, column)
                        ),
                        fix: "CAST one to the type of the other in its branch of the UNION ALL"
                            .to_owned(),
                    });
                }
            },
        });
    }
    Ok(agreed.map_or(ValueKind::Text, |(kind, _)| kind))
}

pub(super) fn groupable(kind: &DataType) -> Option<ValueKind> {
    Some(match kind {
        DataType::Boolean => ValueKind::Bool,
        DataType::UInt64 => ValueKind::Decimal {
            precision: 38,
            scale: 0,
        },
        kind if kind.is_integer() => ValueKind::Int,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => ValueKind::Decimal {
            precision: 38,
            scale: *scale,
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ValueKind::Text,
        DataType::Date32 => ValueKind::Date,
        _ => return None,
    })
}

pub(super) fn common(a: ValueKind, b: ValueKind) -> Option<ValueKind> {
    use ValueKind::{Decimal, Int};
    let decimal = |scale| Decimal {
        precision: 38,
        scale,
    };
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Decimal { scale: a, .. }, Decimal { scale: b, .. }) => Some(decimal(a.max(b))),
        (Int, Decimal { scale, .. }) | (Decimal { scale, .. }, Int) => Some(decimal(scale)),
        _ => None,
    }
}

fn measure_kind(arg: &Arg, column: usize, parts: &[Part]) -> Result<MeasureKind, Vec<PlanFault>> {
    if !arg.sum && !arg.ordered {
        return Ok(MeasureKind::Counted);
    }
    let is_day = |part: &Part| matches!(part.types[column], DataType::Date32 | DataType::Null);
    if (!arg.sum || arg.days) && parts.iter().all(is_day) {
        return Ok(MeasureKind::Day);
    }
    let mut kind = MeasureKind::Exact { scale: 0 };
    let mut faults = Vec::new();
    for part in parts {
        match &part.types[column] {
            DataType::Float32 | DataType::Float64 => kind = MeasureKind::Float,
            DataType::Decimal32(_, s) | DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => {
                if let MeasureKind::Exact { scale } = kind {
                    kind = MeasureKind::Exact {
                        scale: scale.max(*s),
                    };
                }
            }
            DataType::Null => {}
            kind if kind.is_integer() => {}
            other => faults.push(PlanFault {
                place: format!("the part of {}", part.holder),
                what: format!(
                    "{} is {}, the job needs a number{}",
                    subject(part, column, &arg.label),
                    in_words(other),
                    if arg.sum && !arg.days {
                        ""
                    } else {
                        ", or days everywhere"
                    }
                ),
                fix: match other {
                    DataType::Boolean => "write CASE WHEN … THEN 1 ELSE 0 END".to_owned(),
                    _ => "CAST it, aggregate another column, or use COUNT".to_owned(),
                },
            }),
        }
    }
    if faults.is_empty() {
        Ok(kind)
    } else {
        Err(faults)
    }
}

fn conversion(kind: MeasureKind, from: &DataType) -> Convert {
    match (kind, from) {
        (MeasureKind::Float, DataType::Float64)
        | (MeasureKind::Counted | MeasureKind::Distinct, _)
        | (_, DataType::Null) => Convert::Keep,
        (MeasureKind::Float, _) => Convert::Double,
        (MeasureKind::Day, _) => Convert::Days,
        (MeasureKind::Exact { scale: 0 }, kind) if kind.is_integer() => Convert::Keep,
        (MeasureKind::Exact { scale }, DataType::Decimal128(_, s)) if *s == scale => Convert::Keep,
        (MeasureKind::Exact { scale }, _) => Convert::Decimal(scale),
    }
}

/// The columns behind an output column of a part.
pub(super) fn bases(part: &Part, column: usize) -> Vec<TableColumn> {
    let mut bases: Vec<TableColumn> = part
        .trace
        .rows
        .iter()
        .filter_map(|row| row.get(column))
        .flat_map(|cell| cell.bases.iter().cloned())
        .collect();
    bases.sort();
    bases.dedup();
    bases
}

/// `hospital_2.encounters.time_in_hospital`, or the holder's part where a column depends on several.
pub(super) fn origin(part: &Part, column: usize) -> String {
    match bases(part, column).as_slice() {
        [base] => format!("{}.{}.{}", part.holder, base.table, base.column),
        _ => format!("the part of {}", part.holder),
    }
}

/// A plain column by its full name, anything else as the job writes it.
fn subject(part: &Part, column: usize, label: &str) -> String {
    let plain = part.trace.rows.iter().all(|row| {
        let expr = row.get(column).and_then(|cell| cell.expr.as_ref());
        matches!(expr, Some(datafusion::logical_expr::Expr::Column(_)))
    });
    if plain {
        origin(part, column)
    } else {
        label.to_owned()
    }
}

/// A type as a person would call it.
pub(super) fn in_words(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "true or false",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Date32 | DataType::Date64 => "a day",
        DataType::Timestamp(..) => "a date and time",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "a floating-point number",
        DataType::Interval(_) | DataType::Duration(_) => "a span of time",
        DataType::Null => "NULL",
        kind if kind.is_integer() => "a whole number",
        kind if kind.is_decimal() => "a decimal number",
        _ => "of a type that a job cannot use",
    }
}
