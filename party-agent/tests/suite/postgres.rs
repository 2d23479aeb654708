//! PostgreSQL as it really answers: each test starts a private server and removes it.

mod committed;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use futures::StreamExt;
use party_agent::catalogue::ColumnKind;
use party_agent::source::{Connection, DatasetSpec, Source, SourceError};
use tokio_postgres::NoTls;

/// A server in a temporary directory, reached through a socket in it.
struct Server {
    dir: tempfile::TempDir,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Server {
    /// `None` where PostgreSQL is not installed.
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL");
            return None;
        };
        let dir = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .expect("a temporary directory");
        // PostgreSQL refuses to run as root.
        let owner = (fs::metadata("/proc/self")
            .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
            .unwrap_or(1)
            == 0)
            .then(unprivileged);
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).expect("chown as root");
        }
        let server = Self {
            dir,
            programs,
            owner,
        };
        server.run(
            "initdb",
            &[
                "-U",
                "entente",
                "--auth=trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
        );
        let options = format!(
            "-k {} -c listen_addresses='' -c fsync=off -c log_statement=all -c DateStyle=German,DMY",
            server.dir.path().display()
        );
        server.run(
            "pg_ctl",
            &[
                "-w",
                "-t",
                "60",
                "-l",
                server.path("log").to_str().expect("UTF-8"),
                "-o",
                &options,
                "start",
            ],
        );
        Some(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command
            .arg("-D")
            .arg(self.path("data"))
            .args(arguments)
            .current_dir(self.dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = self.owner {
            command.gid(gid).uid(uid);
        }
        assert!(
            command.status().expect("it starts").success(),
            "{program} failed"
        );
    }

    fn address(&self) -> String {
        format!(
            "host={} user=entente dbname=postgres",
            self.dir.path().display()
        )
    }

    /// A connection file as a holder would write it.
    fn connection(&self) -> Connection {
        let path = self.path("connection");
        fs::write(&path, self.address()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
        Connection::File(path)
    }

    async fn sql(&self, text: &str) {
        let (client, driver) = tokio_postgres::connect(&self.address(), NoTls)
            .await
            .expect("connected");
        let driver = tokio::spawn(driver);
        client.batch_execute(text).await.expect(text);
        drop(client);
        driver.await.expect("no panic").expect("closed in order");
    }

    async fn open(&self, table: &str) -> Result<Source, SourceError> {
        self.open_as(table, false).await
    }

    async fn open_as(&self, table: &str, commits: bool) -> Result<Source, SourceError> {
        let mut source = Source::empty();
        let spec = DatasetSpec::Postgres {
            connection: self.connection(),
            schema: "public".to_owned(),
            table: table.to_owned(),
            commits,
        };
        source.add("t", &spec).await?;
        Ok(source)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).expect("the server writes a log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = Command::new(self.programs.join("pg_ctl"));
        stop.arg("-D")
            .arg(self.path("data"))
            .args(["-m", "immediate", "stop"])
            .current_dir(self.dir.path());
        if let Some((uid, gid)) = self.owner {
            stop.gid(gid).uid(uid);
        }
        stop.stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok();
    }
}

/// The newest installation.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut installed: Vec<_> = versions.map(|v| v.path().join("bin")).collect();
    installed.sort();
    let on_path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect::<Vec<_>>());
    installed.extend(on_path.unwrap_or_default());
    installed
        .into_iter()
        .rev()
        .find(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists())
}

/// The user and group of `postgres`, or of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    of("postgres")
        .or_else(|| of("nobody"))
        .unwrap_or((65_534, 65_534))
}

async fn query(source: &Source, sql: &str) -> Result<RecordBatch, SourceError> {
    let frame = source.context().sql(sql).await.expect("a valid query");
    let schema = frame.schema().inner().clone();
    let mut batches = Vec::new();
    let mut stream = frame.execute_stream().await.expect("a plan");
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(e) => {
                let text = e.to_string();
                return Err(SourceError::Engine { what: text });
            }
        }
    }
    Ok(concat_batches(&schema, &batches).expect("one schema"))
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell = |column: &Arc<dyn Array>, row| {
        if column.is_null(row) {
            "NULL".to_owned()
        } else {
            array_value_to_string(column, row).expect("printable")
        }
    };
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|c| cell(c, row)).collect())
        .collect()
}

