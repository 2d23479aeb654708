//! Joins whose matches exist in shares alone: against plain joins, and held to every demand.

mod compact;

use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case, below};
use crate::ideal;
use crate::world::{Ended, World, all_ok, prg, transcripts};
use protocols::correlate::{self, Source, Stock, dealer};
use protocols::disclose::Disclosure;
use protocols::error::{Misdeed, ProtocolError};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::Item;
use protocols::psi::circuit::{self, Columns, Joined, Keep, Rows, Shape, Side, Sums};
use protocols::session::Session;
use protocols::wire::Kind;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A join with the tables that some number stands for.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    shape: Shape,
}

pub(crate) fn side(seat: u8, n_rows: usize, narrow: usize, wide: usize) -> Side {
    Side {
        seat: Seat(seat),
        n_rows,
        narrow,
        wide,
    }
}

fn item(number: u64) -> Item {
    engine::hash::digest("entente/v1/test/item", &[&number.to_le_bytes()])[..16]
        .try_into()
        .expect("16 bytes")
}

impl Join {
    pub(crate) fn new(hub: Side, spokes: &[Side], keep: Keep) -> Self {
        let spokes = spokes.to_vec();
        Self {
            shape: Shape { hub, spokes, keep },
        }
    }

    fn sides(&self) -> impl Iterator<Item = &Side> {
        [&self.shape.hub].into_iter().chain(&self.shape.spokes)
    }

    /// The key numbers of one side: different ones, of which about a third is common.
    fn numbers(&self, side: &Side, secrets: u64) -> Vec<u64> {
        let bound = 2 * self.sides().map(|side| side.n_rows).max().unwrap_or(0) as u64;
        let seed = secrets
            .wrapping_mul(31)
            .wrapping_add(u64::from(side.seat.0));
        let mut prg = prg(seed);
        let mut numbers: Vec<u64> = (0..bound).collect();
        for last in (1..numbers.len()).rev() {
            numbers.swap(last, prg.next_bounded(last as u64 + 1) as usize);
        }
        numbers.truncate(side.n_rows);
        // Secrets over 1000: all keys in common, as far as there are as many.
        if secrets > 1000 {
            numbers = (0..side.n_rows as u64).collect();
        }
        numbers
    }

    fn rows(&self, side: &Side, secrets: u64) -> Rows {
        let seed = secrets
            .wrapping_mul(37)
            .wrapping_add(u64::from(side.seat.0));
        let n = side.n_rows;
        let column = |at: usize| below(seed, at as u64, u64::MAX, n);
        let wide = |at: usize| {
            let halves = column(2 * at + 100).into_iter().zip(column(2 * at + 101));
            halves.map(|(low, high)| u128::from(low) | u128::from(high) << 64)
        };
        Rows {
            keys: self.numbers(side, secrets).into_iter().map(item).collect(),
            narrow: (0..side.narrow).map(column).collect(),
            wide: (0..side.wide).map(|at| wide(at).collect()).collect(),
        }
    }

    fn own_rows(&self, seat: Seat, secrets: u64) -> Option<Rows> {
        let side = self.sides().find(|side| side.seat == seat);
        side.map(|side| self.rows(side, secrets))
    }

    /// For each row of the hub, the row of a spoke with the same key.
    fn found(&self, spoke: &Side, secrets: u64) -> Vec<Option<usize>> {
        let theirs = self.numbers(spoke, secrets).into_iter().zip(0..);
        let theirs: BTreeMap<u64, usize> = theirs.collect();
        let own = self.numbers(&self.shape.hub, secrets);
        own.iter().map(|key| theirs.get(key).copied()).collect()
    }

    /// For each row of the hub, the rows of all spokes with its key, if all have it.
    fn found_by_all(&self, secrets: u64) -> Vec<Option<Vec<usize>>> {
        let spokes = self.shape.spokes.iter();
        let found: Vec<_> = spokes.map(|side| self.found(side, secrets)).collect();
        let of_row = |row: usize| found.iter().map(|found| found[row]).collect();
        (0..self.shape.hub.n_rows).map(of_row).collect()
    }

    fn n_common(&self, secrets: u64) -> u64 {
        self.found_by_all(secrets).iter().flatten().count() as u64
    }

