//! Who has vetted a procedure: reviewers whom a holder trusts sign the digest of its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coordinator::contract::{Digest, PartyName, Signed, Statement, StatementError};
use coordinator::tls::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{Denial, PolicyError};

/// So many reviewers have to have signed a procedure's manifest, where a holder lists any.
pub(super) const LEAST: usize = 2;
/// The directory beside the policy file in which signed reviews are.
const DIRECTORY: &str = "reviews";
/// Longest name of a procedure, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What a reviewer signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Its id.
    pub procedure: String,
    /// Who has read it.
    pub reviewer: PartyName,
}

impl Statement for Review {
    const CONTEXT: &'static str = "entente/v1/policy/review";
    const MAX_BYTES: usize = 1 << 12;

    fn check(&self) -> Result<(), StatementError> {
        match (1..=MAX_NAME_BYTES).contains(&self.procedure.len()) {
            true => Ok(()),
            false => Err(StatementError("a procedure has a name of 1 to 64 bytes")),
        }
    }
}

/// Who has signed which manifest, of the reviewers that a holder lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reviews {
    signed: BTreeMap<Digest, BTreeSet<PartyName>>,
    /// What each signs, and the digest of what was signed.
    documents: BTreeSet<(Digest, Digest)>,
}

impl Reviews {
    /// Reads the reviews beside a policy file. Without a directory there are none.
    ///
    /// # Errors
    /// [`PolicyError::Review`]: one that is not validly signed by a listed reviewer makes the policy allow nothing.
    pub(super) fn beside(
        policy: &Path,
        reviewers: &BTreeMap<PartyName, Fingerprint>,
    ) -> Result<Self, PolicyError> {
        let mut reviews = Self::default();
        if reviewers.is_empty() {
            return Ok(reviews);
        }
        let directory = policy.with_file_name(DIRECTORY);
        let unusable = |path: &Path, what: String| PolicyError::Review {
            path: path.to_owned(),
            what,
        };
        let files = match std::fs::read_dir(&directory) {
            Ok(files) => files,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(reviews),
            Err(e) => return Err(unusable(&directory, e.to_string())),
        };
        for file in files {
            let path = file
                .map_err(|e| unusable(&directory, e.to_string()))?
                .path();
            let bytes = std::fs::read(&path).map_err(|e| unusable(&path, e.to_string()))?;
            let read = read(&bytes, reviewers).map_err(|what| unusable(&path, what))?;
            let (review, digest) = read;
            reviews.documents.insert((review.manifest, digest));
            let signed = reviews.signed.entry(review.manifest).or_default();
            signed.insert(review.reviewer);
        }
        Ok(reviews)
    }

    /// The manifests with the digests of the signed reviews of each.
    pub(super) fn documents(&self) -> impl Iterator<Item = &(Digest, Digest)> {
        self.documents.iter()
    }

    /// What is missing for a procedure, by its manifest as policies write it.
    pub(super) fn objection(&self, algorithm: &str) -> Option<Denial> {
        let mut found = self.signed.iter();
        let found = found.find(|(manifest, _)| format!("sha256:{manifest}") == algorithm);
        let n = found.map_or(0, |(_, reviewers)| reviewers.len());
        (n < LEAST).then(|| Denial {
            rule: "reviewers".to_owned(),
            what: format!("{n} of this holder's reviewers have signed the manifest {algorithm}"),
            allowed: format!("procedures whose manifest {LEAST} of them have signed"),
        })
    }
}

fn read(
    bytes: &[u8],
    reviewers: &BTreeMap<PartyName, Fingerprint>,
) -> Result<(Review, Digest), String> {
    let signed: Signed<Review> =
        serde_json::from_slice(bytes).map_err(|_| "it is not a signed review".to_owned())?;
    let key = Fingerprint::of(&signed.public_key());
    let review = signed.verify(&key).map_err(|e| e.to_string())?;
    match reviewers.get(&review.reviewer) == Some(&key) {
        true => Ok((review, signed.digest())),
        false => Err("it is not signed with the key of a listed reviewer".to_owned()),
    }
}
