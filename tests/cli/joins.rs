//! Joins between holders by real processes: the figures that plain Python computed on the pooled data.

use crate::figures::{Parts, crosstab, equal, expected, row, rows, same, shared};
use crate::run::{entente, party, root};
use crate::statistics::run;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The hospitals, an insurer, and a dealer without tables.
fn claims(shared: &std::path::Path) -> Parts {
    let data = shared.join("claims_diabetes130");
    let file = |name: &str| data.join(format!("{name}.parquet"));
    let mut parties: Vec<(String, Vec<(&str, PathBuf)>)> = (1..=3)
        .map(|k| {
            let name = format!("hospital_{k}");
            let encounters = file(&name);
            (name, vec![("encounters", encounters)])
        })
        .collect();
    let members = file("insurer_public");
    parties.push(("insurer_public".to_owned(), vec![("members", members)]));
    let members = file("insurer_private");
    parties.push(("insurer_private".to_owned(), vec![("members", members)]));
    parties.push(("notary".to_owned(), Vec::new()));
    Parts::new(&parties)
}

const HOSPITALS: &str = "(SELECT * FROM hospital_1.encounters UNION ALL SELECT * FROM hospital_2.encounters UNION ALL SELECT * FROM hospital_3.encounters) h";

#[test]
fn stays_of_members_over_three_hospitals() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        claims(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let los = "CAST(h.time_in_hospital AS INT)";
    let sql = format!(
        "SELECT COUNT(*), COUNT(DISTINCT h.patient_id), SUM({los}), AVG({los}), VAR_SAMP({los}) \
         FROM {HOSPITALS} JOIN insurer_public.members m ON h.patient_id = m.patient_id"
    );
    let result = parts.run_with("dealer:notary", "hospital_1", 11, &sql);
    let (got, counts) = (&rows(&result)[0], &tasks["joint_counts"]);
    equal("encounters", &got[0], &counts["encounters"]);
    equal("patients", &got[1], &counts["distinct_patients"]);
    equal("bed days", &got[2], &counts["bed_days"]);
    let described = &tasks["describe_public"]["time_in_hospital"];
    same("mean", &got[3], &described["mean"]);
    same("variance", &got[4], &described["var"]);
}

/// Least and greatest values and quantiles over the hidden join: rows are counted value by value.
#[test]
fn quantiles_of_stays_and_medications_of_members() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        claims(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    // The files declare no ranges.
    for (column, most) in [("time_in_hospital", 14), ("num_medications", 99)] {
        let of = &tasks["describe_public"][column];
        let x = format!("CAST(h.{column} AS INT)");
        let x = format!("CASE WHEN {x} BETWEEN 0 AND {most} THEN {x} END");
        let at = |p: &str| format!("PERCENTILE_CONT({p}) WITHIN GROUP (ORDER BY {x})");
        let sql = format!(
            "SELECT MIN({x}), MAX({x}), COUNT({x}), {}, {}, {}, PERCENTILE_DISC(0.75) WITHIN GROUP (ORDER BY {x}) \
             FROM {HOSPITALS} JOIN insurer_public.members m ON h.patient_id = m.patient_id",
            at("0.05"),
            at("0.5"),
            at("0.95")
        );
        let result = parts.run_with("dealer:notary", "hospital_1", 11, &sql);
        let got = &rows(&result)[0];
        equal("least", &got[0], &of["min"]);
        equal("greatest", &got[1], &of["max"]);
        equal("known", &got[2], &of["n_valid"]);
        for (place, level) in [(3, "p05"), (4, "p50"), (5, "p95")] {
            same(level, &got[place], &of["quantiles_type7"][level]);
        }
        same("type 1", &got[6], &of["quantiles_type1"]["p75"]);
    }
}

const INSURERS: &str = "(SELECT patient_id, payer_code, 'public' AS insurer FROM insurer_public.members UNION ALL SELECT patient_id, payer_code, 'private' FROM insurer_private.members) m";

