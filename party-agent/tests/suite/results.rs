//! From released totals to documents on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
};
use party_agent::plan::{CellCheck, OutputColumn, Plan, ValueKind};
use party_agent::result::{ResultTable, table, write_private};
use party_agent::source::Source;

use crate::memory::Memory;
use crate::plans::{self, Arg};

/// Twelve rows in `a`, ten in `b`, none in `c`, three with NULL, one that nobody listed.
fn source() -> Source {
    let groups = [
        vec![Some("a"); 12],
        vec![Some("b"); 10],
        vec![None; 3],
        vec![Some("a, \"quoted\"")],
    ]
    .concat();
    let n = groups.len() as i64;
    let group: ArrayRef = Arc::new(groups.into_iter().collect::<StringViewArray>());
    let paid = (0..n).map(|i| (i % 4 != 0).then(|| i128::from(i * i) * 25 - 1000));
    let paid = paid
        .collect::<Decimal128Array>()
        .with_precision_and_scale(12, 2)
        .expect("12 digits");
    let weight: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..n).map(|i| i as f64 / 8.0),
    ));
    Memory::new(
        vec![("g", group), ("paid", Arc::new(paid)), ("w", weight)],
        5,
    )
    .into_source("t", 2)
}

fn plan(checks: Vec<CellCheck>) -> Plan {
    let sql = "SELECT g AS k0, paid AS a0, w AS a1 FROM party.t";
    let domain = [Some("a"), Some("b"), Some("c"), None];
    let args = vec![
        Arg::exact("paid", 2, -100_000, 100_000),
        Arg::float("w", 0.0, 16.0, 40, 40),
    ];
    plans::plan(
        &[("h", sql)],
        vec![plans::key("grp", &domain, true)],
        args,
        checks,
    )
}

async fn run(plan: &Plan) -> ResultTable {
    plans::run(plan, &[("h", &source())]).await
}

fn with_select(mut plan: Plan, sql: &str, outputs: &[(&str, ValueKind)]) -> Plan {
    plan.final_sql = sql.to_owned();
    plan.outputs = outputs
        .iter()
        .map(|(name, kind)| OutputColumn {
            name: (*name).to_owned(),
            kind: *kind,
        })
        .collect();
    plan
}

const MONEY: ValueKind = ValueKind::Decimal {
    precision: 38,
    scale: 2,
};

