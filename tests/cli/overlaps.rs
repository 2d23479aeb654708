//! Keys in common and lookups by the jobs in `examples/jobs`: every `psi_*` and `multi_lender_query` figure that plain Python
//! found on the pooled data, found by `simulate` on the parts.
//!
//! The data are not in this repository. Where they are absent the tests print `skipped: no shared data`.

use crate::figures::{Parts, expected, shared};
use crate::run::job;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;

/// A party, its table and key in jobs, and its file.
type Holder<'a> = (&'a str, &'a str, &'a str);

/// The parties of one set of data.
struct Set {
    parts: Parts,
    tasks: Value,
    key: &'static str,
    /// The table of each party.
    tables: BTreeMap<String, String>,
}

impl Set {
    fn new(data: &str, key: &'static str, holders: &[Holder<'_>]) -> Option<Self> {
        let shared = shared()?;
        let parties = holders.iter().map(|(party, table, file)| {
            let file = shared.join(data).join(file);
            ((*party).to_owned(), vec![(*table, file)])
        });
        let tables = holders.iter();
        Some(Self {
            parts: Parts::new(&parties.collect::<Vec<_>>()),
            tasks: expected(&shared, &format!("{data}.json")),
            key,
            tables: tables
                .map(|(party, table, _)| ((*party).to_owned(), (*table).to_owned()))
                .collect(),
        })
    }

    #[track_caller]
    fn figure(&self, path: &str) -> u64 {
        let figure = self.tasks.pointer(path).and_then(Value::as_u64);
        figure.unwrap_or_else(|| panic!("no figure {path}"))
    }

    /// A figure of `psi_cardinality`.
    #[track_caller]
    fn psi(&self, name: &str) -> u64 {
        self.figure(&format!("/psi_cardinality/{name}"))
    }

    /// Runs an example, with something in it changed.
    fn example(&self, name: &str, changes: &[(&str, &str)]) -> Counted {
        let mut text = fs::read_to_string(job(name)).expect("an example job");
        for (old, new) in changes {
            assert!(text.contains(old), "{name} has no {old}");
            text = text.replace(old, new);
        }
        Counted::of(&self.parts.simulate(&text)["result"])
    }

    /// Keys that these parties have in common: of two by curves, of more in shares.
    fn common(&self, parties: &[&str]) -> Counted {
        let label = |party: &&str| format!("\"{party}.{}.{}\"", self.tables[*party], self.key);
        let keys: Vec<String> = parties.iter().map(label).collect();
        let privacy = match parties.len() {
            2 => "",
            _ => "[privacy]\ncorrelations = \"ot\"\n",
        };
        let text = format!(
            "job = \"overlap\"\npurpose = \"test\"\nreceivers = [\"{}\"]\n[compute.intersect]\nkeys = [{}]\nreveal = \"count\"\n{privacy}",
            parties[0],
            keys.join(", ")
        );
        Counted::of(&self.parts.simulate(&text)["result"])
    }
}

/// What a job has counted.
struct Counted {
    common: u64,
    /// Different keys of each party, as the notes say.
    distinct: BTreeMap<String, u64>,
}

impl Counted {
    fn of(result: &Value) -> Self {
        let notes = result["notes"].as_array().expect("notes").iter();
        let distinct = notes.filter_map(|note| {
            let (party, rest) = note.as_str()?.split_once(" has ")?;
            let number = rest.strip_suffix(" different keys")?.parse().ok()?;
            Some((party.to_owned(), number))
        });
        Self {
            common: result["rows"][0][0].as_u64().expect("a count"),
            distinct: distinct.collect(),
        }
    }
}

