//! Protocols between two seats: preprocessing and online work apart.
//!
//! A protocol is a line of [`CASES`]. The time is that of the slower seat; both share this machine's cores. On a network
//! in memory the network's time is not in it; some are measured over the agents' data plane on loopback as well.

mod online;
mod run;

use super::machine;
use super::report::{Extra, Meter, Work};
use crate::outcome::{Failure, Outcome};
use engine::bits::words_for;
use engine::matrix::{self, View};
use engine::prg::{Prg, Seed};
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};
use protocols::arith::compare::{self, Method};
use protocols::arith::{self, matmul, trunc};
use protocols::correlate::{MatrixShape, Needs, Stock};
use protocols::error::ProtocolError;
use protocols::net::BoxFuture;
use protocols::price::Seats;
use protocols::session::Session;
use protocols::table::TableShape;
use protocols::{scan, sort};
use run::{Net, Part, together};
use std::sync::Arc;

const SEED: [u8; 32] = *b"entente bench: protocols, seed 1";

/// Seats that compute.
const N_SEATS: usize = 2;

/// The size, and what a seat begins with.
type Online = for<'a> fn(
    &'a mut Session,
    &'a mut Stock,
    usize,
    Inputs,
) -> BoxFuture<'a, Result<Answer, ProtocolError>>;

/// A protocol, with inputs that everybody can make and with what must come out.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    unit: &'static str,
    /// The size, and that of a quick look.
    sizes: (usize, usize),
    /// The size where correlations are made by oblivious transfer, which takes longer.
    ot_size: usize,
    /// Measured once at its full size, because it takes seconds.
    once: bool,
    /// How many units a size is.
    count: fn(usize) -> usize,
    /// How many words each seat brings, and what number is made of a word.
    words: fn(usize) -> usize,
    number: fn(u64) -> u64,
    needs: fn(Seats, usize) -> Needs,
    /// What can make its correlations.
    sources: &'static [Prepared],
    /// Measured on loopback as well.
    over_quic: bool,
    online: Online,
    expected: fn(usize) -> Vec<u64>,
    /// By how much a value may be greater than expected.
    tolerance: u64,
}

/// What a seat has at the beginning.
struct Inputs {
    /// Shares of what is made of seat 0's words.
    x: Share<u64>,
    /// Shares of what is made of seat 1's words.
    y: Share<u64>,
    /// This seat's words.
    own: Vec<u64>,
}

/// What a seat has at the end: a share, or the value itself.
enum Answer {
    Sum(Share<u64>),
    Xor(Vec<u64>),
    Open(Vec<u64>),
}

