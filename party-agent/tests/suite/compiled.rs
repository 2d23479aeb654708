//! The whole way of a job but the network: job file, catalogues, plan, local totals, result. What comes out is
//! what plain SQL gives over the pooled tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use party_agent::catalogue::{Catalogue, Publish, describe};
use party_agent::plan::{Plan, ValueKind, compile};
use party_agent::result::ResultTable;
use party_agent::source::{EngineConfig, Source, make_context};
use party_agent::spec::check;

use crate::plans;

const HOLDERS: [&str; 3] = ["north", "south", "west"];
const UNION: &str = "(SELECT * FROM north.visits UNION ALL SELECT * FROM south.visits UNION ALL SELECT * FROM west.visits) v";

/// One holder's visits as CSV. The second holder has no score at all, and writes its fees with other digits.
fn visits(holder: u64, n_rows: u64) -> String {
    let mut text = String::from("dept,sex,age,fee,score,day,vip,\"患者 编号\"\n");
    for i in 0..n_rows {
        // A fixed scramble, so that the tables differ and the numbers are odd.
        let x = (i * 0x9E37_79B9 + holder * 0x85EB_CA6B).wrapping_mul(0xC2B2_AE35) >> 7;
        let dept = ["内科", "surgery", "\"eye, ear\"", "", "dental"][(x % 5) as usize];
        let sex = ["F", "M", "M", "X"][(x / 5 % 4) as usize];
        let age = if x.is_multiple_of(11) {
            String::new()
        } else {
            (x / 20 % 97).to_string()
        };
        let cents = x / 7 % 900_000;
        let sign = if x.is_multiple_of(13) { "-" } else { "" };
        let fee = match (x % 17, holder) {
            (0, _) => String::new(),
            (_, 1) => format!("{sign}{}.{}", cents / 100, 1 + cents % 9),
            _ => format!("{sign}{}.{:02}", cents / 100, cents % 100),
        };
        let score = if holder == 1 || x.is_multiple_of(3) {
            String::new()
        } else {
            format!("{}.{}e-2", x % 50, 1 + x % 8)
        };
        let day = format!(
            "20{:02}-{:02}-{:02}",
            20 + x % 4,
            1 + x % 12,
            1 + x / 3 % 28
        );
        writeln!(
            text,
            "{dept},{sex},{age},{fee},{score},{day},{},{:05}",
            x.is_multiple_of(2),
            x % 100_000
        )
        .expect("a String takes all");
    }
    text
}

struct Holders {
    _dirs: Vec<tempfile::TempDir>,
    sources: Vec<Source>,
    catalogues: BTreeMap<protocols::party::PartyId, Catalogue>,
}

async fn holders(tables: [String; 3]) -> Holders {
    let (mut dirs, mut sources, mut catalogues) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (name, text) in HOLDERS.iter().zip(tables) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("visits.csv"), text).expect("written");
        let source = Source::open_dir(dir.path()).await.expect("a table");
        let entry = describe(&source, "visits", &Publish::Rehearsal, None)
            .await
            .expect("described");
        let catalogue = Catalogue {
            party: plans::party(name),
            min_cell: 0,
            open_counts: true,
            round_to: None,
            rehearsal: true,
            tables: BTreeMap::from([("visits".to_owned(), entry)]),
        };
        let catalogue = Catalogue::from_json(&catalogue.to_json()).expect("canonical");
        catalogues.insert(plans::party(name), catalogue);
        dirs.push(dir);
        sources.push(source);
    }
    Holders {
        _dirs: dirs,
        sources,
        catalogues,
    }
}

impl Holders {
    fn plan(&self, sql: &str) -> Plan {
        let job = format!(
            "job = \"test\"\npurpose = \"test\"\nreceivers = [\"north\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
        );
        let spec = check(&job).unwrap_or_else(|faults| panic!("{sql}: {faults:?}"));
        compile(&spec, &self.catalogues).unwrap_or_else(|faults| panic!("{sql}: {faults:?}"))
    }

    async fn run(&self, plan: &Plan) -> ResultTable {
        let parts: Vec<_> = HOLDERS.iter().copied().zip(&self.sources).collect();
        plans::run(plan, &parts).await
    }

    /// The same SQL over all tables in one engine.
    async fn pooled(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let context = make_context(EngineConfig::default());
        for (name, source) in HOLDERS.iter().zip(&self.sources) {
            let schema = MemorySchemaProvider::new();
            let table = source.tables()["visits"].provider();
            schema
                .register_table("visits".to_owned(), table)
                .expect("registered");
            let catalog = context.catalog("entente").expect("the default one");
            catalog
                .register_schema(name, Arc::new(schema))
                .expect("registered");
        }
        let batches = context
            .sql(sql)
            .await
            .expect(sql)
            .collect()
            .await
            .expect(sql);
        batches.iter().flat_map(rows).collect()
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let cell = |c: &Arc<dyn Array>, row| {
        (!c.is_null(row)).then(|| array_value_to_string(c, row).expect("printable"))
    };
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|c| cell(c, row)).collect())
        .collect()
}