#[test]
fn patients_of_hospitals_and_members_of_insurers() {
    let holders = [
        ("hospital_1", "encounters", "hospital_1.parquet"),
        ("hospital_2", "encounters", "hospital_2.parquet"),
        ("hospital_3", "encounters", "hospital_3.parquet"),
        ("insurer_public", "members", "insurer_public.parquet"),
        ("insurer_private", "members", "insurer_private.parquet"),
    ];
    let Some(set) = Set::new("claims_diabetes130", "patient_id", &holders) else {
        return;
    };
    let mut distinct = BTreeMap::new();
    let mut common = |parties: &[&str]| {
        let counted = set.common(parties);
        distinct.extend(counted.distinct);
        counted.common
    };
    let hospitals = ["hospital_1", "hospital_2", "hospital_3"];
    let mut pairs = 0;
    for (i, a) in hospitals.iter().enumerate() {
        for b in &hospitals[i + 1..] {
            let name = format!("{a}_and_{}", b.trim_start_matches("hospital_"));
            let found = common(&[a, b]);
            assert_eq!(found, set.psi(&name), "{name}");
            pairs += found;
        }
    }
    let mut of_public = 0;
    for hospital in hospitals {
        for insurer in ["insurer_public", "insurer_private"] {
            let name = format!("{hospital}_and_{insurer}");
            let found = common(&[hospital, insurer]);
            assert_eq!(found, set.psi(&name), "{name}");
            of_public += found * u64::from(insurer == "insurer_public");
        }
    }
    // Whoever is in several hospitals was counted several times.
    for [a, b] in [[0, 1], [0, 2], [1, 2]] {
        of_public -= common(&[hospitals[a], hospitals[b], "insurer_public"]);
    }
    of_public += common(&["hospital_1", "hospital_2", "hospital_3", "insurer_public"]);
    assert_eq!(of_public, set.psi("union_hospitals_and_insurer_public"));
    let all = set.example("patients-of-three-hospitals.toml", &[]).common;
    assert_eq!(all, set.psi("all_three_hospitals"));
    let singles: u64 = hospitals.iter().map(|h| distinct[*h]).sum();
    assert_eq!(singles - pairs + all, set.psi("union_hospitals"));
    for (party, n) in &distinct {
        assert_eq!(
            *n,
            set.psi(&format!("distinct_patients/{party}")),
            "{party}"
        );
    }
    assert_eq!(distinct.len(), holders.len());
}

#[test]
fn members_whose_ids_are_written_in_many_ways() {
    let holders = [
        ("hospital_1", "encounters", "hospital_1.parquet"),
        ("insurer_public", "members", "insurer_public_dirty.parquet"),
    ];
    let Some(set) = Set::new("claims_diabetes130", "patient_id", &holders) else {
        return;
    };
    let figure = |name: &str| set.figure(&format!("/psi_dirty_ids/{name}"));
    let counted = set.example("overlap.toml", &[]);
    let expected = figure("normalised_intersection_hospital_1");
    assert_eq!(counted.common, expected);
    assert_eq!(counted.distinct["insurer_public"], figure("rows"));
    let raw = set.example("overlap.toml", &[("\"upper_alnum\"", "\"none\"")]);
    assert_eq!(raw.common, figure("raw_intersection_hospital_1"));
}

#[test]
fn persons_served_and_insured() {
    let holders = [
        ("hospital_a", "patients", "hospital_a.parquet"),
        ("clinic_b", "patients", "clinic_b.parquet"),
        ("insurer_c", "members", "insurer_c.parquet"),
    ];
    let Some(set) = Set::new("claims_euhealth", "member_id", &holders) else {
        return;
    };
    let all = set.example("served-and-insured.toml", &[]);
    assert_eq!(all.common, set.psi("a_and_b_and_c"));
    for (party, n) in &all.distinct {
        assert_eq!(*n, set.psi(party), "{party}");
    }
    let a_and_c = set.common(&["hospital_a", "insurer_c"]).common;
    let b_and_c = set.common(&["clinic_b", "insurer_c"]).common;
    assert_eq!(a_and_c, set.psi("a_and_c"));
    assert_eq!(b_and_c, set.psi("b_and_c"));
    assert_eq!(a_and_c + b_and_c - all.common, set.psi("a_or_b_in_c"));
}

#[test]
fn customers_of_banks_and_a_bureau() {
    let tables = |b: &'static str| {
        [
            ("bank_a", "loans", "bank_a.csv"),
            ("bank_b", "bills", b),
            ("bureau_c", "persons", "bureau_c.csv"),
        ]
    };
    let of = |b| Set::new("credit_taiwan", "id_no", &tables(b));
    let (Some(set), Some(dirty)) = (of("bank_b.csv"), of("bank_b_dirty.csv")) else {
        return;
    };
    let all = set.example("overlap-of-three.toml", &[]);
    assert_eq!(all.common, set.psi("a_b_c"));
    for (party, n) in &all.distinct {
        assert_eq!(*n, set.psi(party), "{party}");
    }
    let ab = set.common(&["bank_a", "bank_b"]).common;
    assert_eq!(ab, set.psi("a_and_b"));
    let ac = set.common(&["bank_a", "bureau_c"]).common;
    assert_eq!(ac, set.psi("a_and_c"));
    let raw = dirty.common(&["bank_a", "bank_b"]).common;
    assert_eq!(raw, set.psi("dirty_raw"));
    let two = [(", \"bureau_c.persons.id_no\"", "")];
    let normalised = dirty.example("overlap-of-three.toml", &two).common;
    assert_eq!(normalised, set.psi("dirty_normalised"));
}

