//! A table of which each record opens with F(k, its key) alone.
//!
//! ```text
//! y      F(k, key)
//! tag    KDF(y, "tag"), 16 bytes: by it the record is found
//! check  KDF(y, "check", version, value), 32 bytes
//! body   value ⊕ PRG(KDF(y, "body", version, check)); all values are padded to one length
//! ```
//!
//! The body's key depends on the value through `check`, so no two values are ever encrypted with
//! the same key, whatever is done with version numbers. `check` fixes key and value: nobody finds a
//! record that opens to two values. Records are sorted by tag, which is random to all who have not
//! asked.

use crate::psi::Item;
use engine::curve::Encoded;
use engine::hash;
use engine::oprf::{OprfError, Output, ServerKey};
use engine::params::POINT_BYTES;
use engine::prg::Prg;
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of a tag. Two of 2^40 records, or a record and one of 2^40 questions, have the same with
/// probability under 2^−48.
const TAG_BYTES: usize = 16;
const CHECK_BYTES: usize = 32;
/// In front of a value stands its length.
const LENGTH_BYTES: usize = 2;

/// How much longer a record is than a value.
pub const RECORD_OVERHEAD: usize = TAG_BYTES + CHECK_BYTES + LENGTH_BYTES;

/// What everybody may know of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Number of records.
    pub n_records: usize,
    /// Length to which values are padded; 65535 at most.
    pub value_bytes: usize,
    /// Goes up with every change of the table.
    pub version: u64,
}

/// Why a table cannot be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A key occurs twice. Its values are to be put together first.
    #[error("a key occurs twice")]
    Duplicate,
    /// A value is longer than all were said to be.
    #[error("a value is longer than {value_bytes} bytes")]
    TooLong {
        /// The length that all are padded to.
        value_bytes: usize,
    },
    /// The key of the table cannot be applied.
    #[error(transparent)]
    Oprf(#[from] OprfError),
}

/// An encrypted table, at its holder and at those who ask.
pub struct SealedTable {
    shape: TableShape,
    public: Encoded,
    records: Vec<u8>,
    /// Of all that stands above.
    digest: [u8; 32],
}

/// A record does not open: it was not made with its holder's key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DoesNotOpen;

impl SealedTable {
    /// Encrypts records. This is the work that is done once for each version.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub fn seal(
        key: &ServerKey,
        version: u64,
        value_bytes: usize,
        records: &[(Item, Vec<u8>)],
    ) -> Result<Self, TableError> {
        let too_long = TableError::TooLong { value_bytes };
        let longest = value_bytes.min(usize::from(u16::MAX));
        if longest < value_bytes || records.iter().any(|(_, value)| value.len() > longest) {
            return Err(too_long);
        }
        let keys: Vec<&Item> = records.iter().map(|(key, _)| key).collect();
        let outputs = key.evaluate(&keys)?;
        let sealed = outputs.par_iter().zip(records);
        let sealed = sealed.map(|(y, (_, value))| seal_record(y, version, value, value_bytes));
        let mut sealed: Vec<Vec<u8>> = sealed.collect();
        sealed.par_sort_unstable();
        let shape = TableShape {
            n_records: records.len(),
            value_bytes,
            version,
        };
        Self::from_parts(shape, *key.public(), sealed.concat()).ok_or(TableError::Duplicate)
    }

    /// The table of these bytes, if its records are in order and none is there twice.
    pub(super) fn from_parts(shape: TableShape, public: Encoded, records: Vec<u8>) -> Option<Self> {
        let n_bytes = shape
            .n_records
            .checked_mul(shape.value_bytes.checked_add(RECORD_OVERHEAD)?);
        if n_bytes != Some(records.len()) {
            return None;
        }
        let head = header(&shape, &public);
        let table = Self {
            digest: hash::digest("entente/v1/lookup/table", &[&head, &records]),
            shape,
            public,
            records,
        };
        let tags = (1..shape.n_records).map(|i| table.tag(i - 1) < table.tag(i));
        let in_order = tags.fold(true, |all, ordered| all & ordered);
        in_order.then_some(table)
    }

    /// What everybody may know of it.
    pub const fn shape(&self) -> &TableShape {
        &self.shape
    }

    /// The public key to which all answers are held.
    pub const fn public(&self) -> &Encoded {
        &self.public
    }

    /// What tells this table from every other: two with one digest are the same.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The table as bytes for a file. Who has no answers of the holder reads nothing in them but the shape.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&header(&self.shape, &self.public)[..], &self.records].concat()
    }

    /// The table of a file's bytes, if they are one. Whether it is the one that was written, its digest says.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, records) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (numbers, public) = head.split_first_chunk::<24>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [n_records, value_bytes, version] = [0, 1, 2].map(|i| u64::from_le_bytes(numbers[i]));
        let shape = TableShape {
            n_records: n_records.try_into().ok()?,
            value_bytes: value_bytes.try_into().ok()?,
            version,
        };
        Self::from_parts(shape, public.try_into().ok()?, records.to_vec())
    }

    /// The bytes of some records.
    pub(super) fn records(&self, records: Range<usize>) -> &[u8] {
        let len = self.record_bytes();
        &self.records[records.start * len..records.end * len]
    }

    fn record_bytes(&self) -> usize {
        self.shape.value_bytes + RECORD_OVERHEAD
    }

    fn tag(&self, record: usize) -> &[u8] {
        &self.records(record..record + 1)[..TAG_BYTES]
    }

    /// The value under a key, from F of the key.
    pub(super) fn find(&self, y: &Output) -> Result<Option<Vec<u8>>, DoesNotOpen> {
        let tag = tag(y);
        let (mut low, mut high) = (0, self.shape.n_records);
        while low < high {
            let middle = low.midpoint(high);
            match self.tag(middle).cmp(&tag[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let record = self.records(middle..middle + 1);
                    return open_record(y, self.shape.version, record).map(Some);
                }
            }
        }
        Ok(None)
    }
}

