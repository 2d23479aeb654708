//! What a plan tells people: what each party learns, what to think about, and what belongs beside the result.

use std::collections::BTreeSet;

use arrow::datatypes::Date32Type;
use protocols::party::PartyId;

use super::compile::Decided;
use super::{
    DominancePlan, Learns, Measure, MeasureKind, MeterPlan, Plan, Procedure, RangeOrigin,
    ReleaseRule, Released, RoundingPlan, Said, Slot, Step,
};
use crate::plan::ring::unscaled;
use crate::spec::Correlations;

/// What the coordinator learns of any job.
const COORDINATOR_LEARNS: &str =
    "that the job ran, between whom, when, and how many bytes it relayed; it cannot read them";

/// What holders learn of each other where keys are placed in bins, in Chinese.
pub(super) const CHINESE_SIZES: &str = "其他持有方提供多少个不同的完整键(有分发方时除外)";

/// Fills in the words.
pub(super) fn complete(mut plan: Plan, decided: &Decided<'_>) -> Plan {
    plan.learns = learns(&plan);
    plan.warnings = warnings(&plan, decided);
    plan.notes = notes(&plan);
    plan
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [rest @ .., last] => {
            let rest: Vec<&str> = rest.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", rest.join(", "), last.as_ref())
        }
    }
}

/// `1 group`, `2 groups`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// What all computing parties learn of the groups.
fn which_groups(plan: &Plan) -> Option<&'static str> {
    match plan.shape.rule {
        ReleaseRule::None => None,
        ReleaseRule::Compare if plan.protects_margins() && plan.dominance.is_some() => Some(
            "which groups and totals are too small or fail the rules about dominance, which have no rows, and which are held back beside those",
        ),
        ReleaseRule::Compare if plan.protects_margins() => Some(
            "which groups and totals are too small, which have no rows, and which are held back beside the small ones",
        ),
        ReleaseRule::Compare if plan.shape.top.is_some() => None,
        ReleaseRule::Compare if plan.shape.hidden.is_some() => {
            Some("how many groups are large enough to be released, and nothing about the others")
        }
        ReleaseRule::Compare if plan.dominance.is_some() && !plan.having.is_empty() => Some(
            "which groups pass the minimum cell, the rules about dominance and HAVING, and not which of them a group fails",
        ),
        ReleaseRule::Compare if !plan.having.is_empty() => Some(
            "which groups pass the minimum cell and HAVING, and not which of them a group fails",
        ),
        ReleaseRule::Compare if plan.dominance.is_some() => Some(
            "which groups pass both the minimum cell and the rules about dominance, and not which of them a group fails",
        ),
        ReleaseRule::Compare => Some(
            "which groups are large enough to be released, and nothing about the size of the others",
        ),
        ReleaseRule::OpenCounts => Some(
            "the size of every group over all holders, small ones too, as every holder's policy allows",
        ),
    }
}

fn learns(plan: &Plan) -> Vec<Learns> {
    let which = which_groups(plan);
    let totals = released_totals(plan);
    let mut learns = Vec::new();
    for seat in &plan.seats {
        let mut what = Vec::new();
        if plan.receivers.contains(seat) {
            let groups = if plan.shape.rule == ReleaseRule::None {
                "every group"
            } else {
                "every released group"
            };
            let noise = match plan.noise {
                Some(_) => ", each with the noise of every holder",
                None => "",
            };
            let rounded = plan.rounding.as_ref().map_or(String::new(), |to| {
                format!(", each rounded to the nearest multiple of {}", to.multiple)
            });
            what.push(format!(
                "for {groups}, over all holders together: {totals}{noise}{rounded}"
            ));
            let hidden = plan.keys.iter().filter(|k| k.hidden.is_some());
            let hidden: Vec<&str> = hidden.map(|k| k.name.as_str()).collect();
            if !hidden.is_empty() {
                what.push(format!(
                    "the released groups' values of {}, which are not published",
                    listed(&hidden)
                ));
            }
            if plan.shape.top.is_some() {
                what.push("nothing about the groups that do not come first".to_owned());
            }
        }
        what.extend(which.map(str::to_owned));
        what.extend(plan.meter.as_ref().map(MeterPlan::in_words));
        if what.is_empty() {
            what.push("nothing but this plan".to_owned());
        }
        learns.push(Learns {
            party: seat.to_string(),
            what: what.join("; "),
        });
    }
    learns.extend(without_data(plan.dealer.as_ref()));
    learns
}

