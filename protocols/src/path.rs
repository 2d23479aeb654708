//! Where in a computation a message belongs.
//!
//! A session starts at the root. A sub-protocol runs on a child path: its parent's path, a label,
//! and how often this parent has used the label before. Every seat runs the same program, so every
//! seat arrives at the same path by itself; nothing about it is negotiated.

use engine::hash;
use std::fmt;

/// A place in the tree of sub-protocols of one session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path([u8; 32]);

/// A path as a number, the same at all seats; it names the link of a pair of seats on this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u64);

impl Path {
    /// The path that a session starts on.
    pub fn root() -> Self {
        Self(hash::digest("entente/v1/session/path", &[]))
    }

    /// The path of the sub-protocol `label`, started for the `occurrence`-th time from here.
    ///
    /// The parent, the label and the number are separate fields of one BLAKE3 hash, so two paths
    /// are equal only if they were reached by the same steps.
    #[must_use]
    pub fn child(&self, label: &str, occurrence: u32) -> Self {
        let fields = [&self.0[..], label.as_bytes(), &occurrence.to_le_bytes()];
        Self(hash::digest("entente/v1/session/path", &fields))
    }

    /// The short form that a network uses.
    pub fn id(&self) -> PathId {
        let (head, _) = self.0.split_first_chunk().expect("32 bytes have a first 8");
        PathId(u64::from_le_bytes(*head))
    }

    /// The path as a field of a key derivation.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn different_steps_lead_to_different_paths() {
        let root = Path::root();
        let paths = [
            root,
            root.child("ab", 0),
            root.child("ab", 1),
            root.child("a", 0),
            root.child("a", 0).child("b", 0),
            root.child("b", 0).child("a", 0),
            root.child("", 0),
            root.child("", 0).child("", 0),
        ];
        let ids: BTreeSet<PathId> = paths.iter().map(Path::id).collect();
        assert_eq!(ids.len(), paths.len());
    }

    #[test]
    fn a_path_is_a_function_of_its_steps() {
        let once = Path::root().child("compare", 3).child("carry", 0);
        let again = Path::root().child("compare", 3).child("carry", 0);
        assert_eq!(once.id(), again.id());
    }

    /// Agents of one version must agree on path identifiers with agents of another.
    #[test]
    fn path_identifiers_are_pinned() {
        let ids = [Path::root(), Path::root().child("compare", 0)].map(|p| p.id().to_string());
        assert_eq!(ids, ["33b4213f4e3bbdd5", "57c1f7365d118d04"]);
    }
}
