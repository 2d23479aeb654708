//! What a holder publishes about its tables: schema, types, categories, bounds; never rows.
//!
//! The document is signed by its holder and read by every other party, so reading it is as strict as
//! reading a message from a stranger: unknown fields, sizes beyond the limits below and any bytes other
//! than the ones this program would have written are refused.

mod check;
mod class;
mod cohorts;
mod commitment;
mod dcat;
mod describe;
mod directed;
mod dominance;
mod find;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use coordinator::contract::{Digest, PartyName};
use protocols::party::PartyId;
use serde::{Deserialize, Serialize};

pub use check::CatalogueError;
pub use class::Class;
pub use cohorts::Cohorts;
pub use commitment::Commitment;
pub use dcat::dcat;
pub use describe::{CategoryRule, ColumnRule, Publish, describe};
pub(crate) use dominance::MAX_TOP;
pub use dominance::{Dominance, TopShare};

/// Longest catalogue document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Most tables in one catalogue.
pub const MAX_TABLES: usize = 256;
/// Most columns in one table.
pub const MAX_COLUMNS: usize = 2048;
/// Longest name of a table or column, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;
/// Most published categories of one column.
pub const MAX_CATEGORIES: usize = 65_536;
/// Longest published category, in bytes of UTF-8.
pub const MAX_CATEGORY_BYTES: usize = 1024;
/// Longest value of a hidden category, in bytes of UTF-8.
pub const MAX_HIDDEN_BYTES: u64 = 240;
/// Columns with more distinct values than this get no published categories in a rehearsal.
pub const REHEARSAL_CATEGORIES: usize = 4096;
/// Smallest published bound on a table's rows, so that small tables do not tell their size.
pub const MIN_ROWS_AT_MOST: u64 = 1024;

/// Everything one holder publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Smallest group that this holder lets out.
    pub min_cell: u64,
    /// Whether this holder lets group counts be opened to the computing parties.
    pub open_counts: bool,
    /// To multiples of what this holder has counts rounded, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_to: Option<u64>,
    /// Whose catalogue this is.
    #[serde(with = "party_name")]
    pub party: PartyId,
    /// True where no policy was written and a rehearsal allows what the job asks for.
    pub rehearsal: bool,
    /// The published tables by name.
    pub tables: BTreeMap<String, TableEntry>,
}

/// One published table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// What tells persons and rows apart, where its holder keeps account of who was counted in released figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohorts: Option<Cohorts>,
    /// The published columns, in the table's own order.
    pub columns: Vec<ColumnEntry>,
    /// Commits its holder to the content, where that stands in files ([`Commitment`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Digest>,
    /// Whose rows are left out, in words, where persons have to consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// What sums over the table have to satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dominance: Option<Dominance>,
    /// What the holder wants to say about the table.
    pub note: Option<String>,
    /// The row count rounded up to a power of two, at least [`MIN_ROWS_AT_MOST`].
    pub rows_at_most: u64,
    /// The only parties that see it besides its holder, if not all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_to: Option<BTreeSet<PartyName>>,
}

/// One published column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEntry {
    /// Published categories as text, sorted and distinct; `None` stands for NULL.
    pub categories: Option<Vec<Option<String>>>,
    /// How much protection its values need, if the holder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Where its values may form groups without being published, and those of large enough groups are shown: the
    /// bytes of its longest value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<u64>,
    /// The type of its values.
    pub kind: ColumnKind,
    /// Its name, exactly as the source spells it.
    pub name: String,
    /// Whether NULL occurs.
    pub nullable: bool,
    /// Declared bounds, inclusive, as decimal strings such as `-12.50`.
    pub range: Option<(String, String)>,
    /// The unit of its values, if the holder says.
    pub unit: Option<String>,
    /// What the holder's policy lets others do with it.
    pub uses: Uses,
}

/// The types that the parties agree on. A source turns its own types into these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    /// True or false.
    Bool,
    /// A whole number of 8, 16, 32 or 64 bits.
    #[serde(rename_all = "snake_case")]
    Int {
        /// Width in bits.
        bits: u8,
        /// Whether it can be negative.
        signed: bool,
    },
    /// A decimal number of at most 38 digits.
    #[serde(rename_all = "snake_case")]
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: i8,
    },
    /// A 64-bit binary floating-point number.
    Float,
    /// Text in UTF-8.
    Text,
    /// A calendar day.
    Date,
    /// A date and time to the microsecond, without a time zone (UTC where the source has one).
    Timestamp,
    /// Nothing but NULL, in a source whose types come from its values (CSV). It takes the type that the other
    /// holders' column has, and counts as text where none of them has one.
    Empty,
    /// A type that cannot be used in a job, by its name at the source.
    Other(String),
}

/// What a holder's policy lets others do with a column. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uses {
    /// The functions that may aggregate it.
    pub aggregate: BTreeSet<Aggregate>,
    /// Whether rows may be filtered by it.
    pub filter: bool,
    /// Whether groups may be formed by it.
    pub group_by: bool,
    /// Whether it may be compared with keys of other holders: receivers learn how many are common.
    pub join_key: bool,
    /// Whether receivers of a query that joins tables of several holders on it may learn how many keys are common.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub join_size: bool,
    /// Whether receivers that hold a table in such a query may learn which of their own keys match, by this column or with rows
    /// that it chooses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub join_keys: bool,
    /// Whether receivers elsewhere may learn which of their rows match it: row-level output.
    pub row_level: bool,
    /// Whether a model may explain it.
    pub label: bool,
    /// Whether a model may explain a label by it.
    pub feature: bool,
    /// Whether receivers may learn where its bins begin and end, of a model that they get as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publish: bool,
}

