//! What a holder needs to keep account of who was counted in released figures.

use serde::{Deserialize, Serialize};

/// Columns of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohorts {
    /// Tells persons apart.
    pub person: String,
    /// Tells rows apart: no two rows have the same value. Where a person has one row, the same column.
    pub row: String,
}
