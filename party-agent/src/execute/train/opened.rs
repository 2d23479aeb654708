//! Newton's method on opened sums: for a job that says so, and for selections of columns, whose tests take all sums.

use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::glm::newton::{Newton, Next};
use engine::glm::{Rows, Sums, triangle};

use super::{FINE_BITS, Failure, Fitting, Measure, Stopped, together};
use crate::plan::Kinds;
use crate::result::{Fitted, Precision};
use crate::spec::Model;

impl Fitting<'_> {
    /// Newton's method on opened sums.
    pub(super) async fn fit_in_the_open(
        &mut self,
        rows: &Arc<Rows>,
        measure: &Measure<'_>,
    ) -> Result<Fitted, Stopped> {
        let mut at = self.start(measure.means);
        let setting = self.setting(measure.scale, measure.moments);
        let mut newton = Newton::new(setting.clone(), at.clone());
        let (mut null_deviance, mut losses) = (None, Vec::new());
        if let Some((from, [objective, null])) = self
            .resumed(rows)
            .await?
            .and_then(|from| from.opened.map(|opened| (from, opened)))
        {
            (null_deviance, losses) = (Some(null), from.losses);
            newton = Newton::resumed(setting, from.standing, objective);
            at = newton.at().to_vec();
        }
        for _ in 0..self.of.last_evaluations() {
            let sums = self.step(rows, at).await?;
            if null_deviance.is_none() {
                null_deviance = sums.as_ref().map(|s| s.deviance);
            }
            if let Some(sums) = sums.as_ref().filter(|_| self.of.tells_loss) {
                losses.push(sums.deviance / (2.0 * measure.means.n_rows as f64));
            }
            let taken = (newton.iterations(), self.of.max_iterations + 1);
            self.task
                .progress
                .steps("step", taken, losses.last().copied());
            match newton.next(sums).map_err(|t| self.trouble(t))? {
                Next::Evaluate(next) => {
                    at = next;
                    self.keep_opened(&newton, &losses, null_deviance).await;
                }
                Next::Done(fit) => {
                    let last = self.last(rows, &fit.coefficients).await?;
                    return Ok(Fitted {
                        coefficients: fit.coefficients,
                        iterations: fit.iterations,
                        last_step: fit.last_step,
                        gradient: Some(fit.gradient),
                        deviance: fit.sums.deviance,
                        null_deviance: null_deviance.filter(|_| self.of.intercept),
                        last: [last[0], last[1], last[2]],
                        precision: Precision::Opened {
                            information: fit.sums.information.clone(),
                            further: last[3..].to_vec(),
                        },
                        losses,
                    });
                }
            }
        }
        Err(together(
            "the fit does not converge: steps had to be halved too often".to_owned(),
            "look at the label's distribution and at columns that hardly vary",
        ))
    }

    /// Keeps where the fit stands after a step.
    async fn keep_opened(&mut self, newton: &Newton, losses: &[f64], null_deviance: Option<f64>) {
        let Some(((standing, objective), null)) = newton.standing().zip(null_deviance) else {
            return;
        };
        if let Some(own) = self.own.take() {
            let opened = Some([objective, null]);
            self.keep(Some(standing), &own, (losses, opened)).await;
        }
    }

    /// Adds the model up at some coefficients over all holders; `None` if that gives no numbers at one of them.
    pub(super) async fn step(
        &mut self,
        rows: &Arc<Rows>,
        at: Vec<f64>,
    ) -> Result<Option<Sums>, Stopped> {
        let n_sums = Kinds::Step.n_sums(&self.of);
        let (own, family) = (Arc::clone(rows), self.of.model.family());
        let kernel = move || own.evaluate(family, &at);
        self.own = self.session.compute().run(kernel).await;
        let mine = match &self.own {
            None => None,
            Some(sums) => {
                let mut values = sums.information.clone();
                values.extend(&sums.gradient);
                values.push(sums.deviance);
                // Without rows there are no columns to add up.
                values.resize(n_sums - 1, 0.0);
                self.encoded(&values, FINE_BITS)?
            }
        };
        // What is no number is said by a flag, and its place holds zeros.
        let flag = u128::from(mine.is_none());
        let mut message = mine.unwrap_or_else(|| vec![0; n_sums - 1]);
        message.push(flag << FINE_BITS);
        let opened = self.open(Kinds::Step, message).await?;
        let n_columns = self.of.n_columns();
        let n_pairs = triangle(n_columns);
        let is_number = opened[n_sums - 1] == 0.0;
        Ok(is_number.then(|| Sums {
            information: opened[..n_pairs].to_vec(),
            gradient: opened[n_pairs..n_pairs + n_columns].to_vec(),
            deviance: opened[n_pairs + n_columns],
        }))
    }

    /// What the report wants beside the fit, in the order of [`Kinds::Last`].
    async fn last(&mut self, rows: &Arc<Rows>, at: &[f64]) -> Result<Vec<f64>, Stopped> {
        let n_sums = Kinds::Last.n_sums(&self.of);
        let (own, model, at) = (Arc::clone(rows), self.of.model, at.to_vec());
        let kernel = move || {
            let fitted = own.fitted(model.family(), &at)?;
            let mut sums = vec![fitted.pearson, fitted.constant, fitted.ratio];
            match model {
                Model::Linear => sums.extend(&fitted.outer),
                Model::Gamma => sums.extend(own.cross_products()?),
                _ => {}
            }
            Some(sums)
        };
        let mine = self.session.compute().run(kernel).await;
        let encoded = match mine {
            None => None,
            Some(mut sums) => {
                sums.resize(n_sums, 0.0);
                self.encoded(&sums, FINE_BITS)?
            }
        };
        let mine = encoded.ok_or_else(|| {
            Stopped::from(Failure::here(
                FailureClass::Source,
                "the fitted model's sums over this holder's rows are too large for numbers",
                "look for outliers in the label",
            ))
        })?;
        self.open(Kinds::Last, mine).await
    }
}
