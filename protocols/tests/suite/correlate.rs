//! Correlations hold their equation, are used once, and come from the source that was named.

use crate::ideal;
use crate::world::{World, all_ok};
use engine::bits;
use protocols::correlate::{self, BitTriples, Needs, Source, Stock, dealer};
use protocols::error::ProtocolError;
use protocols::party::Seat;

/// Words in a full chunk of a dealer's corrections.
const CHUNK_WORDS: u64 = 1 << 16;

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
    all_ok(ended)
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
