//! Queries as analysts write them, against plain SQL over the pooled rows: the same answer, or a refusal in the words that the
//! file says.

use party_agent::plan::compile;
use party_agent::spec::check;

use super::joint::world;
use super::oracle::differs;

/// One paragraph of the file.
struct Query {
    job: String,
    plain: String,
    refused: Option<String>,
    rows: String,
}

fn queries() -> Vec<Query> {
    let paragraphs = include_str!("analyst.sql").split("\n\n");
    let mut all = Vec::new();
    for paragraph in paragraphs {
        let mut lines = paragraph.lines();
        let Some(job) = lines.find(|line| !line.starts_with("--")) else {
            continue;
        };
        let rest: Vec<&str> = lines.collect();
        let said = |word: &str| {
            let mut lines = rest.iter();
            let found = lines.find_map(|line| line.strip_prefix("-- ")?.strip_prefix(word));
            found.map(str::to_owned)
        };
        all.push(Query {
            job: job.to_owned(),
            plain: said("plain: ").unwrap_or_else(|| job.to_owned()),
            refused: said("refused: "),
            rows: said("rows: ").map_or_else(String::new, |rows| {
                let rows = rows.replace(", ", "\n");
                format!("[compute.max_rows_per_key]\n{rows}\n")
            }),
        });
    }
    all
}

#[tokio::test]
async fn queries_of_analysts_equal_plain_sql_or_are_refused_with_these_words() {
    let world = world().await;
    let queries = queries();
    assert!(queries.len() >= 100, "{} queries", queries.len());
    let mut wrong = Vec::new();
    for Query {
        job: sql,
        plain,
        refused,
        rows,
    } in &queries
    {
        let job = format!(
            "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"h_a\"]\n[compute]\nsql = '''\n{sql}\n'''\n[privacy]\ncorrelations = \"ot\"\n{rows}"
        );
        let plan = compile(&check(&job).expect("a job file"), &world.catalogues);
        let what = match (plan, refused) {
            (Err(faults), Some(words)) => {
                let said = format!("{} {}", faults[0].what, faults[0].fix);
                (!said.contains(words)).then(|| format!("refused otherwise: {said}"))
            }
            (Err(faults), None) => Some(format!("refused: {}; {}", faults[0].what, faults[0].fix)),
            (Ok(_), Some(words)) => Some(format!("planned, and not refused: {words}")),
            (Ok(plan), None) => match differs(&world, &plan, plain, 1e-9).await {
                Ok(found) => found,
                Err(e) => Some(format!("no reference: {e}")),
            },
        };
        wrong.extend(what.map(|what| format!("{sql}\n  {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
