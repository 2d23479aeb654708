//! How a run ends badly: whose fault, what, what to do, and the exit code of a command that waits for it.

use coordinator::contract::PartyName;
use coordinator::job::{FailureClass, StopReason};
use protocols::error::ProtocolError;

use crate::ledger;
use crate::net::close::Ending;
use crate::net::connect::{ConnectCause, ConnectError};
use crate::net::handshake::HandshakeError;
use crate::net::quic::LostLink;
use crate::source::SourceError;

/// Exit codes of commands.
pub mod exit {
    /// A failure while running.
    pub const RUNTIME: u8 = 1;
    /// A mistake in the request.
    pub const USAGE: u8 = 2;
    /// Refused by a policy.
    pub const POLICY: u8 = 3;
    /// Refused or called off by a party.
    pub const REJECTED: u8 = 4;
    /// A peer was lost, or did not answer in time.
    pub const PEER_LOST: u8 = 5;
}

/// In what way a run ended, other than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It failed.
    Failed(FailureClass),
    /// A person called it off.
    Cancelled,
}

/// How a run ended, other than well. Nothing was released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {what_to_do}")]
pub struct Failure {
    /// In what way.
    pub cause: Cause,
    /// The party at fault, or that called it off.
    pub culprit: Option<PartyName>,
    /// What happened, for people of this party.
    pub what: String,
    /// What to do about it.
    pub what_to_do: String,
}

impl Failure {
    /// A failure of this agent.
    #[must_use]
    pub fn here(class: FailureClass, what: impl Into<String>, what_to_do: &str) -> Self {
        Self {
            cause: Cause::Failed(class),
            culprit: None,
            what: what.into(),
            what_to_do: what_to_do.to_owned(),
        }
    }

    /// A failure for which a peer is to blame, or at a peer.
    #[must_use]
    pub fn at(class: FailureClass, party: &PartyName, what: impl Into<String>) -> Self {
        Self {
            cause: Cause::Failed(class),
            culprit: Some(party.clone()),
            what: what.into(),
            what_to_do: advice(class).to_owned(),
        }
    }

    /// A person of `by` called the job off.
    #[must_use]
    pub fn cancelled(by: &PartyName) -> Self {
        Self {
            cause: Cause::Cancelled,
            culprit: Some(by.clone()),
            what: format!("{by} called the job off"),
            what_to_do: "ask them why; submit the job again if they agree".to_owned(),
        }
    }

    /// What the coordinator told all parties.
    #[must_use]
    pub fn ordered(reason: &StopReason) -> Self {
        match reason {
            StopReason::Cancelled { by } => Self::cancelled(by),
            StopReason::PartyLost { party } => Self::at(
                FailureClass::PartyLost,
                party,
                format!("{party} is gone: its agent or its network has failed"),
            ),
            StopReason::Failed {
                party: Some(party),
                class,
            } => Self::at(*class, party, format!("at {party}: {class}")),
            StopReason::Failed { party: None, class } => {
                Self::here(*class, class.to_string(), advice(*class))
            }
        }
    }

    /// A link that is gone, seen from here. `name` gives the party at a seat.
    pub(super) fn lost(
        lost: &LostLink,
        name: impl Fn(protocols::party::Seat) -> PartyName,
    ) -> Self {
        let peer = name(lost.seat);
        match lost.ending {
            Some(Ending::Cancelled) => Self::cancelled(&peer),
            Some(Ending::Lost(seat)) => {
                let gone = name(seat);
                Self::at(
                    FailureClass::LinkLost,
                    &gone,
                    format!("{peer} has lost the link to {gone}"),
                )
            }
            Some(Ending::Misbehaved(seat)) => {
                let bad = name(seat);
                let what = format!("{peer} says that {bad} did not follow the protocol");
                Self::at(FailureClass::PeerMisbehaved, &bad, what)
            }
            Some(Ending::Refused(objection)) => Self::at(
                FailureClass::PeerMisbehaved,
                &peer,
                format!("{peer} closed the link: {objection}"),
            ),
            Some(Ending::Failed | Ending::Done) => Self::at(
                FailureClass::LinkLost,
                &peer,
                format!("{peer} has stopped the job because of a failure of its own"),
            ),
            None => Self::at(
                FailureClass::LinkLost,
                &peer,
                format!("the link to {peer} failed: {}", lost.cause),
            ),
        }
    }

