//! The figures that plain Python computed on the pooled data, reproduced by `simulate` on the parts.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.
//! In the claims data most expected figures are about members of an insurer: each hospital is therefore given
//! its own copy of the member list, and the join is its own affair; what is joint is the union of the hospitals.

use crate::run::{Ended, entente, party, root};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The shared data beside the repository, if they are there.
pub(crate) fn shared() -> Option<PathBuf> {
    let found = root()
        .ancestors()
        .map(|directory| directory.join("shared/data"))
        .find(|data| data.join("expected").is_dir());
    if found.is_none() {
        println!("skipped: no shared data");
    }
    found
}

pub(crate) fn expected(shared: &Path, name: &str) -> Value {
    let text = fs::read_to_string(shared.join("expected").join(name)).expect("expected figures");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    document["tasks"].clone()
}

/// Parties with directories of links to the shared files.
pub(crate) struct Parts {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Parts {
    pub(crate) fn new(parties: &[(String, Vec<(&str, PathBuf)>)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut arguments = Vec::new();
        for (name, tables) in parties {
            let home = directory.path().join(name);
            fs::create_dir(&home).expect("a directory");
            for (table, file) in tables {
                let extension = file.extension().expect("a kind of file").display();
                std::os::unix::fs::symlink(file, home.join(format!("{table}.{extension}")))
                    .expect("a link");
            }
            arguments.extend(["--party".to_owned(), party(name, &home)]);
        }
        Self {
            directory,
            arguments,
        }
    }

    /// The result of a query, for the first party.
    pub(crate) fn run(&self, receiver: &str, min_cell: u64, sql: &str) -> Value {
        self.run_with("ot", receiver, min_cell, sql)
    }

    /// The same with correlations from another source.
    pub(crate) fn run_with(&self, source: &str, receiver: &str, min_cell: u64, sql: &str) -> Value {
        self.run_among((source, receiver), min_cell, "", sql)
    }

    /// The same with more to say about the computation.
    fn run_among(
        &self,
        (source, receiver): (&str, &str),
        min_cell: u64,
        compute: &str,
        sql: &str,
    ) -> Value {
        let text = format!(
            "job = \"figures\"\npurpose = \"test\"\nreceivers = [\"{receiver}\"]\n[compute]\n{compute}\nsql = '''\n{sql}\n'''\n\
             [privacy]\ncorrelations = \"{source}\"\nmin_cell = {min_cell}\n"
        );
        self.simulate(&text)["result"].clone()
    }

    /// What `simulate` says of a job.
    pub(crate) fn simulate(&self, job_text: &str) -> Value {
        self.ended(job_text).expect(0).json()
    }

    /// The same with the files that the submitter gets in a directory.
    pub(crate) fn simulate_into(&self, directory: &std::path::Path, job_text: &str) -> Value {
        let out = ["--out".to_owned(), directory.display().to_string()];
        self.ended_with(job_text, &out).expect(0).json()
    }

    /// How `simulate` ends.
    pub(crate) fn ended(&self, job_text: &str) -> Ended {
        self.ended_with(job_text, &[])
    }

    fn ended_with(&self, job_text: &str, more: &[String]) -> Ended {
        let job = self.directory.path().join("job.toml");
        fs::write(&job, job_text).expect("a file");
        let words = [
            "simulate".to_owned(),
            job.display().to_string(),
            "--json".to_owned(),
        ];
        let more = self.arguments.iter().chain(more).cloned();
        entente(words.into_iter().chain(more))
    }
}

#[track_caller]
pub(crate) fn same(what: &str, got: &Value, expected: &Value) {
    let (got, expected) = (number(got), number(expected));
    let error = (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(
        got == expected || error <= 1e-9,
        "{what}: {got} instead of {expected}"
    );
}

/// Counts and sums of integers: equal, however they are written.
#[track_caller]
pub(crate) fn equal(what: &str, got: &Value, expected: &Value) {
    assert_eq!(number(got), number(expected), "{what}");
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

pub(crate) fn rows(result: &Value) -> &Vec<Value> {
    result["rows"].as_array().expect("rows")
}

/// The row whose first values are `keys`.
#[track_caller]
pub(crate) fn row<'a>(result: &'a Value, keys: &[&str]) -> &'a Value {
    let found = rows(result)
        .iter()
        .find(|row| keys.iter().enumerate().all(|(i, key)| row[i] == *key));
    found.unwrap_or_else(|| panic!("no row {keys:?} in {result}"))
}

/// Every hospital's encounters of members of the named lists, as one table `e`.
pub(crate) fn members_encounters(lists: &[&str]) -> String {
    let columns = "e.diag_group, e.diag_1, e.gender, e.readmitted, e.medical_specialty, m.payer_code, \
        CAST(e.time_in_hospital AS BIGINT) AS los, CAST(e.num_medications AS BIGINT) AS meds, CAST(e.num_procedures AS BIGINT) AS proc, \
        CAST(e.num_lab_procedures AS BIGINT) AS lab, CAST(e.number_inpatient AS BIGINT) AS inp, CAST(e.number_diagnoses AS BIGINT) AS dia";
    let mut branches = Vec::new();
    for k in 1..=3 {
        for list in lists {
            branches.push(format!(
                "SELECT {columns}, '{list}' AS ins FROM hospital_{k}.encounters e JOIN hospital_{k}.{list}_members m ON e.patient_id = m.patient_id"
            ));
        }
    }
    format!("({}) e", branches.join(" UNION ALL "))
}

pub(crate) fn hospitals(shared: &Path) -> Parts {
    let data = shared.join("claims_diabetes130");
    let tables = |k: i32| {
        vec![
            ("encounters", data.join(format!("hospital_{k}.parquet"))),
            ("public_members", data.join("insurer_public.parquet")),
            ("private_members", data.join("insurer_private.parquet")),
        ]
    };
    Parts::new(&[1, 2, 3].map(|k| (format!("hospital_{k}"), tables(k))))
}

#[test]
fn descriptions_and_covariances_of_the_public_members() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let union = members_encounters(&["public"]);
    let figures = ["los", "meds", "lab", "inp"];
    let moments = figures
        .map(|x| format!("COUNT({x}), SUM({x}), AVG({x}), VAR_SAMP({x}), STDDEV_SAMP({x})"))
        .join(", ");
    let result = parts.run(
        "hospital_1",
        11,
        &format!("SELECT COUNT(*), {moments} FROM {union}"),
    );
    let got = &rows(&result)[0];
    equal("encounters", &got[0], &tasks["joint_counts"]["encounters"]);
    equal("bed days", &got[2], &tasks["joint_counts"]["bed_days"]);
    let names = [
        "time_in_hospital",
        "num_medications",
        "num_lab_procedures",
        "number_inpatient",
    ];
    for (i, name) in names.iter().enumerate() {
        let described = &tasks["describe_public"][name];
        for (j, field) in ["n_valid", "sum", "mean", "var", "sd"].iter().enumerate() {
            let check = if j < 2 { equal } else { same };
            check(
                &format!("{name} {field}"),
                &got[1 + 5 * i + j],
                &described[field],
            );
        }
    }
    covariances(&parts, &union, &tasks["corr_public"]);
}

/// cov(x, y) from sums of products, which each hospital adds up for itself.
fn covariances(parts: &Parts, union: &str, expected: &Value) {
    let columns = ["los", "lab", "proc", "meds", "inp", "dia"];
    // Without a declared range a product of 64-bit integers could wrap, and is refused; decimals cannot.
    let decimal = |x: &str| format!("CAST({x} AS DECIMAL(9, 0))");
    let product = |x: &str, y: &str| format!("SUM({} * {})", decimal(x), decimal(y));
    let pairs: Vec<(usize, usize)> = (0..6).flat_map(|i| (i..6).map(move |j| (i, j))).collect();
    let sums = columns.map(|x| format!("SUM({x})")).join(", ");
    let products: Vec<String> = pairs
        .iter()
        .map(|(i, j)| product(columns[*i], columns[*j]))
        .collect();
    let result = parts.run(
        "hospital_1",
        11,
        &format!(
            "SELECT COUNT(*), {sums}, {} FROM {union}",
            products.join(", ")
        ),
    );
    let got = &rows(&result)[0];
    let n = number(&got[0]);
    for (k, (i, j)) in pairs.into_iter().enumerate() {
        let (sum_i, sum_j, product) = (
            number(&got[1 + i]),
            number(&got[1 + j]),
            number(&got[7 + k]),
        );
        // All of these are integers below 2^53, so this difference is exact.
        let covariance = (n * product - sum_i * sum_j) / n / (n - 1.0);
        same(
            &format!("cov {i} {j}"),
            &covariance.into(),
            &expected["cov"][i][j],
        );
    }
}

#[test]
fn groups_histogram_and_largest_diagnoses_of_the_public_members() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let union = members_encounters(&["public"]);

