//! Uniform bytes from a message: `expand_message_xmd` with SHA-512 (RFC 9380, §5.3.1).

use sha2::{Digest, Sha512};

/// Length of SHA-512's output.
const HASH_BYTES: usize = 64;
/// Length of SHA-512's input block.
const BLOCK_BYTES: usize = 128;

/// The function for one domain separation tag. The work that does not depend on the message is
/// done once.
pub(crate) struct Expander {
    /// SHA-512 after its first block, which is zero.
    start: Sha512,
    /// The tag, followed by its length.
    tag: Vec<u8>,
}

impl Expander {
    /// `parts` make up the tag, one after the other.
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        let mut tag = parts.concat();
        let len = u8::try_from(tag.len()).expect("tags here are shorter than 256 bytes");
        tag.push(len);
        let mut start = Sha512::new();
        start.update([0; BLOCK_BYTES]);
        Self { start, tag }
    }

    /// Fills `out` from the message that `parts` make up, one after the other.
    ///
    /// # Panics
    ///
    /// If `out` is longer than 255 hashes.
    pub(crate) fn expand(&self, parts: &[&[u8]], out: &mut [u8]) {
        let len = u16::try_from(out.len()).expect("at most 255 hashes");
        let n_hashes = u8::try_from(out.len().div_ceil(HASH_BYTES)).expect("at most 255 hashes");
        let mut hash = self.start.clone();
        for part in parts {
            hash.update(part);
        }
        hash.update(len.to_be_bytes());
        hash.update([0]);
        hash.update(&self.tag);
        let first: [u8; HASH_BYTES] = hash.finalize().into();

        let mut previous = [0; HASH_BYTES];
        for (number, out) in (1..=n_hashes).zip(out.chunks_mut(HASH_BYTES)) {
            for (previous, first) in previous.iter_mut().zip(&first) {
                *previous ^= first;
            }
            let mut hash = Sha512::new();
            hash.update(previous);
            hash.update([number]);
            hash.update(&self.tag);
            previous = hash.finalize().into();
            out.copy_from_slice(&previous[..out.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// RFC 9380, K.3, expand_message_xmd(SHA-512).
    #[test]
    fn the_vectors_of_the_rfc() {
        let expander = Expander::new(&[b"QUUX-V01-CS02-with-expander-", b"SHA512-256"]);
        let long = ["a512_", &"a".repeat(512)].concat();
        let short: [(&str, &str); 3] = [
            (
                "",
                "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba",
            ),
            (
                "abcdef0123456789",
                "087e45a86e2939ee8b91100af1583c4938e0f5fc6c9db4b107b83346bc967f58",
            ),
            (
                &long,
                "57b5f7e766d5be68a6bfe1768e3c2b7f1228b3e4b3134956dd73a59b954c66f4",
            ),
        ];
        for (message, expected) in short {
            let mut out = [0; 32];
            expander.expand(&[message.as_bytes()], &mut out);
            assert_eq!(hex(&out), expected);
        }
        let mut out = [0; 128];
        expander.expand(&[b"a", b"bc"], &mut out);
        assert_eq!(
            hex(&out),
            "7f1dddd13c08b543f2e2037b14cefb255b44c83cc397c1786d975653e36a6b11\
             bdd7732d8b38adb4a0edc26a0cef4bb45217135456e58fbca1703cd6032cb134\
             7ee720b87972d63fbf232587043ed2901bce7f22610c0419751c065922b48843\
             1851041310ad659e4b23520e1772ab29dcdeb2002222a363f0c2b1c972b3efe1"
        );
    }
}
