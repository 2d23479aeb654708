//! Somebody who holds runs at a point.

use std::sync::Arc;

use coordinator::contract::JobId;
use party_agent::agent::milestones::{Milestone, Milestones, Watcher};
use protocols::net::BoxFuture;
use tokio::sync::watch;

use crate::world::within;

/// Holds every run that reaches one milestone until it is let go.
#[derive(Clone)]
pub(crate) struct Hold {
    at: Milestone,
    held: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Hold {
    pub(crate) fn at(at: Milestone) -> Self {
        Self {
            at,
            held: Arc::default(),
            open: Arc::default(),
        }
    }

    pub(crate) fn milestones(&self) -> Milestones {
        Milestones::watched_by(Arc::new(self.clone()))
    }

    /// Waits until so many runs are held.
    pub(crate) async fn holds(&self, n: usize) {
        let mut held = self.held.subscribe();
        let reached = held.wait_for(|h| *h >= n);
        within("runs reach the milestone", reached)
            .await
            .expect("the sender is here");
    }

    pub(crate) fn let_go(&self) {
        self.open.send_replace(true);
    }
}

impl Watcher for Hold {
    fn reached<'a>(&'a self, _job: JobId, milestone: Milestone) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if milestone == self.at {
                self.held.send_modify(|n| *n += 1);
                let mut open = self.open.subscribe();
                let _ = open.wait_for(|open| *open).await;
            }
        })
    }
}
