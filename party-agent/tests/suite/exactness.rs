//! Totals and statistics against plain arithmetic over random tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringViewArray};
use proptest::prelude::*;

use crate::memory::Memory;
use crate::plans::{self, Arg};
use party_agent::source::Source;

/// One row: a group, an integer, a decimal in cents, a double in 2^-20.
type Row = (Option<String>, Option<i64>, Option<i64>, Option<i32>);

const SQL: &str = "SELECT g AS k0, i AS a0, d AS a1, f AS a2 FROM party.t";
const GROUPS: [&str; 3] = ["a", "循环系统疾病（高血压）", ""];

fn source(rows: &[Row], batch_rows: usize, partitions: usize) -> Source {
    let group: ArrayRef = Arc::new(
        rows.iter()
            .map(|r| r.0.as_deref())
            .collect::<StringViewArray>(),
    );
    let int: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>());
    let cents = rows
        .iter()
        .map(|r| r.2.map(i128::from))
        .collect::<Decimal128Array>();
    let cents: ArrayRef = Arc::new(cents.with_precision_and_scale(18, 2).expect("18 digits"));
    let float: ArrayRef = Arc::new(
        rows.iter()
            .map(|r| r.3.map(double))
            .collect::<Float64Array>(),
    );
    Memory::new(
        vec![("g", group), ("i", int), ("d", cents), ("f", float)],
        batch_rows,
    )
    .into_source("t", partitions)
}

fn double(units: i32) -> f64 {
    f64::from(units) / f64::from(1 << 20)
}

fn args() -> Vec<Arg> {
    let cents = i128::from(CENTS);
    vec![
        Arg::exact("i", 0, i64::MIN.into(), i64::MAX.into()).without_squares(),
        Arg::exact("d", 2, -cents, cents),
        Arg::float("f", -2048.0, 2048.0, 40, 40),
    ]
}

const CENTS: i64 = 1_000_000_000_000;

fn row() -> impl Strategy<Value = Row> {
    let group = prop_oneof![
        4 => prop::sample::select(&GROUPS[..]).prop_map(|g| Some(g.to_owned())),
        1 => Just(Some("unlisted".to_owned())),
        1 => Just(None),
    ];
    let int = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -5i64..5];
    let nullable = prop::option::weighted(0.8, (-CENTS..=CENTS).boxed());
    (
        group,
        prop::option::weighted(0.8, int),
        nullable,
        prop::option::weighted(0.8, any::<i32>()),
    )
}

/// What plain SQL gives for one group and one argument.
#[derive(Default)]
struct Naive {
    values: Vec<i128>,
}

impl Naive {
    fn sum(&self) -> Option<i128> {
        (!self.values.is_empty()).then(|| self.values.iter().sum())
    }

    /// By Σ(n·x − S)², which shares no formula with the code under test.
    fn variance(&self, freedom: i128, unit: f64) -> Option<f64> {
        let n = self.values.len() as i128;
        let sum: i128 = self.values.iter().sum();
        if n - freedom <= 0 {
            return None;
        }
        let centred: i128 = self.values.iter().map(|x| (n * x - sum).pow(2)).sum();
        Some(centred as f64 / ((n * n * (n - freedom)) as f64) * unit * unit)
    }
}

fn json_number(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |v| v.to_string())
}

fn cents(value: Option<i128>) -> String {
    let format = |v: i128| {
        let sign = if v < 0 { "-" } else { "" };
        format!(
            "{sign}{}.{:02}",
            v.unsigned_abs() / 100,
            v.unsigned_abs() % 100
        )
    };
    value.map_or("null".to_owned(), format)
}

fn is_close(found: &str, expected: Option<f64>) -> bool {
    match (found, expected) {
        ("null", None) => true,
        (found, Some(expected)) => {
            let found: f64 = found.parse().unwrap_or(f64::NAN);
            found == expected || ((found - expected) / expected).abs() < 1e-14
        }
        _ => false,
    }
}

