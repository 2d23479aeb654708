//! Jobs that end well: the same result whichever way the data went, and what is left behind.

use std::path::Path;

use party_agent::agent::Mode;
use party_agent::receipt::ReceiptFile;
use serde_json::Value;

use crate::world::{CANARY_NUMBER, CANARY_TEXT, Running, World, job, name};

const PARTIES: [&str; 3] = ["a", "b", "c"];

async fn start_all(world: &World, parties: &[&str], direct: bool) -> Vec<Running> {
    let mut agents = Vec::new();
    for party in parties {
        agents.push(world.agent(party, Mode::Rehearsal, direct).await);
    }
    for agent in &agents {
        agent.sees(parties).await;
    }
    agents
}

/// Runs one job over three parties and returns the result's bytes and every party's receipt.
async fn run_once(direct: bool, spec: &str, parties: &[&str]) -> (Vec<u8>, Vec<ReceiptFile>) {
    let mut world = World::new(parties).await;
    if let Some(dealer) = parties.iter().find(|p| **p == "dealer") {
        std::fs::remove_file(world.home(dealer).join("visits.csv"))
            .expect("a dealer holds nothing");
    }
    let agents = start_all(&world, parties, direct).await;
    let job_id = agents[0].submit(spec).await;
    let mut receipts = Vec::new();
    for agent in &agents {
        agent.reaches(&job_id, &["completed"]).await;
        let receipt = agent.get(&format!("/v1/jobs/{job_id}/receipt")).await;
        receipts.push(serde_json::from_slice(&receipt.body).expect("a receipt"));
    }
    let result = agents[0].result(&job_id).await;
    assert_eq!(result.status, 200);
    for agent in &agents[1..] {
        assert_eq!(
            agent.result(&job_id).await.status,
            404,
            "only receivers have the result"
        );
    }
    for (agent, is_receiver) in agents.iter().zip([true, false, false, false]) {
        let files = agent.result_files();
        let has_result = files.iter().any(|f| f.ends_with("result.json"));
        assert_eq!(has_result, is_receiver);
        for file in files {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file)
                .expect("metadata")
                .permissions()
                .mode()
                & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }
    for agent in agents {
        agent.stop().await;
    }
    world.stop_coordinator().await;
    nothing_leaked(&world.coordinator_state());
    (result.body, receipts)
}

/// Nothing of any row stands in what the coordinator keeps.
fn nothing_leaked(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("read");
        for canary in [CANARY_TEXT, CANARY_NUMBER] {
            let found = bytes.windows(canary.len()).any(|w| w == canary.as_bytes());
            assert!(!found, "{canary} stands in {}", path.display());
        }
    }
}

fn check_result(bytes: &[u8]) {
    let document: Value = serde_json::from_slice(bytes).expect("JSON");
    // x: 20 rows a party, stays 0..20 shifted by 0, 1, 2. y: 10 + 15 + 20 rows, stays 0, 2, 4, …
    let y = (90 + 210 + 380, 45);
    assert_eq!(document["rows"][0][0], "x");
    assert_eq!(document["rows"][0][1], 60);
    assert_eq!(document["rows"][0][2], 3 * 190 + 20 + 40);
    assert_eq!(document["rows"][1][0], "y");
    assert_eq!(document["rows"][1][1], y.1);
    assert_eq!(document["rows"][1][2], y.0);
    assert_eq!(
        document["rows"].as_array().map(Vec::len),
        Some(2),
        "{document}"
    );
    let suppressed = document["suppressed"].to_string();
    assert!(suppressed.contains("\"z\""), "{suppressed}");
}

fn routes(receipts: &[ReceiptFile]) -> Vec<String> {
    let mut routes: Vec<String> = receipts
        .iter()
        .flat_map(|r| r.signed.receipt.routes.values().cloned())
        .collect();
    routes.sort();
    routes.dedup();
    routes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_is_the_same_directly_and_through_the_relay() {
    let spec = job(&PARTIES, &["a"], "ot");
    let (direct, receipts) = run_once(true, &spec, &PARTIES).await;
    check_result(&direct);
    assert_eq!(routes(&receipts), ["direct"]);
    let (relayed, receipts) = run_once(false, &spec, &PARTIES).await;
    assert_eq!(direct, relayed, "the same bytes");
    assert_eq!(routes(&receipts), ["relayed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dealer_takes_part_without_data() {
    let spec = job(&PARTIES, &["a"], "dealer:dealer");
    let (result, receipts) = run_once(true, &spec, &["a", "b", "c", "dealer"]).await;
    check_result(&result);
    let dealer = receipts
        .iter()
        .find(|r| r.signed.receipt.party == name("dealer"))
        .expect("its receipt");
    assert_eq!(dealer.local.rows_used, 0);
    assert_eq!(
        dealer.signed.receipt.bytes_received.values().sum::<u64>(),
        0,
        "nobody tells the dealer anything"
    );
    assert!(dealer.signed.receipt.bytes_sent.values().sum::<u64>() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_are_signed_and_agree() {
    let world = World::new(&["a", "b"]).await;
    let agents = start_all(&world, &["a", "b"], true).await;
    let job_id = agents[1].submit(&job(&["a", "b"], &["b"], "ot")).await;
    let mut receipts = Vec::new();
    for agent in &agents {
        agent.reaches(&job_id, &["completed"]).await;
        let answer = agent.get(&format!("/v1/jobs/{job_id}/receipt")).await;
        receipts.push(serde_json::from_slice::<ReceiptFile>(&answer.body).expect("a receipt"));
    }
    for (receipt, identity) in receipts.iter().zip(&world.identities) {
        receipt
            .signed
            .verify(&identity.fingerprint())
            .expect("signed by its party");
        assert!(receipt.local.peak_rss_bytes > 0);
        assert!(receipt.local.wire_bytes_sent > 0);
    }
    let [a, b] = [&receipts[0].signed.receipt, &receipts[1].signed.receipt];
    assert_eq!(
        (a.contract, a.plan, a.session),
        (b.contract, b.plan, b.session)
    );
    assert_eq!(a.rounds, b.rounds);
    assert_eq!(a.bytes_sent[&name("b")], b.bytes_received[&name("a")]);
    assert_eq!(b.bytes_sent[&name("a")], a.bytes_received[&name("b")]);
    assert!(receipts[1].local.result.is_some() && receipts[0].local.result.is_none());
    for agent in agents {
        agent.stop().await;
    }
}
