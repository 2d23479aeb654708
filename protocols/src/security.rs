//! What a protocol claims, in words that the plan shows to the people who approve it.

use crate::party::Seat;
use std::fmt;

/// The claim of one protocol run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// How a corrupt seat may behave.
    pub adversary: Adversary,
    /// Which seats may be corrupt together.
    pub collusion: Collusion,
    /// Everything that a seat learns beyond its own input and the public sizes.
    pub learns: Vec<Learns>,
}

/// How a corrupt seat may behave without breaking the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    /// It follows the protocol and looks at everything that it receives.
    SemiHonest,
}

/// Which seats may be corrupt together without breaking the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collusion {
    /// All but one.
    AllButOne,
    /// All computing seats but one, or the dealer alone. The dealer together with any one
    /// computing seat learns every input.
    AllButOneWithoutDealer,
}

/// Something that some seats learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learns {
    /// The seats.
    pub seats: Vec<Seat>,
    /// What they learn.
    pub what: &'static str,
}

impl fmt::Display for Adversary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SemiHonest => "semi-honest: every party follows the protocol and may look",
        })
    }
}

impl fmt::Display for Collusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllButOne => "all parties but one may collude",
            Self::AllButOneWithoutDealer => {
                "all computing parties but one may collude; the dealer must not collude with any"
            }
        })
    }
}
