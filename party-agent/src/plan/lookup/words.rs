//! What a plan of a lookup tells people.

use protocols::party::PartyId;

use super::{LookupPlan, Side};
use crate::plan::words::{counted, listed, rehearsed, without_correlations, without_data};
use crate::plan::{Learns, Said};
use crate::spec::{CheckedSpec, Combine};

pub(super) fn learns(of: &LookupPlan, seats: &[PartyId], dealer: Option<&PartyId>) -> Vec<Learns> {
    let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    let labels = listed(&labels);
    let questions = match of.combine {
        Combine::List => format!("how many questions are asked, {} at most", of.at_most),
        Combine::Sum | Combine::Any => {
            format!(
                "that {} are asked, of which some may be padding",
                counted(of.at_most, "question")
            )
        }
    };
    let mut learns = Vec::new();
    for (i, seat) in seats.iter().enumerate() {
        let what = match i == of.asker {
            false => format!("{questions}; not for whom, and not what was found"),
            true => match of.combine {
                Combine::List => format!(
                    "for each of its keys what {labels} have of it; how many records these tables have, and how long they are"
                ),
                Combine::Sum if of.values.is_empty() => format!(
                    "for each of its keys in how many of {labels} it is, not in which; how many records these tables have"
                ),
                Combine::Sum => format!(
                    "for each of its keys the sum over {labels}, not the summands; how many records these tables have"
                ),
                Combine::Any => format!(
                    "for each of its keys whether it is in any of {labels}, not in which; how many records these tables have"
                ),
            },
        };
        learns.push(Learns {
            party: seat.to_string(),
            what,
        });
    }
    learns.extend(without_data(dealer));
    learns
}

impl LookupPlan {
    /// What the party at a seat learns, in Chinese.
    pub(crate) fn learns_in_chinese(&self, seat: usize) -> String {
        let n = self.at_most;
        if seat != self.asker {
            let questions = match self.combine {
                Combine::List => format!("提出了多少个问题,最多 {n} 个"),
                Combine::Sum | Combine::Any => format!("提出了 {n} 个问题,其中可能有填充的"),
            };
            return format!("{questions};不知为谁而问,也不知找到什么");
        }
        let labels: Vec<&str> = self.tables.iter().map(|t| t.label.as_str()).collect();
        let labels = labels.join("、");
        match self.combine {
            Combine::List => {
                format!("自己的每个键在 {labels} 中有什么;这些表有多少条记录、记录有多长")
            }
            Combine::Sum if self.values.is_empty() => {
                format!("自己的每个键出现在 {labels} 中的几张表里,不知是哪几张;这些表有多少条记录")
            }
            Combine::Sum => format!("自己的每个键在 {labels} 上的和,不知各加数;这些表有多少条记录"),
            Combine::Any => format!(
                "自己的每个键是否出现在 {labels} 中的任何一张里,不知是哪一张;这些表有多少条记录"
            ),
        }
    }
}

pub(super) fn warnings(of: &LookupPlan, spec: &CheckedSpec, sides: &[&Side<'_>]) -> Vec<Said> {
    let asker = sides
        .first()
        .map_or("the asker", |side| side.holder.as_str());
    let most = of.at_most;
    let mut warnings = vec![Said::new(
        format!(
            "row-level output: {asker} learns something about each person or thing that it asks for, and could ask for keys that it made up, at most {most} in this job"
        ),
        format!(
            "行级输出:{asker} 得知其询问的每个人或物的情况,并且可以询问自造的键,本任务最多 {most} 个"
        ),
    )];
    let rehearsing: Vec<&str> = sides
        .iter()
        .filter(|s| s.catalogue.rehearsal)
        .map(|s| s.holder.as_str())
        .collect();
    warnings.extend(rehearsed(&rehearsing));
    if sides.iter().any(|s| s.catalogue.min_cell > 1) || spec.min_cell.is_some_and(|n| n > 1) {
        warnings.push(Said::new(
            "minimum cells do not apply to row-level output, which policies allow by itself",
            "最小分组不适用于行级输出,行级输出由策略单独允许",
        ));
    }
    if of.combine == Combine::List && spec.correlations.is_some() {
        warnings.push(without_correlations(("computed", "计算")));
    }
    if spec.join.is_some() {
        warnings.push(Said::new(
            "privacy.join has no effect: compute.lookup.combine says what is learnt",
            "privacy.join 不起作用:得知什么由 compute.lookup.combine 规定",
        ));
    }
    warnings
}

/// What belongs beside the result.
pub(super) fn notes(of: &LookupPlan) -> Vec<String> {
    let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    let mut notes = vec![
        format!("looked up in {}", listed(&labels)),
        "each different key is asked for once; empty and NULL keys are not asked for".to_owned(),
    ];
    if of.combine == Combine::Sum && !of.values.is_empty() {
        notes.push(
            "several records of one key in a table are added up; NULL adds nothing".to_owned(),
        );
    }
    notes
}

/// What runs, in words: for approvers.
pub(super) fn of_run(of: &LookupPlan, seats: &[PartyId]) -> Vec<String> {
    let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    let asker = seats.get(of.asker).map_or("", |s| s.as_str());
    let names: Vec<&str> = of.values.iter().map(|v| v.name.as_str()).collect();
    let what = match (of.combine, names.as_slice()) {
        (Combine::List, []) => "whether each has the key".to_owned(),
        (Combine::List, names) => format!("{} of each", listed(names)),
        (Combine::Sum, []) => "in how many the key is".to_owned(),
        (Combine::Sum, names) => format!("the sum of {} over all", listed(names)),
        (Combine::Any, _) => "whether any has the key".to_owned(),
    };
    let how = match of.combine {
        Combine::List => {
            "each table is sent encrypted, once for each state of its data, and kept by the asker; a record opens with the answer to its question alone (RFC 9497, verifiable)"
        }
        Combine::Sum | Combine::Any => {
            "questions are answered obliviously (RFC 9497, verifiable), and tables are combined on shares: nobody sees a match"
        }
    };
    vec![
        format!("{asker} asks {} for {what}; spelling: {}", listed(&labels), of.normalise),
        format!("at most {} to each table", counted(of.at_most, "question")),
        format!("protocol: {how}"),
        "against holders that deviate: they learn the number of questions alone; the asker is semi-honest".to_owned(),
    ]
}
