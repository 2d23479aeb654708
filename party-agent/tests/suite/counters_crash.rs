//! Counted runs: exactly as many as the policy says, however many start at once and wherever the process is killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use coordinator::contract::JobId;
use party_agent::agent::milestones::{Milestone, Milestones, Watcher};
use party_agent::agent::{Agent, Mode};
use party_agent::config::AgentConfig;
use party_agent::ledger::{Ledger, RunCounts};
use protocols::net::BoxFuture;
use serde_json::json;

use crate::hold::Hold;
use crate::world::{POLICY, Running, World, job, within};

const CHILD_CONFIG: &str = "ENTENTE_TEST_COUNTED_AGENT";
const CHILD_KILLED_AT: &str = "ENTENTE_TEST_KILLED_AT";

/// The policy of these tests with one rule on the table.
fn policy(constraints: &str) -> String {
    let rule = format!(
        "[tables.visits.rules.counted]\nactions = [\"compute\"]\nconstraints = [{constraints}]\n[tables.visits.columns]"
    );
    POLICY.replace("[tables.visits.columns]", &rule)
}

pub(crate) fn at_most(n: u64) -> String {
    policy(&format!(
        "{{ constraint = \"count\", operator = \"lteq\", value = {n} }}"
    ))
}

/// What the ledger in this directory counts.
async fn counts(state: &Path) -> RunCounts {
    let ledger = Ledger::open(&state.join("ledger.sqlite")).await;
    let ledger = ledger.expect("opened");
    let counts = ledger.run_counts().await.expect("read");
    ledger.close().await;
    counts
}

/// How many runs the ledger in this directory counts.
async fn counted(state: &Path) -> u64 {
    let counts = counts(state).await;
    counts.by_rule.values().map(|counted| counted.n).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_attempts_at_once_make_exactly_three_runs() {
    let world = World::new(&["a", "b"]).await;
    world.write_policy("b", &at_most(3));
    let spec = job(&["a", "b"], &["a"], "ot");
    let counts = eight_attempts(&world, &spec, "tables.visits.rules.counted.count").await;
    assert_eq!(counts.by_rule.values().map(|c| c.n).sum::<u64>(), 3);
}

/// Eight jobs of which b's policy allows three, all approved before the first is counted; the others fall to this rule. Returns
/// what b has counted.
pub(crate) async fn eight_attempts(world: &World, spec: &str, rule: &str) -> RunCounts {
    let wide = |party| {
        let mut config = world.config(party, true);
        config.concurrent_jobs = 8;
        config
    };
    let hold = Hold::at(Milestone::Reserve);
    let a = Running::start(wide("a"), Mode::Rehearsal).await;
    let b = Running::start_watched(wide("b"), Mode::Rehearsal, hold.milestones()).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(a.submit(spec).await);
    }
    // All are approved, and none is counted yet.
    hold.holds(8).await;
    hold.let_go();
    let (mut n_completed, mut n_refused, mut n_results) = (0, 0, 0);
    for job_id in &jobs {
        let at_b = b.reaches(job_id, &["completed", "failed"]).await;
        if at_b["state"] == "completed" {
            n_completed += 1;
        } else {
            assert_eq!(at_b["ending"]["class"], "policy", "{at_b}");
            let what = at_b["ending"]["what"].to_string();
            assert!(what.contains(rule), "{at_b}");
            n_refused += 1;
        }
        a.reaches(job_id, &["completed", "failed"]).await;
        n_results += u64::from(a.result(job_id).await.status == 200);
    }
    assert_eq!((n_completed, n_refused, n_results), (3, 5, 3));
    // What was agreed on can be read when nothing more is allowed.
    let plan = b.get(&format!("/v1/jobs/{}/plan", jobs[0])).await;
    assert_eq!(plan.status, 200, "{}", plan.json());
    // The next one is refused before anybody starts.
    let ninth = a.submit(spec).await;
    let at_b = b.reaches(&ninth, &["rejected"]).await;
    assert_eq!(at_b["ending"]["class"], "policy", "{at_b}");
    let state = b.state_dir().to_owned();
    a.stop().await;
    b.stop().await;
    counts(&state).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_changed_since_the_approval_counts_at_the_run() {
    let window = |from: &str, until: &str| {
        policy(&format!(
            "{{ constraint = \"timeWindow\", operator = \"isPartOf\", value = [\"{from}\", \"{until}\"] }}"
        ))
    };
    let world = World::new(&["a", "b", "c"]).await;
    world.write_policy("b", &window("2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z"));
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    let c = world.agent("c", Mode::Production, true).await;
    a.sees(&["a", "b", "c"]).await;
    c.sees(&["a", "b", "c"]).await;
    let job_id = a.submit(&job(&["a", "b", "c"], &["a"], "ot")).await;
    b.reaches(&job_id, &["accepted"]).await;
    c.reaches(&job_id, &["waiting"]).await;
    // The window of b's policy ends between its approval and the run.
    world.write_policy("b", &window("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
    let approve = format!("/v1/jobs/{job_id}/approve");
    assert_eq!(c.post(&approve, &json!({})).await.status, 200);
    let at_b = b.reaches(&job_id, &["failed"]).await;
    assert_eq!(at_b["ending"]["class"], "policy", "{at_b}");
    assert!(
        at_b.to_string()
            .contains("tables.visits.rules.counted.timeWindow"),
        "{at_b}"
    );
    let at_a = a.reaches(&job_id, &["failed"]).await;
    assert_eq!(at_a["ending"]["culprit"], "b", "{at_a}");
    assert!(!at_a.to_string().contains("timeWindow"), "{at_a}");
    let state = b.state_dir().to_owned();
    for agent in [a, b, c] {
        assert!(agent.result_files().is_empty());
        agent.stop().await;
    }
    assert_eq!(counted(&state).await, 0);
}

/// Tells that a milestone is reached, and waits there to be killed.
struct Waits {
    at: Milestone,
    told: std::path::PathBuf,
}

impl Watcher for Waits {
    fn reached<'a>(&'a self, _job: JobId, milestone: Milestone) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if milestone == self.at {
                std::fs::write(&self.told, "").expect("written");
                std::future::pending::<()>().await;
            }
        })
    }
}

