//! What a plan of a model over a join tells people.

use protocols::party::PartyId;

use super::{CardPlan, VerticalPlan, descent, hazards, meter, trees};
use crate::plan::train::{
    further, further_in_chinese, kept_on_disk, merged, of_oot, of_oot_in_chinese, of_train,
    of_train_in_chinese,
};
use crate::plan::words::{CHINESE_SIZES, listed, without_data};
use crate::plan::{Learns, Said};
use crate::spec::{Cutting, Woe};

pub(super) fn learns(
    of: &VerticalPlan,
    seats: &[PartyId],
    receivers: &[PartyId],
    dealer: Option<&PartyId>,
) -> Vec<Learns> {
    let sizes =
        "how many different complete keys the other holders bring, unless there is a dealer";
    let alone = match &of.card {
        Some(card) if card.alone => ", of the model and of one of each holder's features alone",
        _ => "",
    };
    let figures = match of.scores.is_empty() {
        true => String::new(),
        false => {
            format!(
                "; of the rows kept for a test the number of bad and of good ones, the area under the curve and the Kolmogorov–Smirnov distance{alone}{}, if there are at least {} of both",
                further(&of.scores, of.min_cell),
                of.at_least
            ) + &of_train(of.of_train.as_deref(), of.min_cell)
                + &of_oot(of.n_kept() > 1, &of.scores, of.min_cell)
        }
    };
    let result = match &of.trees {
        Some(_) => trees::result(of),
        None => format!(
            "; whether {}, and if so how many; whether a column is a combination of those before it, and which; if none is, {} coefficients and standard errors{}, and how far the last step still went{figures}",
            enough(of),
            of.n_columns(),
            match of.family().has_dispersion() {
                true => ", the mean square of residuals",
                false => "",
            }
        ),
    };
    let mut learns: Vec<Learns> = seats
        .iter()
        .enumerate()
        .map(|(seat, party)| {
            let is_receiver = receivers.contains(party);
            let bins = bins(of, seat, is_receiver);
            let result = if is_receiver { result.as_str() } else { "" };
            let splits = trees::own(of, seat);
            let metered = meter::in_words(of);
            Learns {
                party: party.to_string(),
                what: format!("{sizes}{bins}{result}{splits}{metered}; not who matched"),
            }
        })
        .collect();
    learns.extend(without_data(dealer));
    learns
}

/// What has to be so that anything is told.
fn enough(of: &VerticalPlan) -> String {
    match of.hazards {
        Some(_) => format!(
            "at least {} events befell the people who are fitted (and how many these are, and the partial likelihood, if there is a model)",
            of.at_least
        ),
        None => format!("at least {} rows are fitted", of.at_least),
    }
}

/// What a holder learns of bins.
fn bins(of: &VerticalPlan, seat: usize, is_receiver: bool) -> String {
    let Some(card) = &of.card else {
        return String::new();
    };
    let short = match card.min_count > 1 {
        true => format!(
            "which bins have fewer than {} bad or good common rows, and then nothing else; if none has, ",
            card.min_count
        ),
        false => String::new(),
    };
    let whose = match (is_receiver, of.tables.iter().any(|t| t.seat == seat)) {
        (true, _) if card.publishes => {
            "how many bad and good common rows are in each bin of every feature, before any are merged, and where each of them begins and ends (values of its holder's rows, or between two of them), "
        }
        (true, _) => {
            "how many bad and good common rows are in each bin of every feature, before any are merged (not where bins of others begin and end, unless this job lists them), "
        }
        (false, true) => "how many bad and good common rows are in each bin of its own features, ",
        (false, false) => "",
    };
    let cuts = match of.cuts_in_common(seat) {
        true => format!(
            "if at least {} rows in common are fitted and have a value, how many of its own features that are, and at the quantiles where it cuts them the two values beside each, which tells it that somebody in common has these; ",
            of.at_least
        ),
        false => String::new(),
    };
    let own = match of.tables.iter().any(|t| t.seat == seat) {
        true => {
            ", and the coefficients of its own features, which it keeps as its part of the model"
        }
        false => "",
    };
    format!("; {cuts}{short}{whose}the information value of every feature{own}")
}

impl VerticalPlan {
    /// What the party at a seat learns, in Chinese.
    pub(crate) fn learns_in_chinese(&self, seat: usize, is_receiver: bool) -> String {
        let result = match (is_receiver, &self.trees) {
            (false, _) => String::new(),
            (true, Some(_)) => trees::result_in_chinese(self),
            (true, None) => self.result_in_chinese(),
        };
        let bins = self.bins_in_chinese(seat, is_receiver);
        let splits = trees::own_in_chinese(self, seat);
        let metered = meter::in_chinese(self);
        format!("{CHINESE_SIZES}{bins}{result}{splits}{metered};不知谁与谁匹配")
    }