fn check(holders: &[Vec<Row>], batch_rows: usize, partitions: usize) -> Result<(), TestCaseError> {
    let names: Vec<String> = (0..holders.len()).map(|i| format!("h{i}")).collect();
    let sources: Vec<_> = holders
        .iter()
        .map(|rows| source(rows, batch_rows, partitions))
        .collect();
    let locals: Vec<_> = names.iter().map(|n| (n.as_str(), SQL)).collect();
    let domain = [Some(GROUPS[0]), Some(GROUPS[1]), Some(GROUPS[2]), None];
    let plan = plans::plan(
        &locals,
        vec![plans::key("g", &domain, true)],
        args(),
        Vec::new(),
    );
    let parts: Vec<_> = names.iter().map(String::as_str).zip(&sources).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime
        .expect("a runtime")
        .block_on(plans::run(&plan, &parts));

    let mut naive: BTreeMap<usize, (u64, [Naive; 3])> = BTreeMap::new();
    for (group, int, dec, float) in holders.iter().flatten() {
        let slot = match group {
            None => 3,
            Some(text) => GROUPS.iter().position(|g| g == text).unwrap_or(4),
        };
        let (n, columns) = naive.entry(slot).or_default();
        *n += 1;
        columns[0].values.extend(int.map(i128::from));
        columns[1].values.extend(dec.map(i128::from));
        columns[2].values.extend(float.map(i128::from));
    }
    let rows = plans::rows(&result);
    prop_assert_eq!(rows.len(), naive.len());
    for (row, (slot, (n, [int, dec, float]))) in rows.iter().zip(&naive) {
        let names = ["a", GROUPS[1], "", "null", "other"];
        let label = if *slot == 3 {
            "null".to_owned()
        } else {
            format!("{:?}", names[*slot])
        };
        prop_assert_eq!(&row["k0"], &label);
        prop_assert_eq!(&row["n"], &n.to_string());
        prop_assert_eq!(&row["n0"], &int.values.len().to_string());
        prop_assert_eq!(&row["s0"], &json_number(int.sum()));
        prop_assert_eq!(&row["s1"], &cents(dec.sum()));
        let floats = float.sum().map(|units| units as f64 / f64::from(1 << 20));
        prop_assert!(is_close(&row["s2"], floats), "{} {:?}", row["s2"], floats);
        for (i, column, unit) in [(1, dec, 0.01), (2, float, 1.0 / f64::from(1 << 20))] {
            let n = column.values.len() as f64;
            let mean = column.sum().map(|s| s as f64 * unit / n);
            prop_assert!(
                is_close(&row[&format!("avg{i}")], mean),
                "avg{i} {:?} {mean:?}",
                row
            );
            for (name, freedom) in [("samp", 1), ("pop", 0)] {
                let variance = column.variance(freedom, unit);
                let found = &row[&format!("var_{name}{i}")];
                prop_assert!(
                    is_close(found, variance),
                    "var_{name}{i} {found} {variance:?}"
                );
                let found = &row[&format!("stddev_{name}{i}")];
                prop_assert!(
                    is_close(found, variance.map(f64::sqrt)),
                    "stddev_{name}{i} {found}"
                );
            }
        }
    }
    let n_rows = holders.iter().map(Vec::len).sum::<usize>() as u64;
    prop_assert_eq!(result.n_used, n_rows);
    Ok(())
}

#[test]
fn random_tables_agree_with_plain_arithmetic() {
    let holder = || prop::collection::vec(row(), 0..25);
    let cases = (prop::collection::vec(holder(), 2..5), 1usize..9, 1usize..4);
    let run = plans::runner(120).run(&cases, |(holders, batch_rows, partitions)| {
        check(&holders, batch_rows, partitions)
    });
    run.expect("agrees");
}

#[test]
fn empty_tables_and_single_rows() {
    let one: Row = (Some("a".to_owned()), Some(-7), Some(-1), Some(3));
    let nulls: Row = (None, None, None, None);
    for holders in [
        vec![vec![], vec![]],
        vec![vec![one.clone()], vec![]],
        vec![vec![nulls.clone()], vec![one]],
        vec![vec![nulls; 3], vec![]],
    ] {
        check(&holders, 4, 1).expect("agrees");
    }
}

/// The multiset of rows decides, not how they are split, ordered, batched or scheduled: not even for doubles.
#[test]
fn totals_do_not_depend_on_order() {
    let cases = prop::collection::vec((0usize..3, -1e9f64..1e9), 1..200);
    let arg = || vec![Arg::float("f", -1e9, 1e9, 20, 10)];
    let sql = "SELECT g AS k0, f AS a0 FROM party.t";
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let run = plans::runner(60).run(&cases, |mut rows| {
        let domain = GROUPS.map(Some);
        let plan = plans::plan(
            &[("h", sql)],
            vec![plans::key("g", &domain, false)],
            arg(),
            Vec::new(),
        );
        let totals = |rows: &[(usize, f64)], batch_rows, partitions| {
            let group: ArrayRef = Arc::new(StringViewArray::from_iter_values(
                rows.iter().map(|r| GROUPS[r.0]),
            ));
            let float: ArrayRef =
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.1)));
            let source = Memory::new(vec![("g", group), ("f", float)], batch_rows)
                .into_source("t", partitions);
            let found = runtime
                .block_on(plans::local(&plan, "h", &source))
                .expect("totals");
            (found.narrow.clone(), found.wide.clone())
        };
        let before = totals(&rows, 1000, 1);
        rows.reverse();
        let turn = 7 % rows.len();
        rows.rotate_left(turn);
        prop_assert_eq!(before, totals(&rows, 3, 4));
        Ok(())
    });
    run.expect("independent of order");
}

