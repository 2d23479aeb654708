//! Disclosure control of sums: rules about dominance, held against rules that are written down here anew, and between real agents.

use std::collections::{BTreeMap, BTreeSet};

use engine::prg::{Prg, Seed};
use party_agent::agent::Mode;
use party_agent::catalogue::{Catalogue, ColumnKind, Dominance, TopShare};
use party_agent::local;
use party_agent::plan::{Plan, compile};
use party_agent::source::Source;
use party_agent::spec::check;
use protocols::party::PartyId;
use serde_json::Value;

use crate::plan::fixture::{With, catalogue, column, decimal, table};
use crate::plans;
use crate::world::World;

const GROUPS: [&str; 3] = ["x", "y", "z"];
const WARDS: [&str; 2] = ["in", "out"];

/// A contribution to a group: who, which group and ward, how much in cents.
#[derive(Clone, Debug)]
struct Row {
    person: u64,
    group: usize,
    ward: usize,
    cents: i64,
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from("person,kind,ward,paid\n");
    for row in rows {
        let sign = if row.cents < 0 { "-" } else { "" };
        let cents = row.cents.unsigned_abs();
        text.push_str(&format!(
            "p{},{},{},{sign}{}.{:02}\n",
            row.person,
            GROUPS[row.group],
            WARDS[row.ward],
            cents / 100,
            cents % 100
        ));
    }
    text
}

/// Whether the rules hold for these contributions, by the definitions: USERS.md §1.6.
fn holds(rules: &Dominance, contributions: &[u64]) -> bool {
    let mut sorted: Vec<u128> = contributions.iter().map(|c| u128::from(*c)).collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let total: u128 = sorted.iter().sum();
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0);
    let p = rules.p_percent.is_none_or(|p| {
        let rest = total - at(0) - at(1);
        100 * rest >= u128::from(p) * at(0)
    });
    let top = rules.top.is_none_or(|top| {
        let largest: u128 = sorted.iter().take(top.n as usize).sum();
        100 * largest <= u128::from(top.percent) * total
    });
    p && top
}

fn p_percent(p: u64) -> Dominance {
    Dominance {
        contributor: "person".to_owned(),
        elsewhere: false,
        p_percent: Some(p),
        top: None,
    }
}

fn top_share(n: u64, percent: u64) -> Dominance {
    Dominance {
        p_percent: None,
        top: Some(TopShare { n, percent }),
        ..p_percent(1)
    }
}

pub(crate) fn catalogues(
    holders: &[&str],
    rules: &[Option<Dominance>],
) -> BTreeMap<PartyId, Catalogue> {
    let of = |(holder, rules): (&&str, &Option<Dominance>)| {
        let mut visits = table(vec![
            column("person", ColumnKind::Text),
            column("kind", ColumnKind::Text)
                .categories(&GROUPS)
                .required(),
            column("ward", ColumnKind::Text)
                .categories(&WARDS)
                .required(),
            column("paid", decimal(12, 2)).range("-100000", "100000"),
        ]);
        visits.dominance = rules.clone();
        let catalogue = Catalogue {
            min_cell: 3,
            ..catalogue(holder, vec![("visits", visits)])
        };
        (plans::party(holder), catalogue)
    };
    holders.iter().zip(rules).map(of).collect()
}

pub(crate) fn job(holders: &[&str], select: &str, rest: &str) -> String {
    let union: Vec<String> = holders
        .iter()
        .map(|h| format!("SELECT * FROM {h}.visits"))
        .collect();
    format!(
        "job = \"paid\"\npurpose = \"IRB 8: paid\"\nreceivers = [\"{}\"]\n[compute]\nsql = \"\"\"\nSELECT {select} FROM ({}) v {rest}\n\"\"\"\n\
         [privacy]\ncorrelations = \"ot\"\nmin_cell = 3\n",
        holders[0],
        union.join(" UNION ALL ")
    )
}

pub(crate) fn compiled(
    text: &str,
    catalogues: &BTreeMap<PartyId, Catalogue>,
) -> Result<Plan, String> {
    let spec = check(text).expect("a job");
    compile(&spec, catalogues).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    })
}

