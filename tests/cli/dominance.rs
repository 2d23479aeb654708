//! Sums over a join that one person dominates, by real processes.

use crate::joins::holder;
use crate::run::{entente, party};
use serde_json::json;
use std::fs;

/// The vectors of rules about dominance, each person's contribution in two rows that meet two rows of the other holder or one: what
/// is compared is what a person adds to the joined rows.
#[test]
fn sums_that_a_person_dominates_are_held_back_over_a_join() {
    let dir = tempfile::tempdir().expect("a directory");
    let vectors = [("x", [900, 50, 40, 5, 5]), ("y", [300, 250, 200, 150, 100])];
    let (mut kinds, mut bills) = ("id,kind\n".to_owned(), "id,paid\n".to_owned());
    for (kind, values) in vectors {
        for (i, value) in values.iter().enumerate() {
            // Every other person stands twice in the registry, and pays half as much each time.
            let times = 1 + i % 2;
            kinds.push_str(&format!("{kind}{i},{kind}\n").repeat(times));
            let paid = 100 * value / times;
            bills.push_str(&format!("{kind}{i},{}\n{kind}{i},30\n", paid - 30));
        }
    }
    bills.push_str("nobody,1000000\n");
    let mut parties = holder(
        dir.path(),
        "registry",
        ("kinds", &kinds),
        "id = { join_key = true }\nkind = { group_by = true, categories = [\"x\", \"y\"] }\n",
    )
    .to_vec();
    parties.extend(holder(
        dir.path(),
        "payer",
        ("bills", &bills),
        "id = { join_key = true }\npaid = { aggregate = [\"sum\"], range = [0, 1000000] }\n\
         [tables.bills.dominance]\ncontributor = \"id\"\nelsewhere = true\np_percent = 10\n",
    ));
    let notary = dir.path().join("notary");
    fs::create_dir(&notary).expect("a directory");
    for source in ["ot", "dealer:notary"] {
        let job = dir.path().join("job.toml");
        let text = format!(
            "job = \"paid\"\npurpose = \"test\"\nreceivers = [\"registry\"]\n[compute]\nsql = \"SELECT r.kind, SUM(b.paid) AS paid \
             FROM payer.bills b JOIN registry.kinds r ON b.id = r.id GROUP BY r.kind\"\n[privacy]\ncorrelations = \"{source}\"\nmin_cell = 3\n"
        );
        fs::write(&job, text).expect("a job");
        let words = ["simulate", &job.display().to_string(), "--json"].map(str::to_owned);
        let mut words = [&words[..], &parties].concat();
        if source != "ot" {
            words.extend(["--party".to_owned(), party("notary", &notary)]);
        }
        let result = entente(words).expect(0).json()["result"].clone();
        assert_eq!(
            result["rows"],
            json!([["y", 100_000]]),
            "{source}: {result}"
        );
        let held = &result["suppressed"];
        assert_eq!(held[0]["group"]["kind"], "x", "{result}");
        assert_eq!(held[0]["reason"], "min_cell and dominance", "{result}");
        assert!(
            result["notes"].to_string().contains("p% with p = 10"),
            "{result}"
        );
    }
}
