//! Correlations of one kind, in the parts in which they were prepared.
//!
//! What a seed gives is not kept but made when it is used: in the cache, if it is used chunk by chunk, and without
//! taking up memory in between.

use super::recipe::Columns;
use super::stock::check_count;
use super::{BitPairs, BitTriples, DaBits, EdaBits, Muxes, Scalings, Tables, Triples, Truncs};
use crate::error::ProtocolError;
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroize;

/// Makes the items of a range.
pub(super) type Opener<T> = Arc<dyn Fn(Range<usize>) -> T + Send + Sync>;

/// Some items in a row.
enum Part<T> {
    Made(T),
    Sealed {
        items: Range<usize>,
        open: Opener<T>,
    },
}

impl<T: Items> Part<T> {
    fn n_items(&self) -> usize {
        match self {
            Self::Made(part) => part.n_items(),
            Self::Sealed { items, .. } => items.len(),
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Made(part) => Self::Made(part.split_off(at)),
            Self::Sealed { items, open } => {
                let end = mem::replace(&mut items.end, items.start + at);
                Self::Sealed {
                    items: items.end..end,
                    open: open.clone(),
                }
            }
        }
    }

    /// Some of the items; nobody may ask for one twice.
    fn get(&self, range: Range<usize>) -> T {
        match self {
            Self::Made(part) => part.copied(range),
            Self::Sealed { items, open } => {
                open(items.start + range.start..items.start + range.end)
            }
        }
    }

    fn into_made(self) -> T {
        match self {
            Self::Made(part) => part,
            Self::Sealed { items, open } => open(items),
        }
    }
}

/// All that is left of one kind. Taking whole parts copies nothing.
pub(super) struct Shelf<T> {
    parts: Vec<Part<T>>,
    n_items: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            n_items: 0,
        }
    }
}

impl<T: Items> Shelf<T> {
    pub(super) fn n_items(&self) -> usize {
        self.n_items
    }

    fn put(&mut self, part: Part<T>) {
        self.n_items += part.n_items();
        self.parts.push(part);
    }

    pub(super) fn add(&mut self, part: T) {
        self.put(Part::Made(part));
    }

    /// Adds items that are made when they are used; `n_items` and ranges count what [`Items::UNIT`] counts.
    pub(super) fn add_sealed<R: Ring>(&mut self, n_items: usize, open: Opener<Columns<R>>)
    where
        T: From<Columns<R>> + 'static,
    {
        let unit = T::UNIT as usize;
        let open = move |items: Range<usize>| open(unit * items.start..unit * items.end).into();
        self.put(Part::Sealed {
            items: 0..n_items / unit,
            open: Arc::new(open),
        });
    }

    /// Takes the last items out, in their order: which ones they are does not depend on the parts.
    pub(super) fn take(
        &mut self,
        kind: &'static str,
        n_items: usize,
    ) -> Result<Batch<T>, ProtocolError> {
        let (needed, left) = (n_items as u64 * T::UNIT, self.n_items as u64 * T::UNIT);
        check_count(kind, needed, left)?;
        self.n_items -= n_items;
        let mut parts = VecDeque::new();
        let mut missing = n_items;
        while missing > 0 {
            let mut part = self.parts.pop().expect("the parts have as many items");
            let n_items = part.n_items();
            if n_items > missing {
                parts.push_front(part.split_off(n_items - missing));
                self.parts.push(part);
                break;
            }
            missing -= n_items;
            parts.push_front(part);
        }
        Ok(Batch { parts, used: 0 })
    }
}

/// Items that were taken, to be used from the first to the last.
pub(crate) struct Batch<T> {
    parts: VecDeque<Part<T>>,
    /// Items of the first part that were used.
    used: usize,
}

impl<T: Items> Batch<T> {
    /// The next items.
    ///
    /// # Panics
    ///
    /// If fewer were taken.
    pub(crate) fn next(&mut self, n_items: usize) -> T {
        let first = self.next_of_part(n_items);
        let mut missing = n_items - first.n_items();
        if missing == 0 {
            return first;
        }
        let mut all = first.with_room(n_items);
        while missing > 0 {
            let next = self.next_of_part(missing);
            missing -= next.n_items();
            all.append(next);
        }
        all
    }

    /// At most so many, and at least one if there are any.
    fn next_of_part(&mut self, n_items: usize) -> T {
        if n_items == 0 {
            return T::empty();
        }
        let part = self.parts.front().expect("as many as were taken");
        let range = self.used..part.n_items().min(self.used + n_items);
        let next = part.get(range.clone());
        self.used = range.end;
        if self.used == part.n_items() {
            self.parts.pop_front();
            self.used = 0;
        }
        next
    }

    /// All of them, none of which has been used.
    pub(super) fn whole(mut self) -> T {
        let n_items = self.parts.iter().map(Part::n_items).sum();
        let Some(first) = self.parts.pop_front() else {
            return T::empty();
        };
        let mut all = first.into_made();
        if !self.parts.is_empty() {
            all = all.with_room(n_items);
        }
        for part in self.parts {
            all.append(part.into_made());
        }
        all
    }
}

/// A batch of correlations of one kind, or a column of it.
pub(crate) trait Items: Sized {
    /// How many an item counts for in errors: packed bits are taken in words of 64.
    const UNIT: u64 = 1;
    fn n_items(&self) -> usize;
    fn split_off(&mut self, at: usize) -> Self;
    fn copied(&self, items: Range<usize>) -> Self;
    fn empty() -> Self;
    /// The same items, with room for so many in all: what grows would leave copies behind.
    fn with_room(self, n_items: usize) -> Self;
    /// Puts items after those that are there, if there is room.
    fn append(&mut self, part: Self);
}

