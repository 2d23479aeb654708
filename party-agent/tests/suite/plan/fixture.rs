//! Catalogues of made-up hospitals and jobs over them.

use std::collections::BTreeMap;

use coordinator::contract::PartyName;
use party_agent::approve;
use party_agent::catalogue::{Catalogue, ColumnEntry, ColumnKind, TableEntry, Uses};
use party_agent::ledger::RunCounts;
use party_agent::plan::{Plan, PlanFault, compile};
use party_agent::policy::{Facts, Policy};
use party_agent::spec::{CheckedSpec, check};

use super::chinese::is_told_in_chinese;
use protocols::party::PartyId;

pub(crate) type Catalogues = BTreeMap<PartyId, Catalogue>;

pub(crate) fn party(name: &str) -> PartyId {
    name.parse().expect("a party's name")
}

/// What a policy has against a plan, by an agent that has run nothing yet.
pub(crate) fn denials(plan: &Plan, me: &PartyName, policy: &Policy) -> Vec<String> {
    let facts = Facts {
        now: 1_800_000_000,
        runs: &RunCounts::default(),
        forbidden: None,
    };
    let denials = approve::denials(plan, me, policy, facts);
    denials.iter().map(ToString::to_string).collect()
}

pub(crate) fn column(name: &str, kind: ColumnKind) -> ColumnEntry {
    ColumnEntry {
        categories: None,
        class: None,
        hidden: None,
        kind,
        name: name.to_owned(),
        nullable: true,
        range: None,
        unit: None,
        uses: Uses::all(),
    }
}

pub(crate) fn int(bits: u8) -> ColumnKind {
    ColumnKind::Int { bits, signed: true }
}

pub(crate) fn decimal(precision: u8, scale: i8) -> ColumnKind {
    ColumnKind::Decimal { precision, scale }
}

/// Changes to a column, one after the other.
pub(crate) trait With: Sized {
    fn range(self, low: &str, high: &str) -> Self;
    fn categories(self, texts: &[&str]) -> Self;
    fn required(self) -> Self;
}

impl With for ColumnEntry {
    fn range(mut self, low: &str, high: &str) -> Self {
        self.range = Some((low.to_owned(), high.to_owned()));
        self
    }

    fn categories(mut self, texts: &[&str]) -> Self {
        self.categories = Some(texts.iter().map(|t| Some((*t).to_owned())).collect());
        self
    }

    fn required(mut self) -> Self {
        self.nullable = false;
        self
    }
}

pub(crate) fn table(columns: Vec<ColumnEntry>) -> TableEntry {
    TableEntry {
        columns,
        commitment: None,
        consent: None,
        dominance: None,
        cohorts: None,
        note: None,
        rows_at_most: 1 << 16,
        visible_to: None,
    }
}

pub(crate) fn catalogue(name: &str, tables: Vec<(&str, TableEntry)>) -> Catalogue {
    Catalogue {
        min_cell: 5,
        open_counts: false,
        round_to: None,
        party: party(name),
        rehearsal: false,
        tables: tables.into_iter().map(|(n, t)| (n.to_owned(), t)).collect(),
    }
}

/// The columns of a hospital's table; every hospital has its own list of diagnoses.
pub(crate) fn encounters(diagnoses: &[&str]) -> TableEntry {
    table(vec![
        column("patient_id", ColumnKind::Text).required(),
        column("diag_group", ColumnKind::Text).categories(diagnoses),
        column("gender", ColumnKind::Text)
            .categories(&["F", "M"])
            .required(),
        column("readmitted", ColumnKind::Text)
            .categories(&["<30", ">30", "NO"])
            .required(),
        column("time_in_hospital", int(32))
            .range("1", "14")
            .required(),
        column("num_medications", int(32)).range("0", "100"),
        column("num_lab_procedures", int(64)),
        column("charges", decimal(12, 2)).range("-10000.00", "1500000.00"),
        column("weight", ColumnKind::Float),
        column("bmi", ColumnKind::Float).range("10", "80"),
        column("emergency", ColumnKind::Bool),
        column("admitted", ColumnKind::Date)
            .range("2019-01-01", "2021-12-31")
            .required(),
        column("seen_at", ColumnKind::Timestamp),
        column("note", ColumnKind::Text),
        column("Größe", int(16)),
        column("科室", ColumnKind::Text).categories(&["内科", "外科"]),
    ])
}

