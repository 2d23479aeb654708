use super::{DIRECTION, assert_balanced, labelled_pair, ones, set_up};
use crate::{LENGTHS, prg, seed};
use engine::bits;
use engine::block::Block;
use engine::hash::{CrHash, derive_key};
use engine::ot::extend::{
    Choices, Receiver, ReceiverCots, ReceiverSetup, Sender, SenderCots, SenderSetup, TREES_BYTES,
    message_bytes,
};
use engine::ot::pprf;
use engine::ot::{Direction, OtError, base};
use engine::params::{OT_CHUNK, SOFTSPOKEN_K as K};
use engine::prg::Prg;

/// Lengths around the chunk, in addition to [`LENGTHS`].
const CHUNK_LENGTHS: [usize; 4] = [OT_CHUNK - 1, OT_CHUNK, OT_CHUNK + 1, 3 * OT_CHUNK + 5];

fn lengths() -> impl Iterator<Item = usize> {
    LENGTHS.into_iter().chain(CHUNK_LENGTHS)
}

/// `n` COTs, with the receiver's own choices if given.
fn cots(
    (sender, receiver): &mut (Sender, Receiver),
    n: usize,
    given: Option<&[u64]>,
) -> (SenderCots, ReceiverCots) {
    let choices = if given.is_some() {
        Choices::Given
    } else {
        Choices::Random
    };
    let (received, message) = receiver.cots(n, given).unwrap();
    assert_eq!(message.len(), message_bytes(n, choices));
    (sender.cots(n, choices, &message).unwrap(), received)
}

fn assert_correlated(sender: &Sender, q: &SenderCots, t: &ReceiverCots, n: usize) {
    assert_eq!(
        (q.rows.len(), t.rows.len(), t.choices.len()),
        (n, n, bits::words_for(n))
    );
    for j in 0..n {
        let expected = sender.delta().masked(u64::from(bits::get(&t.choices, j)));
        assert!(q.rows[j] ^ t.rows[j] == expected, "OT {j} of {n}");
    }
}

fn random_bits(prg: &mut Prg, n: usize) -> Vec<u64> {
    let mut words = vec![0; bits::words_for(n)];
    prg.fill_ring(&mut words);
    bits::clear_tail(&mut words, n);
    words
}

#[test]
fn rows_differ_by_delta_where_the_choice_is_one() {
    let mut pair = labelled_pair("correlation");
    let mut prg = prg("given choices");
    for n in lengths() {
        let (q, t) = cots(&mut pair, n, None);
        assert_correlated(&pair.0, &q, &t, n);
        let given = random_bits(&mut prg, n);
        let (q, t) = cots(&mut pair, n, Some(&given));
        assert_eq!(t.choices, given);
        assert_correlated(&pair.0, &q, &t, n);
    }
}

#[test]
fn random_bits_are_the_chosen_ones() {
    let (mut sender, mut receiver) = labelled_pair("bit OTs");
    let mut prg = prg("given bit choices");
    for n in lengths() {
        for given in [None, Some(random_bits(&mut prg, n))] {
            let choices = if given.is_some() {
                Choices::Given
            } else {
                Choices::Random
            };
            let (received, message) = receiver.bits(n, given.as_deref()).unwrap();
            let sent = sender.bits(n, choices, &message).unwrap();
            if let Some(given) = given {
                assert_eq!(received.choices, given);
            }
            for w in 0..bits::words_for(n) {
                let c = received.choices[w];
                assert_eq!(
                    received.chosen[w],
                    (sent.ones[w] & c) | (sent.zeros[w] & !c)
                );
            }
            for words in [&sent.zeros, &sent.ones, &received.choices, &received.chosen] {
                let mut cleared = words.clone();
                bits::clear_tail(&mut cleared, n);
                assert_eq!(*words, cleared, "bits past the end are zero");
            }
        }
    }
}

