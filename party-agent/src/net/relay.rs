//! A packet socket on top of the coordinator's relayed stream.
//!
//! The two ends of a relayed leg run an ordinary QUIC connection with each other; its packets travel as
//! `length: u16 little endian ‖ packet` on the byte stream that the coordinator copies. The relay sees
//! packets that only the two agents can open.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, BytesMut};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Largest packet that is sent over a relayed leg. The leg is a stream, so no link limits it; larger
/// packets cost less work each, and this size keeps a receive batch of quinn at half a mebibyte.
pub(crate) const MAX_PACKET: u16 = 16 * 1024;

/// Bytes that wait for the stream before quinn is told to hold back.
const SEND_BUFFER: usize = 512 * 1024;

/// Bytes asked of the stream at a time.
const READ_CHUNK: usize = 128 * 1024;

const PREFIX: usize = size_of::<u16>();

/// The address that quinn sees at the other end: there is one peer, so it only has to be constant (RFC 5737).
pub(crate) const PEER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 443);

/// The socket. Dropping it ends the task that writes to the stream.
pub(crate) struct RelaySocket {
    outgoing: Arc<Outgoing>,
    incoming: Mutex<Incoming>,
}

struct Incoming {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    ended: bool,
}

struct Outgoing {
    state: Mutex<OutgoingState>,
    filled: Notify,
    /// Told when the leg has ended, in either direction.
    ended: Arc<Notify>,
}

struct OutgoingState {
    buffer: BytesMut,
    /// False once the stream or the socket is gone; packets are then dropped, as on a dead cable.
    open: bool,
    blocked: Vec<Waker>,
}

impl RelaySocket {
    /// Takes both halves of a relayed leg, and starts the task that writes.
    pub(crate) fn new(
        writer: impl AsyncWrite + Send + Unpin + 'static,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        let outgoing = Arc::new(Outgoing {
            state: Mutex::new(OutgoingState {
                buffer: BytesMut::new(),
                open: true,
                blocked: Vec::new(),
            }),
            filled: Notify::new(),
            ended: Arc::default(),
        });
        tokio::spawn(write_out(Arc::clone(&outgoing), writer));
        Self {
            outgoing,
            incoming: Mutex::new(Incoming {
                reader: Box::new(reader),
                buffer: BytesMut::new(),
                ended: false,
            }),
        }
    }
}

impl RelaySocket {
    /// Is notified once when the leg has ended: quinn treats that as silence.
    pub(crate) fn ended(&self) -> Arc<Notify> {
        Arc::clone(&self.outgoing.ended)
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        self.outgoing.lock().open = false;
        self.outgoing.filled.notify_one();
    }
}

impl Outgoing {
    fn lock(&self) -> MutexGuard<'_, OutgoingState> {
        self.state
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Takes everything that waits; `None` when the socket is gone and nothing waits.
    async fn take(&self, spare: &mut BytesMut) -> bool {
        loop {
            {
                let mut state = self.lock();
                if !state.buffer.is_empty() {
                    std::mem::swap(&mut state.buffer, spare);
                    state.blocked.drain(..).for_each(Waker::wake);
                    return true;
                }
                if !state.open {
                    return false;
                }
            }
            self.filled.notified().await;
        }
    }
}

async fn write_out(outgoing: Arc<Outgoing>, mut writer: impl AsyncWrite + Send + Unpin) {
    let mut batch = BytesMut::new();
    while outgoing.take(&mut batch).await {
        if writer.write_all(&batch).await.is_err() {
            let mut state = outgoing.lock();
            state.open = false;
            state.buffer.clear();
            state.blocked.drain(..).for_each(Waker::wake);
            outgoing.ended.notify_one();
            return;
        }
        batch.clear();
    }
    // The stream may be gone already, and then there is nobody left to tell.
    let _ = writer.shutdown().await;
}

impl Incoming {
    /// Moves the packets that are complete into `bufs`; the number of packets.
    fn packets(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut n = 0;
        while n < bufs.len().min(meta.len()) {
            let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
                break;
            };
            let len = usize::from(u16::from_le_bytes(*prefix));
            if self.buffer.len() < PREFIX + len {
                break;
            }
            self.buffer.advance(PREFIX);
            let packet = self.buffer.split_to(len);
            // quinn sizes the slots for the largest packet that it told the peer to send.
            if len == 0 || len > bufs[n].len() {
                continue;
            }
            bufs[n][..len].copy_from_slice(&packet);
            meta[n] = RecvMeta {
                addr: PEER,
                len,
                stride: len,
                ecn: None,
                dst_ip: None,
            };
            n += 1;
        }
        n
    }
}

