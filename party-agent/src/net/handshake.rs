//! The first messages on a connection: both agents sign what they are about to do, on this connection.
//!
//! The signature covers the contract, the plan that the signer compiled, the nonces of all acceptances, the version of the
//! list of revoked keys that the signer keeps to, the seats in the direction of the message, and the TLS exporter. So it cannot be shown for another job, another
//! plan, another run, another connection, or by the other side; and a coordinator that shows different
//! contracts to different parties is found out before a share is sent (RFC 9266 describes this binding).
//!
//! The dialler speaks first, the other side answers, and one byte from the dialler ends it. Whoever finds
//! a fault closes the connection with the objection as its code, so both ends can name it.

use coordinator::contract::{Digest, JobId, Nonce, PartyName, PublicKey, SignatureBytes, verify};
use coordinator::tls::{self, Fingerprint, Identity, Trouble};
use engine::hash;
use engine::prg::Seed;
use protocols::party::Seat;
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::PROMPT;
use super::close::{Ending, Objection};

/// Length of an encoded [`Hello`].
pub const HELLO_BYTES: usize = 8 + 16 + 3 * 32 + 40 + 32 + 64 + 3;

const MAGIC: [u8; 8] = *b"entente1";
pub(super) const SIGN_CONTEXT: &str = "entente/v1/net/handshake";
const EXPORTER_LABEL: &[u8] = b"EXPORTER-entente/v1/channel";
const READY: [u8; 1] = [1];

/// The list of revoked keys that an agent keeps to. Two that keep to the same issuer's have to know the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The key of whoever signs the list.
    pub issuer: Fingerprint,
    /// Its version, from 1.
    pub version: u64,
}

/// What both ends of every connection of a run must agree on.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The job.
    pub job_id: JobId,
    /// Digest of the contract.
    pub contract: Digest,
    /// Digest of the plan that this agent compiled itself.
    pub plan: Digest,
    /// The nonces of all acceptances, in the order of seats.
    pub nonces: Vec<Nonce>,
    /// The parties and their keys, in the order of seats.
    pub parties: Vec<(PartyName, Fingerprint)>,
    /// This agent's seat.
    pub me: Seat,
    /// The list of revoked keys that this agent keeps to, if it keeps to one.
    pub epoch: Option<Epoch>,
}

/// Identifies a run: the contract, and the nonces of all parties in the order of seats.
#[must_use]
pub fn session_id(contract: &Digest, nonces: &[Nonce]) -> [u8; 32] {
    let mut fields: Vec<&[u8]> = vec![&contract.0];
    fields.extend(nonces.iter().map(|n| &n.0[..]));
    hash::digest("entente/v1/net/session", &fields)
}

impl Binding {
    /// Identifies this run: the contract and everybody's fresh nonce.
    #[must_use]
    pub fn session_id(&self) -> [u8; 32] {
        session_id(&self.contract, &self.nonces)
    }

    /// The name at a seat.
    #[must_use]
    pub fn name(&self, seat: Seat) -> &PartyName {
        &self.parties[seat.index()].0
    }

    /// What the sender signs, which keeps to the list `epoch`.
    pub(super) fn transcript(
        &self,
        (from, epoch): (Seat, Option<Epoch>),
        to: Seat,
        exporter: &[u8; 32],
    ) -> [u8; 32] {
        let (seats, epoch) = ([from.0, to.0], encoded(epoch));
        let mut fields: Vec<&[u8]> = vec![
            &self.job_id.0,
            &self.contract.0,
            &self.plan.0,
            &seats,
            &epoch,
            exporter,
        ];
        fields.extend(self.nonces.iter().map(|n| &n.0[..]));
        fields.extend(
            self.parties
                .iter()
                .map(|(name, _)| name.as_str().as_bytes()),
        );
        fields.extend(self.parties.iter().map(|(_, key)| &key.0[..]));
        hash::digest("entente/v1/net/transcript", &fields)
    }
}

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The job.
    pub job_id: JobId,
    /// Digest of the sender's contract.
    pub contract: Digest,
    /// Digest of the sender's plan.
    pub plan: Digest,
    /// The sender's session id.
    pub session: [u8; 32],
    /// The list of revoked keys that the sender keeps to.
    pub epoch: Option<Epoch>,
    /// The sender's seat.
    pub from: Seat,
    /// The receiver's seat.
    pub to: Seat,
    /// Number of seats.
    pub n_seats: u8,
    /// The sender's key.
    pub key: PublicKey,
    /// Its signature over the transcript.
    pub signature: SignatureBytes,
}

