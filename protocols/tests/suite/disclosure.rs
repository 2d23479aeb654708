//! Who learns what: nothing is opened that was not approved, nothing below the threshold, and
//! nothing to anybody but the receivers.

use crate::world::{Job, World, all_ok, transcripts};
use bytes::Bytes;
use engine::share::Share;
use protocols::aggregate::{self, CellRule, ReleaseShape};
use protocols::correlate::Stock;
use protocols::disclose::{Disclosure, Terms, Values, reveal};
use protocols::error::{LinkError, Misdeed, ProtocolError};
use protocols::net::record::{Direction, Entry, Transcript};
use protocols::net::{BoxFuture, Frame, FrameShape, Inlet, LinkHalves, Network, Outlet};
use protocols::oracle;
use protocols::party::Seat;
use protocols::path::PathId;
use protocols::session::Session;
use protocols::wire::{Kind, Wire, WireError};
use std::sync::Arc;
use tokio::sync::mpsc;

const DIGEST_BYTES: usize = 32;
const NONCE_BYTES: usize = 32;
const OPENING_OVERHEAD: usize = DIGEST_BYTES + NONCE_BYTES;

fn is_kind(entry: &Entry, kind: Kind) -> bool {
    entry.frame.kind == kind as u16
}

fn bodies(transcript: &Transcript, direction: Direction, kind: Kind) -> Vec<Bytes> {
    let of_kind = transcript
        .iter()
        .filter(|e| e.direction == direction && is_kind(e, kind));
    of_kind.map(|e| e.frame.body.clone()).collect()
}

#[test]
fn no_cell_below_the_threshold_is_ever_opened() {
    for n_computing in [2, 3, 5] {
        for (n_checks, compared) in [(1, 0), (2, 0), (2, 1)] {
            let mut job = Job::new(n_computing, 100, n_checks, CellRule::Compare, 60);
            job.shape.compared = compared;
            let expected = oracle::release(&job.inputs(), &job.shape);
            let n_released = expected.ok.iter().filter(|ok| **ok).count();
            assert!(
                0 < n_released && n_released < 100,
                "some cells are held back"
            );

            let world = job.world().recorded();
            let logs = world.logs();
            all_ok(job.run(world, job.inputs()));
            let cell_bytes = (job.shape.narrow - compared) * 8 + job.shape.wide * 16;
            // Of a column that is compared alone nothing may be opened.
            let shown: Vec<bool> = expected.ok.iter().map(|ok| *ok && compared == 0).collect();
            for (seat, transcript) in transcripts(&logs).iter().enumerate() {
                // An opening is as long whatever is released: its length shows nothing.
                let openings = bodies(transcript, Direction::Received, Kind::Opening);
                let n_expected = if seat == 0 { n_computing - 1 } else { 0 };
                assert_eq!(openings.len(), n_expected, "openings at seat {seat}");
                for opening in openings {
                    assert_eq!(opening.len(), OPENING_OVERHEAD + 100 * cell_bytes);
                }
                assert_no_hidden_total(transcript, &job, &shown, seat);
            }
        }
    }
}

/// No eight bytes that a seat received, added up over its peers, are the total of a cell that was
/// held back. The totals are random 64-bit numbers, so they do not turn up by chance.
fn assert_no_hidden_total(transcript: &Transcript, job: &Job, ok: &[bool], seat: usize) {
    let mut unchecked = job.shape.clone();
    unchecked.checks.clear();
    unchecked.compared = 0;
    let totals = oracle::release(&job.inputs(), &unchecked);
    let values = totals.narrow.last().expect("a column of values");
    let held_back: Vec<u64> = values
        .iter()
        .zip(ok)
        .filter(|(_, ok)| !**ok)
        .map(|(v, _)| *v)
        .collect();
    let own = &job.inputs()[seat.min(job.n_computing - 1)];
    let own = own.narrow.last().expect("a column of values").clone();
    for entry in transcript
        .iter()
        .filter(|e| e.direction == Direction::Received)
    {
        for window in entry.frame.body.windows(8) {
            let word = u64::from_le_bytes(window.try_into().expect("eight bytes"));
            assert!(!held_back.contains(&word));
            assert!(
                own.iter()
                    .all(|own| !held_back.contains(&own.wrapping_add(word)))
            );
        }
    }
}

