//! CSV files: a header, UTF-8, comma-separated, empty means NULL, types from the whole file.

mod build;
mod infer;
mod records;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};

use super::stamp::FileStamp;
use super::{DataSource, SourceColumn, SourceError, schema_of};
use build::{BatchBuilder, changed};
use coordinator::contract::Digest;
use infer::Guess;
use records::{Fault, Record, Records};

/// Batches that wait between the thread that reads and the query.
const BATCHES_AHEAD: usize = 2;

/// One CSV file, with the types that all of its values allow.
#[derive(Clone, Debug)]
pub(super) struct CsvTable {
    file: FileStamp,
    columns: Arc<[SourceColumn]>,
}

impl CsvTable {
    /// Reads the whole file once, for its types and its faults.
    pub(super) async fn open(path: &Path) -> Result<Self, SourceError> {
        let file = FileStamp::take(path)?;
        let reading = tokio::task::spawn_blocking(move || {
            let columns = infer(&file)?;
            Ok(Self {
                file,
                columns: columns.into(),
            })
        });
        reading
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }
}

impl DataSource for CsvTable {
    fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(CsvProvider {
            table: self.clone(),
            schema: schema_of(&self.columns),
        })
    }

    fn origin(&self) -> String {
        self.file.path.display().to_string()
    }

    fn is_unchanged(&self) -> bool {
        self.file.is_unchanged()
    }

    fn content(&self) -> Result<Option<Digest>, SourceError> {
        self.file.content().map(Some)
    }
}

fn infer(file: &FileStamp) -> Result<Vec<SourceColumn>, SourceError> {
    let at = |fault| located(file, fault);
    let mut records = Records::new(file.open()?).map_err(at)?;
    let names = match records.next().map_err(at)? {
        Some(header) => header_names(&header).map_err(at)?,
        None => {
            return Err(at(fault(
                1,
                "the file is empty",
                "write a header with the columns' names",
            )));
        }
    };
    let mut guesses: Vec<Guess> = names.iter().map(|_| Guess::default()).collect();
    while let Some(record) = records.next().map_err(at)? {
        check_text(&record, names.len()).map_err(at)?;
        for (i, guess) in guesses.iter_mut().enumerate() {
            guess.see(record.field(i));
        }
    }
    let columns = names.into_iter().zip(guesses);
    Ok(columns
        .map(|(name, guess)| SourceColumn {
            name,
            kind: guess.kind(),
            nullable: guess.n_null > 0,
        })
        .collect())
}

fn header_names(header: &Record<'_>) -> Result<Vec<String>, Fault> {
    check_text(header, header.len())?;
    let mut names = Vec::with_capacity(header.len());
    let mut seen = BTreeMap::new();
    for i in 0..header.len() {
        let name = String::from_utf8(header.field(i).to_vec()).expect("checked above");
        if name.is_empty() {
            let what = format!("column {} of the header has no name", i + 1);
            return Err(fault(header.line, what, "give every column a name"));
        }
        if let Some(first) = seen.insert(name.clone(), i) {
            let what = format!("columns {} and {} are both named {name}", first + 1, i + 1);
            return Err(fault(header.line, what, "rename one of them"));
        }
        names.push(name);
    }
    if let [only] = names.as_slice()
        && only.contains([';', '\t'])
    {
        let advice = "save the file with commas between the columns";
        return Err(fault(
            header.line,
            "columns are not separated by commas",
            advice,
        ));
    }
    Ok(names)
}

/// As many fields as the header, and every one of them text in UTF-8.
fn check_text(record: &Record<'_>, n_columns: usize) -> Result<(), Fault> {
    if record.len() != n_columns {
        let what = format!("{} fields where the header has {n_columns}", record.len());
        let advice =
            "write every row with all columns; a field that contains a comma stands in quotes";
        return Err(fault(record.line, what, advice));
    }
    for i in 0..n_columns {
        let field = record.field(i);
        if std::str::from_utf8(field).is_err() {
            let what = format!("column {} is not UTF-8", i + 1);
            let advice = "save the file as CSV UTF-8, or convert it, for example with: iconv -f GB18030 -t UTF-8 (or -f WINDOWS-1252)";
            return Err(fault(record.line, what, advice));
        }
        if field.contains(&0) {
            let what = format!("column {} contains a zero byte", i + 1);
            let advice = "save the file as CSV UTF-8; a UTF-16 file looks like this";
            return Err(fault(record.line, what, advice));
        }
    }
    Ok(())
}

fn fault(line: u64, what: impl Into<String>, advice: &'static str) -> Fault {
    Fault {
        line,
        what: what.into(),
        advice,
    }
}

fn located(file: &FileStamp, fault: Fault) -> SourceError {
    let Fault { line, what, advice } = fault;
    SourceError::File {
        path: file.path.clone(),
        line: Some(line),
        what,
        advice,
    }
}

#[derive(Debug)]
struct CsvProvider {
    table: CsvTable,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for CsvProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&wanted)?);
        let scan = CsvScan {
            table: self.table.clone(),
            wanted,
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

/// One pass over the file that builds the wanted columns only.
#[derive(Clone, Debug)]
struct CsvScan {
    table: CsvTable,
    /// Indices into the file's columns: a CSV file has no column of an unusable kind.
    wanted: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for CsvScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let batches = stream.tx();
        let scan = self.clone();
        let batch_size = task.session_config().batch_size();
        stream.spawn_blocking(move || {
            scan.read(batch_size, |batch| batches.blocking_send(Ok(batch)).is_ok())
                .map_err(Into::into)
        });
        stream.build()
    }
}

impl CsvScan {
    /// Reads the file into batches until `deliver` wants no more.
    fn read(
        &self,
        batch_size: usize,
        mut deliver: impl FnMut(RecordBatch) -> bool,
    ) -> Result<(), SourceError> {
        let at = |fault| located(&self.table.file, fault);
        let mut records = Records::new(self.table.file.open()?).map_err(at)?;
        records.next().map_err(at)?;
        let mut batch =
            BatchBuilder::new(&self.table.columns, &self.wanted, &self.schema, batch_size);
        while let Some(record) = records.next().map_err(at)? {
            let line = record.line;
            batch.push(&record).map_err(at)?;
            if batch.is_full() && !deliver(finish(&mut batch, line).map_err(at)?) {
                return Ok(());
            }
        }
        if !batch.is_empty() {
            deliver(finish(&mut batch, records.line()).map_err(at)?);
        }
        Ok(())
    }
}

/// `line` is where the batch ends.
fn finish(batch: &mut BatchBuilder, line: u64) -> Result<RecordBatch, Fault> {
    batch
        .finish()
        .ok_or_else(|| changed(line, "a column without NULL before has one now"))
}
