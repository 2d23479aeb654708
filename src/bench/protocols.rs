//! Protocols between two seats on a network in memory: preprocessing and online work apart.
//!
//! A protocol is a line of [`CASES`]. The time is that of the slower seat; both share this machine's cores, and
//! network time is not in it.

use super::machine;
use super::report::{Extra, Meter, Work};
use crate::outcome::{Failure, Outcome};
use engine::bits::words_for;
use engine::prg::{Prg, Seed};
use engine::share::boolean::BitShare;
use protocols::arith;
use protocols::boolean;
use protocols::compare;
use protocols::compute::Compute;
use protocols::correlate::{self, Needs, Source, Stock, dealer};
use protocols::error::ProtocolError;
use protocols::net::{BoxFuture, memory};
use protocols::party::Seat;
use protocols::session::{Session, insecure_configs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

const SEED: [u8; 32] = *b"entente bench: protocols, seed 1";

/// Seats that compute.
const N_SEATS: usize = 2;

type Online = for<'a> fn(
    &'a mut Session,
    &'a mut Stock,
    usize,
) -> BoxFuture<'a, Result<Answer, ProtocolError>>;

/// A protocol, with inputs that everybody can make and with what must come out.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    unit: &'static str,
    n_items: usize,
    n_items_quick: usize,
    needs: fn(usize) -> Needs,
    online: Online,
    expected: fn(usize) -> Vec<u64>,
}

/// What a seat has at the end: a share, or the value itself.
enum Answer {
    Xor(Vec<u64>),
    Open(Vec<u64>),
}

const CASES: [Case; 3] = [
    Case {
        name: "open-u64",
        unit: "value",
        n_items: 1 << 22,
        n_items_quick: 1 << 12,
        needs: |_| Needs::default(),
        online: |session, _, n| Box::pin(open(session, n)),
        expected: |n| {
            first(n)
                .iter()
                .zip(second(n))
                .map(|(x, y)| x.wrapping_add(y))
                .collect()
        },
    },
    Case {
        name: "and",
        unit: "AND",
        n_items: 1 << 26,
        n_items_quick: 1 << 12,
        needs: |n| Needs {
            bit_triples: n as u64,
            ..Needs::default()
        },
        online: |session, stock, n| Box::pin(and(session, stock, n)),
        expected: |n| {
            let words = words_for(n);
            first(words)
                .iter()
                .zip(second(words))
                .map(|(x, y)| x & y)
                .collect()
        },
    },
    Case {
        name: "at-least-63-bit",
        unit: "comparison",
        n_items: 1 << 18,
        n_items_quick: 1 << 10,
        needs: |n| compare::needs(N_SEATS, compare::MAX_BOUND_BITS, n),
        online: |session, stock, n| Box::pin(at_least(session, stock, n)),
        expected: |n| {
            let counts = counts(n);
            let is_at_least = |i: usize| u64::from(counts[i] >= thresholds(n)[i]);
            let words = (0..words_for(n)).map(|w| {
                let bits = (64 * w)..n.min(64 * w + 64);
                bits.rev().fold(0, |word, i| word << 1 | is_at_least(i))
            });
            words.collect()
        },
    },
];

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    for case in CASES {
        let n_items = meter.scale.size(case.n_items, case.n_items_quick);
        let needs = (case.needs)(n_items);
        if needs.is_nothing() {
            online(meter, case, n_items, None).await?;
            continue;
        }
        online(meter, case, n_items, Some(true)).await?;
        online(meter, case, n_items, Some(false)).await?;
    }
    Ok(())
}

/// What both seats took for one part of a run.
#[derive(Clone, Copy, Default)]
struct Part {
    time: Duration,
    bytes_sent: u64,
    rounds: u64,
}

impl Part {
    /// Of the seat that has more of it.
    fn or_more(self, other: Self) -> Self {
        Self {
            time: self.time.max(other.time),
            bytes_sent: self.bytes_sent.max(other.bytes_sent),
            rounds: self.rounds.max(other.rounds),
        }
    }
}

/// Measures a case with correlations from a dealer, by oblivious transfer, or without any.
async fn online(
    meter: &mut Meter<'_>,
    case: Case,
    n_items: usize,
    from_dealer: Option<bool>,
) -> Outcome<()> {
    let name = format!("protocols/{}", case.name);
    meter.announce(&format!("{name}/{n_items}"));
    machine::forget_peak_rss();
    let expected: Arc<[u64]> = (case.expected)(n_items).into();
    let (mut prepared, mut done, mut correct) = (Vec::new(), Vec::new(), true);
    // The first run warms up.
    for repetition in 0..=meter.scale.repetitions {
        let (prepare, online, right) = together(case, n_items, from_dealer, &expected)
            .await
            .map_err(|error| Failure::runtime("protocol", error.to_string()).at(name.clone()))?;
        correct &= right;
        if repetition > 0 {
            prepared.push(prepare);
            done.push(online);
        }
    }
    let mut take_down = |what: &str, parts: Vec<Part>| {
        let work = Work::new(format!("{name}/{what}/{n_items}"), n_items, case.unit);
        let one = parts[0];
        let seconds = parts.iter().map(|part| part.time.as_secs_f64()).collect();
        let extra = Extra {
            bytes_sent: Some(one.bytes_sent),
            rounds: Some(one.rounds),
            ..Extra::of_this_process(correct)
        };
        meter.record(work, seconds, extra);
    };
    if let Some(from_dealer) = from_dealer {
        take_down(
            if from_dealer {
                "prepare-dealer"
            } else {
                "prepare-ot"
            },
            prepared,
        );
    }
    // The online part is the same whatever the source.
    if from_dealer != Some(false) {
        take_down("online", done);
    }
    Ok(())
}

