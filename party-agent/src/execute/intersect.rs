//! A plan's intersection on one session: announce, compare, and build the result at the receivers.

use std::path::Path;

use engine::curve::montgomery::Montgomery;
use protocols::aggregate::{self, LocalTotals};
use protocols::correlate::Source;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::psi::circuit::{self, Rows};
use protocols::psi::ecdh::{self, Common, InOrder, Learns, Shape, Shuffled, Stores};
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::psi::tags::{MemoryStore, TagStore};
use protocols::psi::{self, Item, many, vole};
use protocols::session::Session;

use super::tag_store::FileStore;
use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Keys};
use crate::plan::{IntersectPlan, Protocol, Release};
use crate::result;
use crate::spec::Reveal;

/// Items of one side whose tags are kept in memory: about 100 MB.
const MOST_IN_MEMORY: usize = 1 << 22;

/// What this seat has found.
struct Found {
    /// What it learns itself, at a receiver.
    common: Option<Common>,
    /// Different keys of each holder, in the order of seats.
    sizes: Vec<u64>,
}

impl Found {
    fn new(common: Option<Common>, sizes: &[usize]) -> Self {
        let sizes = sizes.iter().map(|n| *n as u64).collect();
        Self { common, sizes }
    }
}

impl Task<'_> {
    /// Reads this holder's keys, compares them, and builds the result.
    pub(super) async fn intersect(
        &self,
        session: &mut Session,
        of: &IntersectPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        let receivers = self.plan.receiver_seats();
        let gets_keys = of.reveal == Reveal::Rows && receivers.contains(&session.seat());
        self.progress.enter(Stage::Read);
        let session_id = *session.session_id();
        let keys = self.read_keys(&session_id, of, gets_keys).await?;
        if of.protocol == Protocol::Circuit {
            return self.in_shares(session, of, &keys, disclosure).await;
        }
        self.progress.enter(Stage::Compute);
        let found = match of.protocol {
            Protocol::Many => of_many(session, of, &receivers, keys.items()).await?,
            _ => self.compare(session, of, &receivers, keys.items()).await?,
        };
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
        let key = of.keys.get(self.binding.me.index());
        let (rows_at_most, n_columns) = key.map_or((1, 0), |k| (k.at_most, k.columns.len()));
        // The bound is the next power of two, so this moves between a half and the whole.
        let progress = |rows: u64| {
            self.progress
                .within(rows as f64 / rows_at_most.max(1) as f64)
        };
        let read = local::keys(
            self.plan,
            me,
            self.source,
            (&hash, n_columns),
            keep_texts,
            &progress,
        )
        .await;
        read.map_err(|e| Failure::source(&e))
    }
}

impl Task<'_> {
    /// Runs the protocol once for each receiver.
    async fn compare(
        &self,
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
        let sizes = announced(session, of, items.len()).await?;
        let mut common = None;
        for receiver in receivers {
            let run = Comparison {
                of,
                peer,
                receives: *receiver == me,
                items,
                n_theirs: sizes[peer.index()],
                dir: self.results,
            };
            let found = session
                .within("intersection", async |s| run.once(s).await)
                .await?;
            common = common.or(found);
        }
        Ok(Found::new(common, &sizes))
    }

    /// Joins in shares, and releases totals of what all have.
    async fn in_shares(
        &self,
        session: &mut Session,
        of: &IntersectPlan,
        keys: &Keys,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        let sizes = announced(session, of, keys.items().len()).await?;
        // A dealer knows the published sizes alone.
        let needs = match &self.plan.source() {
            Some(Source::Ot | Source::FerretOt) => self.plan.needs_of_join(of, &sizes),
            Some(Source::Dealer { .. }) | None => self.plan.needs(),
        };
        let mut stock = self.stock(session, &needs).await?;
        self.progress.enter(Stage::Compute);
        let totals = match sizes.contains(&0) {
            // Nothing is in common with nothing.
            true => LocalTotals {
                narrow: vec![vec![0]],
                wide: vec![vec![0]; self.plan.shape.wide],
            },
            false => {
                let rows = Rows {
                    keys: keys.items().to_vec(),
                    narrow: Vec::new(),
                    wide: keys.sums().into_iter().collect(),
                };
                let shape = of.circuit(&sizes);
                let totals = circuit::totals(session, &shape, Some(rows), &mut stock).await?;
                let sums = totals.wide.into_vec().into_iter();
                LocalTotals {
                    narrow: vec![totals.count.into_vec()],
                    wide: sums.map(|sum| vec![sum]).collect(),
                }
            }
        };
        let Release::Cells(shape) = self.plan.release() else {
            return Err(internal("the plan releases something else than totals").into());
        };
        let released = aggregate::release(session, totals, &shape, stock, disclosure).await?;
        let sizes: Vec<u64> = sizes.iter().map(|n| *n as u64).collect();
        let table = released.map(|released| result::common_totals(self.plan, &released, &sizes));
        let report = keys.report();
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
        })
    }
}

