//! Plans of scorings: whose rows, whose parts of the model, and what that tells whom.

use std::collections::BTreeMap;
use std::fmt::Write;

use protocols::correlate;
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use protocols::psi;
use protocols::train::score::{self, Shape};
use serde::Serialize;

use super::compile::{Parties, SOURCES};
use super::intersect::keys::{Side, mismatches, named_column, named_tables};
use super::sql::holders::Catalogues;
use super::words::{listed, without_data};
use super::{
    ColumnUse, Learns, LocalPlan, MinCell, OutputColumn, Plan, PlanCost, PlanFault, Procedure,
    Usage, ValueKind, coefficients, cost,
};
use crate::source::quoted;
use crate::spec::{self, CheckedSpec, rule_word};

/// A scoring, as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScorePlan {
    /// The model's id.
    pub model: String,
    /// The tables: that whose rows are scored first.
    pub tables: Vec<ScoredTable>,
    /// How the spelling of keys is evened out, by its word in a job file.
    pub normalise: String,
    /// What runs and what it rests on, in words.
    pub words: Vec<String>,
}

/// One holder's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoredTable {
    /// Its holder's seat.
    pub seat: usize,
    /// As the job names its key: `bank_a.loans.id_no`.
    pub label: String,
    /// The key's columns.
    pub keys: Vec<String>,
    /// Its columns that are features.
    pub features: Vec<String>,
    /// Published bound on its rows.
    pub at_most: u64,
}

impl ScorePlan {
    /// What the protocol takes, for these numbers of keys in the order of tables.
    #[must_use]
    pub fn shape(&self, n_keys: &[usize]) -> Shape {
        let tables = self.tables.iter().zip(n_keys);
        Shape {
            tables: tables
                .map(|(table, n)| (Seat::from_index(table.seat), *n))
                .collect(),
        }
    }

    /// The published sizes, in the order of tables.
    #[must_use]
    pub fn bounds(&self) -> Vec<usize> {
        let bounds = self.tables.iter().map(|t| usize::try_from(t.at_most));
        bounds.map(|n| n.unwrap_or(usize::MAX)).collect()
    }

    /// What a run with so many keys takes and sends but for what it reveals.
    #[must_use]
    pub fn price(&self, seats: Seats, n_keys: &[usize]) -> Price {
        score::price(seats, &self.shape(n_keys))
    }
}

/// Compiles a scoring.
pub(super) fn compile(
    spec: &CheckedSpec,
    job: &spec::Score,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let sides = sides(job, catalogues)?;
    let mut faults = mismatches(&sides.iter().collect::<Vec<_>>());
    let (features, more) = features(job, &sides);
    faults.extend(more);
    faults.extend(source_faults(spec, job));
    let holders = sides.iter().map(|s| s.holder.to_string()).collect();
    let parties = match Parties::of(spec, catalogues, &holders) {
        Ok(parties) => parties,
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let min_cell = MinCell::strictest(spec, catalogues, &parties.holders);
    let of = score_plan(job, &sides, features, &parties.seats);
    let correlations = spec.correlations.clone();
    let plan = Plan::of_job(spec, parties.seats, correlations, min_cell);
    let plan = Plan {
        learns: learns(&of, &plan.seats, plan.dealer.as_ref()),
        notes: vec![
            "score = base points + the points of each feature's bin, to 2^-20; more is better"
                .to_owned(),
            "a row whose key a holder does not have gets no points of that holder's features"
                .to_owned(),
        ],
        locals: locals(&of, &sides),
        outputs: outputs(&of),
        procedure: Procedure::Score(of),
        ..plan
    };
    Ok(priced(plan))
}

/// The tables of the job, each of another holder: that whose rows are scored first, the others by holder.
fn sides<'a>(
    job: &spec::Score,
    catalogues: &'a Catalogues,
) -> Result<Vec<Side<'a>>, Vec<PlanFault>> {
    let named = [&job.rows].into_iter().chain(&job.features);
    let mut sides = named_tables(named, &job.key, "compute.score", catalogues)?;
    sides[1..].sort_by(|a, b| a.holder.cmp(&b.holder));
    Ok(sides)
}

/// The features of each table, as the catalogue spells them, and what is wrong with them.
fn features(job: &spec::Score, sides: &[Side<'_>]) -> (Vec<Vec<String>>, Vec<PlanFault>) {
    let (mut features, mut faults) = (vec![Vec::new(); sides.len()], Vec::new());
    for named in &job.features {
        let name = named.columns.first().map_or("", String::as_str);
        let place = sides.iter().position(|s| s.holder == named.party);
        let Some(place) = place else { continue };
        let side = &sides[place];
        let line = format!("compute.score, line {}", named.line);
        match named_column(side, name, &line) {
            Ok(found) => features[place].push(found.name.clone()),
            Err(fault) => faults.push(fault),
        }
    }
    (features, faults)
}

fn source_faults(spec: &CheckedSpec, job: &spec::Score) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    let mut fault = |place: &str, what: String, fix: &str| {
        faults.push(PlanFault {
            place: place.to_owned(),
            what,
            fix: fix.to_owned(),
        });
    };
    if spec.correlations.is_none() {
        let what =
            "is missing: points are added up on shares, which takes correlated random numbers";
        fault("privacy.correlations", what.to_owned(), SOURCES);
    }
    if spec.receivers != [job.rows.party.clone()] {
        let what = format!("scores of {}'s rows go to it alone", job.rows.party);
        fault("receivers", what, "name the party whose rows are scored");
    }
    faults
}