impl Hello {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut out = [0; HELLO_BYTES];
        let seats = [self.from.0, self.to.0, self.n_seats];
        let epoch = encoded(self.epoch);
        let parts: [&[u8]; 9] = [
            &MAGIC,
            &self.job_id.0,
            &self.contract.0,
            &self.plan.0,
            &self.session,
            &epoch,
            &self.key.0,
            &self.signature.0,
            &seats,
        ];
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Objection::Malformed`] for anything that [`Hello::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Objection> {
        let mut reader = Reader(bytes);
        if reader.take()? != MAGIC {
            return Err(Objection::Malformed);
        }
        let hello = Self {
            job_id: JobId(reader.take()?),
            contract: Digest(reader.take()?),
            plan: Digest(reader.take()?),
            session: reader.take()?,
            epoch: decoded(Fingerprint(reader.take()?), reader.take()?)?,
            key: PublicKey(reader.take()?),
            signature: SignatureBytes(reader.take()?),
            from: Seat(reader.take::<1>()?[0]),
            to: Seat(reader.take::<1>()?[0]),
            n_seats: reader.take::<1>()?[0],
        };
        if reader.0.is_empty() {
            Ok(hello)
        } else {
            Err(Objection::Malformed)
        }
    }

    pub(super) fn signed(
        binding: &Binding,
        identity: &Identity,
        to: Seat,
        exporter: &[u8; 32],
    ) -> Self {
        let me = (binding.me, binding.epoch);
        let transcript = binding.transcript(me, to, exporter);
        Self {
            job_id: binding.job_id,
            contract: binding.contract,
            plan: binding.plan,
            session: binding.session_id(),
            epoch: binding.epoch,
            from: binding.me,
            to,
            n_seats: n_seats(binding),
            key: identity.public_key(),
            signature: identity.sign(SIGN_CONTEXT, &transcript),
        }
    }

    /// Compares a peer's message with what this agent knows, the most telling difference first.
    fn check(
        &self,
        binding: &Binding,
        peer: Seat,
        tls_key: Option<Fingerprint>,
        exporter: &[u8; 32],
    ) -> Result<(), Objection> {
        let require = |holds: bool, objection| if holds { Ok(()) } else { Err(objection) };
        require(self.job_id == binding.job_id, Objection::Job)?;
        require(self.from != binding.me, Objection::Reflected)?;
        require(
            self.from == peer && self.to == binding.me && self.n_seats == n_seats(binding),
            Objection::Seats,
        )?;
        require(self.contract == binding.contract, Objection::Contract)?;
        require(self.plan == binding.plan, Objection::Plan)?;
        require(self.session == binding.session_id(), Objection::Session)?;
        let pinned = binding.parties[peer.index()].1;
        let same_key = Fingerprint::of(&self.key) == pinned && tls_key == Some(pinned);
        require(same_key, Objection::Key)?;
        let sender = (self.from, self.epoch);
        let transcript = binding.transcript(sender, self.to, exporter);
        verify(&self.key, SIGN_CONTEXT, &transcript, &self.signature)
            .map_err(|_| Objection::Signature)?;
        let same_list = |(a, b): (Epoch, Epoch)| a.issuer != b.issuer || a.version == b.version;
        let both = self.epoch.zip(binding.epoch);
        require(both.is_none_or(same_list), Objection::Epoch)
    }
}

/// An epoch in 40 bytes; nought where there is none.
fn encoded(epoch: Option<Epoch>) -> [u8; 40] {
    let mut out = [0; 40];
    if let Some(Epoch { issuer, version }) = epoch {
        out[..32].copy_from_slice(&issuer.0);
        out[32..].copy_from_slice(&version.to_be_bytes());
    }
    out
}