/// The groups that are released, by group and ward (`None` in a total), totals added in the clear.
async fn released(
    plan: &Plan,
    holders: &[(&str, Vec<Row>)],
) -> BTreeSet<(Option<usize>, Option<usize>)> {
    let mut inputs = Vec::new();
    for (holder, rows) in holders {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("visits.csv"), csv(rows)).expect("written");
        let source = Source::open_dir(dir.path()).await.expect("a table");
        let own = local::totals(plan, &plans::party(holder), &source, &|_| {}).await;
        inputs.push(own.expect("local totals").0.totals);
    }
    let found = plans::release(plan, &inputs);
    assert_eq!(found.narrow.len(), plan.shape.narrow - plan.shape.compared);
    let place = |(cell, _): (usize, &bool)| {
        // The last slot of a key is its total; one for other values before it stays empty here.
        let mut rest = cell;
        let mut slots = Vec::new();
        for key in plan.keys.iter().rev() {
            let slot = rest % key.n_slots();
            slots.push((slot < key.domain.len()).then_some(slot));
            rest /= key.n_slots();
        }
        (slots.pop().flatten(), slots.pop().flatten())
    };
    found
        .ok
        .iter()
        .enumerate()
        .filter(|(_, ok)| **ok)
        .map(place)
        .collect()
}

/// What each contributor adds in magnitude; a person at two holders is one contributor.
fn contributions<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<u64> {
    let mut by_person: BTreeMap<u64, i64> = BTreeMap::new();
    for row in rows {
        *by_person.entry(row.person).or_default() += row.cents;
    }
    by_person.into_values().map(i64::unsigned_abs).collect()
}

fn of_group<'a>(holders: &'a [(&str, Vec<Row>)], group: usize) -> impl Iterator<Item = &'a Row> {
    let rows = holders.iter().flat_map(|(_, rows)| rows);
    rows.filter(move |row| row.group == group)
}

fn random_rows(prg: &mut Prg, holder: u64) -> Vec<Row> {
    let n = 3 + prg.next_bounded(18);
    let row = |_| {
        // Few persons with much, and many with little.
        let size = 10u64.pow(1 + prg.next_bounded(6) as u32);
        Row {
            person: 100 * holder + prg.next_bounded(12),
            group: prg.next_bounded(3) as usize,
            ward: prg.next_bounded(2) as usize,
            cents: prg.next_bounded(size) as i64,
        }
    };
    (0..n).map(row).collect()
}

fn rules_of(seed: u64) -> Dominance {
    match seed % 4 {
        0 => p_percent(10),
        1 => top_share(2, 85),
        2 => top_share(3, 60),
        _ => Dominance {
            top: Some(TopShare { n: 1, percent: 70 }),
            ..p_percent(35)
        },
    }
}

#[tokio::test]
async fn groups_are_released_exactly_where_the_rules_hold_over_all_holders() {
    let (mut n_held, mut n_shown) = (0, 0);
    for seed in 0..48 {
        println!("seed {seed}");
        let mut prg = Prg::new(&Seed::from_bytes([seed as u8; 32]), 0);
        let names = &["a", "b", "c", "d"][..2 + seed as usize % 3];
        let rules = rules_of(seed);
        let plan = compiled(
            &job(
                names,
                "kind, COUNT(*) AS n, SUM(paid) AS paid",
                "GROUP BY kind",
            ),
            &catalogues(names, &vec![Some(rules.clone()); names.len()]),
        );
        let plan = plan.expect("a plan");
        let holders: Vec<(&str, Vec<Row>)> = (names.iter().zip(0..))
            .map(|(name, holder)| (*name, random_rows(&mut prg, holder)))
            .collect();
        let found = released(&plan, &holders).await;
        for group in 0..GROUPS.len() {
            let rows = || of_group(&holders, group);
            let expected = rows().count() >= 3 && holds(&rules, &contributions(rows()));
            assert_eq!(
                found.contains(&(Some(group), None)),
                expected,
                "{rules:?} {holders:?}"
            );
            n_held += usize::from(rows().count() >= 3 && !expected);
            n_shown += usize::from(expected);
        }
    }
    assert!(
        n_held > 20 && n_shown > 20,
        "{n_held} held back, {n_shown} shown"
    );
}

