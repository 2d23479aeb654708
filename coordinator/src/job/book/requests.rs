//! What parties ask of the book. Every request may be repeated: the second time finds the work done and changes nothing.

use std::collections::BTreeMap;

use super::{Book, CLOCK_SKEW_S, LIST_MAX, Open, Point, storage};
use crate::contract::{
    Acceptance, Contract, JobId, PartyName, Published, Rejection, SignError, Signed,
};
use crate::control::{Answer, Call, CallError, CatalogueId, DirectoryEntry, Event, JobCount};
use crate::job::state::{Event as Fact, Job};
use crate::job::{JobState, JobView, Outcome};
use crate::journal::{Evidence, JobRecord};
use crate::logsafe::safe;
use crate::registry::Listed;
use crate::tls::Fingerprint;

impl Book {
    pub(super) async fn answer(
        &mut self,
        party: &PartyName,
        call: Call,
    ) -> Result<Answer, CallError> {
        match call {
            Call::PublishCatalogue(published) => self.publish(party, published).await,
            Call::Directory => Ok(Answer::Directory(self.directory())),
            Call::Catalogue { party: of } => {
                let published = self.journal.catalogue(&of).await.map_err(storage)?;
                // Whoever may not see a description is told nothing of it.
                let shown = published.map(|published| published.shown_to(&of, party));
                Ok(Answer::Catalogue(shown))
            }
            Call::Propose(signed) => self.propose(party, signed).await,
            Call::Accept(signed) => self.accept(party, signed).await,
            Call::Reject(signed) => self.reject(party, signed).await,
            Call::Report { job_id, outcome } => self.report(party, job_id, outcome).await,
            Call::Witness { job_id, seen } => self.witness(party, job_id, seen).await,
            Call::Cancel { job_id } => {
                self.record_of(party, &job_id).await?;
                self.apply(
                    &job_id,
                    Fact::Cancelled { by: party.clone() },
                    Evidence::Observed,
                )
                .await?;
                self.state_of(party, &job_id).await
            }
            Call::Jobs => {
                let jobs = self
                    .journal
                    .jobs_of(party, LIST_MAX, false)
                    .await
                    .map_err(storage)?;
                Ok(Answer::Jobs(jobs.iter().map(JobRecord::summary).collect()))
            }
            Call::JobStatus { job_id } => {
                let record = self.record_of(party, &job_id).await?;
                Ok(Answer::Job(Box::new(JobView {
                    contract: record.signed,
                    state: record.state,
                    acceptances: record.acceptances.into_values().collect(),
                    rejection: record.rejection,
                    outcomes: record.outcomes,
                    witnesses: record.witnesses,
                })))
            }
            Call::Addresses { job_id } => {
                let record = self.record_of(party, &job_id).await?;
                Ok(Answer::Addresses(self.addresses(&record)))
            }
        }
    }

    fn directory(&self) -> Vec<DirectoryEntry> {
        let entry = |listed: Listed| DirectoryEntry {
            fingerprint: listed.fingerprint,
            online: listed.online,
            reachable_at: listed.reachable_at,
            catalogue: self.catalogues.get(&listed.name).copied(),
            last_seen: self.last_seen.get(&listed.name).copied(),
            name: listed.name,
        };
        self.registry.list().into_iter().map(entry).collect()
    }

    async fn publish(
        &mut self,
        party: &PartyName,
        published: Published,
    ) -> Result<Answer, CallError> {
        let catalogue = published.catalogue.verify(&self.key_of(party)?)?;
        if catalogue.party != *party {
            return Err(CallError::NotYours);
        }
        published.check(&catalogue).map_err(SignError::from)?;
        let id = CatalogueId {
            version: catalogue.version,
            digest: published.catalogue.digest(),
        };
        match self.catalogues.get(party).copied() {
            // The same words under a new key are published anew: the old one ends. So are descriptions that were not here.
            Some(present) if present == id && self.is_kept(party, &published).await? => {
                return Ok(Answer::Done);
            }
            Some(present) if present == id => {}
            Some(present) if present.version >= id.version => {
                return Err(CallError::StaleCatalogue {
                    published: present.version,
                });
            }
            _ => {}
        }
        self.journal
            .publish(&catalogue, &published)
            .await
            .map_err(storage)?;
        self.catalogues.insert(party.clone(), id);
        Ok(Answer::Done)
    }

