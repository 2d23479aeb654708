//! Comparisons between holders, and values that several compute together, where a key has several rows: random queries
//! against plain SQL, and persons that count once.

use party_agent::plan::{Procedure, compile};
use party_agent::spec::check;

use super::joint::{compared, computed, condition, conditions, key, spearman, world};
use super::oracle::differs;
use super::random::{Query, Random, compare_jobs};

const SEED: u64 = 20_261_125;

/// A table with so many rows a person at most.
fn rows(holder: &str, name: &str, most: usize) -> String {
    format!(
        "(SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY big, x, money, day) AS k FROM {holder}.t WHERE pid IS NOT NULL) z WHERE k <= {most}) {name}"
    )
}

/// The job's word on them.
fn bounds(all: &[(&str, usize)]) -> String {
    let several = all.iter().filter(|(_, most)| *most > 1);
    let lines: Vec<String> = several
        .map(|(name, most)| format!("{name} = {most}\n"))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("[compute.max_rows_per_key]\n{}", lines.concat()),
    }
}

fn aggregate(random: &mut Random, names: &[&str]) -> (String, String) {
    let of_them = compared(random);
    let value = random.pick(&["h.small", "i.big", "h.money", "i.small"]);
    let other = random.pick(&["h.small", "i.part", "0"]);
    let same = |text: String| (text.clone(), text);
    let pair = |name: &str, value: &str| {
        (
            format!("{name}({value})"),
            format!("{name}(CAST({value} AS DOUBLE))"),
        )
    };
    match random.below(12) {
        0 => same("COUNT(*)".to_owned()),
        1 => same(format!("COUNT(*) FILTER (WHERE {of_them})")),
        2 => same(format!("SUM({value})")),
        3 => pair("AVG", value),
        4 => pair("VAR_SAMP", value),
        5 => same(format!(
            "SUM(CASE WHEN {of_them} THEN {value} ELSE {other} END)"
        )),
        6 => same(format!("COUNT(DISTINCT {}.pid)", random.pick(names))),
        7 => same(format!(
            "COUNT(DISTINCT CASE WHEN {of_them} THEN h.pid END)"
        )),
        8 => same(format!(
            "{}({}.small)",
            random.pick(&["MIN", "MAX"]),
            random.pick(names)
        )),
        9 | 10 => computed(random),
        _ => same(format!(
            "SUM(h.small * i.small) FILTER (WHERE {})",
            conditions(random, names, 1)
        )),
    }
}