/// A person with rows at both holders is never taken for two with less.
#[tokio::test]
async fn contributors_who_can_be_elsewhere_are_bounded_from_above() {
    let names = ["a", "b"];
    let (mut n_missed, mut n_shown) = (0, 0);
    for seed in 0..40 {
        println!("seed {seed}");
        let mut prg = Prg::new(&Seed::from_bytes([100 + seed as u8; 32]), 0);
        // The same persons at both.
        let holders: Vec<_> = names
            .iter()
            .map(|name| (*name, random_rows(&mut prg, 0)))
            .collect();
        let apart = rules_of(seed);
        let rules = Dominance {
            elsewhere: true,
            ..apart.clone()
        };
        let text = job(
            &names,
            "kind, COUNT(*) AS n, AVG(paid) AS paid",
            "GROUP BY kind",
        );
        let run = async |rules: [Dominance; 2]| {
            let plan = compiled(&text, &catalogues(&names, &rules.map(Some))).expect("a plan");
            released(&plan, &holders).await
        };
        // One holder that says so is enough.
        let found = run([rules, apart.clone()]).await;
        let careless = run([apart.clone(), apart.clone()]).await;
        for group in 0..GROUPS.len() {
            let rows = || of_group(&holders, group);
            let holds = holds(&apart, &contributions(rows()));
            let place = (Some(group), None);
            assert!(holds || !found.contains(&place), "{holders:?}");
            n_missed += usize::from(!holds && careless.contains(&place));
            n_shown += usize::from(found.contains(&place));
        }
    }
    assert!(
        n_missed > 0,
        "taking persons apart would have been wrong somewhere"
    );
    assert!(n_shown > 0, "the bound lets something through");
}

/// Amounts below zero count by their size, so that a reversal does not hide a large claim.
#[tokio::test]
async fn contributions_count_by_their_size() {
    let names = ["a", "b"];
    let row = |person, euros: i64| Row {
        person,
        group: 0,
        ward: 0,
        cents: 100 * euros,
    };
    let holders = [
        ("a", vec![row(1, 900), row(2, -880), row(3, 5)]),
        ("b", vec![row(101, 40), row(102, 30), row(103, 20)]),
    ];
    let text = job(&names, "kind, SUM(paid) AS paid", "GROUP BY kind");
    let found = async |p| {
        let rules = [Some(p_percent(p)), Some(p_percent(p))];
        released(
            &compiled(&text, &catalogues(&names, &rules)).expect("a plan"),
            &holders,
        )
        .await
    };
    // 95 beside 900 and 880.
    assert!(found(10).await.contains(&(Some(0), None)));
    assert!(!found(11).await.contains(&(Some(0), None)));
}

/// What a table with its totals shows determines no group that a rule held back: an audit by elimination.
#[tokio::test]
async fn totals_do_not_tell_groups_that_the_rules_hold_back() {
    let names = ["a", "b"];
    let mut n_held = 0;
    for seed in 0..30 {
        println!("seed {seed}");
        let mut prg = Prg::new(&Seed::from_bytes([200 + seed as u8; 32]), 0);
        let holders: Vec<_> = (names.iter().zip(0..))
            .map(|(name, holder)| {
                let many = (0..6).flat_map(|_| random_rows(&mut prg, holder));
                (*name, many.collect::<Vec<_>>())
            })
            .collect();
        let rules = rules_of(seed);
        let text = job(
            &names,
            "kind, ward, COUNT(*) AS n, SUM(paid) AS paid",
            "GROUP BY CUBE (kind, ward)",
        );
        let plan = compiled(
            &text,
            &catalogues(&names, &[Some(rules.clone()), Some(rules.clone())]),
        );
        let found = released(&plan.expect("a plan"), &holders).await;
        let mut unknown = Vec::new();
        for group in (0..GROUPS.len()).map(Some).chain([None]) {
            for ward in (0..WARDS.len()).map(Some).chain([None]) {
                let inside = |row: &&Row| {
                    group.is_none_or(|g| row.group == g) && ward.is_none_or(|w| row.ward == w)
                };
                let rows = || holders.iter().flat_map(|(_, rows)| rows).filter(inside);
                let may = rows().count() >= 3 && holds(&rules, &contributions(rows()));
                assert!(
                    may || !found.contains(&(group, ward)),
                    "{group:?} {ward:?} in {holders:?}"
                );
                if !found.contains(&(group, ward)) && rows().count() > 0 {
                    unknown.push((group, ward));
                    n_held += usize::from(rows().count() >= 3 && !may);
                }
            }
        }
        assert_eq!(determined(&unknown), Vec::new(), "{found:?} of {holders:?}");
    }
    assert!(n_held > 10, "{n_held} held back by rules");
}

type Place = (Option<usize>, Option<usize>);