/// The variance of real hospital charges: the sum of squares exceeds 64 bits long before it is scaled.
#[tokio::test]
async fn charges_with_huge_second_moments() {
    let charges: Vec<i128> = (0..9000)
        .map(|i: i128| 50_000 + (i * 7919) % 144_000_000)
        .collect();
    let cents =
        Decimal128Array::from_iter_values(charges.iter().copied()).with_precision_and_scale(18, 2);
    let cents: ArrayRef = Arc::new(cents.expect("18 digits"));
    let source = Memory::new(vec![("d", cents)], 1000).into_source("t", 1);
    let arg = Arg::exact("charge", 2, 0, 200_000_000);
    let plan = plans::plan(
        &[("h", "SELECT d AS a0 FROM party.t")],
        Vec::new(),
        vec![arg],
        Vec::new(),
    );
    let rows = plans::rows(&plans::run(&plan, &[("h", &source)]).await);
    let naive = Naive { values: charges };
    assert_eq!(rows[0]["s0"], cents_of(&naive));
    assert!(
        is_close(&rows[0]["var_samp0"], naive.variance(1, 0.01)),
        "{}",
        rows[0]["var_samp0"]
    );
}

fn cents_of(naive: &Naive) -> String {
    cents(naive.sum())
}

#[tokio::test]
async fn faults_at_the_owner_name_the_column_and_no_value() {
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(4711)]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None]));
    let huge: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, i64::MAX]));
    let columns = vec![("i", ints), ("f", floats), ("h", huge)];
    let source = Memory::new(columns, 8).into_source("t", 1);
    let cases: [(&str, Arg, &str); 4] = [
        ("i", Arg::exact("i", 0, 0, 100), "outside 0 to 100"),
        ("f", Arg::float("f", -10.0, 10.0, 30, 30), "NaN or infinite"),
        (
            "i",
            Arg::float("i", -10.0, 10.0, 30, 30),
            "outside -10 to 10",
        ),
        (
            "h",
            Arg::exact("h", 0, 0, i64::MAX.into())
                .narrow()
                .without_squares(),
            "does not fit the ring",
        ),
    ];
    for (column, arg, expected) in cases {
        let sql = format!("SELECT {column} AS a0 FROM party.t");
        let plan = plans::plan(&[("h", sql.as_str())], Vec::new(), vec![arg], Vec::new());
        let fault = plans::local(&plan, "h", &source)
            .await
            .err()
            .expect("refused");
        let text = fault.to_string();
        assert!(
            text.contains("column column_0 of t") && text.contains(expected),
            "{text}"
        );
        assert!(
            !text.contains("4711") && fault.code() == "source_column",
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_table_that_outgrew_its_published_size_is_refused() {
    let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
    let source = Memory::new(vec![("i", ints)], 512).into_source("t", 1);
    let mut plan = plans::plan(
        &[("h", "SELECT i AS a0 FROM party.t")],
        Vec::new(),
        vec![Arg::counted("i")],
        Vec::new(),
    );
    plan.locals.values_mut().for_each(|l| l.rows_at_most = 4096);
    let fault = plans::local(&plan, "h", &source)
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(
        fault.contains("more than the 4096 rows") && fault.contains("publish it again"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_plan_can_only_read() {
    let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
    let source = Memory::new(vec![("i", ints)], 512).into_source("t", 1);
    for sql in [
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY party.t TO 'elsewhere/copy.csv'",
        "SELECT * FROM '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT i AS a0, i AS a1 FROM party.t",
        "SELECT nothing AS a0 FROM party.t",
    ] {
        let plan = plans::plan(
            &[("h", sql)],
            Vec::new(),
            vec![Arg::counted("i")],
            Vec::new(),
        );
        let fault = plans::local(&plan, "h", &source).await.err().expect(sql);
        assert_eq!(fault.code(), "source_query", "{fault}");
    }
}

#[tokio::test]
async fn a_party_without_data_contributes_zeros() {
    let plan = plans::plan(
        &[("h", "SELECT 1 AS a0")],
        Vec::new(),
        vec![Arg::exact("i", 0, 0, 9)],
        Vec::new(),
    );
    let totals = plans::local(&plan, "nobody", &Source::empty())
        .await
        .expect("zeros");
    assert!(
        totals.narrow.iter().flatten().all(|&v| v == 0) && totals.narrow.len() == plan.shape.narrow
    );
    assert!(totals.wide.iter().flatten().all(|&v| v == 0) && totals.wide.len() == plan.shape.wide);
}
