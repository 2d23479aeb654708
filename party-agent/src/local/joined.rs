//! This holder's own part of a join between holders: its rows added up by key and by its own groups.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use protocols::aggregate::LocalTotals;
use protocols::join::Inputs;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::KeyHash;
use zeroize::Zeroize;

use super::cells::CellIndex;
use super::keys::{KeyReport, hash_rows, texts};
use super::measure::MeasureTotals;
use super::order::Codes;
use super::{LocalInputs, StepInput, outgrown, prepare};
use crate::plan::{JoinPlan, KeyColumn, LocalPlan, OwnColumn, Plan, RelationPlan, RingWidth, Step};
use crate::source::{Source, SourceError};

/// The row of totals of rows without a key; keys come after it.
const KEYLESS: u32 = 0;

/// A holder's totals by key and group.
pub struct Joined {
    items: Vec<Item>,
    /// Row k·cells + g: of key k in group g; those of rows without a key first.
    totals: LocalTotals,
    cells: usize,
    report: KeyReport,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.items.zeroize();
    }
}

/// Runs this holder's query and adds its rows up by key and group.
///
/// # Errors
/// [`SourceError`] if the query fails, if a value lies outside the range that the plan was made for, or if the table has
/// outgrown its published size. Nothing has left this holder then.
pub async fn joined(
    plan: &Plan,
    relation: &RelationPlan,
    me: &PartyId,
    source: &Source,
    hash: &KeyHash,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Joined, SourceError> {
    let Some(local) = plan.locals.get(me) else {
        let what = "this party has no part in the plan".to_owned();
        return Err(SourceError::Engine { what });
    };
    let query = prepare(local, me, source).await?;
    let keys: Vec<KeyColumn> = relation
        .keys
        .iter()
        .map(|k| KeyColumn {
            // Totals over groups are added up after the join.
            has_total: false,
            ..plan.keys[*k].clone()
        })
        .collect();
    let mut sums = Sums::new(relation, local, &keys, hash)?;
    sums.check_columns(&query)?;
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    while let Some(batch) = batches.next().await {
        sums.add(&batch.map_err(SourceError::from_engine)?)?;
        progress(sums.n_rows);
        super::hear().await;
    }
    sums.finish()
}

/// The running totals.
struct Sums<'a> {
    relation: &'a RelationPlan,
    local: &'a LocalPlan,
    hash: &'a KeyHash,
    cells: CellIndex<'a>,
    n_keys: usize,
    n_cells: usize,
    places: HashMap<Item, u32>,
    items: Vec<Item>,
    rows: Vec<u64>,
    measures: Vec<MeasureTotals<'a>>,
    /// For each argument whose values are counted one by one, the rows with each.
    values: Vec<Vec<Vec<u64>>>,
    n_rows: u64,
    n_keyless: u64,
}

impl<'a> Sums<'a> {
    fn new(
        relation: &'a RelationPlan,
        local: &'a LocalPlan,
        keys: &'a [KeyColumn],
        hash: &'a KeyHash,
    ) -> Result<Self, SourceError> {
        let n_cells = keys.iter().map(KeyColumn::n_slots).product();
        let measures = relation.measures.iter();
        Ok(Self {
            relation,
            local,
            hash,
            cells: CellIndex::new(keys, &local.tables),
            n_keys: keys.len(),
            n_cells,
            places: HashMap::new(),
            items: Vec::new(),
            rows: vec![0; n_cells],
            measures: measures
                .map(|m| MeasureTotals::new(m, local, n_cells))
                .collect::<Result<_, _>>()?,
            values: relation
                .values
                .iter()
                .map(|v| vec![vec![0; n_cells]; v.n_values])
                .collect(),
            n_rows: 0,
            n_keyless: 0,
        })
    }

