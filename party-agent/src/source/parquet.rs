//! Parquet files: streamed, only the columns and row groups that a query needs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::{ObjectMeta, path::Path as StorePath};
use datafusion::physical_plan::ExecutionPlan;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::stamp::{FileStamp, unreadable};
use super::{DataSource, SourceColumn, SourceError, schema_of};
use crate::catalogue::ColumnKind;
use coordinator::contract::Digest;

/// One Parquet file.
#[derive(Clone, Debug)]
pub(super) struct ParquetTable {
    file: FileStamp,
    columns: Arc<[SourceColumn]>,
}

impl ParquetTable {
    /// Reads the footer.
    pub(super) async fn open(path: &Path) -> Result<Self, SourceError> {
        let path = std::path::absolute(path).map_err(|e| unreadable(path, &e))?;
        let reading = tokio::task::spawn_blocking(move || {
            let file = FileStamp::take(&path)?;
            let columns = read_footer(&file)?;
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

fn read_footer(file: &FileStamp) -> Result<Vec<SourceColumn>, SourceError> {
    let metadata =
        ArrowReaderMetadata::load(&file.open()?, ArrowReaderOptions::new()).map_err(|e| {
            let advice = "check that the file is complete and was written as Parquet";
            SourceError::file(
                &file.path,
                format!("this is not a readable Parquet file: {e}"),
                advice,
            )
        })?;
    let fields = metadata.schema().fields();
    let mut seen = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|f| !seen.insert(f.name().as_str())) {
        let what = format!("two columns are named {}", twice.name());
        return Err(SourceError::file(&file.path, what, "rename one of them"));
    }
    let columns = fields.iter().map(|f| SourceColumn {
        name: f.name().clone(),
        kind: ColumnKind::of(f.data_type()),
        nullable: f.is_nullable(),
    });
    Ok(columns.collect())
}

impl DataSource for ParquetTable {
    fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(ParquetProvider {
            file: self.file.clone(),
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

#[derive(Debug)]
struct ParquetProvider {
    file: FileStamp,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for ParquetProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// The engine hands the filters to the file reader when it plans; it applies what the reader leaves.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        // A file that lacks a column by now would be read as NULL in that column.
        let path = &self.file.path;
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        self.file.check(&metadata)?;
        let file = PartitionedFile::new_from_meta(ObjectMeta {
            location: StorePath::from_absolute_path(path)?,
            last_modified: self.file.modified.into(),
            size: self.file.size,
            e_tag: None,
            version: None,
        });
        let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file(file)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, config).await
    }
}
