//! Bytes from peers, from the coordinator and from files at every decoder of an agent: changed documents of a real job, pieces of others,
//! and noise. None panics; what carries a signature is refused unless it is what was signed ([`crate::feed`] says how often).

use std::path::Path;

use coordinator::contract::{Contract, Statement, canonical};
use coordinator::log::SignedCheckpoint;
use party_agent::agent::Mode;
use party_agent::catalogue::Catalogue;
use party_agent::config::{AgentConfig, Template, template};
use party_agent::evidence::{
    Evidence, Report, Seat, grown, opened, seats, verify, verify_agreement, verify_report,
};
use party_agent::local::record_cells;
use party_agent::net::handshake::{HELLO_BYTES, Hello};
use party_agent::policy::Policy;
use party_agent::policy::negative::NegativeList;
use party_agent::receipt::Receipt;
use party_agent::spec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::feed::{Draw, changed, feed, feed_for};
use crate::http::{call, shout};
use crate::negative_list::{list, rule};
use crate::plan::fixture::hospitals;
use crate::world::{POLICY, World, job, name};

fn feed_documents<T: Statement + Serialize + DeserializeOwned>(what: &str, samples: Vec<Vec<u8>>) {
    feed(what, samples, |bytes| {
        if let Ok(read) = canonical::decode::<T>(bytes, T::MAX_BYTES) {
            assert_eq!(canonical::encode(&read).expect("written"), bytes, "{what}");
            let _ = read.check();
        }
    });
}

/// Reports as the coordinator hands them on, with the right signatures below the wrong words.
fn feed_reports(evidence: &Evidence, contract: &Contract, seats: &[Seat<'_>]) {
    let reports = evidence.receipts.iter().map(|(party, receipt)| Report {
        receipt: receipt.clone(),
        log: evidence.logs[party].clone(),
    });
    let reports: Vec<Report> = reports.collect();
    let samples = reports.iter().map(|r| serde_json::to_vec(r).expect("JSON"));
    let samples: Vec<Vec<u8>> = samples.collect();
    let seen = SignedCheckpoint::parse(&reports[0].log.checkpoint).expect("a checkpoint");
    feed_for(1500, "a report", &samples, |bytes| {
        let Ok(report) = serde_json::from_slice::<Report>(bytes) else {
            return;
        };
        for seat in seats {
            let Ok(note) = verify_report(contract, seats, seat, &report) else {
                continue;
            };
            let growth = &report.log.growth;
            let _ = grown(std::slice::from_ref(&seen), &[], note.claimed(), growth);
            let same = |other: &Report| {
                other.receipt == report.receipt && other.log.entries == report.log.entries
            };
            assert!(reports.iter().any(same), "signed by nobody, and accepted");
        }
    });
}

/// Whoever holds the exporter's key cannot be told apart from it; nobody else changes a bit.
fn feed_evidence(exported: &[u8], agreement: &[u8]) {
    let whole = [exported.to_vec()];
    feed_for(400, "evidence", &whole, |bytes| {
        assert!(verify(bytes, None).is_err() || bytes == exported);
    });
    let whole = [agreement.to_vec()];
    feed_for(400, "an agreement", &whole, |bytes| {
        assert!(verify_agreement(bytes, None).is_err() || bytes == agreement);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzz_smoke_of_what_a_job_leaves() {
    let world = World::new(&["a", "b"]).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, false).await;
    a.sees(&["a", "b"]).await;
    let job_id = a.submit(&job(&["a", "b"], &["a"], "ot")).await;
    for agent in [&a, &b] {
        agent.reaches(&job_id, &["completed"]).await;
    }
    let exported = a.get(&format!("/v1/jobs/{job_id}/evidence")).await;
    let agreement = a.get(&format!("/v1/jobs/{job_id}/contract")).await;
    assert_eq!((exported.status, agreement.status), (200, 200));
    verify(&exported.body, None).expect("evidence");
    verify_agreement(&agreement.body, None).expect("an agreement");
    let (a_said, token) = (a.api().0, a.api().1.to_owned());
    feed_requests(a_said, &token).await;
    a.stop().await;
    b.stop().await;
    feed_evidence(&exported.body, &agreement.body);
    let evidence: Evidence = serde_json::from_slice(&exported.body).expect("evidence");
    let body = evidence.contract.body();
    let contract: Contract = serde_json::from_slice(body).expect("a contract");
    let digest = evidence.contract.digest();
    let seats = seats(&contract, &digest, &evidence.acceptances).expect("seats");
    feed_reports(&evidence, &contract, &seats);
    let receipts = evidence.receipts.values().map(|r| r.body().to_vec());
    feed_documents::<Receipt>("a receipt", receipts.collect());
    feed(
        "a plan",
        vec![evidence.plan.clone().into_bytes()],
        |bytes| {
            let _ = opened(&String::from_utf8_lossy(bytes));
        },
    );
}

/// Requests to the local API, by whoever has the token. It answers or hangs up, and is there for the next one.
async fn feed_requests(address: std::net::SocketAddr, token: &str) {
    let body = "{\"party\":\"b\"}";
    let request = format!(
        "POST /v1/parties/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut draw = Draw::new(20_261_123);
    for _ in 0..60 {
        let bytes = changed(&mut draw, &[request.clone().into_bytes()]);
        shout(address, &bytes).await;
    }
    let status = call(address, token, "GET", "/v1/status", "").await;
    assert_eq!(status.status, 200);
}

#[test]
fn fuzz_smoke_of_what_peers_publish() {
    let catalogue = hospitals();
    let samples: Vec<Vec<u8>> = catalogue
        .values()
        .map(|catalogue| catalogue.to_json().into_bytes())
        .collect();
    feed_for(1500, "a catalogue", &samples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(read) = Catalogue::from_json(&text) {
            assert_eq!(read.to_json(), text);
        }
    });
    let lists = list(3, &[rule("no-names", "*name*")]);
    let sample = canonical::encode(&lists).expect("a document");
    feed_documents::<NegativeList>("a negative list", vec![sample]);
    let hello = [
        [7; HELLO_BYTES].to_vec(),
        [&b"entente1"[..], &[0; HELLO_BYTES - 8]].concat(),
    ];
    feed("a greeting", hello.to_vec(), |bytes| {
        if let Ok(hello) = Hello::decode(bytes) {
            assert_eq!(hello.encode()[..], *bytes);
        }
    });
    feed("a record", vec![vec![1, 1, 0, b'a', 0, 1, 0, 0]], |bytes| {
        let _ = record_cells::read(bytes);
    });
}

#[test]
fn fuzz_smoke_of_files() {
    feed_for(2000, "a policy", &[POLICY.as_bytes().to_vec()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(faults) = Policy::parse(&text) {
            assert!(!faults.is_empty());
        }
    });
    let spec = job(&["a", "b"], &["a"], "ot").into_bytes();
    feed_for(2000, "a job", &[spec], |bytes| {
        if let Err(faults) = spec::check(&String::from_utf8_lossy(bytes)) {
            assert!(!faults.is_empty());
        }
    });
    let config = template(&Template {
        name: name("a"),
        coordinator: name("hub"),
        address: "hub.example:7400".to_owned(),
        fingerprint: None,
        direct: Some(("0.0.0.0:7401".to_owned(), None)),
        api: "127.0.0.1:7402".to_owned(),
        files: vec![("visits".to_owned(), "visits.csv".into())],
    });
    feed_for(2000, "a configuration", &[config.into_bytes()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(faults) = AgentConfig::parse(&text, Path::new("")) {
            assert!(!faults.is_empty());
        }
    });
}
