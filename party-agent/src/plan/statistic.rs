//! Statistics that stand alone in the SELECT list: T_TEST, ANOVA, CHI_SQUARE and the like.
//!
//! The query is rewritten into the GROUP BY query of what the statistic rests on, which is compiled, approved and
//! released like any other; the receivers compute the statistic from the released groups alone.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Query, Select, SelectItem, Value,
};
use serde::Serialize;

use super::sql::Site;
use super::sql::functions::{name_of, plain_args};
use super::sql::outer::{call, is_always_known, where_known};
use super::words::counted;
use super::{OutputColumn, Plan, PlanFault, Procedure, cost};

mod named;
mod survival;
mod words;

pub use named::StatisticKind;
pub use survival::SurvivalPlan;
pub(crate) use survival::{COMPARED, FURTHER, SHOWN, Survival, TIMES_FROM};

/// Most columns of a matrix.
const MAX_MATRIX: usize = 20;

/// What the receivers compute from the released groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statistic {
    /// Which.
    pub kind: StatisticKind,
    /// As the job spells it.
    pub label: String,
    /// The columns of [`Plan::final_sql`]: the groups first, then the figures that the statistic takes.
    pub inputs: Vec<OutputColumn>,
    /// Its arguments as the job spells them.
    pub arguments: Vec<String>,
    /// Where it is found on shares, of counts by arm and time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub survival: Option<SurvivalPlan>,
}

/// A statistic that a query asks for.
pub(super) struct Asked {
    kind: StatisticKind,
    label: String,
    arguments: Vec<String>,
    place: String,
    /// How many columns of groups it names.
    n_groups: usize,
    /// The declared times and the end of follow-up.
    followed: Option<(Vec<u64>, Option<u64>)>,
}

/// The statistic of a query, which becomes the query of what the statistic rests on; `None` for any other query.
///
/// # Errors
/// Anything beside the statistic, and arguments that it does not take.
pub(super) fn taken(
    query: &Query,
    select: &mut Select,
    site: Site,
) -> Result<Option<Asked>, PlanFault> {
    let Some(function) = alone(select, site)? else {
        return Ok(None);
    };
    let Some(kind) = StatisticKind::named(&name_of(&function)) else {
        return Ok(None);
    };
    bare(&function, query, select, site)?;
    let args = plain_args(&function).unwrap_or_default();
    let args: Vec<Expr> = args.into_iter().cloned().collect();
    if let Some(fix) = kind.refuses(args.len()) {
        let n_args = counted(args.len() as u64, "argument");
        let what = format!("{} of {n_args}", kind.as_sql());
        return Err(site.fault(&function, what, fix));
    }
    let arm = arm(kind, select, site)?;
    let followed = followed(kind, &function, &args, site)?;
    let (keys, figures) = match &followed {
        Some((_, end)) => {
            let arm = arm.or_else(|| {
                args.get(2)
                    .filter(|_| kind == StatisticKind::LogRank)
                    .cloned()
            });
            survival::rests_on((&args[0], &args[1]), arm.as_ref(), *end)
        }
        None => rests_on(kind, &function, &args),
    };
    select.projection = keys
        .iter()
        .chain(&figures)
        .map(|expr| SelectItem::UnnamedExpr(expr.clone()))
        .collect();
    let n_groups = keys.len();
    select.group_by = GroupByExpr::Expressions(keys, Vec::new());
    Ok(Some(Asked {
        kind,
        label: function.to_string(),
        arguments: args.iter().map(ToString::to_string).collect(),
        place: site.of(&function),
        n_groups,
        followed,
    }))
}

