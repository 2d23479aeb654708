//! Who has approved jobs that need several persons.

use coordinator::contract::{JobId, PersonalApproval, Signed};
use sqlx::Row;

use super::log::Event;
use super::{Ledger, LedgerError, jobs};

/// A person who approves on behalf of this party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name that the acceptance tells.
    pub name: String,
    /// What the person has signed, where the policy lists persons with keys.
    pub signed: Option<Signed<PersonalApproval>>,
}

impl Person {
    /// A name that was given at the command line.
    #[must_use]
    pub fn unsigned(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            signed: None,
        }
    }
}

impl Ledger {
    /// Notes that a person approves a job of which more than one has to. Returns all who have, the first one first; `None` if
    /// this one has before.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn note_approval(
        &self,
        job_id: JobId,
        person: &Person,
        now: u64,
    ) -> Result<Option<Vec<Person>>, LedgerError> {
        let corrupt = |_| LedgerError::Corrupt { what: "approval" };
        let signed = person.signed.as_ref().map(serde_json::to_string);
        let signed = signed.transpose().map_err(corrupt)?;
        let mut writing = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO approvals (job_id, person, signed, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&job_id.0[..])
        .bind(&person.name)
        .bind(signed)
        .bind(jobs::seconds(now))
        .execute(&mut *writing.tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(None);
        }
        let rows =
            sqlx::query("SELECT person, signed FROM approvals WHERE job_id = ? ORDER BY rowid")
                .bind(&job_id.0[..])
                .fetch_all(&mut *writing.tx)
                .await?;
        let mut persons = Vec::with_capacity(rows.len());
        for row in rows {
            let signed: Option<String> = row.try_get("signed")?;
            let signed = signed.as_deref().map(serde_json::from_str).transpose();
            persons.push(Person {
                name: row.try_get("person")?,
                signed: signed.map_err(corrupt)?,
            });
        }
        writing.note(now, Event::Approval { job_id })?;
        writing.commit().await?;
        Ok(Some(persons))
    }
}
