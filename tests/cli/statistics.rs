//! Statistics that stand alone in a SELECT, by real processes: the figures that plain Python computed on the pooled data.

use crate::figures::{equal, expected, hospitals, members_encounters, row, rows, same, shared};
use serde_json::Value;

/// The value of a column in a row.
fn field<'a>(result: &Value, row: &'a Value, name: &str) -> &'a Value {
    let columns = result["columns"].as_array().expect("columns");
    let place = columns.iter().position(|c| c["name"] == name);
    &row[place.unwrap_or_else(|| panic!("no column {name}"))]
}

/// Checks n, mean and variance of a group, and the columns that are the same in all rows.
fn groups(result: &Value, expected: &[(&str, &Value, &Value, &Value)], whole: &[(&str, &Value)]) {
    assert_eq!(rows(result).len(), expected.len());
    for (name, n, mean, var) in expected {
        let got = row(result, &[name]);
        equal(name, field(result, got, "n"), n);
        same(name, field(result, got, "mean"), mean);
        let sd = field(result, got, "sd").as_f64().expect("a number");
        same(name, &(sd * sd).into(), var);
        for (column, value) in whole {
            same(column, field(result, got, column), value);
        }
    }
}

#[test]
fn tests_over_three_hospitals_rows() {
    let Some(shared) = shared() else { return };
    let (parts, tasks) = (
        hospitals(&shared),
        expected(&shared, "claims_diabetes130.json"),
    );
    let both = members_encounters(&["public", "private"]);
    let task = &tasks["ttest_los"];
    for (function, form) in [("T_TEST", "welch"), ("T_TEST_STUDENT", "student")] {
        let result = parts.run(
            "hospital_1",
            11,
            &format!("SELECT {function}(los, ins) FROM {both}"),
        );
        let of = |i: usize| (&task["n"][i], &task["mean"][i], &task["var"][i]);
        let expected = [("public", 0), ("private", 1)].map(|(name, i)| {
            let (n, mean, var) = of(i);
            (name, n, mean, var)
        });
        let whole = ["t", "df", "p"].map(|c| (c, &task[form][c]));
        groups(&result, &expected, &whole);
    }
}
