//! What a lying coordinator, a lying proposer and honest mistakes lead to. Nothing here ever gets to an
//! [`Approved`] job but the honest course.

use coordinator::contract::{CatalogueDoc, ContractParty, PartyRole};
use coordinator::tls::Pin;

use super::*;
use crate::catalogue::{ColumnEntry, ColumnKind, TableEntry, Uses};
use crate::ledger::RunCounts;

const SPEC: &str = r#"
job       = "stays"
purpose   = "IRB 2026-117: length of stay"
receivers = ["a"]
[compute]
sql = """
SELECT kind, COUNT(*) AS n, SUM(stay) AS days
FROM (SELECT * FROM a.visits UNION ALL SELECT * FROM b.visits) v GROUP BY kind
"""
[privacy]
correlations = "dealer:d"
min_cell = 11
"#;

const POLICY: &str = r#"
min_cell = 11
open_counts = false
[[approve]]
purpose = "IRB 2026-117*"
receivers = ["a"]
max_runs = 3
[tables.visits.columns]
kind = { group_by = true }
stay = { aggregate = ["count", "sum"] }
"#;

const NOW: u64 = 1_800_000_000;

/// At this time, with a ledger that has counted nothing.
fn facts(now: u64) -> Facts<'static> {
    static NOTHING: RunCounts = RunCounts::new();
    Facts {
        now,
        runs: &NOTHING,
        forbidden: None,
    }
}

struct World {
    a: Identity,
    b: Identity,
    d: Identity,
    pins: Pins,
    policy: Policy,
    catalogues: Verified,
}

fn identity(name: &str) -> Identity {
    Identity::generate(PartyName::new(name).expect("a name"), 30).expect("an identity")
}

fn column(name: &str, kind: ColumnKind, categories: Option<&[&str]>) -> ColumnEntry {
    let is_number = categories.is_none();
    ColumnEntry {
        categories: categories.map(|c| c.iter().map(|c| Some((*c).to_owned())).collect()),
        class: None,
        hidden: None,
        kind,
        name: name.to_owned(),
        nullable: false,
        range: is_number.then(|| ("1".to_owned(), "14".to_owned())),
        unit: None,
        uses: Uses::all(),
    }
}

fn catalogue(party: &Identity, tables: bool) -> Catalogue {
    let int = ColumnKind::Int {
        bits: 64,
        signed: true,
    };
    let entry = TableEntry {
        columns: vec![
            column("kind", ColumnKind::Text, Some(&["x", "y"])),
            column("stay", int, None),
        ],
        commitment: None,
        consent: None,
        dominance: None,
        cohorts: None,
        note: None,
        rows_at_most: 1024,
        visible_to: None,
    };
    let mut catalogue = Catalogue {
        min_cell: 11,
        open_counts: false,
        round_to: None,
        party: party.name().as_str().parse().expect("a party"),
        rehearsal: false,
        tables: BTreeMap::new(),
    };
    if tables {
        catalogue.tables.insert("visits".to_owned(), entry);
    }
    catalogue
}

fn published(party: &Identity, tables: bool, version: u64) -> (PartyName, (Digest, Catalogue)) {
    let catalogue = catalogue(party, tables);
    let doc = CatalogueDoc {
        party: party.name().clone(),
        version,
        body: catalogue.to_json(),
        directed: Vec::new(),
    };
    (party.name().clone(), (doc.digest(), catalogue))
}

fn world() -> World {
    let (a, b, d) = (identity("a"), identity("b"), identity("d"));
    let mut pins = Pins::new();
    for id in [&a, &b, &d] {
        let pin = Pin::new(id.name().clone(), id.fingerprint());
        pins.add(pin).expect("distinct");
    }
    let catalogues = [
        published(&a, true, 1),
        published(&b, true, 1),
        published(&d, false, 1),
    ];
    World {
        catalogues: catalogues.into_iter().collect(),
        a,
        b,
        d,
        pins,
        policy: Policy::parse(POLICY).expect("a policy"),
    }
}

impl World {
    fn desk<'a>(&'a self, identity: &'a Identity) -> Desk<'a> {
        Desk {
            identity,
            pins: &self.pins,
            policy: &self.policy,
            catalogues: &self.catalogues,
            facts: facts(NOW),
        }
    }

