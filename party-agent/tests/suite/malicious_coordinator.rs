//! A coordinator that lies, alone and together with a party: nothing is accepted, and no table is read.

use std::collections::BTreeMap;

use coordinator::contract::{
    Acceptance, CatalogueDoc, Contract, Digest, JobId, Nonce, PartyName, PublicKey, Published,
    SignatureBytes, Signed,
};
use coordinator::control::{Event, Start};
use coordinator::job::JobState;
use coordinator::tls::Identity;
use party_agent::agent::Mode;
use serde_json::Value;

use crate::hub::Hub;
use crate::world::{Running, World, job, name};

/// Agents a and b at a hub that the test plays; c is a party in league with it. What a honestly proposes is known.
struct Scene {
    world: World,
    hub: Hub,
    a: Running,
    b: Running,
    honest: Signed<Contract>,
}

async fn scene() -> Scene {
    let mut world = World::new(&["a", "b", "c"]).await;
    let hub = Hub::instead_of(&mut world).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    // It accepts whatever its policy passes: nobody stands between the hub and what is checked here.
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    hub.hears("a's own acceptance", |h| h.accepted.len() == 1)
        .await;
    let honest = hub.heard.lock().expect("no panic").proposed[0].clone();
    Scene {
        world,
        hub,
        a,
        b,
        honest,
    }
}

impl Scene {
    fn contract(&self) -> Contract {
        let key = self.world.identity("a").fingerprint();
        self.honest.verify(&key).expect("a's own")
    }

    /// The contract that a proposed, changed and signed by somebody else.
    fn changed(&self, signer: &Identity, id: u8, change: impl FnOnce(&mut Contract)) -> Event {
        let mut contract = self.contract();
        contract.job_id = JobId([id; 16]);
        change(&mut contract);
        Event::JobProposed(Signed::sign(&contract, signer).expect("signed"))
    }

    /// Bytes that a never signed, under a's signature of others.
    fn forged(&self, from: &str, to: &str) -> Event {
        let body = String::from_utf8(self.honest.body().to_vec()).expect("text");
        assert!(body.contains(from), "{from} is not in {body}");
        Event::JobProposed(Signed::from_parts(
            body.replacen(from, to, 1).into_bytes(),
            PublicKey(self.honest.public_key().0),
            SignatureBytes(self.honest.signature().0),
        ))
    }

    fn accepted_by_b(&self) -> usize {
        let heard = self.hub.heard.lock().expect("no panic");
        heard
            .accepted
            .iter()
            .filter(|(p, _)| p.as_str() == "b")
            .count()
    }

    async fn reads(&self, agent: &Running) -> Value {
        agent.get("/v1/status").await.json()["reads"].clone()
    }

    /// Ends with a proposal that b answers, so that everything before it was dealt with.
    async fn settled(&self, id: u8) {
        let stranger = Identity::generate(name("stranger"), 1).expect("an identity");
        let before = self.hub.heard.lock().expect("no panic").rejected.len();
        self.hub.tell("b", self.changed(&stranger, id, |_| ()));
        self.hub
            .hears("b's answer to a stranger", |h| h.rejected.len() > before)
            .await;
    }

