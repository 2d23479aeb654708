//! How a connection between two agents ends, and what its closing code says.

use std::fmt;

use protocols::party::Seat;
use quinn::{ConnectionError, VarInt};

/// Why an agent closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The session is complete at both ends.
    Done,
    /// A person cancelled the job at this agent.
    Cancelled,
    /// This agent lost the link to a third seat.
    Lost(Seat),
    /// A third seat broke the protocol.
    Misbehaved(Seat),
    /// The agent failed for a reason of its own.
    Failed,
    /// The handshake or a stream was refused.
    Refused(Objection),
}

/// What is wrong with a peer's handshake or streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Objection {
    /// The bytes are no handshake message of this version.
    Malformed = 16,
    /// Another job than the one this connection is for.
    Job = 17,
    /// Another contract.
    Contract = 18,
    /// Another plan.
    Plan = 19,
    /// Other acceptances, so another run.
    Session = 20,
    /// Seats that do not fit the contract.
    Seats = 21,
    /// Our own message, sent back.
    Reflected = 22,
    /// Another key than the contract names.
    Key = 23,
    /// A signature that was made for something else: another connection, another run.
    Signature = 24,
    /// No running job of this id.
    UnknownJob = 25,
    /// Nothing came in time.
    Slow = 26,
    /// A stream that does not belong to the session, comes twice, or is one too many.
    Stream = 27,
    /// More connections of one party than may wait.
    TooMany = 28,
    /// Another version of the list of revoked keys of the same issuer.
    Epoch = 29,
}

impl Objection {
    const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Job,
        Self::Contract,
        Self::Plan,
        Self::Session,
        Self::Seats,
        Self::Reflected,
        Self::Key,
        Self::Signature,
        Self::UnknownJob,
        Self::Slow,
        Self::Stream,
        Self::TooMany,
        Self::Epoch,
    ];

    /// The objection in words, from the point of view of who raised it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the message is not an entente/1 handshake; are both agents up to date?"
            }
            Self::Job => "the handshake is for another job",
            Self::Contract => "the two agents hold different contracts for this job",
            Self::Plan => {
                "the two agents compiled different plans from the same contract; are both the same version?"
            }
            Self::Session => "the two agents hold different acceptances for this job",
            Self::Seats => "the seats in the handshake do not fit the contract",
            Self::Reflected => "the handshake is this agent's own message, sent back",
            Self::Key => "the peer's key is not the one that the contract names",
            Self::Signature => "the signature was not made for this connection and this run",
            Self::UnknownJob => "no job of this id is running here",
            Self::Slow => "the peer was too slow to say what it wants",
            Self::Stream => "the peer opened a stream that does not belong to the session",
            Self::Epoch => {
                "the two agents have different versions of the same negative list; is one of them old?"
            }
            Self::TooMany => "too many connections of the same party wait for their jobs",
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ending {
    /// The application error code: the kind in the low byte, one more than the seat in the next. Never 0, with
    /// which quinn closes a connection that was dropped.
    #[must_use]
    pub fn code(self) -> VarInt {
        let with_seat = |kind: u32, seat: Seat| kind | (u32::from(seat.0) + 1) << 8;
        VarInt::from_u32(match self {
            Self::Done => 5,
            Self::Cancelled => 1,
            Self::Lost(seat) => with_seat(2, seat),
            Self::Misbehaved(seat) => with_seat(3, seat),
            Self::Failed => 4,
            Self::Refused(objection) => objection as u32,
        })
    }

    /// Reads a code that a peer sent. An unknown one is a failure of the peer's own.
    #[must_use]
    pub fn from_code(code: u64) -> Self {
        let seat = (code >> 8)
            .checked_sub(1)
            .and_then(|s| u8::try_from(s).ok())
            .map(Seat);
        match (code & 0xff, seat) {
            (1, None) => Self::Cancelled,
            (5, None) => Self::Done,
            (2, Some(seat)) => Self::Lost(seat),
            (3, Some(seat)) => Self::Misbehaved(seat),
            (kind, None) => {
                let known = Objection::ALL.into_iter().find(|o| *o as u64 == kind);
                known.map_or(Self::Failed, Self::Refused)
            }
            _ => Self::Failed,
        }
    }

    /// What a peer gave as its reason for closing, if it gave one. A dropped connection closes with code 0 and
    /// says nothing: a dialler drops one when it turns to the relay, and does not mean to end the job.
    #[must_use]
    pub fn of(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = close.error_code.into_inner();
                (code != 0).then(|| Self::from_code(code))
            }
            _ => None,
        }
    }

    /// The words that go with the code, for a peer's log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Lost(_) => "another party was lost",
            Self::Misbehaved(_) => "another party broke the protocol",
            Self::Failed => "failed",
            Self::Refused(objection) => objection.as_str(),
        }
    }

    /// Closes `connection` with this code.
    pub fn close(self, connection: &quinn::Connection) {
        connection.close(self.code(), self.reason().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back() {
        let seats = [Seat(0), Seat(7), Seat(255)];
        let mut endings = vec![Ending::Done, Ending::Cancelled, Ending::Failed];
        endings.extend(seats.map(Ending::Lost));
        endings.extend(seats.map(Ending::Misbehaved));
        endings.extend(Objection::ALL.map(Ending::Refused));
        for ending in endings {
            assert_eq!(Ending::from_code(ending.code().into_inner()), ending);
        }
    }

    #[test]
    fn any_other_code_is_a_failure() {
        for code in [
            0,
            2,
            3,
            6,
            15,
            30,
            0xff,
            0x100,
            0x101,
            0x1_0102,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            assert_eq!(Ending::from_code(code), Ending::Failed, "{code:#x}");
        }
    }
}
