//! How well a model does on rows of a sample: each holder scores its own, and all are sorted on shares.

use engine::fixed::FixedPoint;
use engine::glm::Rows;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::train::evaluate::{self, Figures};
use zeroize::Zeroize;

use super::{Fitting, Stopped, internal};
use crate::plan::{Kinds, SCORE_BITS, Test};

/// Scores beyond are taken for this much: nothing of their order is lost but there.
const MOST_SCORE: f64 = 2000.0;

/// This holder's rows of a sample.
pub(super) struct Scored {
    pub(super) scores: Vec<f64>,
    pub(super) is_bad: Vec<bool>,
}

impl Drop for Scored {
    fn drop(&mut self) {
        self.scores.zeroize();
        self.is_bad.zeroize();
    }
}

impl Scored {
    /// Rows kept for a test, and those out of time.
    fn parted(&self, is_oot: &[bool]) -> [Self; 2] {
        let rows = || self.scores.iter().zip(&self.is_bad).zip(is_oot);
        [false, true].map(|is| {
            let rows = rows().filter(|(_, is_oot)| **is_oot == is);
            let (scores, is_bad) = rows.map(|((score, is_bad), _)| (*score, *is_bad)).unzip();
            Self { scores, is_bad }
        })
    }

    /// Rows by a model, both in the measure of the fit.
    pub(super) fn by(coefficients: &[f64], rows: &Rows) -> Self {
        Self {
            scores: rows.predictors(coefficients),
            is_bad: rows.labels().iter().map(|label| *label == 1.0).collect(),
        }
    }
}

impl Fitting<'_> {
    /// Opens the figures of the rows that are kept for a test, those of the rows that are fitted if these are evaluated, and
    /// those of rows out of time.
    pub(super) async fn figures(
        &mut self,
        kept: Scored,
        fitted: Scored,
        stock: &mut Stock,
    ) -> Result<[Option<Figures>; 3], Stopped> {
        let mut found = [None, None, None];
        let Some(of) = self.whole.test.clone() else {
            return Ok(found);
        };
        let [test, oot] = kept.parted(&self.is_oot);
        let samples = [
            Some((0, &test)),
            of.of_train.as_ref().map(|_| (1, &fitted)),
            (!of.oot.is_empty()).then_some((2, &oot)),
        ];
        let shapes = of.shapes(self.task.plan.setting().method);
        for (shape, (place, rows)) in shapes.zip(samples.into_iter().flatten()) {
            found[place] = self.evaluated((&of, shape), (rows, &fitted), stock).await?;
        }
        Ok(found)
    }

    /// Sorts all holders' rows of a sample by score.
    async fn evaluated(
        &mut self,
        (of, shape): (&Test, evaluate::Shape),
        (rows, fitted): (&Scored, &Scored),
        stock: &mut Stock,
    ) -> Result<Option<Figures>, Stopped> {
        let me = self.session.seat().index();
        let before: u64 = of.at_most[..me].iter().sum();
        let first = usize::try_from(before).unwrap_or(usize::MAX);
        let point = FixedPoint::new(SCORE_BITS).map_err(|_| internal("scores have a scale"))?;
        // Everybody's rows stand at places of their own; those that nobody fills are neither bad nor good.
        let mut columns = [0; 4].map(|_| vec![0u64; shape.n_rows]);
        let marks = rows.is_bad.iter().map(|is_bad| match is_bad {
            true => [1, 0, 0],
            false => [0, 1, 0],
        });
        let scores = rows.scores.iter().copied();
        let mut rows: Vec<(f64, [u64; 3])> = scores.zip(marks).collect();
        if shape.asks.stability {
            rows.extend(fitted.scores.iter().map(|score| (*score, [0, 0, 1])));
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
        let figures = self.open_shares(Kinds::Scores, &figures).await?;
        Ok(Figures::of(&figures, shape.asks))
    }

    /// Opens shares over Z_2^64. Their sum in the wider ring is the number mod 2^64; what is beyond says how often random
    /// shares went round.
    pub(super) async fn open_shares(
        &mut self,
        kind: Kinds,
        shares: &Share<u64>,
    ) -> Result<Vec<u64>, Stopped> {
        let mut mine: Vec<u128> = shares.as_slice().iter().map(|v| u128::from(*v)).collect();
        mine.resize(kind.n_sums(self.whole), 0);
        let opened = self.sums.open(self.session, kind as usize, mine).await?;
        Ok(opened
            .into_iter()
            .take(shares.len())
            .map(|v| v as u64)
            .collect())
    }
}