    let result = parts.run("hospital_1", 11, &format!("SELECT diag_group, COUNT(*), AVG(los) FROM {union} GROUP BY diag_group HAVING COUNT(*) >= 500"));
    let groups = tasks["groupby_having"]["rows"].as_array().expect("rows");
    assert_eq!(rows(&result).len(), groups.len());
    for group in groups {
        let name = group["diag_group"].as_str().expect("a name");
        equal(name, &row(&result, &[name])[1], &group["n"]);
        same(name, &row(&result, &[name])[2], &group["los_mean"]);
    }

    let edges: Vec<String> = (1..=15).map(|edge| edge.to_string()).collect();
    let histogram = format!("HISTOGRAM(los, {})", edges.join(", "));
    let result = parts.run(
        "hospital_1",
        0,
        &format!("SELECT {histogram} AS days, COUNT(*) AS n FROM {union} GROUP BY {histogram}"),
    );
    let counts: Vec<f64> = rows(&result)
        .iter()
        .map(|row| number(&row[1]))
        .filter(|n| *n > 0.0)
        .collect();
    let expected_counts: Vec<f64> = tasks["hist_los_public"]["counts"]
        .as_array()
        .expect("counts")
        .iter()
        .map(number)
        .collect();
    assert_eq!(counts, expected_counts);

