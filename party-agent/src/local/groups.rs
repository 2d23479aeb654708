//! From group keys to this holder's own groups, where the groups are not public.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use zeroize::{Zeroize, Zeroizing};

use super::cells::KeyIndex;
use super::{CodedKey, GroupKeys};
use crate::plan::hidden::{SLOT_BYTES, WORD_BYTES};
use crate::plan::steps::HASH_BITS;
use crate::plan::{HiddenGroups, KeyColumn, Plan, slots_of};
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

    /// This holder's shares of the keys of a join's groups, if nobody lists these: what it has numbered itself, and what
    /// all know where it is the one to bring that. The numbers of which it has no value are those of no group.
    #[must_use]
    pub fn of_cells(plan: &Plan, own: &[CodedKey], brings_public: bool) -> Option<Self> {
        let hidden = plan.shape.hidden.as_ref()?;
        let mut words = vec![vec![0; plan.shape.cells]; hidden.key_words()];
        let length: usize = plan.keys.iter().map(KeyColumn::bytes).sum();
        let mut bytes = Zeroizing::new(vec![0u8; length]);
        for cell in 0..plan.shape.cells {
            bytes.fill(0);
            let slots = slots_of(cell, plan.keys.iter().map(KeyColumn::n_slots));
            let mut rest = bytes.as_mut_slice();
            for (number, (key, slot)) in plan.keys.iter().zip(slots).enumerate() {
                let (place, more) = rest.split_at_mut(key.bytes());
                rest = more;
                match key.hidden {
                    None if brings_public => {
                        place.copy_from_slice(&slot.to_le_bytes()[..SLOT_BYTES])
                    }
                    None => {}
                    Some(_) => {
                        let known = key.domain.get(slot).filter(|_| brings_public);
                        let own = own.iter().find(|own| own.key == number);
                        let own = slot.checked_sub(key.domain.len()).zip(own);
                        let own = own.and_then(|(code, own)| own.texts.get(code));
                        if let Some(text) = known.or(own).and_then(Option::as_deref) {
                            put(place, text).ok()?;
                        }
                    }
                }
            }
            write_words(&mut words, cell, &bytes);
        }
        Some(Self {
            hashes: Vec::new(),
            words,
        })
    }
}

/// Writes a group's keys to its place in the columns of words.
fn write_words(words: &mut [Vec<u128>], group: usize, bytes: &[u8]) {
    for (column, chunk) in words.iter_mut().zip(bytes.chunks(WORD_BYTES)) {
        let mut word = [0; WORD_BYTES];
        word[..chunk.len()].copy_from_slice(chunk);
        column[group] = u128::from_le_bytes(word);
    }
}

/// Writes a value to its place: its length, which is one more so that 0 is NULL, and its text. Fails if it is too long.
fn put(place: &mut [u8], text: &str) -> Result<(), TooLong> {
    let Some((length, rest)) = place.split_first_mut() else {
        return Err(TooLong);
    };
    let text = text.as_bytes();
    rest.get_mut(..text.len())
        .ok_or(TooLong)?
        .copy_from_slice(text);
    *length = 1 + u8::try_from(text.len()).expect("at most 240 bytes");
    Ok(())
}

struct TooLong;

/// A value has more bytes than the plan was made for.
pub(super) fn too_long(key: &KeyColumn, tables: &[String]) -> SourceError {
    let what = format!(
        "a value is longer than {} bytes, the most that the plan was made for",
        key.bytes() - 1
    );
    let advice =
        "write a larger `longest` for the column in the policy file, publish and plan anew";
    SourceError::column(&tables.join(", "), &key.name, what, advice)
}

/// There are more groups than all have planned for.
pub(super) fn too_many(at_most: usize, tables: &[String]) -> SourceError {
    let what = format!("it has more than the {at_most} groups that the job was planned for");
    let advice = "write a larger max_groups in the job, and plan anew";
    SourceError::table(&tables.join(", "), what, advice)
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
                None => return Err(too_many(self.at_most, self.tables)),
            };
            self.cells.push(cell);
        }
        Ok(&self.cells)
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
            write_words(&mut keys.words, cell, &bytes);
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
                    let place = &mut row[first..first + length];
                    put(place, texts.value(i)).map_err(|TooLong| too_long(key, tables))?;
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
