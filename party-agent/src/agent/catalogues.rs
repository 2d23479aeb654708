//! What this party publishes, and what the others do.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, RwLock};

use coordinator::client::{ClientError, CoordinatorClient};
use coordinator::clock::{Clock as _, SystemClock};
use coordinator::contract::{CatalogueDoc, Digest, PartyName, Published, SignError, Signed};
use coordinator::control::CallError;
use coordinator::tls::{Identity, Pins};
use protocols::party::PartyId;
use zeroize::Zeroizing;

use super::rules::load_policy;
use super::{AgentError, Mode, random};
use crate::approve::{CatalogueFault, Refusal};
use crate::catalogue::{Catalogue, CatalogueError, Commitment, TableEntry, describe};
use crate::config::{AgentConfig, Dataset, parse_datasets};
use crate::execute::PreparedTables;
use crate::ledger::Ledger;
use crate::policy::Policy;
use crate::result;
use crate::source::{Source, SourceError};

/// This party's tables and its own catalogue.
pub(crate) struct Catalogues {
    current: RwLock<Arc<Own>>,
    /// Hides what is committed to. It outlives the agent, so that commitments do.
    secret: Zeroizing<[u8; 32]>,
}

/// One state of this party's tables, and what is published of them.
pub(crate) struct Own {
    pub(crate) source: Source,
    /// What this state's tables were prepared as, for lookups.
    pub(crate) prepared: PreparedTables,
    pub(crate) catalogue: Catalogue,
    /// As it was signed, with the descriptions for some parties beside it.
    published: Published,
    pub(crate) version: u64,
}

impl Own {
    pub(crate) fn digest(&self) -> Digest {
        self.published.catalogue.digest()
    }
}

impl Catalogues {
    /// Opens all tables that the configuration names, and writes the catalogue.
    pub(super) async fn open(
        config: &AgentConfig,
        mode: Mode,
        ledger: &Ledger,
        identity: &Identity,
    ) -> Result<Self, AgentError> {
        let mut source = Source::empty();
        for dataset in config.datasets.iter().chain(&registered(config)?) {
            let added = add(&mut source, dataset).await;
            added.map_err(|source| AgentError::Dataset {
                name: dataset.name.clone(),
                source,
            })?;
        }
        let policy = match load_policy(config, mode) {
            Ok(policy) => policy,
            // An agent without a policy is no use to others but can still receive: it publishes nothing.
            Err(error) => return Err(error.into()),
        };
        let path = config.commitments_file();
        let secret = secret(&path).map_err(|source| AgentError::File { path, source })?;
        let catalogue = published(&config.name, &source, &policy, &secret)
            .await
            .map_err(|(name, source)| AgentError::Dataset { name, source })?;
        let own = sign((source, catalogue), &secret, ledger, identity).await?;
        Ok(Self {
            current: RwLock::new(Arc::new(own)),
            secret,
        })
    }

    /// The present state.
    pub(crate) fn current(&self) -> Arc<Own> {
        Arc::clone(
            &self
                .current
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// What opens the commitment to a table, if there is one.
    pub(super) async fn commitment(
        &self,
        source: &Source,
        table: &str,
    ) -> Result<Option<Commitment>, SourceError> {
        commitment(source, table, &self.secret).await
    }

    /// Adds a table, and writes a new catalogue. Nothing changes if the table cannot be read.
    pub(crate) async fn add(
        &self,
        dataset: &Dataset,
        policy: &Policy,
        ledger: &Ledger,
        identity: &Identity,
    ) -> Result<Arc<Own>, AgentError> {
        let failed = |source| AgentError::Dataset {
            name: dataset.name.clone(),
            source,
        };
        let mut source = self.current().source.clone();
        add(&mut source, dataset).await.map_err(failed)?;
        let catalogue = published(identity.name(), &source, policy, &self.secret)
            .await
            .map_err(|(name, source)| AgentError::Dataset { name, source })?;
        let own = Arc::new(sign((source, catalogue), &self.secret, ledger, identity).await?);
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&own);
        Ok(own)
    }

    /// Sends this party's catalogue to the coordinator, under a higher version if it knows that one for another.
    pub(crate) async fn publish(
        &self,
        client: &CoordinatorClient,
        ledger: &Ledger,
        identity: &Identity,
    ) -> Result<(), AgentError> {
        let own = self.current();
        let Err(ClientError::Refused(CallError::StaleCatalogue { published })) =
            client.publish_catalogue(own.published.clone()).await
        else {
            // Without an answer it is sent again when the connection is back.
            return Ok(());
        };
        // A ledger that was restored from a backup may have forgotten versions that others have seen.
        let next = Arc::new(
            sign_as(
                (own.source.clone(), own.catalogue.clone()),
                published + 1,
                &self.secret,
                ledger,
                identity,
            )
            .await?,
        );
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&next);
        let _ = client.publish_catalogue(next.published.clone()).await;
        Ok(())
    }
}

/// Opens a table, behind its consents if it has some.
async fn add(source: &mut Source, dataset: &Dataset) -> Result<(), SourceError> {
    source.add(&dataset.name, &dataset.spec).await?;
    match &dataset.consent {
        None => Ok(()),
        Some(consent) => source.ask_consent(&dataset.name, consent).await,
    }
}

/// The tables that were registered while the agent ran.
pub(crate) fn registered(config: &AgentConfig) -> Result<Vec<Dataset>, AgentError> {
    let path = config.datasets_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(AgentError::File { path, source }),
    };
    parse_datasets(&text, &config.state).map_err(|faults| AgentError::Datasets { path, faults })
}

