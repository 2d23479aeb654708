//! How well a model does on rows that were not fitted: each holder scores its own, and all are sorted on shares.

use engine::fixed::FixedPoint;
use engine::glm::Rows;
use engine::glm::newton::Fit;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::train::evaluate::{self, Figures};

use super::{Fitting, Stopped, internal};
use crate::plan::{Kinds, SCORE_BITS};

/// Scores beyond are taken for this much: nothing of their order is lost but there.
const MOST_SCORE: f64 = 2000.0;

impl Fitting<'_> {
    /// Sorts all holders' rows that are kept for a test by score, and opens the figures; both samples in the measure of the
    /// fit.
    pub(super) async fn figures(
        &mut self,
        (test, fitted): (&Rows, &Rows),
        fit: &Fit,
        stock: &mut Stock,
    ) -> Result<Option<Figures>, Stopped> {
        let Some(of) = self.whole.test.clone() else {
            return Ok(None);
        };
        let shape = of.shape(self.task.plan.setting().method);
        let me = self.session.seat().index();
        let before: u64 = of.at_most[..me].iter().sum();
        let first = usize::try_from(before).unwrap_or(usize::MAX);
        let point = FixedPoint::new(SCORE_BITS).map_err(|_| internal("scores have a scale"))?;
        // Everybody's rows stand at places of their own; those that nobody fills are neither bad nor good.
        let mut columns = [0; 4].map(|_| vec![0u64; shape.n_rows]);
        let scores = test.predictors(&fit.coefficients).into_iter();
        let marks = test.labels().iter().map(|label| match *label == 1.0 {
            true => [1, 0, 0],
            false => [0, 1, 0],
        });
        let mut rows: Vec<(f64, [u64; 3])> = scores.zip(marks).collect();
        if shape.asks.stability {
            let base = fitted.predictors(&fit.coefficients).into_iter();
            rows.extend(base.map(|score| (score, [0, 0, 1])));
        }
        for (row, (score, [bad, good, base])) in rows.into_iter().enumerate() {
            let score = score.clamp(-MOST_SCORE, MOST_SCORE);
            let score = point
                .encode(score)
                .map_err(|_| internal("a score is a number"))?;
            let values = [score.cast_unsigned() as u64, bad, good, base];
            for (column, value) in columns.iter_mut().zip(values) {
                let place = column.get_mut(first + row);
                *place.ok_or_else(|| internal("a holder has more rows than published"))? = value;
            }
        }
        let [scores, bad, good, base] = columns.map(Share::new);
        let rows = evaluate::Rows {
            scores,
            bad,
            good,
            base: shape.asks.stability.then_some(base),
        };
        let figures = evaluate::evaluate(self.session, rows, &shape, stock).await?;
        // Sums of shares are the figures mod 2^64; what is beyond says how often random shares went round.
        let mine = figures.as_slice().iter().map(|v| u128::from(*v)).collect();
        let opened = self
            .sums
            .open(self.session, Kinds::Scores as usize, mine)
            .await?;
        let figures: Vec<u64> = opened.into_iter().map(|v| v as u64).collect();
        Ok(Figures::of(&figures, shape.asks))
    }
}