#[tokio::test]
async fn golden_documents() {
    let sql = "SELECT k0 AS grp, n, n0, s0 AS paid, avg0 AS mean, s1 AS weight FROM released ORDER BY s0 DESC LIMIT 10";
    let outputs = [
        ("grp", ValueKind::Text),
        ("n", ValueKind::Int),
        ("n0", ValueKind::Int),
        ("paid", MONEY),
        ("mean", ValueKind::Float),
        ("weight", ValueKind::Float),
    ];
    let result = run(&with_select(plan(vec![plans::min_cell(11)]), sql, &outputs)).await;
    let note = "a suppressed group is one that does not meet COUNT(*) >= 11; it may also be empty, and nobody knows which";
    let other = "1 group with a value outside the agreed categories, too small for COUNT(*) >= 11 or empty, not listed";
    let columns = r#"[{"name":"grp","type":"text"},{"name":"n","type":"int"},{"name":"n0","type":"int"},{"name":"paid","type":"decimal(38,2)"},{"name":"mean","type":"float"},{"name":"weight","type":"float"}]"#;
    let held = |group: &str| {
        format!(r#"{{"group":{{"grp":{group}}},"reason":"min_cell","rule":"COUNT(*) >= 11"}}"#)
    };
    let expected = format!(
        r#"{{"columns":{columns},"rows":[["a",12,9,16.50,1.8333333333333333,8.25]],"suppressed":[{},{},{}],"n_used":12,"dropped":{{"paid":3,"w":0}},"notes":["{note}","{other}"]}}"#,
        held("\"b\""),
        held("\"c\""),
        held("null"),
    );
    assert_eq!(result.to_json(), expected);
    assert_eq!(
        result.to_csv(),
        "grp,n,n0,paid,mean,weight\na,12,9,16.50,1.8333333333333333,8.25\n"
    );
}

#[tokio::test]
async fn without_a_rule_every_group_with_rows_is_there() {
    let result = run(&plan(Vec::new())).await;
    let groups: Vec<_> = plans::rows(&result)
        .iter()
        .map(|r| format!("{} {}", r["k0"], r["n"]))
        .collect();
    assert_eq!(groups, ["\"a\" 12", "\"b\" 10", "null 3", "\"other\" 1"]);
    assert!(result.suppressed.is_empty() && result.notes.is_empty() && result.n_used == 26);
    // One row has no sample variance.
    assert_eq!(plans::rows(&result)[3]["var_samp1"], "null");
}

#[tokio::test]
async fn having_alone_suppresses_nothing_and_both_together_say_so() {
    let having = |at_least| CellCheck {
        rule: format!("COUNT(paid) >= {at_least}"),
        reason: "having".to_owned(),
        column: 1,
        ..plans::min_cell(at_least)
    };
    let result = run(&plan(vec![having(8)])).await;
    assert_eq!(
        (result.n_rows(), result.suppressed.len(), result.notes.len()),
        (1, 0, 0)
    );
    let result = run(&plan(vec![plans::min_cell(11), having(8)])).await;
    assert_eq!(result.suppressed.len(), 3);
    assert_eq!(result.suppressed[0].reason, "min_cell and having");
    assert_eq!(
        result.suppressed[0].rule,
        "COUNT(*) >= 11 AND COUNT(paid) >= 8"
    );
}

#[tokio::test]
async fn a_total_over_all_rows_has_one_row() {
    let empty: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    let source = Memory::new(vec![("i", empty)], 5).into_source("t", 1);
    let sql = "SELECT i AS a0 FROM party.t";
    let arg = || vec![Arg::exact("i", 0, 0, 10)];
    let open = plans::plan(&[("h", sql)], Vec::new(), arg(), Vec::new());
    let rows = plans::rows(&plans::run(&open, &[("h", &source)]).await);
    assert_eq!(
        (
            rows.len(),
            rows[0]["n"].as_str(),
            rows[0]["s0"].as_str(),
            rows[0]["avg0"].as_str()
        ),
        (1, "0", "null", "null")
    );
    let held = plans::plan(&[("h", sql)], Vec::new(), arg(), vec![plans::min_cell(11)]);
    let result = plans::run(&held, &[("h", &source)]).await;
    assert_eq!((result.n_rows(), result.n_used), (0, 0));
    assert!(
        result
            .to_json()
            .contains(r#""suppressed":[{"group":{},"reason":"min_cell""#)
    );
}

#[tokio::test]
async fn keys_keep_their_types() {
    let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 0, 19_000]));
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![2, 2, 10]));
    let flags: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![
        Some(true),
        Some(true),
        None,
    ]));
    let source = Memory::new(vec![("d", days), ("i", ints), ("f", flags)], 5).into_source("t", 1);
    let keys = vec![
        plans::typed_key(
            "d",
            ValueKind::Date,
            &[Some("1970-01-01"), Some("2022-01-08")],
            false,
        ),
        plans::typed_key("i", ValueKind::Int, &[Some("2"), Some("10")], false),
        plans::typed_key(
            "f",
            ValueKind::Bool,
            &[Some("false"), Some("true"), None],
            false,
        ),
    ];
    let sql = "SELECT CAST(d AS VARCHAR) AS k0, CAST(i AS VARCHAR) AS k1, CAST(f AS VARCHAR) AS k2 FROM party.t";
    let plan = plans::plan(&[("h", sql)], keys.clone(), Vec::new(), Vec::new());
    let result = plans::run(&plan, &[("h", &source)]).await;
    let rows: Vec<_> = plans::rows(&result)
        .iter()
        .map(|r| format!("{} {} {} {}", r["k0"], r["k1"], r["k2"], r["n"]))
        .collect();
    assert_eq!(
        rows,
        ["\"1970-01-01\" 2 true 2", "\"2022-01-08\" 10 null 1"]
    );
    assert_eq!(
        result.to_csv(),
        "k0,k1,k2,n\n1970-01-01,2,true,2\n2022-01-08,10,,1\n"
    );
    let held = plans::plan(&[("h", sql)], keys, Vec::new(), vec![plans::min_cell(2)]);
    let json = plans::run(&held, &[("h", &source)]).await.to_json();
    assert!(
        json.contains(r#"{"group":{"d":"2022-01-08","i":10,"f":null},"reason""#),
        "{json}"
    );
}

#[tokio::test]
async fn expressions_over_aggregates() {
    let outputs = [
        ("grp", ValueKind::Text),
        ("x", ValueKind::Float),
        ("label", ValueKind::Text),
        ("neg", ValueKind::Float),
    ];
    let sql = "SELECT k0 AS grp, CAST(s0 AS DOUBLE) / NULLIF(s1, 0) AS x, CASE WHEN n > 11 THEN '=1+1' ELSE '' END AS label, -0.0 * n AS neg FROM released ORDER BY o0";
    let result = run(&with_select(plan(Vec::new()), sql, &outputs)).await;
    let csv = result.to_csv();
    let lines: Vec<_> = csv.lines().collect();
    // A text that a spreadsheet would run stays the text that it is; the empty text is not NULL; -0 is 0.
    assert_eq!(lines[1], "a,2.0,=1+1,0.0");
    assert!(
        lines[2].starts_with("b,") && lines[2].ends_with(",\"\",0.0"),
        "{csv}"
    );
    let infinite = with_select(
        plan(Vec::new()),
        "SELECT 1.0 / (s1 - s1) AS x FROM released",
        &[("x", ValueKind::Float)],
    );
    let result = run(&infinite).await;
    assert!(
        result.to_json().contains("[null]")
            && result.to_json().contains("infinite or not a number")
    );
    let failing = with_select(
        plan(Vec::new()),
        "SELECT n / (n - n) AS x FROM released",
        &[("x", ValueKind::Int)],
    );
    let inputs = [plans::local(&failing, "h", &source())
        .await
        .expect("totals")];
    let fault = table(&failing, &plans::release(&failing, &inputs))
        .await
        .expect_err("divides by zero")
        .to_string();
    assert!(fault.contains("NULLIF"), "{fault}");
}

