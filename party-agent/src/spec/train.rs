//! `[compute.train]`: a model fitted to the rows of several holders.

mod card;
mod conventions;
mod missing;
mod mlp;
mod report;
mod rows;
mod screen;
mod stepwise;
mod trees;

use std::collections::BTreeSet;

use engine::glm::Family;
use serde::Serialize;
use toml::de::DeValue;

use super::intersect::word;
use super::near::did_you_mean;
use crate::config::fields::{Faults, Fields, kind};

pub(super) use card::{MAX_SPECIAL, SPECIAL, card, cuts as listed_cuts, merging};
pub use card::{Merge, Scorecard};
pub use conventions::{Closed, Conventions, Woe, ZeroCells};
pub use missing::Missing;
pub use mlp::Mlp;
pub use report::Report;
use report::evaluated;
pub(crate) use report::of_train;
pub(super) use report::{
    evaluates_train, has_bins, of_further_samples, out_of_time, penalised, report,
    report_of_scores, without_errors,
};
pub use screen::{Inflation, Screen};
pub use stepwise::{Criterion, Direction, Stepwise};
pub use trees::Trees;
pub(super) use trees::{fit_in_memory, read as trees};

/// Most features that are named, and most levels of one of them.
const MAX_FEATURES: usize = 256;
const MAX_LEVELS: usize = 256;
/// Most columns of a design, levels counted one by one.
pub const MAX_TERMS: usize = 512;

const MODEL: &str =
    "\"linear\", \"logistic\", \"poisson\", \"gamma\", \"scorecard\", \"gbdt\" or \"mlp\"";
const PARTITION: &str = "\"horizontal\": the same columns of different people; \"vertical\": different columns of the same people";
const LABEL: &str = "the name of a column of the rows";
const FEATURES: &str = "a list of names of columns of the rows";
const LEVELS: &str = "a list of at least two different texts, of which the first is what the others are compared with";

/// After how many steps checkpoints are kept, unless the job says otherwise.
const CHECKPOINT_EVERY: u64 = 2;

/// A model and the rows that it is fitted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Train {
    /// Which model.
    pub model: Model,
    /// The rows, as one SELECT over the holders' tables.
    pub rows: String,
    /// Line of the job file on which it begins. Only for error messages, so not part of any digest.
    #[serde(skip)]
    pub line: usize,
    /// What is explained.
    pub label: String,
    /// What explains it, in the order of the result.
    pub features: Vec<Feature>,
    /// What is added to the linear predictor.
    pub offset: Option<Offset>,
    /// Rows that are fitted, and rows that are kept for a test.
    pub sample: Option<Sample>,
    /// Whether there is a constant term.
    pub intercept: bool,
    /// Whether coefficients are those of columns with mean 0 and standard deviation 1.
    pub standardise: bool,
    /// λ of the penalty λ/2·Σβ², a decimal number; the intercept is free.
    pub l2: String,
    /// Most steps.
    pub max_iterations: u64,
    /// When the fit ends, a decimal number.
    pub tolerance: String,
    /// Whether what rows add up to at each step is opened, instead of being solved on shares.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub opens_steps: bool,
    /// After how many steps, trees or rounds each party keeps what it needs to go on, should the run break off; 0 for never.
    pub checkpoint_every: u64,
    /// How features are binned and points are scaled, of a scorecard.
    pub scorecard: Option<Scorecard>,
    /// Of boosted trees how many, and how they grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<Trees>,
    /// Which columns are in the model, if they are chosen one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepwise: Option<Stepwise>,
    /// Of a neural network its layers, and how it is trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp: Option<Mlp>,
    /// What is told of each coefficient beside itself.
    pub report: BTreeSet<Report>,
    /// Whether rows that are fitted are evaluated as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub evaluates_train: bool,
}

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Least squares.
    Linear,
    /// Labels 0 and 1, logit link.
    Logistic,
    /// Counts, log link.
    Poisson,
    /// Positive labels, log link.
    Gamma,
    /// Logistic, of features in bins that are replaced by their weights of evidence.
    Scorecard,
    /// Gradient-boosted trees for labels 0 and 1.
    Gbdt,
    /// A neural network for labels 0 and 1.
    Mlp,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The column of the rows.
    pub name: String,
    /// Its levels where it is no number; the first is the reference.
    pub levels: Vec<String>,
    /// Of a number that a scorecard or trees cut, where the job cuts it: decimal numbers, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<String>,
    /// Of a number of a scorecard, values that have a bin each: decimal numbers, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<String>,
    /// What stands where its value is missing; else the row is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Whether a column of its own says where its value is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub indicator: bool,
}

