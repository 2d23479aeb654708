//! Calls of aggregates: what the holders compute for them, and what stands for them in the receivers' query.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, UnaryOperator, Value, helpers::attached_token::AttachedToken,
};

use super::build::{call, case_when, filtered, marked, product, where_known};
use super::{Apart, Arg};
use crate::catalogue::Aggregate;
use crate::plan::sql::functions::{
    AggregateKind, aggregate_kind, distinct, is_aggregate, name_of, not_yet,
};
use crate::plan::sql::holders::{has_call, has_window};
use crate::plan::words::counted;
use crate::plan::{Fraction, PairStat, PlanFault, Released};

impl Apart {
    pub(super) fn released(&mut self, name: String, value: Released) -> Expr {
        let column = marked(&name);
        self.outer.released.insert(name, value);
        column
    }

    fn registered(&mut self, expr: Expr, label: String, asked: Aggregate) -> usize {
        let is_distinct = asked == Aggregate::CountDistinct;
        // The holders give it another form, so it is an argument of its own.
        let text = match is_distinct {
            true => format!("DISTINCT {}", self.same.text(&expr)),
            false => self.same.text(&expr),
        };
        let known = self.arg_texts.iter().position(|t| *t == text);
        let index = known.unwrap_or_else(|| {
            self.arg_texts.push(text);
            self.outer.args.push(Arg {
                expr,
                label,
                asked: BTreeSet::new(),
                sum: false,
                sum_sq: false,
                days: false,
                ordered: false,
                distinct: is_distinct,
            });
            self.outer.args.len() - 1
        });
        let arg = &mut self.outer.args[index];
        arg.asked.insert(asked);
        index
    }

