//! Sums over joins that are held against rules about dominance: which groups are released, against rules that are written down
//! here anew, over contributions that plain SQL finds in the pooled rows.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use party_agent::catalogue::{Dominance, TopShare};
use party_agent::plan::{Plan, Usage, compile};
use party_agent::spec::check;

use super::fixture::party;
use super::joint::world;
use super::oracle::World;

const I: &str = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t)";

fn rule(p_percent: Option<u64>, top: Option<(u64, u64)>) -> Dominance {
    Dominance {
        contributor: "pid".to_owned(),
        elsewhere: true,
        p_percent,
        top: top.map(|(n, percent)| TopShare { n, percent }),
    }
}

/// A world in which these holders have rules, and numbers have ranges.
async fn ruled(rules: &[(&str, &Dominance)]) -> World {
    let mut world = world().await;
    for (holder, rule) in rules {
        let catalogue = world.catalogues.get_mut(&party(holder)).expect("a holder");
        let table = catalogue.tables.get_mut("t").expect("a table");
        table.dominance = Some((*rule).clone());
    }
    world
}

fn planned(world: &World, sql: &str) -> Result<Plan, String> {
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\nmin_cell = 3\n"
    );
    compile(&check(&job).expect("a job file"), &world.catalogues).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    })
}

/// What each person adds to each group, in magnitude.
async fn contributions(world: &World, sql: &str) -> BTreeMap<Option<String>, Vec<u64>> {
    let query = world.pooled().sql(sql).await.expect("a query");
    let mut all: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
    for batch in query.collect().await.expect("rows") {
        let groups = cast(batch.column(0), &DataType::Utf8).expect("texts");
        let added = cast(batch.column(2), &DataType::Int64).expect("whole numbers");
        let added = added.as_primitive::<Int64Type>().iter();
        for (group, added) in groups.as_string::<i32>().iter().zip(added) {
            let of_group = all.entry(group.map(str::to_owned)).or_default();
            of_group.push(added.unwrap_or(0).unsigned_abs());
        }
    }
    all
}

fn holds(rule: &Dominance, contributions: &[u64]) -> bool {
    let mut sorted: Vec<i128> = contributions.iter().map(|c| i128::from(*c)).collect();
    sorted.sort_unstable_by_key(|c| -c);
    let total: i128 = sorted.iter().sum();
    let first = |n: usize| sorted.iter().take(n).sum::<i128>();
    let percent =
        (rule.p_percent).is_none_or(|p| 100 * (total - first(2)) >= i128::from(p) * first(1));
    let top = rule
        .top
        .is_none_or(|top| 100 * first(top.n as usize) <= i128::from(top.percent) * total);
    percent && top
}

