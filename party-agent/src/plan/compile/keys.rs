//! The group keys and their public domains.

use arrow::datatypes::DataType;

use super::none;
use crate::catalogue::{Catalogue, MAX_HIDDEN_BYTES};
use crate::plan::bounds::entry;
use crate::plan::domain::{self, Groups, Missing, Source};
use crate::plan::part::{Part, Whole};
use crate::plan::sql::outer::{Key, Outer};
use crate::plan::types::{self, Types};
use crate::plan::words::counted;
use crate::plan::{KeyColumn, MAX_CELLS, PlanFault, TableColumn, ValueKind};
use crate::spec::SqlCompute;

/// The group domains over all holders.
///
/// `without` has for each key the group of rows without a match, where there are such rows.
pub(in crate::plan) fn keys(
    sql: &SqlCompute,
    whole: &Whole<'_>,
    types: &Types,
    parts: &[Part],
    without: &[Option<Option<String>>],
) -> Result<Vec<KeyColumn>, Vec<PlanFault>> {
    let mut faults = Vec::new();
    let mut keys = Vec::new();
    for (i, key) in whole.outer.keys.iter().enumerate() {
        let kind = types.keys[i];
        let named = |name: &String| sql.domains.iter().find(|(n, _)| same_name(n, name));
        let declared = named(&key.name).or_else(|| named(key.column.as_ref()?));
        let groups = match (key.follow_up, declared) {
            (Some(end), _) => followed(whole, (key, end, declared.is_some()), kind, parts, i),
            (None, Some((_, values))) => declared_groups(key, values, kind, parts, i),
            (None, None) => published_groups(whole, key, parts, i),
        };
        match groups {
            Err(Unknown {
                hidden: Some(longest),
                ..
            }) => {
                keys.push(hidden_column(key, kind, longest));
            }
            Ok(mut groups) => {
                // A declared domain leaves it to `other`, unless it is NULL.
                let added = without[i]
                    .iter()
                    .filter(|g| declared.is_none() || g.is_none());
                for group in added {
                    if !groups.values.contains(group) {
                        groups.values.push(group.clone());
                    }
                }
                domain::unify(&mut groups, kind);
                domain::sort(&mut groups, kind);
                keys.push(key_column(key, kind, groups));
            }
            Err(unknown) => faults.extend(unknown.faults),
        }
    }
    none(faults)?;
    Ok(keys)
}

/// Checks that all keys together do not have too many groups.
pub(in crate::plan) fn not_too_many(keys: &[KeyColumn]) -> Result<(), Vec<PlanFault>> {
    let cells = keys.iter().map(KeyColumn::n_slots);
    if cells.fold(1, usize::saturating_mul) <= MAX_CELLS {
        return Ok(());
    }
    let sizes: Vec<String> = keys
        .iter()
        .map(|k| format!("{} ({})", k.name, counted(k.n_slots() as u64, "group")))
        .collect();
    Err(vec![PlanFault {
        place: "GROUP BY".to_owned(),
        what: format!(
            "the groups multiply to more than {MAX_CELLS}: {}",
            sizes.join(" × ")
        ),
        fix: match keys.iter().any(|key| key.codes > 0) {
            true => "write a smaller max_groups in [compute], the most values of such a column, or group by fewer keys",
            false => "group by fewer or coarser keys, or declare fewer groups in [compute.domain]",
        }
        .to_owned(),
    }])
}

/// Checks that every declared domain belongs to a key.
pub(in crate::plan) fn none_unused(sql: &SqlCompute, outer: &Outer) -> Result<(), Vec<PlanFault>> {
    none(unused_domains(sql, outer))
}

fn same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn unused_domains(sql: &SqlCompute, outer: &Outer) -> Vec<PlanFault> {
    let used = |name: &String| {
        outer.keys.iter().any(|key| {
            same_name(name, &key.name) || key.column.as_ref().is_some_and(|c| same_name(name, c))
        })
    };
    let unused = sql.domains.keys().filter(|name| !used(name));
    unused
        .map(|name| {
            let keys: Vec<&str> = outer.keys.iter().map(|k| k.name.as_str()).collect();
            PlanFault {
                place: format!("compute.domain.{name}"),
                what: "no group key has this name".to_owned(),
                fix: match keys.as_slice() {
                    [] => "leave it out: the query has no GROUP BY".to_owned(),
                    keys => format!("the keys are {}", keys.join(", ")),
                },
            }
        })
        .collect()
}