/// What those learn who take part without data: the dealer, if there is one, and the coordinator.
pub(super) fn without_data(dealer: Option<&PartyId>) -> impl Iterator<Item = Learns> {
    let dealer = dealer.map(|dealer| Learns {
        party: dealer.to_string(),
        what: "nothing but this plan: it deals random numbers and receives no message that depends on data".to_owned(),
    });
    let coordinator = Learns {
        party: "coordinator".to_owned(),
        what: COORDINATOR_LEARNS.to_owned(),
    };
    dealer.into_iter().chain([coordinator])
}

/// The totals that a receiver's agent sees, from which every output is computed.
fn released_totals(plan: &Plan) -> String {
    let mut totals = vec!["the number of rows".to_owned()];
    for measure in &plan.measures {
        if measure.count != 0 {
            totals.push(format!("how many values of {} are not NULL", measure.label));
        }
        if measure.sum.is_some() {
            totals.push(format!("the sum of {}", measure.label));
        }
        if measure.sum_sq.is_some() {
            totals.push(format!("the sum of squares of {}", measure.label));
        }
    }
    let found = plan.steps.iter().flat_map(Step::finds);
    totals.extend(found.map(|f| f.in_words(&plan.measures)));
    for step in &plan.steps {
        if let Step::Distinct { measure, .. } | Step::Different { measure, .. } = step {
            let label = &plan.measures[*measure].label;
            totals.push(format!("the number of different {label}"));
        }
        if let Step::RankCorrelation { y, x, .. } = step {
            let (y, x) = (&plan.measures[*y].label, &plan.measures[*x].label);
            totals.push(format!(
                "the sums of squares and of products of the ranks of {y} and of {x}"
            ));
        }
    }
    listed(&totals)
}

/// That holders let a rehearsal do everything, if some do.
pub(super) fn rehearsed(holders: &[&str]) -> Option<Said> {
    (!holders.is_empty()).then(|| {
        Said::new(
            format!(
                "{} has no policy file: this rehearsal allows whatever the job asks for",
                listed(holders)
            ),
            format!(
                "{} 没有策略文件:本次演练允许任务所要求的一切",
                holders.join("、")
            ),
        )
    })
}

/// That where correlations come from does not matter, because nothing is done on shares.
pub(super) fn without_correlations(done: (&str, &str)) -> Said {
    Said::new(
        format!(
            "privacy.correlations has no effect: nothing is {} on shares",
            done.0
        ),
        format!(
            "privacy.correlations 不起作用:没有任何内容在份额上{}",
            done.1
        ),
    )
}

