//! A neural network by federated averaging: every holder trains on its own rows, and the averaged weights are opened.

use std::sync::Arc;

use engine::fixed::FixedPoint;
use engine::glm::Rows;
use engine::hash;
use engine::perceptron::{Perceptron, Training};
use engine::prg::Seed;
use protocols::correlate::Stock;
use serde::{Deserialize, Serialize};

use super::figures::Scored;
use super::{Fitting, Stopped, internal, together};
use crate::execute::checkpoint::{bits, doubles};
use crate::local::Design;
use crate::plan::{LOSSES, Network};
use crate::result::AveragedNetwork;

/// What all parties know after a round.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    weights: Vec<u64>,
    losses: Vec<u64>,
}

/// Fractional bits of weights times rows.
const AVERAGE_BITS: u32 = 32;

impl Fitting<'_> {
    /// Trains and evaluates.
    pub(super) async fn average(
        &mut self,
        design: Design,
        stock: &mut Stock,
    ) -> Result<AveragedNetwork, Stopped> {
        let network = self.of.mlp.clone();
        let network = network.ok_or_else(|| internal("the plan has no network"))?;
        let (design, means, tells_dropped) = self.begun(design, stock).await?;
        let Design {
            mut rows, mut test, ..
        } = design;
        let scale = self.scale(&rows, &means).await?;
        rows.standardise(&scale.shifts, &scale.scales);
        test.standardise(&scale.shifts, &scale.scales);
        let rows = Arc::new(rows);
        let (weights, losses) = self.rounds(&network, &rows, means.n_rows).await?;
        let perceptron = network.perceptron();
        let [of_test, of_train] = [&test, &*rows].map(|rows| Scored {
            scores: perceptron.scores(&weights, rows),
            is_bad: rows.labels().iter().map(|label| *label == 1.0).collect(),
        });
        let [of_test, of_train, of_oot] = self.figures(of_test, of_train, stock).await?;
        Ok(AveragedNetwork {
            figures: [of_train, of_test, of_oot],
            n_used: means.n_rows,
            dropped: tells_dropped.then_some(means.dropped),
            scale,
            weights,
            losses,
        })
    }

    /// All rounds: the last average, and the mean loss before each round.
    async fn rounds(
        &mut self,
        network: &Network,
        rows: &Arc<Rows>,
        n_rows: u64,
    ) -> Result<(Vec<f64>, Vec<f64>), Stopped> {
        let mlp = &network.trained;
        let perceptron = network.perceptron();
        let how = Training {
            epochs: u32::try_from(mlp.epochs).unwrap_or(u32::MAX),
            batch: usize::try_from(mlp.batch).unwrap_or(usize::MAX),
            rate: mlp.learning_rate.parse().unwrap_or(0.0),
        };
        let mut weights = perceptron.start(&seed(mlp.seed, &[]));
        let mut losses = Vec::new();
        let point = FixedPoint::new(AVERAGE_BITS).map_err(|_| internal("weights have a scale"))?;
        let mut done = 0;
        if let Some((round, known)) = self.rounds_so_far(&perceptron, rows).await? {
            done = round;
            (weights, losses) = (doubles(&known.weights), doubles(&known.losses));
        }
        for round in done..mlp.rounds {
            let taken = [round, mlp.rounds].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            let progress = &self.task.progress;
            progress.steps("round", taken.into(), losses.last().copied());
            let order = seed(mlp.seed, &[round, u64::from(self.session.seat().0)]);
            let (own, at, of) = (Arc::clone(rows), weights.clone(), perceptron.clone());
            let kernel = move || trained(&of, at, &own, how, &order);
            let mine = self.session.compute().run(kernel).await;
            let mine = self.weighed(&mine, point);
            let sums = self.sums.add_up(self.session, mine).await?;
            let (found, beside) = sums.split_at(sums.len() - LOSSES);
            if beside[1] != 0 {
                let what = format!(
                    "the weights of round {} are too large for numbers",
                    round + 1
                );
                return Err(together(
                    what,
                    "a smaller learning_rate, or fewer epochs between two averages",
                ));
            }
            let mean = |sum: &u64| point.decode(i128::from(sum.cast_signed())) / n_rows as f64;
            weights = found.iter().map(mean).collect();
            losses.push(mean(&beside[0]));
            let every = u64::from(self.whole.checkpoint_every);
            if every > 0 && (round + 1).is_multiple_of(every) {
                self.keep_round(round + 1, (&perceptron, rows), (&weights, &losses))
                    .await;
            }
        }
        Ok((weights, losses))
    }

    /// Keeps the average of a round, and what tells this holder's rows again: their loss under it.
    async fn keep_round(
        &mut self,
        round: u64,
        (of, rows): (&Perceptron, &Arc<Rows>),
        (weights, losses): (&[f64], &[f64]),
    ) {
        let loss = self.own_loss(of, rows, weights.to_vec()).await;
        let known = Known {
            weights: bits(weights),
            losses: bits(losses),
        };
        let round = u32::try_from(round).unwrap_or(u32::MAX);
        self.task.keep(round, known, bits(&[loss])).await;
    }

    async fn own_loss(&mut self, of: &Perceptron, rows: &Arc<Rows>, weights: Vec<f64>) -> f64 {
        let (of, rows) = (of.clone(), Arc::clone(rows));
        let kernel = move || of.loss(&weights, &rows);
        self.session.compute().run(kernel).await
    }

    /// How many rounds an earlier run had done, and what all parties knew then, if this job goes on with one.
    async fn rounds_so_far(
        &mut self,
        of: &Perceptron,
        rows: &Arc<Rows>,
    ) -> Result<Option<(u64, Known)>, Stopped> {
        let n_weights = of.start(&seed(0, &[])).len();
        let mut candidates = Vec::new();
        for kept in self.task.checkpoints::<Known>().await {
            let weights = doubles(&kept.known.weights);
            if weights.len() != n_weights {
                continue;
            }
            let loss = self.own_loss(of, rows, weights).await;
            if kept.own == bits(&[loss]) {
                candidates.push(kept);
            }
        }
        let found = self.task.went_on(self.session, candidates).await;
        let found = found.map_err(Stopped::Broken)?;
        Ok(found.map(|kept| (u64::from(kept.step), kept.known)))
    }

    /// What a holder adds: numbers as ring elements, and whether they are any. None is so large that the sum could wrap.
    fn weighed(&self, mine: &[f64], point: FixedPoint) -> Vec<u64> {
        let most = i128::from(i64::MAX) / (self.session.n_computing() as i128 + 1);
        let encoded = mine.iter().map(|v| point.encode_within(*v, most));
        let encoded: Result<Vec<i128>, _> = encoded.collect();
        let (mut message, is_none) = match encoded {
            Ok(values) => {
                let values = values.into_iter();
                (values.map(|v| v.cast_unsigned() as u64).collect(), 0)
            }
            Err(_) => (vec![0; mine.len()], 1),
        };
        message.push(is_none);
        message
    }
}

/// A holder's part of a round: its weights, each times its number of rows, and the sum of their losses before.
fn trained(
    of: &Perceptron,
    mut weights: Vec<f64>,
    rows: &Rows,
    how: Training,
    order: &Seed,
) -> Vec<f64> {
    let loss = of.loss(&weights, rows);
    of.train(&mut weights, rows, how, order);
    let n_rows = rows.len() as f64;
    let mut mine: Vec<f64> = weights.iter().map(|w| w * n_rows).collect();
    mine.push(loss);
    mine
}

/// What is drawn at a place of the training: by everybody alike, so it is no secret.
fn seed(number: u64, place: &[u64]) -> Seed {
    let number = number.to_le_bytes();
    let place: Vec<[u8; 8]> = place.iter().map(|n| n.to_le_bytes()).collect();
    let mut fields: Vec<&[u8]> = vec![&number];
    fields.extend(place.iter().map(|n| &n[..]));
    Seed::from_bytes(hash::digest("entente/v1/train/mlp", &fields))
}
