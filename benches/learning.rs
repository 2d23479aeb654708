//! Secure aggregation among many holders, and descent in small batches at two, all of them on this machine, joined by memory.
//!
//! `cargo bench --bench learning` adds up vectors of 10^6 numbers of 5 and of 20 holders, as a round of federated averaging
//! does, and prints the least and the median time of five rounds: masks, messages, sums and checks of all holders together.
//! What a holder sends is declared, and printed as well.
//!
//! Then two holders and a dealer fit a logistic model of 100,000 rows and 50 columns by descent: 10 epochs in batches of
//! 1,024. Preparation and steps are printed apart, and coefficients are held to those of the same steps in doubles.
//!
//! `cargo bench --bench learning -- large` measures instead a horizontal logistic model of 3 × 10^6 rows and 20 columns beside the
//! same Newton steps over pooled rows in one process, XᵀX of 100,000 × 50 and the sigmoid of 10^6 numbers, the last
//! two of two holders and a dealer. `ENTENTE_BENCH_PART=100` in the environment takes a hundredth of the rows and numbers.

#[path = "learning/large.rs"]
mod large;

use engine::prg::{Prg, Seed};
use engine::ring;
use engine::ring::Ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::compute::Compute;
use protocols::correlate::{self, Source, dealer};
use protocols::disclose::{Disclosure, Terms};
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::resume::Course;
use protocols::session::{Session, insecure_configs};
use protocols::sums::masked;
use protocols::train::glm::{
    self, COLUMN_BITS, Descent, Family, RATE_BITS, RESULT_BITS, Rows, Shape,
};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const SEED: [u8; 32] = *b"entente benches: learning, seed!";
const N_PARAMETERS: usize = 1_000_000;
const N_ROUNDS: usize = 5;

/// A holder's vector.
fn own(seat: Seat) -> Vec<u64> {
    let mut values = vec![0; N_PARAMETERS];
    Prg::new(&Seed::from_bytes(SEED), u64::from(seat.0)).fill_ring(&mut values);
    values
}

async fn round(mut session: Session, mine: Vec<u64>) -> Result<(Session, Vec<u64>), ProtocolError> {
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(mine.len(), 0, &everybody);
    let sums = masked::sum(&mut session, mine, Disclosure::approved(terms)).await?;
    Ok((session, sums))
}

/// The times of some rounds among so many holders, each checked.
async fn rounds(n_holders: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, memory::network(n_holders), false, Compute::Pool);
    let mut sessions: Vec<Session> = configs.into_iter().map(Session::new).collect();
    let mut expected = vec![0; N_PARAMETERS];
    Seat::first(n_holders).for_each(|seat| ring::add_assign(&mut expected, &own(seat)));
    let mut times = Vec::new();
    for _ in 0..N_ROUNDS {
        let vectors: Vec<Vec<u64>> = Seat::first(n_holders).map(own).collect();
        let begun = Instant::now();
        let tasks = sessions.drain(..).zip(vectors);
        let tasks: Vec<_> = tasks
            .map(|(s, mine)| tokio::spawn(round(s, mine)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await??);
        }
        times.push(begun.elapsed());
        for (session, sums) in all {
            if sums != expected {
                return Err("sums are wrong".into());
            }
            sessions.push(session);
        }
    }
    times.sort();
    Ok(times)
}

const N_ROWS: usize = 100_000;
const N_COLUMNS: usize = 50;

const HOW: Descent = Descent {
    epochs: 10,
    batch: 1024,
    rate: 1 << (RATE_BITS - 1),
};

/// Columns row by row, the first of which is 1, and labels.
fn people() -> (Vec<f64>, Vec<f64>) {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), 100);
    let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
    let (mut columns, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..N_ROWS {
        let row: Vec<f64> = (0..N_COLUMNS)
            .map(|j| if j == 0 { 1.0 } else { 1.7 * unit() })
            .collect();
        let eta: f64 = row
            .iter()
            .enumerate()
            .map(|(j, x)| x / (2.0 + j as f64))
            .sum();
        labels.push(f64::from(u8::from(unit() < (eta / 2.0).tanh())));
        columns.extend(row);
    }
    (columns, labels)
}

/// The same steps in doubles.
fn plain((columns, labels): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let mut weights = vec![0.0; N_COLUMNS];
    for _ in 0..HOW.epochs {
        let batches = columns.chunks(HOW.batch * N_COLUMNS);
        for (rows, labels) in batches.zip(labels.chunks(HOW.batch)) {
            let mut gradient = vec![0.0; N_COLUMNS];
            for (row, label) in rows.chunks(N_COLUMNS).zip(labels) {
                let eta: f64 = row.iter().zip(&weights).map(|(x, w)| x * w).sum();
                let residual = label - 1.0 / (1.0 + (-eta).exp());
                let slopes = gradient.iter_mut().zip(row);
                slopes.for_each(|(g, x)| *g += x * residual);
            }
            let rate = 0.5 / HOW.batch as f64;
            let slopes = weights.iter_mut().zip(&gradient);
            slopes.for_each(|(w, g)| *w += rate * g);
        }
    }
    weights
}

fn shape() -> Shape {
    Shape {
        family: Family::Logistic,
        n_rows: N_ROWS,
        n_columns: N_COLUMNS,
        log_rows: 17,
        has_offset: false,
        is_penalised: false,
        n_done: 0,
        n_steps: 1,
        method: Method::Masked,
    }
}