#[tokio::test]
async fn quoting_follows_rfc_4180() {
    let sql = "SELECT k0 AS \"a,b\", n FROM released ORDER BY o0";
    let mut plan = with_select(
        plan(Vec::new()),
        sql,
        &[("a,b", ValueKind::Text), ("n", ValueKind::Int)],
    );
    plan.keys[0].domain = [Some("a"), Some("b"), Some("a, \"quoted\""), None]
        .iter()
        .map(|d| d.map(str::to_owned))
        .collect();
    let result = run(&plan).await;
    assert_eq!(
        result.to_csv(),
        "\"a,b\",n\na,12\nb,10\n\"a, \"\"quoted\"\"\",1\n,3\n"
    );
}

#[tokio::test]
async fn totals_that_contradict_the_plan_are_refused() {
    let plan = plan(Vec::new());
    let inputs = [plans::local(&plan, "h", &source()).await.expect("totals")];
    let sum_sq = plan.measures[0].sum_sq.expect("wanted").index;
    for tamper in 0..4 {
        let mut released = plans::release(&plan, &inputs);
        match tamper {
            0 => drop(released.ok.pop()),
            1 => drop(released.narrow[0].pop()),
            2 => released.narrow[plan.measures[0].count][0] = 13,
            _ => released.wide[sum_sq][0] = 1,
        }
        let fault = table(&plan, &released)
            .await
            .expect_err("refused")
            .to_string();
        assert!(
            fault.starts_with("the released totals do not fit the plan"),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn many_suppressed_groups_are_counted_and_not_all_listed() {
    let domain: Vec<String> = (0..3000).map(|i| format!("g{i:04}")).collect();
    let domain: Vec<_> = domain.iter().map(|d| Some(d.as_str())).collect();
    let sql = "SELECT g AS k0 FROM party.t";
    let plan = plans::plan(
        &[("h", sql)],
        vec![plans::key("g", &domain, true)],
        Vec::new(),
        vec![plans::min_cell(11)],
    );
    let result = run(&plan).await;
    assert_eq!(result.suppressed.len(), 1000);
    assert!(
        result
            .notes
            .iter()
            .any(|n| n.starts_with("2000 more groups")),
        "{:?}",
        result.notes
    );
    // All 26 rows are in the slot `other`, which is released.
    assert_eq!((result.n_rows(), result.n_used), (1, 26));
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("readable")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn results_are_private_and_replaced_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let result = run(&plan(Vec::new())).await;
    fs::write(dir.path().join("result.csv"), "from last time").expect("written");
    result.save(dir.path()).expect("saved");
    assert_eq!(names(dir.path()), ["result.csv", "result.json"]);
    for name in ["result.csv", "result.json"] {
        let mode = fs::metadata(dir.path().join(name))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("result.csv")).expect("readable"),
        result.to_csv()
    );
    let fault = result
        .save(Path::new("/nowhere/at/all"))
        .expect_err("no directory")
        .to_string();
    assert!(
        fault.contains("/nowhere/at/all") && fault.contains("nothing partial"),
        "{fault}"
    );
}

/// Set for the copy of this binary that runs under a limit on file sizes.
const LIMITED_DIR: &str = "ENTENTE_TEST_LIMITED_DIR";

/// A full disk, as a limit on the size of files in a process of its own: writing stops in the middle of the file.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    if let Some(dir) = std::env::var_os(LIMITED_DIR) {
        let dir = Path::new(&dir);
        let fault = write_private(&dir.join("result.json"), &vec![b'x'; 1 << 20])
            .expect_err("the disk is full");
        println!("refused: {fault}");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("result.json"), "from last time").expect("written");
    let program = std::env::current_exe().expect("this test");
    // With the signal ignored, writing beyond the limit fails as on a full disk.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(program)
        .args([
            "--exact",
            "results::a_full_disk_leaves_nothing_behind",
            "--nocapture",
        ])
        .env(LIMITED_DIR, dir.path())
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("refused: ") && text.contains("free space"),
        "{text}"
    );
    assert_eq!(names(dir.path()), ["result.json"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("result.json")).expect("readable"),
        "from last time"
    );
}