    /// Whether the catalogue that is kept is signed with the same key, and these descriptions are there.
    async fn is_kept(
        &mut self,
        party: &PartyName,
        published: &Published,
    ) -> Result<bool, CallError> {
        let kept = self.journal.catalogue(party).await.map_err(storage)?;
        Ok(kept.is_some_and(|kept| {
            let mut directed = published.directed.iter();
            kept.catalogue.public_key() == published.catalogue.public_key()
                && directed.all(|d| kept.directed.contains(d))
        }))
    }

    async fn propose(
        &mut self,
        party: &PartyName,
        signed: Signed<Contract>,
    ) -> Result<Answer, CallError> {
        let contract = signed.verify(&self.key_of(party)?)?;
        if contract.proposer != *party {
            return Err(CallError::NotYours);
        }
        let job_id = contract.job_id;
        // A proposal that is repeated, by accident or by a replay, finds its job and changes nothing.
        let known = match self.open.get(&job_id) {
            Some(open) => Some(open.record.clone()),
            None => self.journal.job(&job_id).await.map_err(storage)?,
        };
        if let Some(known) = known {
            let same = known.signed.digest() == signed.digest();
            return if same {
                Ok(Answer::State(known.state))
            } else {
                Err(CallError::JobIdTaken)
            };
        }
        let now = self.clock.now_unix_s();
        if now > contract.not_after || contract.created > now + CLOCK_SKEW_S {
            return Err(CallError::OutOfTime);
        }
        for p in &contract.parties {
            if !self.registry.holds(&p.name, &p.fingerprint) {
                return Err(CallError::NotAMember {
                    party: p.name.clone(),
                });
            }
        }
        self.check_quota(party, now).await?;
        self.probe.at(Point::BeforeSave, &JobState::Proposed);
        self.journal
            .propose(&contract, &signed, now)
            .await
            .map_err(storage)?;
        self.probe.at(Point::AfterSave, &JobState::Proposed);
        tracing::info!(job = %safe(&job_id), proposer = %safe(party), parties = contract.parties.len(), "job proposed");
        let record = JobRecord {
            signed: signed.clone(),
            state: JobState::Proposed,
            acceptances: BTreeMap::new(),
            rejection: None,
            outcomes: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            contract,
        };
        self.open.insert(
            job_id,
            Open {
                job: Job::new(&record.contract),
                record,
            },
        );
        self.tell_all(&job_id, &Event::JobProposed(signed));
        self.probe.at(Point::AfterEffects, &JobState::Proposed);
        Ok(Answer::State(JobState::Proposed))
    }

    async fn check_quota(&mut self, party: &PartyName, now: u64) -> Result<(), CallError> {
        let n_open = self
            .open
            .values()
            .filter(|open| open.record.contract.proposer == *party)
            .count();
        if n_open >= self.limits.open_jobs_per_member as usize {
            let limit = self.limits.open_jobs_per_member;
            return Err(CallError::TooManyJobs {
                limit,
                what: JobCount::Open,
            });
        }
        let since = now.saturating_sub(86_400);
        if self
            .journal
            .n_proposed_since(party, since)
            .await
            .map_err(storage)?
            >= self.limits.jobs_per_member_per_day
        {
            let limit = self.limits.jobs_per_member_per_day;
            return Err(CallError::TooManyJobs {
                limit,
                what: JobCount::PerDay,
            });
        }
        Ok(())
    }

