//! The local API: who may ask, and how it says no.

use party_agent::agent::Mode;
use serde_json::{Value, json};

use crate::http::{call, raw};
use crate::world::{World, job};

fn problem(body: &Value) -> (&str, u64) {
    (
        body["error"]["code"].as_str().unwrap_or_default(),
        body["exit"].as_u64().unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_the_token_is_answered() {
    let world = World::new(&["a"]).await;
    let agent = world.agent("a", Mode::Production, false).await;
    let (address, token) = agent.api();
    let wrong = token.replace(|c: char| c.is_ascii_digit(), "f");
    for (given, status) in [
        (token, 200),
        (&wrong[..], 401),
        (&token[..20], 401),
        ("", 401),
    ] {
        let answer = call(address, given, "GET", "/v1/status", "").await;
        assert_eq!(answer.status, status);
        if status == 401 {
            assert_eq!(problem(&answer.json()), ("unauthorised", 2));
        }
    }
    let without = raw(
        address,
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(without.status, 401);
    // Not even what exists is told to who does not show it.
    let elsewhere = call(address, "", "GET", "/v1/nowhere", "").await;
    assert_eq!(elsewhere.status, 401);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_make_no_sense_get_a_document_and_an_exit_code() {
    let world = World::new(&["a"]).await;
    let agent = world.agent("a", Mode::Production, false).await;
    let (address, token) = agent.api();
    let unknown = "0".repeat(32);
    let long = format!("{{\"spec\":\"{}\"}}", "x".repeat(3 << 20));
    for (method, path, body, status, code) in [
        ("GET", "/v1/nowhere", "", 404, "unknown_path"),
        ("GET", "/v1/jobs/xyz", "", 400, "job_id"),
        (
            "GET",
            &format!("/v1/jobs/{unknown}")[..],
            "",
            404,
            "unknown_job",
        ),
        (
            "GET",
            &format!("/v1/jobs/{unknown}/result")[..],
            "",
            404,
            "unknown_job",
        ),
        ("POST", "/v1/jobs/check", "{", 400, "body"),
        ("POST", "/v1/jobs/check", "{\"spec\":1}", 400, "body"),
        (
            "POST",
            "/v1/jobs/check",
            "{\"spec\":\"\",\"extra\":1}",
            400,
            "body",
        ),
        ("POST", "/v1/jobs/check", &long[..], 413, "body"),
        (
            "POST",
            "/v1/datasets",
            "{\"name\":\"t\",\"kind\":\"excel\"}",
            400,
            "dataset",
        ),
        (
            "POST",
            "/v1/datasets",
            "{\"name\":\"t\",\"kind\":\"csv\"}",
            400,
            "dataset",
        ),
        ("GET", "/v1/datasets/nothing", "", 404, "unknown_dataset"),
    ] {
        let answer = call(address, token, method, path, body).await;
        let document = answer.json();
        assert_eq!(answer.status, status, "{method} {path}: {document}");
        assert_eq!(problem(&document), (code, 2), "{method} {path}: {document}");
        assert!(
            document["error"]["what"]
                .as_str()
                .is_some_and(|w| !w.is_empty()),
            "{document}"
        );
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_of_a_job_file_come_at_once() {
    let world = World::new(&["a", "b"]).await;
    let agent = world.agent("a", Mode::Production, false).await;
    let spec = "job = \"\"\nreceivers = [\"A\"]\nextra = 1\n[compute]\nsql = 3\n";
    let answer = agent.post("/v1/jobs/check", &json!({ "spec": spec })).await;
    let document = answer.json();
    assert_eq!(answer.status, 400);
    let faults = document["error"]["faults"].as_array().expect("faults");
    assert!(faults.len() >= 4, "{document}");
    assert!(
        faults
            .iter()
            .all(|f| f["line"].is_u64() && f["field"].is_string()),
        "{document}"
    );
    let good = agent
        .post(
            "/v1/jobs/check",
            &json!({ "spec": job(&["a", "b"], &["a"], "ot") }),
        )
        .await;
    assert_eq!(good.json()["job"], "stays");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_registered_published_and_remembered() {
    let world = World::new(&["a", "b"]).await;
    let (a, b) = (
        world.agent("a", Mode::Production, false).await,
        world.agent("b", Mode::Production, false).await,
    );
    a.sees(&["a", "b"]).await;
    let file = world.home("a").join("extra.csv");
    std::fs::write(&file, "kind,amount\nx,1\ny,2\n").expect("written");
    let request = json!({ "name": "extra", "kind": "csv", "path": file });
    let added = a.post("/v1/datasets", &request).await;
    assert_eq!(added.status, 200, "{}", added.json());
    assert_eq!(
        added.json()["published"],
        false,
        "the policy does not list it"
    );
    let twice = a.post("/v1/datasets", &request).await;
    assert_eq!(twice.status, 409);
    world.write_policy("a", "min_cell = 3\nopen_counts = false\n[tables.more.columns]\namount = { aggregate = [\"sum\"] }\n");
    let request = json!({ "name": "more", "kind": "csv", "path": file });
    let added = a.post("/v1/datasets", &request).await.json();
    assert_eq!(added["published"], true, "{added}");
    a.stop().await;
    let a = world.agent("a", Mode::Production, false).await;
    let entry = a.get("/v1/datasets/more").await.json();
    assert_eq!(entry["columns"][0]["name"], "amount", "{entry}");
    a.sees(&["a", "b"]).await;
    let seen = b.get("/v1/datasets").await.json();
    let of_a: Vec<_> = seen
        .as_array()
        .expect("a list")
        .iter()
        .filter(|d| d["party"] == "a")
        .collect();
    assert_eq!(of_a.len(), 1, "{seen}");
    assert_eq!(of_a[0]["table"], "more");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_are_listed_and_pinged() {
    let world = World::new(&["a", "b"]).await;
    let (a, b) = (
        world.agent("a", Mode::Production, true).await,
        world.agent("b", Mode::Production, true).await,
    );
    a.sees(&["a", "b"]).await;
    let status = a.get("/v1/status").await.json();
    assert_eq!(status["coordinator"]["connected"], true, "{status}");
    assert_eq!(status["rehearsal"], false);
    assert!(status["direct"].is_string(), "{status}");
    let ping = a
        .post("/v1/parties/ping", &json!({ "party": "b" }))
        .await
        .json();
    assert_eq!(ping["online"], true, "{ping}");
    assert!(ping["direct"]["round_trip_ms"].is_f64(), "{ping}");
    let nobody = a.post("/v1/parties/ping", &json!({ "party": "zed" })).await;
    assert_eq!(nobody.status, 404);
    assert!(a.state_dir().join("ledger.sqlite").exists());
    a.stop().await;
    b.stop().await;
}
