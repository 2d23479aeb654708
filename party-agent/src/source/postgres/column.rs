//! A table's columns, from the database's own catalogue.

use crate::catalogue::ColumnKind;
use crate::source::{SourceColumn, SourceError, quoted};

use super::connection::Link;

/// Most digits that an Arrow decimal of 128 bits holds.
const MAX_DIGITS: i32 = 38;

/// A usable column: how it is read, and as what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PgColumn {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    pub(super) wire: Wire,
    /// The SQL that gives the value, without a name.
    pub(super) expression: String,
    /// Whether the database compares its values as the query engine does.
    pub(super) is_comparable: bool,
}

/// How COPY BINARY writes a value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Date,
    Timestamp,
}

/// The declared type of a column, domains resolved.
struct Declared {
    name: String,
    type_name: String,
    modifier: i32,
    is_enum: bool,
    nullable: bool,
    /// As a person reads it.
    shown: String,
}

/// A domain's base type may itself be a domain, hence the recursion. A domain's own NOT NULL is left out: a view
/// can yield NULL in spite of it.
const COLUMNS: &str = "
WITH RECURSIVE base AS (
    SELECT a.attnum, a.attname, a.attnotnull, a.atttypid AS typ, a.atttypmod AS modifier,
           format_type(a.atttypid, a.atttypmod) AS shown
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attnum, b.attname, b.attnotnull, t.typbasetype,
           CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END, b.shown
    FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd'
)
SELECT b.attname::text, CASE WHEN n.nspname = 'pg_catalog' THEN t.typname::text ELSE '' END, b.modifier,
       t.typtype = 'e', NOT b.attnotnull, b.shown
FROM base b JOIN pg_type t ON t.oid = b.typ JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype <> 'd' ORDER BY b.attnum";

/// All columns of a table; those of a usable kind with the way to read them.
pub(super) async fn list(
    link: &Link,
    schema: &str,
    table: &str,
) -> Result<Vec<(SourceColumn, Option<PgColumn>)>, SourceError> {
    let rows = link
        .client()
        .query(COLUMNS, &[&schema, &table])
        .await
        .map_err(|e| link.fault(&e))?;
    if rows.is_empty() {
        let what = format!("there is no table {schema}.{table}");
        let advice = "check the schema and the table's name, both exactly as the database has them";
        return Err(SourceError::Database {
            table: link.table().to_owned(),
            what,
            advice,
        });
    }
    let encoding = link.client().query_one("SHOW server_encoding", &[]).await;
    let is_utf8 = encoding.map_err(|e| link.fault(&e))?.get::<_, &str>(0) == "UTF8";
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let declared = Declared {
            name: row.get(0),
            type_name: row.get(1),
            modifier: row.get(2),
            is_enum: row.get(3),
            nullable: row.get(4),
            shown: row.get(5),
        };
        let unsized_numeric = declared.type_name == "numeric" && declared.modifier < 0;
        let kind = if unsized_numeric {
            widest_numeric(link, schema, table, &declared.name).await?
        } else {
            declared_kind(&declared)
        };
        let usable = way_to_read(&declared, &kind, is_utf8);
        let source = SourceColumn {
            name: declared.name,
            kind,
            nullable: declared.nullable,
        };
        columns.push((source, usable));
    }
    Ok(columns)
}

fn declared_kind(declared: &Declared) -> ColumnKind {
    let int = |bits| ColumnKind::Int { bits, signed: true };
    if declared.is_enum {
        return ColumnKind::Text;
    }
    match declared.type_name.as_str() {
        "bool" => ColumnKind::Bool,
        "int2" => int(16),
        "int4" => int(32),
        "int8" => int(64),
        "float4" | "float8" => ColumnKind::Float,
        "text" | "varchar" | "bpchar" | "name" | "uuid" => ColumnKind::Text,
        "date" => ColumnKind::Date,
        "timestamp" | "timestamptz" => ColumnKind::Timestamp,
        "numeric" => sized_numeric(declared),
        _ => ColumnKind::Other(declared.shown.clone()),
    }
}

