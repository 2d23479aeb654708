//! The rows that a model is fitted to, as a dense design in memory: a pass over them for every step would read them again.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use engine::glm::Rows;
use futures::StreamExt;
use protocols::party::PartyId;

use super::{outgrown, prepare};
use crate::plan::{ColumnRole, LocalPlan, Plan, TrainColumn, TrainCount, TrainPlan};
use crate::result::Filled;
use crate::source::{Source, SourceError};
use crate::spec::{Missing, Model};

/// A holder's rows of a model.
pub struct Design {
    /// The rows that are fitted.
    pub rows: Rows,
    /// The rows that are evaluated: those kept for a test, and those out of time.
    pub test: Rows,
    /// Which of these are out of time.
    pub is_oot: Vec<bool>,
    /// Of them and of those that are left out, what the plan counts, in its order.
    pub counts: Vec<u64>,
    /// Rows that are left out because a value is missing.
    pub dropped: u64,
    /// What stands for missing values, once it is known.
    pub filled: Vec<Filled>,
}

/// Reads this holder's rows. A party without a part in the plan has none.
///
/// # Errors
/// [`SourceError`] if the query fails, the table has outgrown its published size, or a value cannot be one of this
/// model. Nothing has left this holder then.
pub async fn design(
    plan: &Plan,
    of: &TrainPlan,
    me: &PartyId,
    source: &Source,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Design, SourceError> {
    let mut building = Building::new(of);
    let Some(local) = plan.locals.get(me) else {
        return Ok(building.design);
    };
    let query = prepare(local, me, source).await?;
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    let mut n_read = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(SourceError::from_engine)?;
        n_read += batch.num_rows() as u64;
        if n_read > local.rows_at_most {
            return Err(outgrown(local));
        }
        building.add(&batch, local)?;
        progress(n_read);
        super::hear().await;
    }
    Ok(building.design)
}

struct Building<'a> {
    of: &'a TrainPlan,
    design: Design,
    /// One row of the design.
    row: Vec<f64>,
    /// One row of the columns: a number, the number of a level, or NaN for a value that is missing and found a place for later.
    values: Vec<f64>,
    /// Which of them are missing.
    missing: Vec<bool>,
    /// Of each column, its values that have a bin each.
    special: Vec<Vec<f64>>,
}

/// What a row is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sample {
    Train,
    Test,
    OutOfTime,
}

/// A column of a batch.
enum Values {
    Numbers(Float64Array),
    Texts(StringViewArray),
}

impl Values {
    fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Numbers(values) => values.is_null(row),
            Self::Texts(values) => values.is_null(row),
        }
    }
}

impl<'a> Building<'a> {
    fn new(of: &'a TrainPlan) -> Self {
        let n_columns = of.n_columns();
        let mut row = vec![0.0; n_columns];
        if of.intercept {
            row[0] = 1.0;
        }
        Self {
            of,
            design: Design {
                rows: Rows::new(n_columns),
                test: Rows::new(n_columns),
                is_oot: Vec::new(),
                counts: vec![0; of.checks.len()],
                dropped: 0,
                filled: Vec::new(),
            },
            row,
            values: vec![0.0; of.columns.len()],
            missing: vec![false; of.columns.len()],
            special: of.columns.iter().map(TrainColumn::specials).collect(),
        }
    }

    fn add(&mut self, batch: &RecordBatch, local: &LocalPlan) -> Result<(), SourceError> {
        let columns = self.of.columns.iter().zip(batch.columns());
        let columns: Vec<Values> = columns
            .map(|(column, values)| read(&column.role, values))
            .collect::<Result<_, _>>()?;
        if columns.len() != self.of.columns.len() {
            let what = "the plan's query does not have the columns that the plan says".to_owned();
            return Err(SourceError::Engine { what });
        }
        for row in 0..batch.num_rows() {
            let Some(sample) = self.sample(&columns, row) else {
                continue;
            };
            let missing = columns.iter().map(|c| c.is_missing(row));
            self.missing.clear();
            self.missing.extend(missing);
            let rules = self.of.columns.iter().map(|c| c.missing.is_some());
            if self
                .missing
                .iter()
                .zip(rules)
                .any(|(is_missing, has_rule)| *is_missing && !has_rule)
            {
                if sample != Sample::Train {
                    continue;
                }
                self.design.dropped += 1;
                self.count(|count| count == TrainCount::Dropped);
                continue;
            }
            for (i, values) in columns.iter().enumerate() {
                if self.missing[i] {
                    self.values[i] = match &self.of.columns[i].missing {
                        Some(Missing::Value(text)) => text.parse().unwrap_or(f64::NAN),
                        _ => f64::NAN,
                    };
                    continue;
                }
                self.values[i] = self.value(i, values, row).map_err(|what| {
                    let column = &self.of.columns[i].name;
                    let advice = "leave such rows out in rows, or correct the table";
                    SourceError::table(&place(local, i), format!("{column} {what}"), advice)
                })?;
            }
            self.push(sample);
        }
        Ok(())
    }