    let result = parts.run(
        "hospital_1",
        11,
        &format!(
            "SELECT diag_1, COUNT(*) AS n FROM {union} GROUP BY diag_1 ORDER BY n DESC LIMIT 10"
        ),
    );
    let top = tasks["topk_diag1_public"].as_array().expect("a list");
    for (got, expected) in rows(&result).iter().zip(top) {
        assert_eq!(
            (&got[0], number(&got[1])),
            (&expected["value"], number(&expected["count"]))
        );
    }
    assert_eq!(rows(&result).len(), top.len());

    let result = parts.run(
        "hospital_1",
        0,
        &format!(
            "SELECT diag_group, COUNT(*), AVG(los), VAR_SAMP(los) FROM {union} GROUP BY diag_group"
        ),
    );
    for (name, group) in tasks["anova_los_diag"]["groups"]
        .as_object()
        .expect("groups")
    {
        let got = row(&result, &[name]);
        equal(name, &got[1], &group["n"]);
        same(name, &got[2], &group["mean"]);
        same(name, &got[3], &group["var"]);
    }
}

/// Patients who were in several of the hospitals count once.
#[test]
fn distinct_patients_of_all_hospitals() {
    let Some(shared) = shared() else { return };
    let data = shared.join("claims_diabetes130");
    let mut parties: Vec<_> = [1, 2, 3]
        .map(|k| {
            let encounters = data.join(format!("hospital_{k}.parquet"));
            (format!("hospital_{k}"), vec![("encounters", encounters)])
        })
        .into();
    parties.push(("notary".to_owned(), Vec::new()));
    let parts = Parts::new(&parties);
    let branches = [1, 2, 3].map(|k| format!("SELECT patient_id FROM hospital_{k}.encounters"));
    let union = branches.join(" UNION ALL ");
    let sql = format!("SELECT COUNT(DISTINCT patient_id) FROM ({union}) e");
    let result = parts.run_with("dealer:notary", "hospital_1", 11, &sql);
    let tasks = expected(&shared, "claims_diabetes130.json");
    let patients = &tasks["psi_cardinality"]["union_hospitals"];
    equal("patients", &rows(&result)[0][0], patients);
}