    /// The contract that `a` proposes.
    fn contract(&self) -> Contract {
        self.contract_of(SPEC)
    }

    fn contract_of(&self, spec: &str) -> Contract {
        let checked = spec::check(spec).expect("a job file");
        let (plan, _) = compile(&checked, &self.catalogues).expect("a plan");
        contract(
            (JobId([7; 16]), Earlier::No),
            spec,
            &plan,
            &self.desk(&self.a),
        )
        .expect("a contract")
    }

    /// What `b` makes of a contract that `a` has changed before signing.
    fn refused(&self, change: impl FnOnce(&mut Contract)) -> Refusal {
        let mut contract = self.contract();
        change(&mut contract);
        let signed = Signed::sign(&contract, &self.a).expect("signed");
        vet(&signed, &self.desk(&self.b)).expect_err("refused")
    }

    fn vetted(&self, by: &Identity) -> Vetted {
        let signed = Signed::sign(&self.contract(), &self.a).expect("signed");
        vet(&signed, &self.desk(by)).expect("vetted")
    }

    fn acceptance(&self, by: &Identity, nonce: u8) -> Signed<Acceptance> {
        let approver = Approver::Persons(vec![Person::unsigned("jonas")]);
        let accepted = self
            .vetted(by)
            .accept(&approver, Nonce([nonce; 32]), Vec::new(), (by, NOW));
        accepted.expect("signed").1
    }

    fn acceptances(&self) -> Vec<Signed<Acceptance>> {
        vec![
            self.acceptance(&self.a, 1),
            self.acceptance(&self.b, 2),
            self.acceptance(&self.d, 3),
        ]
    }
}

#[test]
fn the_honest_course_leads_to_an_approved_job() {
    let world = world();
    let contract = world.contract();
    let roles: Vec<_> = contract
        .parties
        .iter()
        .map(|p| (p.name.as_str(), p.role, p.computing))
        .collect();
    assert_eq!(
        roles,
        [
            ("a", PartyRole::Holder, true),
            ("b", PartyRole::Holder, true),
            ("d", PartyRole::Dealer, false)
        ]
    );
    for (seat, me) in [&world.a, &world.b, &world.d].into_iter().enumerate() {
        let all = world.acceptances();
        let approved = world
            .vetted(me)
            .approve(&all[seat].clone(), &all)
            .expect("approved");
        assert_eq!(approved.binding().me, Seat::from_index(seat));
        assert_eq!(approved.binding().nonces, [1, 2, 3].map(|n| Nonce([n; 32])));
        let (_, _, _, disclosure) = approved.into_parts();
        assert_eq!(disclosure.receivers(), [Seat(0)]);
    }
}

