//! Trees of thousands of leaves, of which one side knows all and the other all but one.
//!
//! Goldreich, Goldwasser and Micali's tree, with a fixed-key permutation in place of a key schedule
//! for every node. Two kinds:
//!
//! * [`Branching::Correlated`]: half-tree (Guo et al., 2022/1431, figure 3). On every level all
//!   nodes add up to one Δ, so one block a level is enough to puncture the tree;
//! * [`Branching::Plain`]: two permutations, no correlation.
//!
//! Keys of the permutations are public and differ from tree to tree, so that what an attacker
//! computes against one tree helps against no other.
//!
//! Leaf x is reached by the bits of x, the highest first. A tree may have fewer leaves than its
//! depth allows: then nodes without a leaf below them are left out on every level.

use crate::block::Block;
use crate::cipher::Aes128;
use zeroize::Zeroize;

/// How a node becomes two.
pub(crate) enum Branching {
    /// The children add up to their parent.
    Correlated(Aes128),
    /// The left and the right child are independent.
    Plain([Aes128; 2]),
}

impl Branching {
    /// The correlated kind for one tree. `keys` is a generator under a public key.
    pub(crate) fn correlated(keys: &Aes128, stream: u64, tree: u64) -> Self {
        let mut key = [[0; 16]];
        keys.keystream(stream, tree, &mut key);
        Self::Correlated(Aes128::new(&key[0]))
    }

    /// The plain kind for one tree. `keys` is a generator under a public key.
    pub(crate) fn plain(keys: &Aes128, stream: u64, tree: u64) -> Self {
        let mut pair = [[0; 16]; 2];
        keys.keystream(stream, 2 * tree, &mut pair);
        Self::Plain(pair.map(|key| Aes128::new(&key)))
    }

    /// Makes one level from the one above. Returns the sums of all left and of all right nodes.
    fn expand(&self, parents: &[Block], children: &mut [Block]) -> [Block; 2] {
        let parents = bytemuck::cast_slice(parents);
        let children = bytemuck::cast_slice_mut(children);
        let sums = match self {
            Self::Correlated(cipher) => cipher.half_children(parents, children),
            Self::Plain([left, right]) => Aes128::children(left, right, parents, children),
        };
        sums.map(Block::from_bytes)
    }
}

/// Room for two levels, used for one tree after the other.
pub(crate) struct Scratch([Vec<Block>; 2]);

/// The form of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    n_leaves: usize,
    depth: usize,
}

impl Shape {
    /// A tree with this many leaves, and no deeper than it must be.
    ///
    /// # Panics
    ///
    /// If there are fewer than two leaves.
    pub(crate) const fn new(n_leaves: usize) -> Self {
        assert!(n_leaves >= 2, "a tree branches");
        let depth = n_leaves.next_power_of_two().trailing_zeros() as usize;
        Self { n_leaves, depth }
    }

    pub(crate) const fn depth(self) -> usize {
        self.depth
    }

    /// Nodes on a level that have a leaf below them.
    fn width(self, level: usize) -> usize {
        self.n_leaves.div_ceil(1 << (self.depth - level))
    }

    pub(crate) fn scratch(self) -> Scratch {
        let widest = self.width(self.depth - 1).max(2);
        Scratch([(); 2].map(|()| vec![Block::ZERO; widest]))
    }

    /// All leaves, from the two nodes of the first level. `sums[l]` becomes the sums of the left and
    /// of the right nodes on level l + 1.
    ///
    /// # Panics
    ///
    /// If `leaves` and `sums` do not have the tree's size.
    pub(crate) fn grow(
        self,
        branching: &Branching,
        first: [Block; 2],
        leaves: &mut [Block],
        sums: &mut [[Block; 2]],
        scratch: &mut Scratch,
    ) {
        assert_eq!(sums.len(), self.depth, "one pair of sums for each level");
        sums[0] = first;
        self.climb(leaves, scratch, |level, parents, children| {
            if level == 1 {
                children.copy_from_slice(&first);
            } else {
                sums[level - 1] = branching.expand(parents, children);
            }
        });
    }

