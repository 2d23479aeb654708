//! A negative list: what nobody may do with data, and whose keys count no longer, signed by whoever keeps the list for all.

use std::path::PathBuf;

use coordinator::contract::{PartyName, Statement, StatementError};
use coordinator::tls::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{Denial, Request, glob};
use crate::catalogue::Class;
use crate::plan::ColumnUse;

/// Where a holder's configuration says that the list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegativeListFile {
    /// The signed list.
    pub file: PathBuf,
    /// Who signs it: a party that is pinned here.
    pub issuer: PartyName,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeList {
    /// Who keeps it.
    pub issuer: PartyName,
    /// Grows with every change. Agents refuse a lower one than they have seen.
    pub version: u64,
    /// What is forbidden.
    pub rules: Vec<NegativeRule>,
    /// Keys that count no longer, whoever has pinned them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Fingerprint>,
}

/// One thing that is forbidden: a use to which all that is written here applies. Texts are patterns with `*` and `?`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeRule {
    /// Its name, for denials.
    pub id: String,
    /// Columns by name.
    pub columns: String,
    /// Tables by name; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// This class and those above; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Purposes of jobs; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purposes: Option<String>,
    /// Receivers; whoever receives without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<String>,
    /// Why.
    pub reason: String,
}

impl Statement for NegativeList {
    const CONTEXT: &'static str = "entente/v1/policy/negative-list";
    const MAX_BYTES: usize = 1 << 20;

    fn check(&self) -> Result<(), StatementError> {
        let is_named = |rule: &NegativeRule| {
            !rule.id.is_empty() && rule.id.len() <= 64 && !rule.columns.is_empty()
        };
        if self.version == 0 || self.version > coordinator::contract::canonical::MAX_INTEGER {
            return Err(StatementError(
                "the version of a negative list is a whole number from 1",
            ));
        }
        if !self.rules.iter().all(is_named) {
            return Err(StatementError(
                "every rule of a negative list has an id of 1 to 64 bytes and columns",
            ));
        }
        Ok(())
    }
}

impl NegativeList {
    /// What the list has against a job that uses these columns of these classes.
    pub(super) fn denials<'u>(
        &self,
        request: &Request<'_>,
        uses: impl Iterator<Item = (&'u ColumnUse, Option<Class>)>,
    ) -> Vec<Denial> {
        let mut denials = Vec::new();
        for (used, class) in uses {
            let applies = |rule: &&NegativeRule| rule.applies(used, class, request);
            denials.extend(self.rules.iter().filter(applies).map(|rule| Denial {
                rule: format!(
                    "negative list {} of {}: {}",
                    self.version, self.issuer, rule.id
                ),
                what: format!(
                    "column {}.{} is on the negative list",
                    used.table, used.column
                ),
                allowed: format!("nothing: {}", rule.reason),
            }));
        }
        denials.dedup();
        denials
    }
}

impl NegativeRule {
    fn applies(&self, used: &ColumnUse, class: Option<Class>, request: &Request<'_>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| {
            pattern.as_ref().is_none_or(|p| glob::matches(p, text))
        };
        glob::matches(&self.columns, &used.column)
            && fits(&self.tables, &used.table)
            // A column of no class may be of any.
            && self.class.is_none_or(|least| class.is_none_or(|class| class >= least))
            && fits(&self.purposes, request.purpose)
            && (self.receivers.is_none()
                || request.receivers.iter().any(|r| fits(&self.receivers, r)))
    }
}
