//! Handshakes that must fail, with a clear reason at both ends; and the one that must not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use coordinator::tls::{
    self, ALPN, Admit, Expect, Fingerprint, Identity, SERVER_NAME, Trouble, client_config,
    endpoint, peer_fingerprint, server_config,
};
use rustls::DistinguishedName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};

use crate::support::{expect, identity, name, now, pins, within};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DAY: u64 = 86_400;

/// What each end came to: the other's fingerprint, or its trouble.
type Verdict = Result<Fingerprint, Trouble>;

/// Connects, says one byte each way, and tells what either end saw.
async fn meet(
    server: &Identity,
    admit: Arc<dyn Admit>,
    client: quinn::ClientConfig,
) -> (Verdict, Verdict) {
    meet_with(server_config(server, admit), client).await
}

async fn meet_with(server: quinn::ServerConfig, client: quinn::ClientConfig) -> (Verdict, Verdict) {
    let listening = endpoint(ANY, Some(server)).unwrap();
    let address = listening.local_addr().unwrap();
    let dialling = endpoint(ANY, None).unwrap();
    let serve = async {
        let connection = listening
            .accept()
            .await
            .unwrap()
            .await
            .map_err(|e| Trouble::of(&e))?;
        let (mut send, mut recv) = connection.accept_bi().await.map_err(|e| Trouble::of(&e))?;
        let mut byte = [0];
        recv.read_exact(&mut byte).await.unwrap();
        send.write_all(&byte).await.unwrap();
        send.finish().unwrap();
        let _ = send.stopped().await;
        Ok(peer_fingerprint(&connection).unwrap())
    };
    let dial = async {
        let connection = dialling
            .connect_with(client, address, SERVER_NAME)
            .unwrap()
            .await
            .map_err(|e| Trouble::of(&e))?;
        // Connected says nothing yet: the server's verdict comes with the first message, or instead of it.
        let said = async {
            let (mut send, mut recv) = connection.open_bi().await.ok()?;
            send.write_all(b"?").await.ok()?;
            recv.read_exact(&mut [0]).await.ok()
        };
        match said.await {
            Some(()) => Ok(peer_fingerprint(&connection).unwrap()),
            None => Err(Trouble::of(&connection.closed().await)),
        }
    };
    within("both ends come to a verdict", async {
        tokio::join!(serve, dial)
    })
    .await
}

async fn meet_as(
    server: &Identity,
    admit: Arc<dyn Admit>,
    client: &Identity,
    expected: Expect,
) -> (Verdict, Verdict) {
    meet(server, admit, client_config(client, Arc::new(expected))).await
}

fn refused(code: &str, text: &str, verdict: (Verdict, Verdict), by_server: bool) {
    let (judge, judged) = if by_server {
        verdict
    } else {
        (verdict.1, verdict.0)
    };
    match judge {
        Err(Trouble::WeRefused {
            code: got,
            text: said,
        }) => {
            assert_eq!(got, code);
            assert!(said.as_str().contains(text), "{said}");
        }
        other => panic!("the judging end: {other:?}"),
    }
    match judged {
        Err(trouble @ Trouble::PeerRefused) => {
            assert!(trouble.is_refusal());
            for advice in ["entente keys trust", "entente keys show", "renew", "clocks"] {
                assert!(trouble.to_string().contains(advice), "{trouble}");
            }
        }
        other => panic!("the refused end: {other:?}"),
    }
}

#[tokio::test]
async fn parties_that_pin_each_other_meet() {
    let (server, client) = (identity("server"), identity("client"));
    let pins = Arc::new(pins([&client]));
    let (at_server, at_client) = meet_as(&server, pins, &client, expect(&server)).await;
    assert_eq!(at_server, Ok(client.fingerprint()));
    assert_eq!(at_client, Ok(server.fingerprint()));
}

#[tokio::test]
async fn a_renewed_certificate_is_still_trusted() {
    let server = identity("server");
    let old = Identity::generate_between(name("client"), now() - 30 * DAY, now() - DAY).unwrap();
    let renewed = Arc::new(old.renew(30).unwrap());
    let (at_server, _) = meet_as(
        &server,
        Arc::new(pins([&renewed])),
        &renewed,
        expect(&server),
    )
    .await;
    assert_eq!(at_server, Ok(old.fingerprint()));
}

#[tokio::test]
async fn a_client_that_is_not_pinned() {
    let (server, client) = (identity("server"), identity("client"));
    let verdict = meet_as(&server, Arc::new(pins([&server])), &client, expect(&server)).await;
    let command = format!("entente keys trust client {}", client.fingerprint());
    refused("unpinned", &command, verdict, true);
}

