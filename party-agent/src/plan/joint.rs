//! Queries that join tables of several holders on one key: nobody learns which rows match.
//!
//! # How such a query is split
//! Every holder adds up its own rows by key and by its own groups, so that a join of many rows with many costs one
//! row a key. On shares, the rows of one key meet in a bin of the hub's table, and each total is a sum over bins of
//! products of the relations' columns ([`JoinPlan::narrow`], [`JoinPlan::wide`]). What comes out are totals by group, as
//! of a query without a join, and all that follows is the same: checks, release, the receivers' query.

mod member;
mod from;
mod columns;
mod separate;
mod quotient;
mod below;
mod days;
mod draft;
mod taken;
mod ranked;
mod computed;
mod correlated;
mod relation;
mod column;
mod precision;
mod terms;
mod place;
mod expand;
mod totals;
mod star;
mod matched;
mod met;
mod coded;
mod dominant;
mod rows;
mod words;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, OrderByKind, Query, Select};
use serde::{Serialize, Serializer};

use super::compile::{self, Parties, checks, one};
use super::part::Whole;
use super::schema::Schemas;
use super::sql::Site;
use super::sql::functions::expand_histograms;
use super::sql::having::conjunction;
use super::sql::holders::{Catalogues, RowWise, holders_of};
use super::sql::outer::{Outer, take_apart};
use super::{
    KeyColumn, Margins, Measure, MinCell, Plan, PlanFault, Procedure, ReleaseRule, RingWidth,
    RoundingPlan, Setting, Shape, Step, cost, finish, steps, top, words as plan_words,
};
use crate::spec::{CheckedSpec, SqlCompute, rule_word};
use columns::{Scope, qualify, qualify_select};
use from::Relations;
use relation::Compiled;
use separate::{Literals, Separate, Sum};

pub use computed::{ComputedPlan, ComputedValue};
pub use correlated::CorrelatedPlan;
pub use dominant::{Contributions, DominantPlan};
pub(super) use from::names_of;
pub use matched::ShownKeys;
pub(super) use member::{Member, members};
pub use met::MetPlan;
pub use ranked::RankedPlan;
use terms::Terms;
pub(crate) use totals::counted_in;
pub(super) use words::told;

/// A join, as it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinPlan {
    /// How the spelling of keys is evened out.
    pub normalise: String,
    /// The key of every relation, in words: part of the hash of keys.
    pub label: String,
    /// The relations, the hub's first.
    pub relations: Vec<RelationPlan>,
    /// For each total over Z_2^64 the terms that are added up over the bins.
    pub narrow: Vec<Vec<JoinTerm>>,
    /// For each total over Z_2^128 likewise.
    pub wide: Vec<Vec<JoinTerm>>,
    /// What holders add of their own rows, without a join.
    pub own: Vec<OwnTerm>,
    /// Totals over Z_2^64 that are no columns of the result: the rows with each value of a measure of the query, the
    /// last ones, in this order.
    pub values: Vec<ValueColumns>,
    /// Sums of the relations' columns that are compared with 0, key by key.
    pub compared: Vec<JoinCompared>,
    /// Arguments of the query whose rows are ordered by value at their holders.
    pub ranked: Vec<RankedPlan>,
    /// Arguments of the query whose rows are ranked beside each other.
    pub correlated: Vec<CorrelatedPlan>,
    /// The total over Z_2^64 that is how many keys all relations have, in every group; `None` where that is told to nobody.
    pub matched: Option<usize>,
    /// Who learns which of its own keys match, if anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Box<ShownKeys>>,
    /// How measures of the query are rounded that multiply floating-point numbers with those of other holders.
    pub roundings: BTreeMap<usize, String>,
    /// Arguments of the query that are computed row by row.
    pub computed: Option<Box<ComputedPlan>>,
    /// Keys that are counted by whether any row of theirs counts.
    pub met: Option<Box<MetPlan>>,
    /// Where the largest contributions to sums are found, if there are rules about dominance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dominant: Option<Box<DominantPlan>>,
    /// Which totals stand beside the groups, if any.
    #[serde(skip)]
    pub margins: Option<Margins>,
    /// For each group of the result and each total, by its number, that of the relations' groups together; `None` for
    /// totals that a ROLLUP does not have.
    #[serde(skip)]
    pub cells: Vec<Option<usize>>,
}