/// Numbers that stand in the inputs never stand in any message, whole or in part of a coalition.
#[test]
fn canaries_in_inputs_never_leave_a_seat() {
    const CANARY: u64 = 0xC0FF_EE00_DEAD_BEEF;
    const WIDE_CANARY: u128 = 0x0BAD_CAFE_F00D_D00D_FACE_FEED_C0DE_D1CE;
    for (mode, n_checks) in [
        (CellRule::None, 0),
        (CellRule::Compare, 1),
        (CellRule::OpenCounts, 1),
    ] {
        for n_computing in [2, 3] {
            let job = Job::new(n_computing, 40, n_checks, mode, 61);
            let mut inputs = job.inputs();
            for input in &mut inputs {
                input.narrow.last_mut().expect("a column").fill(CANARY);
                input.wide[0].fill(WIDE_CANARY);
            }
            let world = job.world().recorded();
            let logs = world.logs();
            all_ok(job.run(world, inputs));
            for entry in transcripts(&logs).iter().flatten() {
                assert!(!contains(&entry.frame.body, &CANARY.to_le_bytes()));
                assert!(!contains(
                    &entry.frame.body,
                    &WIDE_CANARY.to_le_bytes()[..8]
                ));
                assert!(!contains(
                    &entry.frame.body,
                    &WIDE_CANARY.to_le_bytes()[8..]
                ));
            }
        }
    }
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|w| w == needle)
}

#[test]
fn only_receivers_get_openings() {
    for (mode, n_checks) in [(CellRule::None, 0), (CellRule::Compare, 1)] {
        let mut job = Job::new(4, 40, n_checks, mode, 62);
        job.shape.receivers = vec![Seat(3), Seat(1)];
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world, job.inputs()));
        for (seat, transcript) in transcripts(&logs).iter().enumerate() {
            let n_openings = bodies(transcript, Direction::Received, Kind::Opening).len();
            assert_eq!(
                n_openings,
                if [1, 3].contains(&seat) { 3 } else { 0 },
                "seat {seat}"
            );
        }
    }
}

/// Runs a release of one shape at every seat, where another was approved.
fn refused(shape: &ReleaseShape, approved: &ReleaseShape) -> ProtocolError {
    let job = Job::new(2, 4, 1, CellRule::OpenCounts, 63);
    let ended = World::new(2, 63).run(async |session| {
        let input = job.inputs().swap_remove(session.seat().index());
        let disclosure = Disclosure::approved(approved.terms());
        aggregate::release(session, input, shape, Stock::empty(), disclosure)
            .await
            .map(|_| ())
    });
    for ended in &ended {
        assert_eq!(ended.traffic.messages_sent, [0, 0], "nothing was sent");
    }
    ended
        .into_iter()
        .next()
        .expect("two seats")
        .outcome
        .expect_err("refused")
}

/// A disclosure is for one shape: whatever differs between what was approved and what is asked for, even by less
/// being shown, is refused.
#[test]
fn what_was_not_approved_is_refused_before_anything_is_sent() {
    let shape = Job::new(2, 4, 1, CellRule::OpenCounts, 63).shape;
    let edits: [(&str, fn(&mut ReleaseShape)); 10] = [
        ("cells", |s| s.cells = 3),
        ("columns", |s| s.narrow = 1),
        ("wide columns", |s| s.wide = 0),
        ("no check", |s| s.checks.clear()),
        ("another column checked", |s| s.checks[0].column = 1),
        ("a higher minimum", |s| s.checks[0].at_least = 12),
        ("another bound", |s| s.checks[0].bound_bits = 7),
        ("counts compared", |s| s.mode = CellRule::Compare),
        ("another receiver", |s| s.receivers = vec![Seat(1)]),
        ("one receiver more", |s| s.receivers.push(Seat(1))),
    ];
    for (what, edit) in edits {
        let mut approved = shape.clone();
        edit(&mut approved);
        let error = refused(&shape, &approved);
        assert!(
            matches!(error, ProtocolError::NotApproved { .. }),
            "{what}: {error}"
        );
    }
}

