//! Correlations hold their equation, are used once, and come from the source that was named.

use crate::cost::assert_cost;
use crate::ideal;
use crate::world::{World, all_ok};
use engine::bits;
use protocols::correlate::{
    self, BitTriples, MatrixShape, Needs, PermutationNeed, RingNeeds, Source, Stock, dealer,
};
use protocols::error::ProtocolError;
use protocols::party::Seat;

/// Words in a full chunk of a dealer's corrections.
const CHUNK_WORDS: u64 = 1 << 16;

/// Every seat's stock from a dealer, whose cost is held to the declared one.
fn dealt(n_computing: usize, needs: &Needs, seed: u64) -> Vec<Option<Stock>> {
    let ended = World::with_dealer(n_computing, true, seed).run(async |session| {
        let seat = Seat::from_index(n_computing);
        if session.seat() == seat {
            return dealer::serve(session, needs).await.map(|()| None);
        }
        correlate::preprocess(session, &Source::Dealer { seat }, needs)
            .await
            .map(Some)
    });
    let source = Source::Dealer {
        seat: Seat::from_index(n_computing),
    };
    assert_cost(
        &ended,
        &correlate::cost(&source, n_computing, needs),
        "dealing",
    );
    all_ok(ended)
}

/// The stocks of the computing seats.
fn dealt_stocks(n_computing: usize, needs: &Needs, seed: u64) -> Vec<Stock> {
    dealt(n_computing, needs, seed)
        .into_iter()
        .flatten()
        .collect()
}

/// The triples of all seats, added up: (a, b, c).
fn sums(triples: &[BitTriples]) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let n_words = triples[0].n_words();
    let mut sums = (vec![0; n_words], vec![0; n_words], vec![0; n_words]);
    for part in triples {
        let (a, b, c) = part.as_words();
        bits::xor_assign(&mut sums.0, a);
        bits::xor_assign(&mut sums.1, b);
        bits::xor_assign(&mut sums.2, c);
    }
    sums
}

#[test]
fn a_dealers_triples_are_triples() {
    for n_computing in [2, 3, 5] {
        let chunk = n_computing as u64 * CHUNK_WORDS;
        for n_words in [1, 2, 7, 100, chunk - 1, chunk, chunk + 1] {
            let needs = Needs {
                bit_triples: n_words * 64,
                ..Needs::default()
            };
            let mut triples = Vec::new();
            for stock in dealt(n_computing, &needs, n_words).into_iter().flatten() {
                let mut stock = stock;
                assert_eq!(stock.left(), needs);
                triples.push(stock.take_bit_triples(n_words as usize).expect("enough"));
                assert!(stock.left().is_nothing());
            }
            assert_eq!(triples.len(), n_computing);
            let (a, b, c) = sums(&triples);
            for i in 0..n_words as usize {
                assert_eq!(a[i] & b[i], c[i], "word {i} of {n_words}");
            }
            let ones: u32 = a.iter().map(|w| w.count_ones()).sum();
            let expected = 32.0 * n_words as f64;
            let deviation = (f64::from(ones) - expected).abs() / expected.sqrt();
            assert!(deviation < 6.0, "{ones} ones in {n_words} words");
        }
    }
}

/// A mask that occurs in two chunks, or at two seats, is a mask used twice.
#[test]
fn no_word_is_dealt_twice() {
    let needs = Needs {
        bit_triples: (3 * CHUNK_WORDS + 5) * 64,
        ..Needs::default()
    };
    let mut words = Vec::new();
    for mut stock in dealt(2, &needs, 1).into_iter().flatten() {
        let triples = stock
            .take_bit_triples(needs.bit_triple_words())
            .expect("enough");
        let (a, b, _) = triples.as_words();
        words.extend_from_slice(a);
        words.extend_from_slice(b);
    }
    let n_words = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(
        words.len(),
        n_words,
        "64-bit words do not collide by chance"
    );
}

#[test]
fn two_sessions_get_different_triples() {
    let take = |seed| {
        let stocks = dealt(
            2,
            &Needs {
                bit_triples: 64,
                ..Needs::default()
            },
            seed,
        )
        .into_iter()
        .flatten();
        let words = stocks.map(|mut s| s.take_bit_triples(1).expect("enough").as_words().0[0]);
        words.collect::<Vec<u64>>()
    };
    assert_ne!(take(1), take(2));
    assert_eq!(take(1), take(1), "and the same seed replays");
}

#[test]
fn needs_add_up_and_round_to_words() {
    let sum = Needs {
        bit_triples: 65,
        ..Needs::default()
    } + Needs {
        bit_triples: 1,
        ..Needs::default()
    };
    assert_eq!(sum.bit_triple_words(), 2);
    assert!(Needs::default().is_nothing());
}

