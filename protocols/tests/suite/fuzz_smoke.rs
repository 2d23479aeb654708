//! Noise from a peer in place of any message of any protocol: no panic, no hang. Sizes are those that the receiver expects, so that
//! nothing but what a message stands for can be wrong ([`crate::feed`] says how often).

use crate::feed::{Draw, feed, repeat};
use crate::psi_circuit::{Join, side};
use crate::world::{Ended, Job, World};
use crate::{ecdh, kinds, lookup, psi_many, psi_vole};
use engine::curve::montgomery::Montgomery;
use engine::curve::ristretto::Ristretto;
use protocols::aggregate::CellRule;
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::psi::circuit::Keep;
use protocols::psi::ecdh::Learns;
use protocols::wire::{FrameHeader, HEADER_BYTES};
use std::sync::Arc;

/// Runs a protocol again and again, each time with another message of some seat exchanged.
fn feed_messages<T>(
    what: &str,
    times: u64,
    run: impl Fn(&dyn Fn(World) -> World) -> Vec<Ended<T>>,
) {
    let whole = run(&|world| world);
    let sent = |e: &Ended<T>| e.traffic.messages_sent.iter().sum::<u64>();
    let n_sent: Vec<u64> = whole.iter().map(sent).collect();
    assert!(whole.iter().all(|e| e.outcome.is_ok()), "{what}");
    let mut draw = Draw::new(20_261_123);
    let mut n_noticed = 0;
    repeat(times, |n| {
        let seat = draw.below(n_sent.len());
        if n_sent[seat] == 0 {
            return;
        }
        let at_message = draw.below(n_sent[seat] as usize) as u64;
        let change = match draw.below(4) {
            0 => Change::FlipBit(draw.next()),
            1 => Change::Lengthen,
            _ => Change::Noise(draw.next()),
        };
        println!("{what}, number {n}: seat {seat}, message {at_message}, {change:?}");
        let wrap = |world: World| {
            let tampered = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
            world.wrap(Seat::from_index(seat), tampered)
        };
        n_noticed += usize::from(run(&wrap).iter().any(|e| e.outcome.is_err()));
    });
    assert!(
        n_noticed > 0,
        "{what}: of noise that nobody notices nothing is learnt"
    );
}

#[test]
fn fuzz_smoke_of_frames() {
    let header = [
        3, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 16, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(header.len(), HEADER_BYTES);
    feed("a header", vec![header.to_vec()], |bytes| {
        if let Ok(header) = FrameHeader::decode(bytes) {
            assert_eq!(header.encode()[..], *bytes);
        }
    });
}

#[test]
fn fuzz_smoke_of_shares_and_correlations() {
    let job = Job::new(3, 13, 1, CellRule::Compare, 50);
    feed_messages("a release", 60, |wrap| {
        job.run(wrap(job.world()), job.inputs())
    });
    let needs = kinds::few(Seat(0));
    feed_messages("correlations", 30, |wrap| {
        kinds::run(wrap(World::new(2, 51)), &needs)
    });
}

#[test]
fn fuzz_smoke_of_intersections() {
    for learns in [Learns::Members, Learns::Count] {
        let job = ecdh::Job::new(20, 15, 5, learns, 52);
        feed_messages("Diffie-Hellman", 30, |wrap| {
            job.run::<Montgomery>(wrap(job.world()))
        });
        feed_messages("Diffie-Hellman on ristretto255", 30, |wrap| {
            job.run::<Ristretto>(wrap(job.world()))
        });
    }
    let sets = psi_vole::Sets::random(30, 40, 20, 53);
    feed_messages("a VOLE", 30, |wrap| sets.run(wrap(World::new(2, 53))));
    let sets = psi_many::Sets::random(&[15, 10, 12], 5, Seat(0), &[Seat(0), Seat(1)], 54);
    feed_messages("a star", 30, |wrap| sets.run(wrap(sets.world(54))));
    let join = Join::new(side(0, 6, 0, 0), &[side(1, 7, 1, 0)], Keep::All);
    feed_messages("a circuit", 30, |wrap| {
        join.run_join(wrap(World::new(2, 55)), 55)
    });
}

#[test]
fn fuzz_smoke_of_lookups() {
    let job = lookup::Job::new(6, 2, 6, 56);
    feed_messages("a lookup", 60, |wrap| job.run(wrap(World::new(2, 56))));
}