/// The unknown cells of a CUBE whose sums follow from the others: those that stand alone in a row of the reduced equations.
fn determined(unknown: &[Place]) -> Vec<Place> {
    let mut equations: Vec<Vec<f64>> = Vec::new();
    let mut equation = |parts: Vec<Place>, total: Place| {
        let sign = |cell: &Place| {
            f64::from(u8::from(parts.contains(cell))) - f64::from(u8::from(*cell == total))
        };
        equations.push(unknown.iter().map(sign).collect());
    };
    for group in (0..GROUPS.len()).map(Some).chain([None]) {
        equation(
            (0..WARDS.len()).map(|w| (group, Some(w))).collect(),
            (group, None),
        );
    }
    for ward in (0..WARDS.len()).map(Some).chain([None]) {
        equation(
            (0..GROUPS.len()).map(|g| (Some(g), ward)).collect(),
            (None, ward),
        );
    }
    let mut n_done = 0;
    for column in 0..unknown.len() {
        let Some(pivot) =
            (n_done..equations.len()).find(|row| equations[*row][column].abs() > 1e-9)
        else {
            continue;
        };
        equations.swap(n_done, pivot);
        let lead = equations[n_done].clone();
        for (row, other) in equations.iter_mut().enumerate() {
            let factor = if row == n_done {
                1.0 - 1.0 / lead[column]
            } else {
                other[column] / lead[column]
            };
            other
                .iter_mut()
                .zip(&lead)
                .for_each(|(v, l)| *v -= factor * l);
        }
        n_done += 1;
    }
    let alone = |row: &&Vec<f64>| row.iter().filter(|v| v.abs() > 1e-9).count() == 1;
    let solved = equations.iter().filter(alone);
    let cells = solved.filter_map(|row| row.iter().position(|v| v.abs() > 1e-9));
    cells.map(|place| unknown[place]).collect()
}

/// The vectors of GOVERNANCE.md §4.1 and Appendix A, between real agents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_hold_back_what_one_contributor_dominates() {
    let vectors = [[900, 50, 40, 5, 5], [300, 250, 200, 150, 100]];
    let world = World::new(&["a", "b"]).await;
    for (holder, party) in ["a", "b"].into_iter().enumerate() {
        let mut text = String::from("person,kind,stay\n");
        for (kind, values) in ["x", "y"].iter().zip(vectors) {
            for (i, value) in values.iter().enumerate().filter(|(i, _)| i % 2 == holder) {
                // In two rows of the same person.
                text.push_str(&format!("p{i},{kind},{}\np{i},{kind},1\n", value - 1));
            }
        }
        world.write_visits(party, &text);
        // The strictest counts: one holder has a rule that both groups meet.
        let p = [10, 1][holder];
        world.write_policy(party, &policy(&format!("p_percent = {p}")));
    }
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    let job_id = a
        .submit(&crate::world::job(&["a", "b"], &["a"], "ot"))
        .await;
    a.reaches(&job_id, &["completed"]).await;
    let result = a.result(&job_id).await.json();
    assert_eq!(result["rows"].as_array().map(Vec::len), Some(1), "{result}");
    assert_eq!(result["rows"][0][0], "y");
    let held: Vec<&Value> = result["suppressed"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let x = held
        .iter()
        .find(|held| held["group"]["kind"] == "x")
        .expect("x is listed");
    assert_eq!(x["reason"], "min_cell and dominance", "{result}");
    assert!(
        result["notes"].to_string().contains("p% with p = 10"),
        "{result}"
    );
    a.stop().await;
    b.stop().await;
}

/// A policy with a rule about dominance.
fn policy(rule: &str) -> String {
    format!(
        "min_cell = 3\nopen_counts = false\n[tables.visits.dominance]\ncontributor = \"person\"\nelsewhere = false\n{rule}\n\
         [tables.visits.columns]\nperson = {{}}\nkind = {{ group_by = true, filter = true, categories = [\"x\", \"y\", \"z\"] }}\n\
         stay = {{ aggregate = [\"count\", \"sum\", \"avg\"], filter = true, range = [0, 9000000] }}\n"
    )
}

