//! Tasks of the expected files, each by a job in `examples/jobs`, by real processes: one table of cases.

use crate::figures::{Parts, equal, expected, no_small_cell_is_told, rows, same, shared};
use crate::statistics::{HOSPITALS_AND_INSURERS, correlations, field, parts, run};
use serde_json::Value;

/// A party, its table and the file of that.
type Table = (&'static str, &'static str, &'static str);

const EUHEALTH: [Table; 3] = [
    ("insurer_c", "members", "claims_euhealth/insurer_c.parquet"),
    ("clinic_b", "services", "claims_euhealth/clinic_b.parquet"),
    (
        "hospital_a",
        "services",
        "claims_euhealth/hospital_a.parquet",
    ),
];

const NAFLD: [Table; 3] = [
    ("clinic", "persons", "surv_nafld/clinic_person.parquet"),
    ("registry", "events", "surv_nafld/registry_event.parquet"),
    (
        "laboratory",
        "measurements",
        "surv_nafld/lab_measurement.parquet",
    ),
];

const ROTTERDAM: [Table; 3] = [
    ("hospital", "patients", "surv_rotterdam/hospital.csv"),
    ("registry", "follow_up", "surv_rotterdam/registry.csv"),
    ("laboratory", "markers", "surv_rotterdam/lab.csv"),
];

const FUNDS: [Table; 3] = [
    ("fund_1", "members", "claims_euhealth/fund_1.parquet"),
    ("fund_2", "members", "claims_euhealth/fund_2.parquet"),
    ("fund_3", "members", "claims_euhealth/fund_3.parquet"),
];

const TAIWAN: [Table; 3] = [
    ("bank_a", "loans", "credit_taiwan/bank_a.csv"),
    ("bank_b", "bills", "credit_taiwan/bank_b.csv"),
    ("bureau_c", "persons", "credit_taiwan/bureau_c.csv"),
];

/// Columns of the result and where their values stand in the task.
type Pairs = &'static [(&'static str, &'static str)];

/// What of a result is compared.
enum Figures {
    /// The one row, with pointers into the task.
    Row(Pairs),
    /// The rows of a list in the task, found by their keys.
    Groups {
        list: &'static str,
        keys: Pairs,
        cells: Pairs,
    },
    /// The rows of an object in the task, whose names are the keys of the result.
    Named { object: &'static str, cells: Pairs },
    /// Descriptions of columns in the one row, each with the name of its figures there and a pointer into the task.
    Described(Pairs),
    /// The same in the rows of groups, of one column: those of an object in the task or of a list with the groups' names, each with where in
    /// it the description is.
    DescribedGroups(&'static str, &'static str),
    /// The pairs of a matrix.
    Pairs,
    /// The pairs of a matrix of rank correlations.
    Ranks,
    /// A table with totals, of which no small cell can be derived.
    Margins,
    /// A table of rounded counts: what is rounded to 0 has no row.
    Rounded,
}

struct Case {
    job: &'static str,
    tables: &'static [Table],
    task: (&'static str, &'static str),
    figures: Figures,
}

/// Whole numbers and truth values are equal, others but for rounding.
#[track_caller]
fn alike(what: &str, got: &Value, expected: &Value) {
    match got {
        Value::Bool(_) => assert_eq!(got, expected, "{what}"),
        got if got.is_i64() => equal(what, got, expected),
        got => same(what, got, expected),
    }
}

fn as_text(value: &Value) -> String {
    value.to_string().trim_matches('"').to_owned()
}

fn groups(result: &Value, list: &[Value], (keys, cells): (Pairs, Pairs)) {
    assert_eq!(rows(result).len(), list.len());
    for expected in list {
        let is = |row: &&Value| {
            let mut keys = keys.iter();
            keys.all(|(column, key)| as_text(field(result, row, column)) == as_text(&expected[key]))
        };
        let got = rows(result).iter().find(is);
        let got = got.unwrap_or_else(|| panic!("no row for {expected}"));
        for (column, name) in cells {
            let value = expected.pointer(&format!("/{name}")).expect("a figure");
            alike(column, field(result, got, column), value);
        }
    }
}

/// The keys come first in a row, and stand in a name with bars between them.
fn named(result: &Value, object: &Value, cells: Pairs) {
    let object = object.as_object().expect("an object");
    assert_eq!(rows(result).len(), object.len());
    for (name, expected) in object {
        let n_keys = name.split('|').count();
        let of_keys = |row: &Value| {
            let keys = (0..n_keys).map(|i| as_text(&row[i]));
            keys.collect::<Vec<_>>().join("|")
        };
        let got = rows(result).iter().find(|row| of_keys(row) == *name);
        let got = got.unwrap_or_else(|| panic!("no row for {name}"));
        for (column, of) in cells {
            alike(name, field(result, got, column), &expected[of]);
        }
    }
}

/// All pairs of columns, in the order of the matrix's upper half.
fn ranks(result: &Value, task: &Value) {
    let n = task["spearman"].as_array().expect("a matrix").len();
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    for (row, (i, j)) in rows(result).iter().zip(pairs) {
        let got = field(result, row, "spearman");
        same("spearman", got, &task["spearman"][i][j]);
    }
    assert_eq!(rows(result).len(), n * (n - 1) / 2);
}

/// The figures of a description by the names that the jobs give them.
const DESCRIBED: &[(&str, &str)] = &[
    ("n", "/n_valid"),
    ("sum", "/sum"),
    ("mean", "/mean"),
    ("var", "/var"),
    ("sd", "/sd"),
    ("min", "/min"),
    ("max", "/max"),
    ("p05", "/quantiles_type7/p05"),
    ("p25", "/quantiles_type7/p25"),
    ("p50", "/quantiles_type7/p50"),
    ("p75", "/quantiles_type7/p75"),
    ("p95", "/quantiles_type7/p95"),
    ("d05", "/quantiles_type1/p05"),
    ("d25", "/quantiles_type1/p25"),
    ("d50", "/quantiles_type1/p50"),
    ("d75", "/quantiles_type1/p75"),
    ("d95", "/quantiles_type1/p95"),
];

/// All of them; those of a column that nobody can lack count all rows.
fn described(result: &Value, row: &Value, (name, task): (&str, Option<&Value>)) {
    let task = task.expect("a description");
    for (figure, pointer) in DESCRIBED {
        let column = format!("{name}_{figure}");
        let value = task.pointer(pointer).expect("a figure");
        alike(&column, field(result, row, &column), value);
    }
    let missing = task["n_missing"].as_i64().expect("a count");
    let n = task["n_valid"].as_i64().expect("a count") + missing;
    equal("n", &n.into(), &task["n"]);
}

/// The group's name is the first column.
fn described_groups(result: &Value, task: &Value, (name, pointer): (&str, &str)) {
    let groups: Vec<(String, &Value)> = match task {
        Value::Object(groups) => groups.iter().map(|(key, of)| (key.clone(), of)).collect(),
        Value::Array(groups) => groups.iter().map(|of| (as_text(&of["test"]), of)).collect(),
        other => panic!("{other} has no groups"),
    };
    assert_eq!(rows(result).len(), groups.len());
    for (key, of) in groups {
        let got = rows(result).iter().find(|row| as_text(&row[0]) == key);
        let got = got.unwrap_or_else(|| panic!("no row for {key}"));
        described(result, got, (name, of.pointer(pointer)));
    }
}

fn rounded(result: &Value, task: &Value) {
    let names = |of: &str| task[of].as_array().expect("names").clone();
    let mut n_rows = 0;
    for (i, row) in names("rows").iter().enumerate() {
        for (j, column) in names("cols").iter().enumerate() {
            let expected = &task["rounded_to_5"][i][j];
            let is = |got: &&Value| got[0] == *row && got[1] == *column;
            match rows(result).iter().find(is) {
                Some(got) => equal("n", &got[2], expected),
                None => assert_eq!(*expected, 0, "{row}, {column}"),
            }
            n_rows += usize::from(*expected != 0);
        }
    }
    assert_eq!(rows(result).len(), n_rows);
    assert!(n_rows > 0);
    let notes = result["notes"].as_array().expect("notes");
    let says = |note: &Value| {
        let note = note.as_str().unwrap_or_default();
        note.contains("multiples of 5, halves up, as the job demands")
    };
    assert!(notes.iter().any(says), "the rule and its value");
    assert!(!result["notes"].to_string().contains("exact\""), "{result}");
}

impl Case {
    fn run(&self, parts: &Parts) -> Value {
        run(parts, self.job)
    }

    fn check(&self, result: &Value, task: &Value) {
        println!("{}", self.job);
        match &self.figures {
            Figures::Pairs => correlations(result, task),
            Figures::Ranks => ranks(result, task),
            Figures::Margins => no_small_cell_is_told(result, task),
            Figures::Rounded => rounded(result, task),
            Figures::Named { object, cells } => {
                named(result, task.pointer(object).expect("an object"), cells);
            }
            Figures::Described(columns) => {
                for (name, pointer) in *columns {
                    described(result, &rows(result)[0], (name, task.pointer(pointer)));
                }
            }
            Figures::DescribedGroups(name, pointer) => {
                described_groups(result, task, (name, pointer));
            }
            Figures::Row(pairs) => {
                let got = &rows(result)[0];
                for (column, pointer) in *pairs {
                    let value = task.pointer(pointer).expect("a figure");
                    alike(column, field(result, got, column), value);
                }
            }
            Figures::Groups { list, keys, cells } => {
                let list = task.pointer(list).and_then(Value::as_array);
                groups(result, list.expect("a list"), (keys, cells));
            }
        }
    }
}

/// Rows of a table that are dominated by few: of the two rules, the figures and what follows.
const DOMINANCE: Pairs = &[
    ("n", "n"),
    ("total", "total"),
    ("top2_share_pct", "top2_share_pct"),
    ("remainder_pct", "p_remainder_pct_of_largest"),
    ("is_top2_over_85", "nk_sensitive"),
    ("is_remainder_under_10", "p_sensitive"),
];

const CASES: [Case; 33] = [
    Case {
        job: "frequent-diagnoses-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "topk_diag1_public"),
        figures: Figures::Groups {
            list: "",
            keys: &[("diag_1", "value")],
            cells: &[("n", "count")],
        },
    },
    Case {
        job: "specialty-by-payer-with-totals",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "suppressed_specialty_payer"),
        figures: Figures::Margins,
    },
    Case {
        job: "operations-by-age-and-relation",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "suppressed_operations_age_relation"),
        figures: Figures::Margins,
    },
    Case {
        job: "rounded-specialty-by-payer",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "suppressed_specialty_payer"),
        figures: Figures::Rounded,
    },
    Case {
        job: "rounded-operations-by-age",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "suppressed_operations_age_relation"),
        figures: Figures::Rounded,
    },
    Case {
        job: "dominance-of-operations",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "dominance_operations"),
        figures: Figures::Named {
            object: "/cells",
            cells: DOMINANCE,
        },
    },
    Case {
        job: "dominance-of-stays",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "dominance_hospital"),
        figures: Figures::Named {
            object: "/cells",
            cells: DOMINANCE,
        },
    },
    Case {
        job: "amounts-of-funds",
        tables: &FUNDS,
        task: ("claims_euhealth.json", "horizontal_3_funds"),
        figures: Figures::Described(&[("amount", "/describe_amt_total")]),
    },
    Case {
        job: "amounts-by-fund",
        tables: &FUNDS,
        task: ("claims_euhealth.json", "horizontal_3_funds/by_fund"),
        figures: Figures::DescribedGroups("amount", ""),
    },
    Case {
        job: "amounts-of-the-top-percent",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "top1pct_share"),
        figures: Figures::Row(&[("members", "/members"), ("share", "/share")]),
    },
    Case {
        job: "correlations-of-use",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "corr"),
        figures: Figures::Pairs,
    },
    Case {
        job: "rank-correlations-of-visits",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "corr"),
        figures: Figures::Ranks,
    },
    Case {
        job: "rank-correlations-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "corr_public"),
        figures: Figures::Ranks,
    },
    Case {
        job: "measurements-of-persons",
        tables: &NAFLD,
        task: ("surv_nafld.json", "join_rows"),
        figures: Figures::Row(&[("n", "/lab_join_clinic")]),
    },
    Case {
        job: "describe-stays-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "describe_public"),
        figures: Figures::Described(&[
            ("days", "/time_in_hospital"),
            ("drugs", "/num_medications"),
            ("tests", "/num_lab_procedures"),
            ("earlier", "/number_inpatient"),
        ]),
    },
    Case {
        job: "describe-stays-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "joint_counts"),
        figures: Figures::Row(&[
            ("n", "/encounters"),
            ("patients", "/distinct_patients"),
            ("days_sum", "/bed_days"),
        ]),
    },
    Case {
        job: "stays-by-diagnosis-and-payer",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "groupby_diag_payer"),
        figures: Figures::Groups {
            list: "/released",
            keys: &[("diag_group", "diag_group"), ("payer_code", "payer_code")],
            cells: &[
                ("patients", "cohort"),
                ("stays", "encounters"),
                ("mean_days", "los_mean"),
                ("sd_days", "los_sd"),
                ("readmitted", "readmit30_rate"),
                ("drugs", "meds_sum"),
            ],
        },
    },
    Case {
        job: "diagnoses-of-many-stays",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "groupby_having"),
        figures: Figures::Groups {
            list: "/rows",
            keys: &[("diag_group", "diag_group")],
            cells: &[("stays", "n"), ("mean_days", "los_mean")],
        },
    },
    Case {
        job: "stays-per-member",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "claims_per_patient_public"),
        figures: Figures::Row(&[
            ("one", "/distribution/1"),
            ("two", "/distribution/2"),
            ("three", "/distribution/3"),
            ("four", "/distribution/4"),
            ("five", "/distribution/5"),
            ("more", "/6_or_more"),
            ("most", "/max"),
        ]),
    },
    Case {
        job: "first-stay-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "dedupe_first_encounter_public"),
        figures: Figures::Row(&[("n", "/n"), ("days_sum", "/los/sum")]),
    },
    Case {
        job: "first-stay-of-members",
        tables: &HOSPITALS_AND_INSURERS,
        task: ("claims_diabetes130.json", "dedupe_first_encounter_public"),
        figures: Figures::Described(&[("days", "/los")]),
    },
    Case {
        job: "amounts-of-patients",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "inner_join_a_c"),
        figures: Figures::Described(&[
            ("total", "/amt_total"),
            ("hospital", "/amt_hospitalizations"),
        ]),
    },
    Case {
        job: "amounts-of-patients",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "inner_join_a_c"),
        figures: Figures::Row(&[("n", "/n"), ("a_stay", "/cost_per_hospitalisation")]),
    },
    Case {
        job: "use-by-relation-and-sex",
        tables: &EUHEALTH,
        task: ("claims_euhealth.json", "groupby_relation_gender"),
        figures: Figures::Groups {
            list: "/released",
            keys: &[("relation", "relation"), ("gender", "gender")],
            cells: &[
                ("members", "cohort"),
                ("years", "exposure"),
                ("amount", "amt_sum"),
                ("mean", "amt_mean"),
                ("sd", "amt_sd"),
                ("visits", "visits"),
            ],
        },
    },
    Case {
        job: "measurements-by-test",
        tables: &NAFLD,
        task: ("surv_nafld.json", "lab_tests"),
        figures: Figures::DescribedGroups("value", "/value"),
    },
    Case {
        job: "measurements-by-test",
        tables: &NAFLD,
        task: ("surv_nafld.json", "lab_tests"),
        figures: Figures::Groups {
            list: "",
            keys: &[("test", "test")],
            cells: &[("measurements", "rows"), ("persons", "persons")],
        },
    },
    Case {
        job: "measurements-by-test-and-sex",
        tables: &NAFLD,
        task: ("surv_nafld.json", "groupby_test_sex"),
        figures: Figures::Groups {
            list: "/released",
            keys: &[("test", "test"), ("male", "male")],
            cells: &[
                ("persons", "cohort"),
                ("n", "rows"),
                ("mean", "mean"),
                ("sd", "sd"),
            ],
        },
    },
    Case {
        job: "events-of-persons",
        tables: &NAFLD,
        task: ("surv_nafld.json", "events"),
        figures: Figures::Groups {
            list: "",
            keys: &[("event", "event")],
            cells: &[("events", "rows"), ("persons", "persons")],
        },
    },
    Case {
        job: "describe-tumours",
        tables: &ROTTERDAM,
        task: ("surv_rotterdam.json", "describe"),
        figures: Figures::Described(&[
            ("age", "/age"),
            ("nodes", "/nodes"),
            ("pgr", "/pgr"),
            ("er", "/er"),
        ]),
    },
    Case {
        job: "describe-loans",
        tables: &TAIWAN,
        task: ("credit_taiwan.json", "describe"),
        figures: Figures::Row(&[
            ("n", "/age/n"),
            ("limit_bal_n", "/limit_bal/n_valid"),
            ("limit_bal_sum", "/limit_bal/sum"),
            ("limit_bal_mean", "/limit_bal/mean"),
            ("limit_bal_var", "/limit_bal/var"),
            ("age_n", "/age/n_valid"),
            ("age_sum", "/age/sum"),
            ("age_mean", "/age/mean"),
            ("age_var", "/age/var"),
            ("age_min", "/age/min"),
            ("age_max", "/age/max"),
            ("age_p05", "/age/quantiles_type7/p05"),
            ("age_p25", "/age/quantiles_type7/p25"),
            ("age_p50", "/age/quantiles_type7/p50"),
            ("age_p75", "/age/quantiles_type7/p75"),
            ("age_p95", "/age/quantiles_type7/p95"),
            ("bill_amt1_n", "/bill_amt1/n_valid"),
            ("bill_amt1_sum", "/bill_amt1/sum"),
            ("bill_amt1_mean", "/bill_amt1/mean"),
            ("bill_amt1_var", "/bill_amt1/var"),
            ("pay_amt1_n", "/pay_amt1/n_valid"),
            ("pay_amt1_sum", "/pay_amt1/sum"),
            ("pay_amt1_mean", "/pay_amt1/mean"),
            ("pay_amt1_var", "/pay_amt1/var"),
        ]),
    },
    Case {
        job: "default-by-education",
        tables: &TAIWAN,
        task: ("credit_taiwan.json", "groupby_education"),
        figures: Figures::Groups {
            list: "/released",
            keys: &[("education", "education"), ("marriage", "marriage")],
            cells: &[
                ("n", "cohort"),
                ("bad_rate", "bad_rate"),
                ("limit_mean", "limit_mean"),
            ],
        },
    },
    Case {
        job: "chi-square-default-by-education",
        tables: &TAIWAN,
        task: ("credit_taiwan.json", "crosstab_education_default"),
        figures: Figures::Row(&[
            ("chi_square", "/chi2"),
            ("df", "/df"),
            ("p", "/p"),
            ("cramers_v", "/cramers_v"),
            ("n", "/n"),
            ("min_expected", "/min_expected"),
        ]),
    },
    Case {
        job: "correlations-of-loans",
        tables: &TAIWAN,
        task: ("credit_taiwan.json", "corr"),
        figures: Figures::Pairs,
    },
];

#[test]
fn jobs_over_several_holders_give_the_expected_figures() {
    let Some(shared) = shared() else { return };
    let mut last = ("", Value::Null);
    for case in &CASES {
        let (file, name) = case.task;
        if last.0 != case.job {
            last = (case.job, case.run(&parts(&shared, case.tables)));
        }
        let task = expected(&shared, file);
        let task = task.pointer(&format!("/{name}")).expect("a task");
        case.check(&last.1, task);
    }
}
