//! What a holder's totals by key and group are to a join: what it brings, and what it adds of its own rows.

use std::collections::HashMap;

use protocols::aggregate::LocalTotals;
use protocols::join::{Inputs, Rows};
use protocols::psi::Item;
use zeroize::Zeroizing;

use super::{Columns, Joined, Place};
use crate::local::keys::KeyReport;
use crate::local::{CodedKey, LocalInputs, StepInput};
use crate::plan::{JoinPlan, OwnColumn, Plan, RelationPlan, RingWidth, Step};

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
    /// The values of group keys that nobody lists.
    #[must_use]
    pub fn coded(&self) -> &[CodedKey] {
        &self.coded
    }

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

    /// The groups of a key one after the other: as many columns as the key with the most groups has, and 1 at least. Those of
    /// single rows stand where the key's rows of that group do.
    fn slots(&self, padding: usize) -> Columns {
        let mut filled = vec![0u32; self.items.len() + padding];
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        let is_apart = self.places.iter().any(|place| place.row > 0);
        let next = |place: &Place| {
            if place.row > 0 {
                return known[&(place.key, place.group)];
            }
            let slot = filled[place.key as usize];
            filled[place.key as usize] += 1;
            if is_apart {
                known.insert((place.key, place.group), slot);
            }
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
        let flags = relation.flags.iter().map(|column| (*column, true));
        let counts = relation.narrow.iter().map(|column| (*column, false));
        let narrow = flags.chain(counts).flat_map(|(column, is_flag)| {
            let flag = |v: u64| if is_flag { u64::from(v != 0) } else { v };
            let (row, column) = relation.rows_of(RingWidth::Narrow, column);
            self.of_keys((&self.totals.narrow[column], row), (&columns, n_rows), flag)
        });
        let wide = relation.wide.iter().flat_map(|(ring, column)| {
            let (row, column) = relation.rows_of(*ring, *column);
            match ring {
                RingWidth::Narrow => {
                    let values = (self.totals.narrow[column].as_slice(), row);
                    self.of_keys(values, (&columns, n_rows), widened)
                }
                RingWidth::Wide => {
                    let values = (self.totals.wide[column].as_slice(), row);
                    self.of_keys(values, (&columns, n_rows), |v| v)
                }
            }
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

    /// A total of each key and group, in columns; 0 elsewhere. `row`: of all rows, or of one of each key.
    fn of_keys<A: Copy, B: Default + Clone>(
        &self,
        (values, row): (&[A], usize),
        (columns, n_rows): (&Columns, usize),
        form: impl Fn(A) -> B,
    ) -> Vec<Vec<B>> {
        let mut found = vec![vec![B::default(); n_rows]; columns.n];
        let places = self.places.iter().zip(&columns.of_place);
        let places = places.zip(&values[self.cells..]);
        let places = places.filter(|((place, _), _)| place.row as usize == row);
        for ((place, column), value) in places {
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
            let is_single = self.places.iter().map(|place| place.row > 0);
            let is_single = std::iter::repeat_n(false, self.cells).chain(is_single);
            let all = keyless_rows.chain(of_keys).zip(is_single).zip(values);
            for (((group, is_keyless), is_single), value) in all {
                let counts = match column {
                    _ if is_single => false,
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
