//! One read-only connection to a holder's database.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

use crate::source::SourceError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Strings are quoted the standard way, text arrives in UTF-8, and nothing can be written.
const SESSION: &str = "SET default_transaction_read_only = on; SET standard_conforming_strings = on; \
                       SET client_encoding = 'UTF8'; SET application_name = 'entente'";

/// Where a connection string is kept: `host=/run/postgresql user=entente dbname=claims`.
///
/// The string itself may hold a password, so it is read when it is used and neither kept nor shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// In a file that only its owner can read.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Connection {
    fn read(&self, table: &str) -> Result<Config, SourceError> {
        let text = Zeroizing::new(match self {
            Self::File(path) => {
                check_private(path)?;
                std::fs::read_to_string(path)
                    .map_err(|e| crate::source::stamp::unreadable(path, &e))?
            }
            Self::Env(name) => std::env::var(name).map_err(|_| {
                let what = format!("the environment variable {name} is not set");
                fault(table, what, "put the connection string there, or in a file")
            })?,
        });
        let mut config = Config::from_str(text.trim()).map_err(|_| {
            let what = format!("the connection string in {self} is not valid");
            fault(
                table,
                what,
                "write it like: host=/run/postgresql user=entente dbname=claims",
            )
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        check_link(table, &config)?;
        Ok(config)
    }
}

/// A password that others on the machine can read is no password.
fn check_private(path: &Path) -> Result<(), SourceError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata =
            std::fs::metadata(path).map_err(|e| crate::source::stamp::unreadable(path, &e))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            let advice = "make it private with: chmod 600 FILE";
            return Err(SourceError::file(
                path,
                "others can read this connection string",
                advice,
            ));
        }
    }
    Ok(())
}

/// This build speaks to PostgreSQL without TLS, so rows and passwords may only cross this machine, unless the
/// connection string itself says `sslmode=disable`.
fn check_link(table: &str, config: &Config) -> Result<(), SourceError> {
    let is_loopback = |ip: &IpAddr| {
        *ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || *ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip| is_loopback(&ip)),
        Host::Unix(_) => true,
    };
    let local = if config.get_hostaddrs().is_empty() {
        config.get_hosts().iter().all(is_local)
    } else {
        config.get_hostaddrs().iter().all(is_loopback)
    };
    let advice = "connect through a Unix socket, a local replica or an encrypted tunnel; \
                  if the network itself is protected, say sslmode=disable";
    match config.get_ssl_mode() {
        SslMode::Disable => Ok(()),
        SslMode::Prefer if local => Ok(()),
        _ => Err(fault(
            table,
            "this connection would need TLS, which this build does not speak",
            advice,
        )),
    }
}

fn fault(table: &str, what: impl Into<String>, advice: &'static str) -> SourceError {
    SourceError::Database {
        table: table.to_owned(),
        what: what.into(),
        advice,
    }
}

/// An open connection. It closes when this is dropped.
pub(super) struct Link {
    table: String,
    client: Client,
    driver: JoinHandle<()>,
}

impl Link {
    pub(super) async fn open(table: &str, connection: &Connection) -> Result<Self, SourceError> {
        let config = connection.read(table)?;
        let (client, driver) = config
            .connect(NoTls)
            .await
            .map_err(|e| of_postgres(table, &e))?;
        // The client reports whatever ends the connection; the driver's own result repeats it.
        let driver = tokio::spawn(async move { drop(driver.await) });
        let link = Self {
            table: table.to_owned(),
            client,
            driver,
        };
        link.client
            .batch_execute(SESSION)
            .await
            .map_err(|e| link.fault(&e))?;
        Ok(link)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn fault(&self, error: &tokio_postgres::Error) -> SourceError {
        of_postgres(&self.table, error)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The server's message without its details: those can quote rows.
fn of_postgres(table: &str, error: &tokio_postgres::Error) -> SourceError {
    let advice = "check the connection string, and that this user may SELECT from the table";
    match error.as_db_error() {
        Some(db) => fault(
            table,
            format!("{} ({})", db.message(), db.code().code()),
            advice,
        ),
        None => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let what = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            fault(table, what, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_this_machine_in_the_clear_only_on_demand() {
        let cases = [
            ("host=/run/postgresql", true),
            ("host=localhost", true),
            ("host=127.0.0.1", true),
            ("host=::1 port=5433", true),
            ("host=db.example.org", false),
            ("host=localhost,10.0.0.1", false),
            ("host=localhost hostaddr=10.0.0.1", false),
            ("host=10.0.0.1 sslmode=disable", true),
            ("host=localhost sslmode=require", false),
        ];
        for (text, allowed) in cases {
            let config = Config::from_str(text).expect("a valid connection string");
            assert_eq!(check_link("t", &config).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn a_fault_in_a_connection_string_does_not_show_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("connection");
        std::fs::write(&path, "host=localhost password=hunter2 nonsense").expect("written");
        let connection = Connection::File(path.clone());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = connection
                .read("t")
                .expect_err("readable by others")
                .to_string();
            assert!(open.contains("chmod 600"), "{open}");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("private");
        }
        let fault = connection.read("t").expect_err("not valid");
        assert!(!format!("{fault} {fault:?} {connection:?}").contains("hunter2"));
    }
}
