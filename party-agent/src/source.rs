//! Where rows come from: CSV, Parquet and PostgreSQL behind one trait.
//!
//! Every source hands out the same few Arrow types ([`ColumnKind::arrow`](crate::catalogue::ColumnKind::arrow)), so that a plan made from
//! catalogues runs unchanged whatever holds the rows. A column of another type is listed and cannot be queried.

mod error;
mod stamp;
mod consent;
mod csv;
mod nvl2;
mod parquet;
mod postgres;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use coordinator::contract::Digest;
use protocols::party::PartyId;

use crate::catalogue::ColumnKind;

pub use consent::Consent;
pub use error::SourceError;
pub use postgres::Connection;

/// The schema in which this holder's tables stand for its own queries: `party."visits"`.
pub const SCHEMA: &str = "party";

/// One column as its source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its name, exactly.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
    /// Whether the source allows NULL in it.
    pub nullable: bool,
}

/// One table of a holder, wherever it is stored.
pub trait DataSource: fmt::Debug + Send + Sync {
    /// All columns in the table's order, with those whose type cannot be queried.
    fn columns(&self) -> &[SourceColumn];

    /// The table for the query engine: the columns of a usable kind, under [`schema_of`] their types.
    fn provider(&self) -> Arc<dyn TableProvider>;

    /// What a person calls the place, such as a file's path. For the holder alone.
    fn origin(&self) -> String;

    /// Whether the rows are still those that were there when the table was opened; false where that cannot be told.
    fn is_unchanged(&self) -> bool {
        false
    }

    /// The digest of the files in which it stands, as they were when it was opened, or of the rows of a table in a database
    /// that its holder commits to, as they were when this was first asked; none of other tables. Only from a thread that may
    /// wait, within a runtime.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be read, or has changed.
    fn content(&self) -> Result<Option<Digest>, SourceError> {
        Ok(None)
    }

    /// Whose rows cannot be seen through it, in words, if it is filtered by consents.
    fn consent(&self) -> Option<&str> {
        None
    }
}

/// The Arrow schema of the usable columns.
#[must_use]
pub fn schema_of(columns: &[SourceColumn]) -> SchemaRef {
    let fields = columns
        .iter()
        .filter_map(|c| Some(Field::new(&c.name, c.kind.arrow()?, c.nullable)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A name as SQL reads it back exactly, here and in PostgreSQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How this holder's query engine runs. Not part of a plan: results are the same under every setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Streams that one query is split into.
    pub target_partitions: usize,
    /// Rows in one batch.
    pub batch_size: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            target_partitions: 1,
            batch_size: 8192,
        }
    }
}

/// Where one dataset is, as a holder's configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetSpec {
    /// A CSV file with a header, in UTF-8.
    Csv(PathBuf),
    /// A Parquet file.
    Parquet(PathBuf),
    /// A table or view in a PostgreSQL database.
    Postgres {
        /// Where the connection string stands; it is never written down elsewhere.
        connection: Connection,
        /// The table's schema there.
        schema: String,
        /// The table's name there.
        table: String,
        /// Whether its catalogue commits to its rows: they are read as a whole when it is published and before each scan, and a
        /// table that has changed is refused.
        commits: bool,
    },
}

/// All tables of one holder.
#[derive(Clone, Debug, Default)]
pub struct Source {
    tables: BTreeMap<String, Arc<dyn DataSource>>,
    engine: EngineConfig,
    /// Sessions in which jobs have read these tables.
    reads: Arc<AtomicU64>,
}

impl Source {
    /// A holder without tables: a dealer or a mere receiver.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every `NAME.csv` and `NAME.parquet` of a directory as the table `NAME`. Other files, and those whose name
    /// begins with a dot, are left alone.
    ///
    /// # Errors
    /// [`SourceError::File`] for an unreadable directory or file, and for two files of one table name.
    pub async fn open_dir(dir: &Path) -> Result<Self, SourceError> {
        let unreadable = |e: std::io::Error| {
            SourceError::file(
                dir,
                format!("cannot be read: {e}"),
                "name a directory that holds this party's tables",
            )
        };
        let mut source = Self::default();
        let entries = std::fs::read_dir(dir).map_err(unreadable)?;
        let mut paths = entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        paths.sort();
        for path in paths {
            let Some(stem) = path.file_stem() else {
                continue;
            };
            if stem.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let spec = match path
                .extension()
                .and_then(|e| e.to_str())
                .map(str::to_ascii_lowercase)
                .as_deref()
            {
                Some("csv") => DatasetSpec::Csv(path.clone()),
                Some("parquet") => DatasetSpec::Parquet(path.clone()),
                _ => continue,
            };
            let Some(name) = stem.to_str() else {
                let advice = "rename it: a table is named after its file";
                return Err(SourceError::file(
                    &path,
                    "the file's name is not UTF-8",
                    advice,
                ));
            };
            if source.tables.contains_key(name) {
                let advice = "keep one file a table";
                return Err(SourceError::file(
                    &path,
                    format!("table {name} has two files"),
                    advice,
                ));
            }
            source.add(name, &spec).await?;
        }
        Ok(source)
    }

