//! Sums that say too much about who contributes most: which rules hold, and the comparisons that decide.
//!
//! With the total T of a cell and the contributions x₁ ≥ x₂ ≥ … to it, the p% rule releases the cell if 100·T − (100 + p)·x₁ − 100·x₂ ≥ 0
//! (what is left beside the two largest is at least p % of the largest), and the (n, k) rule if k·T − 100·(x₁ + … + xₙ) ≥ 0. A
//! contribution is what one contributor adds in magnitude, and T is the sum of these.
//!
//! The largest of all are among the largest of each holder, who knows these. Which holder has which nobody knows, but no
//! assignment takes off more than the true one does: so the rule holds exactly if it holds for every assignment, and
//! each of these is one number, to which every holder adds a summand of its own. Where a contributor can have rows at several
//! holders, its contribution is at most the sum of the holders' largest ones, and one comparison with that bound is enough.

mod joined;

use std::collections::BTreeMap;

use datafusion::logical_expr::{Expr as EngineExpr, Operator};
use protocols::party::PartyId;
use serde::Serialize;

use super::part::Part;
use super::sql::holders::Catalogues;
use super::sql::outer::Outer;
use super::words::listed;
use super::{CellCheck, Measure, MeasureKind, Plan, PlanFault, RangeOrigin, ReleaseRule, Shape};
use crate::catalogue::{Dominance, TopShare};
use crate::spec::CheckedSpec;

pub(super) use joined::Contributed;

/// Numbers that are compared stay below 2 to this power over all holders.
const MAX_BITS: u32 = 62;
/// Most comparisons in one job.
const MAX_COMPARED: usize = 1 << 20;

/// The rules in force, the strictest of all holders', and the sums that keep to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DominancePlan {
    /// The column that tells contributors apart: `j0` of the holders' queries.
    pub contributor: String,
    /// Whether a contributor can have rows at several holders.
    pub elsewhere: bool,
    /// Whether it is a key of a join, whose rows at all holders are taken together.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// The p% rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_percent: Option<u64>,
    /// The (n, k) rules, one for each n.
    pub top: Vec<TopShare>,
    /// The sums.
    pub sums: Vec<ComparedSum>,
}

/// A sum that is compared with its largest contributions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedSum {
    /// Of which measure.
    pub measure: usize,
    /// The sum of squares (true) or of values.
    pub squares: bool,
    /// The first of its narrow columns, one for each comparison.
    pub column: usize,
    /// Totals are rounded down and contributions up to multiples of 2 to this power.
    pub shift: u32,
    /// By which each holder moves its summand up, so that it is not negative.
    pub offset: u64,
}

/// One number that must not be negative: a multiple of the total less multiples of the largest contributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How often the total is taken.
    pub of_total: u64,
    /// For each holder how often its largest, second largest … contribution is taken off.
    pub of_largest: Vec<Vec<u64>>,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Percent(u64),
    Top(TopShare),
}

/// What is known of the rules before the holders' queries are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    contributor: String,
    elsewhere: bool,
    p_percent: Option<u64>,
    top: BTreeMap<u64, u64>,
    /// The arguments whose sums keep to them.
    args: Vec<usize>,
}

const PLACE: &str = "compute.sql";

fn fault(what: impl Into<String>, fix: &str) -> PlanFault {
    PlanFault {
        place: PLACE.to_owned(),
        what: what.into(),
        fix: fix.to_owned(),
    }
}

/// The rules of all tables whose columns the query adds up, if there are any.
///
/// # Errors
/// Sums that cannot be held against them.
pub(super) fn rules(
    spec: &CheckedSpec,
    catalogues: &Catalogues,
    outer: &Outer,
    parts: &[Part],
) -> Result<Option<Rules>, PlanFault> {
    let mut found: Option<Rules> = None;
    for part in parts {
        let of_holder = |table: &String| {
            let entry = catalogues.get(&part.holder)?.tables.get(table)?;
            Some((table.clone(), entry.dominance.clone()?))
        };
        let of_tables: BTreeMap<String, Dominance> =
            part.tables.iter().filter_map(of_holder).collect();
        for (place, arg) in outer.args.iter().enumerate() {
            let column = outer.keys.len() + place;
            if !(arg.sum || arg.sum_sq) {
                continue;
            }
            for base in part.added_up(column) {
                let Some(rule) = of_tables.get(&base.table) else {
                    continue;
                };
                if !part.has_form(column, is_multiple) {
                    let what = format!(
                        "{} has rules about dominance for {}.{}, which are about sums of a column and not of expressions such as {}",
                        part.holder, part.holder, base.table, arg.label
                    );
                    let fix = "sum single columns, put conditions into WHERE or GROUP BY, and calculate with the sums";
                    return Err(fault(what, fix));
                }
                found = Some(stricter(found, rule, place)?);
            }
        }
    }
    if let Some(rules) = &found {
        possible(spec, outer, &parts.iter().collect::<Vec<_>>(), rules)?;
    }
    Ok(found)
}

