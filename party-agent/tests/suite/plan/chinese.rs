//! The Chinese page says all that the English one says, and nothing of it in English.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::contract::{CONTRACT_FORMAT, Contract, JobId, PartyName};
use party_agent::catalogue::{ColumnKind, TableEntry};
use party_agent::page::{Language, page};
use party_agent::plan::{Plan, Procedure, compile};
use party_agent::spec::check;

use super::fixture::{
    Catalogues, With as _, catalogue, column, hospitals, int, job_with, party, plan, planned, table,
};

/// Words that stand on the Chinese page as they are.
const KEPT: [&str; 11] = [
    "Kolmogorov",
    "Smirnov",
    "Shapley",
    "SQL",
    "LIMIT",
    "OFFSET",
    "ORDER",
    "GROUP",
    "NULL",
    "entente",
    "privacy.join privacy.correlations compute.intersect.reveal compute.lookup.combine min_cell",
];

/// A contract around a plan, as far as a page looks at it.
fn contract(plan: &Plan, spec: &str) -> Contract {
    let name = |party: &str| PartyName::new(party).expect("a name");
    Contract {
        format: CONTRACT_FORMAT,
        job_id: JobId([1; 16]),
        job: plan.job.clone(),
        purpose: plan.purpose.clone(),
        spec: spec.to_owned(),
        proposer: name(plan.seats[0].as_str()),
        parties: Vec::new(),
        receivers: plan.receivers.iter().map(|r| name(r.as_str())).collect(),
        catalogues: BTreeMap::new(),
        plan: plan.digest(),
        created: 0,
        not_after: 1,
        supersedes: None,
        resumes: None,
    }
}

/// The lines of one section of a page.
fn section(page: &str, title: &str) -> Vec<String> {
    let lines = page.lines().skip_while(|line| *line != title).skip(1);
    let lines = lines.map_while(|line| line.strip_prefix("  - "));
    lines.map(str::to_owned).collect()
}

/// The words in Latin letters, longer than one, but for short forms in capitals.
fn latin(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|w| w.len() > 1 && w.bytes().any(|b| b.is_ascii_lowercase()))
        .collect()
}

/// The numbers, from the smallest text on.
fn numbers(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|n| !n.is_empty())
        .collect();
    found.sort_unstable();
    found
}

/// That every sentence about this plan is there in both languages, with the same numbers, and no English in the Chinese one.
pub(crate) fn is_told_in_chinese(plan: &Plan, spec: &str) {
    let contract = contract(plan, spec);
    let english = page(&contract, plan, Language::En);
    let chinese = page(&contract, plan, Language::Zh);
    let names = format!(
        "{spec} {} {:?} {:?} {:?}",
        KEPT.join(" "),
        plan.keys,
        plan.measures,
        plan.locals
    );
    let is_named = |word: &&str| !latin(&names).contains(word) && *word != "coordinator";
    for (en, zh) in [
        ("What each party learns", "各方得知的内容"),
        ("What remains a risk", "剩余风险"),
    ] {
        let (en, zh) = (section(&english, en), section(&chinese, zh));
        assert_eq!(en.len(), zh.len(), "{english}{chinese}");
        for (en, zh) in en.iter().zip(&zh) {
            let left: Vec<&str> = latin(zh).into_iter().filter(is_named).collect();
            assert!(left.is_empty(), "English is left: {left:?} in {zh}");
            assert_eq!(numbers(en), numbers(zh), "{en}\n{zh}");
        }
    }
    assert_eq!(plan.learns.len(), section(&chinese, "各方得知的内容").len());
}

fn people(columns: &[&str]) -> TableEntry {
    let mut all = vec![
        column("id", ColumnKind::Text),
        column("part", ColumnKind::Text).categories(&["a", "b"]),
    ];
    all.extend(
        columns
            .iter()
            .map(|name| column(name, int(64)).range("0", "1000")),
    );
    let mut people = table(all);
    people.rows_at_most = 1024;
    people
}

