//! A whole collaboration on this machine: one coordinator and one agent for each party, as separate processes
//! of this same binary, with keys, pins, catalogues and connections as in earnest. `simulate` and `demo` use it.

mod parties;
mod report;
mod world;

pub(crate) use parties::{PartyDir, parse_parties};
pub(crate) use report::{Finished, NetworkReport, PartyReport, Report};
pub(crate) use world::Agents;

use crate::outcome::{Exit, Failure, Outcome};
use crate::process::{interrupted, terminated};
use std::time::Duration;
use world::World;

/// Starts the parties' processes, does `work` with their agents, and takes everything down again: when the
/// work succeeds or fails, when a process dies, when the time is up, and on Ctrl-C.
pub(crate) async fn with_agents<T>(
    parties: &[PartyDir],
    relay: bool,
    limit: Duration,
    work: impl AsyncFnOnce(&Agents) -> Outcome<T>,
) -> Outcome<T> {
    let run = async {
        let mut world = World::start(parties, relay).await?;
        let outcome = world.work(work).await;
        world.stop().await;
        outcome
    };
    // What is dropped here on the way out kills its process and removes its files.
    tokio::select! {
        outcome = run => outcome,
        failure = broken_off(limit) => Err(failure),
    }
}

/// Why a rehearsal is broken off from outside.
async fn broken_off(limit: Duration) -> Failure {
    let stopped = "all its processes were stopped, nothing was kept";
    tokio::select! {
        () = interrupted() => Failure::runtime("interrupted", format!("interrupted; {stopped}")),
        () = terminated() => Failure::runtime("interrupted", format!("asked to end; {stopped}")),
        () = tokio::time::sleep(limit) => {
            Failure::new(Exit::PeerLost, "timeout", format!("not finished within {} s; {stopped}", limit.as_secs()))
                .advice("allow more time with --timeout")
        }
    }
}
