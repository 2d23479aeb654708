//! A neural network of rows of several holders, as its weights were opened.

use protocols::train::evaluate::Figures;
use serde_json::{Value, json};

use super::trees::sampled;
use super::{ResultError, ResultTable, Scale, totals};
use crate::plan::{Network, Plan, TrainPlan};

/// A network, and how well it does.
#[derive(Clone, Debug)]
pub struct AveragedNetwork {
    /// Of the rows that are fitted, of those kept for a test, and of those out of time, if enough of them are bad and good.
    pub figures: [Option<Figures>; 3],
    /// Rows over all holders.
    pub n_used: u64,
    /// Rows that were left out, unless there are too few of them to be told.
    pub dropped: Option<u64>,
    /// The measure of the columns.
    pub scale: Scale,
    /// All weights.
    pub weights: Vec<f64>,
    /// The mean loss before each round.
    pub losses: Vec<f64>,
}

/// Builds the result of a network: a row for the rows that were fitted, and one for those kept for a test; and its weights.
///
/// # Errors
/// [`ResultError::Totals`] if the plan has no network.
pub fn averaged(
    plan: &Plan,
    of: &TrainPlan,
    found: &AveragedNetwork,
) -> Result<ResultTable, ResultError> {
    let Some(network) = &of.mlp else {
        return Err(totals("there is no network"));
    };
    let fit = json!({
        "network": network.trained,
        "inputs": inputs(of, &found.scale),
        "layers": layers(network, &found.weights),
        "loss": found.losses,
    });
    let rows = (found.n_used, found.dropped);
    sampled((plan, of), &found.figures, rows, fit)
}

/// What goes into the first layer: a column less its mean, divided by its deviation.
fn inputs(of: &TrainPlan, scale: &Scale) -> Vec<Value> {
    let measures = scale.shifts.iter().zip(&scale.scales);
    let measures = measures.skip(usize::from(of.intercept));
    let terms = of.terms.iter().zip(measures);
    terms
        .map(|(term, (mean, sd))| json!({ "term": term.name, "mean": mean, "sd": sd }))
        .collect()
}

/// Of each layer the weights, a row of them for each unit, and the biases.
fn layers(network: &Network, weights: &[f64]) -> Vec<Value> {
    let perceptron = network.perceptron();
    let layers = perceptron.split(weights).into_iter();
    layers
        .map(|(weights, biases)| json!({ "weights": weights, "biases": biases }))
        .collect()
}