/// Shape and public key as bytes, of one length.
const HEADER_BYTES: usize = 3 * 8 + POINT_BYTES;

fn header(shape: &TableShape, public: &Encoded) -> [u8; HEADER_BYTES] {
    let numbers = [
        shape.n_records as u64,
        shape.value_bytes as u64,
        shape.version,
    ];
    let mut head = [0; HEADER_BYTES];
    for (out, number) in head.chunks_exact_mut(8).zip(numbers) {
        out.copy_from_slice(&number.to_le_bytes());
    }
    head[3 * 8..].copy_from_slice(public);
    head
}

fn tag(y: &Output) -> [u8; TAG_BYTES] {
    let digest = hash::digest("entente/v1/lookup/record/tag", &[y.as_bytes()]);
    let (tag, _) = digest
        .split_first_chunk()
        .expect("32 bytes have a first 16");
    *tag
}

fn check(y: &Output, version: u64, padded: &[u8]) -> [u8; CHECK_BYTES] {
    let fields = [&y.as_bytes()[..], &version.to_le_bytes(), padded];
    hash::digest("entente/v1/lookup/record/check", &fields)
}

fn mask(y: &Output, version: u64, check: &[u8], body: &mut [u8]) {
    let fields = [&y.as_bytes()[..], &version.to_le_bytes(), check];
    let key = hash::derive_key("entente/v1/lookup/record/body", &fields);
    let mut stream = vec![0; body.len()];
    Prg::new(&key, 0).fill_bytes(&mut stream);
    for (byte, mask) in body.iter_mut().zip(&stream) {
        *byte ^= mask;
    }
}

fn seal_record(y: &Output, version: u64, value: &[u8], value_bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(LENGTH_BYTES + value_bytes);
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(LENGTH_BYTES + value_bytes, 0);
    let check = check(y, version, &body);
    mask(y, version, &check, &mut body);
    [&tag(y)[..], &check, &body].concat()
}

