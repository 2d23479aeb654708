//! What the agent shows of itself and of others.

use std::sync::Arc;
use std::time::Duration;

use coordinator::client::Link;
use coordinator::contract::{JobId, PartyName};
use coordinator::tls::{self, Expect, Trouble};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Core;
use super::catalogues::registered;
use crate::api::Problem;
use crate::api::types::{
    CatalogueStatus, CoordinatorStatus, Dataset, DatasetRequest, DirectPing, Job, JobDetail,
    JobParty, Party, Ping, Planned, Status,
};
use crate::approve::Refusal;
use crate::catalogue::TableEntry;
use crate::config;
use crate::ledger::{JobRecord, JobState, LedgerError};
use crate::policy::Facts;
use crate::source::{Connection, DatasetSpec};

/// How long a party may take to answer at its address.
const PING_PATIENCE: Duration = Duration::from_secs(2);

impl Core {
    pub(crate) fn status(&self) -> Status {
        let own = self.catalogues.current();
        let link = self.client.link().borrow().clone();
        let why = match &link {
            Link::Down { why, .. } => why.as_ref().map(ToString::to_string),
            Link::Up { .. } | Link::Closed => None,
        };
        Status {
            name: self.name().clone(),
            fingerprint: self.identity.fingerprint(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            coordinator: CoordinatorStatus {
                name: self.config.coordinator.name.clone(),
                address: self.config.coordinator.address.clone(),
                connected: matches!(link, Link::Up { .. }),
                why,
                round_trip_ms: self.client.round_trip().map(milliseconds),
            },
            direct: self.advertised.clone(),
            rehearsal: self.mode == super::Mode::Rehearsal,
            catalogue: Some(CatalogueStatus {
                version: own.version,
                digest: own.digest(),
                tables: own.catalogue.tables.keys().cloned().collect(),
            }),
            running: self.running_jobs(),
            reads: own.source.reads(),
        }
    }

    /// Everybody whom the coordinator or this party's people know.
    pub(crate) async fn parties(&self) -> Result<Vec<Party>, Problem> {
        let pins = self
            .pins()
            .map_err(|e| Problem::runtime("trusted", e.to_string()))?;
        let directory = self.client.directory().await?;
        let pinned = |name: &PartyName| pins.find(name).map(|pin| pin.fingerprint);
        let mut parties: Vec<Party> = directory
            .into_iter()
            .map(|entry| Party {
                pinned: pinned(&entry.name),
                known: Some(entry.fingerprint),
                online: entry.online,
                reachable_at: entry.reachable_at,
                catalogue: entry.catalogue.map(|c| c.version),
                last_seen: entry.last_seen,
                is_self: entry.name == *self.name(),
                name: entry.name,
            })
            .collect();
        let unknown: Vec<_> = pins
            .iter()
            .filter(|pin| parties.iter().all(|p| p.name != pin.name))
            .collect();
        parties.extend(unknown.into_iter().map(|pin| Party {
            name: pin.name.clone(),
            pinned: Some(pin.fingerprint),
            known: None,
            online: false,
            reachable_at: None,
            catalogue: None,
            last_seen: None,
            is_self: false,
        }));
        parties.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parties)
    }

    pub(crate) async fn ping(&self, party: &PartyName) -> Result<Ping, Problem> {
        let parties = self.parties().await?;
        let Some(found) = parties.iter().find(|p| p.name == *party) else {
            return Err(Problem::missing(
                "unknown_party",
                format!("nobody here knows {party}"),
            ));
        };
        let Some(pinned) = found.pinned else {
            return Err(Problem::from(Refusal::UnknownParty {
                party: party.clone(),
            }));
        };
        let direct = match &found.reachable_at {
            None => None,
            Some(address) => {
                let expected = Expect {
                    name: party.clone(),
                    fingerprint: pinned,
                };
                let answer = timeout(PING_PATIENCE, self.ping_direct(address, expected)).await;
                let answer = answer.unwrap_or_else(|_| Err("no answer in 2 s".to_owned()));
                Some(DirectPing {
                    address: address.clone(),
                    round_trip_ms: answer.as_ref().ok().copied().map(milliseconds),
                    why: answer.err(),
                })
            }
        };
        Ok(Ping {
            party: party.clone(),
            online: found.online,
            coordinator_ms: self.client.round_trip().map(milliseconds),
            direct,
        })
    }

