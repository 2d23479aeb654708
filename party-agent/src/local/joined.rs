//! This holder's own part of a join between holders: its rows added up by key and by its own groups.

mod brought;

use std::collections::HashMap;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::filter;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use protocols::aggregate::LocalTotals;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::KeyHash;
use zeroize::{Zeroize, Zeroizing};

use super::cells::CellIndex;
use super::keys::{KeyReport, hash_rows, texts};
use super::measure::MeasureTotals;
use super::order::{Codes, hashes};
use super::{CodedKey, outgrown, prepare};
use crate::plan::{
    JoinPlan, KeyColumn, LocalPlan, MeasureKind, Plan, Procedure, RelationPlan, counted_in,
    slots_of,
};
use crate::source::{Source, SourceError};

/// A holder's totals by key and group.
pub struct Joined {
    items: Vec<Item>,
    /// Of each key how it is spelled in the first of its rows, where this holder learns which of them match.
    texts: Option<Zeroizing<Vec<Vec<String>>>>,
    /// Totals of rows without a key by group, and then those of each key in each group in which it has rows, and of single
    /// rows where these are told apart.
    totals: LocalTotals,
    /// Of which key and which group the latter are.
    places: Vec<Place>,
    cells: usize,
    /// The rows that are kept one by one.
    kept: Vec<Kept>,
    /// The values of group keys that nobody lists.
    coded: Vec<CodedKey>,
    report: KeyReport,
}

/// A row of a measure whose rows are put in the order of groups and values; the latter as distances from the low end of
/// the range, or, where they are only told apart, as hashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OrderedRow {
    group: u32,
    value: u128,
    key: Option<u32>,
}

impl Zeroize for OrderedRow {
    fn zeroize(&mut self) {
        self.group.zeroize();
        self.value.zeroize();
        self.key.zeroize();
    }
}

/// The rows in which the first of some measures is known.
struct Kept {
    measures: Vec<usize>,
    /// In the order of groups and values of a single measure; of several as they came.
    rows: Zeroizing<Vec<OrderedRow>>,
    /// The values of the other measures, which are known in the same rows.
    others: Zeroizing<Vec<Vec<u64>>>,
}

impl Kept {
    fn of(measures: &[usize]) -> Self {
        Self {
            measures: measures.to_vec(),
            rows: Zeroizing::default(),
            others: Zeroizing::new(vec![Vec::new(); measures.len().saturating_sub(1)]),
        }
    }
}

/// A key, by number, a group in which it has rows, and which of them: 0 for all, or the number of one, from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    key: u32,
    group: u32,
    row: u32,
}

/// Where totals stand in the columns that go into a join: one of so many columns, for each place.
struct Columns {
    n: usize,
    of_place: Vec<u32>,
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
        .map(|k| plan.keys[*k].clone())
        .collect();
    let mut sums = Sums::new(relation, local, &keys, (hash, &plan.spec))?;
    sums.texts = learns_keys(plan, me).then(Zeroizing::default);
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

/// Whether a holder learns which of its keys match.
fn learns_keys(plan: &Plan, me: &PartyId) -> bool {
    let seat = plan.seats.iter().position(|seat| seat == me);
    match &plan.procedure {
        Procedure::Join(JoinPlan {
            shown: Some(shown), ..
        }) => seat.is_some_and(|seat| shown.seats.contains(&seat)),
        _ => false,
    }
}

/// The running totals.
struct Sums<'a> {
    relation: &'a RelationPlan,
    local: &'a LocalPlan,
    hash: &'a KeyHash,
    /// The digest of the job's text, with which values are hashed.
    spec: &'a str,
    cells: CellIndex<'a>,
    /// Of each group, the totals in which its rows count too.
    totals: Vec<Vec<u32>>,
    n_keys: usize,
    n_cells: usize,
    keys: HashMap<Item, u32>,
    items: Vec<Item>,
    texts: Option<Zeroizing<Vec<Vec<String>>>>,
    /// Where totals of a key in a group are, if there are several groups.
    totals_of: HashMap<Place, u32>,
    places: Vec<Place>,
    /// Of each key, how many of its rows there were.
    rows_of: Vec<u32>,
    rows: Vec<u64>,
    measures: Vec<MeasureTotals<'a>>,
    /// For each argument whose values are counted one by one, the rows with each.
    values: Vec<Vec<Vec<u64>>>,
    /// The rows that are kept one by one.
    kept: Vec<Kept>,
    n_rows: u64,
    n_keyless: u64,
}

