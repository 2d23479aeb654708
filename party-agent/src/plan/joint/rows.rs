//! Rows of one key that are told apart: what is compared between holders, or computed together, is a number of one row.
//!
//! A holder numbers the rows of each of its keys, and brings a column for each number: 0 where the key has fewer rows. A
//! term over rows is then a sum over all choices of one row of each table that it tells apart, and each of these is the
//! term as it is for tables with one row a key. How many rows there can be is said in the job, since it decides what is
//! sent; every holder checks it before that.

use std::collections::BTreeSet;

use super::below;
use super::from::Relation;
use super::terms::Term;
use super::{Job, RelationPlan};
use crate::plan::words::counted;
use crate::plan::{PlanFault, RingWidth};
use crate::spec::SqlCompute;

/// Most choices of one row of each table of a query.
const MAX_CHOICES: usize = 256;

/// For each relation 0, for all its rows together, or the number of a row of the key, from 1 on.
pub(super) type Choice = Vec<usize>;

/// How many rows of a key each relation of the query has at most, by the job.
///
/// # Errors
/// Names of no table, and too many choices.
pub(super) fn of_job(sql: &SqlCompute, all: &[Relation]) -> Result<Vec<usize>, PlanFault> {
    let place = "compute.max_rows_per_key";
    let mut rows = vec![1; all.len()];
    for (name, most) in &sql.max_rows_per_key {
        let of = all.iter().position(|r| r.names.contains(name));
        let Some(at) = of.filter(|at| all[*at].member.is_none()) else {
            let own = all.iter().filter(|r| r.member.is_none());
            let names: Vec<&str> = own.flat_map(|r| &r.names).map(String::as_str).collect();
            return Err(PlanFault {
                place: place.to_owned(),
                what: format!("{name} is no table in FROM"),
                fix: format!(
                    "the names that the query gives them are {}",
                    names.join(", ")
                ),
            });
        };
        rows[at] = usize::try_from(*most).unwrap_or(usize::MAX);
    }
    let n = rows.iter().fold(1usize, |n, r| n.saturating_mul(*r));
    if n <= MAX_CHOICES {
        return Ok(rows);
    }
    Err(PlanFault {
        place: place.to_owned(),
        what: format!("{n} pairs of rows of a key would be compared, and {MAX_CHOICES} can be"),
        fix: "write smaller bounds, or leave one row a key of one table: a subquery with GROUP BY, or ROW_NUMBER()"
            .to_owned(),
    })
}

/// Which rows the terms of a query tell apart.
pub(super) struct Rows<'a> {
    /// How many a key has of each relation.
    a_key: &'a [usize],
    /// The relations that each of the sums has parts of.
    compared: Vec<BTreeSet<usize>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(job: &'a Job<'_>, below: &[below::Taken]) -> Self {
        Self {
            a_key: &job.rows_a_key,
            compared: below.iter().map(below::Taken::relations).collect(),
        }
    }

    /// Every choice of one row of each of these relations, as far as they have several.
    fn choices(&self, of: &BTreeSet<usize>) -> Vec<Choice> {
        let mut all = vec![Choice::new()];
        for (at, n) in self.a_key.iter().enumerate() {
            let numbers = match of.contains(&at) && *n > 1 {
                true => 1..=*n,
                false => 0..=0,
            };
            let with = |choice: &Choice, number| {
                let mut choice = choice.clone();
                choice.push(number);
                choice
            };
            all = (all.iter())
                .flat_map(|choice| numbers.clone().map(|number| with(choice, number)))
                .collect();
        }
        all
    }

    /// The choices over which a term is added up: rows of what it compares.
    pub(super) fn of_term(&self, term: &Term) -> Vec<Choice> {
        let compared = term.below.iter().flat_map(|b| &self.compared[*b]);
        self.choices(&compared.copied().collect())
    }

    /// Rows of all relations: those of the join.
    pub(super) fn of_all(&self) -> Vec<Choice> {
        self.choices(&(0..self.a_key.len()).collect())
    }

    /// The rows for which a sum is compared.
    pub(super) fn of_sum(&self, below: usize) -> Vec<Choice> {
        self.choices(&self.compared[below])
    }

    /// The number of a sum for these rows among those of all sums and rows.
    pub(super) fn number(&self, below: usize, choice: &[usize]) -> usize {
        let of = &self.compared[below];
        let before = (0..below).map(|b| self.of_sum(b).len()).sum::<usize>();
        let is_its = |c: &Choice| of.iter().all(|at| c[*at] == choice[*at]);
        let own = self.of_sum(below).iter().position(is_its);
        before + own.expect("a term tells the rows of what it compares apart")
    }
}

impl Job<'_> {
    /// How many rows of the join a key can have, as far as its tables are told apart.
    pub(super) fn n_choices(&self) -> usize {
        self.rows_a_key.iter().product()
    }

    /// Refuses bounds on rows that nothing in the query needs.
    pub(super) fn rows_are_told_apart(&self) -> Result<(), PlanFault> {
        if self.sql.max_rows_per_key.is_empty() || self.has_one_row_a_key() {
            return Ok(());
        }
        Err(PlanFault {
            place: "compute.max_rows_per_key".to_owned(),
            what: "has no effect: nothing in the query is compared or computed row by row between holders".to_owned(),
            fix: "leave it out".to_owned(),
        })
    }
}

impl RelationPlan {
    /// A column for the rows of this number, or for all.
    pub(super) fn column_of(total: usize, index: usize, number: usize) -> usize {
        index + number * total
    }

    /// The number of the rows that a column is for, 0 for all, and the column of the totals.
    #[must_use]
    pub fn rows_of(&self, ring: RingWidth, column: usize) -> (usize, usize) {
        let total = match ring {
            RingWidth::Narrow => self.totals_narrow,
            RingWidth::Wide => self.totals_wide,
        };
        (column / total.max(1), column % total.max(1))
    }

    /// Whether rows of a key are told apart, and how many there can be.
    #[must_use]
    pub fn told_apart(&self) -> Option<usize> {
        self.rows_a_key.filter(|n| *n > 1)
    }

    /// How many rows a key has, in words.
    pub(super) fn rows_in_words(&self) -> String {
        match self.told_apart() {
            Some(most) => format!("each of up to {} a key", counted(most as u64, "row")),
            None => "one row a key".to_owned(),
        }
    }
}
