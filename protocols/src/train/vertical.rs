//! A model of the rows that several holders have in common, each with columns of its own, without anybody
//! seeing which rows these are.
//!
//! ```text
//! join        the holders' rows meet in shares, see [`circuit`](crate::psi::circuit)
//! compact     the hub's rows without the empty bins between them, see [`circuit::compact`]
//! standardise columns less their means over the rows that count, see [`standard`](super::standard)
//! fit         Newton's method, or descent in small batches, see [`glm`](super::glm)
//! evaluate    on rows that were not fitted: sorted by score, see [`evaluate`](super::evaluate)
//! meter       what each holder's columns contribute to a linear model, see [`shapley`](super::shapley)
//! release     all of it at once, see [`glm::release`](super::glm::release)
//! ```
//!
//! Columns over Z_2^64 of each holder, in this order: its features with [`COLUMN_BITS`]; at the label's
//! holder 1 for rows that are fitted, and for these the label with [`Family::label_bits`]; if there is an
//! evaluation, 1 for bad rows that are evaluated, and 1 for good ones; if fitted rows are evaluated as well, 1 for bad
//! ones of these; if rows out of time are, 1 for bad ones of these, and 1 for good ones; at the hub a 1.
//!
//! With [`Keep::Each`] the rows are all of the hub's, and what a spoke lacks is 0: a left join. If the label is a
//! spoke's, all of them are fitted.

use super::evaluate::{self, Asks};
use super::glm::{self, COLUMN_BITS, Descent, Family, Fitted, Released, Rows};
use super::shapley::{self, Game, Moments};
use super::standard;
use crate::arith::compare::Method;
use crate::arith::{copy, difference};
use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit::{self, Keep};
use crate::resume::Course;
use crate::session::Session;
use engine::share::Share;

/// The public shape of a model over a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub first, then the others: seat and number of distinct keys.
    pub tables: Vec<(Seat, usize)>,
    /// Whether rows are those that all tables have, or all of the hub's.
    pub keep: Keep,
    /// For each feature in the order of the result whose it is, as a place in `tables`.
    pub features: Vec<usize>,
    /// Whose the label is, as a place in `tables`.
    pub label: usize,
    /// What the label is.
    pub family: Family,
    /// Number of steps.
    pub n_steps: u32,
    /// How many of them, or of the epochs of descent, an earlier session has taken, from whose end this one goes on; 0 of metered
    /// models, of which the first step is told.
    pub n_done: u32,
    /// Batches and rate, of a model that is fitted by descent and not by Newton's method.
    pub descent: Option<Descent>,
    /// No table has more than 2^this rows, by what is published of it.
    pub log_rows: u32,
    /// Whether rows that are not fitted are scored and evaluated.
    pub evaluates: bool,
    /// What is asked for of them beside area and distance, compared with rows that are fitted.
    pub asks: Asks,
    /// What is asked for of rows that are fitted, if these are evaluated as well: all but a comparison.
    pub of_train: Option<Asks>,
    /// Whether rows of a third sample are evaluated as those of the first one that is not fitted are: those out of time.
    pub has_oot: bool,
    /// Fewest bad and fewest good ones that are counted between two scores; at 1 or less any number is told.
    pub min_cell: u64,
    /// Fewest rows that are fitted; and fewest bad and good ones that are evaluated.
    pub at_least: u64,
    /// λ of the penalty λ/2·Σβ² for columns in units of their standard deviations, see [`penalty`]; 0 for none. At
    /// most the fewest rows that are fitted.
    pub l2: u64,
    /// Whether all computing seats are told what each holder's columns contribute; of a linear model by Newton's method and
    /// without a penalty.
    pub is_metered: bool,
    /// The method of comparisons and conversions.
    pub method: Method,
}

impl Shape {
    /// How many columns the table at a place has, if each feature has so many.
    pub(super) fn n_columns_of(&self, place: usize, widths: &[usize]) -> usize {
        let features = self.features.iter().zip(widths);
        let own = features.filter(|(f, _)| **f == place);
        let n_features: usize = own.map(|(_, width)| *width).sum();
        let of_label = if place == self.label {
            let n_marked = usize::from(self.evaluates) + usize::from(self.has_oot);
            2 + 2 * n_marked + usize::from(self.of_train.is_some())
        } else {
            0
        };
        n_features + of_label + usize::from(place == 0)
    }

