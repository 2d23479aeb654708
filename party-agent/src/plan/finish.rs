//! The receivers' part: the columns of `released` and the query over them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, i256};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, ExactNumberInfo, Expr, Ident, VisitMut, VisitorMut,
};

use super::bounds::power_of_ten;
use super::schema::{Schemas, engine_fault};
use super::sql::having::conjunction;
use super::sql::outer::{MARK, Outer, cast, is_marked, marked};
use super::sql::spell::quoted;
use super::types::in_words;
use super::{
    KeyColumn, MeasureKind, OutputColumn, PairStat, PlanFault, Released, ReleasedColumn, ValueKind,
};

/// The table that a receiver's query reads.
const RELEASED: &str = "released";
const PLACE: &str = "the outermost SELECT";

/// What a measure's sum can be: its kind, and the largest magnitude of an exact sum.
pub(super) struct SumOf {
    pub(super) kind: MeasureKind,
    pub(super) largest: Option<i256>,
    /// Whether every value is a whole number of 64 bits.
    pub(super) is_narrow: bool,
}

/// The columns of `released`: keys, their slots, the rows, and what the expressions use.
pub(super) fn columns(outer: &Outer, keys: &[KeyColumn], sums: &[SumOf]) -> Vec<ReleasedColumn> {
    let mut used: BTreeMap<String, Released> = outer.released.clone();
    for (i, _) in keys.iter().enumerate() {
        used.insert(format!("k{i}"), Released::Key(i));
        used.insert(format!("o{i}"), Released::Ordinal(i));
    }
    used.insert("n".to_owned(), Released::Rows);
    let mut columns: Vec<ReleasedColumn> = used
        .into_iter()
        .map(|(name, value)| ReleasedColumn {
            name: fresh(&name, outer),
            kind: kind_of(value, keys, sums),
            value,
        })
        .collect();
    columns.sort_by_key(|c| c.value.rank());
    columns
}

/// A column's name that no output of another meaning has: ORDER BY takes an output's name before a column's, whatever stands
/// before it.
fn fresh(column: &str, outer: &Outer) -> String {
    let this = marked(column);
    let mut name = column.to_owned();
    let is_taken = |name: &str| {
        let mut outputs = outer.outputs.iter();
        outputs.any(|o| o.name.eq_ignore_ascii_case(name) && o.expr != this)
    };
    // No name of ours ends in this, so different ones stay different.
    while is_taken(&name) {
        name.push('_');
    }
    name
}

fn kind_of(value: Released, keys: &[KeyColumn], sums: &[SumOf]) -> ValueKind {
    match value {
        Released::Key(i) => keys.get(i).map_or(ValueKind::Text, |key| key.kind),
        Released::Ordinal(_)
        | Released::Grouping(_)
        | Released::Rows
        | Released::Count(_)
        | Released::Distinct(_) => ValueKind::Int,
        Released::Sum(i) => sums.get(i).map_or(ValueKind::Float, sum_kind),
        Released::Extreme { measure, .. }
        | Released::Quantile {
            measure,
            continuous: false,
            ..
        } => sums.get(measure).map_or(ValueKind::Float, value_kind),
        Released::Quantile { .. } => ValueKind::Float,
        Released::Pair {
            stat: PairStat::Count,
            ..
        } => ValueKind::Int,
        Released::Avg(_)
        | Released::Var { .. }
        | Released::StdDev { .. }
        | Released::Spearman { .. }
        | Released::Pair { .. } => ValueKind::Float,
    }
}

/// The type of a single value of a measure.
fn value_kind(sum: &SumOf) -> ValueKind {
    match sum.kind {
        MeasureKind::Exact { scale: 0 } if sum.is_narrow => ValueKind::Int,
        MeasureKind::Exact { scale } => ValueKind::Decimal {
            precision: 38,
            scale,
        },
        MeasureKind::Day => ValueKind::Date,
        MeasureKind::Float | MeasureKind::Counted | MeasureKind::Distinct => ValueKind::Float,
    }
}

fn sum_kind(sum: &SumOf) -> ValueKind {
    let MeasureKind::Exact { scale } = sum.kind else {
        return ValueKind::Float;
    };
    let below = |digits: u32| match (sum.largest, power_of_ten(digits)) {
        (Some(largest), Some(limit)) => largest < limit,
        _ => false,
    };
    let is_whole = sum
        .largest
        .is_some_and(|l| l <= i256::from_i128(i64::MAX.into()));
    match scale {
        0 if is_whole => ValueKind::Int,
        scale if below(38) => ValueKind::Decimal {
            precision: 38,
            scale,
        },
        scale => ValueKind::Decimal {
            precision: 76,
            scale,
        },
    }
}

impl Released {
    /// The order of columns in `released`.
    fn rank(self) -> (usize, usize, u8) {
        match self {
            Self::Key(i) => (0, i, 0),
            Self::Ordinal(i) => (1, i, 0),
            Self::Grouping(i) => (1, i, 1),
            Self::Rows => (2, 0, 0),
            Self::Count(i) => (3, i, 0),
            Self::Sum(i) => (3, i, 1),
            Self::Avg(i) => (3, i, 2),
            Self::Var { measure, sample } => (3, measure, 3 + u8::from(sample)),
            Self::StdDev { measure, sample } => (3, measure, 5 + u8::from(sample)),
            Self::Distinct(i) => (3, i, 11),
            Self::Extreme { measure, greatest } => (3, measure, 7 + u8::from(greatest)),
            Self::Quantile {
                measure,
                continuous,
                ..
            } => (3, measure, 9 + u8::from(continuous)),
            Self::Pair { stat, y, x, .. } => (4 + y, x, stat as u8),
            Self::Spearman { y, x } => (4 + y, x, u8::MAX),
        }
    }
}