fn world() -> Catalogues {
    let tables = [
        ("bank", vec![("loans", people(&["amount", "bad", "days"]))]),
        ("shop", vec![("sales", people(&["visits", "basket"]))]),
        (
            "bureau",
            vec![("persons", people(&["age", "amount", "bad", "days"]))],
        ),
    ];
    let mut catalogues: Catalogues = tables
        .into_iter()
        .map(|(name, tables)| (party(name), catalogue(name, tables)))
        .collect();
    // Rehearsals warn besides.
    catalogues.get_mut(&party("shop")).expect("there").rehearsal = true;
    catalogues
}

fn job(compute: &str, privacy: &str) -> String {
    format!(
        "job = \"j\"\npurpose = \"p\"\nreceivers = [\"bank\"]\n{compute}\n[privacy]\n{privacy}\n"
    )
}

fn kind(plan: &Plan) -> &'static str {
    match plan.procedure {
        Procedure::Totals => "totals",
        Procedure::Join(_) => "join",
        Procedure::Intersect(_) => "intersection",
        Procedure::Lookup(_) => "lookup",
        Procedure::Train(_) => "model",
        Procedure::Vertical(_) => "model over a join",
        Procedure::Score(_) => "scores",
    }
}

const IN_COMMON: &str = r#"[compute.train]
partition = "vertical"
features = ["shop.sales.*", "bank.loans.amount"]
key = "id"
"#;

const SAMPLED: &str = r#"label = "bank.loans.bad"
sample = { column = "bank.loans.part", train = "a", test = "b" }
"#;

const POOLED: &str = r#"[compute.train]
partition = "horizontal"
rows = "SELECT bad, amount, part FROM bank.loans UNION ALL SELECT bad, amount, part FROM bureau.persons"
label = "bad"
features = ["amount"]
"#;

const REPORT: &str =
    r#"report = ["auc", "ks", "logloss", "brier", "lift", "calibration", "confusion"]"#;

const SETTLED: &str = r#"correlations = "ot"
[settlement]
currency = "CNY"
per_run_minor = 100
[[settlement.split]]
stage = "collect"
party = "*"
basis = "shapley"
ppm = 1000000"#;