/// The arm of curves: the one key of GROUP BY.
fn arm(kind: StatisticKind, select: &Select, site: Site) -> Result<Option<Expr>, PlanFault> {
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else {
        let (what, fix) = ("GROUP BY ALL", "name the arm in GROUP BY");
        return Err(site.fault(select, what, fix));
    };
    match (kind, keys.as_slice(), modifiers.as_slice()) {
        (_, [], []) => Ok(None),
        (StatisticKind::KaplanMeier, [Expr::Value(_)], []) => Err(site.fault(
            &keys[0],
            "GROUP BY of a constant",
            "name the arm in GROUP BY",
        )),
        (StatisticKind::KaplanMeier, [arm], []) => Ok(Some(arm.clone())),
        _ => Err(site.fault(
            select,
            "KAPLAN_MEIER takes one key of GROUP BY, the arm",
            "put several columns together to one, as in a || ' ' || b, with its values in [compute.domain]",
        )),
    }
}

/// The declared times and the end of follow-up.
fn followed(
    kind: StatisticKind,
    function: &Function,
    args: &[Expr],
    site: Site,
) -> Result<Option<(Vec<u64>, Option<u64>)>, PlanFault> {
    let ends = match kind {
        StatisticKind::KaplanMeier => &args[2..],
        StatisticKind::LogRank => &args[3..],
        _ => return Ok(None),
    };
    let times: Option<Vec<u64>> = ends.iter().map(survival::whole).collect();
    let times = times.filter(|times| times.is_sorted_by(|a, b| a < b));
    let Some(times) = times else {
        return Err(site.fault(
            function,
            format!(
                "the times of {} are not ascending whole numbers up to 65536",
                kind.as_sql()
            ),
            "write them out, as in KAPLAN_MEIER(time, event, 365, 730)",
        ));
    };
    let end = times.last().copied();
    Ok(Some(match kind {
        StatisticKind::LogRank => (Vec::new(), end),
        _ => (times, end),
    }))
}

/// The statistic that is the whole SELECT list, if it is one.
fn alone(select: &Select, site: Site) -> Result<Option<Function>, PlanFault> {
    let statistic = |item: &SelectItem| {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            return None;
        };
        let mut expr = expr;
        while let Expr::Nested(inner) = expr {
            expr = inner;
        }
        match expr {
            Expr::Function(f) => StatisticKind::named(&name_of(f)).map(|kind| (kind, f.clone())),
            _ => None,
        }
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    let mut found = select.projection.iter().filter_map(statistic);
    let Some((kind, function)) = found.next() else {
        return Ok(None);
    };
    // HISTOGRAM is a group key elsewhere.
    if kind == StatisticKind::Histogram && (grouped || select.projection.len() > 1) {
        return Ok(None);
    }
    if select.projection.len() > 1 {
        let what = format!("{} stands beside other outputs", kind.as_sql());
        let fix = "let it stand alone in the SELECT list, and ask for other figures in a job of their own";
        return Err(site.fault(&function, what, fix));
    }
    Ok(Some(function))
}