pub(super) fn stricter(
    before: Option<Rules>,
    rule: &Dominance,
    arg: usize,
) -> Result<Rules, PlanFault> {
    let mut rules = before.unwrap_or_else(|| Rules {
        contributor: rule.contributor.clone(),
        elsewhere: false,
        p_percent: None,
        top: BTreeMap::new(),
        args: Vec::new(),
    });
    if rules.contributor != rule.contributor {
        let what = format!(
            "the holders tell contributors apart by columns of different names, {} and {}",
            rules.contributor, rule.contributor
        );
        return Err(fault(what, "ask them to name the column alike"));
    }
    rules.elsewhere |= rule.elsewhere;
    rules.p_percent = rules.p_percent.max(rule.p_percent);
    if let Some(top) = rule.top {
        let percent = rules.top.entry(top.n).or_insert(top.percent);
        *percent = top.percent.min(*percent);
    }
    if !rules.args.contains(&arg) {
        rules.args.push(arg);
        rules.args.sort_unstable();
    }
    Ok(rules)
}

/// What a query with such sums cannot be.
pub(super) fn possible(
    spec: &CheckedSpec,
    outer: &Outer,
    parts: &[&Part],
    rules: &Rules,
) -> Result<(), PlanFault> {
    let name = &rules.contributor;
    if spec.dp.is_some() {
        let what = "sums over tables with rules about dominance cannot have noise: the comparisons would look at exact totals";
        return Err(fault(
            what,
            "leave [privacy.dp] out, or ask for counts alone",
        ));
    }
    if spec.correlations.is_none() {
        let what = format!(
            "contributions of each {name} are compared on shares, which takes correlated random numbers"
        );
        return Err(PlanFault {
            place: "privacy.correlations".to_owned(),
            ..fault(what, super::compile::SOURCES)
        });
    }
    for part in parts {
        if let Some(node) = &part.beyond_rows {
            let what = format!(
                "the query of {} does more than choose and transform rows ({node}), so that what each {name} contributes cannot be told",
                part.holder
            );
            let fix = "select rows of single tables with UNION ALL and WHERE";
            return Err(fault(what, fix));
        }
    }
    if outer.keys.iter().any(|key| key.follow_up.is_some()) {
        let what = "survival is not held against rules about dominance";
        return Err(fault(what, "leave columns with such rules out"));
    }
    Ok(())
}

/// Whether an expression is a column or a multiple of one, so that nothing evens contributions out.
pub(super) fn is_multiple(expr: &EngineExpr) -> bool {
    let is_number = |expr: &EngineExpr| match expr {
        EngineExpr::Literal(..) => true,
        EngineExpr::Cast(cast) => matches!(*cast.expr, EngineExpr::Literal(..)),
        _ => false,
    };
    match expr {
        EngineExpr::Column(_) => true,
        EngineExpr::Alias(alias) => is_multiple(&alias.expr),
        EngineExpr::Cast(cast) => is_multiple(&cast.expr),
        EngineExpr::Negative(inner) => is_multiple(inner),
        EngineExpr::BinaryExpr(of) if of.op == Operator::Multiply => {
            is_number(&of.left) && is_multiple(&of.right)
                || is_multiple(&of.left) && is_number(&of.right)
        }
        _ => false,
    }
}

impl Rules {
    /// The column that tells contributors apart.
    pub(super) fn contributor(&self) -> &str {
        &self.contributor
    }

    /// The rules alone.
    fn without_sums(self) -> DominancePlan {
        DominancePlan {
            contributor: self.contributor,
            elsewhere: self.elsewhere,
            joined: false,
            p_percent: self.p_percent,
            top: self
                .top
                .into_iter()
                .map(|(n, percent)| TopShare { n, percent })
                .collect(),
            sums: Vec::new(),
        }
    }