/// Three hospitals and two insurers: a patient of several hospitals counts once in a group.
#[test]
fn patients_by_diagnosis_and_payer_over_two_insurers() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        claims(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let los = "CAST(h.time_in_hospital AS INT)";
    let sql = format!(
        "SELECT h.diag_group, m.payer_code, COUNT(DISTINCT h.patient_id), COUNT(*), AVG({los}), STDDEV_SAMP({los}), \
         AVG(CASE WHEN h.readmitted = '<30' THEN 1 ELSE 0 END), SUM(CAST(h.num_medications AS INT)) \
         FROM {HOSPITALS} JOIN {INSURERS} ON h.patient_id = m.patient_id GROUP BY h.diag_group, m.payer_code"
    );
    let result = parts.run_with("dealer:notary", "hospital_1", 11, &sql);
    let task = &tasks["groupby_diag_payer"];
    let figures = [
        "cohort",
        "encounters",
        "los_mean",
        "los_sd",
        "readmit30_rate",
        "meds_sum",
    ];
    check_groups(&result, task, ["diag_group", "payer_code"], &figures);
}

/// The released groups are those of the task: two keys, and then these figures of it. What is counted is whole.
fn check_groups(result: &Value, task: &Value, keys: [&str; 2], figures: &[&str]) {
    let groups = task["released"].as_array().expect("groups");
    assert_eq!(rows(result).len(), groups.len());
    for group in groups {
        let keys = keys.map(|key| group[key].as_str().expect("text"));
        let got = row(result, &keys);
        let got = got.as_array().expect("a row").iter().skip(2);
        for (figure, got) in figures.iter().zip(got) {
            match group[figure].is_i64() {
                true => equal(figure, got, &group[figure]),
                false => same(figure, got, &group[figure]),
            }
        }
    }
}

/// Readmissions by insurer, and those within 30 days by sex.
#[test]
fn readmissions_by_insurer_and_by_sex() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        claims(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    for (job, task) in [
        ("readmission-by-insurance", "crosstab_readmit_insurer"),
        ("readmission-by-sex", "crosstab_sex_r30"),
    ] {
        crosstab(&run(&parts, job), &tasks[task]);
    }
}

/// Correlations of two columns of one side, rows of a person on that side being many.
#[test]
fn correlations_over_a_join() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        claims(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let number = |c: &str| format!("CAST(h.{c} AS INT)");
    let (los, meds) = (number("time_in_hospital"), number("num_medications"));
    let sql = format!(
        "SELECT CORR({los}, {meds}), COUNT(*) FROM {HOSPITALS} JOIN insurer_public.members m USING (patient_id)"
    );
    let result = parts.run_with("dealer:notary", "hospital_1", 11, &sql);
    let (got, corr) = (&rows(&result)[0], &tasks["corr_public"]);
    same("los and meds", &got[0], &corr["pearson"][0][3]);
    equal("n", &got[1], &corr["n"]);
}

/// Groups at one holder, rows at another, by oblivious transfer between the two.
#[test]
fn stays_by_diagnosis_of_members_without_a_third_party() {
    let Some(shared) = shared() else { return };
    let data = shared.join("claims_diabetes130");
    let parts = Parts::new(&[
        (
            "hospital_1".to_owned(),
            vec![("encounters", data.join("hospital_1.parquet"))],
        ),
        (
            "insurer_public".to_owned(),
            vec![("members", data.join("insurer_public.parquet"))],
        ),
    ]);
    let sql = "SELECT COUNT(DISTINCT h.patient_id) FROM hospital_1.encounters h JOIN insurer_public.members m ON h.patient_id = m.patient_id";
    let result = parts.run_with("ot", "hospital_1", 11, sql);
    let tasks = expected(&shared, "claims_diabetes130.json");
    let both = &tasks["psi_cardinality"]["hospital_1_and_insurer_public"];
    equal("patients of both", &rows(&result)[0][0], both);
}

