//! Lets a restarted endpoint tell its old peers at once that their connections are gone (RFC 9000 §10.3, stateless reset).
//!
//! The token that ends a connection is a keyed hash of its id. With a key that survives the restart, the new process can answer
//! packets of connections it never knew, and the peer dials again instead of waiting for the idle timeout. The key is
//! derived from the identity's secret: whoever knew it could end connections.

use std::sync::Arc;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rand::TryRng as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Identity;
use super::transport::set_payload_size;

const CONTEXT: &str = "entente/v1/tls/stateless-reset";
const ID_BYTES: usize = 8;

/// Endpoint settings for an endpoint that keeps its address over a restart.
pub(crate) fn restartable_endpoint_config(identity: &Identity) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(identity.derive_key(CONTEXT))));
    config.cid_generator(|| Box::new(RandomIds));
    set_payload_size(&mut config);
    config
}

struct ResetKey(Zeroizing<[u8; 32]>);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        if bool::from(expected.as_bytes()[..].ct_eq(signature)) {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

/// Connection ids that any process accepts as possible ones. The default ones are keyed by the process, so that a restarted one
/// would drop old packets unanswered.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        rand::rngs::SysRng
            .try_fill_bytes(&mut id)
            .expect("the operating system gave randomness when the identity was loaded");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
