//! One holder's part of the query: as text, planned, and traced to its tables.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::{
    Expr as EngineExpr, ExprSchemable, JoinType, LogicalPlan, Operator,
};
use datafusion::sql::sqlparser::ast::{
    DataType as SqlType, ExactNumberInfo, Expr, GroupByExpr, Ident, Select, SelectItem, Value,
};
use protocols::party::PartyId;

use super::schema::{Schemas, engine_fault};
use super::sql::Site;
use super::sql::holders::Catalogues;
use super::sql::outer::{Outer, cast};
use super::sql::prune::prune;
use super::sql::spell::spell;
use super::trace::{Cell, Trace, trace, unsteady_function};
use super::{ColumnUse, PlanFault, TableColumn, Usage};
use crate::catalogue::Catalogue;

/// One holder's part.
pub(super) struct Part {
    pub(super) holder: PartyId,
    pub(super) sql: String,
    pub(super) trace: Trace,
    /// The types of its output: the keys', then the arguments'.
    pub(super) types: Vec<DataType>,
    /// Whether its output columns can be NULL.
    pub(super) nullable: Vec<bool>,
    pub(super) tables: BTreeSet<String>,
    pub(super) rows_at_most: u64,
    /// The first thing in it that is not done row by row.
    pub(super) beyond_rows: Option<String>,
}

/// What is done to a column so that all holders give the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convert {
    Keep,
    /// To text, the form of every key.
    Text,
    /// To a decimal at this scale, and from there to text.
    DecimalText(i8),
    /// To a decimal at this scale.
    Decimal(i8),
    /// To a double.
    Double,
    /// From a day to a whole number of days.
    Days,
}

/// Everything that the parts of all holders are made from.
pub(super) struct Whole<'a> {
    pub(super) select: &'a Select,
    pub(super) outer: &'a Outer,
    pub(super) catalogues: &'a Catalogues,
    pub(super) schemas: &'a Schemas,
    pub(super) site: Site,
    /// The job's own bound on the rows of a part.
    pub(super) max_rows: Option<u64>,
    /// The key of a join between holders: columns `j0…` after all others.
    pub(super) key: &'a [JoinKey],
}

/// One column of the key of a join between holders.
#[derive(Clone, Debug)]
pub(super) struct JoinKey {
    pub(super) expr: Expr,
    pub(super) convert: Convert,
}

