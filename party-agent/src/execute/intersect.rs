//! A plan's intersection on one session: announce, compare, and build the result at the receivers.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::curve::montgomery::Montgomery;
use protocols::aggregate::{self, LocalTotals};
use protocols::correlate::Source;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::lookup::listed;
use protocols::lookup::table::TableShape;
use protocols::party::Seat;
use protocols::psi::circuit::{self, Rows};
use protocols::psi::ecdh::{
    self, Common, InOrder, ItemSource, Learns, Shape, Shuffled, ShuffledSource, Stores,
};
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::psi::tags::{MemoryStore, RUN_ENTRIES, TagStore};
use protocols::psi::{self, Item, many, vole};
use protocols::session::Session;

use super::tables::{self, Held, VERSION, Wanted};
use super::tag_store::FileStore;
use super::{
    Broken, Computed, Failure, Output, Stage, Storage, Task, internal, off_the_runtime,
    result_failure,
};
use crate::local::{self, Keep, KeyReport, Keys, StoredKeys};
use crate::plan::{IntersectPlan, Protocol, Release};
use crate::result::{self, ResultTable};
use crate::spec::Reveal;

/// Runs of which one fills what may be kept in memory: sorting takes one run, and merging a page of each.
const RUNS_IN_MEMORY: usize = 16;

/// This holder's keys.
enum OwnKeys {
    InMemory(Keys),
    /// More than memory is to hold.
    Stored(StoredKeys),
}

impl OwnKeys {
    fn n_items(&self) -> usize {
        match self {
            Self::InMemory(keys) => keys.items().len(),
            Self::Stored(keys) => keys.n_items(),
        }
    }