    fn sums(&self, secrets: u64) -> Sums {
        let mut sums = Sums {
            narrow: Vec::new(),
            wide: Vec::new(),
        };
        let found = self.found_by_all(secrets);
        for (at, side) in self.sides().enumerate() {
            let rows = self.rows(side, secrets);
            let kept: Vec<usize> = found
                .iter()
                .enumerate()
                .filter_map(|(row, found)| {
                    let found = found.as_ref()?;
                    Some(if at == 0 { row } else { found[at - 1] })
                })
                .collect();
            for column in &rows.narrow {
                let values = kept.iter().map(|row| column[*row]);
                sums.narrow.push(values.fold(0, u64::wrapping_add));
            }
            for column in &rows.wide {
                let values = kept.iter().map(|row| column[*row]);
                sums.wide.push(values.fold(0, u128::wrapping_add));
            }
        }
        sums
    }

    fn stocks(&self, price: Price, n_seats: usize) -> Mutex<Vec<Option<Stock>>> {
        let stocks = ideal::stocks(n_seats, &price.needs, 7).into_iter();
        Mutex::new(stocks.map(Some).collect())
    }

    pub(crate) fn run_join(&self, world: World, secrets: u64) -> Vec<Ended<Joined>> {
        let seats = Seats::computing(world.n_seats());
        let stocks = self.stocks(circuit::price(seats, &self.shape), world.n_seats());
        world.run(async |session| {
            let mut stock = taken(&stocks, session.seat());
            let rows = self.own_rows(session.seat(), secrets);
            let joined = circuit::join(session, &self.shape, rows, &mut stock).await?;
            assert!(stock.left().is_nothing(), "the stock is used up");
            Ok(joined)
        })
    }

    fn count(&self, world: World, secrets: u64, receivers: &[Seat]) -> Vec<Ended<Option<u64>>> {
        let seats = Seats::computing(world.n_seats());
        let price = circuit::count_price(seats, &self.shape, receivers);
        let stocks = self.stocks(price, world.n_seats());
        world.run(async |session| {
            let mut stock = taken(&stocks, session.seat());
            let rows = self.own_rows(session.seat(), secrets);
            let disclosure = Disclosure::approved(circuit::count_terms(&self.shape, receivers));
            circuit::count(session, &self.shape, rows, &mut stock, disclosure).await
        })
    }
}

fn taken(stocks: &Mutex<Vec<Option<Stock>>>, seat: Seat) -> Stock {
    let stock = stocks.lock().expect("no panic")[seat.index()].take();
    stock.expect("each seat takes its stock once")
}

/// The values that all seats' shares stand for, in the order of the hub's rows; bins without a row
/// hold 0.
struct Opened {
    members: Vec<Vec<bool>>,
    hub: (Vec<Vec<u64>>, Vec<Vec<u128>>),
    spokes: Vec<(Vec<Vec<u64>>, Vec<Vec<u128>>)>,
}

fn opened(joined: Vec<Joined>) -> Opened {
    let places = joined.iter().find_map(|j| j.places.as_ref());
    let places: Vec<usize> = places
        .expect("the hub knows")
        .iter()
        .map(|p| *p as usize)
        .collect();
    let bit = |words: &dyn Fn(&Joined) -> Vec<u64>, at: usize| {
        let bits = joined.iter().map(|j| words(j)[at / 64] >> (at % 64) & 1);
        bits.fold(0, |sum, b| sum ^ b) == 1
    };
    let n_bins = joined[0].valid.n_bits();
    let valid = |j: &Joined| j.valid.as_words().to_vec();
    let filled: Vec<usize> = (0..n_bins).filter(|at| bit(&valid, *at)).collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    assert_eq!(filled, sorted, "rows are in bins of their own");
    let members = (0..joined[0].members.len()).map(|spoke| {
        let words = |j: &Joined| j.members[spoke].as_words().to_vec();
        let set = (0..n_bins).filter(|at| bit(&words, *at));
        assert!(
            set.into_iter().all(|at| filled.contains(&at)),
            "an empty bin matches nothing"
        );
        places.iter().map(|at| bit(&words, *at)).collect()
    });
    let columns = |of: &dyn Fn(&Joined) -> &Columns| {
        let first = of(&joined[0]);
        let narrow = (0..first.narrow.len()).map(|c| {
            let at = |bin: usize| {
                let parts = joined.iter().map(|j| of(j).narrow[c].as_slice()[bin]);
                parts.fold(0, u64::wrapping_add)
            };
            assert!((0..n_bins).all(|bin| filled.contains(&bin) || at(bin) == 0));
            places.iter().map(|bin| at(*bin)).collect::<Vec<_>>()
        });
        let wide = (0..first.wide.len()).map(|c| {
            let at = |bin: usize| {
                let parts = joined.iter().map(|j| of(j).wide[c].as_slice()[bin]);
                parts.fold(0, u128::wrapping_add)
            };
            assert!((0..n_bins).all(|bin| filled.contains(&bin) || at(bin) == 0));
            places.iter().map(|bin| at(*bin)).collect::<Vec<_>>()
        });
        (narrow.collect(), wide.collect())
    };
    Opened {
        members: members.collect(),
        hub: columns(&|j| &j.hub),
        spokes: (0..joined[0].spokes.len())
            .map(|spoke| columns(&|j: &Joined| &j.spokes[spoke]))
            .collect(),
    }
}

