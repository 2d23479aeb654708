//! CSV files as people really send them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use party_agent::catalogue::ColumnKind;
use party_agent::source::{Source, SourceColumn, SourceError};
use proptest::prelude::*;

use crate::plans;

async fn open(text: impl AsRef<[u8]>) -> Result<(tempfile::TempDir, Source), SourceError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("t.csv"), text).expect("written");
    let source = Source::open_dir(dir.path()).await?;
    Ok((dir, source))
}

async fn query(source: &Source, sql: &str) -> RecordBatch {
    let frame = source.context().sql(sql).await.expect("a valid query");
    let schema = frame.schema().inner().clone();
    let batches = frame.collect().await.expect("it runs");
    concat_batches(&schema, &batches).expect("one schema")
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell = |column: &Arc<dyn Array>, row| match column.is_null(row)
        || column.data_type() == &DataType::Null
    {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).expect("printable"),
    };
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|c| cell(c, row)).collect())
        .collect()
}

fn kinds(source: &Source) -> Vec<(&str, &ColumnKind)> {
    source.tables()["t"]
        .columns()
        .iter()
        .map(|SourceColumn { name, kind, .. }| (name.as_str(), kind))
        .collect()
}

#[tokio::test]
async fn types_names_and_values() {
    let text = "\u{FEFF}患者编号,诊断,paid,visits,\"day, first\",seen,note\r\n\
                00123,高血压,12.50,3,2024-02-29,true,\"a \"\"b\"\",\nc\"\r\n\
                00045,糖尿病,-0.05,,2023-01-01,false,\r\n";
    let (_dir, source) = open(text).await.expect("a table");
    let expected = [
        ("患者编号", ColumnKind::Text),
        ("诊断", ColumnKind::Text),
        (
            "paid",
            ColumnKind::Decimal {
                precision: 4,
                scale: 2,
            },
        ),
        (
            "visits",
            ColumnKind::Int {
                bits: 64,
                signed: true,
            },
        ),
        ("day, first", ColumnKind::Date),
        ("seen", ColumnKind::Bool),
        ("note", ColumnKind::Text),
    ];
    assert_eq!(
        kinds(&source),
        expected.iter().map(|(n, k)| (*n, k)).collect::<Vec<_>>()
    );
    let all = query(&source, "SELECT * FROM party.t").await;
    assert_eq!(
        cells(&all),
        [
            [
                "00123",
                "高血压",
                "12.50",
                "3",
                "2024-02-29",
                "true",
                "a \"b\",\nc"
            ],
            [
                "00045",
                "糖尿病",
                "-0.05",
                "NULL",
                "2023-01-01",
                "false",
                "NULL"
            ],
        ]
    );
    let some = query(
        &source,
        "SELECT \"paid\", \"患者编号\" FROM party.\"t\" WHERE \"诊断\" = '糖尿病'",
    )
    .await;
    assert_eq!(cells(&some), [["-0.05", "00045"]]);
    let count = query(&source, "SELECT COUNT(*) FROM party.t").await;
    assert_eq!(cells(&count), [["2"]]);
}

#[tokio::test]
async fn names_are_taken_exactly() {
    let (_dir, source) = open("Age,age,AGE\n1,2,3\n")
        .await
        .expect("three different names");
    assert_eq!(
        cells(&query(&source, "SELECT Age, age, AGE FROM party.t").await),
        [["1", "2", "3"]]
    );
}

#[tokio::test]
async fn a_table_without_rows_or_values() {
    let (_dir, source) = open("a,b\n").await.expect("a table");
    assert_eq!(
        kinds(&source),
        [("a", &ColumnKind::Empty), ("b", &ColumnKind::Empty)]
    );
    let sums = query(
        &source,
        "SELECT COUNT(*), COUNT(a), SUM(CAST(b AS BIGINT)) FROM party.t",
    )
    .await;
    assert_eq!(cells(&sums), [["0", "0", "NULL"]]);
    let (_dir, source) = open("a,b\n,\n,\n").await.expect("a table");
    let sums = query(
        &source,
        "SELECT COUNT(*), COUNT(a), SUM(CAST(b AS BIGINT)) FROM party.t",
    )
    .await;
    assert_eq!(cells(&sums), [["2", "0", "NULL"]]);
}

