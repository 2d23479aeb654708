use super::{DIRECTION, labelled_pair};
use engine::bits;
use engine::block::Block;
use engine::ot::extend::{Choices, Extension};
use engine::ot::products::Hasher;
use engine::ot::tables::{entry, receive, send};

/// Tables, and the receiver's words and choices, made as rows are made or from rows in memory.
fn tables(n_ots: usize, in_memory: bool) -> (Vec<u32>, Vec<u32>, Vec<u64>) {
    let (mut sender, mut receiver) = labelled_pair("tables");
    let (at_sender, at_receiver) = (Hasher::new(&DIRECTION), Hasher::new(&DIRECTION));
    let delta = sender.delta();
    if in_memory {
        let (received, message) = receiver.cots(n_ots, None).unwrap();
        let sent = sender.cots(n_ots, Choices::Random, &message).unwrap();
        let tables = send((&at_sender, 0), (delta, &sent.rows[..]));
        let (words, _) = receive((&at_receiver, 0), &received.rows[..]);
        return (tables, words, received.choices.clone());
    }
    let (words, extension) = receive((&at_receiver, 0), receiver.rows(n_ots, None).unwrap());
    let Extension { choices, message } = extension;
    let rows = sender.rows(n_ots, Choices::Random, &message).unwrap();
    (send((&at_sender, 0), (delta, rows)), words, choices)
}

#[test]
fn the_receiver_has_one_entry_of_each_table() {
    // Within a chunk, at its end, and over several.
    for n_ots in [0, 64, 8192, 3 * 8192 + 64] {
        let (tables, words, choices) = tables(n_ots, false);
        assert_eq!(tables.len(), n_ots / 4);
        let mut equal = 0;
        for (at, (table, word)) in tables.iter().zip(&words).enumerate() {
            let index = (choices[at / 16] >> (4 * (at % 16)) & 15) as u8;
            assert_eq!(entry(*table, index), entry(*word, index), "table {at}");
            let others = (0..16).filter(|x| *x != index);
            equal += others
                .filter(|x| entry(*table, *x) == entry(*word, *x))
                .count();
        }
        // The 15 other entries agree as often as random ones.
        let (expected, n) = (15.0 / 4.0 * tables.len() as f64, tables.len() as f64);
        let deviation = (equal as f64 - expected).abs();
        assert!(
            deviation <= 5.0 * (15.0 * n * 3.0 / 16.0).sqrt(),
            "{equal} of {expected}"
        );
    }
}

#[test]
fn rows_in_memory_make_the_same_tables() {
    assert_eq!(tables(2 * 8192 + 128, true), tables(2 * 8192 + 128, false));
}

/// What a sender who had all messages of all OTs but one bit's would find at every other entry.
#[test]
fn messages_are_those_of_single_transfers() {
    let (mut sender, mut receiver) = labelled_pair("one table");
    let (received, message) = receiver.cots(64, None).unwrap();
    let sent = sender.cots(64, Choices::Random, &message).unwrap();
    let hasher = Hasher::new(&DIRECTION);
    let [zeros, ones] = hasher.sender_bits::<32>(0, sender.delta(), &sent.rows[..]);
    let tables = send((&hasher, 0), (sender.delta(), &sent.rows[..]));
    let rows: &[Block] = &received.rows;
    assert_eq!(rows.len(), 64);
    for (at, table) in tables.iter().enumerate() {
        for x in 0..16u8 {
            let mut expected = 0;
            for i in 0..4 {
                let messages = if x >> i & 1 == 1 { &ones } else { &zeros };
                let ot = 4 * at + i;
                let bit = |n: usize| u8::from(bits::get(&messages[n], ot));
                expected ^= bit(2 * usize::from(x)) | bit(2 * usize::from(x) + 1) << 1;
            }
            assert_eq!(entry(*table, x), expected, "entry {x} of table {at}");
        }
    }
}
