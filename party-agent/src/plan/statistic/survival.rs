//! Curves of survival and the log-rank test: which counts they take, and what is opened of what is found on shares.

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Value};
use protocols::aggregate::{CellRule, Check, ReleaseShape};
use protocols::price::{Price, Seats};
use protocols::stats::survival::{self, MAX_ROWS_BITS, SurvivalShape};
use serde::Serialize;

use super::StatisticKind;
use crate::plan::sql::functions::FOLLOW_UP;
use crate::plan::sql::outer::{call, case_when, cast, where_known};
use crate::plan::{Plan, PlanFault, Procedure};

/// Latest end of follow-up.
pub(super) const MAX_FOLLOW_UP: u64 = 1 << 16;
/// Most declared times.
pub(super) const MAX_DECLARED: usize = 100;

/// Curves by arm, or a comparison of arms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SurvivalPlan {
    /// The times at which curves are shown, ascending; none for a comparison.
    pub declared: Vec<u64>,
    /// The end of follow-up: who is observed for longer counts as observed up to here. `None`: the published range of
    /// the times.
    pub follow_up: Option<u64>,
    /// The column over Z_2^64 that counts events; column 0 counts persons.
    pub events: usize,
}

/// Where a plan's counts by arm and time are, and in which form they are released.
pub(crate) struct Survival<'a> {
    plan: &'a Plan,
    of: &'a SurvivalPlan,
    pub(crate) compares: bool,
    /// The slots of the arms' key and their values; one without either where there is no such key.
    pub(crate) arms: Vec<(usize, Option<&'a str>)>,
    /// The times, ascending, and their slots.
    pub(crate) times: Vec<(u64, usize)>,
}

/// Narrow columns of what is released: persons at risk or events; how many times come before a median, or persons; and
/// the count that is compared with the minimum.
pub(crate) const SHOWN: usize = 0;
pub(crate) const FURTHER: usize = 1;
pub(crate) const COMPARED: usize = 2;
/// Of each arm, persons and events come before the declared times.
pub(crate) const TIMES_FROM: usize = 2;

impl Plan {
    /// The survival part of the plan, if it has one.
    pub(crate) fn survival(&self) -> Option<Survival<'_>> {
        let statistic = self.statistic.as_ref()?;
        let of = statistic.survival.as_ref()?;
        let (time, arm) = self.keys.split_last()?;
        let arms = match arm {
            [] => vec![(0, None)],
            [arm, ..] => {
                let slots = arm.domain.iter().enumerate();
                slots
                    .filter_map(|(slot, text)| Some((slot, Some(text.as_deref()?))))
                    .collect()
            }
        };
        let slots = time.domain.iter().enumerate();
        let times = slots.filter_map(|(slot, text)| Some((text.as_ref()?.parse().ok()?, slot)));
        let mut times: Vec<(u64, usize)> = times.collect();
        times.sort_unstable();
        Some(Survival {
            plan: self,
            of,
            compares: statistic.kind == StatisticKind::LogRank,
            arms,
            times,
        })
    }
}

