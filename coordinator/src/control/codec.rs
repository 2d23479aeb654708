//! Bytes of control messages. The only place that knows bincode.
//!
//! bincode is frozen upstream (RUSTSEC-2025-0141), which is acceptable here because of what this file does: only its serde
//! entry points are compiled in, with fixed-width integers and a limit that never exceeds the bytes at hand, and
//! left-over bytes are an error. Message types have no zero-sized elements and do not contain themselves, so that decoding takes
//! time and memory in proportion to the frame.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CONTROL_VERSION;
use crate::logsafe::LogSafe;

/// The most bytes of any frame.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// The most bytes of the frame that opens a stream: all that a connection can make us hold before it has said `Hello`.
pub const MAX_OPENING_BYTES: usize = 2 << 10;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than a frame may have.
    #[error("a message of {n_bytes} bytes is longer than the {limit} allowed here")]
    TooLong {
        /// Its size.
        n_bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The other side speaks another version.
    #[error(
        "the peer speaks version {theirs} of the control protocol, this end version {CONTROL_VERSION}; install the same version at both"
    )]
    Version {
        /// The version that leads the frame.
        theirs: u8,
    },
    /// Not a message of the expected type.
    #[error("the bytes are not a message of this protocol")]
    Malformed,
    /// A message, and then more.
    #[error("{n_bytes} bytes are left over after a message")]
    Trailing {
        /// How many.
        n_bytes: usize,
    },
}

impl LogSafe for CodecError {}

/// The frame of `message`: version byte and body, without the length that precedes it on a stream.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut frame = vec![CONTROL_VERSION];
    let config = bincode::config::standard().with_fixed_int_encoding();
    bincode::serde::encode_into_std_write(message, &mut frame, config)
        .map_err(|_| CodecError::Malformed)?;
    if frame.len() > MAX_FRAME_BYTES {
        return Err(CodecError::TooLong {
            n_bytes: frame.len(),
            limit: MAX_FRAME_BYTES,
        });
    }
    Ok(frame)
}

/// Reads one message from a whole frame.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, CodecError> {
    // The library takes its limit as a constant, so the smallest step that holds the frame is chosen.
    match frame.len() {
        0..=0x400 => decode_within::<T, 0x400>(frame),
        0x401..=0x4000 => decode_within::<T, 0x4000>(frame),
        0x4001..=0x4_0000 => decode_within::<T, 0x4_0000>(frame),
        0x4_0001..=MAX_FRAME_BYTES => decode_within::<T, MAX_FRAME_BYTES>(frame),
        n_bytes => Err(CodecError::TooLong {
            n_bytes,
            limit: MAX_FRAME_BYTES,
        }),
    }
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(frame: &[u8]) -> Result<T, CodecError> {
    let (&version, body) = frame.split_first().ok_or(CodecError::Malformed)?;
    if version != CONTROL_VERSION {
        return Err(CodecError::Version { theirs: version });
    }
    let config = bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>();
    let (message, n_read) =
        bincode::serde::decode_from_slice(body, config).map_err(|_| CodecError::Malformed)?;
    match body.len() - n_read {
        0 => Ok(message),
        n_bytes => Err(CodecError::Trailing { n_bytes }),
    }
}
