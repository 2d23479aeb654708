//! From group keys to cell numbers: a hash of the text's bytes, no allocation per row.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use zeroize::Zeroize;

use super::groups::{too_long, too_many};
use crate::plan::KeyColumn;
use crate::source::SourceError;

/// Texts up to this length stand inside their 16-byte view.
const INLINE_BYTES: u32 = 12;
const NO_SLOT: u32 = u32::MAX;

/// Maps the key columns of a batch to cells: mixed radix, key 0 the most significant.
pub(super) struct CellIndex<'a> {
    keys: Vec<KeyIndex<'a>>,
    tables: &'a [String],
    /// Buffers of one batch.
    slots: Vec<u32>,
    cells: Vec<u32>,
    in_other: Vec<bool>,
}

/// Where the texts of one key stand in its domain.
pub(super) struct KeyIndex<'a> {
    key: &'a KeyColumn,
    short: ShortTexts,
    long: HashMap<&'a str, u32>,
    /// The slot of NULL; the slot `other` or [`NO_SLOT`] where NULL is not in the domain.
    null: u32,
    /// The slot of every value outside the domain, or [`NO_SLOT`].
    other: u32,
    /// Values that nobody lists, which get slots as they come.
    codes: Codes,
}

/// The values of a key that nobody lists, numbered as they come.
#[derive(Default)]
struct Codes {
    numbers: HashMap<Box<str>, u32>,
    null: Option<u32>,
    n: u32,
}

impl Drop for Codes {
    fn drop(&mut self) {
        self.numbers
            .drain()
            .for_each(|(mut text, _)| text.zeroize());
    }
}

impl<'a> CellIndex<'a> {
    pub(super) fn new(keys: &'a [KeyColumn], tables: &'a [String]) -> Self {
        let keys = keys.iter().map(KeyIndex::new).collect();
        let (slots, cells, in_other) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            keys,
            tables,
            slots,
            cells,
            in_other,
        }
    }

    /// The cell of each row, and how many rows have a key in the slot `other`.
    pub(super) fn of_rows(
        &mut self,
        keys: &[ArrayRef],
        n_rows: usize,
    ) -> Result<(&[u32], u64), SourceError> {
        self.cells.clear();
        self.cells.resize(n_rows, 0);
        self.in_other.clear();
        self.in_other.resize(n_rows, false);
        for (index, values) in self.keys.iter_mut().zip(keys) {
            let texts = match values.data_type() {
                DataType::Utf8View => values.clone(),
                _ => cast(values, &DataType::Utf8View)
                    .map_err(|e| SourceError::from_engine(e.into()))?,
            };
            let texts = texts.as_string_view();
            match index.key.codes {
                0 => index.slots_of(texts, &mut self.slots, self.tables)?,
                _ => index.numbered(texts, &mut self.slots, self.tables)?,
            }
            let radix = index.key.n_slots() as u32;
            for (cell, slot) in self.cells.iter_mut().zip(&self.slots) {
                *cell = *cell * radix + slot;
            }
            for (flag, slot) in self.in_other.iter_mut().zip(&self.slots) {
                *flag |= *slot == index.other;
            }
        }
        let in_other = self.in_other.iter().filter(|&&flag| flag).count();
        Ok((&self.cells, in_other as u64))
    }

    /// Of each key that has numbered values, which one it is here, and the values in the order of their numbers.
    pub(super) fn into_numbered(self) -> impl Iterator<Item = (usize, Vec<Option<String>>)> {
        let numbered = self.keys.into_iter().enumerate();
        let numbered = numbered.filter(|(_, index)| index.key.codes > 0);
        numbered.map(|(at, index)| (at, index.codes.texts()))
    }
}

impl<'a> KeyIndex<'a> {
    pub(super) fn new(key: &'a KeyColumn) -> Self {
        let other = if key.has_other {
            key.domain.len() as u32
        } else {
            NO_SLOT
        };
        let mut index = Self {
            key,
            short: ShortTexts::new(key.domain.len()),
            long: HashMap::new(),
            null: other,
            other,
            codes: Codes::default(),
        };
        for (slot, text) in key.domain.iter().enumerate() {
            let slot = slot as u32;
            match text {
                None => index.null = slot,
                Some(text) if text.len() <= INLINE_BYTES as usize => {
                    let view = StringViewArray::from_iter_values([text]).views()[0];
                    index.short.insert(view, slot);
                }
                Some(text) => {
                    index.long.insert(text, slot);
                }
            }
        }
        index
    }

    /// The slot of each text.
    pub(super) fn slots_of(
        &self,
        texts: &StringViewArray,
        slots: &mut Vec<u32>,
        tables: &[String],
    ) -> Result<(), SourceError> {
        self.write_slots(texts, slots);
        if !slots.contains(&NO_SLOT) {
            return Ok(());
        }
        let what = "a value is outside the groups that the plan was made for";
        let advice =
            "publish the catalogue again, so that its categories are complete, and plan anew";
        Err(SourceError::column(
            &tables.join(", "),
            &self.key.name,
            what,
            advice,
        ))
    }

