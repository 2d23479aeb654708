//! The statistics by name, and the columns of their results.

use serde::Serialize;

use super::MAX_MATRIX;
use super::survival::MAX_DECLARED;
use crate::plan::{OutputColumn, ValueKind};

/// A statistic over released groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticKind {
    /// CHI_SQUARE(a, b): independence of two columns; with Yates' correction for two by two groups alone.
    ChiSquare {
        /// CHI_SQUARE_YATES.
        yates: bool,
    },
    /// T_TEST(x, g): Welch's, or Student's with a pooled variance.
    TTest {
        /// T_TEST_STUDENT.
        pooled: bool,
    },
    /// ANOVA(x, g), one-way.
    Anova,
    /// HISTOGRAM(x, e0, e1, …).
    Histogram,
    /// CORR_MATRIX(x, y, …) or SPEARMAN_MATRIX(x, y, …), over the rows in which all are known.
    Correlations {
        /// Of mid-ranks.
        ranks: bool,
    },
    /// KAPLAN_MEIER(time, event, t1, t2, …), by an arm or not.
    KaplanMeier,
    /// LOG_RANK(time, event, arm) or LOG_RANK(time, event, arm, end).
    LogRank,
}

impl StatisticKind {
    const NAMES: [(&'static str, Self); 10] = [
        ("CHI_SQUARE", Self::ChiSquare { yates: false }),
        ("CHI_SQUARE_YATES", Self::ChiSquare { yates: true }),
        ("T_TEST", Self::TTest { pooled: false }),
        ("T_TEST_STUDENT", Self::TTest { pooled: true }),
        ("ANOVA", Self::Anova),
        ("HISTOGRAM", Self::Histogram),
        ("CORR_MATRIX", Self::Correlations { ranks: false }),
        ("SPEARMAN_MATRIX", Self::Correlations { ranks: true }),
        ("KAPLAN_MEIER", Self::KaplanMeier),
        ("LOG_RANK", Self::LogRank),
    ];

    /// The statistic with this name in small letters.
    pub(in crate::plan) fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, kind)| *kind)
    }

    /// Its name in SQL.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(_, kind)| *kind == self);
        found.expect("every statistic has a name").0
    }

    /// What to write instead, if it does not take so many arguments.
    pub(super) fn refuses(self, n: usize) -> Option<String> {
        let name = self.as_sql();
        let (takes, form) = match self {
            Self::ChiSquare { .. } => (n == 2, "(a, b) with two columns of categories"),
            Self::TTest { .. } => (n == 2, "(x, g) with a number and a column of two groups"),
            Self::Anova => (
                (2..=MAX_MATRIX).contains(&n),
                "(x, g) with a number and one or more columns of groups",
            ),
            Self::Histogram => (
                n >= 3,
                "(x, 0, 10, 20) with a number and at least two edges",
            ),
            Self::Correlations { .. } => (
                (2..=MAX_MATRIX).contains(&n),
                "(x, y, z) with 2 to 20 columns",
            ),
            Self::KaplanMeier => (
                (3..=MAX_DECLARED + 2).contains(&n),
                "(time, event, 365, 730) with whole numbers of days, 1 or TRUE for an event, and the times to show",
            ),
            Self::LogRank => (
                n == 3 || n == 4,
                "(time, event, arm, 3652) with whole numbers of days, 1 or TRUE for an event, and the end of follow-up",
            ),
        };
        (!takes).then(|| format!("write {name}{form}"))
    }

    /// The columns of its result, from those that it rests on.
    pub(super) fn outputs(self, inputs: &[OutputColumn]) -> Vec<OutputColumn> {
        let group = inputs.first().map_or(ValueKind::Text, |column| column.kind);
        let column = |name: &str| OutputColumn {
            name: name.to_owned(),
            kind: match name {
                "group" | "arm" => group,
                "a" | "b" | "bin" => ValueKind::Text,
                "n" | "time" | "at_risk" | "events" | "median" | "observed" => ValueKind::Int,
                "df_between" | "df_within" => ValueKind::Int,
                // Welch's are no whole number.
                "df" if !matches!(self, Self::TTest { .. }) => ValueKind::Int,
                _ => ValueKind::Float,
            },
        };
        let mut columns: Vec<OutputColumn> = self.columns().split(' ').map(column).collect();
        if self == Self::Anova {
            let more = inputs.iter().enumerate().skip(1);
            let more = more.take(inputs.len().saturating_sub(4));
            let more = more.map(|(i, column)| OutputColumn {
                name: format!("group_{}", i + 1),
                kind: column.kind,
            });
            columns.splice(1..1, more);
        }
        columns
    }

    /// The names of its columns.
    fn columns(self) -> &'static str {
        match self {
            Self::ChiSquare { .. } => "chi_square df p cramers_v n min_expected",
            Self::TTest { .. } => "group n mean sd t df p",
            Self::Anova => "group n mean sd ssb ssw df_between df_within f p eta2",
            Self::Histogram => "bin n",
            Self::Correlations { ranks: false } => "a b n covariance corr vif",
            Self::Correlations { ranks: true } => "a b spearman",
            Self::KaplanMeier => "time at_risk survival se n events median",
            Self::LogRank => "arm n observed expected chi_square df p",
        }
    }
}