/// Members without any service count with zeros: two left joins.
#[test]
fn amounts_and_visits_of_all_members() {
    let Some(shared) = shared() else { return };
    let data = shared.join("claims_euhealth");
    let one = |name: &str, table: &'static str| {
        let file = data.join(format!("{name}.parquet"));
        (name.to_owned(), vec![(table, file)])
    };
    let parts = Parts::new(&[
        one("insurer_c", "members"),
        one("clinic_b", "services"),
        one("hospital_a", "services"),
        ("notary".to_owned(), Vec::new()),
    ]);
    let amount = "CAST(ROUND(c.amt_total, 2) AS DECIMAL(12, 2))";
    let sql = format!(
        "SELECT c.relation, c.gender, COUNT(*), SUM({amount}), AVG({amount}), SUM(COALESCE(b.num_visits, 0)) \
         FROM insurer_c.members c LEFT JOIN clinic_b.services b ON c.member_id = b.member_id \
         GROUP BY c.relation, c.gender ORDER BY 1, 2"
    );
    let result = parts.run_with("dealer:notary", "insurer_c", 11, &sql);
    let tasks = expected(&shared, "claims_euhealth.json");
    let figures = ["cohort", "amt_sum", "amt_mean", "visits"];
    let task = &tasks["groupby_relation_gender"];
    check_groups(&result, task, ["relation", "gender"], &figures);
}

/// The bundled example, ids as five clerks typed them.
#[test]
fn the_example_counts_every_stay_of_a_member() {
    let data = root().join("examples/data/claims_diabetes130");
    let nothing = tempfile::tempdir().expect("a directory");
    let mut words = vec![
        "simulate".to_owned(),
        root()
            .join("examples/jobs/stays-of-members.toml")
            .display()
            .to_string(),
        "--json".to_owned(),
    ];
    for name in ["hospital_1", "hospital_2", "hospital_3", "insurer_public"] {
        words.extend(["--party".to_owned(), party(name, &data.join(name))]);
    }
    words.extend(["--party".to_owned(), party("notary", nothing.path())]);
    let document: Value = entente(words).expect(0).json();
    let result = &document["result"];
    equal("stays of MC", &row(result, &["MC"])[1], &33_806.into());
    equal("stays of MD", &row(result, &["MD"])[1], &3_710.into());
    equal("bed days of MC", &row(result, &["MC"])[2], &151_326.into());
}

/// The cells of a table by its first column.
fn cells(file: &Path) -> BTreeMap<String, Vec<f64>> {
    let text = fs::read_to_string(file).expect("a table");
    let lines = text.lines().skip(1).map(|line| {
        let mut cells = line.split(',');
        let key = cells.next().expect("a key").to_owned();
        (key, cells.map_while(|cell| cell.parse().ok()).collect())
    });
    lines.collect()
}

/// The banks and the bureau of the examples without their policies, and a dealer; and their tables.
fn credit() -> (Parts, [BTreeMap<String, Vec<f64>>; 3]) {
    let data = root().join("examples/data/credit_taiwan");
    let tables = [
        ("bank_a", "loans"),
        ("bank_b", "bills"),
        ("bureau_c", "persons"),
    ];
    let file = |(party, table): (&str, &str)| data.join(party).join(format!("{table}.csv"));
    let parties = tables.map(|of| (of.0.to_owned(), vec![(of.1, file(of))]));
    let notary = [("notary".to_owned(), Vec::new())];
    let parts = Parts::new(&[&parties[..], &notary].concat());
    (parts, tables.map(|of| cells(&file(of))))
}

/// How many customers all three have, where the job says that it is told.
#[test]
fn the_number_of_keys_in_common_is_told_on_demand() {
    let (parts, [loans, bills, persons]) = credit();
    let text = |join: &str| {
        format!(
            "job = \"size\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute]\nsql = \"SELECT COUNT(*) AS n FROM bank_a.loans a \
             JOIN bank_b.bills b ON a.id_no = b.id_no JOIN bureau_c.persons c ON a.id_no = c.id_no WHERE c.age < 30 AND a.limit_bal > b.bill_amt1\"\n\
             [privacy]\ncorrelations = \"dealer:notary\"\nmin_cell = 11\njoin = \"{join}\"\n"
        )
    };
    let young = persons.iter().filter(|(_, person)| person[1] < 30.0);
    let matched = young.filter(|(id, _)| loans.contains_key(*id) && bills.contains_key(*id));
    let matched: Vec<&String> = matched.map(|(id, _)| id).collect();
    let within = matched.iter().filter(|id| loans[**id][0] > bills[**id][0]);
    let result = parts.simulate(&text("size"))["result"].clone();
    equal("matches", &result["matched"], &matched.len().into());
    equal("rows", &rows(&result)[0][0], &within.count().into());
    let hidden = parts.simulate(&text("hidden"))["result"].clone();
    assert_eq!(hidden["matched"], Value::Null);
    assert_eq!(hidden["rows"], result["rows"]);
}

