//! `privacy.join = "size"`: how many keys match is told to receivers, exactly, where every policy allows it by its own word.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use coordinator::contract::PartyName;
use party_agent::plan::{Plan, Procedure, compile};
use party_agent::policy::Policy;
use party_agent::spec::check;

use super::fixture::{denials, faults, hospitals, job_with, plan};
use super::joint::world;
use super::oracle::World;

const SIZE: &str = "correlations = \"ot\"\nmin_cell = 11\njoin = \"size\"\n";
const JOINED: &str =
    "FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id";

fn planned(world: &World, sql: &str, join: &str) -> Plan {
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\njoin = \"{join}\"\n"
    );
    compile(&check(&job).expect("a job file"), &world.catalogues).expect("a plan")
}

async fn counted(world: &World, sql: &str) -> u64 {
    let query = world.pooled().sql(sql).await.expect("a query");
    let batches = query.collect().await.expect("an answer");
    let count = batches[0].column(0).as_primitive::<Int64Type>().value(0);
    count.try_into().expect("a count")
}

/// Many rows a key, several holders of a table, several columns of a key, three tables, conditions of one and of two tables.
#[tokio::test]
async fn it_is_the_number_of_keys_that_all_tables_have() {
    let world = world().await;
    let both = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t)";
    let cases = [
        (
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid".to_owned(),
            "",
            "h.pid",
        ),
        (
            format!("h_a.t h JOIN {both} i ON h.pid = i.pid"),
            "",
            "h.pid",
        ),
        (
            format!("h_a.t h JOIN {both} i ON h.pid = i.pid JOIN r.t r ON h.pid = r.pid"),
            "WHERE i.small > 0 AND r.small > -2",
            "h.pid",
        ),
        (
            "h_a.t h JOIN i_a.t i ON h.pid = i.pid AND h.part = i.part".to_owned(),
            "WHERE h.small > 0",
            "h.pid || CAST(h.part AS VARCHAR)",
        ),
    ];
    for (from, condition, key) in &cases {
        for grouped in ["", "GROUP BY h.cat", "GROUP BY ROLLUP(h.cat, i.flag)"] {
            let sql = format!(
                "SELECT COUNT(*) AS n, SUM(i.small) AS s FROM {from} {condition} {grouped}"
            );
            let expected = counted(
                &world,
                &format!("SELECT COUNT(DISTINCT {key}) FROM {from} {condition}"),
            )
            .await;
            assert!(expected > 0, "{sql}");
            let told = super::joined::run(&world, &planned(&world, &sql, "size")).await;
            assert_eq!(told.expect("a result").matched, Some(expected), "{sql}");
            let hidden = super::joined::run(&world, &planned(&world, &sql, "hidden")).await;
            assert_eq!(hidden.expect("a result").matched, None, "{sql}");
        }
    }
}

#[test]
fn the_plan_says_so_and_every_key_has_to_allow_it() {
    let sql = format!("SELECT a.gender, COUNT(*) AS n {JOINED} GROUP BY a.gender");
    let told = plan(&job_with(&sql, "", SIZE), &hospitals());
    let learns = |plan: &Plan, party: &str| {
        let of = plan.learns.iter().find(|l| l.party == party);
        of.expect("a party")
            .what
            .contains("how many different keys all tables of the join have")
    };
    assert!(learns(&told, "analyst") && !learns(&told, "hospital_1"));
    assert!(told.explain().contains("receivers learn how many"));
    let warned = |w: &party_agent::plan::Said| w.contains("exactly how many keys match");
    assert!(told.warnings.iter().any(warned), "{:?}", told.warnings);
    let policy = |uses: &str| {
        let text = format!(
            "min_cell = 5\nopen_counts = false\n[tables.encounters.columns]\ngender = {{ group_by = true, categories = [\"F\", \"M\"] }}\npatient_id = {uses}\n"
        );
        Policy::parse(&text).expect("a policy")
    };
    let me = PartyName::new("hospital_1").expect("a name");
    let refused = "column encounters.patient_id may not be used to tell receivers of a joint query how many keys are common (rule tables.encounters.columns.patient_id.join_size; allowed: join_key)";
    assert_eq!(
        denials(&told, &me, &policy("{ join_key = true }")),
        [refused]
    );
    let without_key = denials(&told, &me, &policy("{ join_size = true }"));
    assert!(
        without_key[0].contains("join_size; allowed: join_size"),
        "{without_key:?}"
    );
    let allows = policy("{ join_key = true, join_size = true }");
    assert!(denials(&told, &me, &allows).is_empty());
    let hidden = plan(
        &job_with(&sql, "", "correlations = \"ot\"\nmin_cell = 11\n"),
        &hospitals(),
    );
    assert!(!learns(&hidden, "analyst"));
    assert!(denials(&hidden, &me, &policy("{ join_key = true }")).is_empty());
}

