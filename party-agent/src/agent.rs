//! The agent process: its line to the coordinator, the jobs in hand, the local API.
//!
//! The agent only dials out. Whatever the coordinator sends is a claim: proposals, acceptances and catalogues are
//! verified against the keys that this party's people have pinned ([`crate::approve`]), and what was agreed is on
//! disk before it is acted on ([`crate::ledger`]).

mod random;
mod error;
pub mod milestones;
mod catalogues;
mod find;
mod proposals;
mod amendments;
mod resume;
mod runs;
mod unwritten;
mod halt;
mod evidence;
mod agreement;
mod rules;
mod egress;
mod events;
pub(crate) mod views;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator::client::{ClientConfig, CoordinatorClient, Events};
use coordinator::clock::{Clock, SystemClock};
use coordinator::contract::{JobId, PartyName};
use coordinator::job::{FailureClass, StopReason};
use coordinator::tls::{self, Admit, Fingerprint, Identity, Pins, PinsError, Refusal};
use quinn::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use crate::api;
use crate::config::AgentConfig;
use crate::execute::{self, Checkpoints, Progress};
use crate::ledger::Ledger;
use crate::net::listener::Listener;
use crate::policy::{Policy, PolicyError};

use catalogues::Catalogues;
use milestones::Milestones;
use unwritten::Unwritten;

pub use error::AgentError;

/// How long runs that are told to stop may take until the process ends without them.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Proposals that may be looked at at a time; more wait their turn.
const MAX_VETTING: usize = 4;

/// Who approves at this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// People and standing rules. A missing policy file allows nothing.
    Production,
    /// One person rehearses all parties on local data: every job that the policy passes is approved, and where
    /// there is no policy file, everything passes. For `simulate` and `demo` alone.
    Rehearsal,
}

/// A running agent.
pub struct Agent {
    core: Arc<Core>,
    events: Events,
    api_address: SocketAddr,
    api: JoinHandle<io::Result<()>>,
    api_stop: watch::Sender<bool>,
}

/// What all parts of an agent share.
pub(crate) struct Core {
    pub(crate) config: AgentConfig,
    pub(crate) mode: Mode,
    pub(crate) identity: Arc<Identity>,
    pub(crate) ledger: Ledger,
    pub(crate) client: CoordinatorClient,
    pub(crate) clock: Arc<dyn Clock>,
    milestones: Milestones,
    /// Where fits stand that broke off.
    checkpoints: Checkpoints,
    pub(crate) catalogues: Catalogues,
    /// Where others dial this agent, and what they are told.
    listener: Option<Listener>,
    pub(crate) advertised: Option<String>,
    /// The socket that this agent dials from.
    pub(crate) endpoint: Endpoint,
    running: Mutex<BTreeMap<JobId, Running>>,
    /// Ends of jobs that are not in the ledger yet.
    unwritten: Unwritten,
    /// Places for jobs that run.
    places: Semaphore,
    /// Places for proposals that are looked at.
    vetting: Semaphore,
    /// Held while evidence is gathered, so that a checkpoint is witnessed once.
    gathering: tokio::sync::Mutex<()>,
}

/// A job that is running, or about to.
struct Running {
    stop: watch::Sender<Option<StopReason>>,
    progress: Progress,
    ended: watch::Receiver<bool>,
}

/// Runs an agent until `shutdown` is ready.
///
/// # Errors
/// [`AgentError`] if it cannot start.
pub async fn run(
    config: AgentConfig,
    mode: Mode,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    Agent::start(config, mode).await?.run(shutdown).await;
    Ok(())
}

impl Agent {
    /// Opens ledger, tables and sockets, and starts to dial. Jobs are dealt with once it is [run](Agent::run).
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn start(config: AgentConfig, mode: Mode) -> Result<Self, AgentError> {
        Self::start_watched(config, mode, Milestones::default()).await
    }

