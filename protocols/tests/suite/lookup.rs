//! Private lookup: against plain tables, declared costs, what a holder sees, and what either side
//! can get wrong.

use crate::ideal;
use crate::world::{Ended, World, all_ok, prg, seed_of, transcripts};
use protocols::disclose::Disclosure;
use protocols::error::{Misdeed, ProtocolError};
use protocols::lookup::combined::{self, Combine, Input, PreparedTable, Shape, look_up};
use protocols::lookup::table::{RECORD_OVERHEAD, SealedTable, TableShape};
use protocols::lookup::{self, listed, table_key};
use protocols::net::Network;
use protocols::net::record::Direction;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::psi::Item;
use protocols::session::Session;
use protocols::wire::WireError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const ASKER: Seat = Seat(0);
const HOLDER: Seat = Seat(1);

fn item(number: u64) -> Item {
    engine::hash::digest("entente/v1/test/item", &[&number.to_le_bytes()])[..16]
        .try_into()
        .expect("16 bytes")
}

/// A table with keys 0, 1, … and values of different lengths, and questions.
#[derive(Clone)]
pub(crate) struct Job {
    records: Vec<(Item, Vec<u8>)>,
    questions: Vec<Item>,
    value_bytes: usize,
    seed: u64,
}

impl Job {
    /// Questions for keys `first`, `first` + 1, …
    pub(crate) fn new(n_records: u64, first: u64, n_questions: u64, seed: u64) -> Self {
        let value = |i: u64| i.to_le_bytes()[..(i % 9) as usize].to_vec();
        Self {
            records: (0..n_records).map(|i| (item(i), value(i))).collect(),
            questions: (first..first + n_questions).map(item).collect(),
            value_bytes: 8,
            seed,
        }
    }

    fn expected(&self) -> Vec<Option<Vec<u8>>> {
        let table: BTreeMap<&Item, &Vec<u8>> = self.records.iter().map(|(k, v)| (k, v)).collect();
        let answer = |q| table.get(q).map(|v| (*v).clone());
        self.questions.iter().map(answer).collect()
    }

    fn at_most(&self) -> TableShape {
        TableShape {
            n_records: self.records.len(),
            value_bytes: self.value_bytes,
            version: 0,
        }
    }

    pub(crate) fn run(&self, world: World) -> Vec<Ended<Vec<Option<Vec<u8>>>>> {
        let at_most = (self.at_most(), self.questions.len());
        world.run(async |session| self.at_seat(session, at_most).await)
    }

    async fn at_seat(
        &self,
        session: &mut Session,
        (table_at_most, questions_at_most): (TableShape, usize),
    ) -> Result<Vec<Option<Vec<u8>>>, ProtocolError> {
        if session.seat() == ASKER {
            let table = lookup::receive_table(session, HOLDER, &table_at_most, None).await?;
            let questions = self.questions.clone();
            return lookup::ask(session, HOLDER, table, questions).await;
        }
        let key = Arc::new(table_key(&seed_of(self.seed), 7)?);
        let table = SealedTable::seal(&key, 7, self.value_bytes, &self.records);
        let table = Arc::new(table.expect("a table"));
        lookup::ship(session, ASKER, table).await?;
        let n = lookup::answer(session, ASKER, key, questions_at_most).await?;
        assert_eq!(n, self.questions.len());
        Ok(vec![])
    }
}

#[test]
fn answers_equal_the_plain_ones() {
    let sizes = [
        (0, 0, 0),
        (0, 0, 3),
        (1, 0, 0),
        (1, 0, 1),
        (1, 1, 1),
        (100, 60, 97),
    ];
    for (n_records, first, n_questions) in sizes {
        let job = Job::new(n_records, first, n_questions, 1);
        let world = World::new(2, job.seed);
        assert_eq!(all_ok(job.run(world))[0], job.expected());
    }
}

/// Questions around one message; several messages of records; kernels on the pool.
#[test]
fn chunks_join_without_a_seam() {
    for n_questions in [1023, 1024, 1025] {
        let mut job = Job::new(300, 0, n_questions, 2);
        job.value_bytes = 8000;
        let world = World::new(2, job.seed).pooled();
        assert_eq!(all_ok(job.run(world))[0], job.expected());
    }
}

