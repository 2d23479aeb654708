//! Judging the other side's certificate: its key against the pins, its dates against the clock, and nothing else.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::{Fingerprint, Pin, Pins};
use crate::contract::PartyName;

/// Decides which keys are let in, and under which name.
pub trait Admit: Send + Sync + fmt::Debug {
    /// The party behind `key`. `claimed` is the name in the certificate, which proves nothing: use it in messages only.
    fn admit(&self, key: &Fingerprint, claimed: Option<&PartyName>) -> Result<PartyName, Refusal>;
}

impl Admit for Pins {
    fn admit(&self, key: &Fingerprint, claimed: Option<&PartyName>) -> Result<PartyName, Refusal> {
        match self.name_of(key) {
            Some(name) => Ok(name.clone()),
            None => Err(Refusal::Unpinned {
                got: *key,
                claimed: claimed.cloned(),
            }),
        }
    }
}

/// Lets in one party, under any key that is its own now.
impl Admit for Pin {
    fn admit(&self, key: &Fingerprint, _claimed: Option<&PartyName>) -> Result<PartyName, Refusal> {
        match self.holds(key) {
            true => Ok(self.name.clone()),
            false => Err(Refusal::WrongKey {
                party: self.name.clone(),
                expected: self.fingerprint,
                got: *key,
            }),
        }
    }
}

/// Admits one party under one key: what a client expects at the other end.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The party's name.
    pub name: PartyName,
    /// The key pinned for it.
    pub fingerprint: Fingerprint,
}

impl From<Expect> for Pin {
    fn from(expected: Expect) -> Self {
        Self::new(expected.name, expected.fingerprint)
    }
}

impl Admit for Expect {
    fn admit(&self, key: &Fingerprint, _claimed: Option<&PartyName>) -> Result<PartyName, Refusal> {
        if *key == self.fingerprint {
            return Ok(self.name.clone());
        }
        Err(Refusal::WrongKey {
            party: self.name.clone(),
            expected: self.fingerprint,
            got: *key,
        })
    }
}

/// Why a certificate is refused.
///
/// The text starts with a code in brackets, by which [`super::Trouble`] recognises it at the end that refuses. It is sent along
/// with the refusal, where the other end does not look at it: nobody can tell who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A key that is on no list.
    #[error(
        "[unpinned] the key {got} is not trusted here; if it is right, add it with: entente keys trust {} {got}",
        claimed.as_ref().map_or("NAME", PartyName::as_str)
    )]
    Unpinned {
        /// The key presented.
        got: Fingerprint,
        /// The name in its certificate.
        claimed: Option<PartyName>,
    },
    /// Another key than the one pinned for this party.
    #[error(
        "[wrong-key] {party} is known by the key {expected}, but {got} was presented; ask {party} whether its key changed"
    )]
    WrongKey {
        /// Who was expected.
        party: PartyName,
        /// The key pinned for it.
        expected: Fingerprint,
        /// The key presented.
        got: Fingerprint,
    },
    /// Past its last day.
    #[error(
        "[expired] the certificate of {got} expired at {not_after} (the time here is {now}); start that agent or coordinator again: it renews the certificate, and the key stays"
    )]
    Expired {
        /// The key presented.
        got: Fingerprint,
        /// Last moment of validity.
        not_after: String,
        /// The judge's clock.
        now: String,
    },
    /// Before its first day.
    #[error(
        "[not-yet-valid] the certificate of {got} is not valid before {not_before} (the time here is {now}); check both clocks"
    )]
    NotYetValid {
        /// The key presented.
        got: Fingerprint,
        /// First moment of validity.
        not_before: String,
        /// The judge's clock.
        now: String,
    },
    /// Not a certificate as this system makes them.
    #[error(
        "[malformed] the certificate is not a single self-signed X.509 certificate of an Ed25519 key"
    )]
    Malformed,
}

/// What this system reads from a certificate.
pub(super) struct Certificate {
    pub(super) fingerprint: Fingerprint,
    /// The key, as DER.
    spki: Vec<u8>,
    /// The common name, whatever it says.
    pub(super) name: Option<String>,
    not_before: i64,
    pub(super) not_after: i64,
}

impl Certificate {
    pub(super) fn read(der: &[u8]) -> Result<Self, Refusal> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Refusal::Malformed)?;
        let fingerprint =
            Fingerprint::of_spki(certificate.public_key().raw).ok_or(Refusal::Malformed)?;
        if !rest.is_empty() {
            return Err(Refusal::Malformed);
        }
        let name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok());
        Ok(Self {
            fingerprint,
            spki: certificate.public_key().raw.to_vec(),
            name: name.map(str::to_owned),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

/// The fingerprint of the key that the other side of a live connection proved to hold.
pub fn peer_fingerprint(connection: &quinn::Connection) -> Option<Fingerprint> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    Certificate::read(chain.first()?)
        .ok()
        .map(|c| c.fingerprint)
}

/// Both ends' verifier.
#[derive(Debug)]
pub(super) struct PinVerifier {
    admit: Arc<dyn Admit>,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    pub(super) fn new(admit: Arc<dyn Admit>, provider: Arc<CryptoProvider>) -> Self {
        Self { admit, provider }
    }

    fn judge(
        &self,
        leaf: &[u8],
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let refuse = |refusal: Refusal| rustls::Error::Other(OtherError(Arc::new(refusal)));
        let certificate = Certificate::read(leaf).map_err(refuse)?;
        if !others.is_empty() {
            return Err(refuse(Refusal::Malformed));
        }
        let got = certificate.fingerprint;
        let claimed = certificate.name.and_then(|name| PartyName::new(name).ok());
        // The pin comes first: a stranger learns nothing about dates.
        self.admit.admit(&got, claimed.as_ref()).map_err(refuse)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < certificate.not_before {
            let not_before = date(certificate.not_before);
            return Err(refuse(Refusal::NotYetValid {
                got,
                not_before,
                now: date(now),
            }));
        }
        if now > certificate.not_after {
            return Err(refuse(Refusal::Expired {
                got,
                not_after: date(certificate.not_after),
                now: date(now),
            }));
        }
        Ok(())
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // With the very key that was judged: a second parser might find another one in the same bytes.
        let read = Certificate::read(certificate)
            .map_err(|refusal| rustls::Error::Other(OtherError(Arc::new(refusal))))?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(read.spki.as_slice()),
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn date(unix_s: i64) -> String {
    ASN1Time::from_timestamp(unix_s)
        .map_or_else(|_| format!("Unix time {unix_s}"), |time| time.to_string())
}

/// TLS 1.2 is never offered, so that its signatures cannot be asked for.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General(
        "TLS 1.2 is not spoken here".to_owned(),
    ))
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PinVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