/// How much each holder brings into a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSizes {
    /// Different keys, in the order of relations and their holders.
    pub keys: Vec<Vec<usize>>,
    /// The most groups in which one of its keys stands, in the same order.
    pub groups_a_key: Vec<Vec<usize>>,
}

/// What holders tell each other of their tables before a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How many different keys each has.
    pub keys: bool,
    /// In how many groups a key stands at most.
    pub groups: bool,
}

impl Told {
    /// Whether that is told of this relation: with a dealer of the hub's alone.
    #[must_use]
    pub fn groups_of(self, relation: usize) -> bool {
        self.groups && (self.keys || relation == 0)
    }
}

impl JoinSizes {
    /// The sizes for [`JoinPlan::with_hub`].
    #[must_use]
    pub fn with_hub(&self, hub: usize) -> Self {
        let mut sizes = self.clone();
        sizes.keys[..=hub].rotate_right(1);
        sizes.groups_a_key[..=hub].rotate_right(1);
        sizes
    }
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelationPlan {
    /// As the query calls it.
    pub name: String,
    /// The seats of its holders, and a bound on the different keys of each by published sizes.
    pub holders: Vec<(usize, u64)>,
    /// A bound on the rows of each.
    pub rows_at_most: Vec<u64>,
    /// Columns of its key.
    pub key_columns: usize,
    /// Whether NOT IN denies it: it must have rows, and a key in each.
    pub denied: bool,
    /// In how many rows each of its keys may stand, where it is compared with others; with more than one, columns beyond its
    /// totals are of rows one by one: those of the first row of each key come after all totals, and so on.
    pub rows_a_key: Option<usize>,
    /// Whether each of its rows must have a key: those without could not be compared, or not be counted as persons.
    pub all_keyed: bool,
    /// Its group keys, by their number in the plan.
    pub keys: Vec<usize>,
    /// The arguments of its own query and the totals that are kept of them, for each key and group.
    pub measures: Vec<Measure>,
    /// Columns of these totals over Z_2^64; the first counts rows.
    pub totals_narrow: usize,
    /// Columns of these totals over Z_2^128.
    pub totals_wide: usize,
    /// Columns of these totals over Z_2^64 that count the rows with each value of a measure.
    pub values: Vec<ValueColumns>,
    /// Measures whose rows are kept one by one: one that orders them by value, or several beside each other.
    pub ranked: Vec<Vec<usize>>,
    /// Measures that divide other holders' numbers, and the power of two above which they cannot be divided by.
    pub quotients: Vec<(usize, i32)>,
    /// Columns over Z_2^64 that go into the join as 1 where they are not 0.
    pub flags: Vec<usize>,
    /// Columns over Z_2^64 that go into the join.
    pub narrow: Vec<usize>,
    /// Columns that go into the join over Z_2^128: the ring in which they are kept, and their number.
    pub wide: Vec<(RingWidth, usize)>,
}

/// Columns over Z_2^64, one for each value of a measure, from the low end of its range to the high end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ValueColumns {
    /// The measure.
    pub measure: usize,
    /// The first of the columns.
    pub first: usize,
    /// How many there are.
    pub n_values: usize,
}

/// A product of one factor of each relation, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinTerm {
    /// What it is multiplied by.
    #[serde(serialize_with = "as_text")]
    pub coefficient: i64,
    /// One factor of each relation.
    pub factors: Vec<JoinFactor>,
    /// Of [`JoinPlan::compared`]: only where these are below 0.
    pub below: Vec<usize>,
}

/// A sum of columns that is compared with 0, key by key: each column is of one row of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinCompared {
    /// The columns.
    pub parts: Vec<ComparedPart>,
    /// What is added.
    #[serde(serialize_with = "as_text")]
    pub constant: i64,
    /// In how many bits every sum fits, beside its sign.
    pub bound_bits: u32,
}

