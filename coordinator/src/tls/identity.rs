//! A party's own key and certificate.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::{self, LineEnding};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rand::TryRng as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::Fingerprint;
use super::verify::Certificate;
use crate::clock::{Clock, SystemClock};
use crate::contract::{NameError, PartyName, PublicKey, SignatureBytes};

/// File that holds the secret key, in an identity's directory.
const KEY_FILE: &str = "key.pem";
/// File that holds the certificate.
const CERTIFICATE_FILE: &str = "certificate.pem";
/// Directory of the key that comes next, while both count.
const NEXT: &str = "next";
/// Directory of those that came before.
const FORMER: &str = "former";

/// A name, the Ed25519 key that stands for it, and a self-signed certificate over both.
///
/// The secret key is zeroized on drop, is never printed, and leaves this type in [`Identity::save`] only.
pub struct Identity {
    name: PartyName,
    key: Arc<SecretKey>,
    certificate: CertificateDer<'static>,
    former: Vec<Self>,
}

/// Why an identity cannot be made, saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
    /// The certificate could not be written.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others can read the secret key.
    #[error("{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Readable {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file exists but is not what it should be.
    #[error(
        "{path} is not {expected}; restore it from a backup, or make a new identity and have your partners trust it"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A key without its certificate.
    #[error(
        "{path} is missing, though there is a key beside it; restore it from a backup, or, if this identity was never used, remove the directory and run entente init again"
    )]
    Incomplete {
        /// The certificate's file.
        path: PathBuf,
    },
    /// There is an identity already.
    #[error("{path} exists already; a key is never overwritten. Choose another directory")]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// There is no key to change over to.
    #[error("there is no next key in {path}; make one with: entente keys rotate --out FILE")]
    NoNext {
        /// Where it would be.
        path: PathBuf,
    },
    /// The certificate bears no valid party name.
    #[error("the certificate's name is not a party name: {0}")]
    Name(#[from] NameError),
}

impl Identity {
    /// A fresh key, with a certificate that is valid from yesterday (clocks differ) for `days` days.
    pub fn generate(name: PartyName, days: u32) -> Result<Self, IdentityError> {
        let now = SystemClock.now_unix_s();
        Self::generate_between(
            name,
            now.saturating_sub(86_400),
            now + u64::from(days) * 86_400,
        )
    }

    /// A fresh key, with a certificate that is valid between two times in Unix seconds.
    pub fn generate_between(
        name: PartyName,
        not_before: u64,
        not_after: u64,
    ) -> Result<Self, IdentityError> {
        let mut secret = Zeroizing::new([0; 32]);
        rand::rngs::SysRng
            .try_fill_bytes(secret.as_mut())
            .map_err(|_| IdentityError::Randomness)?;
        let key = Arc::new(SecretKey::new(ed25519_dalek::SigningKey::from_bytes(
            &secret,
        )));
        let certificate = key.certify(&name, not_before, not_after)?;
        Ok(Self {
            name,
            key,
            certificate,
            former: Vec::new(),
        })
    }

    /// The same key with a new certificate for `days` days. Partners that pinned the key need do nothing.
    pub fn renew(&self, days: u32) -> Result<Self, IdentityError> {
        let now = SystemClock.now_unix_s();
        let until = now + u64::from(days) * 86_400;
        let certificate = self
            .key
            .certify(&self.name, now.saturating_sub(86_400), until)?;
        Ok(Self {
            name: self.name.clone(),
            key: Arc::clone(&self.key),
            certificate,
            former: Vec::new(),
        })
    }

    /// The name in the certificate.
    pub fn name(&self) -> &PartyName {
        &self.name
    }

