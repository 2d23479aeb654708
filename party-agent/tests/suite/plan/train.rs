//! Models: what a job file may say, what is planned, what is opened, and what a policy says to it.

use coordinator::contract::PartyName;
use party_agent::catalogue::{ColumnKind, TableEntry};
use party_agent::plan::{Kinds, Procedure, TrainPlan};
use party_agent::policy::Policy;

use super::fixture::{
    Catalogues, bad_file, catalogue, column, denials, faults, int, party, plan, table,
};

fn loans() -> TableEntry {
    let mut loans = table(vec![
        column("defaulted", int(8)),
        column("amount", ColumnKind::Float),
        column("kind", ColumnKind::Text),
        column("secured", ColumnKind::Bool),
        column("sample", ColumnKind::Text),
    ]);
    loans.rows_at_most = 1024;
    loans
}

fn banks() -> Catalogues {
    let entry = |name: &str| (party(name), catalogue(name, vec![("loans", loans())]));
    ["bank_1", "bank_2"].map(entry).into()
}

const TABLES: &str = "tables = [\"bank_1.loans\", \"bank_2.loans\"]";

fn job(more: &str, privacy: &str) -> String {
    format!(
        "job = \"model\"\npurpose = \"a test\"\nreceivers = [\"bank_1\"]\n[compute.train]\npartition = \"horizontal\"\n{more}\n[privacy]\n{privacy}\n"
    )
}

fn logistic(features: &str, more: &str) -> String {
    let of =
        format!("model = \"logistic\"\nlabel = \"defaulted\"\nfeatures = {features}\n{TABLES}");
    job(
        &format!("{of}\n{more}"),
        "correlations = \"ot\"\nmin_cell = 11",
    )
}

fn fitted(text: &str) -> TrainPlan {
    match plan(text, &banks()).procedure {
        Procedure::Train(of) => *of,
        other => panic!("a model: {other:?}"),
    }
}

