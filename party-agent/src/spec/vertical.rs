//! `[compute.train]` with `partition = "vertical"`: a model of the people that several holders have in common, each with
//! columns of its own.

mod card;
mod descent;
mod hazards;

use std::collections::BTreeSet;

use protocols::psi::keys::Normalise;
use serde::Serialize;
use toml::de::DeValue;

use super::intersect::{self, KeyOf, rule_name};
use super::lookup::names_of;
use super::train::{self, Report, Trees};
use crate::config::fields::{Faults, Fields, kind};

pub use card::{Bins, Card, Cutting, Listed, Special};
pub use descent::Descent;
pub use hazards::{Hazards, Ties};

/// Most features that are named.
const MAX_FEATURES: usize = 127;

const MODEL: &str =
    "\"linear\", \"logistic\", \"poisson\", \"gamma\", \"cox\", \"scorecard\" or \"gbdt\"";
const LABEL: &str = "\"party.table.column\"";
const FEATURES: &str =
    "a list of \"party.table.column\", or \"party.table.*\" for all numbers of a table";
const KEY: &str = "the name of the key's column in these tables, or a list of names";
const LEFT: &str =
    "\"party.table\": all people of this table are rows, and 0 stands for what others lack of them";
const PUBLISH: &str = "\"parts\" (each holder keeps its own) or \"merged\"";
const PUBLISHED: &[(&str, bool)] = &[("parts", false), ("merged", true)];
const SAMPLE: &str = "column = \"party.table.column\" of the label's table";

/// A model over a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vertical {
    /// Which model.
    pub model: VerticalModel,
    /// What is explained: one column; of hazards that of events.
    pub label: KeyOf,
    /// In which unit labels that are amounts are about 1, a decimal number.
    pub unit: String,
    /// Times and ties, of hazards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hazards: Option<Hazards>,
    /// What explains it, in the order of the result: one column each, or `*`.
    pub features: Vec<KeyOf>,
    /// The columns of the key, in every table.
    pub key: Vec<String>,
    /// How the spelling of keys is evened out.
    #[serde(serialize_with = "rule_name")]
    pub normalise: Normalise,
    /// The table of which all people are rows, as of a left join; else those that are in all tables are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<KeyOf>,
    /// Which rows are fitted.
    pub sample: Option<VerticalSample>,
    /// What is told beside the coefficients.
    pub report: BTreeSet<Report>,
    /// Whether rows that are fitted are evaluated as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub evaluates_train: bool,
    /// How many steps are taken, whatever they find.
    pub steps: u64,
    /// After how many steps or epochs each party keeps where the fit stands; 0 for never.
    pub checkpoint_every: u64,
    /// Epochs and batches, of a model that is fitted by descent and not by Newton's steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descent: Option<Descent>,
    /// λ of the penalty λ/2·Σβ², a decimal number; the constant is free.
    pub l2: String,
    /// Features whose bins the job lists, of models that have bins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listed>,
    /// Bins and points, of a scorecard.
    pub card: Option<Card>,
    /// Whether receivers get a scorecard as a whole, with the bins of all holders' features.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub publishes: bool,
    /// Of boosted trees how many, and how they grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<Trees>,
}

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerticalModel {
    /// Least squares.
    Linear,
    /// Labels 0 and 1, logit link.
    Logistic,
    /// Counts, log link.
    Poisson,
    /// Positive labels, log link.
    Gamma,
    /// When events befall people: proportional hazards.
    Cox,
    /// Logistic, of features in bins that are replaced by their weights of evidence.
    Scorecard,
    /// Gradient-boosted trees for labels 0 and 1.
    Gbdt,
}

/// The column that says which rows are fitted, and which are evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerticalSample {
    /// A column of the label's table.
    pub column: String,
    /// Its value in rows that are fitted.
    pub train: String,
    /// Its value in rows that are evaluated.
    pub test: Option<String>,
    /// Its values in rows out of time, a further sample that is evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oot: Vec<String>,
}