    /// The same with somebody who looks at its runs.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn start_watched(
        config: AgentConfig,
        mode: Mode,
        milestones: Milestones,
    ) -> Result<Self, AgentError> {
        let identity = Arc::new(Identity::load(&config.identity)?);
        if *identity.name() != config.name {
            return Err(AgentError::Name {
                certificate: identity.name().clone(),
                configured: config.name,
            });
        }
        make_dir(&config.state)?;
        make_dir(&config.results_dir())?;
        make_dir(&config.tables_dir())?;
        make_dir(&config.checkpoints_dir())?;
        let checkpoints = Checkpoints::new(config.checkpoints_dir());
        execute::clean(&config.results_dir()).map_err(at(&config.results_dir()))?;
        let ledger = Ledger::open(&config.ledger_file()).await?;
        ledger.verify(&identity.public_keys()).await?;
        let catalogues = Catalogues::open(&config, mode, &ledger, &identity).await?;
        ledger.note_key(&identity, SystemClock.now_unix_s()).await?;
        ledger.checkpoint(&identity).await?;
        let listener = listen(&config, &identity)?;
        let advertised = advertised(&config, listener.as_ref()).map_err(at(&config.state))?;
        let endpoint = dialling_endpoint()?;
        let (client, events) =
            CoordinatorClient::connect(client_config(&config, &identity, advertised.clone()));
        let places = Semaphore::new(config.concurrent_jobs);
        let api_listen = config.api;
        let core = Arc::new(Core {
            config,
            mode,
            identity,
            ledger,
            client,
            clock: Arc::new(SystemClock),
            milestones,
            checkpoints,
            catalogues,
            listener,
            advertised,
            endpoint,
            running: Mutex::default(),
            unwritten: Unwritten::default(),
            places,
            vetting: Semaphore::new(MAX_VETTING),
            gathering: tokio::sync::Mutex::default(),
        });
        let unusable = |source| AgentError::Api {
            address: api_listen,
            source,
        };
        let socket = TcpListener::bind(api_listen).await.map_err(unusable)?;
        let api_address = socket.local_addr().map_err(unusable)?;
        let token = api::Token::write(&core.config.token_file(), random::bytes()?)
            .map_err(at(&core.config.token_file()))?;
        let (api_stop, stopped) = watch::channel(false);
        let api = tokio::spawn(api::serve(socket, Arc::clone(&core), token, stopped));
        info!(party = %core.config.name, api = %api_address, "the agent has started");
        Ok(Self {
            core,
            events,
            api_address,
            api,
            api_stop,
        })
    }

    /// Where the local API listens.
    #[must_use]
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// What other agents are told to dial, if they can dial this one.
    #[must_use]
    pub fn advertised(&self) -> Option<&str> {
        self.core.advertised.as_deref()
    }

    /// This party's key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.core.identity.fingerprint()
    }

    /// Deals with jobs until `shutdown` is ready; then stops those that run, says goodbye, and ends.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        self.core.report_interrupted().await;
        tokio::select! {
            () = shutdown => {}
            () = self.core.follow(&mut self.events) => {}
        }
        self.core.stop_all().await;
        self.api_stop.send_replace(true);
        self.core.client.close();
        self.events.closed().await;
        // The API's task ends with its last request; nothing of it is worth waiting for.
        self.api.abort();
        self.core.ledger.close().await;
        info!(party = %self.core.config.name, "the agent has ended");
    }
}

impl Core {
    pub(crate) fn now(&self) -> u64 {
        self.clock.now_unix_s()
    }

    /// The pinned keys, as the file stands now.
    pub(crate) fn pins(&self) -> Result<Pins, PinsError> {
        load_pins(&self.config.trusted)
    }

    /// The policy, as the file stands now.
    pub(crate) fn policy(&self) -> Result<Policy, PolicyError> {
        rules::load_policy(&self.config, self.mode)
    }

    pub(crate) fn name(&self) -> &PartyName {
        &self.config.name
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<JobId, Running>> {
        // Each change is one insertion or removal, so a panic elsewhere cannot have left half of one.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that are running here.
    pub(crate) fn running_jobs(&self) -> Vec<JobId> {
        self.running().keys().copied().collect()
    }

    /// Stops every job that runs, and waits for them for a while.
    async fn stop_all(&self) {
        let reason = StopReason::Failed {
            party: Some(self.name().clone()),
            class: FailureClass::Restarted,
        };
        let running: Vec<_> = {
            let running = self.running();
            running
                .values()
                .map(|r| (r.stop.clone(), r.ended.clone()))
                .collect()
        };
        for (stop, _) in &running {
            stop.send_if_modified(|s| s.is_none().then(|| *s = Some(reason.clone())).is_some());
        }
        let all = running.into_iter().map(|(_, mut ended)| async move {
            // An error means that the task is gone, which is as good.
            let _ = ended.wait_for(|ended| *ended).await;
        });
        let _ = timeout(STOP_PATIENCE, futures::future::join_all(all)).await;
    }
}

/// No file means that nobody is trusted yet.
fn load_pins(path: &Path) -> Result<Pins, PinsError> {
    if path.exists() {
        Pins::load(path)
    } else {
        Ok(Pins::new())
    }
}

fn client_config(
    config: &AgentConfig,
    identity: &Arc<Identity>,
    advertised: Option<String>,
) -> ClientConfig {
    let mut client = ClientConfig::new(
        Arc::clone(identity),
        config.coordinator.address.clone(),
        config.coordinator.pin(),
    );
    client.reachable_at = advertised;
    client
}

/// Lets in whoever stands in the file of trusted parties at that moment.
#[derive(Debug)]
struct Trusted {
    path: std::path::PathBuf,
}

impl Admit for Trusted {
    fn admit(&self, key: &Fingerprint, claimed: Option<&PartyName>) -> Result<PartyName, Refusal> {
        // A list that cannot be read trusts nobody.
        load_pins(&self.path)
            .unwrap_or_else(|_| Pins::new())
            .admit(key, claimed)
    }
}

fn listen(config: &AgentConfig, identity: &Identity) -> Result<Option<Listener>, AgentError> {
    let Some(direct) = &config.direct else {
        return Ok(None);
    };
    let trusted = Arc::new(Trusted {
        path: config.trusted.clone(),
    });
    Ok(Some(Listener::start(direct.listen, identity, trusted)?))
}

fn advertised(config: &AgentConfig, listener: Option<&Listener>) -> io::Result<Option<String>> {
    let Some((direct, listener)) = config.direct.as_ref().zip(listener) else {
        return Ok(None);
    };
    match &direct.advertise {
        Some(address) => Ok(Some(address.clone())),
        None => Ok(Some(listener.local_addr()?.to_string())),
    }
}

/// A socket for both kinds of address, or for the older one where the system has only that.
fn dialling_endpoint() -> Result<Endpoint, AgentError> {
    let any_v6 = SocketAddr::from(([0_u16; 8], 0));
    let any_v4 = SocketAddr::from(([0_u8; 4], 0));
    Ok(tls::endpoint(any_v6, None).or_else(|_| tls::endpoint(any_v4, None))?)
}

fn make_dir(path: &Path) -> Result<(), AgentError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::File { path, source }
}
