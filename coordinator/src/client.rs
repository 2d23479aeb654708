//! An agent's line to the coordinator: one connection that mends itself.
//!
//! [`CoordinatorClient::connect`] starts a task that dials, says hello, and dials again whenever the connection is lost, with
//! growing pauses. Requests that were not answered are sent again on the next connection; each is such that twice is
//! as good as once. Events come on a bounded channel; an agent that does not read it is disconnected, and is told the present state
//! when it comes back.
//!
//! What the coordinator says is not proof of anything: contracts, acceptances and catalogues are signed, and the agent verifies them.

mod link;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::contract::{Acceptance, Contract, JobId, PartyName, Published, Rejection, Signed};
use crate::control::codec::MAX_OPENING_BYTES;
use crate::control::stream::{FrameReader, FrameWriter};
use crate::control::{
    Answer, Call, CallError, CloseCode, DirectoryEntry, Event, Opening, OpeningReply, RelayRefusal,
};
use crate::job::{JobState, JobSummary, JobView, Outcome};
use crate::logsafe::LogSafe;
use crate::tls::{Fingerprint, Identity, Pin, Trouble};

/// How many events may wait for the agent. All that is sent after a reconnect fits.
const EVENT_QUEUE: usize = 4096;

/// How many requests may wait for an answer.
const CALL_QUEUE: usize = 64;

/// How long [`CoordinatorClient::open_relay`] waits: longer than the coordinator waits for the peer's leg.
const RELAY_DEADLINE: Duration = Duration::from_secs(15);

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// Who we are.
    pub identity: Arc<Identity>,
    /// Where the coordinator is, `host:port`. Looked up again at every attempt.
    pub address: String,
    /// Who the coordinator is. While it changes over to another key, both are its own.
    pub coordinator: Pin,
    /// Where other agents can reach this one directly, `host:port`; none behind a firewall.
    pub reachable_at: Option<String>,
    /// How long a request may take, reconnects included. [`CoordinatorClient::report`] takes as long as it must.
    pub request_deadline: Duration,
}

impl ClientConfig {
    /// A client of the coordinator at `address`, reachable through the relay only, with 10 s for a request.
    pub fn new(
        identity: Arc<Identity>,
        address: impl Into<String>,
        coordinator: impl Into<Pin>,
    ) -> Self {
        let request_deadline = Duration::from_secs(10);
        Self {
            identity,
            address: address.into(),
            coordinator: coordinator.into(),
            reachable_at: None,
            request_deadline,
        }
    }
}

/// How the connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Dialling. `why` tells what ended the last attempt or connection.
    Down {
        /// Attempts since the last connection.
        n_attempts: u32,
        /// Why there is no connection.
        why: Option<LinkError>,
    },
    /// Connected, and welcomed.
    Up {
        /// The coordinator's address.
        address: SocketAddr,
    },
    /// The client was closed.
    Closed,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be looked up.
    #[error("cannot look up {address}; check `coordinator.address` in the configuration")]
    Lookup {
        /// The address.
        address: String,
    },
    /// No socket.
    #[error("cannot open a UDP socket")]
    Socket,
    /// The connection failed or ended.
    #[error("coordinator at {address}: {}", said(trouble))]
    Connection {
        /// The coordinator's address.
        address: SocketAddr,
        /// How.
        trouble: Trouble,
    },
    /// The coordinator does not let this party in.
    #[error(
        "the coordinator at {address} refused this party's certificate; its operator adds the key with: entente keys trust {name} {key}; if the key is there already, start this agent again, which renews the certificate, and check both clocks"
    )]
    Refused {
        /// The coordinator's address.
        address: SocketAddr,
        /// Our own name.
        name: PartyName,
        /// Our own key.
        key: Fingerprint,
    },
    /// The coordinator answers, but not in this protocol.
    #[error("coordinator at {address} does not speak this protocol: {error}")]
    Protocol {
        /// The coordinator's address.
        address: SocketAddr,
        /// How it differs.
        error: crate::control::stream::StreamError,
    },
    /// This agent does not read its events.
    #[error("this agent did not read its events in time")]
    EventsUnread,
}

impl LogSafe for LinkError {}

/// The trouble in words: a code with which the coordinator closes has a meaning.
fn said(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Closed { code } => match CloseCode::from_code(*code) {
            Some(known) => format!("it closed the connection: {}", known.reason()),
            None => trouble.to_string(),
        },
        _ => trouble.to_string(),
    }
}