impl Whole<'_> {
    /// The part of one holder. `convert` has one entry for each key and argument, or none at all.
    pub(super) fn part(
        &self,
        holder: &PartyId,
        convert: &[Convert],
    ) -> Result<Part, Vec<PlanFault>> {
        let keys = self.outer.keys.iter().enumerate();
        let keys = keys.map(|(i, key)| (format!("k{i}"), key.expr.clone()));
        let args = self.outer.args.iter().enumerate();
        let args = args.map(|(i, arg)| (format!("a{i}"), arg.expr.clone()));
        let exprs = keys.chain(args).enumerate().map(|(i, (name, expr))| {
            let convert = convert.get(i).copied().unwrap_or(Convert::Keep);
            (name, expr, convert)
        });
        let joined = self.key.iter().enumerate();
        let joined = joined.map(|(i, key)| (format!("j{i}"), key.expr.clone(), key.convert));
        let sql = self.sql(holder, exprs.chain(joined).collect())?;
        let place = format!("the part of {holder}");
        let fault = |e: DataFusionError| vec![engine_fault(&place, &e)];
        let raw = self.schemas.read(&sql).map_err(fault)?;
        let mixed = mixed_comparison(&raw);
        let plan = self.schemas.analyse(raw).map_err(fault)?;
        let refuse = |what: String, fix: &str| {
            let (place, fix) = (place.clone(), fix.to_owned());
            Err(vec![PlanFault { place, what, fix }])
        };
        if let Ok(Some(function)) = unsteady_function(&plan) {
            let what =
                format!("{function}() gives each holder another value, so nobody could approve it");
            return refuse(what, "write the date or number out");
        }
        if let Ok(Some(pair)) = mixed {
            let what = format!("{pair} mixes text and a number");
            return refuse(what, "CAST one side to the type of the other");
        }
        let trace = trace(&plan).map_err(fault)?;
        let (mut types, mut nullable) = (Vec::new(), Vec::new());
        for field in plan.schema().fields() {
            types.push(field.data_type().clone());
            nullable.push(field.is_nullable());
        }
        let tables = tables_of(&plan);
        let published = self.catalogues.get(holder).map_or(0, |c| rows_of(&plan, c));
        let rows_at_most = published.min(self.max_rows.unwrap_or(u64::MAX));
        Ok(Part {
            holder: holder.clone(),
            sql,
            trace,
            types,
            nullable,
            tables,
            rows_at_most,
            beyond_rows: beyond_rows(&plan),
        })
    }

    /// The types of some expressions over one holder's rows.
    pub(super) fn types_of(
        &self,
        holder: &PartyId,
        exprs: &[Expr],
    ) -> Result<Vec<DataType>, Vec<PlanFault>> {
        if exprs.is_empty() {
            return Ok(Vec::new());
        }
        let named = exprs.iter().enumerate();
        let named = named.map(|(i, e)| (format!("x{i}"), e.clone(), Convert::Keep));
        let sql = self.sql(holder, named.collect())?;
        let plan = self
            .schemas
            .read(&sql)
            .and_then(|raw| self.schemas.analyse(raw))
            .map_err(|e| vec![engine_fault(&format!("the part of {holder}"), &e)])?;
        let fields = plan.schema().fields().iter();
        Ok(fields.map(|f| f.data_type().clone()).collect())
    }

    /// The query of one holder: expressions with their names and conversions, over its own rows.
    fn sql(
        &self,
        holder: &PartyId,
        exprs: Vec<(String, Expr, Convert)>,
    ) -> Result<String, Vec<PlanFault>> {
        let mut select = self.select.clone();
        select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
        select.having = None;
        prune(&mut select, holder.as_str());
        let (mut names, mut converts) = (Vec::new(), Vec::new());
        select.projection.clear();
        for (name, expr, convert) in exprs {
            names.push(name);
            converts.push(convert);
            select.projection.push(SelectItem::UnnamedExpr(expr));
        }
        // Names are given after spelling: `k0` is not the table's column `K0`.
        spell(&mut select, holder.as_str(), self.catalogues, self.site)?;
        for ((item, name), convert) in select.projection.iter_mut().zip(names).zip(converts) {
            if let SelectItem::UnnamedExpr(expr) = item {
                *item = SelectItem::ExprWithAlias {
                    expr: convert.apply(expr.clone()),
                    alias: Ident::new(name),
                };
            }
        }
        Ok(lines(&select))
    }
}

/// The first node of a plan that does more than choose, transform and append rows.
fn beyond_rows(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let by_row = |node: &LogicalPlan| {
        matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::Union(_)
        )
    };
    // Nothing below fails: the visitor only looks.
    let _ = plan.apply_with_subqueries(|node| {
        if by_row(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        let text = node.display().to_string();
        found = Some(text.split([':', '(']).next().unwrap_or_default().to_owned());
        Ok(TreeNodeRecursion::Stop)
    });
    found
}

impl Convert {
    pub(super) fn apply(self, expr: Expr) -> Expr {
        let text = |e| cast(e, SqlType::Varchar(None));
        let decimal = |e, scale: i8| {
            let info = ExactNumberInfo::PrecisionAndScale(38, i64::from(scale));
            cast(e, SqlType::Decimal(info))
        };
        match self {
            Self::Keep => expr,
            Self::Text => text(expr),
            Self::DecimalText(scale) => text(decimal(expr, scale)),
            Self::Decimal(scale) => decimal(expr, scale),
            Self::Double => cast(expr, SqlType::Double(ExactNumberInfo::None)),
            Self::Days => cast(expr, SqlType::Int(None)),
        }
    }
}

/// A SELECT with nothing but a list, FROM and WHERE, a line for each.
fn lines(select: &Select) -> String {
    fn listed<T: std::fmt::Display>(items: &[T]) -> String {
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        items.join(", ")
    }
    let mut text = format!(
        "SELECT {}\nFROM {}",
        listed(&select.projection),
        listed(&select.from)
    );
    if let Some(selection) = &select.selection {
        text.push_str(&format!("\nWHERE {selection}"));
    }
    text
}

