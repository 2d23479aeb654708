//! A model over the customers that two banks and a bureau have in common, against the figures of plain Python on the pooled data.
//!
//! The data are not in this repository. Where they are absent the first test prints `skipped: no shared data`; the other one makes up a small
//! town of its own.

use crate::figures::{Parts, expected, shared};
use crate::run::{entente, job, party};
use crate::scorecards::{GERMAN, TAIWAN, parts};
use crate::scores::{check_figures, check_train, with_train};
use crate::trees::refused;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use engine::prg::{Prg, Seed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list").iter();
    list.map(|v| v.as_f64().expect("a number")).collect()
}

/// What an example job finds of the customers in common, and what plain Python does.
fn joint(shared: &Path, name: &str) -> (Value, Value) {
    let tasks = expected(shared, "credit_taiwan.json");
    let text = with_train(&fs::read_to_string(job(name)).expect("an example job"));
    let found = parts(shared, "credit_taiwan", TAIWAN).simulate(&text)["result"].clone();
    (found, tasks["vertical"].clone())
}

#[test]
fn joint_trees_do_as_well_as_those_of_the_pooled_customers() {
    let Some(shared) = shared() else {
        return;
    };
    let (found, task) = joint(&shared, "train-joint-trees.toml");
    check_trees(&found, &task, 0.02);
    assert_eq!(check_losses(&found, &task), 4);
}

/// Bins of 1,000 customers are small, so KS is further off.
#[test]
fn trees_of_texts_and_numbers_do_as_well_as_those_of_the_pooled_customers() {
    let Some(shared) = shared() else { return };
    let task = &expected(&shared, "credit_german.json")["vertical"];
    let text =
        with_train(&fs::read_to_string(job("train-risk-trees.toml")).expect("an example job"));
    let parts = parts(&shared, "credit_german", GERMAN);
    let found = parts.simulate(&text)["result"].clone();
    check_trees(&found, task, 0.04);
    assert_eq!(check_losses(&found, task), 3);
    let ended = parts.ended(&text.replace("\"for free\", ", ""));
    let said = ended.expect(1).stderr;
    assert!(
        said.contains("housing") && said.contains("none of the levels"),
        "{said}"
    );
}

/// How well trees do, beside those of XGBoost.
pub(crate) fn check_trees(found: &Value, task: &Value, ks_bound: f64) {
    assert_eq!(found["n_used"], task["n_train"]);
    assert_eq!(found["rows"][1][1], task["bad_test"]);
    for (row, sample) in [(0, "train"), (1, "test")] {
        assert_eq!(found["rows"][row][0], sample);
        let (auc, ks) = (&found["rows"][row][3], &found["rows"][row][4]);
        let expected = &task["xgboost"][sample];
        println!("{sample}: {auc} {ks}, {expected}");
        let off = |found: &Value, name: &str| {
            let expected = expected[name].as_f64().expect("a figure");
            (found.as_f64().expect("a figure") - expected).abs()
        };
        assert!(off(auc, "auc") <= 0.01, "{sample}: {auc}, {expected}");
        assert!(off(ks, "ks") <= ks_bound, "{sample}: {ks}, {expected}");
    }
}

/// Other figures, where they are told: how many are.
pub(crate) fn check_losses(found: &Value, task: &Value) -> usize {
    let (fit, expected) = (&found["fit"], &task["xgboost"]);
    let mut n_told = 0;
    for (found, sample, name, bound) in [
        (&fit["logloss"], "test", "logloss", 0.005),
        (&fit["brier"], "test", "brier", 0.003),
        (&fit["lift"]["lift"], "test", "lift_top10pct", 0.1),
        (&fit["train"]["logloss"], "train", "logloss", 0.01),
    ] {
        let Some(found) = found.as_f64() else {
            continue;
        };
        let expected = expected[sample][name].as_f64().expect("a figure");
        println!("{sample} {name}: {found}, {expected}");
        assert!(
            (found - expected).abs() <= bound,
            "{sample} {name}: {found}, {expected}"
        );
        n_told += 1;
    }
    n_told
}

