//! Random queries that join tables of several holders, against plain SQL over the pooled rows: the same answer, or a
//! refusal, never another answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
};
use party_agent::catalogue::{Catalogue, Publish, describe};
use party_agent::plan::{Step, compile};
use party_agent::spec::check;

use super::fixture::party;
use super::oracle::{World, differs};
use super::random::{Query, Random, compare_all};
use crate::memory::Memory;

const SEED: u64 = 20_261_123;

/// Rows about people, several of them about the same; no key in some.
fn rows(random: &mut Random, n: usize, people: usize, shift: usize) -> Memory {
    let mut whole = |low: i64, high: i64| -> Vec<i64> {
        let span = (high - low + 1) as usize;
        (0..n).map(|_| low + random.below(span) as i64).collect()
    };
    let (person, part) = (whole(0, people as i64 - 1), whole(0, 2));
    let (cat, small, big) = (whole(0, 3), whole(-3, 9), whole(-1_000_000, 1_000_000));
    let (money, x, day) = (
        whole(-100_000, 900_000),
        whole(-4000, 4000),
        whole(18_262, 19_300),
    );
    let mut known = |one_in: usize| (0..n).map(|_| !random.one_in(one_in)).collect::<Vec<_>>();
    let (has_key, has_cat, has_small, has_money, has_flag) =
        (known(9), known(6), known(6), known(6), known(6));
    let texts = ["a", "b", "c", ""];
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "pid",
            Arc::new(StringViewArray::from_iter((0..n).map(|i| {
                has_key[i].then(|| format!("p{}", person[i] as usize + shift))
            }))),
        ),
        (
            "num",
            Arc::new(Int64Array::from_iter(
                (0..n).map(|i| has_key[i].then_some(person[i] + shift as i64)),
            )),
        ),
        ("part", Arc::new(Int64Array::from_iter_values(part))),
        (
            "cat",
            Arc::new(StringViewArray::from_iter(
                (0..n).map(|i| has_cat[i].then(|| texts[cat[i] as usize])),
            )),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(
                (0..n).map(|i| has_flag[i].then_some(small[i] > 2)),
            )),
        ),
        (
            "small",
            Arc::new(Int64Array::from_iter(
                (0..n).map(|i| has_small[i].then_some(small[i])),
            )),
        ),
        ("big", Arc::new(Int64Array::from_iter_values(big))),
        (
            "money",
            Arc::new(
                Decimal128Array::from_iter(
                    (0..n).map(|i| has_money[i].then_some(i128::from(money[i]))),
                )
                .with_precision_and_scale(12, 2)
                .expect("12 digits"),
            ),
        ),
        (
            "x",
            Arc::new(Float64Array::from_iter_values(
                x.iter().map(|x| *x as f64 / 64.0),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(day.iter().map(|d| *d as i32))),
        ),
    ];
    Memory::new(columns, 64)
}

const HOLDERS: [(&str, usize, usize); 5] = [
    ("h_a", 60, 0),
    ("h_b", 45, 10),
    ("i_a", 50, 5),
    ("i_b", 20, 25),
    ("r", 30, 0),
];

pub(super) async fn world() -> World {
    let mut random = Random::new(SEED);
    let mut sources = Vec::new();
    let mut catalogues = BTreeMap::new();
    for (holder, n, shift) in HOLDERS {
        let source = rows(&mut random, n, 30, shift).into_source("t", 2);
        let entry = describe(&source, "t", &Publish::Rehearsal, None).await;
        let mut entry = entry.expect("an entry");
        // Days are published as of any calendar, of which there are too many to count one by one.
        for column in entry.columns.iter_mut().filter(|c| c.name == "day") {
            column.range = Some(("2020-01-01".to_owned(), "2022-12-31".to_owned()));
        }
        let tables = BTreeMap::from([("t".to_owned(), entry)]);
        let catalogue = Catalogue {
            min_cell: 0,
            open_counts: false,
            round_to: None,
            party: party(holder),
            rehearsal: true,
            tables,
        };
        catalogues.insert(party(holder), catalogue);
        sources.push((holder, source));
    }
    World {
        sources,
        catalogues,
    }
}