    /// The sample to which a row belongs; `None` for one of no sample, and for one without a value of the sample's column.
    fn sample(&self, columns: &[Values], row: usize) -> Option<Sample> {
        let of = self.of.test.as_ref();
        for (column, values) in self.of.columns.iter().zip(columns) {
            if let (ColumnRole::Sample(train), Values::Texts(values)) = (&column.role, values) {
                let value = values.is_valid(row).then(|| values.value(row))?;
                return match of {
                    _ if value == train => Some(Sample::Train),
                    Some(of) if of.value == value => Some(Sample::Test),
                    Some(of) if of.oot.iter().any(|oot| oot == value) => Some(Sample::OutOfTime),
                    _ => None,
                };
            }
        }
        Some(Sample::Train)
    }

    /// A value as a number, or what is wrong with it.
    fn value(&self, column: usize, values: &Values, row: usize) -> Result<f64, &'static str> {
        let role = &self.of.columns[column].role;
        match (values, role) {
            (Values::Texts(_), ColumnRole::Sample(_)) => Ok(0.0),
            (Values::Texts(values), ColumnRole::Levels(levels)) => {
                let level = levels.iter().position(|l| l == values.value(row));
                let level = level.ok_or("has a value that is none of the levels in the job")?;
                Ok(level as f64)
            }
            (Values::Texts(_), _) => Err("is text, and a number is needed"),
            (Values::Numbers(values), role) => {
                let value = values.value(row);
                if !value.is_finite() {
                    return Err("has a value that is infinite or not a number");
                }
                match role {
                    ColumnRole::Label => label(self.of.model, value),
                    ColumnRole::Exposure if value > 0.0 => Ok(value.ln()),
                    ColumnRole::Exposure => Err("has an exposure that is not positive"),
                    _ => Ok(value),
                }
            }
        }
    }

    /// Takes up the row in `values`.
    fn push(&mut self, sample: Sample) {
        let first = usize::from(self.of.intercept);
        for (place, term) in self.of.terms.iter().enumerate() {
            let value = self.values[term.column];
            self.row[first + place] = match term.level {
                None if term.is_indicator => f64::from(u8::from(self.missing[term.column])),
                None => value,
                Some(level) => f64::from(u8::from(value == level as f64)),
            };
        }
        let (mut label, mut offset) = (0.0, None);
        for (column, value) in self.of.columns.iter().zip(&self.values) {
            match column.role {
                ColumnRole::Label => label = *value,
                ColumnRole::Offset | ColumnRole::Exposure => offset = Some(*value),
                _ => {}
            }
        }
        if sample != Sample::Train {
            self.design.is_oot.push(sample == Sample::OutOfTime);
            return self.design.test.push(&self.row, label, offset);
        }
        self.design.rows.push(&self.row, label, offset);
        let (values, missing) = (
            std::mem::take(&mut self.values),
            std::mem::take(&mut self.missing),
        );
        let special = std::mem::take(&mut self.special);
        // What is filled in is neither: a coefficient rests on values that are there.
        let is_not = |column: usize, of: f64| values[column] != of && !values[column].is_nan();
        let is_apart = |column: usize, place: usize| match special[column].get(place) {
            Some(special) => values[column] == *special,
            None => missing[column],
        };
        self.count(|count| match count {
            TrainCount::Rows => true,
            TrainCount::NotZero(column) => is_not(column, 0.0),
            TrainCount::NotOne(column) => is_not(column, 1.0),
            TrainCount::Apart(column, place, of) => {
                is_apart(column, place) && of.is_none_or(|is_bad| is_bad == (label == 1.0))
            }
            TrainCount::Missing(column, is) => missing[column] == is,
            TrainCount::Level(column, level) => values[column] == level as f64,
            TrainCount::Dropped => false,
        });
        (self.values, self.missing, self.special) = (values, missing, special);
    }

    fn count(&mut self, counts: impl Fn(TrainCount) -> bool) {
        for (check, n) in self.of.checks.iter().zip(&mut self.design.counts) {
            *n += u64::from(counts(check.count));
        }
    }
}

fn read(role: &ColumnRole, values: &ArrayRef) -> Result<Values, SourceError> {
    let failed = |e: arrow::error::ArrowError| SourceError::from_engine(e.into());
    Ok(match role {
        ColumnRole::Levels(_) | ColumnRole::Sample(_) => {
            let texts = cast(values, &DataType::Utf8View).map_err(failed)?;
            Values::Texts(texts.as_string_view().clone())
        }
        _ => {
            let numbers = cast(values, &DataType::Float64).map_err(failed)?;
            Values::Numbers(numbers.as_primitive::<Float64Type>().clone())
        }
    })
}

fn label(model: Model, value: f64) -> Result<f64, &'static str> {
    let (is_possible, what) = match model {
        Model::Linear => (true, ""),
        Model::Logistic | Model::Scorecard | Model::Gbdt | Model::Mlp => (
            value == 0.0 || value == 1.0,
            "has a label that is neither 0 nor 1",
        ),
        Model::Poisson => (value >= 0.0, "has a label below 0"),
        Model::Gamma => (value > 0.0, "has a label that is not positive"),
    };
    is_possible.then_some(value).ok_or(what)
}

/// `encounters.age`, or the tables where a column depends on several.
fn place(local: &LocalPlan, column: usize) -> String {
    match local.args.get(column).map(Vec::as_slice) {
        Some([base]) => format!("{}.{}", base.table, base.column),
        _ => local.tables.join(", "),
    }
}
