//! What survives a crash: an embedded SQLite database in one file.
//!
//! Every change is one transaction, and the write-ahead log is flushed to the disk before [`Journal::record`] returns
//! (`synchronous = FULL`). Nothing is told to anybody before that, so that a `kill -9` or a power cut at any point leaves
//! a state which everybody was told, or will be told after the restart. The file is locked: a second coordinator on the same
//! directory is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::contract::{
    Acceptance, CatalogueDoc, Contract, JobId, PartyName, PublicKey, Published, Rejection,
    SignatureBytes, Signed, Statement,
};
use crate::control::CatalogueId;
use crate::job::{JobState, JobSummary, Outcome};
use crate::tls::Fingerprint;
use crate::transaction::begin;

/// Written to the database header; a later version with another layout raises it and migrates.
const LAYOUT: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS jobs (
    job_id BLOB PRIMARY KEY, proposer TEXT NOT NULL, state TEXT NOT NULL, is_final INTEGER NOT NULL,
    proposed_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    body BLOB NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_proposer ON jobs (proposer, proposed_at);
CREATE TABLE IF NOT EXISTS parties (
    party TEXT NOT NULL, job_id BLOB NOT NULL REFERENCES jobs, PRIMARY KEY (party, job_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acceptances (
    job_id BLOB NOT NULL REFERENCES jobs, party TEXT NOT NULL,
    body BLOB NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (job_id, party)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejections (
    job_id BLOB PRIMARY KEY REFERENCES jobs,
    body BLOB NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
    job_id BLOB NOT NULL REFERENCES jobs, party TEXT NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (job_id, party)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS witnesses (
    job_id BLOB NOT NULL REFERENCES jobs, party TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (job_id, party)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS catalogues (
    party TEXT PRIMARY KEY, version INTEGER NOT NULL,
    body BLOB NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS directed (
    party TEXT NOT NULL, digest BLOB NOT NULL, description TEXT NOT NULL, PRIMARY KEY (party, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    party TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened.
    #[error(
        "cannot open the journal {path}: {error}; is another coordinator running on this directory?"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database says.
        error: sqlx::Error,
    },
    /// It was written by another version.
    #[error(
        "the journal {path} has layout {found}, this version reads {LAYOUT}; run the version that wrote it"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout found.
        found: i64,
    },
    /// It cannot be read or written.
    #[error("the journal cannot be read or written (disk full?): {0}")]
    Database(#[from] sqlx::Error),
    /// It holds something that this program never writes.
    #[error("the journal is damaged: {what}; restore the state directory from a backup")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// A job with all that is known of it.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// The contract, verified when it came in.
    pub contract: Contract,
    /// The same, as signed.
    pub signed: Signed<Contract>,
    /// Where the job stands.
    pub state: JobState,
    /// Acceptances by party.
    pub acceptances: BTreeMap<PartyName, Signed<Acceptance>>,
    /// The rejection that ended it.
    pub rejection: Option<Signed<Rejection>>,
    /// What the parties reported.
    pub outcomes: BTreeMap<PartyName, Outcome>,
    /// What each party says about the others' logs.
    pub witnesses: BTreeMap<PartyName, String>,
}

impl JobRecord {
    /// The line of this job in a list.
    pub fn summary(&self) -> JobSummary {
        JobSummary {
            job_id: self.contract.job_id,
            job: self.contract.job.clone(),
            proposer: self.contract.proposer.clone(),
            parties: self
                .contract
                .parties
                .iter()
                .map(|p| p.name.clone())
                .collect(),
            state: self.state.clone(),
            created: self.contract.created,
            not_after: self.contract.not_after,
        }
    }
}

/// What a step in a job's life rests on.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// Nothing but the coordinator's own observation.
    Observed,
    /// A party's acceptance.
    Acceptance(PartyName, Signed<Acceptance>),
    /// A party's rejection.
    Rejection(Signed<Rejection>),
    /// A party's report.
    Outcome(PartyName, Outcome),
}

/// The database. One connection: its user takes turns.
#[derive(Debug)]
pub struct Journal {
    database: SqliteConnection,
}

impl Journal {
    /// Opens or creates the journal.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .locking_mode(SqliteLockingMode::Exclusive)
            .busy_timeout(Duration::from_secs(1))
            .foreign_keys(true)
            .disable_statement_logging();
        let open = |error| JournalError::Open {
            path: path.to_path_buf(),
            error,
        };
        let mut database = SqliteConnection::connect_with(&options)
            .await
            .map_err(open)?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut database)
            .await
            .map_err(open)?;
        match found {
            // What the earlier layouts lack are tables.
            0..LAYOUT => {
                // Version and tables appear in one transaction: a crash between them would leave an unversioned file.
                let mut transaction = database.begin().await.map_err(open)?;
                sqlx::raw_sql(SCHEMA)
                    .execute(&mut *transaction)
                    .await
                    .map_err(open)?;
                sqlx::raw_sql("PRAGMA user_version = 3")
                    .execute(&mut *transaction)
                    .await
                    .map_err(open)?;
                transaction.commit().await.map_err(open)?;
            }
            LAYOUT => {}
            found => {
                return Err(JournalError::Layout {
                    path: path.to_path_buf(),
                    found,
                });
            }
        }
        Ok(Self { database })
    }

    /// Adds a job as proposed.
    pub async fn propose(
        &mut self,
        contract: &Contract,
        signed: &Signed<Contract>,
        now: u64,
    ) -> Result<(), JournalError> {
        let mut transaction = begin(&mut self.database).await?;
        sqlx::query("INSERT INTO jobs VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)")
            .bind(&contract.job_id.0[..])
            .bind(contract.proposer.as_str())
            .bind(to_json(&JobState::Proposed))
            .bind(seconds(now))
            .bind(seconds(now))
            .bind(signed.body())
            .bind(&signed.public_key().0[..])
            .bind(&signed.signature().0[..])
            .execute(&mut *transaction)
            .await?;
        for party in &contract.parties {
            sqlx::query("INSERT INTO parties VALUES (?, ?)")
                .bind(party.name.as_str())
                .bind(&contract.job_id.0[..])
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Writes a job's new state together with what it rests on.
    pub async fn record(
        &mut self,
        job_id: &JobId,
        state: &JobState,
        evidence: &Evidence,
        now: u64,
    ) -> Result<(), JournalError> {
        let mut transaction = begin(&mut self.database).await?;
        sqlx::query("UPDATE jobs SET state = ?, is_final = ?, updated_at = ? WHERE job_id = ?")
            .bind(to_json(state))
            .bind(state.is_final())
            .bind(seconds(now))
            .bind(&job_id.0[..])
            .execute(&mut *transaction)
            .await?;
        // Replaced, because a commit that reported an error may have happened all the same, and is then made again.
        match evidence {
            Evidence::Observed => {}
            Evidence::Acceptance(party, signed) => {
                sqlx::query("INSERT OR REPLACE INTO acceptances VALUES (?, ?, ?, ?, ?)")
                    .bind(&job_id.0[..])
                    .bind(party.as_str())
                    .bind(signed.body())
                    .bind(&signed.public_key().0[..])
                    .bind(&signed.signature().0[..])
                    .execute(&mut *transaction)
                    .await?;
            }
            Evidence::Rejection(signed) => {
                sqlx::query("INSERT OR REPLACE INTO rejections VALUES (?, ?, ?, ?)")
                    .bind(&job_id.0[..])
                    .bind(signed.body())
                    .bind(&signed.public_key().0[..])
                    .bind(&signed.signature().0[..])
                    .execute(&mut *transaction)
                    .await?;
            }
            Evidence::Outcome(party, outcome) => {
                sqlx::query("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)")
                    .bind(&job_id.0[..])
                    .bind(party.as_str())
                    .bind(to_json(outcome))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Adds what a party says about the others' logs. The first word counts.
    pub async fn witness(
        &mut self,
        job_id: &JobId,
        party: &PartyName,
        seen: &str,
    ) -> Result<(), JournalError> {
        sqlx::query("INSERT OR IGNORE INTO witnesses VALUES (?, ?, ?)")
            .bind(&job_id.0[..])
            .bind(party.as_str())
            .bind(seen)
            .execute(&mut self.database)
            .await?;
        Ok(())
    }

    /// One job.
    pub async fn job(&mut self, job_id: &JobId) -> Result<Option<JobRecord>, JournalError> {
        let row =
            sqlx::query("SELECT state, body, public_key, signature FROM jobs WHERE job_id = ?")
                .bind(&job_id.0[..])
                .fetch_optional(&mut self.database)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let (contract, signed) = read_statement::<Contract>(&row)?;
        let mut record = JobRecord {
            contract,
            signed,
            state: from_json(row.try_get("state")?)?,
            acceptances: BTreeMap::new(),
            rejection: None,
            outcomes: BTreeMap::new(),
            witnesses: BTreeMap::new(),
        };
        let rows =
            sqlx::query("SELECT body, public_key, signature FROM acceptances WHERE job_id = ?")
                .bind(&job_id.0[..])
                .fetch_all(&mut self.database)
                .await?;
        for row in &rows {
            let (acceptance, signed) = read_statement::<Acceptance>(row)?;
            record.acceptances.insert(acceptance.party, signed);
        }
        let row =
            sqlx::query("SELECT body, public_key, signature FROM rejections WHERE job_id = ?")
                .bind(&job_id.0[..])
                .fetch_optional(&mut self.database)
                .await?;
        record.rejection = row
            .as_ref()
            .map(read_statement::<Rejection>)
            .transpose()?
            .map(|(_, signed)| signed);
        let rows = sqlx::query("SELECT party, outcome FROM outcomes WHERE job_id = ?")
            .bind(&job_id.0[..])
            .fetch_all(&mut self.database)
            .await?;
        for row in &rows {
            record
                .outcomes
                .insert(read_name(row)?, from_json(row.try_get("outcome")?)?);
        }
        let rows = sqlx::query("SELECT party, seen FROM witnesses WHERE job_id = ?")
            .bind(&job_id.0[..])
            .fetch_all(&mut self.database)
            .await?;
        for row in &rows {
            let seen = row.try_get("seen")?;
            record.witnesses.insert(read_name(row)?, seen);
        }
        Ok(Some(record))
    }

    /// All jobs that have not ended.
    pub async fn open_jobs(&mut self) -> Result<Vec<JobRecord>, JournalError> {
        let ids = sqlx::query("SELECT job_id FROM jobs WHERE is_final = 0")
            .fetch_all(&mut self.database)
            .await?;
        self.jobs_of_rows(&ids).await
    }

    /// The jobs of a party, the latest change first.
    pub async fn jobs_of(
        &mut self,
        party: &PartyName,
        limit: u32,
        only_final: bool,
    ) -> Result<Vec<JobRecord>, JournalError> {
        let ids = sqlx::query(
            "SELECT job_id FROM parties JOIN jobs USING (job_id)
             WHERE party = ? AND is_final >= ? ORDER BY updated_at DESC, job_id LIMIT ?",
        )
        .bind(party.as_str())
        .bind(only_final)
        .bind(limit)
        .fetch_all(&mut self.database)
        .await?;
        self.jobs_of_rows(&ids).await
    }

    async fn jobs_of_rows(&mut self, rows: &[SqliteRow]) -> Result<Vec<JobRecord>, JournalError> {
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let job_id = JobId(fixed(row.try_get("job_id")?)?);
            jobs.push(self.job(&job_id).await?.ok_or(JournalError::Damaged {
                what: "a listed job is missing",
            })?);
        }
        Ok(jobs)
    }

    /// Forgets the jobs that ended before a time and whose contracts have expired: before that, a replayed contract must
    /// find its job. Returns how many.
    pub async fn prune(&mut self, ended_before: u64, now: u64) -> Result<usize, JournalError> {
        let rows = sqlx::query(
            "SELECT job_id, body, public_key, signature FROM jobs WHERE is_final = 1 AND updated_at < ?",
        )
        .bind(seconds(ended_before))
        .fetch_all(&mut self.database)
        .await?;
        let mut transaction = begin(&mut self.database).await?;
        let mut n_pruned = 0;
        for row in &rows {
            let (contract, _) = read_statement::<Contract>(row)?;
            if contract.not_after >= now {
                continue;
            }
            for delete in [
                "DELETE FROM parties WHERE job_id = ?",
                "DELETE FROM acceptances WHERE job_id = ?",
                "DELETE FROM rejections WHERE job_id = ?",
                "DELETE FROM outcomes WHERE job_id = ?",
                "DELETE FROM witnesses WHERE job_id = ?",
                "DELETE FROM jobs WHERE job_id = ?",
            ] {
                sqlx::query(delete)
                    .bind(&contract.job_id.0[..])
                    .execute(&mut *transaction)
                    .await?;
            }
            n_pruned += 1;
        }
        transaction.commit().await?;
        Ok(n_pruned)
    }

    /// How many jobs a party has proposed since a time.
    pub async fn n_proposed_since(
        &mut self,
        proposer: &PartyName,
        since: u64,
    ) -> Result<u32, JournalError> {
        let n =
            sqlx::query_scalar("SELECT COUNT(*) FROM jobs WHERE proposer = ? AND proposed_at >= ?")
                .bind(proposer.as_str())
                .bind(seconds(since))
                .fetch_one(&mut self.database)
                .await?;
        Ok(n)
    }

    /// Replaces a party's catalogue, and all descriptions beside it.
    pub async fn publish(
        &mut self,
        catalogue: &CatalogueDoc,
        published: &Published,
    ) -> Result<(), JournalError> {
        let signed = &published.catalogue;
        let mut transaction = begin(&mut self.database).await?;
        sqlx::query("INSERT OR REPLACE INTO catalogues VALUES (?, ?, ?, ?, ?)")
            .bind(catalogue.party.as_str())
            .bind(seconds(catalogue.version))
            .bind(signed.body())
            .bind(&signed.public_key().0[..])
            .bind(&signed.signature().0[..])
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM directed WHERE party = ?")
            .bind(catalogue.party.as_str())
            .execute(&mut *transaction)
            .await?;
        for directed in &published.directed {
            sqlx::query("INSERT INTO directed VALUES (?, ?, ?)")
                .bind(catalogue.party.as_str())
                .bind(&directed.digest().0[..])
                .bind(to_json(directed))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// A party's catalogue with all descriptions beside it.
    pub async fn catalogue(
        &mut self,
        party: &PartyName,
    ) -> Result<Option<Published>, JournalError> {
        let row = sqlx::query("SELECT body, public_key, signature FROM catalogues WHERE party = ?")
            .bind(party.as_str())
            .fetch_optional(&mut self.database)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (body, catalogue) = read_statement::<CatalogueDoc>(&row)?;
        let rows = sqlx::query("SELECT description FROM directed WHERE party = ?")
            .bind(party.as_str())
            .fetch_all(&mut self.database)
            .await?;
        let directed = rows
            .iter()
            .map(|row| from_json(row.try_get("description")?));
        let published = Published {
            directed: directed.collect::<Result<_, _>>()?,
            catalogue,
        };
        published.check(&body).map_err(|_| JournalError::Damaged {
            what: "a description does not belong to its catalogue",
        })?;
        Ok(Some(published))
    }

    /// Version and digest of every catalogue.
    pub async fn catalogue_ids(
        &mut self,
    ) -> Result<BTreeMap<PartyName, CatalogueId>, JournalError> {
        let rows = sqlx::query("SELECT body, public_key, signature FROM catalogues")
            .fetch_all(&mut self.database)
            .await?;
        let id = |row| {
            let (catalogue, signed) = read_statement::<CatalogueDoc>(row)?;
            Ok((
                catalogue.party,
                CatalogueId {
                    version: catalogue.version,
                    digest: signed.digest(),
                },
            ))
        };
        rows.iter().map(id).collect()
    }

    /// Notes that a member is, or was, connected.
    pub async fn seen(
        &mut self,
        party: &PartyName,
        key: &Fingerprint,
        now: u64,
    ) -> Result<(), JournalError> {
        sqlx::query("INSERT OR REPLACE INTO members VALUES (?, ?, ?)")
            .bind(party.as_str())
            .bind(key.to_string())
            .bind(seconds(now))
            .execute(&mut self.database)
            .await?;
        Ok(())
    }

    /// When each member was last connected.
    pub async fn last_seen(&mut self) -> Result<BTreeMap<PartyName, u64>, JournalError> {
        let rows = sqlx::query("SELECT party, last_seen FROM members")
            .fetch_all(&mut self.database)
            .await?;
        let entry = |row: &SqliteRow| {
            Ok((
                read_name(row)?,
                row.try_get::<i64, _>("last_seen")?.unsigned_abs(),
            ))
        };
        rows.iter().map(entry).collect()
    }
}

/// SQLite's integers are signed. Times and versions are at most 2^53 − 1, by the rules of the statements that hold them.
fn seconds(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .expect("states and outcomes have string keys and no custom serializers that fail")
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|_| JournalError::Damaged {
        what: "a state, an outcome or a description cannot be read",
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], JournalError> {
    bytes.try_into().map_err(|_| JournalError::Damaged {
        what: "an id, key or signature has the wrong length",
    })
}

fn read_name(row: &SqliteRow) -> Result<PartyName, JournalError> {
    let name: &str = row.try_get("party")?;
    PartyName::new(name).map_err(|_| JournalError::Damaged {
        what: "a party name cannot be read",
    })
}

/// Reads a statement back. Its signature is checked again, against the key it came with: a damaged file must not pass.
fn read_statement<T: Statement>(row: &SqliteRow) -> Result<(T, Signed<T>), JournalError> {
    let body: Vec<u8> = row.try_get("body")?;
    let key = PublicKey(fixed(row.try_get("public_key")?)?);
    let signature = SignatureBytes(fixed(row.try_get("signature")?)?);
    let signed = Signed::from_parts(body, key, signature);
    let statement = signed.verify(&Fingerprint::of(&key));
    let statement = statement.map_err(|_| JournalError::Damaged {
        what: "a signed statement does not verify",
    })?;
    Ok((statement, signed))
}