/// Which of its customers the others have is told to each bank that receives the result, in a file of its own; none of them where
/// they are fewer than the minimum.
#[test]
fn keys_in_common_are_told_to_receivers_with_a_table() {
    let (parts, [loans, bills, persons]) = credit();
    let text = |min_cell: u64| {
        format!(
            "job = \"keys\"\npurpose = \"test\"\nreceivers = [\"bank_a\", \"bank_b\"]\n[compute]\nsql = \"SELECT COUNT(*) AS n \
             FROM bank_a.loans a JOIN bank_b.bills b ON a.id_no = b.id_no JOIN bureau_c.persons c ON a.id_no = c.id_no WHERE c.age < 30\"\n\
             [privacy]\ncorrelations = \"dealer:notary\"\nmin_cell = {min_cell}\njoin = \"keys\"\n"
        )
    };
    let young = persons.iter().filter(|(_, person)| person[1] < 30.0);
    let matched = young.filter(|(id, _)| loans.contains_key(*id) && bills.contains_key(*id));
    let mut matched: Vec<String> = matched.map(|(id, _)| id.clone()).collect();
    matched.sort();
    let n = matched.len() as u64;
    let out = tempfile::tempdir().expect("a directory");
    for (name, min_cell, expected) in [("shown", n, matched.clone()), ("held", n + 1, Vec::new())] {
        let files = out.path().join(name);
        let result = parts.simulate_into(&files, &text(min_cell))["result"].clone();
        let read = |file: &str| fs::read_to_string(files.join(file)).expect("a file");
        let keys = read("matched-keys.csv");
        let mut lines: Vec<&str> = keys.lines().collect();
        assert_eq!(lines.remove(0), "key");
        lines.sort_unstable();
        assert_eq!(lines, expected, "{min_cell}");
        let receipt: Value = serde_json::from_str(&read("receipt.json")).expect("JSON");
        let told = receipt["local"]["matched_keys"].as_u64();
        assert_eq!(told, Some(expected.len() as u64));
        assert_eq!(rows(&result).len(), usize::from(!expected.is_empty()));
        for file in ["result.json", "result.csv", "receipt.json", "evidence.json"] {
            let text = read(file);
            let is_told = matched.iter().find(|id| text.contains(id.as_str()));
            assert_eq!(is_told, None, "{file}");
        }
    }
}

/// A group whose mean is too small is opened to nobody: the parties compare sums of shares.
#[test]
fn groups_that_fail_having_are_left_out() {
    let (parts, [loans, _, persons]) = credit();
    let of_sex = |sex: f64| {
        let of_sex = persons.iter().filter(|(_, person)| person[0] == sex);
        let limits = of_sex.filter_map(|(id, _)| Some(loans.get(id)?[0]));
        let limits: Vec<f64> = limits.collect();
        (limits.iter().sum::<f64>(), limits.len() as f64)
    };
    let [first, second] = [of_sex(1.0), of_sex(2.0)];
    let [low, high] = [first.0 / first.1, second.0 / second.1];
    let between = f64::midpoint(low, high).round();
    let kept = if low > high {
        (1.0, first)
    } else {
        (2.0, second)
    };
    let sql = format!(
        "SELECT c.sex, COUNT(*), SUM(a.limit_bal) FROM bank_a.loans a JOIN bureau_c.persons c ON a.id_no = c.id_no \
         GROUP BY c.sex HAVING AVG(a.limit_bal) > {between} AND COUNT(*) < 1000000"
    );
    let result = parts.run_with("dealer:notary", "bank_a", 11, &sql);
    let found = rows(&result);
    assert_eq!(found.len(), 1, "{result}");
    equal("sex", &found[0][0], &kept.0.into());
    equal("customers", &found[0][1], &kept.1.1.into());
    equal("limits", &found[0][2], &kept.1.0.into());
}