/// Refuses what a statistic does not go with.
fn bare(function: &Function, query: &Query, select: &Select, site: Site) -> Result<(), PlanFault> {
    let upper = name_of(function).to_uppercase();
    let refused = |clause: &str, fix: &str| {
        let what = format!("{upper} with {clause} is not available in this version");
        Err(site.fault(function, what, fix))
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    if grouped && name_of(function) != "kaplan_meier" {
        return refused(
            "GROUP BY",
            "name the groups as its last argument, and write one job for each stratum, with WHERE",
        );
    }
    if select.having.is_some() {
        return refused(
            "HAVING",
            "leave HAVING out: a group that is too small ends the job",
        );
    }
    if select.distinct.is_some() {
        return refused(
            "SELECT DISTINCT",
            "make rows distinct inside the part of each holder",
        );
    }
    let tail = query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
    if tail {
        return refused(
            "ORDER BY or LIMIT",
            "leave them out: rows come in the order of the groups",
        );
    }
    if function.filter.is_some() {
        return refused("FILTER", "write the condition in WHERE");
    }
    if function.over.is_some() || plain_args(function).is_none() {
        return refused(
            "OVER, DISTINCT or ORDER BY inside",
            "write its arguments alone",
        );
    }
    Ok(())
}

/// The group keys and the figures that a statistic rests on.
fn rests_on(kind: StatisticKind, function: &Function, args: &[Expr]) -> (Vec<Expr>, Vec<Expr>) {
    let of = |name: &str, expr: &Expr| call(name, vec![expr.clone()]);
    match (kind, args) {
        (StatisticKind::TTest { .. } | StatisticKind::Anova, [x, groups @ ..]) => {
            let figures = ["COUNT", "AVG", "VAR_SAMP"].map(|name| of(name, x));
            (groups.to_vec(), figures.to_vec())
        }
        (StatisticKind::Histogram, _) => (vec![Expr::Function(function.clone())], vec![rows()]),
        (StatisticKind::Correlations { ranks }, columns) => (Vec::new(), matrix(columns, ranks)),
        (_, keys) => (keys.to_vec(), vec![rows()]),
    }
}

/// COUNT of a constant: the rows.
fn rows() -> Expr {
    let one = Value::Number("1".into(), false);
    call("COUNT", vec![Expr::value(one)])
}

/// The figures of every pair of columns, over the rows in which all of them are known.
fn matrix(columns: &[Expr], ranks: bool) -> Vec<Expr> {
    let known = |of: &Expr| {
        let others = columns.iter();
        let others = others.filter(|other| *other != of && !is_always_known(other));
        others.fold(of.clone(), |value, other| where_known(&value, other))
    };
    // A pair's own functions take the rows in which both are known.
    let all: Vec<Expr> = match columns.len() {
        2 => columns.to_vec(),
        _ => columns.iter().map(known).collect(),
    };
    let mut figures = Vec::new();
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + usize::from(ranks)..] {
            let pair = |name: &str| call(name, vec![a.clone(), b.clone()]);
            match ranks {
                true => figures.push(pair("SPEARMAN")),
                false => figures.extend(["REGR_COUNT", "COVAR_SAMP", "CORR"].map(pair)),
            }
        }
    }
    figures
}

impl Asked {
    /// The plan of what the statistic rests on, with the statistic.
    ///
    /// # Errors
    /// Groups that nobody lists: without knowing which there are, no statistic over all of them is known.
    pub(super) fn attached(self, mut plan: Plan) -> Result<Plan, Vec<PlanFault>> {
        if plan.shape.hidden.is_some() {
            return Err(vec![PlanFault {
                place: self.place,
                what: format!("{} over groups that nobody lists", self.kind.as_sql()),
                fix: "declare the groups in [compute.domain], or ask the holders to publish them as categories".to_owned(),
            }]);
        }
        if plan.keys.len() != self.n_groups {
            return Err(vec![PlanFault {
                place: self.place,
                what: format!("two columns of {} are the same", self.kind.as_sql()),
                fix: "name each column once".to_owned(),
            }]);
        }
        if matches!(&plan.procedure, Procedure::Join(join) if join.matched.is_some()) {
            return Err(vec![PlanFault {
                place: "privacy.join".to_owned(),
                what: format!("{} does not tell how many keys match", self.kind.as_sql()),
                fix: "write join = \"hidden\"".to_owned(),
            }]);
        }
        let inputs = std::mem::take(&mut plan.outputs);
        plan.outputs = self.kind.outputs(&inputs);
        let survival = self.followed.map(|(declared, follow_up)| SurvivalPlan {
            declared,
            follow_up,
            events: plan.measures.first().map_or(0, |events| events.count),
        });
        plan.statistic = Some(Statistic {
            kind: self.kind,
            label: self.label,
            inputs,
            arguments: self.arguments,
            survival,
        });
        if let Some(survival) = plan.survival() {
            if let Some(fault) = survival.fault(&self.place) {
                return Err(vec![fault]);
            }
            // Nothing of the totals is released.
            plan.final_sql = String::new();
            if self.kind == StatisticKind::KaplanMeier && plan.keys.len() > 1 {
                plan.outputs.insert(0, arm_of(&plan));
            }
            let rows = plan.cost.rows_at_most;
            plan = cost::complete(plan, rows);
        }
        Ok(words::complete(plan))
    }
}

/// The column of the arms.
fn arm_of(plan: &Plan) -> OutputColumn {
    OutputColumn {
        name: "arm".to_owned(),
        kind: plan.keys[0].kind,
    }
}
