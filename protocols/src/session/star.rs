//! Sub-protocols between one seat and several others at once.

use super::Session;
use super::concurrent::try_all;
use crate::error::ProtocolError;
use crate::net::BoxFuture;
use crate::party::Seat;

impl Session {
    /// Runs a sub-protocol between a hub and each of several other seats so that their rounds
    /// overlap, each on a child path of its own. `protocol` is called with the seat at the other end:
    /// once for every spoke at the hub, once at a spoke, and not at all elsewhere; but every seat
    /// calls this. Results come in the order of `spokes`. The first error ends all.
    ///
    /// Nothing may be opened to all seats in it: not all of them would have seen it.
    ///
    /// # Errors
    ///
    /// That of the sub-protocol that failed first.
    pub(crate) async fn star<T>(
        &mut self,
        label: &'static str,
        (hub, spokes): (Seat, &[Seat]),
        protocol: impl for<'a> Fn(&'a mut Self, Seat) -> BoxFuture<'a, Result<T, ProtocolError>>,
    ) -> Result<Vec<T>, ProtocolError> {
        let place = self.child(label);
        let me = self.seat();
        let ends = spokes.iter().filter(|spoke| me == hub || me == **spoke);
        let mut children: Vec<(Self, Seat)> = ends
            .map(|spoke| {
                let path = place.path.child("spoke", u32::from(spoke.0));
                let (shared, network) = (self.shared.clone(), self.network.clone());
                let child = Self::on_path(shared, network, path, self.clock, self.view);
                (child, if me == hub { *spoke } else { hub })
            })
            .collect();
        let operation = self.begin();
        let running = children.iter_mut();
        let outcome = try_all(running.map(|(child, other)| protocol(child, *other))).await;
        operation.done();
        for (child, _) in &children {
            self.clock.raise(child.clock);
        }
        self.ended_by(outcome)
    }
}
