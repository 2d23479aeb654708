//! What a job file says of bins and points, and where it cuts numbers itself.

use serde::Serialize;
use toml::de::DeValue;

use super::super::intersect::word;
use super::super::near::did_you_mean;
use super::{Conventions, Feature, Model, Screen, Trees, conventions, number, screen};
use crate::config::fields::{Faults, Fields, kind};

/// Most bins of a number.
const MAX_BINS: u64 = 50;
/// Most cuts of one feature.
const MAX_CUTS: usize = 256;
/// Most special values of one feature.
pub(in crate::spec) const MAX_SPECIAL: usize = 16;
/// χ² of one degree of freedom that is exceeded with a probability of 0.05.
const CHI2_AT_5_PERCENT: &str = "3.841458820694124";

const METHOD: &str = "\"equal_frequency\" or \"chimerge\"";
const METHODS: &[(&str, bool)] = &[("equal_frequency", false), ("chimerge", true)];
const CUTS: &str = "an ascending list of numbers: bins are above one and up to the next";
pub(in crate::spec) const SPECIAL: &str =
    "an ascending list of at most 16 numbers, such as [-999]: each has a bin of its own";

/// How features are binned and points are scaled. Numbers are decimal texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scorecard {
    /// Bins of a number: between quantiles that part the rows evenly, or as many at the most as are left after merging.
    pub bins: u64,
    /// How neighbouring bins are merged, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    /// Features of a smaller information value are left out.
    pub iv_least: String,
    /// What else features are left out by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    /// What stands for a count of 0 in a bin's weight of evidence.
    pub zero_count: String,
    /// How counts become weights, and where bins end.
    #[serde(skip_serializing_if = "Conventions::is_usual")]
    pub conventions: Conventions,
    /// Points that double the odds.
    pub pdo: String,
    /// Points at the base odds.
    pub base_score: String,
    /// Goods to bads there.
    pub base_odds: String,
}

/// ChiMerge: which neighbouring bins become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Merge {
    /// Bins of a number before any are merged.
    pub fine_bins: u64,
    /// Neighbours whose χ² is no greater become one, a decimal number.
    pub chi2_least: String,
}

impl Scorecard {
    /// Into how many parts numbers are cut and counted.
    #[must_use]
    pub fn n_parts(&self) -> u64 {
        self.merge.as_ref().map_or(self.bins, |m| m.fine_bins)
    }

    /// How many bins there may be and what parts them, where neighbours are merged.
    #[must_use]
    pub fn merging(&self) -> Option<(usize, f64)> {
        let merge = self.merge.as_ref()?;
        let most = usize::try_from(self.bins).unwrap_or(usize::MAX);
        Some((most, merge.chi2_least.parse().unwrap_or(f64::NAN)))
    }
}

/// The outer `None` where there is a fault.
pub(super) fn scorecard(
    fields: &mut Fields<'_, '_>,
    (model, features): (Option<Model>, &mut Option<Vec<Feature>>),
    faults: &mut Faults<'_>,
) -> Option<Option<Scorecard>> {
    let table = fields.table(faults, "scorecard");
    if model != Some(Model::Scorecard) {
        if table.is_some() {
            let what = "belongs to model = \"scorecard\"";
            fields.wrong(faults, "scorecard", what, "leave it out");
        }
        if fields.value("screen").is_some() {
            let what = "chooses features of model = \"scorecard\" by their bins";
            fields.wrong(faults, "screen", what, "leave it out");
        }
        return Some(None);
    }
    let empty = toml::de::DeTable::new();
    let mut table = table.unwrap_or_else(|| Fields::new(&empty, "compute.train.scorecard", 0..0));
    let is_merged = match table.value("method").is_some() {
        true => word(&mut table, "method", METHODS, METHOD, faults),
        false => Some(false),
    };
    let merge = merging(&mut table, is_merged.unwrap_or(false), faults);
    let has_least = table.value("iv_least").is_some();
    let mut card = card(&mut table, merge, faults);
    let screen = screen::read(fields, faults)?;
    if let (Some((screen, iv_min)), Some(card)) = (screen, &mut card) {
        if has_least && iv_min.is_some() {
            let what = "has iv_min, and the scorecard iv_least, which is the same";
            fields.wrong(faults, "screen", what, "one of both");
        }
        card.iv_least = iv_min.unwrap_or_else(|| card.iv_least.clone());
        card.screen = Some(screen);
    }
    if let Some(cuts) = table.table(faults, "cuts") {
        let put = |feature: &mut Feature, cuts| feature.cuts = cuts;
        add_cuts(
            &cuts,
            (features.as_deref_mut(), MAX_CUTS),
            (CUTS, put),
            faults,
        );
    }
    if let Some(special) = table.table(faults, "special") {
        let put = |feature: &mut Feature, special| feature.special = special;
        let features = (features.as_deref_mut(), MAX_SPECIAL);
        add_cuts(&special, features, (SPECIAL, put), faults);
    }
    table.finish(faults);
    is_merged?;
    card.map(Some)
}

