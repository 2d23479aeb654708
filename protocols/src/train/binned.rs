//! A logistic model of features in bins, over a join in which nobody sees who matched: each holder cuts its
//! features into bins, learns how many bad and good rows are in each, and replaces bins by weights.
//!
//! ```text
//! cut     where a holder asks for it, at quantiles of the rows in common, see [`quantiles`]
//! join    a column of 0 and 1 for each bin, see [`circuit`](crate::psi::circuit)
//! count   rows that are fitted, and bad ones, of each bin: one product of matrices; if all bins have enough of
//!         both, the counts go to the feature's holder and to the receivers, nobody else
//! rank    each holder says what its features tell: one number each, to all
//! compare if asked for, how each sample's rows are spread over bins, see [`characteristics`]
//! weigh   bins times their holder's weights, another product: nobody else sees these
//! fit     as over any join, see [`vertical`](super::vertical); a feature that is left out is a column of
//!         zeros with a penalty, so that its coefficient is 0 and nothing that is sent depends on how many are
//! ```
//!
//! Columns of each holder: for each of its features those of its bins, 1 in the row's bin; then what
//! [`vertical`] says of the label's holder and of the hub.

mod price;
mod quantiles;

use price::model_price;
pub use price::{price, release_cost};
pub use quantiles::{MAX_PARTS, Quantiles, quantiles, quantiles_cost, quantiles_price};

use super::evaluate::{self, Asks, characteristics};
use super::glm::{self, COLUMN_BITS, Family, Released, Rows};
use super::vertical::{self, Columns};
use crate::arith::matmul::matmul;
use crate::arith::{compare, copy};
use crate::boolean;
use crate::correlate::{MatrixShape, Stock};
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::Seats;
use crate::psi::circuit::{self, Keep};
use crate::resume::Course;
use crate::session::Session;
use engine::bits;
use engine::ring::{self, Ring};
use engine::share::Share;

/// Most bins of all features together.
pub const MAX_BINS: usize = 4096;

/// Bits of counts of bad rows, which have the scale of labels, and of margins.
const MARGIN_BITS: u32 = 46;

/// Fractional bits of what features tell.
const RANK_BITS: i32 = 40;

/// The public shape of a model of features in bins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The join and the model. The family is logistic.
    pub of: vertical::Shape,
    /// Of each feature the number of bins, those that stay empty included.
    pub bins: Vec<usize>,
    /// Fewest bad and fewest good rows of a bin that has rows. At 1 or less any number is told.
    pub min_count: u64,
    /// Features that are cut at quantiles of the rows in common, ascending.
    pub quantiled: Vec<usize>,
    /// Into how many parts these are cut.
    pub n_parts: usize,
    /// Whether beside the model one of each table's features alone is evaluated.
    pub compares: bool,
    /// Whether receivers are told where the bins of all features begin and end.
    pub tells_edges: bool,
    /// Whether it is told how far rows that are not fitted are spread over the bins of each feature otherwise than those that
    /// are.
    pub tells_spreads: bool,
}

impl Shape {
    fn n_bins(&self) -> usize {
        self.bins.iter().sum()
    }

    /// The shape of the join.
    pub fn join(&self) -> circuit::Shape {
        self.of.join_of(&self.bins)
    }

    /// The shape of the model.
    #[must_use]
    pub fn model(&self) -> glm::Shape {
        glm::Shape {
            n_rows: self.join().n_bins(),
            is_penalised: true,
            ..self.of.model()
        }
    }

    /// The shape of a model by its number: what is gone on with is that of all tables, the first.
    fn numbered(&self, number: usize) -> glm::Shape {
        let n_done = if number == 0 { self.of.n_done } else { 0 };
        glm::Shape {
            n_done,
            ..self.model()
        }
    }

    /// The evaluations of a model: what is asked for is so of the one of all tables, the first; of the others nothing is
    /// but how they do on rows that are not fitted.
    fn evaluations(&self, number: usize) -> impl Iterator<Item = evaluate::Shape> {
        let n_samples = if number == 0 { usize::MAX } else { 1 };
        let of = self.of.evaluations().take(n_samples);
        of.map(move |of| evaluate::Shape {
            n_rows: self.join().n_bins(),
            asks: if number == 0 {
                of.asks
            } else {
                Asks::default()
            },
            ..of
        })
    }

    /// The model, and those of each table's features alone.
    fn n_models(&self) -> usize {
        1 + usize::from(self.compares) * self.of.tables.len()
    }

