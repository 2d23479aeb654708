//! Plans run in the clear against plain SQL: the query engine over all holders' tables pooled.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use party_agent::catalogue::{Catalogue, Publish, describe};
use party_agent::plan::{Plan, Procedure};
use party_agent::policy::Policy;
use party_agent::result::ResultTable;
use party_agent::source::{EngineConfig, Source, SourceError, make_context};

use super::fixture::{Catalogues, party, plan};
use crate::plans;

/// Holders with their tables and what they publish.
pub(super) struct World {
    pub(super) sources: Vec<(&'static str, Source)>,
    pub(super) catalogues: Catalogues,
}

impl World {
    async fn open(set: &str, holders: &[&'static str], with_policy: bool) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
        let mut world = Self {
            sources: Vec::new(),
            catalogues: Catalogues::new(),
        };
        for holder in holders {
            let dir = root.join(set).join(holder);
            let source = Source::open_dir(&dir).await.expect("the examples' tables");
            let policy = match with_policy {
                true => Policy::load(&dir.join("policy.toml")).expect("the examples' policy"),
                false => Policy::rehearsal(),
            };
            let mut catalogue = Catalogue {
                min_cell: policy.min_cell(),
                open_counts: policy.open_counts(),
                round_to: policy.round_to(),
                party: party(holder),
                rehearsal: policy.is_rehearsal(),
                tables: Default::default(),
            };
            for name in source.tables().keys() {
                let publish = policy.publish(name).unwrap_or(Publish::Rehearsal);
                let entry = describe(&source, name, &publish, None)
                    .await
                    .expect("an entry");
                catalogue.tables.insert(name.clone(), entry);
            }
            world.sources.push((holder, source));
            world.catalogues.insert(party(holder), catalogue);
        }
        world
    }

    /// Takes a column's values out of every catalogue; they may form groups unpublished.
    pub(super) fn hide(&mut self, name: &str) {
        for catalogue in self.catalogues.values_mut() {
            let columns = catalogue.tables.values_mut().flat_map(|t| &mut t.columns);
            for column in columns.filter(|c| c.name == name) {
                column.categories = None;
                column.range = None;
                column.hidden = Some(40);
            }
        }
    }

    /// The query engine with every holder's tables in one place.
    pub(super) fn pooled(&self) -> SessionContext {
        let context = make_context(EngineConfig::default());
        let name = context.catalog_names().remove(0);
        let catalog = context.catalog(&name).expect("the default catalog");
        for (holder, source) in &self.sources {
            let schema = MemorySchemaProvider::new();
            for (table, data) in source.tables() {
                schema
                    .register_table(table.clone(), data.provider())
                    .expect("distinct names");
            }
            catalog
                .register_schema(holder, Arc::new(schema))
                .expect("an in-memory catalog");
        }
        context
    }

    /// The plan's result, with totals added in the clear.
    async fn run(&self, plan: &Plan) -> Result<ResultTable, SourceError> {
        if matches!(plan.procedure, Procedure::Join(_)) {
            return super::joined::run(self, plan).await;
        }
        let sources = self.sources.iter();
        let sources: Vec<_> = sources.map(|(name, source)| (*name, source)).collect();
        Ok(plans::run(plan, &sources).await)
    }
}

/// A table as texts; doubles are compared by value.
fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    let column = match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().iter();
            return values.map(|v| v.map(|v| format!("{v:e}"))).collect();
        }
        _ => cast(column, &DataType::Utf8).expect("text"),
    };
    let column = column.as_string::<i32>();
    column.iter().map(|v| v.map(str::to_owned)).collect()
}

/// Exact types compare as text but for trailing zeros of decimals; doubles to `within`, and what is 0 can be off by rounding
/// in plain SQL.
fn same(found: &Option<String>, expected: &Option<String>, within: f64) -> bool {
    if found == expected {
        return true;
    }
    let number = |t: &Option<String>| t.as_ref().and_then(|t| t.parse::<f64>().ok());
    match (number(found), number(expected)) {
        (Some(a), Some(b)) => (a - b).abs() <= within * b.abs().max(1e-6) || a == b,
        _ => false,
    }
}

/// Runs a job and its plain-SQL reference, and compares them row by row, in order.
async fn compare(world: &World, job_sql: &str, reference: &str) {
    let receivers = world.sources[0].0;
    let job = format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"{receivers}\"]\n[compute]\nsql = '''\n{job_sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n"
    );
    let plan = plan(&job, &world.catalogues);
    let found = world.run(&plan).await.expect("a result");
    assert!(found.n_rows() > 0, "nothing was compared: {job_sql}");
    let differs = differs(world, &plan, reference, 1e-12).await;
    if let Some(what) = differs.unwrap_or_else(|e| panic!("{reference}: {e}")) {
        panic!("{what}\n{job_sql}\n{}\n{}", plan.explain(), found.to_json());
    }
}