    /// Dials a party, verifies its key, and hangs up.
    async fn ping_direct(&self, address: &str, expected: Expect) -> Result<Duration, String> {
        let resolved = lookup_host(address)
            .await
            .map_err(|e| e.to_string())?
            .next();
        let resolved = resolved.ok_or_else(|| "the name has no address".to_owned())?;
        let config = tls::client_config(&self.identity, Arc::new(expected));
        let connecting = self
            .endpoint
            .connect_with(config, resolved, tls::SERVER_NAME)
            .map_err(|e| e.to_string())?;
        let connection = connecting.await.map_err(|e| Trouble::of(&e).to_string())?;
        let round_trip = connection.rtt();
        connection.close(0_u32.into(), b"ping");
        Ok(round_trip)
    }

    /// This party's tables, and those that others have published.
    pub(crate) async fn datasets(&self) -> Result<Vec<Dataset>, Problem> {
        let own = self.catalogues.current();
        let mut lines: Vec<Dataset> = own
            .source
            .tables()
            .iter()
            .filter(|(name, _)| !own.catalogue.tables.contains_key(*name))
            .map(|(name, table)| Dataset {
                party: self.name().clone(),
                table: name.clone(),
                rows_at_most: None,
                columns: table.columns().len(),
                note: None,
                published: false,
            })
            .collect();
        let pins = self
            .pins()
            .map_err(|e| Problem::runtime("trusted", e.to_string()))?;
        for (party, (_, catalogue)) in self.known_catalogues(&pins).await? {
            lines.extend(catalogue.tables.iter().map(|(name, entry)| Dataset {
                party: party.clone(),
                table: name.clone(),
                rows_at_most: Some(entry.rows_at_most),
                columns: entry.columns.len(),
                note: entry.note.clone(),
                published: true,
            }));
        }
        lines.sort_by(|a, b| (&a.party, &a.table).cmp(&(&b.party, &b.table)));
        Ok(lines)
    }

    /// One published table: `party.table`, or a table of this party by its name alone.
    pub(crate) async fn dataset(&self, name: &str) -> Result<TableEntry, Problem> {
        let own = self.catalogues.current();
        if let Some(entry) = own.catalogue.tables.get(name) {
            return Ok(entry.clone());
        }
        let missing = || {
            Problem::missing("unknown_dataset", format!("there is no published table {name}"))
                .advice("`entente dataset list` shows all; your own are published once the policy lists them")
        };
        let (party, table) = name.split_once('.').ok_or_else(missing)?;
        let pins = self
            .pins()
            .map_err(|e| Problem::runtime("trusted", e.to_string()))?;
        let known = self.known_catalogues(&pins).await?;
        let found = known.into_iter().find(|(name, _)| name.as_str() == party);
        found
            .and_then(|(_, (_, mut catalogue))| catalogue.tables.remove(table))
            .ok_or_else(missing)
    }

    /// Registers a table, publishes what the policy lets out, and remembers it for the next start.
    pub(crate) async fn add_dataset(&self, request: &DatasetRequest) -> Result<Dataset, Problem> {
        let dataset = config::Dataset {
            name: request.name.clone(),
            spec: dataset_spec(request)?,
            consent: None,
        };
        let mut known = registered(&self.config).map_err(agent_problem)?;
        if known
            .iter()
            .chain(&self.config.datasets)
            .any(|d| d.name == dataset.name)
        {
            return Err(Problem::conflict(
                "dataset_exists",
                format!("there is a dataset {} already", dataset.name),
            ));
        }
        let policy = self.policy()?;
        let added = self
            .catalogues
            .add(&dataset, &policy, &self.ledger, &self.identity)
            .await;
        let own = added.map_err(agent_problem)?;
        known.push(dataset.clone());
        let text = config::write_datasets(&known);
        std::fs::write(self.config.datasets_file(), text).map_err(|e| {
            Problem::runtime("state", e.to_string()).at(self
                .config
                .datasets_file()
                .display()
                .to_string())
        })?;
        self.catalogues
            .publish(&self.client, &self.ledger, &self.identity)
            .await
            .map_err(agent_problem)?;
        let entry = own.catalogue.tables.get(&dataset.name);
        Ok(Dataset {
            party: self.name().clone(),
            rows_at_most: entry.map(|e| e.rows_at_most),
            columns: own
                .source
                .tables()
                .get(&dataset.name)
                .map_or(0, |t| t.columns().len()),
            note: entry.and_then(|e| e.note.clone()),
            published: entry.is_some(),
            table: dataset.name,
        })
    }