/// A column in a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedPart {
    /// The relation.
    pub relation: usize,
    /// One of its [`RelationPlan::narrow`].
    pub column: usize,
    /// What it is multiplied by.
    #[serde(serialize_with = "as_text")]
    pub weight: i64,
}

/// What a relation contributes to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinFactor {
    /// One of [`RelationPlan::flags`].
    Flag(usize),
    /// One of [`RelationPlan::narrow`].
    Narrow(usize),
    /// One of [`RelationPlan::wide`].
    Wide(usize),
    /// 1 at this group of its own where the key is there.
    Matched(usize),
    /// 1 at this group of its own.
    One(usize),
}

/// What the holders of a relation add of their own rows to a total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnTerm {
    /// The relation.
    pub relation: usize,
    /// The ring and the number of the total.
    pub total: (RingWidth, usize),
    /// The ring and the number of the relation's column, or one of its flags.
    pub column: OwnColumn,
    /// What it is multiplied by.
    #[serde(serialize_with = "as_text")]
    pub coefficient: i64,
    /// The group of each other relation to which it goes; its own entry is 0.
    pub groups: Vec<usize>,
    /// Only rows without a key.
    pub keyless: bool,
}

/// A column of a relation's own totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnColumn {
    /// The keys for which this column over Z_2^64 is not 0 are counted.
    Flag(usize),
    /// Over Z_2^64.
    Narrow(usize),
    /// Over Z_2^128.
    Wide(usize),
}

fn as_text<S: Serializer>(number: &i64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(number)
}

/// Whether FROM joins tables of different holders.
pub(super) fn is_joint(select: &Select) -> bool {
    let n = select.from.iter().flat_map(|item| {
        let joined = item.joins.iter().map(|j| &j.relation);
        std::iter::once(&item.relation).chain(joined)
    });
    let with_holders = n.filter(|factor| !holders_of(*factor).is_empty()).count();
    let is_nested = select.from.iter().any(|item| {
        matches!(
            &item.relation,
            datafusion::sql::sqlparser::ast::TableFactor::NestedJoin { .. }
        ) && holders_of(&item.relation).len() > 1
    });
    (with_holders > 1 || is_nested) && holders_of(&select.from).len() > 1
}

/// Compiles a query whose FROM joins tables of different holders.
pub(super) fn compile(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    (mut query, mut select, members): (Query, Select, Vec<Member>),
    catalogues: &Catalogues,
    site: Site,
) -> Result<Plan, Vec<PlanFault>> {
    allowed(spec).map_err(one)?;
    let mut relations = from::read(&select, &members, catalogues, site).map_err(one)?;
    let scope = Scope::new(&relations.all, &relations.merged, site);
    qualify_select(&mut select, scope).map_err(one)?;
    qualify_order(&mut query, &select, scope).map_err(one)?;
    select.selection = None;
    let outer = outer(&query, &select, catalogues, site)?;
    let holders: BTreeSet<String> = relations
        .all
        .iter()
        .flat_map(|r| r.holders.clone())
        .collect();
    let parties = Parties::of(spec, catalogues, &holders)?;
    let schemas = Schemas::of(catalogues);
    let conditions = settle(&mut relations, &schemas, site).map_err(one)?;
    let rows_a_key = rows::of_job(sql, &relations.all).map_err(one)?;
    let mut job = Job {
        spec,
        sql,
        catalogues,
        parties: &parties,
        schemas: &schemas,
        select: &select,
        outer: &outer,
        relations: &relations,
        literals: Literals::Exact,
        site,
        below: RefCell::default(),
        by_row: None,
        ranked_at: None,
        rows_a_key,
    };
    job.row_wise()?;
    job.ranked_at = job.ranked_at(&conditions).map_err(one)?;
    job.by_row = job.first_by_row().map_err(one)?;
    job.plan(&conditions).or_else(|faults| {
        job.below.take();
        let literals = Literals::Doubles;
        let with_doubles = Job { literals, ..job };
        with_doubles.plan(&conditions).map_err(|_| faults)
    })
}

