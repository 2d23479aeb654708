//! Tables of which only the rows of persons who consent can be read.

use std::path::PathBuf;
use std::sync::Arc;

use coordinator::contract::Digest;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::JoinType;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};

use super::{DataSource, DatasetSpec, SourceColumn, SourceError};
use crate::catalogue::ColumnKind;

/// Whose rows of a dataset may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Those in which a column has this value.
    Given {
        /// The column.
        column: String,
        /// The value, as text.
        value: String,
    },
    /// Those of persons who are not on a list of withdrawals.
    Withdrawn {
        /// The list: a CSV or Parquet file.
        list: PathBuf,
        /// The column by which persons are known, in the dataset and in the list.
        column: String,
    },
}

/// A table behind its consents. Whoever reads it never sees the other rows.
#[derive(Debug)]
pub(super) struct Consented {
    inner: Arc<dyn DataSource>,
    withdrawals: Option<Arc<dyn DataSource>>,
    words: String,
    view: Arc<ViewTable>,
}

impl Consented {
    /// Puts a table behind its consents.
    pub(super) async fn open(
        name: &str,
        inner: Arc<dyn DataSource>,
        consent: &Consent,
    ) -> Result<Self, SourceError> {
        let (Consent::Given { column, .. } | Consent::Withdrawn { column, .. }) = consent;
        let kind = kind_of(name, inner.as_ref(), column)?;
        let (withdrawals, plan, words) = match consent {
            Consent::Given { column, value } => (
                None,
                given(inner.as_ref(), column, value),
                format!("only rows whose {column} is \"{value}\" are used"),
            ),
            Consent::Withdrawn { list, column } => {
                let withdrawals = super::opened(name, &DatasetSpec::of_file(list)).await?;
                let listed = kind_of("the list of withdrawals", withdrawals.as_ref(), column)?;
                // Texts of two types differ where the persons do not: a withdrawal would be missed.
                if listed != kind && listed != ColumnKind::Empty {
                    let what =
                        format!("column {column} has another type in the list of withdrawals");
                    let advice = "write the persons there as they stand in the table";
                    return Err(SourceError::column(name, column, what, advice));
                }
                let plan = not_withdrawn(inner.as_ref(), withdrawals.as_ref(), column);
                let words = format!(
                    "rows of persons who have withdrawn their consent (by {column}) are left out, and rows without a {column}"
                );
                (Some(withdrawals), plan, words)
            }
        };
        let plan = plan.map_err(SourceError::from_engine)?;
        Ok(Self {
            inner,
            withdrawals,
            words,
            view: Arc::new(ViewTable::new(plan, None)),
        })
    }
}

impl DataSource for Consented {
    fn columns(&self) -> &[SourceColumn] {
        self.inner.columns()
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.view) as _
    }

    fn origin(&self) -> String {
        self.inner.origin()
    }

    fn is_unchanged(&self) -> bool {
        let list = self.withdrawals.as_ref();
        self.inner.is_unchanged() && list.is_none_or(|list| list.is_unchanged())
    }

    fn content(&self) -> Result<Option<Digest>, SourceError> {
        let Some(content) = self.inner.content()? else {
            return Ok(None);
        };
        let Some(list) = &self.withdrawals else {
            return Ok(Some(content));
        };
        let list = list.content()?;
        Ok(list.map(|list| Digest::of(&[content.0, list.0].concat())))
    }

    fn consent(&self) -> Option<&str> {
        Some(&self.words)
    }
}

fn kind_of(name: &str, table: &dyn DataSource, column: &str) -> Result<ColumnKind, SourceError> {
    let found = table.columns().iter().find(|c| c.name == column);
    let usable = found.filter(|c| c.kind.arrow().is_some());
    usable.map(|c| c.kind.clone()).ok_or_else(|| {
        let what =
            "consents are looked up in it, and it is not there or of a type that cannot be read";
        let advice = "correct `consent` of the dataset: names are compared exactly";
        SourceError::column(name, column, what, advice)
    })
}

fn scan(table: &dyn DataSource, alias: &str) -> Result<LogicalPlanBuilder, DataFusionError> {
    LogicalPlanBuilder::scan(alias, provider_as_source(table.provider()), None)
}

fn text(column: Expr) -> Expr {
    cast(column, DataType::Utf8)
}

/// A row without the value, or without any, is left out.
fn given(
    table: &dyn DataSource,
    column: &str,
    value: &str,
) -> Result<LogicalPlan, DataFusionError> {
    let is_given = text(ident(column)).eq(lit(value));
    scan(table, "rows")?.filter(is_given)?.build()
}

/// A row of nobody is left out too: whose it is, and whether that person has withdrawn, cannot be told.
fn not_withdrawn(
    table: &dyn DataSource,
    withdrawals: &dyn DataSource,
    column: &str,
) -> Result<LogicalPlan, DataFusionError> {
    let of = |alias: &str| {
        Expr::Column(datafusion::common::Column::new(
            Some(alias.to_owned()),
            column,
        ))
    };
    let persons = (vec![text(of("rows"))], vec![text(of("withdrawn"))]);
    scan(table, "rows")?
        .filter(of("rows").is_not_null())?
        .join_with_expr_keys(
            scan(withdrawals, "withdrawn")?.build()?,
            JoinType::LeftAnti,
            persons,
            None,
        )?
        .build()
}