#[test]
fn order_statistics_and_correlations_of_the_public_members() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let union = members_encounters(&["public"]);
    let columns = [
        ("los", "time_in_hospital"),
        ("meds", "num_medications"),
        ("lab", "num_lab_procedures"),
        ("inp", "number_inpatient"),
    ];
    let levels = [
        ("p05", "0.05"),
        ("p25", "0.25"),
        ("p50", "0.5"),
        ("p75", "0.75"),
        ("p95", "0.95"),
    ];
    let quantiles = |x: &str| {
        let of = levels.map(|(_, p)| {
            // Behind the cast no range is published; none of these figures reaches 200.
            let within = format!("({p}) WITHIN GROUP (ORDER BY {x} % 200)");
            format!("PERCENTILE_CONT{within}, PERCENTILE_DISC{within}")
        });
        of.join(", ")
    };
    let outputs = columns
        .map(|(x, _)| format!("MIN({x}), MAX({x}), MEDIAN({x} % 200), {}", quantiles(x)))
        .join(", ");
    let result = parts.run("hospital_1", 11, &format!("SELECT {outputs} FROM {union}"));
    let got = rows(&result)[0].as_array().expect("a row");
    for ((_, name), got) in columns.iter().zip(got.chunks(13)) {
        let described = &tasks["describe_public"][name];
        equal(name, &got[0], &described["min"]);
        equal(name, &got[1], &described["max"]);
        same(name, &got[2], &described["quantiles_type7"]["p50"]);
        for ((level, _), got) in levels.iter().zip(got[3..].chunks(2)) {
            same(name, &got[0], &described["quantiles_type7"][level]);
            equal(name, &got[1], &described["quantiles_type1"][level]);
        }
    }
    let columns = ["los", "lab", "proc", "meds", "inp", "dia"];
    let pairs: Vec<(usize, usize)> = (0..6)
        .flat_map(|i| (i + 1..6).map(move |j| (i, j)))
        .collect();
    let outputs: Vec<String> = pairs
        .iter()
        .map(|(i, j)| {
            format!(
                "CORR({0}, {1}), COVAR_SAMP({0}, {1})",
                columns[*i], columns[*j]
            )
        })
        .collect();
    let sql = format!("SELECT {} FROM {union}", outputs.join(", "));
    let result = parts.run("hospital_1", 11, &sql);
    let got = rows(&result)[0].as_array().expect("a row");
    for ((i, j), got) in pairs.into_iter().zip(got.chunks(2)) {
        let expected = &tasks["corr_public"];
        same(
            &format!("corr {i} {j}"),
            &got[0],
            &expected["pearson"][i][j],
        );
        same(&format!("cov {i} {j}"), &got[1], &expected["cov"][i][j]);
    }
}

/// Ranks of all hospitals' rows, sorted on shares.
#[test]
fn rank_correlations_of_the_public_members() {
    let Some(shared) = shared() else { return };
    let data = shared.join("claims_diabetes130");
    let tables = |k: i32| {
        vec![
            ("encounters", data.join(format!("hospital_{k}.parquet"))),
            ("public_members", data.join("insurer_public.parquet")),
        ]
    };
    let mut parties: Vec<_> = [1, 2, 3]
        .map(|k| (format!("hospital_{k}"), tables(k)))
        .into();
    parties.push(("notary".to_owned(), Vec::new()));
    let parts = Parts::new(&parties);
    let tasks = expected(&shared, "claims_diabetes130.json");
    // Behind the cast no range is published; neither figure reaches 32.
    let sql = format!(
        "SELECT COUNT(*), SPEARMAN(los % 32, proc % 32) FROM {}",
        members_encounters(&["public"])
    );
    let among = ("dealer:notary", "hospital_1");
    let result = parts.run_among(among, 11, "max_rows = 20000", &sql);
    let expected = &tasks["corr_public"];
    equal("pairs", &rows(&result)[0][0], &expected["n"]);
    same("ranks", &rows(&result)[0][1], &expected["spearman"][0][2]);
}

