//! Numbered documents that may not go back: catalogues and negative lists; and reviews, which are seen once.

use coordinator::contract::{Digest, PartyName};

use super::jobs::{fixed, number, seconds};
use super::log::Event;
use super::{Ledger, LedgerError};

impl Ledger {
    /// The version and digest of the newest catalogue of a party that was seen here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn catalogue(&self, party: &PartyName) -> Result<Option<(u64, Digest)>, LedgerError> {
        self.newest(party.as_str()).await
    }

    /// Notes a party's catalogue. False if an equal or newer version with another content was seen before: then
    /// somebody is showing an old one.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn note_catalogue(
        &self,
        party: &PartyName,
        version: u64,
        digest: &Digest,
        now: u64,
    ) -> Result<bool, LedgerError> {
        let event = Event::Catalogue {
            party: party.clone(),
            version,
            digest: *digest,
        };
        self.note_version(party.as_str(), (version, digest), event, now)
            .await
    }

    /// Notes a negative list in the same way.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn note_negative_list(
        &self,
        issuer: &PartyName,
        version: u64,
        digest: &Digest,
        now: u64,
    ) -> Result<bool, LedgerError> {
        let event = Event::NegativeList {
            issuer: issuer.clone(),
            version,
            digest: *digest,
        };
        // No name of a party has a slash.
        let key = format!("negative-list/{issuer}");
        self.note_version(&key, (version, digest), event, now).await
    }

    /// Notes a reviewer's signature on a manifest, the first time that it is seen here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn note_review(
        &self,
        manifest: &Digest,
        review: &Digest,
        now: u64,
    ) -> Result<(), LedgerError> {
        let event = Event::Reviewed {
            manifest: *manifest,
            review: *review,
        };
        let key = format!("review/{review}");
        self.note_version(&key, (1, review), event, now).await?;
        Ok(())
    }

    async fn newest(&self, key: &str) -> Result<Option<(u64, Digest)>, LedgerError> {
        let row = sqlx::query("SELECT version, digest FROM catalogues WHERE party = ?")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some((
            number(&row, "version")?,
            Digest(fixed(&row, "digest")?),
        )))
    }

    async fn note_version(
        &self,
        key: &str,
        (version, digest): (u64, &Digest),
        event: Event,
        now: u64,
    ) -> Result<bool, LedgerError> {
        if let Some((seen, seen_digest)) = self.newest(key).await?
            && seen >= version
        {
            return Ok(seen == version && seen_digest == *digest);
        }
        let mut writing = self.write().await?;
        sqlx::query(
            "INSERT INTO catalogues (party, version, digest) VALUES (?, ?, ?) \
             ON CONFLICT (party) DO UPDATE SET version = excluded.version, digest = excluded.digest",
        )
        .bind(key)
        .bind(seconds(version))
        .bind(&digest.0[..])
        .execute(&mut *writing.tx)
        .await?;
        writing.note(now, event)?;
        writing.commit().await?;
        Ok(true)
    }
}