/// What is added to the linear predictor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offset {
    /// The column as it stands.
    Plain(String),
    /// The logarithm of the column.
    Exposure(String),
}

/// The column that says which rows are fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The column of the rows.
    pub column: String,
    /// Its value in rows that are fitted.
    pub train: String,
    /// Its value in rows that are evaluated.
    pub test: Option<String>,
    /// Its values in rows out of time, a further sample that is evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oot: Vec<String>,
}

const MODELS: &[(&str, Model)] = &[
    ("linear", Model::Linear),
    ("logistic", Model::Logistic),
    ("poisson", Model::Poisson),
    ("gamma", Model::Gamma),
    ("scorecard", Model::Scorecard),
    ("gbdt", Model::Gbdt),
    ("mlp", Model::Mlp),
];

impl Model {
    /// Its word in a job file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut named = MODELS.iter();
        let found = named.find(|(_, model)| *model == self);
        found.expect("every model has a word").0
    }

    /// Whether it is told by figures of its scores, and has no coefficients.
    #[must_use]
    pub fn is_scored_alone(self) -> bool {
        matches!(self, Self::Gbdt | Self::Mlp)
    }

    /// Its distribution.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Linear => Family::Linear,
            Self::Logistic | Self::Scorecard | Self::Gbdt | Self::Mlp => Family::Logistic,
            Self::Poisson => Family::Poisson,
            Self::Gamma => Family::Gamma,
        }
    }
}

impl Offset {
    /// The column of the rows.
    #[must_use]
    pub fn column(&self) -> &str {
        match self {
            Self::Plain(column) | Self::Exposure(column) => column,
        }
    }
}

/// What was read of a table that may be missing: nothing if it was read with faults.
fn sound<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// Reads the table `[compute.train]`.
pub(super) fn read<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Train> {
    let model = model(&mut fields, faults);
    partition(&mut fields, faults);
    let label = column(&mut fields, "label", LABEL, faults);
    let label = fields.required(faults, "label", label, LABEL);
    let mut features = features(&mut fields, faults);
    let newton = match model.is_some_and(Model::is_scored_alone) {
        true => Newton::not_taken(),
        false => newton(&mut fields, model, faults),
    };
    let checkpoint_every = checkpoint_every(&mut fields, faults);
    let trees = (model == Some(Model::Gbdt)).then(|| trees::read(&mut fields, faults));
    let mlp = (model == Some(Model::Mlp)).then(|| mlp::read(&mut fields, faults));
    let sample = fields.table(faults, "sample");
    let sample = sample.map(|s| read_sample(s, faults));
    let scorecard = card::scorecard(&mut fields, (model, &mut features), faults);
    card::cuts_of_trees(&mut fields, (trees.as_ref(), &mut features), faults);
    let is_plain = newton.intercept && newton.l2.as_deref() == Some("0");
    let of_columns = (is_plain, features.as_deref());
    let stepwise = stepwise::read(&mut fields, model, of_columns, faults);
    missing::read(&mut fields, model, features.as_deref_mut(), faults);
    let screened = scorecard
        .as_ref()
        .and_then(|card| card.as_ref()?.screen.as_ref());
    screen::missing_faults(&fields, (screened, features.as_deref()), faults);
    let opens_steps = newton.opens_steps || matches!(stepwise, Some(Some(_)));
    screen::inflation_faults(&fields, screened, opens_steps, faults);
    let report = report_of(model, &mut fields, faults);
    evaluated(&fields, (model, sample.as_ref()), &report, faults);
    let report = match newton.l2.as_deref() {
        Some("0") => report,
        _ => penalised(&fields, report, faults),
    };
    let evaluates_train = evaluates_train(&mut fields, &report, faults);
    let oot = sample.iter().flatten().flat_map(|s| &s.oot);
    of_further_samples(&fields, oot.count(), &report, faults);
    let columns = rows::wanted(
        label.as_deref(),
        &features,
        newton.offset.as_ref(),
        sample.as_ref(),
        &fields,
        faults,
    );
    let rows = rows::rows(&mut fields, text, &columns, faults);
    fields.finish(faults);
    let (rows, line) = rows?;
    Some(Train {
        model: model?,
        rows,
        line,
        label: label?,
        features: features?,
        offset: newton.offset,
        sample: sample.flatten(),
        intercept: newton.intercept,
        standardise: newton.standardise,
        l2: newton.l2?,
        max_iterations: newton.max_iterations,
        tolerance: newton.tolerance?,
        opens_steps: newton.opens_steps,
        checkpoint_every,
        scorecard: scorecard.flatten(),
        trees: sound(trees)?,
        stepwise: stepwise?,
        mlp: sound(mlp)?,
        report,
        evaluates_train,
    })
}

