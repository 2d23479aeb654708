//! The table that a receiver builds from released totals, and the columns of the result.

use serde::Serialize;

use super::{Fraction, ValueKind};

/// One column of the table `released`: one row for each released cell, in cell order.
///
/// Names: `k0…` the keys, `o0…` the keys' slot numbers, `g0…` their GROUPING, `n` the rows, and for measure *i* `n<i>` the values that
/// are not NULL, `s<i>` the sum, `avg<i>`, `var_samp<i>`, `var_pop<i>`, `stddev_samp<i>`, `stddev_pop<i>`,
/// `distinct<i>`, `min<i>`, `max<i>`, `cont<i>_1_2`, `disc<i>_1_2` and the like; for two measures `corr_<i>_<j>` and the like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleasedColumn {
    /// Its name in [`super::Plan::final_sql`].
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
    /// What it holds.
    pub value: Released,
}

/// What a column of `released` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Released {
    /// The value of a key; the text [`super::KeyColumn::other_label`] in the slot `other`, so a key with that slot is text.
    Key(usize),
    /// The slot number of a key, a 64-bit integer: the order of groups where the job gives none.
    Ordinal(usize),
    /// GROUPING(key): 1 where the row is a total over the key, 0 where it is one of its groups.
    Grouping(usize),
    /// COUNT(*).
    Rows,
    /// COUNT(a_i).
    Count(usize),
    /// SUM(a_i): NULL where nothing was counted.
    Sum(usize),
    /// AVG(a_i) as a double, correctly rounded from the exact total; NULL where nothing was counted.
    Avg(usize),
    /// VAR_SAMP or VAR_POP as a double; NULL where it is not defined.
    Var {
        /// The measure.
        measure: usize,
        /// Divide by n − 1 (true) or n (false).
        sample: bool,
    },
    /// STDDEV_SAMP or STDDEV_POP as a double; NULL where it is not defined.
    StdDev {
        /// The measure.
        measure: usize,
        /// Divide by n − 1 (true) or n (false).
        sample: bool,
    },
    /// COUNT(DISTINCT a_i).
    Distinct(usize),
    /// MIN or MAX: NULL where nothing was counted.
    Extreme {
        /// The measure.
        measure: usize,
        /// MAX (true) or MIN (false).
        greatest: bool,
    },
    /// PERCENTILE_CONT (a double) or PERCENTILE_DISC; NULL where nothing was counted.
    Quantile {
        /// The measure.
        measure: usize,
        /// At which part of the rows.
        p: Fraction,
        /// PERCENTILE_CONT (true) or PERCENTILE_DISC (false).
        continuous: bool,
    },
    /// SPEARMAN(y, x): the correlation of mid-ranks over the rows in which both are known, as a double; NULL where
    /// it is not defined.
    Spearman {
        /// The measure of the first argument.
        y: usize,
        /// The measure of the second argument.
        x: usize,
    },
    /// A statistic of two columns over the rows in which both are known, as a double; NULL where it is not
    /// defined.
    Pair {
        /// Which.
        stat: PairStat,
        /// The measure of the first argument.
        y: usize,
        /// The measure of the second argument.
        x: usize,
        /// The measure of the products.
        products: usize,
    },
}

/// A statistic of two columns y and x, as SQL defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PairStat {
    /// CORR.
    Corr,
    /// COVAR_SAMP.
    CovarSamp,
    /// COVAR_POP.
    CovarPop,
    /// REGR_SLOPE.
    Slope,
    /// REGR_INTERCEPT.
    Intercept,
    /// REGR_R2.
    R2,
    /// REGR_COUNT.
    Count,
    /// REGR_AVGX.
    AvgX,
    /// REGR_AVGY.
    AvgY,
    /// REGR_SXX.
    Sxx,
    /// REGR_SYY.
    Syy,
    /// REGR_SXY.
    Sxy,
}

impl PairStat {
    const NAMES: [(&'static str, Self); 13] = [
        ("corr", Self::Corr),
        ("covar", Self::CovarSamp),
        ("covar_samp", Self::CovarSamp),
        ("covar_pop", Self::CovarPop),
        ("regr_slope", Self::Slope),
        ("regr_intercept", Self::Intercept),
        ("regr_r2", Self::R2),
        ("regr_count", Self::Count),
        ("regr_avgx", Self::AvgX),
        ("regr_avgy", Self::AvgY),
        ("regr_sxx", Self::Sxx),
        ("regr_syy", Self::Syy),
        ("regr_sxy", Self::Sxy),
    ];

    /// The statistic with this name in small letters.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, stat)| *stat)
    }

    /// The last of its names in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut names = Self::NAMES.iter().rev();
        let found = names.find(|(_, stat)| *stat == self);
        found.expect("every statistic has a name").0
    }
}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
}
