//! Manifests of procedures: whole, agreed on by all parties, and what holders allow. That nothing is sent which a manifest does
//! not list is tested by every run of this suite, for runs go through the gate that holds them to it (`execute/gate.rs`).

use std::collections::BTreeSet;

use party_agent::agent::Mode;
use party_agent::manifest::Manifest;

use crate::world::{POLICY, World, job};

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
    let name = |id: &str| {
        let found = Manifest::all().iter().find(|m| m.id == id);
        found.expect("a manifest").name()
    };
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
