//! A party that the test plays: it accepts jobs like any other, and then does what the test wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::client::{ClientConfig, CoordinatorClient, Events};
use coordinator::clock::{Clock, SystemClock};
use coordinator::contract::{Acceptance, CatalogueDoc, Contract, Digest, Nonce, Signed};
use coordinator::control::{Event, Start};
use coordinator::tls::{Expect, Identity};
use party_agent::approve::{Approver, Desk, Verified, vet};
use party_agent::catalogue::{Catalogue, describe};
use party_agent::ledger;
use party_agent::ledger::RunCounts;
use party_agent::policy::{Facts, Policy};
use party_agent::source::Source;

use crate::world::{World, within};

pub(crate) struct Puppet {
    identity: Arc<Identity>,
    client: CoordinatorClient,
    events: Events,
    policy: Policy,
    own: (Digest, Catalogue),
    pins: coordinator::tls::Pins,
}

impl Puppet {
    /// Connects as this party, and publishes what its directory holds. Advertises `reachable_at`.
    pub(crate) async fn new(world: &World, party: &str, reachable_at: Option<String>) -> Self {
        let identity = Arc::clone(world.identity(party));
        let expected = Expect {
            name: world.coordinator.name().clone(),
            fingerprint: world.coordinator.fingerprint(),
        };
        let mut config =
            ClientConfig::new(Arc::clone(&identity), world.address.to_string(), expected);
        config.reachable_at = reachable_at;
        let (client, events) = CoordinatorClient::connect(config);
        let home = world.home(party);
        let policy = Policy::load(&home.join("policy.toml")).expect("a policy");
        let source = Source::open_dir(&home).await.expect("tables");
        let mut catalogue = Catalogue {
            min_cell: policy.min_cell(),
            open_counts: policy.open_counts(),
            round_to: policy.round_to(),
            party: party.parse().expect("a party"),
            rehearsal: false,
            tables: BTreeMap::new(),
        };
        for table in source.tables().keys() {
            let publish = policy.publish(table).expect("listed");
            let entry = describe(&source, table, &publish, None)
                .await
                .expect("described");
            catalogue.tables.insert(table.clone(), entry);
        }
        let doc = CatalogueDoc {
            party: identity.name().clone(),
            version: 1,
            body: catalogue.to_json(),
            directed: Vec::new(),
        };
        let signed = Signed::sign(&doc, &identity).expect("signed");
        within(
            "the puppet publishes",
            client.publish_catalogue(signed.clone()),
        )
        .await
        .expect("published");
        Self {
            own: (signed.digest(), catalogue),
            identity,
            client,
            events,
            policy,
            pins: world.pins.clone(),
        }
    }

    /// The next proposal.
    pub(crate) async fn proposal(&mut self) -> Signed<Contract> {
        within("a proposal", async {
            loop {
                match self.events.next().await.expect("the line is open") {
                    Event::JobProposed(signed) => return signed,
                    _ => continue,
                }
            }
        })
        .await
    }

    /// Accepts a proposal as an honest agent does.
    pub(crate) async fn accept(&self, signed: &Signed<Contract>) -> Signed<Acceptance> {
        let mut catalogues = Verified::new();
        for pin in self
            .pins
            .iter()
            .filter(|pin| pin.name != *self.identity.name())
        {
            let published = self.client.catalogue(&pin.name).await.expect("answered");
            if let Some(doc) = published.map(|published| published.catalogue) {
                let body: CatalogueDoc = doc.verify(&pin.fingerprint).expect("signed");
                let catalogue = Catalogue::from_json(&body.body).expect("readable");
                catalogues.insert(pin.name.clone(), (doc.digest(), catalogue));
            }
        }
        catalogues.insert(self.identity.name().clone(), self.own.clone());
        let now = SystemClock.now_unix_s();
        let desk = Desk {
            identity: &self.identity,
            pins: &self.pins,
            policy: &self.policy,
            catalogues: &catalogues,
            facts: Facts {
                now,
                runs: &RunCounts::default(),
                forbidden: None,
            },
        };
        let vetted = vet(signed, &desk).expect("vetted");
        let approver = Approver::Persons(vec![ledger::Person::unsigned("puppet")]);
        let (_, acceptance) = vetted
            .accept(
                &approver,
                Nonce([9; 32]),
                Vec::new(),
                (&*self.identity, now),
            )
            .expect("signed");
        self.client
            .accept(acceptance.clone())
            .await
            .expect("accepted");
        acceptance
    }

    /// Waits until the coordinator says "start".
    pub(crate) async fn start(&mut self) -> Start {
        within("a start", async {
            loop {
                if let Event::Start(start) = self.events.next().await.expect("the line is open") {
                    return *start;
                }
            }
        })
        .await
    }

    /// The addresses that a start gives, by name.
    pub(crate) fn addresses(start: &Start) -> BTreeMap<String, Option<String>> {
        start
            .addresses
            .iter()
            .map(|(name, address)| (name.to_string(), address.clone()))
            .collect()
    }

    /// Goes without a word, as a killed process does not: the coordinator is told goodbye.
    pub(crate) async fn leave(self) {
        self.client.close();
        self.events.closed().await;
    }
}