/// A key without a public domain.
struct Unknown {
    faults: Vec<PlanFault>,
    /// Where every holder lets its values form groups without publishing them: the bytes of the longest.
    hidden: Option<u64>,
}

impl From<Vec<PlanFault>> for Unknown {
    fn from(faults: Vec<PlanFault>) -> Self {
        Self {
            faults,
            hidden: None,
        }
    }
}

/// The times of a follow-up: whole numbers up to the one after its end, or the published ones.
fn followed(
    whole: &Whole<'_>,
    (key, end, is_declared): (&Key, Option<u64>, bool),
    kind: ValueKind,
    parts: &[Part],
    column: usize,
) -> Result<Groups, Unknown> {
    let fault = |what: String, fix: &str| PlanFault {
        place: "compute.sql".to_owned(),
        what,
        fix: fix.to_owned(),
    };
    let is_whole = matches!(kind, ValueKind::Int | ValueKind::Decimal { scale: 0, .. });
    if !is_whole || is_declared {
        let what = format!(
            "{} is {}, and times of a follow-up are whole numbers that are not declared one by one",
            key.name,
            types::in_words(&kind.arrow())
        );
        let fix = "CAST it AS INT, in days for example, and leave it out of [compute.domain]";
        return Err(vec![fault(what, fix)].into());
    }
    let Some(end) = end else {
        let unbounded = fault(
            format!("the times {} have no public bound", key.name),
            "write the end of follow-up as the last argument, as in LOG_RANK(time, event, arm, 3652), or declare the column's range in the policies, of 4096 values at most",
        );
        let groups = published_groups(whole, key, parts, column);
        return groups.map_err(|_| vec![unbounded].into());
    };
    let mut values: Vec<Option<String>> = (0..=end + 1).map(|t| Some(t.to_string())).collect();
    if parts.iter().any(|p| p.nullable[column]) {
        values.push(None);
    }
    Ok(Groups {
        values,
        closed: true,
        source: Source::Written,
    })
}

fn declared_groups(
    key: &Key,
    values: &[String],
    kind: ValueKind,
    parts: &[Part],
    column: usize,
) -> Result<Groups, Unknown> {
    let mut groups = Groups {
        values: Vec::new(),
        closed: false,
        source: Source::Declared,
    };
    let mut faults = Vec::new();
    for value in values {
        match domain::declared(value, kind) {
            Some(text) if groups.values.contains(&Some(text.clone())) => {}
            Some(text) => groups.values.push(Some(text)),
            None => faults.push(PlanFault {
                place: format!("compute.domain.{}", key.name),
                what: format!(
                    "\"{value}\" is no value of the key, which is {}",
                    types::in_words(&kind.arrow())
                ),
                fix: "declare groups of the key's own type".to_owned(),
            }),
        }
    }
    none(faults)?;
    if parts.iter().any(|p| p.nullable[column]) {
        groups.values.push(None);
    }
    Ok(groups)
}

fn published_groups(
    whole: &Whole<'_>,
    key: &Key,
    parts: &[Part],
    column: usize,
) -> Result<Groups, Unknown> {
    let mut all: Option<Groups> = None;
    let mut faults = Vec::new();
    let mut hidden = Some(0);
    for part in parts {
        let Some(catalogue) = whole.catalogues.get(&part.holder) else {
            continue;
        };
        let longest = longest_hidden(part, column, catalogue);
        hidden = hidden.zip(longest).map(|(a, b)| a.max(b));
        let found = domain::groups(&part.trace, column, catalogue, whole.schemas.state());
        // A condition is true, false or unknown, whatever it is about.
        let found = match found {
            Err(Missing::Opaque) if part.types[column] == DataType::Boolean => {
                Ok(domain::of_condition(part.nullable[column]))
            }
            found => found,
        };
        match found {
            Ok(groups) => match &mut all {
                None => all = Some(groups),
                Some(all) => domain::merge(all, groups),
            },
            Err(missing) => {
                if !matches!(missing, Missing::Unpublished(_) | Missing::TooMany(_)) {
                    hidden = None;
                }
                faults.push(no_domain(key, part, &missing));
            }
        }
    }
    if !faults.is_empty() {
        return Err(Unknown { faults, hidden });
    }
    Ok(all.unwrap_or(Groups {
        values: Vec::new(),
        closed: true,
        source: Source::Written,
    }))
}