#[test]
fn measured_cost_is_the_declared_one() {
    for (n_records, n_questions) in [(0, 0), (10, 5), (40_000, 1025)] {
        let job = Job::new(n_records, 0, n_questions, 3);
        let table = job.at_most();
        let shipped = lookup::table_cost(2, HOLDER, ASKER, &table, true);
        let declared = shipped.then(&lookup::cost(2, ASKER, HOLDER, n_questions as usize));
        let ended = job.run(World::new(2, job.seed));
        for (seat, ended) in ended.iter().enumerate() {
            assert_eq!(ended.traffic.rounds, declared.rounds);
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
            assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        }
        all_ok(ended);
    }
    // The numbers of the documentation.
    assert_eq!(RECORD_OVERHEAD, 50);
    let declared = lookup::cost(2, ASKER, HOLDER, 1024);
    assert_eq!(declared.bytes[0][1], 8 + 32 * 1024);
    assert_eq!(declared.bytes[1][0], 64 + 32 * 1024);
}

/// What the holder gets: the same messages whether all keys are there or none is, and nothing that
/// comes twice, although the same keys are asked for twice.
#[test]
fn a_holder_sees_how_many_are_asked_for_and_no_more() {
    let mut outlines = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (first, seed) in [(0, 4), (0, 5), (50, 6), (1000, 7)] {
        let job = Job::new(100, first, 100, seed);
        let world = World::new(2, seed).recorded();
        let logs = world.logs();
        all_ok(job.run(world));
        let transcript = transcripts(&logs).remove(1);
        let received = transcript
            .iter()
            .filter(|e| e.direction == Direction::Received);
        let bodies: Vec<_> = received
            .map(|e| (e.frame.kind, e.frame.body.clone()))
            .collect();
        outlines.push(
            bodies
                .iter()
                .map(|(kind, b)| (*kind, b.len()))
                .collect::<Vec<_>>(),
        );
        let (_, elements) = bodies.last().expect("questions");
        seen.extend(elements.chunks_exact(32).map(<[u8]>::to_vec));
    }
    assert!(outlines.iter().all(|outline| *outline == outlines[0]));
    assert_eq!(seen.len(), 400);
}

fn rule(seat: Seat, what: &'static str) -> ProtocolError {
    let what = Misdeed::Rule(what);
    ProtocolError::PeerMisbehaved { seat, what }
}

#[test]
fn limits_are_kept() {
    let job = Job::new(20, 0, 20, 8);
    let outcomes = |table: TableShape, questions: usize| {
        let ended =
            World::new(2, 8).run(async |session| job.at_seat(session, (table, questions)).await);
        let errors = ended.into_iter().map(|e| e.outcome.err());
        errors.collect::<Vec<_>>()
    };
    let too_many = rule(ASKER, "it asks more than was agreed on");
    assert_eq!(outcomes(job.at_most(), 19)[1], Some(too_many));
    let too_large = rule(HOLDER, "its table is larger than was agreed on");
    for (n_records, value_bytes) in [(19, 8), (20, 7)] {
        let at_most = TableShape {
            n_records,
            value_bytes,
            version: 0,
        };
        assert_eq!(outcomes(at_most, 20)[0], Some(too_large.clone()));
    }
}

/// A holder that answers with another key than that of its table.
#[test]
fn another_key_is_found_out() {
    let job = Job::new(20, 0, 20, 9);
    let ended = World::new(2, 9).run(async |session| {
        if session.seat() == ASKER {
            return job.at_seat(session, (job.at_most(), 20)).await;
        }
        let keys = [7, 8].map(|version| table_key(&seed_of(9), version).expect("a key"));
        let [key, other] = keys.map(Arc::new);
        let table = SealedTable::seal(&key, 7, job.value_bytes, &job.records);
        lookup::ship(session, ASKER, Arc::new(table.expect("a table"))).await?;
        lookup::answer(session, ASKER, other, 20).await?;
        Ok(vec![])
    });
    let content = WireError::Content {
        what: "a proof that does not hold",
    };
    let blamed = ProtocolError::PeerMisbehaved {
        seat: HOLDER,
        what: Misdeed::Wire(content),
    };
    let error = ended.into_iter().next().and_then(|e| e.outcome.err());
    assert_eq!(error, Some(blamed));
}

#[test]
fn a_seat_that_dies_ends_the_other() {
    let job = Job::new(20, 0, 1030, 10);
    let declared = lookup::table_cost(2, HOLDER, ASKER, &job.at_most(), true);
    let declared = declared.then(&lookup::cost(2, ASKER, HOLDER, 1030));
    for seat in [ASKER, HOLDER] {
        let n_messages = declared.messages[seat.index()].iter().sum();
        for at_message in 0..n_messages {
            let cut = Some(Cut { seat, at_message });
            let world = World::new(2, 10).on(sim::network(2, LinkModel::LAN, cut));
            let ended = job.run(world);
            let error = ended[0].outcome.as_ref().expect_err("no answers");
            assert!(matches!(error, ProtocolError::Link { .. }), "{error}");
        }
    }
}