const CASES: [Case; 9] = [
    Case {
        name: "open-u64",
        unit: "value",
        sizes: (1 << 22, 1 << 12),
        ot_size: 1 << 22,
        once: false,
        count: |n| n,
        words: |n| n,
        number: |word| word,
        needs: |_, _| Needs::default(),
        sources: &[],
        over_quic: false,
        online: |session, _, _, inputs| Box::pin(online::open(session, inputs)),
        expected: |n| pairs(n).map(|(x, y)| x.wrapping_add(y)).collect(),
        tolerance: 0,
    },
    Case {
        name: "and",
        unit: "AND",
        sizes: (1 << 26, 1 << 12),
        ot_size: 1 << 23,
        once: false,
        count: |n| n,
        words: words_for,
        number: |word| word,
        needs: |_, n| Needs::of_bit_triple_words(words_for(n)),
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: true,
        online: |session, stock, n, inputs| Box::pin(online::and(session, stock, n, inputs)),
        expected: |n| pairs(words_for(n)).map(|(x, y)| x & y).collect(),
        tolerance: 0,
    },
    Case {
        name: "multiply-u64",
        unit: "product",
        sizes: (1 << 22, 1 << 10),
        ot_size: 1 << 17,
        once: false,
        count: |n| n,
        words: |n| n,
        number: |word| word,
        needs: |seats, n| arith::mul::price::<u64>(seats, n).needs,
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: true,
        online: |session, stock, _, inputs| Box::pin(online::multiply(session, stock, inputs)),
        expected: |n| pairs(n).map(|(x, y)| x.wrapping_mul(y)).collect(),
        tolerance: 0,
    },
    Case {
        name: "multiply-fixed-u64",
        unit: "product",
        sizes: (1 << 21, 1 << 10),
        ot_size: 1 << 14,
        once: false,
        count: |n| n,
        words: |n| n,
        number: real,
        needs: |seats, n| {
            let product = arith::mul::price::<u64>(seats, n);
            product
                .then(&trunc::price::<u64>(seats, n, FRAC_BITS))
                .needs
        },
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: false,
        online: |session, stock, _, inputs| {
            Box::pin(online::multiply_fixed(session, stock, inputs))
        },
        expected: |n| {
            let products = pairs(n).map(|(x, y)| real(x).wrapping_mul(real(y)).cast_signed());
            products
                .map(|product| (product >> FRAC_BITS).cast_unsigned())
                .collect()
        },
        tolerance: 1,
    },
    Case {
        name: "less-than-zero-masked-u64",
        unit: "comparison",
        sizes: (1 << 19, 1 << 10),
        ot_size: 1 << 14,
        once: false,
        count: |n| n,
        words: |n| n,
        number: bounded,
        needs: |seats, n| {
            compare::less_than_zero_price::<u64>(seats, n, BOUND_BITS, Method::Masked).needs
        },
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: true,
        online: |session, stock, _, inputs| {
            Box::pin(online::less_than_zero(
                session,
                stock,
                inputs,
                Method::Masked,
            ))
        },
        expected: |n| packed(first(n).into_iter().map(|x| bounded(x).cast_signed() < 0)),
        tolerance: 0,
    },
    Case {
        name: "less-than-zero-summed-u64",
        unit: "comparison",
        sizes: (1 << 18, 1 << 10),
        ot_size: 1 << 17,
        once: false,
        count: |n| n,
        words: |n| n,
        number: bounded,
        needs: |seats, n| {
            compare::less_than_zero_price::<u64>(seats, n, BOUND_BITS, Method::Summed).needs
        },
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: true,
        online: |session, stock, _, inputs| {
            Box::pin(online::less_than_zero(
                session,
                stock,
                inputs,
                Method::Summed,
            ))
        },
        expected: |n| packed(first(n).into_iter().map(|x| bounded(x).cast_signed() < 0)),
        tolerance: 0,
    },
    Case {
        name: "matrix-product-u64",
        unit: "multiply-add",
        sizes: (1000, 20),
        ot_size: 64,
        once: false,
        count: |n| n * n * n,
        words: |n| n * n,
        number: |word| word,
        needs: |seats, n| matmul::price::<u64>(seats, square(n)).needs,
        sources: &[Prepared::ByDealer, Prepared::ByOt],
        over_quic: true,
        online: |session, stock, n, inputs| {
            Box::pin(online::matrix_product(session, stock, n, inputs))
        },
        expected: |n| {
            let (x, y) = (first(n * n), second(n * n));
            matrix::mul(View::new(&x, n, n), View::new(&y, n, n))
        },
        tolerance: 0,
    },
    Case {
        name: "sort-64-bit-keys",
        unit: "row",
        sizes: (1 << 20, 1 << 8),
        ot_size: 1 << 8,
        once: true,
        count: |n| n,
        words: |n| n,
        number: |word| word,
        needs: |seats, n| sort::quick_price(rows_of(n, 0), seats).needs,
        sources: &[Prepared::ByDealer],
        over_quic: false,
        online: |session, stock, n, inputs| Box::pin(online::sorted(session, stock, n, inputs)),
        expected: |n| {
            let mut keys = first(n);
            keys.sort_unstable();
            planes(&keys)
        },
        tolerance: 0,
    },
    Case {
        name: "group-by-sum-1000-hidden-groups",
        unit: "row",
        sizes: (1 << 20, 1 << 8),
        ot_size: 1 << 8,
        once: true,
        count: |n| n,
        words: |n| n / 2,
        number: |word| word,
        needs: |seats, n| {
            sort::merge_price(&[n / 2; 2], rows_of(n, 1), seats)
                .then(&scan::same_group_price(n, KEY_BITS, seats))
                .then(&scan::sums_price::<u64>(n, 1, seats))
                .needs
        },
        sources: &[Prepared::ByDealer],
        over_quic: false,
        online: |session, stock, n, inputs| {
            Box::pin(online::group_by_sum(session, stock, n, inputs))
        },
        expected: |n| {
            let mut keys = [first(n / 2), second(n / 2)].concat();
            keys.iter_mut().for_each(|word| *word = group(*word));
            keys.sort_unstable();
            let groups = keys.chunk_by(|a, b| a == b);
            groups.flat_map(|rows| 1..=rows.len() as u64).collect()
        },
        tolerance: 0,
    },
];

/// Bits of a row's key.
const KEY_BITS: usize = 64;

fn rows_of(n_rows: usize, n_values: usize) -> TableShape {
    TableShape {
        n_rows,
        key_bits: KEY_BITS,
        extra_bits: 0,
        ring64: n_values,
        ring128: 0,
    }
}

