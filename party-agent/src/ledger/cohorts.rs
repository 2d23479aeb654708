//! Who was counted in figures that were released, so that no later release tells of the few who make the difference.
//!
//! Written before a run's first message, and kept whatever becomes of the run: what others may have seen they have seen. The
//! record holds hashes of rows and persons under a key that is made here; it never leaves.

use coordinator::contract::{Digest, JobId, canonical};
use engine::hash::KeyedHash;
use sqlx::{Row, Sqlite, SqliteExecutor, Transaction};

use super::audit::{self, Cohort};
use super::log::Event;
use super::{Ledger, LedgerError};

/// Bytes of a row and of a person.
const ENTRY_BYTES: usize = 16;

impl Ledger {
    /// Remembers the cohorts of a job over a table, unless with earlier ones they tell of fewer than `least` persons. Those of an earlier
    /// attempt of the same job are replaced.
    ///
    /// # Errors
    /// [`LedgerError::Cohorts`]: nothing was remembered, and nothing may be sent. [`LedgerError::Database`].
    pub async fn remember_cohorts(
        &self,
        job_id: JobId,
        table: &str,
        cohorts: &[Cohort],
        least: u64,
        now: u64,
    ) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let hash = key(&mut writing.tx).await?;
        let new: Vec<Cohort> = cohorts.iter().map(|cohort| hashed(&hash, cohort)).collect();
        let rows = sqlx::query("SELECT members FROM cohorts WHERE source = ? AND job_id <> ?");
        let rows = rows
            .bind(table)
            .bind(&job_id.0[..])
            .fetch_all(&mut *writing.tx);
        let mut earlier = Vec::new();
        for row in rows.await? {
            earlier.push(read(row.try_get("members")?));
        }
        if let Some(objection) = audit::objection(&earlier, &new, least) {
            return Err(LedgerError::Cohorts {
                table: table.to_owned(),
                what: objection.in_words(),
            });
        }
        for (cell, cohort) in new.iter().enumerate().filter(|(_, c)| !c.0.is_empty()) {
            sqlx::query("INSERT OR REPLACE INTO cohorts (job_id, source, cell, members) VALUES (?, ?, ?, ?)")
                .bind(&job_id.0[..])
                .bind(table)
                .bind(i64::try_from(cell).unwrap_or(i64::MAX))
                .bind(written(cohort))
                .execute(&mut *writing.tx)
                .await?;
        }
        // The log tells what the account is, so that nobody can take somebody out of it later.
        if let Some(account) = digest_of(&mut *writing.tx, job_id).await? {
            writing.note(now, Event::Counted { job_id, account })?;
        }
        writing.commit().await
    }
}

/// What the log says of a job's account, over all its tables: nothing where there is none.
pub(super) async fn digest_of(
    database: impl SqliteExecutor<'_>,
    job_id: JobId,
) -> Result<Option<Digest>, LedgerError> {
    let rows = sqlx::query(
        "SELECT source, cell, members FROM cohorts WHERE job_id = ? ORDER BY source, cell",
    )
    .bind(&job_id.0[..])
    .fetch_all(database)
    .await?;
    let mut cells: Vec<(String, u64, Digest)> = Vec::with_capacity(rows.len());
    for row in rows {
        let cell: i64 = row.try_get("cell")?;
        let members: Vec<u8> = row.try_get("members")?;
        let (source, members) = (row.try_get("source")?, Digest::of(&members));
        cells.push((source, cell.unsigned_abs(), members));
    }
    if cells.is_empty() {
        return Ok(None);
    }
    let bytes = canonical::encode(&cells);
    let bytes = bytes.map_err(|_| LedgerError::Corrupt { what: "cohorts" })?;
    Ok(Some(Digest::of(&bytes)))
}

/// The hash of this ledger, under a key that is made when it is first asked for.
async fn key(tx: &mut Transaction<'static, Sqlite>) -> Result<KeyedHash, LedgerError> {
    sqlx::query("INSERT OR IGNORE INTO cohort_key (id, key) VALUES (1, randomblob(32))")
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT key FROM cohort_key WHERE id = 1");
    let key: Vec<u8> = row.fetch_one(&mut **tx).await?.try_get("key")?;
    Ok(KeyedHash::new("entente/v1/ledger/cohorts", &[&key]))
}

fn hashed(hash: &KeyedHash, cohort: &Cohort) -> Cohort {
    let one = |value: u64| {
        u64::from_le_bytes(
            *hash
                .hash(&value.to_le_bytes())
                .first_chunk()
                .expect("16 bytes"),
        )
    };
    let mut rows: Vec<(u64, u64)> = cohort
        .0
        .iter()
        .map(|(row, who)| (one(*row), one(*who)))
        .collect();
    rows.sort_unstable();
    Cohort(rows)
}

fn written(cohort: &Cohort) -> Vec<u8> {
    let entries = cohort.0.iter().flat_map(|(row, who)| [*row, *who]);
    entries.flat_map(u64::to_le_bytes).collect()
}

fn read(bytes: Vec<u8>) -> Cohort {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let entry = |entry: &[u8]| (number(&entry[..8]), number(&entry[8..]));
    Cohort(bytes.chunks_exact(ENTRY_BYTES).map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_counted_is_remembered_by_table_and_over_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.sqlite");
        let cohort = |n: u64| vec![Cohort((0..n).map(|row| (row, row)).collect())];
        let ask = async |job: u8, table: &str, n: u64| {
            let ledger = Ledger::open(&path).await.expect("a ledger");
            ledger
                .remember_cohorts(JobId([job; 16]), table, &cohort(n), 11, 1)
                .await
        };
        ask(1, "visits", 100).await.expect("the first");
        let told = ask(2, "visits", 99)
            .await
            .expect_err("one person")
            .to_string();
        assert!(told.contains("tables.visits.cohorts"), "{told}");
        ask(3, "other", 99).await.expect("another table");
        ask(4, "visits", 100).await.expect("the same again");
        ask(5, "visits", 80).await.expect("twenty persons");
        // What was refused is not remembered: 99 and 88 are eleven apart, 88 and 80 are not.
        let told = ask(6, "visits", 88).await;
        assert!(matches!(told, Err(LedgerError::Cohorts { .. })), "{told:?}");
        ask(7, "visits", 69)
            .await
            .expect("eleven from 80, as 88 is not there");
        let bytes = std::fs::read(&path).expect("the file");
        let plain: Vec<u8> = (40u64..44)
            .flat_map(|v| [v, v])
            .flat_map(u64::to_le_bytes)
            .collect();
        assert!(
            !bytes.windows(plain.len()).any(|w| w == plain),
            "rows are hashed"
        );
    }
}