/// Amounts in cents: more values than could be counted one by one.
#[test]
fn quantiles_of_amounts_over_three_funds() {
    let Some(shared) = shared() else { return };
    let data = shared.join("claims_euhealth");
    let table = |k: i32| vec![("claims", data.join(format!("fund_{k}.parquet")))];
    let mut parties: Vec<_> = [1, 2, 3].map(|k| (format!("fund_{k}"), table(k))).into();
    parties.push(("notary".to_owned(), Vec::new()));
    let parts = Parts::new(&parties);
    let tasks = expected(&shared, "claims_euhealth.json");
    let branches = [1, 2, 3].map(|k| format!("SELECT amt_total FROM fund_{k}.claims"));
    let union = branches.join(" UNION ALL ");
    // No amount reaches 100000.
    let x = "CAST(ROUND(amt_total, 2) AS DECIMAL(12, 2)) % 100000";
    let within = format!("(0.95) WITHIN GROUP (ORDER BY {x})");
    let sql = format!(
        "SELECT COUNT(*), MEDIAN({x}), PERCENTILE_CONT{within}, PERCENTILE_DISC{within} FROM ({union}) e"
    );
    let among = ("dealer:notary", "fund_1");
    let result = parts.run_among(among, 11, "max_rows = 90000", &sql);
    let described = &tasks["horizontal_3_funds"]["describe_amt_total"];
    let got = &rows(&result)[0];
    equal("rows", &got[0], &described["n"]);
    same("median", &got[1], &described["quantiles_type7"]["p50"]);
    same("p95", &got[2], &described["quantiles_type7"]["p95"]);
    equal("p95", &got[3], &described["quantiles_type1"]["p95"]);
}

#[test]
fn tables_over_both_insurers() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let union = members_encounters(&["public", "private"]);

    let result = parts.run(
        "hospital_1",
        0,
        &format!("SELECT ins, COUNT(*), AVG(los), VAR_SAMP(los) FROM {union} GROUP BY ins"),
    );
    for (i, insurer) in ["public", "private"].iter().enumerate() {
        let (got, t) = (row(&result, &[insurer]), &tasks["ttest_los"]);
        equal(insurer, &got[1], &t["n"][i]);
        same(insurer, &got[2], &t["mean"][i]);
        same(insurer, &got[3], &t["var"][i]);
    }

    let result = parts.run(
        "hospital_1",
        11,
        &format!("SELECT readmitted, ins, COUNT(*) FROM {union} GROUP BY readmitted, ins"),
    );
    crosstab(&result, &tasks["crosstab_readmit_insurer"]);
    let sql = format!(
        "SELECT gender, CASE WHEN readmitted = '<30' THEN '1' ELSE '0' END AS r30, COUNT(*) FROM {union} \
         WHERE gender <> 'Unknown/Invalid' GROUP BY gender, CASE WHEN readmitted = '<30' THEN '1' ELSE '0' END"
    );
    crosstab(
        &parts.run("hospital_1", 11, &sql),
        &tasks["crosstab_sex_r30"],
    );

    let sql = format!(
        "SELECT diag_group, payer_code, COUNT(*), AVG(los), STDDEV_SAMP(los), AVG(CASE WHEN readmitted = '<30' THEN 1 ELSE 0 END), SUM(meds) \
         FROM {union} GROUP BY diag_group, payer_code"
    );
    let result = parts.run("hospital_1", 11, &sql);
    let released = tasks["groupby_diag_payer"]["released"]
        .as_array()
        .expect("groups");
    for group in released {
        let keys =
            [&group["diag_group"], &group["payer_code"]].map(|key| key.as_str().expect("a name"));
        let got = row(&result, &keys);
        for (i, (field, check)) in [
            ("encounters", equal as fn(&str, &Value, &Value)),
            ("los_mean", same),
            ("los_sd", same),
            ("readmit30_rate", same),
            ("meds_sum", equal),
        ]
        .into_iter()
        .enumerate()
        {
            check(&format!("{keys:?} {field}"), &got[2 + i], &group[field]);
        }
    }
}