    /// Gives every sum its columns, which are compared and opened to nobody, and the shape the checks on them.
    ///
    /// # Errors
    /// Sums that are too coarse to be compared, and too many comparisons.
    pub(super) fn plan(
        self,
        shape: &mut Shape,
        measures: &[Measure],
        (holders, rows): (&[PartyId], u64),
    ) -> Result<DominancePlan, Vec<PlanFault>> {
        let one = |found: PlanFault| vec![found];
        if shape.hidden.is_some() || shape.rule != ReleaseRule::Compare {
            let what = "rules about dominance are there for public groups";
            return Err(one(fault(
                what,
                "declare the groups under [compute.domain]",
            )));
        }
        let args = self.args.clone();
        let mut plan = self.without_sums();
        let comparisons = plan.comparisons(holders.len());
        for measure in args.iter().map(|arg| &measures[*arg]) {
            for (slot, squares) in [(measure.sum, false), (measure.sum_sq, true)] {
                if slot.is_none() {
                    continue;
                }
                let largest = largest_total(measure, squares, rows);
                let sum = compared(measure, squares, largest, (&comparisons, holders.len()));
                let mut sum = sum.map_err(one)?;
                sum.column = shape.narrow;
                shape.narrow += comparisons.len();
                shape.compared += comparisons.len();
                let check = |(at, comparison): (usize, &Comparison)| CellCheck {
                    column: sum.column + at,
                    at_least: sum.offset * holders.len() as u64,
                    bound_bits: 64 - (2 * sum.offset * holders.len() as u64).leading_zeros(),
                    rule: comparison.in_words(measure, squares),
                    reason: "dominance".to_owned(),
                };
                shape
                    .checks
                    .extend(comparisons.iter().enumerate().map(check));
                plan.sums.push(sum);
            }
        }
        if shape.compared.saturating_mul(shape.cells) > MAX_COMPARED {
            let what = format!(
                "the rules about dominance take {} comparisons for each of {} groups",
                shape.compared, shape.cells
            );
            return Err(one(fault(what, "form fewer groups, or sum fewer columns")));
        }
        Ok(plan)
    }
}

/// No total of a measure is larger, in units of its last digit. `None` beyond 128 bits.
fn largest_total(measure: &Measure, squares: bool, rows: u64) -> Option<u128> {
    let (low, high) = (&measure.range.low, &measure.range.high);
    let rows = u128::from(rows.max(1));
    match measure.kind {
        MeasureKind::Float => {
            let magnitude = |text: &String| text.parse::<f64>().ok().map(f64::abs);
            let largest = magnitude(low)?.max(magnitude(high)?);
            let slot = if squares { measure.sum_sq } else { measure.sum };
            let value = if squares { largest * largest } else { largest };
            let units = value * 2f64.powi(slot?.frac_bits.cast_signed());
            // Rounding of a contributor's sum, and of this one.
            let units = (units * (1.0 + 1e-9)).ceil() + 1.0;
            (units < 2f64.powi(126))
                .then_some(units as u128)?
                .checked_mul(rows)
        }
        _ => {
            let magnitude = |text: &String| text.parse::<i128>().ok().map(i128::unsigned_abs);
            let largest = magnitude(low)?.max(magnitude(high)?);
            let value = if squares {
                largest.checked_mul(largest)?
            } else {
                largest
            };
            value.checked_mul(rows)
        }
    }
}

/// How closely a sum is compared: as exactly as numbers of [`MAX_BITS`] allow.
fn compared(
    measure: &Measure,
    squares: bool,
    largest: Option<u128>,
    (comparisons, n_holders): (&[Comparison], usize),
) -> Result<ComparedSum, PlanFault> {
    let coarse = || {
        let what = format!(
            "nothing bounds the values of {} closely enough to compare what single contributors add",
            measure.label
        );
        fault(
            what,
            "ask the holders to declare the column's range in their policies",
        )
    };
    let weights = comparisons
        .iter()
        .map(Comparison::weights)
        .max()
        .unwrap_or(0);
    let largest = largest.ok_or_else(coarse)?;
    for shift in 0..u128::BITS {
        // Contributions are rounded up.
        let most = ((largest >> shift) + 1).checked_mul(weights.into());
        let all = most.and_then(|most| most.checked_mul(2 * n_holders as u128));
        if all.is_none_or(|all| all >> MAX_BITS != 0) {
            continue;
        }
        let is_bounded = matches!(
            measure.range.origin,
            RangeOrigin::Declared | RangeOrigin::Clamped
        );
        if shift > 0 && !is_bounded {
            break;
        }
        return Ok(ComparedSum {
            measure: measure.arg,
            squares,
            column: 0,
            shift,
            offset: most
                .and_then(|most| u64::try_from(most).ok())
                .ok_or_else(coarse)?,
        });
    }
    Err(coarse())
}

impl Comparison {
    fn weights(&self) -> u64 {
        let largest = self.of_largest.iter().map(|of| of.iter().sum::<u64>());
        self.of_total + largest.max().unwrap_or(0)
    }

