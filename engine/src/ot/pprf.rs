//! Punctured trees: one side knows all 16 leaves, the other all but one of its choice.
//!
//! Goldreich, Goldwasser and Micali's tree of depth k = 4, punctured with one OT a level (Doerner
//! and shelat, 2017/827; Boyle et al., 2019/1159), as SoftSpoken OT uses it. The tree has no root:
//! the two nodes of the first level are the two keys of the first OT, which saves a correction.
//!
//! Bit b of a leaf's index is decided with OT b, the highest bit first. With α the missing leaf's
//! index, the choice in OT b is the *complement* of bit b of α: on every level the puncturing side
//! learns the XOR of all nodes that branch away from α's path last.
//!
//! The puncturing side numbers nodes relative to α: its node y is the other side's node y ⊕ α. So
//! the missing node is number 0 on every level, and no memory access depends on α.

use crate::block::Block;
use crate::cipher::Aes128;
use crate::params::{SOFTSPOKEN_K as K, SOFTSPOKEN_LEAVES as LEAVES};
use subtle::{Choice, ConditionallySelectable};

/// Blocks of correction for one tree: two for each level but the first.
pub const CORRECTIONS: usize = 2 * (K - 1);

/// The whole tree from both keys of its k OTs: all leaves, and the corrections to send.
///
/// `keys[b]` are the keys of the OT for bit b. Leaf x is element x.
pub fn expand(keys: &[[Block; 2]; K]) -> ([Block; LEAVES], [Block; CORRECTIONS]) {
    let mut nodes = [Block::ZERO; LEAVES];
    nodes[..2].copy_from_slice(&keys[K - 1]);
    let mut corrections = [Block::ZERO; CORRECTIONS];
    for level in 1..K {
        // The correction of a side is the XOR of all nodes on that side, masked by its key.
        let mut masked = keys[K - 1 - level];
        for x in (0..1 << level).rev() {
            let children = children(nodes[x]);
            for side in 0..2 {
                masked[side] ^= children[side];
                nodes[2 * x + side] = children[side];
            }
        }
        corrections[2 * (level - 1)..][..2].copy_from_slice(&masked);
    }
    (nodes, corrections)
}

/// All leaves but one from one key of each OT.
///
/// `keys[b]` is the key of the OT for bit b, chosen with the complement of bit b of `missing`.
/// Element y is the other side's leaf y ⊕ `missing`; element 0 is unknown and zero.
pub fn puncture(
    keys: &[Block; K],
    missing: u8,
    corrections: &[Block; CORRECTIONS],
) -> [Block; LEAVES] {
    let mut nodes = [Block::ZERO; LEAVES];
    nodes[1] = keys[K - 1];
    for level in 1..K {
        let bit = K - 1 - level;
        let on_path = Choice::from(missing >> bit & 1);
        let correction = &corrections[2 * (level - 1)..][..2];
        // The XOR of all nodes that leave the path on this level, the unknown one's child included.
        let mut leaving =
            keys[bit] ^ Block::conditional_select(&correction[1], &correction[0], on_path);
        for y in (1..1 << level).rev() {
            let [mut near, mut far] = children(nodes[y]);
            Block::conditional_swap(&mut near, &mut far, on_path);
            leaving ^= far;
            nodes[2 * y] = near;
            nodes[2 * y + 1] = far;
        }
        nodes[0] = Block::ZERO;
        nodes[1] = leaving;
    }
    nodes
}

/// A length-doubling generator: two blocks of AES counter mode under the node as key.
fn children(node: Block) -> [Block; 2] {
    let mut out = [[0; 16]; 2];
    Aes128::new(&node.to_bytes()).keystream(0, 0, &mut out);
    out.map(Block::from_bytes)
}