/// A quotient of columns of two banks, by what a bureau knows: as divided in the clear, and the result says how close.
#[test]
fn bills_over_limits_of_another_bank() {
    let (parts, [loans, bills, persons]) = credit();
    let job = root().join("examples/jobs/use-of-limits.toml");
    let job = fs::read_to_string(job).expect("a job");
    let result = parts.simulate(&job)["result"].clone();
    for (row, sex) in rows(&result).iter().zip([1.0, 2.0]) {
        let of_sex = persons.iter().filter(|(_, person)| person[0] == sex);
        let uses = of_sex.filter_map(|(id, person)| {
            let (loan, bill) = (loans.get(id)?, bills.get(id)?);
            Some((bill[0] / loan[0], person[1]))
        });
        let uses: Vec<(f64, f64)> = uses.collect();
        let mean = |uses: &[f64]| uses.iter().sum::<f64>() / uses.len() as f64;
        let all: Vec<f64> = uses.iter().map(|(used, _)| *used).collect();
        let young = uses.iter().filter(|(_, age)| *age < 30.0);
        let young: Vec<f64> = young.map(|(used, _)| *used).collect();
        equal("sex", &row[0], &sex.into());
        equal("customers", &row[1], &all.len().into());
        same("mean use", &row[2], &mean(&all).into());
        same("mean use of the young", &row[3], &mean(&young).into());
    }
    let notes = result["notes"].as_array().expect("notes");
    let says = |note: &Value| {
        note.as_str()
            .is_some_and(|n| n.contains("is a product with a reciprocal in fixed point"))
    };
    assert!(notes.iter().any(says), "{notes:?}");
}

/// Different values of columns that are no key, of one holder and of two together, by another holder's groups: as counted in
/// the clear.
#[test]
fn different_limits_and_amounts_of_customers() {
    let (parts, [loans, bills, persons]) = credit();
    let of_both = "(SELECT id_no, limit_bal AS amount FROM bank_a.loans UNION ALL SELECT id_no, bill_amt1 FROM bank_b.bills)";
    let of_one = "SELECT c.sex, COUNT(DISTINCT a.limit_bal), COUNT(DISTINCT c.age), BOOL_OR(a.limit_bal > 700000) \
         FROM bank_a.loans a JOIN bureau_c.persons c ON a.id_no = c.id_no WHERE a.limit_bal > 10000 GROUP BY c.sex HAVING SUM(a.limit_bal) > 1 ORDER BY 1";
    let of_two = format!(
        "SELECT c.sex, COUNT(DISTINCT u.amount) FROM {of_both} u JOIN bureau_c.persons c ON u.id_no = c.id_no WHERE c.age < 30 GROUP BY c.sex ORDER BY 1"
    );
    let two = parts.run_with("dealer:notary", "bank_a", 11, &of_two);
    for source in ["dealer:notary", "ot"] {
        let one = parts.run_with(source, "bank_a", 11, of_one);
        for (at, sex) in [1.0, 2.0].into_iter().enumerate() {
            let of_sex = || persons.iter().filter(|(_, person)| person[0] == sex);
            let matched = of_sex().filter_map(|(id, person)| Some((loans.get(id)?[0], person[1])));
            let matched: Vec<(f64, f64)> = matched.filter(|(limit, _)| *limit > 10_000.0).collect();
            let different = |values: Vec<f64>| {
                let values = values.into_iter().map(f64::to_bits);
                values.collect::<std::collections::BTreeSet<u64>>().len()
            };
            let limits = different(matched.iter().map(|(limit, _)| *limit).collect());
            let ages = different(matched.iter().map(|(_, age)| *age).collect());
            let row = &rows(&one)[at];
            equal("limits", &row[1], &limits.into());
            equal("ages", &row[2], &ages.into());
            let any = matched.iter().any(|(limit, _)| *limit > 700_000.0);
            assert_eq!(row[3], Value::from(any), "whether a limit is high");
            let young = of_sex().filter(|(_, person)| person[1] < 30.0);
            let amounts = young.flat_map(|(id, _)| {
                let limit = loans.get(id).map(|loan| loan[0]);
                limit.into_iter().chain(bills.get(id).map(|bill| bill[0]))
            });
            let amounts = different(amounts.collect());
            equal("amounts", &rows(&two)[at][1], &amounts.into());
        }
    }
}

