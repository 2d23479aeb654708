//! All steps from a checked job to a plan, in order.

pub(super) mod checks;
pub(super) mod keys;
pub(super) mod margins;
pub(super) mod measures;
mod parties;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{Query, Select, SetExpr};
use protocols::party::PartyId;
use protocols::psi::keys::Normalise;

use super::finish::{self, SumOf};
use super::part::{self, Convert, Part, Whole};
use super::ring::Fit;
use super::schema::Schemas;
use super::sql::align::align;
use super::sql::functions::expand_histograms;
use super::sql::holders::{Catalogues, RowWise, holders_of, resolve_tables};
use super::sql::inline::inline;
use super::sql::outer::{Arg, Outer, take_apart};
use super::sql::{self, Site};
use super::{
    ComparedTotals, KeyColumn, LocalPlan, MAX_ROWS, Measure, MeasureKind, MeterPlan, MinCell, Plan,
    PlanFault, ReleaseRule, RoundingPlan, Setting, Shape, Step, Usage, cohorts, cost, dominance,
    flatten, having, hidden, joint, meter, noise, statistic, steps, top, types, widen, words,
};
use crate::catalogue::Cohorts;
use crate::spec::{CheckedSpec, Correlations, SqlCompute};

pub(super) use checks::SOURCES;
pub(super) use parties::Parties;

/// What is known about a job when everything but words and costs is decided.
pub(super) struct Decided<'a> {
    pub(super) spec: &'a CheckedSpec,
    pub(super) catalogues: &'a Catalogues,
    pub(super) parties: &'a Parties,
    pub(super) outer: &'a Outer,
}

/// Compiles a job.
pub(super) fn compile(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let site = Site::new(sql);
    let mut query = sql::parse(&sql.text, site).map_err(one)?;
    inline(&mut query, site).map_err(one)?;
    resolve_tables(&mut query, catalogues, site)?;
    none(align(&mut query, catalogues, site))?;
    let (mut query, mut select) = outermost(query, site).map_err(one)?;
    flatten::flatten(&mut query, &mut select, catalogues, site).map_err(one)?;
    let asked = statistic::taken(&query, &mut select, site).map_err(one)?;
    let members = joint::members(&mut select, catalogues, site).map_err(one)?;
    if spec.dp.is_some() && (asked.is_some() || joint::is_joint(&select)) {
        return Err(one(noise::not_there_yet()));
    }
    if spec.settlement.as_ref().is_some_and(|s| s.is_metered()) && asked.is_some() {
        return Err(one(meter::not_there_yet()));
    }
    let is_joint = joint::is_joint(&select);
    if !is_joint {
        without_joins(sql).map_err(one)?;
    }
    let plan = match is_joint {
        true => joint::compile(spec, sql, (query, select, members), catalogues, site)?,
        false => of_own_rows(spec, sql, (query, select), catalogues)?,
    };
    match asked {
        Some(asked) => asked.attached(plan),
        None => Ok(plan),
    }
}

/// What is asked of joins, where there is none.
fn without_joins(sql: &SqlCompute) -> Result<(), PlanFault> {
    let no_effect = |field: &str, fix: &str| {
        Err(PlanFault {
            place: format!("compute.{field}"),
            what: "has no effect: the query joins no tables of different holders".to_owned(),
            fix: fix.to_owned(),
        })
    };
    if !sql.max_rows_per_key.is_empty() {
        return no_effect("max_rows_per_key", "leave it out");
    }
    if sql.normalise != Normalise::Exact {
        return no_effect(
            "normalise",
            "leave it out, and write UPPER, TRIM or REGEXP_REPLACE around the column",
        );
    }
    Ok(())
}

