//! The gate before a run's links: the run is spent on disk before anything of the computation leaves, and nothing leaves that
//! the procedure's manifest does not list.

use std::sync::{Arc, OnceLock};

use coordinator::clock::Clock;
use coordinator::contract::JobId;
use protocols::error::LinkError;
use protocols::net::{BoxFuture, Frame, LinkHalves, Network, Outlet};
use protocols::party::Seat;
use protocols::path::PathId;
use tokio::sync::OnceCell;

use crate::agent::milestones::{Milestone, Milestones};
use crate::ledger::Ledger;
use crate::manifest::Manifest;

/// Passed once in a run, by the first message at whichever link.
pub(crate) struct Gate {
    pub(crate) job_id: JobId,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) milestones: Milestones,
    pub(crate) manifest: &'static Manifest,
    passed: OnceCell<()>,
    sent: OnceCell<()>,
    failure: OnceLock<String>,
}

impl Gate {
    pub(crate) fn new(
        (job_id, manifest): (JobId, &'static Manifest),
        ledger: &Ledger,
        clock: &Arc<dyn Clock>,
        milestones: &Milestones,
    ) -> Self {
        Self {
            job_id,
            ledger: ledger.clone(),
            clock: Arc::clone(clock),
            milestones: milestones.clone(),
            manifest,
            passed: OnceCell::new(),
            sent: OnceCell::new(),
            failure: OnceLock::new(),
        }
    }

    /// Why it did not open, if it did not.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Whether the manifest lists what is to be sent.
    fn admit(&self, frame: &Frame) -> Result<(), LinkError> {
        if self.manifest.sends(frame.kind) {
            return Ok(());
        }
        let what = format!(
            "a message of kind {} was about to be sent, which the manifest {} does not list",
            frame.kind, self.manifest.id
        );
        let _ = self.failure.set(what);
        Err(LinkError::Ended)
    }

    async fn pass(&self) -> Result<(), LinkError> {
        let spend = || async {
            let spent = self.ledger.spend(self.job_id, self.clock.now_unix_s());
            spent.await.map_err(|error| {
                // The first one counts.
                let _ = self.failure.set(error.to_string());
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
            let gated = GatedOutlet { peer, outlet, gate };
            Ok((Box::new(gated) as _, inlet))
        })
    }
}

struct GatedOutlet {
    peer: Seat,
    outlet: Box<dyn Outlet>,
    gate: Arc<Gate>,
}

impl Outlet for GatedOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(async move {
            self.gate.admit(&frame)?;
            self.gate.pass().await?;
            self.gate
                .milestones
                .sends(self.gate.job_id, self.peer, &frame);
            self.outlet.send(frame).await?;
            self.gate.sent().await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use coordinator::clock::SystemClock;
    use protocols::stamp::Stamp;
    use protocols::wire::Kind;

    /// Counts what gets through.
    struct Counting(Arc<std::sync::atomic::AtomicUsize>);

    impl Outlet for Counting {
        fn send<'a>(&'a mut self, _frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn nothing_leaves_that_the_manifest_does_not_list_or_that_the_ledger_has_not_spent() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await;
        let ledger = ledger.expect("a ledger");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let train = Manifest::all().iter().find(|m| m.id == "entente:train");
        let train = train.expect("a manifest");
        for (kind, fault) in [
            (Kind::Elements, "does not list"),
            // Listed, but nothing was reserved for the job.
            (Kind::Masked, "was ended here"),
        ] {
            let gate = Gate::new(
                (JobId([7; 16]), train),
                &ledger,
                &clock,
                &Milestones::default(),
            );
            let (gate, through) = (Arc::new(gate), Arc::default());
            let mut outlet = GatedOutlet {
                peer: Seat(1),
                outlet: Box::new(Counting(Arc::clone(&through))),
                gate: Arc::clone(&gate),
            };
            let frame = Frame {
                stamp: Stamp::default(),
                kind: kind as u16,
                body: Bytes::new(),
            };
            assert_eq!(outlet.send(frame).await, Err(LinkError::Ended));
            assert_eq!(through.load(std::sync::atomic::Ordering::SeqCst), 0);
            assert!(
                gate.failure().is_some_and(|f| f.contains(fault)),
                "{:?}",
                gate.failure()
            );
        }
    }
}