pub(crate) const MILESTONES: [(&str, Milestone); 4] = [
    ("before reserve", Milestone::Reserve),
    ("after reserve", Milestone::Reserved),
    ("after the first message", Milestone::Sent),
    ("before commit", Milestone::Commit),
];

/// Not a test by itself: the agent that [`a_killed_agent_never_runs_more_often_than_allowed`] kills.
#[test]
fn child_process() {
    let (Ok(config), Ok(label)) = (std::env::var(CHILD_CONFIG), std::env::var(CHILD_KILLED_AT))
    else {
        return;
    };
    let (_, at) = MILESTONES
        .into_iter()
        .chain(crate::evidence_crash::MILESTONES)
        .find(|(name, _)| *name == label)
        .expect("a milestone");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = AgentConfig::load(Path::new(&config)).expect("a configuration");
    let told = config.state.join("reached");
    let milestones = Milestones::watched_by(Arc::new(Waits { at, told }));
    runtime.block_on(async {
        let agent = Agent::start_watched(config, Mode::Rehearsal, milestones).await;
        let agent = agent.expect("the agent starts");
        agent.run(std::future::pending()).await;
    });
}

/// The configuration of a party, as a file.
fn written(world: &World, party: &str) -> std::path::PathBuf {
    let home = world.home(party);
    let text = format!(
        "name = \"{party}\"\nidentity = \"identity\"\ntrusted = \"trusted.toml\"\nstate = \"state\"\npolicy = \"policy.toml\"\n\
         [coordinator]\nname = \"hub\"\naddress = \"{}\"\nfingerprint = \"{}\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [[dataset]]\nname = \"visits\"\nkind = \"csv\"\npath = \"visits.csv\"\n",
        world.address,
        world.coordinator.fingerprint()
    );
    let path = home.join("agent.toml");
    std::fs::write(&path, text).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_agent_never_runs_more_often_than_allowed() {
    let spec = job(&["a", "b"], &["a"], "ot");
    for (label, milestone) in MILESTONES {
        let world = World::new(&["a", "b"]).await;
        world.write_policy("b", &at_most(1));
        let counts = killed(&world, &spec, (label, milestone)).await;
        let n: u64 = counts.by_rule.values().map(|c| c.n).sum();
        assert_eq!(n, 1, "killed {label}");
    }
}

/// Starts b as a process of its own, lets `a` submit a job, and kills b with a signal that it cannot catch when it has come so far.
/// Returns the job.
pub(crate) async fn killed_in_a_job(world: &World, a: &Running, spec: &str, label: &str) -> String {
    let reached = world.home("b").join("state/reached");
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "counters_crash::child_process", "--nocapture"])
        .env(CHILD_CONFIG, written(world, "b"))
        .env(CHILD_KILLED_AT, label)
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    a.sees(&["a", "b"]).await;
    let job_id = a.submit(spec).await;
    within(label, async {
        while !reached.exists() {
            let ended = child.try_wait().expect("a state");
            assert!(ended.is_none(), "the child has ended by itself");
            tokio::task::yield_now().await;
        }
    })
    .await;
    child.kill().expect("killed");
    child.wait().expect("gone");
    job_id
}

/// Kills b, whose policy allows one run, at a milestone of a job, starts it again and tries twice more. There is one result at most,
/// and one where nothing was sent before. Returns what b has counted.
pub(crate) async fn killed(
    world: &World,
    spec: &str,
    (label, milestone): (&str, Milestone),
) -> RunCounts {
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let first = killed_in_a_job(world, &a, spec, label).await;
    let spent = u64::from(milestone >= Milestone::Sent);
    let b = world.agent("b", Mode::Rehearsal, false).await;
    let at_b = b.reaches(&first, &["accepted", "failed"]).await;
    let mut n_results = 0;
    // Killed before it was counted, the job itself is still there to be run.
    let mut jobs = vec![first.clone()];
    if at_b["state"] == "failed" {
        assert_ne!(milestone, Milestone::Reserve, "{label}: {at_b}");
    }
    a.sees(&["a", "b"]).await;
    for _ in 0..2 {
        jobs.push(a.submit(spec).await);
    }
    for job_id in &jobs {
        b.reaches(job_id, &["completed", "failed", "rejected"])
            .await;
        let ends = ["completed", "failed", "rejected"];
        a.reaches(job_id, &ends).await;
        n_results += u64::from(a.result(job_id).await.status == 200);
    }
    // The run is not lost if nothing was sent, and there is never a second one.
    let opened = u64::from(spent == 0 || milestone == Milestone::Commit);
    assert_eq!(n_results, opened, "killed {label}");
    let state = b.state_dir().to_owned();
    a.stop().await;
    b.stop().await;
    counts(&state).await
}