/// Compiles a query whose FROM is a UNION ALL of the holders' own rows.
fn of_own_rows(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    (query, mut select): (Query, Select),
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let site = Site::new(sql);
    let holders = holders_of(&query);
    if holders.len() < 2 {
        return Err(vec![too_few(&holders)]);
    }
    let mut faults = RowWise::check(&select, site);
    let outer = take_apart(&query, &select, catalogues, site);
    faults.extend(expand_histograms(&mut select.from, site));
    faults.extend(expand_histograms(&mut select.selection, site));
    let mut outer = match outer {
        Ok(outer) => outer,
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    for key in &mut outer.keys {
        faults.extend(expand_histograms(&mut key.expr, site));
    }
    for arg in &mut outer.args {
        faults.extend(expand_histograms(&mut arg.expr, site));
    }
    if outer.keys.is_empty() && outer.args.is_empty() {
        outer.args.push(count_only());
    }
    let parties = Parties::of(spec, catalogues, &holders);
    match parties {
        Ok(parties) if faults.is_empty() => {
            let schemas = Schemas::of(catalogues);
            let person = noise::person(spec);
            let whole = Whole {
                select: &select,
                outer: &outer,
                catalogues,
                schemas: &schemas,
                site,
                max_rows: sql.max_rows,
                key: &person,
            };
            with_parts(spec, sql, whole, &parties)
        }
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}

/// Plans the holders' parts, once more where what they turn out to be asks for other ones.
fn with_parts(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    whole: Whole<'_>,
    parties: &Parties,
) -> Result<Plan, Vec<PlanFault>> {
    let raw = parts(&whole, &parties.holders, &[])?;
    none(noise::refused(spec, whole.outer, &raw))?;
    let rules = dominance::rules(spec, whole.catalogues, whole.outer, &raw).map_err(one)?;
    let kept = cohorts::kept(spec, whole.catalogues, whole.outer, &raw).map_err(one)?;
    let contributor = rules.as_ref().map(dominance::Rules::contributor);
    let who = cohorts::columns(contributor, kept.as_ref()).map_err(one)?;
    let wider = widen::widen(&whole, &raw)?;
    if who.is_empty() && wider.is_none() {
        return assemble(spec, sql, &whole, parties, (&raw, None, None));
    }
    let whole = Whole {
        outer: wider.as_ref().unwrap_or(whole.outer),
        key: if who.is_empty() { whole.key } else { &who },
        ..whole
    };
    let raw = parts(&whole, &parties.holders, &[])?;
    assemble(spec, sql, &whole, parties, (&raw, rules, kept))
}

pub(super) fn one(fault: PlanFault) -> Vec<PlanFault> {
    vec![fault]
}

pub(super) fn none(faults: Vec<PlanFault>) -> Result<(), Vec<PlanFault>> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn too_few(holders: &BTreeSet<String>) -> PlanFault {
    let place = "compute.sql".to_owned();
    match holders.first() {
        None => PlanFault {
            place,
            what: "the query names no holder's table".to_owned(),
            fix: "name tables of at least two holders, joined by UNION ALL".to_owned(),
        },
        Some(holder) => PlanFault {
            place,
            what: format!(
                "the query names tables of {holder} alone: the result would be that holder's own figures"
            ),
            fix: "name tables of at least two holders, joined by UNION ALL".to_owned(),
        },
    }
}

/// The outermost SELECT, out of its parentheses.
pub(super) fn outermost(query: Query, site: Site) -> Result<(Query, Select), PlanFault> {
    single(query).map_err(|body| {
        let what = "the outermost level must be one SELECT with aggregates";
        let fix = "put UNION ALL into FROM, and ORDER BY and LIMIT at the very end";
        site.fault(body.as_ref(), what, fix)
    })
}

/// The SELECT of a query, and the query out of its parentheses; its body if that is none.
pub(super) fn single(mut query: Query) -> Result<(Query, Select), Box<SetExpr>> {
    loop {
        let bare =
            query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
        match *query.body {
            SetExpr::Select(ref select) => {
                let select = (**select).clone();
                return Ok((query, select));
            }
            SetExpr::Query(inner) if bare => query = *inner,
            body => return Err(Box::new(body)),
        }
    }
}

/// A query that only counts rows still has one argument, so that the holders' query has a column.
pub(super) fn count_only() -> Arg {
    Arg {
        expr: part::one(),
        label: "*".to_owned(),
        asked: BTreeSet::new(),
        sum: false,
        sum_sq: false,
        days: false,
        ordered: false,
        distinct: false,
    }
}

/// The parts of all holders with the given conversions, or all their faults.
pub(super) fn parts(
    whole: &Whole<'_>,
    holders: &[PartyId],
    convert: &[Vec<Convert>],
) -> Result<Vec<Part>, Vec<PlanFault>> {
    let mut parts = Vec::new();
    let mut faults = Vec::new();
    for (i, holder) in holders.iter().enumerate() {
        match whole.part(holder, convert.get(i).map_or(&[], Vec::as_slice)) {
            Ok(part) => parts.push(part),
            Err(more) => faults.extend(more),
        }
    }
    none(faults)?;
    Ok(parts)
}

/// What the shape of a release depends on.
struct Known<'a> {
    spec: &'a CheckedSpec,
    sql: &'a SqlCompute,
    whole: &'a Whole<'a>,
    parties: &'a Parties,
    raw: &'a [Part],
    rows: u64,
    /// About dominance.
    has_rules: bool,
    rounding: Option<&'a RoundingPlan>,
}

impl Known<'_> {
    /// The groups, the columns that are found on shares, and what is released.
    fn shaped(
        &self,
        keys: &mut [KeyColumn],
        columns: &mut measures::Columns,
        fits: &[Option<Fit>],
    ) -> Result<(Shape, Vec<Step>, MinCell), Vec<PlanFault>> {
        let (spec, parties, rows) = (self.spec, self.parties, self.rows);
        let (outer, catalogues) = (self.whole.outer, self.whole.catalogues);
        let hidden = hidden::groups(spec, self.sql, (outer, keys), parties, self.raw);
        let hidden = hidden.map_err(one)?;
        margins::with_totals(outer, keys).map_err(one)?;
        let cells = match &hidden {
            Some(groups) => groups.most(),
            None => keys.iter().map(KeyColumn::n_slots).product(),
        };
        let bounds = steps::RowBounds::of(&parties.seats, self.raw);
        let setting = Setting {
            cells,
            rows_at_most: rows,
            method: super::needs::method(spec.correlations.as_ref()),
        };
        let free = steps::Columns {
            narrow: &mut columns.narrow,
            wide: &mut columns.wide,
        };
        let steps = steps::build(outer, &columns.measures, &setting, &bounds, free)?;
        let min_cell = MinCell::strictest(spec, catalogues, &parties.holders);
        let counts = checks::CountColumns::of_rows(&columns.measures, &steps);
        checks::no_ends(outer, &min_cell).map_err(one)?;
        let mut checks = checks::checks(outer, &counts, &min_cell, rows);
        let top = top::cells(outer, &columns.measures, fits, cells, rows)
            .filter(|_| spec.correlations.is_some() && outer.margins.is_none() && hidden.is_none())
            // Of noisy totals, and of sums that are held against rules, the receivers find the first themselves.
            .filter(|_| spec.dp.is_none() && !self.has_rules)
            // Which of two rounded counts is greater in truth is told to nobody.
            .filter(|_| self.rounding.is_none());
        checks.extend(top::nonempty(top.as_ref(), &checks, rows));
        let rule = checks::rule(spec, catalogues, parties, &checks).map_err(one)?;
        margins::check(outer, &steps, rule, &min_cell).map_err(one)?;
        let shape = Shape {
            cells,
            narrow: columns.narrow,
            compared: 0,
            wide: columns.wide,
            checks,
            rule,
            top,
            margins: outer.margins,
            hidden,
        };
        Ok((shape, steps, min_cell))
    }

    /// What each holder's contribution is found from, and the conditions of HAVING that are decided on shares.
    fn beside(
        &self,
        shape: &mut Shape,
        (min_cell, measures, fits): (&MinCell, &[Measure], &[Option<Fit>]),
    ) -> Result<(Option<MeterPlan>, Vec<ComparedTotals>), Vec<PlanFault>> {
        let bounds = (self.parties.holders.as_slice(), self.rows);
        let meter = meter::plan(self.spec, shape, min_cell, bounds).map_err(one)?;
        let totals = having::Totals {
            outer: self.whole.outer,
            measures,
            fits,
            rows: self.rows,
        };
        let having = match meter.is_none() && self.rounding.is_none() {
            true => having::on_shares(self.spec, &totals, shape),
            false => Vec::new(),
        };
        Ok((meter, having))
    }
}

