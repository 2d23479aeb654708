//! `entente doctor`: what usually goes wrong, looked at one by one, each with what to do.

use crate::cli::ConfigArg;
use crate::locate::{ConfigFile, Owner};
use crate::outcome::{Exit, Failure, Outcome, Reply};
use chrono::{DateTime, Utc};
use coordinator::client::{ClientConfig, CoordinatorClient};
use coordinator::config::CoordinatorConfig;
use coordinator::tls::{Identity, Pins};
use party_agent::api::types::{CoordinatorStatus, Status};
use party_agent::config::AgentConfig;
use party_agent::policy::Policy;
use party_agent::source::Source;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the coordinator may take to answer.
const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// Less free space than this is a problem: the ledger and results have to fit.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// A certificate that ends sooner than this should be renewed.
const CERTIFICATE_DAYS_MIN: u64 = 30;
/// No machine that runs this program has an earlier date.
const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(date) => date,
    None => unreachable!(),
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    what_to_do: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            found: found.into(),
            what_to_do: None,
        }
    }

    fn problem(
        name: &'static str,
        found: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            name,
            ok: false,
            found: found.into(),
            what_to_do: Some(what_to_do.into()),
        }
    }
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
}

pub(crate) async fn run(argument: &ConfigArg) -> Outcome<Reply> {
    let mut checks = vec![clock(), processor(), socket_buffers()];
    match ConfigFile::locate(argument) {
        Ok(file) => match file.owner {
            Owner::Agent => agent(&file, &mut checks).await,
            Owner::Coordinator => coordinator(&file.path, &mut checks),
        },
        Err(failure) => checks.push(config_problem(failure)),
    }
    let report = Report {
        healthy: checks.iter().all(|check| check.ok),
        checks,
    };
    let exit = if report.healthy {
        Exit::Ok
    } else {
        Exit::Runtime
    };
    Ok(Reply::new(&report, text(&report.checks)).with_exit(exit))
}

fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let verdict = if check.ok { "ok     " } else { "PROBLEM" };
        out += &format!("{verdict}  {:<12} {}\n", check.name, check.found);
        if let Some(what_to_do) = &check.what_to_do {
            out += &format!("                      to do: {what_to_do}\n");
        }
    }
    match checks.iter().filter(|check| !check.ok).count() {
        0 => out + "All is well.\n",
        n => out + &format!("{n} of {} need attention.\n", checks.len()),
    }
}

fn clock() -> Check {
    let now = Utc::now();
    let found = format!("{} UTC", now.format("%Y-%m-%d %H:%M:%S"));
    if now < EARLIEST {
        return Check::problem(
            "clock",
            found,
            "set the clock: contracts and certificates expire by it (timedatectl set-ntp true)",
        );
    }
    Check::ok(
        "clock",
        format!("{found}; partners' clocks should agree within 5 minutes"),
    )
}

/// What the kernels use where it is there; without it they are slower, not wrong.
#[cfg(target_arch = "x86_64")]
fn processor() -> Check {
    let has = |name: &str, present: bool| {
        if present {
            name.to_owned()
        } else {
            format!("no {name}")
        }
    };
    let aes = std::is_x86_feature_detected!("aes");
    let list = [
        has("AES-NI", aes),
        has("AVX2", std::is_x86_feature_detected!("avx2")),
        has("AVX-512", std::is_x86_feature_detected!("avx512f")),
        has("VAES", std::is_x86_feature_detected!("vaes")),
    ];
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = format!("{threads} threads; {}", list.join(", "));
    if aes {
        Check::ok("processor", found)
    } else {
        Check::problem(
            "processor",
            found,
            "it works, slowly; on a virtual machine pass the host's processor through",
        )
    }
}

/// What the kernels use where it is there; without it they are slower, not wrong.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Check::ok(
        "processor",
        format!("{threads} threads, {}", std::env::consts::ARCH),
    )
}

/// The system's bound on what a socket may ask for. A small one costs speed on fast links with delay.
fn socket_buffers() -> Check {
    const WANTED_BYTES: u64 = 4 << 20;
    let limit = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    match (limit("rmem_max"), limit("wmem_max")) {
        (Some(receive), Some(send)) => {
            let found = format!(
                "UDP buffers up to {} / {}",
                crate::table::bytes(receive),
                crate::table::bytes(send)
            );
            if receive.min(send) >= WANTED_BYTES {
                Check::ok("sockets", found)
            } else {
                let slower = format!(
                    "{found}; enough for most links (sysctl net.core.rmem_max={WANTED_BYTES} net.core.wmem_max={WANTED_BYTES} helps fast ones)"
                );
                Check::ok("sockets", slower)
            }
        }
        _ => Check::ok("sockets", "UDP buffers: this system does not say"),
    }
}

fn config_problem(failure: Failure) -> Check {
    let mut found = failure.what;
    for fault in &failure.faults {
        found += &format!("; line {}: {}", fault.line.unwrap_or(1), fault.what);
    }
    if let Some(place) = failure.place {
        found += &format!(" ({place})");
    }
    Check::problem(
        "config",
        found,
        failure
            .advice
            .unwrap_or_else(|| "correct the file".to_owned()),
    )
}

