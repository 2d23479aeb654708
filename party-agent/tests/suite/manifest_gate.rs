//! Manifests of procedures: whole, agreed on by all parties, and what holders allow. That nothing is sent which a manifest does
//! not list is tested by every run of this suite, for runs go through the gate that holds them to it (`execute/gate.rs`).

use std::collections::BTreeSet;

use coordinator::contract::{Digest, Signed};
use coordinator::tls::Identity;
use party_agent::agent::Mode;
use party_agent::manifest::Manifest;
use party_agent::policy::{Policy, Review};

use crate::world::{POLICY, World, job, name};

#[test]
fn every_manifest_is_whole_and_a_lack_is_found() {
    let mut ids = BTreeSet::new();
    for manifest in Manifest::all() {
        assert_eq!(manifest.lint(), [], "{}", manifest.id);
        assert!(ids.insert(&manifest.id), "{}", manifest.id);
    }
    let whole = &Manifest::all()[0];
    let lacks: [(&str, fn(&mut Manifest)); 7] = [
        ("leaks says nothing", |m| m.leaks.clear()),
        ("opens says nothing", |m| m.opens.clear()),
        ("adversary says nothing", |m| m.adversary.clear()),
        ("messages says nothing", |m| m.messages.clear()),
        ("Maskd is no kind of message", |m| {
            m.messages.push("Maskd".to_owned())
        }),
        ("no number is a parties", |m| m.parameters[0].least = 99),
        ("an id is entente: and a word", |m| {
            m.id = "totals".to_owned()
        }),
    ];
    for (fault, change) in lacks {
        let mut changed = whole.clone();
        change(&mut changed);
        let found: Vec<String> = changed.lint().into_iter().map(|f| f.what).collect();
        assert_eq!(found, [fault]);
        assert_ne!(changed.digest(), whole.digest(), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_allows_a_procedure_by_its_digest() {
    let name = |id: &str| manifest(id).name();
    let allows = |id: &str| {
        let rule = format!(
            "[tables.visits.rules.vetted]\nactions = [\"compute\"]\nconstraints = [{{ constraint = \"algorithm\", operator = \"isAnyOf\", \
             value = [\"{}\"] }}]\n[tables.visits.columns]",
            name(id)
        );
        POLICY.replace("[tables.visits.columns]", &rule)
    };
    let world = World::new(&["a", "b"]).await;
    world.write_policy("b", &allows("entente:join"));
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let spec = job(&["a", "b"], &["a"], "ot");
    let refused = a.submit(&spec).await;
    let at_b = b.reaches(&refused, &["rejected"]).await;
    assert!(
        at_b.to_string()
            .contains("tables.visits.rules.vetted.algorithm"),
        "{at_b}"
    );
    world.write_policy("b", &allows("entente:totals"));
    let allowed = a.submit(&spec).await;
    b.reaches(&allowed, &["completed"]).await;
    a.reaches(&allowed, &["completed"]).await;
    // All parties have agreed on it with the plan.
    let plan = b.get(&format!("/v1/jobs/{allowed}/plan")).await.json();
    let digest = plan["plan"]["manifest"].as_str().expect("a digest");
    assert_eq!(format!("sha256:{digest}"), name("entente:totals"));
    a.stop().await;
    b.stop().await;
}

fn manifest(id: &str) -> &'static Manifest {
    let found = Manifest::all().iter().find(|m| m.id == id);
    found.expect("a manifest")
}

/// A policy whose holder trusts these to vet procedures.
fn with_reviewers(reviewers: &[&Identity]) -> String {
    let listed = reviewers
        .iter()
        .map(|r| format!("{} = \"{}\"\n", r.name(), r.fingerprint()));
    let listed: String = listed.collect();
    POLICY.replace(
        "[tables.visits.columns]",
        &format!("[reviewers]\n{listed}[tables.visits.columns]"),
    )
}

fn review(reviewer: &Identity, manifest: Digest) -> String {
    let review = Review {
        manifest,
        procedure: "entente:totals".to_owned(),
        reviewer: reviewer.name().clone(),
    };
    let signed = Signed::sign(&review, reviewer).expect("signed");
    serde_json::to_string(&signed).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_procedure_takes_part_when_two_reviewers_have_signed_its_manifest() {
    let [lin, wei] = ["lin", "wei"].map(|r| Identity::generate(name(r), 30).expect("a key"));
    let world = World::new(&["a", "b"]).await;
    world.write_policy("b", &with_reviewers(&[&lin, &wei]));
    let reviews = world.home("b").join("reviews");
    std::fs::create_dir(&reviews).expect("a directory");
    let put = |file: &str, text: String| std::fs::write(reviews.join(file), text).expect("written");
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let spec = job(&["a", "b"], &["a"], "ot");
    let refused = async |why: &str| {
        let job_id = a.submit(&spec).await;
        let at_b = b.reaches(&job_id, &["rejected"]).await.to_string();
        assert!(at_b.contains("reviewers"), "{why}: {at_b}");
    };
    let totals = manifest("entente:totals").digest();
    refused("nobody has signed").await;
    put("lin.json", review(&lin, totals));
    put("lin-again.json", review(&lin, totals));
    refused("one has signed, twice").await;
    put("wei.json", review(&wei, manifest("entente:join").digest()));
    refused("the other has signed another manifest").await;
    put("wei.json", review(&wei, totals));
    let allowed = a.submit(&spec).await;
    b.reaches(&allowed, &["completed"]).await;
    a.stop().await;
    b.stop().await;
}

#[test]
fn reviews_that_are_not_those_of_listed_reviewers_make_a_policy_that_allows_nothing() {
    let [lin, wei, eve] =
        ["lin", "wei", "eve"].map(|r| Identity::generate(name(r), 30).expect("a key"));
    let as_wei = Identity::generate(name("wei"), 30).expect("a key");
    let totals = manifest("entente:totals").digest();
    let changed = review(&lin, totals).replacen("entente:totals", "entente:totalz", 1);
    let dir = tempfile::tempdir().expect("a directory");
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, with_reviewers(&[&lin, &wei])).expect("written");
    std::fs::create_dir(dir.path().join("reviews")).expect("a directory");
    let file = dir.path().join("reviews").join("one.json");
    for text in [
        review(&eve, totals),
        review(&as_wei, totals),
        changed,
        "{}".to_owned(),
    ] {
        std::fs::write(&file, &text).expect("written");
        let told = Policy::load(&policy).expect_err(&text).to_string();
        assert!(told.contains("one.json"), "{told}");
    }
    std::fs::write(&file, review(&lin, totals)).expect("written");
    assert!(Policy::load(&policy).is_ok());
    let alone = Policy::parse(&with_reviewers(&[&lin])).expect_err("one reviewer");
    assert!(format!("{alone:?}").contains("two reviewers"), "{alone:?}");
}
