//! What can go wrong with a holder's own data, told to that holder.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault in a holder's own data or in reaching it.
///
/// The text names files, lines, tables and columns and is for the holder alone. What other parties and logs
/// may see of it is [`SourceError::code`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file cannot be read as a table.
    #[error("{}: {what}; {advice}", At { path, line: *line })]
    File {
        /// The file.
        path: PathBuf,
        /// The line at fault, from 1.
        line: Option<u64>,
        /// What is wrong.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A table or its declaration is at fault.
    #[error("table {table}: {what}; {advice}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A column's values or declaration are at fault.
    #[error("column {column} of {table}: {what}; {advice}")]
    Column {
        /// The table, or the tables where a column is computed from several.
        table: String,
        /// The column as a person knows it.
        column: String,
        /// What is wrong; never a value.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The database cannot be reached or refuses.
    #[error("table {table}: PostgreSQL: {what}; {advice}")]
    Database {
        /// The table.
        table: String,
        /// What is wrong.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The query engine refuses a query or fails in it.
    #[error(
        "this holder's query engine: {what}; check the expression in the job against the columns of this table"
    )]
    Engine {
        /// What the engine says. May quote a value: for the holder alone.
        what: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl SourceError {
    /// A word for other parties and logs, which says nothing about the data.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "source_file",
            Self::Table { .. } => "source_table",
            Self::Column { .. } => "source_column",
            Self::Database { .. } => "source_database",
            Self::Engine { .. } => "source_query",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn file(path: &Path, what: impl Into<String>, advice: &'static str) -> Self {
        Self::File {
            path: path.to_owned(),
            line: None,
            what: what.into(),
            advice,
        }
    }

    pub(crate) fn table(table: &str, what: impl Into<String>, advice: &'static str) -> Self {
        Self::Table {
            table: table.to_owned(),
            what: what.into(),
            advice,
        }
    }

    pub(crate) fn column(
        table: &str,
        column: &str,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::Column {
            table: table.to_owned(),
            column: column.to_owned(),
            what: what.into(),
            advice,
        }
    }

    /// The fault behind an error of the query engine: ours if a source raised it, else the engine's.
    pub(crate) fn from_engine(error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as E;
        match error {
            E::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Engine {
                    what: first_line(&other),
                },
            },
            E::Context(_, inner) | E::Diagnostic(_, inner) => Self::from_engine(*inner),
            E::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
                Ok(inner) => Self::from_engine(inner),
                Err(shared) => Self::Engine {
                    what: first_line(&shared),
                },
            },
            E::ArrowError(inner, _) => match *inner {
                arrow::error::ArrowError::ExternalError(inner) => Self::from_boxed(inner),
                other => Self::Engine {
                    what: first_line(&other),
                },
            },
            other => Self::Engine {
                what: first_line(&other),
            },
        }
    }

    fn from_boxed(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match error.downcast::<datafusion::error::DataFusionError>() {
            Ok(inner) => Self::from_engine(*inner),
            Err(error) => match error.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Engine {
                    what: first_line(&other),
                },
            },
        }
    }
}

impl From<SourceError> for datafusion::error::DataFusionError {
    fn from(error: SourceError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Backtraces and plans follow the first line of an engine's message and help no one here.
fn first_line(error: &dyn fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or("unknown fault")
        .to_owned()
}

struct At<'a> {
    path: &'a Path,
    line: Option<u64>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.line {
            Some(line) => write!(f, ", line {line}"),
            None => Ok(()),
        }
    }
}
