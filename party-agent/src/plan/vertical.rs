//! Plans of models over joins: whose columns, which rows count, and what that tells whom.

mod card;
mod descent;
mod faults;
mod hazards;
mod meter;
mod trees;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use protocols::arith::compare::Method;
use protocols::correlate;
use protocols::cost::Cost;
use protocols::disclose::Terms;
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use protocols::psi::{self, circuit::Keep};
use protocols::resume;
use protocols::train::glm::Family;
use protocols::train::trees::joined;
use protocols::train::vertical::Shape;
use protocols::train::{binned, hazards as cox, vertical};
use serde::Serialize;

use super::compile::Parties;
use super::intersect::keys::{Side, column, mismatches, named_tables};
use super::sql::holders::Catalogues;
use super::train::{asks, is_never, trees_outputs};
use super::{
    ColumnUse, LocalPlan, MinCell, OutputColumn, Plan, PlanCost, PlanFault, Procedure, Usage,
    ValueKind, coefficients, cost,
};
use crate::catalogue::{ColumnEntry, ColumnKind};
use crate::source::quoted;
use crate::spec::{self, CheckedSpec, Report, VerticalModel, rule_word};

use faults::{numeric, source_faults};

pub use card::CardPlan;
pub use trees::TreesPlan;

/// Fewest rows for each coefficient.
const ROWS_A_COLUMN: u64 = 3;

/// A model over a join, as it is fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerticalPlan {
    /// Which model.
    pub model: VerticalModel,
    /// The tables: the hub of the join first.
    pub tables: Vec<VerticalTable>,
    /// The features in the order of the result: a place in `tables`, and a name.
    pub features: Vec<(usize, String)>,
    /// The label, likewise; of hazards the column of events.
    pub label: (usize, String),
    /// In which unit labels that are amounts are about 1, a decimal number.
    pub unit: String,
    /// Times and ties, of hazards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hazards: Option<spec::Hazards>,
    /// Which rows are fitted, and which are evaluated.
    pub sample: Option<spec::VerticalSample>,
    /// How the spelling of keys is evened out, by its word in a job file.
    pub normalise: String,
    /// Whether all people of the first table are rows, and not only those in all tables.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_left: bool,
    /// How many steps are taken.
    pub steps: u32,
    /// After how many steps or epochs each party keeps its share of where the fit stands; 0 for never.
    #[serde(skip_serializing_if = "is_never")]
    pub checkpoint_every: u32,
    /// How many of them, or of the epochs of descent, the run that this one goes on with has taken. No part of the plan, in which
    /// it is 0.
    #[serde(skip)]
    pub n_done: u32,
    /// Epochs and batches, of a model that is fitted by descent and not by these steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descent: Option<spec::Descent>,
    /// No table has more than 2^this rows.
    pub log_rows: u32,
    /// Fewest rows that are fitted, and fewest bad and good ones that are evaluated.
    pub at_least: u64,
    /// Fewest bad and fewest good ones between two scores at which they are counted.
    pub min_cell: u64,
    /// What is told of scores.
    pub scores: Vec<Report>,
    /// What is told of those of rows that are fitted, if these are evaluated as the others are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_train: Option<Vec<Report>>,
    /// λ of the penalty λ/2·Σβ², a decimal number.
    pub l2: String,
    /// Whether all computing parties are told what each holder's columns contribute, because the job's settlement depends on it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_metered: bool,
    /// Bins and points, of a scorecard.
    pub card: Option<CardPlan>,
    /// Of boosted trees how many, how they grow, and their features' bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<TreesPlan>,
    /// What runs and what it rests on, in words.
    pub words: Vec<String>,
}

/// One holder's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerticalTable {
    /// Its holder's seat.
    pub seat: usize,
    /// As the job names its key: `bank_a.loans.id_no`.
    pub label: String,
    /// Columns of its key.
    pub n_keys: usize,
    /// Published bound on its rows.
    pub at_most: u64,
}

