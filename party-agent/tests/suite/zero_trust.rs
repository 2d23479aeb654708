//! Trust that ends: a revoked key takes part in nothing, and agents that keep to one list of revoked keys do not go on with
//! different versions of it. Who is let in, and what a connection is bound to, is in `net/tests/handshakes.rs` and, for newcomers, in
//! the coordinator's `zero_trust`.

use party_agent::agent::Mode;
use party_agent::policy::negative::NegativeList;

use crate::negative_list::{Scene, config, list, publish};
use crate::world::{Running, World, job};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_takes_part_in_nothing() {
    let scene = Scene::start(&list(1, &[])).await;
    assert_eq!(scene.verdict().await.0, "completed");
    let revoked = |party: &str, version| NegativeList {
        revoked: vec![scene.world.identity(party).fingerprint()],
        ..list(version, &[])
    };
    let regulator = scene.world.identity("regulator");
    publish(&scene.world, "b", &revoked("c", 2), regulator);
    assert_eq!(scene.verdict().await.0, "completed", "c has no part in it");
    for (party, version) in [("a", 3), ("b", 4)] {
        publish(&scene.world, "b", &revoked(party, version), regulator);
        let (state, what) = scene.verdict().await;
        assert_eq!(state, "rejected", "{party}");
        assert!(what.contains("regulator has revoked the key"), "{what}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_of_one_list_do_not_meet() {
    let world = World::new(&["a", "b", "regulator"]).await;
    let regulator = world.identity("regulator");
    publish(&world, "a", &list(2, &[]), regulator);
    publish(&world, "b", &list(1, &[]), regulator);
    let mut agents = Vec::new();
    for party in ["a", "b"] {
        agents.push(Running::start(config(&world, party), Mode::Rehearsal).await);
    }
    for agent in &agents {
        agent.sees(&["a", "b"]).await;
    }
    let spec = job(&["a", "b"], &["a"], "ot");
    let job_id = agents[0].submit(&spec).await;
    let mut said = String::new();
    for agent in &agents {
        said += &agent.reaches(&job_id, &["failed"]).await.to_string();
    }
    assert!(
        said.contains("different versions of the same negative list"),
        "{said}"
    );
    assert_eq!(
        agents[0].result(&job_id).await.status,
        409,
        "nothing was opened"
    );
    publish(&world, "b", &list(2, &[]), regulator);
    let job_id = agents[0].submit(&spec).await;
    for agent in agents {
        agent.reaches(&job_id, &["completed"]).await;
        agent.stop().await;
    }
}
