//! What a plan of an intersection tells people.

use protocols::party::PartyId;

use super::keys::Side;
use super::{IntersectPlan, Protocol};
use crate::catalogue::ColumnKind;
use crate::plan::Learns;
use crate::plan::words::{listed, without_data};
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

fn names<'s>(sides: &'s [Side<'_>], keep: impl Fn(&Side<'_>) -> bool) -> Vec<&'s str> {
    let kept = sides.iter().filter(|side| keep(side));
    kept.map(|side| side.holder.as_str()).collect()
}

pub(super) fn warnings(of: &IntersectPlan, spec: &CheckedSpec, sides: &[Side<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    for receiver in &spec.receivers {
        let others = listed(&names(sides, |s| s.holder != *receiver));
        let most = sides.iter().find(|s| s.holder == *receiver);
        let most = most.map_or(0, |s| s.rows_at_most);
        warnings.push(match &of.reveal {
            Reveal::Rows => format!(
                "row-level output: {receiver} learns which of the persons or things in its table {others} has, and could ask about keys that it made up, at most {most} in this job"
            ),
            Reveal::Count | Reveal::Sum(_) => format!(
                "{receiver} learns the exact number; with a table of its choice that tells whether {others} has a certain key"
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
            Reveal::Count | Reveal::Sum(_) => Some(format!(
                "the minimum of {min_cell} is kept by the agents of the receivers: they find the exact number, and write it down from {min_cell} on; privacy.correlations lets it be compared on shares"
            )),
            Reveal::Rows => Some(format!(
                "the minimum of {min_cell} does not apply to row-level output, which policies allow by itself"
            )),
        });
    }
    if spec.receivers.len() > 1 && matches!(of.protocol, Protocol::Vole | Protocol::Ecdh) {
        warnings.push(
            "each receiver finds its result in a run of its own: the cost is that of all of them"
                .to_owned(),
        );
    }
    let rehearsing = names(sides, |s| s.catalogue.rehearsal);
    if !rehearsing.is_empty() {
        warnings.push(format!(
            "{} has no policy file: this rehearsal allows whatever the job asks for",
            listed(&rehearsing)
        ));
    }
    if spec.correlations.is_some() && of.protocol != Protocol::Circuit {
        warnings
            .push("privacy.correlations has no effect: nothing is computed on shares".to_owned());
    }
    if spec.join.is_some() {
        warnings.push(
            "privacy.join has no effect: compute.intersect.reveal says what is learnt".to_owned(),
        );
    }
    warnings.extend(mixed(sides));
    warnings
}

/// Keys that are numbers here and texts there.
fn mixed(sides: &[Side<'_>]) -> Option<String> {
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
        format!(
            "{} holds whole numbers and {} texts: they are compared as text, and a number has lost its leading zeros",
            listed(&numbers),
            listed(&texts)
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
