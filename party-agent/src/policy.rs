//! The holder's policy file: who may do what with which column. Default deny.
//!
//! A job passes when every use of every column is written down, the groups that it lets out are no smaller
//! than this holder's minimum, and counts are opened only where the holder says so. Passing the policy is not
//! approval: a person or a standing rule still has to agree ([`crate::approve`]).

mod glob;
pub mod constraint;
mod class;
mod cohorts;
mod dominance;
mod budget;
pub mod negative;
mod review;
mod rules;
mod read;
mod region;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coordinator::contract::{Digest, PartyName};
use coordinator::tls::Fingerprint;

use crate::catalogue::{
    Aggregate, CategoryRule, Class, Cohorts, ColumnRule, Dominance, Publish, Uses,
};
use crate::config::fields;
use crate::ledger::{Charge, Reservation, RunCounts};
use crate::plan::{ColumnUse, DominancePlan, Usage};
use crate::spec::Fault;
pub use budget::{Budget, Loss};
use constraint::{Action, Rule};
use negative::NegativeList;
use region::Regions;
pub use review::Review;
use review::Reviews;

/// What one holder allows. There is no default: every field was written by a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    min_cell: u64,
    open_counts: bool,
    /// Counts leave as multiples of this alone.
    round_to: Option<u64>,
    standing: Vec<StandingRule>,
    persons: BTreeMap<PartyName, Fingerprint>,
    /// Where somebody is listed, procedures take part that enough of these have vetted.
    reviewers: BTreeMap<PartyName, Fingerprint>,
    reviews: Reviews,
    tables: BTreeMap<String, TablePolicy>,
    regions: Regions,
    rehearsal: bool,
}

/// What one holder allows with one of its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePolicy {
    /// What to say about the table in the catalogue.
    pub note: Option<String>,
    /// Columns by name. A column that is not here can be used for nothing.
    pub columns: BTreeMap<String, ColumnPolicy>,
    /// If written, the only purposes that the table may serve, as patterns with `*` and `?`.
    pub purposes: Option<Vec<String>>,
    /// If written, the only receivers that results over this table may have.
    pub receivers: Option<BTreeSet<String>>,
    /// If written, the only parties that see the table in the catalogue and take part in jobs on it.
    pub visible_to: Option<BTreeSet<PartyName>>,
    /// Who may look keys up in it, and how often; nobody where it is not written.
    pub lookup: Option<LookupRule>,
    /// What releases with noise may tell each recipient; none are allowed where it is not written.
    pub dp: Option<Budget>,
    /// Who was counted in released figures is remembered, by these columns.
    pub cohorts: Option<Cohorts>,
    /// What sums over its columns have to satisfy.
    pub dominance: Option<Dominance>,
    /// If written, every action of a job on the table has to be allowed by one of these besides.
    pub rules: Vec<Rule>,
}

/// Who may look keys up in a table, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRule {
    /// The parties that may ask.
    pub askers: BTreeSet<String>,
    /// Most questions in one job.
    pub per_job: u64,
    /// Most questions of one asker in a day (UTC).
    pub per_day: u64,
}

/// What one holder allows with one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnPolicy {
    /// What is allowed, and what is published to make it possible.
    pub rule: ColumnRule,
    /// Whether it may feed a computation inside this holder's own query, such as a window function.
    pub compute: bool,
}

/// Jobs that run without asking a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRule {
    /// Purposes that it covers, a pattern with `*` and `?`.
    pub purpose: String,
    /// The receivers that it covers; a job with any other receiver is not covered.
    pub receivers: BTreeSet<String>,
    /// How many runs it covers in all.
    pub max_runs: u64,
}