#[test]
fn it_goes_with_joins_of_matches_alone() {
    let on = "ON a.patient_id = b.patient_id";
    let tables = "hospital_1.encounters a LEFT JOIN hospital_2.encounters b";
    let member = "hospital_1.encounters a WHERE a.patient_id IN (SELECT patient_id FROM hospital_2.encounters)";
    let three = |n: u8| {
        format!(
            "(SELECT * FROM hospital_{n}.encounters UNION ALL SELECT * FROM hospital_{}.encounters)",
            n + 1
        )
    };
    let mut world = hospitals();
    let fourth = world
        .values()
        .find(|c| c.party.as_str() == "hospital_1")
        .cloned();
    let mut fourth = fourth.expect("a hospital");
    fourth.party = super::fixture::party("hospital_4");
    world.insert(fourth.party.clone(), fourth);
    for (sql, what) in [
        (
            format!("SELECT COUNT(*) AS n FROM {tables} {on}"),
            "privacy.join: how many keys match is told of JOIN alone",
        ),
        (
            format!("SELECT COUNT(*) AS n FROM {member}"),
            "privacy.join: how many keys match is told of JOIN alone",
        ),
        (
            format!("SELECT T_TEST(a.time_in_hospital, b.emergency) {JOINED}"),
            "privacy.join: T_TEST does not tell how many keys match",
        ),
        (
            format!(
                "SELECT COUNT(*) AS n FROM {} a JOIN {} b {on}",
                three(1),
                three(3)
            ),
            "compute.sql, line 6: privacy.join = \"size\" over tables that all have several holders",
        ),
    ] {
        let found = faults(&job_with(&sql, "", SIZE), &world);
        assert!(found[0].starts_with(what), "{found:?}");
    }
}

const KEYS: &str = "correlations = \"ot\"\nmin_cell = 11\njoin = \"keys\"\n";

fn keys_job(receivers: &str, sql: &str, privacy: &str) -> String {
    let job = job_with(sql, "", privacy);
    job.replace(
        "receivers = [\"analyst\"]",
        &format!("receivers = [{receivers}]"),
    )
}

fn learns(plan: &Plan, party: &str) -> String {
    let of = plan.learns.iter().find(|l| l.party == party);
    of.expect("a party").what.clone()
}

#[test]
fn keys_are_told_to_receivers_with_a_table_and_to_nobody_else() {
    let sql = format!("SELECT a.gender, COUNT(*) AS n {JOINED} GROUP BY a.gender");
    let text = keys_job("\"analyst\", \"hospital_2\"", &sql, KEYS);
    let told = plan(&text, &hospitals());
    let Procedure::Join(join) = &told.procedure else {
        panic!("a join");
    };
    let seat = told.seats.iter().position(|s| s.as_str() == "hospital_2");
    let shown = join.shown.as_ref().expect("keys are told");
    assert_eq!(shown.seats, [seat.expect("a seat")]);
    assert_eq!(shown.at_least, 11);
    let own = "which of its own keys all tables of the join have, if these are 11 or more";
    assert!(learns(&told, "hospital_2").contains(own));
    for other in ["analyst", "hospital_1"] {
        let what = learns(&told, other);
        assert!(!what.contains("own keys all tables"), "{what}");
        assert!(
            what.contains("whether 11 or more keys of a receiver"),
            "{what}"
        );
    }
    assert!(learns(&told, "analyst").contains("how many different keys"));
    let warned = |w: &party_agent::plan::Said| w.contains("of each of their own keys");
    assert!(told.warnings.iter().any(warned), "{:?}", told.warnings);
    // What is approved is no release without keys, and the other way around.
    let receivers = told.receiver_seats();
    let sized = plan(&text.replace("\"keys\"", "\"size\""), &hospitals());
    assert!(told.terms(receivers.clone()) != sized.terms(receivers));
    // Whichever relation is the hub's, the same is told.
    let turned = join.with_hub(1, &told.keys);
    assert!(join.terms_of_keys() == turned.terms_of_keys());
}

#[test]
fn every_column_that_chooses_rows_has_to_allow_it() {
    let sql =
        format!("SELECT COUNT(*) AS n, SUM(a.time_in_hospital) AS s {JOINED} WHERE a.gender = 'F'");
    let told = plan(&keys_job("\"hospital_2\"", &sql, KEYS), &hospitals());
    let me = PartyName::new("hospital_1").expect("a name");
    let policy = |gender: &str, key: &str| {
        let text = format!(
            "min_cell = 5\nopen_counts = false\n[tables.encounters.columns]\ngender = {gender}\npatient_id = {key}\ntime_in_hospital = {{ aggregate = [\"sum\", \"count\"] }}\n"
        );
        Policy::parse(&text).expect("a policy")
    };
    let (filter, key) = (
        "{ filter = true, join_keys = true }",
        "{ join_key = true, join_keys = true }",
    );
    assert_eq!(denials(&told, &me, &policy(filter, key)), [""; 0]);
    for (gender, patient, column) in [
        ("{ filter = true }", key, "gender"),
        (
            filter,
            "{ join_key = true, join_size = true }",
            "patient_id",
        ),
    ] {
        let denied = denials(&told, &me, &policy(gender, patient));
        let rule = format!("rule tables.encounters.columns.{column}.join_keys");
        assert_eq!(denied.len(), 1, "{denied:?}");
        assert!(denied[0].contains(&rule), "{denied:?}");
    }
    let without_key = denials(&told, &me, &policy(filter, "{ join_keys = true }"));
    assert!(without_key[0].contains("join_key;"), "{without_key:?}");
}

#[test]
fn keys_are_told_where_they_can_be() {
    let on = "ON a.patient_id = b.patient_id";
    let tables = "hospital_1.encounters a LEFT JOIN hospital_2.encounters b";
    let holder = "\"hospital_1\"";
    for (receivers, sql, what) in [
        (
            "\"analyst\"",
            format!("SELECT COUNT(*) AS n {JOINED}"),
            "no receiver holds a table of the join",
        ),
        (
            holder,
            format!("SELECT COUNT(*) AS n FROM {tables} {on}"),
            "privacy.join: which keys match is told of JOIN alone",
        ),
        (
            holder,
            format!("SELECT T_TEST(a.time_in_hospital, b.emergency) {JOINED}"),
            "privacy.join: T_TEST does not tell how many keys match",
        ),
    ] {
        let found = faults(&keys_job(receivers, &sql, KEYS), &hospitals());
        assert!(found[0].contains(what), "{found:?}");
    }
}