    fn n_figures(&self) -> usize {
        let evaluations = (0..self.n_models()).flat_map(|n| self.evaluations(n));
        let figures: usize = evaluations.map(|shape| shape.asks.n_figures()).sum();
        figures + self.spreads().map_or(0, |shape| shape.n_figures())
    }

    /// How samples that are not fitted are compared with the one that is, bin by bin; what comes of it stands behind all other
    /// figures.
    #[must_use]
    pub fn spreads(&self) -> Option<characteristics::Shape> {
        self.tells_spreads.then(|| characteristics::Shape {
            bins: self.bins.clone(),
            n_samples: 1 + usize::from(self.of.has_oot),
            at_least: self.of.at_least.max(1),
            min_cell: self.of.min_cell,
            method: self.of.method,
        })
    }

    /// Counts that are compared: two of each bin, and all rows.
    fn n_margins(&self) -> usize {
        1 + if self.min_count > 1 {
            2 * self.n_bins()
        } else {
            0
        }
    }

    /// Places of features of a table.
    fn features_of(&self, place: usize) -> impl Iterator<Item = usize> {
        let features = self.of.features.iter().enumerate();
        features.filter_map(move |(i, f)| (*f == place).then_some(i))
    }

    /// Where a feature's bins begin.
    fn first_bin(&self, feature: usize) -> usize {
        self.bins[..feature].iter().sum()
    }

    /// How many numbers are told of a table's features: two of each bin, and of all rows.
    fn n_told(&self, place: usize) -> usize {
        let bins: usize = self.features_of(place).map(|f| self.bins[f]).sum();
        2 * bins + 2
    }

    /// Who is told of a table's features.
    fn learners(&self, place: usize, receivers: &[Seat]) -> Vec<Seat> {
        let mut seats = vec![self.of.tables[place].0];
        seats.extend(receivers);
        seats.sort_unstable();
        seats.dedup();
        seats
    }

    fn counts(&self) -> MatrixShape {
        MatrixShape {
            m: 2 + self.spreads().map_or(0, |shape| shape.n_samples),
            k: self.join().n_bins(),
            n: self.n_bins(),
        }
    }

    fn weighing(&self) -> MatrixShape {
        MatrixShape {
            m: self.join().n_bins(),
            k: self.n_bins(),
            n: self.bins.len(),
        }
    }

    /// The terms of the disclosure that [`count`] takes.
    #[must_use]
    pub fn terms(&self, receivers: &[Seat]) -> Terms {
        let number = |n: usize| n as u64;
        let mut numbers = vec![self.min_count, u64::from(self.compares)];
        let tables = self.of.tables.iter();
        numbers.push(number(self.of.tables.len()));
        numbers.extend(tables.map(|(seat, _)| number(seat.index())));
        numbers.push(number(self.of.label));
        let features = self.of.features.iter().zip(&self.bins);
        numbers.extend(features.flat_map(|(place, bins)| [number(*place), number(*bins)]));
        let model = [
            u64::from(self.of.log_rows),
            u64::from(self.of.n_steps),
            u64::from(self.of.evaluates),
            self.of.at_least,
            self.of.min_cell,
            number(self.n_figures()),
        ];
        numbers.extend(model);
        numbers.push(number(self.n_parts));
        numbers.extend(self.quantiled.iter().map(|feature| number(*feature)));
        numbers.extend(self.tells_spreads.then_some(1));
        numbers.extend(self.tells_edges.then_some(2));
        let fields: Vec<[u8; 8]> = numbers.into_iter().map(u64::to_le_bytes).collect();
        let fields: Vec<&[u8]> = fields.iter().map(|field| &field[..]).collect();
        Terms::new("entente/v1/terms/binned", &fields, receivers)
    }

    fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let fits = self.of.family == Family::Logistic
            && self.of.keep == Keep::All
            && self.bins.len() == self.of.features.len()
            && self.bins.iter().all(|n| *n > 0)
            && self.n_bins() <= MAX_BINS
            && (self.of.evaluates || !(self.compares || self.tells_spreads))
            && (1..=MAX_PARTS).contains(&self.n_parts)
            && self.quantiled.is_sorted_by(|a, b| a < b)
            && self.quantiled.iter().all(|f| *f < self.bins.len());
        match fits {
            true => self.of.check(n_computing),
            false => Err(ProtocolError::InvalidInput {
                what: "a model of features in bins is logistic, of rows that all tables have, and each feature has bins",
            }),
        }
    }
}

