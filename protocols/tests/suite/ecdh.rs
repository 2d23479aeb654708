//! Intersection by Diffie–Hellman: against the plain intersection, declared costs, and everything
//! that a peer can get wrong.

use crate::world::{Ended, World, all_ok, block_on, prg, seed_of, transcripts};
use engine::curve::Group;
use engine::curve::montgomery::Montgomery;
use engine::curve::ristretto::Ristretto;
use protocols::error::{LinkError, Misdeed, ProtocolError};
use protocols::net::record::{Direction, Entry as Recorded, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::net::{Frame, FrameShape, Network};
use protocols::party::Seat;
use protocols::path::Path;
use protocols::psi::ecdh::{self, Common, InOrder, Learns, Shape, Shuffled, Spilled, Stores};
use protocols::psi::tags::{Entry, MemoryStore, StoreError, TagStore};
use protocols::psi::{self, Item};
use protocols::session::Session;
use protocols::stamp::Stamp;
use protocols::wire::{Kind, WireError};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Two sets between two seats.
#[derive(Clone)]
pub(crate) struct Job {
    shape: Shape,
    receiver_items: Vec<Item>,
    sender_items: Vec<Item>,
    seed: u64,
}

fn item(number: u64) -> Item {
    engine::hash::digest("entente/v1/test/item", &[&number.to_le_bytes()])[..16]
        .try_into()
        .expect("16 bytes")
}

impl Job {
    /// So many items each, of which so many are common, at random places.
    pub(crate) fn new(
        n_receiver: usize,
        n_sender: usize,
        n_common: usize,
        learns: Learns,
        seed: u64,
    ) -> Self {
        let mut prg = prg(seed);
        let mut set = |n: usize, first: u64| {
            let own = (0..(n - n_common) as u64).map(|i| item(first + i));
            let mut items: Vec<Item> = (0..n_common as u64).map(item).chain(own).collect();
            for last in (1..items.len()).rev() {
                items.swap(last, prg.next_bounded(last as u64 + 1) as usize);
            }
            items
        };
        Self {
            receiver_items: set(n_receiver, 1 << 32),
            sender_items: set(n_sender, 1 << 40),
            shape: Shape {
                receiver: Seat(0),
                sender: Seat(1),
                n_receiver,
                n_sender,
                learns,
            },
            seed,
        }
    }

    fn between(mut self, receiver: Seat, sender: Seat) -> Self {
        (self.shape.receiver, self.shape.sender) = (receiver, sender);
        self
    }

    pub(crate) fn world(&self) -> World {
        let n_seats = self.shape.receiver.max(self.shape.sender).index() + 1;
        World::new(n_seats, self.seed)
    }

    fn expected(&self) -> Common {
        let sender: BTreeSet<&Item> = self.sender_items.iter().collect();
        let is_common = |(_, item): &(u64, &Item)| sender.contains(item);
        let places = (0..).zip(&self.receiver_items).filter(is_common);
        let places: Vec<u64> = places.map(|(place, _)| place).collect();
        match self.shape.learns {
            Learns::Members => Common::Members(places),
            Learns::Count => Common::Count(places.len() as u64),
        }
    }

    pub(crate) fn run<G: Group>(&self, world: World) -> Vec<Ended<Option<Common>>> {
        world.run(async |session| self.at_seat::<G>(session).await)
    }

    async fn at_seat<G: Group>(
        &self,
        session: &mut Session,
    ) -> Result<Option<Common>, ProtocolError> {
        let seat = session.seat();
        if seat == self.shape.receiver {
            let items = InOrder::new(self.receiver_items.clone());
            let common = ecdh::receive::<G>(session, &self.shape, items, Stores::in_memory());
            return common.await.map(Some);
        }
        if seat == self.shape.sender {
            let seed = session.own_seed("order of items");
            let items = Shuffled::new(self.sender_items.clone(), &seed);
            let store = Box::new(MemoryStore::default());
            ecdh::send::<G>(session, &self.shape, items, store).await?;
        }
        Ok(None)
    }

    fn outcome<G: Group>(&self) -> Common {
        let ended = all_ok(self.run::<G>(self.world()));
        let mut outcomes: Vec<Common> = ended.into_iter().flatten().collect();
        assert_eq!(outcomes.len(), 1, "the receiver alone learns");
        outcomes.remove(0)
    }
}

const BOTH: [Learns; 2] = [Learns::Members, Learns::Count];

#[test]
fn intersections_equal_the_plain_ones() {
    let sizes = [
        (0, 0, 0),
        (0, 5, 0),
        (5, 0, 0),
        (1, 1, 0),
        (1, 1, 1),
        (2, 1, 1),
        (257, 131, 64),
        (131, 257, 131),
        (509, 509, 509),
    ];
    for (n_receiver, n_sender, n_common) in sizes {
        for learns in BOTH {
            let job = Job::new(n_receiver, n_sender, n_common, learns, 1);
            assert_eq!(job.outcome::<Montgomery>(), job.expected());
            assert_eq!(job.outcome::<Ristretto>(), job.expected());
        }
    }
}

/// Sizes around one message.
#[test]
fn chunks_join_without_a_seam() {
    for n in [4095, 4096, 4097] {
        for learns in BOTH {
            let job = Job::new(n, n + 5, n / 3, learns, 2);
            assert_eq!(job.outcome::<Montgomery>(), job.expected());
        }
    }
}

/// Any two seats of a larger session, and kernels on the pool.
#[test]
fn any_two_seats_can_do_it() {
    for (receiver, sender) in [(1, 0), (2, 0), (1, 2), (4, 3)] {
        let job = Job::new(50, 70, 20, Learns::Members, 3).between(Seat(receiver), Seat(sender));
        assert_eq!(job.outcome::<Montgomery>(), job.expected());
        let pooled = all_ok(job.run::<Montgomery>(job.world().pooled()));
        assert_eq!(pooled[usize::from(receiver)], Some(job.expected()));
    }
}

#[test]
fn measured_cost_is_the_declared_one() {
    for (n_receiver, n_sender) in [(0, 0), (1, 300), (300, 1), (4097, 4096), (8193, 10)] {
        for learns in BOTH {
            let job = Job::new(n_receiver, n_sender, 0, learns, 4);
            let declared = ecdh::cost(2, &job.shape);
            let world = job.world().on(sim::network(2, LinkModel::WAN, None));
            let ended = job.run::<Montgomery>(world);
            for (seat, ended) in ended.iter().enumerate() {
                let to_it = |table: &[Vec<u64>]| table.iter().map(|r| r[seat]).collect::<Vec<_>>();
                assert_eq!(ended.traffic.rounds, declared.rounds);
                assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
                assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
                assert_eq!(ended.traffic.bytes_received, to_it(&declared.bytes));
                assert_eq!(ended.traffic.messages_received, to_it(&declared.messages));
            }
            if n_receiver >= n_sender {
                let time = ended[0].traffic.time_ns;
                let predicted = declared.time_on(LinkModel::WAN).as_nanos() as u64;
                assert!(time.abs_diff(predicted) <= 10, "{time} against {predicted}");
            }
            all_ok(ended);
        }
    }
    // The numbers of the documentation.
    let declared = ecdh::cost(2, &Job::new(100, 300, 0, Learns::Count, 4).shape);
    assert_eq!(declared.bytes[0][1], 100 * 32);
    assert_eq!(declared.bytes[1][0], 300 * 32 + 100 * 7);
}

/// A message without its content.
type Outline = (Direction, Seat, u64, u16, usize, u32);

fn outlines(job: &Job) -> Vec<Vec<Outline>> {
    recorded(job).iter().map(outline).collect()
}

fn outline(transcript: &Transcript) -> Vec<Outline> {
    let line = |e: &Recorded| {
        let (frame, path) = (&e.frame, e.path.0);
        let depth = frame.stamp.depth;
        (
            e.direction,
            e.peer,
            path,
            frame.kind,
            frame.body.len(),
            depth,
        )
    };
    let mut all: Vec<Outline> = transcript.iter().map(line).collect();
    all.sort_by_key(|(direction, ..)| *direction);
    all
}

fn recorded(job: &Job) -> Vec<Transcript> {
    let world = job.world().recorded();
    let logs = world.logs();
    all_ok(job.run::<Montgomery>(world));
    transcripts(&logs)
}

/// Whether all, some or no items are common does not show in the number or length of messages.
#[test]
fn other_secrets_give_the_same_messages() {
    for learns in BOTH {
        let of = |n_common, seed| outlines(&Job::new(300, 400, n_common, learns, seed));
        let first = of(100, 5);
        assert!(first.iter().all(|seat| !seat.is_empty()));
        assert!(first == of(0, 6));
        assert!(first == of(300, 7));
    }
}

/// What seat 0 receives: elements of the first round, tags of the second.
fn received(transcript: &Transcript, kind: Kind) -> Vec<u8> {
    let entries = transcript
        .iter()
        .filter(|e| e.direction == Direction::Received && e.frame.kind == kind as u16);
    entries.flat_map(|e| e.frame.body.to_vec()).collect()
}

fn assert_uniform(bytes: &[u8], what: &str) {
    let mut counts = [0u64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let expected = bytes.len() as f64 / 256.0;
    let chi2 = counts.map(|c| (c as f64 - expected).powi(2) / expected);
    let chi2: f64 = chi2.iter().sum();
    // 255 degrees of freedom: 6.5 standard deviations on either side.
    assert!((108.0..402.0).contains(&chi2), "{what}: χ² = {chi2}");
}

#[test]
fn messages_look_uniform() {
    for learns in BOTH {
        let transcripts = recorded(&Job::new(4000, 4000, 2000, learns, 8));
        for transcript in &transcripts {
            let elements = received(transcript, Kind::Elements);
            // Of 256 bits the last is always 0, and what lies on the curve is half of the numbers.
            let inner = elements.chunks_exact(32).flat_map(|point| &point[1..31]);
            assert_uniform(&inner.copied().collect::<Vec<u8>>(), "elements");
        }
        // Eight bytes are 40 + 2·12 bits. In the sorted list the first byte is not uniform.
        let tags = received(&transcripts[0], Kind::Tags);
        let inner = tags.chunks_exact(8).flat_map(|tag| &tag[2..]);
        assert_uniform(&inner.copied().collect::<Vec<u8>>(), "tags");
    }
}

/// The same sets again, in the same session and in another: no element or tag comes twice.
#[test]
fn the_same_sets_give_other_messages_each_time() {
    let job = Job::new(100, 100, 100, Learns::Members, 9);
    let mut seen = BTreeSet::new();
    let mut n_seen = 0;
    for seed in [9, 10] {
        let again = Job {
            seed,
            ..job.clone()
        };
        let world = again.world().recorded();
        let logs = world.logs();
        all_ok(world.run(async |session| {
            let first = again.at_seat::<Montgomery>(session).await?;
            let second = again.at_seat::<Montgomery>(session).await?;
            assert_eq!(first, second);
            Ok(())
        }));
        for transcript in transcripts(&logs) {
            let elements = received(&transcript, Kind::Elements);
            n_seen += elements.len() / 32;
            seen.extend(elements.chunks_exact(32).map(<[u8]>::to_vec));
            let tags = received(&transcript, Kind::Tags);
            n_seen += tags.len() / 7;
            seen.extend(tags.chunks_exact(7).map(<[u8]>::to_vec));
        }
    }
    assert_eq!(seen.len(), n_seen);
    assert_eq!(n_seen, 2 * 2 * 300);
}

/// Where the count alone is learnt, tags come back in an order that has nothing to do with the
/// receiver's.
#[test]
fn tags_for_a_count_come_sorted() {
    for learns in BOTH {
        let transcripts = recorded(&Job::new(500, 10, 5, learns, 11));
        let tags = received(&transcripts[0], Kind::Tags);
        let is_sorted = tags.chunks_exact(7).is_sorted();
        assert_eq!(is_sorted, learns == Learns::Count);
    }
}

/// Every order of four items comes as often as every other.
#[test]
fn a_shuffle_is_uniform() {
    let items: Vec<Item> = (0..4).map(item).collect();
    let mut counts = std::collections::BTreeMap::new();
    let n = 24_000;
    for seed in 0..n {
        let mut shuffled = Shuffled::new(items.clone(), &seed_of(seed));
        let order = ecdh::ItemSource::read(&mut shuffled, 4).expect("four items");
        *counts.entry(order).or_insert(0u64) += 1;
    }
    assert_eq!(counts.len(), 24);
    let expected = n as f64 / 24.0;
    let chi2 = counts
        .values()
        .map(|c| (*c as f64 - expected).powi(2) / expected);
    let chi2: f64 = chi2.sum();
    // 23 degrees of freedom; above 64 with probability 10^−5.
    assert!(chi2 < 64.0, "χ² = {chi2}");
}

/// Whichever message is the last that a seat sends: both end with a link error, or the receiver
/// has had everything.
#[test]
fn a_seat_that_dies_ends_the_other() {
    for learns in BOTH {
        let job = Job::new(4100, 9000, 50, learns, 12);
        let declared = ecdh::cost(2, &job.shape);
        for seat in [Seat(0), Seat(1)] {
            let n_messages = declared.messages[seat.index()].iter().sum();
            for at_message in 0..n_messages {
                let cut = Some(Cut { seat, at_message });
                let world = job.world().on(sim::network(2, LinkModel::LAN, cut));
                for ended in job.run::<Montgomery>(world) {
                    let error = ended.outcome.expect_err("nobody finishes");
                    let is_link = matches!(error, ProtocolError::Link { .. });
                    assert!(is_link, "cut of {seat} at {at_message}: {error}");
                }
            }
        }
    }
}

/// A changed message is noticed, or spoils what depends on it. It makes nothing common that is not,
/// nobody panics or hangs, and who is blamed has sent it.
#[test]
fn a_changed_message_adds_nothing_to_the_intersection() {
    let changes = [
        Change::FlipBit(3),
        Change::FlipBit(1001),
        Change::FlipBit(255),
        Change::Kind,
        Change::Shorten,
        Change::Lengthen,
        Change::Stamp,
    ];
    let job = Job::new(40, 30, 10, Learns::Members, 13);
    let Common::Members(honest) = job.expected() else {
        panic!("members are learnt");
    };
    for seat in [Seat(0), Seat(1)] {
        let n_messages = ecdh::cost(2, &job.shape).messages[seat.index()]
            .iter()
            .sum();
        for at_message in 0..n_messages {
            for change in changes {
                let tamper =
                    |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<dyn Network>;
                let ended = job.run::<Montgomery>(job.world().wrap(seat, tamper));
                let mut n_blamed = 0;
                for ended in ended {
                    match ended.outcome {
                        Ok(Some(Common::Members(found))) => {
                            assert!(found.iter().all(|place| honest.contains(place)));
                        }
                        Err(ProtocolError::PeerMisbehaved { seat: culprit, .. }) => {
                            assert_eq!(culprit, seat, "{change:?}");
                            n_blamed += 1;
                        }
                        _ => {}
                    }
                }
                if matches!(change, Change::Kind | Change::Shorten | Change::Lengthen) {
                    assert_eq!(n_blamed, 1, "{change:?} of {seat} at {at_message}");
                }
            }
        }
    }
}

/// Runs the receiver against a peer that answers its elements with `answer`, whatever that is.
fn against<G: Group>(job: &Job, answer: impl Fn(&[u8]) -> Vec<u8>) -> ProtocolError {
    let mut configs = job.world().configs();
    let peer = configs.pop().expect("two seats").network;
    let mut session = Session::new(configs.remove(0));
    let n_bytes = 32 * job.shape.n_receiver;
    let scripted = async {
        let (mut outlet, mut inlet) = peer.open(Seat(0), Path::root().id()).await.expect("a link");
        let kind = Kind::Elements as u16;
        let expected = FrameShape { kind, len: n_bytes };
        let elements = inlet.recv(expected).await.expect("the receiver's elements");
        let frame = |kind: Kind, body: Vec<u8>| Frame {
            stamp: Stamp::default().next(),
            kind: kind as u16,
            body: body.into(),
        };
        let body = answer(&elements.body);
        let sent = outlet.send(frame(Kind::Elements, body)).await;
        sent.expect("the receiver is there");
        // It may have gone already.
        let tags = vec![
            7;
            job.shape.n_receiver
                * psi::tag_bytes(job.shape.n_receiver, job.shape.n_sender)
        ];
        let _ = outlet.send(frame(Kind::Tags, tags)).await;
        inlet.recv(expected).await.err()
    };
    let honest = async {
        let items = InOrder::new(job.receiver_items.clone());
        let outcome =
            ecdh::receive::<G>(&mut session, &job.shape, items, Stores::in_memory()).await;
        drop(session);
        outcome
    };
    let (outcome, _) = block_on(async { tokio::join!(honest, scripted) });
    match outcome {
        Err(error) => error,
        Ok(common) => {
            let nothing = [Common::Members(vec![]), Common::Count(0)];
            assert!(nothing.contains(&common), "nothing is common");
            ProtocolError::CheckFailed {
                what: "nothing was common",
            }
        }
    }
}

fn content(what: &'static str) -> ProtocolError {
    ProtocolError::PeerMisbehaved {
        seat: Seat(1),
        what: Misdeed::Wire(WireError::Content { what }),
    }
}

fn rule(seat: Seat, what: &'static str) -> ProtocolError {
    let what = Misdeed::Rule(what);
    ProtocolError::PeerMisbehaved { seat, what }
}

fn bytes_of(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..][..2], 16).expect("hex"))
}

