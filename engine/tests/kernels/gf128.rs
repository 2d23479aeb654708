use crate::{hex, prg, property};
use engine::block::Block;
use engine::block::gf128::{self, ONE};
use engine::prg::Prg;
use proptest::prelude::*;

/// GHASH has the same field with the bits of every byte the other way round.
fn ghash_block(text: &str) -> Block {
    let bytes = hex(text).try_into().expect("16 bytes");
    Block(u128::from_be_bytes(bytes).reverse_bits())
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 2 and 3.
#[test]
fn ghash_vectors() {
    let h = ghash_block("66e94bd4ef8a2c3b884cfa59ca342b2e");
    let x = gf128::mul(ghash_block("0388dace60b6a392f328c2b971b2fe78"), h);
    assert!(x == ghash_block("5e2ec746917062882c85b0685353deb7"));
    let length = ghash_block("00000000000000000000000000000080");
    assert!(gf128::mul(x ^ length, h) == ghash_block("f38cbb1ad69223dcc3457ae5b6b0f885"));

    let h = ghash_block("b83b533708bf535d0aa6e52980d53b78");
    let blocks = [
        "42831ec2217774244b7221b784d0d49c",
        "e3aa212f2c02a4e035c17e2329aca12e",
        "21d514b25466931c7d8f6a5aac84aa05",
        "1ba30b396a0aac973d58e091473f5985",
        "00000000000000000000000000000200",
    ];
    let horner = |x, block: &&str| gf128::mul(x ^ ghash_block(block), h);
    let hash = blocks.iter().fold(Block::ZERO, horner);
    assert!(hash == ghash_block("7f1b32b81b820d02614f8895ac1d4eac"));
}

#[test]
fn multiplying_by_x_shifts() {
    let top = Block(1 << 127);
    assert!(gf128::mul(Block(1), Block(2)) == Block(2));
    assert!(gf128::mul(top, Block(2)) == Block(0x87));
    assert!(gf128::mul(top, Block(4)) == Block(0x87 << 1));
}

proptest! {
    #![proptest_config(property(2000))]

    #[test]
    fn the_axioms_of_a_field(a: u128, b: u128, c: u128) {
        let (a, b, c) = (Block(a), Block(b), Block(c));
        let mul = gf128::mul;
        prop_assert!(mul(a, b) == mul(b, a));
        prop_assert!(mul(mul(a, b), c) == mul(a, mul(b, c)));
        prop_assert!(mul(a, b ^ c) == mul(a, b) ^ mul(a, c));
        prop_assert!(mul(a, ONE) == a);
        let expected = if a == Block::ZERO { Block::ZERO } else { ONE };
        prop_assert!(mul(a, gf128::invert(a)) == expected);
    }
}

#[test]
fn zero_and_one_invert_to_themselves() {
    assert!(gf128::invert(Block::ZERO) == Block::ZERO);
    assert!(gf128::invert(ONE) == ONE);
}

#[test]
fn slices_are_loops_over_elements() {
    let mut prg: Prg = prg("gf128 slices");
    for n in crate::LENGTHS {
        let mut draw = || {
            let mut values = vec![0u128; n];
            prg.fill_ring(&mut values);
            values.into_iter().map(Block).collect::<Vec<_>>()
        };
        let (a, b, c) = (draw(), draw(), draw());
        let mut product = a.clone();
        gf128::mul_assign(&mut product, &b);
        assert!((0..n).all(|i| product[i] == gf128::mul(a[i], b[i])));
        let mut sum = c.clone();
        gf128::add_scaled(&mut sum, &a, Block(77));
        assert!((0..n).all(|i| sum[i] == c[i] ^ gf128::mul(a[i], Block(77))));
        let mut sum = c.clone();
        gf128::add_polynomial(&mut sum, &a, &[Block(5), Block(6)]);
        let value = |x: Block| gf128::mul(Block(5), x) ^ gf128::mul(Block(6), gf128::mul(x, x));
        assert!((0..n).all(|i| sum[i] == c[i] ^ value(a[i])));
    }
}