    /// The plan of a job file, and what this party's own policy has against it.
    pub(crate) async fn plan(&self, text: &str) -> Result<Planned, Problem> {
        let (plan, _) = self.compile(text).await?;
        let policy = self.policy()?;
        let runs = self.ledger.run_counts().await?;
        let forbidden = self.negative_list().await?;
        let facts = Facts {
            now: self.now(),
            runs: &runs,
            forbidden: forbidden.as_ref(),
        };
        let denials = crate::approve::denials(&plan, self.name(), &policy, facts);
        Ok(Planned {
            digest: plan.digest(),
            plan: serde_json::to_value(&plan)
                .map_err(|e| Problem::runtime("plan", e.to_string()))?,
            denials: denials.iter().map(ToString::to_string).collect(),
        })
    }

    /// The plan of a job that was proposed: the one that this party signed, or, before it has, as compiled now.
    pub(crate) async fn plan_of(&self, job_id: JobId) -> Result<Planned, Problem> {
        let corrupt = |e: serde_json::Error| Problem::runtime("plan", e.to_string());
        let (digest, plan) = match self.ledger.kept(job_id, super::evidence::PLAN).await? {
            // Runs and budgets may be used up since, by this very job.
            Some(text) => {
                let plan = serde_json::from_str(&text).map_err(corrupt)?;
                (self.ledger.job(job_id).await?.plan, plan)
            }
            None => {
                let vetted = self.vet(&self.ledger.contract(job_id).await?).await?;
                let plan = serde_json::to_value(vetted.plan()).map_err(corrupt)?;
                (vetted.contract().plan, plan)
            }
        };
        Ok(Planned {
            digest,
            plan,
            denials: Vec::new(),
        })
    }

    pub(crate) async fn jobs(&self) -> Result<Vec<Job>, Problem> {
        let records = self.ledger.jobs().await?;
        let records = records.into_iter().map(|r| self.as_it_stands(r));
        Ok(records.map(|r| self.job_line(r)).collect())
    }

    pub(crate) async fn job(&self, job_id: JobId) -> Result<JobDetail, Problem> {
        let record = self.record(job_id).await?;
        let signed = self.ledger.contract(job_id).await?;
        let key = tls::Fingerprint::of(&signed.public_key());
        let contract = signed
            .verify(&key)
            .map_err(|e| Problem::runtime("ledger", e.to_string()))?;
        let waiting_for = match record.state {
            JobState::Waiting | JobState::Accepted => self.waiting_for(job_id).await,
            _ => Vec::new(),
        };
        let outcome = self.ledger.outcome(job_id).await?;
        let can_resume = record.state == JobState::Failed && self.checkpoints.has(job_id);
        let parties = contract.parties.into_iter().map(|p| JobParty {
            name: p.name,
            role: p.role,
            fingerprint: p.fingerprint,
        });
        Ok(JobDetail {
            job: self.job_line(record),
            parties: parties.collect(),
            receivers: contract.receivers,
            resumes: contract.resumes,
            can_resume,
            not_after: contract.not_after,
            waiting_for,
            has_result: outcome.is_some_and(|(_, result)| result.is_some()),
        })
    }

