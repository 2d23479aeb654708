//! Newton's method with what rows add up to on shares: of a step everybody sees the coefficients, and whether it went too far.
//!
//! Sums are told in units of the number of rows times the mean weight of a row at the start, which are public, so that they
//! fit the protocol's ranges for any data. A holder whose sums do not says so by a growth beyond all others', which
//! counts as a step that went too far.

use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::fixed::FixedPoint;
use engine::glm::newton::{Moved, Path, ROUNDING, penalty};
use engine::glm::{Family, Rows, Sums, triangle};
use engine::share::Share;
use protocols::correlate::{Stock, portions};
use protocols::train::pooled::{self, Asked, Shape};
use protocols::train::solve::Factors;

use super::{Failure, Fitting, Measure, Stopped, fixed, internal, together};
use crate::plan::{Kinds, Portions};
use crate::result::{Change, Fitted, Precision};
use crate::spec::Model;

/// log2 of the most that the deviance of a row may grow by on the average, at one holder.
const GROWTH_BITS: i32 = 28;
/// log2 of a growth that is more than all holders' together: there are at most 32.
const BEYOND_BITS: i32 = 34;

/// What a fit is, as all holders know it.
struct Frame {
    shape: Shape,
    portions: Vec<portions::Portion>,
    family: Family,
    /// Of each column of the design the weight of its squared coefficient.
    penalties: Vec<f64>,
    n_rows: f64,
    /// In what sums are told.
    unit: f64,
}

/// Where the last step began, as this holder sees it.
struct Before {
    deviance: f64,
    penalty: f64,
}

/// A step, and the system that it solves.
struct Solved {
    factors: Factors,
    step: Vec<f64>,
}

