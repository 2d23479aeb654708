//! What a plan of a model tells people.

use protocols::party::PartyId;

use super::{
    ColumnRole, Kinds, TrainPlan, further, further_in_chinese, mlp, of_oot, of_oot_in_chinese,
    of_train, of_train_in_chinese, screen, shared, stepwise, trees,
};
use crate::plan::compile::Parties;
use crate::plan::sql::holders::Catalogues;
use crate::plan::words::{counted, listed, rehearsed, without_correlations, without_data};
use crate::plan::{Learns, MinCell, Said};
use crate::spec::{self, CheckedSpec, Compute, Missing, Model, Woe};

pub(super) fn learns(
    of: &TrainPlan,
    parties: &Parties,
    receivers: &[PartyId],
    dealer: Option<&PartyId>,
) -> Vec<Learns> {
    let mut learns = Vec::new();
    for seat in &parties.seats {
        let result = match receivers.contains(seat) {
            true => "; of the fitted model everything that the result shows",
            false if of.model.is_scored_alone() => "",
            false if of.shares_steps() => "; these are the model",
            false => "; from them the coefficients and standard errors follow",
        };
        learns.push(Learns {
            party: seat.to_string(),
            what: format!("{}{result}", opened(of)),
        });
    }
    learns.extend(without_data(dealer));
    learns
}

/// All that is opened to the computing parties.
fn opened(of: &TrainPlan) -> String {
    let checked = match of.checks.is_empty() {
        true => String::new(),
        false => "which of the counts below are large enough, and if they are: ".to_owned(),
    };
    let binned = match &of.scorecard {
        None => String::new(),
        Some(scorecard) => format!(
            "the values between which {} bins of every number lie whose cuts the job does not list (two neighbouring values of the pooled rows for each cut{}), and how many bads and goods each bin has{}; ",
            scorecard.n_parts(),
            match of.columns.iter().any(|c| c.n_apart() > 0) {
                true =>
                    ", beside those that have a bin of their own, of which it is told how many there are",
                false => "",
            },
            match scorecard.merge {
                Some(_) => ", before any are merged",
                None => "",
            }
        ),
    };
    let scored = match &of.test {
        None => String::new(),
        Some(test) => {
            format!(
                "; of the rows kept for a test how many are bad and how many good, the area under the curve and the Kolmogorov–Smirnov distance{}, if there are at least {} of both",
                further(&test.scores, test.at_least),
                test.at_least
            ) + &of_train(test.of_train.as_deref(), test.at_least)
                + &of_oot(!test.oot.is_empty(), &test.scores, test.at_least)
        }
    };
    if let Some(trees) = &of.trees {
        return format!("{checked}{}{scored}", trees::opened(of, &trees.grown));
    }
    if let Some(network) = &of.mlp {
        return format!("{checked}{}{scored}", mlp::opened(network));
    }
    let filled = filled(of);
    let binned = binned + &screen::opened(of);
    if of.shares_steps() {
        return format!("{checked}{filled}{binned}{}{scored}", shared::opened(of));
    }
    format!(
        "{checked}{filled}{binned}sums over all holders, never those of one: the number of rows used and dropped, mean and standard deviation of the label and of each column of the design, and at each of at most {} evaluations {} numbers: the cross-products of the design weighted by the model, the gradient and the deviance{scored}",
        of.most_evaluations(),
        Kinds::Step.n_sums(of) - 1,
    )
}

/// Columns that are filled by what is found in all rows: those by their mean, and those by their median.
fn n_filled(of: &TrainPlan) -> [usize; 2] {
    [Missing::Mean, Missing::Median].map(|rule| {
        let columns = of.columns.iter();
        columns
            .filter(|c| c.missing.as_ref() == Some(&rule))
            .count()
    })
}

/// What is opened of them.
fn filled(of: &TrainPlan) -> String {
    match n_filled(of) {
        [0, 0] => String::new(),
        [_, 0] => "of each column whose missing values are filled by their mean, how many values there are and their sum; ".to_owned(),
        _ => "of each column whose missing values are filled, how many values there are and their sum, and for a median the two values in the middle of the pooled rows; ".to_owned(),
    }
}

