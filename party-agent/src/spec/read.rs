//! From TOML to a checked job, field by field, without stopping at the first fault.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use protocols::party::PartyId;
use protocols::psi::keys::Normalise;
use toml::Spanned;
use toml::de::DeValue;

use super::near::did_you_mean;
use super::{
    CheckedSpec, Compute, Correlations, DpClause, JoinLevel, MAX_SPEC_BYTES, MAX_WALL_S,
    SqlCompute, dp, intersect, lookup, score, settlement, train, vertical,
};
use crate::config::fields::{Faults, Fields, document, kind};

/// Longest job name and longest purpose, in characters.
const MAX_JOB_CHARS: usize = 128;
const MAX_PURPOSE_CHARS: usize = 2000;
/// Largest bound on rows or groups that can be written.
const MAX_ROWS: u64 = 1 << 40;
/// Most rows of a key that are told apart.
const MAX_ROWS_PER_KEY: u64 = 64;
/// Most values in one declared domain.
const MAX_DOMAIN: usize = 65_536;

const PARTY: &str = "a party's name: 1 to 32 of a-z, 0-9 and _";
const RECEIVERS: &str = "a list of party names, such as [\"hospital_1\"]";
const CORRELATIONS: &str = "\"ot\" or \"dealer:NAME\"; there is no default";
const LINK: &str = "\"fast\" (half a gigabit a second and more, the default) or \"slow\"";
const JOIN: &str = "\"hidden\", \"size\" or \"keys\"";
const WALL: &str = "a time such as \"90s\", \"30m\" or \"2h\", at most \"168h\"";
const ROWS_PER_KEY: &str = "the name of a table in the query, and a whole number from 2 to 64";
const DOMAIN: &str = "a list of distinct groups: texts, whole numbers, true or false, dates";
/// What `[compute]` can hold.
const COMPUTES: [&str; 5] = ["sql", "intersect", "train", "score", "lookup"];
const NOT_YET: &str = "not available in this version";

pub(super) fn spec<'t>(text: &'t str, faults: &mut Faults<'t>) -> Option<CheckedSpec> {
    if text.len() > MAX_SPEC_BYTES {
        let what = format!("the file has {} bytes", text.len());
        faults.add(&(0..0), "", what, format!("at most {MAX_SPEC_BYTES}"));
        return None;
    }
    let root = document(text, faults)?;
    let mut top = Fields::new(root.get_ref(), "", 0..0);
    let job = prose(&mut top, "job", MAX_JOB_CHARS, faults);
    let purpose = prose(&mut top, "purpose", MAX_PURPOSE_CHARS, faults);
    let receivers = receivers(&mut top, faults);
    let compute = top.table(faults, "compute");
    let compute = top.required(faults, "compute", compute, "a table [compute]");
    let compute = compute.and_then(|c| read_compute(c, text, faults));
    match (&compute, &receivers) {
        (Some(Compute::Intersect(of)), Some(receivers)) => {
            only_holders(of, receivers, &top, faults);
        }
        (Some(Compute::Lookup(of)), Some(receivers))
            if *receivers != [of.queries.party.clone()] =>
        {
            let what = "are others than the party that asks";
            let allowed = format!("receivers = [\"{}\"]", of.queries.party);
            top.wrong(faults, "receivers", what, &allowed);
        }
        _ => {}
    }
    let privacy = top.table(faults, "privacy");
    let known = receivers.as_deref().unwrap_or_default();
    let privacy = privacy.map(|p| read_privacy(p, known, faults));
    let has_noise = privacy.as_ref().is_some_and(|p| p.dp.is_some());
    if has_noise && !matches!(compute, None | Some(Compute::Sql(_))) {
        let what = "differential privacy is there for counts and sums in SQL";
        top.wrong(faults, "privacy", what, "leave [privacy.dp] out");
    }
    let settlement = top.table(faults, "settlement");
    let settlement = settlement.and_then(|s| settlement::read(s, faults));
    let limits = top.table(faults, "limits");
    let max_wall_s = limits.and_then(|l| read_limits(l, faults));
    not_yet(&mut top, "release", faults);
    top.finish(faults);
    let privacy = privacy.unwrap_or_default();
    Some(CheckedSpec {
        job: job?,
        purpose: purpose?,
        receivers: receivers?,
        compute: compute?,
        min_cell: privacy.min_cell,
        round_to: privacy.round_to,
        correlations: privacy.correlations,
        join: privacy.join,
        dp: privacy.dp,
        settlement,
        max_wall_s,
    })
}

