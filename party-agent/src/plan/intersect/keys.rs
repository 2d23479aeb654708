//! The columns that holders compare: found in the catalogues, of types that can be compared as text.

use std::fmt::Write;

use protocols::party::PartyId;

use super::KeyPlan;
use crate::catalogue::{Aggregate, Catalogue, ColumnEntry, ColumnKind, TableEntry};
use crate::plan::sql::holders::{Catalogues, NoMatch, match_name};
use crate::plan::{ColumnUse, LocalPlan, PlanFault, Usage};
use crate::source::quoted;
use crate::spec::near::did_you_mean;
use crate::spec::{Intersect, KeyOf, Reveal};

/// One holder's key, with what its catalogue says.
pub(in crate::plan) struct Side<'a> {
    pub(in crate::plan) holder: PartyId,
    pub(in crate::plan) table: String,
    pub(in crate::plan) columns: Vec<&'a ColumnEntry>,
    pub(in crate::plan) rows_at_most: u64,
    pub(in crate::plan) catalogue: &'a Catalogue,
    /// Where the job file names it.
    pub(in crate::plan) place: String,
}

/// The sides of a job in the order of seats.
///
/// # Errors
/// Every name that no catalogue has, and every column that cannot be a key.
pub(super) fn sides<'a>(
    job: &Intersect,
    catalogues: &'a Catalogues,
) -> Result<Vec<Side<'a>>, Vec<PlanFault>> {
    let (mut sides, mut faults) = (Vec::new(), Vec::new());
    for (i, key) in job.keys.iter().enumerate() {
        let place = format!("compute.intersect.keys[{}], line {}", i + 1, key.line);
        match side(key, place, catalogues) {
            Ok(side) => sides.push(side),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    sides.sort_by(|a, b| a.holder.cmp(&b.holder));
    Ok(sides)
}

/// The seat whose column is summed, the column's name and the digits after its point.
pub(super) type Summed = (usize, (String, i8));

/// The column that a job sums.
///
/// # Errors
/// There is none of this name, or none of which there is an exact sum.
pub(super) fn summed(job: &Intersect, sides: &[Side<'_>]) -> Result<Option<Summed>, PlanFault> {
    let Reveal::Sum(of) = &job.reveal else {
        return Ok(None);
    };
    let found = sides.iter().enumerate().find(|(_, s)| s.holder == of.party);
    let Some((seat, side)) = found else {
        return Ok(None);
    };
    let (column, scale) = side.sum_column(of)?;
    Ok(Some((seat, (column.name.clone(), scale))))
}

/// One key, found in its holder's catalogue.
pub(in crate::plan) fn side<'a>(
    key: &KeyOf,
    place: String,
    catalogues: &'a Catalogues,
) -> Result<Side<'a>, Vec<PlanFault>> {
    let fault = |what: String, fix: String| {
        let place = place.clone();
        PlanFault { place, what, fix }
    };
    let Some(catalogue) = catalogues.get(&key.party) else {
        let parties: Vec<&str> = catalogues.keys().map(PartyId::as_str).collect();
        let hint = did_you_mean(key.party.as_str(), parties.iter().copied());
        let what = format!("there is no party {}{hint}", key.party);
        return Err(vec![fault(
            what,
            format!("name one of {}", parties.join(", ")),
        )]);
    };
    let holder = &key.party;
    let tables: Vec<&str> = catalogue.tables.keys().map(String::as_str).collect();
    let table = exact(&key.table, &tables).map_err(|hint| {
        let what = format!("{holder} publishes no table {}{hint}", key.table);
        vec![fault(what, published("tables", &tables))]
    })?;
    let entry = &catalogue.tables[table];
    let (mut columns, mut faults) = (Vec::new(), Vec::new());
    for name in &key.columns {
        let found = match column(entry, name) {
            Ok(column) => Some(column),
            Err((hint, known)) => {
                let what = format!("{holder}.{table} has no column {name}{hint}");
                faults.push(fault(what, known));
                None
            }
        };
        match found {
            Some(column) if class(&column.kind).is_none() => {
                let what = format!(
                    "{holder}.{table}.{} is {}, which is no key",
                    column.name,
                    in_words(&column.kind)
                );
                let fix = "compare texts, whole numbers or dates".to_owned();
                faults.push(fault(what, fix));
            }
            Some(column) => columns.push(column),
            None => {}
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Side {
        holder: holder.clone(),
        table: table.to_owned(),
        columns,
        rows_at_most: entry.rows_at_most,
        catalogue,
        place,
    })
}

/// A column of a side's table, as the catalogue spells it.
pub(in crate::plan) fn named_column<'a>(
    side: &Side<'a>,
    name: &str,
    place: &str,
) -> Result<&'a ColumnEntry, PlanFault> {
    column(&side.catalogue.tables[&side.table], name).map_err(|(hint, fix)| PlanFault {
        place: place.to_owned(),
        what: format!("{}.{} has no column {name}{hint}", side.holder, side.table),
        fix,
    })
}

