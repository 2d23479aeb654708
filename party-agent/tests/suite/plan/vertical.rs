//! Models over joins: what a job file may say, what is planned, and what a policy says to it.

use coordinator::contract::PartyName;
use party_agent::catalogue::{ColumnKind, TableEntry};
use party_agent::plan::{Plan, Procedure, VerticalPlan};
use party_agent::policy::Policy;
use party_agent::spec::{Ties, check};

use super::fixture::{Catalogues, catalogue, column, denials, faults, int, party, plan, table};

fn entry(names: &[&str], rows_at_most: u64) -> TableEntry {
    let mut columns = vec![
        column("id", ColumnKind::Text),
        column("part", ColumnKind::Text),
    ];
    columns.extend(names.iter().map(|name| column(name, int(64))));
    let mut table = table(columns);
    table.rows_at_most = rows_at_most;
    table
}

fn two() -> Catalogues {
    let bank = catalogue("bank", vec![("loans", entry(&["amount", "bad"], 1024))]);
    let shop = catalogue("shop", vec![("sales", entry(&["visits", "basket"], 512))]);
    [(party("bank"), bank), (party("shop"), shop)].into()
}

const PLAIN: &str = r#"model = "logistic"
partition = "vertical"
label = "bank.loans.bad"
features = ["shop.sales.*", "bank.loans.amount"]
key = "id"
sample = { column = "bank.loans.part", train = "a", test = "b" }
report = ["coef", "se", "auc"]"#;

fn job(train: &str, privacy: &str) -> String {
    format!(
        "job = \"model\"\npurpose = \"a test\"\nreceivers = [\"bank\"]\n[compute.train]\n{train}\n[privacy]\n{privacy}\n"
    )
}

fn model(plan: &Plan) -> &VerticalPlan {
    match &plan.procedure {
        Procedure::Vertical(of) => of,
        _ => panic!("a model over a join"),
    }
}

#[test]
fn a_model_names_its_columns_and_what_is_learnt() {
    let plan = plan(&job(PLAIN, "correlations = \"ot\"\nmin_cell = 20"), &two());
    let of = model(&plan);
    let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    assert_eq!(
        labels,
        ["shop.sales.id", "bank.loans.id"],
        "the smallest table is the hub"
    );
    let features: Vec<&str> = of.features.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(features, ["visits", "basket", "amount"]);
    assert_eq!((of.at_least, of.log_rows, of.steps), (20, 10, 7));
    let bank = &plan.locals[&party("bank")];
    assert_eq!(
        bank.sql,
        "SELECT CAST(\"id\" AS VARCHAR) AS k0, CAST(\"amount\" AS DOUBLE) AS a0, CAST(\"bad\" AS DOUBLE) AS a1, CAST(\"part\" AS VARCHAR) AS a2\nFROM \"bank\".\"loans\"\nWHERE \"amount\" IS NOT NULL AND \"bad\" IS NOT NULL AND \"part\" IS NOT NULL"
    );
    let of_shop = plan
        .learns
        .iter()
        .find(|l| l.party == "shop")
        .expect("a holder");
    assert!(!of_shop.what.contains("coefficients"), "{}", of_shop.what);
    assert!(plan.cost.rounds > 100 && plan.cost.bytes_sent.iter().all(|n| *n > 0));
    let columns: Vec<&str> = plan.outputs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["term", "coef", "se"]);
}

#[test]
fn all_people_of_one_table_are_rows_of_a_left_join() {
    let text = format!("{PLAIN}\nleft = \"bank.loans\"");
    let plan = plan(&job(&text, "correlations = \"ot\""), &two());
    let of = model(&plan);
    assert!(of.is_left);
    assert_eq!(of.tables[0].label, "bank.loans.id", "the larger one");
    let sql = |name: &str| plan.locals[&party(name)].sql.as_str();
    assert_eq!(
        sql("shop"),
        "SELECT CAST(\"id\" AS VARCHAR) AS k0, COALESCE(CAST(\"visits\" AS DOUBLE), 0) AS a0, COALESCE(CAST(\"basket\" AS DOUBLE), 0) AS a1\nFROM \"shop\".\"sales\""
    );
    assert!(sql("bank").contains("\"amount\" IS NOT NULL"));
    assert!(
        of.words[0].contains("0 stands for what others lack"),
        "{:?}",
        of.words
    );
}

