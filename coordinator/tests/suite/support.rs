//! Parties, contracts and a running coordinator for tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coordinator::client::{ClientConfig, CoordinatorClient, Events};
use coordinator::clock::{Clock, SystemClock};
use coordinator::config::{CoordinatorConfig, Limits, Members};
use coordinator::contract::{
    Acceptance, CONTRACT_FORMAT, Contract, ContractParty, Digest, Directed, JobId, Nonce,
    PartyName, PartyRole, Rejection, Signed,
};
use coordinator::control::Event;
use coordinator::job::book::Probe;
use coordinator::job::{JobState, Outcome};
use coordinator::server::{Server, ServerError};
use coordinator::tls::{Expect, Identity, Pin, Pins};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for any machine, short enough to end a test that hangs.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// Awaits `future`, and fails instead of hanging.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future)
        .await
        .unwrap_or_else(|_| panic!("nothing happened for a minute: {what}"))
}

pub(crate) fn name(text: &str) -> PartyName {
    PartyName::new(text).unwrap()
}

pub(crate) fn identity(text: &str) -> Arc<Identity> {
    Arc::new(Identity::generate(name(text), 30).unwrap())
}

pub(crate) fn pins<'a>(identities: impl IntoIterator<Item = &'a Arc<Identity>>) -> Pins {
    let mut pins = Pins::new();
    for identity in identities {
        pins.add(Pin::new(identity.name().clone(), identity.fingerprint()))
            .unwrap();
    }
    pins
}

pub(crate) fn expect(identity: &Identity) -> Expect {
    Expect {
        name: identity.name().clone(),
        fingerprint: identity.fingerprint(),
    }
}

pub(crate) fn now() -> u64 {
    SystemClock.now_unix_s()
}

/// A contract between `parties`, given in order of name; the first proposes and receives.
pub(crate) fn contract(parties: &[&Arc<Identity>], job: u8) -> Contract {
    let party = |identity: &&Arc<Identity>| ContractParty {
        name: identity.name().clone(),
        fingerprint: identity.fingerprint(),
        role: PartyRole::Holder,
        computing: true,
    };
    Contract {
        format: CONTRACT_FORMAT,
        job_id: JobId([job; 16]),
        job: "paid-by-diagnosis".into(),
        purpose: "IRB 2026-117: 住院费用".into(),
        spec: "job = \"paid-by-diagnosis\"\n".into(),
        proposer: parties[0].name().clone(),
        parties: parties.iter().map(party).collect(),
        receivers: vec![parties[0].name().clone()],
        catalogues: BTreeMap::from([(parties[0].name().clone(), Digest::of(b"catalogue"))]),
        plan: Digest::of(b"plan"),
        created: now(),
        not_after: now() + 3600,
        supersedes: None,
        resumes: None,
    }
}

/// A description for these parties.
pub(crate) fn directed(body: &str, visible_to: &[&str]) -> Directed {
    Directed {
        body: body.into(),
        salt: Digest::of(body.as_bytes()),
        visible_to: visible_to.iter().map(|party| name(party)).collect(),
    }
}

pub(crate) fn acceptance(contract: &Contract, party: &Identity) -> Acceptance {
    Acceptance {
        job_id: contract.job_id,
        party: party.name().clone(),
        contract: contract.digest(),
        plan: contract.plan,
        nonce: Nonce([7; 32]),
        approved_by: "a person".into(),
        pages: BTreeMap::new(),
        signed_by: Vec::new(),
        seen: Vec::new(),
        at: contract.created,
    }
}

pub(crate) fn accept(contract: &Contract, party: &Identity) -> Signed<Acceptance> {
    Signed::sign(&acceptance(contract, party), party).unwrap()
}

pub(crate) fn reject(contract: &Contract, party: &Identity) -> Signed<Rejection> {
    let rejection = Rejection {
        job_id: contract.job_id,
        party: party.name().clone(),
        code: "purpose".into(),
        reason: "not covered by our approval".into(),
    };
    Signed::sign(&rejection, party).unwrap()
}

pub(crate) fn completed() -> Outcome {
    Outcome::Completed {
        receipt: "{\"rounds\":2}".into(),
    }
}

