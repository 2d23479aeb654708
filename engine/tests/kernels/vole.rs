use crate::ot::{DIRECTION, set_up};
use crate::prg;
use engine::block::{Block, gf128};
use engine::ot::{Direction, OtError};
use engine::prg::Prg;
use engine::vole::{Receiver, ReceiverVole, Sender, SenderVole, Size};
use std::collections::BTreeSet;

fn vole(direction: Direction, n: usize, prg: &mut Prg) -> (SenderVole, ReceiverVole) {
    let size = Size::new(n);
    let (sender, receiver) = set_up(direction, prg);
    let (receiver, message) = Receiver::new(direction, size, receiver, prg).unwrap();
    assert_eq!(message.len(), size.choices_bytes());
    let (sender, message) = Sender::new(direction, size, sender, &message).unwrap();
    assert_eq!(message.len(), size.trees_bytes());
    (sender.finish(), receiver.finish(&message).unwrap())
}

#[test]
fn c_is_b_plus_a_delta() {
    let mut prg = prg("VOLE equation");
    for n in [0, 1, 2, 1000, 4095, 4096, 4097, 10_007, 100_003] {
        let (sent, received) = vole(DIRECTION, n, &mut prg);
        assert_eq!(
            (sent.b.len(), received.a.len(), received.c.len()),
            (n, n, n)
        );
        for i in 0..n {
            let expected = sent.b[i] ^ gf128::mul(received.a[i], sent.delta);
            assert!(received.c[i] == expected, "element {i} of {n}");
        }
    }
}

/// χ² of all bytes against the uniform distribution: 255 degrees of freedom.
fn assert_uniform(bytes: impl Iterator<Item = u8>, what: &str) {
    let mut histogram = [0u64; 256];
    bytes.for_each(|byte| histogram[usize::from(byte)] += 1);
    let expected = histogram.iter().sum::<u64>() as f64 / 256.0;
    let terms = histogram
        .iter()
        .map(|n| (*n as f64 - expected).powi(2) / expected);
    let chi: f64 = terms.sum();
    assert!(chi < 368.0, "{what}: χ² = {chi}");
}

#[test]
fn vectors_look_uniform_and_nothing_comes_twice() {
    let (sent, received) = vole(DIRECTION, 60_000, &mut prg("VOLE uniformity"));
    for (vector, what) in [(&sent.b, "B"), (&received.a, "A"), (&received.c, "C")] {
        assert_uniform(vector.iter().flat_map(|x| x.to_bytes()), what);
        let distinct: BTreeSet<u128> = vector.iter().map(|x| x.0).collect();
        assert_eq!(distinct.len(), vector.len(), "{what}");
        let shifted = vector.iter().zip(&vector[1..]).map(|(a, b)| *a ^ *b);
        assert_uniform(shifted.flat_map(|x| x.to_bytes()), "neighbours");
    }
    assert!(sent.delta != Block::ZERO);
}

#[test]
fn messages_look_uniform() {
    let mut prg = prg("VOLE messages");
    let size = Size::new(50_000);
    let (sender, receiver) = set_up(DIRECTION, &mut prg);
    let (_, choices) = Receiver::new(DIRECTION, size, receiver, &mut prg).unwrap();
    let (_, trees) = Sender::new(DIRECTION, size, sender, &choices).unwrap();
    assert_uniform(choices.into_iter(), "choices");
    assert_uniform(trees.into_iter(), "trees");
}

#[test]
fn places_have_nothing_in_common() {
    let here = vole(DIRECTION, 500, &mut prg("VOLE place"));
    let other = Direction {
        operation: 2,
        ..DIRECTION
    };
    let elsewhere = vole(other, 500, &mut prg("VOLE place"));
    let again = vole(DIRECTION, 500, &mut prg("VOLE place"));
    assert!(
        here.0.b == again.0.b && here.1.a == again.1.a,
        "and the same seed replays"
    );
    assert!((0..500).all(|i| here.0.b[i] != elsewhere.0.b[i] && here.1.a[i] != elsewhere.1.a[i]));
}

#[test]
fn messages_of_another_length_are_refused() {
    let mut prg = prg("VOLE length");
    let size = Size::new(1000);
    let (sender, receiver) = set_up(DIRECTION, &mut prg);
    let (_, choices) = Receiver::new(DIRECTION, size, receiver, &mut prg).unwrap();
    let refused = Sender::new(DIRECTION, size, sender, &choices[1..]).err();
    assert!(matches!(refused, Some(OtError::WrongLength { .. })));
    for actual in [0, size.trees_bytes() - 1, size.trees_bytes() + 1] {
        let (_, receiver) = set_up(DIRECTION, &mut prg);
        let (receiver, _) = Receiver::new(DIRECTION, size, receiver, &mut prg).unwrap();
        let error = OtError::WrongLength {
            what: "VOLE trees",
            expected: size.trees_bytes(),
            actual,
        };
        assert_eq!(receiver.finish(&vec![0; actual]).err(), Some(error));
    }
}

/// A flipped bit in a tree's last correction moves one noise value, and so breaks the equation.
#[test]
fn a_flipped_bit_breaks_the_equation() {
    let mut prg = prg("VOLE flip");
    let size = Size::new(5000);
    let (sender, receiver) = set_up(DIRECTION, &mut prg);
    let (receiver, choices) = Receiver::new(DIRECTION, size, receiver, &mut prg).unwrap();
    let (sender, mut trees) = Sender::new(DIRECTION, size, sender, &choices).unwrap();
    let last = trees.len() - 1;
    trees[last] ^= 1;
    let (sent, received) = (sender.finish(), receiver.finish(&trees).unwrap());
    let wrong = |i: &usize| received.c[*i] != sent.b[*i] ^ gf128::mul(received.a[*i], sent.delta);
    let n_wrong = (0..5000).filter(wrong).count();
    assert!(
        (2000..3000).contains(&n_wrong),
        "{n_wrong} elements are wrong"
    );
}