    /// A protocol's error, seen from here.
    pub(super) fn protocol(
        error: &ProtocolError,
        fate: Option<&LostLink>,
        name: impl Fn(protocols::party::Seat) -> PartyName,
    ) -> Self {
        if let (ProtocolError::Link { .. }, Some(lost)) = (error, fate) {
            return Self::lost(lost, name);
        }
        let culprit = error.culprit().map(name);
        let class = class_of(error);
        Self {
            cause: Cause::Failed(class),
            what: match &culprit {
                Some(party) => format!("{party}: {error}"),
                None => error.to_string(),
            },
            culprit,
            what_to_do: advice(class).to_owned(),
        }
    }

    /// A peer that could not be reached.
    pub(super) fn connect(error: &ConnectError) -> Self {
        use crate::net::close::Objection;
        let class = match &error.cause {
            ConnectCause::Handshake(HandshakeError::Objected(o) | HandshakeError::Refused(o)) => {
                match o {
                    Objection::Plan => FailureClass::PlanMismatch,
                    Objection::Slow | Objection::UnknownJob | Objection::TooMany => {
                        FailureClass::LinkLost
                    }
                    _ => FailureClass::PeerMisbehaved,
                }
            }
            ConnectCause::Handshake(HandshakeError::Ended(Ending::Cancelled)) => {
                return Self::cancelled(&error.party);
            }
            ConnectCause::Handshake(HandshakeError::Connection(trouble))
                if trouble.is_refusal() =>
            {
                FailureClass::PeerMisbehaved
            }
            // Among them what somebody said in the peer's place.
            ConnectCause::Handshake(_) | ConnectCause::Relay(_) | ConnectCause::TimedOut => {
                FailureClass::LinkLost
            }
        };
        Self::at(class, &error.party, error.to_string())
    }

    /// A fault in this holder's own data. The text may name files and columns: it is for this holder alone.
    pub(super) fn source(error: &SourceError) -> Self {
        Self::here(
            FailureClass::Source,
            error.to_string(),
            "correct it, and submit the job again",
        )
    }

    /// The class that the coordinator and the other parties are told.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self.cause {
            Cause::Failed(class) => class,
            // Cancelling is not reported as a failure; this is what it would be called.
            Cause::Cancelled => FailureClass::Rejected,
        }
    }

    /// A short word for the class, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.cause {
            Cause::Failed(class) => class_code(class),
            Cause::Cancelled => "cancelled",
        }
    }

    /// The exit code of a command that waited for the run.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self.cause {
            Cause::Cancelled => exit::REJECTED,
            Cause::Failed(class) => exit_of(class),
        }
    }

    /// What to tell the peers when their links are closed.
    pub(super) fn ending(
        &self,
        seat_of: impl Fn(&PartyName) -> Option<protocols::party::Seat>,
    ) -> Ending {
        let seat = self.culprit.as_ref().and_then(seat_of);
        match (&self.cause, seat) {
            (Cause::Cancelled, _) => Ending::Cancelled,
            (Cause::Failed(FailureClass::PartyLost | FailureClass::LinkLost), Some(seat)) => {
                Ending::Lost(seat)
            }
            (Cause::Failed(FailureClass::PeerMisbehaved), Some(seat)) => Ending::Misbehaved(seat),
            (Cause::Failed(_), _) => Ending::Failed,
        }
    }

    /// The entry in the ledger.
    #[must_use]
    pub fn entry(&self) -> ledger::Ending {
        ledger::Ending {
            exit: self.exit(),
            class: self.code().to_owned(),
            culprit: self.culprit.clone(),
            what: self.what.clone(),
            what_to_do: self.what_to_do.clone(),
        }
    }
}

