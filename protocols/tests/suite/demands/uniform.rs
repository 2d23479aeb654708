//! Messages that look uniform: each by itself, and what all seats' messages of a step open.
//!
//! Vectors of bits are sent as whole words. Bits past the last lane are zero at every seat, whatever the
//! secrets; they are public, and no mask is needed. How many lanes there are follows from the length of a
//! selection's message, and is named by the test where bits alone are opened, so that a zero anywhere else
//! is not taken for padding.

use super::{Case, ended};
use crate::chi_square;
use crate::world::{World, all_ok, transcripts};
use protocols::net::record::{Direction, Transcript};
use protocols::party::Seat;
use protocols::wire::Kind;
use std::collections::BTreeMap;

/// Where bytes were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A message: receiver, sender, and the how-manieth.
    Message(Seat, Seat, usize),
    /// The XOR of all seats' messages of a step that opens lanes: path, and the how-manieth.
    Xor(u64, usize),
    /// Their sum, word by word.
    Sum(u64, usize),
    /// What a test made of messages, by a number of its own.
    Made(usize),
}

/// What was seen at a place, over all sessions.
#[derive(Default)]
struct Seen {
    bodies: Vec<Vec<u8>>,
    /// The bits that were ever 1 at any seat.
    ever: Vec<u8>,
}

impl Seen {
    /// `body` was made of these messages.
    fn add(&mut self, body: Vec<u8>, parts: &[&[u8]]) {
        self.ever.resize(self.ever.len().max(body.len()), 0);
        for part in parts {
            self.ever.iter_mut().zip(*part).for_each(|(e, p)| *e |= p);
        }
        self.bodies.push(body);
    }
}

/// All that was seen in many sessions, among three seats if messages are added.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<Place, Seen>);

/// Every message, from many sessions with the same secrets, and every opening under a mask, has bytes
/// that are uniform. There is no padding.
pub(crate) fn check_uniform<C: Case>(case: &C, n_sessions: u64) {
    check(case, n_sessions, &[], None);
}

/// [`check_uniform`] of all messages but those of some kinds.
pub(crate) fn check_uniform_but<C: Case>(case: &C, n_sessions: u64, public: &[Kind]) {
    check(case, n_sessions, public, None);
}

/// [`check_uniform_lanes`] of all messages but those of some kinds.
pub(crate) fn check_uniform_lanes_but<C: Case>(
    case: &C,
    n_sessions: u64,
    lanes: &[usize],
    public: &[Kind],
) {
    assert!(n_sessions >= 40, "enough to tell padding from chance");
    check(case, n_sessions, public, Some(lanes));
}

/// [`check_uniform`] of all bits but those past the last lane of selections, and of vectors of so many bits.
/// Over 40 sessions and more a bit that is always 0 is one that has to be.
pub(crate) fn check_uniform_lanes<C: Case>(case: &C, n_sessions: u64, lanes: &[usize]) {
    check_uniform_lanes_but(case, n_sessions, lanes, &[]);
}

fn check<C: Case>(case: &C, n_sessions: u64, public: &[Kind], lanes: Option<&[usize]>) {
    let mut places = Places::default();
    for seed in 0..n_sessions {
        let world = World::new(3, 1000 + seed).recorded();
        let logs = world.logs();
        all_ok(ended(case, world, 13));
        places.add(&transcripts(&logs), public);
    }
    places.check(lanes, &format!("{case:?}"));
}

impl Places {
    /// Adds a session's messages, but those of some kinds.
    pub(crate) fn add(&mut self, transcripts: &[Transcript], public: &[Kind]) {
        for (receiver, transcript) in Seat::first(3).zip(transcripts) {
            self.add_messages(receiver, transcript, public);
        }
        self.add_steps(&transcripts[0]);
    }

    /// Adds what a test made of a session's messages.
    pub(crate) fn add_made(&mut self, number: usize, body: Vec<u8>) {
        let all = body.clone();
        self.at(Place::Made(number)).add(body, &[&all]);
    }

    fn at(&mut self, place: Place) -> &mut Seen {
        self.0.entry(place).or_default()
    }

    fn add_messages(&mut self, receiver: Seat, transcript: &Transcript, public: &[Kind]) {
        let mut nth = BTreeMap::new();
        for entry in transcript
            .iter()
            .filter(|e| e.direction == Direction::Received)
            .filter(|e| public.iter().all(|kind| *kind as u16 != e.frame.kind))
        {
            let nth: &mut usize = nth.entry(entry.peer).or_default();
            let place = Place::Message(receiver, entry.peer, *nth);
            *nth += 1;
            let body = &entry.frame.body[..];
            self.at(place).add(body.to_vec(), &[body]);
        }
    }

