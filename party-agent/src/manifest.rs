//! What each procedure takes, opens, leaks and sends, as files that people read and vet.
//!
//! A plan names the digest of its procedure's manifest, so that all parties agree on it, and holders can allow procedures by
//! digest in their policies. While a job runs, no message leaves an agent whose kind the manifest does not list: what a
//! procedure sends and what its manifest says cannot drift apart.

use std::sync::OnceLock;

use coordinator::contract::{Digest, canonical};
use protocols::wire::Kind;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Procedure};

/// One procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name, `entente:` and a word.
    pub id: String,
    /// Changes with what is written here.
    pub version: String,
    /// What it does.
    pub title: String,
    /// Who takes part.
    pub roles: Vec<String>,
    /// What goes in, and whose it is.
    pub inputs: Vec<String>,
    /// Numbers of a job and their bounds.
    #[serde(rename = "parameter")]
    pub parameters: Vec<Parameter>,
    /// What is opened, and to whom.
    pub opens: Vec<String>,
    /// What else is learnt.
    pub leaks: Vec<String>,
    /// Against whom it is secure.
    pub adversary: String,
    /// The kinds of messages that it sends.
    pub messages: Vec<String>,
}

/// A number of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Which.
    pub name: String,
    /// The least that it may be.
    pub least: u64,
    /// The most.
    pub most: u64,
}

/// Every kind of message by the name that manifests use.
const KINDS: [Kind; 21] = [
    Kind::Masked,
    Kind::MaskedBits,
    Kind::Commitments,
    Kind::Opening,
    Kind::Corrections,
    Kind::Transfer,
    Kind::Count,
    Kind::Elements,
    Kind::Tags,
    Kind::MaskedLanes,
    Kind::Store,
    Kind::Coin,
    Kind::Table,
    Kind::Records,
    Kind::Evaluations,
    Kind::Hints,
    Kind::Known,
    Kind::Order,
    Kind::Roll,
    Kind::Sums,
    Kind::Checkpoints,
];

const FILES: [&str; 7] = [
    include_str!("../manifests/totals.toml"),
    include_str!("../manifests/join.toml"),
    include_str!("../manifests/intersect.toml"),
    include_str!("../manifests/lookup.toml"),
    include_str!("../manifests/train.toml"),
    include_str!("../manifests/vertical.toml"),
    include_str!("../manifests/score.toml"),
];

/// What a manifest lacks or says wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("manifest {id}: {what}")]
pub struct ManifestFault {
    /// Which.
    pub id: String,
    /// What is wrong.
    pub what: String,
}

impl Manifest {
    /// All manifests of this program.
    ///
    /// # Panics
    /// Never: the files are part of the program, and a test reads them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Manifest>> = OnceLock::new();
        ALL.get_or_init(|| {
            let read = |text: &&str| toml::from_str(text).expect("a manifest that was checked in");
            FILES.iter().map(read).collect()
        })
    }

    /// The manifest of a procedure.
    #[must_use]
    pub fn of(procedure: &Procedure) -> &'static Self {
        &Self::all()[match procedure {
            Procedure::Totals => 0,
            Procedure::Join(_) => 1,
            Procedure::Intersect(_) => 2,
            Procedure::Lookup(_) => 3,
            Procedure::Train(_) => 4,
            Procedure::Vertical(_) => 5,
            Procedure::Score(_) => 6,
        }]
    }

    /// SHA-256 over its canonical form: what holders allow.
    ///
    /// # Panics
    /// Never: it holds texts and small numbers.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical::encode(self).expect("texts and small numbers have a canonical form"))
    }

    /// The digest as policies write it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("sha256:{}", self.digest())
    }

    /// Whether it lists a kind of message, by its number on the wire.
    #[must_use]
    pub fn sends(&self, kind: u16) -> bool {
        let found = KINDS.into_iter().find(|k| *k as u16 == kind);
        found.is_some_and(|kind| self.messages.contains(&format!("{kind:?}")))
    }

    /// A number of a plan that is out of the bounds that were vetted, if there is one.
    #[must_use]
    pub fn out_of_bounds(&self, plan: &Plan) -> Option<&Parameter> {
        let of = |name: &str| match name {
            "parties" => Some(plan.parties().count() as u64),
            "min_cell" => Some(plan.min_cell.at_least),
            _ => None,
        };
        let fits = |p: &&Parameter| of(&p.name).is_some_and(|n| (p.least..=p.most).contains(&n));
        self.parameters.iter().find(|p| !fits(p))
    }

    /// What is missing or wrong in it.
    #[must_use]
    pub fn lint(&self) -> Vec<ManifestFault> {
        let known = |word: &String| KINDS.iter().any(|k| format!("{k:?}") == *word);
        let unknown = self.messages.iter().find(|word| !known(word));
        let unfit = self.parameters.iter().find(|p| p.least > p.most);
        let nothing = [
            ("roles", self.roles.is_empty()),
            ("inputs", self.inputs.is_empty()),
            ("opens", self.opens.is_empty()),
            ("leaks", self.leaks.is_empty()),
            ("adversary", self.adversary.is_empty()),
            ("messages", self.messages.is_empty()),
            ("parameter", self.parameters.is_empty()),
        ];
        let mut found: Vec<String> = nothing
            .iter()
            .filter(|(_, lacks)| *lacks)
            .map(|(field, _)| format!("{field} says nothing"))
            .collect();
        found.extend(unknown.map(|word| format!("{word} is no kind of message")));
        found.extend(unfit.map(|p| format!("no number is a {}", p.name)));
        if !self.id.starts_with("entente:") {
            found.push("an id is entente: and a word".to_owned());
        }
        let fault = |what| ManifestFault {
            id: self.id.clone(),
            what,
        };
        found.into_iter().map(fault).collect()
    }
}