    fn in_words(&self, measure: &Measure, squares: bool) -> String {
        let of = if squares { " of squares" } else { "" };
        let label = &measure.label;
        match self.rule {
            Rule::Percent(p) => format!(
                "the sum{of} of {label} less its two largest contributions >= {p} % of the largest"
            ),
            Rule::Top(TopShare { n, percent }) => {
                let largest = if n == 1 {
                    "the largest contribution".to_owned()
                } else {
                    format!("the {n} largest contributions")
                };
                format!("{largest} to the sum{of} of {label} <= {percent} % of it")
            }
        }
    }
}

impl DominancePlan {
    /// Whether it is at least as strict as a holder's own rules.
    #[must_use]
    pub fn covers(&self, rule: &Dominance) -> bool {
        let top = rule.top.is_none_or(|own| {
            let mut kept = self.top.iter();
            kept.any(|top| top.n == own.n && top.percent <= own.percent)
        });
        self.contributor == rule.contributor
            && self.elsewhere >= rule.elsewhere
            && self.p_percent >= rule.p_percent
            && top
    }

    /// The comparisons of every sum, for so many holders.
    #[must_use]
    pub fn comparisons(&self, n_holders: usize) -> Vec<Comparison> {
        let mut all = Vec::new();
        if let Some(p) = self.p_percent {
            let weights = [100 + p, 100];
            all.extend(
                self.assigned(n_holders, &weights)
                    .into_iter()
                    .map(|of_largest| Comparison {
                        of_total: 100,
                        of_largest,
                        rule: Rule::Percent(p),
                    }),
            );
        }
        for top in &self.top {
            let weights = vec![100; usize::try_from(top.n).unwrap_or(usize::MAX)];
            all.extend(
                self.assigned(n_holders, &weights)
                    .into_iter()
                    .map(|of_largest| Comparison {
                        of_total: top.percent,
                        of_largest,
                        rule: Rule::Top(*top),
                    }),
            );
        }
        all
    }

    /// Every way to take the contributions, in order, from holders: the weights on each holder's own in order.
    fn assigned(&self, n_holders: usize, weights: &[u64]) -> Vec<Vec<Vec<u64>>> {
        if self.elsewhere {
            return vec![vec![weights.to_vec(); n_holders]];
        }
        let mut ways = vec![vec![Vec::new(); n_holders]];
        for weight in weights {
            let longer = |way: &Vec<Vec<u64>>| {
                (0..n_holders)
                    .map(|holder| {
                        let mut way = way.clone();
                        way[holder].push(*weight);
                        way
                    })
                    .collect::<Vec<_>>()
            };
            ways = ways.iter().flat_map(longer).collect();
            // Equal weights make equal ways.
            ways.sort();
            ways.dedup();
        }
        ways
    }

    /// What stands beside the result, and what approvers read.
    #[must_use]
    pub fn in_words(&self) -> String {
        let contributor = &self.contributor;
        let elsewhere = match (self.joined, self.elsewhere) {
            (true, _) => "each is a key of the join, whose rows at all holders are taken together",
            (false, true) => {
                "each can have rows at several holders, so the sums of the holders' largest contributions are taken"
            }
            (false, false) => "the holders say that none has rows at another holder",
        };
        let mut rules = Vec::new();
        if let Some(p) = self.p_percent {
            rules.push(format!("p% with p = {p}"));
        }
        rules.extend(
            self.top
                .iter()
                .map(|top| format!("(n, k) = ({}, {})", top.n, top.percent)),
        );
        format!(
            "dominance: groups are suppressed where the sum fails {}, contributors being told apart by {contributor}; {elsewhere}; contributions are compared on shares and opened to nobody",
            listed(&rules)
        )
    }
}

/// Sums that a plan opens over tables with rules about dominance, and does not hold against them.
pub(super) fn unchecked(plan: &Plan, catalogues: &Catalogues) -> Option<PlanFault> {
    if plan.dominance.is_some() {
        return None;
    }
    for (holder, local) in &plan.locals {
        let added = local.uses.iter().filter(|used| used.usage.adds_up());
        for used in added {
            let entry = catalogues
                .get(holder)
                .and_then(|c| c.tables.get(&used.table));
            if entry.is_some_and(|entry| entry.dominance.is_some()) {
                let what = format!(
                    "{holder} has rules about dominance for {holder}.{}, which in this version are there for SUM, AVG and VAR of single columns over a UNION ALL of the holders' rows, or over a join",
                    used.table
                );
                return Some(fault(
                    what,
                    "ask for counts, or for such sums in a job of their own",
                ));
            }
        }
    }
    None
}