    /// What others pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key())
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.public)
    }

    /// This key and those that the party had before.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let former = self.former.iter().map(Self::public_key);
        std::iter::once(self.public_key()).chain(former).collect()
    }

    /// The identity by which this party was known at some time: present, or former.
    pub fn known_by(&self, key: &Fingerprint) -> Option<&Self> {
        let mut all = std::iter::once(self).chain(&self.former);
        all.find(|identity| identity.fingerprint() == *key)
    }

    /// Signs `body` for one purpose, named by `context`: verify with [`crate::contract::verify`] and the same context.
    pub fn sign(&self, context: &str, body: &[u8]) -> SignatureBytes {
        let message = crate::contract::signed_bytes(context, body);
        SignatureBytes(self.key.signing.sign(&message).to_bytes())
    }

    /// Signs the text of a checkpoint, or what its witness says, in formats that have no room for a context. Both begin
    /// with words that nothing else does which is signed with this key.
    pub(crate) fn sign_note(&self, text: &str) -> SignatureBytes {
        SignatureBytes(self.key.signing.sign(text.as_bytes()).to_bytes())
    }

    /// Writes key (mode 0600) and certificate to `dir` (mode 0700), which must not exist or be empty. Never overwrites a key.
    ///
    /// Both appear in one step: whoever is killed on the way leaves a directory beside `dir` that the next call removes,
    /// and never a key without its certificate.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join(KEY_FILE);
        if path.exists() {
            return Err(IdentityError::Exists { path });
        }
        let staging = unfinished(dir);
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(at(&staging))?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&staging)
            .map_err(at(&staging))?;
        self.save_key(&staging.join(KEY_FILE))?;
        self.save_certificate(&staging)?;
        // Replaces an empty directory, and no other: somebody else may have been faster.
        fs::rename(&staging, dir).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty if path.exists() => IdentityError::Exists { path },
            _ => at(dir)(error),
        })
    }

    fn save_key(&self, path: &Path) -> Result<(), IdentityError> {
        let pem = self
            .key
            .signing
            .to_pkcs8_pem(LineEnding::LF)
            .expect("an Ed25519 key has a PKCS #8 form");
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        };
        write().map_err(at(path))
    }

    /// Writes the certificate alone, after [`Identity::renew`], replacing the file in one step.
    pub fn save_certificate(&self, dir: &Path) -> Result<(), IdentityError> {
        let (path, temporary) = (dir.join(CERTIFICATE_FILE), dir.join("certificate.pem.new"));
        let text = pem::encode_string("CERTIFICATE", LineEnding::LF, &self.certificate)
            .expect("a certificate fits in memory twice");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(at(&path))
    }

    /// Makes the key that comes after the one in `dir`, beside it. It is not used before [`Identity::change_over`].
    ///
    /// # Errors
    /// [`IdentityError::Exists`] if there is one already.
    pub fn prepare_next(&self, dir: &Path, days: u32) -> Result<Self, IdentityError> {
        let next = Self::generate(self.name.clone(), days)?;
        next.save(&dir.join(NEXT))?;
        Ok(next)
    }

    /// Makes the next key the one of `dir`, and keeps the present one among the former. Whoever is killed on the way calls it again.
    ///
    /// # Errors
    /// [`IdentityError::NoNext`]; otherwise as of [`Identity::load`] and [`Identity::save`].
    pub fn change_over(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(NEXT);
        if !path.join(KEY_FILE).exists() {
            return Err(IdentityError::NoNext { path });
        }
        let next = Self::load(&path)?;
        // A key without its own certificate is one that was killed below: it stands among the former already.
        if let Ok(present) = Self::load(dir)
            && present.key.public != next.key.public
        {
            let place = dir
                .join(FORMER)
                .join(crate::contract::Digest(present.key.public).to_string());
            match present.save(&place) {
                Ok(()) | Err(IdentityError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let temporary = dir.join("key.pem.new");
        if temporary.exists() {
            fs::remove_file(&temporary).map_err(at(&temporary))?;
        }
        next.save_key(&temporary)?;
        fs::rename(&temporary, dir.join(KEY_FILE)).map_err(at(dir))?;
        next.save_certificate(dir)?;
        fs::remove_dir_all(&path).map_err(at(&path))?;
        Self::load(dir)
    }

    /// Reads what [`Identity::save`] wrote, with the keys that came before. Refuses a key file that others can read.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let mut identity = Self::load_alone(dir)?;
        let former = dir.join(FORMER);
        if former.is_dir() {
            for entry in fs::read_dir(&former).map_err(at(&former))? {
                let place = entry.map_err(at(&former))?.path();
                // Where one is being saved there is another directory for a moment.
                if place.join(CERTIFICATE_FILE).exists() && place.extension().is_none() {
                    identity.former.push(Self::load_alone(&place)?);
                }
            }
        }
        Ok(identity)
    }

    fn load_alone(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(KEY_FILE);
        let mode = fs::metadata(&path).map_err(at(&path))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Readable { path, mode });
        }
        let pem = Zeroizing::new(fs::read_to_string(&path).map_err(at(&path))?);
        let Ok(signing) = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem) else {
            return Err(IdentityError::Malformed {
                path,
                expected: "an Ed25519 private key in PKCS #8 PEM",
            });
        };
        let key = Arc::new(SecretKey::new(signing));

        let path = dir.join(CERTIFICATE_FILE);
        let pem = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IdentityError::Incomplete { path: path.clone() },
            _ => at(&path)(error),
        })?;
        let malformed = || IdentityError::Malformed {
            path: path.clone(),
            expected: "the certificate of the key beside it",
        };
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|_| malformed())?
            .into_owned();
        let read = Certificate::read(&certificate).map_err(|_| malformed())?;
        if read.fingerprint != Fingerprint::of(&PublicKey(key.public)) {
            return Err(malformed());
        }
        let name = PartyName::new(read.name.ok_or_else(malformed)?)?;
        Ok(Self {
            name,
            key,
            certificate,
            former: Vec::new(),
        })
    }

    /// When the certificate stops being valid, Unix seconds.
    pub fn not_after(&self) -> u64 {
        let read = Certificate::read(&self.certificate)
            .expect("our own certificate was readable when it was made or loaded");
        u64::try_from(read.not_after).unwrap_or(0)
    }

    /// A key for one purpose, the same whenever this identity is loaded.
    pub(super) fn derive_key(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.key.signing.as_bytes()))
    }

    /// Key and certificate as rustls wants them.
    pub(super) fn certified_key(&self) -> Arc<rustls::sign::CertifiedKey> {
        let key: Arc<dyn rustls::sign::SigningKey> = Arc::clone(&self.key) as _;
        Arc::new(rustls::sign::CertifiedKey::new(
            vec![self.certificate.clone()],
            key,
        ))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} {})", self.name, self.fingerprint())
    }
}

