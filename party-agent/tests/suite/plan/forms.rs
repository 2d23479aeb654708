//! Forms of SQL over joins between holders, each against plain SQL over the pooled rows, and what is refused with the
//! words of its refusal.

use party_agent::plan::compile;
use party_agent::spec::check;

use super::joint::world;
use super::oracle::differs;

fn job(sql: &str) -> String {
    format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
    )
}

/// Queries that are plain SQL as they stand.
const PLAIN: [&str; 44] = [
    "SELECT COUNT(*) AS n, SUM(h.small) AS s FROM h_a.t h WHERE h.pid IN (SELECT pid FROM i_a.t)",
    "SELECT h.cat, COUNT(*) AS n, COUNT(DISTINCT h.pid) AS p FROM h_a.t h WHERE pid IN (SELECT i.pid FROM i_a.t i WHERE i.small > 3) GROUP BY h.cat ORDER BY 1 NULLS LAST",
    "SELECT COUNT(*) AS n, SUM(big) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h WHERE h.pid IN (SELECT pid FROM i_a.t UNION SELECT pid FROM i_b.t)",
    "SELECT COUNT(DISTINCT pid) AS n FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h WHERE h.pid IN (SELECT DISTINCT pid FROM (SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) i WHERE flag)",
    "SELECT COUNT(*) AS n, SUM(h.money) AS s, COUNT(DISTINCT h.pid) AS p FROM h_a.t h WHERE NOT EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid)",
    "SELECT COUNT(*) AS n, SUM(h.money) AS s, COUNT(DISTINCT h.pid) AS p FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h WHERE NOT EXISTS (SELECT 1 FROM (SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) i WHERE i.pid = h.pid AND i.small > 2)",
    "SELECT h.cat AS g, SUM(h.x) AS s FROM h_a.t h WHERE EXISTS (SELECT * FROM i_a.t i WHERE h.pid = i.pid AND h.part = i.part AND i.cat = 'a') GROUP BY h.cat ORDER BY 1 NULLS LAST",
    "SELECT COUNT(*) AS n, AVG(CAST(h.small AS DOUBLE)) AS a, COUNT(DISTINCT h.pid) AS p FROM h_a.t h WHERE h.pid NOT IN (SELECT pid FROM i_a.t WHERE pid IS NOT NULL)",
    "SELECT COUNT(*) AS n FROM h_a.t h WHERE NOT h.pid IN (SELECT pid FROM i_a.t WHERE pid IS NOT NULL) AND h.small > 1",
    "SELECT COUNT(*) AS n FROM h_a.t h WHERE h.small > 4 OR h.pid IN (SELECT pid FROM i_a.t)",
    "SELECT COUNT(*) AS n FROM h_a.t h WHERE NOT (h.small > 4 OR h.pid IN (SELECT pid FROM i_a.t WHERE pid IS NOT NULL))",
    "SELECT h.cat, i.cat AS c, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.pid IN (SELECT pid FROM r.t WHERE small > 0) GROUP BY h.cat, i.cat ORDER BY 1 NULLS LAST, 2 NULLS LAST",
    "SELECT COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid WHERE NOT EXISTS (SELECT 1 FROM r.t r WHERE r.pid = h.pid)",
    "SELECT COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid WHERE i.pid IN (SELECT pid FROM r.t)",
    "SELECT COUNT(*) AS n FROM h_a.t WHERE pid IN (SELECT pid FROM i_a.t GROUP BY pid HAVING COUNT(*) > 1)",
    "SELECT DISTINCT h.cat, i.flag FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid ORDER BY 1 NULLS LAST, 2 NULLS LAST",
    "SELECT DISTINCT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY 1 NULLS LAST",
    "SELECT g, COUNT(*) AS n, SUM(m) AS s FROM (SELECT h.cat AS g, i.money AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 0) t WHERE m > 0 GROUP BY g ORDER BY g NULLS LAST",
    "WITH j AS (SELECT h.pid, h.cat, i.small AS y FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid), k AS (SELECT cat AS c, y * 2 AS z FROM j WHERE y IS NOT NULL) SELECT UPPER(c) AS cat, SUM(z) AS s FROM k GROUP BY UPPER(c) ORDER BY 1 NULLS LAST",
    "SELECT cat, n, s / n AS mean FROM (SELECT h.cat, COUNT(*) AS n, SUM(CAST(i.small AS DOUBLE)) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat) t WHERE n > 5 ORDER BY n DESC, cat",
    "SELECT * FROM (SELECT cat, COUNT(*) AS n FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat) t WHERE n >= 10 ORDER BY n, cat",
    "SELECT COUNT(*) AS n, SUM(t.a + r.small) AS s FROM (SELECT h.pid, h.small AS a FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid) t JOIN r.t r ON t.pid = r.pid",
    "SELECT COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t a, h_a.t b, i_a.t i WHERE a.big = b.big AND b.pid = i.pid",
    "SELECT COUNT(*) AS n, SUM(b.small) AS s FROM h_a.t a JOIN i_a.t i ON a.pid = i.pid JOIN h_a.t b ON b.pid = i.pid WHERE a.flag",
    "SELECT COUNT(*) AS n, COUNT(i.pid) AS m, SUM(i.small) AS s, SUM(h.big) AS b FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid AND h.small > 2",
    "SELECT COUNT(*) AS n, COUNT(i.pid) AS m, SUM(h.small) AS s FROM h_a.t h FULL JOIN i_a.t i ON h.pid = i.pid AND h.small > 2 AND i.flag",
    "SELECT COUNT(*) AS n, COUNT(i.pid) AS m, SUM(h.small) AS s FROM i_a.t i LEFT JOIN h_a.t h ON h.pid = i.pid AND h.small > 2 AND i.flag AND i.part = h.part",
    "SELECT COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t h JOIN i_a.t i ON h.num = i.num AND h.num = i.small",
    "SELECT COUNT(DISTINCT COALESCE(i.pid, h.pid)) FILTER (WHERE h.small > 2) AS p FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid",
    "SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING h.cat <> 'a' AND COUNT(*) > 2 ORDER BY 1",
    "WITH f AS (SELECT * FROM (SELECT pid, small, RANK() OVER (PARTITION BY pid ORDER BY big) AS k FROM h_a.t) w WHERE k = 1) SELECT COUNT(*) AS n, SUM(f.small) AS s FROM f JOIN i_a.t i ON f.pid = i.pid",
    "SELECT COUNT(*) AS n, SUM(h.s) AS x, COUNT(DISTINCT h.pid) AS p FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s > i.s",
    "SELECT COUNT(*) AS n, SUM(i.m) AS x, COUNT(DISTINCT h.pid) AS p FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s <= i.s",
    "SELECT COUNT(*) AS n FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s <> i.s",
    "SELECT SUM(CASE WHEN h.m >= i.s THEN i.m ELSE h.m END) AS x, COUNT(*) FILTER (WHERE h.s = i.s) AS e FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid",
    "SELECT h.cat, COUNT(*) FILTER (WHERE h.s + 1 < i.s) AS a, COUNT(*) AS n, COUNT(DISTINCT h.pid) FILTER (WHERE h.s <= i.s) AS p FROM (SELECT pid, small AS s, money AS m, cat FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY big) AS k FROM h_a.t WHERE pid IS NOT NULL) z WHERE k = 1) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid GROUP BY h.cat ORDER BY 1 NULLS LAST",
    "SELECT COUNT(*) FILTER (WHERE h.s > COALESCE(i.s, 0)) AS a, COUNT(*) FILTER (WHERE NOT (h.s > i.s)) AS b, COUNT(*) FILTER (WHERE h.s > i.s OR i.s IS NULL) AS c, SUM(CASE WHEN h.s > i.s THEN i.s ELSE h.s END) AS x FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h LEFT JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid",
    "SELECT COUNT(*) AS n FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s BETWEEN i.s - 2 AND i.s + 2",
    "SELECT COUNT(*) AS n FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s NOT BETWEEN i.s - 2 AND i.s + 2",
    "SELECT COUNT(*) FILTER (WHERE COALESCE(w.s, 0) + COALESCE(h.s, 0) + COALESCE(i.s, 0) >= 6) AS a, COUNT(*) FILTER (WHERE COALESCE(w.s, 0) - COALESCE(i.s, 0) = 1) AS b FROM (SELECT pid, COUNT(*) AS s FROM r.t WHERE pid IS NOT NULL GROUP BY pid) w LEFT JOIN (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h ON w.pid = h.pid LEFT JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON w.pid = i.pid",
    "SELECT COUNT(*) AS n, SUM(h.s) AS x FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.s - i.s > 1.5 AND h.pid IN (SELECT pid FROM r.t)",
    "SELECT COUNT(*) AS n, SUM(h.s) AS x FROM (SELECT pid, MAX(small) AS s, MIN(money) AS m FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h LEFT JOIN (SELECT pid, MIN(small) AS s, MAX(money) AS m FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.m < i.m OR i.pid IS NULL",
    "SELECT COUNT(*) FILTER (WHERE h.d > i.d) AS a, COUNT(*) FILTER (WHERE h.d = i.d) AS e, SUM(CASE WHEN h.d <= i.d THEN h.s END) AS x, AVG(CASE WHEN h.d <= i.d THEN CAST(i.m AS DOUBLE) END) AS y FROM (SELECT pid, MAX(day) AS d, MAX(small) AS s FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h LEFT JOIN (SELECT pid, MIN(day) AS d, MIN(money) AS m FROM i_a.t WHERE pid IS NOT NULL AND small IS NOT NULL GROUP BY pid) i ON h.pid = i.pid",
    "SELECT COUNT(*) AS n, SUM(CASE WHEN h.s > i.m THEN h.s ELSE 2 END) AS x FROM (SELECT pid, MAX(day) AS d, MAX(small) AS s FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(day) AS d, MIN(money) AS m FROM i_a.t WHERE pid IS NOT NULL AND small IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.d < i.d OR i.d > DATE '2021-06-01'",
];

