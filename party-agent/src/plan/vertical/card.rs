//! Plans of scorecards over joins: how each feature is cut into bins.

use std::fmt::Write;

use protocols::train::{binned, vertical};
use serde::Serialize;

use super::super::intersect::keys::{Side, column, in_words, named_column};
use super::super::{MinCell, PlanFault};
use crate::catalogue::ColumnKind;
use crate::source::quoted;
use crate::spec::{self, Bins, Cutting, KeyOf, Scorecard};

/// A scorecard over a join, as it is fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardPlan {
    /// Bins and points.
    pub points: Scorecard,
    /// Where a number is cut.
    pub method: Cutting,
    /// The bins of each feature.
    pub bins: Vec<Bins>,
    /// Of each feature the values that have a bin each, decimal numbers; empty where no feature has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<Vec<String>>,
    /// Whether the models of each holder's features alone are evaluated as well.
    pub alone: bool,
    /// Whether receivers are told where all bins begin and end, and so have the scorecard as a whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub publishes: bool,
    /// Fewest bad and fewest good rows of a bin; at 1 any number is told.
    pub min_count: u64,
}

impl CardPlan {
    /// What the protocol takes.
    #[must_use]
    pub(super) fn shape(&self, of: vertical::Shape) -> binned::Shape {
        let in_common = self.method == Cutting::EqualFrequencyInCommon;
        let bins = self.bins.iter().enumerate();
        let found = bins.filter(|(_, bins)| in_common && matches!(bins, Bins::Found(_)));
        let n_parts = usize::try_from(self.points.n_parts()).unwrap_or(usize::MAX);
        binned::Shape {
            of,
            quantiled: found.map(|(feature, _)| feature).collect(),
            n_parts,
            bins: (0..self.bins.len()).map(|f| self.n_bins_of(f)).collect(),
            min_count: self.min_count,
            compares: self.alone,
            tells_edges: self.publishes,
            tells_spreads: false,
        }
    }

    /// Bins of all features.
    #[must_use]
    pub fn n_bins(&self) -> usize {
        (0..self.bins.len()).map(|f| self.n_bins_of(f)).sum()
    }

    /// Bins of a feature: of its values, then of special ones, and the last one of missing ones.
    #[must_use]
    pub fn n_bins_of(&self, feature: usize) -> usize {
        let special = self.special.get(feature).map_or(0, Vec::len);
        self.bins[feature].n_bins() + special
    }

    /// The values of a feature that have a bin each.
    #[must_use]
    pub fn specials(&self, feature: usize) -> Vec<f64> {
        let special = self.special.get(feature).into_iter().flatten();
        special.filter_map(|text| text.parse().ok()).collect()
    }
}

/// A feature as a double: its value, or the number of its level, −1 for one that is not listed.
pub(super) fn value(bins: Option<&Bins>, name: &str) -> String {
    let name = quoted(name);
    let Some(Bins::Levels(levels)) = bins else {
        return format!("CAST({name} AS DOUBLE)");
    };
    let mut value = format!("CAST(CASE WHEN {name} IS NULL THEN NULL");
    for (i, level) in levels.iter().enumerate() {
        let level = level.replace('\'', "''");
        write!(value, " WHEN CAST({name} AS VARCHAR) = '{level}' THEN {i}")
            .expect("a String takes all");
    }
    value.push_str(" ELSE -1 END AS DOUBLE)");
    value
}

fn listed<'a>(job: &'a spec::Vertical, feature: &KeyOf) -> Option<&'a Bins> {
    let mut listed = job.listed.iter();
    let is = |l: &&spec::Listed| {
        let of = &l.feature;
        of.party == feature.party && of.table == feature.table && of.columns == feature.columns
    };
    listed.find(is).map(|l| &l.bins)
}

/// The levels of a feature that is no number.
pub(super) fn levels_of<'a>(job: &'a spec::Vertical, feature: &KeyOf) -> Option<&'a [String]> {
    match listed(job, feature)? {
        Bins::Levels(levels) => Some(levels),
        Bins::Found(_) | Bins::Cuts(_) => None,
    }
}

/// A column that has levels, as the catalogue spells it.
pub(super) fn text(side: &Side<'_>, name: &str, line: usize) -> Result<String, PlanFault> {
    let place = format!("compute.train, line {line}");
    let found = named_column(side, name, &place)?;
    match found.kind {
        ColumnKind::Bool | ColumnKind::Int { .. } | ColumnKind::Text | ColumnKind::Date => {
            Ok(found.name.clone())
        }
        _ => Err(PlanFault {
            place,
            what: format!(
                "{}.{}.{} is {}, and has no levels",
                side.holder,
                side.table,
                found.name,
                in_words(&found.kind)
            ),
            fix: "levels are texts, whole numbers or days".to_owned(),
        }),
    }
}

