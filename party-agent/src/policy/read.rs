//! `policy.toml` → [`Policy`]. What is not understood is a fault, never ignored.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::contract::PartyName;
use coordinator::tls::Fingerprint;
use toml::Spanned;
use toml::de::DeValue;

use super::constraint::{Action, Constraint, ConstraintFault, Operator, Rule, Subject, Written};
use super::region::{Regions, is_region};
use super::review::{LEAST as LEAST_REVIEWS, Reviews};
use super::{Budget, ColumnPolicy, LookupRule, Policy, StandingRule, TablePolicy};
use crate::catalogue::{
    Aggregate, CategoryRule, Class, Cohorts, ColumnRule, Dominance, MAX_HIDDEN_BYTES, MAX_TOP,
    TopShare, Uses,
};
use crate::config::fields::{Faults, Fields, document, kind};
use crate::config::range;
use crate::privacy::{Guarantee, read_person};
use crate::spec::Fault;

const AGGREGATES: &str = "\"count\", \"sum\", \"avg\", \"var\", \"corr\", \"min\", \"max\", \"median\", \"quantile\" or \"count_distinct\"";

/// Largest minimum cell and number of runs that can be written.
const MAX_NUMBER: u64 = 1 << 40;

pub(super) fn policy(text: &str) -> Result<Policy, Vec<Fault>> {
    let mut faults = Faults::new(text);
    let policy = document(text, &mut faults).and_then(|document| {
        let mut top = Fields::new(document.get_ref(), "", document.span());
        let policy = read(&mut top, &mut faults);
        top.finish(&mut faults);
        policy
    });
    faults.into_result(policy)
}

