//! What a model's job asks to be told.

use std::collections::BTreeSet;

use engine::glm::Family;
use serde::Serialize;

use super::super::lookup::names_of;
use super::super::near::did_you_mean;
use super::{Model, Sample};
use crate::config::fields::{Faults, Fields};

const REPORT: &str = "a list of \"coef\", \"se\", \"p\", \"ci95\", \"loss\", and of figures of scores: \"auc\", \"gini\", \"ks\", \"logloss\", \"brier\", \"lift\", \"calibration\", \"confusion\", \"psi\" and \"csi\"";

/// Most values of rows out of time.
const MAX_OOT: usize = 64;

/// What is told of each coefficient, and of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Its standard error.
    Se,
    /// Its test statistic and two-sided p-value.
    P,
    /// Its confidence interval of 95 percent.
    Ci95,
    /// The mean log loss of the rows that are fitted, step by step.
    Loss,
    /// The area under the curve of the evaluated rows.
    Auc,
    /// The same as twice what it is above one half.
    Gini,
    /// Their Kolmogorov–Smirnov distance.
    Ks,
    /// Their mean log loss.
    Logloss,
    /// Their mean squared error.
    Brier,
    /// The share of bad rows in the tenth with the greatest scores, over that of all.
    Lift,
    /// Risks and shares of bad rows in tenths by score, and the test of Hosmer and Lemeshow.
    Calibration,
    /// Confusion matrices at three scores.
    Confusion,
    /// The population stability index of their scores against those of rows that are fitted.
    Psi,
    /// How far rows are spread over the bins of each feature otherwise than those that are fitted.
    Csi,
}

impl Report {
    /// Whether it is about rows that are evaluated.
    #[must_use]
    pub fn is_of_scores(self) -> bool {
        !self.is_of_errors() && self != Self::Loss
    }

    /// Whether it rests on standard errors.
    fn is_of_errors(self) -> bool {
        matches!(self, Self::Se | Self::P | Self::Ci95)
    }
}

const REPORTS: [(&str, Option<Report>); 15] = [
    ("coef", None),
    ("se", Some(Report::Se)),
    ("p", Some(Report::P)),
    ("ci95", Some(Report::Ci95)),
    ("loss", Some(Report::Loss)),
    ("auc", Some(Report::Auc)),
    ("gini", Some(Report::Gini)),
    ("ks", Some(Report::Ks)),
    ("logloss", Some(Report::Logloss)),
    ("brier", Some(Report::Brier)),
    ("lift", Some(Report::Lift)),
    ("calibration", Some(Report::Calibration)),
    ("confusion", Some(Report::Confusion)),
    ("psi", Some(Report::Psi)),
    ("csi", Some(Report::Csi)),
];

/// Whether a word asks for a figure of scores.
fn is_of_scores(word: &str) -> bool {
    let mut reports = REPORTS.iter();
    reports.any(|(known, report)| *known == word && report.is_some_and(Report::is_of_scores))
}

/// Figures of scores need a model that has them, and rows that were not fitted.
pub(super) fn evaluated(
    fields: &Fields<'_, '_>,
    (model, sample): (Option<Model>, Option<&Option<Sample>>),
    report: &BTreeSet<Report>,
    faults: &mut Faults<'_>,
) {
    if report.contains(&Report::Loss)
        && model.is_some_and(|m| !matches!(m, Model::Logistic | Model::Scorecard))
    {
        let what = "asks for log losses, of a model that has none step by step";
        fields.wrong(
            faults,
            "report",
            what,
            "model = \"logistic\" or \"scorecard\"",
        );
    }
    if !report.iter().any(|r| r.is_of_scores()) {
        return;
    }
    has_bins(
        fields,
        model.is_none_or(|m| m == Model::Scorecard),
        report,
        faults,
    );
    if model.is_some_and(|m| m.family() != Family::Logistic) {
        let what = "asks how well scores tell bad from good, of a model of something else";
        let allowed = "model = \"logistic\", \"scorecard\", \"gbdt\" or \"mlp\"";
        fields.wrong(faults, "report", what, allowed);
    }
    // A sample that cannot be read has its own fault.
    let has_test = match sample {
        None => false,
        Some(sample) => sample.as_ref().is_none_or(|s| s.test.is_some()),
    };
    if !has_test {
        let what = "asks how well scores do, and no rows are kept for a test";
        let allowed = "sample = { column = …, train = …, test = … }";
        fields.wrong(faults, "report", what, allowed);
    }
}

/// Bins are compared of models that keep them.
pub(in crate::spec) fn has_bins(
    fields: &Fields<'_, '_>,
    is_card: bool,
    report: &BTreeSet<Report>,
    faults: &mut Faults<'_>,
) {
    if report.contains(&Report::Csi) && !is_card {
        let what = "asks for the stability of features' bins (\"csi\"), of a model that has none";
        fields.wrong(
            faults,
            "report",
            what,
            "model = \"scorecard\", or \"psi\" of scores",
        );
    }
}

pub(in crate::spec) fn report(
    fields: &mut Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    match fields.strings(faults, "report") {
        None => BTreeSet::from([Report::Se, Report::P, Report::Ci95]),
        Some(words) => named_reports(fields, words, faults),
    }
}