/// Where a plan's result is another than that of plain SQL, if it is. The reference itself can fail in the engine, and a holder
/// can refuse what it finds in its rows.
pub(super) async fn differs(
    world: &World,
    plan: &Plan,
    reference: &str,
    within: f64,
) -> Result<Option<String>, DataFusionError> {
    let found = world.run(plan).await?;
    let query = world.pooled().sql(reference).await?;
    let schema = Arc::new(query.schema().as_arrow().clone());
    let batches = query.collect().await?;
    let expected = concat_batches(&schema, &batches)?;
    let sizes = (found.columns.len(), found.n_rows());
    let expected_sizes = (expected.num_columns(), expected.num_rows());
    if sizes != expected_sizes {
        return Ok(Some(format!(
            "{sizes:?} columns and rows where plain SQL has {expected_sizes:?}"
        )));
    }
    for (i, column) in expected.columns().iter().enumerate() {
        let pairs = texts(found.values(i)).into_iter().zip(texts(column));
        for (row, (found, expected)) in pairs.enumerate() {
            let name = &plan.outputs[i].name;
            if !same(&found, &expected, within) {
                return Ok(Some(format!(
                    "{name}, row {row}: {found:?} where plain SQL has {expected:?}"
                )));
            }
        }
    }
    Ok(None)
}

const UNION: &str = "(SELECT * FROM hospital_1.encounters UNION ALL SELECT * FROM hospital_2.encounters UNION ALL SELECT * FROM hospital_3.encounters)";
const HOSPITALS: [&str; 3] = ["hospital_1", "hospital_2", "hospital_3"];

