//! What a plan with a statistic tells people.

use super::StatisticKind;
use crate::plan::Plan;
use crate::plan::joint::told;
use crate::plan::words::listed;

/// Fills in the words: the statistic comes first, then what it rests on, which is released as well.
pub(super) fn complete(mut plan: Plan) -> Plan {
    let Some(statistic) = &plan.statistic else {
        return plan;
    };
    if statistic.survival.is_some() {
        return survival(plan);
    }
    let receivers: Vec<&str> = plan.receivers.iter().map(|r| r.as_str()).collect();
    for learns in &mut plan.learns {
        if receivers.contains(&learns.party.as_str()) {
            learns.what = format!(
                "{}, computed by its agent from what it learns besides: {}",
                statistic.label, learns.what
            );
        }
    }
    plan.notes.push(definition(statistic.kind).to_owned());
    let text = plan.keys.iter().filter(|k| k.has_other);
    let open: Vec<&str> = text.map(|k| k.name.as_str()).collect();
    if !open.is_empty() && plan.min_cell.at_least > 1 {
        plan.notes.push(format!(
            "rows with a value of {} outside the agreed groups are not in the statistic: if there are any, they are fewer than {} in each such group",
            listed(&open),
            plan.min_cell.at_least
        ));
    }
    plan
}

/// Counts by arm and time are not released, so that what was said of them does not hold.
fn survival(mut plan: Plan) -> Plan {
    let Some(statistic) = plan.statistic.clone() else {
        return plan;
    };
    let seats: Vec<String> = plan.seats.iter().map(|s| s.as_str().to_owned()).collect();
    let receivers: Vec<String> = plan
        .receivers
        .iter()
        .map(|r| r.as_str().to_owned())
        .collect();
    let opened = match statistic.kind {
        StatisticKind::LogRank => {
            "for every arm persons, events, expected events and the covariances of their differences"
        }
        _ => {
            "for every arm persons, events and the median, and at each time that the job names the number at risk, survival and its variance"
        }
    };
    let compared = plan.min_cell.at_least > 1;
    let of_join = told(&plan);
    for learns in plan.learns.iter_mut().filter(|l| seats.contains(&l.party)) {
        let mut what = Vec::new();
        if receivers.contains(&learns.party) {
            what.push(format!(
                "{}: {opened}; not at which times there were events",
                statistic.label
            ));
        }
        if compared {
            what.push(format!(
                "which of these counts are at least {}, and nothing about the others",
                plan.min_cell.at_least
            ));
        }
        what.extend(of_join.iter().cloned());
        if what.is_empty() {
            what.push("nothing but this plan".to_owned());
        }
        learns.what = what.join("; ");
    }
    let events = plan.measures.iter().map(|m| m.label.clone());
    let events: Vec<String> = events.collect();
    plan.warnings
        .retain(|w| !events.iter().any(|label| w.contains(label)));
    plan.notes.retain(|note| !note.starts_with("counts"));
    plan.notes.push(definition(statistic.kind).to_owned());
    plan
}

fn definition(kind: StatisticKind) -> &'static str {
    match kind {
        StatisticKind::ChiSquare { yates: false } => {
            "CHI_SQUARE: sum of (observed − expected)² / expected, without Yates' correction; rows in which a column is NULL are left out"
        }
        StatisticKind::ChiSquare { yates: true } => {
            "CHI_SQUARE_YATES: sum of (|observed − expected| − ½)² / expected over two by two groups; rows in which a column is NULL are left out"
        }
        StatisticKind::TTest { pooled: false } => {
            "T_TEST is Welch's: t is the first group's mean minus the second's, over the root of s1²/n1 + s2²/n2; p is two-sided"
        }
        StatisticKind::TTest { pooled: true } => {
            "T_TEST_STUDENT has a pooled variance: t is the first group's mean minus the second's; p is two-sided"
        }
        StatisticKind::Anova => {
            "ANOVA is one-way: f = (ssb / df_between) / (ssw / df_within), eta2 = ssb / (ssb + ssw); rows in which the number or the group is NULL are left out"
        }
        StatisticKind::Histogram => {
            "HISTOGRAM counts values from an edge on and below the next, the last bin with its upper edge; below and above are counted too"
        }
        StatisticKind::Correlations { ranks: false } => {
            "CORR_MATRIX: covariance (n − 1) and Pearson's correlation over the rows in which all its columns are known"
        }
        StatisticKind::KaplanMeier => {
            "KAPLAN_MEIER: survival up to and with a time, se from Greenwood's variance, at_risk just before it, median the first time at which survival is at most one half; found on shares and rounded to 2^-32, relative error below 1e-6; events after the last time do not count"
        }
        StatisticKind::LogRank => {
            "LOG_RANK: observed and expected events of each arm and chi_square of their differences, found on shares and rounded to 2^-32, relative error below 1e-6; where an end of follow-up is given, later events do not count"
        }
        StatisticKind::Correlations { ranks: true } => {
            "SPEARMAN_MATRIX: correlations of mid-ranks over the rows in which all its columns are known"
        }
    }
}