    /// All leaves but leaf `missing`, which becomes zero. `leaving[l]` is the sum of those nodes of
    /// level l + 1 that are on the other side than `missing`'s ancestor. Returns the sum of all
    /// leaves that are known.
    ///
    /// # Panics
    ///
    /// If `leaves`, `leaving` and `missing` do not fit the tree.
    pub(crate) fn regrow(
        self,
        branching: &Branching,
        missing: usize,
        leaving: &[Block],
        leaves: &mut [Block],
        scratch: &mut Scratch,
    ) -> Block {
        assert_eq!(leaving.len(), self.depth, "one sum for each level");
        assert!(
            missing < self.n_leaves,
            "the missing leaf is one of the tree's"
        );
        let mut known = Block::ZERO;
        self.climb(leaves, scratch, |level, parents, children| {
            let sums = if level == 1 {
                children.fill(Block::ZERO);
                [Block::ZERO; 2]
            } else {
                branching.expand(parents, children)
            };
            // The unknown parent is zero, and its children are made from that: wrong, and counted.
            let ancestor = missing >> (self.depth - level);
            let sibling = ancestor ^ 1;
            known = sums[0] ^ sums[1] ^ children[ancestor];
            children[ancestor] = Block::ZERO;
            if let Some(node) = children.get_mut(sibling) {
                let error = leaving[level - 1] ^ sums[sibling & 1];
                *node ^= error;
                known ^= error;
            }
        });
        known
    }

    /// Calls `make` for each level from the first to the leaves, with the nodes above and the place
    /// for these.
    fn climb(
        self,
        leaves: &mut [Block],
        scratch: &mut Scratch,
        mut make: impl FnMut(usize, &[Block], &mut [Block]),
    ) {
        assert_eq!(leaves.len(), self.n_leaves, "one place for each leaf");
        let [mut above, mut here] = scratch.0.each_mut();
        let mut parents = 0;
        for level in 1..self.depth {
            let width = self.width(level);
            make(level, &above[..parents], &mut here[..width]);
            (above, here) = (here, above);
            parents = width;
        }
        make(self.depth, &above[..parents], leaves);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Prg, Seed};

    /// Every leaf of small trees, some of bigger ones: with the sums of the levels a punctured tree
    /// has all leaves but one, and knows their sum.
    #[test]
    fn a_punctured_tree_has_all_leaves_but_one() {
        println!("seed [3; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([3; 32]), 0);
        let keys = Aes128::new(&[7; 16]);
        for n_leaves in (2..20).chain([63, 64, 65, 100, 1000, 1024, 1025, 5000]) {
            let shape = Shape::new(n_leaves);
            let branchings = [
                Branching::correlated(&keys, 0, 5),
                Branching::plain(&keys, 0, 5),
            ];
            for branching in &branchings {
                let mut first = [0; 2];
                prg.fill_ring(&mut first);
                let first = first.map(Block);
                let mut scratch = shape.scratch();
                let mut leaves = vec![Block::ZERO; n_leaves];
                let mut sums = vec![[Block::ZERO; 2]; shape.depth()];
                shape.grow(branching, first, &mut leaves, &mut sums, &mut scratch);
                for missing in [0, 1, n_leaves / 2, n_leaves - 2, n_leaves - 1] {
                    let side = |l: usize| (missing >> (shape.depth() - 1 - l) & 1) ^ 1;
                    let leaving: Vec<_> = (0..shape.depth()).map(|l| sums[l][side(l)]).collect();
                    let mut known = vec![Block(1); n_leaves];
                    let sum = shape.regrow(branching, missing, &leaving, &mut known, &mut scratch);
                    let mut expected = leaves.clone();
                    expected[missing] = Block::ZERO;
                    assert!(known == expected, "{n_leaves} leaves without {missing}");
                    assert!(sum == expected.iter().fold(Block::ZERO, |sum, leaf| sum ^ *leaf));
                }
            }
        }
    }

    #[test]
    fn levels_of_a_correlated_tree_add_up_to_the_same() {
        let shape = Shape::new(256);
        let branching = Branching::correlated(&Aes128::new(&[8; 16]), 1, 2);
        let first = [Block(0x1234 << 70), Block(0x9876)];
        let (mut leaves, mut sums) = (vec![Block::ZERO; 256], vec![[Block::ZERO; 2]; 8]);
        shape.grow(
            &branching,
            first,
            &mut leaves,
            &mut sums,
            &mut shape.scratch(),
        );
        assert!(sums.iter().all(|[l, r]| *l ^ *r == first[0] ^ first[1]));
        let mut distinct: Vec<u128> = leaves.iter().map(|leaf| leaf.0).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 256);
    }
}
