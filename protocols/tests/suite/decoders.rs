//! Bytes from a peer: every decoder takes anything and answers, and what it accepts it wrote.

use crate::world::prg;
use protocols::stamp::Stamp;
use protocols::wire::{FrameHeader, FrameShape, HEADER_BYTES, WireError};

fn header(seed: u64) -> FrameHeader {
    let mut prg = prg(seed);
    FrameHeader {
        stamp: Stamp {
            depth: prg.next_u64() as u32,
            time_ns: prg.next_u64(),
        },
        kind: prg.next_u64() as u16,
        len: prg.next_u64(),
    }
}

#[test]
fn a_header_survives_its_encoding() {
    for seed in 0..100 {
        let header = header(seed);
        assert_eq!(
            FrameHeader::decode(&header.encode()),
            Ok(header),
            "seed {seed}"
        );
    }
}

/// Agents of one version must read frames of another.
#[test]
fn the_layout_of_a_header_is_pinned() {
    let header = FrameHeader {
        stamp: Stamp {
            depth: 0x0708_090a,
            time_ns: 0x1112_1314_1516_1718,
        },
        kind: 0x0102,
        len: 0x2122_2324_2526_2728,
    };
    let expected = [
        0x02, 0x01, 0, 0, 0x0a, 0x09, 0x08, 0x07, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
        0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
    ];
    assert_eq!(header.encode(), expected);
}

#[test]
fn headers_of_any_length_and_content_are_read_or_refused() {
    let mut prg = prg(1);
    println!("seed 1");
    for len in 0..2 * HEADER_BYTES {
        for _ in 0..50 {
            let mut bytes = vec![0; len];
            prg.fill_bytes(&mut bytes);
            if prg.next_bounded(2) == 0 && len >= 4 {
                bytes[2..4].fill(0);
            }
            match FrameHeader::decode(&bytes) {
                Ok(header) => assert_eq!(header.encode()[..], bytes[..]),
                Err(error) => assert_eq!(error, WireError::Header),
            }
        }
    }
}

#[test]
fn every_mutation_of_a_header_is_noticed_or_harmless() {
    let expected = FrameShape { kind: 3, len: 4096 };
    let good = FrameHeader {
        stamp: Stamp {
            depth: 2,
            time_ns: 0,
        },
        kind: 3,
        len: 4096,
    };
    assert_eq!(good.admit(expected), Ok(()));
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = good.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let admitted = FrameHeader::decode(&bytes).and_then(|h| h.admit(expected));
        let is_stamp = (32..128).contains(&bit);
        assert_eq!(admitted.is_ok(), is_stamp, "bit {bit}");
    }
}
