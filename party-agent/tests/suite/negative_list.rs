//! A negative list: signed, never older than before, and stronger than any policy or approval.

use coordinator::contract::Signed;
use coordinator::tls::Identity;
use party_agent::agent::Mode;
use party_agent::config::AgentConfig;
use party_agent::policy::negative::{NegativeList, NegativeListFile, NegativeRule};
use serde_json::json;

use crate::world::{Running, World, job, name};

pub(crate) fn rule(id: &str, columns: &str) -> NegativeRule {
    NegativeRule {
        id: id.to_owned(),
        columns: columns.to_owned(),
        tables: None,
        class: None,
        purposes: None,
        receivers: None,
        reason: "not to be counted".to_owned(),
    }
}

pub(crate) fn list(version: u64, rules: &[NegativeRule]) -> NegativeList {
    NegativeList {
        issuer: name("regulator"),
        version,
        rules: rules.to_vec(),
        revoked: Vec::new(),
    }
}

/// Parties a, b and c, and a regulator without an agent whose list b keeps to.
pub(crate) struct Scene {
    pub(crate) world: World,
    a: Running,
    b: Running,
    c: Running,
}

pub(crate) fn config(world: &World, party: &str) -> AgentConfig {
    let mut config = world.config(party, true);
    config.negative_list = Some(NegativeListFile {
        file: world.home(party).join("list.json"),
        issuer: name("regulator"),
    });
    config
}

impl Scene {
    pub(crate) async fn start(first: &NegativeList) -> Self {
        let world = World::new(&["a", "b", "c", "regulator"]).await;
        publish(&world, "b", first, world.identity("regulator"));
        let a = world.agent("a", Mode::Rehearsal, true).await;
        let b = Running::start(config(&world, "b"), Mode::Rehearsal).await;
        let c = world.agent("c", Mode::Production, true).await;
        for agent in [&a, &b, &c] {
            agent.sees(&["a", "b", "c"]).await;
        }
        Self { world, a, b, c }
    }

    pub(crate) async fn stop(self) {
        for agent in [self.a, self.b, self.c] {
            agent.stop().await;
        }
    }

    /// What b says to a job over a and b.
    pub(crate) async fn verdict(&self) -> (String, String) {
        let job_id = self.a.submit(&job(&["a", "b"], &["a"], "ot")).await;
        let ends = ["completed", "rejected", "failed"];
        let at_b = self.b.reaches(&job_id, &ends).await;
        self.a.reaches(&job_id, &ends).await;
        let state = at_b["state"].as_str().expect("a state").to_owned();
        (state, at_b["ending"]["what"].to_string())
    }
}

pub(crate) fn publish(world: &World, party: &str, list: &NegativeList, signer: &Identity) {
    let signed = Signed::sign(list, signer).expect("signed");
    let text = serde_json::to_string(&signed).expect("JSON");
    std::fs::write(world.home(party).join("list.json"), text).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_blocks_an_approved_job_at_its_run() {
    let scene = Scene::start(&list(1, &[])).await;
    let job_id = scene.a.submit(&job(&["a", "b", "c"], &["a"], "ot")).await;
    scene.b.reaches(&job_id, &["accepted"]).await;
    scene.c.reaches(&job_id, &["waiting"]).await;
    let regulator = scene.world.identity("regulator");
    publish(
        &scene.world,
        "b",
        &list(2, &[rule("N-7", "sta*")]),
        regulator,
    );
    let approve = format!("/v1/jobs/{job_id}/approve");
    assert_eq!(scene.c.post(&approve, &json!({})).await.status, 200);
    let at_b = scene.b.reaches(&job_id, &["failed"]).await;
    assert_eq!(at_b["ending"]["class"], "policy", "{at_b}");
    let what = at_b["ending"]["what"].to_string();
    assert!(what.contains("negative list 2 of regulator: N-7"), "{what}");
    let at_a = scene.a.reaches(&job_id, &["failed"]).await;
    assert!(!at_a.to_string().contains("N-7"), "{at_a}");
    let status = scene.b.get("/v1/status").await.json();
    assert_eq!(status["reads"], 0, "{status}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_unsigned_and_foreign_lists_allow_nothing() {
    let scene = Scene::start(&list(3, &[])).await;
    let regulator = scene.world.identity("regulator");
    assert_eq!(scene.verdict().await.0, "completed");
    let file = scene.world.home("b").join("list.json");
    let good = std::fs::read_to_string(&file).expect("read");
    let other = NegativeList {
        issuer: name("c"),
        ..list(4, &[])
    };
    type Change<'a> = Box<dyn Fn() + 'a>;
    let world = &scene.world;
    let cases: [(&str, Change<'_>); 7] = [
        (
            "older",
            Box::new(|| publish(world, "b", &list(2, &[]), regulator)),
        ),
        (
            "another of the same number",
            Box::new(|| publish(world, "b", &list(3, &[rule("x", "y")]), regulator)),
        ),
        (
            "another key",
            Box::new(|| publish(world, "b", &list(4, &[]), world.identity("c"))),
        ),
        (
            "another issuer",
            Box::new(|| publish(world, "b", &other, regulator)),
        ),
        (
            "changed",
            Box::new(|| {
                let changed = good.replacen("\\\"version\\\":3", "\\\"version\\\":5", 1);
                assert_ne!(changed, good, "the body is written as text");
                std::fs::write(&file, changed).expect("written");
            }),
        ),
        (
            "unsigned",
            Box::new(|| {
                std::fs::write(&file, "{\"version\":9,\"rules\":[]}").expect("written");
            }),
        ),
        (
            "missing",
            Box::new(|| std::fs::remove_file(&file).expect("removed")),
        ),
    ];
    for (case, change) in cases {
        change();
        let (state, _) = scene.verdict().await;
        assert_eq!(state, "rejected", "{case}");
    }
    publish(world, "b", &list(4, &[]), regulator);
    assert_eq!(scene.verdict().await.0, "completed");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_applies_where_all_that_it_says_applies() {
    let scene = Scene::start(&list(1, &[])).await;
    let regulator = scene.world.identity("regulator");
    let with = |change: &dyn Fn(&mut NegativeRule)| {
        let mut rule = rule("N-1", "stay");
        change(&mut rule);
        rule
    };
    let text = |t: &str| Some(t.to_owned());
    let cases = [
        (with(&|_| ()), true),
        (with(&|r| r.columns = "Stay".to_owned()), false),
        (with(&|r| r.tables = text("visits")), true),
        (with(&|r| r.tables = text("claims")), false),
        (with(&|r| r.purposes = text("IRB 7*")), true),
        (with(&|r| r.purposes = text("IRB 8*")), false),
        (with(&|r| r.receivers = text("a")), true),
        (with(&|r| r.receivers = text("c")), false),
        // The column has no class: it may be of any.
        (
            with(&|r| r.class = Some(party_agent::catalogue::Class::L4)),
            true,
        ),
    ];
    for (i, (rule, forbidden)) in cases.into_iter().enumerate() {
        publish(
            &scene.world,
            "b",
            &list(i as u64 + 2, std::slice::from_ref(&rule)),
            regulator,
        );
        let (state, what) = scene.verdict().await;
        let expected = if forbidden { "rejected" } else { "completed" };
        assert_eq!(state, expected, "{rule:?}: {what}");
    }
    scene.stop().await;
}