/// A function over a column's values that a policy can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// COUNT: how many values are not NULL.
    Count,
    /// SUM.
    Sum,
    /// AVG, which tells the sum as well to someone who knows the count.
    Avg,
    /// VAR_* and STDDEV_*.
    Var,
    /// CORR, COVAR_*, REGR_* and SPEARMAN with another column for which it is allowed as well.
    Corr,
    /// MIN: the value of a single row.
    Min,
    /// MAX: the value of a single row.
    Max,
    /// MEDIAN.
    Median,
    /// PERCENTILE_CONT and PERCENTILE_DISC.
    Quantile,
    /// COUNT(DISTINCT …).
    CountDistinct,
}

impl Uses {
    /// Every use: what a rehearsal without a policy allows.
    #[must_use]
    pub fn all() -> Self {
        Self {
            aggregate: BTreeSet::from(Aggregate::ALL),
            filter: true,
            group_by: true,
            join_key: true,
            join_size: true,
            join_keys: true,
            row_level: true,
            label: true,
            feature: true,
            publish: true,
        }
    }
}

impl Aggregate {
    /// All that there are.
    pub const ALL: [Self; 10] = [
        Self::Count,
        Self::Sum,
        Self::Avg,
        Self::Var,
        Self::Corr,
        Self::Min,
        Self::Max,
        Self::Median,
        Self::Quantile,
        Self::CountDistinct,
    ];

    /// The word that policies and catalogues use for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Var => "var",
            Self::Corr => "corr",
            Self::Min => "min",
            Self::Max => "max",
            Self::Median => "median",
            Self::Quantile => "quantile",
            Self::CountDistinct => "count_distinct",
        }
    }
}

impl ColumnKind {
    /// The Arrow type that carries this kind, here and in every source; `None` for [`ColumnKind::Other`].
    #[must_use]
    pub fn arrow(&self) -> Option<DataType> {
        Some(match self {
            Self::Bool => DataType::Boolean,
            Self::Int {
                bits: 8,
                signed: true,
            } => DataType::Int8,
            Self::Int {
                bits: 16,
                signed: true,
            } => DataType::Int16,
            Self::Int {
                bits: 32,
                signed: true,
            } => DataType::Int32,
            Self::Int { signed: true, .. } => DataType::Int64,
            Self::Int {
                bits: 8,
                signed: false,
            } => DataType::UInt8,
            Self::Int {
                bits: 16,
                signed: false,
            } => DataType::UInt16,
            Self::Int {
                bits: 32,
                signed: false,
            } => DataType::UInt32,
            Self::Int { signed: false, .. } => DataType::UInt64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8View,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Empty => DataType::Null,
            Self::Other(_) => return None,
        })
    }

    /// The kind that a source's Arrow type becomes.
    #[must_use]
    pub fn of(arrow: &DataType) -> Self {
        match arrow {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::Int {
                bits: 8,
                signed: true,
            },
            DataType::Int16 => Self::Int {
                bits: 16,
                signed: true,
            },
            DataType::Int32 => Self::Int {
                bits: 32,
                signed: true,
            },
            DataType::Int64 => Self::Int {
                bits: 64,
                signed: true,
            },
            DataType::UInt8 => Self::Int {
                bits: 8,
                signed: false,
            },
            DataType::UInt16 => Self::Int {
                bits: 16,
                signed: false,
            },
            DataType::UInt32 => Self::Int {
                bits: 32,
                signed: false,
            },
            DataType::UInt64 => Self::Int {
                bits: 64,
                signed: false,
            },
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
                if *s >= 0 =>
            {
                Self::Decimal {
                    precision: *p,
                    scale: *s,
                }
            }
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, value) => match Self::of(value) {
                Self::Text => Self::Text,
                _ => Self::Other(arrow.to_string()),
            },
            DataType::Date32 => Self::Date,
            DataType::Timestamp(_, _) => Self::Timestamp,
            DataType::Null => Self::Empty,
            _ => Self::Other(arrow.to_string()),
        }
    }
}

/// The schema that a job sees: the published columns of a usable kind, in the table's order.
#[must_use]
pub fn arrow_schema(entry: &TableEntry) -> SchemaRef {
    let fields = entry.columns.iter().filter_map(|c| {
        let kind = c.kind.arrow()?;
        Some(Field::new(&c.name, kind, c.nullable))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Catalogue {
    /// The document as it is signed and sent: one line of JSON with sorted keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a catalogue has string keys and no floats")
    }

    /// Reads a document from a peer, with what all see.
    ///
    /// # Errors
    /// [`CatalogueError`] for anything but bytes that [`Catalogue::to_json`] writes, within the limits of this module, and for tables that
    /// are for some parties: those have documents of their own ([`Catalogue::add`]).
    pub fn from_json(text: &str) -> Result<Self, CatalogueError> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(CatalogueError::TooLarge {
                what: "document",
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        let catalogue: Self =
            serde_json::from_str(text).map_err(|e| CatalogueError::Malformed {
                line: e.line(),
                column: e.column(),
            })?;
        catalogue.check()?;
        if catalogue.tables.values().any(|t| t.visible_to.is_some()) {
            return Err(CatalogueError::ForSome);
        }
        // A document with repeated keys or other spacing means the same to us and something else to a person.
        if catalogue.to_json() != text {
            return Err(CatalogueError::NotCanonical);
        }
        Ok(catalogue)
    }
}

/// A party's name as JSON text.
mod party_name {
    use protocols::party::PartyId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(party: &PartyId, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(party.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<PartyId, D::Error> {
        let name = String::deserialize(input)?;
        name.parse::<PartyId>()
            .map_err(|_| D::Error::custom("not a party name"))
    }
}