impl VerticalPlan {
    /// What the protocol takes, for these numbers of keys in the order of tables.
    #[must_use]
    pub fn shape(&self, n_keys: &[usize], method: Method) -> Shape {
        let tables = self.tables.iter().zip(n_keys);
        Shape {
            tables: tables
                .map(|(table, n)| (Seat::from_index(table.seat), *n))
                .collect(),
            keep: match self.is_left {
                true => Keep::Each,
                false => Keep::All,
            },
            features: self.features.iter().map(|(place, _)| *place).collect(),
            label: self.label.0,
            family: self.family(),
            n_steps: self.steps,
            n_done: self.n_done,
            descent: self.descent.as_ref().map(descent::taken),
            log_rows: self.log_rows,
            evaluates: !self.scores.is_empty(),
            at_least: self.at_least,
            asks: asks(&self.scores),
            of_train: self.of_train.as_deref().map(asks),
            has_oot: self.n_kept() > 1,
            min_cell: self.min_cell,
            l2: vertical::penalty(self.l2.parse().unwrap_or(0.0)),
            is_metered: self.is_metered,
            method,
        }
    }

    /// What a scorecard's protocol takes.
    #[must_use]
    pub fn binned(&self, n_keys: &[usize], method: Method) -> Option<binned::Shape> {
        let card = self.card.as_ref()?;
        Some(binned::Shape {
            tells_spreads: self.scores.contains(&Report::Csi),
            ..card.shape(self.shape(n_keys, method))
        })
    }

    /// The terms of the disclosure that the run takes.
    #[must_use]
    pub fn terms(&self, method: Method, receivers: &[Seat]) -> Terms {
        if let Some(shape) = self.forest(&self.bounds(), method) {
            return shape.terms(receivers);
        }
        if let Some(shape) = self.timed(&self.bounds(), method) {
            return shape.terms(receivers);
        }
        match self.binned(&self.bounds(), method) {
            Some(shape) => shape.terms(receivers),
            None => self.shape(&self.bounds(), method).terms(receivers),
        }
    }

    /// What a run with so many keys takes and sends but for what it reveals.
    #[must_use]
    pub fn price(&self, seats: Seats, n_keys: &[usize], method: Method) -> Price {
        if let Some(shape) = self.forest(n_keys, method) {
            return joined::price(seats, &shape);
        }
        if let Some(shape) = self.timed(n_keys, method) {
            return cox::price(seats, &shape);
        }
        match self.binned(n_keys, method) {
            Some(shape) => binned::price(seats, &shape),
            None => vertical::price(seats, &self.shape(n_keys, method)),
        }
    }

    fn release_cost(&self, seats: Seats, method: Method, receivers: &[Seat]) -> Cost {
        if let Some(shape) = self.forest(&self.bounds(), method) {
            return joined::release_cost(seats, &shape, receivers);
        }
        if let Some(shape) = self.timed(&self.bounds(), method) {
            return cox::release_cost(seats, &shape, receivers);
        }
        match self.binned(&self.bounds(), method) {
            Some(shape) => binned::release_cost(seats, &shape, receivers),
            None => {
                let shape = self.shape(&self.bounds(), method);
                vertical::release_cost(seats, &shape, receivers)
            }
        }
    }

    /// Whether missing values of features have a bin; else rows with one are left out.
    #[must_use]
    pub fn keeps_missing(&self) -> bool {
        self.card.is_some() || self.trees.is_some()
    }

    /// The bins of each feature, of models that have bins.
    fn bins(&self) -> &[spec::Bins] {
        match (&self.card, &self.trees) {
            (Some(card), _) => &card.bins,
            (None, Some(trees)) => &trees.bins,
            (None, None) => &[],
        }
    }

    /// Whether 0 stands for what the table at a place lacks.
    #[must_use]
    pub fn is_filled(&self, place: usize) -> bool {
        self.is_left && place > 0
    }