    /// The slot of each text; one that has none yet gets the next number.
    fn numbered(
        &mut self,
        texts: &StringViewArray,
        slots: &mut Vec<u32>,
        tables: &[String],
    ) -> Result<(), SourceError> {
        self.write_slots(texts, slots);
        let first = self.key.domain.len() as u32;
        let without = slots
            .iter_mut()
            .enumerate()
            .filter(|(_, slot)| **slot == NO_SLOT);
        for (row, slot) in without {
            let text = texts.is_valid(row).then(|| texts.value(row));
            let number = match self.codes.number(text) {
                Some(number) => number,
                None if self.codes.n as usize == self.key.codes => {
                    return Err(too_many(self.key.codes, tables));
                }
                None if text.is_some_and(|text| text.len() >= self.key.bytes()) => {
                    return Err(too_long(self.key, tables));
                }
                None => self.codes.add(text),
            };
            *slot = first + number;
        }
        Ok(())
    }

    /// The slot of each text, [`NO_SLOT`] where it has none.
    fn write_slots(&self, texts: &StringViewArray, slots: &mut Vec<u32>) {
        slots.clear();
        slots.extend(texts.views().iter().enumerate().map(|(row, &view)| {
            if texts.is_null(row) {
                self.null
            } else if view as u32 <= INLINE_BYTES {
                self.short.get(view).unwrap_or(self.other)
            } else {
                self.long
                    .get(texts.value(row))
                    .copied()
                    .unwrap_or(self.other)
            }
        }));
    }
}

impl Codes {
    fn number(&self, text: Option<&str>) -> Option<u32> {
        match text {
            Some(text) => self.numbers.get(text).copied(),
            None => self.null,
        }
    }

    fn add(&mut self, text: Option<&str>) -> u32 {
        let number = self.n;
        self.n += 1;
        match text {
            Some(text) => {
                self.numbers.insert(text.into(), number);
            }
            None => self.null = Some(number),
        }
        number
    }

    /// The values in the order of their numbers.
    fn texts(mut self) -> Vec<Option<String>> {
        let mut texts = vec![None; self.n as usize];
        for (text, number) in self.numbers.drain() {
            texts[number as usize] = Some(text.into());
        }
        texts
    }
}

/// A hash table from inline views to slots, with open addressing.
struct ShortTexts {
    entries: Vec<Option<(u128, u32)>>,
    /// The number of entries is a power of two; this is 64 less its logarithm.
    shift: u32,
}

impl ShortTexts {
    fn new(n_texts: usize) -> Self {
        let capacity = (2 * n_texts).next_power_of_two().max(8);
        Self {
            entries: vec![None; capacity],
            shift: 64 - capacity.trailing_zeros(),
        }
    }

    fn insert(&mut self, view: u128, slot: u32) {
        let mut at = self.home(view);
        while self.entries[at].is_some() {
            at = (at + 1) % self.entries.len();
        }
        self.entries[at] = Some((view, slot));
    }

    fn get(&self, view: u128) -> Option<u32> {
        let mut at = self.home(view);
        while let Some((found, slot)) = self.entries[at] {
            if found == view {
                return Some(slot);
            }
            at = (at + 1) % self.entries.len();
        }
        None
    }

    fn home(&self, view: u128) -> usize {
        let folded = (view as u64).rotate_left(29) ^ ((view >> 64) as u64);
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;
    use crate::plan::ValueKind;

    fn key(domain: &[Option<&str>], has_other: bool) -> KeyColumn {
        KeyColumn {
            name: "k".to_owned(),
            kind: ValueKind::Text,
            domain: domain.iter().map(|d| d.map(str::to_owned)).collect(),
            has_other,
            other_label: "other".to_owned(),
            source: String::new(),
            has_total: false,
            hidden: None,
            codes: 0,
        }
    }

    #[test]
    fn cells_count_in_mixed_radix() {
        let keys = [
            key(&[Some("a"), Some("高血压（原发性）高血压"), None], true),
            key(&[Some("x"), Some("y")], false),
        ];
        let tables = ["t".to_owned()];
        let mut index = CellIndex::new(&keys, &tables);
        let k0: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            Some("高血压（原发性）高血压"),
            None,
            Some("b"),
            Some("a text that is long"),
            Some(""),
        ]));
        let k1: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "x", "y", "x", "y"]));
        let (cells, in_other) = index
            .of_rows(&[k0.clone(), k1], 6)
            .expect("all have a cell");
        assert_eq!((cells, in_other), (&[0, 3, 4, 7, 6, 7][..], 3));
        let unknown: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z", "x", "x", "x"]));
        let fault = index
            .of_rows(&[k0, unknown], 6)
            .expect_err("z has no slot")
            .to_string();
        assert!(
            fault.contains("column k of t") && !fault.contains('z'),
            "{fault}"
        );
    }

    #[test]
    fn every_text_of_a_domain_is_found() {
        let texts: Vec<String> = (0..5000)
            .map(|i| format!("{}{}", "g".repeat(i % 20), i))
            .collect();
        let domain: Vec<_> = texts.iter().map(|t| Some(t.as_str())).collect();
        let keys = [key(&domain, false)];
        let mut index = CellIndex::new(&keys, &[]);
        let values: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
        let (cells, _) = index.of_rows(&[values], 5000).expect("all have a cell");
        assert!(cells.iter().copied().eq(0..5000));
    }
}
