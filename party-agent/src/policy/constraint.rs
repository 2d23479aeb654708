//! Rules of use in the vocabulary of TC609-6-2025-14 and -15, and their evaluation.
//!
//! The vocabulary is closed: a constraint, an operator or an action that is not here, and an operator that a constraint
//! does not take, are faults of the policy file, and a policy with a fault allows nothing. What cannot be observed
//! when a job is looked at is a denial. Rules only ever narrow what the columns of a table allow.

use std::collections::BTreeSet;
use std::fmt;

use chrono::DateTime;

use super::glob;
use super::region::{UNKNOWN, is_region, lies_in};

/// What a job does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Statistics, joins and intersections.
    Compute,
    /// Training of a model.
    JointDevelop,
    /// Answers to keys that somebody asks for.
    Access,
    /// Something about single rows goes to a receiver, besides one of the above.
    Distribute,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Compute,
        Self::JointDevelop,
        Self::Access,
        Self::Distribute,
    ];

    /// The word in TC609-6-2025-14.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::JointDevelop => "jointDevelop",
            Self::Access => "access",
            Self::Distribute => "distribute",
        }
    }
}

/// How an observed value is compared with the one in the policy: the twelve operators of TC609-6-2025-14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// Equal; of sets, the same members.
    Eq,
    /// Not equal.
    Neq,
    /// Less.
    Lt,
    /// Less or equal.
    Lteq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gteq,
    /// The observed set has this member.
    HasPart,
    /// The observed text matches this pattern.
    IsA,
    /// The observed set has all of these members.
    IsAllOf,
    /// What is observed is one of these; of sets, every member.
    IsAnyOf,
    /// Nothing that is observed is one of these.
    IsNoneOf,
    /// What is observed lies within: every member of a set, or a time between two.
    IsPartOf,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Eq,
        Self::Gt,
        Self::Gteq,
        Self::HasPart,
        Self::IsA,
        Self::IsAllOf,
        Self::IsAnyOf,
        Self::IsNoneOf,
        Self::IsPartOf,
        Self::Lt,
        Self::Lteq,
        Self::Neq,
    ];

    /// The word in TC609-6-2025-14.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Gt => "gt",
            Self::Gteq => "gteq",
            Self::HasPart => "hasPart",
            Self::IsA => "isA",
            Self::IsAllOf => "isAllOf",
            Self::IsAnyOf => "isAnyOf",
            Self::IsNoneOf => "isNoneOf",
            Self::IsPartOf => "isPartOf",
            Self::Lt => "lt",
            Self::Lteq => "lteq",
            Self::Neq => "neq",
        }
    }
}

/// What can be constrained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The clock, at approval and again at the run.
    Time,
    /// The same between two times, the first included.
    TimeWindow,
    /// Runs under this rule, the one in question included.
    Count,
    /// Seconds since the last run under this rule.
    Frequency,
    /// The published bound on the rows that the job reads here.
    DataSize,
    /// The columns of the table that the job uses.
    DataField,
    /// The procedure, by the digest of its manifest.
    Algorithm,
    /// How it is computed: `03`, on shares; `04`, sums over each holder's rows are opened.
    ExecutionEnv,
    /// The job's purpose.
    Purpose,
    /// The smallest group that the job lets out; 0 where it has no minimum.
    MinCell,
    /// What comes out: `aggregate`, `model` or `row_level`.
    OutputClass,
    /// The receivers of the result.
    Recipients,
    /// Where the other parties are, by what this holder has written down.
    Region,
}

