//! Fits that break off between two steps and are gone on with: the same result, and none after a revocation, a halt or a cancellation.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use party_agent::agent::Mode;
use party_agent::agent::milestones::Milestone;
use serde_json::{Value, json};

use crate::hold::Hold;
use crate::world::{Running, World, within};

const POLICY: &str = "min_cell = 3\nopen_counts = false\n[tables.visits.columns]\nid = { join_key = true }\nbad = { label = true, range = [0, 1] }\n\
    sample = { filter = true }\nx = { feature = true, range = [0, 10] }\nz = { feature = true, range = [0, 10] }\n";

const SAMPLE: &str =
    "sample = { column = \"sample\", train = \"train\", test = \"test\" }\nreport = [\"auc\"]\n";

fn noise(i: u32) -> f64 {
    ((f64::from(i) * 12.9898).sin() * 43_758.545).fract().abs()
}

/// Rows of people of whom each holder has the same 150, with values of its own.
fn rows(from: u32) -> String {
    let mut text = "id,x,z,sample,bad\n".to_owned();
    for i in from..from + 150 {
        let [x, z] = [0, 10_000].map(|k| (100.0 * noise(i + k)).round() / 10.0);
        let bad = u8::from(noise(i + 60_000) < 1.0 / (1.0 + (0.4 * (z - x)).exp()));
        let sample = if i % 4 == 3 { "test" } else { "train" };
        writeln!(text, "p{},{x},{z},{sample},{bad}", i % 150).expect("a String takes all");
    }
    text
}

const PARTIES: [&str; 4] = ["a", "b", "c", "dealer"];

fn job(model: &str, correlations: &str, more: &str) -> String {
    format!(
        "job = \"risk\"\npurpose = \"test\"\nreceivers = [\"a\"]\n[compute.train]\nmodel = \"{model}\"\npartition = \"horizontal\"\n\
         label = \"bad\"\nfeatures = [\"x\", \"z\"]\ntables = [\"a.visits\", \"b.visits\", \"c.visits\"]\ncheckpoint_every = 1\n{more}\n\
         [privacy]\ncorrelations = \"{correlations}\"\nmin_cell = 3\n"
    )
}

/// The same people's columns at all holders.
fn joined(model: &str, more: &str) -> String {
    format!(
        "job = \"risk\"\npurpose = \"test\"\nreceivers = [\"a\"]\n[compute.train]\nmodel = \"{model}\"\npartition = \"vertical\"\n\
         label = \"a.visits.bad\"\nfeatures = [\"a.visits.x\", \"b.visits.z\", \"c.visits.x\"]\nkey = \"id\"\ncheckpoint_every = 1\n\
         sample = {{ column = \"a.visits.sample\", train = \"train\", test = \"test\" }}\n{more}\n\
         [privacy]\ncorrelations = \"dealer:dealer\"\nmin_cell = 3\n"
    )
}

/// Three holders and a dealer, and a job that broke off at all of them after its first checkpoint.
struct Scene {
    world: World,
    a: Running,
    b: Running,
    others: Vec<Running>,
    job_id: String,
}

impl Scene {
    async fn new(spec: &str) -> Self {
        let world = World::new(&PARTIES).await;
        for (party, from) in PARTIES.into_iter().zip([0, 150, 300]) {
            world.write_policy(party, POLICY);
            world.write_visits(party, &rows(from));
        }
        let nothing = world.home("dealer").join("visits.csv");
        fs::remove_file(nothing).expect("a dealer holds nothing");
        let mut others = Vec::new();
        for party in &PARTIES[2..] {
            others.push(world.agent(party, Mode::Rehearsal, true).await);
        }
        let a = world.agent("a", Mode::Rehearsal, true).await;
        let hold = Hold::at(Milestone::Checkpoint);
        let config = world.config("b", true);
        let b = Running::start_watched(config, Mode::Rehearsal, hold.milestones()).await;
        for agent in others.iter().chain([&a, &b]) {
            agent.sees(&PARTIES).await;
        }
        let job_id = a.submit(spec).await;
        hold.holds(1).await;
        for agent in [&a, &others[0]] {
            let file = checkpoints(agent, &job_id).join("1.json");
            within("the others keep it too", async {
                while !file.exists() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        // An agent that ends, as one that is killed, breaks its runs off.
        b.stop().await;
        a.reaches(&job_id, &["failed"]).await;
        let b = world.agent("b", Mode::Rehearsal, true).await;
        b.sees(&PARTIES).await;
        b.reaches(&job_id, &["failed"]).await;
        Self {
            world,
            a,
            b,
            others,
            job_id,
        }
    }

    async fn resume(&self) -> (u16, Value) {
        let path = format!("/v1/jobs/{}/resume", self.job_id);
        let answer = self.a.post(&path, &json!({ "by": "maria" })).await;
        (answer.status, answer.json())
    }

    async fn resumed(&self) -> String {
        let (status, answer) = self.resume().await;
        assert_eq!(status, 200, "{answer}");
        answer["job_id"].as_str().expect("an id").to_owned()
    }

    async fn end(self) {
        for agent in self.others.into_iter().chain([self.a, self.b]) {
            agent.stop().await;
        }
        drop(self.world);
    }
}

fn checkpoints(agent: &Running, job_id: &str) -> PathBuf {
    agent.state_dir().join("checkpoints").join(job_id)
}

/// All that is told of a fit, and after how many steps of an earlier job it went on.
async fn found(agent: &Running, job_id: &str) -> ((Value, Value), Value) {
    agent.reaches(job_id, &["completed"]).await;
    let result = agent.result(job_id).await.json();
    assert!(result["rows"].is_array() && result["fit"].is_object());
    let receipt = agent.get(&format!("/v1/jobs/{job_id}/receipt")).await;
    let resumed = receipt.json()["signed"]["receipt"]["resumed"].clone();
    ((result["rows"].clone(), result["fit"].clone()), resumed)
}

/// The same numbers but for so much, in the same places.
fn are_near(found: &Value, expected: &Value, most: f64) -> bool {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_near(a, b, most))
        }
        (Value::Object(a), Value::Object(b)) => {
            let near =
                |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| are_near(a, b, most));
            a.len() == b.len() && a.iter().all(near)
        }
        _ => match (found.as_f64(), expected.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= most,
            _ => found == expected,
        },
    }
}

