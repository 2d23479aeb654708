//! How often this holder's tables were used: counted before a run begins, for good before its first message.
//!
//! A run is *reserved* in the transaction that starts the job, so that no two runs take the last place. It is *spent* on disk
//! before the first message of the computation leaves. A job that ends before that gives its place back; one that
//! was spent never does, whatever becomes of it.

use std::collections::BTreeMap;

use coordinator::contract::JobId;
use sqlx::{Row, Sqlite, Transaction};

use super::log::Event;
use super::{Ledger, LedgerError, charges};

/// A place among the runs that a policy allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reservation {
    /// The table.
    pub table: String,
    /// The rule of the policy that allows the run.
    pub rule: String,
    /// Most runs under it.
    pub at_most: Option<u64>,
    /// Least seconds since the last run under it.
    pub interval_s: Option<u64>,
}

/// Runs under one rule at one table, reserved and spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub n: u64,
    /// When the last of them began, Unix seconds.
    pub last: Option<u64>,
}

/// What the ledger knows of earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Runs by table and rule.
    pub by_rule: BTreeMap<(String, String), Counted>,
    /// What was lost in releases with noise by table and recipient: ρ in units of 10⁻¹².
    pub charged: BTreeMap<(String, String), u64>,
}

impl RunCounts {
    /// Of a ledger without runs.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_rule: BTreeMap::new(),
            charged: BTreeMap::new(),
        }
    }
}

/// The place that every job takes, whatever its tables.
pub(super) const JOB: (&str, &str) = ("", "");

impl Ledger {
    /// The runs under every rule.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn run_counts(&self) -> Result<RunCounts, LedgerError> {
        let rows = sqlx::query(
            "SELECT source, rule, COUNT(*) AS n, MAX(at) AS last FROM runs WHERE state <> 'released' AND rule <> '' \
             GROUP BY source, rule",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts = RunCounts::new();
        for row in rows {
            let (n, last): (i64, i64) = (row.try_get("n")?, row.try_get("last")?);
            let counted = Counted {
                n: n.unsigned_abs(),
                last: Some(last.unsigned_abs()),
            };
            counts
                .by_rule
                .insert((row.try_get("source")?, row.try_get("rule")?), counted);
        }
        counts.charged = charges::charged(&self.pool).await?;
        Ok(counts)
    }

    /// Spends what a running job has reserved. To be called before its first message; a second time changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::NothingReserved`] if the job was ended here meanwhile. Nothing may be sent
    /// then.
    pub async fn spend(&self, job_id: JobId, now: u64) -> Result<(), LedgerError> {
        let mut writing = self.write().await?;
        let counted = sqlx::query(
            "UPDATE runs SET state = 'spent' WHERE job_id = ? AND state = 'reserved' \
             AND EXISTS (SELECT 1 FROM jobs j WHERE j.job_id = runs.job_id AND j.state = 'running')",
        )
        .bind(&job_id.0[..])
        .execute(&mut *writing.tx)
        .await?
        .rows_affected();
        if counted == 0 {
            return Err(LedgerError::NothingReserved { job_id });
        }
        let event = Event::Spent {
            job_id,
            counted,
            charges: charges::digest_of(&mut *writing.tx, job_id).await?,
        };
        writing.note(now, event)?;
        writing.commit().await
    }
}

type Tx = Transaction<'static, Sqlite>;

/// Takes a job's places, all or none: the transaction is dropped with the error.
pub(super) async fn reserve(
    tx: &mut Tx,
    job_id: JobId,
    wanted: &[Reservation],
    now: u64,
) -> Result<(), LedgerError> {
    for place in wanted {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n, MAX(at) AS last FROM runs WHERE source = ? AND rule = ? AND state <> 'released'",
        )
        .bind(&place.table)
        .bind(&place.rule)
        .fetch_one(&mut **tx)
        .await?;
        let (n, last): (i64, Option<i64>) = (row.try_get("n")?, row.try_get("last")?);
        let since = last.map(|last| now.saturating_sub(last.unsigned_abs()));
        let is_full = place.at_most.is_some_and(|most| n.unsigned_abs() >= most);
        let is_early = (place.interval_s.zip(since)).is_some_and(|(least, since)| since < least);
        if is_full || is_early {
            return Err(LedgerError::NoPlace {
                table: place.table.clone(),
                rule: place.rule.clone(),
                what: if is_full { "count" } else { "frequency" },
            });
        }
    }
    let places = wanted.iter().map(|p| (p.table.as_str(), p.rule.as_str()));
    for (table, rule) in std::iter::once(JOB).chain(places) {
        sqlx::query(
            "INSERT INTO runs (job_id, source, rule, state, at) VALUES (?, ?, ?, 'reserved', ?)",
        )
        .bind(&job_id.0[..])
        .bind(table)
        .bind(rule)
        .bind(i64::try_from(now).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Gives back what an ended job has reserved and not spent.
pub(super) async fn release(tx: &mut Tx, job_id: JobId) -> Result<(), LedgerError> {
    sqlx::query("UPDATE runs SET state = 'released' WHERE job_id = ? AND state = 'reserved'")
        .bind(&job_id.0[..])
        .execute(&mut **tx)
        .await?;
    Ok(())
}