/// The kind of a value that is observed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    Window,
    Limit,
    Interval,
    Number,
    Text,
    Set,
    Places,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Time,
        Self::TimeWindow,
        Self::Count,
        Self::Frequency,
        Self::DataSize,
        Self::DataField,
        Self::Algorithm,
        Self::ExecutionEnv,
        Self::Purpose,
        Self::MinCell,
        Self::OutputClass,
        Self::Recipients,
        Self::Region,
    ];

    /// The word in TC609-6-2025-14, or of our extension to it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::TimeWindow => "timeWindow",
            Self::Count => "count",
            Self::Frequency => "frequency",
            Self::DataSize => "dataSize",
            Self::DataField => "dataField",
            Self::Algorithm => "algorithm",
            Self::ExecutionEnv => "executionEnv",
            Self::Purpose => "x-tds:purpose",
            Self::MinCell => "x-tds:minCell",
            Self::OutputClass => "x-tds:outputClass",
            Self::Recipients => "x-tds:recipients",
            Self::Region => "region",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Time => Kind::Time,
            Self::TimeWindow => Kind::Window,
            Self::Count => Kind::Limit,
            Self::Frequency => Kind::Interval,
            Self::DataSize | Self::MinCell => Kind::Number,
            Self::Algorithm | Self::ExecutionEnv | Self::Purpose | Self::OutputClass => Kind::Text,
            Self::DataField | Self::Recipients => Kind::Set,
            Self::Region => Kind::Places,
        }
    }

    /// The operators that it takes. A count is a limit and a frequency an interval: nothing else can be kept when several
    /// runs start at once.
    #[must_use]
    pub fn operators(self) -> &'static [Operator] {
        use Operator::{
            Eq, Gt, Gteq, HasPart, IsA, IsAllOf, IsAnyOf, IsNoneOf, IsPartOf, Lt, Lteq, Neq,
        };
        match self.kind() {
            Kind::Time => &[Lt, Lteq, Gt, Gteq],
            Kind::Window => &[IsPartOf],
            Kind::Limit => &[Lt, Lteq],
            Kind::Interval => &[Gt, Gteq],
            Kind::Number => &[Eq, Neq, Lt, Lteq, Gt, Gteq],
            Kind::Text => &[Eq, Neq, IsA, IsAnyOf, IsNoneOf],
            Kind::Set => &[Eq, Neq, HasPart, IsAllOf, IsAnyOf, IsNoneOf, IsPartOf],
            Kind::Places => &[IsAnyOf, IsNoneOf, IsPartOf],
        }
    }
}

/// A value in a policy, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// A value in a policy, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Number(u64),
    Window(u64, u64),
    Text(String),
    Set(BTreeSet<String>),
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    subject: Subject,
    operator: Operator,
    bound: Bound,
}

/// Why a constraint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintFault {
    /// The name is in nobody's vocabulary, or names what no agent can observe.
    #[error("\"{0}\" is not a constraint that this agent can keep")]
    Name(String),
    /// There is no such operator.
    #[error("\"{0}\" is not an operator")]
    Operator(String),
    /// The constraint does not take it.
    #[error("{} does not take the operator {}", .0.as_str(), .1.as_str())]
    Unfit(Subject, Operator),
    /// The value is not one for this constraint and operator.
    #[error("this is not a value for {} {}", .0.as_str(), .1.as_str())]
    Value(Subject, Operator),
}

/// What a rule allows, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name. Runs are counted under it.
    pub name: String,
    /// What it allows.
    pub actions: BTreeSet<Action>,
    /// All of these have to hold.
    pub constraints: Vec<Constraint>,
}

/// What is observed about a job, at one table.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Unix seconds.
    pub now: u64,
    /// Runs under the rule so far.
    pub runs: u64,
    /// When the last of them was, Unix seconds.
    pub last_run: Option<u64>,
    /// Bound on the rows that are read.
    pub rows_at_most: u64,
    /// The columns that are used.
    pub columns: BTreeSet<&'a str>,
    /// Digest of the procedure's manifest.
    pub algorithm: &'a str,
    /// `03` or `04`.
    pub execution_env: &'a str,
    /// The job's purpose.
    pub purpose: &'a str,
    /// The smallest group that is let out.
    pub min_cell: u64,
    /// `aggregate`, `model` or `row_level`.
    pub output_class: &'a str,
    /// The receivers.
    pub receivers: BTreeSet<&'a str>,
    /// Where the other parties are; an empty text for one of which that is not known.
    pub regions: BTreeSet<&'a str>,
}

/// What is seen, in the kind of its subject.
enum Seen<'a> {
    Number(u64),
    Text(&'a str),
    Set(&'a BTreeSet<&'a str>),
    Places(&'a BTreeSet<&'a str>),
}