/// The tables that a job names columns of, one of each holder and two at least, with these columns as their keys.
pub(in crate::plan) fn named_tables<'a, 'n>(
    named: impl IntoIterator<Item = &'n KeyOf>,
    key: &[String],
    section: &str,
    catalogues: &'a Catalogues,
) -> Result<Vec<Side<'a>>, Vec<PlanFault>> {
    let (mut sides, mut faults): (Vec<Side<'a>>, Vec<PlanFault>) = (Vec::new(), Vec::new());
    let mut seen: Vec<(&PartyId, &str)> = Vec::new();
    for named in named {
        let table = (&named.party, named.table.as_str());
        if seen.contains(&table) {
            continue;
        }
        seen.push(table);
        let place = format!("{section}, line {}", named.line);
        let key = KeyOf {
            columns: key.to_vec(),
            ..named.clone()
        };
        let found = match side(&key, place, catalogues) {
            Ok(found) => found,
            Err(more) => {
                faults.extend(more);
                continue;
            }
        };
        if let Some(other) = sides.iter().find(|s| s.holder == found.holder) {
            let (other, label) = (other.label(), found.label());
            faults.push(PlanFault {
                place: found.place.clone(),
                what: format!("{other} and {label} are tables of one holder"),
                fix: "one table for each holder: let it publish both as one".to_owned(),
            });
        }
        sides.push(found);
    }
    if sides.len() < 2 && faults.is_empty() {
        faults.push(PlanFault {
            place: format!("{section}.features"),
            what: "all columns are those of one holder".to_owned(),
            fix: "name features of at least two holders".to_owned(),
        });
    }
    match faults.is_empty() {
        true => Ok(sides),
        false => Err(faults),
    }
}

/// The column of this name, or a hint and what there is.
pub(in crate::plan) fn column<'a>(
    entry: &'a TableEntry,
    name: &str,
) -> Result<&'a ColumnEntry, (String, String)> {
    let names: Vec<&str> = entry.columns.iter().map(|c| c.name.as_str()).collect();
    let found = exact(name, &names).map(|name| entry.columns.iter().find(|c| c.name == name));
    match found {
        Ok(Some(column)) => Ok(column),
        Ok(None) => Err((String::new(), published("columns", &names))),
        Err(hint) => Err((hint, published("columns", &names))),
    }
}

/// The exact name, or a hint.
fn exact<'n>(name: &str, names: &[&'n str]) -> Result<&'n str, String> {
    match_name(name, names).map_err(|no| match no {
        NoMatch::Unknown => did_you_mean(name, names.iter().copied()),
        NoMatch::Ambiguous => "; several have this name but for case".to_owned(),
    })
}

fn published(what: &str, names: &[&str]) -> String {
    match names {
        [] => "ask it to publish what is needed".to_owned(),
        some => format!("{what} there are {}", some.join(", ")),
    }
}

/// What can be compared with each other as text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Text and whole numbers.
    Written,
    Day,
    /// A column without any value is compared with everything, and has nothing in common with it.
    Empty,
}

fn class(kind: &ColumnKind) -> Option<Class> {
    match kind {
        ColumnKind::Text | ColumnKind::Int { .. } => Some(Class::Written),
        ColumnKind::Date => Some(Class::Day),
        ColumnKind::Empty => Some(Class::Empty),
        ColumnKind::Bool
        | ColumnKind::Decimal { .. }
        | ColumnKind::Float
        | ColumnKind::Timestamp
        | ColumnKind::Other(_) => None,
    }
}

pub(in crate::plan) fn in_words(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Bool => "true or false".to_owned(),
        ColumnKind::Int { .. } => "a whole number".to_owned(),
        ColumnKind::Decimal { .. } => "a decimal number".to_owned(),
        ColumnKind::Float => "a number with a point".to_owned(),
        ColumnKind::Text => "text".to_owned(),
        ColumnKind::Date => "a date".to_owned(),
        ColumnKind::Timestamp => "a date and time".to_owned(),
        ColumnKind::Empty => "empty in every row".to_owned(),
        ColumnKind::Other(name) => format!("of type {name}"),
    }
}