/// What is wrong with bins.
pub(super) fn faults(
    job: &spec::Vertical,
    sides: &[Side<'_>],
    features: &[(usize, String)],
) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: String, fix: &str| {
        faults.push(PlanFault {
            place: format!("compute.train, line {line}"),
            what,
            fix: fix.to_owned(),
        });
    };
    for (i, listed) in job.listed.iter().enumerate() {
        let of = &listed.feature;
        let name = of.columns.first().map_or("", String::as_str);
        let is_feature = features.iter().any(|(place, feature)| {
            let side = &sides[*place];
            let found = column(&side.catalogue.tables[&side.table], name);
            let is_of_side = side.holder == of.party && side.table == of.table;
            is_of_side && found.is_ok_and(|c| c.name == *feature)
        });
        let full = format!("{}.{}.{name}", of.party, of.table);
        if !is_feature {
            let fix = "name it among features, or leave its bins out";
            fault(of.line, format!("{full} is no feature"), fix);
        }
        if job.listed[..i]
            .iter()
            .any(|l| l.feature.columns == of.columns && l.feature.party == of.party)
        {
            let fix = "list levels or cuts, not both";
            fault(of.line, format!("{full} has bins twice"), fix);
        }
    }
    if let Some(trees) = &job.trees {
        for listed in &job.listed {
            let Bins::Cuts(cuts) = &listed.bins else {
                continue;
            };
            // One more bin than cuts, and one of missing values.
            if cuts.len() as u64 + 2 > trees.bins {
                let what = format!("{} cuts make more than {} bins", cuts.len(), trees.bins);
                fault(listed.feature.line, what, "fewer cuts, or more bins");
            }
        }
    }
    let Some(card) = &job.card else {
        return faults;
    };
    let bins = bins(job, sides, features, card.points.n_parts());
    for (line, what) in special_faults(card, &bins, sides, features) {
        fault(line, what, "special values of numbers among features");
    }
    let n_special: usize = card.special.iter().map(|s| s.values.len()).sum();
    let n_bins: usize = bins.iter().map(Bins::n_bins).sum::<usize>() + n_special;
    if n_bins > binned::MAX_BINS {
        let what = format!("the features have {n_bins} bins");
        fault(job.label.line, what, "at most 4096 of all together");
    }
    if card.alone && !job.report.iter().any(|r| r.is_of_scores()) {
        let what = "alone asks how well each holder's features do, and nothing is evaluated";
        fault(
            job.label.line,
            what.to_owned(),
            "report = [\"auc\", \"ks\"]",
        );
    }
    faults
}

/// Features with special values that are none, or that have levels, and their lines in the job.
fn special_faults(
    card: &spec::Card,
    bins: &[Bins],
    sides: &[Side<'_>],
    features: &[(usize, String)],
) -> Vec<(usize, String)> {
    let fault = |special: &spec::Special| {
        let of = &special.feature;
        let name = of.columns.first().map_or("", String::as_str);
        let full = format!("{}.{}.{name}", of.party, of.table);
        let found = features
            .iter()
            .position(|f| is_named(&sides[f.0], &f.1, of));
        let what = match found.map(|f| &bins[f]) {
            None => format!("{full} is no feature"),
            Some(Bins::Levels(_)) => format!("{full} has levels, which are its bins"),
            Some(_) => return None,
        };
        Some((of.line, what))
    };
    card.special.iter().filter_map(fault).collect()
}

/// Whether a job means this column of a table.
fn is_named(side: &Side<'_>, name: &str, of: &KeyOf) -> bool {
    let spelled = of.columns.first().map_or("", String::as_str);
    let is_of_side = side.holder == of.party && side.table == of.table;
    is_of_side && column(&side.catalogue.tables[&side.table], spelled).is_ok_and(|c| c.name == name)
}

/// Of each feature the values that have a bin each.
fn special(
    card: &spec::Card,
    sides: &[Side<'_>],
    features: &[(usize, String)],
) -> Vec<Vec<String>> {
    if card.special.is_empty() {
        return Vec::new();
    }
    let of = |(place, name): &(usize, String)| {
        let mut special = card.special.iter();
        let found = special.find(|s| is_named(&sides[*place], name, &s.feature));
        found.map_or_else(Vec::new, |s| s.values.clone())
    };
    features.iter().map(of).collect()
}

/// The bins of each feature: where the job lists none, so many of a number.
pub(super) fn bins(
    job: &spec::Vertical,
    sides: &[Side<'_>],
    features: &[(usize, String)],
    n_bins: u64,
) -> Vec<Bins> {
    let of = |(place, name): &(usize, String)| {
        let side = &sides[*place];
        let listed = job.listed.iter().find(|l| {
            let spelled = l.feature.columns.first().map_or("", String::as_str);
            let found = column(&side.catalogue.tables[&side.table], spelled);
            l.feature.party == side.holder && found.is_ok_and(|c| c.name == *name)
        });
        listed.map_or(Bins::Found(n_bins), |l| l.bins.clone())
    };
    features.iter().map(of).collect()
}

/// A scorecard's part of a plan.
pub(super) fn plan(
    job: &spec::Vertical,
    sides: &[Side<'_>],
    features: &[(usize, String)],
    min_cell: &MinCell,
) -> Option<CardPlan> {
    let card = job.card.as_ref()?;
    Some(CardPlan {
        points: card.points.clone(),
        method: card.method,
        bins: bins(job, sides, features, card.points.n_parts()),
        special: special(card, sides, features),
        alone: card.alone,
        publishes: job.publishes,
        min_count: min_cell.at_least.max(1),
    })
}
