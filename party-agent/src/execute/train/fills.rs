//! Values that are missing: what stands for them, found in the rows of all holders.

use engine::glm::Rows;
use protocols::correlate::Stock;

use super::scorecard::{Wanted, between};
use super::{Fitting, Stopped, internal, together};
use crate::local::Design;
use crate::plan::{Kinds, Term, TrainCheck, TrainCount};
use crate::result::Filled;
use crate::spec::Missing;

/// Of values that have a bin of their own, or are filled in, there are none or enough.
pub(super) fn none_or_enough(told: &[(&TrainCheck, bool)]) -> Result<(), Stopped> {
    let mut short = Vec::new();
    for (check, is_there) in told {
        let TrainCount::Apart(column, place, None) = check.count else {
            continue;
        };
        if check.at_least > 1 || !is_there {
            continue;
        }
        let of_this = told.iter().filter(|(other, is_reached)| {
            let is_same =
                matches!(other.count, TrainCount::Apart(c, p, _) if (c, p) == (column, place));
            is_same && !is_reached
        });
        short.extend(
            of_this.map(|(check, _)| {
                format!("{} (none, or at least {})", check.label, check.at_least)
            }),
        );
    }
    if short.is_empty() {
        return Ok(());
    }
    let what = format!(
        "over all holders there are too few {}",
        short.join(", too few ")
    );
    let advice = "leave such rows out, fill a number in, or leave the column out";
    Err(together(what, advice))
}

/// The same rows with these values where columns have none.
fn put(rows: &Rows, places: &[(usize, f64)], n_columns: usize) -> Rows {
    rows.with_columns(n_columns, |row, made| {
        made.copy_from_slice(row);
        for (place, value) in places {
            if made[*place].is_nan() {
                made[*place] = *value;
            }
        }
    })
}

impl Fitting<'_> {
    /// Fills missing values of columns by the mean or the median of the rows that are fitted, in both samples.
    pub(super) async fn fill(
        &mut self,
        design: &mut Design,
        stock: &mut Stock,
    ) -> Result<(), Stopped> {
        let rules = self.of.columns.iter().enumerate();
        let rules: Vec<(usize, Missing)> = rules
            .filter(|(_, c)| c.is_filled())
            .filter_map(|(i, c)| Some((i, c.missing.clone()?)))
            .collect();
        if rules.is_empty() {
            return Ok(());
        }
        let terms: Vec<usize> = rules
            .iter()
            .filter_map(|(column, _)| self.term_of(*column))
            .collect();
        if terms.len() != rules.len() {
            return Err(internal("a column that is filled is one of the design").into());
        }
        let first = usize::from(self.of.intercept);
        let rows = &design.rows;
        let mut sums = Vec::new();
        for term in &terms {
            let values = || (0..rows.len()).map(|row| rows.row(row)[first + term]);
            let there = || values().filter(|value| !value.is_nan());
            sums.extend([there().count() as f64, there().sum::<f64>()]);
        }
        let mine = self.raw(&sums)?;
        let opened = self.open(Kinds::Fills, mine).await?;
        let counts: Vec<(u64, f64)> = opened
            .chunks_exact(2)
            .map(|pair| (pair[0] as u64, pair[1]))
            .collect();
        for ((column, _), (n, _)) in rules.iter().zip(&counts) {
            if *n == 0 {
                let what = format!(
                    "{} has no value in any row that is fitted",
                    self.of.columns[*column].name
                );
                return Err(together(what, "leave it out"));
            }
        }
        let medians = self.medians((&rules, &terms), &counts, rows, stock).await?;
        let mut medians = medians.into_iter();
        let filled = rules
            .iter()
            .zip(&counts)
            .map(|((column, rule), (n, sum))| Filled {
                feature: self.of.columns[*column].name.clone(),
                value: match rule {
                    Missing::Median => medians.next().unwrap_or(f64::NAN),
                    _ => sum / *n as f64,
                },
                n_present: *n,
            });
        let filled: Vec<Filled> = filled.collect();
        let terms = terms.iter().map(|term| first + term);
        let places: Vec<(usize, f64)> = terms.zip(filled.iter().map(|f| f.value)).collect();
        for rows in [&mut design.rows, &mut design.test] {
            *rows = put(rows, &places, self.of.n_columns());
        }
        design.filled = filled;
        Ok(())
    }

    /// The term whose values are those of a column.
    fn term_of(&self, column: usize) -> Option<usize> {
        let is = |term: &Term| term.column == column && !term.is_indicator;
        self.of.terms.iter().position(is)
    }

    /// Of columns that are filled by their median, that.
    async fn medians(
        &mut self,
        (rules, terms): (&[(usize, Missing)], &[usize]),
        counts: &[(u64, f64)],
        rows: &Rows,
        stock: &mut Stock,
    ) -> Result<Vec<f64>, Stopped> {
        let mut wanted = Vec::new();
        let mut parts = Vec::new();
        let of = rules.iter().zip(terms).zip(counts);
        for (((_, _), term), (n, _)) in of.filter(|(((_, rule), _), _)| *rule == Missing::Median) {
            let term = *term;
            // Type 7: of an even number of values halfway between the two in the middle.
            let below = (n - 1) / 2;
            wanted.push(Wanted {
                term,
                rank: below + 1,
            });
            wanted.push(Wanted {
                term,
                rank: (below + 2).min(*n),
            });
            parts.push(if n % 2 == 0 { 0.5 } else { 0.0 });
        }
        let found = self.order_statistics(rows, &wanted, stock).await?;
        let pairs = found.chunks_exact(2).zip(parts);
        Ok(pairs
            .map(|(pair, part)| between(pair[0], pair[1], part))
            .collect())
    }

    /// Of terms with bins for special or missing values, how many values have none of these: cuts lie between them.
    pub(super) fn n_ordinary(&self, rows: &Rows) -> Vec<f64> {
        let terms = self.of.terms.iter().enumerate();
        let counts = terms.map(|(i, term)| match self.of.columns[term.column].n_apart() {
            0 => 0.0,
            _ => self.ordinary(rows, i).count() as f64,
        });
        counts.collect()
    }

    /// The values of a term that have no bin of their own.
    pub(super) fn ordinary<'r>(
        &self,
        rows: &'r Rows,
        term: usize,
    ) -> impl Iterator<Item = f64> + use<'r> {
        let place = usize::from(self.of.intercept) + term;
        let special = self.of.columns[self.of.terms[term].column].specials();
        let values = (0..rows.len()).map(move |row| rows.row(row)[place]);
        values.filter(move |value| !value.is_nan() && !special.contains(value))
    }
}