/// Whatever the holder changes: no value is ever another than what stands in the table.
#[test]
fn a_changed_message_never_gives_a_wrong_value() {
    let job = Job::new(6, 2, 6, 11);
    let expected = job.expected();
    let mut changes = vec![Change::Kind, Change::Shorten, Change::Lengthen];
    changes.extend((0..40).map(|i| Change::FlipBit(i * 53)));
    for at_message in 0..3 {
        for change in &changes {
            let tamper =
                |inner| Arc::new(Tampered::new(inner, at_message, *change)) as Arc<dyn Network>;
            let ended = job.run(World::new(2, 11).wrap(HOLDER, tamper));
            match &ended[0].outcome {
                Ok(found) => {
                    let mut both = found.iter().zip(&expected);
                    assert!(both.all(|(found, expected)| found.is_none() || found == expected));
                }
                Err(ProtocolError::PeerMisbehaved { seat, .. }) => assert_eq!(*seat, HOLDER),
                Err(error) => assert!(matches!(error, ProtocolError::Link { .. }), "{error}"),
            }
        }
    }
}

/// An asker that kept the table gets no records again; one that has another gets them.
#[test]
fn a_table_that_the_asker_has_is_not_sent_again() {
    let job = Job::new(200, 100, 150, 12);
    let key = |seed| Arc::new(table_key(&seed_of(seed), 7).expect("a key"));
    let sealed = |seed| {
        let table = SealedTable::seal(&key(seed), 7, job.value_bytes, &job.records);
        Arc::new(table.expect("a table"))
    };
    for (kept, follows) in [(Some(12), false), (Some(13), true), (None, true)] {
        let known = kept.map(sealed);
        let ended = World::new(2, job.seed).run(async |session| {
            if session.seat() == HOLDER {
                let sent = lookup::ship(session, ASKER, sealed(12)).await?;
                assert_eq!(sent, follows);
                lookup::answer(session, ASKER, key(12), 150).await?;
                return Ok(vec![]);
            }
            let at_most = job.at_most();
            let table = lookup::receive_table(session, HOLDER, &at_most, known.clone()).await?;
            assert_eq!(table.digest(), sealed(12).digest());
            lookup::ask(session, HOLDER, table, job.questions.clone()).await
        });
        let declared = lookup::table_cost(2, HOLDER, ASKER, &job.at_most(), follows);
        let declared = declared.then(&lookup::cost(2, ASKER, HOLDER, 150));
        for (seat, ended) in ended.iter().enumerate() {
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
            assert_eq!(ended.traffic.rounds, declared.rounds);
        }
        assert_eq!(all_ok(ended)[0], job.expected());
    }
    // What a question costs once the table is there.
    let declared = lookup::table_cost(2, HOLDER, ASKER, &job.at_most(), false);
    assert_eq!(declared.bytes, [[0, 32], [53, 0]]);
}

/// A holder that says that a table is known which the asker has never seen.
#[test]
fn a_table_that_nobody_sent_is_not_known() {
    let job = Job::new(3, 0, 3, 14);
    let ended = World::new(2, job.seed).run(async |session| {
        let key = Arc::new(table_key(&seed_of(14), 7)?);
        let table = SealedTable::seal(&key, 7, 8, &job.records).expect("a table");
        let table = Arc::new(table);
        if session.seat() == HOLDER {
            return lookup::ship(session, ASKER, table).await.map(drop);
        }
        let at_most = job.at_most();
        lookup::receive_table(session, HOLDER, &at_most, None).await?;
        Ok(())
    });
    all_ok(ended);
    // The last byte of the offer says whether records follow.
    let tamper =
        |inner| Arc::new(Tampered::new(inner, 0, Change::FlipBit(52 * 8))) as Arc<dyn Network>;
    let ended = job.run(World::new(2, 14).wrap(HOLDER, tamper));
    let error = ended[0].outcome.as_ref().expect_err("no table");
    let what = "it says that a table is known, which is not";
    assert_eq!(*error, rule(HOLDER, what));
}

