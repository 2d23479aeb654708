//! What one holder runs over its own tables, and what it does with their columns.

use serde::Serialize;

use crate::catalogue::Aggregate;

/// What one holder runs over its own tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalPlan {
    /// The query: columns `k0…` (text, NULL for NULL) and `a0…`, one row for each row that is counted. Tables are
    /// named after their holder, as in `hospital_1.encounters`.
    pub sql: String,
    /// The tables that it reads, without the party's name, sorted.
    pub tables: Vec<String>,
    /// Every use of a column, in terms of this holder's tables, sorted and distinct.
    pub uses: Vec<ColumnUse>,
    /// The columns that each aggregate argument depends on at this holder, for errors at the owner.
    pub args: Vec<Vec<TableColumn>>,
    /// Published bound on the number of rows that the query yields; `totals` refuses more.
    pub rows_at_most: u64,
}

/// A column of one of this holder's tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableColumn {
    /// The table, without the party's name.
    pub table: String,
    /// The column, exactly as the catalogue spells it.
    pub column: String,
}

/// One use of a column, for the policy check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnUse {
    /// The table, without the party's name.
    pub table: String,
    /// The column, exactly as the catalogue spells it.
    pub column: String,
    /// What is done with it.
    pub usage: Usage,
}

impl Usage {
    /// Whether totals over a column's values are released.
    #[must_use]
    pub fn adds_up(self) -> bool {
        matches!(
            self,
            Self::Aggregate(Aggregate::Sum | Aggregate::Avg | Aggregate::Var | Aggregate::Corr)
        )
    }
}

/// What a job does with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// It decides which rows count: WHERE, the condition of a CASE or FILTER, a join or a sort inside one
    /// holder's own query.
    Filter,
    /// Groups are formed by it or by a function of it.
    GroupBy,
    /// Groups are formed by values of it that are not published; those of released groups are shown.
    GroupByHidden,
    /// It, or a value computed from it, is the argument of an aggregate.
    Aggregate(Aggregate),
    /// It feeds a computation inside this holder's own query (a window or a nested GROUP BY).
    Compute,
    /// It tells persons apart, so that what one contributes can be bounded.
    Person,
    /// It tells rows apart, so that its holder knows who is counted.
    Row,
    /// It is compared with keys of other holders.
    JoinKey,
    /// It is compared with keys of other holders, and receivers learn how many keys all tables of the join have.
    JoinSize,
    /// Receivers that hold another table of the join learn which of their own keys it has, by this column or with rows that
    /// it chooses.
    JoinKeys,
    /// Receivers elsewhere learn which of their rows match it: row-level output.
    RowLevel,
    /// A model explains it, or values computed from it.
    Label,
    /// A model explains a label by it, or by values computed from it.
    Feature,
    /// Receivers learn where its bins begin and end, as those of a model that they get as a whole.
    Published,
}
