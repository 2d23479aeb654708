//! Carries bytes between two agents that cannot reach each other.
//!
//! Each of the two opens a stream to the coordinator, a *leg*, and names the job and its peer. When both legs are here they are
//! joined, and bytes are copied both ways until both sides have finished, one fails, or the job ends. The agents speak TLS with
//! each other inside; the coordinator sees ciphertext and counts bytes.
//!
//! Nothing is buffered but one chunk each way and QUIC's windows: a leg that is not read stops being written, and then its
//! other end stops being read. Legs do not share windows, so that one that stalls holds up no other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::oneshot;

use crate::contract::{JobId, PartyName};
use crate::control::stream::FrameWriter;
use crate::control::{OpeningReply, RelayRefusal};
use crate::job::book::BookHandle;
use crate::logsafe::safe;

/// The most bytes read from one leg before they are written to the other.
const CHUNK_BYTES: usize = 64 << 10;

/// QUIC error code of a leg whose other end, or job, is gone.
pub const LEG_BROKEN: u32 = 1;

/// Bounds of the relay.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// Pairs that wait or are joined, over all jobs.
    pub pairs: usize,
    /// How long a leg waits for the other.
    pub wait: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            pairs: 4096,
            wait: Duration::from_secs(10),
        }
    }
}

/// One agent's stream.
#[derive(Debug)]
pub(crate) struct Leg {
    /// From the agent.
    pub(crate) recv: RecvStream,
    /// To the agent.
    pub(crate) send: SendStream,
}

/// Job and pair, the names in order.
type Pair = (JobId, PartyName, PartyName);

enum Slot {
    /// One leg is here; the other is handed to its task.
    Waiting {
        party: PartyName,
        ticket: u64,
        other: oneshot::Sender<Leg>,
    },
    Joined {
        ticket: u64,
    },
}

impl Slot {
    fn ticket(&self) -> u64 {
        match self {
            Self::Waiting { ticket, .. } | Self::Joined { ticket } => *ticket,
        }
    }
}

#[derive(Default)]
struct Table {
    slots: BTreeMap<Pair, Slot>,
    next_ticket: u64,
}

/// The relay. Clones share one table.
#[derive(Clone)]
pub(crate) struct Relay {
    table: Arc<Mutex<Table>>,
    book: BookHandle,
    limits: RelayLimits,
}

/// Frees a pair's slot when the task that holds it ends, however it ends.
struct Held {
    table: Arc<Mutex<Table>>,
    pair: Pair,
    ticket: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if table
            .slots
            .get(&self.pair)
            .is_some_and(|slot| slot.ticket() == self.ticket)
        {
            table.slots.remove(&self.pair);
        }
    }
}

// A panic while the lock was held cannot have left a half-made change: each change is one insertion or removal.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a leg in the table.
enum Place {
    /// First of the two: wait for the other.
    First(Held, oneshot::Receiver<Leg>),
    /// Second: the first leg's task takes over.
    Second(oneshot::Sender<Leg>),
}

impl Relay {
    /// A relay for the jobs in `book`.
    pub(crate) fn new(book: BookHandle, limits: RelayLimits) -> Self {
        Self {
            table: Arc::default(),
            book,
            limits,
        }
    }

    /// Serves one leg until it ends. `party` is proved by TLS, `job_id` and `peer` are what it asks for.
    pub(crate) async fn serve(&self, party: &PartyName, job_id: JobId, peer: &PartyName, leg: Leg) {
        let refusal = match self.place(party, job_id, peer) {
            Ok(Place::Second(first)) => match first.send(leg) {
                // From here on the task of the first leg copies both ways.
                Ok(()) => return,
                Err(leg) => (RelayRefusal::PeerAbsent, leg),
            },
            Ok(Place::First(held, other)) => match self.wait(other).await {
                Ok(other) => return self.join(held, leg, other).await,
                Err(refusal) => (refusal, leg),
            },
            Err(refusal) => (refusal, leg),
        };
        let (refusal, leg) = refusal;
        tracing::debug!(job = %safe(&job_id), party = %safe(party), peer = %safe(peer), "no relay");
        let mut writer = FrameWriter::new(leg.send);
        if writer
            .write(&OpeningReply::RelayRefused(refusal))
            .await
            .is_ok()
        {
            let _ = writer.into_inner().finish();
        }
    }