impl Fitting<'_> {
    /// Newton's method, of which sums stay on shares.
    pub(super) async fn fit_on_shares(
        &mut self,
        rows: &Arc<Rows>,
        measure: &Measure<'_>,
    ) -> Result<Fitted, Stopped> {
        let frame = self.frame(measure)?;
        let setting = self.setting(measure.scale, measure.moments);
        let start = self.start(measure.means);
        let mut path = Path::new(&setting, start.clone());
        let (mut before, mut null_deviance, mut losses) = (None, None, Vec::new());
        if let Some(from) = self.resumed(rows).await? {
            let penalty = penalty(&frame.penalties, &from.standing.before);
            let deviance = from.sums.deviance;
            before = Some(Before { deviance, penalty });
            null_deviance = self.added_up(&frame, rows, start).await.map(|s| s.deviance);
            losses = from.losses;
            path = Path::resumed(&setting, from.standing);
        }
        for _ in 0..self.of.last_evaluations() {
            let sums = self.added_up(&frame, rows, path.at().to_vec()).await;
            let taken = (path.iterations(), self.of.most_steps());
            self.task
                .progress
                .steps("step", taken, losses.last().copied());
            if self
                .has_grown(&frame, &path, (sums.as_ref(), before.as_ref()))
                .await?
            {
                path.halve().map_err(|trouble| self.trouble(trouble))?;
                continue;
            }
            // Nobody's sums are out of range, or the objective would have grown.
            let sums = sums.ok_or_else(|| internal("an evaluation that counts gives numbers"))?;
            null_deviance.get_or_insert(sums.deviance);
            if self.of.tells_loss {
                let mine = self.fine(&[sums.deviance])?;
                let deviance = self.open(Kinds::Loss, mine).await?[0];
                losses.push(deviance / (2.0 * frame.n_rows));
            }
            let solved = self.solved(&frame, &path, &sums).await?;
            let here = Before {
                deviance: sums.deviance,
                penalty: penalty(&frame.penalties, path.at()),
            };
            let moved = path.step(solved.step).map_err(|t| self.trouble(t))?;
            let Moved::Ended {
                coefficients,
                iterations,
                last_step,
            } = moved
            else {
                before = Some(here);
                self.keep(path.standing(), &sums, (&losses, None)).await;
                continue;
            };
            let deviances = [sums.deviance, null_deviance.unwrap_or(0.0)];
            let (last, meat) = self.described(rows, &coefficients, deviances).await?;
            let precision = self.precision(&frame, rows, (solved.factors, meat), measure);
            return Ok(Fitted {
                precision: precision.await?,
                coefficients,
                iterations,
                last_step,
                gradient: None,
                deviance: last[3],
                null_deviance: self.of.intercept.then_some(last[4]),
                last: [last[0], last[1], last[2]],
                losses,
            });
        }
        Err(together(
            "the fit does not converge: steps had to be halved too often".to_owned(),
            "look at the label's distribution and at columns that hardly vary",
        ))
    }

    /// What this holder's rows add up to at some coefficients.
    async fn added_up(&mut self, frame: &Frame, rows: &Arc<Rows>, at: Vec<f64>) -> Option<Sums> {
        let (own, family) = (Arc::clone(rows), frame.family);
        let kernel = move || own.evaluate(family, &at);
        self.session.compute().run(kernel).await
    }

    fn frame(&self, measure: &Measure<'_>) -> Result<Frame, Stopped> {
        let plan = self.task.plan;
        let method = plan.setting().method;
        let n_rows = measure.means.n_rows as f64;
        let family = self.of.model.family();
        let start = self.start(measure.means);
        let mean = family.mean(if self.of.intercept { start[0] } else { 0.0 });
        let weight = match family {
            Family::Linear | Family::Gamma => 1.0,
            Family::Logistic => mean * (1.0 - mean),
            // An offset moves the mean: the weight of a row is its mean label then.
            Family::Poisson if self.of.intercept => measure.means.label,
            Family::Poisson => 1.0,
        };
        let unit = n_rows * if weight > 0.0 { weight } else { 1.0 };
        let penalties = self.setting(measure.scale, measure.moments).penalties;
        let most = f64::from(pooled::DIAGONAL_BITS - 1).exp2();
        if penalties.iter().any(|weight| weight / unit >= most) {
            return Err(together(
                format!(
                    "the penalty l2 = {} is more than {most} times what the rows tell of a column",
                    self.of.l2
                ),
                "write a smaller l2, multiply the column in rows, or write open_steps = true",
            ));
        }
        Ok(Frame {
            // Messages are of the plan's sizes, however many features a scorecard keeps.
            shape: self.whole.pooled(method),
            portions: self.whole.portions(plan.n_seats(), method),
            family,
            penalties,
            n_rows,
            unit,
        })
    }

    async fn portion(&mut self, frame: &Frame, which: Portions) -> Result<Stock, Stopped> {
        let source = self.task.plan.source();
        let source = source.ok_or_else(|| internal("the plan names no correlations"))?;
        let made = portions::next(self.session, &source, &frame.portions, which as usize);
        Ok(made.await?)
    }

    /// This holder's sums as shares of the joint ones.
    pub(super) fn fine(&self, values: &[f64]) -> Result<Vec<u128>, Stopped> {
        let encoded = self.encoded(values, pooled::SUM_BITS)?;
        encoded.ok_or_else(|| {
            Stopped::from(Failure::here(
                FailureClass::Source,
                "the model's sums over this holder's rows are too large for numbers",
                "look for outliers in the label",
            ))
        })
    }

    /// Whether the objective has grown since the last step, or is no number at one of the holders.
    async fn has_grown(
        &mut self,
        frame: &Frame,
        path: &Path,
        (sums, before): (Option<&Sums>, Option<&Before>),
    ) -> Result<bool, Stopped> {
        let n_holders = self.session.n_computing() as f64;
        let growth = match sums.filter(|sums| frame.holds(sums, n_holders)) {
            None => f64::from(BEYOND_BITS).exp2(),
            Some(sums) => {
                let growth = before.map_or(-frame.n_rows, |before| {
                    let is_first = self.session.seat().index() == 0;
                    let now = penalty(&frame.penalties, path.at());
                    let penalised = now - before.penalty * (1.0 + ROUNDING);
                    let own = sums.deviance - before.deviance * (1.0 + ROUNDING);
                    own + if is_first { penalised } else { 0.0 }
                });
                let (growth, most) = (growth / frame.n_rows, f64::from(GROWTH_BITS).exp2());
                match growth <= most {
                    true => growth.max(-most),
                    false => f64::from(BEYOND_BITS).exp2(),
                }
            }
        };
        let mine = self.encoded(&[growth], pooled::GROWTH_BITS)?;
        let mine = mine.ok_or_else(|| internal("a growth is within its bounds"))?;
        let mut stock = self.portion(frame, Portions::Growth).await?;
        let (mine, shape) = (Share::new(mine), &frame.shape);
        let found = pooled::is_worse(self.session, mine, shape, &mut stock).await?;
        Ok(self.open_wide(Kinds::Growth, &found).await?[0] == 1)
    }

    /// The step from where the rows were added up.
    async fn solved(&mut self, frame: &Frame, path: &Path, sums: &Sums) -> Result<Solved, Stopped> {
        let mut gradient = sums.gradient.clone();
        let is_first = self.session.seat().index() == 0;
        if is_first {
            let penalised = gradient.iter_mut().zip(&frame.penalties).zip(path.at());
            penalised.for_each(|((g, weight), b)| *g -= weight * b);
        }
        gradient.resize(frame.shape.n_columns, 0.0);
        gradient.iter_mut().for_each(|g| *g /= frame.unit);
        let gradient = Share::new(self.fine(&gradient)?);
        let penalties = if is_first { &frame.penalties[..] } else { &[] };
        let system = frame.system(
            (&sums.information, self.of.n_columns()),
            penalties,
            is_first,
        );
        let mut stock = self.portion(frame, Portions::Step).await?;
        let factors = self.factored(frame, &system, &mut stock).await?;
        if let Err(column) = factors.1 {
            return Err(self.trouble(path.dependent(column)));
        }
        let step = pooled::step(self.session, &factors.0, &gradient, &mut stock).await?;
        let opened = self.open_wide(Kinds::Change, &step).await?;
        let point = fixed(pooled::STEP_BITS)?;
        let n_columns = self.of.n_columns();
        let step = opened.into_iter().take(n_columns);
        Ok(Solved {
            factors: factors.0,
            step: step.map(|v| point.decode(v.cast_signed())).collect(),
        })
    }

    /// A system, factored; and the column that is a combination of those before it, if there is one.
    async fn factored(
        &mut self,
        frame: &Frame,
        system: &[f64],
        stock: &mut Stock,
    ) -> Result<(Factors, Result<(), usize>), Stopped> {
        let system = Share::new(self.fine(system)?);
        let factors = pooled::factored(self.session, &system, &frame.shape, stock).await?;
        let sound = self.open_wide(Kinds::Sound, &factors.sound).await?[0];
        let sound = usize::try_from(sound).unwrap_or(usize::MAX);
        let is_whole = sound >= frame.shape.n_columns;
        Ok((factors, if is_whole { Ok(()) } else { Err(sound) }))
    }

    /// What describes the fit, with the deviances; and of a linear model the squares of residuals between the columns.
    async fn described(
        &mut self,
        rows: &Arc<Rows>,
        at: &[f64],
        deviances: [f64; 2],
    ) -> Result<(Vec<f64>, Option<Vec<f64>>), Stopped> {
        let (own, family, at) = (Arc::clone(rows), self.of.model.family(), at.to_vec());
        let kernel = move || {
            let eta = own.predictors(&at);
            let squares = eta
                .iter()
                .zip(own.labels())
                .map(|(eta, y)| (y - eta).powi(2));
            let most = squares.fold(0.0, f64::max);
            Some((own.fitted(family, &at)?, most))
        };
        let found = self.session.compute().run(kernel).await;
        let is_linear = self.of.model == Model::Linear;
        let bound = f64::from(pooled::SQUARE_BITS).exp2();
        let found = found.filter(|(_, most)| !is_linear || *most <= bound);
        let (fitted, _) = found.ok_or_else(|| {
            Stopped::from(Failure::here(
                FailureClass::Source,
                "the fitted model's sums over this holder's rows are too large for numbers",
                "look for outliers in the label",
            ))
        })?;
        let [deviance, null] = deviances;
        let mine = self.fine(&[
            fitted.pearson,
            fitted.constant,
            fitted.ratio,
            deviance,
            null,
        ])?;
        let meat = is_linear.then(|| fitted.outer.clone());
        Ok((self.open(Kinds::Last, mine).await?, meat))
    }

    /// Standard errors at the end.
    async fn precision(
        &mut self,
        frame: &Frame,
        rows: &Arc<Rows>,
        (factors, meat): (Factors, Option<Vec<f64>>),
        measure: &Measure<'_>,
    ) -> Result<Precision, Stopped> {
        if !self.of.has_errors() {
            return Ok(Precision::Unknown);
        }
        let mut stock = self.portion(frame, Portions::Errors).await?;
        let factors = match self.of.model {
            Model::Gamma => self.expected(frame, rows, &mut stock).await?,
            _ => factors,
        };
        let n_columns = self.of.n_columns();
        let (weights, exponent) = self.weights(frame, measure)?;
        let is_first = self.session.seat().index() == 0;
        let meat = match meat {
            Some(meat) => {
                // What stands for columns that are not there is not looked at.
                let meat = frame.system((&meat, n_columns), &[], is_first);
                Some(Share::new(self.fine(&meat)?))
            }
            None => None,
        };
        let asked = Asked {
            weights: &weights,
            meat: meat.as_ref(),
        };
        let of = (&factors, asked);
        let found = pooled::errors(self.session, of, &frame.shape, &mut stock).await?;
        let mut shares = found.own;
        shares.append(found.robust.unwrap_or_else(|| Share::zero(0)));
        shares.append(found.robust_combined.unwrap_or_else(|| Share::zero(0)));
        let opened = self.open_wide(Kinds::Errors, &shares).await?;
        let told = |opened: &[u128], combined_bits: u32, divisor: f64| {
            let d = frame.shape.n_columns;
            let (own, combined) = (fixed(pooled::STEP_BITS)?, fixed(combined_bits)?);
            let errors = opened[..n_columns].iter();
            let mut errors: Vec<f64> = errors.map(|v| own.decode(v.cast_signed())).collect();
            if self.of.intercept {
                let scale = f64::from(exponent).exp2();
                errors[0] = scale * combined.decode(opened[d].cast_signed());
            }
            errors.iter_mut().for_each(|error| *error /= divisor.sqrt());
            Ok::<_, Stopped>(errors)
        };
        let (own, robust) = opened.split_at(frame.shape.n_columns + 1);
        let df = frame.n_rows - n_columns as f64;
        Ok(Precision::Found {
            errors: told(own, pooled::STEP_BITS, frame.unit)?,
            robust: match robust.is_empty() {
                true => None,
                false => Some(told(robust, pooled::SANDWICH_BITS, df)?),
            },
        })
    }

    /// The expected information of gamma models, factored.
    async fn expected(
        &mut self,
        frame: &Frame,
        rows: &Arc<Rows>,
        stock: &mut Stock,
    ) -> Result<Factors, Stopped> {
        let own = Arc::clone(rows);
        let products = self
            .session
            .compute()
            .run(move || own.cross_products())
            .await;
        let products = products.ok_or_else(|| internal("standardised columns are small"))?;
        let is_first = self.session.seat().index() == 0;
        let system = frame.system((&products, self.of.n_columns()), &[], is_first);
        let (factors, sound) = self.factored(frame, &system, stock).await?;
        match sound {
            Ok(()) => Ok(factors),
            Err(column) => {
                let trouble = engine::glm::newton::Trouble::Singular { column };
                Err(self.trouble(trouble))
            }
        }
    }

    /// What the constant of the result is made of, in units of a power of two.
    fn weights(&self, frame: &Frame, measure: &Measure<'_>) -> Result<(Vec<i128>, i32), Stopped> {
        let change = Change::new(&self.of, measure.scale, measure.moments);
        let mut weights = change.to_intercept;
        weights.resize(frame.shape.n_columns, 0.0);
        let most = weights.iter().fold(0.0f64, |most, w| most.max(w.abs()));
        let exponent = if most > 0.0 { most.log2().ceil() } else { 0.0 };
        let point =
            FixedPoint::new(pooled::WEIGHT_BITS).map_err(|_| internal("weights have a scale"))?;
        let scaled = weights.iter().map(|w| point.encode(w / exponent.exp2()));
        let scaled: Result<Vec<i128>, _> = scaled.collect();
        let scaled = scaled.map_err(|_| internal("weights are numbers"))?;
        Ok((scaled, exponent as i32))
    }

    /// Opens shares over Z_2^128.
    pub(super) async fn open_wide(
        &mut self,
        kind: Kinds,
        shares: &Share<u128>,
    ) -> Result<Vec<u128>, Stopped> {
        let mut mine = shares.as_slice().to_vec();
        mine.resize(kind.n_sums(self.whole), 0);
        Ok(self.sums.open(self.session, kind as usize, mine).await?)
    }
}

