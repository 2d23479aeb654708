//! A job file as written, and the checked form of it with all faults reported at once.

pub(crate) mod names;
pub(crate) mod near;
mod read;

use std::collections::BTreeMap;
use std::fmt;

use protocols::party::PartyId;
use serde::{Serialize, Serializer};

use read::Reader;

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
    /// Where correlated randomness comes from. There is no default.
    pub correlations: Option<Correlations>,
    /// What a join between holders may tell.
    pub join: Option<JoinLevel>,
    /// Wall-clock limit of the run, in seconds.
    pub max_wall_s: Option<u64>,
}

/// What a job computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// A query over the holders' tables.
    Sql(SqlCompute),
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
    pub domains: BTreeMap<String, Vec<String>>,
}

/// Where correlated randomness comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlations {
    /// The computing parties make it themselves by oblivious transfer.
    Ot,
    /// This party deals it. It must not collude with any computing party.
    Dealer(PartyId),
}

impl fmt::Display for Correlations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ot => f.write_str("ot"),
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

/// One fault of a job file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[error("line {line}, {field}: {what}; allowed: {allowed}")]
pub struct Fault {
    /// Line of the job file, from 1.
    pub line: usize,
    /// The field, as a dotted path.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What is allowed there.
    pub allowed: String,
}

/// Reads a job file.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn check(text: &str) -> Result<CheckedSpec, Vec<Fault>> {
    let mut reader = Reader::new(text)?;
    let spec = reader.spec();
    reader.finish(spec)
}

#[cfg(test)]
mod tests;