    fn place(
        &self,
        party: &PartyName,
        job_id: JobId,
        peer: &PartyName,
    ) -> Result<Place, RelayRefusal> {
        if !self.book.runs_between(&job_id, party, peer) {
            return Err(RelayRefusal::NotRunning);
        }
        let (low, high) = if party < peer {
            (party, peer)
        } else {
            (peer, party)
        };
        let pair = (job_id, low.clone(), high.clone());
        let mut table = lock(&self.table);
        let (n_pairs, ticket) = (table.slots.len(), table.next_ticket);
        table.next_ticket += 1;
        let (sender, receiver) = oneshot::channel();
        let waiting = Slot::Waiting {
            party: party.clone(),
            ticket,
            other: sender,
        };
        match table.slots.entry(pair.clone()) {
            Entry::Vacant(_) if n_pairs >= self.limits.pairs => return Err(RelayRefusal::TooMany),
            Entry::Vacant(slot) => {
                slot.insert(waiting);
            }
            Entry::Occupied(mut slot) => match slot.get() {
                Slot::Joined { .. } => return Err(RelayRefusal::Busy),
                // The same party again: its earlier leg is told so by the dropped sender.
                Slot::Waiting { party: first, .. } if first == party => {
                    slot.insert(waiting);
                }
                Slot::Waiting { ticket, .. } => {
                    let joined = Slot::Joined { ticket: *ticket };
                    let Slot::Waiting { other, .. } = slot.insert(joined) else {
                        unreachable!("matched as waiting, under the same lock")
                    };
                    return Ok(Place::Second(other));
                }
            },
        }
        Ok(Place::First(
            Held {
                table: Arc::clone(&self.table),
                pair,
                ticket,
            },
            receiver,
        ))
    }

    async fn wait(&self, other: oneshot::Receiver<Leg>) -> Result<Leg, RelayRefusal> {
        match tokio::time::timeout(self.limits.wait, other).await {
            Ok(Ok(leg)) => Ok(leg),
            Ok(Err(_)) => Err(RelayRefusal::Replaced),
            Err(_) => Err(RelayRefusal::PeerAbsent),
        }
    }

    async fn join(&self, held: Held, first: Leg, second: Leg) {
        let (job_id, low, high) = &held.pair;
        let mut running = self.book.running();
        let mut bytes = [0, 0];
        let copied = {
            let [forth, back] = &mut bytes;
            tokio::select! {
                result = copy_both(first, second, forth, back) => result,
                // Dropping the streams resets them, which both agents see at once.
                _ = running.wait_for(|jobs| !jobs.contains_key(job_id)) => Err(Broken),
            }
        };
        tracing::info!(
            job = %safe(job_id), a = %safe(low), b = %safe(high), bytes = bytes[0] + bytes[1], whole = copied.is_ok(),
            "relay ended"
        );
    }
}

/// A leg failed, or the job ended.
struct Broken;

/// The way out to one agent. Dropped before it is finished, it is reset: a relay that breaks must not look like one that ended.
struct Way {
    stream: SendStream,
    is_finished: bool,
}

impl Drop for Way {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.stream.reset(VarInt::from_u32(LEG_BROKEN));
        }
    }
}

async fn copy_both(first: Leg, second: Leg, forth: &mut u64, back: &mut u64) -> Result<(), Broken> {
    let (to_first, to_second) = tokio::try_join!(welcome(first.send), welcome(second.send))?;
    tokio::try_join!(
        copy(first.recv, to_second, forth),
        copy(second.recv, to_first, back)
    )?;
    Ok(())
}

async fn welcome(stream: SendStream) -> Result<Way, Broken> {
    let mut writer = FrameWriter::new(stream);
    writer
        .write(&OpeningReply::Joined)
        .await
        .map_err(|_| Broken)?;
    Ok(Way {
        stream: writer.into_inner(),
        is_finished: false,
    })
}

/// Copies one way until the reader's stream ends. An error on either side ends both ways.
async fn copy(mut from: RecvStream, mut to: Way, n_bytes: &mut u64) -> Result<(), Broken> {
    loop {
        let chunk = tokio::select! {
            chunk = from.read_chunk(CHUNK_BYTES, true) => chunk.map_err(|_| Broken)?,
            _ = to.stream.stopped() => return Err(Broken),
        };
        let Some(chunk) = chunk else {
            to.is_finished = true;
            return to.stream.finish().map_err(|_| Broken);
        };
        *n_bytes += chunk.bytes.len() as u64;
        to.stream
            .write_chunk(chunk.bytes)
            .await
            .map_err(|_| Broken)?;
    }
}
