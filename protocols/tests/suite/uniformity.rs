//! Masked messages look uniform, whatever the secrets are; and the tests that say so would notice
//! if they were not masked, or masked twice with the same mask.
//!
//! Each test runs one job in many sessions and looks at one place in the list of messages at a
//! time: the bytes that this place held over all sessions. Seeds are fixed, so a test that passes
//! passes always; the bounds leave a chance of about one in a million for a true uniform source.

use crate::chi_square::{self, BOUND};
use crate::world::{Job, World, all_ok, seed_of, transcripts};
use bytes::Bytes;
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::aggregate::{self, CellRule, LocalTotals};
use protocols::compute::Compute;
use protocols::correlate;
use protocols::net::memory;
use protocols::net::record::{Direction, Recorder, Transcript};
use protocols::party::Seat;
use protocols::session::{Session, SessionConfig, insecure_configs};
use protocols::wire::{Kind, Wire, WireError};
use protocols::{arith, boolean};
use std::collections::BTreeMap;
use std::sync::Arc;

const N_SESSIONS: u64 = 300;

/// A place in the list of messages: receiver, sender, kind, and the how-manieth of that kind.
type Place = (Seat, Seat, u16, usize);

/// How often each byte value occurred at a place, over all sessions.
type Histograms = BTreeMap<Place, [u64; 256]>;

fn add(histograms: &mut Histograms, transcripts: &[Transcript]) {
    for (receiver, transcript) in Seat::first(transcripts.len()).zip(transcripts) {
        let mut seen: BTreeMap<(Seat, u16), usize> = BTreeMap::new();
        for entry in transcript
            .iter()
            .filter(|e| e.direction == Direction::Received)
        {
            let nth = seen.entry((entry.peer, entry.frame.kind)).or_default();
            let place = (receiver, entry.peer, entry.frame.kind, *nth);
            *nth += 1;
            let histogram = histograms.entry(place).or_insert([0; 256]);
            for byte in masked_part(entry.frame.kind, &entry.frame.body) {
                histogram[usize::from(*byte)] += 1;
            }
        }
    }
}

/// The part of a message that must look uniform: all of it, but for the digest of what everybody
/// has seen, which is the same for all.
fn masked_part(kind: u16, body: &Bytes) -> &[u8] {
    if kind == Kind::Commitments as u16 {
        &body[32..]
    } else {
        body
    }
}

/// χ² of two histograms against having the same distribution: 255 degrees of freedom.
fn chi_square_of_two(a: &[u64; 256], b: &[u64; 256]) -> f64 {
    let (n_a, n_b): (u64, u64) = (a.iter().sum(), b.iter().sum());
    let (up, down) = (
        (n_b as f64 / n_a as f64).sqrt(),
        (n_a as f64 / n_b as f64).sqrt(),
    );
    let terms = a.iter().zip(b).filter(|(a, b)| **a + **b > 0);
    terms
        .map(|(a, b)| (*a as f64 * up - *b as f64 * down).powi(2) / (a + b) as f64)
        .sum()
}

/// A job with 64 cells, so that no word has unused bits, among three holders.
fn job(mode: CellRule, seed: u64) -> Job {
    let n_checks = usize::from(mode != CellRule::None);
    Job::new(3, 64, n_checks, mode, seed)
}

/// The same secrets in many sessions.
fn histograms(
    mode: CellRule,
    first_seed: u64,
    inputs: impl Fn() -> Vec<LocalTotals>,
) -> Histograms {
    println!("sessions from seed {first_seed}");
    let mut histograms = Histograms::new();
    for seed in first_seed..first_seed + N_SESSIONS {
        let job = job(mode, seed);
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world, inputs()));
        add(&mut histograms, &transcripts(&logs));
    }
    histograms
}

/// Secrets that are far from random: the same small numbers at every holder.
fn plain(mode: CellRule, narrow: u64, wide: u128) -> Vec<LocalTotals> {
    let shape = job(mode, 0).shape;
    let count = |cell: usize| if cell < 32 { 9 } else { 1 };
    let totals = |_| LocalTotals {
        narrow: (0..shape.narrow)
            .map(
                |column| match shape.checks.iter().any(|c| c.column == column) {
                    true => (0..64).map(count).collect(),
                    false => vec![narrow; 64],
                },
            )
            .collect(),
        wide: vec![vec![wide; 64]],
    };
    (0..3).map(totals).collect()
}

