//! One run of a case: all seats at once, in memory or on loopback.

use super::{Answer, Case, Inputs, N_SEATS, Prepared, SEED, first, second};
use crate::bench::network::pair::{Mesh, NoRelay, Trouble};
use engine::bits;
use engine::prg::Seed;
use engine::ring;
use protocols::arith;
use protocols::compute::Compute;
use protocols::correlate::{self, Source, dealer};
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::session::{Session, SessionConfig, insecure_configs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

/// How the seats are connected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Net {
    Memory,
    /// The agents' data plane on loopback.
    Quic,
}

/// What both seats took for one part of a run.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) time: Duration,
    pub(super) bytes_sent: u64,
    pub(super) rounds: u64,
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

/// Runs all seats at once, each in a task.
pub(super) async fn together(
    case: Case,
    n_items: usize,
    (net, prepared_by): (Net, Option<Prepared>),
    expected: &[u64],
) -> Result<(Part, Part, bool), Trouble> {
    let has_dealer = prepared_by == Some(Prepared::ByDealer);
    let (configs, sockets) = configs(net, has_dealer).await?;
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
    let mut sessions = Vec::new();
    for seat in seats {
        let ended = seat
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        prepare = prepare.or_more(ended.prepare);
        online = online.or_more(ended.online);
        answers.extend(ended.answer);
        // A connection that closes takes along what the other end has not read.
        sessions.push(ended.session);
    }
    drop((sessions, sockets));
    Ok((prepare, online, is_right(answers, expected, case.tolerance)))
}

/// A configuration for each seat, and what is kept as long as their sessions.
async fn configs(
    net: Net,
    has_dealer: bool,
) -> Result<(Vec<SessionConfig>, Option<impl Sized>), Trouble> {
    let n_seats = N_SEATS + usize::from(has_dealer);
    match net {
        Net::Memory => {
            let seed = Seed::from_bytes(SEED);
            let networks = memory::network(n_seats);
            let configs = insecure_configs(&seed, networks, has_dealer, Compute::Pool);
            Ok((configs, None))
        }
        Net::Quic => {
            let Mesh { configs, sockets } = Mesh::connect(n_seats, true, &NoRelay).await?;
            let configs = configs.into_iter().map(|config| SessionConfig {
                has_dealer,
                compute: Compute::Pool,
                ..config
            });
            Ok((configs.collect(), Some(sockets)))
        }
    }
}

struct Ended {
    prepare: Part,
    online: Part,
    answer: Option<Answer>,
    session: Session,
}

async fn at_seat(
    mut session: Session,
    case: Case,
    n_items: usize,
    ready: Arc<Barrier>,
) -> Result<Ended, ProtocolError> {
    let needs = (case.needs)(Seats::of(&session), n_items);
    let began = Instant::now();
    let source = match session.dealer() {
        Some(seat) if seat == session.seat() => {
            dealer::serve(&mut session, &needs).await?;
            return Ok(Ended {
                prepare: part(&session, began, Part::default()),
                online: Part::default(),
                answer: None,
                session,
            });
        }
        Some(seat) => Source::Dealer { seat },
        None => Source::Ot,
    };
    let mut stock = correlate::preprocess(&mut session, &source, &needs).await?;
    let prepare = part(&session, began, Part::default());
    let inputs = inputs(&mut session, (case.words)(n_items), case.number).await?;
    ready.wait().await;
    let began = Instant::now();
    let answer = (case.online)(&mut session, &mut stock, n_items, inputs).await?;
    Ok(Ended {
        prepare,
        online: part(&session, began, prepare),
        answer: Some(answer),
        session,
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

fn is_right(answers: Vec<Answer>, expected: &[u64], tolerance: u64) -> bool {
    let (mut xor, mut sum) = (vec![0; expected.len()], vec![0; expected.len()]);
    let mut opened = true;
    let mut shares = None;
    for answer in answers {
        match answer {
            Answer::Open(values) => opened &= values == expected,
            Answer::Xor(words) => {
                bits::xor_assign(&mut xor, &words);
                shares = Some(&xor);
            }
            Answer::Sum(share) => {
                ring::add_assign(&mut sum, share.as_slice());
                shares = Some(&sum);
            }
        }
    }
    let close = |(value, expected): (&u64, &u64)| value.wrapping_sub(*expected) <= tolerance;
    opened && shares.is_none_or(|values| values.iter().zip(expected).all(close))
}

/// What both seats bring, shared.
async fn inputs(
    session: &mut Session,
    n_words: usize,
    number: fn(u64) -> u64,
) -> Result<Inputs, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let own = if is_first {
        first(n_words)
    } else {
        second(n_words)
    };
    let numbers = || own.iter().map(|word| number(*word)).collect();
    let (x, y) = (is_first.then(numbers), (!is_first).then(numbers));
    let x = arith::input(session, Seat(0), x, n_words).await?;
    let y = arith::input(session, Seat(1), y, n_words).await?;
    Ok(Inputs { x, y, own })
}
