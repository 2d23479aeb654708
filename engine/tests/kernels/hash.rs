use crate::{LENGTHS, prg, seed};
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use engine::block::Block;
use engine::hash::{CrHash, commit, derive_key, digest, opens};
use engine::prg::Prg;

#[test]
fn context_fields_and_their_borders_all_matter() {
    const A: &str = "entente/v1/test/a";
    let all = [
        digest(A, &[]),
        digest(A, &[b""]),
        digest(A, &[b"", b""]),
        digest(A, &[b"ab", b"c"]),
        digest(A, &[b"a", b"bc"]),
        digest(A, &[b"abc"]),
        digest("entente/v1/test/b", &[b"abc"]),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one));
    }
    assert_eq!(derive_key(A, &[b"abc"]).as_bytes(), &digest(A, &[b"abc"]));
}

#[test]
fn a_commitment_binds_everything() {
    const CONTEXT: &str = "entente/v1/test/commit";
    let c = commit(CONTEXT, &[1; 32], b"payload", &[2; 32]);
    assert!(opens(&c, CONTEXT, &[1; 32], b"payload", &[2; 32]));
    assert!(
        !opens(&c, CONTEXT, &[3; 32], b"payload", &[2; 32]),
        "another session"
    );
    assert!(
        !opens(&c, CONTEXT, &[1; 32], b"payloae", &[2; 32]),
        "another payload"
    );
    assert!(
        !opens(&c, CONTEXT, &[1; 32], b"payload", &[3; 32]),
        "another nonce"
    );
    assert!(
        !opens(&c, "entente/v1/test/other", &[1; 32], b"payload", &[2; 32]),
        "another context"
    );
}

/// H(x, i) = π(π(x) ⊕ i) ⊕ π(x), one block at a time, with the AES key that the generator uses.
fn naive(key: &aes::Aes128, x: Block, tweak: u64) -> Block {
    let permute = |block: Block| {
        let mut bytes = block.to_bytes().into();
        key.encrypt_block(&mut bytes);
        Block::from_bytes(bytes.into())
    };
    let inner = permute(x);
    permute(inner ^ Block(u128::from(tweak))) ^ inner
}

#[test]
fn the_correlation_robust_hash_is_its_formula() {
    let session = seed("hash");
    let key = session.derive("entente/v1/engine/prg", &[]);
    let key = aes::Aes128::new_from_slice(&key.as_bytes()[..16]).unwrap();
    let hash = CrHash::new(&session);
    let mut prg = prg("hash inputs");
    for len in LENGTHS {
        let mut words = vec![0u128; len];
        prg.fill_ring(&mut words);
        let mut blocks: Vec<Block> = words.into_iter().map(Block).collect();
        let first = prg.next_u64();
        let expected: Vec<Block> = blocks
            .iter()
            .zip(0..)
            .map(|(x, k)| naive(&key, *x, first.wrapping_add(k)))
            .collect();
        if let (Some(x), Some(y)) = (blocks.first(), expected.first()) {
            assert!(hash.hash(*x, first) == *y);
        }
        hash.hash_in_place(&mut blocks, first);
        assert!(blocks == expected, "length {len}");
    }
}

#[test]
fn the_hash_depends_on_session_tweak_and_every_input_bit() {
    let (one, two) = (
        CrHash::new(&seed("session 1")),
        CrHash::new(&seed("session 2")),
    );
    let x = Block(0x0123_4567_89ab_cdef << 32);
    assert!(one.hash(x, 5) != two.hash(x, 5));
    assert!(one.hash(x, 5) != one.hash(x, 6));
    for bit in 0..128 {
        let changed = (one.hash(x, 5) ^ one.hash(x ^ Block(1 << bit), 5))
            .0
            .count_ones();
        assert!(
            (30..98).contains(&changed),
            "bit {bit} changes {changed} of 128 bits"
        );
    }
}

#[test]
fn fixed_inputs_give_fixed_outputs() {
    // Guards the wire format: a change of any of these breaks agreement between versions.
    let seed = derive_key("entente/v1/test/pinned", &[b"seed"]);
    let mut out = [0; 8];
    Prg::new(&seed, 1).fill_bytes(&mut out);
    let hashed = CrHash::new(&seed).hash(Block(1), 2);
    assert_eq!(out, [0x82, 0x41, 0x30, 0xa3, 0x9d, 0x47, 0xe0, 0xb3]);
    assert_eq!(hashed.0, 0xda38_7cc6_d905_6f21_d71b_d4ab_7385_cc2e);
}
