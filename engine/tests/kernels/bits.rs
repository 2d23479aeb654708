use crate::{LENGTHS, prg};
use engine::bits;

#[test]
fn transpose_matches_bit_by_bit() {
    let mut prg = prg("transpose");
    for _ in 0..50 {
        let mut rows = [0u64; 64];
        prg.fill_ring(&mut rows);
        let mut out = rows;
        bits::transpose_64(&mut out);
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in out.iter().enumerate() {
                assert_eq!(row >> j & 1, column >> i & 1, "row {i}, column {j}");
            }
        }
        bits::transpose_64(&mut out);
        assert_eq!(out, rows);
    }
}

#[test]
fn packing_round_trips() {
    let mut prg = prg("packing");
    for len in LENGTHS {
        let bools: Vec<bool> = (0..len).map(|_| prg.next_u64() & 1 == 1).collect();
        let words = bits::pack(&bools);
        assert_eq!(words.len(), bits::words_for(len));
        assert_eq!(bits::unpack(&words, len), bools);
        let mut dirty: Vec<u64> = words.clone();
        if let (Some(last), 1..) = (dirty.last_mut(), len % 64) {
            *last |= u64::MAX << (len % 64);
        }
        bits::clear_tail(&mut dirty, len);
        assert_eq!(dirty, words);
    }
}

/// Cutting ranges out and putting them together again, at every remainder.
#[test]
fn ranges_are_cut_and_joined() {
    let mut prg = prg("ranges");
    for len in LENGTHS {
        let bools: Vec<bool> = (0..len).map(|_| prg.next_u64() & 1 == 1).collect();
        let words = bits::pack(&bools);
        for at in LENGTHS.into_iter().filter(|at| *at <= len) {
            let tail = bits::range(&words, at, len - at);
            assert_eq!(bits::unpack(&tail, len - at), bools[at..]);
            let head = bits::range(&words, 0, at);
            assert_eq!(bits::unpack(&head, at), bools[..at]);
            let mut joined = vec![0; bits::words_for(len)];
            bits::or_at(&mut joined, 0, &head);
            bits::or_at(&mut joined, at, &tail);
            assert_eq!(joined, words, "{len} bits cut at {at}");
        }
    }
}
