//! Parquet files: types, pushdown, faults.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::physical_plan::displayable;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use party_agent::catalogue::ColumnKind;
use party_agent::source::{EngineConfig, Source};

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, group_rows: usize) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, v)| (n, v, true)))
            .expect("columns");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let file = File::create(path).expect("created");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[tokio::test]
async fn types_become_the_common_ones() {
    // Glob characters, a space and other letters in the path mean themselves.
    let dir = tempfile::Builder::new()
        .prefix("数据 [1]? ")
        .tempdir()
        .expect("a temporary directory");
    let path = dir.path().join("就诊 记录.parquet");
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("a"), None, Some("b")].into_iter().collect();
    let stamps = TimestampNanosecondArray::from(vec![Some(1_000_500), None, Some(-1)])
        .with_timezone("+02:00");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("诊断", Arc::new(dictionary)),
        (
            "score",
            Arc::new(Float32Array::from(vec![Some(0.5), None, Some(-1.25)])),
        ),
        ("at", Arc::new(stamps)),
        (
            "codes",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                Some(vec![Some(1)]),
                None,
                None,
            ])),
        ),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3]))),
    ];
    write(&path, columns, 2);
    let source = Source::open_dir(dir.path()).await.expect("a table");
    let table = &source.tables()["就诊 记录"];
    let kinds: Vec<_> = table.columns().iter().map(|c| c.kind.clone()).collect();
    assert_eq!(
        kinds[..3],
        [ColumnKind::Text, ColumnKind::Float, ColumnKind::Timestamp]
    );
    assert!(
        matches!(&kinds[3], ColumnKind::Other(name) if name.starts_with("List")),
        "{:?}",
        kinds[3]
    );
    let sql = "SELECT COUNT(*), SUM(n), SUM(CASE WHEN score < 0 THEN 1 ELSE 0 END), COUNT(at) FROM party.\"就诊 记录\" WHERE \"诊断\" = 'b'";
    let batches = source
        .context()
        .sql(sql)
        .await
        .expect("a valid query")
        .collect()
        .await
        .expect("it runs");
    let values: Vec<_> = batches[0]
        .columns()
        .iter()
        .map(|c| c.as_primitive::<Int64Type>().value(0))
        .collect();
    assert_eq!(values, [1, 3, 1, 1]);
    let fault = source
        .context()
        .sql("SELECT codes FROM party.\"就诊 记录\"")
        .await;
    assert!(fault.is_err(), "a column of an unusable type is not there");
}

#[tokio::test]
async fn filters_and_projections_reach_the_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100_000));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..100_000).map(|i| format!("row {i}")),
    ));
    write(
        &dir.path().join("t.parquet"),
        vec![("id", ids), ("text", texts)],
        1000,
    );
    for target_partitions in [1, 3] {
        let engine = EngineConfig {
            target_partitions,
            batch_size: 8192,
        };
        let source = Source::open_dir(dir.path())
            .await
            .expect("a table")
            .with_engine(engine);
        let context = source.context();
        let frame = context
            .sql("SELECT id FROM party.t WHERE id BETWEEN 41500 AND 42499")
            .await
            .expect("a valid query");
        let plan = frame.create_physical_plan().await.expect("a plan");
        let batches = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx())
            .await
            .expect("it runs");
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            1000
        );
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert!(
            shown.contains("projection=[id]") && shown.contains("predicate=id"),
            "{shown}"
        );
        let mut leaf = Arc::clone(&plan);
        while let Some(child) = leaf.children().first().map(|c| Arc::clone(c)) {
            leaf = child;
        }
        let metrics = leaf.metrics().expect("a file scan counts");
        let read = metrics.output_rows();
        // Two of a hundred row groups hold them, and the reader drops the other rows.
        assert_eq!(read, Some(1000), "{metrics}");
    }
}

#[tokio::test]
async fn broken_and_changed_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("t.parquet");
    std::fs::write(&path, b"PAR1 this is no Parquet file").expect("written");
    let fault = Source::open_dir(dir.path())
        .await
        .expect_err("broken")
        .to_string();
    assert!(
        fault.contains("t.parquet: this is not a readable Parquet file"),
        "{fault}"
    );

    let numbers = |n| -> ArrayRef { Arc::new(Int32Array::from_iter_values(0..n)) };
    write(&path, vec![("a", numbers(10)), ("b", numbers(10))], 100);
    let source = Source::open_dir(dir.path()).await.expect("a table");
    write(&path, vec![("a", numbers(20))], 100);
    let frame = source
        .context()
        .sql("SELECT b FROM party.t")
        .await
        .expect("a valid query");
    let fault = frame.collect().await.expect_err("changed").to_string();
    assert!(fault.contains("has changed since it was opened"), "{fault}");
}
