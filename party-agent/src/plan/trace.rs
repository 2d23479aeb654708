//! Where every column of a holder's query comes from: as an expression over the columns of its tables where it is
//! one, and as the set of columns that it depends on in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::{
    Aggregate as AggregateNode, Distinct, Expr, Join, JoinType, LogicalPlan, Subquery, TableScan,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::{ColumnUse, TableColumn, Usage};

/// Most alternatives (branches of UNION ALL, multiplied over joins) that are followed.
const MAX_ALTERNATIVES: usize = 256;

/// What is known of one column in one alternative.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// It as an expression over scanned columns; `None` where it is no function of one row of the tables.
    pub(super) expr: Option<Expr>,
    /// The columns of the holder's tables that it depends on.
    pub(super) bases: BTreeSet<TableColumn>,
    /// Whether an outer join can make it NULL.
    pub(super) outer: bool,
}

/// The columns of a plan in one alternative, by position.
pub(super) type Row = Vec<Cell>;

/// A column of one scan of a table or of one list of constants.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    pub(super) field: FieldRef,
    /// Whose column it is; `None` for constants.
    pub(super) base: Option<TableColumn>,
    /// The values of a column of constants.
    pub(super) constants: Vec<ScalarValue>,
}

/// The traced query.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Its output, one row for each alternative.
    pub(super) rows: Vec<Row>,
    /// How it uses columns below its output.
    pub(super) uses: BTreeSet<ColumnUse>,
    /// Scanned columns by the relation and name that expressions use for them.
    pub(super) scanned: BTreeMap<(String, String), Scanned>,
    n_scans: usize,
}

/// Follows a plan down to its tables.
///
/// # Errors
/// A plan with too many alternatives, or of a kind that no SELECT gives.
pub(super) fn trace(plan: &LogicalPlan) -> Result<Trace, DataFusionError> {
    let mut trace = Trace::default();
    trace.rows = trace.node(plan)?;
    Ok(trace)
}

