//! Builds a table's entry by reading the table once.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use futures::StreamExt;

use super::{
    Class, ColumnEntry, ColumnKind, MAX_CATEGORIES, MAX_CATEGORY_BYTES, MAX_HIDDEN_BYTES,
    MIN_ROWS_AT_MOST, REHEARSAL_CATEGORIES, TableEntry, Uses,
};
use crate::source::{SCHEMA, Source, SourceColumn, SourceError, quoted};

/// What may be published about a table.
#[derive(Clone, Debug)]
pub enum Publish {
    /// A rehearsal on data of one's own without a policy: everything may be used. Columns with at most
    /// [`REHEARSAL_CATEGORIES`] distinct values publish them, numbers publish a coarse magnitude.
    Rehearsal,
    /// The columns that a policy lists, and nothing that it does not say.
    Policy(BTreeMap<String, ColumnRule>),
}

/// What a policy says about one column. The default publishes its name and type and allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnRule {
    /// What others may do with it.
    pub uses: Uses,
    /// Its published categories.
    pub categories: CategoryRule,
    /// Its declared bounds, inclusive, as decimal strings.
    pub range: Option<(String, String)>,
    /// Its unit.
    pub unit: Option<String>,
    /// How much protection it needs.
    pub class: Option<Class>,
}

/// Which categories of a column are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CategoryRule {
    /// None.
    #[default]
    None,
    /// All values that occur.
    FromData,
    /// These.
    Listed(BTreeSet<Option<String>>),
    /// None, but groups may be formed by them, and those that are large enough are shown. Of texts the bytes of the
    /// longest.
    Hidden(Option<u64>),
}

/// The entry of one table of `source`, from one pass over it.
///
/// # Errors
/// [`SourceError`] if the table cannot be read, if the policy names a column that it does not have, or if a
/// column has too many or too long categories to publish.
pub async fn describe(
    source: &Source,
    table: &str,
    publish: &Publish,
    note: Option<String>,
) -> Result<TableEntry, SourceError> {
    let advice = "name a table of this party";
    let data = source
        .tables()
        .get(table)
        .ok_or_else(|| SourceError::table(table, "there is no such table", advice))?;
    let columns = published(table, data.columns(), publish)?;
    let mut surveys: Vec<_> = columns
        .iter()
        .map(|(c, rule)| Survey::new(&c.kind, publish, rule.as_ref()))
        .collect();
    let mut n_rows = 0u64;
    let usable: Vec<usize> = (0..columns.len())
        .filter(|&i| columns[i].0.kind.arrow().is_some())
        .collect();
    let names = usable
        .iter()
        .map(|&i| quoted(&columns[i].0.name))
        .collect::<Vec<_>>()
        .join(", ");
    // A table may have no usable column and has rows all the same.
    let names = if names.is_empty() {
        "1".to_owned()
    } else {
        names
    };
    let sql = format!("SELECT {names} FROM {SCHEMA}.{}", quoted(table));
    let context = source.context();
    let query = context.sql(&sql).await.map_err(SourceError::from_engine)?;
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch.map_err(SourceError::from_engine)?;
        n_rows += batch.num_rows() as u64;
        for (position, &i) in usable.iter().enumerate() {
            surveys[i].see(batch.column(position).as_ref());
        }
    }
    let mut entries = Vec::with_capacity(columns.len());
    for ((column, rule), survey) in columns.into_iter().zip(surveys) {
        entries.push(survey.entry(table, column, rule)?);
    }
    let rows_at_most = n_rows.max(MIN_ROWS_AT_MOST).next_power_of_two();
    Ok(TableEntry {
        cohorts: None,
        columns: entries,
        commitment: None,
        consent: data.consent().map(str::to_owned),
        dominance: None,
        note,
        rows_at_most,
        visible_to: None,
    })
}