#[derive(Default)]
struct Privacy {
    min_cell: Option<u64>,
    round_to: Option<u64>,
    correlations: Option<Correlations>,
    join: Option<JoinLevel>,
    dp: Option<DpClause>,
}

fn prose(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    longest: usize,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let allowed = format!("1 to {longest} characters of text");
    let text = fields.string(faults, field);
    let text = fields.required(faults, field, text, &allowed)?;
    let chars = text.chars().count();
    let what = if text.trim().is_empty() {
        "is empty".to_owned()
    } else if chars > longest {
        format!("is {chars} characters long")
    } else if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        "has a control character".to_owned()
    } else {
        return Some(text.to_owned());
    };
    fields.wrong(faults, field, what, &allowed);
    None
}

fn receivers(top: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<PartyId>> {
    let names = top.strings(faults, "receivers");
    let names = top.required(faults, "receivers", names, RECEIVERS)?;
    if names.is_empty() {
        top.wrong(faults, "receivers", "is empty", "at least one party");
        return None;
    }
    let mut parties = BTreeSet::new();
    for name in &names {
        match name.parse::<PartyId>() {
            Ok(party) if parties.contains(&party) => {
                let what = format!("lists \"{name}\" twice");
                top.wrong(faults, "receivers", what, "distinct parties");
            }
            Ok(party) => {
                parties.insert(party);
            }
            Err(_) => {
                let what = format!("\"{name}\" cannot be a party");
                top.wrong(faults, "receivers", what, PARTY);
            }
        }
    }
    (parties.len() == names.len()).then(|| parties.into_iter().collect())
}

/// Who learns what keys have in common is one of those who hold them.
fn only_holders(
    of: &intersect::Intersect,
    receivers: &[PartyId],
    top: &Fields<'_, '_>,
    faults: &mut Faults<'_>,
) {
    let holds = |r: &PartyId| of.keys.iter().any(|key| key.party == *r);
    let holders: Vec<&str> = of.keys.iter().map(|key| key.party.as_str()).collect();
    for receiver in receivers.iter().filter(|r| !holds(r)) {
        let what = format!("{receiver} holds none of the keys that are compared");
        let allowed = format!("receivers among {}", holders.join(", "));
        top.wrong(faults, "receivers", what, &allowed);
    }
}

fn read_compute<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Compute> {
    let named: Vec<&str> = COMPUTES
        .into_iter()
        .filter(|c| fields.entries().any(|(key, _)| key == *c))
        .collect();
    if named.len() != 1 {
        let what = match named.len() {
            0 => "names nothing to compute".to_owned(),
            n => format!("names {n} computations: {}", named.join(", ")),
        };
        let allowed = format!("exactly one of {}", COMPUTES.join(", "));
        faults.add(fields.span(), "compute", what, allowed);
    }
    let intersect = fields.table(faults, "intersect");
    if named == ["intersect"] {
        let intersect = intersect.and_then(|i| intersect::read(i, text, faults));
        fields.finish(faults);
        return intersect.map(Compute::Intersect);
    }
    let lookup = fields.table(faults, "lookup");
    if named == ["lookup"] {
        let lookup = lookup.and_then(|l| lookup::read(l, text, faults));
        fields.finish(faults);
        return lookup.map(Compute::Lookup);
    }
    let score = fields.table(faults, "score");
    if named == ["score"] {
        let score = score.and_then(|s| score::read(s, text, faults));
        fields.finish(faults);
        return score.map(Compute::Score);
    }
    let train = fields.table(faults, "train");
    if named == ["train"] {
        let found = train.and_then(|t| match vertical::is_vertical(&t) {
            true => vertical::read(t, text, faults).map(|v| Compute::Vertical(Box::new(v))),
            false => train::read(t, text, faults).map(|t| Compute::Train(Box::new(t))),
        });
        fields.finish(faults);
        return found;
    }
    let domains = fields.table(faults, "domain");
    let domains = domains
        .map(|d| read_domains(&d, faults))
        .unwrap_or_default();
    let at = fields.value("sql").map(Spanned::span);
    let sql = fields.string(faults, "sql");
    if sql.is_some_and(|s| s.trim().is_empty()) {
        fields.wrong(faults, "sql", "is empty", "one SELECT");
    }
    let line = at.map_or(1, |at| first_line(text, &at));
    let max_rows = fields.whole(faults, "max_rows", 1..=MAX_ROWS);
    let max_groups = fields.whole(faults, "max_groups", 1..=MAX_ROWS);
    let max_rows_per_key = fields.table(faults, "max_rows_per_key");
    let max_rows_per_key = max_rows_per_key.map(|rows| read_rows_per_key(&rows, faults));
    let normalise = match fields.value("normalise") {
        // SQL compares as it stands.
        None => Some(Normalise::Exact),
        Some(_) => intersect::normalise(&mut fields, faults),
    };
    fields.finish(faults);
    Some(Compute::Sql(SqlCompute {
        text: sql?.to_owned(),
        line,
        domains,
        max_rows,
        max_groups,
        max_rows_per_key: max_rows_per_key.unwrap_or_default(),
        normalise: normalise?,
    }))
}

/// The line on which a text begins: TOML drops the line's end after opening triple quotes.
pub(super) fn first_line(text: &str, at: &Range<usize>) -> usize {
    let newlines = |s: &str| s.bytes().filter(|b| *b == b'\n').count();
    let raw = text.get(at.clone()).unwrap_or_default();
    let body = raw
        .strip_prefix("\"\"\"")
        .or_else(|| raw.strip_prefix("'''"));
    let next = body.is_some_and(|b| b.starts_with('\n') || b.starts_with("\r\n"));
    1 + newlines(text.get(..at.start).unwrap_or_default()) + usize::from(next)
}

fn read_rows_per_key(fields: &Fields<'_, '_>, faults: &mut Faults<'_>) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (name, value) in fields.entries() {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        match number.filter(|n| (2..=MAX_ROWS_PER_KEY).contains(n)) {
            Some(number) => {
                all.insert(name.to_lowercase(), number);
            }
            None => {
                let what = "is no number of rows of which a table has several";
                faults.add(&value.span(), &fields.name(name), what, ROWS_PER_KEY);
            }
        }
    }
    all
}

