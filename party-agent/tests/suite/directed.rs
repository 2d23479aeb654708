//! Tables for some parties: the others are told nothing of them, whoever asks and however, and what is shown to those whom they are for is
//! what their holder has signed.

use std::sync::Arc;

use coordinator::client::{ClientConfig, CoordinatorClient};
use coordinator::contract::{Contract, JobId, Published, Signed};
use coordinator::control::{Answer, Event, codec};
use coordinator::job::{FailureClass, JobState};
use coordinator::tls::Expect;
use party_agent::agent::Mode;
use party_agent::config::{AgentConfig, Dataset};
use party_agent::source::DatasetSpec;

use crate::hub::Hub;
use crate::world::{POLICY, Running, World, job, name, visits, within};

/// Of b for a alone.
const TABLE: &str = "genomes";
const NOTE: &str = "carriers of brca1";

/// b with such a table beside the one that all see.
fn with_genomes(world: &World, visible_to: &str) -> AgentConfig {
    let rows = "columns = { kind = { group_by = true, categories = [\"x\", \"y\", \"z\"] }, stay = { aggregate = [\"count\", \"sum\", \"avg\"], range = [0, 9000000] } }";
    let policy =
        format!("{POLICY}[tables.{TABLE}]\nnote = \"{NOTE}\"\nvisible_to = {visible_to}\n{rows}\n");
    world.write_policy("b", &policy);
    let file = world.home("b").join("genomes.csv");
    std::fs::write(&file, visits(1)).expect("written");
    let mut config = world.config("b", true);
    config.datasets.push(Dataset {
        name: TABLE.to_owned(),
        spec: DatasetSpec::Csv(file),
        consent: None,
    });
    config
}

/// The usual job, of b's other table.
fn over(table: &str, receivers: &[&str]) -> String {
    job(&["a", "b"], receivers, "ot").replace("b.visits", table)
}

fn tells(what: &str) -> bool {
    let what = what.to_lowercase();
    [TABLE, NOTE, "brca1"]
        .iter()
        .any(|word| what.contains(word))
}

async fn tables(agent: &Running) -> String {
    let found = agent.get("/v1/catalogue?words=").await.json().to_string();
    let listed = agent.get("/v1/datasets").await.json().to_string();
    let dcat = agent.get("/v1/catalogue/dcat?words=").await.json();
    assert!(found.contains("visits") && listed.contains("visits"));
    format!("{found}{listed}{dcat}")
}

