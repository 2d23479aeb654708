//! Who takes part: [`PartyId`] is an organisation, [`Seat`] its place in one session.
//!
//! A party keeps its name for years; a seat is a number that exists for one computation. Only the
//! agent's `execute` step maps one to the other, so no protocol can know a name.

use std::fmt;
use std::str::FromStr;

/// The durable name of an organisation: 1 to 32 characters from `a-z`, `0-9` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyId(String);

/// A name that is not a [`PartyId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartyIdError {
    /// The name is empty or too long.
    #[error("a party's name has 1 to 32 characters, this one has {found}")]
    Length {
        /// Number of characters found.
        found: usize,
    },
    /// The name holds a character outside `a-z`, `0-9` and `_`.
    #[error("a party's name consists of a-z, 0-9 and _; {found:?} is not among them")]
    Character {
        /// The first such character.
        found: char,
    },
}

impl PartyId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartyId {
    type Err = PartyIdError;

    fn from_str(name: &str) -> Result<Self, PartyIdError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if let Some(found) = name.chars().find(|c| !allowed(*c)) {
            return Err(PartyIdError::Character { found });
        }
        if name.is_empty() || name.len() > 32 {
            return Err(PartyIdError::Length { found: name.len() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A 0-based place in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub u8);

impl Seat {
    /// The seat as an index into vectors with one entry a seat.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The seat with this index.
    ///
    /// # Panics
    ///
    /// If there are more than 256 seats.
    pub fn from_index(index: usize) -> Self {
        Self(u8::try_from(index).expect("a session has at most 256 seats"))
    }

    /// The first `n_seats` seats in order.
    pub fn first(n_seats: usize) -> impl Iterator<Item = Self> + Clone {
        (0..n_seats).map(Self::from_index)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_names() {
        for good in ["a", "hospital_1", "0", &"x".repeat(32)] {
            assert_eq!(good.parse::<PartyId>().expect(good).to_string(), good);
        }
        let long = "x".repeat(33);
        for bad in ["", "Hospital", "a-b", "a b", "é", &long] {
            assert!(bad.parse::<PartyId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn seats_count_from_zero() {
        let seats: Vec<String> = Seat::first(3).map(|s| s.to_string()).collect();
        assert_eq!(seats, ["seat 0", "seat 1", "seat 2"]);
        assert_eq!(Seat::from_index(2).index(), 2);
    }
}
