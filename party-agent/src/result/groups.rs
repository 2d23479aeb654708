//! The keys of released groups that are not public, decoded.

use std::cmp::Ordering;
use std::collections::HashMap;

use protocols::stats::group::Groups;

use super::{ResultError, totals};
use crate::plan::hidden::SLOT_BYTES;
use crate::plan::{HiddenGroups, KeyColumn, Plan, ValueKind};

/// The keys of all released groups.
pub(super) struct Keys {
    /// By group, then by key.
    texts: Vec<Vec<Option<String>>>,
    /// By key, the place of each group in the order of that key's values.
    ordinals: Vec<Vec<i64>>,
}

impl Keys {
    /// Reads the keys from their words.
    pub(super) fn read(plan: &Plan, groups: &Groups) -> Result<Self, ResultError> {
        let n_words = plan.shape.hidden.as_ref().map(HiddenGroups::key_words);
        let n_groups = groups.narrow.first().map_or(0, Vec::len);
        let lens = groups.keys.iter().map(Vec::len);
        if n_words != Some(groups.keys.len()) || lens.into_iter().any(|n| n != n_groups) {
            return Err(totals("another number of keys"));
        }
        let read = |group: usize| {
            let words = groups.keys.iter().flat_map(|c| c[group].to_le_bytes());
            texts(&plan.keys, &words.collect::<Vec<_>>())
        };
        let texts: Vec<Vec<Option<String>>> = (0..n_groups).map(read).collect::<Result<_, _>>()?;
        let mut sorted: Vec<&Vec<Option<String>>> = texts.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(totals("two groups with the same keys"));
        }
        let ordinals = plan.keys.iter().enumerate();
        let ordinals = ordinals.map(|(i, key)| ordinals_of(key, texts.iter().map(|t| &t[i])));
        Ok(Self {
            ordinals: ordinals.collect(),
            texts,
        })
    }

    pub(super) fn n_groups(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn text(&self, group: usize, key: usize) -> Option<&str> {
        self.texts[group][key].as_deref()
    }

    pub(super) fn ordinal(&self, group: usize, key: usize) -> i64 {
        self.ordinals[key][group]
    }
}

/// The texts of one group's keys. What cannot be read comes from a party that does not keep to the protocol.
fn texts(keys: &[KeyColumn], bytes: &[u8]) -> Result<Vec<Option<String>>, ResultError> {
    let mut rest = bytes;
    let mut texts = Vec::with_capacity(keys.len());
    for key in keys {
        let unreadable = || totals(format!("a value of {} that cannot be read", key.name));
        let (own, more) = rest.split_at_checked(key.bytes()).ok_or_else(unreadable)?;
        rest = more;
        texts.push(match key.hidden {
            None => {
                let mut slot = [0; 4];
                slot[..SLOT_BYTES].copy_from_slice(own);
                let slot = u32::from_le_bytes(slot) as usize;
                match key.domain.get(slot) {
                    Some(text) => text.clone(),
                    None if key.has_other && slot == key.domain.len() => {
                        Some(key.other_label.clone())
                    }
                    None => return Err(unreadable()),
                }
            }
            Some(_) => match usize::from(own[0]).checked_sub(1) {
                None => None,
                Some(length) => {
                    let text = own[1..].get(..length).ok_or_else(unreadable)?;
                    Some(String::from_utf8(text.to_vec()).map_err(|_| unreadable())?)
                }
            },
        });
    }
    Ok(texts)
}

/// The place of each value among all: those of a public key in the order of its domain, hidden numbers by value,
/// texts and days by their bytes, NULL last.
fn ordinals_of<'t>(key: &KeyColumn, texts: impl Iterator<Item = &'t Option<String>>) -> Vec<i64> {
    let texts: Vec<&Option<String>> = texts.collect();
    let slots: HashMap<Option<&str>, usize> =
        key.domain.iter().map(Option::as_deref).zip(0..).collect();
    let slot = |text: &Option<String>| slots.get(&text.as_deref()).copied().unwrap_or(usize::MAX);
    let compare = |a: &Option<String>, b: &Option<String>| match (key.hidden, a, b) {
        (None, a, b) => slot(a).cmp(&slot(b)),
        (Some(_), Some(a), Some(b)) => compared(key.kind, a, b),
        (Some(_), a, b) => a.is_none().cmp(&b.is_none()),
    };
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by(|a, b| compare(texts[*a], texts[*b]));
    let mut ordinals = vec![0; texts.len()];
    for pair in order.windows(2) {
        let is_next = texts[pair[0]] != texts[pair[1]];
        ordinals[pair[1]] = ordinals[pair[0]] + i64::from(is_next);
    }
    ordinals
}

fn compared(kind: ValueKind, a: &str, b: &str) -> Ordering {
    match kind {
        ValueKind::Int | ValueKind::Decimal { .. } => {
            crate::plan::by_value(a, b).unwrap_or_else(|| a.cmp(b))
        }
        _ => a.cmp(b),
    }
}