    /// What the first of three seats sees opened under masks: each seat's message is uniform even if it is
    /// a bare share, but then all of them together are not.
    fn add_steps(&mut self, transcript: &Transcript) {
        let mut steps: BTreeMap<u64, [Vec<&[u8]>; 3]> = BTreeMap::new();
        for entry in transcript
            .iter()
            .filter(|e| e.frame.kind == Kind::MaskedLanes as u16)
        {
            let from = match (entry.direction, entry.peer) {
                (Direction::Received, peer) => peer.index(),
                (Direction::Sent, Seat(1)) => 0,
                (Direction::Sent, _) => continue,
            };
            steps.entry(entry.path.0).or_default()[from].push(&entry.frame.body);
        }
        for (path, [first, second, third]) in steps {
            assert!(first.len() == second.len() && first.len() == third.len());
            let parts = first.into_iter().zip(second).zip(third);
            for (nth, ((first, second), third)) in parts.enumerate() {
                let parts = [first, second, third];
                let xor = joined(parts, |x, y| x ^ y);
                self.at(Place::Xor(path, nth)).add(xor, &parts);
                let sum = joined(parts, u64::wrapping_add);
                self.at(Place::Sum(path, nth)).add(sum, &parts);
            }
        }
    }

    /// Panics if some place does not look uniform; see [`check_uniform_lanes`].
    pub(crate) fn check(&self, lanes: Option<&[usize]>, what: &str) {
        for (place, seen) in &self.0 {
            let what = format!("{what}, {place:?}");
            let counts = bits_that_count(seen, lanes, &what);
            check_bytes(seen, &counts, &what);
            check_bits(seen, &counts, &what);
        }
    }
}

fn joined(parts: [&[u8]; 3], join: fn(u64, u64) -> u64) -> Vec<u8> {
    let words = parts.map(words);
    let all = words[0].iter().zip(&words[1]).zip(&words[2]);
    all.flat_map(|((x, y), z)| join(join(*x, *y), *z).to_le_bytes())
        .collect()
}

fn words(body: &[u8]) -> Vec<u64> {
    let (words, rest) = body.as_chunks();
    assert!(rest.is_empty(), "whole words");
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// All bits, as a mask of each byte, but those past the last lane, if there may be any.
fn bits_that_count(seen: &Seen, lanes: Option<&[usize]>, what: &str) -> Vec<u8> {
    let all = vec![u8::MAX; seen.ever.len()];
    let (Some(lanes), true) = (lanes, seen.ever.len().is_multiple_of(8)) else {
        return all;
    };
    let ever = words(&seen.ever);
    let Some(first) = ever.iter().position(|word| *word != u64::MAX) else {
        return all;
    };
    let is_padded =
        is_selection(&ever, first) || lanes.iter().any(|n| are_planes(&ever, first, *n));
    let ever = &ever[first..];
    assert!(
        is_padded,
        "{what}: zeros that are no padding: {ever:x?} from word {first} on"
    );
    seen.ever.clone()
}

/// The bits of a last word that belong to one of n lanes.
fn used(n: usize) -> u64 {
    u64::MAX >> ((64 - n % 64) % 64)
}

/// n ring elements, and then n bits: only the last word is padded.
fn is_selection(ever: &[u64], first: usize) -> bool {
    let fits = |n: usize| {
        let is_length = [1, 2].iter().any(|e| e * n + n.div_ceil(64) == ever.len());
        is_length && ever[first] == used(n)
    };
    first + 1 == ever.len() && (1..=ever.len()).any(fits)
}

/// Vectors of n bits at the end of a message: the last word of each is padded.
fn are_planes(ever: &[u64], first: usize, n: usize) -> bool {
    let expected = |at: usize| match (ever.len() - 1 - at).is_multiple_of(n.div_ceil(64)) {
        true => used(n),
        false => u64::MAX,
    };
    (first..ever.len()).all(|at| ever[at] == expected(at))
}

/// χ² of the bytes all of whose bits count.
fn check_bytes(seen: &Seen, counts: &[u8], what: &str) {
    let mut histogram = [0u64; 256];
    for body in &seen.bodies {
        let bytes = body.iter().zip(counts).filter(|(_, c)| **c == u8::MAX);
        bytes.for_each(|(byte, _)| histogram[usize::from(*byte)] += 1);
    }
    let chi = chi_square::of_counts(&histogram);
    assert!(chi < chi_square::BOUND, "{what}: χ² = {chi} of bytes");
}

/// χ² of how often each bit that counts is 1, if the messages of all sessions have one length; seven
/// standard deviations, because there may be few degrees of freedom.
fn check_bits(seen: &Seen, counts: &[u8], what: &str) {
    let n = seen.bodies.len() as f64;
    if seen.bodies.iter().any(|b| b.len() != counts.len()) {
        return;
    }
    let (mut n_bits, mut chi) = (0.0f64, 0.0f64);
    for (at, count) in counts.iter().enumerate() {
        for bit in (0..8).filter(|bit| count >> bit & 1 == 1) {
            let ones = seen.bodies.iter().filter(|b| b[at] >> bit & 1 == 1);
            n_bits += 1.0;
            chi += (2.0 * ones.count() as f64 - n).powi(2) / n;
        }
    }
    let bound = n_bits + 7.0 * (2.0 * n_bits).sqrt();
    assert!(chi <= bound, "{what}: χ² = {chi} of {n_bits} bits");
}
