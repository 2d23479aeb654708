//! Who is who: keys, pins, and the TLS 1.3 configuration of every connection in the system.
//!
//! A party is its Ed25519 key. The key sits in a self-signed X.509 certificate, which gives it a name and dates; nobody else
//! signs it, and no authority can introduce a party. Each side checks the other's key against a list of fingerprints
//! that people exchanged out of band ([`Pins`]), and the certificate's dates, and nothing else.
//!
//! **A client in TLS 1.3 is "connected" before the server has judged its certificate.** A connection therefore counts as
//! authenticated only after the first application message from the peer. [`Trouble::of`] turns the error that arrives
//! instead into a reason, at both ends.
//!
//! No session is resumed and there is no 0-RTT data (both can be replayed). The key exchange prefers X25519MLKEM768: whoever
//! records all links of a job today and breaks X25519 later would otherwise rebuild the shares.

mod fingerprint;
mod identity;
mod pins;
mod verify;
mod transport;
mod trouble;
mod reset;

pub use fingerprint::Fingerprint;
pub use identity::{Identity, IdentityError};
pub use pins::{Former, Pin, Pins, PinsError};
pub(crate) use reset::restartable_endpoint_config;
pub use transport::{
    ALPN, EndpointError, SERVER_NAME, client_config, endpoint, endpoint_config, server_config,
    transport_config,
};
pub(crate) use transport::{coordinator_transport, endpoint_with};
pub use trouble::Trouble;
pub use verify::{Admit, Expect, Refusal, peer_fingerprint};
