//! Matrix triples from ring learning with errors: the demands on every source, for shapes that are made that way.

use crate::ideal;
use crate::transfer::{assert_uniform, shape};
use crate::world::{Ended, World, all_ok, transcripts};
use engine::params::{LATTICE_DEGREE, LATTICE_PRIMES};
use protocols::correlate::{MatrixShape, Needs, RingNeeds, Source, Stock, cost, preprocess};
use protocols::error::ProtocolError;
use protocols::net::Network;
use protocols::net::record::Direction;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use std::sync::Arc;

/// Residues take 7 bytes in a message, and a key begins with a seed.
const RESIDUE_BYTES: usize = 7;
const SEED_BYTES: usize = 32;

fn of(shapes: &[(usize, usize, usize)]) -> Needs {
    let shapes = shapes.iter().map(|&(m, k, n)| MatrixShape { m, k, n });
    Needs::of_ring::<u64>(RingNeeds {
        matrices: shapes.collect(),
        ..RingNeeds::default()
    })
}

fn run(source: Source, world: World, needs: &Needs) -> Vec<Ended<Stock>> {
    world.run(async |session| preprocess(session, &source, needs).await)
}

/// Every seat's stock, at the declared cost.
fn made(source: Source, n_computing: usize, needs: &Needs) -> Vec<Stock> {
    let declared = cost(&source, n_computing, needs);
    let ended = run(source, World::new(n_computing, 3), needs);
    for (seat, ended) in ended.iter().enumerate() {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        assert_eq!(ended.traffic.rounds, declared.rounds);
    }
    all_ok(ended)
}

/// Products, sums over rows and Gram matrices of models: with few columns and many rows on either side, over several groups
/// of ciphertexts, and with a small matrix among them that is made by transfers.
#[test]
fn large_matrices_hold_their_equations_at_the_declared_cost() {
    let needs = of(&[
        (3000, 7, 1),
        (1, 3000, 7),
        (7, 9001, 6),
        (2, 3, 4),
        (5, 1, 9000),
    ]);
    ideal::check(&needs, made(Source::Ot, 2, &needs));
    ideal::check(&needs, made(Source::FerretOt, 2, &needs));
    let needs = of(&[(2000, 9, 1), (9, 2000, 9)]);
    ideal::check(&needs, made(Source::Ot, 3, &needs));
}

/// So many columns that results go out in groups, and ciphertexts are kept for all of them.
#[test]
fn results_of_several_groups_hold_their_equations() {
    let needs = of(&[(1, 3, 540_000)]);
    ideal::check(&needs, made(Source::Ot, 2, &needs));
}

/// A multiplication by oblivious transfer takes 520 bytes, both ways together.
#[test]
fn large_matrices_take_a_fraction_of_what_transfers_would() {
    let (m, k, n) = (17, 37_000, 17);
    let declared = cost(&Source::Ot, 2, &of(&[(m, k, n)]));
    let bytes: u64 = declared.bytes.iter().flatten().sum();
    assert!(bytes * 25 < 520 * (m * k * n) as u64, "{bytes} bytes");
}

#[test]
fn other_randomness_gives_the_same_messages_in_shape() {
    let needs = of(&[(6, 900, 6), (900, 6, 1)]);
    let recorded = |seed| {
        let world = World::new(3, seed).recorded();
        let logs = world.logs();
        all_ok(run(Source::Ot, world, &needs));
        transcripts(&logs)
    };
    for (one, two) in recorded(3).iter().zip(&recorded(4)) {
        assert_eq!(shape(one), shape(two));
    }
}