fn filled_in_chinese(of: &TrainPlan) -> &'static str {
    match n_filled(of) {
        [0, 0] => "",
        [_, 0] => "以均值填补缺失值的各列有多少个值及其和;",
        _ => "填补缺失值的各列有多少个值及其和,以中位数填补的还有合并各行居中的两个值;",
    }
}

impl TrainPlan {
    /// What a computing party learns, in Chinese.
    pub(crate) fn learns_in_chinese(&self, is_receiver: bool) -> String {
        let result = match is_receiver {
            true => ";以及结果所示的已拟合模型的全部内容",
            false if self.model.is_scored_alone() => "",
            false if self.shares_steps() => ";这些就是模型",
            false => ";由此可得系数与标准误",
        };
        format!("{}{result}", self.opened_in_chinese())
    }

    fn opened_in_chinese(&self) -> String {
        let checked = match self.checks.is_empty() {
            true => "",
            false => "下列计数中哪些足够大,若都足够大则还有:",
        };
        let scored = self.test.as_ref().map_or_else(String::new, |test| {
            let least = test.at_least;
            format!(
                ";留作检验的行中的坏样本数与好样本数、曲线下面积与 Kolmogorov–Smirnov 距离{},只要两类均不少于 {least} 行",
                further_in_chinese(&test.scores, least)
            ) + &of_train_in_chinese(test.of_train.as_deref(), least)
                + &of_oot_in_chinese(!test.oot.is_empty(), &test.scores, least)
        });
        if let Some(trees) = &self.trees {
            let trees = trees::opened_in_chinese(self, &trees.grown);
            return format!("{checked}{trees}{scored}");
        }
        if let Some(network) = &self.mlp {
            return format!("{checked}{}{scored}", mlp::opened_in_chinese(network));
        }
        let binned = self.scorecard.as_ref().map_or_else(String::new, |card| {
            format!(
                "任务未列出分界的每个数值的 {} 个分箱的分界值(每个分界为合并各行中相邻的两个值{}),以及每个分箱的坏样本数与好样本数{};",
                card.n_parts(),
                match self.columns.iter().any(|c| c.n_apart() > 0) {
                    true => ",不计自成一箱的值,并告知不计者有多少",
                    false => "",
                },
                match card.merge {
                    Some(_) => "(合并之前)",
                    None => "",
                }
            )
        });
        let binned = binned + &screen::opened_in_chinese(self);
        let filled = filled_in_chinese(self);
        if self.shares_steps() {
            let steps = shared::opened_in_chinese(self);
            return format!("{checked}{filled}{binned}{steps}{scored}");
        }
        format!(
            "{checked}{filled}{binned}全体持有方之和,从不是单个持有方的:所用与所弃的行数,标签与设计矩阵各列的均值与标准差,以及至多 {} 次求值中每次的 {} 个数:以模型加权的设计矩阵交叉乘积、梯度与偏差{scored}",
            self.most_evaluations(),
            Kinds::Step.n_sums(self) - 1,
        )
    }
}