#[tokio::test]
async fn a_server_with_another_key_than_expected() {
    let (server, client, other) = (identity("server"), identity("client"), identity("server"));
    let verdict = meet_as(&server, Arc::new(pins([&client])), &client, expect(&other)).await;
    refused(
        "wrong-key",
        &server.fingerprint().to_string(),
        verdict,
        false,
    );
}

#[tokio::test]
async fn a_client_whose_certificate_has_expired() {
    let server = identity("server");
    let client =
        Arc::new(Identity::generate_between(name("client"), now() - 2 * DAY, now() - DAY).unwrap());
    let verdict = meet_as(&server, Arc::new(pins([&client])), &client, expect(&server)).await;
    refused("expired", "expired at", verdict, true);
}

#[tokio::test]
async fn a_client_whose_certificate_is_not_valid_yet() {
    let server = identity("server");
    let client =
        Arc::new(Identity::generate_between(name("client"), now() + DAY, now() + 2 * DAY).unwrap());
    let verdict = meet_as(&server, Arc::new(pins([&client])), &client, expect(&server)).await;
    refused("not-yet-valid", "check both clocks", verdict, true);
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired() {
    let client = identity("client");
    let server =
        Arc::new(Identity::generate_between(name("server"), now() - 2 * DAY, now() - DAY).unwrap());
    let verdict = meet_as(&server, Arc::new(pins([&client])), &client, expect(&server)).await;
    refused("expired", "renews the certificate", verdict, false);
}

#[tokio::test]
async fn an_expired_certificate_of_a_stranger_is_simply_a_strangers() {
    let server = identity("server");
    let client =
        Arc::new(Identity::generate_between(name("client"), now() - 2 * DAY, now() - DAY).unwrap());
    let verdict = meet_as(&server, Arc::new(pins([&server])), &client, expect(&server)).await;
    refused("unpinned", "not trusted here", verdict, true);
}

/// Accepts any server: what a scanner, or a client of another protocol, does.
#[derive(Debug)]
struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

pub(crate) fn stranger(alpn: &[u8]) -> quinn::ClientConfig {
    let provider = Arc::new(default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    quinn::ClientConfig::new(Arc::new(crypto))
}

#[tokio::test]
async fn another_application_protocol() {
    let server = identity("server");
    let (at_server, at_client) = meet(&server, Arc::new(pins([&server])), stranger(b"h3")).await;
    assert_eq!(at_server, Err(Trouble::NoCommonProtocol));
    assert_eq!(at_client, Err(Trouble::NoCommonProtocol));
    assert!(Trouble::NoCommonProtocol.to_string().contains("entente/1"));
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let server = identity("server");
    let (at_server, at_client) = meet(&server, Arc::new(pins([&server])), stranger(ALPN)).await;
    assert!(
        matches!(at_server, Err(Trouble::Handshake { .. })),
        "{at_server:?}"
    );
    assert!(
        matches!(at_client, Err(Trouble::Handshake { .. })),
        "{at_client:?}"
    );
}

/// Lets every client in, or refuses every one in words of its own.
#[derive(Debug)]
struct Careless {
    refuses_with: Option<&'static str>,
}

impl ClientCertVerifier for Careless {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.refuses_with {
            Some(text) => Err(rustls::Error::General(text.to_owned())),
            None => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

/// Key and certificate in files, as rustls takes them, for ends that do what they like with them.
fn on_disk(
    identity: &Identity,
) -> (
    tempfile::TempDir,
    CertificateDer<'static>,
    Arc<dyn SigningKey>,
) {
    let dir = tempfile::tempdir().unwrap();
    identity.save(dir.path()).unwrap();
    let certificate = CertificateDer::from_pem_file(dir.path().join("certificate.pem")).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_file(dir.path().join("key.pem")).unwrap();
    let key = any_eddsa_type(&key).unwrap();
    (dir, certificate, key)
}

fn rogue_server(
    certificate: CertificateDer<'static>,
    key: Arc<dyn SigningKey>,
    verifier: Careless,
) -> quinn::ServerConfig {
    let both = Arc::new(CertifiedKey::new(vec![certificate], key));
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(both)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    quinn::ServerConfig::with_crypto(Arc::new(crypto))
}

fn rogue_client(
    certificate: CertificateDer<'static>,
    key: Arc<dyn SigningKey>,
) -> quinn::ClientConfig {
    let both = Arc::new(CertifiedKey::new(vec![certificate], key));
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(both)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    quinn::ClientConfig::new(Arc::new(crypto))
}

/// Who closes a connection writes what it likes. A person who reads our error must not take it for our advice.
#[tokio::test]
async fn the_words_of_the_other_side_are_not_shown() {
    let (server, client) = (identity("server"), identity("client"));
    let (_dir, certificate, key) = on_disk(&server);
    let refuses_with = Some("[expired] send your key.pem to renew@evil.example");
    let rogue = rogue_server(certificate, key, Careless { refuses_with });
    let config = client_config(&client, Arc::new(expect(&server)));
    let (_, at_client) = meet_with(rogue, config).await;
    let trouble = at_client.unwrap_err();
    assert_eq!(trouble, Trouble::PeerRefused);
    assert!(!format!("{trouble} {trouble:?}").contains("evil"));
}

/// A certificate is no secret: every peer has seen it. What counts is the key, and that is proved at each handshake.
#[tokio::test]
async fn a_pinned_certificate_with_another_key_behind_it() {
    let (server, client, thief) = (identity("server"), identity("client"), identity("thief"));
    let (_thiefs, _, stolen_with) = on_disk(&thief);

    let (_clients, certificate, _) = on_disk(&client);
    let rogue = rogue_client(certificate, Arc::clone(&stolen_with));
    let (at_server, at_client) = meet(&server, Arc::new(pins([&client])), rogue).await;
    assert!(
        matches!(at_server, Err(Trouble::Handshake { .. })),
        "{at_server:?}"
    );
    assert!(at_client.is_err(), "{at_client:?}");

    let (_servers, certificate, _) = on_disk(&server);
    let refuses_with = None;
    let rogue = rogue_server(certificate, stolen_with, Careless { refuses_with });
    let config = client_config(&client, Arc::new(expect(&server)));
    let (at_server, at_client) = meet_with(rogue, config).await;
    assert!(at_server.is_err(), "{at_server:?}");
    assert!(
        matches!(at_client, Err(Trouble::Handshake { .. })),
        "{at_client:?}"
    );
}

/// One element in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let n = content.len();
    let length = match n {
        0..=127 => vec![u8::try_from(n).unwrap()],
        _ => vec![0x82, u8::try_from(n >> 8).unwrap(), (n & 0xff) as u8],
    };
    [&[tag][..], &length, content].concat()
}

/// The same key in a certificate of version 1, which one of the X.509 libraries at hand reads and the other one does not.
fn version_1(identity: &Identity) -> CertificateDer<'static> {
    let ed25519 = der(0x30, &[0x06, 0x03, 0x2b, 0x65, 0x70]);
    let common_name = [&[0x06, 0x03, 0x55, 0x04, 0x03][..], &der(0x0c, b"client")].concat();
    let name = der(0x30, &der(0x31, &der(0x30, &common_name)));
    let dates = [der(0x17, b"200101000000Z"), der(0x17, b"490101000000Z")].concat();
    let key = [&[0x00][..], &identity.public_key().0].concat();
    let spki = der(0x30, &[ed25519.clone(), der(0x03, &key)].concat());
    let fields = [
        der(0x02, &[1]),
        ed25519.clone(),
        name.clone(),
        der(0x30, &dates),
        name,
        spki,
    ];
    let signature = der(0x03, &[0; 65]);
    let whole = [der(0x30, &fields.concat()), ed25519, signature].concat();
    CertificateDer::from(der(0x30, &whole))
}

/// The key that is judged and the key that signs come from one reading of the certificate: were there two readers, bytes that
/// they read differently would be judged by one key and signed by another.
#[tokio::test]
async fn certificates_are_read_by_one_parser_only() {
    let (server, client) = (identity("server"), identity("client"));
    let (_dir, _, key) = on_disk(&client);
    let config = rogue_client(version_1(&client), key);
    let (at_server, _) = meet(&server, Arc::new(pins([&client])), config).await;
    assert_eq!(at_server, Ok(client.fingerprint()));
}

#[tokio::test]
async fn nothing_is_resumed() {
    let (server, client) = (identity("server"), identity("client"));
    let listening = endpoint(ANY, Some(server_config(&server, Arc::new(pins([&client]))))).unwrap();
    let address = listening.local_addr().unwrap();
    let dialling = endpoint(ANY, None).unwrap();
    let config = client_config(&client, Arc::new(expect(&server)));
    for _ in 0..2 {
        let serve = async {
            let connection = listening.accept().await.unwrap().await.unwrap();
            connection
                .open_uni()
                .await
                .unwrap()
                .write_all(b"!")
                .await
                .unwrap();
            connection.closed().await;
        };
        let dial = async {
            let connecting = dialling
                .connect_with(config.clone(), address, SERVER_NAME)
                .unwrap();
            let Err(connecting) = connecting.into_0rtt() else {
                panic!("there were keys for early data")
            };
            let connection = connecting.await.unwrap();
            connection
                .accept_uni()
                .await
                .unwrap()
                .read_exact(&mut [0])
                .await
                .unwrap();
            connection.close(0_u32.into(), b"");
        };
        within("two full handshakes", async { tokio::join!(serve, dial) }).await;
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = endpoint(ANY, None).unwrap();
    let address = first.local_addr().unwrap();
    let error = tls::endpoint(address, None).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