fn read(top: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Policy> {
    let min_cell = top.whole(faults, "min_cell", 1..=MAX_NUMBER);
    let min_cell = top.required(
        faults,
        "min_cell",
        min_cell,
        "the smallest group that you let out, such as 11",
    );
    let open_counts = top.boolean(faults, "open_counts");
    let open_counts = top.required(faults, "open_counts", open_counts, "true or false");
    let round_to = top.whole(faults, "round_to", 2..=MAX_NUMBER);
    let standing = top
        .tables(faults, "approve")
        .into_iter()
        .filter_map(|rule| standing_rule(rule, faults))
        .collect();
    let persons = keyed(top, "persons", faults);
    let reviewers = keyed(top, "reviewers", faults);
    if (1..LEAST_REVIEWS).contains(&reviewers.len()) {
        let what = "a procedure has to be vetted by two reviewers, and here is one";
        top.wrong(faults, "reviewers", what, "two reviewers or more, or none");
    }
    let regions = regions(top, faults);
    let tables = match top.table(faults, "tables") {
        None => BTreeMap::new(),
        Some(tables) => tables
            .entries()
            .filter_map(|(name, value)| {
                let fields = subtable(&tables, name, value, faults)?;
                Some((name.to_owned(), table(fields, faults)))
            })
            .collect(),
    };
    // Of fewer contributors the rules never hold, so that totals beside such a group would have to hide it too.
    if tables.values().any(|table| table.dominance.is_some()) && min_cell.is_some_and(|n| n < 3) {
        let allowed = "3 or more, as a table has rules about dominance";
        top.wrong(faults, "min_cell", "this is too small", allowed);
    }
    Some(Policy {
        min_cell: min_cell?,
        open_counts: open_counts?,
        round_to,
        standing,
        persons,
        reviewers,
        reviews: Reviews::default(),
        tables,
        regions,
        rehearsal: false,
    })
}

/// Who signs with which key. One key is one person.
fn keyed(
    top: &mut Fields<'_, '_>,
    field: &'static str,
    faults: &mut Faults<'_>,
) -> BTreeMap<PartyName, Fingerprint> {
    let mut persons = BTreeMap::new();
    let Some(listed) = top.table(faults, field) else {
        return persons;
    };
    for (name, value) in listed.entries() {
        let path = listed.name(name);
        let key = value.get_ref().as_str().and_then(|key| key.parse().ok());
        let key: Option<Fingerprint> = key.filter(|key| !persons.values().any(|k| k == key));
        match PartyName::new(name).ok().zip(key) {
            Some((person, key)) => drop(persons.insert(person, key)),
            None => faults.add(
                &value.span(),
                &path,
                "this is not a person with a key of that person alone",
                "a name of a-z, 0-9 and _, and a fingerprint as `entente keys person` prints it",
            ),
        }
    }
    persons
}

/// Where parties are, and where those of jobs over important data have to be.
fn regions(top: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Regions {
    let mut regions = Regions::default();
    let allowed = "regions such as \"CN\" and \"CN-1101\"";
    if let Some(listed) = top.strings(faults, "important_regions") {
        if !listed.iter().all(|place| is_region(place)) {
            top.wrong(
                faults,
                "important_regions",
                "these are not regions",
                allowed,
            );
        }
        regions.important = Some(listed.into_iter().map(str::to_owned).collect());
    }
    let Some(listed) = top.table(faults, "regions") else {
        return regions;
    };
    for (name, value) in listed.entries() {
        let place = value.get_ref().as_str().filter(|place| is_region(place));
        match PartyName::new(name).ok().zip(place) {
            Some((party, place)) => drop(regions.of.insert(party, place.to_owned())),
            None => faults.add(
                &value.span(),
                &listed.name(name),
                "this is not a party and its region",
                allowed,
            ),
        }
    }
    regions
}

fn subtable<'v, 't>(
    parent: &Fields<'v, 't>,
    name: &str,
    value: &'v Spanned<DeValue<'t>>,
    faults: &mut Faults<'_>,
) -> Option<Fields<'v, 't>> {
    let path = parent.name(name);
    let Some(inner) = value.get_ref().as_table() else {
        let what = format!("a {} is not allowed here", kind(value.get_ref()));
        faults.add(&value.span(), &path, what, "a table");
        return None;
    };
    Some(Fields::new(inner, &path, value.span()))
}

fn standing_rule(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<StandingRule> {
    let purpose = fields.required_string(
        faults,
        "purpose",
        "the purposes that need no person, such as \"IRB 7*\"",
    );
    let receivers = fields.strings(faults, "receivers");
    let receivers = fields.required(
        faults,
        "receivers",
        receivers,
        "the parties that may receive, such as [\"clinic\"]",
    );
    let max_runs = fields.whole(faults, "max_runs", 1..=MAX_NUMBER);
    let max_runs = fields.required(
        faults,
        "max_runs",
        max_runs,
        "how many runs it covers, such as 20",
    );
    fields.finish(faults);
    Some(StandingRule {
        purpose: purpose?.to_owned(),
        receivers: receivers?.into_iter().map(str::to_owned).collect(),
        max_runs: max_runs?,
    })
}

fn table(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> TablePolicy {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let note = fields.string(faults, "note").map(str::to_owned);
    let purposes = fields.strings(faults, "purposes").map(owned);
    let receivers = fields
        .strings(faults, "receivers")
        .map(|r| owned(r).into_iter().collect());
    let visible_to = fields.strings(faults, "visible_to");
    let visible_to =
        visible_to.and_then(|names| parties(&mut fields, "visible_to", &names, faults));
    let of_all = class(&mut fields, faults);
    let columns = match fields.table(faults, "columns") {
        None => BTreeMap::new(),
        Some(columns) => columns
            .entries()
            .filter_map(|(name, value)| {
                let inner = subtable(&columns, name, value, faults)?;
                Some((name.to_owned(), column(inner, of_all, faults)))
            })
            .collect(),
    };
    let lookup = fields.table(faults, "lookup");
    let lookup = lookup.and_then(|rule| lookup_rule(rule, faults));
    let dp = fields.table(faults, "dp");
    let dp = dp.and_then(|budget| read_budget(budget, faults));
    let cohorts = fields.table(faults, "cohorts");
    let cohorts = cohorts.and_then(|kept| read_cohorts(kept, faults));
    let dominance = fields.table(faults, "dominance");
    let dominance = dominance.and_then(|rule| read_dominance(rule, faults));
    let rules = match fields.table(faults, "rules") {
        None => Vec::new(),
        Some(rules) => rules
            .entries()
            .filter_map(|(name, value)| rule(name, subtable(&rules, name, value, faults)?, faults))
            .collect(),
    };
    fields.finish(faults);
    TablePolicy {
        note,
        columns,
        purposes,
        receivers,
        visible_to,
        lookup,
        dp,
        cohorts,
        dominance,
        rules,
    }
}

/// Party names, each once. A name that is none is a fault, so a policy that misspells one allows nothing.
fn parties(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    names: &[&str],
    faults: &mut Faults<'_>,
) -> Option<BTreeSet<PartyName>> {
    let read = names.iter().map(|name| PartyName::new(*name).ok());
    let read: Option<BTreeSet<PartyName>> = read.collect();
    let read = read.filter(|read| read.len() == names.len());
    if read.is_none() {
        let what = "these are not names of parties, each once";
        fields.wrong(faults, field, what, "names such as [\"bank_b\"]");
    }
    read
}

fn read_cohorts(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Cohorts> {
    let person = "the column that tells persons apart, such as \"patient_id\"";
    let person = fields.required_string(faults, "person", person);
    let row = "the column that tells rows apart, such as \"encounter_id\"";
    let row = fields.required_string(faults, "row", row);
    fields.finish(faults);
    Some(Cohorts {
        person: person?.to_owned(),
        row: row?.to_owned(),
    })
}

fn read_dominance(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Dominance> {
    let contributor = fields.required_string(
        faults,
        "contributor",
        "the column that tells apart who contributes, such as \"patient_id\"",
    );
    let elsewhere = fields.boolean(faults, "elsewhere");
    let elsewhere = fields.required(
        faults,
        "elsewhere",
        elsewhere,
        "true if a contributor can have rows at other holders, or false",
    );
    let p_percent = fields.whole(faults, "p_percent", 1..=100);
    let n = fields.whole(faults, "top", 1..=MAX_TOP);
    let percent = fields.whole(faults, "top_percent", 1..=99);
    let allowed = "p_percent, or top and top_percent together, or all three";
    if n.is_some() != percent.is_some() || (n.is_none() && p_percent.is_none()) {
        fields.wrong(faults, "top", "this is not a rule", allowed);
    }
    fields.finish(faults);
    Some(Dominance {
        contributor: contributor?.to_owned(),
        elsewhere: elsewhere?,
        p_percent,
        top: n.zip(percent).map(|(n, percent)| TopShare { n, percent }),
    })
}

fn read_budget(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Budget> {
    let promise = Guarantee::read(&mut fields, faults);
    let person = read_person(&mut fields, faults);
    let required = fields.boolean(faults, "required").unwrap_or(false);
    fields.finish(faults);
    Some(Budget {
        promise: promise?,
        person: person?,
        required,
    })
}

fn rule(name: &str, mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Rule> {
    let known = || {
        Action::ALL
            .map(|a| format!("\"{}\"", a.as_str()))
            .join(", ")
    };
    let words = fields.strings(faults, "actions");
    let words = fields.required(faults, "actions", words, &known())?;
    let mut actions = BTreeSet::new();
    for word in &words {
        match Action::ALL.into_iter().find(|a| a.as_str() == *word) {
            Some(action) => drop(actions.insert(action)),
            None => {
                let what = format!("\"{word}\" is not an action of a job");
                fields.wrong(faults, "actions", what, &known());
            }
        }
    }
    let constraints = fields.tables(faults, "constraints");
    let n_written = constraints.len();
    let constraints: Vec<_> = constraints
        .into_iter()
        .filter_map(|c| constraint(c, faults))
        .collect();
    fields.finish(faults);
    (actions.len() == words.len() && constraints.len() == n_written).then(|| Rule {
        name: name.to_owned(),
        actions,
        constraints,
    })
}

fn constraint(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Constraint> {
    let name = fields.required_string(faults, "constraint", "what is constrained");
    let operator = fields.required_string(faults, "operator", "how it is compared");
    let written = fields.value("value").map(Spanned::get_ref);
    let written = fields.required(faults, "value", written, "what it is compared with");
    let value = written.and_then(written_value);
    if written.is_some() && value.is_none() {
        let allowed = "a whole number, a text in quotes, or a list of texts";
        fields.wrong(faults, "value", "this is not a value", allowed);
    }
    let (name, operator, value) = (name?, operator?, value?);
    let made = Constraint::new(name, operator, &value);
    if let Err(fault) = &made {
        let quoted = |words: Vec<&str>| words.join(", ");
        let (field, allowed) = match fault {
            ConstraintFault::Name(_) => (
                "constraint",
                quoted(Subject::ALL.map(Subject::as_str).to_vec()),
            ),
            ConstraintFault::Operator(_) => (
                "operator",
                quoted(Operator::ALL.map(Operator::as_str).to_vec()),
            ),
            ConstraintFault::Unfit(subject, _) => (
                "operator",
                quoted(subject.operators().iter().map(|o| o.as_str()).collect()),
            ),
            ConstraintFault::Value(..) => (
                "value",
                "a whole number, a text, a list of texts, or times such as \"2027-01-01T00:00:00Z\", as the constraint has it"
                    .to_owned(),
            ),
        };
        fields.wrong(faults, field, fault.to_string(), &allowed);
    }
    fields.finish(faults);
    made.ok()
}

fn written_value(value: &DeValue<'_>) -> Option<Written> {
    match value {
        DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
            .ok()
            .map(Written::Number),
        DeValue::String(text) => Some(Written::Text(text.to_string())),
        DeValue::Array(list) => {
            let texts = list.iter().map(|e| e.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Written::List)
        }
        _ => None,
    }
}

fn lookup_rule(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<LookupRule> {
    let askers = fields.strings(faults, "askers");
    let askers = fields.required(
        faults,
        "askers",
        askers,
        "the parties that may ask, such as [\"bank_a\"]",
    );
    let mut number = |field, allowed| {
        let number = fields.whole(faults, field, 1..=MAX_NUMBER);
        fields.required(faults, field, number, allowed)
    };
    let per_job = number("per_job", "the most questions of one job, such as 1000");
    let per_day = number(
        "per_day",
        "the most questions of one asker in a day, such as 5000",
    );
    fields.finish(faults);
    Some(LookupRule {
        askers: askers?.into_iter().map(str::to_owned).collect(),
        per_job: per_job?,
        per_day: per_day?,
    })
}

/// A class by its word. A word that is none is a fault, so a policy that misspells one allows nothing.
fn class(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Class> {
    let word = fields.string(faults, "class")?;
    let class = Class::from_word(word);
    if class.is_none() {
        let allowed = Class::ALL.map(Class::as_str).join(", ");
        fields.wrong(
            faults,
            "class",
            format!("\"{word}\" is not a class"),
            &allowed,
        );
    }
    class
}

fn column(
    mut fields: Fields<'_, '_>,
    of_all: Option<Class>,
    faults: &mut Faults<'_>,
) -> ColumnPolicy {
    let uses = Uses {
        aggregate: aggregates(&mut fields, faults),
        filter: fields.boolean(faults, "filter").unwrap_or(false),
        group_by: fields.boolean(faults, "group_by").unwrap_or(false),
        join_key: fields.boolean(faults, "join_key").unwrap_or(false),
        join_size: fields.boolean(faults, "join_size").unwrap_or(false),
        join_keys: fields.boolean(faults, "join_keys").unwrap_or(false),
        row_level: fields.boolean(faults, "row_level").unwrap_or(false),
        label: fields.boolean(faults, "label").unwrap_or(false),
        feature: fields.boolean(faults, "feature").unwrap_or(false),
        publish: fields.boolean(faults, "publish").unwrap_or(false),
    };
    let rule = ColumnRule {
        uses,
        categories: categories(&mut fields, faults).unwrap_or_default(),
        range: range(&mut fields, faults),
        unit: fields.string(faults, "unit").map(str::to_owned),
        class: class(&mut fields, faults).or(of_all),
    };
    let read = ColumnPolicy {
        rule,
        compute: fields.boolean(faults, "compute").unwrap_or(false),
    };
    let is_used = read.compute || read.rule.uses != Uses::default();
    if read.rule.class == Some(Class::Core) && is_used {
        let what = "core data take part in no job, so nothing can be allowed with them";
        fields.wrong(faults, "class", what, "no uses");
    }
    fields.finish(faults);
    read
}

fn aggregates(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> BTreeSet<Aggregate> {
    let name = fields.name("aggregate");
    let at = fields.value("aggregate").map_or(0..0, Spanned::span);
    let words = fields.strings(faults, "aggregate").unwrap_or_default();
    let read = |word: &str| {
        let found = Aggregate::ALL.into_iter().find(|f| f.as_str() == word);
        if found.is_none() {
            faults.add(
                &at,
                &name,
                format!("\"{word}\" is not a function that can be allowed"),
                AGGREGATES,
            );
        }
        found
    };
    words.into_iter().filter_map(read).collect()
}

fn categories(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<CategoryRule> {
    const ALLOWED: &str = "\"from_data\", \"hidden\", or a list of texts and whole numbers";
    let longest = fields.whole(faults, "longest", 1..=MAX_HIDDEN_BYTES);
    let name = fields.name("categories");
    let value = fields.value("categories");
    let is_hidden =
        matches!(value.map(Spanned::get_ref), Some(DeValue::String(word)) if word == "hidden");
    if longest.is_some() && !is_hidden {
        let what = "says how long hidden categories are, and these are not hidden";
        fields.wrong(
            faults,
            "longest",
            what,
            "leave it out, or write categories = \"hidden\"",
        );
    }
    let value = value?;
    let read = match value.get_ref() {
        DeValue::String(word) if word == "from_data" => Some(CategoryRule::FromData),
        DeValue::String(word) if word == "hidden" => Some(CategoryRule::Hidden(longest)),
        DeValue::Array(list) => list
            .iter()
            .map(|e| category(e.get_ref()).map(Some))
            .collect::<Option<_>>()
            .map(CategoryRule::Listed),
        _ => None,
    };
    if read.is_none() {
        faults.add(&value.span(), &name, "these are not categories", ALLOWED);
    }
    read
}

fn category(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

fn range(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<(String, String)> {
    let name = fields.name("range");
    range::read(&name, fields.value("range")?, faults)
}
