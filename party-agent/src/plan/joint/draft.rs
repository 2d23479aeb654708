//! What each relation's holders add up, collected while the query is taken apart.

use std::collections::BTreeSet;

use super::from::Relation;
use super::member::truth;
use super::separate::Factor;
use crate::catalogue::Aggregate;
use crate::plan::sql::outer::Arg;

/// A number that a relation has for each key and each of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Take {
    /// Its rows.
    Rows,
    /// The values of an argument that are not NULL.
    Count(usize),
    /// Their sum.
    Sum(usize),
    /// The sum of their squares.
    Squares(usize),
    /// The rows with one value of an argument, by its place in the argument's range.
    Value(usize, usize),
    /// Of a subquery of IN or EXISTS 1 or 0, as it has the key or not.
    Member {
        /// Where it has.
        there: bool,
        /// Where it has not.
        without: bool,
    },
}

/// What a subquery of IN or EXISTS contributes: 1 where every condition on it is true.
fn member(factor: &Factor) -> Take {
    let all = |there| {
        factor
            .conditions
            .iter()
            .all(|c| truth(c, there) == Some(true))
    };
    Take::Member {
        there: all(true),
        without: all(false),
    }
}

/// How a factor goes into a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// It is counted: 0 or 1 a row.
    Count,
    /// Its values.
    First,
    /// Its values, which are compared with another relation's.
    Compared,
    /// Its values, each in the one row of its key.
    Row,
    /// The squares of its values.
    Second,
    /// The rows with each of its values.
    Each,
    /// Its values, row by row, beside those of others of the relation.
    Ranked,
    /// Its values, which are told apart.
    Different,
}

/// The arguments of one relation.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) args: Vec<Arg>,
    /// Of these, factors of quotients.
    pub(super) quotients: BTreeSet<usize>,
    /// Of these, what is ranked at the rows' own holders.
    pub(super) ranked: BTreeSet<usize>,
    texts: Vec<String>,
    /// Whether it is a subquery of IN or EXISTS.
    is_member: bool,
}

impl Draft {
    pub(super) fn of(relation: &Relation) -> Self {
        Self {
            is_member: relation.member.is_some(),
            ..Self::default()
        }
    }

    /// Registers a factor.
    pub(super) fn take(
        &mut self,
        factor: &Factor,
        power: Power,
        asked: &BTreeSet<Aggregate>,
    ) -> Take {
        if self.is_member {
            return member(factor);
        }
        if factor.is_one() {
            return Take::Rows;
        }
        let expr = factor.expr();
        // A day is a number in a comparison and in no sum of the result.
        let text = match power {
            Power::Compared => format!("compared: {expr}"),
            // The range of one row's value is cut, and that of a sum is not.
            Power::Row => format!("row by row: {expr}"),
            // The rows with each value are not counted.
            Power::Ranked => format!("ranked: {expr}"),
            // Its holders bring it as text.
            Power::Different if factor.value.is_some() => format!("different: {expr}"),
            _ => expr.to_string(),
        };
        let known = self.texts.iter().position(|t| *t == text);
        let index = known.unwrap_or_else(|| {
            self.texts.push(text.clone());
            self.args.push(Arg {
                label: expr.to_string(),
                expr,
                asked: BTreeSet::new(),
                sum: false,
                sum_sq: false,
                days: false,
                ordered: false,
                distinct: power == Power::Different && factor.value.is_some(),
            });
            self.args.len() - 1
        });
        if factor.divides {
            self.quotients.insert(index);
        }
        let arg = &mut self.args[index];
        arg.asked.extend(asked.iter().copied());
        match (power, factor.value.is_some()) {
            (Power::First | Power::Row, true) => {
                arg.sum = true;
                Take::Sum(index)
            }
            (Power::Compared, true) => {
                arg.sum = true;
                arg.days = true;
                Take::Sum(index)
            }
            (Power::Second, true) => {
                arg.sum = true;
                arg.sum_sq = true;
                Take::Squares(index)
            }
            (Power::Each, true) => {
                arg.ordered = true;
                Take::Value(index, 0)
            }
            (Power::Ranked, true) => {
                arg.ordered = true;
                self.ranked.insert(index);
                Take::Value(index, 0)
            }
            (Power::Different, true) => Take::Value(index, 0),
            _ => Take::Count(index),
        }
    }
}