#[test]
fn what_cannot_be_held_against_the_rules_is_refused() {
    let names = ["a", "b"];
    let rules = [Some(p_percent(10)), None];
    let refused: &[(&str, &str, &str)] = &[
        ("SUM(paid + 1000)", "", "expressions such as"),
        (
            "AVG(CASE WHEN ward = 'in' THEN paid END)",
            "",
            "expressions such as",
        ),
        (
            "SUM(paid) FILTER (WHERE ward = 'in')",
            "",
            "expressions such as",
        ),
        ("CORR(paid, paid * 2)", "", "expressions such as"),
    ];
    for (select, rest, expected) in refused {
        let told =
            compiled(&job(&names, select, rest), &catalogues(&names, &rules)).expect_err(select);
        assert!(told.contains(expected), "{select}: {told}");
    }
    let other = Dominance {
        contributor: "kind".to_owned(),
        ..p_percent(10)
    };
    let apart = catalogues(&names, &[Some(p_percent(10)), Some(other)]);
    let told = compiled(&job(&names, "SUM(paid)", ""), &apart).expect_err("different names");
    assert!(told.contains("columns of different names"), "{told}");
    let all = catalogues(&names, &rules);
    let plain = job(&names, "SUM(paid)", "");
    let open = plain.replace("correlations = \"ot\"\n", "");
    let told = compiled(&open, &all).expect_err("no correlations");
    assert!(told.contains("compared on shares"), "{told}");
    let window = plain.replace("SELECT * FROM a.visits", "SELECT DISTINCT * FROM a.visits");
    let told = compiled(&window, &all).expect_err("more than rows");
    assert!(
        told.contains("more than choose and transform rows"),
        "{told}"
    );
    let joined = "job = \"j\"\npurpose = \"p\"\nreceivers = [\"a\"]\n[compute]\nsql = \"\"\"\nSELECT SUM(x.paid) FROM a.visits x JOIN b.visits y ON x.person = y.person\n\"\"\"\n[privacy]\njoin = \"hidden\"\ncorrelations = \"ot\"\nmin_cell = 3\n";
    // Over a join contributors are its keys.
    let plan = compiled(joined, &all).expect("a plan");
    assert!(plan.dominance.is_some_and(|rules| rules.joined));
    let told = compiled(&joined.replace("person", "ward"), &all).expect_err("another key");
    assert!(told.contains("are joined by something else"), "{told}");
    // Counts, and multiples of a column, are no matter.
    for select in [
        "COUNT(*)",
        "COUNT(paid)",
        "SUM(CASE WHEN paid > 5 THEN 1 ELSE 0 END)",
        "SUM(-2 * paid)",
        "VAR_SAMP(paid)",
    ] {
        let plan = compiled(&job(&names, select, ""), &all);
        assert!(plan.is_ok(), "{select}: {plan:?}");
    }
}

/// A holder whose rules have become stricter than its catalogue refuses by its policy.
#[test]
fn a_policy_refuses_what_looks_less_closely_than_it_asks() {
    let names = ["a", "b"];
    let text = job(&names, "kind, SUM(paid) AS paid", "GROUP BY kind");
    let me = "a".parse().expect("a name");
    let denied = |published: Option<Dominance>, rule: &str| {
        let all = catalogues(&names, &[published.clone(), published]);
        let plan = compiled(&text, &all).expect("a plan");
        let own = policy(rule).replace("stay =", "paid =");
        let own = party_agent::policy::Policy::parse(&own).expect("a policy");
        crate::plan::fixture::denials(&plan, &me, &own).join("; ")
    };
    let both = Dominance {
        top: Some(TopShare { n: 2, percent: 80 }),
        ..p_percent(10)
    };
    assert_eq!(denied(Some(both.clone()), "p_percent = 10"), "");
    assert_eq!(denied(Some(both.clone()), "top = 2\ntop_percent = 85"), "");
    for (published, rule) in [
        (None, "p_percent = 1"),
        (Some(both.clone()), "p_percent = 11"),
        (Some(both.clone()), "top = 2\ntop_percent = 79"),
        (Some(both.clone()), "top = 3\ntop_percent = 90"),
        (
            Some(Dominance {
                contributor: "ward".to_owned(),
                ..both
            }),
            "p_percent = 10",
        ),
    ] {
        let told = denied(published, rule);
        assert!(told.contains("tables.visits.dominance"), "{rule}: {told}");
    }
}

#[test]
fn a_rule_that_says_nothing_or_too_much_is_a_fault_of_the_policy() {
    let faulty = [
        ("", "this is not a rule"),
        ("top = 2", "this is not a rule"),
        ("p_percent = 0", "p_percent"),
        ("p_percent = 101", "p_percent"),
        ("top = 5\ntop_percent = 80", "top"),
        ("top = 2\ntop_percent = 100", "top_percent"),
        ("p_percent = 10\nq = 1", "q"),
    ];
    let parse = |text: &str| party_agent::policy::Policy::parse(text);
    for (rule, expected) in faulty {
        let told = format!("{:?}", parse(&policy(rule)).expect_err(rule));
        assert!(told.contains(expected), "{rule}: {told}");
    }
    assert!(parse(&policy("p_percent = 10")).is_ok());
    for (from, to) in [
        ("elsewhere = false\n", ""),
        ("contributor = \"person\"\n", ""),
        ("min_cell = 3", "min_cell = 2"),
    ] {
        assert!(
            parse(&policy("p_percent = 10").replace(from, to)).is_err(),
            "{from:?}"
        );
    }
}
