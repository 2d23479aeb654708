//! Lookups over agents in processes of their own: the first job of an asker, for which tables are prepared and sent, and those after it.

use super::intersect::{once, people, record};
use super::report::{Meter, Work};
use crate::init::cannot_write;
use crate::outcome::Outcome;
use crate::rehearse::{Agents, with_agents};
use serde_json::Value;
use std::time::Duration;

const ASKER: &str = "bank";
/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(1800);

/// Lists, and how many keys are asked for.
struct Case {
    /// Of each list, how many of the questions are not in it, and its length.
    lists: &'static [(usize, usize)],
    n_questions: usize,
}

const CASES: [Case; 2] = [
    // As long as those of `multi_lender_query` in the tests' data.
    Case {
        lists: &[(322, 3626), (500, 2662), (600, 1670)],
        n_questions: 644,
    },
    Case {
        lists: &[(500, 1 << 20)],
        n_questions: 1000,
    },
];

const QUICK: [Case; 1] = [Case {
    lists: &[(10, 1000), (20, 500)],
    n_questions: 50,
}];

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    let cases = match meter.scale.quick {
        true => &QUICK[..],
        false => &CASES,
    };
    for case in cases {
        jobs(meter, case).await?;
    }
    Ok(())
}

async fn jobs(meter: &mut Meter<'_>, case: &Case) -> Outcome<()> {
    let lengths: Vec<String> = case.lists.iter().map(|(_, n)| n.to_string()).collect();
    let id = format!("lookup/list/{}in{}", case.n_questions, lengths.join("+"));
    meter.announce(&id);
    let directory = tempfile::Builder::new()
        .prefix("entente-bench-")
        .tempdir()
        .map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
    let mut parties = vec![people(directory.path(), ASKER, (0, case.n_questions))?];
    for (i, list) in case.lists.iter().enumerate() {
        parties.push(people(directory.path(), &lender(i), *list)?);
    }
    let (repetitions, spec) = (meter.scale.repetitions, spec(case));
    let work = async |agents: &Agents| {
        let mut all = Vec::new();
        for _ in 0..=repetitions {
            all.push(once(agents, (ASKER, &spec)).await?);
        }
        Ok(all)
    };
    let all = with_agents(&parties, false, LIMIT, work).await?;
    let correct = all.iter().all(|run| is_right(&run.result, case));
    let n_records = case.lists.iter().map(|(_, n)| n).sum();
    let first = Work::new(format!("{id}/first"), n_records, "record");
    record(meter, first, &all[..1], correct);
    let later = Work::new(format!("{id}/later"), case.n_questions, "question");
    record(meter, later, &all[1..], correct);
    Ok(())
}

fn lender(i: usize) -> String {
    format!("lender_{}", i + 1)
}

fn spec(case: &Case) -> String {
    let tables = (0..case.lists.len()).map(|i| format!("\"{}.people\"", lender(i)));
    format!(
        "job = \"bench\"\npurpose = \"measuring this machine\"\nreceivers = [\"{ASKER}\"]\n[compute.lookup]\n\
         table = [{}]\nkey = \"id\"\nqueries = \"{ASKER}.people.id\"\nnormalise = \"upper_alnum\"\ncombine = \"list\"\n",
        tables.collect::<Vec<_>>().join(", ")
    )
}

/// Each list has the questions from its first person on.
fn is_right(result: &str, case: &Case) -> bool {
    let document: Value = serde_json::from_str(result).unwrap_or_default();
    let rows = document["rows"].as_array();
    let found = rows.map(|rows| rows.iter().filter(|row| row[2] == true).count());
    let expected = case.lists.iter().map(|(first, _)| case.n_questions - first);
    found == Some(expected.sum())
}