#[test]
fn a_proposal_that_was_changed_on_its_way_is_refused() {
    let world = world();
    let signed = Signed::sign(&world.contract(), &world.a).expect("signed");
    let text = String::from_utf8(signed.body().to_vec()).expect("JSON");
    for (from, to) in [
        (r#""receivers":["a"]"#, r#""receivers":["b"]"#),
        ("SUM(stay)", "MAX(stay)"),
        ("IRB 2026-117", "IRB 2026-118"),
        (r#""created":1800000000"#, r#""created":1800000001"#),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let forged = Signed::from_parts(
            changed.into_bytes(),
            signed.public_key(),
            signed.signature(),
        );
        let refusal = vet(&forged, &world.desk(&world.b)).expect_err("refused");
        assert!(
            matches!(refusal, Refusal::Signature(SignError::Signature)),
            "{from}: {refusal}"
        );
    }
}

#[test]
fn a_contract_that_is_not_what_the_job_file_says_is_refused_by_its_field() {
    let world = world();
    let cases: [(&str, fn(&mut Contract)); 6] = [
        ("plan", |c| c.plan = Digest([9; 32])),
        ("receivers", |c| {
            c.receivers = vec![PartyName::new("b").expect("a name")]
        }),
        ("receivers", |c| {
            c.receivers = ["a", "b"]
                .map(|n| PartyName::new(n).expect("a name"))
                .to_vec();
        }),
        ("purpose", |c| c.purpose = "something harmless".to_owned()),
        ("job", |c| c.job = "another".to_owned()),
        ("parties", |c| {
            c.parties[2].role = PartyRole::Receiver;
        }),
    ];
    for (field, change) in cases {
        let refusal = world.refused(change);
        assert!(
            matches!(refusal, Refusal::Differs { field: found } if found == field),
            "{field}: {refusal}"
        );
    }
}

#[test]
fn a_widened_job_has_another_plan() {
    let world = world();
    // The plan digest belongs to the narrow query that the people were shown; the job file has been widened.
    let refusal = world.refused(|c| {
        c.spec = c
            .spec
            .replace("COUNT(*) AS n,", "COUNT(*) AS n, AVG(stay) AS mean,")
    });
    assert!(
        matches!(refusal, Refusal::Policy(_) | Refusal::Differs { .. }),
        "{refusal}"
    );
    let refusal = world.refused(|c| c.spec = c.spec.replace("min_cell = 11", "min_cell = 12"));
    assert!(
        matches!(refusal, Refusal::Differs { field: "plan" }),
        "{refusal}"
    );
    let refusal = world.refused(|c| c.spec.push_str("\n[extra]\n"));
    assert!(matches!(refusal, Refusal::Spec(_)), "{refusal}");
}

#[test]
fn a_party_under_another_key_or_unknown_is_refused() {
    let world = world();
    let refusal = world.refused(|c| c.parties[2].fingerprint = Fingerprint([9; 32]));
    assert!(
        matches!(&refusal, Refusal::OtherKey { party, .. } if party.as_str() == "d"),
        "{refusal}"
    );
    let refusal = world.refused(|c| {
        c.parties[2].name = PartyName::new("e").expect("a name");
    });
    assert!(
        matches!(&refusal, Refusal::UnknownParty { party } if party.as_str() == "e"),
        "{refusal}"
    );
    let refusal = world.refused(|c| {
        let stranger = ContractParty {
            name: PartyName::new("c").expect("a name"),
            fingerprint: Fingerprint([8; 32]),
            role: PartyRole::Receiver,
            computing: true,
        };
        c.parties.insert(2, stranger);
    });
    assert!(
        matches!(&refusal, Refusal::UnknownParty { party } if party.as_str() == "c"),
        "{refusal}"
    );
}

#[test]
fn a_proposal_by_a_stranger_or_in_anothers_name_is_refused() {
    let world = world();
    let stranger = identity("a");
    let signed = Signed::sign(&world.contract(), &stranger).expect("signed");
    let refusal = vet(&signed, &world.desk(&world.b)).expect_err("refused");
    assert!(
        matches!(refusal, Refusal::UnknownProposer { .. }),
        "{refusal}"
    );
    let signed = Signed::sign(&world.contract(), &world.d).expect("signed");
    let refusal = vet(&signed, &world.desk(&world.b)).expect_err("refused");
    assert!(
        matches!(refusal, Refusal::Signature(SignError::WrongKey { .. })),
        "{refusal}"
    );
}

#[test]
fn a_party_that_has_no_part_refuses() {
    let mut world = world();
    let c = identity("c");
    let pin = Pin::new(c.name().clone(), c.fingerprint());
    world.pins.add(pin).expect("one more");
    let signed = Signed::sign(&world.contract(), &world.a).expect("signed");
    let refusal = vet(&signed, &world.desk(&c)).expect_err("refused");
    assert!(matches!(refusal, Refusal::NotAParty), "{refusal}");
}

#[test]
fn contracts_out_of_their_time_are_refused() {
    let world = world();
    let refusal = world.refused(|c| {
        c.created = NOW - 100;
        c.not_after = NOW - 1;
    });
    assert!(matches!(refusal, Refusal::Expired { .. }), "{refusal}");
    let refusal = world.refused(|c| c.created = NOW + CLOCK_SKEW_S + 1);
    assert!(
        matches!(refusal, Refusal::FromTheFuture { .. }),
        "{refusal}"
    );
}

#[test]
fn a_catalogue_that_has_changed_or_is_missing_is_refused() {
    let mut world = world();
    let signed = Signed::sign(&world.contract(), &world.a).expect("signed");
    let (name, newer) = published(&world.a, true, 2);
    let older = world
        .catalogues
        .insert(name.clone(), newer)
        .expect("there was one");
    let refusal = vet(&signed, &world.desk(&world.b)).expect_err("refused");
    let other_version = |r: &Refusal| {
        matches!(
            r,
            Refusal::Catalogue {
                fault: CatalogueFault::OtherVersion,
                ..
            }
        )
    };
    assert!(other_version(&refusal), "{refusal}");
    // A holder whose own tables have changed since says the same.
    let refusal = vet(&signed, &world.desk(&world.a)).expect_err("refused");
    assert!(other_version(&refusal), "{refusal}");

    world
        .catalogues
        .insert(name.clone(), (older.0, catalogue(&world.b, true)));
    let refusal = vet(&signed, &world.desk(&world.b)).expect_err("refused");
    assert!(
        matches!(
            refusal,
            Refusal::Catalogue {
                fault: CatalogueFault::OtherParty,
                ..
            }
        ),
        "{refusal}"
    );

    world.catalogues.remove(&name);
    let refusal = vet(&signed, &world.desk(&world.b)).expect_err("refused");
    assert!(
        matches!(
            refusal,
            Refusal::Catalogue {
                fault: CatalogueFault::Missing,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn a_catalogue_that_the_contract_leaves_out_is_missed() {
    let world = world();
    let b = world.b.name().clone();
    let refusal = world.refused(|c| {
        c.catalogues.remove(&b);
    });
    assert!(matches!(refusal, Refusal::Plan(_)), "{refusal}");
}

#[test]
fn the_policy_has_its_say() {
    let mut world = world();
    world.policy =
        Policy::parse(&POLICY.replace("stay = { aggregate = [\"count\", \"sum\"] }", ""))
            .expect("a policy");
    let signed = Signed::sign(&world.contract(), &world.a).expect("signed");
    let Err(Refusal::Policy(denials)) = vet(&signed, &world.desk(&world.b)) else {
        panic!("refused by policy");
    };
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].rule, "tables.visits.columns.stay");
    // The dealer holds nothing, so its policy has nothing to protect.
    vet(&signed, &world.desk(&world.d)).expect("vetted");

    // Rows are counted without a look at a column, and the table has its purposes all the same.
    let columns = "[tables.visits.columns]";
    let audits = POLICY.replace(
        columns,
        &format!("[tables.visits]\npurposes = [\"audit *\"]\n{columns}"),
    );
    world.policy = Policy::parse(&audits).expect("a policy");
    let count = SPEC.replace("kind, COUNT(*) AS n, SUM(stay) AS days", "COUNT(*) AS n");
    let count = count.replace(" GROUP BY kind", "");
    let signed = Signed::sign(&world.contract_of(&count), &world.a).expect("signed");
    let Err(Refusal::Policy(denials)) = vet(&signed, &world.desk(&world.b)) else {
        panic!("refused by policy");
    };
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].rule, "tables.visits.purposes");
}

#[test]
fn a_standing_rule_covers_a_job_only_while_it_has_runs_left() {
    let world = world();
    let vetted = world.vetted(&world.b);
    assert!(vetted.standing_rule(&world.policy, |_| 2).is_some());
    assert!(vetted.standing_rule(&world.policy, |_| 3).is_none());
}

#[test]
fn every_acceptance_has_to_be_in_order() {
    let world = world();
    let all = world.acceptances();
    let other_contract = {
        let mut contract = world.contract();
        contract.job_id = JobId([8; 16]);
        let signed = Signed::sign(&contract, &world.a).expect("signed");
        let vetted = vet(&signed, &world.desk(&world.b)).expect("vetted");
        vetted
            .accept(
                &Approver::Rehearsal,
                Nonce([2; 32]),
                Vec::new(),
                (&world.b, NOW),
            )
            .expect("signed")
            .1
    };
    let forged = {
        let real = all[1].verify(&world.b.fingerprint()).expect("valid");
        let by_d = Signed::sign(&real, &world.d).expect("signed");
        Signed::from_parts(by_d.body().to_vec(), world.b.public_key(), by_d.signature())
    };
    let changed = |change: &dyn Fn(&mut Acceptance)| {
        let mut real = all[1].verify(&world.b.fingerprint()).expect("valid");
        change(&mut real);
        Signed::sign(&real, &world.b).expect("signed")
    };
    let in_anothers_name = changed(&|real| real.party = world.d.name().clone());
    let other_plan = changed(&|real| real.plan = Digest([9; 32]));
    let other_page = changed(&|real| {
        for page in real.pages.values_mut() {
            *page = Digest([9; 32]);
        }
    });
    // Whoever could show a checkpoint that the owner of the log never signed could make its agent stop for good.
    let seen = |by: &Identity| SignedCheckpoint::sign(5, Digest([9; 32]), by).to_string();
    let invented = changed(&|real| real.seen = vec![seen(&identity("a"))]);
    let of_a_stranger = changed(&|real| real.seen = vec![seen(&identity("s"))]);
    let honest = changed(&|real| real.seen = vec![seen(&world.a)]);
    let stranger = {
        let real = all[1].verify(&world.b.fingerprint()).expect("valid");
        Signed::sign(&real, &identity("b")).expect("signed")
    };
    let with = |second: Signed<Acceptance>| vec![all[0].clone(), second, all[2].clone()];
    let cases: Vec<(&str, Vec<Signed<Acceptance>>, &str)> = vec![
        (
            "missing",
            vec![all[0].clone(), all[2].clone()],
            "is missing",
        ),
        ("none at all", Vec::new(), "is missing"),
        (
            "twice",
            [with(all[1].clone()), vec![all[1].clone()]].concat(),
            "is there twice",
        ),
        (
            "two nonces of one party",
            [all.clone(), vec![world.acceptance(&world.b, 9)]].concat(),
            "is there twice",
        ),
        ("forged", with(forged), "is not validly signed"),
        (
            "another job's",
            with(other_contract),
            "was made for another contract",
        ),
        (
            "another plan's",
            with(other_plan),
            "was made for another contract",
        ),
        (
            "in another's name",
            with(in_anothers_name),
            "was made for another contract",
        ),
        ("another page's", with(other_page), "names another page"),
        (
            "with an invented checkpoint of this party's log",
            with(invented),
            "shows a checkpoint that no party",
        ),
        (
            "with the checkpoint of a stranger's log",
            with(of_a_stranger),
            "shows a checkpoint that no party",
        ),
        ("a stranger's", with(stranger.clone()), "is missing"),
        (
            "one too many",
            [all.clone(), vec![stranger]].concat(),
            "not a party",
        ),
    ];
    let vetted = || world.vetted(&world.a);
    assert!(vetted().approve(&all[0], &with(honest)).is_ok());
    for (what, acceptances, text) in cases {
        let refusal = vetted().approve(&all[0], &acceptances).err().expect(what);
        assert!(refusal.to_string().contains(text), "{what}: {refusal}");
    }
}

#[test]
fn an_acceptance_in_this_partys_name_must_be_the_one_in_its_ledger() {
    let world = world();
    let all = world.acceptances();
    let own = world.acceptance(&world.a, 77);
    let refusal = world
        .vetted(&world.a)
        .approve(&own, &all)
        .err()
        .expect("refused");
    assert!(
        matches!(
            refusal,
            Refusal::Acceptance {
                fault: AcceptanceFault::NotInLedger,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn every_refusal_has_a_code_that_a_rejection_can_carry() {
    let world = world();
    for refusal in [
        world.refused(|c| c.plan = Digest([9; 32])),
        world.refused(|c| c.parties[2].fingerprint = Fingerprint([9; 32])),
        world.refused(|c| c.created = NOW + 10_000),
        Refusal::NotAParty,
        Refusal::StrangeAcceptance,
        Refusal::Policy(Vec::new()),
        Refusal::Plan(Vec::new()),
    ] {
        assert!(PartyName::new(refusal.code()).is_ok(), "{}", refusal.code());
        assert!(!refusal.to_string().is_empty());
    }
}