    /// The query must have the group keys, the arguments and the key of the join, under their names.
    fn check_columns(&self, query: &DataFrame) -> Result<(), SourceError> {
        let keys = (0..self.n_keys).map(|i| format!("k{i}"));
        let args = (0..self.relation.measures.len()).map(|i| format!("a{i}"));
        let joined = (0..self.relation.key_columns).map(|i| format!("j{i}"));
        let names = query.schema().fields().iter().map(|f| f.name().as_str());
        if names.eq(keys.chain(args).chain(joined)) {
            return Ok(());
        }
        let what = "the plan's query does not have the columns that the plan says".to_owned();
        Err(SourceError::Engine { what })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        let n_rows = batch.num_rows();
        self.n_rows += n_rows as u64;
        if self.n_rows > self.local.rows_at_most {
            return Err(outgrown(self.local));
        }
        let (keys, rest) = batch.columns().split_at(self.n_keys);
        let (args, joined) = rest.split_at(self.measures.len());
        let items = hash_rows(self.hash, &texts(joined)?, n_rows);
        let (groups, _) = self.cells.of_rows(keys, n_rows)?;
        let mut cells = Vec::with_capacity(n_rows);
        for (item, group) in items.into_iter().zip(groups) {
            let place = match item {
                None => {
                    self.n_keyless += 1;
                    KEYLESS
                }
                Some(item) => {
                    let next = self.items.len() as u32 + 1;
                    let place = *self.places.entry(item).or_insert(next);
                    if place == next {
                        self.items.push(item);
                    }
                    place
                }
            };
            cells.push(u64::from(place) * self.n_cells as u64 + u64::from(*group));
        }
        let n_totals = (self.items.len() + 1) * self.n_cells;
        if u32::try_from(n_totals).is_err() {
            return Err(too_many(self.local));
        }
        let cells: Vec<u32> = cells.into_iter().map(|cell| cell as u32).collect();
        self.rows.resize(n_totals, 0);
        cells.iter().for_each(|cell| self.rows[*cell as usize] += 1);
        for (measure, values) in self.measures.iter_mut().zip(args) {
            measure.grow(n_totals);
            measure.add(&cells, values)?;
        }
        for (of, columns) in self.relation.values.iter().zip(&mut self.values) {
            columns.iter_mut().for_each(|c| c.resize(n_totals, 0));
            let measure = &self.relation.measures[of.measure];
            let codes = Codes::of(measure, &args[of.measure]);
            let codes = codes.ok_or_else(|| self.measures[of.measure].other_type())?;
            for (row, code) in &codes.rows {
                columns[*code as usize][cells[*row] as usize] += 1;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Joined, SourceError> {
        if self.relation.denied && (self.n_keyless > 0 || self.n_rows == 0) {
            let what = "NOT IN takes a subquery that has rows, and no NULL among them";
            let advice =
                "write NOT EXISTS (SELECT 1 FROM … t WHERE t.key = a.key), or add key IS NOT NULL";
            return Err(SourceError::table(
                &self.local.tables.join(", "),
                what,
                advice,
            ));
        }
        let n_keyed = self.n_rows - self.n_keyless;
        let tables = || self.local.tables.join(", ");
        if self.relation.one_row_a_key && n_keyed > self.items.len() as u64 {
            let what = "a key stands in several rows, and a comparison with another holder's column takes one row a key";
            let advice =
                "write a subquery with GROUP BY key, or one with ROW_NUMBER() that leaves one row";
            return Err(SourceError::table(&tables(), what, advice));
        }
        if self.relation.all_keyed && self.n_keyless > 0 {
            let what = "there are rows without a key, and a comparison with another holder's column takes a key in each";
            let advice = "write a subquery with WHERE key IS NOT NULL";
            return Err(SourceError::table(&tables(), what, advice));
        }
        let n_totals = self.rows.len();
        let mut totals = LocalTotals {
            narrow: vec![vec![0; n_totals]; self.relation.totals_narrow],
            wide: vec![vec![0; n_totals]; self.relation.totals_wide],
        };
        totals.narrow[0] = self.rows;
        for measure in self.measures {
            measure.write_to(&mut totals)?;
        }
        for (of, columns) in self.relation.values.iter().zip(self.values) {
            for (column, rows) in columns.into_iter().enumerate() {
                totals.narrow[of.first + column] = rows;
            }
        }
        let distinct = self.items.len() as u64;
        Ok(Joined {
            items: self.items,
            totals,
            cells: self.n_cells,
            report: KeyReport {
                rows: self.n_rows,
                distinct,
                duplicates: self.n_rows - self.n_keyless - distinct,
                missing: self.n_keyless,
            },
        })
    }
}

fn too_many(local: &LocalPlan) -> SourceError {
    let what = "there are more than 2^32 combinations of keys and groups";
    let advice = "group by fewer keys, or filter the rows";
    SourceError::table(&local.tables.join(", "), what, advice)
}

impl LocalInputs {
    /// What a join's totals are to the steps that follow: the rows with each value are no columns of the result, but
    /// what its quantiles are found in.
    #[must_use]
    pub fn of_join(plan: &Plan, of: &JoinPlan, mut totals: LocalTotals) -> Self {
        let n_released = of.values.first().map_or(of.narrow.len(), |v| v.first);
        let values = totals.narrow.split_off(n_released);
        let cells = plan.shape.cells;
        totals.narrow.resize(plan.shape.narrow, vec![0; cells]);
        let input = |step: &Step| {
            let counted = match step {
                Step::Quantiles { measure, .. } => of.values.iter().find(|v| v.measure == *measure),
                _ => None,
            };
            let columns = counted.map(|v| &values[v.first - n_released..][..v.n_values]);
            let of_cell = |cell: usize| columns.into_iter().flatten().map(move |c| c[cell]);
            StepInput::Histogram((0..cells).flat_map(of_cell).collect())
        };
        Self {
            steps: plan.steps.iter().map(input).collect(),
            totals,
            groups: None,
        }
    }
}

impl Joined {
    /// Number of different keys.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        self.items.len()
    }

    /// The most groups in which one key stands, rounded up to a power of two: this is told to the others.
    #[must_use]
    pub fn groups_a_key(&self) -> usize {
        let keys = self.totals.narrow[0].chunks(self.cells).skip(1);
        let groups = keys.map(|rows| rows.iter().filter(|n| **n > 0).count());
        let most = groups.max().unwrap_or(1);
        most.next_power_of_two().clamp(1, self.cells)
    }

    /// What only this holder learns.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        self.report.clone()
    }

    /// What goes into the join: a value of every column and group for each key, and for each of `padding` zeros.
    #[must_use]
    pub fn inputs(&self, relation: &RelationPlan, padding: &[Item]) -> Inputs {
        let n_rows = self.items.len() + padding.len();
        let flags = relation.flags.iter().map(|column| (column, true));
        let counts = relation.narrow.iter().map(|column| (column, false));
        let narrow = flags.chain(counts).flat_map(|(column, is_flag)| {
            let values = &self.totals.narrow[*column];
            (0..self.cells).map(move |group| {
                let flag = |v: u64| if is_flag { u64::from(v != 0) } else { v };
                self.of_keys(values, group, n_rows, flag)
            })
        });
        let wide = relation.wide.iter().flat_map(|(ring, column)| {
            (0..self.cells).map(move |group| match ring {
                RingWidth::Narrow => {
                    let values = &self.totals.narrow[*column];
                    self.of_keys(values, group, n_rows, widened)
                }
                RingWidth::Wide => self.of_keys(&self.totals.wide[*column], group, n_rows, |v| v),
            })
        });
        Inputs {
            keys: self.items.iter().chain(padding).copied().collect(),
            narrow: narrow.collect(),
            wide: wide.collect(),
        }
    }

    fn of_keys<A: Copy, B: Default + Clone>(
        &self,
        values: &[A],
        group: usize,
        n_rows: usize,
        form: impl Fn(A) -> B,
    ) -> Vec<B> {
        let keys = values.iter().skip(self.cells + group).step_by(self.cells);
        let mut column: Vec<B> = keys.map(|v| form(*v)).collect();
        column.resize(n_rows, B::default());
        column
    }

    /// The total of a column over this holder's own rows, by group; `keyless`: over those without a key alone.
    #[must_use]
    pub fn own(&self, column: OwnColumn, keyless: bool) -> Vec<u128> {
        let mut totals = vec![0u128; self.cells];
        let mut add = |values: &mut dyn Iterator<Item = u128>| {
            for (row, value) in values.enumerate() {
                let is_keyless = row < self.cells;
                let counts = match column {
                    // A row without a key is nobody's.
                    OwnColumn::Flag(_) => !is_keyless,
                    _ => is_keyless || !keyless,
                };
                if counts {
                    let total = &mut totals[row % self.cells];
                    *total = total.wrapping_add(value);
                }
            }
        };
        match column {
            OwnColumn::Flag(c) => {
                add(&mut self.totals.narrow[c].iter().map(|v| u128::from(*v != 0)));
            }
            OwnColumn::Narrow(c) => add(&mut self.totals.narrow[c].iter().map(|v| widened(*v))),
            OwnColumn::Wide(c) => add(&mut self.totals.wide[c].iter().copied()),
        }
        totals
    }
}

/// Two's complement in the wider ring.
fn widened(value: u64) -> u128 {
    i128::from(value.cast_signed()).cast_unsigned()
}