#[test]
fn every_message_looks_uniform() {
    for mode in [CellRule::None, CellRule::Compare] {
        let histograms = histograms(mode, 1000, || plain(mode, 3, 5));
        assert!(histograms.len() >= 8, "{} places", histograms.len());
        for (place, histogram) in &histograms {
            let chi = chi_square::of_counts(histogram);
            assert!(chi < BOUND, "{mode:?}: χ² = {chi} at {place:?}");
        }
    }
}

/// The two-input experiment: whoever sees the messages cannot tell which of two inputs was used.
/// The bits that are opened are the same for both; everything else may differ.
#[test]
fn messages_do_not_tell_two_inputs_apart() {
    for mode in [CellRule::None, CellRule::Compare] {
        let one = histograms(mode, 2000, || plain(mode, 3, 5));
        let two = histograms(mode, 3000, || plain(mode, u64::MAX, 1 << 127));
        assert!(one.keys().eq(two.keys()));
        for (place, histogram) in &one {
            let chi = chi_square_of_two(histogram, &two[place]);
            assert!(chi < BOUND, "{mode:?}: χ² = {chi} at {place:?}");
        }
    }
}

/// Openings re-randomise what they open: even a share that is one seat's own number, and zero at the
/// others, says nothing but the sum.
#[test]
fn openings_of_shares_that_were_never_random_look_uniform() {
    let mut histograms = Histograms::new();
    for seed in 10_000..10_000 + N_SESSIONS {
        let world = World::new(3, seed).recorded();
        let logs = world.logs();
        let ended = world.run(async |session| {
            let own = 1 + u64::from(session.seat().0);
            let opened = arith::open(session, Share::new(vec![own; 64])).await?;
            let wide = arith::open(session, Share::new(vec![u128::from(own); 32])).await?;
            let bits = BitShare::from_words(4096, vec![own; 64]);
            Ok((opened, wide, boolean::open(session, bits).await?))
        });
        for (opened, wide, bits) in all_ok(ended) {
            assert_eq!((opened[0], wide[0], bits[0]), (6, 6, 1 ^ 2 ^ 3));
        }
        add(&mut histograms, &transcripts(&logs));
    }
    assert_eq!(histograms.len(), 3 * 2 * 3);
    for (place, histogram) in &histograms {
        let chi = chi_square::of_counts(histogram);
        assert!(chi < BOUND, "χ² = {chi} at {place:?}");
    }
}

/// Plain totals as a message: what a protocol must never send.
struct Plain(Vec<u64>);

impl Wire for Plain {
    const KIND: Kind = Kind::Masked;
    type Shape = usize;

    fn wire_len(n_items: usize) -> usize {
        n_items * 8
    }

    fn encode(self) -> Bytes {
        Bytes::copy_from_slice(ring::as_bytes(&self.0))
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(ring::from_bytes(&body).unwrap_or_default()))
    }
}

/// A protocol that is correct, costs what it says and leaks everything. The test above must fail
/// on it, or it proves nothing.
#[test]
fn a_protocol_that_sends_plain_values_would_be_noticed() {
    let leak = |value: u64, first_seed: u64| {
        let mut histograms = Histograms::new();
        for seed in first_seed..first_seed + N_SESSIONS {
            let world = World::new(3, seed).recorded();
            let logs = world.logs();
            let ended = world.run(async |session| {
                let own = vec![value; 64];
                let others = session.exchange(Plain(own.clone()), 64).await?;
                Ok(others.iter().fold(own, |mut sum, (_, Plain(theirs))| {
                    ring::add_assign(&mut sum, theirs);
                    sum
                }))
            });
            assert_eq!(
                all_ok(ended)[0],
                [3 * value; 64],
                "it is correct, after all"
            );
            add(&mut histograms, &transcripts(&logs));
        }
        histograms
    };
    let (one, two) = (leak(3, 4000), leak(7, 5000));
    for (place, histogram) in &one {
        assert!(chi_square::of_counts(histogram) > 100.0 * BOUND);
        assert!(chi_square_of_two(histogram, &two[place]) > BOUND);
    }
}

