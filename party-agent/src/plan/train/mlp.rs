//! Neural networks by federated averaging: what is opened of them, and what they ask of a job.

use engine::perceptron::Perceptron;
use protocols::sums::Kind;
use serde::Serialize;

use super::TrainPlan;
use crate::plan::words::counted;
use crate::plan::{PlanFault, Said};
use crate::spec;

/// What a round adds up beside the weights: the loss of the weights before it, and how many holders had weights that are no
/// numbers.
pub const LOSSES: usize = 2;

/// Most weights and biases.
const MOST_WEIGHTS: u64 = 1 << 20;
/// Fewest holders: of two, each would take its own weights off the sum and have the other's.
const LEAST_HOLDERS: usize = 3;
/// A row and a weight, forward and backward, in picoseconds. Estimated.
const WEIGHT_PS: u64 = 1_000;

/// What an approver should consider.
pub(super) fn warning() -> Said {
    Said::new(
        "the averaged weights are opened to all computing parties after every round: each goes on from them with its own rows",
        "平均后的权重在每一轮之后向所有计算方公开:各方由此以自己的各行继续训练",
    )
}

pub(super) const NOTE: &str = "neural network: rectified units, and a sigmoid at the end; every column less its mean, in standard deviations over the rows that are fitted; each holder takes steps of stochastic gradient descent on its own rows, and weights are averaged by numbers of rows (federated averaging)";

/// A network, as it is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its layers, and how.
    pub trained: spec::Mlp,
    /// Columns that go in.
    pub n_inputs: u64,
    /// Weights and biases of all layers: so many are opened a round.
    pub n_weights: u64,
}

impl Network {
    /// Of a job whose design has so many columns.
    pub(super) fn of(job: &spec::Train, n_inputs: usize) -> Option<Self> {
        let trained = job.mlp.clone()?;
        let network = Perceptron::new(n_inputs.max(1), &trained.hidden());
        Some(Self {
            trained,
            n_inputs: n_inputs as u64,
            n_weights: network.n_weights() as u64,
        })
    }

    /// The network itself.
    #[must_use]
    pub fn perceptron(&self) -> Perceptron {
        let n_inputs = usize::try_from(self.n_inputs).unwrap_or(usize::MAX);
        Perceptron::new(n_inputs, &self.trained.hidden())
    }

    /// What is opened how often.
    pub(super) fn averages(&self) -> Kind {
        Kind {
            n_sums: usize::try_from(self.n_weights).unwrap_or(usize::MAX) + LOSSES,
            at_most: u32::try_from(self.trained.rounds).unwrap_or(u32::MAX),
        }
    }

    /// How long the holder with the most rows trains.
    pub(super) fn training_us(&self, n_rows: u64) -> u64 {
        let passes = self.trained.rounds * (self.trained.epochs + 1);
        let visits = n_rows.saturating_mul(self.n_weights);
        (visits.saturating_mul(passes) / 1_000_000).saturating_mul(WEIGHT_PS)
    }
}

/// What is wrong with a network.
pub(super) fn faults(of: &TrainPlan, n_holders: usize) -> Vec<PlanFault> {
    let Some(network) = &of.mlp else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let mut fault = |field: &str, what: String, fix: &str| {
        faults.push(PlanFault {
            place: format!("compute.train.{field}"),
            what,
            fix: fix.to_owned(),
        });
    };
    if n_holders < LEAST_HOLDERS {
        fault(
            "rows",
            format!(
                "the rows are those of {n_holders} holders: each would take its own weights off the average and have the other's, round by round"
            ),
            "tables of three holders or more, or model = \"logistic\" or \"gbdt\"",
        );
    }
    if network.n_weights > MOST_WEIGHTS {
        fault(
            "layers",
            format!("make {} weights", network.n_weights),
            "at most 1048576: fewer units, or fewer levels of features",
        );
    }
    faults
}

/// All that is opened to the computing parties, in words.
pub(super) fn opened(network: &Network) -> String {
    format!(
        "sums over all holders, never those of one: the number of rows used and dropped, mean and standard deviation of the label and of each column that goes in, and after each of {} the {} averaged weights of the network and the mean loss of those before",
        counted(network.trained.rounds, "round"),
        network.n_weights,
    )
}

/// The same in Chinese.
pub(super) fn opened_in_chinese(network: &Network) -> String {
    format!(
        "全体持有方之和,从不是单个持有方的:所用与所弃的行数,标签与各输入列的均值与标准差,以及 {} 轮中每一轮之后网络的 {} 个平均权重与此前的平均损失",
        network.trained.rounds, network.n_weights,
    )
}

/// What runs, in words.
pub(super) fn of_run(of: &TrainPlan, network: &Network) -> String {
    let mlp = &network.trained;
    let units = mlp.layers.iter();
    let units: Vec<String> = units.map(u64::to_string).collect();
    format!(
        "a network of {} columns, hidden layers of {} units and one sigmoid; {}: each holder meets its own rows {} in batches of {}, learning rate {}, seed {}, and its weights times its rows are added up by secure aggregation (masks of each pair of holders, from fresh keys of this run) and opened to all computing parties; a holder that drops out ends the run, which is then run again with fresh masks",
        of.terms.len(),
        units.join(" and "),
        counted(mlp.rounds, "round"),
        counted(mlp.epochs, "time"),
        mlp.batch,
        mlp.learning_rate,
        mlp.seed,
    )
}
