//! Every secret of a session is derived here.
//!
//! A derived seed is bound to the session, the path, the two seats and the direction, the purpose,
//! and how often this purpose was asked for before on this path. So no two derivations of one
//! session give the same seed, a peer's message cannot be played back to it in another role, and a
//! repeated job has nothing in common with its first run.

use super::{Session, SessionConfig};
use crate::compute::Compute;
use crate::net::Network;
use crate::party::Seat;
use engine::hash;
use engine::prg::Seed;
use std::sync::Arc;

impl Session {
    /// A fresh seed that only this seat knows.
    pub fn own_seed(&mut self, purpose: &'static str) -> Seed {
        let seat = self.seat();
        let occurrence = self.next_occurrence(Some((seat, seat)), purpose);
        let root = &self.shared.own_seed;
        self.derive(
            "entente/v1/session/own",
            root,
            (seat, seat),
            purpose,
            occurrence,
        )
    }

    /// A fresh seed that this seat shares with one other. `from` and `to` are the two, in the
    /// direction in which the derived values count: both seats name the same direction, and the
    /// opposite one gives an independent seed.
    ///
    /// # Panics
    ///
    /// If this seat is not exactly one of the two.
    pub fn pair_seed(&mut self, from: Seat, to: Seat, purpose: &'static str) -> Seed {
        assert_ne!(from, to, "a pair of seats");
        let me = self.seat();
        assert!(from == me || to == me, "this seat is one of the pair");
        let other = if from == me { to } else { from };
        let occurrence = self.next_occurrence(Some((from, to)), purpose);
        let root = self.shared.pair_seeds[other.index()].as_ref();
        let root = root.expect("a session has a pair seed for every other seat");
        self.derive(
            "entente/v1/session/pair",
            root,
            (from, to),
            purpose,
            occurrence,
        )
    }

    /// How often all seats have done something on this path before; the same number at each.
    pub(crate) fn next_public(&mut self, what: &'static str) -> u64 {
        self.next_occurrence(None, what)
    }

    fn next_occurrence(&mut self, seats: Option<(Seat, Seat)>, name: &'static str) -> u64 {
        let count = self.occurrences.entry((seats, name)).or_default();
        *count += 1;
        *count - 1
    }

    fn derive(
        &self,
        context: &'static str,
        root: &Seed,
        (from, to): (Seat, Seat),
        purpose: &str,
        occurrence: u64,
    ) -> Seed {
        let fields = [
            &self.shared.session_id[..],
            self.path.as_bytes(),
            &[from.0, to.0],
            purpose.as_bytes(),
            &occurrence.to_le_bytes(),
        ];
        root.derive(context, &fields)
    }
}

/// Configurations for all seats of a session in one process, every key made from one seed.
///
/// For tests, benches and examples. It is insecure because whoever knows the seed knows every
/// share; agents make their own seeds and take pair seeds from their TLS connections.
pub fn insecure_configs(
    seed: &Seed,
    networks: Vec<impl Network + 'static>,
    has_dealer: bool,
    compute: Compute,
) -> Vec<SessionConfig> {
    let n_seats = networks.len();
    let secret = |purpose: &[u8], a: Seat, b: Seat| {
        let seats = [a.min(b).0, a.max(b).0];
        seed.derive("entente/v1/session/insecure", &[purpose, &seats])
    };
    let config = |(seat, network)| SessionConfig {
        network: Arc::new(network),
        seat,
        n_seats,
        has_dealer,
        session_id: hash::digest("entente/v1/session/insecure/id", &[seed.as_bytes()]),
        own_seed: secret(b"own", seat, seat),
        pair_seeds: Seat::first(n_seats)
            .map(|other| (other != seat).then(|| secret(b"pair", seat, other)))
            .collect(),
        compute,
    };
    Seat::first(n_seats).zip(networks).map(config).collect()
}