    /// Whether a seat learns where quantiles of the rows in common are.
    fn cuts_in_common(&self, seat: usize) -> bool {
        let Some(shape) = self.binned(&self.bounds(), Method::Masked) else {
            return false;
        };
        let mut places = shape.quantiled.iter().map(|f| self.features[*f].0);
        places.any(|place| self.tables[place].seat == seat)
    }

    /// How many samples that are not fitted are evaluated: one that is kept for a test, and then rows out of time.
    #[must_use]
    pub fn n_kept(&self) -> usize {
        let has_oot = self.sample.as_ref().is_some_and(|s| !s.oot.is_empty());
        match self.scores.is_empty() {
            true => 0,
            false => 1 + usize::from(has_oot),
        }
    }

    /// The model's distribution.
    #[must_use]
    pub fn family(&self) -> Family {
        match self.model {
            VerticalModel::Logistic | VerticalModel::Scorecard | VerticalModel::Gbdt => {
                Family::Logistic
            }
            VerticalModel::Poisson | VerticalModel::Cox => Family::Poisson,
            VerticalModel::Linear => Family::Linear,
            VerticalModel::Gamma => Family::Gamma,
        }
    }

    /// The published sizes, in the order of tables.
    #[must_use]
    pub fn bounds(&self) -> Vec<usize> {
        let bounds = self.tables.iter().map(|t| usize::try_from(t.at_most));
        bounds.map(|n| n.unwrap_or(usize::MAX)).collect()
    }

    /// In which unit labels are about 1.
    #[must_use]
    pub fn label_unit(&self) -> f64 {
        self.unit.parse().unwrap_or(1.0)
    }

    /// How many coefficients there are.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.features.len() + usize::from(self.hazards.is_none())
    }

    /// The name of a coefficient: the first one is the constant, but of hazards, which have none.
    #[must_use]
    pub fn term(&self, column: usize) -> &str {
        let feature = match self.hazards {
            Some(_) => Some(column),
            None => column.checked_sub(1),
        };
        let feature = feature.and_then(|c| self.features.get(c));
        feature.map_or("intercept", |(_, name)| name)
    }
}

/// Compiles a model over a join.
pub(super) fn compile(
    spec: &CheckedSpec,
    job: &spec::Vertical,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let sides = sides(job, catalogues)?;
    let mut faults = mismatches(&sides.iter().collect::<Vec<_>>());
    let (features, more) = features(job, &sides);
    faults.extend(more);
    faults.extend(source_faults(spec, job, &sides));
    faults.extend(card::faults(job, &sides, &features));
    let holders: BTreeSet<String> = sides.iter().map(|s| s.holder.to_string()).collect();
    let parties = match Parties::of(spec, catalogues, &holders) {
        Ok(parties) => parties,
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    let min_cell = MinCell::strictest(spec, catalogues, &parties.holders);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut of = vertical_plan(job, &sides, features, &parties.seats, &min_cell);
    of.is_metered = meter::is_metered(spec, &of).map_err(|fault| vec![fault])?;
    let seats = parties.seats;
    let plan = Plan::of_job(spec, seats, spec.correlations.clone(), min_cell);
    let plan = Plan {
        learns: words::learns(&of, &plan.seats, &spec.receivers, plan.dealer.as_ref()),
        warnings: words::warnings(&of),
        notes: words::notes(&of),
        locals: locals(&of, &sides),
        outputs: outputs(job),
        procedure: Procedure::Vertical(Box::new(of)),
        ..plan
    };
    Ok(priced(plan))
}

/// The tables of the job, each of another holder. The first is the hub: that of which all people are rows, or the smallest.
fn sides<'a>(
    job: &spec::Vertical,
    catalogues: &'a Catalogues,
) -> Result<Vec<Side<'a>>, Vec<PlanFault>> {
    let named = [&job.label].into_iter().chain(&job.features);
    let named = named.chain(&job.left);
    let mut sides = named_tables(named, &job.key, "compute.train", catalogues)?;
    let is_spoke = |side: &Side<'_>| job.left.as_ref().is_some_and(|l| l.party != side.holder);
    sides.sort_by_key(|s| (is_spoke(s), s.rows_at_most, s.holder.clone()));
    Ok(sides)
}

