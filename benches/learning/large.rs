//! What banks fit together: a model over rows of three holders beside the same steps over pooled rows, and what a step of a
//! model over a join is made of.

use super::{Fallible, SEED, dealt, joined};
use engine::glm::newton::{Fit, Moved, Newton, Next, Path, ROUNDING, Setting};
use engine::glm::{Family, Rows, Sums};
use engine::prg::{Prg, Seed};
use engine::ring::Ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::arith::matmul;
use protocols::correlate::portions::{self, Portion};
use protocols::correlate::{self, MatrixShape, Needs, Source, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::function::{self, Format};
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::session::Session;
use protocols::sums::{Kind, OpenSums, SumsShape};
use protocols::train::pooled::{self, Asked, Shape};
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

const N_HOLDERS: usize = 3;
const N_COLUMNS: usize = 20;

fn uniform(stream: u64) -> impl FnMut() -> f64 {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), stream);
    move || prg.next_u64() as f64 / 2f64.powi(63) - 1.0
}

/// Rows of columns with a mean square of 1, and labels of 0 and 1.
fn rows(stream: u64, n_rows: usize) -> Rows {
    let mut unit = uniform(stream);
    let mut rows = Rows::new(N_COLUMNS);
    let mut row = [1.0; N_COLUMNS];
    for _ in 0..n_rows {
        let mut eta = -1.0;
        for (j, x) in row.iter_mut().enumerate().skip(1) {
            *x = 1.7 * unit();
            eta += *x / (1.0 + j as f64);
        }
        let is_bad = unit() < (eta / 2.0).tanh();
        rows.push(&row, f64::from(u8::from(is_bad)), None);
    }
    rows
}

fn setting() -> Setting {
    Setting {
        family: Family::Logistic,
        penalties: vec![0.0; N_COLUMNS],
        tolerance: 1e-9,
        max_iterations: 20,
    }
}

/// The same steps over pooled rows.
fn plain(rows: &Rows) -> Fallible<Fit> {
    let mut at = vec![0.0; N_COLUMNS];
    let mut newton = Newton::new(setting(), at.clone());
    loop {
        let sums = rows.evaluate(Family::Logistic, &at);
        match newton
            .next(sums)
            .map_err(|trouble| format!("{trouble:?}"))?
        {
            Next::Evaluate(next) => at = next,
            Next::Done(fit) => return Ok(fit),
        }
    }
}

const SHAPE: Shape = Shape {
    n_columns: N_COLUMNS,
    method: Method::Masked,
};

/// Whether a step went too far, how many columns are sound, a step, errors.
fn opened() -> SumsShape {
    let kinds = [(1, 40), (1, 21), (N_COLUMNS, 21), (N_COLUMNS + 1, 1)];
    let kinds = kinds.map(|(n_sums, at_most)| Kind { n_sums, at_most });
    SumsShape {
        required: vec![],
        told: vec![],
        bound_bits: 1,
        probes: None,
        kinds: kinds.to_vec(),
        vectors: None,
        receivers: Seat::first(N_HOLDERS).collect(),
    }
}

fn all_portions() -> Vec<Portion> {
    let seats = Seats {
        n_seats: N_HOLDERS + 1,
        n_computing: N_HOLDERS,
    };
    let step = pooled::factored_price(seats, &SHAPE).then(&pooled::step_price(seats, &SHAPE));
    let prices = [
        (pooled::is_worse_price(seats, &SHAPE), 40),
        (step, 21),
        (pooled::errors_price(seats, &SHAPE, false), 1),
    ];
    let portion = |(price, at_most): (protocols::price::Price, u32)| Portion {
        needs: price.needs,
        at_most,
    };
    prices.map(portion).to_vec()
}

fn fixed(values: &[f64], bits: u32) -> Share<u128> {
    let scale = f64::from(bits).exp2();
    let values = values.iter().map(|v| ((v * scale) as i128).cast_unsigned());
    Share::new(values.collect())
}

