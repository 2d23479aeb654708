//! What this agent has to show for a job, and what it makes of what the others show.

use std::time::Duration;

use coordinator::client::ClientError;
use coordinator::contract::{Acceptance, Contract, JobId, PartyName, Signed};
use coordinator::control::Start;
use coordinator::job::{FailureClass, JobView, Outcome as Report};
use coordinator::log::{Checkpoint, SignedCheckpoint};
use coordinator::logsafe::safe;
use coordinator::tls::{Fingerprint, Pin, Pins};
use tokio::time::timeout;
use tracing::{error, warn};

use super::Core;
use super::milestones::Milestone;
use super::proposals::VetError;
use crate::api::Problem;
use crate::api::types::{PageDocument, PreviousPage};
use crate::approve::{Refusal, Vetted};
use crate::evidence::{self, Dossier, Exported, Fault, Output, Seat, Witness};
use crate::execute::Failure;
use crate::ledger::log::AlarmKind;
use crate::ledger::{Alarm, Grown, JobState, LedgerError};
use crate::page::{self, Language};
use crate::receipt::ReceiptFile;

/// How long an export waits for what the other parties have to send.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kinds of texts that the ledger keeps about a job.
pub(super) const PLAN: &str = "plan";
pub(super) const PAGES: &str = "pages";
pub(super) const DOSSIER: &str = "dossier";
/// Says that what this agent witnessed of a job was told to the others.
const TOLD: &str = "witness_told";

/// The most checkpoints of one party in an acceptance.
const MAX_SEEN: usize = 2;

/// Why evidence is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A party's document does not hold.
    #[error("{party}: {fault}")]
    Fault { party: PartyName, fault: Fault },
    /// A party's log is not what it was. The alarm is in this agent's log.
    #[error("the log of {party} does not continue what was seen of it before ({})", kind.as_str())]
    Alarm { party: PartyName, kind: AlarmKind },
    /// A party has not sent its part yet.
    #[error("{party} has not sent its {what} yet")]
    Missing {
        party: PartyName,
        what: &'static str,
    },
    /// Something that this agent has kept cannot be read.
    #[error("the {what} that was kept of the job cannot be read")]
    Kept { what: &'static str },
}

impl GatherError {
    /// A short word for logs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Client(_) => "coordinator",
            Self::Fault { fault, .. } => fault.check.name(),
            Self::Alarm { kind, .. } => kind.as_str(),
            Self::Missing { what, .. } => what,
            Self::Kept { what } => what,
        }
    }
}

impl From<GatherError> for Problem {
    fn from(error: GatherError) -> Self {
        let what = error.to_string();
        let advice = match &error {
            GatherError::Ledger(_) | GatherError::Kept { .. } => "look at the disk of this agent",
            GatherError::Client(_) => "try again when the coordinator answers",
            GatherError::Fault { .. } => {
                "ask that party for an explanation: what it sent does not hold"
            }
            GatherError::Alarm { .. } => "ask that party whether it restored an older state",
            GatherError::Missing { .. } => "try again when that party's agent runs",
        };
        let exit = match &error {
            GatherError::Client(_) | GatherError::Missing { .. } => crate::execute::exit::PEER_LOST,
            _ => crate::execute::exit::RUNTIME,
        };
        let code = "evidence_incomplete";
        Self::new(exit, axum::http::StatusCode::CONFLICT, code, what).advice(advice)
    }
}

/// The checkpoints of one party's log that acceptances show.
fn shown_of<'a>(
    acceptances: &'a [Signed<Acceptance>],
    party: &'a PartyName,
) -> impl Iterator<Item = (Fingerprint, SignedCheckpoint)> + 'a {
    acceptances.iter().flat_map(move |signed| {
        let by = Fingerprint::of(&signed.public_key());
        let seen = signed.verify(&by).map(|a| a.seen).unwrap_or_default();
        let notes = seen
            .into_iter()
            .filter_map(|n| SignedCheckpoint::parse(&n).ok());
        notes
            .filter(move |note| note.claimed().party == *party)
            .map(move |note| (by, note))
    })
}