impl Constraint {
    /// Understands a constraint of a policy.
    ///
    /// # Errors
    /// [`ConstraintFault`] for whatever is not in the vocabulary.
    pub fn new(name: &str, operator: &str, value: &Written) -> Result<Self, ConstraintFault> {
        let subject = Subject::ALL.into_iter().find(|s| s.as_str() == name);
        let subject = subject.ok_or_else(|| ConstraintFault::Name(name.to_owned()))?;
        let found = Operator::ALL.into_iter().find(|o| o.as_str() == operator);
        let operator = found.ok_or_else(|| ConstraintFault::Operator(operator.to_owned()))?;
        if !subject.operators().contains(&operator) {
            return Err(ConstraintFault::Unfit(subject, operator));
        }
        let bound = bound(subject.kind(), operator, value);
        Ok(Self {
            subject,
            operator,
            bound: bound.ok_or(ConstraintFault::Value(subject, operator))?,
        })
    }

    /// The word for what it constrains.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.subject.as_str()
    }

    /// Whether a job keeps it.
    #[must_use]
    pub fn holds(&self, seen: &Observed<'_>) -> bool {
        let Some(value) = seen.value(self.subject) else {
            // Nothing has run under the rule, so no interval is too short.
            return self.subject == Subject::Frequency && seen.runs == 0;
        };
        match (value, &self.bound) {
            (Seen::Number(n), Bound::Number(bound)) => compare(self.operator, n, *bound),
            (Seen::Number(n), Bound::Window(from, until)) => (*from..*until).contains(&n),
            (Seen::Text(text), Bound::Text(bound)) => match self.operator {
                Operator::Eq => text == bound,
                Operator::Neq => text != bound,
                Operator::IsA => glob::matches(bound, text),
                _ => false,
            },
            (Seen::Text(text), Bound::Set(bound)) => match self.operator {
                Operator::IsAnyOf => bound.contains(text),
                Operator::IsNoneOf => !bound.contains(text),
                _ => false,
            },
            (Seen::Set(set), Bound::Text(bound)) => {
                self.operator == Operator::HasPart && set.contains(bound.as_str())
            }
            (Seen::Set(set), Bound::Set(bound)) => compare_sets(self.operator, set, bound),
            (Seen::Places(places), Bound::Set(bound)) => {
                compare_places(self.operator, places, bound)
            }
            _ => false,
        }
    }

    /// What the job shows where the constraint looks, in words.
    #[must_use]
    pub fn observed(&self, seen: &Observed<'_>) -> String {
        match seen.value(self.subject) {
            None => "unknown".to_owned(),
            Some(Seen::Number(n)) => n.to_string(),
            Some(Seen::Text(text)) => format!("\"{text}\""),
            Some(Seen::Set(set)) => listed(set.iter()),
            Some(Seen::Places(places)) => listed(places.iter().map(|place| match *place {
                UNKNOWN => "unknown",
                place => place,
            })),
        }
    }

    /// Most runs under the rule, if it says how many.
    #[must_use]
    pub fn runs_at_most(&self) -> Option<u64> {
        match (self.subject, self.operator, &self.bound) {
            (Subject::Count, Operator::Lteq, Bound::Number(n)) => Some(*n),
            (Subject::Count, Operator::Lt, Bound::Number(n)) => Some(n.saturating_sub(1)),
            _ => None,
        }
    }

    /// Least time between two runs under the rule, if it says so.
    #[must_use]
    pub fn interval_s(&self) -> Option<u64> {
        match (self.subject, self.operator, &self.bound) {
            (Subject::Frequency, Operator::Gteq, Bound::Number(n)) => Some(*n),
            (Subject::Frequency, Operator::Gt, Bound::Number(n)) => Some(n.saturating_add(1)),
            _ => None,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.name(), self.operator.as_str())?;
        match &self.bound {
            Bound::Number(n) => write!(f, "{n}"),
            Bound::Window(from, until) => write!(f, "{from} to {until}"),
            Bound::Text(text) => write!(f, "\"{text}\""),
            Bound::Set(set) => f.write_str(&listed(set.iter())),
        }
    }
}