    async fn accept(
        &mut self,
        party: &PartyName,
        signed: Signed<Acceptance>,
    ) -> Result<Answer, CallError> {
        let acceptance = signed.verify(&self.key_of(party)?)?;
        if acceptance.party != *party {
            return Err(CallError::NotYours);
        }
        let record = self.record_of(party, &acceptance.job_id).await?;
        if acceptance.contract != record.signed.digest() || acceptance.plan != record.contract.plan
        {
            return Err(CallError::OtherContract);
        }
        let fact = Fact::Accepted { by: party.clone() };
        self.apply(
            &acceptance.job_id,
            fact,
            Evidence::Acceptance(party.clone(), signed),
        )
        .await?;
        self.state_of(party, &acceptance.job_id).await
    }

    async fn reject(
        &mut self,
        party: &PartyName,
        signed: Signed<Rejection>,
    ) -> Result<Answer, CallError> {
        let rejection = signed.verify(&self.key_of(party)?)?;
        if rejection.party != *party {
            return Err(CallError::NotYours);
        }
        self.record_of(party, &rejection.job_id).await?;
        let fact = Fact::Rejected { by: party.clone() };
        self.apply(&rejection.job_id, fact, Evidence::Rejection(signed))
            .await?;
        self.state_of(party, &rejection.job_id).await
    }

    async fn report(
        &mut self,
        party: &PartyName,
        job_id: JobId,
        outcome: Outcome,
    ) -> Result<Answer, CallError> {
        self.record_of(party, &job_id).await?;
        let by = party.clone();
        let fact = match &outcome {
            Outcome::Completed { receipt } if receipt.len() > Outcome::MAX_RECEIPT_BYTES => {
                return Err(CallError::TooLong);
            }
            Outcome::Completed { .. } => Fact::Completed { by },
            Outcome::Failed { class, culprit } => Fact::Failed {
                by,
                class: *class,
                culprit: culprit.clone(),
            },
        };
        self.apply(&job_id, fact, Evidence::Outcome(party.clone(), outcome))
            .await?;
        self.state_of(party, &job_id).await
    }

    /// Keeps what a party says about the others' logs. When all have said it, all are told once more how the job stands, and fetch it.
    async fn witness(
        &mut self,
        party: &PartyName,
        job_id: JobId,
        seen: String,
    ) -> Result<Answer, CallError> {
        let mut record = self.record_of(party, &job_id).await?;
        if seen.len() > Outcome::MAX_RECEIPT_BYTES {
            return Err(CallError::TooLong);
        }
        if record.state != JobState::Completed {
            return Err(CallError::NotCompleted);
        }
        let witnessed = self.journal.witness(&job_id, party, &seen).await;
        witnessed.map_err(storage)?;
        record.witnesses.insert(party.clone(), seen);
        let parties = record.contract.parties.iter().map(|p| &p.name);
        if parties
            .clone()
            .all(|name| record.witnesses.contains_key(name))
        {
            let state = record.state.clone();
            let event = Event::JobState { job_id, state };
            parties.for_each(|name| self.registry.send(name, &event));
        }
        Ok(Answer::Done)
    }

    /// The job, if this party takes part in it. To all others it does not exist.
    async fn record_of(
        &mut self,
        party: &PartyName,
        job_id: &JobId,
    ) -> Result<JobRecord, CallError> {
        let record = match self.open.get(job_id) {
            Some(open) => Some(open.record.clone()),
            None => self.journal.job(job_id).await.map_err(storage)?,
        };
        record
            .filter(|record| record.contract.party(party).is_some())
            .ok_or(CallError::UnknownJob)
    }

    async fn state_of(&mut self, party: &PartyName, job_id: &JobId) -> Result<Answer, CallError> {
        Ok(Answer::State(self.record_of(party, job_id).await?.state))
    }

    fn key_of(&self, party: &PartyName) -> Result<Fingerprint, CallError> {
        self.registry
            .fingerprint(party)
            .ok_or_else(|| CallError::NotAMember {
                party: party.clone(),
            })
    }
}