/// The cells of a table with two keys.
#[track_caller]
pub(crate) fn crosstab(result: &Value, expected: &Value) {
    let names = |field: &str| {
        expected[field]
            .as_array()
            .expect("names")
            .iter()
            .map(|name| name.as_str().expect("a name"))
    };
    for (i, line) in names("rows").enumerate() {
        for (j, column) in names("cols").enumerate() {
            equal(
                &format!("{line} {column}"),
                &row(result, &[line, column])[2],
                &expected["counts"][i][j],
            );
        }
    }
}

#[test]
fn small_cells_are_held_back_and_no_others() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let union = members_encounters(&["public", "private"]);
    let task = &tasks["suppressed_specialty_payer"];
    let names = |field: &str| -> Vec<&str> {
        task[field]
            .as_array()
            .expect("names")
            .iter()
            .map(|name| name.as_str().expect("a name"))
            .collect()
    };
    let list = names("rows")
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ");
    let sql = format!(
        "SELECT medical_specialty, payer_code, COUNT(*) FROM {union} WHERE medical_specialty IN ({list}) GROUP BY medical_specialty, payer_code"
    );
    let result = parts.run("hospital_1", 11, &sql);
    for (i, specialty) in names("rows").iter().enumerate() {
        for (j, payer) in names("cols").iter().enumerate() {
            let count = &task["true_counts_for_the_checker_only"][i][j];
            let released = rows(&result)
                .iter()
                .find(|row| row[0] == *specialty && row[1] == *payer);
            match released {
                Some(row) => equal(&format!("{specialty} {payer}"), &row[2], count),
                None => assert!(number(count) < 11.0, "{specialty} {payer} is missing"),
            }
            assert!(
                number(count) >= 11.0 || released.is_none(),
                "{specialty} {payer} was released"
            );
        }
    }
}

#[test]
fn no_small_cell_can_be_told_from_the_totals_beside_it() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let task = &tasks["suppressed_specialty_payer"];
    let specialties = names(task, "rows").into_iter();
    let list: Vec<String> = specialties.map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SELECT medical_specialty, payer_code, COUNT(*) FROM {} WHERE medical_specialty IN ({}) GROUP BY CUBE(medical_specialty, payer_code)",
        members_encounters(&["public", "private"]),
        list.join(", ")
    );
    no_small_cell_is_told(&parts.run("hospital_1", 11, &sql), task);
}

