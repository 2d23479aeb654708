//! Party names as JSON text.

use protocols::party::PartyId;
use serde::Serializer;

/// One party.
pub(crate) mod one {
    use super::{PartyId, Serializer};

    pub(crate) fn serialize<S: Serializer>(party: &PartyId, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(party.as_str())
    }
}

/// A list of parties.
pub(crate) mod list {
    use super::{PartyId, Serializer};

    pub(crate) fn serialize<S: Serializer>(parties: &[PartyId], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(parties.iter().map(PartyId::as_str))
    }
}

/// A party or none.
pub(crate) mod option {
    use super::{PartyId, Serializer};
    use serde::Serialize;

    pub(crate) fn serialize<S: Serializer>(
        party: &Option<PartyId>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        party.as_ref().map(PartyId::as_str).serialize(out)
    }
}

/// A map by party.
pub(crate) mod map {
    use super::{PartyId, Serializer};
    use serde::Serialize;
    use std::collections::BTreeMap;

    pub(crate) fn serialize<S: Serializer, V: Serialize>(
        map: &BTreeMap<PartyId, V>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_map(map.iter().map(|(party, value)| (party.as_str(), value)))
    }
}