/// What a holder brings.
pub struct Binned {
    /// Its keys and columns.
    pub rows: circuit::Rows,
    /// Of all bins of its features, in order, whether it has rows in them.
    pub has_rows: Vec<bool>,
}

/// What this seat learns of the bins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows that are fitted, and how many of them are bad.
    pub totals: [u64; 2],
    /// Of each feature whose counts this seat learns, bad and good rows of each bin.
    pub bins: Vec<Option<Vec<[u64; 2]>>>,
}

/// What is too small to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Whether too few rows are fitted.
    pub rows: bool,
    /// Features and their bins in which too few rows are bad, or good.
    pub bins: Vec<(usize, usize)>,
}

/// A model, as this seat learns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// At a holder, the coefficients of its own features; zero if there is no model.
    pub own: Option<Vec<f64>>,
    /// At a receiver, everything; of features that are not chosen 0.
    pub released: Option<Released>,
}

/// A join whose bins are counted.
pub struct Counted {
    columns: Columns,
    cells: Share<u64>,
    /// Rows of each bin that are fitted, and then those of each other sample; if these are compared.
    spreads: Share<u64>,
    disclosure: Disclosure,
    /// What this seat learns; or what is too small, and then nobody learns anything else.
    pub counts: Result<Counts, Short>,
}

/// Joins, counts bad and good rows of each bin, and tells the counts of each feature to its holder and to the
/// receivers.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `own`: at the holders, columns as the [module](self) says; elsewhere `None`; takes [`price`] but for
///   [`quantiles`]; `disclosure`: of [`Shape::terms`]
/// # Output    [`Counted`]
/// # Cost      with [`quantiles`] and [`Counted::fit`] [`price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. All computing seats learn which
///   bins are too small; if none is, the feature's holder and the receivers learn its counts and the totals
/// # Errors    those of [`circuit::join`]; [`ProtocolError::NotApproved`] before anything is sent;
///   [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §4.4
pub async fn count(
    session: &mut Session,
    own: Option<Binned>,
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Counted, ProtocolError> {
    session.ended_by(shape.check(session.n_computing()))?;
    let terms = shape.terms(disclosure.receivers());
    let seats = Seats::of(session);
    let needs = model_price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &terms), (stock, &needs))?;
    let (rows, has_rows) = own.map(|own| (own.rows, own.has_rows)).unzip();
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let columns = vertical::columns(&shape.of, &shape.bins, joined.into_tables());
    let cells = vertical::by_row(&columns.features.iter().collect::<Vec<_>>());
    let mut left = copy(&columns.used);
    left.append(copy(&columns.labels));
    if shape.tells_spreads {
        samples(&columns, shape).for_each(|rows| left.append(rows));
    }
    let mut all = matmul(session, &left, &cells, shape.counts(), stock).await?;
    let mut bad = all.split_off(shape.n_bins());
    let of_samples = bad.split_off(shape.n_bins());
    let mut spreads = copy(&all);
    spreads.append(of_samples);
    let totals = [&columns.used, &columns.labels].map(|c| ring::sum(c.as_slice()));
    let tally = Tally { all, bad, totals };
    let short = tally.short(session, has_rows, shape, stock).await?;
    let counts = match short {
        Some(short) => Err(short),
        None => Ok(tally.told(session, shape, &disclosure).await?),
    };
    Ok(Counted {
        columns,
        cells,
        spreads,
        disclosure,
        counts,
    })
}

/// 1 for the rows of each sample that is not fitted.
fn samples(columns: &Columns, shape: &Shape) -> impl Iterator<Item = Share<u64>> {
    // Rows that are fitted stand between the two, if they are evaluated.
    let oot = columns.marks.last().filter(|_| shape.of.has_oot);
    let marks = columns.marks.first().into_iter().chain(oot);
    marks.map(|[bad, good]| {
        let mut rows = copy(bad);
        rows.add_assign(good);
        rows
    })
}

/// Shares of counts.
struct Tally {
    /// Rows of each bin.
    all: Share<u64>,
    /// Bad ones, with the scale of labels.
    bad: Share<u64>,
    totals: [u64; 2],
}