/// Residues in equal parts of their prime: one byte each.
fn as_bytes(residues: &[u8], n_each: usize) -> Vec<u8> {
    let values = residues.chunks_exact(RESIDUE_BYTES).map(|bytes| {
        let mut word = [0; 8];
        word[..RESIDUE_BYTES].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    let of_primes = (0..).map(|at: usize| LATTICE_PRIMES[at / n_each % LATTICE_PRIMES.len()]);
    let parts = values.zip(of_primes);
    parts
        .map(|(value, p)| {
            assert!(value < p, "a residue is below its prime");
            (u128::from(value) * 256 / u128::from(p)) as u8
        })
        .collect()
}

/// Keys, ciphertexts and results, of a product that every seat is in with every other.
#[test]
fn messages_look_uniform() {
    let (m, k, n) = (6, 1500, 6);
    let needs = of(&[(m, k, n)]);
    let world = World::new(3, 5).recorded();
    let logs = world.logs();
    all_ok(run(Source::Ot, world, &needs));
    let component = LATTICE_PRIMES.len() * LATTICE_DEGREE * RESIDUE_BYTES;
    let (mut n_keys, mut n_results) = (0, 0);
    for transcript in transcripts(&logs) {
        let received = transcript.iter();
        for entry in received.filter(|e| e.direction == Direction::Received) {
            let body = &entry.frame.body;
            match body.len() {
                // Base OT.
                len if len < component / 4 => {}
                len if len % component == SEED_BYTES => {
                    let residues = &body[SEED_BYTES..];
                    assert_uniform(&as_bytes(residues, LATTICE_DEGREE), "ciphertexts");
                    n_keys += 1;
                }
                _ => {
                    // The first component that comes back, and elements of the product after it.
                    let returned = &body[..component / 2];
                    assert_uniform(&as_bytes(returned, LATTICE_DEGREE), "results");
                    n_results += 1;
                }
            }
        }
    }
    assert_eq!(
        (n_keys, n_results),
        (6, 6),
        "one from every seat to every other"
    );
}

fn few() -> Needs {
    of(&[(5, 600, 5)])
}

fn n_messages(seat: Seat) -> u64 {
    cost(&Source::Ot, 2, &few()).messages[seat.index()]
        .iter()
        .sum()
}

#[test]
fn a_seat_that_dies_ends_all_others() {
    for seat in Seat::first(2) {
        for at_message in 0..n_messages(seat) {
            let cut = Cut { seat, at_message };
            let network = sim::network(2, LinkModel::LAN, Some(cut));
            let ended = run(Source::Ot, World::new(2, 4).on(network), &few());
            let is_link = |e: &Ended<Stock>| matches!(e.outcome, Err(ProtocolError::Link { .. }));
            assert!(ended.iter().any(is_link), "{cut:?}");
            let is_clean = |e: &Ended<Stock>| e.outcome.is_ok() || is_link(e);
            assert!(ended.iter().all(is_clean), "{cut:?}");
        }
    }
}

/// Keys, ciphertexts and results that were changed are refused, or spoil correlations; nobody panics, hangs or blames another.
#[test]
fn a_changed_message_does_no_harm_beyond_its_session() {
    // The top bit of the first residue after a seed, or of the first of a result.
    let top_of_key = Change::FlipBit(8 * (SEED_BYTES + RESIDUE_BYTES) as u64 - 1);
    let top = Change::FlipBit(8 * RESIDUE_BYTES as u64 - 1);
    let changes = [
        top_of_key,
        top,
        Change::FlipBit(0),
        Change::Kind,
        Change::Shorten,
        Change::Lengthen,
    ];
    for at_message in 0..n_messages(Seat(1)) {
        for change in changes {
            let tamper =
                |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<dyn Network>;
            let ended = run(Source::Ot, World::new(2, 8).wrap(Seat(1), tamper), &few());
            let blamed = ended.iter().filter_map(|e| match &e.outcome {
                Err(ProtocolError::PeerMisbehaved { seat, .. }) => Some(*seat),
                _ => None,
            });
            let blamed: Vec<Seat> = blamed.collect();
            assert!(
                blamed.iter().all(|s| *s == Seat(1)),
                "{change:?}: {blamed:?}"
            );
            let is_length = matches!(change, Change::Kind | Change::Shorten | Change::Lengthen);
            // The key goes in the second message, results in the last.
            let is_residue = at_message == 1 && change == top_of_key
                || at_message + 1 == n_messages(Seat(1)) && change == top;
            if is_length || is_residue {
                assert_eq!(blamed.len(), 1, "{change:?} at message {at_message}");
            }
        }
    }
}