/// Three holders, one asker in between: all at once, in as many rounds as one takes.
#[test]
fn several_holders_are_asked_at_once() {
    let asker = Seat(2);
    let holders = [Seat(0), Seat(1), Seat(3)];
    let jobs: Vec<Job> = (0..3).map(|i| Job::new(40 * i, 10, 1030, 15 + i)).collect();
    let key = |job: &Job| Arc::new(table_key(&seed_of(job.seed), 7).expect("a key"));
    let sealed = |job: &Job| {
        let table = SealedTable::seal(&key(job), 7, job.value_bytes, &job.records);
        Arc::new(table.expect("a table"))
    };
    let ended = World::new(4, 15).run(async |session| {
        let me = session.seat();
        if let Some(i) = holders.iter().position(|h| *h == me) {
            let table = (sealed(&jobs[i]), key(&jobs[i]));
            assert_eq!(listed::answer_one(session, asker, table, 1030).await?, 1030);
            return Ok(Vec::new());
        }
        let asked = holders.iter().zip(&jobs).map(|(holder, job)| {
            // The second table is known.
            let known = (*holder == Seat(1)).then(|| sealed(job));
            let at_most = job.at_most();
            (*holder, listed::Asked { at_most, known })
        });
        let found = listed::ask_all(session, asked.collect(), jobs[0].questions.clone()).await?;
        Ok(found.into_values().map(|found| found.values).collect())
    });
    let tables = holders.iter().zip(&jobs);
    let tables: Vec<_> = tables
        .map(|(holder, job)| (*holder, job.at_most(), *holder != Seat(1)))
        .collect();
    let declared = listed::cost(4, asker, &tables, 1030);
    assert_eq!(declared.rounds, 4);
    for (seat, ended) in ended.iter().enumerate() {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        assert_eq!(ended.traffic.rounds, declared.rounds);
    }
    let expected: Vec<_> = jobs.iter().map(Job::expected).collect();
    assert_eq!(all_ok(ended)[asker.index()], expected);
}

/// Tables of several holders, of which the asker at some seat learns sums.
struct Combined {
    shape: Shape,
    questions: Vec<Item>,
    tables: Vec<Vec<(Item, u64)>>,
    seed: u64,
}

impl Combined {
    /// Holder h has the keys that its stride divides, with random values.
    fn new(n_holders: usize, n_questions: u64, combine: Combine, seed: u64) -> Self {
        let mut prg = prg(seed);
        let asker = Seat::from_index(n_holders / 2);
        let others = Seat::first(n_holders + 1).filter(|seat| *seat != asker);
        let mut table = |stride: u64| {
            let keys = (0..n_questions / 2 + 9).map(|i| i * stride);
            keys.map(|i| (item(i), prg.next_u64())).collect::<Vec<_>>()
        };
        let tables: Vec<_> = (1..=n_holders as u64).map(&mut table).collect();
        Self {
            shape: Shape {
                asker,
                holders: others.zip(tables.iter().map(Vec::len)).collect(),
                n_questions: n_questions as usize,
                combine,
            },
            questions: (0..n_questions)
                .map(|i| item(i * 3 % n_questions.max(1) * 2))
                .collect(),
            tables,
            seed,
        }
    }

    fn expected(&self) -> Vec<u64> {
        let tables: Vec<BTreeMap<Item, u64>> = self
            .tables
            .iter()
            .map(|t| t.iter().copied().collect())
            .collect();
        let answer = |question: &Item| {
            let found = tables.iter().filter_map(|table| table.get(question));
            match self.shape.combine {
                Combine::Sum => found.fold(0u64, |sum, v| sum.wrapping_add(*v)),
                Combine::Any => u64::from(found.count() > 0),
            }
        };
        self.questions.iter().map(answer).collect()
    }

    fn n_seats(&self) -> usize {
        self.tables.len() + 1
    }

    fn run(&self, world: World) -> Vec<Ended<Option<Vec<u64>>>> {
        let price = combined::price(Seats::computing(self.n_seats()), &self.shape);
        let stocks = ideal::stocks(self.n_seats(), &price.needs, self.seed);
        let stocks = Mutex::new(stocks.into_iter().map(Some).collect::<Vec<_>>());
        let keys = (0..self.tables.len() as u64).map(|h| table_key(&seed_of(h), 1));
        let keys: Vec<_> = keys.map(|key| Arc::new(key.expect("a key"))).collect();
        let prepare = |(key, table): (&Arc<_>, &Vec<_>)| PreparedTable::new(Arc::clone(key), table);
        let tables = keys.iter().zip(&self.tables).map(prepare);
        let tables: Vec<_> = tables.map(|t| Arc::new(t.expect("a table"))).collect();
        world.run(async |session| {
            let seat = session.seat();
            let mut stock = stocks.lock().expect("no panic")[seat.index()].take();
            let stock = stock.as_mut().expect("each seat runs once");
            let held = self
                .shape
                .holders
                .iter()
                .position(|(holder, _)| *holder == seat);
            let input = match held {
                Some(holder) => Input::Records(tables[holder].clone()),
                None => {
                    let keys = keys.iter().map(|key| *key.public()).collect();
                    Input::Questions(self.questions.clone(), keys)
                }
            };
            let disclosure = Disclosure::approved(self.shape.terms());
            let sums = look_up(session, &self.shape, input, stock, disclosure).await?;
            assert!(stock.left().is_nothing());
            Ok(sums)
        })
    }

