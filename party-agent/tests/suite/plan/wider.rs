//! Random queries of wider shape than those of `random` and `joint`: different values, BOOL_OR and BOOL_AND, HAVING of every
//! kind, CTEs, days, texts, ORDER BY and LIMIT, over joins and over unions.

use super::joint::{condition, conditions, key, number, on, side, world};
use super::random::{Query, Random, compare_all};

const SEED: u64 = 20_261_124;

/// A column whose different values can be counted, or what is made of it.
fn value(random: &mut Random, names: &[&str]) -> String {
    let (r, s) = (random.pick(names), random.pick(names));
    match random.below(12) {
        0 | 1 => format!("{r}.cat"),
        2 => format!("{r}.small"),
        3 => format!("{r}.part"),
        4 => format!("{r}.day"),
        5 => format!("{r}.money"),
        6 => format!("EXTRACT(YEAR FROM {r}.day)"),
        7 => format!("COALESCE({r}.cat, '-')"),
        8 => format!("{r}.small * 2 + {r}.part"),
        9 => format!("CASE WHEN {} THEN {r}.cat END", condition(random, s)),
        10 => format!("{r}.flag"),
        _ => format!("{r}.pid"),
    }
}

/// A condition on texts, days and numbers.
fn plain_condition(random: &mut Random, names: &[&str]) -> String {
    let r = random.pick(names);
    let number = random.below(10) as i64 - 2;
    match random.below(9) {
        0 => format!("{r}.cat <> 'b'"),
        1 => format!("{r}.cat LIKE 'a%'"),
        2 => format!("{r}.pid = 'p{}'", 10 + number),
        3 => format!("{r}.day BETWEEN DATE '2020-06-01' AND DATE '2021-12-31'"),
        4 => format!("EXTRACT(MONTH FROM {r}.day) IN (1, 2, 3, {})", 6 + number),
        5 => format!("{r}.small IN (1, {number}, 7)"),
        6 => format!("UPPER({r}.cat) = 'A'"),
        7 => format!("{r}.small IS NOT NULL AND {r}.part <> {number}"),
        _ => conditions(random, names, 1),
    }
}

fn aggregate(random: &mut Random, names: &[&str]) -> String {
    let filter = match random.one_in(5) {
        true => format!(" FILTER (WHERE {})", plain_condition(random, names)),
        false => String::new(),
    };
    let r = random.pick(names);
    match random.below(12) {
        0..=2 => format!("COUNT(DISTINCT {}){filter}", value(random, names)),
        3 => format!("BOOL_OR({}){filter}", plain_condition(random, &[r])),
        4 => format!("BOOL_AND({}){filter}", plain_condition(random, &[r])),
        5 => format!("{}({r}.day){filter}", random.pick(&["MIN", "MAX"])),
        6 => format!("SUM({}){filter}", number(random, names)),
        7 => format!("AVG({r}.small){filter}"),
        8 => format!("{}({r}.small){filter}", random.pick(&["MIN", "MAX"])),
        9 => format!("COUNT({r}.cat){filter}"),
        10 => format!(
            "SUM(CASE WHEN {} THEN 1 ELSE 0 END)",
            conditions(random, names, 1)
        ),
        _ => format!("COUNT(*){filter}"),
    }
}

fn having(random: &mut Random, names: &[&str], keys: &[String]) -> String {
    let one = |random: &mut Random| {
        let r = random.pick(names);
        let number = random.below(12);
        match random.below(9) {
            0 => format!("COUNT(*) > {number}"),
            1 => format!("COUNT(*) BETWEEN {number} AND 40"),
            2 => format!("SUM({r}.small) > {}", 5 * number),
            3 => format!("AVG({r}.small) <= {number}.25"),
            4 => format!("MAX({r}.small) = 9"),
            5 => format!("MIN({r}.small) < {}", number as i64 - 3),
            6 => format!("COUNT(DISTINCT {r}.part) >= {}", 1 + number % 3),
            7 if !keys.is_empty() => format!("{} IS NOT NULL", keys[0]),
            _ => format!("SUM({r}.money) * 2 > {number}00 - COUNT(*)"),
        }
    };
    let (a, b) = (one(random), one(random));
    match random.below(4) {
        0 => format!("{a} AND {b}"),
        1 => format!("({a} OR {b})"),
        2 => format!("NOT ({a})"),
        _ => a,
    }
}