/// The columns to publish, each with what the policy says.
fn published<'a>(
    table: &str,
    columns: &'a [SourceColumn],
    publish: &Publish,
) -> Result<Vec<(&'a SourceColumn, Option<ColumnRule>)>, SourceError> {
    let Publish::Policy(rules) = publish else {
        return Ok(columns.iter().map(|c| (c, None)).collect());
    };
    if let Some(unknown) = rules
        .keys()
        .find(|name| !columns.iter().any(|c| c.name == **name))
    {
        let advice = "correct the policy file: names are compared exactly";
        return Err(SourceError::column(
            table,
            unknown,
            "the table has no such column",
            advice,
        ));
    }
    Ok(columns
        .iter()
        .filter_map(|c| Some((c, Some(rules.get(&c.name)?.clone()))))
        .collect())
}

/// What is learnt about one column while its table is read.
struct Survey {
    has_null: bool,
    /// Distinct values as text; `None` where they are not wanted or too many.
    categories: Option<Categories>,
    magnitude: Option<Magnitude>,
    /// Bytes of the longest text.
    longest: u64,
    is_rehearsal: bool,
}

struct Categories {
    seen: BTreeSet<String>,
    at_most: usize,
    /// More than `at_most`, or one that is too long.
    overflow: bool,
}

/// The extremes of a column of numbers.
enum Magnitude {
    Exact { scale: i8, least: i128, most: i128 },
    Float { least: f64, most: f64 },
}

impl Survey {
    fn new(kind: &ColumnKind, publish: &Publish, rule: Option<&ColumnRule>) -> Self {
        let is_rehearsal = matches!(publish, Publish::Rehearsal);
        let is_categorical = matches!(
            kind,
            ColumnKind::Bool
                | ColumnKind::Int { .. }
                | ColumnKind::Text
                | ColumnKind::Date
                // A column without any value has no categories, which is not the same as not publishing them.
                | ColumnKind::Empty
        );
        let from_policy = rule.is_some_and(|r| r.categories == CategoryRule::FromData);
        let at_most = if is_rehearsal {
            REHEARSAL_CATEGORIES
        } else {
            MAX_CATEGORIES
        };
        let categories = (is_categorical && (is_rehearsal || from_policy)).then(|| Categories {
            seen: BTreeSet::new(),
            at_most,
            overflow: false,
        });
        let magnitude = match kind {
            _ if !is_rehearsal => None,
            ColumnKind::Int { .. } => Some(Magnitude::exact(0)),
            ColumnKind::Decimal { scale, .. } => Some(Magnitude::exact(*scale)),
            ColumnKind::Float => Some(Magnitude::Float {
                least: 0.0,
                most: 0.0,
            }),
            _ => None,
        };
        Self {
            has_null: false,
            categories,
            magnitude,
            longest: 0,
            is_rehearsal,
        }
    }

    fn see(&mut self, values: &dyn Array) {
        self.has_null |= values.logical_null_count() > 0;
        if let Some(categories) = &mut self.categories {
            categories.see(values);
        }
        if let Some(magnitude) = &mut self.magnitude {
            magnitude.see(values);
        }
        if self.is_rehearsal && *values.data_type() == DataType::Utf8View {
            let texts = values.as_string_view().iter().flatten();
            let longest = texts.map(str::len).max().unwrap_or(0) as u64;
            self.longest = self.longest.max(longest);
        }
    }

    fn entry(
        self,
        table: &str,
        column: &SourceColumn,
        rule: Option<ColumnRule>,
    ) -> Result<ColumnEntry, SourceError> {
        let found = match self.categories {
            Some(found) if found.overflow && !self.is_rehearsal => {
                let what = format!(
                    "it has more than {} categories, or one of more than {MAX_CATEGORY_BYTES} bytes",
                    found.at_most
                );
                let advice = "list the categories to publish in the policy file";
                return Err(SourceError::column(table, &column.name, what, advice));
            }
            Some(found) if !found.overflow => {
                let null = self.has_null.then_some(None);
                Some(
                    null.into_iter()
                        .chain(found.seen.into_iter().map(Some))
                        .collect(),
                )
            }
            _ => None,
        };
        let rule = rule.unwrap_or_else(|| ColumnRule {
            uses: if column.kind.arrow().is_some() {
                Uses::all()
            } else {
                Uses::default()
            },
            range: self.magnitude.as_ref().and_then(Magnitude::rounded_outward),
            ..ColumnRule::default()
        });
        let (categories, hidden) = match rule.categories {
            CategoryRule::Listed(listed) => (Some(listed.into_iter().collect()), None),
            CategoryRule::Hidden(longest) => (None, Some(hidden(table, column, longest)?)),
            // A rehearsal keeps nothing back: what is too much to be published may still form groups.
            CategoryRule::None if self.is_rehearsal => {
                let longest = self.longest.next_multiple_of(16).max(16);
                let longest = hidden(table, column, Some(longest)).ok();
                (found, longest.filter(|l| *l <= MAX_HIDDEN_BYTES))
            }
            CategoryRule::None | CategoryRule::FromData => (found, None),
        };
        Ok(ColumnEntry {
            categories,
            class: rule.class,
            hidden,
            kind: column.kind.clone(),
            name: column.name.clone(),
            nullable: self.has_null,
            range: rule.range,
            unit: rule.unit,
            uses: rule.uses,
        })
    }
}