/// The same for a reveal by itself.
#[test]
fn a_reveal_of_more_or_to_others_than_approved_is_refused() {
    let approved = [
        Terms::of_values(2, 1, &[Seat(0)]),
        Terms::of_values(3, 0, &[Seat(0)]),
        Terms::of_values(3, 1, &[Seat(1)]),
        Terms::of_values(3, 1, &[Seat(0), Seat(1)]),
        Terms::of_values(4, 1, &[Seat(0)]),
        ReleaseShape {
            cells: 1,
            narrow: 3,
            compared: 0,
            wide: 1,
            checks: Vec::new(),
            receivers: vec![Seat(0)],
            mode: CellRule::None,
        }
        .terms(),
    ];
    for (i, terms) in approved.iter().enumerate() {
        let ended = World::new(2, 63).run(async |session| {
            let values = Values {
                narrow: Share::zero(3),
                wide: Share::zero(1),
            };
            let disclosure = Disclosure::approved(terms.clone());
            reveal(session, values, &[Seat(0)], disclosure)
                .await
                .map(|_| ())
        });
        for ended in ended {
            assert!(
                matches!(ended.outcome, Err(ProtocolError::NotApproved { .. })),
                "{i}"
            );
            assert_eq!(ended.traffic.messages_sent, [0, 0], "{i}");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_before_anything_is_sent() {
    let good = Job::new(2, 4, 1, CellRule::OpenCounts, 63).shape;
    let edits: [fn(&mut ReleaseShape); 12] = [
        |s| s.mode = CellRule::None,
        |s| s.checks.clear(),
        |s| s.checks[0].column = 2,
        |s| s.checks[0].bound_bits = 0,
        |s| s.checks[0].bound_bits = 64,
        |s| s.receivers.clear(),
        |s| s.receivers = vec![Seat(2)],
        |s| s.receivers = vec![Seat(0), Seat(0)],
        |s| s.cells = 5,
        |s| s.wide = 2,
        |s| s.compared = 1,
        |s| (s.mode, s.compared) = (CellRule::Compare, 3),
    ];
    for (i, edit) in edits.iter().enumerate() {
        let mut shape = good.clone();
        edit(&mut shape);
        let error = refused(&shape, &shape);
        assert!(
            matches!(error, ProtocolError::InvalidInput { .. }),
            "edit {i}: {error}"
        );
    }
}

#[test]
fn without_a_source_nothing_is_released() {
    let job = Job::new(2, 4, 1, CellRule::Compare, 64);
    let ended = World::new(2, 64).run(async |session| {
        let input = job.inputs().swap_remove(session.seat().index());
        aggregate::release(session, input, &job.shape, Stock::empty(), job.disclosure()).await
    });
    for ended in ended {
        let error = ended.outcome.map(|_| ()).expect_err("there are no triples");
        assert!(
            matches!(error, ProtocolError::OutOfCorrelations { .. }),
            "{error}"
        );
        assert_eq!(ended.traffic.rounds, 0);
    }
}

/// A commitment hides only under a nonce that was never used before.
#[test]
fn every_opening_has_a_nonce_of_its_own() {
    let mut nonces = Vec::new();
    for seed in 66..69 {
        let mut job = Job::new(3, 40, 1, CellRule::OpenCounts, seed);
        job.shape.receivers = vec![Seat(0)];
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world, job.inputs()));
        // Seat 0 receives the counts and the values of seats 1 and 2.
        let openings = bodies(&logs[0].transcript(), Direction::Received, Kind::Opening);
        assert_eq!(openings.len(), 4);
        nonces.extend(
            openings
                .iter()
                .map(|o| o.slice(DIGEST_BYTES..OPENING_OVERHEAD)),
        );
    }
    let n_nonces = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), n_nonces);
}

/// One seat's nonces in a reveal of several messages: a commitment to a chunk of zeros must hide that, as all
/// chunks of a vector may hold the same.
#[test]
fn every_chunk_of_a_reveal_has_a_nonce_of_its_own() {
    const N_NARROW: usize = (2 << 20) / 8 + 1;
    let world = World::new(2, 70).recorded();
    let logs = world.logs();
    let ended = world.run(async |session| {
        let values = Values {
            narrow: Share::zero(N_NARROW),
            wide: Share::zero(0),
        };
        let terms = Terms::of_values(N_NARROW, 0, &[Seat(0)]);
        reveal(session, values, &[Seat(0)], Disclosure::approved(terms)).await
    });
    all_ok(ended);
    let openings = bodies(&logs[0].transcript(), Direction::Received, Kind::Opening);
    assert_eq!(openings.len(), 3);
    let mut nonces: Vec<_> = openings
        .iter()
        .map(|o| o.slice(DIGEST_BYTES..OPENING_OVERHEAD))
        .collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

/// Bytes of a reveal's messages, for a seat that makes them up.
struct Raw<const K: u16>(Bytes);

impl<const K: u16> Wire for Raw<K> {
    const KIND: Kind = if K == Kind::Commitments as u16 {
        Kind::Commitments
    } else {
        Kind::Opening
    };
    type Shape = usize;

    fn wire_len(len_bytes: usize) -> usize {
        len_bytes
    }

    fn encode(self) -> Bytes {
        self.0
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body))
    }
}