    fn report(&self) -> KeyReport {
        match self {
            Self::InMemory(keys) => keys.report(),
            Self::Stored(keys) => keys.report(),
        }
    }
}

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
        if let (Protocol::Oprf, [receiver]) = (of.protocol, &receivers[..]) {
            return self.by_questions(session, of, *receiver).await;
        }
        let mut keys = self.read_keys(&session_id, of, gets_keys).await?;
        let found = match &mut keys {
            OwnKeys::InMemory(keys) if of.protocol == Protocol::Circuit => {
                return self.in_shares(session, of, keys, disclosure).await;
            }
            OwnKeys::InMemory(keys) if of.protocol == Protocol::Many => {
                self.progress.enter(Stage::Compute);
                of_many(session, of, &receivers, keys.items()).await?
            }
            keys => self.compare(session, of, &receivers, keys).await?,
        };
        let report = keys.report();
        let table = match (found.common, keys) {
            (None, _) => None,
            (Some(Common::Count(n)), _) => Some(result::common_count(self.plan, n, &found.sizes)),
            (Some(Common::Members(places)), OwnKeys::InMemory(keys)) => {
                Some(self.common_keys(of, keys, places).await?)
            }
            (Some(Common::Members(_)), OwnKeys::Stored(_)) => {
                return Err(internal("a receiver of keys has not kept them").into());
            }
        };
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
            model: None,
            contributions: Vec::new(),
            matched_keys: None,
        })
    }

    /// The keys of this receiver at the places of the common ones.
    async fn common_keys(
        &self,
        of: &IntersectPlan,
        keys: Keys,
        places: Vec<u64>,
    ) -> Result<ResultTable, Failure> {
        let (plan, of, seat) = (self.plan.clone(), of.clone(), self.binding.me.index());
        off_the_runtime(move || {
            let table = result::common_keys(&plan, &of, seat, &keys, &places);
            table.map_err(|e| result_failure(&e))
        })
        .await
    }

    /// The receiver asks for its keys in the other holder's table, which was prepared for that.
    async fn by_questions(
        &self,
        session: &mut Session,
        of: &IntersectPlan,
        receiver: Seat,
    ) -> Result<Computed, Broken> {
        let me = session.seat();
        let bounds = of.bounds();
        let (output, report) = match me == receiver {
            true => {
                let keys = self.read_keys(session.session_id(), of, true).await?;
                let OwnKeys::InMemory(keys) = keys else {
                    return Err(internal("a receiver of keys has not kept them").into());
                };
                self.progress.enter(Stage::Compute);
                let holder = other(me);
                let at_most = TableShape {
                    n_records: bounds[holder.index()],
                    value_bytes: 0,
                    version: VERSION,
                };
                let tables = BTreeMap::from([(holder, at_most)]);
                let questions = keys.items().to_vec();
                let mut found = self
                    .list(session, tables, &of.normalise, questions)
                    .await?
                    .into_values();
                let found = found.next().unwrap_or_default();
                let places = (0..).zip(found).filter(|(_, value)| value.is_some());
                let places = places.map(|(place, _)| place).collect();
                let report = keys.report();
                let table = self.common_keys(of, keys, places).await?;
                (Some(Output::Table(table)), report)
            }
            false => {
                let wanted = Wanted {
                    normalise: &of.normalise,
                    n_keys: of.keys[me.index()].columns.len(),
                    keep: Keep::Texts,
                    at_most: of.keys[me.index()].at_most,
                };
                let prepared = self.prepared(session, &wanted).await?;
                self.progress.enter(Stage::Compute);
                let Held::Records(table) = &prepared.table else {
                    return Err(internal("a table was prepared to be combined").into());
                };
                let table = (Arc::clone(table), Arc::clone(&prepared.key));
                listed::answer_one(session, receiver, table, bounds[receiver.index()]).await?;
                (None, prepared.report.clone())
            }
        };
        Ok(Computed {
            output,
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
            model: None,
            contributions: Vec::new(),
            matched_keys: None,
        })
    }

    async fn read_keys(
        &self,
        session_id: &[u8; 32],
        of: &IntersectPlan,
        keep_texts: bool,
    ) -> Result<OwnKeys, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let labels: Vec<&str> = of.keys.iter().map(|key| key.label.as_str()).collect();
        let hash = match of.protocol {
            Protocol::Oprf => tables::hash_of(&of.normalise)?,
            _ => Arc::new(KeyHash::new(session_id, &labels.join(" = "), rule)),
        };
        let key = of.keys.get(self.binding.me.index());
        let (rows_at_most, n_columns) = key.map_or((1, 0), |k| (k.at_most, k.columns.len()));
        // The bound is the next power of two, so this moves between a half and the whole.
        let progress = |rows: u64| {
            self.progress
                .within(rows as f64 / rows_at_most.max(1) as f64)
        };
        let (plan, source, columns) = (self.plan, self.source, (&hash, n_columns));
        let may_be_stored = of.protocol == Protocol::Ecdh && !keep_texts;
        let keys = match may_be_stored && rows_at_most > self.storage.keys_in_memory as u64 {
            true => {
                let store = file_store(&self.storage).map_err(|e| internal(&e.to_string()))?;
                let keys = local::stored_keys(plan, me, source, columns, store, &progress).await;
                keys.map(OwnKeys::Stored)
            }
            false => local::keys(plan, me, source, columns, keep_texts, &progress)
                .await
                .map(OwnKeys::InMemory),
        };
        keys.map_err(|e| Failure::source(&e))
    }
}

/// The other one of two.
fn other(seat: Seat) -> Seat {
    match seat {
        Seat(0) => Seat(1),
        _ => Seat(0),
    }
}

/// A file for keys or tags.
fn file_store(storage: &Storage<'_>) -> Result<Box<dyn TagStore>, ProtocolError> {
    let run_entries = (storage.keys_in_memory / RUNS_IN_MEMORY).min(RUN_ENTRIES);
    let store = FileStore::with_runs_of(storage.results, run_entries);
    let store = store.map_err(|_| ProtocolError::Storage {
        what: "keys or tags of an intersection",
    })?;
    Ok(Box::new(store))
}

