//! Frames on a QUIC stream: a length of four bytes, little endian, and the frame.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, CodecError};

/// How long a frame may take once its first byte is here, or once its sending has begun.
const FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// The most that is allocated ahead of the bytes that have arrived.
const STEP_BYTES: usize = 64 << 10;

/// Why no message was read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Not a message.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A frame began and did not end in time.
    #[error("a message was not completed within 10 s")]
    TooSlow,
    /// The stream ended, between two frames or within one.
    #[error("the stream ended")]
    Ended,
    /// The connection is gone.
    #[error("the connection is gone")]
    Gone,
}

/// Reads messages from a stream. A dropped [`FrameReader::read`] loses bytes: do not put it in a `select!`.
#[derive(Debug)]
pub struct FrameReader(quinn::RecvStream);

impl FrameReader {
    /// Reads from `stream`, which stands at the beginning of a frame.
    pub fn new(stream: quinn::RecvStream) -> Self {
        Self(stream)
    }

    /// Gives the stream back, standing after the last frame read.
    pub fn into_inner(self) -> quinn::RecvStream {
        self.0
    }

    /// The next message, of at most `limit` bytes. Waits for its first byte as long as it takes.
    pub async fn read<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, StreamError> {
        let mut length = [0; 4];
        self.fill(&mut length[..1]).await?;
        let frame = tokio::time::timeout(FRAME_DEADLINE, self.rest(length, limit));
        Ok(codec::decode(
            &frame.await.map_err(|_| StreamError::TooSlow)??,
        )?)
    }

    async fn rest(&mut self, mut length: [u8; 4], limit: usize) -> Result<Vec<u8>, StreamError> {
        self.fill(&mut length[1..]).await?;
        let n_bytes = u32::from_le_bytes(length) as usize;
        if n_bytes > limit {
            return Err(CodecError::TooLong { n_bytes, limit }.into());
        }
        let mut frame = Vec::new();
        while frame.len() < n_bytes {
            let n_have = frame.len();
            frame.resize(n_bytes.min(n_have + STEP_BYTES), 0);
            self.fill(&mut frame[n_have..]).await?;
        }
        Ok(frame)
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        self.0
            .read_exact(buffer)
            .await
            .map_err(|error| match error {
                quinn::ReadExactError::FinishedEarly(_) => StreamError::Ended,
                quinn::ReadExactError::ReadError(quinn::ReadError::Reset(_)) => StreamError::Ended,
                quinn::ReadExactError::ReadError(_) => StreamError::Gone,
            })
    }
}

/// Writes messages to a stream.
#[derive(Debug)]
pub struct FrameWriter(quinn::SendStream);

impl FrameWriter {
    /// Writes to `stream`.
    pub fn new(stream: quinn::SendStream) -> Self {
        Self(stream)
    }

    /// Gives the stream back.
    pub fn into_inner(self) -> quinn::SendStream {
        self.0
    }

    /// Writes one message.
    pub async fn write<T: Serialize>(&mut self, message: &T) -> Result<(), StreamError> {
        self.write_frame(&codec::encode(message)?).await
    }

    /// Writes one message that is encoded already.
    pub async fn write_frame(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        let length = u32::try_from(frame.len())
            .expect("frames are at most MAX_FRAME_BYTES long")
            .to_le_bytes();
        let write = async {
            self.0.write_all(&length).await?;
            self.0.write_all(frame).await
        };
        let written = tokio::time::timeout(FRAME_DEADLINE, write)
            .await
            .map_err(|_| StreamError::TooSlow)?;
        written.map_err(|error| match error {
            quinn::WriteError::Stopped(_) => StreamError::Ended,
            _ => StreamError::Gone,
        })
    }
}