impl AsyncUdpSocket for RelaySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(RelayPoller(Arc::clone(&self.outgoing)))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.outgoing.lock();
        if !state.open {
            return Ok(());
        }
        if state.buffer.len() >= SEND_BUFFER {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for packet in transmit.contents.chunks(size.max(1)) {
            let len = u16::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            state.buffer.put_u16_le(len);
            state.buffer.put_slice(packet);
        }
        drop(state);
        self.outgoing.filled.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut incoming = self
            .incoming
            .lock()
            .expect("no code panics while it holds this lock");
        let Incoming {
            reader,
            buffer,
            ended,
        } = &mut *incoming;
        loop {
            // A leg that has ended is a cable that was cut: the idle timeout of the inner connection reports it,
            // after whatever close message was still on its way.
            if *ended {
                return Poll::Pending;
            }
            if complete(buffer) {
                break;
            }
            buffer.reserve(READ_CHUNK);
            let read = pin!(reader.read_buf(buffer));
            *ended = !matches!(ready!(read.poll(cx)), Ok(1..));
            if *ended {
                self.outgoing.ended.notify_one();
            }
        }
        Poll::Ready(Ok(incoming.packets(bufs, meta)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(LOCAL)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Whether a whole packet waits in `buffer`.
fn complete(buffer: &BytesMut) -> bool {
    buffer
        .first_chunk::<PREFIX>()
        .is_some_and(|p| buffer.len() >= PREFIX + usize::from(u16::from_le_bytes(*p)))
}

impl fmt::Debug for RelaySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySocket").finish_non_exhaustive()
    }
}

struct RelayPoller(Arc<Outgoing>);

impl UdpPoller for RelayPoller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if !state.open || state.buffer.len() < SEND_BUFFER {
            return Poll::Ready(Ok(()));
        }
        if !state.blocked.iter().any(|w| w.will_wake(cx.waker())) {
            state.blocked.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for RelayPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayPoller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// The largest packet that this test's slots take.
    const SLOT: usize = 100;

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let mut incoming = Incoming {
            reader: Box::new(tokio::io::empty()),
            buffer: BytesMut::from(bytes),
            ended: false,
        };
        let mut packets = Vec::new();
        while complete(&incoming.buffer) {
            let mut memory = [[0; SLOT]; 4];
            let mut meta = [RecvMeta::default(); 4];
            let mut slots: Vec<_> = memory.iter_mut().map(|m| IoSliceMut::new(m)).collect();
            let n = incoming.packets(&mut slots, &mut meta);
            packets.extend((0..n).map(|i| memory[i][..meta[i].len].to_vec()));
        }
        (packets, incoming.buffer.len())
    }

    fn written(packets: &[Vec<u8>]) -> Vec<u8> {
        let len = |packet: &Vec<u8>| u16::try_from(packet.len()).expect("short").to_le_bytes();
        let framed = packets.iter().map(|p| [&len(p)[..], p].concat());
        framed.collect::<Vec<_>>().concat()
    }

    #[test]
    fn packets_are_read_back_and_a_part_of_one_waits() {
        let packets = vec![vec![1; SLOT], vec![2], vec![3; 7], vec![4; 50], vec![5; 99]];
        let bytes = written(&packets);
        assert_eq!(read(&bytes), (packets.clone(), 0));
        for cut in 1..=99 {
            let (found, left) = read(&bytes[..bytes.len() - cut]);
            assert_eq!(found, packets[..4]);
            assert_eq!(left, 99 + PREFIX - cut);
        }
    }

    /// The relay may write anything. What fits no slot is dropped, as on a cable, and nothing is read twice.
    #[test]
    fn noise_is_cut_into_packets_that_fit_or_dropped() {
        const SEED: u64 = 0x0072_656c_6179;
        println!("seed {SEED:#x}");
        let mut rng = StdRng::seed_from_u64(SEED);
        for _ in 0..2_000 {
            let packets: Vec<Vec<u8>> = (0..rng.random_range(0..6))
                .map(|_| vec![7; rng.random_range(0..2 * SLOT)])
                .collect();
            let mut bytes = written(&packets);
            for _ in 0..rng.random_range(0..4) {
                if !bytes.is_empty() {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] ^= 1 << rng.random_range(0..8);
                }
            }
            let (found, left) = read(&bytes);
            assert!(found.iter().all(|p| (1..=SLOT).contains(&p.len())));
            let n_read: usize = found.iter().map(|p| p.len() + PREFIX).sum();
            assert!(n_read + left <= bytes.len());
        }
    }
}