#[test]
fn a_stock_never_gives_the_same_triple_twice() {
    let words = |at: u64| (at..at + 10).collect::<Vec<u64>>();
    let mut stock = Stock::from_bit_triples(BitTriples::new(words(0), words(100), words(200)));
    let mut seen = Vec::new();
    for n_words in [3, 0, 1, 6] {
        let taken = stock.take_bit_triples(n_words).expect("enough");
        seen.extend_from_slice(taken.as_words().0);
    }
    seen.sort_unstable();
    assert_eq!(seen, words(0));
    let error = stock
        .take_bit_triples(1)
        .map(|_| ())
        .expect_err("nothing is left");
    let expected = ProtocolError::OutOfCorrelations {
        kind: "bit triples",
        needed: 64,
        left: 0,
    };
    assert_eq!(error, expected);
    assert_eq!(error.culprit(), None);
}

#[test]
fn nothing_is_sent_for_no_needs() {
    let ended = World::with_dealer(2, true, 3).run(async |session| {
        let source = Source::Dealer { seat: Seat(2) };
        match session.dealer() == Some(session.seat()) {
            true => dealer::serve(session, &Needs::default()).await,
            false => correlate::preprocess(session, &source, &Needs::default())
                .await
                .map(|_| ()),
        }
    });
    for ended in ended {
        ended.outcome.expect("nothing to fail at");
        assert_eq!(ended.traffic.messages_sent, [0, 0, 0]);
    }
}

#[test]
fn only_the_last_seat_deals_and_only_where_there_is_a_dealer() {
    let needs = Needs {
        bit_triples: 64,
        ..Needs::default()
    };
    let ended = World::new(3, 4).run(async |session| {
        let asked = Source::Dealer { seat: Seat(2) };
        let from_nobody = correlate::preprocess(session, &asked, &needs)
            .await
            .map(|_| ());
        assert!(matches!(
            from_nobody,
            Err(ProtocolError::InvalidInput { .. })
        ));
        dealer::serve(session, &needs).await
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::InvalidInput { .. })
        ));
    }
}

/// The checker accepts the ideal source, of which nothing can be wrong, in every kind.
#[test]
fn ideal_correlations_hold_their_equations() {
    for n_computing in [2, 3, 5] {
        for n in [0, 1, 2, 63, 64, 65, 200] {
            let owner = Seat::from_index(n_computing - 1);
            let needs = ideal::every_kind(n, owner);
            ideal::check(&needs, ideal::stocks(n_computing, &needs, n));
        }
    }
}

/// Parts of any sizes, taken one after the other, hold together what the whole holds.
#[test]
fn a_stock_is_taken_in_parts() {
    let needs = ideal::every_kind(200, Seat(0));
    let whole = ideal::stocks(2, &needs, 1);
    let mut parts = ideal::stocks(2, &needs, 1);
    let mut joined: Vec<Stock> = Vec::new();
    for stock in &mut parts {
        let mut taken = Vec::new();
        for n in [0, 1, 64, 70, 65] {
            taken.push(stock.take_dabits::<u64>(n).expect("enough"));
        }
        let mut again = Stock::empty();
        // What was taken first was at the end.
        for dabits in taken.into_iter().rev() {
            again.add_dabits(dabits);
        }
        joined.push(again);
    }
    for (mut whole, mut joined) in whole.into_iter().zip(joined) {
        let whole = whole.take_dabits::<u64>(200).expect("enough");
        let joined = joined.take_dabits::<u64>(200).expect("enough");
        assert_eq!(whole.bits.as_words(), joined.bits.as_words());
        assert_eq!(whole.arith.as_slice(), joined.arith.as_slice());
    }
}

/// Everything of some kinds in the order of use, taken in parts of these sizes.
fn in_parts(stock: &mut Stock, sizes: &[usize]) -> [Vec<u64>; 4] {
    let mut parts: [Vec<Vec<u64>>; 4] = Default::default();
    for n in sizes {
        let dabits = stock.take_dabits::<u64>(*n).expect("enough");
        let bits = bits::unpack(dabits.bits.as_words(), *n);
        let bits = bits.into_iter().map(u64::from);
        let arith = dabits.arith.as_slice().iter().copied();
        parts[0].push(bits.zip(arith).flat_map(|(b, a)| [b, a]).collect());
        let edabits = stock.take_edabits::<u64>(*n).expect("enough");
        let item = |i: usize| {
            let plane = |at: usize| u64::from(bits::get(edabits.planes[at].as_words(), i)) << at;
            [edabits.r.as_slice()[i], (0..64).map(plane).sum()]
        };
        parts[1].push((0..*n).flat_map(item).collect());
        let triples = stock.take_triples::<u128>(*n).expect("enough");
        let abc = [&triples.a, &triples.b, &triples.c];
        let item = |i: usize| abc.map(|column| column.as_slice()[i] as u64);
        parts[2].push((0..*n).flat_map(item).collect());
        let triples = stock.take_bit_triples(n / 64).expect("enough");
        let (a, b, c) = triples.as_words();
        parts[3].push((0..n / 64).flat_map(|i| [a[i], b[i], c[i]]).collect());
    }
    // What was taken first was at the end.
    parts.map(|parts| parts.into_iter().rev().flatten().collect())
}

