//! What a fit starts from, out of opened sums.

use engine::glm::Rows;

use crate::plan::TrainPlan;
use crate::result::Scale;
use crate::spec::Model;

/// Sums over all holders, as means.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) n_rows: u64,
    pub(super) dropped: u64,
    /// The mean exposure; 1 without offsets.
    exposure: f64,
    /// The mean label; of gamma models that of label and exposure's quotient.
    pub(super) label: f64,
    /// Of each term.
    pub(super) columns: Vec<f64>,
}

impl Means {
    /// Of a term with bins of special or missing values how many values have none of these: that was opened for a sum.
    pub(super) fn n_ordinary(&self, term: usize) -> u64 {
        let mean = self.columns.get(term).copied().unwrap_or(0.0);
        (mean * self.n_rows as f64).round() as u64
    }

    /// From what was opened.
    pub(super) fn of(opened: &[f64]) -> Self {
        let n = opened[0];
        let mean = |sum: &f64| if n > 0.0 { sum / n } else { 0.0 };
        Self {
            n_rows: n as u64,
            dropped: opened[1] as u64,
            exposure: mean(&opened[2]),
            label: mean(&opened[3]),
            columns: opened[4..].iter().map(mean).collect(),
        }
    }
}

/// A holder's sums of exposures and of labels, such that the model without features follows from them.
pub(super) fn label_sums(model: Model, rows: &Rows) -> (f64, f64) {
    let offsets = rows.offsets();
    let labels = rows.labels();
    let n = rows.len() as f64;
    let exposures = || offsets.iter().map(|o| o.exp());
    match model {
        Model::Poisson if !offsets.is_empty() => (exposures().sum(), labels.iter().sum()),
        Model::Gamma if !offsets.is_empty() => {
            let quotients = labels.iter().zip(exposures()).map(|(y, e)| y / e);
            (n, quotients.sum())
        }
        _ => (n, labels.iter().sum()),
    }
}

/// The intercept of the model without features, in the measure of the fit.
pub(super) fn null_intercept(model: Model, means: &Means) -> f64 {
    let start = match model {
        // Labels are centred.
        Model::Linear => 0.0,
        Model::Logistic | Model::Gamma | Model::Scorecard | Model::Gbdt | Model::Mlp => {
            model.family().link(means.label)
        }
        Model::Poisson => model.family().link(means.label / means.exposure),
    };
    // All labels alike: the fit will say so.
    if start.is_finite() { start } else { 0.0 }
}

/// Of each column of the design the weight of its squared coefficient: λ in the measure in which it is told. The scale of
/// the label is in both parts of the objective.
pub(super) fn penalties(of: &TrainPlan, scale: &Scale, moments: &[Option<(f64, f64)>]) -> Vec<f64> {
    let lambda: f64 = of.l2.parse().unwrap_or(0.0);
    let first = usize::from(of.intercept);
    let columns = scale.scales.iter().enumerate();
    let weights = columns.map(|(i, scale)| {
        let Some(term) = i.checked_sub(first) else {
            return 0.0;
        };
        let told = match moments.get(term) {
            Some(Some((_, deviation))) => *deviation,
            _ => 1.0 / scale,
        };
        lambda * told * told
    });
    weights.collect()
}

/// The columns of the design before one, in words.
pub(super) fn coordinates(of: &TrainPlan, column: usize) -> String {
    let before: Vec<&str> = (0..column).map(|c| of.term(c)).collect();
    match before.as_slice() {
        [] => "nothing: it is 0 in all rows".to_owned(),
        names => names.join(", "),
    }
}