/// Queries that the engine has no word for, or another meaning, and plain SQL that says the same.
const PAIRS: [(&str, &str); 8] = [
    // A CAST to a whole number cuts off, towards 0, and does not round.
    (
        "SELECT SUM(CAST(money AS BIGINT)) AS m, SUM(CAST(x AS BIGINT)) AS x, SUM(CAST(ROUND(x) AS BIGINT)) AS r FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u",
        "SELECT CAST(SUM(TRUNC(CAST(money AS DOUBLE))) AS BIGINT) AS m, CAST(SUM(TRUNC(x)) AS BIGINT) AS x, CAST(SUM(ROUND(x)) AS BIGINT) AS r FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u",
    ),
    (
        "SELECT COUNT(*) AS n FROM h_a.t h WHERE (h.pid, h.part) IN (SELECT pid, part FROM i_a.t)",
        "SELECT COUNT(*) AS n FROM h_a.t h WHERE EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid AND i.part = h.part)",
    ),
    (
        "SELECT COUNT(*) AS n, SUM(CASE WHEN h.pid IN (SELECT pid FROM i_a.t) THEN h.small ELSE 0 END) AS s FROM h_a.t h",
        "SELECT COUNT(*) AS n, SUM(CASE WHEN i.k IS NOT NULL THEN h.small ELSE 0 END) AS s FROM h_a.t h LEFT JOIN (SELECT DISTINCT pid AS k FROM i_a.t) i ON i.k = h.pid",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid)) AS a, COUNT(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM r.t i WHERE i.pid = h.pid)) AS b FROM h_a.t h",
        "SELECT COUNT(i.k) AS a, COUNT(*) FILTER (WHERE r.k IS NULL) AS b FROM h_a.t h LEFT JOIN (SELECT DISTINCT pid AS k FROM i_a.t) i ON i.k = h.pid LEFT JOIN (SELECT DISTINCT pid AS k FROM r.t) r ON r.k = h.pid",
    ),
    (
        "SELECT AVG(CASE WHEN EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid) THEN 1.5 ELSE 0.25 END) AS a, SUM(CASE WHEN EXISTS (SELECT 1 FROM r.t i WHERE i.pid = h.pid) THEN h.x ELSE 0.5 END) AS b FROM h_a.t h",
        "SELECT AVG(CASE WHEN i.k IS NOT NULL THEN 1.5 ELSE 0.25 END) AS a, SUM(CASE WHEN r.k IS NOT NULL THEN h.x ELSE 0.5 END) AS b FROM h_a.t h LEFT JOIN (SELECT DISTINCT pid AS k FROM i_a.t) i ON i.k = h.pid LEFT JOIN (SELECT DISTINCT pid AS k FROM r.t) r ON r.k = h.pid",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE NOT (h.small > 4 AND h.pid IN (SELECT pid FROM i_a.t WHERE pid IS NOT NULL))) AS n FROM h_a.t h",
        "SELECT COUNT(*) FILTER (WHERE NOT (h.small > 4 AND CASE WHEN h.pid IS NOT NULL THEN i.k IS NOT NULL END)) AS n FROM h_a.t h LEFT JOIN (SELECT DISTINCT pid AS k FROM i_a.t) i ON i.k = h.pid",
    ),
    (
        "SELECT COUNT(DISTINCT pid) AS p, COUNT(pid) AS k, COUNT(*) AS n FROM h_a.t h FULL JOIN i_a.t i USING (pid)",
        "SELECT COUNT(DISTINCT COALESCE(h.pid, i.pid)) AS p, COUNT(COALESCE(h.pid, i.pid)) AS k, COUNT(*) AS n FROM h_a.t h FULL JOIN i_a.t i ON h.pid = i.pid",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT pid, MAX(day) AS d, MAX(small) AS s FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(day) AS d, MIN(money) AS m FROM i_a.t WHERE pid IS NOT NULL AND small IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE h.d - i.d > 30 OR h.d + 200 BETWEEN i.d AND i.d + 100",
        "SELECT COUNT(*) AS n FROM (SELECT pid, MAX(day) AS d, MAX(small) AS s FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MIN(day) AS d, MIN(money) AS m FROM i_a.t WHERE pid IS NOT NULL AND small IS NOT NULL GROUP BY pid) i ON h.pid = i.pid WHERE CAST(h.d AS INT) - CAST(i.d AS INT) > 30 OR CAST(h.d AS INT) + 200 BETWEEN CAST(i.d AS INT) AND CAST(i.d AS INT) + 100",
    ),
];

