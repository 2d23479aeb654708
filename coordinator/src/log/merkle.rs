//! The Merkle tree of RFC 6962 (Certificate Transparency), with SHA-256.
//!
//! Section 2.1 defines root and proofs. Verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, which says the
//! same of trees of this shape and spells the verifier's steps out.

use sha2::{Digest as _, Sha256};

use crate::contract::Digest;

/// The hash of an entry: `SHA-256(0x00 || entry)`.
pub fn leaf(entry: &[u8]) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([0])
            .chain_update(entry)
            .finalize()
            .into(),
    )
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let hash = Sha256::new().chain_update([1]);
    Digest(
        hash.chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The largest power of two below `n`, for `n` ≥ 2.
fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// A tree that grows. Every full subtree's root is kept, so that a proof costs as many hashes as it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The roots of full subtrees, from left to right: of single leaves, of pairs, of fours, …
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.n_leaves() as u64
    }

    fn n_leaves(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// Adds a leaf on the right: two hashes on the average.
    pub fn push(&mut self, leaf: Digest) {
        let mut full = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let roots = &mut self.levels[level];
            roots.push(full);
            if roots.len() % 2 == 1 {
                return;
            }
            full = node(&roots[roots.len() - 2], &full);
        }
    }

    /// Leaves the first `size` leaves, if there are more.
    pub fn truncate(&mut self, size: u64) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        for (level, roots) in self.levels.iter_mut().enumerate() {
            roots.truncate(size >> level);
        }
        self.levels.retain(|roots| !roots.is_empty());
    }

    /// The root of what is there.
    pub fn root(&self) -> Digest {
        self.over(0, self.n_leaves())
    }

    /// The root when there were `size` leaves; none if there never were so many.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        let size = usize::try_from(size).ok().filter(|n| *n <= self.n_leaves());
        size.map(|size| self.over(0, size))
    }

    /// The root over `n` leaves from `start` on, where no full subtree that it needs begins before.
    fn over(&self, start: usize, n: usize) -> Digest {
        match n {
            0 => Digest(Sha256::digest([]).into()),
            n if n.is_power_of_two() => {
                let level = n.trailing_zeros();
                self.levels[level as usize][start >> level]
            }
            n => {
                let k = split(n);
                node(&self.over(start, k), &self.over(start + k, n - k))
            }
        }
    }

    /// That the leaf at `index` is in the tree: the hashes beside its way to the root, from below. RFC 6962, 2.1.1.
    ///
    /// # Panics
    /// If there is no leaf at `index`.
    pub fn inclusion(&self, index: u64) -> Vec<Digest> {
        assert!(index < self.size(), "no such leaf");
        let (mut start, mut n) = (0, self.n_leaves());
        let index = usize::try_from(index).expect("below the number of leaves");
        let mut path = Vec::new();
        while n > 1 {
            let k = split(n);
            if index < start + k {
                path.push(self.over(start + k, n - k));
                n = k;
            } else {
                path.push(self.over(start, k));
                (start, n) = (start + k, n - k);
            }
        }
        path.reverse();
        path
    }

    /// That the tree of the first `old` leaves is the beginning of this one. RFC 6962, 2.1.2.
    ///
    /// # Panics
    /// If `old` is nought or more than there are.
    pub fn consistency(&self, old: u64) -> Vec<Digest> {
        assert!(0 < old && old <= self.size(), "no such tree");
        let mut old = usize::try_from(old).expect("at most the number of leaves");
        let (mut start, mut n) = (0, self.n_leaves());
        let mut path = Vec::new();
        while old < n {
            let k = split(n);
            if old <= k {
                path.push(self.over(start + k, n - k));
                n = k;
            } else {
                path.push(self.over(start, k));
                (start, n, old) = (start + k, n - k, old - k);
            }
        }
        // The old tree's own root is known to the verifier, and need not be told.
        if start > 0 {
            path.push(self.over(start, n));
        }
        path.reverse();
        path
    }
}