/// A condition on one relation.
pub(super) fn condition(random: &mut Random, r: &str) -> String {
    let number = random.below(12) as i64 - 3;
    match random.below(10) {
        0 => format!("{r}.cat = 'a'"),
        1 => format!("{r}.cat IN ('b', '')"),
        2 => format!("{r}.cat IS NULL"),
        3 => format!("{r}.flag"),
        4 => format!("{r}.flag IS NOT TRUE"),
        5 => format!("{r}.small > {number}"),
        6 => format!("{r}.money BETWEEN {number}00.5 AND 5000"),
        7 => format!("{r}.day >= DATE '2021-03-01'"),
        8 => format!("{r}.x < {number}.25"),
        _ => format!("COALESCE({r}.small, 0) * 2 + 1 >= {number}"),
    }
}

pub(super) fn conditions(random: &mut Random, names: &[&str], depth: usize) -> String {
    if depth > 0 && random.one_in(2) {
        let (a, b) = (
            conditions(random, names, depth - 1),
            conditions(random, names, depth - 1),
        );
        return match random.below(3) {
            0 => format!("({a} AND {b})"),
            1 => format!("({a} OR {b})"),
            _ => format!("NOT ({a})"),
        };
    }
    let name = random.pick(names);
    condition(random, name)
}

pub(super) fn number(random: &mut Random, names: &[&str]) -> String {
    let r = random.pick(names);
    let s = random.pick(names);
    match random.below(12) {
        0 | 1 => format!("{r}.small"),
        2 => format!("{r}.big"),
        3 => format!("{r}.money"),
        4 => format!("{r}.x"),
        5 => format!("{r}.small * 3 + 1"),
        6 => format!("COALESCE({r}.small, 2)"),
        7 => format!("CASE WHEN {} THEN {r}.small END", condition(random, s)),
        8 => format!(
            "CASE WHEN {} THEN {r}.money ELSE {s}.small END",
            condition(random, s)
        ),
        9 => format!("{r}.small * {s}.small"),
        10 => format!("{r}.money - {s}.small"),
        _ => format!("COALESCE({r}.small, {s}.small)"),
    }
}

/// MIN, MAX and quantiles, of what has few values and of what has many.
fn ordered(random: &mut Random, names: &[&str]) -> (String, String) {
    let (r, s) = (random.pick(names), random.pick(names));
    let value = match random.below(10) {
        6 => format!("{r}.big"),
        7 => format!("{r}.money"),
        8 => format!("CASE WHEN {} THEN {r}.big END", conditions(random, &[s], 1)),
        9 => format!("{r}.x"),
        0 => format!("COALESCE({r}.small, {s}.small)"),
        1 => format!(
            "CASE WHEN {} THEN {r}.small END",
            conditions(random, &[s], 1)
        ),
        2 => format!(
            "CASE WHEN {} THEN {r}.small ELSE {s}.part END",
            condition(random, s)
        ),
        3 => format!("COALESCE({r}.small, -2) * 3 + 1"),
        _ => format!("{r}.small"),
    };
    let same = |text: String| (text.clone(), text);
    let level = random.pick(&["0", "0.125", "0.25", "0.5", "0.9375", "1"]);
    match random.below(6) {
        0 => same(format!("MIN({value})")),
        1 => same(format!("MAX({value})")),
        2 => same(format!("{}({r}.day)", random.pick(&["MIN", "MAX"]))),
        3 => (
            format!("MEDIAN({value})"),
            format!("MEDIAN(CAST({value} AS DOUBLE))"),
        ),
        _ => {
            let of =
                |value: &str| format!("PERCENTILE_CONT({level}) WITHIN GROUP (ORDER BY {value})");
            (of(&value), of(&format!("CAST({value} AS DOUBLE)")))
        }
    }
}