/// Tells all others how many keys come, and hears theirs: in the order of seats.
async fn announced(
    session: &mut Session,
    of: &IntersectPlan,
    n_mine: usize,
) -> Result<Vec<usize>, ProtocolError> {
    let bounds = of.bounds();
    let mut sizes = vec![n_mine; bounds.len()];
    for peer in session.peers() {
        sizes[peer.index()] = psi::announce(session, peer, n_mine, bounds[peer.index()]).await?;
    }
    Ok(sizes)
}

/// Three or more holders, rows to receivers.
async fn of_many(
    session: &mut Session,
    of: &IntersectPlan,
    receivers: &[Seat],
    items: &[Item],
) -> Result<Found, ProtocolError> {
    let sizes = announced(session, of, items.len()).await?;
    let shape = of.many(sizes.clone(), receivers);
    let places = many::intersect(session, &shape, items).await?;
    let common = places.map(|p| Common::Members(p.into_iter().map(u64::from).collect()));
    Ok(Found::new(common, &sizes))
}

/// One run of the protocol, for one receiver.
struct Comparison<'a> {
    of: &'a IntersectPlan,
    peer: Seat,
    receives: bool,
    items: &'a [Item],
    n_theirs: usize,
    /// Where tags are kept that are too many for memory.
    dir: &'a Path,
}

impl Comparison<'_> {
    async fn once(&self, session: &mut Session) -> Result<Option<Common>, ProtocolError> {
        match (self.of.protocol, &self.of.reveal) {
            (Protocol::Vole, Reveal::Rows) => self.vole(session).await,
            (Protocol::Ecdh, Reveal::Rows) => self.ecdh(session, Learns::Members).await,
            (Protocol::Ecdh, Reveal::Count) => self.ecdh(session, Learns::Count).await,
            _ => Err(ProtocolError::InvalidInput {
                what: "the protocol does not tell what was agreed on alone",
            }),
        }
    }

    /// In memory, or in a file where there are many.
    fn store(&self) -> Result<Box<dyn TagStore>, ProtocolError> {
        if self.items.len().max(self.n_theirs) <= MOST_IN_MEMORY {
            return Ok(Box::new(MemoryStore::default()));
        }
        let store = FileStore::create(self.dir).map_err(|_| ProtocolError::Storage {
            what: "tags of an intersection",
        })?;
        Ok(Box::new(store))
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
            let (own, peer) = (self.store()?, self.store()?);
            let stores = Stores { own, peer };
            let found =
                ecdh::receive::<Montgomery>(session, &shape, InOrder::new(items), stores).await?;
            return Ok(Some(found));
        }
        let shape = shape(self.peer, me, self.n_theirs, n_mine);
        let order = session.own_seed("order of the sender's keys");
        let items = Shuffled::new(items, &order);
        let store = self.store()?;
        ecdh::send::<Montgomery>(session, &shape, items, store).await?;
        Ok(None)
    }
}