/// The argument of a job that counts rows and nothing else: a query must have a column.
pub(super) fn one() -> Expr {
    Expr::value(Value::Number("1".into(), false))
}

impl Part {
    /// The uses of the output, added to those below it: keys group, arguments are aggregated.
    ///
    /// Columns after those are used as `joined_as` says. `hidden` says for each key whether its values are shown although they are not published.
    pub(super) fn uses(
        &self,
        outer: &Outer,
        hidden: &[bool],
        joined_as: &[Usage],
    ) -> Vec<ColumnUse> {
        let mut uses = self.trace.uses.clone();
        let mut add = |bases: &BTreeSet<TableColumn>, usage: Usage| {
            uses.extend(bases.iter().map(|base| ColumnUse {
                table: base.table.clone(),
                column: base.column.clone(),
                usage,
            }));
        };
        for row in &self.trace.rows {
            let (keys, rest) = row.split_at(outer.keys.len());
            let (args, joined) = rest.split_at(outer.args.len());
            // The last use is that of all further columns.
            let last = joined_as.last().into_iter().cycle();
            for (cell, usage) in joined.iter().zip(joined_as.iter().chain(last)) {
                add(&cell.bases, *usage);
            }
            for (key, hidden) in keys.iter().zip(hidden) {
                add(&key.bases, Usage::GroupBy);
                if *hidden {
                    add(&key.bases, Usage::GroupByHidden);
                }
            }
            for (cell, arg) in args.iter().zip(&outer.args) {
                let (values, conditions) = self.by_position(cell);
                add(&conditions, Usage::Filter);
                // Nothing is aggregated of it: it decides which rows count.
                if arg.asked.is_empty() {
                    add(&values, Usage::Filter);
                }
                for asked in &arg.asked {
                    add(&values, Usage::Aggregate(*asked));
                }
            }
        }
        uses.into_iter().collect()
    }

    /// The uses below the output, and for each output column this one of everything that it depends on, conditions too.
    pub(super) fn uses_as(&self, usages: &[Usage]) -> Vec<ColumnUse> {
        let mut uses = self.trace.uses.clone();
        for (cell, usage) in self
            .trace
            .rows
            .iter()
            .flat_map(|row| row.iter().zip(usages))
        {
            uses.extend(cell.bases.iter().map(|base| ColumnUse {
                table: base.table.clone(),
                column: base.column.clone(),
                usage: *usage,
            }));
        }
        uses.into_iter().collect()
    }

    /// The base columns whose values make those of an output column.
    pub(super) fn added_up(&self, column: usize) -> BTreeSet<TableColumn> {
        let cells = self.trace.rows.iter().map(|row| &row[column]);
        cells.flat_map(|cell| self.by_position(cell).0).collect()
    }

    /// Whether an output column is of this form in every alternative.
    pub(super) fn has_form(&self, column: usize, form: fn(&EngineExpr) -> bool) -> bool {
        let mut exprs = self.trace.rows.iter().map(|row| &row[column].expr);
        exprs.all(|expr| expr.as_ref().is_some_and(form))
    }

    /// The base columns of an argument that make its value, and those that only decide which value it is.
    fn by_position(&self, cell: &Cell) -> (BTreeSet<TableColumn>, BTreeSet<TableColumn>) {
        let Some(expr) = &cell.expr else {
            return (cell.bases.clone(), BTreeSet::new());
        };
        let (mut values, mut conditions) = (BTreeSet::new(), BTreeSet::new());
        self.walk(expr, false, &mut values, &mut conditions);
        (values, conditions)
    }

    fn walk(
        &self,
        expr: &EngineExpr,
        deciding: bool,
        values: &mut BTreeSet<TableColumn>,
        conditions: &mut BTreeSet<TableColumn>,
    ) {
        match expr {
            EngineExpr::Column(_) => {
                let found = self.trace.columns_of(expr);
                let scanned = found.iter().filter_map(|key| self.trace.scanned.get(key));
                let bases = scanned.filter_map(|s| s.base.clone());
                if deciding {
                    conditions.extend(bases);
                } else {
                    values.extend(bases);
                }
            }
            EngineExpr::Case(case) => {
                if let Some(operand) = &case.expr {
                    self.walk(operand, true, values, conditions);
                }
                for (when, then) in &case.when_then_expr {
                    self.walk(when, true, values, conditions);
                    self.walk(then, deciding, values, conditions);
                }
                if let Some(otherwise) = &case.else_expr {
                    self.walk(otherwise, deciding, values, conditions);
                }
            }
            other => {
                let deciding = deciding || decides(other);
                // Nothing below fails: the visitor only collects.
                let _ = other.apply_children(|child| {
                    self.walk(child, deciding, values, conditions);
                    Ok(TreeNodeRecursion::Continue)
                });
            }
        }
    }
}

