use super::DIRECTION;
use crate::known_answers::NO_POINTS;
use crate::{hex, prg};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use engine::block::Block;
use engine::hash::{derive_key, wide as wide_hash};
use engine::ot::base::{RECEIVER_BYTES, Receiver, SENDER_BYTES, Sender};
use engine::ot::{Direction, OtError};
use engine::params::BASE_OTS;

const CHOICES: Block = Block(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978);

/// Keys of both sides, each under its own idea of the direction.
fn run(label: &'static str, ours: Direction, theirs: Direction) -> (Vec<[Block; 2]>, Vec<Block>) {
    let mut prg = prg(label);
    let (receiver, points) = Receiver::new(theirs, CHOICES, &mut prg);
    let (sender, key) = Sender::new(ours, &mut prg);
    assert_eq!((points.len(), key.len()), (RECEIVER_BYTES, SENDER_BYTES));
    (
        sender.finish(&points).unwrap(),
        receiver.finish(&key).unwrap(),
    )
}

#[test]
fn the_receiver_has_the_chosen_key_and_no_other() {
    let (pairs, chosen) = run("base OT", DIRECTION, DIRECTION);
    assert_eq!((pairs.len(), chosen.len()), (BASE_OTS, BASE_OTS));
    for (i, (pair, key)) in pairs.iter().zip(&chosen).enumerate() {
        let choice = (CHOICES.0 >> i & 1) as usize;
        assert!(pair[choice] == *key, "OT {i}");
        assert!(pair[1 - choice] != *key, "OT {i}");
    }
    let mut all: Vec<u128> = pairs.as_flattened().iter().map(|key| key.0).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * BASE_OTS);
}

/// The sender's keys by the module's formula, written out with every field that is bound.
#[test]
fn keys_are_those_of_the_formula() {
    let (_, points) = Receiver::new(DIRECTION, CHOICES, &mut prg("formula"));
    let (sender, key) = Sender::new(DIRECTION, &mut prg("formula's sender"));
    let mut wide = [0; 64];
    prg("formula's sender").fill_bytes(&mut wide);
    let secret = Scalar::from_bytes_mod_order_wide(&wide);
    assert_eq!(
        RistrettoPoint::mul_base(&secret).compress().as_bytes()[..],
        key
    );

    let keys = sender.finish(&points).unwrap();
    for (i, pair) in points.chunks_exact(64).enumerate() {
        for b in [0, 1] {
            let place = |b: usize| {
                let operation = DIRECTION.operation.to_le_bytes();
                let index = (i as u32).to_le_bytes();
                let seats = [DIRECTION.sender, DIRECTION.receiver];
                [
                    &DIRECTION.session_id[..],
                    &operation,
                    &seats,
                    &index,
                    &[b as u8],
                ]
                .concat()
            };
            let half = |b: usize| &pair[32 * b..][..32];
            let shift = wide_hash("entente/v1/base-ot/group", &[&place(1 - b), half(1 - b)]);
            let own = CompressedRistretto::from_slice(half(b))
                .unwrap()
                .decompress()
                .unwrap();
            let shared = secret * (own + RistrettoPoint::from_uniform_bytes(&shift));
            let (place, shared) = (place(b), shared.compress());
            let fields = [&place[..], pair, &key, shared.as_bytes()];
            let expected = derive_key("entente/v1/base-ot/key", &fields);
            assert_eq!(
                keys[i][b].to_bytes(),
                expected.as_bytes()[..16],
                "OT {i}, key {b}"
            );
        }
    }
}

#[test]
fn keys_are_bound_to_session_operation_and_seats() {
    let others = [
        Direction {
            session_id: [8; 32],
            ..DIRECTION
        },
        Direction {
            operation: 2,
            ..DIRECTION
        },
        Direction {
            sender: 1,
            receiver: 0,
            ..DIRECTION
        },
        Direction {
            receiver: 2,
            ..DIRECTION
        },
    ];
    for other in others {
        let (pairs, chosen) = run("base OT elsewhere", DIRECTION, other);
        let met = pairs
            .iter()
            .zip(&chosen)
            .any(|(pair, key)| pair.contains(key));
        assert!(!met, "{other:?}");
    }
}

#[test]
fn strings_that_are_no_group_element_are_refused() {
    let mut prg = prg("bad points");
    let (_, points) = Receiver::new(DIRECTION, CHOICES, &mut prg);
    for bad in NO_POINTS.map(hex) {
        let (sender, _) = Sender::new(DIRECTION, &mut prg);
        let (receiver, _) = Receiver::new(DIRECTION, CHOICES, &mut prg);
        let index = 2 * BASE_OTS - 1;
        let mut message = points.clone();
        message[index * 32..].copy_from_slice(&bad);
        let what = "base OT choices";
        assert_eq!(
            sender.finish(&message).err(),
            Some(OtError::NotAPoint { what, index })
        );
        let what = "base OT key";
        assert_eq!(
            receiver.finish(&bad).err(),
            Some(OtError::NotAPoint { what, index: 0 })
        );
    }
}

#[test]
fn the_identity_is_refused() {
    let mut prg = prg("identity");
    let (receiver, mut points) = Receiver::new(DIRECTION, CHOICES, &mut prg);
    let (sender, _) = Sender::new(DIRECTION, &mut prg);
    points[32 * 5..][..32].fill(0);
    let what = "base OT choices";
    assert_eq!(
        sender.finish(&points).err(),
        Some(OtError::Identity { what, index: 5 })
    );
    let what = "base OT key";
    assert_eq!(
        receiver.finish(&[0; 32]).err(),
        Some(OtError::Identity { what, index: 0 })
    );
}

#[test]
fn other_lengths_are_refused() {
    let mut prg = prg("lengths");
    let (_, mut points) = Receiver::new(DIRECTION, CHOICES, &mut prg);
    points.push(0);
    for actual in [0, 1, RECEIVER_BYTES - 1, RECEIVER_BYTES + 1] {
        let (sender, mut key) = Sender::new(DIRECTION, &mut prg);
        let (receiver, _) = Receiver::new(DIRECTION, CHOICES, &mut prg);
        let error = OtError::WrongLength {
            what: "base OT choices",
            expected: RECEIVER_BYTES,
            actual,
        };
        assert_eq!(sender.finish(&points[..actual]).err(), Some(error));
        key.resize(if actual == 1 { 33 } else { 31 }, 0);
        let error = OtError::WrongLength {
            what: "base OT key",
            expected: 32,
            actual: key.len(),
        };
        assert_eq!(receiver.finish(&key).err(), Some(error));
    }
}

/// Whatever comes in the right length is an error or a result, never a panic.
#[test]
fn arbitrary_bytes_are_refused_or_used() {
    let mut prg = prg("arbitrary bytes");
    let (_, honest) = Receiver::new(DIRECTION, CHOICES, &mut prg);
    let mut n_refused = 0;
    for round in 0..40 {
        let (sender, _) = Sender::new(DIRECTION, &mut prg);
        let mut message = honest.clone();
        // Ever more random bytes, from one to the whole message.
        let n_random = RECEIVER_BYTES >> (round % 14);
        let start = prg.next_bounded((RECEIVER_BYTES - n_random + 1) as u64) as usize;
        prg.fill_bytes(&mut message[start..start + n_random]);
        n_refused += usize::from(sender.finish(&message).is_err());
    }
    assert!(n_refused > 20, "{n_refused} of 40 refused");
}