fn check_join(join: &Join, n_seats: usize, secrets: u64) {
    let opened = opened(all_ok(join.run_join(World::new(n_seats, secrets), secrets)));
    let shape = &join.shape;
    let found: Vec<_> = shape
        .spokes
        .iter()
        .map(|s| join.found(s, secrets))
        .collect();
    let all = join.found_by_all(secrets);
    let keeps = |spoke: Option<usize>, row: usize| match (shape.keep, spoke) {
        (Keep::Each, None) => true,
        (Keep::Each, Some(spoke)) => found[spoke][row].is_some(),
        (Keep::All, _) => all[row].is_some(),
    };
    let n_rows = shape.hub.n_rows;
    for (at, members) in opened.members.iter().enumerate() {
        let expected: Vec<bool> = (0..n_rows).map(|row| keeps(Some(at), row)).collect();
        assert_eq!(*members, expected, "{join:?}, {secrets}");
    }
    let hub = join.rows(&shape.hub, secrets);
    let mut sides = vec![(None, &opened.hub, hub)];
    for (at, side) in shape.spokes.iter().enumerate() {
        sides.push((Some(at), &opened.spokes[at], join.rows(side, secrets)));
    }
    for (at, (narrow, wide), rows) in sides {
        let of_row = |row: usize| {
            let own = at.map_or(Some(row), |at| found[at][row]);
            own.filter(|_| keeps(at, row))
        };
        for (column, values) in narrow.iter().zip(&rows.narrow) {
            let plain = (0..n_rows).map(|row| of_row(row).map_or(0, |own| values[own]));
            assert_eq!(*column, plain.collect::<Vec<_>>(), "{join:?}, {secrets}");
        }
        for (column, values) in wide.iter().zip(&rows.wide) {
            let plain = (0..n_rows).map(|row| of_row(row).map_or(0, |own| values[own]));
            assert_eq!(*column, plain.collect::<Vec<_>>(), "{join:?}, {secrets}");
        }
    }
}

#[test]
fn joins_equal_plain_ones() {
    for (n_hub, n_spoke) in [(0, 0), (0, 3), (3, 0), (1, 1), (7, 2), (60, 131), (131, 60)] {
        for keep in [Keep::Each, Keep::All] {
            let hub = side(1, n_hub, 1, 1);
            let join = Join::new(hub, &[side(0, n_spoke, 2, 1)], keep);
            for secrets in [1, 1001] {
                check_join(&join, 2, secrets);
            }
        }
    }
}

/// Payloads of every width, so that blocks are filled in every way.
#[test]
fn columns_of_any_width_come_back() {
    for (narrow, wide) in [(0, 0), (1, 0), (2, 0), (0, 1), (3, 0), (1, 1), (0, 2)] {
        let hub = side(0, 20, 0, 0);
        let join = Join::new(hub, &[side(1, 25, narrow, wide)], Keep::All);
        check_join(&join, 2, 3);
    }
}

#[test]
fn several_holders_join_on_one_key() {
    let spokes = [side(0, 50, 1, 0), side(3, 45, 0, 1), side(1, 60, 2, 0)];
    for keep in [Keep::Each, Keep::All] {
        for n_spokes in [2, 3] {
            let join = Join::new(side(2, 40, 1, 1), &spokes[..n_spokes], keep);
            check_join(&join, 4, 4);
            check_join(&join, 5, 1004);
        }
    }
}

/// [`circuit::totals`] with the demands on protocols over shares.
#[derive(Debug)]
struct Totals(Join);

impl Case for Totals {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let sums = self.0.sums(secrets).narrow;
        Clear::of_ring(vec![vec![self.0.n_common(secrets)], sums])
    }

    fn price(&self, seats: Seats) -> Price {
        circuit::totals_price(seats, &self.0.shape)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let rows = self.0.own_rows(session.seat(), secrets);
        let totals = circuit::totals(session, &self.0.shape, rows, stock).await?;
        Ok(Shared {
            ring: vec![totals.count, totals.narrow],
            bits: Vec::new(),
        })
    }
}