#[test]
fn a_joint_model_is_that_of_the_pooled_customers() {
    let Some(shared) = shared() else {
        return;
    };
    let (found, task) = joint(&shared, "train-joint-default.toml");
    let model = &task["lr_mle"];
    assert_eq!(found["n_used"], task["n_train"]);
    let rows = found["rows"].as_array().expect("rows");
    let (coefficients, errors) = (numbers(&model["coef"]), numbers(&model["se"]));
    assert_eq!(rows.len(), coefficients.len());
    for (row, (coefficient, error)) in rows.iter().zip(coefficients.iter().zip(&errors)) {
        for (what, found, expected) in [("coef", &row[1], coefficient), ("se", &row[2], error)] {
            let found = found.as_f64().expect("a number");
            let off = (found - expected).abs();
            let is_close = off <= 1e-4 || off <= 1e-3 * expected.abs();
            assert!(
                is_close,
                "{what} of {}: {found} instead of {expected}",
                row[0]
            );
        }
    }
    assert_eq!(check_figures(&found, &model["test"]), 3, "{}", found["fit"]);
    check_train(&found, &model["train"]);
    assert!(found["fit"]["psi"]["psi"].as_f64().expect("psi") < 0.01);
    assert_eq!(found["fit"]["n_bad"], task["bad_test"]);
}

/// Ten epochs of descent come near the estimates of greatest likelihood: plain Python's differ by as much as half of this
/// from one order of the rows to another.
#[test]
fn descent_comes_near_the_model_of_the_pooled_customers() {
    let Some(shared) = shared() else {
        return;
    };
    let text = fs::read_to_string(job("train-joint-descent.toml")).expect("an example job");
    let found = parts(&shared, "credit_taiwan", TAIWAN).simulate(&text)["result"].clone();
    let task = expected(&shared, "credit_taiwan.json")["vertical"].clone();
    let model = &task["lr_mle"];
    assert_eq!(found["n_used"], task["n_train"]);
    let rows = found["rows"].as_array().expect("rows").iter();
    let off = rows
        .zip(numbers(&model["coef"]))
        .map(|(row, expected)| (row[1].as_f64().expect("a number") - expected).abs());
    let off: Vec<f64> = off.collect();
    println!("{off:?}, {}", found["fit"]);
    assert!(
        off.len() == 17 && off.iter().all(|off| *off < 0.1),
        "{off:?}"
    );
    for (name, bound) in [("auc", 0.003), ("ks", 0.01)] {
        let (found, expected) = (&found["fit"][name], &model["test"][name]);
        let both = [found, expected].map(|v| v.as_f64().expect("a figure"));
        assert!((both[0] - both[1]).abs() <= bound, "{name}: {both:?}");
    }
    assert!(found["fit"].get("decrement").is_none());
    let changes = [
        ("\"logistic\"", "\"poisson\"", "does not solve this model"),
        ("\"sgd\"", "\"newton\"", "learning_rate"),
        (
            "\"coef\", ",
            "\"se\", ",
            "standard errors of coefficients by descent",
        ),
        ("dealer:arbiter", "ot", "descent without a dealer"),
        ("batch     = 1024", "l2 = 1\nbatch = 1024", "l2"),
        ("= 0.5 ", "= 9 ", "compute.train.learning_rate"),
    ];
    let parts = parts(&shared, "credit_taiwan", TAIWAN);
    refused(&parts, &text, &changes);
}

