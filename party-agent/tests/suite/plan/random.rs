//! Random queries against plain SQL over the pooled rows: the same answer, or a refusal, never another answer.
//!
//! `ENTENTE_RANDOM_QUERIES=5000` asks for more queries than the default run has.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringViewArray,
};
use party_agent::catalogue::{Catalogue, Publish, describe};
use party_agent::plan::compile;
use party_agent::spec::check;

use super::fixture::party;
use super::oracle::{World, differs};
use crate::memory::Memory;

const DEFAULT_QUERIES: u64 = 200;
const SEED: u64 = 20_261_122;

/// xorshift64*: small, seeded, the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let scrambled = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        (scrambled >> 33) as usize % n.max(1)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// One holder's rows: every type, NULL in most columns.
fn rows(random: &mut Random, n: usize) -> Memory {
    let mut some = |one_in: usize| (0..n).map(|_| !random.one_in(one_in)).collect::<Vec<_>>();
    let known: Vec<Vec<bool>> = (0..6).map(|_| some(7)).collect();
    let mut numbers = |low: i64, high: i64| -> Vec<i64> {
        let span = (high - low + 1) as usize;
        (0..n).map(|_| low + random.below(span) as i64).collect()
    };
    let (cat, flag) = (numbers(0, 3), numbers(0, 1));
    let (small, big) = (numbers(-3, 9), numbers(-1_000_000_000, 1_000_000_000));
    let (money, x) = (numbers(-100_000, 900_000), numbers(-4000, 4000));
    let (day, name) = (numbers(18_262, 19_300), numbers(0, 40));
    let where_known = |column: usize, row: usize| known[column][row];
    let texts = ["a", "b", "c", "丁"];
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "cat",
            Arc::new(StringViewArray::from_iter(
                (0..n).map(|i| where_known(0, i).then(|| texts[cat[i] as usize])),
            )),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(
                (0..n).map(|i| where_known(1, i).then_some(flag[i] == 1)),
            )),
        ),
        (
            "small",
            Arc::new(Int32Array::from_iter(
                (0..n).map(|i| where_known(2, i).then_some(small[i] as i32)),
            )),
        ),
        ("big", Arc::new(Int64Array::from_iter_values(big))),
        (
            "money",
            Arc::new(
                Decimal128Array::from_iter(
                    (0..n).map(|i| where_known(3, i).then_some(i128::from(money[i]))),
                )
                .with_precision_and_scale(12, 2)
                .expect("12 digits"),
            ),
        ),
        (
            "x",
            Arc::new(Float64Array::from_iter(
                (0..n).map(|i| where_known(4, i).then_some(x[i] as f64 / 640.0)),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(day.iter().map(|d| *d as i32))),
        ),
        (
            "name",
            Arc::new(StringViewArray::from_iter(
                (0..n).map(|i| where_known(5, i).then(|| format!("n{}", name[i]))),
            )),
        ),
    ];
    Memory::new(columns, 64)
}

const HOLDERS: [(&str, usize); 3] = [("h_a", 120), ("h_b", 75), ("h_c", 1)];

