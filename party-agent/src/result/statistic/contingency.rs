//! Pearson's chi-square of a contingency table, and Cramér's V.

use super::super::ResultError;
use super::super::tails::chi_squared_upper;
use super::{Groups, Made, counts, floats, undefined};

/// Below this, the distribution of chi-square is a poor approximation.
const SMALL: f64 = 5.0;

/// Counts by two columns; rows and columns without anybody are left out.
struct Table {
    counts: Vec<Vec<u64>>,
    rows: Vec<f64>,
    columns: Vec<f64>,
    n: f64,
}

impl Table {
    fn new(cells: &[(String, String, u64)]) -> Self {
        let place = |seen: &mut Vec<String>, text: &String| {
            let known = seen.iter().position(|s| s == text);
            known.unwrap_or_else(|| {
                seen.push(text.clone());
                seen.len() - 1
            })
        };
        let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
        let cells: Vec<(usize, usize, u64)> = cells
            .iter()
            .map(|(a, b, n)| (place(&mut of_a, a), place(&mut of_b, b), *n))
            .collect();
        let mut counts = vec![vec![0; of_b.len()]; of_a.len()];
        for (a, b, n) in cells {
            counts[a][b] += n;
        }
        let sum = |cells: &mut dyn Iterator<Item = u64>| cells.sum::<u64>() as f64;
        let rows: Vec<f64> = counts.iter().map(|r| sum(&mut r.iter().copied())).collect();
        let columns = (0..of_b.len()).map(|b| sum(&mut counts.iter().map(|r| r[b])));
        Self {
            columns: columns.collect(),
            n: rows.iter().sum(),
            rows,
            counts,
        }
    }

    fn expected(&self) -> impl Iterator<Item = f64> {
        let rows = self.rows.iter();
        rows.flat_map(move |r| self.columns.iter().map(move |c| r * c / self.n))
    }

    fn chi_square(&self, less: f64) -> f64 {
        let observed = self.counts.iter().flatten().map(|n| *n as f64);
        let terms = observed.zip(self.expected());
        // The correction goes no further than to the expected count.
        let terms = terms
            .map(|(o, e)| (o - e).abs().max(less) - less)
            .zip(self.expected());
        terms.map(|(off, e)| off * off / e).sum()
    }
}

pub(super) fn chi_square(groups: &Groups<'_>, yates: bool) -> Result<Made, ResultError> {
    let n = groups.counts(2)?;
    let known = groups.known(2, &n)?;
    let (a, b) = (groups.texts(0)?, groups.texts(1)?);
    let cells = known.places(&n).into_iter();
    let cells = cells.filter_map(|row| Some((a[row].clone()?, b[row].clone()?, n[row])));
    let table = Table::new(&cells.collect::<Vec<_>>());
    let least = table.rows.len().min(table.columns.len());
    if least < 2 {
        return Err(undefined(
            groups.statistic,
            "needs two groups or more of each column, and one has fewer",
            "name columns with more groups",
        ));
    }
    if yates && (table.rows.len(), table.columns.len()) != (2, 2) {
        return Err(undefined(
            groups.statistic,
            "corrects tables of two by two groups alone",
            "use CHI_SQUARE",
        ));
    }
    let chi_square = table.chi_square(if yates { 0.5 } else { 0.0 });
    let df = (table.rows.len() - 1) * (table.columns.len() - 1);
    let v = (chi_square / (table.n * (least - 1) as f64)).sqrt();
    let lowest = table.expected().fold(f64::INFINITY, f64::min);
    let small = table.expected().filter(|e| *e < SMALL).count();
    let mut notes = Vec::new();
    if small > 0 {
        notes.push(format!(
            "warning: {small} of {} expected counts are below 5, where the distribution of chi-square is a poor approximation and p is not reliable",
            table.expected().count()
        ));
    }
    let p = chi_squared_upper(chi_square, df as f64);
    let n = table.n as u64;
    Ok(Made {
        values: vec![
            floats([Some(chi_square)]),
            counts([Some(df as u64)]),
            floats([Some(p)]),
            floats([Some(v)]),
            counts([Some(n)]),
            floats([Some(lowest)]),
        ],
        n_used: n,
        dropped: known.dropped,
        notes,
    })
}