/// The commitment to a table as it was opened, if it stands in files.
async fn commitment(
    source: &Source,
    table: &str,
    secret: &[u8; 32],
) -> Result<Option<Commitment>, SourceError> {
    let Some(data) = source.tables().get(table).map(Arc::clone) else {
        return Ok(None);
    };
    // A file of gigabytes takes seconds.
    let content = tokio::task::spawn_blocking(move || data.content()).await;
    let content = content.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    Ok(content.map(|content| Commitment::new(secret, table, content)))
}

/// The secret behind this party's commitments; drawn when there is none.
fn secret(path: &Path) -> std::io::Result<Zeroizing<[u8; 32]>> {
    let drawn = || random::bytes::<32>().map_err(std::io::Error::other);
    let mut secret = Zeroizing::new([0; 32]);
    match std::fs::File::open(path) {
        Ok(mut file) => file.read_exact(&mut *secret)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            *secret = drawn()?;
            result::write_private(path, &*secret).map_err(std::io::Error::other)?;
        }
        Err(error) => return Err(error),
    }
    Ok(secret)
}

/// What the policy lets out about this party's tables. The error names the table.
async fn published(
    name: &PartyName,
    source: &Source,
    policy: &Policy,
    secret: &[u8; 32],
) -> Result<Catalogue, (String, SourceError)> {
    let mut tables = BTreeMap::new();
    for table in source.tables().keys() {
        let Some(publish) = policy.publish(table) else {
            continue;
        };
        let note = policy.tables().get(table).and_then(|t| t.note.clone());
        let failed = |e| (table.clone(), e);
        let mut entry: TableEntry = describe(source, table, &publish, note)
            .await
            .map_err(failed)?;
        let committed = commitment(source, table, secret).await.map_err(failed)?;
        entry.commitment = committed.map(|c| c.digest());
        let rules = policy.tables().get(table);
        entry.dominance = rules.and_then(|t| t.dominance.clone());
        entry.cohorts = rules.and_then(|t| t.cohorts.clone());
        entry.visible_to = rules.and_then(|t| t.visible_to.clone());
        tables.insert(table.clone(), entry);
    }
    let party: PartyId = name
        .as_str()
        .parse()
        .expect("both kinds of name follow the same rule");
    Ok(Catalogue {
        min_cell: policy.min_cell(),
        open_counts: policy.open_counts(),
        round_to: policy.round_to(),
        party,
        rehearsal: policy.is_rehearsal(),
        tables,
    })
}

/// Signs a catalogue under the version that it had, or under the next one if it has changed.
async fn sign(
    (source, catalogue): (Source, Catalogue),
    secret: &[u8; 32],
    ledger: &Ledger,
    identity: &Identity,
) -> Result<Own, AgentError> {
    let version = match ledger.catalogue(identity.name()).await? {
        None => 1,
        Some((version, digest)) => {
            let (document, _) = catalogue.document(identity.name(), version, secret);
            let same = document.digest() == digest;
            version + u64::from(!same)
        }
    };
    sign_as((source, catalogue), version, secret, ledger, identity).await
}

async fn sign_as(
    (source, catalogue): (Source, Catalogue),
    version: u64,
    secret: &[u8; 32],
    ledger: &Ledger,
    identity: &Identity,
) -> Result<Own, AgentError> {
    let (document, directed) = catalogue.document(identity.name(), version, secret);
    let published = Published {
        catalogue: Signed::sign(&document, identity)?,
        directed,
    };
    published.check(&document).map_err(SignError::from)?;
    ledger
        .note_catalogue(
            identity.name(),
            version,
            &document.digest(),
            SystemClock.now_unix_s(),
        )
        .await?;
    Ok(Own {
        source,
        prepared: PreparedTables::default(),
        catalogue,
        published,
        version,
    })
}

/// Why a peer's catalogue cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerCatalogueError {
    /// The coordinator does not answer: it may be tried again.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// The document is no good, or nobody trusts its party.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A peer's catalogue, as the coordinator shows it and the peer has signed it, with the tables that are for `me` among others.
pub(crate) async fn of_peer(
    me: &PartyName,
    party: &PartyName,
    pins: &Pins,
    client: &CoordinatorClient,
    ledger: &Ledger,
) -> Result<(Digest, Catalogue), PeerCatalogueError> {
    let fault = |fault| Refusal::Catalogue {
        party: party.clone(),
        fault,
    };
    let pin = pins.find(party).ok_or_else(|| Refusal::UnknownParty {
        party: party.clone(),
    })?;
    let published = client
        .catalogue(party)
        .await?
        .ok_or_else(|| fault(CatalogueFault::Missing))?;
    let doc: CatalogueDoc = pin
        .verify(&published.catalogue)
        .map_err(|e: SignError| fault(CatalogueFault::Signature(e)))?;
    published
        .check(&doc)
        .map_err(|e| fault(CatalogueFault::Description(e)))?;
    if published
        .directed
        .iter()
        .any(|d| !d.visible_to.contains(me))
    {
        return Err(fault(CatalogueFault::ForOthers).into());
    }
    let unreadable = |e: CatalogueError| fault(CatalogueFault::Unreadable(e.to_string()));
    let mut catalogue = Catalogue::from_json(&doc.body).map_err(unreadable)?;
    catalogue.add(&published.directed).map_err(unreadable)?;
    if doc.party != *party || catalogue.party.as_str() != party.as_str() {
        return Err(fault(CatalogueFault::OtherParty).into());
    }
    let digest = published.catalogue.digest();
    let now = SystemClock.now_unix_s();
    if !ledger
        .note_catalogue(party, doc.version, &digest, now)
        .await?
    {
        return Err(fault(CatalogueFault::Old).into());
    }
    Ok((digest, catalogue))
}