/// A sum or mean of quotients of columns of two tables, in plain SQL of floating-point numbers.
fn quotient(random: &mut Random, names: &[&str]) -> (String, String) {
    let r = random.below(names.len());
    let (r, s) = (
        names[r],
        names[(r + 1 + random.below(names.len() - 1)) % names.len()],
    );
    let dividend = match random.below(6) {
        0 | 1 => format!("{r}.money"),
        2 => format!("{r}.x"),
        3 => format!("({r}.money + {s}.small)"),
        4 => format!("({r}.small * {s}.money)"),
        _ => format!("COALESCE({r}.money, 12.5)"),
    };
    let divisor = match random.below(7) {
        0 => format!("NULLIF({s}.small, 0)"),
        1 => format!("(ABS({s}.small) + 1)"),
        2 => format!("NULLIF({s}.money, 0)"),
        3 => format!("CASE WHEN {s}.x > 0.5 THEN {s}.x END"),
        4 => "7.5".to_owned(),
        5 => format!("NULLIF({s}.big, 0)"),
        // 0 in some rows, for which plain SQL has no number.
        _ => format!("{s}.small"),
    };
    let around = random.below(8);
    let of = random.pick(names);
    let condition = condition(random, of);
    let text = |dividend: &str| {
        let quotient = format!("{dividend} / {divisor}");
        match around {
            0 => format!("CASE WHEN {condition} THEN {quotient} END"),
            1 => format!("CASE WHEN {condition} THEN {quotient} ELSE 0 END"),
            2 => format!("COALESCE({quotient}, 0)"),
            3 => format!("-({quotient})"),
            4 => format!("{quotient} * {r}.small"),
            _ => quotient,
        }
    };
    let name = random.pick(&["SUM", "SUM", "AVG"]);
    (
        format!("{name}({})", text(&dividend)),
        format!("{name}({})", text(&format!("CAST({dividend} AS DOUBLE)"))),
    )
}

fn aggregate(random: &mut Random, names: &[&str]) -> (String, String) {
    if random.one_in(6) {
        return ordered(random, names);
    }
    if random.one_in(6) {
        return quotient(random, names);
    }
    let value = number(random, names);
    let filter = match random.one_in(5) {
        true => format!(" FILTER (WHERE {})", conditions(random, names, 1)),
        false => String::new(),
    };
    let same = |text: String| (text.clone(), text);
    let in_doubles = |name: &str| {
        (
            format!("{name}({value}){filter}"),
            format!("{name}(CAST({value} AS DOUBLE)){filter}"),
        )
    };
    match random.below(11) {
        0 => same(format!("COUNT(*){filter}")),
        1 => same(format!("COUNT({value}){filter}")),
        2..=4 => same(format!("SUM({value}){filter}")),
        5 => in_doubles("AVG"),
        6 => in_doubles("VAR_SAMP"),
        7 => in_doubles("STDDEV_POP"),
        8 => {
            let r = random.pick(names);
            same(format!("COUNT(DISTINCT {r}.pid){filter}"))
        }
        9 => {
            let (r, s) = (random.pick(names), random.pick(names));
            (
                format!("CORR({r}.small, {s}.big)"),
                format!("CORR(CAST({r}.small AS DOUBLE), CAST({s}.big AS DOUBLE))"),
            )
        }
        _ => same(format!("COUNT({}.cat)", random.pick(names))),
    }
}

pub(super) fn key(random: &mut Random, names: &[&str]) -> String {
    let r = random.pick(names);
    match random.below(6) {
        0 | 1 => format!("{r}.cat"),
        2 => format!("{r}.flag"),
        3 => format!("COALESCE({r}.cat, 'none')"),
        4 => format!(
            "CASE WHEN {r}.money > 0 THEN 'gain' WHEN {r}.money < 0 THEN 'loss' ELSE 'none' END"
        ),
        _ => format!("{r}.small > 3"),
    }
}

