//! A coordinator and several parties, each in a directory of its own, set up by the commands that people type.

use crate::run::{Ended, Serving, command, entente, finish, until};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One party: a configuration, and commands about it.
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) config: PathBuf,
}

impl Side {
    /// `entente WORDS… --config F`
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        let mut command = command(words);
        command.args(["--config".as_ref(), self.config.as_os_str()]);
        finish(command)
    }

    pub(crate) fn json(&self, words: &[&str], code: i32) -> Value {
        self.run(&[words, &["--json"]].concat()).expect(code).json()
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.json(&["keys", "show"], 0)["fingerprint"]
            .as_str()
            .expect("a fingerprint")
            .to_owned()
    }

    pub(crate) fn trust(&self, name: &str, fingerprint: &str) {
        self.run(&["keys", "trust", name, fingerprint]).expect(0);
    }

    /// The job's line in this party's list, if it has heard of the job.
    pub(crate) fn job(&self, id: &str) -> Option<Value> {
        let jobs = self.json(&["job", "list"], 0);
        jobs["jobs"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|job| job["job_id"] == id)
            .cloned()
    }

    pub(crate) fn until_state(&self, id: &str, state: &str) {
        until(state, || self.job(id).filter(|job| job["state"] == state));
    }
}

/// Parties that trust each other; the coordinator runs, the agents do not yet.
pub(crate) struct Town {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) hub: Side,
    pub(crate) hub_address: String,
    pub(crate) sides: Vec<Side>,
    serving: Option<Serving>,
}

impl Town {
    /// Each party with its name and a directory of tables and `policy.toml`.
    pub(crate) fn new(parties: &[(&str, &Path)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("hub");
        entente([
            "init",
            "coordinator",
            "--name",
            "hub",
            "--listen",
            "127.0.0.1:0",
            "--dir",
            &home.display().to_string(),
        ])
        .expect(0);
        let hub = Side {
            name: "hub".to_owned(),
            config: home.join("coordinator.toml"),
        };
        let (serving, ready) = Serving::start("coordinator", &hub.config);
        let hub_address = ready["listen"].as_str().expect("an address").to_owned();
        let mut town = Self {
            directory,
            hub,
            hub_address,
            sides: Vec::new(),
            serving: Some(serving),
        };
        town.sides = parties
            .iter()
            .map(|(name, data)| town.init(name, data))
            .collect();
        for side in &town.sides {
            let key = side.fingerprint();
            town.hub.trust(&side.name, &key);
            town.sides
                .iter()
                .filter(|other| other.name != side.name)
                .for_each(|other| other.trust(&side.name, &key));
        }
        town
    }

    /// Ends the coordinator, and starts it again at the same address.
    pub(crate) fn restart_hub(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop();
        }
        let text = fs::read_to_string(&self.hub.config).expect("a configuration");
        let text = text.replace("127.0.0.1:0", &self.hub_address);
        fs::write(&self.hub.config, text).expect("written");
        let (serving, _) = Serving::start("coordinator", &self.hub.config);
        self.serving = Some(serving);
    }

    /// `entente init agent`, and the policy of the party's data.
    pub(crate) fn init(&self, name: &str, data: &Path) -> Side {
        let home = self.directory.path().join(name);
        let (coordinator, key) = (format!("hub={}", self.hub_address), self.hub.fingerprint());
        let (dir, data_dir) = (home.display().to_string(), data.display().to_string());
        entente([
            "init",
            "agent",
            "--name",
            name,
            "--dir",
            &dir,
            "--coordinator",
            &coordinator,
            "--coordinator-key",
            &key,
            "--data",
            &data_dir,
        ])
        .expect(0);
        let policy = data.join("policy.toml");
        if policy.exists() {
            fs::copy(policy, home.join("policy.toml")).expect("a policy");
        }
        Side {
            name: name.to_owned(),
            config: home.join("agent.toml"),
        }
    }

    /// Starts all agents and waits until each is online with its catalogue.
    pub(crate) fn start(&self) -> Vec<Serving> {
        let agents = self
            .sides
            .iter()
            .map(|side| Serving::start("agent", &side.config).0)
            .collect();
        until("all agents to be online", || {
            let parties = self.sides[0].json(&["party", "list"], 0);
            let parties = parties["parties"].as_array().expect("a list").clone();
            let online = |side: &Side| {
                parties.iter().any(|party| {
                    party["name"] == side.name.as_str()
                        && party["online"] == true
                        && !party["catalogue"].is_null()
                })
            };
            self.sides.iter().all(online).then_some(())
        });
        agents
    }

    /// Submits a job at the first party, and waits until all others have it on their desks.
    pub(crate) fn submit(&self, job: &Path) -> String {
        let id = self.submit_only(job);
        self.sides[1..]
            .iter()
            .for_each(|side| side.until_state(&id, "waiting"));
        id
    }

    /// Submits a job at the first party.
    pub(crate) fn submit_only(&self, job: &Path) -> String {
        let job = job.display().to_string();
        self.sides[0].json(&["job", "submit", &job, "--as", "maria"], 0)["job_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }
}