fn floats(values: Vec<u128>, bits: u32) -> Vec<f64> {
    let scale = -f64::from(bits);
    let values = values.into_iter();
    values
        .map(|v| v.to_signed() as f64 * scale.exp2())
        .collect()
}

/// A holder in its session.
struct Holder {
    session: Session,
    sums: OpenSums,
    portions: Vec<Portion>,
}

const SOURCE: Source = Source::Dealer {
    seat: Seat(N_HOLDERS as u8),
};

impl Holder {
    async fn open(&mut self, kind: usize, mine: Share<u128>) -> Result<Vec<u128>, ProtocolError> {
        self.sums
            .open(&mut self.session, kind, mine.into_vec())
            .await
    }

    async fn portion(&mut self, which: usize) -> Result<Stock, ProtocolError> {
        portions::next(&mut self.session, &SOURCE, &self.portions, which).await
    }

    /// Coefficients and standard errors.
    async fn fit(mut self, rows: Arc<Rows>, n_rows: f64) -> Fallible<[Vec<f64>; 2]> {
        let mut path = Path::new(&setting(), vec![0.0; N_COLUMNS]);
        let mut before: Option<f64> = None;
        loop {
            let (own, at) = (Arc::clone(&rows), path.at().to_vec());
            let kernel = move || own.evaluate(Family::Logistic, &at);
            let sums: Sums = self
                .session
                .compute()
                .run(kernel)
                .await
                .ok_or("no numbers")?;
            let growth = before.map_or(-1.0, |b| (sums.deviance - b * (1.0 + ROUNDING)) / n_rows);
            let mut stock = self.portion(0).await?;
            let growth = fixed(&[growth], pooled::GROWTH_BITS);
            let worse = pooled::is_worse(&mut self.session, growth, &SHAPE, &mut stock).await?;
            if self.open(0, worse).await? == [1] {
                path.halve().map_err(|trouble| format!("{trouble:?}"))?;
                continue;
            }
            before = Some(sums.deviance);
            let mut stock = self.portion(1).await?;
            let told = |values: &[f64]| -> Share<u128> {
                let values: Vec<f64> = values.iter().map(|v| 4.0 * v / n_rows).collect();
                fixed(&values, pooled::SUM_BITS)
            };
            let (matrix, gradient) = (told(&sums.information), told(&sums.gradient));
            let session = &mut self.session;
            let factors = pooled::factored(session, &matrix, &SHAPE, &mut stock).await?;
            let step = pooled::step(session, &factors, &gradient, &mut stock).await?;
            let sound = Share::new(factors.sound.as_slice().to_vec());
            if self.open(1, sound).await? != [N_COLUMNS as u128] {
                return Err("a column depends on others".into());
            }
            let step = floats(self.open(2, step).await?, pooled::STEP_BITS);
            let moved = path.step(step).map_err(|trouble| format!("{trouble:?}"))?;
            let Moved::Ended { coefficients, .. } = moved else {
                continue;
            };
            let mut stock = self.portion(2).await?;
            let asked = Asked {
                weights: &[0; N_COLUMNS],
                meat: None,
            };
            let session = &mut self.session;
            let errors = pooled::errors(session, (&factors, asked), &SHAPE, &mut stock).await?;
            let errors = floats(self.open(3, errors.own).await?, pooled::STEP_BITS);
            portions::end(&mut self.session, &SOURCE).await?;
            let errors = errors[..N_COLUMNS].iter();
            let errors = errors.map(|e| e * (4.0 / n_rows).sqrt()).collect();
            return Ok([coefficients, errors]);
        }
    }
}

/// A holder with its rows, or the dealer.
async fn seat(
    mut session: Session,
    rows: Option<Arc<Rows>>,
    n_rows: f64,
) -> Fallible<Option<[Vec<f64>; 2]>> {
    let Some(rows) = rows else {
        portions::serve(&mut session, &all_portions()).await?;
        return Ok(None);
    };
    let disclosure = Disclosure::approved(opened().terms());
    let holder = Holder {
        sums: OpenSums::begin(&mut session, opened(), disclosure)?,
        session,
        portions: all_portions(),
    };
    holder.fit(rows, n_rows).await.map(Some)
}

