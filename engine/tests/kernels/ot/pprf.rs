use crate::prg;
use engine::block::Block;
use engine::ot::pprf::{expand, puncture};
use engine::params::SOFTSPOKEN_K as K;

#[test]
fn a_punctured_tree_has_all_leaves_but_one() {
    let mut prg = prg("trees");
    for missing in 0..16u8 {
        let mut raw = [0u128; 2 * K];
        prg.fill_ring(&mut raw);
        let keys: [[Block; 2]; K] =
            std::array::from_fn(|b| [Block(raw[2 * b]), Block(raw[2 * b + 1])]);
        let (leaves, corrections) = expand(&keys);
        let chosen = std::array::from_fn(|b| keys[b][usize::from(!missing >> b & 1)]);
        let nodes = puncture(&chosen, missing, &corrections);
        assert!(
            nodes[0] == Block::ZERO,
            "nothing stands for the missing leaf"
        );
        for y in 1..16 {
            assert!(
                nodes[y] == leaves[y ^ usize::from(missing)],
                "leaf {y} relative to {missing}"
            );
        }
        let mut distinct: Vec<u128> = leaves.iter().map(|leaf| leaf.0).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 16);
    }
}

#[test]
fn a_false_correction_spoils_leaves_and_nothing_else() {
    let keys: [[Block; 2]; K] =
        std::array::from_fn(|b| [Block(2 * b as u128 + 1), Block(2 * b as u128 + 2)]);
    let missing = 0b0110;
    let (leaves, mut corrections) = expand(&keys);
    let chosen = std::array::from_fn(|b| keys[b][usize::from(!missing >> b & 1)]);
    for block in &mut corrections {
        *block ^= Block(1);
    }
    let nodes = puncture(&chosen, missing, &corrections);
    // The half of the tree below the first level's known node needs no correction.
    for y in 8..16 {
        assert!(nodes[y] == leaves[y ^ usize::from(missing)]);
    }
    assert!((1..8).all(|y| nodes[y] != leaves[y ^ usize::from(missing)]));
}
