//! An agent that is killed between the end of a job and what it has to tell of the others' logs.

use party_agent::agent::Mode;
use party_agent::agent::milestones::Milestone;
use party_agent::evidence;

use crate::counters_crash::{at_most, killed_in_a_job};
use crate::world::{World, job};

pub(crate) const MILESTONES: [(&str, Milestone); 2] = [
    ("before gathering", Milestone::Gather),
    ("before telling what it witnessed", Milestone::Witnessed),
];

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(400).collect()
}

/// Started again, it signs the other's checkpoint by itself and tells so: the other's evidence is complete, and nobody has asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn witnesses_are_complete_wherever_an_agent_is_killed() {
    let spec = job(&["a", "b"], &["a"], "ot");
    for (label, _) in MILESTONES {
        let world = World::new(&["a", "b"]).await;
        world.write_policy("b", &at_most(1));
        let a = world.agent("a", Mode::Rehearsal, true).await;
        let job_id = killed_in_a_job(&world, &a, &spec, label).await;
        a.reaches(&job_id, &["completed"]).await;
        let path = format!("/v1/jobs/{job_id}/evidence");
        let b = world.agent("b", Mode::Rehearsal, false).await;
        let exported = a.get(&path).await;
        assert_eq!(exported.status, 200, "{label}: {}", shown(&exported.body));
        let found = evidence::verify(&exported.body, None).expect("holds");
        assert_eq!(found.n_cosignatures, 2, "{label}");
        let exported = b.get(&path).await;
        assert_eq!(exported.status, 200, "{label}: {}", shown(&exported.body));
        a.stop().await;
        b.stop().await;
    }
}
