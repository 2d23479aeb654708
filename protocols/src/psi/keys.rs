//! From what people call a thing to an [`Item`]: normalisation, hashing and duplicates.
//!
//! ```text
//! field      Unicode NFKC, then the rule; "none" takes the text as it stands
//! key        one field, or several with their lengths in front of them
//! item       BLAKE3 under a key of the job, 128 bits
//! set        distinct items in the order in which they first came
//! ```
//!
//! A key with a missing field, or one of which the rule leaves nothing, is no item: it never
//! matches. Only its owner learns how many of those, and how many duplicates, it has.

use super::Item;
use engine::hash::KeyedHash;
use rayon::prelude::*;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// How the spelling of a key is evened out. Part of what holders approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalise {
    /// Not at all: as SQL compares, an empty text is a text like any other.
    Exact,
    /// Not at all: the bytes as they stand.
    None,
    /// NFKC, then white space at both ends is cut off.
    Trim,
    /// NFKC, upper case, then only A–Z and 0–9 are kept.
    UpperAlnum,
    /// NFKC, then only 0–9 are kept.
    Digits,
}

impl Normalise {
    /// The rule of this name: `exact`, and those of a job file: `none`, `trim`, `upper_alnum` or `digits`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "exact" => Some(Self::Exact),
            "none" => Some(Self::None),
            "trim" => Some(Self::Trim),
            "upper_alnum" => Some(Self::UpperAlnum),
            "digits" => Some(Self::Digits),
            _ => None,
        }
    }

    /// The text as it is compared.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        // ASCII is its own NFKC.
        let compatible = || match text.is_ascii() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text.nfkc().collect::<String>()),
        };
        match self {
            Self::Exact | Self::None => Cow::Borrowed(text),
            Self::Trim => match compatible() {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            },
            Self::UpperAlnum => kept(compatible(), |c| {
                c.is_ascii_uppercase() || c.is_ascii_digit()
            }),
            Self::Digits => kept(compatible(), |c| c.is_ascii_digit()),
        }
    }
}

/// The characters of the upper-case text that are to be kept. Digits have no case.
fn kept(text: Cow<'_, str>, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return text;
    }
    let upper = text.chars().flat_map(char::to_uppercase);
    Cow::Owned(upper.filter(|c| keep(*c)).collect())
}

/// Rows that one thread hashes at a time.
const ROWS_AT_ONCE: usize = 1 << 10;

/// Makes items of keys. Every holder of one job has the same.
pub struct KeyHash {
    hash: KeyedHash,
    rule: Normalise,
}

impl KeyHash {
    /// For one job or session, and for columns that are compared with each other: `columns` names
    /// them, so that items of different columns have nothing in common.
    pub fn new(session_id: &[u8; 32], columns: &str, rule: Normalise) -> Self {
        let rule_name = format!("{rule:?}");
        let fields = [&session_id[..], columns.as_bytes(), rule_name.as_bytes()];
        Self {
            hash: KeyedHash::new("entente/v1/psi/keys/item", &fields),
            rule,
        }
    }

    /// The item of a key, given field by field; `None` if a field is missing or nothing is left of
    /// it. Numbers and dates are given as text, in the form that all holders use.
    pub fn item(&self, fields: &[Option<&str>]) -> Option<Item> {
        self.item_of(&mut Vec::with_capacity(64), fields.iter().copied())
    }

    /// The items of a table's rows, on all cores. `cell`: what stands in a row, by field and row.
    pub fn items<'t>(
        &self,
        (n_rows, n_fields): (usize, usize),
        cell: impl Fn(usize, usize) -> Option<&'t str> + Sync,
    ) -> Vec<Option<Item>> {
        let rows = (0..n_rows).into_par_iter().with_min_len(ROWS_AT_ONCE);
        let item =
            |key: &mut Vec<u8>, row| self.item_of(key, (0..n_fields).map(|field| cell(field, row)));
        rows.map_init(Vec::new, item).collect()
    }

    fn item_of<'t>(
        &self,
        key: &mut Vec<u8>,
        fields: impl Iterator<Item = Option<&'t str>>,
    ) -> Option<Item> {
        key.clear();
        for field in fields {
            let field = self.rule.apply(field?);
            if field.is_empty() && self.rule != Normalise::Exact {
                return None;
            }
            key.extend_from_slice(&(field.len() as u64).to_le_bytes());
            key.extend_from_slice(field.as_bytes());
        }
        Some(self.hash.hash(key))
    }
}

/// The distinct items of a column, and what only its owner learns about the column.
pub struct ItemSet {
    items: Vec<Item>,
    rows: Vec<u64>,
    n_duplicates: u64,
    n_missing: u64,
}

impl ItemSet {
    /// The distinct items of these rows; `None` stands for a row without a key.
    pub fn collect(rows: impl IntoIterator<Item = Option<Item>>) -> Self {
        let rows = rows.into_iter();
        let mut n_rows = 0;
        let mut keyed: Vec<(Item, u64)> = Vec::with_capacity(rows.size_hint().0);
        for item in rows {
            keyed.extend(item.map(|item| (item, n_rows)));
            n_rows += 1;
        }
        let n_keyed = keyed.len() as u64;
        // Of equal items the one that came first is left.
        keyed.par_sort_unstable();
        keyed.dedup_by_key(|(item, _)| *item);
        keyed.par_sort_unstable_by_key(|(_, row)| *row);
        let n_duplicates = n_keyed - keyed.len() as u64;
        let (items, rows) = keyed.into_iter().unzip();
        Self {
            items,
            rows,
            n_duplicates,
            n_missing: n_rows - n_keyed,
        }
    }

    /// The items, in the order in which they first came.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// For each item the row, counted from 0, in which it first came.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The number of rows whose item had come before.
    pub fn n_duplicates(&self) -> u64 {
        self.n_duplicates
    }

    /// The number of rows without a key.
    pub fn n_missing(&self) -> u64 {
        self.n_missing
    }
}