/// The bytes of the longest value that a key can have at a holder which lets its values form groups unpublished: as
/// long as those of all columns together that the key depends on. A longer one is an error at its owner.
fn longest_hidden(part: &Part, column: usize, catalogue: &Catalogue) -> Option<u64> {
    let of_column = |base: &TableColumn| entry(catalogue, base)?.hidden;
    let all = types::bases(part, column);
    let longest: Option<u64> = all.iter().map(of_column).sum();
    longest.filter(|n| (1..=MAX_HIDDEN_BYTES).contains(n))
}

fn hidden_column(key: &Key, kind: ValueKind, longest: u64) -> KeyColumn {
    KeyColumn {
        name: key.name.clone(),
        kind,
        domain: Vec::new(),
        has_other: false,
        other_label: String::new(),
        source: "known to nobody but its holders".to_owned(),
        has_total: false,
        hidden: Some(longest),
        codes: 0,
    }
}

fn no_domain(key: &Key, part: &Part, missing: &Missing) -> PlanFault {
    let declare = format!(
        "declare the groups in the job: [compute.domain] {} = [\"…\"]",
        quoted_key(&key.name)
    );
    let (place, what, fix) = match missing {
        Missing::Unpublished(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .map(|c| format!("{}.{}.{}", part.holder, c.table, c.column))
                .collect();
            (
                columns.join(", "),
                format!(
                    "the groups of {} are not known: no categories are published",
                    key.name
                ),
                format!(
                    "ask {} to publish them in its policy (categories = \"from_data\" or a list), or to let them form groups unpublished (categories = \"hidden\"), or {declare}",
                    part.holder
                ),
            )
        }
        Missing::TooMany(n) => (
            format!("the part of {}", part.holder),
            format!(
                "the key {} depends on {n} combinations of published values",
                key.name
            ),
            declare,
        ),
        Missing::Opaque => (
            format!("the part of {}", part.holder),
            format!(
                "the groups of {} cannot be told from published categories",
                key.name
            ),
            declare,
        ),
        Missing::Fails(error) => (
            format!("the part of {}", part.holder),
            format!(
                "the key {} cannot be computed for a published category: {error}",
                key.name
            ),
            "correct the expression".to_owned(),
        ),
    };
    PlanFault { place, what, fix }
}

/// A name as a TOML key.
fn quoted_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

fn key_column(key: &Key, kind: ValueKind, mut groups: Groups) -> KeyColumn {
    // A number or a day has no value `other`. Where its groups are published, they are complete, or the catalogue
    // is out of date, which is an error at its owner; where they are declared, the key becomes text.
    let declared = groups.source == Source::Declared;
    let has_other = !groups.closed && (kind == ValueKind::Text || declared);
    if groups.values.is_empty() && !has_other {
        // No holder has a row: a plan still has a cell.
        groups.values.push(None);
    }
    let other = Some("other".to_owned());
    let other_label = if groups.values.contains(&other) {
        "(other)"
    } else {
        "other"
    };
    KeyColumn {
        name: key.name.clone(),
        kind: if has_other { ValueKind::Text } else { kind },
        has_other,
        other_label: other_label.to_owned(),
        source: match groups.source {
            Source::Written => "written in the query",
            Source::Published => "published by the holders",
            Source::Declared => "declared in the job",
        }
        .to_owned(),
        domain: groups.values,
        has_total: false,
        hidden: None,
        codes: 0,
    }
}
