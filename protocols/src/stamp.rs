//! When a message was sent: in rounds, and in the time of a simulated network.

/// What every message says about its place in time.
///
/// `depth` is the causal depth: one more than the depth of the deepest message that its sender had
/// received on this path. A session's rounds are the greatest depth it has seen, so rounds are
/// measured and not counted by convention. `time_ns` is virtual time; it stays 0 on real networks.
///
/// Both numbers come from the peer. They are used for measuring and for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of this message in its longest chain of cause and effect, from 1.
    pub depth: u32,
    /// Virtual time in nanoseconds: of sending when it is sent, of arrival when it is received.
    pub time_ns: u64,
}

impl Stamp {
    /// The stamp of a message that is sent now.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            depth: self.depth.saturating_add(1),
            time_ns: self.time_ns,
        }
    }

    /// Moves this clock forward to a message that arrived, or to a sub-protocol that ended.
    pub fn raise(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.time_ns = self.time_ns.max(other.time_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_never_goes_back() {
        let mut clock = Stamp {
            depth: 3,
            time_ns: 50,
        };
        clock.raise(Stamp {
            depth: 2,
            time_ns: 70,
        });
        assert_eq!(
            clock,
            Stamp {
                depth: 3,
                time_ns: 70
            }
        );
        assert_eq!(
            clock.next(),
            Stamp {
                depth: 4,
                time_ns: 70
            }
        );
    }

    #[test]
    fn a_peer_cannot_make_the_depth_overflow() {
        let mut clock = Stamp::default();
        clock.raise(Stamp {
            depth: u32::MAX,
            time_ns: 0,
        });
        assert_eq!(clock.next().depth, u32::MAX);
    }
}