fn decoded(issuer: Fingerprint, version: [u8; 8]) -> Result<Option<Epoch>, Objection> {
    match u64::from_be_bytes(version) {
        0 if issuer.0 == [0; 32] => Ok(None),
        0 => Err(Objection::Malformed),
        version => Ok(Some(Epoch { issuer, version })),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Objection> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Objection::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
}

fn n_seats(binding: &Binding) -> u8 {
    u8::try_from(binding.parties.len()).expect("a contract names at most 32 parties")
}

/// Why there is no channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// This agent refused the peer's message.
    #[error("refused: {0}")]
    Objected(Objection),
    /// The peer refused this agent's message.
    #[error("the peer refused: {0}")]
    Refused(Objection),
    /// The peer ended the job.
    #[error("the peer ended the job: {}", .0.reason())]
    Ended(Ending),
    /// The connection failed.
    #[error("{0}")]
    Connection(Trouble),
    /// The connection failed before the peer had proved its key: anybody on the way may have caused it.
    #[error("{0}")]
    Unproven(Trouble),
}

impl HandshakeError {
    pub(super) fn from_connection(error: &quinn::ConnectionError) -> Self {
        match Ending::of(error) {
            Some(Ending::Refused(objection)) => Self::Refused(objection),
            Some(ending) => Self::Ended(ending),
            None => Self::Connection(Trouble::of(error)),
        }
    }

    /// The error of a connection whose TLS handshake did not come to its end. Whatever code or words it holds, they
    /// may be those of a stranger.
    pub(super) fn unproven(error: &quinn::ConnectionError) -> Self {
        Self::Unproven(Trouble::of(error))
    }
}

/// A connection whose two ends have agreed on the run.
pub struct Channel {
    pub(super) connection: Connection,
    pub(super) control: (SendStream, RecvStream),
    pub(super) pair_seed: Seed,
    /// Keeps the endpoint of a relayed connection alive.
    pub(super) endpoint: Option<quinn::Endpoint>,
}

/// Speaks first on a connection that this agent dialled.
///
/// # Errors
/// [`HandshakeError`]; the connection is closed then.
pub async fn dial(
    connection: Connection,
    binding: &Binding,
    identity: &Identity,
    peer: Seat,
) -> Result<Channel, HandshakeError> {
    greet(connection, binding, identity, peer)
        .await?
        .ready()
        .await
}

/// A peer that has answered, and waits for one byte to go on.
pub(super) struct Greeted(Channel);

/// The first half of [`dial`]: until the peer has answered. It may be given up at any point, for the peer cannot take the
/// connection for made.
pub(super) async fn greet(
    connection: Connection,
    binding: &Binding,
    identity: &Identity,
    peer: Seat,
) -> Result<Greeted, HandshakeError> {
    let ended = |_| closed(&connection);
    let exporter = exporter(&connection, &binding.job_id)?;
    let (mut send, mut recv) = connection
        .open_bi()
        .await
        .map_err(|e| HandshakeError::from_connection(&e))?;
    let hello = Hello::signed(binding, identity, peer, &exporter);
    send.write_all(&hello.encode()).await.map_err(ended)?;
    let answer = read_hello(&connection, &mut recv).await?;
    let key = tls::peer_fingerprint(&connection);
    if let Err(objection) = answer.check(binding, peer, key, &exporter) {
        return Err(object(&connection, objection));
    }
    let pair_seed = pair_seed(binding, peer, &exporter);
    Ok(Greeted(Channel {
        connection,
        control: (send, recv),
        pair_seed,
        endpoint: None,
    }))
}

impl Greeted {
    /// The second half of [`dial`]. It must not be given up: the peer may have the byte, and rely on the connection.
    pub(super) async fn ready(self) -> Result<Channel, HandshakeError> {
        let Self(mut channel) = self;
        let sent = channel.control.0.write_all(&READY).await;
        sent.map_err(|_| closed(&channel.connection))?;
        Ok(channel)
    }
}