/// The bytes of the longest value of a column whose categories are hidden.
fn hidden(table: &str, column: &SourceColumn, longest: Option<u64>) -> Result<u64, SourceError> {
    let refused = |what: &str, advice| {
        Err(SourceError::column(
            table,
            &column.name,
            what.to_owned(),
            advice,
        ))
    };
    match (&column.kind, longest) {
        (ColumnKind::Bool, _) => Ok(5),
        (ColumnKind::Int { bits, .. }, _) => Ok(match bits {
            8 => 4,
            16 => 6,
            32 => 11,
            _ => 20,
        }),
        (ColumnKind::Decimal { precision, .. }, _) => Ok(u64::from(*precision) + 3),
        (ColumnKind::Date, _) => Ok(13),
        (ColumnKind::Text | ColumnKind::Empty, Some(longest)) => Ok(longest),
        (ColumnKind::Text | ColumnKind::Empty, None) => refused(
            "its categories are hidden, and nothing says how long they are",
            "write longest = 16, the bytes of its longest text, beside categories = \"hidden\"",
        ),
        _ => refused(
            "values of its type form no groups",
            "hide the categories of text, whole numbers, decimals and days",
        ),
    }
}

impl Categories {
    fn see(&mut self, values: &dyn Array) {
        match values.data_type() {
            DataType::Boolean => self.booleans(values.as_boolean()),
            DataType::Utf8View => self.text(values.as_string_view()),
            DataType::Date32 => {
                for day in values.as_primitive::<Date32Type>().iter().flatten() {
                    if let Some(day) = Date32Type::to_naive_date_opt(day) {
                        self.add(&day.format("%Y-%m-%d").to_string());
                    }
                }
            }
            DataType::Int8 => self.ints::<Int8Type>(values),
            DataType::Int16 => self.ints::<Int16Type>(values),
            DataType::Int32 => self.ints::<Int32Type>(values),
            DataType::Int64 => self.ints::<Int64Type>(values),
            DataType::UInt8 => self.ints::<UInt8Type>(values),
            DataType::UInt16 => self.ints::<UInt16Type>(values),
            DataType::UInt32 => self.ints::<UInt32Type>(values),
            DataType::UInt64 => self.ints::<UInt64Type>(values),
            _ => {}
        }
    }

    fn booleans(&mut self, values: &BooleanArray) {
        if values.true_count() > 0 {
            self.add("true");
        }
        if values.false_count() > 0 {
            self.add("false");
        }
    }

    fn text(&mut self, values: &StringViewArray) {
        for value in values.iter().flatten() {
            self.add(value);
        }
    }

    fn ints<T: ArrowPrimitiveType>(&mut self, values: &dyn Array)
    where
        T::Native: std::fmt::Display + Ord,
    {
        if self.overflow {
            return;
        }
        let mut distinct: Vec<_> = values.as_primitive::<T>().iter().flatten().collect();
        distinct.sort_unstable();
        distinct.dedup();
        for value in distinct {
            self.add(&value.to_string());
        }
    }

    fn add(&mut self, value: &str) {
        if self.overflow || self.seen.contains(value) {
            return;
        }
        if self.seen.len() >= self.at_most || value.len() > MAX_CATEGORY_BYTES {
            self.overflow = true;
            self.seen.clear();
            return;
        }
        self.seen.insert(value.to_owned());
    }
}