fn small() -> Totals {
    Totals(Join::new(side(1, 9, 1, 0), &[side(0, 12, 1, 0)], Keep::All))
}

#[test]
fn totals_meet_all_demands() {
    demands::check_all(&small());
}

/// With two spokes, of several lengths, and longer than one message.
#[test]
fn totals_of_several_spokes_cost_what_they_declare() {
    let spokes = [side(0, 40, 1, 0), side(1, 9, 0, 0)];
    let case = Totals(Join::new(side(2, 21, 0, 0), &spokes, Keep::All));
    for n_computing in [3, 4] {
        demands::check_result(&case, n_computing, 8);
        demands::check_price(&case, n_computing);
    }
    demands::check_cuts(&case);
    let long = Totals(Join::new(
        side(0, 4000, 0, 0),
        &[side(1, 20_000, 2, 0)],
        Keep::All,
    ));
    demands::check_result(&long, 2, 9);
    demands::check_price(&long, 2);
}

/// Whether all keys match or none shows in no message's length.
#[test]
fn matches_do_not_show_in_messages() {
    let case = small();
    demands::check_outline(&case, 3);
    let outline = |secrets: u64| {
        let world = World::new(2, 10).recorded();
        let logs = world.logs();
        all_ok(case.0.run_join(world, secrets));
        let transcripts = transcripts(&logs).into_iter();
        let lengths = transcripts.map(|transcript| {
            let lines = transcript
                .iter()
                .map(|e| (e.frame.kind, e.frame.body.len()));
            lines.collect::<Vec<_>>()
        });
        lengths.collect::<Vec<_>>()
    };
    assert!(outline(11) == outline(1011));
}

/// Keys and payloads that are far from random still make messages that look uniform.
#[test]
fn every_message_looks_uniform() {
    let join = Join::new(side(0, 3000, 1, 0), &[side(1, 3000, 1, 1)], Keep::All);
    for secrets in [12, 1012] {
        let world = World::new(2, secrets).recorded();
        let logs = world.logs();
        all_ok(join.run_join(world, secrets));
        let kinds = [Kind::Store, Kind::Hints, Kind::MaskedLanes, Kind::Transfer];
        chi_square::check_received(&transcripts(&logs), &kinds, chi_square::whole);
    }
}

#[test]
fn receivers_alone_learn_the_count() {
    let join = Join::new(side(0, 30, 0, 0), &[side(1, 50, 0, 0)], Keep::All);
    for receivers in [vec![Seat(0)], vec![Seat(1)], vec![Seat(0), Seat(1)]] {
        for secrets in [13, 1013] {
            let counts = all_ok(join.count(World::new(2, 14), secrets, &receivers));
            for (seat, count) in Seat::first(2).zip(counts) {
                let learns = receivers.contains(&seat);
                assert_eq!(count, learns.then(|| join.n_common(secrets)));
            }
        }
    }
    let declared = circuit::count_price(Seats::computing(2), &join.shape, &[Seat(0)]).cost;
    for (seat, ended) in join
        .count(World::new(2, 14), 13, &[Seat(0)])
        .iter()
        .enumerate()
    {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
    }
}

/// What was not approved is not opened, and nothing is sent.
#[test]
fn a_disclosure_of_something_else_is_refused() {
    let join = Join::new(side(0, 5, 0, 0), &[side(1, 5, 1, 0)], Keep::All);
    let other = Join::new(side(0, 4, 0, 0), &[side(1, 5, 1, 0)], Keep::All);
    let receivers = [Seat(0)];
    for terms in [
        circuit::sums_terms(&join.shape, &receivers),
        circuit::count_terms(&other.shape, &receivers),
    ] {
        let ended = World::new(2, 15).run(async |session| {
            let rows = join.own_rows(session.seat(), 15);
            let disclosure = Disclosure::approved(terms.clone());
            let stock = &mut Stock::empty();
            circuit::count(session, &join.shape, rows, stock, disclosure).await
        });
        for ended in ended {
            assert!(matches!(
                ended.outcome,
                Err(ProtocolError::NotApproved { .. })
            ));
            assert!(ended.traffic.messages_sent.iter().all(|n| *n == 0));
        }
    }
}