const TIMED: &str = r#"model = "cox"
partition = "vertical"
time = "bank.loans.amount"
event = "bank.loans.bad"
features = ["shop.sales.visits", "shop.sales.basket"]
key = "id""#;

#[test]
fn hazards_have_times_and_no_constant() {
    let plan = plan(&job(TIMED, "correlations = \"ot\""), &two());
    let of = model(&plan);
    assert_eq!((of.n_columns(), of.term(0)), (2, "visits"));
    let hazards = of.hazards.as_ref().expect("hazards");
    assert_eq!(
        (hazards.time.as_str(), hazards.ties),
        ("amount", Ties::Efron)
    );
    let bank = &plan.locals[&party("bank")].sql;
    assert!(
        bank.contains("CAST(\"bad\" AS DOUBLE) AS a0, CAST(\"amount\" AS DOUBLE) AS a1"),
        "{bank}"
    );
    assert!(of.words[2].contains("ties by efron"), "{:?}", of.words);
}

#[test]
fn what_hazards_cannot_be() {
    let cases = [
        (
            "bank.loans.amount",
            "shop.sales.visits",
            "is no column of the events' table",
        ),
        (
            "key =",
            "ties = \"exact\"\nkey =",
            "\"exact\" is not known here",
        ),
        (
            "key =",
            "l2 = 1\nkey =",
            "does not belong to scorecards and hazards",
        ),
        (
            "key =",
            "report = [\"auc\"]\nkey =",
            "of a model of something else",
        ),
        (
            "key =",
            "left = \"shop.sales\"\nkey =",
            "is not the label's table",
        ),
        (
            "key =",
            "label_unit = 5\nkey =",
            "belongs to labels that are amounts",
        ),
    ];
    refused(TIMED, &cases);
}

#[test]
fn a_dealer_sees_no_table() {
    let plan = plan(&job(PLAIN, "correlations = \"dealer:arbiter\""), &two());
    assert_eq!(plan.dealer, Some(party("arbiter")));
    assert!(!plan.needs().is_nothing());
}

/// What is said of a job in which the first text of each case is replaced by the second.
fn refused(train: &str, cases: &[(&str, &str, &str)]) {
    for (old, new, expected) in cases {
        assert!(train.contains(old), "{old}");
        let text = job(&train.replace(old, new), "correlations = \"ot\"");
        let found: Vec<String> = check(&text)
            .expect_err(new)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{new}: {found:?}"
        );
    }
}

#[test]
fn what_a_job_file_cannot_say() {
    let cases = [
        (
            "key = \"id\"",
            "key = \"id\"\nleft = \"shop.sales\"",
            "is not the label's table",
        ),
        (
            "key = \"id\"",
            "key = \"id\"\nleft = \"shop\"",
            "is not the name of a table",
        ),
        (
            "model = \"logistic\"",
            "left = \"bank.loans\"\nmodel = \"scorecard\"",
            "does not go with models of bins",
        ),
        (
            "model = \"logistic\"",
            "model = \"mlp\"",
            "\"mlp\" is not available over a join",
        ),
        (
            "model = \"logistic\"",
            "model = \"poisson\"",
            "of a model of something else",
        ),
        (
            "model = \"logistic\"",
            "model = \"gbdt\"",
            "\"coef\" cannot be reported of trees",
        ),
        (", test = \"b\"", "", "no rows are kept for a test"),
        (
            "\"bank.loans.part\"",
            "\"shop.sales.part\"",
            "is no column of the label's table",
        ),
        (
            "\"bank.loans.amount\"",
            "\"shop.sales.*\"",
            "names a column twice",
        ),
        (
            "key = \"id\"\n",
            "",
            "compute.train.key: this field is missing",
        ),
        ("\"auc\"", "\"acu\"", "did you mean auc?"),
    ];
    refused(PLAIN, &cases);
}