const MODELS: &[(&str, VerticalModel)] = &[
    ("linear", VerticalModel::Linear),
    ("logistic", VerticalModel::Logistic),
    ("poisson", VerticalModel::Poisson),
    ("gamma", VerticalModel::Gamma),
    ("cox", VerticalModel::Cox),
    ("scorecard", VerticalModel::Scorecard),
    ("gbdt", VerticalModel::Gbdt),
];

impl VerticalModel {
    /// Its word in a job file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut named = MODELS.iter();
        let found = named.find(|(_, model)| *model == self);
        found.expect("every model has a word").0
    }

    /// Steps of Newton's method, unless a job says otherwise. Of gamma models information is expected, so they take more.
    fn steps(self) -> u64 {
        match self {
            Self::Linear => 2,
            Self::Gamma => 12,
            Self::Logistic | Self::Poisson | Self::Cox | Self::Scorecard | Self::Gbdt => 7,
        }
    }

    /// Whether labels are amounts, which have a unit.
    fn has_unit(self) -> bool {
        matches!(self, Self::Linear | Self::Gamma)
    }

    /// Whether there are bad rows and good ones.
    fn has_scores(self) -> bool {
        matches!(self, Self::Logistic | Self::Scorecard | Self::Gbdt)
    }
}

/// Whether a `[compute.train]` is one of these.
pub(super) fn is_vertical(fields: &Fields<'_, '_>) -> bool {
    let mut entries = fields.entries();
    entries.any(|(name, value)| name == "partition" && value.get_ref().as_str() == Some("vertical"))
}

/// Reads the table `[compute.train]`.
pub(super) fn read<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Vertical> {
    let _ = fields.string(faults, "partition");
    let model = model(&mut fields, faults);
    let (label, hazards) = match model {
        Some(VerticalModel::Cox) => hazards::read(&mut fields, text, faults).unzip(),
        _ => (label(&mut fields, text, faults), None),
    };
    let features = features(&mut fields, text, (FEATURES, MAX_FEATURES), faults);
    let key = names_of(&mut fields, "key", KEY, intersect::MAX_KEY_COLUMNS, faults);
    let key = fields.required(faults, "key", key, KEY);
    let normalise = intersect::normalise(&mut fields, faults);
    let left = intersect::table(&mut fields, "left", (text, LEFT), faults);
    let sample = fields.table(faults, "sample");
    let sample = sample.map(|s| read_sample(s, text, label.as_ref(), faults));
    if let Some(Some(left)) = &left {
        // A person without a label of a positive amount has none.
        let is_first = sample.is_some() || hazards.is_some() || model == Some(VerticalModel::Gamma);
        let first = label.as_ref().filter(|_| is_first);
        left_faults(&fields, (left, first), model, faults);
    }
    let unit = unit(&mut fields, model, faults);
    let has_trees = model == Some(VerticalModel::Gbdt);
    let report = match has_trees {
        true => train::report_of_scores(&mut fields, "trees", faults),
        false => train::report(&mut fields, faults),
    };
    let (listed, card) = bins_of(&mut fields, model, text, faults);
    let descent = match has_trees {
        true => Some(None),
        false => descent::read(&mut fields, model, faults),
    };
    let is_descent = matches!(descent, Some(Some(_)));
    let checkpoint_every = checkpoint_every(&mut fields, model, faults);
    let publishes = publishes(&mut fields, model, faults);
    let trees = has_trees.then(|| train::trees(&mut fields, faults));
    let (steps, l2) = match has_trees || is_descent {
        true => (None, Some("0".to_owned())),
        false => {
            let steps = fields.whole(faults, "steps", 1..=50);
            let l2 = train::number(&mut fields, "l2", "0", 0.0..=1e6, faults);
            (steps, l2)
        }
    };
    let report = match is_descent {
        true => descent::report(&fields, report, faults),
        false => penalised(&fields, (model, l2.as_deref()), report, faults),
    };
    let evaluates_train = train::evaluates_train(&mut fields, &report, faults);
    report_faults(&fields, (model, &report), sample.as_ref(), faults);
    bins_faults(&fields, (model, card.as_ref()), &report, faults);
    fields.finish(faults);
    Some(Vertical {
        model: model?,
        label: label?,
        unit: unit?,
        hazards,
        features: features?,
        key: key?,
        normalise: normalise?,
        left: whole(left)?,
        sample: whole(sample)?,
        report,
        evaluates_train,
        steps: steps.unwrap_or_else(|| model.map_or(1, VerticalModel::steps)),
        checkpoint_every,
        descent: descent?,
        l2: l2?,
        listed,
        card: whole(card)?,
        publishes: publishes?,
        trees: whole(trees)?,
    })
}

