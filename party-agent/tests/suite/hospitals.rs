//! Real data, split over real holders, against what plain Python computes on the pooled tables
//! (`../shared/data/expected`, relative to the workspace). Totals are added in the clear here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use party_agent::plan::{CellCheck, Plan};
use party_agent::source::Source;
use serde_json::Value;

use crate::plans::{self, Arg};

const HOSPITALS: [&str; 3] = ["hospital_1", "hospital_2", "hospital_3"];
const FUNDS: [&str; 3] = ["fund_1", "fund_2", "fund_3"];

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if !path.exists() {
        println!("skipped: no shared data");
        return None;
    }
    Some(path)
}

/// A data set's tables and its expected figures.
async fn open(set: &str) -> Option<(Source, Value)> {
    let (tables, expected) = (shared(set)?, shared(&format!("expected/{set}.json"))?);
    let expected = std::fs::read_to_string(expected).expect("readable");
    let source = Source::open_dir(&tables).await.expect("tables");
    Some((
        source,
        serde_json::from_str::<Value>(&expected).expect("JSON")["tasks"].take(),
    ))
}

/// The same job at every holder: `{}` in the query stands for the holder's table.
fn plan(
    holders: [&str; 3],
    sql: &str,
    keys: &[(&str, Vec<String>)],
    args: Vec<Arg>,
    checks: Vec<CellCheck>,
) -> Plan {
    let sql: Vec<_> = holders.iter().map(|h| (*h, sql.replace("{}", h))).collect();
    let locals: Vec<_> = sql.iter().map(|(h, sql)| (*h, sql.as_str())).collect();
    let key = |(name, domain): &(&str, Vec<String>)| {
        let domain: Vec<_> = domain.iter().map(|d| Some(d.as_str())).collect();
        plans::key(name, &domain, true)
    };
    plans::plan(&locals, keys.iter().map(key).collect(), args, checks)
}

async fn rows(source: &Source, holders: [&str; 3], plan: &Plan) -> Vec<BTreeMap<String, String>> {
    let parts: Vec<_> = holders.iter().map(|h| (*h, source)).collect();
    plans::rows(&plans::run(plan, &parts).await)
}

fn assert_close(found: &str, expected: &Value, what: &str) {
    let (found, expected): (f64, f64) =
        (found.parse().expect(what), expected.as_f64().expect(what));
    let error = ((found - expected) / expected).abs();
    assert!(
        found == expected || error < 1e-9,
        "{what}: {found} where {expected} is expected"
    );
}

fn assert_described(row: &BTreeMap<String, String>, i: usize, expected: &Value, what: &str) {
    assert_eq!(row["n"], expected["n"].to_string(), "{what}");
    assert_eq!(
        row[&format!("n{i}")],
        expected["n_valid"].to_string(),
        "{what}"
    );
    for (name, column) in [
        ("sum", "s"),
        ("mean", "avg"),
        ("var", "var_samp"),
        ("sd", "stddev_samp"),
    ] {
        assert_close(
            &row[&format!("{column}{i}")],
            &expected[name],
            &format!("{name} of {what}"),
        );
    }
}

fn domain(rows: &Value, key: &str) -> Vec<String> {
    let mut values: Vec<_> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|r| r[key].as_str().expect("text").to_owned())
        .collect();
    values.sort();
    values.dedup();
    values
}

const WITH_PUBLIC: &str =
    "FROM party.{} h JOIN party.insurer_public m ON h.patient_id = m.patient_id";
const WITH_ANY: &str = "FROM party.{} h JOIN (SELECT patient_id, payer_code, 'public' AS ins FROM party.insurer_public \
                        UNION ALL SELECT patient_id, payer_code, 'private' FROM party.insurer_private) m ON h.patient_id = m.patient_id";

fn days() -> Arg {
    Arg::exact("time_in_hospital", 0, 1, 14)
}