fn read_domains(fields: &Fields<'_, '_>, faults: &mut Faults<'_>) -> BTreeMap<String, Vec<String>> {
    let mut domains = BTreeMap::new();
    for (name, value) in fields.entries() {
        if let Some(values) = read_domain(&fields.name(name), value, faults) {
            domains.insert(name.to_owned(), values);
        }
    }
    domains
}

fn read_domain(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Faults<'_>,
) -> Option<Vec<String>> {
    let items = match value.get_ref() {
        DeValue::Array(items) if (1..=MAX_DOMAIN).contains(&items.len()) => items,
        DeValue::Array(items) => {
            let what = format!("has {} values", items.len());
            faults.add(&value.span(), path, what, format!("1 to {MAX_DOMAIN}"));
            return None;
        }
        other => {
            let what = format!("a {} is not allowed here", kind(other));
            faults.add(&value.span(), path, what, DOMAIN);
            return None;
        }
    };
    let mut seen = BTreeSet::new();
    let mut values = Vec::with_capacity(items.len());
    for item in items.iter() {
        match group(item.get_ref()) {
            None => {
                let what = format!("a {} is not allowed here", kind(item.get_ref()));
                faults.add(&item.span(), path, what, DOMAIN);
            }
            Some(text) if !seen.insert(text.clone()) => {
                let what = format!("lists \"{text}\" twice");
                faults.add(&item.span(), path, what, DOMAIN);
            }
            Some(text) => values.push(text),
        }
    }
    Some(values)
}