/// From oblivious transfer and from a dealer: the preparation, the join and the sums, end to end.
#[test]
fn sums_come_from_either_source() {
    let join = Join::new(side(0, 70, 1, 0), &[side(1, 90, 1, 1)], Keep::All);
    for source in [Source::Ot, Source::Dealer { seat: Seat(2) }] {
        let seats = Seats {
            n_seats: 2 + source.extra_seats(),
            n_computing: 2,
        };
        let needs = circuit::sums_price(seats, &join.shape, &[Seat(1)]).needs;
        let world = World::with_dealer(2, source.extra_seats() == 1, 16);
        let ended = world.run(async |session| {
            if session.dealer() == Some(session.seat()) {
                return dealer::serve(session, &needs).await.map(|()| None);
            }
            let mut stock = correlate::preprocess(session, &source, &needs).await?;
            let rows = join.own_rows(session.seat(), 17);
            let disclosure = Disclosure::approved(circuit::sums_terms(&join.shape, &[Seat(1)]));
            circuit::sums(session, &join.shape, rows, &mut stock, disclosure).await
        });
        assert_eq!(all_ok(ended)[1], Some(join.sums(17)));
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let join = Join::new(side(0, 5, 1, 0), &[side(1, 5, 0, 0)], Keep::All);
    let refused = |shape: &Shape, rows: &dyn Fn(Seat) -> Option<Rows>, seat: usize| {
        let ended = World::new(2, 18).run(async |session| {
            let rows = rows(session.seat());
            circuit::join(session, shape, rows, &mut Stock::empty()).await
        });
        let error = ended[seat].outcome.as_ref().err();
        assert!(
            matches!(error, Some(ProtocolError::InvalidInput { .. })),
            "{error:?}"
        );
        assert!(ended[seat].traffic.messages_sent.iter().all(|n| *n == 0));
    };
    let good = |seat: Seat| join.own_rows(seat, 18);
    let twice = |seat: Seat| {
        let mut rows = good(seat)?;
        rows.keys[4] = rows.keys[1];
        Some(rows)
    };
    refused(&join.shape, &twice, 0);
    refused(&join.shape, &twice, 1);
    refused(&join.shape, &|_| None, 0);
    refused(&join.shape, &|_| Some(Rows::of_keys(vec![[1; 16]; 4])), 1);
    let short = |seat: Seat| {
        let mut rows = good(seat)?;
        rows.narrow.iter_mut().for_each(|column| column.truncate(4));
        Some(rows)
    };
    refused(&join.shape, &short, 0);
    let mut shape = join.shape.clone();
    shape.spokes.push(shape.hub);
    refused(&shape, &good, 0);
    shape.spokes = vec![side(7, 5, 0, 0)];
    refused(&shape, &good, 0);
    shape.spokes.clear();
    refused(&shape, &good, 0);
    shape.spokes = vec![side(1, 1 << 29, 0, 0)];
    refused(&shape, &good, 0);
    let each = Join::new(join.shape.hub, &join.shape.spokes, Keep::Each);
    let ended = World::new(2, 18).run(async |session| {
        let rows = good(session.seat());
        circuit::totals(session, &each.shape, rows, &mut Stock::empty()).await
    });
    let error = ended[0].outcome.as_ref().err();
    assert!(
        matches!(error, Some(ProtocolError::InvalidInput { .. })),
        "{error:?}"
    );
}

/// Tampering is no attack that a semi-honest protocol promises to find, but it must end: without a
/// panic, and with lengths and kinds blamed on their sender.
#[test]
fn changed_messages_end_in_an_error_or_a_result() {
    let join = Join::new(side(0, 6, 0, 0), &[side(1, 7, 1, 0)], Keep::All);
    let whole = join.run_join(World::new(2, 19), 19);
    for seat in [Seat(0), Seat(1)] {
        let n_sent: u64 = whole[seat.index()].traffic.messages_sent.iter().sum();
        for at_message in 0..n_sent {
            let flips = (0..3).map(|k| Change::FlipBit(1 + 977 * k));
            let others = [Change::Kind, Change::Shorten, Change::Lengthen];
            for change in flips.chain(others) {
                let wrap = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
                let ended = join.run_join(World::new(2, 19).wrap(seat, wrap), 19);
                let peer = &ended[1 - seat.index()].outcome;
                if !matches!(change, Change::FlipBit(_)) {
                    let blamed = matches!(peer, Err(ProtocolError::PeerMisbehaved {
                        seat: culprit, what: Misdeed::Wire(_),
                    }) if *culprit == seat);
                    assert!(blamed, "{seat}, message {at_message}, {change:?}");
                }
            }
        }
    }
}