/// One side of a join.
pub(super) fn side(random: &mut Random, holders: &[&str], name: &str) -> String {
    if let [holder] = holders {
        return match random.below(5) {
            0 => format!(
                "(SELECT pid, num, part, cat, flag, small, big, money, x, day FROM {holder}.t WHERE small > 0) {name}"
            ),
            1 => format!(
                "(SELECT *, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY big, x, money, day) AS k FROM {holder}.t) {name}"
            ),
            _ => format!("{holder}.t {name}"),
        };
    }
    let parts: Vec<String> = holders
        .iter()
        .map(|h| format!("SELECT * FROM {h}.t"))
        .collect();
    format!("({}) {name}", parts.join(" UNION ALL "))
}

pub(super) fn on(random: &mut Random, a: &str, b: &str) -> String {
    match random.below(5) {
        0 => format!("{b}.pid = {a}.pid AND {a}.part = {b}.part"),
        1 => format!("{a}.num = {b}.num"),
        _ => format!("{a}.pid = {b}.pid"),
    }
}

/// A condition that reads a table of a further holder.
fn membership(random: &mut Random) -> String {
    let of_them = condition(random, "w");
    match random.below(5) {
        0 => format!("h.pid IN (SELECT pid FROM r.t w WHERE {of_them})"),
        1 => "h.pid NOT IN (SELECT pid FROM r.t WHERE pid IS NOT NULL)".to_owned(),
        2 => format!("EXISTS (SELECT 1 FROM r.t w WHERE w.pid = h.pid AND {of_them})"),
        3 => format!("NOT EXISTS (SELECT 1 FROM r.t w WHERE w.pid = h.pid AND {of_them})"),
        _ => "h.pid IN (SELECT pid FROM r.t GROUP BY pid HAVING COUNT(*) > 1)".to_owned(),
    }
}

/// A table with one row a person, whose columns can be compared with those of another one.
fn one_row(holder: &str, name: &str) -> String {
    format!(
        "(SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY big, x, money, day) AS k FROM {holder}.t WHERE pid IS NOT NULL) z WHERE k = 1) {name}"
    )
}

/// A comparison of columns of two holders.
fn comparison(random: &mut Random) -> String {
    let operator = random.pick(&["<", "<=", ">", ">=", "<>"]);
    let number = random.below(5) as i64 - 2;
    match random.below(6) {
        0 => format!("h.small {operator} i.small"),
        1 => format!("h.small + {number} {operator} i.small"),
        2 => format!("h.money {operator} i.money - {number}00.5"),
        3 => format!("h.small + i.small {operator} {number}"),
        4 => format!("COALESCE(h.small, 0) {operator} COALESCE(i.small, 0)"),
        _ => format!("h.small BETWEEN i.small - 2 AND i.small + {}", number + 3),
    }
}

pub(super) fn compared(random: &mut Random) -> String {
    let one = comparison(random);
    match random.below(4) {
        0 => format!("NOT ({one})"),
        1 => format!("({one} OR {})", conditions(random, &["h"], 0)),
        2 => format!("({one} AND {})", conditions(random, &["i"], 0)),
        _ => one,
    }
}

/// An order or a variance of what is computed from columns of two holders, row by row.
pub(super) fn computed(random: &mut Random) -> (String, String) {
    let of_them = compared(random);
    let value = match random.below(6) {
        0 => "h.small + i.small".to_owned(),
        1 => "h.money * 2 - i.small".to_owned(),
        2 => "COALESCE(h.small, 0) * COALESCE(i.small, 1) + i.part".to_owned(),
        3 => format!("CASE WHEN {of_them} THEN h.money ELSE i.money END - h.part"),
        4 => format!("CASE WHEN {of_them} THEN h.small + i.big END"),
        _ => "COALESCE(h.part, 7) - COALESCE(i.part, 3)".to_owned(),
    };
    let double = format!("CAST({value} AS DOUBLE)");
    match random.below(5) {
        0 => (format!("MIN({value})"), format!("MIN({value})")),
        1 => (format!("MAX({value})"), format!("MAX({value})")),
        2 => (format!("MEDIAN({value})"), format!("MEDIAN({double})")),
        3 => (format!("VAR_SAMP({value})"), format!("VAR_SAMP({double})")),
        _ => {
            let of = |v: &str| format!("PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY {v})");
            (of(&value), of(&double))
        }
    }
}