/// What a job wants from this holder: the questions that the policy answers.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The job's purpose, verbatim.
    pub purpose: &'a str,
    /// The receivers of the result.
    pub receivers: Vec<&'a str>,
    /// All other parties of the job.
    pub others: Vec<&'a str>,
    /// The tables of this holder that the job reads.
    pub tables: &'a [String],
    /// Every use of every column of this holder.
    pub uses: &'a [ColumnUse],
    /// Smallest group whose values the plan opens; 0 where it has no minimum.
    pub min_cell: u64,
    /// To multiples of what the plan rounds counts, 1 where it does not; `None` where it tells none.
    pub rounds_to: Option<u64>,
    /// Whether the plan opens group counts to the computing parties.
    pub opens_counts: bool,
    /// The columns by which the plan has every holder tell persons and rows apart.
    pub cohorts: Option<&'a Cohorts>,
    /// The rules about dominance that the plan's sums keep to.
    pub dominance: Option<&'a DominancePlan>,
    /// Questions that others ask of a table of this holder.
    pub lookup: Option<Questions<'a>>,
    /// What it loses of differential privacy, if it releases with noise.
    pub loss: Option<Loss<'a>>,
    /// What the job does, for the rules of tables.
    pub work: Work,
    /// What this holder's agent knows at the moment.
    pub facts: Facts<'a>,
}

/// What a job does, as far as the plan tells.
#[derive(Clone, Debug)]
pub struct Work {
    /// What it does with every table that it uses.
    pub actions: BTreeSet<Action>,
    /// How it is computed: `03`, on shares; `04`, sums over each holder's rows are opened.
    pub execution_env: &'static str,
    /// What comes out: `aggregate`, `model` or `row_level`.
    pub output_class: &'static str,
    /// The published bound on the rows that it reads at this holder.
    pub rows_at_most: u64,
    /// The procedure, by the digest of its manifest: `sha256:` and 64 digits.
    pub algorithm: String,
}

/// What an agent knows at the moment, by its own clock and ledger.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Unix seconds.
    pub now: u64,
    /// Runs so far.
    pub runs: &'a RunCounts,
    /// The negative list that this holder keeps to, verified.
    pub forbidden: Option<&'a NegativeList>,
}

/// What a policy attaches to its consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The places among counted runs that the job takes when it starts.
    pub places: Vec<Reservation>,
    /// What it takes of budgets for releases with noise.
    pub charges: Vec<Charge>,
    /// How many persons of this party have to approve; a standing rule stands for one.
    pub persons: usize,
}

impl Default for Permit {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            charges: Vec::new(),
            persons: 1,
        }
    }
}

/// Questions that a job asks of a table.
#[derive(Clone, Copy, Debug)]
pub struct Questions<'a> {
    /// The table.
    pub table: &'a str,
    /// Who asks.
    pub asker: &'a str,
    /// How many at most.
    pub at_most: u64,
}

