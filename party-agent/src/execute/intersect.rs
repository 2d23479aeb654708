//! A plan's intersection on one session: announce, compare, and build the result at the receivers.

use engine::curve::montgomery::Montgomery;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::psi::ecdh::{self, Common, InOrder, Learns, Shape, Shuffled, Stores};
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::psi::tags::MemoryStore;
use protocols::psi::{self, Item, vole};
use protocols::session::Session;

use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Keys};
use crate::plan::{IntersectPlan, Protocol};
use crate::result;
use crate::spec::Reveal;

/// What this seat has found.
struct Found {
    /// What it learns itself, at a receiver.
    common: Option<Common>,
    /// Different keys of each holder, in the order of seats.
    sizes: Vec<u64>,
}

impl Task<'_> {
    /// Reads this holder's keys, compares them, and builds the result.
    pub(super) async fn intersect(
        &self,
        session: &mut Session,
        of: &IntersectPlan,
    ) -> Result<Computed, Broken> {
        let receivers = self.plan.receiver_seats();
        let gets_keys = of.reveal == Reveal::Rows && receivers.contains(&session.seat());
        self.progress.enter(Stage::Read);
        let session_id = *session.session_id();
        let keys = self.read_keys(&session_id, of, gets_keys).await?;
        self.progress.enter(Stage::Compute);
        let found = compare(session, of, &receivers, keys.items()).await?;
        let table = match &found.common {
            None => None,
            Some(Common::Count(n)) => Some(result::common_count(self.plan, *n, &found.sizes)),
            Some(Common::Members(places)) => {
                let seat = session.seat().index();
                let table = result::common_keys(self.plan, of, seat, &keys, places);
                Some(table.map_err(|e| result_failure(&e))?)
            }
        };
        let report = keys.report();
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
        })
    }

    async fn read_keys(
        &self,
        session_id: &[u8; 32],
        of: &IntersectPlan,
        keep_texts: bool,
    ) -> Result<Keys, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let labels: Vec<&str> = of.keys.iter().map(|key| key.label.as_str()).collect();
        let hash = KeyHash::new(session_id, &labels.join(" = "), rule);
        let rows_at_most = of
            .keys
            .get(self.binding.me.index())
            .map_or(1, |k| k.at_most);
        // The bound is the next power of two, so this moves between a half and the whole.
        let progress = |rows: u64| {
            self.progress
                .within(rows as f64 / rows_at_most.max(1) as f64)
        };
        let read = local::keys(self.plan, me, self.source, &hash, keep_texts, &progress).await;
        read.map_err(|e| Failure::source(&e))
    }
}

/// Runs the protocol once for each receiver.
async fn compare(
    session: &mut Session,
    of: &IntersectPlan,
    receivers: &[Seat],
    items: &[Item],
) -> Result<Found, ProtocolError> {
    let me = session.seat();
    let peer = match me {
        Seat(0) => Seat(1),
        _ => Seat(0),
    };
    let at_most = of.keys.get(peer.index()).map_or(0, |key| key.at_most);
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
    let n_theirs = psi::announce(session, peer, items.len(), at_most).await?;
    let mut sizes = vec![items.len() as u64, n_theirs as u64];
    if me != Seat(0) {
        sizes.reverse();
    }
    let mut common = None;
    for receiver in receivers {
        let run = Comparison {
            of,
            peer,
            receives: *receiver == me,
            items,
            n_theirs,
        };
        let found = session
            .within("intersection", async |s| run.once(s).await)
            .await?;
        common = common.or(found);
    }
    Ok(Found { common, sizes })
}

/// One run of the protocol, for one receiver.
struct Comparison<'a> {
    of: &'a IntersectPlan,
    peer: Seat,
    receives: bool,
    items: &'a [Item],
    n_theirs: usize,
}

impl Comparison<'_> {
    async fn once(&self, session: &mut Session) -> Result<Option<Common>, ProtocolError> {
        match (self.of.protocol, self.of.reveal) {
            (Protocol::Vole, Reveal::Rows) => self.vole(session).await,
            (Protocol::Vole, Reveal::Count) => Err(ProtocolError::InvalidInput {
                what: "VOLE-PSI tells which keys are common, and their number alone was agreed on",
            }),
            (Protocol::Ecdh, Reveal::Rows) => self.ecdh(session, Learns::Members).await,
            (Protocol::Ecdh, Reveal::Count) => self.ecdh(session, Learns::Count).await,
        }
    }

    async fn vole(&self, session: &mut Session) -> Result<Option<Common>, ProtocolError> {
        if !self.receives {
            vole::send(session, self.peer, self.items, self.n_theirs).await?;
            return Ok(None);
        }
        let places = vole::receive(session, self.peer, self.items, self.n_theirs).await?;
        let places = places.into_iter().map(u64::from).collect();
        Ok(Some(Common::Members(places)))
    }

    async fn ecdh(
        &self,
        session: &mut Session,
        learns: Learns,
    ) -> Result<Option<Common>, ProtocolError> {
        let (n_mine, me) = (self.items.len(), session.seat());
        let shape = |receiver, sender, n_receiver, n_sender| Shape {
            receiver,
            sender,
            n_receiver,
            n_sender,
            learns,
        };
        let items = self.items.to_vec();
        if self.receives {
            let shape = shape(me, self.peer, n_mine, self.n_theirs);
            let stores = Stores::in_memory();
            let found =
                ecdh::receive::<Montgomery>(session, &shape, InOrder::new(items), stores).await?;
            return Ok(Some(found));
        }
        let shape = shape(self.peer, me, self.n_theirs, n_mine);
        let order = session.own_seed("order of the sender's keys");
        let items = Shuffled::new(items, &order);
        let store = Box::new(MemoryStore::default());
        ecdh::send::<Montgomery>(session, &shape, items, store).await?;
        Ok(None)
    }
}
