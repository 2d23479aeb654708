use super::{assert_balanced, ones, set_up};
use crate::{LENGTHS, prg};
use engine::bits;
use engine::ot::Direction;
use engine::ot::extend::{Choices, Receiver, Sender};
use engine::ot::triples::{BitTriples, PairBits, among_many, between_two, correction};
use engine::prg::Prg;
use std::collections::BTreeMap;

/// All seats of a session, and their set-ups by (sender, receiver).
struct Seats {
    n_seats: usize,
    pairs: BTreeMap<(usize, usize), (Sender, Receiver)>,
    prg: Prg,
}

impl Seats {
    fn new(n_seats: usize) -> Self {
        let mut prg = prg("triples");
        let mut pairs = BTreeMap::new();
        for i in 0..n_seats {
            for j in (0..n_seats).filter(|j| *j != i) {
                let (sender, receiver) = (i as u8, j as u8);
                let direction = Direction {
                    session_id: [3; 32],
                    operation: 9,
                    sender,
                    receiver,
                };
                pairs.insert((i, j), set_up(direction, &mut prg));
            }
        }
        Self {
            n_seats,
            pairs,
            prg,
        }
    }

    fn others(&self, seat: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.n_seats).filter(move |other| *other != seat)
    }

    fn random_bits(&mut self, n: usize) -> Vec<u64> {
        let mut words = vec![0; bits::words_for(n)];
        self.prg.fill_ring(&mut words);
        bits::clear_tail(&mut words, n);
        words
    }

    /// Runs all OTs; `choices` are those of every seat, or none for random ones.
    fn transfer(
        &mut self,
        n: usize,
        choices: Option<&[Vec<u64>]>,
    ) -> BTreeMap<(usize, usize), PairBits> {
        let mode = if choices.is_some() {
            Choices::Given
        } else {
            Choices::Random
        };
        let mut sent = BTreeMap::new();
        let mut received = BTreeMap::new();
        for ((i, j), (sender, receiver)) in &mut self.pairs {
            let given = choices.map(|c| c[*j].as_slice());
            let (bits, message) = receiver.bits(n, given).unwrap();
            sent.insert((*i, *j), sender.bits(n, mode, &message).unwrap());
            received.insert((*j, *i), bits);
        }
        let with = |(at, sent)| {
            (
                at,
                PairBits {
                    sent,
                    received: received.remove(&at).unwrap(),
                },
            )
        };
        sent.into_iter().map(with).collect()
    }

    /// Plays all seats. `tamper` may change what seat i sends seat j.
    fn generate(
        &mut self,
        n: usize,
        mut tamper: impl FnMut(usize, usize, &mut [u64]),
    ) -> Vec<BitTriples> {
        if self.n_seats == 2 {
            let pairs = self.transfer(n, None);
            return pairs.values().map(|pair| between_two(n, pair)).collect();
        }
        let a: Vec<_> = (0..self.n_seats).map(|_| self.random_bits(n)).collect();
        let b: Vec<_> = (0..self.n_seats).map(|_| self.random_bits(n)).collect();
        let mut pairs = self.transfer(n, Some(&b));
        let mut corrections = BTreeMap::new();
        for ((i, j), pair) in &pairs {
            let mut f = correction(&a[*i], &pair.sent);
            tamper(*i, *j, &mut f);
            corrections.insert((*j, *i), f);
        }
        let mut triples = Vec::new();
        for (seat, (a, b)) in a.into_iter().zip(b).enumerate() {
            let mut with = |other| {
                let at = (seat, other);
                (pairs.remove(&at).unwrap(), corrections.remove(&at).unwrap())
            };
            let others: Vec<_> = self.others(seat).map(&mut with).collect();
            triples.push(among_many(n, a, b, &others));
        }
        triples
    }
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
        let mut seats = Seats::new(n_seats);
        for n in LENGTHS.into_iter().chain([8191, 8193, 20_000]) {
            let triples = seats.generate(n, |_, _, _| {});
            assert_eq!(triples.len(), n_seats);
            assert!(
                triples
                    .iter()
                    .all(|t| t.a.n_bits() == n && t.c.n_bits() == n)
            );
            assert_eq!(ones(&faults(&triples)), 0, "{n_seats} seats, {n} triples");
        }
    }
}

/// Every seat's part looks random alone, and so do the sums of a and b; c is their product.
#[test]
fn triples_are_random() {
    let n = 1 << 16;
    for n_seats in [2, 3] {
        let triples = Seats::new(n_seats).generate(n, |_, _, _| {});
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
        assert_balanced(ones(&total(&triples, |t| t.b.as_words())), n, "sum of b");
        let c = ones(&total(&triples, |t| t.c.as_words()));
        assert!(
            (n / 4 - 800..n / 4 + 800).contains(&c),
            "{c} of {n} products are 1"
        );
    }
}

/// What a seat sends is balanced whatever its bits are: here all ones.
#[test]
fn a_correction_hides_what_it_corrects() {
    let n = 1 << 16;
    let mut seats = Seats::new(3);
    let ones_only = vec![u64::MAX; n / 64];
    let pairs = seats.transfer(n, Some(&vec![ones_only.clone(); 3]));
    for pair in pairs.values() {
        assert_balanced(ones(&correction(&ones_only, &pair.sent)), n, "f");
    }
}

#[test]
fn a_false_correction_shows_in_the_product() {
    let triples = Seats::new(3).generate(1 << 10, |i, j, f| {
        if (i, j) == (2, 1) {
            f[0] ^= u64::MAX;
        }
    });
    let faults = faults(&triples);
    assert_eq!(
        faults[0],
        triples[1].b.as_words()[0],
        "the fault is the receiver's b"
    );
    assert!(faults[1..].iter().all(|word| *word == 0));
}

#[test]
#[should_panic(expected = "same choices")]
fn other_choices_than_b_are_a_mistake() {
    let mut pairs = Seats::new(2).transfer(64, None);
    let pair = pairs.remove(&(0, 1)).unwrap();
    among_many(
        64,
        vec![0],
        vec![!pair.received.choices[0]],
        &[(pair, vec![0])],
    );
}
