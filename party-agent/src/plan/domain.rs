//! The public groups of a key: declared in the job, written in the expression, or computed from what catalogues
//! publish about the columns that it depends on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Case, Expr, ExprSchemable};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;

use super::bounds::{Interval, entry};
use super::trace::{Cell, Scanned, Trace};
use super::{MAX_ENUMERATED, TableColumn, ValueKind};
use crate::catalogue::Catalogue;

/// Most combinations of column values over which one key is evaluated.
const MAX_COMBINATIONS: usize = 1 << 16;

/// The groups of one key at one holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    /// As text; `None` is NULL.
    pub(super) values: Vec<Option<String>>,
    /// Whether no row can have another value, whatever the tables hold.
    pub(super) closed: bool,
    /// Where they come from, in words.
    pub(super) source: Source,
}

/// Where groups come from, the least binding last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Written in the expression.
    Written,
    /// From published categories or declared ranges.
    Published,
    /// Declared in the job.
    Declared,
}

/// Why a key has no groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// These columns publish neither categories nor a short range.
    Unpublished(BTreeSet<TableColumn>),
    /// Too many combinations of published values.
    TooMany(usize),
    /// The key is no function of single rows.
    Opaque,
    /// The engine cannot evaluate it for a published value.
    Fails(String),
}

/// The groups of one output column of a holder's query.
pub(super) fn groups(
    trace: &Trace,
    column: usize,
    catalogue: &Catalogue,
    state: &SessionState,
) -> Result<Groups, Missing> {
    let mut all = Groups {
        values: Vec::new(),
        closed: true,
        source: Source::Written,
    };
    for row in &trace.rows {
        let cell = &row[column];
        let here = of_cell(trace, cell, catalogue, state)?;
        merge(&mut all, here);
    }
    Ok(all)
}

/// The groups of a condition that is no function of single rows.
pub(super) fn of_condition(nullable: bool) -> Groups {
    let known = ["false", "true"].map(|text| Some(text.to_owned()));
    Groups {
        values: known.into_iter().chain(nullable.then_some(None)).collect(),
        closed: true,
        source: Source::Written,
    }
}

/// Adds the groups of another branch or holder.
pub(super) fn merge(all: &mut Groups, more: Groups) {
    for value in more.values {
        if !all.values.contains(&value) {
            all.values.push(value);
        }
    }
    all.closed &= more.closed;
    all.source = all.source.max(more.source);
}

/// Writes groups as values of the key's type are written: holders may publish them in narrower types.
pub(super) fn unify(groups: &mut Groups, kind: ValueKind) {
    let mut values = Vec::with_capacity(groups.values.len());
    for value in std::mem::take(&mut groups.values) {
        let value = value.map(|text| declared(&text, kind).unwrap_or(text));
        if !values.contains(&value) {
            values.push(value);
        }
    }
    groups.values = values;
}

/// Sorts groups: NULL last; numbers and days by value; texts by their bytes, unless they are all written in the
/// expression, where the order of writing says more.
pub(super) fn sort(groups: &mut Groups, kind: ValueKind) {
    let keep = groups.source == Source::Written && kind == ValueKind::Text;
    let number = |text: &String| Interval::decimal(text);
    groups.values.sort_by(|a, b| match (a, b) {
        (None, None) => std::cmp::Ordering::Equal,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (Some(_), None) => std::cmp::Ordering::Less,
        (Some(_), Some(_)) if keep => std::cmp::Ordering::Equal,
        (Some(a), Some(b)) => match kind {
            ValueKind::Int | ValueKind::Decimal { .. } => number(a).cmp(&number(b)).then(a.cmp(b)),
            _ => a.cmp(b),
        },
    });
}

