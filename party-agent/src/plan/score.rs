//! Plans of scorings: whose rows, whose parts of the model, and what that tells whom.

use std::collections::BTreeMap;
use std::fmt::Write;

use protocols::arith::compare::Method;
use protocols::correlate;
use protocols::cost::Cost;
use protocols::disclose::Terms;
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use protocols::psi;
use protocols::train::score::{self, Shape, forest, reasons};
use serde::Serialize;

use super::compile::{Parties, SOURCES};
use super::intersect::keys::{Side, mismatches, named_column, named_tables};
use super::sql::holders::Catalogues;
use super::words::{CHINESE_SIZES, listed, without_data};
use super::{
    ColumnUse, Learns, LocalPlan, MinCell, OutputColumn, Plan, PlanCost, PlanFault, Procedure,
    Usage, ValueKind, coefficients, cost,
};
use crate::source::quoted;
use crate::spec::{self, CheckedSpec, Reference, rule_word};

/// A scoring, as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScorePlan {
    /// The model's id.
    pub model: String,
    /// The tables: that whose rows are scored first.
    pub tables: Vec<ScoredTable>,
    /// How the spelling of keys is evened out, by its word in a job file.
    pub normalise: String,
    /// Of boosted trees, how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<spec::Forest>,
    /// Which features are told as reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<spec::Reasons>,
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
    /// What the protocol of points takes, for these numbers of keys in the order of tables.
    #[must_use]
    pub fn shape(&self, n_keys: &[usize], method: Method) -> Shape {
        let reasons = self.reasons.as_ref().map(|reasons| reasons::Reasons {
            features: self.tables.iter().map(|t| t.features.len()).collect(),
            n_reasons: usize::try_from(reasons.n).unwrap_or(usize::MAX),
            method,
        });
        Shape {
            tables: self.seats(n_keys),
            reasons,
        }
    }

    /// What the protocol of boosted trees takes, if the model is one of these.
    #[must_use]
    pub fn forest(&self, n_keys: &[usize]) -> Option<forest::Shape> {
        let trees = self.trees.as_ref()?;
        Some(forest::Shape {
            tables: self.seats(n_keys),
            n_trees: usize::try_from(trees.n_trees).unwrap_or(usize::MAX),
            depth: u32::try_from(trees.depth).unwrap_or(u32::MAX),
        })
    }

    fn seats(&self, n_keys: &[usize]) -> Vec<(Seat, usize)> {
        let tables = self.tables.iter().zip(n_keys);
        let tables = tables.map(|(table, n)| (Seat::from_index(table.seat), *n));
        tables.collect()
    }

    /// The terms of the disclosure that the run takes.
    #[must_use]
    pub fn terms(&self, method: Method) -> Terms {
        match self.forest(&self.bounds()) {
            Some(shape) => shape.terms(),
            None => self.shape(&self.bounds(), method).terms(),
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
    pub fn price(&self, seats: Seats, n_keys: &[usize], method: Method) -> Price {
        match self.forest(n_keys) {
            Some(shape) => forest::price(seats, &shape),
            None => score::price(seats, &self.shape(n_keys, method)),
        }
    }

    fn release_cost(&self, seats: Seats, method: Method) -> Cost {
        match self.forest(&self.bounds()) {
            Some(shape) => forest::release_cost(seats, &shape),
            None => score::release_cost(seats, &self.shape(&self.bounds(), method)),
        }
    }

    /// The features that reasons name, in the order of their numbers.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        let of = |table: &ScoredTable| -> Vec<String> {
            let key = table.label.rsplit_once('.');
            let head = key
                .map_or(table.label.as_str(), |(head, _)| head)
                .to_owned();
            let names = table.features.iter();
            names.map(|name| format!("{head}.{name}")).collect()
        };
        self.tables.iter().flat_map(of).collect()
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
        notes: notes(&of),
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
    let points = || {
        vec![
            format!(
                "each holder adds up the points of its own features by its own part of model {}",
                job.model
            ),
            format!(
                "the rows of {} meet those of the others with equal {} in shares (circuit-PSI by VOLE); sums of points are opened to {} alone{}",
                keys[0],
                listed(&keys),
                sides[0].holder,
                match job.reasons {
                    Some(_) =>
                        ", and so are the features that cost a row most, which are found on shares",
                    None => "",
                }
            ),
        ]
    };
    let words = match job.trees {
        Some(_) => words_of_trees(job, &sides[0].holder, &keys),
        None => points(),
    };
    ScorePlan {
        model: job.model.clone(),
        tables,
        normalise: rule_word(job.normalise).to_owned(),
        trees: job.trees,
        reasons: job.reasons,
        words,
    }
}

/// What a scoring by trees runs.
fn words_of_trees(job: &spec::Score, holder: &PartyId, keys: &[&str]) -> Vec<String> {
    vec![
        format!(
            "each holder finds, by its own part of model {}, where its rows go at the nodes that are split by a feature of its own",
            job.model
        ),
        format!(
            "the rows of {} meet those of the others with equal {} in shares (circuit-PSI by VOLE); every row is walked through all trees on shares, whose leaves nobody knows; margins are opened to {holder} alone",
            keys[0],
            listed(keys),
        ),
    ]
}