#[test]
fn what_the_catalogues_do_not_allow() {
    let ot = "correlations = \"ot\"";
    let cases = [
        (
            "\"bank.loans.amount\"",
            "\"bank.loans.part\"",
            ot,
            "bank.loans.part is text",
        ),
        (
            "\"bank.loans.amount\"",
            "\"bank.loans.amuont\"",
            ot,
            "has no column amuont",
        ),
        (
            "\"bank.loans.amount\"",
            "\"bank.loans.bad\"",
            ot,
            "bad has a part in the model already",
        ),
        (
            "\"shop.sales.*\", ",
            "",
            ot,
            "all columns are those of one holder",
        ),
        (
            "key = \"id\"",
            "key = \"person\"",
            ot,
            "has no column person",
        ),
        ("", "", "min_cell = 5", "privacy.correlations: is missing"),
        (
            "",
            "",
            "correlations = \"dealer:shop\"",
            "the dealer shop is a holder",
        ),
        (
            "",
            "",
            "correlations = \"ot\"\njoin = \"size\"",
            "tells who matched or how many",
        ),
    ];
    for (old, new, privacy, expected) in cases {
        let text = job(&PLAIN.replace(old, new), privacy);
        let found = faults(&text, &two()).join("\n");
        assert!(found.contains(expected), "{new} {privacy}: {found}");
    }
}

#[test]
fn policies_name_labels_and_features() {
    let plan = plan(&job(PLAIN, "correlations = \"ot\""), &two());
    let refused = |name: &str, columns: &str| {
        let text = format!("min_cell = 1\nopen_counts = false\n{columns}");
        let policy = Policy::parse(&text).expect("a policy");
        let me = PartyName::new(name).expect("a name");
        denials(&plan, &me, &policy)
    };
    let bank = |bad: &str| {
        format!(
            "[tables.loans.columns]\nid = {{ join_key = true }}\namount = {{ feature = true }}\npart = {{ filter = true }}\nbad = {bad}\n"
        )
    };
    assert!(refused("bank", &bank("{ label = true }")).is_empty());
    let found = refused("bank", &bank("{ feature = true }"));
    assert!(
        found.len() == 1
            && found[0].contains("loans.bad may not be used to be explained by a model"),
        "{found:?}"
    );
    let shop = "[tables.sales.columns]\nid = { join_key = true }\nvisits = { feature = true }\n";
    let found = refused("shop", shop);
    assert!(found.len() == 1 && found[0].contains("basket"), "{found:?}");
}

/// Every holder's policy has to allow that its bins go to receivers, column by column.
#[test]
fn a_scorecard_is_published_where_policies_allow_it() {
    let card = PLAIN.replace("\"logistic\"", "\"scorecard\"") + "\npublish = \"merged\"";
    let dealt = "correlations = \"dealer:arbiter\"\nmin_cell = 11";
    let merged = plan(&job(&card, dealt), &two());
    let (whole, others) = (
        "where each of them begins and ends",
        "not where bins of others",
    );
    let bank = merged
        .learns
        .iter()
        .find(|l| l.party == "bank")
        .expect("a receiver");
    assert!(
        bank.what.contains(whole) && !bank.what.contains(others),
        "{}",
        bank.what
    );
    let shop = merged
        .learns
        .iter()
        .find(|l| l.party == "shop")
        .expect("a holder");
    assert!(!shop.what.contains(whole), "{}", shop.what);
    assert!(
        merged
            .warnings
            .iter()
            .any(|w| w.contains("without asking again"))
    );
    let me = PartyName::new("shop").expect("a name");
    let refused = |basket: &str| {
        let columns = format!(
            "min_cell = 1\nopen_counts = false\n[tables.sales.columns]\nid = {{ join_key = true }}\nvisits = {{ feature = true, publish = true }}\nbasket = {basket}\n"
        );
        denials(&merged, &me, &Policy::parse(&columns).expect("a policy"))
    };
    assert!(refused("{ feature = true, publish = true }").is_empty());
    let found = refused("{ feature = true }");
    assert!(
        found.len() == 1 && found[0].contains("sales.basket may not be used to be shown in bins"),
        "{found:?}"
    );
    let parts = plan(&job(&card.replace("merged", "parts"), dealt), &two());
    let told = parts
        .learns
        .iter()
        .find(|l| l.party == "bank")
        .expect("a receiver");
    assert!(
        told.what.contains(others) && !told.what.contains(whole),
        "{}",
        told.what
    );
    let text = serde_json::to_string(&parts).expect("JSON");
    assert!(!text.contains("publish"), "{text}");
}

fn trees(more: &str) -> String {
    let trees = format!("model = \"gbdt\"\n{more}");
    let text = PLAIN.replace("model = \"logistic\"", &trees);
    text.replace("report = [\"coef\", \"se\", \"auc\"]", "report = [\"auc\"]")
}