fn class_of(error: &ProtocolError) -> FailureClass {
    match error {
        ProtocolError::Link { .. } => FailureClass::LinkLost,
        ProtocolError::PeerMisbehaved { .. } => FailureClass::PeerMisbehaved,
        ProtocolError::CheckFailed { .. } => FailureClass::CheckFailed,
        ProtocolError::Unlucky { .. } => FailureClass::Unlucky,
        ProtocolError::OverBudget { .. } | ProtocolError::OutOfCorrelations { .. } => {
            FailureClass::OverBudget
        }
        ProtocolError::Storage { .. } => FailureClass::Source,
        ProtocolError::InvalidInput { .. } | ProtocolError::NotApproved { .. } => {
            FailureClass::Internal
        }
    }
}

/// The short word of a class, as in JSON.
#[must_use]
pub fn class_code(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Rejected => "rejected",
        FailureClass::Expired => "expired",
        FailureClass::PartyLost => "party_lost",
        FailureClass::LinkLost => "link_lost",
        FailureClass::Restarted => "restarted",
        FailureClass::PlanMismatch => "plan_mismatch",
        FailureClass::Policy => "policy",
        FailureClass::Source => "source",
        FailureClass::PeerMisbehaved => "peer_misbehaved",
        FailureClass::CheckFailed => "check_failed",
        FailureClass::Unlucky => "unlucky",
        FailureClass::OverBudget => "over_budget",
        FailureClass::Internal => "internal",
        FailureClass::Data => "data",
    }
}

fn exit_of(class: FailureClass) -> u8 {
    match class {
        FailureClass::Rejected => exit::REJECTED,
        FailureClass::Policy => exit::POLICY,
        FailureClass::PartyLost
        | FailureClass::LinkLost
        | FailureClass::Restarted
        | FailureClass::Expired => exit::PEER_LOST,
        _ => exit::RUNTIME,
    }
}

fn advice(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Rejected => "ask that party what it needs to agree",
        FailureClass::Expired => "submit the job again when all parties can answer",
        FailureClass::PartyLost | FailureClass::LinkLost => {
            "ask that party to check its agent and its network, then submit the job again"
        }
        FailureClass::Restarted => "submit the job again",
        FailureClass::PlanMismatch => {
            "make sure that all parties run the same version, then submit the job again"
        }
        FailureClass::Policy => "ask that party which jobs its policy allows",
        FailureClass::Source => {
            "that party's people see the details at their own agent; submit again once it is corrected"
        }
        FailureClass::PeerMisbehaved => {
            "ask that party to check its version and its host before you go on"
        }
        FailureClass::CheckFailed => {
            "submit the job again; if it happens twice, one party's software or host is at fault"
        }
        FailureClass::Unlucky => "submit the job again",
        FailureClass::OverBudget => "ask for fewer groups or columns, or allow more time",
        FailureClass::Internal => "report it with the version and the job id",
        FailureClass::Data => "the receivers see at their own agents what the data lack",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::error::LinkError;
    use protocols::party::Seat;

    fn name(seat: Seat) -> PartyName {
        PartyName::new(format!("party_{}", seat.0)).expect("a valid name")
    }

    fn lost(ending: Option<Ending>) -> Failure {
        let lost = LostLink {
            seat: Seat(1),
            cause: LinkError::Closed,
            ending,
        };
        Failure::lost(&lost, name)
    }

    #[test]
    fn the_party_that_is_gone_is_named_and_not_the_messenger() {
        for (ending, culprit, exit) in [
            (None, 1, 5),
            (Some(Ending::Lost(Seat(2))), 2, 5),
            (Some(Ending::Failed), 1, 5),
            (Some(Ending::Misbehaved(Seat(2))), 2, 1),
            (Some(Ending::Cancelled), 1, 4),
        ] {
            let failure = lost(ending);
            assert_eq!(failure.culprit, Some(name(Seat(culprit))), "{ending:?}");
            assert_eq!(failure.exit(), exit, "{ending:?}");
        }
    }

    #[test]
    fn what_is_passed_on_names_the_same_party() {
        let seat_of = |party: &PartyName| (0..4).map(Seat).find(|s| name(*s) == *party);
        assert_eq!(lost(None).ending(seat_of), Ending::Lost(Seat(1)));
        assert_eq!(
            lost(Some(Ending::Lost(Seat(2)))).ending(seat_of),
            Ending::Lost(Seat(2))
        );
        assert_eq!(
            lost(Some(Ending::Cancelled)).ending(seat_of),
            Ending::Cancelled
        );
    }
}
