//! Plans of models: whose rows, which columns of a design, what is opened how often, and what that tells whom.

mod checks;
mod kinds;
mod mlp;
mod rows;
mod scores;
mod screen;
mod shared;
mod stepwise;
mod trees;
mod words;

use std::collections::BTreeMap;

use protocols::arith::compare::Method;
use protocols::correlate::{self, portions::portions_cost};
use protocols::cost::Cost;
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use protocols::sums::{Kind, Probes, SumsShape};
use protocols::train::evaluate;
use serde::Serialize;

use super::compile::{self, Parties, SOURCES};
use super::part::{Part, Whole};
use super::schema::Schemas;
use super::sql::Site;
use super::sql::holders::{Catalogues, RowWise, holders_of};
use super::sql::outer::Outer;
use super::{
    LocalPlan, MinCell, OutputColumn, Plan, PlanCost, PlanFault, Procedure, Usage, ValueKind,
    coefficients, cost, types,
};
use crate::spec::{self, CheckedSpec, Correlations, Missing, Model, Report, Scorecard};

pub use checks::{TrainCheck, TrainCount};
pub use kinds::Kinds;
pub use mlp::{LOSSES, Network};
pub use scores::{SCORE_BITS, Test, asks};
pub(super) use scores::{
    further, further_in_chinese, of_oot, of_oot_in_chinese, of_train, of_train_in_chinese,
};
pub use shared::Portions;
pub(super) use shared::kept_on_disk;
pub use stepwise::Stepping;
pub use trees::PooledTrees;
pub(super) use trees::{outputs as trees_outputs, shape as trees_shape};
pub(super) use words::merged;

/// Fewest residual degrees of freedom of a model that is released.
const LEAST_RESIDUAL: u64 = 10;
/// A model has at most one parameter for so many hundredths of its rows.
const MOST_PARAMETERS_PERCENT: u64 = 33;
/// Evaluations beside those that are steps: halved steps.
const FURTHER_EVALUATIONS: u32 = 32;

/// A model, as it is fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainPlan {
    /// Which model.
    pub model: Model,
    /// The columns `a0, a1, …` of every holder's rows.
    pub columns: Vec<TrainColumn>,
    /// The columns of the design after the intercept, in the order of the result.
    pub terms: Vec<Term>,
    /// Whether there is a constant term, the design's first column.
    pub intercept: bool,
    /// Whether coefficients are those of standardised columns.
    pub standardise: bool,
    /// λ, a decimal number.
    pub l2: String,
    /// Most steps.
    pub max_iterations: u32,
    /// When the fit ends, a decimal number.
    pub tolerance: String,
    /// Whether cross-products, gradient and deviance are opened at each step, instead of the coefficients alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub opens_steps: bool,
    /// After how many steps, trees or rounds each party keeps where the fit stands; 0 for never.
    #[serde(skip_serializing_if = "is_never")]
    pub checkpoint_every: u32,
    /// How features are binned and points are scaled, of a scorecard.
    pub scorecard: Option<Scorecard>,
    /// Of boosted trees how many, and how they grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<PooledTrees>,
    /// Whether the loss is told step by step.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tells_loss: bool,
    /// Which columns are in the model, if they are chosen one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepwise: Option<Stepping>,
    /// Of a neural network its layers, and how it is trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp: Option<Network>,
    /// Fewest rows.
    pub least_rows: u64,
    /// Rows that are not fitted and evaluated.
    pub test: Option<Test>,
    /// What is counted before anything is opened, in the order of the counts; empty without a minimum cell.
    pub checks: Vec<TrainCheck>,
    /// Every count is below 2^`bound_bits`.
    pub bound_bits: u32,
    /// What runs and what it rests on, in words.
    pub words: Vec<String>,
}

/// Whether checkpoints are never kept.
pub(super) fn is_never(every: &u32) -> bool {
    *every == 0
}

/// A column of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainColumn {
    /// Its name in the rows.
    pub name: String,
    /// What it is for.
    pub role: ColumnRole,
    /// What stands where its value is missing; else the row is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Values that have a bin each, decimal numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<String>,
    /// Whether a column of the design says where its value is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub indicator: bool,
}

