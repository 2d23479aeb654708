//! What a query asks for, in numbers that each relation has for its keys.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::Expr;

use super::Job;
use super::below;
use super::columns::{same, stripped};
use super::draft::{Draft, Power, Take};
use super::separate::{Factor, Separate, Sum, plus, times};
use crate::catalogue::Aggregate;
use crate::plan::PlanFault;
use crate::plan::sql::functions::{name_of, plain_args};
use crate::plan::sql::outer::Arg;

/// A product of numbers of the relations, in the order of FROM.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub(super) coefficient: i64,
    pub(super) takes: Vec<Take>,
    /// The numbers of sums that must be below 0.
    pub(super) below: Vec<usize>,
}

impl Product {
    /// Whether a factor is a sum of squares.
    pub(super) fn is_square(&self) -> bool {
        self.takes.iter().any(|t| matches!(t, Take::Squares(_)))
    }
}

/// An argument of the query.
pub(super) enum Argument {
    /// Counted and added up.
    Plain {
        count: Vec<Product>,
        sum: Option<Vec<Product>>,
        squares: Option<Vec<Product>>,
        /// The rows with one value, each relation that has values by its first.
        each: Option<Vec<Product>>,
        /// Its values where they are computed row by row.
        row: Option<Vec<Product>>,
        /// Its values where one relation has them and ranks them among its rows.
        ranked: Option<Vec<Product>>,
    },
    /// Different keys are counted: those for which no factor is 0.
    Keys(Vec<Take>),
    /// Different keys are counted: those of which some row counts.
    Met(Vec<Product>),
    /// Different values of a column are counted: in how many rows of the join each row of its relation stands.
    Different(Vec<Product>),
}

/// Everything that the query asks for, in numbers of the relations.
pub(super) struct Taken {
    pub(super) drafts: Vec<Draft>,
    pub(super) rows: Vec<Product>,
    /// The persons of a group, if they can be counted.
    pub(super) persons: Option<Vec<Take>>,
    pub(super) args: Vec<Argument>,
    /// The sums that are compared with 0.
    pub(super) below: Vec<below::Taken>,
}

/// Takes the arguments of the query apart. `condition` is 1 for the rows that count.
pub(super) fn taken(job: &Job<'_>, condition: &Sum) -> Result<Taken, Vec<PlanFault>> {
    let mut drafts: Vec<Draft> = job.relations.all.iter().map(Draft::of).collect();
    let nobody = BTreeSet::new();
    let rows = products(&mut drafts, condition, Power::Count, &nobody);
    let persons = flags(&mut drafts, condition, &nobody);
    let (mut args, mut faults) = (Vec::new(), Vec::new());
    for (i, arg) in job.outer.args.iter().enumerate() {
        match argument(job, &mut drafts, condition, (i, arg)) {
            Ok(argument) => args.push(argument),
            Err(fault) => faults.push(fault),
        }
    }
    let below = below::taken(&job.below.borrow(), &mut drafts);
    match faults.is_empty() {
        true => Ok(Taken {
            drafts,
            rows,
            persons,
            args,
            below,
        }),
        false => Err(faults),
    }
}

impl Taken {
    /// The arguments of a relation that go into values which are computed row by row.
    pub(super) fn row_args_of(&self, relation: usize) -> impl Iterator<Item = usize> {
        let rows = self.args.iter().filter_map(|argument| match argument {
            Argument::Plain { row, .. } => row.as_ref(),
            _ => None,
        });
        let takes = rows.flatten().map(move |product| product.takes[relation]);
        takes.filter_map(|take| match take {
            Take::Sum(arg) => Some(arg),
            _ => None,
        })
    }
}

fn products(
    drafts: &mut [Draft],
    sum: &Sum,
    power: Power,
    asked: &BTreeSet<Aggregate>,
) -> Vec<Product> {
    let mut take = |factors: &[Factor]| {
        let factors = factors.iter().zip(drafts.iter_mut());
        factors
            .map(|(f, draft)| draft.take(f, power, asked))
            .collect()
    };
    sum.iter()
        .map(|product| Product {
            coefficient: product.coefficient,
            takes: take(&product.factors),
            below: product.below.clone(),
        })
        .collect()
}

