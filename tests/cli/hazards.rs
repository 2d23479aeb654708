//! Proportional hazards over a hidden join, by real processes: against the figures of plain Python on the pooled patients, and what is said where
//! there is no model.
//!
//! The data are not in this repository. Where they are absent the first test prints `skipped: no shared data`.

use crate::figures::{Parts, expected, shared};
use crate::run::{Ended, job};
use crate::vertical::{cells, check_in_deviations};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A table as its holder publishes it: keys and numbers.
struct Published {
    header: &'static str,
    rows: BTreeMap<String, Vec<f64>>,
}

impl Published {
    fn of(header: &'static str, file: &Path, row: impl Fn(&[&str]) -> Vec<f64>) -> Self {
        let text = fs::read_to_string(file).expect("a table");
        let rows = cells(&text).map(|cells| (cells[0].to_owned(), row(&cells)));
        Self {
            header,
            rows: rows.collect(),
        }
    }

    fn write(&self, file: &Path) {
        let mut text = format!("{}\n", self.header);
        for (key, values) in &self.rows {
            let values: Vec<String> = values.iter().map(f64::to_string).collect();
            writeln!(text, "{key},{}", values.join(",")).expect("text");
        }
        fs::write(file, text).expect("a file");
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

fn is(text: &str, value: &str) -> f64 {
    f64::from(u8::from(text == value))
}

#[test]
fn hazards_of_three_registers_are_those_of_the_pooled_patients() {
    let Some(shared) = shared() else {
        return;
    };
    let task = &expected(&shared, "surv_rotterdam.json")["cox_death"];
    let file = |name: &str| shared.join("surv_rotterdam").join(name);
    let patients = Published::of(
        "patient_id,age,meno,size_20_50,size_over_50,nodes,hormon,chemo,grade_3",
        &file("hospital.csv"),
        |row| {
            let sizes = [is(row[4], "20-50"), is(row[4], ">50")];
            let own = [number(row[2]), number(row[3]), sizes[0], sizes[1]];
            let rest = [6, 7, 8].map(|column| number(row[column]));
            [&own[..], &rest, &[is(row[5], "3")]].concat()
        },
    );
    let receptors = Published::of("patient_id,lpgr,ler", &file("lab.csv"), |row| {
        [1, 2]
            .map(|column| (number(row[column]) + 1.0).ln())
            .to_vec()
    });
    let follow_up = Published::of("patient_id,dtime,death", &file("registry.csv"), |row| {
        vec![number(row[3]), number(row[4])]
    });
    let directory = tempfile::tempdir().expect("a directory");
    let parties = [
        ("hospital", "patients", &patients),
        ("laboratory", "receptors", &receptors),
        ("registry", "follow_up", &follow_up),
    ];
    let mut parties: Vec<_> = parties
        .map(|(party, name, table)| {
            let file = directory.path().join(format!("{name}.csv"));
            table.write(&file);
            (party.to_owned(), vec![(name, file)])
        })
        .into();
    parties.push(("arbiter".to_owned(), vec![]));
    let keys = |table: &Published| table.rows.keys().cloned().collect::<BTreeSet<_>>();
    let common = &(&keys(&patients) & &keys(&receptors)) & &keys(&follow_up);
    let column = |table: &Published, place: usize| -> Vec<f64> {
        common.iter().map(|key| table.rows[key][place]).collect()
    };
    let decades = column(&patients, 0).into_iter().map(|age| age / 10.0);
    let mut columns = vec![decades.collect()];
    columns.extend((1..5).map(|place| column(&patients, place)));
    columns.extend((0..2).map(|place| column(&receptors, place)));
    columns.extend((5..8).map(|place| column(&patients, place)));
    let text = fs::read_to_string(job("train-hazards.toml")).expect("an example job");
    let parts = Parts::new(&parties);
    for ties in ["efron", "breslow"] {
        let text = text.replace("\"efron\"    ", &format!("\"{ties}\""));
        let found = parts.simulate(&text)["result"].clone();
        let mut of_ties = task[ties].clone();
        for name in ["n", "terms"] {
            of_ties[name] = task[name].clone();
        }
        check_in_deviations(&found, 0, &of_ties, &columns);
        let fit = &found["fit"];
        assert_eq!(
            (&fit["events"], &fit["ties"]),
            (&task["events"], &json!(ties))
        );
        let off = |value: &serde_json::Value| value.as_f64().expect("a figure");
        let off = off(&fit["loglik"]) - off(&task[ties]["loglik"]);
        assert!(off.abs() < 1e-2, "{fit}");
    }
}

const WARD: &str = r#"
job       = "ward"
purpose   = "test"
receivers = ["ward"]
[compute.train]
model     = "cox"
partition = "vertical"
time      = "register.ends.days"
event     = "register.ends.died"
features  = ["ward.beds.dose", "ward.beds.other"]
key       = "person"
steps     = 7
[privacy]
correlations = "ot"
"#;

/// Sixty people of a ward and a register, without a third party. `other`: what it is of a person's number and death.
fn ward(died: impl Fn(u32) -> bool, other: impl Fn(u32, bool) -> f64) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut ends, mut beds) = (
        "person,days,died\n".to_owned(),
        "person,dose,other\n".to_owned(),
    );
    for person in 0..60 {
        let (died, dose) = (died(person), f64::from(person * 37 % 11));
        let days = 10 + person * 29 % 50;
        writeln!(ends, "{person},{days},{}", u8::from(died)).expect("text");
        writeln!(beds, "{person},{dose},{}", other(person, died)).expect("text");
    }
    let parties = [("register", "ends", ends), ("ward", "beds", beds)];
    let parties = parties.map(|(party, table, text)| {
        let file = directory.path().join(format!("{table}.csv"));
        fs::write(&file, text).expect("a file");
        (party.to_owned(), vec![(table, file)])
    });
    Parts::new(&parties).ended(WARD)
}

#[test]
fn hazards_without_a_third_party_and_what_is_none() {
    let third = |person: u32| person.is_multiple_of(3);
    let noise = |person: u32, _: bool| f64::from(person * 13 % 17);
    let found = ward(third, noise).expect(0).json()["result"].clone();
    assert_eq!(found["fit"]["events"], 20);
    assert_eq!(found["rows"][0][0], "dose");
    assert_eq!(found["rows"].as_array().map(Vec::len), Some(2));
    let said = ward(|_| false, noise).expect(1).stderr;
    assert!(
        said.contains("events befell the people in common"),
        "{said}"
    );
    let said = ward(third, |_, died| f64::from(u8::from(died)))
        .expect(1)
        .stderr;
    assert!(
        said.contains("the likelihood is monotone, as it seems in other"),
        "{said}"
    );
    let said = ward(third, |person, _| 2.0 * f64::from(person * 37 % 11) + 1.0);
    let said = said.expect(1).stderr;
    assert!(
        said.contains("the design is singular") && said.contains("other"),
        "{said}"
    );
}