/// Jobs whose text is plain SQL as it stands.
const PLAIN: [&str; 27] = [
    "SELECT diag_group, COUNT(*) AS n, AVG(time_in_hospital) AS los, STDDEV_SAMP(time_in_hospital) AS los_sd, SUM(num_medications) AS meds FROM {e} e WHERE time_in_hospital >= 1 GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY n DESC",
    "SELECT COUNT(*) AS n, COUNT(medical_specialty) AS known, SUM(time_in_hospital) AS days, VAR_SAMP(num_lab_procedures) AS v, VAR_POP(num_lab_procedures) AS vp, STDDEV_POP(num_lab_procedures) AS sp FROM {e} e",
    "SELECT gender, age, COUNT(*) AS n, SUM(CASE WHEN readmitted = '<30' THEN 1 ELSE 0 END) AS r FROM {e} e GROUP BY gender, age HAVING COUNT(*) >= 11 ORDER BY gender, age",
    "SELECT CASE WHEN age_mid < 40 THEN 'young' WHEN age_mid < 65 THEN 'middle' ELSE 'old' END AS band, COUNT(*) AS n, AVG(CASE WHEN readmitted = '<30' THEN 1.0 ELSE 0 END) AS r FROM {e} e GROUP BY CASE WHEN age_mid < 40 THEN 'young' WHEN age_mid < 65 THEN 'middle' ELSE 'old' END ORDER BY band",
    "SELECT insulin, SUM(number_outpatient + number_emergency * 2 - number_inpatient) AS x, SUM(num_medications) * 3 - COUNT(*) AS y FROM {e} e GROUP BY insulin ORDER BY insulin",
    "SELECT time_in_hospital AS days, COUNT(*) AS n, AVG(num_medications) AS m FROM {e} e GROUP BY time_in_hospital HAVING COUNT(*) > 100 ORDER BY days DESC LIMIT 5",
    "SELECT UPPER(SUBSTR(diag_group, 1, 3)) AS d, COUNT(*) AS n FROM {e} e GROUP BY UPPER(SUBSTR(diag_group, 1, 3)) HAVING COUNT(*) >= 11 ORDER BY d",
    "SELECT COALESCE(medical_specialty, 'none') = 'Cardiology' AS heart, COUNT(*) AS n FROM {e} e GROUP BY COALESCE(medical_specialty, 'none') = 'Cardiology' ORDER BY heart",
    "SELECT diag_group, COUNT(*) FILTER (WHERE gender = 'Female') AS women, SUM(time_in_hospital) FILTER (WHERE readmitted = 'NO') AS days FROM {e} e GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY women DESC, diag_group",
    "WITH u AS (SELECT diag_group AS d, time_in_hospital AS t FROM hospital_1.encounters WHERE num_medications > 20 UNION ALL SELECT diag_group, num_procedures FROM hospital_2.encounters UNION ALL SELECT diag_group, t FROM (SELECT *, time_in_hospital * 2 AS t FROM hospital_3.encounters) x) SELECT d, SUM(t) AS t, COUNT(t) AS n FROM u GROUP BY d HAVING COUNT(*) >= 11 ORDER BY t DESC LIMIT 4 OFFSET 1",
    "SELECT COUNT(*) AS patients, SUM(n) AS stays, MAX(n) AS most FROM (SELECT COUNT(*) AS n FROM hospital_1.encounters GROUP BY gender, age, diag_group, insulin UNION ALL SELECT COUNT(*) FROM hospital_2.encounters GROUP BY gender, age, diag_group, insulin) p",
    "SELECT e.gender, m.name, COUNT(*) AS n FROM {e} e JOIN (VALUES ('circulatory', 'heart'), ('respiratory', 'lung')) AS m(code, name) ON e.diag_group = m.code GROUP BY e.gender, m.name HAVING COUNT(*) >= 11 ORDER BY 1, 2",
    "SELECT readmitted, AVG(num_lab_procedures) - AVG(num_procedures) AS d, CASE WHEN COUNT(*) > 5000 THEN 'many' ELSE 'few' END AS size, ROUND(AVG(time_in_hospital), 2) AS r FROM {e} e WHERE insulin IN ('Up', 'Down') AND age_mid BETWEEN 20 AND 80 GROUP BY readmitted ORDER BY AVG(time_in_hospital)",
    "SELECT diag_group, MIN(time_in_hospital) AS a, MAX(time_in_hospital) AS b, MIN(num_medications - num_procedures) AS c, MAX(CAST(num_lab_procedures AS DECIMAL(9, 2)) / 4) AS d, MAX(CAST(num_medications AS DOUBLE) * -0.1) AS e FROM {e} e GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY diag_group",
    "SELECT gender, readmitted, MAX(age_mid) - MIN(age_mid) AS spread, MIN(CASE WHEN insulin = 'Up' THEN num_medications END) AS m, MAX(num_procedures) FILTER (WHERE age_mid < 30) AS f FROM {e} e GROUP BY gender, readmitted HAVING COUNT(*) >= 11 ORDER BY MAX(num_medications) DESC, gender, readmitted",
    "SELECT CORR(time_in_hospital, num_medications) AS c, COVAR_SAMP(time_in_hospital, num_lab_procedures) AS cs, COVAR_POP(num_medications, num_procedures) AS cp, REGR_SLOPE(num_medications, time_in_hospital) AS b, REGR_INTERCEPT(num_medications, time_in_hospital) AS a, REGR_R2(num_medications, time_in_hospital) AS r2, REGR_COUNT(num_medications, time_in_hospital) AS n FROM {e} e",
    "SELECT insulin, CORR(num_lab_procedures, num_medications) AS c, REGR_AVGX(num_lab_procedures, num_medications) AS x, REGR_AVGY(num_lab_procedures, num_medications) AS y, REGR_SXX(num_lab_procedures, num_medications) AS sxx, REGR_SYY(num_lab_procedures, num_medications) AS syy, REGR_SXY(num_lab_procedures, num_medications) AS sxy FROM {e} e GROUP BY insulin ORDER BY insulin",
    "SELECT diag_group, COUNT(DISTINCT age) AS a, COUNT(DISTINCT num_medications) AS m, COUNT(DISTINCT medical_specialty) FILTER (WHERE gender = 'Female') AS s, COUNT(num_medications) AS n FROM {e} e GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY diag_group",
    "SELECT COUNT(DISTINCT patient_id) AS patients, COUNT(*) AS n FROM {e} e",
    "SELECT age, COUNT(*) AS n FROM {e} e WHERE num_medications > 30 GROUP BY age HAVING COUNT(DISTINCT diag_group) >= 8 AND COUNT(*) >= 11 ORDER BY age",
    "SELECT gender, MEDIAN(CAST(num_medications AS DOUBLE) * -0.1) AS m, PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY CAST(num_lab_procedures AS DOUBLE) / 7) AS p FROM {e} e WHERE num_medications > 40 GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
    "SELECT age, COUNT(*) AS n, SUM(time_in_hospital) AS days FROM {e} e GROUP BY age ORDER BY n DESC LIMIT 3",
    "SELECT diag_group, gender, SUM(time_in_hospital) AS days FROM {e} e GROUP BY diag_group, gender HAVING COUNT(*) >= 11 ORDER BY days LIMIT 4 OFFSET 2",
    "SELECT a, COUNT(*) AS n, SUM(b) AS s FROM (SELECT gender AS a, num_medications AS b, 1 AS c FROM hospital_1.encounters UNION ALL SELECT t.*, 3 FROM (SELECT insulin, num_procedures FROM hospital_2.encounters) t UNION ALL SELECT *, 4 FROM (SELECT gender, num_procedures FROM hospital_3.encounters) t) u GROUP BY a HAVING COUNT(*) >= 11 ORDER BY a",
    "SELECT gender, SUM(CAST(num_medications AS DECIMAL(10, 2)) / 4) AS q, AVG(CAST(num_medications AS DOUBLE) * 0.1) AS f, SUM(num_lab_procedures * num_medications) AS p FROM {e} e GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
    "SELECT insulin, readmitted, GROUPING(readmitted) AS t, COUNT(*) AS n, SUM(time_in_hospital) AS days FROM {e} e GROUP BY ROLLUP(insulin, readmitted) ORDER BY n DESC, t",
    "SELECT gender, readmitted, COUNT(*) AS n, AVG(num_medications) AS m FROM {e} e WHERE gender <> 'Unknown/Invalid' GROUP BY CUBE(gender, readmitted) ORDER BY GROUPING(gender), GROUPING(readmitted), n",
];