impl<'a> Sums<'a> {
    fn new(
        relation: &'a RelationPlan,
        local: &'a LocalPlan,
        keys: &'a [KeyColumn],
        (hash, spec): (&'a KeyHash, &'a str),
    ) -> Result<Self, SourceError> {
        let n_cells = keys.iter().map(KeyColumn::n_slots).product();
        let measures = relation.measures.iter();
        Ok(Self {
            relation,
            local,
            hash,
            spec,
            cells: CellIndex::new(keys, &local.tables),
            totals: totals_beside(keys),
            n_keys: keys.len(),
            n_cells,
            keys: HashMap::new(),
            items: Vec::new(),
            texts: None,
            totals_of: HashMap::new(),
            places: Vec::new(),
            rows_of: Vec::new(),
            rows: vec![0; n_cells],
            measures: measures
                .map(|m| {
                    let totals = MeasureTotals::new(m, local, n_cells)?;
                    let divides = relation.quotients.iter().find(|(arg, _)| *arg == m.arg);
                    Ok(match divides {
                        Some((_, most)) => totals.dividing(*most),
                        None => totals,
                    })
                })
                .collect::<Result<_, SourceError>>()?,
            values: relation
                .values
                .iter()
                .map(|v| vec![vec![0; n_cells]; v.n_values])
                .collect(),
            kept: relation.ranked.iter().map(|m| Kept::of(m)).collect(),
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
        let columns = texts(joined)?;
        let items = hash_rows(self.hash, &columns, n_rows);
        let (groups, _) = self.cells.of_rows(keys, n_rows)?;
        let groups: Vec<u32> = groups.to_vec();
        let items = items.into_iter().enumerate();
        let keys = items.map(|(row, item)| Some(self.key(item?, (&columns, row))));
        let keys: Vec<Option<u32>> = keys.collect();
        self.n_keyless += keys.iter().filter(|key| key.is_none()).count() as u64;
        let numbers = self.numbers(&keys)?;
        self.add_at((&keys, &numbers), &groups, args)?;
        self.keep(&keys, &groups, args)?;
        let n_levels = self.totals.first().map_or(0, Vec::len);
        for level in 0..n_levels {
            let totals = groups
                .iter()
                .map(|group| self.totals[*group as usize][level]);
            let totals: Vec<u32> = totals.collect();
            self.add_at((&keys, &numbers), &totals, args)?;
        }
        Ok(())
    }

    /// The number of each row among those of its key, from 1 on.
    fn numbers(&mut self, keys: &[Option<u32>]) -> Result<Vec<u32>, SourceError> {
        let Some(most) = self.relation.rows_a_key else {
            return Ok(vec![0; keys.len()]);
        };
        self.rows_of.resize(self.items.len(), 0);
        let mut numbers = Vec::with_capacity(keys.len());
        for key in keys {
            let number = match key {
                None => 0,
                Some(key) => {
                    let rows = &mut self.rows_of[*key as usize];
                    *rows += 1;
                    *rows
                }
            };
            if number as usize > most {
                return Err(too_many_rows(self.local, most));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// Adds rows at the cells of their groups, or of totals beside them; where they are told apart, each by itself too.
    fn add_at(
        &mut self,
        (keys, numbers): (&[Option<u32>], &[u32]),
        groups: &[u32],
        args: &[ArrayRef],
    ) -> Result<(), SourceError> {
        let all = self.cells_of(keys, &vec![0; numbers.len()], groups);
        self.add_to(&all, args)?;
        if self.relation.told_apart().is_none() {
            return Ok(());
        }
        // A row without a key is nobody's, and counted already.
        let keyed = keys.iter().map(Option::is_some).collect::<BooleanArray>();
        let kept = |column: &ArrayRef| {
            filter(column, &keyed).map_err(|e| SourceError::Engine {
                what: e.to_string(),
            })
        };
        let args: Vec<ArrayRef> = args.iter().map(kept).collect::<Result<_, _>>()?;
        let rows = self.cells_of(keys, numbers, groups);
        let rows = rows.into_iter().zip(keys).filter(|(_, key)| key.is_some());
        let rows: Vec<u32> = rows.map(|(cell, _)| cell).collect();
        self.add_to(&rows, &args)
    }

    /// The totals of rows.
    fn cells_of(&mut self, keys: &[Option<u32>], numbers: &[u32], groups: &[u32]) -> Vec<u32> {
        let rows = keys.iter().zip(numbers).zip(groups);
        let cells = rows.map(|((key, row), group)| match key {
            None => *group,
            Some(key) => self.total_of(Place {
                key: *key,
                group: *group,
                row: *row,
            }),
        });
        cells.collect()
    }

    fn add_to(&mut self, cells: &[u32], args: &[ArrayRef]) -> Result<(), SourceError> {
        let n_totals = self.n_cells + self.places.len();
        if u32::try_from(n_totals).is_err() {
            return Err(too_many(self.local));
        }
        self.rows.resize(n_totals, 0);
        cells.iter().for_each(|cell| self.rows[*cell as usize] += 1);
        for (measure, values) in self.measures.iter_mut().zip(args) {
            measure.grow(n_totals);
            measure.add(cells, values)?;
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

    /// Keeps rows one by one.
    fn keep(
        &mut self,
        keys: &[Option<u32>],
        groups: &[u32],
        args: &[ArrayRef],
    ) -> Result<(), SourceError> {
        for kept in &mut self.kept {
            let codes = |measure: usize| {
                let codes = Codes::of(&self.relation.measures[measure], &args[measure]);
                codes.ok_or_else(|| self.measures[measure].other_type())
            };
            let Some((first, others)) = kept.measures.split_first() else {
                continue;
            };
            if self.relation.measures[*first].kind == MeasureKind::Distinct {
                let hashes = hashes(self.spec, &args[*first]);
                let hashes = hashes.ok_or_else(|| self.measures[*first].other_type())?;
                let known = hashes.into_iter().enumerate();
                let known = known.filter_map(|(row, hash)| {
                    Some(OrderedRow {
                        group: groups[row],
                        value: hash?,
                        key: keys[row],
                    })
                });
                kept.rows.extend(known);
                continue;
            }
            let first = codes(*first)?;
            for (other, values) in others.iter().zip(kept.others.iter_mut()) {
                let other = codes(*other)?;
                let is_same = (first.rows.iter().zip(&other.rows)).all(|(a, b)| a.0 == b.0);
                if first.rows.len() != other.rows.len() || !is_same {
                    let what = "columns that are ranked together are not known in the same rows";
                    return Err(SourceError::Engine { what: what.into() });
                }
                values.extend(other.rows.iter().map(|(_, value)| *value));
            }
            kept.rows
                .extend(first.rows.iter().map(|(row, value)| OrderedRow {
                    group: groups[*row],
                    value: u128::from(*value),
                    key: keys[*row],
                }));
        }
        Ok(())
    }

    /// The number of a key, a new one if it has none yet.
    fn key(&mut self, item: Item, (columns, row): (&[StringViewArray], usize)) -> u32 {
        let next = self.items.len() as u32;
        let key = *self.keys.entry(item).or_insert(next);
        if key == next {
            self.items.push(item);
            if let Some(texts) = &mut self.texts {
                texts.push(columns.iter().map(|c| c.value(row).to_owned()).collect());
            }
        }
        key
    }

    /// The number of the total of a key in a group, a new one if there is none yet.
    fn total_of(&mut self, place: Place) -> u32 {
        let next = (self.n_cells + self.places.len()) as u32;
        let total = match (self.n_cells, self.relation.told_apart()) {
            // Totals then come in the order of keys.
            (1, None) => place.key + 1,
            _ => *self.totals_of.entry(place).or_insert(next),
        };
        if total == next {
            self.places.push(place);
        }
        total
    }

    fn finish(mut self) -> Result<Joined, SourceError> {
        let mut kept = std::mem::take(&mut self.kept);
        let single = kept.iter_mut().filter(|kept| kept.measures.len() == 1);
        single.for_each(|kept| kept.rows.sort_unstable());
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
        let tables = || self.local.tables.join(", ");
        if self.relation.all_keyed && self.n_keyless > 0 {
            let what = "there are rows without a key, and a comparison with another holder's column, or totals beside small groups, take a key in each";
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
        let coded = self.cells.into_numbered().map(|(at, texts)| CodedKey {
            key: self.relation.keys[at],
            texts,
        });
        Ok(Joined {
            coded: coded.collect(),
            items: self.items,
            texts: self.texts,
            totals,
            places: self.places,
            cells: self.n_cells,
            kept,
            report: KeyReport {
                rows: self.n_rows,
                distinct,
                duplicates: self.n_rows - self.n_keyless - distinct,
                missing: self.n_keyless,
            },
        })
    }
}

/// Of each group of these keys, the totals beside it.
fn totals_beside(keys: &[KeyColumn]) -> Vec<Vec<u32>> {
    if keys.iter().all(|key| !key.has_total) {
        return Vec::new();
    }
    let keys: Vec<&KeyColumn> = keys.iter().collect();
    let totals = |cell: usize| {
        let slots = slots_of(cell, keys.iter().map(|key| key.n_slots()));
        let cells = counted_in(&keys, &slots);
        let beside = cells.into_iter().filter(|total| *total != cell);
        beside.map(|total| total as u32).collect()
    };
    let n_cells = keys.iter().map(|key| key.n_slots()).product();
    (0..n_cells).map(totals).collect()
}

fn too_many_rows(local: &LocalPlan, most: usize) -> SourceError {
    let (what, advice) = match most {
        1 => (
            "a key stands in several rows, and a comparison with another holder's column takes one row a key",
            "write [compute.max_rows_per_key] in the job, a subquery with GROUP BY key, or one with ROW_NUMBER() that leaves one row",
        ),
        _ => (
            "a key stands in more rows than the job says under [compute.max_rows_per_key]",
            "write a larger number there, and plan anew, or a subquery with ROW_NUMBER() that leaves as many rows",
        ),
    };
    SourceError::table(&local.tables.join(", "), what, advice)
}

fn too_many(local: &LocalPlan) -> SourceError {
    let what = "there are more than 2^32 combinations of keys and groups";
    let advice = "group by fewer keys, or filter the rows";
    SourceError::table(&local.tables.join(", "), what, advice)
}