/// One of a thousand groups, whose keys have all bits.
fn group(word: u64) -> u64 {
    (word % 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Bit by bit, one vector after another.
fn planes(keys: &[u64]) -> Vec<u64> {
    let planes = to_planes(keys, KEY_BITS).into_iter();
    planes.flat_map(BitShare::into_words).collect()
}

/// Fractional bits of the factors.
const FRAC_BITS: u32 = 16;

/// A fixed-point number between −2^15 and 2^15.
fn real(word: u64) -> u64 {
    (word.cast_signed() >> 33).cast_unsigned()
}

/// Numbers that are compared lie between −2^62 and 2^62.
const BOUND_BITS: u32 = 62;

fn bounded(word: u64) -> u64 {
    (word.cast_signed() >> 1).cast_unsigned()
}

fn square(side: usize) -> MatrixShape {
    MatrixShape {
        m: side,
        k: side,
        n: side,
    }
}

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    for case in CASES {
        let networks: &[Net] = match case.over_quic {
            true => &[Net::Memory, Net::Quic],
            false => &[Net::Memory],
        };
        for net in networks {
            let (full, quick) = case.sizes;
            if case.sources.is_empty() {
                let n_items = meter.scale.size(full, quick);
                measure_case(meter, case, n_items, (*net, None)).await?;
            }
            for source in case.sources {
                let full = match source {
                    Prepared::ByDealer => full,
                    Prepared::ByOt => case.ot_size,
                };
                let n_items = meter.scale.size(full, quick);
                measure_case(meter, case, n_items, (*net, Some(*source))).await?;
            }
        }
    }
    Ok(())
}

/// Where a case has its correlations from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prepared {
    ByDealer,
    ByOt,
}

/// Measures a case with correlations from a dealer, by oblivious transfer, or without any.
async fn measure_case(
    meter: &mut Meter<'_>,
    case: Case,
    n_items: usize,
    (net, prepared_by): (Net, Option<Prepared>),
) -> Outcome<()> {
    let name = match net {
        Net::Memory => format!("protocols/{}", case.name),
        Net::Quic => format!("protocols/quic/{}", case.name),
    };
    meter.announce(&format!("{name}/{n_items}"));
    machine::forget_peak_rss();
    let expected: Arc<[u64]> = (case.expected)(n_items).into();
    let (mut prepared, mut done, mut correct) = (Vec::new(), Vec::new(), true);
    // The first run warms up, but for what takes seconds.
    let repetitions = match case.once && n_items == case.sizes.0 {
        true => 1..=1,
        false => 0..=meter.scale.repetitions,
    };
    for repetition in repetitions {
        let (prepare, online, right) = together(case, n_items, (net, prepared_by), &expected)
            .await
            .map_err(|error| Failure::runtime("protocol", error.to_string()).at(name.clone()))?;
        correct &= right;
        if repetition > 0 {
            prepared.push(prepare);
            done.push(online);
        }
    }
    let mut take_down = |what: &str, parts: Vec<Part>| {
        let work = Work::new(
            format!("{name}/{what}/{n_items}"),
            (case.count)(n_items),
            case.unit,
        );
        let one = parts[0];
        let seconds = parts.iter().map(|part| part.time.as_secs_f64()).collect();
        let extra = Extra {
            bytes_sent: Some(one.bytes_sent),
            rounds: Some(one.rounds),
            ..Extra::of_this_process(correct)
        };
        meter.record(work, seconds, extra);
    };
    match prepared_by {
        Some(Prepared::ByDealer) => take_down("prepare-dealer", prepared),
        Some(Prepared::ByOt) => take_down("prepare-ot", prepared),
        None => {}
    }
    let takes = |n_seats| {
        (case.needs)(
            Seats {
                n_seats,
                n_computing: N_SEATS,
            },
            n_items,
        )
    };
    match prepared_by {
        Some(Prepared::ByOt) if takes(N_SEATS) != takes(N_SEATS + 1) => {
            take_down("online-ot", done)
        }
        // The online part is the same whatever the source.
        Some(Prepared::ByOt) => {}
        _ => take_down("online", done),
    }
    Ok(())
}

fn vector(n_items: usize, stream: u64) -> Vec<u64> {
    let mut values = vec![0; n_items];
    Prg::new(&Seed::from_bytes(SEED), stream).fill_ring(&mut values);
    values
}

/// The input of seat 0.
fn first(n_items: usize) -> Vec<u64> {
    vector(n_items, 0)
}

/// The input of seat 1.
fn second(n_items: usize) -> Vec<u64> {
    vector(n_items, 1)
}

/// Both inputs, item by item.
fn pairs(n_items: usize) -> impl Iterator<Item = (u64, u64)> {
    first(n_items).into_iter().zip(second(n_items))
}

/// Bits in words, lowest first.
fn packed(bits: impl Iterator<Item = bool>) -> Vec<u64> {
    let bits: Vec<bool> = bits.collect();
    let words = bits.chunks(64);
    let word = |bits: &[bool]| {
        bits.iter()
            .rev()
            .fold(0, |word, bit| word << 1 | u64::from(*bit))
    };
    words.map(word).collect()
}
