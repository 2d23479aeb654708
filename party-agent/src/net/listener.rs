//! Where other agents dial this one directly: who calls is told apart by TLS, and what for by the handshake.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use coordinator::contract::JobId;
use coordinator::throttle::Throttle;
use coordinator::tls::{self, Admit, EndpointError, Fingerprint, Identity, Trouble};
use quinn::{Endpoint, Incoming};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use super::PROMPT;
use super::close::{Ending, Objection};
use super::handshake::Caller;

/// How many callers may be told apart, or wait for their job to start here, at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) in_total: usize,
    /// Of one party, so that none can take all places.
    pub(super) of_one: usize,
}

const PLACES: Places = Places {
    in_total: 128,
    of_one: 16,
};

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

struct Desk {
    expected: Mutex<Expected>,
    /// Callers that have not been handed over, by key.
    waiting: Mutex<BTreeMap<Fingerprint, usize>>,
    /// Strangers may call as often as they like, and are not to fill the log.
    refusals: Throttle,
    places: Places,
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
        Self::start_with(address, identity, admit, PLACES)
    }

    pub(super) fn start_with(
        address: SocketAddr,
        identity: &Identity,
        admit: Arc<dyn Admit>,
        places: Places,
    ) -> Result<Self, EndpointError> {
        let mut config = tls::server_config(identity, admit);
        config.transport_config(Arc::new(super::transport()));
        config.max_incoming(places.in_total);
        let endpoint = tls::endpoint(address, Some(config))?;
        let desk = Arc::new(Desk {
            expected: Mutex::default(),
            waiting: Mutex::default(),
            refusals: Throttle::of_refusals(),
            places,
            changed: watch::Sender::default(),
        });
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
    let in_total = desk.places.in_total;
    let places = Arc::new(Semaphore::new(in_total));
    while let Some(incoming) = endpoint.accept().await {
        // With half the places taken, an address has to prove that it can receive before it gets one.
        if !incoming.remote_address_validated() && places.available_permits() < in_total / 2 {
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
            if let Some(left_out) = desk.refusals.admit(Instant::now()) {
                info!(%from, trouble = %Trouble::of(&error), left_out, "a caller was not let in");
            }
            return;
        }
        Err(_) => return,
    };
    let Some(_counted) = tls::peer_fingerprint(&connection).and_then(|key| desk.count(key)) else {
        return Ending::Refused(Objection::TooMany).close(&connection);
    };
    match Caller::listen(connection).await {
        Ok(caller) => desk.hand_over(caller).await,
        Err(error) => {
            if let Some(left_out) = desk.refusals.admit(Instant::now()) {
                info!(%from, %error, left_out, "a caller did not finish its handshake");
            }
        }
    }
}

/// Counts a caller of one party until it is handed over or gone.
struct Counted<'a> {
    desk: &'a Desk,
    key: Fingerprint,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut waiting = self.desk.waiting();
        if let Some(n) = waiting.get_mut(&self.key) {
            *n -= 1;
            if *n == 0 {
                waiting.remove(&self.key);
            }
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Fingerprint, usize>> {
        self.waiting
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// A place for one more caller of this party, if it has not got as many as it may.
    fn count(&self, key: Fingerprint) -> Option<Counted<'_>> {
        let mut waiting = self.waiting();
        let n = waiting.entry(key).or_default();
        if *n == self.places.of_one {
            return None;
        }
        *n += 1;
        Some(Counted { desk: self, key })
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
