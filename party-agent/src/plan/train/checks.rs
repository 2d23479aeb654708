//! What is counted of rows before anything of them is opened.

use engine::glm::Family;
use serde::Serialize;

use super::{ColumnRole, TrainColumn};
use crate::spec::Model;

/// A count that must be large enough, or of which it is told whether it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainCheck {
    /// What is counted.
    pub count: TrainCount,
    /// How many there must be.
    pub at_least: u64,
    /// It in words: `rows in which male is 1`.
    pub label: String,
}

/// What is counted among the rows that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainCount {
    /// All of them.
    Rows,
    /// Those in which this column is not 0.
    NotZero(usize),
    /// Those in which this column is not 1.
    NotOne(usize),
    /// Those in which this column has this level.
    Level(usize, usize),
    /// Those that are left out because a value is missing; only told.
    Dropped,
    /// Those whose value of a column has a bin of its own, by its place: a special value, or that it is missing; of
    /// these all, or the bad or the good ones. Only told: there may be none.
    Apart(usize, usize, Option<bool>),
    /// Those in which this column is missing, or is not; it has a column of the design that says so.
    Missing(usize, bool),
}

impl TrainCount {
    /// Whether it is only told if there are enough.
    #[must_use]
    pub fn is_told(self) -> bool {
        matches!(self, Self::Dropped | Self::Apart(..))
    }
}

/// What is counted before anything is opened: no coefficient rests on fewer rows than the minimum.
pub(super) fn checks(
    model: Model,
    columns: &[TrainColumn],
    at_least: u64,
    least_rows: u64,
) -> Vec<TrainCheck> {
    let mut checks = Vec::new();
    if at_least <= 1 {
        return checks;
    }
    let mut add = |count, at_least, label: String| {
        checks.push(TrainCheck {
            count,
            at_least,
            label,
        });
    };
    add(TrainCount::Rows, least_rows, "rows".to_owned());
    for (i, column) in columns.iter().enumerate() {
        let name = &column.name;
        let not = |value: u8| format!("rows in which {name} is not {value}");
        match &column.role {
            // The bins of a scorecard are counted when they are known; of trees the least weight of a child sees to it.
            ColumnRole::Number if matches!(model, Model::Scorecard | Model::Gbdt) => {}
            ColumnRole::Levels(_) if model == Model::Gbdt => {}
            ColumnRole::Cuts(_) => {}
            ColumnRole::Number => {
                add(TrainCount::NotZero(i), at_least, not(0));
                add(TrainCount::NotOne(i), at_least, not(1));
            }
            ColumnRole::Label => {
                let is_binary = model.family() == Family::Logistic;
                if is_binary || model == Model::Poisson {
                    add(TrainCount::NotZero(i), at_least, not(0));
                }
                if is_binary {
                    add(TrainCount::NotOne(i), at_least, not(1));
                }
            }
            ColumnRole::Levels(levels) => {
                for (k, level) in levels.iter().enumerate() {
                    let label = format!("rows in which {name} is {level}");
                    add(TrainCount::Level(i, k), at_least, label);
                }
            }
            ColumnRole::Offset | ColumnRole::Exposure | ColumnRole::Sample(_) => {}
        }
    }
    let (required, told) = apart(model, columns, at_least);
    for (count, least, label) in required {
        add(count, least, label);
    }
    let dropped = "rows that are left out because a value is missing";
    add(TrainCount::Dropped, at_least, dropped.to_owned());
    for (count, least, label) in told {
        add(count, least, label);
    }
    checks
}

/// A count, how many there must be, and it in words.
type Counted = (TrainCount, u64, String);

/// What is counted of values that are missing, or special: what there must be, and what there may be.
fn apart(model: Model, columns: &[TrainColumn], at_least: u64) -> (Vec<Counted>, Vec<Counted>) {
    let (mut required, mut told) = (Vec::new(), Vec::new());
    for (i, column) in columns.iter().enumerate() {
        let name = &column.name;
        if column.indicator {
            for (is_missing, word) in [(true, "is"), (false, "is not")] {
                let label = format!("rows in which {name} {word} missing");
                required.push((TrainCount::Missing(i, is_missing), at_least, label));
            }
        }
        let n_apart = match column.is_filled() {
            true => 1,
            false => column.n_apart(),
        };
        for value in 0..n_apart {
            let which = match column.special.get(value) {
                Some(special) => format!("is {special}"),
                None => "is missing".to_owned(),
            };
            let mut add = |of, least, what: &str| {
                let label = format!("{what} in which {name} {which}");
                told.push((TrainCount::Apart(i, value, of), least, label));
            };
            add(None, 1, "rows");
            match model {
                Model::Scorecard => {
                    add(Some(true), at_least, "bad rows");
                    add(Some(false), at_least, "good rows");
                }
                _ => add(None, at_least, "rows"),
            }
        }
    }
    (required, told)
}
