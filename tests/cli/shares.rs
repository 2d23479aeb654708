//! What is sorted and matched on shares, by `simulate` over small tables, with and without a dealer, among two and
//! three holders.

use crate::run::{Ended, entente, job, party, root};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;

/// A row: ward, code, cost in cents, weight, score. `None` is NULL.
type Row = (
    Option<&'static str>,
    Option<i64>,
    Option<i64>,
    Option<f64>,
    i64,
);

/// The holders' rows: wards that only one has, that are small, that have no name; costs beyond 2^40.
fn holders(n: usize) -> Vec<Vec<Row>> {
    const WARDS: [Option<&str>; 4] = [
        Some("眼科"),
        Some("A&E"),
        None,
        Some("long-stay rehabilitation"),
    ];
    let row = |holder: usize, i: usize| {
        let x = (i * 37 + holder * 11) % 101;
        let ward = if holder == 1 && i == 0 {
            Some("only here")
        } else {
            WARDS[(i * i + holder) % 4]
        };
        let code = (!x.is_multiple_of(7)).then_some(x as i64 % 3 - 1);
        let cost = (x % 10 != 3).then_some((x as i64 - 50) * 34_567_890_123);
        let weight = (i % 9 != 2).then_some((x as f64 - 30.0) * 0.37e-3);
        (ward, code, cost, weight, (x / 5) as i64)
    };
    let rows = |holder| (0..24 + 5 * holder).map(|i| row(holder, i)).collect();
    (0..n).map(rows).collect()
}

struct World {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    union: String,
    rows: Vec<Row>,
}

impl World {
    fn new(n: usize, policy: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut arguments = Vec::new();
        let mut branches = Vec::new();
        let holders = holders(n);
        for (k, rows) in holders.iter().enumerate() {
            let home = directory.path().join(format!("h{k}"));
            fs::create_dir(&home).expect("a directory");
            let mut text = "patient,ward,code,cost,weight,score\n".to_owned();
            for (i, (ward, code, cost, weight, score)) in rows.iter().enumerate() {
                let cell = |v: Option<String>| v.unwrap_or_default();
                let money = cost.map(|c| format!("{}.{:02}", c / 100, (c % 100).abs()));
                let money = money.map(|m| match cost {
                    Some(c) if *c < 0 && *c > -100 => format!("-{m}"),
                    _ => m,
                });
                // Every third patient is known to all.
                let patient = if i % 3 == 0 { i } else { 1000 * (k + 1) + i };
                writeln!(
                    text,
                    "p{patient},{},{},{},{},{score}",
                    cell(ward.map(str::to_owned)),
                    cell(code.map(|c| c.to_string())),
                    cell(money),
                    cell(weight.map(|w| format!("{w:e}"))),
                )
                .expect("a string");
            }
            fs::write(home.join("t.csv"), text).expect("a file");
            if let Some(policy) = policy {
                fs::write(home.join("policy.toml"), policy).expect("a file");
            }
            arguments.extend(["--party".to_owned(), party(&format!("h{k}"), &home)]);
            branches.push(format!("SELECT * FROM h{k}.t"));
        }
        let notary = directory.path().join("notary");
        fs::create_dir(&notary).expect("a directory");
        arguments.extend(["--party".to_owned(), party("notary", &notary)]);
        Self {
            union: format!("({}) e", branches.join(" UNION ALL ")),
            rows: holders.concat(),
            directory,
            arguments,
        }
    }

    fn ended(&self, source: &str, compute: &str, sql: &str) -> Ended {
        let sql = sql.replace("{e}", &self.union);
        let text = format!(
            "job = \"t\"\npurpose = \"test\"\nreceivers = [\"h0\"]\n[compute]\nmax_rows = 64\n{compute}\nsql = '''\n{sql}\n'''\n\
             [privacy]\ncorrelations = \"{source}\"\nmin_cell = 3\n"
        );
        let job = self.directory.path().join("job.toml");
        fs::write(&job, text).expect("a file");
        let mut arguments = self.arguments.clone();
        if source == "ot" {
            arguments.truncate(arguments.len() - 2);
        }
        let words = ["simulate".to_owned(), job.display().to_string()];
        let words = words.into_iter().chain(["--json".to_owned()]);
        entente(words.chain(arguments))
    }