/// What a join between holders cannot do yet, or not without.
fn allowed(spec: &CheckedSpec) -> Result<(), PlanFault> {
    if spec.correlations.is_none() {
        return Err(PlanFault {
            place: "privacy.correlations".to_owned(),
            what: "is missing: a join between holders runs on shares, which takes correlated random numbers".to_owned(),
            fix: compile::SOURCES.to_owned(),
        });
    }
    Ok(())
}

/// Qualifies ORDER BY; names of outputs win.
fn qualify_order(query: &mut Query, select: &Select, scope: Scope<'_>) -> Result<(), PlanFault> {
    let kept = outputs(select);
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order.kind
    {
        for item in exprs {
            qualify(&mut item.expr, scope, &kept)?;
        }
    }
    Ok(())
}

/// The names of outputs, in small letters.
fn outputs(select: &Select) -> BTreeSet<String> {
    use datafusion::sql::sqlparser::ast::SelectItem;
    let names = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
        SelectItem::UnnamedExpr(expr) => {
            super::sql::align::name_of_expr(expr).map(|n| n.to_lowercase())
        }
        _ => None,
    });
    names.collect()
}

fn outer(
    query: &Query,
    select: &Select,
    catalogues: &Catalogues,
    site: Site,
) -> Result<Outer, Vec<PlanFault>> {
    let mut outer = take_apart(query, select, catalogues, site)?;
    let mut faults = Vec::new();
    for key in &mut outer.keys {
        faults.extend(expand_histograms(&mut key.expr, site));
    }
    for arg in &mut outer.args {
        faults.extend(expand_histograms(&mut arg.expr, site));
    }
    match faults.is_empty() {
        true => Ok(outer),
        false => Err(faults),
    }
}

/// Conditions of one relation that has every row are decided by its holders; what rejects rows without a match
/// makes an outer join an inner one. The others are left.
fn settle(
    relations: &mut Relations,
    schemas: &Schemas,
    site: Site,
) -> Result<Vec<Expr>, PlanFault> {
    let mut left = Vec::new();
    let mut of_one = Vec::new();
    for condition in std::mem::take(&mut relations.conditions) {
        let scope = Scope::new(&relations.all, &relations.merged, site);
        let mut reached = scope.relations(&condition)?.into_iter();
        match (reached.next(), reached.next()) {
            (one, None) => of_one.push((one.unwrap_or(0), condition)),
            _ => left.push(condition),
        }
    }
    for (at, condition) in &of_one {
        let of = &mut relations.all[*at];
        if of.optional && !schemas.is_true_without_row(condition, &of.from, site)? {
            // Of a FULL JOIN, its own rows are what stays.
            of.optional = false;
        }
    }
    for (at, condition) in of_one {
        match relations.all[at].optional {
            true => left.push(condition),
            false => relations.all[at].filter.push(condition),
        }
    }
    Ok(left)
}

/// Everything that compiling needs to know.
struct Job<'a> {
    spec: &'a CheckedSpec,
    sql: &'a SqlCompute,
    catalogues: &'a Catalogues,
    parties: &'a Parties,
    schemas: &'a Schemas,
    select: &'a Select,
    outer: &'a Outer,
    relations: &'a Relations,
    literals: Literals,
    site: Site,
    /// The sums that are compared with 0, as expressions are taken apart.
    below: RefCell<Vec<below::Below>>,
    /// What is computed row by row, first of all.
    by_row: Option<Expr>,
    /// The relation that has every argument of SPEARMAN, and may rank its rows as they stand.
    ranked_at: Option<usize>,
    /// In how many rows a key of each relation stands, where they are told apart.
    rows_a_key: Vec<usize>,
}

