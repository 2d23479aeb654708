//! How much protection a column needs: general data in four levels, important and core data.

use serde::{Deserialize, Serialize};

/// The classes, the least protected first (GB/T 43697: general, of which four levels; important; core).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Public.
    L1,
    /// Of an organisation.
    L2,
    /// Tells who somebody is: an id, a telephone number.
    L3,
    /// Sensitive about a person: a diagnosis, an account, a place.
    L4,
    /// Important data.
    #[serde(rename = "important")]
    Important,
    /// Core data.
    #[serde(rename = "core")]
    Core,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::Important,
        Self::Core,
    ];

    /// The word for it in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L4 => "L4",
            Self::Important => "important",
            Self::Core => "core",
        }
    }

    /// The class of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}