/// Whether `path` shows `leaf` at `index` of a tree of `size` leaves with this root. RFC 9162, 2.1.3.2.
pub fn is_included(leaf: &Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node(beside, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` shows that a tree of `old` leaves is the beginning of one of `new`. RFC 9162, 2.1.4.2.
pub fn is_consistent(
    (old, old_root): (u64, &Digest),
    (new, new_root): (u64, &Digest),
    path: &[Digest],
) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    // Of a full old tree the root itself begins the path.
    let whole = old.is_power_of_two().then_some(old_root);
    let mut path = whole.into_iter().chain(path);
    let Some(first) = path.next() else {
        return false;
    };
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut before, mut after) = (*first, *first);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            before = node(beside, &before);
            after = node(beside, &after);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            after = node(&after, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old_root && after == *new_root
}

#[cfg(test)]
mod audit_merkle {
    use super::*;

    fn leaves(n: usize) -> Vec<Digest> {
        (0..n).map(|i| leaf(format!("e{i}").as_bytes())).collect()
    }

    fn tree(leaves: &[Digest]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    fn root(leaves: &[Digest]) -> Digest {
        tree(leaves).root()
    }

    /// Computed for this project with another implementation: entries `e0` to `e4`.
    #[test]
    fn the_roots_are_those_of_the_standard() {
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "956ae51bd3e285ccb826298dd523dd08824ce5579749994f2e0021737b9dd4b8",
            "718fa0369d7475099bc6cb4327e3823a4972285f92bd49971a583c9f08ffb68d",
            "64b249c4e0606e3d9742c49bfd57cd1e3eb170f5ccefa26ea045ca193d64a75f",
            "95669b376bc4e3544da09825e59ae202a35ac0fc5e5809a2ca63d81e89d17d6c",
            "e14e43627e473070de926fe026cc670820e60288089abd1f95f83f42fe81f7ab",
        ];
        for (n, expected) in roots.iter().enumerate() {
            assert_eq!(root(&leaves(n)).to_string(), *expected, "{n} entries");
        }
        let path = [
            "d5bdb58a19173a6a0111df3f1f62dbaa00e44221e0f09b47489812a010cd5314",
            "718fa0369d7475099bc6cb4327e3823a4972285f92bd49971a583c9f08ffb68d",
            "8e1f887cfc7c7a5e43f202daf67d99ae8f8fd4b33a6b251bcf9f5d83476303ea",
        ];
        let proof = tree(&leaves(5)).inclusion(2);
        let proof: Vec<String> = proof.iter().map(Digest::to_string).collect();
        assert_eq!(proof, path);
    }

    /// The definition of RFC 6962, 2.1, word for word.
    fn defined(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest(Sha256::digest([]).into()),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn every_entry_of_every_size_is_proved_and_no_other_place_is() {
        for n in 1..=256 {
            let leaves = leaves(n);
            let tree = tree(&leaves);
            let root = tree.root();
            assert_eq!(root, defined(&leaves), "{n} entries");
            for (i, leaf) in leaves.iter().enumerate() {
                let (at, size) = (i as u64, n as u64);
                let path = tree.inclusion(at);
                assert!(is_included(leaf, at, size, &path, &root), "{i} of {n}");
                let other = leaves[(i + 1) % n];
                assert!(n == 1 || !is_included(&other, at, size, &path, &root));
                let elsewhere = (at + 1) % size;
                assert!(n == 1 || !is_included(leaf, elsewhere, size, &path, &root));
                let longer = [&path[..], &[root]].concat();
                assert!(!is_included(leaf, at, size, &longer, &root));
                assert!(path.is_empty() || !is_included(leaf, at, size, &path[1..], &root));
            }
        }
    }

    #[test]
    fn every_tree_is_the_beginning_of_every_longer_one_and_no_other_is() {
        for n in 1..=256 {
            let leaves = leaves(n);
            let tree = tree(&leaves);
            let new = (n as u64, &tree.root());
            for old in 1..=n {
                let path = tree.consistency(old as u64);
                let old_root = root(&leaves[..old]);
                assert_eq!(tree.root_at(old as u64), Some(old_root));
                let mut cut = tree.clone();
                cut.truncate(old as u64);
                assert_eq!(cut, self::tree(&leaves[..old]));
                assert!(is_consistent((old as u64, &old_root), new, &path));
                let mut changed = leaves[..old].to_vec();
                changed[old / 2] = leaf(b"changed");
                let changed = root(&changed);
                assert!(!is_consistent((old as u64, &changed), new, &path));
                let longer = [&path[..], &[old_root]].concat();
                assert!(!is_consistent((old as u64, &old_root), new, &longer));
            }
        }
    }
}
