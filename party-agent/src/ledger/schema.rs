//! The tables, and the file that holds them.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sqlx::SqlitePool;

use super::LedgerError;

/// Every statement can be repeated, so applying the schema to an existing ledger changes nothing.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS jobs (
    job_id      BLOB PRIMARY KEY,
    job         TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    proposer    TEXT NOT NULL,
    contract    BLOB NOT NULL,
    plan        BLOB NOT NULL,
    body        BLOB NOT NULL,
    public_key  BLOB NOT NULL,
    signature   BLOB NOT NULL,
    state       TEXT NOT NULL,
    ending      TEXT,
    created     INTEGER NOT NULL,
    updated     INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS acceptances (
    job_id      BLOB PRIMARY KEY REFERENCES jobs (job_id),
    nonce       BLOB NOT NULL UNIQUE,
    approved_by TEXT NOT NULL,
    rule        TEXT,
    body        BLOB NOT NULL,
    public_key  BLOB NOT NULL,
    signature   BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS acceptances_by_rule ON acceptances (rule);
CREATE TABLE IF NOT EXISTS outcomes (
    job_id      BLOB PRIMARY KEY REFERENCES jobs (job_id),
    receipt     TEXT NOT NULL,
    result_dir  TEXT,
    result      BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS catalogues (
    party       TEXT PRIMARY KEY,
    version     INTEGER NOT NULL,
    digest      BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS questions (
    day         INTEGER NOT NULL,
    asker       TEXT NOT NULL,
    source      TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (day, asker, source)
) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    job_id      BLOB NOT NULL REFERENCES jobs (job_id),
    source      TEXT NOT NULL,
    rule        TEXT NOT NULL,
    state       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (job_id, source, rule)
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_rule ON runs (source, rule);
CREATE TABLE IF NOT EXISTS charges (
    job_id      BLOB NOT NULL REFERENCES jobs (job_id),
    source      TEXT NOT NULL,
    recipient   TEXT NOT NULL,
    rho_pico    INTEGER NOT NULL,
    PRIMARY KEY (job_id, source, recipient)
) STRICT;
CREATE INDEX IF NOT EXISTS charges_by_recipient ON charges (source, recipient);
CREATE TABLE IF NOT EXISTS cohorts (
    job_id      BLOB NOT NULL,
    source      TEXT NOT NULL,
    cell        INTEGER NOT NULL,
    members     BLOB NOT NULL,
    PRIMARY KEY (job_id, source, cell)
) STRICT;
CREATE INDEX IF NOT EXISTS cohorts_by_source ON cohorts (source);
CREATE TABLE IF NOT EXISTS cohort_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    key         BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS approvals (
    job_id      BLOB NOT NULL REFERENCES jobs (job_id),
    person      TEXT NOT NULL,
    signed      TEXT,
    at          INTEGER NOT NULL,
    UNIQUE (job_id, person)
) STRICT;
CREATE TABLE IF NOT EXISTS halts (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL,
    since       INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS log (
    seq         INTEGER PRIMARY KEY,
    entry       BLOB NOT NULL,
    leaf        BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS log_of_jobs (
    job_id      BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    job_id      BLOB NOT NULL REFERENCES jobs (job_id),
    kind        TEXT NOT NULL,
    text        TEXT NOT NULL,
    PRIMARY KEY (job_id, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    party       TEXT NOT NULL,
    key         BLOB NOT NULL,
    size        INTEGER NOT NULL,
    note        TEXT NOT NULL,
    PRIMARY KEY (party, key, size, note)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarms (
    seq         INTEGER PRIMARY KEY,
    party       TEXT NOT NULL,
    key         BLOB NOT NULL,
    kind        TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
    size        INTEGER PRIMARY KEY,
    note        TEXT NOT NULL
) STRICT;
";

/// Makes the directory and an empty file that nobody else can read, before SQLite opens it.
pub(super) fn prepare_file(path: &Path) -> Result<(), LedgerError> {
    let unusable = |source| LedgerError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(dir) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(unusable)?;
    }
    // SQLite gives its journal files the mode of the database.
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    file.map_err(unusable).map(drop)
}

pub(super) async fn apply(pool: &SqlitePool) -> Result<(), LedgerError> {
    sqlx::raw_sql(SCHEMA).execute(pool).await?;
    Ok(())
}