/// One reason why this holder refuses a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The place in the policy file that decides, such as `tables.visits.columns.age.filter`.
    pub rule: String,
    /// What is refused, with table and column.
    pub what: String,
    /// What would be allowed.
    pub allowed: String,
}

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("the policy file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The negative list that this holder keeps to is missing, not signed, or older than one that was seen: nothing is allowed.
    #[error("the negative list {path} cannot be used: {what}")]
    NegativeList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A review is not signed by somebody whom the policy lists: nothing is allowed.
    #[error("the review {path} cannot be used: {what}")]
    Review {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A result that is a table here does not tell its class: nothing is allowed.
    #[error("the class of the result {path} cannot be read")]
    Inherited {
        /// The result's document.
        path: PathBuf,
    },
    /// The file says something that is not understood, so nothing is allowed.
    #[error("the policy file {path} has {} fault(s): {}", faults.len(), fields::Listed(faults))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (rule {}; allowed: {})",
            self.what, self.rule, self.allowed
        )
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// All faults of the file: unknown fields, wrong values, missing fields.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        read::policy(text)
    }

    /// Reads a policy file, and the reviews beside it where it lists reviewers.
    ///
    /// # Errors
    /// [`PolicyError`]: a policy that cannot be read allows nothing.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let text = fs::read_to_string(path).map_err(|source| PolicyError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let mut policy = Self::parse(&text).map_err(|faults| PolicyError::Faulty {
            path: path.to_owned(),
            faults,
        })?;
        policy.reviews = Reviews::beside(path, &policy.reviewers)?;
        Ok(policy)
    }

    /// A policy that allows whatever a job asks for. Only a rehearsal on local data may use it, and its
    /// output says so.
    #[must_use]
    pub fn rehearsal() -> Self {
        Self {
            min_cell: 0,
            open_counts: true,
            round_to: None,
            standing: Vec::new(),
            persons: BTreeMap::new(),
            reviewers: BTreeMap::new(),
            reviews: Reviews::default(),
            tables: BTreeMap::new(),
            regions: Regions::default(),
            rehearsal: true,
        }
    }

    /// The persons who approve by their keys. Where nobody is listed, whoever can use the agent approves by a name.
    #[must_use]
    pub fn persons(&self) -> &BTreeMap<PartyName, Fingerprint> {
        &self.persons
    }

    /// The manifests that reviewers of this holder have signed, each with the digest of the signed review.
    pub fn reviews(&self) -> impl Iterator<Item = &(Digest, Digest)> {
        self.reviews.documents()
    }

    /// Whether this is [`Policy::rehearsal`].
    #[must_use]
    pub fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// Smallest group that this holder lets out.
    #[must_use]
    pub fn min_cell(&self) -> u64 {
        self.min_cell
    }

    /// To multiples of what counts are rounded, if they are.
    #[must_use]
    pub fn round_to(&self) -> Option<u64> {
        self.round_to
    }

    /// Whether group counts may be opened to the computing parties.
    #[must_use]
    pub fn open_counts(&self) -> bool {
        self.open_counts
    }

    /// The tables that may be used at all. Empty for a rehearsal, which allows every table.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<String, TablePolicy> {
        &self.tables
    }

    /// What the catalogue says about a table; `None` for a table that nobody may use.
    #[must_use]
    pub fn publish(&self, table: &str) -> Option<Publish> {
        if self.rehearsal {
            return Some(Publish::Rehearsal);
        }
        let columns = self.tables.get(table)?.columns.iter();
        Some(Publish::Policy(
            columns
                .map(|(name, c)| (name.clone(), c.rule.clone()))
                .collect(),
        ))
    }

    /// Compares a job with the policy.
    ///
    /// # Errors
    /// Every reason to refuse, not only the first.
    pub fn check(&self, request: &Request<'_>) -> Result<Permit, Vec<Denial>> {
        let mut permit = Permit::default();
        let counted = rows_alone(request);
        let uses = || request.uses.iter().chain(&counted);
        let mut denials = match request.facts.forbidden {
            Some(list) => list.denials(request, uses().map(|used| (used, self.class_of(used)))),
            None => Vec::new(),
        };
        if self.rehearsal {
            return if denials.is_empty() {
                Ok(permit)
            } else {
                Err(denials)
            };
        }
        self.check_release(request, &mut denials);
        if !self.reviewers.is_empty() {
            denials.extend(self.reviews.objection(&request.work.algorithm));
        }
        if let Some(questions) = &request.lookup {
            denials.extend(self.check_questions(questions));
        }
        let tables: BTreeSet<&str> = uses().map(|u| u.table.as_str()).collect();
        for name in tables {
            match self.tables.get(name) {
                None => denials.push(self.unlisted_table(name)),
                Some(table) => {
                    check_table(name, table, request, &mut denials);
                    match rules::check(name, &table.rules, request, &self.regions) {
                        Ok(places) => permit.places.extend(places),
                        Err(found) => denials.extend(found),
                    }
                    match budget::check(name, table, request) {
                        Ok(charges) => permit.charges.extend(charges),
                        Err(found) => denials.extend(found),
                    }
                }
            }
        }
        denials.extend(
            counted
                .iter()
                .filter_map(|rows| class_denial(rows, self.class_of(rows)?, request.min_cell)),
        );
        let classes = uses().map(|used| self.class_of(used));
        if classes.max().flatten() >= Some(Class::Important) {
            permit.persons = class::IMPORTANT_PERSONS;
            denials.extend(self.regions.objections(&request.others));
        }
        if denials.is_empty() {
            Ok(permit)
        } else {
            Err(denials)
        }
    }

    /// The class of a column of this holder, if its policy says; of rows alone, what all columns have at least.
    fn class_of(&self, used: &ColumnUse) -> Option<Class> {
        let columns = &self.tables.get(&used.table)?.columns;
        if used.column == ROWS {
            return columns.values().map(|c| c.rule.class).min().flatten();
        }
        columns.get(&used.column)?.rule.class
    }

    /// Raises all columns of a table to at least a class: what is derived from data is as sensitive as they are.
    pub(crate) fn raise(&mut self, table: &str, least: Class) {
        let table = self.tables.get_mut(table);
        for column in table.into_iter().flat_map(|t| t.columns.values_mut()) {
            column.rule.class = column.rule.class.max(Some(least));
        }
    }

    fn check_release(&self, request: &Request<'_>, denials: &mut Vec<Denial>) {
        if request.min_cell < self.min_cell {
            denials.push(Denial {
                rule: "min_cell".to_owned(),
                what: format!("the job lets out groups of {}", request.min_cell),
                allowed: format!("groups of {} and more", self.min_cell),
            });
        }
        let (asked, rounded) = (self.round_to.unwrap_or(1), request.rounds_to);
        if let Some(rounded) = rounded.filter(|to| *to < asked) {
            denials.push(Denial {
                rule: "round_to".to_owned(),
                what: match rounded {
                    1 => "the job tells counts that are not rounded, or figures that tell them"
                        .to_owned(),
                    n => format!("the job rounds counts to multiples of {n}"),
                },
                allowed: format!("counts in SQL, rounded to multiples of {asked} or more"),
            });
        }
        if request.opens_counts && !self.open_counts {
            denials.push(Denial {
                rule: "open_counts".to_owned(),
                what: "the job opens the count of every group to the computing parties".to_owned(),
                allowed: "counts compared on shares".to_owned(),
            });
        }
    }

    fn check_questions(&self, questions: &Questions<'_>) -> Option<Denial> {
        let Questions {
            table,
            asker,
            at_most,
        } = *questions;
        // A table that is not in the policy has a denial of its own.
        let rule = &self.tables.get(table)?.lookup;
        let denial = |field: &str, what: String, allowed: String| Denial {
            rule: format!("tables.{table}.lookup{field}"),
            what,
            allowed,
        };
        match rule {
            None => {
                let what = format!("nobody may look keys up in table {table}");
                Some(denial("", what, "no questions".to_owned()))
            }
            Some(rule) if !rule.askers.contains(asker) => {
                let what = format!("{asker} may not look keys up in table {table}");
                Some(denial(".askers", what, listed("askers", &rule.askers)))
            }
            Some(rule) if at_most > rule.per_job.min(rule.per_day) => {
                let what = format!("the job may ask table {table} up to {at_most} questions");
                let most = rule.per_job.min(rule.per_day);
                let allowed = format!("at most {most}; write at_most = {most} in the job");
                Some(denial(".per_job", what, allowed))
            }
            Some(_) => None,
        }
    }

    /// Most questions that an asker may ask of a table in a day; `None` where there is no limit.
    #[must_use]
    pub fn questions_a_day(&self, table: &str) -> Option<u64> {
        if self.rehearsal {
            return None;
        }
        let rule = self.tables.get(table).and_then(|t| t.lookup.as_ref());
        Some(rule.map_or(0, |rule| rule.per_day))
    }

    fn unlisted_table(&self, name: &str) -> Denial {
        Denial {
            rule: format!("tables.{name}"),
            what: format!("table {name} is not in the policy"),
            allowed: listed("tables", self.tables.keys()),
        }
    }

    /// The standing rule that covers a job of this purpose and these receivers, if one has runs left. `runs` tells how often a
    /// rule was used.
    #[must_use]
    pub fn standing_rule(
        &self,
        purpose: &str,
        receivers: &[&str],
        runs: impl Fn(&StandingRule) -> u64,
    ) -> Option<&StandingRule> {
        self.standing
            .iter()
            .find(|rule| rule.covers(purpose, receivers) && runs(rule) < rule.max_runs)
    }

    /// All standing rules.
    #[must_use]
    pub fn standing_rules(&self) -> &[StandingRule] {
        &self.standing
    }
}