impl Job<'_> {
    fn separate(&self) -> Separate<'_> {
        Separate {
            scope: Scope::new(&self.relations.all, &self.relations.merged, self.site),
            literals: self.literals,
            n_relations: self.relations.all.len(),
            site: self.site,
            below: &self.below,
            schemas: self.schemas,
            relations: &self.relations.all,
            keeps_zeros: false,
        }
    }

    /// The query of one relation's holders, its SELECT list empty.
    fn select_of(&self, at: usize) -> Select {
        let relation = &self.relations.all[at];
        let mut select = self.select.clone();
        select.from = vec![relation.from.clone()];
        select.selection = conjunction(&relation.filter);
        select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
        select.having = None;
        select.projection = Vec::new();
        select
    }

    /// Relations of several holders are UNION ALLs of their rows; no party stands on two sides.
    fn row_wise(&self) -> Result<(), Vec<PlanFault>> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, relation) in self.relations.all.iter().enumerate() {
            if relation.holders.len() > 1 {
                faults.extend(RowWise::check(&self.select_of(at), self.site));
            }
            for holder in &relation.holders {
                if !seen.insert(holder.clone()) {
                    faults.push(self.site.fault(
                        &relation.from,
                        format!("{holder} has tables on two sides of a join between holders"),
                        format!("join the tables of {holder} with each other first, in a subquery"),
                    ));
                }
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults),
        }
    }

    fn plan(&self, conditions: &[Expr]) -> Result<Plan, Vec<PlanFault>> {
        let condition = self.condition(conditions).map_err(one)?;
        let taken = taken::taken(self, &condition)?;
        self.one_row_a_key().map_err(one)?;
        self.rows_are_told_apart().map_err(one)?;
        self.size_is_told().map_err(one)?;
        let compiled = relation::compile(self, &taken)?;
        let mut keys = self.keys(&compiled)?;
        let min_cell = MinCell::strictest(self.spec, self.catalogues, &self.parties.holders);
        let hidden = self.hidden_groups(&compiled, &keys, &min_cell);
        let hidden = hidden.map_err(one)?;
        compile::margins::with_totals(self.outer, &mut keys).map_err(one)?;
        let mut terms = Terms::of(self, &taken, &compiled, &min_cell)?;
        let rows = compiled.rows;
        let holders = &self.parties.holders;
        let rounding = RoundingPlan::strictest(self.spec, self.catalogues, holders);
        let rules = self.rules(&compiled, &terms).map_err(one)?;
        let is_whole = hidden.is_some() || rounding.is_some() || rules.is_some();
        let all = (&mut terms, &compiled);
        let (mut shape, steps) = self.shape(all, &keys, (&min_cell, is_whole))?;
        shape.hidden = hidden;
        let all = (&mut terms, &compiled);
        let dominance = self.held_against(rules, all, &mut shape).map_err(one)?;
        let having = terms.having(self, (rounding.as_ref(), rows), &mut shape);
        let released = finish::columns(self.outer, &keys, &terms.sums);
        let (final_sql, outputs) = finish::query(self.outer, &released)?;
        let measures = terms.measures.clone();
        let mut join = terms
            .into_plan(self, (&taken, &compiled), &keys)
            .map_err(one)?;
        join.shown = self.shown_keys(&min_cell);
        let (seats, correlations) = (self.parties.seats.clone(), self.spec.correlations.clone());
        let plan = Plan::of_job(self.spec, seats, correlations, min_cell);
        let plan = Plan {
            locals: self.told_apart(
                self.told_of_keys(compiled.locals(self.use_of_keys())),
                dominance.as_ref(),
                &compiled,
            ),
            procedure: Procedure::Join(join),
            dominance,
            shape,
            having,
            rounding,
            steps,
            keys,
            measures,
            released,
            final_sql,
            outputs,
            ..plan
        };
        let decided = compile::Decided {
            spec: self.spec,
            catalogues: self.catalogues,
            parties: self.parties,
            outer: self.outer,
        };
        let plan = cost::complete(plan, rows);
        Ok(words::complete(plan_words::complete(plan, &decided), self))
    }

    /// The columns of totals, what is checked, and what is found for further columns. `is_whole`: no group is left out because it
    /// does not come first.
    fn shape(
        &self,
        (terms, compiled): (&mut Terms, &Compiled),
        keys: &[KeyColumn],
        (min_cell, is_whole): (&MinCell, bool),
    ) -> Result<(Shape, Vec<Step>), Vec<PlanFault>> {
        let rows = compiled.rows;
        checks::no_ends(self.outer, min_cell).map_err(one)?;
        let cells = keys.iter().map(KeyColumn::n_slots).product();
        let (steps, narrow, wide) = self.steps((terms, compiled), cells, rows)?;
        let mut checks = checks::checks(self.outer, &terms.counts(), min_cell, rows);
        let top = top::cells(self.outer, &terms.measures, &terms.fits, cells, rows)
            .filter(|_| self.outer.margins.is_none() && !is_whole);
        checks.extend(top::nonempty(top.as_ref(), &checks, rows));
        let rule = match checks.is_empty() {
            true => ReleaseRule::None,
            false => ReleaseRule::Compare,
        };
        compile::margins::check(self.outer, &steps, rule, min_cell).map_err(one)?;
        let shape = Shape {
            compared: 0,
            cells,
            narrow,
            wide,
            checks,
            rule,
            top,
            margins: self.outer.margins,
            hidden: None,
        };
        Ok((shape, steps))
    }

    /// What is found in the rows of each value, and how many columns there are with it.
    fn steps(
        &self,
        (terms, compiled): (&mut Terms, &Compiled),
        cells: usize,
        rows_at_most: u64,
    ) -> Result<(Vec<Step>, usize, usize), Vec<PlanFault>> {
        let (mut narrow, mut wide) = (terms.n_released(), terms.wide.len());
        let setting = Setting {
            cells,
            rows_at_most,
            method: super::needs::method(self.spec.correlations.as_ref()),
        };
        let ranks = match terms.correlated.is_empty() {
            true => terms.ranks_step(self, compiled, (cells, &mut narrow)),
            false => terms.correlated_step(self, compiled, (cells, &mut narrow)),
        };
        let ranks = ranks.map_err(one)?;
        let free = steps::Columns {
            narrow: &mut narrow,
            wide: &mut wide,
        };
        let mut ranked = terms.ranked_rows(compiled, cells);
        ranked.extend(terms.computed_rows(self, compiled, cells).map_err(one)?);
        let measures = (terms.measures.as_slice(), &ranked);
        let mut steps = steps::of_counts(self.outer, measures, &setting, free)?;
        steps.extend(ranks);
        let different = terms.different_steps(&ranked, &mut narrow);
        steps.extend(different.map_err(one)?);
        if !steps.is_empty() && rows_at_most > cost::MAX_WRITTEN {
            let what = "MIN, MAX and quantiles of a join that could have more than 2^53 rows, by the published sizes of its tables";
            return Err(one(self.site.fault(
                self.select,
                what,
                "write max_rows in the job",
            )));
        }
        Ok((steps, narrow, wide))
    }

    /// 1 where all conditions that are left hold.
    fn condition(&self, conditions: &[Expr]) -> Result<Sum, PlanFault> {
        let separate = self.separate();
        let mut all = separate::one(self.relations.all.len());
        for condition in conditions {
            let next = separate.condition(condition)?;
            all = separate::times(&all, &next).ok_or_else(|| {
                let what = "the conditions between holders' columns are too many";
                self.site.fault(condition, what, "write fewer of them")
            })?;
        }
        Ok(all)
    }

    /// The group keys in the order of the query.
    fn keys(&self, compiled: &Compiled) -> Result<Vec<KeyColumn>, Vec<PlanFault>> {
        compile::keys::none_unused(self.sql, self.outer)?;
        let keys: Vec<KeyColumn> = compiled.keys(self.outer.keys.len());
        compile::keys::not_too_many(&keys)?;
        Ok(keys)
    }

    /// The word of the rule for spellings.
    fn normalise(&self) -> &'static str {
        rule_word(self.sql.normalise)
    }

    /// What a relation's own query is compiled from.
    fn whole<'w>(
        &'w self,
        select: &'w Select,
        outer: &'w Outer,
        key: &'w [super::part::JoinKey],
    ) -> Whole<'w> {
        Whole {
            select,
            outer,
            catalogues: self.catalogues,
            schemas: self.schemas,
            site: self.site,
            max_rows: self.sql.max_rows,
            key,
        }
    }
}