/// A declared group as text, the way that a query engine writes it.
pub(super) fn group(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
            .ok()
            .map(|n| n.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(day) if day.time.is_none() => Some(day.to_string()),
        _ => None,
    }
}

fn read_privacy(
    mut fields: Fields<'_, '_>,
    receivers: &[PartyId],
    faults: &mut Faults<'_>,
) -> Privacy {
    let min_cell = fields.whole(faults, "min_cell", 0..=u64::from(u32::MAX));
    let round_to = fields.whole(faults, "round_to", 2..=u64::from(u32::MAX));
    let correlations = fields
        .string(faults, "correlations")
        .and_then(|text| correlations(text, receivers, &fields, faults));
    let correlations = over_link(&mut fields, correlations, faults);
    let join = fields.string(faults, "join").and_then(|text| {
        let level = match text {
            "hidden" => JoinLevel::Hidden,
            "size" => JoinLevel::Size,
            "keys" => JoinLevel::Keys,
            _ => {
                let hint = did_you_mean(text, ["hidden", "size", "keys"]);
                let what = format!("\"{text}\" is not a level{hint}");
                fields.wrong(faults, "join", what, JOIN);
                return None;
            }
        };
        Some(level)
    });
    let dp = fields.table(faults, "dp");
    let dp = dp.and_then(|clause| dp::read(clause, faults));
    fields.finish(faults);
    Privacy {
        min_cell,
        round_to,
        correlations,
        join,
        dp,
    }
}

fn correlations(
    text: &str,
    receivers: &[PartyId],
    fields: &Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Option<Correlations> {
    if text == "ot" {
        return Some(Correlations::Ot);
    }
    let dealer = text.strip_prefix("dealer:").map(str::parse::<PartyId>);
    match dealer {
        Some(Ok(dealer)) if receivers.contains(&dealer) => {
            let what = format!("the dealer {dealer} is a receiver too and would learn every input");
            let allowed = "a dealer that neither holds data nor gets the result";
            fields.wrong(faults, "correlations", what, allowed);
            None
        }
        Some(Ok(dealer)) => Some(Correlations::Dealer(dealer)),
        _ => {
            let hint = did_you_mean(text, ["ot"]);
            let what = format!("\"{text}\" is not a source{hint}");
            fields.wrong(faults, "correlations", what, CORRELATIONS);
            None
        }
    }
}

/// Which extension of oblivious transfer suits the slowest link between two computing parties: declared, because
/// every agent must compile the same plan.
fn over_link(
    fields: &mut Fields<'_, '_>,
    correlations: Option<Correlations>,
    faults: &mut Faults<'_>,
) -> Option<Correlations> {
    let link = fields.string(faults, "link");
    match (link, correlations) {
        (None | Some("fast"), Some(Correlations::Ot)) => Some(Correlations::Ot),
        (Some("slow"), Some(Correlations::Ot)) => Some(Correlations::FerretOt),
        (None, other) => other,
        (Some("fast" | "slow"), other) => {
            let what =
                "says how oblivious transfer is extended, and this job names no \"ot\"".to_owned();
            fields.wrong(faults, "link", what, "leave it out");
            other
        }
        (Some(text), other) => {
            let hint = did_you_mean(text, ["fast", "slow"]);
            let what = format!("\"{text}\" is not a link{hint}");
            fields.wrong(faults, "link", what, LINK);
            other
        }
    }
}

fn read_limits(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<u64> {
    let text = fields.string(faults, "max_wall");
    let seconds = text.map(seconds);
    if let (Some(text), Some(None)) = (text, seconds) {
        fields.wrong(
            faults,
            "max_wall",
            format!("\"{text}\" cannot be read"),
            WALL,
        );
    }
    fields.finish(faults);
    seconds.flatten()
}

fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let seconds = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (plain && (1..=MAX_WALL_S).contains(&seconds)).then_some(seconds)
}

/// A fault for a field that is understood and does not exist yet.
fn not_yet(fields: &mut Fields<'_, '_>, field: &'static str, faults: &mut Faults<'_>) {
    if fields.value(field).is_some() {
        fields.wrong(faults, field, NOT_YET, "leave it out");
    }
}
