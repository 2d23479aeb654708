//! A job file as written, and the checked form of it with all faults reported at once.

pub(crate) mod names;
pub(crate) mod near;
mod intersect;
mod lookup;
mod train;
mod vertical;
mod score;
mod dp;
mod settlement;
mod read;

use std::collections::BTreeMap;
use std::fmt;

use coordinator::contract::{Digest, canonical};
use protocols::party::PartyId;
use protocols::psi::keys::Normalise;
use serde::{Serialize, Serializer};

use crate::config::fields::Faults;

pub use dp::DpClause;
pub use intersect::{HOLDERS, Intersect, KeyJoin, KeyOf, ProtocolChoice, Reveal, rule_word};
pub use lookup::{Combine, Lookup, MAX_QUESTIONS};
pub use score::{Forest, Reasons, Reference, Score};
pub(crate) use settlement::WHOLE_PPM;
pub use settlement::{Basis, Part, Settlement, Stage};
pub(crate) use train::of_train;
pub use train::{
    Closed, Conventions, Criterion, Direction, Feature, Inflation, MAX_TERMS, Merge, Missing, Mlp,
    Model, Offset, Report, Sample, Scorecard, Screen, Stepwise, Train, Trees, Woe, ZeroCells,
};
pub use vertical::{
    Bins, Card, Cutting, Descent, Hazards, Listed, Special, Ties, Vertical, VerticalModel,
    VerticalSample,
};

/// Longest job file that is read, in bytes.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// Longest wall-clock limit that a job can name.
pub const MAX_WALL_S: u64 = 7 * 24 * 3600;

/// A job file in which every field is known and has an allowed value. Whether its query can be planned is
/// another question, which needs the catalogues: [`crate::plan::compile`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedSpec {
    /// The job's name.
    pub job: String,
    /// Why the parties may compute this, in words that approvers read.
    pub purpose: String,
    /// Who gets the result, sorted by name.
    #[serde(with = "names::list")]
    pub receivers: Vec<PartyId>,
    /// What is computed.
    pub compute: Compute,
    /// Groups that count fewer rows are not released.
    pub min_cell: Option<u64>,
    /// Counts are rounded to multiples of this before anything is opened; exact ones where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_to: Option<u64>,
    /// Where correlated randomness comes from. There is no default.
    pub correlations: Option<Correlations>,
    /// What a join between holders may tell.
    pub join: Option<JoinLevel>,
    /// What is promised of differential privacy; nothing where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dp: Option<DpClause>,
    /// What a run costs; nothing where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
    /// Wall-clock limit of the run, in seconds.
    pub max_wall_s: Option<u64>,
}

impl CheckedSpec {
    /// A digest over every field, the query's text included, its place in the file not.
    ///
    /// # Panics
    /// Never: every number of a job is an integer below 2^53 and every key is ASCII.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes = canonical::encode(self);
        Digest::of(&bytes.expect("a job holds small integers, text and ASCII keys"))
    }
}

/// What a job computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// A query over the holders' tables.
    Sql(SqlCompute),
    /// What the holders' keys have in common.
    Intersect(Intersect),
    /// What stands under a party's keys in tables of others.
    Lookup(Lookup),
    /// A model of the holders' rows.
    Train(Box<Train>),
    /// A model of the people that holders have in common.
    Vertical(Box<Vertical>),
    /// Points of rows by the parts of a model.
    Score(Score),
}

/// A query over the holders' tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SqlCompute {
    /// The query, as written.
    pub text: String,
    /// Line of the job file on which the query begins. Only for error messages, so not part of any digest.
    #[serde(skip)]
    pub line: usize,
    /// Declared groups, by the name of an output or of a column: text, NULL not included.
    #[serde(serialize_with = "as_pairs")]
    pub domains: BTreeMap<String, Vec<String>>,
    /// No holder's part has more rows. Sorting and matching take as many as there can be.
    pub max_rows: Option<u64>,
    /// No holder has more groups, where the groups are not public.
    pub max_groups: Option<u64>,
    /// In how many rows a key of a table stands at most, by the table's name in the query: 1 for those not listed. What
    /// holders compare, or compute together, row by row, takes it.
    #[serde(
        serialize_with = "as_pairs",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub max_rows_per_key: BTreeMap<String, u64>,
    /// How the spelling of keys is evened out where tables of several holders are joined.
    #[serde(serialize_with = "intersect::rule_name")]
    pub normalise: Normalise,
}

/// A map as a list of pairs: names of columns are no ASCII keys.
fn as_pairs<S: Serializer, V: Serialize>(
    named: &BTreeMap<String, V>,
    out: S,
) -> Result<S::Ok, S::Error> {
    out.collect_seq(named)
}

/// Where correlated randomness comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlations {
    /// The computing parties make it themselves by oblivious transfer.
    Ot,
    /// The same for a link that the job declares to be slow: less is sent, under one more assumption.
    FerretOt,
    /// This party deals it. It must not collude with any computing party.
    Dealer(PartyId),
}

impl fmt::Display for Correlations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ot => f.write_str("ot"),
            Self::FerretOt => f.write_str("ot over a slow link"),
            Self::Dealer(party) => write!(f, "dealer:{}", party.as_str()),
        }
    }
}

impl Serialize for Correlations {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// What a join between holders may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinLevel {
    /// Nobody learns who matched, or how many.
    Hidden,
    /// The number of matches is learnt.
    Size,
    /// Receivers learn the matched keys.
    Keys,
}

/// One fault of a file that a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub struct Fault {
    /// Line of the file, from 1.
    pub line: usize,
    /// The field, as a dotted path; empty for the whole file.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What is allowed there.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

/// Reads a job file.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn check(text: &str) -> Result<CheckedSpec, Vec<Fault>> {
    let mut faults = Faults::new(text);
    let spec = read::spec(text, &mut faults);
    faults.into_result(spec)
}

#[cfg(test)]
mod tests;
