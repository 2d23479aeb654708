//! Groups over joins whose values nobody lists, against plain SQL over the pooled rows.

use party_agent::plan::compile;
use party_agent::spec::check;

use super::joint::world;
use super::oracle::{World, differs};

/// A job over groups of two persons or more.
fn job(sql: &str, compute: &str, privacy: &str) -> String {
    format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n{compute}\n[privacy]\ncorrelations = \"ot\"\n{privacy}\n"
    )
}

async fn hidden(columns: &[&str]) -> World {
    let mut world = world().await;
    columns.iter().for_each(|column| world.hide(column));
    world
}

const I: &str = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t)";

/// Keys of the hub and of others, texts, numbers, days and expressions, beside public ones and of several holders, with and
/// without matches.
#[tokio::test]
async fn they_equal_plain_sql() {
    let world = hidden(&["cat", "part", "day"]).await;
    for (select, from, grouped, tail) in [
        (
            "h.cat, COUNT(*) AS n, COUNT(i.small) AS known, SUM(i.small) AS s, AVG(h.money) AS m",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            "h.cat",
            "ORDER BY 2 DESC, 1",
        ),
        (
            "i.cat, COUNT(*) AS n, VAR_SAMP(h.small) AS v, COUNT(DISTINCT h.pid) AS persons",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            "i.cat",
            "ORDER BY 1 NULLS FIRST",
        ),
        (
            "h.cat, i.part, COUNT(*) AS n, SUM(i.money) AS s",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            "h.cat, i.part",
            "ORDER BY 2 DESC, 1 LIMIT 5",
        ),
        (
            "i.flag, h.part, COUNT(*) AS n",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            "i.flag, h.part",
            "ORDER BY 1, 2",
        ),
        (
            "h.flag, h.cat, COUNT(*) AS n, SUM(i.small) AS s",
            "h_a.t h JOIN {i} i ON h.pid = i.pid",
            "h.flag, h.cat",
            "ORDER BY 1, 2",
        ),
        (
            "i.cat, COUNT(*) AS n, SUM(h.small) AS s, COUNT(i.small) AS c",
            "h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid",
            "i.cat",
            "ORDER BY 2, 1",
        ),
        (
            "COALESCE(i.cat, 'none') AS c, COUNT(*) AS n",
            "h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid",
            "COALESCE(i.cat, 'none')",
            "ORDER BY 1",
        ),
        (
            "UPPER(h.cat) AS u, EXTRACT(YEAR FROM i.day) AS y, COUNT(*) AS n, SUM(r.small) AS s",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid JOIN r.t r ON h.pid = r.pid",
            "UPPER(h.cat), EXTRACT(YEAR FROM i.day)",
            "ORDER BY 2, 1",
        ),
        (
            "h.cat, COUNT(*) AS n, SUM(i.small) AS s",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            "h.cat",
            "AND SUM(i.small) > 3 AND COUNT(*) >= 4 ORDER BY 1",
        ),
        (
            "h.cat, MEDIAN(CAST(i.small AS DOUBLE)) AS m, COUNT(DISTINCT i.part) AS parts, COUNT(*) AS n",
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid AND h.small > -2",
            "h.cat",
            "AND COUNT(i.small) >= 4 ORDER BY 1",
        ),
    ] {
        let from = from.replace("{i}", I);
        let text = |having: &str| {
            let having = format!("{having} {tail}");
            let having = match having.trim_start().strip_prefix("AND") {
                Some(rest) => format!("HAVING {rest}"),
                None => having,
            };
            format!("SELECT {select} FROM {from} GROUP BY {grouped} {having}")
        };
        let job = job(&text(""), "max_groups = 6", "min_cell = 2");
        let plan = compile(&check(&job).expect("a job file"), &world.catalogues);
        let plan = plan.unwrap_or_else(|e| panic!("{job}: {e:?}"));
        assert!(plan.shape.hidden.is_some(), "{job}");
        let reference = text("AND COUNT(DISTINCT h.pid) >= 2");
        match differs(&world, &plan, &reference, 1e-9).await {
            Ok(None) => {}
            Ok(Some(what)) => panic!("{what}\n{job}\n{}", plan.explain()),
            Err(e) => panic!("{e}\n{job}"),
        }
    }
}

/// What nobody could run, and what would show single rows.
#[tokio::test]
async fn what_is_out_of_reach_is_refused() {
    let world = hidden(&["cat"]).await;
    let from = "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    let many = format!("FROM h_a.t h JOIN {I} i ON h.pid = i.pid");
    for (sql, compute, privacy, part) in [
        (
            format!("SELECT h.cat, COUNT(*) {from} GROUP BY h.cat"),
            "",
            "",
            "privacy.min_cell: is missing: the values of cat are not published",
        ),
        (
            format!("SELECT i.cat, COUNT(*) {many} GROUP BY i.cat"),
            "",
            "min_cell = 2",
            "several holders have a part of its table",
        ),
        (
            format!("SELECT h.cat, i.flag, COUNT(*) {from} GROUP BY ROLLUP(h.cat, i.flag)"),
            "",
            "min_cell = 2",
            "ROLLUP and CUBE need the groups of cat, which are not public",
        ),
        (
            format!("SELECT h.flag, COUNT(*) {from} GROUP BY h.flag"),
            "max_groups = 8",
            "min_cell = 2",
            "compute.max_groups: has no effect",
        ),
        (
            format!(
                "SELECT COALESCE(h.cat, '{}') AS c, COUNT(*) FROM i_a.t i LEFT JOIN h_a.t h ON h.pid = i.pid GROUP BY COALESCE(h.cat, '{}')",
                "x".repeat(41),
                "x".repeat(41)
            ),
            "",
            "min_cell = 2",
            "in rows without a match has more than the 40 bytes",
        ),
        (
            format!("SELECT CHI_SQUARE(h.cat, i.flag) {from}"),
            "",
            "min_cell = 2",
            "CHI_SQUARE over groups that nobody lists",
        ),
    ] {
        let job = job(&sql, compute, privacy);
        let plan = compile(&check(&job).expect("a job file"), &world.catalogues);
        let faults = plan.map(|plan| plan.explain()).expect_err(&job);
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(said.join("\n").contains(part), "{job}: {said:?}");
    }
}

/// A holder with more values than the job says ends it before anything is sent.
#[tokio::test]
async fn more_values_than_the_job_says_end_it() {
    let world = hidden(&["cat"]).await;
    let sql =
        "SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat";
    for (most, ends) in [(3, true), (5, false)] {
        let job = job(sql, &format!("max_groups = {most}"), "min_cell = 2");
        let plan = compile(&check(&job).expect("a job file"), &world.catalogues).expect("a plan");
        assert_eq!(plan.shape.cells, most);
        let found = super::joined::run(&world, &plan).await;
        match found {
            Err(e) if ends => assert!(e.to_string().contains("more than the 3 groups"), "{e}"),
            Ok(table) if !ends => assert!(table.n_rows() > 0),
            _ => panic!("{most}"),
        }
    }
}