fn query(random: &mut Random) -> Query {
    let compares = random.one_in(4);
    let left: &[&str] = if random.one_in(2) && !compares {
        &["h_a", "h_b"]
    } else {
        &["h_a"]
    };
    let right: &[&str] = if random.one_in(2) && !compares {
        &["i_a", "i_b"]
    } else {
        &["i_a"]
    };
    let mut names = vec!["h", "i"];
    let mut on = on(random, "h", "i");
    let by_person = on == "h.pid = i.pid";
    if random.one_in(6) {
        let name = random.pick(&names);
        on = format!("{on} AND {}", condition(random, name));
    }
    let kind = random.pick(&[
        "JOIN",
        "JOIN",
        "JOIN",
        "LEFT JOIN",
        "RIGHT JOIN",
        "FULL JOIN",
    ]);
    let (h, i) = match compares {
        true => (one_row("h_a", "h"), one_row("i_a", "i")),
        false => (side(random, left, "h"), side(random, right, "i")),
    };
    let mut from = format!("{h} {kind} {i} ON {on}");
    // The engine errs where WHERE leaves the rows of the right-hand side alone: of RIGHT JOIN, and of FULL JOIN.
    let swapped = match kind {
        "RIGHT JOIN" => vec![format!("{i} LEFT JOIN {h} ON {on}")],
        "FULL JOIN" => vec![from.clone(), format!("{i} FULL JOIN {h} ON {on}")],
        _ => Vec::new(),
    };
    if matches!(kind, "JOIN" | "LEFT JOIN") && random.one_in(4) && !compares {
        let more = random.pick(&["JOIN", "LEFT JOIN"]);
        from.push_str(&format!(
            " {more} {} ON {}",
            side(random, &["r"], "r"),
            on.replace("i.", "r.")
        ));
        names.push("r");
    }
    let names: &[&str] = &names;
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..random.below(3) {
        let key = key(random, names);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut outputs: Vec<(String, String)> = Vec::new();
    for _ in 0..1 + random.below(4) {
        outputs.push(aggregate(random, names));
    }
    if compares {
        let (of_them, value) = (
            compared(random),
            random.pick(&["h.small", "i.big", "h.money"]),
        );
        let sum = format!("SUM(CASE WHEN {of_them} THEN {value} END)");
        outputs.push((sum.clone(), sum));
        if random.one_in(2) {
            outputs.push(computed(random));
        }
    }
    let mut tail = String::new();
    let mut wanted = Vec::new();
    if random.one_in(2) {
        wanted.push(format!("({})", conditions(random, names, 2)));
    }
    if compares && random.one_in(2) {
        wanted.push(compared(random));
    }
    if by_person && names.len() == 2 && random.one_in(3) {
        wanted.push(membership(random));
    }
    if !wanted.is_empty() {
        tail.push_str(&format!(" WHERE {}", wanted.join(" AND ")));
    }
    let without_totals = ["DISTINCT", "MIN", "MAX", "MEDIAN", "PERCENTILE"];
    let mut used = without_totals.iter();
    let adds_up = !used.any(|word| outputs.iter().any(|o| o.0.contains(word)));
    if !keys.is_empty() && adds_up && random.one_in(10) {
        let listed = keys.join(", ");
        let grouping: Vec<String> = keys.iter().map(|k| format!("GROUPING({k})")).collect();
        let places: Vec<String> = (1..=keys.len())
            .map(|i| format!("{i} NULLS LAST"))
            .collect();
        let (grouping, places) = (grouping.join(", "), places.join(", "));
        // Where a condition makes a key constant, the engine's own totals are there twice.
        tail = format!(" GROUP BY ROLLUP({listed}) ORDER BY {grouping}, {places}");
    } else if !keys.is_empty() {
        tail.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        if random.one_in(4) {
            let counted = match random.one_in(2) {
                true => "COUNT(*)".to_owned(),
                false => format!("COUNT(DISTINCT {}.pid)", random.pick(names)),
            };
            tail.push_str(&format!(" HAVING {counted} >= {}", 1 + random.below(12)));
        }
        let order: Vec<String> = (1..=keys.len())
            .map(|i| format!("{i} NULLS LAST"))
            .collect();
        tail.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    let around = random.one_in(8) && !tail.contains("ROLLUP");
    let text = |from: &str, which: &dyn Fn(&(String, String)) -> String| {
        let named = keys
            .iter()
            .cloned()
            .chain(outputs.iter().map(which))
            .enumerate();
        let items: Vec<String> = named.map(|(i, item)| format!("{item} AS c{i}")).collect();
        let select = format!("SELECT {} FROM {from}{tail}", items.join(", "));
        match (around, tail.split_once(" ORDER BY ")) {
            (true, Some((_, order))) => {
                let inner = select
                    .rsplit_once(" ORDER BY ")
                    .map_or("", |(inner, _)| inner);
                format!("SELECT * FROM ({inner}) t ORDER BY {order}")
            }
            (true, None) => format!("SELECT * FROM ({select}) t"),
            (false, _) => select,
        }
    };
    Query {
        job: text(&from, &|pair| pair.0.clone()),
        plain: match swapped.as_slice() {
            [] => vec![text(&from, &|pair| pair.1.clone())],
            some => some
                .iter()
                .map(|f| text(f, &|pair| pair.1.clone()))
                .collect(),
        },
    }
}

/// A column that USING has made one of two is the one whose rows are all kept.
#[tokio::test]
async fn a_merged_column_is_that_of_the_table_that_is_kept() {
    let world = world().await;
    let sql = "SELECT COUNT(*) AS n, SUM(w.small) AS s FROM h_a.t h RIGHT JOIN i_a.t i USING (pid) JOIN r.t w USING (pid)";
    let reference = "SELECT COUNT(*) AS n, SUM(w.small) AS s FROM i_a.t i LEFT JOIN h_a.t h ON i.pid = h.pid JOIN r.t w ON i.pid = w.pid";
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
    );
    let plan = compile(&check(&job).expect("a job file"), &world.catalogues).expect("a plan");
    let differs = differs(&world, &plan, reference, 1e-9).await;
    assert_eq!(differs.expect("a reference"), None);
}

#[tokio::test]
async fn random_joins_equal_plain_sql_or_are_refused() {
    compare_all(&world().await, SEED, 6, query).await;
}

/// Mid-ranks in plain SQL: of the pairs in which both are known, twice the place of the first of equals and their number.
pub(super) fn spearman(keys: &str, (y, x): (&str, &str), from: &str) -> String {
    let partition = match keys {
        "" => String::new(),
        keys => format!("{keys}, "),
    };
    let rank = |value: &str| {
        let first = match keys {
            "" => format!("RANK() OVER (ORDER BY {value})"),
            keys => format!("RANK() OVER (PARTITION BY {keys} ORDER BY {value})"),
        };
        format!("2 * {first} + COUNT(*) OVER (PARTITION BY {partition}{value})")
    };
    let (a, b) = (rank(y), rank(x));
    let (keyed, tail) = match keys {
        "" => (String::new(), String::new()),
        keys => (
            format!("{keys} AS k, "),
            " GROUP BY k ORDER BY k NULLS LAST".to_owned(),
        ),
    };
    let key = if keys.is_empty() { "" } else { "k, " };
    format!(
        "SELECT {key}CORR(CAST(a AS DOUBLE), CAST(b AS DOUBLE)) AS s FROM (SELECT {keyed}{a} AS a, {b} AS b FROM {from} {} {y} IS NOT NULL AND {x} IS NOT NULL) t{tail}",
        if from.contains(" WHERE ") {
            "AND"
        } else {
            "WHERE"
        }
    )
}

/// Many rows a key on both sides, tables of several holders, groups of the ranked table and of the others, rows without a
/// match, without a key and without a value.
#[tokio::test]
async fn rank_correlations_of_one_table_equal_plain_sql() {
    let world = world().await;
    let both = "(SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h";
    let others = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) i";
    let joined = format!("{both} JOIN {others} ON h.pid = i.pid");
    let kept = format!("h_a.t h LEFT JOIN {others} ON h.pid = i.pid");
    let three = "h_a.t h JOIN i_a.t i ON h.pid = i.pid LEFT JOIN r.t r ON h.pid = r.pid";
    let filtered = format!("{joined} WHERE i.small > 0 AND h.big > 2");
    let of_a_member = "h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.pid NOT IN (SELECT pid FROM r.t WHERE pid IS NOT NULL)";
    for (keys, pair, from) in [
        ("", ("h.small", "h.money"), joined.as_str()),
        ("", ("h.big", "h.x"), &kept),
        ("i.cat", ("h.small", "h.big"), &joined),
        ("h.cat", ("h.money", "h.small"), &joined),
        ("h.cat", ("h.big", "h.x"), &kept),
        ("i.flag", ("h.money", "h.x"), three),
        ("", ("i.small", "i.money"), &filtered),
        ("", ("h.small", "h.day"), of_a_member),
        ("", ("h.small", "h.small"), &joined),
    ] {
        let (y, x) = pair;
        let key = if keys.is_empty() {
            String::new()
        } else {
            format!("{keys} AS k, ")
        };
        let tail = match keys {
            "" => String::new(),
            keys => format!(" GROUP BY {keys} ORDER BY 1 NULLS LAST"),
        };
        let sql = format!("SELECT {key}SPEARMAN({y}, {x}) AS s FROM {from}{tail}");
        let plan = compile(
            &check(&spearman_job(&sql)).expect("a job file"),
            &world.catalogues,
        );
        let plan = plan.unwrap_or_else(|faults| panic!("{sql}: {faults:?}"));
        let held = |step: &Step| matches!(step, Step::JointRanks { held: true, .. });
        assert!(plan.steps.iter().any(held), "{sql}");
        let reference = spearman(keys, pair, from);
        let differs = differs(&world, &plan, &reference, 1e-9).await;
        assert_eq!(differs.expect("a reference"), None, "{sql}");
    }
}