pub(super) fn warnings(
    (spec, of): (&CheckedSpec, &TrainPlan),
    parties: &Parties,
    catalogues: &Catalogues,
    min_cell: &MinCell,
) -> Vec<Said> {
    let compares = |t: &spec::Train| {
        t.scorecard.is_some() || t.trees.is_some() || t.report.iter().any(|r| r.is_of_scores())
    };
    let compares = matches!(&spec.compute, Compute::Train(t) if compares(t));
    let trees = matches!(&spec.compute, Compute::Train(t) if t.trees.is_some());
    let mlp = matches!(&spec.compute, Compute::Train(t) if t.mlp.is_some());
    let shared = of.shares_steps();
    let mut warnings = vec![match trees {
        _ if mlp => mlp::warning(),
        _ if shared => shared::warning(),
        true => Said::new(
            "the trees are opened to all computing parties, split by split and leaf by leaf: each takes part with the gradients of its own rows, which follow from them",
            "各棵树逐个分裂、逐个叶子地向所有计算方公开:各方以自己各行的梯度参与,而梯度可由树推出",
        ),
        false => Said::new(
            "every step's cross-products are opened to all computing parties: sums over all rows, from which coefficients and standard errors follow at each of them",
            "每一步的交叉乘积向所有计算方公开:为全部行之和,各方均可由此得出系数与标准误",
        ),
    }];
    if let ([first, second], false) = (parties.holders.as_slice(), trees) {
        warnings.push(match shared {
            true => shared::of_two(first.as_str(), second.as_str()),
            false => Said::new(
            format!(
                "{first} and {second} learn each other's sums of every step by subtracting their own"
            ),
            format!("{first} 与 {second} 减去自己的数字,即得知对方每一步的和"),
        )});
    }
    warnings.extend(shared::kept(of));
    if min_cell.at_least <= 1 {
        warnings.push(Said::new(
            "there is no minimum cell: a coefficient, or a leaf, may rest on a single row",
            "没有最小分组:一个系数或一个叶子可能只依据一行",
        ));
    }
    let rehearsing = parties.holders.iter();
    let rehearsing = rehearsing.filter(|h| catalogues.get(h).is_some_and(|c| c.rehearsal));
    let rehearsing: Vec<&str> = rehearsing.map(PartyId::as_str).collect();
    warnings.extend(rehearsed(&rehearsing));
    if min_cell.at_least <= 1 && spec.correlations.is_some() && !compares && !shared {
        warnings.push(without_correlations(("compared", "比较")));
    }
    if spec.join.is_some() {
        warnings.push(Said::new(
            "privacy.join has no effect: rows are those of different people",
            "privacy.join 不起作用:各行属于不同的人",
        ));
    }
    warnings
}

/// How neighbouring bins were merged, if they were.
pub(in crate::plan) fn merged(card: &spec::Scorecard) -> Option<String> {
    let merge = card.merge.as_ref()?;
    Some(format!(
        "ChiMerge: of the neighbouring bins of a number those with the least χ² of their 2×2 table become one, the lower pair of equal ones first, until there are at most {} bins and every χ² is above {}; levels, listed cuts and bins of missing values stay",
        card.bins, merge.chi2_least
    ))
}

/// What belongs beside the result.
pub(super) fn notes(of: &TrainPlan, job: &spec::Train) -> Vec<String> {
    let mut notes = vec![match of.model {
        Model::Linear => "least squares; standard errors from RSS/(n − p), t distribution with n − p degrees of freedom; se_hc1 in `fit` are robust ones (HC1)",
        Model::Logistic => "logistic regression: labels 0 and 1, logit link, maximum likelihood by Newton's method; Wald tests",
        Model::Poisson => "Poisson regression: log link, dispersion 1, maximum likelihood by Newton's method; Wald tests",
        Model::Gamma => "gamma regression: log link, dispersion = Pearson X²/(n − p), standard errors from the expected information; Wald tests",
        Model::Mlp => mlp::NOTE,
        Model::Gbdt => "boosted trees: XGBoost's gain and leaves, over bins (a, b] between type-7 quantiles of the pooled rows, equal ones once; levels stand in the order in which the job lists them",
        Model::Scorecard => "scorecard: logistic regression of weights of evidence ln((bads in bin/bads)/(goods in bin/goods)); bad is label 1; Wald tests",
    }.to_owned()];
    if let Some(card) = &of.scorecard {
        let conventions = card.conventions;
        notes.push(format!("bins {} between type-7 quantiles at i/{}, equal ones once; {}; features with an information value below {} are left out", conventions.closed.in_words(), card.n_parts(), conventions.zero_cells.in_words(&card.zero_count), card.iv_least));
        if conventions.woe == Woe::GoodOverBad {
            notes.push("weights of evidence have the other sign, that of optbinning: ln((goods in bin/goods)/(bads in bin/bads)), so that coefficients are negative".to_owned());
        }
        notes.extend(screen::note(of));
        notes.extend(merged(card));
        notes.push(format!("points: {} at odds of {} goods to a bad, {} more double the odds; more is better; not rounded", card.base_score, card.base_odds, card.pdo));
    }
    let chosen = job.stepwise.as_ref();
    notes.extend(chosen.and_then(|s| stepwise::words(of, s)));
    for column in &of.columns {
        match &column.role {
            ColumnRole::Levels(_) if of.n_parts().is_some() => {}
            ColumnRole::Levels(levels) if of.mlp.is_some() => {
                let first = levels.first().map_or("", String::as_str);
                notes.push(format!(
                    "{}: a column of 0 and 1 for each level but {first}",
                    column.name
                ));
            }
            ColumnRole::Levels(levels) => {
                let first = levels.first().map_or("", String::as_str);
                notes.push(format!("{}: levels are compared with {first}", column.name));
            }
            ColumnRole::Offset => {
                notes.push(format!("{} is added to the linear predictor", column.name));
            }
            ColumnRole::Exposure => {
                notes.push(format!(
                    "ln {} is added to the linear predictor",
                    column.name
                ));
            }
            _ => {}
        }
    }
    if of.standardise {
        notes.push("coefficients are those of columns with mean 0 and standard deviation 1 over the rows that are used (divisor n); levels stay 0 and 1".to_owned());
    }
    if of.l2 != "0" {
        notes.push(format!(
            "penalised: {}/2 times the sum of squared coefficients, the intercept free, is added to the negative log-likelihood{}; penalised coefficients have no standard errors",
            of.l2,
            match of.model {
                Model::Linear => " (half the residual sum of squares)",
                _ => "",
            }
        ));
    }
    if of.test.is_some() {
        notes.push("scores that agree to 2^-12 of a logit are ties, and count one half".to_owned());
    }
    notes.extend(missing(of));
    notes
}

