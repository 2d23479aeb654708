//! Where the other parties are, as this holder knows it. Nobody else is asked: the coordinator least of all.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::contract::PartyName;

use super::Denial;

/// What is written for a party whose region is not known here. It lies in no region, and in none that is excluded for sure.
pub(super) const UNKNOWN: &str = "";

/// What a policy says about regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Regions {
    /// Where parties are.
    pub(super) of: BTreeMap<PartyName, String>,
    /// If written, the only regions whose parties take part in jobs over important data.
    pub(super) important: Option<BTreeSet<String>>,
}

/// Whether a text is a region: capital letters and digits, with `-` before each part of a larger one (ISO 3166-1, GB/T 2260), such as
/// `CN` and `CN-1101`.
pub(super) fn is_region(text: &str) -> bool {
    let is_part = |part: &str| {
        let mut bytes = part.bytes();
        !part.is_empty() && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    text.len() <= 32 && text.split('-').all(is_part)
}

/// Whether `region` is `whole` or a part of it.
pub(super) fn lies_in(region: &str, whole: &str) -> bool {
    let rest = region.strip_prefix(whole);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl Regions {
    /// Where these parties are.
    pub(super) fn all<'a>(&'a self, parties: &[&str]) -> BTreeSet<&'a str> {
        parties.iter().map(|party| self.region(party)).collect()
    }

    fn region(&self, party: &str) -> &str {
        let mut known = self.of.iter();
        let found = known.find(|(name, _)| name.as_str() == party);
        found.map_or(UNKNOWN, |(_, region)| region)
    }

    /// What stands against a job over important data between this holder and these parties.
    pub(super) fn objections(&self, others: &[&str]) -> Vec<Denial> {
        let Some(allowed) = &self.important else {
            return Vec::new();
        };
        let listed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let outside = |party: &&&str| {
            let region = self.region(party);
            region == UNKNOWN || !listed.iter().any(|whole| lies_in(region, whole))
        };
        let denial = |party: &&str| Denial {
            rule: "important_regions".to_owned(),
            what: match self.region(party) {
                UNKNOWN => format!("important data, and {party} has no region under [regions]"),
                region => format!("important data, and {party} is in {region}"),
            },
            allowed: format!("parties in {}", listed.join(", ")),
        };
        others.iter().filter(outside).map(denial).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_lies_in_itself_and_in_what_it_begins_with() {
        for text in ["CN", "CN-1101", "CN-11-01", "EU"] {
            assert!(is_region(text), "{text}");
        }
        for text in ["", "cn", "CN-", "-CN", "CN--1", "CN 1", "中国"] {
            assert!(!is_region(text), "{text}");
        }
        assert!(lies_in("CN-1101", "CN") && lies_in("CN", "CN"));
        assert!(!lies_in("CN", "CN-1101") && !lies_in("CNX", "CN"));
        assert!(!lies_in(UNKNOWN, "CN"));
    }
}