type RawCommitments = Raw<{ Kind::Commitments as u16 }>;
type RawOpening = Raw<{ Kind::Opening as u16 }>;

/// Seat 1 sends the commitments and openings of an earlier reveal again, which it may have kept for its values, and
/// waits for seat 2's opening to learn what digest of all commitments the receivers expect in its own.
async fn replay(
    session: &mut Session,
    earlier: &Transcript,
    len_bytes: usize,
) -> Result<(), ProtocolError> {
    let sent = |kind| bodies(earlier, Direction::Sent, kind).swap_remove(0);
    let (commitments, opening) = (sent(Kind::Commitments), sent(Kind::Opening));
    let n_bytes = commitments.len();
    session
        .exchange::<RawCommitments>(Raw(commitments), n_bytes)
        .await?;
    let theirs: RawOpening = session.recv(Seat(2), OPENING_OVERHEAD + len_bytes).await?;
    let seen = &theirs.0[..DIGEST_BYTES];
    let body = [seen, &opening[DIGEST_BYTES..]].concat();
    session.send::<RawOpening>(Seat(0), Raw(body.into())).await
}

/// Nothing but the place of a commitment tells two reveals of the same length on one path apart.
#[test]
fn messages_of_one_reveal_are_refused_in_another() {
    const RECEIVERS: [Seat; 2] = [Seat(0), Seat(1)];
    let world = World::new(3, 71).recorded();
    let logs = world.logs();
    let ended = world.run(async |session| {
        let once = async |session: &mut Session| {
            let values = Values {
                narrow: Share::zero(2),
                wide: Share::zero(0),
            };
            let terms = Terms::of_values(2, 0, &RECEIVERS);
            let disclosure = Disclosure::approved(terms);
            reveal(session, values, &RECEIVERS, disclosure).await
        };
        once(session).await?;
        if session.seat() == Seat(1) {
            return replay(session, &logs[1].transcript(), 16).await;
        }
        once(session).await.map(|_| ())
    });
    let outcomes: Vec<_> = ended.into_iter().map(|e| e.outcome).collect();
    let blamed = ProtocolError::PeerMisbehaved {
        seat: Seat(1),
        what: Misdeed::Commitment,
    };
    assert_eq!(outcomes[0], Err(blamed));
}

/// A rushing seat that sends back what it was sent: its commitment and its opening are those of
/// the other seat, and both are refused because they name the seat.
#[test]
fn an_echo_of_ones_own_messages_is_refused() {
    let mut job = Job::new(2, 8, 0, CellRule::None, 65);
    job.shape.receivers = vec![Seat(0), Seat(1)];
    let world = job.world().wrap(Seat(1), |inner| Arc::new(Echo { inner }));
    let ended = job.run(world, job.inputs());
    let error = ended
        .into_iter()
        .next()
        .expect("seat 0")
        .outcome
        .map(|_| ());
    let error = error.expect_err("the echo is not seat 1's share");
    let misdeed = ProtocolError::PeerMisbehaved {
        seat: Seat(1),
        what: Misdeed::Commitment,
    };
    assert_eq!(error, misdeed);
}

/// A network whose seat sends its peer's messages back instead of its own.
struct Echo {
    inner: Arc<dyn Network>,
}

impl Network for Echo {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move {
            let (outlet, inlet) = self.inner.open(peer, path).await?;
            let (heard, hears) = mpsc::unbounded_channel();
            let halves: LinkHalves = (
                Box::new(EchoOutlet {
                    outlet,
                    inlet,
                    heard,
                }),
                Box::new(EchoInlet { hears }),
            );
            Ok(halves)
        })
    }
}

/// Waits for the peer's message and returns it in place of its own.
struct EchoOutlet {
    outlet: Box<dyn Outlet>,
    inlet: Box<dyn Inlet>,
    heard: mpsc::UnboundedSender<Frame>,
}

impl Outlet for EchoOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(async move {
            let shape = FrameShape {
                kind: frame.kind,
                len: frame.body.len(),
            };
            let theirs = self.inlet.recv(shape).await?;
            self.heard
                .send(theirs.clone())
                .map_err(|_| LinkError::Closed)?;
            self.outlet.send(theirs).await
        })
    }
}

/// What the echoing seat hears is what its peer has said.
struct EchoInlet {
    hears: mpsc::UnboundedReceiver<Frame>,
}

impl Inlet for EchoInlet {
    fn recv<'a>(&'a mut self, _: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>> {
        Box::pin(async move { self.hears.recv().await.ok_or(LinkError::Closed) })
    }
}
