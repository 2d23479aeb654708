use std::path::{Path, PathBuf};

use coordinator::tls::{Fingerprint, Former};

use super::*;

const FILE: &str = "/data/a \"b\"/就诊.csv";

fn known() -> Template {
    Template {
        name: PartyName::new("clinic_a").unwrap(),
        coordinator: PartyName::new("hub").unwrap(),
        address: "hub.example.org:7400".into(),
        fingerprint: None,
        direct: Some(("127.0.0.1:0".into(), None)),
        api: "127.0.0.1:0".into(),
        files: vec![("就诊".into(), PathBuf::from(FILE))],
    }
}

#[test]
fn a_new_configuration_lacks_only_the_coordinators_key() {
    let text = template(&known());
    let faults = AgentConfig::parse(&text, Path::new("/base")).expect_err("a fault");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].field, "coordinator.fingerprint");

    let pin = Fingerprint([7; 32]);
    let text = with_coordinator_pin(&text, &pin).expect("a place for it");
    let config = AgentConfig::parse(&text, Path::new("/base")).expect("a configuration");
    assert_eq!(config.coordinator.fingerprint, pin);
    let expected = Dataset {
        name: "就诊".into(),
        spec: DatasetSpec::Csv(PathBuf::from(FILE)),
        consent: None,
    };
    assert_eq!(config.datasets, [expected]);
    changes_over(&text, &config);
    assert_eq!(config.direct.expect("direct").advertise, None);
    assert!(with_coordinator_pin(&text, &pin).is_none());
}

#[test]
fn an_address_that_cannot_be_dialled_needs_another_to_be_told() {
    let text = template(&Template {
        fingerprint: Some(Fingerprint([7; 32])),
        direct: Some(("0.0.0.0:7401".into(), None)),
        ..known()
    });
    let faults = AgentConfig::parse(&text, Path::new("/base")).expect_err("a fault");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].field, "direct.advertise");
}

/// The coordinator changes over twice; nothing else of the file changes.
fn changes_over(text: &str, before: &AgentConfig) {
    let mut pin = before.coordinator.pin();
    let mut text = text.to_owned();
    for (key, until) in [(2, 1_000), (3, 2_000)] {
        let next = Fingerprint([key; 32]);
        let fingerprint = std::mem::replace(&mut pin.fingerprint, next);
        pin.former.push(Former { fingerprint, until });
        text = with_coordinator_successor(&text, &pin).expect("a line of its own");
        let mut config = AgentConfig::parse(&text, Path::new("/base")).expect("valid");
        assert_eq!(config.coordinator.pin(), pin);
        config.coordinator = before.coordinator.clone();
        assert_eq!(format!("{config:?}"), format!("{before:?}"));
    }
    // Of another key, or written in another way, it is left alone.
    let mut other = pin.clone();
    other.former.push(Former {
        fingerprint: Fingerprint([9; 32]),
        until: 1,
    });
    assert!(with_coordinator_successor(&text, &other).is_none());
    let fingerprint = std::mem::replace(&mut pin.fingerprint, Fingerprint([4; 32]));
    pin.former.push(Former {
        fingerprint,
        until: 3_000,
    });
    let several = text.replace("former = [", "former = [\n");
    assert!(with_coordinator_successor(&several, &pin).is_none());
}
