//! This holder's own part of a join between holders: its rows added up by key and by its own groups.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use protocols::aggregate::LocalTotals;
use protocols::join::{Inputs, Rows};
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::KeyHash;
use zeroize::{Zeroize, Zeroizing};

use super::cells::CellIndex;
use super::keys::{KeyReport, hash_rows, texts};
use super::measure::MeasureTotals;
use super::order::{Codes, hashes};
use super::{LocalInputs, StepInput, outgrown, prepare};
use crate::plan::{
    JoinPlan, KeyColumn, LocalPlan, MeasureKind, OwnColumn, Plan, Procedure, RelationPlan,
    RingWidth, Step, counted_in, slots_of,
};
use crate::source::{Source, SourceError};

/// A holder's totals by key and group.
pub struct Joined {
    items: Vec<Item>,
    /// Of each key how it is spelled in the first of its rows, where this holder learns which of them match.
    texts: Option<Zeroizing<Vec<Vec<String>>>>,
    /// Totals of rows without a key by group, and then those of each key in each group in which it has rows.
    totals: LocalTotals,
    /// Of which key and which group the latter are.
    places: Vec<Place>,
    cells: usize,
    /// The rows that are kept one by one.
    kept: Vec<Kept>,
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

/// A key, by number, and a group in which it has rows.
#[derive(Clone, Copy)]
struct Place {
    key: u32,
    group: u32,
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
    totals_of: HashMap<(u32, u32), u32>,
    places: Vec<Place>,
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
        self.add_at(&keys, &groups, args)?;
        self.keep(&keys, &groups, args)?;
        let n_levels = self.totals.first().map_or(0, Vec::len);
        for level in 0..n_levels {
            let totals = groups
                .iter()
                .map(|group| self.totals[*group as usize][level]);
            let totals: Vec<u32> = totals.collect();
            self.add_at(&keys, &totals, args)?;
        }
        Ok(())
    }