fn score_plan(
    job: &spec::Score,
    sides: &[Side<'_>],
    features: Vec<Vec<String>>,
    seats: &[PartyId],
) -> ScorePlan {
    let seat_of = |holder: &PartyId| seats.iter().position(|s| s == holder).unwrap_or(0);
    let tables = sides
        .iter()
        .zip(features)
        .map(|(side, features)| ScoredTable {
            seat: seat_of(&side.holder),
            label: side.label(),
            keys: side.columns.iter().map(|c| c.name.clone()).collect(),
            features,
            at_most: side.rows_at_most.max(1),
        });
    let tables: Vec<ScoredTable> = tables.collect();
    let keys: Vec<&str> = tables.iter().map(|t| t.label.as_str()).collect();
    let words = vec![
        format!(
            "each holder adds up the points of its own features by its own part of model {}",
            job.model
        ),
        format!(
            "the rows of {} meet those of the others with equal {} in shares (circuit-PSI by VOLE); sums of points are opened to {} alone",
            keys[0],
            listed(&keys),
            sides[0].holder
        ),
    ];
    ScorePlan {
        model: job.model.clone(),
        tables,
        normalise: rule_word(job.normalise).to_owned(),
        words,
    }
}

fn learns(of: &ScorePlan, seats: &[PartyId], dealer: Option<&PartyId>) -> Vec<Learns> {
    let sizes =
        "how many different complete keys the other holders bring, unless there is a dealer";
    let scores = match of.tables.len() {
        2 => {
            "of each of its own rows the points that the other holder's features give, so also which bins they may be in, and whether that holder has the key"
        }
        _ => {
            "of each of its own rows the sum of the points that the other holders' features give; that this is 0 tells that none of them has the key"
        }
    };
    let mut learns: Vec<Learns> = seats
        .iter()
        .enumerate()
        .map(|(seat, party)| Learns {
            party: party.to_string(),
            what: match of.tables[0].seat == seat {
                true => format!("{sizes}; {scores}"),
                false => sizes.to_owned(),
            },
        })
        .collect();
    learns.extend(without_data(dealer));
    learns
}

/// What each holder runs: keys, and its features as texts; where rows are scored the key's columns once more, as they are shown.
fn locals(of: &ScorePlan, sides: &[Side<'_>]) -> BTreeMap<PartyId, LocalPlan> {
    let locals = of
        .tables
        .iter()
        .zip(sides)
        .enumerate()
        .map(|(place, (table, side))| {
            let mut local = side.local(true);
            let shown = if place == 0 { &table.keys[..] } else { &[] };
            let mut head = String::new();
            for (i, name) in shown.iter().chain(&table.features).enumerate() {
                let name = quoted(name);
                write!(head, ", CAST({name} AS VARCHAR) AS a{i}").expect("a String takes all");
            }
            // What a score tells of a row is what a row-level release would.
            let usages = if place == 0 {
                vec![Usage::Feature]
            } else {
                vec![Usage::Feature, Usage::RowLevel]
            };
            for name in &table.features {
                local.uses.extend(usages.iter().map(|usage| ColumnUse {
                    table: side.table.clone(),
                    column: name.clone(),
                    usage: *usage,
                }));
            }
            local.uses.sort();
            local.uses.dedup();
            let at = local.sql.find('\n').unwrap_or(local.sql.len());
            local.sql.insert_str(at, &head);
            (side.holder.clone(), local)
        });
    locals.collect()
}

fn outputs(of: &ScorePlan) -> Vec<OutputColumn> {
    let keys = of.tables[0].keys.iter().map(|name| OutputColumn {
        name: name.clone(),
        kind: ValueKind::Text,
    });
    let score = OutputColumn {
        name: "score".to_owned(),
        kind: ValueKind::Float,
    };
    keys.chain([score]).collect()
}

/// Fills in costs, at the published sizes.
fn priced(mut plan: Plan) -> Plan {
    let Procedure::Score(of) = &plan.procedure else {
        return plan;
    };
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let shape = of.shape(&of.bounds());
    let price = score::price(seats, &shape);
    let mut total = price.cost.then(&score::release_cost(seats, &shape));
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
        work_us = work_us.saturating_add(coefficients::correlations_us(&source, &price.needs));
    }
    let rows: u64 = plan.locals.values().map(|l| l.rows_at_most).sum();
    plan.cost = PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent: Seat::first(n_seats).map(|s| total.bytes_sent(s)).collect(),
        memory_bytes: rows.saturating_mul(512),
        rows_at_most: rows,
        network_us: cost::network_us(&total),
        work_us: work_us.min(1 << 45),
    };
    plan
}