const TYPES: &str = r#"
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN money2 AS numeric(14,2) CHECK (value > -1000000);
CREATE DOMAIN cost AS money2;
CREATE TABLE "就诊" (
    s smallint NOT NULL, i integer, b bigint, n numeric(12,2), u numeric, r real, d double precision,
    t text, v varchar(20), c char(5), f boolean, day date, ts timestamp, tz timestamptz, id uuid,
    e colour, m cost, a integer[], j jsonb, "Weird ""Name""" text, dropped int);
ALTER TABLE "就诊" DROP COLUMN dropped;
INSERT INTO "就诊" VALUES
 (-32768, -2147483648, -9223372036854775808, -1234567890.12, 0.00012, 0.5, -1e300, '高血压', 'a''b', 'ab', true,
  '2024-02-29', '1969-12-31 23:59:59.999999', '2024-01-01 00:30:00+02', '6F9619FF-8B86-D011-B42D-00C04FC964FF', 'green', 12.50,
  '{1}', '{}', 'x'),
 (32767, 2147483647, 9223372036854775807, 10000.00, 123456789012345678901234567890, -1.25, 5e-324, '', E'tab\tand\\back', '', false,
  '0001-01-01', '9999-12-31 00:00:00', '1970-01-01 00:00:00Z', NULL, 'red', -0.01, NULL, NULL, NULL),
 (0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (1, 0, 0, 0.00, -10000, 0, 0, 'ß', 'z', 'abcde', true, '1999-12-31', '2000-01-01', '2000-01-01', NULL, NULL, 0, NULL, NULL, 'y');
"#;

#[tokio::test]
async fn every_type_and_value_comes_through() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql(TYPES).await;
    let source = server.open("就诊").await.expect("a table");
    let kinds: Vec<_> = source.tables()["t"]
        .columns()
        .iter()
        .map(|c| c.kind.clone())
        .collect();
    let int = |bits| ColumnKind::Int { bits, signed: true };
    let decimal = |precision, scale| ColumnKind::Decimal { precision, scale };
    let text = ColumnKind::Text;
    let expected = [
        int(16),
        int(32),
        int(64),
        decimal(12, 2),
        decimal(35, 5),
        ColumnKind::Float,
        ColumnKind::Float,
        text.clone(),
        text.clone(),
        text.clone(),
        ColumnKind::Bool,
        ColumnKind::Date,
        ColumnKind::Timestamp,
        ColumnKind::Timestamp,
        text.clone(),
        text.clone(),
        decimal(14, 2),
        ColumnKind::Other("integer[]".to_owned()),
        ColumnKind::Other("jsonb".to_owned()),
        text,
    ];
    assert_eq!(kinds, expected);
    let all = query(&source, "SELECT * FROM party.t")
        .await
        .expect("it runs");
    let null = ["NULL"; 17];
    let expected = [
        [
            "-32768",
            "-2147483648",
            "-9223372036854775808",
            "-1234567890.12",
            "0.00012",
            "0.5",
            "-1e300",
            "高血压",
            "a'b",
            "ab",
            "true",
            "2024-02-29",
            "1969-12-31T23:59:59.999999",
            "2023-12-31T22:30:00",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "green",
            "12.50",
            "x",
        ],
        [
            "32767",
            "2147483647",
            "9223372036854775807",
            "10000.00",
            "123456789012345678901234567890.00000",
            "-1.25",
            "5e-324",
            "",
            "tab\tand\\back",
            "",
            "false",
            "0001-01-01",
            "9999-12-31T00:00:00",
            "1970-01-01T00:00:00",
            "NULL",
            "red",
            "-0.01",
            "NULL",
        ],
        {
            let mut row = ["0"; 18];
            row[1..].copy_from_slice(&null);
            row
        },
        [
            "1",
            "0",
            "0",
            "0.00",
            "-10000.00000",
            "0.0",
            "0.0",
            "ß",
            "z",
            "abcde",
            "true",
            "1999-12-31",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00",
            "NULL",
            "NULL",
            "0.00",
            "y",
        ],
    ];
    assert_eq!(cells(&all), expected);
    let count = query(&source, "SELECT COUNT(*) FROM party.t")
        .await
        .expect("it runs");
    assert_eq!(cells(&count), [["4"]]);
}

