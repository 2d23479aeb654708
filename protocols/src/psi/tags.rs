//! Tags by the million: kept in sorted runs, merged, and compared.
//!
//! Where the runs are kept is up to the caller: in memory, or in files of the agent. Whatever the
//! number of tags, a sorted collection has no more than one run in memory, and merging has a
//! few pages of every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Entries of one run, unless the store says otherwise: 8 MiB of memory.
pub const RUN_ENTRIES: usize = 1 << 18;

/// Entries of a run that are read at a time.
const PAGE_ENTRIES: usize = 1 << 12;

/// A tag and where it belongs.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The tag's bytes as a number, the first one on top.
    pub tag: u128,
    /// Place of its item in its owner's order.
    pub position: u64,
}

impl Entry {
    /// Length of an entry in a file.
    pub const BYTES: usize = 24;

    /// The entry as bytes for a file.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..16].copy_from_slice(&self.tag.to_le_bytes());
        out[16..].copy_from_slice(&self.position.to_le_bytes());
        out
    }

    /// The entry that these bytes of a file stand for.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (tag, position) = bytes.split_at(16);
        Self {
            tag: u128::from_le_bytes(tag.try_into().expect("16 bytes")),
            position: u64::from_le_bytes(position.try_into().expect("8 bytes")),
        }
    }
}

/// The store has failed. It has told its owner why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store of tags failed")]
pub struct StoreError;

/// Where runs of tags are kept. Tags are pseudo-random, but they are nobody else's business: a file
/// of them is readable by its owner alone and is removed when the store is dropped.
pub trait TagStore: Send + 'static {
    /// Most entries of a run: as many are in memory before they are kept.
    fn run_entries(&self) -> usize {
        RUN_ENTRIES
    }

    /// Keeps run number `run`. Runs come in order, from 0, and each once.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn keep(&mut self, run: usize, entries: Vec<Entry>) -> Result<(), StoreError>;

    /// Reads a part of a run that was kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn read(&mut self, run: usize, entries: Range<usize>) -> Result<Vec<Entry>, StoreError>;
}

/// Keeps runs in memory.
#[derive(Default)]
pub struct MemoryStore {
    runs: Vec<Vec<Entry>>,
}

impl TagStore for MemoryStore {
    fn keep(&mut self, run: usize, entries: Vec<Entry>) -> Result<(), StoreError> {
        assert_eq!(run, self.runs.len(), "runs come in order");
        self.runs.push(entries);
        Ok(())
    }

    fn read(&mut self, run: usize, entries: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        Ok(self.runs[run][entries].to_vec())
    }
}

/// How a [`Collection`] orders what it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As it came.
    Arrival,
    /// By tag.
    Tag,
}

/// Entries on their way into a store.
pub(crate) struct Collection {
    store: Box<dyn TagStore>,
    order: Order,
    run_lens: Vec<usize>,
    pending: Vec<Entry>,
}

impl Collection {
    pub(crate) fn new(store: Box<dyn TagStore>, order: Order) -> Self {
        Self {
            store,
            order,
            run_lens: Vec::new(),
            pending: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, entries: impl Iterator<Item = Entry>) -> Result<(), StoreError> {
        for entry in entries {
            self.pending.push(entry);
            if self.pending.len() >= self.store.run_entries() {
                self.keep_pending()?;
            }
        }
        Ok(())
    }

    fn keep_pending(&mut self) -> Result<(), StoreError> {
        let mut run = std::mem::take(&mut self.pending);
        if self.order == Order::Tag {
            run.sort_unstable();
        }
        let number = self.run_lens.len();
        self.run_lens.push(run.len());
        self.store.keep(number, run)
    }

    /// All entries, in the collection's order.
    pub(crate) fn finish(mut self) -> Result<Entries, StoreError> {
        if !self.pending.is_empty() {
            self.keep_pending()?;
        }
        let mut entries = Entries {
            run_lens: self.run_lens,
            pages: Vec::new(),
            store: self.store,
            order: self.order,
            heads: BinaryHeap::new(),
        };
        entries.rewind()?;
        Ok(entries)
    }
}

/// What is in memory of one run.
struct Page {
    unread: Range<usize>,
    entries: std::vec::IntoIter<Entry>,
}

/// Entries on their way out of a store.
pub(crate) struct Entries {
    store: Box<dyn TagStore>,
    order: Order,
    run_lens: Vec<usize>,
    pages: Vec<Page>,
    /// The next entry of every run, or of the first run that has one left; smallest on top.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Entries {
    /// Begins again with the first entry.
    pub(crate) fn rewind(&mut self) -> Result<(), StoreError> {
        let pages = self.run_lens.iter().map(|len| Page {
            unread: 0..*len,
            entries: Vec::new().into_iter(),
        });
        self.pages = pages.collect();
        self.heads.clear();
        match self.order {
            Order::Tag => (0..self.pages.len()).try_for_each(|run| self.advance(run)),
            Order::Arrival => self.advance_from(0),
        }
    }

    /// Puts the next entry of a run on the heap, if there is one.
    fn advance(&mut self, run: usize) -> Result<(), StoreError> {
        let page = &mut self.pages[run];
        if page.entries.as_slice().is_empty() && !page.unread.is_empty() {
            let end = page.unread.end.min(page.unread.start + PAGE_ENTRIES);
            page.entries = self.store.read(run, page.unread.start..end)?.into_iter();
            page.unread.start = end;
        }
        self.heads
            .extend(page.entries.next().map(|entry| Reverse((entry, run))));
        Ok(())
    }

