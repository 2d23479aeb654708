//! The secret that a command must show to talk to the agent.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// A token, as its hash: comparing hashes takes the same time wherever they differ.
pub(crate) struct Token(blake3::Hash);

impl Token {
    /// Writes a fresh token to a file that only this user can read. Earlier tokens are worth nothing then.
    pub(crate) fn write(path: &Path, secret: [u8; 32]) -> io::Result<Self> {
        let secret = Zeroizing::new(secret);
        let text = Zeroizing::new(
            secret
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>(),
        );
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        Ok(Self(blake3::hash(text.as_bytes())))
    }

    /// Whether a request shows the token.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        // Equality of BLAKE3 hashes is constant-time.
        blake3::hash(given) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_written_token_matches_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("api-token");
        let first = Token::write(&path, [1; 32]).expect("written");
        let second = Token::write(&path, [2; 32]).expect("written again");
        let text = std::fs::read(&path).expect("read back");
        assert!(second.matches(&text));
        assert!(!first.matches(&text));
        assert!(!second.matches(b""));
        assert!(!second.matches(&text[1..]));
        let mode = std::fs::metadata(&path)
            .expect("metadata")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
