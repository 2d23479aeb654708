//! A coordinator and some parties with data of their own.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordinator::clock::SystemClock;
use coordinator::config::{CoordinatorConfig, Limits, Members};
use coordinator::contract::PartyName;
use coordinator::job::book::Probe;
use coordinator::server::Server;
use coordinator::tls::{Identity, Pin, Pins};
use party_agent::agent::milestones::Milestones;
use party_agent::agent::{Agent, Mode};
use party_agent::config::{AgentConfig, CoordinatorAddress, Dataset, Direct};
use party_agent::source::DatasetSpec;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http;

/// A text that stands in a column which no job uses, and a number that only one row holds.
pub(crate) const CANARY_TEXT: &str = "canary-7f3a-patient-0017";
pub(crate) const CANARY_NUMBER: &str = "7340033";

/// The policy of every party that has not another.
pub(crate) const POLICY: &str = r#"
min_cell = 3
open_counts = false
[tables.visits.columns]
kind = { group_by = true, filter = true, categories = ["x", "y", "z"] }
stay = { aggregate = ["count", "sum", "avg", "var"], filter = true, range = [0, 9000000] }
"#;

/// Ends a test that hangs. Long enough for any machine.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), work)
        .await
        .unwrap_or_else(|_| panic!("nothing happened for three minutes: {what}"))
}

pub(crate) fn name(text: &str) -> PartyName {
    PartyName::new(text).expect("a valid name")
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The coordinator, the keys of everybody, and where their files are.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) coordinator: Arc<Identity>,
    pub(crate) address: SocketAddr,
    pub(crate) identities: Vec<Arc<Identity>>,
    pub(crate) pins: Pins,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl World {
    /// A coordinator with these members. Their files are made too; no agent runs yet.
    pub(crate) async fn new(parties: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let coordinator = Arc::new(Identity::generate(name("hub"), 30).expect("an identity"));
        let identities: Vec<_> = parties
            .iter()
            .map(|p| Arc::new(Identity::generate(name(p), 30).expect("an identity")))
            .collect();
        let mut pins = Pins::new();
        for identity in &identities {
            pins.add(Pin::new(identity.name().clone(), identity.fingerprint()))
                .expect("distinct names and keys");
        }
        let mut world = Self {
            dir,
            coordinator,
            address: loopback(),
            identities,
            pins,
            stop: None,
            server: None,
        };
        world.start_coordinator().await;
        for (i, party) in parties.iter().enumerate() {
            world.write_files(party, i);
        }
        world
    }

    /// Starts the coordinator, on the port that it had before if it ran before.
    pub(crate) async fn start_coordinator(&mut self) {
        let server = Server::bind(CoordinatorConfig {
            identity: Arc::clone(&self.coordinator),
            listen: self.address,
            state_dir: self.coordinator_state(),
            members: Members {
                fixed: self.pins.clone(),
                file: None,
            },
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            probe: Probe::default(),
        });
        let server = server.await.expect("the coordinator starts");
        self.address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.server = Some(tokio::spawn(server.run(async {
            // A dropped sender means the end of the test.
            let _ = stopped.await;
        })));
    }

    pub(crate) async fn stop_coordinator(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.await.expect("the coordinator ends");
        }
    }

    pub(crate) fn coordinator_state(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    pub(crate) fn home(&self, party: &str) -> PathBuf {
        self.dir.path().join(party)
    }

    pub(crate) fn identity(&self, party: &str) -> &Arc<Identity> {
        let found = self.identities.iter().find(|i| i.name().as_str() == party);
        found.expect("a party of this world")
    }

    fn write_files(&self, party: &str, i: usize) {
        let home = self.home(party);
        let identity = &self.identities[i];
        identity.save(&home.join("identity")).expect("saved");
        let mut others = Pins::new();
        for pin in self.pins.iter().filter(|pin| pin.name != *identity.name()) {
            others.add(pin.clone()).expect("distinct");
        }
        others.save(&home.join("trusted.toml")).expect("saved");
        self.write_policy(party, POLICY);
        self.write_visits(party, &visits(i));
    }

    pub(crate) fn write_policy(&self, party: &str, text: &str) {
        std::fs::write(self.home(party).join("policy.toml"), text).expect("written");
    }

    pub(crate) fn write_visits(&self, party: &str, csv: &str) {
        std::fs::write(self.home(party).join("visits.csv"), csv).expect("written");
    }

    pub(crate) fn config(&self, party: &str, direct: bool) -> AgentConfig {
        let home = self.home(party);
        let has_data = home.join("visits.csv").exists();
        let visits = Dataset {
            name: "visits".to_owned(),
            spec: DatasetSpec::Csv(home.join("visits.csv")),
            consent: None,
        };
        AgentConfig {
            name: name(party),
            identity: home.join("identity"),
            trusted: home.join("trusted.toml"),
            state: home.join("state"),
            policy: home.join("policy.toml"),
            coordinator: CoordinatorAddress {
                name: self.coordinator.name().clone(),
                address: self.address.to_string(),
                fingerprint: self.coordinator.fingerprint(),
                former: Vec::new(),
            },
            direct: direct.then(|| Direct {
                listen: loopback(),
                advertise: None,
            }),
            api: loopback(),
            concurrent_jobs: 2,
            keys_in_memory: 1 << 22,
            negative_list: None,
            datasets: has_data.then_some(visits).into_iter().collect(),
        }
    }

    /// Starts an agent in this process.
    pub(crate) async fn agent(&self, party: &str, mode: Mode, direct: bool) -> Running {
        Running::start(self.config(party, direct), mode).await
    }
}