fn spearman_job(sql: &str) -> String {
    format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
    )
}

/// What depends on several holders' columns, row by row, still takes one row a key.
#[tokio::test]
async fn ranks_of_columns_of_several_tables_take_one_row_a_key() {
    let world = world().await;
    for (sql, held) in [
        (
            "SELECT SPEARMAN(h.small, h.big) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            true,
        ),
        (
            "SELECT SPEARMAN(h.small, i.big) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid",
            false,
        ),
        (
            "SELECT SPEARMAN(h.small, h.big) FROM i_a.t i LEFT JOIN h_a.t h ON h.pid = i.pid",
            false,
        ),
        (
            "SELECT SPEARMAN(h.small, h.big) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 1 OR i.small > 1",
            false,
        ),
        (
            "SELECT SPEARMAN(h.small, h.big) FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > i.small",
            false,
        ),
    ] {
        let plan = compile(
            &check(&spearman_job(sql)).expect("a job file"),
            &world.catalogues,
        );
        let plan = plan.unwrap_or_else(|faults| panic!("{sql}: {faults:?}"));
        let found = plan.steps.iter().find_map(|step| match step {
            Step::JointRanks { held, .. } => Some(*held),
            _ => None,
        });
        assert_eq!(found, Some(held), "{sql}");
    }
}