/// Jobs of every procedure, each told in Chinese by [`plan`] itself.
#[test]
fn every_procedure_is_told_in_chinese() {
    let score = format!(
        "[compute.score]\nmodel = \"{}\"\nrows = \"bank.loans\"\nfeatures = [\"bank.loans.amount\", \"shop.sales.visits\"]\nkey = \"id\"",
        "0".repeat(64)
    );
    let keys = "[compute.intersect]\nkeys = [\"bank.loans.id\", \"shop.sales.id\"]";
    let lookup = "[compute.lookup]\nkey = \"id\"\nqueries = \"bank.loans.id\"";
    let both = "table = [\"shop.sales\", \"bureau.persons\"]\nat_most = 100";
    let trees = "model = \"gbdt\"\nn_trees = 3\ndepth = 2\nbins = 8\nlearning_rate = 0.3\nlambda = 1\nmin_child_weight = 5\nbase_score = 0.5";
    let card = "\n[compute.train.scorecard]\nbins = 5\n";
    let of_pooled_sample = "sample = { column = \"part\", train = \"a\", test = \"b\" }";
    let of_pooled = format!("{POOLED}{of_pooled_sample}\n{REPORT}\n");
    let of_common = format!("{IN_COMMON}{SAMPLED}{REPORT}\n");
    let joined = |sql: &str| format!("[compute]\nsql = \"{sql}\"");
    let join = "FROM bank.loans l JOIN shop.sales s ON l.id = s.id";
    let (alone, few) = (
        "correlations = \"ot\"",
        "correlations = \"ot\"\nmin_cell = 20",
    );
    let dealt = "correlations = \"dealer:arbiter\"\nmin_cell = 20";
    let hidden = "correlations = \"ot\"\nmin_cell = 20\njoin = \"hidden\"";
    let in_common = "correlations = \"ot\"\nmin_cell = 20\njoin = \"keys\"";
    let jobs = [
        (joined(&format!("SELECT COUNT(*) AS n {join}")), in_common),
        (format!("{keys}\nreveal = \"count\""), "min_cell = 5"),
        (format!("{keys}\nreveal = \"rows\""), "min_cell = 5"),
        (format!("{keys}\nreveal = \"count\""), few),
        (
            format!("{lookup}\ntable = \"shop.sales\"\nvalues = [\"visits\"]"),
            "min_cell = 5",
        ),
        (format!("{lookup}\n{both}\ncombine = \"any\""), alone),
        (format!("{lookup}\n{both}\ncombine = \"sum\""), alone),
        (format!("{POOLED}model = \"linear\""), alone),
        (
            format!("{POOLED}model = \"linear\"\nopen_steps = true"),
            alone,
        ),
        (format!("{of_pooled}model = \"logistic\""), few),
        (format!("{of_pooled}{trees}"), dealt),
        (format!("{of_pooled}model = \"scorecard\"{card}"), few),
        (
            format!(
                "{of_pooled}missing = \"bin\"\nmodel = \"scorecard\"{card}special = {{ amount = [-999] }}"
            ),
            few,
        ),
        (
            format!("{of_pooled}missing = \"mean\"\nmodel = \"logistic\""),
            few,
        ),
        (
            format!(
                "{of_pooled}missing = \"median\"\nmissing_indicator = [\"amount\"]\nmodel = \"logistic\""
            ),
            few,
        ),
        (format!("{of_common}model = \"logistic\""), few),
        (format!("{of_common}{trees}"), dealt),
        (
            format!(
                "{of_common}model = \"scorecard\"{card}method = \"equal_frequency_in_common\"\nalone = true"
            ),
            dealt,
        ),
        (
            format!("{of_common}publish = \"merged\"\nmodel = \"scorecard\"{card}"),
            dealt,
        ),
        (
            format!(
                "{of_pooled}features = [\"amount\", \"days\"]\nmodel = \"scorecard\"\n[compute.train.screen]\nvif_max = 5{card}"
            )
            .replace("features = [\"amount\"]\n", "")
            .replace("SELECT bad, amount, part", "SELECT bad, amount, days, part"),
            few,
        ),
        (
            format!("{IN_COMMON}model = \"linear\"\nlabel = \"bank.loans.days\""),
            alone,
        ),
        (
            format!("{IN_COMMON}model = \"linear\"\nlabel = \"bank.loans.days\""),
            SETTLED,
        ),
        (
            format!(
                "{IN_COMMON}model = \"cox\"\ntime = \"bank.loans.days\"\nevent = \"bank.loans.bad\""
            ),
            dealt,
        ),
        (score, dealt),
        (
            joined(&format!("SELECT COUNT(*) AS n, SUM(s.basket) AS b {join}")),
            hidden,
        ),
        (
            joined(&format!(
                "SELECT LOG_RANK(l.days, l.bad, s.part, 100) {join}"
            )),
            hidden,
        ),
    ];
    let world = world();
    let mut kinds = BTreeSet::new();
    let mut refused = Vec::new();
    for (compute, privacy) in &jobs {
        let text = job(compute, privacy);
        match check(&text).map(|spec| compile(&spec, &world)) {
            Ok(Ok(plan)) => {
                is_told_in_chinese(&plan, &text);
                kinds.insert(kind(&plan));
            }
            faults => refused.push(format!("{text}: {faults:?}")),
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    for sql in [
        "SELECT gender, COUNT(*) AS n, SUM(charges) AS s FROM {e} e GROUP BY gender",
        "SELECT gender, MEDIAN(charges) AS m, MAX(bmi) AS x FROM {e} e GROUP BY gender",
        "SELECT gender, SUM(CASE WHEN readmitted = 'NO' THEN 1 ELSE 0 END) AS s FROM {e} e GROUP BY gender",
        "SELECT gender, COUNT(*) AS n FROM {e} e GROUP BY ROLLUP (gender)",
        "SELECT T_TEST(bmi, gender) FROM {e} e",
    ] {
        kinds.insert(kind(&planned(sql)));
    }
    let open = job_with(
        "SELECT COUNT(*) AS n, SUM(weight) AS w FROM {e} e",
        "",
        "correlations = \"ot\"\n",
    );
    plan(&open, &hospitals());
    assert_eq!(kinds.len(), 7, "{kinds:?}");
}
