//! What came out of a rehearsal: the result, the receipts, and the figures of `--json`.

use super::Agents;
use crate::client::Client;
use crate::init::cannot_write;
use crate::job::watch::ended_well;
use crate::outcome::{Exit, Failure, Outcome};
use crate::table::ResultDocument;
use coordinator::contract::PartyName;
use party_agent::api::types::JobDetail;
use party_agent::receipt::ReceiptFile;
use party_agent::result::write_private;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long the party at fault may take to say what it has found.
const OWN_WORD_PATIENCE: Duration = Duration::from_secs(10);

/// A job that has ended well at all its parties.
pub(crate) struct Finished {
    pub(crate) wall_s: f64,
    pub(crate) result: String,
    pub(crate) csv: String,
    pub(crate) receipt: String,
    /// What was agreed, as the submitter exports it.
    pub(crate) contract: String,
    /// The evidence that the submitter exports.
    pub(crate) evidence: String,
    /// Which of the submitter's keys match, where the job tells it.
    pub(crate) matched_keys: Option<String>,
    pub(crate) receipts: BTreeMap<PartyName, ReceiptFile>,
}

/// The JSON document of `simulate`.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) status: &'static str,
    pub(crate) job_id: String,
    /// From the submission until every party has finished.
    pub(crate) wall_s: f64,
    pub(crate) rounds: u64,
    pub(crate) parties: BTreeMap<String, PartyReport>,
    pub(crate) network: NetworkReport,
    /// Parties without a policy of their own, for which everything was allowed.
    pub(crate) rehearsal_policy: Vec<String>,
    /// Parties that were named but are not part of the job.
    pub(crate) not_needed: Vec<String>,
    pub(crate) files: Option<BTreeMap<&'static str, PathBuf>>,
    pub(crate) result: Box<RawValue>,
}

/// What one party spent.
#[derive(Serialize)]
pub(crate) struct PartyReport {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) wire_bytes_sent: u64,
    pub(crate) wire_bytes_received: u64,
    pub(crate) cpu_s: f64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) rows_used: u64,
    pub(crate) routes: BTreeMap<String, String>,
}

/// The network that the time is predicted for.
#[derive(Serialize)]
pub(crate) struct NetworkReport {
    pub(crate) profile: String,
    /// Predicted time of the messages; the holders' own reading comes on top. None on loopback.
    pub(crate) predicted_s: Option<f64>,
}

impl PartyReport {
    fn of(file: &ReceiptFile) -> Self {
        let receipt = &file.signed.receipt;
        Self {
            bytes_sent: receipt.bytes_sent.values().sum(),
            bytes_received: receipt.bytes_received.values().sum(),
            wire_bytes_sent: file.local.wire_bytes_sent,
            wire_bytes_received: file.local.wire_bytes_received,
            cpu_s: file.local.cpu_s,
            peak_rss_bytes: file.local.peak_rss_bytes,
            rows_used: file.local.rows_used,
            routes: receipt
                .routes
                .iter()
                .map(|(party, route)| (party.to_string(), route.clone()))
                .collect(),
        }
    }
}

