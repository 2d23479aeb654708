//! What every protocol on tables and every statistic is held to: its plain counterpart, its declared
//! price, messages that do not depend on secrets and look uniform, and an orderly end if a seat dies at
//! any message. Correlations are the ideal source's.

mod uniform;

pub(crate) use uniform::{
    Places, check_uniform, check_uniform_but, check_uniform_lanes, check_uniform_lanes_but,
};

use crate::arith::{Clear, Shared, joined, run, seats};
use crate::world::{Ended, World, all_ok, prg, transcripts};
use engine::ring::Ring;
use protocols::correlate::{self, Source, Stock, StockedRing, dealer};
use protocols::error::{LinkError, ProtocolError};
use protocols::net::record::{Direction, Entry, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Mutex;

/// One protocol with its public parameters. Everything secret follows from a number, `secrets`.
pub(crate) trait Case: Debug {
    type R: StockedRing;

    /// Shares that go in. Statistics take none: each seat has its own input.
    fn inputs(&self, _secrets: u64) -> Clear<Self::R> {
        Clear::default()
    }

    /// What the shares that come out stand for, of a case whose results are exact. The others compare what they release.
    fn expected(&self, _n_computing: usize, _secrets: u64) -> Clear<Self::R> {
        unreachable!("{self:?} has no exact result")
    }

    fn price(&self, seats: Seats) -> Price;

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        inputs: Shared<Self::R>,
        stock: &mut Stock,
    ) -> Result<Shared<Self::R>, ProtocolError>;
}

fn ended<C: Case>(case: &C, world: World, secrets: u64) -> Vec<Ended<Shared<C::R>>> {
    let needs = case.price(seats(world.n_seats())).needs;
    let inputs = case.inputs(secrets);
    run(world, &inputs, &needs, async |session, inputs, stock| {
        case.call(session, secrets, inputs, stock).await
    })
}

/// What the shares that come out stand for.
pub(crate) fn found<C: Case>(case: &C, n_computing: usize, secrets: u64) -> Clear<C::R> {
    found_in(case, n_computing, (secrets, secrets))
}

/// [`found`] in the session of one number, with the secrets of another.
pub(crate) fn found_in<C: Case>(
    case: &C,
    n_computing: usize,
    (session, secrets): (u64, u64),
) -> Clear<C::R> {
    let world = World::new(n_computing, session);
    joined(all_ok(ended(case, world, secrets)))
}

/// What every seat sent and received in the session of one number, with the secrets of another.
pub(crate) fn recorded<C: Case>(
    case: &C,
    n_computing: usize,
    (session, secrets): (u64, u64),
) -> Vec<Transcript> {
    let world = World::new(n_computing, session).recorded();
    let logs = world.logs();
    all_ok(ended(case, world, secrets));
    transcripts(&logs)
}

/// The result is that of the plain counterpart, from correlations that were dealt and from those that were
/// made by oblivious transfer.
pub(crate) fn check_sources<C: Case>(case: &C) {
    for (n_computing, has_dealer) in SOURCES {
        assert!(
            found_from(case, n_computing, has_dealer) == case.expected(n_computing, 23),
            "{case:?} among {n_computing}, with a dealer: {has_dealer}"
        );
    }
}

/// Numbers of computing seats, and whether there is a dealer; without one, oblivious transfer.
pub(crate) const SOURCES: [(usize, bool); 4] = [(2, false), (3, false), (2, true), (3, true)];

/// What the shares that come out stand for, from correlations of a real source, with the secrets of 23.
pub(crate) fn found_from<C: Case>(case: &C, n_computing: usize, has_dealer: bool) -> Clear<C::R> {
    let dealer = Seat::from_index(n_computing);
    let (source, n_extra) = match has_dealer {
        true => (Source::Dealer { seat: dealer }, 1),
        false => (Source::Ot, 0),
    };
    let needs = case.price(Seats {
        n_seats: n_computing + n_extra,
        n_computing,
    });
    let needs = needs.needs;
    let parts = case.inputs(23).split(n_computing, &mut prg(23));
    let parts: Vec<_> = parts.into_iter().map(Some).collect();
    let parts = Mutex::new(parts);
    let world = World::with_dealer(n_computing, has_dealer, 23);
    let ended = world.run(async |session| {
        if session.dealer() == Some(session.seat()) {
            dealer::serve(session, &needs).await?;
            return Ok(None);
        }
        let mine = parts.lock().expect("no panic")[session.seat().index()].take();
        let mine = mine.expect("each seat takes its part once");
        let mut stock = correlate::preprocess(session, &source, &needs).await?;
        case.call(session, 23, mine, &mut stock).await.map(Some)
    });
    joined(all_ok(ended).into_iter().flatten().collect())
}