fn open_record(y: &Output, version: u64, record: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
    let (sent, body) = record[TAG_BYTES..].split_at(CHECK_BYTES);
    let mut body = body.to_vec();
    mask(y, version, sent, &mut body);
    if check(y, version, &body) != *sent {
        return Err(DoesNotOpen);
    }
    let (len, value) = body.split_at(LENGTH_BYTES);
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    value.get(..len).map(<[u8]>::to_vec).ok_or(DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::oprf::Mode;
    use engine::prg::Seed;
    use std::collections::BTreeSet;

    fn key(version: u8) -> ServerKey {
        println!("seed 1");
        ServerKey::derive(Mode::Verifiable, &Seed::from_bytes([1; 32]), &[version]).unwrap()
    }

    fn records(n: u8) -> Vec<(Item, Vec<u8>)> {
        (0..n)
            .map(|i| ([i; 16], vec![i; usize::from(i % 8)]))
            .collect()
    }

    fn output(key: &ServerKey, item: Item) -> Output {
        key.evaluate(&[item]).unwrap().remove(0)
    }

    #[test]
    fn every_record_opens_with_its_key_alone() {
        let key = key(1);
        for n in [0, 1, 2, 100] {
            let table = SealedTable::seal(&key, 1, 8, &records(n)).unwrap();
            for (item, value) in records(n) {
                assert_eq!(table.find(&output(&key, item)), Ok(Some(value)));
            }
            assert_eq!(table.find(&output(&key, [200; 16])), Ok(None));
        }
    }

    /// Whatever is changed in a record: it does not open, or is not found.
    #[test]
    fn a_changed_record_does_not_open() {
        let key = key(1);
        let table = SealedTable::seal(&key, 1, 8, &records(4)).unwrap();
        let y = output(&key, [3; 16]);
        let place = (0..4).find(|i| table.tag(*i) == tag(&y)).unwrap();
        let start = place * table.record_bytes();
        for byte in TAG_BYTES..table.record_bytes() {
            let mut records = table.records.clone();
            records[start + byte] ^= 4;
            let spoilt = SealedTable::from_parts(table.shape, table.public, records).unwrap();
            assert_eq!(spoilt.find(&y), Err(DoesNotOpen), "byte {byte}");
        }
        let mut older = table.shape;
        older.version = 0;
        let older = SealedTable::from_parts(older, table.public, table.records).unwrap();
        assert_eq!(older.find(&y), Err(DoesNotOpen));
    }

    /// Values that differ have bodies that have nothing in common, whatever the version says.
    #[test]
    fn no_stream_masks_two_values() {
        let key = key(1);
        let mut bodies = BTreeSet::new();
        for (version, value) in [(1, 5), (1, 6), (2, 5), (2, 6)] {
            let records = [([9; 16], vec![value; 30])];
            let table = SealedTable::seal(&key, version, 30, &records).unwrap();
            let mut body = table.records[TAG_BYTES + CHECK_BYTES + LENGTH_BYTES..].to_vec();
            body.iter_mut().for_each(|byte| *byte ^= value);
            bodies.insert(body);
        }
        assert_eq!(bodies.len(), 4);
    }

    #[test]
    fn what_cannot_be_a_table_is_refused() {
        let key = key(1);
        let seal =
            |value_bytes, records: &[_]| SealedTable::seal(&key, 1, value_bytes, records).err();
        let twice = [([1; 16], vec![1]), ([1; 16], vec![2])];
        assert_eq!(seal(1, &twice), Some(TableError::Duplicate));
        let too_long = |value_bytes| Some(TableError::TooLong { value_bytes });
        assert_eq!(seal(6, &records(8)), too_long(6));
        assert_eq!(seal(1 << 16, &records(8)), too_long(1 << 16));
        let table = SealedTable::seal(&key, 1, 8, &records(3)).unwrap();
        let mut records = table.records.clone();
        records.rotate_left(table.record_bytes());
        assert!(SealedTable::from_parts(table.shape, table.public, records).is_none());
    }

    /// Whatever is changed in a file: it is no table, or another one.
    #[test]
    fn a_file_holds_the_table_that_was_written_or_another_digest() {
        let table = SealedTable::seal(&key(1), 9, 8, &records(3)).unwrap();
        let bytes = table.to_bytes();
        let read = SealedTable::from_bytes(&bytes).unwrap();
        assert_eq!((read.shape, read.public), (table.shape, table.public));
        assert_eq!((&read.records, read.digest), (&table.records, table.digest));
        for byte in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[byte] ^= 1;
            let changed = SealedTable::from_bytes(&changed);
            assert!(
                changed.is_none_or(|other| other.digest != table.digest),
                "byte {byte}"
            );
            assert!(SealedTable::from_bytes(&bytes[..byte]).is_none());
        }
        let empty = SealedTable::seal(&key(1), 9, 8, &[]).unwrap();
        let read = SealedTable::from_bytes(&empty.to_bytes()).unwrap();
        assert_eq!(read.digest, empty.digest);
        let endless = [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat();
        assert!(SealedTable::from_bytes(&endless).is_none());
    }
}