    fn result_in_chinese(&self) -> String {
        let least = self.at_least;
        let enough = match self.hazards {
            Some(_) => {
                format!("被拟合的人是否至少发生 {least} 次事件(若有模型,还有次数与部分似然)")
            }
            None => format!("是否至少拟合 {least} 行"),
        };
        let residuals = match self.family().has_dispersion() {
            true => "、残差均方",
            false => "",
        };
        let alone = match &self.card {
            Some(card) if card.alone => "(整个模型的,以及仅用各持有方自己特征的模型的)",
            _ => "",
        };
        let figures = match self.scores.is_empty() {
            true => String::new(),
            false => {
                format!(
                    ";留作检验的行中的坏样本数与好样本数、曲线下面积与 Kolmogorov–Smirnov 距离{alone}{},只要两类均不少于 {least} 行",
                    further_in_chinese(&self.scores, self.min_cell)
                ) + &of_train_in_chinese(self.of_train.as_deref(), self.min_cell)
                    + &of_oot_in_chinese(self.n_kept() > 1, &self.scores, self.min_cell)
            }
        };
        format!(
            ";{enough},若是则有多少;是否有一列是其前各列的组合、是哪一列;若没有,则有 {} 个系数与标准误{residuals},以及最后一步还走了多远{figures}",
            self.n_columns()
        )
    }

    /// What a holder learns of bins, in Chinese.
    fn bins_in_chinese(&self, seat: usize, is_receiver: bool) -> String {
        let Some(card) = &self.card else {
            return String::new();
        };
        let has_table = self.tables.iter().any(|t| t.seat == seat);
        let short = match card.min_count > 1 {
            true => format!(
                "哪些分箱的坏或好的共同行少于 {} 行,若有则别无其他;若没有,则有",
                card.min_count
            ),
            false => String::new(),
        };
        let whose = match (is_receiver, has_table) {
            (true, _) if card.publishes => {
                "每个特征的每个分箱在合并之前坏与好的共同行各有多少,以及各分箱从何处到何处(其持有方各行的值,或两值之间的数)、"
            }
            (true, _) => {
                "每个特征的每个分箱在合并之前坏与好的共同行各有多少(不知他方的分箱从何处到何处,除非本任务列出)、"
            }
            (false, true) => "自己各特征的每个分箱中坏与好的共同行各有多少、",
            (false, false) => "",
        };
        let cuts = match self.cuts_in_common(seat) {
            true => format!(
                "自己的特征中有几个在至少 {} 个被拟合的共同行中有值,以及在切分它们的分位数处两侧的两个值,由此得知共同的人中有人取这些值;",
                self.at_least
            ),
            false => String::new(),
        };
        let own = match has_table {
            true => ",以及自己各特征的系数,作为其所持的模型部分保存",
            false => "",
        };
        format!(";{cuts}{short}{whose}每个特征的信息值{own}")
    }
}

pub(super) fn warnings(of: &VerticalPlan) -> Vec<Said> {
    if of.trees.is_some() {
        return Vec::new();
    }
    let (n, least) = (of.features.len(), of.at_least);
    let few = Said::new(
        format!(
            "coefficients of {n} features over as few as {least} rows tell something about single rows; a greater min_cell asks for more of them"
        ),
        format!("仅 {least} 行上的 {n} 个特征的系数会说明单行的情况;更大的 min_cell 要求更多的行"),
    );
    let few = (of.at_least < 100).then_some(few);
    few.into_iter()
        .chain(kept(of))
        .chain(published(of))
        .collect()
}

/// A model that receivers have as a whole cannot be taken back.
fn published(of: &VerticalPlan) -> Option<Said> {
    let publishes = of.card.as_ref().is_some_and(|card| card.publishes);
    publishes.then(|| {
        Said::new(
            "publish = \"merged\": receivers get the whole scorecard, with the bins of every holder's features, and can score by it without asking again",
            "接收方得到整张评分卡,包括各持有方特征的分箱,此后无须再征得同意即可自行评分",
        )
    })
}

/// Where a fit stands is kept on every party's disk, in shares.
fn kept(of: &VerticalPlan) -> Option<Said> {
    let every = of.checkpoint_every;
    let (step, in_chinese) = match of.descent {
        Some(_) => ("epoch", "轮"),
        None => ("step", "步"),
    };
    let what = "its share of the coefficients, which tells nothing without all others', and a digest of its own rows (the join is made again then)";
    let chinese = format!(
        "每 {every} {in_chinese}各计算方将自己所持的系数份额(缺少任何一方的份额即不说明任何内容)与自己各行的摘要(继续时重新联接)"
    );
    (every > 0).then(|| kept_on_disk((every, step), what, &chinese))
}

pub(super) fn notes(of: &VerticalPlan) -> Vec<String> {
    let mut notes = match &of.trees {
        Some(trees) => trees::notes(trees),
        None => of_fit(of),
    };
    if !of.scores.is_empty() {
        notes.push("scores that agree to 2^-12 of a logit are ties, and count one half".to_owned());
    }
    notes
}

