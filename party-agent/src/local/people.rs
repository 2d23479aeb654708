//! This holder's own part of a model over a join: one row for each person, as numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::Float64Type;
use engine::hash::KeyedHash;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::KeyHash;
use zeroize::Zeroize;

use super::keys::{self, KeyReport, Rows};
use crate::plan::{LocalPlan, Plan};
use crate::source::{Source, SourceError};

/// The rows of a holder that have a key and no missing value.
pub struct People {
    /// The keys, all different.
    pub items: Vec<Item>,
    /// Columns of numbers.
    pub numbers: Vec<Vec<f64>>,
    /// The text column after them, if there is one.
    pub texts: Vec<String>,
    /// Of all rows as the query yields them, whatever their order, the same in every session; 0 unless it was asked for.
    pub digest: u128,
    report: KeyReport,
}

impl Drop for People {
    fn drop(&mut self) {
        self.items.zeroize();
        self.numbers.zeroize();
        self.texts.zeroize();
    }
}

/// What a holder's query yields.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Columns of the key.
    pub n_keys: usize,
    /// Columns of numbers after them.
    pub n_numbers: usize,
    /// Whether a column of text follows.
    pub has_text: bool,
    /// Whether missing numbers are kept, as NaN.
    pub keeps_missing: bool,
    /// Whether there is a digest of the rows.
    pub is_digested: bool,
}

/// Reads this holder's rows.
///
/// # Errors
/// [`SourceError`] if the query fails, a key stands in two rows, a value is no finite number, or the table has outgrown
/// its published size. Nothing has left this holder then.
pub async fn people(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    (hash, layout): (&Arc<KeyHash>, Layout),
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<People, SourceError> {
    let mut rows = Rows::open(plan, me, source, (hash, layout.n_keys)).await?;
    let local = rows.local;
    let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); layout.n_numbers];
    let mut words: Vec<String> = Vec::new();
    let (mut digest, hash) = (0u128, KeyedHash::new("entente/v1/agent/rows", &[b"people"]));
    let items: Vec<Option<Item>> = rows
        .hash_into(Vec::new(), progress, |batch| {
            if layout.is_digested {
                digest = digest.wrapping_add(digested(&hash, batch.columns(), layout)?);
            }
            let columns = &batch.columns()[layout.n_keys.min(batch.num_columns())..];
            if columns.len() != layout.n_numbers + usize::from(layout.has_text) {
                return Err(engine("a query yields other columns than the plan says"));
            }
            for (out, column) in numbers.iter_mut().zip(columns) {
                add_numbers(out, column, layout, local)?;
            }
            if layout.has_text {
                add_texts(&mut words, &columns[layout.n_numbers])?;
            }
            Ok(())
        })
        .await?;
    let n_rows = rows.n_rows;
    let has_key: Vec<bool> = items.iter().map(Option::is_some).collect();
    let items = different(items, local)?;
    numbers.iter_mut().for_each(|column| keep(column, &has_key));
    if layout.has_text {
        keep(&mut words, &has_key);
    }
    Ok(People {
        report: report(n_rows, &items),
        items,
        numbers,
        texts: words,
        digest,
    })
}

/// The sum of hashes of rows, each of all that stands in it: the same in whatever order rows come.
fn digested(hash: &KeyedHash, columns: &[ArrayRef], layout: Layout) -> Result<u128, SourceError> {
    let n_rows = columns.first().map_or(0, |column| column.len());
    let (keys, others) = columns.split_at(layout.n_keys.min(columns.len()));
    let (numbers, words) = others.split_at(layout.n_numbers.min(others.len()));
    let numbers: Vec<_> = numbers
        .iter()
        .filter_map(|column| column.as_primitive_opt::<Float64Type>())
        .collect();
    let mut texts = keys::texts(keys)?;
    texts.extend(keys::texts(words)?);
    let (mut sum, mut row) = (0u128, Vec::new());
    for place in 0..n_rows {
        row.clear();
        for column in &texts {
            row.push(u8::from(column.is_valid(place)));
            let value = match column.is_valid(place) {
                true => column.value(place).as_bytes(),
                false => &[],
            };
            row.extend((value.len() as u64).to_le_bytes());
            row.extend(value);
        }
        for column in &numbers {
            row.push(u8::from(column.is_valid(place)));
            let value = column.is_valid(place).then(|| column.value(place));
            row.extend(value.unwrap_or(0.0).to_bits().to_le_bytes());
        }
        sum = sum.wrapping_add(u128::from_le_bytes(hash.hash(&row)));
    }
    row.zeroize();
    Ok(sum)
}

impl People {
    /// What only this holder learns.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        self.report.clone()
    }
}

/// The rows of a holder that have a key, as texts.
pub struct Texts {
    /// The keys, all different.
    pub items: Vec<Item>,
    /// The columns after the key's, `None` for NULL.
    pub texts: Vec<Vec<Option<String>>>,
    /// What only this holder learns.
    pub report: KeyReport,
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.items.zeroize();
        self.texts.zeroize();
    }
}