    /// The shape of the join.
    #[must_use]
    pub fn join(&self) -> circuit::Shape {
        self.join_of(&vec![1; self.features.len()])
    }

    /// The shape of a join in which each feature has so many columns.
    pub(super) fn join_of(&self, widths: &[usize]) -> circuit::Shape {
        circuit::Shape::star(
            &self.tables,
            |place| self.n_columns_of(place, widths),
            self.keep,
        )
    }

    /// Rows that are computed on: the hub's.
    fn n_rows(&self) -> usize {
        self.join().hub.n_rows
    }

    /// The shape of the model.
    #[must_use]
    pub fn model(&self) -> glm::Shape {
        glm::Shape {
            family: self.family,
            n_rows: self.n_rows(),
            n_columns: 1 + self.features.len(),
            log_rows: self.log_rows,
            has_offset: false,
            is_penalised: self.l2 > 0,
            n_steps: self.n_steps,
            n_done: self.n_done,
            method: self.method,
        }
    }

    /// The evaluations of rows that are not fitted, of those that are, and of those out of time.
    pub(super) fn evaluations(&self) -> impl Iterator<Item = evaluate::Shape> {
        let test = self.evaluates.then_some(self.asks);
        let shape = |asks| evaluate::Shape {
            n_rows: self.n_rows(),
            score_bits: self.family.label_bits(),
            at_least: self.at_least,
            asks,
            min_cell: self.min_cell,
            method: self.method,
        };
        let oot = self.has_oot.then_some(self.asks);
        test.into_iter().chain(self.of_train).chain(oot).map(shape)
    }

    /// How far λ times a variance is shifted.
    fn penalty_shift(&self) -> i32 {
        let bits = standard::SQUARE_BITS + PENALTY_BITS;
        bits.cast_signed() - self.model().penalty_bits().cast_signed()
    }

    fn n_figures(&self) -> usize {
        self.evaluations().map(|shape| shape.asks.n_figures()).sum()
    }

    /// Those whose contributions are told: the tables that have a feature, as places in `tables`. Nobody if the shape is not metered.
    #[must_use]
    pub fn players(&self) -> Vec<usize> {
        let places = 0..self.tables.len();
        places
            .filter(|place| self.is_metered && self.features.contains(place))
            .collect()
    }

    fn game(&self) -> Option<Game> {
        let all = self.players();
        let player = |place: &usize| all.binary_search(place).expect("a feature's holder plays");
        self.is_metered.then(|| Game {
            players: self.features.iter().map(player).collect(),
            log_rows: self.log_rows,
            method: self.method,
        })
    }

    /// How many products the eliminations of the game take; at most [`shapley::MAX_PRODUCTS`].
    #[must_use]
    pub fn n_metered_products(&self) -> usize {
        self.game().map_or(0, |game| game.n_products())
    }

    /// The terms of the disclosure that [`train`] takes.
    #[must_use]
    pub fn terms(&self, receivers: &[Seat]) -> Terms {
        let model = glm::release_terms(&self.model(), self.n_figures(), self.at_least, receivers);
        if self.is_metered {
            let places: Vec<u8> = self.features.iter().map(|place| *place as u8).collect();
            let seats: Vec<u8> = self.tables.iter().map(|(seat, _)| seat.0).collect();
            let fields = [&model.digest()[..], &places, &seats];
            return Terms::new("entente/v1/terms/glm/metered", &fields, receivers);
        }
        let Some(Descent {
            epochs,
            batch,
            rate,
        }) = self.descent
        else {
            return model;
        };
        let fields = [u64::from(epochs), batch as u64, u64::from(rate)].map(u64::to_le_bytes);
        let [epochs, batch, rate] = fields.each_ref().map(|field| &field[..]);
        let fields = [model.digest(), epochs, batch, rate];
        Terms::new("entente/v1/terms/glm/descent", &fields, receivers)
    }

