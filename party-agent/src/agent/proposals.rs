//! From a proposal to this party's signed answer.

use std::collections::BTreeMap;

use coordinator::client::ClientError;
use coordinator::contract::{Contract, JobId, PartyName, PersonalApproval, Rejection, Signed};
use coordinator::job::FailureClass;
use coordinator::logsafe::safe;
use coordinator::tls::{Fingerprint, Pins};
use tokio::task::block_in_place;
use tracing::{info, warn};

use super::catalogues::{self, PeerCatalogueError};
use super::{Core, Mode, random};
use crate::api::Problem;
use crate::approve::{self, Approver, Desk, Earlier, Refusal, Verified, Vetted};
use crate::execute::{Failure, exit};
use crate::ledger::{self, JobState, LedgerError, Person, RunCounts, Seen};
use crate::plan::Plan;
use crate::policy::negative::NegativeList;
use crate::policy::{Facts, Policy, PolicyError};
use crate::spec;

/// Who submitted, if the request does not say.
const UNNAMED: &str = "(not named)";

/// All that others hear of a policy that refuses.
const TOLD_OF_POLICY: &str =
    "this party's policy does not allow the job; its people see which rule";

/// What others hear of a ledger that cannot be written.
const UNWRITABLE: &str =
    "this party's agent cannot write its log at the moment, so it agrees to nothing";

/// Why a proposal was not vetted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VetError {
    /// For good: this party does not agree.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The policy file cannot be used, so nothing is allowed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It may be tried again.
    #[error("{0}")]
    Later(String),
}

impl From<PeerCatalogueError> for VetError {
    fn from(error: PeerCatalogueError) -> Self {
        match error {
            PeerCatalogueError::Refused(refusal) => Self::Refused(refusal),
            PeerCatalogueError::Client(e) => Self::Later(e.to_string()),
            PeerCatalogueError::Ledger(e) => Self::Later(e.to_string()),
        }
    }
}

impl From<VetError> for Problem {
    fn from(error: VetError) -> Self {
        match error {
            VetError::Refused(refusal) => refusal.into(),
            VetError::Policy(policy) => policy.into(),
            VetError::Later(what) => {
                Self::runtime("not_now", what).advice("try again when the coordinator answers")
            }
        }
    }
}

impl Core {
    fn pins_or_later(&self) -> Result<Pins, VetError> {
        self.pins().map_err(|e| VetError::Later(e.to_string()))
    }