impl Frame {
    /// Whether this holder's part of the sums is within the protocol's ranges, and with it all parts together.
    fn holds(&self, sums: &Sums, n_holders: f64) -> bool {
        let n_columns = sums.gradient.len();
        let most = f64::from(pooled::DIAGONAL_BITS - 1).exp2() / n_holders;
        // By Cauchy and Schwarz roots of parts add up to at most the root of so many times the whole. One half is for
        // the penalty's part of the gradient.
        let part = f64::from(pooled::GRADIENT_BITS - 1).exp2() / n_holders.sqrt();
        (0..n_columns).all(|j| {
            let own = sums.information[j * n_columns - j * (j + 1) / 2 + j] / self.unit;
            own < most && sums.gradient[j].abs() / self.unit <= part * own.sqrt()
        })
    }

    /// This holder's part of a symmetric matrix of so many columns in the unit, the upper triangle row by row. Columns that the
    /// plan has and the model has not are those of a unit matrix.
    fn system(
        &self,
        (upper, n_columns): (&[f64], usize),
        penalties: &[f64],
        is_first: bool,
    ) -> Vec<f64> {
        let d = self.shape.n_columns;
        let mut all = vec![0.0; triangle(d)];
        let place = |n: usize, i: usize, j: usize| i * n - i * (i + 1) / 2 + j;
        for i in 0..n_columns {
            for j in i..n_columns {
                all[place(d, i, j)] = upper[place(n_columns, i, j)] / self.unit;
            }
            all[place(d, i, i)] += penalties.get(i).copied().unwrap_or(0.0) / self.unit;
        }
        if is_first {
            (n_columns..d).for_each(|i| all[place(d, i, i)] = 1.0);
        }
        all
    }
}
