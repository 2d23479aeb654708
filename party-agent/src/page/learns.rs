//! What each party learns, in Chinese, from the plan itself.

use crate::plan::{MeterPlan, Plan, Procedure, ReleaseRule, Statistic, StatisticKind, Step, Which};
use crate::spec::Correlations;

const COORDINATOR: &str = "该任务已运行、参与方、运行时间以及其转发的字节数;无法读取内容";
const DEALER: &str = "除本计划外一无所知:只分发随机数,不接收任何依赖数据的消息";

/// A line for every party, in the order of the plan.
pub(super) fn in_chinese(plan: &Plan) -> Vec<String> {
    let of_party = |party: &str| {
        let is_dealer = plan.dealer.as_ref().is_some_and(|d| d.as_str() == party);
        let seat = plan.seats.iter().position(|seat| seat.as_str() == party);
        match (seat, is_dealer) {
            (Some(seat), _) => at_seat(plan, seat, party),
            (None, true) => DEALER.to_owned(),
            (None, false) => COORDINATOR.to_owned(),
        }
    };
    let lines = plan
        .learns
        .iter()
        .map(|l| format!("{}:{}", l.party, of_party(&l.party)));
    lines.collect()
}

fn at_seat(plan: &Plan, seat: usize, party: &str) -> String {
    let is_receiver = plan.receivers.iter().any(|r| r.as_str() == party);
    match (&plan.procedure, &plan.statistic) {
        (Procedure::Totals | Procedure::Join(_), None) => of_totals(plan, (seat, is_receiver)),
        (Procedure::Totals | Procedure::Join(_), Some(statistic)) => {
            of_statistic(plan, statistic, (seat, is_receiver))
        }
        (Procedure::Intersect(of), _) => of.learns_in_chinese(plan, party),
        (Procedure::Lookup(of), _) => of.learns_in_chinese(seat),
        (Procedure::Train(of), _) => of.learns_in_chinese(is_receiver),
        (Procedure::Vertical(of), _) => of.learns_in_chinese(seat, is_receiver),
        (Procedure::Score(of), _) => of.learns_in_chinese(seat),
    }
}

fn of_statistic(plan: &Plan, statistic: &Statistic, (seat, is_receiver): (usize, bool)) -> String {
    let label = &statistic.label;
    if statistic.survival.is_none() {
        let totals = of_totals(plan, (seat, is_receiver));
        return match is_receiver {
            true => format!("{label},由其代理程序从同时得知的内容计算:{totals}"),
            false => totals,
        };
    }
    let opened = match statistic.kind {
        StatisticKind::LogRank => "每个组的人数、事件数、期望事件数及其差的协方差",
        _ => "每个组的人数、事件数与中位数,以及任务所列各时间的风险人数、生存率及其方差",
    };
    let mut what = Vec::new();
    if is_receiver {
        what.push(format!("{label}:{opened};不知哪些时间有事件"));
    }
    if plan.min_cell.at_least > 1 {
        let least = plan.min_cell.at_least;
        what.push(format!("这些计数中哪些不少于 {least},对其余一无所知"));
    }
    what.extend(of_join(plan, (seat, is_receiver)));
    joined(what)
}

/// In one sentence.
fn joined(what: Vec<String>) -> String {
    match what.is_empty() {
        true => "除本计划外一无所知".to_owned(),
        false => what.join(";"),
    }
}

fn of_totals(plan: &Plan, (seat, is_receiver): (usize, bool)) -> String {
    let mut what = Vec::new();
    if is_receiver {
        let groups = match plan.shape.rule {
            ReleaseRule::None => "每个分组",
            ReleaseRule::Compare | ReleaseRule::OpenCounts => "每个已放行分组",
        };
        let noise = match plan.noise {
            Some(_) => ",均含每个持有方的噪声",
            None => "",
        };
        let rounded = plan.rounding.as_ref().map_or(String::new(), |to| {
            format!(",均舍入到 {} 的最近倍数", to.multiple)
        });
        what.push(format!(
            "{groups}在全体持有方上的合计:{}{noise}{rounded}",
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
    what.extend(plan.meter.as_ref().map(MeterPlan::in_chinese));
    what.extend(of_join(plan, (seat, is_receiver)));
    joined(what)
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
        ReleaseRule::Compare if has_rules && !plan.having.is_empty() => {
            Some("哪些分组同时符合最小分组、支配规则与 HAVING,而不知其余分组不符合哪一项")
        }
        ReleaseRule::Compare if !plan.having.is_empty() => {
            Some("哪些分组同时符合最小分组与 HAVING,而不知其余分组不符合哪一项")
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
fn of_join(plan: &Plan, (seat, is_receiver): (usize, bool)) -> Vec<String> {
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
            "{whose}的一个键最多出现在多少个分组中,向上取整到二的幂"
        ));
    }
    if join.matched.is_some() && is_receiver {
        what.push("若有分组放行:参与联接的各表共有多少个不同的键,而不知是哪些".to_owned());
    }
    if let Some(shown) = &join.shown {
        let least = shown.at_least;
        match shown.seats.contains(&seat) {
            true if least > 1 => what.push(format!(
                "自己的哪些键在参与联接的各表中都有(至少 {least} 个时才得知)(单独的文件,不在结果中)"
            )),
            true => {
                what.push("自己的哪些键在参与联接的各表中都有(单独的文件,不在结果中)".to_owned())
            }
            false if least > 1 => {
                what.push(format!("在联接中有表的接收方是否有至少 {least} 个键匹配"))
            }
            false => {}
        }
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
            Step::Distinct { measure, .. } | Step::Different { measure, .. } => {
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
