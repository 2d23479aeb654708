//! What people and policies decide: approval, rejection, standing rules, denial.

use party_agent::agent::Mode;
use serde_json::json;

use crate::world::{POLICY, Running, World, job};

async fn two(world: &World, b: Mode) -> (Running, Running) {
    let first = world.agent("a", Mode::Rehearsal, true).await;
    let second = world.agent("b", b, true).await;
    first.sees(&["a", "b"]).await;
    second.sees(&["a", "b"]).await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_the_plan_and_approves() {
    let world = World::new(&["a", "b"]).await;
    let (a, b) = two(&world, Mode::Production).await;
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    let waiting = b.reaches(&job_id, &["waiting"]).await;
    assert_eq!(waiting["proposer"], "a");
    assert_eq!(waiting["receivers"], json!(["a"]));
    let plan = b.get(&format!("/v1/jobs/{job_id}/plan")).await.json();
    assert_eq!(plan["digest"], waiting["plan"]);
    assert!(
        plan["plan"]["learns"]
            .as_array()
            .is_some_and(|l| !l.is_empty()),
        "{plan}"
    );
    let seen_from_a = a.get(&format!("/v1/jobs/{job_id}")).await.json();
    assert_eq!(seen_from_a["waiting_for"], json!(["b"]));
    let approved = b
        .post(
            &format!("/v1/jobs/{job_id}/approve"),
            &json!({ "by": "jonas" }),
        )
        .await;
    assert_eq!(approved.status, 200, "{}", approved.json());
    let done = b.reaches(&job_id, &["completed"]).await;
    assert_eq!(done["approved_by"], "person jonas");
    a.reaches(&job_id, &["completed"]).await;
    let twice = b
        .post(&format!("/v1/jobs/{job_id}/approve"), &json!({}))
        .await;
    assert_eq!(twice.status, 409);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_rejects_and_the_proposer_hears_why() {
    let world = World::new(&["a", "b"]).await;
    let (a, b) = two(&world, Mode::Production).await;
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    b.reaches(&job_id, &["waiting"]).await;
    let reason = "the ethics board has not met yet";
    let rejected = b
        .post(
            &format!("/v1/jobs/{job_id}/reject"),
            &json!({ "reason": reason }),
        )
        .await;
    assert_eq!(rejected.status, 200, "{}", rejected.json());
    let at_a = a.reaches(&job_id, &["rejected"]).await;
    assert_eq!(at_a["ending"]["exit"], 4, "{at_a}");
    assert_eq!(at_a["ending"]["culprit"], "b");
    assert!(
        at_a["ending"]["what"]
            .as_str()
            .is_some_and(|w| w.contains(reason)),
        "{at_a}"
    );
    let at_b = b.reaches(&job_id, &["rejected"]).await;
    assert_eq!(at_b["ending"]["exit"], 4, "{at_b}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_says_no_ends_the_job_with_its_rule() {
    let world = World::new(&["a", "b"]).await;
    // What b publishes lets the plan be made; the purpose is what its policy refuses.
    world.write_policy(
        "b",
        &POLICY.replace(
            "[tables.visits.columns]",
            "[tables.visits]\npurposes = [\"audit\"]\n[tables.visits.columns]",
        ),
    );
    let (a, b) = two(&world, Mode::Rehearsal).await;
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    for agent in [&a, &b] {
        let document = agent.reaches(&job_id, &["rejected"]).await;
        assert_eq!(document["ending"]["exit"], 3, "{document}");
        assert_eq!(document["ending"]["class"], "policy");
        assert_eq!(document["ending"]["culprit"], "b");
        assert!(
            document.to_string().contains("tables.visits.purposes"),
            "{document}"
        );
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_submitters_own_policy_counts_too() {
    let world = World::new(&["a", "b"]).await;
    world.write_policy(
        "a",
        &POLICY.replace(
            "[tables.visits.columns]",
            "[tables.visits]\nreceivers = [\"b\"]\n[tables.visits.columns]",
        ),
    );
    let (a, b) = two(&world, Mode::Rehearsal).await;
    let spec = job(&["a", "b"], &["a"], "ot");
    let answer = a.post("/v1/jobs", &json!({ "spec": spec })).await;
    let document = answer.json();
    assert_eq!(
        (answer.status, &document["exit"]),
        (403, &json!(3)),
        "{document}"
    );
    assert_eq!(
        document["error"]["faults"][0]["field"],
        "tables.visits.receivers"
    );
    assert_eq!(
        a.get("/v1/jobs").await.json(),
        json!([]),
        "nothing was proposed"
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_rule_approves_until_it_is_used_up() {
    let world = World::new(&["a", "b"]).await;
    let rule = "[[approve]]\npurpose = \"IRB 7*\"\nreceivers = [\"a\"]\nmax_runs = 1\n[tables.visits.columns]";
    world.write_policy("b", &POLICY.replace("[tables.visits.columns]", rule));
    let (a, b) = two(&world, Mode::Production).await;
    let spec = job(&["a", "b"], &["a"], "ot");
    let first = a.submit(&spec).await;
    b.reaches(&first, &["completed"]).await;
    a.reaches(&first, &["completed"]).await;
    let second = a.submit(&spec).await;
    b.reaches(&second, &["waiting"]).await;
    let cancelled = a
        .post(&format!("/v1/jobs/{second}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.json());
    let at_b = b.reaches(&second, &["cancelled"]).await;
    assert_eq!(at_b["ending"]["culprit"], "a", "{at_b}");
    a.stop().await;
    b.stop().await;
}