    /// Registers an argument and what is added up or compared of it.
    fn arg(&mut self, expr: Expr, label: String, asked: Aggregate) -> usize {
        let index = self.registered(expr, label, asked);
        let arg = &mut self.outer.args[index];
        match asked {
            Aggregate::Count | Aggregate::CountDistinct => {}
            Aggregate::Min | Aggregate::Max | Aggregate::Median | Aggregate::Quantile => {
                arg.ordered = true;
            }
            Aggregate::Sum | Aggregate::Avg | Aggregate::Var | Aggregate::Corr => arg.sum = true,
        }
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
        if let AggregateKind::Percentile { continuous } = kind {
            return match percentile(function, &upper) {
                Ok((value, p)) => {
                    let filter = function.filter.as_deref();
                    Ok(self.quantile(&value, filter, p, continuous, Aggregate::Quantile))
                }
                Err(reason) => refuse(reason),
            };
        }
        if kind == AggregateKind::Count
            && let Some(value) = distinct_value(function)
        {
            if has_call(&value, is_aggregate) || has_window(&value) {
                let what = format!("{upper} of another aggregate or of a window function");
                return refuse((what, "aggregate columns and functions of columns"));
            }
            return Ok(self.distinct(&value, function.filter.as_deref()));
        }
        let args = match bare_args(function, &upper) {
            Ok(args) => args,
            Err(reason) => return refuse(reason),
        };
        let filter = function.filter.as_deref();
        let wanted = match kind {
            AggregateKind::WeightedAvg | AggregateKind::Pair(_) | AggregateKind::Spearman => 2,
            _ => 1,
        };
        let values: Option<Vec<Option<Expr>>> = args.iter().map(value_of).collect();
        let Some(values) = values.filter(|v| v.len() == wanted) else {
            let what = format!(
                "{upper} takes {}, not {}",
                counted(wanted as u64, "argument"),
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
            (AggregateKind::Pair(stat), [Some(y), Some(x)]) => self.pair(stat, y, x, filter),
            (AggregateKind::Least, [Some(value)]) => self.extreme(value, filter, false),
            (AggregateKind::Greatest, [Some(value)]) => self.extreme(value, filter, true),
            (AggregateKind::Bool { any }, [Some(value)]) => self.bool(value, filter, any),
            (AggregateKind::Median, [Some(value)]) => {
                self.quantile(value, filter, Fraction::HALF, true, Aggregate::Median)
            }
            (AggregateKind::Spearman, [Some(y), Some(x)]) => self.spearman(y, x, filter),
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

    fn distinct(&mut self, value: &Expr, filter: Option<&Expr>) -> Expr {
        let asked = Aggregate::CountDistinct;
        let arg = self.arg(filtered(value, filter), label(value, filter), asked);
        self.released(format!("distinct{arg}"), Released::Distinct(arg))
    }

    fn extreme(&mut self, value: &Expr, filter: Option<&Expr>, greatest: bool) -> Expr {
        let (asked, name) = match greatest {
            true => (Aggregate::Max, "max"),
            false => (Aggregate::Min, "min"),
        };
        let measure = self.arg(filtered(value, filter), label(value, filter), asked);
        self.released(
            format!("{name}{measure}"),
            Released::Extreme { measure, greatest },
        )
    }

    /// BOOL_OR and BOOL_AND: the greatest and the least of 1 and 0, which tells no count.
    fn bool(&mut self, value: &Expr, filter: Option<&Expr>, any: bool) -> Expr {
        let (asked, name) = match any {
            true => (Aggregate::Max, "max"),
            false => (Aggregate::Min, "min"),
        };
        let shown = call(
            if any { "BOOL_OR" } else { "BOOL_AND" },
            vec![value.clone()],
        );
        let value = as_number(value);
        let measure = self.arg(filtered(&value, filter), label(&shown, filter), asked);
        let greatest = any;
        let found = self.released(
            format!("{name}{measure}"),
            Released::Extreme { measure, greatest },
        );
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(found),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::value(Value::Number("1".into(), false))),
        }))
    }

    fn quantile(
        &mut self,
        value: &Expr,
        filter: Option<&Expr>,
        p: Fraction,
        continuous: bool,
        asked: Aggregate,
    ) -> Expr {
        let measure = self.arg(filtered(value, filter), label(value, filter), asked);
        let name = if continuous { "cont" } else { "disc" };
        self.released(
            format!("{name}{measure}_{}_{}", p.numerator, p.denominator),
            Released::Quantile {
                measure,
                p,
                continuous,
            },
        )
    }

    /// A statistic of two columns, from five sums over the rows in which both are known.
    fn pair(&mut self, stat: PairStat, y: &Expr, x: &Expr, filter: Option<&Expr>) -> Expr {
        let mut measure = |value: Expr, text: String, squares: bool| {
            let shown = Expr::Identifier(Ident::new(text));
            let arg = self.arg(
                filtered(&value, filter),
                label(&shown, filter),
                Aggregate::Corr,
            );
            self.outer.args[arg].sum_sq |= squares;
            arg
        };
        let y_measure = measure(where_known(y, x), format!("{y} where {x} is known"), true);
        let x_measure = measure(where_known(x, y), format!("{x} where {y} is known"), true);
        let products = measure(product(y, x), format!("{y} * {x}"), false);
        let name = format!("{}_{y_measure}_{x_measure}", stat.as_str());
        let value = Released::Pair {
            stat,
            y: y_measure,
            x: x_measure,
            products,
        };
        self.released(name, value)
    }

    /// The correlation of the ranks of two columns over the rows in which both are known.
    fn spearman(&mut self, y: &Expr, x: &Expr, filter: Option<&Expr>) -> Expr {
        let mut ranked = |value: &Expr, other: &Expr| {
            let shown = Expr::Identifier(Ident::new(format!("{value} where {other} is known")));
            let expr = filtered(&where_known(value, other), filter);
            let arg = self.registered(expr, label(&shown, filter), Aggregate::Corr);
            self.outer.args[arg].ordered = true;
            arg
        };
        let (y, x) = (ranked(y, x), ranked(x, y));
        self.released(format!("spearman_{y}_{x}"), Released::Spearman { y, x })
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

/// The one argument of COUNT(DISTINCT x), if it is one.
fn distinct_value(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let plain = list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        && list.clauses.is_empty()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && matches!(function.parameters, FunctionArguments::None);
    match list.args.as_slice() {
        [arg] if plain => value_of(arg).flatten(),
        _ => None,
    }
}

/// The value and the fraction of PERCENTILE_CONT(p) WITHIN GROUP (ORDER BY x) or of QUANTILE_CONT(x, p).
fn percentile(
    function: &Function,
    upper: &str,
) -> Result<(Expr, Fraction), (String, &'static str)> {
    let refused = |what: &str| {
        let what = format!("{upper} {what}");
        let fix = "write PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY x), with up to six decimals from 0 to 1";
        Err((what, fix))
    };
    let FunctionArguments::List(list) = &function.args else {
        return refused("has no arguments");
    };
    if list.duplicate_treatment.is_some()
        || !list.clauses.is_empty()
        || function.null_treatment.is_some()
        || !matches!(function.parameters, FunctionArguments::None)
    {
        return refused("has a clause that it cannot take");
    }
    let values: Option<Vec<Expr>> = list.args.iter().map(|a| value_of(a).flatten()).collect();
    let (value, p) = match (values.as_deref(), function.within_group.as_slice()) {
        (Some([p]), [order]) if order.options.asc != Some(false) => (order.expr.clone(), p),
        (Some([_]), [_]) => return refused("sorts downwards; sort upwards and take 1 − p"),
        (Some([value, p]), []) => (value.clone(), p),
        _ => return refused("needs one fraction and one value"),
    };
    let text = match p {
        Expr::Value(v) => match &v.value {
            Value::Number(digits, false) => Fraction::read(digits),
            _ => None,
        },
        _ => None,
    };
    if has_call(&value, is_aggregate) || has_window(&value) {
        return refused("of another aggregate or of a window function");
    }
    match text {
        Some(p) => Ok((value, p)),
        None => refused(&format!("of {p}, which is no fraction from 0 to 1")),
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

/// 1 where a condition is true, 0 where it is false, NULL where it is unknown.
fn as_number(condition: &Expr) -> Expr {
    let number = |digits: &str| Expr::value(Value::Number(digits.into(), false));
    let when = |condition: Expr, digits: &str| CaseWhen {
        condition,
        result: number(digits),
    };
    let not = Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: Box::new(Expr::Nested(Box::new(condition.clone()))),
    };
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![when(condition.clone(), "1"), when(not, "0")],
        else_result: None,
    }
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