/// Several rows a customer at each of two banks, compared with each other and by what a bureau knows: every pair counts, and a
/// customer once.
#[test]
fn pairs_of_several_rows_of_customers() {
    let (parts, [loans, bills, persons]) = credit();
    let limits = "(SELECT id_no, limit_bal AS most FROM bank_a.loans UNION ALL SELECT id_no, limit_bal - 50000 FROM bank_a.loans)";
    let owed = "(SELECT id_no, bill_amt1 AS owed FROM bank_b.bills UNION ALL SELECT id_no, bill_amt6 FROM bank_b.bills)";
    let sql = format!(
        "SELECT c.sex, COUNT(*) AS n, COUNT(DISTINCT a.id_no) AS customers, SUM(CASE WHEN b.owed > a.most + 9000 THEN b.owed ELSE a.most END) AS s \
         FROM {limits} a JOIN {owed} b ON a.id_no = b.id_no JOIN bureau_c.persons c ON a.id_no = c.id_no \
         WHERE b.owed > a.most OR c.age < 23 GROUP BY c.sex ORDER BY 1"
    );
    let least = format!(
        "SELECT MIN(a.limit_bal - b.owed) AS least, MAX(a.limit_bal + b.owed) AS most FROM bank_a.loans a JOIN {owed} b ON a.id_no = b.id_no"
    );
    let job = |source: &str, sql: &str, min_cell: u64, rows: &str| {
        format!(
            "job = \"pairs\"\npurpose = \"test\"\nreceivers = [\"bank_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[compute.max_rows_per_key]\n{rows}\n\
             [privacy]\ncorrelations = \"{source}\"\nmin_cell = {min_cell}\n"
        )
    };
    for source in ["dealer:notary", "ot"] {
        let result = parts.simulate(&job(source, &sql, 11, "a = 2\nb = 2"))["result"].clone();
        for (row, sex) in rows(&result).iter().zip([1.0, 2.0]) {
            let (mut n, mut customers, mut sum) = (0, 0, 0.0);
            for (id, person) in persons.iter().filter(|(_, person)| person[0] == sex) {
                let (Some(loan), Some(bill)) = (loans.get(id), bills.get(id)) else {
                    continue;
                };
                let most = [loan[0], loan[0] - 50_000.0];
                let pairs = most
                    .iter()
                    .flat_map(|m| bill[..2].iter().map(move |b| (*m, *b)));
                let kept = pairs.filter(|(most, owed)| owed > most || person[1] < 23.0);
                let kept: Vec<(f64, f64)> = kept.collect();
                n += kept.len();
                customers += usize::from(!kept.is_empty());
                let terms = kept.iter().map(|(most, owed)| match *owed > most + 9000.0 {
                    true => *owed,
                    false => *most,
                });
                sum += terms.sum::<f64>();
            }
            assert!(customers >= 11 && n > customers, "{n} pairs of {customers}");
            equal("sex", &row[0], &sex.into());
            equal("pairs", &row[1], &n.into());
            equal("customers", &row[2], &customers.into());
            same("sum", &row[3], &sum.into());
        }
    }
    let result = parts.simulate(&job("dealer:notary", &least, 0, "b = 2"))["result"].clone();
    let pairs = loans
        .iter()
        .filter_map(|(id, loan)| Some((loan[0], bills.get(id)?)));
    let pairs: Vec<(f64, f64)> = pairs
        .flat_map(|(a, b)| b[..2].iter().map(move |b| (a, *b)))
        .collect();
    let (least, most) = (
        pairs
            .iter()
            .map(|(a, b)| a - b)
            .fold(f64::INFINITY, f64::min),
        pairs.iter().map(|(a, b)| a + b).fold(0.0, f64::max),
    );
    same("least", &rows(&result)[0][0], &least.into());
    same("most", &rows(&result)[0][1], &most.into());
    // A bound that does not hold ends the job at its holder.
    let ended = parts.ended(&job("dealer:notary", &sql, 11, "a = 2"));
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("max_rows_per_key"), "{said}");
}