/// The sizes of one party's log that acceptances show.
pub(super) fn sizes_shown(start: &Start, party: &PartyName) -> Vec<u64> {
    let shown = shown_of(&start.acceptances, party);
    let mut sizes: Vec<u64> = shown.map(|(_, note)| note.claimed().size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

impl Core {
    /// Refuses a contract with a party whose log was found wrong, and any contract if it was this agent's own.
    pub(super) async fn check_alarms(
        &self,
        contract: &Contract,
        pins: &Pins,
    ) -> Result<(), VetError> {
        let names = contract.parties.iter().map(|p| p.name.clone());
        self.check_alarms_of(names, pins).await
    }

    /// The same before there is a contract. A new key does not make an old alarm go away.
    pub(super) async fn check_alarms_of(
        &self,
        parties: impl Iterator<Item = PartyName>,
        pins: &Pins,
    ) -> Result<(), VetError> {
        for key in self.identity.public_keys() {
            self.check_alarm(self.name(), &Fingerprint::of(&key))
                .await?;
        }
        for party in parties {
            for key in pins.find(&party).into_iter().flat_map(Pin::keys) {
                self.check_alarm(&party, key).await?;
            }
        }
        Ok(())
    }

    async fn check_alarm(&self, party: &PartyName, key: &Fingerprint) -> Result<(), VetError> {
        let alarm = self.ledger.alarmed(key).await;
        match alarm.map_err(|e| VetError::Later(e.to_string()))? {
            None => Ok(()),
            Some((kind, _)) => Err(VetError::Refused(Refusal::Log {
                party: party.clone(),
                kind,
                is_own: party == self.name(),
            })),
        }
    }

    /// What this agent has seen of the logs of a contract's other parties.
    pub(super) async fn seen(&self, contract: &Contract) -> Result<Vec<String>, LedgerError> {
        let mut notes = Vec::new();
        for party in contract.parties.iter().filter(|p| p.name != *self.name()) {
            let seen = self.ledger.seen(&party.name, &party.fingerprint).await?;
            notes.extend(seen.iter().take(MAX_SEEN).map(ToString::to_string));
        }
        Ok(notes)
    }

    /// Keeps what is about to be signed, so that it can be shown whatever catalogues become.
    pub(super) async fn keep_documents(&self, vetted: &Vetted) -> Result<(), LedgerError> {
        let plan = String::from_utf8(vetted.plan().canonical());
        let plan = plan.expect("canonical JSON is UTF-8");
        let pages = serde_json::to_string(&vetted.pages()).expect("a map of texts");
        let texts = [(PLAN, plan.as_str()), (PAGES, &pages)];
        self.ledger.keep(vetted.contract().job_id, &texts).await
    }

    /// The page of a job in one language: as it was signed, or as it would be; and that of the last job of its kind.
    pub(crate) async fn page(
        &self,
        job_id: JobId,
        language: Language,
    ) -> Result<PageDocument, Problem> {
        let signed = self.ledger.contract(job_id).await?;
        let page = match self.kept_page(job_id, language).await? {
            Some(kept) => kept,
            None => {
                let vetted = self.vet(&signed).await?;
                page::page(vetted.contract(), vetted.plan(), language)
            }
        };
        Ok(PageDocument {
            page,
            previous: self.previous_page(job_id, language).await?,
        })
    }

    async fn kept_page(
        &self,
        job_id: JobId,
        language: Language,
    ) -> Result<Option<String>, GatherError> {
        let kept = self.kept_pages(job_id).await?;
        Ok(kept.and_then(|mut pages| pages.remove(language.code())))
    }

    /// What this party signed for the job whose place this one takes, or else the last time that the same proposer came with
    /// a job of this name.
    async fn previous_page(
        &self,
        job_id: JobId,
        language: Language,
    ) -> Result<Option<PreviousPage>, Problem> {
        let this = self.ledger.job(job_id).await?;
        let signed = self.ledger.contract(job_id).await?;
        let key = Fingerprint::of(&signed.public_key());
        let contract = signed.verify(&key).ok();
        if let Some(earlier) = contract.and_then(|contract| contract.supersedes) {
            let page = self.kept_page(earlier, language).await?;
            return Ok(page.map(|page| PreviousPage {
                job_id: earlier,
                page,
            }));
        }
        let mut jobs = self.ledger.jobs().await?.into_iter();
        // The newest first; what follows this job is older, but for those of the same second.
        jobs.find(|job| job.job_id == job_id);
        for job in jobs.filter(|job| job.job == this.job && job.proposer == this.proposer) {
            if let Some(page) = self.kept_page(job.job_id, language).await? {
                let job_id = job.job_id;
                return Ok(Some(PreviousPage { job_id, page }));
            }
        }
        Ok(None)
    }

    pub(super) async fn kept_pages(
        &self,
        job_id: JobId,
    ) -> Result<Option<std::collections::BTreeMap<String, String>>, GatherError> {
        let Some(text) = self.ledger.kept(job_id, PAGES).await? else {
            return Ok(None);
        };
        let pages = serde_json::from_str(&text);
        pages
            .map(Some)
            .map_err(|_| GatherError::Kept { what: PAGES })
    }

    /// Before the first message: whoever has seen a log of this agent that is not its own log now, shows that an older state was
    /// restored here. Its counters then forget runs, so nothing is run any more.
    pub(super) async fn check_own_log(&self, job_id: JobId, start: &Start) -> Result<(), Failure> {
        for (_, note) in shown_of(&start.acceptances, self.name()) {
            let Checkpoint { size, root, .. } = note.claimed();
            if self.ledger.was(*size, root).await {
                continue;
            }
            let kind = match self.ledger.root_at(*size).await {
                None => AlarmKind::RolledBack,
                Some(_) => AlarmKind::Forked,
            };
            let alarm = Alarm {
                party: self.name().clone(),
                key: self.identity.fingerprint(),
                kind,
                checkpoint: note.claimed().clone(),
            };
            let written = self.ledger.alarm(job_id, &alarm, self.now()).await;
            error!(job = %safe(&job_id), kind = kind.as_str(), "an older state of this agent was restored");
            let refusal = Refusal::Log {
                party: self.name().clone(),
                kind: kind.as_str().to_owned(),
                is_own: true,
            };
            let what = match written {
                Ok(()) => refusal.to_string(),
                Err(error) => format!("{refusal}; {error}"),
            };
            let advice = "restore the newest backup of the state directory; if there is none, this party needs a new key";
            return Err(Failure::here(FailureClass::CheckFailed, what, advice));
        }
        Ok(())
    }

    pub(super) async fn dossier(&self, job_id: JobId) -> Result<Dossier, GatherError> {
        match self.ledger.kept(job_id, DOSSIER).await? {
            None => Ok(Dossier::default()),
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| GatherError::Kept { what: DOSSIER })
            }
        }
    }

    /// Gathers what the other parties report about a completed job: verifies it, signs their checkpoints as seen, and takes over
    /// what they say about each other's. May be called any number of times.
    pub(super) async fn gather(&self, job_id: JobId) -> Result<Dossier, GatherError> {
        let _one_at_a_time = self.gathering.lock().await;
        if self.ledger.job(job_id).await?.state != JobState::Completed {
            return Ok(Dossier::default());
        }
        let signed = self.ledger.contract(job_id).await?;
        let key = Fingerprint::of(&signed.public_key());
        let contract = signed.verify(&key);
        let contract = contract.map_err(|_| GatherError::Kept { what: "contract" })?;
        let mut dossier = self.dossier(job_id).await?;
        if dossier.witnesses.len() == contract.parties.len() {
            self.keep_told(job_id).await?;
            return Ok(dossier);
        }
        self.milestones.reach(job_id, Milestone::Gather).await;
        let view = self.client.job_status(job_id).await?;
        if dossier.reports.is_empty() {
            dossier = self.read_reports(&contract, &signed, &view).await?;
        }
        let own = dossier.witnesses.get(self.name());
        if let Some(own) = own.filter(|_| !view.witnesses.contains_key(self.name())) {
            self.milestones.reach(job_id, Milestone::Witnessed).await;
            let text = serde_json::to_string(own).expect("a map of texts");
            self.client.witness(job_id, text).await?;
        }
        self.keep_told(job_id).await?;
        let before = dossier.witnesses.len();
        read_witnesses(&contract, &view, &mut dossier);
        if dossier.witnesses.len() > before {
            self.keep_dossier(job_id, &dossier).await?;
        }
        Ok(dossier)
    }

    /// Gathers what is missing of completed jobs, whose end a crash may have parted from the gathering, or this from its being told. The
    /// coordinator repeats the state of the latest ones alone.
    pub(super) async fn gather_all(&self) -> Result<(), LedgerError> {
        for job_id in self.ledger.without_evidence(TOLD).await? {
            if let Err(error) = self.gather(job_id).await {
                warn!(job = %safe(&job_id), code = error.code(), "evidence not gathered");
            }
        }
        Ok(())
    }

    async fn keep_told(&self, job_id: JobId) -> Result<(), LedgerError> {
        match self.ledger.kept(job_id, TOLD).await? {
            Some(_) => Ok(()),
            None => self.ledger.keep(job_id, &[(TOLD, "")]).await,
        }
    }

    async fn keep_dossier(&self, job_id: JobId, dossier: &Dossier) -> Result<(), LedgerError> {
        let text = dossier_text(dossier);
        self.ledger.keep(job_id, &[(DOSSIER, &text)]).await
    }

    /// Verifies the reports of all parties, witnesses their logs, and keeps both.
    async fn read_reports(
        &self,
        contract: &Contract,
        signed: &Signed<Contract>,
        view: &JobView,
    ) -> Result<Dossier, GatherError> {
        let job_id = contract.job_id;
        let of_coordinator = |fault| GatherError::Fault {
            party: contract.proposer.clone(),
            fault,
        };
        let seats = evidence::seats(contract, &signed.digest(), &view.acceptances);
        let seats = seats.map_err(of_coordinator)?;
        let mut dossier = Dossier {
            acceptances: view.acceptances.clone(),
            ..Dossier::default()
        };
        let (mut logs, mut witness) = (Vec::new(), Witness::default());
        for seat in &seats {
            let name = &seat.party.name;
            let Some(Report::Completed { receipt: text }) = view.outcomes.get(name) else {
                let (party, what) = (name.clone(), "receipt");
                return Err(GatherError::Missing { party, what });
            };
            let report: evidence::Report = serde_json::from_str(text).map_err(|_| {
                let (party, what) = (name.clone(), "receipt in a form that can be read");
                GatherError::Missing { party, what }
            })?;
            let mut note = evidence::verify_report(contract, &seats, seat, &report);
            if name != self.name()
                && let Ok(note) = &mut note
            {
                let continues = self.continues(seat, &seats, note, &report).await?;
                note.cosign(self.now(), &self.identity);
                witness.seen.insert(name.clone(), note.to_string());
                logs.push(Grown {
                    key: seat.party.fingerprint,
                    new: note.clone(),
                    continues,
                });
            }
            note.map_err(|fault| {
                let party = name.clone();
                GatherError::Fault { party, fault }
            })?;
            dossier.reports.insert(name.clone(), report);
        }
        dossier.witnesses.insert(self.name().clone(), witness);
        // One transaction: the log never tells of a witness that is not kept, nor twice of the same.
        let text = dossier_text(&dossier);
        let kept = [(DOSSIER, text.as_str())];
        let witnessed = self.ledger.witness(job_id, &logs, &kept, self.now());
        witnessed.await?;
        Ok(dossier)
    }

    /// Whether a party's log continues what this agent has seen of it. If not, the alarm is raised.
    async fn continues(
        &self,
        seat: &Seat<'_>,
        seats: &[Seat<'_>],
        note: &SignedCheckpoint,
        report: &evidence::Report,
    ) -> Result<Vec<SignedCheckpoint>, GatherError> {
        let (party, key) = (&seat.party.name, seat.party.fingerprint);
        let seen = self.ledger.seen(party, &key).await?;
        let own = seats.iter().find(|own| own.party.name == *self.name());
        let promised = own.map(|own| own.acceptance.seen.as_slice());
        let promised: Vec<SignedCheckpoint> = promised
            .unwrap_or_default()
            .iter()
            .filter_map(|note| SignedCheckpoint::parse(note).ok())
            .collect();
        let grown = evidence::grown(&seen, &promised, note.claimed(), &report.log.growth);
        let (kind, old) = match grown {
            Ok(continued) => return Ok(continued),
            Err(wrong) => wrong,
        };
        let job_id = seat.acceptance.job_id;
        let alarm = Alarm {
            party: party.clone(),
            key,
            kind,
            checkpoint: old,
        };
        if self.ledger.alarmed(&key).await?.is_none() {
            self.ledger.alarm(job_id, &alarm, self.now()).await?;
        }
        error!(job = %safe(&job_id), party = %safe(party), kind = kind.as_str(), "a party's log is not what it was");
        let party = party.clone();
        Err(GatherError::Alarm { party, kind })
    }

    /// The evidence file of a job. Waits a while for what the others have to send.
    pub(crate) async fn evidence(&self, job_id: JobId) -> Result<Vec<u8>, Problem> {
        let record = self.ledger.job(job_id).await?;
        if record.state != JobState::Completed {
            let what = format!("job {job_id} is {}, not completed", record.state.as_str());
            return Err(Problem::conflict("not_completed", what)
                .advice("there is evidence of completed jobs alone; `entente log verify` tells of the others"));
        }
        let signed = self.ledger.contract(job_id).await?;
        let contract = signed.verify(&Fingerprint::of(&signed.public_key()));
        let contract = contract.map_err(|e| Problem::runtime("ledger", e.to_string()))?;
        let dossier = self.complete_dossier(job_id, &contract).await?;
        let plan = self.ledger.kept(job_id, PLAN).await?;
        let exported = Exported {
            pages: self.kept_pages(job_id).await?.unwrap_or_default(),
            plan: plan.ok_or(GatherError::Kept { what: PLAN })?,
            output: self.output(job_id).await?,
            now: self.now(),
            contract: signed,
        };
        let broken = |fault: Fault| Problem::runtime(fault.check.name(), fault.to_string());
        // Evidence is sealed with the key that the contract knows, which may be a former one.
        let own = contract.party(self.name()).map(|own| own.fingerprint);
        let identity = own.and_then(|key| self.identity.known_by(&key));
        let identity = identity.ok_or(GatherError::Kept {
            what: "key by which the contract knows this party",
        })?;
        let bytes = evidence::export(&dossier, exported, identity).map_err(broken)?;
        // Nobody is handed a file that does not hold.
        evidence::verify(&bytes, None).map_err(broken)?;
        Ok(bytes)
    }

    async fn complete_dossier(
        &self,
        job_id: JobId,
        contract: &Contract,
    ) -> Result<Dossier, GatherError> {
        let mut changes = self.ledger.changes();
        let gathered = timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                let gathered = self.gather(job_id).await;
                let waits = match &gathered {
                    Ok(dossier) => dossier.witnesses.len() < contract.parties.len(),
                    Err(error) => matches!(error, GatherError::Missing { .. }),
                };
                if !waits || changes.changed().await.is_err() {
                    return gathered;
                }
            }
        });
        let dossier = match gathered.await {
            Ok(gathered) => gathered?,
            Err(_) => self.gather(job_id).await?,
        };
        let mut parties = contract.parties.iter().map(|p| &p.name);
        match parties.find(|name| !dossier.witnesses.contains_key(*name)) {
            None => Ok(dossier),
            Some(party) => Err(GatherError::Missing {
                party: party.clone(),
                what: "signatures under the others' checkpoints",
            }),
        }
    }

    /// Opens this party's commitment to the result.
    async fn output(&self, job_id: JobId) -> Result<Option<Output>, Problem> {
        let Some((file, Some(stored))) = self.ledger.outcome(job_id).await? else {
            return Ok(None);
        };
        let file: Result<ReceiptFile, _> = serde_json::from_str(&file);
        let salt = file.ok().and_then(|file| file.local.salt);
        let salt = salt.ok_or(GatherError::Kept { what: "receipt" })?;
        Ok(Some(Output {
            salt,
            result: stored.digest,
        }))
    }
}