/// The square of a sum: of each product its square, and twice every two of them.
fn squares(drafts: &mut [Draft], value: &Sum, asked: &BTreeSet<Aggregate>) -> Option<Vec<Product>> {
    let mut twice = Sum::new();
    for (at, one) in value.iter().enumerate() {
        for other in &value[at + 1..] {
            let both = times(&vec![one.clone()], &vec![other.clone()])?;
            twice = plus(&twice, &both, 2)?;
        }
    }
    let mut all = products(drafts, value, Power::Second, asked);
    for product in &mut all {
        product.coefficient = product.coefficient.checked_mul(product.coefficient)?;
    }
    all.extend(products(drafts, &twice, Power::First, asked));
    Some(all)
}

/// The keys with a row that counts, if that is a condition of each relation alone.
fn flags(drafts: &mut [Draft], sum: &Sum, asked: &BTreeSet<Aggregate>) -> Option<Vec<Take>> {
    let [product] = sum.as_slice() else {
        return None;
    };
    if product.coefficient != 1 || !product.below.is_empty() {
        return None;
    }
    let found = products(drafts, sum, Power::Count, asked);
    Some(found[0].takes.clone())
}

fn argument(
    job: &Job<'_>,
    drafts: &mut [Draft],
    condition: &Sum,
    (i, arg): (usize, &Arg),
) -> Result<Argument, PlanFault> {
    let refused = |what: String, fix: &str| Err(job.site.fault(&arg.expr, what, fix));
    let by_row = job.is_row_by_row(i, arg)?;
    if by_row && job.outer.margins.is_some() {
        let what = format!(
            "{} of {}, which is computed from columns of different holders, beside ROLLUP or CUBE",
            match job.is_rank_correlated(i) {
                true => "ranks",
                false => "MIN, MAX and quantiles",
            },
            arg.label
        );
        return refused(what, "run a job for each grouping");
    }
    let separate = Separate {
        keeps_zeros: arg.ordered && !by_row,
        ..job.separate()
    };
    let separated = separate.value(&arg.expr)?;
    let within = |sum: &Sum| {
        times(condition, sum).ok_or_else(|| {
            let what = "this has too many products between holders' columns";
            job.site.fault(&arg.expr, what, "write it in parts")
        })
    };
    let known = within(&separated.known)?;
    if arg.distinct {
        if let Some(keys) = keys(job, drafts, (condition, &known), arg)? {
            return Ok(keys);
        }
        let value = within(&separated.value)?;
        of_one_column(job, &value, arg)?;
        let values = products(drafts, &value, Power::Different, &arg.asked);
        return Ok(Argument::Different(values));
    }
    let value = within(&separated.value)?;
    let squares = match arg.sum_sq {
        true => match squares(drafts, &value, &arg.asked) {
            // The squares of rows are added up where they are made.
            None if by_row => Some(Vec::new()),
            found => Some(found.ok_or_else(|| {
                let what = format!(
                    "the square of {} has too many products between holders' columns",
                    arg.label
                );
                let fix = "take variances and covariances of its parts, and combine them";
                job.site.fault(&arg.expr, what, fix)
            })?),
        },
        false => None,
    };
    let is_ranked = job.ranked_at.is_some() && job.is_rank_correlated(i);
    let is_counted = arg.ordered && !by_row && (!is_ranked || job.is_searched(i));
    Ok(Argument::Plain {
        count: products(drafts, &known, Power::Count, &arg.asked),
        sum: arg
            .sum
            .then(|| products(drafts, &value, Power::First, &arg.asked)),
        squares,
        each: is_counted.then(|| products(drafts, &value, Power::Each, &arg.asked)),
        row: by_row.then(|| products(drafts, &value, Power::Row, &arg.asked)),
        ranked: is_ranked.then(|| products(drafts, &value, Power::Ranked, &arg.asked)),
    })
}