impl TrainColumn {
    /// Bins of its own values: of special ones, and of missing ones, which is the last.
    #[must_use]
    pub fn n_apart(&self) -> usize {
        self.special.len() + usize::from(self.missing == Some(Missing::Bin))
    }

    /// Its values that have a bin each.
    #[must_use]
    pub fn specials(&self) -> Vec<f64> {
        let numbers = self.special.iter().map(|text| text.parse());
        numbers.filter_map(Result::ok).collect()
    }

    /// Whether what stands for missing values is found in the rows of all holders.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.missing.as_ref().is_some_and(Missing::is_found)
    }
}

/// What a column of the rows is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnRole {
    /// It is explained.
    Label,
    /// It explains, as a number.
    Number,
    /// It explains, as a number whose bins lie between these decimal numbers.
    Cuts(Vec<String>),
    /// It explains, by these levels, of which the first is the reference.
    Levels(Vec<String>),
    /// It is added to the linear predictor.
    Offset,
    /// Its logarithm is added to the linear predictor.
    Exposure,
    /// Rows count where it has this value.
    Sample(String),
}

/// A column of the design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// As the result names it: `age`, or `relation=son`.
    pub name: String,
    /// Which column of the rows.
    pub column: usize,
    /// Which of its levels, where it has levels.
    pub level: Option<usize>,
    /// Whether it says where the column's value is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_indicator: bool,
}

impl TrainPlan {
    /// Columns of the design, the intercept among them.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.terms.len() + usize::from(self.intercept)
    }

    /// The name of a column of the design.
    #[must_use]
    pub fn term(&self, column: usize) -> &str {
        let term = column.checked_sub(usize::from(self.intercept));
        let term = term.and_then(|t| self.terms.get(t));
        term.map_or("intercept", |t| &t.name)
    }

    /// Most evaluations of the model.
    #[must_use]
    pub fn most_evaluations(&self) -> u32 {
        let of_steps = self.stepwise.as_ref().map_or(0, |rule| rule.evaluations);
        self.last_evaluations() + of_steps
    }

    /// Most evaluations of the last fit, which is the only one unless columns are chosen.
    #[must_use]
    pub fn last_evaluations(&self) -> u32 {
        match self.model.is_scored_alone() {
            true => 0,
            false => 2 * self.max_iterations + FURTHER_EVALUATIONS,
        }
    }

    /// Into how many parts numbers are cut, of models that have bins.
    #[must_use]
    pub fn n_parts(&self) -> Option<u64> {
        let of_trees = self.trees.as_ref().map(|t| t.grown.bins);
        self.scorecard
            .as_ref()
            .map(spec::Scorecard::n_parts)
            .or(of_trees)
    }

    /// Columns whose missing values are filled by what is found in all rows.
    fn n_filled(&self) -> usize {
        self.columns.iter().filter(|c| c.is_filled()).count()
    }

    fn n_trees(&self) -> u32 {
        self.trees.as_ref().map_or(0, |t| t.grown.n_trees as u32)
    }

    /// The leaves of a tree.
    fn n_leaves(&self) -> usize {
        self.trees.as_ref().map_or(0, |t| 1 << t.grown.depth)
    }

    /// Most bins of a term of a scorecard.
    #[must_use]
    pub fn bins_of(&self, term: &Term) -> usize {
        let bins = self.scorecard.as_ref().map_or(0, spec::Scorecard::n_parts);
        let column = &self.columns[term.column];
        let ordinary = match &column.role {
            ColumnRole::Levels(levels) => levels.len(),
            ColumnRole::Cuts(cuts) => cuts.len() + 1,
            _ => usize::try_from(bins).unwrap_or(usize::MAX - column.n_apart()),
        };
        ordinary + column.n_apart()
    }

    /// Most bins of all terms.
    fn n_bins(&self) -> usize {
        match self.scorecard {
            Some(_) => self.terms.iter().map(|t| self.bins_of(t)).sum(),
            None => 0,
        }
    }

    /// Whether the bins of a scorecard's term lie between quantiles.
    #[must_use]
    pub fn is_quantiled(&self, term: &Term) -> bool {
        matches!(self.columns[term.column].role, ColumnRole::Number)
    }

    /// Whether a term is a number that is cut, by quantiles or by the job.
    #[must_use]
    pub fn has_cuts(&self, term: &Term) -> bool {
        let role = &self.columns[term.column].role;
        matches!(role, ColumnRole::Number | ColumnRole::Cuts(_))
    }

    /// Order statistics are found bit by bit; then every bin is checked once.
    fn probes(&self) -> Option<Probes> {
        let Some(n_parts) = self.n_parts() else {
            let medians = self.columns.iter();
            let medians = medians
                .filter(|c| c.missing == Some(Missing::Median))
                .count();
            return (medians > 0).then_some(Probes {
                // Two neighbours of every median.
                n_counts: 2 * medians,
                at_most: 64,
            });
        };
        let n_numbers = self.terms.iter().filter(|t| self.is_quantiled(t)).count();
        let n_cuts = usize::try_from(n_parts).unwrap_or(usize::MAX) - 1;
        let checks = if self.checks.is_empty() {
            0
        } else {
            2 * self.n_bins()
        };
        Some(Probes {
            // Two neighbours of every cut.
            n_counts: (2 * n_numbers * n_cuts).max(checks).max(1),
            at_most: 64 + 2,
        })
    }

    /// What a run takes and sends.
    #[must_use]
    pub fn price(&self, receivers: Vec<Seat>, seats: Seats, method: Method) -> Price {
        let sums = self.sums(receivers).price(seats);
        let trees = self.trees.as_ref();
        let trees = trees.map(|trees| trees.price(self.terms.len(), seats, method));
        let samples = self.test.iter().flat_map(|test| test.shapes(method));
        let samples = samples.map(|shape| evaluate::price(seats, &shape));
        let all = trees.into_iter().chain(self.bins_price(seats, method));
        let all = all.chain(samples);
        let steps = self.cost_of_steps(seats, method);
        let sums = sums.then(&Price::of_cost(steps.then(&self.cost_of_resuming(seats))));
        all.fold(sums, |sum, price| sum.then(&price))
    }

    /// What is opened, as the protocol takes it.
    #[must_use]
    pub fn sums(&self, receivers: Vec<Seat>) -> SumsShape {
        let (told, required): (Vec<&TrainCheck>, Vec<&TrainCheck>) =
            self.checks.iter().partition(|check| check.count.is_told());
        let thresholds = |checks: &[&TrainCheck]| checks.iter().map(|c| c.at_least).collect();
        SumsShape {
            required: thresholds(&required),
            told: thresholds(&told),
            bound_bits: self.bound_bits,
            probes: self.probes(),
            kinds: Kinds::ALL
                .iter()
                .map(|kind| Kind {
                    n_sums: kind.n_sums(self),
                    at_most: kind.at_most(self),
                })
                .collect(),
            vectors: self.mlp.as_ref().map(Network::averages),
            receivers,
        }
    }
}

