//! What is checked of an evidence file, and the exit code of each check.

use std::fmt;

/// One check. They are made in this order, and the first that fails is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Check {
    /// It is an evidence file: canonical JSON with exactly the fields of its format.
    Form = 20,
    /// The contract is validly signed by its proposer.
    Contract = 21,
    /// The parties' keys are those that the reader trusts.
    Trust = 22,
    /// There is one acceptance of every party, and none besides.
    Approvals = 23,
    /// Every acceptance is validly signed, and for this contract and plan.
    Approval = 24,
    /// The pages are those that every acceptance names.
    Page = 25,
    /// The plan is the one that the contract names.
    Plan = 26,
    /// The list of opened values is what the plan declares.
    Opened = 27,
    /// There is one receipt of every party, and none besides.
    Receipts = 28,
    /// Every receipt is validly signed, and for this run.
    Receipt = 29,
    /// What one party says that it sent, the other one says that it received.
    Traffic = 30,
    /// The result is the one that the exporter's receipt commits to.
    Output = 31,
    /// Every party's checkpoint is signed by it.
    Checkpoint = 32,
    /// Every checkpoint is signed as seen by every other party.
    Witness = 33,
    /// Every entry is in the log of its checkpoint.
    Inclusion = 34,
    /// The entries tell of this contract, acceptance and receipt, in this order.
    Entries = 35,
    /// Every log continues what the others had seen of it before.
    Growth = 36,
    /// The provenance names nothing that is not there, and says what the documents say.
    Provenance = 37,
    /// The sections for a notary and the certificate say what the documents show.
    Attested = 39,
    /// The exporter has signed the file as it is.
    Seal = 38,
}

impl Check {
    /// All, in their order.
    pub const ALL: [Self; 20] = [
        Self::Form,
        Self::Contract,
        Self::Trust,
        Self::Approvals,
        Self::Approval,
        Self::Page,
        Self::Plan,
        Self::Opened,
        Self::Receipts,
        Self::Receipt,
        Self::Traffic,
        Self::Output,
        Self::Checkpoint,
        Self::Witness,
        Self::Inclusion,
        Self::Entries,
        Self::Growth,
        Self::Provenance,
        Self::Attested,
        Self::Seal,
    ];

    /// The exit code of `entente evidence verify` when it fails.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// A short word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Contract => "contract",
            Self::Trust => "trust",
            Self::Approvals => "approvals",
            Self::Approval => "approval",
            Self::Page => "page",
            Self::Plan => "plan",
            Self::Opened => "opened",
            Self::Receipts => "receipts",
            Self::Receipt => "receipt",
            Self::Traffic => "traffic",
            Self::Output => "output",
            Self::Checkpoint => "checkpoint",
            Self::Witness => "witness",
            Self::Inclusion => "inclusion",
            Self::Entries => "entries",
            Self::Growth => "growth",
            Self::Provenance => "provenance",
            Self::Attested => "attested",
            Self::Seal => "seal",
        }
    }

    /// What its failure means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Form => "this is not an evidence file in canonical form",
            Self::Contract => "the contract is not validly signed by its proposer",
            Self::Trust => "a party's key is not the one that is trusted under its name",
            Self::Approvals => "there is not exactly one approval of every party",
            Self::Approval => "an approval is not valid for this contract and plan",
            Self::Page => "a page is not the one that was approved",
            Self::Plan => "the plan is not the one of the contract",
            Self::Opened => "the list of opened values is not what the plan declares",
            Self::Receipts => "there is not exactly one receipt of every party",
            Self::Receipt => "a receipt is not valid for this run",
            Self::Traffic => "two receipts differ in what went from one party to the other",
            Self::Output => "the result is not the one that the receipt commits to",
            Self::Checkpoint => "a checkpoint is not signed by the owner of the log",
            Self::Witness => "a checkpoint is not signed as seen by every other party",
            Self::Inclusion => "an entry is not in the log of its checkpoint",
            Self::Entries => "a log does not tell of this contract, approval and receipt",
            Self::Growth => "a log does not continue what was seen of it before",
            Self::Provenance => "the provenance does not fit the documents",
            Self::Attested => {
                "a section for a notary, or the certificate, does not fit the documents"
            }
            Self::Seal => "the file is not as its exporter has signed it",
        }
    }

    /// Its failure, with words about where.
    #[must_use]
    pub fn fault(self, what: impl Into<String>) -> Fault {
        Fault {
            check: self,
            what: what.into(),
        }
    }
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Which.
    pub check: Check,
    /// Where, in words.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check.meaning(), self.what)
    }
}