/// Sessions that share their keys, as a careless retry would. Each message is masked, but always
/// with the same mask.
#[test]
fn a_mask_that_is_used_twice_would_be_noticed() {
    let mut histograms = Histograms::new();
    for _ in 0..N_SESSIONS {
        let job = job(CellRule::Compare, 6000);
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world, plain(CellRule::Compare, 3, 5)));
        add(&mut histograms, &transcripts(&logs));
    }
    for (place, histogram) in &histograms {
        let chi = chi_square::of_counts(histogram);
        assert!(chi > 2.0 * BOUND, "χ² = {chi} at {place:?}");
    }
}

/// Configurations of one session whose seat 0 has other pair seeds than its peers believe.
fn with_wrong_keys(mut configs: Vec<SessionConfig>) -> Vec<SessionConfig> {
    for (i, seed) in configs[0].pair_seeds.iter_mut().enumerate().skip(1) {
        *seed = Some(seed_of(7000 + i as u64));
    }
    configs
}

/// Masks that do not cancel give a wrong total: the pair keys are what hides a holder's values,
/// and not some value that the receiver could do without.
#[test]
fn totals_are_wrong_if_the_masks_do_not_match() {
    let job = job(CellRule::None, 7000);
    let configs = insecure_configs(&seed_of(7000), memory::network(3), false, Compute::Inline);
    let outcome = crate::world::run_configs(with_wrong_keys(configs), async |session| {
        let input = job.inputs().swap_remove(session.seat().index());
        job.at_seat(session, Some(input)).await
    });
    let released = all_ok(outcome).swap_remove(0).expect("seat 0 receives");
    let expected = protocols::oracle::release(&job.inputs(), &job.shape);
    for (wrong, right) in released.narrow.iter().zip(&expected.narrow) {
        assert!(wrong.iter().zip(right).all(|(w, r)| w != r));
    }
}

/// The view of all holders but one, none of them a receiver: the coalition gets commitments and
/// masked bits, and no opening, so its view does not depend on what the honest holder has.
#[test]
fn a_coalition_without_a_receiver_cannot_tell_the_honest_input() {
    let run = |honest: u64, first_seed: u64| {
        let mut histograms = Histograms::new();
        for seed in first_seed..first_seed + N_SESSIONS {
            let job = job(CellRule::Compare, seed);
            let mut inputs = plain(CellRule::Compare, 3, 5);
            inputs[0].narrow[1].fill(honest);
            let world = job.world().recorded();
            let logs = world.logs();
            all_ok(job.run(world, inputs));
            let mut views = transcripts(&logs);
            views[0].clear();
            add(&mut histograms, &views);
        }
        histograms
    };
    let (one, two) = (run(0, 8000), run(u64::MAX, 9000));
    assert!(
        one.keys()
            .all(|(_, _, kind, _)| *kind != Kind::Opening as u16)
    );
    for (place, histogram) in &one {
        let chi = chi_square_of_two(histogram, &two[place]);
        assert!(chi < BOUND, "χ² = {chi} at {place:?}");
    }
}

/// What one seat does is a function of its seeds and of what it receives: replayed alone against
/// the transcript of the others, a seat sends the same and gets the same.
#[test]
fn one_seat_replays_from_its_transcript() {
    let job = job(CellRule::Compare, 9999);
    let world = job.world().recorded();
    let logs = world.logs();
    let whole = all_ok(job.run(world, job.inputs()))
        .swap_remove(0)
        .expect("seat 0 receives");
    let recorded = logs[0].transcript();

    let replay = protocols::net::record::Replay::new(&recorded);
    let (recorder, log) = Recorder::new(Arc::new(replay));
    let config = job.world().configs().swap_remove(0);
    let config = SessionConfig {
        network: Arc::new(recorder),
        ..config
    };
    let again = crate::world::block_on(async {
        let mut session = Session::new(config);
        let source = job.source().expect("a dealer");
        let stock = correlate::preprocess(&mut session, &source, &job.needs()).await?;
        let input = job.inputs().swap_remove(0);
        aggregate::release(&mut session, input, &job.shape, stock, job.disclosure()).await
    });
    assert!(again.expect("a result").expect("seat 0 receives") == whole);
    let sent = |transcript: Transcript| -> Vec<(Seat, Bytes)> {
        let sent = transcript
            .into_iter()
            .filter(|e| e.direction == Direction::Sent);
        let mut all: Vec<_> = sent.map(|e| (e.peer, e.frame.body)).collect();
        all.sort();
        all
    };
    assert!(sent(log.transcript()) == sent(recorded));
}