fn names(task: &Value, field: &str) -> Vec<String> {
    let names = task[field].as_array().expect("names").iter();
    names
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// Of a table with totals, with its rows, columns and counts: what is released is as it was counted, the grand total is,
/// and no small count can be derived.
pub(crate) fn no_small_cell_is_told(result: &Value, task: &Value) {
    let (lines, columns) = (names(task, "rows"), names(task, "cols"));
    let mut counts: Vec<Vec<u64>> = (0..lines.len())
        .map(|i| {
            let row = task["true_counts_for_the_checker_only"][i]
                .as_array()
                .expect("a row");
            let mut row: Vec<u64> = row.iter().map(|n| n.as_u64().expect("a count")).collect();
            row.push(row.iter().sum());
            row
        })
        .collect();
    let totals = (0..=columns.len()).map(|j| counts.iter().map(|row| row[j]).sum());
    counts.push(totals.collect());
    let name = |names: &[String], at: usize| {
        names
            .get(at)
            .map_or(Value::Null, |n| Value::from(n.as_str()))
    };
    let mut is_known = vec![vec![false; columns.len() + 1]; lines.len() + 1];
    for (i, row) in counts.iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            let keys = [name(&lines, i), name(&columns, j)];
            let released = rows(result)
                .iter()
                .find(|row| row[0] == keys[0] && row[1] == keys[1]);
            if let Some(row) = released {
                assert_eq!(row[2], count, "{keys:?}");
                assert!(count >= 11, "{keys:?} was released");
            }
            is_known[i][j] = released.is_some() || count == 0;
        }
    }
    assert!(is_known[lines.len()][columns.len()], "the grand total");
    for (i, row) in counts.iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            if (1..11).contains(&count) {
                assert!(
                    could_be_more(&counts, &is_known, (i, j)),
                    "{i}, {j} can be derived"
                );
            }
        }
    }
}

/// Whether a cell of a table with totals could count one more, with all known cells as they are and every other at least 1.
///
/// Rows and columns are places, and a change of a cell leads from one to the other; the change is possible if it gets back.
fn could_be_more(counts: &[Vec<u64>], is_known: &[Vec<bool>], cell: (usize, usize)) -> bool {
    let (n_rows, n_columns) = (counts.len(), counts[0].len());
    // One more in a cell takes from its row and gives to its column, and the other way round for the one total of each.
    let arrow = |(i, j): (usize, usize)| {
        let (row, column) = (i, n_rows + j);
        match (i + 1 == n_rows) != (j + 1 == n_columns) {
            true => (column, row),
            false => (row, column),
        }
    };
    let (goal, start) = arrow(cell);
    let mut reached = vec![start];
    let mut at = 0;
    while at < reached.len() {
        let place = reached[at];
        at += 1;
        for i in 0..n_rows {
            for j in 0..n_columns {
                let (from, to) = arrow((i, j));
                if is_known[i][j] || (i, j) == cell {
                    continue;
                }
                let next = match place {
                    p if p == from => to,
                    p if p == to && counts[i][j] > 1 => from,
                    _ => continue,
                };
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
    }
    reached.contains(&goal)
}

#[test]
fn three_funds_describe_their_amounts() {
    let Some(shared) = shared() else { return };
    let tasks = expected(&shared, "claims_euhealth.json");
    let data = shared.join("claims_euhealth");
    let parts = Parts::new(&[1, 2, 3].map(|k| {
        (
            format!("fund_{k}"),
            vec![("members", data.join(format!("fund_{k}.parquet")))],
        )
    }));
    let branches = [1, 2, 3]
        .map(|k| format!("SELECT '{k}' AS fund, amt_total FROM fund_{k}.members"))
        .join(" UNION ALL ");
    let figures = "COUNT(*), COUNT(amt_total), SUM(amt_total), AVG(amt_total), VAR_SAMP(amt_total), STDDEV_SAMP(amt_total)";
    let fields = ["n", "n_valid", "sum", "mean", "var", "sd"];
    let compare = |what: &str, got: &[Value], described: &Value| {
        for (i, field) in fields.iter().enumerate() {
            let check = if i < 2 { equal } else { same };
            check(&format!("{what} {field}"), &got[i], &described[field]);
        }
    };
    let task = &tasks["horizontal_3_funds"];
    let result = parts.run(
        "fund_1",
        11,
        &format!("SELECT {figures} FROM ({branches}) f"),
    );
    compare(
        "overall",
        rows(&result)[0].as_array().expect("a row"),
        &task["describe_amt_total"],
    );
    let result = parts.run(
        "fund_1",
        11,
        &format!("SELECT fund, {figures} FROM ({branches}) f GROUP BY fund"),
    );
    for (fund, described) in task["by_fund"].as_object().expect("funds") {
        compare(
            fund,
            &row(&result, &[fund]).as_array().expect("a row")[1..],
            described,
        );
    }
}
