//! Transactions of SQLite that were not committed because the disk is full.

use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};

/// Begins a transaction that is none within another.
///
/// # Errors
/// What the database says.
pub async fn begin(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    end_open(connection).await?;
    connection.begin().await
}

/// Leaves no transaction open on a connection.
///
/// SQLite rolls a transaction back by itself where a commit fails for want of space, and the driver, which counts transactions, does not learn of
/// it: it takes what comes next for a transaction within the failed one. If that is rolled back, SQLite's outermost one stays open, and every
/// commit after it succeeds and puts nothing on disk.
///
/// # Errors
/// If the connection is broken.
pub async fn end_open(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    if !connection.is_in_transaction() {
        return Ok(());
    }
    // A rollback that was only queued is done then.
    connection.ping().await?;
    if connection.is_in_transaction() {
        // An error says that there is none.
        let _ = sqlx::query("ROLLBACK").execute(connection).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    use super::*;

    async fn insert(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut transaction = begin(connection).await?;
        sqlx::query("INSERT INTO t VALUES (1)")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    async fn n_rows(connection: &mut SqliteConnection) -> i64 {
        let counted = sqlx::query_scalar("SELECT COUNT(*) FROM t").fetch_one(connection);
        counted.await.expect("counted")
    }

    #[tokio::test]
    async fn commits_after_failed_ones_are_on_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("t.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut writer = options.connect().await.expect("opened");
        let mut reader = options.connect().await.expect("opened");
        sqlx::query("CREATE TABLE t (n INTEGER)")
            .execute(&mut writer)
            .await
            .expect("made");
        for n_failed in 1..4 {
            for _ in 0..n_failed {
                let mut transaction = begin(&mut writer).await.expect("begun");
                // As SQLite does where the disk is full.
                let _ = sqlx::query("ROLLBACK").execute(&mut *transaction).await;
                assert!(transaction.commit().await.is_err());
                // One that is given up by its user.
                drop(begin(&mut writer).await.expect("begun"));
            }
            insert(&mut writer).await.expect("committed");
            assert_eq!(n_rows(&mut reader).await, n_failed, "after {n_failed}");
        }
    }
}