    /// Waits until a job is in another state than this one, or for so long.
    pub(crate) async fn wait_unless(
        &self,
        job_id: JobId,
        state: JobState,
        patience: Duration,
    ) -> Result<(), Problem> {
        let mut changes = self.ledger.changes();
        let changed = timeout(patience, async {
            // Asked after subscribing, so that no change falls between the two.
            while self.record(job_id).await?.state == state {
                if changes.changed().await.is_err() {
                    break;
                }
            }
            Ok::<_, LedgerError>(())
        });
        Ok(changed.await.unwrap_or(Ok(()))?)
    }

    /// Parties that have not accepted, as the coordinator tells. Only for people: nothing depends on it.
    async fn waiting_for(&self, job_id: JobId) -> Vec<PartyName> {
        let Ok(view) = self.client.job_status(job_id).await else {
            return Vec::new();
        };
        let key = tls::Fingerprint::of(&view.contract.public_key());
        let Ok(contract) = view.contract.verify(&key) else {
            return Vec::new();
        };
        let accepted: Vec<_> = view
            .acceptances
            .iter()
            .map(|a| tls::Fingerprint::of(&a.public_key()))
            .collect();
        let missing = contract
            .parties
            .into_iter()
            .filter(|p| !accepted.contains(&p.fingerprint));
        missing.map(|p| p.name).collect()
    }

    fn job_line(&self, record: JobRecord) -> Job {
        // A job that is about to start is still accepted in the ledger.
        let progress = self.progress(record.job_id);
        Job {
            job_id: record.job_id,
            job: record.job,
            purpose: record.purpose,
            proposer: record.proposer,
            state: record.state,
            approved_by: record.approved_by,
            created: record.created,
            updated: record.updated,
            plan: record.plan,
            ending: record.ending,
            progress,
        }
    }

    /// A file of a job's result.
    pub(crate) async fn result_file(&self, job_id: JobId, file: &str) -> Result<Vec<u8>, Problem> {
        let record = self.record(job_id).await?;
        if let Some(ending) = record.ending {
            return Err(Problem::new(
                ending.exit,
                axum::http::StatusCode::CONFLICT,
                &ending.class,
                ending.what,
            )
            .advice(ending.what_to_do));
        }
        let not_here = || {
            Problem::missing(
                "no_result",
                format!("there is no result of job {job_id} at this party"),
            )
            .advice("only receivers get the result, and only of a completed job")
        };
        let (_, stored) = self.ledger.outcome(job_id).await?.ok_or_else(not_here)?;
        let path = stored.ok_or_else(not_here)?.dir.join(file);
        std::fs::read(&path)
            .map_err(|e| Problem::runtime("result", e.to_string()).at(path.display().to_string()))
    }

    pub(crate) async fn receipt(&self, job_id: JobId) -> Result<String, Problem> {
        self.ledger.job(job_id).await?;
        let outcome = self.ledger.outcome(job_id).await?;
        let missing =
            || Problem::missing("no_receipt", format!("job {job_id} was not completed here"));
        outcome.map(|(receipt, _)| receipt).ok_or_else(missing)
    }
}

fn dataset_spec(request: &DatasetRequest) -> Result<DatasetSpec, Problem> {
    let need = |field: &Option<String>, what: &str| {
        field.clone().ok_or_else(|| {
            Problem::usage("dataset", format!("a dataset of this kind needs `{what}`"))
        })
    };
    match request.kind.as_str() {
        "csv" => Ok(DatasetSpec::Csv(need(&request.path, "path")?.into())),
        "parquet" => Ok(DatasetSpec::Parquet(need(&request.path, "path")?.into())),
        "postgres" => {
            let table = need(&request.table, "table")?;
            let (schema, table) = table.split_once('.').unwrap_or(("public", &table));
            Ok(DatasetSpec::Postgres {
                connection: Connection::File(need(&request.connection, "connection")?.into()),
                schema: schema.to_owned(),
                table: table.to_owned(),
                commits: false,
            })
        }
        other => Err(
            Problem::usage("dataset", format!("\"{other}\" is not a kind of dataset"))
                .advice("csv, parquet or postgres"),
        ),
    }
}

fn agent_problem(error: super::AgentError) -> Problem {
    match error {
        super::AgentError::Dataset { source, .. } => source.into(),
        super::AgentError::Ledger(error) => error.into(),
        error => Problem::runtime("agent", error.to_string()),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