/// Forty rows whose groups are large over all parties together: x 60, y 40 and z 2 for three parties.
pub(crate) fn visits(party: usize) -> String {
    let mut csv = String::from("kind,stay,note\n");
    for row in 0..20 {
        csv.push_str(&format!("x,{},ordinary\n", row + party));
    }
    for row in 0..(10 + 5 * party) {
        csv.push_str(&format!("y,{},ordinary\n", 2 * row));
    }
    if party < 2 {
        csv.push_str(&format!("z,{CANARY_NUMBER},{CANARY_TEXT}\n"));
    }
    csv
}

/// The job of most tests, over these holders.
pub(crate) fn job(holders: &[&str], receivers: &[&str], correlations: &str) -> String {
    let union: Vec<_> = holders
        .iter()
        .map(|h| format!("SELECT * FROM {h}.visits"))
        .collect();
    format!(
        "job = \"stays\"\npurpose = \"IRB 7: stays by kind\"\nreceivers = {receivers:?}\n[compute]\nsql = \"\"\"\n\
         SELECT kind, COUNT(*) AS n, SUM(stay) AS days, AVG(stay) AS mean FROM ({}) v GROUP BY kind ORDER BY n DESC\n\
         \"\"\"\n[privacy]\ncorrelations = \"{correlations}\"\nmin_cell = 3\n",
        union.join(" UNION ALL ")
    )
}

/// An agent in this process, and its local API.
pub(crate) struct Running {
    api: SocketAddr,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
    home: PathBuf,
}

impl Running {
    pub(crate) async fn start(config: AgentConfig, mode: Mode) -> Self {
        Self::start_watched(config, mode, Milestones::default()).await
    }

    /// The same with somebody who looks at its runs.
    pub(crate) async fn start_watched(
        config: AgentConfig,
        mode: Mode,
        milestones: Milestones,
    ) -> Self {
        let (token_file, home) = (config.token_file(), config.state.clone());
        let agent = Agent::start_watched(config, mode, milestones).await;
        let agent = agent.expect("the agent starts");
        let api = agent.api_address();
        let token = std::fs::read_to_string(token_file).expect("a token");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(agent.run(async {
            // A dropped sender means the end of the test.
            let _ = stopped.await;
        }));
        Self {
            api,
            token,
            stop: Some(stop),
            task: Some(task),
            home,
        }
    }

    /// Ends the agent as a person would, and waits for it.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        let task = self.task.take().expect("stopped once");
        within("an agent ends", task).await.expect("it ends well");
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.home
    }

    pub(crate) fn api(&self) -> (SocketAddr, &str) {
        (self.api, &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> http::Answer {
        http::call(self.api, &self.token, "GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> http::Answer {
        http::call(self.api, &self.token, "POST", path, &body.to_string()).await
    }

    /// Waits until the agent has a connection and sees the catalogues of all these parties.
    pub(crate) async fn sees(&self, parties: &[&str]) {
        within("all catalogues are published", async {
            loop {
                let answer = self.get("/v1/parties").await;
                if answer.status == 200 {
                    let lines = answer.json();
                    let lines = lines.as_array().expect("a list");
                    let published = |party: &&str| {
                        let mut lines = lines.iter();
                        lines.any(|l| {
                            l["name"] == **party && l["catalogue"].is_u64() && l["online"] == true
                        })
                    };
                    if parties.iter().all(&published) {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn submit(&self, spec: &str) -> String {
        let answer = self
            .post("/v1/jobs", &json!({ "spec": spec, "by": "maria" }))
            .await;
        let document = answer.json();
        assert_eq!(answer.status, 200, "{document}");
        document["job_id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the job is in one of these states, through all others.
    pub(crate) async fn reaches(&self, job_id: &str, states: &[&str]) -> Value {
        within(&format!("job {job_id} becomes {states:?}"), async {
            let mut unless = "waiting".to_owned();
            loop {
                let path = format!("/v1/jobs/{job_id}?unless={unless}&wait_s=30");
                let answer = self.get(&path).await;
                let document = answer.json();
                // A party may hear of a job a moment after its proposer.
                if answer.status == 404 {
                    tokio::task::yield_now().await;
                    continue;
                }
                assert_eq!(answer.status, 200, "{document}");
                let state = document["state"].as_str().expect("a state");
                if states.contains(&state) {
                    return document;
                }
                let over = ["completed", "failed", "cancelled", "rejected"].contains(&state);
                assert!(!over, "job {job_id} is {document}");
                unless = state.to_owned();
            }
        })
        .await
    }

    pub(crate) async fn result(&self, job_id: &str) -> http::Answer {
        self.get(&format!("/v1/jobs/{job_id}/result")).await
    }

    /// What lies in the directory of results.
    pub(crate) fn result_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.home.join("results")];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).expect("listed") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path)
                } else {
                    found.push(path)
                }
            }
        }
        found.sort();
        found
    }
}
