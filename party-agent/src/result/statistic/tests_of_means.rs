//! Welch's and Student's t, and one-way analysis of variance, from the groups' counts, means and variances.

use arrow::array::ArrayRef;

use super::super::ResultError;
use super::super::tails::{f_upper, student_two_sided};
use super::{Groups, Made, at, counts, everywhere, floats, undefined};

/// One group.
#[derive(Clone, Copy)]
struct Sample {
    n: f64,
    mean: f64,
    /// Divided by n − 1; 0 of a single value.
    variance: f64,
}

impl Sample {
    /// The sum of squares about the mean.
    fn within(self) -> f64 {
        self.variance * (self.n - 1.0)
    }
}

/// The groups with values, and their first columns: groups, n, mean, sd.
fn samples(groups: &Groups<'_>) -> Result<(Vec<Sample>, Made), ResultError> {
    let n_keys = groups.plan.keys.len();
    let n = groups.counts(n_keys)?;
    let known = groups.known(n_keys, &n)?;
    let places = known.places(&n);
    let (means, variances) = (groups.floats(n_keys + 1)?, groups.floats(n_keys + 2)?);
    let samples = places.iter().map(|&row| Sample {
        n: n[row] as f64,
        mean: means[row].unwrap_or(0.0),
        variance: variances[row].unwrap_or(0.0),
    });
    let samples: Vec<Sample> = samples.collect();
    let keys = groups.rows.columns()[..n_keys].iter();
    let mut values: Vec<ArrayRef> = keys.map(|key| at(key, &places)).collect::<Result<_, _>>()?;
    values.extend([
        counts(places.iter().map(|&row| Some(n[row]))),
        floats(places.iter().map(|&row| means[row])),
        floats(places.iter().map(|&row| variances[row].map(f64::sqrt))),
    ]);
    let made = Made {
        values,
        n_used: places.iter().map(|&row| n[row]).sum(),
        dropped: known.dropped,
        notes: Vec::new(),
    };
    Ok((samples, made))
}

pub(super) fn t_test(groups: &Groups<'_>, pooled: bool) -> Result<Made, ResultError> {
    let (samples, mut made) = samples(groups)?;
    let refused = |what, fix| Err(undefined(groups.statistic, what, fix));
    let [a, b] = samples.as_slice() else {
        return refused(
            "compares two groups, and there are more or fewer with a value",
            "name the two groups by a CASE, or use ANOVA",
        );
    };
    let (t, df) = match pooled {
        true => {
            let df = a.n + b.n - 2.0;
            let variance = (a.within() + b.within()) / df;
            let error = (variance * (1.0 / a.n + 1.0 / b.n)).sqrt();
            ((a.mean - b.mean) / error, df)
        }
        false => {
            let (of_a, of_b) = (a.variance / a.n, b.variance / b.n);
            let sum = of_a + of_b;
            let df = sum * sum / (of_a * of_a / (a.n - 1.0) + of_b * of_b / (b.n - 1.0));
            ((a.mean - b.mean) / sum.sqrt(), df)
        }
    };
    let enough = match pooled {
        true => a.n + b.n > 2.0,
        false => a.n > 1.0 && b.n > 1.0,
    };
    if !enough {
        return refused(
            "needs two values or more in each group",
            "ask for larger groups",
        );
    }
    if a.within() + b.within() <= 0.0 {
        return refused(
            "is not defined: within each group all values are alike",
            "compare the means alone",
        );
    }
    let p = student_two_sided(t, df);
    made.values.extend([t, df, p].map(|x| everywhere(x, 2)));
    Ok(made)
}

pub(super) fn anova(groups: &Groups<'_>) -> Result<Made, ResultError> {
    let (samples, mut made) = samples(groups)?;
    let refused = |what, fix| Err(undefined(groups.statistic, what, fix));
    let (k, n) = (
        samples.len() as f64,
        samples.iter().map(|s| s.n).sum::<f64>(),
    );
    if samples.len() < 2 {
        return refused(
            "compares two groups or more, and there are fewer with a value",
            "name a column with more groups",
        );
    }
    if n <= k {
        return refused("needs more values than groups", "ask for larger groups");
    }
    let mean = samples.iter().map(|s| s.n * s.mean).sum::<f64>() / n;
    let between = samples.iter().map(|s| s.n * (s.mean - mean).powi(2));
    let (between, within) = (
        between.sum::<f64>(),
        samples.iter().map(|s| s.within()).sum::<f64>(),
    );
    if within <= 0.0 {
        return refused(
            "is not defined: within each group all values are alike",
            "compare the means alone",
        );
    }
    let (df_between, df_within) = (k - 1.0, n - k);
    let f = (between / df_between) / (within / df_within);
    let p = f_upper(f, df_between, df_within);
    let rows = samples.len();
    let whole = |x: f64| counts(std::iter::repeat_n(Some(x as u64), rows));
    made.values.extend([
        everywhere(between, rows),
        everywhere(within, rows),
        whole(df_between),
        whole(df_within),
        everywhere(f, rows),
        everywhere(p, rows),
        everywhere(between / (between + within), rows),
    ]);
    Ok(made)
}