impl Tally {
    /// What is too small.
    async fn short(
        &self,
        session: &mut Session,
        has_rows: Option<Vec<bool>>,
        shape: &Shape,
        stock: &mut Stock,
    ) -> Result<Option<Short>, ProtocolError> {
        let scale = 1u64 << Family::Logistic.label_bits();
        let mut margins = vec![self.totals[0].wrapping_mul(scale)];
        if session.seat() == Seat(0) {
            margins[0] = margins[0].wrapping_sub(shape.of.at_least.wrapping_mul(scale));
        }
        if shape.min_count > 1 {
            let me = session.seat();
            let mine = shape.of.tables.iter().position(|(seat, _)| *seat == me);
            let mut has_rows = has_rows.unwrap_or_default().into_iter();
            let mut least = vec![0u64; shape.n_bins()];
            for feature in mine.iter().flat_map(|place| shape.features_of(*place)) {
                let first = shape.first_bin(feature);
                for least in &mut least[first..][..shape.bins[feature]] {
                    // Nothing is asked of a bin that only fills up the shape; which one does is its holder's.
                    let asks = has_rows.next().unwrap_or(true);
                    *least = u64::from(asks).wrapping_mul(shape.min_count.wrapping_mul(scale));
                }
            }
            let counts = self.all.as_slice().iter().zip(self.bad.as_slice());
            for ((all, bad), least) in counts.zip(least) {
                let good = all.wrapping_mul(scale).wrapping_sub(*bad);
                margins.extend([bad, &good].map(|count| count.wrapping_sub(least)));
            }
        }
        let n_margins = margins.len();
        let margins = Share::new(margins);
        let method = shape.of.method;
        let is_short =
            compare::less_than_zero(session, &margins, MARGIN_BITS, method, stock).await?;
        let is_short = bits::unpack(&boolean::open(session, is_short).await?, n_margins);
        if !is_short.contains(&true) {
            return Ok(None);
        }
        let pairs: Vec<bool> = is_short[1..].chunks(2).map(|p| p.contains(&true)).collect();
        let features = 0..shape.bins.len();
        let bins = features.flat_map(|f| (0..shape.bins[f]).map(move |bin| (f, bin)));
        let bins = bins.zip(pairs).filter_map(|(bin, is)| is.then_some(bin));
        Ok(Some(Short {
            rows: is_short[0],
            bins: bins.collect(),
        }))
    }

    /// Reveals the counts of each table's features to whom they are for.
    async fn told(
        &self,
        session: &mut Session,
        shape: &Shape,
        disclosure: &Disclosure,
    ) -> Result<Counts, ProtocolError> {
        let bits = Family::Logistic.label_bits();
        let mut counts = Counts {
            totals: [0; 2],
            bins: vec![None; shape.bins.len()],
        };
        for place in 0..shape.of.tables.len() {
            let mut values = self.totals.to_vec();
            for feature in shape.features_of(place) {
                let range = shape.first_bin(feature)..shape.first_bin(feature + 1);
                values.extend_from_slice(&self.all.as_slice()[range.clone()]);
                values.extend_from_slice(&self.bad.as_slice()[range]);
            }
            let learners = shape.learners(place, disclosure.receivers());
            let found = revealed(session, values, &learners, disclosure).await?;
            let Some(found) = found else { continue };
            counts.totals = [found[0], found[1] >> bits];
            let mut rest = &found[2..];
            for feature in shape.features_of(place) {
                let (all, after) = rest.split_at(shape.bins[feature]);
                let (bad, after) = after.split_at(shape.bins[feature]);
                let pairs = all.iter().zip(bad);
                let pairs = pairs.map(|(all, bad)| [bad >> bits, all - (bad >> bits)]);
                counts.bins[feature] = Some(pairs.collect());
                rest = after;
            }
        }
        Ok(counts)
    }
}

async fn revealed(
    session: &mut Session,
    values: Vec<u64>,
    receivers: &[Seat],
    disclosure: &Disclosure,
) -> Result<Option<Vec<u64>>, ProtocolError> {
    let part = disclosure.part(Terms::of_values(values.len(), 0, receivers));
    let values = Values {
        narrow: Share::new(values),
        wide: Share::zero(0),
    };
    let found = reveal(session, values, receivers, part).await?;
    Ok(found.map(|found| found.narrow))
}