fn is_number(kind: &ColumnKind) -> bool {
    matches!(
        kind,
        ColumnKind::Int { .. } | ColumnKind::Decimal { .. } | ColumnKind::Float
    )
}

/// The features as places and names, `*` written out, and what is wrong with columns.
fn features(job: &spec::Vertical, sides: &[Side<'_>]) -> (Vec<(usize, String)>, Vec<PlanFault>) {
    let (mut features, mut faults): (Vec<(usize, String)>, _) = (Vec::new(), Vec::new());
    for named in &job.features {
        let name = named.columns.first().map_or("", String::as_str);
        let found = sides.iter().position(|s| s.holder == named.party);
        let Some(place) = found else { continue };
        let side = &sides[place];
        let entry = &side.catalogue.tables[&side.table];
        if name == "*" {
            let is_feature = |c: &&ColumnEntry| {
                let is_key = side.columns.iter().any(|key| key.name == c.name);
                is_number(&c.kind) && !is_key && !is_of_label(job, side, &c.name)
            };
            let all = entry.columns.iter().filter(is_feature);
            features.extend(all.map(|c| (place, c.name.clone())));
            continue;
        }
        let found = match card::levels_of(job, named) {
            Some(_) => card::text(side, name, named.line),
            None => numeric(side, name, named.line),
        };
        match found {
            Ok(name) => features.push((place, name)),
            Err(fault) => faults.push(fault),
        }
    }
    let label = job.label.columns.first().map_or("", String::as_str);
    if let Some(side) = sides.iter().find(|s| s.holder == job.label.party) {
        faults.extend(numeric(side, label, job.label.line).err());
        let time = job.hazards.as_ref().map(|h| h.time.as_str());
        faults.extend(time.and_then(|time| numeric(side, time, job.label.line).err()));
        if let Some(sample) = &job.sample
            && let Err((hint, fix)) = column(&side.catalogue.tables[&side.table], &sample.column)
        {
            faults.push(PlanFault {
                place: "compute.train.sample.column".to_owned(),
                what: format!(
                    "{}.{} has no column {}{hint}",
                    side.holder, side.table, sample.column
                ),
                fix,
            });
        }
    }
    let twice = (1..features.len()).find(|i| features[..*i].contains(&features[*i]));
    let is_label = |(place, name): &(usize, String)| is_of_label(job, &sides[*place], name);
    let wrong = twice
        .map(|i| &features[i])
        .or(features.iter().find(|f| is_label(f)));
    if let Some((_, name)) = wrong {
        faults.push(PlanFault {
            place: "compute.train.features".to_owned(),
            what: format!("{name} has a part in the model already"),
            fix: "name each column once".to_owned(),
        });
    }
    if features.is_empty() || features.len() > 127 {
        faults.push(PlanFault {
            place: "compute.train.features".to_owned(),
            what: format!("there are {} features", features.len()),
            fix: "1 to 127 columns of numbers".to_owned(),
        });
    }
    (features, faults)
}

/// Whether a column is the label, or says which rows are fitted.
fn is_of_label(job: &spec::Vertical, side: &Side<'_>, name: &str) -> bool {
    let is_time = job.hazards.as_ref().is_some_and(|h| h.time == name);
    let is_label = is_time || job.label.columns.iter().any(|c| c == name);
    let is_sample = job.sample.as_ref().is_some_and(|s| s.column == name);
    side.holder == job.label.party && (is_label || is_sample)
}

fn vertical_plan(
    job: &spec::Vertical,
    sides: &[Side<'_>],
    features: Vec<(usize, String)>,
    seats: &[PartyId],
    min_cell: &MinCell,
) -> VerticalPlan {
    let seat_of = |holder: &PartyId| seats.iter().position(|s| s == holder).unwrap_or(0);
    let tables = sides.iter().map(|side| VerticalTable {
        seat: seat_of(&side.holder),
        label: side.label(),
        n_keys: side.columns.len(),
        at_most: side.rows_at_most.max(1),
    });
    let label_at = sides.iter().position(|s| s.holder == job.label.party);
    let label_at = label_at.unwrap_or(0);
    let spelled = |name: &str| {
        let side = &sides[label_at];
        let found = column(&side.catalogue.tables[&side.table], name);
        found.map_or_else(|_| name.to_owned(), |c| c.name.clone())
    };
    let label = spelled(job.label.columns.first().map_or("", String::as_str));
    let sample = job.sample.as_ref().map(|s| spec::VerticalSample {
        column: spelled(&s.column),
        ..s.clone()
    });
    let hazards = job.hazards.as_ref().map(|h| spec::Hazards {
        time: spelled(&h.time),
        ..h.clone()
    });
    let most = sides.iter().map(|s| s.rows_at_most).max().unwrap_or(1);
    let n_columns = features.len() as u64 + 1;
    let scores = job.report.iter().copied();
    let scores: Vec<Report> = scores.filter(|r| r.is_of_scores()).collect();
    let mut of = VerticalPlan {
        model: job.model,
        tables: tables.collect(),
        features,
        label: (label_at, label),
        unit: job.unit.clone(),
        hazards,
        sample,
        normalise: rule_word(job.normalise).to_owned(),
        is_left: job.left.is_some(),
        steps: u32::try_from(job.steps).unwrap_or(u32::MAX),
        checkpoint_every: u32::try_from(job.checkpoint_every).unwrap_or(u32::MAX),
        n_done: 0,
        descent: job.descent.clone(),
        log_rows: most.max(2).next_power_of_two().ilog2(),
        at_least: min_cell.at_least.max(ROWS_A_COLUMN * n_columns),
        min_cell: min_cell.at_least.max(1),
        of_train: job.evaluates_train.then(|| spec::of_train(&scores)),
        scores,
        l2: job.l2.clone(),
        is_metered: false,
        card: None,
        trees: None,
        words: Vec::new(),
    };
    of.card = card::plan(job, sides, &of.features, min_cell);
    of.trees = trees::plan(job, sides, &of.features);
    of.words = words::of_run(&of);
    of
}

/// What each holder runs: key columns, its features as doubles, and at the label's holder label, time and sample. Rows in
/// which one of them is missing are left out, but where features have a bin for missing values, or 0 stands for them.
fn locals(of: &VerticalPlan, sides: &[Side<'_>]) -> BTreeMap<PartyId, LocalPlan> {
    let locals = sides.iter().enumerate().map(|(place, side)| {
        let mut local = side.local(false);
        let cast = |name: &str, kind| format!("CAST({} AS {kind})", quoted(name));
        let double = |name: &str| match of.is_filled(place) {
            true => format!("COALESCE({}, 0)", cast(name, "DOUBLE")),
            false => cast(name, "DOUBLE"),
        };
        let mut columns: Vec<(&str, Usage, String)> = Vec::new();
        for (feature, (_, name)) in of.features.iter().enumerate().filter(|(_, f)| f.0 == place) {
            let value = match of.bins().get(feature) {
                None => double(name),
                bins => card::value(bins, name),
            };
            columns.push((name, Usage::Feature, value));
        }
        if of.label.0 == place {
            columns.push((&of.label.1, Usage::Label, double(&of.label.1)));
            let time = of.hazards.iter().map(|h| h.time.as_str());
            columns.extend(time.map(|t| (t, Usage::Label, cast(t, "DOUBLE"))));
            let sample = of.sample.iter().map(|s| s.column.as_str());
            columns.extend(sample.map(|s| (s, Usage::Filter, cast(s, "VARCHAR"))));
        }
        let (mut head, mut tail) = (String::new(), String::new());
        let mut word = "\nWHERE";
        for (i, (name, usage, value)) in columns.iter().enumerate() {
            write!(head, ", {value} AS a{i}").expect("a String takes all");
            if *usage == Usage::Feature && of.card.as_ref().is_some_and(|card| card.publishes) {
                local.uses.push(ColumnUse {
                    table: side.table.clone(),
                    column: (*name).to_owned(),
                    usage: Usage::Published,
                });
            }
            let is_kept = of.keeps_missing() && *usage == Usage::Feature;
            if !is_kept && !of.is_filled(place) {
                write!(tail, "{word} {} IS NOT NULL", quoted(name)).expect("a String takes all");
                word = " AND";
            }
            local.uses.push(ColumnUse {
                table: side.table.clone(),
                column: (*name).to_owned(),
                usage: *usage,
            });
        }
        local.uses.sort();
        local.uses.dedup();
        let at = local.sql.find('\n').unwrap_or(local.sql.len());
        local.sql.insert_str(at, &head);
        local.sql.push_str(&tail);
        (side.holder.clone(), local)
    });
    locals.collect()
}

fn outputs(job: &spec::Vertical) -> Vec<OutputColumn> {
    if job.trees.is_some() {
        return trees_outputs(&job.report);
    }
    let mut columns = vec![("term", ValueKind::Text), ("coef", ValueKind::Float)];
    for part in &job.report {
        let names: &[&str] = match part {
            Report::Se => &["se"],
            Report::P if job.model == VerticalModel::Linear => &["t", "p"],
            Report::P => &["z", "p"],
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

/// Fills in costs, at the published sizes.
fn priced(mut plan: Plan) -> Plan {
    let Procedure::Vertical(of) = &plan.procedure else {
        return plan;
    };
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let method = plan.setting().method;
    let price = of.price(seats, &of.bounds(), method);
    let receivers = plan.receiver_seats();
    let released = of.release_cost(seats, method, &receivers);
    let mut total = price.cost.then(&released);
    if of.checkpoint_every > 0 {
        total = total.then(&resume::agree_cost(n_seats, n_computing));
    }
    if plan.dealer.is_none() {
        for a in Seat::first(n_computing) {
            for b in Seat::first(n_computing).filter(|b| a < *b) {
                total = total.then(&psi::announce_cost(n_seats, a, b));
            }
        }
    }
    let mut work_us = coefficients::START_US;
    if let Some(source) = plan.source() {
        total = correlate::cost(&source, n_computing, &price.needs).then(&total);
        work_us = work_us.saturating_add(coefficients::correlations_us(
            &source,
            n_computing,
            &price.needs,
        ));
    }
    let shape = of.shape(&of.bounds(), method);
    let n_bins = of.card.as_ref().map_or(0, CardPlan::n_bins) as u64;
    let n_cells = shape.model().n_rows as u64 * (shape.model().n_columns as u64 + n_bins);
    plan.cost = PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent: Seat::first(n_seats).map(|s| total.bytes_sent(s)).collect(),
        // Columns, their transposed copy, the weighted ones, and masks.
        memory_bytes: match of.forest(&of.bounds(), method) {
            Some(shape) => trees::memory_bytes(&shape, &price.needs),
            None => n_cells
                .saturating_mul(8 * 8)
                .saturating_add(descent::memory_bytes(&shape)),
        },
        rows_at_most: plan.locals.values().map(|l| l.rows_at_most).sum(),
        network_us: cost::network_us(&total),
        work_us: work_us.min(1 << 45),
    };
    plan
}