#[tokio::test]
async fn faults_name_the_file_the_line_and_what_to_do() {
    let gbk = b"id,name\n1,\xB8\xDF\xD1\xAA\xD1\xB9\n";
    let cases: [(&[u8], &str); 13] = [
        (b"", "line 1: the file is empty"),
        (
            b"a,b,a\n1,2,3\n",
            "line 1: columns 1 and 3 are both named a",
        ),
        (
            b"a,,c\n1,2,3\n",
            "line 1: column 2 of the header has no name",
        ),
        (b"a;b\n1;2\n", "line 1: columns are not separated by commas"),
        (b"a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
        (
            b"a,b\n\"x\ny\",2\n3,4,5\n",
            "line 4: 3 fields where the header has 2",
        ),
        (
            b"a,b\n1,2\n\"3,4\n5,6\n",
            "line 3: a quoted field is never closed",
        ),
        (
            b"a,b\n1,2\" pipe\n",
            "line 2: a quote stands inside a field",
        ),
        (gbk, "line 2: column 2 is not UTF-8"),
        (b"a,b\n1,caf\xE9\n", "line 2: column 2 is not UTF-8"),
        (b"\xFF\xFEa\0,\0b\0\n\0", "line 1: the file is in UTF-16"),
        (b"\0a\0,\0b\0\n", "line 1: column 1 contains a zero byte"),
        (b"a,b\n1,x\0y\n", "line 2: column 2 contains a zero byte"),
    ];
    for (text, expected) in cases {
        let fault = open(text).await.expect_err(expected).to_string();
        assert!(
            fault.contains("t.csv, ") && fault.contains(expected),
            "{fault}"
        );
        assert!(fault.matches(';').count() >= 1, "says what to do: {fault}");
    }
}

#[tokio::test]
async fn unreadable_places() {
    let missing = Source::open_dir(Path::new("/nowhere/at/all"))
        .await
        .expect_err("no directory");
    assert!(missing.to_string().contains("/nowhere/at/all"), "{missing}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    assert!(
        Source::open_dir(dir.path())
            .await
            .expect("a party without data")
            .tables()
            .is_empty()
    );
    std::fs::create_dir(dir.path().join("t.csv")).expect("created");
    let fault = Source::open_dir(dir.path())
        .await
        .expect_err("not a file")
        .to_string();
    assert!(fault.contains("t.csv: this is not a file"), "{fault}");
    std::fs::remove_dir(dir.path().join("t.csv")).expect("removed");
    std::fs::write(
        dir.path().join("._t.csv"),
        "\u{0}what some systems leave behind",
    )
    .expect("written");
    std::fs::write(
        dir.path().join("._t.csv"),
        "\u{0}what some systems leave behind",
    )
    .expect("written");
    std::fs::write(dir.path().join("t.csv"), "a\n1\n").expect("written");
    std::fs::write(dir.path().join("t.parquet"), "PAR1 not really").expect("written");
    let fault = Source::open_dir(dir.path())
        .await
        .expect_err("two files of one name")
        .to_string();
    assert!(fault.contains("table t has two files"), "{fault}");
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_opened_is_refused() {
    let (dir, source) = open("a\n1\n2\n").await.expect("a table");
    std::fs::write(dir.path().join("t.csv"), "a\nx\ny\nz\n").expect("written");
    let frame = source
        .context()
        .sql("SELECT a FROM party.t")
        .await
        .expect("a valid query");
    let fault = frame.collect().await.expect_err("changed").to_string();
    assert!(fault.contains("has changed since it was opened"), "{fault}");
}

/// Any text that is written properly is read back exactly, whatever type is found for its column.
#[test]
fn what_is_written_is_read_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let cell = prop_oneof![
        2 => "[ -~]{0,6}",
        2 => "-?[0-9]{1,4}",
        2 => "-?[0-9]{1,2}\\.[0-9]{1,3}",
        1 => "(true|false|[,\"\n\r]{1,3}|高血压|20[0-9]{2}-0[1-9]-1[0-9])",
        1 => Just(String::new()),
    ];
    let column = prop_oneof![
        prop::collection::vec(cell, 1..12),
        prop::collection::vec("[1-9][0-9]{0,5}".prop_map(String::from), 1..12),
        prop::collection::vec(
            "-?[1-9][0-9]{0,3}\\.[0-9][1-9]".prop_map(String::from),
            1..12
        ),
    ];
    let run = plans::runner(400).run(&prop::collection::vec(column, 2..5), |columns| {
        let n_rows = columns.iter().map(Vec::len).min().unwrap_or(0);
        let mut text = (0..columns.len())
            .map(|i| format!("c{i}"))
            .collect::<Vec<_>>()
            .join(",");
        for row in 0..n_rows {
            let cells: Vec<_> = columns
                .iter()
                .map(|c| format!("\"{}\"", c[row].replace('"', "\"\"")))
                .collect();
            write!(text, "\n{}", cells.join(",")).expect("a String takes all");
        }
        let found = runtime.block_on(async {
            let (_dir, source) = open(&text).await.expect("a table");
            cells(&query(&source, "SELECT * FROM party.t").await)
        });
        for row in 0..n_rows {
            for (i, column) in columns.iter().enumerate() {
                let expected = if column[row].is_empty() {
                    "NULL"
                } else {
                    &column[row]
                };
                let trim = |s: &str| match s.contains('.')
                    && s.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b))
                {
                    true => s.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => s.to_owned(),
                };
                // A decimal column shows all of its digits: 12.5 as 12.50. Nothing else may differ.
                prop_assert_eq!(trim(&found[row][i]), trim(expected));
            }
        }
        Ok(())
    });
    run.expect("reads back");
}

#[tokio::test]
async fn a_million_rows() {
    let mut text = String::from("id,group,amount,visits\n");
    let mut expected = 0i64;
    for i in 0..1_000_000i64 {
        let visits = (i * 7919) % 13;
        expected += visits;
        writeln!(
            text,
            "{:07},g{},{}.{:02},{visits}",
            i,
            i % 20,
            i % 5000,
            i % 100
        )
        .expect("a String takes all");
    }
    let (_dir, source) = open(&text).await.expect("a table");
    drop(text);
    let sums = query(
        &source,
        "SELECT COUNT(*), COUNT(DISTINCT \"group\"), SUM(visits) FROM party.t",
    )
    .await;
    let of = |i: usize| sums.column(i).as_primitive::<Int64Type>().value(0);
    assert_eq!((of(0), of(1), of(2)), (1_000_000, 20, expected));
    let ids = query(&source, "SELECT id FROM party.t WHERE id = '0000007'").await;
    assert_eq!(cells(&ids), [["0000007"]]);
}
