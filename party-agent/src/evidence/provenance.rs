//! Where a result comes from, as W3C PROV-JSON: who agreed, which run used whose catalogue under which plan, and what came out.

use coordinator::contract::Contract;
use coordinator::tls::Fingerprint;
use serde_json::{Map, Value, json};

use super::{Check, Evidence, Fault};

/// The relations that are made here, and the two ends of each.
const RELATIONS: [(&str, &str, &str); 5] = [
    ("used", "prov:activity", "prov:entity"),
    ("wasGeneratedBy", "prov:entity", "prov:activity"),
    ("wasAssociatedWith", "prov:activity", "prov:agent"),
    ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity"),
    ("actedOnBehalfOf", "prov:delegate", "prov:responsible"),
];

/// The provenance that the documents of a file tell.
pub(super) fn of(evidence: &Evidence, contract: &Contract) -> Result<Value, Fault> {
    let run = format!("entente:run/{}", contract.job_id);
    let (agreed, plan) = ("entente:contract".to_owned(), "entente:plan".to_owned());
    let (mut entities, mut agents) = (Map::new(), Map::new());
    let mut relations: Vec<Map<String, Value>> = vec![Map::new(); RELATIONS.len()];
    let mut relate = |relation: usize, from: &str, to: &str, more: Option<(&str, &str)>| {
        let (_, first, second) = RELATIONS[relation];
        let mut ends = json!({ first: from, second: to });
        if let Some((field, value)) = more {
            ends[field] = value.into();
        }
        let n = relations[relation].len();
        relations[relation].insert(format!("_:r{relation}_{n}"), ends);
    };
    entities.insert(
        agreed.clone(),
        digest(&evidence.contract.digest().to_string()),
    );
    entities.insert(plan.clone(), digest(&contract.plan.to_string()));
    relate(0, &run, &agreed, None);
    for (holder, catalogue) in &contract.catalogues {
        let entity = format!("entente:catalogue/{holder}");
        relate(0, &run, &entity, None);
        entities.insert(entity, digest(&catalogue.to_string()));
    }
    for party in &contract.parties {
        let agent = format!("entente:party/{}", party.name);
        let key = party.fingerprint.to_string();
        relate(2, &run, &agent, Some(("prov:plan", &plan)));
        agents.insert(
            agent,
            json!({ "prov:type": "prov:Organization", "entente:key": key }),
        );
    }
    for signed in &evidence.acceptances {
        let acceptance = signed.verify(&Fingerprint::of(&signed.public_key()));
        let acceptance = acceptance.map_err(|e| Check::Approval.fault(e.to_string()))?;
        let person = format!("entente:approver/{}", acceptance.party);
        let party = format!("entente:party/{}", acceptance.party);
        relate(4, &person, &party, None);
        agents.insert(
            person,
            json!({ "entente:approved_by": acceptance.approved_by }),
        );
    }
    for receiver in &contract.receivers {
        let Some(signed) = evidence.receipts.get(receiver) else {
            continue;
        };
        let receipt = signed.verify(&Fingerprint::of(&signed.public_key()));
        let receipt = receipt.map_err(|e| Check::Receipt.fault(e.to_string()))?;
        let result = format!("entente:result/{receiver}");
        relate(1, &result, &run, None);
        for holder in contract.catalogues.keys() {
            relate(3, &result, &format!("entente:catalogue/{holder}"), None);
        }
        let commitment = receipt.output.map(|d| d.to_string());
        entities.insert(result, digest(&commitment.unwrap_or_default()));
    }
    let mut document = json!({
        "prefix": { "entente": "urn:entente:" },
        "entity": entities,
        "activity": { run: { "entente:job": contract.job } },
        "agent": agents,
    });
    for ((name, ..), relation) in RELATIONS.iter().zip(relations) {
        document[*name] = relation.into();
    }
    Ok(document)
}

fn digest(hex: &str) -> Value {
    json!({ "entente:sha256": hex })
}

/// Whether nothing is named that is not there, and everything is as the documents say.
pub(super) fn verify(evidence: &Evidence, contract: &Contract) -> Result<(), Fault> {
    let document = &evidence.provenance;
    let known = |id: &Value| {
        let id = id.as_str().unwrap_or_default();
        ["entity", "activity", "agent"]
            .iter()
            .any(|kind| document[*kind].get(id).is_some())
    };
    for (name, first, second) in RELATIONS {
        for ends in document[name].as_object().into_iter().flatten() {
            for end in [first, second] {
                if !known(&ends.1[end]) {
                    return Err(Check::Provenance.fault(format!("{name} names {}", ends.1[end])));
                }
            }
        }
    }
    match of(evidence, contract)? == *document {
        true => Ok(()),
        false => Err(Check::Provenance.fault("it is not what the documents say")),
    }
}
