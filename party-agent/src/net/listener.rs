//! Where other agents dial this one directly: who calls is told apart by TLS, and what for by the handshake.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use coordinator::contract::JobId;
use coordinator::tls::{self, Admit, EndpointError, Fingerprint, Identity, Trouble};
use quinn::{Endpoint, Incoming};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use super::PROMPT;
use super::close::{Ending, Objection};
use super::handshake::Caller;

/// Callers that are being told apart, or wait for their job to start here.
const MAX_CALLERS: usize = 64;

/// How long a caller waits for a job that has not started here yet.
const UNKNOWN_JOB: Duration = Duration::from_secs(10);

/// The listening socket, and the callers that nobody has asked for yet.
pub struct Listener {
    endpoint: Endpoint,
    desk: Arc<Desk>,
    accepting: JoinHandle<()>,
}

/// By job and by the key that TLS has proved, so that no party can take another's place in the queue.
type Expected = BTreeMap<(JobId, Fingerprint), mpsc::Sender<Caller>>;

#[derive(Default)]
struct Desk {
    expected: Mutex<Expected>,
    /// Counts registrations, so that waiting callers look again.
    changed: watch::Sender<u64>,
}

/// The calls of one party for one job. Dropping it ends the expectation.
pub struct Inbox {
    key: (JobId, Fingerprint),
    callers: mpsc::Receiver<Caller>,
    desk: Arc<Desk>,
}

impl Listener {
    /// Listens on `address`, and lets in whom `admit` admits.
    ///
    /// # Errors
    /// [`EndpointError`] if the socket cannot be opened.
    pub fn start(
        address: SocketAddr,
        identity: &Identity,
        admit: Arc<dyn Admit>,
    ) -> Result<Self, EndpointError> {
        let mut config = tls::server_config(identity, admit);
        config.transport_config(Arc::new(super::transport()));
        config.max_incoming(MAX_CALLERS);
        let endpoint = tls::endpoint(address, Some(config))?;
        let desk = Arc::new(Desk::default());
        let accepting = tokio::spawn(accept(endpoint.clone(), Arc::clone(&desk)));
        Ok(Self {
            endpoint,
            desk,
            accepting,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Expects calls of the party with this key for `job`.
    #[must_use]
    pub fn expect(&self, job: JobId, peer: Fingerprint) -> Inbox {
        let (sender, callers) = mpsc::channel(4);
        let key = (job, peer);
        self.desk.lock().insert(key, sender);
        self.desk.changed.send_modify(|n| *n += 1);
        Inbox {
            key,
            callers,
            desk: Arc::clone(&self.desk),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        self.endpoint
            .close(Ending::Failed.code(), b"the agent is shutting down");
    }
}

impl Inbox {
    /// The next caller.
    pub async fn next(&mut self) -> Caller {
        match self.callers.recv().await {
            Some(caller) => caller,
            // The sender is in the desk for as long as this inbox lives, unless a second inbox took its place.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Closed first, so that what is in the table under this key is known to be this inbox's own or a newer one.
        self.callers.close();
        let mut expected = self.desk.lock();
        if expected.get(&self.key).is_some_and(mpsc::Sender::is_closed) {
            expected.remove(&self.key);
        }
    }
}

async fn accept(endpoint: Endpoint, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(MAX_CALLERS));
    while let Some(incoming) = endpoint.accept().await {
        // With half the places taken, an address has to prove that it can receive before it gets one.
        if !incoming.remote_address_validated() && places.available_permits() < MAX_CALLERS / 2 {
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let _place = place;
            greet(incoming, &desk).await;
        });
    }
}

async fn greet(incoming: Incoming, desk: &Desk) {
    let from = incoming.remote_address();
    let connection = match timeout(PROMPT, incoming.into_future()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            info!(%from, trouble = %Trouble::of(&error), "a caller was not let in");
            return;
        }
        Err(_) => return,
    };
    match Caller::listen(connection).await {
        Ok(caller) => desk.hand_over(caller).await,
        Err(error) => info!(%from, %error, "a caller did not finish its handshake"),
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Gives a caller to the job that expects it, for which it waits a while.
    async fn hand_over(&self, caller: Caller) {
        let Some(peer) = caller.fingerprint() else {
            return caller.refuse(Objection::Key);
        };
        let key = (caller.job_id(), peer);
        let mut changed = self.changed.subscribe();
        let expected = timeout(UNKNOWN_JOB, async {
            loop {
                let found = self.lock().get(&key).cloned();
                if let Some(sender) = found {
                    return sender;
                }
                changed
                    .changed()
                    .await
                    .expect("the desk that is borrowed holds the sender");
            }
        });
        match expected.await {
            Ok(sender) => {
                if let Err(rejected) = sender.try_send(caller) {
                    rejected.into_inner().refuse(Objection::UnknownJob);
                }
            }
            Err(_) => caller.refuse(Objection::UnknownJob),
        }
    }
}