/// Compiles a model.
pub(super) fn compile(
    spec: &CheckedSpec,
    job: &spec::Train,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let site = Site::of_rows(job.line);
    let columns = rows::columns(job);
    let (select, args) = rows::select(job, &columns, catalogues, site)?;
    let holders = holders_of(&select);
    let outer = Outer::of(Vec::new(), args);
    let mut faults = RowWise::check(&select, site);
    if holders.len() < 2 {
        faults.push(PlanFault {
            place: "compute.train.rows".to_owned(),
            what: "the rows are those of fewer than two holders".to_owned(),
            fix: "name tables of at least two holders, joined by UNION ALL".to_owned(),
        });
    }
    compile::none(faults)?;
    let parties = Parties::of(spec, catalogues, &holders)?;
    let schemas = Schemas::of(catalogues);
    let whole = Whole {
        select: &select,
        outer: &outer,
        catalogues,
        schemas: &schemas,
        site,
        max_rows: None,
        key: &[],
    };
    let raw = compile::parts(&whole, &parties.holders, &[])?;
    let convert = rows::conversions(&columns, &raw)?;
    let finals = compile::parts(&whole, &parties.holders, &convert)?;
    let n_rows = compile::rows_at_most(&raw)?;
    let min_cell = MinCell::strictest(spec, catalogues, &parties.holders);
    let mut of = train_plan(job, columns, &min_cell, n_rows);
    of.test = scores::test(job, (&parties.seats[..], &raw[..]), &min_cell)?;
    of.words = words::of_run(&of);
    let chosen = job.stepwise.as_ref();
    of.words
        .extend(chosen.and_then(|s| stepwise::words(&of, s)));
    let correlations = source(spec, &of, &min_cell)?;
    let trees = of.trees.as_ref();
    compile::none(trees.map_or_else(Vec::new, |t| {
        t.faults(&of, correlations.as_ref(), &min_cell)
    }))?;
    compile::none(mlp::faults(&of, holders.len()))?;
    compile::none(shared::faults(&of))?;
    compile::none(screen::faults(&of))?;
    let plan = Plan::of_job(spec, parties.seats.clone(), correlations, min_cell);
    let plan = Plan {
        learns: words::learns(&of, &parties, &spec.receivers, plan.dealer.as_ref()),
        warnings: words::warnings((spec, &of), &parties, catalogues, &plan.min_cell),
        notes: words::notes(&of, job),
        locals: locals(&of, &raw, &finals),
        outputs: outputs(job),
        procedure: Procedure::Train(Box::new(of)),
        ..plan
    };
    Ok(priced(plan, n_rows))
}

