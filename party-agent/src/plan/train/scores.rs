//! Rows that are not fitted, and tell how well a model does.

use protocols::arith::compare::Method;
use protocols::party::PartyId;
use protocols::train::evaluate::{self, Asks};
use serde::Serialize;

use super::super::compile;
use super::super::part::Part;
use super::super::{MinCell, PlanFault};
use crate::spec::{self, Report};

/// Rows that are not fitted and evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Test {
    /// The sample's value in them.
    pub value: String,
    /// The sample's values in rows out of time, if these are evaluated as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oot: Vec<String>,
    /// Published bounds on the holders' rows, in the order of seats.
    pub at_most: Vec<u64>,
    /// Fewest bad and fewest good ones of which anything is told.
    pub at_least: u64,
    /// What is told.
    pub scores: Vec<Report>,
    /// What is told of the rows that are fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_train: Option<Vec<Report>>,
}

impl Test {
    /// What the protocol takes: of the rows that are not fitted; of those that are, if these are evaluated; and of those
    /// out of time, if there are any.
    pub fn shapes(&self, method: Method) -> impl Iterator<Item = evaluate::Shape> {
        let oot = (!self.oot.is_empty()).then_some(&self.scores);
        let samples = [&self.scores].into_iter().chain(&self.of_train).chain(oot);
        samples.map(move |scores| self.shape(scores, method))
    }

    pub(super) fn n_samples(&self) -> u32 {
        1 + u32::from(self.of_train.is_some()) + u32::from(!self.oot.is_empty())
    }

    fn shape(&self, scores: &[Report], method: Method) -> evaluate::Shape {
        let n_rows = self.at_most.iter().sum::<u64>().max(1);
        evaluate::Shape {
            n_rows: usize::try_from(n_rows).unwrap_or(usize::MAX),
            score_bits: SCORE_BITS,
            at_least: self.at_least,
            asks: asks(scores),
            // The same minimum as for all rows of a label.
            min_cell: self.at_least,
            method,
        }
    }
}

/// What a protocol is asked for beside area and distance.
#[must_use]
pub fn asks(scores: &[Report]) -> Asks {
    let has = |report| scores.contains(&report);
    Asks {
        losses: has(Report::Logloss) || has(Report::Brier),
        calibration: has(Report::Calibration),
        lift: has(Report::Lift),
        confusion: has(Report::Confusion),
        stability: has(Report::Psi),
    }
}

/// What is told beside area and distance, in Chinese.
pub(in crate::plan) fn further_in_chinese(scores: &[Report], min_cell: u64) -> String {
    let asks = asks(scores);
    let figures = [
        (asks.losses, "平均对数损失与均方误差", false),
        (
            asks.calibration,
            "按分数每十分之一的坏样本数、好样本数与平均风险",
            true,
        ),
        (asks.lift, "分数最高的十分之一中的坏样本数与好样本数", true),
        (asks.confusion, "三个分数及其以上的坏样本数与好样本数", true),
        (
            asks.stability,
            "其中以及被拟合的行中各有多少行落在后者分数的各十分之一之间",
            true,
        ),
    ];
    let asked = figures.iter().filter(|(is_asked, ..)| *is_asked);
    let words = asked.map(|(_, what, is_counted)| match *is_counted && min_cell > 1 {
        true => format!("、{what}(若其中两个分数之间有行而少于 {min_cell} 行,则此项全不公开)"),
        false => format!("、{what}"),
    });
    words.chain(spreads_in_chinese(scores, min_cell)).collect()
}

/// What is told of rows that are fitted, in Chinese.
pub(in crate::plan) fn of_train_in_chinese(scores: Option<&[Report]>, min_cell: u64) -> String {
    scores.map_or_else(String::new, |scores| {
        format!(
            ";被拟合的行同样有坏样本数、好样本数、面积与距离{}",
            further_in_chinese(scores, min_cell)
        )
    })
}

fn spreads_in_chinese(scores: &[Report], min_cell: u64) -> Option<String> {
    let small = match min_cell > 1 {
        true => format!("(若其一个分箱有行而少于 {min_cell} 行,则该特征的不公开)"),
        false => String::new(),
    };
    let is_asked = scores.contains(&Report::Csi);
    is_asked.then(|| {
        format!(
            "、每个特征的稳定性指数,即其中与被拟合的行在各分箱中所占份额的差异{small},不公开份额"
        )
    })
}