impl LinkError {
    /// Does trying again help only after a person has changed something?
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Connection {
                trouble: Trouble::Closed { code },
                ..
            } => {
                let lasting = [
                    CloseCode::NameMismatch,
                    CloseCode::Replaced,
                    CloseCode::Removed,
                    CloseCode::Version,
                ];
                lasting.iter().any(|lasting| *lasting as u64 == *code)
            }
            Self::Connection { trouble, .. } => trouble.is_refusal(),
            Self::Refused { .. } | Self::Protocol { .. } => true,
            Self::Lookup { .. } | Self::Socket | Self::EventsUnread => false,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The coordinator said no.
    #[error("{0}")]
    Refused(#[from] CallError),
    /// No answer in time.
    #[error("no answer from the coordinator within {seconds} s{}", why.as_ref().map(|w| format!(" ({w})")).unwrap_or_default())]
    Unanswered {
        /// How long was waited.
        seconds: u64,
        /// Why there is no connection, if there is none.
        why: Option<LinkError>,
    },
    /// The coordinator answered another question.
    #[error("the coordinator's answer does not fit the question; are both of the same version?")]
    WrongAnswer,
    /// No relay.
    #[error("no relay to {peer}: {refusal}")]
    Relay {
        /// The other end.
        peer: PartyName,
        /// Why.
        refusal: RelayRefusal,
    },
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

/// A request on its way to the link's task.
struct Pending {
    call: Call,
    reply: oneshot::Sender<Result<Answer, CallError>>,
}

/// The agent's end of the line. Clones share one connection; [`CoordinatorClient::close`] ends it for all, and so does
/// dropping the last of them.
#[derive(Clone)]
pub struct CoordinatorClient {
    calls: mpsc::Sender<Pending>,
    link: watch::Receiver<Link>,
    connection: watch::Receiver<Option<quinn::Connection>>,
    stop: Arc<watch::Sender<bool>>,
    request_deadline: Duration,
}

/// Events from the coordinator, in order.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl Events {
    /// The next event; none once the client is closed.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits until the client's task has said goodbye and ended.
    pub async fn closed(mut self) {
        self.events.close();
        let _ = (&mut self.task).await;
    }
}

impl CoordinatorClient {
    /// Starts to connect, and goes on until [`CoordinatorClient::close`]. Needs a tokio runtime.
    pub fn connect(config: ClientConfig) -> (Self, Events) {
        let (calls, call_queue) = mpsc::channel(CALL_QUEUE);
        let (event_queue, events) = mpsc::channel(EVENT_QUEUE);
        let (link_sender, link) = watch::channel(Link::Down {
            n_attempts: 0,
            why: None,
        });
        let (connection_sender, connection) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let request_deadline = config.request_deadline;
        let task = link::Task {
            config,
            calls: call_queue,
            events: event_queue,
            link: link_sender,
            connection: connection_sender,
            stopped,
        };
        let task = tokio::spawn(task.run());
        let client = Self {
            calls,
            link,
            connection,
            stop: Arc::new(stop),
            request_deadline,
        };
        (client, Events { events, task })
    }

    /// How the connection stands, and how that changes.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Waits for a connection, for at most `deadline`.
    pub async fn wait_up(&self, deadline: Duration) -> Result<(), ClientError> {
        let mut link = self.link.clone();
        let up = link.wait_for(|link| !matches!(link, Link::Down { .. }));
        match timeout(deadline, up)
            .await
            .map(|link| link.map(|link| link.clone()))
        {
            Ok(Ok(Link::Up { .. })) => Ok(()),
            Ok(_) => Err(ClientError::Closed),
            Err(_) => Err(self.unanswered(deadline)),
        }
    }

    /// Says goodbye, so that the others need not wait for this party, and ends the connection.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Round-trip time to the coordinator, while connected.
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection
            .borrow()
            .as_ref()
            .map(quinn::Connection::rtt)
    }

    fn unanswered(&self, waited: Duration) -> ClientError {
        let why = match &*self.link.borrow() {
            Link::Down { why, .. } => why.clone(),
            _ => None,
        };
        ClientError::Unanswered {
            seconds: waited.as_secs(),
            why,
        }
    }

    async fn ask(&self, call: Call) -> Result<Answer, ClientError> {
        let answer = timeout(self.request_deadline, self.ask_patiently(call)).await;
        answer.unwrap_or_else(|_| Err(self.unanswered(self.request_deadline)))
    }