impl StandingRule {
    /// What the ledger counts its runs under. A higher `max_runs` goes on counting; another purpose or
    /// receiver is another rule.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = blake3::Hasher::new_derive_key("entente/v1/policy/standing-rule");
        for field in std::iter::once(&self.purpose).chain(&self.receivers) {
            hash.update(&(field.len() as u64).to_le_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().to_hex()[..32].to_owned()
    }

    fn covers(&self, purpose: &str, receivers: &[&str]) -> bool {
        glob::matches(&self.purpose, purpose)
            && receivers.iter().all(|r| self.receivers.contains(*r))
    }
}

fn check_table(name: &str, table: &TablePolicy, request: &Request<'_>, denials: &mut Vec<Denial>) {
    if let Some(purposes) = &table.purposes
        && !purposes.iter().any(|p| glob::matches(p, request.purpose))
    {
        denials.push(Denial {
            rule: format!("tables.{name}.purposes"),
            what: format!(
                "table {name} is not for the purpose \"{}\"",
                request.purpose
            ),
            allowed: listed("purposes", purposes),
        });
    }
    if let Some(receivers) = &table.receivers {
        for receiver in request
            .receivers
            .iter()
            .filter(|r| !receivers.contains(**r))
        {
            denials.push(Denial {
                rule: format!("tables.{name}.receivers"),
                what: format!("results over table {name} may not go to {receiver}"),
                allowed: listed("receivers", receivers),
            });
        }
    }
    // An agent that has read a stricter policy since it published the table still shows what it had published.
    if let Some(visible_to) = &table.visible_to {
        let is_listed = |party: &str| visible_to.iter().any(|name| name.as_str() == party);
        for party in request.others.iter().filter(|party| !is_listed(party)) {
            let names: Vec<String> = visible_to.iter().map(ToString::to_string).collect();
            denials.push(Denial {
                rule: format!("tables.{name}.visible_to"),
                what: format!("{party} may not see table {name}"),
                allowed: listed("parties", &names),
            });
        }
    }
    denials.extend(dominance::objection(name, table, request));
    denials.extend(cohorts::objection(name, table, request));
    let uses = request.uses.iter().filter(|u| u.table == name);
    denials.extend(uses.clone().filter_map(|used| check_use(table, used)));
    denials.extend(uses.filter_map(|used| check_class(table, used, request.min_cell)));
}

/// In the place of a column: the rows of a table of which no column is used.
const ROWS: &str = "*";

/// The tables whose rows a job counts without looking at a column.
fn rows_alone(request: &Request<'_>) -> Vec<ColumnUse> {
    let is_used = |table: &String| request.uses.iter().any(|used| used.table == *table);
    let tables = request.tables.iter().filter(|table| !is_used(table));
    let rows = |table: &String| ColumnUse {
        table: table.clone(),
        column: ROWS.to_owned(),
        usage: Usage::Aggregate(Aggregate::Count),
    };
    tables.map(rows).collect()
}

fn check_class(table: &TablePolicy, used: &ColumnUse, min_cell: u64) -> Option<Denial> {
    let class = table.columns.get(&used.column)?.rule.class?;
    class_denial(used, class, min_cell)
}

fn class_denial(used: &ColumnUse, class: Class, min_cell: u64) -> Option<Denial> {
    let allowed = class::objection(class, used.usage, min_cell)?;
    Some(Denial {
        rule: format!("tables.{}.columns.{}.class", used.table, used.column),
        what: format!(
            "column {}.{} is of class {}",
            used.table,
            used.column,
            class.as_str()
        ),
        allowed: allowed.to_owned(),
    })
}

/// Whether a column's keys may be compared with other holders', with its rule and in words.
fn compares_keys(uses: &Uses, usage: Usage) -> (bool, &'static str, String) {
    let (permitted, field, verb) = match usage {
        Usage::JoinSize => (
            uses.join_key && uses.join_size,
            "join_size",
            "tell receivers of a joint query how many keys are common",
        ),
        Usage::JoinKeys => (
            uses.join_keys,
            "join_keys",
            "tell receivers with a table in a joint query which of their own keys match",
        ),
        _ => (uses.join_key, "join_key", "compare keys with other holders"),
    };
    (permitted, field, verb.to_owned())
}

fn check_use(table: &TablePolicy, used: &ColumnUse) -> Option<Denial> {
    let rule = format!("tables.{}.columns.{}", used.table, used.column);
    let Some(column) = table.columns.get(&used.column) else {
        return Some(Denial {
            rule,
            what: format!("column {}.{} is not in the policy", used.table, used.column),
            allowed: listed("columns", table.columns.keys()),
        });
    };
    let uses = &column.rule.uses;
    let (permitted, field, verb) = match used.usage {
        Usage::Filter => (uses.filter, "filter", "choose rows".to_owned()),
        Usage::GroupBy => (
            uses.group_by,
            "group_by",
            "form groups".to_owned(),
        ),
        Usage::GroupByHidden => (
            uses.group_by
                && matches!(column.rule.categories, CategoryRule::Hidden(_)),
            "categories",
            "form groups whose values, which are not published, are shown where they are large enough"
                .to_owned(),
        ),
        Usage::Compute => (
            column.compute,
            "compute",
            "compute within a query".to_owned(),
        ),
        Usage::Person | Usage::Row => tells_apart(table, used),
        Usage::JoinKey | Usage::JoinSize | Usage::JoinKeys => compares_keys(uses, used.usage),
        Usage::RowLevel => (
            uses.row_level,
            "row_level",
            "tell receivers which of their rows match".to_owned(),
        ),
        Usage::Label => (
            uses.label,
            "label",
            "be explained by a model".to_owned(),
        ),
        Usage::Feature => (
            uses.feature,
            "feature",
            "explain a label in a model".to_owned(),
        ),
        Usage::Published => (
            uses.feature && uses.publish,
            "publish",
            "be shown in bins, with a model that receivers get as a whole".to_owned(),
        ),
        Usage::Aggregate(f) => (
            uses.aggregate.contains(&f),
            "aggregate",
            format!("take {}", f.as_str()),
        ),
    };
    (!permitted).then(|| Denial {
        rule: format!("{rule}.{field}"),
        what: format!(
            "column {}.{} may not be used to {verb}",
            used.table, used.column
        ),
        allowed: permitted_uses(column),
    })
}

/// Whether a column may tell persons or rows apart, the field of the policy that says so, and what it is about.
fn tells_apart(table: &TablePolicy, used: &ColumnUse) -> (bool, &'static str, String) {
    if used.usage == Usage::Row {
        let row = table.cohorts.as_ref().map(|cohorts| &cohorts.row);
        let permitted = row.is_none_or(|row| *row == used.column);
        return (permitted, "row", "tell rows apart".to_owned());
    }
    let permitted = names_or_has_none(table, |name| *name == used.column);
    (permitted, "person", "tell persons apart".to_owned())
}

/// Whether one of a table's rules about persons names them so. Where it has none, telling them apart serves another holder's rule,
/// stays here, and makes a release stricter.
fn names_or_has_none(table: &TablePolicy, is_named: impl Fn(&String) -> bool) -> bool {
    let dp = table.dp.iter().map(|budget| &budget.person);
    let dominance = table.dominance.iter().map(|rule| &rule.contributor);
    let cohorts = table.cohorts.iter().map(|cohorts| &cohorts.person);
    let mut named = dp.chain(dominance).chain(cohorts).peekable();
    named.peek().is_none() || named.any(is_named)
}

fn permitted_uses(column: &ColumnPolicy) -> String {
    let uses = &column.rule.uses;
    let mut words = Vec::new();
    if uses.group_by {
        words.push("group_by".to_owned());
    }
    if matches!(column.rule.categories, CategoryRule::Hidden(_)) {
        words.push("hidden categories".to_owned());
    }
    if uses.filter {
        words.push("filter".to_owned());
    }
    if column.compute {
        words.push("compute".to_owned());
    }
    if uses.join_key {
        words.push("join_key".to_owned());
    }
    if uses.join_size {
        words.push("join_size".to_owned());
    }
    if uses.row_level {
        words.push("row_level".to_owned());
    }
    if uses.label {
        words.push("label".to_owned());
    }
    if uses.feature {
        words.push("feature".to_owned());
    }
    if uses.publish {
        words.push("publish".to_owned());
    }
    words.extend(uses.aggregate.iter().map(|f| f.as_str().to_owned()));
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

fn listed<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() {
        format!("no {what}")
    } else {
        format!("{what} {}", names.join(", "))
    }
}