fn dossier_text(dossier: &Dossier) -> String {
    serde_json::to_string(dossier).expect("string keys and no floats")
}

/// Takes over what other parties say about logs, where it holds: their signatures under the very checkpoints that were reported.
fn read_witnesses(contract: &Contract, view: &JobView, dossier: &mut Dossier) {
    for seat in &dossier.acceptances {
        let key = seat.public_key();
        let fingerprint = Fingerprint::of(&key);
        let mut parties = contract.parties.iter();
        let Some(party) = parties.find(|p| p.fingerprint == fingerprint) else {
            continue;
        };
        let text = view.witnesses.get(&party.name);
        let witness = text.and_then(|text| serde_json::from_str::<Witness>(text).ok());
        let Some(witness) = witness else {
            continue;
        };
        let holds = contract.parties.iter().all(|of| {
            let report = dossier.reports.get(&of.name);
            let note = report.and_then(|r| SignedCheckpoint::parse(&r.log.checkpoint).ok());
            let seen = witness.seen.get(&of.name);
            let seen = seen.and_then(|note| SignedCheckpoint::parse(note).ok());
            of.name == party.name
                || note.zip(seen).is_some_and(|(note, seen)| {
                    note.claimed() == seen.claimed() && seen.seen_by(&party.name, &key).is_some()
                })
        });
        if holds {
            dossier
                .witnesses
                .entry(party.name.clone())
                .or_insert(witness);
        }
    }
}