    pub(super) fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let n_tables = self.tables.len();
        let most = self.tables.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let fits = n_tables >= 2
            && self
                .tables
                .iter()
                .all(|(seat, _)| seat.index() < n_computing)
            && self.label < n_tables
            && self.features.iter().all(|place| *place < n_tables)
            && self
                .of_train
                .is_none_or(|asks| self.evaluates && !asks.stability)
            && (self.evaluates || !self.has_oot)
            && (self.label == 0 || self.keep == Keep::All || !self.evaluates)
            && self.log_rows <= glm::MAX_LOG_ROWS
            && most <= 1 << self.log_rows;
        let is_plain = self.family == Family::Linear && self.descent.is_none() && self.l2 == 0;
        if self.is_metered && !(is_plain && self.n_done == 0) {
            return Err(ProtocolError::InvalidInput {
                what: "contributions are those to a linear model by Newton's method without a penalty",
            });
        }
        match fits {
            true => {
                let model = self.model();
                let descent = self.descent.map_or(Ok(()), |how| how.check(&model));
                let game = self.game().map_or(Ok(()), |game| game.check());
                model.check().and(descent).and(game)
            }
            false => Err(ProtocolError::InvalidInput {
                what: "a model over a join has features and a label of two tables or more, and a left join evaluates rows of the hub's labels alone",
            }),
        }
    }
}

/// A model, and what holders contributed to it.
#[derive(Debug)]
pub struct Trained {
    /// The model, at receivers.
    pub released: Option<Released>,
    /// n!·φ of each of the [players](Shape::players), with [`shapley::VALUE_BITS`], at all computing seats: zeros if the model
    /// is not released, or labels hardly vary.
    pub contributions: Vec<u64>,
}

/// Fits a model to the rows of a join, and reveals it to the receivers.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the holders, columns as the [module](self) says, with a mean square of at most 1
///   over the table; elsewhere `None`; `course`: as of [`glm::fit`], of columns in these units; takes [`price`];
///   `disclosure`: of [`Shape::terms`]
/// # Output    at receivers [`Released`], coefficients and standard errors in units of the columns' standard
///   deviations over the rows that are fitted, the constant that of columns less their means; `figures` of
///   [`evaluate::Figures`] if the shape says so. If it is metered, contributions at all computing seats, which add up to n!·R²
/// # Cost      [`price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Receivers learn what
///   [`glm::release`] says, nobody who matched; of a metered shape all computing seats learn the contributions, and so R²
/// # Errors    those of [`circuit::join`], [`glm::fit`], [`evaluate::evaluate`] and [`glm::release`]
/// # Source    CRYPTO §3.6, §4.2, §4.5
pub async fn train(
    session: &mut Session,
    rows: Option<circuit::Rows>,
    shape: &Shape,
    course: &mut Course<'_>,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Trained, ProtocolError> {
    session.ended_by(shape.check(session.n_computing()))?;
    let terms = shape.terms(disclosure.receivers());
    let seats = Seats::of(session);
    let needs = price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &terms), (stock, &needs))?;
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let tables = circuit::compact(session, joined, &shape.join(), stock).await?;
    let model = shape.model();
    let columns = columns(shape, &vec![1; shape.features.len()], tables);
    let Parts {
        mut rows,
        members,
        marks,
    } = parts(columns);
    let deviations = standard::standardise(session, &mut rows, &members, &model, stock).await?;
    if shape.l2 > 0 {
        rows.penalties = Some(penalties(session, &deviations, shape, stock).await?);
    }
    let fitted = match &shape.descent {
        Some(how) => glm::descend(session, &rows, (&model, how), course, stock).await?,
        None => glm::fit(session, &rows, &model, course, stock).await?,
    };
    let fit = (&rows, &fitted.coefficients);
    let samples: Vec<_> = shape.evaluations().zip(&marks).collect();
    let mut figures = figures(session, fit, (&model, &samples), stock).await?;
    figures.append(contributions(session, &fitted, &rows, shape, stock).await?);
    let coefficients =
        standard::in_deviations(session, &fitted.coefficients, &deviations, stock).await?;
    let errors = standard::in_deviations(session, &fitted.errors, &deviations, stock).await?;
    let fitted = Fitted {
        coefficients,
        errors,
        ..fitted
    };
    let released = (fitted, figures);
    let mut masked = glm::masked(session, released, &model, shape.at_least, stock).await?;
    let contributions = told(session, &mut masked, shape, &disclosure).await?;
    Ok(Trained {
        contributions,
        released: masked.told(session, &model, disclosure).await?,
    })
}