/// What belongs beside coefficients.
fn of_fit(of: &VerticalPlan) -> Vec<String> {
    let of_what = match &of.card {
        None => {
            "columns less their means, divided by their standard deviations (by n) over the rows that are fitted"
        }
        Some(_) => {
            "weights of evidence, ln((bads in bin/bads)/(goods in bin/goods)) over the rows that are fitted: positive where rows are worse"
        }
    };
    let mut notes = vec![format!(
        "coefficients and standard errors are those of {of_what}"
    )];
    notes.extend(match &of.descent {
        Some(descent) => descent::notes(descent),
        None => [
            format!("{} steps of Newton's method, whatever they find: fit.decrement says how far the last one went", of.steps),
            "numbers are fixed-point: coefficients are good to about 1e-5, standard errors to 1e-3 of themselves".to_owned(),
        ],
    });
    if let Some(card) = &of.card {
        notes.push(cutting(card));
        notes.extend(merged(&card.points));
    }
    notes.extend(of.hazards.iter().map(hazards::note));
    if of.unit != "1" {
        notes.push(format!(
            "labels are divided by {} on the way, and results are told in the labels' own unit",
            of.unit
        ));
    }
    if of.l2 != "0" {
        notes.push(format!("{}/2 times the sum of squared coefficients is added to the negative log-likelihood, but for the constant", of.l2));
    }
    notes
}

/// Which rows are a third sample.
fn out_of_time(values: &[String]) -> String {
    match values {
        [] => String::new(),
        values => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!(", those with {} as rows out of time", listed(&values))
        }
    }
}

fn cutting(card: &CardPlan) -> String {
    let own = "of its own rows, at the label's holder of those that are fitted";
    let cut = match card.method {
        Cutting::EqualFrequency => format!("at type-7 quantiles {own}"),
        Cutting::EqualFrequencyInCommon => {
            "at type-7 quantiles of the rows in common that are fitted, found on shares".to_owned()
        }
        Cutting::EqualWidth => format!("into ranges of one width {own}"),
    };
    let conventions = card.points.conventions;
    let special = match card.special.iter().any(|values| !values.is_empty()) {
        true => "special values that the job lists have a bin each, and missing values have one",
        false => "missing values have a bin",
    };
    let sign = match conventions.woe {
        Woe::BadOverGood => "",
        Woe::GoodOverBad => {
            "; weights of evidence are ln((goods in bin/goods)/(bads in bin/bads)), so that coefficients are negative"
        }
    };
    format!(
        "bins are {}; each holder cuts its numbers {cut}; {special}; {}{sign}",
        conventions.closed.in_words(),
        conventions.zero_cells.in_words(&card.points.zero_count)
    )
}

/// What runs, for approvers.
pub(super) fn of_run(of: &VerticalPlan) -> Vec<String> {
    let keys: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    let rows = match &of.sample {
        None => "all of them are fitted".to_owned(),
        Some(sample) => match &sample.test {
            None => format!("those with {} = {} are fitted", sample.column, sample.train),
            Some(test) => format!(
                "those with {} = {} are fitted, those with {test} are kept for a test{}",
                sample.column,
                sample.train,
                out_of_time(&sample.oot)
            ),
        },
    };
    let missing = match of.keeps_missing() {
        false if of.is_left => {
            "rows of the first in which a value is missing are left out by its holder, and 0 stands for what others lack of the rest, a value or a whole row"
        }
        false => "rows in which a value is missing are left out by their holder",
        true => "missing values of features are a bin of their own",
    };
    let which = match of.is_left {
        true => format!("rows of {}", keys.first().unwrap_or(&"the first table")),
        false => "rows in common".to_owned(),
    };
    let mut words = vec![
        format!(
            "rows with equal {} meet in shares (circuit-PSI by VOLE); {missing}",
            listed(&keys)
        ),
        format!("of the {which} {rows}; nobody sees which of them are in which other table"),
    ];
    if let Some(card) = &of.card {
        words.push(format!(
            "each holder cuts its features into bins; bad and good rows of {} bins are counted on shares, and told to the feature's holder and to receivers if every bin has {} of both; features of an information value of {} or more have a part in the model",
            card.n_bins(), card.min_count, card.points.iv_least
        ));
        if card.publishes {
            words.push("receivers are told where the bins of all features begin and end, and so have the scorecard as a whole: they can score by it without the others".to_owned());
        }
    }
    if let Some(trees) = &of.trees {
        words.push(trees::of_run(of, &trees.grown));
        return words;
    }
    if let Some(timed) = &of.hazards {
        words.push(hazards::of_run(of, timed));
        return words;
    }
    let alone = match &of.card {
        Some(card) if card.alone => {
            "; models of each holder's features alone are fitted and evaluated likewise"
        }
        _ => "",
    };
    let how = match &of.descent {
        Some(descent) => descent::of_run(descent),
        None => format!("{} steps of Newton's method", of.steps),
    };
    words.push(format!(
        "a {} model of {} and {} features by {how} on shares; gradients, cross-products and residuals are not opened{alone}",
        of.model.as_str(),
        of.label.1,
        of.features.len(),
    ));
    if of.is_metered {
        words.push("the R² of the features of every coalition of holders is found on shares, and each holder's Shapley value of it is opened".to_owned());
    }
    words
}