/// Exact types digit by digit (trailing zeros aside), doubles to 1e-9.
fn is_same(kind: ValueKind, found: Option<&str>, expected: Option<&str>) -> bool {
    let (Some(found), Some(expected)) = (found, expected) else {
        return found == expected;
    };
    let trim = |s: &str| match s.contains('.') {
        true => s.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => s.to_owned(),
    };
    match kind {
        ValueKind::Float => {
            let (x, y): (f64, f64) = (
                found.parse().expect(found),
                expected.parse().expect(expected),
            );
            x == y || ((x - y) / y).abs() < 1e-9
        }
        _ => trim(found) == trim(expected),
    }
}

const QUERIES: &[&str] = &[
    "SELECT COUNT(*) AS n, COUNT(age) AS aged, SUM(age) AS years, AVG(age) AS mean, SUM(fee) AS fees FROM {}",
    "SELECT VAR_SAMP(age) AS a, VAR_POP(age) AS b, STDDEV_SAMP(fee) AS c, STDDEV_POP(fee) AS d, VAR_SAMP(score) AS e FROM {}",
    "SELECT dept, COUNT(*) AS n, SUM(fee) AS fees, AVG(fee) AS mean FROM {} GROUP BY dept ORDER BY n DESC, dept NULLS LAST",
    "SELECT dept, sex, COUNT(fee) AS n, SUM(fee) AS fees FROM {} WHERE age >= 18 AND day < DATE '2023-06-01' GROUP BY dept, sex ORDER BY dept NULLS FIRST, sex",
    "SELECT sex, vip, AVG(CASE WHEN age > 65 THEN 1.0 ELSE 0 END) AS rate, SUM(score) AS s FROM {} GROUP BY sex, vip ORDER BY sex, vip",
    "SELECT sex, SUM(fee) / COUNT(*) AS per_visit, SUM(age) * 2 + 1 AS x FROM {} GROUP BY sex HAVING COUNT(*) >= 40 ORDER BY sex DESC",
    "SELECT CASE WHEN age < 18 THEN 'child' WHEN age < 65 THEN 'adult' ELSE 'old' END AS band, COUNT(*) AS n FROM {} GROUP BY CASE WHEN age < 18 THEN 'child' WHEN age < 65 THEN 'adult' ELSE 'old' END ORDER BY band",
    "SELECT day, COUNT(*) AS n FROM {} WHERE day BETWEEN DATE '2022-01-01' AND DATE '2022-03-31' GROUP BY day ORDER BY n DESC, day LIMIT 5",
    "SELECT SUM(COALESCE(fee, 0)) AS a, SUM(CAST(fee AS DOUBLE)) AS b, SUM(fee * age) AS c, COUNT(score) AS d FROM {}",
    "SELECT sex, COUNT(*) AS n FROM {} WHERE dept LIKE '内%' OR dept IS NULL GROUP BY sex ORDER BY sex",
    "SELECT SUM(age * fee) / SUM(age) AS weighted FROM {} WHERE fee IS NOT NULL AND age IS NOT NULL",
    "SELECT COUNT(*) AS n, SUM(age) AS years, AVG(age) AS mean, VAR_SAMP(age) AS v FROM {} WHERE age > 1000",
    "SELECT dept, COUNT(*) AS n, SUM(age) AS years FROM {} WHERE age > 1000 GROUP BY dept ORDER BY dept",
];

async fn agrees(holders: &Holders) {
    for query in QUERIES {
        let sql = query.replace("{}", UNION);
        let plan = holders.plan(&sql);
        let result = holders.run(&plan).await;
        let expected = holders.pooled(&sql).await;
        assert_eq!(result.n_rows(), expected.len(), "{sql}");
        for (row, expected) in plans::rows(&result).iter().zip(&expected) {
            for (column, expected) in result.columns.iter().zip(expected) {
                let found = match column.kind {
                    ValueKind::Text | ValueKind::Date => {
                        serde_json::from_str(&row[&column.name]).expect("JSON")
                    }
                    _ => Some(row[&column.name].clone()).filter(|text| text != "null"),
                };
                assert!(
                    is_same(column.kind, found.as_deref(), expected.as_deref()),
                    "{}: {found:?} where {expected:?} is expected\n{sql}\n{row:?}",
                    column.name
                );
            }
        }
    }
}

#[tokio::test]
async fn jobs_give_what_plain_sql_gives() {
    agrees(&holders([visits(0, 300), visits(1, 211), visits(2, 97)]).await).await;
}

#[tokio::test]
async fn a_holder_without_rows_and_one_with_a_single_row() {
    agrees(&holders([visits(0, 120), visits(1, 0), visits(2, 1)]).await).await;
}

/// What nobody else has heard of is a group like any other, and so is what one holder leaves empty throughout.
#[tokio::test]
async fn a_category_that_one_holder_alone_has_and_columns_of_nothing_but_null() {
    let unheard_of = visits(2, 40)
        .replace("dental", "肿瘤科")
        .replace(",X,", ",unknown,");
    agrees(&holders([visits(0, 120), visits(1, 80), unheard_of]).await).await;
    let header = visits(2, 0);
    let nulls = header + &",,,,,,,\n".repeat(20);
    agrees(&holders([visits(0, 120), visits(1, 80), nulls]).await).await;
}
