//! From group keys to this holder's own groups, where the groups are not public.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use zeroize::{Zeroize, Zeroizing};

use super::GroupKeys;
use super::cells::KeyIndex;
use crate::plan::hidden::{SLOT_BYTES, WORD_BYTES};
use crate::plan::steps::HASH_BITS;
use crate::plan::{HiddenGroups, KeyColumn, Plan};
use crate::source::SourceError;

/// Finds the group of each row, and makes new ones as they occur.
pub(super) struct GroupIndex<'a> {
    plan: &'a Plan,
    keys: Vec<Key<'a>>,
    tables: &'a [String],
    at_most: usize,
    groups: HashMap<Box<[u8]>, u32>,
    cells: Vec<u32>,
}

enum Key<'a> {
    Public(KeyIndex<'a>),
    Hidden(&'a KeyColumn),
}

impl GroupKeys {
    /// The keys of a party without tables.
    pub(super) fn none(hidden: &HiddenGroups) -> Self {
        Self {
            hashes: Vec::new(),
            words: vec![Vec::new(); hidden.key_words()],
        }
    }
}

impl<'a> GroupIndex<'a> {
    pub(super) fn new(plan: &'a Plan, tables: &'a [String], at_most: usize) -> Self {
        let key = |key: &'a KeyColumn| match key.hidden {
            None => Key::Public(KeyIndex::new(key)),
            Some(_) => Key::Hidden(key),
        };
        Self {
            plan,
            keys: plan.keys.iter().map(key).collect(),
            tables,
            at_most,
            groups: HashMap::new(),
            cells: Vec::new(),
        }
    }

    /// The group of each row.
    pub(super) fn of_rows(
        &mut self,
        keys: &[ArrayRef],
        n_rows: usize,
    ) -> Result<&[u32], SourceError> {
        let length: usize = self.plan.keys.iter().map(KeyColumn::bytes).sum();
        let mut rows = Zeroizing::new(vec![0u8; length * n_rows]);
        let mut first = 0;
        for (key, values) in self.keys.iter().zip(keys) {
            let texts = cast(values, &DataType::Utf8View)
                .map_err(|e| SourceError::from_engine(e.into()))?;
            let places = rows.chunks_mut(length);
            first += key.write(texts.as_string_view(), places, first, self.tables)?;
        }
        self.cells.clear();
        for row in rows.chunks(length) {
            let cell = match self.groups.get(row) {
                Some(cell) => *cell,
                None if self.groups.len() < self.at_most => {
                    let cell = u32::try_from(self.groups.len()).expect("at most 2^20 groups");
                    self.groups.insert(row.into(), cell);
                    cell
                }
                None => return Err(self.too_many()),
            };
            self.cells.push(cell);
        }
        Ok(&self.cells)
    }

    fn too_many(&self) -> SourceError {
        let what = format!(
            "it has more than the {} groups that the job was planned for",
            self.at_most
        );
        let advice = "write a larger max_groups in the job, and plan anew";
        SourceError::table(&self.tables.join(", "), what, advice)
    }

    /// The keys in the order of groups.
    pub(super) fn finish(self) -> GroupKeys {
        let n_words = self
            .plan
            .shape
            .hidden
            .as_ref()
            .map_or(0, HiddenGroups::key_words);
        let mut keys = GroupKeys {
            hashes: vec![0; self.groups.len()],
            words: vec![vec![0; self.groups.len()]; n_words],
        };
        for (mut bytes, cell) in self.groups {
            let cell = cell as usize;
            keys.hashes[cell] = hash(self.plan, &bytes);
            for (column, chunk) in keys.words.iter_mut().zip(bytes.chunks(WORD_BYTES)) {
                let mut word = [0; WORD_BYTES];
                word[..chunk.len()].copy_from_slice(chunk);
                column[cell] = u128::from_le_bytes(word);
            }
            bytes.zeroize();
        }
        keys
    }
}

impl Key<'_> {
    /// Writes one key of each row to its place, and returns how many bytes it takes.
    fn write<'r>(
        &self,
        texts: &StringViewArray,
        rows: impl Iterator<Item = &'r mut [u8]>,
        first: usize,
        tables: &[String],
    ) -> Result<usize, SourceError> {
        match self {
            Key::Public(index) => {
                let mut slots = Vec::new();
                index.slots_of(texts, &mut slots, tables)?;
                for (row, slot) in rows.zip(slots) {
                    row[first..first + SLOT_BYTES]
                        .copy_from_slice(&slot.to_le_bytes()[..SLOT_BYTES]);
                }
                Ok(SLOT_BYTES)
            }
            Key::Hidden(key) => {
                let length = key.bytes();
                for (i, row) in rows.enumerate().filter(|(i, _)| texts.is_valid(*i)) {
                    let text = texts.value(i).as_bytes();
                    let Some(place) = row[first + 1..first + length].get_mut(..text.len()) else {
                        let what = format!(
                            "a value is longer than {} bytes, the most that the plan was made for",
                            length - 1
                        );
                        let advice = "write a larger `longest` for the column in the policy file, publish and plan anew";
                        return Err(SourceError::column(
                            &tables.join(", "),
                            &key.name,
                            what,
                            advice,
                        ));
                    };
                    place.copy_from_slice(text);
                    // 0 is NULL.
                    row[first] = 1 + u8::try_from(text.len()).expect("at most 240 bytes");
                }
                Ok(length)
            }
        }
    }
}

/// The hash of a group's keys, the same at all holders of one job. It never leaves a holder but as shares.
fn hash(plan: &Plan, keys: &[u8]) -> u128 {
    let mut hash = blake3::Hasher::new_derive_key("entente/v1/group key");
    hash.update(plan.spec.as_bytes());
    hash.update(keys);
    let bytes = hash.finalize();
    let (low, _) = bytes.as_bytes().split_first_chunk().expect("32 bytes");
    u128::from_le_bytes(*low) & ((1 << HASH_BITS) - 1)
}
