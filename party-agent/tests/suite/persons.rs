//! Persons who approve by keys of their own: nobody else does, not even with the agent's token.

use coordinator::contract::PersonalApproval;
use coordinator::contract::{Digest, JobId, Signed};
use coordinator::tls::Identity;
use party_agent::policy::Policy;
use serde_json::{Value, json};

use crate::classification::{classified, spec, start};
use crate::world::{Running, World, name};

/// A policy under which two of these persons have to approve.
fn policy(persons: &[(&str, &Identity)]) -> String {
    let lines = persons
        .iter()
        .map(|(name, key)| format!("{name} = \"{}\"\n", key.fingerprint()));
    classified("important") + "[persons]\n" + &lines.collect::<String>()
}

/// What a person would sign for a job.
async fn approval(agent: &Running, job_id: &str, person: &str) -> PersonalApproval {
    let path = format!("/v1/jobs/{job_id}/approval?by={person}");
    serde_json::from_value(agent.get(&path).await.json()).expect("an approval")
}

fn signed(approval: &PersonalApproval, key: &Identity) -> Value {
    let signed = Signed::sign(approval, key).expect("signed");
    json!({ "signed": signed })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_persons_are_two_keys_and_nobody_approves_for_them() {
    let key = |person: &str| Identity::generate(name(person), 30).expect("a key");
    let (jonas, maria, eve) = (key("jonas"), key("maria"), key("eve"));
    let world = World::new(&["a", "b"]).await;
    world.write_policy("b", &policy(&[("jonas", &jonas), ("maria", &maria)]));
    let (a, b) = start(&world).await;
    let job_id = a.submit(&spec()).await;
    b.reaches(&job_id, &["waiting"]).await;
    let by_jonas = approval(&b, &job_id, "jonas").await;
    let with = |change: fn(&mut PersonalApproval)| {
        let mut approval = by_jonas.clone();
        change(&mut approval);
        signed(&approval, &jonas)
    };
    let path = format!("/v1/jobs/{job_id}/approve");
    for (case, request, expected) in [
        ("nothing", json!({}), "has to be signed"),
        ("a name", json!({ "by": "jonas" }), "has to be signed"),
        (
            "somebody else",
            signed(&approval(&b, &job_id, "eve").await, &eve),
            "does not list eve",
        ),
        (
            "a name with another's key",
            signed(&by_jonas, &eve),
            "not validly signed",
        ),
        (
            "one person for another",
            signed(&by_jonas, &maria),
            "not validly signed",
        ),
        (
            "another job",
            with(|a| a.job_id = JobId([9; 16])),
            "something else",
        ),
        (
            "another contract",
            with(|a| a.contract = Digest([9; 32])),
            "something else",
        ),
        (
            "another page",
            with(|a| drop(a.pages.pop_first())),
            "something else",
        ),
        (
            "another party",
            with(|a| a.party = name("a")),
            "something else",
        ),
    ] {
        let answer = b.post(&path, &request).await.json();
        assert_eq!(answer["error"]["code"], "not_signed", "{case}: {answer}");
        let what = answer["error"]["what"].as_str().expect("a text");
        assert!(what.contains(expected), "{case}: {what}");
    }
    let first = b.post(&path, &signed(&by_jonas, &jonas)).await.json();
    assert_eq!(first["missing"], 1, "{first}");
    let again = b.post(&path, &signed(&by_jonas, &jonas)).await.json();
    assert_eq!(again["error"]["code"], "same_person", "{again}");
    let by_maria = approval(&b, &job_id, "maria").await;
    let second = b.post(&path, &signed(&by_maria, &maria)).await.json();
    assert_eq!(second["missing"], 0, "{second}");
    let done = b.reaches(&job_id, &["completed"]).await;
    let expected = format!(
        "persons jonas ({}) and maria ({})",
        jonas.fingerprint(),
        maria.fingerprint()
    );
    assert_eq!(done["approved_by"], expected, "{done}");
    a.reaches(&job_id, &["completed"]).await;
    // What this party submits itself waits for its persons too.
    let own = b.submit(&spec()).await;
    let waits = b.get(&format!("/v1/jobs/{own}")).await.json();
    assert_eq!(waits["state"], "waiting", "{waits}");
    a.stop().await;
    b.stop().await;
}

#[test]
fn one_key_is_one_person() {
    let key = Identity::generate(name("jonas"), 30).expect("a key");
    assert!(Policy::parse(&policy(&[("jonas", &key)])).is_ok());
    let faults =
        Policy::parse(&policy(&[("jonas", &key), ("maria", &key)])).expect_err("one key twice");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].field, "persons.maria");
    for line in ["Jonas = \"SHA256:x\"", "jonas = 7", "jonas = \"SHA256:x\""] {
        let text = classified("important") + "[persons]\n" + line;
        assert!(Policy::parse(&text).is_err(), "{line}");
    }
}