#[tokio::test]
async fn jobs_equal_plain_sql_under_the_policies() {
    let world = World::open("claims_diabetes130", &HOSPITALS, true).await;
    for sql in PLAIN {
        let sql = sql.replace("{e}", UNION);
        compare(&world, &sql, &sql).await;
    }
}

#[tokio::test]
async fn jobs_equal_plain_sql_in_a_rehearsal() {
    let world = World::open("claims_diabetes130", &HOSPITALS, false).await;
    for sql in PLAIN {
        let sql = sql.replace("{e}", UNION);
        compare(&world, &sql, &sql).await;
    }
}

/// What plain SQL has no word for, against the same in its words.
#[tokio::test]
async fn our_own_functions_equal_their_definitions() {
    let world = World::open("claims_diabetes130", &HOSPITALS, true).await;
    let pairs = [
        (
            "SELECT HISTOGRAM(time_in_hospital, 1, 2, 4, 8, 14) AS days, COUNT(*) AS n FROM {e} e GROUP BY days ORDER BY days DESC",
            "SELECT CASE WHEN time_in_hospital < 2 THEN '[1, 2)' WHEN time_in_hospital < 4 THEN '[2, 4)' WHEN time_in_hospital < 8 THEN '[4, 8)' ELSE '[8, 14]' END AS days, COUNT(*) AS n FROM {e} e GROUP BY 1 ORDER BY MIN(time_in_hospital) DESC",
        ),
        (
            "SELECT diag_group, MEDIAN(time_in_hospital) AS m, PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY num_medications) AS p, QUANTILE_CONT(num_procedures, 0.1) AS q FROM {e} e GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY diag_group",
            "SELECT diag_group, MEDIAN(CAST(time_in_hospital AS DOUBLE)) AS m, PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY CAST(num_medications AS DOUBLE)) AS p, PERCENTILE_CONT(0.1) WITHIN GROUP (ORDER BY CAST(num_procedures AS DOUBLE)) AS q FROM {e} e GROUP BY diag_group HAVING COUNT(*) >= 220 ORDER BY diag_group",
        ),
        (
            "SELECT gender, PERCENTILE_DISC(0.3) WITHIN GROUP (ORDER BY num_medications) AS m, PERCENTILE_DISC(0.05) WITHIN GROUP (ORDER BY num_medications) AS a, PERCENTILE_DISC(0.95) WITHIN GROUP (ORDER BY num_medications) AS b FROM {e} e GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
            "SELECT gender, MIN(x) FILTER (WHERE c >= 0.3) AS m, MIN(x) FILTER (WHERE c >= 0.05) AS a, MIN(x) FILTER (WHERE c >= 0.95) AS b FROM (SELECT gender, num_medications AS x, CUME_DIST() OVER (PARTITION BY gender ORDER BY num_medications) AS c FROM {e} e) t GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
        ),
        (
            "SELECT gender, PERCENTILE_CONT(0.984375) WITHIN GROUP (ORDER BY CAST(num_lab_procedures AS DECIMAL(9, 2)) * 100000000000001) AS p, PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY num_lab_procedures * 100003) AS q, PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY num_lab_procedures * 100003) AS d FROM {e} e GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
            "SELECT gender, PERCENTILE_CONT(0.984375) WITHIN GROUP (ORDER BY num_lab_procedures * 100000000000001.0) AS p, PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY num_lab_procedures * 100003.0) AS q, MIN(x) FILTER (WHERE c >= 0.5) AS d FROM (SELECT gender, num_lab_procedures, num_lab_procedures * 100003 AS x, CUME_DIST() OVER (PARTITION BY gender ORDER BY num_lab_procedures) AS c FROM {e} e) t GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
        ),
        (
            "SELECT gender, SPEARMAN(num_medications, time_in_hospital) AS s, SPEARMAN(time_in_hospital, CAST(num_lab_procedures AS DOUBLE) / -3) AS t FROM {e} e WHERE num_medications > 20 GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
            "SELECT gender, CORR(a, b) AS s, CORR(b, c) AS t FROM (SELECT gender, RANK() OVER (PARTITION BY gender ORDER BY num_medications) + COUNT(*) OVER (PARTITION BY gender, num_medications) / 2.0 AS a, RANK() OVER (PARTITION BY gender ORDER BY time_in_hospital) + COUNT(*) OVER (PARTITION BY gender, time_in_hospital) / 2.0 AS b, RANK() OVER (PARTITION BY gender ORDER BY num_lab_procedures DESC) + COUNT(*) OVER (PARTITION BY gender, num_lab_procedures) / 2.0 AS c FROM {e} e WHERE num_medications > 20) r GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
        ),
        (
            "SELECT gender, WEIGHTED_AVG(age_mid, time_in_hospital) AS w, SUM(num_medications) / SUM(time_in_hospital) AS r FROM {e} e GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
            "SELECT gender, CAST(SUM(age_mid * time_in_hospital) AS DOUBLE) / SUM(time_in_hospital) AS w, CAST(SUM(num_medications) AS DOUBLE) / SUM(time_in_hospital) AS r FROM {e} e GROUP BY gender HAVING COUNT(*) >= 11 ORDER BY gender",
        ),
    ];
    for (job, reference) in pairs {
        compare(
            &world,
            &job.replace("{e}", UNION),
            &reference.replace("{e}", UNION),
        )
        .await;
    }
}