    /// Adds rows at the cells of their groups, or of totals beside them.
    fn add_at(
        &mut self,
        keys: &[Option<u32>],
        groups: &[u32],
        args: &[ArrayRef],
    ) -> Result<(), SourceError> {
        let rows = keys.iter().zip(groups);
        let cells = rows.map(|(key, group)| match key {
            None => *group,
            Some(key) => self.total_of(*key, *group),
        });
        let cells: Vec<u32> = cells.collect();
        let n_totals = self.n_cells + self.places.len();
        if u32::try_from(n_totals).is_err() {
            return Err(too_many(self.local));
        }
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
    fn total_of(&mut self, key: u32, group: u32) -> u32 {
        let next = (self.n_cells + self.places.len()) as u32;
        let total = match self.n_cells {
            // Totals then come in the order of keys.
            1 => key + 1,
            _ => *self.totals_of.entry((key, group)).or_insert(next),
        };
        if total == next {
            self.places.push(Place { key, group });
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
        let n_keyed = self.n_rows - self.n_keyless;
        let tables = || self.local.tables.join(", ");
        if self.relation.one_row_a_key && n_keyed > self.items.len() as u64 {
            let what = "a key stands in several rows, and a comparison with another holder's column takes one row a key";
            let advice =
                "write a subquery with GROUP BY key, or one with ROW_NUMBER() that leaves one row";
            return Err(SourceError::table(&tables(), what, advice));
        }
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
        Ok(Joined {
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
                Step::Ranked { .. } | Step::Different { .. } | Step::JointRanks { .. } => {
                    return StepInput::Ranked;
                }
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
            cohorts: Vec::new(),
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
        let most = self.slots(0).n;
        most.next_power_of_two().clamp(1, self.cells)
    }

    /// The groups of a key one after the other: as many columns as the key with the most groups has, and 1 at least.
    fn slots(&self, padding: usize) -> Columns {
        let mut filled = vec![0u32; self.items.len() + padding];
        let next = |place: &Place| {
            let slot = filled[place.key as usize];
            filled[place.key as usize] += 1;
            slot
        };
        let of_place: Vec<u32> = self.places.iter().map(next).collect();
        let most = of_place.iter().max().map_or(0, |slot| *slot as usize);
        Columns {
            n: most + 1,
            of_place,
        }
    }

    /// Of a measure whose rows are kept one by one, group and value of each, and the number of its key.
    #[must_use]
    pub fn ordered(&self, measure: usize) -> (Zeroizing<Vec<(u32, u64)>>, Vec<Option<u32>>) {
        let kept = self.kept.iter().find(|k| k.measures[0] == measure);
        let rows = kept.map_or(&[][..], |kept| kept.rows.as_slice());
        let mut values = Zeroizing::new(Vec::with_capacity(rows.len()));
        // Distances have 64 bits.
        values.extend(rows.iter().map(|row| (row.group, row.value as u64)));
        (values, rows.iter().map(|row| row.key).collect())
    }

    /// Of measures whose rows are kept beside each other, the values of all but the first, in the same rows.
    #[must_use]
    pub fn beside(&self, measure: usize) -> &[Vec<u64>] {
        let kept = self.kept.iter().find(|k| k.measures[0] == measure);
        kept.map_or(&[], |kept| kept.others.as_slice())
    }

    /// The same of a measure whose different values are counted.
    #[must_use]
    pub fn different(&self, measure: usize) -> Zeroizing<Vec<(u32, u128)>> {
        let kept = self.kept.iter().find(|k| k.measures[0] == measure);
        let rows = kept.map_or(&[][..], |kept| kept.rows.as_slice());
        let mut values = Zeroizing::new(Vec::with_capacity(rows.len()));
        values.extend(rows.iter().map(|row| (row.group, row.value)));
        values
    }

    /// The keys, and behind them those of `padding`.
    #[must_use]
    pub fn keys(&self, padding: &[Item]) -> Vec<Item> {
        self.items.iter().chain(padding).copied().collect()
    }

    /// Of each key how it is spelled in the first of its rows, where this holder learns which of them match.
    #[must_use]
    pub fn texts_of_keys(&self) -> Option<&[Vec<String>]> {
        self.texts.as_ref().map(|texts| texts.as_slice())
    }

    /// What only this holder learns.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        self.report.clone()
    }

    /// What goes into the join: a value of every column and group for each key, of the hub of every column and group in
    /// which a key stands, and for each of `padding` zeros.
    #[must_use]
    pub fn inputs(&self, relation: &RelationPlan, padding: &[Item], is_hub: bool) -> Inputs {
        let n_rows = self.items.len() + padding.len();
        let columns = match is_hub {
            true => self.slots(padding.len()),
            false => Columns {
                n: self.cells,
                of_place: self.places.iter().map(|place| place.group).collect(),
            },
        };
        let flags = relation.flags.iter().map(|column| (column, true));
        let counts = relation.narrow.iter().map(|column| (column, false));
        let narrow = flags.chain(counts).flat_map(|(column, is_flag)| {
            let flag = |v: u64| if is_flag { u64::from(v != 0) } else { v };
            self.of_keys(&self.totals.narrow[*column], (&columns, n_rows), flag)
        });
        let wide = relation.wide.iter().flat_map(|(ring, column)| match ring {
            RingWidth::Narrow => {
                let values = &self.totals.narrow[*column];
                self.of_keys(values, (&columns, n_rows), widened)
            }
            RingWidth::Wide => self.of_keys(&self.totals.wide[*column], (&columns, n_rows), |v| v),
        });
        let slots = is_hub.then(|| {
            let mut slots = vec![vec![self.cells as u32; n_rows]; columns.n];
            for (place, slot) in self.places.iter().zip(&columns.of_place) {
                slots[*slot as usize][place.key as usize] = place.group;
            }
            slots.into()
        });
        Inputs {
            rows: Rows {
                keys: self.keys(padding),
                narrow: narrow.collect(),
                wide: wide.collect(),
            },
            slots,
        }
    }

    /// A total of each key and group, in columns; 0 elsewhere.
    fn of_keys<A: Copy, B: Default + Clone>(
        &self,
        values: &[A],
        (columns, n_rows): (&Columns, usize),
        form: impl Fn(A) -> B,
    ) -> Vec<Vec<B>> {
        let mut found = vec![vec![B::default(); n_rows]; columns.n];
        let places = self.places.iter().zip(&columns.of_place);
        for ((place, column), value) in places.zip(&values[self.cells..]) {
            found[*column as usize][place.key as usize] = form(*value);
        }
        found
    }

    /// The total of a column over this holder's own rows, by group; `keyless`: over those without a key alone.
    #[must_use]
    pub fn own(&self, column: OwnColumn, keyless: bool) -> Vec<u128> {
        let mut totals = vec![0u128; self.cells];
        let mut add = |values: &mut dyn Iterator<Item = u128>| {
            let keyless_rows = (0..self.cells as u32).map(|group| (group, true));
            let of_keys = self.places.iter().map(|place| (place.group, false));
            for ((group, is_keyless), value) in keyless_rows.chain(of_keys).zip(values) {
                let counts = match column {
                    // A row without a key is nobody's.
                    OwnColumn::Flag(_) => !is_keyless,
                    _ => is_keyless || !keyless,
                };
                if counts {
                    let total = &mut totals[group as usize];
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