fn assemble(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    whole: &Whole<'_>,
    parties: &Parties,
    (raw, rules, cohorts): (&[Part], Option<dominance::Rules>, Option<Cohorts>),
) -> Result<Plan, Vec<PlanFault>> {
    let outer = whole.outer;
    let types = types::agree(outer, raw)?;
    let finals = parts(whole, &parties.holders, &types.convert)?;
    let rows = rows_at_most(raw)?;
    let (mut keys, mut fits) = both(
        public_groups(sql, whole, &types, raw),
        measures::fits(whole, &types, raw, rows),
    )?;
    if let Some(clause) = &spec.dp {
        noise::clamp(clause, outer, (&types.measures, rows), &mut fits)?;
    }
    let mut columns = measures::columns(outer, &types, raw, &fits);
    let rounding = RoundingPlan::strictest(spec, whole.catalogues, &parties.holders);
    let known = Known {
        spec,
        sql,
        whole,
        parties,
        raw,
        rows,
        has_rules: rules.is_some(),
        rounding: rounding.as_ref(),
    };
    let (mut shape, steps, min_cell) = known.shaped(&mut keys, &mut columns, &fits)?;
    let noise = spec.dp.as_ref().map(|clause| {
        let totals = (&mut shape, steps.as_slice());
        noise::plan(clause, totals, &columns.measures, (&parties.holders, rows))
    });
    let noise = noise.transpose()?;
    let bounds = (parties.holders.as_slice(), rows);
    let dominance = rules.map(|rules| rules.plan(&mut shape, &columns.measures, bounds));
    let dominance = dominance.transpose()?;
    let totals = (&min_cell, columns.measures.as_slice(), fits.as_slice());
    let (meter, having) = known.beside(&mut shape, totals)?;
    let released = finish::columns(outer, &keys, &sums(&fits, &types.measures));
    let (final_sql, outputs) = finish::query(outer, &released)?;
    let refused = hidden::refused(&keys, &min_cell, &released, outer);
    none(refused.into_iter().collect())?;
    let follows = outer.keys.iter().any(|key| key.follow_up.is_some());
    let found = steps::first_use(&released)
        .or(follows.then_some("survival"))
        .or(meter.as_ref().map(|_| "contributions"))
        .or(rounding.as_ref().map(|_| "rounded counts"));
    let correlations = source(spec, shape.rule, found).map_err(one)?;
    let plan = Plan::of_job(spec, parties.seats.clone(), correlations, min_cell);
    let plan = Plan {
        locals: locals(outer, raw, &finals, &keys, &[Usage::Person, Usage::Row]),
        shape,
        noise,
        rounding,
        cohorts,
        dominance,
        having,
        meter,
        steps,
        keys,
        measures: columns.measures,
        released,
        final_sql,
        outputs,
        ..plan
    };
    let decided = Decided {
        spec,
        catalogues: whole.catalogues,
        parties,
        outer,
    };
    Ok(words::complete(cost::complete(plan, rows), &decided))
}