fn warnings(plan: &Plan, decided: &Decided<'_>) -> Vec<Said> {
    let mut warnings = Vec::new();
    let holders = &decided.parties.holders;
    for receiver in plan.receivers.iter().filter(|r| holders.contains(r)) {
        let others: Vec<&str> = holders
            .iter()
            .filter(|h| *h != receiver)
            .map(|h| h.as_str())
            .collect();
        warnings.push(match others.as_slice() {
            [other] => Said::new(
                format!("{receiver} holds data and gets the result: by subtracting its own figures it learns those of {other}"),
                format!("{receiver} 既持有数据又得到结果:减去自己的数字即得知 {other} 的数字"),
            ),
            _ => Said::new(
                format!("{receiver} holds data and gets the result: by subtracting its own figures it learns the joint figures of {}", listed(&others)),
                format!("{receiver} 既持有数据又得到结果:减去自己的数字即得知 {} 合在一起的数字", others.join("、")),
            ),
        });
    }
    if plan.min_cell.at_least <= 1 {
        warnings.push(Said::new(
            "there is no minimum cell: a group of a single row is released",
            "没有最小分组:只有一行的分组也会放行",
        ));
    } else {
        minimum_warnings(plan, decided, &mut warnings);
    }
    let rehearsing = holders
        .iter()
        .filter(|h| decided.catalogues.get(h).is_some_and(|c| c.rehearsal));
    let rehearsing: Vec<&str> = rehearsing.map(|h| h.as_str()).collect();
    warnings.extend(rehearsed(&rehearsing));
    warnings.extend(assumed(plan));
    warnings.extend(single_values(plan));
    if plan.shape.rule == ReleaseRule::OpenCounts {
        warnings.push(Said::new(
            "group counts are opened to the computing parties, not compared on shares",
            "分组计数向各计算方公开,而不是在份额上比较",
        ));
    }
    if plan.correlations.is_none() && decided.spec.correlations.is_some() {
        warnings.push(without_correlations(("compared", "比较")));
    }
    if decided.spec.join.is_some() && !matches!(plan.procedure, Procedure::Join(_)) {
        warnings.push(Said::new(
            "privacy.join has no effect: the query joins no tables of different holders",
            "privacy.join 不起作用:查询没有连接不同持有方的表",
        ));
    }
    if plan.having.len() < decided.outer.filter.len() {
        warnings.push(Said::new(
            "HAVING is decided by the receivers, but for conditions on shares (see the checks): their agents learn all released groups, those that it leaves out too",
            "HAVING 由接收方判定(在份额上判定的条件除外,见各项检查):其代理程序得知所有已放行分组,包括被 HAVING 排除的分组",
        ));
    }
    let cut = decided.outer.limit.is_some() || decided.outer.offset.is_some();
    if cut && plan.shape.top.is_none() && !plan.keys.is_empty() {
        warnings.push(Said::new(
            "LIMIT and OFFSET are applied by the receivers: their agents learn all released groups; with correlations and ORDER BY one count, or one sum that cannot be NULL, only the groups that come first are opened",
            "LIMIT 与 OFFSET 由接收方执行:其代理程序得知所有已放行分组;若有相关随机数且按一个计数或一个不可能为 NULL 的合计排序(ORDER BY),则只公开排在前列的分组",
        ));
    }
    warnings
}

/// Where the minimum counts something else than a reader may think.
fn minimum_warnings(plan: &Plan, decided: &Decided<'_>, warnings: &mut Vec<Said>) {
    let fewer: Vec<&str> = plan
        .measures
        .iter()
        .filter(|m| m.count != 0)
        .map(|m| m.label.as_str())
        .collect();
    if !fewer.is_empty() {
        let least = plan.min_cell.at_least;
        warnings.push(Said::new(
            format!(
                "the minimum cell counts {}: a released group can have fewer than {least} values that are not NULL of {}",
                plan.min_cell_counts(),
                listed(&fewer)
            ),
            format!(
                "最小分组计的是{}:已放行分组中 {} 的非空值可能少于 {least} 个",
                match plan.procedure {
                    Procedure::Join(_) => "连接键",
                    _ => "行",
                },
                fewer.join("、")
            ),
        ));
    }
    let conditional: BTreeSet<&str> = plan
        .measures
        .iter()
        .zip(&decided.outer.args)
        .filter(|(m, arg)| m.sum.is_some() && arg.has_condition())
        .map(|(m, _)| m.label.as_str())
        .collect();
    if !conditional.is_empty() {
        let conditional: Vec<&str> = conditional.into_iter().collect();
        let least = plan.min_cell.at_least;
        warnings.push(Said::new(
            format!(
                "{} depends on a condition: its total may describe fewer than {least} rows of a released group",
                listed(&conditional)
            ),
            format!(
                "{} 取决于条件:其合计描述的可能少于已放行分组中的 {least} 行",
                conditional.join("、")
            ),
        ));
    }
}

/// What the receivers learn of single rows.
fn single_values(plan: &Plan) -> Option<Said> {
    let found = plan.steps.iter().flat_map(Step::finds);
    let labels: BTreeSet<&str> = found
        .map(|f| plan.measures[f.measure].label.as_str())
        .collect();
    let all: Vec<&str> = labels.into_iter().collect();
    (!all.is_empty()).then(|| {
        Said::new(
            format!(
                "MIN, MAX and quantiles of {} are values of single rows of a released group, or lie between two, whose owners stay unknown",
                listed(&all)
            ),
            format!(
                "{} 的 MIN、MAX 与分位数是已放行分组中单行的值,或介于两行之间,属于谁仍不得而知",
                all.join("、")
            ),
        )
    })
}

