//! Streams that a peer has opened, until the path that they belong to is opened here.
//!
//! A peer may be ahead by a few sub-protocols, or by all of this agent's local work. Its streams wait in a
//! table with a limit; what they carry waits in the transport, under flow control.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use protocols::error::LinkError;
use protocols::path::PathId;
use quinn::{Connection, RecvStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::PROMPT;
use super::close::{Ending, Objection};

/// Length of an encoded [`StreamHeader`].
pub(super) const STREAM_HEADER_BYTES: usize = 40;

/// Streams that may wait for their path.
const MAX_WAITING: usize = 256;

/// Paths that one session may use.
const MAX_PATHS: usize = 1 << 16;

/// Streams whose header may be outstanding at a time.
const MAX_UNREAD: usize = 64;

/// The first bytes of every stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamHeader {
    pub(super) session: [u8; 32],
    pub(super) path: PathId,
}

impl StreamHeader {
    pub(super) fn encode(&self) -> [u8; STREAM_HEADER_BYTES] {
        let mut out = [0; STREAM_HEADER_BYTES];
        out[..32].copy_from_slice(&self.session);
        out[32..].copy_from_slice(&self.path.0.to_le_bytes());
        out
    }

    /// Reads a header; `None` for any other number of bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, path) = bytes.split_first_chunk::<32>()?;
        Some(Self {
            session: *session,
            path: PathId(u64::from_le_bytes(path.try_into().ok()?)),
        })
    }
}

/// The streams of one connection by path.
pub(super) struct Arrivals {
    session: [u8; 32],
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    paths: BTreeMap<PathId, Slot>,
    n_waiting: usize,
}

enum Slot {
    /// The peer was first.
    Arrived(RecvStream),
    /// This agent was first.
    Wanted(oneshot::Sender<RecvStream>),
    /// Both were here.
    Joined,
}

impl Arrivals {
    pub(super) fn new(session: [u8; 32]) -> Self {
        Self {
            session,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// The peer's stream for `path`, now or when it comes.
    pub(super) fn claim(&self, path: PathId) -> Result<oneshot::Receiver<RecvStream>, LinkError> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.lock();
        match table.paths.remove(&path) {
            None => {
                table.paths.insert(path, Slot::Wanted(sender));
            }
            Some(Slot::Arrived(stream)) => {
                table.paths.insert(path, Slot::Joined);
                table.n_waiting -= 1;
                sender.send(stream).expect("the receiver is in scope");
            }
            Some(slot @ (Slot::Wanted(_) | Slot::Joined)) => {
                table.paths.insert(path, slot);
                return Err(LinkError::AlreadyOpen);
            }
        }
        Ok(receiver)
    }

    /// Files a stream whose header was read.
    fn file(&self, header: StreamHeader, stream: RecvStream) -> Result<(), Objection> {
        let mut table = self.lock();
        if header.session != self.session {
            return Err(Objection::Stream);
        }
        match table.paths.remove(&header.path) {
            None if table.n_waiting < MAX_WAITING && table.paths.len() < MAX_PATHS => {
                table.paths.insert(header.path, Slot::Arrived(stream));
                table.n_waiting += 1;
                Ok(())
            }
            Some(Slot::Wanted(sender)) => {
                table.paths.insert(header.path, Slot::Joined);
                // Nobody waits any more if the session has ended here; the stream is then of no use.
                let _ = sender.send(stream);
                Ok(())
            }
            None | Some(Slot::Arrived(_) | Slot::Joined) => Err(Objection::Stream),
        }
    }

    /// Files every stream that the peer opens, until the connection ends. A peer that breaks a rule is cut off.
    pub(super) async fn run(self: Arc<Self>, connection: Connection) {
        let unread = Arc::new(Semaphore::new(MAX_UNREAD));
        loop {
            let permit = Arc::clone(&unread)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let Ok(stream) = connection.accept_uni().await else {
                return;
            };
            let (this, connection) = (Arc::clone(&self), connection.clone());
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(objection) = this.admit(stream).await {
                    Ending::Refused(objection).close(&connection);
                }
            });
        }
    }

    async fn admit(&self, mut stream: RecvStream) -> Result<(), Objection> {
        let mut bytes = [0; STREAM_HEADER_BYTES];
        match timeout(PROMPT, stream.read_exact(&mut bytes)).await {
            Err(_) => Err(Objection::Slow),
            Ok(Err(_)) => Err(Objection::Stream),
            Ok(Ok(())) => {
                let header = StreamHeader::decode(&bytes).ok_or(Objection::Stream)?;
                self.file(header, stream)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_headers_are_read_back_and_nothing_else_is() {
        let header = StreamHeader {
            session: [7; 32],
            path: PathId(0x0102_0304_0506_0708),
        };
        let bytes = header.encode();
        assert_eq!(StreamHeader::decode(&bytes), Some(header));
        for len in 0..STREAM_HEADER_BYTES {
            assert_eq!(StreamHeader::decode(&bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(StreamHeader::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn a_path_is_claimed_once() {
        let arrivals = Arrivals::new([0; 32]);
        let _waiting = arrivals.claim(PathId(1)).expect("first claim");
        assert_eq!(
            arrivals.claim(PathId(1)).err(),
            Some(LinkError::AlreadyOpen)
        );
        arrivals.claim(PathId(2)).expect("another path");
    }
}