/// What a job asks of its model.
fn report_of(
    model: Option<Model>,
    fields: &mut Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let report = match model {
        Some(Model::Gbdt) => report_of_scores(fields, "trees", faults),
        Some(Model::Mlp) => report_of_scores(fields, "a network", faults),
        _ => return report(fields, faults),
    };
    if report.is_empty() {
        let what = "asks for nothing of this model";
        fields.wrong(faults, "report", what, "\"auc\" or \"ks\"");
    }
    report
}

/// How a regression is fitted.
struct Newton {
    offset: Option<Offset>,
    intercept: bool,
    standardise: bool,
    l2: Option<String>,
    max_iterations: u64,
    tolerance: Option<String>,
    opens_steps: bool,
}

impl Newton {
    /// Trees and networks are not.
    fn not_taken() -> Self {
        Self {
            offset: None,
            intercept: true,
            standardise: false,
            l2: Some("0".to_owned()),
            max_iterations: 0,
            tolerance: Some("0".to_owned()),
            opens_steps: false,
        }
    }
}

fn newton(fields: &mut Fields<'_, '_>, model: Option<Model>, faults: &mut Faults<'_>) -> Newton {
    let offset = offset(fields, model, faults);
    let intercept = fields.boolean(faults, "intercept").unwrap_or(true);
    let standardise = fields.boolean(faults, "standardise").unwrap_or(false);
    if standardise && !intercept {
        let what = "takes means away, which only an intercept can make up for";
        fields.wrong(faults, "standardise", what, "false, or intercept = true");
    }
    if model == Some(Model::Scorecard) && (standardise || !intercept) {
        let what = "does not fit a scorecard, whose columns are weights of evidence";
        let field = if standardise {
            "standardise"
        } else {
            "intercept"
        };
        fields.wrong(faults, field, what, "leave it out");
    }
    let max_iterations = fields.whole(faults, "max_iterations", 1..=200);
    Newton {
        offset,
        intercept,
        standardise,
        l2: number(fields, "l2", "0", 0.0..=1e12, faults),
        max_iterations: max_iterations.unwrap_or(50),
        tolerance: number(fields, "tolerance", "1e-9", 1e-12..=1e-2, faults),
        opens_steps: fields.boolean(faults, "open_steps").unwrap_or(false),
    }
}