/// Rules of the hub and of others, of one holder and of several; sums, means and variances, numbers of both signs, and
/// conditions of others.
#[tokio::test]
async fn groups_that_a_person_dominates_are_held_back() {
    let strict = rule(Some(100), Some((2, 35)));
    let mild = rule(Some(5), None);
    let top = rule(None, Some((3, 45)));
    let both = "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    let (mut n_released, mut n_held) = (0, 0);
    for (rules, sum, added, from) in [
        (
            vec![("h_a", &strict)],
            "SUM(h.money)",
            "SUM(h.money) * 100",
            both.to_owned(),
        ),
        (
            vec![("h_a", &mild)],
            "AVG(h.small)",
            "SUM(h.small)",
            both.to_owned(),
        ),
        (
            vec![("i_a", &top)],
            "SUM(i.money)",
            "SUM(i.money) * 100",
            both.to_owned(),
        ),
        (
            vec![("h_a", &strict)],
            "SUM(CASE WHEN i.flag THEN h.money END)",
            "SUM(CASE WHEN i.flag THEN h.money END) * 100",
            both.to_owned(),
        ),
        (
            vec![("i_a", &strict), ("i_b", &mild)],
            "SUM(i.money)",
            "SUM(i.money) * 100",
            format!("FROM h_a.t h JOIN {I} i ON h.pid = i.pid"),
        ),
    ] {
        let world = ruled(&rules).await;
        let sql = format!("SELECT h.part, {sum} AS s, COUNT(*) AS n {from} GROUP BY h.part");
        let plan = planned(&world, &sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(plan.dominance.is_some());
        assert!(plan.explain().contains("dominance"), "{}", plan.explain());
        for (holder, _) in &rules {
            let mut uses = plan.locals[&party(holder)].uses.iter();
            assert!(uses.any(|u| u.usage == Usage::Person && u.column == "pid"));
        }
        let found = super::joined::run(&world, &plan).await.expect("a result");
        let groups = cast(found.values(0), &DataType::Utf8).expect("texts");
        let found: BTreeSet<Option<String>> = groups
            .as_string::<i32>()
            .iter()
            .map(|g| g.map(str::to_owned))
            .collect();
        let reference =
            format!("SELECT h.part, h.pid, CAST({added} AS BIGINT) {from} GROUP BY h.part, h.pid");
        let all = contributions(&world, &reference).await;
        let strictest = |c: &[u64]| rules.iter().all(|(_, rule)| holds(rule, c));
        let large = all.iter().filter(|(_, c)| c.len() >= 3);
        let (kept, held): (Vec<_>, Vec<_>) = large.partition(|(_, c)| strictest(c));
        n_held += held.len();
        n_released += kept.len();
        let kept: BTreeSet<Option<String>> = kept.into_iter().map(|(g, _)| g.clone()).collect();
        assert_eq!(found, kept, "{sql}\n{}\n{all:?}", plan.explain());
    }
    assert!(n_released > 0 && n_held > 0, "{n_released} and {n_held}");
}

/// Sums of squares are held against them as well, and totals beside groups.
#[tokio::test]
async fn variances_and_totals_keep_to_the_rules() {
    let rule = rule(Some(20), None);
    let world = ruled(&[("h_a", &rule)]).await;
    let from = "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    let sql = format!("SELECT h.part, VAR_SAMP(h.small) AS v {from} GROUP BY ROLLUP(h.part)");
    let plan = planned(&world, &sql).expect("a plan");
    let sums = &plan.dominance.as_ref().expect("rules").sums;
    assert!(sums.iter().any(|s| s.squares) && sums.iter().any(|s| !s.squares));
    let found = super::joined::run(&world, &plan).await.expect("a result");
    let groups = cast(found.values(0), &DataType::Utf8).expect("texts");
    let groups = groups.as_string::<i32>();
    for power in ["h.small", "h.small * h.small"] {
        let of_groups = format!("SELECT h.part, h.pid, SUM({power}) {from} GROUP BY h.part, h.pid");
        let of_all = format!("SELECT NULL, h.pid, SUM({power}) {from} GROUP BY h.pid");
        let mut all = contributions(&world, &of_groups).await;
        all.extend(contributions(&world, &of_all).await);
        for group in groups.iter() {
            let added = &all[&group.map(str::to_owned)];
            assert!(holds(&rule, added), "{group:?} of {power}: {added:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_held_against_the_rules_is_refused() {
    let rule = rule(Some(10), None);
    let world = ruled(&[("h_a", &rule)]).await;
    let both = "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid";
    for (select, from, part) in [
        ("SUM(h.money + 1000)", both, "expressions such as"),
        (
            "SUM(h.small * i.small)",
            both,
            "what is computed with another holder's",
        ),
        (
            "SUM(h.small + i.small)",
            both,
            "what is computed with another holder's",
        ),
        (
            "SUM(CASE WHEN i.flag THEN h.small ELSE -h.small END)",
            both,
            "with another holder's",
        ),
        (
            "SUM(h.money)",
            "FROM h_a.t h JOIN i_a.t i ON h.num = i.num",
            "joined by something else",
        ),
        (
            "SUM(h.money)",
            "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid AND h.part = i.part",
            "joined by something else",
        ),
        (
            "SUM(h.money)",
            "FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid",
            "write JOIN",
        ),
        (
            "SUM(h.money)",
            "FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small < i.small",
            "expressions such as",
        ),
        ("SUM(h.x)", both, "is too large a sum over a join"),
    ] {
        let told = planned(&world, &format!("SELECT {select} AS s {from}"));
        let told = told.map(|plan| plan.explain()).expect_err(select);
        assert!(told.contains(part), "{select}: {told}");
    }
    // Counts are no matter, nor are sums of tables without rules.
    for select in [
        "COUNT(*)",
        "COUNT(h.money)",
        "SUM(i.money)",
        "COUNT(DISTINCT h.pid)",
    ] {
        let plan = planned(&world, &format!("SELECT {select} AS s {both}"));
        assert!(
            plan.as_ref().is_ok_and(|p| p.dominance.is_none()),
            "{select}: {plan:?}"
        );
    }
}
