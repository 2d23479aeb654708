//! The end of every demo: the evidence, as somebody else finds it.

use crate::evidence;
use crate::outcome::{Outcome, Output};
use crate::rehearse::Finished;
use party_agent::evidence::Verified;
use std::path::Path;

/// What the demo shows of its evidence.
pub(super) struct Told {
    pub(super) verified: Verified,
    pub(super) text: String,
}

/// Verifies what the receiver has exported, from its bytes alone. `tamper`: after one of them was changed.
pub(super) fn verified(finished: &Finished, tamper: bool, output: &Output) -> Outcome<Told> {
    let mut bytes = finished.evidence.clone().into_bytes();
    if tamper {
        let place = in_a_receipt(&finished.evidence);
        bytes[place] ^= 1;
        output.say(&format!(
            "\nOne bit of the evidence was flipped: byte {place} of {}, the number of rounds in a receipt",
            bytes.len()
        ));
    }
    let verified = evidence::check(&bytes, None, Path::new("evidence.json"))?;
    let text = format!(
        "The evidence, one file of {} bytes, which anybody can verify without a network: contract, approvals,\n   \
         plan, receipts and logs of all parties. entente evidence verify says: it holds, with {} entries of logs and\n   \
         {} signatures of witnesses. (Run the demo with --tamper to see one flipped bit found.)\n",
        bytes.len(),
        verified.n_entries,
        verified.n_cosignatures
    );
    Ok(Told { verified, text })
}

/// The place of a digit that a party has signed. Receipts come after the plan, which has such a field too.
fn in_a_receipt(evidence: &str) -> usize {
    const FIELD: &str = "\\\"rounds\\\":";
    evidence.rfind(FIELD).map_or(0, |at| at + FIELD.len())
}