/// FROM, what stands before the SELECT, and what the sides are called.
fn from(random: &mut Random) -> (String, String, Vec<&'static str>) {
    let left: &[&str] = if random.one_in(3) {
        &["h_a", "h_b"]
    } else {
        &["h_a"]
    };
    let right: &[&str] = if random.one_in(3) {
        &["i_a", "i_b"]
    } else {
        &["i_a"]
    };
    if random.one_in(5) {
        let of_them = random.pick(&["", " WHERE h.small > 0", " WHERE h.flag"]);
        let union =
            "(SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t UNION ALL SELECT * FROM i_a.t)";
        let from = format!("(SELECT * FROM {union} h{of_them}) h");
        return (String::new(), from, vec!["h"]);
    }
    let kind = random.pick(&["JOIN", "JOIN", "JOIN", "LEFT JOIN"]);
    let (mut h, i) = (side(random, left, "h"), side(random, right, "i"));
    let mut with = String::new();
    if random.one_in(3) && h.starts_with('(') {
        let inner = h.trim_start_matches('(').trim_end_matches(") h");
        with = format!("WITH a AS ({inner}) ");
        h = "a h".to_owned();
    }
    let mut names = vec!["h", "i"];
    let on = on(random, "h", "i");
    let mut from = format!("{h} {kind} {i} ON {on}");
    if random.one_in(5) {
        let more = random.pick(&["JOIN", "LEFT JOIN"]);
        let r = side(random, &["r"], "r");
        from.push_str(&format!(" {more} {r} ON {}", on.replace("i.", "r.")));
        names.push("r");
    }
    (with, from, names)
}

fn query(random: &mut Random) -> Query {
    let (with, from, names) = from(random);
    let names: &[&str] = &names;
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..random.below(3) {
        let key = match random.below(4) {
            0 => format!("EXTRACT(YEAR FROM {}.day)", random.pick(names)),
            _ => key(random, names),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let n_aggregates = 1 + random.below(3);
    let aggregates: Vec<String> = (0..n_aggregates)
        .map(|_| aggregate(random, names))
        .collect();
    let mut tail = String::new();
    if random.one_in(2) {
        tail.push_str(&format!(" WHERE {}", plain_condition(random, names)));
    }
    if !keys.is_empty() {
        tail.push_str(&format!(" GROUP BY {}", keys.join(", ")));
    }
    if random.one_in(3) {
        tail.push_str(&format!(" HAVING {}", having(random, names, &keys)));
    }
    if !keys.is_empty() {
        let direction = random.pick(&["ASC", "DESC"]);
        let order = (1..=keys.len()).map(|i| format!("{i} {direction} NULLS LAST"));
        let order: Vec<String> = order.collect();
        tail.push_str(&format!(" ORDER BY {}", order.join(", ")));
        if random.one_in(4) {
            tail.push_str(&format!(" LIMIT {}", 1 + random.below(3)));
        }
    }
    // Names of ours are names like any others.
    let prefix = random.pick(&["c", "o", "k", "a"]);
    let items = keys.iter().chain(&aggregates).enumerate();
    let items: Vec<String> = items
        .map(|(i, item)| format!("{item} AS {prefix}{i}"))
        .collect();
    let sql = format!("{with}SELECT {} FROM {from}{tail}", items.join(", "));
    Query {
        plain: vec![sql.clone()],
        job: sql,
    }
}

#[tokio::test]
async fn random_queries_of_wider_shape_equal_plain_sql_or_are_refused() {
    compare_all(&world().await, SEED, 6, query).await;
}
