//! Intersections: what a job file may say, what is planned and why, and what a policy says to it.

use party_agent::plan::{Procedure, Protocol};
use party_agent::policy::Policy;
use party_agent::spec::check;

use super::fixture::{
    Catalogues, bad_file, catalogue, column, denials, faults, int, party, plan, table,
};
use coordinator::contract::PartyName;
use party_agent::catalogue::{ColumnKind, TableEntry};

fn people(rows_at_most: u64) -> TableEntry {
    let mut people = table(vec![
        column("national_id", ColumnKind::Text),
        column("born", ColumnKind::Date),
        column("number", int(64)),
        column("weight", ColumnKind::Float),
        column("alive", ColumnKind::Bool),
        column("nothing", ColumnKind::Empty),
    ]);
    people.rows_at_most = rows_at_most;
    people
}

fn two(rows: u64) -> Catalogues {
    let holders = ["hospital", "insurer"];
    let entry = |name: &str| (party(name), catalogue(name, vec![("people", people(rows))]));
    holders.map(entry).into()
}

const KEYS: &str = r#"["hospital.people.national_id", "insurer.people.national_id"]"#;

fn job(keys: &str, receivers: &str, more: &str) -> String {
    format!(
        "job = \"overlap\"\npurpose = \"a test\"\nreceivers = {receivers}\n[compute.intersect]\nkeys = {keys}\n{more}\n"
    )
}

fn of_two(more: &str) -> String {
    job(KEYS, "[\"hospital\"]", more)
}

fn protocol(text: &str, catalogues: &Catalogues) -> (Protocol, String) {
    let plan = plan(text, catalogues);
    match &plan.procedure {
        Procedure::Intersect(of) => (of.protocol, of.words.join("\n")),
        _ => panic!("an intersection"),
    }
}