/// Reads where trees cut numbers; a bin less is cut than there may be.
pub(super) fn cuts_of_trees(
    fields: &mut Fields<'_, '_>,
    (trees, features): (Option<&Option<Trees>>, &mut Option<Vec<Feature>>),
    faults: &mut Faults<'_>,
) {
    // Of other models the field is unknown.
    let Some(trees) = trees else { return };
    if let Some(cuts) = fields.table(faults, "cuts") {
        let most = trees.as_ref().map_or(MAX_CUTS, |t| t.bins as usize - 1);
        let put = |feature: &mut Feature, cuts| feature.cuts = cuts;
        add_cuts(&cuts, (features.as_deref_mut(), most), (CUTS, put), faults);
    }
}

/// Puts listed numbers to their features: cuts, or values that have a bin each.
fn add_cuts(
    table: &Fields<'_, '_>,
    (features, most): (Option<&mut [Feature]>, usize),
    (allowed, put): (&str, fn(&mut Feature, Vec<String>)),
    faults: &mut Faults<'_>,
) {
    // Without features there is a fault already.
    let Some(features) = features else { return };
    for (name, value) in table.entries() {
        let path = table.name(name);
        let Some(read) = cuts(value.get_ref()).filter(|cuts| cuts.len() <= most) else {
            let what = match value.get_ref() {
                DeValue::Array(_) => format!("is no such list, or one of more than {most} numbers"),
                other => format!("a {} is not allowed here", kind(other)),
            };
            faults.add(&value.span(), &path, what, allowed);
            continue;
        };
        let names: Vec<String> = features.iter().map(|f| f.name.clone()).collect();
        match features.iter_mut().find(|f| f.name == name) {
            Some(feature) if feature.levels.is_empty() => put(feature, read),
            Some(_) => faults.add(
                &value.span(),
                &path,
                "has levels, which are its bins",
                "a number",
            ),
            None => {
                let hint = did_you_mean(name, names.iter().map(String::as_str));
                let what = format!("is none of the features{hint}");
                faults.add(&value.span(), &path, what, "a feature");
            }
        }
    }
}

/// An ascending list of numbers, as decimal texts.
pub(in crate::spec) fn cuts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(items) = value else {
        return None;
    };
    let numbers = items.iter().map(|item| match item.get_ref() {
        DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
        DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
        _ => None,
    });
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let ascends = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = (1..=MAX_CUTS).contains(&numbers.len()) && numbers.iter().all(|n| n.is_finite());
    (ascends && fits).then(|| numbers.iter().map(f64::to_string).collect())
}

/// Reads what belongs to ChiMerge, which is a fault without it; the outer `None` where there is one.
pub(in crate::spec) fn merging(
    table: &mut Fields<'_, '_>,
    is_merged: bool,
    faults: &mut Faults<'_>,
) -> Option<Option<Merge>> {
    let fine_bins = table.whole(faults, "fine_bins", 2..=MAX_BINS);
    let is_named = table.value("chi2_least").is_some();
    let chi2_least = number(table, "chi2_least", CHI2_AT_5_PERCENT, 0.0..=1e6, faults);
    if !is_merged {
        let named = fine_bins
            .map(|_| "fine_bins")
            .or(is_named.then_some("chi2_least"));
        if let Some(field) = named {
            let what = "belongs to method = \"chimerge\"";
            table.wrong(faults, field, what, "leave it out");
        }
        return Some(None);
    }
    Some(Some(Merge {
        fine_bins: fine_bins.unwrap_or(20),
        chi2_least: chi2_least?,
    }))
}

/// Reads how many bins there are, and the scale of points.
pub(in crate::spec) fn card(
    table: &mut Fields<'_, '_>,
    merge: Option<Option<Merge>>,
    faults: &mut Faults<'_>,
) -> Option<Scorecard> {
    let bins = table.whole(faults, "bins", 2..=MAX_BINS).unwrap_or(5);
    let conventions = conventions::read(table, faults);
    if let Some(Some(merge)) = &merge
        && merge.fine_bins < bins
    {
        let what = format!(
            "is more than fine_bins, {}, of which bins are made",
            merge.fine_bins
        );
        table.wrong(faults, "bins", what, "fewer, or more fine_bins");
    }
    let mut of = |field, default, range| number(table, field, default, range, faults);
    let iv_least = of("iv_least", "0.02", 0.0..=100.0);
    let zero_count = of("zero_count", "0.5", 1e-6..=1.0);
    let pdo = of("pdo", "20", 1e-3..=1e6);
    let base_score = of("base_score", "600", -1e6..=1e6);
    let base_odds = of("base_odds", "50", 1e-6..=1e6);
    Some(Scorecard {
        bins,
        merge: merge?,
        iv_least: iv_least?,
        screen: None,
        zero_count: zero_count?,
        conventions: conventions?,
        pdo: pdo?,
        base_score: base_score?,
        base_odds: base_odds?,
    })
}