    async fn ask_patiently(&self, call: Call) -> Result<Answer, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.calls
            .send(Pending { call, reply })
            .await
            .map_err(|_| ClientError::Closed)?;
        Ok(answer.await.map_err(|_| ClientError::Closed)??)
    }

    async fn ask_state(&self, call: Call) -> Result<JobState, ClientError> {
        match self.ask(call).await? {
            Answer::State(state) => Ok(state),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Replaces this party's catalogue, and what goes with it for some parties.
    pub async fn publish_catalogue(
        &self,
        catalogue: impl Into<Published>,
    ) -> Result<(), ClientError> {
        match self.ask(Call::PublishCatalogue(catalogue.into())).await? {
            Answer::Done => Ok(()),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// All members, as the coordinator sees them.
    pub async fn directory(&self) -> Result<Vec<DirectoryEntry>, ClientError> {
        match self.ask(Call::Directory).await? {
            Answer::Directory(entries) => Ok(entries),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// A party's catalogue with what of it this party may see, to be verified against the key that is pinned for it.
    pub async fn catalogue(&self, party: &PartyName) -> Result<Option<Published>, ClientError> {
        match self
            .ask(Call::Catalogue {
                party: party.clone(),
            })
            .await?
        {
            Answer::Catalogue(catalogue) => Ok(catalogue),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Proposes a job. Proposing is not accepting: the proposer accepts like every party.
    pub async fn propose(&self, contract: Signed<Contract>) -> Result<JobState, ClientError> {
        self.ask_state(Call::Propose(contract)).await
    }

    /// Accepts a job.
    pub async fn accept(&self, acceptance: Signed<Acceptance>) -> Result<JobState, ClientError> {
        self.ask_state(Call::Accept(acceptance)).await
    }

    /// Rejects a job.
    pub async fn reject(&self, rejection: Signed<Rejection>) -> Result<JobState, ClientError> {
        self.ask_state(Call::Reject(rejection)).await
    }

    /// Says how a job ended here. Waits, through any number of reconnects, until the coordinator has it in its journal.
    pub async fn report(&self, job_id: JobId, outcome: Outcome) -> Result<JobState, ClientError> {
        match self.ask_patiently(Call::Report { job_id, outcome }).await? {
            Answer::State(state) => Ok(state),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Calls a job off.
    pub async fn cancel(&self, job_id: JobId) -> Result<JobState, ClientError> {
        self.ask_state(Call::Cancel { job_id }).await
    }

    /// This party's jobs, the latest change first.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, ClientError> {
        match self.ask(Call::Jobs).await? {
            Answer::Jobs(jobs) => Ok(jobs),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// All that the coordinator knows of a job.
    pub async fn job_status(&self, job_id: JobId) -> Result<JobView, ClientError> {
        match self.ask(Call::JobStatus { job_id }).await? {
            Answer::Job(view) => Ok(*view),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Leaves with a completed job what this party says about the others' logs. Waits through any number of reconnects.
    pub async fn witness(&self, job_id: JobId, seen: String) -> Result<(), ClientError> {
        match self.ask_patiently(Call::Witness { job_id, seen }).await? {
            Answer::Done => Ok(()),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Where the parties of a job can be reached; none where only through the relay.
    pub async fn addresses(
        &self,
        job_id: JobId,
    ) -> Result<BTreeMap<PartyName, Option<String>>, ClientError> {
        match self.ask(Call::Addresses { job_id }).await? {
            Answer::Addresses(addresses) => Ok(addresses),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Opens a leg of the relay to `peer` for a running job, and waits until the peer has opened its own.
    ///
    /// The stream is as good as the coordinator: reliable and ordered, and neither private nor authentic by itself. Speak TLS
    /// with the peer through it.
    pub async fn open_relay(
        &self,
        job_id: JobId,
        peer: &PartyName,
    ) -> Result<(SendStream, RecvStream), ClientError> {
        let opened = timeout(RELAY_DEADLINE, async {
            let mut connection = self.connection.clone();
            let connection = connection
                .wait_for(Option::is_some)
                .await
                .map_err(|_| ClientError::Closed)?
                .clone();
            let connection = connection.ok_or(ClientError::Closed)?;
            let lost = |_| self.unanswered(RELAY_DEADLINE);
            let (send, recv) = connection.open_bi().await.map_err(lost)?;
            let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(recv));
            let lost = |_| self.unanswered(RELAY_DEADLINE);
            writer
                .write(&Opening::Relay {
                    job_id,
                    peer: peer.clone(),
                })
                .await
                .map_err(lost)?;
            match reader.read(MAX_OPENING_BYTES).await.map_err(lost)? {
                OpeningReply::Joined => Ok((writer.into_inner(), reader.into_inner())),
                OpeningReply::RelayRefused(refusal) => Err(ClientError::Relay {
                    peer: peer.clone(),
                    refusal,
                }),
                OpeningReply::Welcome { .. } => Err(ClientError::WrongAnswer),
            }
        });
        opened
            .await
            .unwrap_or_else(|_| Err(self.unanswered(RELAY_DEADLINE)))
    }
}

impl fmt::Debug for CoordinatorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorClient")
            .field("link", &*self.link.borrow())
            .finish_non_exhaustive()
    }
}
