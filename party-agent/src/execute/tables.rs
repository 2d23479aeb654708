//! Tables under an oblivious function: prepared by their holder once for each state of the data, and kept by those who were sent them.
//!
//! Both are files in the agent's state. Its holder keeps a prepared table together with the key, like all its keys readable by
//! its owner alone, so that an agent that was restarted goes on with them; other data get another key. Who asks keeps what it was
//! sent, and says which table that is: a file that somebody has changed is another table, which the holder replaces.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coordinator::contract::Digest;
use engine::hash::{self, KeyedHash};
use engine::oprf::ServerKey;
use engine::prg::Seed;
use protocols::error::ProtocolError;
use protocols::lookup::combined::PreparedTable;
use protocols::lookup::table::{SealedTable, TableShape};
use protocols::lookup::{self, listed};
use protocols::party::{PartyId, Seat};
use protocols::psi::Item;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::session::Session;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{Failure, Stage, Task, internal};
use crate::local::{self, Keep, KeyReport, Records};
use crate::result;

/// Tables that this process has prepared or found prepared.
#[derive(Default)]
pub struct PreparedTables {
    /// By what is looked up, and how.
    tables: Mutex<BTreeMap<String, Arc<Prepared>>>,
}

/// One table under its key.
pub(super) struct Prepared {
    secret: Secret,
    pub(super) key: Arc<ServerKey>,
    pub(super) table: Held,
    pub(super) report: KeyReport,
}

/// What a key is made from, and a digest under it of the data that it was made for.
struct Secret {
    seed: Seed,
    data: [u8; 32],
}

/// What is done with a prepared table.
#[derive(Clone)]
pub(super) enum Held {
    /// It is sent.
    Records(Arc<SealedTable>),
    /// It is combined with others.
    Sums(Arc<PreparedTable>),
}

/// What a table is prepared as.
pub(super) struct Wanted<'a> {
    /// How spellings are evened out.
    pub(super) normalise: &'a str,
    /// Columns of the key.
    pub(super) n_keys: usize,
    /// What is kept beside keys.
    pub(super) keep: Keep,
    /// Published bound on its rows.
    pub(super) at_most: u64,
}

/// What a table has of each question: a value, or nothing.
pub(super) type Values = Vec<Option<Vec<u8>>>;

/// The version of every table: other data are prepared under another key.
pub(super) const VERSION: u64 = 1;

