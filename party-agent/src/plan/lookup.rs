//! Plans of lookups: who asks whom for what, how often, and what that tells whom.

mod words;

use std::collections::BTreeMap;
use std::fmt::Write;

use protocols::correlate;
use protocols::cost::Cost;
use protocols::disclose::Terms;
use protocols::lookup::combined::{self, Combine as Combined, Shape as CombinedShape};
use protocols::lookup::table::TableShape;
use protocols::lookup::{introduce, listed};
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::compile::SOURCES;
use super::intersect::keys::{Side, column, in_words, mismatches, side};
use super::sql::holders::Catalogues;
use super::{
    ColumnUse, LocalPlan, MinCell, OutputColumn, Plan, PlanCost, PlanFault, Procedure, Usage,
    ValueKind, coefficients, cost,
};
use crate::catalogue::{ColumnEntry, ColumnKind};
use crate::source::quoted;
use crate::spec::{self, CheckedSpec, Combine, Correlations, KeyOf, rule_word};

/// A lookup, as it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookupPlan {
    /// The seat that asks, and gets the result.
    pub asker: usize,
    /// The columns of its keys, as its catalogue spells them.
    pub queries: Vec<String>,
    /// The tables that are asked, in the order of seats.
    pub tables: Vec<AskedTable>,
    /// The columns that are asked for, as the job names them; none: whether the key is there.
    pub values: Vec<OutputColumn>,
    /// How spellings are evened out, by its word in a job file.
    pub normalise: String,
    /// What is learnt of several tables.
    pub combine: Combine,
    /// Most questions to each holder.
    pub at_most: u64,
    /// What runs and what it rests on, in words.
    pub words: Vec<String>,
}

/// A table that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedTable {
    /// Its holder's seat.
    pub seat: usize,
    /// `bureau.blacklist`
    pub label: String,
    /// The table's own name.
    pub table: String,
    /// Published bound on its records.
    pub at_most: u64,
}

/// Longest value of a record, all columns of a key's rows together.
pub const MAX_VALUE_BYTES: usize = 4096;

impl LookupPlan {
    /// The run's shape where several tables are combined, for these numbers of records in the order of `tables`.
    #[must_use]
    pub fn combined(&self, n_records: &[usize]) -> Option<CombinedShape> {
        let combine = match self.combine {
            Combine::List => return None,
            Combine::Sum => Combined::Sum,
            Combine::Any => Combined::Any,
        };
        let holders = self.tables.iter().zip(n_records);
        Some(CombinedShape {
            asker: Seat::from_index(self.asker),
            holders: holders
                .map(|(table, n)| (Seat::from_index(table.seat), *n))
                .collect(),
            n_questions: usize::try_from(self.at_most).unwrap_or(usize::MAX),
            combine,
        })
    }

    /// The encrypted tables, as large as they can be, all of them sent.
    fn shipped(&self) -> Vec<(Seat, TableShape, bool)> {
        let tables = self.tables.iter().map(|table| {
            let shape = TableShape {
                n_records: usize::try_from(table.at_most).unwrap_or(usize::MAX),
                value_bytes: MAX_VALUE_BYTES.min(16 + 32 * self.values.len()),
                version: 0,
            };
            (Seat::from_index(table.seat), shape, true)
        });
        tables.collect()
    }

    /// The terms of the disclosure that a run takes; of nothing, where nothing is opened from shares.
    #[must_use]
    pub fn terms(&self, receivers: &[Seat]) -> Terms {
        match (self.combined(&vec![0; self.tables.len()]), receivers) {
            (Some(shape), [asker]) => CombinedShape {
                asker: *asker,
                ..shape
            }
            .terms(),
            _ => Terms::of_values(0, 0, receivers),
        }
    }

    /// What a run with published sizes takes and sends where tables are combined.
    #[must_use]
    pub fn price(&self, seats: Seats) -> Option<Price> {
        let bounds = self
            .tables
            .iter()
            .map(|t| usize::try_from(t.at_most).unwrap_or(usize::MAX));
        let shape = self.combined(&bounds.collect::<Vec<_>>())?;
        Some(combined::price(seats, &shape))
    }
}