/// Runs all seats at once, each in a task.
async fn together(
    case: Case,
    n_items: usize,
    from_dealer: Option<bool>,
    expected: &[u64],
) -> Result<(Part, Part, bool), ProtocolError> {
    let has_dealer = from_dealer == Some(true);
    let networks = memory::network(N_SEATS + usize::from(has_dealer));
    let configs = insecure_configs(&Seed::from_bytes(SEED), networks, has_dealer, Compute::Pool);
    let ready = Arc::new(Barrier::new(N_SEATS));
    let mut seats = Vec::new();
    for config in configs {
        let session = Session::new(config);
        seats.push(tokio::spawn(at_seat(
            session,
            case,
            n_items,
            Arc::clone(&ready),
        )));
    }
    let (mut prepare, mut online, mut answers) = (Part::default(), Part::default(), Vec::new());
    for seat in seats {
        let ended = seat
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        prepare = prepare.or_more(ended.prepare);
        online = online.or_more(ended.online);
        answers.extend(ended.answer);
    }
    Ok((prepare, online, is_right(answers, expected)))
}

struct Ended {
    prepare: Part,
    online: Part,
    answer: Option<Answer>,
}

async fn at_seat(
    mut session: Session,
    case: Case,
    n_items: usize,
    ready: Arc<Barrier>,
) -> Result<Ended, ProtocolError> {
    let needs = (case.needs)(n_items);
    let began = Instant::now();
    let source = match session.dealer() {
        Some(seat) if seat == session.seat() => {
            dealer::serve(&mut session, &needs).await?;
            return Ok(Ended {
                prepare: part(&session, began, Part::default()),
                online: Part::default(),
                answer: None,
            });
        }
        Some(seat) => Source::Dealer { seat },
        None => Source::Ot,
    };
    let mut stock = correlate::preprocess(&mut session, &source, &needs).await?;
    let prepare = part(&session, began, Part::default());
    ready.wait().await;
    let began = Instant::now();
    let answer = (case.online)(&mut session, &mut stock, n_items).await?;
    Ok(Ended {
        prepare,
        online: part(&session, began, prepare),
        answer: Some(answer),
    })
}

/// What was used since `began`, beyond what was used before.
fn part(session: &Session, began: Instant, before: Part) -> Part {
    let traffic = session.traffic();
    Part {
        time: began.elapsed(),
        bytes_sent: traffic.bytes_sent.iter().max().copied().unwrap_or(0) - before.bytes_sent,
        rounds: u64::from(traffic.rounds) - before.rounds,
    }
}

fn is_right(answers: Vec<Answer>, expected: &[u64]) -> bool {
    let mut xor = vec![0; expected.len()];
    let mut n_shares = 0;
    for answer in answers {
        match answer {
            Answer::Open(values) if values == expected => {}
            Answer::Open(_) => return false,
            Answer::Xor(words) => {
                n_shares += 1;
                engine::bits::xor_assign(&mut xor, &words);
            }
        }
    }
    n_shares == 0 || xor == expected
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

/// Numbers below 2^63.
fn counts(n_items: usize) -> Vec<u64> {
    vector(n_items, 0).into_iter().map(|v| v >> 1).collect()
}

fn thresholds(n_items: usize) -> Vec<u64> {
    vector(n_items, 1).into_iter().map(|v| v >> 1).collect()
}

async fn open(session: &mut Session, n_items: usize) -> Result<Answer, ProtocolError> {
    let me = session.seat();
    let x = (me == Seat(0)).then(|| first(n_items));
    let y = (me == Seat(1)).then(|| second(n_items));
    let mut sum = arith::input(session, Seat(0), x, n_items).await?;
    sum.add_assign(&arith::input(session, Seat(1), y, n_items).await?);
    Ok(Answer::Open(arith::open(session, sum).await?))
}

/// Each seat's own input, and zero for that of the other, are shares.
async fn and(
    session: &mut Session,
    stock: &mut Stock,
    n_bits: usize,
) -> Result<Answer, ProtocolError> {
    let n_words = words_for(n_bits);
    let me = session.seat();
    let own = |seat: u8, words: fn(usize) -> Vec<u64>| {
        if me == Seat(seat) {
            BitShare::from_words(n_bits, words(n_words))
        } else {
            BitShare::zero(n_bits)
        }
    };
    let (x, y) = (own(0, first), own(1, second));
    let products = boolean::and(session, &[(&x, &y)], stock).await?;
    let words = products.into_iter().flat_map(BitShare::into_words);
    Ok(Answer::Xor(words.collect()))
}

async fn at_least(
    session: &mut Session,
    stock: &mut Stock,
    n_items: usize,
) -> Result<Answer, ProtocolError> {
    let own = (session.seat() == Seat(0)).then(|| counts(n_items));
    let counts = arith::input(session, Seat(0), own, n_items).await?;
    let bound_bits = compare::MAX_BOUND_BITS;
    let bits = compare::at_least(session, &counts, &thresholds(n_items), bound_bits, stock).await?;
    Ok(Answer::Xor(bits.into_words()))
}