/// Whether a model is published as a whole.
fn publishes(
    fields: &mut Fields<'_, '_>,
    model: Option<VerticalModel>,
    faults: &mut Faults<'_>,
) -> Option<bool> {
    let publishes = match fields.value("publish").is_some() {
        true => intersect::word(fields, "publish", PUBLISHED, PUBLISH, faults)?,
        false => false,
    };
    let what = match model {
        None | Some(VerticalModel::Scorecard) => return Some(publishes),
        Some(VerticalModel::Gbdt) => {
            "asks for trees as a whole, of which only the holder of a feature learns where it is split"
        }
        Some(_) => {
            "asks for what receivers of this model have anyway: all coefficients, of columns in standard deviations"
        }
    };
    if publishes {
        fields.wrong(
            faults,
            "publish",
            what,
            "of model = \"scorecard\", or leave it out",
        );
    }
    Some(false)
}

/// After how many steps checkpoints are kept. Least squares are found in the first one, and trees would have to be grown again.
fn checkpoint_every(
    fields: &mut Fields<'_, '_>,
    model: Option<VerticalModel>,
    faults: &mut Faults<'_>,
) -> u64 {
    let (what, named) = match model {
        Some(VerticalModel::Linear) => ("is found in one step, of", "linear models"),
        Some(VerticalModel::Gbdt) => ("is kept by nobody, of", "trees"),
        _ => return train::checkpoint_every(fields, faults),
    };
    if fields.value("checkpoint_every").is_some() {
        let what = format!(
            "asks to keep what {what} {named} over a join: one that breaks off begins anew"
        );
        fields.wrong(faults, "checkpoint_every", what, "leave it out");
    }
    0
}

/// What a job may have or not: nothing at all where it has it and it cannot be read.
fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        read => Some(read.flatten()),
    }
}

/// What a model cannot be asked.
fn report_faults(
    fields: &Fields<'_, '_>,
    (model, report): (Option<VerticalModel>, &BTreeSet<Report>),
    sample: Option<&Option<VerticalSample>>,
    faults: &mut Faults<'_>,
) {
    let n_oot = sample
        .and_then(Option::as_ref)
        .map_or(0, |sample| sample.oot.len());
    train::of_further_samples(fields, n_oot, report, faults);
    // A sample that cannot be read has its own fault.
    let has_test = sample.is_some_and(|s| s.as_ref().is_none_or(|s| s.test.is_some()));
    if report.contains(&Report::Loss) {
        let what = "asks for losses step by step, and nothing of a fit over a join is opened before its end";
        fields.wrong(
            faults,
            "report",
            what,
            "\"logloss\", of the rows kept for a test",
        );
    }
    let is_evaluated = report.iter().any(|r| r.is_of_scores());
    if is_evaluated && !has_test {
        let what = "asks how well scores do, and no rows are kept for a test";
        let allowed = "sample = { column = …, train = …, test = … }";
        fields.wrong(faults, "report", what, allowed);
    }
    if model == Some(VerticalModel::Gbdt) && !is_evaluated {
        let what = "asks for nothing of trees";
        fields.wrong(faults, "report", what, "\"auc\" or \"ks\"");
    }
    if is_evaluated && model.is_some_and(|m| !m.has_scores()) {
        let what = "asks how well scores tell bad from good, of a model of something else";
        let allowed = "model = \"logistic\", \"scorecard\" or \"gbdt\"";
        fields.wrong(faults, "report", what, allowed);
    }
}