/// What stands beside scores.
fn notes(of: &ScorePlan) -> Vec<String> {
    if of.trees.is_some() {
        return vec![
            "margin = the logarithm of the odds of label 1, by 2^-24; risk = 1/(1 + e^-margin); less is better".to_owned(),
            "what a holder does not have of a row, be it a value or its key, goes to the left at each of its nodes".to_owned(),
        ];
    }
    let mut notes = vec![
        "score = base points + the points of each feature's bin, to 2^-20; more is better"
            .to_owned(),
        "a row whose key a holder does not have gets no points of that holder's features"
            .to_owned(),
    ];
    if let Some(reasons) = &of.reasons {
        let reference = match reasons.reference {
            Reference::Best => "those of its best bin that had rows",
            Reference::Mean => "the mean of its points over the rows that were fitted",
            Reference::Neutral => "0, which a weight of evidence of 0 gives",
        };
        notes.push(format!(
            "reasons are the features that cost a row most: how far its points lie below {reference}; no reason where a feature costs nothing, or its holder does not have the key; of equal ones the first by the order of tables"
        ));
    }
    notes
}

fn learns(of: &ScorePlan, seats: &[PartyId], dealer: Option<&PartyId>) -> Vec<Learns> {
    let sizes =
        "how many different complete keys the other holders bring, unless there is a dealer";
    let scores = match of.tables.len() {
        _ if of.trees.is_some() => {
            "of each of its own rows the margin that the trees give it, and no single leaf or split of another holder"
        }
        2 => {
            "of each of its own rows the points that the other holder's features give, so also which bins they may be in, and whether that holder has the key"
        }
        _ => {
            "of each of its own rows the sum of the points that the other holders' features give; that this is 0 tells that none of them has the key"
        }
    };
    let reasons = match &of.reasons {
        None => String::new(),
        Some(reasons) => format!(
            "; and which of all holders' features, up to {}, cost the row most, in their order",
            reasons.n
        ),
    };
    let mut learns: Vec<Learns> = seats
        .iter()
        .enumerate()
        .map(|(seat, party)| Learns {
            party: party.to_string(),
            what: match of.tables[0].seat == seat {
                true => format!("{sizes}; {scores}{reasons}"),
                false => sizes.to_owned(),
            },
        })
        .collect();
    learns.extend(without_data(dealer));
    learns
}

impl ScorePlan {
    /// What the party at a seat learns, in Chinese.
    pub(crate) fn learns_in_chinese(&self, seat: usize) -> String {
        let sizes = CHINESE_SIZES;
        let scores = match self.tables.len() {
            _ if self.trees.is_some() => {
                "自己的每一行由各树得到的分值,而不知其他持有方的任何单个叶子或分裂"
            }
            2 => {
                "自己的每一行从另一持有方的特征得到的分数,由此也得知其可能在哪些分箱中、该持有方是否有此键"
            }
            _ => "自己的每一行从其他持有方的特征得到的分数之和;和为 0 说明其中无一方有此键",
        };
        let reasons = self.reasons.as_ref().map_or_else(String::new, |reasons| {
            format!(
                ";以及所有持有方的特征中使该行失分最多的至多 {} 个,按其次序",
                reasons.n
            )
        });
        match self.tables.first().is_some_and(|t| t.seat == seat) {
            true => format!("{sizes};{scores}{reasons}"),
            false => sizes.to_owned(),
        }
    }
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

fn outputs(plan: &ScorePlan) -> Vec<OutputColumn> {
    let (of_trees, reasons) = (plan.trees.is_some(), plan.reasons.as_ref());
    let keys = plan.tables[0].keys.iter().map(|name| OutputColumn {
        name: name.clone(),
        kind: ValueKind::Text,
    });
    let of = |name: &str, kind| OutputColumn {
        name: name.to_owned(),
        kind,
    };
    let scores = match of_trees {
        true => vec![of("margin", ValueKind::Float), of("risk", ValueKind::Float)],
        false => vec![of("score", ValueKind::Float)],
    };
    let n_reasons = reasons.map_or(0, |reasons| reasons.n);
    let reasons = (1..=n_reasons).map(|k| of(&format!("reason_{k}"), ValueKind::Text));
    keys.chain(scores).chain(reasons).collect()
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
    let method = plan.setting().method;
    let price = of.price(seats, &of.bounds(), method);
    let mut total = price.cost.then(&of.release_cost(seats, method));
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
    let rows: u64 = plan.locals.values().map(|l| l.rows_at_most).sum();
    // Columns of the join, as shares, masks and what is on its way.
    let n_columns = of.forest(&of.bounds()).map_or(0, |shape| shape.n_nodes());
    let n_costs = of.reasons.map_or(0, |_| of.features().len());
    let n_columns = (n_columns + n_costs) as u64;
    plan.cost = PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent: Seat::first(n_seats).map(|s| total.bytes_sent(s)).collect(),
        memory_bytes: rows.saturating_mul(512 + 64 * n_columns),
        rows_at_most: rows,
        network_us: cost::network_us(&total),
        work_us: work_us.min(1 << 45),
    };
    plan
}