impl<R: Ring> Items for Share<R> {
    fn n_items(&self) -> usize {
        self.len()
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self::split_off(self, at)
    }

    fn copied(&self, items: Range<usize>) -> Self {
        Self::new(self.as_slice()[items].to_vec())
    }

    fn empty() -> Self {
        Self::zero(0)
    }

    fn with_room(self, n_items: usize) -> Self {
        let mut values = Vec::with_capacity(n_items);
        values.extend_from_slice(self.as_slice());
        Self::new(values)
    }

    fn append(&mut self, part: Self) {
        let mut values = mem::replace(self, Self::zero(0)).into_vec();
        values.extend_from_slice(part.as_slice());
        *self = Self::new(values);
    }
}

impl Items for BitShare {
    fn n_items(&self) -> usize {
        self.n_bits()
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self::split_off(self, at)
    }

    fn copied(&self, items: Range<usize>) -> Self {
        let words = bits::range(self.as_words(), items.start, items.len());
        Self::from_words(items.len(), words)
    }

    fn empty() -> Self {
        Self::zero(0)
    }

    fn with_room(self, n_items: usize) -> Self {
        let mut words = Vec::with_capacity(bits::words_for(n_items));
        words.extend_from_slice(self.as_words());
        Self::from_words(self.n_bits(), words)
    }

    fn append(&mut self, part: Self) {
        let at = self.n_bits();
        let n_bits = at + part.n_bits();
        let mut words = mem::replace(self, Self::zero(0)).into_words();
        words.resize(bits::words_for(n_bits), 0);
        bits::or_at(&mut words, at, part.as_words());
        *self = Self::from_words(n_bits, words);
    }
}

macro_rules! plain_columns {
    ($($element:ty),+) => {$(
        impl Items for Vec<$element> {
            fn n_items(&self) -> usize {
                self.len()
            }

            fn split_off(&mut self, at: usize) -> Self {
                Self::split_off(self, at)
            }

            fn copied(&self, items: Range<usize>) -> Self {
                self[items].to_vec()
            }

            fn empty() -> Self {
                Self::new()
            }

            fn with_room(mut self, n_items: usize) -> Self {
                let mut all = Self::with_capacity(n_items);
                all.extend_from_slice(&self);
                self.zeroize();
                all
            }

            fn append(&mut self, mut part: Self) {
                self.extend_from_slice(&part);
                part.zeroize();
            }
        }
    )+};
}

plain_columns! { u64, u32, u8 }

/// Vectors of which several stand side by side.
trait Vectors: Items {}

impl Vectors for BitShare {}

impl<R: Ring> Vectors for Share<R> {}

/// The planes of elements with shared bits, or the columns of rows. All parts have the same number of them.
impl<T: Vectors> Items for Vec<T> {
    fn n_items(&self) -> usize {
        self.first().map_or(0, T::n_items)
    }

    fn split_off(&mut self, at: usize) -> Self {
        let vectors = self.iter_mut();
        vectors.map(|vector| Items::split_off(vector, at)).collect()
    }

    fn copied(&self, items: Range<usize>) -> Self {
        let vectors = self.iter();
        vectors.map(|vector| vector.copied(items.clone())).collect()
    }

    fn empty() -> Self {
        Self::new()
    }

    fn with_room(self, n_items: usize) -> Self {
        let vectors = self.into_iter();
        vectors.map(|vector| vector.with_room(n_items)).collect()
    }

    fn append(&mut self, part: Self) {
        for (vector, part) in self.iter_mut().zip(part) {
            Items::append(vector, part);
        }
    }
}

macro_rules! columns {
    ($($name:ty [$($generic:tt)*] $unit:literal: $first:ident $(, $column:ident)*;)+) => {$(
        impl $($generic)* Items for $name {
            const UNIT: u64 = $unit;

            fn n_items(&self) -> usize {
                let n_items = self.$first.n_items();
                assert!(true $(&& self.$column.n_items() == n_items)*, "vectors of unequal length");
                n_items
            }

            fn split_off(&mut self, at: usize) -> Self {
                Self {
                    $first: Items::split_off(&mut self.$first, at),
                    $($column: Items::split_off(&mut self.$column, at),)*
                }
            }

            fn copied(&self, items: Range<usize>) -> Self {
                Self {
                    $($column: self.$column.copied(items.clone()),)*
                    $first: self.$first.copied(items),
                }
            }

            fn empty() -> Self {
                Self {
                    $first: Items::empty(),
                    $($column: Items::empty(),)*
                }
            }

            fn with_room(mut self, n_items: usize) -> Self {
                Self {
                    $first: mem::replace(&mut self.$first, Items::empty()).with_room(n_items),
                    $($column: mem::replace(&mut self.$column, Items::empty()).with_room(n_items),)*
                }
            }

            fn append(&mut self, mut part: Self) {
                Items::append(&mut self.$first, mem::replace(&mut part.$first, Items::empty()));
                $(Items::append(&mut self.$column, mem::replace(&mut part.$column, Items::empty()));)*
            }
        }
    )+};
}

columns! {
    BitTriples [] 64: a, b, c;
    BitPairs [] 64: a, b, c, ab, ac;
    Tables [] 1: words, indices;
    Triples<R> [<R: Ring>] 1: a, b, c;
    DaBits<R> [<R: Ring>] 1: bits, arith;
    EdaBits<R> [<R: Ring>] 1: r, planes;
    Truncs<R> [<R: Ring>] 1: r, u, top;
    Muxes<R> [<R: Ring>] 1: bits, bits_arith, a, bits_times_a;
    Scalings<R> [<R: Ring>] 1: factor, columns, products;
}