impl Survival<'_> {
    /// The declared times.
    pub(crate) fn declared(&self) -> &[u64] {
        &self.of.declared
    }

    /// The column of events.
    pub(crate) fn events(&self) -> usize {
        self.of.events
    }

    /// The column of what the minimum counts.
    pub(crate) fn compared(&self) -> usize {
        self.plan
            .shape
            .checks
            .first()
            .map_or(0, |check| check.column)
    }

    /// The cell of the totals in which an arm's counts at a time are.
    pub(crate) fn cell(&self, arm: usize, time: usize) -> usize {
        let n_slots = self.plan.keys.last().map_or(1, |key| key.n_slots());
        arm * n_slots + time
    }

    /// Whether an event at this time is beyond the end of follow-up.
    pub(crate) fn is_beyond(&self, time: u64) -> bool {
        self.of.follow_up.is_some_and(|end| time > end)
    }

    /// For each declared time how many of the times are not after it.
    pub(crate) fn through(&self) -> Vec<usize> {
        let through = |t: &u64| self.times.partition_point(|(time, _)| time <= t);
        self.of.declared.iter().map(through).collect()
    }

    /// For each declared time the first of the times that is not before it.
    pub(crate) fn from(&self) -> Vec<usize> {
        let from = |t: &u64| self.times.partition_point(|(time, _)| time < t);
        self.of.declared.iter().map(from).collect()
    }

    pub(crate) fn shape(&self) -> SurvivalShape {
        SurvivalShape {
            arms: self.arms.len(),
            times: self.times.len(),
            rows_bits: self.rows_bits(),
            method: self.plan.setting().method,
        }
    }

    pub(crate) fn rows_bits(&self) -> u32 {
        let rows = self.plan.cost.rows_at_most.max(1);
        u64::BITS - rows.leading_zeros()
    }

    /// Whether counts are shares already, so that they have to be lifted to the wider ring.
    pub(crate) fn is_joined(&self) -> bool {
        matches!(self.plan.procedure, Procedure::Join(_))
    }

    /// Groups of what is released.
    pub(crate) fn n_cells(&self) -> usize {
        match self.compares {
            true => self.arms.len(),
            false => self.arms.len() * (TIMES_FROM + self.of.declared.len()),
        }
    }

    /// Columns over Z_2^128: survival and Greenwood's sum, or expected events and a row of covariances.
    pub(crate) fn n_wide(&self) -> usize {
        match self.compares {
            true => self.arms.len(),
            false => 2,
        }
    }

    /// What is released in the place of the totals.
    pub(crate) fn release(&self, receivers: Vec<protocols::party::Seat>) -> ReleaseShape {
        let least = self.plan.shape.checks.first();
        let check = |least: &crate::plan::CellCheck, column: usize| Check {
            column,
            at_least: least.at_least,
            bound_bits: least.bound_bits.max(self.rows_bits()),
        };
        let columns: &[usize] = match self.compares {
            // Of a comparison the events of an arm are shown too.
            true => &[COMPARED, SHOWN],
            false => &[COMPARED],
        };
        let checks = least.map_or_else(Vec::new, |least| {
            columns.iter().map(|column| check(least, *column)).collect()
        });
        ReleaseShape {
            cells: self.n_cells(),
            narrow: COMPARED + 1,
            compared: 0,
            wide: self.n_wide(),
            mode: match checks.is_empty() {
                true => CellRule::None,
                false => CellRule::Compare,
            },
            checks,
            receivers,
        }
    }

    /// The price of what is found on shares, without the release.
    pub(crate) fn price(&self, seats: Seats) -> Price {
        let (shape, n_declared) = (self.shape(), self.of.declared.len());
        let found = match self.compares {
            true => survival::log_rank_price(seats, shape),
            false => survival::curves_price(seats, shape, n_declared),
        };
        let n_counts = 2 * shape.arms * shape.times;
        match self.is_joined() {
            true => survival::lifted_price(seats, n_counts, (shape.rows_bits, shape.method))
                .then(&found),
            false => found,
        }
    }

    /// What does not fit.
    pub(super) fn fault(&self, place: &str) -> Option<PlanFault> {
        let fault = |what: String, fix: &str| {
            Some(PlanFault {
                place: place.to_owned(),
                what,
                fix: fix.to_owned(),
            })
        };
        if self.compares && self.arms.len() < 2 {
            let what = "LOG_RANK compares two arms or more, and there are fewer".to_owned();
            return fault(what, "name a column with more groups");
        }
        if self.times.is_empty() || self.arms.is_empty() {
            let what = "there are no times or no arms that could be counted".to_owned();
            return fault(what, "declare the groups in [compute.domain]");
        }
        let time = self.plan.keys.last();
        let n_values = time.map_or(0, |key| key.domain.iter().flatten().count());
        if n_values != self.times.len() {
            let what = "a time can be negative, by its published range".to_owned();
            return fault(what, "count times from the start of observation");
        }
        if self.rows_bits() > MAX_ROWS_BITS {
            let what = format!(
                "there could be {} rows, and survival takes fewer than 2^{MAX_ROWS_BITS}",
                self.plan.cost.rows_at_most
            );
            return fault(
                what,
                "say in [compute] how many rows there are at most: max_rows = …",
            );
        }
        None
    }
}

/// The keys and figures of a curve or a comparison: the times by arm, and the events among the rows.
pub(super) fn rests_on(
    (time, event): (&Expr, &Expr),
    arm: Option<&Expr>,
    follow_up: Option<u64>,
) -> (Vec<Expr>, Vec<Expr>) {
    // A row in which the event is not known is not counted.
    let known = where_known(time, event);
    let end = follow_up.map(|end| Expr::value(Value::Number(end.to_string(), false)));
    let time = call(FOLLOW_UP, std::iter::once(known).chain(end).collect());
    let happened = Expr::BinaryOp {
        left: Box::new(cast(event.clone(), DataType::BigInt(None))),
        op: BinaryOperator::Eq,
        right: Box::new(one()),
    };
    let events = call("COUNT", vec![case_when(&happened, one())]);
    let keys = arm.cloned().into_iter().chain([time]).collect();
    (keys, vec![super::rows(), events])
}

fn one() -> Expr {
    Expr::value(Value::Number("1".into(), false))
}

/// A time as written: a whole number.
pub(super) fn whole(expr: &Expr) -> Option<u64> {
    let Expr::Value(value) = expr else {
        return None;
    };
    match &value.value {
        Value::Number(digits, false) => digits.parse().ok().filter(|n| *n <= MAX_FOLLOW_UP),
        _ => None,
    }
}
