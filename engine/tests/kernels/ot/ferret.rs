use super::{DIRECTION, assert_balanced, ones};
use crate::prg;
use engine::bits;
use engine::block::Block;
use engine::ot::extend::{ReceiverSetup, SenderSetup};
use engine::ot::ferret::{FIRST_COTS, Receiver, Round, Sender, schedule};
use engine::ot::{Direction, OtError};
use engine::params::FERRET_FIRST;
use engine::prg::Prg;
use std::collections::BTreeSet;

fn pair(direction: Direction, prg: &mut Prg) -> (Sender, Receiver) {
    let (sender, points) = SenderSetup::with_odd_delta(direction, prg);
    let (receiver, key) = ReceiverSetup::new(direction, prg);
    let (mut receiver, trees) = receiver.finish(&points).unwrap();
    let mut sender = sender.finish(&key, &trees).unwrap();
    let (receiver, message) = Receiver::new(direction, &mut receiver).unwrap();
    (
        Sender::new(direction, &mut sender, &message).unwrap(),
        receiver,
    )
}

/// Three rounds, the last one of which ends in the middle of a tree and of a word.
fn three_rounds() -> Vec<Round> {
    let rounds = schedule(3_500_011);
    assert_eq!(rounds.len(), 3);
    rounds
}

#[test]
fn rows_differ_by_delta_where_the_choice_is_one() {
    let mut prg = prg("Ferret correlation");
    let (mut sender, mut receiver) = pair(DIRECTION, &mut prg);
    let mut rows = BTreeSet::new();
    let mut n_ones = 0;
    let mut n_all = 0;
    for round in three_rounds() {
        let (q, message) = sender.cots(&round, &mut prg).unwrap();
        assert_eq!(message.len(), round.message_bytes());
        let t = receiver.cots(&round, &message).unwrap();
        assert_eq!((q.rows.len(), t.rows.len()), (round.n_ots(), round.n_ots()));
        for (j, (q, t_row)) in q.rows.iter().zip(&t.rows).enumerate() {
            let choice = bits::get(&t.choices, j);
            assert!(
                *q ^ *t_row == sender.delta().masked(u64::from(choice)),
                "OT {j}"
            );
        }
        n_ones += ones(&t.choices);
        n_all += round.n_ots();
        rows.extend(q.rows.iter().step_by(7).map(|row| row.0));
    }
    assert_balanced(n_ones, n_all, "choices");
    let sampled = three_rounds()
        .iter()
        .map(|r| r.n_ots().div_ceil(7))
        .sum::<usize>();
    assert_eq!(rows.len(), sampled, "no row comes twice");
}

#[test]
fn random_bits_are_the_chosen_ones() {
    let mut prg = prg("Ferret bits");
    for n in [1, 63, 64, 65, 1000, 1025, 900_001] {
        let (mut sender, mut receiver) = pair(DIRECTION, &mut prg);
        for round in schedule(n) {
            let (sent, message) = sender.bits(&round, &mut prg).unwrap();
            let received = receiver.bits(&round, &message).unwrap();
            for w in 0..bits::words_for(round.n_ots()) {
                let c = received.choices[w];
                assert_eq!(
                    received.chosen[w],
                    (sent.ones[w] & c) | (sent.zeros[w] & !c)
                );
            }
            for words in [&sent.zeros, &sent.ones, &received.choices, &received.chosen] {
                let mut cleared = words.clone();
                bits::clear_tail(&mut cleared, round.n_ots());
                assert_eq!(*words, cleared, "bits past the end are zero");
            }
        }
    }
}

#[test]
fn nothing_is_biased() {
    let mut prg = prg("Ferret balance");
    let (mut sender, mut receiver) = pair(DIRECTION, &mut prg);
    let [round] = schedule(1 << 19)[..] else {
        panic!("one round is enough")
    };
    let (sent, message) = sender.bits(&round, &mut prg).unwrap();
    let received = receiver.bits(&round, &message).unwrap();
    let pairs =
        |a: &[u64], b: &[u64]| ones(&a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<_>>());
    let n = round.n_ots();
    assert_balanced(ones(&sent.zeros), n, "zeros");
    assert_balanced(ones(&sent.ones), n, "ones");
    assert_balanced(ones(&received.choices), n, "choices");
    assert_balanced(pairs(&sent.zeros, &sent.ones), n, "zeros and ones");
    assert_balanced(
        pairs(&received.choices, &received.chosen),
        n,
        "choices and chosen",
    );
    let shifted: Vec<u64> = received.choices[1..].to_vec();
    assert_balanced(
        pairs(&shifted, &received.choices),
        n - 64,
        "neighbouring words of choices",
    );
}