    fn run(&self, source: &str, compute: &str, sql: &str) -> Value {
        self.ended(source, compute, sql).expect(0).json()["result"].clone()
    }
}

/// All combinations, and what to do with each.
fn everywhere(policy: Option<&str>, check: impl Fn(&World, &str)) {
    for n in [2, 3] {
        let world = World::new(n, policy);
        for source in ["ot", "dealer:notary"] {
            println!("{n} holders, {source}");
            check(&world, source);
        }
    }
}

fn sorted<T: PartialOrd + Copy>(values: impl Iterator<Item = Option<T>>) -> Vec<T> {
    let mut values: Vec<T> = values.flatten().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found}"));
    let error = (found - expected).abs();
    assert!(
        error <= 1e-12 * expected.abs(),
        "{found} instead of {expected}"
    );
}

/// Type 7, on doubles.
fn linear(values: &[f64], p: f64) -> f64 {
    let h = (values.len() - 1) as f64 * p;
    let low = h.floor() as usize;
    let high = (low + 1).min(values.len() - 1);
    values[low] + (h - low as f64) * (values[high] - values[low])
}

#[test]
fn quantiles_of_money_and_of_doubles() {
    everywhere(None, |world, source| {
        let quantiles = |x: &str| {
            format!(
                "MEDIAN({x}), PERCENTILE_CONT(0.125) WITHIN GROUP (ORDER BY {x}), PERCENTILE_DISC(0.3) WITHIN GROUP (ORDER BY {x})"
            )
        };
        let (cost, weight) = (quantiles("cost"), quantiles("weight"));
        let sql = format!("SELECT {cost}, {weight} FROM {{e}}");
        let result = world.run(source, "", &sql);
        let found = &result["rows"][0];
        let cost = sorted(world.rows.iter().map(|r| r.2));
        let at = |n: usize| (n as f64 * 0.3).ceil() as usize - 1;
        assert_eq!(found[2].as_f64(), Some(cost[at(cost.len())] as f64 / 100.0));
        let cost: Vec<f64> = cost.iter().map(|c| *c as f64 / 100.0).collect();
        close(&found[0], linear(&cost, 0.5));
        close(&found[1], linear(&cost, 0.125));
        let weight = sorted(world.rows.iter().map(|r| r.3));
        close(&found[3], linear(&weight, 0.5));
        close(&found[4], linear(&weight, 0.125));
        close(&found[5], weight[at(weight.len())]);
    });
}

/// Pearson's coefficient of mid-ranks.
fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let rank = |value: f64, of: &dyn Fn(&(f64, f64)) -> f64| {
        let less = pairs.iter().filter(|p| of(p) < value).count() as f64;
        let equal = pairs.iter().filter(|p| of(p) == value).count() as f64;
        less + (equal + 1.0) / 2.0
    };
    let ranks = pairs
        .iter()
        .map(|(x, y)| (rank(*x, &|p| p.0), rank(*y, &|p| p.1)));
    let ranks: Vec<(f64, f64)> = ranks.collect();
    let mean = (pairs.len() as f64 + 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        ranks.iter().map(|(r, s)| f(r - mean, s - mean)).sum()
    };
    sum(&|r, s| r * s) / (sum(&|r, _| r * r) * sum(&|_, s| s * s)).sqrt()
}

#[test]
fn rank_correlations_in_groups() {
    everywhere(None, |world, source| {
        let sql =
            "SELECT code, SPEARMAN(score, weight), COUNT(*) FROM {e} GROUP BY code ORDER BY code";
        let result = world.run(source, "", sql);
        let codes = [Some(-1), Some(0), Some(1), None];
        assert_eq!(result["rows"].as_array().map(Vec::len), Some(codes.len()));
        for (row, code) in codes.iter().enumerate() {
            let rows = world.rows.iter().filter(|r| r.1 == *code);
            let pairs: Vec<(f64, f64)> = rows.filter_map(|r| Some((r.4 as f64, r.3?))).collect();
            close(&result["rows"][row][1], spearman(&pairs));
        }
    });
}