/// The receivers' query and the columns that it gives.
///
/// # Errors
/// Expressions over aggregates that do not fit their types, and results of a type that has no place in a result.
pub(super) fn query(
    outer: &Outer,
    columns: &[ReleasedColumn],
) -> Result<(String, Vec<OutputColumn>), Vec<PlanFault>> {
    let sql = text(outer, columns);
    let fields = columns.iter().map(|c| (c.name.clone(), c.kind.arrow()));
    let schemas = Schemas::of_released(RELEASED, fields.collect());
    let plan = schemas
        .read(&sql)
        .and_then(|raw| schemas.analyse(raw))
        .map_err(|e| vec![engine_fault(PLACE, &e)])?;
    let mut outputs = Vec::new();
    let mut faults = Vec::new();
    for (field, output) in plan.schema().fields().iter().zip(&outer.outputs) {
        match output_kind(field.data_type()) {
            Some(kind) => outputs.push(OutputColumn {
                name: output.name.clone(),
                kind,
            }),
            None => faults.push(PlanFault {
                place: PLACE.to_owned(),
                what: format!(
                    "the output {} is {}",
                    output.name,
                    in_words(field.data_type())
                ),
                fix: "CAST it to a number, text or DATE".to_owned(),
            }),
        }
    }
    if faults.is_empty() {
        Ok((sql, outputs))
    } else {
        Err(faults)
    }
}

fn output_kind(kind: &DataType) -> Option<ValueKind> {
    Some(match kind {
        DataType::Boolean => ValueKind::Bool,
        DataType::UInt64 => ValueKind::Decimal {
            precision: 20,
            scale: 0,
        },
        kind if kind.is_integer() => ValueKind::Int,
        DataType::Float32 | DataType::Float64 => ValueKind::Float,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            ValueKind::Text
        }
        DataType::Date32 => ValueKind::Date,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            ValueKind::Decimal {
                precision: *precision,
                scale: *scale,
            }
        }
        _ => return None,
    })
}

fn text(outer: &Outer, columns: &[ReleasedColumn]) -> String {
    let written = |expr: &Expr| {
        let mut expr = expr.clone();
        let _ = VisitMut::visit(&mut expr, &mut Widen { outer, columns });
        let _ = VisitMut::visit(&mut expr, &mut Unmark { outer });
        expr.to_string()
    };
    let outputs: Vec<String> = outer
        .outputs
        .iter()
        .map(|o| format!("{} AS {}", written(&o.expr), quoted(&o.name)))
        .collect();
    let mut order: Vec<String> = outer
        .order
        .iter()
        .map(|o| {
            let direction = if o.options.asc == Some(false) {
                "DESC"
            } else {
                "ASC"
            };
            // NULL comes last in both directions, unless the job says otherwise.
            let nulls = if o.options.nulls_first == Some(true) {
                "FIRST"
            } else {
                "LAST"
            };
            format!("{} {direction} NULLS {nulls}", written(&o.expr))
        })
        .collect();
    // Ties, and jobs without ORDER BY, follow the order of the groups.
    let ordinals = (0..outer.keys.len()).map(|i| fresh(&format!("o{i}"), outer));
    order.extend(ordinals.map(|name| format!("{RELEASED}.{name} ASC NULLS LAST")));
    let mut sql = format!("SELECT {} FROM {RELEASED}", outputs.join(", "));
    if let Some(filter) = conjunction(&outer.filter) {
        sql.push_str(&format!(" WHERE {}", written(&filter)));
    }
    if !order.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    if let Some(limit) = outer.limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    if let Some(offset) = outer.offset {
        sql.push_str(&format!(" OFFSET {offset}"));
    }
    sql
}

/// Sums and counts become decimals where they are added, subtracted or multiplied: integers would wrap around.
struct Widen<'a> {
    outer: &'a Outer,
    columns: &'a [ReleasedColumn],
}

impl Widen<'_> {
    fn widen(&self, operand: &mut Expr) {
        let Expr::Identifier(name) = &*operand else {
            return;
        };
        let Some(name) = name.value.strip_prefix(MARK) else {
            return;
        };
        let name = fresh(name, self.outer);
        let column = self.columns.iter().find(|c| c.name == name);
        let is_total = |c: &&ReleasedColumn| !matches!(c.value, Released::Key(_));
        let scale = match column.filter(is_total).map(|c| c.kind) {
            Some(ValueKind::Int) => 0,
            Some(ValueKind::Decimal {
                precision: 38,
                scale,
            }) => scale,
            _ => return,
        };
        let info = ExactNumberInfo::PrecisionAndScale(38, i64::from(scale));
        *operand = cast(operand.clone(), SqlType::Decimal(info));
    }
}

impl VisitorMut for Widen<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        use BinaryOperator::{Minus, Multiply, Plus};
        if let Expr::BinaryOp {
            left,
            op: Plus | Minus | Multiply,
            right,
        } = expr
        {
            self.widen(left);
            self.widen(right);
        }
        ControlFlow::Continue(())
    }
}

/// Columns of `released` under their full names, which no alias can hide.
struct Unmark<'a> {
    outer: &'a Outer,
}

impl VisitorMut for Unmark<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_marked(expr)
            && let Expr::Identifier(name) = &*expr
        {
            let name = fresh(name.value.trim_start_matches(MARK), self.outer);
            *expr = Expr::CompoundIdentifier(vec![Ident::new(RELEASED), quoted(&name)]);
        }
        ControlFlow::Continue(())
    }
}
