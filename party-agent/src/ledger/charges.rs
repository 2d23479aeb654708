//! What releases with noise take of budgets.
//!
//! A charge stands with its job's place among the runs: reserved in the transaction that starts the job, for good from the first
//! message on, and given back only with that place. So a crash, a replay and jobs at the same time are counted as runs are.
//! It belongs to a table and a recipient, whatever the contract, so that a new contract finds what older ones took.

use std::collections::BTreeMap;

use coordinator::contract::{Digest, JobId, canonical};
use sqlx::{Row, Sqlite, SqliteExecutor, Transaction};

use super::LedgerError;
use super::runs::JOB;

/// What a job takes of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The table.
    pub table: String,
    /// Who is told.
    pub recipient: String,
    /// The loss, as zCDP in units of 10⁻¹².
    pub rho_pico: u64,
    /// The budget, in the same unit.
    pub at_most: u64,
}

/// All charges of jobs that run, or have sent something.
const COUNTED: &str = "SELECT c.source, c.recipient, SUM(c.rho_pico) AS rho FROM charges c JOIN runs r \
     ON r.job_id = c.job_id AND r.source = ? AND r.rule = ? WHERE r.state <> 'released' \
     GROUP BY c.source, c.recipient";

/// What was lost so far, by table and recipient.
pub(super) async fn charged(
    database: impl SqliteExecutor<'_>,
) -> Result<BTreeMap<(String, String), u64>, LedgerError> {
    let rows = sqlx::query(COUNTED).bind(JOB.0).bind(JOB.1);
    let mut charged = BTreeMap::new();
    for row in rows.fetch_all(database).await? {
        let rho: i64 = row.try_get("rho")?;
        let key = (row.try_get("source")?, row.try_get("recipient")?);
        charged.insert(key, rho.unsigned_abs());
    }
    Ok(charged)
}

/// Takes all charges of a job, or none: the transaction is dropped with the error.
pub(super) async fn reserve(
    tx: &mut Transaction<'static, Sqlite>,
    job_id: JobId,
    charges: &[Charge],
) -> Result<(), LedgerError> {
    if charges.is_empty() {
        return Ok(());
    }
    let charged = charged(&mut **tx).await?;
    for charge in charges {
        let key = (charge.table.clone(), charge.recipient.clone());
        let before = charged.get(&key).copied().unwrap_or(0);
        let after = before.checked_add(charge.rho_pico);
        if after.is_none_or(|after| after > charge.at_most) {
            return Err(LedgerError::NoBudget {
                table: charge.table.clone(),
                recipient: charge.recipient.clone(),
            });
        }
        sqlx::query(
            "INSERT INTO charges (job_id, source, recipient, rho_pico) VALUES (?, ?, ?, ?)",
        )
        .bind(&job_id.0[..])
        .bind(&charge.table)
        .bind(&charge.recipient)
        .bind(i64::try_from(charge.rho_pico).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// What the log says of a job's charges: nothing if there are none.
pub(super) async fn digest_of(
    database: impl SqliteExecutor<'_>,
    job_id: JobId,
) -> Result<Option<Digest>, LedgerError> {
    let rows = sqlx::query(
        "SELECT source, recipient, rho_pico FROM charges WHERE job_id = ? ORDER BY source, recipient",
    )
    .bind(&job_id.0[..])
    .fetch_all(database)
    .await?;
    let mut charges: Vec<(String, String, u64)> = Vec::with_capacity(rows.len());
    for row in rows {
        let rho: i64 = row.try_get("rho_pico")?;
        charges.push((
            row.try_get("source")?,
            row.try_get("recipient")?,
            rho.unsigned_abs(),
        ));
    }
    if charges.is_empty() {
        return Ok(None);
    }
    let bytes = canonical::encode(&charges);
    let bytes = bytes.map_err(|_| LedgerError::Corrupt { what: "charges" })?;
    Ok(Some(Digest::of(&bytes)))
}
