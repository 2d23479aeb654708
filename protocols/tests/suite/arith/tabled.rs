//! Comparison of two seats by tables: what both messages tell together.

use crate::demands::Places;
use crate::ideal;
use crate::world::{World, all_ok, transcripts};
use engine::ot::tables::{BITS, carries, entry, shifted};
use engine::share::Share;
use protocols::arith::compare::{self, Method};
use protocols::net::record::{Direction, Transcript};
use protocols::price::Seats;
use protocols::wire::Kind;
use std::sync::Mutex;

const N_LANES: usize = 64;
const BOUND_BITS: u32 = 62;
const N_TABLES: usize = N_LANES * 16;

/// The seats' summands: the same in every session, and far from random.
const SUMMANDS: [u64; 2] = [0x0003_0000_0000_ffff, 5];

/// The four bits of a summand that belong to a table.
fn digit(summand: u64, at: usize) -> u8 {
    (summand << (64 - BOUND_BITS) >> (BITS * (at % 16)) & 15) as u8
}

/// The one message of tables that a seat received.
fn received(transcript: &Transcript) -> Vec<u8> {
    let is_it = |kind: u16, len: usize| kind == Kind::MaskedBits as u16 && len > 0;
    let mut all = transcript.iter().filter(|entry| {
        entry.direction == Direction::Received && is_it(entry.frame.kind, entry.frame.body.len())
    });
    let body = all.next().expect("a message").frame.body.to_vec();
    assert!(all.next().is_none(), "one message a seat");
    body
}

/// Four tables' bits of two in a byte.
fn packed(bits: impl Iterator<Item = u8>) -> Vec<u8> {
    let bits: Vec<u8> = bits.collect();
    let pack = |four: &[u8]| four.iter().rev().fold(0, |byte, both| byte << 2 | both);
    bits.chunks(4).map(pack).collect()
}

/// Seat 1 asks, seat 0 tells. Each message is uniform, so are the told tables in the order of the index that was
/// asked for, and so is what seat 1 opens with the entries that it has: its share of the carries.
#[test]
fn both_messages_and_what_they_open_look_uniform() {
    let seats = Seats::computing(2);
    let needs =
        compare::less_than_zero_price::<u64>(seats, N_LANES, BOUND_BITS, Method::Summed).needs;
    assert_eq!(needs.tables, N_TABLES as u64);
    let mut places = Places::default();
    let mut shares_of_carries = Vec::new();
    for seed in 5000..5060 {
        let world = World::new(2, seed).recorded();
        let logs = world.logs();
        let stocks = ideal::stocks(2, &needs, seed).into_iter().map(Some);
        let stocks = Mutex::new(stocks.collect::<Vec<_>>());
        all_ok(world.run(async |session| {
            let me = session.seat().index();
            let stock = stocks.lock().expect("no panic")[me].take();
            let mut stock = stock.expect("each seat takes its own once");
            let x = Share::new(vec![SUMMANDS[me]; N_LANES]);
            let method = Method::Summed;
            let sign = compare::less_than_zero(session, &x, BOUND_BITS, method, &mut stock).await?;
            Ok(sign.into_words())
        }));
        let [asked, told] = [0, 1].map(|seat: usize| received(&transcripts(&logs)[seat]));
        let asked_for = |at: usize| asked[at / 2] >> (4 * (at % 2)) & 15;
        let (told_tables, _) = told.as_chunks::<4>();
        let told_table = |at: usize| u32::from_le_bytes(told_tables[at]);
        let own = ideal::stocks(2, &needs, seed).swap_remove(1);
        let own = { own }.take_tables(N_TABLES).expect("as many");
        let (words, indices) = own.as_parts();
        let ordered =
            (0..N_TABLES).flat_map(|at| shifted(told_table(at), asked_for(at)).to_le_bytes());
        let opened = (0..N_TABLES).map(|at| {
            let y = digit(SUMMANDS[1], at);
            assert_eq!(y ^ asked_for(at), indices[at], "d = y ⊕ c");
            entry(told_table(at), y) ^ entry(words[at], indices[at])
        });
        let opened = packed(opened);
        shares_of_carries.push(opened.clone());
        places.add_made(0, asked.clone());
        places.add_made(1, told.clone());
        places.add_made(2, ordered.collect());
        places.add_made(3, opened);
    }
    places.check(None, "tables");
    // They are shares of the carries: without seat 0's mask the same bytes would stand there in every session.
    let clear =
        (0..N_TABLES).map(|at| entry(carries(digit(SUMMANDS[0], at)), digit(SUMMANDS[1], at)));
    let clear = packed(clear);
    assert!(clear.iter().any(|byte| *byte != 0));
    let mut bare = Places::default();
    shares_of_carries
        .iter()
        .for_each(|_| bare.add_made(0, clear.clone()));
    let noticed = std::panic::catch_unwind(|| bare.check(None, "bare carries"));
    assert!(noticed.is_err(), "bare carries would be noticed");
}