#[test]
fn persons_with_values_and_events() {
    let holders = [
        ("clinic", "persons", "clinic_person.parquet"),
        ("lab", "measurements", "lab_measurement.parquet"),
        ("registry", "events", "registry_event.parquet"),
    ];
    let Some(set) = Set::new("surv_nafld", "patient_id", &holders) else {
        return;
    };
    let all = set.example("measured-and-registered.toml", &[]);
    assert_eq!(all.common, set.psi("all_three"));
    for (party, figure) in [
        ("clinic", "clinic"),
        ("lab", "lab_persons"),
        ("registry", "registry_persons"),
    ] {
        assert_eq!(all.distinct[party], set.psi(figure), "{party}");
    }
    let two = set.common(&["clinic", "lab"]).common;
    assert_eq!(two, set.psi("clinic_and_lab"));
}

#[test]
fn patients_followed_up() {
    let holders = [
        ("hospital", "patients", "hospital.csv"),
        ("lab", "samples", "lab.csv"),
        ("registry", "follow_up", "registry.csv"),
    ];
    let Some(set) = Set::new("surv_rotterdam", "patient_id", &holders) else {
        return;
    };
    let all = set.example("complete-cases.toml", &[]);
    assert_eq!(all.common, set.psi("all_three"));
    let two = set.common(&["hospital", "registry"]).common;
    assert_eq!(two, set.psi("hospital_and_registry"));
}

/// In how many lenders' lists each applicant is, told by shares, and then by each list.
#[test]
fn applicants_on_the_lists_of_other_lenders() {
    let holders = [
        ("bank_a", "applicants", "query_ids.csv"),
        ("lender_1", "blacklist", "blacklist_1.csv"),
        ("lender_2", "blacklist", "blacklist_2.csv"),
        ("lender_3", "blacklist", "blacklist_3.csv"),
    ];
    let Some(set) = Set::new("credit_taiwan", "id_no", &holders) else {
        return;
    };
    let task = &set.tasks["multi_lender_query"];
    let text = fs::read_to_string(job("multi-lender.toml")).expect("an example job");
    let rows_of = |text: &str| set.parts.simulate(text)["result"]["rows"].clone();
    let of_row = |row: &Value, hits: u64| {
        let id = row[0].as_str().expect("an id").to_owned();
        (id, hits)
    };
    let summed = rows_of(&text);
    let summed = summed.as_array().expect("rows").iter();
    let hits: BTreeMap<String, u64> = summed
        .map(|row| of_row(row, row[1].as_u64().expect("hits")))
        .collect();
    assert_eq!(Some(hits.len() as u64), task["ids"].as_u64());
    for (hits_of, n) in task["hits_by_count"].as_object().expect("counts") {
        let found = hits.values().filter(|h| h.to_string() == *hits_of).count();
        assert_eq!(Some(found as u64), n.as_u64(), "{hits_of} hits");
    }
    let all_three = hits.iter().filter(|(_, n)| **n == 3).map(|(id, _)| id);
    let expected = task["ids_on_all_three"].as_array().expect("ids").iter();
    assert!(all_three.eq(expected.map(|id| id.as_str().expect("an id"))));
    let lines: Vec<String> = hits.iter().map(|(id, n)| format!("{id},{n}")).collect();
    let digest = Sha256::digest(lines.join("\n").as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Some(digest.as_str()), task["sha256_of_csv"].as_str());

    let listed = rows_of(&text.replace("combine = \"sum\"", "combine = \"list\""));
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for row in listed.as_array().expect("rows") {
        let (id, found) = of_row(row, u64::from(row[2] == true));
        *told.entry(id).or_default() += found;
    }
    assert_eq!(told, hits);
}
