//! What a plan of an intersection tells people.

use protocols::party::PartyId;

use super::keys::Side;
use super::{IntersectPlan, Protocol};
use crate::catalogue::ColumnKind;
use crate::plan::words::{listed, rehearsed, without_correlations, without_data};
use crate::plan::{Learns, Plan, Said};
use crate::spec::{CheckedSpec, KeyJoin, Reveal};

pub(super) fn learns(
    of: &IntersectPlan,
    sides: &[Side<'_>],
    receivers: &[PartyId],
    dealer: Option<&PartyId>,
) -> Vec<Learns> {
    let mut learns = Vec::new();
    for side in sides {
        let others: Vec<&str> = names(sides, |s| s.holder != side.holder);
        let (has, each) = match others.len() {
            0 | 1 => ("has", "has"),
            _ => ("all have", "each have"),
        };
        let others = listed(&others);
        let mut what = vec![format!("how many different keys {others} {each}")];
        if receivers.contains(&side.holder) {
            what.insert(
                0,
                match &of.reveal {
                    Reveal::Count => format!("how many of its keys {others} {has} too, not which"),
                    Reveal::Rows => format!("which of its keys {others} {has} too"),
                    Reveal::Sum(column) => format!(
                        "how many of its keys {others} {has} too, not which; over these the sum of {}.{}.{}",
                        column.party,
                        column.table,
                        column.columns.join(", ")
                    ),
                },
            );
        }
        learns.push(Learns {
            party: side.holder.to_string(),
            what: what.join("; "),
        });
    }
    learns.extend(without_data(dealer));
    learns
}

impl IntersectPlan {
    /// What a holder learns, in Chinese.
    pub(crate) fn learns_in_chinese(&self, plan: &Plan, party: &str) -> String {
        let holders = plan.locals.keys().map(PartyId::as_str);
        let others: Vec<&str> = holders.filter(|holder| *holder != party).collect();
        let both = match others.len() {
            0 | 1 => "也有",
            _ => "全都有",
        };
        let others = others.join("、");
        let sizes = format!("{others} 各有多少个不同的键");
        if !plan.receivers.iter().any(|r| r.as_str() == party) {
            return sizes;
        }
        let found = match &self.reveal {
            Reveal::Count => format!("自己的键中有多少个 {others} {both},不知是哪些"),
            Reveal::Rows => format!("自己的键中哪些 {others} {both}"),
            Reveal::Sum(column) => format!(
                "自己的键中有多少个 {others} {both},不知是哪些;以及 {}.{}.{} 在这些键上之和",
                column.party,
                column.table,
                column.columns.join(", ")
            ),
        };
        format!("{found};{sizes}")
    }
}

fn names<'s>(sides: &'s [Side<'_>], keep: impl Fn(&Side<'_>) -> bool) -> Vec<&'s str> {
    let kept = sides.iter().filter(|side| keep(side));
    kept.map(|side| side.holder.as_str()).collect()
}