fn of_cell(
    trace: &Trace,
    cell: &Cell,
    catalogue: &Catalogue,
    state: &SessionState,
) -> Result<Groups, Missing> {
    let expr = cell.expr.as_ref().ok_or(Missing::Opaque)?;
    let schema = trace.schema_of(expr).map_err(|_| Missing::Opaque)?;
    if let Some(outcomes) = written(expr, &schema, cell.outer) {
        return Ok(Groups {
            values: texts(&outcomes).map_err(fails)?,
            closed: true,
            source: Source::Written,
        });
    }
    let mut unpublished = BTreeSet::new();
    let mut values = Vec::new();
    for key in trace.columns_of(expr) {
        let Some(scanned) = trace.scanned.get(&key) else {
            return Err(Missing::Opaque);
        };
        match values_of(scanned, catalogue, cell.outer) {
            Some(column) => values.push(column),
            None => unpublished.extend(scanned.base.clone()),
        }
    }
    if !unpublished.is_empty() {
        return Err(Missing::Unpublished(unpublished));
    }
    let combinations = values.iter().fold(1usize, |n, v| n.saturating_mul(v.len()));
    if combinations > MAX_COMBINATIONS {
        return Err(Missing::TooMany(combinations));
    }
    // A holder without rows publishes no values.
    let found = match combinations {
        0 => Vec::new(),
        n => evaluate(expr, &schema, &values, n, state).map_err(fails)?,
    };
    Ok(Groups {
        values: found,
        closed: false,
        source: Source::Published,
    })
}

fn fails(error: impl std::fmt::Display) -> Missing {
    Missing::Fails(error.to_string())
}

/// The values of an expression whose outcomes all stand in it: a CASE of literals, a condition.
fn written(expr: &Expr, schema: &DFSchema, outer: bool) -> Option<Vec<ScalarValue>> {
    match expr {
        Expr::Alias(alias) => written(&alias.expr, schema, outer),
        Expr::Literal(value, _) => Some(vec![value.clone()]),
        Expr::Case(Case {
            when_then_expr,
            else_expr,
            ..
        }) => {
            let mut outcomes = Vec::new();
            for (_, then) in when_then_expr {
                outcomes.extend(written(then, schema, outer)?);
            }
            match else_expr {
                Some(otherwise) => outcomes.extend(written(otherwise, schema, outer)?),
                None => outcomes.push(ScalarValue::Null),
            }
            Some(outcomes)
        }
        Expr::Cast(part) => {
            let outcomes = written(&part.expr, schema, outer)?.into_iter();
            let kind = part.field.data_type();
            outcomes.map(|v| v.cast_to(kind).ok()).collect()
        }
        Expr::ScalarFunction(function) if function.func.name() == "coalesce" => {
            let parts = function.args.iter().map(|a| written(a, schema, outer));
            let outcomes: Vec<Vec<ScalarValue>> = parts.collect::<Option<_>>()?;
            Some(outcomes.into_iter().flatten().collect())
        }
        // A condition; a bare Boolean column has its own published values.
        other if !matches!(other, Expr::Column(_)) => {
            if other.get_type(schema).ok()? != DataType::Boolean {
                return None;
            }
            let mut outcomes = vec![ScalarValue::from(false), ScalarValue::from(true)];
            if outer || other.nullable(schema).ok()? {
                outcomes.push(ScalarValue::Null);
            }
            Some(outcomes)
        }
        _ => None,
    }
}

/// The published values of a column, with NULL where it can occur.
fn values_of(scanned: &Scanned, catalogue: &Catalogue, outer: bool) -> Option<Vec<ScalarValue>> {
    let kind = scanned.field.data_type();
    let mut values = match &scanned.base {
        None => scanned.constants.clone(),
        Some(base) => {
            let entry = entry(catalogue, base)?;
            match (&entry.categories, &entry.range) {
                (Some(categories), _) => categories
                    .iter()
                    .flatten()
                    .map(|text| ScalarValue::try_from_string(text.clone(), kind).ok())
                    .collect::<Option<Vec<_>>>()?,
                _ if *kind == DataType::Boolean => {
                    vec![ScalarValue::from(false), ScalarValue::from(true)]
                }
                (None, Some((low, high))) => enumerate(low, high, kind)?,
                (None, None) => return None,
            }
        }
    };
    let has_null = values.iter().any(ScalarValue::is_null);
    if (scanned.field.is_nullable() || outer) && !has_null {
        values.push(ScalarValue::try_from(kind).ok()?);
    }
    Some(values)
}