impl Finished {
    /// Waits for the end of job `id` at all its parties, and collects what they have to show.
    pub(crate) async fn collect(
        agents: &Agents,
        submitter: &PartyName,
        id: &str,
        began: Instant,
    ) -> Outcome<Self> {
        let submitting = &agents[submitter];
        let detail = submitting.until_final(id).await?;
        if let Err(failure) = ended_well(&detail) {
            return Err(in_more_detail(agents, submitter, &detail, id, failure).await);
        }
        let mut receipts: BTreeMap<PartyName, ReceiptFile> = BTreeMap::new();
        for party in &detail.parties {
            let Some(agent) = agents.get(&party.name) else {
                continue;
            };
            ended_well(&agent.until_final(id).await?)
                .map_err(|failure| failure.by(party.name.as_str()))?;
            receipts.insert(
                party.name.clone(),
                agent.client.get(&format!("/v1/jobs/{id}/receipt")).await?,
            );
        }
        let wall_s = began.elapsed().as_secs_f64();
        let client: &Client = &submitting.client;
        Ok(Self {
            wall_s,
            result: client.get_text(&format!("/v1/jobs/{id}/result")).await?,
            csv: client
                .get_text(&format!("/v1/jobs/{id}/result?format=csv"))
                .await?,
            receipt: client.get_text(&format!("/v1/jobs/{id}/receipt")).await?,
            contract: client.get_text(&format!("/v1/jobs/{id}/contract")).await?,
            evidence: client.get_text(&format!("/v1/jobs/{id}/evidence")).await?,
            matched_keys: match receipts.get(submitter) {
                Some(file) if file.local.matched_keys.is_some() => {
                    let path = format!("/v1/jobs/{id}/result?format=matched_keys");
                    Some(client.get_text(&path).await?)
                }
                _ => None,
            },
            receipts,
        })
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.receipts
            .values()
            .map(|file| file.signed.receipt.rounds)
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn parties(&self) -> BTreeMap<String, PartyReport> {
        let files = self.receipts.iter();
        files
            .map(|(party, file)| (party.to_string(), PartyReport::of(file)))
            .collect()
    }

    /// The result for a person.
    pub(crate) fn table(&self) -> Outcome<String> {
        let document: ResultDocument =
            serde_json::from_str(&self.result).map_err(|_| unreadable())?;
        Ok(document.text())
    }

    /// The result for a document, digit by digit.
    pub(crate) fn raw_result(&self) -> Outcome<Box<RawValue>> {
        RawValue::from_string(self.result.clone()).map_err(|_| unreadable())
    }

    /// Copies result, receipt, contract and evidence into a directory, readable by this user alone.
    pub(crate) fn save(&self, directory: &Path) -> Outcome<BTreeMap<&'static str, PathBuf>> {
        std::fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
        let files = [
            ("result.json", &self.result),
            ("result.csv", &self.csv),
            ("receipt.json", &self.receipt),
            ("contract.json", &self.contract),
            ("evidence.json", &self.evidence),
        ];
        let keys = self.matched_keys.as_ref();
        let files = files
            .into_iter()
            .chain(keys.map(|keys| ("matched-keys.csv", keys)));
        let mut written = BTreeMap::new();
        for (name, text) in files {
            let path = directory.join(name);
            if let Err(error) = write_private(&path, text.as_bytes()) {
                for path in written.values() {
                    // The failure that is reported is the one that matters; a leftover is complete by itself.
                    let _ = std::fs::remove_file(path);
                }
                return Err(
                    Failure::runtime("write", error.to_string()).at(path.display().to_string())
                );
            }
            written.insert(name, path);
        }
        self.save_models(directory)?;
        Ok(written)
    }
}

impl Finished {
    /// Each party's part of a model, under `models/PARTY`: in earnest it stays at its holder.
    fn save_models(&self, directory: &Path) -> Outcome<()> {
        for (party, file) in &self.receipts {
            let Some(text) = &file.local.model else {
                continue;
            };
            let home = directory.join("models").join(party.as_str());
            let part: serde_json::Value = serde_json::from_str(text).map_err(|_| unreadable())?;
            let id = part["part"]["model"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let path = home.join(format!("{id}.json"));
            std::fs::create_dir_all(&home).map_err(|error| cannot_write(&home, &error))?;
            write_private(&path, text.as_bytes()).map_err(|error| {
                Failure::runtime("write", error.to_string()).at(path.display().to_string())
            })?;
        }
        Ok(())
    }
}

fn unreadable() -> Failure {
    Failure::runtime("result", "the result that the agent keeps cannot be read")
}

/// In a rehearsal one person may see all parties' sides, so the party at fault is asked for its own words.
async fn in_more_detail(
    agents: &Agents,
    submitter: &PartyName,
    detail: &JobDetail,
    id: &str,
    failure: Failure,
) -> Failure {
    let ending = detail.job.ending.as_ref();
    let Some(culprit) = ending.and_then(|ending| ending.culprit.as_ref()) else {
        return failure.by(submitter.as_str());
    };
    let Some(agent) = agents.get(culprit) else {
        return failure;
    };
    // Its links may be gone before it has said why: to the others it is a lost peer then, and here its own word counts.
    let theirs = timeout(OWN_WORD_PATIENCE, agent.until_final(id)).await;
    let Ok(Ok(theirs)) = theirs else {
        return failure;
    };
    match ended_well(&theirs) {
        Err(own) if own.exit != Exit::PeerLost => Failure {
            exit: match failure.exit {
                Exit::PeerLost => own.exit,
                exit => exit,
            },
            ..own.by(culprit.as_str())
        },
        _ => failure,
    }
}