async fn world() -> World {
    let mut random = Random::new(SEED);
    let mut sources = Vec::new();
    let mut catalogues = BTreeMap::new();
    for (holder, n) in HOLDERS {
        let source = rows(&mut random, n).into_source("t", 2);
        let entry = describe(&source, "t", &Publish::Rehearsal, None).await;
        let tables = BTreeMap::from([("t".to_owned(), entry.expect("an entry"))]);
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

fn condition(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.one_in(2) {
        let (a, b) = (condition(random, depth - 1), condition(random, depth - 1));
        return match random.below(3) {
            0 => format!("({a} AND {b})"),
            1 => format!("({a} OR {b})"),
            _ => format!("NOT ({a})"),
        };
    }
    let number = random.below(12) as i64 - 3;
    match random.below(12) {
        0 => "cat = 'a'".to_owned(),
        1 => "cat IN ('b', '丁')".to_owned(),
        2 => "cat IS NULL".to_owned(),
        3 => "flag".to_owned(),
        4 => "flag IS NOT TRUE".to_owned(),
        5 => format!("small > {number}"),
        6 => format!("money BETWEEN {number}00.5 AND 5000"),
        7 => "day >= DATE '2021-03-01'".to_owned(),
        8 => format!("x < {number}.25"),
        9 => "name LIKE '%1%'".to_owned(),
        10 => format!("COALESCE(small, 0) * 2 + 1 >= {number}"),
        _ => format!("big % 7 <> {}", random.below(7)),
    }
}

/// A number for each row.
fn number(random: &mut Random) -> String {
    let wrapped = |random: &mut Random, inner: &str| match random.below(6) {
        0 => format!("-{inner}"),
        1 => format!("CASE WHEN {} THEN {inner} END", condition(random, 0)),
        2 => format!("COALESCE({inner}, 2)"),
        _ => inner.to_owned(),
    };
    let column = random.pick(&[
        "small",
        "small",
        "big",
        "money",
        "x",
        "small * 3 + 1",
        "money * 2",
    ]);
    wrapped(random, column)
}

/// An aggregate for the job and in plain SQL.
fn aggregate(random: &mut Random) -> (String, String) {
    let value = number(random);
    let filter = match random.one_in(5) {
        true => format!(" FILTER (WHERE {})", condition(random, 1)),
        false => String::new(),
    };
    let same = |text: String| (text.clone(), text);
    let in_doubles = |name: &str| {
        (
            format!("{name}({value}){filter}"),
            format!("{name}(CAST({value} AS DOUBLE)){filter}"),
        )
    };
    match random.below(15) {
        0 => same(format!("COUNT(*){filter}")),
        1 => same(format!("COUNT({value}){filter}")),
        2 => same(format!("COUNT(name){filter}")),
        3 | 4 => same(format!("SUM({value}){filter}")),
        5 => in_doubles("AVG"),
        6 => in_doubles("VAR_SAMP"),
        7 => in_doubles("VAR_POP"),
        8 => in_doubles("STDDEV_SAMP"),
        9 => same(format!("MIN({value}){filter}")),
        10 => same(format!("MAX({value}){filter}")),
        11 => same(format!(
            "COUNT(DISTINCT {}){filter}",
            random.pick(&["cat", "name", "small", "day"])
        )),
        12 => same(format!("MIN(day){filter}")),
        13 => (
            format!("CORR({value}, small)"),
            format!("CORR(CAST({value} AS DOUBLE), CAST(small AS DOUBLE))"),
        ),
        _ => (
            "MEDIAN(small)".to_owned(),
            "MEDIAN(CAST(small AS DOUBLE))".to_owned(),
        ),
    }
}

const KEYS: [&str; 9] = [
    "cat",
    "flag",
    "small",
    "EXTRACT(YEAR FROM day)",
    "CASE WHEN money > 0 THEN 'gain' WHEN money < 0 THEN 'loss' ELSE 'none' END",
    "COALESCE(cat, 'none')",
    "UPPER(cat)",
    "small > 3",
    "CAST(small AS VARCHAR)",
];

const COLUMNS: &str = "cat, flag, small, big, money, x, day, name";

/// What one holder brings: its own affair, however involved.
fn branch(random: &mut Random, holder: &str) -> String {
    let condition = condition(random, 1);
    match random.below(30) {
        0 => format!("SELECT {COLUMNS} FROM {holder}.t WHERE {condition}"),
        1 => format!(
            "SELECT t.* FROM {holder}.t t JOIN (SELECT name AS n, COUNT(*) AS c FROM {holder}.t GROUP BY name) g ON t.name = g.n WHERE g.c > 1"
        ),
        2 => format!(
            "SELECT * FROM {holder}.t WHERE name IN (SELECT name FROM {holder}.t WHERE {condition})"
        ),
        3 => format!(
            "SELECT {COLUMNS} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY cat ORDER BY big) AS r FROM {holder}.t) w WHERE r <= 5"
        ),
        4 => format!(
            "SELECT cat, flag, CAST(COUNT(*) AS INTEGER) AS small, SUM(big) AS big, MAX(money) AS money, MIN(x) AS x, MIN(day) AS day, MAX(name) AS name FROM {holder}.t GROUP BY cat, flag"
        ),
        5 => format!(
            "SELECT a.cat, b.flag, a.small, a.big, b.money, a.x, a.day, a.name FROM {holder}.t a LEFT JOIN {holder}.t b ON a.big = b.big AND b.{condition}",
            condition = "small > 2"
        ),
        _ => format!("SELECT * FROM {holder}.t"),
    }
}

fn query(random: &mut Random) -> Query {
    let mut keys: Vec<&str> = Vec::new();
    for _ in 0..random.below(3) {
        let key = random.pick(&KEYS);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut outputs: Vec<(String, String)> = Vec::new();
    for _ in 0..1 + random.below(4) {
        let one = aggregate(random);
        let is_number = !one.0.starts_with("MIN(day)");
        outputs.push(match random.below(6) {
            0 if is_number => (format!("{} * 2 + 1", one.0), format!("{} * 2 + 1", one.1)),
            _ => one,
        });
    }
    let holders = 2 + random.below(2);
    let union: Vec<String> = (0..holders).map(|i| branch(random, HOLDERS[i].0)).collect();
    let mut tail = String::new();
    let totals = !keys.is_empty() && random.one_in(8);
    // Where a condition makes a key constant, the engine's own CUBE has rows twice.
    if !totals && random.one_in(2) {
        tail.push_str(&format!(" WHERE {}", condition(random, 2)));
    }
    let listed = keys.join(", ");
    if totals {
        let form = random.pick(&["ROLLUP", "CUBE"]);
        tail.push_str(&format!(" GROUP BY {form}({listed})"));
    } else if !keys.is_empty() {
        tail.push_str(&format!(" GROUP BY {listed}"));
    }
    if random.one_in(4) {
        let counted = random.pick(&["COUNT(*)", "COUNT(money)", "COUNT(x)"]);
        tail.push_str(&format!(" HAVING {counted} >= {}", 1 + random.below(12)));
    }
    let mut order: Vec<String> = Vec::new();
    if totals {
        order.extend(keys.iter().map(|key| format!("GROUPING({key})")));
    }
    let direction = random.pick(&["ASC", "DESC"]);
    order.extend((1..=keys.len()).map(|i| format!("{i} {direction} NULLS LAST")));
    if !order.is_empty() {
        tail.push_str(&format!(" ORDER BY {}", order.join(", ")));
        if random.one_in(5) {
            tail.push_str(&format!(" LIMIT {}", 1 + random.below(4)));
        }
    }
    let text = |which: &dyn Fn(&(String, String)) -> String| {
        let keys = keys.iter().map(|k| (*k).to_owned());
        let named = keys.chain(outputs.iter().map(which)).enumerate();
        let items: Vec<String> = named.map(|(i, item)| format!("{item} AS c{i}")).collect();
        format!(
            "SELECT {} FROM ({}) u{tail}",
            items.join(", "),
            union.join(" UNION ALL ")
        )
    };
    Query {
        job: text(&|pair| pair.0.clone()),
        plain: vec![text(&|pair| pair.1.clone())],
    }
}

/// How many random queries are run; `ENTENTE_RANDOM_QUERIES` asks for more.
pub(super) fn n_queries() -> u64 {
    let wanted = std::env::var("ENTENTE_RANDOM_QUERIES").ok();
    wanted
        .and_then(|n| n.parse().ok())
        .unwrap_or(DEFAULT_QUERIES)
}

/// A job's text, and plain SQL with the same meaning, in more than one way where the engine errs in one of them.
pub(super) struct Query {
    pub(super) job: String,
    pub(super) plain: Vec<String>,
}

/// Runs queries, each from its own seed, and their plain SQL. Of ten queries at least so many must be planned.
pub(super) async fn compare_all(
    world: &World,
    seed: u64,
    planned_of_ten: u64,
    query: impl Fn(&mut Random) -> Query,
) {
    let plain = |random: &mut Random| (query(random), String::new());
    compare_jobs(world, (seed, 1), planned_of_ten, plain).await;
}

/// The same for queries with further tables of their job files; only one of so many queries.
pub(super) async fn compare_jobs(
    world: &World,
    (seed, one_of): (u64, u64),
    planned_of_ten: u64,
    query: impl Fn(&mut Random) -> (Query, String),
) {
    let n_queries = n_queries() / one_of;
    println!("seed {seed}, {n_queries} queries");
    let (mut n_planned, mut n_without_reference, mut differences) = (0u64, 0u64, Vec::new());
    let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
    for at in 0..n_queries {
        let (query, more) = query(&mut Random::new(seed + at));
        let job = format!(
            "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{}\n'''\n[privacy]\ncorrelations = \"ot\"\n{more}",
            query.job
        );
        let spec = check(&job).expect("a job file");
        let plan = match compile(&spec, &world.catalogues) {
            Ok(plan) => plan,
            Err(faults) => {
                let what = format!("{} [{}]", faults[0].what, faults[0].fix);
                *refusals.entry(what).or_default() += 1;
                continue;
            }
        };
        n_planned += 1;
        println!("query {at}: {}", query.job);
        let mut found = Vec::new();
        for reference in &query.plain {
            found.push(differs(world, &plan, reference, 1e-9).await);
        }
        if found.iter().any(|f| matches!(f, Ok(None))) {
            continue;
        }
        match found.into_iter().find_map(|f| f.ok().flatten()) {
            Some(what) => differences.push(format!("query {at}: {}\n  {what}", query.job)),
            // The engine has faults of its own over all rows at once, and a holder can refuse the job.
            None => n_without_reference += 1,
        }
    }
    println!("{n_planned} of {n_queries} planned; refused: {refusals:#?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(
        n_without_reference * 10 <= n_queries,
        "the reference answers"
    );
    assert!(
        n_planned * 10 >= n_queries * planned_of_ten,
        "most queries can be planned"
    );
}

#[tokio::test]
async fn random_queries_equal_plain_sql_or_are_refused() {
    compare_all(&world().await, SEED, 8, query).await;
}