fn query(random: &mut Random) -> (Query, String) {
    let (h, i) = (1 + random.below(3), 1 + random.below(3));
    let mut all = vec![("h", h), ("i", i)];
    let mut names = vec!["h", "i"];
    let kind = random.pick(&["JOIN", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN"]);
    let on = "h.pid = i.pid";
    let (h, i) = (rows("h_a", "h", h), rows("i_a", "i", i));
    // The engine errs over RIGHT JOIN where WHERE leaves the rows of the right-hand side alone.
    let (mut from, mut plain) = match kind {
        "RIGHT JOIN" => (
            format!("{h} RIGHT JOIN {i} ON {on}"),
            format!("{i} LEFT JOIN {h} ON {on}"),
        ),
        kind => {
            let from = format!("{h} {kind} {i} ON {on}");
            (from.clone(), from)
        }
    };
    if kind != "RIGHT JOIN" && random.one_in(4) {
        let most = 1 + random.below(2);
        all.push(("r", most));
        names.push("r");
        let more = format!(
            " {} {} ON h.pid = r.pid",
            random.pick(&["JOIN", "LEFT JOIN"]),
            rows("r", "r", most)
        );
        from.push_str(&more);
        plain.push_str(&more);
    }
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..random.below(3) {
        let key = key(random, &names);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut outputs = vec![aggregate(random, &names), aggregate(random, &names)];
    let of_them = compared(random);
    let sum = format!(
        "SUM(CASE WHEN {of_them} THEN {} END)",
        random.pick(&["h.small", "i.big"])
    );
    outputs.push((sum.clone(), sum));
    let mut tail = String::new();
    match random.below(4) {
        0 => tail = format!(" WHERE {}", compared(random)),
        1 => tail = format!(" WHERE {} AND {}", compared(random), condition(random, "h")),
        2 => {
            tail = format!(
                " WHERE ({} OR {})",
                condition(random, "i"),
                condition(random, "h")
            )
        }
        _ => {}
    }
    let apart = ["DISTINCT", "MIN", "MAX", "MEDIAN", "PERCENTILE", "VAR"];
    let mut used = apart.iter();
    let adds_up = !used.any(|word| outputs.iter().any(|o| o.0.contains(word)));
    if !keys.is_empty() && adds_up && random.one_in(3) {
        let grouping: Vec<String> = keys.iter().map(|k| format!("GROUPING({k})")).collect();
        let places: Vec<String> = (1..=keys.len())
            .map(|i| format!("{i} NULLS LAST"))
            .collect();
        let (grouping, places) = (grouping.join(", "), places.join(", "));
        let listed = keys.join(", ");
        tail.push_str(&format!(
            " GROUP BY ROLLUP({listed}) ORDER BY {grouping}, {places}"
        ));
    } else if !keys.is_empty() {
        tail.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        if random.one_in(3) {
            tail.push_str(&format!(
                " HAVING COUNT(DISTINCT h.pid) >= {}",
                1 + random.below(5)
            ));
        }
        let places: Vec<String> = (1..=keys.len())
            .map(|i| format!("{i} NULLS LAST"))
            .collect();
        tail.push_str(&format!(" ORDER BY {}", places.join(", ")));
    }
    let text = |from: &str, which: &dyn Fn(&(String, String)) -> String| {
        let items = keys
            .iter()
            .cloned()
            .chain(outputs.iter().map(which))
            .enumerate();
        let items: Vec<String> = items.map(|(i, item)| format!("{item} AS c{i}")).collect();
        format!("SELECT {} FROM {from}{tail}", items.join(", "))
    };
    // 100.5 is a floating-point number, which is not compared.
    let query = Query {
        job: text(&from, &|pair| pair.0.clone()).replace("00.5", "00"),
        plain: vec![text(&plain, &|pair| pair.1.clone()).replace("00.5", "00")],
    };
    (query, bounds(&all))
}

#[tokio::test]
async fn random_comparisons_of_several_rows_a_key_equal_plain_sql_or_are_refused() {
    compare_jobs(&world().await, (SEED, 2), 8, query).await;
}

fn job(sql: &str, privacy: &str, more: &str) -> String {
    format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n{privacy}{more}"
    )
}

/// A person counts once for the minimum, whatever rows of theirs count; with an OR between holders too, where nothing is
/// compared and any number of rows a key will do.
#[tokio::test]
async fn a_minimum_counts_persons_and_not_their_rows() {
    let world = world().await;
    let of_h = format!(
        "{} JOIN {} ON h.pid = i.pid",
        rows("h_a", "h", 4),
        rows("i_a", "i", 3)
    );
    let three = [("h", 4), ("i", 3)];
    let whole = "h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    let union =
        "h_a.t h LEFT JOIN (SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) i ON h.pid = i.pid";
    for (select, from, condition, more) in [
        (
            "h.cat AS k",
            of_h.as_str(),
            "h.small > i.small",
            bounds(&three),
        ),
        ("i.cat AS k", &of_h, "h.money <= i.money", bounds(&three)),
        (
            "i.flag AS k",
            &of_h,
            "(h.small > i.small OR h.cat = 'a')",
            bounds(&three),
        ),
        (
            "h.cat AS k",
            whole,
            "(h.small > 6 OR i.small > 7)",
            String::new(),
        ),
        (
            "i.part AS k",
            whole,
            "NOT (h.small > 2 AND i.cat = 'a')",
            String::new(),
        ),
        (
            "h.cat AS k",
            union,
            "(h.small > 6 OR i.small > 8)",
            String::new(),
        ),
    ] {
        let sql = format!(
            "SELECT {select}, COUNT(*) AS n, SUM(h.small) AS s FROM {from} WHERE {condition} GROUP BY 1 ORDER BY 1 NULLS LAST"
        );
        let mut shown = Vec::new();
        for least in [2, 4, 6, 9, 12] {
            let text = job(&sql, &format!("min_cell = {least}\n"), &more);
            let plan = compile(&check(&text).expect("a job file"), &world.catalogues);
            let plan = plan.unwrap_or_else(|faults| panic!("{sql}: {faults:?}"));
            let Procedure::Join(join) = &plan.procedure else {
                panic!("a join");
            };
            assert!(join.met.is_some(), "{sql}");
            let kept = sql.replace(
                " ORDER BY 1",
                &format!(" HAVING COUNT(DISTINCT h.pid) >= {least} ORDER BY 1"),
            );
            let differs = differs(&world, &plan, &kept, 1e-9).await;
            assert_eq!(differs.expect("a reference"), None, "{kept}");
            let found = super::joined::run(&world, &plan).await.expect("a result");
            shown.push(found.n_rows());
        }
        assert!(shown[0] > 0, "{sql}");
        assert!(shown.windows(2).any(|n| n[1] < n[0]), "{shown:?} of {sql}");
    }
}

/// Of columns of two holders, several rows of whom meet.
#[tokio::test]
async fn rank_correlations_of_several_rows_a_key_equal_plain_sql() {
    let world = world().await;
    for (keys, pair, condition) in [
        ("", ("h.small", "i.big"), ""),
        ("i.flag", ("h.money", "i.small"), ""),
        ("h.cat", ("h.small", "h.big"), " WHERE h.small > i.small"),
    ] {
        let from = format!(
            "{} JOIN {} ON h.pid = i.pid{condition}",
            rows("h_a", "h", 3),
            rows("i_a", "i", 2)
        );
        let (y, x) = pair;
        let (key, tail) = match keys {
            "" => (String::new(), String::new()),
            keys => (
                format!("{keys} AS k, "),
                format!(" GROUP BY {keys} ORDER BY 1 NULLS LAST"),
            ),
        };
        let sql = format!("SELECT {key}SPEARMAN({y}, {x}) AS s FROM {from}{tail}");
        let text = job(&sql, "", &bounds(&[("h", 3), ("i", 2)]));
        let plan = compile(&check(&text).expect("a job file"), &world.catalogues);
        let plan = plan.unwrap_or_else(|faults| panic!("{sql}: {faults:?}"));
        // A condition that stands already ends where the reference adds its own.
        let reference = spearman(keys, pair, &from.replace(" WHERE h.small > i.small", ""));
        let reference = match condition {
            "" => reference,
            _ => reference.replace(
                "h.small IS NOT NULL",
                "h.small > i.small AND h.small IS NOT NULL",
            ),
        };
        let differs = differs(&world, &plan, &reference, 1e-9).await;
        assert_eq!(differs.expect("a reference"), None, "{sql}");
    }
}

/// The bound is the job's, which a holder checks before anything is sent.
#[tokio::test]
async fn more_rows_than_the_job_says_end_it() {
    let world = world().await;
    let sql =
        "SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > i.small";
    for (bounds, words) in [
        ("", "a key stands in several rows"),
        (
            "[compute.max_rows_per_key]\nh = 2\ni = 2\n",
            "in more rows than the job says",
        ),
    ] {
        let spec = check(&job(sql, "", bounds)).expect("a job file");
        let plan = compile(&spec, &world.catalogues).expect("a plan");
        let ended = super::joined::run(&world, &plan).await;
        let said = format!("{}", ended.expect_err("more rows"));
        assert!(said.contains(words), "{said}");
        assert!(said.contains("max_rows_per_key"), "{said}");
    }
    let spec = check(&job(sql, "", "[compute.max_rows_per_key]\nh = 9\ni = 9\n"));
    let plan = compile(&spec.expect("a job file"), &world.catalogues).expect("a plan");
    let differs = differs(&world, &plan, sql, 1e-9).await;
    assert_eq!(differs.expect("a reference"), None);
}

#[tokio::test]
async fn bounds_on_rows_that_say_nothing_are_refused() {
    let world = world().await;
    let compared =
        "SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > i.small";
    let plain = "SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    let union = "SELECT COUNT(*) AS n FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h";
    for (sql, bounds, words) in [
        (
            compared,
            "x = 2\n",
            "x is no table in FROM; the names that the query gives them are h, i",
        ),
        (
            compared,
            "h = 20\ni = 20\n",
            "400 pairs of rows of a key would be compared, and 256 can be",
        ),
        (
            plain,
            "h = 2\n",
            "has no effect: nothing in the query is compared",
        ),
        (
            union,
            "h = 2\n",
            "has no effect: the query joins no tables of different holders",
        ),
    ] {
        let text = job(sql, "", &format!("[compute.max_rows_per_key]\n{bounds}"));
        let faults = compile(&check(&text).expect("a job file"), &world.catalogues);
        let fault = faults.expect_err("refused").swap_remove(0);
        let said = format!("{}: {}; {}", fault.place, fault.what, fault.fix);
        assert!(said.contains(words), "{said}");
        assert!(said.starts_with("compute.max_rows_per_key"), "{said}");
    }
    let spelt = "[compute]\nnormalise = \"upper_alnum\"\n";
    let text = job(union, "", "").replace("[compute]\n", spelt);
    let faults = compile(&check(&text).expect("a job file"), &world.catalogues);
    let fault = faults.expect_err("refused").swap_remove(0);
    assert_eq!(fault.place, "compute.normalise");
    for wrong in ["h = 1", "h = 65", "h = \"a\""] {
        let text = job(
            compared,
            "",
            &format!("[compute.max_rows_per_key]\n{wrong}\n"),
        );
        let faults = check(&text).expect_err("refused");
        assert!(faults[0].field.contains("max_rows_per_key"), "{faults:?}");
    }
}