/// Every value of a short declared range of integers or days.
fn enumerate(low: &str, high: &str, kind: &DataType) -> Option<Vec<ScalarValue>> {
    let days = *kind == DataType::Date32;
    if !days && !kind.is_integer() {
        return None;
    }
    let number = |text: &str| -> Option<i128> {
        if !days {
            return text.parse().ok();
        }
        match ScalarValue::try_from_string(text.to_owned(), kind).ok()? {
            ScalarValue::Date32(Some(day)) => Some(day.into()),
            _ => None,
        }
    };
    let (low, high) = (number(low)?, number(high)?);
    let n = usize::try_from(high.checked_sub(low)?).ok()?;
    if n >= MAX_ENUMERATED {
        return None;
    }
    (low..=high)
        .map(|v| match days {
            true => Some(ScalarValue::Date32(Some(i32::try_from(v).ok()?))),
            false => ScalarValue::try_from_string(v.to_string(), kind).ok(),
        })
        .collect()
}

/// The distinct values of an expression over all combinations of its columns' values, as text.
fn evaluate(
    expr: &Expr,
    schema: &DFSchema,
    values: &[Vec<ScalarValue>],
    combinations: usize,
    state: &SessionState,
) -> Result<Vec<Option<String>>, DataFusionError> {
    // The fields allow NULL here even where a column does not: an outer join can bring it in.
    let fields = schema.iter().map(|(relation, field)| {
        let field = field.as_ref().clone().with_nullable(true);
        (relation.cloned(), Arc::new(field))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), HashMap::new())?;
    let fields = schema.fields().clone();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(values.len());
    let mut repeat = combinations;
    for column in values {
        repeat /= column.len().max(1);
        let cycle = (0..combinations).map(|i| column[i / repeat % column.len()].clone());
        columns.push(ScalarValue::iter_to_array(cycle)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(combinations));
    let batch =
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    // Some functions, COALESCE among them, exist only until they are simplified.
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let expr = ExprSimplifier::new(context).simplify(expr.clone())?;
    let physical = state.create_physical_expr(expr, &schema)?;
    let found = physical.evaluate(&batch)?.into_array(combinations)?;
    Ok(distinct(&found)?)
}

fn texts(values: &[ScalarValue]) -> Result<Vec<Option<String>>, DataFusionError> {
    let mut found = Vec::new();
    for value in values {
        let text = distinct(&value.to_array()?)?.into_iter().next().flatten();
        if !found.contains(&text) {
            found.push(text);
        }
    }
    Ok(found)
}

/// The distinct texts of an array, in a fixed order.
fn distinct(values: &ArrayRef) -> Result<Vec<Option<String>>, arrow::error::ArrowError> {
    let values = cast(values, &DataType::Utf8)?;
    let values = values.as_string::<i32>();
    let distinct: BTreeSet<Option<&str>> = values.iter().collect();
    Ok(distinct.into_iter().map(|v| v.map(str::to_owned)).collect())
}

/// A declared group in the form in which the engine writes values of the key's type.
pub(super) fn declared(text: &str, kind: ValueKind) -> Option<String> {
    if kind == ValueKind::Text {
        return Some(text.to_owned());
    }
    let value = ScalarValue::try_from_string(text.to_owned(), &kind.arrow());
    let array = value.ok().filter(|v| !v.is_null())?.to_array().ok()?;
    let array = cast(&array, &DataType::Utf8).ok()?;
    let array = array.as_string::<i32>();
    array.is_valid(0).then(|| array.value(0).to_owned())
}