/// The same query with the filter in the database and with the filter in the engine.
#[tokio::test]
async fn filters_mean_the_same_in_the_database() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql(TYPES).await;
    server
        .sql("CREATE TABLE people (name text COLLATE \"C\", age int); INSERT INTO people VALUES ('Äpfel', 1), ('Zebra', 2), ('apfel', 3), ('zebra', 4), (NULL, 5)")
        .await;
    let conditions = [
        "i = 2147483647",
        "i <> 0",
        "i < 0 OR i IS NULL",
        "NOT (i >= 0)",
        "b = -9223372036854775808",
        "b > 9223372036854775806",
        "n = 10000.00",
        "n BETWEEN -1234567890.12 AND 0",
        "n NOT BETWEEN 0 AND 1",
        "u > 1",
        "u = 0.00012",
        "d < 0",
        "d = 0",
        "d > -1e299",
        "r = 0.5",
        "r < -1.0",
        "t = '高血压'",
        "t < 'ß'",
        "t >= ''",
        "t <> ''",
        "t IN ('ß', '高血压')",
        "t NOT IN ('ß')",
        "v = 'a''b'",
        "v = E'tab\\tand\\\\back' OR v = 'z'",
        "c = 'ab'",
        "c = ''",
        "f",
        "NOT f",
        "f IS NULL",
        "f = false",
        "day = DATE '2024-02-29'",
        "day < DATE '1970-01-01'",
        "day BETWEEN DATE '1999-01-01' AND DATE '1999-12-31'",
        "ts < TIMESTAMP '1970-01-01 00:00:00'",
        "ts = TIMESTAMP '1969-12-31 23:59:59.999999'",
        "tz = TIMESTAMP '2023-12-31 22:30:00'",
        "e = 'green'",
        "e > 'green'",
        "id = '6f9619ff-8b86-d011-b42d-00c04fc964ff'",
        "m = -0.01",
        "m >= 0 AND i = 0",
        "s + 1 > 0",
        "s = 1 OR t LIKE '高%'",
        "\"Weird \"\"Name\"\"\" = 'x'",
        "1 = s",
        "i IN (0, 2147483647) AND NOT (f OR t = '')",
        "t = 'it''s; DROP TABLE x; --'",
    ];
    let source = server.open("就诊").await.expect("a table");
    let people = server.open("people").await.expect("a table");
    for (source, columns, conditions) in [
        (&source, "s, t", &conditions[..]),
        (
            &people,
            "age",
            &[
                "name < 'a'",
                "name > 'Zebra'",
                "name <= 'zebra'",
                "name >= 'Ä'",
            ][..],
        ),
    ] {
        let all = query(source, "SELECT * FROM party.t")
            .await
            .expect("it runs");
        let plain = party_agent::source::make_context(Default::default());
        let table = MemTable::try_new(all.schema(), vec![vec![all]]).expect("one schema");
        plain
            .register_table("t", Arc::new(table))
            .expect("registered");
        for condition in conditions {
            let found = query(
                source,
                &format!("SELECT {columns} FROM party.t WHERE {condition}"),
            )
            .await
            .expect("it runs");
            let sql = format!("SELECT {columns} FROM t WHERE {condition}");
            let expected = plain
                .sql(&sql)
                .await
                .expect("a valid query")
                .collect()
                .await
                .expect("it runs");
            let expected: Vec<_> = expected.iter().flat_map(cells).collect();
            assert_eq!(cells(&found), expected, "{condition}");
        }
    }
    let log = server.log();
    for statement in [
        r#"COPY (SELECT "s", "i", "t"::text FROM "public"."就诊" WHERE ("i" = (2147483647))) TO STDOUT"#,
        r#"WHERE ("t"::text COLLATE "C" = '高血压'))"#,
        r#"WHERE ("day" = '2024-02-29'::date))"#,
        r#"WHERE ("name"::text COLLATE "C" < 'a'))"#,
    ] {
        assert!(
            log.contains(statement),
            "{statement} in the server's log:\n{log}"
        );
    }
}