/// Shares of what each player contributed; none if the shape is not metered.
async fn contributions(
    session: &mut Session,
    fitted: &Fitted,
    rows: &Rows,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let (Some(game), Some([sides, matrix])) = (shape.game(), &fitted.first) else {
        return Ok(Share::zero(0));
    };
    let model = shape.model();
    let square = glm::squares(session, &rows.labels, &model, stock).await?;
    let moments = Moments {
        sides: copy(sides),
        matrix: copy(matrix),
        labels: (square, model.square_bits()),
    };
    shapley::values(session, moments, &game, stock).await
}

fn contributions_price(seats: Seats, shape: &Shape) -> Price {
    match shape.game() {
        None => Price::nothing(seats),
        Some(game) => {
            glm::squares_price(seats, &shape.model()).then(&shapley::values_price(seats, &game))
        }
    }
}

/// Tells all computing seats what each player contributed to a model that may be seen.
async fn told(
    session: &mut Session,
    masked: &mut glm::Masked,
    shape: &Shape,
    disclosure: &Disclosure,
) -> Result<Vec<u64>, ProtocolError> {
    let n_players = shape.players().len();
    if n_players == 0 {
        return Ok(Vec::new());
    }
    let values = Values {
        narrow: masked.last_figures(n_players),
        wide: Share::zero(0),
    };
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let part = disclosure.part(Terms::of_values(n_players, 0, &everybody));
    let found = reveal(session, values, &everybody, part).await?;
    let found = found.expect("every computing seat is told the contributions");
    // One who adds nothing may come out a unit below 0.
    let values = found.narrow.iter().map(|v| v.cast_signed().max(0));
    Ok(values.map(i64::cast_unsigned).collect())
}

/// Scores rows by a fitted model, and evaluates samples of them by which rows are bad and which are good.
pub(super) async fn figures(
    session: &mut Session,
    (rows, coefficients): (&Rows, &Share<u128>),
    (model, samples): (&glm::Shape, &[(evaluate::Shape, &[Share<u64>; 2])]),
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let mut figures = Share::zero(0);
    if samples.is_empty() {
        return Ok(figures);
    }
    let scores = glm::predictor(session, rows, model, coefficients, stock).await?;
    for (shape, [bad, good]) in samples {
        let rows = evaluate::Rows {
            scores: copy(&scores),
            bad: copy(bad),
            good: copy(good),
            base: shape.asks.stability.then(|| copy(&rows.used)),
        };
        figures.append(evaluate::evaluate(session, rows, shape, stock).await?);
    }
    Ok(figures)
}

/// The declared price of [`figures`].
pub(super) fn figures_price(
    seats: Seats,
    model: &glm::Shape,
    samples: impl Iterator<Item = evaluate::Shape>,
) -> Price {
    let evaluated: Vec<Price> = samples.map(|s| evaluate::price(seats, &s)).collect();
    match evaluated.is_empty() {
        true => Price::nothing(seats),
        false => glm::predictor_price(seats, model).then(&Price::sequence(seats, evaluated)),
    }
}

/// λ as a shape has it.
#[must_use]
pub fn penalty(lambda: f64) -> u64 {
    (lambda * 2f64.powi(PENALTY_BITS.cast_signed())).round() as u64
}

/// Fractional bits of λ.
const PENALTY_BITS: u32 = 20;

/// λ·s² of columns with standard deviations s: that of columns in units of these. The constant is free.
async fn penalties(
    session: &mut Session,
    deviations: &Share<u128>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let mut squares = standard::in_deviations(session, deviations, deviations, stock).await?;
    squares.as_mut_slice()[0] = 0;
    squares.scale_public(u128::from(shape.l2));
    shift(session, squares, shape.penalty_shift(), stock).await
}

