//! Curves of survival and the log-rank test from what was released of them.

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use protocols::aggregate::Released;
use protocols::stats::survival::{FRAC_BITS, greenwood_bits};

use super::super::tails::chi_squared_upper;
use super::super::{ResultError, Suppressed, totals};
use super::{counts, everywhere, floats, undefined};
use crate::plan::{COMPARED, FURTHER, Plan, SHOWN, Statistic, Survival, TIMES_FROM, ValueKind};

/// What was found, as columns.
pub(in crate::result) struct Found {
    pub(in crate::result) values: Vec<ArrayRef>,
    pub(in crate::result) n_used: u64,
    pub(in crate::result) suppressed: Vec<Suppressed>,
}

/// Released cells by number.
struct Opened<'a> {
    released: &'a Released,
    /// The place of each cell among the released ones.
    places: Vec<Option<usize>>,
}

impl<'a> Opened<'a> {
    fn new(of: &Survival<'_>, released: &'a Released) -> Result<Self, ResultError> {
        let mut n = 0;
        let places = released.ok.iter().map(|ok| {
            n += usize::from(*ok);
            ok.then(|| n - 1)
        });
        let places: Vec<Option<usize>> = places.collect();
        let fits = |columns: usize, wanted: usize| columns == wanted;
        let whole = released.narrow.iter().all(|c| c.len() == n)
            && released.wide.iter().all(|c| c.len() == n);
        if !(whole
            && fits(places.len(), of.n_cells())
            && fits(released.narrow.len(), COMPARED + 1)
            && fits(released.wide.len(), of.n_wide()))
        {
            return Err(totals("another number of columns or groups"));
        }
        Ok(Self { released, places })
    }

    fn narrow(&self, column: usize, cell: usize) -> Option<u64> {
        self.places[cell].map(|place| self.released.narrow[column][place])
    }

    fn real(&self, column: usize, cell: usize, frac_bits: u32) -> Option<f64> {
        let value = self.places[cell].map(|place| self.released.wide[column][place].cast_signed());
        value.map(|v| v as f64 * 2f64.powi(-frac_bits.cast_signed()))
    }
}

/// The table of a plan with survival.
pub(in crate::result) fn found(
    plan: &Plan,
    of: &Survival<'_>,
    released: &Released,
) -> Result<Found, ResultError> {
    let statistic = plan.statistic.as_ref();
    let statistic = statistic.ok_or_else(|| totals("a plan without a statistic"))?;
    let opened = Opened::new(of, released)?;
    match of.compares {
        true => compared(plan, statistic, of, &opened),
        false => curves(plan, of, &opened),
    }
}

fn curves(plan: &Plan, of: &Survival<'_>, opened: &Opened<'_>) -> Result<Found, ResultError> {
    let declared = of.declared();
    let bits = greenwood_bits(of.rows_bits());
    let first = |arm: usize| arm * (TIMES_FROM + declared.len());
    let rows = (0..of.arms.len()).flat_map(|arm| (0..declared.len()).map(move |k| (arm, k)));
    let rows: Vec<(usize, usize)> = rows
        // An arm without anybody is none, as in plain SQL.
        .filter(|(arm, _)| opened.narrow(SHOWN, first(*arm)) != Some(0))
        .collect();
    let cell = |(arm, k): &(usize, usize)| first(*arm) + TIMES_FROM + k;
    let survival = |row: &(usize, usize)| {
        let s = opened.real(0, cell(row), FRAC_BITS);
        s.map(|s| s.clamp(0.0, 1.0))
    };
    let error = |row: &(usize, usize)| {
        let sum = opened.real(1, cell(row), bits)?;
        Some(survival(row)? * sum.max(0.0).sqrt())
    };
    let median = |(arm, _): &(usize, usize)| {
        let before = opened.narrow(FURTHER, first(*arm) + 1)?;
        let place = usize::try_from(before).ok()?;
        of.times.get(place).map(|(time, _)| *time)
    };
    let mut values = Vec::new();
    if plan.keys.len() > 1 {
        values.push(names(plan, rows.iter().map(|(arm, _)| of.arms[*arm].1))?);
    }
    values.extend([
        counts(rows.iter().map(|(_, k)| Some(declared[*k]))),
        counts(rows.iter().map(|row| opened.narrow(SHOWN, cell(row)))),
        floats(rows.iter().map(survival)),
        floats(rows.iter().map(error)),
        counts(
            rows.iter()
                .map(|(arm, _)| opened.narrow(SHOWN, first(*arm))),
        ),
        counts(
            rows.iter()
                .map(|(arm, _)| opened.narrow(SHOWN, first(*arm) + 1)),
        ),
        counts(rows.iter().map(median)),
    ]);
    let held = rows.iter().filter(|row| opened.places[cell(row)].is_none());
    let suppressed = held.map(|(arm, k)| {
        let time = (
            "time".to_owned(),
            ValueKind::Int,
            Some(declared[*k].to_string()),
        );
        let arm = of.arms[*arm].1.map(|text| {
            let key = &plan.keys[0];
            (key.name.clone(), key.kind, Some(text.to_owned()))
        });
        held_back(plan, arm.into_iter().chain([time]).collect())
    });
    let persons = (0..of.arms.len()).filter_map(|arm| opened.narrow(SHOWN, first(arm)));
    Ok(Found {
        suppressed: suppressed.collect(),
        n_used: persons.sum(),
        values,
    })
}