/// Compiles a lookup.
pub(super) fn compile(
    spec: &CheckedSpec,
    job: &spec::Lookup,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let asked = Asked::of(job, catalogues)?;
    let mut faults = mismatches(&asked.sides());
    faults.extend(asked.wrong_values(job));
    faults.extend(source(spec, job, &asked));
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut seats: Vec<PartyId> = asked.sides().iter().map(|s| s.holder.clone()).collect();
    seats.sort();
    let of = asked.plan(job, &seats);
    let correlations = match job.combine {
        Combine::List => None,
        Combine::Sum | Combine::Any => spec.correlations.clone(),
    };
    let outputs = outputs(&of);
    let min_cell = MinCell::strictest(spec, catalogues, &seats);
    let plan = Plan::of_job(spec, seats, correlations, min_cell);
    let plan = Plan {
        learns: words::learns(&of, &plan.seats, plan.dealer.as_ref()),
        warnings: words::warnings(&of, spec, &asked.sides()),
        notes: words::notes(&of),
        locals: asked.locals(job),
        outputs,
        procedure: Procedure::Lookup(of),
        ..plan
    };
    Ok(priced(plan))
}

/// The sides of a lookup, found in the catalogues.
struct Asked<'a> {
    asker: Side<'a>,
    /// By holder, in the order of names.
    tables: Vec<(Side<'a>, Vec<&'a ColumnEntry>)>,
}

impl<'a> Asked<'a> {
    fn of(job: &spec::Lookup, catalogues: &'a Catalogues) -> Result<Self, Vec<PlanFault>> {
        let mut faults = Vec::new();
        let place = |field: &str, key: &KeyOf| format!("compute.lookup.{field}, line {}", key.line);
        let asker = side(&job.queries, place("queries", &job.queries), catalogues);
        let asker = asker.map_err(|more| faults.extend(more)).ok();
        let mut tables = Vec::new();
        for key in &job.tables {
            match side(key, place("table", key), catalogues) {
                Ok(side) => match values_of(&side, &job.values) {
                    Ok(values) => tables.push((side, values)),
                    Err(more) => faults.extend(more),
                },
                Err(more) => faults.extend(more),
            }
        }
        tables.sort_by(|(a, _), (b, _)| a.holder.cmp(&b.holder));
        match asker {
            Some(asker) if faults.is_empty() => Ok(Self { asker, tables }),
            _ => Err(faults),
        }
    }