/// The ranges that nobody declared and that the rings do not hold in full.
fn assumed(plan: &Plan) -> Vec<Said> {
    let assumed = plan
        .measures
        .iter()
        .filter(|m| m.range.origin == RangeOrigin::Assumed);
    assumed
        .map(|m| {
            let (low, high) = range_of(m);
            Said::new(
                format!(
                    "no range is declared for {}: it is assumed to lie within {low} to {high}, and another value is an error at its owner; declare its range in the policy",
                    m.label
                ),
                format!(
                    "没有声明 {} 的取值范围:假定其在 {low} 至 {high} 之间,超出的值在其持有方处报错;请在策略中声明范围",
                    m.label
                ),
            )
        })
        .collect()
}

/// A measure's range as a person would write it.
pub(crate) fn range_of(measure: &Measure) -> (String, String) {
    let written = |text: &String| match measure.kind {
        MeasureKind::Exact { scale } => text
            .parse()
            .map_or_else(|_| text.clone(), |v| unscaled(v, scale)),
        MeasureKind::Day => text.parse().map_or_else(|_| text.clone(), day_text),
        MeasureKind::Counted | MeasureKind::Distinct | MeasureKind::Float => text.clone(),
    };
    (written(&measure.range.low), written(&measure.range.high))
}

/// Days since 1970-01-01 as a calendar day.
fn day_text(days: i32) -> String {
    Date32Type::to_naive_date_opt(days).map_or_else(|| days.to_string(), |d| d.to_string())
}

fn notes(plan: &Plan) -> Vec<String> {
    let holders: Vec<&str> = plan.locals.keys().map(|h| h.as_str()).collect();
    let mut notes = vec![format!("totals over {}", listed(&holders))];
    match &plan.noise {
        Some(noise) => notes.extend(noise.in_words(holders.len())),
        None if plan.rounding.is_some() => {}
        None => exactness(plan, &mut notes),
    }
    definitions(plan, &mut notes);
    held_back(plan, &mut notes);
    let is_merged = plan.shape.hidden.is_some() && !matches!(plan.procedure, Procedure::Join(_));
    if is_merged {
        notes.push("equal keys are found by hashes of 80 bits: two groups are taken for one with a chance of n² in 2^81".to_owned());
    }
    for key in plan.keys.iter().filter(|k| k.has_other) {
        notes.push(format!(
            "values of {} outside its {} are counted as {}",
            key.name,
            counted(key.domain.len() as u64, "group"),
            key.other_label
        ));
    }
    notes
}

/// What is exact, and the bounds of what is not.
fn exactness(plan: &Plan, notes: &mut Vec<String>) {
    let exact = plan
        .measures
        .iter()
        .any(|m| matches!(m.kind, MeasureKind::Exact { .. }));
    let floats: Vec<&Measure> = plan
        .measures
        .iter()
        .filter(|m| m.kind == MeasureKind::Float && m.sum.is_some())
        .collect();
    if floats.is_empty() {
        notes.push("counts and sums are exact".to_owned());
    } else if exact {
        notes.push("counts and the sums of whole numbers and decimals are exact".to_owned());
    } else {
        notes.push("counts are exact".to_owned());
    }
    let n = plan.roundings();
    let of_products = match &plan.procedure {
        Procedure::Join(join) => Some(&join.roundings),
        _ => None,
    };
    for measure in floats {
        if let Some(note) = of_products.and_then(|notes| notes.get(&measure.arg)) {
            notes.push(note.clone());
            continue;
        }
        let bits = |slot: Option<Slot>| slot.map_or(0, |s| s.frac_bits);
        let mut note = format!(
            "floating-point {}: the sum of a group is within {n}·2^-{} of the exact sum of its values",
            measure.label,
            bits(measure.sum) + 1
        );
        if measure.sum_sq.is_some() {
            note.push_str(&format!(
                ", the sum of squares within {n}·2^-{}",
                bits(measure.sum_sq) + 1
            ));
        }
        notes.push(note);
    }
}