/// `numeric(p, s)`, where the scale may be negative or beyond the precision.
fn sized_numeric(declared: &Declared) -> ColumnKind {
    let packed = declared.modifier - 4;
    let precision = (packed >> 16) & 0xFFFF;
    let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
    let digits = if scale < 0 {
        precision - scale
    } else {
        precision.max(scale)
    };
    if digits > MAX_DIGITS {
        return ColumnKind::Other(declared.shown.clone());
    }
    ColumnKind::Decimal {
        precision: digits as u8,
        scale: scale.max(0) as i8,
    }
}

/// A `numeric` without a size: as wide as its widest value now. A wider one later is an error at its row.
async fn widest_numeric(
    link: &Link,
    schema: &str,
    table: &str,
    column: &str,
) -> Result<ColumnKind, SourceError> {
    // scale() of NaN and infinity is NULL; those are errors when a query meets them.
    let sql = format!(
        "SELECT max(scale({0})), max(length(trunc(abs({0}))::text)) FROM {1}.{2} WHERE scale({0}) IS NOT NULL",
        quoted(column),
        quoted(schema),
        quoted(table)
    );
    let row = link
        .client()
        .query_one(&sql, &[])
        .await
        .map_err(|e| link.fault(&e))?;
    let (Some(scale), Some(whole)) = (row.get::<_, Option<i32>>(0), row.get::<_, Option<i32>>(1))
    else {
        return Ok(ColumnKind::Empty);
    };
    if scale + whole > MAX_DIGITS {
        return Ok(ColumnKind::Other(
            "numeric with more than 38 digits".to_owned(),
        ));
    }
    Ok(ColumnKind::Decimal {
        precision: (scale + whole) as u8,
        scale: scale as i8,
    })
}

fn way_to_read(declared: &Declared, kind: &ColumnKind, is_utf8: bool) -> Option<PgColumn> {
    let name = quoted(&declared.name);
    let as_text = format!("{name}::text");
    let (wire, expression) = match (kind, declared.type_name.as_str()) {
        (ColumnKind::Other(_), _) => return None,
        (_, "bool") => (Wire::Bool, name),
        (_, "int2") => (Wire::Int2, name),
        (_, "int4") => (Wire::Int4, name),
        (_, "int8") => (Wire::Int8, name),
        (_, "float4") => (Wire::Float4, name),
        (_, "float8") => (Wire::Float8, name),
        (_, "numeric") => (Wire::Numeric, name),
        (_, "date") => (Wire::Date, name),
        (_, "timestamp") => (Wire::Timestamp, name),
        (_, "timestamptz") => (Wire::Timestamp, format!("({name} AT TIME ZONE 'UTC')")),
        // The padding of char(n) is not part of its value; the cast removes it.
        _ => (Wire::Text, as_text),
    };
    let is_comparable = wire != Wire::Text || is_utf8;
    Some(PgColumn {
        name: declared.name.clone(),
        kind: kind.clone(),
        wire,
        expression,
        is_comparable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_numeric() {
        let kind = |precision: i32, scale: i32| {
            let modifier = ((precision << 16) | (scale & 0x7FF)) + 4;
            let declared = Declared {
                name: "x".to_owned(),
                type_name: "numeric".to_owned(),
                modifier,
                is_enum: false,
                nullable: true,
                shown: "shown".to_owned(),
            };
            declared_kind(&declared)
        };
        let decimal = |precision, scale| ColumnKind::Decimal { precision, scale };
        assert_eq!(kind(12, 2), decimal(12, 2));
        assert_eq!(kind(2, 4), decimal(4, 4));
        assert_eq!(kind(3, -2), decimal(5, 0));
        assert_eq!(kind(39, 0), ColumnKind::Other("shown".to_owned()));
    }
}