#[test]
fn nothing_is_biased() {
    let n = 1 << 17;
    let (mut sender, mut receiver) = labelled_pair("balance");
    let (received, message) = receiver.bits(n, None).unwrap();
    let sent = sender.bits(n, Choices::Random, &message).unwrap();
    let unchosen: Vec<u64> = (0..n / 64)
        .map(|w| (sent.zeros[w] & received.choices[w]) | (sent.ones[w] & !received.choices[w]))
        .collect();
    let agree: Vec<u64> = unchosen
        .iter()
        .zip(&received.chosen)
        .map(|(u, c)| u ^ c)
        .collect();
    assert_balanced(ones(&received.choices), n, "choices");
    assert_balanced(ones(&received.chosen), n, "chosen messages");
    assert_balanced(ones(&unchosen), n, "unchosen messages");
    assert_balanced(ones(&agree), n, "chosen ⊕ unchosen");
    // Each of the 31 rows of the message, and the XOR of neighbouring rows.
    let chunk: Vec<&[u8]> = message.chunks_exact(OT_CHUNK / 8).collect();
    for (row, next) in chunk.iter().zip(&chunk[1..]) {
        let set = row.iter().map(|b| b.count_ones() as usize).sum();
        assert_balanced(set, OT_CHUNK, "correction");
        let set = row
            .iter()
            .zip(*next)
            .map(|(a, b)| (a ^ b).count_ones() as usize)
            .sum();
        assert_balanced(set, OT_CHUNK, "corrections of two trees");
    }
}

/// The receiver's rows and message by the definition in the module's documentation, one OT and one
/// leaf at a time, from the base OTs' keys.
#[test]
fn the_receiver_computes_what_the_definition_says() {
    let n = OT_CHUNK + 300;
    let seed = seed("definition");
    let setup = || Prg::new(&seed, 0);
    let (_, points) = SenderSetup::new(DIRECTION, &mut Prg::new(&seed, 1));
    let (receiver, _) = ReceiverSetup::new(DIRECTION, &mut setup());
    let (mut receiver, _) = receiver.finish(&points).unwrap();
    let (received, message) = receiver.cots(n, None).unwrap();

    let (base, _) = base::Sender::new(DIRECTION, &mut setup());
    let keys = base.finish(&points).unwrap();
    let width = n.div_ceil(128) * 128;
    let streams: Vec<Vec<Vec<u64>>> = keys
        .chunks_exact(K)
        .map(|keys| {
            let (leaves, _) = pprf::expand(keys.try_into().unwrap());
            let stream = |leaf: &Block| {
                let mut words = vec![0; width / 64];
                Prg::with_key(&leaf.to_bytes(), 0).fill_ring(&mut words);
                words
            };
            leaves.iter().map(stream).collect()
        })
        .collect();
    for j in 0..n {
        let bit = |tree: usize, leaf: usize| bits::get(&streams[tree][leaf], j);
        let u = |tree: usize| (0..16).fold(false, |sum, x| sum ^ bit(tree, x));
        let choice = u(0);
        assert_eq!(bits::get(&received.choices, j), choice, "choice {j}");
        let mut row = 0u128;
        for tree in 0..32 {
            for b in 0..K {
                let v = (0..16)
                    .filter(|x| x >> b & 1 == 1)
                    .fold(false, |sum, x| sum ^ bit(tree, x));
                row |= u128::from(v) << (K * tree + b);
            }
        }
        assert!(received.rows[j] == Block(row), "row {j}");
        // Rows of a chunk lie one after the other; the second chunk is 300 OTs, padded to 384.
        let (chunk, at) = (j / OT_CHUNK, j % OT_CHUNK);
        let row_bytes = if chunk == 0 { OT_CHUNK / 8 } else { 384 / 8 };
        for tree in 1..32 {
            let start = chunk * 31 * OT_CHUNK / 8 + (tree - 1) * row_bytes;
            let d = message[start + at / 8] >> (at % 8) & 1 == 1;
            assert_eq!(d, u(tree) ^ choice, "correction of tree {tree}, OT {j}");
        }
    }
}

#[test]
fn given_choices_are_masked_by_the_same_word_in_every_row() {
    let n = 256;
    let run = |given: &[u64]| labelled_pair("masking").1.bits(n, Some(given)).unwrap().1;
    let given = random_bits(&mut prg("masked choices"), n);
    let (zero, masked) = (run(&[0; 4]), run(&given));
    let given = bytemuck::cast_slice::<u64, u8>(&given);
    for (a, b) in zero.chunks_exact(n / 8).zip(masked.chunks_exact(n / 8)) {
        let difference: Vec<u8> = a.iter().zip(b).map(|(a, b)| a ^ b).collect();
        assert_eq!(difference, given);
    }
}