/// The declared price of [`train`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let model = shape.model();
    let scaled = standard::in_deviations_price(seats, model.n_columns);
    let evaluated = figures_price(seats, &model, shape.evaluations());
    let penalised = match shape.l2 > 0 {
        true => {
            let n_bits = shape.penalty_shift();
            scaled
                .clone()
                .then(&shift_price::<u128>(seats, model.n_columns, n_bits))
        }
        false => Price::nothing(seats),
    };
    let fitted = match &shape.descent {
        Some(how) => glm::descend_price(seats, &model, how),
        None => glm::fit_price(seats, &model),
    };
    circuit::price(seats, &shape.join())
        .then(&circuit::compact_price(seats, &shape.join()))
        .then(&standard::standardise_price(seats, &model))
        .then(&penalised)
        .then(&fitted)
        .then(&evaluated)
        .then(&contributions_price(seats, shape))
        .then(&scaled)
        .then(&scaled)
        .then(&glm::release_price(
            seats,
            &model,
            shape.n_figures() + shape.players().len(),
        ))
}

/// The declared cost of what [`train`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Cost {
    let model = glm::release_cost(seats, &shape.model(), shape.n_figures(), receivers);
    let n_players = shape.players().len();
    if n_players == 0 {
        return model;
    }
    let everybody: Vec<Seat> = Seat::first(seats.n_computing).collect();
    disclose::cost(seats.n_seats, seats.n_computing, n_players, 0, &everybody).then(&model)
}

/// A join's columns, by what they are.
pub(super) struct Columns {
    /// The features' columns in the order of the result.
    pub(super) features: Vec<Share<u64>>,
    /// 1 for rows that are fitted, and their labels.
    pub(super) used: Share<u64>,
    pub(super) labels: Share<u64>,
    /// Bad and good rows of each sample that is evaluated.
    pub(super) marks: Vec<[Share<u64>; 2]>,
    /// 1 for rows that exist.
    pub(super) members: Share<u64>,
}

/// Takes the tables of a join apart in which each feature has so many columns.
pub(super) fn columns(shape: &Shape, widths: &[usize], tables: Vec<circuit::Columns>) -> Columns {
    let mut tables: Vec<std::vec::IntoIter<Share<u64>>> = tables
        .into_iter()
        .map(|columns| columns.narrow.into_iter())
        .collect();
    let mut next = |place: usize| tables[place].next().expect("a column of the shape");
    let of_features = shape.features.iter().zip(widths);
    let places = of_features.flat_map(|(place, width)| std::iter::repeat_n(*place, *width));
    let features: Vec<Share<u64>> = places.map(&mut next).collect();
    let (mut used, labels) = (next(shape.label), next(shape.label));
    let marks = shape
        .evaluates
        .then(|| [next(shape.label), next(shape.label)]);
    let of_train = shape.of_train.map(|_| {
        let bad = next(shape.label);
        let good = difference(&used, &bad);
        [bad, good]
    });
    let oot = shape
        .has_oot
        .then(|| [next(shape.label), next(shape.label)]);
    let members = next(0);
    if shape.keep == Keep::Each && shape.label != 0 {
        used = copy(&members);
    }
    Columns {
        features,
        used,
        labels,
        marks: marks.into_iter().chain(of_train).chain(oot).collect(),
        members,
    }
}

/// A join's rows as a model takes them.
pub(super) struct Parts {
    pub(super) rows: Rows,
    /// 1 for rows that exist.
    pub(super) members: Share<u64>,
    /// Bad and good rows of each sample that is evaluated.
    marks: Vec<[Share<u64>; 2]>,
}

pub(super) fn parts(columns: Columns) -> Parts {
    let mut ones = copy(&columns.members);
    ones.scale_public(1 << COLUMN_BITS);
    let all: Vec<&Share<u64>> = [&ones].into_iter().chain(&columns.features).collect();
    Parts {
        rows: Rows {
            columns: by_row(&all),
            used: columns.used,
            labels: columns.labels,
            offsets: None,
            penalties: None,
        },
        members: columns.members,
        marks: columns.marks,
    }
}

/// Columns as a matrix, row by row.
pub(super) fn by_row(columns: &[&Share<u64>]) -> Share<u64> {
    let n_rows = columns.first().map_or(0, |column| column.len());
    let cells = (0..n_rows).flat_map(|row| columns.iter().map(move |c| c.as_slice()[row]));
    Share::new(cells.collect())
}
