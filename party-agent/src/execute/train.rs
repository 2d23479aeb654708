//! A model, fitted: every holder adds up its own rows, the sums are opened, and everybody takes the same step.

mod estimate;
mod figures;
mod fills;
mod inflated;
mod mlp;
mod opened;
mod resumed;
pub(super) mod scorecard;
mod screen;
mod shared;
mod spreads;
mod stepwise;
mod trees;

use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::fixed::FixedPoint;
use engine::glm::newton::{Setting, Trouble};
use engine::glm::{Rows, Sums};
use protocols::correlate::{Stock, portions};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::{PartyId, Seat};
use protocols::session::Session;
use protocols::sums::OpenSums;

use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Design};
use crate::plan::{Kinds, TrainPlan};
use crate::result::{self, AveragedNetwork, Estimate, PooledTrees, Scale, Screened, Stable};
use crate::spec::Model;
use estimate::{Means, coordinates, null_intercept};
use figures::Scored;

/// Fractional bits of sums as they stand in the tables, of which sums up to 2^85 fit.
const RAW_BITS: u32 = 40;
/// Fractional bits of sums of standardised columns.
const FINE_BITS: u32 = 64;

impl Task<'_> {
    /// Fits the plan's model.
    pub(super) async fn train(
        &self,
        session: &mut Session,
        of: &TrainPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        self.progress.enter(Stage::Read);
        let design = self.design(of).await?;
        let rows_used = design.rows.len() as u64;
        let mut stock = self.stock(session, &self.plan.needs()).await?;
        self.progress.enter(Stage::Compute);
        let receivers: Vec<Seat> = disclosure.receivers().to_vec();
        let sums = OpenSums::begin(session, of.sums(receivers.clone()), disclosure)?;
        let is_receiver = receivers.contains(&session.seat());
        let mut fitting = Fitting {
            task: self,
            whole: of,
            of: of.clone(),
            session,
            sums,
            is_oot: Vec::new(),
            stable: Vec::new(),
            own: None,
            left_out: Vec::new(),
            inflations: Vec::new(),
        };
        let found = match of.model {
            Model::Gbdt => {
                let grown = fitting.grow(design, &mut stock).await;
                grown.map(|trees| Found::Trees(Box::new(trees)))
            }
            Model::Mlp => {
                let trained = fitting.average(design, &mut stock).await;
                trained.map(|network| Found::Network(Box::new(network)))
            }
            _ => {
                let fitted = fitting.run(design, &mut stock).await;
                fitted.map(|estimate| Found::Fit(Box::new(estimate)))
            }
        };
        if of.shares_steps() && !matches!(found, Err(Stopped::Broken(_))) {
            let source = self.plan.source();
            let source = source.ok_or_else(|| internal("the plan names no correlations"))?;
            portions::end(fitting.session, &source).await?;
        }
        let found = match found {
            Ok(found) => found,
            Err(Stopped::Broken(broken)) => return Err(broken),
            Err(Stopped::Together(failure)) => {
                // All parties find this out at the same moment. They meet once more, so that each says what it has found
                // before a peer's end of the link says something vaguer. Whoever is gone by now has found the same.
                let _ = fitting.sums.meet(fitting.session).await;
                return Err(Broken::Here(failure));
            }
        };
        let table = is_receiver.then(|| match &found {
            Found::Fit(estimate) => result::trained(self.plan, &fitting.of, estimate),
            Found::Trees(trees) => result::pooled(self.plan, of, trees),
            Found::Network(network) => result::averaged(self.plan, of, network),
        });
        let table = table.transpose().map_err(|e| result_failure(&e))?;
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used,
            keys: None,
            traffic: session.traffic(),
            model: None,
            contributions: Vec::new(),
            matched_keys: None,
        })
    }

    async fn design(&self, of: &TrainPlan) -> Result<Design, Failure> {
        let me: &PartyId = &self.plan.seats[self.binding.me.index()];
        let local = self.plan.locals.get(me);
        let at_most = local.map_or(1, |l| l.rows_at_most.max(1));
        let progress = |rows: u64| self.progress.within(rows as f64 / at_most as f64);
        let read = local::design(self.plan, of, me, self.source, &progress).await;
        read.map_err(|e| Failure::source(&e))
    }
}

/// What a run finds.
enum Found {
    Fit(Box<Estimate>),
    Trees(Box<PooledTrees>),
    Network(Box<AveragedNetwork>),
}

/// Why a fit has no end.
enum Stopped {
    /// Here, or on the way.
    Broken(Broken),
    /// At all parties alike: it is in the joint data.
    Together(Failure),
}