impl Counted {
    /// Tells all computing seats what each feature tells.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `own`: one number for each of this holder's features, below 2^20; elsewhere none
    /// # Output    the numbers of all features
    /// # Cost      2 rounds; in [`release_cost`]
    /// # Security  semi-honest; reveals the numbers to all computing seats
    /// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`],
    ///   [`ProtocolError::CheckFailed`]
    /// # Source    as [`reveal`]
    pub async fn rank(
        &self,
        session: &mut Session,
        own: &[f64],
        shape: &Shape,
    ) -> Result<Vec<f64>, ProtocolError> {
        let me = session.seat();
        let place = shape.of.tables.iter().position(|(seat, _)| *seat == me);
        let mine: Vec<usize> = place.iter().flat_map(|p| shape.features_of(*p)).collect();
        if mine.len() != own.len() {
            return session.ended_by(Err(ProtocolError::InvalidInput {
                what: "a holder says what each of its features tells",
            }));
        }
        let mut values = vec![0; shape.bins.len()];
        for (feature, value) in mine.into_iter().zip(own) {
            values[feature] = (value * 2f64.powi(RANK_BITS)).round() as u64;
        }
        let everybody: Vec<Seat> = session.computing_seats().collect();
        let found = revealed(session, values, &everybody, &self.disclosure).await?;
        let found = found.unwrap_or_default().into_iter();
        Ok(found
            .map(|value| value as f64 * 2f64.powi(-RANK_BITS))
            .collect())
    }

    /// Tells the receivers where the bins of all features begin and end, if the shape says so.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `own`: of each of this holder's features, in order, the values that part its bins, fewer than it has bins;
    ///   elsewhere none
    /// # Output    at receivers those of all features
    /// # Cost      2 rounds; 8 bytes a bin and receiver; in [`release_cost`]
    /// # Security  semi-honest; reveals the values, and how many there are, to receivers alone
    /// # Errors    [`ProtocolError::InvalidInput`] before anything is sent, [`ProtocolError::Link`],
    ///   [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
    /// # Source    as [`reveal`]
    pub async fn edges(
        &self,
        session: &mut Session,
        own: &[Vec<f64>],
        shape: &Shape,
    ) -> Result<Option<Vec<Vec<f64>>>, ProtocolError> {
        let me = session.seat();
        let place = shape.of.tables.iter().position(|(seat, _)| *seat == me);
        let mine: Vec<usize> = place.iter().flat_map(|p| shape.features_of(*p)).collect();
        let fits = shape.tells_edges
            && mine.len() == own.len()
            && mine
                .iter()
                .zip(own)
                .all(|(f, own)| own.len() < shape.bins[*f]);
        if !fits {
            return session.ended_by(Err(ProtocolError::InvalidInput {
                what: "a holder says where each of its features is parted, in fewer places than it has bins",
            }));
        }
        // Their number, then the values: as many words as there are bins.
        let mut values = vec![0; shape.n_bins()];
        for (feature, own) in mine.into_iter().zip(own) {
            let words = &mut values[shape.first_bin(feature)..][..shape.bins[feature]];
            words[0] = own.len() as u64;
            words[1..]
                .iter_mut()
                .zip(own)
                .for_each(|(word, v)| *word = v.to_bits());
        }
        let receivers = self.disclosure.receivers().to_vec();
        let found = revealed(session, values, &receivers, &self.disclosure).await?;
        Ok(found.map(|found| {
            let of = |feature: usize| {
                let words = &found[shape.first_bin(feature)..][..shape.bins[feature]];
                let n = usize::try_from(words[0]).unwrap_or(0);
                words[1..]
                    .iter()
                    .take(n)
                    .map(|word| f64::from_bits(*word))
                    .collect()
            };
            (0..shape.bins.len()).map(of).collect()
        }))
    }