async fn agent(file: &ConfigFile, checks: &mut Vec<Check>) {
    let config = match AgentConfig::load(&file.path) {
        Ok(config) => config,
        Err(error) => {
            checks.push(Check::problem(
                "config",
                error.to_string(),
                "correct the file, or `entente keys trust` if a key is missing",
            ));
            return;
        }
    };
    checks.push(Check::ok(
        "config",
        format!("agent {} ({})", config.name, file.path.display()),
    ));
    let identity = key(&config.identity, checks);
    checks.push(pins(&config.trusted));
    checks.push(match Policy::load(&config.policy) {
        Ok(_) => Check::ok("policy", config.policy.display().to_string()),
        Err(error) => Check::problem(
            "policy",
            error.to_string(),
            "correct it; until then nothing is allowed",
        ),
    });
    checks.push(disk(&config.state));
    for dataset in &config.datasets {
        checks.push(
            match Source::empty().add(&dataset.name, &dataset.spec).await {
                Ok(()) => Check::ok(
                    "data",
                    format!("{}.{} can be read", config.name, dataset.name),
                ),
                Err(error) => Check::problem(
                    "data",
                    error.to_string(),
                    "until then jobs over this table fail",
                ),
            },
        );
    }
    if let Some(identity) = identity {
        checks.push(reach(file, &config, identity).await);
    }
}

fn coordinator(path: &Path, checks: &mut Vec<Check>) {
    match CoordinatorConfig::load(path) {
        Ok(config) => {
            checks.push(Check::ok(
                "config",
                format!(
                    "coordinator {} ({})",
                    config.identity.name(),
                    path.display()
                ),
            ));
            checks.push(certificate(&config.identity));
            checks.push(match config.members.load() {
                Ok(members) if members.is_empty() => Check::problem(
                    "members",
                    "none",
                    "entente keys trust NAME SHA256:… for each member",
                ),
                Ok(members) => Check::ok(
                    "members",
                    members
                        .iter()
                        .map(|pin| pin.name.to_string())
                        .collect::<Vec<_>>()
                        .join(", "),
                ),
                Err(error) => Check::problem("members", error.to_string(), "correct the file"),
            });
            checks.push(disk(&config.state_dir));
        }
        Err(error) => checks.push(Check::problem(
            "config",
            error.to_string(),
            "correct the file",
        )),
    }
}

fn key(directory: &Path, checks: &mut Vec<Check>) -> Option<Identity> {
    match Identity::load(directory) {
        Ok(identity) => {
            checks.push(certificate(&identity));
            Some(identity)
        }
        Err(error) => {
            checks.push(Check::problem(
                "key",
                error.to_string(),
                "the key must be there, readable by this user alone",
            ));
            None
        }
    }
}

fn certificate(identity: &Identity) -> Check {
    let now = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
    let days = identity.not_after().saturating_sub(now) / 86_400;
    let found = format!(
        "{}, only this user can read it, certificate valid for {days} days",
        identity.fingerprint()
    );
    if days < CERTIFICATE_DAYS_MIN {
        return Check::problem(
            "key",
            found,
            "start the agent or coordinator again: it renews the certificate; the key stays, so partners need do nothing",
        );
    }
    Check::ok("key", found)
}

fn pins(path: &Path) -> Check {
    match Pins::load(path) {
        Ok(pins) if pins.is_empty() => Check::problem(
            "partners",
            "nobody is trusted",
            "entente keys trust NAME SHA256:… for each partner",
        ),
        Ok(pins) => Check::ok(
            "partners",
            pins.iter()
                .map(|pin| pin.name.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Err(error) => Check::problem("partners", error.to_string(), "correct the file"),
    }
}

/// Free space where the directory is, or will be.
fn disk(directory: &Path) -> Check {
    let existing = directory
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!(
                "{} free for {}",
                crate::table::bytes(free),
                directory.display()
            );
            if free < FREE_BYTES_MIN {
                Check::problem(
                    "disk",
                    found,
                    "make room: a result that cannot be written fails its job",
                )
            } else {
                Check::ok("disk", found)
            }
        }
        Err(error) => Check::problem(
            "disk",
            format!("{}: {error}", existing.display()),
            "check the path and its permissions",
        ),
    }
}

/// Whether the coordinator is reached. An agent that runs is asked: a second connection under its name would
/// take the place of its own. Otherwise this dials as the agent would.
async fn reach(file: &ConfigFile, config: &AgentConfig, identity: Identity) -> Check {
    let place = format!(
        "{} at {}",
        config.coordinator.name, config.coordinator.address
    );
    let (found, why, round_trip_ms) = match status(file).await {
        Some(status) => (status.connected, status.why, status.round_trip_ms),
        None => dial(config, identity).await,
    };
    if found {
        let away = round_trip_ms.map_or_else(String::new, |ms| format!(", {ms:.1} ms away"));
        return Check::ok("coordinator", format!("{place} answers over UDP{away}"));
    }
    Check::problem(
        "coordinator",
        format!("{place}: {}", why.unwrap_or_else(|| "no answer".to_owned())),
        "does it run, does the firewall let UDP out to that port, and does it trust this agent (there: entente keys trust)?",
    )
}

async fn status(file: &ConfigFile) -> Option<CoordinatorStatus> {
    let status: Status = file.client().ok()?.get("/v1/status").await.ok()?;
    Some(status.coordinator)
}

async fn dial(config: &AgentConfig, identity: Identity) -> (bool, Option<String>, Option<f64>) {
    let expected = config.coordinator.pin();
    let client = ClientConfig::new(Arc::new(identity), &config.coordinator.address, expected);
    let (client, events) = CoordinatorClient::connect(client);
    let up = client.wait_up(DIAL_LIMIT).await;
    let round_trip_ms = client.round_trip().map(|time| time.as_secs_f64() * 1e3);
    client.close();
    events.closed().await;
    (
        up.is_ok(),
        up.err().map(|error| error.to_string()),
        round_trip_ms,
    )
}
