//! The gate before a run's first message: the run is spent on disk before anything of the computation leaves.

use std::sync::{Arc, OnceLock};

use coordinator::clock::Clock;
use coordinator::contract::JobId;
use protocols::error::LinkError;
use protocols::net::{BoxFuture, Frame, LinkHalves, Network, Outlet};
use protocols::party::Seat;
use protocols::path::PathId;
use tokio::sync::OnceCell;

use crate::agent::milestones::{Milestone, Milestones};
use crate::ledger::{Ledger, LedgerError};

/// Passed once in a run, by the first message at whichever link.
pub(crate) struct Gate {
    pub(crate) job_id: JobId,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) milestones: Milestones,
    passed: OnceCell<()>,
    sent: OnceCell<()>,
    failure: OnceLock<LedgerError>,
}

impl Gate {
    pub(crate) fn new(
        job_id: JobId,
        ledger: &Ledger,
        clock: &Arc<dyn Clock>,
        milestones: &Milestones,
    ) -> Self {
        Self {
            job_id,
            ledger: ledger.clone(),
            clock: Arc::clone(clock),
            milestones: milestones.clone(),
            passed: OnceCell::new(),
            sent: OnceCell::new(),
            failure: OnceLock::new(),
        }
    }

    /// Why it did not open, if it did not.
    pub(super) fn failure(&self) -> Option<&LedgerError> {
        self.failure.get()
    }

    async fn pass(&self) -> Result<(), LinkError> {
        let spend = || async {
            let spent = self.ledger.spend(self.job_id, self.clock.now_unix_s());
            spent.await.map_err(|error| {
                // The first one counts.
                let _ = self.failure.set(error);
                LinkError::Ended
            })
        };
        self.passed.get_or_try_init(spend).await.copied()
    }

    async fn sent(&self) {
        let tell = || self.milestones.reach(self.job_id, Milestone::Sent);
        self.sent.get_or_init(tell).await;
    }
}

/// A network whose outlets stand behind a gate.
pub(super) struct Gated<N> {
    pub(super) inner: N,
    pub(super) gate: Arc<Gate>,
}

impl<N: Network> Network for Gated<N> {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move {
            let (outlet, inlet) = self.inner.open(peer, path).await?;
            let gate = Arc::clone(&self.gate);
            Ok((Box::new(GatedOutlet { outlet, gate }) as _, inlet))
        })
    }
}

struct GatedOutlet {
    outlet: Box<dyn Outlet>,
    gate: Arc<Gate>,
}

impl Outlet for GatedOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(async move {
            self.gate.pass().await?;
            self.outlet.send(frame).await?;
            self.gate.sent().await;
            Ok(())
        })
    }
}