    fn sides(&self) -> Vec<&Side<'a>> {
        let tables = self.tables.iter().map(|(side, _)| side);
        std::iter::once(&self.asker).chain(tables).collect()
    }

    /// Values of which there is no sum.
    fn wrong_values(&self, job: &spec::Lookup) -> Vec<PlanFault> {
        if job.combine != Combine::Sum {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for (side, values) in &self.tables {
            for value in values.iter().filter(|v| !is_number(&v.kind)) {
                faults.push(PlanFault {
                    place: "compute.lookup.values".to_owned(),
                    what: format!(
                        "{}.{}.{} is {}, of which there is no sum",
                        side.holder,
                        side.table,
                        value.name,
                        in_words(&value.kind)
                    ),
                    fix: "sum a column of whole numbers, or leave values out to count tables"
                        .to_owned(),
                });
            }
        }
        faults
    }

    fn plan(&self, job: &spec::Lookup, seats: &[PartyId]) -> LookupPlan {
        let seat = |holder: &PartyId| {
            seats
                .iter()
                .position(|s| s == holder)
                .unwrap_or(seats.len())
        };
        let tables = self.tables.iter().map(|(side, _)| AskedTable {
            seat: seat(&side.holder),
            label: format!("{}.{}", side.holder, side.table),
            table: side.table.clone(),
            at_most: side.rows_at_most,
        });
        let mut of = LookupPlan {
            asker: seat(&self.asker.holder),
            queries: self.asker.columns.iter().map(|c| c.name.clone()).collect(),
            tables: tables.collect(),
            values: self.values(),
            normalise: rule_word(job.normalise).to_owned(),
            combine: job.combine,
            at_most: job
                .at_most
                .unwrap_or(self.asker.rows_at_most)
                .min(self.asker.rows_at_most),
            words: Vec::new(),
        };
        of.words = words::of_run(&of, seats);
        of
    }

    /// The columns that are asked for: of the type that they have at all holders, else text.
    fn values(&self) -> Vec<OutputColumn> {
        let Some((_, first)) = self.tables.first() else {
            return Vec::new();
        };
        let columns = first.iter().enumerate().map(|(i, column)| {
            let mut kinds = self
                .tables
                .iter()
                .map(|(_, values)| kind_of(&values[i].kind));
            let kind = kind_of(&column.kind);
            OutputColumn {
                name: column.name.clone(),
                kind: if kinds.all(|k| k == kind) {
                    kind
                } else {
                    ValueKind::Text
                },
            }
        });
        columns.collect()
    }

    fn locals(&self, job: &spec::Lookup) -> BTreeMap<PartyId, LocalPlan> {
        let holders = self.tables.iter().map(|(side, values)| {
            let mut local = side.local(true);
            let mut sql = String::new();
            for (i, value) in values.iter().enumerate() {
                let kind = match job.combine {
                    Combine::Sum => "BIGINT",
                    Combine::List | Combine::Any => "VARCHAR",
                };
                write!(sql, ", CAST({} AS {kind}) AS a{i}", quoted(&value.name))
                    .expect("a String takes all");
                local.uses.push(ColumnUse {
                    table: side.table.clone(),
                    column: value.name.clone(),
                    usage: Usage::RowLevel,
                });
            }
            local.uses.sort();
            local.uses.dedup();
            let head = local.sql.find('\n').unwrap_or(local.sql.len());
            local.sql.insert_str(head, &sql);
            (side.holder.clone(), local)
        });
        let asker = (self.asker.holder.clone(), self.asker.local(false));
        holders.chain([asker]).collect()
    }
}

fn values_of<'a>(
    side: &Side<'a>,
    names: &[String],
) -> Result<Vec<&'a ColumnEntry>, Vec<PlanFault>> {
    let entry = &side.catalogue.tables[&side.table];
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        match column(entry, name) {
            Ok(column) if column.kind.arrow().is_some() => found.push(column),
            Ok(column) => faults.push((
                format!(
                    "{}.{}.{} is {}, which no job can read",
                    side.holder,
                    side.table,
                    column.name,
                    in_words(&column.kind)
                ),
                "ask for another column".to_owned(),
            )),
            Err((hint, known)) => {
                let what = format!("{}.{} has no column {name}{hint}", side.holder, side.table);
                faults.push((what, known));
            }
        }
    }
    if faults.is_empty() {
        return Ok(found);
    }
    let place = || side.place.clone();
    Err(faults
        .into_iter()
        .map(|(what, fix)| PlanFault {
            place: place(),
            what,
            fix,
        })
        .collect())
}

fn is_number(kind: &ColumnKind) -> bool {
    matches!(kind, ColumnKind::Int { .. } | ColumnKind::Empty)
}

fn kind_of(kind: &ColumnKind) -> ValueKind {
    match kind {
        ColumnKind::Bool => ValueKind::Bool,
        ColumnKind::Int { signed: true, .. }
        | ColumnKind::Int {
            bits: 8 | 16 | 32, ..
        } => ValueKind::Int,
        ColumnKind::Decimal { precision, scale } => ValueKind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        ColumnKind::Float => ValueKind::Float,
        ColumnKind::Date => ValueKind::Date,
        ColumnKind::Int { .. }
        | ColumnKind::Text
        | ColumnKind::Timestamp
        | ColumnKind::Empty
        | ColumnKind::Other(_) => ValueKind::Text,
    }
}