impl From<ProtocolError> for Stopped {
    fn from(error: ProtocolError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure.into())
    }
}

fn together(what: String, advice: &str) -> Stopped {
    Stopped::Together(Failure::here(FailureClass::Data, what, advice))
}

/// What a fit is measured in.
struct Measure<'a> {
    means: &'a Means,
    scale: &'a Scale,
    moments: &'a [Option<(f64, f64)>],
}

struct Fitting<'a> {
    task: &'a Task<'a>,
    /// The plan, of whose sizes messages are.
    whole: &'a TrainPlan,
    /// The model that is fitted: that of the plan, or of a scorecard the features that were kept.
    of: TrainPlan,
    session: &'a mut Session,
    sums: OpenSums,
    /// Which of the rows that are not fitted are out of time.
    is_oot: Vec<bool>,
    /// Of each feature how far samples are spread over its bins otherwise than the one that is fitted.
    stable: Vec<Stable>,
    /// What this holder's rows added up to when all did so last.
    own: Option<Sums>,
    /// Features that are not in a scorecard, and why.
    left_out: Vec<Screened>,
    /// Variance inflation factors of those that are in it, if some are left out by them.
    inflations: Vec<(String, f64)>,
}

impl Fitting<'_> {
    async fn run(&mut self, design: Design, stock: &mut Stock) -> Result<Estimate, Stopped> {
        let (design, mut means, tells_dropped) = self.begun(design, stock).await?;
        let Design {
            mut rows,
            mut test,
            filled,
            ..
        } = design;
        let (mut scale, mut binned);
        match self.of.scorecard {
            None => {
                scale = self.scale(&rows, &means).await?;
                binned = Vec::new();
            }
            Some(_) => {
                ((rows, test), scale, binned) =
                    self.binned((rows, test), &mut means, stock).await?;
            }
        }
        let measure = scale.clone();
        let kernel = move || {
            rows.standardise(&measure.shifts, &measure.scales);
            rows.standardise_labels(measure.label.0, measure.label.1);
            rows
        };
        let mut rows = Arc::new(self.session.compute().run(kernel).await);
        let mut selected = Vec::new();
        if let Some(rule) = self.whole.stepwise.as_ref() {
            let measured = (&mut means, &mut scale);
            let found = self.selected(rule, (rows, test), measured, &mut binned);
            ((rows, test), selected) = found.await?;
        }
        let moments = self.moments(&rows, &means).await?;
        let measure = Measure {
            means: &means,
            scale: &scale,
            moments: &moments,
        };
        let fitted = match self.whole.shares_steps() {
            true => self.fit_on_shares(&rows, &measure).await?,
            false => self.fit_in_the_open(&rows, &measure).await?,
        };
        test.standardise(&scale.shifts, &scale.scales);
        let [test, train] = [&test, &*rows].map(|rows| Scored::by(&fitted.coefficients, rows));
        let figures = self.figures(test, train, stock).await?;
        Ok(Estimate {
            figures,
            filled,
            n_used: means.n_rows,
            dropped: tells_dropped.then_some(means.dropped),
            fitted,
            moments,
            scale,
            binned,
            stable: std::mem::take(&mut self.stable),
            left_out: std::mem::take(&mut self.left_out),
            inflations: std::mem::take(&mut self.inflations),
            selected,
        })
    }

    /// Counts, and adds up what everything begins with; and whether the rows that are left out may be told.
    async fn begun(
        &mut self,
        mut design: Design,
        stock: &mut Stock,
    ) -> Result<(Design, Means, bool), Stopped> {
        self.is_oot = std::mem::take(&mut design.is_oot);
        let counts = std::mem::take(&mut design.counts);
        let tells_dropped = self.enough(counts, stock).await?;
        let dropped = if tells_dropped { design.dropped } else { 0 };
        self.fill(&mut design, stock).await?;
        let means = self.means(&design.rows, dropped).await?;
        Ok((design, means, tells_dropped))
    }

    /// Whether the rows that are left out may be told. Too few rows behind a coefficient end the job.
    async fn enough(&mut self, counts: Vec<u64>, stock: &mut Stock) -> Result<bool, Stopped> {
        // The required ones stand first, as in the shape.
        let checks = self.of.checks.iter().zip(counts);
        let (told, required): (Vec<_>, Vec<_>) =
            checks.partition(|(check, _)| check.count.is_told());
        let counts = required.iter().chain(&told).map(|(_, n)| *n).collect();
        let enough = self.sums.enough(self.session, counts, stock).await?;
        // With too few rows at all there are too few of everything.
        let n_told = if enough.required.first() == Some(&false) {
            1
        } else {
            required.len()
        };
        let short: Vec<String> = required
            .iter()
            .zip(&enough.required)
            .take(n_told)
            .filter(|(_, is_reached)| !**is_reached)
            .map(|((check, _), _)| format!("{} (at least {})", check.label, check.at_least))
            .collect();
        if short.is_empty() {
            let told: Vec<_> = told
                .iter()
                .map(|(check, _)| *check)
                .zip(enough.told)
                .collect();
            fills::none_or_enough(&told)?;
            return Ok(told.first().is_none_or(|(_, is_reached)| *is_reached));
        }
        let what = format!(
            "over all holders there are too few {}",
            short.join(", too few ")
        );
        Err(together(
            what,
            "leave the column or the level out, or merge levels in rows",
        ))
    }

    async fn open(&mut self, kind: Kinds, mut mine: Vec<u128>) -> Result<Vec<f64>, Stopped> {
        mine.resize(kind.n_sums(self.whole), 0);
        let opened = self.sums.open(self.session, kind as usize, mine).await?;
        let bits = match kind {
            Kinds::Moments | Kinds::Step | Kinds::Last | Kinds::Loss => FINE_BITS,
            // Of shares whole numbers are opened, see `open_shares`.
            _ => RAW_BITS,
        };
        let point = fixed(bits)?;
        let opened = opened.into_iter();
        Ok(opened.map(|sum| point.decode(sum.cast_signed())).collect())
    }

    /// This holder's sums as fixed-point numbers; `None` if one of them could wrap once added up.
    fn encoded(&self, values: &[f64], bits: u32) -> Result<Option<Vec<u128>>, Stopped> {
        let point = fixed(bits)?;
        let most = i128::MAX / (self.session.n_computing() as i128 + 1);
        let encoded = values.iter().map(|v| point.encode_within(*v, most));
        let encoded: Result<Vec<i128>, _> = encoded.collect();
        Ok(encoded
            .ok()
            .map(|values| values.into_iter().map(i128::cast_unsigned).collect()))
    }

    /// The same of sums as they stand in the tables: too large ones are a fault of this holder's data.
    fn raw(&self, values: &[f64]) -> Result<Vec<u128>, Stopped> {
        let encoded = self.encoded(values, RAW_BITS)?;
        encoded.ok_or_else(|| {
            Stopped::from(Failure::here(
                FailureClass::Source,
                "the values of a column add up to more than 2^80",
                "divide it in rows, or leave it out",
            ))
        })
    }

    async fn means(&mut self, rows: &Rows, dropped: u64) -> Result<Means, Stopped> {
        let n_terms = self.of.terms.len();
        let first = usize::from(self.of.intercept);
        let columns = rows.moments(&vec![0.0; self.of.n_columns()], 1);
        let (exposures, labels) = estimate::label_sums(self.of.model, rows);
        let mut sums = vec![rows.len() as f64, dropped as f64, exposures, labels];
        // Bins tell what a scorecard needs of its columns.
        match self.of.n_parts() {
            None => sums.extend(columns.iter().skip(first)),
            Some(_) => sums.extend(self.n_ordinary(rows)),
        }
        sums.resize(4 + n_terms, 0.0);
        let mine = self.raw(&sums)?;
        let opened = self.open(Kinds::Means, mine).await?;
        let means = Means::of(&opened);
        if means.n_rows < self.of.least_rows {
            let what = format!(
                "over all holders {} rows are complete, and a model of {} columns is fitted to {} at least",
                means.n_rows,
                self.of.n_columns(),
                self.of.least_rows
            );
            return Err(together(what, "leave features out, or bring more rows"));
        }
        Ok(means)
    }

    /// Rough means and standard deviations: from here on columns are measured in them.
    async fn scale(&mut self, rows: &Rows, means: &Means) -> Result<Scale, Stopped> {
        let first = usize::from(self.of.intercept);
        let has_centre = self.of.intercept;
        let centre = |mean: f64| if has_centre { mean } else { 0.0 };
        let mut centres = vec![0.0; first];
        centres.extend(means.columns.iter().map(|mean| centre(*mean)));
        let label_centre = centre(means.label);
        let labels = rows.labels().iter().map(|y| (y - label_centre).powi(2));
        let mut sums = vec![labels.sum::<f64>()];
        sums.extend(rows.moments(&centres, 2).iter().skip(first));
        sums.resize(1 + self.of.terms.len(), 0.0);
        let mine = self.raw(&sums)?;
        let opened = self.open(Kinds::Spreads, mine).await?;
        let deviation = |sum: &f64| (sum / means.n_rows as f64).sqrt();
        let mut scales = vec![1.0; first];
        for (i, sum) in opened.iter().skip(1).enumerate() {
            let (deviation, mean) = (deviation(sum), centre(means.columns[i]));
            // What rounding leaves of a constant.
            if deviation <= 1e-12 * mean.abs() || deviation == 0.0 {
                return Err(together(
                    format!(
                        "the design is singular: {} has the same value in all rows, or values so small that it cannot be told",
                        self.of.terms[i].name
                    ),
                    "leave it out, or multiply it in rows",
                ));
            }
            scales.push(deviation);
        }
        let label = match self.of.model {
            Model::Linear => {
                let deviation = opened.first().map_or(0.0, deviation);
                let is_constant = deviation <= 1e-12 * label_centre.abs();
                (label_centre, if is_constant { 1.0 } else { deviation })
            }
            _ => (0.0, 1.0),
        };
        Ok(Scale {
            shifts: centres,
            scales,
            label,
        })
    }

    /// Mean and standard deviation of each term in the rough measure, where coefficients are told in them.
    async fn moments(
        &mut self,
        rows: &Arc<Rows>,
        means: &Means,
    ) -> Result<Vec<Option<(f64, f64)>>, Stopped> {
        if !self.of.standardise {
            return Ok(Vec::new());
        }
        let first = usize::from(self.of.intercept);
        let zeros = vec![0.0; self.of.n_columns()];
        let mut sums: Vec<f64> = Vec::new();
        for power in [1, 2] {
            let mut of_power = rows.moments(&zeros, power);
            of_power.resize(self.of.n_columns(), 0.0);
            sums.extend(&of_power[first..]);
        }
        let mine = self.encoded(&sums, FINE_BITS)?;
        let mine = mine.ok_or_else(|| internal("standardised columns are small"))?;
        let opened = self.open(Kinds::Moments, mine).await?;
        let n = means.n_rows as f64;
        let (sums, squares) = opened.split_at(self.of.terms.len());
        let moments = self.of.terms.iter().zip(sums.iter().zip(squares));
        // Levels stay as they are, 0 and 1, and so does what says where a value is missing.
        let moments = moments.map(|(term, (sum, square))| {
            let mean = sum / n;
            let is_number = term.level.is_none() && !term.is_indicator;
            is_number.then(|| (mean, (square / n - mean * mean).sqrt()))
        });
        Ok(moments.collect())
    }

    /// Where a fit begins: the model without features, where there is an intercept.
    fn start(&self, means: &Means) -> Vec<f64> {
        let mut at = vec![0.0; self.of.n_columns()];
        if self.of.intercept {
            at[0] = null_intercept(self.of.model, means);
        }
        at
    }

    fn setting(&self, scale: &Scale, moments: &[Option<(f64, f64)>]) -> Setting {
        Setting {
            family: self.of.model.family(),
            penalties: estimate::penalties(&self.of, scale, moments),
            tolerance: self.of.tolerance.parse().unwrap_or(1e-9),
            max_iterations: self.of.max_iterations,
        }
    }

    /// A fit that cannot be, with the name of the column.
    fn trouble(&self, trouble: Trouble) -> Stopped {
        let of = &self.of;
        match trouble {
            Trouble::Singular { column } => together(
                format!(
                    "the design is singular: {} is a linear combination of {}",
                    of.term(column),
                    coordinates(of, column)
                ),
                "leave one of these columns out",
            ),
            Trouble::Separated { column, iterations } => together(
                format!(
                    "separation: after {iterations} steps the coefficient of {} still grows, because the column tells labels apart without error",
                    of.term(column)
                ),
                "leave the column out, merge its levels, or write l2 = a small number",
            ),
            Trouble::NotConverged {
                iterations,
                last_step,
            } => together(
                format!(
                    "no convergence after {iterations} steps: the last one moved a coefficient by {last_step:.3e} standard deviations"
                ),
                "allow more max_iterations, or look at the label's distribution",
            ),
            Trouble::Overflow => together(
                "the sums at the start of the fit are too large for numbers".to_owned(),
                match of.opens_steps {
                    true => "divide the label or the offset in rows",
                    false => "divide the label or the offset in rows, or write open_steps = true",
                },
            ),
        }
    }
}

fn fixed(bits: u32) -> Result<FixedPoint, Failure> {
    FixedPoint::new(bits).map_err(|e| internal(&e.to_string()))
}