/// Reads this holder's rows, whose columns after the key's are texts.
///
/// # Errors
/// [`SourceError`] if the query fails, a key stands in two rows, or the table has outgrown its published size. Nothing has
/// left this holder then.
pub async fn texts(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    (hash, n_keys): (&Arc<KeyHash>, usize),
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Texts, SourceError> {
    let mut rows = Rows::open(plan, me, source, (hash, n_keys)).await?;
    let mut all: Vec<Vec<Option<String>>> = Vec::new();
    let items: Vec<Option<Item>> = rows
        .hash_into(Vec::new(), progress, |batch| {
            let columns = keys::texts(&batch.columns()[n_keys.min(batch.num_columns())..])?;
            all.resize(columns.len(), Vec::new());
            for (out, column) in all.iter_mut().zip(&columns) {
                out.extend(column.iter().map(|value| value.map(str::to_owned)));
            }
            Ok(())
        })
        .await?;
    let (n_rows, local) = (rows.n_rows, rows.local);
    let has_key: Vec<bool> = items.iter().map(Option::is_some).collect();
    let items = different(items, local)?;
    all.iter_mut().for_each(|column| keep(column, &has_key));
    Ok(Texts {
        report: report(n_rows, &items),
        items,
        texts: all,
    })
}

/// What is told of keys that are all different.
fn report(n_rows: u64, items: &[Item]) -> KeyReport {
    KeyReport {
        rows: n_rows,
        distinct: items.len() as u64,
        duplicates: 0,
        missing: n_rows - items.len() as u64,
    }
}

/// The keys of the rows that have one, if they are all different.
fn different(items: Vec<Option<Item>>, local: &LocalPlan) -> Result<Vec<Item>, SourceError> {
    let items: Vec<Item> = items.into_iter().flatten().collect();
    let distinct = items.iter().collect::<BTreeSet<_>>().len();
    if distinct == items.len() {
        return Ok(items);
    }
    let what = format!(
        "{} rows have the key of an earlier row",
        items.len() - distinct
    );
    let advice = "a model over a join takes one row a key: publish a table in which rows are added up by key";
    Err(SourceError::table(&local.tables.join(", "), what, advice))
}

fn engine(what: &str) -> SourceError {
    SourceError::Engine {
        what: what.to_owned(),
    }
}

fn add_numbers(
    out: &mut Vec<f64>,
    column: &ArrayRef,
    layout: Layout,
    local: &LocalPlan,
) -> Result<(), SourceError> {
    let values = column.as_primitive_opt::<Float64Type>();
    let values = values.ok_or_else(|| engine("a number cannot be read as a double"))?;
    if layout.keeps_missing {
        // NaN where the source has it counts as missing, too.
        let values = values.iter().map(|v| v.unwrap_or(f64::NAN));
        let start = out.len();
        out.extend(values);
        if !out[start..].iter().any(|v| v.is_infinite()) {
            return Ok(());
        }
    }
    let values = values.values();
    if values.iter().any(|v| !v.is_finite()) || column.null_count() > 0 {
        let what = "a value is infinite, or not a number".to_owned();
        let advice = "correct it, or leave the column out";
        return Err(SourceError::table(&local.tables.join(", "), what, advice));
    }
    out.extend_from_slice(values);
    Ok(())
}

fn add_texts(out: &mut Vec<String>, column: &ArrayRef) -> Result<(), SourceError> {
    let columns: Vec<StringViewArray> = keys::texts(std::slice::from_ref(column))?;
    let values = columns.iter().flatten();
    out.extend(values.map(|value| value.unwrap_or_default().to_owned()));
    Ok(())
}

/// Keeps the values of rows that have a key.
fn keep<T>(values: &mut Vec<T>, has_key: &[bool]) {
    let mut flags = has_key.iter();
    values.retain(|_| flags.next().copied().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};

    fn digest(keys: &[&str], numbers: &[Option<f64>]) -> u128 {
        let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
        let numbers: ArrayRef = Arc::new(Float64Array::from(numbers.to_vec()));
        let layout = Layout {
            n_keys: 1,
            n_numbers: 1,
            has_text: false,
            keeps_missing: true,
            is_digested: true,
        };
        let hash = KeyedHash::new("entente/v1/agent/rows", &[b"people"]);
        digested(&hash, &[keys, numbers], layout).expect("texts and numbers")
    }

    #[test]
    fn rows_have_one_digest_whatever_their_order_and_others_another() {
        let rows = digest(&["a", "b"], &[Some(1.0), Some(2.0)]);
        assert_eq!(rows, digest(&["b", "a"], &[Some(2.0), Some(1.0)]));
        for (keys, numbers) in [
            (["a", "b"], [Some(2.0), Some(1.0)]),
            (["a", "c"], [Some(1.0), Some(2.0)]),
            (["a", "b"], [Some(1.0), None]),
            (["a", "b"], [Some(1.0), Some(2.0 + 1e-15)]),
        ] {
            assert_ne!(rows, digest(&keys, &numbers), "{keys:?} {numbers:?}");
        }
        assert_ne!(rows, digest(&["a"], &[Some(1.0)]));
    }
}