fn label<'t>(fields: &mut Fields<'_, 't>, text: &'t str, faults: &mut Faults<'t>) -> Option<KeyOf> {
    let at = fields.value("label");
    let at = fields.required(faults, "label", at, LABEL)?;
    intersect::key(&fields.name("label"), at, text, faults)
}

fn unit(
    fields: &mut Fields<'_, '_>,
    model: Option<VerticalModel>,
    faults: &mut Faults<'_>,
) -> Option<String> {
    if model.is_some_and(|m| !m.has_unit()) && fields.value("label_unit").is_some() {
        let what = "belongs to labels that are amounts, of linear and gamma models";
        fields.wrong(faults, "label_unit", what, "leave it out");
    }
    train::number(fields, "label_unit", "1", 1e-9..=1e12, faults)
}

/// What does not go with a left join.
fn left_faults(
    fields: &Fields<'_, '_>,
    (left, first): (&KeyOf, Option<&KeyOf>),
    model: Option<VerticalModel>,
    faults: &mut Faults<'_>,
) {
    if matches!(model, Some(VerticalModel::Scorecard | VerticalModel::Gbdt)) {
        let what = "does not go with models of bins in this version, in which people in all tables are rows";
        fields.wrong(faults, "left", what, "leave it out");
    }
    let is_left = |label: &KeyOf| label.party == left.party && label.table == left.table;
    if first.is_some_and(|label| !is_left(label)) {
        let what = "is not the label's table, which alone knows times and positive labels, and people in the sample";
        fields.wrong(faults, "left", what, "the table of labels, or of events");
    }
}

/// Features whose bins are listed, and the scorecard; its outer `None` where the model is none.
fn bins_of<'t>(
    fields: &mut Fields<'_, 't>,
    model: Option<VerticalModel>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> (Vec<Listed>, Option<Option<Card>>) {
    let (is_card, is_trees) = (
        model == Some(VerticalModel::Scorecard),
        model == Some(VerticalModel::Gbdt),
    );
    for (field, belongs, what) in [
        (
            "stepwise",
            false,
            "chooses columns by sums that are opened, and over a join none are",
        ),
        (
            "screen",
            false,
            "compares columns of all rows, which over a join nobody sees; iv_least under [compute.train.scorecard] leaves features out",
        ),
        (
            "scorecard",
            is_card,
            "belongs to model = \"scorecard\", of joins",
        ),
        (
            "categorical",
            is_card || is_trees,
            "belongs to models with bins, \"scorecard\" and \"gbdt\", of joins",
        ),
    ] {
        if !belongs && fields.value(field).is_some() {
            fields.wrong(faults, field, what, "leave it out");
        }
    }
    let mut listed = match is_card || is_trees {
        true => card::categorical(fields, text, faults),
        false => Vec::new(),
    };
    if is_trees {
        card::cuts_of_trees(fields, &mut listed, text, faults);
    }
    let card = is_card.then(|| card::read(fields, &mut listed, text, faults));
    (listed, card)
}

/// Bins are compared of scorecards, as they are counted; which of them are merged is known when the counts are told.
fn bins_faults(
    fields: &Fields<'_, '_>,
    (model, card): (Option<VerticalModel>, Option<&Option<Card>>),
    report: &BTreeSet<Report>,
    faults: &mut Faults<'_>,
) {
    let is_card = model.is_none_or(|m| m == VerticalModel::Scorecard);
    train::has_bins(fields, is_card, report, faults);
    let card = card.and_then(Option::as_ref);
    if card.is_some_and(|c| c.points.merging().is_some()) && report.contains(&Report::Csi) {
        let what = "asks for \"csi\", which over a join is that of bins before any are merged, and the scorecard merges them";
        let allowed = "method = \"equal_frequency\", or listed cuts; or leave \"csi\" out";
        fields.wrong(faults, "report", what, allowed);
    }
}

