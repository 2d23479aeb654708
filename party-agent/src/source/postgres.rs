//! Tables in PostgreSQL: read with binary COPY, only the columns and rows that a query needs.
//!
//! Each scan is one read-only `COPY (SELECT …)` on its own connection, so one scan sees one state of the table. A table that its holder has
//! committed to is read as a whole first, in the same transaction: what is scanned is what was committed to.

mod column;
mod connection;
mod content;
mod copy;
mod filter;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use coordinator::contract::Digest;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::{DataSource, SourceColumn, SourceError, quoted, schema_of};
use column::PgColumn;
pub use connection::Connection;
use connection::Link;
use copy::Decoder;

/// Batches that wait between the database's connection and the query.
const BATCHES_AHEAD: usize = 2;

/// All that follows on the connection sees one state of the table.
const ONE_STATE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// One table or view of a database.
#[derive(Clone, Debug)]
pub(super) struct PostgresTable {
    place: Arc<Place>,
    columns: Arc<[SourceColumn]>,
    /// The columns of a usable kind, in the order of the Arrow schema.
    usable: Arc<[PgColumn]>,
}

/// Where the table is.
#[derive(Debug)]
struct Place {
    /// Its name in this holder's queries and messages.
    name: String,
    connection: Connection,
    schema: String,
    table: String,
    /// Whether its holder commits to its rows.
    commits: bool,
    /// The digest of its rows, from the time on at which they were committed to.
    content: OnceLock<Digest>,
}

impl Place {
    fn is_changed(&self) -> SourceError {
        SourceError::Database {
            table: self.name.clone(),
            what: "the table has changed since its catalogue was published".to_owned(),
            advice: "start the agent again, so that its catalogue is published anew, or leave `committed = true` out of the dataset",
        }
    }
}

impl PostgresTable {
    /// Reads the table's columns from the database's catalogue.
    pub(super) async fn open(
        name: &str,
        connection: Connection,
        (schema, table): (&str, &str),
        commits: bool,
    ) -> Result<Self, SourceError> {
        let place = Place {
            name: name.to_owned(),
            connection,
            schema: schema.to_owned(),
            table: table.to_owned(),
            commits,
            content: OnceLock::new(),
        };
        let link = Link::open(name, &place.connection).await?;
        let found = column::list(&link, schema, table).await?;
        let columns = found.iter().map(|(source, _)| source.clone()).collect();
        let usable = found.into_iter().filter_map(|(_, usable)| usable).collect();
        Ok(Self {
            place: Arc::new(place),
            columns,
            usable,
        })
    }
}

impl PostgresTable {
    /// The digest of its rows as they were when this was first asked.
    async fn committed(&self) -> Result<Digest, SourceError> {
        let place = &self.place;
        let link = Link::open(&place.name, &place.connection).await?;
        let now = content::digest(&link, place, &self.usable).await?;
        match *place.content.get_or_init(|| now) == now {
            true => Ok(now),
            false => Err(place.is_changed()),
        }
    }
}

impl DataSource for PostgresTable {
    fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(PostgresProvider {
            table: self.clone(),
            schema: schema_of(&self.columns),
        })
    }

    /// Only from a thread that may wait.
    fn content(&self) -> Result<Option<Digest>, SourceError> {
        if !self.place.commits {
            return Ok(None);
        }
        let found = tokio::runtime::Handle::current().block_on(self.committed());
        found.map(Some)
    }

    fn origin(&self) -> String {
        let Place {
            connection,
            schema,
            table,
            ..
        } = &*self.place;
        format!("PostgreSQL {schema}.{table}, connection from {connection}")
    }
}

#[derive(Debug)]
struct PostgresProvider {
    table: PostgresTable,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for PostgresProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What can be said in the database's SQL is filtered there, and once more by the engine: a difference in
    /// meaning could only cost time.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match filter::to_sql(filter, &self.table.usable) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&wanted)?);
        let columns: Vec<_> = wanted
            .iter()
            .map(|&i| self.table.usable[i].clone())
            .collect();
        let usable = &self.table.usable;
        let conditions = filters
            .iter()
            .filter_map(|f| filter::to_sql(f, usable))
            .collect::<Vec<_>>();
        let scan = PostgresScan {
            sql: copy_statement(&self.table.place, &columns, &conditions),
            place: Arc::clone(&self.table.place),
            usable: Arc::clone(&self.table.usable),
            columns: columns.into(),
            schema: Arc::clone(&schema),
        };
        let scan: Arc<dyn PartitionStream> = Arc::new(scan);
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            vec![scan],
            None,
            None,
            false,
            limit,
        )?))
    }
}

fn copy_statement(place: &Place, columns: &[PgColumn], conditions: &[String]) -> String {
    let select: Vec<_> = columns.iter().map(|c| c.expression.as_str()).collect();
    let mut sql = format!(
        "COPY (SELECT {} FROM {}.{}",
        select.join(", "),
        quoted(&place.schema),
        quoted(&place.table)
    );
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(") TO STDOUT (FORMAT binary)");
    sql
}

/// One COPY.
#[derive(Clone)]
struct PostgresScan {
    sql: String,
    place: Arc<Place>,
    /// All columns that can be read, to which its holder commits.
    usable: Arc<[PgColumn]>,
    columns: Arc<[PgColumn]>,
    schema: SchemaRef,
}

/// Without the statement: it holds the job's literals.
impl std::fmt::Debug for PostgresScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresScan")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for PostgresScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let batches = stream.tx();
        let scan = self.clone();
        let batch_size = task.session_config().batch_size();
        stream.spawn(async move { scan.read(batch_size, &batches).await.map_err(Into::into) });
        stream.build()
    }
}

impl PostgresScan {
    async fn read(
        &self,
        batch_size: usize,
        batches: &Sender<EngineResult<arrow::array::RecordBatch>>,
    ) -> Result<(), SourceError> {
        let link = Link::open(&self.place.name, &self.place.connection).await?;
        if let Some(committed) = self.place.content.get() {
            let one_state = link.client().batch_execute(ONE_STATE).await;
            one_state.map_err(|e| link.fault(&e))?;
            let now = content::digest(&link, &self.place, &self.usable).await?;
            if now != *committed {
                return Err(self.place.is_changed());
            }
        }
        let copy = link
            .client()
            .copy_out(&self.sql)
            .await
            .map_err(|e| link.fault(&e))?;
        let mut copy = std::pin::pin!(copy);
        let mut decoder = Decoder::new(&self.place.name, &self.columns, &self.schema, batch_size);
        while let Some(bytes) = copy.next().await {
            decoder.push(&bytes.map_err(|e| link.fault(&e))?);
            while let Some(batch) = decoder.next_batch()? {
                if batches.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(last) = decoder.finish()? {
            // The query may have ended in the meantime; then no one wants it.
            batches.send(Ok(last)).await.ok();
        }
        Ok(())
    }
}
