//! Tables that a holder commits to.

use std::sync::Arc;

use coordinator::contract::Digest;
use party_agent::source::{Source, SourceError};

use super::{Server, query};

/// What a holder commits to of the table, if it does.
async fn content(source: &Source) -> Result<Option<Digest>, SourceError> {
    let table = Arc::clone(&source.tables()["t"]);
    let content = tokio::task::spawn_blocking(move || table.content());
    content.await.expect("no panic")
}

#[tokio::test]
async fn a_committed_table_is_its_rows_in_any_order() {
    let Some(server) = Server::start() else {
        return;
    };
    server
        .sql(
            "CREATE TABLE a (id int, name text, paid numeric(9,2), at point);
              INSERT INTO a VALUES (1, 'x', 1.50, NULL), (2, NULL, 2, NULL), (2, NULL, 2, '(1,2)');
              CREATE TABLE b (LIKE a);
              INSERT INTO b VALUES (9, 'gone', 0, NULL), (2, NULL, 2.00, NULL);
              INSERT INTO b SELECT * FROM a WHERE id = 1; DELETE FROM b WHERE id = 9;
              INSERT INTO b VALUES (2, NULL, 2, NULL)",
        )
        .await;
    let of = async |table: &str| {
        let source = server.open_as(table, true).await.expect("opens");
        content(&source).await.expect("read").expect("committed")
    };
    let first = of("a").await;
    // A column of a type that cannot be read is not committed to; how often a row is there is.
    assert_eq!(of("b").await, first);
    for change in [
        "UPDATE b SET name = '' WHERE id = 2",
        "UPDATE b SET name = NULL; UPDATE b SET name = 'x' WHERE id = 1; DELETE FROM b WHERE ctid IN (SELECT max(ctid) FROM b)",
        "DELETE FROM b; INSERT INTO b SELECT * FROM a; ALTER TABLE b RENAME name TO named",
    ] {
        server.sql(change).await;
        assert_ne!(of("b").await, first, "{change}");
    }
    // What is hashed, for whoever checks it without this program.
    server.sql("CREATE TABLE c (n int4)").await;
    let names = b"[\"n\"]\n";
    assert_eq!(of("c").await, Digest::of(names));
    server.sql("INSERT INTO c VALUES (7)").await;
    let row = Digest::of(&[0, 1, 0, 0, 0, 4, 0, 0, 0, 7]);
    assert_eq!(of("c").await, Digest::of(&[&names[..], &row.0].concat()));
    let plain = server.open("a").await.expect("opens");
    assert_eq!(content(&plain).await.expect("read"), None);
}

#[tokio::test]
async fn a_committed_table_that_has_changed_is_refused() {
    let Some(server) = Server::start() else {
        return;
    };
    let rows = "CREATE TABLE a (id int, name text); INSERT INTO a VALUES (1, 'x'), (2, 'y')";
    server.sql(rows).await;
    let source = server.open_as("a", true).await.expect("opens");
    let count = "SELECT count(*) FROM party.t WHERE id = 1";
    let before = content(&source).await.expect("read");
    query(&source, count).await.expect("as it was");
    // A column that the query does not read.
    server.sql("UPDATE a SET name = 'z' WHERE id = 2").await;
    let refused = query(&source, count)
        .await
        .expect_err("changed")
        .to_string();
    assert!(refused.contains("the table has changed"), "{refused}");
    let refused = content(&source).await.expect_err("changed").to_string();
    assert!(refused.contains("the table has changed"), "{refused}");
    server.sql("UPDATE a SET name = 'y' WHERE id = 2").await;
    query(&source, count).await.expect("as it was again");
    assert_eq!(content(&source).await.expect("read"), before);
    // Opened anew, it is another one.
    server.sql("INSERT INTO a VALUES (3, 'z')").await;
    let anew = server.open_as("a", true).await.expect("opens");
    assert_ne!(content(&anew).await.expect("read"), before);
    query(&anew, count).await.expect("as it is");
}
