//! The aggregates that a job can use, those that it cannot yet with the reason, and HISTOGRAM.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    ObjectNamePart, UnaryOperator, Value, VisitMut, VisitorMut,
    helpers::attached_token::AttachedToken,
};

use super::super::{PairStat, PlanFault, StatisticKind};
use super::Site;

/// An aggregate that runs over several holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum AggregateKind {
    Count,
    Sum,
    Avg,
    Var {
        sample: bool,
    },
    StdDev {
        sample: bool,
    },
    WeightedAvg,
    Pair(PairStat),
    Least,
    Greatest,
    /// BOOL_OR (true) or BOOL_AND.
    Bool {
        any: bool,
    },
    Median,
    /// PERCENTILE_CONT (true) or PERCENTILE_DISC.
    Percentile {
        continuous: bool,
    },
    Spearman,
}

/// The aggregate with this name in small letters.
pub(in crate::plan) fn aggregate_kind(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "avg" | "mean" => AggregateKind::Avg,
        "var" | "var_samp" | "var_sample" | "variance" => AggregateKind::Var { sample: true },
        "var_pop" | "var_population" => AggregateKind::Var { sample: false },
        "stddev" | "stddev_samp" => AggregateKind::StdDev { sample: true },
        "stddev_pop" => AggregateKind::StdDev { sample: false },
        "weighted_avg" | "weighted_mean" => AggregateKind::WeightedAvg,
        "min" => AggregateKind::Least,
        "max" => AggregateKind::Greatest,
        "bool_or" => AggregateKind::Bool { any: true },
        "bool_and" | "every" => AggregateKind::Bool { any: false },
        "median" => AggregateKind::Median,
        "percentile_cont" | "quantile_cont" => AggregateKind::Percentile { continuous: true },
        "percentile_disc" | "quantile_disc" => AggregateKind::Percentile { continuous: false },
        "spearman" => AggregateKind::Spearman,
        _ => AggregateKind::Pair(PairStat::named(name)?),
    })
}

const NOT_YET: [&str; 14] = [
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "first_value",
    "grouping",
    "last_value",
    "nth_value",
    "string_agg",
];

/// Whether a function with this name in small letters aggregates rows.
pub(in crate::plan) fn is_aggregate(name: &str) -> bool {
    aggregate_kind(name).is_some() || NOT_YET.contains(&name) || is_statistic(name)
}

/// Whether a function with this name in small letters is a statistic that stands alone. HISTOGRAM is a group key as well.
fn is_statistic(name: &str) -> bool {
    StatisticKind::named(name).is_some_and(|kind| kind != StatisticKind::Histogram)
}

/// Why an aggregate cannot run over several holders, and what to do instead.
pub(in crate::plan) fn not_yet(name: &str) -> (String, &'static str) {
    let upper = name.to_uppercase();
    if is_statistic(name) {
        let what = format!("{upper} is no part of another expression");
        return (
            what,
            "let it stand alone in the outermost SELECT list, as in SELECT T_TEST(x, g) FROM …",
        );
    }
    let fix = match name {
        "approx_distinct" => "use COUNT(DISTINCT x), which is exact",
        "approx_median" => "use MEDIAN, which is exact",
        "approx_percentile_cont" | "approx_percentile_cont_with_weight" => {
            "use PERCENTILE_CONT, which is exact"
        }
        _ => {
            "use COUNT, SUM, AVG, MIN, MAX, MEDIAN, PERCENTILE_CONT, VAR_SAMP, STDDEV_SAMP, CORR, SPEARMAN, BOOL_OR, BOOL_AND or WEIGHTED_AVG"
        }
    };
    (
        format!("{upper} over several holders is not available in this version"),
        fix,
    )
}

/// Why an aggregate over distinct values cannot run over several holders.
pub(in crate::plan) fn distinct(what: &str) -> (String, &'static str) {
    (
        format!(
            "{what} over several holders needs a private union of their values, which is available for COUNT(DISTINCT x) alone"
        ),
        "leave DISTINCT out, or make rows distinct inside the part of each holder",
    )
}

/// A function's name in small letters; empty for a name of several parts.
pub(in crate::plan) fn name_of(function: &Function) -> String {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => name.value.to_lowercase(),
        _ => String::new(),
    }
}