fn train_plan(
    job: &spec::Train,
    columns: Vec<TrainColumn>,
    min_cell: &MinCell,
    n_rows: u64,
) -> TrainPlan {
    let has_bins = job.scorecard.is_some() || job.trees.is_some();
    let terms = columns.iter().enumerate().flat_map(|(column, c)| {
        let term = |name: String, level| Term {
            name,
            column,
            level,
            is_indicator: false,
        };
        match &c.role {
            ColumnRole::Number if c.indicator => vec![
                term(c.name.clone(), None),
                Term {
                    is_indicator: true,
                    ..term(format!("{} is missing", c.name), None)
                },
            ],
            ColumnRole::Number | ColumnRole::Cuts(_) => vec![term(c.name.clone(), None)],
            // What has bins makes one column of each feature.
            ColumnRole::Levels(_) if has_bins => vec![term(c.name.clone(), None)],
            ColumnRole::Levels(levels) => {
                let levels = levels.iter().enumerate().skip(1);
                let levels = levels.map(|(i, level)| term(format!("{}={level}", c.name), Some(i)));
                levels.collect()
            }
            _ => Vec::new(),
        }
    });
    let terms: Vec<Term> = terms.collect();
    let mlp = Network::of(job, terms.len());
    let n_columns = (terms.len() + usize::from(job.intercept)) as u64;
    let n_parameters = mlp.as_ref().map_or(n_columns, |m| m.n_weights);
    let least_rows = (n_parameters + LEAST_RESIDUAL)
        .max((n_parameters * 100).div_ceil(MOST_PARAMETERS_PERCENT))
        .max(min_cell.at_least);
    let stepwise = job.stepwise.as_ref();
    TrainPlan {
        model: job.model,
        stepwise: stepwise.map(|s| Stepping::of(s, terms.len())),
        tells_loss: job.report.contains(&Report::Loss),
        checks: checks::checks(job.model, &columns, min_cell.at_least, least_rows),
        columns,
        terms,
        intercept: job.intercept,
        standardise: job.standardise,
        l2: job.l2.clone(),
        max_iterations: u32::try_from(job.max_iterations).unwrap_or(u32::MAX),
        tolerance: job.tolerance.clone(),
        // Score tests of columns outside a model take the sums of all columns.
        opens_steps: job.opens_steps || job.stepwise.is_some(),
        checkpoint_every: u32::try_from(job.checkpoint_every).unwrap_or(u32::MAX),
        scorecard: job.scorecard.clone(),
        trees: PooledTrees::of(job, n_rows),
        mlp,
        least_rows,
        test: None,
        bound_bits: 64 - n_rows.max(least_rows).leading_zeros(),
        words: Vec::new(),
    }
}

/// Counts are compared on shares wherever there is a minimum.
fn source(
    spec: &CheckedSpec,
    of: &TrainPlan,
    min_cell: &MinCell,
) -> Result<Option<Correlations>, Vec<PlanFault>> {
    let is_solved = of.shares_steps();
    if min_cell.at_least <= 1 && of.probes().is_none() && of.test.is_none() && !is_solved {
        return Ok(None);
    }
    match &spec.correlations {
        Some(found) => Ok(Some(found.clone())),
        None => Err(compile::one(PlanFault {
            place: "privacy.correlations".to_owned(),
            what: "is missing: steps of a fit are solved on shares, counts are compared on shares (the minimum behind every coefficient, the cuts of a scorecard, medians, the splits of trees), and scores sorted, which takes correlated random numbers".to_owned(),
            fix: match is_solved {
                true => format!("{SOURCES}; or open_steps = true under [compute.train], if nothing has to be compared"),
                false => SOURCES.to_owned(),
            },
        })),
    }
}