/// The first function in a plan whose value is not a function of the rows alone: clocks and random numbers.
pub(super) fn unsteady_function(plan: &LogicalPlan) -> Result<Option<String>, DataFusionError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| match e {
                Expr::ScalarFunction(f)
                    if f.func.signature().volatility != Volatility::Immutable =>
                {
                    found = Some(f.func.name().to_owned());
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(found)
}

impl Trace {
    fn node(&mut self, plan: &LogicalPlan) -> Result<Vec<Row>, DataFusionError> {
        let rows = match plan {
            LogicalPlan::TableScan(scan) => vec![self.scan(scan)],
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input)?,
            LogicalPlan::Subquery(subquery) => self.node(&subquery.subquery)?,
            LogicalPlan::Repartition(repartition) => self.node(&repartition.input)?,
            LogicalPlan::Limit(limit) => self.node(&limit.input)?,
            LogicalPlan::Distinct(Distinct::All(input)) => self.node(input)?,
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let rows = self.node(&on.input)?;
                self.all_used(&on.on_expr, &on.input, &rows, Usage::Filter)?;
                self.projected(&on.select_expr, &on.input, &rows)?
            }
            LogicalPlan::Projection(projection) => {
                let rows = self.node(&projection.input)?;
                self.projected(&projection.expr, &projection.input, &rows)?
            }
            LogicalPlan::Filter(filter) => {
                let rows = self.node(&filter.input)?;
                let predicate = std::slice::from_ref(&filter.predicate);
                self.all_used(predicate, &filter.input, &rows, Usage::Filter)?;
                rows
            }
            LogicalPlan::Sort(sort) => {
                let rows = self.node(&sort.input)?;
                let exprs: Vec<Expr> = sort.expr.iter().map(|s| s.expr.clone()).collect();
                self.all_used(&exprs, &sort.input, &rows, Usage::Filter)?;
                rows
            }
            LogicalPlan::Window(window) => {
                let mut rows = self.node(&window.input)?;
                let of = &window.window_expr;
                self.all_used(of, &window.input, &rows, Usage::Compute)?;
                for row in &mut rows {
                    for expr in of {
                        let cell = self.resolve(expr, window.input.schema(), row)?;
                        row.push(opaque(cell.bases));
                    }
                }
                rows
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::Union(union) => {
                let mut rows = Vec::new();
                for input in &union.inputs {
                    rows.extend(self.node(input)?);
                }
                rows
            }
            LogicalPlan::Values(values) => vec![self.constants(&values.values, &values.schema)],
            LogicalPlan::EmptyRelation(_) => vec![Row::new()],
            other => {
                let what = format!("{} cannot be part of a job", other.display());
                return Err(DataFusionError::Plan(what));
            }
        };
        if rows.len() > MAX_ALTERNATIVES {
            let what = format!("the query has more than {MAX_ALTERNATIVES} branches at one holder");
            return Err(DataFusionError::Plan(what));
        }
        Ok(rows)
    }

    fn scan(&mut self, scan: &TableScan) -> Row {
        let relation = format!("scan{}", self.n_scans);
        self.n_scans += 1;
        let mut row = Row::new();
        for field in scan.projected_schema.fields() {
            let base = TableColumn {
                table: scan.table_name.table().to_owned(),
                column: field.name().clone(),
            };
            row.push(Cell {
                expr: Some(column(&relation, field.name())),
                bases: BTreeSet::from([base.clone()]),
                outer: false,
            });
            let scanned = Scanned {
                field: Arc::clone(field),
                base: Some(base),
                constants: Vec::new(),
            };
            self.scanned
                .insert((relation.clone(), field.name().clone()), scanned);
        }
        row
    }

    fn constants(&mut self, values: &[Vec<Expr>], schema: &DFSchema) -> Row {
        let relation = format!("scan{}", self.n_scans);
        self.n_scans += 1;
        let mut row = Row::new();
        for (i, field) in schema.fields().iter().enumerate() {
            let constants: Option<Vec<ScalarValue>> =
                values.iter().map(|tuple| literal(tuple.get(i)?)).collect();
            let Some(constants) = constants else {
                row.push(Cell::default());
                continue;
            };
            let scanned = Scanned {
                field: Arc::clone(field),
                base: None,
                constants,
            };
            row.push(Cell {
                expr: Some(column(&relation, field.name())),
                ..Cell::default()
            });
            self.scanned
                .insert((relation.clone(), field.name().clone()), scanned);
        }
        row
    }

    fn projected(
        &mut self,
        exprs: &[Expr],
        input: &LogicalPlan,
        rows: &[Row],
    ) -> Result<Vec<Row>, DataFusionError> {
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let cells = exprs.iter().map(|e| self.resolve(e, input.schema(), row));
            out.push(cells.collect::<Result<Row, _>>()?);
        }
        Ok(out)
    }

    fn aggregate(&mut self, node: &AggregateNode) -> Result<Vec<Row>, DataFusionError> {
        let rows = self.node(&node.input)?;
        self.all_used(&node.group_expr, &node.input, &rows, Usage::Compute)?;
        self.all_used(&node.aggr_expr, &node.input, &rows, Usage::Compute)?;
        let n_columns = node.schema.fields().len();
        let mut out = self.projected(&node.group_expr, &node.input, &rows)?;
        for (grouped, row) in out.iter_mut().zip(&rows) {
            if grouped.len() + node.aggr_expr.len() != n_columns {
                // GROUPING SETS: the output's columns are not those of the expressions.
                let all = row.iter().flat_map(|c| c.bases.clone()).collect();
                *grouped = vec![opaque(all); n_columns];
                continue;
            }
            for expr in &node.aggr_expr {
                let cell = self.resolve(expr, node.input.schema(), row)?;
                grouped.push(opaque(cell.bases));
            }
        }
        Ok(out)
    }

    fn join(&mut self, join: &Join) -> Result<Vec<Row>, DataFusionError> {
        let left = self.node(&join.left)?;
        let right = self.node(&join.right)?;
        if left.len().saturating_mul(right.len()) > MAX_ALTERNATIVES {
            let what = format!("joins of more than {MAX_ALTERNATIVES} pairs of UNION branches");
            return Err(DataFusionError::Plan(what));
        }
        let (on_left, on_right): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        self.all_used(&on_left, &join.left, &left, Usage::Filter)?;
        self.all_used(&on_right, &join.right, &right, Usage::Filter)?;
        let both = join.left.schema().join(join.right.schema())?;
        let mut rows = Vec::new();
        for l in &left {
            for r in &right {
                let pair: Row = l.iter().chain(r).cloned().collect();
                if let Some(filter) = &join.filter {
                    let cell = self.resolve(filter, &both, &pair)?;
                    self.used(&cell.bases, Usage::Filter);
                }
                rows.push(joined(join.join_type, l, r));
            }
        }
        Ok(rows)
    }

    /// Records a use of everything that expressions depend on.
    fn all_used(
        &mut self,
        exprs: &[Expr],
        input: &LogicalPlan,
        rows: &[Row],
        usage: Usage,
    ) -> Result<(), DataFusionError> {
        for row in rows {
            for expr in exprs {
                let cell = self.resolve(expr, input.schema(), row)?;
                self.used(&cell.bases, usage);
            }
        }
        Ok(())
    }

    pub(super) fn used(&mut self, bases: &BTreeSet<TableColumn>, usage: Usage) {
        self.uses.extend(bases.iter().map(|base| ColumnUse {
            table: base.table.clone(),
            column: base.column.clone(),
            usage,
        }));
    }

    /// An expression over a node's input as one over scanned columns.
    fn resolve(
        &mut self,
        expr: &Expr,
        schema: &DFSchema,
        row: &Row,
    ) -> Result<Cell, DataFusionError> {
        let mut cell = Cell::default();
        let mut clear = true;
        for subquery in subqueries(expr)? {
            clear = false;
            let rows = self.node(&subquery.subquery)?;
            let inside: BTreeSet<TableColumn> = rows
                .into_iter()
                .flatten()
                .flat_map(|cell| cell.bases)
                .collect();
            self.used(&inside, Usage::Filter);
            cell.bases.extend(inside);
            for outer in &subquery.outer_ref_columns {
                if let Expr::OuterReferenceColumn(_, column) = outer
                    && let Some(i) = schema.maybe_index_of_column(column)
                {
                    cell.bases.extend(row[i].bases.iter().cloned());
                }
            }
        }
        let resolved = expr.clone().transform_up(|e| match e {
            Expr::Column(column) => {
                let found = schema
                    .maybe_index_of_column(&column)
                    .and_then(|i| row.get(i));
                let Some(source) = found else {
                    clear = false;
                    return Ok(Transformed::no(Expr::Column(column)));
                };
                cell.bases.extend(source.bases.iter().cloned());
                cell.outer |= source.outer;
                match &source.expr {
                    Some(expr) => Ok(Transformed::yes(expr.clone())),
                    None => {
                        clear = false;
                        Ok(Transformed::no(Expr::Column(column)))
                    }
                }
            }
            Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
            Expr::OuterReferenceColumn(..)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::GroupingSet(_) => {
                clear = false;
                Ok(Transformed::no(e))
            }
            other => Ok(Transformed::no(other)),
        })?;
        cell.expr = clear.then_some(resolved.data);
        Ok(cell)
    }

    /// The schema of the scanned columns that an expression mentions.
    pub(super) fn schema_of(&self, expr: &Expr) -> Result<DFSchema, DataFusionError> {
        let fields = self.columns_of(expr).into_iter().filter_map(|key| {
            let scanned = self.scanned.get(&key)?;
            Some((
                Some(TableReference::bare(key.0)),
                Arc::clone(&scanned.field),
            ))
        });
        DFSchema::new_with_metadata(fields.collect(), std::collections::HashMap::new())
    }

    /// The scanned columns that an expression mentions, in a fixed order.
    pub(super) fn columns_of(&self, expr: &Expr) -> BTreeSet<(String, String)> {
        let columns = expr.column_refs().into_iter();
        let keys = columns.map(|c| {
            let relation = c.relation.as_ref().map(|r| r.table().to_owned());
            (relation.unwrap_or_default(), c.name.clone())
        });
        keys.collect()
    }
}

