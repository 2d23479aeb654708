//! What a coordinator sees of a job: with other rows of the same public sizes it sees the same, message by message and byte by byte in
//! length. Everything goes by way of it here, the data plane too. What is in it is ciphertext or signed documents (`egress`, `canary`).
//!
//! How many packets QUIC makes of the same bytes, and when, follows from the machines and the network, and is not compared.

use std::collections::BTreeMap;

use party_agent::agent::Mode;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Row, SqlitePool};

use crate::world::{Running, World, job, within};

/// The rows of one holder, 14 of kind x and 6 of kind y, whose stays are these.
fn visits(stays: impl Iterator<Item = u64>) -> String {
    let row = |(at, stay): (usize, u64)| {
        let kind = if at < 14 { "x" } else { "y" };
        format!("{kind},{stay},ordinary\n")
    };
    let rows: String = stays.take(20).enumerate().map(row).collect();
    format!("kind,stay,note\n{rows}")
}

/// What the two holders have, in three ways: the second is the first with the holders' rows exchanged, so that the result is the same; of
/// the third the result is another one.
fn inputs(which: &str) -> [String; 2] {
    let (few, many) = (
        || visits(1..),
        || visits((100..).map(|n| n * n % 8_999_000)),
    );
    match which {
        "as they are" => [few(), many()],
        "exchanged" => [many(), few()],
        "others" => [
            visits((5_000_000..).step_by(7)),
            visits(std::iter::repeat(0)),
        ],
        other => panic!("{other}"),
    }
}

/// Lengths of what the coordinator was sent and keeps, by table and column of its journal.
type Kept = BTreeMap<String, Vec<i64>>;

async fn kept(world: &World) -> Kept {
    let journal = world.coordinator_state().join("journal.sqlite");
    let options = SqliteConnectOptions::new()
        .filename(journal)
        .read_only(true);
    let pool = SqlitePool::connect_with(options).await.expect("a journal");
    let columns = sqlx::query(
        "SELECT m.name || '.' || c.name AS place, m.name AS source, c.name AS field FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND c.type IN ('TEXT', 'BLOB')",
    );
    let columns = columns.fetch_all(&pool).await.expect("columns");
    let mut kept = Kept::new();
    for column in columns {
        let [place, source, field]: [String; 3] =
            ["place", "source", "field"].map(|at| column.get(at));
        let sql = format!("SELECT length(CAST({field} AS BLOB)) AS n FROM {source} ORDER BY n");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&pool).await;
        let rows = rows.expect("lengths");
        kept.insert(place, rows.iter().map(|row| row.get("n")).collect());
    }
    pool.close().await;
    kept
}

/// What the coordinator sees of one job over these rows, what it carries between the agents, and the result.
async fn seen(which: &str) -> (Kept, Vec<Value>, Value) {
    let mut world = World::new(&["a", "b"]).await;
    for (party, rows) in ["a", "b"].iter().zip(inputs(which)) {
        world.write_visits(party, &rows);
    }
    let mut agents: Vec<Running> = Vec::new();
    for party in ["a", "b"] {
        agents.push(world.agent(party, Mode::Rehearsal, false).await);
    }
    agents[0].sees(&["a", "b"]).await;
    let job_id = agents[0].submit(&job(&["a", "b"], &["a"], "ot")).await;
    let mut carried = Vec::new();
    for agent in &agents {
        agent.reaches(&job_id, &["completed"]).await;
        let receipt = agent
            .get(&format!("/v1/jobs/{job_id}/receipt"))
            .await
            .json();
        let receipt = &receipt["signed"]["receipt"];
        let routes = receipt["routes"].as_object().expect("routes");
        assert!(routes.values().all(|route| route == "relayed"), "{receipt}");
        let told = ["bytes_sent", "bytes_received", "rounds"].map(|field| receipt[field].clone());
        assert!(told.iter().all(|value| !value.is_null()), "{receipt}");
        carried.extend(told);
    }
    let result = agents[0].result(&job_id).await.json()["rows"].clone();
    // Both have said what they saw of the other's log when the evidence is whole.
    within("the evidence is whole", async {
        for agent in &agents {
            let path = format!("/v1/jobs/{job_id}/evidence");
            while agent.get(&path).await.status != 200 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    for agent in agents {
        agent.stop().await;
    }
    world.stop_coordinator().await;
    (kept(&world).await, carried, result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rows_of_the_same_sizes_look_the_same_to_the_coordinator() {
    let (first, carried, result) = seen("as they are").await;
    let n_documents = |place: &str| first.get(place).map(Vec::len);
    assert_eq!(n_documents("outcomes.outcome"), Some(2), "{first:?}");
    assert_eq!(n_documents("witnesses.seen"), Some(2), "{first:?}");
    for which in ["as they are", "exchanged", "others"] {
        let (again, carried_again, result_again) = seen(which).await;
        assert_eq!(
            again, first,
            "{which}: lengths of what the coordinator keeps"
        );
        assert_eq!(carried_again, carried, "{which}: what it carries");
        let is_same = which != "others";
        assert_eq!(result_again == result, is_same, "{which}: {result_again}");
    }
}
