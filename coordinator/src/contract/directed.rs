//! Descriptions that only some parties are shown. The signed catalogue holds a salted digest of each among others that stand for
//! nothing, so that it says neither what is described nor how much of it there is, and yet binds its party to every word.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{CatalogueDoc, Digest, PartyName, Signed, StatementError, canonical, ensure};

const CONTEXT: &[u8] = b"entente/v1/contract/directed\0";

/// The most descriptions, and digests of such, that go with a catalogue.
pub const MAX_DIRECTED: usize = 256;

/// Most bytes of all descriptions that go with a catalogue: together with the catalogue they fit a message.
pub const MAX_DIRECTED_BYTES: usize = (2 << 20) - (128 << 10);

/// The most parties that a description is for.
const MAX_AUDIENCE: usize = 1024;

/// One description, and for whom it is. The body belongs to the agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directed {
    /// JSON, as the agents define it.
    pub body: String,
    /// Keeps those who have only the digest from trying guesses.
    pub salt: Digest,
    /// Who is shown it besides its party, sorted by name.
    pub visible_to: Vec<PartyName>,
}

impl Directed {
    /// SHA-256 of a context and the canonical bytes: what the signed catalogue names.
    ///
    /// # Panics
    /// Never: names, digests and texts have a canonical form.
    pub fn digest(&self) -> Digest {
        let body = canonical::encode(self).expect("it holds texts alone, under ASCII keys");
        Digest::of(&[CONTEXT, &body].concat())
    }
}

/// A signed catalogue with the descriptions that its reader may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What all members are shown.
    pub catalogue: Signed<CatalogueDoc>,
    /// What some are shown besides.
    pub directed: Vec<Directed>,
}

impl Published {
    /// Whether these descriptions belong to the catalogue, which the caller has verified: each is one that its party has signed for, no two
    /// are the same, and together they fit a message.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check(&self, catalogue: &CatalogueDoc) -> Result<(), StatementError> {
        let directed = &self.directed;
        let digests: BTreeSet<Digest> = directed.iter().map(Directed::digest).collect();
        ensure(
            digests.len() == directed.len(),
            "a description stands twice beside a catalogue",
        )?;
        ensure(
            digests.iter().all(|d| catalogue.directed.contains(d)),
            "a description beside a catalogue is not one that its party has signed for",
        )?;
        let names = directed.iter().map(|d| &d.visible_to);
        ensure(
            names
                .clone()
                .all(|names| names.len() <= MAX_AUDIENCE && names.is_sorted_by(|a, b| a < b)),
            "whom a description is for is sorted by name, at most 1024 parties, each named once",
        )?;
        let n_names: usize = names.map(Vec::len).sum();
        let n_bytes: usize = directed.iter().map(|d| d.body.len()).sum();
        ensure(
            n_bytes + n_names * (PartyName::MAX_LEN + 8) <= MAX_DIRECTED_BYTES,
            "the descriptions beside a catalogue are too long for a message",
        )
    }

    /// What of it a member is shown.
    #[must_use]
    pub fn shown_to(mut self, party: &PartyName, reader: &PartyName) -> Self {
        self.directed
            .retain(|d| party == reader || d.visible_to.contains(reader));
        self
    }
}

impl From<Signed<CatalogueDoc>> for Published {
    fn from(catalogue: Signed<CatalogueDoc>) -> Self {
        Self {
            catalogue,
            directed: Vec::new(),
        }
    }
}