/// The sender's messages are masked by rows of which the receiver knows half.
#[test]
fn messages_look_uniform() {
    let mut prg = prg("Ferret messages");
    let (mut sender, _) = pair(DIRECTION, &mut prg);
    let mut histogram = [0u64; 256];
    for round in three_rounds() {
        let (_, message) = sender.bits(&round, &mut prg).unwrap();
        message
            .iter()
            .for_each(|byte| histogram[usize::from(*byte)] += 1);
    }
    let expected = histogram.iter().sum::<u64>() as f64 / 256.0;
    let chi: f64 = histogram
        .iter()
        .map(|n| (*n as f64 - expected).powi(2) / expected)
        .sum();
    assert!(chi < 368.0, "χ² = {chi} of 255 degrees of freedom");
}

#[test]
fn messages_of_another_length_change_nothing() {
    let mut prg = prg("Ferret length");
    let (mut sender, mut receiver) = pair(DIRECTION, &mut prg);
    let rounds = three_rounds();
    let (q, message) = sender.cots(&rounds[0], &mut prg).unwrap();
    let mut long = message.clone();
    long.push(0);
    for bad in [&message[..0], &message[1..], &long] {
        let error = OtError::WrongLength {
            what: "Ferret round",
            expected: rounds[0].message_bytes(),
            actual: bad.len(),
        };
        assert_eq!(receiver.cots(&rounds[0], bad).err(), Some(error));
        assert_eq!(receiver.bits(&rounds[0], bad).err(), Some(error));
    }
    let t = receiver.cots(&rounds[0], &message).unwrap();
    let expected = sender.delta().masked(u64::from(bits::get(&t.choices, 5)));
    assert!(q.rows[5] ^ t.rows[5] == expected);
}

#[test]
fn the_first_message_of_another_length_is_refused() {
    let mut prg = prg("Ferret first length");
    let (sender, points) = SenderSetup::with_odd_delta(DIRECTION, &mut prg);
    let (receiver, key) = ReceiverSetup::new(DIRECTION, &mut prg);
    let (mut receiver, trees) = receiver.finish(&points).unwrap();
    let mut sender = sender.finish(&key, &trees).unwrap();
    let (_, message) = Receiver::new(DIRECTION, &mut receiver).unwrap();
    let refused = Sender::new(DIRECTION, &mut sender, &message[1..]).err();
    assert!(matches!(refused, Some(OtError::WrongLength { .. })));
    assert_eq!(FIRST_COTS, (1 << 16) + 8500);
}

/// A flipped bit spoils one tree's noise, and with it at least one row of that tree and none
/// before it.
#[test]
fn a_flipped_bit_spoils_its_tree() {
    let mut prg = prg("Ferret flip");
    let (mut sender, mut receiver) = pair(DIRECTION, &mut prg);
    let [round] = schedule(20 * 1024)[..] else {
        panic!("one round is enough")
    };
    let (q, mut message) = sender.cots(&round, &mut prg).unwrap();
    let set = FERRET_FIRST;
    message[16 * (7 * set.depth + 3) + 5] ^= 4;
    let t = receiver.cots(&round, &message).unwrap();
    let wrong = |j: usize| {
        let choice = u64::from(bits::get(&t.choices, j));
        q.rows[j] ^ t.rows[j] != sender.delta().masked(choice)
    };
    let spoilt: BTreeSet<usize> = (0..round.n_ots())
        .filter(|j| wrong(*j))
        .map(|j| j / set.leaves())
        .collect();
    assert_eq!(spoilt, BTreeSet::from([7]));
}

/// The same randomness in another place gives other rows; the same place replays.
#[test]
fn rounds_are_bound_to_their_place() {
    let run = |direction| {
        let mut prg = prg("Ferret place");
        let (mut sender, _) = pair(direction, &mut prg);
        let (q, message) = sender.cots(&schedule(64)[0], &mut prg).unwrap();
        (
            q.rows.iter().map(|row: &Block| row.0).collect::<Vec<_>>(),
            message,
        )
    };
    let here = run(DIRECTION);
    assert!(here == run(DIRECTION));
    let elsewhere = Direction {
        operation: 2,
        ..DIRECTION
    };
    assert!(here.0.iter().zip(run(elsewhere).0).all(|(a, b)| *a != b));
}