/// A holder's part: one has the labels and half of the columns, the other the rest. `None` at the dealer.
async fn descend(
    mut session: Session,
    rows: Option<Rows>,
) -> Result<Option<(Vec<u128>, [Duration; 2], u64)>, ProtocolError> {
    let price = glm::descend_price(Seats::of(&session), &shape(), &HOW);
    let Some(rows) = rows else {
        return dealer::serve(&mut session, &price.needs)
            .await
            .map(|()| None);
    };
    let begun = Instant::now();
    let source = Source::Dealer { seat: Seat(2) };
    let mut stock = correlate::preprocess(&mut session, &source, &price.needs).await?;
    let prepared = begun.elapsed();
    let begun = Instant::now();
    let fitted = glm::descend(
        &mut session,
        &rows,
        (&shape(), &HOW),
        &mut Course::default(),
        &mut stock,
    )
    .await?;
    let times = [prepared, begun.elapsed()];
    let sent = session.traffic().bytes_sent.iter().sum();
    Ok(Some((fitted.coefficients.into_vec(), times, sent)))
}

async fn descent() -> Result<(), Box<dyn Error>> {
    let people = people();
    let fixed = |values: &[f64], bits: u32| -> Vec<u64> {
        let scale = 2f64.powi(bits.cast_signed());
        let values = values.iter();
        values
            .map(|v| ((v * scale).round() as i64).cast_unsigned())
            .collect()
    };
    let columns = fixed(&people.0, COLUMN_BITS);
    let part = |is_first: bool| {
        let mine = columns.iter().enumerate();
        let mine = mine.map(|(k, v)| {
            if (k % N_COLUMNS < 25) == is_first {
                *v
            } else {
                0
            }
        });
        let of = |values: Vec<u64>| {
            if is_first {
                Share::new(values)
            } else {
                Share::zero(N_ROWS)
            }
        };
        Rows {
            columns: Share::new(mine.collect()),
            used: of(vec![1; N_ROWS]),
            labels: of(fixed(&people.1, Family::Logistic.label_bits())),
            offsets: None,
            penalties: None,
        }
    };
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, memory::network(3), true, Compute::Pool);
    let parts = [Some(part(true)), Some(part(false)), None];
    let sessions = configs.into_iter().map(Session::new);
    let tasks: Vec<_> = sessions
        .zip(parts)
        .map(|(session, rows)| tokio::spawn(descend(session, rows)))
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await??);
    }
    let [first, second] = &found[..] else {
        return Err("two seats hold shares".into());
    };
    let both = first.0.iter().zip(&second.0);
    let scale = 2f64.powi(-RESULT_BITS.cast_signed());
    let weights = both.map(|(a, b)| a.wrapping_add(*b).to_signed() as f64 * scale);
    let off = weights
        .zip(plain(&people))
        .map(|(w, expected)| (w - expected).abs());
    let worst = off.fold(0.0, f64::max);
    if worst > 1e-3 {
        return Err(format!("a coefficient is {worst:e} off").into());
    }
    let [prepared, stepped] = first.1;
    println!(
        "descent over {N_ROWS} rows and {N_COLUMNS} columns, {} epochs, batches of {}: {prepared:.2?} dealing, {stepped:.2?} steps, {} bytes sent by a holder, coefficients within {worst:.1e} of doubles",
        HOW.epochs, HOW.batch, first.2,
    );
    Ok(())
}

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// So many computing seats and a dealer, each in a task of its own.
fn dealt<T, F, W>(n_computing: usize, work: F) -> Vec<JoinHandle<Fallible<Option<T>>>>
where
    T: Send + 'static,
    F: Fn(Session) -> W,
    W: Future<Output = Fallible<Option<T>>> + Send + 'static,
{
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, memory::network(n_computing + 1), true, Compute::Pool);
    let sessions = configs.into_iter().map(Session::new);
    sessions
        .map(|session| tokio::spawn(work(session)))
        .collect()
}

/// What the computing seats found.
async fn joined<T>(tasks: Vec<JoinHandle<Fallible<Option<T>>>>) -> Fallible<Vec<T>> {
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await??);
    }
    Ok(found)
}

async fn large() -> Fallible<()> {
    let part = std::env::var("ENTENTE_BENCH_PART").map_or(Ok(1), |part| part.parse::<usize>())?;
    let sized = |n: usize| n / part.max(1);
    large::horizontal(sized(1_000_000)).await?;
    large::cross_products(sized(100_000)).await?;
    large::sigmoids(sized(1_000_000)).await
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    if std::env::args().any(|word| word == "large") {
        return runtime
            .block_on(large())
            .map_err(|error| -> Box<dyn Error> { error });
    }
    for n_holders in [5, 20] {
        let times = runtime.block_on(rounds(n_holders))?;
        let cost = masked::cost(Seats::computing(n_holders), N_PARAMETERS);
        println!(
            "secure aggregation of {N_PARAMETERS} parameters, {n_holders} holders: least {:.0?}, median {:.0?}; {} rounds, {} bytes sent by a holder",
            times[0],
            times[N_ROUNDS / 2],
            cost.rounds,
            cost.bytes_sent(Seat(0)),
        );
    }
    runtime.block_on(descent())
}
