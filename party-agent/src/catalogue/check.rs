//! What a catalogue must satisfy beyond its JSON shape.

use std::collections::BTreeSet;

use super::{
    Catalogue, ColumnEntry, ColumnKind, MAX_CATEGORIES, MAX_CATEGORY_BYTES, MAX_COLUMNS,
    MAX_HIDDEN_BYTES, MAX_NAME_BYTES, MAX_TABLES, MIN_ROWS_AT_MOST, TableEntry,
};

/// Longest declared bound, unit and note, in bytes.
const MAX_BOUND_BYTES: usize = 128;
const MAX_UNIT_BYTES: usize = 256;
const MAX_NOTE_BYTES: usize = 4096;

/// Why a catalogue is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// Not the JSON of a catalogue.
    #[error(
        "the catalogue is not valid JSON of this format at line {line}, column {column}; its holder must publish it again with this version"
    )]
    Malformed {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// Other bytes than the ones that the same content is written as.
    #[error(
        "the catalogue is not in canonical form; its holder must publish it again with this version"
    )]
    NotCanonical,
    /// A table for some parties stands among those for all.
    #[error(
        "the catalogue shows all what is for some; its holder must publish it again with this version"
    )]
    ForSome,
    /// A description for some parties has the name of another table.
    #[error(
        "the catalogue has two tables of one name; its holder must publish it again with this version"
    )]
    Twice,
    /// Beyond a limit.
    #[error("the catalogue's {what} is beyond the limit of {limit}; its holder must publish less")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A value that no catalogue may have.
    #[error("the catalogue's entry for {place} is not valid: {what}")]
    Invalid {
        /// `table` or `table.column`.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Catalogue {
    /// Whether the catalogue is one that a holder may publish.
    ///
    /// # Errors
    /// The first fault, by table and column.
    pub fn check(&self) -> Result<(), CatalogueError> {
        limit("number of tables", self.tables.len(), MAX_TABLES)?;
        for (name, table) in &self.tables {
            check_name(name, name)?;
            check_table(name, table)?;
        }
        Ok(())
    }
}

fn check_table(name: &str, table: &TableEntry) -> Result<(), CatalogueError> {
    limit("number of columns", table.columns.len(), MAX_COLUMNS)?;
    limit(
        "note",
        table.note.as_ref().map_or(0, String::len),
        MAX_NOTE_BYTES,
    )?;
    if !table.rows_at_most.is_power_of_two() || table.rows_at_most < MIN_ROWS_AT_MOST {
        return Err(invalid(
            name,
            "rows_at_most is not a power of two of at least 1024",
        ));
    }
    for name_of in table.cohorts.iter().flat_map(|c| [&c.person, &c.row]) {
        check_name(name_of, name)?;
    }
    if let Some(rule) = &table.dominance {
        check_name(&rule.contributor, name)?;
        if !rule.is_valid() {
            return Err(invalid(name, "rules about dominance have other numbers"));
        }
    }
    let mut seen = BTreeSet::new();
    for column in &table.columns {
        let place = format!("{name}.{}", column.name);
        check_name(&column.name, &place)?;
        if !seen.insert(column.name.as_str()) {
            return Err(invalid(&place, "two columns have this name"));
        }
        check_column(column, &place)?;
    }
    Ok(())
}

fn check_column(column: &ColumnEntry, place: &str) -> Result<(), CatalogueError> {
    limit(
        "unit",
        column.unit.as_ref().map_or(0, String::len),
        MAX_UNIT_BYTES,
    )?;
    match &column.kind {
        ColumnKind::Int { bits, .. } if !matches!(bits, 8 | 16 | 32 | 64) => {
            return Err(invalid(place, "an integer has 8, 16, 32 or 64 bits"));
        }
        ColumnKind::Decimal { precision, scale }
            if !(1..=38).contains(precision) || *scale < 0 || *scale as u8 > *precision =>
        {
            return Err(invalid(
                place,
                "a decimal has 1 to 38 digits, and no more of them after the point",
            ));
        }
        ColumnKind::Other(name) => limit("type name", name.len(), MAX_NAME_BYTES)?,
        _ => {}
    }
    if let Some(categories) = &column.categories {
        limit("number of categories", categories.len(), MAX_CATEGORIES)?;
        for category in categories.iter().flatten() {
            limit("category", category.len(), MAX_CATEGORY_BYTES)?;
        }
        if !categories.is_sorted_by(|a, b| a < b) {
            return Err(invalid(place, "categories are not sorted and distinct"));
        }
    }
    if let Some(longest) = column.hidden {
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        limit("hidden category", longest, MAX_HIDDEN_BYTES as usize)?;
        if longest == 0 {
            return Err(invalid(place, "hidden categories have bytes"));
        }
    }
    if let Some((low, high)) = &column.range {
        limit("declared bound", low.len().max(high.len()), MAX_BOUND_BYTES)?;
        if !is_decimal(low) || !is_decimal(high) {
            return Err(invalid(
                place,
                "a declared bound is not a decimal number such as -12.50",
            ));
        }
    }
    Ok(())
}

/// `-?[0-9]+(\.[0-9]+)?`
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

fn check_name(name: &str, place: &str) -> Result<(), CatalogueError> {
    limit("name", name.len(), MAX_NAME_BYTES)?;
    if name.is_empty() {
        return Err(invalid(place, "an empty name"));
    }
    // A control character can make a name look like another one in a terminal.
    if name.chars().any(char::is_control) {
        return Err(invalid(place, "a control character in a name"));
    }
    Ok(())
}

fn limit(what: &'static str, size: usize, limit: usize) -> Result<(), CatalogueError> {
    if size > limit {
        Err(CatalogueError::TooLarge { what, limit })
    } else {
        Ok(())
    }
}

fn invalid(place: &str, what: &'static str) -> CatalogueError {
    let place = place
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME_BYTES)
        .collect();
    CatalogueError::Invalid { place, what }
}