fn held_back(plan: &Plan, group: Vec<(String, ValueKind, Option<String>)>) -> Suppressed {
    Suppressed {
        group,
        reason: "min_cell".to_owned(),
        rule: format!("at risk >= {}", plan.min_cell.at_least),
    }
}

/// The arms' values, as of their type.
fn names<'a>(
    plan: &Plan,
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Result<ArrayRef, ResultError> {
    let texts: StringArray = texts.collect();
    let kind = plan.keys.first().map_or(ValueKind::Text, |key| key.kind);
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&texts, &kind.arrow(), &strict)
        .map_err(|_| totals("the arms are not of their type"))
}

fn compared(
    plan: &Plan,
    statistic: &Statistic,
    of: &Survival<'_>,
    opened: &Opened<'_>,
) -> Result<Found, ResultError> {
    let n_arms = of.arms.len();
    let held = opened.places.iter().filter(|place| place.is_none()).count();
    if held > 0 {
        return Err(undefined(
            statistic,
            &format!(
                "takes every arm, and {held} of {n_arms} were held back: fewer than {} {} or events, or none",
                plan.min_cell.at_least,
                plan.min_cell_counts(),
            ),
            "put small and empty arms together with others, or leave them out, by a CASE that names the arms that are wanted",
        ));
    }
    let count = |column: usize, arm: usize| opened.narrow(column, arm).unwrap_or(0) as f64;
    let observed: Vec<f64> = (0..n_arms).map(|arm| count(SHOWN, arm)).collect();
    let mut expected: Vec<f64> = (0..n_arms - 1)
        .map(|arm| opened.real(0, arm, FRAC_BITS).unwrap_or(0.0))
        .collect();
    let all: f64 = observed.iter().sum();
    expected.push((all - expected.iter().sum::<f64>()).max(0.0));
    let covariance = |j: usize, k: usize| match (j, k) {
        (j, k) if j < n_arms - 1 && k < n_arms - 1 => {
            opened.real(1 + k, j, FRAC_BITS).unwrap_or(0.0)
        }
        _ => 0.0,
    };
    let covariances = full(n_arms, covariance);
    // An arm with nobody at risk at any event is not compared, as in R's survdiff.
    let kept: Vec<usize> = (0..n_arms).filter(|arm| expected[*arm] > 1e-6).collect();
    if kept.len() < 2 {
        return Err(undefined(
            statistic,
            "is not defined: fewer than two arms are at risk at an event",
            "widen the arms or the follow-up",
        ));
    }
    let off: Vec<f64> = (0..n_arms)
        .map(|arm| observed[arm] - expected[arm])
        .collect();
    let Some(chi_square) = quadratic(&covariances, &off, &kept[..kept.len() - 1]) else {
        return Err(undefined(
            statistic,
            "is not defined: the covariances of its arms are singular",
            "put arms together",
        ));
    };
    let df = kept.len() - 1;
    let p = chi_squared_upper(chi_square, df as f64);
    let whole = counts(std::iter::repeat_n(Some(df as u64), n_arms));
    Ok(Found {
        values: vec![
            names(plan, of.arms.iter().map(|(_, text)| *text))?,
            counts((0..n_arms).map(|arm| opened.narrow(FURTHER, arm))),
            counts((0..n_arms).map(|arm| opened.narrow(SHOWN, arm))),
            floats(expected.iter().map(|e| Some(*e))),
            everywhere(chi_square, n_arms),
            whole,
            everywhere(p, n_arms),
        ],
        n_used: (0..n_arms)
            .filter_map(|arm| opened.narrow(FURTHER, arm))
            .sum(),
        suppressed: Vec::new(),
    })
}

/// All covariances from those without the last arm: each row adds up to zero.
fn full(n: usize, known: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = (0..n)
        .map(|j| (0..n).map(|k| known(j, k)).collect())
        .collect();
    let Some((last, others)) = all.split_last_mut() else {
        return all;
    };
    for (row, below) in others.iter_mut().zip(last.iter_mut()) {
        let rest = -row[..n - 1].iter().sum::<f64>();
        row[n - 1] = rest;
        *below = rest;
    }
    last[n - 1] = -last[..n - 1].iter().sum::<f64>();
    all
}

/// x'·V⁻¹·x over the wanted places, by elimination; `None` if V is singular.
fn quadratic(v: &[Vec<f64>], x: &[f64], places: &[usize]) -> Option<f64> {
    let n = places.len();
    let mut rows: Vec<Vec<f64>> = places
        .iter()
        .map(|j| places.iter().map(|k| v[*j][*k]).chain([x[*j]]).collect())
        .collect();
    let scale = rows
        .iter()
        .flatten()
        .fold(0.0, |most: f64, a| most.max(a.abs()));
    for column in 0..n {
        let pivot =
            (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() <= scale * 1e-9 {
            return None;
        }
        for below in column + 1..n {
            let above = rows[column].clone();
            let factor = rows[below][column] / above[column];
            for (value, above) in rows[below].iter_mut().zip(above).skip(column) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for j in (0..n).rev() {
        let known: f64 = (j + 1..n).map(|k| rows[j][k] * solution[k]).sum();
        solution[j] = (rows[j][n] - known) / rows[j][j];
    }
    let found = places.iter().zip(&solution).map(|(j, s)| x[*j] * s);
    Some(found.sum::<f64>().max(0.0))
}
