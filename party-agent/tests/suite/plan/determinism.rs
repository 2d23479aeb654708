//! The same plan, byte for byte, wherever and however often it is compiled; another plan for another job.

use std::collections::BTreeSet;

use party_agent::plan::compile;

use super::fixture::{Catalogues, hospitals, job_with, party, plan, spec};

const SQL: &str = "SELECT diag_group, HISTOGRAM(time_in_hospital, 1, 4, 14) AS days, COUNT(*) AS n, AVG(charges) AS c, STDDEV_SAMP(weight) AS w FROM {e} e WHERE emergency GROUP BY diag_group, days HAVING COUNT(*) >= 20 ORDER BY n DESC LIMIT 5";

fn text() -> String {
    let privacy = "correlations = \"dealer:notary\"\nmin_cell = 11\njoin = \"hidden\"\n[limits]\nmax_wall = \"30m\"\n";
    job_with(SQL, "diag_group = [\"circulatory\", \"diabetes\"]", privacy)
}

#[test]
fn a_hundred_compiles_give_one_digest() {
    let spec = spec(&text());
    let first = compile(&spec, &hospitals()).expect("a plan");
    for round in 0..100 {
        // Catalogues arrive in any order; some runs share a thread's caches, some do not.
        let mut catalogues = Catalogues::new();
        let mut entries: Vec<_> = hospitals().into_iter().collect();
        entries.rotate_left(round % 5);
        if round % 2 == 1 {
            entries.reverse();
        }
        catalogues.extend(entries);
        let again = std::thread::spawn({
            let spec = spec.clone();
            move || compile(&spec, &catalogues).expect("a plan")
        });
        let again = again.join().expect("no panic");
        assert_eq!(again.canonical(), first.canonical(), "compile {round}");
        assert_eq!(again.digest(), first.digest());
        assert_eq!(again.explain(), first.explain());
    }
}

#[test]
fn parties_that_take_no_part_change_nothing() {
    let mut more = hospitals();
    more.insert(
        party("bystander"),
        super::fixture::catalogue("bystander", Vec::new()),
    );
    let with = plan(&text(), &more);
    assert_eq!(with.digest(), plan(&text(), &hospitals()).digest());
}

#[test]
fn every_field_of_a_job_changes_the_digest() {
    let changes = [
        ("job = \"test\"", "job = \"best\""),
        ("a test", "another test"),
        ("[\"analyst\"]", "[\"analyst\", \"hospital_1\"]"),
        ("COUNT(*) AS n", "COUNT(*) AS m, COUNT(*) AS n"),
        ("WHERE emergency", "WHERE NOT emergency"),
        (">= 20", ">= 21"),
        ("LIMIT 5", "LIMIT 6"),
        ("14)", "13)"),
        ("\"circulatory\", ", ""),
        ("dealer:notary", "ot"),
        ("min_cell = 11", "min_cell = 12"),
        ("\"hidden\"", "\"size\""),
        ("30m", "31m"),
    ];
    let mut digests = BTreeSet::from([plan(&text(), &hospitals()).digest()]);
    for (from, to) in changes {
        let changed = text().replacen(from, to, 1);
        assert_ne!(changed, text(), "{from}");
        assert!(
            digests.insert(plan(&changed, &hospitals()).digest()),
            "{from} → {to}"
        );
    }
}

#[test]
fn what_catalogues_publish_changes_the_digest() {
    let plain = plan(&text(), &hospitals()).digest();
    let changed = |change: &dyn Fn(&mut Catalogues)| {
        let mut catalogues = hospitals();
        change(&mut catalogues);
        plan(&text(), &catalogues).digest()
    };
    let entry = |c: &mut Catalogues, f: &dyn Fn(&mut party_agent::catalogue::TableEntry)| {
        let hospital = c.get_mut(&party("hospital_2")).expect("it is there");
        f(hospital.tables.get_mut("encounters").expect("it is there"));
    };
    let rows = changed(&|c| entry(c, &|t| t.rows_at_most *= 2));
    let range = changed(&|c| {
        entry(c, &|t| {
            let charges = t
                .columns
                .iter_mut()
                .find(|c| c.name == "charges")
                .expect("charges");
            charges.range = None;
        });
    });
    let min_cell = changed(&|c| {
        c.get_mut(&party("hospital_2"))
            .expect("it is there")
            .min_cell = 30
    });
    let all = BTreeSet::from([plain, rows, range, min_cell]);
    assert_eq!(all.len(), 4);
}
