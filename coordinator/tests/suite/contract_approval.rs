//! Contracts and what parties sign: a lying coordinator can drop a statement, and nothing else.

use std::collections::BTreeMap;

use coordinator::contract::{
    Acceptance, CatalogueDoc, Contract, Digest, JobId, PartyRole, PersonalApproval, SignError,
    Signed, Statement, StatementError, canonical, named,
};
use coordinator::tls::Identity;

use crate::support::{accept, acceptance, contract, identity, name};

#[test]
fn a_signed_contract_reads_back() {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let signed = Signed::sign(&contract, &a).unwrap();
    assert_eq!(signed.verify(&a.fingerprint()).unwrap(), contract);
    assert_eq!(signed.digest(), contract.digest());
    let json = serde_json::to_string(&signed).unwrap();
    assert_eq!(
        serde_json::from_str::<Signed<Contract>>(&json).unwrap(),
        signed
    );
}

#[test]
fn the_canonical_form_of_a_contract_is_fixed() {
    let (a, b) = (identity("a"), identity("b"));
    let mut contract = contract(&[&a, &b], 1);
    contract.created = 1_795_000_000;
    contract.not_after = 1_795_003_600;
    let party = |p: &str, key| {
        format!(r#"{{"computing":true,"fingerprint":"{key}","name":"{p}","role":"holder"}}"#)
    };
    let expected = format!(
        concat!(
            r#"{{"catalogues":{{"a":"{catalogue}"}},"created":1795000000,"format":1,"job":"paid-by-diagnosis","#,
            r#""job_id":"01010101010101010101010101010101","not_after":1795003600,"parties":[{a},{b}],"plan":"{plan}","#,
            r#""proposer":"a","purpose":"IRB 2026-117: 住院费用","receivers":["a"],"spec":"job = \"paid-by-diagnosis\"\n"}}"#,
        ),
        catalogue = Digest::of(b"catalogue"),
        plan = Digest::of(b"plan"),
        a = party("a", a.fingerprint()),
        b = party("b", b.fingerprint()),
    );
    assert_eq!(
        String::from_utf8(canonical::encode(&contract).unwrap()).unwrap(),
        expected
    );
}

#[test]
fn every_flipped_bit_of_a_statement_is_found() {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let signed = accept(&contract, &a);
    for i in 0..signed.body().len() * 8 {
        let mut body = signed.body().to_vec();
        body[i / 8] ^= 1 << (i % 8);
        let forged =
            Signed::<Acceptance>::from_parts(body, signed.public_key(), signed.signature());
        assert_eq!(forged.verify(&a.fingerprint()), Err(SignError::Signature));
    }
    for i in 0..64 * 8 {
        let mut signature = signed.signature();
        signature.0[i / 8] ^= 1 << (i % 8);
        let forged = Signed::<Acceptance>::from_parts(
            signed.body().to_vec(),
            signed.public_key(),
            signature,
        );
        assert_eq!(forged.verify(&a.fingerprint()), Err(SignError::Signature));
    }
}

#[test]
fn a_statement_by_another_key_is_refused() {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    // b signs in a's name, and the coordinator presents it as a's.
    let forged = Signed::sign(&acceptance(&contract, &a), &b).unwrap();
    let expected = SignError::WrongKey {
        expected: a.fingerprint(),
        got: b.fingerprint(),
    };
    assert_eq!(forged.verify(&a.fingerprint()), Err(expected));
    // The same with a's public key pasted in.
    let pasted = Signed::<Acceptance>::from_parts(
        forged.body().to_vec(),
        a.public_key(),
        forged.signature(),
    );
    assert_eq!(pasted.verify(&a.fingerprint()), Err(SignError::Signature));
}

#[test]
fn a_signature_for_one_purpose_is_no_good_for_another() {
    let a = identity("a");
    let catalogue = CatalogueDoc {
        party: name("a"),
        version: 1,
        body: "{}".into(),
        directed: Vec::new(),
    };
    let signed = Signed::sign(&catalogue, &a).unwrap();
    let as_acceptance = Signed::<Acceptance>::from_parts(
        signed.body().to_vec(),
        signed.public_key(),
        signed.signature(),
    );
    assert_eq!(
        as_acceptance.verify(&a.fingerprint()),
        Err(SignError::Signature)
    );
}

#[test]
fn bytes_that_are_signed_but_not_canonical_are_refused() {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let text = String::from_utf8(canonical::encode(&contract).unwrap()).unwrap();
    let spaced = text.replacen("\"format\":1", "\"format\": 1", 1);
    let swapped = text.replacen(
        "\"receivers\":[\"a\"]",
        "\"receivers\":[\"b\"],\"receivers\":[\"a\"]",
        1,
    );
    for body in [spaced, swapped] {
        let signature = a.sign(Contract::CONTEXT, body.as_bytes());
        let signed = Signed::<Contract>::from_parts(body.into_bytes(), a.public_key(), signature);
        assert!(matches!(
            signed.verify(&a.fingerprint()),
            Err(SignError::Canonical(_))
        ));
    }
}

#[test]
fn contracts_that_break_a_rule_are_not_signed() {
    let (a, b, d) = (identity("a"), identity("b"), identity("d"));
    let good = contract(&[&a, &b, &d], 1);
    let cases: [(&str, fn(&mut Contract)); 16] = [
        ("format", |c| c.format = 2),
        ("job name", |c| c.job = String::new()),
        ("2 to 32", |c| c.parties.truncate(1)),
        ("twice", |c| c.parties[1].name = c.parties[0].name.clone()),
        ("same key", |c| {
            c.parties[1].fingerprint = c.parties[0].fingerprint
        }),
        ("order of seats", |c| c.parties.swap(0, 1)),
        ("holds no shares", |c| c.parties[2].role = PartyRole::Dealer),
        ("at most one dealer", |c| {
            for p in &mut c.parties[1..] {
                (p.role, p.computing) = (PartyRole::Dealer, false);
            }
        }),
        ("proposer", |c| c.proposer = name("z")),
        ("has a receiver", |c| c.receivers.clear()),
        ("each named once", |c| {
            c.receivers = vec![name("a"), name("a")]
        }),
        ("receiver is not a party", |c| c.receivers = vec![name("z")]),
        ("expires", |c| c.not_after = c.created),
        ("own place", |c| c.supersedes = Some(c.job_id)),
        ("go on with itself", |c| c.resumes = Some(c.job_id)),
        ("take the place of another", |c| {
            c.supersedes = Some(JobId([8; 16]));
            c.resumes = Some(JobId([9; 16]));
        }),
    ];
    for (rule, break_it) in cases {
        let mut contract = good.clone();
        break_it(&mut contract);
        match Signed::sign(&contract, &a) {
            Err(SignError::Statement(StatementError(text))) => {
                assert!(text.contains(rule), "{rule}: {text}")
            }
            other => panic!("{rule}: {other:?}"),
        }
    }
    let mut with_dealer = good;
    (
        with_dealer.parties[2].role,
        with_dealer.parties[2].computing,
    ) = (PartyRole::Dealer, false);
    assert!(Signed::sign(&with_dealer, &a).is_ok());
}

/// What persons have signed stands in an acceptance only if it is for just that, by those whom it names, each once.
#[test]
fn persons_in_an_acceptance_have_signed_it() {
    let (a, b, jonas, maria) = (
        identity("a"),
        identity("b"),
        identity("jonas"),
        identity("maria"),
    );
    let contract = contract(&[&a, &b], 1);
    let personal = |person: &Identity, change: &dyn Fn(&mut PersonalApproval)| {
        let mut approval = PersonalApproval {
            job_id: contract.job_id,
            contract: contract.digest(),
            pages: BTreeMap::new(),
            party: a.name().clone(),
            person: person.name().clone(),
        };
        change(&mut approval);
        Signed::sign(&approval, person).unwrap()
    };
    let label = |person: &Identity| named(person.name(), &person.fingerprint());
    let (by_jonas, by_maria) = (personal(&jonas, &|_| ()), personal(&maria, &|_| ()));
    let both = format!("persons {} and {}", label(&jonas), label(&maria));
    let sign = |approved_by: &str, signed_by: Vec<Signed<PersonalApproval>>| {
        let mut acceptance = acceptance(&contract, &a);
        acceptance.approved_by = approved_by.to_owned();
        acceptance.signed_by = signed_by;
        Signed::sign(&acceptance, &a)
    };
    let good = sign(&both, vec![by_jonas.clone(), by_maria.clone()]).unwrap();
    assert!(good.verify(&a.fingerprint()).is_ok());
    let forged = Signed::from_parts(
        by_jonas.body().to_vec(),
        maria.public_key(),
        by_jonas.signature(),
    );
    for (rule, approved_by, signed_by) in [
        ("not named", "person jonas", vec![by_jonas.clone()]),
        ("not named", &both, vec![by_jonas.clone(), by_jonas.clone()]),
        ("not validly signed", &both, vec![forged]),
        (
            "something else",
            &both,
            vec![personal(&jonas, &|p| p.job_id = JobId([9; 16]))],
        ),
        (
            "something else",
            &both,
            vec![personal(&jonas, &|p| p.contract = Digest([9; 32]))],
        ),
        (
            "something else",
            &both,
            vec![personal(&jonas, &|p| p.party = b.name().clone())],
        ),
        ("at most eight", &both, vec![by_jonas; 9]),
    ] {
        match sign(approved_by, signed_by) {
            Err(SignError::Statement(StatementError(text))) => {
                assert!(text.contains(rule), "{rule}: {text}")
            }
            other => panic!("{rule}: {other:?}"),
        }
    }
}

#[test]
fn digests_tell_contracts_apart() {
    let (a, b) = (identity("a"), identity("b"));
    let contract = contract(&[&a, &b], 1);
    let mut other = contract.clone();
    other.job_id = JobId([2; 16]);
    let mut widened = contract.clone();
    widened.receivers.push(name("b"));
    assert_ne!(contract.digest(), other.digest());
    assert_ne!(contract.digest(), widened.digest());
}