/// Groups by columns that publish no values, alone and beside one that does.
#[tokio::test]
async fn groups_that_nobody_lists_equal_plain_sql() {
    let mut world = World::open("claims_diabetes130", &HOSPITALS, true).await;
    for column in ["medical_specialty", "num_procedures", "diag_group"] {
        world.hide(column);
    }
    for sql in [
        "SELECT medical_specialty, COUNT(*) AS n, SUM(num_medications) AS s, AVG(time_in_hospital) AS a, VAR_SAMP(num_medications) AS v FROM {e} e GROUP BY medical_specialty HAVING COUNT(*) >= 11 ORDER BY n DESC, medical_specialty",
        "SELECT num_procedures, gender, COUNT(*) AS n, CORR(num_medications, time_in_hospital) AS c FROM {e} e GROUP BY num_procedures, gender HAVING COUNT(*) >= 700 ORDER BY num_procedures DESC, gender LIMIT 7",
        "SELECT UPPER(SUBSTR(diag_group, 1, 4)) AS d, num_procedures > 3 AS many, COUNT(num_medications) AS n FROM {e} e GROUP BY UPPER(SUBSTR(diag_group, 1, 4)), num_procedures > 3 HAVING COUNT(*) >= 11 ORDER BY 1, 2",
    ] {
        let sql = sql.replace("{e}", UNION);
        compare(&world, &sql, &sql).await;
    }
}

#[tokio::test]
async fn chinese_columns_and_decimals_equal_plain_sql() {
    let world = World::open("clinics", &["clinic_a", "clinic_b"], true).await;
    let sql = "SELECT 科室 AS department, COUNT(*) AS visits, COUNT(费用) AS billed, SUM(费用) AS fees, AVG(费用) AS mean_fee, AVG(AGE) AS mean_age FROM (SELECT * FROM clinic_a.visits UNION ALL SELECT * FROM clinic_b.visits) v WHERE visit_date >= DATE '2026-02-01' GROUP BY 科室 HAVING COUNT(*) >= 5 ORDER BY visits DESC, department";
    compare(
        &world,
        sql,
        &sql.replace("AGE", "age")
            .replace("AVG(费用)", "AVG(CAST(费用 AS DOUBLE))"),
    )
    .await;
}
