//! Parties that vanish, stall, restart or call off: named everywhere, nothing released anywhere.

use party_agent::agent::Mode;
use serde_json::{Value, json};

use crate::puppet::Puppet;
use crate::world::{Running, World, job, within};

/// Two agents and a party that the test plays, in the middle of a job that all three have accepted.
struct Stage {
    world: World,
    a: Running,
    b: Running,
    puppet: Puppet,
    job_id: String,
}

/// Sets the stage. The puppet advertises an address where nobody answers, or none.
async fn stage(direct: bool) -> (Stage, std::net::UdpSocket) {
    let world = World::new(&["a", "b", "c"]).await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket that nobody reads");
    let address = direct.then(|| silent.local_addr().expect("bound").to_string());
    let mut puppet = Puppet::new(&world, "c", address).await;
    let a = world.agent("a", Mode::Rehearsal, direct).await;
    let b = world.agent("b", Mode::Rehearsal, direct).await;
    a.sees(&["a", "b", "c"]).await;
    b.sees(&["a", "b", "c"]).await;
    let job_id = a.submit(&job(&["a", "b", "c"], &["a", "b"], "ot")).await;
    let proposal = puppet.proposal().await;
    puppet.accept(&proposal).await;
    let start = puppet.start().await;
    assert_eq!(Puppet::addresses(&start)["c"].is_some(), direct);
    let stage = Stage {
        world,
        a,
        b,
        puppet,
        job_id,
    };
    (stage, silent)
}

fn ending(document: &Value) -> (u64, &str, &str) {
    let ending = &document["ending"];
    let text = |field: &str| ending[field].as_str().unwrap_or_default();
    (
        ending["exit"].as_u64().unwrap_or_default(),
        text("class"),
        text("culprit"),
    )
}

async fn nothing_released(agent: &Running, job_id: &str) {
    assert!(
        agent.result_files().is_empty(),
        "{:?}",
        agent.result_files()
    );
    let result = agent.result(job_id).await;
    assert_ne!(result.status, 200);
    let receipt = agent.get(&format!("/v1/jobs/{job_id}/receipt")).await;
    assert_eq!(receipt.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_vanishes_in_the_middle_is_named_to_all() {
    for direct in [true, false] {
        let (stage, _silent) = stage(direct).await;
        let Stage {
            world,
            a,
            b,
            puppet,
            job_id,
        } = stage;
        puppet.leave().await;
        for agent in [&a, &b] {
            let document = agent.reaches(&job_id, &["failed"]).await;
            let (exit, class, culprit) = ending(&document);
            assert_eq!((exit, culprit), (5, "c"), "{document}");
            assert!(["party_lost", "link_lost"].contains(&class), "{document}");
            nothing_released(agent, &job_id).await;
        }
        a.stop().await;
        b.stop().await;
        drop(world);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_party_can_call_a_running_job_off() {
    let (stage, _silent) = stage(false).await;
    let Stage {
        world,
        a,
        b,
        puppet,
        job_id,
    } = stage;
    a.reaches(&job_id, &["running"]).await;
    b.reaches(&job_id, &["running"]).await;
    let answer = b
        .post(&format!("/v1/jobs/{job_id}/cancel"), &json!({}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    for agent in [&a, &b] {
        let document = agent.reaches(&job_id, &["cancelled"]).await;
        assert_eq!(ending(&document), (4, "cancelled", "b"), "{document}");
        nothing_released(agent, &job_id).await;
    }
    let again = b
        .post(&format!("/v1/jobs/{job_id}/cancel"), &json!({}))
        .await;
    assert_eq!(again.status, 409);
    puppet.leave().await;
    a.stop().await;
    b.stop().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_restarts_does_not_run_the_job_again() {
    let (stage, _silent) = stage(false).await;
    let Stage {
        world,
        a,
        b,
        puppet,
        job_id,
    } = stage;
    b.reaches(&job_id, &["running"]).await;
    b.stop().await;
    let b = world.agent("b", Mode::Rehearsal, false).await;
    let document = b.reaches(&job_id, &["failed"]).await;
    assert_eq!(document["ending"]["exit"], 5, "{document}");
    let document = a.reaches(&job_id, &["failed"]).await;
    let (exit, class, culprit) = ending(&document);
    assert_eq!((exit, culprit), (5, "b"), "{document}");
    assert!(["restarted", "party_lost"].contains(&class), "{document}");
    nothing_released(&a, &job_id).await;
    nothing_released(&b, &job_id).await;
    puppet.leave().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_job_outlives_a_restart_of_coordinator_and_agent() {
    let mut world = World::new(&["a", "b"]).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Production, true).await;
    a.sees(&["a", "b"]).await;
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    a.reaches(&job_id, &["accepted"]).await;
    b.reaches(&job_id, &["waiting"]).await;
    world.stop_coordinator().await;
    a.stop().await;
    b.stop().await;
    world.start_coordinator().await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Production, true).await;
    b.sees(&["a", "b"]).await;
    let approved = b
        .post(
            &format!("/v1/jobs/{job_id}/approve"),
            &json!({ "by": "jonas" }),
        )
        .await;
    assert_eq!(approved.status, 200, "{}", approved.json());
    for agent in [&a, &b] {
        agent.reaches(&job_id, &["completed"]).await;
    }
    assert_eq!(a.result(&job_id).await.status, 200);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_one_partys_data_is_told_to_that_party_alone() {
    let world = World::new(&["a", "b"]).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    // A value outside the range that b has declared.
    world.write_visits("b", "kind,stay,note\nx,9999999,out of range\n");
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    let at_b = b.reaches(&job_id, &["failed"]).await;
    assert_eq!(ending(&at_b), (1, "source", ""), "{at_b}");
    let at_a = a.reaches(&job_id, &["failed"]).await;
    assert_eq!(ending(&at_a), (1, "source", "b"), "{at_a}");
    assert!(!at_a.to_string().contains("9999999"), "{at_a}");
    assert!(!at_a.to_string().contains("visits.csv"), "{at_a}");
    nothing_released(&a, &job_id).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_stops_when_its_agent_is_asked_to_end() {
    let (stage, _silent) = stage(false).await;
    let Stage {
        world,
        a,
        b,
        puppet,
        job_id,
    } = stage;
    b.reaches(&job_id, &["running"]).await;
    within("b ends", b.stop()).await;
    let document = a.reaches(&job_id, &["failed"]).await;
    let (exit, _, culprit) = ending(&document);
    assert_eq!((exit, culprit), (5, "b"), "{document}");
    nothing_released(&a, &job_id).await;
    puppet.leave().await;
    a.stop().await;
    drop(world);
}