#[tokio::test]
async fn joint_counts_and_descriptions() {
    let Some((source, tasks)) = open("claims_diabetes130").await else {
        return;
    };
    let columns = [
        "time_in_hospital",
        "num_medications",
        "num_lab_procedures",
        "number_inpatient",
    ];
    let select: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| format!("CAST(h.{c} AS BIGINT) AS a{i}"))
        .collect();
    let args = columns.map(|c| Arg::exact(c, 0, 0, 255)).into();
    let plan = plan(
        HOSPITALS,
        &format!("SELECT {} {WITH_PUBLIC}", select.join(", ")),
        &[],
        args,
        Vec::new(),
    );
    let rows = rows(&source, HOSPITALS, &plan).await;
    assert_eq!(
        rows[0]["n"],
        tasks["joint_counts"]["encounters"].to_string()
    );
    assert_close(
        &rows[0]["s0"],
        &tasks["joint_counts"]["bed_days"],
        "bed days",
    );
    for (i, column) in columns.iter().enumerate() {
        assert_described(&rows[0], i, &tasks["describe_public"][*column], column);
    }
}

#[tokio::test]
async fn histogram_and_having() {
    let Some((source, tasks)) = open("claims_diabetes130").await else {
        return;
    };
    // [a, b) and the last one [a, b]: fourteen bins over 1..=15.
    let bins: Vec<_> = (1..=14).map(|b| b.to_string()).collect();
    let sql = format!(
        "SELECT CAST(LEAST(CAST(h.time_in_hospital AS BIGINT), 14) AS VARCHAR) AS k0 {WITH_PUBLIC}"
    );
    let found = rows(
        &source,
        HOSPITALS,
        &plan(HOSPITALS, &sql, &[("bin", bins)], Vec::new(), Vec::new()),
    )
    .await;
    let counts: Vec<_> = found
        .iter()
        .map(|r| r["n"].parse::<u64>().expect("a count"))
        .collect();
    let expected: Vec<_> = tasks["hist_los_public"]["counts"]
        .as_array()
        .expect("counts")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert_eq!(counts, expected);

    let groups = tasks["anova_los_diag"]["groups"]
        .as_object()
        .expect("groups");
    let names: Vec<_> = groups.keys().cloned().collect();
    let sql = format!(
        "SELECT h.diag_group AS k0, CAST(h.time_in_hospital AS BIGINT) AS a0 {WITH_PUBLIC}"
    );
    let all = plan(
        HOSPITALS,
        &sql,
        &[("diag_group", names.clone())],
        vec![days()],
        Vec::new(),
    );
    let found = rows(&source, HOSPITALS, &all).await;
    assert_eq!(found.len(), groups.len());
    for (row, (name, expected)) in found.iter().zip(groups) {
        assert_eq!(row["k0"], format!("{name:?}"));
        assert_eq!(row["n"], expected["n"].to_string(), "{name}");
        assert_close(&row["avg0"], &expected["mean"], name);
        assert_close(&row["var_samp0"], &expected["var"], name);
    }
    let having = CellCheck {
        reason: "having".to_owned(),
        ..plans::min_cell(500)
    };
    let large = plan(
        HOSPITALS,
        &sql,
        &[("diag_group", names)],
        vec![days()],
        vec![having],
    );
    let found = rows(&source, HOSPITALS, &large).await;
    let expected = tasks["groupby_having"]["rows"].as_array().expect("rows");
    assert_eq!(found.len(), expected.len());
    for (row, expected) in found.iter().zip(expected) {
        assert_eq!(
            (&row["k0"], &row["n"]),
            (
                &expected["diag_group"].to_string(),
                &expected["n"].to_string()
            )
        );
        assert_close(&row["avg0"], &expected["los_mean"], "mean stay");
    }
}