fn column(relation: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(relation)), name))
}

fn opaque(bases: BTreeSet<TableColumn>) -> Cell {
    Cell {
        bases,
        ..Cell::default()
    }
}

fn joined(kind: JoinType, left: &Row, right: &Row) -> Row {
    let nullable = |row: &Row, outer: bool| -> Row {
        let cells = row.iter().cloned();
        cells
            .map(|mut cell| {
                cell.outer |= outer;
                cell
            })
            .collect()
    };
    match kind {
        JoinType::LeftSemi | JoinType::LeftAnti => left.clone(),
        JoinType::RightSemi | JoinType::RightAnti => right.clone(),
        JoinType::LeftMark => left.iter().cloned().chain([Cell::default()]).collect(),
        JoinType::RightMark => right.iter().cloned().chain([Cell::default()]).collect(),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            let mut row = nullable(left, matches!(kind, JoinType::Right | JoinType::Full));
            row.extend(nullable(
                right,
                matches!(kind, JoinType::Left | JoinType::Full),
            ));
            row
        }
    }
}

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Alias(alias) => literal(&alias.expr),
        Expr::Cast(cast) => literal(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::Negative(inner) => literal(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}

fn subqueries(expr: &Expr) -> Result<Vec<Subquery>, DataFusionError> {
    let mut found = Vec::new();
    expr.apply(|e| {
        match e {
            Expr::ScalarSubquery(subquery) => found.push(subquery.clone()),
            Expr::InSubquery(part) => found.push(part.subquery.clone()),
            Expr::Exists(part) => found.push(part.subquery.clone()),
            Expr::SetComparison(part) => found.push(part.subquery.clone()),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