/// Whether an expression answers yes or no about its parts.
fn decides(expr: &EngineExpr) -> bool {
    match expr {
        EngineExpr::BinaryExpr(binary) => compares(binary.op) || binary.op.is_logic_operator(),
        EngineExpr::Like(_)
        | EngineExpr::SimilarTo(_)
        | EngineExpr::Not(_)
        | EngineExpr::IsNull(_)
        | EngineExpr::IsNotNull(_)
        | EngineExpr::IsTrue(_)
        | EngineExpr::IsFalse(_)
        | EngineExpr::IsUnknown(_)
        | EngineExpr::IsNotTrue(_)
        | EngineExpr::IsNotFalse(_)
        | EngineExpr::IsNotUnknown(_)
        | EngineExpr::Between(_)
        | EngineExpr::InList(_) => true,
        _ => false,
    }
}

fn tables_of(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    tables
}

/// The most rows that a query can yield, from the published sizes of its tables.
fn rows_of(plan: &LogicalPlan, catalogue: &Catalogue) -> u64 {
    let of = |plan: &LogicalPlan| rows_of(plan, catalogue);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let table = catalogue.tables.get(scan.table_name.table());
            table.map_or(0, |t| t.rows_at_most)
        }
        LogicalPlan::Union(union) => {
            let branches = union.inputs.iter().map(|i| of(i));
            branches.fold(0, u64::saturating_add)
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (of(&join.left), of(&join.right));
            match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
                JoinType::Inner => left.saturating_mul(right),
                JoinType::Left | JoinType::Right | JoinType::Full => {
                    let pairs = left.saturating_mul(right);
                    pairs.saturating_add(left).saturating_add(right)
                }
            }
        }
        LogicalPlan::Values(values) => values.values.len() as u64,
        LogicalPlan::EmptyRelation(_) => 1,
        other => other
            .inputs()
            .into_iter()
            .map(of)
            .fold(0, u64::saturating_add),
    }
}

/// A comparison or a calculation with a text and a number, which the engine would make between texts: `'10' < '9'`.
/// Looked for before the engine has converted one side, so that a CAST in the job is no fault.
fn mixed_comparison(raw: &LogicalPlan) -> Result<Option<String>, DataFusionError> {
    let mut found = None;
    raw.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if found.is_none() && mixes(e, &schema) {
                    found = Some(e.human_display().to_string());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn mixes(expr: &EngineExpr, schema: &DFSchema) -> bool {
    let kinds = |parts: &[&EngineExpr]| {
        let kinds = parts.iter().filter_map(|e| e.get_type(schema).ok());
        let kinds: Vec<DataType> = kinds.collect();
        kinds.iter().any(is_text) && kinds.iter().any(DataType::is_numeric)
    };
    match expr {
        EngineExpr::BinaryExpr(binary) => {
            let plain = compares(binary.op) || binary.op.is_numerical_operators();
            plain && kinds(&[&binary.left, &binary.right])
        }
        EngineExpr::InList(list) => list.list.iter().any(|item| kinds(&[&list.expr, item])),
        EngineExpr::Between(between) => kinds(&[&between.expr, &between.low, &between.high]),
        _ => false,
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{
        Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, RegexIMatch, RegexMatch,
        RegexNotIMatch, RegexNotMatch,
    };
    matches!(
        op,
        Eq | NotEq
            | Lt
            | LtEq
            | Gt
            | GtEq
            | IsDistinctFrom
            | IsNotDistinctFrom
            | RegexMatch
            | RegexIMatch
            | RegexNotMatch
            | RegexNotIMatch
    )
}

fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}