#[tokio::test]
async fn rows_are_streamed() {
    let Some(server) = Server::start() else {
        return;
    };
    server
        .sql("CREATE TABLE big AS SELECT g AS id, g % 20 AS grp, (g % 1000)::numeric(8,2) / 4 AS paid, repeat('x', 50) AS pad FROM generate_series(1, 300000) g; CREATE VIEW seen AS SELECT id, grp FROM big WHERE grp < 10")
        .await;
    let source = server.open("big").await.expect("a table");
    let sums = query(
        &source,
        "SELECT COUNT(*), SUM(id), COUNT(DISTINCT grp) FROM party.t",
    )
    .await
    .expect("it runs");
    let of = |i: usize| sums.column(i).as_primitive::<Int64Type>().value(0);
    assert_eq!((of(0), of(1), of(2)), (300_000, 300_000 * 300_001 / 2, 20));
    let view = server.open("seen").await.expect("a view");
    assert_eq!(
        cells(
            &query(&view, "SELECT COUNT(*) FROM party.t")
                .await
                .expect("it runs")
        ),
        [["150000"]]
    );
    // A query that wants no more lets go of its connection, so that the table can be dropped.
    let few = query(&source, "SELECT pad FROM party.t LIMIT 3")
        .await
        .expect("it runs");
    assert_eq!(few.num_rows(), 3);
    let frame = source
        .context()
        .sql("SELECT pad FROM party.t")
        .await
        .expect("a valid query");
    let mut stream = frame.execute_stream().await.expect("a plan");
    assert!(
        stream
            .next()
            .await
            .expect("a batch")
            .expect("valid")
            .num_rows()
            > 0
    );
    drop(stream);
    server
        .sql("SET lock_timeout = '30s'; DROP TABLE big CASCADE")
        .await;
    let fault = query(&source, "SELECT pad FROM party.t")
        .await
        .expect_err("dropped")
        .to_string();
    assert!(fault.contains("does not exist"), "{fault}");
}

#[tokio::test]
async fn faults_say_what_to_do() {
    let Some(server) = Server::start() else {
        return;
    };
    let missing = server
        .open("nothing")
        .await
        .expect_err("no table")
        .to_string();
    assert!(
        missing.contains("there is no table public.nothing"),
        "{missing}"
    );
    server
        .sql("CREATE TABLE odd (n numeric, day date); INSERT INTO odd VALUES (1.5, '2024-01-01'); CREATE TABLE none (n numeric); CREATE ROLE outsider LOGIN")
        .await;
    let source = server.open("odd").await.expect("a table");
    for (value, column, expected) in [
        (
            "INSERT INTO odd VALUES (1.25, NULL)",
            "n",
            "does not fit the type",
        ),
        (
            "DELETE FROM odd; INSERT INTO odd VALUES (100.5, NULL)",
            "n",
            "does not fit the type",
        ),
        (
            "DELETE FROM odd; INSERT INTO odd VALUES ('NaN', NULL)",
            "n",
            "NaN or infinite",
        ),
        (
            "DELETE FROM odd; INSERT INTO odd VALUES (0, 'infinity')",
            "day",
            "does not fit the type",
        ),
    ] {
        server.sql(value).await;
        let fault = query(&source, &format!("SELECT {column} FROM party.t"))
            .await
            .expect_err(value)
            .to_string();
        assert!(
            fault.contains(&format!("column {column} of t")) && fault.contains(expected),
            "{fault}"
        );
    }
    let empty = server.open("none").await.expect("a table");
    assert_eq!(empty.tables()["t"].columns()[0].kind, ColumnKind::Empty);

    let refused = |text: &str| {
        let path = server.path("other");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
        let spec = DatasetSpec::Postgres {
            connection: Connection::File(path),
            schema: "public".to_owned(),
            table: "odd".to_owned(),
            commits: false,
        };
        async move {
            Source::empty()
                .add("t", &spec)
                .await
                .expect_err("refused")
                .to_string()
        }
    };
    let socket = server.dir.path().display();
    let outsider = refused(&format!(
        "host={socket} user=outsider dbname=postgres password=hunter2"
    ))
    .await;
    // The columns may be listed by anyone; the size of a numeric column needs to be read.
    assert!(
        outsider.contains("permission denied") && !outsider.contains("hunter2"),
        "{outsider}"
    );
    let nowhere = refused("host=/nonexistent user=x password=hunter2").await;
    assert!(
        nowhere.contains("PostgreSQL") && !nowhere.contains("hunter2"),
        "{nowhere}"
    );
    let remote = refused("host=db.example.org user=x password=hunter2").await;
    assert!(
        remote.contains("TLS") && remote.contains("sslmode=disable"),
        "{remote}"
    );
    let unset = DatasetSpec::Postgres {
        connection: Connection::Env("ENTENTE_NO_SUCH_VARIABLE".to_owned()),
        schema: "public".to_owned(),
        table: "odd".to_owned(),
        commits: false,
    };
    let fault = Source::empty()
        .add("t", &unset)
        .await
        .expect_err("not set")
        .to_string();
    assert!(
        fault.contains("ENTENTE_NO_SUCH_VARIABLE is not set"),
        "{fault}"
    );
    assert!(Path::new(&server.path("data")).exists());
}
