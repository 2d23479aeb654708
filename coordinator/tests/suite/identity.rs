//! Identities on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use coordinator::contract::verify;
use coordinator::tls::{Identity, IdentityError};

use crate::support::{name, now};

#[test]
fn an_identity_reads_back_and_signs_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("identity");
    let identity = Identity::generate(name("hospital_1"), 365).unwrap();
    identity.save(&dir).unwrap();
    let loaded = Identity::load(&dir).unwrap();
    assert_eq!(loaded.name(), identity.name());
    assert_eq!(loaded.fingerprint(), identity.fingerprint());
    assert!(loaded.not_after() > now() + 364 * 86_400 && loaded.not_after() < now() + 366 * 86_400);
    let signature = identity.sign("entente/v1/test", b"body");
    assert_eq!(loaded.sign("entente/v1/test", b"body"), signature);
    assert!(
        verify(
            &identity.public_key(),
            "entente/v1/test",
            b"body",
            &signature
        )
        .is_ok()
    );
    assert!(
        verify(
            &identity.public_key(),
            "entente/v1/tes",
            b"tbody",
            &signature
        )
        .is_err()
    );
    assert!(
        verify(
            &identity.public_key(),
            "entente/v1/other",
            b"body",
            &signature
        )
        .is_err()
    );
}

#[test]
fn files_are_for_the_owner_only_and_a_key_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("identity");
    let identity = Identity::generate(name("a"), 1).unwrap();
    identity.save(&dir).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.join("key.pem")), 0o600);
    assert_eq!(mode(dir.clone()), 0o700);
    let other = Identity::generate(name("a"), 1).unwrap();
    assert!(matches!(
        other.save(&dir),
        Err(IdentityError::Exists { .. })
    ));
    assert_eq!(
        Identity::load(&dir).unwrap().fingerprint(),
        identity.fingerprint()
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate(name("a"), 1).unwrap();
    identity.save(dir.path()).unwrap();
    let key = dir.path().join("key.pem");
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let message = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains(&format!("chmod 600 {}", key.display())),
            "{message}"
        );
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Identity::load(dir.path()).is_ok());
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Identity::generate(name("a"), 1)
        .unwrap()
        .save(one.path())
        .unwrap();
    Identity::generate(name("a"), 1)
        .unwrap()
        .save(two.path())
        .unwrap();
    fs::copy(
        two.path().join("certificate.pem"),
        one.path().join("certificate.pem"),
    )
    .unwrap();
    let message = Identity::load(one.path()).unwrap_err().to_string();
    assert!(
        message.contains("certificate.pem is not the certificate of the key beside it"),
        "{message}"
    );
    fs::write(two.path().join("key.pem"), "-----BEGIN NONSENSE-----").unwrap();
    assert!(matches!(
        Identity::load(two.path()),
        Err(IdentityError::Malformed { .. })
    ));
    assert!(matches!(
        Identity::load(&two.path().join("nowhere")),
        Err(IdentityError::File { .. })
    ));
}

/// What a process leaves behind that was killed while it saved: at most a directory beside, which is no identity and
/// stands in nobody's way.
#[test]
fn an_identity_is_there_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, unfinished) = (
        dir.path().join("identity"),
        dir.path().join("identity.unfinished"),
    );
    fs::create_dir(&unfinished).unwrap();
    fs::write(
        unfinished.join("key.pem"),
        "-----BEGIN PRIVATE KEY-----\nMC4",
    )
    .unwrap();
    assert!(matches!(
        Identity::load(&whole),
        Err(IdentityError::File { .. })
    ));
    let identity = Identity::generate(name("a"), 1).unwrap();
    identity.save(&whole).unwrap();
    let loaded = Identity::load(&whole).unwrap();
    assert_eq!(loaded.fingerprint(), identity.fingerprint());
    assert!(!unfinished.exists(), "nothing secret is left lying about");
}

/// Half an identity, as an earlier version could leave it behind, or somebody who removed a file.
#[test]
fn a_key_without_its_certificate_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    Identity::generate(name("a"), 1)
        .unwrap()
        .save(dir.path())
        .unwrap();
    fs::remove_file(dir.path().join("certificate.pem")).unwrap();
    let error = Identity::load(dir.path()).unwrap_err();
    assert!(matches!(error, IdentityError::Incomplete { .. }), "{error}");
    assert!(error.to_string().contains("entente init"), "{error}");
    // And the key is not overwritten either.
    let other = Identity::generate(name("a"), 1).unwrap();
    assert!(matches!(
        other.save(dir.path()),
        Err(IdentityError::Exists { .. })
    ));
}

#[test]
fn a_directory_with_other_files_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    let identity = Identity::generate(name("a"), 1).unwrap();
    let error = identity.save(dir.path()).unwrap_err();
    assert!(matches!(error, IdentityError::File { .. }), "{error}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    assert!(!dir.path().join("key.pem").exists());
}

#[test]
fn a_renewed_certificate_keeps_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let old = Identity::generate_between(name("a"), 1_000_000, 2_000_000).unwrap();
    old.save(dir.path()).unwrap();
    let renewed = Identity::load(dir.path()).unwrap().renew(30).unwrap();
    renewed.save_certificate(dir.path()).unwrap();
    let loaded = Identity::load(dir.path()).unwrap();
    assert_eq!(loaded.fingerprint(), old.fingerprint());
    assert!(loaded.not_after() > now());
}

#[test]
fn nothing_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate(name("a"), 1).unwrap();
    identity.save(dir.path()).unwrap();
    let pem = fs::read_to_string(dir.path().join("key.pem")).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    assert_eq!(
        format!("{identity:?}"),
        format!("Identity(a {})", identity.fingerprint())
    );
    assert!(!format!("{identity:?}").contains(secret));
}