/// How the columns are defined.
fn definitions(plan: &Plan, notes: &mut Vec<String>) {
    let divided = |r: &Released| {
        matches!(
            r,
            Released::Avg(_)
                | Released::Var { .. }
                | Released::StdDev { .. }
                | Released::Pair { .. }
        )
    };
    if plan.released.iter().any(|c| divided(&c.value)) {
        notes.push("means, variances and what follows from them are computed once, in the clear, from the totals; they are NULL where they are not defined".to_owned());
    }
    let quantile = |wanted: bool| {
        let mut columns = plan.released.iter();
        columns.any(
            |c| matches!(c.value, Released::Quantile { continuous, .. } if continuous == wanted),
        )
    };
    if quantile(true) {
        notes.push("MEDIAN and PERCENTILE_CONT are quantiles of type 7: interpolated between the two neighbours".to_owned());
    }
    if quantile(false) {
        notes.push("PERCENTILE_DISC is the quantile of type 1: the least value that p of the rows do not exceed".to_owned());
    }
    if plan
        .released
        .iter()
        .any(|c| matches!(c.value, Released::Spearman { .. }))
    {
        notes.push("SPEARMAN is the correlation of ranks, equal values sharing the mean of theirs; it is computed once, from exact sums".to_owned());
    }
    if plan
        .steps
        .iter()
        .any(|s| matches!(s, Step::Distinct { .. } | Step::Different { .. }))
    {
        notes.push("values are told apart by hashes of 80 bits: a distinct count is off by one with a chance of n² in 2^81".to_owned());
    }
    if plan.final_sql.contains(" / nullif(") {
        notes.push("quotients of totals are computed in double precision; they are NULL where the divisor is 0".to_owned());
    }
}

/// What is not shown, and why.
fn held_back(plan: &Plan, notes: &mut Vec<String>) {
    let finds_values = plan.steps.iter().any(|s| !s.finds().is_empty());
    if finds_values && plan.min_cell.at_least <= 1 {
        notes.push(
            "there is no minimum cell, so a group's MIN, MAX or quantile can be its only value"
                .to_owned(),
        );
    }
    if plan.min_cell.at_least > 1 {
        notes.push(format!(
            "groups of fewer than {} {} are suppressed, as {} {}; their values were opened to nobody",
            plan.min_cell.at_least,
            plan.min_cell_counts(),
            listed(&plan.min_cell.set_by),
            if plan.min_cell.set_by.len() == 1 { "demands" } else { "demand" },
        ));
    }
    if plan.cohorts.is_some() {
        notes.push("the holders keep account of who is counted, and refuse when they run the job if a group, with what was released before, would tell of fewer persons than the minimum cell; that they refuse tells that there is such a difference".to_owned());
    }
    notes.extend(plan.rounding.as_ref().map(RoundingPlan::in_words));
    notes.extend(plan.dominance.as_ref().map(DominancePlan::in_words));
    if plan.protects_margins() {
        notes.push("totals stand beside their parts, so further groups and totals are suppressed as would tell a small one; groups without rows are left out, as in plain SQL".to_owned());
    }
    if let Some(top) = &plan.shape.top {
        notes.push(format!(
            "only the first {} by {} were opened; among equals the earlier group comes first, and nothing is known of the others",
            counted(top.n, "group"),
            top.label
        ));
    }
    if plan.shape.rule == ReleaseRule::OpenCounts {
        let rules: Vec<&str> = plan.shape.checks.iter().map(|c| c.rule.as_str()).collect();
        notes.push(format!(
            "{} was decided on counts that were opened to the computing parties, those of small groups too, as every holder's policy allows",
            listed(&rules)
        ));
    }
}

/// The source of correlated randomness and what must not happen.
pub(super) fn correlations(plan: &Plan) -> String {
    match &plan.correlations {
        None => "none needed".to_owned(),
        Some(Correlations::Ot) => {
            "oblivious transfer between the computing parties, no third party; extended by SoftSpoken, for links of half a gigabit a second and more (write link = \"slow\" for others); products of large matrices rest on one more assumption, ring learning with errors".to_owned()
        }
        Some(Correlations::FerretOt) => {
            "oblivious transfer between the computing parties, no third party; extended by Ferret, because the job declares a slow link: it sends a thirtieth, and rests on one more assumption, that parities with regular noise (LPN) cannot be told from random bits; products of large matrices rest on ring learning with errors besides".to_owned()
        }
        Some(Correlations::Dealer(dealer)) => format!(
            "dealt by {dealer}, which must not collude with any of {}: together with one of them it would learn every group's size",
            listed(&plan.seats.iter().map(|s| s.as_str()).collect::<Vec<_>>())
        ),
    }
}
