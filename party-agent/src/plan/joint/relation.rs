//! Each relation's own part of the plan: its holders' queries, groups, and the numbers that they add up.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Expr;
use protocols::party::PartyId;

use super::coded;
use super::precision::{self, Divisor};
use super::taken::Taken;
use super::{Job, ValueColumns};
use crate::plan::compile::{count_only, keys, locals, measures, one, parts};
use crate::plan::part::{Convert, JoinKey, Part};
use crate::plan::ring::Fit;
use crate::plan::sql::outer::{Key, Outer};
use crate::plan::types::{self, Types};
use crate::plan::words::counted;
use crate::plan::{
    KeyColumn, LocalPlan, MeasureKind, PlanFault, RingWidth, Usage, ValueKind, ValueRange, widen,
};

/// Most pairs of rows of a join, by the published sizes of its tables.
const MAX_JOINED: u64 = 1 << 62;
/// Most columns for the values of arguments of one relation, over all its groups.
const MAX_VALUES: u64 = 1 << 12;
/// Most numbers in these columns, by the published size of the relation's tables.
const MAX_NUMBERS: u64 = 1 << 26;

/// Bits of the numbers that are compared between holders, at most, beside their sign.
const MAX_COMPARED_BITS: u32 = 42;

/// All relations.
pub(super) struct Compiled {
    pub(super) all: Vec<One>,
    /// No join has more rows.
    pub(super) rows: u64,
}

/// One relation.
pub(super) struct One {
    pub(super) outer: Outer,
    /// The number in the query of each of its group keys.
    pub(super) key_numbers: Vec<usize>,
    pub(super) keys: Vec<KeyColumn>,
    pub(super) raw: Vec<Part>,
    finals: Vec<Part>,
    pub(super) fits: Vec<Option<Fit>>,
    pub(super) columns: measures::Columns,
    /// The columns of arguments whose values are counted one by one.
    pub(super) values: Vec<ValueColumns>,
    /// Arguments that have too many values for that, and why. Their rows may be ordered instead.
    pub(super) wide: BTreeMap<usize, PlanFault>,
    /// Arguments that are factors of quotients.
    pub(super) quotients: BTreeMap<usize, Divisor>,
    /// What a row without a match has here, where the relation is optional.
    pub(super) without: Option<Without>,
}

/// What stands in the place of a relation in rows that have no match there.
pub(super) struct Without {
    /// Its group.
    pub(super) cell: usize,
    /// The value of each argument as an integer at its own scale; `None` for NULL.
    pub(super) values: Vec<Option<i128>>,
}