/// Elements that are none, or useless, in the midst of good ones.
#[test]
fn bad_elements_are_refused_and_blamed() {
    let job = Job::new(3, 3, 0, Learns::Members, 14);
    let with = |bad: [u8; 32]| {
        move |elements: &[u8]| [&elements[..32], &bad[..], &elements[64..]].concat()
    };
    let malformed = content("a string that is no group element");
    let small = content("a group element of small order");
    let p = bytes_of("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let order_8 = bytes_of("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    let order_4 = bytes_of("0100000000000000000000000000000000000000000000000000000000000000");
    assert_eq!(against::<Montgomery>(&job, with([0; 32])), small);
    assert_eq!(against::<Montgomery>(&job, with(order_4)), small);
    assert_eq!(against::<Montgomery>(&job, with(order_8)), small);
    assert_eq!(against::<Montgomery>(&job, with(p)), malformed);
    assert_eq!(against::<Montgomery>(&job, with([0xff; 32])), malformed);
    assert_eq!(against::<Ristretto>(&job, with([0; 32])), small);
    assert_eq!(against::<Ristretto>(&job, with(p)), malformed);
    assert_eq!(against::<Ristretto>(&job, with([0xff; 32])), malformed);
}

/// A peer that sends the receiver's own elements back has nothing in common with it.
#[test]
fn reflected_elements_match_nothing() {
    let nothing = ProtocolError::CheckFailed {
        what: "nothing was common",
    };
    for learns in BOTH {
        let job = Job::new(20, 20, 0, learns, 15);
        assert_eq!(against::<Montgomery>(&job, <[u8]>::to_vec), nothing);
        assert_eq!(against::<Ristretto>(&job, <[u8]>::to_vec), nothing);
    }
}

/// A list that names an item twice is refused: by the receiver always, by the sender where a count
/// could be made to tell about one item.
#[test]
fn repeated_items_are_refused() {
    let mut job = Job::new(10, 10, 5, Learns::Members, 16);
    job.sender_items[3] = job.sender_items[8];
    let ended = job.run::<Montgomery>(job.world());
    let error = ended.into_iter().next().and_then(|e| e.outcome.err());
    assert_eq!(error, Some(rule(Seat(1), "it sent an item twice")));

    let repeated = against::<Montgomery>(&job, |elements| elements[..32].repeat(10));
    assert_eq!(repeated, rule(Seat(1), "it sent an item twice"));

    let mut job = Job::new(10, 10, 5, Learns::Count, 17);
    job.receiver_items[3] = job.receiver_items[8];
    let errors: Vec<_> = job.run::<Montgomery>(job.world());
    let errors: Vec<_> = errors.into_iter().map(|e| e.outcome.err()).collect();
    assert_eq!(errors[1], Some(rule(Seat(0), "it sent an item twice")));
    assert!(matches!(errors[0], Some(ProtocolError::Link { .. })));
}

/// A seat that announced one number and has another: fewer stop it, and the other learns of a
/// closed link; more are never read.
#[test]
fn sets_of_another_size_than_announced_do_not_pass() {
    let mut job = Job::new(10, 10, 5, Learns::Members, 18);
    job.sender_items.pop();
    let ended: Vec<_> = job.run::<Montgomery>(job.world());
    let errors: Vec<_> = ended.into_iter().map(|e| e.outcome.err()).collect();
    let closed = ProtocolError::Link {
        seat: Seat(1),
        cause: LinkError::Closed,
    };
    assert_eq!(errors[0], Some(closed));
    assert!(matches!(errors[1], Some(ProtocolError::Storage { .. })));
}

/// Items in one group have nothing in common with the same items in the other.
#[test]
fn seats_that_use_different_groups_find_nothing() {
    let job = Job::new(20, 20, 20, Learns::Members, 19);
    let ended = job.world().run(async |session| match session.seat() {
        Seat(0) => job.at_seat::<Montgomery>(session).await,
        _ => job.at_seat::<Ristretto>(session).await,
    });
    for ended in ended {
        let learnt = ended.outcome.ok().flatten();
        assert!(learnt.is_none_or(|common| common == Common::Members(vec![])));
    }
}

#[test]
fn a_role_is_checked_before_anything_is_sent() {
    let mut job = Job::new(1, 1, 0, Learns::Members, 20);
    job.shape.sender = Seat(0);
    let ended = World::new(2, 20).run(async |session| {
        let store = Box::new(MemoryStore::default());
        let items = Shuffled::new(vec![item(1)], &seed_of(1));
        ecdh::send::<Montgomery>(session, &job.shape, items, store).await
    });
    for ended in ended {
        let error = ended.outcome.expect_err("the roles do not fit");
        assert!(matches!(error, ProtocolError::InvalidInput { .. }));
        assert_eq!(ended.traffic.messages_sent, [0, 0]);
    }
}

/// Runs of a hundred, so that a set is many of them.
#[derive(Default)]
struct ShortRuns {
    inner: MemoryStore,
    n_kept: usize,
}

impl TagStore for ShortRuns {
    fn run_entries(&self) -> usize {
        100
    }

    fn keep(&mut self, run: usize, entries: Vec<Entry>) -> Result<(), StoreError> {
        assert!(
            entries.len() <= 100,
            "a run is as long as the store wants it"
        );
        self.n_kept += 1;
        self.inner.keep(run, entries)
    }

    fn read(&mut self, run: usize, entries: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        assert!(run < self.n_kept);
        self.inner.read(run, entries)
    }
}

/// Sets that go through stores in many short runs, items and tags, at both seats.
#[test]
fn runs_of_any_length_give_the_same_result() {
    for learns in BOTH {
        let job = Job::new(5000, 4321, 1234, learns, 23);
        let ended = job.world().run(async |session| {
            let store = || Box::new(ShortRuns::default());
            if session.seat() == Seat(0) {
                let items = InOrder::new(job.receiver_items.clone());
                let stores = Stores {
                    own: store(),
                    peer: store(),
                };
                let common = ecdh::receive::<Montgomery>(session, &job.shape, items, stores);
                return common.await.map(Some);
            }
            let (seed, items) = (session.own_seed("order"), job.sender_items.iter().copied());
            let items = Spilled::new(items, &seed, store()).expect("a store in memory");
            ecdh::send::<Montgomery>(session, &job.shape, items, store()).await?;
            Ok(None)
        });
        assert_eq!(all_ok(ended)[0], Some(job.expected()));
    }
}

/// What comes out of a store is what went in, in an order that the seed alone decides.
#[test]
fn spilled_items_are_shuffled() {
    let items: Vec<Item> = (0..1000).map(item).collect();
    let order = |seed: u64| {
        let store = Box::new(ShortRuns::default());
        let mut spilled = Spilled::new(items.iter().copied(), &seed_of(seed), store).expect("kept");
        let order = ecdh::ItemSource::read(&mut spilled, 1000).expect("a thousand items");
        assert!(
            ecdh::ItemSource::read(&mut spilled, 1).is_err(),
            "and no more"
        );
        order
    };
    let (first, again, other) = (order(1), order(1), order(2));
    assert!(first == again && first != other);
    for order in [&first, &other] {
        let sorted: BTreeSet<&Item> = order.iter().collect();
        assert!(sorted == items.iter().collect());
        // Places that stay the same are about one; over ten with probability 10^−8.
        let fixed = order.iter().zip(&items).filter(|(a, b)| a == b);
        assert!(fixed.count() < 10);
    }
}

/// A disk that is full.
struct Full;

impl TagStore for Full {
    fn keep(&mut self, _: usize, _: Vec<Entry>) -> Result<(), StoreError> {
        Err(StoreError)
    }

    fn read(&mut self, _: usize, _: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        Err(StoreError)
    }
}

#[test]
fn a_full_disk_ends_the_session_and_blames_nobody() {
    let job = Job::new(10, 10, 5, Learns::Members, 21);
    let ended = job.world().run(async |session| {
        if session.seat() == Seat(0) {
            return job.at_seat::<Montgomery>(session).await;
        }
        let items = Shuffled::new(job.sender_items.clone(), &seed_of(2));
        ecdh::send::<Montgomery>(session, &job.shape, items, Box::new(Full)).await?;
        Ok(None)
    });
    let errors: Vec<_> = ended.into_iter().filter_map(|e| e.outcome.err()).collect();
    assert!(matches!(
        errors[0],
        ProtocolError::Link { seat: Seat(1), .. }
    ));
    assert!(matches!(errors[1], ProtocolError::Storage { .. }));
    assert_eq!(errors[1].culprit(), None);
}

#[test]
fn announced_numbers_are_held_to_what_was_agreed() {
    let announce = |at_most: usize| {
        World::new(3, 22).run(async move |session| match session.seat() {
            Seat(0) => psi::announce(session, Seat(2), 100, at_most).await,
            Seat(2) => psi::announce(session, Seat(0), 7000, 100).await,
            _ => Ok(0),
        })
    };
    let ended = announce(7000);
    let declared = psi::announce_cost(3, Seat(0), Seat(2));
    for (seat, ended) in ended.iter().enumerate() {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
    }
    assert_eq!(all_ok(ended), [7000, 0, 100]);
    let error = announce(6999).remove(0).outcome.expect_err("too many");
    assert_eq!(
        error,
        rule(Seat(2), "it announced more items than were agreed on")
    );
}
