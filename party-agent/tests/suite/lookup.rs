//! Private lookups between whole agents over QUIC: lists, sums and yes or no, limits, and the multi-lender query of
//! `shared/data/expected`.

use std::path::{Path, PathBuf};

use party_agent::agent::Mode;
use serde_json::{Value, json};

use crate::intersect::{Agents, Side, expected, shared};
use crate::world::World;

fn job(table: &str, queries: &str, more: &str) -> String {
    format!(
        "job = \"lookup\"\npurpose = \"IRB 7\"\nreceivers = [\"bank\"]\n[compute.lookup]\ntable = {table}\nkey = \"id\"\nqueries = {queries:?}\n{more}\n"
    )
}

const LENDERS: &str = r#"["lender_1.black", "lender_2.black", "lender_3.black"]"#;
const QUERIES: &str = "bank.people.id";

fn rows(side: &Side) -> Value {
    side.result.as_ref().expect("a result")["rows"].clone()
}

/// A bank, and three lenders with a list each.
async fn town() -> (tempfile::TempDir, Agents) {
    let files = tempfile::tempdir().expect("a directory");
    let tables = [
        ("bank", "people", "id\nA-1\nb2\nA1\nc3\nd4\n"),
        (
            "lender_1",
            "black",
            "id,hits,since\na1,2,2026-01-01\nc3,5,\nx9,1,2026-03-01\n",
        ),
        (
            "lender_2",
            "black",
            "id,hits,since\nA1,3,2026-02-02\na-1,4,2026-02-03\n,9,2026-01-01\n",
        ),
        ("lender_3", "black", "id,hits,since\nC3,-5,2026-01-09\n"),
    ];
    let parties = tables.map(|(party, table, csv)| {
        let path: PathBuf = files.path().join(format!("{party}.csv"));
        std::fs::write(&path, csv).expect("written");
        (party, vec![(table, path)])
    });
    let agents = Agents::start(&parties, None).await;
    (files, agents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tables_are_combined_and_only_the_asker_learns() {
    let (_files, town) = town().await;
    let run = async |more: &str| {
        let privacy = "at_most = 20\nnormalise = \"upper_alnum\"\n[privacy]\ncorrelations = \"ot\"";
        let sides = town
            .run(&job(LENDERS, QUERIES, &format!("{more}\n{privacy}")))
            .await;
        assert!(sides[1..].iter().all(|side| side.result.is_none()));
        sides
    };
    let sides = run("combine = \"sum\"").await;
    assert_eq!(
        rows(&sides[0]),
        json!([["A-1", 2], ["b2", 0], ["c3", 2], ["d4", 0]])
    );
    let result = sides[0].result.as_ref().expect("a result");
    assert_eq!(result["columns"][1], json!({"name": "hits", "type": "int"}));
    let asked = sides[0].receipt.local.keys.clone().expect("keys");
    assert_eq!(
        (asked.rows, asked.distinct, asked.duplicates, asked.missing),
        (5, 4, 1, 0)
    );
    let held = sides[2].receipt.local.keys.clone().expect("keys");
    assert_eq!(
        (held.rows, held.distinct, held.duplicates, held.missing),
        (3, 1, 1, 1)
    );
    let sides = run("combine = \"sum\"\nvalues = [\"hits\"]").await;
    assert_eq!(
        rows(&sides[0]),
        json!([["A-1", 9], ["b2", 0], ["c3", 0], ["d4", 0]])
    );
    let sides = run("combine = \"any\"").await;
    let yes_or_no = json!([["A-1", true], ["b2", false], ["c3", true], ["d4", false]]);
    assert_eq!(rows(&sides[0]), yes_or_no);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_what_each_table_has() {
    let (_files, town) = town().await;
    let rule = "normalise = \"upper_alnum\"";
    // Twice: the second time the tables are ready.
    for _ in 0..2 {
        let more = format!("values = [\"hits\", \"since\"]\n{rule}");
        let sides = town.run(&job("\"lender_2.black\"", QUERIES, &more)).await;
        assert_eq!(
            rows(&sides[0]),
            json!([
                ["A-1", "lender_2.black", true, 3, "2026-02-02"],
                ["A-1", "lender_2.black", true, 4, "2026-02-03"],
                ["b2", "lender_2.black", false, null, null],
                ["c3", "lender_2.black", false, null, null],
                ["d4", "lender_2.black", false, null, null],
            ])
        );
    }
    let both = r#"["lender_1.black", "lender_3.black"]"#;
    let sides = town.run(&job(both, QUERIES, rule)).await;
    let rows = rows(&sides[0]);
    assert_eq!(rows[4], json!(["c3", "lender_1.black", true]));
    assert_eq!(rows[5], json!(["c3", "lender_3.black", true]));
    assert_eq!(rows.as_array().map(Vec::len), Some(8));
    town.stop().await;
}

/// Files of tables in an agent's state, of one kind.
fn files_of(town: &Agents, party: usize, extension: &str) -> Vec<PathBuf> {
    let dir = town.agents[party].state_dir().join("tables");
    let entries = std::fs::read_dir(dir).expect("a directory of tables");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == extension));
    files.collect()
}

/// Bytes from a holder to the asker, and back: of a lookup in one table.
fn bytes(sides: &[Side]) -> (u64, u64) {
    let [there, back] = [0, 1].map(|side| {
        let sent = &sides[side].receipt.signed.receipt.bytes_sent;
        sent.values().sum()
    });
    (back, there)
}

fn change_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// A table goes out once for each state of its data, whatever is restarted in between, and again if somebody has touched a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_goes_out_once() {
    use std::os::unix::fs::PermissionsExt;

    const BANK: usize = 0;
    const LENDER: usize = 2;
    let (files, mut town) = town().await;
    let more = "values = [\"hits\"]\nnormalise = \"upper_alnum\"";
    let spec = job("\"lender_2.black\"", QUERIES, more);
    let row = |hits: i64| json!(["A-1", "lender_2.black", true, hits]);
    // Four questions: 32 bytes each way, a number of them, a proof; what the asker has, and whether that is it.
    let (only_answers, questions) = (4 * 32 + 64 + 53, 4 * 32 + 8 + 32);

    let first = town.run(&spec).await;
    assert_eq!(rows(&first[0])[1], row(4));
    let one_record = 50 + 2 * 4;
    assert_eq!(bytes(&first), (only_answers + one_record, questions));
    for (party, extension) in [(BANK, "kept"), (LENDER, "prepared")] {
        let found = files_of(&town, party, extension);
        assert_eq!(found.len(), 1, "{extension}");
        let mode = std::fs::metadata(&found[0])
            .expect("metadata")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    let again = town.run(&spec).await;
    assert_eq!(rows(&again[0]), rows(&first[0]));
    assert_eq!(bytes(&again), (only_answers, questions), "the same process");
    for party in [LENDER, BANK] {
        town.restart(party).await;
        let again = town.run(&spec).await;
        assert_eq!(rows(&again[0]), rows(&first[0]));
        assert_eq!(
            bytes(&again),
            (only_answers, questions),
            "{party} restarted"
        );
        let counted = again[1].receipt.local.keys.clone().expect("keys");
        assert_eq!(
            (counted.rows, counted.duplicates, counted.missing),
            (3, 1, 1)
        );
    }

    change_last_byte(&files_of(&town, BANK, "kept")[0]);
    let again = town.run(&spec).await;
    assert_eq!(rows(&again[0]), rows(&first[0]));
    assert_eq!(bytes(&again).0, only_answers + one_record, "another table");
    assert_eq!(bytes(&town.run(&spec).await).0, only_answers);

    let prepared = files_of(&town, LENDER, "prepared").remove(0);
    let before = std::fs::read(&prepared).expect("a file");
    change_last_byte(&prepared);
    town.restart(LENDER).await;
    let again = town.run(&spec).await;
    assert_eq!(rows(&again[0]), rows(&first[0]));
    assert_eq!(bytes(&again).0, only_answers + one_record, "prepared anew");
    let after = std::fs::read(&prepared).expect("a file");
    assert_ne!(before[..32], after[..32], "a fresh key");

    let table = files.path().join("lender_2.csv");
    std::fs::write(&table, "id,hits,since\nA1,3,2026-02-02\na-1,7,2026-02-03\n").expect("written");
    town.restart(LENDER).await;
    let changed = town.run(&spec).await;
    assert_eq!(rows(&changed[0])[1], row(7));
    assert_eq!(bytes(&changed).0, only_answers + one_record, "other data");
    assert_ne!(after[..32], std::fs::read(&prepared).expect("a file")[..32]);
    // Other columns are another table.
    let since = job("\"lender_2.black\"", QUERIES, "normalise = \"upper_alnum\"");
    assert_eq!(bytes(&town.run(&since).await).0, only_answers + 50);
    assert_eq!(files_of(&town, BANK, "kept").len(), 2);
    assert_eq!(bytes(&town.run(&spec).await).0, only_answers);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_up_is_refused() {
    let (_files, town) = town().await;
    let refused = async |spec: String| {
        let answer = town.agents[0]
            .post("/v1/jobs", &json!({ "spec": spec }))
            .await;
        assert_ne!(answer.status, 200);
        answer.json().to_string()
    };
    for (table, queries, more, expected) in [
        (
            LENDERS,
            QUERIES,
            "combine = \"sum\"",
            "tables are combined on shares",
        ),
        (LENDERS, QUERIES, "combine = \"total\"", "is not known here"),
        (
            LENDERS,
            QUERIES,
            "values = [\"hit\"]",
            "has no column hit; did you mean hits?",
        ),
        (
            LENDERS,
            QUERIES,
            "combine = \"sum\"\nvalues = [\"since\"]\n[privacy]\ncorrelations = \"ot\"",
            "of which there is no sum",
        ),
        (
            LENDERS,
            QUERIES,
            "combine = \"sum\"\nvalues = [\"hits\", \"since\"]",
            "of which there is no one sum",
        ),
        (
            "\"lender_1.black\"",
            QUERIES,
            "combine = \"any\"",
            "combines one table with no other",
        ),
        ("\"bank.people\"", QUERIES, "", "would ask itself"),
        ("\"lender_1.grey\"", QUERIES, "", "publishes no table grey"),
        (
            "\"lender_1.black\"",
            "bank.people.name",
            "",
            "has no column name",
        ),
        (
            "\"lender_1.black\"",
            "lender_2.black.id",
            "",
            "are others than the party that asks",
        ),
        ("[]", QUERIES, "", "names 0 tables"),
        ("\"lender_1.black\"", QUERIES, "at_most = 0", "out of range"),
    ] {
        let found = refused(job(table, queries, more)).await;
        assert!(found.contains(expected), "{expected}: {found}");
    }
    // More keys than the job says: its asker's own affair, before anything is asked.
    let job_id = town.agents[0]
        .submit(&job("\"lender_1.black\"", QUERIES, "at_most = 2"))
        .await;
    let ended = town.agents[0].reaches(&job_id, &["failed"]).await;
    assert_eq!(ended["ending"]["class"], "source", "{ended}");
    assert!(
        ended
            .to_string()
            .contains("5 different keys would be asked for"),
        "{ended}"
    );
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_says_who_may_ask_and_how_often() {
    let world = World::new(&["bank", "lender"]).await;
    let columns = "[tables.visits.columns]\nid = { join_key = true, row_level = true }\n";
    let head = "min_cell = 1\nopen_counts = false\n";
    world.write_visits("bank", "id\na\nb\n");
    world.write_visits("lender", "id\nb\n");
    world.write_policy("bank", &format!("{head}{columns}"));
    let limits = "[tables.visits.lookup]\naskers = [\"bank\"]\nper_job = 10\nper_day = 15\n";
    world.write_policy("lender", &format!("{head}{limits}{columns}"));
    let bank = world.agent("bank", Mode::Rehearsal, true).await;
    let lender = world.agent("lender", Mode::Rehearsal, true).await;
    for agent in [&bank, &lender] {
        agent.sees(&["bank", "lender"]).await;
    }
    let ask = |at_most: u64| {
        job(
            "\"lender.visits\"",
            "bank.visits.id",
            &format!("at_most = {at_most}"),
        )
    };
    let job_id = bank.submit(&ask(10)).await;
    bank.reaches(&job_id, &["completed"]).await;
    let result = bank.result(&job_id).await.json();
    assert_eq!(
        result["rows"],
        json!([["a", "lender.visits", false], ["b", "lender.visits", true]])
    );
    lender.reaches(&job_id, &["completed"]).await;
    // Ten of fifteen are gone for today.
    let job_id = bank.submit(&ask(6)).await;
    let ended = lender.reaches(&job_id, &["failed"]).await;
    assert_eq!(ended["ending"]["class"], "policy", "{ended}");
    assert!(ended.to_string().contains("15 questions a day"), "{ended}");
    let job_id = bank.submit(&ask(11)).await;
    let ended = bank.reaches(&job_id, &["rejected"]).await;
    assert!(
        ended.to_string().contains("tables.visits.lookup.per_job"),
        "{ended}"
    );
    world.write_policy("lender", &format!("{head}{columns}"));
    let job_id = bank.submit(&ask(1)).await;
    let ended = bank.reaches(&job_id, &["rejected"]).await;
    assert!(
        ended
            .to_string()
            .contains("nobody may look keys up in table visits"),
        "{ended}"
    );
    bank.stop().await;
    lender.stop().await;
}

/// In how many lenders' lists each of 644 applicants is, with neither the applicants nor the lists shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_multi_lender_query_is_reproduced() {
    let (Some(data), Some(tasks)) = (shared("credit_taiwan"), expected("credit_taiwan")) else {
        return;
    };
    let mut parties = vec![("bank_a", vec![("applicants", data.join("query_ids.csv"))])];
    for (lender, file) in [("lender_1", 1), ("lender_2", 2), ("lender_3", 3)] {
        parties.push((
            lender,
            vec![("blacklist", data.join(format!("blacklist_{file}.csv")))],
        ));
    }
    let agents = Agents::start(&parties, None).await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/jobs/multi-lender.toml"
    );
    let spec = std::fs::read_to_string(path).expect("an example job");
    let sides = agents.run(&spec).await;
    let rows = rows(&sides[0]);
    let mut lines: Vec<(String, u64)> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            (
                row[0].as_str().expect("an id").to_owned(),
                row[1].as_u64().expect("a number"),
            )
        })
        .collect();
    lines.sort();
    let task = &tasks["multi_lender_query"];
    assert_eq!(json!(lines.len()), task["ids"]);
    for hits in 0..4 {
        let n = lines.iter().filter(|(_, n)| *n == hits).count();
        assert_eq!(
            json!(n),
            task["hits_by_count"][hits.to_string()],
            "{hits} hits"
        );
    }
    let all: Vec<&str> = lines
        .iter()
        .filter(|(_, n)| *n == 3)
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(json!(all), task["ids_on_all_three"]);
    agents.stop().await;
}
