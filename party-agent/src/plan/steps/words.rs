//! What steps do and find, in words for the plan.

use super::{Found, HASH_BITS, Step, Which};
use crate::plan::Measure;
use crate::plan::words::{counted, listed};

impl Step {
    /// In words, for the plan.
    pub(in crate::plan) fn in_words(&self, measures: &[Measure]) -> String {
        let finds: Vec<String> = self.finds().iter().map(|f| f.in_words(measures)).collect();
        let finds = listed(&finds);
        match self {
            Self::Distinct { measure, rows, .. } => format!(
                "the number of different {}: hashes of {HASH_BITS} bits, filled up to {}, are merged in order on shares, and each is compared with the one before",
                measures[*measure].label,
                counted(rows.iter().sum(), "row")
            ),
            Self::Different { measure, of, .. } => format!(
                "the number of different {}: {}, which their holders have in order, are added up value by value on shares by how often each counts, and compared with 1",
                measures[*measure].label,
                counted(of.rows.iter().sum(), "row")
            ),
            Self::Extremes { bits, .. } => format!(
                "{finds}: each holder's own is compared with the others' on shares, {bits} bits"
            ),
            Self::Sorted { bits, rows, .. } => format!(
                "{finds}: the holders' values of {bits} bits, each in order and filled up to {} a group, are merged on shares",
                counted(rows.iter().sum(), "row")
            ),
            Self::Ranked { bits, of, .. } if of.shared => format!(
                "{finds}: {} of {bits} bits, which are computed row by row, are sorted and searched on shares",
                counted(of.rows.iter().sum(), "value")
            ),
            Self::Ranked { bits, of, .. } => format!(
                "{finds}: {} of {bits} bits, which their holders have in order, are searched on shares by how often each counts",
                counted(of.rows.iter().sum(), "value")
            ),
            Self::RankCorrelation { y, x, rows, .. } => format!(
                "the ranks of {} and of {}: the holders' rows, filled up to {} a group, are sorted by each on shares",
                measures[*y].label,
                measures[*x].label,
                counted(rows.iter().sum(), "row")
            ),
            Self::JointRanks {
                items, rows, held, ..
            } => {
                let labels = items.iter().map(|i| measures[i.measure].label.clone());
                format!(
                    "the ranks of {}: {}, which {}, are sorted by each on shares",
                    listed(&labels.collect::<Vec<_>>()),
                    counted(*rows, "row"),
                    match held {
                        true => "count as often as the join says",
                        false => "are computed row by row",
                    }
                )
            }
            Self::Quantiles { n_values, .. } => format!(
                "{finds}: running counts over {} are compared with the rank on shares",
                counted(*n_values, "value")
            ),
        }
    }
}

impl Found {
    /// In words, for the plan.
    pub(in crate::plan) fn in_words(&self, measures: &[Measure]) -> String {
        let label = &measures[self.measure].label;
        match self.what {
            Which::Least => format!("the least {label}"),
            Which::Greatest => format!("the greatest {label}"),
            Which::Discrete(p) => format!("the {label} at quantile {} (type 1)", p.decimal()),
            Which::Linear(p) => format!("quantile {} of {label} (type 7)", p.decimal()),
            Which::Below(p) => format!(
                "the last {label} not above quantile {} (type 7)",
                p.decimal()
            ),
            Which::Above(p) => format!(
                "the first {label} not below quantile {} (type 7)",
                p.decimal()
            ),
        }
    }
}