    async fn stop(self) {
        assert_eq!(
            self.hub.heard.lock().expect("no panic").relays,
            0,
            "nobody was dialled"
        );
        for agent in [&self.a, &self.b] {
            assert_eq!(self.reads(agent).await, 0, "no table was read");
            assert!(agent.result_files().is_empty());
        }
        self.a.stop().await;
        self.b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_and_forged_proposals_are_not_accepted() {
    let scene = scene().await;
    let c = std::sync::Arc::clone(scene.world.identity("c"));
    let hub = std::sync::Arc::clone(&scene.world.coordinator);
    // Under a's signature of something else: wider, to others, for another purpose, for longer.
    for (from, to) in [
        ("min_cell = 3", "min_cell = 1"),
        ("\"receivers\":[\"a\"]", "\"receivers\":[\"b\"]"),
        ("IRB 7", "IRB 8"),
        ("SUM(stay)", "MIN(stay)"),
        ("a.visits", "a.others"),
        ("\"proposer\":\"a\"", "\"proposer\":\"b\""),
    ] {
        scene.hub.tell("b", scene.forged(from, to));
    }
    let widened = scene
        .contract()
        .spec
        .replace("min_cell = 3", "min_cell = 1");
    let other_table = scene.contract().spec.replace("b.visits", "b.secrets");
    let a = std::sync::Arc::clone(scene.world.identity("a"));
    let with = |spec: &str| {
        let spec = spec.to_owned();
        move |contract: &mut Contract| contract.spec = spec
    };
    let events = [
        // Signed by the hub itself, and by a party in league with it.
        scene.changed(&hub, 1, |_| ()),
        scene.changed(&hub, 2, with(&widened)),
        scene.changed(&c, 3, |_| ()),
        scene.changed(&c, 4, with(&widened)),
        // Signed by the proposer, who is in league with it too.
        scene.changed(&a, 5, with(&widened)),
        scene.changed(&a, 6, |contract| contract.receivers = vec![name("b")]),
        scene.changed(&a, 7, with(&other_table)),
        scene.changed(&a, 8, |contract| {
            (contract.created, contract.not_after) = (1_000_000_000, 1_000_000_100);
        }),
        scene.changed(&a, 9, |contract| contract.plan = Digest([7; 32])),
        scene.changed(&a, 10, |contract| {
            contract.catalogues.remove(&name("b"));
        }),
        scene.changed(&a, 11, |contract| {
            let party = contract.parties.iter_mut().find(|p| p.name == name("a"));
            party.expect("a party").fingerprint = c.fingerprint();
        }),
        scene.changed(&a, 12, |contract| {
            contract.purpose = "something else".to_owned()
        }),
    ];
    let n_events = events.len();
    for event in events {
        scene.hub.tell("b", event);
    }
    // Those whose signature is nobody's are not even answered.
    scene
        .hub
        .hears("b's answers", |h| h.rejected.len() == n_events)
        .await;
    scene.settled(99).await;
    assert_eq!(scene.accepted_by_b(), 0);
    for (_, rejection) in &scene.hub.heard.lock().expect("no panic").rejected {
        let key = scene.world.identity("b").fingerprint();
        let rejection = rejection.verify(&key).expect("signed by b");
        assert!(
            !rejection.code.is_empty() && rejection.code != "internal",
            "{rejection:?}"
        );
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_the_place_of_a_job_of_somebody_else() {
    let scene = scene().await;
    let of_b = scene.b.submit(&scene.contract().spec).await;
    let earlier: JobId = of_b.parse().expect("an id");
    let a = std::sync::Arc::clone(scene.world.identity("a"));
    let event = scene.changed(&a, 1, |contract| contract.supersedes = Some(earlier));
    scene.hub.tell("b", event);
    scene
        .hub
        .hears("b's answer", |h| !h.rejected.is_empty())
        .await;
    let rejection = scene.hub.heard.lock().expect("no panic").rejected[0]
        .1
        .clone();
    let rejection = rejection.verify(&scene.world.identity("b").fingerprint());
    assert_eq!(rejection.expect("signed by b").code, "supersedes");
    let still = scene.b.get(&format!("/v1/jobs/{of_b}")).await.json();
    assert_eq!(still["state"], "accepted", "{still}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_all_have_approved_start_nothing() {
    let scene = scene().await;
    let key = scene.world.identity("a").fingerprint();
    let by_a = scene.hub.heard.lock().expect("no panic").accepted[0]
        .1
        .clone();
    let start = |contract: &Signed<Contract>, acceptances: Vec<Signed<Acceptance>>| {
        Event::Start(Box::new(Start {
            contract: contract.clone(),
            acceptances,
            addresses: BTreeMap::from([(name("a"), None), (name("b"), None)]),
        }))
    };
    let id = scene.contract().job_id;
    let states = |job_id: JobId| {
        [JobState::Accepted, JobState::Running, JobState::Completed]
            .map(|state| Event::JobState { job_id, state })
    };
    // Before b has heard of the job at all.
    for event in states(id) {
        scene.hub.tell("b", event);
    }
    scene
        .hub
        .tell("b", start(&scene.honest, vec![by_a.clone()]));
    scene.settled(50).await;
    assert_eq!(scene.accepted_by_b(), 0);

    // The honest proposal, which b accepts. It alone.
    scene
        .hub
        .tell("b", Event::JobProposed(scene.honest.clone()));
    scene
        .hub
        .hears("b's acceptance", |h| h.accepted.len() == 2)
        .await;
    let by_b = scene.hub.heard.lock().expect("no panic").accepted[1]
        .1
        .clone();
    let other = |signer: &Identity, change: &dyn Fn(&mut Acceptance)| {
        let mut acceptance = by_a.verify(&key).expect("a's own");
        change(&mut acceptance);
        Signed::sign(&acceptance, signer).expect("signed")
    };
    let (a, c) = (scene.world.identity("a"), scene.world.identity("c"));
    let another_contract = {
        let mut contract = scene.contract();
        contract.purpose = "something else".to_owned();
        Signed::sign(&contract, c).expect("signed")
    };
    // Another contract under the job's id is known for what it is, and changes nothing.
    scene.hub.tell(
        "b",
        start(&another_contract, vec![by_a.clone(), by_b.clone()]),
    );
    scene.settled(51).await;
    let job_id = id.to_string();
    let at_b = scene.b.get(&format!("/v1/jobs/{job_id}")).await.json();
    assert_eq!(at_b["state"], "accepted", "{at_b}");
    // An approval in a's name: missing, doubled, of somebody else, for another contract or plan. The first ends the job here.
    let forged = other(c, &|_| ());
    let replayed = other(a, &|acceptance| acceptance.contract = Digest([3; 32]));
    let wider = other(a, &|acceptance| acceptance.plan = Digest([4; 32]));
    let renamed = other(a, &|acceptance| acceptance.nonce = Nonce([0; 32]));
    for acceptances in [
        vec![by_b.clone()],
        vec![by_a.clone(), by_a.clone(), by_b.clone()],
        vec![forged, by_b.clone()],
        vec![replayed, by_b.clone()],
        vec![wider, by_b.clone()],
        vec![by_a.clone(), renamed],
    ] {
        scene.hub.tell("b", start(&scene.honest, acceptances));
    }
    let at_b = scene.b.reaches(&job_id, &["failed"]).await;
    assert_eq!(at_b["ending"]["class"], "check_failed", "{at_b}");
    // What has ended stays so, with all the approvals in the world.
    scene.hub.tell("b", start(&scene.honest, vec![by_a, by_b]));
    for event in states(id) {
        scene.hub.tell("b", event);
    }
    scene.settled(52).await;
    let at_b = scene.b.get(&format!("/v1/jobs/{job_id}")).await.json();
    assert_eq!(at_b["state"], "failed", "{at_b}");
    assert_eq!(scene.accepted_by_b(), 1, "the honest one");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_catalogue_of_a_party_is_not_taken_for_its_present_one() {
    let scene = scene().await;
    let a = PartyName::new("a").expect("a name");
    let key = scene.world.identity("a").fingerprint();
    let present = scene.hub.heard.lock().expect("no panic").catalogues[&a].clone();
    let document: CatalogueDoc = present.catalogue.verify(&key).expect("a's own");
    // b has seen a newer one.
    let newer = CatalogueDoc {
        version: document.version + 5,
        ..document
    };
    let newer = Signed::sign(&newer, scene.world.identity("a")).expect("signed");
    let show = |published: Published| {
        let mut heard = scene.hub.heard.lock().expect("no panic");
        heard.catalogues.insert(a.clone(), published);
    };
    show(newer.into());
    assert_eq!(scene.b.get("/v1/datasets/a.visits").await.status, 200);
    show(present);
    let before = scene.hub.heard.lock().expect("no panic").rejected.len();
    scene
        .hub
        .tell("b", Event::JobProposed(scene.honest.clone()));
    scene
        .hub
        .hears("b's refusal", |h| h.rejected.len() > before)
        .await;
    let key = scene.world.identity("b").fingerprint();
    let rejection = scene.hub.heard.lock().expect("no panic").rejected[before]
        .1
        .clone();
    let rejection = rejection.verify(&key).expect("signed by b");
    assert_eq!(rejection.code, "catalogue", "{rejection:?}");
    assert_eq!(scene.accepted_by_b(), 0);
    scene.stop().await;
}