/// After how many steps checkpoints are kept.
pub(super) fn checkpoint_every(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> u64 {
    let every = fields.whole(faults, "checkpoint_every", 0..=200);
    every.unwrap_or(CHECKPOINT_EVERY)
}

fn model(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Model> {
    let text = fields.string(faults, "model");
    fields.required(faults, "model", text, MODEL)?;
    word(fields, "model", MODELS, MODEL, faults)
}

fn partition(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) {
    let text = fields.required_string(faults, "partition", PARTITION);
    match text {
        None | Some("horizontal") => {}
        Some(text) => {
            let hint = did_you_mean(text, ["horizontal", "vertical"]);
            let what = format!("\"{text}\" is not a partition{hint}");
            fields.wrong(faults, "partition", what, PARTITION);
        }
    }
    if fields.value("key").is_some() {
        let what = "joins columns of the same people, which are rows of different people here";
        fields.wrong(faults, "key", what, "leave it out");
    }
}

/// The name of a column.
fn column(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    allowed: &str,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let name = fields.string(faults, field)?;
    if name.is_empty() || name.contains('"') {
        fields.wrong(
            faults,
            field,
            format!("\"{name}\" is not the name of a column"),
            allowed,
        );
        return None;
    }
    Some(name.to_owned())
}

/// The features, with the levels of those that are no numbers.
fn features(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<Feature>> {
    let names = fields.strings(faults, "features");
    let names = fields.required(faults, "features", names, FEATURES)?;
    let wrong = if names.is_empty() {
        Some("is empty".to_owned())
    } else if names.len() > MAX_FEATURES {
        Some(format!(
            "names {} columns, of at most {MAX_FEATURES}",
            names.len()
        ))
    } else {
        let odd = names.iter().find(|n| n.is_empty() || n.contains('"'));
        odd.map(|n| format!("\"{n}\" is not the name of a column"))
    };
    if let Some(what) = wrong {
        fields.wrong(faults, "features", what, FEATURES);
        return None;
    }
    let mut features: Vec<Feature> = names
        .iter()
        .map(|name| Feature {
            name: (*name).to_owned(),
            levels: Vec::new(),
            cuts: Vec::new(),
            special: Vec::new(),
            missing: None,
            indicator: false,
        })
        .collect();
    if let Some(table) = fields.table(faults, "categorical") {
        for (name, value) in table.entries() {
            let path = table.name(name);
            let feature = features.iter_mut().find(|f| f.name == name);
            match (feature, levels(value.get_ref())) {
                (Some(feature), Some(levels)) => feature.levels = levels,
                (Some(_), None) => {
                    let what = match value.get_ref() {
                        DeValue::Array(_) => "is no list of levels".to_owned(),
                        other => format!("a {} is not allowed here", kind(other)),
                    };
                    faults.add(&value.span(), &path, what, LEVELS);
                }
                (None, _) => {
                    let hint = did_you_mean(name, names.iter().copied());
                    let what = format!("is none of the features{hint}");
                    faults.add(&value.span(), &path, what, FEATURES);
                }
            }
        }
    }
    let n_terms: usize = features.iter().map(|f| f.levels.len().max(2) - 1).sum();
    if n_terms > MAX_TERMS {
        let what = format!("make {n_terms} columns, levels counted one by one");
        fields.wrong(faults, "features", what, "at most 512 columns");
    }
    Some(features)
}

pub(super) fn levels(value: &DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(items) = value else {
        return None;
    };
    let mut levels: Vec<String> = Vec::new();
    for item in items.iter() {
        let level = super::read::group(item.get_ref())?;
        if levels.contains(&level) {
            return None;
        }
        levels.push(level);
    }
    (2..=MAX_LEVELS).contains(&levels.len()).then_some(levels)
}

fn offset(
    fields: &mut Fields<'_, '_>,
    model: Option<Model>,
    faults: &mut Faults<'_>,
) -> Option<Offset> {
    let plain = column(fields, "offset", LABEL, faults).map(Offset::Plain);
    let exposure = column(fields, "exposure", LABEL, faults).map(Offset::Exposure);
    if plain.is_some() && exposure.is_some() {
        let what = "is the logarithm of an offset, and there is an offset already";
        fields.wrong(faults, "exposure", what, "one of both");
    }
    let has_log_link = model.is_none_or(|m| matches!(m, Model::Poisson | Model::Gamma));
    if exposure.is_some() && !has_log_link {
        let what = "belongs to models with a log link";
        fields.wrong(faults, "exposure", what, "poisson or gamma, or offset");
    }
    plain.or(exposure)
}

fn read_sample(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Sample> {
    let name = column(&mut fields, "column", LABEL, faults);
    let name = fields.required(faults, "column", name, LABEL);
    let train = fields.required_string(faults, "train", "its value in rows that are fitted");
    let test = fields.string(faults, "test");
    if train.is_some() && train == test {
        let what = "is the value of rows that are fitted";
        fields.wrong(faults, "test", what, "another value");
    }
    let oot = out_of_time(&mut fields, (train, test), faults);
    fields.finish(faults);
    Some(Sample {
        column: name?,
        train: train?.to_owned(),
        test: test.map(str::to_owned),
        oot: oot?,
    })
}

/// A number as decimal text that reads back the same.
pub(super) fn number(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    default: &str,
    range: std::ops::RangeInclusive<f64>,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let Some(value) = fields.value(field) else {
        return Some(default.to_owned());
    };
    let text = match value.get_ref() {
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        _ => None,
    };
    let number = text.and_then(|t| t.parse::<f64>().ok());
    match number.filter(|n| range.contains(n)) {
        Some(number) => Some(format!("{number}")),
        None => {
            let allowed = format!("a number from {} to {}", range.start(), range.end());
            let what = format!(
                "a {} is not allowed here, or out of range",
                kind(value.get_ref())
            );
            fields.wrong(faults, field, what, &allowed);
            None
        }
    }
}