#[test]
fn all_faults_of_a_job_file_are_told_at_once() {
    let text = job(
        r#"["hospital.people", ["insurer.people.a", "insurer.others.b"], 7]"#,
        r#"["bank"]"#,
        "normalise = \"upper\"\nreveal = \"member\"\nprotocol = \"rr22\"\njion = 1",
    );
    let found = bad_file(&text);
    let expected = [
        "line 5, compute.intersect.keys[1]: \"hospital.people\" is not the name of a column; allowed: \"party.table.column\"",
        "line 5, compute.intersect.keys[2]: insurer.others.b is not in the table insurer.people; allowed: columns of one table",
        "line 5, compute.intersect.keys[3]: a whole number is not a key; allowed: \"party.table.column\"",
        "line 6, compute.intersect.normalise: \"upper\" is not a rule; allowed: \"none\", \"trim\", \"upper_alnum\" or \"digits\"",
        "line 7, compute.intersect.reveal: \"member\" cannot be revealed; allowed: \"count\", \"rows\" or \"sum:party.table.column\"",
        "line 8, compute.intersect.protocol: \"rr22\" is not known here; allowed: \"auto\", \"vole\", \"ecdh\" or \"oprf\"",
        "line 9, compute.intersect.jion: unknown field; did you mean join?; allowed: known here: keys, normalise, reveal, join, protocol",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_no_job_can_ask_for() {
    let eleven: Vec<String> = (0..11).map(|i| format!("\"p{i}.t.id\"")).collect();
    let eleven = format!("[{}]", eleven.join(", "));
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            &eleven,
            "[\"p0\"]",
            "reveal = \"count\"",
            "names 11 holders",
        ),
        (
            r#"["hospital.people.national_id"]"#,
            "[\"hospital\"]",
            "reveal = \"count\"",
            "names 1 holders",
        ),
        (
            r#"["a.t.id", "a.u.id"]"#,
            "[\"a\"]",
            "reveal = \"count\"",
            "names a second key of a",
        ),
        (
            r#"[["a.t.id", "a.t.day"], "b.t.id"]"#,
            "[\"a\"]",
            "reveal = \"count\"",
            "has 1 columns, the first key has another number",
        ),
        (
            KEYS,
            "[\"hospital\"]",
            "",
            "compute.intersect.reveal: this field is missing",
        ),
        (
            KEYS,
            "[\"analyst\"]",
            "reveal = \"count\"",
            "line 3, receivers: analyst holds none of the keys that are compared; allowed: receivers among hospital, insurer",
        ),
        (
            KEYS,
            "[\"hospital\"]",
            "reveal = \"count\"\njoin = \"left\"",
            "compute.intersect.join: chooses among keys, but no keys are revealed",
        ),
    ];
    for (keys, receivers, more, expected) in cases {
        let found = check(&job(keys, receivers, more)).expect_err(expected);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn what_the_catalogues_do_not_have_is_refused_with_its_place() {
    let with = |a: &str, b: &str| {
        let keys = format!("[\"{a}\",\n\"{b}\"]");
        faults(
            &job(&keys, "[\"hospital\"]", "reveal = \"count\""),
            &two(1024),
        )
    };
    let id = "hospital.people.national_id";
    let cases = [
        (
            with(id, "insurer.people.nationalid"),
            "compute.intersect.keys[2], line 6: insurer.people has no column nationalid; did you mean national_id?; columns there are national_id, born, number, weight, alive, nothing",
        ),
        (
            with(id, "insurer.peple.national_id"),
            "compute.intersect.keys[2], line 6: insurer publishes no table peple; did you mean people?; tables there are people",
        ),
        (
            with(id, "insurers.people.national_id"),
            "compute.intersect.keys[2], line 6: there is no party insurers; did you mean insurer?; name one of hospital, insurer",
        ),
        (
            with(id, "insurer.people.weight"),
            "compute.intersect.keys[2], line 6: insurer.people.weight is a number with a point, which is no key; compare texts, whole numbers or dates",
        ),
        (
            with(id, "insurer.people.alive"),
            "compute.intersect.keys[2], line 6: insurer.people.alive is true or false, which is no key; compare texts, whole numbers or dates",
        ),
        (
            with(id, "insurer.people.born"),
            "compute.intersect.keys[2], line 6: insurer.people.born is a date, but hospital.people.national_id is text; compare columns of one type, or publish one of them as the other's type",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [expected]);
    }
    let both = with("hospital.people.x", "insurer.people.y");
    assert_eq!(both.len(), 2, "all at once: {both:?}");
}

#[test]
fn the_protocol_is_chosen_and_the_plan_says_why() {
    let rows = of_two("reveal = \"rows\"");
    let (large, why) = protocol(&rows, &two(1 << 20));
    assert_eq!(large, Protocol::Vole);
    assert!(
        why.contains(
            "VOLE-PSI (vole): predicted for the published sizes on a metro network: vole "
        ),
        "{why}"
    );
    let (small, why) = protocol(&rows, &two(1024));
    assert_eq!(small, Protocol::Ecdh, "{why}");
    let (count, why) = protocol(&of_two("reveal = \"count\""), &two(1 << 20));
    assert_eq!(count, Protocol::Ecdh);
    assert!(
        why.contains("vole would tell the receiver which keys are common"),
        "{why}"
    );
    for (word, asked) in [("vole", Protocol::Vole), ("ecdh", Protocol::Ecdh)] {
        let (found, why) = protocol(
            &of_two(&format!("reveal = \"rows\"\nprotocol = \"{word}\"")),
            &two(1 << 12),
        );
        assert_eq!(found, asked);
        assert!(why.contains("the job asks for it"), "{why}");
    }
    let refused = faults(
        &of_two("reveal = \"count\"\nprotocol = \"vole\""),
        &two(1024),
    );
    assert!(
        refused[0].starts_with("privacy.correlations: is missing: matches are counted in shares"),
        "{refused:?}"
    );
}

#[test]
fn the_plan_says_what_each_party_learns() {
    let learns = |more: &str, receivers: &str| {
        let plan = plan(&job(KEYS, receivers, more), &two(4096));
        let lines = plan
            .learns
            .iter()
            .map(|l| format!("{}: {}", l.party, l.what));
        lines.collect::<Vec<_>>()
    };
    let coordinator = "coordinator: that the job ran, between whom, when, and how many bytes it relayed; it cannot read them";
    assert_eq!(
        learns("reveal = \"count\"", "[\"hospital\"]"),
        [
            "hospital: how many of its keys insurer has too, not which; how many different keys insurer has",
            "insurer: how many different keys hospital has",
            coordinator,
        ]
    );
    assert_eq!(
        learns("reveal = \"rows\"", "[\"insurer\", \"hospital\"]"),
        [
            "hospital: which of its keys insurer has too; how many different keys insurer has",
            "insurer: which of its keys hospital has too; how many different keys hospital has",
            coordinator,
        ]
    );
    let plan = plan(&of_two("reveal = \"rows\""), &two(4096));
    let local = &plan.locals[&party("hospital")];
    assert_eq!(
        local.sql,
        "SELECT CAST(\"national_id\" AS VARCHAR) AS k0\nFROM \"hospital\".\"people\""
    );
    assert!(
        plan.warnings[0].starts_with("row-level output: hospital learns"),
        "{:?}",
        plan.warnings
    );
    assert_eq!(plan.outputs[0].name, "national_id");
}

/// The parties' order in the file changes what was asked for and not who sits where.
#[test]
fn a_plan_is_the_same_at_every_agent() {
    let text = of_two("reveal = \"rows\"\nnormalise = \"upper_alnum\"");
    let first = plan(&text, &two(1 << 16));
    let mut more = two(1 << 16);
    more.insert(party("bystander"), catalogue("bystander", Vec::new()));
    assert_eq!(plan(&text, &more).canonical(), first.canonical());
    let changes = [
        ("\"rows\"", "\"rows\"\njoin = \"difference\""),
        ("upper_alnum", "digits"),
        ("\"rows\"", "\"rows\"\nprotocol = \"ecdh\""),
        ("\"rows\"", "\"count\""),
        ("people.national_id", "people.number"),
        ("[\"hospital\"]", "[\"insurer\"]"),
    ];
    for (from, to) in changes {
        let other = text.replacen(from, to, 1);
        assert_ne!(plan(&other, &two(1 << 16)).digest(), first.digest(), "{to}");
    }
    assert_ne!(plan(&text, &two(1 << 17)).digest(), first.digest());
}

/// A few keys against many: the longer table is prepared, if the one with the few alone learns which are common.
#[test]
fn a_table_that_is_much_longer_is_prepared() {
    let unequal = |few: u64, many: u64| -> Catalogues {
        let entry = |name: &str, rows| {
            let catalogue = catalogue(name, vec![("people", people(rows))]);
            (party(name), catalogue)
        };
        [entry("hospital", few), entry("insurer", many)].into()
    };
    let rows =
        |receivers: &str, more: &str| job(KEYS, receivers, &format!("reveal = \"rows\"\n{more}"));
    let (few, many) = ("[\"hospital\"]", "[\"insurer\"]");
    let found = |text: &str, catalogues: &Catalogues| protocol(text, catalogues).0;
    let (chosen, why) = protocol(&rows(few, ""), &unequal(1 << 10, 1 << 20));
    assert_eq!(chosen, Protocol::Oprf);
    assert!(
        why.contains("up to 1024 times as many keys as hospital's"),
        "{why}"
    );
    assert!(why.contains("kept by the receiver"), "{why}");
    assert_ne!(
        found(&rows(few, ""), &unequal(1 << 13, 1 << 20)),
        Protocol::Oprf
    );
    assert_ne!(
        found(&rows(few, ""), &unequal(1 << 10, 1 << 23)),
        Protocol::Oprf
    );
    assert_ne!(
        found(&rows(many, ""), &unequal(1 << 10, 1 << 20)),
        Protocol::Oprf
    );
    let both = "[\"hospital\", \"insurer\"]";
    assert_ne!(
        found(&rows(both, ""), &unequal(1 << 10, 1 << 20)),
        Protocol::Oprf
    );
    let asked = "protocol = \"oprf\"";
    assert_eq!(found(&rows(many, asked), &two(64)), Protocol::Oprf);
    for (text, expected) in [
        (rows(both, asked), "with oprf one holder asks"),
        (
            of_two("reveal = \"count\"\nprotocol = \"oprf\""),
            "oprf tells which keys are common, not how many alone",
        ),
    ] {
        let found = faults(&text, &two(64));
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn nobody_gets_keys_that_it_does_not_hold() {
    for (join, receivers, ok) in [
        ("left", "[\"hospital\"]", true),
        ("difference", "[\"hospital\"]", true),
        ("right", "[\"insurer\"]", true),
        ("full", "[\"hospital\", \"insurer\"]", true),
        ("left", "[\"insurer\"]", false),
        ("right", "[\"hospital\"]", false),
        ("difference", "[\"hospital\", \"insurer\"]", false),
    ] {
        let text = job(
            KEYS,
            receivers,
            &format!("reveal = \"rows\"\njoin = \"{join}\""),
        );
        if ok {
            plan(&text, &two(1024));
        } else {
            let found = faults(&text, &two(1024));
            assert!(found[0].contains("asks for all keys of"), "{found:?}");
        }
    }
}

#[test]
fn a_policy_allows_keys_and_rows_by_words_of_their_own() {
    let policy = |uses: &str| {
        let text = format!(
            "min_cell = 5\nopen_counts = false\n[tables.people.columns]\nnational_id = {uses}\n"
        );
        Policy::parse(&text).expect("a policy")
    };
    let refused = |text: &str, me: &str, uses: &str| {
        let plan = plan(text, &two(1024));
        let me = PartyName::new(me).expect("a name");
        denials(&plan, &me, &policy(uses))
    };
    let (count, rows) = (of_two("reveal = \"count\""), of_two("reveal = \"rows\""));
    let no_key = "column people.national_id may not be used to compare keys with other holders (rule tables.people.columns.national_id.join_key; allowed: group_by)";
    assert_eq!(refused(&count, "insurer", "{ group_by = true }"), [no_key]);
    assert!(refused(&count, "insurer", "{ join_key = true }").is_empty());
    let no_rows = "column people.national_id may not be used to tell receivers which of their rows match (rule tables.people.columns.national_id.row_level; allowed: join_key)";
    assert_eq!(refused(&rows, "insurer", "{ join_key = true }"), [no_rows]);
    assert!(refused(&rows, "insurer", "{ join_key = true, row_level = true }").is_empty());
    // Nobody else learns which of the receiver's own rows match.
    assert!(refused(&rows, "hospital", "{ join_key = true }").is_empty());
}

fn three() -> Catalogues {
    let mut three = two(4096);
    three.insert(
        party("registry"),
        catalogue("registry", vec![("people", people(1024))]),
    );
    three
}

const KEYS_OF_THREE: &str = r#"["hospital.people.national_id", "insurer.people.national_id", "registry.people.national_id"]"#;

#[test]
fn counts_and_sums_in_shares_compare_the_minimum_before_anything_is_opened() {
    let ot = "[privacy]\ncorrelations = \"ot\"\nmin_cell = 11";
    let text = job(
        KEYS_OF_THREE,
        "[\"hospital\"]",
        &format!("reveal = \"count\"\n{ot}"),
    );
    let counted = plan(&text, &three());
    let Procedure::Intersect(of) = &counted.procedure else {
        panic!("an intersection");
    };
    assert_eq!(
        (of.protocol, of.hub),
        (Protocol::Circuit, 2),
        "the smallest table"
    );
    assert_eq!(counted.shape.checks[0].rule, "count >= 11");
    let explained = counted.explain();
    assert!(
        explained.contains("\ncompared on shares: count >= 11, set by "),
        "{explained}"
    );
    assert!(
        explained.contains("\ncorrelated randomness: oblivious transfer"),
        "{explained}"
    );
    assert!(counted.needs().bit_triples > 0);
    assert_eq!(
        counted.learns[0].what,
        "how many of its keys insurer and registry all have too, not which; how many different keys insurer and registry each have"
    );
    assert!(
        counted.warnings.iter().all(|w| !w.contains("minimum")),
        "{:?}",
        counted.warnings
    );
    let sum = |column: &str| {
        let more = format!("reveal = \"sum:{column}\"\n{ot}");
        job(KEYS_OF_THREE, "[\"hospital\"]", &more)
    };
    let summed = plan(&sum("insurer.people.number"), &three());
    let names: Vec<&str> = summed.outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["count", "sum_number"]);
    assert!(
        summed.locals[&party("insurer")]
            .sql
            .contains("AS k0, CAST(\"number\" AS DECIMAL(38, 0)) AS a0\n")
    );
    let found = faults(&sum("insurer.people.weight"), &three());
    assert!(
        found[0].contains("is a number with a point, of which there is no exact sum"),
        "{found:?}"
    );
    let found = check(&sum("bank.people.number")).expect_err("no key of it");
    assert!(
        found[0]
            .what
            .contains("is not a table whose keys are compared"),
        "{found:?}"
    );
    let without = job(KEYS_OF_THREE, "[\"hospital\"]", "reveal = \"count\"");
    let found = faults(&without, &three());
    assert!(
        found[0].starts_with("privacy.correlations: is missing"),
        "{found:?}"
    );
    let found = faults(
        &without.replace("\"count\"", "\"rows\"\nprotocol = \"ecdh\""),
        &three(),
    );
    assert!(
        found[0].starts_with("compute.intersect.protocol: ecdh and oprf find what two holders"),
        "{found:?}"
    );
    let dealt = text.replace("\"ot\"", "\"dealer:insurer\"");
    let found = faults(&dealt, &three());
    assert!(
        found[0].contains("the dealer insurer holds one of the keys"),
        "{found:?}"
    );
    let mut with_notary = three();
    with_notary.insert(party("notary"), catalogue("notary", vec![]));
    let dealt = plan(&text.replace("\"ot\"", "\"dealer:notary\""), &with_notary);
    let told = dealt.learns.iter().find(|l| l.party == "notary");
    let told = told.map(|l| l.what.as_str());
    assert!(told.is_some_and(|what| what.starts_with("nothing but this plan")));
}

#[test]
fn rows_of_three_have_a_hub_among_their_receivers() {
    let text = job(
        KEYS_OF_THREE,
        "[\"hospital\", \"insurer\"]",
        "reveal = \"rows\"",
    );
    let rows = plan(&text, &three());
    let Procedure::Intersect(of) = &rows.procedure else {
        panic!("an intersection");
    };
    assert_eq!((of.protocol, of.hub), (Protocol::Many, 0));
    assert_eq!(rows.cost.bytes_sent.len(), 3);
}