/// What is wrong with receivers and the source of correlations.
fn source(spec: &CheckedSpec, job: &spec::Lookup, asked: &Asked<'_>) -> Vec<PlanFault> {
    let fault = |place: &str, what: String, fix: &str| PlanFault {
        place: place.to_owned(),
        what,
        fix: fix.to_owned(),
    };
    let mut faults = Vec::new();
    let largest = asked.sides().iter().map(|s| s.rows_at_most).max();
    if largest.is_some_and(|n| n > 1 << 30) {
        let what = "a table has more than 2^30 rows".to_owned();
        faults.push(fault(
            "compute.lookup.table",
            what,
            "ask for a smaller table",
        ));
    }
    if job.combine == Combine::List {
        return faults;
    }
    match &spec.correlations {
        None => faults.push(fault(
            "privacy.correlations",
            "is missing: tables are combined on shares, which takes correlated random numbers"
                .to_owned(),
            SOURCES,
        )),
        Some(Correlations::Dealer(dealer)) if asked.sides().iter().any(|s| s.holder == *dealer) => {
            faults.push(fault(
                "privacy.correlations",
                format!("the dealer {dealer} takes part itself, and would learn what is asked"),
                "name a party without tables in this job, or write correlations = \"ot\"",
            ));
        }
        Some(_) => {}
    }
    let n_questions = job
        .at_most
        .unwrap_or(asked.asker.rows_at_most)
        .min(asked.asker.rows_at_most);
    if n_questions > spec::MAX_QUESTIONS {
        faults.push(fault(
            "compute.lookup.at_most",
            format!(
                "{n_questions} questions would be asked, by the published size of the asker's table"
            ),
            "write at_most = the number of questions, at most 1048576",
        ));
    }
    faults
}

fn outputs(of: &LookupPlan) -> Vec<OutputColumn> {
    let column = |name: String, kind| OutputColumn { name, kind };
    let keys = of
        .queries
        .iter()
        .map(|name| column(name.clone(), ValueKind::Text));
    let mut columns: Vec<OutputColumn> = keys.collect();
    match of.combine {
        Combine::Sum => {
            let name = of.values.first().map_or("hits", |value| &value.name);
            columns.push(column(name.to_owned(), ValueKind::Int));
        }
        Combine::Any => columns.push(column("found".to_owned(), ValueKind::Bool)),
        Combine::List => {
            columns.push(column("table".to_owned(), ValueKind::Text));
            columns.push(column("found".to_owned(), ValueKind::Bool));
            columns.extend(of.values.iter().cloned());
        }
    }
    let mut taken: Vec<String> = Vec::new();
    for column in &mut columns {
        while taken.contains(&column.name) {
            column.name.push('_');
        }
        taken.push(column.name.clone());
    }
    columns
}

/// Fills in costs, at the published sizes.
fn priced(mut plan: Plan) -> Plan {
    let Procedure::Lookup(of) = &plan.procedure else {
        return plan;
    };
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let asker = Seat::from_index(of.asker);
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let n_questions = size(of.at_most);
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let total = |introduced: Cost, table: &AskedTable| {
        introduced.then(&introduce::cost(
            n_seats,
            Seat::from_index(table.seat),
            asker,
        ))
    };
    let mut total = match of.combine {
        // At most: an asker that has the present table from an earlier job is not sent it again.
        Combine::List => listed::cost(n_seats, asker, &of.shipped(), n_questions),
        Combine::Sum | Combine::Any => of.tables.iter().fold(Cost::none(n_seats), total),
    };
    if let (Some(price), Some(source)) = (of.price(seats), plan.source()) {
        let prepared = correlate::cost(&source, n_computing, &price.needs);
        total = prepared.then(&total).then(&price.cost);
    }
    let records: u64 = of.tables.iter().map(|t| t.at_most).max().unwrap_or(0);
    let work_us = coefficients::START_US
        + records * coefficients::OPRF_KEY_NS / 1000
        + of.at_most * of.tables.len() as u64 * coefficients::OPRF_QUESTION_NS / 1000;
    let sent = Seat::first(n_seats).map(|s| total.bytes_sent(s)).collect();
    let rows = plan.locals.values().map(|l| l.rows_at_most).sum();
    plan.cost = PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent: sent,
        memory_bytes: records * 256,
        rows_at_most: rows,
        network_us: cost::network_us(&total),
        work_us,
    };
    plan
}
