//! Tables that only some parties see. What is published to all names salted digests of their descriptions, filled up with digests of nothing,
//! so that it tells neither that there is such a table nor how many there are.

use std::collections::BTreeSet;

use coordinator::contract::{CatalogueDoc, Digest, Directed, MAX_DIRECTED, PartyName};
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, TableEntry};

const SALT: &[u8] = b"entente/v1/catalogue/directed-salt\0";
const NOTHING: &[u8] = b"entente/v1/catalogue/directed-nothing\0";

/// Digests are published in such numbers, whatever there is to be seen by some.
const SLOTS: usize = 16;

/// The body of a description.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    entry: TableEntry,
    name: String,
}

impl TableEntry {
    /// Whether a party other than its holder sees the table.
    #[must_use]
    pub fn is_for(&self, party: &str) -> bool {
        let named = |names: &BTreeSet<PartyName>| names.iter().any(|name| name.as_str() == party);
        self.visible_to.as_ref().is_none_or(named)
    }
}

impl Catalogue {
    /// What is signed for all, and the descriptions for some. The same catalogue and secret give the same; with another word of
    /// either, all digests are others, so that two versions do not tell which of them stand for something.
    #[must_use]
    pub fn document(
        &self,
        party: &PartyName,
        version: u64,
        secret: &[u8; 32],
    ) -> (CatalogueDoc, Vec<Directed>) {
        let whole = Digest::of(self.to_json().as_bytes());
        let salted = |context: &[u8], place: usize| {
            let place = (place as u64).to_le_bytes();
            Digest::of(&[context, secret, &whole.0, &place].concat())
        };
        let is_for_some = |entry: &&TableEntry| entry.visible_to.is_some();
        let mut for_all = self.clone();
        for_all.tables.retain(|_, entry| entry.visible_to.is_none());
        let some = self.tables.iter().filter(|(_, e)| is_for_some(e));
        let described = some.enumerate().map(|(place, (name, entry))| {
            let mut entry = entry.clone();
            let visible_to = entry.visible_to.take().unwrap_or_default();
            let description = Description {
                entry,
                name: name.clone(),
            };
            Directed {
                body: serde_json::to_string(&description)
                    .expect("a table has string keys and no floats"),
                salt: salted(SALT, place),
                visible_to: visible_to.into_iter().collect(),
            }
        });
        let directed: Vec<Directed> = described.collect();
        let slots = directed.len().max(1).next_multiple_of(SLOTS);
        let nothing = (directed.len()..slots).map(|place| salted(NOTHING, place));
        let mut digests: Vec<Digest> = directed.iter().map(Directed::digest).collect();
        digests.extend(nothing);
        digests.sort_unstable();
        let document = CatalogueDoc {
            party: party.clone(),
            version,
            body: for_all.to_json(),
            directed: digests,
        };
        (document, directed)
    }

    /// Adds the tables that this party is shown besides. Their digests have been compared with those that their holder signed.
    ///
    /// # Errors
    /// [`CatalogueError`] for a description that no holder writes, and for a table that is there already.
    pub fn add(&mut self, directed: &[Directed]) -> Result<(), CatalogueError> {
        for one in directed {
            let malformed = |e: serde_json::Error| CatalogueError::Malformed {
                line: e.line(),
                column: e.column(),
            };
            let mut read: Description = serde_json::from_str(&one.body).map_err(malformed)?;
            let written = serde_json::to_string(&read);
            if read.entry.visible_to.is_some() || written.ok().as_ref() != Some(&one.body) {
                return Err(CatalogueError::NotCanonical);
            }
            read.entry.visible_to = Some(one.visible_to.iter().cloned().collect());
            if self.tables.contains_key(&read.name) {
                return Err(CatalogueError::Twice);
            }
            self.tables.insert(read.name, read.entry);
        }
        self.check()
    }

    /// The tables that all of these parties see: all that there is, for a job among them.
    #[must_use]
    pub fn among<'a>(&self, parties: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut seen = self.clone();
        seen.tables.retain(|_, entry| {
            let mut others = parties.clone().filter(|p| *p != self.party.as_str());
            others.all(|party| entry.is_for(party))
        });
        seen
    }
}

const _: () = assert!(super::MAX_TABLES <= MAX_DIRECTED && MAX_DIRECTED.is_multiple_of(SLOTS));