/// What these words ask for.
fn named_reports<'w>(
    fields: &Fields<'_, '_>,
    words: impl IntoIterator<Item = &'w str>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let mut report = BTreeSet::new();
    for word in words {
        match REPORTS.iter().find(|(known, _)| *known == word) {
            Some((_, found)) => report.extend(*found),
            None => {
                let hint = did_you_mean(word, REPORTS.iter().map(|(known, _)| *known));
                let what = format!("\"{word}\" cannot be reported in this version{hint}");
                fields.wrong(faults, "report", what, REPORT);
            }
        }
    }
    report
}

/// Estimates that are drawn to nothing have no standard errors that mean what people take them for.
pub(in crate::spec) fn penalised(
    fields: &Fields<'_, '_>,
    report: BTreeSet<Report>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let words = ("of penalised coefficients", "or l2 = 0");
    without_errors(fields, report, words, faults)
}

/// What is asked for but standard errors: of whom, and what has them.
pub(in crate::spec) fn without_errors(
    fields: &Fields<'_, '_>,
    report: BTreeSet<Report>,
    (of, instead): (&str, &str),
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let is_written = fields.entries().any(|(name, _)| name == "report");
    let (others, errors): (BTreeSet<_>, BTreeSet<_>) =
        report.into_iter().partition(|r| !r.is_of_errors());
    if is_written && !errors.is_empty() {
        let what = format!("asks for standard errors {of}");
        let allowed = format!("\"coef\" and figures of scores such as \"auc\", {instead}");
        fields.wrong(faults, "report", what, &allowed);
    }
    others
}

/// What is asked for of trees and networks, which have no coefficients.
pub(in crate::spec) fn report_of_scores(
    fields: &mut Fields<'_, '_>,
    what: &str,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let Some(words) = fields.strings(faults, "report") else {
        return BTreeSet::from([Report::Auc, Report::Ks]);
    };
    let of_scores = |word: &&str| is_of_scores(word);
    if let Some(word) = words.iter().find(|word| !of_scores(word)) {
        let what = format!("\"{word}\" cannot be reported of {what} in this version");
        let allowed = "figures of scores, such as \"auc\" and \"ks\"";
        fields.wrong(faults, "report", what, allowed);
    }
    let words = words.into_iter().filter(|word| of_scores(word));
    named_reports(fields, words, faults)
}

/// Whether rows that are fitted are evaluated as those that are kept for a test are.
pub(in crate::spec) fn evaluates_train(
    fields: &mut Fields<'_, '_>,
    report: &BTreeSet<Report>,
    faults: &mut Faults<'_>,
) -> bool {
    let Some(words) = fields.strings(faults, "evaluate") else {
        return false;
    };
    let known = words.iter().all(|word| ["train", "test"].contains(word));
    if !known || !words.contains(&"test") {
        let what = "names other samples, or not that which is kept for a test";
        fields.wrong(
            faults,
            "evaluate",
            what,
            "[\"test\"] or [\"train\", \"test\"]",
        );
    }
    if !report.iter().any(|r| r.is_of_scores()) {
        let what = "names samples, and report asks for no figures of scores";
        fields.wrong(faults, "evaluate", what, "report = [\"auc\", \"ks\"]");
    }
    words.contains(&"train")
}

/// Values of a sample's column in rows out of time: a further sample beside that which is kept for a test.
pub(in crate::spec) fn out_of_time(
    fields: &mut Fields<'_, '_>,
    (train, test): (Option<&str>, Option<&str>),
    faults: &mut Faults<'_>,
) -> Option<Vec<String>> {
    const OOT: &str =
        "a value of the sample's column, or a list of up to 64, other than train and test";
    if fields.value("oot").is_none() {
        return Some(Vec::new());
    }
    let values = names_of(fields, "oot", OOT, MAX_OOT, faults)?;
    if test.is_none() {
        let what = "names rows out of time, and no rows are kept for a test";
        fields.wrong(faults, "oot", what, "test = …, and oot beside it");
    }
    let is_other = |value: &&String| [train, test].contains(&Some(value.as_str()));
    if let Some(value) = values.iter().find(is_other) {
        let what = format!("\"{value}\" is the value of another sample");
        fields.wrong(faults, "oot", what, OOT);
    }
    Some(values)
}

/// Rows out of time are there to be evaluated.
pub(in crate::spec) fn of_further_samples(
    fields: &Fields<'_, '_>,
    n_values: usize,
    report: &BTreeSet<Report>,
    faults: &mut Faults<'_>,
) {
    if n_values > 0 && !report.iter().any(|r| r.is_of_scores()) {
        let what = "asks for no figures of scores, and the sample names rows out of time";
        fields.wrong(
            faults,
            "report",
            what,
            "\"auc\", \"ks\", \"psi\", …; or leave oot out",
        );
    }
}

/// What is told of rows that are fitted: they are not compared with themselves.
#[must_use]
pub(crate) fn of_train(scores: &[Report]) -> Vec<Report> {
    let scores = scores.iter().copied();
    scores
        .filter(|report| !matches!(report, Report::Psi | Report::Csi))
        .collect()
}