/// What stands for missing values.
fn missing(of: &TrainPlan) -> Vec<String> {
    let mut notes = Vec::new();
    let all = of.columns.iter();
    if all.clone().any(|c| c.missing == Some(Missing::Bin)) {
        notes.push("a missing value of a feature has a bin of its own; where the label or the sample is missing the row is left out; a bin without rows that are fitted has weight 0".to_owned());
    } else {
        let but = match all.clone().any(|c| c.missing.is_some()) {
            true => ", but for the features below",
            false => "",
        };
        notes.push(format!(
            "rows in which a value is missing are left out{but}"
        ));
    }
    for column in all {
        if let Some(rule) = column.missing.as_ref().filter(|r| **r != Missing::Bin) {
            notes.push(format!(
                "{}: {} stands for missing values",
                column.name,
                rule.in_words()
            ));
        }
        if !column.special.is_empty() {
            notes.push(format!(
                "{}: a bin each for {}",
                column.name,
                column.special.join(", ")
            ));
        }
    }
    notes
}

/// What runs, in words: for approvers.
pub(super) fn of_run(of: &TrainPlan) -> Vec<String> {
    let label = of.columns.first().map_or("", |c| c.name.as_str());
    let terms: Vec<&str> = of.terms.iter().map(|t| t.name.as_str()).collect();
    let sums = match (&of.trees, &of.mlp) {
        (Some(trees), _) => trees::of_run(of, &trees.grown),
        (_, Some(network)) => mlp::of_run(of, network),
        _ if of.shares_steps() => shared::of_run(of),
        _ => format!(
            "each holder adds up its own rows in doubles and rounds once to a fixed point of 128 bits; sums are added on shares and opened to all computing parties: at most {} by {} numbers",
            counted(u64::from(of.most_evaluations()), "evaluation"),
            Kinds::Step.n_sums(of)
        ),
    };
    let mut words = vec![
        format!("{} model of {label} by {}", of.model.as_str(), listed(&terms)),
        sums,
        "protocol: additive shares, committed and then opened; semi-honest, all parties but one may collude".to_owned(),
    ];
    for check in &of.checks {
        let what = match check.count.is_told() {
            true => "told whether",
            false => "required",
        };
        words.push(format!(
            "counted on shares, {what}: {} >= {}",
            check.label, check.at_least
        ));
    }
    if of.checks.is_empty() {
        words.push(format!("refused with fewer than {} rows", of.least_rows));
    }
    if let Some(test) = &of.test {
        let values = [&test.value].into_iter().chain(&test.oot);
        let values: Vec<&str> = values.map(String::as_str).collect();
        words.push(format!(
            "rows of the sample {} are scored by their holders and sorted by score on shares; nobody sees another's scores",
            listed(&values)
        ));
    }
    words
}