impl Observed<'_> {
    fn value(&self, subject: Subject) -> Option<Seen<'_>> {
        Some(match subject {
            Subject::Time | Subject::TimeWindow => Seen::Number(self.now),
            Subject::Count => Seen::Number(self.runs.saturating_add(1)),
            // A clock that was set back shows no time between two runs.
            Subject::Frequency => Seen::Number(self.now.saturating_sub(self.last_run?)),
            Subject::DataSize => Seen::Number(self.rows_at_most),
            Subject::DataField => Seen::Set(&self.columns),
            Subject::Algorithm => Seen::Text(self.algorithm),
            Subject::ExecutionEnv => Seen::Text(self.execution_env),
            Subject::Purpose => Seen::Text(self.purpose),
            Subject::MinCell => Seen::Number(self.min_cell),
            Subject::OutputClass => Seen::Text(self.output_class),
            Subject::Recipients => Seen::Set(&self.receivers),
            Subject::Region => Seen::Places(&self.regions),
        })
    }
}

fn bound(kind: Kind, operator: Operator, value: &Written) -> Option<Bound> {
    match (kind, value) {
        (Kind::Time, Written::Text(text)) => time(text).map(Bound::Number),
        (Kind::Window, Written::List(list)) => {
            let [from, until] = &list[..] else {
                return None;
            };
            let (from, until) = (time(from)?, time(until)?);
            (from < until).then_some(Bound::Window(from, until))
        }
        (Kind::Limit | Kind::Interval | Kind::Number, Written::Number(n)) => {
            Some(Bound::Number(*n))
        }
        (Kind::Text, Written::Text(text))
            if matches!(operator, Operator::Eq | Operator::Neq | Operator::IsA) =>
        {
            Some(Bound::Text(text.clone()))
        }
        (Kind::Text, Written::List(list))
            if matches!(operator, Operator::IsAnyOf | Operator::IsNoneOf) =>
        {
            Some(Bound::Set(list.iter().cloned().collect()))
        }
        (Kind::Set, Written::Text(text)) if operator == Operator::HasPart => {
            Some(Bound::Text(text.clone()))
        }
        (Kind::Set, Written::List(list)) if operator != Operator::HasPart => {
            Some(Bound::Set(list.iter().cloned().collect()))
        }
        (Kind::Places, Written::List(list)) if list.iter().all(|place| is_region(place)) => {
            Some(Bound::Set(list.iter().cloned().collect()))
        }
        _ => None,
    }
}

/// A time as RFC 3339 writes it, in Unix seconds.
fn time(text: &str) -> Option<u64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    u64::try_from(time.timestamp()).ok()
}

fn compare(operator: Operator, n: u64, bound: u64) -> bool {
    match operator {
        Operator::Eq => n == bound,
        Operator::Neq => n != bound,
        Operator::Lt => n < bound,
        Operator::Lteq => n <= bound,
        Operator::Gt => n > bound,
        Operator::Gteq => n >= bound,
        _ => false,
    }
}

fn compare_sets(operator: Operator, set: &BTreeSet<&str>, bound: &BTreeSet<String>) -> bool {
    let within = set.iter().all(|member| bound.contains(*member));
    let around = bound.iter().all(|member| set.contains(member.as_str()));
    match operator {
        Operator::Eq => within && around,
        Operator::Neq => !(within && around),
        Operator::IsAllOf => around,
        Operator::IsAnyOf | Operator::IsPartOf => within,
        Operator::IsNoneOf => !set.iter().any(|member| bound.contains(*member)),
        _ => false,
    }
}

/// Of a place that is not known nothing holds. One that is listed stands for all that lie in it; one that is excluded may be where a party
/// is of which only the larger place is known.
fn compare_places(operator: Operator, places: &BTreeSet<&str>, bound: &BTreeSet<String>) -> bool {
    let within = |place: &&str| bound.iter().any(|whole| lies_in(place, whole));
    let apart = |place: &&str| {
        let mut excluded = bound.iter();
        !excluded.any(|other| lies_in(place, other) || lies_in(other, place))
    };
    !places.contains(UNKNOWN)
        && match operator {
            Operator::IsAnyOf | Operator::IsPartOf => places.iter().all(within),
            Operator::IsNoneOf => places.iter().all(apart),
            _ => false,
        }
}

fn listed<T: fmt::Display>(members: impl Iterator<Item = T>) -> String {
    let members: Vec<String> = members.map(|m| m.to_string()).collect();
    format!("[{}]", members.join(", "))
}
