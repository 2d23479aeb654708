//! Sets of items in a store: for tables that are larger than memory.
//!
//! Rows go into sorted runs, which are merged whenever the items are asked for: each different one
//! comes once, in ascending order. In memory are one run, or a page of each.

use super::Item;
use super::ecdh::Spilled;
use super::tags::{Collection, Entries, Entry, Order, StoreError, TagStore};
use engine::prg::Seed;

/// Rows on their way into a set.
pub struct SetWriter {
    all: Collection,
    n_rows: u64,
    n_missing: u64,
}

impl SetWriter {
    /// Nothing yet.
    pub fn new(store: Box<dyn TagStore>) -> Self {
        Self {
            all: Collection::new(store, Order::Tag),
            n_rows: 0,
            n_missing: 0,
        }
    }

    /// Adds rows; `None` stands for one without a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn add(&mut self, rows: impl Iterator<Item = Option<Item>>) -> Result<(), StoreError> {
        let (n_rows, n_missing) = (&mut self.n_rows, &mut self.n_missing);
        let entries = rows.filter_map(|item| {
            *n_rows += 1;
            *n_missing += u64::from(item.is_none());
            Some(Entry {
                tag: u128::from_be_bytes(item?),
                position: 0,
            })
        });
        self.all.add(entries)
    }

    /// The set of these rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn finish(self) -> Result<StoredSet, StoreError> {
        let mut set = StoredSet {
            entries: self.all.finish()?,
            n_items: 0,
            n_duplicates: 0,
            n_missing: self.n_missing,
        };
        let n_items = set.each().try_fold(0, |n, item| item.map(|_| n + 1))?;
        set.n_items = n_items;
        set.n_duplicates = self.n_rows - self.n_missing - n_items as u64;
        Ok(set)
    }
}

/// The distinct items of a column, and what only its owner learns about the column.
pub struct StoredSet {
    entries: Entries,
    n_items: usize,
    n_duplicates: u64,
    n_missing: u64,
}

impl StoredSet {
    /// The number of items.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// The number of rows whose item another row has, too.
    pub fn n_duplicates(&self) -> u64 {
        self.n_duplicates
    }

    /// The number of rows without a key.
    pub fn n_missing(&self) -> u64 {
        self.n_missing
    }

    /// All items in an order of their own, by way of another store. See [`Spilled`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn shuffled(
        &mut self,
        seed: &Seed,
        store: Box<dyn TagStore>,
    ) -> Result<Spilled, StoreError> {
        self.entries.rewind()?;
        Spilled::of(self.each(), seed, store)
    }

    /// The items from here on, ascending.
    fn each(&mut self) -> impl Iterator<Item = Result<Item, StoreError>> {
        let mut last = None;
        std::iter::from_fn(move || {
            loop {
                let Entry { tag, .. } = match self.entries.next() {
                    Ok(entry) => entry?,
                    Err(error) => return Some(Err(error)),
                };
                if last.replace(tag) != Some(tag) {
                    return Some(Ok(tag.to_be_bytes()));
                }
            }
        })
    }
}