/// Lines of a table without its header, as cells.
pub(crate) fn cells(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

/// The registry's outcomes: who was followed for five years or had a recurrence, and whether that was within these.
fn outcomes(follow_up: &str) -> String {
    let mut text = "patient_id,recurred\n".to_owned();
    for row in cells(follow_up) {
        let (days, is_recurrence) = (row[1].parse::<u32>().expect("days"), row[2] == "1");
        if days >= 1826 || is_recurrence {
            let recurred = u8::from(is_recurrence && days < 1826);
            writeln!(text, "{},{recurred}", row[0]).expect("text");
        }
    }
    text
}

/// Checks coefficients and standard errors against a task whose columns stand as they are, ours being divided by their standard deviations. `columns`: the task's, after
/// its `first` coefficients, such as a constant.
#[track_caller]
pub(crate) fn check_in_deviations(found: &Value, first: usize, task: &Value, columns: &[Vec<f64>]) {
    assert_eq!(found["n_used"], task["n"]);
    for (row, values) in columns.iter().enumerate() {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        for (place, figure) in [(1, "coef"), (2, "se")] {
            let expected = task[figure][first + row].as_f64().expect("a figure") * deviation.sqrt();
            let found = found["rows"][first + row][place]
                .as_f64()
                .expect("a figure");
            let off = (found - expected).abs();
            assert!(
                off <= 1e-4 || off <= 1e-3 * expected.abs(),
                "{figure} of {}: {found} instead of {expected}",
                task["terms"][first + row]
            );
        }
    }
}

#[test]
fn a_model_of_two_registers_is_that_of_the_pooled_patients() {
    let Some(shared) = shared() else {
        return;
    };
    let task = &expected(&shared, "surv_rotterdam.json")["logit_recur5y"];
    let file = |name: &str| shared.join("surv_rotterdam").join(name);
    let directory = tempfile::tempdir().expect("a directory");
    let published = directory.path().join("outcomes.csv");
    let follow_up = fs::read_to_string(file("registry.csv")).expect("a table");
    let outcomes = outcomes(&follow_up);
    fs::write(&published, &outcomes).expect("a file");
    let parties = [
        (
            "hospital".to_owned(),
            vec![("patients", file("hospital.csv"))],
        ),
        ("registry".to_owned(), vec![("outcomes", published)]),
        ("arbiter".to_owned(), vec![]),
    ];
    let text = fs::read_to_string(job("train-recurrence.toml")).expect("an example job");
    let found = Parts::new(&parties).simulate(&text)["result"].clone();
    let told: BTreeSet<&str> = cells(&outcomes).map(|row| row[0]).collect();
    let patients = fs::read_to_string(file("hospital.csv")).expect("a table");
    let common: Vec<Vec<&str>> = cells(&patients).filter(|r| told.contains(r[0])).collect();
    let columns = [2, 6, 7, 8].map(|column| {
        let values = common.iter().map(|r| r[column].parse().expect("a number"));
        values.collect()
    });
    check_in_deviations(&found, 1, task, &columns);
}

/// Columns of numbers and texts that a query finds in Parquet files, named as tables, all as text.
fn query(tables: &[(&str, PathBuf)], sql: &str) -> Vec<Vec<String>> {
    let context = SessionContext::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let batches = runtime.expect("a runtime").block_on(async {
        for (name, file) in tables {
            let file = file.to_str().expect("a path");
            let options = ParquetReadOptions::default();
            let read = context.register_parquet(*name, file, options).await;
            read.expect("a table");
        }
        let found = context.sql(sql).await.expect("a query");
        found.collect().await.expect("rows")
    });
    let text = |column: &ArrayRef, row| array_value_to_string(column, row).expect("a text");
    let rows = batches.iter().flat_map(|batch| {
        let row = |row| batch.columns().iter().map(|c| text(c, row)).collect();
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    });
    rows.collect()
}

/// All persons of the clinic are rows, whether the registry lists them or not.
#[test]
fn a_model_over_a_left_join_is_that_of_all_persons() {
    let Some(shared) = shared() else {
        return;
    };
    let task = &expected(&shared, "surv_nafld.json")["logit_death"];
    let file = |name: &str| shared.join("surv_nafld").join(name);
    let (persons, events) = (
        file("clinic_person.parquet"),
        file("registry_event.parquet"),
    );
    let tables = [("persons", persons.clone()), ("events", events)];
    let listed = "SELECT DISTINCT patient_id FROM events WHERE event = 'nafld'";
    let directory = tempfile::tempdir().expect("a directory");
    let published = directory.path().join("nafld.csv");
    let lines = query(&tables, listed).into_iter();
    let lines = lines.map(|row| format!("{},1\n", row[0]));
    let text: String = ["patient_id,listed\n".to_owned()]
        .into_iter()
        .chain(lines)
        .collect();
    fs::write(&published, text).expect("a file");
    let parties = [
        ("clinic".to_owned(), vec![("persons", persons)]),
        ("registry".to_owned(), vec![("nafld", published)]),
        ("notary".to_owned(), vec![]),
    ];
    let text = fs::read_to_string(job("train-death.toml")).expect("an example job");
    let found = Parts::new(&parties).simulate(&text)["result"].clone();
    let sql = format!(
        "SELECT CAST(p.age AS DOUBLE), CAST(p.male AS DOUBLE), CASE WHEN e.patient_id IS NULL THEN 0.0 ELSE 1.0 END FROM persons p LEFT JOIN ({listed}) e ON p.patient_id = e.patient_id"
    );
    let rows = query(&tables, &sql);
    let columns = [0, 1, 2].map(|column| {
        let values = rows
            .iter()
            .map(|row| row[column].parse().expect("a number"));
        values.collect()
    });
    check_in_deviations(&found, 1, task, &columns);
}

/// Amounts at an insurer, by what a registry knows of members: as they stand, and their logarithms by least squares.
#[test]
fn models_of_amounts_are_those_of_the_pooled_members() {
    let Some(shared) = shared() else {
        return;
    };
    let tasks = expected(&shared, "claims_euhealth.json");
    let tables = [("members", shared.join("claims_euhealth/insurer_c.parquet"))];
    let directory = tempfile::tempdir().expect("a directory");
    let publish = |name: &str, header: &str, sql: &str| {
        let file = directory.path().join(format!("{name}.csv"));
        let rows = query(&tables, sql);
        let lines: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
        fs::write(&file, format!("{header}\n{}\n", lines.join("\n"))).expect("a file");
        (file, rows)
    };
    let sql = "SELECT member_id, CAST(amt_total AS DOUBLE), LN(CAST(amt_total AS DOUBLE)) FROM members WHERE amt_total > 0";
    let (claims, _) = publish("claims", "member_id,amount,log_amount", sql);
    let sql = "SELECT member_id, age_at_inception, CASE WHEN gender = 'M' THEN 1 ELSE 0 END, \
        CASE WHEN relation = 'partner' THEN 1 ELSE 0 END, CASE WHEN relation = 'son' THEN 1 ELSE 0 END, \
        CASE WHEN amt_total > 0 THEN 1 ELSE 0 END FROM members WHERE amt_total > 0 OR age_at_inception > 60";
    let (members, rows) = publish("members", "member_id,age,male,partner,son,served", sql);
    let parties = [
        ("insurer".to_owned(), vec![("claims", claims)]),
        ("registry".to_owned(), vec![("members", members)]),
        ("arbiter".to_owned(), vec![]),
    ];
    let served: Vec<&Vec<String>> = rows.iter().filter(|row| row[5] == "1").collect();
    let columns = [1, 2, 3, 4].map(|column| {
        let values = served
            .iter()
            .map(|row| row[column].parse().expect("a number"));
        values.collect()
    });
    let parts = Parts::new(&parties);
    let gamma = fs::read_to_string(job("train-joint-amount.toml")).expect("an example job");
    let linear = gamma.replace("\"gamma\"", "\"linear\"");
    let linear = linear.replace("claims.amount", "claims.log_amount");
    let linear = linear.replace("label_unit = 1000", "label_unit = 10");
    for (text, name, dispersion) in [
        (&gamma, "gamma_amount", "dispersion"),
        (&linear, "ols_log_amount", "sigma2"),
    ] {
        let found = parts.simulate(text)["result"].clone();
        check_in_deviations(&found, 1, &tasks[name], &columns);
        let told = found["fit"]["dispersion"].as_f64().expect("a figure");
        let expected = tasks[name][dispersion].as_f64().expect("a figure");
        assert!(
            (told / expected - 1.0).abs() < 2e-3,
            "{name}: {told}, {expected}"
        );
    }
}

/// A small town: a bank with labels, and a shop. Person 0 to 399; each leaves some out.
fn town(directory: &Path, is_dependent: bool) {
    let mut prg = Prg::new(&Seed::from_bytes([7; 32]), 0);
    let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
    let mut bank = "person,income,default,part\n".to_owned();
    let mut shop = "person,visits,basket,copy\n".to_owned();
    for person in 0..400 {
        let (income, visits, basket) = (unit(), (4.0 * unit()).round() + 5.0, unit());
        let is_bad = u8::from(unit() < (0.8 * income - 0.3 * (visits - 5.0) - 0.5).tanh());
        let part = if person % 4 == 0 { "test" } else { "train" };
        if person % 5 != 1 {
            let income = 3000.0 + 900.0 * income;
            writeln!(bank, "{person},{income:.2},{is_bad},{part}").expect("text");
        }
        if person % 7 != 3 {
            let missing = if person % 50 == 0 {
                String::new()
            } else {
                format!("{basket:.3}")
            };
            let copy = if is_dependent {
                2.0 * visits + 1.0
            } else {
                unit()
            };
            writeln!(shop, "{person},{visits},{missing},{copy:.3}").expect("text");
        }
    }
    for (name, table, text) in [("bank", "loans", bank), ("shop", "sales", shop)] {
        let home = directory.join(name);
        fs::create_dir(&home).expect("a directory");
        fs::write(home.join(format!("{table}.csv")), text).expect("a file");
    }
}

const TOWN: &str = r#"
job       = "town"
purpose   = "test"
receivers = ["shop"]
[compute.train]
model     = "logistic"
partition = "vertical"
label     = "bank.loans.default"
features  = ["shop.sales.visits", "bank.loans.income", "shop.sales.copy", "shop.sales.basket"]
key       = "person"
sample    = { column = "bank.loans.part", train = "train", test = "test" }
report    = ["coef", "se", "p", "auc", "ks"]
[privacy]
correlations = "ot"
"#;

fn run(is_dependent: bool, text: &str) -> crate::run::Ended {
    let directory = tempfile::tempdir().expect("a directory");
    run_in(directory.path(), is_dependent, text)
}

/// The same in a directory, which has what is kept in `out`.
fn run_in(directory: &Path, is_dependent: bool, text: &str) -> crate::run::Ended {
    town(directory, is_dependent);
    let mut homes = vec!["bank", "shop"];
    if text.contains("dealer:arbiter") {
        fs::create_dir(directory.join("arbiter")).expect("a directory");
        homes.push("arbiter");
    }
    let file = directory.join("job.toml");
    fs::write(&file, text).expect("a file");
    let words = [
        "simulate".to_owned(),
        file.display().to_string(),
        "--json".to_owned(),
        "--out".to_owned(),
        directory.join("out").display().to_string(),
    ];
    let homes = homes
        .iter()
        .flat_map(|name| ["--party".to_owned(), party(name, &directory.join(name))]);
    entente(words.into_iter().chain(homes))
}

/// Without a third party, on 220 rows: what the large one would take minutes for.
#[test]
fn a_small_model_without_a_third_party() {
    let found = run(false, TOWN).expect(0).json()["result"].clone();
    let rows = found["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row[0].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["intercept", "visits", "income", "copy", "basket"]);
    let of = |row: usize, column: usize| rows[row][column].as_f64().expect("a number");
    assert!(
        of(1, 1) < 0.0 && of(2, 1) > 0.0,
        "signs of visits and income: {found}"
    );
    let visits = (of(1, 1) / of(1, 2), of(1, 3));
    assert!(
        (visits.0 - visits.1).abs() < 1e-9,
        "z is the coefficient over its error"
    );
    let auc = found["fit"]["auc"].as_f64().expect("a figure");
    assert!((0.5..1.0).contains(&auc), "{found}");
}

#[test]
fn a_column_that_depends_on_others_is_named() {
    let said = run(true, TOWN).expect(1).stderr;
    assert!(
        said.contains("the design is singular") && said.contains("copy"),
        "{said}"
    );
}

/// The town's model as trees.
fn trees(correlations: &str) -> String {
    let text = TOWN.replace("\"logistic\"", "\"gbdt\"\nn_trees = 3\ndepth = 2\nbins = 8");
    let report = "report    = [\"coef\", \"se\", \"p\", \"auc\", \"ks\"]";
    assert!(text.contains(report));
    text.replace(report, "report = [\"auc\", \"psi\"]")
        .replace("\"ot\"", correlations)
}

#[test]
fn small_trees_have_a_place_for_missing_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let ended = run_in(directory.path(), false, &trees("\"dealer:arbiter\""));
    let found = ended.expect(0).json()["result"].clone();
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(
        (&rows[0][0], &rows[1][0]),
        (&"train".into(), &"test".into())
    );
    let person = |p: &u32| p % 5 != 1 && p % 7 != 3;
    // Rows without a basket count.
    let n_train = (0..400).filter(|p| person(p) && p % 4 != 0).count();
    assert_eq!(found["n_used"], n_train);
    let of = |row: usize, column: usize| rows[row][column].as_f64().expect("a number");
    let n_test = (0..400).filter(|p| person(p) && p % 4 == 0).count();
    assert_eq!(of(1, 1) + of(1, 2), n_test as f64);
    assert!(of(0, 3) > 0.7 && of(1, 3) > 0.5, "{found}");
    let psi = found["fit"]["psi"]["psi"].as_f64().expect("psi");
    assert!(psi > 0.0 && psi < 1.0, "{found}");
    // Each holder keeps the splits of its own columns.
    let models = directory.path().join("out/models");
    let mut nodes = Vec::new();
    for (name, own) in [
        ("bank", &["income"][..]),
        ("shop", &["visits", "copy", "basket"][..]),
    ] {
        let files = fs::read_dir(models.join(name)).expect("parts");
        let files: Vec<PathBuf> = files.map(|f| f.expect("an entry").path()).collect();
        assert_eq!(files.len(), 1, "{name}");
        let text = fs::read_to_string(&files[0]).expect("a part");
        let part: Value = serde_json::from_str(&text).expect("JSON");
        for split in part["part"]["splits"].as_array().into_iter().flatten() {
            let feature = split["feature"].as_str().expect("a column");
            assert!(own.contains(&feature), "{name}: {split}");
            nodes.push((split["tree"].as_u64(), split["node"].as_u64()));
        }
    }
    let n_splits = nodes.len();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), n_splits, "a split has one owner");
    let is_one = |(tree, node): &(Option<u64>, Option<u64>)| *tree < Some(3) && *node < Some(3);
    assert!(n_splits >= 3 && nodes.iter().all(is_one), "{nodes:?}");
}

#[test]
fn trees_without_a_dealer_are_refused() {
    let said = run(false, &trees("\"ot\"")).expect(2).stderr;
    assert!(said.contains("trees without a dealer"), "{said}");
}