/// A coordinator in this process, and the identities of its members.
pub(crate) struct World {
    pub(crate) coordinator: Arc<Identity>,
    pub(crate) parties: Vec<Arc<Identity>>,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn start(names: &[&str], limits: Limits) -> Self {
        Self::start_at(names, limits, Arc::new(SystemClock)).await
    }

    pub(crate) async fn start_at(names: &[&str], limits: Limits, clock: Arc<dyn Clock>) -> Self {
        // Shown for a test that fails.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing::Level::INFO)
            .try_init();
        let mut world = Self {
            coordinator: identity("coordinator"),
            parties: names.iter().map(|name| identity(name)).collect(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            dir: tempfile::tempdir().unwrap(),
            running: None,
        };
        world.run(limits, clock).await;
        world
    }

    pub(crate) fn config(&self, limits: Limits, clock: Arc<dyn Clock>) -> CoordinatorConfig {
        CoordinatorConfig {
            identity: Arc::clone(&self.coordinator),
            listen: self.address,
            state_dir: self.state_dir(),
            members: Members {
                fixed: pins(&self.parties),
                file: None,
            },
            clock,
            limits,
            probe: Probe::default(),
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts, or starts again on the same address and state.
    pub(crate) async fn run(&mut self, limits: Limits, clock: Arc<dyn Clock>) {
        let server = within(
            "the address of a stopped coordinator is free again",
            async {
                loop {
                    match Server::bind(self.config(limits.clone(), Arc::clone(&clock))).await {
                        // The socket of the one before is let go by a task of its own.
                        Err(ServerError::Endpoint(_)) => tokio::task::yield_now().await,
                        server => return server.unwrap(),
                    }
                }
            },
        )
        .await;
        self.address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        self.running = Some((stop, task));
    }

    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        let _ = stop.send(());
        within("the coordinator ends", task).await.unwrap();
    }

    pub(crate) fn client_config(&self, party: usize) -> ClientConfig {
        let identity = Arc::clone(&self.parties[party]);
        ClientConfig {
            request_deadline: HANG,
            ..ClientConfig::new(
                identity,
                self.address.to_string(),
                expect(&self.coordinator),
            )
        }
    }

    pub(crate) fn connect(&self, party: usize) -> (CoordinatorClient, Events) {
        CoordinatorClient::connect(self.client_config(party))
    }

    /// Connects all parties, and waits until each has been told all it may have missed.
    pub(crate) async fn connect_all(&self) -> Vec<(CoordinatorClient, Events)> {
        let mut all = Vec::new();
        for i in 0..self.parties.len() {
            let (client, mut events) = self.connect(i);
            wait_for(&mut events, |event| matches!(event, Event::Synchronised)).await;
            all.push((client, events));
        }
        all
    }

    /// A job of all parties that has just been started.
    pub(crate) async fn start_job(
        &self,
        agents: &mut [(CoordinatorClient, Events)],
        job: u8,
    ) -> Contract {
        let parties: Vec<_> = self.parties.iter().collect();
        let contract = contract(&parties, job);
        let signed = Signed::sign(&contract, &self.parties[0]).unwrap();
        assert_eq!(agents[0].0.propose(signed).await, Ok(JobState::Proposed));
        for (i, (client, _)) in agents.iter().enumerate() {
            client
                .accept(accept(&contract, &self.parties[i]))
                .await
                .unwrap();
        }
        for (_, events) in agents {
            wait_for(events, |event| matches!(event, Event::Start(_))).await;
        }
        contract
    }
}

/// The next event that satisfies `is_it`; what comes before is passed over.
pub(crate) async fn wait_for(events: &mut Events, is_it: impl Fn(&Event) -> bool) -> Event {
    within("an event", async {
        loop {
            let event = events.next().await.expect("the client is open");
            if is_it(&event) {
                return event;
            }
        }
    })
    .await
}

/// Waits until the job's state satisfies `is_it`.
pub(crate) async fn wait_state(
    events: &mut Events,
    job_id: JobId,
    is_it: impl Fn(&JobState) -> bool,
) -> JobState {
    let event = wait_for(
        events,
        |event| matches!(event, Event::JobState { job_id: id, state } if *id == job_id && is_it(state)),
    );
    let Event::JobState { state, .. } = event.await else {
        unreachable!()
    };
    state
}
