//! Comparing sets by short tags of their items.
//!
//! A tag is the low bytes of a pseudo-random value. One side sends its tags in ascending order, which
//! says nothing about the order of its items; the other looks its own up.

use crate::block::Block;
use rayon::prelude::*;

/// Tags that are looked up together.
const BATCH: usize = 64;

/// Longest tag.
pub const MAX_BYTES: usize = Block::BYTES;

/// The tags of some values, in ascending order.
///
/// # Panics
///
/// If a tag has no bytes, or more than [`MAX_BYTES`].
pub fn ascending(values: &[Block], tag_bytes: usize) -> Vec<u128> {
    let mask = mask(tag_bytes);
    let mut tags: Vec<u128> = values.par_iter().map(|value| value.0 & mask).collect();
    tags.par_sort_unstable();
    tags
}

/// Writes tags one after the other, each in `tag_bytes` bytes.
pub fn to_bytes(tags: &[u128], tag_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(tags.len() * tag_bytes);
    for tag in tags {
        bytes.extend_from_slice(&tag.to_le_bytes()[..tag_bytes]);
    }
    bytes
}

/// Tags that arrive in ascending order, to be looked up.
pub struct TagList {
    tag_bytes: usize,
    tags: Vec<u128>,
}

/// Tags that are not in strictly ascending order: one was repeated, or they were not sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tags are not in ascending order")]
pub struct NotAscending;

impl TagList {
    /// An empty list with room for `n` tags.
    ///
    /// # Panics
    ///
    /// If a tag has no bytes, or more than [`MAX_BYTES`].
    pub fn new(tag_bytes: usize, n: usize) -> Self {
        mask(tag_bytes);
        Self {
            tag_bytes,
            tags: Vec::with_capacity(n),
        }
    }

    /// Adds the next tags, written by [`to_bytes`].
    ///
    /// # Errors
    ///
    /// [`NotAscending`].
    ///
    /// # Panics
    ///
    /// If there is a part of a tag.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), NotAscending> {
        let tags = bytes.chunks_exact(self.tag_bytes);
        assert!(tags.remainder().is_empty(), "whole tags");
        for tag in tags {
            let mut block = [0; Block::BYTES];
            block[..self.tag_bytes].copy_from_slice(tag);
            let tag = u128::from_le_bytes(block);
            if self.tags.last().is_some_and(|last| *last >= tag) {
                return Err(NotAscending);
            }
            self.tags.push(tag);
        }
        Ok(())
    }

    /// The places of those values whose tags are in the list, in ascending order.
    ///
    /// # Panics
    ///
    /// If there are 2^32 values or tags.
    pub fn matches(&self, values: &[Block]) -> Vec<u32> {
        assert!(
            u32::try_from(values.len().max(self.tags.len())).is_ok(),
            "places are 32 bits"
        );
        let mask = mask(self.tag_bytes);
        let index = Index::new(self);
        let found = values
            .par_chunks(BATCH)
            .enumerate()
            .flat_map_iter(|(batch, values)| {
                let mut tags = [0; BATCH];
                let tags = &mut tags[..values.len()];
                for (tag, value) in tags.iter_mut().zip(values) {
                    *tag = value.0 & mask;
                }
                let first = (batch * BATCH) as u32;
                let places = (first..).zip(index.contain(tags));
                places
                    .filter(|(_, is_found)| *is_found)
                    .map(|(place, _)| place)
            });
        found.collect()
    }
}

/// Where in the list tags with the same highest bits begin: about one tag each, because tags are
/// uniform.
struct Index<'a> {
    tags: &'a [u128],
    starts: Vec<u32>,
    shift: usize,
}

impl<'a> Index<'a> {
    fn new(list: &'a TagList) -> Self {
        let tags = &list.tags;
        let n_bits = 8 * list.tag_bytes;
        let log_buckets = (tags.len().max(1).ilog2() as usize).min(n_bits);
        let shift = n_bits - log_buckets;
        let mut starts = vec![0; (1 << log_buckets) + 1];
        let mut bucket = 0;
        for (place, tag) in (0..).zip(tags) {
            let own = bucket_of(*tag, shift);
            while bucket < own {
                bucket += 1;
                starts[bucket] = place;
            }
        }
        starts[bucket + 1..].fill(tags.len() as u32);
        Self {
            tags,
            starts,
            shift,
        }
    }

    /// Which of some tags are in the list. Memory is read in two passes, of which each has many
    /// reads under way at once.
    fn contain(&self, tags: &[u128]) -> [bool; BATCH] {
        let mut candidates = [(0, 0, 0); BATCH];
        for (candidate, tag) in candidates.iter_mut().zip(tags) {
            let bucket = bucket_of(*tag, self.shift);
            let (start, end) = (self.starts[bucket], self.starts[bucket + 1]);
            let first = self.tags.get(start as usize).copied().unwrap_or(0);
            *candidate = (start, end, first);
        }
        let mut found = [false; BATCH];
        for ((found, tag), (start, end, first)) in found.iter_mut().zip(tags).zip(candidates) {
            let is_in = |range: std::ops::Range<u32>| {
                self.tags[range.start as usize..range.end as usize].contains(tag)
            };
            *found = start < end && (first == *tag || is_in(start + 1..end));
        }
        found
    }
}

fn bucket_of(tag: u128, shift: usize) -> usize {
    tag.checked_shr(shift as u32).unwrap_or(0) as usize
}

fn mask(tag_bytes: usize) -> u128 {
    assert!(
        (1..=MAX_BYTES).contains(&tag_bytes),
        "a tag has 1 to 16 bytes"
    );
    u128::MAX >> (128 - 8 * tag_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Prg, Seed};

    #[test]
    fn matches_are_those_of_a_naive_search() {
        println!("seed [6; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([6; 32]), 0);
        for tag_bytes in [1, 2, 8, 10, 15, 16] {
            for (n_own, n_theirs) in [(0, 0), (0, 3), (3, 0), (1, 1), (100, 37), (1000, 5000)] {
                let mut draw = |n: usize| {
                    let mut values = vec![0u128; n];
                    prg.fill_ring(&mut values);
                    values.into_iter().map(Block).collect::<Vec<_>>()
                };
                let (own, mut theirs) = (draw(n_own), draw(n_theirs));
                for (a, b) in theirs.iter_mut().zip(own.iter().step_by(3)) {
                    *a = *b;
                }
                let mut tags = ascending(&theirs, tag_bytes);
                tags.dedup();
                let mut list = TagList::new(tag_bytes, tags.len());
                for part in tags.chunks(50) {
                    list.extend(&to_bytes(part, tag_bytes)).unwrap();
                }
                let mask = mask(tag_bytes);
                let naive: Vec<u32> = (0..)
                    .zip(&own)
                    .filter(|(_, value)| theirs.iter().any(|t| t.0 & mask == value.0 & mask))
                    .map(|(place, _)| place)
                    .collect();
                assert_eq!(
                    list.matches(&own),
                    naive,
                    "{tag_bytes} bytes, {n_own} and {n_theirs}"
                );
            }
        }
    }

    #[test]
    fn repeated_and_unsorted_tags_are_refused() {
        let mut list = TagList::new(2, 4);
        assert_eq!(list.extend(&to_bytes(&[3, 500], 2)), Ok(()));
        for bad in [500, 499] {
            assert_eq!(list.extend(&to_bytes(&[bad], 2)), Err(NotAscending));
        }
        assert_eq!(list.extend(&to_bytes(&[501], 2)), Ok(()));
    }
}