impl Task<'_> {
    /// Runs the protocol once for each receiver.
    async fn compare(
        &self,
        session: &mut Session,
        of: &IntersectPlan,
        receivers: &[Seat],
        keys: &mut OwnKeys,
    ) -> Result<Found, ProtocolError> {
        self.progress.enter(Stage::Compute);
        let me = session.seat();
        let peer = other(me);
        let sizes = announced(session, of, keys.n_items()).await?;
        let mut common = None;
        for receiver in receivers {
            let run = Comparison {
                of,
                peer,
                receives: *receiver == me,
                keys: &mut *keys,
                n_theirs: sizes[peer.index()],
                storage: self.storage,
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
            model: None,
            contributions: Vec::new(),
            matched_keys: None,
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
    keys: &'a mut OwnKeys,
    n_theirs: usize,
    storage: Storage<'a>,
}

impl Comparison<'_> {
    async fn once(self, session: &mut Session) -> Result<Option<Common>, ProtocolError> {
        match (self.of.protocol, &self.of.reveal, self.keys) {
            (Protocol::Vole, Reveal::Rows, OwnKeys::InMemory(keys)) => {
                let sizes = (keys.items(), self.n_theirs);
                by_vole(session, self.peer, self.receives, sizes).await
            }
            (Protocol::Ecdh, Reveal::Rows, keys) => {
                Self { keys, ..self }.ecdh(session, Learns::Members).await
            }
            (Protocol::Ecdh, Reveal::Count, keys) => {
                Self { keys, ..self }.ecdh(session, Learns::Count).await
            }
            _ => Err(ProtocolError::InvalidInput {
                what: "the protocol does not tell what was agreed on alone",
            }),
        }
    }

    /// In memory, or in a file where there are many.
    fn store(&self) -> Result<Box<dyn TagStore>, ProtocolError> {
        match self.keys.n_items().max(self.n_theirs) <= self.storage.keys_in_memory {
            true => Ok(Box::new(MemoryStore::default())),
            false => file_store(&self.storage),
        }
    }

    async fn ecdh(
        self,
        session: &mut Session,
        learns: Learns,
    ) -> Result<Option<Common>, ProtocolError> {
        let (n_mine, me) = (self.keys.n_items(), session.seat());
        let (receiver, n_receiver, sender, n_sender) = match self.receives {
            true => (me, n_mine, self.peer, self.n_theirs),
            false => (self.peer, self.n_theirs, me, n_mine),
        };
        let shape = Shape {
            receiver,
            sender,
            n_receiver,
            n_sender,
            learns,
        };
        let (order, tags) = (session.own_seed("order of keys"), self.store()?);
        let peers = self.receives.then(|| self.store()).transpose()?;
        let keys = match self.keys {
            OwnKeys::InMemory(keys) => {
                let items = keys.items().to_vec();
                return match peers {
                    Some(peers) => {
                        receive(session, &shape, InOrder::new(items), (tags, peers)).await
                    }
                    None => send(session, &shape, Shuffled::new(items, &order), tags).await,
                };
            }
            OwnKeys::Stored(keys) => keys,
        };
        let items = keys.shuffled(order, file_store(&self.storage)?).await;
        let items = items.map_err(|_| ProtocolError::Storage {
            what: "keys of an intersection",
        })?;
        match peers {
            Some(peers) => receive(session, &shape, items, (tags, peers)).await,
            None => send(session, &shape, items, tags).await,
        }
    }
}

async fn by_vole(
    session: &mut Session,
    peer: Seat,
    receives: bool,
    (items, n_theirs): (&[Item], usize),
) -> Result<Option<Common>, ProtocolError> {
    if !receives {
        vole::send(session, peer, items, n_theirs).await?;
        return Ok(None);
    }
    let places = vole::receive(session, peer, items, n_theirs).await?;
    let places = places.into_iter().map(u64::from).collect();
    Ok(Some(Common::Members(places)))
}

async fn receive(
    session: &mut Session,
    shape: &Shape,
    items: impl ItemSource,
    (own, peer): (Box<dyn TagStore>, Box<dyn TagStore>),
) -> Result<Option<Common>, ProtocolError> {
    let stores = Stores { own, peer };
    let found = ecdh::receive::<Montgomery>(session, shape, items, stores).await?;
    Ok(Some(found))
}

async fn send(
    session: &mut Session,
    shape: &Shape,
    items: impl ShuffledSource,
    tags: Box<dyn TagStore>,
) -> Result<Option<Common>, ProtocolError> {
    ecdh::send::<Montgomery>(session, shape, items, tags).await?;
    Ok(None)
}