/// Different values that are counted are those of one column of one relation, whatever decides in which rows they count: what
/// several relations compute together stands in no holder's rows.
fn of_one_column(job: &Job<'_>, value: &Sum, arg: &Arg) -> Result<(), PlanFault> {
    let values = |product: &super::separate::Product| {
        let values = product.factors.iter().enumerate();
        let values = values.filter_map(|(at, factor)| Some((at, factor.value.clone()?)));
        values.collect::<Vec<_>>()
    };
    let mut found: Vec<_> = value.iter().map(values).collect();
    found.dedup();
    let is_one = matches!(found.as_slice(), [one] if one.len() == 1);
    if is_one && job.separate().chooses(&arg.expr)? {
        return Ok(());
    }
    let what = format!(
        "COUNT(DISTINCT {}) over a join between holders: its values are not those of one column of one table",
        arg.label
    );
    let fix = "count the different values of a column, or of an expression of one table's columns, with conditions on others in WHERE, FILTER or CASE";
    Err(job.site.fault(&arg.expr, what, fix))
}

/// COUNT(DISTINCT x) where x is the key of the join, and which keys count is a condition of each relation alone.
fn keys(
    job: &Job<'_>,
    drafts: &mut [Draft],
    (condition, known): (&Sum, &Sum),
    arg: &Arg,
) -> Result<Option<Argument>, PlanFault> {
    if job.outer.margins.is_some() {
        let what = format!(
            "COUNT(DISTINCT {}) beside ROLLUP or CUBE: different values of groups do not add up",
            arg.label
        );
        let fix = "run a job for each level";
        return Err(job.site.fault(&arg.expr, what, fix));
    }
    if let Some(takes) = any_key(job, drafts, condition, arg)? {
        return Ok(Some(Argument::Keys(takes)));
    }
    let is_key = job.relations.all.iter().any(|r| match r.key.as_slice() {
        [key] => same(key, base(&arg.expr)),
        _ => false,
    });
    if !is_key {
        return Ok(None);
    }
    Ok(match flags(drafts, known, &arg.asked) {
        Some(takes) => Some(Argument::Keys(takes)),
        None if job.has_one_row_a_key() => {
            let rows = products(drafts, known, Power::Count, &arg.asked);
            Some(Argument::Met(rows))
        }
        None => None,
    })
}

/// The keys with a row that counts where x is COALESCE of keys, one of which is there in every row.
fn any_key(
    job: &Job<'_>,
    drafts: &mut [Draft],
    condition: &Sum,
    arg: &Arg,
) -> Result<Option<Vec<Take>>, PlanFault> {
    let Expr::Function(function) = base(&arg.expr) else {
        return Ok(None);
    };
    let Some(args) = plain_args(function).filter(|_| name_of(function) == "coalesce") else {
        return Ok(None);
    };
    let relations = &job.relations.all;
    let of_key = |expr: &Expr| {
        let is = |key: &[Expr]| matches!(key, [key] if same(key, stripped(expr)));
        relations.iter().position(|r| is(&r.key))
    };
    let found: Option<BTreeSet<usize>> = args.into_iter().map(of_key).collect();
    let covers = |found: &BTreeSet<usize>| {
        found.len() == relations.len() || found.iter().any(|at| !relations[*at].optional)
    };
    if !found.as_ref().is_some_and(covers) {
        return Ok(None);
    }
    let mut all = condition.clone();
    let mut expr = stripped(&arg.expr);
    while let Expr::Case { conditions, .. } = expr {
        let is = job.separate().condition(&conditions[0].condition)?;
        let Some(both) = times(&all, &is) else {
            return Ok(None);
        };
        all = both;
        expr = stripped(&conditions[0].result);
    }
    Ok(flags(drafts, &all, &arg.asked))
}

/// What COUNT(DISTINCT CASE WHEN … THEN x END) counts.
fn base(expr: &Expr) -> &Expr {
    match stripped(expr) {
        Expr::Case {
            operand: None,
            conditions,
            else_result: None,
            ..
        } if conditions.len() == 1 => base(&conditions[0].result),
        other => other,
    }
}
