//! How often others have looked keys up in this holder's tables.

use sqlx::Row;

use super::{Ledger, LedgerError};

const DAY_S: u64 = 24 * 3600;

impl Ledger {
    /// Counts questions before they are answered, unless that day (UTC) has seen too many of this asker. False if so:
    /// then nothing was counted. Those of a job that fails later stay counted.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn count_questions(
        &self,
        (asker, table): (&str, &str),
        n_questions: u64,
        at_most: u64,
        now: u64,
    ) -> Result<bool, LedgerError> {
        if n_questions > at_most {
            return Ok(false);
        }
        let counted = sqlx::query(
            "INSERT INTO questions (day, asker, source, n) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (day, asker, source) DO UPDATE SET n = n + excluded.n WHERE n + excluded.n <= ?5",
        )
        .bind(number(now / DAY_S))
        .bind(asker)
        .bind(table)
        .bind(number(n_questions))
        .bind(number(at_most))
        .execute(&self.pool)
        .await?;
        Ok(counted.rows_affected() == 1)
    }

    /// The questions of an asker to a table so far this day (UTC).
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn questions(
        &self,
        (asker, table): (&str, &str),
        now: u64,
    ) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT n FROM questions WHERE day = ? AND asker = ? AND source = ?")
            .bind(number(now / DAY_S))
            .bind(asker)
            .bind(table)
            .fetch_optional(&self.pool)
            .await?;
        let n: i64 = row.map_or(Ok(0), |row| row.try_get("n"))?;
        Ok(n.unsigned_abs())
    }
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_are_counted_by_asker_table_and_day() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await;
        let ledger = ledger.expect("a ledger");
        let ask = async |who, n, now| {
            let counted = ledger.count_questions(who, n, 1000, now).await;
            counted.expect("counted")
        };
        let first = ("bank_a", "blacklist");
        assert!(ask(first, 600, 5).await);
        assert!(!ask(first, 401, 6).await, "over the limit");
        assert!(ask(first, 400, 7).await);
        assert!(!ask(first, 1, 8).await);
        assert!(!ask(("bank_b", "blacklist"), 1001, 8).await);
        assert!(ask(("bank_b", "blacklist"), 1000, 8).await);
        assert!(ask(("bank_a", "loans"), 1, 8).await);
        assert!(ask(first, 1000, DAY_S + 8).await, "another day");
        assert_eq!(ledger.questions(first, 9).await.expect("read"), 1000);
        assert_eq!(ledger.questions(("x", "y"), 9).await.expect("read"), 0);
    }
}