/// A holder's tables and its policy, in a directory of its own.
pub(crate) fn holder(at: &Path, name: &str, table: (&str, &str), columns: &str) -> [String; 2] {
    let home = at.join(name);
    fs::create_dir(&home).expect("a directory");
    fs::write(home.join(format!("{}.csv", table.0)), table.1).expect("a table");
    let policy = format!(
        "min_cell = 3\nopen_counts = false\n[tables.{}.columns]\n{columns}",
        table.0
    );
    fs::write(home.join("policy.toml"), policy).expect("a policy");
    ["--party".to_owned(), party(name, &home)]
}

/// A group by town and kind, and its persons and what they paid.
type Town = (String, String, Option<u64>, Option<u64>);

/// A value that two persons have.
const RARE: &str = "only here";

/// Where persons live, what most of them paid, and the groups of three persons and more.
fn towns() -> (String, String, Vec<Town>) {
    let (mut homes, mut bills) = ("id,town\n".to_owned(), "id,paid,kind\n".to_owned());
    let mut groups: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for n in 0..80u64 {
        let town = match n {
            41 | 43 => RARE,
            _ => ["Łódź", "Bern", "Αθήνα", ""][(n * n % 11 % 4) as usize],
        };
        homes.push_str(&format!("p{n},{town}\n"));
        if n % 5 == 0 {
            continue;
        }
        let kind = ["x", "y"][(n % 2) as usize];
        bills.push_str(&format!("p{n},{},{kind}\n", 100 + n));
        let group = groups.entry((town, kind)).or_default();
        *group = (group.0 + 1, group.1 + 100 + n);
    }
    groups.retain(|_, (persons, _)| *persons >= 3);
    assert!(groups.len() > 4 && groups.keys().all(|(town, _)| *town != RARE));
    let groups = groups.into_iter();
    let groups = groups
        .map(|((town, kind), (n, paid))| (town.to_owned(), kind.to_owned(), Some(n), Some(paid)));
    let mut groups: Vec<Town> = groups.collect();
    // An empty text is NULL in CSV, and comes last.
    groups.sort_by_key(|group| (group.0.is_empty(), group.0.clone(), group.1.clone()));
    (homes, bills, groups)
}

/// What one holder knows alone forms groups, beside what the other publishes: a value of too few persons is shown to nobody.
#[test]
fn groups_that_nobody_lists_go_over_a_join() {
    let dir = tempfile::tempdir().expect("a directory");
    let (homes, bills, groups) = towns();
    let mut parties = holder(
        dir.path(),
        "registry",
        ("homes", &homes),
        "id = { join_key = true }\ntown = { group_by = true, categories = \"hidden\", longest = 12 }\n",
    )
    .to_vec();
    parties.extend(holder(
        dir.path(),
        "payer",
        ("bills", &bills),
        "id = { join_key = true }\npaid = { aggregate = [\"sum\", \"avg\"], range = [0, 1000] }\nkind = { group_by = true, categories = [\"x\", \"y\"] }\n",
    ));
    let notary = dir.path().join("notary");
    fs::create_dir(&notary).expect("a directory");
    for source in ["ot", "dealer:notary"] {
        let job = dir.path().join("job.toml");
        let text = format!(
            "job = \"towns\"\npurpose = \"test\"\nreceivers = [\"payer\"]\n[compute]\nsql = \"SELECT h.town, b.kind, COUNT(*) AS n, SUM(b.paid) AS paid \
             FROM payer.bills b JOIN registry.homes h ON b.id = h.id GROUP BY h.town, b.kind ORDER BY 1, 2\"\nmax_groups = 8\n[privacy]\n\
             correlations = \"{source}\"\nmin_cell = 3\n"
        );
        fs::write(&job, text).expect("a job");
        let words = ["simulate", &job.display().to_string(), "--json"].map(str::to_owned);
        let mut words = [&words[..], &parties].concat();
        if source != "ot" {
            words.extend(["--party".to_owned(), party("notary", &notary)]);
        }
        let ran = entente(words).expect(0).json();
        let found = rows(&ran["result"]).iter().map(|row| {
            let text = |at: usize| row[at].as_str().unwrap_or("").to_owned();
            (text(0), text(1), row[2].as_u64(), row[3].as_u64())
        });
        assert_eq!(found.collect::<Vec<Town>>(), groups, "{source}");
        assert!(!ran.to_string().contains(RARE), "a town of two persons");
    }
}