/// Compiles all relations.
pub(super) fn compile(job: &Job<'_>, taken: &Taken) -> Result<Compiled, Vec<PlanFault>> {
    let mut drafts = Vec::new();
    for at in 0..job.relations.all.len() {
        drafts.push(draft(job, taken, at).map_err(one)?);
    }
    let mut read = Vec::new();
    let mut faults = Vec::new();
    for (at, outer) in drafts.into_iter().enumerate() {
        match raw(job, at, outer) {
            Ok(found) => read.push(found),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let rows = joined_rows(job, &read).map_err(one)?;
    let converts = key_types(job, &read)?;
    let mut all = Vec::new();
    for (at, (outer, raw)) in read.into_iter().enumerate() {
        let compared = taken.below.iter().flat_map(|b| b.args_of(at));
        let compared: BTreeSet<usize> = compared.chain(taken.row_args_of(at)).collect();
        let ranked = &taken.drafts[at].ranked;
        let bounds = (rows, (&compared, ranked));
        match finished(job, (at, outer, raw), bounds, &converts) {
            Ok(relation) => all.push(relation),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for (one, draft) in all.iter_mut().zip(&taken.drafts) {
        one.quotients = precision::divisors(job, one, &draft.quotients);
    }
    let mut compiled = Compiled { all, rows };
    precision::share_out(job, taken, &mut compiled)?;
    for (at, one) in compiled.all.iter_mut().enumerate() {
        if one.without.is_some() {
            let values = values_without(job, (at, &one.outer), &one.columns)?;
            one.without
                .iter_mut()
                .for_each(|w| w.values.clone_from(&values));
        }
    }
    Ok(compiled)
}

/// The group keys and arguments of one relation, as an outermost SELECT of its own.
fn draft(job: &Job<'_>, taken: &Taken, at: usize) -> Result<Outer, PlanFault> {
    let mut keys = Vec::new();
    for key in &job.outer.keys {
        if owner(job, key)? == at {
            keys.push(key.clone());
        }
    }
    let mut args = taken.drafts[at].args.clone();
    if keys.is_empty() && args.is_empty() {
        args.push(count_only());
    }
    Ok(Outer::of(keys, args))
}

/// The relation that a group key belongs to.
fn owner(job: &Job<'_>, key: &Key) -> Result<usize, PlanFault> {
    let reached = job.separate().scope.relations(&key.expr)?;
    let mut reached = reached.into_iter();
    match (reached.next(), reached.next()) {
        (one, None) if one.is_none_or(|at| job.relations.all[at].member.is_none()) => {
            Ok(one.unwrap_or(0))
        }
        (_, None) => {
            let what = format!(
                "the group key {} depends on another holder's subquery",
                key.name
            );
            let fix = "write the condition in FILTER (WHERE …) of each aggregate, or run a job with it in WHERE";
            Err(job.site.fault(&key.expr, what, fix))
        }
        _ => {
            let what = format!(
                "the group key {} mixes columns of different holders",
                key.name
            );
            let fix = "group by each holder's part as a key of its own, and combine the groups of the result";
            Err(job.site.fault(&key.expr, what, fix))
        }
    }
}

fn keys_of(job: &Job<'_>, at: usize, converts: &[Convert]) -> Vec<JoinKey> {
    let exprs = job.relations.all[at].key.iter().enumerate();
    exprs
        .map(|(i, expr)| JoinKey {
            expr: expr.clone(),
            convert: converts.get(i).copied().unwrap_or(Convert::Keep),
        })
        .collect()
}

/// The parts of one relation's holders, their types not agreed yet.
fn raw(job: &Job<'_>, at: usize, outer: Outer) -> Result<(Outer, Vec<Part>), Vec<PlanFault>> {
    let select = job.select_of(at);
    let holders = holders(job, at);
    let key = keys_of(job, at, &[]);
    let whole = job.whole(&select, &outer, &key);
    let raw = parts(&whole, &holders, &[])?;
    match widen::widen(&whole, &raw)? {
        None => Ok((outer, raw)),
        Some(wider) => {
            let whole = job.whole(&select, &wider, &key);
            let raw = parts(&whole, &holders, &[])?;
            Ok((wider, raw))
        }
    }
}

fn holders(job: &Job<'_>, at: usize) -> Vec<PartyId> {
    let names = &job.relations.all[at].holders;
    let all = job.parties.holders.iter();
    all.filter(|p| names.contains(p.as_str()))
        .cloned()
        .collect()
}

/// No join has more rows: every row of one relation with every row of the others.
fn joined_rows(job: &Job<'_>, read: &[(Outer, Vec<Part>)]) -> Result<u64, PlanFault> {
    let any_optional = job.relations.all.iter().any(|r| r.optional);
    let rows = read.iter().map(|(_, parts)| {
        let rows = parts
            .iter()
            .map(|p| p.rows_at_most)
            .fold(0, u64::saturating_add);
        // A row without a match counts as well.
        rows.saturating_add(u64::from(any_optional))
    });
    // One row a key meets one row of each other table, or as many as the job says.
    let rows = match job.has_one_row_a_key() {
        false => rows.fold(1u64, u64::saturating_mul),
        true => rows
            .fold(0, u64::saturating_add)
            .saturating_mul(job.n_choices() as u64),
    };
    if rows <= MAX_JOINED {
        return Ok(rows);
    }
    Err(PlanFault {
        place: "compute.sql".to_owned(),
        what: "the join could have more than 2^62 rows, by the published sizes of its tables"
            .to_owned(),
        fix: "write a smaller max_rows in the job, or GROUP BY the key in subqueries".to_owned(),
    })
}

/// How every column of the key becomes text, so that equal values are equal texts.
fn key_types(job: &Job<'_>, read: &[(Outer, Vec<Part>)]) -> Result<Vec<Convert>, Vec<PlanFault>> {
    let n_columns = job.relations.all.first().map_or(0, |r| r.key.len());
    let (mut converts, mut faults) = (Vec::new(), Vec::new());
    for column in 0..n_columns {
        match key_type(job, read, column) {
            Ok(kind) => converts.push(types::as_text(kind)),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.is_empty() {
        true => Ok(converts),
        false => Err(faults),
    }
}

fn key_type(
    job: &Job<'_>,
    read: &[(Outer, Vec<Part>)],
    column: usize,
) -> Result<ValueKind, PlanFault> {
    let mut agreed: Option<(ValueKind, String)> = None;
    for (at, (outer, parts)) in read.iter().enumerate() {
        let expr = &job.relations.all[at].key[column];
        for part in parts {
            let place = outer.keys.len() + outer.args.len() + column;
            let kind = &part.types[place];
            if *kind == arrow::datatypes::DataType::Null {
                continue;
            }
            let name = types::origin(part, place);
            let in_words = types::in_words(kind);
            let Some(here) = types::groupable(kind) else {
                let what = format!("the key {expr} of {} is {in_words}", part.holder);
                let fix = "join on text, whole numbers, decimals or days: CAST(… AS DATE)";
                return Err(job.site.fault(expr, what, fix));
            };
            agreed = Some(match agreed {
                None => (here, format!("{in_words} at {name}")),
                Some((before, first)) => match types::common(before, here) {
                    Some(kind) => (kind, first),
                    None => {
                        let what = format!("the key is {in_words} at {name} and {first}");
                        let fix = "CAST one to the type of the other";
                        return Err(job.site.fault(expr, what, fix));
                    }
                },
            });
        }
    }
    Ok(agreed.map_or(ValueKind::Text, |(kind, _)| kind))
}

fn finished(
    job: &Job<'_>,
    (at, outer, raw): (usize, Outer, Vec<Part>),
    (rows, (compared, ranked)): (u64, (&BTreeSet<usize>, &BTreeSet<usize>)),
    converts: &[Convert],
) -> Result<One, Vec<PlanFault>> {
    let select = job.select_of(at);
    let holders = holders(job, at);
    let key = keys_of(job, at, converts);
    let whole = job.whole(&select, &outer, &key);
    let types = types::agree(&outer, &raw)?;
    let finals = parts(&whole, &holders, &types.convert)?;
    let mut fits = measures::fits(&whole, &types, &raw, rows)?;
    let own_rows = raw.iter().map(|part| part.rows_at_most);
    let own_rows = own_rows.fold(0, u64::saturating_add);
    for arg in compared {
        let is_exact = matches!(types.measures[*arg], MeasureKind::Exact { .. });
        fits[*arg] = fits[*arg].take().map(|fit| match is_exact {
            true => of_one_row(fit, own_rows),
            false => fit,
        });
    }
    let optional = job.relations.all[at].optional;
    let without_groups = match optional {
        true => groups_without(job, (at, &outer), &types)?,
        false => vec![None; outer.keys.len()],
    };
    let mut keys = keys::keys(job.sql, &whole, &types, &raw, &without_groups)?;
    coded::numbered(job, &raw, &without_groups, &mut keys).map_err(one)?;
    let mut columns = measures::columns(&outer, &types, &raw, &fits);
    let (values, wide) = value_columns(job, (&outer, &raw), (&keys, ranked), &mut columns);
    let without = match optional {
        // Values are told when it is known how many digits numbers have.
        true => Some(Without {
            cell: cell(&keys, &without_groups),
            values: Vec::new(),
        }),
        false => None,
    };
    let numbers = job.outer.keys.iter().enumerate();
    let mut key_numbers = Vec::new();
    for (number, key) in numbers {
        if owner(job, key).map_err(one)? == at {
            key_numbers.push(number);
        }
    }
    Ok(One {
        outer,
        key_numbers,
        keys,
        raw,
        finals,
        fits,
        columns,
        values,
        wide,
        quotients: BTreeMap::new(),
        without,
    })
}

/// What is compared is a number of one row, and no total of joined ones: its holder checks that it is in the range,
/// which is cut to what can be compared.
fn of_one_row(fit: Fit, own_rows: u64) -> Fit {
    let bits_of_rows = u64::BITS - own_rows.leading_zeros();
    let most = 1i128 << MAX_COMPARED_BITS.min(61u32.saturating_sub(bits_of_rows));
    let ends = (fit.range.low.parse(), fit.range.high.parse());
    let (low, high): (i128, i128) = match ends {
        (Ok(low), Ok(high)) => (low, high),
        _ => (-most, most),
    };
    let (low, high) = (low.clamp(-most, most), high.clamp(-most, most));
    Fit {
        range: ValueRange {
            low: low.to_string(),
            high: high.to_string(),
            origin: fit.range.origin,
        },
        sum: Some((RingWidth::Narrow, 0)),
        ..fit
    }
}

/// Gives a column to each value of every argument whose values are compared, as far as these are few.
fn value_columns(
    job: &Job<'_>,
    (outer, parts): (&Outer, &[Part]),
    (keys, ranked): (&[KeyColumn], &BTreeSet<usize>),
    columns: &mut measures::Columns,
) -> (Vec<ValueColumns>, BTreeMap<usize, PlanFault>) {
    let (mut all, mut wide) = (Vec::new(), BTreeMap::new());
    let cells = keys.iter().map(|key| key.n_groups() as u64);
    let cells = cells.fold(1, u64::saturating_mul);
    let rows = parts.iter().map(|part| part.rows_at_most);
    let rows = rows.fold(0, u64::saturating_add);
    let most = (MAX_NUMBERS / rows.max(1)).min(MAX_VALUES) / cells.max(1);
    let mut left = most;
    for (arg, measure) in outer.args.iter().zip(&columns.measures) {
        if !arg.ordered || ranked.contains(&measure.arg) {
            continue;
        }
        let Some(n_values) = measure.n_values() else {
            let what = format!(
                "MIN, MAX and quantiles over a join between holders count the rows of each value here, and {} is no whole number, decimal or day of 64 bits",
                arg.label
            );
            let fix = "take them of a column of one table alone, without ROLLUP, CUBE and comparisons between holders beside; or CAST it to a DECIMAL with few decimals, in a declared range";
            wide.insert(measure.arg, job.site.fault(&arg.expr, what, fix));
            continue;
        };
        if n_values > left {
            let what = format!(
                "MIN, MAX and quantiles over a join between holders count the rows of each value here, and {} can have {n_values} by its range: with {} of its table and {rows} rows there can be {most} of all such arguments",
                arg.label,
                counted(cells, "group")
            );
            let fix = "take them of a column of one table alone, without ROLLUP, CUBE and comparisons between holders beside; or declare a shorter range of its columns in the policies, write CASE WHEN x BETWEEN 0 AND 100 THEN x END, CAST it to fewer decimals, group by fewer keys, write max_rows, or take it at its holder in a subquery";
            wide.insert(measure.arg, job.site.fault(&arg.expr, what, fix));
            continue;
        }
        left -= n_values;
        let n_values = usize::try_from(n_values).expect("at most MAX_VALUES");
        all.push(ValueColumns {
            measure: measure.arg,
            first: columns.narrow,
            n_values,
        });
        columns.narrow += n_values;
    }
    (all, wide)
}

/// The group of a row without a match, key by key, as text.
fn groups_without(
    job: &Job<'_>,
    (at, outer): (usize, &Outer),
    types: &Types,
) -> Result<Vec<Option<Option<String>>>, Vec<PlanFault>> {
    let from = &job.relations.all[at].from;
    let mut groups = Vec::new();
    for (key, kind) in outer.keys.iter().zip(&types.keys) {
        let expr = Convert::Text.apply(types::as_text(*kind).apply(key.expr.clone()));
        let value = job.schemas.without_row(&expr, from).map_err(|e| {
            let what = format!("{} cannot be told for a row without a match: {e}", key.name);
            one(job.site.fault(
                &key.expr,
                what,
                "group by a column of the table whose rows are all kept",
            ))
        })?;
        groups.push(Some(text_of(&value)));
    }
    Ok(groups)
}

fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        _ => None,
    }
}

/// The number of a group.
fn cell(keys: &[KeyColumn], groups: &[Option<Option<String>>]) -> usize {
    let slots = keys.iter().zip(groups).map(|(key, group)| {
        let group = group.clone().flatten();
        let found = key.domain.iter().position(|d| *d == group);
        (found.unwrap_or(key.domain.len()), key.n_slots())
    });
    slots.fold(0, |cell, (slot, radix)| cell * radix + slot)
}

/// The arguments in a row without a match, as integers at their scales.
fn values_without(
    job: &Job<'_>,
    (at, outer): (usize, &Outer),
    columns: &measures::Columns,
) -> Result<Vec<Option<i128>>, Vec<PlanFault>> {
    let from = &job.relations.all[at].from;
    let mut values = Vec::new();
    for (arg, measure) in outer.args.iter().zip(&columns.measures) {
        let fault = |e: String| {
            let what = format!(
                "{} cannot be told for a row without a match: {e}",
                arg.label
            );
            one(job
                .site
                .fault(&arg.expr, what, "COALESCE the columns first"))
        };
        let constant = |expr: &Expr| {
            let found = job.schemas.without_row(expr, from);
            found.map_err(|e| fault(e.to_string()))
        };
        let value = match &measure.kind {
            MeasureKind::Day => {
                let value = constant(&arg.expr)?;
                match value {
                    ScalarValue::Date32(day) => day.map(i128::from),
                    value if value.is_null() => None,
                    _ => return Err(fault("it is no day".to_owned())),
                }
            }
            MeasureKind::Counted | MeasureKind::Distinct => {
                let value = constant(&arg.expr)?;
                (!value.is_null()).then_some(1)
            }
            MeasureKind::Exact { scale } => {
                let expr = Convert::Decimal(*scale).apply(arg.expr.clone());
                let value = constant(&expr)?;
                match value {
                    ScalarValue::Decimal128(value, ..) => value,
                    _ => None,
                }
            }
            MeasureKind::Float => {
                let expr = Convert::Double.apply(arg.expr.clone());
                let value = constant(&expr)?;
                match value {
                    ScalarValue::Float64(Some(value)) => {
                        let bits = measure.sum.map_or(0, |s| s.frac_bits);
                        let scaled = value * 2f64.powi(i32::try_from(bits).unwrap_or(0));
                        // 0 and other small numbers are exact; what is not would need its own rounding.
                        if scaled.fract() != 0.0 || scaled.abs() >= 2f64.powi(120) {
                            return Err(fault("it is no binary fraction".to_owned()));
                        }
                        Some(scaled as i128)
                    }
                    _ => None,
                }
            }
        };
        values.push(value);
    }
    Ok(values)
}

impl One {
    /// The low end of an argument's range.
    pub(super) fn low(&self, arg: usize) -> i128 {
        let low = self.columns.measures[arg].range.low.parse();
        low.expect("an argument whose values are counted has a range")
    }

    /// A bound on the different keys of a holder: a row of one table has one, however many rows it is joined with.
    pub(super) fn keys_at_most(&self, job: &Job<'_>, part: &Part) -> u64 {
        let first = self.outer.keys.len() + self.outer.args.len();
        let [row] = part.trace.rows.as_slice() else {
            return part.rows_at_most;
        };
        let bases = row[first..].iter().flat_map(|cell| &cell.bases);
        let tables: BTreeSet<&String> = bases.map(|base| &base.table).collect();
        let catalogue = job.catalogues.get(&part.holder);
        let of_table = match tables.into_iter().collect::<Vec<_>>().as_slice() {
            [table] => catalogue.and_then(|c| c.tables.get(*table)),
            _ => None,
        };
        of_table.map_or(part.rows_at_most, |t| t.rows_at_most.min(part.rows_at_most))
    }
}

impl Compiled {
    /// What every holder runs.
    pub(super) fn locals(&self, as_key: Usage) -> BTreeMap<PartyId, LocalPlan> {
        let all = self.all.iter();
        let as_key = [as_key];
        all.flat_map(|one| locals(&one.outer, &one.raw, &one.finals, &one.keys, &as_key))
            .collect()
    }

    /// The group keys of the query in their order.
    pub(super) fn keys(&self, n_keys: usize) -> Vec<KeyColumn> {
        let mut placed: Vec<Option<KeyColumn>> = vec![None; n_keys];
        for relation in &self.all {
            for (number, key) in relation.key_numbers.iter().zip(&relation.keys) {
                placed[*number] = Some(key.clone());
            }
        }
        placed.into_iter().flatten().collect()
    }
}