/// What a seed gives in pieces is what it gives at once, wherever the pieces begin and end.
#[test]
fn dealt_correlations_are_the_same_in_parts() {
    const N: u64 = 5000;
    // Of some kinds there are half as many.
    let needs = ideal::every_kind(2 * N, Seat(0));
    let sizes = [0, 1, 64, 70, 65, 128, 1000, 3, 1729, 1500, 440];
    assert_eq!(sizes.iter().sum::<usize>(), N as usize);
    let mut whole = dealt_stocks(2, &needs, 9);
    let mut parts = dealt_stocks(2, &needs, 9);
    for (whole, parts) in whole.iter_mut().zip(&mut parts) {
        let [dabits, edabits, triples, words] = in_parts(whole, &[N as usize]);
        let found = in_parts(parts, &sizes);
        assert!(found[0] == dabits && found[1] == edabits && found[2] == triples);
        // Only whole words were taken, the last ones.
        assert!(!found[3].is_empty() && words.ends_with(&found[3]));
    }
}

/// Shapes around a dealer's blocks of 1024 items, and words of 64.
#[test]
fn dealt_correlations_hold_their_equations() {
    for n_computing in [2, 3, 5] {
        for n in [1, 2, 3, 63, 64, 65, 127, 1023, 2049, 5000] {
            let owner = Seat::from_index(n as usize % n_computing);
            let needs = ideal::every_kind(n, owner);
            ideal::check(&needs, dealt_stocks(n_computing, &needs, n));
        }
    }
}

/// Shapes around a dealer's chunks of 512 KiB, and around a batch of eight of them.
#[test]
fn dealt_correlations_of_many_chunks_hold_their_equations() {
    let chunk = 1 << 16;
    for n in [2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 8 * chunk + 129] {
        let triples = RingNeeds {
            triples: n,
            ..RingNeeds::default()
        };
        let needs = Needs::of_ring::<u64>(triples);
        ideal::check(&needs, dealt_stocks(2, &needs, n));
    }
    let matrices = vec![
        MatrixShape {
            m: 3,
            k: 2,
            n: 1 << 16,
        },
        MatrixShape { m: 0, k: 2, n: 3 },
        MatrixShape { m: 2, k: 0, n: 3 },
    ];
    let mut needs = Needs::of_ring::<u64>(RingNeeds {
        edabits: 2 * chunk + 1,
        truncs: [(16, 65_537)].into(),
        matrices,
        ..RingNeeds::default()
    });
    needs.permutations.push(PermutationNeed {
        n_rows: (1 << 15) + 1,
        n_words: 1,
        n_ring64: 1,
        n_ring128: 1,
        owner: Seat(1),
    });
    ideal::check(&needs, dealt_stocks(2, &needs, 7));
    ideal::check(&needs, dealt_stocks(3, &needs, 8));
}

/// Bytes of corrections for each item, as the dealer's documentation says.
#[test]
fn a_dealer_sends_no_more_than_it_declares() {
    let n = 1 << 20;
    let bytes = |needs: Needs| {
        let source = Source::Dealer { seat: Seat(2) };
        let cost = correlate::cost(&source, 2, &needs);
        assert_eq!(cost.rounds, 1);
        cost.bytes_sent(Seat(2))
    };
    let of_ring = |change: fn(&mut RingNeeds, u64)| {
        let mut needs = Needs::default();
        change(&mut needs.ring64, n);
        needs
    };
    assert_eq!(bytes(of_ring(|ring, n| ring.triples = n)), 8 * n);
    assert_eq!(bytes(of_ring(|ring, n| ring.dabits = n)), 8 * n);
    assert_eq!(bytes(of_ring(|ring, n| ring.edabits = n)), 8 * n);
    assert_eq!(bytes(of_ring(|ring, n| ring.muxes = n)), 16 * n);
    assert_eq!(
        bytes(of_ring(|ring, n| ring.truncs = [(16, n)].into())),
        16 * n
    );
    let product = of_ring(|ring, _| {
        let (m, k, n) = (300, 70, 500);
        ring.matrices = vec![MatrixShape { m, k, n }];
    });
    assert_eq!(bytes(product), 8 * 300 * 500);
    assert_eq!(bytes(Needs::of_bit_triple_words(1 << 14)), n / 8);
    assert_eq!(bytes(Needs::of_bit_pair_words(1 << 14)), n / 4);
    let triples = RingNeeds {
        triples: n,
        ..RingNeeds::default()
    };
    assert_eq!(bytes(Needs::of_ring::<u128>(triples)), 16 * n);
    let permutations = vec![PermutationNeed {
        n_rows: n as usize,
        n_words: 2,
        n_ring64: 1,
        n_ring128: 1,
        owner: Seat(0),
    }];
    let rows = Needs {
        permutations,
        ..Needs::default()
    };
    assert_eq!(bytes(rows), n * 40);
}