#[tokio::test]
async fn forms_equal_plain_sql() {
    let world = world().await;
    let mut wrong = Vec::new();
    let same = PLAIN.iter().map(|sql| (*sql, *sql));
    for (sql, reference) in same.chain(PAIRS) {
        let spec = check(&job(sql)).expect("a job file");
        let plan = match compile(&spec, &world.catalogues) {
            Ok(plan) => plan,
            Err(faults) => {
                wrong.push(format!("{sql}\n  refused: {}", faults[0]));
                continue;
            }
        };
        match differs(&world, &plan, reference, 1e-9).await {
            Ok(None) => {}
            Ok(Some(what)) => wrong.push(format!("{sql}\n  {what}")),
            Err(error) => wrong.push(format!("{sql}\n  no reference: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is refused, and words of the refusal: what it is, or what to write instead.
const REFUSED: [(&str, &str); 11] = [
    (
        "SELECT COUNT(*) FROM h_a.t h WHERE EXISTS (SELECT 1 FROM i_a.t i WHERE i.small > 3)",
        "EXISTS (SELECT 1 FROM … t WHERE t.key = a.key)",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h WHERE EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid AND i.small > h.small)",
        "compares columns of different holders inside a subquery",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h WHERE h.small > (SELECT AVG(small) FROM i_a.t)",
        "run that subquery as a job of its own",
    ),
    (
        "SELECT h.pid IN (SELECT pid FROM i_a.t) AS has, COUNT(*) AS n FROM h_a.t h GROUP BY h.pid IN (SELECT pid FROM i_a.t)",
        "FILTER (WHERE …)",
    ),
    (
        "SELECT AVG(n) FROM (SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat) t",
        "compute from the groups of the result",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.x > i.x",
        "CAST(x AS DECIMAL(12, 2))",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.day > i.small",
        "a day is compared with a number",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.day + i.day > 3",
        "a day is compared with a number",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small * i.small > 3",
        "sums and differences are compared",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > i.small",
        "several holders",
    ),
    (
        "SELECT COUNT(*) FROM h_a.t h FULL JOIN i_a.t i ON h.pid = i.pid WHERE COALESCE(h.small, 0) > COALESCE(i.small, 0)",
        "FULL JOIN",
    ),
];

#[test]
fn refusals_say_what_to_write_instead() {
    let world = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(world());
    for (sql, words) in REFUSED {
        let spec = check(&job(sql)).expect("a job file");
        let Err(faults) = compile(&spec, &world.catalogues) else {
            panic!("planned although it should be refused: {sql}");
        };
        let said = faults[0].to_string();
        assert!(said.contains("line 6"), "{sql}: {said}");
        assert!(said.contains(words), "{sql}: {said}");
    }
}
