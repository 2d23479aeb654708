//! Stopping: everything at once, or one job. Nothing is opened afterwards, whatever a run had reached.

use party_agent::agent::Mode;
use party_agent::agent::milestones::Milestone;
use serde_json::{Value, json};

use crate::hold::Hold;
use crate::world::{Running, World, job};

/// Two agents in the middle of a job of which both receive the result; that of b is held.
struct Scene {
    world: World,
    a: Running,
    b: Running,
    hold: Hold,
    job_id: String,
}

async fn scene(at: Milestone) -> Scene {
    let world = World::new(&["a", "b"]).await;
    let hold = Hold::at(at);
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let config = world.config("b", true);
    let b = Running::start_watched(config, Mode::Rehearsal, hold.milestones()).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let job_id = a.submit(&job(&["a", "b"], &["a", "b"], "ot")).await;
    hold.holds(1).await;
    Scene {
        world,
        a,
        b,
        hold,
        job_id,
    }
}

fn because(reason: &str) -> Value {
    json!({ "by": "maria", "reason": reason })
}

async fn nothing_here(agent: &Running, job_id: &str) {
    assert!(agent.result_files().is_empty());
    assert_ne!(agent.result(job_id).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_ends_runs_wherever_they_are_and_nothing_is_opened() {
    for at in [
        Milestone::Reserve,
        Milestone::Reserved,
        Milestone::Sent,
        Milestone::Commit,
    ] {
        let scene = scene(at).await;
        let Scene { a, b, job_id, .. } = &scene;
        let halted = b.post("/v1/halt", &because("an incident")).await;
        assert_eq!(halted.status, 200, "{}", halted.json());
        // Already now, and not only after a while.
        nothing_here(b, job_id).await;
        let at_b = b.reaches(job_id, &["cancelled"]).await;
        scene.hold.let_go();
        let class = at_b["ending"]["class"].as_str().expect("a class");
        assert!(["halted", "cancelled"].contains(&class), "{at:?}: {at_b}");
        // At the end of a run, the other party has what it needs; before it, nobody has anything.
        if at != Milestone::Commit {
            let at_a = a.reaches(job_id, &["cancelled", "failed"]).await;
            assert_eq!(at_a["ending"]["culprit"], "b", "{at:?}: {at_a}");
            nothing_here(a, job_id).await;
        }
        nothing_here(b, job_id).await;
        let Scene { world, a, b, .. } = scene;
        a.stop().await;
        b.stop().await;
        drop(world);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_outlives_a_restart_until_it_is_lifted() {
    let scene = scene(Milestone::Sent).await;
    let Scene { world, a, b, .. } = scene;
    b.post("/v1/halt", &because("an incident")).await;
    b.stop().await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    b.sees(&["a", "b"]).await;
    let halted = b.get("/v1/halt").await.json();
    assert_eq!(halted["halted"]["by"], "maria", "{halted}");
    assert_eq!(halted["halted"]["reason"], "an incident", "{halted}");
    let spec = job(&["a", "b"], &["a"], "ot");
    // Nothing is proposed, accepted or approved here.
    let own = b.post("/v1/jobs", &json!({ "spec": spec })).await;
    assert_eq!(own.status, 409);
    assert_eq!(own.json()["error"]["code"], "halted");
    let theirs = a.submit(&spec).await;
    b.reaches(&theirs, &["waiting"]).await;
    let approve = format!("/v1/jobs/{theirs}/approve");
    let approved = b.post(&approve, &json!({ "by": "jonas" })).await;
    assert_eq!(approved.json()["error"]["code"], "halted");
    let lifted = b.post("/v1/halt/lift", &json!({})).await.json();
    assert_eq!(lifted["halted"], Value::Null, "{lifted}");
    let approved = b.post(&approve, &json!({ "by": "jonas" })).await;
    assert_eq!(approved.status, 200, "{}", approved.json());
    b.reaches(&theirs, &["completed"]).await;
    a.reaches(&theirs, &["completed"]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_party_revokes_a_running_job_and_nothing_is_opened() {
    for at in [Milestone::Reserved, Milestone::Sent] {
        let scene = scene(at).await;
        let Scene { a, b, job_id, .. } = &scene;
        let revoke = format!("/v1/jobs/{job_id}/revoke");
        let why = json!({ "reason": "consent is in doubt" });
        let revoked = b.post(&revoke, &why).await;
        assert_eq!(revoked.status, 200, "{}", revoked.json());
        let at_b = b.reaches(job_id, &["cancelled"]).await;
        assert_eq!(at_b["ending"]["class"], "revoked", "{at_b}");
        scene.hold.let_go();
        let at_a = a.reaches(job_id, &["cancelled", "failed"]).await;
        assert_eq!(at_a["ending"]["culprit"], "b", "{at_a}");
        nothing_here(a, job_id).await;
        nothing_here(b, job_id).await;
        let again = b.post(&revoke, &json!({ "reason": "again" })).await;
        assert_eq!(again.status, 409, "it has ended");
        let Scene { world, a, b, .. } = scene;
        a.stop().await;
        b.stop().await;
        drop(world);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_needs_no_coordinator() {
    let mut world = World::new(&["a", "b", "c"]).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    let c = world.agent("c", Mode::Production, true).await;
    a.sees(&["a", "b", "c"]).await;
    let job_id = a.submit(&job(&["a", "b", "c"], &["a"], "ot")).await;
    b.reaches(&job_id, &["accepted"]).await;
    c.reaches(&job_id, &["waiting"]).await;
    world.stop_coordinator().await;
    let revoke = format!("/v1/jobs/{job_id}/revoke");
    let revoked = b.post(&revoke, &json!({ "reason": "a mistake" })).await;
    assert_eq!(revoked.status, 200, "{}", revoked.json());
    world.start_coordinator().await;
    // Told as soon as there is somebody to tell.
    for agent in [&a, &c] {
        let document = agent.reaches(&job_id, &["cancelled"]).await;
        assert_eq!(document["ending"]["culprit"], "b", "{document}");
    }
    for agent in [a, b, c] {
        agent.stop().await;
    }
}