impl Task<'_> {
    /// This holder's table, prepared now or before.
    pub(super) async fn prepared(
        &self,
        session: &mut Session,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Prepared>, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let slot = self.slot(me, wanted.normalise);
        let name = format!("{slot} {:?}", wanted.keep);
        let mut tables = self.prepared.tables.lock().await;
        let known = tables.get(&name).cloned();
        let of_plan = self.plan.locals.get(me);
        let are_unchanged = of_plan.is_some_and(|local| self.source.are_unchanged(&local.tables));
        if let Some(known) = known.clone().filter(|_| are_unchanged) {
            return Ok(known);
        }
        let progress = |rows: u64| {
            self.progress
                .within(rows as f64 / wanted.at_most.max(1) as f64)
        };
        let (hash, kept) = (hash_of(wanted.normalise)?, (wanted.n_keys, wanted.keep));
        let read = local::records(self.plan, me, self.source, &hash, kept, &progress).await;
        let records = read.map_err(|e| Failure::source(&e))?;
        self.progress.enter(Stage::Prepare);
        let file = self.storage.tables.join(format!("{slot}.prepared"));
        let known = match (known, wanted.keep) {
            (None, Keep::Texts) => read_prepared(&file).await.map(Arc::new),
            (known, _) => known,
        };
        let (seed, keep) = (session.own_seed("key of a prepared table"), wanted.keep);
        let kernel = move || {
            let known = known.filter(|known| known.secret.is_of(&records));
            let is_new = known.is_none();
            let made = match known {
                Some(known) => Ok(known.with_report(&records)),
                None => prepare(seed, keep, &records),
            };
            made.map(|made| (made, is_new))
        };
        let made = session.compute().run(kernel).await;
        let (made, is_new) = made.map_err(|what| internal(&what))?;
        if let (true, Held::Records(table)) = (is_new, &made.table) {
            write(file, made.secret.file(table)).await;
        }
        let prepared = Arc::new(made);
        tables.insert(name, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// What each of these tables, which may be so large, has of each key. Those that were sent are kept for later jobs.
    pub(super) async fn list(
        &self,
        session: &mut Session,
        tables: BTreeMap<Seat, TableShape>,
        normalise: &str,
        questions: Vec<Item>,
    ) -> Result<BTreeMap<Seat, Values>, ProtocolError> {
        let (mut asked, mut files) = (BTreeMap::new(), BTreeMap::new());
        for (holder, at_most) in tables {
            let (file, known) = self.kept(holder, normalise, &at_most).await;
            files.insert(holder, (file, known.as_ref().map(|known| *known.digest())));
            asked.insert(holder, listed::Asked { at_most, known });
        }
        let found = listed::ask_all(session, asked, questions).await?;
        let mut values = BTreeMap::new();
        for (holder, found) in found {
            match files.remove(&holder) {
                Some((file, known)) if known != Some(*found.table.digest()) => {
                    keep(file, &found.table).await;
                }
                _ => {}
            }
            values.insert(holder, found.values);
        }
        Ok(values)
    }

    /// The table of a holder that this party was sent in an earlier job, and where it is.
    async fn kept(
        &self,
        holder: Seat,
        normalise: &str,
        at_most: &TableShape,
    ) -> (PathBuf, Option<Arc<SealedTable>>) {
        let slot = self.slot(&self.plan.seats[holder.index()], normalise);
        let file = self.storage.tables.join(format!("{slot}.kept"));
        let bytes = read(&file).await;
        // Hashing a large one takes a moment.
        let parse = move || SealedTable::from_bytes(&bytes?);
        let table = tokio::task::spawn_blocking(parse).await.unwrap_or(None);
        let table = table.filter(|table| {
            let shape = table.shape();
            shape.n_records <= at_most.n_records && shape.value_bytes <= at_most.value_bytes
        });
        (file, table.map(Arc::new))
    }

    /// What a table is kept under: what its holder reads, and how it hashes that.
    fn slot(&self, holder: &PartyId, normalise: &str) -> String {
        let sql = self.plan.locals.get(holder).map_or("", |l| l.sql.as_str());
        let fields = [holder.as_str(), sql, normalise].map(str::as_bytes);
        Digest(hash::digest("entente/v1/agent/tables/slot", &fields)).to_string()
    }
}

/// Keys are hashed alike in every job, so that a table is prepared once: the hash protects nothing here.
pub(super) fn hash_of(normalise: &str) -> Result<Arc<KeyHash>, Failure> {
    let rule = Normalise::named(normalise);
    let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
    Ok(Arc::new(KeyHash::new(&[0; 32], "lookup", rule)))
}

/// Keeps a table that was sent, for the next job.
async fn keep(file: PathBuf, table: &Arc<SealedTable>) {
    let table = Arc::clone(table);
    let bytes = tokio::task::spawn_blocking(move || Zeroizing::new(table.to_bytes())).await;
    if let Ok(bytes) = bytes {
        write(file, bytes).await;
    }
}

/// Applies a fresh key to a table.
fn prepare(seed: Seed, keep: Keep, records: &Records) -> Result<Prepared, String> {
    let key = lookup::table_key(&seed, VERSION).map_err(|e| e.to_string())?;
    let key = Arc::new(key);
    let table = match keep {
        Keep::Texts => {
            let longest = records.texts.iter().map(|(_, value)| value.len()).max();
            let longest = longest.unwrap_or(0);
            let sealed = SealedTable::seal(&key, VERSION, longest, &records.texts);
            Held::Records(Arc::new(sealed.map_err(|e| e.to_string())?))
        }
        Keep::Sum => {
            let prepared = PreparedTable::new(Arc::clone(&key), &records.sums);
            Held::Sums(Arc::new(prepared.map_err(|e| e.to_string())?))
        }
    };
    let data = data_of(&seed, records);
    Ok(Prepared {
        secret: Secret { seed, data },
        key,
        table,
        report: records.report.clone(),
    })
}

impl Prepared {
    /// The same table, counted anew.
    fn with_report(&self, records: &Records) -> Self {
        let Secret { seed, data } = &self.secret;
        Self {
            secret: Secret {
                seed: Seed::from_bytes(*seed.as_bytes()),
                data: *data,
            },
            key: Arc::clone(&self.key),
            table: self.table.clone(),
            report: records.report.clone(),
        }
    }
}

/// Tells data apart, to whoever has the seed.
fn data_of(seed: &Seed, records: &Records) -> [u8; 32] {
    let hash = KeyedHash::new("entente/v1/agent/tables/record", &[seed.as_bytes()]);
    let texts = records.texts.iter().map(|(item, value)| {
        let record = Zeroizing::new([&item[..], value].concat());
        hash.hash(&record)
    });
    let sums = records.sums.iter().map(|(item, sum)| {
        let record = Zeroizing::new([&item[..], &sum.to_le_bytes()].concat());
        hash.hash(&record)
    });
    let all: Vec<u8> = texts.chain(sums).flatten().collect();
    hash::digest("entente/v1/agent/tables/data", &[&all])
}

impl Secret {
    /// Length of a file's head: the seed, the data's digest, and one over all.
    const HEAD_BYTES: usize = 3 * 32;

    fn is_of(&self, records: &Records) -> bool {
        self.data == data_of(&self.seed, records)
    }

    /// A digest that nobody makes without the seed.
    fn digest(&self, table: &SealedTable) -> [u8; 32] {
        let fields = [&self.seed.as_bytes()[..], &self.data, table.digest()];
        hash::digest("entente/v1/agent/tables/prepared", &fields)
    }

    /// The file of a prepared table.
    fn file(&self, table: &SealedTable) -> Zeroizing<Vec<u8>> {
        let head = [&self.seed.as_bytes()[..], &self.data, &self.digest(table)];
        Zeroizing::new([&head.concat()[..], &table.to_bytes()].concat())
    }
}

/// A prepared table from its file; nothing if there is none, or not a whole one.
async fn read_prepared(file: &Path) -> Option<Prepared> {
    let bytes = read(file).await?;
    let parse = move || {
        let (head, table) = bytes.split_at_checked(Secret::HEAD_BYTES)?;
        let (head, _) = head.as_chunks::<32>();
        let secret = Secret {
            seed: Seed::from_bytes(head[0]),
            data: head[1],
        };
        let table = SealedTable::from_bytes(table)?;
        let key = lookup::table_key(&secret.seed, VERSION).ok()?;
        let is_whole = secret.digest(&table) == head[2] && table.public() == key.public();
        is_whole.then(|| Prepared {
            secret,
            key: Arc::new(key),
            table: Held::Records(Arc::new(table)),
            report: KeyReport::default(),
        })
    };
    let prepared = tokio::task::spawn_blocking(parse).await.unwrap_or(None);
    if prepared.is_none() {
        tracing::warn!("the file of a prepared table is damaged: the table is prepared anew");
    }
    prepared
}

async fn read(file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    match tokio::fs::read(file).await {
        Ok(bytes) => Some(Zeroizing::new(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(kind = %error.kind(), "the file of a table cannot be read: it is made anew");
            None
        }
    }
}

/// Writes a file for later jobs. This one does without: if there is no room, the next one begins anew.
async fn write(file: PathBuf, bytes: Zeroizing<Vec<u8>>) {
    let written = tokio::task::spawn_blocking(move || result::write_private(&file, &bytes)).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("a table could not be kept for later jobs");
    }
}