    /// Opens a dataset as the table `name`, replacing one of that name.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be read as a table.
    pub async fn add(&mut self, name: &str, spec: &DatasetSpec) -> Result<(), SourceError> {
        let table = opened(name, spec).await?;
        self.tables.insert(name.to_owned(), table);
        Ok(())
    }

    /// Puts the table `name` behind the consents of the persons in it.
    ///
    /// # Errors
    /// [`SourceError`] if the consents cannot be read.
    pub async fn ask_consent(&mut self, name: &str, consent: &Consent) -> Result<(), SourceError> {
        let advice = "name a table of this party";
        let table = self.tables.get(name);
        let table =
            table.ok_or_else(|| SourceError::table(name, "there is no such table", advice))?;
        let consented = consent::Consented::open(name, Arc::clone(table), consent).await?;
        self.tables.insert(name.to_owned(), Arc::new(consented));
        Ok(())
    }

    /// How often jobs have begun to read these tables.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Registers a table that is already open, replacing one of that name.
    pub fn insert(&mut self, name: &str, table: Arc<dyn DataSource>) {
        self.tables.insert(name.to_owned(), table);
    }

    /// The same tables under another engine configuration.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineConfig) -> Self {
        self.engine = engine;
        self
    }

    /// The tables by name.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<String, Arc<dyn DataSource>> {
        &self.tables
    }

    /// Whether all of these tables are there and hold the rows that they held when they were opened, as far as can be told.
    #[must_use]
    pub fn are_unchanged(&self, names: &[String]) -> bool {
        let is_unchanged = |name: &String| self.tables.get(name).is_some_and(|t| t.is_unchanged());
        names.iter().all(is_unchanged)
    }

    /// A query session in which these tables stand in [`SCHEMA`].
    #[must_use]
    pub fn context(&self) -> SessionContext {
        self.context_named(&[SCHEMA])
    }

    /// A query session for this holder's part of a plan, which names tables as `holder.table`.
    #[must_use]
    pub fn context_of(&self, holder: &PartyId) -> SessionContext {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.context_named(&[SCHEMA, holder.as_str()])
    }

    fn context_named(&self, names: &[&str]) -> SessionContext {
        let context = make_context(self.engine);
        let schema = Arc::new(MemorySchemaProvider::new());
        for (name, table) in &self.tables {
            schema
                .register_table(name.clone(), table.provider())
                .expect("names in a map are distinct");
        }
        let catalog = context
            .catalog(CATALOG)
            .expect("the default catalog is created with the session");
        for name in names {
            catalog
                .register_schema(name, Arc::clone(&schema) as Arc<dyn SchemaProvider>)
                .expect("an in-memory catalog accepts schemas");
        }
        context
    }
}

impl DatasetSpec {
    /// A file, by the ending of its name: Parquet, or else CSV.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let is_parquet = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
        if is_parquet {
            Self::Parquet(path.to_owned())
        } else {
            Self::Csv(path.to_owned())
        }
    }
}

/// Opens a dataset, whose name errors mention.
async fn opened(name: &str, spec: &DatasetSpec) -> Result<Arc<dyn DataSource>, SourceError> {
    Ok(match spec {
        DatasetSpec::Csv(path) => Arc::new(csv::CsvTable::open(path).await?),
        DatasetSpec::Parquet(path) => {
            // The object store refuses `..` in a path; a file that is not there is reported by `open`.
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            Arc::new(parquet::ParquetTable::open(&path).await?)
        }
        DatasetSpec::Postgres {
            connection,
            schema,
            table,
            commits,
        } => {
            let place = (schema.as_str(), table.as_str());
            let connection = connection.clone();
            Arc::new(postgres::PostgresTable::open(name, connection, place, *commits).await?)
        }
    })
}

const CATALOG: &str = "entente";

/// The one place that builds a query session: the planner's, the holders' and the receiver's are alike.
///
/// Names are taken as they are written (no folding to lower case), because the planner quotes them exactly.
#[must_use]
pub fn make_context(engine: EngineConfig) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_target_partitions(engine.target_partitions)
        .with_batch_size(engine.batch_size)
        .with_information_schema(false);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    // As in a job's outermost ORDER BY (`plan/finish.rs`): NULL comes last, whatever the direction.
    config.options_mut().sql_parser.default_null_ordering = "nulls_last".to_owned();
    config.options_mut().execution.parquet.pushdown_filters = true;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udf(nvl2::nvl2());
    context
}
