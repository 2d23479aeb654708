//! Calls of aggregates: what the holders compute for them, and what stands for them in the receivers' query.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Value,
};

use super::build::{case_when, filtered, marked, product};
use super::{Apart, Arg};
use crate::catalogue::Aggregate;
use crate::plan::sql::functions::{
    AggregateKind, aggregate_kind, distinct, is_aggregate, name_of, not_yet,
};
use crate::plan::sql::holders::{has_call, has_window};
use crate::plan::{PlanFault, Released};

impl Apart {
    pub(super) fn released(&mut self, name: String, value: Released) -> Expr {
        let column = marked(&name);
        self.outer.released.insert(name, value);
        column
    }

    fn arg(&mut self, expr: Expr, label: String, asked: Aggregate) -> usize {
        let text = self.same.text(&expr);
        let known = self.arg_texts.iter().position(|t| *t == text);
        let index = known.unwrap_or_else(|| {
            self.arg_texts.push(text);
            self.outer.args.push(Arg {
                expr,
                label,
                asked: BTreeSet::new(),
                sum: false,
                sum_sq: false,
            });
            self.outer.args.len() - 1
        });
        let arg = &mut self.outer.args[index];
        arg.asked.insert(asked);
        arg.sum |= asked != Aggregate::Count;
        arg.sum_sq |= asked == Aggregate::Var;
        index
    }

    /// A call of an aggregate as an expression over the columns of `released`.
    pub(super) fn aggregate(&mut self, function: &Function) -> Result<Expr, PlanFault> {
        let name = name_of(function);
        let refuse = |(what, fix): (String, &str)| Err(self.site.fault(function, what, fix));
        let Some(kind) = aggregate_kind(&name) else {
            return refuse(not_yet(&name));
        };
        let upper = name.to_uppercase();
        let args = match bare_args(function, &upper) {
            Ok(args) => args,
            Err(reason) => return refuse(reason),
        };
        let filter = function.filter.as_deref();
        let wanted = match kind {
            AggregateKind::WeightedAvg => 2,
            _ => 1,
        };
        let values: Option<Vec<Option<Expr>>> = args.iter().map(value_of).collect();
        let Some(values) = values.filter(|v| v.len() == wanted) else {
            let what = format!(
                "{upper} takes {wanted} argument(s), here are {}",
                args.len()
            );
            return refuse((what, "write it as in COUNT(*), SUM(x), WEIGHTED_AVG(x, w)"));
        };
        for part in values.iter().flatten().chain(filter) {
            if has_call(part, is_aggregate) || has_window(part) {
                let what = format!("{upper} of another aggregate or of a window function");
                return refuse((what, "aggregate columns and functions of columns"));
            }
        }
        Ok(match (kind, values.as_slice()) {
            (AggregateKind::Count, [value]) => self.count_call(value.as_ref(), filter),
            (AggregateKind::WeightedAvg, [Some(value), Some(weight)]) => {
                self.weighted(value, weight, filter)
            }
            (kind, [Some(value)]) => self.plain_call(kind, value, filter),
            _ => return refuse((format!("{upper}(*)"), "write a column in place of *")),
        })
    }

    fn count_call(&mut self, value: Option<&Expr>, filter: Option<&Expr>) -> Expr {
        let constant = |e: &Expr| matches!(e, Expr::Value(v) if v.value != Value::Null);
        match (value.filter(|v| !constant(v)), filter) {
            (None, None) => self.released("n".into(), Released::Rows),
            (None, Some(filter)) => {
                let one = Expr::value(Value::Number("1".into(), false));
                let label = format!("* FILTER (WHERE {filter})");
                let arg = self.arg(case_when(filter, one), label, Aggregate::Count);
                self.released(format!("n{arg}"), Released::Count(arg))
            }
            (Some(value), filter) => {
                let arg = self.arg(
                    filtered(value, filter),
                    label(value, filter),
                    Aggregate::Count,
                );
                self.released(format!("n{arg}"), Released::Count(arg))
            }
        }
    }

    fn plain_call(&mut self, kind: AggregateKind, value: &Expr, filter: Option<&Expr>) -> Expr {
        let (asked, name) = match kind {
            AggregateKind::Avg => (Aggregate::Avg, "avg"),
            AggregateKind::Var { sample: true } => (Aggregate::Var, "var_samp"),
            AggregateKind::Var { sample: false } => (Aggregate::Var, "var_pop"),
            AggregateKind::StdDev { sample: true } => (Aggregate::Var, "stddev_samp"),
            AggregateKind::StdDev { sample: false } => (Aggregate::Var, "stddev_pop"),
            _ => (Aggregate::Sum, "s"),
        };
        let measure = self.arg(filtered(value, filter), label(value, filter), asked);
        let value = match kind {
            AggregateKind::Avg => Released::Avg(measure),
            AggregateKind::Var { sample } => Released::Var { measure, sample },
            AggregateKind::StdDev { sample } => Released::StdDev { measure, sample },
            _ => Released::Sum(measure),
        };
        self.released(format!("{name}{measure}"), value)
    }

    /// SUM(x·w) / SUM(w where x is not NULL).
    fn weighted(&mut self, value: &Expr, weight: &Expr, filter: Option<&Expr>) -> Expr {
        let known = Expr::IsNotNull(Box::new(value.clone()));
        let weights = case_when(&known, weight.clone());
        let products = product(value, weight);
        let mut sum = |expr: &Expr| {
            let arg = self.arg(filtered(expr, filter), label(expr, filter), Aggregate::Sum);
            self.released(format!("s{arg}"), Released::Sum(arg))
        };
        let (products, weights) = (sum(&products), sum(&weights));
        Expr::BinaryOp {
            left: Box::new(products),
            op: BinaryOperator::Divide,
            right: Box::new(weights),
        }
    }
}

/// The arguments of an aggregate without DISTINCT, ORDER BY and the like.
fn bare_args<'f>(
    function: &'f Function,
    upper: &str,
) -> Result<&'f [FunctionArg], (String, &'static str)> {
    let FunctionArguments::List(list) = &function.args else {
        let what = format!("{upper} has no arguments");
        return Err((what, "write its argument in parentheses"));
    };
    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
        return Err(distinct(&format!("{upper}(DISTINCT …)")));
    }
    if !list.clauses.is_empty()
        || !function.within_group.is_empty()
        || function.null_treatment.is_some()
        || !matches!(function.parameters, FunctionArguments::None)
    {
        let what = format!("{upper} cannot take ORDER BY, WITHIN GROUP or NULLS clauses here");
        return Err((what, "leave them out"));
    }
    Ok(&list.args)
}

fn label(value: &Expr, filter: Option<&Expr>) -> String {
    match filter {
        Some(filter) => format!("{value} FILTER (WHERE {filter})"),
        None => value.to_string(),
    }
}

/// An argument's value; the inner `None` stands for `*`, the outer one for anything unusual.
fn value_of(arg: &FunctionArg) -> Option<Option<Expr>> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(Some(expr.clone())),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Some(None),
        _ => None,
    }
}