/// Columns that stand at one place of the key and can never be equal.
pub(in crate::plan) fn mismatches(sides: &[&Side<'_>]) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    let Some((first, rest)) = sides.split_first() else {
        return faults;
    };
    for side in rest {
        for (a, b) in first.columns.iter().zip(&side.columns) {
            let classes = (class(&a.kind), class(&b.kind));
            let comparable = classes.0 == classes.1
                || classes.0 == Some(Class::Empty)
                || classes.1 == Some(Class::Empty);
            if !comparable {
                faults.push(PlanFault {
                    place: side.place.clone(),
                    what: format!(
                        "{}.{}.{} is {}, but {}.{}.{} is {}",
                        side.holder,
                        side.table,
                        b.name,
                        in_words(&b.kind),
                        first.holder,
                        first.table,
                        a.name,
                        in_words(&a.kind)
                    ),
                    fix: "compare columns of one type, or publish one of them as the other's type"
                        .to_owned(),
                });
            }
        }
    }
    faults
}

impl Side<'_> {
    /// As the job names it.
    pub(in crate::plan) fn label(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let columns = match names.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("({})", several.join(", ")),
        };
        format!("{}.{}.{columns}", self.holder, self.table)
    }

    pub(super) fn plan(&self) -> KeyPlan {
        KeyPlan {
            label: self.label(),
            columns: self.columns.iter().map(|c| c.name.clone()).collect(),
            at_most: self.rows_at_most,
            summed: None,
        }
    }

    /// Adds the column of a sum to what the holder runs, as a decimal number.
    pub(super) fn add_sum(&self, local: &mut LocalPlan, of: &KeyOf) {
        let Ok((column, scale)) = self.sum_column(of) else {
            return;
        };
        let sum = format!(
            ", CAST({} AS DECIMAL(38, {scale})) AS a0",
            quoted(&column.name)
        );
        let head = local.sql.find('\n').unwrap_or(local.sql.len());
        local.sql.insert_str(head, &sum);
        local.uses.push(ColumnUse {
            table: self.table.clone(),
            column: column.name.clone(),
            usage: Usage::Aggregate(Aggregate::Sum),
        });
        local.uses.sort();
    }

    /// The column of a sum, and digits after its point.
    fn sum_column(&self, of: &KeyOf) -> Result<(&ColumnEntry, i8), PlanFault> {
        let name = of.columns.first().map_or("", String::as_str);
        let (holder, table) = (&self.holder, &self.table);
        let fault = |what: String, fix: String| PlanFault {
            place: "compute.intersect.reveal".to_owned(),
            what,
            fix,
        };
        let entry = &self.catalogue.tables[table];
        let column = column(entry, name).map_err(|(hint, known)| {
            fault(
                format!("{holder}.{table} has no column {name}{hint}"),
                known,
            )
        })?;
        match &column.kind {
            ColumnKind::Int { .. } | ColumnKind::Empty => Ok((column, 0)),
            ColumnKind::Decimal { scale, .. } => Ok((column, *scale)),
            kind => {
                let what = format!(
                    "{holder}.{table}.{} is {}, of which there is no exact sum",
                    column.name,
                    in_words(kind)
                );
                Err(fault(what, "sum whole numbers or decimals".to_owned()))
            }
        }
    }

    /// What the holder runs: one row for each row of its table, keys as text.
    pub(in crate::plan) fn local(&self, row_level: bool) -> LocalPlan {
        let mut uses = Vec::new();
        for column in &self.columns {
            let mut add = |usage| {
                uses.push(ColumnUse {
                    table: self.table.clone(),
                    column: column.name.clone(),
                    usage,
                });
            };
            add(Usage::JoinKey);
            if row_level {
                add(Usage::RowLevel);
            }
        }
        uses.sort();
        LocalPlan {
            sql: self.sql(),
            tables: vec![self.table.clone()],
            uses,
            args: Vec::new(),
            rows_at_most: self.rows_at_most,
        }
    }

    fn sql(&self) -> String {
        let mut sql = "SELECT ".to_owned();
        for (i, column) in self.columns.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let name = quoted(&column.name);
            write!(sql, "{comma}CAST({name} AS VARCHAR) AS k{i}").expect("a String takes all");
        }
        let (holder, table) = (quoted(self.holder.as_str()), quoted(&self.table));
        write!(sql, "\nFROM {holder}.{table}").expect("a String takes all");
        sql
    }
}