/// The result is that of the plain counterpart.
pub(crate) fn check_result<C: Case>(case: &C, n_computing: usize, secrets: u64) {
    let found = found(case, n_computing, secrets);
    let expected = case.expected(n_computing, secrets);
    assert!(
        found == expected,
        "{case:?} among {n_computing}\n{found:?}\n{expected:?}"
    );
}

/// Measured rounds, bytes, messages and time are the declared ones.
pub(crate) fn check_price<C: Case>(case: &C, n_computing: usize) {
    let (measured, declared) = check_traffic(case, n_computing);
    assert_eq!(measured, declared, "{case:?} among {n_computing}");
}

/// The same of a protocol that ends with messages in one direction: between two steps that both take part in
/// one seat may be a round behind the other, and if it is the one that answers last there is a round less.
pub(crate) fn check_one_sided_price<C: Case>(case: &C, n_computing: usize) {
    check_price_within(case, n_computing, 1);
}

/// The same of a protocol that tells so often who is told next: at each change the one that only tells may be a round ahead.
pub(crate) fn check_price_within<C: Case>(case: &C, n_computing: usize, n_changes: u32) {
    let (measured, declared) = check_traffic(case, n_computing);
    let least = declared.saturating_sub(n_changes);
    assert!(
        (least..=declared).contains(&measured),
        "{case:?} among {n_computing}: {measured} rounds, not {declared}"
    );
}

/// Measured bytes and messages are the declared ones. Returns measured and declared rounds.
fn check_traffic<C: Case>(case: &C, n_computing: usize) -> (u32, u32) {
    let declared = case.price(seats(n_computing)).cost;
    let network = sim::network(n_computing, LinkModel::WAN, None);
    let ended = ended(case, World::new(n_computing, 11).on(network), 11);
    for (seat, ended) in Seat::first(n_computing).zip(&ended) {
        let what = format!("{case:?} among {n_computing}, {seat}");
        assert!(ended.outcome.is_ok(), "{what}");
        let traffic = &ended.traffic;
        assert_eq!(traffic.bytes_sent, declared.bytes[seat.index()], "{what}");
        let messages = &declared.messages[seat.index()];
        assert_eq!(traffic.messages_sent, *messages, "{what}");
        assert!(traffic.rounds <= declared.rounds, "{what}");
    }
    let rounds = ended.iter().map(|e| e.traffic.rounds).max();
    (rounds.unwrap_or(0), declared.rounds)
}

/// What the one receiver of a case has learnt, where every seat notes what it was told.
#[track_caller]
pub(crate) fn received<T>(told: &RefCell<Vec<Option<T>>>) -> T {
    let mut told = told.take().into_iter().flatten();
    let first = told.next().expect("a receiver");
    assert_eq!(told.count(), 0, "the receiver alone");
    first
}

/// Measured rounds and bytes are at most the declared ones.
pub(crate) fn check_at_most<C: Case>(case: &C, n_computing: usize) {
    let declared = case.price(seats(n_computing)).cost;
    let ended = ended(case, World::new(n_computing, 16), 16);
    for (seat, ended) in Seat::first(n_computing).zip(&ended) {
        let sent = ended.traffic.bytes_sent.iter().sum::<u64>();
        let most = declared.bytes_sent(seat);
        println!("{case:?}, {seat}: {sent} of {most} bytes");
        assert!(sent <= most && 2 * sent > most, "{case:?}");
        assert!(ended.traffic.rounds <= declared.rounds, "{case:?}");
    }
}