/// What is found on shares is rounded by chance, in an uninterrupted run too; `most`: by how much.
async fn goes_on(spec: &str, most: f64) {
    let scene = Scene::new(spec).await;
    let next = scene.resumed().await;
    let (fit, resumed) = found(&scene.a, &next).await;
    assert_eq!(resumed, json!({ "job_id": scene.job_id, "step": 1 }));
    let whole = scene.a.submit(spec).await;
    let (expected, resumed) = found(&scene.a, &whole).await;
    assert_eq!(resumed, Value::Null);
    for (found, expected) in [(&fit.0, &expected.0), (&fit.1, &expected.1)] {
        assert!(are_near(found, expected, most), "{found} {expected}");
    }
    scene.b.reaches(&next, &["completed"]).await;
    for agent in [&scene.a, &scene.b] {
        assert!(!checkpoints(agent, &scene.job_id).exists());
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_on_shares_go_on() {
    let spec = job("logistic", "ot", "report = [\"se\", \"loss\"]");
    goes_on(&spec, 1e-10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_of_opened_sums_go_on() {
    let more = "report = [\"se\", \"loss\"]\nopen_steps = true";
    goes_on(&job("logistic", "ot", more), 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trees_go_on() {
    let trees = format!("n_trees = 3\ndepth = 2\nbins = 4\n{SAMPLE}");
    goes_on(&job("gbdt", "dealer:dealer", &trees), 1e-3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn averaged_weights_go_on() {
    let network = format!("layers = [4]\nrounds = 4\n{SAMPLE}");
    goes_on(&job("mlp", "dealer:dealer", &network), 0.0).await;
}

/// The join is made again, with other hashes and in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_over_joins_go_on() {
    goes_on(&joined("logistic", "report = [\"se\", \"auc\"]"), 1e-4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scorecards_over_joins_go_on() {
    let card = "report = [\"se\", \"auc\"]\n[compute.train.scorecard]\nbins = 2\niv_least = 0";
    goes_on(&joined("scorecard", card), 1e-3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_no_good_begins_the_model_anew() {
    let spec = joined("logistic", "report = [\"se\"]");
    let scene = Scene::new(&spec).await;
    let file = checkpoints(&scene.b, &scene.job_id).join("1.json");
    let text = fs::read_to_string(&file).expect("a checkpoint");
    let kept: Value = serde_json::from_str(&text).expect("JSON");
    let word = &kept["kept"]["own"][2];
    let changed = text.replacen(&word.to_string(), "7", 1);
    assert_ne!(text, changed);
    fs::write(&file, changed).expect("changed");
    let next = scene.resumed().await;
    let (fit, resumed) = found(&scene.a, &next).await;
    assert_eq!(resumed["step"], 0, "{resumed}");
    let whole = scene.a.submit(&spec).await;
    let expected = found(&scene.a, &whole).await.0;
    assert!(are_near(&fit.0, &expected.0, 1e-4), "{fit:?} {expected:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_is_no_good_begins_anew() {
    let spec = job("logistic", "ot", "open_steps = true");
    let scene = Scene::new(&spec).await;
    let file = checkpoints(&scene.b, &scene.job_id).join("1.json");
    let text = fs::read_to_string(&file).expect("a checkpoint");
    fs::write(&file, text.replacen("\"n_stuck\":0", "\"n_stuck\":1", 1)).expect("changed");
    let next = scene.resumed().await;
    let (fit, resumed) = found(&scene.a, &next).await;
    assert_eq!(resumed["step"], 0, "{resumed}");
    let whole = scene.a.submit(&spec).await;
    assert_eq!(fit, found(&scene.a, &whole).await.0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_revocation_or_a_halt_nothing_goes_on() {
    let spec = job("logistic", "ot", "open_steps = true");
    let scene = Scene::new(&spec).await;
    let job_id = &scene.job_id;
    assert_eq!(
        scene.b.reaches(job_id, &["failed"]).await["can_resume"],
        true
    );
    let revoke = format!("/v1/jobs/{job_id}/revoke");
    let why = json!({ "reason": "a consent is in doubt" });
    assert_eq!(scene.b.post(&revoke, &why).await.status, 200);
    assert!(!checkpoints(&scene.b, job_id).exists());
    assert_eq!(scene.b.post(&revoke, &why).await.status, 409, "once");
    // The proposer still has its own; the other party refuses.
    let next = scene.resumed().await;
    let ended = scene.b.reaches(&next, &["rejected"]).await;
    assert_eq!(ended["ending"]["class"], "resumes", "{ended}");
    scene.a.reaches(&next, &["failed", "rejected"]).await;
    let halted = json!({ "by": "maria", "reason": "an incident" });
    assert_eq!(scene.a.post("/v1/halt", &halted).await.status, 200);
    assert!(!checkpoints(&scene.a, job_id).exists());
    scene.a.post("/v1/halt/lift", &json!({})).await;
    let (_, refused) = scene.resume().await;
    assert_eq!(refused["error"]["code"], "resumes", "{refused}");
    scene.end().await;
}