impl Magnitude {
    fn exact(scale: i8) -> Self {
        Self::Exact {
            scale,
            least: 0,
            most: 0,
        }
    }

    fn see(&mut self, values: &dyn Array) {
        match values.data_type() {
            DataType::Int8 => self.exact_values::<Int8Type>(values),
            DataType::Int16 => self.exact_values::<Int16Type>(values),
            DataType::Int32 => self.exact_values::<Int32Type>(values),
            DataType::Int64 => self.exact_values::<Int64Type>(values),
            DataType::UInt8 => self.exact_values::<UInt8Type>(values),
            DataType::UInt16 => self.exact_values::<UInt16Type>(values),
            DataType::UInt32 => self.exact_values::<UInt32Type>(values),
            DataType::UInt64 => self.exact_values::<UInt64Type>(values),
            DataType::Decimal128(_, _) => self.exact_values::<Decimal128Type>(values),
            DataType::Float64 => {
                let Self::Float { least, most } = self else {
                    return;
                };
                // NaN and infinity have no magnitude; a job that aggregates them is refused at this holder.
                let finite = values
                    .as_primitive::<Float64Type>()
                    .iter()
                    .flatten()
                    .filter(|v| v.is_finite());
                for value in finite {
                    *least = least.min(value);
                    *most = most.max(value);
                }
            }
            _ => {}
        }
    }

    fn exact_values<T: ArrowPrimitiveType>(&mut self, values: &dyn Array)
    where
        T::Native: Into<i128>,
    {
        let Self::Exact { least, most, .. } = self else {
            return;
        };
        for value in values.as_primitive::<T>().iter().flatten() {
            let value = value.into();
            *least = (*least).min(value);
            *most = (*most).max(value);
        }
    }

    /// Bounds at the next powers of two away from zero, so that only the order of magnitude is published.
    fn rounded_outward(&self) -> Option<(String, String)> {
        match *self {
            Self::Exact { scale, least, most } => {
                let unit = 10u128.pow(scale.unsigned_abs().into());
                let bound = |value: i128| match value.unsigned_abs().div_ceil(unit) {
                    0 => Some(0),
                    whole => whole.checked_next_power_of_two(),
                };
                Some((
                    negative(&bound(least)?.to_string()),
                    bound(most)?.to_string(),
                ))
            }
            Self::Float { least, most } => {
                Some((negative(&power_above(-least)?), power_above(most)?))
            }
        }
    }
}

fn negative(text: &str) -> String {
    if text == "0" {
        text.to_owned()
    } else {
        format!("-{text}")
    }
}

/// The least power of two, from 2^-30 to 2^120, that is not below `value`, in decimals; `0` for 0.
fn power_above(value: f64) -> Option<String> {
    if value == 0.0 {
        return Some("0".to_owned());
    }
    let exponent = (-30..=120).find(|&e| value <= 2f64.powi(e))?;
    Some(match u32::try_from(exponent) {
        Ok(e) => (1u128 << e).to_string(),
        Err(_) => {
            // 2^-k = 5^k / 10^k has k decimals.
            let k = exponent.unsigned_abs();
            format!("0.{:0width$}", 5u128.pow(k), width = k as usize)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_coarse_magnitude_is_published() {
        let exact = |scale, least, most| Magnitude::Exact { scale, least, most }.rounded_outward();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(exact(0, 0, 14), pair("0", "16"));
        assert_eq!(exact(0, -16, 0), pair("-16", "0"));
        assert_eq!(exact(2, -5, 2_506_210), pair("-1", "32768"));
        assert_eq!(
            exact(0, i64::MIN.into(), i64::MAX.into()),
            pair("-9223372036854775808", "9223372036854775808")
        );
        let float = |least, most| Magnitude::Float { least, most }.rounded_outward();
        assert_eq!(float(-0.3, 14.1), pair("-0.5", "16"));
        assert_eq!(float(0.0, 0.003), pair("0", "0.00390625"));
        assert_eq!(float(0.0, 1e300), None);
    }
}