#[test]
fn trees_keep_rows_with_missing_features_and_tell_holders_their_splits() {
    let text = job(&trees("depth = 3"), "correlations = \"dealer:arbiter\"");
    let plan = plan(&text, &two());
    let bank = &plan.locals[&party("bank")];
    assert!(
        bank.sql
            .ends_with("WHERE \"bad\" IS NOT NULL AND \"part\" IS NOT NULL"),
        "{}",
        bank.sql
    );
    let shop = &plan.locals[&party("shop")];
    assert!(!shop.sql.contains("WHERE"), "{}", shop.sql);
    for holder in ["bank", "shop"] {
        let learns = plan.learns.iter().find(|l| l.party == holder);
        let what = &learns.expect("a holder").what;
        assert!(what.contains("a column of its own was chosen"), "{what}");
        assert_eq!(what.contains("area under the curve"), holder == "bank");
    }
    let columns: Vec<&str> = plan.outputs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["sample", "n_bad", "n_good", "auc"]);
    let shape = model(&plan).forest(&[512, 1024], protocols::arith::compare::Method::Masked);
    let shape = shape.expect("trees").trees;
    assert_eq!((shape.depth, shape.n_trees, shape.n_bins), (3, 20, 32));
    assert_eq!(
        (shape.rate, shape.lambda, shape.start),
        (314_573, 1 << 20, 0)
    );
    assert!(!plan.needs().is_nothing() && plan.cost.rounds > 1000);
}

#[test]
fn what_trees_cannot_be() {
    for (more, expected) in [
        ("depth = 7", "compute.train.depth"),
        ("n_trees = 33\ndepth = 6", "makes 2112 leaves"),
        ("bins = 65", "compute.train.bins"),
        ("steps = 3", "steps"),
        ("lambda = 0\nmin_child_weight = 0", "a leaf without rows"),
        (
            "lambda = 0.001\nmin_child_weight = 0.002",
            "a leaf without rows",
        ),
        ("learning_rate = 2", "out of range"),
        ("checkpoint_every = 2", "begins anew"),
    ] {
        let found = check(&job(&trees(more), "correlations = \"dealer:arbiter\""));
        let found: Vec<String> = found
            .expect_err(more)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{more}: {found:?}"
        );
    }
    let found = faults(&job(&trees(""), "correlations = \"ot\""), &two());
    let found = format!("{found:?}");
    assert!(found.contains("trees without a dealer"), "{found}");
}

/// Linear models by Newton's method tell contributions to everybody who computes, and the words say so; others do not.
#[test]
fn shapley_values_of_linear_models_are_told_to_all_computing_parties() {
    let settled = |train: &str, privacy: &str| {
        job(train, privacy)
            + "[settlement]\ncurrency = \"CNY\"\nper_run_minor = 100\n[[settlement.split]]\n\
               stage = \"collect\"\nparty = \"*\"\nbasis = \"shapley\"\nppm = 1000000\n"
    };
    let linear = PLAIN
        .replace("\"logistic\"", "\"linear\"")
        .replace("\"coef\", \"se\", \"auc\"", "\"coef\", \"se\"");
    let own = "correlations = \"ot\"\nmin_cell = 20";
    let metered = plan(&settled(&linear, own), &two());
    assert!(model(&metered).is_metered);
    let told = "its Shapley value of the model's R²";
    let parties = metered.learns.iter().filter(|l| l.what.contains(told));
    assert_eq!(parties.count(), metered.seats.len());
    let plain = plan(&job(&linear, own), &two());
    assert!(!model(&plain).is_metered && !plain.learns.iter().any(|l| l.what.contains(told)));
    assert!(metered.cost.rounds > plain.cost.rounds);
    // A plan of a job without it is what it was before there was such a thing.
    let text = serde_json::to_string(&plain).expect("JSON");
    assert!(!text.contains("is_metered"), "{text}");
    for train in [
        PLAIN.to_owned(),
        format!("{linear}\nl2 = 1").replace(", \"se\"", ""),
    ] {
        let found = faults(&settled(&train, own), &two());
        assert!(
            found[0].starts_with("settlement.split: contributions"),
            "{train}\n{found:#?}"
        );
    }
}