/// A horizontal logistic model of three holders with so many rows each.
pub(super) async fn horizontal(n_each: usize) -> Fallible<()> {
    let parts: Vec<Arc<Rows>> = (0..N_HOLDERS as u64)
        .map(|holder| Arc::new(rows(200 + holder, n_each)))
        .collect();
    let mut pooled = Rows::new(N_COLUMNS);
    for part in &parts {
        for (row, label) in part.labels().iter().enumerate() {
            pooled.push(part.row(row), *label, None);
        }
    }
    let begun = Instant::now();
    let expected = plain(&pooled)?;
    let alone = begun.elapsed();
    drop(pooled);
    let n_rows = (n_each * N_HOLDERS) as f64;
    let begun = Instant::now();
    let found = dealt(N_HOLDERS, |session| {
        let rows = parts.get(session.seat().index()).cloned();
        seat(session, rows, n_rows)
    });
    let found = joined(found).await?;
    let together = begun.elapsed();
    let [coefficients, _] = &found[0];
    let off = coefficients.iter().zip(&expected.coefficients);
    let worst = off.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if worst > 1e-8 {
        return Err(format!("a coefficient is {worst:e} off").into());
    }
    println!(
        "logistic model, {N_HOLDERS} holders of {n_each} rows, {N_COLUMNS} columns, {} steps: {together:.2?} with a dealer, {alone:.2?} over pooled rows in one process, {:.2} times that; coefficients within {worst:.1e}",
        expected.iterations,
        together.as_secs_f64() / alone.as_secs_f64(),
    );
    Ok(())
}

/// Something that is computed of shares.
type Work =
    for<'a> fn(
        &'a mut Session,
        &'a [Share<u64>],
        &'a mut Stock,
    ) -> Pin<Box<dyn Future<Output = Result<Share<u64>, ProtocolError>> + Send + 'a>>;

/// A seat's part: the times of dealing and of computing, and its share.
async fn part(
    mut session: Session,
    (needs, work): (Needs, Work),
    mine: Option<Vec<Share<u64>>>,
) -> Fallible<Option<([Duration; 2], Vec<u64>)>> {
    let Some(mine) = mine else {
        correlate::dealer::serve(&mut session, &needs).await?;
        return Ok(None);
    };
    let source = Source::Dealer { seat: Seat(2) };
    let begun = Instant::now();
    let mut stock = correlate::preprocess(&mut session, &source, &needs).await?;
    let prepared = begun.elapsed();
    let begun = Instant::now();
    let found = work(&mut session, &mine, &mut stock).await?;
    Ok(Some(([prepared, begun.elapsed()], found.into_vec())))
}

/// Two holders and a dealer compute something of shares; the times of dealing and of computing, and the result.
async fn timed(
    needs: Needs,
    inputs: [Vec<Share<u64>>; 2],
    work: Work,
) -> Fallible<([Duration; 2], Vec<u64>)> {
    let inputs = RefCell::new(inputs.map(Some));
    let tasks = dealt(2, |session| {
        let mine = inputs
            .borrow_mut()
            .get_mut(session.seat().index())
            .and_then(Option::take);
        part(session, (needs.clone(), work), mine)
    });
    drop(inputs);
    let found = joined(tasks).await?;
    let [(times, first), (_, second)] = &found[..] else {
        return Err("two seats hold shares".into());
    };
    let sums = first.iter().zip(second);
    Ok((*times, sums.map(|(a, b)| a.wrapping_add(*b)).collect()))
}