#[test]
fn no_two_calls_and_no_two_places_share_output() {
    let elsewhere = [
        DIRECTION,
        Direction {
            session_id: [9; 32],
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
    ];
    let n = 200;
    let mut rows = std::collections::BTreeSet::new();
    let mut bit_words = std::collections::BTreeSet::new();
    for direction in elsewhere {
        // The same randomness everywhere: only the place differs.
        let mut pair = set_up(direction, &mut prg("separation"));
        for _ in 0..3 {
            let (q, t) = cots(&mut pair, n, None);
            rows.extend(q.rows.iter().chain(&t.rows).map(|row| row.0));
            let (received, message) = pair.1.bits(128, None).unwrap();
            let sent = pair.0.bits(128, Choices::Random, &message).unwrap();
            bit_words.extend(sent.zeros.iter().chain(&sent.ones).copied());
            bit_words.extend(&received.choices);
        }
    }
    // Where the choice is 0, q and t are one row; about half of 4·3·200 are.
    let distinct = rows.len();
    assert!(
        (3_300..3_900).contains(&distinct),
        "{distinct} distinct rows of 4800"
    );
    assert_eq!(bit_words.len(), 4 * 3 * 6);
}

/// Two receivers with the same randomness, one of which shows its rows: the other's bits are the
/// lowest ones of the rows hashed under the place's key and each OT's index in the session.
#[test]
fn bits_are_rows_hashed_with_their_index() {
    let place = [
        &DIRECTION.session_id[..],
        &DIRECTION.operation.to_le_bytes(),
        &[0, 1],
    ]
    .concat();
    let hash = CrHash::new(&derive_key("entente/v1/ot-extension/hash", &[&place]));
    let (_, mut shown) = labelled_pair("index");
    let (_, mut hidden) = labelled_pair("index");
    let mut first_index = 0;
    for n in [OT_CHUNK + 70, 130] {
        let (rows, _) = shown.cots(n, None).unwrap();
        let (bits, _) = hidden.bits(n, None).unwrap();
        assert_eq!(rows.choices, bits.choices);
        for (j, row) in rows.rows.iter().enumerate() {
            let hashed = hash.hash(*row, first_index + j as u64);
            assert_eq!(
                bits::get(&bits.chosen, j),
                hashed.0 & 1 == 1,
                "OT {j} of {n}"
            );
        }
        // The next call begins with a new chunk.
        first_index += n.next_multiple_of(OT_CHUNK) as u64;
    }
}

#[test]
fn messages_of_another_length_change_nothing() {
    let (mut sender, mut receiver) = labelled_pair("wrong length");
    let n = 1000;
    let (received, message) = receiver.cots(n, None).unwrap();
    let expected = message_bytes(n, Choices::Random);
    let mut long = message.clone();
    long.push(0);
    for bad in [&message[..0], &message[1..], &long] {
        let error = OtError::WrongLength {
            what: "OT extension",
            expected,
            actual: bad.len(),
        };
        assert_eq!(sender.cots(n, Choices::Random, bad).err(), Some(error));
        assert_eq!(sender.bits(n, Choices::Random, bad).err(), Some(error));
    }
    let sent = sender.cots(n, Choices::Random, &message).unwrap();
    assert_correlated(&sender, &sent, &received, n);
}

#[test]
fn tree_corrections_of_another_length_are_refused() {
    let mut prg = prg("trees length");
    for actual in [0, TREES_BYTES - 1, TREES_BYTES + 1] {
        let (sender, _) = SenderSetup::new(DIRECTION, &mut prg);
        let (_, key) = ReceiverSetup::new(DIRECTION, &mut prg);
        let error = OtError::WrongLength {
            what: "tree corrections",
            expected: TREES_BYTES,
            actual,
        };
        assert_eq!(sender.finish(&key, &vec![0; actual]).err(), Some(error));
    }
}

/// A flipped bit in the extension message breaks exactly one OT, and only where Δ_i is not zero.
#[test]
fn a_flipped_bit_breaks_one_row() {
    let (mut sender, mut receiver) = labelled_pair("flip");
    let n = 512;
    let (received, mut message) = receiver.cots(n, None).unwrap();
    let (tree, ot) = (17, 77);
    message[(tree - 1) * n / 8 + ot / 8] ^= 1 << (ot % 8);
    let sent = sender.cots(n, Choices::Random, &message).unwrap();
    let delta = sender.delta();
    let index = delta & Block(0xf << (4 * tree));
    for j in 0..n {
        let fault = if j == ot { index } else { Block::ZERO };
        let expected = delta.masked(u64::from(bits::get(&received.choices, j))) ^ fault;
        assert!(sent.rows[j] ^ received.rows[j] == expected, "OT {j}");
    }
}