#[test]
fn all_faults_of_a_job_file_are_told_at_once() {
    let text = job(
        "model = \"logit\"\nlabel = \"y\"\nfeatures = [\"x\", \"y\"]\nl2 = -1\nmissing = \"mode\"\nexposure = \"t\"\nrows = \"\"\nkey = \"id\"\n[compute.train.categorical]\nz = [\"a\"]\nx = [\"a\", \"a\"]",
        "",
    );
    let found = bad_file(&text);
    let expected = [
        "line 6, compute.train.model: \"logit\" is not known here; allowed: \"linear\"",
        "line 8, compute.train.features: names \"y\", which has a part in the model already",
        "line 9, compute.train.l2: a whole number is not allowed here, or out of range; allowed: a number from 0 to",
        "line 10, compute.train.missing: \"mode\" is not a rule of this model; allowed: \"drop\"",
        "line 12, compute.train.rows: is empty",
        "line 13, compute.train.key: joins columns of the same people",
        "line 15, compute.train.categorical.z: is none of the features",
        "line 16, compute.train.categorical.x: is no list of levels",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_plan_says_what_is_opened_and_how_often() {
    let categories = "[compute.train.categorical]\nkind = [\"car\", \"house\", \"other\"]";
    let text = logistic(
        "[\"amount\", \"kind\"]",
        &format!("open_steps = true\n{categories}"),
    );
    let of = fitted(&text);
    let names: Vec<&str> = of.terms.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["amount", "kind=house", "kind=other"]);
    // Four columns with the intercept: ten cross-products, four of the gradient, the deviance, a flag.
    assert_eq!(Kinds::Step.n_sums(&of), 16);
    assert_eq!(of.least_rows, 14, "ten more than parameters");
    let required: Vec<(&str, u64)> = of
        .checks
        .iter()
        .map(|c| (c.label.as_str(), c.at_least))
        .collect();
    assert_eq!(required[0], ("rows", 14));
    assert!(
        required.contains(&("rows in which kind is car", 11)),
        "{required:?}"
    );
    assert!(required.contains(&("rows in which defaulted is not 1", 11)));
    let plan = plan(&text, &banks());
    let learnt = &plan.learns[1];
    assert_eq!(learnt.party, "bank_2");
    assert!(
        learnt.what.contains("cross-products") && learnt.what.contains("15 numbers"),
        "{}",
        learnt.what
    );
    assert!(
        plan.warnings.iter().any(|w| w.contains("subtracting")),
        "{:?}",
        plan.warnings
    );
    assert!(!plan.needs().is_nothing() && plan.cost.rounds > 0);
}

#[test]
fn steps_are_solved_on_shares_unless_the_job_opens_them() {
    let categories = "[compute.train.categorical]\nkind = [\"car\", \"house\", \"other\"]";
    let text = logistic("[\"amount\", \"kind\"]", categories);
    let of = fitted(&text);
    let opened = of.sums(Vec::new()).kinds;
    let at_most = |kind: Kinds| opened[kind as usize].at_most;
    assert_eq!(at_most(Kinds::Step), 0, "no cross-products");
    assert_eq!((at_most(Kinds::Change), at_most(Kinds::Errors)), (51, 1));
    assert_eq!((at_most(Kinds::Growth), at_most(Kinds::Loss)), (132, 0));
    // Four coefficients; four errors, and that of the constant where columns are 0.
    assert_eq!(
        (Kinds::Change.n_sums(&of), Kinds::Errors.n_sums(&of)),
        (4, 5)
    );
    let plan = plan(&text, &banks());
    let learnt = &plan.learns[1].what;
    for words in [
        "the coefficients of each of at most 51 steps (4 numbers each)",
        "cross-products of the design stay on shares",
    ] {
        assert!(learnt.contains(words), "{learnt}");
    }
    let warned = |words: &str| plan.warnings.iter().any(|w| w.contains(words));
    assert!(
        warned("coefficients of every step")
            && warned("means and standard deviations by subtracting")
    );
    // With a dealer portions are asked for, so the plan's own needs are those of the comparisons before.
    let with_steps = fitted(&text.replace(
        "[compute.train.categorical]",
        "open_steps = true\n[compute.train.categorical]",
    ));
    assert!(with_steps.opens_steps && !of.opens_steps);
    let unchecked = text.replace("correlations = \"ot\"\nmin_cell = 11", "min_cell = 1");
    let found = faults(&unchecked, &banks());
    assert!(found[0].contains("open_steps = true"), "{found:?}");
    let columns: Vec<String> = (0..130).map(|i| format!("\"{i}\"")).collect();
    let many = format!(
        "[compute.train.categorical]\nkind = [{}]",
        columns.join(", ")
    );
    let many = logistic("[\"kind\"]", &many);
    let found = faults(&many, &banks());
    assert!(
        found
            .iter()
            .any(|f| f.contains("make 130 columns") && f.contains("open_steps = true")),
        "{found:?}"
    );
    let opened = "\nopen_steps = true\n[compute.train.cat";
    let of = fitted(&many.replace("\n[compute.train.cat", opened));
    assert_eq!((of.n_columns(), of.most_steps()), (130, 0));
}

#[test]
fn what_cannot_be_planned_says_what_to_write() {
    for (features, more, expected) in [
        (
            "[\"kind\"]",
            "",
            "kind is text; CAST it to DOUBLE in rows, or list its levels",
        ),
        (
            "[\"secured\"]",
            "",
            "secured is true or false; write CASE WHEN",
        ),
        ("[\"amuont\"]", "", "has no column amuont"),
    ] {
        let found = faults(&logistic(features, more), &banks());
        assert!(found.iter().any(|f| f.contains(expected)), "{found:?}");
    }
    let alone = job(
        "model = \"linear\"\nlabel = \"amount\"\nfeatures = [\"defaulted\"]\nrows = \"SELECT * FROM bank_1.loans\"",
        "",
    );
    assert!(faults(&alone, &banks())[0].contains("fewer than two holders"));
    let unchecked = logistic("[\"amount\"]", "").replace("correlations = \"ot\"\n", "");
    assert!(faults(&unchecked, &banks())[0].contains("privacy.correlations"));
    let joined = job(
        "model = \"linear\"\nlabel = \"amount\"\nfeatures = [\"x\"]\nrows = \"SELECT a.amount, b.amount AS x FROM bank_1.loans a JOIN bank_2.loans b ON a.kind = b.kind\"",
        "",
    );
    assert!(faults(&joined, &banks()).iter().any(|f| f.contains("join")));
}

#[test]
fn a_policy_allows_labels_and_features_by_words_of_their_own() {
    let refused = |columns: &str| {
        let text =
            format!("min_cell = 11\nopen_counts = false\n[tables.loans.columns]\n{columns}\n");
        let policy = Policy::parse(&text).expect("a policy");
        let rows = "model = \"logistic\"\nlabel = \"y\"\nfeatures = [\"amount\"]\nrows = \"SELECT CASE WHEN kind = 'car' THEN 1 ELSE 0 END AS y, amount FROM (SELECT * FROM bank_1.loans UNION ALL SELECT * FROM bank_2.loans) l\"";
        let plan = plan(&job(rows, "correlations = \"ot\"\nmin_cell = 11"), &banks());
        let me = PartyName::new("bank_2").expect("a name");
        denials(&plan, &me, &policy)
    };
    let found =
        refused("amount = { aggregate = [\"sum\"] }\nkind = { feature = true, filter = true }");
    assert_eq!(
        found,
        [
            "column loans.amount may not be used to explain a label in a model (rule tables.loans.columns.amount.feature; allowed: sum)",
            // A label is everything that it is computed from.
            "column loans.kind may not be used to be explained by a model (rule tables.loans.columns.kind.label; allowed: filter, feature)",
        ]
    );
    assert!(refused("amount = { feature = true }\nkind = { label = true }").is_empty());
}

#[test]
fn a_scorecard_counts_its_bins_before_it_opens_them() {
    let of = "model = \"scorecard\"\nlabel = \"defaulted\"\nfeatures = [\"amount\", \"kind\"]";
    let more = "[compute.train.categorical]\nkind = [\"car\", \"house\", \"other\"]\n[compute.train.scorecard]\nbins = 4";
    let text = job(
        &format!("{of}\n{TABLES}\n{more}"),
        "correlations = \"ot\"\nmin_cell = 11",
    );
    let of = fitted(&text);
    assert_eq!(of.terms.len(), 2);
    // Bads and goods of four and of three bins.
    assert_eq!(Kinds::Bins.n_sums(&of), 14);
    let probes = of.sums(Vec::new()).probes.expect("probes");
    assert_eq!(probes.n_counts, 14);
    // Cuts are found on shares, whatever the minimum.
    let unchecked = text.replace("correlations = \"ot\"\nmin_cell = 11", "");
    assert!(faults(&unchecked, &banks())[0].contains("privacy.correlations"));
}

/// What is said of a job file with these lines under `[compute.train]`.
#[track_caller]
fn said(model: &str, more: &str, expected: &str) {
    let of =
        format!("model = \"{model}\"\nlabel = \"defaulted\"\nfeatures = [\"amount\", \"kind\"]");
    let text = job(&format!("{of}\n{TABLES}\n{more}"), "correlations = \"ot\"");
    let found = bad_file(&text);
    assert!(found.iter().any(|f| f.contains(expected)), "{found:#?}");
}

#[test]
fn bins_are_merged_or_listed_as_a_job_says() {
    let of = "model = \"scorecard\"\nlabel = \"defaulted\"\nfeatures = [\"amount\", \"kind\"]";
    let card = "[compute.train.scorecard]\nmethod = \"chimerge\"\nfine_bins = 12\nbins = 4";
    let text = job(
        &format!(
            "{of}\n{TABLES}\n[compute.train.categorical]\nkind = [\"car\", \"house\"]\n{card}"
        ),
        "correlations = \"ot\"\nmin_cell = 11",
    );
    // Bads and goods of all fine bins are counted, and of two levels.
    let merged = fitted(&text);
    assert_eq!(Kinds::Bins.n_sums(&merged), 2 * (12 + 2));
    let note = "ChiMerge: of the neighbouring bins";
    let notes = plan(&text, &banks()).notes;
    assert!(
        notes
            .iter()
            .any(|n| n.contains(note) && n.contains("at most 4 bins")),
        "{notes:?}"
    );
    let cuts = "bins = 4\n[compute.train.scorecard.cuts]\namount = [10, 20.5]";
    let listed = fitted(&text.replace("bins = 4", cuts));
    assert_eq!(Kinds::Bins.n_sums(&listed), 2 * (3 + 2));
    let card = "[compute.train.scorecard]\n";
    for (more, expected) in [
        ("method = \"chimrge\"", "\"chimrge\" is not known here"),
        ("fine_bins = 9", "belongs to method = \"chimerge\""),
        ("chi2_least = 2.7", "belongs to method = \"chimerge\""),
        (
            "method = \"chimerge\"\nfine_bins = 4\nbins = 5",
            "is more than fine_bins, 4",
        ),
        (
            "[compute.train.scorecard.cuts]\namount = [3, 2]",
            "is no such list",
        ),
        (
            "[compute.train.scorecard.cuts]\namuont = [2]",
            "is none of the features",
        ),
    ] {
        said("scorecard", &format!("{card}{more}"), expected);
    }
    let trees = "bins = 3\n[compute.train.cuts]\namount = [1, 2, 3]";
    said("gbdt", trees, "one of more than 2 numbers");
    said(
        "logistic",
        "[compute.train.cuts]\namount = [1]",
        "unknown field",
    );
}

#[test]
fn columns_are_chosen_by_the_same_numbers_everywhere() {
    let more = "[compute.train.stepwise]\nenter = 0.01";
    let of = fitted(&logistic("[\"amount\"]", more));
    let rule = of.stepwise.as_ref().expect("a rule");
    // χ² of one degree of freedom at 0.01 and at 0.05.
    assert_eq!(
        (rule.enter.as_str(), rule.stay.as_str()),
        ("6.634896601", "3.841458821")
    );
    assert_eq!(
        of.most_evaluations(),
        of.last_evaluations() + rule.evaluations
    );
    let levels =
        "[compute.train.categorical]\nkind = [\"car\", \"house\"]\n[compute.train.stepwise]";
    said("logistic", levels, "levels of a column belong together");
    said(
        "linear",
        "[compute.train.stepwise]",
        "whose dispersion is known",
    );
    said(
        "logistic",
        "l2 = 1\n[compute.train.stepwise]",
        "needs a constant and no penalty",
    );
    said(
        "logistic",
        "[compute.train.stepwise]\ndirection = \"up\"",
        "\"up\" is not known here",
    );
    said("linear", "report = [\"loss\"]", "asks for log losses");
}
