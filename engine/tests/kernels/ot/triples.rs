use super::{assert_balanced, ones, pair};
use crate::{LENGTHS, prg};
use engine::bits;
use engine::ot::Direction;
use engine::ot::extend::{Choices, Receiver, Sender, SenderBits};
use engine::ot::triples::{BitTriples, PairBits, assemble, correction, lead};
use std::collections::BTreeMap;

/// All set-ups among n seats, by (sender, receiver).
type Pairs = BTreeMap<(usize, usize), (Sender, Receiver)>;

fn set_up(n_seats: usize) -> Pairs {
    let mut prg = prg("triples");
    let seats = || 0..n_seats;
    let directions = seats()
        .flat_map(|i| seats().map(move |j| (i, j)))
        .filter(|(i, j)| i != j);
    directions
        .map(|(i, j)| {
            let direction = Direction {
                session_id: [3; 32],
                operation: 9,
                sender: i as u8,
                receiver: j as u8,
            };
            ((i, j), pair(direction, &mut prg))
        })
        .collect()
}

/// Plays all seats. `tamper` may change what is sent as f.
fn generate(
    pairs: &mut Pairs,
    n_seats: usize,
    n: usize,
    mut tamper: impl FnMut(usize, usize, &mut Vec<u64>),
) -> Vec<BitTriples> {
    // First the receivers: with the lead their choices are random, with others they are the same.
    let mut received = BTreeMap::new();
    let mut messages = BTreeMap::new();
    for j in 0..n_seats {
        let (with_lead, message) = pairs
            .get_mut(&(lead(j), j))
            .unwrap()
            .1
            .bits(n, None)
            .unwrap();
        let choices = with_lead.choices.clone();
        messages.insert((lead(j), j), (Choices::Random, message));
        received.insert((lead(j), j), with_lead);
        for i in (0..n_seats).filter(|i| *i != j && *i != lead(j)) {
            let (bits, message) = pairs
                .get_mut(&(i, j))
                .unwrap()
                .1
                .bits(n, Some(&choices))
                .unwrap();
            messages.insert((i, j), (Choices::Given, message));
            received.insert((i, j), bits);
        }
    }
    let mut sent: BTreeMap<(usize, usize), SenderBits> = messages
        .into_iter()
        .map(|(at, (choices, message))| {
            (
                at,
                pairs
                    .get_mut(&at)
                    .unwrap()
                    .0
                    .bits(n, choices, &message)
                    .unwrap(),
            )
        })
        .collect();
    let mut corrections = BTreeMap::new();
    for (i, j) in sent.keys().copied().filter(|(i, j)| *j != lead(*i)) {
        let mut f = correction(&sent[&(i, lead(i))], &sent[&(i, j)]);
        tamper(i, j, &mut f);
        corrections.insert((i, j), f);
    }
    let mut with = |seat: usize, other: usize| PairBits {
        sent: sent.remove(&(seat, other)).unwrap(),
        received: received.remove(&(other, seat)).unwrap(),
        correction: corrections.remove(&(other, seat)),
    };
    (0..n_seats)
        .map(|seat| {
            let others = (0..n_seats).filter(|other| *other != seat && *other != lead(seat));
            let with_lead = with(seat, lead(seat));
            assemble(
                n,
                with_lead,
                others.map(|other| with(seat, other)).collect(),
            )
        })
        .collect()
}

fn total(triples: &[BitTriples], part: fn(&BitTriples) -> &[u64]) -> Vec<u64> {
    let mut sum = vec![0; part(&triples[0]).len()];
    for triple in triples {
        bits::xor_assign(&mut sum, part(triple));
    }
    sum
}

fn faults(triples: &[BitTriples]) -> Vec<u64> {
    let a = total(triples, |t| t.a.as_words());
    let b = total(triples, |t| t.b.as_words());
    let c = total(triples, |t| t.c.as_words());
    (0..a.len()).map(|w| a[w] & b[w] ^ c[w]).collect()
}

#[test]
fn triples_multiply() {
    for n_seats in [2, 3, 5] {
        let mut pairs = set_up(n_seats);
        for n in LENGTHS.into_iter().chain([8191, 8193, 20_000]) {
            let triples = generate(&mut pairs, n_seats, n, |_, _, _| {});
            assert!(
                triples
                    .iter()
                    .all(|t| t.a.n_bits() == n && t.c.n_bits() == n)
            );
            assert_eq!(ones(&faults(&triples)), 0, "{n_seats} seats, {n} triples");
        }
    }
}

/// Every seat's part looks random alone, and so do the three sums; a, b are independent, c is
/// their product.
#[test]
fn triples_are_random() {
    let n = 1 << 16;
    for n_seats in [2, 3] {
        let mut pairs = set_up(n_seats);
        let triples = generate(&mut pairs, n_seats, n, |_, _, _| {});
        for t in &triples {
            for (share, name) in [(&t.a, "a"), (&t.b, "b"), (&t.c, "c")] {
                assert_balanced(ones(share.as_words()), n, name);
            }
            let both: Vec<u64> =
                t.a.as_words()
                    .iter()
                    .zip(t.c.as_words())
                    .map(|(a, c)| a ^ c)
                    .collect();
            assert_balanced(ones(&both), n, "a ⊕ c");
        }
        assert_balanced(ones(&total(&triples, |t| t.a.as_words())), n, "sum of a");
        let c = ones(&total(&triples, |t| t.c.as_words()));
        assert!(
            (n / 4 - 800..n / 4 + 800).contains(&c),
            "{c} of {n} products are 1"
        );
    }
}

#[test]
fn a_false_correction_shows_in_the_product() {
    let n = 1 << 10;
    let mut pairs = set_up(3);
    let mut receivers = Vec::new();
    let triples = generate(&mut pairs, 3, n, |_, receiver, f| {
        receivers.push(receiver);
        f[0] ^= u64::MAX;
    });
    // Seats 0 and 1 send f to seat 2, and seat 2 to seat 1; each fault is the receiver's b.
    assert_eq!(receivers, [2, 2, 1]);
    let faults = faults(&triples);
    assert_eq!(faults[0], triples[1].b.as_words()[0]);
    assert!(faults[1..].iter().all(|word| *word == 0));
}

#[test]
#[should_panic(expected = "same choices")]
fn other_choices_are_a_mistake() {
    let mut pairs = set_up(2);
    let mut once = generate_pair_bits(&mut pairs);
    let other = generate_pair_bits(&mut pairs);
    once.correction = None;
    assemble(64, once, vec![other]);
}

/// One seat's OTs with the other, both with random choices.
fn generate_pair_bits(pairs: &mut Pairs) -> PairBits {
    let forth = pairs.get_mut(&(0, 1)).unwrap();
    let (_, message) = forth.1.bits(64, None).unwrap();
    let sent = forth.0.bits(64, Choices::Random, &message).unwrap();
    let (received, _) = pairs.get_mut(&(1, 0)).unwrap().1.bits(64, None).unwrap();
    PairBits {
        sent,
        received,
        correction: None,
    }
}