#[tokio::test]
async fn two_keys_with_rates() {
    let Some((source, tasks)) = open("claims_diabetes130").await else {
        return;
    };
    let released = &tasks["groupby_diag_payer"]["released"];
    let keys = [
        ("diag_group", domain(released, "diag_group")),
        ("payer_code", domain(released, "payer_code")),
    ];
    let sql = format!(
        "SELECT h.diag_group AS k0, m.payer_code AS k1, CAST(h.time_in_hospital AS BIGINT) AS a0, \
         CASE WHEN h.readmitted = '<30' THEN 1 ELSE 0 END AS a1, CAST(h.num_medications AS BIGINT) AS a2 {WITH_ANY}"
    );
    let args = vec![
        days(),
        Arg::exact("r30", 0, 0, 1).narrow(),
        Arg::exact("num_medications", 0, 0, 255).narrow(),
    ];
    let found = rows(
        &source,
        HOSPITALS,
        &plan(HOSPITALS, &sql, &keys, args, Vec::new()),
    )
    .await;
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|r| ((r["k0"].clone(), r["k1"].clone()), r))
        .collect();
    for expected in released.as_array().expect("rows") {
        let row = found[&(
            expected["diag_group"].to_string(),
            expected["payer_code"].to_string(),
        )];
        assert_eq!(row["n"], expected["encounters"].to_string());
        assert_close(&row["avg0"], &expected["los_mean"], "mean stay");
        assert_close(
            &row["stddev_samp0"],
            &expected["los_sd"],
            "deviation of stays",
        );
        assert_close(&row["avg1"], &expected["readmit30_rate"], "rate");
        assert_close(&row["s2"], &expected["meds_sum"], "medications");
    }
}

#[tokio::test]
async fn contingency_tables() {
    let Some((source, tasks)) = open("claims_diabetes130").await else {
        return;
    };
    for (task, rows_of, columns_of, filter) in [
        ("crosstab_readmit_insurer", "h.readmitted", "m.ins", ""),
        (
            "crosstab_sex_r30",
            "h.gender",
            "CASE WHEN h.readmitted = '<30' THEN '1' ELSE '0' END",
            " WHERE h.gender <> 'Unknown/Invalid'",
        ),
    ] {
        let texts = |part: &str| -> Vec<String> {
            let values = tasks[task][part].as_array().expect("labels").iter();
            values
                .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                .collect()
        };
        let keys = [("row", texts("rows")), ("column", texts("cols"))];
        let sql = format!("SELECT {rows_of} AS k0, {columns_of} AS k1 {WITH_ANY}{filter}");
        let found = rows(
            &source,
            HOSPITALS,
            &plan(HOSPITALS, &sql, &keys, Vec::new(), Vec::new()),
        )
        .await;
        let counts: Vec<_> = found
            .iter()
            .map(|r| r["n"].parse::<u64>().expect("a count"))
            .collect();
        let expected = tasks[task]["counts"]
            .as_array()
            .expect("rows")
            .iter()
            .flat_map(|r| r.as_array().expect("cells").clone());
        assert_eq!(
            counts,
            expected.filter_map(|v| v.as_u64()).collect::<Vec<_>>(),
            "{task}"
        );
    }
}

/// Amounts as doubles in fixed point, and as exact cents: both must agree with the pooled figures.
#[tokio::test]
async fn three_funds() {
    let Some((source, tasks)) = open("claims_euhealth").await else {
        return;
    };
    let sql =
        "SELECT amt_total AS a0, CAST(ROUND(amt_total, 2) AS DECIMAL(12, 2)) AS a1 FROM party.{}";
    let args = vec![
        Arg::float("amt_total", 0.0, 65_536.0, 60, 60),
        Arg::exact("cents", 2, 0, 10_000_000),
    ];
    let plan = plan(FUNDS, sql, &[], args, Vec::new());
    let found = rows(&source, FUNDS, &plan).await;
    for (i, kind) in ["doubles", "cents"].iter().enumerate() {
        assert_described(
            &found[0],
            i,
            &tasks["horizontal_3_funds"]["describe_amt_total"],
            kind,
        );
    }
    for (k, fund) in FUNDS.iter().enumerate() {
        let alone = plans::rows(&plans::run(&plan, &[(*fund, &source)]).await);
        assert_described(
            &alone[0],
            0,
            &tasks["horizontal_3_funds"]["by_fund"][(k + 1).to_string()],
            fund,
        );
    }
}