/// Texts stand in fewer bytes than the policy says; whole numbers need no declaration.
const HIDDEN: &str = "min_cell = 3\nopen_counts = false\n[tables.t.columns]\n\
    ward = { group_by = true, categories = \"hidden\", longest = 26 }\n\
    code = { group_by = true, categories = \"hidden\" }\n\
    cost = { aggregate = [\"sum\", \"avg\", \"var\"] }\n\
    score = { group_by = true, categories = \"from_data\", aggregate = [\"sum\"], range = [0, 20] }\n\
    patient = { aggregate = [\"count_distinct\"] }\n";

#[test]
fn groups_that_nobody_lists() {
    everywhere(Some(HIDDEN), |world, source| {
        let sql = "SELECT ward, COUNT(*) AS n, SUM(cost) AS s, AVG(cost), SUM(score) FROM {e} GROUP BY ward HAVING COUNT(*) >= 2 ORDER BY n DESC, ward LIMIT 4";
        let result = world.run(source, "max_groups = 8", sql);
        let mut expected: Vec<(usize, Option<&str>, i64, i64)> = Vec::new();
        for ward in [
            Some("眼科"),
            Some("A&E"),
            None,
            Some("long-stay rehabilitation"),
        ] {
            let rows: Vec<&Row> = world.rows.iter().filter(|r| r.0 == ward).collect();
            let cost = rows.iter().filter_map(|r| r.2).sum();
            let score = rows.iter().map(|r| r.4).sum();
            expected.push((rows.len(), ward, cost, score));
        }
        expected.retain(|e| e.0 >= 3);
        expected.sort_by_key(|e| (std::cmp::Reverse(e.0), e.1.is_none(), e.1));
        let rows = result["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), expected.len(), "{result}");
        for (row, (n, ward, cost, score)) in rows.iter().zip(expected) {
            assert_eq!(row[0].as_str(), ward);
            assert_eq!(row[1].as_u64(), Some(n as u64));
            assert_eq!(row[2].as_f64(), Some(cost as f64 / 100.0));
            assert_eq!(row[4].as_i64(), Some(score));
        }
        let text = result.to_string();
        assert!(!text.contains("only here"), "a group of one row: {text}");
    });
}

#[test]
fn hidden_groups_beside_public_ones_and_of_numbers() {
    everywhere(Some(HIDDEN), |world, source| {
        let sql = "SELECT code, score % 2 AS odd, COUNT(*) FROM {e} GROUP BY code, score % 2 ORDER BY 1, 2";
        let result = world.run(source, "max_groups = 12", sql);
        let mut expected = Vec::new();
        for code in [Some(-1), Some(0), Some(1), None] {
            for odd in [0, 1] {
                let rows = world.rows.iter();
                let n = rows.filter(|r| r.1 == code && r.4 % 2 == odd).count();
                if n >= 3 {
                    expected.push(serde_json::json!([code, odd, n]));
                }
            }
        }
        assert_eq!(result["rows"], Value::Array(expected));
    });
}

#[test]
fn groups_of_enough_patients() {
    everywhere(None, |world, source| {
        let sql = "SELECT code, COUNT(*) FROM {e} GROUP BY code HAVING COUNT(DISTINCT patient) >= 9 ORDER BY code";
        let result = world.run(source, "", sql);
        let n_holders = world.arguments.len() / 2 - 1;
        let mut expected = Vec::new();
        for code in [Some(-1), Some(0), Some(1), None] {
            let (mut patients, mut n) = (std::collections::BTreeSet::new(), 0);
            for (k, rows) in holders(n_holders).iter().enumerate() {
                for (i, _) in rows.iter().enumerate().filter(|(_, r)| r.1 == code) {
                    patients.insert(if i % 3 == 0 { i } else { 1000 * (k + 1) + i });
                    n += 1;
                }
            }
            if patients.len() >= 9 {
                expected.push(serde_json::json!([code, n]));
            }
        }
        assert!(!expected.is_empty());
        assert_eq!(result["rows"], Value::Array(expected));
    });
}

/// The examples over two clinics, against what plain SQL makes of their tables.
#[test]
fn the_clinics_examples() {
    let clinics = ["clinic_a", "clinic_b"].map(|name| {
        let home = root().join("examples/data/clinics").join(name);
        let text = fs::read_to_string(home.join("visits.csv")).expect("visits");
        (party(name, &home), text)
    });
    let run = |name: &str| {
        let words = [
            "simulate".to_owned(),
            job(&format!("{name}.toml")).display().to_string(),
        ];
        let parties = clinics
            .iter()
            .flat_map(|(party, _)| ["--party".to_owned(), party.clone()]);
        let words = words
            .into_iter()
            .chain(["--json".to_owned()])
            .chain(parties);
        entente(words).expect(0).json()["result"]["rows"].clone()
    };
    let visits = clinics.iter().flat_map(|(_, text)| text.lines().skip(1));
    let visits: Vec<Vec<&str>> = visits.map(|line| line.split(',').collect()).collect();
    let mut counts = std::collections::BTreeMap::new();
    for visit in &visits {
        *counts.entry(visit[3]).or_insert(0u64) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, n)| *n >= 5).collect();
    counts.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
    let found = run("fees-by-unlisted-diagnosis");
    let found = found.as_array().expect("rows").iter();
    let found: Vec<_> = found
        .map(|row| (row[0].as_str(), row[1].as_u64()))
        .collect();
    let expected = counts.iter().map(|(name, n)| (Some(*name), Some(*n)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    let fees = sorted(visits.iter().map(|visit| visit[5].parse::<f64>().ok()));
    let found = run("fee-quantiles");
    assert_eq!(found[0][0].as_u64(), Some(fees.len() as u64));
    close(&found[0][1], linear(&fees, 0.5));
    close(&found[0][2], linear(&fees, 0.95));
    close(
        &found[0][3],
        fees[(fees.len() as f64 * 0.95).ceil() as usize - 1],
    );
}

/// What is not written in a policy is refused, and so is what nobody could run.
#[test]
fn what_is_not_allowed_or_too_much_is_refused() {
    let listed = HIDDEN.replace(
        "categories = \"hidden\", longest = 26",
        "categories = [\"A&E\"]",
    );
    let world = World::new(2, Some(&listed));
    let sql = "SELECT ward, code, COUNT(*) FROM {e} GROUP BY ward, code";
    assert_eq!(world.ended("ot", "max_groups = 30", sql).code, 0);
    let unwritten = HIDDEN.replace(", categories = \"hidden\", longest = 26", "");
    let world = World::new(2, Some(&unwritten));
    let ended = world.ended("ot", "", "SELECT ward, COUNT(*) FROM {e} GROUP BY ward");
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("no categories are published"),
        "{}",
        ended.stderr
    );

    let world = World::new(2, Some(HIDDEN));
    for (compute, sql, code, part) in [
        (
            "max_groups = 2",
            "SELECT ward, COUNT(*) FROM {e} GROUP BY ward",
            1,
            "more than the 2 groups",
        ),
        (
            "",
            "SELECT ward, MIN(score) FROM {e} GROUP BY ward",
            2,
            "MIN in groups of ward",
        ),
        (
            "",
            "SELECT ward, code, COUNT(*) FROM {e} GROUP BY ROLLUP(ward, code)",
            2,
            "which are not public",
        ),
        (
            "max_groups = 4",
            "SELECT score, COUNT(*) FROM {e} GROUP BY score",
            2,
            "compute.max_groups: has no effect",
        ),
    ] {
        let ended = world.ended("ot", compute, sql);
        assert_eq!(ended.code, code, "{sql}: {}", ended.stderr);
        let said = ended.stderr.clone() + &ended.stdout;
        assert!(said.contains(part), "{sql}: {said}");
    }
}