fn locals(of: &TrainPlan, raw: &[Part], finals: &[Part]) -> BTreeMap<PartyId, LocalPlan> {
    let usages: Vec<Usage> = of.columns.iter().map(usage).collect();
    let locals = raw.iter().zip(finals).map(|(raw, part)| {
        let local = LocalPlan {
            sql: part.sql.clone(),
            tables: raw.tables.iter().cloned().collect(),
            uses: raw.uses_as(&usages),
            args: (0..usages.len()).map(|i| types::bases(raw, i)).collect(),
            rows_at_most: raw.rows_at_most,
        };
        (raw.holder.clone(), local)
    });
    locals.collect()
}

fn usage(column: &TrainColumn) -> Usage {
    match column.role {
        ColumnRole::Label => Usage::Label,
        ColumnRole::Number
        | ColumnRole::Cuts(_)
        | ColumnRole::Levels(_)
        | ColumnRole::Offset
        | ColumnRole::Exposure => Usage::Feature,
        ColumnRole::Sample(_) => Usage::Filter,
    }
}

fn outputs(job: &spec::Train) -> Vec<OutputColumn> {
    if job.model.is_scored_alone() {
        return trees_outputs(&job.report);
    }
    let statistic = match job.model {
        Model::Linear => "t",
        Model::Logistic
        | Model::Poisson
        | Model::Gamma
        | Model::Scorecard
        | Model::Gbdt
        | Model::Mlp => "z",
    };
    let mut columns = vec![("term", ValueKind::Text), ("coef", ValueKind::Float)];
    for part in &job.report {
        let names: &[&str] = match part {
            Report::Se => &["se"],
            Report::P => &[statistic, "p"],
            Report::Ci95 => &["ci95_low", "ci95_high"],
            _ => &[],
        };
        columns.extend(names.iter().map(|name| (*name, ValueKind::Float)));
    }
    let columns = columns.into_iter().map(|(name, kind)| OutputColumn {
        name: name.to_owned(),
        kind,
    });
    columns.collect()
}

/// Fills in costs: the most that a fit can take.
fn priced(mut plan: Plan, n_rows: u64) -> Plan {
    let Procedure::Train(of) = &plan.procedure else {
        return plan;
    };
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let price = of.price(plan.receiver_seats(), seats, plan.setting().method);
    let portions = of.portions(seats, plan.setting().method);
    let prepared =
        match &plan.source() {
            Some(source) => correlate::cost(source, n_computing, &price.needs)
                .then(&portions_cost(source, n_computing, &portions)),
            None => Cost::none(n_seats),
        };
    let cost = prepared.then(&price.cost);
    let most_rows = plan.locals.values().map(|l| l.rows_at_most).max();
    let values = most_rows
        .unwrap_or(0)
        .saturating_mul(of.columns.len() as u64);
    let reading_us = values.saturating_mul(coefficients::READ_NS_A_VALUE) / 1000;
    let training_us = of
        .mlp
        .as_ref()
        .map_or(0, |m| m.training_us(most_rows.unwrap_or(0)));
    let source = plan.source();
    let making_us = source.map_or(0, |s| {
        coefficients::correlations_us(&s, n_computing, &price.needs)
    });
    let memory = most_rows
        .unwrap_or(0)
        .saturating_mul(8 * (of.n_columns() as u64 + 2));
    plan.cost = PlanCost {
        rounds: u64::from(cost.rounds),
        bytes_sent: Seat::first(n_seats).map(|s| cost.bytes_sent(s)).collect(),
        memory_bytes: memory.min(1 << 52),
        rows_at_most: n_rows,
        network_us: cost::network_us(&cost),
        work_us: coefficients::START_US
            .saturating_add(reading_us)
            .saturating_add(making_us)
            .saturating_add(training_us)
            .min(1 << 45),
    };
    plan
}