/// Penalised coefficients have no standard errors that mean what people take them for.
fn penalised(
    fields: &Fields<'_, '_>,
    (model, l2): (Option<VerticalModel>, Option<&str>),
    report: BTreeSet<Report>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    if l2.is_none_or(|l2| l2 == "0") {
        return report;
    }
    if let Some(VerticalModel::Scorecard | VerticalModel::Cox) = model {
        let what = "does not belong to scorecards and hazards over a join";
        fields.wrong(faults, "l2", what, "leave it out");
    }
    train::penalised(fields, report, faults)
}

fn model(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<VerticalModel> {
    let text = fields.string(faults, "model");
    let text = fields.required(faults, "model", text, MODEL)?;
    if text == "mlp" {
        let what = "\"mlp\" is not available over a join in this version";
        fields.wrong(faults, "model", what, MODEL);
        return None;
    }
    intersect::word(fields, "model", MODELS, MODEL, faults)
}

/// The columns that are named as features, each once, and no more than `at_most`.
pub(super) fn features<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    (allowed, at_most): (&str, usize),
    faults: &mut Faults<'t>,
) -> Option<Vec<KeyOf>> {
    let at = fields.value("features");
    let at = fields.required(faults, "features", at, allowed)?;
    let path = fields.name("features");
    let DeValue::Array(list) = at.get_ref() else {
        let what = format!("a {} is not allowed here", kind(at.get_ref()));
        faults.add(&at.span(), &path, what, allowed);
        return None;
    };
    if list.is_empty() || list.len() > at_most {
        let what = format!("names {} columns", list.len());
        let allowed = format!("1 to {at_most} features");
        faults.add(&at.span(), &path, what, &allowed);
        return None;
    }
    let mut features: Vec<KeyOf> = Vec::with_capacity(list.len());
    for (i, entry) in list.iter().enumerate() {
        let path = format!("{path}[{}]", i + 1);
        let Some(feature) = intersect::key(&path, entry, text, faults) else {
            continue;
        };
        let same = |f: &&KeyOf| f.party == feature.party && f.columns == feature.columns;
        if feature.columns.len() > 1 || features.iter().any(|f| same(&f)) {
            let what = "names a column twice, or several at once";
            faults.add(&entry.span(), &path, what, allowed);
        }
        features.push(feature);
    }
    (features.len() == list.len()).then_some(features)
}

fn read_sample(
    mut fields: Fields<'_, '_>,
    text: &str,
    label: Option<&KeyOf>,
    faults: &mut Faults<'_>,
) -> Option<VerticalSample> {
    let at = fields.value("column");
    let at = fields.required(faults, "column", at, SAMPLE);
    let path = fields.name("column");
    let column = at.and_then(|at| intersect::key(&path, at, text, faults));
    let train = fields.required_string(faults, "train", "its value in rows that are fitted");
    let test = fields.string(faults, "test");
    if train.is_some() && train == test {
        fields.wrong(
            faults,
            "test",
            "is the value of rows that are fitted",
            "another value",
        );
    }
    if let (Some(column), Some(label)) = (&column, label)
        && (column.party != label.party || column.table != label.table || column.columns.len() > 1)
    {
        let what = "is no column of the label's table";
        fields.wrong(faults, "column", what, SAMPLE);
    }
    let oot = train::out_of_time(&mut fields, (train, test), faults);
    fields.finish(faults);
    Some(VerticalSample {
        column: column?.columns.into_iter().next()?,
        train: train?.to_owned(),
        test: test.map(str::to_owned),
        oot: oot?,
    })
}
