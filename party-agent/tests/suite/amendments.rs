//! Contracts that take the place of earlier ones: at no time may two versions run, and counts go on.

use party_agent::agent::Mode;
use party_agent::agent::milestones::Milestone;
use serde_json::{Value, json};

use crate::counters_crash::at_most;
use crate::hold::Hold;
use crate::world::{Running, World, job};

fn spec() -> String {
    job(&["a", "b"], &["a"], "ot")
}

/// Submits a job that takes the place of an earlier one.
async fn amend(agent: &Running, earlier: &str) -> Value {
    let request = json!({ "spec": spec(), "by": "maria", "supersedes": earlier });
    agent.post("/v1/jobs", &request).await.json()
}

fn id(submitted: &Value) -> String {
    let id = submitted["job_id"].as_str();
    id.unwrap_or_else(|| panic!("{submitted}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_job_ends_when_another_takes_its_place() {
    let world = World::new(&["a", "b"]).await;
    let a = world.agent("a", Mode::Production, true).await;
    let b = world.agent("b", Mode::Production, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let first = a.submit(&spec()).await;
    b.reaches(&first, &["waiting"]).await;
    let second = id(&amend(&a, &first).await);
    let at_a = a.reaches(&first, &["cancelled"]).await;
    assert_eq!(at_a["ending"]["class"], "superseded", "{at_a}");
    let what = at_a["ending"]["what"].to_string();
    assert!(what.contains(&second), "{at_a}");
    b.reaches(&first, &["cancelled"]).await;
    b.reaches(&second, &["waiting"]).await;
    for language in ["en", "zh"] {
        let page = format!("/v1/jobs/{second}/page?lang={language}");
        let page = b.get(&page).await.json();
        let text = page["page"].as_str().expect("a page");
        assert!(text.contains(&first), "{text}");
    }
    let yes = json!({ "by": "jonas" });
    let late = b.post(&format!("/v1/jobs/{first}/approve"), &yes).await;
    assert_eq!(late.status, 409, "{}", late.json());
    let approved = b.post(&format!("/v1/jobs/{second}/approve"), &yes).await;
    assert_eq!(approved.status, 200, "{}", approved.json());
    a.reaches(&second, &["completed"]).await;
    // What b has signed is shown beside the next one, whose place it takes.
    let third = id(&amend(&a, &second).await);
    b.reaches(&third, &["waiting"]).await;
    let page = b.get(&format!("/v1/jobs/{third}/page?lang=en")).await;
    assert_eq!(page.json()["previous"]["job_id"], Value::from(second));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_stopped_before_its_place_is_taken_and_counts_go_on() {
    let world = World::new(&["a", "b"]).await;
    world.write_policy("b", &at_most(2));
    let hold = Hold::at(Milestone::Sent);
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let config = world.config("b", true);
    let b = Running::start_watched(config, Mode::Rehearsal, hold.milestones()).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let first = a.submit(&spec()).await;
    hold.holds(1).await;
    // The first run is spent: something was sent.
    let second = id(&amend(&a, &first).await);
    let stopped = ["cancelled", "failed"];
    a.reaches(&first, &stopped).await;
    b.reaches(&first, &stopped).await;
    hold.let_go();
    a.reaches(&second, &["completed"]).await;
    b.reaches(&second, &["completed"]).await;
    assert_ne!(a.result(&first).await.status, 200);
    assert_eq!(a.result(&second).await.status, 200);
    let third = id(&amend(&a, &second).await);
    let at_b = b.reaches(&third, &["rejected"]).await;
    assert_eq!(at_b["ending"]["class"], "policy", "{at_b}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_proposer_replaces_a_job_and_only_one_that_is_known() {
    let world = World::new(&["a", "b"]).await;
    let a = world.agent("a", Mode::Production, true).await;
    let b = world.agent("b", Mode::Production, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let of_b = b.submit(&spec()).await;
    a.reaches(&of_b, &["waiting"]).await;
    let refused = amend(&a, &of_b).await;
    assert_eq!(refused["error"]["code"], "supersedes", "{refused}");
    let unknown = amend(&a, &"07".repeat(16)).await;
    assert_eq!(unknown["error"]["code"], "unknown_job", "{unknown}");
    let still = a.get(&format!("/v1/jobs/{of_b}")).await.json();
    assert_eq!(still["state"], "waiting", "{still}");
    a.stop().await;
    b.stop().await;
}
