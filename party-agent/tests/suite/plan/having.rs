//! HAVING on totals: what is linear in counts and exact sums is decided on shares, and a group that fails is not opened.

use arrow::array::RecordBatch;
use party_agent::plan::{Plan, compile};
use party_agent::spec::check;

use super::joint::world;

use super::oracle::{World, differs};
use crate::plans;

fn planned(world: &World, sql: &str) -> Plan {
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
    );
    compile(&check(&job).expect("a job file"), &world.catalogues).expect(sql)
}

/// How many groups are opened that have rows.
async fn opened(world: &World, plan: &Plan) -> usize {
    let totals = super::joined::in_the_clear(world, plan).await;
    let released = plans::release(plan, &[totals.expect("totals")]);
    released.narrow[0].iter().filter(|rows| **rows > 0).count()
}

async fn rows(world: &World, sql: &str) -> usize {
    let query = world.pooled().sql(sql).await.expect(sql);
    let batches = query.collect().await.expect(sql);
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Conditions, and how many of their parts are decided on shares.
const CONDITIONS: [(&str, usize); 24] = [
    ("SUM(i.small) > 60", 1),
    ("SUM(i.small) >= 60", 1),
    ("60 < SUM(i.small)", 1),
    ("SUM(i.small) <= 60", 1),
    ("SUM(h.small) < -(-40)", 1),
    ("SUM(i.money) > 100", 1),
    ("SUM(i.money) >= 100.25", 1),
    ("SUM(i.money) < 400.5", 1),
    ("AVG(i.small) >= 3", 1),
    ("AVG(i.small) > 3.5", 1),
    ("AVG(h.money) <= 4.75", 1),
    ("2.5 < AVG(h.small)", 1),
    ("COUNT(*) < 40", 1),
    ("COUNT(i.small) <= 20", 1),
    ("SUM(i.small) > 3 * COUNT(i.small)", 1),
    ("SUM(h.small) - SUM(i.small) > -20", 1),
    ("SUM(i.money) * 2 > 300 - COUNT(*)", 1),
    (
        "SUM(i.small) > 20 AND AVG(h.small) < 5 AND COUNT(*) >= 3",
        2,
    ),
    ("(SUM(i.small) > 20) AND (COUNT(*) < 60)", 2),
    // These are the receivers'.
    ("SUM(i.small) = 60", 0),
    ("SUM(i.small) > 60 OR COUNT(*) < 9", 0),
    ("CAST(SUM(i.small) AS DOUBLE) / COUNT(*) > 3", 0),
    ("SUM(i.money) * 0.5 > 60", 0),
    ("AVG(i.small) > AVG(h.small)", 0),
];

#[tokio::test]
async fn conditions_on_totals_are_decided_on_shares_and_equal_plain_sql() {
    let world = world().await;
    let both = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t)";
    let (mut n_dropped, mut n_kept) = (0, 0);
    for from in [
        "h_a.t h JOIN i_a.t i ON h.pid = i.pid".to_owned(),
        format!("h_a.t h LEFT JOIN {both} i ON h.pid = i.pid"),
    ] {
        let grouped =
            format!("SELECT h.cat, i.flag, COUNT(*) AS n FROM {from} GROUP BY h.cat, i.flag");
        let all = rows(&world, &grouped).await;
        for (condition, on_shares) in CONDITIONS {
            let sql = format!("{grouped} HAVING {condition} ORDER BY 1 NULLS LAST, 2 NULLS LAST");
            let plan = planned(&world, &sql);
            assert_eq!(plan.having.len(), on_shares, "{sql}");
            let told = differs(&world, &plan, &sql, 1e-9).await;
            assert_eq!(told.expect("a reference"), None, "{sql}");
            if on_shares > 0 {
                let expected = rows(&world, &sql).await;
                assert_eq!(opened(&world, &plan).await, expected, "{sql}");
                n_dropped += usize::from(expected < all);
                n_kept += usize::from(expected > 0);
            }
        }
    }
    assert!(n_dropped > 20 && n_kept > 20, "{n_dropped}, {n_kept}");
}

/// Thresholds on and next to each group's own total.
#[tokio::test]
async fn a_threshold_is_met_to_the_last_digit() {
    let world = world().await;
    let union = "(SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t)";
    for (from, group) in [
        ("h_a.t h JOIN i_a.t i ON h.pid = i.pid".to_owned(), "i.flag"),
        (format!("{union} h"), "h.flag"),
    ] {
        let totals = format!("SELECT SUM(h.small) AS s FROM {from} GROUP BY {group}");
        let query = world.pooled().sql(&totals).await.expect("a query");
        let batches = query.collect().await.expect("an answer");
        let table = arrow::util::pretty::pretty_format_batches(&batches).expect("a table");
        let text = table.to_string();
        let sums = text
            .split(['|', '\n'])
            .filter_map(|cell| cell.trim().parse::<f64>().ok());
        let sums: Vec<i64> = sums.map(|sum| sum.round() as i64).collect();
        assert!(sums.len() > 1, "{text}");
        for sum in sums {
            for threshold in [sum - 1, sum, sum + 1] {
                for op in [">", ">=", "<", "<="] {
                    let sql = format!(
                        "SELECT {group}, COUNT(*) AS n FROM {from} GROUP BY {group} HAVING SUM(h.small) {op} {threshold} ORDER BY 1 NULLS LAST"
                    );
                    let plan = planned(&world, &sql);
                    assert_eq!(plan.having.len(), 1, "{sql}");
                    let told = differs(&world, &plan, &sql, 1e-9).await;
                    assert_eq!(told.expect("a reference"), None, "{sql}");
                }
            }
        }
    }
}
