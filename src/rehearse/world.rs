//! The processes of a rehearsal and their files, in a directory that is removed at the end.

use super::PartyDir;
use crate::client::Client;
use crate::init::cannot_write;
use crate::job::watch;
use crate::outcome::{Failure, Outcome};
use crate::process::Supervised;
use coordinator::contract::PartyName;
use coordinator::tls::{Fingerprint, Identity, Pin, Pins};
use party_agent::api::types::{JobDetail, Party, Planned, SpecRequest, Submitted};
use party_agent::config::{Template, template};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future as _;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;

/// Long enough that no agent finds its certificate due for renewal.
const CERTIFICATE_DAYS: u32 = 365;
/// How often agents are asked whether they see each other.
const PACE: Duration = Duration::from_millis(20);

/// The parties' agents by name.
pub(crate) type Agents = BTreeMap<PartyName, Agent>;

/// A running rehearsal.
pub(crate) struct World {
    processes: Vec<Supervised>,
    agents: Agents,
    // Last, so that it is removed after the processes are gone.
    directory: TempDir,
}

/// How to speak to one party's agent.
pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) fingerprint: Fingerprint,
}

impl World {
    /// Makes keys and files, starts all processes, and waits until every agent is connected and has published.
    pub(crate) async fn start(parties: &[PartyDir], relay: bool) -> Outcome<Self> {
        let directory = tempfile::Builder::new()
            .prefix("entente-")
            .tempdir()
            .map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
        let files = Files::write(directory.path(), parties)?;
        let (coordinator, ready) = Supervised::start(
            "the coordinator",
            serve("coordinator", &files.coordinator_config),
        )
        .await?;
        let address = text(&ready, "listen")?;
        let mut world = Self {
            processes: vec![coordinator],
            agents: Agents::new(),
            directory,
        };
        let mut starting = tokio::task::JoinSet::new();
        for party in parties {
            let config = files.agent(party, &address, relay)?;
            let (name, fingerprint) = (party.name.clone(), files.fingerprints[&party.name]);
            starting.spawn(async move { Agent::start(name, fingerprint, &config).await });
        }
        while let Some(started) = starting.join_next().await {
            let (name, process, agent) = started
                .map_err(|_| Failure::runtime("start", "an agent's start was broken off"))??;
            world.processes.push(process);
            world.agents.insert(name, agent);
        }
        world.work(all_connected).await?;
        Ok(world)
    }

    /// Does `work` with the agents, unless a process ends first, which none should.
    pub(crate) async fn work<T>(
        &mut self,
        work: impl AsyncFnOnce(&Agents) -> Outcome<T>,
    ) -> Outcome<T> {
        let Self {
            processes, agents, ..
        } = self;
        let outcome = tokio::select! {
            outcome = work(agents) => outcome,
            failure = first_death(processes) => return Err(failure),
        };
        // An agent that died is why a request to it failed, not the other way round.
        let dead = processes.iter_mut().position(Supervised::is_dead);
        match (outcome, dead) {
            (Err(_), Some(dead)) => Err(processes[dead].death().await),
            (outcome, _) => outcome,
        }
    }

    /// Ends all processes and removes all files.
    pub(crate) async fn stop(self) {
        let mut stopping = tokio::task::JoinSet::new();
        for process in self.processes {
            stopping.spawn(process.stop());
        }
        while stopping.join_next().await.is_some() {}
        drop(self.directory);
    }
}

/// Waits until the first agent sees all parties online with their catalogues.
async fn all_connected(agents: &Agents) -> Outcome<()> {
    let Some(first) = agents.values().next() else {
        return Ok(());
    };
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let parties: Vec<Party> = first.client.get("/v1/parties").await?;
        let is_there = |name: &PartyName| {
            parties
                .iter()
                .any(|party| party.name == *name && party.online && party.catalogue.is_some())
        };
        if agents.keys().all(is_there) {
            return Ok(());
        }
    }
}

