//! What each party learns, in Chinese: of totals and of joins, from the plan itself. Of other procedures the page says it in
//! English.

use crate::plan::{Plan, Procedure, ReleaseRule, Step, Which};
use crate::spec::Correlations;

const COORDINATOR: &str = "该任务已运行、参与方、运行时间以及其转发的字节数;无法读取内容";
const DEALER: &str = "除本计划外一无所知:只分发随机数,不接收任何依赖数据的消息";

/// A line for every party, in the order of the plan; `None` where it is there in English alone.
pub(super) fn in_chinese(plan: &Plan) -> Option<Vec<String>> {
    let is_told = matches!(plan.procedure, Procedure::Totals | Procedure::Join(_));
    if !is_told || plan.statistic.is_some() {
        return None;
    }
    let of_party = |party: &str| {
        let is_dealer = plan.dealer.as_ref().is_some_and(|d| d.as_str() == party);
        let is_seat = plan.seats.iter().any(|seat| seat.as_str() == party);
        match (is_seat, is_dealer) {
            (true, _) => computes(plan, party),
            (false, true) => DEALER.to_owned(),
            (false, false) => COORDINATOR.to_owned(),
        }
    };
    let lines = plan
        .learns
        .iter()
        .map(|l| format!("{}:{}", l.party, of_party(&l.party)));
    Some(lines.collect())
}

fn computes(plan: &Plan, party: &str) -> String {
    let mut what = Vec::new();
    if plan.receivers.iter().any(|r| r.as_str() == party) {
        let groups = match plan.shape.rule {
            ReleaseRule::None => "每个分组",
            ReleaseRule::Compare | ReleaseRule::OpenCounts => "每个已放行分组",
        };
        let noise = match plan.noise {
            Some(_) => ",均含每个持有方的噪声",
            None => "",
        };
        what.push(format!(
            "{groups}在全体持有方上的合计:{}{noise}",
            totals(plan)
        ));
        let hidden = plan.keys.iter().filter(|k| k.hidden.is_some());
        let hidden: Vec<&str> = hidden.map(|k| k.name.as_str()).collect();
        if !hidden.is_empty() {
            what.push(format!("已放行分组中未公布的取值:{}", hidden.join("、")));
        }
        if plan.shape.top.is_some() {
            what.push("对未排在前列的分组一无所知".to_owned());
        }
    }
    what.extend(which_groups(plan).map(str::to_owned));
    what.extend(plan.meter.as_ref().map(|meter| {
        format!(
            "每个持有方的贡献:以各组合持有方的行数达到 {} 的分组数计算的 Shapley 值",
            meter.at_least
        )
    }));
    what.extend(of_join(plan, party));
    match what.is_empty() {
        true => "除本计划外一无所知".to_owned(),
        false => what.join(";"),
    }
}

/// What all computing parties learn of the groups.
fn which_groups(plan: &Plan) -> Option<&'static str> {
    let has_rules = plan.dominance.is_some();
    match plan.shape.rule {
        ReleaseRule::None => None,
        ReleaseRule::Compare if plan.protects_margins() && has_rules => {
            Some("哪些分组与合计过小或不符合支配规则、哪些没有行、哪些为保护它们而一并抑制")
        }
        ReleaseRule::Compare if plan.protects_margins() => {
            Some("哪些分组与合计过小、哪些没有行、哪些为保护小分组而一并抑制")
        }
        ReleaseRule::Compare if plan.shape.top.is_some() => None,
        ReleaseRule::Compare if plan.shape.hidden.is_some() => {
            Some("有多少分组达到放行下限,对其余分组一无所知")
        }
        ReleaseRule::Compare if has_rules => {
            Some("哪些分组同时符合最小分组与支配规则,而不知其余分组不符合哪一项")
        }
        ReleaseRule::Compare => Some("哪些分组达到放行下限,对其余分组的大小一无所知"),
        ReleaseRule::OpenCounts => {
            Some("每个分组在全体持有方上的大小,包括小分组,各持有方的策略均允许")
        }
    }
}

/// What a join tells besides.
fn of_join(plan: &Plan, party: &str) -> Vec<String> {
    let Procedure::Join(join) = &plan.procedure else {
        return Vec::new();
    };
    let is_dealt = matches!(plan.correlations, Some(Correlations::Dealer(_)));
    let told = join.told(&plan.keys, is_dealt);
    let mut what = Vec::new();
    if told.keys {
        what.push("其他每个持有方有多少个不同的键".to_owned());
    }
    if told.groups {
        let whose = match (is_dealt, join.relations.first()) {
            (true, Some(hub)) => &hub.name,
            _ => "每张表",
        };
        what.push(format!(
            "{whose}的一个键最多出现在多少个分组中,向上取整到 2 的幂"
        ));
    }
    if join.matched.is_some() && plan.receivers.iter().any(|r| r.as_str() == party) {
        what.push("若有分组放行:参与联接的各表共有多少个不同的键,而不知是哪些".to_owned());
    }
    what
}

/// The totals from which every output is computed.
fn totals(plan: &Plan) -> String {
    let label = |measure: usize| plan.measures[measure].label.as_str();
    let mut totals = vec!["行数".to_owned()];
    for measure in &plan.measures {
        let label = &measure.label;
        if measure.count != 0 {
            totals.push(format!("{label} 的非空值个数"));
        }
        if measure.sum.is_some() {
            totals.push(format!("{label} 之和"));
        }
        if measure.sum_sq.is_some() {
            totals.push(format!("{label} 的平方和"));
        }
    }
    for found in plan.steps.iter().flat_map(Step::finds) {
        let of = label(found.measure);
        totals.push(match found.what {
            Which::Least => format!("{of} 的最小值"),
            Which::Greatest => format!("{of} 的最大值"),
            Which::Discrete(p) => format!("{of} 的 {} 分位数(类型 1)", p.decimal()),
            Which::Linear(p) => format!("{of} 的 {} 分位数(类型 7)", p.decimal()),
            Which::Below(p) => format!("{of} 不高于 {} 分位数(类型 7)的最后一个值", p.decimal()),
            Which::Above(p) => format!("{of} 不低于 {} 分位数(类型 7)的第一个值", p.decimal()),
        });
    }
    for step in &plan.steps {
        match step {
            Step::Distinct { measure, .. } => {
                totals.push(format!("{} 的不同取值个数", label(*measure)))
            }
            Step::RankCorrelation { y, x, .. } => {
                totals.push(format!(
                    "{} 与 {} 的秩的平方和与乘积和",
                    label(*y),
                    label(*x)
                ));
            }
            Step::JointRanks { pairs, .. } => totals.extend(pairs.iter().map(|pair| {
                let (y, x) = (label(pair.y), label(pair.x));
                format!("{y} 与 {x} 的秩的平方和与乘积和")
            })),
            Step::Extremes { .. }
            | Step::Quantiles { .. }
            | Step::Sorted { .. }
            | Step::Ranked { .. } => {}
        }
    }
    totals.join("、")
}
