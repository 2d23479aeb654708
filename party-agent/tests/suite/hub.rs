//! A coordinator that the test plays: it passes on what the test wants, in whatever order, and notes what agents answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coordinator::contract::{Acceptance, Contract, PartyName, Published, Rejection, Signed};
use coordinator::control::codec::{MAX_FRAME_BYTES, MAX_OPENING_BYTES};
use coordinator::control::stream::{FrameReader, FrameWriter};
use coordinator::control::{
    Answer, Call, CatalogueId, DirectoryEntry, Event, FromCoordinator, Opening, OpeningReply,
    Request,
};
use coordinator::job::JobState;
use coordinator::tls;
use tokio::sync::{mpsc, watch};

use crate::world::{World, within};

/// What agents have told the hub.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) catalogues: BTreeMap<PartyName, Published>,
    pub(crate) proposed: Vec<Signed<Contract>>,
    pub(crate) accepted: Vec<(PartyName, Signed<Acceptance>)>,
    pub(crate) rejected: Vec<(PartyName, Signed<Rejection>)>,
    pub(crate) reported: Vec<PartyName>,
    pub(crate) relays: usize,
}

/// The hub. It runs as long as the test.
pub(crate) struct Hub {
    pub(crate) heard: Arc<Mutex<Heard>>,
    changes: watch::Receiver<u64>,
    lines: Arc<Mutex<BTreeMap<PartyName, mpsc::UnboundedSender<Event>>>>,
    _endpoint: quinn::Endpoint,
}

struct Line {
    heard: Arc<Mutex<Heard>>,
    changed: watch::Sender<u64>,
    lines: Arc<Mutex<BTreeMap<PartyName, mpsc::UnboundedSender<Event>>>>,
    pins: tls::Pins,
}

impl Hub {
    /// Takes the place of the world's coordinator: the same key, the same address.
    pub(crate) async fn instead_of(world: &mut World) -> Self {
        world.stop_coordinator().await;
        let admit = Arc::new(world.pins.clone());
        let config = tls::server_config(&world.coordinator, admit);
        let endpoint = within("the address is free", async {
            loop {
                match tls::endpoint(world.address, Some(config.clone())) {
                    Ok(endpoint) => return endpoint,
                    // What served there before has not let go of it yet.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
        let (changed, changes) = watch::channel(0);
        let line = Arc::new(Line {
            heard: Arc::default(),
            changed,
            lines: Arc::default(),
            pins: world.pins.clone(),
        });
        let hub = Self {
            heard: Arc::clone(&line.heard),
            changes,
            lines: Arc::clone(&line.lines),
            _endpoint: endpoint.clone(),
        };
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let line = Arc::clone(&line);
                tokio::spawn(async move {
                    if let Ok(connection) = incoming.await {
                        line.serve(connection).await;
                    }
                });
            }
        });
        hub
    }

    /// Tells an agent something.
    pub(crate) fn tell(&self, party: &str, event: Event) {
        let lines = self.lines.lock().expect("no panic");
        let line = lines.iter().find(|(name, _)| name.as_str() == party);
        let (_, line) = line.expect("the agent is connected");
        line.send(event).expect("it still is");
    }

    /// Waits until the agents have told so much.
    pub(crate) async fn hears(&self, what: &str, mut enough: impl FnMut(&Heard) -> bool) {
        let mut changes = self.changes.clone();
        let heard = Arc::clone(&self.heard);
        within(what, async move {
            while !enough(&heard.lock().expect("no panic")) {
                changes.changed().await.expect("the hub is here");
            }
        })
        .await;
    }
}

impl Line {
    async fn serve(&self, connection: quinn::Connection) {
        let Some(key) = tls::peer_fingerprint(&connection) else {
            return;
        };
        let name = self.pins.name_of(&key).expect("admitted by these").clone();
        while let Ok((send, recv)) = connection.accept_bi().await {
            let mut reader = FrameReader::new(recv);
            match reader.read::<Opening>(MAX_OPENING_BYTES).await {
                Ok(Opening::Control(_)) => {}
                _ => {
                    self.note(|heard| heard.relays += 1);
                    continue;
                }
            }
            let mut writer = FrameWriter::new(send);
            let welcome = OpeningReply::Welcome {
                coordinator: PartyName::new("hub").expect("a name"),
                software: "test".to_owned(),
            };
            writer.write(&welcome).await.expect("written");
            let (sender, mut events) = mpsc::unbounded_channel();
            sender.send(Event::Synchronised).expect("here");
            self.lines
                .lock()
                .expect("no panic")
                .insert(name.clone(), sender);
            self.note(|_| ());
            let (answers, mut ready) = mpsc::unbounded_channel();
            let answering = async {
                while let Ok(request) = reader.read::<Request>(MAX_FRAME_BYTES).await {
                    let result = Ok(self.answer(&name, request.call));
                    let reply = FromCoordinator::Reply {
                        id: request.id,
                        result,
                    };
                    if answers.send(reply).is_err() {
                        return;
                    }
                }
            };
            let writing = async {
                loop {
                    let message = tokio::select! {
                        Some(reply) = ready.recv() => reply,
                        Some(event) = events.recv() => FromCoordinator::Event(event),
                        else => return,
                    };
                    if writer.write(&message).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = answering => return,
                () = writing => return,
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().expect("no panic"));
        self.changed.send_modify(|n| *n += 1);
    }

    fn answer(&self, name: &PartyName, call: Call) -> Answer {
        let state = Answer::State(JobState::Proposed);
        match call {
            Call::PublishCatalogue(published) => {
                self.note(|h| drop(h.catalogues.insert(name.clone(), published)));
                Answer::Done
            }
            Call::Directory => Answer::Directory(self.directory()),
            Call::Catalogue { party } => {
                let heard = self.heard.lock().expect("no panic");
                Answer::Catalogue(heard.catalogues.get(&party).cloned())
            }
            Call::Propose(signed) => {
                self.note(|h| h.proposed.push(signed));
                state
            }
            Call::Accept(signed) => {
                self.note(|h| h.accepted.push((name.clone(), signed)));
                state
            }
            Call::Reject(signed) => {
                self.note(|h| h.rejected.push((name.clone(), signed)));
                state
            }
            Call::Report { .. } => {
                self.note(|h| h.reported.push(name.clone()));
                state
            }
            Call::Addresses { .. } => Answer::Addresses(BTreeMap::new()),
            Call::Jobs => Answer::Jobs(Vec::new()),
            Call::Cancel { .. } | Call::JobStatus { .. } => state,
            Call::Witness { .. } => Answer::Done,
        }
    }

    fn directory(&self) -> Vec<DirectoryEntry> {
        let heard = self.heard.lock().expect("no panic");
        let lines = self.lines.lock().expect("no panic");
        let entry = |pin: &tls::Pin| DirectoryEntry {
            name: pin.name.clone(),
            fingerprint: pin.fingerprint,
            online: lines.contains_key(&pin.name),
            reachable_at: None,
            catalogue: heard.catalogues.get(&pin.name).map(|c| CatalogueId {
                version: 1,
                digest: c.catalogue.digest(),
            }),
            last_seen: None,
        };
        self.pins.iter().map(entry).collect()
    }
}
