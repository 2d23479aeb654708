//! What can be found in the catalogues that this agent knows, and what this holder's own commitments are.

use super::Core;
use crate::api::Problem;
use crate::api::types::{Committed, Listed};
use crate::catalogue::Commitment;

impl Core {
    /// The published tables that answer to all of these words, this party's own and those of the parties that are trusted here.
    pub(crate) async fn find(&self, words: &str) -> Result<Vec<Listed>, Problem> {
        let pins = self
            .pins()
            .map_err(|e| Problem::runtime("trusted", e.to_string()))?;
        let mut found = Vec::new();
        for (party, (catalogue, known)) in self.known_catalogues(&pins).await? {
            let noted = self.ledger.catalogue(&party).await?;
            let version = noted.map_or(0, |(version, _)| version);
            for (table, entry) in known.tables {
                if entry.answers_to(&format!("{party}.{table}"), words) {
                    found.push(Listed {
                        party: party.clone(),
                        table,
                        version,
                        catalogue,
                        entry,
                    });
                }
            }
        }
        Ok(found)
    }

    /// What opens the commitment to one of this party's own tables.
    pub(crate) async fn committed(&self, table: &str) -> Result<Committed, Problem> {
        let own = self.catalogues.current();
        let missing = || {
            let what = format!("this party has no commitment to a table {table}");
            Problem::missing("no_commitment", what)
                .advice("there are commitments to published tables in files; see `entente catalogue search`")
        };
        let entry = own.catalogue.tables.get(table).ok_or_else(missing)?;
        let commitment = self.catalogues.commitment(&own.source, table).await;
        let opened: Option<Commitment> = commitment.map_err(|e| {
            Problem::runtime("source", e.to_string())
                .advice("put the file back as it was, or start the agent again")
        })?;
        let opened = opened.ok_or_else(missing)?;
        Ok(Committed {
            table: table.to_owned(),
            commitment: entry.commitment.ok_or_else(missing)?,
            salt: opened.salt,
            content: opened.content,
        })
    }
}
