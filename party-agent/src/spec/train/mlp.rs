//! What a job file says of a neural network.

use serde::Serialize;
use toml::de::DeValue;

use super::number;
use crate::config::fields::{Faults, Fields};

const LAYERS: &str = "a list of the units of each hidden layer, such as [16] or [32, 8]: at most 4 layers of 1 to 256 units";

/// The layers of a network, and how it is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mlp {
    /// Units of each hidden layer.
    pub layers: Vec<u64>,
    /// How often weights are averaged.
    pub rounds: u64,
    /// How often each holder meets its own rows between two averages.
    pub epochs: u64,
    /// Rows of a step.
    pub batch: u64,
    /// A step is so much of the mean gradient of its rows, a decimal number.
    pub learning_rate: String,
    /// What the weights at the start and the order of rows follow from. It is no secret.
    pub seed: u64,
}

impl Mlp {
    /// Units of each hidden layer.
    #[must_use]
    pub fn hidden(&self) -> Vec<usize> {
        let units = self.layers.iter();
        units
            .map(|n| usize::try_from(*n).unwrap_or(usize::MAX))
            .collect()
    }
}

/// Reads the fields of a network.
pub(super) fn read(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Mlp> {
    let layers = layers(fields, faults);
    let rounds = fields.whole(faults, "rounds", 1..=500).unwrap_or(20);
    let epochs = fields.whole(faults, "epochs", 1..=50).unwrap_or(1);
    let batch = fields.whole(faults, "batch", 1..=65_536).unwrap_or(64);
    let learning_rate = number(fields, "learning_rate", "0.05", 1e-6..=1000.0, faults);
    let seed = fields.whole(faults, "seed", 0..=u64::MAX / 2);
    Some(Mlp {
        layers: layers?,
        rounds,
        epochs,
        batch,
        learning_rate: learning_rate?,
        seed: seed.unwrap_or(1),
    })
}

fn layers(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<u64>> {
    let Some(value) = fields.value("layers") else {
        return Some(vec![16]);
    };
    let units = |item: &DeValue<'_>| {
        let number = item.as_integer()?.as_str().parse::<u64>().ok()?;
        (1..=256).contains(&number).then_some(number)
    };
    let found: Option<Vec<u64>> = value.get_ref().as_array().and_then(|items| {
        let items = items.iter();
        items.map(|item| units(item.get_ref())).collect()
    });
    let found = found.filter(|layers| (1..=4).contains(&layers.len()));
    if found.is_none() {
        fields.wrong(faults, "layers", "is no such list", LAYERS);
    }
    found
}