/// Numbers shared between two seats.
fn split(values: &[f64], bits: u32, stream: u64) -> [Share<u64>; 2] {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), stream);
    let mut mask = vec![0; values.len()];
    prg.fill_ring(&mut mask);
    let scale = f64::from(bits).exp2();
    let rest = values.iter().zip(&mask);
    let rest = rest.map(|(v, m)| {
        ((v * scale).round() as i64)
            .cast_unsigned()
            .wrapping_sub(*m)
    });
    [Share::new(rest.collect()), Share::new(mask)]
}

/// Columns of XᵀX.
const COLUMNS: usize = 50;

fn gram(n_rows: usize) -> MatrixShape {
    MatrixShape {
        m: COLUMNS,
        k: n_rows,
        n: COLUMNS,
    }
}

/// XᵀX of so many shared rows of 50 columns.
pub(super) async fn cross_products(n_rows: usize) -> Fallible<()> {
    const BITS: u32 = 18;
    let mut unit = uniform(300);
    let x: Vec<f64> = (0..n_rows * COLUMNS).map(|_| unit()).collect();
    let turned: Vec<f64> = (0..n_rows * COLUMNS)
        .map(|at| x[at % n_rows * COLUMNS + at / n_rows])
        .collect();
    let shape = gram(n_rows);
    let seats = Seats {
        n_seats: 3,
        n_computing: 2,
    };
    let [left, right] = [(&turned, 301), (&turned, 301)].map(|(v, stream)| split(v, BITS, stream));
    let [rows, others] = split(&x, BITS, 302);
    let ([mine, _], [_, theirs]) = (left, right);
    let inputs = [vec![mine, rows], vec![theirs, others]];
    let needs = matmul::price::<u64>(seats, shape).needs;
    let work: Work = |session, inputs, stock| {
        let shape = gram(inputs[0].len() / COLUMNS);
        Box::pin(matmul::matmul(
            session, &inputs[0], &inputs[1], shape, stock,
        ))
    };
    let (times, found) = timed(needs, inputs, work).await?;
    let scale = -2.0 * f64::from(BITS);
    let expected: f64 = x.chunks(COLUMNS).map(|row| row[3] * row[7]).sum();
    let got = found[3 * COLUMNS + 7].to_signed() as f64 * scale.exp2();
    if (got - expected).abs() > 1e-5 * n_rows as f64 {
        return Err(format!("a cross-product is {got} instead of {expected}").into());
    }
    println!(
        "XᵀX of {n_rows} shared rows of {COLUMNS} columns: {:.2?} dealing, {:.2?} online",
        times[0], times[1]
    );
    Ok(())
}

const FORMAT: Format = Format {
    frac_bits: 16,
    bound_bits: 21,
    method: Method::Masked,
};

/// 1/(1 + e^−x) of so many shared numbers, exactly but for rounding.
pub(super) async fn sigmoids(n: usize) -> Fallible<()> {
    let mut unit = uniform(400);
    let x: Vec<f64> = (0..n).map(|_| 12.0 * unit()).collect();
    let [first, second] = split(&x, FORMAT.frac_bits, 401);
    let seats = Seats {
        n_seats: 3,
        n_computing: 2,
    };
    let needs = function::sigmoid_price::<u64>(seats, n, FORMAT).needs;
    let inputs = [vec![first], vec![second]];
    let work: Work =
        |session, inputs, stock| Box::pin(function::sigmoid(session, &inputs[0], FORMAT, stock));
    let (times, found) = timed(needs, inputs, work).await?;
    let scale = (-f64::from(FORMAT.frac_bits)).exp2();
    let off = x.iter().zip(found);
    let off = off.map(|(x, v)| (v.to_signed() as f64 * scale - 1.0 / (1.0 + (-x).exp())).abs());
    let worst = off.fold(0.0, f64::max);
    if worst > 1e-3 {
        return Err(format!("a sigmoid is {worst:e} off").into());
    }
    println!(
        "sigmoid of {n} shared numbers: {:.2?} dealing, {:.2?} online, within {worst:.1e}",
        times[0], times[1]
    );
    Ok(())
}
