//! Who may connect, and who is connected.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::contract::PartyName;
use crate::control::codec;
use crate::control::{Answer, CallError, CloseCode, Event, FromCoordinator};
use crate::logsafe::safe;
use crate::tls::{Admit, Fingerprint, Pin, Pins, Refusal};

/// How many frames may wait for an agent that does not read. More, and its connection is closed: it is told the present
/// state when it comes back.
pub(crate) const QUEUE_FRAMES: usize = 2048;

/// One connected agent.
pub(crate) struct Session {
    /// Distinguishes this connection from an earlier or later one of the same party.
    pub(crate) id: u64,
    /// Frames to be written to its control stream.
    pub(crate) queue: mpsc::Sender<Bytes>,
    /// The key that the agent has proved to hold.
    pub(crate) key: Fingerprint,
    /// Its connection.
    pub(crate) connection: quinn::Connection,
    /// Where it says that others may reach it.
    pub(crate) reachable_at: Option<String>,
}

struct Member {
    pin: Pin,
    session: Option<Session>,
}

impl Member {
    /// The key that it uses, or else its newest.
    fn key(&self) -> Fingerprint {
        let used = self.session.as_ref().map(|session| session.key);
        used.unwrap_or(self.pin.fingerprint)
    }
}

/// The members and their connections.
pub(crate) struct Registry {
    members: Mutex<BTreeMap<PartyName, Member>>,
}

/// A member as listed: name, key, and the address if it is connected.
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: PartyName,
    /// Its key.
    pub(crate) fingerprint: Fingerprint,
    /// Is it connected?
    pub(crate) online: bool,
    /// Where it can be reached directly.
    pub(crate) reachable_at: Option<String>,
}

impl Registry {
    /// A registry of these members, none of them connected.
    pub(crate) fn new(members: &Pins) -> Self {
        let registry = Self {
            members: Mutex::default(),
        };
        registry.replace_members(members);
        registry
    }

    // A panic while the lock was held cannot have left a half-made change: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartyName, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a changed list. Connections of members that are gone, or whose key counts no longer, are closed.
    pub(crate) fn replace_members(&self, pins: &Pins) {
        let mut members = self.lock();
        let mut before = std::mem::take(&mut *members);
        for pin in pins.iter() {
            let session = before.get_mut(&pin.name).and_then(|m| m.session.take());
            let pin = pin.clone();
            members.insert(pin.name.clone(), Member { pin, session });
        }
        for session in before.into_values().filter_map(|member| member.session) {
            CloseCode::Removed.close(&session.connection);
        }
        drop(members);
        self.end_former();
    }

    /// Closes the connections whose key counts no longer.
    pub(crate) fn end_former(&self) {
        for member in self.lock().values_mut() {
            let pin = &member.pin;
            let ended = member.session.take_if(|session| !pin.holds(&session.key));
            if let Some(session) = ended {
                CloseCode::Removed.close(&session.connection);
            }
        }
    }

    /// Notes a connection, and closes the party's earlier one. Says whether the party is still a member.
    pub(crate) fn join(&self, name: &PartyName, session: Session) -> bool {
        let mut members = self.lock();
        let member = members.get_mut(name);
        let Some(member) = member.filter(|member| member.pin.holds(&session.key)) else {
            return false;
        };
        if let Some(earlier) = member.session.replace(session) {
            CloseCode::Replaced.close(&earlier.connection);
        }
        true
    }

    /// Forgets a connection. Says whether it was still the party's present one.
    pub(crate) fn leave(&self, name: &PartyName, session_id: u64) -> bool {
        let mut members = self.lock();
        let Some(member) = members.get_mut(name) else {
            return false;
        };
        let present = member
            .session
            .as_ref()
            .is_some_and(|session| session.id == session_id);
        if present {
            member.session = None;
        }
        present
    }

    /// Forgets all connections. They hold the endpoint, and the endpoint's TLS settings hold the registry.
    pub(crate) fn clear(&self) {
        self.lock()
            .values_mut()
            .for_each(|member| member.session = None);
    }

    /// Is the party connected?
    pub(crate) fn is_online(&self, name: &PartyName) -> bool {
        self.lock()
            .get(name)
            .is_some_and(|member| member.session.is_some())
    }

    /// The key of a member: the one that it uses, or else its newest.
    pub(crate) fn fingerprint(&self, name: &PartyName) -> Option<Fingerprint> {
        self.lock().get(name).map(Member::key)
    }

    /// Whether a key is a member's now.
    pub(crate) fn holds(&self, name: &PartyName, key: &Fingerprint) -> bool {
        let members = self.lock();
        members.get(name).is_some_and(|m| m.pin.holds(key))
    }

    /// Where a party can be reached directly, if it is connected and says so.
    pub(crate) fn reachable_at(&self, name: &PartyName) -> Option<String> {
        self.lock()
            .get(name)?
            .session
            .as_ref()?
            .reachable_at
            .clone()
    }

    /// All members, by name.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |(name, member): (&PartyName, &Member)| Listed {
            name: name.clone(),
            fingerprint: member.key(),
            online: member.session.is_some(),
            reachable_at: member
                .session
                .as_ref()
                .and_then(|session| session.reachable_at.clone()),
        };
        self.lock().iter().map(listed).collect()
    }

    /// Sends an event to a party if it is connected; otherwise it will learn the state when it connects.
    pub(crate) fn send(&self, name: &PartyName, event: &Event) {
        self.send_frame(name, None, &frame(event));
    }

    /// Sends an event to all connected parties but one.
    pub(crate) fn broadcast(&self, event: &Event, but: &PartyName) {
        let frame = frame(event);
        let names: Vec<_> = self
            .lock()
            .keys()
            .filter(|name| *name != but)
            .cloned()
            .collect();
        for name in names {
            self.send_frame(&name, None, &frame);
        }
    }

    /// Sends the reply to a request on one connection, unless it has been replaced meanwhile.
    pub(crate) fn reply(
        &self,
        name: &PartyName,
        session_id: u64,
        id: u64,
        result: Result<Answer, CallError>,
    ) {
        let reply = |result| codec::encode(&FromCoordinator::Reply { id, result });
        let frame = reply(result).or_else(|_| reply(Err(CallError::TooLong)));
        if let Ok(frame) = frame {
            self.send_frame(name, Some(session_id), &frame.into());
        }
    }

    fn send_frame(&self, name: &PartyName, session_id: Option<u64>, frame: &Bytes) {
        let mut members = self.lock();
        let Some(member) = members.get_mut(name) else {
            return;
        };
        let Some(session) = &member.session else {
            return;
        };
        if session_id.is_some_and(|id| id != session.id) {
            return;
        }
        // Waiting here would let one agent that does not read hold up all others.
        if let Err(mpsc::error::TrySendError::Full(_)) = session.queue.try_send(frame.clone()) {
            tracing::warn!(party = %safe(name), "the agent does not read; closing its connection");
            CloseCode::SlowReader.close(&session.connection);
        }
    }
}

fn frame(event: &Event) -> Bytes {
    codec::encode(&FromCoordinator::Event(event.clone()))
        .expect(
            "the statements and addresses in an event are bounded, and together they fit a frame",
        )
        .into()
}

impl Admit for Registry {
    fn admit(&self, key: &Fingerprint, claimed: Option<&PartyName>) -> Result<PartyName, Refusal> {
        let members = self.lock();
        match members.iter().find(|(_, member)| member.pin.holds(key)) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(Refusal::Unpinned {
                got: *key,
                claimed: claimed.cloned(),
            }),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}
