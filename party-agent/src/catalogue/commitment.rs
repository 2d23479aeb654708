//! What a holder commits to: the very bytes of a table, under a salt, so that a plan names the data that people agreed to use.
//!
//! A commitment tells nobody anything. Its owner can open it to an auditor, who then knows that a file which is shown later is the
//! one that was used; it does not show that what the file says is true.

use coordinator::contract::Digest;

const CONTEXT: &[u8] = b"entente/v1/catalogue/commitment-salt\0";

/// A commitment with what opens it. The salt is this holder's secret until it opens the commitment.
pub struct Commitment {
    /// Hides the content.
    pub salt: Digest,
    /// SHA-256 of the table's file, or of the digests of the table's and of the list of withdrawals one after the other.
    pub content: Digest,
}

impl Commitment {
    /// Commits to a table's content. The same secret gives the same commitment to the same content, at every start of an agent.
    #[must_use]
    pub fn new(secret: &[u8; 32], table: &str, content: Digest) -> Self {
        let salted = [CONTEXT, secret, &content.0, table.as_bytes()].concat();
        Self {
            salt: Digest::of(&salted),
            content,
        }
    }

    /// What is published: SHA-256 of the salt and the content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.salt.0, self.content.0].concat())
    }
}