pub(super) fn warnings(of: &IntersectPlan, spec: &CheckedSpec, sides: &[Side<'_>]) -> Vec<Said> {
    let mut warnings = Vec::new();
    for receiver in &spec.receivers {
        let others = names(sides, |s| s.holder != *receiver);
        let (others, others_zh) = (listed(&others), others.join("、"));
        let most = sides.iter().find(|s| s.holder == *receiver);
        let most = most.map_or(0, |s| s.rows_at_most);
        warnings.push(match &of.reveal {
            Reveal::Rows => Said::new(
                format!(
                    "row-level output: {receiver} learns which of the persons or things in its table {others} has, and could ask about keys that it made up, at most {most} in this job"
                ),
                format!(
                    "行级输出:{receiver} 得知自己表中的哪些人或物 {others_zh} 也有,并且可以用自造的键来询问,本任务最多 {most} 个"
                ),
            ),
            Reveal::Count | Reveal::Sum(_) => Said::new(
                format!(
                    "{receiver} learns the exact number; with a table of its choice that tells whether {others} has a certain key"
                ),
                format!(
                    "{receiver} 得知确切数目;若自行选定一张表,即可由此得知 {others_zh} 是否有某个键"
                ),
            ),
        });
    }
    let min_cell = sides
        .iter()
        .map(|s| s.catalogue.min_cell)
        .max()
        .unwrap_or(0);
    let min_cell = min_cell.max(spec.min_cell.unwrap_or(0));
    if min_cell > 1 {
        warnings.extend(match &of.reveal {
            _ if of.protocol == Protocol::Circuit => None,
            Reveal::Count | Reveal::Sum(_) => Some(Said::new(
                format!(
                    "the minimum of {min_cell} is kept by the agents of the receivers: they find the exact number, and write it down from {min_cell} on; privacy.correlations lets it be compared on shares"
                ),
                format!(
                    "最小值 {min_cell} 由接收方的代理程序执行:它们得出确切数目,达到 {min_cell} 才写出;用 privacy.correlations 可在份额上比较"
                ),
            )),
            Reveal::Rows => Some(Said::new(
                format!(
                    "the minimum of {min_cell} does not apply to row-level output, which policies allow by itself"
                ),
                format!("最小值 {min_cell} 不适用于行级输出,行级输出由策略单独允许"),
            )),
        });
    }
    if spec.receivers.len() > 1 && matches!(of.protocol, Protocol::Vole | Protocol::Ecdh) {
        warnings.push(Said::new(
            "each receiver finds its result in a run of its own: the cost is that of all of them",
            "每个接收方在各自的一次运行中得到结果:费用为各次之和",
        ));
    }
    let rehearsing = names(sides, |s| s.catalogue.rehearsal);
    warnings.extend(rehearsed(&rehearsing));
    if spec.correlations.is_some() && of.protocol != Protocol::Circuit {
        warnings.push(without_correlations(("computed", "计算")));
    }
    if spec.join.is_some() {
        warnings.push(Said::new(
            "privacy.join has no effect: compute.intersect.reveal says what is learnt",
            "privacy.join 不起作用:得知什么由 compute.intersect.reveal 规定",
        ));
    }
    warnings.extend(mixed(sides));
    warnings
}

/// Keys that are numbers here and texts there.
fn mixed(sides: &[Side<'_>]) -> Option<Said> {
    let is_number = |kind: &ColumnKind| matches!(kind, ColumnKind::Int { .. });
    let columns = || {
        sides
            .iter()
            .flat_map(|s| s.columns.iter().map(move |c| (s, c)))
    };
    let with = |number: bool| {
        let found =
            columns().filter(|(_, c)| c.kind != ColumnKind::Empty && is_number(&c.kind) == number);
        let found = found.map(|(s, c)| format!("{}.{}.{}", s.holder, s.table, c.name));
        found.collect::<Vec<_>>()
    };
    let (numbers, texts) = (with(true), with(false));
    (!numbers.is_empty() && !texts.is_empty() && sides[0].columns.len() == 1).then(|| {
        Said::new(
            format!(
                "{} holds whole numbers and {} texts: they are compared as text, and a number has lost its leading zeros",
                listed(&numbers),
                listed(&texts)
            ),
            format!(
                "{} 为整数,{} 为文本:按文本比较,而整数已失去前导零",
                numbers.join("、"),
                texts.join("、")
            ),
        )
    })
}

/// What belongs beside the result.
pub(super) fn notes(of: &IntersectPlan, sides: &[Side<'_>]) -> Vec<String> {
    let labels: Vec<String> = sides.iter().map(Side::label).collect();
    let rule = match of.normalise.as_str() {
        "none" => "as they stand",
        "trim" => "in Unicode's NFKC form, without white space at their ends",
        "upper_alnum" => "in Unicode's NFKC form, in upper case, A-Z and 0-9 alone",
        _ => "in Unicode's NFKC form, digits alone",
    };
    let mut notes = vec![
        format!("keys of {}, compared {rule}", listed(&labels)),
        "each different key counts once; empty and NULL keys match nothing".to_owned(),
    ];
    if of.reveal == Reveal::Rows {
        notes.push("keys are written as they first stand in the receiver's own table".to_owned());
        notes.extend(match of.join {
            KeyJoin::Inner => None,
            KeyJoin::Left | KeyJoin::Right | KeyJoin::Full => Some(
                "all keys of the receiver, each with whether the other holder has it".to_owned(),
            ),
            KeyJoin::Difference => {
                Some("the keys of the receiver that the other holder does not have".to_owned())
            }
        });
    }
    notes
}

/// What runs, in words: for approvers.
pub(super) fn of_run(of: &IntersectPlan, why: &str) -> Vec<String> {
    let labels: Vec<&str> = of.keys.iter().map(|k| k.label.as_str()).collect();
    let what = match &of.reveal {
        Reveal::Count => "the number of common keys",
        Reveal::Sum(_) => "the number of common keys, and the sum over them",
        Reveal::Rows => "which of its own keys are common",
    };
    let claim = match of.protocol {
        Protocol::Many => {
            "every party follows the protocol; the hub together with all others but one learns what that one has of its keys; rests on learning parity with regular noise, on AES and on BLAKE3"
        }
        Protocol::Vole | Protocol::Circuit => {
            "every party follows the protocol; rests on learning parity with regular noise, on AES and on BLAKE3"
        }
        Protocol::Ecdh => {
            "every party follows the protocol; rests on decisional Diffie–Hellman on Curve25519"
        }
        Protocol::Oprf => {
            "the receiver follows the protocol; the other holder may deviate, and learns the number of keys alone; rests on one-more gap Diffie–Hellman on ristretto255 (RFC 9497) and on BLAKE3"
        }
    };
    let mut words = vec![
        format!("keys: {}; spelling: {}", listed(&labels), of.normalise),
        format!("each receiver learns {what}"),
        format!("protocol: {}: {why}", of.protocol.name()),
    ];
    if of.protocol == Protocol::Oprf {
        words.push("the table of the other holder is sent encrypted, once for each state of its data, and kept by the receiver; an entry tells nothing without the answer to the same key".to_owned());
    }
    words.push(format!("semi-honest: {claim}"));
    words
}
