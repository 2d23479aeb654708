//! From TOML to a checked job, field by field, without stopping at the first fault.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use protocols::party::PartyId;
use toml::de::{DeArray, DeTable, DeValue};

use super::near::did_you_mean;
use super::{
    CheckedSpec, Compute, Correlations, Fault, JoinLevel, MAX_SPEC_BYTES, MAX_WALL_S, SqlCompute,
};

/// Longest job name and longest purpose, in characters.
const MAX_JOB_CHARS: usize = 128;
const MAX_PURPOSE_CHARS: usize = 2000;
/// Most values in one declared domain.
const MAX_DOMAIN: usize = 65_536;
const PARTY_RULE: &str = "a party's name: 1 to 32 of a-z, 0-9 and _";
const COMPUTES: [&str; 5] = ["sql", "intersect", "train", "score", "lookup"];

pub(super) struct Reader<'t> {
    line_starts: Vec<usize>,
    text: &'t str,
    root: DeTable<'t>,
    /// Parts of the file could not be read, so a field that is not there may only not have been understood.
    damaged: bool,
    faults: Vec<Fault>,
}

/// A table of the job file and where it stands.
struct Section<'a, 't> {
    path: &'static str,
    line: usize,
    table: Option<&'a DeTable<'t>>,
}

/// A value of the job file and where it stands.
struct Field<'a, 't> {
    path: String,
    line: usize,
    value: &'a DeValue<'t>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, Vec<Fault>> {
        if text.len() > MAX_SPEC_BYTES {
            return Err(vec![Fault {
                line: 1,
                field: "job file".into(),
                what: format!("{} bytes long", text.len()),
                allowed: format!("at most {MAX_SPEC_BYTES} bytes"),
            }]);
        }
        let mut reader = Self {
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect(),
            text,
            root: DeTable::new(),
            damaged: false,
            faults: Vec::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        reader.root = root.into_inner();
        for error in errors {
            reader.damaged = true;
            let line = reader.line(error.span().unwrap_or(0..0));
            reader.fault(
                line,
                "TOML syntax",
                error.message().trim(),
                "a TOML 1.0 document",
            );
        }
        Ok(reader)
    }

    /// Everything that could be read; `None` if a required part is missing, which is a fault then.
    pub(super) fn spec(&mut self) -> Option<CheckedSpec> {
        let root = std::mem::take(&mut self.root);
        let top = Section {
            path: "",
            line: 1,
            table: Some(&root),
        };
        self.known(
            &top,
            &[
                "job",
                "purpose",
                "receivers",
                "compute",
                "privacy",
                "limits",
            ],
            &["release"],
        );
        let job = self
            .required(&top, "job", "a short name for the job")
            .and_then(|f| self.name(&f));
        let purpose = self
            .required(
                &top,
                "purpose",
                "why the parties may compute this, for the people who approve",
            )
            .and_then(|f| self.prose(&f));
        let receivers = self
            .required(
                &top,
                "receivers",
                "the parties that get the result, such as [\"hospital_1\"]",
            )
            .and_then(|f| self.receivers(&f));
        let compute = self.section(&top, "compute", true);
        let compute = self.compute(&compute);
        let privacy = self.section(&top, "privacy", false);
        self.known(&privacy, &["min_cell", "correlations", "join"], &[]);
        let min_cell = self.get(&privacy, "min_cell").and_then(|f| self.count(&f));
        let correlations = self
            .get(&privacy, "correlations")
            .and_then(|f| self.correlations(&f, receivers.as_deref().unwrap_or_default()));
        let join = self.get(&privacy, "join").and_then(|f| self.join(&f));
        let limits = self.section(&top, "limits", false);
        self.known(&limits, &["max_wall"], &[]);
        let max_wall_s = self
            .get(&limits, "max_wall")
            .and_then(|f| self.duration(&f));
        Some(CheckedSpec {
            job: job?,
            purpose: purpose?,
            receivers: receivers?,
            compute: compute?,
            min_cell,
            correlations,
            join,
            max_wall_s,
        })
    }

    pub(super) fn finish(mut self, spec: Option<CheckedSpec>) -> Result<CheckedSpec, Vec<Fault>> {
        match spec {
            Some(spec) if self.faults.is_empty() => Ok(spec),
            _ => {
                self.faults.sort();
                self.faults.dedup();
                Err(self.faults)
            }
        }
    }

    fn compute(&mut self, section: &Section<'_, 't>) -> Option<Compute> {
        self.known(section, &["sql", "domain"], &COMPUTES[1..]);
        let table = section.table?;
        let named: Vec<&str> = COMPUTES
            .into_iter()
            .filter(|c| table.keys().any(|k| k.get_ref() == c))
            .collect();
        if named.len() != 1 && !self.damaged {
            let what = match named.len() {
                0 => "names nothing to compute".to_owned(),
                _ => format!("names {} computations: {}", named.len(), named.join(", ")),
            };
            self.fault(
                section.line,
                "compute",
                what,
                "exactly one of sql, intersect, train, score, lookup",
            );
        }
        let domains = self.section(section, "domain", false);
        let domains = self.domains(&domains);
        let sql = self.get(section, "sql")?;
        let DeValue::String(text) = sql.value else {
            return self.wrong_type(&sql, "a query in quotes, \"\"\" for several lines");
        };
        if text.trim().is_empty() {
            self.fault(sql.line, &sql.path, "is empty", "one SELECT");
            return None;
        }
        Some(Compute::Sql(SqlCompute {
            text: text.clone().into_owned(),
            line: sql.line + usize::from(self.starts_on_next_line(table)),
            domains,
        }))
    }

    /// Whether the query's text begins on the line after its opening quotes, as TOML trims that line's end.
    fn starts_on_next_line(&self, compute: &DeTable<'t>) -> bool {
        compute
            .iter()
            .filter(|(key, _)| key.get_ref() == "sql")
            .any(|(_, value)| {
                let raw = self.text.get(value.span()).unwrap_or_default();
                let body = raw
                    .strip_prefix("\"\"\"")
                    .or_else(|| raw.strip_prefix("'''"));
                body.is_some_and(|b| b.starts_with('\n') || b.starts_with("\r\n"))
            })
    }

    fn domains(&mut self, section: &Section<'_, 't>) -> BTreeMap<String, Vec<String>> {
        let mut domains = BTreeMap::new();
        let Some(table) = section.table else {
            return domains;
        };
        for (key, value) in table {
            let path = format!("compute.domain.{}", key.get_ref());
            let field = Field {
                path,
                line: self.line(value.span()),
                value: value.get_ref(),
            };
            if let Some(values) = self.domain(&field) {
                domains.insert(key.get_ref().clone().into_owned(), values);
            }
        }
        domains
    }

    fn domain(&mut self, field: &Field<'_, 't>) -> Option<Vec<String>> {
        let allowed = "a list of distinct groups, as text, whole numbers, true/false or dates";
        let DeValue::Array(items) = field.value else {
            return self.wrong_type(field, allowed);
        };
        if items.is_empty() || items.len() > MAX_DOMAIN {
            let what = format!("has {} values", items.len());
            self.fault(
                field.line,
                &field.path,
                what,
                format!("1 to {MAX_DOMAIN} values"),
            );
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut values = Vec::with_capacity(items.len());
        for item in items.iter() {
            let line = self.line(item.span());
            let text = match item.get_ref() {
                DeValue::String(text) => text.clone().into_owned(),
                DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                    Ok(n) => n.to_string(),
                    Err(_) => {
                        self.fault(
                            line,
                            &field.path,
                            format!("{n} does not fit 64 bits"),
                            allowed,
                        );
                        continue;
                    }
                },
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Datetime(day) if day.time.is_none() => day.to_string(),
                other => {
                    self.fault(
                        line,
                        &field.path,
                        format!("has {}", article(other)),
                        allowed,
                    );
                    continue;
                }
            };
            if seen.insert(text.clone()) {
                values.push(text);
            } else {
                self.fault(
                    line,
                    &field.path,
                    format!("lists \"{text}\" twice"),
                    allowed,
                );
            }
        }
        Some(values)
    }

    fn name(&mut self, field: &Field<'_, 't>) -> Option<String> {
        let allowed = format!("1 to {MAX_JOB_CHARS} characters, none of them a control character");
        self.text(field, MAX_JOB_CHARS, |c| !c.is_control(), &allowed)
    }

    fn prose(&mut self, field: &Field<'_, 't>) -> Option<String> {
        let allowed = format!("1 to {MAX_PURPOSE_CHARS} characters of text");
        self.text(
            field,
            MAX_PURPOSE_CHARS,
            |c| !c.is_control() || c == '\n' || c == '\t',
            &allowed,
        )
    }

    fn text(
        &mut self,
        field: &Field<'_, 't>,
        longest: usize,
        ok: impl Fn(char) -> bool,
        allowed: &str,
    ) -> Option<String> {
        let DeValue::String(text) = field.value else {
            return self.wrong_type(field, allowed);
        };
        let chars = text.chars().count();
        let what = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if chars > longest {
            format!("is {chars} characters long")
        } else if !text.chars().all(ok) {
            "has a control character".to_owned()
        } else {
            return Some(text.clone().into_owned());
        };
        self.fault(field.line, &field.path, what, allowed);
        None
    }

    fn receivers(&mut self, field: &Field<'_, 't>) -> Option<Vec<PartyId>> {
        let allowed = "a list of party names, such as [\"hospital_1\"]";
        let DeValue::Array(items) = field.value else {
            return self.wrong_type(field, allowed);
        };
        if items.is_empty() {
            self.fault(field.line, &field.path, "is empty", "at least one party");
            return None;
        }
        self.parties(items, &field.path)
    }

    fn parties(&mut self, items: &DeArray<'t>, path: &str) -> Option<Vec<PartyId>> {
        let mut parties = BTreeSet::new();
        let before = self.faults.len();
        for item in items.iter() {
            let line = self.line(item.span());
            let DeValue::String(name) = item.get_ref() else {
                self.fault(
                    line,
                    path,
                    format!("has {}", article(item.get_ref())),
                    PARTY_RULE,
                );
                continue;
            };
            match name.parse::<PartyId>() {
                Ok(party) => {
                    if !parties.insert(party) {
                        self.fault(
                            line,
                            path,
                            format!("lists \"{name}\" twice"),
                            "distinct parties",
                        );
                    }
                }
                Err(_) => self.fault(
                    line,
                    path,
                    format!("\"{name}\" cannot be a party"),
                    PARTY_RULE,
                ),
            }
        }
        (self.faults.len() == before).then(|| parties.into_iter().collect())
    }

    fn correlations(
        &mut self,
        field: &Field<'_, 't>,
        receivers: &[PartyId],
    ) -> Option<Correlations> {
        let allowed = "\"ot\" or \"dealer:NAME\"; there is no default";
        let DeValue::String(text) = field.value else {
            return self.wrong_type(field, allowed);
        };
        if text == "ot" {
            return Some(Correlations::Ot);
        }
        let dealer = text
            .strip_prefix("dealer:")
            .and_then(|name| name.parse::<PartyId>().ok());
        let Some(dealer) = dealer else {
            let hint = did_you_mean(text, ["ot"]);
            self.fault(
                field.line,
                &field.path,
                format!("\"{text}\" is not a source{hint}"),
                allowed,
            );
            return None;
        };
        if receivers.contains(&dealer) {
            let what = format!(
                "the dealer \"{}\" is a receiver too, and would learn every input",
                dealer.as_str()
            );
            self.fault(
                field.line,
                &field.path,
                what,
                "a dealer that neither holds data nor gets the result",
            );
            return None;
        }
        Some(Correlations::Dealer(dealer))
    }

    fn join(&mut self, field: &Field<'_, 't>) -> Option<JoinLevel> {
        let allowed = "\"hidden\", \"size\" or \"keys\"";
        let DeValue::String(text) = field.value else {
            return self.wrong_type(field, allowed);
        };
        match text.as_ref() {
            "hidden" => Some(JoinLevel::Hidden),
            "size" => Some(JoinLevel::Size),
            "keys" => Some(JoinLevel::Keys),
            other => {
                let hint = did_you_mean(other, ["hidden", "size", "keys"]);
                self.fault(
                    field.line,
                    &field.path,
                    format!("\"{other}\" is not a level{hint}"),
                    allowed,
                );
                None
            }
        }
    }

    fn count(&mut self, field: &Field<'_, 't>) -> Option<u64> {
        let allowed = "a whole number from 0 to 4294967295";
        let DeValue::Integer(number) = field.value else {
            return self.wrong_type(field, allowed);
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(n) if (0..=i64::from(u32::MAX)).contains(&n) => Some(n.unsigned_abs()),
            _ => {
                self.fault(field.line, &field.path, format!("is {number}"), allowed);
                None
            }
        }
    }

    fn duration(&mut self, field: &Field<'_, 't>) -> Option<u64> {
        let allowed = "a time such as \"90s\", \"30m\" or \"2h\", at most \"168h\"";
        let DeValue::String(text) = field.value else {
            return self.wrong_type(field, allowed);
        };
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            _ => 0,
        };
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        match seconds {
            Some(s) if plain && (1..=MAX_WALL_S).contains(&s) => Some(s),
            _ => {
                self.fault(field.line, &field.path, format!("is \"{text}\""), allowed);
                None
            }
        }
    }

