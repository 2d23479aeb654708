//! The query engine over tables that have a schema and no rows: names and types, checked as a holder's engine will.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{self as engine, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr, TableWithJoins};
use futures::FutureExt;

use super::PlanFault;
use super::sql::Site;
use super::sql::holders::Catalogues;
use crate::catalogue::arrow_schema;
use crate::source::{EngineConfig, make_context};
use crate::spec::near::near;

/// The published tables as the query engine sees them.
pub(super) struct Schemas {
    state: SessionState,
}

impl Schemas {
    /// All tables of all holders, as `holder.table`.
    pub(super) fn of(catalogues: &Catalogues) -> Self {
        let tables = catalogues.iter().map(|(party, catalogue)| {
            let tables = catalogue.tables.iter();
            let tables = tables.map(|(name, entry)| (name.clone(), arrow_schema(entry)));
            (party.as_str().to_owned(), tables.collect())
        });
        Self::new(tables.collect())
    }

    /// The one table that a receiver's query reads.
    pub(super) fn of_released(name: &str, columns: Vec<(String, DataType)>) -> Self {
        let fields = columns
            .into_iter()
            .map(|(name, kind)| Field::new(name, kind, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let tables = BTreeMap::from([(name.to_owned(), schema)]);
        Self::new(BTreeMap::from([(crate::source::SCHEMA.to_owned(), tables)]))
    }

    fn new(schemas: BTreeMap<String, BTreeMap<String, Arc<Schema>>>) -> Self {
        let context = make_context(EngineConfig::default());
        let catalog = context
            .catalog_names()
            .into_iter()
            .next()
            .and_then(|name| context.catalog(&name))
            .expect("a session is created with its default catalog");
        for (name, tables) in schemas {
            let schema = MemorySchemaProvider::new();
            for (table, columns) in tables {
                schema
                    .register_table(table, Arc::new(EmptyTable::new(columns)))
                    .expect("names in a map are distinct");
            }
            catalog
                .register_schema(&name, Arc::new(schema))
                .expect("an in-memory catalog accepts schemas");
        }
        Self {
            state: context.state(),
        }
    }

    pub(super) fn state(&self) -> &SessionState {
        &self.state
    }

    /// The plan of a query as it is written.
    pub(super) fn read(&self, sql: &str) -> Result<LogicalPlan, DataFusionError> {
        // Nothing is awaited but maps in memory, so the future is ready at once.
        self.state
            .create_logical_plan(sql)
            .now_or_never()
            .ok_or_else(|| DataFusionError::Internal("a table in memory was not ready".into()))?
    }

    /// The value of an expression over these tables where every column is NULL, of its own type.
    pub(super) fn without_row(
        &self,
        expr: &Expr,
        from: &TableWithJoins,
    ) -> Result<ScalarValue, DataFusionError> {
        let raw = self.read(&format!("SELECT {expr} AS c FROM {from}"))?;
        let LogicalPlan::Projection(projection) = self.analyse(raw)? else {
            return Err(DataFusionError::Internal("no projection".to_owned()));
        };
        let columns = projection.input.schema();
        let nulls = projection.expr[0].clone().transform(|expr| {
            let engine::Expr::Column(column) = &expr else {
                return Ok(Transformed::no(expr));
            };
            let null = ScalarValue::try_from(columns.data_type(column)?)?;
            Ok(Transformed::yes(engine::Expr::Literal(null, None)))
        })?;
        let schema = DFSchema::empty();
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(self.state.config_options()))
            .build();
        let expr = ExprSimplifier::new(context).simplify(nulls.data)?;
        let physical = self.state.create_physical_expr(expr, &schema)?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        let found = physical.evaluate(&row)?.into_array(1)?;
        ScalarValue::try_from_array(&found, 0)
    }

    /// Whether a condition is true of a row in which every column is NULL.
    pub(super) fn is_true_without_row(
        &self,
        condition: &Expr,
        from: &TableWithJoins,
        site: Site,
    ) -> Result<bool, PlanFault> {
        let value = self.without_row(condition, from).map_err(|e| {
            let what = format!("{condition} cannot be told for a row without a match: {e}");
            site.fault(
                condition,
                what,
                "write it over columns of the table whose rows are all kept",
            )
        })?;
        Ok(matches!(value, ScalarValue::Boolean(Some(true))))
    }

    /// The plan with every type agreed, conversions written out.
    pub(super) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let options = self.state.config_options();
        self.state
            .analyzer()
            .execute_and_check(plan, options, |_, _| {})
    }
}

/// An engine's refusal as a fault of the job.
pub(super) fn engine_fault(place: &str, error: &DataFusionError) -> PlanFault {
    let mut error = error;
    loop {
        error = match error {
            DataFusionError::Collection(all) if !all.is_empty() => &all[0],
            DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => inner,
            other => break error_text(place, other),
        };
    }
}

fn error_text(place: &str, error: &DataFusionError) -> PlanFault {
    use datafusion::common::SchemaError::FieldNotFound;
    if let DataFusionError::SchemaError(schema, _) = error
        && let FieldNotFound {
            field,
            valid_fields,
        } = schema.as_ref()
    {
        let names = valid_fields.iter().map(|c| c.name.as_str());
        let found = near(&field.name, names.clone());
        let known: Vec<&str> = names.take(20).collect();
        return PlanFault {
            place: place.to_owned(),
            what: format!(
                "there is no column {} at this place of the query",
                field.name
            ),
            fix: match found.as_slice() {
                [] => format!("columns here are {}", known.join(", ")),
                near => format!("did you mean {}?", near.join(" or ")),
            },
        };
    }
    let text = error.strip_backtrace();
    let text = text
        .strip_prefix("Error during planning: ")
        .unwrap_or(&text);
    PlanFault {
        place: place.to_owned(),
        what: text.trim().trim_end_matches('.').to_owned(),
        fix: "correct the expression, or CAST its parts to the types that it needs".to_owned(),
    }
}