    fn desk<'a>(
        &'a self,
        pins: &'a Pins,
        policy: &'a Policy,
        catalogues: &'a Verified,
        (runs, forbidden): (&'a RunCounts, Option<&'a NegativeList>),
    ) -> Desk<'a> {
        Desk {
            identity: &self.identity,
            pins,
            policy,
            catalogues,
            facts: Facts {
                now: self.now(),
                runs,
                forbidden,
            },
        }
    }

    /// The catalogues of these parties, each verified; this party's own from its own table.
    async fn verified<'a>(
        &self,
        parties: impl Iterator<Item = &'a PartyName>,
        pins: &Pins,
    ) -> Result<Verified, PeerCatalogueError> {
        let mut found = Verified::new();
        for party in parties {
            let entry = if party == self.name() {
                let own = self.catalogues.current();
                (own.digest(), own.catalogue.clone())
            } else {
                catalogues::of_peer(self.name(), party, pins, &self.client, &self.ledger).await?
            };
            found.insert(party.clone(), entry);
        }
        Ok(found)
    }

    /// The catalogues of all pinned parties that have published one. A party whose catalogue is no good is left out.
    pub(crate) async fn known_catalogues(&self, pins: &Pins) -> Result<Verified, ClientError> {
        let mut found = Verified::new();
        let own = self.catalogues.current();
        found.insert(self.name().clone(), (own.digest(), own.catalogue.clone()));
        for pin in pins.iter().filter(|pin| pin.name != *self.name()) {
            let found_at =
                catalogues::of_peer(self.name(), &pin.name, pins, &self.client, &self.ledger);
            match found_at.await {
                Ok(entry) => {
                    found.insert(pin.name.clone(), entry);
                }
                Err(PeerCatalogueError::Client(error @ ClientError::Unanswered { .. })) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Whoever relies on a review leaves a trace of it in the log.
    async fn note_reviews(&self, policy: &Policy) -> Result<(), LedgerError> {
        for (manifest, review) in policy.reviews() {
            self.ledger
                .note_review(manifest, review, self.now())
                .await?;
        }
        Ok(())
    }

    /// Vets a contract with what this agent knows now.
    pub(crate) async fn vet(&self, signed: &Signed<Contract>) -> Result<Vetted, VetError> {
        let pins = self.pins_or_later()?;
        let policy = self.policy()?;
        let nothing = Verified::new();
        let runs = self.ledger.run_counts().await;
        let runs = runs.map_err(|e| VetError::Later(e.to_string()))?;
        let forbidden = self.negative_list().await?;
        let noted = self.note_reviews(&policy).await;
        noted.map_err(|e| VetError::Later(e.to_string()))?;
        let known = (&runs, forbidden.as_ref());
        let contract = approve::open(signed, &self.desk(&pins, &policy, &nothing, known))?;
        self.check_alarms(&contract, &pins).await?;
        if let Some(earlier) = contract.supersedes {
            self.superseded(earlier, &contract.proposer).await?;
        }
        self.check_resumed(&contract).await?;
        // A party that changes over takes part with the key that its proposer has seen in use.
        let pins = pins.as_used(|name| contract.party(name).map(|party| party.fingerprint));
        let catalogues = self.verified(contract.catalogues.keys(), &pins).await?;
        let desk = self.desk(&pins, &policy, &catalogues, known);
        Ok(block_in_place(|| approve::vet(signed, &desk))?)
    }

    /// Compiles a job file as a proposer: the plan, and the catalogues that it needs.
    pub(crate) async fn compile(&self, text: &str) -> Result<(Plan, Verified), Problem> {
        let checked = spec::check(text).map_err(|faults| Problem::spec(&faults))?;
        let pins = self.pins_or_later()?;
        let known = self.known_catalogues(&pins).await?;
        let compiled = block_in_place(|| approve::compile(&checked, &known));
        let (plan, holders) = compiled.map_err(|faults| Problem::plan(&faults))?;
        let stranger = plan
            .parties()
            .map(approve::party_name)
            .find(|name| name != self.name() && pins.find(name).is_none());
        match stranger {
            Some(party) => Err(Refusal::UnknownParty { party }.into()),
            None => Ok((plan, holders)),
        }
    }

    /// Proposes a job, which is this party's approval too.
    pub(crate) async fn submit(
        &self,
        text: &str,
        by: Option<&str>,
        earlier: Earlier,
    ) -> Result<JobId, Problem> {
        if let Some(halt) = self.ledger.halted().await? {
            return Err(Problem::halted(&halt));
        }
        if let Earlier::Superseded(earlier) = earlier {
            let known = self.superseded(earlier, self.name()).await?;
            known.ok_or(LedgerError::UnknownJob { job_id: earlier })?;
        }
        let (plan, catalogues) = self.compile(text).await?;
        if let Earlier::Resumed(earlier) = earlier {
            self.can_resume(earlier, &plan).await?;
        }
        let present = self.client.directory().await?;
        let used = |name: &PartyName| present.iter().find(|p| p.name == *name);
        let used = |name: &PartyName| used(name).map(|present| present.fingerprint);
        let pins = self.pins_or_later()?.as_used(used);
        let policy = self.policy()?;
        self.note_reviews(&policy).await?;
        let runs = self.ledger.run_counts().await?;
        let forbidden = self.negative_list().await?;
        let known = (&runs, forbidden.as_ref());
        let job_id = random::job_id().map_err(|e| Problem::runtime("randomness", e.to_string()))?;
        let (signed, vetted) = {
            self.check_alarms_of(plan.parties().map(approve::party_name), &pins)
                .await?;
            let desk = self.desk(&pins, &policy, &catalogues, known);
            let contract = approve::contract((job_id, earlier), text, &plan, &desk)?;
            if !contract.parties.iter().any(|p| p.name == *self.name()) {
                return Err(
                    Problem::usage("not_a_party", "this party has no part in the job")
                        .advice("submit it at a party that holds a table or receives the result"),
                );
            }
            let signed = Signed::sign(&contract, &self.identity).map_err(Refusal::Signature)?;
            let vetted = block_in_place(|| approve::vet(&signed, &desk))?;
            (signed, vetted)
        };
        // Where persons approve by their keys, whoever submits has not approved yet.
        let is_signed_for = self.mode == Mode::Production && !policy.persons().is_empty();
        let person = unsigned(&vetted, by);
        let person = (!is_signed_for).then_some(person).transpose()?;
        self.ledger
            .propose(vetted.contract(), &signed, self.now())
            .await?;
        if let Err(error) = self.client.propose(signed).await {
            // Should it have arrived all the same, this party will answer that the job has ended here.
            let ending = Failure::here(
                FailureClass::Internal,
                format!("the coordinator did not take the job: {error}"),
                "submit the job again",
            );
            let ending = ending.entry();
            self.ledger
                .end(job_id, JobState::Failed, &ending, self.now())
                .await?;
            return Err(error.into());
        }
        info!(job = %safe(&job_id), "job proposed");
        let Some(person) = person else {
            return Ok(job_id);
        };
        match self.agree(&vetted, person).await {
            // A standing rule, or the rehearsal, was faster.
            Ok(_) | Err(AcceptError::Ledger(LedgerError::WrongState { .. })) => Ok(job_id),
            Err(error) => Err(error.into()),
        }
    }

    /// A person of this party approves a job that waits. Returns how many more have to.
    pub(crate) async fn approve(
        &self,
        job_id: JobId,
        by: Option<&str>,
        signed: Option<&Signed<PersonalApproval>>,
    ) -> Result<usize, Problem> {
        let vetted = self.waiting(job_id).await?;
        let persons = self.policy()?.persons().clone();
        if !persons.is_empty() {
            let person = vetted.approved_by(self.name(), &persons, signed);
            let person = person.map_err(|fault| Problem::usage("not_signed", fault.to_string()))?;
            return Ok(self.agree(&vetted, person).await?);
        }
        if signed.is_some() {
            let what = "the policy lists no persons with keys, so a signature proves nothing here";
            return Err(Problem::usage("not_listed", what));
        }
        let person = unsigned(&vetted, by)?;
        Ok(self.agree(&vetted, person).await?)
    }

    /// What a person has to sign to approve a job that waits.
    pub(crate) async fn approval(
        &self,
        job_id: JobId,
        person: PartyName,
    ) -> Result<PersonalApproval, Problem> {
        Ok(self.waiting(job_id).await?.personal(self.name(), person))
    }

    /// A job that waits for a person, vetted anew.
    async fn waiting(&self, job_id: JobId) -> Result<Vetted, Problem> {
        let record = self.ledger.job(job_id).await?;
        if record.state != JobState::Waiting {
            return Err(LedgerError::WrongState {
                job_id,
                found: record.state,
                needed: JobState::Waiting,
            }
            .into());
        }
        Ok(self.vet(&self.ledger.contract(job_id).await?).await?)
    }

    /// One person's approval. Accepts when enough have approved; returns how many more have to.
    async fn agree(&self, vetted: &Vetted, person: Person) -> Result<usize, AcceptError> {
        if vetted.persons() <= 1 {
            self.accept(vetted, &Approver::Persons(vec![person]))
                .await?;
            return Ok(0);
        }
        let job_id = vetted.contract().job_id;
        let noted = self.ledger.note_approval(job_id, &person, self.now());
        let persons = noted.await?;
        let person = person.name;
        let persons = persons.ok_or(AcceptError::Again { person })?;
        let missing = vetted.persons().saturating_sub(persons.len());
        if missing == 0 {
            self.accept(vetted, &Approver::Persons(persons)).await?;
        } else {
            info!(job = %safe(&job_id), missing, "more persons have to approve");
        }
        Ok(missing)
    }

    /// A person of this party rejects a job that waits.
    pub(crate) async fn reject_by_person(
        &self,
        job_id: JobId,
        reason: &str,
    ) -> Result<(), Problem> {
        let record = self.ledger.job(job_id).await?;
        if record.state != JobState::Waiting {
            return Err(LedgerError::WrongState {
                job_id,
                found: record.state,
                needed: JobState::Waiting,
            }
            .into());
        }
        self.reject(job_id, "person", reason).await?;
        Ok(())
    }

    /// Looks at a proposal that the coordinator has sent, perhaps not for the first time.
    pub(super) async fn proposed(&self, signed: &Signed<Contract>) {
        let Ok(_place) = self.vetting.acquire().await else {
            return;
        };
        // By its own account, to know which job to answer about: nothing else is done with it before it is vetted.
        let Ok(claimed) = signed.verify(&Fingerprint::of(&signed.public_key())) else {
            warn!("the coordinator sent a proposal that is not validly signed by anybody");
            return;
        };
        let job_id = claimed.job_id;
        let seen = match self.ledger.propose(&claimed, signed, self.now()).await {
            Ok(seen) => seen,
            Err(error @ LedgerError::Conflict { .. }) => {
                warn!(job = %safe(&job_id), code = error.code(), "proposal ignored");
                return;
            }
            // Nothing can be agreed to that cannot be written down, and the others need not wait.
            Err(error @ LedgerError::Database(_)) => {
                warn!(job = %safe(&job_id), code = error.code(), "proposal refused");
                return self.send_rejection(job_id, "ledger", UNWRITABLE).await;
            }
            Err(error) => {
                warn!(job = %safe(&job_id), code = error.code(), "proposal not dealt with");
                return;
            }
        };
        match seen {
            Seen::New | Seen::Before(JobState::Waiting) => self.consider(job_id, signed).await,
            Seen::Before(JobState::Accepted) => self.repeat_acceptance(job_id).await,
            Seen::Before(JobState::Running) => {}
            Seen::Before(state) => {
                let reason = format!("this job is {} here; it is not run again", state.as_str());
                self.send_rejection(job_id, "replayed", &reason).await;
            }
        }
    }

    async fn consider(&self, job_id: JobId, signed: &Signed<Contract>) {
        let vetted = match self.vet(signed).await {
            Ok(vetted) => vetted,
            Err(VetError::Refused(refusal)) => {
                info!(job = %safe(&job_id), code = refusal.code(), "job refused");
                let rejected = self.refuse(job_id, &refusal).await;
                return log_failure(job_id, rejected);
            }
            Err(VetError::Policy(_)) => {
                let reason = "this party's policy file cannot be used at the moment";
                return log_failure(job_id, self.reject(job_id, "policy", reason).await);
            }
            // It stays as it is, and is looked at again when the coordinator repeats it.
            Err(VetError::Later(_)) => {
                return warn!(job = %safe(&job_id), code = "later", "job not vetted yet");
            }
        };
        let approver = match self.approver(&vetted).await {
            Ok(Some(approver)) => approver,
            Ok(None) => return info!(job = %safe(&job_id), "a job waits for approval"),
            Err(error) => {
                return warn!(job = %safe(&job_id), code = error.code(), "job not approved");
            }
        };
        match self.accept(&vetted, &approver).await {
            Ok(()) | Err(AcceptError::Ledger(LedgerError::WrongState { .. })) => {}
            Err(error) => warn!(job = %safe(&job_id), code = error.code(), "job not accepted"),
        }
    }

    /// Who approves without being asked, if anybody.
    async fn approver(&self, vetted: &Vetted) -> Result<Option<Approver>, LedgerError> {
        if self.mode == Mode::Rehearsal {
            return Ok(Some(Approver::Rehearsal));
        }
        let Ok(policy) = self.policy() else {
            return Ok(None);
        };
        let mut used = BTreeMap::new();
        for rule in policy.standing_rules() {
            used.insert(rule.id(), self.ledger.runs(&rule.id()).await?);
        }
        // A rule stands for one person, and cannot be two.
        if vetted.persons() > 1 {
            return Ok(None);
        }
        let rule = vetted.standing_rule(&policy, |rule| {
            used.get(&rule.id()).copied().unwrap_or(u64::MAX)
        });
        Ok(rule.map(|rule| Approver::Rule(rule.clone())))
    }

    /// Signs, puts the acceptance on disk, and sends it.
    async fn accept(&self, vetted: &Vetted, approver: &Approver) -> Result<(), AcceptError> {
        let job_id = vetted.contract().job_id;
        let seen = self.seen(vetted.contract()).await?;
        let desk = (&*self.identity, self.now());
        let (acceptance, signed) = vetted.accept(approver, random::nonce()?, seen, desk)?;
        self.keep_documents(vetted).await?;
        self.supersede(vetted.contract()).await?;
        let rule = match approver {
            Approver::Rule(rule) => Some((rule.id(), rule.max_runs)),
            Approver::Persons(_) | Approver::Rehearsal => None,
        };
        let rule = rule.as_ref().map(|(id, max_runs)| (id.as_str(), *max_runs));
        self.ledger
            .accept(&acceptance, &signed, rule, self.now())
            .await?;
        info!(job = %safe(&job_id), "job accepted");
        match self.client.accept(signed).await {
            Ok(_) => Ok(()),
            // It is on disk, and is sent again when the coordinator asks again.
            Err(ClientError::Unanswered { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn repeat_acceptance(&self, job_id: JobId) {
        match self.ledger.acceptance(job_id).await {
            Ok(Some(signed)) => {
                if self.client.accept(signed).await.is_err() {
                    warn!(job = %safe(&job_id), "acceptance not delivered");
                }
            }
            Ok(None) => {
                warn!(job = %safe(&job_id), "an accepted job has no acceptance in the ledger")
            }
            Err(error) => warn!(job = %safe(&job_id), code = error.code(), "acceptance not read"),
        }
    }

    async fn refuse(&self, job_id: JobId, refusal: &Refusal) -> Result<(), LedgerError> {
        let (code, what) = (refusal.code(), refusal.to_string());
        // Which rule it was is nobody else's business, unless one person rehearses all parties.
        let told = match (refusal, self.mode) {
            (Refusal::Policy(_), Mode::Production) => TOLD_OF_POLICY.to_owned(),
            _ => what.clone(),
        };
        self.reject_with(job_id, code, &what, &told).await
    }

    async fn reject(&self, job_id: JobId, code: &str, reason: &str) -> Result<(), LedgerError> {
        self.reject_with(job_id, code, reason, reason).await
    }

    /// Ends a job here with `reason`, and tells the others `told`.
    async fn reject_with(
        &self,
        job_id: JobId,
        code: &str,
        reason: &str,
        told: &str,
    ) -> Result<(), LedgerError> {
        let ending = ledger::Ending {
            exit: if code == approve::POLICY {
                exit::POLICY
            } else {
                exit::REJECTED
            },
            class: code.to_owned(),
            culprit: Some(self.name().clone()),
            what: reason.to_owned(),
            what_to_do: "tell the proposer what this party needs to agree".to_owned(),
        };
        if self
            .ledger
            .end(job_id, JobState::Rejected, &ending, self.now())
            .await?
        {
            self.send_rejection(job_id, code, told).await;
        }
        Ok(())
    }

    async fn send_rejection(&self, job_id: JobId, code: &str, reason: &str) {
        let mut reason = reason.to_owned();
        reason.truncate(reason.floor_char_boundary(4096));
        let rejection = Rejection {
            job_id,
            party: self.name().clone(),
            code: code.to_owned(),
            reason,
        };
        match Signed::sign(&rejection, &self.identity) {
            Ok(signed) => {
                if self.client.reject(signed).await.is_err() {
                    warn!(job = %safe(&job_id), "rejection not delivered");
                }
            }
            Err(_) => warn!(job = %safe(&job_id), "rejection not signed"),
        }
    }
}

fn log_failure(job_id: JobId, result: Result<(), LedgerError>) {
    if let Err(error) = result {
        warn!(job = %safe(&job_id), code = error.code(), "the ledger failed");
    }
}

/// Who approves by a name alone. Where several persons have to, they are told apart by their names.
fn unsigned(vetted: &Vetted, by: Option<&str>) -> Result<Person, Problem> {
    if vetted.persons() > 1 && by.is_none() {
        let what = "two persons have to approve this job, so each has to be named";
        return Err(Problem::usage("not_named", what).advice("add --as PERSON"));
    }
    Ok(Person::unsigned(by.unwrap_or(UNNAMED)))
}

/// Why an acceptance was not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Randomness(#[from] random::NoRandomness),
    #[error("{person} has approved already, and this job needs different persons")]
    Again { person: String },
}

impl AcceptError {
    /// A short word for logs.
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Ledger(error) => error.code(),
            Self::Client(_) => "coordinator",
            Self::Randomness(_) => "randomness",
            Self::Again { .. } => "same_person",
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Refused(e) => e.into(),
            AcceptError::Ledger(e) => e.into(),
            AcceptError::Client(e) => e.into(),
            AcceptError::Randomness(e) => Self::runtime("randomness", e.to_string()),
            error @ AcceptError::Again { .. } => Self::conflict("same_person", error.to_string())
                .advice("ask somebody else: entente job approve ID --as PERSON"),
        }
    }
}