/// The group keys, with the groups that the job declares or the holders publish.
fn public_groups(
    sql: &SqlCompute,
    whole: &Whole<'_>,
    types: &types::Types,
    raw: &[Part],
) -> Result<Vec<KeyColumn>, Vec<PlanFault>> {
    keys::none_unused(sql, whole.outer)?;
    let none = vec![None; whole.outer.keys.len()];
    let keys = keys::keys(sql, whole, types, raw, &none)?;
    keys::not_too_many(&keys)?;
    Ok(keys)
}

fn sums(fits: &[Option<Fit>], kinds: &[MeasureKind]) -> Vec<SumOf> {
    let sums = fits.iter().zip(kinds).map(|(fit, kind)| SumOf {
        kind: *kind,
        largest: fit.as_ref().and_then(|f| f.largest_sum),
        is_narrow: fit.as_ref().is_some_and(|f| f.is_narrow()),
    });
    sums.collect()
}

/// The source of correlated randomness, if anything takes any, and the dealer among it. `found` is something that is
/// found on shares.
fn source(
    spec: &CheckedSpec,
    rule: ReleaseRule,
    found: Option<&str>,
) -> Result<Option<Correlations>, PlanFault> {
    Ok(match (rule, found, &spec.correlations) {
        (ReleaseRule::Compare, ..) | (_, Some(_), Some(_)) => spec.correlations.clone(),
        (_, None, _) => None,
        (_, Some(found), None) => {
            return Err(PlanFault {
                place: "privacy.correlations".to_owned(),
                what: format!(
                    "is missing: {found} over several holders is found on shares, which takes correlated random numbers"
                ),
                fix: checks::SOURCES.to_owned(),
            });
        }
    })
}

/// Both results, or the faults of both.
fn both<A, B>(
    a: Result<A, Vec<PlanFault>>,
    b: Result<B, Vec<PlanFault>>,
) -> Result<(A, B), Vec<PlanFault>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => {
            let mut faults = a.err().unwrap_or_default();
            faults.extend(b.err().unwrap_or_default());
            Err(faults)
        }
    }
}

pub(super) fn rows_at_most(parts: &[Part]) -> Result<u64, Vec<PlanFault>> {
    let rows = parts.iter().map(|p| p.rows_at_most);
    let rows = rows.fold(0, u64::saturating_add);
    if rows <= MAX_ROWS {
        return Ok(rows);
    }
    Err(one(PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "the holders' queries could yield {rows} rows, by the published sizes of their tables"
        ),
        fix: "join fewer tables inside one holder's part".to_owned(),
    }))
}

/// What every holder runs.
pub(super) fn locals(
    outer: &Outer,
    raw: &[Part],
    finals: &[Part],
    keys: &[KeyColumn],
    joined_as: &[Usage],
) -> BTreeMap<PartyId, LocalPlan> {
    let hidden: Vec<bool> = keys.iter().map(|k| k.hidden.is_some()).collect();
    let locals = raw.iter().zip(finals).map(|(raw, part)| {
        let args = 0..outer.args.len();
        let local = LocalPlan {
            sql: part.sql.clone(),
            tables: raw.tables.iter().cloned().collect(),
            uses: raw.uses(outer, &hidden, joined_as),
            args: args
                .map(|i| types::bases(raw, outer.keys.len() + i))
                .collect(),
            rows_at_most: raw.rows_at_most,
        };
        (raw.holder.clone(), local)
    });
    locals.collect()
}