    /// Replaces bins by weights, fits, evaluates, and reveals the model to the receivers.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `weights`: at a holder, for all bins of its features in order, in [−1, 1]; elsewhere none;
    ///   `chosen`: of each feature whether it has a part in the model, the same at all seats; `course`: as of [`glm::fit`], of
    ///   the model of all tables
    /// # Output    [`Model`]; `figures` of [`evaluate::Figures`] if the shape says so: of the model, and of each
    ///   table's features alone; then those of [`characteristics`]
    /// # Cost      with [`count`] [`price`] and [`release_cost`]
    /// # Security  semi-honest, all but one seat may be corrupt. Receivers learn what [`glm::release`] says, and
    ///   each holder the coefficients of its own features
    /// # Errors    those of [`glm::fit`], [`evaluate::evaluate`] and [`glm::release`]
    /// # Source    CRYPTO §4.2, §4.4, §4.5
    pub async fn fit(
        self,
        session: &mut Session,
        (weights, chosen): (&[f64], &[bool]),
        shape: &Shape,
        course: &mut Course<'_>,
        stock: &mut Stock,
    ) -> Result<Model, ProtocolError> {
        let me = session.seat();
        let place = shape.of.tables.iter().position(|(seat, _)| *seat == me);
        let own = session.ended_by(weights_of(place, weights, shape))?;
        if chosen.len() != shape.bins.len() || self.counts.is_err() {
            return session.ended_by(Err(ProtocolError::InvalidInput {
                what: "features are chosen when all counts are told",
            }));
        }
        let weighed = matmul(session, &self.cells, &own, shape.weighing(), stock).await?;
        let model = shape.model();
        let mut fitted = None;
        let mut figures = Share::zero(0);
        for number in (0..shape.n_models()).rev() {
            let has_part = |feature: usize| {
                chosen[feature] && (number == 0 || shape.of.features[feature] == number - 1)
            };
            let rows = self.rows(session, &weighed, shape, has_part);
            let (mut whole, of_this) = (Course::default(), shape.numbered(number));
            let course = if number == 0 {
                &mut *course
            } else {
                &mut whole
            };
            let found = glm::fit(session, &rows, &of_this, course, stock).await?;
            let fit = (&rows, &found.coefficients);
            let samples: Vec<_> = shape.evaluations(number).zip(&self.columns.marks).collect();
            let mut of_this = vertical::figures(session, fit, (&model, &samples), stock).await?;
            of_this.append(figures);
            figures = of_this;
            fitted = Some(found);
        }
        if let Some(of) = shape.spreads() {
            figures.append(characteristics::indices(session, &self.spreads, &of, stock).await?);
        }
        let fitted = fitted.expect("there is a model");
        let released = (fitted, figures);
        let at_least = shape.of.at_least;
        let masked = glm::masked(session, released, &model, at_least, stock).await?;
        let mut own = None;
        for (place, (seat, _)) in shape.of.tables.iter().enumerate() {
            let columns: Vec<usize> = shape.features_of(place).map(|f| 1 + f).collect();
            let learner = (*seat, &self.disclosure);
            let found = masked.coefficients(session, &columns, learner).await?;
            own = own.or(found);
        }
        let released = masked.told(session, &model, self.disclosure).await?;
        Ok(Model { own, released })
    }

    /// The rows of a model of some features.
    fn rows(
        &self,
        session: &Session,
        weighed: &Share<u64>,
        shape: &Shape,
        has_part: impl Fn(usize) -> bool,
    ) -> Rows {
        let (n_features, model) = (shape.bins.len(), shape.model());
        let mut columns = Vec::with_capacity(model.n_rows * (1 + n_features));
        let rows = weighed.as_slice().chunks_exact(n_features);
        for (member, row) in self.columns.members.as_slice().iter().zip(rows) {
            columns.push(member << COLUMN_BITS);
            let kept = row.iter().enumerate();
            columns.extend(kept.map(|(f, value)| if has_part(f) { *value } else { 0 }));
        }
        let mut penalties = vec![0; 1 + n_features];
        if session.seat() == Seat(0) {
            let penalty = 1u128 << (model.penalty_bits() + shape.of.log_rows);
            for (feature, out) in penalties[1..].iter_mut().enumerate() {
                *out = if has_part(feature) { 0 } else { penalty };
            }
        }
        Rows {
            columns: Share::new(columns),
            used: copy(&self.columns.used),
            labels: copy(&self.columns.labels),
            offsets: None,
            penalties: Some(Share::new(penalties)),
        }
    }
}

/// This seat's weights, as a matrix of bins and features.
fn weights_of(
    place: Option<usize>,
    weights: &[f64],
    shape: &Shape,
) -> Result<Share<u64>, ProtocolError> {
    let n_features = shape.bins.len();
    let mine: Vec<usize> = place.iter().flat_map(|p| shape.features_of(*p)).collect();
    let n_mine: usize = mine.iter().map(|f| shape.bins[*f]).sum();
    if weights.len() != n_mine || weights.iter().any(|w| !(-1.0..=1.0).contains(w)) {
        return Err(ProtocolError::InvalidInput {
            what: "each bin of a holder has a weight in [-1, 1]",
        });
    }
    let mut matrix = vec![0; shape.n_bins() * n_features];
    let mut weights = weights.iter();
    let scale = 2f64.powi(COLUMN_BITS.cast_signed());
    for feature in mine {
        let bins = shape.first_bin(feature)..shape.first_bin(feature + 1);
        for (bin, weight) in bins.zip(&mut weights) {
            let fixed = u64::from_signed((weight * scale).round() as i128);
            matrix[bin * n_features + feature] = fixed.expect("below 2^19");
        }
    }
    Ok(Share::new(matrix))
}
