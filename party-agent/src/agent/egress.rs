//! What left this agent in a job.

use std::collections::BTreeMap;

use coordinator::contract::{JobId, PartyName};

use super::Core;
use super::evidence::{DOSSIER, GatherError, PLAN};
use crate::api::Problem;
use crate::api::types::{Egress, EgressDocuments, EgressPeer};
use crate::evidence::{self, Dossier};
use crate::ledger::REPORT;
use crate::receipt::ReceiptFile;

impl Core {
    /// What left this agent in a completed job: bytes by kind and by peer, what was opened, and to whom.
    pub(crate) async fn egress(&self, job_id: JobId) -> Result<Egress, Problem> {
        let file: ReceiptFile = serde_json::from_str(&self.receipt(job_id).await?)
            .map_err(|_| GatherError::Kept { what: "receipt" })?;
        let receipt = &file.signed.receipt;
        let peer = |(name, messages): (&PartyName, &u64)| {
            let route = receipt.routes.get(name).cloned().unwrap_or_default();
            let messages = *messages;
            (name.clone(), EgressPeer { messages, route })
        };
        let peers: BTreeMap<PartyName, EgressPeer> = receipt.bytes_sent.iter().map(peer).collect();
        let messages: u64 = receipt.bytes_sent.values().sum();
        let plan = self.ledger.kept(job_id, PLAN).await?;
        let plan = plan.ok_or(GatherError::Kept { what: PLAN })?;
        let opened = evidence::opened(&plan)
            .map_err(|fault| Problem::runtime(fault.check.name(), fault.to_string()))?;
        Ok(Egress {
            job_id,
            party: self.name().clone(),
            overhead: file.local.wire_bytes_sent.saturating_sub(messages),
            peers,
            documents: self.documents_sent(job_id).await?,
            opened,
        })
    }

    /// What went to the coordinator, and by way of it to the other parties.
    async fn documents_sent(&self, job_id: JobId) -> Result<EgressDocuments, Problem> {
        let acceptance = self.ledger.acceptance(job_id).await?;
        let report = self.ledger.kept(job_id, REPORT).await?;
        let dossier = self.ledger.kept(job_id, DOSSIER).await?;
        let dossier: Option<Dossier> = dossier
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| GatherError::Kept { what: DOSSIER })?;
        let own = dossier.and_then(|mut dossier| dossier.witnesses.remove(self.name()));
        let seen = own.map_or(0, |own| own.seen.values().map(String::len).sum());
        Ok(EgressDocuments {
            acceptance: acceptance.map_or(0, |signed| signed.body().len()) as u64,
            report: report.map_or(0, |text| text.len()) as u64,
            cosignatures: seen as u64,
        })
    }
}