async fn first_death(processes: &mut [Supervised]) -> Failure {
    let mut deaths: Vec<_> = processes
        .iter_mut()
        .map(|process| Box::pin(process.death()))
        .collect();
    std::future::poll_fn(|context| {
        let first = deaths
            .iter_mut()
            .find_map(|death| match death.as_mut().poll(context) {
                Poll::Ready(failure) => Some(failure),
                Poll::Pending => None,
            });
        first.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

impl Agent {
    async fn start(
        name: PartyName,
        fingerprint: Fingerprint,
        config: &Path,
    ) -> Outcome<(PartyName, Supervised, Self)> {
        let mut arguments = serve("agent", config);
        arguments.push("--rehearsal".into());
        let (process, ready) = Supervised::start(name.as_str(), arguments)
            .await
            // Its configuration is ours and will be gone; what it says is about the party's own files.
            .map_err(|failure| {
                Failure {
                    place: None,
                    ..failure
                }
                .advice("correct it and run this again")
            })?;
        let address = text(&ready, "api")?.parse().map_err(|_| not_ready("api"))?;
        let token_file = text(&ready, "token_file")?;
        let token = std::fs::read_to_string(&token_file)
            .map_err(|error| Failure::runtime("token", error.to_string()).at(token_file))?;
        let client = Client::new(
            address,
            &token,
            "it was stopped from outside; run the command again",
        );
        Ok((
            name,
            process,
            Self {
                client,
                fingerprint,
            },
        ))
    }

    /// What this party's agent makes of the job.
    pub(crate) async fn plan(&self, spec: &str) -> Outcome<Planned> {
        self.client
            .post("/v1/jobs/plan", &SpecRequest::of(spec.to_owned()))
            .await
    }

    /// Submits the job; its id.
    pub(crate) async fn submit(&self, spec: &str) -> Outcome<String> {
        let request = SpecRequest {
            by: Some("rehearsal".to_owned()),
            ..SpecRequest::of(spec.to_owned())
        };
        let submitted: Submitted = self.client.post("/v1/jobs", &request).await?;
        Ok(submitted.job_id.to_string())
    }

    /// Waits for the end of the job at this party.
    pub(crate) async fn until_final(&self, id: &str) -> Outcome<JobDetail> {
        watch::until_final(&self.client, id, |_| {}).await
    }
}

/// Arguments of a child process.
fn serve(what: &str, config: &Path) -> Vec<OsString> {
    vec![
        what.into(),
        "--json".into(),
        "--until-stdin-closes".into(),
        "--config".into(),
        config.into(),
    ]
}

fn text(ready: &Value, field: &str) -> Outcome<String> {
    ready[field]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| not_ready(field))
}

fn not_ready(field: &str) -> Failure {
    Failure::runtime("start", format!("a process did not say its {field}"))
        .advice("was the binary replaced while it ran?")
}

/// Keys and configuration files of all processes.
struct Files {
    root: PathBuf,
    coordinator: PartyName,
    coordinator_config: PathBuf,
    coordinator_key: Fingerprint,
    fingerprints: BTreeMap<PartyName, Fingerprint>,
}

impl Files {
    fn write(root: &Path, parties: &[PartyDir]) -> Outcome<Self> {
        let taken = |name: &str| parties.iter().any(|party| party.name.as_str() == name);
        let free = ["coordinator", "rehearsal_coordinator"]
            .into_iter()
            .find(|name| !taken(name))
            .unwrap_or("entente_coordinator");
        let coordinator = crate::init::party_name(free, "the coordinator")?;
        let mut fingerprints = BTreeMap::new();
        for party in parties {
            fingerprints.insert(
                party.name.clone(),
                identity(&root.join(party.name.as_str()), &party.name)?,
            );
        }
        let home = root.join(coordinator.as_str());
        let coordinator_key = identity(&home, &coordinator)?;
        let coordinator_config = home.join("coordinator.toml");
        let text = "listen = \"127.0.0.1:0\"\nidentity = \"identity\"\nstate_dir = \"state\"\ntrusted = \"trusted.toml\"\n";
        std::fs::write(&coordinator_config, text)
            .map_err(|error| cannot_write(&coordinator_config, &error))?;
        let files = Self {
            root: root.to_owned(),
            coordinator,
            coordinator_config,
            coordinator_key,
            fingerprints,
        };
        files.pins(&home, None)?;
        Ok(files)
    }

    /// Everybody trusts everybody, as after an afternoon of telephone calls.
    fn pins(&self, home: &Path, own: Option<&PartyName>) -> Outcome<()> {
        let mut pins = Pins::new();
        let failed =
            |error: coordinator::tls::PinsError| Failure::runtime("trust", error.to_string());
        for (name, fingerprint) in self
            .fingerprints
            .iter()
            .filter(|(name, _)| Some(*name) != own)
        {
            pins.add(Pin::new(name.clone(), *fingerprint))
                .map_err(failed)?;
        }
        pins.save(&home.join("trusted.toml")).map_err(failed)
    }

    fn agent(&self, party: &PartyDir, address: &str, relay: bool) -> Outcome<PathBuf> {
        let home = self.root.join(party.name.as_str());
        self.pins(&home, Some(&party.name))?;
        if let Some(policy) = &party.policy {
            let copy = home.join("policy.toml");
            std::fs::copy(policy, &copy).map_err(|error| cannot_write(&copy, &error))?;
        }
        copy_models(&party.models, &home.join("state/models"))?;
        let known = Template {
            name: party.name.clone(),
            coordinator: self.coordinator.clone(),
            address: address.to_owned(),
            fingerprint: Some(self.coordinator_key),
            direct: (!relay).then(|| ("127.0.0.1:0".to_owned(), None)),
            api: "127.0.0.1:0".to_owned(),
            files: party.tables.clone(),
        };
        let config = home.join("agent.toml");
        std::fs::write(&config, template(&known)).map_err(|error| cannot_write(&config, &error))?;
        Ok(config)
    }
}

/// The party's parts of models, where its agent looks for them.
fn copy_models(from: &Path, to: &Path) -> Outcome<()> {
    let Ok(entries) = std::fs::read_dir(from) else {
        return Ok(());
    };
    let copied = std::fs::create_dir_all(to).and_then(|()| {
        entries.into_iter().try_for_each(|entry| {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name())).map(drop)
        })
    });
    copied.map_err(|error| cannot_write(to, &error))
}

fn identity(home: &Path, name: &PartyName) -> Outcome<Fingerprint> {
    let failed =
        |error: coordinator::tls::IdentityError| Failure::runtime("identity", error.to_string());
    std::fs::create_dir_all(home).map_err(|error| cannot_write(home, &error))?;
    let identity = Identity::generate(name.clone(), CERTIFICATE_DAYS).map_err(failed)?;
    identity.save(&home.join("identity")).map_err(failed)?;
    Ok(identity.fingerprint())
}