fn spreads(scores: &[Report], min_cell: u64) -> Option<String> {
    let small = match min_cell > 1 {
        true => format!(" (none of a feature of which a bin has rows and fewer than {min_cell})"),
        false => String::new(),
    };
    let is_asked = scores.contains(&Report::Csi);
    is_asked.then(|| format!(", of each feature one number that says how far they and the rows that are fitted are spread over its bins differently{small}, and not their parts"))
}

/// What is told beside area and distance, in words.
pub(in crate::plan) fn further(scores: &[Report], min_cell: u64) -> String {
    let asks = asks(scores);
    let figures = [
        (
            asks.losses,
            "the mean log loss and the mean squared error",
            false,
        ),
        (
            asks.calibration,
            "bad and good rows and the mean risk of each tenth by score",
            true,
        ),
        (
            asks.lift,
            "bad and good rows of the tenth with the greatest scores",
            true,
        ),
        (
            asks.confusion,
            "bad and good rows at three scores and above",
            true,
        ),
        (
            asks.stability,
            "how many of them, and of the rows that are fitted, lie between tenths of the scores of the latter",
            true,
        ),
    ];
    let asked = figures.iter().filter(|(is_asked, ..)| *is_asked);
    let words = asked.map(|(_, what, is_counted)| match *is_counted && min_cell > 1 {
        true => format!(", {what} (nothing of it if a cell between two of these scores has rows and fewer than {min_cell})"),
        false => format!(", {what}"),
    });
    words.chain(spreads(scores, min_cell)).collect()
}

/// What is told of rows that are fitted, in words.
pub(in crate::plan) fn of_train(scores: Option<&[Report]>, min_cell: u64) -> String {
    scores.map_or_else(String::new, |scores| {
        format!(
            "; of the rows that are fitted likewise how many are bad and how many good, area and distance{}",
            further(scores, min_cell)
        )
    })
}

/// What is told of rows out of time, in Chinese.
pub(in crate::plan) fn of_oot_in_chinese(is: bool, scores: &[Report], min_cell: u64) -> String {
    match is {
        true => format!(
            ";时间外样本的行同样有坏样本数、好样本数、面积与距离{}",
            further_in_chinese(scores, min_cell)
        ),
        false => String::new(),
    }
}

/// What is told of rows out of time, in words.
pub(in crate::plan) fn of_oot(is: bool, scores: &[Report], min_cell: u64) -> String {
    match is {
        true => format!(
            "; of the rows out of time likewise how many are bad and how many good, area and distance{}",
            further(scores, min_cell)
        ),
        false => String::new(),
    }
}

/// Fractional bits of scores that are evaluated.
pub const SCORE_BITS: u32 = 24;

/// The rows that are evaluated.
pub(super) fn test(
    job: &spec::Train,
    (seats, parts): (&[PartyId], &[Part]),
    min_cell: &MinCell,
) -> Result<Option<Test>, Vec<PlanFault>> {
    let scores: Vec<Report> = job
        .report
        .iter()
        .copied()
        .filter(|r| r.is_of_scores())
        .collect();
    let value = job.sample.as_ref().and_then(|s| s.test.clone());
    let Some(value) = value.filter(|_| !scores.is_empty()) else {
        return Ok(None);
    };
    let of = |seat: &PartyId| {
        let part = parts.iter().find(|p| p.holder == *seat);
        part.map_or(0, |p| p.rows_at_most)
    };
    let at_most: Vec<u64> = seats.iter().map(of).collect();
    let n_rows: u64 = at_most.iter().sum();
    if n_rows > evaluate::MAX_ROWS as u64 {
        return Err(compile::one(PlanFault {
            place: "compute.train.report".to_owned(),
            what: format!(
                "the tables have up to {n_rows} rows by their published sizes, and at most 1048576 are sorted by score"
            ),
            fix: "leave figures of scores out of report".to_owned(),
        }));
    }
    Ok(Some(Test {
        value,
        oot: job.sample.as_ref().map_or_else(Vec::new, |s| s.oot.clone()),
        at_most,
        at_least: min_cell.at_least.max(1),
        of_train: match (job.evaluates_train, job.model.is_scored_alone()) {
            (true, _) => Some(spec::of_train(&scores)),
            (false, true) => Some(vec![Report::Auc, Report::Ks]),
            (false, false) => None,
        },
        scores,
    }))
}