    fn world(&self) -> World {
        World::new(self.n_seats(), self.seed)
    }
}

#[test]
fn sums_over_holders_equal_the_plain_ones() {
    for n_holders in [2, 4] {
        for n_questions in [0, 1, 2, 61] {
            for combine in [Combine::Sum, Combine::Any] {
                let job = Combined::new(n_holders, n_questions, combine, 12);
                let outcomes = all_ok(job.run(job.world()));
                for (seat, outcome) in Seat::first(job.n_seats()).zip(outcomes) {
                    let expected = (seat == job.shape.asker).then(|| job.expected());
                    assert_eq!(outcome, expected, "{n_holders}, {n_questions}, {combine:?}");
                }
            }
        }
    }
}

#[test]
fn the_cost_of_a_sum_is_the_declared_one() {
    for n_holders in [2, 3, 4] {
        for combine in [Combine::Sum, Combine::Any] {
            let job = Combined::new(n_holders, 40, combine, 13);
            let declared = combined::price(Seats::computing(job.n_seats()), &job.shape).cost;
            let ended = job.run(job.world());
            for (seat, ended) in ended.iter().enumerate() {
                assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
                assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
                assert_eq!(ended.traffic.rounds, declared.rounds);
            }
            all_ok(ended);
        }
    }
}

/// Whether keys are with all holders or with none shows nowhere but in the result.
#[test]
fn matches_do_not_show_in_messages() {
    let mut outlines = Vec::new();
    for first in [0, 1_000_000] {
        let mut job = Combined::new(2, 30, Combine::Sum, 14);
        job.questions = (first..first + 30).map(item).collect();
        let world = job.world().recorded();
        let logs = world.logs();
        all_ok(job.run(world));
        let outline = transcripts(&logs).into_iter().map(|transcript| {
            let line = transcript.iter().map(|e| {
                let frame = &e.frame;
                (
                    e.direction,
                    e.peer,
                    e.path.0,
                    frame.kind,
                    frame.body.len(),
                    frame.stamp.depth,
                )
            });
            let mut lines: Vec<_> = line.collect();
            lines.sort();
            lines
        });
        outlines.push(outline.collect::<Vec<_>>());
    }
    assert!(outlines[0] == outlines[1]);
}

#[test]
fn a_seat_that_dies_ends_a_sum() {
    let job = Combined::new(2, 5, Combine::Sum, 15);
    let declared = combined::price(Seats::computing(3), &job.shape).cost;
    for seat in Seat::first(3) {
        let n_messages = declared.messages[seat.index()].iter().sum();
        for at_message in 0..n_messages {
            let cut = Some(Cut { seat, at_message });
            let ended = job.run(job.world().on(sim::network(3, LinkModel::LAN, cut)));
            for (other, ended) in Seat::first(3).zip(ended) {
                match ended.outcome {
                    Err(error) => assert!(matches!(error, ProtocolError::Link { .. }), "{error}"),
                    Ok(None) => assert_ne!(other, job.shape.asker),
                    Ok(Some(sums)) => assert_eq!(sums, job.expected()),
                }
            }
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_anything_is_sent() {
    let mut job = Combined::new(2, 5, Combine::Sum, 16);
    job.questions.pop();
    let ended = job.run(job.world());
    let at_asker = &ended[job.shape.asker.index()];
    let error = at_asker
        .outcome
        .as_ref()
        .expect_err("a question is missing");
    assert!(matches!(error, ProtocolError::InvalidInput { .. }));
    assert!(at_asker.traffic.messages_sent.iter().all(|n| *n == 0));
}

#[test]
fn a_sum_takes_several_holders() {
    let job = Combined::new(1, 5, Combine::Sum, 17);
    for ended in job.run(job.world()) {
        let error = ended.outcome.expect_err("one holder");
        assert!(matches!(error, ProtocolError::InvalidInput { .. }));
        assert_eq!(ended.traffic.messages_sent, [0, 0]);
    }
}