/// A peer that dialled this agent and said what it wants.
pub struct Caller {
    connection: Connection,
    control: (SendStream, RecvStream),
    hello: Hello,
}

impl Caller {
    /// Reads the first message on a connection that was dialled by a peer.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed then.
    pub async fn listen(connection: Connection) -> Result<Self, HandshakeError> {
        let accepted = timeout(PROMPT, connection.accept_bi()).await;
        let Ok(accepted) = accepted else {
            return Err(object(&connection, Objection::Slow));
        };
        let (send, mut recv) = accepted.map_err(|e| HandshakeError::from_connection(&e))?;
        let hello = read_hello(&connection, &mut recv).await?;
        Ok(Self {
            connection,
            control: (send, recv),
            hello,
        })
    }

    /// The job that the peer wants to talk about, by its own account.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.hello.job_id
    }

    /// The key that the peer has proved to hold.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        tls::peer_fingerprint(&self.connection)
    }

    /// Checks the peer's message and answers.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed then.
    pub async fn answer(
        self,
        binding: &Binding,
        identity: &Identity,
        peer: Seat,
    ) -> Result<Channel, HandshakeError> {
        let Self {
            connection,
            control: (mut send, mut recv),
            hello,
        } = self;
        let exporter = exporter(&connection, &binding.job_id)?;
        let key = tls::peer_fingerprint(&connection);
        if let Err(objection) = hello.check(binding, peer, key, &exporter) {
            return Err(object(&connection, objection));
        }
        let answer = Hello::signed(binding, identity, peer, &exporter);
        send.write_all(&answer.encode())
            .await
            .map_err(|_| closed(&connection))?;
        let mut ready = [0; READY.len()];
        match timeout(PROMPT, recv.read_exact(&mut ready)).await {
            Err(_) => return Err(object(&connection, Objection::Slow)),
            Ok(Err(_)) => return Err(closed(&connection)),
            Ok(Ok(())) if ready != READY => return Err(object(&connection, Objection::Malformed)),
            Ok(Ok(())) => {}
        }
        let pair_seed = pair_seed(binding, peer, &exporter);
        Ok(Channel {
            connection,
            control: (send, recv),
            pair_seed,
            endpoint: None,
        })
    }

    /// Sends the peer away.
    pub fn refuse(self, objection: Objection) {
        Ending::Refused(objection).close(&self.connection);
    }
}

async fn read_hello(
    connection: &Connection,
    recv: &mut RecvStream,
) -> Result<Hello, HandshakeError> {
    let mut bytes = [0; HELLO_BYTES];
    match timeout(PROMPT, recv.read_exact(&mut bytes)).await {
        Err(_) => Err(object(connection, Objection::Slow)),
        Ok(Err(_)) => Err(closed(connection)),
        Ok(Ok(())) => Hello::decode(&bytes).map_err(|objection| object(connection, objection)),
    }
}

/// Closes with an objection, which is also the error at this end.
fn object(connection: &Connection, objection: Objection) -> HandshakeError {
    Ending::Refused(objection).close(connection);
    HandshakeError::Objected(objection)
}

/// The error behind a stream that broke off.
fn closed(connection: &Connection) -> HandshakeError {
    match connection.close_reason() {
        Some(error) => HandshakeError::from_connection(&error),
        // A stream that ends while the connection lives is not what this protocol does.
        None => object(connection, Objection::Malformed),
    }
}

pub(super) fn exporter(
    connection: &Connection,
    job_id: &JobId,
) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
    let mut out = Zeroizing::new([0; 32]);
    match connection.export_keying_material(out.as_mut(), EXPORTER_LABEL, &job_id.0) {
        Ok(()) => Ok(out),
        Err(_) => Err(object(connection, Objection::Malformed)),
    }
}

/// The secret that this pair of agents shares in this run and in no other.
fn pair_seed(binding: &Binding, peer: Seat, exporter: &[u8; 32]) -> Seed {
    let seats = [binding.me.min(peer).0, binding.me.max(peer).0];
    hash::derive_key(
        "entente/v1/net/pair",
        &[exporter, &binding.job_id.0, &binding.session_id(), &seats],
    )
}
