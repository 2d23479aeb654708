//! ROLLUP and CUBE over joins with a minimum: persons are counted in every total.

use arrow::array::AsArray;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, UInt64Type};
use party_agent::local::joined;
use party_agent::plan::{Plan, Procedure, compile};
use party_agent::spec::check;
use protocols::psi::keys::{KeyHash, Normalise};

use super::fixture::party;
use super::joined::in_the_clear;
use super::joint;
use super::oracle::World;

const H: &str = "(SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) h";
const I: &str = "(SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) i";

fn plan(world: &World, sql: &str) -> Plan {
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\nmin_cell = 2\n"
    );
    compile(&check(&job).expect("a job file"), &world.catalogues).expect("a plan")
}

/// Of several holders on both sides, and keys that stand in several groups of each: every cell's persons are those of plain SQL,
/// and totals that a ROLLUP does not have are empty.
#[tokio::test]
async fn persons_of_a_total_count_once() {
    let world = joint::world().await;
    for form in ["CUBE", "ROLLUP"] {
        let from = format!("FROM {H} JOIN {I} ON h.pid = i.pid GROUP BY {form}(h.cat, i.flag)");
        let plan = plan(
            &world,
            &format!("SELECT h.cat, i.flag, COUNT(*) AS n {from}"),
        );
        let least = &plan.shape.checks[0];
        assert_eq!(least.rule, "COUNT(DISTINCT h.pid) >= 2");
        let totals = in_the_clear(&world, &plan).await;
        let totals = totals.expect("local totals");
        let mut found = totals.narrow[least.column].clone();
        let pooled = world.pooled();
        let reference = format!("SELECT COUNT(DISTINCT h.pid) AS n {from}");
        let frame = pooled.sql(&reference).await.expect("a query");
        let batches = frame.collect().await.expect("rows");
        let schema = batches.first().expect("a batch").schema();
        let all = concat_batches(&schema, &batches).expect("one batch");
        let counts = cast(all.column(0), &DataType::UInt64).expect("counts");
        let mut expected = counts.as_primitive::<UInt64Type>().values().to_vec();
        found.retain(|n| *n > 0);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{form}");
        assert!(expected.len() > 5, "{form}: a table with totals");
    }
}

/// Rows without a key are nobody's, so a group of them alone would count as empty, which is shown.
#[tokio::test]
async fn rows_that_are_kept_without_a_match_have_keys() {
    let world = joint::world().await;
    for (condition, is_refused) in [("", true), (" WHERE h.pid IS NOT NULL", false)] {
        let sql = format!(
            "SELECT h.cat, COUNT(*) AS n FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid{condition} GROUP BY ROLLUP(h.cat)"
        );
        let plan = plan(&world, &sql);
        let Procedure::Join(of) = &plan.procedure else {
            panic!("a join");
        };
        let rule = Normalise::named(&of.normalise).expect("a rule");
        let hash = KeyHash::new(&[7; 32], &of.label, rule);
        let source = world.sources.iter().find(|(name, _)| *name == "h_a");
        let (name, source) = source.expect("a holder");
        let relation = of.relations.iter().find(|relation| relation.name == "h");
        let read = joined(
            &plan,
            relation.expect("its table"),
            &party(name),
            source,
            &hash,
            &|_| {},
        )
        .await;
        match is_refused {
            true => {
                let error = read.err().expect("a row without a key").to_string();
                assert!(error.contains("take a key in each"), "{error}");
            }
            false => assert!(read.is_ok()),
        }
    }
}