/// Three hospitals, an analyst without data and a notary who can deal.
pub(crate) fn hospitals() -> Catalogues {
    let diagnoses: [&[&str]; 3] = [
        &["circulatory", "diabetes"],
        &["diabetes", "digestive"],
        &["circulatory", "other"],
    ];
    let wards = || {
        table(vec![
            column("ward", ColumnKind::Text)
                .categories(&["A", "B"])
                .required(),
            column("patient_id", ColumnKind::Text).required(),
            column("beds", int(32)).range("1", "40").required(),
        ])
    };
    let mut catalogues = Catalogues::new();
    for (i, diagnoses) in diagnoses.into_iter().enumerate() {
        let name = format!("hospital_{}", i + 1);
        let tables = vec![("encounters", encounters(diagnoses)), ("wards", wards())];
        catalogues.insert(party(&name), catalogue(&name, tables));
    }
    for name in ["analyst", "notary"] {
        catalogues.insert(party(name), catalogue(name, Vec::new()));
    }
    catalogues
}

pub(crate) const UNION: &str = "(SELECT * FROM hospital_1.encounters UNION ALL SELECT * FROM hospital_2.encounters UNION ALL SELECT * FROM hospital_3.encounters)";

/// A job file around a query; `e` in `{e}` stands for the union of the three hospitals.
pub(crate) fn job(sql: &str) -> String {
    job_with(sql, "", "correlations = \"ot\"\nmin_cell = 11\n")
}

pub(crate) fn job_with(sql: &str, domain: &str, privacy: &str) -> String {
    let sql = sql.replace("{e}", UNION);
    format!(
        "job = \"test\"\npurpose = \"a test\"\nreceivers = [\"analyst\"]\n[compute]\nsql = '''\n{sql}\n'''\n[compute.domain]\n{domain}\n[privacy]\n{privacy}"
    )
}

pub(crate) fn spec(text: &str) -> CheckedSpec {
    check(text).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("the job file has faults: {faults:?}")
    })
}

pub(crate) fn try_plan(text: &str, catalogues: &Catalogues) -> Result<Plan, Vec<PlanFault>> {
    compile(&spec(text), catalogues)
}

pub(crate) fn faults(text: &str, catalogues: &Catalogues) -> Vec<String> {
    match try_plan(text, catalogues) {
        Ok(plan) => panic!("planned although it should be refused:\n{}", plan.explain()),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// What a job file cannot say, in words.
pub(crate) fn bad_file(text: &str) -> Vec<String> {
    let faults = check(text).expect_err("a bad job file");
    faults.iter().map(ToString::to_string).collect()
}

pub(crate) fn plan(text: &str, catalogues: &Catalogues) -> Plan {
    let plan = try_plan(text, catalogues).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("refused although it should be planned: {faults:#?}")
    });
    is_told_in_chinese(&plan, text);
    plan
}

/// The query as a job over [`hospitals`].
pub(crate) fn planned(sql: &str) -> Plan {
    plan(&job(sql), &hospitals())
}

/// The SQL of a holder on one line.
pub(crate) fn local<'p>(plan: &'p Plan, holder: &str) -> String {
    let sql: &'p str = &plan.locals[&party(holder)].sql;
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn domain(plan: &Plan, key: usize) -> Vec<&str> {
    let groups = plan.keys[key].domain.iter();
    groups.map(|g| g.as_deref().unwrap_or("NULL")).collect()
}