/// Where an identity is written before it is whole.
fn unfinished(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_path_buf();
    move |error| IdentityError::File { path, error }
}

/// The one place that holds a party's secret key. It signs for TLS, for the certificate and for statements.
struct SecretKey {
    signing: ed25519_dalek::SigningKey,
    public: [u8; 32],
}

impl SecretKey {
    fn new(signing: ed25519_dalek::SigningKey) -> Self {
        let public = signing.verifying_key().to_bytes();
        Self { signing, public }
    }

    fn certify(
        &self,
        name: &PartyName,
        from: u64,
        until: u64,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name.as_str());
        params.not_before = epoch + Duration::from_secs(from);
        params.not_after = epoch + Duration::from_secs(until);
        Ok(params.self_signed(self)?.der().clone())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl rcgen::PublicKeyData for SecretKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for SecretKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.signing.sign(message).to_vec())
    }
}

impl rustls::sign::SigningKey for SecretKey {
    fn choose_scheme(
        &self,
        offered: &[rustls::SignatureScheme],
    ) -> Option<Box<dyn rustls::sign::Signer>> {
        let signer = TlsSigner(self.signing.clone());
        offered
            .contains(&rustls::SignatureScheme::ED25519)
            .then(|| Box::new(signer) as _)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::ED25519
    }
}

/// A copy of the key for one handshake; it zeroizes itself on drop.
struct TlsSigner(ed25519_dalek::SigningKey);

impl fmt::Debug for TlsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSigner(..)")
    }
}

impl rustls::sign::Signer for TlsSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        rustls::SignatureScheme::ED25519
    }
}
