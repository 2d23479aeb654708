//! Strict reading of TOML: every unknown field and every wrong value is a fault with its line, and all are
//! reported at once.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::spec::Fault;
use crate::spec::near::did_you_mean;

/// Faults in one line of text.
pub(crate) struct Listed<'a>(pub(crate) &'a [Fault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// The faults found so far in one file.
pub(crate) struct Faults<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    /// Notes a fault at a byte range of the file.
    pub(crate) fn add(
        &mut self,
        at: &Range<usize>,
        field: &str,
        what: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        let start = at.start.min(self.text.len());
        let line = 1 + self.text.as_bytes()[..start]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        self.found.push(Fault {
            line,
            field: field.to_owned(),
            what: what.into(),
            allowed: allowed.into(),
        });
    }

    /// The value, if nothing was wrong; else all faults in the order of the file.
    pub(crate) fn into_result<T>(mut self, value: Option<T>) -> Result<T, Vec<Fault>> {
        self.found.sort_by_key(|f| f.line);
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self.found),
        }
    }
}

/// Parses a file. Faults of syntax end the reading: what follows them cannot be trusted to mean what it says.
pub(crate) fn document<'t>(text: &'t str, faults: &mut Faults<'t>) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().unwrap_or(0..0);
        faults.add(&at, "", error.message(), "a TOML file");
    }
    errors.is_empty().then_some(table)
}

/// One table being read. Every getter notes its name, so that [`Fields::finish`] knows the unknown ones.
pub(crate) struct Fields<'v, 't> {
    table: &'v DeTable<'t>,
    path: String,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'v, 't> Fields<'v, 't> {
    pub(crate) fn new(table: &'v DeTable<'t>, path: &str, span: Range<usize>) -> Self {
        Self {
            table,
            path: path.to_owned(),
            span,
            known: Vec::new(),
        }
    }

    /// Where this table starts in the file.
    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// The full name of a field of this table.
    pub(crate) fn name(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    /// The raw value of a field.
    pub(crate) fn value(&mut self, field: &'static str) -> Option<&'v Spanned<DeValue<'t>>> {
        if !self.known.contains(&field) {
            self.known.push(field);
        }
        self.table.get(field)
    }

    fn typed<T>(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
        allowed: &str,
        read: impl FnOnce(&'v DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(field)?;
        let read = read(value.get_ref());
        if read.is_none() {
            let what = format!("a {} is not allowed here", kind(value.get_ref()));
            faults.add(&value.span(), &self.name(field), what, allowed);
        }
        read
    }

    pub(crate) fn string(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
    ) -> Option<&'v str> {
        self.typed(faults, field, "a text in quotes", |v| v.as_str())
    }

    pub(crate) fn required_string(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
        allowed: &str,
    ) -> Option<&'v str> {
        let text = self.string(faults, field);
        self.required(faults, field, text, allowed)
    }

    /// A text that is read further by the type's own parser.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
        allowed: &str,
    ) -> Option<T> {
        let text = self.string(faults, field)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(faults, field, format!("\"{text}\" cannot be read"), allowed);
        }
        parsed
    }

    /// Notes a fault at the value of a field.
    pub(crate) fn wrong(
        &self,
        faults: &mut Faults<'_>,
        field: &str,
        what: impl Into<String>,
        allowed: &str,
    ) {
        let at = self
            .table
            .get(field)
            .map_or_else(|| self.span.clone(), Spanned::span);
        faults.add(&at, &self.name(field), what, allowed);
    }

    pub(crate) fn boolean(&mut self, faults: &mut Faults<'_>, field: &'static str) -> Option<bool> {
        self.typed(faults, field, "true or false", DeValue::as_bool)
    }

    pub(crate) fn whole(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let range = i128::from(*range.start())..=i128::from(*range.end());
        let number = self.signed(faults, field, range)?;
        u64::try_from(number).ok()
    }

    /// A whole number that may be negative.
    pub(crate) fn signed(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
        range: RangeInclusive<i128>,
    ) -> Option<i128> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.typed(faults, field, &allowed, |v| v.as_integer())?;
        let number = i128::from_str_radix(value.as_str(), value.radix()).ok();
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            self.wrong(faults, field, format!("{value} is out of range"), &allowed);
        }
        number
    }

    pub(crate) fn strings(
        &mut self,
        faults: &mut Faults<'_>,
        field: &'static str,
    ) -> Option<Vec<&'v str>> {
        self.typed(faults, field, "a list of texts in quotes", |v| {
            v.as_array()?.iter().map(|e| e.get_ref().as_str()).collect()
        })
    }

    pub(crate) fn table(&mut self, faults: &mut Faults<'_>, field: &'static str) -> Option<Self> {
        let table = self.typed(faults, field, "a table", |v| v.as_table())?;
        let span = self.table.get(field).map_or(0..0, Spanned::span);
        Some(Fields::new(table, &self.name(field), span))
    }

    /// The tables written as `[[field]]`.
    pub(crate) fn tables(&mut self, faults: &mut Faults<'_>, field: &'static str) -> Vec<Self> {
        let allowed = format!("tables, each under [[{}]]", self.name(field));
        let read = self.typed(faults, field, &allowed, |v| {
            let entries = v.as_array()?.iter().enumerate();
            entries
                .map(|(i, e)| Some((i, e.get_ref().as_table()?, e.span())))
                .collect::<Option<Vec<_>>>()
        });
        let name = self.name(field);
        let fields = read.unwrap_or_default().into_iter();
        fields
            .map(|(i, table, span)| Fields::new(table, &format!("{name}[{}]", i + 1), span))
            .collect()
    }

    /// The entries of a table whose keys are names that the user chose.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'v str, &'v Spanned<DeValue<'t>>)> + use<'v, 't> {
        self.table.iter().map(|(k, v)| (k.get_ref().as_ref(), v))
    }

    /// A fault if `value`, the reading of `field`, is absent although the field must be written.
    pub(crate) fn required<T>(
        &self,
        faults: &mut Faults<'_>,
        field: &'static str,
        value: Option<T>,
        allowed: &str,
    ) -> Option<T> {
        // A value that is there and wrong has its own fault already.
        if value.is_none() && !self.table.contains_key(field) {
            faults.add(
                &self.span,
                &self.name(field),
                "this field is missing",
                allowed,
            );
        }
        value
    }

    /// A fault for every field that no getter asked for.
    pub(crate) fn finish(self, faults: &mut Faults<'_>) {
        let allowed = format!("known here: {}", self.known.join(", "));
        let known = &self.known;
        for (key, _) in self.table {
            if !self.known.contains(&key.get_ref().as_ref()) {
                faults.add(
                    &key.span(),
                    &self.name(key.get_ref()),
                    format!(
                        "unknown field{}",
                        did_you_mean(key.get_ref(), known.iter().copied())
                    ),
                    &allowed,
                );
            }
        }
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "whole number",
        DeValue::Float(_) => "number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "list",
        DeValue::Table(_) => "table",
    }
}