/// A line to the coordinator as this party, without an agent.
fn line(world: &World, party: &str) -> CoordinatorClient {
    let expected = Expect {
        name: world.coordinator.name().clone(),
        fingerprint: world.coordinator.fingerprint(),
    };
    let identity = Arc::clone(world.identity(party));
    let config = ClientConfig::new(identity, world.address.to_string(), expected);
    CoordinatorClient::connect(config).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_not_listed_learn_nothing_and_others_compute() {
    let world = World::new(&["a", "b", "c"]).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = Running::start(with_genomes(&world, "[\"a\"]"), Mode::Rehearsal).await;
    let c = world.agent("c", Mode::Rehearsal, true).await;
    for agent in [&a, &b, &c] {
        agent.sees(&["a", "b", "c"]).await;
    }
    assert!(tells(&tables(&a).await) && tells(&tables(&b).await));
    assert!(!tells(&tables(&c).await));
    let for_whom = a.get("/v1/datasets/b.genomes").await.json();
    assert_eq!(for_whom["visible_to"], serde_json::json!(["a"]));
    let absent = async |table: &str| {
        let answer = c.get(&format!("/v1/datasets/b.{table}")).await;
        let text = answer.json().to_string();
        (answer.status, text.replace(table, "NAME"))
    };
    assert_eq!(absent(TABLE).await, absent("nothing").await);
    assert_eq!(absent(TABLE).await.0, 404);
    // Those whom it is for compute; what it says is what the union says with the same rows in the table that all see.
    let job_id = a.submit(&over("b.genomes", &["a"])).await;
    a.reaches(&job_id, &["completed"]).await;
    let of_genomes = a.result(&job_id).await.json();
    let job_id = a.submit(&over("b.visits", &["a"])).await;
    a.reaches(&job_id, &["completed"]).await;
    let of_visits = a.result(&job_id).await.json();
    assert!(of_visits["rows"].as_array().is_some_and(|r| !r.is_empty()));
    assert_eq!(of_genomes["rows"], of_visits["rows"]);
    // With somebody else it does not leave the agent, which says why to its own people.
    let submit = async |agent: &Running, spec: &str| {
        let body = serde_json::json!({ "spec": spec, "by": "maria" });
        let answer = agent.post("/v1/jobs", &body).await;
        assert_ne!(answer.status, 200);
        answer.json().to_string()
    };
    let refused = submit(&a, &over("b.genomes", &["c"])).await;
    assert!(
        refused.contains("c takes part and may not see b.genomes"),
        "{refused}"
    );
    let of = |table: &str| over(table, &["c"]);
    let guessed = submit(&c, &of("b.genomes")).await.replace(TABLE, "nothing");
    assert_eq!(guessed, submit(&c, &of("b.nothing")).await);
    for agent in [a, b, c] {
        agent.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_wire_nor_a_refusal_tells_of_the_table() {
    let world = World::new(&["a", "b", "c"]).await;
    let b = Running::start(with_genomes(&world, "[\"a\"]"), Mode::Rehearsal).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    b.sees(&["a", "b"]).await;
    a.sees(&["a", "b"]).await;
    let heard_by = async |line: &CoordinatorClient| {
        let of_b = line.catalogue(&name("b")).await.expect("an answer");
        let listed = line.directory().await.expect("an answer");
        let bytes = [
            codec::encode(&Answer::Catalogue(of_b.clone())).expect("encoded"),
            codec::encode(&Answer::Directory(listed)).expect("encoded"),
        ]
        .concat();
        (
            of_b.expect("published"),
            String::from_utf8_lossy(&bytes).into_owned(),
        )
    };
    let as_c = line(&world, "c");
    let (of_b, bytes) = heard_by(&as_c).await;
    assert!(bytes.contains("visits") && !tells(&bytes));
    // As many digests as at a party that has no such table.
    let document = |published: &Published, party: &str| {
        let key = world.identity(party).fingerprint();
        published.catalogue.verify(&key).expect("signed")
    };
    let of_a = as_c.catalogue(&name("a")).await.expect("an answer");
    let n_of_a = document(&of_a.expect("published"), "a").directed.len();
    assert_eq!(document(&of_b, "b").directed.len(), n_of_a);
    assert!(n_of_a > 1);
    // c writes contracts by hand. b refuses the table that it guesses in the words for one that does not exist.
    let holders = ["a", "b"];
    let proposed = async |id: u8, bare: &str| {
        let table = &format!("b.{bare}");
        let seat = |party: &str, role| coordinator::contract::ContractParty {
            name: name(party),
            fingerprint: world.identity(party).fingerprint(),
            role,
            computing: true,
        };
        use coordinator::contract::PartyRole::{Holder, Receiver};
        let mut catalogues = std::collections::BTreeMap::new();
        for holder in holders {
            let published = as_c.catalogue(&name(holder)).await.expect("an answer");
            let published = published.expect("published");
            catalogues.insert(name(holder), published.catalogue.digest());
        }
        let created = coordinator::clock::Clock::now_unix_s(&coordinator::clock::SystemClock);
        let contract = Contract {
            format: coordinator::contract::CONTRACT_FORMAT,
            job_id: JobId([id; 16]),
            job: "stays".to_owned(),
            purpose: "IRB 7: stays by kind".to_owned(),
            spec: over(table, &["c"]),
            proposer: name("c"),
            parties: vec![seat("a", Holder), seat("b", Holder), seat("c", Receiver)],
            receivers: vec![name("c")],
            catalogues,
            plan: coordinator::contract::Digest([0; 32]),
            created,
            not_after: created + 3600,
            supersedes: None,
            resumes: None,
        };
        let signed = Signed::sign(&contract, world.identity("c")).expect("signed");
        as_c.propose(signed).await.expect("proposed");
        within("a refusal", async {
            loop {
                let view = as_c.job_status(JobId([id; 16])).await.expect("its own");
                if let Some(rejection) = view.rejection {
                    let key = coordinator::tls::Fingerprint::of(&rejection.public_key());
                    let rejection = rejection.verify(&key).expect("signed");
                    assert!(matches!(
                        view.state,
                        JobState::Failed {
                            class: FailureClass::Rejected,
                            ..
                        }
                    ));
                    return (rejection.code, rejection.reason.replace(bare, "NAME"));
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let guessed = proposed(1, TABLE).await;
    assert_eq!(guessed, proposed(2, "nothing").await);
    assert_eq!(guessed.0, "plan");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_that_was_changed_withheld_or_shown_to_others_is_no_good() {
    let mut world = World::new(&["a", "b", "c"]).await;
    let hub = Hub::instead_of(&mut world).await;
    // A hub that shows everything to everybody.
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = Running::start(with_genomes(&world, "[\"a\"]"), Mode::Rehearsal).await;
    let c = world.agent("c", Mode::Rehearsal, true).await;
    for agent in [&a, &b, &c] {
        agent.sees(&["a", "b", "c"]).await;
    }
    assert_eq!(c.get("/v1/datasets/b.genomes").await.status, 404);
    assert!(!tells(&c.get("/v1/datasets").await.json().to_string()));
    assert_eq!(a.get("/v1/datasets/b.genomes").await.status, 200);
    b.submit(&over("b.genomes", &["b"])).await;
    hub.hears("b's own acceptance", |h| h.accepted.len() == 1)
        .await;
    let honest = hub.heard.lock().expect("no panic").proposed[0].clone();
    let contract = honest
        .verify(&world.identity("b").fingerprint())
        .expect("b's own");
    let present = hub.heard.lock().expect("no panic").catalogues[&name("b")].clone();
    // a's answer to the same contract under another id, with this in the place of what b has published.
    let answered = async |id: u8, published: &Published| {
        let n_before = {
            let mut heard = hub.heard.lock().expect("no panic");
            heard.catalogues.insert(name("b"), published.clone());
            (heard.accepted.len(), heard.rejected.len())
        };
        let same = Contract {
            job_id: JobId([id; 16]),
            ..contract.clone()
        };
        let signed = Signed::sign(&same, world.identity("b")).expect("signed");
        hub.tell("a", Event::JobProposed(signed));
        hub.hears("a's answer", |h| {
            (h.accepted.len(), h.rejected.len()) != n_before
        })
        .await;
        let heard = hub.heard.lock().expect("no panic");
        let key = world.identity("a").fingerprint();
        let rejection = heard.rejected.get(n_before.1);
        rejection.map(|(_, signed)| signed.verify(&key).expect("signed").code)
    };
    assert_eq!(answered(1, &present).await, None, "the honest one");
    let [kept] = &present.directed[..] else {
        panic!("one description");
    };
    let shown = |directed| Published {
        catalogue: present.catalogue.clone(),
        directed,
    };
    let mut changed = kept.clone();
    changed.body = changed.body.replace("9000000", "900000");
    assert_ne!(&changed, kept);
    let mut for_more = kept.clone();
    for_more.visible_to.push(name("c"));
    let mut salted = kept.clone();
    salted.salt.0[0] ^= 1;
    let cases = [
        ("catalogue", vec![changed]),
        ("catalogue", vec![for_more]),
        ("catalogue", vec![salted]),
        ("catalogue", vec![kept.clone(), kept.clone()]),
        ("plan", Vec::new()),
    ];
    for (id, (code, directed)) in (2..).zip(cases) {
        assert_eq!(
            answered(id, &shown(directed)).await.as_deref(),
            Some(code),
            "{id}"
        );
    }
    for agent in [a, b, c] {
        agent.stop().await;
    }
}