    /// Faults for fields that do not exist (with the nearest name) or do not exist yet.
    fn known(&mut self, section: &Section<'_, 't>, known: &[&str], not_yet: &[&str]) {
        let Some(table) = section.table else { return };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let what = if not_yet.contains(&name) {
                "not available in this version".to_owned()
            } else {
                let all = known.iter().chain(not_yet).copied();
                format!("unknown field{}", did_you_mean(name, all))
            };
            let line = self.line(key.span());
            self.fault(line, &dotted(section.path, name), what, known.join(", "));
        }
    }

    fn required<'a>(
        &mut self,
        section: &Section<'a, 't>,
        name: &str,
        allowed: &str,
    ) -> Option<Field<'a, 't>> {
        let field = self.get(section, name);
        if field.is_none() && !self.damaged {
            self.fault(
                section.line,
                &dotted(section.path, name),
                "is missing",
                allowed,
            );
        }
        field
    }

    fn get<'a>(&self, section: &Section<'a, 't>, name: &str) -> Option<Field<'a, 't>> {
        let (_, value) = section
            .table?
            .iter()
            .find(|(key, _)| key.get_ref() == name)?;
        Some(Field {
            path: dotted(section.path, name),
            line: self.line(value.span()),
            value: value.get_ref(),
        })
    }

    fn section<'a>(
        &mut self,
        parent: &Section<'a, 't>,
        name: &'static str,
        required: bool,
    ) -> Section<'a, 't> {
        let path = if parent.path.is_empty() {
            name
        } else {
            "compute.domain"
        };
        let mut section = Section {
            path,
            line: parent.line,
            table: None,
        };
        let Some(table) = parent.table else {
            return section;
        };
        match table.iter().find(|(key, _)| key.get_ref() == name) {
            Some((key, value)) => {
                section.line = self.line(key.span());
                match value.get_ref() {
                    DeValue::Table(table) => section.table = Some(table),
                    other => {
                        let what = format!("is {}", article(other));
                        self.fault(section.line, path, what, format!("a table: [{path}]"));
                    }
                }
            }
            None if required && !self.damaged => {
                self.fault(
                    parent.line,
                    path,
                    "is missing",
                    format!("a table: [{path}]"),
                );
            }
            None => {}
        }
        section
    }

    fn wrong_type<T>(&mut self, field: &Field<'_, 't>, allowed: &str) -> Option<T> {
        let what = format!("is {}", article(field.value));
        self.fault(field.line, &field.path, what, allowed);
        None
    }

    fn fault(
        &mut self,
        line: usize,
        field: &str,
        what: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        self.faults.push(Fault {
            line,
            field: field.to_owned(),
            what: what.into(),
            allowed: allowed.into(),
        });
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.line_starts
            .partition_point(|start| *start <= span.start)
    }
}

fn dotted(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