/// A function's arguments, if they are plain expressions.
pub(in crate::plan) fn plain_args(function: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let plain = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    let bare = list.clauses.is_empty() && list.duplicate_treatment.is_none();
    bare.then(|| list.args.iter().map(plain).collect())?
}

/// Stands for the times of a follow-up among the group keys, with its end if there is one. No query that is read holds
/// its first character.
pub(in crate::plan) const FOLLOW_UP: &str = "\u{E000}follow_up";

/// The times of a follow-up, and its end.
pub(in crate::plan) fn follow_up(expr: &Expr) -> Option<(&Expr, Option<u64>)> {
    let Expr::Function(function) = expr else {
        return None;
    };
    if name_of(function) != FOLLOW_UP {
        return None;
    }
    match plain_args(function)?.as_slice() {
        [time] => Some((time, None)),
        [time, end] => Some((time, Some(end.to_string().parse().ok()?))),
        _ => None,
    }
}

/// Times up to the end as they are, and later ones as the one after it.
fn up_to(time: &Expr, end: Option<u64>) -> Expr {
    let Some(end) = end else {
        return time.clone();
    };
    let number = |n: u64| Expr::value(Value::Number(n.to_string(), false));
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: Expr::BinaryOp {
                left: Box::new(time.clone()),
                op: BinaryOperator::Gt,
                right: Box::new(number(end)),
            },
            result: number(end + 1),
        }],
        else_result: Some(Box::new(time.clone())),
    }
}

/// Whether an expression is a call of HISTOGRAM.
pub(in crate::plan) fn is_histogram(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(f) if name_of(f) == "histogram")
}

/// Replaces every HISTOGRAM(x, e0, …, en) by a CASE with one text a bin: `below`, `[e0, e1)`, …, `[en-1, en]`, `above`; and the
/// times of a follow-up by what is counted.
pub(in crate::plan) fn expand_histograms(part: &mut impl VisitMut, site: Site) -> Vec<PlanFault> {
    struct Expand {
        site: Site,
        faults: Vec<PlanFault>,
    }
    impl VisitorMut for Expand {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Some((time, end)) = follow_up(expr) {
                *expr = up_to(time, end);
            } else if let Expr::Function(function) = &*expr
                && name_of(function) == "histogram"
            {
                match bins(function) {
                    Some(case) => *expr = case,
                    None => self.faults.push(self.site.fault(
                        function,
                        "HISTOGRAM needs a value and at least two edges, plain numbers in ascending order",
                        "write HISTOGRAM(x, 0, 10, 20)",
                    )),
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut expand = Expand {
        site,
        faults: Vec::new(),
    };
    let _ = VisitMut::visit(part, &mut expand);
    expand.faults
}

fn bins(function: &Function) -> Option<Expr> {
    let args = plain_args(function)?;
    let (value, edges) = args.split_first()?;
    let numbers: Vec<f64> = edges.iter().map(|e| number(e)).collect::<Option<_>>()?;
    let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if edges.len() < 2 || !ascending || function.filter.is_some() || function.over.is_some() {
        return None;
    }
    let when = |op, edge: &Expr, label: String| CaseWhen {
        condition: Expr::BinaryOp {
            left: Box::new((*value).clone()),
            op,
            right: Box::new(edge.clone()),
        },
        result: Expr::value(Value::SingleQuotedString(label)),
    };
    let last = edges.len() - 1;
    let mut conditions = vec![when(BinaryOperator::Lt, edges[0], "below".into())];
    for i in 1..last {
        let label = format!("[{}, {})", edges[i - 1], edges[i]);
        conditions.push(when(BinaryOperator::Lt, edges[i], label));
    }
    let label = format!("[{}, {}]", edges[last - 1], edges[last]);
    conditions.push(when(BinaryOperator::LtEq, edges[last], label));
    conditions.push(when(BinaryOperator::Gt, edges[last], "above".into()));
    Some(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: None,
    })
}

/// The value of a number literal, with or without a sign.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => number(expr).map(|n| -n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::FunctionRegistry;
    use datafusion::prelude::SessionContext;

    #[test]
    fn every_aggregate_of_the_engine_is_known() {
        let state = SessionContext::new().state();
        for name in state.aggregate_functions().keys() {
            assert!(
                is_aggregate(name),
                "{name} is an aggregate that the planner does not know"
            );
        }
        assert!(state.udf("upper").is_ok() && !is_aggregate("upper"));
    }
}