/// A message without its content.
type Outline = (Direction, Seat, u64, u16, usize, u32);

fn outline(transcript: &Transcript) -> Vec<Outline> {
    let message = |e: &Entry| {
        let frame = &e.frame;
        let depth = frame.stamp.depth;
        (
            e.direction,
            e.peer,
            e.path.0,
            frame.kind,
            frame.body.len(),
            depth,
        )
    };
    let mut all: Vec<Outline> = transcript.iter().map(message).collect();
    all.sort_by_key(|(direction, peer, path, ..)| (*direction, *peer, *path));
    all
}

/// Other secrets of the same shape give the same list of messages.
pub(crate) fn check_outline<C: Case>(case: &C, n_computing: usize) {
    let outlines = |secrets: u64| {
        let world = World::new(n_computing, 12).recorded();
        let logs = world.logs();
        all_ok(ended(case, world, secrets));
        transcripts(&logs).iter().map(outline).collect::<Vec<_>>()
    };
    let first = outlines(1);
    assert!(first == outlines(2) && first == outlines(3), "{case:?}");
}

/// A seat that dies at any message: every other seat ends with a link error and nobody hangs.
pub(crate) fn check_cuts<C: Case>(case: &C) {
    let whole = ended(case, World::new(3, 14), 14);
    let n_sent: u64 = whole[1].traffic.messages_sent.iter().sum();
    all_ok(whole);
    for at_message in 0..n_sent {
        let seat = Seat(1);
        let cut = Some(Cut { seat, at_message });
        let world = World::new(3, 14).on(sim::network(3, LinkModel::LAN, cut));
        let mut n_failed = 0;
        for (seat, ended) in Seat::first(3).zip(ended(case, world, 14)) {
            match ended.outcome {
                Ok(_) => {}
                Err(ProtocolError::Link {
                    seat: culprit,
                    cause: LinkError::Closed,
                }) if culprit != seat => n_failed += 1,
                Err(other) => panic!("{case:?}, {seat}: {other}"),
            }
        }
        assert!(n_failed >= 1, "{case:?} at message {at_message}");
    }
    println!("{n_sent} cuts");
}

/// With nothing in stock, nothing is sent.
pub(crate) fn check_empty_stock<C: Case>(case: &C) {
    let inputs = case.inputs(15);
    let nothing = protocols::correlate::Needs::default();
    let ended = run(
        World::new(2, 15),
        &inputs,
        &nothing,
        async |session, inputs, stock| case.call(session, 15, inputs, stock).await,
    );
    for ended in ended {
        let needs = case.price(seats(2)).needs;
        if needs.is_nothing() {
            continue;
        }
        let error = ended.outcome.map(|_| ()).expect_err("nothing in stock");
        let is_out = matches!(error, ProtocolError::OutOfCorrelations { .. });
        assert!(is_out, "{case:?}: {error}");
        assert_eq!(ended.traffic.rounds, 0, "{case:?}: nothing was sent");
    }
}

/// All demands on one case, which must be small.
pub(crate) fn check_all<C: Case>(case: &C) {
    for n_computing in [2, 3, 5] {
        check_result(case, n_computing, 21);
        check_price(case, n_computing);
    }
    check_outline(case, 3);
    check_cuts(case);
    check_empty_stock(case);
}

/// What [`check_all`] asks beside results and prices, and results from real sources.
pub(crate) fn check_course<C: Case>(case: &C) {
    check_outline(case, 3);
    check_cuts(case);
    check_empty_stock(case);
    check_sources(case);
}

/// A number of a test below a bound.
pub(crate) fn below(secrets: u64, stream: u64, bound: u64, n_items: usize) -> Vec<u64> {
    let mut prg = prg(secrets.wrapping_mul(1_000_003).wrapping_add(stream));
    (0..n_items).map(|_| prg.next_bounded(bound)).collect()
}

/// Signed numbers as ring elements.
pub(crate) fn elements<R: Ring>(values: impl IntoIterator<Item = i128>) -> Vec<R> {
    let element = |v| R::from_signed(v).expect("fits the ring");
    values.into_iter().map(element).collect()
}