    /// Puts the next entry of this run or a later one on the heap.
    fn advance_from(&mut self, first: usize) -> Result<(), StoreError> {
        for run in first..self.pages.len() {
            self.advance(run)?;
            if !self.heads.is_empty() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        let Some(Reverse((entry, run))) = self.heads.pop() else {
            return Ok(None);
        };
        match self.order {
            Order::Tag => self.advance(run)?,
            Order::Arrival => self.advance_from(run)?,
        }
        Ok(Some(entry))
    }
}

/// Why two sets of tags cannot be compared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Store,
    /// The same item is in the peer's set twice.
    Repeated,
    /// Two of our items have the tag of one of the peer's.
    Ambiguous,
}

impl From<StoreError> for Fault {
    fn from(StoreError: StoreError) -> Self {
        Self::Store
    }
}

/// Calls `found` with the position of every own entry whose tag begins one of the peer's tags. Both
/// are sorted by tag; own tags are 0 after their first `tag_bytes` bytes, the peer's are whole.
pub(crate) fn compare(
    mut own: Entries,
    mut peer: Entries,
    tag_bytes: usize,
    mut found: impl FnMut(u64),
) -> Result<(), Fault> {
    let mut mine = own.next()?;
    let mut last = None;
    while let Some(theirs) = peer.next()? {
        if last.replace(theirs.tag) == Some(theirs.tag) {
            return Err(Fault::Repeated);
        }
        let tag = shortened(theirs.tag, tag_bytes);
        while mine.is_some_and(|m| m.tag < tag) {
            mine = own.next()?;
        }
        if let Some(m) = mine.filter(|m| m.tag == tag) {
            found(m.position);
            mine = own.next()?;
            if mine.is_some_and(|m| m.tag == tag) {
                return Err(Fault::Ambiguous);
            }
        }
    }
    Ok(())
}

/// The first bytes of a tag, followed by zeros.
pub(crate) fn shortened(tag: u128, tag_bytes: usize) -> u128 {
    tag & !u128::MAX.checked_shr(8 * tag_bytes as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(tags: &[u128], order: Order) -> Entries {
        let mut all = Collection::new(Box::new(MemoryStore::default()), order);
        let entries = tags.iter().zip(0..).map(|(tag, position)| Entry {
            tag: *tag,
            position,
        });
        all.add(entries).unwrap();
        all.finish().unwrap()
    }

    fn drained(mut entries: Entries) -> Vec<Entry> {
        std::iter::from_fn(|| entries.next().unwrap()).collect()
    }

    /// Several runs, several pages, and sizes around both.
    #[test]
    fn runs_are_merged_in_their_order() {
        for n in [0, 1, 2, PAGE_ENTRIES + 1, RUN_ENTRIES, 2 * RUN_ENTRIES + 3] {
            let tags: Vec<u128> = (0..n as u128)
                .map(|i| i * 0x9e37_79b9 % 1_000_003)
                .collect();
            let arrived = drained(collected(&tags, Order::Arrival));
            assert!(arrived.iter().map(|e| e.tag).eq(tags.iter().copied()));
            assert!(arrived.iter().map(|e| e.position).eq(0..n as u64));
            let mut sorted = arrived;
            sorted.sort_unstable();
            assert!(drained(collected(&tags, Order::Tag)) == sorted);
        }
    }

    #[test]
    fn tags_are_compared_by_their_first_bytes() {
        let byte = |i: u128| i << 120;
        let own = [byte(7), byte(3), byte(200), byte(9)];
        let peer = [byte(9) + 5, byte(3) + 1, byte(3) + 2, byte(8), byte(201)];
        let mut found = Vec::new();
        let (own, peer) = (collected(&own, Order::Tag), collected(&peer, Order::Tag));
        compare(own, peer, 1, |position| found.push(position)).unwrap();
        assert_eq!(found, [1, 3]);
    }

    #[test]
    fn repeated_tags_are_found() {
        let outcome = |own: &[u128], peer: &[u128]| {
            let (own, peer) = (collected(own, Order::Tag), collected(peer, Order::Tag));
            compare(own, peer, 16, |_| ())
        };
        assert_eq!(outcome(&[1], &[2, 3, 2]), Err(Fault::Repeated));
        assert_eq!(outcome(&[2, 2], &[2, 3]), Err(Fault::Ambiguous));
        assert_eq!(outcome(&[2, 2], &[3]), Ok(()));
    }

    /// With tags of 16 bits, so many pairs are equal by chance as there are pairs over 2^16.
    #[test]
    fn short_tags_collide_as_often_as_they_should() {
        println!("seed [7; 32]");
        let mut prg = engine::prg::Prg::new(&engine::prg::Seed::from_bytes([7; 32]), 0);
        let mut tags = |n: usize| {
            let mut tags = vec![0u128; n];
            prg.fill_ring(&mut tags);
            tags
        };
        let (own, peer) = (tags(200), tags(20_000));
        // Own tags that are equal in what is compared would be an error: they are items of one set.
        let mut own: Vec<u128> = own.into_iter().map(|tag| shortened(tag, 2)).collect();
        own.sort_unstable();
        own.dedup();
        let (own, peer) = (collected(&own, Order::Tag), collected(&peer, Order::Tag));
        let mut n_found = 0;
        compare(own, peer, 2, |_| n_found += 1).unwrap();
        // 200 tags, each of which is free of 20 000 others with probability (1 − 2^−16)^20000 =
        // 0.737: 52.6 are found, give or take six times 6.2.
        assert!((15..=90).contains(&n_found), "{n_found}");
    }

    #[test]
    fn entries_survive_a_file() {
        let entry = Entry {
            tag: u128::MAX / 3,
            position: u64::MAX / 5,
        };
        assert!(Entry::from_bytes(&entry.to_bytes()) == entry);
        assert_eq!(shortened(u128::MAX, 16), u128::MAX);
        assert_eq!(shortened(u128::MAX, 5), u128::MAX << 88);
    }
}
